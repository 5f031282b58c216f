use std::path::Path;

use anyhow::Context;
use config::Config;

use crate::cli::Files;
use crate::settings_json;

/// The file that is read when none is named.
const DEFAULT: &str = "eyelet.yaml";

/// The sections that work on the state needs.
const STATE: &[&str] = &["data", "http"];

/// Reads the configuration that was named, or the usual one, or takes the defaults.
pub(crate) fn load(files: &Files) -> anyhow::Result<Config> {
    load_with(files, |path| Config::load(path))
}

/// Whether there is a file, and something in it.
pub(crate) fn is_written(files: &Files) -> bool {
    let path = files.config.as_deref().unwrap_or(Path::new(DEFAULT));
    std::fs::read_to_string(path).is_ok_and(|text| !text.trim().is_empty())
}

/// The same for commands that only work on the state: a camera's mistake, or a variable that only
/// the service has, is none of theirs.
pub(crate) fn load_state(files: &Files) -> anyhow::Result<Config> {
    load_with(files, |path| Config::load_sections(path, STATE))
}

fn load_with(
    files: &Files,
    load: impl Fn(&Path) -> Result<Config, config::Error>,
) -> anyhow::Result<Config> {
    let mut config = match &files.config {
        Some(path) => match settings(path) {
            Some(settings) => settings?,
            None => load(path)?,
        },
        None if Path::new(DEFAULT).exists() => load(Path::new(DEFAULT))?,
        None => Config::default(),
    };
    if let Some(data) = &files.data {
        config.data.clone_from(data);
    }
    Ok(config)
}

/// The configuration in a `settings.json` of camera_proxy; `None` if the file is none.
fn settings(path: &Path) -> Option<anyhow::Result<Config>> {
    if path.extension().is_none_or(|extension| extension != "json") {
        return None;
    }
    // Whatever cannot be read here is told by who reads it next.
    let text = std::fs::read_to_string(path).ok()?;
    let lines = settings_json::lines(&text)?;
    let config = lines.and_then(|yaml| Ok(Config::parse(&yaml, "what it means here")?));
    Some(config.with_context(|| format!("{} is no good settings.json", path.display())))
}

/// Opens the state that belongs to a configuration.
pub(crate) fn open_store(config: &Config) -> anyhow::Result<store::Store> {
    store::Store::open(&config.data)
        .with_context(|| format!("the data folder {} cannot be used", config.data.display()))
}
