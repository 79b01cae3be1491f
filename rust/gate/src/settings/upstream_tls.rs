//! TLS towards the servers of an upstream: whom to trust there, and what to show them.

use std::{fmt, sync::Arc};

use aws_lc_rs::digest;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use serde::Deserialize;

use super::{SettingsError, upstream::Protocol};

/// TLS as a client.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) config: Arc<ClientConfig>,
    /// The name to ask for and to find in the certificate; that of the address if it is not said.
    pub(crate) server_name: Option<ServerName<'static>>,
    /// SHA-256 of all that it was made of.
    digest: [u8; 32],
}

impl PartialEq for Tls {
    fn eq(&self, other: &Tls) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Tls {}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

/// It as it travels.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireTls {
    #[serde(with = "serde_bytes")]
    ca_pem: Vec<u8>,
    #[serde(default)]
    server_name: Option<String>,
    #[serde(default, with = "serde_bytes")]
    certificate_pem: Option<Vec<u8>>,
    #[serde(default, with = "serde_bytes")]
    key_pem: Option<Vec<u8>>,
}

// No derive: a key must not reach a log by way of `{:?}`.
impl fmt::Debug for WireTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WireTls").finish_non_exhaustive()
    }
}

/// Checks the TLS of an upstream whose keys are under `field`.
pub(super) fn checked(
    field: &dyn Fn(&str) -> String,
    wire: &WireTls,
    protocol: Protocol,
) -> Result<Tls, SettingsError> {
    let wrong = |name: &str, problem: &str| SettingsError::new(field(name), problem);
    let mut roots = RootCertStore::empty();
    let given = CertificateDer::pem_slice_iter(&wire.ca_pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| wrong("ca_pem", "is not PEM"))?;
    // The collections of systems hold a few that no verifier reads.
    let (read, _) = roots.add_parsable_certificates(given);
    if read == 0 {
        return Err(wrong("ca_pem", "holds no certificate that can be trusted"));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| wrong("ca_pem", "cannot be used: no version of TLS"))?
        .with_root_certificates(roots);
    let mut config = match (&wire.certificate_pem, &wire.key_pem) {
        (Some(certificate), Some(key)) => {
            let chain = CertificateDer::pem_slice_iter(certificate)
                .collect::<Result<Vec<_>, _>>()
                .map_err(|_| wrong("certificate_pem", "is not PEM"))?;
            // The reader's own error is not repeated: it could quote the key.
            let key = PrivateKeyDer::from_pem_slice(key)
                .map_err(|_| wrong("key_pem", "holds no unencrypted private key in PEM"))?;
            builder.with_client_auth_cert(chain, key).map_err(|_| {
                wrong("key_pem", "does not belong to the first certificate of certificate_pem, or is of no use in TLS")
            })?
        }
        (None, None) => builder.with_no_client_auth(),
        _ => {
            return Err(wrong(
                "key_pem",
                "is given without certificate_pem, or the other way round",
            ));
        }
    };
    config.alpn_protocols = match protocol {
        Protocol::Http1 => vec![b"http/1.1".to_vec()],
        Protocol::Http2 => vec![b"h2".to_vec()],
        Protocol::Stream => Vec::new(),
    };
    let server_name = (wire.server_name.clone())
        .map(ServerName::try_from)
        .transpose()
        .map_err(|_| wrong("server_name", "is no host name"))?;
    let mut hash = digest::Context::new(&digest::SHA256);
    let parts = [
        Some(&wire.ca_pem[..]),
        wire.certificate_pem.as_deref(),
        wire.key_pem.as_deref(),
        wire.server_name.as_deref().map(str::as_bytes),
    ];
    for part in parts.into_iter().map(Option::unwrap_or_default) {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(hash.finish().as_ref());
    Ok(Tls {
        config: Arc::new(config),
        server_name,
        digest,
    })
}
