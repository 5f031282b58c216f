//! What the tests need from outside: Debian packages and a Python environment.
use crate::run;
use anyhow::{Context, Result};
use std::path::Path;
use std::process::{Command, Stdio};

/// Real peers and the world they stand in. Nothing here is needed to build or run Eyelet.
const DEBIAN: &[&str] = &[
    "ffmpeg",                      // viewer, and the maker of the test media
    "iproute2",                    // network namespaces: the house behind NAT
    "nftables",                    // its router
    "dnsmasq-base",                // the DHCP server in it
    "udhcpc",                      // and its client
    "python3-gi",                  // the camera: GStreamer's RTSP server
    "gir1.2-gst-rtsp-server-1.0",  //
    "gir1.2-gst-plugins-base-1.0", //
    "gstreamer1.0-tools",          // viewer: gst-launch-1.0
    "gstreamer1.0-plugins-base",   //
    "gstreamer1.0-plugins-good",   //
    "gstreamer1.0-plugins-bad",    //
    "gstreamer1.0-rtsp",           //
    "gstreamer1.0-libav",          //
    "python3-yaml",                // reads what is exported for others
    "python3-venv",                // the environment for the Python packages below
    "chromium",                    // the browser
    "curl",                        // a browser without a screen
    "openssl",                     // an authority that signs agents' certificates
    "fonts-dejavu-core",           // letters on its screenshots
    "netcat-openbsd",              // the plainest viewer of raw JPEG
    "libfaketime",                 // a machine whose clock says 1970
    "bsdutils",                    // script: a terminal for a command that shows progress
];

/// Peers that only the Python registry carries.
const PYTHON: &[&str] = &[
    "imageio-ffmpeg",
    "opencv-python-headless",
    "pyneolink",   // client of Reolink cameras: TCP, UDP, relay; video
    "reolink-aio", // client of Reolink cameras: TCP, UDP; control and events
];

/// Debian's interpreter by its path: another one may come first, and lacks Debian's bindings.
const PYTHON3: &str = "/usr/bin/python3";

/// Installs what is missing; the answer says what still is.
pub(crate) fn install() -> Result<Vec<String>> {
    let mut missing = debian()?;
    missing.extend(python()?);
    Ok(missing)
}

fn debian() -> Result<Vec<String>> {
    let mut missing = missing_debian();
    if missing.is_empty() {
        return Ok(missing);
    }
    let is_root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout.starts_with(b"0\n"));
    if is_root && has("apt-get") {
        for attempt in 1..=2 {
            // An index of another architecture may be out of step on a mirror; ours is complete.
            let _ = run::step("apt-get update", &mut apt(&["update", "-q"]));
            let mut install = apt(&["install", "-y", "-q", "--no-install-recommends"]);
            install.args(&missing).stdout(Stdio::null());
            if let Err(error) = run::step("apt-get install", &mut install) {
                eprintln!("{error:#} (attempt {attempt})");
            }
            missing = missing_debian();
            if missing.is_empty() {
                break;
            }
        }
    }
    if !missing.is_empty() {
        eprintln!(
            "not installed, their tests will {}: apt-get install --no-install-recommends {}",
            if run::in_ci() { "fail" } else { "be skipped" },
            missing.join(" ")
        );
    }
    Ok(missing)
}

fn apt(args: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.args(args).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn missing_debian() -> Vec<String> {
    DEBIAN
        .iter()
        .filter(|package| {
            let output = Command::new("dpkg-query")
                .args(["-W", "-f", "${Status}", package])
                .stderr(Stdio::null())
                .output();
            !output.is_ok_and(|output| output.stdout.ends_with(b" installed"))
        })
        .map(|package| (*package).to_owned())
        .collect()
}

fn python() -> Result<Vec<String>> {
    let folder = run::target_dir()?.join("pyenv");
    let stamp = folder.join("installed.txt");
    let wanted = PYTHON.join("\n");
    if std::fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(Vec::new());
    }
    match build_environment(&folder) {
        Ok(()) => {
            std::fs::write(&stamp, wanted).with_context(|| stamp.display().to_string())?;
            Ok(Vec::new())
        }
        Err(error) => {
            eprintln!("{error:#}");
            Ok(PYTHON.iter().map(|package| (*package).to_owned()).collect())
        }
    }
}

fn build_environment(folder: &Path) -> Result<()> {
    let mut create = Command::new(PYTHON3);
    create.args(["-m", "venv", "--clear"]).arg(folder);
    run::step("python environment", &mut create)?;
    let pip = || {
        let mut install = Command::new(folder.join("bin/python"));
        install.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]);
        install.args(PYTHON);
        install
    };
    run::step("python packages", &mut pip())
        .or_else(|_| run::step("python packages, again", &mut pip()))
}

fn has(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    })
}
