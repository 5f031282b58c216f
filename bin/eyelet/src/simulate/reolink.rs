//! `eyelet simulate reolink`.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use sim_cameras::{
    Fault, ReolinkAudio, ReolinkCamera, ReolinkConfig, ReolinkEncryption, ReolinkModel,
    ReolinkServers, ReolinkVideo,
};
use tokio::net::{TcpListener, UdpSocket};

use crate::cli::SimulateReolink;
use crate::running;

/// What a full encryption covers of each media message, as known cameras do.
const ENCRYPTED_BYTES: u32 = 1024;

/// What is said is looked for so often.
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub(crate) async fn run(command: &SimulateReolink) -> anyhow::Result<()> {
    let config = camera_config(command)?;
    let (user, password, uid) = (&config.user, &config.password, &config.uid);
    let mut out = format!("reolink+uid://{user}:{password}@{uid}\n");
    let camera = ReolinkCamera::new(config.clone());
    if let Some(fault) = &command.fault {
        camera.set_fault(Some(fault.parse::<Fault>()?));
    }
    let udp = command
        .udp
        .or(command.battery.then_some(Ipv4Addr::LOCALHOST.into()));
    let tcp = if command.battery {
        None
    } else {
        let listener = TcpListener::bind(command.listen)
            .await
            .with_context(|| format!("cannot listen on {}", command.listen))?;
        let url = camera.url(listener.local_addr()?);
        out = if udp.is_some() {
            format!("{url}\n{out}")
        } else {
            format!("{url}\n")
        };
        Some(listener)
    };
    let servers = match command.servers {
        Some(address) => Some(servers(address).await?),
        None => None,
    };
    let sockets = match udp {
        Some(address) => Some(sockets(address, &command.hello).await?),
        None => None,
    };
    io::stdout().write_all(out.as_bytes())?;
    io::stdout().flush()?;
    let on_tcp = async {
        match tcp {
            Some(listener) => camera.clone().serve_tcp(listener).await,
            None => std::future::pending().await,
        }
    };
    let on_udp = async {
        match sockets {
            Some((hello, session)) => {
                let servers = servers.clone();
                camera.clone().serve_udp(hello, session, servers).await
            }
            None => std::future::pending().await,
        }
    };
    let on_servers = async {
        match &servers {
            Some(servers) => servers.clone().serve().await,
            None => std::future::pending().await,
        }
    };
    let on_talk = async {
        match &command.heard {
            Some(file) => write_down(&camera, file).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        written = on_talk => written,
        served = on_tcp => Ok(served?),
        served = on_udp => Ok(served?),
        served = on_servers => Ok(served?),
        lived = camera.clone().live() => Ok(lived?),
        ended = running::asked_to_end() => ended,
    }
}

/// Keeps a file of what is said.
async fn write_down(camera: &ReolinkCamera, file: &Path) -> anyhow::Result<()> {
    let mut written = Vec::new();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let heard = camera.heard();
        if heard != written {
            std::fs::write(file, wav(&heard))
                .with_context(|| format!("{} cannot be written", file.display()))?;
            written = heard;
        }
    }
}

/// A WAV file: 16 kHz, 16 bits, one channel.
fn wav(samples: &[i16]) -> Vec<u8> {
    let len = u32::try_from(samples.len() * 2).unwrap_or(u32::MAX - 36);
    let mut wav = Vec::with_capacity(44 + samples.len() * 2);
    wav.extend(b"RIFF");
    wav.extend((len + 36).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend(16_000_u32.to_le_bytes());
    wav.extend(32_000_u32.to_le_bytes());
    wav.extend(b"\x02\0\x10\0data");
    wav.extend(len.to_le_bytes());
    wav.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    wav
}

fn camera_config(command: &SimulateReolink) -> anyhow::Result<ReolinkConfig> {
    let (user, password) = command
        .login
        .split_once(':')
        .context("--login wants USER:PASSWORD")?;
    let is_uid = |uid: &str| uid.len() == 16 && uid.chars().all(|c| c.is_ascii_alphanumeric());
    if !is_uid(&command.uid) {
        bail!("--uid wants 16 letters and digits, as on a camera's label");
    }
    let encryption = match command.encryption.as_str() {
        "none" => ReolinkEncryption::None,
        "xor" => ReolinkEncryption::Xor,
        "full" => ReolinkEncryption::FullAes,
        _ => ReolinkEncryption::Aes,
    };
    Ok(ReolinkConfig {
        model: match command.channels {
            _ if command.battery => ReolinkModel::Battery,
            Some(channels) => ReolinkModel::Recorder { channels },
            None => ReolinkModel::Mains,
        },
        uid: command.uid.clone(),
        user: user.to_owned(),
        password: password.to_owned(),
        encryption,
        encrypt_len: (encryption == ReolinkEncryption::FullAes).then_some(ENCRYPTED_BYTES),
        video: if command.h265 {
            ReolinkVideo::H265
        } else {
            ReolinkVideo::H264
        },
        audio: if command.adpcm {
            ReolinkAudio::Adpcm
        } else {
            ReolinkAudio::Aac
        },
        walks: (command.walks > 0).then(|| Duration::from_secs(command.walks)),
        ..ReolinkConfig::default()
    })
}

async fn sockets(address: IpAddr, hello: &[u16]) -> anyhow::Result<(Vec<UdpSocket>, UdpSocket)> {
    let mut sockets = Vec::new();
    for port in hello {
        let address = SocketAddr::new(address, *port);
        sockets.push(bind(address).await?);
    }
    Ok((sockets, bind(SocketAddr::new(address, 0)).await?))
}

async fn servers(lookup: SocketAddr) -> anyhow::Result<ReolinkServers> {
    let beside = SocketAddr::new(lookup.ip(), 0);
    let (lookup, register, relay) = (
        bind(lookup).await?,
        bind(beside).await?,
        bind(beside).await?,
    );
    Ok(ReolinkServers::new(lookup, register, relay, false)?)
}

async fn bind(address: SocketAddr) -> anyhow::Result<UdpSocket> {
    UdpSocket::bind(address).await.with_context(|| {
        format!(
            "cannot wait for datagrams on {address}: another program may, or choose --hello PORTS"
        )
    })
}
