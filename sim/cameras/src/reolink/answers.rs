//! What the camera answers to each command, and what it does to it.

use proto_baichuan::{
    Abilities, Ability, Answer, CameraTime, ChannelStatus, Command, DeviceConfig, Element,
    Encryption, Message, Notice, Payload, StreamKind, StreamTable, Support, TalkAbility,
    TalkFormat, Version, id,
};
use tokio::time::Instant;

use super::state::count;
use super::{ReolinkModel, Shared};
use crate::source::wall_time;

/// "Unsupported", as cameras say it.
const UNSUPPORTED: u16 = 400;
/// Abilities of the one user: module, whether it differs by channel, names.
const ABILITIES: &[(&str, bool, &[&str])] = &[
    (
        "system",
        false,
        &[
            "general",
            "norm",
            "version",
            "uid",
            "autoReboot",
            "restore",
            "reboot",
        ],
    ),
    (
        "streaming",
        true,
        &["preview", "compress", "snap", "rtsp", "streamTable"],
    ),
    (
        "network",
        false,
        &["port", "dns", "email", "ftp", "wifi", "ntp", "push", "ptop"],
    ),
    ("PTZ", false, &["control", "preset", "cruise"]),
    ("IO", false, &["manualAlarm", "ioAlarmIn", "rfAlarm"]),
    ("alarm", true, &["motion", "videoLost", "hide"]),
    ("image", true, &["ispBasic", "ispAdvance", "ledState"]),
    ("video", true, &["osdName", "osdTime", "shelter"]),
    ("audio", false, &["talk"]),
    ("security", false, &["user", "userOnline"]),
    ("disk", false, &["format"]),
];
/// What [`Command::Version`] says is read-only even for an owner.
const READ_ONLY: &[&str] = &["version", "uid", "streamTable", "userOnline"];

/// What a session's device is made with.
pub(super) fn device_config(shared: &Shared, nonce: &str) -> DeviceConfig {
    let config = &shared.config;
    let mut device = DeviceConfig::new(&config.user, &config.password, config.encryption, nonce);
    device.encrypt_len = config
        .encrypt_len
        .filter(|_| config.encryption == Encryption::FullAes);
    device.info = device_info(shared);
    device.streams = StreamTable::to_xml(&stream_tables(shared));
    let serial = Element::versioned("Serial")
        .with("channelId", 0)
        .with("baudRate", 9600)
        .with("dataBit", "CS8")
        .with("stopBit", 1)
        .with("parity", "none")
        .with("flowControl", "none")
        .with("controlProtocol", "PELCO_D")
        .with("controlAddress", 1);
    device.pushes.push((id::SERIAL, serial));
    let mut notices = Vec::new();
    match config.model {
        ReolinkModel::Mains => {}
        ReolinkModel::Battery => {
            notices.push(Notice::Battery(
                shared.state.change(|it| it.battery.clone()),
            ));
        }
        ReolinkModel::Recorder { .. } => {
            let list = Answer::Channels(channels(shared)).to_payload();
            if let Some(list) = list.first() {
                device.pushes.push((id::CHANNEL_INFO_LIST, list.clone()));
            }
        }
    }
    for notice in notices {
        let (id, payload) = notice.to_push();
        if let Some(element) = payload.first() {
            device.pushes.push((id, element.clone()));
        }
    }
    device
}

fn device_info(shared: &Shared) -> Element {
    let (kind, type_info) = match shared.config.model {
        ReolinkModel::Mains => ("ipc", "IPC"),
        ReolinkModel::Battery => ("wifi_solo_ipc", "IPC"),
        ReolinkModel::Recorder { .. } => ("nvr", "NVR"),
    };
    let is_recorder = kind == "nvr";
    let ip_channels = if is_recorder { shared.channels() } else { 0 };
    Element::versioned("DeviceInfo")
        .with("firmVersion", "00000000000000")
        .with("IOInputPortNum", 0)
        .with("IOOutputPortNum", 0)
        .with("diskNum", 0)
        .with("type", kind)
        .with("channelNum", shared.channels())
        .with("audioNum", shared.channels())
        .with("ipChannel", ip_channels)
        .with("analogChnNum", 0)
        .containing(
            Element::new("resolution")
                .with("resolutionName", "640*360")
                .with("width", 640)
                .with("height", 360),
        )
        .with("language", "English")
        .with("sdCard", 0)
        .with("ptzMode", if is_recorder { "none" } else { "pt" })
        .with("typeInfo", type_info)
        .with("softVer", 50_331_784)
        .with("hardVer", 0)
        .with("panelVer", 0)
        .with("hdChannel1", 0)
        .with("hdChannel2", 0)
        .with("hdChannel3", 0)
        .with("hdChannel4", 0)
        .with("norm", "PAL")
        .with("osdFormat", "DMY")
        .with("B485", 0)
        .with("supportAutoUpdate", 0)
        .with("userVer", 1)
}

