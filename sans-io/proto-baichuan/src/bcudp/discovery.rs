//! What discovery says, sections 9.1 and 10: one child of a `P2P` element.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::MTU;
use crate::xml::Element;

/// Over which way a registered connection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Conn {
    /// Address to address.
    Local,
    /// Through holes in two NATs.
    Map,
    /// Through the relay.
    Relay,
}

impl Conn {
    fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Map => "map",
            Self::Relay => "relay",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Local, Self::Map, Self::Relay]
            .into_iter()
            .find(|conn| conn.name() == name)
    }
}

/// A camera's timers, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Resends its answer so often until it hears of us.
    pub def: u32,
    /// Heartbeat.
    pub hb: u32,
    /// Silence that ends a session.
    pub hbt: u32,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            def: 3000,
            hb: 10_000,
            hbt: 60_000,
        }
    }
}

/// One message. The names are the wire's: who says it to whom, C a client, D a device, M a look-up server, R a
/// register or relay server. `cid` is the client's number of the session, `did` the device's, `sid` the servers'.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the wire's, explained above")]
pub enum Discovery {
    /// Who is there? Answer to this port.
    C2dS { port: u16 },
    /// I am.
    D2cSr { uid: String },
    /// Open a session; answer to `port` at the address that this came from.
    C2dC { uid: String, port: u16, cid: i32 },
    /// Opened if `rsp` is 0. `account` is set by devices bound to an account (section 4.5).
    D2cCr {
        rsp: i32,
        cid: i32,
        did: u32,
        timers: Timers,
        account: bool,
    },
    /// Open a registered session.
    C2dT { sid: u32, conn: Conn, cid: i32 },
    /// The camera opens one.
    D2cT {
        sid: u32,
        conn: Conn,
        cid: i32,
        did: u32,
    },
    /// The client agrees to D2cT.
    C2dA {
        sid: u32,
        conn: Conn,
        cid: i32,
        did: u32,
    },
    /// The camera confirms.
    D2cCfm {
        sid: u32,
        conn: Conn,
        rsp: i32,
        cid: i32,
        did: u32,
    },
    /// I live.
    C2dHb { cid: i32, did: u32 },
    /// I live.
    D2cHb { cid: i32, did: u32 },
    /// I end.
    C2dDisc { cid: i32, did: u32 },
    /// I end.
    D2cDisc { cid: i32, did: u32 },
    /// Who knows this camera?
    C2mQ { uid: String },
    /// These do. None: no use, another server may know more.
    M2cQr {
        reg: Option<SocketAddr>,
        relay: Option<SocketAddr>,
        rsp: i32,
    },
    /// Let me and this camera meet.
    C2rC {
        uid: String,
        local: SocketAddr,
        relay: SocketAddr,
        cid: i32,
    },
    /// There it is: its address at home, that of its NAT, and the relay's.
    R2cCr {
        dev: Option<SocketAddr>,
        dmap: Option<SocketAddr>,
        relay: Option<SocketAddr>,
        sid: u32,
        rsp: i32,
    },
    /// The older form of the same.
    R2cT {
        dev: Option<SocketAddr>,
        dmap: Option<SocketAddr>,
        sid: u32,
        cid: i32,
    },
    /// We have met.
    C2rCfm {
        sid: u32,
        conn: Conn,
        cid: i32,
        did: u32,
    },
    /// The relay ends.
    R2cDisc { sid: u32 },
}

