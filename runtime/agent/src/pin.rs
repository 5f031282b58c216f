//! TLS that trusts one key and nothing else.

use std::sync::Arc;
use std::{fmt, io};

use proto_tunnel::Pin;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, SignatureScheme,
    SupportedCipherSuite,
};

use crate::{Certificate, Error};

/// The key shown is another one.
#[derive(Debug)]
pub(crate) struct OtherKey;

impl fmt::Display for OtherKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the gateway shows another key than the join code pins")
    }
}

impl std::error::Error for OtherKey {}

/// TLS 1.3, the pinned key, no names, no dates: a camera's clock may say 1970. With the agent's own certificate, if it
/// has one.
pub(crate) fn client_config(
    pin: Pin,
    certificate: Option<&Certificate>,
) -> Result<ClientConfig, Error> {
    let provider = Arc::new(CryptoProvider {
        cipher_suites: ciphers().to_vec(),
        ..rustls::crypto::ring::default_provider()
    });
    let verifier = Arc::new(PinnedKey {
        pin,
        algorithms: provider.signature_verification_algorithms,
    });
    let config = builder(provider).map_err(|error| Error::Tls {
        address: "the gateway".to_owned(),
        source: io::Error::other(error),
    })?;
    let config = config
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match certificate {
        None => config.with_no_client_auth(),
        Some(certificate) => {
            let (chain, key) = certificate.read()?;
            let config = config.with_client_auth_cert(chain, key);
            config.map_err(|error| certificate.refused(&error))?
        }
    };
    // One long connection: tickets would only cost memory.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// The quickest first, which the gateway will choose: cameras with old processors have no instructions for AES.
fn ciphers() -> [SupportedCipherSuite; 3] {
    let [quick, strong, plain] = [
        TLS13_AES_128_GCM_SHA256,
        TLS13_AES_256_GCM_SHA384,
        TLS13_CHACHA20_POLY1305_SHA256,
    ];
    if has_aes() {
        [quick, strong, plain]
    } else {
        [plain, quick, strong]
    }
}

fn has_aes() -> bool {
    #[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
    return std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64")))]
    return false;
}

fn builder(
    provider: Arc<CryptoProvider>,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, rustls::Error> {
    ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13])
}

#[derive(Debug)]
struct PinnedKey {
    pin: Pin,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for PinnedKey {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = webpki::EndEntityCert::try_from(certificate)
            .map_err(|_| rustls::Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let key = certificate.subject_public_key_info();
        let shown = ring::digest::digest(&ring::digest::SHA256, key.as_ref());
        if shown.as_ref() == self.pin {
            return Ok(ServerCertVerified::assertion());
        }
        Err(rustls::Error::InvalidCertificate(CertificateError::Other(
            OtherError(Arc::new(OtherKey)),
        )))
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::PeerIncompatible(
            rustls::PeerIncompatible::Tls12NotOfferedOrEnabled,
        ))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
