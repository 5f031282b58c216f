//! Many HTTP viewers in one process: they count what comes and show it to nobody.
use super::framing::Framing;
use crate::bench::args::Args;
use crate::bench::counts::{self, Counts, SharedBuffer};
use anyhow::{Context, Result, bail};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// For one viewer to connect and be answered.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);

/// Largest response head.
const MAX_HEAD: usize = 16 << 10;

pub(crate) fn run(args: &[String]) -> Result<()> {
    let (mut url, mut count, mut ramp) = (String::new(), 1, Duration::from_millis(3));
    let mut args = Args::new(args);
    while let Some(name) = args.next() {
        match name.as_str() {
            "--url" => url = args.text(&name)?,
            "--count" => count = args.value(&name)?,
            "--ramp-ms" => ramp = Duration::from_millis(args.value(&name)?),
            _ => return Err(args.unknown(&name)),
        }
    }
    counts::block_on(|commands| async move {
        wait_for_stream(&url).await?;
        let url: Rc<str> = url.into();
        let buffer = SharedBuffer::default();
        counts::serve(count, ramp, commands, |_, counts| {
            let (url, buffer) = (Rc::clone(&url), buffer.clone());
            async move { watch(&url, &buffer, &counts).await }
        })
        .await
    })
}

/// A relay may need a moment until it has its camera; the viewers are not to suffer.
async fn wait_for_stream(url: &str) -> Result<()> {
    let limit = Instant::now() + Duration::from_secs(20);
    loop {
        match timeout(HANDSHAKE_TIMEOUT, connect(url)).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) if Instant::now() > limit => return Err(error),
            Err(_) if Instant::now() > limit => bail!("{url}: no answer"),
            Ok(Err(_)) | Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn watch(url: &str, buffer: &SharedBuffer, counts: &RefCell<Counts>) -> Result<()> {
    let begin = Instant::now();
    let (mut socket, early) = timeout(HANDSHAKE_TIMEOUT, connect(url))
        .await
        .context("handshake")??;
    let (mut framing, mut newest) = (Framing::default(), None::<u32>);
    let mut count = buffer.fill(&early);
    loop {
        buffer.with(count, |bytes| {
            let mut counts = counts.borrow_mut();
            framing.feed(bytes, |picture| {
                if !picture.is_whole {
                    counts.error = Some("a torn picture".to_owned());
                    return;
                }
                if let (Some(before), Some(number)) = (newest, picture.number) {
                    counts.gaps += u64::from(number.wrapping_sub(before).wrapping_sub(1));
                }
                newest = picture.number;
                counts.units += 1;
                if counts.first_keyframe.is_none() {
                    counts.first_keyframe = Some(begin.elapsed());
                }
            });
            counts.note(bytes.len());
        });
        count = buffer.read(&mut socket).await?;
    }
}

/// The socket behind the response's head, and what came with it.
async fn connect(url: &str) -> Result<(TcpStream, Vec<u8>)> {
    let rest = url.strip_prefix("http://").context("not an HTTP URL")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut socket = TcpStream::connect(host).await.context("connecting")?;
    socket.set_nodelay(true)?;
    // Version 1.0, so that nobody sends chunks.
    let request =
        format!("GET /{path} HTTP/1.0\r\nHost: {host}\r\nUser-Agent: eyelet-bench\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let early = bytes.split_off(end + 4);
            let head = String::from_utf8_lossy(&bytes);
            if head.split(' ').nth(1) != Some("200") {
                bail!("{}", head.lines().next().unwrap_or_default());
            }
            return Ok((socket, early));
        }
        if bytes.len() > MAX_HEAD {
            bail!("no end of the response's head");
        }
        if socket.read_buf(&mut bytes).await? == 0 {
            bail!("closed by the server");
        }
    }
}
