//! Pins: certificates and keys that clients brought. Each says whose one certificate, or one key, is.
//!
//! A pin is looked up by the hash of what the client proved to hold, whole, and by nothing else: no serial number, no name.
//! It is no anchor and never becomes part of a path: `openssl req -x509` makes CA:TRUE certificates, and one among the
//! anchors could sign more. So nothing here knows of anchors, nor do they of this.

use std::sync::Arc;

use crate::{
    Reason,
    certificate::Certificate,
    fault::Fault,
    moment,
    record::PinKind,
    shards::Fingerprint,
    sorted::{Entry, Sorted},
    validate::SKEW_SECONDS,
};

/// The name of an environment, behind one pointer: a pin has one of few, and there may be a million pins.
pub(crate) type Environment = Arc<Arc<str>>;

/// Stands for the end of a pin that was retired, whatever its dates were: before any moment that is asked about.
const RETIRED: u32 = 0;

/// One pin, 64 octets.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pin {
    digest: Fingerprint,
    pub id: u64,
    pub client: u64,
    pub environment: Option<Environment>,
    // Unix seconds in 32 bits reach to 2106; what lies beyond is kept as the last second of them.
    not_before: u32,
    /// [`RETIRED`] for one that is.
    not_after: u32,
}

impl Pin {
    /// `dates` are the first and the last second, in Unix seconds, at which it counts; `None` for one that is retired.
    pub fn new(
        digest: Fingerprint,
        id: u64,
        client: u64,
        dates: Option<(i64, i64)>,
        environment: Option<Environment>,
    ) -> Pin {
        let seconds = |at: i64| u32::try_from(at.max(1)).unwrap_or(u32::MAX);
        let (not_before, not_after) = dates.unwrap_or_default();
        Pin {
            digest,
            id,
            client,
            environment,
            not_before: seconds(not_before),
            not_after: dates.map_or(RETIRED, |_| seconds(not_after)),
        }
    }

    /// Whether it and `leaf`, which it matches, count at `at`. The pinned certificate's signature, version, constraints and
    /// purposes are not looked at: it vouches for nobody else, and its holder proved that it has the key.
    pub fn check(&self, leaf: &Certificate<'_>, at: i64) -> Result<(), Fault> {
        let (from, until) = self.dates(leaf);
        if at < from {
            let first = leaf.not_before.max(i64::from(self.not_before));
            let (first, now) = (moment::text(first), moment::text(at));
            let early = format!("is not valid before {first}, and here it is {now}");
            return Err(Fault::of(Reason::NotYetValid, 0, early));
        }
        if at > leaf.not_after {
            let late = format!("expired on {}", moment::text(leaf.not_after));
            return Err(Fault::of(Reason::Expired, 0, late));
        }
        if self.not_after == RETIRED {
            let retired = "was accepted here once and has been retired";
            return Err(Fault::of(Reason::PinRetired, 0, retired));
        }
        if at > until {
            let ended = format!("was accepted here until {}", moment::text(until));
            return Err(Fault::of(Reason::PinRetired, 0, ended));
        }
        Ok(())
    }

    /// The first and the last second at which it and `leaf` count.
    pub fn dates(&self, leaf: &Certificate<'_>) -> (i64, i64) {
        (
            leaf.not_before.max(i64::from(self.not_before)) - SKEW_SECONDS,
            leaf.not_after.min(i64::from(self.not_after)),
        )
    }
}

impl Entry for Pin {
    type Key = Fingerprint;

    fn key(&self) -> Fingerprint {
        self.digest
    }

    fn spread(key: &Fingerprint) -> usize {
        usize::from(u16::from_be_bytes([key.0[0], key.0[1]]))
    }
}

/// All pins. A digest of one kind is never looked up among those of the other.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Pins {
    certificates: Sorted<Pin>,
    keys: Sorted<Pin>,
}

impl Pins {
    /// Whether there is one that counts at `at` or will.
    pub fn any_counts(&self, at: i64) -> bool {
        let counts = |pin: &Pin| at <= i64::from(pin.not_after);
        self.certificates.iter().any(counts) || self.keys.iter().any(counts)
    }

    /// The pin of exactly this certificate or, without one, of its key.
    pub fn matching(&self, leaf: &Certificate<'_>) -> Option<&Pin> {
        self.certificates
            .get(&leaf.fingerprint())
            .or_else(|| self.keys.get(&leaf.key_hash()))
    }

    /// Takes `removed` away, then adds `added`; one that is there already is replaced.
    pub fn change(
        &mut self,
        kind: PinKind,
        added: Vec<Pin>,
        removed: impl IntoIterator<Item = Fingerprint>,
    ) {
        match kind {
            PinKind::Certificate => self.certificates.change(added, removed),
            PinKind::Key => self.keys.change(added, removed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fits_its_promise() {
        assert_eq!(size_of::<Pin>(), 64);
    }
}
