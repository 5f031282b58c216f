use std::fmt;
use std::time::Duration;

/// A Session header: the id, and how long the server keeps it without a sign of life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionField {
    /// Opaque to the client.
    pub id: String,
    /// 60 seconds unless said otherwise (RFC 2326 section 12.37).
    pub timeout: Option<Duration>,
}

impl SessionField {
    /// Reads a header; parameters other than `timeout` are ignored.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let id = parts.next().unwrap_or_default().to_owned();
        let timeout = parts.find_map(|part| {
            let (key, value) = part.split_once('=')?;
            let is_timeout = key.trim().eq_ignore_ascii_case("timeout");
            let seconds = value.trim().parse::<u32>().ok()?;
            is_timeout.then(|| Duration::from_secs(u64::from(seconds)))
        });
        Self { id, timeout }
    }
}

impl fmt::Display for SessionField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)?;
        match self.timeout {
            Some(timeout) => write!(f, ";timeout={}", timeout.as_secs()),
            None => Ok(()),
        }
    }
}

/// One entry of RTP-Info: what the first packet of a track after PLAY bears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpInfo {
    /// The track's address.
    pub url: String,
    /// Its first sequence number.
    pub seq: Option<u16>,
    /// Its first RTP time.
    pub rtptime: Option<u32>,
}

impl fmt::Display for RtpInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "url={}", self.url)?;
        if let Some(seq) = self.seq {
            write!(f, ";seq={seq}")?;
        }
        if let Some(rtptime) = self.rtptime {
            write!(f, ";rtptime={rtptime}")?;
        }
        Ok(())
    }
}

/// A Range header in normal play time, as far as live media cares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Range {
    /// `npt=now-`: from the present on.
    Now,
    /// `npt=SECONDS-`: from a point on; for a live stream that is the present.
    From(f64),
}

impl Range {
    /// Reads `npt=…`; other units (`clock`, `smpte`) are none of ours.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let npt = text.trim().strip_prefix("npt")?.trim_start();
        let start = npt.strip_prefix('=')?.split(['-', ';']).next()?.trim();
        if start.eq_ignore_ascii_case("now") || start.is_empty() {
            return Some(Self::Now);
        }
        // Seconds, or hours:minutes:seconds.
        let parts = start.split(':').map(|part| part.parse::<f64>().ok());
        let seconds = parts
            .take(4)
            .try_fold(0.0, |sum, n| Some(sum * 60.0 + n?))?;
        (seconds.is_finite() && seconds >= 0.0).then_some(Self::From(seconds))
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => f.write_str("npt=now-"),
            Self::From(seconds) => write!(f, "npt={seconds:.3}-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_headers_are_read_with_and_without_a_timeout() {
        let field = SessionField::parse("a1b2; timeout=30");
        assert_eq!(field.to_string(), "a1b2;timeout=30");
        assert_eq!(SessionField::parse("a1b2").timeout, None);
    }

    #[test]
    fn ranges_of_players_are_read() {
        assert_eq!(Range::parse("npt=0.000-"), Some(Range::From(0.0)));
        assert_eq!(Range::parse("npt=0-"), Some(Range::From(0.0)));
        assert_eq!(Range::parse("npt=now-"), Some(Range::Now));
        assert_eq!(Range::parse("npt=0:01:02.5-"), Some(Range::From(62.5)));
        assert_eq!(Range::parse("clock=19961108T143720.25Z-"), None);
        assert_eq!(Range::parse("npt=-1-"), Some(Range::Now));
        assert_eq!(Range::parse("npt=NaN-"), None);
    }
}
