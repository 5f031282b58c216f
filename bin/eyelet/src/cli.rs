use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
use config::Config;

use crate::camera::Action;

/// See any camera from anywhere.
#[derive(Debug, Parser)]
#[command(name = "eyelet", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Tell more: every deviation of a camera; twice, every message.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Tell only warnings and errors.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the gateway: cameras, viewers, agents, dashboard.
    Serve(Serve),
    /// Show Eyelet without any camera: a gateway, an agent behind a simulated NAT, simulated cameras.
    Demo(Demo),
    /// Check a configuration file and say all that is wrong with it.
    Check(Check),
    /// Connect to a source and tell what it gives, or what is wrong and what to try.
    Probe(Probe),
    /// Save a picture of a camera, or one after the other.
    Snapshot(Snapshot),
    /// Relay one ESP32-CAM to many viewers, with the flags of the relays it is known from.
    Relay(Relay),
    /// Ask a Reolink camera, or tell it to do something.
    Camera(Camera),
    /// Invite, list and remove agents.
    #[command(subcommand)]
    Agent(Agent),
    /// A9, X6, X9 and V720 cameras: set-up, SD card, what is missing.
    #[command(subcommand)]
    A9(A9),
    /// Turn another system's file into lines for eyelet.yaml: config.json of the camera agent, settings.json of camera_proxy.
    Import(Import),
    /// Run one simulated camera.
    #[command(subcommand)]
    Simulate(Simulate),
    /// Decode pictures for the gateway that started this.
    #[command(hide = true)]
    Decoder,
}

#[derive(Args, Debug)]
pub(crate) struct Import {
    /// The file.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// Where configuration and state are.
#[derive(Args, Clone, Debug)]
pub(crate) struct Files {
    /// The configuration file. Without it, ./eyelet.yaml if there is one, else the defaults.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Folder for keys and state, instead of the configuration's.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) files: Files,

    #[command(flatten)]
    pub(crate) listen: Listen,
}

/// Where the gateway listens, if not where the configuration says.
#[derive(Args, Clone, Debug)]
pub(crate) struct Listen {
    /// Where HTTP listens, instead of the configuration's `http.listen`. Join codes go by the configuration, or by
    /// `eyelet agent add --address`.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "port")]
    http: Option<SocketAddr>,

    /// Where RTSP listens, instead of the configuration's `rtsp.listen`.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "tunnel_port")]
    rtsp: Option<SocketAddr>,

    /// The port of HTTP alone: what the tunnel server that came before was started with.
    #[arg(long, value_name = "PORT", hide = true)]
    port: Option<u16>,

    /// The port of RTSP alone, likewise.
    #[arg(long, value_name = "PORT", hide = true)]
    tunnel_port: Option<u16>,
}

impl Listen {
    /// Puts what was said in the place of what is written.
    pub(crate) fn apply(&self, config: &mut Config) {
        let choose = |place: &mut SocketAddr, address: Option<SocketAddr>, port: Option<u16>| {
            *place = address.unwrap_or(*place);
            place.set_port(port.unwrap_or(place.port()));
        };
        choose(&mut config.http.listen, self.http, self.port);
        choose(&mut config.rtsp.listen, self.rtsp, self.tunnel_port);
    }
}

#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// Where the dashboard listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(crate) http: SocketAddr,

    /// Where RTSP listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8554")]
    pub(crate) rtsp: SocketAddr,
}

#[derive(Args, Debug)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) files: Files,

    /// Print the configuration as it was understood, as JSON, secrets masked.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Probe {
    /// The source, such as `rtsp://[USER:PASSWORD@]HOST[:PORT]/PATH` or `jpeg+tcp://HOST`
    #[arg(value_name = "URL")]
    pub(crate) url: String,

    /// Reach it through this agent, by the gateway that runs on this machine.
    #[arg(long, value_name = "AGENT")]
    pub(crate) via: Option<String>,

    /// Take RTSP media over UDP.
    #[arg(long)]
    pub(crate) udp: bool,

    /// How long to watch, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub(crate) seconds: u64,

    /// Print the findings as JSON.
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) files: Files,
}

