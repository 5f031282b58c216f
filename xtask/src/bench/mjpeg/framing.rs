//! Cuts a viewer's bytes into pictures without copying them.
use super::pictures::{NUMBER, number};

/// What counts of a picture.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Picture {
    /// The number that the source wrote into it, where nobody changed it.
    pub(super) number: Option<u32>,
    /// Whether it begins and ends as a picture does.
    pub(super) is_whole: bool,
}

/// State between two reads of a body, from its first part's headers on.
#[derive(Default)]
pub(super) struct Framing {
    /// Headers of a part, as far as they came.
    head: Vec<u8>,
    /// The first bytes of the picture.
    start: Vec<u8>,
    /// Its last two bytes so far.
    end: [u8; 2],
    /// Bytes of it still to come.
    left: usize,
}

impl Framing {
    /// Calls `picture` for each one that ends in `bytes`.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut picture: impl FnMut(&Picture)) {
        while let Some(&first) = bytes.first() {
            if self.left == 0 {
                self.head.push(first);
                bytes = &bytes[1..];
                if self.head.ends_with(b"\r\n\r\n") {
                    self.left = length(&self.head).unwrap_or(0);
                    self.head.clear();
                }
                continue;
            }
            let (piece, rest) = bytes.split_at(self.left.min(bytes.len()));
            let wanted = NUMBER.end - self.start.len();
            self.start
                .extend_from_slice(&piece[..wanted.min(piece.len())]);
            match *piece {
                [.., last_but_one, last] => self.end = [last_but_one, last],
                [last] => self.end = [self.end[1], last],
                [] => {}
            }
            self.left -= piece.len();
            bytes = rest;
            if self.left == 0 {
                picture(&Picture {
                    number: number(&self.start),
                    is_whole: self.start.starts_with(&[0xff, 0xd8]) && self.end == [0xff, 0xd9],
                });
                self.start.clear();
            }
        }
    }
}

fn length(head: &[u8]) -> Option<usize> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let value = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))?;
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::pictures::pictures;
    use super::*;

    #[test]
    fn pictures_are_the_same_however_the_bytes_are_cut() {
        let mut body = Vec::new();
        for (at, mut picture) in pictures(300).into_iter().take(3).enumerate() {
            picture[NUMBER.end - 1] = at as u8;
            let head = format!("--b\r\nContent-Length: {}\r\n\r\n", picture.len());
            body.extend_from_slice(&[head.as_bytes(), &picture, b"\r\n"].concat());
        }
        for size in 1..=body.len() {
            let (mut framing, mut seen) = (Framing::default(), Vec::new());
            for piece in body.chunks(size) {
                framing.feed(piece, |picture| {
                    assert!(picture.is_whole);
                    seen.push(picture.number);
                });
            }
            assert_eq!(seen, [Some(0), Some(1), Some(2)], "pieces of {size}");
        }
    }
}
