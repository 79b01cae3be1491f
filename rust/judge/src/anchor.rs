//! A trust anchor: an authority's key and name, and what its certificate restricts (RFC 5280 6.1.1 (d)).
//!
//! An anchor is identified by its key. Its subject name only finds candidates.

use std::sync::Arc;

use foldhash::fast::FixedState;

use crate::{
    Reason,
    certificate::Certificate,
    fault::Fault,
    key::{KeyFault, provable},
    partner::Terms,
    policy,
    record::Admits,
    rules::{self, Purposes},
    shards::{AsIs, Fingerprint, Shards, sha256},
};

/// How strictly the certificates under an anchor are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// As RFC 5280 tells CAs to make them.
    Rfc5280,
    /// As `openssl x509 -req` and its users make them: key identifiers, criticalities and name syntax that RFC 5280
    /// demands of CAs may be missing, where nothing hangs on them. X.509 v1 leaves may be signed by the anchor itself.
    Adopted,
    /// As companies' own CAs make them: what an adopted one may leave out they may, too, but X.509 v1 is nobody's.
    Partner,
}

/// An authority that can vouch for clients.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Anchor {
    /// The store's id; those of partners' CAs are counted for themselves.
    pub id: u32,
    /// What the partner whose CA it is has agreed to; `None` for an authority of ours.
    pub terms: Option<Terms>,
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
    /// SHA-256 of it: what identifies the anchor.
    pub key_hash: Fingerprint,
    pub key_id: Option<Box<[u8]>>,
    pub not_before: i64,
    pub not_after: i64,
    pub path_length: Option<u32>,
    pub purposes: Option<Purposes>,
    /// Whether name constraints have to be read from `der`.
    pub constrained: bool,
    /// Whether it requires a certificate policy of all below it.
    pub needs_policy: bool,
    /// For how many CAs below it anyPolicy counts.
    pub any_policy_below: u32,
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
        Anchor::with_profile(id, name, der, (admits, estate), profile)
    }

    /// Reads the certificate of a partner's CA, of which `terms` says until when and for what it counts.
    pub fn of_partner(id: u32, der: &[u8], terms: Terms) -> Result<Anchor, String> {
        let profile = Profile::Partner;
        let mut anchor = Anchor::with_profile(id, "", der, (Admits::Listed, None), profile)?;
        // Its own dates do not bind who trusts it (RFC 5280 6.1.1 (d)); the partner's do, which start from them.
        (anchor.not_before, anchor.not_after) = terms.window;
        anchor.terms = Some(terms);
        Ok(anchor)
    }

    fn with_profile(
        id: u32,
        name: &str,
        der: &[u8],
        (admits, estate): (Admits, Option<u64>),
        profile: Profile,
    ) -> Result<Anchor, String> {
        let certificate = Certificate::parse(der)?;
        let extensions = &certificate.extensions;
        Ok(Anchor {
            id,
            terms: None,
            name: name.into(),
            admits,
            estate,
            profile,
            der: der.into(),
            subject: certificate.subject.into(),
            spki: certificate.spki.into(),
            key_hash: certificate.key_hash(),
            key_id: extensions.subject_key_id.map(Into::into),
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            path_length: extensions
                .basic_constraints
                .as_ref()
                .and_then(|basic| basic.path_len_constraint),
            purposes: Purposes::of(&certificate),
            constrained: extensions.name_constraints.is_some(),
            needs_policy: rules::needs_policy(&certificate),
            any_policy_below: policy::any_policy_below(&certificate).unwrap_or(u32::MAX),
            fault: rules::anchor_fault(&certificate, profile)
                .map(|fault| Fault::of_anchor(Reason::PathInvalid, fault)),
            key_fault: provable(certificate.spki).err(),
        })
    }

    /// The partner whose it is; `None` for an authority of ours.
    pub fn partner(&self) -> Option<u32> {
        self.terms.as_ref().map(|terms| terms.partner)
    }

    /// Whether `certificate` is one of this authority's own, whoever signed it.
    pub fn is_of(&self, certificate: &Certificate<'_>) -> bool {
        *self.subject == *certificate.subject && *self.spki == *certificate.spki
    }

    /// Whether it can have signed `certificate`, by key identifier: one that differs speaks of another key (RFC 5280 4.2.1.1),
    /// or was made otherwise.
    pub fn may_have_signed(&self, certificate: &Certificate<'_>) -> bool {
        key_ids_agree(certificate, self.key_id.as_deref())
    }
}

