//! The owner's answers to what the server asked.

use std::time::Instant;

use super::requests::aggregate;
use super::{Described, Description, Server, TrackStart};
use crate::uri::TRACK;
use crate::{Method, Range, Response, RtpInfo, Status, Uri};

impl Server {
    /// Answers [`super::Event::DescribeWanted`]: the stream's tracks, or why there are none.
    pub fn answer_describe(&mut self, answer: Result<Description, Status>, now: Instant) {
        let Some(request) = self.pending.take() else {
            return;
        };
        let uri = Uri::parse(&request.uri);
        match (answer, uri) {
            (Ok(description), Some(uri)) => {
                // A SETUP out of the blue has no say in the query of an earlier DESCRIBE.
                self.described = Some(Described {
                    path: uri.path.clone(),
                    query: uri.query.clone(),
                    description,
                });
                if request.method == Method::Setup {
                    if let Err(response) = self.setup(request, uri) {
                        self.respond(response);
                    }
                } else {
                    self.respond_description(&request);
                }
            }
            (Err(status), _) => {
                let mut response = Response::to(&request, status);
                if status == Status::SERVICE_UNAVAILABLE {
                    response.headers.push("Retry-After", "5");
                }
                self.respond(response);
            }
            (Ok(_), None) => self.respond(Response::to(&request, Status::BAD_REQUEST)),
        }
        self.resume(now);
    }

    /// Answers [`super::Event::UdpWanted`]: our ports for RTP and RTCP, or why there are none.
    pub fn answer_udp(&mut self, answer: Result<(u16, u16), Status>, now: Instant) {
        let Some(request) = self.pending.take() else {
            return;
        };
        let track = Uri::parse(&request.uri)
            .and_then(|uri| uri.track)
            .unwrap_or(0);
        match (answer, self.choose(&request, track)) {
            (Ok(server_port), Some(mut transport)) => {
                transport.server_port = Some(server_port);
                transport.ssrc = self
                    .described
                    .as_ref()
                    .and_then(|d| d.description.ssrcs.get(track).copied());
                self.set_up(&request, track, transport);
            }
            (Err(status), _) => self.respond(Response::to(&request, status)),
            (Ok(_), None) => self.respond(Response::to(&request, Status::UNSUPPORTED_TRANSPORT)),
        }
        self.resume(now);
    }

    /// Answers [`super::Event::PlayWanted`]: where each track begins (a track whose beginning is not
    /// known is left out), or why it cannot.
    pub fn answer_play(&mut self, answer: Result<&[TrackStart], Status>, now: Instant) {
        let Some(request) = self.pending.take() else {
            return;
        };
        match answer {
            Err(status) => self.respond(Response::to(&request, status)),
            Ok(starts) => {
                if let Some(session) = &mut self.session {
                    session.is_playing = true;
                }
                let base = aggregate(&request.uri).unwrap_or_default();
                let entry = |start: &TrackStart| {
                    let url = format!("{base}{TRACK}{}", start.track);
                    let (seq, rtptime) = (Some(start.seq), Some(start.rtptime));
                    RtpInfo { url, seq, rtptime }.to_string()
                };
                let infos: Vec<String> = starts.iter().map(entry).collect();
                let mut response = self.with_session(Response::to(&request, Status::OK));
                response.headers.push("Range", Range::Now.to_string());
                if !infos.is_empty() {
                    response.headers.push("RTP-Info", infos.join(","));
                }
                self.respond(response);
            }
        }
        self.resume(now);
    }

    /// Goes on with what came meanwhile.
    fn resume(&mut self, now: Instant) {
        self.touch(now);
        self.drain(now);
    }
}
