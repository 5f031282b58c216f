//! WS-Discovery as ONVIF uses it: one question to everybody, answers to the asker (WS-Discovery of April 2005, sections
//! 5.2 and 5.3; ONVIF Core, section 7.3).

use std::net::Ipv4Addr;

use crate::Uuid;
use crate::xml::{Token, Tokens};

/// Where devices listen.
pub const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);

/// And on which port.
pub const PORT: u16 = 3702;

/// Longest message that is read. Answers have one to four thousand bytes.
pub const MAX_MESSAGE: usize = 16 << 10;

/// Most devices of one answer: a device answers for itself, a proxy for its site.
pub const MAX_DEVICES: usize = 64;

/// Deepest nesting; an answer has six.
const MAX_DEPTH: usize = 16;

const SOAP: &str = "http://www.w3.org/2003/05/soap-envelope";
const ADDRESSING: &str = "http://schemas.xmlsoap.org/ws/2004/08/addressing";
const DISCOVERY: &str = "http://schemas.xmlsoap.org/ws/2005/04/discovery";
const ONVIF: &str = "http://www.onvif.org/ver10/network/wsdl";

/// The question for every video transmitter; `message` must be new for each question.
#[must_use]
pub fn probe(message: Uuid) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
         <s:Envelope xmlns:s=\"{SOAP}\" xmlns:a=\"{ADDRESSING}\" xmlns:d=\"{DISCOVERY}\" xmlns:n=\"{ONVIF}\">\
         <s:Header><a:Action>{DISCOVERY}/Probe</a:Action><a:MessageID>urn:uuid:{message}</a:MessageID>\
         <a:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</a:To></s:Header>\
         <s:Body><d:Probe><d:Types>n:NetworkVideoTransmitter</d:Types></d:Probe></s:Body></s:Envelope>"
    )
}

/// The message id of a question that a video transmitter answers; `None` for any other message.
#[must_use]
pub fn read_probe(message: &[u8]) -> Option<Uuid> {
    let (mut id, mut is_probe, mut is_for_us) = (None, false, true);
    for_each(message, |path, text| match path {
        [.., "Header", "MessageID"] => id = Uuid::from_urn(text),
        [.., "Body", "Probe"] => is_probe = true,
        [.., "Body", "Probe", "Types"] => {
            is_probe = true;
            // Without any type, everybody is meant.
            let mut types = text.split_whitespace().peekable();
            is_for_us = types.peek().is_none()
                || types.any(|name| name.ends_with("NetworkVideoTransmitter"));
        }
        _ => {}
    });
    id.filter(|_| is_probe && is_for_us)
}

/// The answer of one device, whose services are at `service`.
#[must_use]
pub fn probe_match(message: Uuid, asked: Uuid, device: Uuid, service: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
         <s:Envelope xmlns:s=\"{SOAP}\" xmlns:a=\"{ADDRESSING}\" xmlns:d=\"{DISCOVERY}\" xmlns:n=\"{ONVIF}\">\
         <s:Header><a:MessageID>urn:uuid:{message}</a:MessageID><a:RelatesTo>urn:uuid:{asked}</a:RelatesTo>\
         <a:To>{ADDRESSING}/role/anonymous</a:To><a:Action>{DISCOVERY}/ProbeMatches</a:Action></s:Header>\
         <s:Body><d:ProbeMatches><d:ProbeMatch>\
         <a:EndpointReference><a:Address>urn:uuid:{device}</a:Address></a:EndpointReference>\
         <d:Types>n:NetworkVideoTransmitter</d:Types><d:Scopes>onvif://www.onvif.org/type/video_encoder</d:Scopes>\
         <d:XAddrs>{service}</d:XAddrs><d:MetadataVersion>1</d:MetadataVersion>\
         </d:ProbeMatch></d:ProbeMatches></s:Body></s:Envelope>"
    )
}

/// Who answers, and to what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The question's message id, if the answer names it.
    pub asked: Option<Uuid>,
    /// The devices; those whose id is no UUID are left out. Where they are is not taken from here: anybody could name
    /// anybody's address. The datagram's own source tells.
    pub devices: Vec<Uuid>,
}

impl Answer {
    /// Reads an answer; of any other message nothing.
    #[must_use]
    pub fn read(message: &[u8]) -> Self {
        let mut answer = Self::default();
        for_each(message, |path, text| match path {
            [.., "Header", "RelatesTo"] => answer.asked = Uuid::from_urn(text),
            [.., "ProbeMatch", "EndpointReference", "Address"]
                if answer.devices.len() < MAX_DEVICES =>
            {
                answer.devices.extend(Uuid::from_urn(text));
            }
            _ => {}
        });
        answer
    }
}

