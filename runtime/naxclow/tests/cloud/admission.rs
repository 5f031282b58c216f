//! Who may come in, under which name, and what the doctor says of those who do not.

use std::time::Duration;

use naxclow::{Cloud, Error, Listeners, Settings};
use proto_naxclow::dns;
use sim_cameras::A9Profile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use crate::world::{PATIENCE, UID, World, settings};

#[tokio::test]
async fn a_camera_waits_until_somebody_accepts_it_and_stays_accepted() {
    let mut world = World::new().await;
    world.ready(UID, A9Profile::Classic, "").await;
    let mut admissions = world.cloud.admissions();
    admissions.borrow_and_update();
    assert_eq!(world.cloud.camera(UID).unwrap().admission, "pending");
    assert!(world.cloud.accepted().is_empty());
    assert!(matches!(
        world.cloud.accept(UID, Some("a/b")),
        Err(Error::Name(_))
    ));
    assert!(matches!(
        world.cloud.accept("nobodyhere", None),
        Err(Error::Unknown(_))
    ));
    assert_eq!(
        world
            .cloud
            .accept(&UID.to_lowercase(), Some("yard"))
            .unwrap(),
        "yard"
    );
    assert!(admissions.has_changed().unwrap());
    assert_eq!(
        world.cloud.accepted(),
        [(UID.to_owned(), "yard".to_owned())]
    );

    // The next start knows it, before it has come.
    let next = Cloud::new(settings(), world.at.clone(), Some(world.store.clone()), &[]).unwrap();
    let report = next.camera(UID).unwrap();
    assert_eq!(
        (report.name.as_deref(), report.state),
        (Some("yard"), "away")
    );
    assert!(report.missing.unwrap().hint.contains("DNS"));

    world.cloud.forget(UID).unwrap();
    assert_eq!(world.cloud.camera(UID).unwrap().admission, "pending");
    assert!(world.cloud.accepted().is_empty());
    assert!(world.folder.path().exists());
}

#[tokio::test]
async fn a_configured_camera_needs_nobodys_word() {
    let configured = [(UID.to_owned(), "mini".to_owned())];
    let mut world = World::with(settings(), &configured).await;
    world.ready(UID, A9Profile::Classic, "").await;
    let report = world.cloud.camera(UID).unwrap();
    assert_eq!(
        (report.admission, report.name.as_deref()),
        ("configured", Some("mini"))
    );
    assert_eq!(world.cloud.accept(UID, Some("other")).unwrap(), "mini");
    assert!(matches!(world.cloud.forget(UID), Err(Error::Name(_))));
    world.ready("0800c0000002", A9Profile::Classic, "").await;
    let taken = world
        .cloud
        .accept("0800c0000002", Some("mini"))
        .unwrap_err();
    assert!(
        taken.to_string().contains("has the name \"mini\" already"),
        "{taken}"
    );
}

