//! Peers that mean harm, or are broken: bounded, and others do not notice.

use std::time::Duration;

use proto_naxclow::{Cmd, Frame, Message, Side, picture::split_picture};
use sim_cameras::A9Profile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

use crate::world::{PATIENCE, UID, World, numbered, pictures};

const OTHER: &str = "0800c0000666";

fn register(uid: &str) -> Vec<u8> {
    let message = Message::Register {
        uid: uid.parse().unwrap(),
        token: "00000000".to_owned(),
        domain: "v720.naxclow.com".to_owned(),
    };
    message.frame(Side::Camera).encode().unwrap().to_vec()
}

/// Whether the other end closes, in the time that anything may take.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    // A reset is an end too.
    read.is_ok()
}

#[tokio::test]
async fn impossible_lengths_and_endless_json_end_one_connection_and_no_other() {
    let mut world = World::new().await;
    world.ready(UID, A9Profile::Classic, "").await;
    let mut live = world.live(UID).await;
    pictures(&mut live, 2).await;
    let mut oversize = TcpStream::connect(world.at.tcp).await.unwrap();
    oversize.write_all(&[0xFF; 20]).await.unwrap();
    assert!(is_closed(&mut oversize).await);
    let mut endless = TcpStream::connect(world.at.tcp).await.unwrap();
    let json = Frame::control(Cmd::Json, "[{".repeat(4000), Side::Camera)
        .encode()
        .unwrap();
    for _ in 0..16 {
        // It may be closed meanwhile.
        let _ = endless.write_all(&json).await;
    }
    assert!(is_closed(&mut endless).await);
    let camera = world
        .camera(OTHER, A9Profile::Classic)
        .with_fault("oversize".parse().unwrap());
    world.switch_on(&camera);
    world.until(OTHER, |camera| camera.registrations >= 2).await;
    let (numbers, _) = pictures(&mut live, 5).await;
    assert!(numbers.len() == 5);
    assert_eq!(world.cloud.camera(UID).unwrap().registrations, 1);
}

#[tokio::test]
async fn media_from_elsewhere_is_dropped() {
    let mut world = World::new().await;
    world.ready(UID, A9Profile::Classic, "").await;
    let mut live = world.live(UID).await;
    pictures(&mut live, 2).await;
    let forged = numbered(77_777);
    let mut id = 1;
    let pieces = split_picture(&forged, &mut id);
    let answer = Message::ProbeAnswer {
        uid: UID.parse().unwrap(),
        status: 200,
    };
    let answer = answer.frame(Side::Camera).encode().unwrap();
    for address in ["127.0.0.2:0", "127.0.0.1:0"] {
        let socket = UdpSocket::bind(address).await.unwrap();
        socket.send_to(&answer, world.at.udp).await.unwrap();
        for piece in &pieces {
            socket
                .send_to(&piece.encode().unwrap(), world.at.udp)
                .await
                .unwrap();
        }
        // A flood, and junk.
        for _ in 0..2_000 {
            let _ = socket.try_send_to(&[0xFF; 900], world.at.udp);
        }
    }
    let (numbers, _) = pictures(&mut live, 10).await;
    assert!(!numbers.contains(&77_777), "{numbers:?}");
}

#[tokio::test]
async fn addresses_are_told_to_registered_cameras_only() {
    let mut world = World::new().await;
    world.ready(UID, A9Profile::Classic, "").await;
    let query = Message::AddressQuery.frame(Side::Camera).encode().unwrap();
    let asked = async |address: &str| {
        let socket = UdpSocket::bind(address).await.unwrap();
        socket.send_to(&query, world.at.udp).await.unwrap();
        let mut answer = [0; 128];
        let received = socket.recv_from(&mut answer);
        tokio::time::timeout(Duration::from_millis(700), received)
            .await
            .is_ok()
    };
    assert!(asked("127.0.0.1:0").await);
    assert!(!asked("127.0.0.3:0").await);
}

