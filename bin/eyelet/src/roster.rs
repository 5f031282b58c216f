//! The configured cameras and forwards that run, and the way from one configuration to the next.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use api::Reloaded;
use config::{Config, Scheme};
use drivers::reolink::{Devices, Reolink};
use drivers::{Camera, Driver, Transport};
use hub::{Hub, StreamName};
use naxclow::{A9Driver, Cloud};
use outputs::mjpeg::Mjpeg;
use outputs::raw;
use pixels::{Backup, Pixels};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tunnel::{Authorities, Forward, Gateway};

use crate::camera::Cameras;
use crate::catalog::Catalog;
use crate::{running, wiring};

/// How long a camera or forward that is taken out may take to end.
const GRACE: Duration = Duration::from_secs(5);

/// What cameras are made of, and reached by.
pub(crate) struct Ground {
    pub(crate) hub: Arc<Hub>,
    pub(crate) gateway: Gateway,
    /// Whose certificates agents have to show, if any.
    pub(crate) authorities: Option<Authorities>,
    /// The A9 cameras' cloud, where there is one.
    pub(crate) cloud: Option<Cloud>,
    pub(crate) devices: Devices,
    pub(crate) pixels: Arc<Pixels>,
    pub(crate) mjpeg: Arc<Mjpeg>,
    /// The devices behind the cameras, for the API.
    pub(crate) controls: Arc<Cameras>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) tasks: TaskTracker,
    pub(crate) shutdown: CancellationToken,
}

/// All that runs because the configuration names it.
pub(crate) struct Roster {
    ground: Ground,
    /// The configuration that runs. Of what only a restart changes, that of the start.
    config: Config,
    cameras: BTreeMap<String, Upkeep>,
    forwards: BTreeMap<SocketAddr, Upkeep>,
}

/// The tasks of one camera or forward.
struct Upkeep {
    tasks: TaskTracker,
    end: CancellationToken,
    /// The streams in the hub.
    streams: Vec<StreamName>,
}

impl Roster {
    /// Starts everything that `config` names.
    ///
    /// # Errors
    /// What cannot be started; nothing runs then that the end of `ground.shutdown` does not end.
    pub(crate) async fn start(ground: Ground, config: &Config) -> anyhow::Result<Self> {
        let mut roster = Self {
            ground,
            config: config.clone(),
            cameras: BTreeMap::new(),
            forwards: BTreeMap::new(),
        };
        for camera in &config.cameras {
            let upkeep = roster.ground.keep_camera(camera).await?;
            roster.cameras.insert(camera.name.to_string(), upkeep);
        }
        for forward in &config.forwards {
            let upkeep = roster.ground.keep_forward(forward).await?;
            roster.forwards.insert(forward.listen, upkeep);
        }
        roster.show()?;
        Ok(roster)
    }

