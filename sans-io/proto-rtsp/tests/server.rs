//! Conversations with real players' requests and with rude ones.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use media::{Codec, Track, Tracks};
use proto_rtsp::{
    Authenticator, Description, Event, Input, Lower, Method, Parser, Reason, Request, Response,
    Server, ServerConfig, Status, TrackStart, answer_challenges,
};

const URI: &str = "rtsp://127.0.0.1:8554/porch";
const SESSION: &str = "0123456789abcdef";

#[test]
fn ffmpeg_and_gstreamer_come_from_options_to_teardown() {
    // Recorded on loopback; see fuzz/README.md. Both first propose UDP, are refused, and take TCP.
    for recorded in ["ffmpeg_any", "gst_any"] {
        let path = format!(
            "{}/../../fuzz/corpus/rtsp_parser/{recorded}",
            env!("CARGO_MANIFEST_DIR")
        );
        let mut peer = Peer::new(|config| config.allows_udp = false);
        peer.send(&std::fs::read(path).unwrap());
        let statuses: Vec<u16> = peer.responses.iter().map(|r| r.status.0).collect();
        let refused = statuses.iter().filter(|&&status| status == 461).count();
        assert_eq!(refused, if recorded == "gst_any" { 2 } else { 1 });
        assert!(
            statuses.iter().all(|status| [200, 461].contains(status)),
            "{statuses:?}"
        );
        let plays = [Event::Teardown];
        assert_eq!(peer.events, plays);
        assert_eq!(peer.played, [(0, (0, 1)), (1, (2, 3))]);
    }
}

#[test]
fn play_tells_where_each_track_begins() {
    let mut peer = Peer::new(|_| ());
    peer.set_up_both();
    let response = peer.ask(&Request::new(Method::Play, format!("{URI}/"), 4));
    assert_eq!(response.status, Status::OK);
    assert_eq!(
        response.headers.first("RTP-Info"),
        Some(
            "url=rtsp://127.0.0.1:8554/porch/trackID=0;seq=100;rtptime=9000,url=rtsp://127.0.0.1:8554/porch/trackID=1;seq=100;rtptime=9000"
        )
    );
    assert_eq!(response.headers.first("Session"), Some(SESSION));
    assert!(peer.server.is_playing());
}

#[test]
fn describe_answers_with_sdp_and_a_base_without_login_and_query() {
    let mut peer = Peer::new(|_| ());
    let uri = "rtsp://u:p@127.0.0.1:8554/porch?start=live";
    let response = peer.ask(&Request::new(Method::Describe, uri, 1));
    assert_eq!(
        response.headers.first("Content-Base"),
        Some("rtsp://127.0.0.1:8554/porch/")
    );
    assert_eq!(
        response.headers.first("Content-Type"),
        Some("application/sdp")
    );
    assert_eq!(
        std::str::from_utf8(&response.body).unwrap(),
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=porch\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=tool:eyelet\r\na=control:*\r\na=range:npt=now-\r\n\
         m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1; profile-level-id=42C01E; sprop-parameter-sets=Z0LAHg==,aM4=\r\n\
         a=framesize:96 640-360\r\na=control:trackID=0\r\na=recvonly\r\n\
         m=audio 0 RTP/AVP 97\r\na=rtpmap:97 mpeg4-generic/48000/2\r\na=fmtp:97 streamtype=5; profile-level-id=1; mode=AAC-hbr; sizelength=13; indexlength=3; indexdeltalength=3; config=1190\r\n\
         a=control:trackID=1\r\na=recvonly\r\n"
    );
}

