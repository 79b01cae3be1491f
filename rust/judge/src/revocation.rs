//! Revoked serial numbers: 32 octets each, found by halving, so that a million of them cost 32 MB and no time.

use std::{hash::BuildHasher, sync::Arc};

use crate::shards::PARTS;

/// One revoked certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Revocation {
    key: Key,
    /// CRLReason (RFC 5280 5.3.1).
    pub reason: u8,
    /// Unix seconds; 32 bits reach to 2106, and what lies beyond is kept as the last second of them.
    at: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key {
    authority: u32,
    length: u8,
    serial: [u8; 20],
}

impl Key {
    /// `None` for a serial number that is longer than any may be.
    fn new(authority: u32, serial: &[u8]) -> Option<Key> {
        let mut padded = [0; 20];
        padded.get_mut(..serial.len())?.copy_from_slice(serial);
        Some(Key {
            authority,
            length: serial.len() as u8,
            serial: padded,
        })
    }

    fn part(&self) -> usize {
        // Whoever picks serial numbers holds an authority's key: nobody to hide the seed from.
        foldhash::fast::FixedState::default().hash_one(self) as usize % PARTS
    }
}

impl Revocation {
    /// `serial` big-endian without leading zeros; `None` if it is longer than 20 octets.
    pub fn new(authority: u32, serial: &[u8], at: i64, reason: u8) -> Option<Revocation> {
        let at = u32::try_from(at.max(0)).unwrap_or(u32::MAX);
        Some(Revocation {
            key: Key::new(authority, serial)?,
            reason,
            at,
        })
    }

    /// When, in Unix seconds.
    pub fn at(&self) -> i64 {
        i64::from(self.at)
    }
}

/// All of them; a change copies one part in a thousand.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Revocations {
    parts: Arc<[Arc<[Revocation]>]>,
}

impl Default for Revocations {
    fn default() -> Self {
        let empty: Arc<[Revocation]> = Arc::new([]);
        Revocations {
            parts: (0..PARTS).map(|_| Arc::clone(&empty)).collect(),
        }
    }
}

impl Revocations {
    pub fn get(&self, authority: u32, serial: &[u8]) -> Option<&Revocation> {
        let key = Key::new(authority, serial)?;
        let part = &self.parts[key.part()];
        part.binary_search_by_key(&key, |revocation| revocation.key)
            .ok()
            .map(|position| &part[position])
    }

    /// Takes `removed` away, then adds `added`; one that is there already is replaced.
    pub fn change(&mut self, added: Vec<Revocation>, removed: &[(u32, &[u8])]) {
        let mut changes: Vec<(usize, Key, Option<Revocation>)> = removed
            .iter()
            .filter_map(|(authority, serial)| Key::new(*authority, serial))
            .map(|key| (key.part(), key, None))
            .collect();
        changes.extend(
            added
                .into_iter()
                .map(|revocation| (revocation.key.part(), revocation.key, Some(revocation))),
        );
        if changes.is_empty() {
            return;
        }
        // Stable: of two changes of one key the later one stays last and wins below.
        changes.sort_by_key(|(part, key, _)| (*part, *key));
        let parts = Arc::make_mut(&mut self.parts);
        for group in changes.chunk_by(|before, after| before.0 == after.0) {
            let part = &mut parts[group[0].0];
            *part = merged(part, group).into();
        }
    }
}

fn merged(old: &[Revocation], changes: &[(usize, Key, Option<Revocation>)]) -> Vec<Revocation> {
    let mut merged = Vec::with_capacity(old.len() + changes.len());
    let mut old = old.iter().peekable();
    let mut changes = changes.iter().peekable();
    while let Some((_, key, change)) = changes.next() {
        while let Some(before) = old.next_if(|revocation| revocation.key < *key) {
            merged.push(*before);
        }
        old.next_if(|revocation| revocation.key == *key);
        let superseded = changes.peek().is_some_and(|(_, next, _)| next == key);
        if let (Some(revocation), false) = (change, superseded) {
            merged.push(*revocation);
        }
    }
    merged.extend(old);
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fits_its_promise() {
        assert_eq!(size_of::<Revocation>(), 36);
    }

    #[test]
    fn found_by_authority_and_serial() {
        let mut all = Revocations::default();
        all.change(
            (0..5_000u32)
                .filter_map(|n| Revocation::new(1, &n.to_be_bytes(), 10, 1))
                .collect(),
            &[],
        );
        assert_eq!(
            all.get(1, &77u32.to_be_bytes()).map(Revocation::at),
            Some(10)
        );
        assert!(all.get(2, &77u32.to_be_bytes()).is_none());
        assert!(all.get(1, &[77]).is_none());
        assert!(all.get(1, &[1; 21]).is_none());
        all.change(vec![], &[(1, &77u32.to_be_bytes())]);
        assert!(all.get(1, &77u32.to_be_bytes()).is_none());
        assert!(all.get(1, &78u32.to_be_bytes()).is_some());
    }

    #[test]
    fn the_later_of_two_changes_wins() {
        let mut all = Revocations::default();
        let twice = [1, 4]
            .into_iter()
            .filter_map(|reason| Revocation::new(1, &[5], 10, reason))
            .collect();
        all.change(twice, &[(1, &[5])]);
        assert_eq!(
            all.get(1, &[5]).map(|revocation| revocation.reason),
            Some(4)
        );
    }
}
