//! A9 cameras: frames, messages, pictures, both sessions, HTTP, MQTT, DNS.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use proto_naxclow::bootstrap::{Reading, Request, read_reply};
use proto_naxclow::mqtt::{MqttSession, Packet, PacketDecoder};
use proto_naxclow::picture::MAX_PICTURE;
use proto_naxclow::recordings::Index;
use proto_naxclow::{
    BaseInfo, Channel, Client, ClientConfig, CloudConfig, CloudEvent, CloudSession, Command,
    Device, Frame, FrameDecoder, HEADER_LEN, Item, MAX_PAYLOAD, Media, Message, Object, Profile,
    Receiver, Style, dns,
};

/// However a stream is cut, the same frames come out, and each is written as it was read.
pub fn naxclow_frames(data: &[u8]) {
    let (&cut, data) = data.split_first().unwrap_or((&1, data));
    let read = |len: usize| {
        let mut decoder = FrameDecoder::default();
        let mut frames = Vec::new();
        let mut failed = false;
        for piece in data.chunks(len.max(1)) {
            decoder.feed(piece);
            loop {
                match decoder.poll() {
                    Ok(Some(frame)) => frames.push(frame),
                    Ok(None) => break,
                    Err(_) => {
                        failed = true;
                        break;
                    }
                }
            }
            assert!(decoder.pending() < HEADER_LEN + MAX_PAYLOAD);
        }
        (frames, failed)
    };
    let whole = read(data.len());
    assert_eq!(whole, read(usize::from(cut)));
    for frame in whole.0 {
        let bytes = frame.encode().expect("what was read can be written");
        assert_eq!(Frame::decode_datagram(&bytes), Ok(frame));
    }
}

/// What is read as JSON is written so that it is read as the same; messages and commands survive it too.
pub fn naxclow_json(data: &[u8]) {
    if let Ok(object) = Object::read(data) {
        for style in [Style::Spaced, Style::Compact] {
            if let Ok(again) = Object::read(object.write(style).as_bytes()) {
                assert_eq!(again, object);
            }
        }
        let _ = BaseInfo::read(&object);
        if let Ok(command) = Command::read(&object) {
            let _ = (command.content(), command.content_for("deadbeef"));
        }
    }
    if let Ok(message) = Message::read(data) {
        let written = message.object();
        let _ = Message::read(written.write(Style::Compact).as_bytes());
    }
}

/// Media packets in any order: memory stays bounded, every picture is a JPEG of a sane size.
pub fn naxclow_media(data: &[u8]) {
    let start = Instant::now();
    let mut receiver = Receiver::default();
    for (step, frame) in (0_u32..).zip(frames(data)) {
        let now = start + Duration::from_millis(17) * step;
        receiver.handle_frame(&frame, now);
        let _ = receiver.handle_timeout(now);
        while let Some(item) = receiver.poll_item() {
            if let Item::Picture(jpeg) = item {
                assert!(jpeg.starts_with(&[0xFF, 0xD8]) && jpeg.len() <= MAX_PICTURE);
            }
        }
    }
}

