//! How fast a full queue drains, beside the simplest design that works.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proto_baichuan::bcudp::{Datagram, MAX_PACKET, Stream, StreamConfig};

use crate::seeds;
use crate::wire::{ALL, Weather, Wire};

const PACKETS: usize = 750;

fn ends() -> (SocketAddr, SocketAddr) {
    (
        "10.0.0.9:40000".parse().unwrap(),
        "10.0.0.2:50001".parse().unwrap(),
    )
}

/// Virtual time for a megabyte from a camera to a client.
fn ours(weather: Weather, seed: u64) -> Duration {
    let start = Instant::now();
    let (camera, client) = ends();
    let mut wire = Wire::new(weather, seed);
    let mut from = Stream::new(StreamConfig::CAMERA, 1, start);
    let mut to = Stream::new(StreamConfig::CLIENT, 2, start);
    let all = Bytes::from(vec![7; PACKETS * MAX_PACKET]);
    assert!(from.send(&all));
    let (mut now, mut received) = (start, 0);
    loop {
        for (stream, here, there) in [(&mut from, camera, client), (&mut to, client, camera)] {
            while let Some(datagram) = stream.poll_datagram(now).unwrap() {
                wire.carry(here, there, &datagram.encode(), now);
            }
        }
        let next = [
            wire.next_at(),
            Some(from.poll_timeout()),
            Some(to.poll_timeout()),
        ];
        now = now.max(next.into_iter().flatten().min().unwrap());
        while let Some((_, there, bytes)) = wire.arrive(now) {
            let stream = if there == client { &mut to } else { &mut from };
            match Datagram::decode(&bytes).unwrap().unwrap() {
                Datagram::Data {
                    packet, payload, ..
                } => stream.handle_data(packet, payload, now).unwrap(),
                Datagram::Ack { ack, .. } => stream.handle_ack(&ack, now).unwrap(),
                Datagram::Discovery { .. } => unreachable!("nobody sends discovery here"),
            }
        }
        while let Some(bytes) = to.poll_input() {
            received += bytes.len();
        }
        if received == all.len() {
            return now - start;
        }
    }
}

/// The same with ten packets under way, resent when half a second old, and a receiver that drops what comes early.
fn simple(weather: Weather, seed: u64) -> Duration {
    let start = Instant::now();
    let (camera, client) = ends();
    let mut wire = Wire::new(weather, seed);
    let mut under_way: VecDeque<(u32, Instant)> = VecDeque::new();
    let (mut now, mut next, mut expected) = (start, 0, 0);
    let size = Bytes::from(vec![7; MAX_PACKET]);
    let data =
        |packet: u32| Bytes::from([&packet.to_le_bytes()[..], &size[..MAX_PACKET - 4]].concat());
    loop {
        for (packet, at) in &mut under_way {
            if now >= *at + Duration::from_millis(500) {
                *at = now;
                wire.carry(camera, client, &data(*packet), now);
            }
        }
        while under_way.len() < 10 && next < PACKETS as u32 {
            under_way.push_back((next, now));
            wire.carry(camera, client, &data(next), now);
            next += 1;
        }
        let due = under_way
            .iter()
            .map(|(_, at)| *at + Duration::from_millis(500))
            .min();
        now = now.max([wire.next_at(), due].into_iter().flatten().min().unwrap());
        while let Some((_, there, bytes)) = wire.arrive(now) {
            let packet = u32::from_le_bytes(bytes[..4].try_into().unwrap());
            if there == client {
                expected += u32::from(packet == expected);
                wire.carry(
                    client,
                    camera,
                    &Bytes::copy_from_slice(&expected.to_le_bytes()),
                    now,
                );
            } else {
                under_way.retain(|(it, _)| *it >= packet);
            }
        }
        if expected == PACKETS as u32 {
            return now - start;
        }
    }
}

#[test]
fn a_megabyte_arrives_faster_than_by_the_simple_design() {
    for weather in ALL {
        // Its mean is steady with few; the simple design takes an hour of virtual time for each.
        let seeds = seeds(6);
        let seeds = seeds.start..seeds.end.min(seeds.start + 40);
        let count = seeds.clone().count() as u32;
        let (mut fast, mut slow) = (Duration::ZERO, Duration::ZERO);
        for seed in seeds {
            fast += ours(weather, seed);
            slow += simple(weather, seed);
        }
        let rate =
            |time: Duration| (PACKETS * MAX_PACKET * 8) as f64 / (time / count).as_secs_f64() / 1e6;
        eprintln!(
            "{}: {:.2} Mbit/s, simple design {:.2} Mbit/s",
            weather.name,
            rate(fast),
            rate(slow)
        );
        // On a fine network the acknowledgement's timer costs a little.
        assert!(fast <= slow * 2, "{}", weather.name);
        if weather.loss >= 50 {
            assert!(
                fast * 4 <= slow,
                "{}: {fast:?} against {slow:?}",
                weather.name
            );
        }
        if weather.loss >= 200 {
            assert!(rate(fast) > 0.5, "{}: {:.2}", weather.name, rate(fast));
        }
    }
}
