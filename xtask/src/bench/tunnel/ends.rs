//! Both ends of what goes through a tunnel, in one process: the target behind it and the visitor before it.
//!
//! Driven by lines on standard input, `WHAT PORT [NUMBER]`, each answered with a line of JSON. One clock for both
//! ends tells how long a way in one direction takes.
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

/// What a visitor asks of the target with its first byte.
const ECHO: u8 = b'E';
/// Bytes for as long as the visitor listens.
const DOWN: u8 = b'D';
/// Chunks, of which the last one is marked; the answer is their number.
const UP: u8 = b'U';
/// An answer after the visitor's end.
const HALF_CLOSE: u8 = b'H';

const CHUNK: usize = 256 << 10;

/// A request for a value, and its answer.
const MESSAGE: usize = 64;

/// More visitors at a time than any part has.
const WORKERS: usize = 24;

/// Nothing here takes so long but what is lost.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A visitor's end that is not passed on.
const HALF_CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// Time between two requests beside a saturated stream.
const PACE: Duration = Duration::from_millis(2);

pub(crate) fn run(_: &[String]) -> Result<()> {
    let listener = Arc::new(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?);
    let port = listener.local_addr()?.port();
    let clock = Arc::new(Clock {
        start: Instant::now(),
        accepted: AtomicU64::new(0),
    });
    for _ in 0..WORKERS {
        let (listener, clock) = (Arc::clone(&listener), Arc::clone(&clock));
        thread::spawn(move || {
            for socket in listener.incoming() {
                clock.note_accepted();
                // A visitor that fails says so itself.
                let _ = socket.map_err(Into::into).and_then(attend);
            }
        });
    }
    println!("{}", json!({ "listening": port }));
    for line in std::io::stdin().lines() {
        let line = line?;
        let answer = obey(&line, &clock).with_context(|| line.clone());
        println!(
            "{}",
            answer.unwrap_or_else(|error| json!({ "error": format!("{error:#}") }))
        );
    }
    Ok(())
}

/// When the target accepted a connection last.
struct Clock {
    start: Instant,
    accepted: AtomicU64,
}

impl Clock {
    fn note_accepted(&self) {
        let now = self.start.elapsed().as_nanos() as u64;
        self.accepted.store(now, Ordering::SeqCst);
    }

    fn accepted(&self) -> Instant {
        self.start + Duration::from_nanos(self.accepted.load(Ordering::SeqCst))
    }
}

fn obey(line: &str, clock: &Clock) -> Result<Value> {
    let mut words = line.split(' ');
    let what = words.next().unwrap_or_default();
    let port: u16 = words.next().context("no port")?.parse()?;
    let number: f64 = words.next().map_or(Ok(0.0), str::parse)?;
    let window = Duration::from_secs_f64(number);
    match what {
        "probe" => {
            echo(port)?.ask(&[0; MESSAGE])?;
            Ok(json!({}))
        }
        "down" => bulk(1, || down(port, window)),
        "down8" => bulk(8, || down(port, window)),
        "up" => bulk(1, || up(port, window)),
        "open" => open(port, number as usize, clock),
        "echo" => {
            let mut visitor = echo(port)?;
            let times = (0..number as usize).map(|_| visitor.ask(&[7; MESSAGE]));
            Ok(percentiles(times.collect::<Result<_>>()?))
        }
        "beside" => beside(port, window),
        "half-close" => Ok(json!({ "kept": half_close(port)? })),
        other => bail!("no part named {other:?}"),
    }
}

/// The target's side of one connection.
fn attend(mut socket: TcpStream) -> Result<()> {
    socket.set_nodelay(true)?;
    let mut what = [0];
    socket.read_exact(&mut what)?;
    let mut chunk = vec![0; CHUNK];
    match what[0] {
        DOWN => loop {
            socket.write_all(&chunk)?;
        },
        UP => {
            let mut count = 0_u64;
            loop {
                socket.read_exact(&mut chunk)?;
                count += 1;
                if chunk[0] == 1 {
                    break;
                }
            }
            socket.write_all(&count.to_be_bytes())?;
        }
        HALF_CLOSE => {
            while socket.read(&mut chunk)? > 0 {}
            socket.write_all(b"bye")?;
        }
        ECHO => loop {
            match socket.read(&mut chunk)? {
                0 => break,
                n => socket.write_all(&chunk[..n])?,
            }
        },
        other => bail!("a visitor asks for {other}"),
    }
    Ok(())
}

fn dial(port: u16, first: &[u8]) -> Result<TcpStream> {
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.set_write_timeout(Some(TIMEOUT))?;
    socket.write_all(first)?;
    Ok(socket)
}

