use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hub::{Hub, Publisher, Stream, StreamName};
use media::{AccessUnit, Codec, MediaTime, Track, Tracks};

use super::{Message, Mse, Session};
use crate::Error;

const SPS: &[u8] = &[
    0x67, 0x42, 0xc0, 0x28, 0xd9, 0x00, 0xa0, 0x2f, 0xf9, 0x70, 0x11, 0x00, 0x00, 0x03, 0x00, 0x01,
    0x00, 0x00, 0x03, 0x00, 0x32, 0x0f, 0x18, 0x32, 0x48,
];
const PPS: &[u8] = &[0x68, 0xcb, 0x83, 0xcb, 0x20];

struct Camera {
    hub: Arc<Hub>,
    stream: Arc<Stream>,
    publisher: Publisher,
    mse: Mse,
    start: Instant,
}

impl Camera {
    fn new(tracks: Vec<Track>) -> Self {
        let hub = Arc::new(Hub::new());
        let stream = hub.add(StreamName::new("porch").unwrap());
        let mut publisher = stream.publisher();
        publisher.announce(Tracks::new(tracks)).unwrap();
        let mse = Mse::new(Arc::clone(&hub));
        let start = Instant::now();
        Self {
            hub,
            stream,
            publisher,
            mse,
            start,
        }
    }

    fn publish(&mut self, track: usize, ms: i64, rate: i64, is_keyframe: bool, payload: Bytes) {
        let unit = AccessUnit {
            track,
            time: MediaTime(ms * rate / 1000),
            wall: None,
            received: self.start + Duration::from_millis(u64::try_from(ms).unwrap()),
            is_keyframe,
            payload,
        };
        self.publisher.publish(unit).unwrap();
    }

    /// Pictures at 25 a second, a keyframe every ten.
    fn pictures(&mut self, numbers: std::ops::Range<i64>) {
        for n in numbers {
            let payload = media::length_prefixed([format!("picture {n}").as_bytes()]);
            self.publish(0, n * 40, 90_000, n % 10 == 0, payload);
        }
    }
}

fn h264() -> Track {
    Track::h264(Bytes::from_static(SPS), Bytes::from_static(PPS), 640, 360)
}

fn aac() -> Track {
    Track::aac(Bytes::from_static(&[0x11, 0x88]), 48_000, 1)
}

/// What a viewer has at once, as words: the type of a text, `segment`, or the payload's end.
async fn at_once(session: &mut Session) -> Vec<String> {
    let mut words = Vec::new();
    while let Ok(Some(message)) =
        tokio::time::timeout(Duration::from_millis(50), session.next()).await
    {
        words.push(match message {
            Message::Text(text) => {
                let value: serde_json::Value = serde_json::from_str(&text).unwrap();
                value["type"].as_str().unwrap().to_owned()
            }
            Message::Binary(bytes) if bytes[4..8] == *b"ftyp" => "segment".to_owned(),
            Message::Binary(bytes) => {
                let mdat = bytes.windows(4).position(|four| four == b"mdat").unwrap();
                let start = (mdat + 8).min(bytes.len());
                String::from_utf8_lossy(&bytes[start..]).into_owned()
            }
        });
    }
    words
}

