//! Revoked serial numbers: 32 octets each, found by halving, so that a million of them cost 32 MB and no time.

use std::hash::BuildHasher;

use crate::sorted::{Entry, Sorted};

/// One revoked certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Revocation {
    authority: u32,
    /// Unix seconds; 32 bits reach to 2106, and what lies beyond is kept as the last second of them.
    at: u32,
    serial: [u8; LONGEST],
    length: u8,
    /// CRLReason (RFC 5280 5.3.1).
    pub reason: u8,
}

/// Octets of a serial number (RFC 5280 4.1.2.2).
pub(crate) const LONGEST: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    authority: u32,
    length: u8,
    serial: [u8; LONGEST],
}

impl Key {
    /// `None` for a serial number that is longer than any may be.
    fn new(authority: u32, serial: &[u8]) -> Option<Key> {
        let mut padded = [0; LONGEST];
        padded.get_mut(..serial.len())?.copy_from_slice(serial);
        Some(Key {
            authority,
            length: serial.len() as u8,
            serial: padded,
        })
    }
}

impl Entry for Revocation {
    type Key = Key;

    fn key(&self) -> Key {
        Key {
            authority: self.authority,
            length: self.length,
            serial: self.serial,
        }
    }

    fn spread(key: &Key) -> usize {
        // Whoever picks serial numbers holds an authority's key: nobody to hide the seed from.
        foldhash::fast::FixedState::default().hash_one(key) as usize
    }
}

impl Revocation {
    /// `serial` big-endian without leading zeros; `None` if it is longer than 20 octets.
    pub fn new(authority: u32, serial: &[u8], at: i64, reason: u8) -> Option<Revocation> {
        let key = Key::new(authority, serial)?;
        Some(Revocation {
            authority,
            at: u32::try_from(at.max(0)).unwrap_or(u32::MAX),
            serial: key.serial,
            length: key.length,
            reason,
        })
    }

    /// When, in Unix seconds.
    pub fn at(&self) -> i64 {
        i64::from(self.at)
    }
}

/// All of them; a change copies one part in a thousand.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Revocations(Sorted<Revocation>);

impl Revocations {
    pub fn get(&self, authority: u32, serial: &[u8]) -> Option<&Revocation> {
        self.0.get(&Key::new(authority, serial)?)
    }

    /// Takes `removed` away, then adds `added`; one that is there already is replaced.
    pub fn change(&mut self, added: Vec<Revocation>, removed: &[(u32, &[u8])]) {
        let removed = removed
            .iter()
            .filter_map(|(authority, serial)| Key::new(*authority, serial));
        self.0.change(added, removed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fits_its_promise() {
        assert_eq!(size_of::<Revocation>(), 32);
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
