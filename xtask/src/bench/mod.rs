//! Benchmarks, as ratios within one run on one machine, never as absolute times.
use anyhow::{Result, bail};

const USAGE: &str = "\
usage: cargo xtask bench NAME [ARGS]

  fanout    processor time and memory of one RTSP stream and many readers, beside the kernel's floor
";

/// Runs the benchmark that `args` names.
pub(crate) fn run(args: &[String]) -> Result<()> {
    match args.first().map(String::as_str) {
        Some(other) => bail!("no benchmark named {other:?}\n{USAGE}"),
        None => {
            print!("{USAGE}");
            Ok(())
        }
    }
}
