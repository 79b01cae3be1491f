//! What the gate is told about one site: its certificate and key, its TLS, the options of its routes.

use std::{collections::HashMap, fmt, sync::Arc};

use aws_lc_rs::digest;
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use serde::Deserialize;

use super::{RouteOptions, ScopeLimits, SettingsError, WireRoute, identity::Tellings, limits};
use crate::identity::{Signer, Telling};

/// A site: what TLS needs for it, and the options of its routes.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub(crate) name: String,
    pub(crate) key: Arc<CertifiedKey>,
    /// By the prefix of the route, which is unique in a site.
    pub(crate) routes: HashMap<String, Arc<RouteOptions>>,
    pub(crate) limits: ScopeLimits,
    /// Those of routes that have some.
    pub(crate) route_limits: HashMap<String, ScopeLimits>,
    /// What the service behind each is told about clients, likewise.
    tellings: Tellings,
    pub(crate) tls: TlsOptions,
    /// SHA-256 of the PEM texts.
    pem: [u8; 32],
}

/// What TLS of a site allows, beside its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsOptions {
    pub(crate) speaks: Speaks,
    /// Whether HTTP/2 is offered besides HTTP/1.1.
    pub(crate) http2: bool,
    pub(crate) profile: Profile,
    /// Whether the names of the authorities whose clients are admitted go out with the request for a certificate.
    pub(crate) ca_hints: bool,
    /// How long a session can be resumed, in seconds; `None`: not at all.
    pub(crate) resumption: Option<u32>,
}

/// What goes through TLS at a site.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Speaks {
    /// HTTP, which the gate reads.
    #[default]
    Http,
    /// Anything: the gate passes it on as it comes.
    Tcp,
    /// Likewise, and clients may ask for TLS in the way of PostgreSQL.
    Postgresql,
}

impl Speaks {
    /// Whether the gate passes bytes on without reading them.
    pub(crate) fn is_stream(self) -> bool {
        self != Speaks::Http
    }
}

/// Which clients can connect at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Profile {
    /// TLS 1.3.
    Modern,
    /// TLS 1.2 with ephemeral keys and authenticated encryption, too.
    #[default]
    Compatible,
}

impl Site {
    /// What the service behind the route at `path` is told about clients; `None` for the usual.
    pub(crate) fn telling(&self, path: &str) -> Option<Arc<Telling>> {
        self.tellings.of(path)
    }

    /// Whether TLS with `other` is the same.
    pub(crate) fn has_same_tls(&self, other: &Site) -> bool {
        self.pem == other.pem && self.tls == other.tls
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireSite {
    name: String,
    #[serde(with = "serde_bytes")]
    certificate_pem: Vec<u8>,
    #[serde(with = "serde_bytes")]
    key_pem: Vec<u8>,
    #[serde(default)]
    tls_profile: Profile,
    #[serde(default)]
    ca_hints: bool,
    #[serde(default)]
    speaks: Speaks,
}

// No derive: a key must not reach a log by way of `{:?}`.
impl fmt::Debug for WireSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WireSite")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

pub(super) fn checked_site(
    index: usize,
    site: &WireSite,
    routes: &[WireRoute],
    signer: Option<&Arc<Signer>>,
    http2: bool,
    resumption: Option<u32>,
) -> Result<Site, SettingsError> {
    let field = |name: &str| format!("sites[{index}].{name}");
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&site.certificate_pem)
        .collect::<Result<_, _>>()
        .map_err(|e| SettingsError::new(field("certificate_pem"), format!("is not PEM: {e}")))?;
    if chain.is_empty() {
        return Err(SettingsError::new(
            field("certificate_pem"),
            "holds no certificate",
        ));
    }
    // The reader's own error is not repeated: it could quote the key.
    let key = PrivateKeyDer::from_pem_slice(&site.key_pem).map_err(|_| {
        SettingsError::new(field("key_pem"), "holds no unencrypted private key in PEM")
    })?;
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).map_err(|_| {
        SettingsError::new(
            field("key_pem"),
            "is of a kind that TLS cannot use, expected RSA, P-256, P-384 or Ed25519",
        )
    })?;
    let key = CertifiedKey::new(chain, key);
    if let Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) =
        key.keys_match()
    {
        return Err(SettingsError::new(
            field("key_pem"),
            "does not belong to the first certificate of certificate_pem",
        ));
    }
    let mut options = HashMap::with_capacity(routes.len());
    let mut route_limits = HashMap::new();
    let mut tellings = Tellings::default();
    for (at, route) in routes.iter().enumerate() {
        let scope = limits::scope(&format!("routes[{index}][{at}].limits"), &route.limits)?;
        if scope != ScopeLimits::default() {
            route_limits.insert(route.path.clone(), scope);
        }
        let option = RouteOptions::new(route, &format!("routes[{index}][{at}]"))?;
        if options
            .insert(route.path.clone(), Arc::new(option))
            .is_some()
        {
            return Err(SettingsError::new(
                format!("routes[{index}][{at}].path"),
                format!("{:?} is there twice", route.path),
            ));
        }
        tellings.add(&format!("routes[{index}][{at}]"), &site.name, route, signer)?;
    }
    let mut pem = digest::Context::new(&digest::SHA256);
    pem.update(&site.certificate_pem);
    pem.update(&site.key_pem);
    let mut digest = [0; 32];
    digest.copy_from_slice(pem.finish().as_ref());
    Ok(Site {
        name: site.name.clone(),
        key: Arc::new(key),
        routes: options,
        limits: ScopeLimits::default(),
        route_limits,
        tellings,
        tls: TlsOptions {
            speaks: site.speaks,
            http2,
            profile: site.tls_profile,
            ca_hints: site.ca_hints,
            resumption,
        },
        pem: digest,
    })
}
