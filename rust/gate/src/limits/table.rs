//! Who has how many connections open, and how much of its rates it has used: a table of a fixed size, for all workers.
//!
//! Nothing in it is locked. An entry is found by a hash whose key nobody outside knows, in one of two groups of
//! eight. An entry without connections whose rates are earned again says nothing, so it is given to whoever needs one:
//! nothing is lost. If all sixteen say something, that with the least debt and no connection goes: who comes from a
//! million addresses loses its own traces first, and the one that has most to answer for stays. Where even that cannot
//! be, a newcomer is not counted: the gate's `max_connections` holds for all, whoever they are.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    sync::atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use super::rate::Rate;

/// Entries that a hash leads to first, and those that it leads to otherwise: four to a cache line.
const WAYS: usize = 8;

/// Bits of an entry's head that count connections; above them is a part of the hash. No more than
/// [`crate::settings::limits::MAX_COUNTED`] are counted.
const COUNT_BITS: u32 = 20;
const COUNT: u64 = (1 << COUNT_BITS) - 1;

/// How often a lost race for an entry is run again, before the newcomer goes uncounted.
const TRIES: usize = 8;

#[derive(Debug, Default)]
#[repr(align(32))]
struct Entry {
    /// Whose it is (a part of the hash, never 0), and the number of its connections; 0 for nobody's.
    head: AtomicU64,
    /// See [`Rate::take`].
    handshakes: AtomicU64,
    requests: AtomicU64,
}

impl Entry {
    /// Until when the rates are not earned again.
    fn debt(&self) -> u64 {
        (self.handshakes.load(Relaxed)).max(self.requests.load(Relaxed))
    }
}

/// The table.
#[derive(Debug)]
pub(crate) struct Table {
    entries: Box<[Entry]>,
    hasher: RandomState,
}

/// One who is looked up, as the table knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key(u64);

/// The place of a connection that is counted; to be given back by [`Table::release`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place(u32);

/// Which of the two rates.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Which {
    Handshakes,
    Requests,
}

impl Table {
    /// Room for at least `most`, at 32 bytes each.
    pub(crate) fn new(most: usize) -> Table {
        let entries = most.clamp(1024, 1 << 21).next_power_of_two();
        Table {
            entries: (0..entries).map(|_| Entry::default()).collect(),
            hasher: RandomState::new(),
        }
    }

    /// The key of `who`.
    pub(crate) fn key(&self, who: impl Hash) -> Key {
        Key(self.hasher.hash_one(who))
    }

    /// Counts one more connection, unless there are `most` already. `Ok(None)` where there is no entry to count it in.
    pub(crate) fn connect(&self, key: Key, most: u32, now: u64) -> Result<Option<Place>, ()> {
        for _ in 0..TRIES {
            let Some(at) = self.find(key, now) else {
                return Ok(None);
            };
            let entry = &self.entries[at];
            let mut head = entry.head.load(Acquire);
            while head >> COUNT_BITS == key.tag() {
                if head & COUNT >= u64::from(most).min(COUNT) {
                    return Err(());
                }
                match (entry.head).compare_exchange_weak(head, head + 1, Release, Acquire) {
                    // Tables have 2^21 entries at most.
                    Ok(_) => return Ok(Some(Place(at as u32))),
                    Err(changed) => head = changed,
                }
            }
        }
        Ok(None)
    }

    /// Counts a connection no longer. While it was counted, its entry was nobody else's.
    pub(crate) fn release(&self, place: Place) {
        self.entries[place.0 as usize].head.fetch_sub(1, Release);
    }

    /// Takes one of a rate; see [`Rate::take`].
    pub(crate) fn take(&self, key: Key, which: Which, rate: Rate, now: u64) -> Result<(), u64> {
        let Some(at) = self.find(key, now) else {
            return Ok(());
        };
        let entry = &self.entries[at];
        let spent_until = match which {
            Which::Handshakes => &entry.handshakes,
            Which::Requests => &entry.requests,
        };
        rate.take(spent_until, now)
    }

