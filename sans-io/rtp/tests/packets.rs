//! What stands in the packets, byte by byte, and that it comes back.
#![allow(clippy::unwrap_used)]

use bytes::{Bytes, BytesMut};
use media::{Codec, Track, length_prefixed};
use proptest::prelude::*;
use rtp::{Depacketizer, Error, Header, INTERLEAVED_HEADER, MAX_PAYLOAD, Packetizer};

const SPS: &[u8] = b"\x67\x42\xc0\x1esps";
const PPS: &[u8] = b"\x68\xcepps";

#[test]
fn a_keyframe_without_parameter_sets_is_given_those_of_the_track_in_one_packet() {
    let packets = packets(&h264(), &length_prefixed([b"\x65idr".as_slice()]), true);
    let stap_a = [b"\x78\x00\x07".as_slice(), SPS, b"\x00\x05", PPS].concat();
    assert_eq!(payloads(&packets), [stap_a, b"\x65idr".to_vec()]);
    assert_eq!(markers(&packets), [false, true]);
}

#[test]
fn a_keyframe_with_its_own_parameter_sets_is_left_as_it_is() {
    let sps = b"\x67other".as_slice();
    let unit = length_prefixed([b"\x09\xf0".as_slice(), sps, PPS, b"\x65idr"]);
    let packets = packets(&h264(), &unit, true);
    let stap_a = [b"\x78\x00\x06".as_slice(), sps, b"\x00\x05", PPS].concat();
    assert_eq!(payloads(&packets), [stap_a, b"\x65idr".to_vec()]);
}

#[test]
fn a_large_nal_unit_travels_in_fragments_and_only_the_last_bears_the_marker() {
    let nal = [b"\x41".as_slice(), &[7; 3000]].concat();
    let packets = packets(&h264(), &length_prefixed([nal.as_slice()]), false);
    let payloads = payloads(&packets);
    assert_eq!(payloads.len(), 3);
    assert_eq!(payloads[0][..2], [0x5c, 0x81]);
    assert_eq!(payloads[1][..2], [0x5c, 0x01]);
    assert_eq!(payloads[2][..2], [0x5c, 0x41]);
    assert!(payloads.iter().all(|payload| payload.len() <= MAX_PAYLOAD));
    assert_eq!(markers(&packets), [false, false, true]);
}

#[test]
fn h265_aggregates_its_three_parameter_sets_and_fragments_with_three_bytes_of_header() {
    let (vps, sps, pps) = (b"\x40\x01v", b"\x42\x01s", b"\x44\x01p");
    let bytes = |set: &'static [u8]| Bytes::from_static(set);
    let track = Track::h265(bytes(vps), bytes(sps), bytes(pps), 640, 360);
    let idr = [b"\x26\x01".as_slice(), &[9; 2000]].concat();
    let packets = packets(&track, &length_prefixed([idr.as_slice()]), true);
    let payloads = payloads(&packets);
    assert_eq!(
        payloads[0],
        b"\x60\x01\x00\x03\x40\x01v\x00\x03\x42\x01s\x00\x03\x44\x01p"
    );
    assert_eq!(payloads[1][..3], [0x62, 0x01, 0x93]);
    assert_eq!(payloads[2][..3], [0x62, 0x01, 0x53]);
}

#[test]
fn aac_tells_its_size_and_refuses_what_thirteen_bits_cannot_tell() {
    let track = Track::aac(Bytes::from_static(b"\x11\x90"), 48_000, 2);
    let packets = packets(&track, &[1; 200], true);
    assert_eq!(payloads(&packets)[0][..4], [0, 16, 0x06, 0x40]);
    assert_eq!(markers(&packets), [true]);
    let refused = Error::TooLarge {
        codec: Codec::Aac,
        len: 8192,
        max: 8191,
    };
    assert_eq!(try_packets(&track, &[1; 8192], true), Err(refused));
}

