//! A camera that is its own network: it listens, one client at a time.

use std::io;
use std::sync::atomic::Ordering;

use proto_naxclow::{Channel, Device, DeviceEvent, Media};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, MissedTickBehavior};

use super::{A9Camera, PERIOD, avi};

impl A9Camera {
    /// Serves clients, one after the other, as a camera in access-point mode does.
    ///
    /// # Errors
    /// The listener is gone.
    pub async fn serve_access_point(self, listener: TcpListener) -> io::Result<()> {
        let recordings = self.sd_card.clone().unwrap_or_else(avi::recordings);
        loop {
            let (stream, _) = listener.accept().await?;
            // How a client leaves is its own business.
            let _ = self.serve_client(stream, recordings.clone()).await;
        }
    }

    async fn serve_client(
        &self,
        mut stream: TcpStream,
        recordings: Vec<(proto_naxclow::recordings::Minute, bytes::Bytes)>,
    ) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let (local, peer) = (stream.local_addr()?, stream.peer_addr()?);
        let mut config = self.profile.config(self.uid.clone(), local, peer);
        config.base_info.sd_status = Some(1);
        config.recordings = recordings;
        let mut device = Device::access_point(config, Instant::now().into_std());
        let mut wants = Media::default();
        let mut media = tokio::time::interval(PERIOD);
        media.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (mut picture, mut block) = (0_u64, 0_u64);
        let mut buffer = [0; 4096];
        loop {
            while let Some(event) = device.poll_event() {
                match event {
                    DeviceEvent::Media(media) => wants = media,
                    DeviceEvent::Unconfirmed => wants = Media::default(),
                    DeviceEvent::Reboot => {
                        self.counters.reboots.fetch_add(1, Ordering::Relaxed);
                        return Ok(());
                    }
                    _ => {}
                }
            }
            while let Some(transmit) = device.poll_transmit() {
                stream.write_all(&transmit.bytes).await?;
            }
            let timeout = device.poll_timeout().map(Instant::from_std);
            let timeout = timeout.unwrap_or_else(|| Instant::now() + PERIOD);
            // All branches are cancel safe: each takes one thing, or nothing.
            tokio::select! {
                len = stream.read(&mut buffer) => {
                    let len = len?;
                    if len == 0 {
                        return Ok(());
                    }
                    let bytes = buffer.get(..len).unwrap_or_default();
                    let now = Instant::now().into_std();
                    device.handle_input(Channel::Control, bytes, now).map_err(io::Error::other)?;
                }
                () = tokio::time::sleep_until(timeout) => device.handle_timeout(Instant::now().into_std()),
                _ = media.tick(), if wants != Media::default() => {
                    let now = Instant::now().into_std();
                    if wants.video && device.send_picture(&(self.pictures)(picture), now) {
                        self.counters.pictures.fetch_add(1, Ordering::Relaxed);
                    }
                    picture += 1;
                    if wants.audio {
                        device.send_audio(self.sound(block), now);
                        block += 1;
                    }
                }
            }
        }
    }
}