#[test]
fn requests_out_of_order_are_refused_by_number_and_the_connection_goes_on() {
    let mut peer = Peer::new(|_| ());
    let status = |peer: &mut Peer, request: Request| peer.ask(&request).status;
    let tcp = "RTP/AVP/TCP;unicast;interleaved=0-1";
    let track = format!("{URI}/trackID=0");
    let setup = |uri: &str, transport: &str| {
        Request::new(Method::Setup, uri, 2).header("Transport", transport)
    };
    assert_eq!(status(&mut peer, Request::new(Method::Play, URI, 1)).0, 455);
    assert_eq!(
        status(&mut peer, Request::new(Method::Pause, URI, 1)).0,
        455
    );
    assert_eq!(status(&mut peer, setup(URI, tcp)).0, 459);
    assert_eq!(
        status(&mut peer, setup(&format!("{URI}/trackID=7"), tcp)).0,
        404
    );
    assert_eq!(status(&mut peer, setup(&track, "RAW/RAW/UDP")).0, 461);
    assert_eq!(status(&mut peer, setup(&track, "RTP/AVP;multicast")).0, 461);
    assert_eq!(
        status(&mut peer, setup("rtsp://h/attic/trackID=0", tcp)).0,
        404
    );
    assert_eq!(
        status(&mut peer, Request::new(Method::Record, URI, 3)).0,
        405
    );
    assert_eq!(
        status(
            &mut peer,
            Request::new(Method::Other("BREW".into()), URI, 3)
        )
        .0,
        501
    );
    let stranger = Request::new(Method::Play, URI, 4).header("Session", "beef");
    assert_eq!(status(&mut peer, stranger).0, 454);
    let onvif = Request::new(Method::Describe, URI, 5).header("Require", "onvif-replay");
    assert_eq!(status(&mut peer, onvif).0, 551);
    let text = Request::new(Method::Describe, URI, 5).header("Accept", "text/plain");
    assert_eq!(status(&mut peer, text).0, 406);
    peer.send(b"OPTIONS * RTSP/1.0\r\n\r\n");
    assert_eq!(peer.responses.pop().unwrap().status.0, 400);
    assert_eq!(status(&mut peer, setup(&track, tcp)).0, 200);
    assert_eq!(status(&mut peer, Request::new(Method::Play, URI, 6)).0, 200);
    assert_eq!(status(&mut peer, setup(&track, tcp)).0, 455);
    assert_eq!(
        status(&mut peer, Request::new(Method::GetParameter, URI, 7)).0,
        200
    );
    assert_eq!(
        status(&mut peer, Request::new(Method::Pause, URI, 8)).0,
        200
    );
    assert_eq!(status(&mut peer, Request::new(Method::Play, URI, 9)).0, 200);
    assert_eq!(
        status(&mut peer, Request::new(Method::Teardown, URI, 10)).0,
        200
    );
    assert_eq!(peer.events, [Event::Paused, Event::Teardown]);
}

#[test]
fn a_playing_session_may_describe_its_own_stream_and_no_other() {
    let mut peer = Peer::new(|_| ());
    peer.set_up_both();
    peer.ask(&Request::new(Method::Play, URI, 4));
    let mut describe = |uri: &str| peer.ask(&Request::new(Method::Describe, uri, 5)).status.0;
    assert_eq!(describe("rtsp://127.0.0.1:8554/attic"), 455);
    assert_eq!(describe(URI), 200);
    assert!(peer.server.is_playing());
    assert_eq!(peer.events, []);
    peer.ask(&Request::new(Method::Pause, URI, 6));
    let attic = Request::new(Method::Describe, "rtsp://127.0.0.1:8554/attic", 7);
    assert_eq!(peer.ask(&attic).status.0, 404);
}

#[test]
fn channels_are_the_tracks_own_unless_the_player_may_choose() {
    for (is_fixed, expected) in [(true, "2-3"), (false, "8-9")] {
        let mut peer = Peer::new(|config| config.has_fixed_channels = is_fixed);
        let setup = Request::new(Method::Setup, format!("{URI}/trackID=1"), 1)
            .header("Transport", "RTP/AVP/TCP;unicast;interleaved=8-9");
        let response = peer.ask(&setup);
        let transport = response.headers.first("Transport").unwrap();
        assert!(
            transport.contains(&format!("interleaved={expected}")),
            "{transport}"
        );
        assert!(transport.ends_with(";ssrc=0000000B"), "{transport}");
    }
}

