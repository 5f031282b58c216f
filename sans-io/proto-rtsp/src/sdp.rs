//! Session descriptions (RFC 8866) of live streams.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use media::{Codec, CodecParameters, Kind, Track, Tracks};

use crate::uri::TRACK;

/// Describes a live stream: one media section per track, in the tracks' order, with payload types
/// by [`rtp::payload_type`] and `trackID=N` as address.
///
/// `host` is our address as the player knows it, with or without a port.
#[must_use]
pub fn describe(session_name: &str, tracks: &Tracks, host: &str) -> String {
    let name: String = session_name.chars().filter(|c| !c.is_control()).collect();
    let name = if name.is_empty() { "-" } else { &name };
    let origin = origin(host);
    let mut out = format!(
        "v=0\r\no=- 0 0 {origin}\r\ns={name}\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=tool:eyelet\r\na=control:*\r\na=range:npt=now-\r\n"
    );
    for (index, track) in tracks.iter().enumerate() {
        out.push_str(&media_section(track, index));
    }
    out
}

fn origin(host: &str) -> String {
    if let Ok(address) = host.parse::<std::net::SocketAddr>() {
        return origin(&address.ip().to_string());
    }
    match host.trim_matches(['[', ']']).parse() {
        Ok(std::net::IpAddr::V4(address)) => format!("IN IP4 {address}"),
        Ok(std::net::IpAddr::V6(address)) => format!("IN IP6 {address}"),
        Err(_) => "IN IP4 127.0.0.1".to_owned(),
    }
}

fn media_section(track: &Track, index: usize) -> String {
    let kind = match track.kind() {
        Kind::Video => "video",
        Kind::Audio => "audio",
    };
    let payload_type = rtp::payload_type(track, index);
    let encoding = match track.codec {
        Codec::H264 => "H264",
        Codec::H265 => "H265",
        Codec::Jpeg => "JPEG",
        Codec::Aac => "mpeg4-generic",
        Codec::Pcma => "PCMA",
        Codec::Pcmu => "PCMU",
    };
    let channels = match track.channels {
        0 | 1 => String::new(),
        channels => format!("/{channels}"),
    };
    let rate = track.clock_rate;
    let mut out = format!(
        "m={kind} 0 RTP/AVP {payload_type}\r\na=rtpmap:{payload_type} {encoding}/{rate}{channels}\r\n"
    );
    if let Some(format) = format_parameters(&track.parameters) {
        out.push_str(&format!("a=fmtp:{payload_type} {format}\r\n"));
    }
    if let (Kind::Video, Some((width, height))) = (track.kind(), track.size) {
        out.push_str(&format!("a=framesize:{payload_type} {width}-{height}\r\n"));
    }
    out.push_str(&format!("a=control:{TRACK}{index}\r\na=recvonly\r\n"));
    out
}

fn format_parameters(parameters: &CodecParameters) -> Option<String> {
    let encode = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02X}")).collect() };
    match parameters {
        CodecParameters::H264 { sps, pps } => {
            let mut out = "packetization-mode=1".to_owned();
            if let Some(profile) = sps.get(1..4) {
                out.push_str(&format!("; profile-level-id={}", hex(profile)));
            }
            if !sps.is_empty() && !pps.is_empty() {
                let (sps, pps) = (encode(sps), encode(pps));
                out.push_str(&format!("; sprop-parameter-sets={sps},{pps}"));
            }
            Some(out)
        }
        CodecParameters::H265 { vps, sps, pps } => {
            let sets = [("vps", vps), ("sps", sps), ("pps", pps)];
            let known = sets.iter().filter(|(_, set)| !set.is_empty());
            let sets: Vec<String> = known
                .map(|(name, set)| format!("sprop-{name}={}", encode(set)))
                .collect();
            (!sets.is_empty()).then(|| sets.join("; "))
        }
        CodecParameters::Aac { config } => Some(format!(
            "streamtype=5; profile-level-id=1; mode=AAC-hbr; sizelength=13; indexlength=3; indexdeltalength=3; config={}",
            hex(config)
        )),
        CodecParameters::Jpeg | CodecParameters::G711 => None,
    }
}
