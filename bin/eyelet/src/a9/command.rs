//! `eyelet a9 command`: one order for a camera that is its own network.

use std::io::Write;

use anyhow::{Context, bail};
use naxclow::Order;
use naxclow::access_point::{AccessPoint, BaseInfo, Event};
use serde_json::{Value, json};

use super::access_point::{clock, connect};
use crate::cli::A9Camera;

pub(crate) async fn run(
    name: &str,
    value: Option<i64>,
    json: bool,
    camera: &A9Camera,
) -> anyhow::Result<()> {
    let order = Order::new(name, value)?;
    let clock = clock(camera)?;
    let mut camera = connect(camera).await?;
    let told = carry_out(&mut camera, &order, clock).await;
    camera.close().await;
    let mut out = std::io::stdout().lock();
    match told? {
        None => writeln!(out, "The camera was told to {name}.")?,
        Some(info) if json => writeln!(out, "{:#}", state(&info))?,
        Some(info) => {
            for (name, value) in state(&info).as_object().into_iter().flatten() {
                writeln!(out, "{name:<10} {}", shown(value))?;
            }
        }
    }
    Ok(())
}

/// The camera's state afterwards; none of one that restarts.
async fn carry_out(
    camera: &mut AccessPoint,
    order: &Order,
    clock: i64,
) -> anyhow::Result<Option<BaseInfo>> {
    const STATE: i64 = 4;
    camera.order(order, clock)?;
    if !order.ends_conversation() && order.code() != STATE {
        // Nobody knows what set commands answer: the state tells.
        camera.ask(|client, now| client.ask_base_info(now))?;
    }
    let mut info = None;
    loop {
        match camera.next().await {
            Ok(Event::BaseInfo(told)) => info = Some(told),
            Ok(Event::Answer { code, .. }) if order.ends_conversation() && code == order.code() => {
                return Ok(None);
            }
            Ok(Event::Answer { code: STATE, .. }) => {
                let info =
                    info.context("the camera does not tell its state: try again nearer to it")?;
                return Ok(Some(info));
            }
            Ok(Event::Closed) | Err(_) if order.ends_conversation() => return Ok(None),
            Ok(Event::Closed) => bail!("the camera ended the conversation: try again in a minute"),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// With the names of `GET /api/v1/a9/UID`; what the camera does not tell is null.
fn state(info: &BaseInfo) -> Value {
    json!({
        "firmware": info.version,
        "power": info.power,
        "wifi": info.wifi_name,
        "infrared": info.infrared_led,
        "led": info.instruction_led,
        "flip": info.flip.map(naxclow::access_point::Flip::number),
        "sd_status": info.sd_status,
    })
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::Bool(true) => "on".to_owned(),
        Value::Bool(false) => "off".to_owned(),
        Value::String(text) => text.chars().filter(|c| !c.is_control()).collect(),
        other => other.to_string(),
    }
}
