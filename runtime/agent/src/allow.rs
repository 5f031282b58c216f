use std::net::IpAddr;

use dialer::Target;

/// Port of RTSP.
const RTSP: u16 = 554;

/// The targets that the gateway may have dialed. Decided at the site: a stolen gateway cannot look around there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowList(Vec<Target>);

impl Default for AllowList {
    /// RTSP on this machine's loopback.
    fn default() -> Self {
        Self(
            ["127.0.0.1", "localhost", "::1"]
                .map(|host| Target::new(host, RTSP))
                .to_vec(),
        )
    }
}

impl AllowList {
    /// Exactly these.
    #[must_use]
    pub fn new(targets: Vec<Target>) -> Self {
        Self(targets)
    }

    /// Whether `target` is one of them. Names are compared as text, addresses as addresses; nothing is resolved, so
    /// a name that suddenly points elsewhere gets no further than a name that is allowed.
    #[must_use]
    pub fn allows(&self, target: &Target) -> bool {
        self.0
            .iter()
            .any(|allowed| allowed.port == target.port && same_host(&allowed.host, &target.host))
    }

    /// The targets.
    pub fn iter(&self) -> impl Iterator<Item = &Target> {
        self.0.iter()
    }
}

fn same_host(a: &str, b: &str) -> bool {
    match (a.parse::<IpAddr>(), b.parse::<IpAddr>()) {
        (Ok(a), Ok(b)) => a == b,
        (Err(_), Err(_)) => a.eq_ignore_ascii_case(b),
        (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(list: &AllowList, host: &str, port: u16) -> bool {
        list.allows(&Target::new(host, port))
    }

    #[test]
    fn by_default_only_rtsp_on_loopback_is_allowed() {
        let list = AllowList::default();
        for host in [
            "127.0.0.1",
            "localhost",
            "LOCALHOST",
            "::1",
            "0:0:0:0:0:0:0:1",
        ] {
            assert!(allows(&list, host, 554), "{host}");
        }
        for (host, port) in [
            ("127.0.0.1", 80),
            ("127.0.0.1", 22),
            ("127.0.0.2", 554),
            ("192.168.1.10", 554),
            ("0.0.0.0", 554),
            ("::", 554),
            ("::ffff:127.0.0.1", 554),
            ("localhost.", 554),
            ("0177.0.0.1", 554),
            ("2130706433", 554),
            ("127.1", 554),
            ("", 554),
        ] {
            assert!(!allows(&list, host, port), "{host}:{port}");
        }
    }

    #[test]
    fn a_list_of_ones_own_replaces_the_default() {
        let list = AllowList::new(vec![
            "cam.lan:8554".parse().unwrap(),
            "[fd00::5]:554".parse().unwrap(),
        ]);
        assert!(allows(&list, "CAM.lan", 8554));
        assert!(allows(&list, "fd00:0::5", 554));
        assert!(!allows(&list, "127.0.0.1", 554));
    }
}