#[test]
fn long_runs_of_samples_are_cut_and_each_packet_bears_its_own_time() {
    let packets = packets(&Track::g711(Codec::Pcma, 8_000, 1), &[0x55; 1600], true);
    let times: Vec<u32> = packets.iter().map(|p| header(p).time).collect();
    assert_eq!(times, [1_000, 2_400]);
}

#[test]
fn jpeg_tells_its_tables_once_and_its_size_in_blocks() {
    let packets = packets(&Track::jpeg(None), &jpeg(0x22, 2000), true);
    let payloads = payloads(&packets);
    assert_eq!(
        payloads[0][..12],
        [0, 0, 0, 0, 1, 255, 80, 45, 0, 0, 0, 128]
    );
    assert_eq!(payloads[0].len(), MAX_PAYLOAD);
    let sent = MAX_PAYLOAD - 8 - 4 - 128;
    let [high, low] = u16::try_from(sent).unwrap().to_be_bytes();
    assert_eq!(payloads[1][..8], [0, 0, high, low, 1, 255, 80, 45]);
    assert_eq!(markers(&packets), [false, true]);
}

#[test]
fn pictures_that_rfc_2435_cannot_carry_are_refused_with_the_reason() {
    let refusal = |picture: Vec<u8>| match try_packets(&Track::jpeg(None), &picture, true) {
        Err(Error::JpegUnsupported(why)) => why,
        other => panic!("{other:?}"),
    };
    let mut progressive = jpeg(0x22, 100);
    progressive[3] = 0xc2;
    assert!(refusal(progressive).contains("baseline"));
    assert!(refusal(jpeg(0x11, 100)).contains("sampling"));
    let mut wide = jpeg(0x22, 100);
    wide[9..11].copy_from_slice(&2048u16.to_be_bytes());
    assert!(refusal(wide).contains("2040"));
    let mut torn = jpeg(0x22, 100);
    torn.truncate(torn.len() - 2);
    assert!(refusal(torn).contains("EOI"));
    assert!(refusal(b"no picture".to_vec()).contains("SOI"));
}

