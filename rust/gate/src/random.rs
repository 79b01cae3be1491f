//! Names for requests that nobody can guess or choose.

use std::{
    cell::Cell,
    hash::{BuildHasher, RandomState},
};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

/// Makes `X-Request-Id` values: a random part per worker, then a counter scrambled so that load cannot be read from it.
pub(crate) struct RequestIds {
    prefix: [u8; 16],
    key: u64,
    next: Cell<u64>,
}

impl RequestIds {
    pub(crate) fn new() -> Self {
        RequestIds {
            prefix: digits(random()),
            key: random() | 1,
            next: Cell::new(random()),
        }
    }

    /// The next one: 32 lower-case hex digits.
    pub(crate) fn next(&self) -> RequestId {
        let count = self.next.get();
        self.next.set(count.wrapping_add(1));
        // A multiplication by an odd number is a permutation: no id comes twice.
        let low = count.wrapping_mul(self.key);
        let mut both = [0; 32];
        both[..16].copy_from_slice(&self.prefix);
        both[16..].copy_from_slice(&digits(low));
        RequestId(both)
    }
}

/// In lower-case hex.
fn digits(number: u64) -> [u8; 16] {
    std::array::from_fn(|at| b"0123456789abcdef"[usize::from((number >> (60 - 4 * at)) as u8 & 15)])
}

/// The name of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestId([u8; 32]);

impl RequestId {
    pub(crate) fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// A number drawn by lot on this thread: to spread load and to tell traces apart, never a secret.
pub(crate) fn lot() -> u64 {
    thread_local!(static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0)));
    STATE.with(|state| {
        let next = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        state.set(next);
        mix(next)
    })
}

/// The finaliser of SplitMix64.
pub(crate) fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    // A system without random numbers could not shake hands either; the ids would still differ within a worker.
    let _ = SystemRandom::new().fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_are_hex() {
        let ids = RequestIds::new();
        let all: std::collections::HashSet<String> =
            (0..1000).map(|_| ids.next().as_str().to_owned()).collect();
        assert_eq!(all.len(), 1000);
        assert!(
            all.iter()
                .all(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
        );
    }
}