#[derive(Args, Debug)]
pub(crate) struct Camera {
    /// A camera of the configuration, or a source: `reolink://admin:PASSWORD@HOST`
    #[arg(value_name = "NAME|URL")]
    pub(crate) name: String,

    #[command(subcommand)]
    pub(crate) action: Action,

    #[command(flatten)]
    pub(crate) files: Files,
}

#[derive(Args, Debug)]
pub(crate) struct Snapshot {
    /// A camera of the gateway that runs with this configuration, by its name; or the URL of any
    /// source, which needs no gateway.
    #[arg(value_name = "CAMERA|URL", required_unless_present = "host")]
    pub(crate) from: Option<String>,

    /// Where the picture goes; - is standard output.
    #[arg(short, long, value_name = "FILE", default_value = "frame.jpg")]
    pub(crate) output: PathBuf,

    /// Save one picture after the other, as files named by the time in UTC.
    #[arg(long)]
    pub(crate) continuous: bool,

    /// Most pictures a second (continuous).
    #[arg(long, value_name = "NUMBER", default_value_t = 5.0)]
    pub(crate) fps: f64,

    /// How long, in seconds; without it until Ctrl-C (continuous).
    #[arg(long, value_name = "SECONDS")]
    pub(crate) duration: Option<f64>,

    /// The folder for the pictures (continuous).
    #[arg(long, value_name = "DIR", default_value = "frames")]
    pub(crate) output_dir: PathBuf,

    /// Take bare JPEG over TCP from this host: a camera, or a relay.
    #[arg(long, value_name = "HOST", conflicts_with = "from")]
    pub(crate) host: Option<String>,

    /// Its port.
    #[arg(long, value_name = "PORT", default_value_t = 1234)]
    pub(crate) port: u16,

    /// How long a picture may take to come, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    pub(crate) timeout: f64,

    /// Reach a URL through this agent, by the gateway that runs on this machine.
    #[arg(long, value_name = "AGENT")]
    pub(crate) via: Option<String>,

    #[command(flatten)]
    pub(crate) files: Files,
}

#[derive(Args, Debug)]
pub(crate) struct Relay {
    /// Pull from the camera at this host. Without it the relay waits for a camera that pushes.
    #[arg(long, value_name = "HOST")]
    pub(crate) esp32_host: Option<String>,

    /// The camera's port.
    #[arg(long, value_name = "PORT", default_value_t = 1234)]
    pub(crate) esp32_port: u16,

    /// The address on which a camera that pushes is awaited.
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "0.0.0.0",
        conflicts_with = "esp32_host"
    )]
    pub(crate) sender_host: Host,

    /// The TCP port for it; 0 for none.
    #[arg(
        long,
        value_name = "PORT",
        default_value_t = 4444,
        conflicts_with = "esp32_host"
    )]
    pub(crate) sender_port: u16,

    /// The UDP port for it; 0 for none.
    #[arg(
        long,
        value_name = "PORT",
        default_value_t = 8081,
        conflicts_with = "esp32_host"
    )]
    pub(crate) udp_port: u16,

    /// The address on which viewers are served; 127.0.0.1 keeps it to this machine.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0")]
    pub(crate) client_host: Host,

    /// The port for viewers: raw JPEG for who says nothing, else HTTP.
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    pub(crate) client_port: u16,

    /// What a viewer that says nothing gets.
    #[arg(long, value_enum, default_value = "continuous")]
    pub(crate) mode: RelayMode,

    /// Let the camera rest while nobody watches.
    #[arg(long)]
    pub(crate) on_demand: bool,

    /// Tell the statistics every so many seconds; 0 for never. They are at /status too.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) statistics: u64,

    /// Tell more, like --verbose.
    #[arg(long)]
    pub(crate) debug: bool,
}

/// What a silent viewer of a relay gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum RelayMode {
    /// Pictures back to back until it leaves.
    Continuous,
    /// The newest picture, and then the end.
    Single,
}

