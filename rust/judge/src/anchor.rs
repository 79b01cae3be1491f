//! A trust anchor: an authority's key and name, and what its certificate restricts (RFC 5280 6.1.1 (d)).
//!
//! An anchor is identified by its key. Its subject name only finds candidates.

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;

use crate::{
    certificate::Certificate, fault::Fault, key::KeyFault, key::provable, record::Admits, rules,
    rules::Purposes,
};

/// How strictly the certificates under an anchor are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// As RFC 5280 tells CAs to make them.
    Rfc5280,
    /// As `openssl x509 -req` and its users make them: key identifiers, criticalities and name syntax that RFC 5280
    /// demands of CAs may be missing, where nothing hangs on them. X.509 v1 leaves may be signed by the anchor itself.
    Adopted,
}

/// An authority that can vouch for clients.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Anchor {
    /// The store's id.
    pub id: u32,
    /// The name that operators gave it.
    pub name: Arc<str>,
    pub admits: Admits,
    pub estate: Option<u64>,
    pub profile: Profile,
    pub der: Box<[u8]>,
    /// Name, DER.
    pub subject: Arc<[u8]>,
    /// SubjectPublicKeyInfo, DER.
    pub spki: Box<[u8]>,
    pub key_id: Option<Box<[u8]>>,
    pub not_before: i64,
    pub not_after: i64,
    pub path_length: Option<u32>,
    pub purposes: Option<Purposes>,
    /// Whether name constraints have to be read from `der`.
    pub constrained: bool,
    /// Why nothing can be built on it.
    pub fault: Option<Fault>,
    pub key_fault: Option<KeyFault>,
}

impl Anchor {
    /// Reads the certificate of an authority; the error is the rest of a sentence about it.
    pub fn read(
        id: u32,
        name: &str,
        der: &[u8],
        admits: Admits,
        estate: Option<u64>,
    ) -> Result<Anchor, String> {
        let profile = match admits {
            Admits::Issued => Profile::Rfc5280,
            Admits::Signed | Admits::Listed => Profile::Adopted,
        };
        let certificate = Certificate::parse(der)?;
        let extensions = &certificate.extensions;
        Ok(Anchor {
            id,
            name: name.into(),
            admits,
            estate,
            profile,
            der: der.into(),
            subject: certificate.subject.into(),
            spki: certificate.spki.into(),
            key_id: extensions.subject_key_id.map(Into::into),
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            path_length: extensions
                .basic_constraints
                .as_ref()
                .and_then(|basic| basic.path_len_constraint),
            purposes: Purposes::of(&certificate),
            constrained: extensions.name_constraints.is_some(),
            fault: rules::anchor_fault(&certificate, profile),
            key_fault: provable(certificate.spki).err(),
        })
    }

    /// Whether it can have signed `certificate`, by key identifier: one that differs speaks of another key (RFC 5280 4.2.1.1).
    pub fn may_have_signed(&self, certificate: &Certificate<'_>) -> bool {
        key_ids_agree(certificate, self.key_id.as_deref())
    }
}

/// Whether the authority key identifier of `certificate` is `key_id`, or one of the two is not known.
pub(crate) fn key_ids_agree(certificate: &Certificate<'_>, key_id: Option<&[u8]>) -> bool {
    match (certificate.extensions.authority_key_id.flatten(), key_id) {
        (Some(wanted), Some(present)) => wanted == present,
        _ => true,
    }
}

/// Anchors by subject name (DER). Strangers choose the issuer name that is looked up, so its hash is seeded.
pub(crate) type BySubject = HashMap<Arc<[u8]>, Vec<Arc<Anchor>>, RandomState>;
