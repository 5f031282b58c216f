//! What ffmpeg, a player not of ours, sees of the simulated cameras.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::net::SocketAddr;
use std::process::{Output, Stdio};

use sim_cameras::RtspCamera;
use tokio::net::TcpListener;
use tokio::process::Command;

async fn start(camera: RtspCamera) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(camera.serve(listener));
    address
}

/// Plays `url` for `seconds`; `None`, with a note, where there is no ffmpeg.
async fn play(url: &str, seconds: &str) -> Option<Output> {
    let played = Command::new("ffmpeg")
        .args(["-v", "warning", "-rtsp_transport", "tcp", "-i", url])
        .args(["-t", seconds, "-f", "framecrc", "-"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await;
    match played {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            assert!(std::env::var_os("CI").is_none(), "ffmpeg is missing");
            eprintln!("skipped: ffmpeg is missing");
            None
        }
        Err(error) => panic!("ffmpeg: {error}"),
    }
}

/// How many decoded units of a stream framecrc lists.
fn count(output: &Output, stream: u32) -> usize {
    let text = String::from_utf8_lossy(&output.stdout);
    let prefix = format!("{stream},");
    text.lines()
        .filter(|line| line.starts_with(&prefix))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_decodes_the_porch_with_a_digest_login_and_without_a_complaint() {
    let camera = RtspCamera::porch().with_login("admin", "se-cret");
    let address = start(camera.clone()).await;
    let Some(output) = play(&camera.url(address), "3").await else {
        return;
    };
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaints}");
    assert_eq!(complaints, "");
    assert!(
        (70..=80).contains(&count(&output, 0)),
        "{}",
        count(&output, 0)
    );
    assert!(count(&output, 1) > 10);
    assert_eq!(camera.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_decodes_the_jpeg_camera_without_a_complaint() {
    let address = start(RtspCamera::jpeg()).await;
    let Some(output) = play(&RtspCamera::jpeg().url(address), "2").await else {
        return;
    };
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaints}");
    // JPEG's full range is told by a name that newer ffmpegs call deprecated; nothing else is said.
    let odd = complaints
        .lines()
        .find(|line| !line.contains("deprecated pixel format"));
    assert_eq!(odd, None);
    assert!(count(&output, 0) >= 15, "{}", count(&output, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_with_a_wrong_password_is_told_so() {
    let address = start(RtspCamera::porch().with_login("admin", "secret")).await;
    let url = format!("rtsp://admin:wrong@{address}/stream1");
    let Some(output) = play(&url, "1").await else {
        return;
    };
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("401"));
}
