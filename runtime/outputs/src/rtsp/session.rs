use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hub::{Cursor, Start, Stream};
use media::{MAX_TRACKS, Tracks};
use proto_rtsp::{
    Description, Event, Reason, Server as Protocol, ServerConfig, Status, TrackStart,
    TrackTransport,
};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::block::Burst;
use super::connection::{Connection, Media, Outcome};
use super::muxer::Muxer;
use super::udp::{self, Destination, Ear};
use super::{OUTPUT, Server};
use crate::fanout::Seat;

/// How long a viewer waits for a camera that has just been started. Players give up after 10 to 30 s.
const DESCRIBE_PATIENCE: Duration = Duration::from_secs(12);

/// A viewer that takes nothing for this long is gone, whatever its TCP says.
const WRITE_STALL: Duration = Duration::from_secs(120);

/// Bytes that the kernel may hold unsent for a viewer: what is in there grows old.
const UNSENT: u32 = 256 << 10;

/// How long the last reply may take to leave.
const FAREWELL: Duration = Duration::from_secs(2);

/// Serves one connection until it ends; `first` has been read from it.
pub(super) async fn run(server: &Server, socket: TcpStream, peer: SocketAddr, first: &[u8]) {
    // Both only make it better; a socket that refuses works all the same.
    let _ = socket.set_nodelay(true);
    let _ = socket2::SockRef::from(&socket).set_tcp_notsent_lowat(UNSENT);
    let connection = Arc::new(Connection::new(socket));
    let mut config = ServerConfig::new(session_id());
    config.authenticator.clone_from(&server.authenticator);
    config.allows_udp = server.ports.is_some();
    let mut session = Session {
        server,
        peer,
        protocol: Protocol::new(config, Instant::now()),
        connection: Arc::clone(&connection),
        watched: None,
        playing: None,
        told_logins: 0,
    };
    session.protocol.handle_input(first, Instant::now());
    session.converse().await;
    session.stop();
    let drained = async {
        while !connection.is_drained() && connection.socket().writable().await.is_ok() {
            connection.pump();
        }
    };
    let _ = tokio::time::timeout(FAREWELL, drained).await;
}

struct Session<'a> {
    server: &'a Server,
    peer: SocketAddr,
    protocol: Protocol,
    connection: Arc<Connection>,
    watched: Option<Watched>,
    playing: Option<Playing>,
    /// Wrong passwords that the server has been told of.
    told_logins: u32,
}

/// The stream that was described.
struct Watched {
    stream: Arc<Stream>,
    muxer: Arc<Muxer>,
}

/// What ends with PAUSE and TEARDOWN.
enum Playing {
    Tcp { _seat: Seat },
    Udp { sender: JoinHandle<()>, ear: Ear },
}

impl Drop for Playing {
    fn drop(&mut self) {
        if let Self::Udp { sender, .. } = self {
            sender.abort();
        }
    }
}

/// What the session was woken by.
enum Wake {
    Readable(io::Result<()>),
    Writable(io::Result<()>),
    Changed,
    Heard,
    SenderEnded,
    CameraGone,
    Time,
}

