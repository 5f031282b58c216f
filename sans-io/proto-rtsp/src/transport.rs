use std::fmt;

/// Most alternatives read from one Transport header: players offer two or three.
const MAX_ALTERNATIVES: usize = 8;

/// What carries the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lower {
    /// The RTSP connection itself, interleaved.
    Tcp,
    /// Datagrams.
    Udp,
}

/// One alternative of a Transport header (RFC 2326 section 12.39).
///
/// `destination`, `source`, `layers`, `ttl` are not kept: packets go to the peer that asked, nowhere
/// else, so nobody can point a camera's stream at a third party.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transport {
    /// TCP or UDP.
    pub lower: Lower,
    /// Asked for or given by multicast.
    pub is_multicast: bool,
    /// Channels for RTP and RTCP.
    pub interleaved: Option<(u8, u8)>,
    /// The player's ports for RTP and RTCP.
    pub client_port: Option<(u16, u16)>,
    /// Our ports for RTP and RTCP.
    pub server_port: Option<(u16, u16)>,
    /// Synchronisation source of the packets.
    pub ssrc: Option<u32>,
    /// "PLAY" unless said otherwise.
    pub mode: Option<String>,
}

impl Transport {
    /// Interleaved in the RTSP connection.
    #[must_use]
    pub fn tcp(channels: (u8, u8)) -> Self {
        Self {
            lower: Lower::Tcp,
            is_multicast: false,
            interleaved: Some(channels),
            client_port: None,
            server_port: None,
            ssrc: None,
            mode: None,
        }
    }

    /// Datagrams to the player's ports.
    #[must_use]
    pub fn udp(client_port: (u16, u16)) -> Self {
        Self {
            lower: Lower::Udp,
            is_multicast: false,
            interleaved: None,
            client_port: Some(client_port),
            server_port: None,
            ssrc: None,
            mode: None,
        }
    }

    /// All alternatives in a header that are plain RTP, best first; others are left out.
    #[must_use]
    pub fn parse_all(header: &str) -> Vec<Self> {
        split_unquoted(header, ',')
            .filter_map(Self::parse)
            .take(MAX_ALTERNATIVES)
            .collect()
    }

    /// One alternative.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = split_unquoted(text, ';').map(str::trim);
        let protocol = parts.next()?;
        let lower = match protocol.to_ascii_uppercase().as_str() {
            "RTP/AVP" | "RTP/AVP/UDP" => Lower::Udp,
            "RTP/AVP/TCP" => Lower::Tcp,
            _ => return None,
        };
        let mut transport = Self {
            lower,
            is_multicast: false,
            interleaved: None,
            client_port: None,
            server_port: None,
            ssrc: None,
            mode: None,
        };
        for part in parts {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let value = value.trim().trim_matches('"');
            match key.trim().to_ascii_lowercase().as_str() {
                "multicast" => transport.is_multicast = true,
                "interleaved" => transport.interleaved = parse_pair(value),
                "client_port" => transport.client_port = parse_pair(value),
                "server_port" => transport.server_port = parse_pair(value),
                "ssrc" => transport.ssrc = u32::from_str_radix(value, 16).ok(),
                "mode" => transport.mode = Some(value.to_ascii_uppercase()),
                _ => {}
            }
        }
        Some(transport)
    }

    /// Whether the player wants to be sent media, not to send some.
    #[must_use]
    pub fn is_play(&self) -> bool {
        let mode = self.mode.as_deref();
        mode.is_none_or(|mode| mode.is_empty() || mode.contains("PLAY"))
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.lower {
            Lower::Tcp => "RTP/AVP/TCP",
            Lower::Udp => "RTP/AVP",
        })?;
        f.write_str(if self.is_multicast {
            ";multicast"
        } else {
            ";unicast"
        })?;
        if let Some((a, b)) = self.interleaved {
            write!(f, ";interleaved={a}-{b}")?;
        }
        if let Some((a, b)) = self.client_port {
            write!(f, ";client_port={a}-{b}")?;
        }
        if let Some((a, b)) = self.server_port {
            write!(f, ";server_port={a}-{b}")?;
        }
        if let Some(ssrc) = self.ssrc {
            write!(f, ";ssrc={ssrc:08X}")?;
        }
        if let Some(mode) = &self.mode {
            write!(f, ";mode=\"{mode}\"")?;
        }
        Ok(())
    }
}

/// "4-5", or "4" for 4 and 5.
fn parse_pair<T>(text: &str) -> Option<(T, T)>
where
    T: std::str::FromStr + Copy + TryFrom<u32> + Into<u32>,
{
    match text.split_once('-') {
        Some((a, b)) => Some((a.trim().parse().ok()?, b.trim().parse().ok()?)),
        None => {
            let first: T = text.trim().parse().ok()?;
            Some((first, T::try_from(first.into() + 1).ok()?))
        }
    }
}

/// Splits at `separator` where it stands outside of quotes.
pub(crate) fn split_unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    let mut is_escaped = false;
    text.split(move |c: char| {
        let splits = c == separator && !is_quoted;
        is_quoted ^= c == '"' && !is_escaped;
        is_escaped = c == '\\' && is_quoted && !is_escaped;
        splits
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_players_send_is_understood() {
        let tcp = Transport::parse("RTP/AVP/TCP;unicast;interleaved=2-3").unwrap();
        assert_eq!(tcp, Transport::tcp((2, 3)));
        let udp = Transport::parse("RTP/AVP/UDP;unicast;client_port=18180-18181").unwrap();
        assert_eq!(udp, Transport::udp((18_180, 18_181)));
        let single = Transport::parse("rtp/avp;unicast;client_port=5000;mode=play").unwrap();
        assert_eq!(single.client_port, Some((5000, 5001)));
        assert!(single.is_play());
    }

    #[test]
    fn alternatives_keep_their_order_and_unknown_ones_are_left_out() {
        let all = Transport::parse_all(
            "RTP/SAVP;unicast;client_port=1-2,RTP/AVP;multicast;mode=\"PLAY,RECORD\",RTP/AVP/TCP;interleaved=0-1",
        );
        assert_eq!(all.len(), 2);
        assert!(all[0].is_multicast && all[0].is_play());
        assert_eq!(all[1].lower, Lower::Tcp);
    }

    #[test]
    fn a_transport_reads_back_as_it_was_written() {
        let mut transport = Transport::udp((5000, 5001));
        transport.server_port = Some((6000, 6001));
        transport.ssrc = Some(0x0102_0304);
        transport.mode = Some("PLAY".to_owned());
        assert_eq!(Transport::parse(&transport.to_string()), Some(transport));
    }

    #[test]
    fn pairs_past_the_end_of_their_type_are_no_pairs() {
        let transport = Transport::parse("RTP/AVP;client_port=65535").unwrap();
        assert_eq!(transport.client_port, None);
        let transport = Transport::parse("RTP/AVP/TCP;interleaved=255-256").unwrap();
        assert_eq!(transport.interleaved, None);
    }
}
