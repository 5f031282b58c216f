//! Reolink's protocol: messages, documents, media, datagrams, whole conversations.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proto_baichuan::bcudp::{
    CameraPort, Datagram, Method, Stream, StreamConfig, Timers, UdpCamera, UdpCameraConfig,
    UdpClient, UdpConfig,
};
use proto_baichuan::{
    Answer, Codec, Command, Device, DeviceConfig, DeviceEvent, Element, Encryption, FrameDecoder,
    MAX_BODY, MAX_DEPTH, MediaPacket, MediaParser, Notice, Role, Session, SessionConfig,
    SessionEvent, StreamKind,
};

/// A stream of frames is the same, and so is its error, however it is cut; the first byte says how.
pub fn baichuan_frames(data: &[u8]) {
    let Some((&cut, stream)) = data.split_first() else {
        return;
    };
    let read = |piece: usize| {
        let mut decoder = FrameDecoder::default();
        let mut frames = Vec::new();
        for bytes in stream.chunks(piece) {
            decoder.push(bytes);
            loop {
                match decoder.poll() {
                    Ok(Some(frame)) => frames.push(frame),
                    Ok(None) => break,
                    Err(error) => return (frames, Some(error)),
                }
            }
        }
        (frames, None)
    };
    let (frames, error) = read(stream.len().max(1));
    let (pieces, piece_error) = read(usize::from(cut).max(1));
    assert_eq!(frames, pieces);
    assert_eq!(error.is_some(), piece_error.is_some());
    for frame in frames {
        assert!(frame.payload.len() + frame.extension.len() <= MAX_BODY);
        for role in [Role::Client, Role::Device] {
            let mut codec = Codec::new(role);
            codec.set_encryption(Encryption::FullAes, "9E6D1FCB9E69846D", "123456");
            if let Ok(message) = codec.decode(frame.clone()) {
                let _ = Notice::read(&message);
                if let Some(command) = Command::read(&message) {
                    let _ = Answer::read(&command, &message);
                    let _ = command.to_payload();
                }
            }
        }
    }
}

/// Any bytes are a document that survives being written, or are refused.
pub fn baichuan_xml(data: &[u8]) {
    let Ok(element) = Element::parse(data) else {
        return;
    };
    assert!(depth(&element) <= MAX_DEPTH);
    let again = Element::parse(&element.to_document());
    assert_eq!(again.as_ref(), Ok(&element), "{data:?}");
}

fn depth(element: &Element) -> usize {
    1 + element.children.iter().map(depth).max().unwrap_or(0)
}

/// Media is the same however it is cut, and each packet survives being written.
pub fn baichuan_media(data: &[u8]) {
    let Some((&cut, stream)) = data.split_first() else {
        return;
    };
    let read = |piece: usize| {
        let mut parser = MediaParser::default();
        let mut packets = Vec::new();
        for bytes in stream.chunks(piece) {
            parser.push(bytes);
            packets.extend(std::iter::from_fn(|| parser.poll()));
        }
        packets
    };
    let packets = read(stream.len().max(1));
    assert_eq!(packets, read(usize::from(cut).max(1)));
    for packet in packets {
        let mut parser = MediaParser::default();
        parser.push(&packet.encode());
        assert_eq!(parser.poll(), Some(packet.clone()));
        if let MediaPacket::Adpcm { block, .. } = packet {
            let order = proto_baichuan::NibbleOrder::default();
            let _ = proto_baichuan::AdpcmState::decode(&block, order);
        }
    }
}

/// Any datagram is read and survives being written, or is refused.
pub fn baichuan_datagram(data: &[u8]) {
    if let Ok(Some(datagram)) = Datagram::decode(data) {
        let again = Datagram::decode(&datagram.encode()).expect("what was read can be written");
        // An acknowledgement's table is cut to what cameras bear.
        if !matches!(datagram, Datagram::Ack { .. }) {
            assert_eq!(again, Some(datagram));
        }
    }
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], 2015))
}

