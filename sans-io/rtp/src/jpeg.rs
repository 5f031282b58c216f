//! JPEG over RTP, RFC 2435: types 0 (4:2:2) and 1 (4:2:0), restart intervals, tables in band (Q 255).
//!
//! The format carries a scan and leaves the rest of the picture's headers to agreement, so only
//! baseline pictures with the standard Huffman tables fit. Others are refused with the reason.

use bytes::{BufMut, Bytes, BytesMut};

use crate::Error;
use crate::jpeg_tables::STANDARD;
use crate::writer::Writer;

/// Largest side: the header counts blocks of eight pixels in one byte.
const MAX_SIDE: u16 = 2040;
const MAIN_HEADER: usize = 8;
const RESTART_HEADER: usize = 4;
const TABLES_HEADER: usize = 4;
/// Two tables of 64 bytes.
const TABLES: usize = 128;
const Q_IN_BAND: u8 = 255;
/// Offset of a fragment within the scan has 24 bits.
const MAX_SCAN: usize = 1 << 24;

const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;
const DQT: u8 = 0xdb;
const DHT: u8 = 0xc4;
const SOF0: u8 = 0xc0;
const DRI: u8 = 0xdd;

/// What RFC 2435 carries of a picture.
#[derive(Debug, PartialEq, Eq)]
struct Picture<'a> {
    /// 0 for 4:2:2, 1 for 4:2:0.
    kind: u8,
    width: u16,
    height: u16,
    restart_interval: u16,
    luma: &'a [u8; 64],
    chroma: &'a [u8; 64],
    scan: &'a [u8],
}

pub(crate) fn packetize(payload: &[u8], max: usize, w: &mut Writer<'_>) -> Result<(), Error> {
    let picture = Picture::parse(payload)?;
    let blocks = |side: u16| u8::try_from(side.div_ceil(8)).unwrap_or(u8::MAX);
    let has_restarts = picture.restart_interval > 0;
    let kind = picture.kind | if has_restarts { 64 } else { 0 };
    let mut scan = picture.scan;
    let mut offset = 0u32;
    while !scan.is_empty() {
        w.begin();
        let [_, o0, o1, o2] = offset.to_be_bytes();
        let (width, height) = (blocks(picture.width), blocks(picture.height));
        w.put(&[0, o0, o1, o2, kind, Q_IN_BAND, width, height]);
        let mut room = max.saturating_sub(MAIN_HEADER);
        if has_restarts {
            // Packets are not cut at restart markers: first, last and an all-ones count (section 3.1.7).
            let [i0, i1] = picture.restart_interval.to_be_bytes();
            w.put(&[i0, i1, 0xff, 0xff]);
            room = room.saturating_sub(RESTART_HEADER);
        }
        if offset == 0 {
            w.put(&[0, 0, 0, 128]);
            w.put(picture.luma);
            w.put(picture.chroma);
            room = room.saturating_sub(TABLES_HEADER + TABLES);
        }
        let (chunk, rest) = scan.split_at_checked(room.max(1)).unwrap_or((scan, &[]));
        w.put(chunk);
        w.end(rest.is_empty());
        offset = offset.saturating_add(u32::try_from(chunk.len()).unwrap_or(u32::MAX));
        scan = rest;
    }
    Ok(())
}

impl<'a> Picture<'a> {
    fn parse(jpeg: &'a [u8]) -> Result<Self, Error> {
        let unsupported = |why| Err(Error::JpegUnsupported(why));
        let [0xff, SOI, rest @ ..] = jpeg else {
            return unsupported("does not begin with SOI");
        };
        let mut rest = rest;
        let mut tables: [Option<&[u8; 64]>; 4] = [None; 4];
        let mut frame = None;
        let mut restart_interval = 0;
        loop {
            let (marker, segment, after) = split_segment(rest)?;
            rest = after;
            match marker {
                DQT => parse_dqt(segment, &mut tables)?,
                SOF0 => frame = Some(Frame::parse(segment)?),
                0xc1..=0xc3 | 0xc5..=0xcf => {
                    return unsupported("not baseline (progressive, lossless or arithmetic)");
                }
                DHT => check_dht(segment)?,
                DRI => match *segment {
                    [high, low] => restart_interval = u16::from_be_bytes([high, low]),
                    _ => return unsupported("DRI segment of a wrong length"),
                },
                SOS => {
                    let Some(frame) = frame else {
                        return unsupported("scan before the frame header");
                    };
                    check_sos(segment, &frame)?;
                    let table = |id: u8| tables.get(usize::from(id)).copied().flatten();
                    let (Some(luma), Some(chroma)) = (table(frame.luma), table(frame.chroma))
                    else {
                        return unsupported("a quantization table is missing");
                    };
                    return Ok(Self {
                        kind: frame.kind,
                        width: frame.width,
                        height: frame.height,
                        restart_interval,
                        luma,
                        chroma,
                        scan: split_scan(rest)?,
                    });
                }
                _ => {}
            }
        }
    }
}

