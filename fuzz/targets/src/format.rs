//! Codec parameters and fragmented MP4.

use bytes::Bytes;
use format::aac::AudioSpecificConfig;
use format::fmp4::{Fragment, codec_string, init_segment};
use format::jpeg::{self, Picture};
use format::{MAX_PICTURE_SIDE, h264, h265};
use media::Track;

/// A parameter set that is taken has a size a picture can have, and makes an init segment.
pub fn format_h264(data: &[u8]) {
    let Ok(sps) = h264::Sps::parse(data) else {
        return;
    };
    assert!((1..=2 * MAX_PICTURE_SIDE + 32).contains(&sps.width));
    assert!((1..=2 * MAX_PICTURE_SIDE + 64).contains(&sps.height));
    assert!(
        sps.frame_rate
            .is_none_or(|rate| rate > 0.0 && rate <= 1_000.0)
    );
    assert_eq!(sps.codec_string().len(), "avc1.42C01E".len());
    let nal = Bytes::copy_from_slice(data);
    check_init(&Track::h264(nal, Bytes::from_static(&[0x68, 0xce]), 0, 0));
}

/// The same for H.265; profile, tier and level keep their twelve bytes.
pub fn format_h265(data: &[u8]) {
    let Ok(sps) = h265::Sps::parse(data) else {
        return;
    };
    assert!((1..=MAX_PICTURE_SIDE).contains(&sps.width));
    assert!((1..=MAX_PICTURE_SIDE).contains(&sps.height));
    assert!((1..=7).contains(&sps.temporal_layers));
    assert_eq!(
        sps.profile_tier_level.encode()[11],
        sps.profile_tier_level.level
    );
    let sps = Bytes::copy_from_slice(data);
    let (vps, pps) = (
        Bytes::from_static(&[0x40, 1]),
        Bytes::from_static(&[0x44, 1]),
    );
    check_init(&Track::h265(vps, sps, pps, 0, 0));
}

/// A configuration that is taken has a rate and an access unit length.
pub fn format_aac(data: &[u8]) {
    let Ok(config) = AudioSpecificConfig::parse(data) else {
        return;
    };
    assert!(config.sample_rate > 0 && config.samples_per_access_unit > 0);
    assert!(config.codec_string().starts_with("mp4a.40."));
    if data.len() <= 64 {
        check_init(&Track::aac(Bytes::copy_from_slice(data), 48_000, 2));
    }
}

/// A picture that has a size has two sides; a whole one begins and ends as JPEG does.
pub fn format_jpeg(data: &[u8]) {
    if let Ok(picture) = Picture::parse(data) {
        assert!(picture.width > 0 && picture.height > 0);
    }
    if jpeg::is_whole(data) {
        assert!(data.starts_with(&[0xff, 0xd8]) && data.len() >= 4);
    }
}

/// Any access unit makes a fragment of two boxes that end with its bytes.
pub fn format_fragment(data: &[u8]) {
    let (head, payload) = data.split_at(data.len().min(8));
    let mut number = [0; 8];
    for (to, from) in number.iter_mut().zip(head) {
        *to = *from;
    }
    let decode_time = u64::from_be_bytes(number);
    let [a, b, c, d, ..] = number;
    let fragment = Fragment {
        track: 1,
        sequence: 1,
        decode_time,
        duration: u32::from_be_bytes([d, c, b, a]),
        composition_offset: i32::from_be_bytes([a, b, c, d]),
        is_keyframe: a & 1 == 1,
        payload,
    };
    let bytes = fragment.encode().expect("fuzzers stay below the cap");
    assert!(bytes.ends_with(payload));
    assert_eq!(count_boxes(&bytes), 2);
}

fn check_init(track: &Track) {
    let segment = init_segment(std::slice::from_ref(track)).expect("its parameters were taken");
    assert_eq!(count_boxes(&segment), 2);
    codec_string(track).expect("its parameters were taken");
}

/// Boxes on the outermost level; they must fill `bytes` exactly.
fn count_boxes(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let Some(size) = bytes.first_chunk::<4>() {
        let size = usize::try_from(u32::from_be_bytes(*size)).expect("sizes fit");
        assert!(size >= 8);
        bytes = bytes.get(size..).expect("a box ends inside its file");
        count += 1;
    }
    assert!(bytes.is_empty());
    count
}