/// An address of this machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host(pub(crate) IpAddr);

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = if text == "localhost" {
            "127.0.0.1"
        } else {
            text
        };
        let address = text.trim_matches(['[', ']']).parse();
        address.map(Self).map_err(|_| {
            "expected an address of this machine, such as 0.0.0.0 (all of them) or 127.0.0.1"
                .to_owned()
        })
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Agent {
    /// Invite an agent: prints the one line that it is started with.
    Add {
        /// A name of your choice: letters, digits, '-', '_', '.'.
        name: String,

        /// Where the agent finds this gateway, instead of the configuration's `http.public`.
        #[arg(long, value_name = "HOST:PORT")]
        address: Vec<String>,

        #[command(flatten)]
        files: Files,
    },
    /// List the agents.
    List {
        /// Print them as JSON.
        #[arg(long)]
        json: bool,

        #[command(flatten)]
        files: Files,
    },
    /// Print the cameras behind agents as another system takes them in.
    Export(Export),
    /// Remove an agent: it is cut off at once and its key is worth nothing any more.
    Remove {
        /// Its name.
        name: String,

        #[command(flatten)]
        files: Files,
    },
}

/// A camera that is its own network.
#[derive(Args, Debug)]
pub(crate) struct A9Camera {
    /// The camera in its own network (Nax_…), and another port than 6123 if need be.
    #[arg(long, value_name = "HOST", default_value = "192.168.169.1")]
    pub(crate) host: String,