struct Frame {
    kind: u8,
    width: u16,
    height: u16,
    /// Ids of the quantization tables.
    luma: u8,
    chroma: u8,
    components: [u8; 3],
}

impl Frame {
    fn parse(segment: &[u8]) -> Result<Self, Error> {
        let unsupported = |why| Err(Error::JpegUnsupported(why));
        let &[
            bits,
            h0,
            h1,
            w0,
            w1,
            3,
            y,
            y_sampling,
            luma,
            cb,
            cb_sampling,
            chroma,
            cr,
            cr_sampling,
            cr_table,
        ] = segment
        else {
            return unsupported("not of three components");
        };
        let kind = match (y_sampling, cb_sampling, cr_sampling) {
            (0x21, 0x11, 0x11) => 0,
            (0x22, 0x11, 0x11) => 1,
            _ => return unsupported("sampling is neither 4:2:2 nor 4:2:0"),
        };
        let (width, height) = (u16::from_be_bytes([w0, w1]), u16::from_be_bytes([h0, h1]));
        if bits != 8 {
            return unsupported("not 8 bits a sample");
        }
        if chroma != cr_table {
            return unsupported("two chroma quantization tables");
        }
        if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
            return unsupported("a side is 0 or above 2040 pixels");
        }
        Ok(Self {
            kind,
            width,
            height,
            luma,
            chroma,
            components: [y, cb, cr],
        })
    }
}

/// Splits the next marker segment off: marker, body, what follows.
fn split_segment(bytes: &[u8]) -> Result<(u8, &[u8], &[u8]), Error> {
    let truncated = || Error::JpegUnsupported("ends before its scan");
    let [0xff, rest @ ..] = bytes else {
        return Err(Error::JpegUnsupported("no marker where one must be"));
    };
    // Any number of fill bytes may stand before a marker (T.81 section B.1.1.2).
    let at = rest.iter().position(|&b| b != 0xff).ok_or_else(truncated)?;
    let Some(&[marker, high, low, ref rest @ ..]) = rest.get(at..) else {
        return Err(truncated());
    };
    let len = usize::from(u16::from_be_bytes([high, low]));
    let (body, after) = len
        .checked_sub(2)
        .and_then(|len| rest.split_at_checked(len))
        .ok_or_else(truncated)?;
    Ok((marker, body, after))
}

fn parse_dqt<'a>(
    mut segment: &'a [u8],
    tables: &mut [Option<&'a [u8; 64]>; 4],
) -> Result<(), Error> {
    while let Some((&id, rest)) = segment.split_first() {
        if id >> 4 != 0 {
            return Err(Error::JpegUnsupported("16-bit quantization table"));
        }
        let Some((table, rest)) = rest.split_first_chunk::<64>() else {
            return Err(Error::JpegUnsupported("quantization table cut short"));
        };
        let Some(slot) = tables.get_mut(usize::from(id)) else {
            return Err(Error::JpegUnsupported("quantization table id above 3"));
        };
        *slot = Some(table);
        segment = rest;
    }
    Ok(())
}

fn check_dht(mut segment: &[u8]) -> Result<(), Error> {
    while !segment.is_empty() {
        segment = STANDARD
            .iter()
            .find_map(|table| segment.strip_prefix(*table))
            .ok_or(Error::JpegUnsupported("Huffman tables of its own"))?;
    }
    Ok(())
}

fn check_sos(segment: &[u8], frame: &Frame) -> Result<(), Error> {
    let [y, cb, cr] = frame.components;
    if segment != [3, y, 0x00, cb, 0x11, cr, 0x11, 0, 63, 0] {
        return Err(Error::JpegUnsupported(
            "not one scan of all components with the usual tables",
        ));
    }
    Ok(())
}

