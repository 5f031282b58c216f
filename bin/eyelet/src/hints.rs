//! What to try after a probe failed, by the kind of source.

use config::Scheme;
use drivers::{DriverError, Reason};

/// What to try next.
pub(crate) fn hint(scheme: Scheme, error: &DriverError) -> &'static str {
    match scheme {
        Scheme::JpegTcp | Scheme::MjpegHttp | Scheme::Http => jpeg(scheme, error.reason()),
        Scheme::JpegPush | Scheme::JpegUdp => {
            "does the camera know this machine's address and this port? A firewall on this machine must let it in. The stock firmware connects 5 s after its start, and every 5 s"
        }
        Scheme::Reolink | Scheme::ReolinkUid => reolink(error.reason()),
        _ => rtsp(error.reason()),
    }
}

fn reolink(reason: Reason) -> &'static str {
    match reason {
        Reason::Unreachable => {
            "is it on, and the address or UID right? Mains cameras answer at port 9000; battery cameras have no such port and are named by UID (reolink+uid://). Over UDP from another network: ?address=IP or ?discovery=remote"
        }
        Reason::Login => {
            "the user and password of the vendor's app, where case matters. Wait a minute: cameras lock up after a few wrong ones"
        }
        Reason::NotFound | Reason::Unsupported => "?stream=sub, or another ?channel=",
        Reason::Protocol => {
            "is this the camera's media port? Leave ?encryption= out. With --verbose more is told"
        }
        Reason::Stalled => "once more: a battery camera takes a while to wake",
        Reason::Resting => "what is told above",
        Reason::Closed => "fewer viewers at the camera: the app counts as well",
    }
}

fn jpeg(scheme: Scheme, reason: Reason) -> &'static str {
    match reason {
        Reason::Unreachable => {
            "is the camera on, and the address right? ESP32 cameras listen on port 1234 (jpeg+tcp://), on 81 for a stream (mjpeg+http://HOST:81/stream) or on 80 for stills (http://HOST/capture). From another network it needs an agent beside it"
        }
        Reason::Login => "the user and password of the camera's own page",
        Reason::NotFound => {
            "CameraWebServer has /stream on port 81 and /capture on port 80; ESPHome has / on the ports of its configuration; esp32cam-rtsp has /stream and /snapshot"
        }
        Reason::Unsupported => "the address of the stream or of a still, not of the camera's page",
        Reason::Protocol | Reason::Stalled if scheme == Scheme::JpegTcp => {
            "the same address with mjpeg+http://HOST:81/stream or rtsp://; bare pictures come from port 1234 in most sketches"
        }
        Reason::Protocol => {
            "the same address with jpeg+tcp:// or rtsp://. With --verbose more is told"
        }
        Reason::Stalled | Reason::Closed | Reason::Resting => {
            "close other programs that watch it: most such cameras serve one at a time. http://HOST/capture may answer meanwhile"
        }
    }
}

fn rtsp(reason: Reason) -> &'static str {
    match reason {
        Reason::Unreachable => {
            "is the camera on, is the address right, is RTSP switched on in its settings? From another network it needs an agent beside it"
        }
        Reason::Login => {
            "the user and password of the camera's own page; some cameras have a separate RTSP or ONVIF user. Wait: many lock up for half an hour after five wrong tries"
        }
        Reason::NotFound => {
            "the maker's path, as /cam/realmonitor?channel=1&subtype=0 (Dahua), /Streaming/Channels/101 (Hikvision), /axis-media/media.amp (Axis), /stream=0 (OpenIPC)"
        }
        Reason::Unsupported => "another stream of the camera, or H.264 or H.265 in its settings",
        Reason::Protocol => "is this an RTSP port? With --verbose more is told",
        Reason::Stalled => {
            "the other transport (with or without --udp); a firewall may drop the media"
        }
        Reason::Resting => "what is told above",
        Reason::Closed => "fewer viewers at the camera: many serve only a few at once",
    }
}
