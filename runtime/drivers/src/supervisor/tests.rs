use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use dialer::Direct;
use futures_util::future::BoxFuture;
use hub::{Hub, StreamName};
use media::{AccessUnit, MediaTime, Track, Tracks};

use super::*;
use crate::Transport;

/// A camera in which the test decides what each session does.
#[derive(Default)]
struct Scripted {
    sessions: AtomicU32,
    refuses_login: bool,
    /// Pictures of each session before it falls silent.
    pictures: u32,
    ends: bool,
}

impl Driver for Scripted {
    fn protocol(&self) -> &'static str {
        "scripted"
    }

    fn run<'a>(
        &'a self,
        _camera: &'a Camera,
        mut context: DriverContext,
    ) -> BoxFuture<'a, Result<(), DriverError>> {
        Box::pin(async move {
            self.sessions.fetch_add(1, Ordering::Relaxed);
            if self.refuses_login {
                return Err(DriverError::Login {
                    user: None,
                    said: "401".to_owned(),
                });
            }
            context
                .publisher
                .announce(Tracks::new(vec![Track::jpeg(None)]))?;
            for n in 0..self.pictures {
                context.publisher.publish(AccessUnit {
                    track: 0,
                    time: MediaTime(3_600 * i64::from(n)),
                    wall: None,
                    received: Instant::now(),
                    is_keyframe: true,
                    payload: Bytes::from_static(b"picture"),
                })?;
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
            if !self.ends {
                context.shutdown.cancelled().await;
            }
            Ok(())
        })
    }
}

fn start(driver: Scripted) -> (Arc<Scripted>, Arc<Stream>, CancellationToken) {
    let driver = Arc::new(driver);
    let stream = Hub::new().add(StreamName::new("porch").unwrap());
    let shutdown = CancellationToken::new();
    let camera = Camera {
        name: stream.name().clone(),
        url: "rtsp://camera/".parse().unwrap(),
        user: None,
        password: None,
        transport: Transport::Tcp,
        idle: Duration::from_secs(10),
        interval: None,
        timeout: Camera::TIMEOUT,
    };
    let dynamic: Arc<dyn Driver> = driver.clone();
    let task = supervise(
        dynamic,
        camera,
        Arc::new(Direct),
        stream.clone(),
        shutdown.clone(),
    );
    tokio::spawn(task);
    (driver, stream, shutdown)
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn nobody_watches_nothing_is_sent() {
    let (driver, stream, _shutdown) = start(Scripted {
        pictures: u32::MAX,
        ..Scripted::default()
    });
    seconds(3_600).await;
    assert_eq!(driver.sessions.load(Ordering::Relaxed), 0);
    assert_eq!(stream.status().state, State::Idle);
}

#[tokio::test(start_paused = true)]
async fn the_first_reader_starts_the_upstream_and_the_last_ends_it_after_the_idle_time() {
    let (driver, stream, _shutdown) = start(Scripted {
        pictures: u32::MAX,
        ..Scripted::default()
    });
    let lease = stream.lease();
    seconds(5).await;
    assert_eq!(stream.status().state, State::Live);
    drop(lease);
    seconds(8).await;
    assert_eq!(
        stream.status().state,
        State::Live,
        "a viewer who reloads finds it running"
    );
    seconds(5).await;
    assert_eq!(stream.status().state, State::Idle);
    let _lease = stream.lease();
    seconds(1).await;
    assert_eq!(driver.sessions.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn silence_of_the_media_ends_the_session_and_begins_another() {
    let (driver, stream, _shutdown) = start(Scripted {
        pictures: 3,
        ..Scripted::default()
    });
    let _lease = stream.lease();
    seconds(60).await;
    let sessions = driver.sessions.load(Ordering::Relaxed);
    assert!(
        (6..=12).contains(&sessions),
        "{sessions} sessions in a minute"
    );
    assert_eq!(
        stream.statistics().reconnects["stalled"],
        u64::from(sessions) - 1
    );
}

#[tokio::test(start_paused = true)]
async fn a_camera_that_closes_is_called_again_soon() {
    let (driver, stream, _shutdown) = start(Scripted {
        pictures: 1,
        ends: true,
        ..Scripted::default()
    });
    let _lease = stream.lease();
    seconds(10).await;
    assert!(driver.sessions.load(Ordering::Relaxed) >= 4);
}

#[tokio::test(start_paused = true)]
async fn a_refused_login_is_not_hammered() {
    let (driver, stream, _shutdown) = start(Scripted {
        refuses_login: true,
        ..Scripted::default()
    });
    let _lease = stream.lease();
    seconds(40).await;
    assert_eq!(driver.sessions.load(Ordering::Relaxed), 1);
    let status = stream.status();
    assert_eq!(status.state, State::Waiting);
    assert!(status.error.unwrap().contains("check user and password"));
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_a_running_session_within_a_second() {
    let (_driver, stream, shutdown) = start(Scripted {
        pictures: 3,
        ..Scripted::default()
    });
    let _lease = stream.lease();
    seconds(1).await;
    shutdown.cancel();
    seconds(1).await;
    assert_eq!(stream.status().state, State::Idle);
}
