//! `eyelet demo`: a gateway, and a house behind NAT with four cameras and an agent, all in this process;
//! beside them two A9 cameras that call this gateway as their cloud.
//!
//! The house's network is in memory: its cameras have no port on this machine, so the only way to
//! them is the agent's tunnel, as with a real NAT.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use agent::{Agent, AgentConfig, AllowList};
use anyhow::Context;
use config::Config;
use dialer::{BoxIo, Dialer, Target};
use futures_util::future::BoxFuture;
use sim_cameras::{
    A9Camera, A9Profile, Esp32, Esp32Camera, Esp32Port, ReolinkCamera, ReolinkConfig, RtspCamera,
};
use sim_net::House;
use tokio_util::sync::CancellationToken;
use tunnel::Gateway;

use crate::cli::Demo;
use crate::running::{self, Running};

/// The agent's name.
const AGENT: &str = "house";

/// The A9 camera that the demo's configuration names.
const MINI: &str = "0800c00DE001";

/// One that it does not, to show how a new camera appears.
const STRANGER: &str = "0800c00DE002";

/// A person walks past the Reolink camera so often, which its events tell.
const WALKS: Duration = Duration::from_secs(30);

/// The login of the simulated H.264 cameras, to show where one goes.
const LOGIN: (&str, &str) = ("admin", "demo");

pub(crate) async fn run(command: &Demo) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("eyelet-demo-").tempdir()?;
    let http = free(command.http)?;
    let rtsp = free(command.rtsp)?;
    let forward = free(SocketAddr::new(rtsp.ip(), 8654))?;
    let (user, password) = LOGIN;
    let text = format!(
        "http: {{ listen: \"{http}\" }}\n\
         rtsp: {{ listen: \"{rtsp}\" }}\n\
         cameras:\n\
         \x20 porch: {{ source: \"rtsp://{user}:{password}@192.168.1.10/stream1\", via: {AGENT} }}\n\
         \x20 yard: {{ source: \"rtsp://192.168.1.11/stream1\", via: {AGENT} }}\n\
         \x20 desk: {{ source: \"mjpeg+http://192.168.1.12:81/stream\", via: {AGENT}, control: \"http://192.168.1.12\" }}\n\
         \x20 garage: {{ source: \"reolink://{user}:{password}@192.168.1.13\", via: {AGENT} }}\n\
         \x20 mini: a9://{MINI}\n\
         a9: {{ http: \"127.0.0.1:0\", tcp: \"127.0.0.1:0\", udp: \"127.0.0.1:0\", mqtt: \"127.0.0.1:0\" }}\n\
         forwards:\n\
         \x20 - {{ listen: \"{forward}\", agent: {AGENT}, target: \"192.168.1.10:554\" }}\n"
    );
    let mut config = Config::parse(&text, "the demo's own configuration")?;
    config.data = folder.path().join("gateway");
    let (gateway, _roster) = running::start(&config).await?;

    let house = House::new();
    for (host, camera) in [
        (
            "192.168.1.10",
            RtspCamera::porch().with_login(user, password),
        ),
        ("192.168.1.11", RtspCamera::jpeg()),
    ] {
        house.serve(host, 554, move |connection| {
            let camera = camera.clone();
            // How a connection to a simulated camera ends, the other side notices by itself.
            async move { drop(camera.serve_connection(connection).await) }
        });
    }
    let esp32 = Esp32Camera::new(Esp32::default());
    for (port, what) in [(80, Esp32Port::Control), (81, Esp32Port::Stream)] {
        let camera = esp32.clone();
        house.serve("192.168.1.12", port, move |connection| {
            let camera = camera.clone();
            async move { drop(camera.serve_connection(connection, what).await) }
        });
    }
    let garage = ReolinkCamera::new(ReolinkConfig {
        user: user.to_owned(),
        password: password.to_owned(),
        walks: Some(WALKS),
        ..ReolinkConfig::default()
    });
    let walks = tokio::spawn(garage.clone().live());
    house.serve("192.168.1.13", 9000, move |connection| {
        let camera = garage.clone();
        async move { drop(camera.serve_connection(connection).await) }
    });
    let code = Gateway::add_agent(
        &gateway.store,
        &gateway.identity,
        AGENT,
        vec![gateway.http.to_string()],
    )?;
    let mut agent = AgentConfig::new(folder.path().join("agent"));
    agent.join = Some(code);
    agent.allow = AllowList::new(vec![
        Target::new("192.168.1.10", 554),
        Target::new("192.168.1.11", 554),
        Target::new("192.168.1.12", 80),
        Target::new("192.168.1.12", 81),
        Target::new("192.168.1.13", 9000),
    ]);
    agent.dialer = std::sync::Arc::new(Inside(house));
    let mut a9 = tokio::task::JoinSet::new();
    if let Some(at) = &gateway.a9 {
        for uid in [MINI, STRANGER] {
            let mut camera = A9Camera::new(uid.parse()?, A9Profile::Classic).with_cloud(at.http);
            if let Some(mqtt) = at.mqtt {
                camera = camera.with_mqtt(mqtt);
            }
            a9.spawn(camera.run());
        }
    }
    let end = CancellationToken::new();
    let agent = tokio::spawn(Agent::new(agent)?.run(end.clone().cancelled_owned()));

    write!(io::stdout(), "{}", welcome(&gateway, forward))?;
    io::stdout().flush()?;
    running::asked_to_end().await?;
    end.cancel();
    a9.shutdown().await;
    walks.abort();
    agent.await??;
    gateway.stop().await;
    Ok(())
}

fn welcome(gateway: &Running, forward: SocketAddr) -> String {
    let Running { http, rtsp, .. } = gateway;
    let (user, password) = LOGIN;
    format!(
        "Eyelet demo: four cameras in a simulated house behind NAT; an agent in it dials out to this gateway.\n\
         Two A9 cameras take this gateway for their vendor's cloud; one of them waits on the dashboard to be accepted.\n\n\
         Dashboard    http://{http}/\n\
         H.264 camera rtsp://{rtsp}/porch\n\
         JPEG camera  rtsp://{rtsp}/yard\n\
         ESP32-CAM    rtsp://{rtsp}/desk\n\
         Reolink      rtsp://{rtsp}/garage\n\
         A9 camera    rtsp://{rtsp}/mini\n\
         Forward      rtsp://{user}:{password}@{forward}/stream1  (the camera itself, its own login)\n\n\
         Try          ffplay -rtsp_transport tcp rtsp://{rtsp}/porch\n\
         End          Ctrl-C\n"
    )
}

/// `wanted`, or a free port beside it if another program holds it.
fn free(wanted: SocketAddr) -> anyhow::Result<SocketAddr> {
    if TcpListener::bind(wanted).is_ok() {
        return Ok(wanted);
    }
    let other = TcpListener::bind(SocketAddr::new(wanted.ip(), 0))
        .and_then(|listener| listener.local_addr())
        .with_context(|| format!("no port can be had on {}", wanted.ip()))?;
    writeln!(
        io::stderr(),
        "{wanted} is taken by another program, using {other}"
    )?;
    Ok(other)
}

/// Dials inside the simulated house.
struct Inside(House);

impl Dialer for Inside {
    fn connect<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, io::Result<BoxIo>> {
        Box::pin(async move {
            let connection = self.0.connect(&target.host, target.port).await?;
            Ok(Box::new(connection) as BoxIo)
        })
    }

    fn describe(&self) -> String {
        "inside the simulated house".to_owned()
    }
}
