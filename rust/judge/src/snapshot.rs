//! All that the judge reads, at one epoch: authorities, clients, credentials, revocations, sites.
//!
//! Immutable to its readers. A change makes the next one, which shares what did not change, in microseconds with a
//! million clients. What records may say is checked in `delta`.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use foldhash::fast::FixedState;

use crate::{
    anchor::{Anchor, BySubject},
    delta,
    record::Batch,
    revocation::Revocations,
    route::{Site, Sites},
    shards::{AsIs, Fingerprint, Shards},
    verdict::Client,
};

/// Immutable; a change makes the next one, which shares what did not change.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Snapshot {
    pub(crate) epoch: u64,
    pub(crate) authorities: Authorities,
    // Ids and fingerprints are ours, whoever looks them up: no seed to hide.
    pub(crate) clients: Shards<u64, Arc<Known>, FixedState>,
    pub(crate) credentials: Shards<Fingerprint, Credential, AsIs>,
    pub(crate) revocations: Revocations,
    pub(crate) sites: Arc<Sites>,
    pub(crate) roles: Roles,
}

/// A client and whether it is kept out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Known {
    pub client: Client,
    pub suspended: bool,
}

/// A certificate that the store knows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Credential {
    pub id: u64,
    pub client: u64,
    pub authority: u32,
}

/// The anchors by id and by subject name.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Authorities {
    by_id: Arc<HashMap<u32, Arc<Anchor>, FixedState>>,
    by_subject: Arc<BySubject>,
}

/// Role names, each kept once. What it holds depends on history, so it does not count in a comparison.
#[derive(Debug, Default, Clone)]
pub(crate) struct Roles(Arc<HashSet<Arc<str>, FixedState>>);

/// A record that cannot be used: which, and why.
#[derive(Debug, thiserror::Error)]
#[error("{record}: {problem}")]
pub struct RecordError {
    /// Kind and key of the record.
    pub record: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Snapshot {
    /// Builds one of batches, which are read one after the other and not kept.
    ///
    /// A later record replaces an earlier one with the same key. References between records are checked at the end.
    pub fn build(batches: impl IntoIterator<Item = Batch>) -> Result<Snapshot, RecordError> {
        let mut snapshot = Snapshot::default();
        for batch in batches {
            delta::take(&mut snapshot, batch)?;
        }
        delta::check_references(&snapshot)?;
        Ok(snapshot)
    }

    /// The next one; `self` stays as it is. A wrong delta changes nothing.
    pub fn apply(&self, delta: Batch) -> Result<Snapshot, RecordError> {
        let mut next = self.clone();
        let touched = delta::touched(&delta);
        delta::take(&mut next, delta)?;
        delta::check_touched(&next, &touched)?;
        Ok(next)
    }

    /// The epoch; it never goes back.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The site that serves `host` (a name or an address without port, any case, a trailing dot allowed).
    pub fn site_of(&self, host: &str) -> Option<&Site> {
        self.sites.of(host)
    }

    /// The site of a handshake without SNI: the first one.
    pub fn default_site(&self) -> Option<&Site> {
        self.sites.all().first()
    }

    /// All sites, in order.
    pub fn sites(&self) -> &[Site] {
        self.sites.all()
    }

    /// The client with `id`, if there is one.
    pub fn client(&self, id: u64) -> Option<&Client> {
        self.clients.get(&id).map(|known| &known.client)
    }
}

impl Authorities {
    pub fn get(&self, id: u32) -> Option<&Arc<Anchor>> {
        self.by_id.get(&id)
    }

    /// Those whose subject is `name` (DER).
    pub fn named(&self, name: &[u8]) -> &[Arc<Anchor>] {
        self.by_subject.get(name).map_or(&[], Vec::as_slice)
    }

    pub fn all(&self) -> impl Iterator<Item = &Arc<Anchor>> {
        self.by_id.values()
    }

    pub fn insert(&mut self, anchor: Anchor) {
        self.remove(anchor.id);
        let anchor = Arc::new(anchor);
        let named = Arc::make_mut(&mut self.by_subject)
            .entry(Arc::clone(&anchor.subject))
            .or_default();
        named.push(Arc::clone(&anchor));
        // By id, so that the way a snapshot came about does not show.
        named.sort_by_key(|anchor| anchor.id);
        Arc::make_mut(&mut self.by_id).insert(anchor.id, anchor);
    }

    pub fn remove(&mut self, id: u32) {
        if !self.by_id.contains_key(&id) {
            return;
        }
        if let Some(gone) = Arc::make_mut(&mut self.by_id).remove(&id) {
            let by_subject = Arc::make_mut(&mut self.by_subject);
            if let Some(named) = by_subject.get_mut(&gone.subject) {
                named.retain(|anchor| anchor.id != id);
                if named.is_empty() {
                    by_subject.remove(&gone.subject);
                }
            }
        }
    }
}

impl Roles {
    /// `role`, shared with all who have it.
    pub fn shared(&mut self, role: &str) -> Arc<str> {
        if let Some(known) = self.0.get(role) {
            return Arc::clone(known);
        }
        let role: Arc<str> = role.into();
        Arc::make_mut(&mut self.0).insert(Arc::clone(&role));
        role
    }
}

impl PartialEq for Roles {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
