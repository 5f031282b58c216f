//! Every key of every dialect.

/// What a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    AgentId,
    ServerUrl,
    Token,
    CameraHost,
    RtspPort,
    AutoDetect,
    Username,
    Password,
    Model,
    StreamPaths,
    Quality,
    LogLevel,
    Heartbeat,
    TunnelEnabled,
    TunnelPort,
    Mode,
    Encryption,
    Verify,
    Certificate,
    Ignored(&'static str),
}

const FOR_BUILDERS: Field = Field::Ignored("it described the machine to the builder");
const DIALING: Field = Field::Ignored("the agent redials by itself, for ever, within seconds");
const ROOT: Field = Field::Ignored("the gateway is known by its key, which the join code names");

/// Section, its keys of one meaning, the meaning.
pub(crate) const KEYS: &[(&str, &[&str], Field)] = &[
    ("camera", &["model"], Field::Model),
    ("camera", &["ip"], Field::CameraHost),
    ("camera", &["rtsp_port"], Field::RtspPort),
    ("camera", &["auto_detect_ip"], Field::AutoDetect),
    ("camera", &["username"], Field::Username),
    ("camera", &["password"], Field::Password),
    ("camera", &["stream_paths"], Field::StreamPaths),
    (
        "camera",
        &[
            "platform",
            "architecture",
            "max_resolution",
            "max_fps",
            "codec",
            "features",
            "storage",
            "power",
            "protection",
        ],
        FOR_BUILDERS,
    ),
    ("agent", &["agent_id", "device_id"], Field::AgentId),
    (
        "agent",
        &["cloud_server_url", "tunnel_server_url", "server_url"],
        Field::ServerUrl,
    ),
    (
        "agent",
        &["cloud_server_token", "tunnel_server_token", "server_token"],
        Field::Token,
    ),
    ("agent", &["log_level"], Field::LogLevel),
    (
        "agent",
        &["log_file"],
        Field::Ignored("the newest lines are kept in memory, and flash lasts longer"),
    ),
    ("agent", &["connection_mode", "mode"], Field::Mode),
    ("agent", &["ssl_cert_file"], Field::Certificate),
    ("agent", &["ssl_root_cert"], ROOT),
    ("tunnel", &["enabled"], Field::TunnelEnabled),
    ("tunnel", &["server_url"], Field::ServerUrl),
    ("tunnel", &["server_token"], Field::Token),
    ("tunnel", &["tunnel_port"], Field::TunnelPort),
    (
        "tunnel",
        &["connection_timeout", "reconnect_interval"],
        DIALING,
    ),
    ("tunnel", &["heartbeat_interval"], Field::Heartbeat),
    (
        "network",
        &["connection_timeout", "reconnect_interval", "max_retries"],
        DIALING,
    ),
    ("network", &["heartbeat_interval"], Field::Heartbeat),
    ("streaming", &["quality"], Field::Quality),
    ("streaming", &["rtsp_port"], Field::RtspPort),
    ("streaming", &["stream_paths"], Field::StreamPaths),
    ("streaming", &["rtsp_username"], Field::Username),
    ("streaming", &["rtsp_password"], Field::Password),
    (
        "streaming",
        &["buffer_size"],
        Field::Ignored("the agent's buffers have a size that suits a camera's memory"),
    ),
    (
        "streaming",
        &["rtsp_timeout"],
        Field::Ignored("viewers talk to the camera themselves"),
    ),
    ("security", &["encryption_enabled"], Field::Encryption),
    ("security", &["ssl_verify"], Field::Verify),
    ("security", &["ssl_cert_file"], Field::Certificate),
    ("security", &["ssl_root_cert"], ROOT),
    (
        "security",
        &["secret_token", "allowed_origins"],
        Field::Ignored("it belongs to the gateway"),
    ),
];

/// Sections that have no effect whatever stands in them, with the reason.
pub(crate) const WHOLE_SECTIONS: &[(&str, &str)] = &[
    ("p2p", "the tunnel is the only way"),
    ("recording", "this agent does not record"),
    ("motion_detection", "this agent does not look at pictures"),
    ("server", "it belongs to the gateway"),
    ("agents", "it belongs to the gateway"),
    ("logging", "it belongs to the gateway"),
];
