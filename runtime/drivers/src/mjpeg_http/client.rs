use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use dialer::{BoxIo, Dialer, Target};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, LOCATION, USER_AGENT, WWW_AUTHENTICATE,
};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use proto_rtsp::{Method, answer_challenges};

use crate::{Camera, DriverError};

/// Time for the head of an answer. A single-threaded camera may first finish another request.
const ANSWER: Duration = Duration::from_secs(10);

/// Longest header value that is read: challenges stay below 400 characters.
const MAX_SAID: usize = 1024;

/// One camera that is asked by HTTP, over one connection at a time.
pub(crate) struct Client<'a> {
    camera: &'a Camera,
    dialer: &'a dyn Dialer,
    target: Target,
    path: String,
    link: Option<Link>,
    /// The challenges to answer without being asked again.
    challenges: Vec<String>,
}

/// A connection, driven by whoever waits for something from it.
struct Link {
    sender: SendRequest<String>,
    /// `None` once it has ended; what it received before can still be read.
    connection: Option<Connection<TokioIo<BoxIo>, String>>,
}

/// The body of an answer, piece by piece.
pub(crate) struct Body<'c> {
    link: &'c mut Link,
    incoming: Incoming,
}

impl<'a> Client<'a> {
    pub(crate) fn new(camera: &'a Camera, dialer: &'a dyn Dialer) -> Self {
        let url = &camera.url;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let path = match (url.path(), url.query()) {
            ("", None) => "/".to_owned(),
            ("", Some(query)) => format!("/?{query}"),
            (path, None) => path.to_owned(),
            (path, Some(query)) => format!("{path}?{query}"),
        };
        Self {
            camera,
            dialer,
            target: Target::new(host, url.port().unwrap_or(80)),
            path,
            link: None,
            challenges: Vec::new(),
        }
    }

    /// Asks for the source's path, logs in where the camera wants it.
    ///
    /// Gives the `Content-Type` and the body of an answer that says 200.
    pub(crate) async fn ask(&mut self) -> Result<(String, Body<'_>), DriverError> {
        let mut has_answered_challenge = !self.challenges.is_empty();
        loop {
            let is_reused = self.link.is_some();
            let mut link = match self.link.take() {
                Some(link) => link,
                None => connect(self.dialer, &self.target).await?,
            };
            let asked = link.request(self.request()?);
            let response = match tokio::time::timeout(ANSWER, asked).await {
                Ok(Ok(response)) => response,
                // The camera may close a kept connection at any time: that is no failure.
                Ok(Err(_)) if is_reused => continue,
                Ok(Err(error)) => return Err(explain(&error)),
                Err(_) => {
                    return Err(DriverError::TimedOut {
                        step: "GET",
                        after: ANSWER,
                    });
                }
            };
            let status = response.status();
            if status == StatusCode::UNAUTHORIZED {
                let challenges = texts(response.headers(), WWW_AUTHENTICATE.as_str());
                let is_stale = challenges
                    .iter()
                    .any(|challenge| challenge.to_ascii_lowercase().contains("stale=true"));
                if has_answered_challenge && !is_stale {
                    return Err(self.login_refused("401 Unauthorized"));
                }
                self.challenges = challenges;
                if self.authorization().is_none() {
                    return Err(self.login_refused(match self.camera.user {
                        None => "401 Unauthorized, and the source names no user",
                        Some(_) => "401 Unauthorized, and it offers neither Basic nor Digest",
                    }));
                }
                // One more try even if it says stale for ever.
                has_answered_challenge = true;
                if is_stale {
                    tracing::debug!(camera = %self.camera.name, "the camera's login is stale");
                }
                // The connection is not used again: its answer has a body that nobody wants.
                continue;
            }
            if status != StatusCode::OK {
                return Err(self.refused(&response));
            }
            let of_type = texts(response.headers(), CONTENT_TYPE.as_str());
            let of_type = of_type.into_iter().next().unwrap_or_default();
            let link = self.link.insert(link);
            let incoming = response.into_body();
            return Ok((of_type, Body { link, incoming }));
        }
    }

