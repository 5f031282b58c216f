//! Chores: tests, benchmarks, generated files. Run as `cargo xtask COMMAND`.
//!
//! CI runs `cargo xtask test` and nothing else, so what passes at a desk passes there.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a chore talks to the person who started it"
)]

mod arrows;
mod bench;
mod generated;
mod length;
mod packages;
mod run;
mod suite;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test [ARGS]      everything CI checks; ARGS go to `cargo nextest run` and then only tests run
  check            the quick part: format, clippy, arrows between crates, file lengths
  gen [--check]    write the generated files (or say which differ from what is committed)
  fuzz-replay      run every fuzz target over its committed corpus
  bench NAME …     benchmarks; `cargo xtask bench` lists them
  packages         install what the tests need (Debian packages, Python packages)
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rest = args.get(1..).unwrap_or_default();
    let outcome = match args.first().map(String::as_str) {
        Some("test") => suite::test(rest),
        Some("check") => suite::check(),
        Some("gen") => generated::run(rest),
        Some("fuzz-replay") => suite::fuzz_replay(),
        Some("bench") => bench::run(rest),
        Some("packages") => packages::install().map(drop),
        Some("help" | "--help" | "-h") => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
