//! A bare source of motion JPEG: ready-made parts, one write per picture and socket.
//!
//! With many sockets it is the floor, with one it is the camera.
use super::pictures::{FPS, NUMBER, SIZE, pictures};
use crate::bench::args::Args;
use crate::bench::process::end_with_stdin;
use anyhow::Result;
use serde_json::json;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// A socket that takes nothing for so long has lost its reader.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=part\r\nConnection: close\r\n\r\n--part\r\n";

/// Runs until its standard input ends. Says `{"listening": PORT}`.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let mut args = Args::new(args);
    let mut size = SIZE;
    while let Some(name) = args.next() {
        match name.as_str() {
            "--bytes" => size = args.value(&name)?,
            _ => return Err(args.unknown(&name)),
        }
    }
    end_with_stdin();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", json!({ "listening": listener.local_addr()?.port() }));
    let (viewers, inbox) = channel();
    thread::spawn(move || accept(&listener, &viewers));
    play(parts(size), &inbox)
}

/// Each part and where its picture's number stands.
fn parts(size: usize) -> Vec<(Vec<u8>, usize)> {
    let part = |picture: Vec<u8>| {
        let length = picture.len();
        let head = format!("Content-Type: image/jpeg\r\nContent-Length: {length}\r\n\r\n");
        let at = head.len() + NUMBER.start;
        ([head.as_bytes(), &picture, b"\r\n--part\r\n"].concat(), at)
    };
    pictures(size).into_iter().map(part).collect()
}

/// The loop that is measured.
fn play(mut parts: Vec<(Vec<u8>, usize)>, inbox: &Receiver<TcpStream>) -> Result<()> {
    let mut viewers: Vec<TcpStream> = Vec::new();
    let start = Instant::now();
    let len = parts.len();
    for number in 0_u32.. {
        let due = start + Duration::from_secs(1) * number / FPS;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        viewers.extend(inbox.try_iter());
        let (part, at) = &mut parts[number as usize % len];
        part[*at..*at + 4].copy_from_slice(&number.to_be_bytes());
        viewers.retain_mut(|viewer| viewer.write_all(part).is_ok());
    }
    Ok(())
}

fn accept(listener: &TcpListener, viewers: &Sender<TcpStream>) {
    for socket in listener.incoming() {
        let Ok(socket) = socket else { continue };
        let viewers = viewers.clone();
        let greet = move || {
            if greet(&socket).is_ok() {
                let _ = viewers.send(socket);
            }
        };
        let _ = thread::Builder::new().stack_size(64 << 10).spawn(greet);
    }
}

fn greet(mut socket: &TcpStream) -> Result<()> {
    socket.set_nodelay(true)?;
    socket.set_write_timeout(Some(WRITE_TIMEOUT))?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut bytes = [0; 1024];
        let count = socket.read(&mut bytes)?;
        anyhow::ensure!(count > 0, "closed before its request");
        head.extend_from_slice(&bytes[..count]);
    }
    Ok(socket.write_all(HEAD)?)
}
