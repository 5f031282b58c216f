//! Cuts a byte stream into messages, still encrypted.

use bytes::{Buf, Bytes, BytesMut};

use crate::Error;
use crate::header::{DEVICE_MAGIC, Header, MAGIC};

/// Longest body accepted. Devices send up to 64 KiB; the vendor's own library stops at 1,000,000.
pub const MAX_BODY: usize = 16 * 1024 * 1024;
/// Most bytes between messages that are skipped before the conversation is given up (section 12).
pub const MAX_SKIPPED: usize = 1024 * 1024;

/// One message as it stands on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its header.
    pub header: Header,
    /// The extension document, encrypted; often empty.
    pub extension: Bytes,
    /// The rest of the body, encrypted.
    pub payload: Bytes,
}

impl Frame {
    /// The bytes of the message. The header's lengths are computed, whatever they say.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let body = self.extension.len() + self.payload.len();
        let mut header = self.header;
        header.body_len = u32::try_from(body).unwrap_or(u32::MAX);
        header.extension_len = header
            .extension_len
            .map(|_| u32::try_from(self.extension.len()).unwrap_or(u32::MAX));
        let mut out = Vec::with_capacity(Header::LONG + body);
        header.encode(&mut out);
        out.extend_from_slice(&self.extension);
        out.extend_from_slice(&self.payload);
        out.into()
    }
}

/// Takes a stream in any pieces, gives messages.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    buffer: BytesMut,
    skipped: usize,
    skipped_first: Vec<u8>,
    resyncs: u64,
    broken: Option<Error>,
}

/// Bytes of rubbish kept for the error's text.
const MAX_SHOWN: usize = 16;

impl FrameDecoder {
    /// Appends bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Times that rubbish between messages was skipped.
    #[must_use]
    pub fn resyncs(&self) -> u64 {
        self.resyncs
    }

    /// The next whole message; None when more bytes are needed. After an error the stream is lost for good.
    pub fn poll(&mut self) -> Result<Option<Frame>, Error> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        let result = self.next_frame();
        if let Err(error) = &result {
            self.broken = Some(error.clone());
            self.buffer = BytesMut::new();
        }
        result
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        if !self.find_magic()? {
            return Ok(None);
        }
        let Some(header) = Header::decode(&self.buffer) else {
            return Ok(None);
        };
        if let Some(problem) = header.problem() {
            let id = header.id;
            return Err(Error::Header { id, problem });
        }
        let body_len = usize::try_from(header.body_len).unwrap_or(usize::MAX);
        if body_len > MAX_BODY {
            return Err(Error::TooLarge {
                what: "message body",
                len: body_len,
                max: MAX_BODY,
            });
        }
        if self.buffer.len() < header.wire_len() + body_len {
            return Ok(None);
        }
        self.buffer.advance(header.wire_len());
        let mut payload = self.buffer.split_to(body_len).freeze();
        let extension_len = header.extension_len.unwrap_or(0);
        let extension = payload.split_to(usize::try_from(extension_len).unwrap_or(body_len));
        self.skipped = 0;
        self.skipped_first.clear();
        Ok(Some(Frame {
            header,
            extension,
            payload,
        }))
    }

    /// Drops what stands before the next magic; false when there is none yet.
    fn find_magic(&mut self) -> Result<bool, Error> {
        let is_magic =
            |window: &[u8]| window == MAGIC.to_le_bytes() || window == DEVICE_MAGIC.to_le_bytes();
        let found = self.buffer.windows(4).position(is_magic);
        let rubbish = found.unwrap_or_else(|| self.buffer.len().saturating_sub(3));
        if rubbish > 0 {
            if self.skipped == 0 {
                self.resyncs += 1;
            }
            let room = MAX_SHOWN.saturating_sub(self.skipped_first.len());
            let shown = self.buffer.get(..rubbish.min(room)).unwrap_or_default();
            self.skipped_first.extend_from_slice(shown);
            self.skipped += rubbish;
            self.buffer.advance(rubbish);
        }
        if self.skipped > MAX_SKIPPED {
            return Err(Error::NotBaichuan {
                skipped: MAX_SKIPPED,
                bytes: hex(&self.skipped_first),
            });
        }
        Ok(found.is_some())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::{Class, Tag};

    fn header(class: Class, extension_len: Option<u32>, body_len: u32) -> Header {
        Header {
            magic: MAGIC,
            id: 3,
            body_len,
            tag: Tag::default(),
            status: 200,
            class,
            extension_len,
        }
    }

    fn encoded(header: &Header) -> Vec<u8> {
        let mut out = Vec::new();
        header.encode(&mut out);
        out
    }

    #[test]
    fn an_extension_longer_than_its_body_ends_the_conversation() {
        let mut decoder = FrameDecoder::default();
        decoder.push(&encoded(&header(Class::DEVICE, Some(5), 4)));
        assert!(matches!(decoder.poll(), Err(Error::Header { id: 3, .. })));
        decoder.push(b"more");
        assert!(decoder.poll().is_err());
    }

    #[test]
    fn an_endless_body_is_refused_before_it_comes() {
        let mut decoder = FrameDecoder::default();
        decoder.push(&encoded(&header(Class::DEVICE, Some(0), u32::MAX)));
        assert!(matches!(decoder.poll(), Err(Error::TooLarge { .. })));
    }

    #[test]
    fn a_body_behind_an_unknown_class_is_refused_and_none_is_read() {
        let mut decoder = FrameDecoder::default();
        decoder.push(&encoded(&header(Class(0x1234), None, 0)));
        assert_eq!(decoder.poll().unwrap().unwrap().header.class, Class(0x1234));
        decoder.push(&encoded(&header(Class(0x1234), None, 1)));
        assert!(decoder.poll().is_err());
    }

    #[test]
    fn rubbish_is_skipped_until_either_magic_but_not_for_ever() {
        let mut decoder = FrameDecoder::default();
        decoder.push(b"\xf0\xderubbish");
        assert_eq!(decoder.poll(), Ok(None));
        let device = Header {
            magic: DEVICE_MAGIC,
            ..header(Class::DEVICE, Some(0), 0)
        };
        decoder.push(&encoded(&device));
        assert_eq!(decoder.poll().unwrap().unwrap().header, device);
        assert_eq!(decoder.resyncs(), 1);
        decoder.push(&vec![0; MAX_SKIPPED]);
        assert_eq!(decoder.poll(), Ok(None));
        decoder.push(&[0; 4]);
        assert!(matches!(decoder.poll(), Err(Error::NotBaichuan { .. })));
    }

    #[test]
    fn the_odd_class_and_file_replay_have_long_headers() {
        let mut odd = encoded(&header(Class::ODD, Some(77), 0));
        odd.extend([0xaa; 3]);
        assert_eq!(Header::decode(&odd).unwrap().extension_len, Some(0));
        let replay = Header {
            id: 5,
            ..header(Class::LEGACY, Some(0), 0)
        };
        assert_eq!(Header::decode(&encoded(&replay)), Some(replay));
    }
}
