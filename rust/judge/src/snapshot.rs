//! All that the judge reads, at one epoch: authorities, clients, credentials, revocations, pins, partners, sites.
//!
//! Immutable to its readers. A change makes the next one, which shares what did not change, in microseconds with a
//! million clients. What records may say is checked in `delta`.

use std::{collections::HashSet, mem, sync::Arc};

use foldhash::fast::FixedState;

use crate::{
    anchor::Anchors,
    clients::Clients,
    delta::{self, Entries},
    partner::{Members, Partners},
    pin::{Environment, Pins},
    record::Batch,
    revocation::Revocations,
    route::{Site, Sites},
    shards::Fingerprint,
    sorted::{Entry, Sorted},
    verdict::Client,
};

/// Immutable; a change makes the next one, which shares what did not change.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Snapshot {
    pub(crate) epoch: u64,
    pub(crate) authorities: Anchors,
    pub(crate) clients: Clients,
    pub(crate) credentials: Sorted<Credential>,
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

/// A certificate that the store knows, 52 octets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Credential {
    fingerprint: Fingerprint,
    id: [u32; 2],
    client: [u32; 2],
    pub authority: u32,
}

impl Credential {
    pub fn new(fingerprint: Fingerprint, id: u64, client: u64, authority: u32) -> Credential {
        Credential {
            fingerprint,
            id: halves(id),
            client: halves(client),
            authority,
        }
    }

    /// The store's id.
    pub fn id(&self) -> u64 {
        whole(self.id)
    }

    /// The client that it stands for.
    pub fn client(&self) -> u64 {
        whole(self.client)
    }
}

// Two halves need no room before them, where a whole has to begin at a multiple of eight.

fn halves(number: u64) -> [u32; 2] {
    [(number >> 32) as u32, number as u32]
}

fn whole([high, low]: [u32; 2]) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

impl Entry for Credential {
    type Key = Fingerprint;

    fn key(&self) -> Fingerprint {
        self.fingerprint
    }

    fn spread(key: &Fingerprint) -> usize {
        usize::from(u16::from_be_bytes([key.0[0], key.0[1]]))
    }
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
        let mut builder = Builder::default();
        for batch in batches {
            builder.add(batch)?;
        }
        builder.finish()
    }

    /// The next one; `self` stays as it is. A wrong delta changes nothing.
    pub fn apply(&self, delta: Batch) -> Result<Snapshot, RecordError> {
        let mut next = self.clone();
        let touched = delta::touched(&delta);
        delta::take(&mut next, delta)?;
        delta::check_touched(&next, &touched)?;
        Ok(next)
    }

    /// The client with `id` and whether it comes in: one that partners invited goes out with each of these.
    pub(crate) fn client(&self, id: u64) -> Option<(Client, bool)> {
        let known = self.clients.get(id)?;
        let stands = |host: &u32| {
            let host = self.partners.get(*host);
            host.is_some_and(|partner| !partner.suspended)
        };
        let comes_in = !known.suspended && known.hosts.iter().all(stands);
        Some((known.client, comes_in))
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
}

/// Records that are taken in together while a snapshot is built: to take in some is to copy all that are there already.
const TOGETHER: usize = 100_000;

/// Builds a snapshot of batches as they come.
#[derive(Debug, Default)]
pub struct Builder {
    snapshot: Snapshot,
    waiting: Batch,
    /// Of `waiting`, what is small once it was read: it waits until all of its kind is there, and is sorted once.
    entries: Entries,
}

impl Builder {
    /// Takes `batch` in, or keeps it for the next time.
    pub fn add(&mut self, mut batch: Batch) -> Result<(), RecordError> {
        if batch.order_counts() {
            self.take()?;
            return delta::take(&mut self.snapshot, batch);
        }
        delta::read(&mut self.snapshot, &mut batch, &mut self.entries)?;
        self.waiting.absorb(batch);
        if self.waiting.records() < TOGETHER {
            return Ok(());
        }
        let waiting = mem::take(&mut self.waiting);
        delta::take(&mut self.snapshot, waiting)
    }

    /// All that was added. References between records are checked now.
    pub fn finish(mut self) -> Result<Snapshot, RecordError> {
        self.take()?;
        delta::check_references(&self.snapshot)?;
        Ok(self.snapshot)
    }

    fn take(&mut self) -> Result<(), RecordError> {
        let (waiting, entries) = (mem::take(&mut self.waiting), mem::take(&mut self.entries));
        delta::take_rest(&mut self.snapshot, waiting, entries)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{ClientRecord, PartnerAdmits, PartnerProfile, PartnerRecord, Removed};

    #[test]
    fn a_guest_comes_in_only_with_all_its_hosts() {
        let partner = |id, suspended| PartnerRecord {
            id,
            name: format!("partner-{id}"),
            admits: PartnerAdmits::Rule,
            client: 1,
            suspended,
            rules: vec![],
            intermediates: vec![],
            profile: PartnerProfile::Names,
        };
        let client = |id, suspended, hosts: &[u32]| ClientRecord {
            id,
            name: "x".into(),
            roles: vec![],
            suspended,
            hosts: hosts.to_vec(),
        };
        let batch = Batch {
            clients: vec![
                client(1, false, &[]),
                client(2, true, &[7]),
                client(3, false, &[8, 7]),
            ],
            partners: vec![partner(7, false), partner(8, false)],
            ..Batch::default()
        };
        let here = Snapshot::build([batch]).unwrap_or_else(|error| panic!("{error}"));
        let after = |delta| here.apply(delta).unwrap_or_else(|error| panic!("{error}"));
        let out = after(Batch {
            partners: vec![partner(8, true)],
            ..Batch::default()
        });
        let gone = after(Batch {
            removed: Removed {
                partners: vec![8],
                ..Removed::default()
            },
            ..Batch::default()
        });
        for (snapshot, third) in [(&here, true), (&out, false), (&gone, false)] {
            let comes_in = |id| snapshot.client(id).map(|(_, comes_in)| comes_in);
            let said = [1, 2, 3, 4].map(comes_in);
            assert_eq!(said, [Some(true), Some(false), Some(third), None]);
        }
    }

    #[test]
    fn a_credential_fits_its_promise() {
        assert_eq!(size_of::<Credential>(), 52);
        let far = Credential::new(Fingerprint([1; 32]), u64::MAX - 1, 1 << 33, 7);
        assert_eq!((far.id(), far.client()), (u64::MAX - 1, 1 << 33));
    }
}
