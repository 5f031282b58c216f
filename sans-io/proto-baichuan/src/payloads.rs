//! Typed views of the documents that the session itself needs or every user wants (section 7). Everything else is
//! an [`Element`].

use crate::Error;
use crate::xml::Element;

/// Most entries read of a list of frame rates or bit rates; devices send at most 25 (section 7.1).
pub const MAX_RATES: usize = 64;

/// Which of a channel's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StreamKind {
    /// The full picture.
    Main,
    /// The small picture.
    Sub,
    /// The picture in between, which many models lack.
    Extern,
}

impl StreamKind {
    /// The name in documents.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Main => "mainStream",
            Self::Sub => "subStream",
            Self::Extern => "externStream",
        }
    }

    /// The number that a stop names.
    #[must_use]
    pub fn handle(self) -> u32 {
        match self {
            Self::Main => 0,
            Self::Sub => 256,
            Self::Extern => 1024,
        }
    }

    /// Byte 13 of the header.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Main | Self::Extern => 0,
            Self::Sub => 1,
        }
    }

    /// By name; firmware takes what it does not know for the main stream.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        match name {
            "subStream" => Self::Sub,
            "externStream" => Self::Extern,
            _ => Self::Main,
        }
    }
}

/// What message 3 asks for (section 7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preview {
    /// The recorder's channel, else 0.
    pub channel: u8,
    /// Names the stream when it is stopped.
    pub handle: u32,
    /// Absent in a stop.
    pub kind: Option<StreamKind>,
}

impl Preview {
    /// The element.
    #[must_use]
    pub fn to_xml(self) -> Element {
        Element::versioned("Preview")
            .with("channelId", self.channel)
            .with("handle", self.handle)
            .with_some("streamType", self.kind.map(StreamKind::name))
    }

    /// Reads the element; firmware treats every field as optional.
    #[must_use]
    pub fn from_xml(element: &Element) -> Self {
        Self {
            channel: element.number("channelId").unwrap_or(0),
            handle: element.number("handle").unwrap_or(0),
            kind: element.value("streamType").map(StreamKind::from_name),
        }
    }
}

/// What a device tells of itself at login (section 7.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceInfo {
    /// `ipc`, `wifi_solo_ipc` (battery), `nvr` and others.
    pub kind: String,
    /// `IPC`, `NVR`, `WIFI_NVR`, `HOMEHUB`.
    pub type_info: String,
    /// The firmware's date and number.
    pub firmware: String,
    /// Channels of a recorder, lenses of a camera.
    pub channels: u8,
    /// `none`, `pt`, `ptz` and others.
    pub ptz_mode: String,
    /// Privacy mode: no stream until it is ended.
    pub is_asleep: bool,
    /// The whole element.
    pub xml: Element,
}

impl DeviceInfo {
    /// Reads the element.
    #[must_use]
    pub fn from_xml(element: &Element) -> Self {
        let text = |name| element.value(name).unwrap_or_default().to_owned();
        Self {
            kind: text("type"),
            type_info: text("typeInfo"),
            firmware: text("firmVersion"),
            channels: element.number("channelNum").unwrap_or(1),
            ptz_mode: text("ptzMode"),
            is_asleep: element.number::<u8>("sleep") == Some(1),
            xml: element.clone(),
        }
    }

    /// Whether this is a battery camera, which every session costs charge.
    #[must_use]
    pub fn is_battery(&self) -> bool {
        self.kind == "wifi_solo_ipc"
    }
}

/// One row of the stream table (section 7.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamTable {
    /// Bit mask of channels.
    pub channel_bits: u64,
    /// Which stream.
    pub kind: StreamKind,
    /// Picture width.
    pub width: u32,
    /// Picture height.
    pub height: u32,
    /// Frames a second unless set otherwise.
    pub default_frame_rate: Option<u32>,
    /// Kilobits a second unless set otherwise.
    pub default_bit_rate: Option<u32>,
    /// What can be chosen; old cameras' media name an index into this.
    pub frame_rates: Vec<u32>,
    /// What can be chosen.
    pub bit_rates: Vec<u32>,
}

impl StreamTable {
    /// Reads every row of a `StreamInfoList`.
    #[must_use]
    pub fn from_xml(list: &Element) -> Vec<Self> {
        let rates = |table: &Element, name: &str| {
            let text = table.value(name).unwrap_or_default();
            let numbers = text.split(',').filter_map(|part| part.trim().parse().ok());
            numbers.take(MAX_RATES).collect()
        };
        let mut rows = Vec::new();
        for info in list.all("StreamInfo") {
            for table in info.all("encodeTable") {
                let size = table.child("resolution");
                let side = |name| size.and_then(|size| size.number(name)).unwrap_or(0);
                rows.push(Self {
                    channel_bits: info.number("channelBits").unwrap_or(1),
                    kind: StreamKind::from_name(table.value("type").unwrap_or_default()),
                    width: side("width"),
                    height: side("height"),
                    default_frame_rate: table.number("defaultFramerate"),
                    default_bit_rate: table.number("defaultBitrate"),
                    frame_rates: rates(table, "framerateTable"),
                    bit_rates: rates(table, "bitrateTable"),
                });
            }
        }
        rows
    }