    /// Ends what `config` no longer names, starts what is new, and makes anew what changed. What stays the same is not
    /// touched.
    ///
    /// # Errors
    /// What `config` says of A9 cameras cannot be, or the agents' authorities are no good; nothing has changed then. A camera that cannot be started is told
    /// in the answer.
    pub(crate) async fn apply(&mut self, config: &Config) -> anyhow::Result<Reloaded> {
        let mut has_new_authorities = false;
        if let Some(authorities) = self.ground.authorities.clone() {
            // The file of the start; another one needs a restart, and is told below.
            let reload = tokio::task::spawn_blocking(move || authorities.reload());
            has_new_authorities = reload.await??;
        }
        if let Some(cloud) = &self.ground.cloud {
            cloud.configure(&wiring::a9_cameras(config))?;
            // An accepted camera that the file names now gives its name back.
            let change = *cloud.admissions().borrow();
            let followed = self.ground.catalog.followed(change);
            if tokio::time::timeout(GRACE, followed).await.is_err() {
                tracing::warn!("the accepted A9 cameras did not follow the configuration in time");
            }
        }
        let mut told = Reloaded {
            needs_restart: fixed_changes(&self.config, config),
            ..Reloaded::default()
        };
        if has_new_authorities {
            told.changed.push("http.agent_ca".to_owned());
        }
        let old: BTreeMap<&str, &config::Camera> = by_name(&self.config);
        let new: BTreeMap<&str, &config::Camera> = by_name(config);
        let mut ending = Vec::new();
        for (name, camera) in &old {
            let stays = new.get(name) == Some(camera);
            if !stays && let Some(upkeep) = self.cameras.remove(*name) {
                let list = match new.contains_key(name) {
                    true => &mut told.changed,
                    false => &mut told.removed,
                };
                list.push((*name).to_owned());
                self.ground.controls.remove(name);
                ending.push(upkeep);
            }
        }
        for forward in &self.config.forwards {
            // One with another target is another one.
            if !config.forwards.contains(forward)
                && let Some(upkeep) = self.forwards.remove(&forward.listen)
            {
                told.removed.push(format!("forward {}", forward.listen));
                ending.push(upkeep);
            }
        }
        // All at once, and before anything starts: a changed camera may want the port that it has.
        let hub = &self.ground.hub;
        futures_util::future::join_all(ending.into_iter().map(|upkeep| upkeep.stop(hub))).await;
        for (name, camera) in new {
            if self.cameras.contains_key(name) {
                continue;
            }
            match self.ground.keep_camera(camera).await {
                Ok(upkeep) => {
                    if !told.changed.iter().any(|changed| changed == name) {
                        told.added.push(name.to_owned());
                    }
                    self.cameras.insert(name.to_owned(), upkeep);
                }
                Err(error) => told.failed.push(format!("camera {name}: {error:#}")),
            }
        }
        for forward in &config.forwards {
            if self.forwards.contains_key(&forward.listen) {
                continue;
            }
            match self.ground.keep_forward(forward).await {
                Ok(upkeep) => {
                    told.added.push(format!("forward {}", forward.listen));
                    self.forwards.insert(forward.listen, upkeep);
                }
                Err(error) => {
                    let failed = format!("forward {}: {error:#}", forward.listen);
                    told.failed.push(failed);
                }
            }
        }
        self.config.cameras.clone_from(&config.cameras);
        self.config.forwards.clone_from(&config.forwards);
        self.show()?;
        Ok(told)
    }

    /// Tells the API which cameras there are, and deletes the stills of others.
    fn show(&self) -> anyhow::Result<()> {
        let infos = wiring::camera_infos(&self.config, &self.ground.gateway)?;
        self.ground.catalog.set_configured(infos);
        let names: Result<Vec<StreamName>, _> = self
            .config
            .cameras
            .iter()
            .map(|camera| StreamName::new(camera.name.as_str()))
            .collect();
        if let Err(error) = self.ground.pixels.keep_only(&names?) {
            tracing::warn!("stills of former cameras cannot be deleted: {error}");
        }
        Ok(())
    }
}

fn by_name(config: &Config) -> BTreeMap<&str, &config::Camera> {
    let cameras = config.cameras.iter();
    cameras
        .map(|camera| (camera.name.as_str(), camera))
        .collect()
}

/// The sections that differ and are read at the start only.
fn fixed_changes(old: &Config, new: &Config) -> Vec<String> {
    let sections = [
        ("data", old.data == new.data),
        ("http", old.http == new.http),
        ("rtsp", old.rtsp == new.rtsp),
        ("a9", old.a9 == new.a9),
        ("pixels", old.pixels == new.pixels),
        ("agents", old.agents == new.agents),
    ];
    let changed = sections.into_iter().filter(|(_, is_same)| !is_same);
    changed.map(|(name, _)| name.to_owned()).collect()
}

impl Upkeep {
    fn new(shutdown: &CancellationToken) -> Self {
        Self {
            tasks: TaskTracker::new(),
            end: shutdown.child_token(),
            streams: Vec::new(),
        }
    }

    /// Runs `work` as a task of this one, which the whole program waits for, too.
    fn spawn<F>(&self, all: &TaskTracker, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        all.spawn(self.tasks.track_future(work));
    }

    /// Ends all tasks. Viewers are told that the camera is gone.
    async fn stop(self, hub: &Hub) {
        for name in &self.streams {
            hub.remove(name.as_str());
        }
        self.end.cancel();
        self.tasks.close();
        if tokio::time::timeout(GRACE, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!(streams = ?self.streams, "a camera that was taken out did not end within {} s", GRACE.as_secs());
        }
    }
}

impl Ground {
    /// Takes the camera's ports, and keeps its upstream and last still.
    async fn keep_camera(&self, configured: &config::Camera) -> anyhow::Result<Upkeep> {
        let mut upkeep = Upkeep::new(&self.shutdown);
        let started = self.start_camera(configured, &mut upkeep).await;
        if let Err(error) = started {
            self.controls.remove(configured.name.as_str());
            upkeep.stop(&self.hub).await;
            return Err(error);
        }
        Ok(upkeep)
    }

