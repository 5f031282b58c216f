//! Commands carried out.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use api::Reply;
use drivers::reolink::Device;
use proto_baichuan::{
    Answer, Command, Infrared, Preset, PtzMotion, Siren, StreamKind, StreamTable, ZoomFocus,
};
use serde_json::{Value, json};

use super::action::{Action, Direction, InfraredMode, Quality};
use super::status;

/// Longest name of a preset.
const MAX_PRESET_NAME: usize = 31;

/// Carries out `action` on a channel of `device`.
pub(crate) async fn perform(
    device: &Arc<Device>,
    channel: u8,
    action: Action,
) -> anyhow::Result<Reply> {
    let value = match action {
        Action::Info {} => info(device, channel).await?,
        Action::Battery {} => match device.tell(Command::Battery { channel }).await? {
            Answer::Battery(battery) => status::battery(&battery),
            _ => unexpected("the battery")?,
        },
        Action::Streams {} => match device.tell(Command::Streams).await? {
            Answer::Streams(rows) => json!({ "streams": streams(&rows) }),
            _ => unexpected("the streams")?,
        },
        Action::Snapshot { stream, .. } => {
            let kind = match stream {
                Quality::Main => StreamKind::Main,
                Quality::Sub => StreamKind::Sub,
            };
            return Ok(Reply::Jpeg(device.snapshot(channel, kind).await?));
        }
        Action::Reboot {} => {
            device.tell(Command::Reboot).await?;
            json!({ "rebooting": true })
        }
        Action::Led { infrared, status } => {
            let Answer::Led(mut led) = device.tell(Command::Led { channel }).await? else {
                return unexpected("the lights").map(Reply::Json);
            };
            if infrared.is_some() || status.is_some() {
                if let Some(infrared) = infrared {
                    led.set_infrared(match infrared {
                        InfraredMode::Auto => Infrared::Auto,
                        InfraredMode::On => Infrared::On,
                        InfraredMode::Off => Infrared::Off,
                    });
                }
                if let Some(status) = status {
                    led.set_status_light(status.is_on());
                }
                device.tell(Command::SetLed(led.clone())).await?;
            }
            let infrared = led.infrared().map(|infrared| match infrared {
                Infrared::Auto => "auto",
                Infrared::On => "on",
                Infrared::Off => "off",
            });
            json!({ "infrared": infrared, "status": led.status_light() })
        }
        Action::Floodlight { switch, seconds } => {
            let is_on = switch.is_on();
            let command = Command::Floodlight {
                channel,
                is_on,
                seconds,
            };
            device.tell(command).await?;
            json!({ "on": is_on })
        }
        Action::Siren { switch, times } => {
            let siren = match (switch.is_on(), times) {
                (false, _) => Siren::Off,
                (true, Some(times)) => Siren::Times(times),
                (true, None) => Siren::On,
            };
            device.tell(Command::Siren { channel, siren }).await?;
            json!({ "on": switch.is_on() })
        }
        Action::Pir {
            switch,
            sensitivity,
        } => {
            let Answer::Pir(mut pir) = device.tell(Command::Pir { channel }).await? else {
                return unexpected("the motion sensor").map(Reply::Json);
            };
            if switch.is_some() || sensitivity.is_some() {
                if let Some(switch) = switch {
                    pir.set_enabled(switch.is_on());
                }
                if let Some(sensitivity) = sensitivity {
                    pir.set_sensitivity(sensitivity);
                }
                device.tell(Command::SetPir(pir.clone())).await?;
            }
            json!({ "on": pir.is_enabled(), "sensitivity": pir.sensitivity() })
        }
        Action::Ptz {
            direction,
            speed,
            milliseconds,
        } => {
            let motion = motion(direction);
            let ptz = |motion| Command::Ptz {
                channel,
                motion,
                speed,
            };
            device.tell(ptz(motion)).await?;
            if let Some(milliseconds) = milliseconds.filter(|_| motion != PtzMotion::Stop) {
                tokio::time::sleep(Duration::from_millis(milliseconds.min(10_000))).await;
                device.tell(ptz(PtzMotion::Stop)).await?;
            }
            let moves = motion != PtzMotion::Stop && milliseconds.is_none();
            json!({ "moving": moves })
        }
        Action::Preset {
            go,
            save,
            delete,
            name,
        } => preset(device, channel, go, save, delete, name).await?,
        Action::Zoom { position, focus } => {
            if let Some(position) = position {
                device.tell(Command::SetZoom { channel, position }).await?;
            }
            if let Some(position) = focus {
                device.tell(Command::SetFocus { channel, position }).await?;
            }
            match device.tell(Command::ZoomFocus { channel }).await? {
                Answer::ZoomFocus(zoom) => zoom_json(&zoom),
                _ => unexpected("the zoom")?,
            }
        }
        Action::Privacy { switch } => match switch {
            Some(switch) => {
                let is_asleep = switch.is_on();
                device.tell(Command::SetSleepState { is_asleep }).await?;
                json!({ "on": is_asleep })
            }
            None => match device.tell(Command::SleepState).await? {
                Answer::SleepState(is_asleep) => json!({ "on": is_asleep }),
                _ => unexpected("the privacy mode")?,
            },
        },
        Action::Events | Action::Talk { .. } => bail!("this is a command of the command line only"),
    };
    Ok(Reply::Json(value))
}

