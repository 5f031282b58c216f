//! Viewers of JPEG that look at every byte.
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a picture may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A viewer of motion JPEG over HTTP.
pub struct Mjpeg {
    stream: BufReader<TcpStream>,
    boundary: String,
}

impl Mjpeg {
    /// Asks for `path`.
    pub fn open(address: SocketAddr, path: &str) -> Self {
        let mut stream = connect(address);
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut viewer = Self {
            stream: BufReader::with_capacity(64 << 10, stream),
            boundary: String::new(),
        };
        let status = viewer.line();
        assert!(status.starts_with("HTTP/1.1 200"), "{path}: {status}");
        loop {
            let line = viewer.line();
            if line.is_empty() {
                break;
            }
            if let Some((_, boundary)) = line.split_once("multipart/x-mixed-replace; boundary=") {
                viewer.boundary = format!("--{boundary}");
            }
        }
        assert!(!viewer.boundary.is_empty(), "no boundary is named");
        assert_eq!(viewer.line(), viewer.boundary);
        viewer
    }

    /// The next picture; its part is framed well, and the next boundary stands right behind it.
    pub fn picture(&mut self) -> Vec<u8> {
        assert_eq!(self.line(), "Content-Type: image/jpeg");
        let length = self.line();
        let length = length.strip_prefix("Content-Length: ").unwrap();
        let mut picture = vec![0; length.parse().unwrap()];
        assert_eq!(self.line(), "");
        self.stream.read_exact(&mut picture).unwrap();
        assert_eq!(self.line(), "");
        assert_eq!(self.line(), self.boundary);
        picture
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        line.trim_end_matches(['\r', '\n']).to_owned()
    }
}

/// A viewer that says nothing and gets bare pictures.
pub struct Raw(BufReader<TcpStream>);

impl Raw {
    pub fn open(address: SocketAddr) -> Self {
        Self(BufReader::with_capacity(64 << 10, connect(address)))
    }

    /// Reads on until one of `pictures` has come whole: its place.
    ///
    /// The pictures are told apart by their lengths and bytes.
    pub fn picture(&mut self, pictures: &[Vec<u8>]) -> usize {
        let mut bytes = Vec::new();
        loop {
            let mut end = [0];
            self.0.read_exact(&mut end).unwrap();
            bytes.push(end[0]);
            if bytes.ends_with(&[0xff, 0xd9])
                && let Some(place) = pictures.iter().position(|picture| *picture == bytes)
            {
                return place;
            }
            assert!(bytes.len() < 1 << 20, "no picture of the camera's came");
        }
    }
}

impl Raw {
    /// Whether these bytes are what comes next.
    pub fn reads(&mut self, picture: &[u8]) -> bool {
        let mut bytes = vec![0; picture.len()];
        self.0.read_exact(&mut bytes).unwrap();
        bytes == picture
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}