/// One row for each stream; every channel has the same.
fn stream_tables(shared: &Shared) -> Vec<StreamTable> {
    let row = |kind, width, height, bit_rate| StreamTable {
        channel_bits: (1 << shared.channels().min(63)) - 1,
        kind,
        width,
        height,
        default_frame_rate: Some(25),
        default_bit_rate: Some(bit_rate),
        frame_rates: vec![25],
        bit_rates: vec![bit_rate],
    };
    vec![
        row(StreamKind::Main, 640, 360, 1024),
        row(StreamKind::Sub, 320, 180, 256),
    ]
}

fn channels(shared: &Shared) -> Vec<ChannelStatus> {
    (0..shared.channels())
        .map(|channel| ChannelStatus {
            channel,
            uid: format!("{}{channel:02}", shared.config.uid.get(..14).unwrap_or("")),
            name: format!("porch {channel}"),
            login_state: "login".to_owned(),
        })
        .collect()
}

fn abilities(shared: &Shared, user: &str) -> Abilities {
    let mut list = Vec::new();
    for (module, is_by_channel, names) in ABILITIES {
        let last = if *is_by_channel { shared.channels() } else { 1 };
        for channel in 0..last {
            list.extend(names.iter().map(|name| Ability {
                module: (*module).to_owned(),
                channel: is_by_channel.then_some(channel),
                name: (*name).to_owned(),
                is_writable: !READ_ONLY.contains(name),
            }));
        }
    }
    let user = user.to_owned();
    Abilities { user, list }
}

fn support(shared: &Shared) -> Support {
    let is_battery = shared.config.model == ReolinkModel::Battery;
    let mut support = Element::versioned("Support")
        .with("IOInputPortNum", 0)
        .with("IOOutputPortNum", 0)
        .with("diskNum", 0)
        .with("channelNum", shared.channels())
        .with("audioNum", shared.channels())
        .with("ptzMode", "pt")
        .with("audioTalk", 1)
        .with("rfVersion", u8::from(is_battery))
        .with("noExternStream", 1)
        // No HTTP interface: clients shall use this protocol for everything.
        .with("netPort", 0)
        .with("reboot", 1)
        .with("wifi", 0)
        .with("rtsp", 0)
        .with("onvif", 0)
        .with("rtmp", 0);
    for channel in 0..shared.channels() {
        support = support.containing(
            Element::new("item")
                .with("chnID", channel)
                .with("ptzType", 2)
                .with("rfCfg", u8::from(is_battery))
                .with("noAudio", 0)
                .with("battery", u8::from(is_battery))
                .with("ispCfg", 1)
                .with("osdCfg", 1)
                .with("audioVersion", 4)
                .with("ledCtrl", 7)
                .with("ptzControl", 0)
                .with("ptzPreset", 1)
                .with("motion", u8::from(!is_battery))
                .with("aitype", 6)
                .with("snap", 1)
                .with("encCtrl", 1),
        );
    }
    Support(support)
}

fn version() -> Version {
    Version {
        name: "Porch".to_owned(),
        model: "RLC-SIM".to_owned(),
        serial: "00000000000000".to_owned(),
        build: "build 24010100".to_owned(),
        hardware: "IPC_SIMULATED".to_owned(),
        config: "v3.0.0.0".to_owned(),
        firmware: "v3.0.0.136_24010100".to_owned(),
        detail: "IPC_SIMULATED10100000000000000000".to_owned(),
    }
}

/// Status and payload. What a command changes is told to every session.
pub(super) fn answer(shared: &Shared, request: &Message) -> (u16, Payload) {
    let Some(command) = Command::read(request) else {
        return (UNSUPPORTED, Payload::None);
    };
    if command
        .channel()
        .is_some_and(|channel| channel >= shared.channels())
    {
        return (UNSUPPORTED, Payload::None);
    }
    match obey(shared, command) {
        Some(answer) => (200, answer.to_payload()),
        None => (UNSUPPORTED, Payload::None),
    }
}

