//! The agent's protocol: join codes, messages in any pieces, signs of life.

use std::time::{Duration, Instant};

use proto_tunnel::{
    Beat, DatagramDecoder, Endpoint, FIRST_CREDIT, HEADER_LEN, Heartbeat, HeartbeatConfig,
    JoinCode, MAX_MESSAGE, MAX_WINDOW, Message, MessageDecoder, Read, ResumeConfig, Room,
    STREAM_HEADER, Side, Streams, StreamsConfig, Wanted, Write, put_datagram,
};

/// Any text is a join code that prints itself again, or is refused.
pub fn tunnel_join(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(code) = text.parse::<JoinCode>() {
        let again: JoinCode = code.to_string().parse().expect("a printed code is a code");
        assert_eq!(again, code);
    }
}

/// Any body is a message that survives encoding, or is refused.
pub fn tunnel_message(data: &[u8]) {
    if let Ok(message) = Message::decode(data) {
        let bytes = message.encode().expect("what was read can be written");
        assert!(bytes.len() <= HEADER_LEN + MAX_MESSAGE);
        let body = bytes.get(HEADER_LEN..).expect("a header comes first");
        assert_eq!(Message::decode(body).as_ref(), Ok(&message));
    }
}

/// A stream gives the same messages, the same error and the same rest however it is cut; the first byte says how.
pub fn tunnel_decoder(data: &[u8]) {
    let Some((&cut, stream)) = data.split_first() else {
        return;
    };
    let whole = read(stream, stream.len().max(1));
    let pieces = read(stream, usize::from(cut).max(1));
    assert_eq!(whole, pieces);
}

/// Datagrams on a stream are the same however it is cut, and are written as they were read.
pub fn tunnel_datagrams(data: &[u8]) {
    let Some((&cut, stream)) = data.split_first() else {
        return;
    };
    let read = |piece: usize| {
        let (mut decoder, mut seen) = (DatagramDecoder::new(), Vec::new());
        for mut bytes in stream.chunks(piece.max(1)) {
            loop {
                match decoder.decode(&mut bytes) {
                    Ok(Some(datagram)) => seen.push(datagram),
                    Ok(None) => break,
                    Err(error) => return (seen, Some(error)),
                }
            }
        }
        (seen, None)
    };
    let (seen, error) = read(stream.len());
    assert_eq!(read(usize::from(cut)), (seen.clone(), error));
    let mut again = Vec::new();
    for (peer, payload) in &seen {
        put_datagram(&mut again, *peer, payload).expect("what was read can be written");
    }
    assert!(stream.starts_with(&again));
}

/// Messages, and how the stream ended.
fn read(stream: &[u8], piece: usize) -> (Vec<Message>, Option<proto_tunnel::Error>) {
    let mut decoder = MessageDecoder::new();
    let mut messages = Vec::new();
    for mut bytes in stream.chunks(piece) {
        loop {
            let before = bytes.len();
            match decoder.decode(&mut bytes) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => {
                    assert!(bytes.is_empty(), "an incomplete message takes all there is");
                    break;
                }
                Err(error) => return (messages, Some(error)),
            }
            assert!(bytes.len() < before, "every message takes bytes");
        }
    }
    (messages, None)
}

/// Pongs of any stamp and traffic of any amount: it neither panics nor asks to be woken in the past, and a peer that
/// sends nothing is dead after the pings it was given.
pub fn tunnel_heartbeat(data: &[u8]) {
    let start = Instant::now();
    let config = HeartbeatConfig::default();
    let mut heartbeat = Heartbeat::new(config, start);
    let (mut now, mut received, mut silent) = (start, 0_u64, 0_u32);
    for operation in data.chunks_exact(4) {
        let [kind, a, b, c] = *operation else {
            return;
        };
        let number = u64::from(a) << 16 | u64::from(b) << 8 | u64::from(c);
        match kind % 4 {
            0 => now += Duration::from_millis(number % 30_000),
            1 => {
                received = received.saturating_add(number + 1);
                silent = 0;
            }
            2 => {
                heartbeat.handle_pong(number << (kind % 40), now);
                silent = 0;
            }
            _ => now = now.max(heartbeat.poll_timeout()),
        }
        match heartbeat.handle_timeout(received, number, now) {
            Beat::Wait => assert!(heartbeat.poll_timeout() > now),
            Beat::Ping(_) => {
                silent += 1;
                assert!(silent <= config.missed + 1);
                assert!(heartbeat.poll_timeout() > now);
            }
            Beat::Dead => return,
        }
        assert!(
            heartbeat
                .round_trip()
                .is_none_or(|trip| trip <= now - start)
        );
    }
}