#[test]
fn udp_is_agreed_with_ports_of_both_sides_and_ends_without_a_sign_of_life() {
    let mut peer = Peer::new(|_| ());
    let setup = Request::new(Method::Setup, format!("{URI}/trackID=0"), 1)
        .header("Transport", "RTP/AVP;unicast;client_port=5000-5001");
    let response = peer.ask(&setup);
    let transport = response.headers.first("Transport").unwrap();
    assert!(
        transport.contains("client_port=5000-5001;server_port=6000-6001"),
        "{transport}"
    );
    peer.ask(&Request::new(Method::Play, URI, 2));
    peer.now += Duration::from_secs(50);
    peer.server.touch(peer.now);
    peer.now += Duration::from_secs(69);
    peer.server.handle_timeout(peer.now);
    assert_eq!(peer.server.poll_event(), None);
    peer.now = peer.server.poll_timeout().unwrap();
    peer.server.handle_timeout(peer.now);
    assert_eq!(peer.server.poll_event(), Some(Event::Teardown));
    assert_eq!(
        peer.server.poll_event(),
        Some(Event::Closed(Reason::TimedOut))
    );
}

#[test]
fn a_connection_that_drips_bytes_is_closed_in_half_a_minute() {
    let mut peer = Peer::new(|_| ());
    for _ in 0..29 {
        peer.now += Duration::from_secs(1);
        peer.send(b"O");
        peer.server.handle_timeout(peer.now);
    }
    assert_eq!(peer.events, []);
    peer.now += Duration::from_secs(1);
    peer.server.handle_timeout(peer.now);
    peer.send(b"O");
    assert_eq!(peer.events, [Event::Closed(Reason::TimedOut)]);
}

#[test]
fn a_login_is_asked_for_and_five_wrong_ones_close_the_connection() {
    let mut peer = Peer::new(with_login);
    assert_eq!(
        peer.ask(&Request::new(Method::Options, URI, 1)).status.0,
        200
    );
    let asked = peer.ask(&Request::new(Method::Describe, URI, 2));
    assert_eq!(asked.status, Status::UNAUTHORIZED);
    let challenges: Vec<&str> = asked.headers.all("WWW-Authenticate").collect();
    assert!(challenges[0].contains("SHA-256") && challenges[2].starts_with("Basic"));
    let login = |password| {
        let challenges = challenges.iter().copied();
        let answer = answer_challenges(challenges, "admin", password, &Method::Describe, URI, "c");
        Request::new(Method::Describe, URI, 3).header("Authorization", answer.unwrap())
    };
    for _ in 0..4 {
        assert_eq!(peer.ask(&login("wrong")).status.0, 401);
    }
    assert_eq!(peer.ask(&login("secret")).status.0, 200);
    assert_eq!(peer.server.user(), Some("admin"));

    let mut guesser = Peer::new(with_login);
    for _ in 0..5 {
        assert_eq!(guesser.ask(&login("wrong")).status.0, 401);
    }
    assert_eq!(guesser.events, [Event::Closed(Reason::WrongLogin)]);
}