/// Calls `f` with each text and the elements around it, outermost first, and with each element that opens and an empty
/// text.
fn for_each(message: &[u8], mut f: impl FnMut(&[&str], &str)) {
    let Some(message) = message.get(..message.len().min(MAX_MESSAGE)) else {
        return;
    };
    let text = String::from_utf8_lossy(message);
    let mut path: Vec<&str> = Vec::new();
    for token in Tokens::of(&text) {
        match token {
            Token::Open(name) => {
                if path.len() >= MAX_DEPTH {
                    return;
                }
                path.push(name);
                if name == "Probe" {
                    f(&path, "");
                }
            }
            Token::Close(name) => {
                if path.pop() != Some(name) {
                    return;
                }
            }
            Token::Text(text) => f(&path, text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(number: u8) -> Uuid {
        Uuid::new([number; 16])
    }

    #[test]
    fn a_question_is_understood_and_its_answer_too() {
        let asked = read_probe(probe(id(1)).as_bytes());
        assert_eq!(asked, Some(id(1)));
        let service = "http://192.168.1.10/onvif/device_service";
        let answer = probe_match(id(2), id(1), id(3), service);
        let read = Answer::read(answer.as_bytes());
        assert_eq!(read.asked, Some(id(1)));
        assert_eq!(read.devices, [id(3)]);
        assert_eq!(read_probe(answer.as_bytes()), None);
        assert_eq!(Answer::read(probe(id(1)).as_bytes()), Answer::default());
    }

    #[test]
    fn other_prefixes_types_and_addresses_are_read_as_devices_write_them() {
        // The shape of gSOAP's devices: other prefixes, white space, an address for replies that is no device's.
        let answer = r#"<?xml version="1.0" encoding="UTF-8"?>
<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://www.w3.org/2003/05/soap-envelope" xmlns:wsa="http://schemas.xmlsoap.org/ws/2004/08/addressing">
 <SOAP-ENV:Header>
  <wsa:MessageID>uuid:AAAAAAAA-0000-0000-0000-000000000001</wsa:MessageID>
  <wsa:RelatesTo>urn:uuid:01010101-0101-0101-0101-010101010101</wsa:RelatesTo>
  <wsa:ReplyTo SOAP-ENV:mustUnderstand="1"><wsa:Address>urn:uuid:09090909-0909-0909-0909-090909090909</wsa:Address></wsa:ReplyTo>
 </SOAP-ENV:Header>
 <SOAP-ENV:Body><wsdd:ProbeMatches>
  <wsdd:ProbeMatch><wsa:EndpointReference><wsa:Address>
    urn:uuid:03030303-0303-0303-0303-030303030303 </wsa:Address><wsa:ReferenceProperties/></wsa:EndpointReference>
   <wsdd:XAddrs>http://10.0.0.1/onvif</wsdd:XAddrs></wsdd:ProbeMatch>
  <wsdd:ProbeMatch><wsa:EndpointReference><wsa:Address>urn:other:thing</wsa:Address></wsa:EndpointReference></wsdd:ProbeMatch>
 </wsdd:ProbeMatches></SOAP-ENV:Body></SOAP-ENV:Envelope>"#;
        let read = Answer::read(answer.as_bytes());
        assert_eq!((read.asked, read.devices), (Some(id(1)), vec![id(3)]));
        let everybody = probe(id(1)).replace("n:NetworkVideoTransmitter", "");
        assert_eq!(read_probe(everybody.as_bytes()), Some(id(1)));
        let printers = probe(id(1)).replace("n:NetworkVideoTransmitter", "p:Printer");
        assert_eq!(read_probe(printers.as_bytes()), None);
        let no_types = probe(id(1))
            .replace("<d:Types>n:NetworkVideoTransmitter</d:Types>", "")
            .replace("<d:Probe></d:Probe>", "<d:Probe/>");
        assert_eq!(read_probe(no_types.as_bytes()), Some(id(1)));
    }

    #[test]
    fn floods_and_broken_nesting_stay_within_bounds() {
        let one = "<d:ProbeMatch><a:EndpointReference><a:Address>urn:uuid:03030303-0303-0303-0303-030303030303</a:Address></a:EndpointReference></d:ProbeMatch>";
        assert_eq!(
            Answer::read(one.repeat(99).as_bytes()).devices.len(),
            MAX_DEVICES
        );
        assert_eq!(
            Answer::read("<a>".repeat(5_000).as_bytes()),
            Answer::default()
        );
        assert_eq!(
            Answer::read(format!("<a></b>{one}").as_bytes()),
            Answer::default()
        );
        assert_eq!(Answer::read(b"\xff\xfe<"), Answer::default());
    }

    proptest! {
        #[test]
        fn any_damage_is_read_without_harm(at in 0_usize..1_000, with in any::<[u8; 3]>()) {
            let mut bytes = probe_match(id(2), id(1), id(3), "http://x/").into_bytes();
            for (at, byte) in (at % bytes.len()..).zip(with) {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
            prop_assert!(Answer::read(&bytes).devices.len() <= 1);
            let _ = read_probe(&bytes);
        }
    }
}
