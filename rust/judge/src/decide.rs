//! Is this chain a credential of one of our clients, and of which one?

use crate::{Snapshot, Verdict};

/// Decides about `chain` (DER, leaf first, as the peer sent it; empty for none) at `at` (Unix seconds).
pub fn decide(chain: &[&[u8]], at: i64, snapshot: &Snapshot) -> Verdict {
    let _ = (chain, at, snapshot);
    todo!()
}
