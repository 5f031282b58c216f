//! What a request means in the connection's present state.

use std::time::Instant;

use super::{Described, Event, MAX_WRONG_LOGINS, Reason, Server, Session, TrackTransport};
use crate::{Lower, Method, Request, Response, SessionField, Status, Transport, Uri, Verdict, sdp};

const PUBLIC: &str =
    "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, GET_PARAMETER, SET_PARAMETER, TEARDOWN";

impl Server {
    pub(super) fn handle_request(&mut self, request: Request, now: Instant) {
        if let Err(response) = self.try_request(request, now) {
            self.respond(response);
        }
    }

    fn try_request(&mut self, request: Request, now: Instant) -> Result<(), Response> {
        let refuse = |status| Err(Response::to(&request, status));
        if !request.version.starts_with("RTSP/1.") {
            return refuse(Status::VERSION_NOT_SUPPORTED);
        }
        if request.headers.first("CSeq").is_none() {
            return refuse(Status::BAD_REQUEST);
        }
        let Some(uri) = Uri::parse(&request.uri) else {
            return refuse(Status::BAD_REQUEST);
        };
        if let Some(option) = request.headers.first("Require") {
            let response = Response::to(&request, Status::OPTION_NOT_SUPPORTED);
            return Err(response.header("Unsupported", option));
        }
        if request.method != Method::Options {
            self.check_login(&request, now)?;
        }
        self.check_session(&request)?;
        match request.method {
            Method::Options => {
                self.respond(Response::to(&request, Status::OK).header("Public", PUBLIC));
                Ok(())
            }
            Method::Describe => self.describe(request, uri),
            Method::Setup => self.setup(request, uri),
            Method::Play => self.play(request),
            Method::Pause => self.pause(&request),
            Method::GetParameter | Method::SetParameter => {
                let response = self.with_session(Response::to(&request, Status::OK));
                self.respond(response);
                Ok(())
            }
            Method::Teardown => self.teardown(&request),
            Method::Announce | Method::Record | Method::Redirect => {
                Err(Response::to(&request, Status::METHOD_NOT_ALLOWED).header("Allow", PUBLIC))
            }
            Method::Other(_) => {
                Err(Response::to(&request, Status::NOT_IMPLEMENTED).header("Public", PUBLIC))
            }
        }
    }

    /// One good login is good for the connection: keep-alives then never meet a stale nonce.
    fn check_login(&mut self, request: &Request, now: Instant) -> Result<(), Response> {
        let Some(authenticator) = self.config.authenticator.clone() else {
            return Ok(());
        };
        if self.is_logged_in {
            return Ok(());
        }
        let header = request.headers.first("Authorization");
        let verdict = authenticator.verify(&request.method, &request.uri, header, now);
        if let Verdict::User(user) = verdict {
            self.user = Some(user.to_owned());
            self.is_logged_in = true;
            return Ok(());
        }
        if verdict == Verdict::Wrong {
            self.wrong_logins += 1;
        }
        let mut response = Response::to(request, Status::UNAUTHORIZED);
        for challenge in authenticator.challenges(verdict == Verdict::Stale, now) {
            response.headers.push("WWW-Authenticate", challenge);
        }
        if self.wrong_logins >= MAX_WRONG_LOGINS {
            self.close(Reason::WrongLogin);
            return Err(response.header("Connection", "close"));
        }
        Err(response)
    }

    fn check_session(&self, request: &Request) -> Result<(), Response> {
        let Some(header) = request.headers.first("Session") else {
            return Ok(());
        };
        let is_ours =
            self.session.is_some() && SessionField::parse(header).id == self.config.session_id;
        // A player that reconnects may greet us with what an earlier connection was told.
        let needs_none = matches!(request.method, Method::Options | Method::Describe);
        if is_ours || needs_none {
            return Ok(());
        }
        Err(Response::to(request, Status::SESSION_NOT_FOUND))
    }

