//! How many files and connections this process may have open.

use anyhow::bail;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a process has open besides what it is there for.
const OWN: u64 = 100;

/// Takes as many as the system lets this process have: the limit it starts with, often 1024, is for programs that
/// cannot cope with more. Says how many.
pub(crate) fn raise() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // If it is not granted, what there was remains.
    let _ = setrlimit(Resource::Nofile, raised);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Refuses to begin what will not find room.
pub(crate) fn require(count: u64, what: &str) -> anyhow::Result<()> {
    let limit = raise();
    let needed = count + OWN;
    if limit < needed {
        bail!(
            "{what} need {needed} open files, the limit is {limit}: start this from a shell after `ulimit -n {needed}`"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_room_is_told_with_the_command_that_makes_more() {
        assert!(require(10, "ten agents").is_ok());
        let error = require(u64::MAX / 2, "so many agents").unwrap_err();
        assert!(error.to_string().contains("ulimit -n"), "{error}");
    }
}
