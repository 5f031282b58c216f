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
use super::options::Common;
use super::subject::{Protocol, Subject};
use super::throughput::Load;
use anyhow::Result;
use media::FPS;
pub(crate) use options::Options;
use options::Part;
use report::Report;

fn measure(options: &Options, common: &Common, programs: &Programs) -> Result<Report> {
    let subjects = Subject::all(common, programs)?;
    let mut report = Report::default();
    if options.has(Part::Fanout) {
        fanout(options, common, programs, &subjects, &mut report)?;
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
    common: &Common,
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
            rows.measure(&programs.own, subjects, load, readers, &common.effort)?;
        }
    }
    Ok(())
}
