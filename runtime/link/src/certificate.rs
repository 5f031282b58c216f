/// What a gateway has against an agent's certificate, as TLS tells it to the other end (RFC 8446 section 6.2). Of no
/// consequence where no certificate is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateFault {
    /// None was shown.
    Missing,
    /// Nobody that the gateway trusts has signed it.
    UnknownAuthority,
    /// Expired, or not valid yet, by the gateway's clock.
    Expired,
    /// Not one for TLS clients.
    Purpose,
    /// Anything else, such as a format that is not understood.
    Bad,
}

impl CertificateFault {
    /// What the alert of this number means, if it is about the certificate of who receives it.
    #[must_use]
    pub fn of_alert(alert: u8) -> Option<Self> {
        Some(match alert {
            // bad_certificate, certificate_revoked, certificate_unknown, access_denied
            42 | 44 | 46 | 49 => Self::Bad,
            // unsupported_certificate
            43 => Self::Purpose,
            // certificate_expired
            45 => Self::Expired,
            // unknown_ca; decrypt_error, which is another authority of the same name
            48 | 51 => Self::UnknownAuthority,
            // certificate_required
            116 => Self::Missing,
            _ => return None,
        })
    }
}
