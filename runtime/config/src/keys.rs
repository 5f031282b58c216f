//! Every key of the file: the one table behind the reader's messages, the reference and the schema.

/// A mapping with fixed keys.
pub(crate) struct Section {
    pub(crate) keys: &'static [Key],
}

/// One key.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// What holds if it is left out; `None` if it must be given.
    pub(crate) default: Option<&'static str>,
    /// One or two sentences for the reference.
    pub(crate) about: &'static str,
}

/// What a value looks like.
pub(crate) enum Kind {
    Text,
    Secret,
    Path,
    Listen,
    ListenOrOff,
    Address,
    Endpoint,
    Target,
    Duration,
    /// Pictures a second.
    Rate,
    /// Bits a second.
    Bitrate,
    Source,
    Agent,
    OneOf(&'static [&'static str]),
    Section(&'static Section),
    /// Names chosen by the user, each with a value.
    Named(&'static str, &'static Kind),
    /// A source alone, or the section in full.
    SourceOr(&'static Section),
    List(&'static Section),
    /// Plain words, one or several.
    Words,
}

pub(crate) static ROOT: Section = Section {
    keys: &[
        Key {
            name: "data",
            kind: Kind::Path,
            default: Some("./eyelet-data"),
            about: "The folder for the database and keys. A relative path starts at the folder in which the program was started. `--data DIR` wins over it.",
        },
        Key {
            name: "http",
            kind: Kind::Section(&HTTP),
            default: Some(""),
            about: "Dashboard, API, pictures in the browser, and the agents at `/agent`.",
        },
        Key {
            name: "rtsp",
            kind: Kind::Section(&RTSP),
            default: Some(""),
            about: "The RTSP server, where every camera comes out as `rtsp://HOST:PORT/NAME`.",
        },
        Key {
            name: "a9",
            kind: Kind::Section(&A9),
            default: Some(""),
            about: "The cloud of A9, X6, X9 and V720 cameras. Nothing of it listens unless this key is there; `a9: {}` takes all defaults. See [a9.md](a9.md).",
        },
        Key {
            name: "pixels",
            kind: Kind::Section(&PIXELS),
            default: Some(""),
            about: "How JPEG pictures are made of cameras that send H.264 or H.265, for `snapshot.jpg` and motion JPEG.",
        },
        Key {
            name: "cameras",
            kind: Kind::Named("NAME", &Kind::SourceOr(&CAMERA)),
            default: Some(""),
            about: "The cameras by name. A name is 1 to 64 letters, digits, `_`, `-` or `.`; case matters. The value is a source alone, or the keys below.",
        },
        Key {
            name: "agents",
            kind: Kind::Named("AGENT", &Kind::Section(&AGENT)),
            default: Some(""),
            about: "What holds for single agents, by name. An agent needs no entry here; `eyelet agent add` makes it known.",
        },
        Key {
            name: "forwards",
            kind: Kind::List(&FORWARD),
            default: Some(""),
            about: "Ports of this machine that lead through an agent to a port at its site, byte for byte.",
        },
    ],
};

pub(crate) static HTTP: Section = Section {
    keys: &[
        Key {
            name: "listen",
            kind: Kind::Listen,
            default: Some("127.0.0.1:8080"),
            about: "Address and port. `0.0.0.0:8080` is every IPv4 address of the machine, `[::]:8080` every address.",
        },
        Key {
            name: "public",
            kind: Kind::Endpoint,
            default: Some(""),
            about: "Where agents find this machine from outside, such as `eyelet.example.com:8080`; it is written into join codes. Without a port it is the port of `listen`.",
        },
        Key {
            name: "quic",
            kind: Kind::ListenOrOff,
            default: Some("that of `listen`"),
            about: "Address and port where agents come by QUIC, which is UDP, or `off`. Agents that find it closed come by WebSocket.",
        },
        Key {
            name: "agent_ca",
            kind: Kind::Path,
            default: Some(""),
            about: "A PEM file with the certificates of one or more authorities. Agents then have to show a certificate that one of them has signed (`eyelet-agent --certificate FILE --key FILE`), besides their token; browsers are asked for none. The file is read again at a reload. See [security.md](security.md).",
        },
    ],
};

pub(crate) static AGENT: Section = Section {
    keys: &[Key {
        name: "limit",
        kind: Kind::Bitrate,
        default: Some(""),
        about: "Most bits a second that all connections through this agent carry together, each way, such as `4mbit`, `512kbit` or `1.5mbit` (16 kbit to 100 gbit). They share it evenly; signs of life and commands do not wait for it.",
    }],
};

pub(crate) static RTSP: Section = Section {
    keys: &[
        Key {
            name: "listen",
            kind: Kind::Listen,
            default: Some("127.0.0.1:8554"),
            about: "Address and port.",
        },
        Key {
            name: "users",
            kind: Kind::Named("USER", &Kind::Secret),
            default: Some(""),
            about: "User names and their passwords. Without users nobody is asked for a password.",
        },
        Key {
            name: "passthrough",
            kind: Kind::Agent,
            default: Some(""),
            about: "An agent. A connection whose first request names none of the `cameras` goes through to that agent's camera, byte for byte, with the camera's own paths and login: `rtsp://127.0.0.1:8554/cam/realmonitor?channel=1&subtype=0`. `users` are not asked for on it.",
        },
        Key {
            name: "passthrough_to",
            kind: Kind::Target,
            default: Some(""),
            about: "Host and port as that agent sees them, if it has more cameras than one. Without it, the first that the agent allows.",
        },
        Key {
            name: "passthrough_from",
            kind: Kind::OneOf(&["loopback", "anyone"]),
            default: Some("loopback"),
            about: "Whose connections may go through: programs of this machine only, or everyone who reaches `listen`.",
        },
    ],
};

pub(crate) static A9: Section = Section {
    keys: &[
        Key {
            name: "http",
            kind: Kind::Listen,
            default: Some("0.0.0.0:80"),
            about: "Where cameras fetch their configuration. They always ask port 80.",
        },
        Key {
            name: "tcp",
            kind: Kind::Listen,
            default: Some("0.0.0.0:6123"),
            about: "Where cameras register and stand by.",
        },
        Key {
            name: "udp",
            kind: Kind::Listen,
            default: Some("0.0.0.0:6123"),
            about: "Where pictures and sound come in. Cameras fall back to the port number of `tcp`, so keep the two equal.",
        },
        Key {
            name: "mqtt",
            kind: Kind::Listen,
            default: Some(""),
            about: "The broker's part, such as `0.0.0.0:1883`. Some firmware does nothing before it has it.",
        },
        Key {
            name: "dns",
            kind: Kind::Listen,
            default: Some(""),
            about: "Answers `*.naxclow.com` and `*.naxclow.com.cn` with this machine's address and refuses everything else, such as `0.0.0.0:53`; for networks whose router cannot be told names. Give it to cameras only.",
        },
        Key {
            name: "host",
            kind: Kind::Address,
            default: Some(""),
            about: "This machine's address as cameras reach it. Left out, it is the one that the camera's own request came to.",
        },
        Key {
            name: "strict_token",
            kind: Kind::OneOf(&["false", "true"]),
            default: Some("false"),
            about: "Refuse a camera that registers with another token than it was given over HTTP. No cloud is known to do so.",
        },
        Key {
            name: "any_source",
            kind: Kind::OneOf(&["false", "true"]),
            default: Some("false"),
            about: "Take media from other addresses than the one that the camera registered from; for networks that lead UDP another way.",
        },
    ],
};

pub(crate) static PIXELS: Section = Section {
    keys: &[
        Key {
            name: "fps",
            kind: Kind::Rate,
            default: Some("5"),
            about: "Most pictures a second of motion JPEG that has to be decoded: 0.1 to 30. Cameras that send JPEG are not slowed down.",
        },
        Key {
            name: "decoder",
            kind: Kind::OneOf(&["built-in", "ffmpeg"]),
            default: Some("built-in"),
            about: "Who decodes. `ffmpeg` decodes by the graphics hardware that it finds. The built-in decoders hand what they do not take (interlaced, 4:2:2, more than 8 bits of H.264) to ffmpeg too.",
        },
        Key {
            name: "ffmpeg",
            kind: Kind::Path,
            default: Some("ffmpeg"),
            about: "The ffmpeg program. Nothing else needs it.",
        },
    ],
};

pub(crate) static CAMERA: Section = Section {
    keys: &[
        Key {
            name: "source",
            kind: Kind::Source,
            default: None,
            about: "The camera's URL, such as `rtsp://admin:secret@192.168.1.10/stream1`.",
        },
        Key {
            name: "via",
            kind: Kind::Agent,
            default: Some(""),
            about: "The agent through which the camera is reached. The host in `source` is then the one that the agent sees; `127.0.0.1` is the agent's own machine.",
        },
        Key {
            name: "user",
            kind: Kind::Text,
            default: Some(""),
            about: "The user for the camera, taken as it is. Wins over the one in `source`.",
        },
        Key {
            name: "password",
            kind: Kind::Secret,
            default: Some(""),
            about: "The password for the camera, taken as it is. Wins over the one in `source`.",
        },
        Key {
            name: "transport",
            kind: Kind::OneOf(&["tcp", "udp"]),
            default: Some("tcp"),
            about: "How an RTSP camera sends its media: inside the RTSP connection, or in datagrams. A camera behind an agent is always `tcp`.",
        },
        Key {
            name: "idle",
            kind: Kind::Duration,
            default: Some("10s"),
            about: "How long the connection to the camera is kept after the last viewer left.",
        },
        Key {
            name: "raw",
            kind: Kind::Listen,
            default: Some(""),
            about: "Address and port of a listener for this camera alone, such as `0.0.0.0:8081`: whoever connects and says nothing (`nc`) gets bare JPEG pictures, whoever asks for HTTP gets motion JPEG at `/` and a still at `/snapshot.jpg`. It asks for no password.",
        },
        Key {
            name: "raw_mode",
            kind: Kind::OneOf(&["continuous", "single"]),
            default: Some("continuous"),
            about: "What a silent viewer of `raw` gets: pictures back to back until it leaves, or the newest one and then the end of the connection.",
        },
        Key {
            name: "backup",
            kind: Kind::Path,
            default: Some("last"),
            about: "What `snapshot.jpg` and motion JPEG show when the camera gives nothing: `last` (its last still, kept in the data folder over restarts), `none`, or a JPEG file such as `/etc/eyelet/away.jpg`.",
        },
        Key {
            name: "interval",
            kind: Kind::Duration,
            default: Some(""),
            about: "JPEG cameras: least time between two pictures. Stills (`http://`) are asked for every `200ms` unless this says otherwise; a camera that sends one picture per connection is called again at once; of one that sends by itself, pictures that come sooner are left out.",
        },
        Key {
            name: "timeout",
            kind: Kind::Duration,
            default: Some("5s"),
            about: "How long no picture or sound may come before the connection to the camera is given up and made anew.",
        },
        Key {
            name: "control",
            kind: Kind::SourceOr(&CONTROL),
            default: Some(""),
            about: "The settings of an ESP32 camera, for the dashboard and for `/api/v1/cameras/NAME/status` and `/control`.",
        },
    ],
};

pub(crate) static CONTROL: Section = Section {
    keys: &[
        Key {
            name: "source",
            kind: Kind::Source,
            default: None,
            about: "Where the camera's settings are, such as `http://192.168.1.101`: `/status` and `/control` there, as in CameraWebServer. It is reached as the camera is (`via`), with the camera's login unless it has its own.",
        },
        Key {
            name: "allow",
            kind: Kind::Words,
            default: Some("the settings of the picture"),
            about: "The settings that may be changed, such as `[framesize, quality, hmirror]`. All others are refused.",
        },
    ],
};

pub(crate) static FORWARD: Section = Section {
    keys: &[
        Key {
            name: "listen",
            kind: Kind::Listen,
            default: None,
            about: "Address and port on this machine, such as `127.0.0.1:8654`.",
        },
        Key {
            name: "agent",
            kind: Kind::Agent,
            default: None,
            about: "The agent's name.",
        },
        Key {
            name: "target",
            kind: Kind::Target,
            default: None,
            about: "Host and port as the agent sees them, such as `127.0.0.1:554`. The agent must allow it (`--allow`).",
        },
    ],
};

/// Keys that the design has and this release does not.
pub(crate) const LATER: [&str; 2] = ["events", "recordings"];
