//! One session with one device: the only place that reads from it and writes to it.

use std::sync::Arc;
use std::time::Duration;

use proto_baichuan::{CloseReason, Hello, Session, SessionConfig};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::care::Cause;
use super::desk::Desk;
use super::device::{Device, Line, Order, lock};
use super::outage::Outage;
use super::wire::Wire;

/// How long a session without any time of its own sleeps.
const FAR: Duration = Duration::from_secs(60);

/// Runs the session of `line` to its end.
pub(super) async fn run(
    device: Arc<Device>,
    line: Arc<Line>,
    mut orders: mpsc::Receiver<Order>,
    cause: Cause,
) {
    let outcome = hold(&device, &line, &mut orders, cause).await;
    device.hang_up(&line);
    let outage = match outcome {
        Ok(()) => Outage::Closed("nobody needed it any more".to_owned()),
        Err(outage) => {
            let is_battery = device.facts.borrow().is_battery();
            device.care().failed(&outage, is_battery, Instant::now());
            let said = outage.clone().into_error().to_string();
            device.facts.send_modify(|facts| facts.outage = Some(said));
            outage
        }
    };
    line.outage.send_replace(Some(outage.clone()));
    orders.close();
    while let Ok(order) = orders.try_recv() {
        order.refuse(&outage);
    }
}

/// Ends when nobody has been on the line for its linger; nobody can come onto it then.
async fn unused(device: &Device, line: &Arc<Line>) {
    let mut users = line.users.subscribe();
    loop {
        let _ = users.wait_for(|users| *users == 0).await;
        let linger = *lock(&line.linger);
        let again = users.wait_for(|users| *users > 0);
        if tokio::time::timeout(linger, again).await.is_err() && device.hang_up_if_unused(line) {
            return;
        }
    }
}

async fn hold(
    device: &Arc<Device>,
    line: &Arc<Line>,
    orders: &mut mpsc::Receiver<Order>,
    cause: Cause,
) -> Result<(), Outage> {
    let unused = unused(device, line);
    tokio::pin!(unused);
    loop {
        let mut wire = tokio::select! {
            wire = Wire::open(device) => wire?,
            () = &mut unused => return Ok(()),
            () = device.shutdown.cancelled() => return Ok(()),
        };
        let hello = device.hello();
        if hello == Hello::HeaderOnly {
            device.care().count(cause, Instant::now());
        }
        let config = SessionConfig {
            encryption: device.encryption,
            hello,
            ..SessionConfig::new(&device.user, &device.password)
        };
        let session = Session::new(config, Instant::now().into_std());
        let mut desk = Desk::new(Arc::clone(device), session);
        let ended = converse(device, line, &mut desk, &mut wire, orders, unused.as_mut()).await;
        wire.close().await;
        let ended = ended.and_then(|reason| match reason {
            CloseReason::LoggedOut => Ok(()),
            CloseReason::NoNonce if hello == Hello::HeaderOnly => {
                tracing::debug!(
                    ?device,
                    "no answer to the short opening, trying the long one"
                );
                device.set_hello(Hello::Legacy);
                Err(None)
            }
            reason => {
                device.set_hello(Hello::HeaderOnly);
                Err(Some(Outage::of(reason, &device.user)))
            }
        });
        match ended {
            Ok(()) => return Ok(()),
            Err(None) => {}
            Err(Some(outage)) => {
                desk.refuse_all(&outage);
                return Err(outage);
            }
        }
    }
}

/// Carries bytes and orders until the session closes, or the connection breaks.
async fn converse(
    device: &Device,
    line: &Arc<Line>,
    desk: &mut Desk,
    wire: &mut Wire,
    orders: &mut mpsc::Receiver<Order>,
    mut unused: std::pin::Pin<&mut impl Future<Output = ()>>,
) -> Result<CloseReason, Option<Outage>> {
    let mut is_leaving = false;
    loop {
        while let Some(bytes) = desk.session.poll_transmit() {
            if let Err(error) = wire.send(bytes).await {
                let said = format!("it stopped taking what we send ({error})");
                return broken(desk, is_leaving, &said);
            }
        }
        if desk.work() {
            continue;
        }
        if let Some(reason) = desk.ended.take() {
            return Ok(reason);
        }
        let now = Instant::now();
        let due = desk.due().map_or(now + FAR, Instant::from_std);
        tokio::select! {
            received = wire.receive() => match received {
                Ok(bytes) if bytes.is_empty() => {
                    return broken(desk, is_leaving, "it closed the connection");
                }
                Ok(bytes) => desk.session.handle_input(&bytes, Instant::now().into_std()),
                Err(error) => return broken(desk, is_leaving, &format!("the connection broke ({error})")),
            },
            order = orders.recv(), if desk.session.is_ready() => match order {
                Some(order) => desk.take(order),
                // Every sender is gone with the line itself, which we hold.
                None => is_leaving = true,
            },
            () = tokio::time::sleep_until(due) => desk.handle_timeout(),
            () = &mut unused, if !is_leaving => {
                is_leaving = true;
                desk.session.close(Instant::now().into_std());
            }
            () = device.shutdown.cancelled(), if !is_leaving => {
                is_leaving = true;
                device.hang_up(line);
                desk.session.close(Instant::now().into_std());
            }
        }
    }
}

/// The connection is gone: after a farewell that is as it should be.
fn broken(desk: &mut Desk, is_leaving: bool, said: &str) -> Result<CloseReason, Option<Outage>> {
    if is_leaving {
        return Ok(CloseReason::LoggedOut);
    }
    let said = match desk.session.is_ready() {
        true => said.to_owned(),
        false => format!(
            "{said} during the login; too many viewers at the camera, or no Reolink at this address"
        ),
    };
    Err(Some(Outage::Closed(said)))
}