/// A visitor of the echo.
struct Visitor(TcpStream);

fn echo(port: u16) -> Result<Visitor> {
    dial(port, &[ECHO]).map(Visitor)
}

impl Visitor {
    fn ask(&mut self, message: &[u8]) -> Result<Duration> {
        let mut answer = [0; MESSAGE];
        let start = Instant::now();
        self.0.write_all(message)?;
        self.0.read_exact(&mut answer[..message.len()])?;
        Ok(start.elapsed())
    }
}

/// Several streams at once, each of which says how many bytes came.
fn bulk(streams: usize, one: impl Fn() -> Result<u64> + Sync) -> Result<Value> {
    let start = Instant::now();
    let bytes: Result<Vec<u64>> = thread::scope(|scope| {
        let all: Vec<_> = (0..streams).map(|_| scope.spawn(&one)).collect();
        let all = all.into_iter().map(|one| match one.join() {
            Ok(bytes) => bytes,
            Err(_) => bail!("a stream's thread died"),
        });
        all.collect()
    });
    let (bytes, seconds) = (bytes?, start.elapsed().as_secs_f64());
    Ok(json!({ "bytes": bytes.iter().sum::<u64>(), "seconds": seconds }))
}

fn down(port: u16, window: Duration) -> Result<u64> {
    let mut socket = dial(port, &[DOWN])?;
    let (start, mut bytes, mut chunk) = (Instant::now(), 0, vec![0; CHUNK]);
    while start.elapsed() < window {
        match socket.read(&mut chunk)? {
            0 => bail!("the stream ended after {bytes} bytes"),
            n => bytes += n as u64,
        }
    }
    Ok(bytes)
}

fn up(port: u16, window: Duration) -> Result<u64> {
    let mut socket = dial(port, &[UP])?;
    let (start, mut sent, mut chunk) = (Instant::now(), 1, vec![0; CHUNK]);
    while start.elapsed() < window {
        socket.write_all(&chunk)?;
        sent += 1;
    }
    chunk[0] = 1;
    socket.write_all(&chunk)?;
    let mut count = [0; 8];
    socket.read_exact(&mut count)?;
    let count = u64::from_be_bytes(count);
    if count != sent {
        bail!("{count} chunks came of {sent}");
    }
    Ok(count * CHUNK as u64)
}

/// From a visitor's connect to the target's accept, and to the first byte that comes back.
fn open(port: u16, count: usize, clock: &Clock) -> Result<Value> {
    let (mut accepted, mut answered) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let start = Instant::now();
        let mut byte = [0; 1];
        let mut socket = dial(port, &[ECHO, byte[0]])?;
        socket.read_exact(&mut byte)?;
        answered.push(start.elapsed());
        accepted.push(clock.accepted().saturating_duration_since(start));
        socket.shutdown(Shutdown::Write)?;
        // The end has come through: the next one finds the tunnel at rest.
        while socket.read(&mut byte)? > 0 {}
    }
    Ok(json!({ "accepted": percentiles(accepted), "answered": percentiles(answered) }))
}

/// Small requests beside a stream that takes all that the tunnel gives.
fn beside(port: u16, window: Duration) -> Result<Value> {
    let ready = Barrier::new(2);
    thread::scope(|scope| {
        let load = scope.spawn(|| {
            ready.wait();
            down(port, window)
        });
        let mut visitor = echo(port)?;
        visitor.ask(&[7; MESSAGE])?;
        ready.wait();
        let start = Instant::now();
        thread::sleep(window / 10);
        let mut times = Vec::new();
        while start.elapsed() < window * 9 / 10 {
            times.push(visitor.ask(&[7; MESSAGE])?);
            thread::sleep(PACE);
        }
        let Ok(bytes) = load.join() else {
            bail!("the stream's thread died");
        };
        let mut found = percentiles(times);
        found["bytes"] = json!(bytes?);
        Ok(found)
    })
}

/// Whether an answer comes after the visitor's end.
fn half_close(port: u16) -> Result<bool> {
    let mut socket = dial(port, &[HALF_CLOSE])?;
    socket.set_read_timeout(Some(HALF_CLOSE_TIMEOUT))?;
    socket.write_all(b"hello")?;
    socket.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    match socket.read_to_end(&mut answer) {
        Ok(_) => Ok(answer == b"bye"),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// In microseconds.
fn percentiles(mut times: Vec<Duration>) -> Value {
    times.sort_unstable();
    let at = |percent: usize| {
        let time = times.get((times.len() * percent / 100).min(times.len().saturating_sub(1)));
        time.map(|time| time.as_secs_f64() * 1e6)
    };
    json!({ "count": times.len(), "p50": at(50), "p99": at(99) })
}
