//! Dependencies between the workspace's crates point downwards only.
//!
//! bin → runtime → sans-io, bin → sim → sans-io. What a crate may not even reach through others is
//! checked over the whole closure, so that no detour opens a forbidden door.
use crate::run;
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};

/// Where a crate lives decides what it may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    SansIo,
    Sim,
    Runtime,
    Bin,
    /// Tests, fuzz targets and chores: may use anything, nobody may use them.
    Outside,
}

impl Layer {
    fn of(folder: &str) -> Self {
        match folder {
            "sans-io" => Self::SansIo,
            "sim" => Self::Sim,
            "runtime" => Self::Runtime,
            "bin" => Self::Bin,
            _ => Self::Outside,
        }
    }

    fn may_use(self, other: Self, only_in_tests: bool) -> bool {
        match self {
            Self::SansIo => other == Self::SansIo,
            Self::Sim => matches!(other, Self::Sim | Self::SansIo),
            Self::Runtime => {
                matches!(other, Self::Runtime | Self::SansIo)
                    || (only_in_tests && other == Self::Sim)
            }
            Self::Bin => matches!(other, Self::Runtime | Self::SansIo | Self::Sim),
            Self::Outside => true,
        }
    }
}

/// Crates that see nothing of ours but these, not even through others.
const SEES_ONLY: &[(&str, &[&str])] = &[
    ("hub", &["media"]),
    ("agent", &["proto-tunnel", "link", "dialer", "lan"]),
    (
        "eyelet-agent",
        &[
            "agent",
            "agent-file",
            "proto-tunnel",
            "link",
            "dialer",
            "lan",
        ],
    ),
];

/// Crates that never see each other, in neither direction and through nobody.
const STRANGERS: &[(&str, &str)] = &[("drivers", "outputs")];

struct Crate {
    layer: Layer,
    /// Crates of ours it needs, and whether only its tests do.
    needs: Vec<(String, bool)>,
}

/// Fails with one line for each forbidden dependency.
pub(crate) fn check() -> Result<()> {
    let crates = crates()?;
    let faults = faults(&crates);
    if faults.is_empty() {
        return Ok(());
    }
    bail!("arrows between crates:\n  {}", faults.join("\n  "))
}

fn crates() -> Result<BTreeMap<String, Crate>> {
    let metadata = run::metadata()?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata lists no packages")?;
    let mut crates = BTreeMap::new();
    for package in packages {
        let name = package["name"].as_str().context("a package has no name")?;
        let manifest = package["manifest_path"].as_str().unwrap_or_default();
        let folder = manifest
            .strip_prefix(&format!("{}/", run::root().display()))
            .and_then(|path| path.split('/').next())
            .unwrap_or_default();
        let needs = package["dependencies"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|dependency| dependency["path"].is_string())
            .filter_map(|dependency| {
                let only_in_tests = dependency["kind"].as_str() == Some("dev");
                Some((dependency["name"].as_str()?.to_owned(), only_in_tests))
            })
            .collect();
        let layer = Layer::of(folder);
        crates.insert(name.to_owned(), Crate { layer, needs });
    }
    Ok(crates)
}

fn faults(crates: &BTreeMap<String, Crate>) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, this) in crates {
        for (needed, only_in_tests) in &this.needs {
            let Some(other) = crates.get(needed) else {
                faults.push(format!(
                    "{name} needs {needed}, which is outside the workspace"
                ));
                continue;
            };
            if !this.layer.may_use(other.layer, *only_in_tests) {
                faults.push(format!(
                    "{name} ({:?}) must not need {needed} ({:?})",
                    this.layer, other.layer
                ));
            }
            if name.starts_with("proto-") && needed.starts_with("proto-") {
                faults.push(format!(
                    "{name} must not need {needed}: protocols are strangers"
                ));
            }
        }
    }
    for (name, allowed) in SEES_ONLY {
        for seen in reach(crates, name) {
            if !allowed.contains(&seen.as_str()) {
                faults.push(format!(
                    "{name} must not see {seen}, only {}",
                    allowed.join(", ")
                ));
            }
        }
    }
    for (one, other) in STRANGERS {
        for (from, to) in [(one, other), (other, one)] {
            if reach(crates, from).contains(*to) {
                faults.push(format!("{from} must not see {to}"));
            }
        }
    }
    faults
}

/// Every crate of ours that `name` is built from, itself apart.
fn reach(crates: &BTreeMap<String, Crate>, name: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut open = vec![name.to_owned()];
    while let Some(next) = open.pop() {
        let Some(this) = crates.get(&next) else {
            continue;
        };
        for (needed, only_in_tests) in &this.needs {
            if !only_in_tests && seen.insert(needed.clone()) {
                open.push(needed.clone());
            }
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_between_crates_point_downwards() {
        check().unwrap();
    }

    #[test]
    fn a_detour_to_a_forbidden_crate_is_found() {
        let layered = |layer, needs: &[&str]| Crate {
            layer,
            needs: needs
                .iter()
                .map(|need| ((*need).to_owned(), false))
                .collect(),
        };
        let crates = BTreeMap::from([
            ("drivers".to_owned(), layered(Layer::Runtime, &["middle"])),
            ("middle".to_owned(), layered(Layer::Runtime, &["outputs"])),
            ("outputs".to_owned(), layered(Layer::Runtime, &[])),
            ("media".to_owned(), layered(Layer::SansIo, &["middle"])),
        ]);
        let faults = faults(&crates);
        assert!(
            faults.contains(&"drivers must not see outputs".to_owned()),
            "{faults:?}"
        );
        assert!(
            faults
                .iter()
                .any(|fault| fault.starts_with("media (SansIo)")),
            "{faults:?}"
        );
    }
}
