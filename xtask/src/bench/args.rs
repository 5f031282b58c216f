//! Reading a command line.
use anyhow::{Context, Error, Result, anyhow};
use std::str::FromStr;

/// Arguments, one after the other.
pub(super) struct Args<'a>(std::slice::Iter<'a, String>);

impl<'a> Args<'a> {
    pub(super) fn new(args: &'a [String]) -> Self {
        Self(args.iter())
    }

    pub(super) fn next(&mut self) -> Option<String> {
        self.0.next().cloned()
    }

    pub(super) fn text(&mut self, name: &str) -> Result<String> {
        self.next().with_context(|| format!("{name} needs a value"))
    }

    pub(super) fn value<T: FromStr>(&mut self, name: &str) -> Result<T> {
        let text = self.text(name)?;
        text.parse()
            .map_err(|_| anyhow!("{name} {text:?}: not a number"))
    }

    pub(super) fn list(&mut self, name: &str) -> Result<Vec<usize>> {
        let text = self.text(name)?;
        let number = |item: &str| {
            item.parse()
                .map_err(|_| anyhow!("{name} {item:?}: not a number"))
        };
        text.split(',').map(number).collect()
    }

    pub(super) fn unknown(&self, name: &str) -> Error {
        anyhow!("unknown argument {name:?}; --help lists them")
    }
}
