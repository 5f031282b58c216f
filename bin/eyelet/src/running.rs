use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use api::{Addresses, AppState, Fleet, Parts, Readiness};
use config::{Config, Quic};
use drivers::reolink::Devices;
use hub::Hub;
use outputs::mse::Mse;
use outputs::rtsp;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tunnel::{Forward, Gateway, GatewayConfig, Identity, LocalDoor, QuicDoor, SavedForwards};

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
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

/// Takes all ports, then starts everything the configuration names.
pub(crate) async fn start(config: &Config) -> anyhow::Result<Running> {
    let store = files::open_store(config)?;
    let identity = Identity::load_or_create(&config.data)?;
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
    let raw_listeners = wiring::bind_raw(config, &hub, &mjpeg).await?;
    let mut forwards = Vec::new();
    for forward in &config.forwards {
        let forward = Forward {
            listen: forward.listen,
            agent: forward.agent.to_string(),
            target: forward.target.clone(),
        };
        forwards.push(gateway.bind_forward(forward).await?);
    }

    let a9 = a9::bind(config, &store)?;
    let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let devices = Devices::new();
    let cloud = a9.as_ref().map(|(cloud, _)| cloud);
    let a9_addresses = cloud.map(|cloud| cloud.addresses().clone());
    let upstreams = wiring::Upstreams {
        gateway: &gateway,
        cloud,
        devices: &devices,
    };
    let cameras = wiring::start_cameras(config, &hub, &upstreams, &tasks, &shutdown)?;
    wiring::keep_stills(config, &hub, &pixels, &tasks, &shutdown);
    for listener in raw_listeners {
        tasks.spawn(listener.serve(shutdown.clone()));
    }
    for forward in forwards {
        tasks.spawn(forward.run(shutdown.clone()));
    }
    let saved = SavedForwards::start(&gateway, &tasks, &shutdown)?;
    tasks.spawn(door.serve(gateway.clone(), shutdown.clone()));
    tasks.spawn(rtsp_server.serve(shutdown.clone()));
    if let Some(quic) = quic {
        tasks.spawn(quic.serve(shutdown.clone()));
    }
    let state = AppState::new(Parts {
        hub: Arc::clone(&hub),
        cameras: wiring::camera_infos(config, &gateway)?,
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
        mjpeg,
    });
    if let Some(a9) = a9 {
        let configured = wiring::camera_infos(config, &gateway)?;
        a9::start(a9, &hub, &state, configured, &tasks, &shutdown);
    }
    state.set_controls(Arc::new(cameras));
    tasks.spawn(api::serve(
        listener,
        state,
        identity.server_config(),
        shutdown.clone(),
    ));
    tasks.close();
    Ok(Running {
        http,
        rtsp,
        a9: a9_addresses,
        store,
        identity,
        gateway,
        tasks,
        shutdown,
    })
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
