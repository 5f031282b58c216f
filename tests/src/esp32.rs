//! A simulated ESP32-CAM in a process of its own, the pictures it sends, and who watches them.
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{self, Running};
use crate::tools;
use crate::world::Host;

/// How long a picture may take: a camera that hung is noticed after five seconds, on a busy machine
/// later.
const PATIENCE: Duration = Duration::from_secs(40);

/// JPEG files that another program made, each different.
pub struct Pictures {
    folder: TempDir,
    files: Vec<Vec<u8>>,
}

impl Pictures {
    /// Lets ffmpeg make `count` of them, 320x240.
    pub fn make(count: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args([
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=320x240:rate=10",
        ]);
        ffmpeg.args([
            "-frames:v",
            &count.to_string(),
            "-pix_fmt",
            "yuvj422p",
            "-q:v",
            "6",
        ]);
        ffmpeg.arg(folder.path().join("picture%03d.jpg"));
        let made = process::run("ffmpeg", &mut ffmpeg, Duration::from_secs(30));
        assert!(made.status.success(), "{}", process::text(&made.stderr));
        let file = |at: usize| folder.path().join(format!("picture{at:03}.jpg"));
        let files: Vec<Vec<u8>> = (1..=count)
            .map(|at| std::fs::read(file(at)).unwrap())
            .collect();
        Self { folder, files }
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The place of `picture` among them; fails if it is none of them, byte by byte.
    pub fn place(&self, picture: &[u8]) -> usize {
        let found = self.files.iter().position(|file| file == picture);
        found.unwrap_or_else(|| {
            let head = &picture[..picture.len().min(32)];
            panic!(
                "{} bytes are none of the camera's pictures: {head:02x?}",
                picture.len()
            )
        })
    }

    /// Fails unless each is the one behind the one before it.
    pub fn assert_consecutive(&self, what: &str, seen: &[Vec<u8>]) {
        let places: Vec<usize> = seen.iter().map(|picture| self.place(picture)).collect();
        for pair in places.windows(2) {
            assert_eq!(
                pair[1],
                (pair[0] + 1) % self.files.len(),
                "{what}: {places:?}"
            );
        }
    }
}

/// A simulated ESP32 that runs.
pub struct Board {
    process: Running,
    /// The sources it can be watched by, as it says.
    pub urls: Vec<String>,
}

impl Board {
    /// Switches it on; `args` as for `eyelet simulate esp32`.
    pub fn start(host: &Host, args: &[&str]) -> Self {
        let mut command = host.command(tools::program("eyelet"));
        command.args(["simulate", "esp32"]).args(args);
        let mut process = Running::start("esp32", &mut command);
        let lines = if args.contains(&"webserver") { 2 } else { 1 };
        let urls = tools::wait_for(
            "the camera to say where it is",
            Duration::from_secs(20),
            || {
                assert!(process.is_running(), "{}", process.text());
                let urls: Vec<String> = process
                    .said()
                    .into_iter()
                    .filter(|line| line.contains("://"))
                    .collect();
                (urls.len() == lines).then_some(urls)
            },
        );
        Self { process, urls }
    }

    /// How many connections it had and how many pictures it took, of a second ago at most.
    pub fn counts(&self) -> (u64, u64) {
        let said = self.process.said();
        let counts = said.iter().rev().find_map(|line| {
            let (connections, rest) = line.split_once(" connections, ")?;
            let (pictures, _) = rest.split_once(" pictures")?;
            Some((connections.parse().ok()?, pictures.parse().ok()?))
        });
        counts.unwrap_or((0, 0))
    }
}

/// A viewer of motion JPEG that keeps every byte.
pub struct Watcher(BufReader<TcpStream>);

impl Watcher {
    /// Asks a gateway for a camera's stream, by HTTP/1.0 to have no chunks. The camera may be away yet:
    /// then it asks again.
    pub fn open(host: &Host, gateway: SocketAddr, camera: &str) -> Self {
        tools::wait_for(&format!("the stream of {camera}"), PATIENCE, || {
            Self::try_open(host, gateway, camera).ok()
        })
    }

    fn try_open(host: &Host, gateway: SocketAddr, camera: &str) -> io::Result<Self> {
        let mut stream = host.connect(gateway)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "GET /api/v1/cameras/{camera}/stream HTTP/1.0\r\nHost: {gateway}\r\n\r\n"
        )?;
        let mut watcher = Self(BufReader::with_capacity(64 << 10, stream));
        let head = watcher.head()?;
        if head.first().is_some_and(|line| line.contains(" 200 ")) {
            Ok(watcher)
        } else {
            Err(io::Error::other(head.join("\n")))
        }
    }

    /// The next picture.
    pub fn picture(&mut self) -> Vec<u8> {
        self.read_picture().unwrap()
    }

    /// Reads until the gateway ends the connection.
    pub fn drain(&mut self) {
        loop {
            match self.read_picture() {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    panic!("the connection is neither fed nor ended")
                }
                Err(_) => return,
            }
        }
    }

    fn read_picture(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let head = self.head()?;
            let length = head.iter().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let is_it = name.eq_ignore_ascii_case("content-length");
                is_it.then(|| value.trim().parse::<usize>().unwrap())
            });
            if let Some(length) = length {
                let mut picture = vec![0; length];
                self.0.read_exact(&mut picture)?;
                return Ok(picture);
            }
        }
    }

    /// The next `count` pictures.
    pub fn pictures(&mut self, count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|_| self.picture()).collect()
    }

    /// Lines up to an empty one.
    fn head(&mut self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end();
            if line.is_empty() {
                return Ok(lines);
            }
            lines.push(line.to_owned());
        }
    }
}

/// `picture` without the application segments that hold a thumbnail.
pub fn without_thumbnail(picture: &[u8]) -> Vec<u8> {
    let (start, mut rest) = picture.split_at(2);
    let mut out = start.to_vec();
    if let [0xff, 0xe1, high, low, ..] = rest {
        let len = 2 + usize::from(u16::from_be_bytes([*high, *low]));
        rest = &rest[len..];
    }
    out.extend_from_slice(rest);
    out
}
