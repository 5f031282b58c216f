//! The parser against streams cut anywhere.
#![allow(clippy::unwrap_used)]

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use proto_rtsp::{
    Error, Input, MAX_HEAD, MAX_HEADERS, Method, Parser, Request, Response, Status, put_interleaved,
};

#[test]
fn what_cameras_and_players_bend_is_taken() {
    let stream = b"\r\n\nOPTIONS rtsp://h/a b RTSP/1.0\ncseq:1\nX-Long: a\n  b\n\n";
    let inputs = parse(stream, stream.len()).unwrap();
    let [Input::Request(request)] = inputs.as_slice() else {
        panic!("{inputs:?}");
    };
    assert_eq!(request.uri, "rtsp://h/a b");
    assert_eq!(request.headers.first("CSeq"), Some("1"));
    assert_eq!(request.headers.first("x-long"), Some("a b"));
}

#[test]
fn an_error_says_where_and_shows_the_bytes() {
    let stream = b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n\x16\x03\x01";
    let error = parse(stream, 5).unwrap_err();
    assert_eq!(
        error.to_string(),
        "malformed RTSP at byte 31 of the connection: neither a message nor an interleaved packet; first bytes 16 03 01"
    );
    assert_eq!(
        parse(b"GET / HTTP/1.1\r\n\r\n", 99),
        Err(Error::NotRtsp {
            version: "HTTP/1.1".into()
        })
    );
}

#[test]
fn caps_hold_however_the_bytes_come() {
    let endless = vec![b'A'; MAX_HEAD + 1];
    let mut many = b"OPTIONS * RTSP/1.0\r\n".to_vec();
    many.extend("a: b\r\n".repeat(MAX_HEADERS + 1).bytes());
    many.extend_from_slice(b"\r\n");
    for stream in [endless, many] {
        for size in [1, 100, stream.len()] {
            assert!(matches!(parse(&stream, size), Err(Error::TooLarge { .. })));
        }
    }
}

fn input() -> impl Strategy<Value = Input> {
    let body = || prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from);
    let header = || prop::collection::vec(("[A-Za-z-]{1,12}", "[ -~]{0,20}"), 0..5);
    let fill = |headers: Vec<(String, String)>| {
        headers
            .into_iter()
            .filter(|(name, _)| !name.eq_ignore_ascii_case("content-length"))
            .map(|(name, value)| (name, value.trim().to_owned()))
    };
    prop_oneof![
        (any::<u8>(), body())
            .prop_map(|(channel, payload)| Input::Interleaved { channel, payload }),
        ("[A-Z][A-Z_]{0,11}", "[!-~]{1,40}", header(), body()).prop_map(
            move |(method, uri, headers, body)| {
                let mut request = Request::new(Method::parse(&method), uri, 7);
                fill(headers).for_each(|(name, value)| request.headers.push(name, value));
                request.body = body;
                Input::Request(request)
            }
        ),
        (100u16..600, header(), body()).prop_map(move |(status, headers, body)| {
            let mut response = Response::new(Status(status));
            fill(headers).for_each(|(name, value)| response.headers.push(name, value));
            response.body = body;
            Input::Response(response)
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_stream_cut_anywhere_gives_the_same_inputs(
        inputs in prop::collection::vec(input(), 0..6),
        size in 1usize..300,
    ) {
        let mut stream = BytesMut::new();
        for input in &inputs {
            match input {
                Input::Request(request) => stream.extend_from_slice(&request.encode()),
                Input::Response(response) => stream.extend_from_slice(&response.encode()),
                Input::Interleaved { channel, payload } => put_interleaved(&mut stream, *channel, payload),
            }
        }
        let parsed = parse(&stream, size).unwrap();
        prop_assert_eq!(parsed.len(), inputs.len());
        for (parsed, sent) in parsed.into_iter().zip(inputs) {
            prop_assert_eq!(without_length(parsed), sent);
        }
    }
}

/// Content-Length is added on the way out.
fn without_length(mut input: Input) -> Input {
    let headers = match &mut input {
        Input::Request(request) => &mut request.headers,
        Input::Response(response) => &mut response.headers,
        Input::Interleaved { .. } => return input,
    };
    let mut kept = proto_rtsp::Headers::default();
    for (name, value) in headers.iter().filter(|(name, _)| *name != "Content-Length") {
        kept.push(name, value);
    }
    *headers = kept;
    input
}

fn parse(stream: &[u8], size: usize) -> Result<Vec<Input>, Error> {
    let mut parser = Parser::default();
    let mut inputs = Vec::new();
    for piece in stream.chunks(size) {
        parser.feed(piece);
        while let Some(input) = parser.poll()? {
            inputs.push(input);
        }
    }
    Ok(inputs)
}
