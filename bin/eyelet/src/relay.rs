//! `eyelet relay`: one JPEG camera in, raw JPEG and motion JPEG out, without a configuration.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use config::Source;
use dialer::Direct;
use hub::{Cursor, Event, Hub, Lease, Publisher, Start, Stream, StreamName};
use media::{AccessUnit, MediaTime, Track, Tracks};
use outputs::raw::{Mode, Report, Server};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cli::{Relay, RelayMode};
use crate::{running, wiring};

/// How long everything may take to end.
const GRACE: Duration = Duration::from_secs(3);

/// A sender that gave nothing for so long has lost its turn to another one.
const TURN: Duration = Duration::from_secs(5);

pub(crate) async fn run(command: &Relay) -> anyhow::Result<()> {
    let hub = Arc::new(Hub::new());
    let stream = hub.add(StreamName::new("camera")?);
    let mjpeg = wiring::mjpeg(&hub, &wiring::pixels_without_state()?);
    let address = SocketAddr::new(command.client_host.0, command.client_port);
    let mode = match command.mode {
        RelayMode::Continuous => Mode::Continuous,
        RelayMode::Single => Mode::Single,
    };
    let server = Server::bind(mjpeg, Arc::clone(&stream), address, mode)
        .await
        .with_context(|| running::busy("the relay", "--client-port", address))?;
    let address = server.local_addr()?;
    let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let sources = sources(command)?;
    let upstreams = start_cameras(&sources, &hub, &stream, &tasks, &shutdown)?;
    // The relays of old always pull; a camera that rests must be asked for.
    let _lease = (!command.on_demand).then(|| stream.lease());
    if !address.ip().is_loopback() {
        tracing::warn!(
            "viewers are served on {address} without a password: anyone who can reach it can watch. --client-host 127.0.0.1 keeps it to this machine"
        );
    }
    for source in &sources {
        tracing::info!("camera {source}");
    }
    tracing::info!(
        "raw JPEG at {address}, motion JPEG at http://{}/",
        shown(address)
    );
    tasks.spawn(server.serve(shutdown.clone()));
    let started = Instant::now();
    let every = Duration::from_secs(command.statistics);
    let outcome = tokio::select! {
        () = report(&stream, &upstreams, started, every) => Ok(()),
        ended = running::asked_to_end() => ended,
    };
    tracing::info!("ending: {}", summary(&stream, &upstreams, started));
    shutdown.cancel();
    tasks.close();
    if tokio::time::timeout(GRACE, tasks.wait()).await.is_err() {
        tracing::warn!("not everything ended within {} s", GRACE.as_secs());
    }
    outcome
}

/// Where pictures come from, by the original's flags.
fn sources(command: &Relay) -> anyhow::Result<Vec<Source>> {
    let urls = match &command.esp32_host {
        Some(host) => vec![format!(
            "jpeg+tcp://{}:{}",
            bracketed(host),
            command.esp32_port
        )],
        None => {
            let host = bracketed(&command.sender_host.0.to_string());
            let ports = [
                ("jpeg+push", command.sender_port),
                ("jpeg+udp", command.udp_port),
            ];
            let on = ports.into_iter().filter(|(_, port)| *port != 0);
            on.map(|(scheme, port)| format!("{scheme}://{host}:{port}"))
                .collect()
        }
    };
    if urls.is_empty() {
        bail!("no way in is left: --sender-port and --udp-port are both 0");
    }
    let read = |url: &String| url.parse().with_context(|| format!("{url} is no source"));
    urls.iter().map(read).collect()
}

/// An IPv6 address as URLs have it.
fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

