//! A bare RTSP source: ready-made bytes, one vectored write per access unit and socket.
//!
//! With many sockets it is the floor, with one it is the camera. It reads no clock but to sleep,
//! copies no media, and knows TCP only.
use super::media::{Clip, FPS};
use super::rtsp::Message;
use crate::bench::args::Args;
use crate::bench::process::end_with_stdin;
use anyhow::{Context, Result};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use rtp::{MAX_PAYLOAD, Packetizer};
use std::io::{IoSlice, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const CLOCK_RATE: u32 = 90_000;
const PAYLOAD_TYPE: u8 = 96;
const SSRC: u32 = 0xbe7c_4a11;

/// A socket that takes nothing for so long has lost its reader.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// What the connections' threads tell the loop that owns all sockets.
enum Command {
    Play {
        viewer: u64,
        socket: TcpStream,
        cseq: String,
        url: String,
    },
    Reply {
        viewer: u64,
        text: String,
    },
    Leave {
        viewer: u64,
    },
}

/// The wire bytes of one access unit.
struct Block {
    bytes: Vec<u8>,
    /// Where each packet's `$` stands, and the end.
    bounds: Vec<usize>,
}

/// Runs until its standard input ends. Says `{"listening": PORT, "start": UNIX SECONDS}`, where
/// `start` is when the clip's first picture is sent for the first time.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let mut args = Args::new(args);
    let (mut bitrate, mut gop, mut clip) = (2_000_000, 50, None);
    while let Some(name) = args.next() {
        match name.as_str() {
            "--bitrate" => bitrate = args.value(&name)?,
            "--gop" => gop = args.value(&name)?,
            "--clip" => clip = Some(Clip::read(Path::new(&args.text(&name)?))?),
            _ => return Err(args.unknown(&name)),
        }
    }
    let clip = clip.unwrap_or_else(|| Clip::synthetic(bitrate, gop));
    end_with_stdin();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let start = Instant::now() + Duration::from_millis(100);
    let wall = SystemTime::now().duration_since(UNIX_EPOCH)? + Duration::from_millis(100);
    println!(
        "{}",
        serde_json::json!({ "listening": listener.local_addr()?.port(), "start": wall.as_secs_f64() })
    );
    let description: Arc<str> = describe(&clip).into();
    let (commands, inbox) = channel();
    thread::spawn(move || accept(&listener, &description, &commands));
    play(packetize(&clip)?, start, &inbox)
}

fn packetize(clip: &Clip) -> Result<Vec<Block>> {
    let (sps, pps) = (clip.sps.clone().into(), clip.pps.clone().into());
    let track = media::Track::h264(sps, pps, 1280, 720);
    let mut packetizer = Packetizer::new(&track, PAYLOAD_TYPE, SSRC, 0, MAX_PAYLOAD);
    let one = |unit: &super::media::Unit| {
        let (mut bytes, mut offsets) = (BytesMut::new(), Vec::new());
        let payload: &Bytes = &unit.payload;
        packetizer.packetize_payload(payload, unit.is_keyframe, 0, 0, &mut bytes, &mut offsets)?;
        let mut bounds: Vec<usize> = offsets.iter().map(|&offset| offset as usize).collect();
        bounds.push(bytes.len());
        Ok(Block {
            bytes: bytes.to_vec(),
            bounds,
        })
    };
    clip.units.iter().map(one).collect()
}

/// The loop that is measured.
fn play(mut blocks: Vec<Block>, start: Instant, inbox: &Receiver<Command>) -> Result<()> {
    let mut viewers: Vec<(u64, TcpStream)> = Vec::new();
    let mut seq = 0_u16;
    let len = blocks.len();
    for picture in 0_u32.. {
        let due = start + Duration::from_secs(1) * picture / FPS;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let time = picture.wrapping_mul(CLOCK_RATE / FPS);
        for command in inbox.try_iter() {
            command.obey(&mut viewers, seq, time);
        }
        let block = &mut blocks[picture as usize % len];
        seq = block.renumber(seq, time);
        let slices: Vec<IoSlice<'_>> = block
            .bounds
            .windows(2)
            .map(|pair| IoSlice::new(&block.bytes[pair[0]..pair[1]]))
            .collect();
        viewers.retain_mut(|(_, socket)| match socket.write_vectored(&slices) {
            Ok(written) if written == block.bytes.len() => true,
            Ok(written) => socket.write_all(&block.bytes[written..]).is_ok(),
            Err(_) => false,
        });
    }
    Ok(())
}

