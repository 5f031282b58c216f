//! The few bytes of DNS that send a camera home: its vendor's names get our address, others are refused.

use std::net::Ipv4Addr;

/// Longest query that is read; a camera's has about 40 bytes.
pub const MAX_QUERY: usize = 512;

/// Longest name, RFC 1035 section 2.3.4.
const MAX_NAME: usize = 255;

/// The zones that cameras of this family ask for (facts, section 2.1).
pub const ZONES: [&str; 2] = ["naxclow.com", "naxclow.com.cn"];

/// How long an answer may be kept: short, so that a server that moves is found.
const TIME_TO_LIVE: u32 = 60;

/// A name that was asked for, and the answer to send back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The name, in lower case.
    pub name: String,
    /// Whether it is one of the vendor's.
    pub ours: bool,
    /// The datagram.
    pub bytes: Vec<u8>,
}

/// Whether a name belongs to the vendor.
pub fn is_vendors(name: &str) -> bool {
    ZONES.iter().any(|zone| {
        name.strip_suffix(zone)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

/// Answers a query: an A record for the vendor's names, nothing for their other records, refusal for other names.
/// `None` for what is no query of one question.
pub fn answer(query: &[u8], address: Ipv4Addr) -> Option<Answer> {
    if query.len() > MAX_QUERY {
        return None;
    }
    let (header, rest) = query.split_first_chunk::<12>()?;
    let [id0, id1, flags, _, 0, 1, ..] = *header else {
        return None;
    };
    // A response, or an operation other than a plain query.
    if flags & 0xF8 != 0 {
        return None;
    }
    let (name, len) = read_name(rest)?;
    let question = rest.get(..len + 4)?;
    let fields = rest.get(len..len + 4)?;
    let ours = is_vendors(&name);
    let address = (ours && fields == [0, 1, 0, 1]).then_some(address);
    let refused = if ours { 0 } else { 5 };
    let count = u8::from(address.is_some());
    // Response, authoritative, recursion desired as it was asked.
    let mut bytes = vec![
        id0,
        id1,
        0x84 | flags & 1,
        refused,
        0,
        1,
        0,
        count,
        0,
        0,
        0,
        0,
    ];
    bytes.extend_from_slice(question);
    if let Some(address) = address {
        // The name as a pointer to the question, type A, class IN.
        bytes.extend_from_slice(&[0xC0, 12, 0, 1, 0, 1]);
        bytes.extend_from_slice(&TIME_TO_LIVE.to_be_bytes());
        bytes.extend_from_slice(&[0, 4]);
        bytes.extend_from_slice(&address.octets());
    }
    Some(Answer { name, ours, bytes })
}

/// A query for the A record of `name`, as a camera sends it.
pub fn query(id: u16, name: &str) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        let label = label.as_bytes();
        let label = label.get(..63).unwrap_or(label);
        bytes.push(u8::try_from(label.len()).unwrap_or_default());
        bytes.extend_from_slice(label);
    }
    bytes.extend_from_slice(&[0, 0, 1, 0, 1]);
    bytes
}

/// A name without pointers, and how many bytes it took.
fn read_name(mut rest: &[u8]) -> Option<(String, usize)> {
    let (mut name, mut used) = (String::new(), 0);
    loop {
        let (&len, after) = rest.split_first()?;
        used += 1;
        if len == 0 {
            return Some((name, used));
        }
        if len > 63 || used + usize::from(len) > MAX_NAME {
            return None;
        }
        let label = after.get(..usize::from(len))?;
        if !name.is_empty() {
            name.push('.');
        }
        for byte in label {
            let plain = byte.is_ascii_alphanumeric() || b"-_".contains(byte);
            name.push(if plain {
                char::from(byte.to_ascii_lowercase())
            } else {
                '?'
            });
        }
        used += usize::from(len);
        rest = after.get(usize::from(len)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 2);

    #[test]
    fn the_vendors_names_lead_home() {
        for name in ["v720.naxclow.com", "V720.P2P.naxclow.com", "naxclow.com.cn"] {
            let asked = query(7, name);
            let answer = answer(&asked, HOME).unwrap();
            assert!(answer.ours);
            assert_eq!(answer.name, name.to_ascii_lowercase());
            assert_eq!(answer.bytes[..8], [0, 7, 0x85, 0, 0, 1, 0, 1]);
            assert_eq!(answer.bytes[12..asked.len()], asked[12..]);
            assert_eq!(answer.bytes[answer.bytes.len() - 4..], HOME.octets());
        }
    }

    #[test]
    fn other_records_are_empty_and_other_names_refused() {
        let mut six = query(1, "v720.naxclow.com");
        let at = six.len() - 3;
        six[at] = 28;
        let empty = answer(&six, HOME).unwrap();
        assert_eq!((empty.ours, empty.bytes[3], empty.bytes[7]), (true, 0, 0));
        for name in ["example.com", "evilnaxclow.com", "naxclow.com.example"] {
            let refused = answer(&query(1, name), HOME).unwrap();
            assert_eq!(
                (refused.ours, refused.bytes[3], refused.bytes[7]),
                (false, 5, 0)
            );
        }
    }

    #[test]
    fn no_query_no_answer() {
        let whole = query(1, "v720.naxclow.com");
        for cut in 0..whole.len() {
            assert_eq!(answer(&whole[..cut], HOME), None, "{cut}");
        }
        let mut response = whole.clone();
        response[2] |= 0x80;
        assert_eq!(answer(&response, HOME), None);
        let mut pointer = whole;
        pointer[12] = 0xC0;
        assert_eq!(answer(&pointer, HOME), None);
    }
}
