//! Many A9 cameras at once through one gateway, and a thousand that stand by.
use anyhow::{Context, Result, bail};
use sim_cameras::{A9Camera, A9Profile, a9_picture};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const USAGE: &str = "\
usage: cargo xtask bench a9 [OPTIONS]

Simulated A9 cameras at ten pictures a second through one gateway, each watched as motion JPEG; then many that only
stand by with heartbeats. Tells pictures, the longest gap, processor time and memory.

  --cameras N         cameras that stream (50)
  --minutes N         how long (10)
  --standby N         cameras that stand by (1000)
  --standby-seconds N how long (60)
  --eyelet PROGRAM    measure this program instead of building one
";

/// A gap that a person calls a stall.
const STALL: Duration = Duration::from_secs(5);

/// Drawn once and shown by all: the benchmark measures the gateway, not the drawing.
const PICTURES: u64 = 40;

struct Options {
    cameras: usize,
    time: Duration,
    standby: usize,
    standby_time: Duration,
    eyelet: Option<PathBuf>,
}

pub(super) fn run(args: &[String]) -> Result<()> {
    let Some(options) = parse(args)? else {
        print!("{USAGE}");
        return Ok(());
    };
    let program = match &options.eyelet {
        Some(program) => program.clone(),
        None => build()?,
    };
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(measure(&options, &program))
}

fn parse(args: &[String]) -> Result<Option<Options>> {
    let mut options = Options {
        cameras: 50,
        time: Duration::from_secs(600),
        standby: 1000,
        standby_time: Duration::from_secs(60),
        eyelet: None,
    };
    let mut rest = args.iter();
    while let Some(name) = rest.next() {
        if matches!(name.as_str(), "--help" | "-h") {
            return Ok(None);
        }
        let value = rest
            .next()
            .with_context(|| format!("{name} wants a value"))?;
        let number = || {
            value
                .parse::<f64>()
                .with_context(|| format!("{name} wants a number"))
        };
        match name.as_str() {
            "--cameras" => options.cameras = number()? as usize,
            "--minutes" => options.time = Duration::try_from_secs_f64(number()? * 60.0)?,
            "--standby" => options.standby = number()? as usize,
            "--standby-seconds" => options.standby_time = Duration::try_from_secs_f64(number()?)?,
            "--eyelet" => options.eyelet = Some(value.into()),
            _ => bail!("unknown option {name}\n{USAGE}"),
        }
    }
    Ok(Some(options))
}