/// Whatever a connection brings, in any pieces: the pipe takes it or says what is wrong, holds no more than its window,
/// and never believes to be further than the bytes that came. The first byte says how the rest is cut.
pub fn tunnel_pipe(data: &[u8]) {
    let Some((&cut, stream)) = data.split_first() else {
        return;
    };
    let now = Instant::now();
    let mut pipe = Endpoint::new(ResumeConfig::default(), now);
    assert!(pipe.attach(1, now).is_err(), "nothing was sent yet");
    pipe.attach(0, now).expect("a fresh pipe begins at 0");
    assert_eq!(pipe.write(&[7; 100]), 100);
    while let Some(pieces) = pipe.poll_transmit() {
        let n = pieces.concat().len();
        pipe.transmitted(n);
    }
    let mut read = 0;
    for (n, piece) in stream.chunks(usize::from(cut).max(1)).enumerate() {
        if pipe.handle_input(piece, now).is_err() {
            return;
        }
        assert!(pipe.readable() <= stream.len().min(MAX_WINDOW));
        assert!(pipe.room() >= ResumeConfig::default().window - 100);
        if n % 3 == 0 {
            read += pipe.read(&mut [0; 50], now);
            let end = u64::from(pipe.read_end(now));
            assert_eq!(pipe.consumed(), read as u64 + end);
        }
        while let Some(pieces) = pipe.poll_transmit() {
            let n = pieces.concat().len();
            pipe.transmitted(n);
        }
    }
    let consumed = pipe.consumed();
    pipe.detach(now);
    assert_eq!((pipe.readable(), pipe.consumed()), (0, consumed));
}

/// Whatever frames come, in any pieces: streams are opened up to their cap, hold no more than they granted, and give the
/// same bytes however the line is cut. The first byte says how.
pub fn tunnel_streams(data: &[u8]) {
    let Some((&cut, line)) = data.split_first() else {
        return;
    };
    assert_eq!(
        hear(line, usize::from(cut).max(1)),
        hear(line, line.len().max(1))
    );
}

/// What was said on each stream, until the line broke the protocol.
fn hear(line: &[u8], piece: usize) -> (Vec<(u32, Vec<u8>)>, Option<proto_tunnel::Error>) {
    const MAX_STREAMS: usize = 4;
    let now = Instant::now();
    let config = StreamsConfig {
        max_streams: MAX_STREAMS,
        window_growth: 0,
    };
    let mut streams = Streams::<()>::new(Side::Called, config);
    let ours = streams.open(now).expect("there is room");
    assert!(streams.poll_due().is_some(), "the peer hears of it");
    let mut all = vec![ours];
    let mut failure = None;
    'line: for mut bytes in line.chunks(piece) {
        while !bytes.is_empty() {
            let taken = match streams.wants() {
                Wanted::Header(due) => {
                    let (head, rest) = bytes.split_at(due.min(bytes.len()));
                    bytes = rest;
                    streams.handle_header(head, now)
                }
                Wanted::Payload(due) => {
                    let mut buffer = streams.buffer();
                    let len = due.min(bytes.len()).min(buffer.len());
                    assert!(len > 0, "payload finds room");
                    let (payload, rest) = bytes.split_at(len);
                    bytes = rest;
                    if let Some(room) = buffer.get_mut(..len) {
                        room.copy_from_slice(payload);
                    }
                    streams.handle_payload(buffer, len);
                    Ok(())
                }
            };
            if let Err(error) = taken {
                failure = Some(error);
                break 'line;
            }
        }
    }
    while let Some(id) = streams.accept() {
        all.push(id);
    }
    assert!(streams.len() <= MAX_STREAMS + 1);
    let room = Room {
        busy: 100,
        quiet: 100,
        piece: 50,
        acknowledged: 0,
        written: 0,
    };
    let mut heard = Vec::new();
    for id in all {
        let mut said = Vec::new();
        while let Read::Bytes(chunk) = streams.read(id, now, None) {
            said.extend_from_slice(chunk.bytes());
            streams.reuse(chunk);
        }
        assert!(said.len() <= FIRST_CREDIT);
        if let Write::Put(head, n) = streams.write(id, 1_000, &room) {
            assert!(head.len() == STREAM_HEADER && (1..=50).contains(&n));
        }
        streams.close(id);
        heard.push((id, said));
    }
    assert!(streams.is_empty());
    while streams.poll_due().is_some() {}
    (heard, failure)
}
