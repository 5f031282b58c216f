//! What the fuzzers run, as ordinary functions: any bytes in, an assertion fails or nothing.
//!
//! A new target is a function in a module here, a line in [`TARGETS`], a folder `fuzz/corpus/NAME`
//! with a few seeds; `fuzz/make-programs.sh` then writes its program for cargo-fuzz.
//! `cargo test -p fuzz-targets` replays every corpus, and damages each seed in many small ways.

pub mod agent_file;
pub mod baichuan;
pub mod config;
pub mod format;
pub mod jpeg;
pub mod lan;
pub mod media;
pub mod naxclow;
pub mod rtp;
pub mod rtsp;
pub mod tunnel;

/// A name, which is also the folder of its corpus, and what to run.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("agent_file", agent_file::agent_file),
    ("baichuan_conversation", baichuan::baichuan_conversation),
    ("baichuan_datagram", baichuan::baichuan_datagram),
    ("baichuan_frames", baichuan::baichuan_frames),
    ("baichuan_media", baichuan::baichuan_media),
    ("baichuan_stream", baichuan::baichuan_stream),
    ("baichuan_udp", baichuan::baichuan_udp),
    ("baichuan_xml", baichuan::baichuan_xml),
    ("config", config::config),
    ("config_source", config::config_source),
    ("format_aac", format::format_aac),
    ("format_fragment", format::format_fragment),
    ("format_h264", format::format_h264),
    ("format_h265", format::format_h265),
    ("format_jpeg", format::format_jpeg),
    ("jpeg_multipart", jpeg::jpeg_multipart),
    ("jpeg_scanner", jpeg::jpeg_scanner),
    ("jpeg_udp", jpeg::jpeg_udp),
    ("lan_discovery", lan::lan_discovery),
    ("lan_leases", lan::lan_leases),
    ("lan_tables", lan::lan_tables),
    ("media_nal", media::media_nal),
    ("naxclow_bootstrap", naxclow::naxclow_bootstrap),
    ("naxclow_device", naxclow::naxclow_device),
    ("naxclow_dns", naxclow::naxclow_dns),
    ("naxclow_frames", naxclow::naxclow_frames),
    ("naxclow_index", naxclow::naxclow_index),
    ("naxclow_json", naxclow::naxclow_json),
    ("naxclow_media", naxclow::naxclow_media),
    ("naxclow_mqtt", naxclow::naxclow_mqtt),
    ("naxclow_session", naxclow::naxclow_session),
    ("rtp_depacketize", rtp::rtp_depacketize),
    ("rtp_jpeg", rtp::rtp_jpeg),
    ("rtp_packetize", rtp::rtp_packetize),
    ("rtp_rtcp", rtp::rtp_rtcp),
    ("rtsp_auth", rtsp::rtsp_auth),
    ("rtsp_fields", rtsp::rtsp_fields),
    ("rtsp_parser", rtsp::rtsp_parser),
    ("rtsp_server", rtsp::rtsp_server),
    ("tunnel_datagrams", tunnel::tunnel_datagrams),
    ("tunnel_decoder", tunnel::tunnel_decoder),
    ("tunnel_heartbeat", tunnel::tunnel_heartbeat),
    ("tunnel_join", tunnel::tunnel_join),
    ("tunnel_message", tunnel::tunnel_message),
    ("tunnel_pipe", tunnel::tunnel_pipe),
    ("tunnel_streams", tunnel::tunnel_streams),
];
