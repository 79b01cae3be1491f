//! An upstream: its servers, and which of them gets a request.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;

use super::{
    choose::{self, Asker},
    endpoint::{Endpoint, Target},
};
use crate::{
    counters::ServerReport,
    settings::{
        Timeouts,
        upstream::{Balance, Upstream as Setting},
    },
};

/// An upstream. Its places outlive a change of the settings that leaves them as they were, and so do their connections.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// The name, or the address of the only server, for access lines.
    pub(crate) label: Box<str>,
    pub(super) waits: Waits,
    balance: Balance,
    /// The only place there can be: nothing is chosen then, and nothing counted for the choice.
    pub(super) only: Option<Arc<Endpoint>>,
    members: ArcSwap<Vec<Member>>,
    next: AtomicUsize,
}

/// How long an upstream is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waits {
    pub(super) connect: Duration,
    pub(super) response: Duration,
    pub(super) total: Option<Duration>,
}

/// A place that can be chosen, unless it drains.
#[derive(Debug, Clone)]
struct Member {
    endpoint: Arc<Endpoint>,
    drain: bool,
}

/// The places that a request was sent to before, in vain.
#[derive(Debug, Default)]
pub(super) struct Tried {
    ids: [usize; Tried::MOST],
    count: usize,
}

impl Tried {
    /// The most places that a request is sent to.
    pub(super) const MOST: usize = 4;

    pub(super) fn push(&mut self, endpoint: &Endpoint) {
        if let Some(place) = self.ids.get_mut(self.count) {
            *place = endpoint.id;
            self.count += 1;
        }
    }

    fn contains(&self, endpoint: &Endpoint) -> bool {
        self.ids[..self.count].contains(&endpoint.id)
    }

    pub(super) fn is_full(&self) -> bool {
        self.count == Tried::MOST
    }
}

impl Upstream {
    /// Makes one, keeping the places of `old`, which is the upstream of the same name before.
    pub(crate) fn new(setting: &Setting, timeouts: &Timeouts, old: Option<&Upstream>) -> Upstream {
        let before = old.map(|old| old.members.load_full()).unwrap_or_default();
        let members: Vec<Member> = (setting.servers.iter())
            .flat_map(|server| {
                let known: Vec<Arc<Endpoint>> = (before.iter())
                    .map(|member| &member.endpoint)
                    .filter(|endpoint| endpoint.is_of(setting, &server.address))
                    .cloned()
                    .collect();
                let endpoints = if known.is_empty() {
                    vec![Endpoint::of_server(setting, &server.address)]
                } else {
                    known
                };
                endpoints.into_iter().map(|endpoint| Member {
                    endpoint,
                    drain: server.drain,
                })
            })
            .collect();
        let only = match &members[..] {
            [one] if !one.drain && !matches!(one.endpoint.target, Target::Name(..)) => {
                Some(one.endpoint.clone())
            }
            _ => None,
        };
        Upstream {
            label: setting.name.as_str().into(),
            waits: Waits {
                connect: setting.waits.connect.unwrap_or(timeouts.connect),
                response: setting.waits.response.unwrap_or(timeouts.response),
                total: setting.waits.total,
            },
            balance: setting.balance,
            only,
            members: ArcSwap::from_pointee(members),
            next: AtomicUsize::new(choose::draw(usize::MAX)),
        }
    }

    /// Closes the connections to places that `next`, which takes its place, does not have.
    pub(crate) fn leave_to(&self, next: Option<&Upstream>) {
        let kept = next
            .map(|next| next.members.load_full())
            .unwrap_or_default();
        for member in self.members.load().iter() {
            if !(kept.iter()).any(|other| Arc::ptr_eq(&other.endpoint, &member.endpoint)) {
                member.endpoint.retire();
            }
        }
    }

    /// Its servers, as they are now.
    pub(crate) fn report(&self) -> Vec<ServerReport> {
        (self.members.load().iter())
            .map(|member| ServerReport {
                upstream: self.label.to_string(),
                server: member.endpoint.server.to_string(),
                address: member.endpoint.target.to_string(),
                state: if member.drain { "drain" } else { "up" },
                requests: member.endpoint.requests(),
                failures: member.endpoint.failures(),
            })
            .collect()
    }

    /// The place for a request of `asker` that was at `tried` before; `None` if there is no other.
    pub(super) fn choose(&self, asker: Asker, tried: &Tried) -> Option<Arc<Endpoint>> {
        let members = self.members.load();
        let usable = || {
            (members.iter())
                .filter(|member| !member.drain && !tried.contains(&member.endpoint))
                .map(|member| &member.endpoint)
        };
        let count = usable().count();
        if count == 0 {
            return None;
        }
        let nth = |at: usize| usable().nth(at % count);
        match self.balance {
            Balance::RoundRobin => nth(self.next.fetch_add(1, Relaxed)),
            Balance::LeastRequests => {
                // Two different ones, drawn by lot.
                let first = choose::draw(count);
                let second = first + 1 + choose::draw(count - 1);
                [nth(first), nth(second)]
                    .into_iter()
                    .flatten()
                    .min_by_key(|endpoint| endpoint.active())
            }
            Balance::ClientHash => {
                let asker = asker.hash();
                usable().max_by_key(|endpoint| choose::fit(asker, endpoint.hash))
            }
        }
        .cloned()
    }
}
