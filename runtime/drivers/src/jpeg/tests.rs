use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use bytes::Bytes;
use dialer::{BoxIo, Dialer, Direct, Target};
use futures_util::future::BoxFuture;
use tokio::io::AsyncWriteExt;

use crate::Reason;
use crate::testing::{Session, camera, listen, picture};

fn numbers(pictures: &[Bytes]) -> Vec<u32> {
    let number = |picture: &Bytes| {
        std::str::from_utf8(&picture[31..39])
            .unwrap()
            .parse()
            .unwrap()
    };
    pictures.iter().map(number).collect()
}

#[tokio::test]
async fn a_one_shot_camera_is_called_again_at_once() {
    let mut next = 0;
    let port = listen(move |mut stream| {
        let picture = picture(next, 20_000);
        next += 1;
        async move {
            let _ = stream.write_all(&picture).await;
        }
    })
    .await;
    let started = Instant::now();
    let session = Session::start(camera(&format!("jpeg+tcp://127.0.0.1:{port}")));
    let pictures = session.pictures(40).await;
    assert_eq!(numbers(&pictures), (0..40).collect::<Vec<_>>());
    // The original relay waited 50 ms after each picture.
    assert!(
        started.elapsed().as_millis() < 40 * 50,
        "{:?}",
        started.elapsed()
    );
    session.stop().await;
}

#[tokio::test]
async fn a_gapless_continuous_camera_gives_every_picture_over_one_connection() {
    let connections = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&connections);
    let port = listen(move |mut stream| {
        counter.fetch_add(1, Ordering::Relaxed);
        async move {
            let all: Vec<u8> = (0..300).flat_map(|n| picture(n, 3_000)).collect();
            // Sizes that share no factor with the pictures: markers are cut at every place.
            for piece in all.chunks(1_999) {
                if stream.write_all(piece).await.is_err() {
                    return;
                }
            }
            std::future::pending::<()>().await;
        }
    })
    .await;
    let session = Session::start(camera(&format!("jpeg+tcp://127.0.0.1:{port}")));
    let pictures = session.pictures(300).await;
    assert_eq!(numbers(&pictures), (0..300).collect::<Vec<_>>());
    assert_eq!(connections.load(Ordering::Relaxed), 1);
    let tracks = session.stream.tracks().unwrap();
    assert_eq!(tracks[0].size, Some((640, 480)));
    session.stop().await;
}

#[tokio::test]
async fn cut_pictures_are_left_out_and_the_camera_is_called_again() {
    let mut next = 0;
    let port = listen(move |mut stream| {
        let mut picture = picture(next, 2_000);
        if next % 2 == 0 {
            picture.truncate(1_000);
        }
        next += 1;
        async move {
            let _ = stream.write_all(&picture).await;
        }
    })
    .await;
    let session = Session::start(camera(&format!("jpeg+tcp://127.0.0.1:{port}")));
    assert_eq!(numbers(&session.pictures(3).await), [1, 3, 5]);
    session.stop().await;
}

#[tokio::test]
async fn a_server_of_another_protocol_is_named() {
    let port = listen(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    })
    .await;
    let failure = Session::start(camera(&format!("jpeg+tcp://127.0.0.1:{port}")));
    let failure = failure.failure().await.to_string();
    assert!(failure.contains("try mjpeg+http://"), "{failure}");
    assert!(failure.contains("HTTP/1.1 400"), "{failure}");
}

#[tokio::test]
async fn a_camera_that_closes_without_a_byte_is_said_to_be_busy() {
    let port = listen(|stream| async move { drop(stream) }).await;
    let session = Session::start(camera(&format!("jpeg+tcp://127.0.0.1:{port}")));
    let failure = session.failure().await;
    assert_eq!(failure.reason(), Reason::Closed);
    assert!(
        failure.to_string().contains("one viewer at a time"),
        "{failure}"
    );
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let port = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let session = Session::start(camera(&format!("jpeg+tcp://127.0.0.1:{port}")));
    assert_eq!(session.failure().await.reason(), Reason::Unreachable);
}

#[tokio::test]
async fn a_path_is_refused_with_the_scheme_that_has_one() {
    let session = Session::start(camera("jpeg+tcp://127.0.0.1:1/stream"));
    let failure = session.failure().await.to_string();
    assert!(failure.contains("mjpeg+http://"), "{failure}");
}

/// Stands for an agent: what it is asked for is not where it connects.
struct Elsewhere(u16);

impl Dialer for Elsewhere {
    fn connect<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, std::io::Result<BoxIo>> {
        Box::pin(async move {
            assert_eq!(target.to_string(), "10.9.8.7:1234");
            Direct.connect(&Target::new("127.0.0.1", self.0)).await
        })
    }

    fn describe(&self) -> String {
        "via agent shed".to_owned()
    }
}

#[tokio::test]
async fn the_camera_is_reached_through_the_dialer() {
    let port = listen(|mut stream| async move {
        let _ = stream.write_all(&picture(0, 10)).await;
    })
    .await;
    let camera = camera("jpeg+tcp://10.9.8.7");
    let session = Session::start_through(camera, Arc::new(Elsewhere(port)));
    assert_eq!(session.pictures(2).await.len(), 2);
    session.stop().await;
}