/// The entropy-coded bytes up to EOI, without it.
fn split_scan(bytes: &[u8]) -> Result<&[u8], Error> {
    for at in memchr::memchr_iter(0xff, bytes) {
        let scan = bytes.get(..at).unwrap_or_default();
        match bytes.get(at + 1) {
            // A stuffed byte, a restart marker, a fill byte.
            Some(0x00 | 0xd0..=0xd7 | 0xff) => {}
            Some(&EOI) if scan.is_empty() => break,
            Some(&EOI) if scan.len() < MAX_SCAN => return Ok(scan),
            Some(&EOI) => return Err(Error::JpegUnsupported("scan above 16 MiB")),
            Some(_) => return Err(Error::JpegUnsupported("more than one scan")),
            None => break,
        }
    }
    Err(Error::JpegUnsupported("no EOI after its scan"))
}

/// Joins the fragments of a picture.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    head: Option<BytesMut>,
    scan: BytesMut,
}

impl Assembler {
    pub(crate) fn push(&mut self, payload: &[u8]) -> Result<(), Error> {
        const WHAT: &str = "JPEG payload";
        let Some((&[_, o0, o1, o2, kind, q, width, height], mut rest)) =
            payload.split_first_chunk::<MAIN_HEADER>()
        else {
            return Err(Error::malformed(WHAT, 0, "shorter than its header"));
        };
        let mut interval = 0;
        if kind & 64 != 0 {
            let Some((&[i0, i1, _, _], after)) = rest.split_first_chunk::<RESTART_HEADER>() else {
                return Err(Error::malformed(WHAT, MAIN_HEADER, "no restart header"));
            };
            interval = u16::from_be_bytes([i0, i1]);
            rest = after;
        }
        if kind & 0x3f > 1 || kind & 0x80 != 0 {
            return Err(Error::malformed(WHAT, 4, "type is not 0, 1, 64 or 65"));
        }
        let offset = usize::try_from(u32::from_be_bytes([0, o0, o1, o2])).unwrap_or(usize::MAX);
        if offset == 0 {
            if q < 128 {
                return Err(Error::malformed(
                    WHAT,
                    5,
                    "quantization tables are not in band",
                ));
            }
            let tables = rest
                .split_first_chunk::<TABLES_HEADER>()
                .filter(|(head, _)| *head == &[0, 0, 0, 128])
                .and_then(|(_, rest)| rest.split_first_chunk::<TABLES>());
            let Some((tables, after)) = tables else {
                return Err(Error::malformed(WHAT, MAIN_HEADER, "no two 8-bit tables"));
            };
            rest = after;
            self.scan.clear();
            self.head = Some(head(kind & 1, width, height, interval, tables));
        }
        if self.head.is_none() || offset != self.scan.len() {
            self.clear();
            return Err(Error::malformed(WHAT, 1, "a fragment is missing"));
        }
        self.scan.extend_from_slice(rest);
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.scan.len()
    }

    pub(crate) fn clear(&mut self) {
        self.head = None;
        self.scan.clear();
    }

    /// Ends the picture.
    pub(crate) fn finish(&mut self) -> Option<Bytes> {
        let mut picture = self.head.take()?;
        picture.extend_from_slice(&self.scan.split());
        if !picture.ends_with(&[0xff, EOI]) {
            picture.put_slice(&[0xff, EOI]);
        }
        Some(picture.freeze())
    }
}

fn head(kind: u8, width: u8, height: u8, interval: u16, tables: &[u8; TABLES]) -> BytesMut {
    let mut out = BytesMut::with_capacity(1024);
    out.put_slice(&[0xff, SOI]);
    let (luma, chroma) = tables.split_at(64);
    for (id, table) in [(0, luma), (1, chroma)] {
        out.put_slice(&[0xff, DQT, 0, 67, id]);
        out.put_slice(table);
    }
    out.put_slice(&[0xff, SOF0, 0, 17, 8]);
    out.put_u16(u16::from(height) * 8);
    out.put_u16(u16::from(width) * 8);
    let sampling = if kind == 0 { 0x21 } else { 0x22 };
    out.put_slice(&[3, 1, sampling, 0, 2, 0x11, 1, 3, 0x11, 1]);
    for table in STANDARD {
        out.put_slice(&[0xff, DHT]);
        out.put_u16(u16::try_from(table.len() + 2).unwrap_or(0));
        out.put_slice(table);
    }
    if interval > 0 {
        out.put_slice(&[0xff, DRI, 0, 4]);
        out.put_u16(interval);
    }
    out.put_slice(&[0xff, SOS, 0, 12, 3, 1, 0, 2, 0x11, 3, 0x11, 0, 63, 0]);
    out
}