#[test]
fn junk_and_other_protocols_are_refused_and_closed() {
    for (bytes, status) in [
        (b"\x16\x03\x01\x02\x00".as_slice(), 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 505),
        (&[b'A'; 17_000], 400),
        (b"OPTIONS * RTSP/1.0\r\nContent-Length: 70000\r\n\r\n", 400),
    ] {
        let mut peer = Peer::new(|_| ());
        peer.send(bytes);
        assert_eq!(peer.responses.pop().unwrap().status.0, status);
        assert!(matches!(
            peer.events[..],
            [Event::Closed(Reason::Malformed(_))]
        ));
        peer.send(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n");
        assert!(peer.responses.is_empty());
    }
}

#[test]
fn a_cseq_cannot_smuggle_a_header_into_the_answer() {
    let mut peer = Peer::new(|_| ());
    peer.send(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\x0bSet-Cookie: x\r\n\r\n");
    let response = peer.responses.pop().unwrap();
    assert_eq!(response.headers.first("Set-Cookie"), None);
    assert_eq!(response.headers.first("CSeq"), Some("1 Set-Cookie: x"));
}

#[test]
fn an_answer_of_the_players_receiver_finds_its_track() {
    let mut peer = Peer::new(|_| ());
    peer.set_up_both();
    peer.ask(&Request::new(Method::Play, URI, 4));
    peer.send(b"$\x03\x00\x04\x80\xc9\x00\x00$\x09\x00\x01x");
    let payload = Bytes::from_static(b"\x80\xc9\x00\x00");
    assert_eq!(peer.events, [Event::Rtcp { track: 1, payload }]);
}

fn with_login(config: &mut ServerConfig) {
    let users = vec![("admin".to_owned(), "secret".to_owned())];
    let authenticator = Authenticator::new("eyelet", users, [7; 32], Instant::now());
    config.authenticator = Some(Arc::new(authenticator));
}

/// A player, the network and the stream's owner in one.
struct Peer {
    server: Server,
    parser: Parser,
    now: Instant,
    responses: Vec<Response>,
    /// Events that ask nothing.
    events: Vec<Event>,
    played: Vec<(usize, (u8, u8))>,
}

impl Peer {
    fn new(configure: impl FnOnce(&mut ServerConfig)) -> Self {
        let now = Instant::now();
        let mut config = ServerConfig::new(SESSION);
        configure(&mut config);
        Self {
            server: Server::new(config, now),
            parser: Parser::default(),
            now,
            responses: Vec::new(),
            events: Vec::new(),
            played: Vec::new(),
        }
    }

    fn set_up_both(&mut self) {
        for track in 0..2 {
            let uri = format!("{URI}/trackID={track}");
            let setup = Request::new(Method::Setup, uri, 2).header("Transport", "RTP/AVP/TCP");
            assert_eq!(self.ask(&setup).status, Status::OK);
        }
    }

    fn ask(&mut self, request: &Request) -> Response {
        self.send(&request.encode());
        self.responses.pop().unwrap()
    }

    fn send(&mut self, bytes: &[u8]) {
        self.server.handle_input(bytes, self.now);
        while let Some(event) = self.server.poll_event() {
            match event {
                Event::DescribeWanted { path, .. } if path != "porch" => {
                    self.server
                        .answer_describe(Err(Status::NOT_FOUND), self.now);
                }
                Event::DescribeWanted { path, .. } => {
                    let description = Description {
                        name: path,
                        tracks: tracks(),
                        ssrcs: vec![10, 11],
                    };
                    self.server.answer_describe(Ok(description), self.now);
                }
                Event::UdpWanted { .. } => self.server.answer_udp(Ok((6000, 6001)), self.now),
                Event::PlayWanted { tracks, .. } => {
                    let starts = tracks.iter().map(|t| TrackStart {
                        track: t.track,
                        seq: 100,
                        rtptime: 9000,
                    });
                    let starts: Vec<TrackStart> = starts.collect();
                    let tcp = tracks.iter().filter(|t| t.transport.lower == Lower::Tcp);
                    self.played
                        .extend(tcp.map(|t| (t.track, t.transport.interleaved.unwrap())));
                    self.server.answer_play(Ok(&starts), self.now);
                }
                other => self.events.push(other),
            }
        }
        while let Some(bytes) = self.server.poll_transmit() {
            self.parser.feed(&bytes);
        }
        while let Some(Input::Response(response)) = self.parser.poll().unwrap() {
            self.responses.push(response);
        }
    }
}

fn tracks() -> Tracks {
    let bytes = Bytes::from_static;
    Tracks::new(vec![
        Track::h264(bytes(b"\x67\x42\xc0\x1e"), bytes(b"\x68\xce"), 640, 360),
        Track {
            codec: Codec::Aac,
            ..Track::aac(bytes(b"\x11\x90"), 48_000, 2)
        },
    ])
}
