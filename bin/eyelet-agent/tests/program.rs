//! The built program from outside.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use proto_tunnel::{JoinCode, Secret};

fn agent(arguments: &[&str], state: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eyelet-agent"));
    command
        .args(arguments)
        .env("XDG_STATE_HOME", state)
        .env_remove("EYELET_JOIN")
        .stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    let state = tempfile::tempdir().unwrap();
    agent(arguments, state.path()).output().unwrap()
}

#[test]
fn help_and_version_go_to_stdout_and_succeed() {
    for (argument, said) in [
        ("--help", "--allow HOST:PORT"),
        (
            "--version",
            concat!("eyelet-agent ", env!("CARGO_PKG_VERSION")),
        ),
    ] {
        let output = run(&[argument]);
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8(output.stdout).unwrap().contains(said));
        assert!(output.stderr.is_empty());
    }
}

#[test]
fn wrong_usage_ends_with_two_and_a_missing_identity_with_one() {
    let output = run(&["--join", "eyelet1.AAAA"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("cut off")
    );
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("--join"));
}

#[cfg(unix)]
#[test]
fn it_keeps_trying_until_it_is_terminated_and_then_ends_with_zero() {
    let state = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let code = JoinCode::new(
        vec![free.to_string()],
        [1; 32],
        "shed".parse().unwrap(),
        Secret::new([2; 32]),
    )
    .unwrap();
    let mut child = agent(&["--join", "-"], state.path())
        .env("EYELET_JOIN", code.to_string())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap())
        .lines()
        .map(Result::unwrap);
    assert!(
        lines.by_ref().any(|line| line.contains("cannot connect")),
        "it says what is wrong"
    );
    #[cfg(target_os = "linux")]
    assert_eq!(listening_sockets(child.id()), 0);
    assert!(
        Command::new("kill")
            .args(["-TERM", &child.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(state.path().join("eyelet-agent/identity").is_file());
}

/// TCP sockets in state LISTEN among a process's file descriptors.
#[cfg(target_os = "linux")]
fn listening_sockets(process: u32) -> usize {
    let mut own = std::collections::HashSet::new();
    for entry in std::fs::read_dir(format!("/proc/{process}/fd")).unwrap() {
        if let Ok(link) = std::fs::read_link(entry.unwrap().path()) {
            own.insert(link.to_string_lossy().into_owned());
        }
    }
    let mut listening = 0;
    for table in ["tcp", "tcp6"] {
        let table =
            std::fs::read_to_string(format!("/proc/{process}/net/{table}")).unwrap_or_default();
        listening += table
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .filter(|line| line.get(3) == Some(&"0A"))
            .filter(|line| {
                line.get(9)
                    .is_some_and(|inode| own.contains(&format!("socket:[{inode}]")))
            })
            .count();
    }
    listening
}
