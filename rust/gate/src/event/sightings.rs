//! When each certificate was seen last, and as whose, to tell the control plane once in a while and not for each connection.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use judge::Reason;

/// How long a sighting is no news, in milliseconds.
const AGAIN_AFTER_MS: i64 = 3_600_000;

const SHARDS: usize = 16;

/// Keyed by the first 8 bytes of the fingerprint: two that share them would cost one piece of news.
#[derive(Debug)]
pub(super) struct Sightings {
    shards: [Mutex<HashMap<u64, Last>>; SHARDS],
    max_per_shard: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Last {
    period: u32,
    verdict: Told,
}

/// As whose a certificate was seen (0 for nobody's), and why it was refused, if it was.
type Told = (u64, Option<Reason>);

impl Sightings {
    /// Remembers `max` certificates. A shard that is full starts anew, and repeats some news.
    pub(super) fn new(max: usize) -> Sightings {
        Sightings {
            shards: Default::default(),
            max_per_shard: (max / SHARDS).max(1),
        }
    }

    /// Whether a certificate was not seen lately with this verdict, at `at` in Unix milliseconds.
    pub(super) fn is_news(&self, fingerprint: &[u8; 32], verdict: Told, at: i64) -> bool {
        let [a, b, c, d, e, f, g, h, ..] = *fingerprint;
        let key = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        let now = Last {
            period: u32::try_from(at / AGAIN_AFTER_MS).unwrap_or_default(),
            verdict,
        };
        let shard = &self.shards[usize::from(h) % SHARDS];
        let mut seen = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = seen.get_mut(&key) {
            return std::mem::replace(last, now) != now;
        }
        if seen.len() >= self.max_per_shard {
            seen.clear();
        }
        seen.insert(key, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_news_once_an_hour_and_for_each_owner() {
        let sightings = Sightings::new(100);
        let (alice, bob) = ([1; 32], [2; 32]);
        let (one, other) = ((1, None), (2, None));
        assert!(sightings.is_news(&alice, one, 0));
        assert!(!sightings.is_news(&alice, one, 1_000));
        assert!(sightings.is_news(&bob, one, 1_000));
        assert!(sightings.is_news(&alice, other, 1_001));
        assert!(!sightings.is_news(&alice, other, 1_002));
        assert!(sightings.is_news(&alice, other, AGAIN_AFTER_MS));
        assert!(!sightings.is_news(&alice, other, AGAIN_AFTER_MS + 1));
    }

    #[test]
    fn another_reason_is_news() {
        let sightings = Sightings::new(100);
        let refused = |reason, at| sightings.is_news(&[1; 32], (0, Some(reason)), at);
        assert!(refused(Reason::UnknownIssuer, 0));
        assert!(!refused(Reason::UnknownIssuer, 1));
        assert!(refused(Reason::NotEnrolled, 2));
        assert!(!refused(Reason::NotEnrolled, 3));
    }

    #[test]
    fn memory_is_bounded() {
        let sightings = Sightings::new(SHARDS * 10);
        for number in 0..1_000_u64 {
            let mut fingerprint = [0; 32];
            fingerprint[..7].copy_from_slice(&number.to_be_bytes()[1..]);
            sightings.is_news(&fingerprint, (0, None), 0);
        }
        let seen = sightings.shards[0]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        assert!(seen.len() <= 10);
    }
}
