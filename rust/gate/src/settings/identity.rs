//! What services are told about clients: dialects by route, and the key that tokens are signed with.

use std::{collections::HashMap, fmt, sync::Arc};

use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use serde::Deserialize;

use super::{SettingsError, WireRoute};
use crate::identity::{Dialect, Dialects, Signer, Telling};

/// Longest life of a token, in seconds: within it a token is good whatever happens to the client.
const MAX_LIFETIME: i64 = 3600;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireJwt {
    issuer: String,
    /// In seconds.
    lifetime: i64,
    /// The `kid`.
    key_id: String,
    /// PKCS #8, not encrypted.
    #[serde(with = "serde_bytes")]
    key_pem: Vec<u8>,
}

// No derive: a key must not reach a log by way of `{:?}`.
impl fmt::Debug for WireJwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WireJwt")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

impl WireJwt {
    pub(super) fn checked(self) -> Result<Arc<Signer>, SettingsError> {
        if !(1..=MAX_LIFETIME).contains(&self.lifetime) {
            return Err(SettingsError::new(
                "jwt.lifetime",
                format!("is {} seconds, expected 1 to {MAX_LIFETIME}", self.lifetime),
            ));
        }
        // The reader's own error is not repeated: it could quote the key.
        let wrong = || SettingsError::new("jwt.key_pem", "holds no P-256 key (PKCS #8, PEM)");
        let key = PrivatePkcs8KeyDer::from_pem_slice(&self.key_pem).map_err(|_| wrong())?;
        Signer::new(
            &self.issuer,
            self.lifetime,
            &self.key_id,
            key.secret_pkcs8_der(),
        )
        .map(Arc::new)
        .ok_or_else(wrong)
    }
}

/// By the prefix of the route, without those that are told as is usual; routes that say the same share one, so that it is said once.
#[derive(Debug, Clone, Default)]
pub(super) struct Tellings(HashMap<String, Arc<Telling>>);

impl Tellings {
    pub(super) fn of(&self, path: &str) -> Option<Arc<Telling>> {
        self.0.get(path).cloned()
    }

    pub(super) fn add(
        &mut self,
        field: &str,
        site: &str,
        route: &WireRoute,
        signer: Option<&Arc<Signer>>,
    ) -> Result<(), SettingsError> {
        let dialects = match &route.identity {
            None => Dialects::DEFAULT,
            Some(words) => dialects(&format!("{field}.identity"), words)?,
        };
        if dialects == Dialects::DEFAULT {
            return Ok(());
        }
        let token = if dialects.has(Dialect::Jwt) {
            let signer = signer.ok_or_else(|| {
                SettingsError::new("jwt", format!("is missing, but {field}.identity wants it"))
            })?;
            let audience = route.jwt_audience.as_deref().unwrap_or(site);
            Some((audience.into(), signer.clone()))
        } else {
            None
        };
        let telling = Telling::new(dialects, token);
        let same = self.0.values().find(|other| other.says_the_same(&telling));
        let telling = same.cloned().unwrap_or_else(|| Arc::new(telling));
        self.0.insert(route.path.clone(), telling);
        Ok(())
    }
}

fn dialects(field: &str, words: &[String]) -> Result<Dialects, SettingsError> {
    words.iter().try_fold(Dialects::NONE, |all, word| {
        Dialect::of_code(word)
            .map(|dialect| all.and(dialect))
            .ok_or_else(|| {
                let known: Vec<&str> = Dialect::ALL.into_iter().map(Dialect::code).collect();
                SettingsError::new(
                    field,
                    format!("has {word:?}, expected some of {}", known.join(", ")),
                )
            })
    })
}
