//! One connection to the camera.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use media::{MediaTime, WallTime};
use proto_rtsp::{Description, Event, Server, ServerConfig, TrackStart, put_interleaved};
use rtp::{MAX_PAYLOAD, Packetizer, payload_type, rtcp};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until};

use super::{Shared, mix};
use crate::FaultKind;
use crate::source::wall_time;

/// How often a sender report goes out; players need the first at once to put sound and pictures together.
const REPORT_PERIOD: Duration = Duration::from_secs(5);
/// A player that is further behind than this misses what was: a camera has little memory.
const MAX_LAG: Duration = Duration::from_secs(2);
/// Far away, for timers that are not set.
const NEVER: Duration = Duration::from_secs(86_400 * 365);

pub(super) async fn run<T>(shared: &Shared, io: T, number: u64) -> io::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut state =
        u64::from_le_bytes(*shared.seed.first_chunk().unwrap_or(&[0; 8])) ^ number << 32;
    let mut config = ServerConfig::new(format!("{:016x}", mix(&mut state)));
    config.authenticator.clone_from(&shared.authenticator);
    config.allows_udp = false;
    "Simulated camera".clone_into(&mut config.name);
    let connection = Connection {
        shared,
        io,
        server: Server::new(config, Instant::now().into_std()),
        state,
        out: BytesMut::new(),
        playing: None,
    };
    connection.run().await
}

struct Connection<'a, T> {
    shared: &'a Shared,
    io: T,
    server: Server,
    state: u64,
    out: BytesMut,
    playing: Option<Playing<'a>>,
}

struct Playing<'a> {
    since: Instant,
    next_report: Instant,
    senders: Vec<Sender>,
    _counted: Counted<'a>,
}

/// Counts a player as long as it lives.
struct Counted<'a>(&'a AtomicU64);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One track on its way to one player.
struct Sender {
    track: usize,
    channel: u8,
    report_channel: u8,
    clock_rate: u32,
    packetizer: Packetizer,
    /// RTP time of the camera's start.
    base: u32,
    next_unit: u64,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Connection<'_, T> {
    async fn run(mut self) -> io::Result<()> {
        let mut cuts = self.shared.cuts.subscribe();
        let mut faults = self.shared.fault.subscribe();
        let mut input = BytesMut::with_capacity(16 << 10);
        loop {
            let fault_at = self.fault_at();
            let now = Instant::now();
            let fault = fault_at.filter(|(_, at)| *at <= now).map(|(kind, _)| kind);
            match fault {
                Some(FaultKind::Hang) => {
                    tokio::select! {
                        _ = faults.changed() => continue,
                        _ = cuts.changed() => return Ok(()),
                    }
                }
                Some(FaultKind::Cut) => return Ok(()),
                Some(FaultKind::Junk) => {
                    let junk: Vec<u8> = (0..128)
                        .flat_map(|_| mix(&mut self.state).to_le_bytes())
                        .collect();
                    self.out.extend_from_slice(&junk);
                }
                Some(FaultKind::Slow { .. }) | None => {}
            }
            self.make_due(now);
            self.flush(fault).await?;

            let wake = self.wake_at(now);
            let wake = match (fault, fault_at) {
                (None, Some((_, at))) => wake.min(at),
                (Some(FaultKind::Junk), _) => wake.min(now + Duration::from_millis(100)),
                (Some(FaultKind::Hang | FaultKind::Cut | FaultKind::Slow { .. }) | None, _) => wake,
            };
            tokio::select! {
                read = self.io.read_buf(&mut input) => {
                    if read? == 0 {
                        return Ok(());
                    }
                    let now = Instant::now().into_std();
                    self.server.handle_input(&input, now);
                    input.clear();
                }
                () = sleep_until(wake) => self.server.handle_timeout(Instant::now().into_std()),
                _ = faults.changed() => {}
                _ = cuts.changed() => return Ok(()),
            }
            let is_closed = self.handle_events();
            // Answers leave before any fault begins.
            self.flush(None).await?;
            if is_closed {
                return self.io.shutdown().await;
            }
        }
    }

    /// The fault that is set, and when it is due on this connection.
    fn fault_at(&self) -> Option<(FaultKind, Instant)> {
        let fault = (*self.shared.fault.borrow())?;
        let since = self.playing.as_ref()?.since;
        Some((fault.kind, since + fault.after))
    }

    /// Answers the server's questions; true if the connection is to be closed.
    fn handle_events(&mut self) -> bool {
        let mut is_closed = false;
        let now = Instant::now();
        while let Some(event) = self.server.poll_event() {
            match event {
                Event::DescribeWanted { .. } => {
                    let description = Description {
                        name: "Simulated camera".to_owned(),
                        tracks: self.shared.source.tracks(),
                        ssrcs: Vec::new(),
                    };
                    self.server.answer_describe(Ok(description), now.into_std());
                }
                // Never asked: UDP is not allowed.
                Event::UdpWanted { .. } => {
                    let refusal = Err(proto_rtsp::Status::UNSUPPORTED_TRANSPORT);
                    self.server.answer_udp(refusal, now.into_std());
                }
                Event::PlayWanted { tracks, .. } => {
                    let mut senders: Vec<Sender> = tracks
                        .iter()
                        .filter_map(|t| self.sender(t.track, t.transport.interleaved?))
                        .collect();
                    // Pictures wait for a keyframe, and sound for the pictures.
                    let mut start = now;
                    for sender in &mut senders {
                        self.catch_up(sender, start);
                        start = start.max(self.shared.epoch + self.unit_time(sender));
                    }
                    let starts: Vec<TrackStart> = senders
                        .iter()
                        .map(|sender| TrackStart {
                            track: sender.track,
                            seq: sender.packetizer.next_seq(),
                            rtptime: sender.rtp_time(self.unit_time(sender)),
                        })
                        .collect();
                    self.shared.players.fetch_add(1, Ordering::Relaxed);
                    self.playing = Some(Playing {
                        since: now,
                        next_report: now,
                        senders,
                        _counted: Counted(&self.shared.players),
                    });
                    self.server.answer_play(Ok(&starts), now.into_std());
                }
                Event::Paused | Event::Teardown => self.playing = None,
                Event::Rtcp { .. } => {}
                Event::Closed(_) => {
                    self.playing = None;
                    is_closed = true;
                }
            }
        }
        while let Some(bytes) = self.server.poll_transmit() {
            self.out.extend_from_slice(&bytes);
        }
        is_closed
    }