    /// Seconds that its clock shall be ahead of UTC, instead of this machine's local time.
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub(crate) clock_offset: Option<i64>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum A9 {
    /// Tell how far each camera came, and what is missing; asks the gateway that runs.
    Doctor {
        /// Only this camera: its device code or name.
        uid: Option<String>,

        /// Print it as JSON.
        #[arg(long)]
        json: bool,

        #[command(flatten)]
        files: Files,
    },
    /// Put a new camera into a Wi-Fi: join its own network (Nax_…) first.
    SetWifi {
        /// The network's name.
        name: String,

        /// The network's key; better given in the environment as EYELET_WIFI_KEY. None for an open network.
        key: Option<String>,

        #[command(flatten)]
        camera: A9Camera,
    },
    /// Give an order to a camera that is its own network, and print its state after it.
    Command {
        /// infrared, led, record, record-on-motion, motion-alert (0 or 1), flip (0 to 4; 4 is upside down), motor (0 stop,
        /// 1 right, 2 left, 3 up, 4 down), quality, brightness, rate (5 to 120), refresh, sd-status, power,
        /// access-point, reboot.
        name: String,

        /// The order's number, for those that have one.
        value: Option<i64>,

        /// Print the state as JSON.
        #[arg(long)]
        json: bool,

        #[command(flatten)]
        camera: A9Camera,
    },
    /// List the recordings on the SD card of a camera that is its own network.
    List {
        /// Print them as JSON.
        #[arg(long)]
        json: bool,

        #[command(flatten)]
        camera: A9Camera,
    },
    /// Download a recording from the SD card of a camera that is its own network.
    Download {
        /// Day, hour and minute as `list` names them: 20230124-02-10.
        recording: String,

        /// Where to write it, instead of RECORDING.avi.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,

        #[command(flatten)]
        camera: A9Camera,
    },
    /// Take live pictures from a camera that is its own network, as one motion JPEG stream.
    Live {
        /// Where to write them, instead of standard output.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,

        /// End after so many seconds; 0 for never.
        #[arg(long, value_name = "SECONDS", default_value_t = 0)]
        seconds: u64,

        #[command(flatten)]
        camera: A9Camera,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Export {
    /// Only the cameras behind these agents.
    #[arg(value_name = "AGENT")]
    pub(crate) agent: Vec<String>,

    /// Which system.
    #[arg(long, value_enum)]
    pub(crate) format: ExportFormat,

    /// The cameras behind no agent as well.
    #[arg(long, conflicts_with = "agent")]
    pub(crate) all: bool,

    /// Where that system finds this gateway, instead of the configuration's `rtsp.listen`.
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Option<String>,

    /// The one of `rtsp.users` whose login is put into the URLs, instead of the first.
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<String>,

    #[command(flatten)]
    pub(crate) files: Files,
}

/// The systems that cameras are exported to.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum ExportFormat {
    /// Stream objects of Flussonic Media Server's API, as JSON.
    Flussonic,
    /// Flussonic Watcher's camera import, as CSV.
    Csv,
    /// Frigate's configuration, as YAML.
    Frigate,
    /// go2rtc's configuration, as YAML.
    Go2rtc,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Simulate {
    /// An A9 camera that calls its cloud, or one that is its own network.
    A9 {
        /// Its device code.
        #[arg(long, value_name = "UID", default_value = "0800c00128F8")]
        uid: String,

        /// What kind: classic, first-boot, devinfo, pcm, strict-ack, mqtt-only or odd-json.
        #[arg(long, value_name = "PROFILE", default_value = "classic")]
        profile: String,

        /// Where its cloud's HTTP is.
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:80")]
        cloud: SocketAddr,

        /// Where its cloud's MQTT is; without it the camera speaks none.
        #[arg(long, value_name = "ADDRESS")]
        mqtt: Option<SocketAddr>,

        /// Go to this control port, whatever the cloud's HTTP tells.
        #[arg(long, value_name = "ADDRESS")]
        control: Option<SocketAddr>,

        /// Be a network of its own: listen here instead of calling a cloud.
        #[arg(long, value_name = "ADDRESS")]
        access_point: Option<SocketAddr>,

        /// The .avi files of this folder, named as 20230124-02-10.avi, are on its SD card (with --access-point).
        #[arg(long, value_name = "DIR", requires = "access_point")]
        sd_card: Option<PathBuf>,

        /// Misbehave: drop=RATE, duplicate=RATE, reorder=RATE, no-last, tail, split, coalesce, slow-heartbeat,
        /// half-open=SECONDS, stall=SECONDS, clash, oversize; several with commas between.
        #[arg(long, value_name = "FAULT")]
        fault: Option<String>,
    },
    /// Many agents at once, for one gateway: adds them to its data folder, and keeps them connected.
    Agents {
        /// How many.
        #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        count: u32,

        /// Where the gateway is, instead of the address that its configuration names.
        #[arg(long, value_name = "HOST:PORT")]
        connect: Option<String>,

        #[command(flatten)]
        files: Files,
    },
    /// An RTSP camera.
    Rtsp {
        /// Where it listens.
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8555")]
        listen: SocketAddr,

        /// Send JPEG pictures that are drawn live, instead of H.264 and sound.
        #[arg(long)]
        jpeg: bool,

        /// Ask for this login.
        #[arg(long, value_name = "USER:PASSWORD")]
        login: Option<String>,

        /// Misbehave: hang, cut, junk or slow=BYTES_PER_SECOND, then perhaps @SECONDS after PLAY.
        #[arg(long, value_name = "FAULT")]
        fault: Option<String>,
    },
    /// An ESP32-CAM: bare JPEG over TCP or UDP, or the web server that most of them run.
    Esp32(Esp32),

    /// A Reolink camera: it speaks Baichuan, over TCP and, if asked, over UDP.
    Reolink(SimulateReolink),

    /// The part of an ONVIF camera that answers to discovery; another simulated camera gives the pictures.
    Onvif {
        /// Its device id.
        #[arg(
            long,
            value_name = "UUID",
            default_value = "2419d68a-2dd2-21b2-a205-9c8ecd010203"
        )]
        device: String,

        /// This machine's address in the network whose questions it answers.
        #[arg(long, value_name = "ADDRESS")]
        address: Ipv4Addr,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Esp32 {
    /// How it gives its pictures.
    #[arg(long, value_enum, default_value = "webserver")]
    pub(crate) mode: Esp32Mode,

    /// Where it listens: the pictures (pull, oneshot) or the stream (webserver).
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8181")]
    pub(crate) listen: SocketAddr,

    /// Where the web server's stills and settings listen.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8180")]
    pub(crate) control: SocketAddr,

    /// Where it sends its pictures (push, push-oneshot, udp).
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4444")]
    pub(crate) to: SocketAddr,

    /// Pictures a second; 0 for as many as the line takes.
    #[arg(long, value_name = "NUMBER", default_value_t = 10.0)]
    pub(crate) fps: f64,

    /// Size of the pictures by Espressif's number: 5 is 320x240, 8 640x480, 9 800x600, 13 1600x1200.
    #[arg(long, value_name = "NUMBER", default_value_t = 8, value_parser = clap::value_parser!(i32).range(0..=13))]
    pub(crate) framesize: i32,

    /// Send the JPEG files of this folder in a loop, in the order of their names, instead of drawn pictures.
    #[arg(long, value_name = "DIR")]
    pub(crate) pictures: Option<PathBuf>,

    /// Whose HTTP it speaks: espressif, espressif-old, esphome, bare or wrong-length.
    #[arg(long, value_name = "NAME", default_value = "espressif")]
    pub(crate) firmware: sim_cameras::Firmware,

    /// Ask for this login (webserver).
    #[arg(long, value_name = "USER:PASSWORD")]
    pub(crate) login: Option<String>,

    /// The eight characters of its UDP handshake.
    #[arg(long, value_name = "TEXT", default_value = "ESP32CAM")]
    pub(crate) password: String,

    /// Misbehave: hang@SECONDS, cut, torn, junk, thumbnail, oversized, slow=BYTES_PER_SECOND, reboot@SECONDS or shuffle. May be given more than once.
    #[arg(long, value_name = "FAULT")]
    pub(crate) fault: Vec<sim_cameras::Esp32Fault>,
}

/// How a simulated ESP32 gives its pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Esp32Mode {
    /// It listens, and sends pictures back to back to whoever connects.
    Pull,
    /// It listens, and sends one picture for each connection.
    Oneshot,
    /// It connects and sends pictures back to back.
    Push,
    /// It connects for each picture anew.
    PushOneshot,
    /// It sends datagrams.
    Udp,
    /// CameraWebServer: a stream on one port, stills and settings on another.
    Webserver,
}

#[derive(Args, Debug)]
pub(crate) struct SimulateReolink {
    /// Where it listens on TCP. A battery camera does not.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000")]
    pub(crate) listen: SocketAddr,

    /// Be found over UDP as well, on this address of this machine; 0.0.0.0 hears broadcasts. A battery camera
    /// without it is found on 127.0.0.1.
    #[arg(long, value_name = "IP")]
    pub(crate) udp: Option<IpAddr>,

    /// Wait for hellos on these UDP ports.
    #[arg(long, value_name = "PORTS", value_delimiter = ',', default_values_t = [2015, 2018])]
    pub(crate) hello: Vec<u16>,

    /// Stand in for the vendor's look-up and relay servers on this UDP address (real ones listen on port 9999).
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) servers: Option<SocketAddr>,

    /// Live on a battery: sleep when nobody is here.
    #[arg(long, conflicts_with = "channels")]
    pub(crate) battery: bool,

    /// Be a recorder with so many cameras.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=32))]
    pub(crate) channels: Option<u8>,

    /// Send H.265 instead of H.264.
    #[arg(long)]
    pub(crate) h265: bool,

    /// Send ADPCM sound instead of AAC, as old cameras do.
    #[arg(long)]
    pub(crate) adpcm: bool,

    /// The strongest encryption that it offers.
    #[arg(long, value_name = "MODE", default_value = "aes", value_parser = ["none", "xor", "aes", "full"])]
    pub(crate) encryption: String,

    /// The login that it asks for.
    #[arg(long, value_name = "USER:PASSWORD", default_value = "admin:demo")]
    pub(crate) login: String,

    /// Its UID: 16 letters and digits.
    #[arg(long, value_name = "UID", default_value = "95270000ABCDEFGH")]
    pub(crate) uid: String,

    /// Let a person walk by every so many seconds, for the events; 0 for never.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub(crate) walks: u64,

    /// Write what is said through the speaker into this WAV file: the last ten seconds of it.
    #[arg(long, value_name = "FILE")]
    pub(crate) heard: Option<PathBuf>,

    /// Misbehave: hang, cut, junk or slow=BYTES_PER_SECOND, then perhaps @SECONDS after a stream began.
    #[arg(long, value_name = "FAULT")]
    pub(crate) fault: Option<String>,
}
