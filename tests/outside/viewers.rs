//! Viewers that other people wrote play the restream.
use std::path::Path;

use eyelet_tests::camera::{Camera, Model};
use eyelet_tests::eyelet::Gateway;
use eyelet_tests::frames::Reference;
use eyelet_tests::media::{HEIGHT, Media, WIDTH};
use eyelet_tests::players::{self, Transport};
use eyelet_tests::process;
use eyelet_tests::world::Host;
use eyelet_tests::{require, tools};

/// A camera on this machine and a gateway that restreams it as `porch`.
fn restream(model: Model, extra: &str) -> (Camera, Gateway) {
    let camera = Camera::start(&Host::here(), model);
    let gateway = Gateway::start(&format!(
        "cameras:\n  porch: {{ source: \"{}\"{extra} }}\n",
        camera.url()
    ));
    (camera, gateway)
}

/// Five seconds by an ffmpeg: clean, and each picture the camera's.
fn ffmpeg_plays(program: &Path, model: Model, extra: &str, transport: Transport) {
    require!(tools::has_camera(), "GStreamer's RTSP server and ffmpeg");
    let video = model.video;
    let (_camera, gateway) = restream(model, extra);
    let played = players::ffmpeg(&Host::here(), program, &gateway.url("porch"), transport, 5);
    played.assert_clean(5, video.fps());
    Reference::decode(program, video).assert_consecutive(&played.pictures);
}

#[test]
fn debians_ffmpeg_plays_h264_over_tcp() {
    ffmpeg_plays(&players::debian_ffmpeg(), Model::h264(), "", Transport::Tcp);
}

#[test]
fn debians_ffmpeg_plays_h264_over_udp() {
    ffmpeg_plays(&players::debian_ffmpeg(), Model::h264(), "", Transport::Udp);
}

#[test]
fn debians_ffmpeg_plays_h265_over_tcp() {
    ffmpeg_plays(&players::debian_ffmpeg(), Model::h265(), "", Transport::Tcp);
}

#[test]
fn debians_ffmpeg_plays_a_camera_that_sends_over_udp() {
    ffmpeg_plays(
        &players::debian_ffmpeg(),
        Model::h264(),
        ", transport: udp",
        Transport::Tcp,
    );
}

#[test]
fn debians_ffmpeg_plays_mjpeg() {
    let model = Model {
        video: Media::Mjpeg,
        audio: None,
        login: Some("basic"),
        ..Model::h264()
    };
    require!(tools::has_camera(), "GStreamer's RTSP server and ffmpeg");
    let (_camera, gateway) = restream(model, "");
    let played = players::ffmpeg(
        &Host::here(),
        Path::new("ffmpeg"),
        &gateway.url("porch"),
        Transport::Tcp,
        5,
    );
    played.assert_clean(5, 10);
}

#[test]
fn the_newer_static_ffmpeg_plays_h264_and_h265() {
    let program = players::static_ffmpeg();
    require!(program.is_some(), "the Python package imageio-ffmpeg");
    let program = program.unwrap();
    ffmpeg_plays(&program, Model::h264(), "", Transport::Tcp);
    ffmpeg_plays(&program, Model::h265(), "", Transport::Tcp);
}

#[test]
fn ffprobe_sees_every_track_of_the_camera() {
    require!(tools::has_camera(), "GStreamer's RTSP server and ffmpeg");
    for (video, audio, names) in [
        (Media::H264, Media::Aac, ["h264", "aac"]),
        (Media::H265, Media::Aac, ["hevc", "aac"]),
        (Media::H264, Media::Alaw, ["h264", "pcm_alaw"]),
        (Media::H264, Media::Mulaw, ["h264", "pcm_mulaw"]),
    ] {
        let model = Model {
            video,
            audio: Some(audio),
            ..Model::h264()
        };
        let (_camera, gateway) = restream(model, "");
        let found = players::ffprobe(&Host::here(), &gateway.url("porch"));
        let streams = found["streams"].as_array().unwrap();
        let found: Vec<_> = streams
            .iter()
            .map(|stream| stream["codec_name"].as_str().unwrap())
            .collect();
        assert_eq!(found, names);
        assert_eq!(
            (&streams[0]["width"], &streams[0]["height"]),
            (&WIDTH.into(), &HEIGHT.into())
        );
    }
}

#[test]
fn ffmpeg_decodes_sound_of_every_kind() {
    require!(tools::has_camera(), "GStreamer's RTSP server and ffmpeg");
    for audio in [Media::Aac, Media::Alaw, Media::Mulaw] {
        let (_camera, gateway) = restream(
            Model {
                audio: Some(audio),
                ..Model::h264()
            },
            "",
        );
        let output = players::ffmpeg_all_tracks(&Host::here(), &gateway.url("porch"), 4);
        assert!(output.status.success());
        assert_eq!(process::text(&output.stderr), "", "with {audio:?}");
    }
}

#[test]
fn gstreamer_plays_over_tcp_and_udp() {
    require!(
        tools::has_camera() && tools::has("gst-launch-1.0"),
        "GStreamer"
    );
    let (_camera, gateway) = restream(Model::h264(), "");
    players::gstreamer(&Host::here(), &gateway.url("porch"), Transport::Tcp, 100);
    players::gstreamer(&Host::here(), &gateway.url("porch"), Transport::Udp, 100);
}

#[test]
fn opencv_plays_moving_pictures() {
    require!(tools::has_camera(), "GStreamer's RTSP server and ffmpeg");
    require!(
        tools::python_with_packages().is_some(),
        "the Python package opencv-python-headless"
    );
    let (_camera, gateway) = restream(Model::h264(), "");
    let (width, height, moving) = players::opencv(&Host::here(), &gateway.url("porch"), 100);
    assert_eq!((width, height), (WIDTH, HEIGHT));
    assert!(moving >= 98, "only {moving} of 100 pictures moved");
}

#[test]
fn a_password_with_odd_characters_reaches_the_camera() {
    require!(tools::has_camera(), "GStreamer's RTSP server and ffmpeg");
    let odd = "p@ss:w/rd?#%";
    let camera = Camera::start(
        &Host::here(),
        Model {
            password: odd,
            ..Model::h264()
        },
    );
    let path = eyelet_tests::camera::PATH;
    let port = camera.port();
    let gateway = Gateway::start(&format!(
        "cameras:\n  keys: {{ source: \"rtsp://127.0.0.1:{port}{path}\", user: admin, password: \"{odd}\" }}\n  \
         coded: \"rtsp://admin:p%40ss%3Aw%2Frd%3F%23%25@127.0.0.1:{port}{path}\"\n"
    ));
    for name in ["keys", "coded"] {
        let played = players::ffmpeg(
            &Host::here(),
            Path::new("ffmpeg"),
            &gateway.url(name),
            Transport::Tcp,
            1,
        );
        played.assert_clean(1, 25);
    }
}
