use bytes::Bytes;
use proto_naxclow::LiveFailure;
use proto_naxclow::audio::AudioCodec;
use tokio::sync::mpsc;

use crate::camera::{Control, Task};

/// What comes from a live camera.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A picture, SOI to EOI.
    Picture(Bytes),
    /// A block of sound.
    Audio(AudioCodec, Bytes),
    /// Nothing more comes.
    Failed(LiveFailure),
    /// The camera's connection ended, or somebody else took its pictures.
    Ended(String),
}

/// Pictures and sound of one camera, which sends for as long as this lives.
#[derive(Debug)]
pub struct Live {
    pub(crate) items: mpsc::Receiver<Item>,
    pub(crate) control: Control,
    pub(crate) number: u64,
}

impl Live {
    /// The next item; `None` when the camera went away without a word.
    pub async fn next(&mut self) -> Option<Item> {
        self.items.recv().await
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // A full queue means a session that is stuck; it notices by itself that nobody reads.
        let _ = self.control.tasks.try_send(Task::Stop(self.number));
    }
}
