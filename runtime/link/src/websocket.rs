//! WebSocket (RFC 6455) as a byte stream: frame borders carry no meaning, payloads are not held or copied.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Longest header of a frame: two bytes, eight of length, four of mask.
const MAX_HEAD: usize = 14;

/// Largest message sent, and accepted: with its header it fills two TLS records.
pub const MAX_WEBSOCKET_MESSAGE: usize = (32 << 10) - MAX_HEAD;

/// Payload of a ping, pong or close at most (section 5.5).
const MAX_CONTROL: usize = 125;

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Which end of a WebSocket this is: the one that asked for it masks what it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebSocketEnd {
    /// Asked for it.
    Client,
    /// Was asked.
    Server,
}

/// A byte stream in the binary messages of a WebSocket, over a byte stream that has been upgraded to one.
///
/// Each write begins a message as long as itself, so write much at once. The client's mask is zero: masks keep a page's
/// script from speaking to proxies in their own language, and here TLS stands between.
#[derive(Debug)]
pub struct WebSocketBytes<S> {
    socket: S,
    end: WebSocketEnd,
    /// What came with the upgrade.
    early: Bytes,
    head: [u8; MAX_HEAD],
    head_len: usize,
    /// Payload of the message that is being read, still to come.
    left: usize,
    mask: [u8; 4],
    /// A ping, pong or close that is being read: its kind and payload.
    control: Option<(u8, Vec<u8>)>,
    ended: bool,
    /// A header, pong or close that is being sent.
    out: Vec<u8>,
    out_at: usize,
    /// Payload that the header in `out` has promised.
    promised: usize,
    close_sent: bool,
}

impl<S> WebSocketBytes<S> {
    /// Over a stream whose upgrade is done, and of which `early` has been read already.
    pub fn new(socket: S, end: WebSocketEnd, early: Bytes) -> Self {
        Self {
            socket,
            end,
            early,
            head: [0; MAX_HEAD],
            head_len: 0,
            left: 0,
            mask: [0; 4],
            control: None,
            ended: false,
            out: Vec::new(),
            out_at: 0,
            promised: 0,
            close_sent: false,
        }
    }

