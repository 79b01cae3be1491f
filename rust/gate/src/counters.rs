//! What the gate counts: handshakes, verdicts, requests, bytes, failures.
//!
//! Knows numbers and their labels. Does not know how they are shown. Counting takes neither a lock nor an allocation: each
//! thread adds to a shard of its own, and [`Counters::snapshot`] sums them up. A handshake that completed with a
//! certificate that is refused is counted as a handshake, never as an admission: those are verdicts.

use std::{
    cell::Cell,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use judge::Reason;
use serde::Serialize;

use crate::event::Dropped;

/// Upper bounds of the latency buckets, in microseconds; one more bucket takes the rest.
pub const LATENCY_BUCKETS_US: [u64; 14] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    5_000_000, 30_000_000,
];

/// Pairs of site and route that are told apart; what comes later is counted under `other`. A configuration with more
/// is legal, and 256 are already more than a dashboard can show.
const MAX_SLOTS: usize = 256;

/// Shards. Threads beyond share them, which costs time and no correctness.
const SHARDS: usize = 16;

/// Defines an enum of labels that index an array of counters.
macro_rules! labels {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $label:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// All of them.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];
            /// The label in metrics.
            pub const fn label(self) -> &'static str {
                match self { $($name::$variant => $label,)+ }
            }
        }
    };
}

labels! {
    /// How a TLS handshake ended.
    Handshake {
        /// Complete, without resumption.
        Full = "full",
        /// Complete, resumed.
        Resumed = "resumed",
        /// The client took too long.
        Timeout = "timeout",
        /// The client went away.
        Closed = "closed",
        /// What came was not TLS, or no version or cipher suite that we have.
        Protocol = "protocol",
        /// The client asked for a name that no site has.
        UnknownName = "unknown_name",
        /// The client did not prove that it holds the key of its certificate.
        Possession = "possession",
        /// The client refused, mostly our certificate.
        Alert = "alert",
        /// The certificate was refused on a site with `on_refusal = "alert"`.
        Refused = "refused",
        /// There were too many connections.
        Limit = "limit",
        /// Anything else.
        Other = "other",
    }
}

labels! {
    /// Why an upstream did not answer a request.
    UpstreamError {
        /// It did not take the connection.
        Connect = "connect",
        /// It did not take the connection in time.
        ConnectTimeout = "connect_timeout",
        /// It closed the connection without an answer.
        Closed = "closed",
        /// It did not answer in time.
        ResponseTimeout = "response_timeout",
        /// It broke the answer off.
        Incomplete = "incomplete",
        /// What it answered was not HTTP, or larger than the limits.
        Protocol = "protocol",
        /// Anything else.
        Other = "other",
    }
}

labels! {
    /// What is open right now, and what has passed.
    Flow {
        /// Bytes of request bodies.
        BytesIn = "bytes_in",
        /// Bytes of response bodies.
        BytesOut = "bytes_out",
        /// Connections accepted since the start.
        Accepted = "accepted",
        /// Connections, upgraded or streaming, cut since their client is no longer admitted.
        Cut = "cut",
    }
}

/// Where requests of one route of one site are counted. Get it when a configuration is loaded, not for each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot(usize);

const CLASSES: usize = 6;
const BUCKETS: usize = LATENCY_BUCKETS_US.len() + 1;

/// The numbers of one [`Slot`].
#[derive(Debug, Default)]
struct Requests {
    classes: [AtomicU64; CLASSES],
    buckets: [AtomicU64; BUCKETS],
    sum_us: AtomicU64,
}

/// The numbers of one thread. 128 bytes keep two of them out of one cache line, and out of the pair that x86 prefetches.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    handshakes: [AtomicU64; Handshake::ALL.len()],
    /// By place in [`Reason::ALL`], then admitted, then anonymous.
    verdicts: [AtomicU64; Reason::ALL.len() + 2],
    upstream: [AtomicU64; UpstreamError::ALL.len()],
    flow: [AtomicU64; Flow::ALL.len()],
    /// Opened less closed. One thread may open what another closes: only the sum over all shards has a meaning.
    open: AtomicU64,
    requests: Box<[Requests]>,
}

const ADMITTED: usize = Reason::ALL.len();
const ANONYMOUS: usize = ADMITTED + 1;

/// All counters of a gate.
#[derive(Debug)]
pub struct Counters {
    shards: Box<[Shard]>,
    /// Site and route of each slot; the first is `other`.
    slots: Mutex<Vec<(String, String)>>,
}

impl Default for Counters {
    fn default() -> Counters {
        Counters::new()
    }
}

impl Counters {
    /// Where requests are counted that reach no route.
    pub const NO_ROUTE: Slot = Slot(0);

