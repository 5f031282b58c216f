//! The few lines of RTSP that the benchmark's source and readers speak.

/// A request or a response.
pub(super) struct Message {
    /// The first line.
    pub(super) start: String,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Message {
    /// A message at the start of `bytes` and its length, once it is whole.
    pub(super) fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let text = String::from_utf8_lossy(&bytes[..end]);
        let mut lines = text.lines();
        let start = lines.next().unwrap_or_default().to_owned();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut message = Self {
            start,
            headers,
            body: Vec::new(),
        };
        let body: usize = message
            .header("content-length")
            .map_or(Some(0), |value| value.parse().ok())?;
        let from = end + 4;
        message.body = bytes.get(from..from.checked_add(body)?)?.to_vec();
        Some((message, from + body))
    }

    /// The value of a header, its name in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(found, _)| found == name)?;
        Some(value)
    }

    /// Second word of the first line: a response's status, a request's URL.
    pub(super) fn second(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_only_when_whole() {
        let text = b"RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Length: 3\r\n\r\nv=0more";
        assert!(Message::parse(&text[..text.len() - 5]).is_none());
        let (message, used) = Message::parse(text).unwrap();
        assert_eq!(used, text.len() - 4);
        assert_eq!(message.second(), "200");
        assert_eq!(message.header("cseq"), Some("2"));
        assert_eq!(message.body, b"v=0");
    }
}