    /// Puts a frame's header behind what is to be sent.
    fn put_head(&mut self, kind: u8, len: usize) {
        let masked = match self.end {
            WebSocketEnd::Client => MASKED,
            WebSocketEnd::Server => 0,
        };
        self.out.push(FIN | kind);
        match (u8::try_from(len), u16::try_from(len)) {
            (Ok(short), _) if len <= MAX_CONTROL => self.out.push(masked | short),
            (_, Ok(medium)) => {
                self.out.push(masked | 126);
                self.out.extend_from_slice(&medium.to_be_bytes());
            }
            _ => {
                self.out.push(masked | 127);
                self.out.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        if masked != 0 {
            self.out.extend_from_slice(&[0; 4]);
        }
    }

    /// Length of the header that is being read, as far as it is known.
    fn head_due(&self) -> usize {
        if self.head_len < 2 {
            return 2;
        }
        let length = match self.head[1] & !MASKED {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length + if self.head[1] & MASKED == 0 { 0 } else { 4 }
    }

    /// A header is whole.
    fn note_head(&mut self) -> io::Result<()> {
        let [first, second, rest @ ..] = self.head;
        self.head_len = 0;
        let kind = first & 0x0F;
        if first & 0x70 != 0 {
            return Err(invalid("a WebSocket frame with unknown extensions came"));
        }
        if (second & MASKED != 0) != (self.end == WebSocketEnd::Server) {
            return Err(invalid("a WebSocket frame with the wrong masking came"));
        }
        let [a, b, c, d, e, f, g, h, ..] = rest;
        let (len, mask_at) = match second & !MASKED {
            126 => (u64::from(u16::from_be_bytes([a, b])), 2),
            127 => (u64::from_be_bytes([a, b, c, d, e, f, g, h]), 8),
            short => (u64::from(short), 0),
        };
        if second & MASKED != 0 {
            self.mask.copy_from_slice(&rest[mask_at..mask_at + 4]);
        }
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        match kind {
            CONTINUATION | BINARY if len > MAX_WEBSOCKET_MESSAGE => {
                return Err(invalid(
                    "a WebSocket message beyond the tunnel's limit came",
                ));
            }
            CONTINUATION | BINARY => {}
            CLOSE | PING | PONG if len <= MAX_CONTROL && first & FIN != 0 => {
                self.control = Some((kind, Vec::with_capacity(len)));
            }
            TEXT => return Err(invalid("a text message came through the tunnel")),
            _ => return Err(invalid("an unknown WebSocket frame came")),
        }
        self.left = len;
        Ok(())
    }

    /// Takes off the mask of bytes that came now; the mask turns with them.
    fn unmask(&mut self, bytes: &mut [u8]) {
        if self.mask != [0; 4] {
            for (byte, mask) in bytes.iter_mut().zip(self.mask.iter().cycle()) {
                *byte ^= mask;
            }
            self.mask.rotate_left(bytes.len() % 4);
        }
    }

    /// A ping, pong or close is whole.
    fn note_control(&mut self, kind: u8, payload: &[u8]) {
        match kind {
            CLOSE => self.ended = true,
            // Only between two messages; a peer that pings so often gets one answer for several.
            PING if self.promised == 0 && self.out.is_empty() => {
                self.put_head(PONG, payload.len());
                self.out.extend_from_slice(payload);
            }
            _ => {}
        }
    }
}

impl<S: AsyncRead + Unpin> WebSocketBytes<S> {
    /// Reads into `into`: how many bytes, nothing at the end.
    fn poll_some(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        if !self.early.is_empty() {
            let n = self.early.len().min(into.len());
            into[..n].copy_from_slice(&self.early[..n]);
            self.early.advance(n);
            return Poll::Ready(Ok(n));
        }
        let mut buf = ReadBuf::new(into);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buf))?;
        let n = buf.filled().len();
        self.ended |= n == 0;
        Poll::Ready(Ok(n))
    }

    /// Reads the next piece of a header, ping, pong or close.
    fn poll_between(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some((kind, mut payload)) = self.control.take() {
            if self.left > 0 {
                let mut piece = [0; MAX_CONTROL];
                let room = self.left.min(MAX_CONTROL);
                let polled = self.poll_some(cx, &mut piece[..room]);
                if let Poll::Ready(Ok(n)) = polled {
                    self.left -= n;
                    self.unmask(&mut piece[..n]);
                    payload.extend_from_slice(&piece[..n]);
                }
                self.control = Some((kind, payload));
                return polled.map_ok(|_| ());
            }
            self.note_control(kind, &payload);
            return Poll::Ready(Ok(()));
        }
        let (mut piece, due) = ([0; MAX_HEAD], self.head_due());
        let room = due - self.head_len;
        let n = ready!(self.poll_some(cx, &mut piece[..room]))?;
        self.head[self.head_len..self.head_len + n].copy_from_slice(&piece[..n]);
        self.head_len += n;
        if self.head_len == self.head_due() {
            self.note_head()?;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocketBytes<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        while !this.ended && (this.left == 0 || this.control.is_some()) {
            ready!(this.poll_between(cx))?;
            if !this.out.is_empty() && this.promised == 0 {
                // A pong; what cannot leave now leaves with the next write.
                let _ = this.poll_out(cx);
            }
        }
        if this.ended {
            return Poll::Ready(Ok(()));
        }
        let room = this.left.min(buf.remaining());
        let into = buf.initialize_unfilled_to(room);
        let n = ready!(this.poll_some(cx, into))?;
        this.unmask(&mut into[..n]);
        this.left -= n;
        buf.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> WebSocketBytes<S> {
    /// Sends what stands in `out`.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest @ [_, ..]) = self.out.get(self.out_at..) {
            match ready!(Pin::new(&mut self.socket).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.out_at += n,
            }
        }
        self.out.clear();
        self.out_at = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocketBytes<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        /// The header and what a line gives at once.
        const SLICES: usize = 5;
        let this = self.get_mut();
        let total = slices.iter().map(|slice| slice.len()).sum::<usize>();
        if total == 0 {
            return Poll::Ready(Ok(0));
        }
        if this.promised == 0 {
            // A pong that waits goes first.
            ready!(this.poll_out(cx))?;
            let slices = slices.iter().take(SLICES - 1);
            let len = slices.map(|slice| slice.len()).sum::<usize>();
            this.promised = len.min(MAX_WEBSOCKET_MESSAGE);
            this.put_head(BINARY, this.promised);
        }
        loop {
            let head = this.out.get(this.out_at..).unwrap_or_default();
            let mut all = [IoSlice::new(&[]); SLICES];
            let (mut count, mut room) = (0, this.promised);
            if !head.is_empty() {
                all[0] = IoSlice::new(head);
                count = 1;
            }
            for slice in slices.iter().filter(|slice| !slice.is_empty()) {
                if room == 0 || count == SLICES {
                    break;
                }
                let len = slice.len().min(room);
                all[count] = IoSlice::new(&slice[..len]);
                (count, room) = (count + 1, room - len);
            }
            let head_len = head.len();
            let written = Pin::new(&mut this.socket).poll_write_vectored(cx, &all[..count]);
            let n = match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => n,
            };
            this.out_at += n.min(head_len);
            if n >= head_len {
                this.out.clear();
                this.out_at = 0;
            }
            let payload = n.saturating_sub(head_len);
            this.promised -= payload;
            if payload > 0 {
                return Poll::Ready(Ok(payload));
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_out(cx))?;
        Pin::new(&mut this.socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_out(cx))?;
        // In the middle of a message there is no polite end.
        if this.promised == 0 && !this.close_sent {
            this.close_sent = true;
            this.put_head(CLOSE, 0);
        }
        ready!(this.poll_out(cx))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
