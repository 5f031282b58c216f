use super::*;

const CONFIG: StreamsConfig = StreamsConfig {
    max_streams: 3,
    window_growth: 1 << 20,
};

#[expect(clippy::disallowed_methods, reason = "an Instant has no other origin")]
fn now() -> Instant {
    Instant::now()
}

fn called() -> Streams<()> {
    Streams::new(Side::Called, CONFIG)
}

/// A quick line with nothing on it, of which streams that send all they can may have `busy` bytes.
fn room(busy: usize) -> Room {
    Room {
        busy,
        quiet: 1 << 20,
        piece: MAX_FRAME_PAYLOAD,
        acknowledged: 0,
        written: 1,
    }
}

fn frame(kind: Kind, id: u32, value: usize) -> [u8; STREAM_HEADER] {
    Head { kind, id, value }.encode()
}

fn hear(streams: &mut Streams<()>, kind: Kind, id: u32, value: usize) -> Result<(), Error> {
    streams.handle_header(&frame(kind, id, value), now())?;
    if kind == Kind::Data {
        streams.handle_payload(vec![7; value], value);
    }
    Ok(())
}

#[test]
fn a_peer_that_breaks_the_protocol_is_told_so() {
    type Case = (&'static str, &'static [(Kind, u32, usize)]);
    let cases: [Case; 9] = [
        (
            "an even number from the one who dialed",
            &[(Kind::Open, 2, 0)],
        ),
        ("a number twice", &[(Kind::Open, 1, 0), (Kind::Open, 1, 0)]),
        ("a lower number", &[(Kind::Open, 3, 0), (Kind::Open, 1, 0)]),
        ("data for nobody", &[(Kind::Data, 1, 5)]),
        ("credit for nobody of ours", &[(Kind::Credit, 2, 5)]),
        ("number 0", &[(Kind::Reset, 0, 0)]),
        (
            "data after the end",
            &[(Kind::Open, 1, 0), (Kind::End, 1, 0), (Kind::Data, 1, 1)],
        ),
        (
            "a second end",
            &[(Kind::Open, 1, 0), (Kind::End, 1, 0), (Kind::End, 1, 0)],
        ),
        (
            "credit beyond all windows",
            &[
                (Kind::Open, 1, 0),
                (Kind::Credit, 1, MAX_VALUE),
                (Kind::Credit, 1, MAX_VALUE),
                (Kind::Credit, 1, MAX_VALUE),
                (Kind::Credit, 1, MAX_VALUE),
            ],
        ),
    ];
    for (what, frames) in cases {
        let mut streams = called();
        let (last, before) = frames.split_last().expect("a case");
        for (kind, id, value) in before {
            hear(&mut streams, *kind, *id, *value).expect(what);
        }
        assert!(
            hear(&mut streams, last.0, last.1, last.2).is_err(),
            "{what}"
        );
    }
    for bytes in [
        [0; STREAM_HEADER],
        [9; STREAM_HEADER],
        [1, 0, 0, 0, 1, 0, 0, 0],
        [1, 0, 0, 0, 1, 0, 0x80, 0],
    ] {
        assert!(Head::decode(bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn more_than_was_granted_ends_the_session() {
    let mut streams = called();
    hear(&mut streams, Kind::Open, 1, 0).expect("open");
    let mut left = FIRST_CREDIT;
    while left > 0 {
        let n = left.min(MAX_STREAM_PAYLOAD);
        hear(&mut streams, Kind::Data, 1, n).expect("within the credit");
        left -= n;
    }
    assert!(hear(&mut streams, Kind::Data, 1, 1).is_err());
}

#[test]
fn tiny_frames_cost_little_more_memory_than_large_ones() {
    let mut inbox = Inbox::default();
    for _ in 0..FIRST_CREDIT {
        inbox.push(Chunk::new(vec![7], 1));
    }
    let mut held = 0;
    while let Some(chunk) = inbox.pop() {
        held += chunk.into_buffer().capacity() + size_of::<Chunk>();
    }
    assert!(held < 2 * FIRST_CREDIT, "{held}");
}

#[test]
fn large_frames_that_come_in_drops_hold_little_more_than_was_granted() {
    let mut streams = called();
    hear(&mut streams, Kind::Open, 1, 0).expect("open");
    let mut left = FIRST_CREDIT;
    while left > 0 {
        let len = left.min(MAX_STREAM_PAYLOAD);
        let header = frame(Kind::Data, 1, len);
        streams.handle_header(&header, now()).expect("granted");
        while let Wanted::Payload(due) = streams.wants() {
            let buffer = streams.buffer();
            let drop = due.min(2_048).min(buffer.len());
            streams.handle_payload(buffer, drop);
        }
        left -= len;
    }
    let mut held = 0;
    while let Read::Bytes(chunk) = streams.read(1, now(), None) {
        held += chunk.into_buffer().capacity() + size_of::<Chunk>();
    }
    assert!(held < 4 * FIRST_CREDIT, "{held}");
}

#[test]
fn streams_that_come_and_go_while_nothing_leaves_are_no_endless_work() {
    let mut streams = called();
    let mut ended = None;
    for id in (1..20_000).step_by(2) {
        if hear(&mut streams, Kind::Open, id, 0).is_err() {
            ended = Some(id);
            break;
        }
        let arrived = streams.accept().expect("below the cap");
        streams.close(arrived);
    }
    assert!(ended.is_some_and(|id| id < 200), "{ended:?}");
}

#[test]
fn on_a_line_that_takes_nothing_nobody_tells_anybody() {
    let mut streams = called();
    let ids = opened(&mut streams, 2);
    let closing = Room {
        busy: 0,
        quiet: 0,
        acknowledged: 1,
        ..room(0)
    };
    for id in ids {
        assert_eq!(streams.write(id, 100, &closing), Write::Wait);
        assert_eq!(streams.poll_event(), None);
    }
}

#[test]
fn streams_beyond_the_cap_are_reset_and_whoever_goes_on_is_no_peer_of_ours() {
    let mut streams = called();
    for id in [1, 3, 5] {
        hear(&mut streams, Kind::Open, id, 0).expect("below the cap");
    }
    hear(&mut streams, Kind::Open, 7, 0).expect("refused, and no more");
    assert_eq!(streams.poll_due(), Some(frame(Kind::Reset, 7, 0)));
    hear(&mut streams, Kind::Data, 7, 9).expect("it had not heard of the reset");
    let mut ended = None;
    for id in (9..2_000).step_by(2) {
        if hear(&mut streams, Kind::Open, id, 0).is_err() {
            ended = Some(id);
            break;
        }
    }
    assert!(ended.is_some_and(|id| id < 100), "{ended:?}");
}

/// Streams of our own that the peer knows of.
fn opened(streams: &mut Streams<()>, count: usize) -> Vec<u32> {
    let ids = (0..count)
        .map(|_| streams.open(now()).expect("room"))
        .collect();
    while streams.poll_due().is_some() {}
    ids
}

#[test]
fn who_says_little_goes_before_those_who_send_all_they_can() {
    let mut streams = called();
    let ids = opened(&mut streams, 3);
    let [camera, other, control] = ids[..] else {
        panic!("three streams")
    };
    // The line is full of one camera; another one waits.
    assert!(matches!(
        streams.write(camera, 100_000, &room(40_000)),
        Write::Put(_, MAX_STREAM_PAYLOAD)
    ));
    assert_eq!(streams.write(camera, 100_000, &room(0)), Write::Wait);
    assert_eq!(streams.write(other, 100_000, &room(0)), Write::Wait);
    assert!(matches!(
        streams.write(control, 200, &room(0)),
        Write::Put(_, 200)
    ));
}

#[test]
fn those_who_send_all_they_can_take_turns() {
    let mut streams = called();
    let ids = opened(&mut streams, 3);
    for id in &ids {
        assert_eq!(streams.write(*id, 100_000, &room(0)), Write::Wait);
    }
    let mut order = Vec::new();
    for _ in 0..6 {
        let one = room(MAX_FRAME_PAYLOAD);
        streams.note_room(&one);
        let mut told = Vec::new();
        while let Some(event) = streams.poll_event() {
            told.extend(match event {
                Event::Writable(id) => Some(id),
                Event::Arrived | Event::Readable(_) => None,
            });
        }
        let [id] = told[..] else {
            panic!("one place, told {told:?}")
        };
        // Another one asks out of turn.
        let early = ids.iter().find(|it| **it != id).expect("another");
        assert_eq!(streams.write(*early, 100_000, &one), Write::Wait);
        while streams.poll_event().is_some() {}
        assert!(matches!(streams.write(id, 100_000, &one), Write::Put(..)));
        assert_eq!(streams.write(id, 100_000, &room(0)), Write::Wait);
        order.push(id);
    }
    assert_eq!(order, [ids.clone(), ids].concat());
}

#[test]
fn who_does_not_come_when_told_holds_up_the_others_for_a_while_only() {
    let mut streams = called();
    let ids = opened(&mut streams, 2);
    for id in &ids {
        assert_eq!(streams.write(*id, 100_000, &room(0)), Write::Wait);
    }
    let one = room(MAX_FRAME_PAYLOAD);
    let mut turns = 0;
    while streams.write(ids[1], 100_000, &one) == Write::Wait {
        streams.note_room(&one);
        while streams.poll_event().is_some() {}
        turns += 1;
        assert!(turns < 1_000);
    }
}

#[test]
fn a_window_grows_only_where_it_holds_the_stream_up_and_as_far_as_all_may() {
    let read = |trip: Duration, pause: Duration| {
        let (mut streams, mut time) = (called(), now());
        hear(&mut streams, Kind::Open, 1, 0).expect("open");
        let (mut granted, mut came) = (FIRST_CREDIT, 0);
        for _ in 0..1_000 {
            let n = MAX_STREAM_PAYLOAD.min(granted - came);
            hear(&mut streams, Kind::Data, 1, n).expect("granted");
            came += n;
            time += pause;
            while let Read::Bytes(chunk) = streams.read(1, time, Some(trip)) {
                streams.reuse(chunk);
            }
            while let Some([kind, .., a, b, c]) = streams.poll_due() {
                assert_eq!(kind, 4);
                granted += usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            }
        }
        let unread = streams
            .streams
            .values()
            .map(|stream| stream.read)
            .sum::<usize>();
        granted + unread - came
    };
    let ms = Duration::from_millis;
    assert_eq!(read(ms(1), ms(50)), FIRST_CREDIT, "5 Mbit/s, near");
    assert_eq!(read(ms(200), ms(50)), 2 * FIRST_CREDIT, "5 Mbit/s, far");
    let most = FIRST_CREDIT + CONFIG.window_growth;
    assert_eq!(read(ms(200), ms(1)), most, "as much as there is, far");
}