impl Session<'_> {
    async fn converse(&mut self) {
        loop {
            if self.drain().await.is_break() {
                return;
            }
            let ended = match self.wait().await {
                Wake::Readable(ready) => ready.is_err() || !self.read(),
                Wake::Writable(ready) => {
                    self.connection.pump();
                    ready.is_err()
                }
                Wake::Changed => self.connection.outcome() != Outcome::Open,
                Wake::Heard => {
                    self.protocol.touch(Instant::now());
                    false
                }
                Wake::SenderEnded => true,
                Wake::CameraGone => {
                    tracing::debug!(peer = %self.peer, "RTSP viewer cut: its camera is configured no more, or anew");
                    true
                }
                Wake::Time => {
                    self.protocol.handle_timeout(Instant::now());
                    let stalled = self
                        .connection
                        .blocked_for()
                        .is_some_and(|time| time > WRITE_STALL);
                    if stalled {
                        tracing::debug!(peer = %self.peer, "RTSP viewer cut: it took nothing for 120 s");
                    }
                    stalled
                }
            };
            if ended {
                return;
            }
        }
    }

    /// Waits for whatever comes first.
    async fn wait(&self) -> Wake {
        let socket = self.connection.socket();
        let is_blocked = self.connection.blocked_for().is_some();
        let now = Instant::now();
        let tick = now + Duration::from_secs(10);
        let deadline = self.protocol.poll_timeout().map_or(tick, |at| at.min(tick));
        let heard = async {
            match &self.playing {
                Some(Playing::Udp { ear, .. }) => ear.heard.notified().await,
                _ => std::future::pending().await,
            }
        };
        let sender_ended = async {
            match &self.playing {
                Some(Playing::Udp { sender, .. }) => {
                    while !sender.is_finished() {
                        tokio::time::sleep(Duration::from_millis(500)).await;
                    }
                }
                _ => std::future::pending().await,
            }
        };
        let camera_gone = async {
            match &self.watched {
                Some(watched) => watched.stream.removed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ready = socket.readable() => Wake::Readable(ready),
            ready = socket.writable(), if is_blocked => Wake::Writable(ready),
            () = self.connection.changed.notified() => Wake::Changed,
            () = heard => Wake::Heard,
            () = sender_ended => Wake::SenderEnded,
            () = camera_gone => Wake::CameraGone,
            () = tokio::time::sleep_until(deadline.into()) => Wake::Time,
        }
    }

    /// Reads what is there; false at the connection's end.
    fn read(&mut self) -> bool {
        let mut buffer = [0; 4_096];
        match self.connection.socket().try_read(&mut buffer) {
            Ok(0) => false,
            // Connections that were opened beforehand get no more tries than others.
            Ok(_) if self.playing.is_none() && self.server.is_turned_away(self.peer) => false,
            Ok(read) => {
                self.protocol
                    .handle_input(buffer.get(..read).unwrap_or_default(), Instant::now());
                true
            }
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }

    /// Counts wrong passwords before they are answered: with many connections at once none gets a free try.
    fn tell_logins(&mut self) {
        while self.told_logins < self.protocol.wrong_logins() {
            self.told_logins += 1;
            if self.server.counts(self.peer) {
                let (peer, now) = (self.peer.ip(), Instant::now());
                self.server.wrong_logins.note_failure(peer, "", now);
            }
        }
    }

    fn transmit(&mut self) {
        while let Some(reply) = self.protocol.poll_transmit() {
            self.connection.reply(reply);
        }
    }

    /// Answers all that the protocol asks.
    async fn drain(&mut self) -> ControlFlow<()> {
        loop {
            self.tell_logins();
            self.transmit();
            let Some(event) = self.protocol.poll_event() else {
                return ControlFlow::Continue(());
            };
            match event {
                Event::DescribeWanted { path, .. } => {
                    let answer = self.describe(&path).await;
                    self.protocol.answer_describe(answer, Instant::now());
                }
                Event::UdpWanted { .. } => {
                    let ports = self.server.ports.as_ref().map(|ports| ports.numbers());
                    let answer = ports.ok_or(Status::UNSUPPORTED_TRANSPORT);
                    self.protocol.answer_udp(answer, Instant::now());
                }
                Event::PlayWanted { query, tracks, .. } => self.play(query.as_deref(), &tracks),
                Event::Paused | Event::Teardown => self.stop(),
                Event::Rtcp { .. } => {}
                Event::Closed(reason) => {
                    self.transmit();
                    match reason {
                        Reason::Malformed(error) => {
                            tracing::debug!(peer = %self.peer, "RTSP connection closed: {error}");
                        }
                        Reason::TimedOut => {
                            tracing::debug!(peer = %self.peer, "RTSP connection closed: silent for too long");
                        }
                        Reason::WrongLogin => {
                            tracing::warn!(peer = %self.peer, "RTSP connection closed: too many wrong passwords");
                        }
                    }
                    return ControlFlow::Break(());
                }
            }
        }
    }

    /// Leaves what is playing alone: a player may ask again about the stream that it watches.
    async fn describe(&mut self, path: &str) -> Result<Description, Status> {
        let stream = self.server.hub.stream(path).ok_or(Status::NOT_FOUND)?;
        let lease = stream.lease();
        let Ok(tracks) = tokio::time::timeout(DESCRIBE_PATIENCE, stream.wait_tracks()).await else {
            let reason = stream
                .status()
                .error
                .unwrap_or_else(|| "it gives no picture".to_owned());
            tracing::info!(camera = path, peer = %self.peer, "viewer sent away: {reason}");
            return Err(Status::SERVICE_UNAVAILABLE);
        };
        let muxer = self.server.muxers.attach(&stream, &tracks);
        // From here on the muxer holds the lease.
        drop(lease);
        let ssrcs = muxer
            .shared
            .sources
            .iter()
            .map(|source| source.ssrc)
            .collect();
        let tracks: Tracks = muxer.shared.tracks.clone();
        self.watched = Some(Watched { stream, muxer });
        Ok(Description {
            name: path.to_owned(),
            tracks,
            ssrcs,
        })
    }

    fn play(&mut self, query: Option<&str>, tracks: &[TrackTransport]) {
        let now = Instant::now();
        let Some(watched) = &self.watched else {
            self.protocol
                .answer_play(Err(Status::SESSION_NOT_FOUND), now);
            return;
        };
        if self.playing.is_some() {
            self.protocol.answer_play(Ok(&[]), now);
            return;
        }
        let is_live = query.is_some_and(|query| query.split('&').any(|pair| pair == "start=live"));
        let muxer = Arc::clone(&watched.muxer);
        let viewer = watched.stream.viewer(OUTPUT);
        // While a camera is away, its last pictures would be followed by a gap.
        let waits = is_live || !watched.stream.ring().has_start();
        let entrance = Entrance::new(&muxer, if waits { Start::Live } else { Start::Gop });
        let starts: Vec<TrackStart> = tracks
            .iter()
            .filter_map(|track| entrance.start_of(&muxer, track.track))
            .collect();
        self.protocol.answer_play(Ok(&starts), now);
        self.transmit();
        let Entrance { cursor, burst, .. } = entrance;
        let mut channels = [None; MAX_TRACKS];
        let mut destinations = [None; MAX_TRACKS];
        for TrackTransport { track, transport } in tracks {
            if let Some(channel) = channels.get_mut(*track) {
                *channel = transport.interleaved.map(|(rtp, _)| rtp);
            }
            if let Some(destination) = destinations.get_mut(*track) {
                // Only ever to the peer that asked: nobody else can be flooded.
                *destination = transport.client_port.map(|(rtp, rtcp)| Destination {
                    rtp: SocketAddr::new(self.peer.ip(), rtp),
                    rtcp: SocketAddr::new(self.peer.ip(), rtcp),
                });
            }
        }
        let ports = self
            .server
            .ports
            .clone()
            .filter(|_| destinations.iter().any(Option::is_some));
        self.playing = Some(match ports {
            Some(ports) => {
                let from = destinations
                    .iter()
                    .flatten()
                    .flat_map(|to| [to.rtcp, to.rtp])
                    .collect();
                let ear = ports.ear(from);
                let sender = udp::send(ports, muxer, cursor, burst, destinations, viewer);
                Playing::Udp {
                    sender: tokio::spawn(sender),
                    ear,
                }
            }
            None => {
                let shared = Arc::clone(&muxer.shared);
                self.connection.play(Media {
                    muxer,
                    cursor,
                    channels,
                    burst,
                    viewer,
                });
                Playing::Tcp {
                    _seat: shared.fanout.join(&shared.ring, self.connection.clone()),
                }
            }
        });
        // What came between the first pump and the seat would wait for the next block.
        self.connection.pump();
    }

    fn stop(&mut self) {
        self.playing = None;
        self.connection.pause();
    }
}

/// Where a new viewer enters the muxer's ring.
struct Entrance {
    cursor: Cursor,
    burst: Option<Burst>,
    /// Track, sequence number and timestamp of the first packet, if it is there already.
    first: Option<TrackStart>,
}

impl Entrance {
    fn new(muxer: &Muxer, start: Start) -> Self {
        let shared = &muxer.shared;
        // In this order a block that arrives meanwhile is live and its timestamp beyond the burst's.
        let end = shared.ring.head();
        let cursor = shared.ring.start(start);
        let edge = shared.edge.load(Ordering::Acquire);
        let has_burst =
            start == Start::Gop && shared.tracks.video().is_some() && cursor.next() < end;
        let burst = has_burst.then_some(Burst { end, edge });
        let first = has_burst
            .then(|| cursor.clone().poll(&shared.ring))
            .flatten();
        let first = first.map(|block| TrackStart {
            track: block.track,
            seq: block.first_seq,
            rtptime: burst.map_or(block.rtp_time, |burst| burst.squeeze(block.rtp_time)),
        });
        Self {
            cursor,
            burst,
            first,
        }
    }

    /// What the first packet of `track` will bear. Sound begins at the live edge, where the burst of
    /// pictures ends; its timestamp is that of the first picture, so that both start as one.
    fn start_of(&self, muxer: &Muxer, track: usize) -> Option<TrackStart> {
        let first = self.first?;
        if first.track == track {
            return Some(first);
        }
        let rtptime = muxer.shared.aligned(track, first.track, first.rtptime)?;
        let seq = muxer.shared.next_seqs.get(track)?.load(Ordering::Acquire);
        Some(TrackStart {
            track,
            seq,
            rtptime,
        })
    }
}

fn session_id() -> String {
    let mut random = [0; 16];
    // Session ids guard nothing here (a session belongs to its connection), but shall not repeat.
    let _ = getrandom::fill(&mut random);
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}