    fn request(&self) -> Result<Request<String>, DriverError> {
        let host = match self.target.port {
            80 => self.target.to_string().trim_end_matches(":80").to_owned(),
            _ => self.target.to_string(),
        };
        let mut request = Request::get(&self.path)
            .header(HOST, host)
            .header(ACCEPT, "multipart/x-mixed-replace, image/jpeg, */*")
            .header(USER_AGENT, concat!("Eyelet/", env!("CARGO_PKG_VERSION")));
        if let Some(authorization) = self.authorization() {
            request = request.header(AUTHORIZATION, authorization);
        }
        request.body(String::new()).map_err(|error| {
            DriverError::Configuration(format!("the source makes no HTTP request: {error}"))
        })
    }

    fn authorization(&self) -> Option<String> {
        let user = self.camera.user.as_deref()?;
        let password = self.camera.password.as_deref().unwrap_or_default();
        let cnonce = format!("{:016x}", getrandom::u64().unwrap_or(1));
        answer_challenges(
            self.challenges.iter().map(String::as_str),
            user,
            password,
            &Method::Other("GET".to_owned()),
            &self.path,
            &cnonce,
        )
    }

    /// An answer that is neither 200 nor 401.
    fn refused(&self, response: &Response<Incoming>) -> DriverError {
        let status = response.status();
        let said = format!("it answered {status}");
        if status.is_redirection() {
            let to = texts(response.headers(), LOCATION.as_str());
            let to = to.first().map_or("another address", String::as_str);
            return DriverError::Unsupported(format!(
                "{said} and points to {to}; redirects are not followed, so that a camera cannot send this program elsewhere: write that address as the source if it is the right one"
            ));
        }
        match status {
            StatusCode::FORBIDDEN => self.login_refused("403 Forbidden"),
            StatusCode::NOT_FOUND => DriverError::NotFound {
                path: self.path.clone(),
                said,
            },
            StatusCode::SERVICE_UNAVAILABLE => DriverError::Closed(format!(
                "{said}: many cameras serve one viewer at a time, close other programs that watch it"
            )),
            _ => DriverError::Protocol(said),
        }
    }

    fn login_refused(&self, said: &str) -> DriverError {
        DriverError::Login {
            user: self.camera.user.clone(),
            said: said.to_owned(),
        }
    }
}

async fn connect(dialer: &dyn Dialer, target: &Target) -> Result<Link, DriverError> {
    let connected = dialer.connect(target).await;
    let io = connected.map_err(|source| DriverError::Unreachable {
        target: target.to_string(),
        path: dialer.describe(),
        source,
    })?;
    let (sender, connection) = http1::Builder::new()
        .ignore_invalid_headers_in_responses(true)
        .handshake(TokioIo::new(io))
        .await
        .map_err(|error| explain(&error))?;
    Ok(Link {
        sender,
        connection: Some(connection),
    })
}

impl Link {
    async fn request(
        &mut self,
        request: Request<String>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        let Self { sender, connection } = self;
        drive(connection, sender.ready()).await?;
        drive(connection, sender.send_request(request)).await
    }
}

impl Body<'_> {
    /// The next bytes; `None` at the end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, DriverError> {
        loop {
            let incoming = &mut self.incoming;
            let frame = poll_fn(|context| Pin::new(&mut *incoming).poll_frame(context));
            let frame = drive(&mut self.link.connection, frame).await;
            let Some(frame) = frame.transpose().map_err(|error| explain(&error))? else {
                return Ok(None);
            };
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
    }
}

/// Waits for `wanted` while the connection does its work.
async fn drive<T>(
    connection: &mut Option<Connection<TokioIo<BoxIo>, String>>,
    wanted: impl Future<Output = T>,
) -> T {
    tokio::pin!(wanted);
    if let Some(running) = connection {
        tokio::select! {
            // What is wanted first: it may be there already.
            biased;
            outcome = &mut wanted => return outcome,
            // How it ended, `wanted` is told too.
            _ended = running => {}
        }
        *connection = None;
    }
    wanted.await
}

fn explain(error: &hyper::Error) -> DriverError {
    use std::error::Error as _;
    let cause = error
        .source()
        .map_or(String::new(), |cause| format!(": {cause}"));
    let text = format!("{error}{cause}");
    if error.is_parse() {
        DriverError::Protocol(format!(
            "{text}; is this an HTTP port? A bare JPEG camera is jpeg+tcp://, an RTSP camera rtsp://"
        ))
    } else {
        DriverError::Closed(text)
    }
}

fn texts(headers: &HeaderMap, name: &str) -> Vec<String> {
    let values = headers.get_all(name).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .map(|text| text.chars().take(MAX_SAID).collect())
        .collect()
}
