//! Whether the pictures that a viewer decoded are the camera's, one by one and in order.
use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::media::Media;
use crate::process;

/// Hashes of all pictures of a file, as one decoder decodes them.
pub struct Reference {
    places: HashMap<String, usize>,
}

impl Reference {
    /// Decodes the file of `media` with `ffmpeg`.
    pub fn decode(ffmpeg: &Path, media: Media) -> Self {
        Self::of_file(ffmpeg, &media.file(), media.format())
    }

    /// Decodes a file of that format with `ffmpeg`.
    pub fn of_file(ffmpeg: &Path, file: &Path, format: &str) -> Self {
        let mut decode = Command::new(ffmpeg);
        decode.args(["-v", "error", "-f", format, "-i"]).arg(file);
        decode.args(["-fps_mode", "passthrough", "-f", "framemd5", "-"]);
        let output = process::run("ffmpeg", &mut decode, Duration::from_secs(60));
        Self::of_hashes(parse_framemd5(&process::text(&output.stdout)))
    }

    /// These pictures, however they were decoded.
    pub fn of_hashes(hashes: Vec<String>) -> Self {
        let count = hashes.len();
        let places: HashMap<String, usize> = hashes
            .into_iter()
            .enumerate()
            .map(|(place, hash)| (hash, place))
            .collect();
        assert!(count > 50, "only {count} pictures were decoded");
        assert_eq!(
            places.len(),
            count,
            "two pictures of the test media are alike"
        );
        Self { places }
    }

    /// Fails unless each picture is one of the camera's and follows the one before it.
    pub fn assert_consecutive(&self, pictures: &[String]) {
        let breaks = self.breaks(pictures);
        assert!(
            breaks.is_empty(),
            "pictures (of {}) out of order: {breaks:?}",
            pictures.len()
        );
    }

    /// Where pictures do not follow each other: position in `pictures`, place before, place there.
    /// Fails if one is not the camera's at all.
    pub fn breaks(&self, pictures: &[String]) -> Vec<(usize, usize, usize)> {
        let places: Vec<usize> = pictures
            .iter()
            .enumerate()
            .map(|(at, hash)| {
                *self.places.get(hash).unwrap_or_else(|| {
                    panic!("picture {at} of {} is none of the camera's", pictures.len())
                })
            })
            .collect();
        places
            .windows(2)
            .enumerate()
            .filter(|(_, pair)| pair[1] != (pair[0] + 1) % self.places.len())
            .map(|(at, pair)| (at + 1, pair[0], pair[1]))
            .collect()
    }
}

/// The hashes in ffmpeg's `framemd5` output, in order.
pub fn parse_framemd5(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit(',').next())
        .map(|hash| hash.trim().to_owned())
        .filter(|hash| hash.len() == 32)
        .collect()
}
