//! What a person can ask of a device and tell it to do.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use proto_baichuan::{Answer, Command, Error, StreamKind, TalkConfig, TalkEncoder};
use tokio::time::{Instant, sleep_until, timeout};

use super::care::Cause;
use super::device::{Device, Order, User};
use super::outage::Outage;
use super::request::Request;
use crate::DriverError;

/// How far talk may run ahead of its own sound: cameras have little room, and bursts overrun it.
const TALK_LEAD: Duration = Duration::from_millis(150);

/// What is waited after the last sound before the speaker is closed.
const TALK_TAIL: Duration = Duration::from_millis(100);

/// Sound that pauses for longer has ended.
pub const MAX_SILENCE: Duration = Duration::from_secs(5);

/// Samples handed on at a time.
const PIECE: usize = 4_096;

/// Longest talk; who wants more talks again.
const MAX_TALK: Duration = Duration::from_secs(600);

/// "Somebody else talks."
const STATUS_BUSY: u16 = 422;

impl Device {
    /// The camera's own picture, as JPEG. Wakes a sleeping camera.
    ///
    /// # Errors
    /// What keeps the camera from giving one.
    pub async fn snapshot(
        self: &Arc<Self>,
        channel: u8,
        kind: StreamKind,
    ) -> Result<Bytes, DriverError> {
        let picture = async { self.join(Cause::Snapshot)?.snapshot(channel, kind).await };
        picture.await.map_err(Outage::into_error)
    }

    /// Carries out one command. Wakes a sleeping camera.
    ///
    /// # Errors
    /// That it cannot be reached, or its refusal.
    pub async fn tell(self: &Arc<Self>, command: Command) -> Result<Answer, DriverError> {
        let told = async { tell(&self.join(Cause::Command)?, command).await };
        told.await.map_err(Outage::into_error)
    }

    /// Keeps the session open and asks the device to tell what it notices; [`Self::events`] has
    /// it. A battery camera does not sleep meanwhile.
    ///
    /// # Errors
    /// That it cannot be reached.
    pub async fn listen(self: &Arc<Self>) -> Result<Listening, DriverError> {
        let listening = async {
            let user = self.join(Cause::Events)?;
            user.order(Order::Listen).await?;
            Ok::<_, Outage>(Listening { user })
        };
        listening.await.map_err(Outage::into_error)
    }

    /// Plays `samples` (mono, at `rate` samples a second) through the camera's speaker, in the
    /// time that they sound.
    ///
    /// # Errors
    /// That it cannot be reached, or has no speaker, or somebody else talks.
    pub async fn talk(
        self: &Arc<Self>,
        channel: u8,
        samples: &[i16],
        rate: u32,
    ) -> Result<Duration, DriverError> {
        let pieces: Vec<Vec<i16>> = samples.chunks(PIECE).map(<[i16]>::to_vec).collect();
        let sound = futures_util::stream::iter(pieces).boxed();
        self.talk_live(channel, sound, rate).await
    }

    /// Plays sound (mono, at `rate` samples a second) through the camera's speaker while it is
    /// made, until it ends or pauses for [`MAX_SILENCE`]. What comes faster than it sounds waits
    /// in the stream.
    ///
    /// # Errors
    /// That it cannot be reached, or has no speaker, or somebody else talks.
    pub async fn talk_live(
        self: &Arc<Self>,
        channel: u8,
        sound: BoxStream<'static, Vec<i16>>,
        rate: u32,
    ) -> Result<Duration, DriverError> {
        let talk = async {
            let user = self.join(Cause::Talk)?;
            let Answer::TalkAbility(ability) =
                tell(&user, Command::TalkAbility { channel }).await?
            else {
                return Err(Outage::Unsupported("it has no speaker".to_owned()));
            };
            let Some(config) = TalkConfig::choose(channel, &ability) else {
                return Err(Outage::Unsupported(
                    "its speaker takes no ADPCM, the one form of sound that is known".to_owned(),
                ));
            };
            // Whatever happens, cancelling included: an open speaker is closed to everybody else.
            let mut closing = Closing(Some((user, channel)));
            let Some((user, _)) = &closing.0 else {
                return Err(Outage::Closed("the talk ended".to_owned()));
            };
            let encoder = TalkEncoder::new(&config.format, self.nibbles);
            let resampler = Resampler::new(rate, config.format.sample_rate);
            let talked = speak(user, &config, sound, resampler, encoder).await;
            let _ = tell(user, Command::StopTalk { channel }).await;
            closing.0 = None;
            talked
        };
        talk.await.map_err(Outage::into_error)
    }
}

/// Closes the speaker of a talk that was given up in the middle.
struct Closing(Option<(User, u8)>);

impl Drop for Closing {
    fn drop(&mut self) {
        if let (Some((user, channel)), Ok(runtime)) =
            (self.0.take(), tokio::runtime::Handle::try_current())
        {
            runtime.spawn(async move {
                let _ = tell(&user, Command::StopTalk { channel }).await;
            });
        }
    }
}

/// A session that is held open for events, for as long as this lives.
pub struct Listening {
    user: User,
}

impl Listening {
    /// Waits until the session ends, and says why.
    pub async fn ended(&self) -> DriverError {
        self.user.outage().await.into_error()
    }
}

