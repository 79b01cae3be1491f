//! All that the judge reads, at one epoch.

use crate::{record::Batch, route::Site};

/// Immutable; a change makes the next one, which shares what did not change.
#[derive(Debug, Default, Clone)]
pub struct Snapshot {}

/// A record that cannot be used: which, and why.
#[derive(Debug, thiserror::Error)]
#[error("{record}: {problem}")]
pub struct RecordError {
    /// Kind and key of the record.
    pub record: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Snapshot {
    /// Builds one of batches.
    pub fn build(batches: impl IntoIterator<Item = Batch>) -> Result<Snapshot, RecordError> {
        let _ = batches;
        todo!()
    }
    /// The next one.
    pub fn apply(&self, delta: Batch) -> Result<Snapshot, RecordError> {
        let _ = delta;
        todo!()
    }
    /// Its epoch.
    pub fn epoch(&self) -> u64 {
        todo!()
    }
    /// The site that serves `host` (a name or an address without port, any case, a trailing dot allowed).
    pub fn site_of(&self, host: &str) -> Option<&Site> {
        let _ = host;
        todo!()
    }
    /// The site of a handshake without SNI.
    pub fn default_site(&self) -> Option<&Site> {
        todo!()
    }
}