    fn describe(&mut self, request: Request, uri: Uri) -> Result<(), Response> {
        if uri.path == "*" {
            return Err(Response::to(&request, Status::BAD_REQUEST));
        }
        let is_sdp = |accept: &str| accept.contains("application/sdp") || accept.contains("*/*");
        let refuses_sdp =
            request.headers.first("Accept").is_some() && !request.headers.all("Accept").any(is_sdp);
        if refuses_sdp {
            return Err(Response::to(&request, Status::NOT_ACCEPTABLE));
        }
        let is_other = self.described.as_ref().is_some_and(|d| d.path != uri.path);
        if self.is_playing() && is_other {
            // One session, one stream; asking again about the same one disturbs nothing.
            return Err(Response::to(
                &request,
                Status::METHOD_NOT_VALID_IN_THIS_STATE,
            ));
        }
        self.ask_description(request, uri);
        Ok(())
    }

    fn ask_description(&mut self, request: Request, uri: Uri) {
        self.pending = Some(request);
        self.events.push_back(Event::DescribeWanted {
            path: uri.path,
            query: uri.query,
            user: self.user.clone(),
        });
    }

    /// Answers DESCRIBE from what the owner said.
    pub(super) fn respond_description(&mut self, request: &Request) {
        let (Some(described), Some(uri)) = (&self.described, Uri::parse(&request.uri)) else {
            return;
        };
        let host = uri.authority.as_deref().unwrap_or_default();
        let description = &described.description;
        let body = sdp::describe(&description.name, &description.tracks, host);
        let mut response = Response::to(request, Status::OK);
        if let Some(base) = aggregate(&request.uri) {
            response.headers.push("Content-Base", base);
        }
        self.respond(response.body("application/sdp", body.into_bytes()));
    }

    pub(super) fn setup(&mut self, request: Request, uri: Uri) -> Result<(), Response> {
        let refuse = |status| Err(Response::to(&request, status));
        let Some(described) = self.described.as_ref().filter(|d| d.path == uri.path) else {
            if self.session.is_some() {
                // One session, one stream.
                return refuse(Status::METHOD_NOT_VALID_IN_THIS_STATE);
            }
            self.ask_description(request, uri);
            return Ok(());
        };
        if self.is_playing() {
            return refuse(Status::METHOD_NOT_VALID_IN_THIS_STATE);
        }
        let count = described.description.tracks.len();
        let track = match uri.track {
            Some(track) if track < count => track,
            Some(_) => return refuse(Status::NOT_FOUND),
            None if count == 1 => 0,
            None => return refuse(Status::AGGREGATE_NOT_ALLOWED),
        };
        let ssrc = described.description.ssrcs.get(track).copied();
        let Some(mut transport) = self.choose(&request, track) else {
            return refuse(Status::UNSUPPORTED_TRANSPORT);
        };
        transport.ssrc = ssrc;
        match (transport.lower, transport.client_port) {
            (Lower::Udp, Some(client_port)) => {
                self.pending = Some(request);
                self.events
                    .push_back(Event::UdpWanted { track, client_port });
            }
            _ => self.set_up(&request, track, transport),
        }
        Ok(())
    }

