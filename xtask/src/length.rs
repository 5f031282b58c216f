//! A file of more than 800 lines is two files.
use crate::run;
use anyhow::{Context, Result, bail};
use std::process::Command;

const MAX_LINES: usize = 800;

/// Kinds of files that people read and write by hand.
const WRITTEN: &[&str] = &[".rs", ".py", ".js", ".css", ".html", ".toml", ".yaml"];

/// Fails with the names of the files that are too long.
pub(crate) fn check() -> Result<()> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(run::root())
        .output()
        .context("git ls-files")?;
    let mut long = Vec::new();
    for path in String::from_utf8_lossy(&listed.stdout).lines() {
        if !WRITTEN.iter().any(|ending| path.ends_with(ending)) {
            continue;
        }
        // A path may be listed and yet be gone: deleted, and not committed yet.
        let Ok(text) = std::fs::read_to_string(run::root().join(path)) else {
            continue;
        };
        let lines = text.lines().count();
        if lines > MAX_LINES {
            long.push(format!("{path}: {lines} lines"));
        }
    }
    if !long.is_empty() {
        bail!(
            "files longer than {MAX_LINES} lines:\n  {}",
            long.join("\n  ")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_file_is_longer_than_800_lines() {
        super::check().unwrap();
    }
}
