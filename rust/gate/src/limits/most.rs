//! Who meets limits most: for operators, in a list of a fixed length (Metwally and others, "Space-Saving", 2005).

use std::{
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use serde::Serialize;

use crate::{counters::Limit, standing::unix_now};

/// How many are remembered. Who is not here met limits less often than anybody who is.
const KEPT: usize = 64;

/// Who met a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who<'a> {
    /// An IPv4 address, or the first 64 bits of an IPv6 address.
    Address(IpAddr),
    /// A client, with its name.
    Client(u64, &'a str),
    /// All clients of a site together.
    Site(&'a str),
    /// All of them.
    Everybody,
}

/// One who met a limit, as the control plane reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Met {
    /// Which limit.
    pub limit: &'static str,
    /// What `who` is: `address`, `client`, `site`; or `all`.
    pub kind: &'static str,
    /// The address, or the name of the client or the site.
    pub who: String,
    /// The client's id in the store; 0 if it is none.
    pub client: u64,
    /// How often, at most: one that took the place of another has inherited its number.
    pub times: u64,
    /// When last, Unix seconds.
    pub last: i64,
}

impl Met {
    fn is(&self, limit: Limit, who: Who<'_>) -> bool {
        self.limit == limit.label()
            && match who {
                Who::Address(address) => self.kind == "address" && self.who.parse() == Ok(address),
                Who::Client(id, _) => self.kind == "client" && self.client == id,
                Who::Site(name) => self.kind == "site" && self.who == name,
                Who::Everybody => self.kind == "all",
            }
    }
}

/// The list.
#[derive(Debug, Default)]
pub(crate) struct Most(Mutex<Vec<Met>>);

impl Most {
    /// Notes that `who` met `limit`. One that meets it while somebody else is noted is left out: nobody waits here.
    pub(crate) fn note(&self, limit: Limit, who: Who<'_>) {
        let Ok(mut kept) = self.0.try_lock() else {
            return;
        };
        let last = unix_now();
        if let Some(known) = kept.iter_mut().find(|met| met.is(limit, who)) {
            known.times += 1;
            known.last = last;
            return;
        }
        let (kind, text, client) = match who {
            Who::Address(address) => ("address", address.to_string(), 0),
            Who::Client(id, name) => ("client", name.to_owned(), id),
            Who::Site(name) => ("site", name.to_owned(), 0),
            Who::Everybody => ("all", String::new(), 0),
        };
        let mut met = Met {
            limit: limit.label(),
            kind,
            who: text,
            client,
            times: 1,
            last,
        };
        if kept.len() < KEPT {
            kept.push(met);
        } else if let Some(least) = kept.iter_mut().min_by_key(|met| met.times) {
            met.times += least.times;
            *least = met;
        }
    }

    /// The list, those first that met limits most.
    pub(crate) fn list(&self) -> Vec<Met> {
        let mut list = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        list.sort_by_key(|met| std::cmp::Reverse(met.times));
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_short_and_keeps_who_comes_most() {
        let most = Most::default();
        for number in 0..10_000u32 {
            most.note(Limit::ClientRequests, Who::Client(7, "alice"));
            most.note(
                Limit::AddressRequests,
                Who::Address(IpAddr::from(number.to_be_bytes())),
            );
        }
        let list = most.list();
        assert_eq!(list.len(), KEPT);
        assert_eq!((list[0].who.as_str(), list[0].times), ("alice", 10_000));
    }

    #[test]
    fn each_limit_is_told_apart() {
        let most = Most::default();
        most.note(Limit::ClientRequests, Who::Client(7, "alice"));
        most.note(Limit::ClientRequests, Who::Client(7, "alice"));
        most.note(Limit::ClientConnections, Who::Client(7, "alice"));
        most.note(Limit::MaxConnections, Who::Everybody);
        let seen: Vec<_> = most
            .list()
            .iter()
            .map(|met| (met.limit, met.times))
            .collect();
        assert_eq!(seen[0], ("client_requests", 2));
        assert_eq!(seen.len(), 3);
    }
}
