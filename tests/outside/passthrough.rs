//! The camera itself on the gateway's RTSP port, under its own address and login.
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use eyelet_tests::camera::{Camera, Model};
use eyelet_tests::eyelet::{Agent, Gateway};
use eyelet_tests::players::{self, Transport};
use eyelet_tests::rtsp::Viewer;
use eyelet_tests::world::Host;
use eyelet_tests::{require, tools};

/// A gateway that lets through to what listens on `camera`, and the agent in between.
fn through_to(camera: u16, users: &str) -> (Gateway, Agent) {
    let gateway = Gateway::start_with_rtsp(
        &format!("passthrough: shed{users}"),
        &format!("cameras:\n  porch: \"rtsp://127.0.0.1:{camera}/stream1\"\n"),
    );
    let code = gateway.add_agent("shed");
    let target = format!("127.0.0.1:{camera}");
    let agent = Agent::join(&Host::here(), &code, &[&target]);
    gateway.wait_for_agent("shed");
    // Which camera the agent has is known once it has told.
    tools::wait_for("the agent's report", Duration::from_secs(10), || {
        gateway.agent("shed")?["report"]["camera"]
            .is_object()
            .then_some(())
    });
    (gateway, agent)
}

#[test]
fn the_cameras_own_url_plays_on_the_gateways_rtsp_port_with_its_own_digest_login() {
    require!(tools::has_camera(), "GStreamer's RTSP server and ffmpeg");
    let here = Host::here();
    let camera = Camera::start(&here, Model::h264());
    let (gateway, _agent) = through_to(camera.port(), ", users: { watcher: other }");
    let url = camera.url_at(&gateway.rtsp.to_string());
    assert!(
        url.ends_with("/cam/realmonitor?channel=1&subtype=0"),
        "{url}"
    );
    let play = |url: &str| players::ffmpeg(&here, Path::new("ffmpeg"), url, Transport::Tcp, 5);
    let played = play(&url);
    played.assert_clean(5, 25);

    let refused = play(&url.replace("secret@", "wrong@"));
    assert!(
        refused.complaints.contains("401 Unauthorized"),
        "{}",
        refused.complaints
    );
    // A camera of ours stays ours, with our users.
    let mut viewer = Viewer::connect(&here, gateway.rtsp, &gateway.url("porch")).unwrap();
    let answer = viewer.request("DESCRIBE", &[]).unwrap();
    assert_eq!(answer.status, 401, "{}", answer.head);
    assert!(
        answer.head.contains("eyelet"),
        "our own door: {}",
        answer.head
    );

    let stats = gateway.api("/agents/shed/stats");
    assert_eq!(stats["tunnel"]["status"], "connected");
    assert_eq!(stats["tunnel"]["server_port"], gateway.rtsp.port());
    assert_eq!(stats["tunnel"]["remote_port"], camera.port());
    assert_eq!(stats["camera"]["auto_detected"], true);
    assert_eq!(stats["camera"]["reachable"], true);
    assert!(stats["tunnel"]["bytes_transferred"].as_u64().unwrap() > 100_000);
    assert!(stats["bytes_sent"].as_u64().unwrap() > stats["bytes_received"].as_u64().unwrap());
}

#[test]
fn every_byte_arrives_as_it_was_sent_in_any_pieces_and_a_half_close_is_kept() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let camera = listener.local_addr().unwrap().port();
    let (gateway, _agent) = through_to(camera, "");
    let serve = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut heard = Vec::new();
        socket.read_to_end(&mut heard).unwrap();
        socket.write_all(b"RTSP/1.0 200 OK\r\n\r\nand ").unwrap();
        socket.write_all(&heard).unwrap();
        heard
    });
    // Odd on purpose: nothing of it may be tidied up.
    let said = b"OPTIONS   rtsp://CAM:8554/cam/realmonitor?channel=1&subtype=0 RTSP/1.0\r\ncseq:1\r\nX-Odd: \xff\xfe\r\n\r\n$\0\0\x04abcd";
    let mut viewer = TcpStream::connect(gateway.rtsp).unwrap();
    for piece in said.chunks(7) {
        viewer.write_all(piece).unwrap();
        viewer.flush().unwrap();
    }
    viewer.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    viewer.read_to_end(&mut answer).unwrap();
    assert_eq!(serve.join().unwrap(), said);
    assert_eq!(answer, [&b"RTSP/1.0 200 OK\r\n\r\nand "[..], said].concat());
}

#[test]
fn strangers_and_the_slow_do_not_get_through() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let camera = listener.local_addr().unwrap().port();
    let (gateway, _agent) = through_to(camera, "");
    // No request at all: our own server tells so.
    for junk in [
        &b"hello there\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\r\n",
        &[b'x'; 70_000],
    ] {
        let mut line = TcpStream::connect(gateway.rtsp).unwrap();
        line.set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let _ = line.write_all(junk);
        let mut answer = Vec::new();
        let _ = line.read_to_end(&mut answer);
    }
    assert!(listener.accept().is_err(), "junk reached the camera");
    let _: SocketAddr = gateway.rtsp;
}

#[test]
fn questions_that_name_nobody_are_answered_four_times_and_then_the_connection_is_ours() {
    let camera = TcpListener::bind("127.0.0.1:0").unwrap();
    let (gateway, _agent) = through_to(camera.local_addr().unwrap().port(), "");
    let answer = |stream: &mut TcpStream| {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    };
    for (questions, goes_through) in [(4, true), (5, false)] {
        let mut stream = TcpStream::connect(gateway.rtsp).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(40)))
            .unwrap();
        for number in 1..=questions {
            let question = format!("OPTIONS * RTSP/1.0\r\nCSeq: {number}\r\n\r\n");
            stream.write_all(question.as_bytes()).unwrap();
            let said = answer(&mut stream);
            assert!(said.starts_with("RTSP/1.0 200"), "{number}: {said}");
            assert!(said.contains(&format!("CSeq: {number}\r\n")), "{said}");
        }
        let describe =
            "DESCRIBE rtsp://127.0.0.1/cam/realmonitor?channel=1 RTSP/1.0\r\nCSeq: 9\r\n\r\n";
        stream.write_all(describe.as_bytes()).unwrap();
        if goes_through {
            let (mut carried, _) = camera.accept().unwrap();
            carried
                .set_read_timeout(Some(Duration::from_secs(40)))
                .unwrap();
            let mut heard = vec![0; describe.len()];
            carried.read_exact(&mut heard).unwrap();
            assert_eq!(heard, describe.as_bytes());
        } else {
            let said = answer(&mut stream);
            assert!(said.starts_with("RTSP/1.0 404"), "{said}");
        }
    }
}
