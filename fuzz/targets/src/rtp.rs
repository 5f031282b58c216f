//! RTP: packets of peers, and round trips of what we send.

use bytes::{Bytes, BytesMut};
use media::{Codec, NalUnits, Track, length_prefixed};
use rtp::{Depacketizer, Header, INTERLEAVED_HEADER, Packetizer, RTP_HEADER, rtcp};

/// The first byte chooses a codec; then packets, each behind a 16-bit length.
pub fn rtp_depacketize(data: &[u8]) {
    let Some((&codec, mut rest)) = data.split_first() else {
        return;
    };
    let mut depacketizer = Depacketizer::new(&track(codec));
    while let Some((len, after)) = rest.split_first_chunk::<2>() {
        let len = usize::from(u16::from_be_bytes(*len)).min(after.len());
        let (packet, after) = after.split_at(len);
        rest = after;
        let pushed = depacketizer.push(packet);
        assert!(pushed.is_err() || Header::decode(packet).is_ok());
        while let Some((_, payload)) = depacketizer.poll() {
            assert!(payload.len() <= media::MAX_ACCESS_UNIT);
            if matches!(track(codec).codec, Codec::H264 | Codec::H265) {
                let walked: usize = NalUnits::new(&payload).map(|nal| nal.len() + 4).sum();
                assert!(walked <= payload.len());
            }
        }
    }
}

/// Any access unit that is accepted comes back as it was, from packets of a legal size.
pub fn rtp_packetize(data: &[u8]) {
    let Some((&[codec, size], rest)) = data.split_first_chunk::<2>() else {
        return;
    };
    let track = track(codec);
    let payload = match track.codec {
        // What is no whole NAL unit is not sent.
        Codec::H264 | Codec::H265 => {
            let cut: Vec<&[u8]> = rest.split(|&b| b == 0).collect();
            length_prefixed(cut.into_iter().filter(|nal| is_plain(track.codec, nal)))
        }
        Codec::Jpeg | Codec::Aac | Codec::Pcma | Codec::Pcmu => Bytes::copy_from_slice(rest),
    };
    let max = 256 + usize::from(size) * 4;
    let mut packetizer = Packetizer::new(&track, 96, 1, u16::MAX, max);
    let (mut out, mut offsets) = (BytesMut::new(), Vec::new());
    let made = packetizer.packetize_payload(&payload, false, 7, 3, &mut out, &mut offsets);
    if made.is_err() {
        assert!(out.is_empty() && offsets.is_empty());
        return;
    }
    assert_eq!(packetizer.packets(), offsets.len() as u64);
    let mut depacketizer = Depacketizer::new(&track);
    let mut whole = BytesMut::new();
    let ends = offsets.iter().skip(1).copied().chain([out.len() as u32]);
    for (&start, end) in offsets.iter().zip(ends) {
        let packet = &out[start as usize..end as usize];
        assert_eq!(&packet[..2], b"$\x03");
        let len = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
        assert_eq!(len, packet.len() - INTERLEAVED_HEADER);
        assert!(len <= RTP_HEADER + max);
        depacketizer
            .push(&packet[INTERLEAVED_HEADER..])
            .expect("our own packets are well-formed");
        while let Some((_, unit)) = depacketizer.poll() {
            whole.extend_from_slice(&unit);
        }
    }
    if track.codec != Codec::Jpeg {
        assert_eq!(whole, payload);
    }
}

/// JPEG as a whole: what is accepted, comes back as a picture that is accepted again, alike.
pub fn rtp_jpeg(data: &[u8]) {
    let once = jpeg_round_trip(data);
    if let Some(once) = once {
        assert_eq!(jpeg_round_trip(&once), Some(once));
    }
}

/// Any compound is read or refused; our own reports always read.
pub fn rtp_rtcp(data: &[u8]) {
    if let Ok(packets) = rtcp::parse_compound(data) {
        assert!(packets.len() <= rtcp::MAX_COMPOUND);
        assert!(packets.len() * 4 <= data.len());
    }
    let mut out = BytesMut::new();
    let cname = String::from_utf8_lossy(data);
    let wall = media::WallTime(std::time::Duration::from_millis(data.len() as u64));
    rtcp::put_sender_report(&mut out, 1, wall, 2, 3, 4, &cname);
    assert_eq!(rtcp::parse_compound(&out).expect("our own report").len(), 2);
}

fn jpeg_round_trip(picture: &[u8]) -> Option<Bytes> {
    let track = Track::jpeg(None);
    let mut packetizer = Packetizer::new(&track, 26, 1, 0, 300);
    let (mut out, mut offsets) = (BytesMut::new(), Vec::new());
    let made = packetizer.packetize_payload(picture, true, 7, 0, &mut out, &mut offsets);
    made.ok()?;
    let mut depacketizer = Depacketizer::new(&track);
    let ends = offsets.iter().skip(1).copied().chain([out.len() as u32]);
    for (&start, end) in offsets.iter().zip(ends) {
        let packet = &out[start as usize + INTERLEAVED_HEADER..end as usize];
        depacketizer
            .push(packet)
            .expect("our own packets are well-formed");
    }
    let (_, picture) = depacketizer.poll().expect("an accepted picture comes back");
    Some(picture)
}

fn track(codec: u8) -> Track {
    let none = Bytes::new;
    match codec % 5 {
        0 => Track::h264(none(), none(), 640, 360),
        1 => Track::h265(none(), none(), none(), 640, 360),
        2 => Track::jpeg(None),
        3 => Track::aac(none(), 48_000, 2),
        _ => Track::g711(Codec::Pcma, 8_000, 1),
    }
}

/// A NAL unit that may travel alone and is not dropped.
fn is_plain(codec: Codec, nal: &[u8]) -> bool {
    match (codec, nal) {
        (Codec::H264, [first, ..]) => matches!(first & 0x1f, 1..=8 | 10..=23),
        (Codec::H265, [first, _, ..]) => !matches!(first >> 1 & 0x3f, 35 | 48..),
        _ => false,
    }
}
