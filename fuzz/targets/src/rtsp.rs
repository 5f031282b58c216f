//! RTSP: what a peer may send to our server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use media::{Codec, Track, Tracks};
use proto_rtsp::{
    Authenticator, Description, Error, Event, Input, Method, Parser, Range, Response, RtpInfo,
    Server, ServerConfig, SessionField, Status, TrackStart, Transport, Uri, Verdict,
};

/// However a stream is cut, the same inputs come out, and messages written again read the same.
pub fn rtsp_parser(data: &[u8]) {
    let whole = parse(data, data.len().max(1));
    for size in [1, 3, 7, 64] {
        assert_eq!(parse(data, size), whole, "in pieces of {size}");
    }
    for input in whole.0 {
        let again = match &input {
            Input::Request(request) => request.encode(),
            Input::Response(response) => response.encode(),
            Input::Interleaved { .. } => continue,
        };
        let (inputs, error) = parse(&again, again.len());
        assert_eq!(error, None);
        match (&input, inputs.as_slice()) {
            (Input::Request(a), [Input::Request(b)]) => {
                assert_eq!((&a.uri, &a.method, &a.body), (&b.uri, &b.method, &b.body));
            }
            (Input::Response(a), [Input::Response(b)]) => assert_eq!(a.body, b.body),
            other => panic!("{other:?}"),
        }
    }
}

/// A whole connection: every byte it answers is a response, and what it says keeps its order.
pub fn rtsp_server(data: &[u8]) {
    let Some((&mode, data)) = data.split_first() else {
        return;
    };
    let start = Instant::now();
    let mut config = ServerConfig::new("0123456789abcdef");
    config.allows_udp = mode & 1 != 0;
    config.has_fixed_channels = mode & 2 != 0;
    if mode & 4 != 0 {
        let users = vec![("admin".to_owned(), "secret".to_owned())];
        let authenticator = Authenticator::new("eyelet", users, [1; 32], start);
        config.authenticator = Some(Arc::new(authenticator));
    }
    let mut server = Server::new(config, start);
    let mut answers = Parser::default();
    let (mut requests, mut responses, mut is_closed, mut is_playing) = (0, 0, false, false);
    for (turn, piece) in data.chunks(usize::from(mode >> 3).max(1) * 8).enumerate() {
        let now = start + Duration::from_millis(turn as u64 * 100);
        server.handle_input(piece, now);
        while let Some(event) = server.poll_event() {
            assert!(!is_closed, "{event:?} after the end");
            match event {
                Event::DescribeWanted { path, .. } => {
                    requests += 1;
                    server.answer_describe(describe(&path), now);
                }
                Event::UdpWanted { track, .. } => {
                    assert!(track < 2 && mode & 1 != 0);
                    server.answer_udp(Ok((6_000, 6_001)), now);
                }
                Event::PlayWanted { tracks, .. } => {
                    assert!(!tracks.is_empty() && !is_playing);
                    let channels: Vec<u8> = tracks
                        .iter()
                        .filter_map(|t| t.transport.interleaved)
                        .flat_map(|(a, b)| [a, b])
                        .collect();
                    let mut distinct = channels.clone();
                    distinct.sort_unstable();
                    distinct.dedup();
                    assert_eq!(distinct.len(), channels.len(), "{channels:?}");
                    let starts = [TrackStart {
                        track: 0,
                        seq: 1,
                        rtptime: 2,
                    }];
                    is_playing = true;
                    server.answer_play(Ok(&starts), now);
                    assert!(!server.poll_transmit().is_none_or(|bytes| {
                        answers.feed(&bytes);
                        false
                    }));
                }
                Event::Paused => assert!(std::mem::take(&mut is_playing)),
                Event::Teardown => is_playing = false,
                Event::Rtcp { track, .. } => assert!(track < 2),
                Event::Closed(_) => is_closed = true,
            }
        }
        while let Some(bytes) = server.poll_transmit() {
            answers.feed(&bytes);
        }
        while let Some(input) = answers.poll().expect("we answer in RTSP") {
            let Input::Response(response) = input else {
                panic!("we only answer: {input:?}");
            };
            responses += 1;
            check(&response);
        }
    }
    assert!(is_closed || responses >= requests);
}

/// No header lets anyone in without the password, and none panics.
pub fn rtsp_auth(data: &[u8]) {
    let header = String::from_utf8_lossy(data);
    let now = Instant::now();
    let users = vec![("admin".to_owned(), "a password nobody guesses".to_owned())];
    let authenticator = Authenticator::new("eyelet", users, [1; 32], now);
    let uri = "rtsp://h/porch";
    let verdict = authenticator.verify(&Method::Play, uri, Some(&header), now);
    assert!(!matches!(verdict, Verdict::User(_)));
    let answer = proto_rtsp::answer_challenges([&*header], "admin", "x", &Method::Play, uri, "c");
    if let Some(answer) = answer {
        let _ = authenticator.verify(&Method::Play, uri, Some(&answer), now);
    }
}

/// Header values and addresses: what is read and written again reads the same.
pub fn rtsp_fields(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for transport in Transport::parse_all(&text) {
        let again = Transport::parse(&transport.to_string()).expect("what we wrote");
        let plain =
            |mode: &Option<String>| mode.as_ref().is_none_or(|m| !m.contains(['"', ';', '\\']));
        if plain(&transport.mode) {
            assert_eq!(again.client_port, transport.client_port);
            assert_eq!(again.interleaved, transport.interleaved);
            assert_eq!(again.lower, transport.lower);
        }
    }
    let field = SessionField::parse(&text);
    assert_eq!(SessionField::parse(&field.to_string()), field);
    if let Some(range) = Range::parse(&text) {
        assert!(Range::parse(&range.to_string()).is_some());
    }
    if let Some(uri) = Uri::parse(&text) {
        assert!(!uri.path.starts_with('/') && !uri.path.ends_with('/'));
        let url = text.into_owned();
        let (seq, rtptime) = (Some(1), None);
        assert!(
            RtpInfo { url, seq, rtptime }
                .to_string()
                .starts_with("url=")
        );
    }
}

fn parse(data: &[u8], size: usize) -> (Vec<Input>, Option<Error>) {
    let mut parser = Parser::default();
    let mut inputs = Vec::new();
    for piece in data.chunks(size) {
        parser.feed(piece);
        loop {
            match parser.poll() {
                Ok(Some(input)) => inputs.push(input),
                Ok(None) => break,
                // How many bytes are shown depends on how many came.
                Err(Error::Malformed {
                    offset, problem, ..
                }) => {
                    let bytes = String::new();
                    return (
                        inputs,
                        Some(Error::Malformed {
                            offset,
                            problem,
                            bytes,
                        }),
                    );
                }
                Err(error) => return (inputs, Some(error)),
            }
        }
    }
    (inputs, None)
}

fn describe(path: &str) -> Result<Description, Status> {
    if path.is_empty() {
        return Err(Status::NOT_FOUND);
    }
    let tracks = vec![Track::jpeg(None), Track::g711(Codec::Pcmu, 8_000, 1)];
    Ok(Description {
        name: path.to_owned(),
        tracks: Tracks::new(tracks),
        ssrcs: vec![1, 2],
    })
}

fn check(response: &Response) {
    assert_ne!(response.status.reason(), "Unknown");
    if response.status == Status::UNAUTHORIZED {
        assert_eq!(response.headers.all("WWW-Authenticate").count(), 3);
    }
}
