//! RTCP (RFC 3550 section 6): the sender report a server sends, the reports receivers answer with.

use bytes::{BufMut, BytesMut};
use media::WallTime;

use crate::Error;

const SR: u8 = 200;
const RR: u8 = 201;
const SDES: u8 = 202;
const BYE: u8 = 203;
const SDES_CNAME: u8 = 1;

/// Most packets read from one compound: a receiver sends a report, its name and perhaps a goodbye.
pub const MAX_COMPOUND: usize = 32;

/// What a sender says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderReport {
    /// Its synchronisation source.
    pub ssrc: u32,
    /// 64-bit NTP timestamp of the moment.
    pub ntp: u64,
    /// The same moment on the track's clock.
    pub rtp_time: u32,
    /// Packets sent, low 32 bits.
    pub packets: u32,
    /// Bytes of payload sent, low 32 bits.
    pub octets: u32,
}

/// Appends a sender report and the sender's name to `out`, one compound, no interleaved header.
///
/// `wall` and `rtp_time` name the same moment. `cname` is cut at 255 bytes.
pub fn put_sender_report(
    out: &mut BytesMut,
    ssrc: u32,
    wall: WallTime,
    rtp_time: u32,
    packets: u64,
    octets: u64,
    cname: &str,
) {
    let low = |n: u64| u32::try_from(n & 0xffff_ffff).unwrap_or(0);
    out.put_slice(&[0x80, SR, 0, 6]);
    out.put_u32(ssrc);
    out.put_u64(wall.to_ntp());
    out.put_u32(rtp_time);
    out.put_u32(low(packets));
    out.put_u32(low(octets));

    let cname = cname.as_bytes();
    let cname = cname.get(..255).unwrap_or(cname);
    // Source, item type, item length, text, then one to four zeros up to a whole word.
    let body = 4 + 2 + cname.len();
    let padding = 4 - body % 4;
    let words = u16::try_from((body + padding) / 4).unwrap_or(0);
    out.put_slice(&[0x81, SDES]);
    out.put_u16(words);
    out.put_u32(ssrc);
    out.put_slice(&[SDES_CNAME, u8::try_from(cname.len()).unwrap_or(255)]);
    out.put_slice(cname);
    out.put_bytes(0, padding);
}

/// How well a receiver hears one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportBlock {
    /// The source it speaks of.
    pub ssrc: u32,
    /// Packets lost since the last report, in 256ths.
    pub fraction_lost: u8,
    /// Packets lost in all; below zero when duplicates came.
    pub lost: i32,
    /// Highest sequence number heard, with the count of wraps above it.
    pub highest_seq: u32,
    /// Jitter in ticks.
    pub jitter: u32,
    /// Middle 32 bits of the NTP timestamp of the last sender report heard.
    pub last_report: u32,
    /// Time since then, in 65536ths of a second.
    pub delay: u32,
}

/// One packet of a compound.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Packet {
    /// From one who sends.
    SenderReport(SenderReport, Vec<ReportBlock>),
    /// From one who only hears.
    ReceiverReport {
        /// The receiver's own source.
        ssrc: u32,
        /// One for each source it hears.
        blocks: Vec<ReportBlock>,
    },
    /// Names; nobody here asks for them.
    Description,
    /// These sources leave.
    Bye(Vec<u32>),
    /// Any other type: feedback, extended reports, application data.
    Other(u8),
}

/// Reads a compound packet. A type not known is told as [`Packet::Other`]; lengths must agree.
pub fn parse_compound(mut bytes: &[u8]) -> Result<Vec<Packet>, Error> {
    const WHAT: &str = "RTCP packet";
    let whole = bytes.len();
    let mut packets = Vec::new();
    while !bytes.is_empty() {
        let offset = whole - bytes.len();
        if packets.len() == MAX_COMPOUND {
            return Err(Error::malformed(WHAT, offset, "too many in one compound"));
        }
        let Some((&[first, kind, l0, l1], rest)) = bytes.split_first_chunk::<4>() else {
            return Err(Error::malformed(WHAT, offset, "shorter than its header"));
        };
        if first >> 6 != 2 {
            return Err(Error::malformed(WHAT, offset, "version is not 2"));
        }
        let len = usize::from(u16::from_be_bytes([l0, l1])) * 4;
        let Some((body, rest)) = rest.split_at_checked(len) else {
            return Err(Error::malformed(WHAT, offset, "length past the end"));
        };
        let packet = parse_packet(kind, usize::from(first & 0x1f), body);
        packets.push(packet.ok_or_else(|| {
            Error::malformed(WHAT, offset, "shorter than its count of entries asks")
        })?);
        bytes = rest;
    }
    Ok(packets)
}