async fn http(world: &World, request: &str) -> String {
    let mut stream = TcpStream::connect(world.at.http).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::with_capacity(4096);
    // The connection is kept: the answer is all that comes in one piece.
    let read = stream.read_buf(&mut answer);
    tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn the_bootstrap_answers_cameras_and_nobody_else() {
    let world = World::new().await;
    let tcp = world.at.tcp.port();
    for request in [
        "POST /app/api/ApiServer/getA9ConfCheck?devicesCode=0800c00128F8&random=OPQRST&token=2d8c8b52f1 HTTP/1.1\r\nHost: v720.naxclow.com\r\nversion: 202212011602\r\n\r\n",
        "GET /app/api/ApiServer/getA9ConfCheck?devices_code=0800c00128F8 HTTP/1.1\r\n\r\n",
    ] {
        let answer = http(&world, request).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("Content-Length: {}", body.len())),
            "{head}"
        );
        let wanted = format!(
            "\"data\":{{\"tcpPort\":{tcp},\"uid\":\"0800c00128F8\",\"isBind\":\"8\",\"domain\":\"v720.naxclow.com\",\"updateUrl\":null,\"host\":\"127.0.0.1\",\"currTime\":"
        );
        assert!(body.contains(&wanted), "{body}");
    }
    let report = world.cloud.camera(UID).unwrap();
    assert_eq!(
        (report.state, report.missing.as_ref().unwrap().step),
        ("away", "registered")
    );
    let unknown = http(&world, "POST /app/api/ApiNew/thing HTTP/1.1\r\n\r\n").await;
    assert!(
        unknown.starts_with("HTTP/1.1 200") && unknown.ends_with("\"data\":null}"),
        "{unknown}"
    );
    let outside = http(&world, "GET / HTTP/1.1\r\n\r\n").await;
    assert!(outside.starts_with("HTTP/1.1 404"), "{outside}");
    let junk = http(&world, "\x16\x03\x01junk\r\n\r\n").await;
    assert!(junk.starts_with("HTTP/1.1 400"), "{junk}");
    let info = http(
        &world,
        "POST /app/api/ApiSysDevices/getDevInfo?devicesCode=0800c00128F8 HTTP/1.1\r\n\r\n",
    )
    .await;
    assert!(info.contains("\"userInfo_state\":1"), "{info}");
}

#[tokio::test]
async fn the_vendors_names_lead_here_and_who_only_asked_is_told() {
    let mut world = World::new().await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let ask = async |name: &str| {
        socket
            .send_to(&dns::query(9, name), world.at.dns.unwrap())
            .await
            .unwrap();
        let mut answer = [0; 512];
        let received = tokio::time::timeout(PATIENCE, socket.recv_from(&mut answer)).await;
        let (len, _) = received.unwrap().unwrap();
        answer[..len].to_vec()
    };
    let answer = ask("v720.naxclow.com").await;
    assert_eq!(answer[answer.len() - 4..], [127, 0, 0, 1]);
    assert_eq!(ask("example.com").await[3], 5);
    let report = world.cloud.report();
    assert_eq!(report.askers.len(), 1);
    assert_eq!(report.askers[0].name, "v720.naxclow.com");
    // Then it comes, and is lost no longer.
    world.ready(UID, A9Profile::Classic, "").await;
    let report = world.cloud.report();
    assert!(report.askers.is_empty());
    let step = &report.cameras[0].steps[0];
    assert!(step.step == "dns" && step.at.is_some());
}

#[tokio::test]
async fn a_port_that_is_not_to_be_had_is_named_with_its_key() {
    let world = World::new().await;
    let taken = Settings {
        http: world.at.http,
        ..settings()
    };
    let error = Listeners::bind(&taken).unwrap_err().to_string();
    assert!(
        error.contains("a9.http") && error.contains("Another program has port"),
        "{error}"
    );
    let nowhere = Settings {
        tcp: "192.0.2.1:6123".parse().unwrap(),
        ..settings()
    };
    let error = Listeners::bind(&nowhere).unwrap_err().to_string();
    assert!(
        error.contains("a9.tcp") && error.contains("no such address"),
        "{error}"
    );
}

#[tokio::test]
async fn a_strict_cloud_takes_only_its_own_tokens() {
    let settings = Settings {
        strict_token: true,
        ..settings()
    };
    let mut world = World::with(settings, &[]).await;
    world.ready(UID, A9Profile::Classic, "").await;
    let mut stream = TcpStream::connect(world.at.tcp).await.unwrap();
    let register = br#"{"code": 100, "uid": "0800c00128F8", "token": "00000000" ,"domain": "x"}"#;
    let mut frame = (register.len() as u32).to_le_bytes().to_vec();
    frame.resize(20, 0);
    frame.extend_from_slice(register);
    stream.write_all(&frame).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert!(answer.is_empty());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(world.cloud.camera(UID).unwrap().registrations, 1);
}
