//! Every committed seed through its target, whole and damaged.
#![allow(clippy::unwrap_used)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use fuzz_targets::{TARGETS, Target};

/// Damaged copies of each seed: enough to meet the usual slips, few enough for every test run.
const DAMAGES: u64 = 40;

#[test]
fn every_target_withstands_its_corpus() {
    for target in TARGETS {
        let seeds = seeds(target.0);
        assert!(!seeds.is_empty(), "fuzz/corpus/{} has no seeds", target.0);
        for path in seeds {
            let seed = std::fs::read(&path).unwrap();
            run(target, &path, &seed, "as it is");
            for number in 0..DAMAGES {
                let damaged = damage(&seed, number);
                run(target, &path, &damaged, &format!("with damage {number}"));
            }
        }
        for len in 0..4 {
            run(target, Path::new("zeros"), &vec![0; len], "short");
        }
    }
}

#[test]
fn every_target_is_a_program_for_the_fuzzer() {
    let folder = fuzz().join("fuzz_targets");
    let manifest = std::fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        assert!(folder.join(format!("{name}.rs")).is_file(), "{name}");
        assert!(
            manifest.contains(&format!("fuzz_targets/{name}.rs")),
            "{name}"
        );
    }
    for entry in std::fs::read_dir(fuzz().join("corpus")).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(
            TARGETS.iter().any(|(target, _)| *target == name),
            "{name:?}"
        );
    }
}

fn run(target: &Target, path: &Path, data: &[u8], how: &str) {
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.1)(data)));
    assert!(
        outcome.is_ok(),
        "{} fails on {} {how}",
        target.0,
        path.display()
    );
}

/// The same damage for the same number: bytes changed, cut out, doubled, the end torn off.
fn damage(seed: &[u8], number: u64) -> Vec<u8> {
    let mut data = seed.to_vec();
    let mut state = number;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below.max(1)
    };
    for _ in 0..=random(3) {
        if data.is_empty() {
            break;
        }
        let at = random(data.len());
        match random(5) {
            0 => data[at] = random(256) as u8,
            1 => data[at] ^= 1 << random(8),
            2 => data.truncate(at),
            3 => drop(data.drain(at..(at + random(16)).min(data.len()))),
            _ => {
                let piece = data[at..(at + random(32)).min(data.len())].to_vec();
                data.splice(at..at, piece);
            }
        }
    }
    data
}

fn seeds(name: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(fuzz().join("corpus").join(name)) else {
        return Vec::new();
    };
    let mut seeds: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    seeds.sort();
    seeds
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
