use bytes::{Bytes, BytesMut};
use media::MAX_ACCESS_UNIT;

const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;

/// What a [`Scanner`] could not use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Pictures that were cut, damaged in their structure, or without a scan.
    pub torn: u64,
    /// Pictures beyond the cap.
    pub oversized: u64,
    /// Bytes outside whole pictures: padding, junk, torn pictures.
    pub skipped: u64,
}

/// Finds whole JPEG pictures in a byte stream without lengths, however it is cut into pieces.
///
/// It walks the segments of ITU-T T.81 annex B, so an end marker inside a thumbnail ends nothing,
/// and knows byte stuffing, restart and fill bytes, and several scans. Whatever stands between
/// pictures is skipped. A torn picture is dropped as soon as that shows, and the search goes on at
/// the next `FF D8 FF` behind the last segment that was sound: a thumbnail in a sound segment is
/// never mistaken for a picture.
#[derive(Debug)]
pub struct Scanner {
    /// From the start of the picture that is being read, or of what is yet to be searched.
    buf: BytesMut,
    /// Read up to here.
    at: usize,
    /// Nothing before this can be the start of another picture.
    sound: usize,
    state: State,
    has_frame: bool,
    has_scan: bool,
    max: usize,
    losses: Losses,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Looking for a start.
    Search,
    /// `at` is where a marker must stand.
    Marker,
    /// `at` is in entropy-coded data.
    Entropy,
}

/// How far a step came.
enum Step {
    Went,
    Starved,
    Whole,
    Torn,
}

impl Default for Scanner {
    fn default() -> Self {
        Self::with_limit(MAX_ACCESS_UNIT)
    }
}

impl Scanner {
    /// A scanner that drops pictures of more than `max` bytes.
    #[must_use]
    pub fn with_limit(max: usize) -> Self {
        Self {
            buf: BytesMut::new(),
            at: 0,
            sound: 0,
            state: State::Search,
            has_frame: false,
            has_scan: false,
            max,
            losses: Losses::default(),
        }
    }

    /// Takes the next bytes; call [`Self::poll`] until it gives `None`.
    pub fn feed(&mut self, data: &[u8]) {
        self.buf.extend_from_slice(data);
    }

    /// The next whole picture, SOI to EOI.
    pub fn poll(&mut self) -> Option<Bytes> {
        loop {
            let step = match self.state {
                State::Search => self.search(),
                State::Marker => self.marker(),
                State::Entropy => self.entropy(),
            };
            match step {
                Step::Starved => return None,
                // Checked before the rest: how far one look goes depends on how much was fed.
                Step::Went | Step::Whole | Step::Torn
                    if self.state != State::Search && self.at > self.max =>
                {
                    self.losses.oversized += 1;
                    self.resynchronise();
                }
                Step::Whole => {
                    // A copy of the right size: a slice would keep the whole read buffer alive
                    // for as long as the picture is in somebody's ring.
                    let picture = self.buf.split_to(self.at.min(self.buf.len()));
                    self.restart();
                    return Some(Bytes::copy_from_slice(&picture));
                }
                Step::Torn => {
                    self.losses.torn += 1;
                    self.resynchronise();
                }
                Step::Went => {}
            }
        }
    }

    /// The same as [`Self::feed`], without a copy where nothing is held.
    pub(crate) fn feed_owned(&mut self, data: BytesMut) {
        self.buf.unsplit(data);
    }

    /// Says that the stream ended or was broken: what is unfinished is lost.
    pub fn finish(&mut self) {
        if self.is_inside() {
            self.losses.torn += 1;
        }
        self.losses.skipped += self.buf.len() as u64;
        self.buf.clear();
        self.restart();
    }