#[test]
fn a_lost_packet_costs_one_picture() {
    let nal = |first: u8| [&[first][..], &[7; 3000]].concat();
    let track = h264();
    let mut packetizer = Packetizer::new(&track, 96, 1, 0, MAX_PAYLOAD);
    let mut depacketizer = Depacketizer::new(&track);
    let mut arrived = Vec::new();
    for picture in 0..3u8 {
        let payload = length_prefixed([nal(0x41 | picture << 5).as_slice()]);
        for (at, packet) in split(&mut packetizer, &payload, u32::from(picture))
            .iter()
            .enumerate()
        {
            if (picture, at) != (1, 1) {
                depacketizer.push(packet).unwrap();
            }
        }
        arrived.extend(std::iter::from_fn(|| depacketizer.poll()).map(|(time, _)| time));
    }
    assert_eq!(arrived, [0, 2]);
    assert_eq!(depacketizer.lost(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_nal_units_come_back_from_packets_of_any_size(
        nals in prop::collection::vec((1u8..=8, prop::collection::vec(any::<u8>(), 0..4000)), 1..6),
        max in 0usize..3000,
        first_seq: u16,
    ) {
        let nals: Vec<Vec<u8>> = nals.into_iter().map(|(kind, body)| [vec![kind | 0x60], body].concat()).collect();
        let payload = length_prefixed(nals.iter().map(Vec::as_slice));
        let track = h264();
        let mut packetizer = Packetizer::new(&track, 96, 1, first_seq, max);
        let mut depacketizer = Depacketizer::new(&track);
        let packets = split(&mut packetizer, &payload, 5);
        for packet in &packets {
            depacketizer.push(packet).unwrap();
        }
        prop_assert_eq!(depacketizer.poll(), Some((5, payload)));
        prop_assert_eq!(packetizer.next_seq(), first_seq.wrapping_add(packets.len() as u16));
        let markers = packets.iter().filter(|p| Header::decode(p).unwrap().marker).count();
        prop_assert_eq!(markers, 1);
    }

    #[test]
    fn any_scan_comes_back_inside_its_picture(len in 1usize..6000, max in 256usize..2000) {
        let track = Track::jpeg(None);
        let picture = jpeg(0x21, len);
        let mut packetizer = Packetizer::new(&track, 26, 1, 0, max);
        let mut depacketizer = Depacketizer::new(&track);
        for packet in split(&mut packetizer, &picture, 5) {
            depacketizer.push(&packet).unwrap();
        }
        let (_, back) = depacketizer.poll().unwrap();
        prop_assert!(back.ends_with(&picture[picture.len() - len - 2..]));
    }
}

fn h264() -> Track {
    Track::h264(Bytes::from_static(SPS), Bytes::from_static(PPS), 640, 360)
}

/// A 640x360 picture of this luma sampling: headers and a scan of `len` meaningless bytes.
fn jpeg(sampling: u8, len: usize) -> Vec<u8> {
    let mut out = vec![0xff, 0xd8, 0xff, 0xc0, 0, 17, 8];
    out.extend_from_slice(&[1, 0x68, 2, 0x80, 3, 1, sampling, 0, 2, 0x11, 1, 3, 0x11, 1]);
    for id in [0, 1] {
        out.extend_from_slice(&[0xff, 0xdb, 0, 67, id]);
        out.extend_from_slice(&[16; 64]);
    }
    out.extend_from_slice(&[0xff, 0xda, 0, 12, 3, 1, 0, 2, 0x11, 3, 0x11, 0, 63, 0]);
    out.extend((0..len).map(|at| u8::try_from(at % 200).unwrap()));
    out.extend_from_slice(&[0xff, 0xd9]);
    out
}

fn packets(track: &Track, payload: &[u8], is_keyframe: bool) -> Vec<Vec<u8>> {
    try_packets(track, payload, is_keyframe).unwrap()
}

fn try_packets(track: &Track, payload: &[u8], is_keyframe: bool) -> Result<Vec<Vec<u8>>, Error> {
    let mut packetizer = Packetizer::new(track, 96, 0x0102_0304, 9, MAX_PAYLOAD);
    let (mut out, mut offsets) = (BytesMut::new(), Vec::new());
    packetizer.packetize_payload(payload, is_keyframe, 1_000, 2, &mut out, &mut offsets)?;
    let packets = cut(&out, &offsets);
    let payload_bytes: usize = packets.iter().map(|p| header(p).payload.len()).sum();
    assert_eq!(packetizer.octets(), payload_bytes as u64);
    Ok(packets)
}

fn split(packetizer: &mut Packetizer, payload: &[u8], time: u32) -> Vec<Vec<u8>> {
    let (mut out, mut offsets) = (BytesMut::new(), Vec::new());
    let made = packetizer.packetize_payload(payload, false, time, 2, &mut out, &mut offsets);
    made.unwrap();
    cut(&out, &offsets)
}

/// The packets of a block, without their interleaved headers.
fn cut(block: &[u8], offsets: &[u32]) -> Vec<Vec<u8>> {
    let ends = offsets
        .iter()
        .skip(1)
        .map(|&end| end as usize)
        .chain([block.len()]);
    let packets = offsets
        .iter()
        .zip(ends)
        .map(|(&start, end)| &block[start as usize..end]);
    packets
        .map(|packet| {
            assert_eq!(packet[..2], [b'$', 2]);
            let len = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
            assert_eq!(len, packet.len() - INTERLEAVED_HEADER);
            packet[INTERLEAVED_HEADER..].to_vec()
        })
        .collect()
}

fn header(packet: &[u8]) -> Header<'_> {
    Header::decode(packet).unwrap()
}

fn payloads(packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    packets
        .iter()
        .map(|packet| header(packet).payload.to_vec())
        .collect()
}

fn markers(packets: &[Vec<u8>]) -> Vec<bool> {
    packets.iter().map(|packet| header(packet).marker).collect()
}
