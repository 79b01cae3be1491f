//! Entries of a fixed size in many parts, each sorted: a million of them cost their own octets and no more.
//!
//! Like [`crate::shards`] a successor shares what did not change. A map keeps room to grow, up to as much again as its
//! entries take; here there is none, and a change copies one part in a thousand. The first entries are sorted once, as a
//! whole: parts that grew as entries came would leave holes of every size behind.

use std::{hash::Hash, mem, sync::Arc};

use crate::shards::PARTS;

/// Something that is found by a part of itself.
pub(crate) trait Entry: Clone + PartialEq {
    /// What it is found by.
    type Key: Ord + Copy + Hash;
    /// Its key.
    fn key(&self) -> Self::Key;
    /// Evenly spread over keys; only the remainder by [`PARTS`] is used.
    fn spread(key: &Self::Key) -> usize;
    /// The part that it is in, and its key.
    fn place(&self) -> (usize, Self::Key) {
        let key = self.key();
        (Self::spread(&key) % PARTS, key)
    }
}

/// All entries of a kind, at most one with a key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sorted<E> {
    parts: Arc<[Arc<[E]>]>,
}

impl<E> Default for Sorted<E> {
    fn default() -> Self {
        let empty: Arc<[E]> = Arc::new([]);
        Sorted {
            parts: (0..PARTS).map(|_| Arc::clone(&empty)).collect(),
        }
    }
}

impl<E: Entry> Sorted<E> {
    pub fn get(&self, key: &E::Key) -> Option<&E> {
        let part = &self.parts[E::spread(key) % PARTS];
        part.binary_search_by_key(key, Entry::key)
            .ok()
            .map(|position| &part[position])
    }

    /// All of them, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = &E> {
        self.parts.iter().flat_map(|part| part.iter())
    }

    /// Takes `removed` away, then adds `added`; one that is there already is replaced.
    pub fn change(&mut self, added: Vec<E>, removed: impl IntoIterator<Item = E::Key>) {
        if !added.is_empty() && self.iter().next().is_none() {
            *self = Sorted::of(added);
            return;
        }
        let change = |key: E::Key, entry| Change {
            place: (E::spread(&key) % PARTS, key),
            entry,
        };
        let mut changes: Vec<Change<E>> =
            removed.into_iter().map(|key| change(key, None)).collect();
        changes.extend(
            added
                .into_iter()
                .map(|entry| change(entry.key(), Some(entry))),
        );
        if changes.is_empty() {
            return;
        }
        // Stable: of two changes of one key the later one stays last and wins below.
        changes.sort_by_key(|change| change.place);
        let parts = Arc::make_mut(&mut self.parts);
        for group in changes.chunk_by(|before, after| before.place.0 == after.place.0) {
            let part = &mut parts[group[0].place.0];
            *part = merged(part, group).into();
        }
    }

    /// All of `entries`; of several with one key the last.
    fn of(mut entries: Vec<E>) -> Self {
        entries.sort_by_key(E::place);
        entries.dedup_by(|later, earlier| {
            let same = later.key() == earlier.key();
            if same {
                mem::swap(later, earlier);
            }
            same
        });
        let empty: Arc<[E]> = Arc::new([]);
        let mut rest = entries.as_slice();
        let mut part = |number| {
            let length = rest.partition_point(|entry| entry.place().0 <= number);
            let (part, others) = rest.split_at(length);
            rest = others;
            if part.is_empty() {
                Arc::clone(&empty)
            } else {
                part.into()
            }
        };
        Sorted {
            parts: (0..PARTS).map(&mut part).collect(),
        }
    }
}

struct Change<E: Entry> {
    /// Part and key.
    place: (usize, E::Key),
    /// `None` to take away what is there.
    entry: Option<E>,
}

fn merged<E: Entry>(old: &[E], changes: &[Change<E>]) -> Vec<E> {
    let mut merged = Vec::with_capacity(old.len() + changes.len());
    let mut old = old.iter().peekable();
    let mut changes = changes.iter().peekable();
    while let Some(change) = changes.next() {
        let (_, key) = change.place;
        while let Some(before) = old.next_if(|entry| entry.key() < key) {
            merged.push(before.clone());
        }
        old.next_if(|entry| entry.key() == key);
        let superseded = changes.peek().is_some_and(|next| next.place.1 == key);
        if let (Some(entry), false) = (&change.entry, superseded) {
            merged.push(entry.clone());
        }
    }
    merged.extend(old.cloned());
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq)]
    struct Numbered(u32, char);

    impl Entry for Numbered {
        type Key = u32;
        fn key(&self) -> u32 {
            self.0
        }
        fn spread(key: &u32) -> usize {
            *key as usize
        }
    }

    #[test]
    fn a_successor_shares_what_did_not_change() {
        let mut first = Sorted::default();
        first.change(
            (0..10_000).map(|number| Numbered(number, 'a')).collect(),
            [],
        );
        let mut second = first.clone();
        second.change(vec![Numbered(7, 'b')], []);
        assert_eq!(first.get(&7), Some(&Numbered(7, 'a')));
        assert_eq!(second.get(&7), Some(&Numbered(7, 'b')));
        let shared = first
            .parts
            .iter()
            .zip(second.parts.iter())
            .filter(|(a, b)| Arc::ptr_eq(a, b))
            .count();
        assert_eq!(shared, PARTS - 1);
        second.change(vec![Numbered(7, 'a')], [8]);
        assert!(first != second && second.get(&8).is_none());
    }

    #[test]
    fn the_later_of_two_changes_wins() {
        let mut all = Sorted::default();
        for (first, last) in [('a', 'b'), ('c', 'd')] {
            let (one, other) = (Numbered(5, first), Numbered(6, 'x'));
            all.change(vec![one, other, Numbered(5, last)], [5]);
            assert_eq!(all.get(&5), Some(&Numbered(5, last)));
            assert_eq!(all.iter().count(), 2);
        }
    }
}
