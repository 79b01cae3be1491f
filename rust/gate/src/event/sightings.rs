//! When each credential was seen last, to tell the control plane once in a while and not for each connection.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// How long a sighting is no news, in milliseconds.
const AGAIN_AFTER_MS: i64 = 3_600_000;

/// Credentials that one shard remembers: a million in all, 16 MiB. A full one starts anew, and repeats some news.
const MAX_PER_SHARD: usize = 65_536;

const SHARDS: usize = 16;

/// Keyed by the first 8 bytes of the fingerprint: two that share them would cost one piece of news.
#[derive(Debug, Default)]
pub(super) struct Sightings {
    shards: [Mutex<HashMap<u64, u32>>; SHARDS],
}

impl Sightings {
    /// `Some(true)` for a credential never seen, `Some(false)` for one not seen lately, at `at` in Unix milliseconds.
    pub(super) fn is_news(&self, fingerprint: &[u8; 32], at: i64) -> Option<bool> {
        let [a, b, c, d, e, f, g, h, ..] = *fingerprint;
        let key = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        let period = u32::try_from(at / AGAIN_AFTER_MS).unwrap_or_default();
        let shard = &self.shards[usize::from(h) % SHARDS];
        let mut seen = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = seen.get_mut(&key) {
            let news = *last != period;
            *last = period;
            return news.then_some(false);
        }
        if seen.len() >= MAX_PER_SHARD {
            seen.clear();
        }
        seen.insert(key, period);
        Some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_news_once_an_hour() {
        let sightings = Sightings::default();
        let (alice, bob) = ([1; 32], [2; 32]);
        assert_eq!(sightings.is_news(&alice, 0), Some(true));
        assert_eq!(sightings.is_news(&alice, 1_000), None);
        assert_eq!(sightings.is_news(&bob, 1_000), Some(true));
        assert_eq!(sightings.is_news(&alice, AGAIN_AFTER_MS), Some(false));
        assert_eq!(sightings.is_news(&alice, AGAIN_AFTER_MS + 1), None);
    }

    #[test]
    fn memory_is_bounded() {
        let sightings = Sightings::default();
        for number in 0..MAX_PER_SHARD as u64 + 10 {
            let mut fingerprint = [0; 32];
            fingerprint[..7].copy_from_slice(&number.to_be_bytes()[1..]);
            sightings.is_news(&fingerprint, 0);
        }
        let seen = sightings.shards[0]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        assert!(seen.len() <= MAX_PER_SHARD);
    }
}