/// Why nobody could come in under this `certificate`, were it adopted: the rest of a sentence about it. `policy` says whether
/// one is agreed with whose it is, or will be.
pub fn adoption_fault(certificate: &[u8], policy: bool) -> Option<String> {
    let read = match Certificate::parse(certificate) {
        Ok(read) => read,
        Err(fault) => return Some(fault),
    };
    let weak = provable(read.spki).err();
    weak.map(|key| format!("cannot be relied on: {key}"))
        .or_else(|| rules::anchor_fault(&read, Profile::Adopted))
        .or_else(|| {
            (!policy && rules::needs_policy(&read))
                .then(|| "requires a certificate policy (RFC 5280 4.2.1.11)".into())
        })
}

/// Whether the authority key identifier of `certificate` is `key_id`, or one of the two is not known.
pub(crate) fn key_ids_agree(certificate: &Certificate<'_>, key_id: Option<&[u8]>) -> bool {
    match (certificate.extensions.authority_key_id.flatten(), key_id) {
        (Some(wanted), Some(present)) => wanted == present,
        _ => true,
    }
}

/// Anchors by id and by subject name, in parts that successors share.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Anchors {
    by_id: Shards<u32, Arc<Anchor>, FixedState>,
    /// In the order of (partner, id), so that the way a snapshot came about does not show.
    by_subject: Shards<Fingerprint, Arc<[Arc<Anchor>]>, AsIs>,
}

impl Anchors {
    pub fn get(&self, id: u32) -> Option<&Arc<Anchor>> {
        self.by_id.get(&id)
    }

    /// Those whose subject is `name` (DER).
    pub fn named(&self, name: &[u8]) -> &[Arc<Anchor>] {
        self.by_subject
            .get(&name_hash(name))
            .map_or(&[], |found| found)
    }

    /// Those of one partner whose subject is `name` (DER).
    pub fn named_of(&self, partner: u32, name: &[u8]) -> &[Arc<Anchor>] {
        let named = self.named(name);
        let start = named.partition_point(|anchor| anchor.partner() < Some(partner));
        let end = named.partition_point(|anchor| anchor.partner() <= Some(partner));
        &named[start..end]
    }

    pub fn all(&self) -> impl Iterator<Item = &Arc<Anchor>> {
        self.by_id.iter().map(|(_, anchor)| anchor)
    }

    pub fn insert(&mut self, anchor: Anchor) {
        self.remove(anchor.id);
        let anchor = Arc::new(anchor);
        let name = name_hash(&anchor.subject);
        let mut named = self
            .by_subject
            .get(&name)
            .map_or(vec![], |found| found.to_vec());
        named.push(Arc::clone(&anchor));
        named.sort_by_key(|anchor| (anchor.partner(), anchor.id));
        self.by_subject.insert(name, named.into());
        self.by_id.insert(anchor.id, anchor);
    }

    pub fn remove(&mut self, id: u32) {
        let Some(gone) = self.by_id.get(&id).map(Arc::clone) else {
            return;
        };
        self.by_id.remove(&id);
        let name = name_hash(&gone.subject);
        let left: Vec<_> = self
            .named(&gone.subject)
            .iter()
            .filter(|anchor| anchor.id != id)
            .map(Arc::clone)
            .collect();
        if left.is_empty() {
            self.by_subject.remove(&name);
        } else {
            self.by_subject.insert(name, left.into());
        }
    }
}

/// SHA-256 of a Name: strangers choose which one is looked up, and cannot choose where it leads.
pub(crate) fn name_hash(name: &[u8]) -> Fingerprint {
    sha256(name)
}
