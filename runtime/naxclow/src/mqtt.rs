//! The broker's part: each connection is one task.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use proto_naxclow::mqtt::{MqttEvent, MqttSession};
use proto_naxclow::{BaseInfo, Object, Uid};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::Cloud;
use crate::accept::accept_each;
use crate::camera::{Broker, Camera};

/// Most connections at once: one per camera.
const MAX_CONNECTIONS: usize = 4096;

/// Most commands that wait for one camera.
const MAX_COMMANDS: usize = 16;

/// How long a camera may take to take a packet.
const WRITE_WITHIN: Duration = Duration::from_secs(5);

pub(crate) async fn serve(listener: TcpListener, cloud: Cloud, shutdown: CancellationToken) {
    accept_each(listener, MAX_CONNECTIONS, &shutdown, |stream, peer| {
        let (cloud, shutdown) = (cloud.clone(), shutdown.clone());
        Some(async move {
            let (commands, receiver) = mpsc::channel(MAX_COMMANDS);
            let number = cloud.number();
            let broker = Broker {
                number,
                peer,
                commands,
            };
            let mut connection = Connection {
                session: MqttSession::new(Instant::now()),
                cloud,
                broker,
                uid: None,
                closed: None,
            };
            let why = connection.run(stream, receiver, shutdown).await;
            if let Some(uid) = &connection.uid {
                connection.cloud.broker_ended(uid, number);
                tracing::debug!(camera = %uid, "MQTT ended: {why}");
            }
        })
    })
    .await;
}

struct Connection {
    session: MqttSession,
    cloud: Cloud,
    broker: Broker,
    uid: Option<Uid>,
    closed: Option<&'static str>,
}

impl Connection {
    async fn run(
        &mut self,
        mut stream: TcpStream,
        mut commands: mpsc::Receiver<Option<proto_naxclow::Command>>,
        shutdown: CancellationToken,
    ) -> &'static str {
        let _ = stream.set_nodelay(true);
        let mut buffer = [0; 1024];
        loop {
            self.events();
            while let Some(bytes) = self.session.poll_transmit() {
                let write = tokio::time::timeout(WRITE_WITHIN, stream.write_all(&bytes)).await;
                if !matches!(write, Ok(Ok(()))) {
                    return "the connection broke";
                }
            }
            if let Some(why) = self.closed {
                return why;
            }
            let timeout = self.session.poll_timeout();
            let timeout = timeout.unwrap_or_else(|| Instant::now() + WRITE_WITHIN);
            // All branches are cancel safe: each takes one thing, or nothing.
            tokio::select! {
                read = stream.read(&mut buffer) => match read {
                    Ok(0) | Err(_) => return "the connection broke",
                    Ok(len) => {
                        let bytes = buffer.get(..len).unwrap_or_default();
                        self.session.handle_input(bytes, Instant::now());
                    }
                },
                // The connection holds a sender itself, so this never ends.
                Some(command) = commands.recv() => match command {
                    Some(command) => {
                        let _ = self.session.command(&command);
                    }
                    None => return "the camera connected anew",
                },
                () = tokio::time::sleep_until(timeout.into()) => {
                    self.session.handle_timeout(Instant::now());
                }
                () = shutdown.cancelled() => return "the gateway stops",
            }
        }
    }

    fn events(&mut self) {
        while let Some(event) = self.session.poll_event() {
            match event {
                MqttEvent::Connected(uid) => {
                    if self.cloud.broker_connected(&uid, self.broker.clone()) {
                        tracing::info!(camera = %uid, peer = %self.peer(), "camera came over MQTT");
                        self.uid = Some(uid);
                    } else {
                        self.session.close("there is no place for another camera");
                    }
                }
                MqttEvent::Info(object) => self.note(|camera| take_info(camera, &object)),
                MqttEvent::Status(_) | MqttEvent::Subscribed => self.note(Camera::hear),
                MqttEvent::Unknown(topic) => {
                    tracing::debug!(topic, "a camera published something unknown");
                }
                MqttEvent::Closed(why) => self.closed = Some(why),
                // The enum may grow; what is new is nothing to act on.
                _ => {}
            }
        }
    }

    fn peer(&self) -> SocketAddr {
        self.broker.peer
    }

    fn note(&self, update: impl FnOnce(&mut Camera)) {
        if let Some(uid) = &self.uid {
            self.cloud.update(uid, update);
        }
    }
}

/// Takes what an Info tells; what it leaves out stays as it was (facts, section 11).
fn take_info(camera: &mut Camera, object: &Object) {
    camera.hear();
    let told = BaseInfo::read(object);
    let known = &mut camera.base_info;
    known.infrared_led = told.infrared_led.or(known.infrared_led);
    known.power = told.power.or(known.power);
    known.record_on_motion = told.record_on_motion.or(known.record_on_motion);
    known.instruction_led = told.instruction_led.or(known.instruction_led);
    known.wifi_name = told.wifi_name.or(known.wifi_name.take());
    known.version = told.version.or(known.version.take());
    let sd_card = &mut camera.sd_card;
    sd_card.state = object.integer("sd_State").or(sd_card.state);
    sd_card.capacity = object.integer("sdCapacity").or(sd_card.capacity);
    sd_card.free = object.integer("SD_freeDisk").or(sd_card.free);
}
