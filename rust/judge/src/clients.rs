//! Clients: some thirty octets each, so that a million of them leave room for what they bring.
//!
//! Like [`crate::sorted`] a successor shares what did not change, and a change copies one part in a thousand. Names stand
//! one after the other, and what a client has in common with others, roles and hosts, is kept once for all of them.

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::FixedState;

use crate::{shards::PARTS, verdict::Client};

/// What is known of a client when it is changed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Known {
    pub client: Client,
    /// Whether it is kept out.
    pub suspended: bool,
    /// Partners with whom it goes out.
    pub hosts: Hosts,
}

/// The ids of partners, sorted.
pub(crate) type Hosts = Arc<[u32]>;

/// The roles of a client, sorted; and its hosts.
type Shared = (Arc<[Arc<str>]>, Hosts);

/// All of them, at most one with an id.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    parts: Arc<[Arc<Part>]>,
    /// What it holds depends on history, so it does not count in a comparison.
    sets: Arc<Sets>,
}

/// What clients share, each kept once.
#[derive(Debug, Clone, Default)]
struct Sets {
    all: Vec<Shared>,
    places: HashMap<Shared, u32, FixedState>,
}

/// Clients by their ids, in order; the same place in each list is the same client.
#[derive(Debug, Clone, Default)]
struct Part {
    ids: Box<[u64]>,
    /// Where the name of each ends.
    ends: Box<[u32]>,
    names: Box<str>,
    /// The place of what it shares among all sets, times two; one more if it is suspended.
    states: Box<[u32]>,
}

impl Default for Clients {
    fn default() -> Self {
        let empty = Arc::new(Part::default());
        Clients {
            parts: (0..PARTS).map(|_| Arc::clone(&empty)).collect(),
            sets: Arc::default(),
        }
    }
}

impl Clients {
    /// The client with `id`.
    pub fn get(&self, id: u64) -> Option<Known> {
        let part = &self.parts[part_of(id)];
        let place = part.ids.binary_search(&id).ok()?;
        Some(self.read(part, place))
    }

    /// Whether there is a client with `id`.
    pub fn has(&self, id: u64) -> bool {
        self.parts[part_of(id)].ids.binary_search(&id).is_ok()
    }

    /// Takes `removed` away, then adds `added`; one that is there already is replaced.
    pub fn change(&mut self, added: Vec<Known>, removed: &[u64]) {
        let mut changes: Vec<(u64, Option<Known>)> = removed.iter().map(|id| (*id, None)).collect();
        changes.extend(
            added
                .into_iter()
                .map(|known| (known.client.id, Some(known))),
        );
        // Stable: of two changes of one client the later one stays last and wins below.
        changes.sort_by_key(|(id, _)| (part_of(*id), *id));
        let mut rest = changes.as_mut_slice();
        while let Some((id, _)) = rest.first() {
            let part = part_of(*id);
            let length = rest
                .iter()
                .take_while(|(id, _)| part_of(*id) == part)
                .count();
            let (group, others) = rest.split_at_mut(length);
            let changed = self.merged(part, group);
            Arc::make_mut(&mut self.parts)[part] = Arc::new(changed);
            rest = others;
        }
    }

    fn merged(&mut self, part: usize, changes: &mut [(u64, Option<Known>)]) -> Part {
        let old = Arc::clone(&self.parts[part]);
        let mut next = Growing::default();
        let mut place = 0;
        for index in 0..changes.len() {
            let id = changes[index].0;
            while place < old.ids.len() && old.ids[place] < id {
                next.push(old.ids[place], old.name(place), old.states[place]);
                place += 1;
            }
            if old.ids.get(place) == Some(&id) {
                place += 1;
            }
            let superseded = changes.get(index + 1).is_some_and(|next| next.0 == id);
            if let (Some(known), false) = (changes[index].1.take(), superseded) {
                let shared = (known.client.roles, known.hosts);
                let state = self.place_of(shared) * 2 + u32::from(known.suspended);
                next.push(id, &known.client.name, state);
            }
        }
        for place in place..old.ids.len() {
            next.push(old.ids[place], old.name(place), old.states[place]);
        }
        next.into()
    }

    fn read(&self, part: &Part, place: usize) -> Known {
        let state = part.states[place];
        let (roles, hosts) = &self.sets.all[(state / 2) as usize];
        Known {
            client: Client {
                id: part.ids[place],
                name: part.name(place).into(),
                roles: Arc::clone(roles),
            },
            suspended: state % 2 == 1,
            hosts: Arc::clone(hosts),
        }
    }

