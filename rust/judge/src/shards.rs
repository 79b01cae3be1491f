//! A map in many parts that its successors share: changing one entry copies one part, not the map.

use std::{
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, Hash, Hasher},
    sync::Arc,
};

use aws_lc_rs::digest;

/// With a million entries a change copies about a thousand; more parts would cost more to list than to copy.
pub(crate) const PARTS: usize = 1_024;

/// The map.
#[derive(Debug, Clone)]
pub(crate) struct Shards<K, V, S> {
    parts: Arc<[Arc<HashMap<K, V, S>>]>,
}

impl<K, V, S: Default> Default for Shards<K, V, S> {
    fn default() -> Self {
        let empty = Arc::new(HashMap::default());
        Shards {
            parts: (0..PARTS).map(|_| Arc::clone(&empty)).collect(),
        }
    }
}

impl<K: Eq + Hash + Clone, V: Clone, S: BuildHasher + Default + Clone> Shards<K, V, S> {
    pub fn get(&self, key: &K) -> Option<&V> {
        self.parts[Self::part_of(key)].get(key)
    }

    pub fn insert(&mut self, key: K, value: V) {
        self.part_mut(&key).insert(key, value);
    }

    pub fn remove(&mut self, key: &K) {
        if self.get(key).is_some() {
            self.part_mut(key).remove(key);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.parts.iter().flat_map(|part| part.iter())
    }

    fn part_mut(&mut self, key: &K) -> &mut HashMap<K, V, S> {
        Arc::make_mut(&mut Arc::make_mut(&mut self.parts)[Self::part_of(key)])
    }

    fn part_of(key: &K) -> usize {
        // Bits that the map inside does not use: it takes the lowest for the place and the highest seven for the tag.
        (S::default().hash_one(key) >> 32) as usize % PARTS
    }
}

impl<K: Eq + Hash, V: PartialEq, S: BuildHasher> PartialEq for Shards<K, V, S> {
    fn eq(&self, other: &Self) -> bool {
        self.parts == other.parts
    }
}

/// SHA-256 of a certificate, a key or a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fingerprint(pub [u8; 32]);

impl Hash for Fingerprint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        state.write_u64(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
    }
}

/// SHA-256 of `octets`.
pub(crate) fn sha256(octets: &[u8]) -> Fingerprint {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, octets).as_ref());
    Fingerprint(hash)
}

/// For keys that are hashes: eight octets of one are as good as a hash of it.
pub(crate) type AsIs = BuildHasherDefault<Identity>;

/// See [`AsIs`].
#[derive(Debug, Default, Clone)]
pub(crate) struct Identity(u64);

impl Hasher for Identity {
    fn write(&mut self, octets: &[u8]) {
        // Not reached by a Fingerprint; right all the same.
        octets
            .iter()
            .for_each(|octet| self.0 = self.0.rotate_left(8) ^ u64::from(*octet));
    }
    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Map = Shards<u64, u64, foldhash::fast::FixedState>;

    #[test]
    fn a_successor_shares_what_did_not_change() {
        let mut first = Map::default();
        (0..10_000).for_each(|key| first.insert(key, key));
        let mut second = first.clone();
        second.insert(7, 70);
        assert_eq!((first.get(&7), second.get(&7)), (Some(&7), Some(&70)));
        let shared = first
            .parts
            .iter()
            .zip(second.parts.iter())
            .filter(|(a, b)| Arc::ptr_eq(a, b))
            .count();
        assert_eq!(shared, PARTS - 1);
        second.insert(7, 7);
        assert!(first == second);
        second.remove(&7);
        assert!(first != second);
        assert_eq!(second.iter().count(), 9_999);
    }
}
