//! What this machine offers, where things lie, and waiting.
use std::hash::BuildHasher;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Debian's interpreter by its path: another one may come first, and lacks GStreamer's bindings.
pub const PYTHON3: &str = "/usr/bin/python3";

/// Ends the test with a note if `found` is false; under `CI=true` that is a failure.
#[macro_export]
macro_rules! require {
    ($found:expr, $($what:tt)*) => {
        if !$crate::tools::require($found, &format!($($what)*)) {
            return;
        }
    };
}

/// Whether the test can go on. Panics in CI instead of saying no.
pub fn require(found: bool, what: &str) -> bool {
    if !found {
        let in_ci = std::env::var("CI").is_ok_and(|value| value == "true" || value == "1");
        assert!(!in_ci, "this test needs {what}");
        eprintln!("skipped: this test needs {what}; `cargo xtask packages` installs what it can");
    }
    found
}

/// Whether `program` is on this machine.
pub fn has(program: &str) -> bool {
    let everywhere = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&everywhere)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")])
        .any(|folder| folder.join(program).is_file())
}

/// Whether GStreamer's RTSP server can be our camera, and ffmpeg make its pictures.
pub fn has_camera() -> bool {
    let typelibs = ["x86_64", "aarch64", "arm"].iter().any(|machine| {
        let suffix = if *machine == "arm" {
            "gnueabihf"
        } else {
            "gnu"
        };
        PathBuf::from(format!(
            "/usr/lib/{machine}-linux-{suffix}/girepository-1.0/GstRtspServer-1.0.typelib"
        ))
        .is_file()
    });
    typelibs && has("ffmpeg")
}

/// Whether we may make network namespaces.
pub fn has_namespaces() -> bool {
    rustix::process::geteuid().is_root() && has("ip") && has("nft")
}

/// The folder that cargo builds into.
pub fn target_dir() -> PathBuf {
    profile_dir().parent().unwrap().to_owned()
}

/// The folder of this build's programs.
fn profile_dir() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    this.ancestors()
        .find(|folder| folder.file_name().is_some_and(|name| name == "deps"))
        .and_then(|deps| deps.parent())
        .unwrap()
        .to_owned()
}

/// A program of ours, built beside this test.
pub fn program(name: &str) -> PathBuf {
    let path = profile_dir().join(name);
    assert!(
        path.is_file(),
        "{} is not built: cargo build -p eyelet -p eyelet-agent",
        path.display()
    );
    path
}

/// A script of the tests' own.
pub fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("scripts")
        .join(name)
}

/// The interpreter with the Python packages that xtask installs, if it did.
pub fn python_with_packages() -> Option<PathBuf> {
    let stamp = target_dir().join("pyenv/installed.txt");
    stamp
        .is_file()
        .then(|| target_dir().join("pyenv/bin/python"))
}

/// Asks `probe` until it has an answer; panics with `what` when `within` is over.
pub fn wait_for<T>(what: &str, within: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(
            start.elapsed() < within,
            "waited {:.0} s for {what}",
            within.as_secs_f32()
        );
        std::thread::sleep(Duration::from_millis(25));
    }
}

/// Ports that no kernel hands out by itself: the port of a program that starts anew is still there
/// afterwards, however many connections other tests open meanwhile.
const UNHANDED: std::ops::Range<u64> = 12_000..30_000;

/// A TCP and UDP port that nobody has at this moment, and that nobody gets by chance.
pub fn free_port() -> u16 {
    loop {
        let random = std::hash::RandomState::new().hash_one(std::process::id());
        let port = UNHANDED.start + random % (UNHANDED.end - UNHANDED.start);
        let address = ("127.0.0.1", u16::try_from(port).unwrap());
        let is_free = std::net::TcpListener::bind(address).is_ok()
            && std::net::UdpSocket::bind(address).is_ok();
        if is_free {
            return address.1;
        }
    }
}
