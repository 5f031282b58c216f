//! Reolink cameras with viewers through one gateway, and how long a cold start takes.
use super::args::Args;
use super::fanout::readers::first_keyframe;
use super::process::{Cost, Process, free_port, machine_busy};
use super::throughput::median;
use crate::run as programs;
use anyhow::{Context, Result, bail};
use sim_cameras::{ReolinkCamera, ReolinkConfig, ReolinkEncryption};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

const USAGE: &str = "\
usage: cargo xtask bench reolink [OPTIONS]

Simulated Reolink cameras under full AES through one gateway, each with viewers over RTSP: pictures, processor time,
and whether memory stays flat. Then cold starts: from a viewer's connection to its first keyframe, the camera's login
included.

  --seconds N         how long the viewers watch (600)
  --cameras N         cameras (8)
  --viewers N         viewers of each (4)
  --mbit N            rate of each camera (4)
  --starts N          cold starts (20)
  --quick             20 s and 5 cold starts
  --eyelet PROGRAM    measure this program instead of building one
";

/// What is resident may grow by so much and is still flat: allocators keep what they had for a while.
const FLAT: u64 = 4 << 20;

/// How often memory is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A camera's connection is closed so long after its viewer went: a second for who changes streams, and some.
const COLD_AFTER: Duration = Duration::from_millis(1_600);

/// For a cold start; one that takes longer has failed.
const START_LIMIT: Duration = Duration::from_secs(30);

struct Options {
    seconds: u64,
    cameras: usize,
    viewers: usize,
    mbit: u32,
    starts: usize,
    eyelet: Option<PathBuf>,
}

pub(super) fn run(args: &[String]) -> Result<()> {
    let Some(options) = parse(args)? else {
        print!("{USAGE}");
        return Ok(());
    };
    let program = match &options.eyelet {
        Some(program) => program.clone(),
        None => {
            let mut cargo =
                programs::cargo(&["build", "--release", "--quiet", "--package", "eyelet"]);
            programs::step("release build", &mut cargo)?;
            programs::target_dir()?.join("release/eyelet")
        }
    };
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(async {
            watch(&options, &program).await?;
            start_cold(&options, &program).await
        })
}

fn parse(args: &[String]) -> Result<Option<Options>> {
    let mut options = Options {
        seconds: 600,
        cameras: 8,
        viewers: 4,
        mbit: 4,
        starts: 20,
        eyelet: None,
    };
    let mut args = Args::new(args);
    while let Some(name) = args.next() {
        match name.as_str() {
            "--help" | "-h" => return Ok(None),
            "--seconds" => options.seconds = args.value(&name)?,
            "--cameras" => options.cameras = args.value(&name)?,
            "--viewers" => options.viewers = args.value(&name)?,
            "--mbit" => options.mbit = args.value(&name)?,
            "--starts" => options.starts = args.value(&name)?,
            "--quick" => (options.seconds, options.starts) = (20, 5),
            "--eyelet" => options.eyelet = Some(args.text(&name)?.into()),
            _ => return Err(args.unknown(&name)),
        }
    }
    Ok(Some(options))
}

/// A gateway with cameras `cam0`, `cam1` and so on.
struct Gateway {
    process: Process,
    rtsp: u16,
    _folder: tempfile::TempDir,
}

impl Gateway {
    fn start(program: &Path, sources: &[String], idle: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (http, rtsp) = (free_port()?, free_port()?);
        let mut config = format!(
            "data: {}\nhttp: {{ listen: \"127.0.0.1:{http}\" }}\nrtsp: {{ listen: \"127.0.0.1:{rtsp}\" }}\ncameras:\n",
            folder.path().join("data").display()
        );
        for (number, source) in sources.iter().enumerate() {
            config.push_str(&format!(
                "  cam{number}: {{ source: \"{source}\", idle: {idle} }}\n"
            ));
        }
        let file = folder.path().join("eyelet.yaml");
        std::fs::write(&file, config)?;
        let mut command = Command::new(program);
        command.args(["-q", "serve", "-c"]).arg(&file);
        let mut process = Process::start("eyelet", &mut command)?;
        process.wait_for(rtsp)?;
        Ok(Self {
            process,
            rtsp,
            _folder: folder,
        })
    }

    fn url(&self, camera: usize) -> String {
        format!("rtsp://127.0.0.1:{}/cam{camera}", self.rtsp)
    }

    fn cost(&self) -> Result<Cost> {
        Cost::sum(&[&self.process])
    }
}