fn parse_packet(kind: u8, count: usize, body: &[u8]) -> Option<Packet> {
    let mut words = Words(body);
    Some(match kind {
        SR => {
            let report = SenderReport {
                ssrc: words.next()?,
                ntp: u64::from(words.next()?) << 32 | u64::from(words.next()?),
                rtp_time: words.next()?,
                packets: words.next()?,
                octets: words.next()?,
            };
            Packet::SenderReport(report, words.blocks(count)?)
        }
        RR => Packet::ReceiverReport {
            ssrc: words.next()?,
            blocks: words.blocks(count)?,
        },
        SDES => Packet::Description,
        BYE => Packet::Bye((0..count).map(|_| words.next()).collect::<Option<_>>()?),
        other => Packet::Other(other),
    })
}

struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn next(&mut self) -> Option<u32> {
        let (word, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*word))
    }

    fn blocks(&mut self, count: usize) -> Option<Vec<ReportBlock>> {
        (0..count).map(|_| self.block()).collect()
    }

    fn block(&mut self) -> Option<ReportBlock> {
        let ssrc = self.next()?;
        let [fraction_lost, l0, l1, l2] = self.next()?.to_be_bytes();
        Some(ReportBlock {
            ssrc,
            fraction_lost,
            // 24 bits with a sign.
            lost: i32::from_be_bytes([l0, l1, l2, 0]) >> 8,
            highest_seq: self.next()?,
            jitter: self.next()?,
            last_report: self.next()?,
            delay: self.next()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn our_sender_report_reads_back() {
        for cname in ["", "a", "ab", "abc", "eyelet@gateway"] {
            let mut out = BytesMut::new();
            let wall = WallTime(Duration::from_secs(1_700_000_000));
            put_sender_report(&mut out, 7, wall, 90_000, 1 << 33 | 5, 6, cname);
            assert_eq!(out.len() % 4, 0);
            let packets = parse_compound(&out).unwrap();
            let report = SenderReport {
                ssrc: 7,
                ntp: wall.to_ntp(),
                rtp_time: 90_000,
                packets: 5,
                octets: 6,
            };
            assert_eq!(
                packets,
                [
                    Packet::SenderReport(report, Vec::new()),
                    Packet::Description
                ]
            );
        }
    }

    #[test]
    fn a_negative_loss_keeps_its_sign() {
        let mut rr = vec![0x81, RR, 0, 7, 0, 0, 0, 1, 0, 0, 0, 2, 10, 0xff, 0xff, 0xfe];
        rr.extend_from_slice(&[0; 16]);
        let packets = parse_compound(&rr).unwrap();
        let [Packet::ReceiverReport { ssrc: 1, blocks }] = packets.as_slice() else {
            panic!("{packets:?}");
        };
        assert_eq!((blocks[0].lost, blocks[0].fraction_lost), (-2, 10));
    }

    #[test]
    fn counts_and_lengths_past_the_end_are_refused() {
        assert!(parse_compound(&[0x82, RR, 0, 1, 0, 0, 0, 1]).is_err());
        assert!(parse_compound(&[0x80, RR, 0, 9, 0, 0, 0, 1]).is_err());
        assert!(parse_compound(&[0x83, BYE, 0, 1, 0, 0, 0, 1]).is_err());
        assert!(parse_compound(&[0x00, RR, 0, 0]).is_err());
        assert!(parse_compound(&[0x80, 202]).is_err());
    }
}
