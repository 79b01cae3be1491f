//! All that the judge reads, at one epoch: authorities, clients, credentials, revocations, pins, partners, sites.
//!
//! Immutable to its readers. A change makes the next one, which shares what did not change, in microseconds with a
//! million clients. What records may say is checked in `delta`.

use std::{collections::HashSet, sync::Arc};

use foldhash::fast::FixedState;

use crate::{
    anchor::Anchors,
    delta,
    partner::{Members, Partners},
    pin::{Environment, Pins},
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
    pub(crate) authorities: Anchors,
    // Ids and fingerprints are ours, whoever looks them up: no seed to hide.
    pub(crate) clients: Shards<u64, Arc<Known>, FixedState>,
    pub(crate) credentials: Shards<Fingerprint, Credential, AsIs>,
    pub(crate) revocations: Revocations,
    pub(crate) pins: Pins,
    pub(crate) partners: Partners,
    pub(crate) members: Members,
    /// What partners' CAs revoked, by anchor.
    pub(crate) foreign: Revocations,
    pub(crate) sites: Arc<Sites>,
    pub(crate) roles: Words,
    pub(crate) environments: Environments,
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

/// Words that many records have, each kept once. What it holds depends on history, so it does not count in a comparison.
#[derive(Debug, Default, Clone)]
pub(crate) struct Words(Arc<HashSet<Arc<str>, FixedState>>);

/// Environments, each kept once, as [`Words`].
#[derive(Debug, Default, Clone)]
pub(crate) struct Environments(Arc<Vec<Environment>>);

impl Environments {
    /// `name`, shared with all that are meant for it; `None` for the empty name, which is all environments'.
    pub fn shared(&mut self, name: &str) -> Option<Environment> {
        if name.is_empty() {
            return None;
        }
        if let Some(known) = self.0.iter().find(|known| ****known == *name) {
            return Some(Arc::clone(known));
        }
        let name: Environment = Arc::new(name.into());
        Arc::make_mut(&mut self.0).push(Arc::clone(&name));
        Some(name)
    }
}

impl PartialEq for Environments {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

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

    /// What of partners' records cannot be used, a sentence each: unreadable CAs vouch for nobody, unreadable rules permit
    /// nothing, and neither holds up anything else.
    pub fn problems(&self) -> Vec<String> {
        self.partners.problems()
    }

    /// The client with `id`, if there is one.
    pub fn client(&self, id: u64) -> Option<&Client> {
        self.clients.get(&id).map(|known| &known.client)
    }
}

impl Words {
    /// `word`, shared with all who have it.
    pub fn shared(&mut self, word: &str) -> Arc<str> {
        if let Some(known) = self.0.get(word) {
            return Arc::clone(known);
        }
        let word: Arc<str> = word.into();
        Arc::make_mut(&mut self.0).insert(Arc::clone(&word));
        word
    }
}

impl PartialEq for Words {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
