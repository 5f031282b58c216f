//! Running other programs, and knowing where the workspace is.
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// The workspace's root folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the workspace")
}

/// `cargo`, the one that runs us, in the workspace's root.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    command
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let metadata = metadata()?;
    let dir = metadata["target_directory"]
        .as_str()
        .context("cargo metadata names no target directory")?;
    Ok(PathBuf::from(dir))
}

/// What cargo knows of the workspace's own crates.
pub(crate) fn metadata() -> Result<serde_json::Value> {
    let output = cargo(&["metadata", "--format-version=1", "--no-deps"])
        .output()
        .context("cargo metadata")?;
    if !output.status.success() {
        bail!(
            "cargo metadata: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Runs one step to its end and says how long it took.
pub(crate) fn step(name: &str, command: &mut Command) -> Result<()> {
    eprintln!("── {name}");
    let started = Instant::now();
    let status = command
        .status()
        .with_context(|| format!("{name}: {:?} does not start", command.get_program()))?;
    eprintln!("── {name}: {:.0} s", started.elapsed().as_secs_f32());
    if !status.success() {
        bail!("{name} failed ({status})");
    }
    Ok(())
}

/// Whether a test that cannot run is a failure (CI) or a note (a desk).
pub(crate) fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}
