use std::io::ErrorKind;
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
    let path = match &files.config {
        Some(path) => path,
        None if Path::new(DEFAULT).exists() => Path::new(DEFAULT),
        None => return Ok(with_data(Config::default(), files)),
    };
    Ok(with_data(parse(path, &config::read_file(path)?)?, files))
}

/// The same, where a file has to be there with something in it: an editor may have taken it away for a moment, and that
/// does not mean that there are no cameras.
pub(crate) fn load_written(files: &Files) -> anyhow::Result<Config> {
    let path = files.config.as_deref().unwrap_or(Path::new(DEFAULT));
    let missing = || {
        format!(
            "the configuration file {} is missing or empty",
            path.display()
        )
    };
    let text = match config::read_file(path) {
        Err(config::Error::Unreadable { source, .. }) if source.kind() == ErrorKind::NotFound => {
            anyhow::bail!(missing())
        }
        read => read?,
    };
    anyhow::ensure!(!text.trim().is_empty(), missing());
    Ok(with_data(parse(path, &text)?, files))
}

/// As [`load`] for commands that only work on the state: a camera's mistake, or a variable that only
/// the service has, is none of theirs.
pub(crate) fn load_state(files: &Files) -> anyhow::Result<Config> {
    let path = match &files.config {
        Some(path) => path,
        None if Path::new(DEFAULT).exists() => Path::new(DEFAULT),
        None => return Ok(with_data(Config::default(), files)),
    };
    let config = match settings(path, &config::read_file(path)?) {
        Some(settings) => settings?,
        None => Config::load_sections(path, STATE)?,
    };
    Ok(with_data(config, files))
}

fn with_data(mut config: Config, files: &Files) -> Config {
    if let Some(data) = &files.data {
        config.data.clone_from(data);
    }
    config
}

fn parse(path: &Path, text: &str) -> anyhow::Result<Config> {
    match settings(path, text) {
        Some(settings) => settings,
        None => Ok(Config::parse(text, &path.display().to_string())?),
    }
}

/// The configuration in a `settings.json` of camera_proxy; `None` if the file is none.
fn settings(path: &Path, text: &str) -> Option<anyhow::Result<Config>> {
    if path.extension().is_none_or(|extension| extension != "json") {
        return None;
    }
    let lines = settings_json::lines(text)?;
    let config = lines.and_then(|yaml| Ok(Config::parse(&yaml, "what it means here")?));
    Some(config.with_context(|| format!("{} is no good settings.json", path.display())))
}

/// Opens the state that belongs to a configuration.
pub(crate) fn open_store(config: &Config) -> anyhow::Result<store::Store> {
    store::Store::open(&config.data)
        .with_context(|| format!("the data folder {} cannot be used", config.data.display()))
}