fn obey(shared: &Shared, command: Command) -> Option<Answer> {
    let is_battery = shared.config.model == ReolinkModel::Battery;
    let state = &shared.state;
    let mut notices = Vec::new();
    let is_question = matches!(
        command,
        Command::Version { .. }
            | Command::Uid
            | Command::LinkType
            | Command::Streams
            | Command::Abilities { .. }
            | Command::Support
            | Command::Channels
            | Command::WifiSignal
            | Command::Battery { .. }
            | Command::Time
            | Command::Led { .. }
            | Command::Pir { .. }
            | Command::FloodlightTask { .. }
            | Command::Presets { .. }
            | Command::ZoomFocus { .. }
            | Command::TalkAbility { .. }
            | Command::SleepState
            | Command::StartAlarms
    );
    let answer = state.change(|state| match command {
        Command::Version { .. } => Some(Answer::Version(Box::new(version()))),
        Command::Uid => Some(Answer::Uid(shared.config.uid.clone())),
        Command::LinkType => Some(Answer::LinkType("LAN".to_owned())),
        Command::Streams => Some(Answer::Streams(stream_tables(shared))),
        Command::Abilities { user } => Some(Answer::Abilities(abilities(shared, &user))),
        Command::Support => Some(Answer::Support(support(shared))),
        Command::Channels if shared.channels() > 1 => Some(Answer::Channels(channels(shared))),
        Command::WifiSignal if is_battery => Some(Answer::WifiSignal(-58)),
        Command::Battery { .. } if is_battery => Some(Answer::Battery(state.battery.clone())),
        Command::Channels | Command::WifiSignal | Command::Battery { .. } => None,
        Command::Time => {
            let seconds = match &state.time {
                Some((set, at)) => set.unix_seconds() + at.elapsed().as_secs() as i64,
                None => wall_time().as_secs() as i64,
            };
            let zone = state.time.as_ref().map_or(0, |(set, _)| set.zone_seconds);
            let mut time = CameraTime::from_unix(seconds, zone);
            time.device_name = Some("Porch".to_owned());
            Some(Answer::Time(time))
        }
        Command::SetTime(time) => {
            state.time = Some((time, Instant::now()));
            Some(Answer::Done)
        }
        Command::Led { .. } => Some(Answer::Led(state.led.clone())),
        Command::SetLed(led) => {
            state.led = led;
            Some(Answer::Done)
        }
        Command::Pir { .. } => Some(Answer::Pir(state.pir.clone())),
        Command::SetPir(pir) => {
            state.pir = pir;
            Some(Answer::Done)
        }
        Command::Floodlight { channel, is_on, .. } => {
            state.is_light_on = is_on;
            notices.push(Notice::Floodlight { channel, is_on });
            Some(Answer::Done)
        }
        Command::FloodlightTask { .. } => Some(Answer::FloodlightTask(state.light.clone())),
        Command::SetFloodlightTask(light) => {
            state.light = light;
            Some(Answer::Done)
        }
        Command::Siren { channel, siren } => {
            let is_on = siren != proto_baichuan::Siren::Off;
            state.is_siren_on = is_on;
            notices.push(Notice::Siren { channel, is_on });
            Some(Answer::Done)
        }
        Command::Presets { .. } => Some(Answer::Presets(state.presets.clone())),
        Command::GoToPreset { preset, .. } => {
            let is_known = state.presets.iter().any(|known| known.id == preset);
            is_known.then_some(Answer::Done)
        }
        Command::SavePreset { preset, .. } => {
            state.save_preset(preset);
            Some(Answer::Done)
        }
        Command::DeletePreset { preset, .. } => {
            state.presets.retain(|known| known.id != preset);
            Some(Answer::Done)
        }
        Command::ZoomFocus { channel } => {
            let zoom = state.zoom;
            Some(Answer::ZoomFocus(proto_baichuan::ZoomFocus {
                channel,
                ..zoom
            }))
        }
        Command::SetZoom { position, .. } => {
            let zoom = state.zoom.zoom.as_mut()?;
            zoom.current = position.clamp(zoom.min, zoom.max);
            Some(Answer::Done)
        }
        Command::SetFocus { position, .. } => {
            let focus = state.zoom.focus.as_mut()?;
            focus.current = position.clamp(focus.min, focus.max);
            Some(Answer::Done)
        }
        Command::TalkAbility { .. } => Some(Answer::TalkAbility(TalkAbility {
            duplex: vec!["FDX".to_owned()],
            modes: vec!["followVideoStream".to_owned()],
            formats: vec![TalkFormat::default()],
        })),
        Command::StopTalk { .. } => {
            state.is_talking = false;
            Some(Answer::Done)
        }
        Command::SleepState => Some(Answer::SleepState(state.is_asleep)),
        Command::SetSleepState { is_asleep } => {
            state.is_asleep = is_asleep;
            notices.push(Notice::SleepState { is_asleep });
            Some(Answer::Done)
        }
        Command::Reboot
        | Command::Ptz { .. }
        | Command::StartAlarms
        | Command::ContinuePreview { .. } => Some(Answer::Done),
        // Who talks is the conversation's own affair.
        Command::StartTalk(_) => None,
        _ => None,
    });
    for notice in notices {
        shared.tell(notice);
    }
    if answer.is_some() && !is_question {
        count(&shared.counters.orders);
    }
    answer
}
