//! Headless Chromium, driven through its DevTools protocol.
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

use crate::process::Running;
use crate::tools;

/// A browser with one page.
pub struct Browser {
    socket: WebSocket<TcpStream>,
    session: String,
    number: u64,
    _process: Running,
    _profile: TempDir,
}

impl Browser {
    /// Whether this machine has it.
    pub fn is_here() -> bool {
        tools::has("chromium")
    }

    /// Starts it and opens `url` in a window of a usual size.
    pub fn open(url: &str) -> Self {
        Self::open_with(url, &[])
    }

    /// The same with a microphone, which hears this WAV file again and again.
    pub fn open_hearing(url: &str, file: &Path) -> Self {
        let file = format!("--use-file-for-fake-audio-capture={}", file.display());
        let device = "--use-fake-device-for-media-stream";
        // Whoever is asked for the microphone says yes.
        Self::open_with(url, &[device, "--use-fake-ui-for-media-stream", &file])
    }

    fn open_with(url: &str, more: &[&str]) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new("chromium");
        command.args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--autoplay-policy=no-user-gesture-required",
            "--remote-debugging-port=0",
            "--window-size=1280,900",
            "--hide-scrollbars",
        ]);
        command.args(more);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        command.arg("about:blank");
        let mut process = Running::start("chromium", &mut command);
        let devtools =
            process.wait_for_line("where its DevTools are", Duration::from_secs(40), |line| {
                line.strip_prefix("DevTools listening on ")
                    .map(str::to_owned)
            });
        let address = devtools
            .strip_prefix("ws://")
            .unwrap()
            .split('/')
            .next()
            .unwrap();
        let stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let (socket, _) = client(&devtools, stream).unwrap();
        let mut browser = Self {
            socket,
            session: String::new(),
            number: 0,
            _process: process,
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", attach);
        attached["sessionId"]
            .as_str()
            .unwrap()
            .clone_into(&mut browser.session);
        browser.call("Page.enable", json!({}));
        let size = json!({ "width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        browser.call("Emulation.setDeviceMetricsOverride", size);
        browser.call("Page.navigate", json!({ "url": url }));
        browser
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.number += 1;
        let mut message = json!({ "id": self.number, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        self.socket
            .send(Message::text(message.to_string()))
            .unwrap();
        loop {
            let Message::Text(text) = self.socket.read().unwrap() else {
                continue;
            };
            let answer: Value = serde_json::from_str(text.as_str()).unwrap();
            if answer["id"] == self.number {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }

    /// The value of an expression on the page; promises are awaited.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let params =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let result = self.call("Runtime.evaluate", params);
        assert!(
            result.get("exceptionDetails").is_none(),
            "{expression}: {result}"
        );
        result["result"]["value"].clone()
    }

    /// Waits until an expression is true; shows `explain`'s value if it never is.
    pub fn wait_until(&mut self, expression: &str, within: Duration, explain: &str) {
        let start = Instant::now();
        while self.evaluate(expression) != Value::Bool(true) {
            if start.elapsed() > within {
                let page = self.evaluate(explain);
                let screenshot = self.screenshot("failed");
                panic!(
                    "{expression} is not true; {explain}: {page}; see {}",
                    screenshot.display()
                );
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Saves a picture of the page under target/screenshots.
    pub fn screenshot(&mut self, name: &str) -> PathBuf {
        let folder = tools::target_dir().join("screenshots");
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{name}.png"));
        std::fs::write(&path, self.capture(json!({ "format": "png" }))).unwrap();
        path
    }

    /// A picture of the first element that `selector` finds, as PNG.
    pub fn picture_of(&mut self, selector: &str) -> Vec<u8> {
        let clip = self.evaluate(&format!(
            "(() => {{ const r = document.querySelector('{selector}').getBoundingClientRect();
                return {{ x: r.x, y: r.y, width: r.width, height: r.height, scale: 1 }}; }})()"
        ));
        self.capture(json!({ "format": "png", "clip": clip }))
    }

    fn capture(&mut self, params: Value) -> Vec<u8> {
        let result = self.call("Page.captureScreenshot", params);
        STANDARD.decode(result["data"].as_str().unwrap()).unwrap()
    }
}
