//! Verdicts remembered: the same chain at the same epoch needs its signatures checked once.
//!
//! One per worker thread, so it has no lock. Only admissions are kept: strangers could fill it with refusals, and a refusal
//! may turn with the clock. What is kept is looked at against the clock each time.

use std::{collections::HashMap, sync::Arc};

use aws_lc_rs::digest::{Context, SHA256};

use crate::{
    Admission, Snapshot, Verdict, decide,
    shards::{AsIs, Fingerprint},
};

type Generation = HashMap<Fingerprint, Arc<Admission>, AsIs>;

/// A bounded memory of admissions at one epoch.
#[derive(Debug)]
pub struct VerdictCache {
    epoch: u64,
    /// What was asked for lately, and what was before; the latter is dropped when the former is full.
    young: Generation,
    old: Generation,
    half: usize,
}

impl VerdictCache {
    /// Keeps at most `capacity` admissions, a few hundred bytes each.
    pub fn new(capacity: usize) -> VerdictCache {
        VerdictCache {
            epoch: 0,
            young: Generation::default(),
            old: Generation::default(),
            half: capacity.div_ceil(2),
        }
    }

    /// As [`decide`], from memory where possible.
    pub fn decide(&mut self, chain: &[&[u8]], at: i64, snapshot: &Snapshot) -> Verdict {
        if self.epoch != snapshot.epoch() {
            self.young.clear();
            self.old.clear();
            self.epoch = snapshot.epoch();
        }
        // Over the limits of what `decide` reads there is nothing to remember, and hashing is work, too.
        if chain.is_empty()
            || chain.len() > decide::MOST_CERTIFICATES
            || chain.iter().map(|der| der.len()).sum::<usize>() > decide::MOST_BYTES
        {
            return decide::decide(chain, at, snapshot);
        }
        let key = key_of(chain);
        if let Some(admission) = self.remembered(&key)
            && admission.holds_at(at)
        {
            return Verdict::Admitted(admission);
        }
        let verdict = decide::decide(chain, at, snapshot);
        if let Verdict::Admitted(admission) = &verdict {
            self.remember(key, Arc::clone(admission));
        }
        verdict
    }

    fn remembered(&mut self, key: &Fingerprint) -> Option<Arc<Admission>> {
        if let Some(admission) = self.young.get(key) {
            return Some(Arc::clone(admission));
        }
        let admission = self.old.remove(key)?;
        self.remember(*key, Arc::clone(&admission));
        Some(admission)
    }

    fn remember(&mut self, key: Fingerprint, admission: Arc<Admission>) {
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        if self.half > 0 {
            self.young.insert(key, admission);
        }
    }
}

/// A hash of the chain that also says where one certificate ends and the next begins.
fn key_of(chain: &[&[u8]]) -> Fingerprint {
    let mut context = Context::new(&SHA256);
    for der in chain {
        context.update(&(der.len() as u64).to_le_bytes());
        context.update(der);
    }
    let mut octets = [0; 32];
    octets.copy_from_slice(context.finish().as_ref());
    Fingerprint(octets)
}
