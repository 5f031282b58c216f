//! The devices of the configured cameras, for the API.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use api::{Controls, DeviceEvent, DeviceStatus, Refusal, Reply, Sound};
use drivers::reolink::Device;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt, unfold};
use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;

use super::action::Action;
use super::perform::{perform, read_wav};
use super::status;

/// Devices by camera, each with the camera's channel on it.
#[derive(Default)]
pub(crate) struct Cameras(RwLock<BTreeMap<String, (Arc<Device>, u8)>>);

impl Cameras {
    pub(crate) fn add(&self, name: &str, device: Arc<Device>, channel: u8) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(name.to_owned(), (device, channel));
    }

    pub(crate) fn remove(&self, name: &str) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.remove(name);
    }

    fn find(&self, name: &str) -> Option<(Arc<Device>, u8)> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.get(name).cloned()
    }
}

impl Controls for Cameras {
    fn device(&self, camera: &str) -> Option<DeviceStatus> {
        let (device, channel) = self.find(camera)?;
        Some(status::device(&device, channel))
    }

    fn command(
        &self,
        camera: &str,
        command: &str,
        arguments: Value,
    ) -> BoxFuture<'static, Result<Reply, Refusal>> {
        let found = self.find(camera);
        let action = action(command, arguments);
        Box::pin(async move {
            let (device, channel) =
                found.ok_or_else(|| Refusal::Malformed("no such camera".to_owned()))?;
            let action = action.map_err(Refusal::Malformed)?;
            let done = perform(&device, channel, action).await;
            done.map_err(|error| Refusal::Camera(super::said(&error)))
        })
    }

    fn talk(&self, camera: &str, sound: Sound) -> BoxFuture<'static, Result<Duration, Refusal>> {
        let found = self.find(camera);
        Box::pin(async move {
            let (device, channel) =
                found.ok_or_else(|| Refusal::Malformed("no such camera".to_owned()))?;
            let talked = match sound {
                Sound::File(bytes) => {
                    let (samples, rate) =
                        read_wav(&bytes).map_err(|error| Refusal::Malformed(error.to_string()))?;
                    device.talk(channel, &samples, rate).await
                }
                Sound::Live { rate, samples } => device.talk_live(channel, samples, rate).await,
            };
            talked.map_err(|error| Refusal::Camera(error.to_string()))
        })
    }

    fn events(&self, camera: &str, wake: bool) -> Option<BoxStream<'static, DeviceEvent>> {
        let (device, channel) = self.find(camera)?;
        let events = device.events();
        // Who only listens shall not cost a battery anything; whether there is one is known after the first login.
        let facts = device.facts();
        let holds = wake || (facts.device.is_some() && !facts.is_battery());
        let state = (device, events, None);
        let events = unfold(state, move |(device, mut events, mut held)| async move {
            loop {
                if holds && held.is_none() {
                    // One that fails is tried again with the next event; its outage is on the device.
                    held = device.listen().await.ok();
                }
                let ended = async {
                    match &held {
                        Some(listening) => drop(listening.ended().await),
                        None if holds => tokio::time::sleep(RETRY).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    event = events.recv() => match event {
                        Ok(event) if event.channel == channel => {
                            if let Some(event) = status::event(&event) {
                                return Some((event, (device, events, held)));
                            }
                        }
                        Ok(_) | Err(RecvError::Lagged(_)) => {}
                        Err(RecvError::Closed) => return None,
                    },
                    () = ended => held = None,
                }
            }
        });
        Some(events.boxed())
    }
}

/// How long to wait before a session for events is opened again.
const RETRY: Duration = Duration::from_secs(15);

/// The action of a command's name and arguments.
fn action(command: &str, arguments: Value) -> Result<Action, String> {
    let Value::Object(mut fields) = arguments else {
        return Err("expected an object".to_owned());
    };
    if fields.contains_key("command") {
        return Err("the command stands in the path".to_owned());
    }
    fields.insert("command".to_owned(), Value::String(command.to_owned()));
    serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::action::{Direction, Switch};
    use super::*;

    #[test]
    fn a_command_is_its_name_and_an_object() {
        let floodlight = action("floodlight", json!({ "switch": "on" })).unwrap();
        assert!(
            matches!(
                floodlight,
                Action::Floodlight {
                    switch: Switch::On,
                    seconds: 180
                }
            ),
            "{floodlight:?}"
        );
        let ptz = action(
            "ptz",
            json!({ "direction": "left-up", "milliseconds": 300 }),
        )
        .unwrap();
        assert!(
            matches!(
                ptz,
                Action::Ptz {
                    direction: Direction::LeftUp,
                    speed: 32,
                    milliseconds: Some(300)
                }
            ),
            "{ptz:?}"
        );
        assert!(matches!(action("info", json!({})), Ok(Action::Info {})));
    }

    #[test]
    fn a_mistake_names_what_there_is() {
        let error = action("flodlight", json!({})).unwrap_err();
        assert!(error.contains("floodlight"), "{error}");
        let error = action("ptz", json!({ "direction": "sideways" })).unwrap_err();
        assert!(error.contains("left-down"), "{error}");
        assert!(action("info", json!({ "wake": true })).is_err());
        assert!(action("talk", json!({})).is_err());
    }
}