#[tokio::test]
async fn two_cameras_with_one_code_harm_only_each_other() {
    let mut world = World::new().await;
    world.ready(UID, A9Profile::Classic, "").await;
    let mut live = world.live(UID).await;
    pictures(&mut live, 2).await;
    let twins = world
        .camera(OTHER, A9Profile::Classic)
        .with_fault("clash".parse().unwrap());
    world.switch_on(&twins);
    // Each throws the other out, and is told so.
    let report = world.until(OTHER, |camera| camera.registrations >= 6).await;
    assert_eq!(world.cloud.report().cameras.len(), 2);
    assert!(report.clashes > 0, "{report:?}");
    assert!(
        world
            .cloud
            .camera(OTHER)
            .unwrap()
            .missing
            .unwrap()
            .hint
            .contains("Two cameras")
    );
    let (numbers, _) = pictures(&mut live, 5).await;
    assert_eq!(numbers[4] - numbers[0], 4);
}

#[tokio::test]
async fn a_storm_of_reconnections_leaves_one_camera() {
    let mut world = World::new().await;
    world.ready(UID, A9Profile::Classic, "").await;
    let mut storm = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(world.at.tcp).await.unwrap();
        stream.write_all(&register(OTHER)).await.unwrap();
        storm.push(stream);
    }
    world
        .until(OTHER, |camera| camera.registrations == 200)
        .await;
    // All but the last are closed by us.
    let last = storm.pop().unwrap();
    for mut stream in storm {
        assert!(is_closed(&mut stream).await);
    }
    assert_eq!(world.cloud.report().cameras.len(), 2);
    let mut live = world.live(UID).await;
    assert_eq!(pictures(&mut live, 5).await.0.len(), 5);
    drop(last);
    world.until(OTHER, |camera| !camera.connected).await;
}

#[tokio::test]
async fn each_heartbeat_is_answered_once_though_many_come_in_one_piece() {
    let world = World::new().await;
    let mut stream = TcpStream::connect(world.at.tcp).await.unwrap();
    stream.write_all(&register(OTHER)).await.unwrap();
    let mut answer = [0; 48];
    stream.read_exact(&mut answer).await.unwrap();
    // The camera's and the cloud's, as recorded: 100, without a payload.
    let asked = [&[0, 0, 0, 0, 100][..], &[0; 15]].concat();
    let told = [&[0, 0, 0, 0, 100, 0, 0, 0][..], b"00000000", &[0; 4]].concat();
    stream.write_all(&asked.repeat(3)).await.unwrap();
    let mut answers = [0; 60];
    stream.read_exact(&mut answers).await.unwrap();
    assert_eq!(answers[..], told.repeat(3));
    let more = stream.read(&mut answer);
    assert!(
        tokio::time::timeout(Duration::from_millis(700), more)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn those_who_say_nothing_are_few_and_are_closed() {
    let mut world = World::new().await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.9:0".parse().unwrap()).unwrap();
        silent.push(socket.connect(world.at.tcp).await.unwrap());
    }
    // Beyond the limit of one address, at once; a camera elsewhere is let in meanwhile.
    for mut stream in silent.split_off(128) {
        assert!(is_closed(&mut stream).await);
    }
    world.ready(UID, A9Profile::Classic, "").await;
    // The others when their time is up.
    assert!(is_closed(&mut silent[0]).await);
}

#[tokio::test]
async fn invented_codes_fill_the_list_and_not_the_memory() {
    let world = World::new().await;
    for number in 0..naxclow::MAX_PENDING + 50 {
        let target = format!("/app/api/ApiServer/getA9ConfCheck?devicesCode=invented{number:06}");
        let request = naxclow::Request::from_target(&target);
        assert!(
            world
                .cloud
                .bootstrap(&request, [127, 0, 0, 1].into(), None)
                .is_some()
        );
    }
    assert_eq!(world.cloud.report().cameras.len(), naxclow::MAX_PENDING);
}