    /// The entry of `key`, made if need be. Two workers that meet somebody new at once may make one each; the second
    /// is not found again, and becomes nobody's.
    fn find(&self, key: Key, now: u64) -> Option<usize> {
        let groups = [
            key.0 as usize,
            (key.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize,
        ]
        .map(|hash| hash % (self.entries.len() / WAYS) * WAYS);
        let ways = || groups.into_iter().flat_map(|group| group..group + WAYS);
        if let Some(at) =
            ways().find(|at| self.entries[*at].head.load(Acquire) >> COUNT_BITS == key.tag())
        {
            return Some(at);
        }
        for _ in 0..TRIES {
            let (at, head, debt) = ways()
                .map(|at| {
                    let head = self.entries[at].head.load(Acquire);
                    (at, head, self.entries[at].debt())
                })
                .filter(|(_, head, _)| head & COUNT == 0)
                .min_by_key(|(_, head, debt)| (*debt > now, *debt, *head != 0))?;
            let entry = &self.entries[at];
            if (entry.head)
                .compare_exchange(head, key.tag() << COUNT_BITS, Release, Relaxed)
                .is_ok()
            {
                if debt > now {
                    entry.handshakes.store(0, Relaxed);
                    entry.requests.store(0, Relaxed);
                }
                return Some(at);
            }
        }
        None
    }
}

impl Key {
    fn tag(self) -> u64 {
        (self.0 >> COUNT_BITS).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn connections_are_counted_and_given_back() {
        let table = Table::new(1024);
        let key = table.key("alice");
        let first = table.connect(key, 2, 1).unwrap().unwrap();
        let second = table.connect(key, 2, 1).unwrap().unwrap();
        assert!(table.connect(key, 2, 1).is_err());
        assert!(table.connect(table.key("bob"), 2, 1).is_ok());
        table.release(first);
        assert!(table.connect(key, 2, 1).is_ok());
        table.release(second);
    }

    #[test]
    fn a_million_addresses_take_no_more_room_and_leave_the_one_that_owes_most() {
        let table = Table::new(1024);
        let rate = Rate::new(1.0, 100).unwrap();
        let abuser = table.key("abuser");
        while table.take(abuser, Which::Requests, rate, 1).is_ok() {}
        let connected = table.key("connected");
        let place = table.connect(connected, 1, 1).unwrap();
        assert!(place.is_some());
        for number in 0..1_000_000u32 {
            assert_eq!(
                table.take(table.key(number), Which::Requests, rate, 1),
                Ok(())
            );
        }
        assert_eq!(table.entries.len(), 1024);
        assert!(table.take(abuser, Which::Requests, rate, 1).is_err());
        assert!(table.connect(connected, 1, 1).is_err());
    }

    #[test]
    fn what_is_earned_again_is_given_away_without_loss() {
        let table = Table::new(1024);
        let rate = Rate::new(1.0, 1).unwrap();
        for number in 0..100_000u64 {
            let now = 1 + number * 2 * SECOND;
            let key = table.key(number);
            assert!(table.take(key, Which::Handshakes, rate, now).is_ok());
            assert!(table.take(key, Which::Handshakes, rate, now).is_err());
        }
    }

    #[test]
    fn where_all_are_connected_newcomers_go_uncounted() {
        let table = Table::new(1024);
        let counted = (0..5_000)
            .filter(|number| matches!(table.connect(table.key(*number), 1, 1), Ok(Some(_))))
            .count();
        assert!((900..=1024).contains(&counted), "{counted}");
        assert!(table.connect(table.key("late"), 1, 1).is_ok());
    }

    #[test]
    fn threads_agree_on_the_number() {
        let table = Table::new(1024);
        let (key, most) = (table.key("shared"), 50);
        let got: usize = std::thread::scope(|scope| {
            let tasks: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        (0..40)
                            .filter(|_| matches!(table.connect(key, most, 1), Ok(Some(_))))
                            .count()
                    })
                })
                .collect();
            tasks.into_iter().map(|task| task.join().unwrap()).sum()
        });
        // Where two threads meet somebody new at once, one more entry of the same may count a few.
        assert!((50..=100).contains(&got), "{got}");
        assert!(table.connect(key, most, 1).is_err());
    }
}