/// Operations on a stream: packets of any number, acknowledgements of anything, time. What comes out is in order and
/// once; nothing is due in the past for ever.
pub fn baichuan_stream(data: &[u8]) {
    let mut now = Instant::now();
    let mut stream = Stream::new(StreamConfig::CAMERA, 7, now);
    let mut next = 0_u32;
    for operation in data.chunks_exact(4) {
        let [kind, a, b, c] = *operation else { return };
        let number = u32::from_le_bytes([a, b, 0, 0]);
        match kind % 4 {
            0 => {
                let payload = Bytes::copy_from_slice(&number.to_le_bytes());
                if stream.handle_data(number, payload, now).is_err() {
                    return;
                }
            }
            1 => {
                let ack = proto_baichuan::bcudp::Ack {
                    contiguous: (b != 0xff).then_some(number),
                    rate: 0,
                    table: (0..c).map(|at| (a >> (at % 8)) & 1 == 1).collect(),
                };
                if stream.handle_ack(&ack, now).is_err() {
                    return;
                }
            }
            2 => {
                let _ = stream.send(&Bytes::from(vec![a; usize::from(b) * 16 + 1]));
            }
            _ => now += Duration::from_millis(u64::from(number)),
        }
        while let Some(bytes) = stream.poll_input() {
            let mut expected = next.to_le_bytes();
            expected[2..].fill(0);
            assert_eq!(bytes[..], expected, "out of order");
            next += 1;
        }
        let mut datagrams = 0;
        loop {
            match stream.poll_datagram(now) {
                Ok(Some(_)) => datagrams += 1,
                Ok(None) => break,
                Err(_) => return,
            }
            assert!(datagrams < 4096, "datagrams without end");
        }
        assert!(stream.poll_timeout() > now);
    }
}

/// Datagrams at a client that searches and at a camera that waits, each begun with a byte that says whose.
pub fn baichuan_udp(data: &[u8]) {
    let now = Instant::now();
    let config = UdpConfig {
        uid: "95270000ABCDEFGH".to_owned(),
        hellos: vec![address(9)],
        servers: vec![address(8)],
        method: Method::Relay,
        local: address(1),
        seed: 1,
        patience: Duration::from_secs(15),
    };
    let mut client = UdpClient::new(config, now);
    let mut camera = UdpCamera::new(
        UdpCameraConfig {
            uid: "95270000ABCDEFGH".to_owned(),
            timers: Timers::default(),
            first_did: 80,
        },
        now,
    );
    // Pieces are parted by a word that begins no datagram.
    for piece in data.split(|byte| *byte == 0xfe) {
        let Some((&whose, bytes)) = piece.split_first() else {
            continue;
        };
        match whose % 3 {
            0 => client.handle_datagram(address(whose), bytes, now),
            1 => camera.handle_datagram(CameraPort::Hello, address(whose), bytes, now),
            _ => camera.handle_datagram(CameraPort::Session, address(whose), bytes, now),
        }
        let mut sent = 0;
        while client.poll_transmit().is_some() || camera.poll_transmit().is_some() {
            sent += 1;
            assert!(sent < 1000, "datagrams without end");
        }
        while client.poll_event().is_some() || client.poll_input().is_some() {}
        while camera.poll_event().is_some() {}
    }
}

/// Bytes at a session and at a device, before and after a login that really took place; the first byte says to whom,
/// when, and how they are cut.
pub fn baichuan_conversation(data: &[u8]) {
    let Some((&how, bytes)) = data.split_first() else {
        return;
    };
    let now = Instant::now();
    let mut session = Session::new(SessionConfig::new("admin", "x"), now);
    let config = DeviceConfig::new("admin", "x", Encryption::Aes, "9E6D1FCB9E69846D");
    let mut device = Device::new(config, now);
    if how & 1 == 1 {
        for _ in 0..3 {
            while let Some(bytes) = session.poll_transmit() {
                device.handle_input(&bytes, now);
            }
            while let Some(bytes) = device.poll_transmit() {
                session.handle_input(&bytes, now);
            }
        }
        assert!(session.is_ready());
        let _ = session.start_stream(0, StreamKind::Main, now);
        let _ = session.snapshot(0, StreamKind::Main, now);
    }
    for piece in bytes.chunks(usize::from(how >> 2) + 1) {
        if how & 2 == 2 {
            session.handle_input(piece, now);
        } else {
            device.handle_input(piece, now);
        }
        while let Some(event) = session.poll_event() {
            if let SessionEvent::Push(message) = event {
                let _ = Notice::read(&message);
            }
        }
        while let Some(event) = device.poll_event() {
            if let DeviceEvent::Request(message) = event {
                let _ = Command::read(&message);
                let _ = device.respond(&message, 400, None, proto_baichuan::Payload::None);
            }
        }
        while session.poll_transmit().is_some() || device.poll_transmit().is_some() {}
    }
    session.handle_timeout(now + Duration::from_secs(20));
    device.handle_timeout(now + Duration::from_secs(120));
}
