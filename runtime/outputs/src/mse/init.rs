use bytes::Bytes;
use format::aac::AudioSpecificConfig;
use format::fmp4;
use media::{Codec, CodecParameters, Kind, Track, Tracks};
use serde_json::{Value, json};

/// How the browser begins: one text, and the init segment if the stream can be shown.
#[derive(Debug)]
pub(super) struct Init {
    pub(super) text: String,
    pub(super) segment: Option<Bytes>,
}

/// A track that goes into the fragments.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    /// Index into the stream's tracks.
    pub(super) index: usize,
    /// Ticks a second.
    pub(super) rate: u32,
    /// Ticks of one access unit, for sound.
    pub(super) unit: u32,
}

/// What of a stream's tracks goes to browsers: the first pictures, the first AAC sound.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) video: Option<Chosen>,
    pub(super) audio: Option<Chosen>,
}

impl Layout {
    pub(super) fn of(tracks: &Tracks) -> Self {
        let first = |kind: Kind| {
            let is_good = |track: &&Track| {
                track.kind() == kind && fmp4::is_carried(track.codec) && track.clock_rate > 0
            };
            tracks.iter().position(|track| is_good(&track))
        };
        let chosen = |index: usize| {
            let track = tracks.get(index)?;
            Some(Chosen {
                index,
                rate: track.clock_rate,
                unit: unit_length(track),
            })
        };
        Self {
            video: first(Kind::Video).and_then(chosen),
            audio: first(Kind::Audio).and_then(chosen),
        }
    }

    /// The first message and segment for these tracks, with or without their sound.
    pub(super) fn init(&self, tracks: &Tracks, with_sound: bool) -> Init {
        let audio = self.audio.as_ref().filter(|_| with_sound);
        let indices = [self.video.as_ref(), audio].map(|chosen| chosen.map(|chosen| chosen.index));
        let picked: Vec<Track> = indices
            .iter()
            .flatten()
            .filter_map(|&index| tracks.get(index).cloned())
            .collect();
        if let Some(refusal) = refusal(tracks, &picked) {
            return Init::refused(&refusal);
        }
        let described = fmp4::init_segment(&picked)
            .and_then(|segment| Ok((segment, fmp4::mime(&picked)?, describe(&picked)?)));
        match described {
            Ok((segment, mime, descriptions)) => {
                let left_out: Vec<Value> = (0..)
                    .zip(tracks.iter())
                    .filter(|(index, _)| !indices.contains(&Some(*index)))
                    .map(|(_, track)| json!({ "codec": track.codec.name(), "reason": reason(track) }))
                    .collect();
                let text = json!({
                    "type": "init", "mime": mime, "tracks": descriptions, "left_out": left_out,
                });
                Init {
                    text: text.to_string(),
                    segment: Some(segment),
                }
            }
            Err(error) => Init::refused(&format!(
                "the camera's codec parameters are broken: {error}"
            )),
        }
    }
}

impl Init {
    fn refused(message: &str) -> Self {
        Self {
            text: json!({ "type": "error", "message": message }).to_string(),
            segment: None,
        }
    }
}

/// Why nothing can be shown, in words for the page.
fn refusal(tracks: &Tracks, picked: &[Track]) -> Option<String> {
    let has_jpeg = tracks.iter().any(|track| track.codec == Codec::Jpeg);
    if has_jpeg && picked.iter().all(|track| track.kind() == Kind::Audio) {
        return Some("this camera sends JPEG pictures: watch its MJPEG stream".to_owned());
    }
    if picked.is_empty() {
        let codecs: Vec<&str> = tracks.iter().map(|track| track.codec.name()).collect();
        let codecs = codecs.join(", ");
        return Some(format!(
            "this camera sends nothing that a browser plays, but {codecs}"
        ));
    }
    None
}

fn describe(picked: &[Track]) -> Result<Vec<Value>, format::Error> {
    let one = |track: &Track| {
        let codec_string = fmp4::codec_string(track)?;
        let codec = track.codec.name();
        Ok(match track.kind() {
            Kind::Video => {
                let (width, height) = track.size.unzip();
                json!({ "kind": "video", "codec": codec, "codec_string": codec_string, "width": width, "height": height })
            }
            Kind::Audio => {
                json!({ "kind": "audio", "codec": codec, "codec_string": codec_string, "sample_rate": track.clock_rate, "channels": track.channels })
            }
        })
    };
    picked.iter().map(one).collect()
}

fn reason(track: &Track) -> &'static str {
    match track.codec {
        Codec::Pcma | Codec::Pcmu => "browsers do not play G.711 this way",
        Codec::Aac => "the camera announced it, but no sound arrives",
        Codec::Jpeg => "JPEG pictures come by the MJPEG stream",
        Codec::H264 | Codec::H265 => "only the first picture track is shown",
    }
}

fn unit_length(track: &Track) -> u32 {
    const USUAL: u32 = 1_024;
    let CodecParameters::Aac { config } = &track.parameters else {
        return USUAL;
    };
    let Ok(config) = AudioSpecificConfig::parse(config) else {
        return USUAL;
    };
    // The track's clock may run at the doubled rate of SBR.
    let ticks = u64::from(config.samples_per_access_unit) * u64::from(track.clock_rate)
        / u64::from(config.sample_rate.max(1));
    u32::try_from(ticks).unwrap_or(USUAL).max(1)
}
