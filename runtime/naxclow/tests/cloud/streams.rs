//! Pictures and sound, from every kind of camera.

use std::sync::Arc;
use std::time::Duration;

use dialer::Direct;
use drivers::{Camera, Transport};
use hub::{Event, Hub, StreamName};
use media::Codec;
use naxclow::{A9Driver, Item};
use sim_cameras::A9Profile;
use tokio_util::sync::CancellationToken;

use crate::world::{PATIENCE, UID, World, number, numbered, pictures};

const STREAMING: [A9Profile; 5] = [
    A9Profile::Classic,
    A9Profile::DevInfo,
    A9Profile::Pcm,
    A9Profile::StrictAck,
    A9Profile::OddJson,
];

#[tokio::test]
async fn every_profile_gives_its_pictures_byte_for_byte() {
    for (at, profile) in STREAMING.into_iter().enumerate() {
        let mut world = World::new().await;
        let uid = format!("0800c000000{at}");
        world.ready(&uid, profile, "").await;
        let mut live = world.live(&uid).await;
        let (numbers, sounds) = pictures(&mut live, 12).await;
        let first = numbers[0];
        assert_eq!(
            numbers,
            (first..first + 12).collect::<Vec<_>>(),
            "{profile:?}"
        );
        let len = if profile == A9Profile::Pcm { 1600 } else { 800 };
        assert!(
            sounds.len() >= 8 && sounds.iter().all(|block| block.len() == len),
            "{profile:?}"
        );
        let report = world.until(&uid, |camera| camera.state == "live").await;
        assert!(
            report
                .steps
                .iter()
                .all(|step| step.at.is_some() || ["dns", "mqtt", "heartbeat"].contains(&step.step))
        );
        drop(live);
        world
            .until(&uid, |camera| camera.state == "registered")
            .await;
    }
}

