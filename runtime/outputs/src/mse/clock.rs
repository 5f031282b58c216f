use std::collections::VecDeque;

/// Where an access unit stands on its track's time line, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) decode_time: u64,
    pub(super) duration: u32,
    pub(super) composition_offset: i32,
}

/// Derives decode times and durations from presentation times in decoding order.
///
/// Two rules of browsers shape it. A decode time must grow, and where it grows by more than twice
/// the last duration, all is thrown away up to the next keyframe (Media Source Extensions, coded
/// frame processing); so a lost picture or a jittering camera would freeze the video for a GOP.
/// Decode times therefore follow the presentation times on a short leash, and the composition
/// offset takes the rest. Presentation times themselves stay as they are.
#[derive(Debug)]
pub(super) struct Clock {
    rate: i64,
    /// Fixed length of an access unit, for sound.
    fixed: Option<i64>,
    last: Option<Last>,
    recent: VecDeque<i64>,
    newest: i64,
    /// How far a picture may stand behind one decoded before it, once B pictures were seen.
    reorder: i64,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    presented: i64,
    decoded: i64,
    duration: i64,
}

/// Presentation times looked at to find the usual distance.
const WINDOW: usize = 16;

/// Seconds added to all times, so that decode times ahead of the first picture are not negative.
const LEAD: i64 = 2;

impl Clock {
    /// A clock for pictures.
    pub(super) fn video(rate: u32) -> Self {
        Self {
            rate: i64::from(rate.max(1)),
            fixed: None,
            last: None,
            recent: VecDeque::with_capacity(WINDOW + 1),
            newest: i64::MIN,
            reorder: 0,
        }
    }

    /// A clock for sound whose access units all last `duration` ticks.
    pub(super) fn audio(rate: u32, duration: u32) -> Self {
        Self {
            fixed: Some(i64::from(duration.max(1))),
            ..Self::video(rate)
        }
    }

    /// Places the next access unit in decoding order.
    pub(super) fn place(&mut self, presented: i64, is_keyframe: bool) -> Place {
        // Keeps all sums below far from the ends of the number range.
        let presented = presented.clamp(-(1 << 56), 1 << 56);
        match self.fixed {
            Some(duration) => self.place_audio(presented, duration),
            None => self.place_video(presented, is_keyframe),
        }
    }

    fn place_audio(&mut self, presented: i64, duration: i64) -> Place {
        let decoded = match self.last {
            // Jitter of less than one access unit would be heard as clicks at every seam.
            Some(last) if (presented - last.decoded - duration).abs() <= duration => {
                last.decoded + duration
            }
            Some(last) => presented.max(last.decoded + duration),
            None => presented,
        };
        self.finish(decoded, decoded, duration)
    }

    fn place_video(&mut self, presented: i64, is_keyframe: bool) -> Place {
        let duration = self.usual_distance(presented);
        let behind = self.newest.saturating_sub(presented);
        if behind > 0 && behind <= self.rate {
            self.reorder = self.reorder.max(behind + duration).min(self.rate);
        } else {
            self.newest = presented;
        }
        let wanted = presented - self.reorder;
        let decoded = match self.last {
            None => wanted,
            Some(last) => {
                let soonest = last.decoded + (last.duration / 4).max(1);
                let latest = last.decoded + (2 * last.duration).max(1);
                // After a pause of the camera a keyframe may begin anew.
                let begins_anew = is_keyframe && wanted > latest + self.rate;
                if begins_anew {
                    wanted
                } else {
                    wanted.clamp(soonest, latest)
                }
            }
        };
        self.finish(presented, decoded, duration)
    }

    /// The usual distance of neighbours among the recent pictures, whatever their order: the mean
    /// without the widest gaps, which are lost pictures and pauses.
    fn usual_distance(&mut self, presented: i64) -> i64 {
        self.recent.push_back(presented);
        if self.recent.len() > WINDOW {
            self.recent.pop_front();
        }
        let mut sorted: Vec<i64> = self.recent.iter().copied().collect();
        sorted.sort_unstable();
        let mut gaps: Vec<i64> = sorted
            .iter()
            .zip(sorted.iter().skip(1))
            .map(|(a, b)| b - a)
            .collect();
        gaps.sort_unstable();
        let kept = match gaps.len() {
            0 => return self.rate / 25,
            1 => 1,
            few @ 2..=5 => few - 1,
            many => many - 2,
        };
        let sum: i64 = gaps.iter().take(kept).sum();
        let count = i64::try_from(kept).unwrap_or(1);
        (sum / count).clamp((self.rate / 240).max(1), self.rate.saturating_mul(5))
    }

