//! Files that are generated, committed, and compared in CI.
use crate::run;
use anyhow::{Context, Result, bail};
use std::fmt::Write as _;
use std::process::Command;

/// The subcommands whose help makes the command reference.
const SUBCOMMANDS: &[&[&str]] = &[
    &[],
    &["serve"],
    &["demo"],
    &["check"],
    &["probe"],
    &["snapshot"],
    &["relay"],
    &["camera"],
    &["a9"],
    &["a9", "doctor"],
    &["a9", "set-wifi"],
    &["a9", "list"],
    &["a9", "download"],
    &["a9", "live"],
    &["a9", "command"],
    &["agent"],
    &["agent", "add"],
    &["agent", "list"],
    &["agent", "export"],
    &["agent", "remove"],
    &["import"],
    &["simulate"],
    &["simulate", "rtsp"],
    &["simulate", "esp32"],
    &["simulate", "reolink"],
    &["simulate", "a9"],
    &["simulate", "agents"],
    &["simulate", "onvif"],
];

/// Writes the generated files, or with `--check` fails if what is committed differs.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let only_check = match args {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => bail!("usage: cargo xtask gen [--check]"),
    };
    let mut stale = Vec::new();
    for (path, content) in [("docs/cli.md", command_reference()?)] {
        let file = run::root().join(path);
        if std::fs::read_to_string(&file).is_ok_and(|old| old == content) {
            continue;
        }
        if only_check {
            stale.push(path);
        } else {
            std::fs::write(&file, content).with_context(|| path.to_owned())?;
            eprintln!("wrote {path}");
        }
    }
    if !stale.is_empty() {
        bail!("out of date, run `cargo xtask gen`: {}", stale.join(", "));
    }
    Ok(())
}

fn command_reference() -> Result<String> {
    run::step(
        "build the programs",
        &mut run::cargo(&["build", "-p", "eyelet", "-p", "eyelet-agent"]),
    )?;
    let programs = run::target_dir()?.join("debug");
    let mut page = String::from(
        "# Command reference\n\nGenerated from the programs' own help by `cargo xtask gen`; do not edit.\n",
    );
    for words in SUBCOMMANDS {
        help(&mut page, "eyelet", &programs, words)?;
    }
    help(&mut page, "eyelet-agent", &programs, &[])?;
    Ok(page)
}

fn help(page: &mut String, program: &str, folder: &std::path::Path, words: &[&str]) -> Result<()> {
    let output = Command::new(folder.join(program))
        .args(words)
        .arg("--help")
        .env("COLUMNS", "100")
        .output()
        .with_context(|| format!("{program} --help"))?;
    let title = [&[program], words].concat().join(" ");
    if !output.status.success() {
        bail!("{title} --help: {}", output.status);
    }
    let text = String::from_utf8(output.stdout)?;
    // Trailing blanks would fail every editor's clean-up.
    let text: Vec<&str> = text.trim_end().lines().map(str::trim_end).collect();
    write!(page, "\n## {title}\n\n```text\n{}\n```\n", text.join("\n"))?;
    Ok(())
}
