//! The driver against simulated cameras on loopback.
#![allow(clippy::unwrap_used)]

use std::f64::consts::TAU;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dialer::{Dialer, Direct};
use drivers::reolink::{Devices, Reolink};
use drivers::{Camera, DriverError, Transport, supervise};
use hub::{Event, Hub, Stream, StreamName};
use media::Codec;
use sim_cameras::{
    ReolinkAudio, ReolinkCamera, ReolinkConfig, ReolinkModel, ReolinkServers, ReolinkVideo,
};
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Longest that anything may take on a busy machine; a search alone has 18 s.
const SOON: Duration = Duration::from_secs(40);

const LOCALHOST: &str = "127.0.0.1:0";

struct World {
    hub: Hub,
    devices: Devices,
    shutdown: CancellationToken,
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl World {
    fn new() -> Self {
        Self {
            hub: Hub::new(),
            devices: Devices::new(),
            shutdown: CancellationToken::new(),
        }
    }

    fn add(&self, name: &str, url: &str) -> Arc<Stream> {
        let camera = camera(name, url);
        let stream = self.hub.add(camera.name.clone());
        let driver = Arc::new(Reolink::new(self.devices.clone()));
        let end = self.shutdown.clone();
        tokio::spawn(supervise(
            driver,
            camera,
            Arc::new(Direct),
            Arc::clone(&stream),
            end,
        ));
        stream
    }

    /// What a command says that cannot be carried out.
    async fn refusal(&self, url: &str) -> String {
        let dialer: Arc<dyn Dialer> = Arc::new(Direct);
        let device = self.devices.device(&camera("porch", url), &dialer).unwrap();
        let asked = device.snapshot(0, proto_baichuan::StreamKind::Main);
        let error: DriverError = timeout(SOON, asked).await.unwrap().unwrap_err();
        error.to_string()
    }
}

fn camera(name: &str, url: &str) -> Camera {
    let url: url::Url = url.parse().unwrap();
    Camera {
        name: StreamName::new(name).unwrap(),
        user: Some(url.username().to_owned()),
        password: url.password().map(str::to_owned),
        url,
        transport: Transport::Tcp,
        idle: Duration::from_secs(1),
        interval: None,
        timeout: Duration::from_secs(10),
    }
}

/// The first `count` access units of a track.
async fn units(stream: &Arc<Stream>, track: usize, count: usize) -> Vec<Bytes> {
    let _lease = stream.lease();
    let mut cursor = stream.ring().start_oldest();
    let mut units = Vec::new();
    let collect = async {
        while units.len() < count {
            match cursor.poll(stream.ring()) {
                Some(event) => {
                    if let Event::AccessUnit(unit, _) = &*event
                        && unit.track == track
                    {
                        units.push(unit.payload.clone());
                    }
                }
                None => stream.ring().wait(cursor.next()).await,
            }
        }
    };
    if timeout(SOON, collect).await.is_err() {
        panic!("{} of {count} came: {:?}", units.len(), stream.status());
    }
    units
}

/// A camera on TCP, and its URL.
async fn on_tcp(config: ReolinkConfig) -> (ReolinkCamera, String) {
    let camera = ReolinkCamera::new(config);
    let listener = TcpListener::bind(LOCALHOST).await.unwrap();
    let url = camera.url(listener.local_addr().unwrap());
    tokio::spawn(camera.clone().serve_tcp(listener));
    (camera, url)
}

async fn udp() -> UdpSocket {
    UdpSocket::bind(LOCALHOST).await.unwrap()
}

/// A battery camera that nobody hears on the LAN, only the servers; and what follows the UID in its URL.
async fn behind_servers(is_direct_told: bool) -> (ReolinkCamera, ReolinkServers, String) {
    let lookup = udp().await;
    let address = lookup.local_addr().unwrap();
    let servers = ReolinkServers::new(lookup, udp().await, udp().await, is_direct_told).unwrap();
    tokio::spawn(servers.clone().serve());
    let camera = ReolinkCamera::new(ReolinkConfig {
        model: ReolinkModel::Battery,
        ..ReolinkConfig::default()
    });
    let serving = camera.clone();
    let (session, known) = (udp().await, servers.clone());
    tokio::spawn(async move { serving.serve_udp(Vec::new(), session, Some(known)).await });
    // Nobody waits for hellos here; the LAN need not hear of this test.
    let deaf = udp().await.local_addr().unwrap();
    (
        camera,
        servers,
        format!("?address={deaf}&servers={address}"),
    )
}

#[tokio::test]
async fn a_recorders_channels_play_over_one_login() {
    let (camera, url) = on_tcp(ReolinkConfig {
        model: ReolinkModel::Recorder { channels: 4 },
        ..ReolinkConfig::default()
    })
    .await;
    let world = World::new();
    let streams = [0, 1, 2].map(|channel| {
        world.add(
            &format!("channel{channel}"),
            &format!("{url}?channel={channel}"),
        )
    });
    let (first, second, third) = tokio::join!(
        units(&streams[0], 0, 30),
        units(&streams[1], 0, 30),
        units(&streams[2], 0, 30)
    );
    let codec = |stream: &Arc<Stream>| stream.tracks().unwrap()[0].codec;
    assert_eq!(codec(&streams[0]), Codec::H264);
    assert_eq!(codec(&streams[1]), Codec::H265);
    assert_eq!(codec(&streams[2]), Codec::H264);
    assert!(first != second && third.len() == 30);
    assert_eq!(camera.counters().logins, 1);
    assert_eq!(camera.counters().connections, 1);
}

#[tokio::test]
async fn the_sound_of_an_old_camera_is_heard() {
    let (_camera, url) = on_tcp(ReolinkConfig {
        audio: ReolinkAudio::Adpcm,
        video: ReolinkVideo::H265,
        ..ReolinkConfig::default()
    })
    .await;
    let world = World::new();
    let stream = world.add("porch", &url);
    // Three seconds of 8 kHz: both notes of the camera's chime.
    let mut pieces = Vec::new();
    let mut len = 0;
    for piece in units(&stream, 1, 75).await {
        len += piece.len();
        pieces.push(piece);
    }
    assert_eq!(stream.tracks().unwrap()[1].codec, Codec::Pcmu);
    assert!(len > 24_000, "{len} samples");
    let samples: Vec<f64> = pieces.concat().into_iter().map(linear).collect();
    for note in [659.26, 523.25] {
        let best = samples
            .chunks_exact(800)
            .map(|tenth| share(tenth, note))
            .fold(0.0, f64::max);
        assert!(best > 0.8, "{note} Hz is {best:.2} of the loudest");
    }
}

/// G.711 mu-law, ITU-T table 2.
fn linear(code: u8) -> f64 {
    let code = !code;
    let (exponent, mantissa) = (i32::from(code >> 4 & 7), i32::from(code & 15));
    let magnitude = (((mantissa << 3) + 0x84) << exponent) - 0x84;
    f64::from(if code & 0x80 == 0 {
        magnitude
    } else {
        -magnitude
    })
}

/// How much of the energy lies at a frequency.
fn share(samples: &[f64], frequency: f64) -> f64 {
    let (mut cosine, mut sine, mut all) = (0.0, 0.0, 0.0);
    for (at, sample) in samples.iter().enumerate() {
        let phase = TAU * frequency * at as f64 / 8_000.0;
        cosine += sample * phase.cos();
        sine += sample * phase.sin();
        all += sample * sample;
    }
    if all < 1e8 {
        return 0.0;
    }
    2.0 * (cosine * cosine + sine * sine) / (samples.len() as f64 * all)
}

#[tokio::test]
async fn a_camera_is_found_through_the_look_up_servers() {
    let (camera, servers, query) = behind_servers(true).await;
    let world = World::new();
    let url = format!(
        "reolink+uid://admin:demo@{}{query}&discovery=remote",
        camera.uid()
    );
    let stream = world.add("porch", &url);
    assert_eq!(units(&stream, 0, 30).await.len(), 30);
    assert_eq!(camera.counters().logins, 1);
    assert_eq!(
        servers.relayed(),
        0,
        "nothing but addresses is the servers'"
    );
}

#[tokio::test]
async fn a_camera_plays_through_the_relay_where_that_is_allowed() {
    let (camera, servers, query) = behind_servers(false).await;
    let world = World::new();
    let url = format!(
        "reolink+uid://admin:demo@{}{query}&discovery=relay",
        camera.uid()
    );
    let stream = world.add("porch", &url);
    assert_eq!(units(&stream, 0, 30).await.len(), 30);
    assert!(servers.relayed() > 30, "{}", servers.relayed());
}

#[tokio::test]
async fn who_cannot_be_found_is_told_with_what_to_try() {
    let (camera, _servers, query) = behind_servers(true).await;
    let world = World::new();
    let unknown = format!("reolink+uid://admin:demo@95270000ZZZZZZZZ{query}&discovery=remote");
    // Asleep in another network, and the servers are not asked.
    let absent = format!("reolink+uid://admin:demo@{}{query}", camera.uid());
    let (unknown, absent) = tokio::join!(world.refusal(&unknown), world.refusal(&absent));
    assert!(
        unknown.contains("look-up servers") || unknown.contains("check the UID"),
        "{unknown}"
    );
    assert!(!unknown.contains("95270000ZZZZZZZZ"), "{unknown}");
    for word in ["deep sleep", "address=IP", "discovery=remote"] {
        assert!(absent.contains(word), "{absent}");
    }
}

#[tokio::test]
async fn our_own_port_is_the_one_that_is_wanted() {
    let hello = udp().await;
    let address = hello.local_addr().unwrap();
    let camera = ReolinkCamera::new(ReolinkConfig {
        model: ReolinkModel::Battery,
        ..ReolinkConfig::default()
    });
    let (serving, session) = (camera.clone(), udp().await);
    tokio::spawn(async move { serving.serve_udp(vec![hello], session, None).await });
    // Held until the last moment, and below those that the kernel hands out, so that nobody else gets it.
    let from = u16::try_from(std::process::id() % 9_000).unwrap() + 20_000;
    let mut ours = None;
    for port in from..from + 1_000 {
        if let Ok(socket) = UdpSocket::bind(("0.0.0.0", port)).await {
            ours = Some(socket);
            break;
        }
    }
    let ours = ours.unwrap();
    let port = ours.local_addr().unwrap().port();
    let url = format!(
        "reolink+uid://admin:demo@{}?address={address}&port={port}",
        camera.uid()
    );
    let world = World::new();
    let said = world.refusal(&url).await;
    assert!(said.contains(&format!("UDP port {port}")), "{said}");
    drop(ours);
    let stream = world.add("porch", &url);
    assert_eq!(units(&stream, 0, 10).await.len(), 10);
}

#[tokio::test]
async fn a_wrong_password_is_told_and_not_shown() {
    let (_camera, url) = on_tcp(ReolinkConfig::default()).await;
    let world = World::new();
    let said = world.refusal(&url.replace("demo", "wrong")).await;
    assert!(said.contains("check user and password"), "{said}");
    assert!(!said.contains("wrong@"), "{said}");
}
