//! A simulated Reolink camera on real ports, for clients by hand:
//! `cargo run -p sim-cameras --example reolink -- [battery] [recorder] [h265] [adpcm] [xor|none|full] [relay] [ADDRESS]`.

use std::net::IpAddr;

use proto_baichuan::Encryption;
use proto_baichuan::bcudp::{HELLO_PORTS, LOOKUP_PORT};
use sim_cameras::{
    ReolinkAudio, ReolinkCamera, ReolinkConfig, ReolinkModel, ReolinkServers, ReolinkVideo,
};
use tokio::net::{TcpListener, UdpSocket};

#[tokio::main(flavor = "multi_thread")]
async fn main() -> std::io::Result<()> {
    let mut config = ReolinkConfig {
        walks: Some(std::time::Duration::from_secs(5)),
        ..ReolinkConfig::default()
    };
    let mut address: IpAddr = [127, 0, 0, 1].into();
    let mut has_servers = false;
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "battery" => config.model = ReolinkModel::Battery,
            "recorder" => config.model = ReolinkModel::Recorder { channels: 4 },
            "h265" => config.video = ReolinkVideo::H265,
            "adpcm" => config.audio = ReolinkAudio::Adpcm,
            "none" => config.encryption = Encryption::None,
            "xor" => config.encryption = Encryption::Xor,
            "full" => {
                config.encryption = Encryption::FullAes;
                config.encrypt_len = Some(1024);
            }
            "relay" => has_servers = true,
            other => address = other.parse().map_err(std::io::Error::other)?,
        }
    }
    let mut hello = Vec::new();
    for port in HELLO_PORTS {
        hello.push(UdpSocket::bind(("0.0.0.0", port)).await?);
    }
    let session = UdpSocket::bind((address, 0)).await?;
    let servers = if has_servers {
        let lookup = UdpSocket::bind((address, LOOKUP_PORT)).await?;
        let register = UdpSocket::bind((address, 0)).await?;
        let relay = UdpSocket::bind((address, 0)).await?;
        Some(ReolinkServers::new(lookup, register, relay, false)?)
    } else {
        None
    };
    let camera = ReolinkCamera::new(config);
    let listener = TcpListener::bind((address, 9000)).await?;
    let tcp = tokio::spawn(camera.clone().serve_tcp(listener));
    let live = tokio::spawn(camera.clone().live());
    let udp = tokio::spawn(camera.clone().serve_udp(hello, session, servers.clone()));
    let relay = tokio::spawn(async move {
        match servers {
            Some(servers) => servers.serve().await,
            None => std::future::pending().await,
        }
    });
    tokio::select! {
        ended = tcp => ended?,
        ended = live => ended?,
        ended = udp => ended?,
        ended = relay => ended?,
    }
}