    fn sender(&mut self, track: usize, channels: (u8, u8)) -> Option<Sender> {
        let tracks = self.shared.source.tracks();
        let parameters = tracks.get(track)?;
        let random = mix(&mut self.state);
        let (ssrc, first_seq) = ((random >> 32) as u32, (random & 0x7fff) as u16);
        let packetizer = Packetizer::new(
            parameters,
            payload_type(parameters, track),
            ssrc,
            first_seq,
            MAX_PAYLOAD,
        );
        Some(Sender {
            track,
            channel: channels.0,
            report_channel: channels.1,
            clock_rate: parameters.clock_rate,
            packetizer,
            base: mix(&mut self.state) as u32,
            next_unit: 0,
        })
    }

    /// Moves a sender to the next unit from `now` on that a decoder can start with.
    fn catch_up(&self, sender: &mut Sender, now: Instant) {
        let source = &self.shared.source;
        let elapsed = now.saturating_duration_since(self.shared.epoch).as_nanos();
        let period = source.period(sender.track).as_nanos().max(1);
        sender.next_unit = u64::try_from(elapsed.div_ceil(period)).unwrap_or(u64::MAX);
        while !source.unit(sender.track, sender.next_unit).1 {
            sender.next_unit += 1;
        }
    }

    /// When a sender's next unit is taken, since the camera's start.
    fn unit_time(&self, sender: &Sender) -> Duration {
        let period = self.shared.source.period(sender.track).as_nanos() as u64;
        Duration::from_nanos(period.saturating_mul(sender.next_unit))
    }

    /// When to look again at the latest.
    fn wake_at(&self, now: Instant) -> Instant {
        let timeout = self.server.poll_timeout().map(Instant::from_std);
        let mut wake = timeout.unwrap_or(now + NEVER);
        if let Some(playing) = &self.playing {
            wake = wake.min(playing.next_report);
            for sender in &playing.senders {
                wake = wake.min(self.shared.epoch + self.unit_time(sender));
            }
        }
        wake
    }

    /// Writes every unit and report that is due into `out`, in order of time.
    fn make_due(&mut self, now: Instant) {
        let Some(mut playing) = self.playing.take() else {
            return;
        };
        if playing.next_report <= now {
            playing.next_report = now + REPORT_PERIOD;
            for sender in &playing.senders {
                self.make_report(sender, now);
            }
        }
        let mut offsets = Vec::new();
        loop {
            let times = playing.senders.iter_mut().map(|s| (self.unit_time(s), s));
            let Some((time, sender)) = times.min_by_key(|(time, _)| *time) else {
                break;
            };
            let due = self.shared.epoch + time;
            if due > now {
                break;
            }
            if now - due > MAX_LAG {
                self.catch_up(sender, now);
                continue;
            }
            let (payload, is_keyframe) = self.shared.source.unit(sender.track, sender.next_unit);
            let rtp_time = sender.rtp_time(time);
            offsets.clear();
            let made = sender.packetizer.packetize_payload(
                &payload,
                is_keyframe,
                rtp_time,
                sender.channel,
                &mut self.out,
                &mut offsets,
            );
            debug_assert_eq!(made, Ok(()), "our own media fits its packets");
            sender.next_unit += 1;
        }
        self.playing = Some(playing);
    }

    fn make_report(&mut self, sender: &Sender, now: Instant) {
        let mut report = BytesMut::new();
        let packetizer = &sender.packetizer;
        rtcp::put_sender_report(
            &mut report,
            packetizer.ssrc(),
            WallTime(wall_time()),
            sender.rtp_time(now.saturating_duration_since(self.shared.epoch)),
            packetizer.packets(),
            packetizer.octets(),
            "camera@simulated",
        );
        put_interleaved(&mut self.out, sender.report_channel, &report);
    }

    async fn flush(&mut self, fault: Option<FaultKind>) -> io::Result<()> {
        if let Some(FaultKind::Slow { bytes_per_second }) = fault {
            // A tenth of a second's worth at a time.
            let piece = (bytes_per_second / 10).max(1) as usize;
            while !self.out.is_empty() {
                let len = piece.min(self.out.len());
                self.io.write_all(&self.out.split_to(len)).await?;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        while self.out.has_remaining() {
            if self.io.write_buf(&mut self.out).await? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        self.io.flush().await
    }
}

impl Sender {
    fn rtp_time(&self, since_start: Duration) -> u32 {
        let nanos = i64::try_from(since_start.as_nanos()).unwrap_or(i64::MAX);
        let ticks = MediaTime::from_nanos(nanos, self.clock_rate).0;
        self.base.wrapping_add(ticks as u32)
    }
}
