//! Who may join as an agent.
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use eyelet_tests::eyelet::{Agent, Gateway};
use eyelet_tests::process;
use eyelet_tests::world::Host;
use serde_json::Value;

/// The same invitation with other bytes where the secret stands (the 32 before the checksum), and a
/// checksum that fits, so that only the gateway can tell.
fn with_wrong_secret(code: &str) -> String {
    let (prefix, body) = code.split_once('.').unwrap();
    let mut bytes = URL_SAFE_NO_PAD.decode(body).unwrap();
    let end = bytes.len() - 4;
    assert_eq!(
        bytes[end..],
        crc32(&bytes[..end]).to_be_bytes(),
        "the code's layout changed"
    );
    for byte in &mut bytes[end - 32..end] {
        *byte ^= 0x55;
    }
    let sum = crc32(&bytes[..end]).to_be_bytes();
    bytes[end..].copy_from_slice(&sum);
    format!("{prefix}.{}", URL_SAFE_NO_PAD.encode(bytes))
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(sum & 1))
        })
    })
}

/// What `eyelet agent list --json` says, without what merely passes with time.
fn agents(gateway: &Gateway) -> Value {
    let output = gateway.run(&["agent", "list", "--json"]);
    assert!(output.status.success(), "{}", process::text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_wrong_join_secret_changes_nothing_and_the_right_one_still_works() {
    let gateway = Gateway::start("");
    let code = gateway.add_agent("shed");
    let before = agents(&gateway);
    let mut stranger = Agent::join(&Host::here(), &with_wrong_secret(&code), &[]);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(agents(&gateway), before);
    assert!(
        gateway
            .agent("shed")
            .is_none_or(|agent| agent["connected"] == false)
    );
    stranger.kill();

    let _agent = Agent::join(&Host::here(), &code, &[]);
    gateway.wait_for_agent("shed");
}

#[test]
fn a_join_code_works_once() {
    let gateway = Gateway::start("");
    let code = gateway.add_agent("shed");
    let mut agent = Agent::join(&Host::here(), &code, &[]);
    gateway.wait_for_agent("shed");
    let first = agents(&gateway);

    // A second machine with the same paper must not push the first one out.
    let thief = Agent::join(&Host::here(), &code, &[]);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(gateway.agent("shed").unwrap()["connected"], true);
    assert_eq!(agents(&gateway)[0]["name"], first[0]["name"]);
    assert_eq!(
        gateway.agent("shed").unwrap()["reconnects"],
        0,
        "the thief took the place"
    );
    drop(thief);

    // The first one keeps its identity over a restart, with the same command line.
    agent.restart(&code);
    gateway.wait_for_agent("shed");
}

#[test]
fn a_removed_agent_is_out_and_stays_out() {
    let gateway = Gateway::start("");
    let code = gateway.add_agent("shed");
    let _agent = Agent::join(&Host::here(), &code, &[]);
    gateway.wait_for_agent("shed");
    let removed = gateway.run(&["agent", "remove", "shed"]);
    assert!(
        removed.status.success(),
        "{}",
        process::text(&removed.stderr)
    );
    eyelet_tests::tools::wait_for("the agent to be gone", Duration::from_secs(15), || {
        gateway
            .agent("shed")
            .is_none_or(|agent| agent["connected"] == false)
            .then_some(())
    });
    std::thread::sleep(Duration::from_secs(2));
    assert!(
        gateway
            .agent("shed")
            .is_none_or(|agent| agent["connected"] == false)
    );
    assert!(!process::text(&gateway.run(&["agent", "list"]).stdout).contains("shed"));
}

#[test]
fn a_code_with_a_typing_error_is_told_as_such() {
    let gateway = Gateway::start("");
    let mut code = gateway.add_agent("shed");
    code.replace_range(20..21, if &code[20..21] == "A" { "B" } else { "A" });
    let mut agent = Agent::join(&Host::here(), &code, &[]);
    let status = agent.process.wait(Duration::from_secs(10));
    assert_eq!(status.code(), Some(2), "{}", agent.process.text());
}
