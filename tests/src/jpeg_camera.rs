//! A JPEG camera of the tests' own, whose every picture is known byte by byte and shows its number.
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

/// Bits of a picture's number, shown in the top rows as squares, black or white, the least first.
pub const BITS: usize = 10;
/// Side of such a square.
pub const SQUARE: usize = 32;

/// What the pictures are like.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub width: u16,
    pub height: u16,
    /// 4:2:2, as cheap sensors send it, instead of 4:2:0.
    pub is_422: bool,
    /// Blocks between two restart markers; 0 for none.
    pub restart: u16,
    pub quality: u8,
}

impl Look {
    /// 640x480 in 4:2:2.
    pub fn vga() -> Self {
        Self {
            width: 640,
            height: 480,
            is_422: true,
            restart: 0,
            quality: 60,
        }
    }
}

/// `count` pictures, each different.
pub fn pictures(look: Look, count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| picture(look, number)).collect()
}

fn picture(look: Look, number: usize) -> Vec<u8> {
    let (width, height) = (usize::from(look.width), usize::from(look.height));
    let mut dots = Vec::with_capacity(width * height * 3);
    // Eight rows are alike: this is slow where nothing is optimised.
    for y in (0..height).step_by(8) {
        let mut row = Vec::with_capacity(width * 3);
        for x in 0..width {
            let dot = if y < SQUARE && x < BITS * SQUARE {
                [if number >> (x / SQUARE) & 1 == 1 {
                    235
                } else {
                    16
                }; 3]
            } else {
                let shade = |of: usize| (of % 256) as u8;
                [
                    shade((x + 7 * number) / 2),
                    shade(y + 3 * number),
                    shade((x ^ y) + number),
                ]
            };
            row.extend_from_slice(&dot);
        }
        for _ in y..(y + 8).min(height) {
            dots.extend_from_slice(&row);
        }
    }
    let mut jpeg = Vec::new();
    let mut encoder = Encoder::new(&mut jpeg, look.quality);
    encoder.set_sampling_factor(match look.is_422 {
        true => SamplingFactor::F_2_1,
        false => SamplingFactor::F_2_2,
    });
    encoder.set_restart_interval(look.restart);
    encoder
        .encode(&dots, look.width, look.height, ColorType::Rgb)
        .unwrap();
    jpeg
}

/// All pictures behind each other in a file, as decoders read them.
pub fn write(pictures: &[Vec<u8>], folder: &Path) -> PathBuf {
    let file = folder.join("pictures.mjpeg");
    std::fs::write(&file, pictures.concat()).unwrap();
    file
}

/// How the camera speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// Bare pictures back to back to whoever connects.
    Bare,
    /// Motion JPEG over HTTP.
    Http,
}

/// A camera that runs until it is dropped.
pub struct JpegCamera {
    speech: Speech,
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    pictures: Vec<Vec<u8>>,
    /// Number of the newest picture, counted without end.
    newest: Mutex<u64>,
    changed: Condvar,
    connections: AtomicU64,
    is_over: std::sync::atomic::AtomicBool,
}

impl JpegCamera {
    /// Shows `pictures` in a loop, `fps` a second; 0 shows the first and waits for [`Self::show`].
    pub fn start(pictures: Vec<Vec<u8>>, fps: u32, speech: Speech) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            pictures,
            newest: Mutex::new(0),
            changed: Condvar::new(),
            connections: AtomicU64::new(0),
            is_over: false.into(),
        });
        if fps > 0 {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || run(&shared, fps));
        }
        let camera = Self {
            speech,
            address,
            shared: Arc::clone(&shared),
        };
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                if shared.is_over() {
                    return;
                }
                let Ok(socket) = socket else { continue };
                shared.connections.fetch_add(1, Ordering::Relaxed);
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || send(&shared, socket, speech));
            }
        });
        camera
    }

    /// Its source URL.
    pub fn url(&self) -> String {
        match self.speech {
            Speech::Bare => format!("jpeg+tcp://{}", self.address),
            Speech::Http => format!("mjpeg+http://{}/stream", self.address),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections it ever had.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Number of the newest picture, counted without end.
    pub fn newest(&self) -> u64 {
        *self.shared.newest.lock().unwrap()
    }

    /// Shows the next picture.
    pub fn show(&self) {
        self.shared.show();
    }
}

impl Drop for JpegCamera {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        self.shared.changed.notify_all();
        // The thread that accepts looks whether it is over when somebody comes.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn show(&self) {
        *self.newest.lock().unwrap() += 1;
        self.changed.notify_all();
    }
}

fn run(shared: &Shared, fps: u32) {
    let start = Instant::now();
    for number in 1.. {
        let due = start + Duration::from_secs(1) * number / fps;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if shared.is_over() {
            return;
        }
        shared.show();
    }
}

/// Every picture from the newest on, none left out.
fn send(shared: &Shared, mut socket: TcpStream, speech: Speech) {
    let _ = socket.set_nodelay(true);
    if speech == Speech::Http {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            match socket.read(&mut byte) {
                Ok(1) => request.push(byte[0]),
                Ok(_) | Err(_) => return,
            }
        }
        let head = "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=123456789000000000000987654321\r\n\r\n";
        if socket.write_all(head.as_bytes()).is_err() {
            return;
        }
    }
    let mut next = *shared.newest.lock().unwrap();
    while !shared.is_over() {
        let newest = shared.newest.lock().unwrap();
        let wait = Duration::from_millis(200);
        let (newest, _) = shared
            .changed
            .wait_timeout_while(newest, wait, |newest| *newest < next)
            .unwrap();
        if *newest < next {
            continue;
        }
        drop(newest);
        let picture = &shared.pictures[next as usize % shared.pictures.len()];
        let sent = match speech {
            Speech::Bare => socket.write_all(picture),
            Speech::Http => {
                let length = picture.len();
                let head = format!(
                    "\r\n--123456789000000000000987654321\r\nContent-Type: image/jpeg\r\nContent-Length: {length}\r\nX-Timestamp: 0.000000\r\n\r\n"
                );
                socket.write_all(&[head.as_bytes(), picture].concat())
            }
        };
        if sent.is_err() {
            return;
        }
        next += 1;
    }
}