    /// The first alternative we can serve, completed with our side of it.
    pub(super) fn choose(&self, request: &Request, track: usize) -> Option<Transport> {
        let mut offered = request
            .headers
            .all("Transport")
            .flat_map(Transport::parse_all);
        let taken = self
            .session
            .as_ref()
            .map(|s| s.tracks.as_slice())
            .unwrap_or_default();
        let others = || {
            taken
                .iter()
                .filter(|t| t.track != track)
                .map(|t| &t.transport)
        };
        offered.find_map(|offer| {
            // A session travels one way or the other, not both.
            let is_mixed = others().any(|other| other.lower != offer.lower);
            if offer.is_multicast || !offer.is_play() || is_mixed {
                return None;
            }
            match offer.lower {
                Lower::Tcp => {
                    let first = u8::try_from(track).ok()?.checked_mul(2)?;
                    let ours = (first, first.checked_add(1)?);
                    let clashes = |(a, b): (u8, u8)| {
                        let mut used = others().filter_map(|other| other.interleaved);
                        a == b || used.any(|(c, d)| [a, b].contains(&c) || [a, b].contains(&d))
                    };
                    let proposed = offer.interleaved.filter(|&pair| !clashes(pair));
                    let channels = match proposed {
                        Some(pair) if !self.config.has_fixed_channels => pair,
                        _ if clashes(ours) => return None,
                        _ => ours,
                    };
                    Some(Transport::tcp(channels))
                }
                Lower::Udp => {
                    let (rtp, rtcp) = offer.client_port?;
                    let is_usable = self.config.allows_udp && rtp != 0 && rtcp != 0;
                    is_usable.then(|| Transport::udp((rtp, rtcp)))
                }
            }
        })
    }

    pub(super) fn set_up(&mut self, request: &Request, track: usize, transport: Transport) {
        let response = Response::to(request, Status::OK)
            .header("Transport", transport.to_string())
            .header(
                "Session",
                SessionField {
                    id: self.config.session_id.clone(),
                    timeout: Some(self.config.session_timeout),
                }
                .to_string(),
            );
        let session = self.session.get_or_insert_with(Session::default);
        session.tracks.retain(|t| t.track != track);
        session.tracks.push(TrackTransport { track, transport });
        session.tracks.sort_by_key(|t| t.track);
        self.respond(response);
    }

    fn play(&mut self, request: Request) -> Result<(), Response> {
        let (Some(session), Some(Described { path, query, .. })) = (&self.session, &self.described)
        else {
            return Err(Response::to(
                &request,
                Status::METHOD_NOT_VALID_IN_THIS_STATE,
            ));
        };
        if session.is_playing {
            // Some players use PLAY as their keep-alive.
            let response = self.with_session(Response::to(&request, Status::OK));
            self.respond(response);
            return Ok(());
        }
        let wanted = Event::PlayWanted {
            path: path.clone(),
            query: query.clone(),
            tracks: session.tracks.clone(),
        };
        self.pending = Some(request);
        self.events.push_back(wanted);
        Ok(())
    }

    fn pause(&mut self, request: &Request) -> Result<(), Response> {
        let Some(session) = &mut self.session else {
            return Err(Response::to(
                request,
                Status::METHOD_NOT_VALID_IN_THIS_STATE,
            ));
        };
        if std::mem::take(&mut session.is_playing) {
            self.events.push_back(Event::Paused);
        }
        let response = self.with_session(Response::to(request, Status::OK));
        self.respond(response);
        Ok(())
    }

    fn teardown(&mut self, request: &Request) -> Result<(), Response> {
        let response = self.with_session(Response::to(request, Status::OK));
        self.respond(response);
        if self.session.take().is_some() {
            self.events.push_back(Event::Teardown);
        }
        Ok(())
    }

    pub(super) fn with_session(&self, response: Response) -> Response {
        if self.session.is_none() {
            return response;
        }
        response.header("Session", self.config.session_id.clone())
    }
}

/// The address of the whole stream, ready to have a track's name appended: no query, a final slash.
pub(super) fn aggregate(uri: &str) -> Option<String> {
    let (scheme, rest) = uri.split_once("://")?;
    let rest = rest.split('?').next().unwrap_or_default();
    // A login in the address is the player's own secret: it is not repeated.
    let rest = match rest.split_once('/') {
        Some((authority, path)) => {
            let host = authority.rsplit('@').next().unwrap_or_default();
            let path = match path.rfind(crate::uri::TRACK) {
                Some(at) => path.get(..at).unwrap_or_default(),
                None => path,
            };
            format!("{host}/{}", path.trim_matches('/'))
        }
        None => rest.rsplit('@').next().unwrap_or_default().to_owned(),
    };
    Some(format!("{scheme}://{}/", rest.trim_end_matches('/')))
}
