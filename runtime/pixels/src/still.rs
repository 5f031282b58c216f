//! One picture of one keyframe.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use hub::{Stream, StreamName};
use media::{AccessUnit, MediaTime, Tracks};
use tokio::sync::Semaphore;

use crate::child::{Child, Wanted};
use crate::settings::Maker;
use crate::{Error, Settings, ffmpeg};

/// Most stills decoded at one time; the others wait their turn.
const MAX_AT_ONCE: usize = 4;

/// The newest still of each stream.
#[derive(Debug)]
pub(crate) struct Stills {
    streams: Mutex<HashMap<StreamName, Arc<Entry>>>,
    turns: Semaphore,
}

/// The newest still of one stream. Whoever holds the lock makes it, the others wait for it.
#[derive(Debug)]
struct Entry {
    stream: Weak<Stream>,
    made: tokio::sync::Mutex<Option<Made>>,
}

/// A still, and the keyframe that it is of.
#[derive(Debug)]
struct Made {
    keyframe: (MediaTime, Instant),
    result: Result<AccessUnit, Error>,
}

impl Default for Stills {
    fn default() -> Self {
        Self {
            streams: Mutex::default(),
            turns: Semaphore::new(MAX_AT_ONCE),
        }
    }
}

impl Stills {
    pub(crate) async fn make(
        &self,
        stream: &Arc<Stream>,
        tracks: &Tracks,
        unit: &AccessUnit,
        settings: &Settings,
    ) -> Result<AccessUnit, Error> {
        let entry = self.entry(stream);
        let mut made = entry.made.lock().await;
        let keyframe = (unit.time, unit.received);
        if let Some(made) = made.as_ref().filter(|made| made.keyframe == keyframe) {
            return made.result.clone();
        }
        let turn = self.turns.acquire().await;
        let result = decode(stream, tracks, unit, settings).await;
        drop(turn);
        *made = Some(Made {
            keyframe,
            result: result.clone(),
        });
        result
    }

    fn entry(&self, stream: &Arc<Stream>) -> Arc<Entry> {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = streams.get(stream.name())
            && std::ptr::eq(entry.stream.as_ptr(), Arc::as_ptr(stream))
        {
            return Arc::clone(entry);
        }
        streams.retain(|_, entry| entry.stream.strong_count() > 0);
        let entry = Arc::new(Entry {
            stream: Arc::downgrade(stream),
            made: tokio::sync::Mutex::new(None),
        });
        streams.insert(stream.name().clone(), Arc::clone(&entry));
        entry
    }
}

async fn decode(
    stream: &Stream,
    tracks: &Tracks,
    unit: &AccessUnit,
    settings: &Settings,
) -> Result<AccessUnit, Error> {
    let camera = || stream.name().to_string();
    let Some(track) = tracks.get(unit.track) else {
        return Err(Error::Decoder {
            camera: camera(),
            reason: "the picture's track is gone".to_owned(),
        });
    };
    let picture = match settings.maker(stream, track)? {
        Maker::BuiltIn => {
            async {
                let mut child = Child::start(settings, &track.parameters).await?;
                child.decode(&unit.payload, Wanted::Last).await
            }
            .await
        }
        Maker::Ffmpeg => ffmpeg::still(settings, track, unit).await,
    };
    match picture {
        Ok(Ok(Some(jpeg))) => Ok(AccessUnit {
            track: 0,
            is_keyframe: true,
            payload: jpeg,
            ..unit.clone()
        }),
        Ok(Ok(None)) => unreachable!("a picture was asked for"),
        Ok(Err(reason)) => Err(Error::Malformed {
            camera: camera(),
            codec: track.codec,
            reason,
        }),
        Err(reason) => Err(Error::Decoder {
            camera: camera(),
            reason,
        }),
    }
}
