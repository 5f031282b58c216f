//! From the configuration and the store to a cloud that runs, and from accepted cameras to streams.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{AppState, CameraInfo};
use config::Config;
use dialer::Direct;
use drivers::{Camera, Transport};
use hub::{Hub, StreamName};
use naxclow::{A9Driver, Cloud, Listeners, Settings};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::catalog::Catalog;
use crate::wiring;

/// The cloud with its ports taken, if the configuration wants one.
pub(crate) fn bind(
    config: &Config,
    store: &store::Store,
) -> anyhow::Result<Option<(Cloud, Listeners)>> {
    let Some(a9) = &config.a9 else {
        return Ok(None);
    };
    let settings = Settings {
        http: a9.http,
        tcp: a9.tcp,
        udp: a9.udp,
        mqtt: a9.mqtt,
        dns: a9.dns,
        host: a9.host,
        strict_token: a9.strict_token,
        any_source: a9.any_source,
    };
    let listeners = Listeners::bind(&settings)?;
    let addresses = listeners.addresses()?;
    let configured = wiring::a9_cameras(config);
    let cloud = Cloud::new(settings, addresses, Some(store.clone()), &configured)?;
    Ok(Some((cloud, listeners)))
}

/// Serves the cloud, and keeps a stream for every camera that was accepted, now or later.
pub(crate) fn start(
    (cloud, listeners): (Cloud, Listeners),
    hub: &Arc<Hub>,
    state: &AppState,
    catalog: &Arc<Catalog>,
    tasks: &TaskTracker,
    shutdown: &CancellationToken,
) {
    let at = cloud.addresses();
    tracing::info!(http = %at.http, tcp = %at.tcp, udp = %at.udp, mqtt = ?at.mqtt, dns = ?at.dns, "A9 cloud is up");
    state.set_a9(cloud.clone());
    tasks.spawn(listeners.serve(cloud.clone(), shutdown.clone()));
    tasks.spawn(follow(
        cloud,
        Arc::clone(hub),
        Arc::clone(catalog),
        tasks.clone(),
        shutdown.clone(),
    ));
}

/// Follows who is accepted.
async fn follow(
    cloud: Cloud,
    hub: Arc<Hub>,
    catalog: Arc<Catalog>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
) {
    let mut admissions = cloud.admissions();
    let mut configurations = catalog.configurations();
    let mut running: BTreeMap<(String, String), CancellationToken> = BTreeMap::new();
    loop {
        let change = *admissions.borrow_and_update();
        configurations.borrow_and_update();
        let accepted = cloud.accepted();
        running.retain(|camera, end| {
            let stays = accepted.contains(camera);
            if !stays {
                end.cancel();
                hub.remove(&camera.1);
            }
            stays
        });
        let mut infos = Vec::new();
        for (uid, name) in accepted {
            if catalog.is_configured(&name) {
                tracing::warn!(
                    camera = uid,
                    name,
                    "an accepted A9 camera has the name of a configured one and is not shown; forget it, and accept it under another name"
                );
                continue;
            }
            infos.push(CameraInfo {
                name: name.clone(),
                kind: "a9".to_owned(),
                via: None,
                source: format!("a9://{uid}"),
                autoplay: true,
                settings: None,
            });
            let key = (uid.clone(), name.clone());
            if running.contains_key(&key) {
                continue;
            }
            let end = shutdown.child_token();
            match camera(&uid, &name) {
                Ok(camera) => {
                    let stream = hub.add(camera.name.clone());
                    let driver = Arc::new(A9Driver::new(cloud.clone()));
                    tasks.spawn(drivers::supervise(
                        driver,
                        camera,
                        Arc::new(Direct),
                        stream,
                        end.clone(),
                    ));
                    running.insert(key, end);
                }
                Err(error) => tracing::warn!(camera = uid, "not shown: {error}"),
            }
        }
        catalog.set_accepted(infos);
        catalog.note_followed(change);
        tokio::select! {
            changed = admissions.changed() => if changed.is_err() { return },
            changed = configurations.changed() => if changed.is_err() { return },
            () = shutdown.cancelled() => return,
        }
    }
}

fn camera(uid: &str, name: &str) -> anyhow::Result<Camera> {
    Ok(Camera {
        name: StreamName::new(name)?,
        url: format!("a9://{uid}").parse()?,
        user: None,
        password: None,
        transport: Transport::Tcp,
        idle: config::Camera::IDLE,
        interval: None,
        timeout: Camera::TIMEOUT,
    })
}