/// Keeps an upstream for each source. The streams with the upstreams' states come back.
fn start_cameras(
    sources: &[Source],
    hub: &Hub,
    stream: &Arc<Stream>,
    tasks: &TaskTracker,
    shutdown: &CancellationToken,
) -> anyhow::Result<Vec<Arc<Stream>>> {
    let mut upstreams = Vec::new();
    for (number, source) in sources.iter().enumerate() {
        let upstream = match sources {
            [_] => Arc::clone(stream),
            _ => hub.add(StreamName::new(&format!("camera.{number}"))?),
        };
        let camera = wiring::camera(upstream.name().clone(), source)?;
        let driver = drivers::driver(source.scheme.as_str())
            .with_context(|| format!("no driver for {source}"))?;
        let supervisor = drivers::supervise(
            driver.into(),
            camera,
            Arc::new(Direct),
            Arc::clone(&upstream),
            shutdown.clone(),
        );
        tasks.spawn(supervisor);
        upstreams.push(upstream);
    }
    if upstreams.len() > 1 {
        let joined = join(upstreams.clone(), Arc::clone(stream));
        let shutdown = shutdown.clone();
        tasks.spawn(async move { shutdown.run_until_cancelled(joined).await });
    }
    Ok(upstreams)
}

/// Joins several ways in. One sender has the turn until it falls silent: pictures of two cameras
/// are never mixed.
async fn join(upstreams: Vec<Arc<Stream>>, stream: Arc<Stream>) {
    let mut ways: Vec<Way> = upstreams.iter().map(Way::new).collect();
    let mut turn: Option<(usize, Instant)> = None;
    let mut publisher = stream.publisher();
    let started = Instant::now();
    loop {
        for (number, way) in ways.iter_mut().enumerate() {
            while let Some(unit) = way.next() {
                let is_taken = turn.is_some_and(|(holder, at)| {
                    holder != number && unit.received.saturating_duration_since(at) < TURN
                });
                if is_taken {
                    continue;
                }
                turn = Some((number, unit.received));
                publish(&mut publisher, started, unit);
            }
        }
        let waits = ways.iter().map(|way| Box::pin(way.wait()));
        futures_util::future::select_all(waits).await;
    }
}

fn publish(publisher: &mut Publisher, started: Instant, unit: AccessUnit) {
    let elapsed = unit.received.saturating_duration_since(started).as_nanos();
    let nanos = i64::try_from(elapsed).unwrap_or(i64::MAX);
    let unit = AccessUnit {
        track: 0,
        time: MediaTime::from_nanos(nanos, 90_000),
        ..unit
    };
    let announced = publisher.announce(Tracks::new(vec![Track::jpeg(None)]));
    if let Err(error) = announced.and_then(|()| publisher.publish(unit)) {
        tracing::warn!("a picture was left out: {error}");
    }
}

/// One way in.
struct Way {
    lease: Lease,
    cursor: Cursor,
}

impl Way {
    fn new(stream: &Arc<Stream>) -> Self {
        Self {
            lease: stream.lease(),
            cursor: stream.ring().start(Start::Live),
        }
    }

    fn next(&mut self) -> Option<AccessUnit> {
        loop {
            match &*self.cursor.poll(self.lease.stream().ring())? {
                Event::AccessUnit(unit, true) => return Some(unit.clone()),
                Event::AccessUnit(..) | Event::Tracks(_) => {}
            }
        }
    }

    async fn wait(&self) {
        self.lease.stream().ring().wait(self.cursor.next()).await;
    }
}

/// Tells the statistics now and then, for ever.
async fn report(stream: &Stream, upstreams: &[Arc<Stream>], started: Instant, every: Duration) {
    if every.is_zero() {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(every).await;
        tracing::info!("{}", summary(stream, upstreams, started));
    }
}

/// The report, and what is wrong where nothing comes.
fn summary(stream: &Stream, upstreams: &[Arc<Stream>], started: Instant) -> String {
    let mut text = Report::of(stream, started).to_string();
    for upstream in upstreams {
        if let Some(error) = upstream.status().error {
            text.push_str(&format!("; {error}"));
        }
    }
    text
}

/// An address that a person can open.
fn shown(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port())
    } else {
        address
    }
}
