//! Many streams over one line over a row of connections that break, in paused time.
//!
//! `EYELET_SEED=N` plays one seed, `EYELET_SEEDS=N` says how many to try.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use link::{Line, LineHandle, LineState, Mux, MuxConfig, Stream};
use proto_tunnel::{HeartbeatConfig, ResumeConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

const SEEDS: u64 = 150;

/// Splitmix64, shared by the tasks of one run.
struct Dice(AtomicU64);

impl Dice {
    fn below(&self, limit: u64) -> u64 {
        let z = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % limit.max(1)
    }

    fn ms(&self, limit: u64) -> Duration {
        Duration::from_millis(self.below(limit))
    }
}

/// Carries one direction, late, until the connection is cut or goes deaf.
async fn carry(
    mut from: ReadHalf<DuplexStream>,
    mut to: WriteHalf<DuplexStream>,
    dice: Arc<Dice>,
    deaf_from: Instant,
) {
    let mut buffer = vec![0; 8192];
    loop {
        let limit = 1 + usize::try_from(dice.below(8192)).unwrap();
        let Ok(n @ 1..) = from.read(&mut buffer[..limit]).await else {
            return;
        };
        sleep(dice.ms(40)).await;
        if Instant::now() >= deaf_from {
            // Swallows for ever, without a word.
            while from.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
            return std::future::pending().await;
        }
        if to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}

/// A connection that lives for a while: its two ends.
fn connection(
    dice: &Arc<Dice>,
    relays: &mut JoinSet<()>,
    is_rough: bool,
) -> (DuplexStream, DuplexStream) {
    let (near, wire_a) = duplex(1 << 14);
    let (wire_b, far) = duplex(1 << 14);
    let life = if is_rough {
        dice.ms(6_000)
    } else {
        Duration::from_secs(3600)
    };
    let goes_deaf = dice.below(3) == 0;
    let now = Instant::now();
    let deaf_from = now
        + if goes_deaf {
            life
        } else {
            2 * life + Duration::from_secs(3600)
        };
    let (a_read, a_write) = split(wire_a);
    let (b_read, b_write) = split(wire_b);
    let (there, back) = (Arc::clone(dice), Arc::clone(dice));
    relays.spawn(async move {
        tokio::select! {
            _ = async { tokio::join!(carry(a_read, b_write, there, deaf_from), carry(b_read, a_write, back, deaf_from)) } => {}
            () = sleep(if goes_deaf { Duration::from_secs(3600) } else { life }) => {}
        }
    });
    (near, far)
}

/// Redials whenever the dialing end has lost its connection.
async fn keep_attached(
    client: LineHandle,
    server: LineHandle,
    dice: Arc<Dice>,
    rough_until: Instant,
) {
    let mut relays = JoinSet::new();
    let mut state = client.state();
    loop {
        if state
            .wait_for(|state| *state == LineState::Detached)
            .await
            .is_err()
        {
            return;
        }
        sleep(dice.ms(3_000)).await;
        let (near, far) = connection(&dice, &mut relays, Instant::now() < rough_until);
        let (there, here) = (server.detach(), client.detach());
        if server.attach(far, here).is_err() || client.attach(near, there).is_err() {
            return;
        }
    }
}

fn config() -> ResumeConfig {
    ResumeConfig {
        window: 64 << 10,
        patience: Duration::from_secs(60),
        heartbeat: HeartbeatConfig::default(),
    }
}

fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len)
        .map(|i| u8::try_from((i.wrapping_mul(31) + i / 251 + seed) % 256).unwrap())
        .collect()
}

/// Sends `data`, ends its direction, reads until the other ends.
async fn exchange(stream: Stream, data: Vec<u8>, dice: Arc<Dice>) -> Vec<u8> {
    let (mut read, mut write) = split(stream);
    let sending = async move {
        for piece in data.chunks(7_000) {
            write.write_all(piece).await.unwrap();
            if dice.below(4) == 0 {
                sleep(dice.ms(800)).await;
            }
        }
        write.shutdown().await.unwrap();
    };
    let mut back = Vec::new();
    let (read, ()) = tokio::join!(read.read_to_end(&mut back), sending);
    read.unwrap();
    back
}