    /// A `StreamInfoList` of these rows, one `StreamInfo` for each channel mask in the order of the rows.
    #[must_use]
    pub fn to_xml(rows: &[Self]) -> Element {
        let mut list = Element::versioned("StreamInfoList");
        for row in rows {
            let rates = |rates: &[u32]| {
                let words: Vec<String> = rates.iter().map(u32::to_string).collect();
                words.join(",")
            };
            let table = Element::new("encodeTable")
                .with("type", row.kind.name())
                .containing(
                    Element::new("resolution")
                        .with("width", row.width)
                        .with("height", row.height),
                )
                .with("defaultFramerate", row.default_frame_rate.unwrap_or(0))
                .with("defaultBitrate", row.default_bit_rate.unwrap_or(0))
                .with("framerateTable", rates(&row.frame_rates))
                .with("bitrateTable", rates(&row.bit_rates));
            let same = |info: &Element| info.number("channelBits") == Some(row.channel_bits);
            match list.children.last_mut().filter(|info| same(info)) {
                Some(info) => info.children.push(table),
                None => list.children.push(
                    Element::new("StreamInfo")
                        .with("channelBits", row.channel_bits)
                        .containing(table),
                ),
            }
        }
        list
    }
}

/// A battery's state (section 7.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Battery {
    /// Which channel's battery.
    pub channel: u8,
    /// Charge, 0 to 100.
    pub percent: u8,
    /// `none`, `charging`, `chargeComplete`.
    pub charge_status: String,
    /// `none`, `adapter`, `solarPanel`.
    pub adapter_status: String,
    /// Millivolts.
    pub millivolts: Option<u32>,
    /// Milliamperes, negative while discharging.
    pub milliamperes: Option<i32>,
    /// Degrees Celsius.
    pub celsius: Option<i32>,
    /// Whether the camera itself calls it low.
    pub is_low: bool,
}

impl Battery {
    /// Reads a `BatteryInfo`.
    pub fn from_xml(element: &Element) -> Result<Self, Error> {
        let text = |name| element.value(name).unwrap_or("none").to_owned();
        let percent = element
            .number::<u8>("batteryPercent")
            .filter(|percent| *percent <= 100)
            .ok_or(Error::Field {
                document: "BatteryInfo",
                field: "batteryPercent",
            })?;
        Ok(Self {
            channel: element.number("channelId").unwrap_or(0),
            percent,
            charge_status: text("chargeStatus"),
            adapter_status: text("adapterStatus"),
            millivolts: element.number("voltage"),
            milliamperes: element.number("current"),
            celsius: element.number("temperature"),
            is_low: element.number::<u8>("lowPower") == Some(1),
        })
    }

    /// The element, with everything that strict clients insist on.
    #[must_use]
    pub fn to_xml(&self) -> Element {
        Element::versioned("BatteryInfo")
            .with("channelId", self.channel)
            .with("chargeStatus", &self.charge_status)
            .with("adapterStatus", &self.adapter_status)
            .with("voltage", self.millivolts.unwrap_or(0))
            .with("current", self.milliamperes.unwrap_or(0))
            .with("temperature", self.celsius.unwrap_or(0))
            .with("batteryPercent", self.percent)
            .with("lowPower", u8::from(self.is_low))
            .with("batteryVersion", 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_battery_survives_the_wire() {
        let battery = Battery {
            channel: 0,
            percent: 87,
            charge_status: "charging".to_owned(),
            adapter_status: "solarPanel".to_owned(),
            millivolts: Some(4012),
            milliamperes: Some(-120),
            celsius: Some(-7),
            is_low: false,
        };
        assert_eq!(Battery::from_xml(&battery.to_xml()), Ok(battery));
        let full = Element::new("BatteryInfo").with("batteryPercent", 101);
        assert!(Battery::from_xml(&full).is_err());
    }

    #[test]
    fn a_stream_table_is_read_row_by_row() {
        let table = Element::new("encodeTable")
            .with("type", "subStream")
            .containing(
                Element::new("resolution")
                    .with("width", 640)
                    .with("height", 360),
            )
            .with("defaultFramerate", 10)
            .with("defaultBitrate", 256)
            .with("framerateTable", "15, 10,x,4");
        let info = Element::new("StreamInfo")
            .with("channelBits", 1)
            .containing(table);
        let rows = StreamTable::from_xml(&Element::new("StreamInfoList").containing(info));
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].kind, StreamKind::Sub);
        assert_eq!((rows[0].width, rows[0].height), (640, 360));
        assert_eq!(rows[0].frame_rates, [15, 10, 4]);
        assert_eq!(StreamTable::from_xml(&StreamTable::to_xml(&rows)), rows);
    }
}