    async fn start_camera(
        &self,
        configured: &config::Camera,
        upkeep: &mut Upkeep,
    ) -> anyhow::Result<()> {
        let camera = settled(configured)?;
        anyhow::ensure!(
            self.hub.stream(camera.name.as_str()).is_none(),
            "an accepted A9 camera has this name; forget it, and accept it under another one"
        );
        let driver = self.driver(configured)?;
        let dialer = wiring::dialer(configured, &self.gateway);
        let stream = self.hub.add(camera.name.clone());
        upkeep.streams.push(camera.name.clone());
        if let Some(address) = configured.raw {
            let mode = match configured.raw_mode {
                config::RawMode::Continuous => raw::Mode::Continuous,
                config::RawMode::Single => raw::Mode::Single,
            };
            let key = format!("cameras.{}.raw", configured.name);
            let listener =
                raw::Server::bind(Arc::clone(&self.mjpeg), Arc::clone(&stream), address, mode)
                    .await
                    .with_context(|| running::busy("raw JPEG", &key, address))?;
            upkeep.spawn(&self.tasks, listener.serve(upkeep.end.clone()));
        }
        if wiring::has_device(&configured.source) {
            let device = self.devices.device(&camera, &dialer)?;
            let channel = drivers::reolink::channel(&camera)?;
            self.controls.add(configured.name.as_str(), device, channel);
        }
        let mut streams = Vec::new();
        for (name, url) in driver.substreams(&camera) {
            let camera = Camera {
                name: StreamName::new(&format!("{}/{name}", camera.name))?,
                url,
                ..camera.clone()
            };
            upkeep.streams.push(camera.name.clone());
            streams.push((self.hub.add(camera.name.clone()), camera));
        }
        streams.push((Arc::clone(&stream), camera));
        for (stream, camera) in streams {
            let (driver, dialer, end) = (driver.clone(), dialer.clone(), upkeep.end.clone());
            let supervisor = drivers::supervise(driver, camera, dialer, stream, end);
            upkeep.spawn(&self.tasks, supervisor);
        }
        let backup = match &configured.backup {
            config::Backup::Last => Backup::Last,
            config::Backup::None => Backup::Nothing,
            config::Backup::File(path) => Backup::File(path.clone()),
        };
        self.pixels.set_backup(stream.name().clone(), backup);
        let (pixels, end) = (Arc::clone(&self.pixels), upkeep.end.clone());
        upkeep.spawn(&self.tasks, async move {
            let keeping = pixels.keep_stills(stream);
            end.run_until_cancelled(keeping).await;
        });
        Ok(())
    }

    fn driver(&self, configured: &config::Camera) -> anyhow::Result<Arc<dyn Driver>> {
        let source = &configured.source;
        Ok(match (source.scheme, &self.cloud) {
            (Scheme::A9, Some(cloud)) => Arc::new(A9Driver::new(cloud.clone())),
            (Scheme::A9, None) => anyhow::bail!(
                "its cloud is not up: `a9:` was added to the configuration, which needs a restart"
            ),
            (Scheme::Reolink | Scheme::ReolinkUid, _) => {
                Arc::new(Reolink::new(self.devices.clone()))
            }
            (scheme, _) => drivers::driver(scheme.as_str())
                .with_context(|| format!("camera {}: no driver for {source}", configured.name))?
                .into(),
        })
    }

    async fn keep_forward(&self, forward: &config::Forward) -> anyhow::Result<Upkeep> {
        let upkeep = Upkeep::new(&self.shutdown);
        let forward = Forward {
            listen: forward.listen,
            agent: forward.agent.to_string(),
            target: forward.target.clone(),
        };
        let forward = self.gateway.bind_forward(forward).await?;
        upkeep.spawn(&self.tasks, forward.run(upkeep.end.clone()));
        Ok(upkeep)
    }
}

/// A configured camera as its driver takes it.
fn settled(configured: &config::Camera) -> anyhow::Result<Camera> {
    let name = StreamName::new(configured.name.as_str())?;
    let transport = match configured.transport {
        config::Transport::Tcp => Transport::Tcp,
        config::Transport::Udp => Transport::Udp,
    };
    Ok(Camera {
        idle: configured.idle,
        interval: configured.interval,
        timeout: configured.timeout,
        transport,
        ..wiring::camera(name, &configured.source)?
    })
}
