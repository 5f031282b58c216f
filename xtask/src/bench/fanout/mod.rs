//! `cargo xtask bench fanout`: one stream, many readers. docs/performance.md explains it.
mod clip;
mod first_picture;
mod framing;
mod latency;
mod media;
mod options;
mod process;
pub(crate) mod readers;
mod report;
mod rtsp;
pub(crate) mod source;
mod subject;
mod throughput;

use crate::run as programs;
use anyhow::{Result, bail};
use options::{Options, Part};
use report::{Report, Row};
use std::path::PathBuf;
use subject::Subject;

pub(crate) fn run(args: &[String]) -> Result<()> {
    let Some(options) = Options::parse(args)? else {
        print!("{}", options::USAGE);
        return Ok(());
    };
    let programs = build(&options)?;
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

struct Programs {
    /// This program, optimised: the floor must not pay for a debug build.
    own: PathBuf,
    eyelet: Option<PathBuf>,
    /// Where media are kept between runs.
    folder: PathBuf,
}

fn build(options: &Options) -> Result<Programs> {
    let target = programs::target_dir()?;
    let mut packages = vec!["--package", "xtask"];
    let wants_eyelet = options.has_eyelet && options.eyelet.is_none();
    if wants_eyelet {
        packages.extend(["--package", "eyelet"]);
    }
    let mut cargo = programs::cargo(&["build", "--release", "--quiet"]);
    // Standard output is for results.
    cargo.args(packages).stdout(std::process::Stdio::null());
    programs::step("release build", &mut cargo)?;
    let eyelet = options
        .eyelet
        .clone()
        .unwrap_or_else(|| target.join("release/eyelet"));
    Ok(Programs {
        own: target.join("release/xtask"),
        eyelet: options.has_eyelet.then_some(eyelet),
        folder: target.join("bench"),
    })
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

/// All subjects in turns, so that a machine that grows slower or busier does so for all of them.
fn fanout(
    options: &Options,
    programs: &Programs,
    subjects: &[Subject],
    report: &mut Report,
) -> Result<()> {
    for &bitrate in &options.bitrates {
        for &readers in &options.readers {
            let floor = Subject::floor();
            let everyone: Vec<&Subject> = std::iter::once(&floor).chain(subjects).collect();
            let mut rows: Vec<Row> = everyone
                .iter()
                .map(|subject| Row {
                    subject: subject.name.clone(),
                    bitrate,
                    readers,
                    runs: Vec::new(),
                })
                .collect();
            for round in 1..=options.repeat {
                for (subject, row) in everyone.iter().zip(&mut rows) {
                    let (window, retries) = (options.window, options.retries);
                    let run = throughput::measure(
                        &programs.own,
                        subject,
                        bitrate,
                        readers,
                        window,
                        retries,
                    )?;
                    eprintln!(
                        "── {} Mbit/s, {readers} readers, {}, run {round}: {:.4} s/Gbit, others {:.0} %",
                        bitrate / 1_000_000,
                        subject.name,
                        run.seconds_per_gigabit(),
                        run.others_share * 100.0,
                    );
                    row.runs.push(run);
                }
            }
            report.rows.extend(rows);
        }
    }
    Ok(())
}
