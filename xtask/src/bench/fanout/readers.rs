//! Many RTSP/TCP readers in one process.
use super::framing::{Framing, Packet};
use super::rtsp::Message;
use crate::bench::args::Args;
use crate::bench::counts::{self, Counts, SharedBuffer};
use anyhow::{Context, Result, bail};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Well below the 60 s after which servers give up on a silent client.
const KEEP_ALIVE: Duration = Duration::from_secs(25);

/// For one reader to connect and play.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);

struct Options {
    url: String,
    count: usize,
    /// Time between two connects.
    ramp: Duration,
    /// Where to write each reader's bytes up to the end of its first keyframe.
    capture: Option<PathBuf>,
}

pub(crate) fn run(args: &[String]) -> Result<()> {
    let mut options = Options {
        url: String::new(),
        count: 1,
        ramp: Duration::from_millis(3),
        capture: None,
    };
    let mut args = Args::new(args);
    while let Some(name) = args.next() {
        match name.as_str() {
            "--url" => options.url = args.text(&name)?,
            "--count" => options.count = args.value(&name)?,
            "--ramp-ms" => options.ramp = Duration::from_millis(args.value(&name)?),
            "--capture" => options.capture = Some(args.text(&name)?.into()),
            _ => return Err(args.unknown(&name)),
        }
    }
    counts::block_on(|commands| async move {
        wait_for_stream(&options.url).await?;
        let (count, ramp) = (options.count, options.ramp);
        let options = Rc::new(options);
        let buffer = SharedBuffer::default();
        counts::serve(count, ramp, commands, |number, counts| {
            let reader = Reader {
                number,
                options: Rc::clone(&options),
                buffer: buffer.clone(),
                counts,
            };
            async move { reader.run().await }
        })
        .await
    })
}