/// Frames behind a length of two bytes each: a header's fields, then its payload.
fn frames(data: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut rest = data;
    while let Some((&len, tail)) = rest.split_first_chunk::<2>() {
        let len = usize::from(u16::from_le_bytes(len) % 1100);
        let (piece, tail) = tail.split_at(len.min(tail.len()));
        rest = tail;
        let Some((header, payload)) = piece.split_first_chunk::<HEADER_LEN>() else {
            continue;
        };
        let mut header = *header;
        header[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        let bytes = [&header[..], payload].concat();
        frames.extend(Frame::decode_datagram(&bytes));
    }
    frames
}

/// Operations on a cloud's session, each behind its code and a length: it never panics, and closes once.
pub fn naxclow_session(data: &[u8]) {
    let start = Instant::now();
    let camera: SocketAddr = ([10, 0, 0, 2], 2000).into();
    let server: SocketAddr = ([10, 0, 0, 1], 6123).into();
    let config = CloudConfig::new(server, camera.ip(), Duration::from_secs(1));
    let mut session = CloudSession::new(config, start);
    let mut now = start;
    let mut closed = 0;
    each(data, |code, piece| {
        now += Duration::from_millis(u64::from(code));
        match code % 8 {
            0..=2 => drop(session.handle_input(Channel::Control, piece, now)),
            3 => drop(session.handle_input(Channel::Datagram(camera), piece, now)),
            4 => {
                let other = SocketAddr::from(([10, 0, 0, 3], u16::from(code)));
                drop(session.handle_input(Channel::Datagram(other), piece, now));
            }
            5 => drop(session.start(Media::BOTH, now)),
            6 => {
                session.stop();
                drop(session.command(&Command::SdStatus, now));
            }
            _ => now += Duration::from_secs(u64::from(code)),
        }
        if session.poll_timeout().is_some_and(|at| at <= now) {
            session.handle_timeout(now);
        }
        while session.poll_transmit().is_some() {}
        while let Some(event) = session.poll_event() {
            closed += u32::from(matches!(event, CloudEvent::Closed(_)));
        }
    });
    assert!(closed <= 1);
}

/// The same for a camera, in both modes, and for a client of it.
pub fn naxclow_device(data: &[u8]) {
    let (&mode, data) = data.split_first().unwrap_or((&0, data));
    let start = Instant::now();
    let (local, peer): (SocketAddr, SocketAddr) =
        (([10, 0, 0, 2], 2000).into(), ([10, 0, 0, 1], 6123).into());
    let uid = "0800c00128F8".parse().expect("a device code");
    let profile = Profile::ALL[usize::from(mode) % Profile::ALL.len()];
    let config = profile.config(uid, local, peer);
    let mut device = match mode & 0x80 {
        0 => Device::station(config),
        _ => Device::access_point(config, start),
    };
    let mut client = Client::new(ClientConfig::new(1_675_206_015), start);
    let mut now = start;
    each(data, |code, piece| {
        now += Duration::from_millis(u64::from(code));
        match code % 5 {
            0 => drop(device.handle_input(Channel::Control, piece, now)),
            1 => drop(device.handle_input(Channel::Datagram(peer), piece, now)),
            2 => {
                device.send_picture(piece, now);
            }
            3 => drop(client.handle_input(piece, now)),
            _ => now += Duration::from_secs(u64::from(code)),
        }
        device.handle_timeout(now);
        client.handle_timeout(now);
        while device.poll_transmit().is_some() {}
        while device.poll_event().is_some() {}
        while client.poll_transmit().is_some() {}
        while client.poll_event().is_some() {}
    });
}

/// Pieces of the data: a code, a length of two bytes, the bytes.
fn each(data: &[u8], mut act: impl FnMut(u8, &[u8])) {
    let mut rest = data;
    while let Some((&[code, low, high], tail)) = rest.split_first_chunk::<3>() {
        let len = usize::from(u16::from_le_bytes([low, high]) % 1200);
        let (piece, tail) = tail.split_at(len.min(tail.len()));
        rest = tail;
        act(code, piece);
    }
}

/// Requests and replies: what is taken is a prefix, and more bytes never take it back.
pub fn naxclow_bootstrap(data: &[u8]) {
    if let Ok(Some((request, used))) = Request::read(data) {
        assert!(used <= data.len());
        let again = Request::read(data.get(..used).expect("a prefix"));
        assert_eq!(again, Ok(Some((request.clone(), used))));
        let _ = request.device();
    }
    for reading in [Reading::Strict, Reading::Lenient] {
        let _ = read_reply(data, reading);
    }
}

/// However a stream is cut, the same packets come out; a session survives them all.
pub fn naxclow_mqtt(data: &[u8]) {
    let (&cut, data) = data.split_first().unwrap_or((&1, data));
    let read = |len: usize| {
        let mut decoder = PacketDecoder::default();
        let mut packets: Vec<Packet> = Vec::new();
        for piece in data.chunks(len.max(1)) {
            decoder.feed(piece);
            while let Ok(Some(packet)) = decoder.poll() {
                packets.push(packet);
            }
        }
        packets
    };
    let whole = read(data.len());
    assert_eq!(whole, read(usize::from(cut)));
    let start = Instant::now();
    let mut session = MqttSession::new(start);
    session.handle_input(data, start);
    while session.poll_transmit().is_some() {}
    while session.poll_event().is_some() {}
}

/// An answer carries the question's number, and is hardly longer than the question.
pub fn naxclow_dns(data: &[u8]) {
    if let Some(answer) = dns::answer(data, [192, 168, 1, 2].into()) {
        assert_eq!(answer.bytes.get(..2), data.get(..2));
        assert!(answer.bytes.len() <= data.len() + 16);
        assert_eq!(answer.ours, dns::is_vendors(&answer.name));
    }
}

/// An index that is read is written so that it is read as the same.
pub fn naxclow_index(data: &[u8]) {
    if let Ok(index) = Index::read(data) {
        let minutes: Vec<_> = index.minutes().collect();
        assert!(minutes.len() <= 24 * 60);
        let again = Index::new(index.day, &minutes);
        assert_eq!(Index::read(again.text().as_bytes()).as_ref(), Ok(&again));
        assert_eq!(again.minutes().collect::<Vec<_>>(), minutes);
    }
}
