use crate::{Flip, Object};

/// What a camera says of itself in answer to [`Command::BaseInfo`](crate::Command::BaseInfo) (facts, section 8.2).
///
/// Every member may be missing. Texts are the camera's own words: escape them wherever they are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaseInfo {
    /// Newer firmware: recordings can be played over UDP.
    pub udp_playback: Option<bool>,
    /// Infrared lamp.
    pub infrared_led: Option<bool>,
    /// Charge in per cent; 100 on mains.
    pub power: Option<i64>,
    /// Step of picture quality.
    pub speed_grade: Option<i64>,
    /// Motion alert.
    pub motion_alert: Option<bool>,
    /// Records only on motion.
    pub record_on_motion: Option<bool>,
    /// The network it is in.
    pub wifi_name: Option<String>,
    /// Instruction LED.
    pub instruction_led: Option<bool>,
    /// 1 present, 0 none, -1 error, -2 file system, -3 no file, -4 broken file.
    pub sd_status: Option<i64>,
    /// How the picture is turned.
    pub flip: Option<Flip>,
    /// Build number of the firmware.
    pub version: Option<String>,
}

impl BaseInfo {
    /// Reads the content of an answer; what is not there or not usable is `None`.
    pub fn read(content: &Object) -> Self {
        let switch = |name| content.integer(name).map(|number| number != 0);
        let text = |name| content.text(name).map(str::to_owned);
        Self {
            udp_playback: switch("udpPlayBack"),
            infrared_led: switch("IrLed"),
            power: content.integer("devPower"),
            speed_grade: content.integer("speedGrade"),
            motion_alert: switch("moveAlert"),
            record_on_motion: switch("sdMoveMode"),
            wifi_name: text("wifiName"),
            instruction_led: switch("instLed"),
            sd_status: content.integer("sdDevStatus"),
            flip: content.integer("mirrorFlip").and_then(Flip::from_number),
            version: text("version"),
        }
    }

    /// The content as fw 202212011602 orders it.
    pub fn content(&self) -> Object {
        let mut content = Object::default().with("code", 4);
        let number = |content: Object, name, value: Option<i64>| match value {
            Some(value) => content.with(name, value),
            None => content,
        };
        let text = |content: Object, name, value: &Option<String>| match value {
            Some(value) => content.with(name, value.as_str()),
            None => content,
        };
        content = number(content, "IrLed", self.infrared_led.map(i64::from));
        content = number(content, "devPower", self.power);
        content = number(content, "speedGrade", self.speed_grade);
        content = number(content, "moveAlert", self.motion_alert.map(i64::from));
        content = number(content, "sdMoveMode", self.record_on_motion.map(i64::from));
        content = text(content, "wifiName", &self.wifi_name);
        content = number(content, "instLed", self.instruction_led.map(i64::from));
        content = number(content, "sdDevStatus", self.sd_status);
        content = number(content, "mirrorFlip", self.flip.map(Flip::number));
        content = text(content, "version", &self.version);
        number(content, "udpPlayBack", self.udp_playback.map(i64::from))
    }

    /// The whole answer with the order and the spaces of fw 202412061749 (facts, vector C4n).
    pub fn odd_text(&self, target: &str) -> String {
        use crate::json::quoted;
        let number = |value: Option<i64>| value.unwrap_or_default();
        let switch = |value: Option<bool>| i64::from(value.unwrap_or_default());
        let text = |value: &Option<String>| quoted(value.as_deref().unwrap_or_default());
        format!(
            "{{\"code\": 301 , \"target\": {}, \"content\":  {{\"udpPlayBack\": {},\"code\": 4,\"sdMoveMode\": {},\
             \"sdDevStatus\": {},\"IrLed\": {},\"instLed\": {},\"speedGrade\": {},\"mirrorFlip\": {},\
             \"wifiName\":{},\"version\":{}}} }}",
            quoted(target),
            switch(self.udp_playback),
            switch(self.record_on_motion),
            number(self.sd_status),
            switch(self.infrared_led),
            switch(self.instruction_led),
            number(self.speed_grade),
            self.flip.map_or(0, Flip::number),
            text(&self.wifi_name),
            text(&self.version),
        )
    }
}