fn unexpected(what: &str) -> anyhow::Result<Value> {
    bail!("the camera told nothing of {what}")
}

async fn info(device: &Arc<Device>, channel: u8) -> anyhow::Result<Value> {
    // The first answer decides whether it can be reached at all; the rest is as the model has it.
    let version = match device.tell(Command::Version { channel: None }).await? {
        Answer::Version(version) => json!({
            "name": version.name,
            "model": version.model,
            "firmware": version.firmware,
            "hardware": version.hardware,
            "build": version.build,
            "serial": version.serial,
        }),
        _ => Value::Null,
    };
    let signal = match device.tell(Command::WifiSignal).await {
        Ok(Answer::WifiSignal(signal)) => Some(signal),
        Ok(_) | Err(_) => None,
    };
    let rows = match device.tell(Command::Streams).await {
        Ok(Answer::Streams(rows)) => rows,
        Ok(_) | Err(_) => device.facts().streams,
    };
    let facts = device.facts();
    let login = facts.device.as_ref();
    Ok(json!({
        "version": version,
        "kind": login.map(|login| login.kind.clone()),
        "channels": login.map(|login| login.channels),
        "encryption": facts.encryption.map(|mode| format!("{mode:?}")),
        "wifi_signal": signal,
        "streams": streams(&rows),
        "can": facts.can(channel),
        "battery": facts.batteries.get(&channel).map(|(battery, _)| status::battery(battery)),
    }))
}

fn streams(rows: &[StreamTable]) -> Vec<Value> {
    let row = |row: &StreamTable| {
        json!({
            "stream": match row.kind {
                StreamKind::Main => "main",
                StreamKind::Sub => "sub",
                StreamKind::Extern => "extern",
            },
            "width": row.width,
            "height": row.height,
            "frame_rate": row.default_frame_rate,
            "bit_rate_kbps": row.default_bit_rate,
        })
    };
    rows.iter().map(row).collect()
}

async fn preset(
    device: &Arc<Device>,
    channel: u8,
    go: Option<u8>,
    save: Option<u8>,
    delete: Option<u8>,
    name: Option<String>,
) -> anyhow::Result<Value> {
    if let Some(preset) = go {
        device.tell(Command::GoToPreset { channel, preset }).await?;
    }
    if let Some(id) = save {
        let name = name.unwrap_or_else(|| format!("preset {id}"));
        anyhow::ensure!(
            name.chars().count() <= MAX_PRESET_NAME && !name.chars().any(char::is_control),
            "a preset's name has at most {MAX_PRESET_NAME} characters"
        );
        let preset = Preset { id, name };
        device.tell(Command::SavePreset { channel, preset }).await?;
    }
    if let Some(preset) = delete {
        let command = Command::DeletePreset { channel, preset };
        device.tell(command).await?;
    }
    let Answer::Presets(presets) = device.tell(Command::Presets { channel }).await? else {
        return unexpected("its presets");
    };
    let row = |preset: &Preset| json!({ "id": preset.id, "name": preset.name });
    Ok(json!({ "presets": presets.iter().map(row).collect::<Vec<_>>() }))
}