    /// All at zero.
    pub fn new() -> Counters {
        let shard = || Shard {
            requests: (0..MAX_SLOTS).map(|_| Requests::default()).collect(),
            ..Shard::default()
        };
        Counters {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            slots: Mutex::new(vec![("other".to_owned(), "other".to_owned())]),
        }
    }

    /// The slot of `route` (its path prefix) of `site`; the same one as before for names that were there before a reload.
    pub fn slot(&self, site: &str, route: &str) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = slots
            .iter()
            .position(|(known_site, known_route)| known_site == site && known_route == route)
        {
            return Slot(at);
        }
        if slots.len() == MAX_SLOTS {
            return Counters::NO_ROUTE;
        }
        slots.push((site.to_owned(), route.to_owned()));
        Slot(slots.len() - 1)
    }

    /// Counts the end of a handshake.
    pub fn handshake(&self, end: Handshake) {
        self.shard().handshakes[end as usize].fetch_add(1, Relaxed);
    }

    /// Counts a request that an admitted client may make.
    pub fn admitted(&self) {
        self.shard().verdicts[ADMITTED].fetch_add(1, Relaxed);
    }

    /// Counts a request that passes without a client.
    pub fn anonymous(&self) {
        self.shard().verdicts[ANONYMOUS].fetch_add(1, Relaxed);
    }

    /// Counts a refusal.
    pub fn refused(&self, reason: Reason) {
        let at = Reason::ALL
            .iter()
            .position(|other| *other == reason)
            .unwrap_or_default();
        self.shard().verdicts[at].fetch_add(1, Relaxed);
    }

    /// Counts an answered request, however it was answered, with the time from its head to the end of the answer.
    pub fn request(&self, slot: Slot, status: u16, took: Duration) {
        let requests = &self.shard().requests[slot.0];
        requests.classes[usize::from(status / 100).min(CLASSES - 1)].fetch_add(1, Relaxed);
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = LATENCY_BUCKETS_US.partition_point(|bound| *bound < took_us);
        requests.buckets[bucket].fetch_add(1, Relaxed);
        requests.sum_us.fetch_add(took_us, Relaxed);
    }

    /// Counts a failure of an upstream.
    pub fn upstream_error(&self, error: UpstreamError) {
        self.shard().upstream[error as usize].fetch_add(1, Relaxed);
    }

    /// Adds `number` to a total.
    pub fn add(&self, flow: Flow, number: u64) {
        self.shard().flow[flow as usize].fetch_add(number, Relaxed);
    }

    /// Counts a connection as open until what it gives is dropped.
    pub fn open(self: &std::sync::Arc<Self>) -> Open {
        self.shard().open.fetch_add(1, Relaxed);
        self.add(Flow::Accepted, 1);
        Open(self.clone())
    }

    /// Connections that are open now.
    pub fn open_now(&self) -> u64 {
        // The differences wrap, the sum does not; read while others count, it can be off by those, never below zero.
        let sum = self.sum(|shard| &shard.open);
        if sum > u64::MAX / 2 { 0 } else { sum }
    }

    /// All numbers as they are now, `dropped` and `dropped_access_lines` among them. Numbers of one moment need not fit
    /// each other to the last request.
    pub fn snapshot(&self, dropped: Dropped, dropped_access_lines: u64) -> Snapshot {
        let slots = self
            .slots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let requests = slots
            .into_iter()
            .enumerate()
            .map(|(at, (site, route))| RouteRequests {
                site,
                route,
                classes: std::array::from_fn(|class| {
                    self.sum(|shard| &shard.requests[at].classes[class])
                }),
                latency: (0..BUCKETS)
                    .map(|bucket| self.sum(|shard| &shard.requests[at].buckets[bucket]))
                    .collect(),
                latency_sum_us: self.sum(|shard| &shard.requests[at].sum_us),
            });
        let codes = Reason::ALL
            .into_iter()
            .map(Reason::code)
            .chain(["admitted", "anonymous"]);
        Snapshot {
            handshakes: self.labelled(Handshake::ALL.iter().map(|end| end.label()), |shard| {
                &shard.handshakes
            }),
            verdicts: self.labelled(codes, |shard| &shard.verdicts),
            upstream_errors: self.labelled(
                UpstreamError::ALL.iter().map(|error| error.label()),
                |shard| &shard.upstream,
            ),
            requests: requests.collect(),
            latency_bounds_us: LATENCY_BUCKETS_US.to_vec(),
            open_connections: self.open_now(),
            accepted_connections: self.sum(|shard| &shard.flow[Flow::Accepted as usize]),
            cut_connections: self.sum(|shard| &shard.flow[Flow::Cut as usize]),
            bytes_in: self.sum(|shard| &shard.flow[Flow::BytesIn as usize]),
            bytes_out: self.sum(|shard| &shard.flow[Flow::BytesOut as usize]),
            dropped_refusals: dropped.refusals,
            dropped_notices: dropped.notices,
            dropped_access_lines,
        }
    }

    fn labelled(
        &self,
        labels: impl Iterator<Item = &'static str>,
        of: impl Fn(&Shard) -> &[AtomicU64],
    ) -> Vec<Labelled> {
        labels
            .enumerate()
            .map(|(at, label)| Labelled(label, self.sum(|shard| &of(shard)[at])))
            .collect()
    }

    fn sum<'a>(&'a self, of: impl Fn(&'a Shard) -> &'a AtomicU64) -> u64 {
        self.shards
            .iter()
            .fold(0u64, |sum, shard| sum.wrapping_add(of(shard).load(Relaxed)))
    }

    fn shard(&self) -> &Shard {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local!(static MINE: Cell<usize> = Cell::new(NEXT.fetch_add(1, Relaxed) % SHARDS));
        // A thread that is being torn down counts in the first one.
        &self.shards[MINE.try_with(Cell::get).unwrap_or_default()]
    }
}

