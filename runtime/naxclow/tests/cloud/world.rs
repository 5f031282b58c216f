//! A cloud with ports of its own, and cameras that switch off with the test.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use naxclow::{Addresses, CameraReport, Cloud, Item, Listeners, Live, Settings};
use proto_naxclow::Media;
use sim_cameras::{A9Camera, A9Fault, A9Profile};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Longest a test waits for anything, on a machine that is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

pub(crate) const UID: &str = "0800c00128F8";

pub(crate) struct World {
    pub(crate) cloud: Cloud,
    pub(crate) at: Addresses,
    pub(crate) store: store::Store,
    pub(crate) folder: tempfile::TempDir,
    cameras: JoinSet<()>,
    _end: DropGuard,
}

pub(crate) fn settings() -> Settings {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    Settings {
        http: any,
        tcp: any,
        udp: any,
        mqtt: Some(any),
        dns: Some(any),
        host: None,
        strict_token: false,
        any_source: false,
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(settings(), &[]).await
    }

    pub(crate) async fn with(settings: Settings, configured: &[(String, String)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = store::Store::open(folder.path()).unwrap();
        let listeners = Listeners::bind(&settings).unwrap();
        let at = listeners.addresses().unwrap();
        let cloud = Cloud::new(settings, at.clone(), Some(store.clone()), configured).unwrap();
        let end = CancellationToken::new();
        tokio::spawn(listeners.serve(cloud.clone(), end.clone()));
        Self {
            cloud,
            at,
            store,
            folder,
            cameras: JoinSet::new(),
            _end: end.drop_guard(),
        }
    }

    /// A camera that shows numbered pictures.
    pub(crate) fn camera(&self, uid: &str, profile: A9Profile) -> A9Camera {
        let camera = A9Camera::new(uid.parse().unwrap(), profile)
            .with_cloud(self.at.http)
            .with_pause(Duration::from_millis(100))
            .with_pictures(numbered);
        match profile {
            A9Profile::MqttOnly => camera.with_mqtt(self.at.mqtt.unwrap()),
            _ => camera,
        }
    }

    pub(crate) fn switch_on(&mut self, camera: &A9Camera) {
        self.cameras.spawn(camera.clone().run());
    }

    /// A camera that is there and registered.
    pub(crate) async fn ready(&mut self, uid: &str, profile: A9Profile, fault: &str) -> A9Camera {
        let fault: A9Fault = fault.parse().unwrap();
        let camera = self.camera(uid, profile).with_fault(fault);
        self.switch_on(&camera);
        self.registered(uid).await;
        camera
    }

    pub(crate) async fn registered(&self, uid: &str) -> CameraReport {
        self.until(uid, |camera| {
            camera.state == "registered" || camera.state == "live"
        })
        .await
    }

    /// The camera's report, once it is as wanted.
    pub(crate) async fn until(
        &self,
        uid: &str,
        wanted: impl Fn(&CameraReport) -> bool,
    ) -> CameraReport {
        let started = Instant::now();
        loop {
            let report = self.cloud.camera(uid);
            if let Ok(report) = &report
                && wanted(report)
            {
                return report.clone();
            }
            assert!(started.elapsed() < PATIENCE, "still {report:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn live(&self, uid: &str) -> Live {
        self.cloud.live(uid, Media::BOTH).await.unwrap()
    }
}

/// A valid picture that tells its number, of a length of its own.
pub(crate) fn numbered(number: u64) -> Bytes {
    let mut out = vec![0xff, 0xd8, 0xff, 0xe0, 0, 4, b'J', b'F'];
    out.extend_from_slice(&[0xff, 0xc0, 0, 11, 8, 1, 0xe0, 2, 0x80, 1, 1, 0x11, 0]);
    out.extend_from_slice(&[0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0]);
    out.extend_from_slice(format!("{number:08}").as_bytes());
    out.resize(out.len() + 8_000 + (number as usize * 997) % 9_000, 7);
    out.extend_from_slice(&[0xff, 0xd9]);
    out.into()
}

/// The number of a picture, which must be whole.
pub(crate) fn number(picture: &Bytes) -> u64 {
    let number = std::str::from_utf8(&picture[31..39])
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(*picture, numbered(number), "picture {number} is torn");
    number
}

/// The next `count` pictures by number, and the blocks of sound between them.
pub(crate) async fn pictures(live: &mut Live, count: usize) -> (Vec<u64>, Vec<Bytes>) {
    let collect = async {
        let (mut numbers, mut sounds) = (Vec::new(), Vec::new());
        while numbers.len() < count {
            match live.next().await {
                Some(Item::Picture(jpeg)) => numbers.push(number(&jpeg)),
                Some(Item::Audio(_, block)) => sounds.push(block),
                other => panic!("{other:?} after {numbers:?}"),
            }
        }
        (numbers, sounds)
    };
    let (numbers, sounds) = tokio::time::timeout(PATIENCE, collect)
        .await
        .expect("the pictures came");
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    (numbers, sounds)
}
