//! Commands, and a camera that is its own network.

use std::time::Duration;

use naxclow::access_point::{AccessPoint, Day, Event, Media, Minute, Wifi};
use naxclow::{Error, Order};
use sim_cameras::{A9Camera, A9Profile};
use tokio::net::TcpListener;

use crate::world::{PATIENCE, UID, World, number, numbered, pictures};

#[tokio::test]
async fn orders_are_carried_out_and_their_effect_is_read_back() {
    let mut world = World::new().await;
    let camera = world.ready(UID, A9Profile::Classic, "").await;
    for (name, value) in [("infrared", 1), ("led", 0), ("flip", 4)] {
        world
            .cloud
            .order(UID, &Order::new(name, Some(value)).unwrap())
            .await
            .unwrap();
    }
    for name in ["refresh", "sd-status"] {
        world
            .cloud
            .order(UID, &Order::new(name, None).unwrap())
            .await
            .unwrap();
    }
    let report = world.cloud.camera(UID).unwrap();
    assert_eq!(
        (report.infrared, report.led, report.flip),
        (Some(true), Some(false), Some(4))
    );
    assert_eq!(
        (report.power, report.wifi.as_deref(), report.sd_status),
        (Some(100), Some("home"), Some(0))
    );
    assert_eq!(report.firmware.as_deref(), Some("202212011602"));
    // A stream is not disturbed by them.
    let mut live = world.live(UID).await;
    pictures(&mut live, 3).await;
    world
        .cloud
        .order(UID, &Order::new("infrared", Some(0)).unwrap())
        .await
        .unwrap();
    let (numbers, _) = pictures(&mut live, 5).await;
    assert_eq!(numbers[4] - numbers[0], 4);
    drop(live);
    world
        .cloud
        .order(UID, &Order::new("reboot", None).unwrap())
        .await
        .unwrap();
    world.until(UID, |camera| camera.registrations == 2).await;
    assert_eq!(camera.reboots(), 1);
}

