//! A9 cameras: the cloud beside the gateway, and the commands of `eyelet a9`.

mod access_point;
mod command;
mod doctor;
mod import;
mod wiring;

pub(crate) use access_point::minute;
pub(crate) use import::lines as imported;
pub(crate) use wiring::{bind, start};

use crate::cli::A9;

pub(crate) async fn run(command: &A9) -> anyhow::Result<()> {
    match command {
        A9::Doctor { uid, json, files } => doctor::run(uid.as_deref(), *json, files).await,
        A9::SetWifi { name, key, camera } => {
            access_point::set_wifi(name, key.as_deref(), camera).await
        }
        A9::Command {
            name,
            value,
            json,
            camera,
        } => command::run(name, *value, *json, camera).await,
        A9::List { camera, json } => access_point::list(camera, *json).await,
        A9::Download {
            recording,
            output,
            camera,
        } => access_point::download(recording, output.as_deref(), camera).await,
        A9::Live {
            output,
            seconds,
            camera,
        } => access_point::live(output.as_deref(), *seconds, camera).await,
    }
}
