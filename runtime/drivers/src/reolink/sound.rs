//! The cameras' sound: AAC loses its ADTS header, ADPCM becomes G.711.

use bytes::Bytes;
use media::{Codec, Track};
use proto_baichuan::{AdpcmState, NibbleOrder};

/// Samples a second of ADPCM from cameras; nothing in the stream tells it.
const ADPCM_RATE: u32 = 8_000;

/// Samples of one AAC access unit.
const AAC_SAMPLES: i64 = 1_024;

/// Samples a second by ADTS's `sampling_frequency_index` (ISO/IEC 14496-3 table 1.18).
const RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// One access unit of sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) payload: Bytes,
    /// How long it sounds, on the track's clock.
    pub(super) samples: i64,
}

/// Cuts an ADTS packet into raw access units, and says what track they belong to. `None`: it is no
/// ADTS, or of a kind that nobody uses.
pub(super) fn read_adts(packet: &Bytes) -> Option<(Track, Vec<Piece>)> {
    let mut track = None;
    let mut pieces = Vec::new();
    let mut rest = packet.clone();
    while let Some(header) = rest.first_chunk::<7>() {
        let [first, second, third, fourth, fifth, sixth, _] = header.map(usize::from);
        if first != 0xff || second & 0xf6 != 0xf0 {
            break;
        }
        let object_type = (third >> 6) + 1;
        let rate_index = third >> 2 & 15;
        let channels = (third & 1) << 2 | fourth >> 6;
        let frame_len = (fourth & 3) << 11 | fifth << 3 | sixth >> 5;
        let header_len = if second & 1 == 0 { 9 } else { 7 };
        if frame_len <= header_len || frame_len > rest.len() {
            break;
        }
        let rate = *RATES.get(rate_index)?;
        let config = (object_type << 11 | rate_index << 7 | channels << 3) as u16;
        let config = Bytes::copy_from_slice(&config.to_be_bytes());
        track.get_or_insert_with(|| Track::aac(config, rate, (channels as u16).max(1)));
        pieces.push(Piece {
            payload: rest.slice(header_len..frame_len),
            samples: AAC_SAMPLES,
        });
        rest = rest.slice(frame_len..);
    }
    Some((track?, pieces))
}

/// Decodes an ADPCM block into µ-law: as loud and as clear as ADPCM is, and played everywhere.
pub(super) fn read_adpcm(block: &[u8]) -> Option<(Track, Vec<Piece>)> {
    let (samples, _) = AdpcmState::decode(block, NibbleOrder::HighFirst)?;
    let payload: Bytes = samples.iter().map(|&sample| mu_law(sample)).collect();
    let piece = Piece {
        samples: payload.len() as i64,
        payload,
    };
    Some((Track::g711(Codec::Pcmu, ADPCM_RATE, 1), vec![piece]))
}

/// One sample as ITU-T G.711 µ-law.
fn mu_law(sample: i16) -> u8 {
    /// Added before the segments are told apart, so that they begin at powers of two.
    const BIAS: u16 = 0x84;
    const CLIP: u16 = 32_635;
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = sample.unsigned_abs().min(CLIP) + BIAS;
    let segment = 8 - (magnitude.leading_zeros() as u8).min(8);
    let mantissa = (magnitude >> (segment + 3)) as u8 & 15;
    !(sign | segment << 4 | mantissa)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adts_headers_become_the_tracks_parameters() {
        // AAC LC, 24 kHz, mono, 9 bytes in all: the vector of the protocol notes.
        let packet = Bytes::from_static(&[0xff, 0xf1, 0x58, 0x40, 0x01, 0x3f, 0xfc, 0x01, 0x02]);
        let packet = Bytes::from([&packet[..], &packet[..]].concat());
        let (track, pieces) = read_adts(&packet).unwrap();
        assert_eq!((track.codec, track.clock_rate), (Codec::Aac, 24_000));
        assert_eq!(pieces.len(), 2);
        assert_eq!(&pieces[1].payload[..], [1, 2]);
    }

    #[test]
    fn what_is_no_adts_is_refused() {
        assert_eq!(read_adts(&Bytes::from_static(b"no sound at all")), None);
        assert_eq!(read_adts(&Bytes::new()), None);
        let short = Bytes::from_static(&[0xff, 0xf1, 0x58, 0x40, 0x0f, 0x3f, 0xfc, 0x01]);
        assert_eq!(read_adts(&short), None, "it promises more than it has");
    }

    #[test]
    fn mu_law_is_that_of_the_recommendation() {
        for (sample, code) in [
            (0, 0xff),
            (-1, 0x7f),
            (8, 0xfe),
            (1_000, 0xce),
            (-1_000, 0x4e),
            (32_767, 0x80),
            (-32_768, 0x00),
        ] {
            assert_eq!(mu_law(sample), code, "{sample}");
        }
    }

    #[test]
    fn a_block_of_adpcm_is_480_samples_of_8_khz() {
        let (track, pieces) = read_adpcm(&[0; 244]).unwrap();
        assert_eq!((track.codec, track.clock_rate), (Codec::Pcmu, 8_000));
        assert_eq!((pieces[0].samples, pieces[0].payload.len()), (480, 480));
        assert_eq!(read_adpcm(&[0, 0, 99, 0]), None);
    }
}
