//! Benchmarks, as ratios within one run on one machine, never as absolute times.
mod fanout;

use anyhow::{Result, bail};

const USAGE: &str = "\
usage: cargo xtask bench NAME [ARGS]

  fanout    processor time and memory of one RTSP stream and many readers, beside the kernel's floor
            (`cargo xtask bench fanout --help`)
";

/// Runs the benchmark that `args` names.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let rest = args.get(1..).unwrap_or_default();
    match args.first().map(String::as_str) {
        Some("fanout") => fanout::run(rest),
        // The benchmark's own child processes, so that each one's processor time is its own.
        Some("fanout-source") => fanout::source::run(rest),
        Some("fanout-readers") => fanout::readers::run(rest),
        Some("help" | "--help" | "-h") | None => {
            print!("{USAGE}");
            Ok(())
        }
        Some(other) => bail!("no benchmark named {other:?}\n{USAGE}"),
    }
}