async fn init(session: &mut Session) -> serde_json::Value {
    let Some(Message::Text(text)) = session.next().await else {
        panic!("a session begins with a text");
    };
    serde_json::from_str(&text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_viewer_begins_with_the_init_segment_and_the_newest_gop() {
    let mut camera = Camera::new(vec![h264()]);
    camera.pictures(0..23);
    let mut session = camera.mse.session("porch").unwrap();
    let expected = [
        "init",
        "segment",
        "picture 20",
        "picture 21",
        "picture 22",
        "live",
    ];
    assert_eq!(at_once(&mut session).await, expected);
    camera.pictures(23..25);
    assert_eq!(at_once(&mut session).await, ["picture 23", "picture 24"]);
}

#[tokio::test(start_paused = true)]
async fn a_fragment_is_made_once_for_all_viewers() {
    let mut camera = Camera::new(vec![h264()]);
    camera.pictures(0..3);
    let mut sessions = [(); 3].map(|()| camera.mse.session("porch").unwrap());
    assert_eq!(camera.mse.viewers("porch"), 3);
    assert_eq!(camera.stream.leases(), 1, "the muxer is the only reader");
    let mut places = Vec::new();
    for session in &mut sessions {
        let mut mine = Vec::new();
        for _ in 0..5 {
            if let Some(Message::Binary(bytes)) = session.next().await {
                mine.push(bytes.as_ptr());
            }
        }
        places.push(mine);
    }
    assert_eq!(places[0].len(), 4);
    assert!(places.iter().all(|mine| *mine == places[0]));
}

#[tokio::test(start_paused = true)]
async fn the_stream_is_given_back_after_the_last_viewer() {
    let mut camera = Camera::new(vec![h264()]);
    camera.pictures(0..3);
    for _ in 0..2 {
        let mut session = camera.mse.session("porch").unwrap();
        assert_eq!(at_once(&mut session).await.len(), 6);
        drop(session);
        tokio::task::yield_now().await;
        assert_eq!(
            (camera.stream.leases(), camera.mse.viewers("porch")),
            (0, 0)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn new_parameters_give_a_new_init_segment_in_order_with_the_pictures() {
    let mut camera = Camera::new(vec![h264()]);
    camera.pictures(0..2);
    let mut session = camera.mse.session("porch").unwrap();
    at_once(&mut session).await;
    camera.pictures(2..3);
    let mut other = h264();
    other.parameters = media::CodecParameters::H264 {
        sps: Bytes::from_static(SPS),
        pps: Bytes::from_static(&[0x68, 0xcb, 0x83, 0xcb, 0x21]),
    };
    camera.publisher.announce(Tracks::new(vec![other])).unwrap();
    camera.pictures(3..4);
    camera.pictures(10..12);
    let expected = [
        "picture 2",
        "init",
        "segment",
        "picture 10",
        "picture 11",
        "live",
    ];
    assert_eq!(at_once(&mut session).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_viewer_in_the_wake_of_new_parameters_waits_for_their_keyframe() {
    let mut camera = Camera::new(vec![h264()]);
    camera.pictures(0..3);
    let jpeg_too = Tracks::new(vec![h264(), Track::jpeg(None)]);
    camera.publisher.announce(jpeg_too).unwrap();
    let mut session = camera.mse.session("porch").unwrap();
    assert!(at_once(&mut session).await.is_empty());
    camera.pictures(10..11);
    let expected = ["init", "segment", "picture 10", "live"];
    assert_eq!(at_once(&mut session).await, expected);
}

#[tokio::test(start_paused = true)]
async fn codecs_that_browsers_do_not_play_are_left_out_with_a_reason() {
    let mut camera = Camera::new(vec![h264(), Track::g711(Codec::Pcma, 8_000, 1)]);
    camera.pictures(0..1);
    let mut session = camera.mse.session("porch").unwrap();
    let value = init(&mut session).await;
    assert_eq!(value["mime"], "video/mp4; codecs=\"avc1.42C028\"");
    assert_eq!(value["left_out"][0]["codec"], "PCMA");
}

#[tokio::test(start_paused = true)]
async fn a_jpeg_camera_and_an_unknown_one_are_refused_in_words() {
    let camera = Camera::new(vec![Track::jpeg(None)]);
    let mut session = camera.mse.session("porch").unwrap();
    let value = init(&mut session).await;
    assert_eq!(value["type"], "error");
    let message = value["message"].as_str().unwrap();
    assert!(message.contains("JPEG"), "{message}");
    let error = camera.mse.session("cellar").unwrap_err();
    assert_eq!(error, Error::UnknownStream("cellar".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn sound_that_never_comes_does_not_hold_up_the_picture() {
    let mut camera = Camera::new(vec![h264(), aac()]);
    camera.pictures(0..2);
    let mut session = camera.mse.session("porch").unwrap();
    assert_eq!(
        init(&mut session).await["tracks"].as_array().unwrap().len(),
        2
    );
    at_once(&mut session).await;
    // The half second ends inside the second GOP, which is repeated behind the new init segment.
    camera.pictures(2..15);
    let words = at_once(&mut session).await;
    let again = words.iter().position(|word| word == "init").unwrap();
    assert_eq!(words[again + 1], "segment");
    assert_eq!(words[again + 2], "picture 10");
    assert_eq!(words.last().unwrap(), "live");
    assert_eq!(words.iter().filter(|word| *word == "picture 11").count(), 2);
}

#[tokio::test(start_paused = true)]
async fn sound_that_comes_late_joins_with_a_new_init_segment() {
    let mut camera = Camera::new(vec![h264(), aac()]);
    camera.pictures(0..1);
    let mut session = camera.mse.session("porch").unwrap();
    at_once(&mut session).await;
    camera.pictures(1..25);
    at_once(&mut session).await;
    camera.publish(1, 1_000, 48_000, true, Bytes::from_static(b"raw:sound"));
    let words = at_once(&mut session).await;
    assert_eq!(words[..3], ["init", "segment", "picture 20"]);
    assert_eq!(words[words.len() - 2..], ["sound", "live"]);
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_does_not_read_goes_on_at_a_keyframe_and_its_loss_is_counted() {
    let mut camera = Camera::new(vec![h264()]);
    camera.pictures(0..1);
    let mut slow = camera.mse.session("porch").unwrap();
    let mut fast = camera.mse.session("porch").unwrap();
    at_once(&mut slow).await;
    at_once(&mut fast).await;
    for n in 1..64_i64 {
        let mut payload = vec![0; 1 << 20];
        payload.extend_from_slice(format!("picture {n}").as_bytes());
        let payload = media::length_prefixed([payload.as_slice()]);
        camera.publish(0, n * 40, 90_000, n % 10 == 0, payload);
        assert_eq!(at_once(&mut fast).await.len(), 1);
    }
    let words = at_once(&mut slow).await;
    assert!(words[0].ends_with("picture 60"), "a keyframe comes first");
    assert_eq!(words.len(), 4);
    assert_eq!(slow.lost(), 59);
    assert_eq!(camera.stream.statistics().outputs["mse"].dropped, 59);
}

#[tokio::test(start_paused = true)]
async fn a_viewer_is_told_that_the_camera_is_away_and_stays() {
    let mut camera = Camera::new(vec![h264()]);
    camera.pictures(0..1);
    let mut session = camera.mse.session("porch").unwrap();
    at_once(&mut session).await;
    let reason = Some("no route to it".to_owned());
    camera.stream.set_status(hub::State::Waiting, reason, None);
    let Some(Message::Text(text)) = session.next().await else {
        panic!("nothing was said");
    };
    assert!(
        text.contains("away") && text.contains("no route to it"),
        "{text}"
    );
    camera.pictures(10..11);
    assert_eq!(at_once(&mut session).await, ["picture 10"]);
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_when_its_camera_is_taken_out() {
    let mut camera = Camera::new(vec![h264()]);
    camera.pictures(0..1);
    let mut session = camera.mse.session("porch").unwrap();
    at_once(&mut session).await;
    camera.hub.remove("porch");
    assert_eq!(session.next().await, None);
}