async fn tell(user: &User, command: Command) -> Result<Answer, Outage> {
    let Some(message) = user.ask(Request::from(&command)).await? else {
        return Ok(Answer::Done);
    };
    Answer::read(&command, &message).map_err(|error| match error {
        Error::Refused { command, status } => Outage::Protocol(format!(
            "it refused {command} with status {status}; most likely this model cannot do that"
        )),
        error => Outage::Protocol(error.to_string()),
    })
}

/// Opens the speaker and sends everything at the pace at which it sounds.
async fn speak(
    user: &User,
    config: &TalkConfig,
    mut sound: BoxStream<'static, Vec<i16>>,
    mut resampler: Resampler,
    mut encoder: TalkEncoder,
) -> Result<Duration, Outage> {
    let channel = config.channel;
    open_speaker(user, config).await?;
    let block = config.format.block_duration();
    let mut started = Instant::now();
    let mut sounded = Duration::ZERO;
    let mut is_over = false;
    while !is_over && sounded <= MAX_TALK {
        let packets = match timeout(MAX_SILENCE, sound.next()).await {
            Ok(Some(samples)) => encoder.push(&resampler.push(&samples)),
            Ok(None) | Err(_) => {
                is_over = true;
                let mut packets = encoder.push(&resampler.finish());
                packets.extend(encoder.finish());
                packets
            }
        };
        for packet in packets {
            // Sound that is made just now may come late: it is not made up for by a burst.
            started = started.max(Instant::now() - sounded);
            user.order(Order::Talk { channel, packet }).await?;
            sounded += block;
            if let Some(ahead) = sounded.checked_sub(TALK_LEAD) {
                sleep_until(started + ahead).await;
            }
        }
    }
    sleep_until(started + sounded + TALK_TAIL).await;
    Ok(sounded)
}

async fn open_speaker(user: &User, config: &TalkConfig) -> Result<(), Outage> {
    let channel = config.channel;
    let start = Command::StartTalk(config.clone());
    let mut status = user
        .ask(Request::from(&start))
        .await?
        .map_or(200, |message| message.status);
    if status == STATUS_BUSY {
        // Perhaps a talk of ours that nobody ended.
        tell(user, Command::StopTalk { channel }).await?;
        status = user
            .ask(Request::from(&start))
            .await?
            .map_or(200, |message| message.status);
    }
    match status {
        200..=300 => Ok(()),
        STATUS_BUSY => Err(Outage::Protocol(
            "somebody else talks through it: wait, or close the app".to_owned(),
        )),
        status => Err(Outage::Protocol(format!(
            "it did not open its speaker (status {status})"
        ))),
    }
}

/// Samples at another rate, by straight lines between them: good enough for a voice.
struct Resampler {
    from: u64,
    to: u64,
    /// Samples that are needed yet; the first of them is number `first`.
    samples: Vec<i16>,
    first: u64,
    /// The next sample to make.
    next: u64,
}

impl Resampler {
    fn new(from: u32, to: u32) -> Self {
        Self {
            from: u64::from(from.max(1)),
            to: u64::from(to.max(1)),
            samples: Vec::new(),
            first: 0,
            next: 0,
        }
    }

    /// What can be made with these, too.
    fn push(&mut self, samples: &[i16]) -> Vec<i16> {
        self.samples.extend_from_slice(samples);
        let end = self.first + self.samples.len() as u64;
        let mut made = Vec::new();
        while self.next * self.from / self.to + 1 < end {
            made.push(self.make());
        }
        let needed = (self.next * self.from / self.to).saturating_sub(self.first);
        let needed = (needed as usize).min(self.samples.len());
        self.samples.drain(..needed);
        self.first += needed as u64;
        made
    }

    /// The rest, up to the end of the last sample.
    fn finish(&mut self) -> Vec<i16> {
        let end = (self.first + self.samples.len() as u64) * self.to / self.from;
        let mut made = Vec::new();
        while self.next < end {
            made.push(self.make());
        }
        made
    }

    fn make(&mut self) -> i16 {
        let place = self.next * self.from;
        self.next += 1;
        let (left, part) = (place / self.to, place % self.to);
        let at = left.saturating_sub(self.first) as usize;
        let sample = |at: usize| self.samples.get(at).copied().map(i64::from);
        let first = sample(at).unwrap_or(0);
        let second = sample(at + 1).unwrap_or(first);
        (first + (second - first) * part as i64 / self.to as i64) as i16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resample(samples: &[i16], from: u32, to: u32, piece: usize) -> Vec<i16> {
        let mut resampler = Resampler::new(from, to);
        let mut made = Vec::new();
        for piece in samples.chunks(piece) {
            made.extend(resampler.push(piece));
            assert!(resampler.samples.len() <= piece.len() + 2, "it grows");
        }
        made.extend(resampler.finish());
        made
    }

    #[test]
    fn sound_at_another_rate_keeps_its_shape_and_length_however_it_is_cut() {
        let line: Vec<i16> = (0..800).map(|n| n * 10).collect();
        for piece in [1, 7, 800] {
            let twice = resample(&line, 8_000, 16_000, piece);
            assert_eq!(twice.len(), 1_600);
            assert_eq!((twice[100], twice[101]), (500, 505));
            assert_eq!(resample(&twice, 16_000, 8_000, piece), line);
            assert_eq!(resample(&line, 16_000, 16_000, piece), line);
            let less = resample(&line, 44_100, 16_000, piece);
            assert_eq!(less, resample(&line, 44_100, 16_000, 800));
            assert_eq!(less.len(), 290);
        }
        assert_eq!(resample(&[], 8_000, 16_000, 1), []);
    }
}
