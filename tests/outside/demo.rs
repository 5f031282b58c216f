//! `eyelet demo`: the whole thing without hardware.
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use eyelet_tests::browser::Browser;
use eyelet_tests::players::{self, Transport};
use eyelet_tests::process::Running;
use eyelet_tests::world::Host;
use eyelet_tests::{require, tools};

fn start_demo(folder: &Path) -> Running {
    let mut command = Command::new(tools::program("eyelet"));
    command.arg("demo").current_dir(folder);
    for flag in ["--http", "--rtsp"] {
        command.args([flag, &format!("127.0.0.1:{}", tools::free_port())]);
    }
    Running::start("eyelet demo", &mut command)
}

fn urls(said: &[String], scheme: &str) -> Vec<String> {
    let words = said.iter().flat_map(|line| line.split_whitespace());
    let mut urls: Vec<String> = words
        .filter(|word| word.starts_with(scheme))
        .map(|word| word.trim_end_matches([',', '.', ')']).to_owned())
        .collect();
    urls.dedup();
    urls
}

#[test]
fn the_demo_prints_urls_that_play_and_ends_when_asked() {
    require!(tools::has("ffmpeg"), "ffmpeg");
    let folder = tempfile::tempdir().unwrap();
    let mut demo = start_demo(folder.path());
    let is_there = |scheme: &'static str| move |line: &str| line.contains(scheme).then_some(());
    demo.wait_for_line("an RTSP URL", Duration::from_secs(30), is_there("rtsp://"));
    demo.wait_for_line(
        "the dashboard's URL",
        Duration::from_secs(30),
        is_there("http://"),
    );
    std::thread::sleep(Duration::from_millis(500));
    let streams = urls(&demo.said(), "rtsp://");
    for url in &streams {
        let played = players::ffmpeg(&Host::here(), Path::new("ffmpeg"), url, Transport::Tcp, 3);
        assert!(played.is_ok, "{url}: {}", played.complaints);
        assert_eq!(played.complaints, "", "{url}");
        assert!(
            played.pictures.len() > 20,
            "{url}: {} pictures",
            played.pictures.len()
        );
    }
    if tools::require(Browser::is_here(), "chromium") {
        let dashboard = urls(&demo.said(), "http://");
        crate::browser::shows_any_moving_picture(&dashboard[0], "demo");
    }
    demo.ask_to_end();
    assert!(
        demo.wait(Duration::from_secs(10)).success(),
        "{}",
        demo.text()
    );
}