fn zoom_json(zoom: &ZoomFocus) -> Value {
    let range = |range: proto_baichuan::Range| {
        json!({
            "position": range.current,
            "min": range.min,
            "max": range.max,
        })
    };
    json!({ "zoom": zoom.zoom.map(range), "focus": zoom.focus.map(range) })
}

fn motion(direction: Direction) -> PtzMotion {
    match direction {
        Direction::Stop => PtzMotion::Stop,
        Direction::Left => PtzMotion::Left,
        Direction::Right => PtzMotion::Right,
        Direction::Up => PtzMotion::Up,
        Direction::Down => PtzMotion::Down,
        Direction::LeftUp => PtzMotion::LeftUp,
        Direction::LeftDown => PtzMotion::LeftDown,
        Direction::RightUp => PtzMotion::RightUp,
        Direction::RightDown => PtzMotion::RightDown,
        Direction::ZoomIn => PtzMotion::ZoomIn,
        Direction::ZoomOut => PtzMotion::ZoomOut,
        Direction::FocusFar => PtzMotion::FocusFar,
        Direction::FocusNear => PtzMotion::FocusNear,
    }
}

/// Reads a WAV file: its samples as one channel, and their rate.
pub(crate) fn read_wav(bytes: &[u8]) -> anyhow::Result<(Vec<i16>, u32)> {
    const WANTED: &str = "expected a WAV file of 16-bit PCM (ffmpeg -i IN -ar 16000 -ac 1 -c:a pcm_s16le OUT.wav makes one)";
    let mut rest = bytes
        .strip_prefix(b"RIFF")
        .and_then(|rest| rest.get(4..)?.strip_prefix(b"WAVE"))
        .context(WANTED)?;
    let mut format = None;
    while let Some((head, after)) = rest.split_first_chunk::<8>() {
        let [a, b, c, d, l0, l1, l2, l3] = *head;
        let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        // A file that was written into a pipe promises more than it has.
        let body = after.get(..len.min(after.len())).context(WANTED)?;
        match &[a, b, c, d] {
            b"fmt " => {
                let fields = body.first_chunk::<16>().context(WANTED)?;
                let word = |at: usize| u16::from_le_bytes([fields[at], fields[at + 1]]);
                let rate = u32::from_le_bytes([fields[4], fields[5], fields[6], fields[7]]);
                // 0xfffe is "see the extension", which for 16 bits is PCM as well.
                let is_pcm = matches!(word(0), 1 | 0xfffe) && word(14) == 16;
                if !is_pcm || word(2) == 0 || !(4_000..=192_000).contains(&rate) {
                    bail!(WANTED);
                }
                format = Some((usize::from(word(2)), rate));
            }
            b"data" => {
                let (channels, rate) = format.context(WANTED)?;
                let mono = body.chunks_exact(2 * channels).map(|frame| {
                    let samples = frame.chunks_exact(2);
                    let sum: i32 = samples
                        .map(|s| i32::from(i16::from_le_bytes([s[0], s[1]])))
                        .sum();
                    i16::try_from(sum / channels as i32).unwrap_or_default()
                });
                return Ok((mono.collect(), rate));
            }
            _ => {}
        }
        rest = after.get(len + len % 2..).unwrap_or_default();
    }
    bail!(WANTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wav_file_becomes_one_channel() {
        let mut wav = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x02\0".to_vec();
        wav.extend(16_000_u32.to_le_bytes());
        wav.extend([0, 0, 0, 0, 4, 0, 16, 0]);
        wav.extend(b"LIST\x03\0\0\0abc\0data\x08\0\0\0");
        wav.extend([10_i16, 20, -4, -8].iter().flat_map(|s| s.to_le_bytes()));
        assert_eq!(read_wav(&wav).unwrap(), (vec![15, -6], 16_000));
        for bad in [&b""[..], b"RIFF", b"ID3", &wav[..40]] {
            assert!(read_wav(bad).is_err());
        }
    }
}