fn build() -> Result<PathBuf> {
    let status = Command::new("cargo")
        .args(["build", "--release", "-p", "eyelet"])
        .status()?;
    if !status.success() {
        bail!("cargo build failed");
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    Ok(PathBuf::from(target).join("release/eyelet"))
}

/// A gateway, killed when dropped.
struct Gateway {
    child: Child,
    http: SocketAddr,
    cloud: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn uid(number: usize) -> String {
    format!("0800c00{number:05}")
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port())
}

fn start(program: &PathBuf, cameras: usize) -> Result<Gateway> {
    let folder = tempfile::tempdir()?;
    let (http, rtsp, cloud, tcp) = (free_port()?, free_port()?, free_port()?, free_port()?);
    let mut config = format!(
        "data: {}\nhttp: {{ listen: \"127.0.0.1:{http}\" }}\nrtsp: {{ listen: \"127.0.0.1:{rtsp}\" }}\na9: {{ http: \"127.0.0.1:{cloud}\", tcp: \"127.0.0.1:{tcp}\" }}\ncameras:\n",
        folder.path().join("data").display()
    );
    for number in 0..cameras {
        config.push_str(&format!("  cam{number}: a9://{}\n", uid(number)));
    }
    let file = folder.path().join("eyelet.yaml");
    std::fs::write(&file, config)?;
    let child = Command::new(program)
        .args(["-q", "serve", "-c"])
        .arg(&file)
        .spawn()
        .with_context(|| format!("{} does not start", program.display()))?;
    let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let gateway = Gateway {
        child,
        http: local(http),
        cloud: local(cloud),
        _folder: folder,
    };
    let limit = Instant::now() + Duration::from_secs(20);
    while std::net::TcpStream::connect(gateway.cloud).is_err() {
        if Instant::now() > limit {
            bail!("the gateway does not come up");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(gateway)
}

/// Resident bytes, the most of them so far, and processor seconds.
fn cost(gateway: &Gateway) -> Result<(u64, u64, f64)> {
    let id = gateway.child.id();
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let kibibytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| {
            rest.trim_matches([':', '\t', ' ', 'k', 'B'])
                .parse::<u64>()
                .ok()
        })
        .unwrap_or_default()
    };
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
    let fields = stat.rsplit_once(") ").context("/proc/PID/stat")?.1;
    let ticks = |at: usize| {
        fields
            .split(' ')
            .nth(at)
            .and_then(|field| field.parse::<f64>().ok())
    };
    let seconds = (ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0)) * 0.01;
    Ok((
        kibibytes("VmRSS") * 1024,
        kibibytes("VmHWM") * 1024,
        seconds,
    ))
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

async fn measure(options: &Options, program: &PathBuf) -> Result<()> {
    if options.cameras > 0 {
        stream(options, program).await?;
    }
    if options.standby > 0 {
        stand_by(options, program).await?;
    }
    Ok(())
}

async fn stream(options: &Options, program: &PathBuf) -> Result<()> {
    let gateway = start(program, options.cameras)?;
    let drawn: Vec<_> = (0..PICTURES)
        .map(|at| a9_picture(Duration::from_millis(at * 200), "BENCH"))
        .collect();
    let drawn = std::sync::Arc::new(drawn);
    let mut cameras = JoinSet::new();
    for number in 0..options.cameras {
        let drawn = std::sync::Arc::clone(&drawn);
        let camera = A9Camera::new(uid(number).parse()?, A9Profile::Classic)
            .with_cloud(gateway.cloud)
            .with_pictures(move |at| drawn[(at % PICTURES) as usize].clone());
        cameras.spawn(camera.run());
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut viewers = JoinSet::new();
    for number in 0..options.cameras {
        viewers.spawn(watch(gateway.http, format!("cam{number}"), options.time));
    }
    // Once everything that fills up is full.
    tokio::time::sleep((options.time / 5).min(Duration::from_secs(60))).await;
    let (early, _, busy) = cost(&gateway)?;
    let since = Instant::now();
    let mut seen = Vec::new();
    while let Some(viewer) = viewers.join_next().await {
        seen.push(viewer??);
    }
    let (late, peak, after) = cost(&gateway)?;
    let pictures: u64 = seen.iter().map(|viewer| viewer.pictures).sum();
    let fewest = seen
        .iter()
        .map(|viewer| viewer.pictures)
        .min()
        .unwrap_or_default();
    let gap = seen
        .iter()
        .map(|viewer| viewer.gap)
        .max()
        .unwrap_or_default();
    let stalls = seen.iter().filter(|viewer| viewer.gap > STALL).count();
    println!(
        "{} cameras, {} s: {pictures} pictures, at least {:.2} a second from each, longest gap {:.2} s, stalled {stalls}",
        options.cameras,
        options.time.as_secs(),
        fewest as f64 / options.time.as_secs_f64(),
        gap.as_secs_f64()
    );
    println!(
        "gateway: {:.1} % of one processor, resident {:.1} MiB early and {:.1} MiB at the end, peak {:.1} MiB",
        (after - busy) / since.elapsed().as_secs_f64() * 100.0,
        mib(early),
        mib(late),
        mib(peak)
    );
    Ok(())
}

#[derive(Default)]
struct Seen {
    pictures: u64,
    gap: Duration,
}

/// Counts the pictures of one camera, each of which must begin and end as a JPEG does.
async fn watch(http: SocketAddr, camera: String, time: Duration) -> Result<Seen> {
    let stream = TcpStream::connect(http).await?;
    let mut stream = BufReader::new(stream);
    let request = format!("GET /api/v1/cameras/{camera}/stream HTTP/1.0\r\nHost: {http}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let (mut seen, end) = (Seen::default(), tokio::time::Instant::now() + time);
    let mut last = None;
    let mut picture = Vec::new();
    let mut line = String::new();
    let mut len = 0;
    loop {
        line.clear();
        match tokio::time::timeout_at(end, stream.read_line(&mut line)).await {
            Err(_) => return Ok(seen),
            Ok(read) => {
                if read? == 0 {
                    bail!("{camera}: the stream ended");
                }
            }
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            len = value.trim().parse::<usize>()?;
        }
        if !line.trim().is_empty() || len == 0 {
            continue;
        }
        picture.resize(len, 0);
        stream.read_exact(&mut picture).await?;
        len = 0;
        if !picture.starts_with(&[0xFF, 0xD8]) || !picture.ends_with(&[0xFF, 0xD9]) {
            bail!("{camera}: picture {} is torn", seen.pictures);
        }
        seen.pictures += 1;
        let now = Instant::now();
        seen.gap = seen.gap.max(now - last.replace(now).unwrap_or(now));
    }
}

async fn stand_by(options: &Options, program: &PathBuf) -> Result<()> {
    let gateway = start(program, options.standby)?;
    let (empty, _, _) = cost(&gateway)?;
    let started = Instant::now();
    let mut cameras = JoinSet::new();
    let mut all = Vec::new();
    for number in 0..options.standby {
        let camera = A9Camera::new(uid(number).parse()?, A9Profile::Classic)
            .with_cloud(gateway.cloud)
            .with_pause(Duration::from_millis(500));
        cameras.spawn(camera.clone().run());
        all.push(camera);
    }
    while all.iter().any(|camera| camera.registrations() == 0) {
        if started.elapsed() > Duration::from_secs(120) {
            bail!("not every camera was let in within two minutes");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let registered = started.elapsed();
    let (early, _, busy) = cost(&gateway)?;
    let since = Instant::now();
    tokio::time::sleep(options.standby_time).await;
    let (late, _, after) = cost(&gateway)?;
    let lost = all
        .iter()
        .filter(|camera| camera.registrations() > 1)
        .count();
    println!(
        "{} cameras stand by: all registered after {:.1} s, lost {lost} in {} s",
        options.standby,
        registered.as_secs_f64(),
        options.standby_time.as_secs()
    );
    println!(
        "gateway: {:.1} % of one processor, resident {:.1} MiB without cameras, {:.1} MiB with them, {:.1} MiB at the end ({:.1} KiB each)",
        (after - busy) / since.elapsed().as_secs_f64() * 100.0,
        mib(empty),
        mib(early),
        mib(late),
        late.saturating_sub(empty) as f64 / 1024.0 / options.standby.max(1) as f64
    );
    Ok(())
}
