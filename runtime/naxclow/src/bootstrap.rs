//! The HTTP bootstrap: what cameras ask before they register.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proto_naxclow::bootstrap::{
    Bootstrap, Configuration, DOMAIN, Request, device_info, envelope, reply,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::Cloud;
use crate::accept::accept_each;
use crate::camera::Step;

/// Most connections at once: a thousand cameras that come back together, each for milliseconds.
const MAX_CONNECTIONS: usize = 1024;

/// How long a request may take to come, and a connection may idle after one (facts, section 2.5).
const PATIENCE: Duration = Duration::from_secs(10);

/// Most requests over one connection; a camera sends one to three.
const MAX_REQUESTS: usize = 32;

pub(crate) async fn serve(listener: TcpListener, cloud: Cloud, shutdown: CancellationToken) {
    accept_each(listener, MAX_CONNECTIONS, &shutdown, |stream, peer| {
        let (cloud, shutdown) = (cloud.clone(), shutdown.clone());
        Some(async move {
            tokio::select! {
                () = connection(stream, peer, &cloud) => {}
                () = shutdown.cancelled() => {}
            }
        })
    })
    .await;
}

async fn connection(mut stream: TcpStream, peer: SocketAddr, cloud: &Cloud) {
    let local = stream.local_addr().ok().map(|local| local.ip());
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::new();
    for _ in 0..MAX_REQUESTS {
        let read = tokio::time::timeout(PATIENCE, request(&mut stream, &mut buffer)).await;
        let Ok(Ok(Some(request))) = read else {
            return;
        };
        let (status, body) = match cloud.bootstrap(&request, peer.ip(), local) {
            Some(body) => ("200 OK", body),
            None => ("404 Not Found", "{}".to_owned()),
        };
        let date = jiff::Timestamp::now()
            .strftime("%a, %d %b %Y %H:%M:%S GMT")
            .to_string();
        let reply = reply(status, Some(&date), &body);
        let written = tokio::time::timeout(PATIENCE, stream.write_all(&reply)).await;
        if !matches!(written, Ok(Ok(()))) || request.close {
            return;
        }
    }
}

/// The next request; `None` at the end, or when what came is none.
async fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<Option<Request>> {
    let mut piece = [0; 1024];
    loop {
        match Request::read(buffer) {
            Ok(Some((request, used))) => {
                buffer.drain(..used);
                return Ok(Some(request));
            }
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(%error, "a request of no camera");
                let _ = stream
                    .write_all(&reply("400 Bad Request", None, "{}"))
                    .await;
                return Ok(None);
            }
        }
        let len = stream.read(&mut piece).await?;
        if len == 0 {
            return Ok(None);
        }
        buffer.extend_from_slice(piece.get(..len).unwrap_or_default());
    }
}

impl Cloud {
    /// The body of the answer to a request of a camera at `peer`, which reached us at `local`; `None` outside of
    /// `/app/`.
    #[must_use]
    pub fn bootstrap(
        &self,
        request: &Request,
        peer: IpAddr,
        local: Option<IpAddr>,
    ) -> Option<String> {
        let peer = peer.to_canonical();
        if !request.path.starts_with("/app/") {
            return None;
        }
        let nothing = || envelope(proto_naxclow::Value::Null);
        let Some(asked) = Bootstrap::from_path(&request.path) else {
            let path: String = request.path.chars().take(80).collect();
            // A 404 would stall new firmware (facts, section 2.5).
            tracing::info!(%peer, path, "a camera asked for something unknown; it was told that all is well");
            return Some(nothing());
        };
        let uid = request.device();
        if let Some(uid) = &uid {
            let noted = self.note(uid, peer, |camera| {
                camera.steps.reached(Step::Http);
                if request.version.is_some() {
                    camera.version.clone_from(&request.version);
                }
            });
            if noted.is_none() {
                self.count_refused(uid);
            }
        }
        Some(match (asked, uid) {
            (Bootstrap::RegisterDevices, _) => match self.issue() {
                Ok(uid) => {
                    tracing::info!(camera = %uid, %peer, "a new camera was given a device code");
                    envelope(uid.as_str())
                }
                Err(error) => {
                    tracing::warn!(%peer, %error, "a new camera gets no device code");
                    nothing()
                }
            },
            (Bootstrap::DeviceInfo, _) => device_info(),
            (Bootstrap::Configuration, Some(uid)) => {
                let host = self.settings().host.or(local);
                let host = host.or_else(|| self.address_for(peer));
                let pwd = self.new_password();
                self.update(&uid, |camera| camera.pwd = Some(pwd.clone()));
                let configuration = Configuration {
                    tcp_port: self.addresses().tcp.port(),
                    uid,
                    is_bind: "8".to_owned(),
                    domain: DOMAIN.to_owned(),
                    host: host.map_or(String::new(), |host| host.to_canonical().to_string()),
                    unix_time: SystemTime::now()
                        .duration_since(UNIX_EPOCH)
                        .map_or(0, |time| time.as_secs()),
                    pwd,
                };
                envelope(configuration.content())
            }
            (Bootstrap::Configuration, None) => {
                tracing::info!(%peer, "a camera asked for its configuration without a device code");
                nothing()
            }
            (Bootstrap::Confirm | Bootstrap::Binding, _) => nothing(),
        })
    }

    fn new_password(&self) -> String {
        let mut random = [0; 4];
        let _ = getrandom::fill(&mut random);
        format!("{:08x}", u32::from_le_bytes(random))
    }
}