/// A relay may need a moment until it knows its camera's tracks; the readers are not to suffer.
async fn wait_for_stream(url: &str) -> Result<()> {
    let limit = Instant::now() + Duration::from_secs(20);
    loop {
        let outcome = timeout(HANDSHAKE_TIMEOUT, async {
            let mut client = Client::connect(url).await?;
            client
                .request("DESCRIBE", url, "Accept: application/sdp\r\n")
                .await
        });
        match outcome.await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) if Instant::now() > limit => return Err(error),
            Err(_) if Instant::now() > limit => bail!("{url}: no answer to DESCRIBE"),
            Ok(Err(_)) | Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Time from the connection to the last byte of the first keyframe.
pub(in crate::bench) async fn first_keyframe(url: &str) -> Result<Duration> {
    let begin = Instant::now();
    let mut client = Client::play(url).await?;
    let (mut framing, mut is_keyframe, mut is_whole) = (Framing::default(), false, false);
    let mut bytes = std::mem::take(&mut client.pending);
    loop {
        framing.feed(&bytes, |packet: &Packet| {
            if packet.channel == 0 {
                is_keyframe |= packet.is_keyframe;
                is_whole |= is_keyframe && packet.is_last;
            }
        });
        if is_whole {
            return Ok(begin.elapsed());
        }
        bytes.resize(READ, 0);
        let count = client.socket.read(&mut bytes).await?;
        if count == 0 {
            bail!("closed by the server before its first keyframe");
        }
        bytes.truncate(count);
    }
}

/// Bytes taken at a time while the first keyframe is awaited.
const READ: usize = 64 << 10;

struct Reader {
    number: usize,
    options: Rc<Options>,
    buffer: SharedBuffer,
    counts: Rc<RefCell<Counts>>,
}

impl Reader {
    async fn run(&self) -> Result<()> {
        let begin = Instant::now();
        let url = &self.options.url;
        let mut client = timeout(HANDSHAKE_TIMEOUT, Client::play(url))
            .await
            .context("handshake")??;
        let mut framing = Framing::default();
        let mut capture = self.options.capture.as_ref().map(|_| Vec::new());
        let (mut seq, mut is_keyframe) = (None::<u16>, false);
        let mut spoken = Instant::now();
        // What followed the answer to PLAY in the same read.
        let early = std::mem::take(&mut client.pending);
        let mut count = self.buffer.fill(&early);
        loop {
            let now = Instant::now();
            self.buffer.with(count, |bytes| {
                let mut counts = self.counts.borrow_mut();
                if let Some(capture) = &mut capture {
                    capture.extend_from_slice(bytes);
                }
                framing.feed(bytes, |packet: &Packet| {
                    if packet.channel != 0 {
                        return;
                    }
                    if let Some(seq) = seq {
                        counts.gaps += u64::from(packet.seq.wrapping_sub(seq).wrapping_sub(1));
                    }
                    seq = Some(packet.seq);
                    is_keyframe |= packet.is_keyframe;
                    if packet.is_last {
                        counts.units += 1;
                        if is_keyframe && counts.first_keyframe.is_none() {
                            counts.first_keyframe = Some(begin.elapsed());
                        }
                        is_keyframe = false;
                    }
                });
                counts.note(count);
                if counts.first_keyframe.is_some()
                    && let (Some(bytes), Some(folder)) = (capture.take(), &self.options.capture)
                {
                    return self.write_capture(folder, &client.description, &bytes);
                }
                Ok(())
            })?;
            if now - spoken > KEEP_ALIVE {
                spoken = now;
                client.keep_alive(url);
            }
            count = self.buffer.read(&mut client.socket).await?;
        }
    }

    fn write_capture(&self, folder: &Path, description: &[u8], bytes: &[u8]) -> Result<()> {
        let path = |kind: &str| folder.join(format!("{:04}.{kind}", self.number));
        std::fs::write(path("sdp"), description)?;
        std::fs::write(path("rtp"), bytes)?;
        Ok(())
    }
}

/// The client's side of a conversation, up to the media.
struct Client {
    socket: TcpStream,
    /// Read, and not a part of any answer so far.
    pending: Vec<u8>,
    description: Vec<u8>,
    session: String,
    cseq: u32,
}

impl Client {
    async fn connect(url: &str) -> Result<Self> {
        let rest = url.strip_prefix("rtsp://").context("not an RTSP URL")?;
        let host = rest.split('/').next().unwrap_or_default();
        let socket = TcpStream::connect(host).await.context("connecting")?;
        socket.set_nodelay(true)?;
        Ok(Self {
            socket,
            pending: Vec::new(),
            description: Vec::new(),
            session: String::new(),
            cseq: 0,
        })
    }

    async fn play(url: &str) -> Result<Self> {
        let mut client = Self::connect(url).await?;
        let reply = client
            .request("DESCRIBE", url, "Accept: application/sdp\r\n")
            .await?;
        let base = reply.header("content-base").unwrap_or(url).to_owned();
        let control = control(&String::from_utf8_lossy(&reply.body), &base);
        client.description = reply.body;
        let transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";
        let reply = client.request("SETUP", &control, transport).await?;
        let session = reply.header("session").context("SETUP gives no session")?;
        client.session = session.split(';').next().unwrap_or_default().to_owned();
        client
            .request("PLAY", &base, "Range: npt=0.000-\r\n")
            .await?;
        Ok(client)
    }

    async fn request(&mut self, method: &str, url: &str, headers: &str) -> Result<Message> {
        let text = self.head(method, url, headers);
        self.socket.write_all(text.as_bytes()).await?;
        loop {
            if let Some((message, used)) = Message::parse(&self.pending) {
                self.pending.drain(..used);
                if message.second() != "200" {
                    bail!("{method}: {}", message.start);
                }
                return Ok(message);
            }
            let mut bytes = [0; 4096];
            let count = self.socket.read(&mut bytes).await?;
            if count == 0 {
                bail!("{method}: closed by the server");
            }
            self.pending.extend_from_slice(&bytes[..count]);
        }
    }

    /// Its answer is passed over by the framing.
    fn keep_alive(&mut self, url: &str) {
        let text = self.head("OPTIONS", url, "");
        let _ = self.socket.try_write(text.as_bytes());
    }

    fn head(&mut self, method: &str, url: &str, headers: &str) -> String {
        self.cseq += 1;
        let session = match self.session.as_str() {
            "" => String::new(),
            session => format!("Session: {session}\r\n"),
        };
        let cseq = self.cseq;
        format!(
            "{method} {url} RTSP/1.0\r\nCSeq: {cseq}\r\nUser-Agent: eyelet-bench\r\n{session}{headers}\r\n"
        )
    }
}

/// The URL of the first video track.
fn control(description: &str, base: &str) -> String {
    let video = description
        .lines()
        .skip_while(|line| !line.starts_with("m=video"))
        .find_map(|line| line.strip_prefix("a=control:"))
        .unwrap_or("*");
    match video {
        "*" => base.to_owned(),
        absolute if absolute.starts_with("rtsp://") => absolute.to_owned(),
        relative => format!("{}/{relative}", base.trim_end_matches('/')),
    }
}
