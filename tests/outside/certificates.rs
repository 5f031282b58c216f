//! A gateway that asks agents for a certificate of the operator's own authority, which is the `openssl` program here.
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use eyelet_tests::eyelet::{Agent, Gateway};
use eyelet_tests::process;
use eyelet_tests::tools;
use eyelet_tests::world::Host;

/// Longest wait for a line of a program that has to come.
const SOON: Duration = Duration::from_secs(60);
/// What a camera sends to everybody.
const SENT: usize = 3_000_000;

/// An authority, in a folder of its own.
struct Authority(tempfile::TempDir);

impl Authority {
    /// As in docs/security.md.
    fn new() -> Self {
        let this = Self(tempfile::tempdir().unwrap());
        this.openssl("req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=cameras -keyout ca-key.pem -out ca.pem");
        this
    }

    /// Signs a certificate for a new agent's key.
    fn sign(&self, name: &str) {
        self.openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} -addext extendedKeyUsage=clientAuth -keyout {name}-key.pem -out {name}.csr"
        ));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -copy_extensions copy -days 30 -out {name}.pem"
        ));
    }

    fn openssl(&self, arguments: &str) {
        let mut command = Command::new("openssl");
        command.args(arguments.split(' ')).current_dir(&self.0);
        let output = process::run("openssl", &mut command, SOON);
        let complaints = process::text(&output.stderr);
        assert!(output.status.success(), "openssl {arguments}: {complaints}");
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn copy_to(&self, name: &str, place: &Path) {
        std::fs::copy(self.file(name), place).unwrap();
    }
}

/// A camera that sends the same bytes to all who come.
fn camera() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let _ = socket.and_then(|mut socket| socket.write_all(&pattern()));
        }
    });
    address
}

fn pattern() -> Vec<u8> {
    (0..SENT)
        .map(|n| n.wrapping_mul(n).to_le_bytes()[1])
        .collect()
}

fn has_parts() -> bool {
    tools::require(
        tools::has("openssl") && tools::has("curl"),
        "openssl and curl",
    )
}

/// A gateway with the authorities in `ca`, and a copy of that file that it reads.
fn gateway(ca: &Authority) -> (Gateway, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("authorities.pem");
    ca.copy_to("ca.pem", &file);
    let gateway = Gateway::start_with_http(&format!("agent_ca: \"{}\"", file.display()));
    (gateway, folder)
}

#[test]
fn with_openssls_certificate_a_camera_comes_through_and_curl_needs_none() {
    if !has_parts() {
        return;
    }
    let ca = Authority::new();
    ca.sign("shed");
    let (gateway, _folder) = gateway(&ca);
    let camera = camera();
    let code = gateway.add_agent("shed");
    for transport in ["websocket", "quic"] {
        let (certificate, key) = (ca.file("shed.pem"), ca.file("shed-key.pem"));
        let options = [
            "--transport",
            transport,
            "--allow",
            &camera.to_string(),
            "--certificate",
            certificate.to_str().unwrap(),
            "--key",
            key.to_str().unwrap(),
        ];
        let code = match transport {
            "websocket" => code.clone(),
            _ => {
                assert!(gateway.run(&["agent", "remove", "shed"]).status.success());
                gateway.add_agent("shed")
            }
        };
        let _agent = Agent::join_with(&Host::here(), &code, &options);
        gateway.wait_for_agent("shed");
        assert_eq!(gateway.agent("shed").unwrap()["transport"], transport);
        let asked = format!("{{\"agent\": \"shed\", \"target\": \"{camera}\"}}");
        let made = gateway.change("POST", "/api/v1/forwards", asked);
        assert_eq!(made.status, 201, "{}", made.text());
        let listen = made.json()["listen"].as_str().unwrap().to_owned();
        let mut bytes = Vec::new();
        let mut socket = TcpStream::connect(&listen).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        socket.read_to_end(&mut bytes).unwrap();
        assert!(bytes == pattern(), "{} bytes came", bytes.len());

        // Whoever is no agent is asked for nothing.
        let url = format!("https://{}/", gateway.http);
        let mut curl = Command::new("curl");
        let page = process::run("curl", curl.args(["-sSk", "-i", &url]), SOON);
        let (page, complaints) = (process::text(&page.stdout), process::text(&page.stderr));
        assert!(page.contains("200 OK"), "{page}{complaints}");
        assert!(page.contains("<title>"), "{page}");
    }
}