#[tokio::test]
async fn a_new_camera_is_given_a_code_and_streams_under_it() {
    let mut world = World::new().await;
    // What it is called before counts for nothing.
    let camera = world.camera("220000A2AA00", A9Profile::FirstBoot);
    world.switch_on(&camera);
    let started = std::time::Instant::now();
    let report = loop {
        let cameras = world.cloud.report().cameras;
        if let Some(camera) = cameras.iter().find(|camera| camera.state == "registered") {
            break camera.clone();
        }
        assert!(started.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(
        report.uid.starts_with("0800c00") && report.uid.len() == 12,
        "{}",
        report.uid
    );
    assert_eq!(report.admission, "pending");
    let written = world.store.a9_cameras().unwrap();
    assert!(written.iter().any(|camera| camera.uid == report.uid));
    let mut live = world.live(&report.uid).await;
    assert_eq!(pictures(&mut live, 3).await.0.len(), 3);
}

#[tokio::test]
async fn no_fault_tears_a_picture_or_stops_the_stream() {
    let faults = [
        "drop=0.1",
        "duplicate=0.1",
        "reorder=0.1",
        "drop=0.1,duplicate=0.1,reorder=0.1",
        "no-last",
        "tail",
        "split",
        "coalesce",
        "slow-heartbeat",
    ];
    let mut world = World::new().await;
    for (at, fault) in faults.iter().enumerate() {
        world
            .ready(&format!("0800c000010{at}"), A9Profile::Classic, fault)
            .await;
    }
    let mut streams = Vec::new();
    for at in 0..faults.len() {
        streams.push(world.live(&format!("0800c000010{at}")).await);
    }
    for (fault, live) in faults.iter().zip(&mut streams) {
        let (numbers, _) = pictures(live, 20).await;
        let sent = numbers[19] - numbers[0] + 1;
        // A picture without its last packet never comes; all others do, but for the worst weather.
        let most = if fault.contains("drop") || *fault == "no-last" {
            60
        } else {
            26
        };
        assert!(sent <= most, "{fault}: 20 pictures of {sent}");
    }
}

#[tokio::test]
async fn pictures_that_stop_come_back() {
    let mut world = World::new().await;
    world.ready(UID, A9Profile::Classic, "stall=0.7").await;
    let mut live = world.live(UID).await;
    // Seven pictures a start: more than that means that it was started again, in the same session.
    let (numbers, _) = pictures(&mut live, 12).await;
    assert_eq!(numbers.len(), 12);
}

#[tokio::test]
async fn cameras_behind_one_address_are_told_apart() {
    let mut world = World::new().await;
    let offsets = [
        ("0800c0000201", 1_000),
        ("0800c0000202", 2_000),
        ("0800c0000203", 3_000),
    ];
    for (uid, offset) in offsets {
        let camera = world
            .camera(uid, A9Profile::Classic)
            .with_pictures(move |at| numbered(offset + at));
        world.switch_on(&camera);
    }
    let mut streams = Vec::new();
    for (uid, offset) in offsets {
        world.registered(uid).await;
        streams.push((world.live(uid).await, offset));
    }
    for (live, offset) in &mut streams {
        let (numbers, _) = pictures(live, 8).await;
        assert!(
            numbers
                .iter()
                .all(|number| (*offset..*offset + 1_000).contains(number)),
            "{numbers:?}"
        );
    }
}

#[tokio::test]
async fn a_camera_that_was_half_open_comes_back_and_streams() {
    let mut world = World::new().await;
    let camera = world.ready(UID, A9Profile::Classic, "half-open=1").await;
    world.until(UID, |report| report.registrations >= 3).await;
    assert!(camera.registrations() >= 3);
    // It vanishes once a second; in between pictures come.
    let mut live = world.live(UID).await;
    let first = tokio::time::timeout(PATIENCE, live.next()).await.unwrap();
    assert!(
        matches!(
            first,
            Some(Item::Picture(_) | Item::Audio(..) | Item::Ended(_))
        ),
        "{first:?}"
    );
}

#[tokio::test]
async fn the_driver_puts_pictures_and_a_law_sound_into_the_hub() {
    for (uid, profile) in [
        ("0800c0000301", A9Profile::Classic),
        ("0800c0000302", A9Profile::Pcm),
    ] {
        let mut world = World::new().await;
        world.ready(uid, profile, "").await;
        let stream = Hub::new().add(StreamName::new("yard").unwrap());
        let camera = Camera {
            name: StreamName::new("yard").unwrap(),
            url: format!("a9://{uid}").parse().unwrap(),
            user: None,
            password: None,
            transport: Transport::Tcp,
            idle: Duration::from_millis(300),
            interval: None,
            timeout: Camera::TIMEOUT,
        };
        let end = CancellationToken::new();
        let _guard = end.clone().drop_guard();
        let driver = Arc::new(A9Driver::new(world.cloud.clone()));
        tokio::spawn(drivers::supervise(
            driver,
            camera,
            Arc::new(Direct),
            Arc::clone(&stream),
            end,
        ));
        // Nobody wants it yet: not a packet.
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(world.cloud.camera(uid).unwrap().state, "registered");
        let lease = stream.lease();
        let tracks = tokio::time::timeout(PATIENCE, stream.wait_tracks())
            .await
            .unwrap();
        assert_eq!(
            tracks.iter().map(|track| track.codec).collect::<Vec<_>>(),
            [Codec::Jpeg, Codec::Pcma]
        );
        let mut cursor = stream.ring().start_oldest();
        let (mut shown, mut heard) = (Vec::new(), Vec::new());
        let collect = async {
            while shown.len() < 10 || heard.len() < 5 {
                let Some(event) = cursor.poll(stream.ring()) else {
                    stream.ring().wait(cursor.next()).await;
                    continue;
                };
                let Event::AccessUnit(unit, _) = &*event else {
                    continue;
                };
                match unit.track {
                    0 => shown.push((number(&unit.payload), unit.time)),
                    _ => heard.push((unit.payload.len(), unit.time)),
                }
            }
        };
        tokio::time::timeout(PATIENCE, collect).await.unwrap();
        assert!(
            shown.is_sorted_by(|a, b| a.0 + 1 == b.0 && a.1 < b.1),
            "{shown:?}"
        );
        // One byte a sample, whatever the camera sends, and not a sample twice.
        assert!(heard.iter().all(|(len, _)| *len == 800));
        assert!(heard.is_sorted_by(|a, b| b.1.0 - a.1.0 >= 800), "{heard:?}");
        assert_eq!(stream.tracks().unwrap()[0].size, Some((640, 480)));
        drop(lease);
        world
            .until(uid, |camera| camera.state == "registered")
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_cameras_stream_at_once() {
    let mut world = World::new().await;
    let uids: Vec<String> = (0..50).map(|at| format!("0800c00010{at:02}")).collect();
    for uid in &uids {
        let camera = world.camera(uid, A9Profile::Classic);
        world.switch_on(&camera);
    }
    let mut streams = Vec::new();
    for uid in &uids {
        world.registered(uid).await;
        streams.push(world.live(uid).await);
    }
    let counted = streams
        .into_iter()
        .map(|mut live| tokio::spawn(async move { pictures(&mut live, 20).await.0.len() }));
    for counted in counted.collect::<Vec<_>>() {
        assert_eq!(counted.await.unwrap(), 20);
    }
}
