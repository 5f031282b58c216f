//! Cameras on loopback in which the test decides every byte.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dialer::{Dialer, Direct};
use hub::{Event, Hub, Stream, StreamName};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{Camera, DriverContext, DriverError, Transport};

/// Longest a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(10);

/// A picture whose scan tells its number.
pub(crate) fn picture(number: u32, len: usize) -> Vec<u8> {
    let mut out = vec![0xff, 0xd8, 0xff, 0xe0, 0, 4, b'J', b'F'];
    out.extend_from_slice(&[0xff, 0xc0, 0, 11, 8, 1, 0xe0, 2, 0x80, 1, 1, 0x11, 0]);
    out.extend_from_slice(&[0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0]);
    out.extend_from_slice(format!("{number:08}").as_bytes());
    out.resize(out.len() + len, 7);
    out.extend_from_slice(&[0xff, 0xd9]);
    out
}

pub(crate) fn camera(url: &str) -> Camera {
    Camera {
        name: StreamName::new("esp").unwrap(),
        url: url.parse().unwrap(),
        user: None,
        password: None,
        transport: Transport::Tcp,
        idle: Duration::from_secs(10),
        interval: None,
        timeout: Camera::TIMEOUT,
    }
}

/// A camera that does `serve` with each connection, one after the other; gives its port.
pub(crate) async fn listen<F, S>(mut serve: S) -> u16
where
    F: Future<Output = ()> + Send,
    S: FnMut(TcpStream) -> F + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            serve(stream).await;
        }
    });
    port
}

/// A driver's session that runs.
pub(crate) struct Session {
    pub(crate) stream: Arc<Stream>,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), DriverError>>,
}

impl Session {
    pub(crate) fn start(camera: Camera) -> Self {
        Self::start_through(camera, Arc::new(Direct))
    }

    pub(crate) fn start_through(camera: Camera, dialer: Arc<dyn Dialer>) -> Self {
        let stream = Hub::new().add(camera.name.clone());
        let shutdown = CancellationToken::new();
        let context = DriverContext {
            publisher: stream.publisher(),
            dialer,
            shutdown: shutdown.clone(),
        };
        let driver = crate::driver(camera.url.scheme()).unwrap();
        let task = tokio::spawn(async move { driver.run(&camera, context).await });
        Self {
            stream,
            shutdown,
            task,
        }
    }

    /// The first `count` pictures, from the oldest that is kept.
    pub(crate) async fn pictures(&self, count: usize) -> Vec<Bytes> {
        let collect = async {
            let mut cursor = self.stream.ring().start_oldest();
            let mut pictures = Vec::new();
            while pictures.len() < count {
                match cursor.poll(self.stream.ring()) {
                    Some(event) => {
                        if let Event::AccessUnit(unit, _) = &*event {
                            pictures.push(unit.payload.clone());
                        }
                    }
                    None => self.stream.ring().wait(cursor.next()).await,
                }
            }
            pictures
        };
        tokio::time::timeout(PATIENCE, collect)
            .await
            .expect("the pictures came")
    }

    /// Shuts it down; a session that was shut down is no failure.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.end().await.unwrap();
    }

    /// How it ended by itself.
    pub(crate) async fn end(self) -> Result<(), DriverError> {
        let ended = tokio::time::timeout(PATIENCE, self.task).await;
        ended.expect("the session ended").unwrap()
    }

    pub(crate) async fn failure(self) -> DriverError {
        self.end().await.unwrap_err()
    }
}