impl Discovery {
    /// The child element.
    #[must_use]
    pub fn to_xml(&self) -> Element {
        let session =
            |name: &str, cid: &i32, did: &u32| Element::new(name).with("cid", cid).with("did", did);
        match self {
            Self::C2dS { port } => Element::new("C2D_S").containing(port_element("to", *port)),
            Self::D2cSr { uid } => Element::new("D2C_S_R").with("uid", uid),
            Self::C2dC { uid, port, cid } => Element::new("C2D_C")
                .with("uid", uid)
                .containing(port_element("cli", *port))
                .with("cid", cid)
                .with("mtu", MTU)
                .with("debug", 0)
                .with("p", "WIN"),
            Self::D2cCr {
                rsp,
                cid,
                did,
                timers,
                account,
            } => Element::new("D2C_C_R")
                .containing(
                    Element::new("timer")
                        .with("def", timers.def)
                        .with("hb", timers.hb)
                        .with("hbt", timers.hbt),
                )
                .with("rsp", rsp)
                .with("cid", cid)
                .with("did", did)
                .with_some("pl", account.then_some("X25519")),
            Self::C2dT { sid, conn, cid } => Element::new("C2D_T")
                .with("sid", sid)
                .with("conn", conn.name())
                .with("cid", cid)
                .with("mtu", MTU),
            Self::D2cT {
                sid,
                conn,
                cid,
                did,
            } => Element::new("D2C_T")
                .with("sid", sid)
                .with("conn", conn.name())
                .with("cid", cid)
                .with("did", did),
            Self::C2dA {
                sid,
                conn,
                cid,
                did,
            } => Element::new("C2D_A")
                .with("sid", sid)
                .with("conn", conn.name())
                .with("cid", cid)
                .with("did", did)
                .with("mtu", MTU),
            Self::D2cCfm {
                sid,
                conn,
                rsp,
                cid,
                did,
            } => Element::new("D2C_CFM")
                .with("sid", sid)
                .with("conn", conn.name())
                .with("rsp", rsp)
                .with("cid", cid)
                .with("did", did)
                .with("time_r", 0),
            Self::C2dHb { cid, did } => session("C2D_HB", cid, did),
            Self::D2cHb { cid, did } => session("D2C_HB", cid, did),
            Self::C2dDisc { cid, did } => session("C2D_DISC", cid, did),
            Self::D2cDisc { cid, did } => session("D2C_DISC", cid, did),
            Self::C2mQ { uid } => Element::new("C2M_Q").with("uid", uid).with("p", "WIN"),
            Self::M2cQr { reg, relay, rsp } => with_address(
                with_address(Element::new("M2C_Q_R"), "reg", *reg),
                "relay",
                *relay,
            )
            .with("mtu", MTU)
            .with("debug", 0)
            .with("ac", -1)
            .with("rsp", rsp),
            Self::C2rC {
                uid,
                local,
                relay,
                cid,
            } => with_address(
                with_address(Element::new("C2R_C").with("uid", uid), "cli", Some(*local)),
                "relay",
                Some(*relay),
            )
            .with("cid", cid)
            .with("debug", 0)
            .with("family", 4)
            .with("p", "WIN")
            .with("r", 3),
            Self::R2cCr {
                dev,
                dmap,
                relay,
                sid,
                rsp,
            } => with_address(
                with_address(
                    with_address(Element::new("R2C_C_R"), "dmap", *dmap),
                    "dev",
                    *dev,
                ),
                "relay",
                *relay,
            )
            .with("nat", "NULL")
            .with("sid", sid)
            .with("rsp", rsp)
            .with("ac", 0),
            Self::R2cT {
                dev,
                dmap,
                sid,
                cid,
            } => with_address(
                with_address(Element::new("R2C_T"), "dmap", *dmap),
                "dev",
                *dev,
            )
            .with("cid", cid)
            .with("sid", sid),
            Self::C2rCfm {
                sid,
                conn,
                cid,
                did,
            } => Element::new("C2R_CFM")
                .with("sid", sid)
                .with("conn", conn.name())
                .with("rsp", 0)
                .with("cid", cid)
                .with("did", did),
            Self::R2cDisc { sid } => Element::new("R2C_DISC").with("sid", sid),
        }
    }

