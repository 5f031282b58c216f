use std::num::NonZeroU16;

use bytes::Bytes;
use media::{Codec, Track, Tracks};
use retina::client::Stream;
use retina::codec::{ParametersRef, VideoParametersCodec};

/// What a camera's stream is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    Video,
    Audio,
    /// Metadata and codecs that nobody downstream can play.
    Other,
}

/// Judges a stream by its description.
pub(super) fn offer(stream: &Stream) -> Offer {
    match (stream.media(), stream.encoding_name()) {
        ("video", "h264" | "h265" | "jpeg") => Offer::Video,
        // Sound without parameters in the description never gets any.
        ("audio", "mpeg4-generic" | "pcma" | "pcmu") if stream.parameters().is_some() => {
            Offer::Audio
        }
        _ => Offer::Other,
    }
}

/// The tracks of the chosen streams, or `None` while a camera still owes its parameter sets.
pub(super) fn tracks(streams: &[Stream], chosen: &[usize]) -> Option<Tracks> {
    let tracks: Option<Vec<Track>> = chosen
        .iter()
        .map(|&index| streams.get(index).and_then(track))
        .collect();
    tracks.map(Tracks::new)
}

fn track(stream: &Stream) -> Option<Track> {
    let channels = stream.channels().map_or(1, NonZeroU16::get);
    match stream.parameters()? {
        ParametersRef::Video(video) => {
            let (width, height) = video.pixel_dimensions();
            Some(match video.codec_params() {
                VideoParametersCodec::H264 { sps, pps } => {
                    Track::h264(sps.clone(), pps.clone(), width, height)
                }
                VideoParametersCodec::H265 { vps, sps, pps } => {
                    Track::h265(vps.clone(), sps.clone(), pps.clone(), width, height)
                }
                VideoParametersCodec::Jpeg => Track::jpeg(Some((width, height))),
                // The library may learn codecs that nobody downstream knows.
                _ => return None,
            })
        }
        ParametersRef::Audio(audio) => Some(match stream.encoding_name() {
            "pcma" => Track::g711(Codec::Pcma, stream.clock_rate_hz(), channels),
            "pcmu" => Track::g711(Codec::Pcmu, stream.clock_rate_hz(), channels),
            _ => {
                let config = Bytes::copy_from_slice(audio.extra_data());
                Track::aac(config, stream.clock_rate_hz(), audio.channels().get())
            }
        }),
        ParametersRef::Message(_) => None,
    }
}