/// One run: how many connections it took, and how many bytes were sent twice.
async fn play(seed: u64) -> (u64, u64) {
    let dice = Arc::new(Dice(AtomicU64::new(seed)));
    let ((client_line, client), (server_line, server)) = (Line::new(config()), Line::new(config()));
    let near = Mux::client((client_line, client.clone()), MuxConfig::agent());
    let far = Mux::server((server_line, server.clone()), MuxConfig::gateway());
    let rough_until = Instant::now() + Duration::from_secs(60);
    let dialer = tokio::spawn(keep_attached(
        client.clone(),
        server,
        Arc::clone(&dice),
        rough_until,
    ));
    let streams = 1 + usize::try_from(dice.below(5)).unwrap();
    let work = async {
        let mut tasks = JoinSet::new();
        for n in 0..streams {
            let mut stream = near.open().await.unwrap();
            stream.write_all(&[u8::try_from(n).unwrap()]).await.unwrap();
            let len = usize::try_from(dice.below(400_000)).unwrap();
            let dice = Arc::clone(&dice);
            tasks.spawn(async move {
                assert!(exchange(stream, pattern(len, n), dice).await == pattern(len / 2, n + 9));
            });
        }
        for _ in 0..streams {
            let mut stream = far.accept().await.unwrap();
            let n = usize::from(stream.read_u8().await.unwrap());
            let dice = Arc::clone(&dice);
            tasks.spawn(async move {
                // Answers with half as much, which it knows only once all has come.
                let (mut read, mut write) = split(stream);
                let mut heard = Vec::new();
                read.read_to_end(&mut heard).await.unwrap();
                assert!(heard == pattern(heard.len(), n));
                for piece in pattern(heard.len() / 2, n + 9).chunks(5_000) {
                    write.write_all(piece).await.unwrap();
                    if dice.below(8) == 0 {
                        sleep(dice.ms(500)).await;
                    }
                }
                write.shutdown().await.unwrap();
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    };
    timeout(Duration::from_secs(1200), work)
        .await
        .expect("it hangs");
    dialer.abort();
    let stats = client.stats();
    (stats.connections, stats.replayed)
}

#[test]
fn streams_survive_every_cut_byte_for_byte() {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let seeds = match number("EYELET_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("EYELET_SEEDS").unwrap_or(SEEDS),
    };
    let (mut connections, mut replayed) = (0, 0);
    for seed in seeds {
        let played = std::panic::catch_unwind(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build();
            runtime.unwrap().block_on(play(seed))
        });
        let (more, again) = played.unwrap_or_else(|panic| {
            eprintln!("failed with EYELET_SEED={seed}");
            std::panic::resume_unwind(panic)
        });
        connections += more;
        replayed += again;
    }
    eprintln!("{connections} connections, {replayed} bytes sent twice");
    assert!(replayed > 0);
}

/// Two multiplexers over one connection, and the handles to their lines.
fn pair(patience: Duration) -> (Mux, Mux, DuplexStream, DuplexStream) {
    let config = ResumeConfig {
        patience,
        ..config()
    };
    let ((client_line, client), (server_line, server)) = (Line::new(config), Line::new(config));
    let (near, wire_a) = duplex(4096);
    let (wire_b, far) = duplex(4096);
    client.attach(near, 0).unwrap();
    server.attach(far, 0).unwrap();
    (
        Mux::client((client_line, client), MuxConfig::agent()),
        Mux::server((server_line, server), MuxConfig::gateway()),
        wire_a,
        wire_b,
    )
}

#[tokio::test(start_paused = true)]
async fn beyond_the_resume_window_every_stream_is_reset_and_none_looks_complete() {
    let (client, server, mut wire_a, mut wire_b) = pair(Duration::from_secs(60));
    let relay = tokio::spawn(async move {
        let _ = tokio::io::copy_bidirectional(&mut wire_a, &mut wire_b).await;
    });
    let mut near = client.open().await.unwrap();
    near.write_all(b"PLAY").await.unwrap();
    near.flush().await.unwrap();
    let mut far = server.accept().await.unwrap();
    far.read_exact(&mut [0; 4]).await.unwrap();
    relay.abort();
    let cut = Instant::now();
    let (near_end, far_end) = tokio::join!(near.read_u8(), far.read_u8());
    assert!(near_end.is_err() && far_end.is_err());
    let lasted = cut.elapsed().as_secs();
    assert!((58..70).contains(&lasted), "{lasted} s");
    assert!(client.closed().await.is_err() && server.closed().await.is_err());
    assert!(!client.line().unwrap().is_alive());
}

#[tokio::test(start_paused = true)]
async fn a_window_full_of_bytes_waits_and_is_not_dropped() {
    let (client, server, wire_a, wire_b) = pair(Duration::from_secs(60));
    let mut near = client.open().await.unwrap();
    // The connection swallows everything from the first byte; the writer is held, not cheated.
    let written = Arc::new(AtomicU64::new(0));
    let (count, data) = (Arc::clone(&written), pattern(1 << 20, 3));
    let sent = data.clone();
    tokio::spawn(async move {
        for piece in sent.chunks(1_000) {
            near.write_all(piece).await.unwrap();
            count.fetch_add(1_000, Ordering::Relaxed);
        }
        near.shutdown().await.unwrap();
    });
    sleep(Duration::from_secs(20)).await;
    let held = written.load(Ordering::Relaxed);
    assert!(held < 512 << 10, "{held} bytes were taken");
    drop((wire_a, wire_b));
    let (near_end, far_end) = duplex(4096);
    let (there, here) = (
        server.line().unwrap().detach(),
        client.line().unwrap().detach(),
    );
    server.line().unwrap().attach(far_end, here).unwrap();
    client.line().unwrap().attach(near_end, there).unwrap();
    let mut far = server.accept().await.unwrap();
    let mut heard = Vec::new();
    far.read_to_end(&mut heard).await.unwrap();
    assert!(heard == data);
}

#[tokio::test(start_paused = true)]
async fn a_deaf_connection_is_found_within_five_seconds_of_traffic_and_fifteen_without() {
    for is_busy in [true, false] {
        let (client, server, wire_a, wire_b) = pair(Duration::from_secs(60));
        let (mut a_read, mut a_write) = split(wire_a);
        let (mut b_read, mut b_write) = split(wire_b);
        let (deaf, heard) = tokio::sync::oneshot::channel::<()>();
        tokio::spawn(async move {
            let carry = async {
                tokio::join!(
                    tokio::io::copy(&mut a_read, &mut b_write),
                    tokio::io::copy(&mut b_read, &mut a_write)
                )
            };
            tokio::select! {
                _ = carry => {}
                _ = heard => {}
            }
            // Both ends stay open, and nothing moves any more.
            std::future::pending::<()>().await;
        });
        let mut near = client.open().await.unwrap();
        near.write_all(b"PLAY").await.unwrap();
        near.flush().await.unwrap();
        let mut far = server.accept().await.unwrap();
        let video = tokio::spawn(async move {
            while is_busy && far.write_all(&[7; 1400]).await.is_ok() {
                sleep(Duration::from_millis(10)).await;
            }
            std::future::pending::<()>().await;
        });
        tokio::spawn(async move { while near.read(&mut [0; 4096]).await.is_ok() {} });
        sleep(Duration::from_secs(20)).await;
        assert!(client.line().unwrap().is_attached() && server.line().unwrap().is_attached());
        let cut = Instant::now();
        deaf.send(()).unwrap();
        let limit = Duration::from_secs(if is_busy { 5 } else { 15 });
        let found = async {
            tokio::join!(
                client.line().unwrap().detached(1),
                server.line().unwrap().detached(1)
            );
        };
        timeout(limit, found)
            .await
            .unwrap_or_else(|_| panic!("busy: {is_busy}"));
        eprintln!("busy: {is_busy}, found after {:?}", cut.elapsed());
        video.abort();
    }
}
