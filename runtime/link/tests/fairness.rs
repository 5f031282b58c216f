//! Who waits for whom on a slow line, in paused time.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::Duration;

use link::{Line, Mux, MuxConfig};
use proto_tunnel::ResumeConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::time::{Instant, sleep};

/// Bytes a second: an uplink of 2 Mbit/s.
const RATE: usize = 250_000;
/// What the system keeps unsent of a connection.
const UNSENT: usize = 16 << 10;

/// One direction of a line: it takes what it can carry in a few milliseconds, again and again.
async fn carry(mut from: ReadHalf<DuplexStream>, mut to: WriteHalf<DuplexStream>) {
    let mut piece = [0; 1_250];
    while let Ok(n @ 1..) = from.read(&mut piece).await {
        sleep(Duration::from_secs(1) * u32::try_from(n).unwrap() / u32::try_from(RATE).unwrap())
            .await;
        if to.write_all(&piece[..n]).await.is_err() {
            return;
        }
    }
}

/// An agent and a gateway with the slow line between.
fn pair() -> (Mux, Mux) {
    let (agent, agent_end) = duplex(UNSENT);
    let (gateway, gateway_end) = duplex(UNSENT);
    let ((up, to_agent), (down, to_gateway)) = (split(agent_end), split(gateway_end));
    tokio::spawn(carry(up, to_gateway));
    tokio::spawn(carry(down, to_agent));
    let (line, handle) = Line::new(ResumeConfig::default());
    handle.attach(agent, 0).unwrap();
    let agent = Mux::client((line, handle), MuxConfig::agent());
    let (line, handle) = Line::new(ResumeConfig::default());
    handle.attach(gateway, 0).unwrap();
    (agent, Mux::server((line, handle), MuxConfig::gateway()))
}

/// The gateway asks on a stream of its own, the agent answers: the longest of some times.
async fn ask(gateway: &Mux, agent: &Mux) -> Duration {
    let mut near = gateway.open().await.unwrap();
    near.write_all(&[1; 64]).await.unwrap();
    near.flush().await.unwrap();
    let mut far = agent.accept().await.unwrap();
    let answering = tokio::spawn(async move {
        let mut question = [0; 64];
        while far.read_exact(&mut question).await.is_ok() {
            far.write_all(&question).await.unwrap();
            far.flush().await.unwrap();
        }
    });
    let mut answer = [0; 64];
    near.read_exact(&mut answer).await.unwrap();
    let mut worst = Duration::ZERO;
    for _ in 0..20 {
        let start = Instant::now();
        near.write_all(&answer).await.unwrap();
        near.flush().await.unwrap();
        near.read_exact(&mut answer).await.unwrap();
        worst = worst.max(start.elapsed());
        sleep(Duration::from_millis(37)).await;
    }
    answering.abort();
    worst
}

#[tokio::test(start_paused = true)]
async fn video_does_not_delay_control() {
    let (agent, gateway) = pair();
    let alone = ask(&gateway, &agent).await;
    // Four cameras that send as much as the line takes, and more.
    let mut cameras = Vec::new();
    for _ in 0..4 {
        let mut viewer = gateway.open().await.unwrap();
        viewer.write_all(&[1]).await.unwrap();
        viewer.flush().await.unwrap();
        let mut camera = agent.accept().await.unwrap();
        cameras.push(tokio::spawn(async move {
            let picture = vec![7; 40_000];
            while camera.write_all(&picture).await.is_ok() {}
        }));
        cameras.push(tokio::spawn(async move {
            let mut picture = vec![0; 40_000];
            while viewer.read_exact(&mut picture).await.is_ok() {}
        }));
    }
    sleep(Duration::from_secs(6)).await;
    let before = gateway.flow().received.value();
    let start = Instant::now();
    let beside = ask(&gateway, &agent).await;
    let carried = gateway.flow().received.value() - before;
    for camera in cameras {
        camera.abort();
    }
    // The system's own queue comes first whatever we do; of ours there is a piece of each camera and two on the way.
    let queue = Duration::from_secs_f64(UNSENT as f64 / RATE as f64);
    eprintln!("alone {alone:?}, beside video {beside:?}, the system's queue {queue:?}");
    assert!(beside < alone + 4 * queue, "{beside:?}");
    // And the line was full meanwhile.
    let full = start.elapsed().as_secs_f64() * RATE as f64;
    assert!(carried as f64 > 0.9 * full, "{carried} of {full}");
}
