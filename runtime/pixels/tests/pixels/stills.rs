use std::path::PathBuf;
use std::sync::Arc;

use pixels::{Error, Pixels, Program, Settings};

use crate::camera::{Camera, H264, H264_422, H265, SIZE, decoder, pixels, size};

#[tokio::test]
async fn a_keyframe_of_h264_becomes_a_picture() {
    let mut camera = Camera::h264(H264);
    let unit = camera.send();
    let still = pixels()
        .still(&camera.stream, &camera.tracks, &unit)
        .await
        .unwrap();
    assert_eq!(size(&still.payload), SIZE);
    assert_eq!((still.time, still.received), (unit.time, unit.received));
}

#[tokio::test]
async fn a_keyframe_of_h265_becomes_a_picture() {
    let mut camera = Camera::h265(H265);
    let unit = camera.send();
    let still = pixels()
        .still(&camera.stream, &camera.tracks, &unit)
        .await
        .unwrap();
    assert_eq!(size(&still.payload), SIZE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_who_ask_at_once_cost_one_decoding() {
    // A decoder that notes each of its starts.
    let folder = tempfile::tempdir().unwrap();
    let notes = folder.path().join("notes");
    let script = format!(
        "echo start >> {}; exec {}",
        notes.display(),
        decoder().program.display()
    );
    let counted = Program::new("/bin/sh", ["-c", &script]);
    let pixels = Arc::new(Pixels::new(Settings::new(counted)));
    let mut camera = Camera::h264(H264);
    let unit = camera.send();
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (pixels, unit) = (Arc::clone(&pixels), unit.clone());
        let (stream, tracks) = (Arc::clone(&camera.stream), camera.tracks.clone());
        asking.spawn(async move { pixels.still(&stream, &tracks, &unit).await.unwrap().payload });
    }
    let all = asking.join_all().await;
    assert!(all.iter().all(|jpeg| jpeg.as_ptr() == all[0].as_ptr()));
    let starts = || std::fs::read_to_string(&notes).unwrap().lines().count();
    assert_eq!(starts(), 1);
    // The next keyframe is another picture.
    let unit = camera.send();
    let _ = pixels.still(&camera.stream, &camera.tracks, &unit).await;
    assert_eq!(starts(), 2);
}

#[tokio::test]
async fn ffmpeg_takes_what_the_built_in_decoder_does_not() {
    if !std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|folder| folder.join("ffmpeg").is_file())
    {
        return;
    }
    let mut camera = Camera::h264(H264_422);
    let unit = camera.send();
    let still = pixels()
        .still(&camera.stream, &camera.tracks, &unit)
        .await
        .unwrap();
    assert_eq!(size(&still.payload), SIZE);
}

#[tokio::test]
async fn without_ffmpeg_the_message_says_what_to_install() {
    let mut settings = Settings::new(decoder());
    settings.ffmpeg = PathBuf::from("/nonexistent/ffmpeg");
    let pixels = Pixels::new(settings);
    let mut camera = Camera::h264(H264_422);
    let unit = camera.send();
    let error = pixels
        .still(&camera.stream, &camera.tracks, &unit)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }));
    assert_eq!(
        error.to_string(),
        "camera porch sends H.264 that the built-in decoder does not take (4:2:2 chroma), and /nonexistent/ffmpeg cannot be started: install ffmpeg (apt install ffmpeg), or set the camera to 8-bit 4:2:0 progressive video"
    );
    let error = pixels.pictures(&camera.stream, &camera.tracks).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }));
}

#[tokio::test]
async fn an_ffmpeg_that_hangs_or_floods_or_fails_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for (what, says) in [
        ("exit 1", "ffmpeg ended without a word"),
        ("echo no such codec >&2; exit 1", "no such codec"),
        ("cat /dev/zero", "ffmpeg ended without a word"),
    ] {
        let program = folder.path().join("ffmpeg");
        std::fs::write(&program, format!("#!/bin/sh\n{what}\n")).unwrap();
        let mut permissions = std::fs::metadata(&program).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
        std::fs::set_permissions(&program, permissions).unwrap();
        let mut settings = Settings::new(decoder());
        settings.ffmpeg = program;
        let mut camera = Camera::h264(H264_422);
        let unit = camera.send();
        let asked = Pixels::new(settings);
        let error = asked.still(&camera.stream, &camera.tracks, &unit).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains(says), "{what}: {error}");
    }
}