    fn finish(&mut self, presented: i64, decoded: i64, duration: i64) -> Place {
        self.last = Some(Last {
            presented,
            decoded,
            duration,
        });
        let offset = presented - decoded;
        Place {
            decode_time: u64::try_from(decoded + LEAD * self.rate).unwrap_or(0),
            duration: u32::try_from(duration).unwrap_or(u32::MAX),
            composition_offset: i32::try_from(offset).unwrap_or(if offset < 0 {
                i32::MIN
            } else {
                i32::MAX
            }),
        }
    }

    /// Presentation time of the newest access unit.
    pub(super) fn presented(&self) -> Option<i64> {
        self.last.map(|last| last.presented)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a browser checks: decode times grow, and by no more than twice the last duration.
    fn assert_playable(places: &[Place]) {
        for pair in places.windows(2) {
            let step = pair[1].decode_time as i64 - pair[0].decode_time as i64;
            assert!(step > 0, "{pair:?}");
            assert!(step <= 2 * i64::from(pair[0].duration), "{pair:?}");
        }
    }

    fn shown(place: &Place) -> i64 {
        place.decode_time as i64 + i64::from(place.composition_offset) - 180_000
    }

    fn places(times: &[i64]) -> Vec<Place> {
        let mut clock = Clock::video(90_000);
        times
            .iter()
            .enumerate()
            .map(|(n, &time)| clock.place(time, n == 0))
            .collect()
    }

    #[test]
    fn steady_pictures_are_decoded_when_they_are_shown() {
        let times: Vec<i64> = (0..50).map(|n| n * 3_600).collect();
        for (place, time) in places(&times).iter().zip(times) {
            assert_eq!(shown(place), time);
            assert_eq!((place.duration, place.composition_offset), (3_600, 0));
        }
    }

    #[test]
    fn a_lost_picture_and_jitter_neither_move_what_is_shown_nor_break_the_leash() {
        let times: Vec<i64> = (0..200)
            .filter(|n| ![40, 41, 42, 43, 90, 91].contains(n))
            .map(|n| n * 3_600 + (n * 7_919 % 23) * 110)
            .collect();
        let places = places(&times);
        assert_playable(&places);
        for (place, time) in places.iter().zip(&times) {
            assert_eq!(shown(place), *time);
        }
        let late = places.last().unwrap().composition_offset;
        assert!(late < 9_000, "the decode time has caught up: {late}");
    }

    #[test]
    fn slow_cameras_settle_within_a_few_pictures() {
        let times: Vec<i64> = (0..40).map(|n| n * 90_000).collect();
        let places = places(&times);
        assert_playable(&places);
        assert_eq!(places.last().unwrap().duration, 90_000);
        assert_eq!(places.last().unwrap().composition_offset, 0);
    }

    #[test]
    fn b_pictures_are_decoded_before_they_are_shown() {
        let mut times = vec![0];
        for group in 0..30 {
            times.extend([3, 1, 2].map(|n| (group * 3 + n) * 3_600));
        }
        let places = places(&times);
        assert_playable(&places);
        for (place, time) in places.iter().zip(&times) {
            assert_eq!(shown(place), *time);
        }
        for place in &places[6..] {
            assert!(place.composition_offset >= 0, "{place:?}");
        }
    }

    #[test]
    fn after_a_pause_a_keyframe_begins_anew() {
        let mut clock = Clock::video(90_000);
        for n in 0..20 {
            clock.place(n * 3_600, n == 0);
        }
        let place = clock.place(90_000 * 30, true);
        assert_eq!((shown(&place), place.composition_offset), (2_700_000, 0));
        assert_eq!(place.duration, 3_600, "the pause is no usual distance");
    }

    #[test]
    fn sound_is_laid_end_to_end_in_spite_of_jitter() {
        let mut clock = Clock::audio(48_000, 1_024);
        let mut last = None;
        for n in 0..100_i64 {
            let place = clock.place(n * 1_024 + (n % 5) * 100, true);
            if let Some(last) = last.replace(place.decode_time) {
                assert_eq!(place.decode_time - last, 1_024);
            }
        }
        let after_gap = clock.place(48_000 * 10, true);
        assert_eq!(after_gap.decode_time, 48_000 * 12);
    }

    #[test]
    fn absurd_times_do_not_overflow() {
        let mut clock = Clock::video(u32::MAX);
        for time in [i64::MIN, i64::MAX, 0, i64::MAX, i64::MIN, 1] {
            clock.place(time, time == 0);
        }
    }
}
