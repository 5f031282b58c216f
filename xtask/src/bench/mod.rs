//! Benchmarks, as ratios within one run on one machine, never as absolute times.
mod a9;
mod agents;
mod args;
mod counts;
mod fanout;
mod mjpeg;
mod options;
mod process;
mod reolink;
mod rows;
mod subject;
mod throughput;
mod tunnel;

use crate::run as programs;
use anyhow::{Result, bail};
use options::Common;
use std::path::PathBuf;

const USAGE: &str = "\
usage: cargo xtask bench NAME [ARGS]

  fanout    processor time and memory of one RTSP stream and many readers, beside the kernel's floor
            (`cargo xtask bench fanout --help`)
  mjpeg     the same for motion JPEG over HTTP (`cargo xtask bench mjpeg --help`)
  tunnel    a connection through an agent, beside other tunnels (`cargo xtask bench tunnel --help`)
  agents    ten thousand idle agents at one gateway, ten thousand reconnects of one (`cargo xtask bench agents --help`)
  a9        many A9 cameras at once through one gateway, and a thousand that stand by
            (`cargo xtask bench a9 --help`)
  reolink   eight Reolink cameras with viewers through one gateway, and cold starts
            (`cargo xtask bench reolink --help`)
";

/// Runs the benchmark that `args` names.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let rest = args.get(1..).unwrap_or_default();
    match args.first().map(String::as_str) {
        Some("a9") => a9::run(rest),
        Some("reolink") => reolink::run(rest),
        Some("fanout") => options::run::<fanout::Options>(rest),
        Some("mjpeg") => options::run::<mjpeg::Options>(rest),
        Some("agents") => options::run::<agents::Options>(rest),
        Some("tunnel") => options::run::<tunnel::Options>(rest),
        // The benchmarks' own child processes, so that each one's processor time is its own.
        Some("fanout-source") => fanout::source::run(rest),
        Some("fanout-readers") => fanout::readers::run(rest),
        Some("mjpeg-source") => mjpeg::source::run(rest),
        Some("mjpeg-readers") => mjpeg::readers::run(rest),
        Some("agents-reconnects") => agents::reconnects::run(rest),
        Some("tunnel-ends") => tunnel::ends::run(rest),
        Some("help" | "--help" | "-h") | None => {
            print!("{USAGE}");
            Ok(())
        }
        Some(other) => bail!("no benchmark named {other:?}\n{USAGE}"),
    }
}

/// What is run to measure.
struct Programs {
    /// This program, optimised: the floor must not pay for a debug build.
    own: PathBuf,
    eyelet: Option<PathBuf>,
    /// Where the others that were built are.
    built: PathBuf,
    /// Where media are kept between runs.
    folder: PathBuf,
}

impl Programs {
    /// Builds what is not given, with Eyelet `others`; whoever names Eyelet has built them, too. Without Eyelet there is none to be measured.
    fn build(common: &Common, others: &[&str]) -> Result<Self> {
        let target = programs::target_dir()?;
        let mut packages = vec!["xtask"];
        if common.has_eyelet && common.eyelet.is_none() {
            packages.push("eyelet");
            packages.extend(others);
        }
        let mut cargo = programs::cargo(&["build", "--release", "--quiet"]);
        for package in packages {
            cargo.args(["--package", package]);
        }
        // Standard output is for results.
        cargo.stdout(std::process::Stdio::null());
        programs::step("release build", &mut cargo)?;
        let built = target.join("release");
        let eyelet = common.eyelet.clone();
        Ok(Self {
            own: built.join("xtask"),
            eyelet: common
                .has_eyelet
                .then(|| eyelet.unwrap_or_else(|| built.join("eyelet"))),
            built,
            folder: target.join("bench"),
        })
    }

    /// The agent as cameras get it.
    fn small_agent(&self) -> Result<PathBuf> {
        let args = [
            "build",
            "--profile",
            "agent",
            "--quiet",
            "--package",
            "eyelet-agent",
        ];
        let mut cargo = programs::cargo(&args);
        cargo.stdout(std::process::Stdio::null());
        programs::step("agent build", &mut cargo)?;
        Ok(self.folder.with_file_name("agent").join("eyelet-agent"))
    }
}