#[tokio::test]
async fn a_camera_that_only_speaks_mqtt_is_listed_and_obeys() {
    let mut world = World::new().await;
    let camera = world.camera(UID, A9Profile::MqttOnly);
    world.switch_on(&camera);
    let report = world
        .until(UID, |camera| {
            camera.state == "mqtt" && camera.power.is_some()
        })
        .await;
    assert_eq!((report.sd_status, report.sd_free), (Some(1), Some(3539)));
    assert_eq!(report.missing.unwrap().step, "registered");
    world
        .cloud
        .order(UID, &Order::new("infrared", Some(1)).unwrap())
        .await
        .unwrap();
    world
        .until(UID, |camera| camera.infrared == Some(true))
        .await;
    let refused = world.cloud.live(UID, Media::BOTH).await.unwrap_err();
    assert!(matches!(refused, Error::OnlyMqtt(_)), "{refused}");
    world
        .cloud
        .order(UID, &Order::new("reboot", None).unwrap())
        .await
        .unwrap();
    let started = std::time::Instant::now();
    while camera.reboots() == 0 {
        assert!(started.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn who_is_away_is_said_to_be() {
    let world = World::new().await;
    let order = Order::new("infrared", Some(1)).unwrap();
    let error = world.cloud.order(UID, &order).await.unwrap_err();
    assert!(matches!(error, Error::Unknown(_)), "{error}");
    assert!(error.to_string().contains("eyelet a9 doctor"), "{error}");
}

/// A camera in access-point mode.
async fn access_point(profile: A9Profile) -> (A9Camera, AccessPoint, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let camera = A9Camera::new(UID.parse().unwrap(), profile).with_pictures(numbered);
    let serving = camera.clone();
    let task = tokio::spawn(async move {
        let _ = serving.serve_access_point(listener).await;
    });
    let client = AccessPoint::connect(address, 1_675_206_015).await.unwrap();
    (camera, client, task)
}

#[tokio::test]
async fn a_camera_that_is_its_own_network_is_set_up() {
    let (camera, mut client, task) = access_point(A9Profile::Classic).await;
    client.ask(|client, now| client.ask_base_info(now)).unwrap();
    let wifi = Wifi::new("mifi", "mifimifi").unwrap();
    client
        .ask(|client, now| client.set_wifi(wifi, now))
        .unwrap();
    let (mut info, mut taken) = (false, false);
    while let Ok(event) = client.next().await {
        match event {
            Event::BaseInfo(_) => info = true,
            Event::Answer { code: 204, content } => taken = content.is_some(),
            Event::Answer { code: 299, .. } | Event::Closed => break,
            _ => {}
        }
    }
    client.close().await;
    assert!(info && taken);
    assert_eq!(camera.reboots(), 1);
    task.abort();
}

#[tokio::test]
async fn recordings_come_off_the_card_byte_for_byte() {
    let (_, mut client, task) = access_point(A9Profile::Classic).await;
    client.ask(|client, now| client.list_days(now)).unwrap();
    let days = loop {
        if let Event::Days(days) = client.next().await.unwrap() {
            break days;
        }
    };
    assert_eq!(
        days.iter().map(|day| day.number()).collect::<Vec<_>>(),
        [20_230_123, 20_230_124]
    );
    client.ask(|client, now| client.list(days[0], now)).unwrap();
    let index = loop {
        if let Event::Index(index) = client.next().await.unwrap() {
            break index;
        }
    };
    let names: Vec<String> = index.minutes().map(|minute| minute.to_string()).collect();
    assert_eq!(names, ["20230123-23-10", "20230123-23-11"]);
    let minute = index.minutes().next().unwrap();
    client
        .ask(|client, now| client.download(minute, now))
        .unwrap();
    let (mut file, mut size) = (Vec::new(), None);
    loop {
        match client.next().await.unwrap() {
            Event::Recording(_, announced) => size = announced,
            Event::Piece(piece) => file.extend_from_slice(&piece),
            Event::Downloaded { received, complete } => {
                assert!(complete);
                assert_eq!(received, file.len() as u64);
                break;
            }
            _ => {}
        }
    }
    assert_eq!(size, Some(file.len() as u64));
    assert!(file.starts_with(b"RIFF") && file[8..].starts_with(b"AVI "));
    assert_eq!(
        file.windows(4)
            .filter(|word| word == b"\xff\xd8\xff\xe0")
            .count(),
        20
    );
    // One that is not there.
    let missing = Minute::new(Day::from_number(20_230_124).unwrap(), 1, 1).unwrap();
    client
        .ask(|client, now| client.download(missing, now))
        .unwrap();
    let failed = loop {
        match client.next().await.unwrap() {
            Event::Failed { code, .. } => break code,
            Event::Piece(_) => panic!("a piece of nothing"),
            _ => {}
        }
    };
    assert!(matches!(failed, 404 | 406));
    client.close().await;
    task.abort();
}

#[tokio::test]
async fn live_pictures_come_over_the_one_connection() {
    let (_, mut client, task) = access_point(A9Profile::StrictAck).await;
    client
        .ask(|client, now| client.live(Media::BOTH, now))
        .unwrap();
    let collect = async {
        let (mut numbers, mut sounds) = (Vec::new(), 0);
        while numbers.len() < 60 {
            match client.next().await.unwrap() {
                Event::Picture(jpeg) => numbers.push(number(&jpeg)),
                Event::Audio(..) => sounds += 1,
                _ => {}
            }
        }
        (numbers, sounds)
    };
    // Six seconds: a camera that heard no confirmation would have stopped after four.
    let (numbers, sounds) = tokio::time::timeout(PATIENCE, collect).await.unwrap();
    assert!(numbers.is_sorted_by(|a, b| a < b));
    assert!(sounds > 40);
    client.close().await;
    task.abort();
}
