//! The camera's MQTT connection (facts, section 11).

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use proto_naxclow::mqtt::{
    Connect, INFO_TOPIC, Packet, PacketDecoder, STATUS_TOPIC, command_topic, status,
};
use proto_naxclow::{Command, Object, Uid};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Counters;

/// How often a ping goes out (capture).
const PING_EVERY: Duration = Duration::from_secs(10);

/// The first Info follows the status (capture).
const INFO_AFTER: Duration = Duration::from_secs(1);

/// Speaks MQTT until the connection ends, or the camera is told to reboot.
pub(super) async fn run(to: SocketAddr, uid: &Uid, counters: &Counters) -> io::Result<()> {
    let mut stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let will = (STATUS_TOPIC.to_owned(), Bytes::from(status(uid, 0)), 1);
    let connect = Packet::Connect(Connect {
        client_id: uid.to_string(),
        keep_alive: 10,
        clean: true,
        will: Some(will),
        user: Some(uid.to_string()),
        // With its quotes, as the capture has it.
        password: Some(Bytes::from_static(b"\"656f41d93b\"")),
    });
    stream.write_all(&connect.encode()).await?;
    let subscribe = Packet::Subscribe(1, vec![(command_topic(uid), 1)]);
    stream.write_all(&subscribe.encode()).await?;
    let publish = |topic: &str, text: String| Packet::Publish {
        topic: topic.to_owned(),
        payload: text.into(),
        id: None,
    };
    stream
        .write_all(&publish(STATUS_TOPIC, status(uid, 1)).encode())
        .await?;
    let mut lamp = 0;
    let mut decoder = PacketDecoder::default();
    let mut ping = tokio::time::interval_at(tokio::time::Instant::now() + PING_EVERY, PING_EVERY);
    let first_info = tokio::time::sleep(INFO_AFTER);
    tokio::pin!(first_info);
    let mut told = false;
    let mut buffer = [0; 1024];
    loop {
        // All branches are cancel safe: each takes one thing, or nothing.
        tokio::select! {
            len = stream.read(&mut buffer) => {
                let len = len?;
                if len == 0 {
                    return Ok(());
                }
                decoder.feed(buffer.get(..len).unwrap_or_default());
            }
            _ = ping.tick() => stream.write_all(&Packet::PingReq.encode()).await?,
            () = &mut first_info, if !told => {
                told = true;
                stream.write_all(&publish(INFO_TOPIC, info(uid, lamp)).encode()).await?;
            }
        }
        while let Some(packet) = decoder.poll().map_err(io::Error::other)? {
            let Packet::Publish { payload, id, .. } = packet else {
                continue;
            };
            if let Some(id) = id {
                stream.write_all(&Packet::PubAck(id).encode()).await?;
            }
            let command = Object::read(&payload).and_then(|object| Command::read(&object));
            match command {
                Ok(Command::Reboot) => {
                    counters.reboots.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                Ok(Command::InfraredLed(on)) => {
                    lamp = i64::from(on);
                    stream
                        .write_all(&publish(INFO_TOPIC, info(uid, lamp)).encode())
                        .await?;
                }
                _ => {}
            }
        }
    }
}

/// An Info as the capture has it.
fn info(uid: &Uid, lamp: i64) -> String {
    format!(
        "{{\"apStatus\": 0,\"devPower\": 100,\"sdCapacity\": 60,\"IrLed\": {lamp},\"SD_freeDisk\": 3539,\"SD_blockDisk\": 60334,\"cameraState\": 0,\"sd_State\": 1,\"sdMoveMode\": 0,\"sdCardReco\": 1,\"instLed\": 1,\"random\":\"BCDEFG\",\"token\":\"910d310434\",\"devicesCode\":\"{uid}\",\"wifiName\":\"home\",\"version\":\"202212011602\"}}"
    )
}
