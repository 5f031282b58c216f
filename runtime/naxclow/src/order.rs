//! Commands by name, as the API and people write them.

use proto_naxclow::{Command, Flip};

use crate::{Cloud, Error};

/// Orders that people give.
const NAMES: &str = "infrared (0, 1), led (0, 1), flip (0 to 4), quality (a number), brightness (a number), motor (0 to 4), \
     record (0, 1), record-on-motion (0, 1), motion-alert (0, 1), rate (5 to 120), refresh, sd-status, power, \
     access-point, reboot";

/// A command by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    name: String,
    value: Option<i64>,
}

impl Order {
    /// Takes a name and the value that some of them have.
    ///
    /// # Errors
    /// Tells which there are.
    pub fn new(name: &str, value: Option<i64>) -> Result<Self, Error> {
        let order = Self {
            name: name.to_owned(),
            value,
        };
        order.command(0)?;
        Ok(order)
    }

    /// The code under which the camera answers.
    #[must_use]
    pub fn code(&self) -> i64 {
        self.command(0).map_or(-1, |command| command.code())
    }

    /// Whether the camera leaves upon it, so that nothing answers afterwards.
    #[must_use]
    pub fn ends_conversation(&self) -> bool {
        matches!(self.command(0), Ok(Command::Reboot | Command::AccessPoint))
    }

    /// What is sent to the camera; `unix_time` is for the orders that set its clock.
    pub(crate) fn command(&self, unix_time: i64) -> Result<Command, Error> {
        let name = &self.name;
        let within = |from: i64, to: i64| match self.value {
            Some(value) if (from..=to).contains(&value) => Ok(value),
            Some(value) => Err(Error::Order(format!(
                "{name} takes {from} to {to}, not {value}"
            ))),
            None => Err(Error::Order(format!(
                "{name} needs a value, {from} to {to}"
            ))),
        };
        let switch = || within(0, 1).map(|value| value == 1);
        Ok(match name.as_str() {
            "infrared" => Command::InfraredLed(switch()?),
            "led" => Command::InstructionLed(switch()?),
            "flip" => Command::Flip(Flip::from_number(within(0, 4)?).unwrap_or(Flip::Reset)),
            "quality" => Command::SpeedGrade(within(0, 100)?),
            "brightness" => Command::Brightness(within(0, 100)?),
            "motor" => Command::Motor(within(0, 4)?),
            "record" => Command::Record(switch()?),
            "record-on-motion" => Command::RecordOnMotion(switch()?),
            "motion-alert" => Command::MotionAlert(switch()?),
            "rate" => Command::SendRate(within(5, 120)?),
            "refresh" => Command::BaseInfo { unix_time },
            "sd-status" => Command::SdStatus,
            "power" => Command::Power,
            "access-point" => Command::AccessPoint,
            "reboot" => Command::Reboot,
            _ => {
                let name: String = name.chars().take(40).collect();
                return Err(Error::Order(format!(
                    "there is no command {name:?}; there are: {NAMES}"
                )));
            }
        })
    }
}

impl Cloud {
    /// Carries out an order, and reads the camera's state again, since nobody knows what set commands answer.
    ///
    /// # Errors
    /// The camera is away, busy, or does not answer.
    pub async fn order(&self, uid: &str, order: &Order) -> Result<(), Error> {
        let unix_time = i64::try_from(
            std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs(),
        )
        .unwrap_or_default();
        let command = order.command(unix_time)?;
        let name = command.code();
        let answer = self.command(uid, command.clone()).await?;
        match command {
            Command::Reboot | Command::AccessPoint => return Ok(()),
            Command::BaseInfo { .. } => {
                return match answer.is_some() || self.camera(uid)?.state == "mqtt" {
                    true => Ok(()),
                    false => Err(Error::NoAnswer(uid.to_owned())),
                };
            }
            Command::SdStatus => {
                if let Some(status) = answer.and_then(|answer| answer.integer("sdDevStatus")) {
                    self.note_sd_status(uid, status);
                    return Ok(());
                }
            }
            _ => {}
        }
        // Over MQTT the next Info tells; over TCP we ask.
        if self.camera(uid)?.state != "mqtt" {
            let told = self.command(uid, Command::BaseInfo { unix_time }).await?;
            if told.is_none() {
                tracing::debug!(camera = uid, code = name, "no state after a command");
                return Err(Error::NoAnswer(uid.to_owned()));
            }
        }
        Ok(())
    }

    fn note_sd_status(&self, uid: &str, status: i64) {
        if let Ok(uid) = uid.parse() {
            self.update(&uid, |camera| camera.base_info.sd_status = Some(status));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_says_what_it_takes() {
        let wrong = |name, value| Order::new(name, value).unwrap_err().to_string();
        assert!(wrong("infrared", None).contains("needs a value, 0 to 1"));
        assert!(wrong("flip", Some(7)).contains("takes 0 to 4, not 7"));
        assert!(wrong("explode", None).contains("there are: infrared"));
        assert!(Order::new("reboot", None).is_ok());
        let order = Order::new("flip", Some(4)).unwrap();
        assert_eq!(order.command(0).unwrap(), Command::Flip(Flip::UpsideDown));
    }
}