    fn place_of(&mut self, shared: Shared) -> u32 {
        if let Some(place) = self.sets.places.get(&shared) {
            return *place;
        }
        let sets = Arc::make_mut(&mut self.sets);
        let place = sets.all.len() as u32;
        sets.all.push(shared.clone());
        sets.places.insert(shared, place);
        place
    }

    fn all(&self) -> impl Iterator<Item = Known> + '_ {
        self.parts
            .iter()
            .flat_map(move |part| (0..part.ids.len()).map(move |place| self.read(part, place)))
    }
}

impl PartialEq for Clients {
    fn eq(&self, other: &Self) -> bool {
        self.all().eq(other.all())
    }
}

fn part_of(id: u64) -> usize {
    // The store counts clients up, so the last bits are even.
    (id % PARTS as u64) as usize
}

impl Part {
    fn name(&self, place: usize) -> &str {
        let begin = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.names[begin as usize..self.ends[place] as usize]
    }
}

#[derive(Default)]
struct Growing {
    ids: Vec<u64>,
    ends: Vec<u32>,
    names: String,
    states: Vec<u32>,
}

impl Growing {
    fn push(&mut self, id: u64, name: &str, state: u32) {
        self.ids.push(id);
        self.names.push_str(name);
        self.ends.push(self.names.len() as u32);
        self.states.push(state);
    }
}

impl From<Growing> for Part {
    fn from(grown: Growing) -> Part {
        Part {
            ids: grown.ids.into(),
            ends: grown.ends.into(),
            names: grown.names.into(),
            states: grown.states.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(id: u64, name: &str, roles: &[&str], suspended: bool) -> Known {
        let client = Client {
            id,
            name: name.into(),
            roles: roles.iter().map(|role| Arc::from(*role)).collect(),
        };
        let hosts = if suspended {
            [3, 4].into()
        } else {
            Hosts::default()
        };
        Known {
            client,
            suspended,
            hosts,
        }
    }

    #[test]
    fn each_is_found_as_it_was_put_in() {
        let mut all = Clients::default();
        let each = |id: u64| {
            let roles: &[&str] = if id.is_multiple_of(3) {
                &["a", "b"]
            } else {
                &[]
            };
            known(
                id,
                &format!("client \u{e9} {id}"),
                roles,
                id.is_multiple_of(7),
            )
        };
        // In two lots, so that the second goes between the first.
        all.change((0..9_000).step_by(2).map(each).collect(), &[]);
        all.change((1..9_000).step_by(2).map(each).collect(), &[]);
        (0..9_000).for_each(|id| assert_eq!(all.get(id), Some(each(id)), "{id}"));
        assert!(all.get(9_000).is_none() && !all.has(9_000) && all.has(0));
        assert_eq!(all.sets.all.len(), 4);
    }

    #[test]
    fn a_successor_shares_what_did_not_change() {
        let mut first = Clients::default();
        first.change(
            (0..10_000).map(|id| known(id, "x", &[], false)).collect(),
            &[],
        );
        let mut second = first.clone();
        second.change(vec![known(7, "y", &["r"], true)], &[8, 20_000]);
        assert_eq!(first.get(7), Some(known(7, "x", &[], false)));
        assert_eq!(second.get(7), Some(known(7, "y", &["r"], true)));
        assert!(first.has(8) && !second.has(8) && first != second);
        let both = first.parts.iter().zip(second.parts.iter());
        assert_eq!(both.filter(|(a, b)| Arc::ptr_eq(a, b)).count(), PARTS - 3);
        second.change(
            vec![known(8, "x", &[], false), known(7, "x", &[], false)],
            &[],
        );
        assert!(first == second);
    }

    #[test]
    fn the_later_of_two_changes_wins() {
        let mut all = Clients::default();
        all.change(
            vec![known(5, "a", &[], false), known(5, "b", &[], false)],
            &[5],
        );
        assert_eq!(all.get(5), Some(known(5, "b", &[], false)));
    }

    #[test]
    fn a_million_leave_room() {
        let mut all = Clients::default();
        let many = 100_000;
        all.change(
            (0..many)
                .map(|id| known(id, &format!("client-{id}"), &["staff"], false))
                .collect(),
            &[],
        );
        let octets: usize = all
            .parts
            .iter()
            .map(|part| {
                size_of_val(&*part.ids)
                    + size_of_val(&*part.ends)
                    + part.names.len()
                    + size_of_val(&*part.states)
            })
            .sum();
        assert!(octets < 32 * many as usize, "{octets}");
    }
}
