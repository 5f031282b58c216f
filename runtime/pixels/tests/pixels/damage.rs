//! Cameras that send damaged or hostile video.

use bytes::{Bytes, BytesMut};
use media::{AccessUnit, CodecParameters, Track, Tracks};
use pixels::Error;

use crate::camera::{Camera, H264, H265, pixels, size};

/// Deterministic noise (xorshift).
struct Noise(u64);

impl Noise {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

fn damaged(unit: &AccessUnit, noise: &mut Noise) -> AccessUnit {
    let mut payload = BytesMut::from(&unit.payload[..]);
    for _ in 0..=noise.below(20) {
        // The length in front stays: damage is to be seen by the decoder.
        let at = 4 + noise.below(payload.len() - 4);
        payload[at] = noise.below(256) as u8;
    }
    if noise.below(4) == 0 {
        let keep = 5 + noise.below(payload.len() - 5);
        payload.truncate(keep);
        let len = (keep - 4) as u32;
        payload[..4].copy_from_slice(&len.to_be_bytes());
    }
    AccessUnit {
        payload: payload.freeze(),
        received: std::time::Instant::now(),
        ..unit.clone()
    }
}

async fn survives(mut camera: Camera) {
    let pixels = pixels();
    let unit = camera.send();
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let mut failed = 0;
    for _ in 0..40 {
        let damaged = damaged(&unit, &mut noise);
        match pixels.still(&camera.stream, &camera.tracks, &damaged).await {
            Ok(still) => drop(size(&still.payload)),
            Err(Error::Malformed { .. } | Error::Decoder { .. }) => failed += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(failed > 5, "only {failed} of 40 were found damaged");
    let good = pixels.still(&camera.stream, &camera.tracks, &unit).await;
    good.unwrap();
}

#[tokio::test]
async fn damaged_keyframes_of_h264_harm_nobody() {
    survives(Camera::h264(H264)).await;
}

#[tokio::test]
async fn damaged_keyframes_of_h265_harm_nobody() {
    survives(Camera::h265(H265)).await;
}

#[tokio::test]
async fn a_picture_of_absurd_size_is_refused_before_any_decoder_sees_it() {
    let camera = Camera::h264(H264);
    // Baseline, 16384x16384 in macroblocks: ue(1023) is ten zeros, a one, ten zeros.
    let bits = "01000010 11000000 00011110 1 1 1 1 010 0 00000000001 0000000000 \
                00000000001 0000000000 1 1 0 0 1";
    let bits: Vec<u8> = bits
        .bytes()
        .filter(|b| *b != b' ')
        .map(|b| b - b'0')
        .collect();
    let mut sps = vec![0x67];
    for eight in bits.chunks(8) {
        let byte = eight
            .iter()
            .enumerate()
            .fold(0, |byte, (at, bit)| byte | bit << (7 - at));
        sps.push(byte);
    }
    let CodecParameters::H264 { pps, .. } = camera.tracks[0].parameters.clone() else {
        panic!("it is H.264");
    };
    let tracks = Tracks::new(vec![Track::h264(Bytes::from(sps), pps, 16_384, 16_384)]);
    let error = pixels().pictures(&camera.stream, &tracks).unwrap_err();
    assert!(matches!(error, Error::Malformed { .. }), "{error}");
}
