//! Commands to agents, and forwards that last.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use dialer::Target;
use support::{SOON, World, echo_camera, exchange, pattern, wait_for};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tunnel::{CommandError, ForwardError, SavedForwards};

#[tokio::test]
async fn a_restart_is_answered_when_the_agent_is_back_as_another_one() {
    let world = World::new().await;
    let camera = echo_camera().await;
    let _agent = world.agent(world.code("shed"), &[camera]);
    world.connected("shed").await;
    let before = world.gateway.agent_report("shed").await.unwrap();
    let returned = world.gateway.restart_agent("shed").await.unwrap();
    assert_eq!(returned.is_new_process, Some(true));
    let after = world.gateway.agent_report("shed").await.unwrap();
    assert_ne!(before.instance, after.instance);
    assert_eq!(after.sessions, 1, "it begins afresh");
    let data = Arc::new(pattern(10_000, 1));
    let stream = world.dial("shed", camera).await.unwrap();
    assert_eq!(exchange(stream, Arc::clone(&data)).await, *data);
}

#[tokio::test]
async fn a_tunnel_is_made_anew_by_the_same_agent() {
    let world = World::new().await;
    let agent = world.agent(world.code("shed"), &[echo_camera().await]);
    world.connected("shed").await;
    let before = world.gateway.agent_report("shed").await.unwrap();
    world.gateway.restart_tunnel("shed").await.unwrap();
    let after = world.gateway.agent_report("shed").await.unwrap();
    assert_eq!(before.instance, after.instance);
    assert_eq!(after.sessions, before.sessions + 1);
    drop(agent);
}

#[tokio::test]
async fn a_report_tells_of_the_camera_and_its_counters_move() {
    let world = World::new().await;
    let camera = echo_camera().await;
    let _agent = world.agent(world.code("shed"), &[camera]);
    world.connected("shed").await;
    let report = world.gateway.agent_report("shed").await.unwrap();
    let seen = report.camera.unwrap();
    assert_eq!((seen.port, seen.is_reached), (camera.port(), None));
    assert_eq!(seen.address, Some(camera.ip()), "both are this machine");
    let data = Arc::new(pattern(1_000, 2));
    let stream = world.dial("shed", camera).await.unwrap();
    exchange(stream, data).await;
    let report = world.gateway.agent_report("shed").await.unwrap();
    assert_eq!((report.opened, report.failed), (1, 0));
    assert_eq!(report.camera.unwrap().is_reached, Some(true));

    let status = world.gateway.agents().remove(0);
    assert!(status.last_heartbeat.is_some() && status.report.is_some());
    assert!(status.bytes_received > 1_000 && status.bytes_sent > 1_000);
}

#[tokio::test]
async fn commands_to_those_who_are_not_there_say_so() {
    let world = World::new().await;
    let missing = world.gateway.restart_agent("barn").await.unwrap_err();
    assert!(matches!(missing, CommandError::Unknown(_)), "{missing}");
    let _code = world.code("shed");
    let away = world.gateway.agent_log("shed").await.unwrap_err();
    assert!(matches!(away, CommandError::Away(_)), "{away}");
}

#[tokio::test]
async fn a_goodbye_is_told_apart_from_a_cut() {
    let world = World::new().await;
    let agent = world.agent(world.code("shed"), &[echo_camera().await]);
    world.connected("shed").await;
    // A ping that comes together with the goodbye could not be answered any more.
    wait_for(|| world.gateway.agents()[0].rtt_ms.is_some()).await;
    let state = agent.stop().await;
    wait_for(|| !world.gateway.is_connected("shed")).await;
    assert!(world.gateway.agents()[0].said_goodbye);

    let agent = support::Running::start(None, &[], state);
    world.connected("shed").await;
    agent.kill();
    wait_for(|| !world.gateway.is_connected("shed")).await;
    assert!(!world.gateway.agents()[0].said_goodbye);
}

struct Kept {
    forwards: SavedForwards,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl Kept {
    fn start(world: &World) -> Self {
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let forwards = SavedForwards::start(&world.gateway, &tasks, &shutdown).unwrap();
        Self {
            forwards,
            tasks,
            shutdown,
        }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.tasks.close();
        tokio::time::timeout(SOON, self.tasks.wait()).await.unwrap();
    }
}

#[tokio::test]
async fn a_forward_keeps_its_port_over_a_restart_until_it_is_removed() {
    let mut world = World::new().await;
    let camera = echo_camera().await;
    let _agent = world.agent(world.code("shed"), &[camera]);
    world.connected("shed").await;
    let target = Target::new(camera.ip().to_string(), camera.port());
    let data = Arc::new(pattern(50_000, 3));

    let kept = Kept::start(&world);
    let first = kept
        .forwards
        .add("shed", target.clone(), None)
        .await
        .unwrap();
    let second = kept
        .forwards
        .add("shed", target.clone(), None)
        .await
        .unwrap();
    assert_ne!(first, second);
    assert!(first.ip().is_loopback() && store::FORWARD_PORTS.contains(&first.port()));
    let viewer = TcpStream::connect(first).await.unwrap();
    assert_eq!(exchange(viewer, Arc::clone(&data)).await, *data);
    kept.stop().await;
    assert!(TcpStream::connect(first).await.is_err(), "it has ended");

    world.restart(Duration::ZERO).await;
    let kept = Kept::start(&world);
    world.connected("shed").await;
    let gateway = world.gateway.clone();
    wait_for(|| {
        gateway
            .forwards()
            .iter()
            .any(|forward| forward.listen == first)
    })
    .await;
    let viewer = TcpStream::connect(first).await.unwrap();
    assert_eq!(exchange(viewer, Arc::clone(&data)).await, *data);

    let idle = TcpStream::connect(second).await.unwrap();
    kept.forwards.remove(second).unwrap();
    assert!(matches!(
        kept.forwards.remove(second),
        Err(ForwardError::Unknown(_))
    ));
    let mut byte = [0; 1];
    let cut = tokio::time::timeout(SOON, async {
        idle.readable().await.unwrap();
        idle.try_read(&mut byte)
    });
    assert!(
        matches!(cut.await.unwrap(), Ok(0) | Err(_)),
        "its viewers are cut"
    );
    wait_for(|| std::net::TcpStream::connect(second).is_err()).await;
    kept.stop().await;
}

#[tokio::test]
async fn a_forward_is_refused_where_it_would_be_open_to_others_or_lead_nowhere() {
    let world = World::new().await;
    let _code = world.code("shed");
    let kept = Kept::start(&world);
    let target = || Target::new("127.0.0.1", 554);
    let wide = "0.0.0.0:0".parse().ok();
    let error = kept.forwards.add("shed", target(), wide).await.unwrap_err();
    assert!(matches!(error, ForwardError::NotLoopback(_)), "{error}");
    let error = kept.forwards.add("barn", target(), None).await.unwrap_err();
    assert!(matches!(error, ForwardError::UnknownAgent(_)), "{error}");
    let taken = world.address;
    let error = kept
        .forwards
        .add("shed", target(), Some(taken))
        .await
        .unwrap_err();
    assert!(matches!(error, ForwardError::Listen { .. }), "{error}");
    assert!(
        world.store.forwards().unwrap().is_empty(),
        "nothing is kept"
    );
    kept.stop().await;
}
