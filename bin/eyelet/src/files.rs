use std::path::Path;

use anyhow::Context;
use config::Config;

use crate::cli::Files;

/// The file that is read when none is named.
const DEFAULT: &str = "eyelet.yaml";

/// Reads the configuration that was named, or the usual one, or takes the defaults.
pub(crate) fn load(files: &Files) -> anyhow::Result<Config> {
    let mut config = match &files.config {
        Some(path) => Config::load(path)?,
        None if Path::new(DEFAULT).exists() => Config::load(DEFAULT)?,
        None => Config::default(),
    };
    if let Some(data) = &files.data {
        config.data.clone_from(data);
    }
    Ok(config)
}

/// Opens the state that belongs to a configuration.
pub(crate) fn open_store(config: &Config) -> anyhow::Result<store::Store> {
    store::Store::open(&config.data)
        .with_context(|| format!("the data folder {} cannot be used", config.data.display()))
}
