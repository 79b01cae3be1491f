//! The reference that a refused person quotes and an operator looks up.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::rand;
use serde::{Serialize, Serializer};

/// Crockford's base32: without I, L, O and U, so that it survives being read out over the telephone.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// 16 characters of Crockford's base32: 80 random bits. It names a refusal and reveals nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RefusalId([u8; 16]);

impl RefusalId {
    /// A new one.
    pub fn random() -> RefusalId {
        let mut bits = [0; 10];
        if rand::fill(&mut bits).is_err() {
            // It has to be unique, not secret: without a random generator a refusal still gets its reference.
            bits = unique();
        }
        RefusalId::of(bits)
    }

    fn of(bits: [u8; 10]) -> RefusalId {
        let number = bits
            .iter()
            .fold(0u128, |number, &byte| number << 8 | u128::from(byte));
        RefusalId(std::array::from_fn(|at| {
            ALPHABET[(number >> (75 - 5 * at)) as usize & 31]
        }))
    }

    /// The 16 characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The same in four groups of four, easier on the eye.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        (0..4).map(|group| &self.as_str()[4 * group..4 * group + 4])
    }
}

fn unique() -> [u8; 10] {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64);
    let next = NEXT.fetch_add(1, Ordering::Relaxed) as u16;
    let mut bits = [0; 10];
    bits[..8].copy_from_slice(&now.to_be_bytes());
    bits[8..].copy_from_slice(&next.to_be_bytes());
    bits
}

impl fmt::Display for RefusalId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl fmt::Debug for RefusalId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl Serialize for RefusalId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn sixteen_characters_that_cannot_be_misread() {
        let id = RefusalId::random();
        assert_eq!(id.as_str().len(), 16);
        assert!(id.as_str().bytes().all(|byte| ALPHABET.contains(&byte)));
        assert_eq!(id.groups().collect::<String>(), id.to_string());
    }

    #[test]
    fn all_bits_are_used() {
        assert_eq!(RefusalId::of([0; 10]).as_str(), "0000000000000000");
        assert_eq!(RefusalId::of([255; 10]).as_str(), "ZZZZZZZZZZZZZZZZ");
        assert_eq!(
            RefusalId::of([0, 0, 0, 0, 0, 0, 0, 0, 0, 1]).as_str(),
            "0000000000000001"
        );
        assert_eq!(
            RefusalId::of([8, 0, 0, 0, 0, 0, 0, 0, 0, 0]).as_str(),
            "1000000000000000"
        );
    }

    #[test]
    fn no_two_are_the_same() {
        let ids: HashSet<RefusalId> = (0..10_000).map(|_| RefusalId::random()).collect();
        assert_eq!(ids.len(), 10_000);
        assert_ne!(unique(), unique());
    }
}