    /// Reads a `P2P` element. None: a kind that is not known, or that lacks what it needs.
    #[must_use]
    pub fn from_xml(root: &Element) -> Option<Self> {
        let it = root.children.first()?;
        // `cid` is signed in the text, but some clients print the same bits without a sign.
        let cid = || -> Option<i32> {
            let number = it.number::<i64>("cid")?;
            i32::try_from(number)
                .or_else(|_| u32::try_from(number).map(u32::cast_signed))
                .ok()
        };
        let did = || it.number::<u32>("did");
        let sid = || it.number::<u32>("sid");
        let rsp = || it.number::<i32>("rsp").unwrap_or(0);
        let uid = || it.value("uid").map(str::to_owned);
        let conn = || it.value("conn").and_then(Conn::from_name);
        let port = |name| it.child(name)?.number::<u16>("port").filter(|it| *it > 0);
        let address = |name| address(it.child(name)?);
        Some(match it.name.as_str() {
            "C2D_S" => Self::C2dS { port: port("to")? },
            "D2C_S_R" => Self::D2cSr { uid: uid()? },
            "C2D_C" => Self::C2dC {
                uid: uid()?,
                port: port("cli")?,
                cid: cid()?,
            },
            "D2C_C_R" => {
                let usual = Timers::default();
                let timer = it.child("timer");
                let milliseconds =
                    |name, usual| timer.and_then(|it| it.number(name)).unwrap_or(usual);
                Self::D2cCr {
                    rsp: rsp(),
                    cid: cid()?,
                    did: did().unwrap_or(0),
                    timers: Timers {
                        def: milliseconds("def", usual.def),
                        hb: milliseconds("hb", usual.hb),
                        hbt: milliseconds("hbt", usual.hbt),
                    },
                    account: it.value("pl").is_some_and(|pl| pl.contains("X25519")),
                }
            }
            "C2D_T" => Self::C2dT {
                sid: sid()?,
                conn: conn()?,
                cid: cid()?,
            },
            "D2C_T" => Self::D2cT {
                sid: sid()?,
                conn: conn()?,
                cid: cid()?,
                did: did()?,
            },
            "C2D_A" => Self::C2dA {
                sid: sid()?,
                conn: conn()?,
                cid: cid()?,
                did: did()?,
            },
            "D2C_CFM" => Self::D2cCfm {
                sid: sid()?,
                conn: conn()?,
                rsp: rsp(),
                cid: cid()?,
                did: did()?,
            },
            "C2D_HB" => Self::C2dHb {
                cid: cid()?,
                did: did()?,
            },
            "D2C_HB" => Self::D2cHb {
                cid: cid()?,
                did: did()?,
            },
            "C2D_DISC" => Self::C2dDisc {
                cid: cid()?,
                did: did()?,
            },
            "D2C_DISC" => Self::D2cDisc {
                cid: cid()?,
                did: did()?,
            },
            "C2M_Q" => Self::C2mQ { uid: uid()? },
            "M2C_Q_R" => Self::M2cQr {
                reg: address("reg"),
                relay: address("relay"),
                rsp: rsp(),
            },
            "C2R_C" => Self::C2rC {
                uid: uid()?,
                local: address("cli")?,
                relay: address("relay").unwrap_or(NOWHERE),
                cid: cid()?,
            },
            "R2C_C_R" => Self::R2cCr {
                dev: address("dev"),
                dmap: address("dmap"),
                relay: address("relay").or_else(|| address("relayt")),
                sid: sid().unwrap_or(0),
                rsp: rsp(),
            },
            "R2C_T" => Self::R2cT {
                dev: address("dev"),
                dmap: address("dmap"),
                sid: sid()?,
                cid: cid()?,
            },
            "C2R_CFM" => Self::C2rCfm {
                sid: sid()?,
                conn: conn()?,
                cid: cid()?,
                did: did()?,
            },
            "R2C_DISC" => Self::R2cDisc { sid: sid()? },
            _ => return None,
        })
    }
}

const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

fn port_element(name: &str, port: u16) -> Element {
    Element::new(name).with("port", port)
}

fn with_address(element: Element, name: &str, address: Option<SocketAddr>) -> Element {
    match address {
        Some(address) => element.containing(
            Element::new(name)
                .with("ip", address.ip())
                .with("port", address.port()),
        ),
        None => element,
    }
}

/// None: no address, or port 0, as servers answer that have nothing to say.
fn address(element: &Element) -> Option<SocketAddr> {
    let ip = element.value("ip")?.parse::<IpAddr>().ok()?;
    let port = element.number::<u16>("port").filter(|port| *port > 0)?;
    (!ip.is_unspecified()).then_some(SocketAddr::new(ip, port))
}
