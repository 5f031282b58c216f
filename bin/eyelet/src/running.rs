use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use api::{Addresses, AppState, Fleet, Parts, Readiness, Tls};
use config::{Config, Quic};
use drivers::reolink::Devices;
use hub::Hub;
use outputs::mse::Mse;
use outputs::rtsp;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tunnel::{Authorities, Gateway, GatewayConfig, Identity, LocalDoor, QuicDoor, SavedForwards};

use crate::camera::Cameras;
use crate::catalog::Catalog;
use crate::roster::{Ground, Roster};
use crate::{a9, files, wiring};

/// How long everything may take to end.
const GRACE: Duration = Duration::from_secs(5);

/// A gateway that runs.
pub(crate) struct Running {
    pub(crate) http: SocketAddr,
    pub(crate) rtsp: SocketAddr,
    pub(crate) a9: Option<naxclow::Addresses>,
    pub(crate) store: store::Store,
    pub(crate) identity: Identity,
    pub(crate) gateway: Gateway,
    pub(crate) state: AppState,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

/// Takes all ports, then starts everything the configuration names.
pub(crate) async fn start(config: &Config) -> anyhow::Result<(Running, Roster)> {
    let store = files::open_store(config)?;
    let mut identity = Identity::load_or_create(&config.data)?;
    let authorities = config.http.agent_ca.as_deref();
    let authorities = authorities.map(Authorities::load).transpose()?;
    if let Some(authorities) = &authorities {
        identity.demand_certificates(authorities)?;
    }
    let gateway = Gateway::new(store.clone(), GatewayConfig::default());
    for agent in &config.agents {
        if let Some(limit) = agent.limit {
            gateway.limit_agent(agent.name.as_str(), limit.bytes());
        }
    }
    let door = LocalDoor::bind(&config.data)
        .await
        .context("the door for commands cannot be opened")?;
    let hub = Arc::new(Hub::new());
    let users = config.rtsp.users.iter();
    let users = users
        .map(|(name, password)| (name.clone(), password.reveal().to_owned()))
        .collect();
    let rtsp_server = rtsp::Server::bind(Arc::clone(&hub), config.rtsp.listen, users)
        .await
        .with_context(|| busy("RTSP", "rtsp.listen", config.rtsp.listen))?;
    let rtsp_server = match &config.rtsp.passthrough {
        Some(way) => {
            let listen = rtsp_server.local_addr()?;
            let passage = gateway.passage(listen, way.agent.as_str(), way.target.clone());
            rtsp_server.with_passthrough(wiring::passthrough(passage, way.is_for_anyone))
        }
        None => rtsp_server,
    };
    let listener = TcpListener::bind(config.http.listen)
        .await
        .with_context(|| busy("HTTP", "http.listen", config.http.listen))?;
    let (http, rtsp) = (listener.local_addr()?, rtsp_server.local_addr()?);
    let quic = bind_quic(config, &gateway, &identity, http)?;
    let pixels = wiring::pixels(config)?;
    let mjpeg = wiring::mjpeg(&hub, &pixels);
    let a9 = a9::bind(config, &store)?;
    let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let devices = Devices::new();
    let cloud = a9.as_ref().map(|(cloud, _)| cloud.clone());
    let a9_addresses = cloud.as_ref().map(|cloud| cloud.addresses().clone());
    let saved = SavedForwards::start(&gateway, &tasks, &shutdown)?;
    let state = AppState::new(Parts {
        hub: Arc::clone(&hub),
        cameras: Vec::new(),
        addresses: Addresses {
            http,
            rtsp,
            passthrough: config
                .rtsp
                .passthrough
                .as_ref()
                .map(|way| way.agent.to_string()),
            public_name: config
                .http
                .public
                .as_ref()
                .map(|public| public.host.clone()),
        },
        readiness: Readiness::new(),
        agents: Some(Arc::new(Fleet {
            gateway: gateway.clone(),
            forwards: saved,
        })),
        mse: Arc::new(Mse::new(Arc::clone(&hub))),
        mjpeg: Arc::clone(&mjpeg),
    });
    let controls = Arc::new(Cameras::default());
    state.set_controls(Arc::clone(&controls) as _);
    let catalog = Arc::new(Catalog::new(state.clone()));
    let ground = Ground {
        hub: Arc::clone(&hub),
        gateway: gateway.clone(),
        authorities,
        cloud,
        devices: devices.clone(),
        pixels,
        mjpeg,
        controls,
        catalog: Arc::clone(&catalog),
        tasks: tasks.clone(),
        shutdown: shutdown.clone(),
    };
    let roster = Roster::start(ground, config).await?;
    if let Some(a9) = a9 {
        a9::start(a9, &hub, &state, &catalog, &tasks, &shutdown);
    }
    let end = shutdown.clone();
    tasks.spawn(async move {
        end.cancelled().await;
        devices.close().await;
    });
    tasks.spawn(door.serve(gateway.clone(), shutdown.clone()));
    tasks.spawn(rtsp_server.serve(shutdown.clone()));
    if let Some(quic) = quic {
        tasks.spawn(quic.serve(shutdown.clone()));
    }
    tasks.spawn(api::serve(
        listener,
        state.clone(),
        Tls {
            everyone: identity.server_config(),
            agents: identity.agents_tls(),
        },
        shutdown.clone(),
    ));
    tasks.close();
    let running = Running {
        http,
        rtsp,
        a9: a9_addresses,
        store,
        identity,
        gateway,
        state,
        tasks,
        shutdown,
    };
    Ok((running, roster))
}

/// Takes the UDP port for agents. If nobody named one, one that cannot be had is no reason not to start.
fn bind_quic(
    config: &Config,
    gateway: &Gateway,
    identity: &Identity,
    http: SocketAddr,
) -> anyhow::Result<Option<QuicDoor>> {
    let listen = match config.http.quic {
        Quic::Off => return Ok(None),
        Quic::Same => http,
        Quic::At(listen) => listen,
    };
    match QuicDoor::bind(gateway, identity, listen, http) {
        Ok(door) => Ok(Some(door)),
        Err(error) if config.http.quic == Quic::Same => {
            tracing::warn!(%listen, error = ?error, "agents cannot come by QUIC, only by WebSocket: this UDP port cannot be had; `http.quic` names another, or is off");
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| busy("QUIC", "http.quic", listen)),
    }
}

impl Running {
    /// Ends everything, agents told first.
    pub(crate) async fn stop(self) {
        self.gateway.shutdown().await;
        self.shutdown.cancel();
        if tokio::time::timeout(GRACE, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("not everything ended within {} s", GRACE.as_secs());
        }
    }
}

/// Waits until somebody wants the program to end.
pub(crate) async fn asked_to_end() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = tokio::signal::ctrl_c() => Ok(ended?),
        _ = terminate.recv() => Ok(()),
    }
}

pub(crate) fn busy(what: &str, key: &str, address: SocketAddr) -> String {
    format!(
        "{what} cannot listen on {address} (another eyelet may be running there; `{key}` names another port)"
    )
}