impl Block {
    /// Stamps all packets; the answer is the number of the next one.
    fn renumber(&mut self, mut seq: u16, time: u32) -> u16 {
        for &start in &self.bounds[..self.bounds.len() - 1] {
            let header = start + rtp::INTERLEAVED_HEADER;
            self.bytes[header + 2..header + 4].copy_from_slice(&seq.to_be_bytes());
            self.bytes[header + 4..header + 8].copy_from_slice(&time.to_be_bytes());
            seq = seq.wrapping_add(1);
        }
        seq
    }
}

impl Command {
    fn obey(self, viewers: &mut Vec<(u64, TcpStream)>, seq: u16, time: u32) {
        match self {
            Self::Play {
                viewer,
                mut socket,
                cseq,
                url,
            } => {
                let reply = format!(
                    "RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nSession: {viewer};timeout=60\r\nRange: npt=0.000-\r\n\
                     RTP-Info: url={url};seq={seq};rtptime={time}\r\n\r\n"
                );
                if socket.write_all(reply.as_bytes()).is_ok() {
                    viewers.push((viewer, socket));
                }
            }
            Self::Reply { viewer, text } => {
                let socket = viewers.iter_mut().find(|(id, _)| *id == viewer);
                if let Some((_, socket)) = socket {
                    let _ = socket.write_all(text.as_bytes());
                }
            }
            Self::Leave { viewer } => viewers.retain(|(id, _)| *id != viewer),
        }
    }
}

fn accept(listener: &TcpListener, description: &Arc<str>, commands: &Sender<Command>) {
    for (viewer, socket) in (1..).zip(listener.incoming()) {
        let Ok(socket) = socket else { continue };
        let (description, commands) = (Arc::clone(description), commands.clone());
        // Each thread sleeps in a read once its viewer plays.
        let _ = thread::Builder::new().stack_size(64 << 10).spawn(move || {
            let _ = converse(viewer, &socket, &description, &commands);
            let _ = commands.send(Command::Leave { viewer });
        });
    }
}

fn converse(
    viewer: u64,
    mut socket: &TcpStream,
    description: &str,
    commands: &Sender<Command>,
) -> Result<()> {
    socket.set_nodelay(true)?;
    socket.set_write_timeout(Some(WRITE_TIMEOUT))?;
    let (mut pending, mut is_playing) = (Vec::new(), false);
    loop {
        if let Some(&[b'$', _, high, low]) = pending.first_chunk::<4>() {
            let end = 4 + usize::from(u16::from_be_bytes([high, low]));
            if pending.len() >= end {
                pending.drain(..end);
                continue;
            }
        } else if let Some((request, used)) = Message::parse(&pending) {
            pending.drain(..used);
            let cseq = request.header("cseq").unwrap_or("0").to_owned();
            let url = request.second().to_owned();
            let method = request.start.split(' ').next().unwrap_or_default();
            let extra = match method {
                "PLAY" if !is_playing => {
                    is_playing = true;
                    let socket = socket.try_clone()?;
                    commands.send(Command::Play {
                        viewer,
                        socket,
                        cseq,
                        url,
                    })?;
                    continue;
                }
                "DESCRIBE" => format!(
                    "Content-Type: application/sdp\r\nContent-Base: {url}/\r\nContent-Length: {}\r\n\r\n{description}",
                    description.len()
                ),
                "SETUP" => format!(
                    "Session: {viewer};timeout=60\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1;ssrc={SSRC:08X}\r\n\r\n"
                ),
                "OPTIONS" => {
                    "Public: OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN\r\n\r\n"
                        .to_owned()
                }
                _ => format!("Session: {viewer}\r\n\r\n"),
            };
            let text = format!("RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\n{extra}");
            if method == "TEARDOWN" {
                return Ok(());
            }
            if is_playing {
                commands.send(Command::Reply { viewer, text })?;
            } else {
                socket.write_all(text.as_bytes())?;
            }
            continue;
        }
        let mut bytes = [0; 4096];
        let count = socket.read(&mut bytes).context("reading a request")?;
        if count == 0 {
            return Ok(());
        }
        pending.extend_from_slice(&bytes[..count]);
    }
}

fn describe(clip: &Clip) -> String {
    let profile = clip.sps.get(1..4).unwrap_or(&[0x42, 0, 0x1f]);
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=bench\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=control:*\r\n\
         m=video 0 RTP/AVP {PAYLOAD_TYPE}\r\na=rtpmap:{PAYLOAD_TYPE} H264/{CLOCK_RATE}\r\n\
         a=fmtp:{PAYLOAD_TYPE} packetization-mode=1;profile-level-id={:02X}{:02X}{:02X};sprop-parameter-sets={},{}\r\n\
         a=control:track0\r\n",
        profile[0],
        profile[1],
        profile[2],
        BASE64_STANDARD.encode(&clip.sps),
        BASE64_STANDARD.encode(&clip.pps),
    )
}
