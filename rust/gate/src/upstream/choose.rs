//! Which of several servers gets a request. Knows numbers; does not know requests or connections.

use std::net::IpAddr;

use crate::random::{lot, mix};

/// Who asks, for the choice by client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    /// A client of ours, by its id.
    Client(u64),
    /// Nobody, by the address.
    Nobody(IpAddr),
}

impl Asker {
    /// The same number in every process, so that several gates send a client to the same server.
    pub(super) fn hash(self) -> u64 {
        match self {
            Asker::Client(id) => mix(id),
            Asker::Nobody(IpAddr::V4(ip)) => hash_of(&ip.octets()),
            Asker::Nobody(IpAddr::V6(ip)) => hash_of(&ip.octets()),
        }
    }
}

/// How well a client and a server fit (rendezvous hashing): whoever fits best is chosen, and when a server goes, only its
/// clients move.
pub(super) fn fit(asker: u64, server: u64) -> u64 {
    mix(asker ^ server)
}

/// FNV-1a, then mixed: no secret, only evenly spread.
pub(super) fn hash_of(bytes: &[u8]) -> u64 {
    mix(bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    }))
}

/// A number below `bound`, drawn by lot; for spreading load, not for secrets.
pub(super) fn draw(bound: usize) -> usize {
    usize::try_from(lot() % (bound.max(1) as u64)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(asker: u64, servers: &[u64]) -> u64 {
        (servers
            .iter()
            .copied()
            .max_by_key(|server| fit(asker, *server)))
        .unwrap()
    }

    #[test]
    fn clients_are_spread_evenly_and_only_those_of_a_lost_server_move() {
        let servers: Vec<u64> = (0u8..5).map(|n| hash_of(&[n])).collect();
        let mut each = [0; 5];
        for client in 0..10_000 {
            let asker = Asker::Client(client).hash();
            let chosen = best(asker, &servers);
            let at = servers.iter().position(|server| *server == chosen).unwrap();
            each[at] += 1;
            let left: Vec<u64> = servers[1..].to_vec();
            assert!(at == 0 || best(asker, &left) == chosen);
        }
        assert!(each.iter().all(|n| (1_800..2_200).contains(n)), "{each:?}");
    }
}
