use std::time::{Duration, Instant};

use hub::{Event, Start, Stream};
use media::AccessUnit;
use pixels::{Pixels, Settings};

use crate::camera::{Camera, H264, H264_422, H265, SIZE, children, decoder, pixels, size};

/// The next `count` pictures; a busy machine may take its time.
async fn take(stream: &Stream, count: usize) -> Vec<AccessUnit> {
    let mut cursor = stream.ring().start(Start::Gop);
    let mut pictures = Vec::new();
    let started = Instant::now();
    while pictures.len() < count {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "{} of {count} pictures",
            pictures.len()
        );
        match cursor.poll(stream.ring()).as_deref() {
            Some(Event::AccessUnit(unit, _)) => pictures.push(unit.clone()),
            Some(Event::Tracks(_)) => {}
            None => {
                let wait = stream.ring().wait(cursor.next());
                let _ = tokio::time::timeout(Duration::from_secs(1), wait).await;
            }
        }
    }
    pictures
}

/// Waits until this process has no children any more.
async fn wait_for_no_children() {
    let started = Instant::now();
    while children() > 0 {
        assert!(started.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn moves(camera: Camera, pixels: Pixels) {
    let (stream, tracks) = (camera.stream.clone(), camera.tracks.clone());
    let playing = tokio::spawn(camera.play());
    let pictures = pixels.pictures(&stream, &tracks).unwrap().unwrap();
    let again = pixels.pictures(&stream, &tracks).unwrap().unwrap();
    assert!(std::sync::Arc::ptr_eq(pictures.stream(), again.stream()));
    assert_eq!(stream.leases(), 1, "one decoder for all");

    let taken = take(pictures.stream(), 8).await;
    assert_eq!(children(), 1);
    let times: Vec<i64> = taken.iter().map(|unit| unit.time.0).collect();
    assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
    for picture in &taken {
        assert_eq!(size(&picture.payload), SIZE);
    }
    assert!(
        taken
            .windows(2)
            .all(|pair| pair[0].payload != pair[1].payload),
        "the picture moves"
    );
    // Five a second, of twenty-five: the first one comes at once, so seven intervals.
    let span = (times[7] - times[0]) as f64 / 90_000.0;
    assert!(span > 1.0, "eight pictures within {span} s");
    let newest = pixels.newest(&stream).unwrap();
    assert_eq!(size(&newest.payload), SIZE);

    drop(pictures);
    assert_eq!(stream.leases(), 1, "somebody looks on");
    drop(again);
    wait_for_no_children().await;
    assert_eq!(stream.leases(), 0);
    playing.abort();
}

#[tokio::test]
async fn one_decoder_gives_five_pictures_a_second_of_h264_and_ends_with_the_last_viewer() {
    moves(Camera::h264(H264), pixels()).await;
}

#[tokio::test]
async fn one_decoder_gives_five_pictures_a_second_of_h265_and_ends_with_the_last_viewer() {
    moves(Camera::h265(H265), pixels()).await;
}

#[tokio::test]
async fn ffmpeg_gives_pictures_of_what_the_built_in_decoder_does_not_take() {
    if !std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|folder| folder.join("ffmpeg").is_file())
    {
        return;
    }
    moves(Camera::h264(H264_422), pixels()).await;
    let mut settings = Settings::new(decoder());
    settings.prefers_ffmpeg = true;
    moves(Camera::h265(H265), Pixels::new(settings)).await;
}

#[tokio::test]
async fn a_decoder_that_is_killed_is_started_anew() {
    let camera = Camera::h264(H264);
    let (stream, tracks) = (camera.stream.clone(), camera.tracks.clone());
    let playing = tokio::spawn(camera.play());
    let pixels = pixels();
    let pictures = pixels.pictures(&stream, &tracks).unwrap().unwrap();
    take(pictures.stream(), 2).await;
    let this = std::process::id();
    let before = pictures.stream().ring().head();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        if stat.contains("(decoder)") && stat.contains(&format!(" {this} ")) {
            let pid = entry.file_name().to_string_lossy().into_owned();
            std::process::Command::new("kill")
                .args(["-9", &pid])
                .status()
                .unwrap();
        }
    }
    let started = Instant::now();
    while pictures.stream().ring().head() < before + 5 {
        assert!(started.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    playing.abort();
}

#[tokio::test]
async fn pictures_of_a_jpeg_camera_are_its_own() {
    let track = media::Track::jpeg(None);
    let camera = Camera::new(track, Vec::new());
    let pixels = pixels();
    let pictures = pixels.pictures(&camera.stream, &camera.tracks).unwrap();
    assert!(std::sync::Arc::ptr_eq(
        pictures.unwrap().stream(),
        &camera.stream
    ));
}
