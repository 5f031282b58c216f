//! What a person can ask of a device and tell it to do.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proto_baichuan::{Answer, Command, Error, StreamKind, TalkConfig, TalkEncoder};
use tokio::time::Instant;

use super::care::Cause;
use super::device::{Device, Order, User};
use super::outage::Outage;
use super::request::Request;
use crate::DriverError;

/// How far talk may run ahead of its own sound: cameras have little room, and bursts overrun it.
const TALK_LEAD: Duration = Duration::from_millis(150);

/// What is waited after the last sound before the speaker is closed.
const TALK_TAIL: Duration = Duration::from_millis(100);

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
            let samples = resample(samples, rate, config.format.sample_rate);
            let talked = speak(
                &user,
                &config,
                &samples,
                TalkEncoder::new(&config.format, self.nibbles),
            )
            .await;
            // Whatever happened: an open speaker is closed to everybody else.
            let _ = tell(&user, Command::StopTalk { channel }).await;
            talked
        };
        talk.await.map_err(Outage::into_error)
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
    samples: &[i16],
    mut encoder: TalkEncoder,
) -> Result<Duration, Outage> {
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
        200..=300 => {}
        STATUS_BUSY => {
            return Err(Outage::Protocol(
                "somebody else talks through it: wait, or close the app".to_owned(),
            ));
        }
        status => {
            return Err(Outage::Protocol(format!(
                "it did not open its speaker (status {status})"
            )));
        }
    }
    let started = Instant::now();
    let block = config.format.block_duration();
    let mut packets = encoder.push(samples);
    packets.extend(encoder.finish());
    let mut sounded = Duration::ZERO;
    for packet in packets {
        user.order(Order::Talk { channel, packet }).await?;
        sounded += block;
        if let Some(ahead) = sounded.checked_sub(TALK_LEAD) {
            tokio::time::sleep_until(started + ahead).await;
        }
        if sounded > MAX_TALK {
            break;
        }
    }
    tokio::time::sleep_until(started + sounded + TALK_TAIL).await;
    Ok(sounded)
}

/// Samples at another rate, by straight lines between them: good enough for a voice.
fn resample(samples: &[i16], from: u32, to: u32) -> Vec<i16> {
    if from == to || from == 0 {
        return samples.to_vec();
    }
    let len = samples.len() as u64 * u64::from(to) / u64::from(from);
    (0..len)
        .map(|at| {
            let place = at * u64::from(from);
            let (left, part) = (place / u64::from(to), place % u64::from(to));
            let sample = |at: u64| samples.get(at as usize).copied().map_or(0, i64::from);
            let (first, second) = (
                sample(left),
                sample((left + 1).min(samples.len() as u64 - 1)),
            );
            (first + (second - first) * part as i64 / i64::from(to)) as i16
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_at_another_rate_keeps_its_shape_and_length() {
        let line: Vec<i16> = (0..800).map(|n| n * 10).collect();
        let twice = resample(&line, 8_000, 16_000);
        assert_eq!(twice.len(), 1_600);
        assert_eq!((twice[100], twice[101]), (500, 505));
        assert_eq!(resample(&twice, 16_000, 8_000), line);
        assert_eq!(resample(&[], 8_000, 16_000), []);
    }
}
