use bytes::{Bytes, BytesMut};
use media::MAX_ACCESS_UNIT;

use crate::{Losses, Scanner};

/// Longest line of a part's head. Cameras write 20 to 80 bytes.
pub const MAX_LINE: usize = 1024;

/// Most header fields of a part. Cameras write two or three.
pub const MAX_PART_HEADERS: usize = 16;

/// Takes the pictures out of `multipart/x-mixed-replace`, chunked coding already removed.
///
/// Cameras disagree about everything here: the boundary stands before each part or behind it, with
/// its dashes declared or not, quoted or not; lengths are missing or wrong. So the declared boundary
/// is not used at all. Where a part's head must stand, a line with two dashes is a boundary, one
/// with a colon is a header field, and an empty one ends the head. A body is as long as
/// `Content-Length` says and must then hold a whole picture. The first part that breaks this (no
/// length, a length that lies, a picture that is torn) makes a [`Scanner`] read all that follows:
/// it finds the pictures by their own structure and takes boundaries for junk between them.
#[derive(Debug, Default)]
pub struct Multipart {
    /// What follows the last head or body that was taken.
    buf: BytesMut,
    /// The body that comes next, once the head is read.
    body: Option<Body>,
    head: Head,
    by_markers: bool,
    scanner: Scanner,
}

#[derive(Clone, Copy, Debug)]
struct Body {
    len: usize,
    is_picture: bool,
}

/// What the head of a part has said so far.
#[derive(Debug, Default)]
struct Head {
    fields: usize,
    len: Option<usize>,
    is_other_type: bool,
}

impl Multipart {
    /// A parser that stands at the start of the body.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes; call [`Self::poll`] until it gives `None`.
    pub fn feed(&mut self, data: &[u8]) {
        if self.by_markers {
            self.scanner.feed(data);
        } else {
            self.buf.extend_from_slice(data);
        }
    }

    /// The next whole picture.
    pub fn poll(&mut self) -> Option<Bytes> {
        loop {
            if self.by_markers {
                return self.scanner.poll();
            }
            match self.body {
                Some(body) => {
                    if self.buf.len() < body.len {
                        return None;
                    }
                    self.body = None;
                    let bytes = self.buf.split_to(body.len);
                    if !body.is_picture || body.len == 0 {
                        continue;
                    }
                    self.scanner.feed_owned(bytes);
                    match self.scanner.poll() {
                        Some(picture) => {
                            self.scanner.finish();
                            return Some(picture);
                        }
                        None => self.distrust(),
                    }
                }
                None => self.read_line()?,
            }
        }
    }

    /// Says that the stream ended. [`Self::poll`] then gives what stands in a body that was
    /// promised longer than it came.
    pub fn finish(&mut self) {
        self.distrust();
    }

    /// What could not be used so far. Boundaries and part heads count as skipped only where the
    /// lengths are not trusted.
    #[must_use]
    pub fn losses(&self) -> Losses {
        self.scanner.losses()
    }

    /// Whether pictures are found by their own structure, because the parts' lengths are missing
    /// or wrong.
    #[must_use]
    pub fn reads_by_markers(&self) -> bool {
        self.by_markers
    }

    /// Reads one line of a head; `None` if it is not here yet.
    fn read_line(&mut self) -> Option<()> {
        let window = self.buf.get(..MAX_LINE).unwrap_or(&self.buf);
        let Some(end) = memchr::memchr(b'\n', window) else {
            if self.buf.len() < MAX_LINE {
                return None;
            }
            self.distrust();
            return Some(());
        };
        let line = window.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let is_text = line.iter().all(|b| matches!(b, b' '..=b'~' | b'\t'));
        match std::str::from_utf8(line) {
            Ok("") => {
                if self.head.fields > 0 {
                    let head = std::mem::take(&mut self.head);
                    let Some(len) = head.len else {
                        self.distrust();
                        return Some(());
                    };
                    self.body = Some(Body {
                        len,
                        is_picture: !head.is_other_type,
                    });
                }
            }
            Ok(line) if is_text => {
                if line.starts_with("--") {
                    self.head = Head::default();
                } else if let Some((name, value)) = line.split_once(':') {
                    self.head.take(name.trim(), value.trim());
                }
                // Any other text is a preamble, which means nothing.
            }
            _ => {
                self.distrust();
                return Some(());
            }
        }
        if self.head.fields > MAX_PART_HEADERS
            || self.head.len.is_some_and(|len| len > MAX_ACCESS_UNIT)
        {
            self.distrust();
            return Some(());
        }
        let _ = self.buf.split_to(end + 1);
        Some(())
    }

    /// From here on, pictures are found by their own structure.
    fn distrust(&mut self) {
        self.by_markers = true;
        self.scanner.feed_owned(std::mem::take(&mut self.buf));
    }
}

impl Head {
    fn take(&mut self, name: &str, value: &str) {
        self.fields += 1;
        if name.eq_ignore_ascii_case("content-length") {
            // A length that cannot be read is a length that is not there.
            self.len = value.parse().ok();
        } else if name.eq_ignore_ascii_case("content-type") {
            let value = value.to_ascii_lowercase();
            self.is_other_type =
                !value.starts_with("image/") && !value.starts_with("application/octet-stream");
        }
    }
}