#[test]
fn without_the_right_certificate_both_logs_say_what_is_missing_and_what_to_do() {
    if !has_parts() {
        return;
    }
    let (ca, other) = (Authority::new(), Authority::new());
    other.sign("shed");
    let (mut gateway, folder) = gateway(&ca);
    let code = gateway.add_agent("shed");
    let here = Host::here();

    for transport in ["quic", "websocket"] {
        let options = ["--transport", transport];
        let mut bare = Agent::join_with(&here, &code, &options);
        let said = "--certificate FILE --key FILE";
        if transport == "websocket" {
            // The very first join: a person has to look after it.
            assert_eq!(bare.process.wait(SOON).code(), Some(1));
            assert!(
                bare.process.text().contains(said),
                "{}",
                bare.process.text()
            );
        } else {
            let heard = |line: &str| line.contains(said).then_some(());
            bare.process.wait_for_line(said, SOON, heard);
        }
        bare.kill();
        let what = "that it has no certificate";
        gateway.process.wait_for_line(what, SOON, |line| {
            let is_clear = line.contains("no certificate") && line.contains("http.agent_ca");
            (is_clear && line.contains(said)).then_some(())
        });
        let file = folder.path().join("authorities.pem");
        let (certificate, key) = (other.file("shed.pem"), other.file("shed-key.pem"));
        let options = [
            "--transport",
            transport,
            "--certificate",
            certificate.to_str().unwrap(),
            "--key",
            key.to_str().unwrap(),
        ];
        let mut foreign = Agent::join_with(&here, &code, &options);
        let heard = |line: &str| line.contains("does not know the authority").then_some(());
        foreign.process.wait_for_line("why", SOON, heard);
        foreign.kill();
        gateway.process.wait_for_line("whose it is", SOON, |line| {
            let is_clear = line.contains("signed by no authority");
            (is_clear && line.contains(file.to_str().unwrap())).then_some(())
        });
    }
    assert!(gateway.agent("shed").unwrap()["joined"] == false);

    // Files that cannot be used are told before anything is dialled.
    for (options, said) in [
        (&["--certificate", "/nonexistent.pem"][..], "No such file"),
        (&["--key", "/nonexistent.pem"], "--certificate"),
    ] {
        let mut agent = Agent::join_with(&here, &code, options);
        assert!(!agent.process.wait(SOON).success());
        assert!(
            agent.process.text().contains(said),
            "{}",
            agent.process.text()
        );
    }
}

#[test]
fn a_reload_takes_renewed_authorities_and_agents_take_renewed_certificates() {
    if !has_parts() {
        return;
    }
    let (old, new) = (Authority::new(), Authority::new());
    old.sign("shed");
    new.sign("shed");
    let (gateway, folder) = gateway(&old);
    let site = tempfile::tempdir().unwrap();
    let (certificate, key) = (site.path().join("cert.pem"), site.path().join("key.pem"));
    old.copy_to("shed.pem", &certificate);
    old.copy_to("shed-key.pem", &key);
    let options = [
        "--certificate",
        certificate.to_str().unwrap(),
        "--key",
        key.to_str().unwrap(),
    ];
    let code = gateway.add_agent("shed");
    let mut agent = Agent::join_with(&Host::here(), &code, &options);
    gateway.wait_for_agent("shed");

    let file = folder.path().join("authorities.pem");
    std::fs::write(&file, "junk").unwrap();
    let answer = gateway.change("POST", "/api/v1/config/reload", "");
    assert_ne!(answer.status, 200);
    assert!(
        answer.text().contains("authorities.pem"),
        "{}",
        answer.text()
    );
    new.copy_to("ca.pem", &file);
    let answer = gateway.change("POST", "/api/v1/config/reload", "");
    assert_eq!(answer.json()["changed"][0], "http.agent_ca");
    assert_eq!(gateway.agent("shed").unwrap()["connected"], true);

    agent.restart(&code);
    let heard = |line: &str| line.contains("does not know the authority").then_some(());
    agent.process.wait_for_line("why", SOON, heard);
    new.copy_to("shed-key.pem", &key);
    new.copy_to("shed.pem", &certificate);
    tools::wait_for("the agent to be back", SOON, || {
        (gateway.agent("shed")?["connected"] == true).then_some(())
    });
}
