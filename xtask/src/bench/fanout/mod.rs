//! `cargo xtask bench fanout`: one stream, many readers. docs/performance.md explains it.
mod clip;
mod first_picture;
mod framing;
mod latency;
mod media;
mod options;
pub(crate) mod readers;
mod report;
mod rtsp;
pub(crate) mod source;

use super::Programs;
use super::subject::{Protocol, Subject};
use super::throughput::Load;
use anyhow::{Result, bail};
use media::FPS;
use options::{Options, Part};
use report::Report;

pub(crate) fn run(args: &[String]) -> Result<()> {
    let Some(options) = Options::parse(args)? else {
        print!("{}", options::USAGE);
        return Ok(());
    };
    let programs = Programs::build(options.eyelet.clone(), options.has_eyelet)?;
    let report = measure(&options, &programs)?;
    if options.is_json {
        println!("{:#}", report.to_json());
    } else {
        print!("{}", report.table());
    }
    let missed = report.missed();
    if options.is_check && !missed.is_empty() {
        bail!("missed: {}", missed.join("; "));
    }
    Ok(())
}

fn measure(options: &Options, programs: &Programs) -> Result<Report> {
    let mut subjects: Vec<Subject> = Vec::new();
    subjects.extend(programs.eyelet.as_deref().map(Subject::eyelet));
    subjects.extend(options.peers.iter().cloned());
    let mut report = Report::default();
    if options.has(Part::Fanout) {
        fanout(options, programs, &subjects, &mut report)?;
    }
    let has_ffmpeg = clip::has_ffmpeg();
    let clip = match has_ffmpeg {
        true => Some(clip::make(&programs.folder)?),
        false => None,
    };
    for subject in &subjects {
        if options.has(Part::First) {
            eprintln!("── first picture, {}", subject.name);
            let first = first_picture::measure(&programs.own, subject, clip.as_deref())?;
            report.first.push((subject.name.clone(), first));
        }
        if options.has(Part::Latency) {
            let Some(clip) = &clip else {
                report
                    .notes
                    .push("no ffmpeg: latency not measured".to_owned());
                continue;
            };
            eprintln!("── latency, {}", subject.name);
            let latency = latency::measure(&programs.own, subject, clip)?;
            report.latency.push((subject.name.clone(), latency));
        }
    }
    Ok(report)
}

/// All bitrates and numbers of readers.
fn fanout(
    options: &Options,
    programs: &Programs,
    subjects: &[Subject],
    report: &mut Report,
) -> Result<()> {
    for &bitrate in &options.bitrates {
        let source = ["fanout-source", "--bitrate", &bitrate.to_string()].map(str::to_owned);
        let load = Load {
            protocol: Protocol::Rtsp,
            source: source.to_vec(),
            readers: "fanout-readers",
            fps: FPS,
        };
        for &readers in &options.readers {
            let load = (&load, bitrate);
            let rows = &mut report.rows;
            rows.measure(&programs.own, subjects, load, readers, &options.effort)?;
        }
    }
    Ok(())
}
