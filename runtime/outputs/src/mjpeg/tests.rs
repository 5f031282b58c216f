use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hub::{Hub, Publisher, Stream, StreamName};
use media::{AccessUnit, MediaTime, Track, Tracks};
use pixels::{Pixels, Program, Settings};

use super::Mjpeg;

const PATIENCE: Duration = Duration::from_secs(3);

fn camera(track: Track) -> (Mjpeg, Arc<Stream>, Publisher) {
    let hub = Arc::new(Hub::new());
    let stream = hub.add(StreamName::new("esp").unwrap());
    let mut publisher = stream.publisher();
    publisher.announce(Tracks::new(vec![track])).unwrap();
    (Mjpeg::new(hub, pixels()), stream, publisher)
}

/// A maker of pictures whose decoder cannot be started.
pub(crate) fn pixels() -> Arc<Pixels> {
    let nobody = Program::new("/nonexistent/decoder", []);
    Arc::new(Pixels::new(Settings::new(nobody)))
}

/// A picture that is whole by its markers.
fn jpeg(content: &str) -> Bytes {
    Bytes::from([b"\xff\xd8", content.as_bytes(), b"\xff\xd9"].concat())
}

fn publish(publisher: &mut Publisher, n: i64, payload: Bytes) {
    let unit = AccessUnit {
        track: 0,
        time: MediaTime(n * 9_000),
        wall: None,
        received: Instant::now(),
        is_keyframe: true,
        payload,
    };
    publisher.publish(unit).unwrap();
}

#[tokio::test(start_paused = true)]
async fn each_part_ends_with_the_boundary_of_the_next() {
    let (mjpeg, stream, mut publisher) = camera(Track::jpeg(None));
    publish(&mut publisher, 0, jpeg("one"));
    let mut session = mjpeg.session("esp", PATIENCE).await.unwrap();
    assert_eq!(session.next().await.unwrap(), "--eyelet\r\n");
    let part = session.next().await.unwrap();
    let expected = [
        b"Content-Type: image/jpeg\r\nContent-Length: 7\r\n\r\n".as_slice(),
        &jpeg("one"),
        b"\r\n--eyelet\r\n",
    ];
    assert_eq!(part, expected.concat());
    assert_eq!((mjpeg.viewers("esp"), stream.leases()), (1, 1));
    drop(session);
    tokio::task::yield_now().await;
    assert_eq!((mjpeg.viewers("esp"), stream.leases()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn all_viewers_share_the_bytes_of_a_part() {
    let (mjpeg, _stream, mut publisher) = camera(Track::jpeg(None));
    publish(&mut publisher, 0, jpeg("one"));
    let mut places = Vec::new();
    let mut sessions = Vec::new();
    for _ in 0..3 {
        let mut session = mjpeg.session("esp", PATIENCE).await.unwrap();
        session.next().await;
        places.push(session.next().await.unwrap().as_ptr());
        sessions.push(session);
    }
    assert!(places.iter().all(|place| *place == places[0]));
}

#[tokio::test(start_paused = true)]
async fn a_torn_picture_is_left_out() {
    let (mjpeg, _stream, mut publisher) = camera(Track::jpeg(None));
    publish(&mut publisher, 0, jpeg("one"));
    let mut session = mjpeg.session("esp", PATIENCE).await.unwrap();
    session.next().await;
    session.next().await;
    publish(&mut publisher, 1, Bytes::from_static(b"\xff\xd8torn"));
    publish(&mut publisher, 2, jpeg("three"));
    let part = session.next().await.unwrap();
    assert!(part.windows(5).any(|five| five == b"three"));
}

#[tokio::test(start_paused = true)]
async fn a_fresh_still_does_not_trouble_the_camera() {
    let (mjpeg, stream, mut publisher) = camera(Track::jpeg(None));
    publish(&mut publisher, 0, jpeg("one"));
    let still = mjpeg.snapshot("esp", PATIENCE).await.unwrap();
    assert_eq!(still.jpeg, jpeg("one"));
    assert!(still.age < Duration::from_secs(2));
    assert_eq!(stream.leases(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_still_starts_the_stream_and_waits_for_a_whole_picture() {
    let (mjpeg, stream, mut publisher) = camera(Track::jpeg(None));
    let upstream = tokio::spawn({
        let stream = Arc::clone(&stream);
        async move {
            stream.wanted().await;
            publish(&mut publisher, 0, Bytes::from_static(b"\xff\xd8torn"));
            publish(&mut publisher, 1, jpeg("whole"));
        }
    });
    let still = mjpeg.snapshot("esp", PATIENCE).await.unwrap();
    assert_eq!(still.jpeg, jpeg("whole"));
    upstream.await.unwrap();
    assert_eq!(stream.leases(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_camera_that_gives_nothing_is_a_time_out_with_its_reason() {
    let (mjpeg, stream, _publisher) = camera(Track::jpeg(None));
    let reason = Some("connection refused".to_owned());
    stream.set_status(hub::State::Waiting, reason, None);
    let error = mjpeg.snapshot("esp", PATIENCE).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "camera esp gave no picture within 3 s: connection refused"
    );
}

#[tokio::test(start_paused = true)]
async fn an_old_still_is_better_than_none_and_tells_its_age() {
    let (mjpeg, _stream, mut publisher) = camera(Track::jpeg(None));
    let unit = AccessUnit {
        track: 0,
        time: MediaTime(0),
        wall: None,
        received: Instant::now() - Duration::from_secs(60),
        is_keyframe: true,
        payload: jpeg("old"),
    };
    publisher.publish(unit).unwrap();
    let still = mjpeg.snapshot("esp", PATIENCE).await.unwrap();
    assert_eq!(still.jpeg, jpeg("old"));
    assert!(still.age >= Duration::from_secs(60), "{:?}", still.age);
}

#[tokio::test(start_paused = true)]
async fn video_that_says_nothing_of_itself_is_refused() {
    let empty = Bytes::new();
    let (mjpeg, _stream, _publisher) = camera(Track::h264(empty.clone(), empty, 640, 360));
    let error = mjpeg.session("esp", PATIENCE).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("camera esp sent H.264 that cannot be decoded: "),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_picture_that_is_no_longer_live_is_not_shown_to_a_new_viewer() {
    let (mjpeg, _stream, mut publisher) = camera(Track::jpeg(None));
    let unit = AccessUnit {
        track: 0,
        time: MediaTime(0),
        wall: None,
        received: Instant::now() - super::STALE,
        is_keyframe: true,
        payload: jpeg("old"),
    };
    publisher.publish(unit).unwrap();
    let mut session = mjpeg.session("esp", PATIENCE).await.unwrap();
    session.next().await;
    let waited = tokio::time::timeout(PATIENCE, session.next()).await;
    assert!(waited.is_err(), "{waited:?}");
    publish(&mut publisher, 1, jpeg("new"));
    let part = session.next().await.unwrap();
    assert!(part.windows(3).any(|three| three == b"new"));
}
