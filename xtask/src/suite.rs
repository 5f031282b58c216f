//! The checks, in the order that finds the cheap faults first.
use crate::{arrows, generated, length, packages, run};
use anyhow::{Result, bail};

/// What CI runs. With `args` only the tests, chosen by them.
pub(crate) fn test(args: &[String]) -> Result<()> {
    let missing = packages::install()?;
    if run::in_ci() && !missing.is_empty() {
        bail!("cannot test without {}", missing.join(", "));
    }
    if !args.is_empty() {
        build()?;
        return tests(args);
    }

    // Every step runs, so that one run tells everything; the tests come last, so that their summary does.
    let mut failed = Vec::new();
    let mut note = |name: &str, outcome: Result<()>| {
        if let Err(error) = outcome {
            eprintln!("xtask: {error:#}");
            failed.push(name.to_owned());
        }
    };
    for (name, outcome) in quick() {
        note(name, outcome);
    }
    note("documentation", documentation());
    note(
        "documentation tests",
        run::step(
            "documentation tests",
            &mut run::cargo(&["test", "--quiet", "--workspace", "--doc"]),
        ),
    );
    build()?;
    note("generated files", generated::run(&["--check".to_owned()]));
    if !failed.is_empty() {
        eprintln!("xtask: failed before the tests: {}", failed.join(", "));
    }
    tests(&[])?;
    if !failed.is_empty() {
        bail!("failed before the tests: {}", failed.join(", "));
    }
    Ok(())
}

/// What a developer runs before each commit.
pub(crate) fn check() -> Result<()> {
    for (_, outcome) in quick() {
        outcome?;
    }
    Ok(())
}

/// Runs every fuzz target over its committed corpus: an ordinary test of the fuzz crate.
pub(crate) fn fuzz_replay() -> Result<()> {
    run::step(
        "fuzz corpora",
        &mut run::cargo(&["test", "--quiet", "-p", "fuzz-targets"]),
    )
}

fn quick() -> Vec<(&'static str, Result<()>)> {
    vec![
        (
            "format",
            run::step("format", &mut run::cargo(&["fmt", "--all", "--check"])),
        ),
        ("arrows", arrows::check()),
        ("lengths", length::check()),
        (
            "clippy",
            run::step(
                "clippy",
                &mut run::cargo(&[
                    "clippy",
                    "--workspace",
                    "--all-targets",
                    "--keep-going",
                    "--quiet",
                    "--",
                    "-D",
                    "warnings",
                ]),
            ),
        ),
    ]
}

fn documentation() -> Result<()> {
    run::step(
        "documentation",
        run::cargo(&["doc", "--workspace", "--no-deps", "--keep-going", "--quiet"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )
}

fn build() -> Result<()> {
    run::step(
        "build the programs",
        &mut run::cargo(&["build", "-p", "eyelet", "-p", "eyelet-agent"]),
    )
}

fn tests(args: &[String]) -> Result<()> {
    if !has_nextest() {
        let installed = run::step(
            "install cargo-nextest",
            &mut run::cargo(&["install", "cargo-nextest", "--locked"]),
        );
        if installed.is_err() {
            eprintln!("xtask: without cargo-nextest, `cargo test` runs the tests one by one");
            let mut plain = run::cargo(&["test", "--workspace", "--all-targets", "--no-fail-fast"]);
            // Its threads know no groups: many live players at once would starve each other.
            return run::step("tests", plain.args(["--", "--test-threads", "2"]));
        }
    }
    let mut nextest = run::cargo(&["nextest", "run"]);
    if args.is_empty() {
        nextest.arg("--workspace");
    }
    let status = nextest.args(args).status()?;
    if !status.success() {
        bail!("tests failed");
    }
    Ok(())
}

fn has_nextest() -> bool {
    run::cargo(&["nextest", "--version"])
        .output()
        .is_ok_and(|output| output.status.success())
}