    /// Whether a picture has begun and not ended.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        self.state != State::Search
    }

    /// What could not be used so far.
    #[must_use]
    pub fn losses(&self) -> Losses {
        self.losses
    }

    /// Bytes that are held.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buf.len()
    }

    fn search(&mut self) -> Step {
        let start = memchr::memmem::find(&self.buf, &[0xff, SOI, 0xff]);
        let skipped = start.unwrap_or_else(|| match self.buf.as_ref() {
            [.., 0xff, SOI] => self.buf.len() - 2,
            [.., 0xff] => self.buf.len() - 1,
            other => other.len(),
        });
        let _ = self.buf.split_to(skipped);
        self.losses.skipped += skipped as u64;
        if start.is_none() {
            return Step::Starved;
        }
        self.state = State::Marker;
        self.at = 2;
        self.sound = 2;
        Step::Went
    }

    fn marker(&mut self) -> Step {
        let rest = self.buf.get(self.at..).unwrap_or_default();
        let (marker, len) = match *rest {
            [] | [0xff] => return Step::Starved,
            [0xff, 0xff, ..] => {
                self.sound = self.at;
                self.at += 1;
                return Step::Went;
            }
            [0xff, EOI, ..] if self.has_frame && self.has_scan => {
                self.at += 2;
                return Step::Whole;
            }
            // A new start, an end without a picture, a stuffed byte.
            [0xff, 0, ..] => return Step::Torn,
            [0xff, SOI | EOI, ..] => {
                self.sound = self.at;
                return Step::Torn;
            }
            [0xff, 0x01 | 0xd0..=0xd7, ..] => {
                self.sound = self.at;
                self.at += 2;
                return Step::Went;
            }
            [0xff, _] | [0xff, _, _] => return Step::Starved,
            [0xff, marker, high, low, ..] => (marker, u16::from_be_bytes([high, low])),
            _ => return Step::Torn,
        };
        // SOF0 to SOF15, without DHT, JPG and DAC which share the range.
        let is_frame = matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc);
        // A length that was cut must not reach over the pictures that follow: the headers of frame
        // and scan are as long as one to four components make them.
        let is_sound = match marker {
            SOS => matches!(len, 8 | 10 | 12 | 14),
            _ if is_frame => matches!(len, 11 | 14 | 17 | 20),
            _ => len >= 2,
        };
        if !is_sound {
            return Step::Torn;
        }
        // A marker stands where one must, so the segment before it is sound.
        self.sound = self.at;
        self.at += 2 + usize::from(len);
        self.has_frame |= is_frame;
        if marker == SOS {
            self.has_scan = true;
            self.state = State::Entropy;
        }
        Step::Went
    }

    fn entropy(&mut self) -> Step {
        let rest = self.buf.get(self.at..).unwrap_or_default();
        let Some(found) = memchr::memchr(0xff, rest) else {
            // The header of the scan may not be here yet.
            if self.at >= self.buf.len() {
                return Step::Starved;
            }
            self.at = self.buf.len();
            self.sound = self.at;
            // Once more, to look at the cap.
            return Step::Went;
        };
        self.at += found;
        self.sound = self.at;
        match rest.get(found + 1) {
            None if self.at > self.max => Step::Went,
            None => Step::Starved,
            Some(0xff) => {
                self.at += 1;
                Step::Went
            }
            Some(0 | 0xd0..=0xd7) => {
                self.at += 2;
                Step::Went
            }
            // The next scan and its tables, DNL, a comment; and the end.
            Some(&(EOI | 0xc4 | SOS | 0xdb..=0xdd | 0xfe)) => {
                self.state = State::Marker;
                Step::Went
            }
            Some(_) => Step::Torn,
        }
    }

    /// Gives the picture up and looks for the next behind what is known to hold none.
    fn resynchronise(&mut self) {
        // At least its own start is passed, or it would be found again.
        let passed = self.sound.max(2).min(self.buf.len());
        let _ = self.buf.split_to(passed);
        self.losses.skipped += passed as u64;
        self.restart();
    }

    fn restart(&mut self) {
        self.at = 0;
        self.sound = 0;
        self.state = State::Search;
        self.has_frame = false;
        self.has_scan = false;
    }
}
