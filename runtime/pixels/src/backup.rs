//! What is shown of a camera that gives nothing: a configured picture, or the last still.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use format::jpeg;
use hub::StreamName;

/// Largest picture that is kept or taken for a backup. Stills of 16 megapixels stay below.
const MAX_PICTURE: u64 = 8 << 20;

/// What is shown of a camera that gives nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Backup {
    /// The last still, over restarts too.
    #[default]
    Last,
    /// Nothing.
    Nothing,
    /// The JPEG picture in this file.
    File(PathBuf),
}

/// A picture that is not the camera's newest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Substitute {
    /// The picture, SOI to EOI.
    pub jpeg: Bytes,
    /// When the camera took it; `None` for a configured picture, which is no camera's.
    pub taken: Option<SystemTime>,
}

impl Substitute {
    /// How old it is; a configured picture has no age.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        let taken = self.taken?;
        Some(taken.elapsed().unwrap_or_default())
    }
}

/// The choices of all cameras, and the folder of their last stills: one file a camera.
#[derive(Debug, Default)]
pub(crate) struct Backups {
    folder: Option<PathBuf>,
    choices: Mutex<HashMap<StreamName, Backup>>,
}

impl Backups {
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        Self {
            folder,
            choices: Mutex::default(),
        }
    }

    pub(crate) fn set(&self, name: StreamName, backup: Backup) {
        let mut choices = self.choices.lock().unwrap_or_else(PoisonError::into_inner);
        choices.insert(name, backup);
    }

    /// What was chosen for this camera; nothing for one that nobody configured.
    pub(crate) fn choice(&self, name: &StreamName) -> Backup {
        let choices = self.choices.lock().unwrap_or_else(PoisonError::into_inner);
        choices.get(name).cloned().unwrap_or(Backup::Nothing)
    }

    /// The picture to show. Reads a disk.
    pub(crate) fn substitute(&self, name: &StreamName) -> Option<Substitute> {
        match self.choice(name) {
            Backup::Nothing => None,
            Backup::File(path) => match read(&path) {
                Ok((jpeg, _)) => Some(Substitute { jpeg, taken: None }),
                Err(error) => {
                    tracing::warn!(camera = %name, "the backup picture {} cannot be shown: {error}", path.display());
                    None
                }
            },
            Backup::Last => {
                let (jpeg, taken) = read(&self.file(name)?).ok()?;
                Some(Substitute {
                    jpeg,
                    taken: Some(taken),
                })
            }
        }
    }

    /// Keeps a still for the time after a restart. Writes a disk.
    pub(crate) fn keep(&self, name: &StreamName, jpeg: &[u8], taken: SystemTime) -> io::Result<()> {
        let Some(path) = self.file(name) else {
            return Ok(());
        };
        if jpeg.len() as u64 > MAX_PICTURE {
            return Ok(());
        }
        if let Some(folder) = &self.folder {
            fs::create_dir_all(folder)?;
        }
        // Whole or not at all, whenever the power fails.
        let fresh = path.with_extension("part");
        let mut file = private(&fresh)?;
        file.write_all(jpeg)?;
        file.set_modified(taken)?;
        file.sync_data()?;
        drop(file);
        fs::rename(fresh, path)
    }

    /// Deletes the stills of cameras that are configured no more.
    pub(crate) fn keep_only(&self, names: &[StreamName]) -> io::Result<()> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let path = entry?.path();
            let is_ours = path
                .extension()
                .is_some_and(|extension| extension == "jpg" || extension == "part");
            if is_ours
                && !names
                    .iter()
                    .any(|name| self.file(name).as_ref() == Some(&path))
            {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn file(&self, name: &StreamName) -> Option<PathBuf> {
        // No name has a '+', so no two cameras share a file.
        let file = format!("{}.jpg", name.as_str().replace('/', "+"));
        Some(self.folder.as_ref()?.join(file))
    }
}

/// A file that only its owner may read: it shows what the camera saw.
fn private(path: &Path) -> io::Result<File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// A whole JPEG picture, and when it was written.
fn read(path: &Path) -> io::Result<(Bytes, SystemTime)> {
    let file = File::open(path)?;
    let written = file.metadata()?.modified()?;
    let mut picture = Vec::new();
    file.take(MAX_PICTURE + 1).read_to_end(&mut picture)?;
    if picture.len() as u64 > MAX_PICTURE {
        return Err(io::Error::other(format!(
            "it is larger than {MAX_PICTURE} bytes"
        )));
    }
    if !jpeg::is_whole(&picture) {
        return Err(io::Error::other("it is no whole JPEG picture"));
    }
    Ok((picture.into(), written))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> StreamName {
        StreamName::new(name).unwrap()
    }

    const PICTURE: &[u8] = b"\xff\xd8picture\xff\xd9";

    #[test]
    fn a_still_outlives_a_restart_and_keeps_its_age() {
        let folder = tempfile::tempdir().unwrap();
        let stills = folder.path().join("stills");
        let taken = SystemTime::now() - Duration::from_secs(3_600);
        Backups::new(Some(stills.clone()))
            .keep(&name("shed/sub"), PICTURE, taken)
            .unwrap();
        let backups = Backups::new(Some(stills));
        backups.set(name("shed/sub"), Backup::Last);
        backups.set(name("shed"), Backup::Last);
        let still = backups.substitute(&name("shed/sub")).unwrap();
        assert_eq!(still.jpeg, PICTURE);
        let age = still.age().unwrap().as_secs();
        assert!((3_600..3_660).contains(&age), "{age} s");
        assert_eq!(backups.substitute(&name("shed")), None);
    }

    #[test]
    fn stills_of_cameras_that_are_gone_are_deleted_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let backups = Backups::new(Some(folder.path().to_owned()));
        for camera in ["porch", "shed/sub"] {
            let taken = SystemTime::now();
            backups.keep(&name(camera), PICTURE, taken).unwrap();
        }
        fs::write(folder.path().join("notes.txt"), "mine").unwrap();
        backups.keep_only(&[name("shed/sub")]).unwrap();
        let mut left: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["notes.txt", "shed+sub.jpg"]);
    }

    #[test]
    fn a_backup_file_must_be_a_picture() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("away.jpg");
        let backups = Backups::default();
        backups.set(name("porch"), Backup::File(file.clone()));
        assert_eq!(backups.substitute(&name("porch")), None);
        fs::write(&file, "no picture").unwrap();
        assert_eq!(backups.substitute(&name("porch")), None);
        fs::write(&file, PICTURE).unwrap();
        let picture = backups.substitute(&name("porch")).unwrap();
        assert_eq!((&picture.jpeg[..], picture.age()), (PICTURE, None));
    }
}
