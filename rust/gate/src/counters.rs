//! What the gate counts: handshakes, verdicts, requests, bytes, failures.
//!
//! Knows numbers and their labels. Does not know how they are shown. Counting takes neither a lock nor an allocation:
//! each thread adds to a shard of its own, and [`Counters::snapshot`] sums them up. A handshake that completed with a
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

use crate::{event::Dropped, limits::Met};

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
        /// The client spoke HTTP without TLS.
        PlainHttp = "plain_http",
        /// There was no PROXY header where the settings ask for one.
        ProxyHeader = "proxy_header",
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
        /// Its certificate is not that of whom it should be.
        Untrusted = "untrusted",
        /// None of its servers could be used.
        NoServer = "no_server",
        /// What it answered was not HTTP, or larger than the limits.
        Protocol = "protocol",
        /// Anything else.
        Other = "other",
    }
}

labels! {
    /// What is summed up since the start.
    Flow {
        /// Bytes of request bodies.
        BytesIn = "bytes_in",
        /// Bytes of response bodies.
        BytesOut = "bytes_out",
        /// Connections accepted.
        Accepted = "accepted",
        /// Connections, upgraded or streaming, cut since their client is no longer admitted.
        Cut = "cut",
    }
}

labels! {
    /// Which limit was met.
    Limit {
        /// Connections of all together.
        MaxConnections = "max_connections",
        /// Idle connections that were closed to make room.
        Spared = "idle_connections",
        /// New connections while memory was short.
        MemoryConnections = "memory_connections",
        /// Requests while memory was short.
        MemoryRequests = "memory_requests",
        /// Connections that were cut while memory was short.
        MemoryCuts = "memory_cuts",
        /// A body that came too slowly.
        MinBodyRate = "min_body_rate",
        /// An answer that was taken too slowly.
        MinReadRate = "min_read_rate",
        /// Connections of one address.
        AddressConnections = "address_connections",
        /// New connections of one address.
        AddressHandshakes = "address_handshakes",
        /// Requests of one address.
        AddressRequests = "address_requests",
        /// Connections of one client.
        ClientConnections = "client_connections",
        /// New connections of one client.
        ClientHandshakes = "client_handshakes",
        /// Requests of one client.
        ClientRequests = "client_requests",
        /// Connections of one client to one site.
        SiteClientConnections = "site_client_connections",
        /// New connections of one client to one site.
        SiteClientHandshakes = "site_client_handshakes",
        /// Requests of one client to one site.
        SiteClientRequests = "site_client_requests",
        /// Connections to one site.
        SiteConnections = "site_connections",
        /// New connections to one site.
        SiteHandshakes = "site_handshakes",
        /// Requests to one site.
        SiteRequests = "site_requests",
        /// Requests of one client to one route.
        RouteClientRequests = "route_client_requests",
        /// Requests to one route.
        RouteRequests = "route_requests",
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

/// The numbers of one thread. 128 bytes keep two of them out of one cache line, and out of the pair that x86
/// prefetches.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    handshakes: [AtomicU64; Handshake::ALL.len()],
    /// By place in [`Reason::ALL`], then admitted, then anonymous.
    verdicts: [AtomicU64; Reason::ALL.len() + 2],
    upstream: [AtomicU64; UpstreamError::ALL.len()],
    flow: [AtomicU64; Flow::ALL.len()],
    limited: [AtomicU64; Limit::ALL.len()],
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

    /// The slot of `route` (its path prefix) of `site`; the same one as before for names that were there before a
    /// reload.
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

    /// Counts what was turned away because of a limit.
    pub fn limited(&self, limit: Limit) {
        self.shard().limited[limit as usize].fetch_add(1, Relaxed);
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

    /// All numbers as they are now but those of servers, `dropped` and `dropped_access_lines` among them. Numbers of one moment need not fit
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
            limited: self.labelled(Limit::ALL.iter().map(|limit| limit.label()), |shard| {
                &shard.limited
            }),
            limited_most: Vec::new(),
            servers: Vec::new(),
            memory_bytes: None,
            memory_stage: 0,
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
            dropped_spans: 0,
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
        &self.shards[mine()]
    }
}

/// The shard in which this thread counts.
fn mine() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static MINE: Cell<usize> = Cell::new(NEXT.fetch_add(1, Relaxed) % SHARDS));
    // A thread that is being torn down counts in the first one.
    MINE.try_with(Cell::get).unwrap_or_default()
}

/// One number that all threads add to, each in a cache line of its own.
#[derive(Debug, Default)]
pub(crate) struct Sharded([Padded; SHARDS]);

#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded(AtomicU64);

impl Sharded {
    pub(crate) fn add(&self, number: u64) {
        self.0[mine()].0.fetch_add(number, Relaxed);
    }

    pub(crate) fn sum(&self) -> u64 {
        self.0.iter().map(|shard| shard.0.load(Relaxed)).sum()
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

/// One server of an upstream, at one of its addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerReport {
    /// The upstream's name; the address where it has none.
    pub upstream: String,
    /// The server, as it is set.
    pub server: String,
    /// Where it is reached: differs from `server` where that is a name.
    pub address: String,
    /// `up`, `drain`, `down` where checks say so, `ejected` for a while after failures.
    pub state: &'static str,
    /// Requests that were sent there.
    pub requests: u64,
    /// Those that it did not answer.
    pub failures: u64,
    /// Those of them that were sent to another server then.
    pub retries: u64,
    /// How often it was left out for its failures.
    pub ejections: u64,
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
    /// Connections and requests that were turned away, by the limit that they met.
    pub limited: Vec<Labelled>,
    /// Who was turned away most.
    pub limited_most: Vec<Met>,
    /// Servers of all upstreams; those that are in no configuration any more are not counted any more.
    pub servers: Vec<ServerReport>,
    /// Bytes of the process in memory; `None` where the system does not say.
    pub memory_bytes: Option<u64>,
    /// How short memory is: 0 not, 1 idle connections are closed, 2 none is taken, 3 requests are turned away.
    pub memory_stage: u8,
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
    /// Spans that nobody fetched in time.
    pub dropped_spans: u64,
}

#[cfg(test)]
mod tests;