/// A camera on loopback, and where.
async fn camera(mbit: Option<u32>) -> Result<(ReolinkCamera, String)> {
    let camera = ReolinkCamera::new(ReolinkConfig {
        encryption: ReolinkEncryption::FullAes,
        encrypt_len: Some(1_024),
        bits_per_second: mbit.map(|mbit| mbit * 1_000_000),
        ..ReolinkConfig::default()
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = camera.url(listener.local_addr()?);
    tokio::spawn(camera.clone().serve_tcp(listener));
    Ok((camera, url))
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

async fn watch(options: &Options, program: &Path) -> Result<()> {
    let mut cameras = Vec::new();
    let mut sources = Vec::new();
    for _ in 0..options.cameras {
        let (camera, url) = camera(Some(options.mbit)).await?;
        cameras.push(camera);
        sources.push(url);
    }
    let gateway = Gateway::start(program, &sources, "10s")?;
    let own = std::env::current_exe()?;
    let mut viewers = Vec::new();
    for number in 0..options.cameras {
        let count = options.viewers.to_string();
        let url = gateway.url(number);
        let args = ["fanout-readers", "--url", &url, "--count", &count].map(str::to_owned);
        viewers.push(Process::own(&own, &args)?);
    }
    let mut viewers = tokio::task::spawn_blocking(move || {
        for viewer in &mut viewers {
            viewer.answer()?;
        }
        anyhow::Ok(viewers)
    })
    .await??;
    let time = Duration::from_secs(options.seconds);
    // Once everything that fills up is full.
    sleep((time / 5).min(Duration::from_secs(60))).await;
    let (before, busy) = (gateway.cost()?, machine_busy()?);
    let since = Instant::now();
    for viewer in &mut viewers {
        viewer.tell("start")?;
    }
    let (mut least, mut most) = (before.resident, before.resident);
    while since.elapsed() < time {
        sleep(LOOK_EVERY).await;
        let resident = gateway.cost()?.resident;
        (least, most) = (least.min(resident), most.max(resident));
    }
    let (after, busy) = (gateway.cost()?, machine_busy()? - busy);
    let seconds = since.elapsed().as_secs_f64();
    let (mut bytes, mut pictures, mut gaps, mut failed, mut worst) = (0, 0, 0, 0, 0);
    for viewer in &mut viewers {
        viewer.tell("end")?;
        let report = viewer.answer()?;
        let number = |name: &str| report[name].as_u64().unwrap_or(0);
        bytes += number("bytes");
        pictures += number("units");
        gaps += number("gaps");
        failed += number("failed");
        worst = worst.max(number("worst_gap_ms"));
    }
    let all = options.cameras * options.viewers;
    let logins: u64 = cameras.iter().map(|camera| camera.counters().logins).sum();
    println!(
        "{} cameras of {} Mbit/s with {} viewers each, {seconds:.0} s: {:.1} Mbit/s out, {:.2} pictures a second for each viewer, {gaps} packets lost, longest silence {worst} ms, {failed} viewers failed, {logins} logins",
        options.cameras,
        options.mbit,
        options.viewers,
        bytes as f64 * 8.0 / seconds / 1e6,
        pictures as f64 / seconds / all.max(1) as f64,
    );
    let spent = after.since(&before).all;
    println!(
        "gateway: {:.1} % of one processor (all of the machine {:.0} %), resident {:.1} MiB at first, {:.1} MiB at the end, {:.1} to {:.1} MiB meanwhile: {}",
        spent / seconds * 100.0,
        busy / seconds * 100.0,
        mib(before.resident),
        mib(after.resident),
        mib(least),
        mib(most),
        if after.resident <= before.resident + FLAT {
            "flat"
        } else {
            "it GREW"
        },
    );
    if failed > 0 || logins != options.cameras as u64 {
        bail!("viewers failed, or cameras were logged into again");
    }
    Ok(())
}

async fn start_cold(options: &Options, program: &Path) -> Result<()> {
    if options.starts == 0 {
        return Ok(());
    }
    let (camera, url) = camera(None).await?;
    let gateway = Gateway::start(program, &[url], "0s")?;
    let mut milliseconds = Vec::new();
    for number in 0..options.starts {
        let begun = camera.counters().logins;
        let took = timeout(START_LIMIT, first_keyframe(&gateway.url(0)))
            .await
            .with_context(|| format!("cold start {number} brought no picture"))??;
        milliseconds.push(took.as_secs_f64() * 1e3);
        sleep(COLD_AFTER).await;
        if camera.counters().logins != begun + 1 {
            bail!("start {number} was not a cold one");
        }
    }
    let most = milliseconds.iter().copied().fold(0.0, f64::max);
    println!(
        "cold start, login included, {} times: median {:.1} ms, at most {most:.1} ms",
        options.starts,
        median(milliseconds.iter().copied()),
    );
    Ok(())
}