/// An open connection; dropped, it is no longer counted.
#[derive(Debug)]
pub struct Open(std::sync::Arc<Counters>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.shard().open.fetch_sub(1, Relaxed);
    }
}

/// A label and its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Labelled(pub &'static str, pub u64);

/// Requests of one route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RouteRequests {
    /// The site's name; `other` for requests that reach no route.
    pub site: String,
    /// The route's path prefix, likewise.
    pub route: String,
    /// By the first digit of the status, 0 for one that is none.
    pub classes: [u64; CLASSES],
    /// Requests in each bucket (not cumulative), the last without bound.
    pub latency: Vec<u64>,
    /// The sum of all times, in microseconds.
    pub latency_sum_us: u64,
}

/// All numbers at one moment, as the control plane reads them (`rmp_serde::to_vec_named`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Handshakes by how they ended.
    pub handshakes: Vec<Labelled>,
    /// Requests by verdict: the reasons, `admitted`, `anonymous`.
    pub verdicts: Vec<Labelled>,
    /// Failures of upstreams by kind.
    pub upstream_errors: Vec<Labelled>,
    /// Requests by route.
    pub requests: Vec<RouteRequests>,
    /// [`LATENCY_BUCKETS_US`].
    pub latency_bounds_us: Vec<u64>,
    /// Connections open now.
    pub open_connections: u64,
    /// Connections accepted since the start.
    pub accepted_connections: u64,
    /// Connections cut since their client is no longer admitted.
    pub cut_connections: u64,
    /// Bytes of request bodies.
    pub bytes_in: u64,
    /// Bytes of response bodies.
    pub bytes_out: u64,
    /// Refusals that nobody fetched in time.
    pub dropped_refusals: u64,
    /// Other events that nobody fetched in time.
    pub dropped_notices: u64,
    /// Access lines that could not be written in time.
    pub dropped_access_lines: u64,
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    fn number(numbers: &[Labelled], label: &str) -> u64 {
        numbers
            .iter()
            .find(|labelled| labelled.0 == label)
            .map(|labelled| labelled.1)
            .expect("a known label")
    }

    fn snapshot(counters: &Counters) -> Snapshot {
        counters.snapshot(Dropped::default(), 0)
    }

    #[test]
    fn nothing_is_lost_between_threads() {
        let counters = Counters::new();
        let slot = counters.slot("shop", "/");
        thread::scope(|scope| {
            for _ in 0..40 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        counters.handshake(Handshake::Full);
                        counters.refused(Reason::Expired);
                        counters.request(slot, 200, Duration::from_micros(300));
                        counters.add(Flow::BytesOut, 10);
                    }
                });
            }
        });
        let snapshot = snapshot(&counters);
        assert_eq!(number(&snapshot.handshakes, "full"), 40_000);
        assert_eq!(number(&snapshot.verdicts, "expired"), 40_000);
        assert_eq!(snapshot.bytes_out, 400_000);
        assert_eq!(snapshot.requests[1].classes, [0, 0, 40_000, 0, 0, 0]);
        assert_eq!(snapshot.requests[1].latency[1], 40_000);
        assert_eq!(snapshot.requests[1].latency_sum_us, 12_000_000);
    }

    #[test]
    fn every_reason_has_a_number_of_its_own() {
        let counters = Counters::new();
        for (times, reason) in Reason::ALL.into_iter().enumerate() {
            (0..times).for_each(|_| counters.refused(reason));
        }
        counters.admitted();
        counters.anonymous();
        let verdicts = snapshot(&counters).verdicts;
        for (times, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(number(&verdicts, reason.code()), times as u64);
        }
        assert_eq!(
            (
                number(&verdicts, "admitted"),
                number(&verdicts, "anonymous")
            ),
            (1, 1)
        );
    }

    #[test]
    fn labels_are_distinct_and_in_the_order_of_their_numbers() {
        for (at, end) in Handshake::ALL.iter().enumerate() {
            assert_eq!(*end as usize, at);
        }
        for (at, error) in UpstreamError::ALL.iter().enumerate() {
            assert_eq!(*error as usize, at);
        }
        let counters = Counters::new();
        counters.upstream_error(UpstreamError::ResponseTimeout);
        assert_eq!(
            number(&snapshot(&counters).upstream_errors, "response_timeout"),
            1
        );
    }

    #[test]
    fn a_time_falls_into_the_bucket_whose_bound_it_does_not_exceed() {
        let counters = Counters::new();
        for (took_us, bucket) in [
            (0, 0),
            (250, 0),
            (251, 1),
            (1_000, 2),
            (30_000_000, 13),
            (30_000_001, 14),
            (u64::MAX, 14),
        ] {
            let before = snapshot(&counters).requests[0].latency[bucket];
            counters.request(Counters::NO_ROUTE, 404, Duration::from_micros(took_us));
            assert_eq!(
                snapshot(&counters).requests[0].latency[bucket],
                before + 1,
                "{took_us}"
            );
        }
        assert_eq!(snapshot(&counters).requests[0].classes[4], 7);
    }

    #[test]
    fn any_status_counts_somewhere() {
        let counters = Counters::new();
        for status in [0, 99, 101, 200, 599, 600, 999, u16::MAX] {
            counters.request(Counters::NO_ROUTE, status, Duration::ZERO);
        }
        assert_eq!(snapshot(&counters).requests[0].classes, [2, 1, 1, 0, 0, 4]);
    }

    #[test]
    fn a_route_keeps_its_numbers_over_a_reload() {
        let counters = Counters::new();
        let slot = counters.slot("shop", "/admin");
        counters.request(slot, 200, Duration::ZERO);
        assert_ne!(counters.slot("other", "/admin"), slot);
        assert_eq!(counters.slot("shop", "/admin"), slot);
        let route = &snapshot(&counters).requests[1];
        assert_eq!(
            (route.site.as_str(), route.route.as_str(), route.classes[2]),
            ("shop", "/admin", 1)
        );
    }

    #[test]
    fn routes_beyond_the_bound_are_counted_together() {
        let counters = Counters::new();
        for number in 0..2 * MAX_SLOTS {
            counters.request(
                counters.slot("shop", &format!("/{number}")),
                200,
                Duration::ZERO,
            );
        }
        let requests = snapshot(&counters).requests;
        assert_eq!(requests.len(), MAX_SLOTS);
        assert_eq!(
            requests.iter().map(|route| route.classes[2]).sum::<u64>(),
            2 * MAX_SLOTS as u64
        );
        assert_eq!(requests[0].classes[2], MAX_SLOTS as u64 + 1);
    }

    #[test]
    fn connections_opened_here_and_closed_there() {
        let counters = Arc::new(Counters::new());
        let open: Vec<Open> = (0..10).map(|_| counters.open()).collect();
        assert_eq!(counters.open_now(), 10);
        let mut open = open.into_iter();
        let half: Vec<Open> = open.by_ref().take(5).collect();
        thread::spawn(move || drop(half)).join().expect("no panic");
        assert_eq!(snapshot(&counters).open_connections, 5);
        drop(open);
        assert_eq!(
            (
                counters.open_now(),
                snapshot(&counters).accepted_connections
            ),
            (0, 10)
        );
    }

    #[test]
    fn a_snapshot_is_a_map_for_the_control_plane() {
        let counters = Counters::new();
        let dropped = Dropped {
            refusals: 1,
            notices: 2,
        };
        let bytes = rmp_serde::to_vec_named(&counters.snapshot(dropped, 3)).expect("bytes");
        #[derive(serde::Deserialize)]
        struct Read {
            handshakes: Vec<(String, u64)>,
            dropped_refusals: u64,
            dropped_notices: u64,
            dropped_access_lines: u64,
        }
        let read: Read = rmp_serde::from_slice(&bytes).expect("a map");
        assert_eq!(read.handshakes[0], ("full".to_owned(), 0));
        assert_eq!(
            (
                read.dropped_refusals,
                read.dropped_notices,
                read.dropped_access_lines
            ),
            (1, 2, 3)
        );
    }
}
