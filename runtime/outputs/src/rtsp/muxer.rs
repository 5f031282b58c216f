use std::collections::HashMap;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use bytes::BytesMut;
use hub::{Event, Lease, Ring, Start, Stream, StreamName};
use media::{AccessUnit, Tracks, WallTime};
use rtp::{INTERLEAVED_HEADER, MAX_PAYLOAD, Packetizer};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::block::{Block, Kind};
use crate::fanout::Fanout;

/// Time between two sender reports of a track (RFC 3550 section 6.2 recommends 5 s).
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// Turns one stream's access units into RTP blocks, once for all viewers. It runs as long as it is held.
#[derive(Debug)]
pub(super) struct Muxer {
    stream: Arc<Stream>,
    pub(super) shared: Arc<Shared>,
    _end: DropGuard,
}

/// What the muxer's task and its viewers both see.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) tracks: Tracks,
    /// For each track: synchronisation source and timestamp of stream time zero.
    pub(super) sources: Vec<Source>,
    pub(super) ring: Arc<Ring<Block>>,
    /// Timestamp of the newest picture.
    pub(super) edge: AtomicU32,
    /// For each track the number of its next packet.
    pub(super) next_seqs: Vec<AtomicU16>,
    pub(super) fanout: Fanout,
}

/// How a track's packets are numbered and timed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    pub(super) ssrc: u32,
    /// RTP timestamp of the stream's time zero; random (RFC 3550 section 5.1).
    pub(super) time_base: u32,
    pub(super) first_seq: u16,
}

/// The running muxers, one for each stream that is watched.
#[derive(Debug, Default)]
pub(super) struct Muxers {
    running: Mutex<HashMap<StreamName, Weak<Muxer>>>,
}

impl Muxers {
    /// The muxer of `stream`, started if there is none for these tracks.
    pub(super) fn attach(&self, stream: &Arc<Stream>, tracks: &Tracks) -> Arc<Muxer> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(muxer) = running.get(stream.name().as_str()).and_then(Weak::upgrade)
            // A camera that was configured anew has another stream under the same name.
            && Arc::ptr_eq(&muxer.stream, stream)
            && muxer.shared.tracks.same_layout(tracks)
        {
            return muxer;
        }
        let muxer = Arc::new(start(stream, tracks.clone()));
        running.retain(|_, muxer| muxer.strong_count() > 0);
        running.insert(stream.name().clone(), Arc::downgrade(&muxer));
        muxer
    }
}

fn start(stream: &Arc<Stream>, tracks: Tracks) -> Muxer {
    let sources: Vec<Source> = tracks.iter().map(|_| Source::random()).collect();
    let end = CancellationToken::new();
    let shared = Arc::new(Shared {
        edge: AtomicU32::new(0),
        next_seqs: sources
            .iter()
            .map(|source| AtomicU16::new(source.first_seq))
            .collect(),
        tracks,
        sources,
        ring: Arc::default(),
        fanout: Fanout::new(end.clone()),
    });
    tokio::spawn(run(Arc::clone(&shared), stream.lease(), end.clone()));
    Muxer {
        stream: Arc::clone(stream),
        shared,
        _end: end.drop_guard(),
    }
}

impl Source {
    fn random() -> Self {
        let random = || getrandom::u32().unwrap_or(0x5ee5_ee5e);
        // Below the half, so that the first hours know no wrap: some players stumble over it.
        Self {
            ssrc: random(),
            time_base: random() >> 1,
            first_seq: (random() >> 17) as u16,
        }
    }
}

/// One packetiser and its report clock.
struct TrackMuxer {
    packetizer: Packetizer,
    source: Source,
    reported: Option<Instant>,
    refused: bool,
}

async fn run(shared: Arc<Shared>, lease: Lease, end: CancellationToken) {
    let stream = lease.stream();
    let mut muxers: Vec<TrackMuxer> = shared
        .tracks
        .iter()
        .zip(&shared.sources)
        .enumerate()
        .map(|(index, (track, source))| {
            let payload_type = rtp::payload_type(track, index);
            TrackMuxer {
                packetizer: Packetizer::new(
                    track,
                    payload_type,
                    source.ssrc,
                    source.first_seq,
                    MAX_PAYLOAD,
                ),
                source: *source,
                reported: None,
                refused: false,
            }
        })
        .collect();
    let mut cursor = stream.ring().start(Start::Gop);
    loop {
        while let Some(event) = cursor.poll(stream.ring()) {
            match &*event {
                Event::Tracks(tracks) if tracks.same_layout(&shared.tracks) => {
                    for (muxer, track) in muxers.iter_mut().zip(tracks.iter()) {
                        muxer.packetizer.update_track(track);
                    }
                }
                Event::Tracks(_) => {
                    shared.ring.push(Arc::new(Block::end()), Instant::now());
                    shared.fanout.pump();
                    return;
                }
                Event::AccessUnit(unit, is_start) => {
                    if let Some(muxer) = muxers.get_mut(unit.track) {
                        if let Some(report) = muxer.report(unit) {
                            shared.ring.push(Arc::new(report), unit.received);
                        }
                        match muxer.block(unit, *is_start) {
                            Ok(block) => {
                                shared.note(&block, muxer.packetizer.next_seq());
                                shared.ring.push(Arc::new(block), unit.received);
                            }
                            // Every picture of such a camera is refused: once is enough to say so.
                            Err(error) if !muxer.refused => {
                                muxer.refused = true;
                                tracing::warn!(stream = %stream.name(), track = unit.track, "cannot be sent as RTP: {error}");
                            }
                            Err(_) => {}
                        }
                    }
                }
            }
        }
        shared.fanout.pump();
        tokio::select! {
            () = stream.ring().wait(cursor.next()) => {}
            () = end.cancelled() => return,
        }
    }
}

