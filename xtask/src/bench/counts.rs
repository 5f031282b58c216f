//! Many readers in one process: they count what comes and show it to nobody.
//!
//! Driven by lines on standard input: `start` opens the measured window, `end` closes it and asks for
//! the report. Answers in JSON lines: `ready` when every reader has had a keyframe, then the report.
use anyhow::{Result, bail};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::LocalSet;
use tokio::time::sleep;

/// For every reader to have its first keyframe.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);

/// More than a keyframe of any stream here, so that one read takes an access unit.
const READ_BUFFER: usize = 256 << 10;

/// What one reader saw. The counters start anew with the window.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) bytes: u64,
    pub(super) units: u64,
    pub(super) gaps: u64,
    worst_gap: Duration,
    last: Option<Instant>,
    /// From connect to the last byte of the first keyframe.
    pub(super) first_keyframe: Option<Duration>,
    pub(super) error: Option<String>,
}

impl Counts {
    /// Bytes came.
    pub(super) fn note(&mut self, bytes: usize) {
        let now = Instant::now();
        self.bytes += bytes as u64;
        let silence = self.last.map_or(Duration::ZERO, |last| now - last);
        self.worst_gap = self.worst_gap.max(silence);
        self.last = Some(now);
    }

    fn restart(&mut self, now: Instant) {
        (self.bytes, self.units, self.gaps) = (0, 0, 0);
        (self.worst_gap, self.last) = (Duration::ZERO, Some(now));
    }
}

/// What the parent says, line by line.
pub(super) type Commands = UnboundedReceiver<String>;

/// Runs `work` on this thread; the process ends with the parent.
pub(super) fn block_on<F: Future<Output = Result<()>>>(
    work: impl FnOnce(Commands) -> F,
) -> Result<()> {
    let (send, commands) = unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, work(commands))
}

/// Starts `count` readers, one every `ramp`, and answers the parent until it ends.
pub(super) async fn serve<F: Future<Output = Result<()>> + 'static>(
    count: usize,
    ramp: Duration,
    mut commands: Commands,
    reader: impl Fn(usize, Rc<RefCell<Counts>>) -> F,
) -> Result<()> {
    let mut readers = Vec::new();
    for number in 0..count {
        let counts = Rc::new(RefCell::new(Counts::default()));
        let reading = reader(number, Rc::clone(&counts));
        readers.push(Rc::clone(&counts));
        tokio::task::spawn_local(async move {
            if let Err(error) = reading.await {
                counts.borrow_mut().error = Some(format!("{error:#}"));
            }
        });
        sleep(ramp).await;
    }
    let settled = || {
        readers.iter().all(|counts| {
            let counts = counts.borrow();
            counts.first_keyframe.is_some() || counts.error.is_some()
        })
    };
    let limit = Instant::now() + SETTLE_TIMEOUT;
    while !settled() && Instant::now() < limit {
        sleep(Duration::from_millis(20)).await;
    }
    println!("{}", json!({ "ready": true }));
    let mut start = Instant::now();
    while let Some(command) = commands.recv().await {
        match command.as_str() {
            "start" => {
                start = Instant::now();
                for counts in &readers {
                    counts.borrow_mut().restart(start);
                }
            }
            "end" => println!("{}", report(&readers, start)),
            other => bail!("unknown command {other:?}"),
        }
    }
    Ok(())
}

fn report(readers: &[Rc<RefCell<Counts>>], start: Instant) -> Value {
    let readers: Vec<_> = readers.iter().map(|counts| counts.borrow()).collect();
    let sum = |of: fn(&Counts) -> u64| readers.iter().map(|counts| of(counts)).sum::<u64>();
    let mut first: Vec<f64> = readers
        .iter()
        .filter_map(|counts| Some(counts.first_keyframe?.as_secs_f64() * 1e3))
        .collect();
    first.sort_by(f64::total_cmp);
    let mut errors: Vec<&str> = readers
        .iter()
        .filter_map(|counts| counts.error.as_deref())
        .collect();
    let failed = errors.len();
    errors.sort_unstable();
    errors.dedup();
    errors.truncate(5);
    json!({
        "seconds": start.elapsed().as_secs_f64(),
        "bytes": sum(|counts| counts.bytes),
        "units": sum(|counts| counts.units),
        "units_min": readers.iter().map(|counts| counts.units).min(),
        "gaps": sum(|counts| counts.gaps),
        "worst_gap_ms": readers.iter().map(|counts| counts.worst_gap.as_millis() as u64).max(),
        "first_keyframe_ms": first,
        "failed": failed,
        "errors": errors,
    })
}

/// One buffer for all readers: it is empty again before the next one's turn.
#[derive(Clone)]
pub(super) struct SharedBuffer(Rc<RefCell<Vec<u8>>>);

impl Default for SharedBuffer {
    fn default() -> Self {
        Self(Rc::new(RefCell::new(vec![0; READ_BUFFER])))
    }
}

impl SharedBuffer {
    /// Puts bytes into it that were read elsewhere.
    pub(super) fn fill(&self, bytes: &[u8]) -> usize {
        self.0.borrow_mut()[..bytes.len()].copy_from_slice(bytes);
        bytes.len()
    }

    /// Shows the bytes of the last read.
    pub(super) fn with<T>(&self, count: usize, show: impl FnOnce(&[u8]) -> T) -> T {
        show(&self.0.borrow()[..count])
    }

    pub(super) async fn read(&self, socket: &mut TcpStream) -> Result<usize> {
        let count = poll_fn(|context| {
            let mut buffer = self.0.borrow_mut();
            let mut filled = ReadBuf::new(&mut buffer);
            let poll = Pin::new(&mut *socket).poll_read(context, &mut filled);
            poll.map_ok(|()| filled.filled().len())
        });
        match count.await? {
            0 => bail!("closed by the server"),
            count => Ok(count),
        }
    }
}
