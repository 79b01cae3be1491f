//! Refusals that are alike, counted together, within bounds.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
};

use judge::Reason;

use super::Event;
use crate::refusal::RefusalId;

/// How long refusals that are alike count as one, in milliseconds: as long as somebody keeps pressing reload.
const TOGETHER_MS: i64 = 60_000;

/// What makes refusals alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// The place of the reason in the order of judgement.
    pub class: usize,
    /// The certificate.
    pub fingerprint: Option<[u8; 32]>,
    /// The address, where there is no certificate: two people without one are not the same.
    pub peer: Option<IpAddr>,
    /// The site.
    pub site: String,
    /// The facts, as they are told: whoever looks the reference up reads what was on the page.
    pub detail: String,
}

#[derive(Debug)]
struct Group {
    id: RefusalId,
    began: i64,
    /// What was counted since it was taken last, if anything.
    event: Option<Event>,
}

/// The groups of one class of reasons.
#[derive(Debug, Default)]
struct Class {
    /// All of them, oldest first.
    order: VecDeque<Key>,
    /// Those with an event to take, in the order in which they are to be taken.
    pending: VecDeque<Key>,
}

/// At most `max` groups, in classes by reason.
#[derive(Debug)]
pub(super) struct Groups {
    groups: HashMap<Key, Group>,
    classes: [Class; Reason::ALL.len()],
    max: usize,
    /// The class where taking goes on, so that none starves another.
    next: usize,
}

impl Groups {
    pub(super) fn new(max: usize) -> Groups {
        Groups {
            groups: HashMap::new(),
            classes: Default::default(),
            max,
            next: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.classes.iter().all(|class| class.pending.is_empty())
    }

    /// Counts a refusal at `at`; `make` makes the event where there is none to count it in. Gives the reference, and
    /// how many refusals had to be given up for it.
    pub(super) fn add(
        &mut self,
        key: Key,
        at: i64,
        make: impl FnOnce(RefusalId) -> Event,
    ) -> (RefusalId, u64) {
        if let Some(group) = self.groups.get_mut(&key) {
            let id = match &mut group.event {
                // One that nobody fetched yet goes on counting, however old: so nothing is lost.
                Some(event) => {
                    event.count += 1;
                    event.until = at;
                    return (group.id, 0);
                }
                None if (0..TOGETHER_MS).contains(&at.saturating_sub(group.began)) => {
                    group.event = Some(Event {
                        certificate: None,
                        ..make(group.id)
                    });
                    group.id
                }
                None => {
                    group.id = RefusalId::random();
                    group.began = at;
                    group.event = Some(make(group.id));
                    group.id
                }
            };
            self.classes[key.class].pending.push_back(key);
            return (id, 0);
        }
        let lost = if self.groups.len() >= self.max {
            self.give_up_one()
        } else {
            0
        };
        let id = RefusalId::random();
        let class = &mut self.classes[key.class];
        class.order.push_back(key.clone());
        class.pending.push_back(key.clone());
        self.groups.insert(
            key,
            Group {
                id,
                began: at,
                event: Some(make(id)),
            },
        );
        (id, lost)
    }

    /// Takes out the next event: the classes in turn, each from its oldest.
    pub(super) fn take(&mut self) -> Option<Event> {
        let classes = self.classes.len();
        let class = (self.next..self.next + classes)
            .find(|at| !self.classes[at % classes].pending.is_empty())?
            % classes;
        self.next = (class + 1) % classes;
        let key = self.classes[class].pending.pop_front()?;
        self.groups.get_mut(&key)?.event.take()
    }

    /// Removes the oldest group of the largest class, and says how many refusals are lost with it.
    fn give_up_one(&mut self) -> u64 {
        let Some(class) = self
            .classes
            .iter_mut()
            .max_by_key(|class| class.order.len())
        else {
            return 0;
        };
        let Some(key) = class.order.pop_front() else {
            return 0;
        };
        let Some(event) = self.groups.remove(&key).and_then(|group| group.event) else {
            return 0;
        };
        if let Some(at) = class.pending.iter().position(|other| *other == key) {
            class.pending.remove(at);
        }
        event.count
    }
}