impl TrackMuxer {
    fn block(&mut self, unit: &AccessUnit, is_start: bool) -> Result<Block, rtp::Error> {
        let rtp_time = self.source.time_of(unit.time.0);
        let first_seq = self.packetizer.next_seq();
        let channel = channel(unit.track);
        let (mut bytes, mut offsets) = (BytesMut::new(), Vec::new());
        self.packetizer
            .packetize_interleaved(unit, rtp_time, channel, &mut bytes, &mut offsets)?;
        Ok(Block {
            kind: Kind::Media,
            track: unit.track,
            bytes: bytes.freeze(),
            offsets: offsets.into(),
            first_seq,
            rtp_time,
            is_start,
        })
    }

    /// A sender report in front of `unit`, if one is due.
    fn report(&mut self, unit: &AccessUnit) -> Option<Block> {
        if self
            .reported
            .is_some_and(|at| unit.received.saturating_duration_since(at) < REPORT_INTERVAL)
        {
            return None;
        }
        self.reported = Some(unit.received);
        let wall = unit.wall.or_else(|| {
            let now = SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .ok()?;
            Some(WallTime(now.saturating_sub(unit.received.elapsed())))
        })?;
        let rtp_time = self.source.time_of(unit.time.0);
        let mut bytes = BytesMut::with_capacity(64);
        bytes.extend_from_slice(&[b'$', channel(unit.track) + 1, 0, 0]);
        rtp::rtcp::put_sender_report(
            &mut bytes,
            self.source.ssrc,
            wall,
            rtp_time,
            self.packetizer.packets(),
            self.packetizer.octets(),
            "eyelet",
        );
        let length = u16::try_from(bytes.len() - INTERLEAVED_HEADER).ok()?;
        bytes[2..INTERLEAVED_HEADER].copy_from_slice(&length.to_be_bytes());
        Some(Block {
            kind: Kind::Report,
            track: unit.track,
            bytes: bytes.freeze(),
            offsets: [0].into(),
            first_seq: 0,
            rtp_time,
            is_start: false,
        })
    }
}

impl Source {
    fn time_of(self, ticks: i64) -> u32 {
        // Wrapping is what RTP timestamps do.
        self.time_base.wrapping_add(ticks as u32)
    }
}

impl Shared {
    /// Notes what new viewers are told about a track.
    fn note(&self, block: &Block, next_seq: u16) {
        if self.tracks.video() == Some(block.track) {
            self.edge.store(block.rtp_time, Ordering::Release);
        }
        if let Some(next) = self.next_seqs.get(block.track) {
            next.store(next_seq, Ordering::Release);
        }
    }

    /// The timestamp of `track` at the moment when `other` shows `rtp_time`.
    pub(super) fn aligned(&self, track: usize, other: usize, rtp_time: u32) -> Option<u32> {
        let (to, from) = (self.sources.get(track)?, self.sources.get(other)?);
        let (to_rate, from_rate) = (
            self.tracks.get(track)?.clock_rate,
            self.tracks.get(other)?.clock_rate,
        );
        let ticks = u64::from(rtp_time.wrapping_sub(from.time_base));
        let ticks = ticks * u64::from(to_rate) / u64::from(from_rate.max(1));
        Some(to.time_base.wrapping_add(ticks as u32))
    }
}

impl Block {
    fn end() -> Self {
        Self {
            kind: Kind::End,
            track: 0,
            bytes: bytes::Bytes::new(),
            offsets: [].into(),
            first_seq: 0,
            rtp_time: 0,
            is_start: false,
        }
    }
}

/// The RTP channel of a track; its reports take the next one.
pub(super) fn channel(track: usize) -> u8 {
    // Eight tracks at most (media::MAX_TRACKS).
    (track * 2) as u8
}
