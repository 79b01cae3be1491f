//! Limits: how much one address, one client, a site and a route may use, and what happens beyond.
//!
//! Knows who has used how much, over all connections and workers, and turns away who has used too much: an address
//! before TLS costs anything, a client by a page with 429. Does not know how much is too much: that is in the settings.
//! Nothing here locks, waits or allocates for what passes, and where nothing is limited, each call is one comparison.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, OnceLock, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use http::header::CONTENT_TYPE;
use judge::Admission;

use crate::{
    client_io::Phase,
    connection::Connection,
    counters::{Counters, Handshake, Limit},
    fields::Fields,
    problem,
    refusal::Document,
    settings::{Bounds, Settings},
    state::{SiteState, State, TimeoutsMs},
    worker::{Open, Worker},
};

mod most;
mod pace;
mod pressure;
mod rate;
mod scope;
mod table;

pub use most::Met;
use most::{Most, Who};
pub(crate) use pace::{Pace, Slowest};
pub use pressure::give_back_by;
pub(crate) use pressure::resident;
use pressure::{Pressure, Stage};
pub(crate) use rate::Rate;
pub(crate) use scope::Scope;
use table::{Key, Place, Table, Which};

/// Addresses that are told apart beside those with open connections: 2 MiB.
const ADDRESSES: usize = 1 << 16;

/// Clients of sites and routes that are told apart: 4 MiB.
const CLIENTS: usize = 1 << 17;

/// In how many seconds to come again where nothing says when there will be room: for connections.
const SOON_SECONDS: u32 = 2;

/// What is counted for limits. The tables are there from the first time that something is limited.
#[derive(Debug)]
pub(crate) struct Limits {
    counters: Arc<Counters>,
    most: Most,
    pressure: Pressure,
    began: Instant,
    addresses: OnceLock<Table>,
    clients: OnceLock<Table>,
}

/// A limit is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Over {
    limit: Limit,
    /// When to come again, in seconds.
    retry_after: u32,
}

/// What a connection holds of limits; dropped, it is given back.
#[derive(Debug)]
pub(crate) struct Held {
    limits: Arc<Limits>,
    address: Option<Place>,
    client: Option<Place>,
    site_client: Option<Place>,
    site: Option<Arc<Scope>>,
}

impl Limits {
    pub(crate) fn new(counters: Arc<Counters>) -> Arc<Limits> {
        Arc::new(Limits {
            counters,
            most: Most::default(),
            pressure: Pressure::default(),
            began: Instant::now(),
            addresses: OnceLock::new(),
            clients: OnceLock::new(),
        })
    }

    /// Who met limits most.
    pub(crate) fn met(&self) -> Vec<Met> {
        self.most.list()
    }

    /// How short memory is: see [`Stage`].
    pub(crate) fn memory_stage(&self) -> u8 {
        self.pressure.stage() as u8
    }

    /// Nanoseconds since a second before the start: what was never used lies in the past.
    fn now(&self) -> u64 {
        let since = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX / 2);
        since.saturating_add(1_000_000_000)
    }

    /// Large enough for all connections to come from addresses, and be of clients, of their own.
    fn table<'a>(
        &self,
        table: &'a OnceLock<Table>,
        least: usize,
        settings: &Settings,
    ) -> &'a Table {
        table.get_or_init(|| Table::new(least.max(settings.limits.max_connections * 2)))
    }

    fn addresses(&self, settings: &Settings) -> &Table {
        self.table(&self.addresses, ADDRESSES, settings)
    }

    fn clients(&self, settings: &Settings) -> &Table {
        self.table(&self.clients, CLIENTS, settings)
    }

    /// Counts that `who` met `limit`, and tells operators.
    pub(crate) fn count(&self, limit: Limit, who: Who<'_>) {
        self.counters.limited(limit);
        self.most.note(limit, who);
    }

    fn over(&self, limit: Limit, who: Who<'_>, wait_ns: u64) -> Over {
        self.count(limit, who);
        Over::new(limit, wait_ns)
    }

    fn held(self: &Arc<Self>) -> Held {
        Held {
            limits: self.clone(),
            address: None,
            client: None,
            site_client: None,
            site: None,
        }
    }
}

impl Over {
    fn new(limit: Limit, wait_ns: u64) -> Over {
        let seconds = wait_ns.div_ceil(1_000_000_000).max(1);
        Over {
            limit,
            retry_after: u32::try_from(seconds).unwrap_or(u32::MAX),
        }
    }

    fn soon(limit: Limit) -> Over {
        Over {
            limit,
            retry_after: SOON_SECONDS,
        }
    }

    /// Whether the connection ends with the answer.
    pub(crate) fn ends_connection(self) -> bool {
        self.limit == Limit::MemoryRequests
    }

    /// What the client reads.
    pub(crate) fn document(self) -> Document {
        if self.limit == Limit::MemoryRequests {
            return Document {
                retry_after: Some(self.retry_after),
                ..problem::OVERLOADED.document("Its memory is all in use.")
            };
        }
        let detail = match self.limit {
            Limit::AddressRequests => {
                "There are more requests from this address than one may make in the time."
            }
            Limit::ClientConnections | Limit::SiteClientConnections => {
                "This client has more connections open than one may have."
            }
            Limit::ClientHandshakes | Limit::SiteClientHandshakes => {
                "This client opens more connections than one may in the time."
            }
            Limit::ClientRequests | Limit::SiteClientRequests | Limit::RouteClientRequests => {
                "This client makes more requests than one may in the time."
            }
            Limit::SiteConnections => {
                "All clients together have as many connections open as this site takes."
            }
            _ => "All clients together make more requests than are taken here in the time.",
        };
        Document {
            retry_after: Some(self.retry_after),
            ..problem::TOO_MANY_REQUESTS.document(detail)
        }
    }
}

impl Held {
    fn is_empty(&self) -> bool {
        self.client.is_none() && self.site_client.is_none() && self.site.is_none()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for (table, place) in [
            (&self.limits.addresses, self.address),
            (&self.limits.clients, self.client),
            (&self.limits.clients, self.site_client),
        ] {
            if let (Some(table), Some(place)) = (table.get(), place) {
                table.release(place);
            }
        }
        if let Some(site) = &self.site {
            site.used.release();
        }
    }
}

/// An address as it is counted: who has one IPv6 address has all that begin with the same 64 bits (RFC 6177).
fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

/// Counts a connection from `peer`, as soon as its real address is known and before anything is done for it. `false`
/// where it is to be dropped without a word.
pub(crate) fn arrive(worker: &Worker, open: &mut Open, peer: IpAddr) -> bool {
    let state = worker.state();
    if worker.shared.limits.pressure.stage() >= Stage::Closed {
        worker.shared.counters.handshake(Handshake::Limit);
        (worker.shared.limits).count(Limit::MemoryConnections, Who::Everybody);
        return false;
    }
    let settings = &state.config.settings;
    let bounds = settings.limits.address;
    if bounds.connections.is_none() && bounds.handshakes.is_none() {
        return true;
    }
    let limits = &worker.shared.limits;
    let (table, address, now) = (limits.addresses(settings), counted(peer), limits.now());
    let key = table.key(address);
    let met = if let Some(most) = bounds.connections {
        match table.connect(key, most, now) {
            Ok(place) => {
                let mut held = limits.held();
                held.address = place;
                open.held = Some(Box::new(held));
                false
            }
            Err(()) => {
                limits.count(Limit::AddressConnections, Who::Address(address));
                true
            }
        }
    } else {
        false
    };
    let met = met
        || bounds.handshakes.is_some_and(|rate| {
            let is_over = table.take(key, Which::Handshakes, rate, now).is_err();
            if is_over {
                limits.count(Limit::AddressHandshakes, Who::Address(address));
            }
            is_over
        });
    if met {
        worker.shared.counters.handshake(Handshake::Limit);
    }
    !met
}

/// Counts a connection that is dropped because all together have as many as the gate takes.
pub(crate) fn full(worker: &Worker) {
    worker.shared.counters.handshake(Handshake::Limit);
    (worker.shared.limits).count(Limit::MaxConnections, Who::Everybody);
}

/// The times that the worker's clock is to give. Called with each of its ticks: measures memory, if it is limited, and
/// closes what can be spared if there is too little of it, or of room for connections.
pub(crate) fn tick(worker: &Worker, state: &State) -> TimeoutsMs {
    let (limits, times) = (&worker.shared.limits, state.config.timeouts_ms);
    let since = u64::try_from(limits.began.elapsed().as_millis()).unwrap_or(u64::MAX);
    limits
        .pressure
        .look(since, state.config.settings.limits.memory);
    if !is_pressed(worker, state) {
        return times;
    }
    let (now, is_short) = (worker.now(), limits.pressure.stage() > Stage::Calm);
    let most = state.config.settings.limits.max_connections;
    // Of connections just enough for others to come in; of memory what makes a difference soon.
    let spare = if is_short {
        |found: usize| (found / 8).max(16)
    } else {
        |_| 0
    };
    let over = worker
        .shared
        .connections
        .load(Relaxed)
        .saturating_sub(most - most / 5);
    for connection in worker.longest(
        |found| spare(found).max(over),
        |connection| connection.idle_for(now),
    ) {
        limits.count(Limit::Spared, Who::Everybody);
        connection.progress.enter(Phase::Linger);
        connection.drain();
    }
    if limits.pressure.stage() >= Stage::Closed {
        for connection in worker.longest(spare, |connection| connection.stuck_for(now)) {
            limits.count(Limit::MemoryCuts, Who::Everybody);
            connection.cut();
        }
    }
    pressure::hurried(times)
}

/// Whether memory is short, or room for connections.
fn is_pressed(worker: &Worker, state: &State) -> bool {
    let most = state.config.settings.limits.max_connections;
    worker.shared.limits.pressure.stage() > Stage::Calm
        || worker.shared.connections.load(Relaxed) >= most - most / 10
}

/// Does `work`, such as a handshake, within `limit` or, while there is pressure, a short time: then those who hold a place
/// without saying who they are make room for others.
pub(crate) async fn patiently<T>(
    worker: &Worker,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut left = limit;
    let mut work = std::pin::pin!(work);
    while !left.is_zero() {
        let step = left.min(pressure::HURRY);
        if let Ok(done) = tokio::time::timeout(step, work.as_mut()).await {
            return Some(done);
        }
        left -= step;
        if is_pressed(worker, &worker.state()) {
            return None;
        }
    }
    None
}

/// Whether one more handshake may be made for a site, asked when its name is known and before keys are used.
pub(crate) fn may_shake(worker: &Worker, site: &SiteState) -> bool {
    let Some((scope, rate)) =
        (site.limits.as_ref()).and_then(|scope| Some((scope, scope.limits.total.handshakes?)))
    else {
        return true;
    };
    let limits = &worker.shared.limits;
    let may = rate.take(&scope.used.handshakes, limits.now()).is_ok();
    if !may {
        limits.count(Limit::SiteHandshakes, Who::Site(&scope.site));
    }
    may
}

/// Counts a connection whose client is known, for the client and the site. Where there are too many, its first request
/// is answered with 429 and the connection ends; until then it has no more time than a stranger.
pub(crate) fn greet(connection: &Connection, state: &State, site: Option<&judge::Site>) {
    let settings = &state.config.settings;
    let gate = settings.limits.client;
    let scope = site.and_then(|site| state.site(site).limits.as_ref());
    if gate == Bounds::default() && scope.is_none() {
        return;
    }
    let limits = &connection.worker.shared.limits;
    let mut held = limits.held();
    match hold(limits, &mut held, connection, settings, scope) {
        Ok(()) if held.is_empty() => {}
        Ok(()) => connection.hold(Box::new(held)),
        Err(over) => connection.turn_away(over),
    }
}

fn hold(
    limits: &Limits,
    held: &mut Held,
    connection: &Connection,
    settings: &Settings,
    scope: Option<&Arc<Scope>>,
) -> Result<(), Over> {
    let standing = connection.known();
    let admission = match &standing.verdict {
        judge::Verdict::Admitted(admission) => Some(admission),
        judge::Verdict::Refused(_) => None,
    };
    let client = Caller::of(connection, admission);
    let (table, now) = (limits.clients(settings), limits.now());
    let one = |key: Key, bounds: Bounds, connections, handshakes| {
        if let Some(rate) = bounds.handshakes {
            (table.take(key, Which::Handshakes, rate, now))
                .map_err(|wait| limits.over(handshakes, client.who(), wait))?;
        }
        match bounds.connections.map(|most| table.connect(key, most, now)) {
            Some(Err(())) => {
                limits.count(connections, client.who());
                Err(Over::soon(connections))
            }
            Some(Ok(place)) => Ok(place),
            None => Ok(None),
        }
    };
    if let Caller::Client(..) = client {
        held.client = one(
            client.key(table, None),
            settings.limits.client,
            Limit::ClientConnections,
            Limit::ClientHandshakes,
        )?;
    }
    let Some(scope) = scope else { return Ok(()) };
    held.site_client = one(
        client.key(table, Some(scope)),
        scope.limits.client,
        Limit::SiteClientConnections,
        Limit::SiteClientHandshakes,
    )?;
    if let Some(most) = scope.limits.total.connections {
        if !scope.used.connect(most) {
            limits.count(Limit::SiteConnections, Who::Site(&scope.site));
            return Err(Over::soon(Limit::SiteConnections));
        }
        held.site = Some(scope.clone());
    }
    Ok(())
}

/// Whether a request may go on to be judged.
pub(crate) fn ask(connection: &Connection, state: &State) -> Result<(), Over> {
    let limits = &connection.worker.shared.limits;
    if limits.pressure.stage() == Stage::Shedding {
        limits.count(Limit::MemoryRequests, Who::Everybody);
        return Err(Over::soon(Limit::MemoryRequests));
    }
    let settings = &state.config.settings;
    let Some(rate) = settings.limits.address.requests else {
        return Ok(());
    };
    let (table, address) = (
        limits.addresses(settings),
        counted(connection.met.peer.ip()),
    );
    (table.take(table.key(address), Which::Requests, rate, limits.now()))
        .map_err(|wait| limits.over(Limit::AddressRequests, Who::Address(address), wait))
}

/// Whether a request that the judge permits may go on. The client's own limits come first, so that what is beyond them
/// takes nothing from the others of its site.
pub(crate) fn permitted(
    connection: &Connection,
    state: &State,
    site: Option<&Arc<Scope>>,
    route: Option<&Arc<Scope>>,
    admission: Option<&Arc<Admission>>,
) -> Result<(), Over> {
    let settings = &state.config.settings;
    let gate = settings.limits.client.requests;
    if gate.is_none() && site.is_none() && route.is_none() {
        return Ok(());
    }
    let limits = &connection.worker.shared.limits;
    let (table, now) = (limits.clients(settings), limits.now());
    let client = Caller::of(connection, admission);
    if let (Some(rate), Caller::Client(..)) = (gate, client) {
        (table.take(client.key(table, None), Which::Requests, rate, now))
            .map_err(|wait| limits.over(Limit::ClientRequests, client.who(), wait))?;
    }
    for scope in [route, site].into_iter().flatten() {
        if let Some(rate) = scope.limits.client.requests {
            let limit = if scope.is_site() {
                Limit::SiteClientRequests
            } else {
                Limit::RouteClientRequests
            };
            (table.take(client.key(table, Some(scope)), Which::Requests, rate, now))
                .map_err(|wait| limits.over(limit, client.who(), wait))?;
        }
    }
    for scope in [route, site].into_iter().flatten() {
        if let Some(rate) = scope.limits.total.requests {
            let limit = if scope.is_site() {
                Limit::SiteRequests
            } else {
                Limit::RouteRequests
            };
            (rate.take(&scope.used.requests, now))
                .map_err(|wait| limits.over(limit, Who::Site(&scope.site), wait))?;
        }
    }
    Ok(())
}

/// Counts a connection that is cut since its client is too slow.
pub(crate) fn slow(connection: &Connection, limit: Limit) {
    let standing = connection.known();
    let admission = match &standing.verdict {
        judge::Verdict::Admitted(admission) => Some(admission),
        judge::Verdict::Refused(_) => None,
    };
    let who = Caller::of(connection, admission).who();
    connection.worker.shared.limits.count(limit, who);
}

/// Whether a request's body is a stream of messages that come when there is something to say: gRPC, whose calls may stay
/// open for days.
pub(crate) fn is_conversation(fields: &Fields) -> bool {
    (fields.get(&CONTENT_TYPE)).is_some_and(|media| media.starts_with(b"application/grpc"))
}

/// Who asks: a client or, without an admitted certificate, an address.
#[derive(Clone, Copy)]
enum Caller<'a> {
    Client(u64, &'a str),
    Address(IpAddr),
}

impl<'a> Caller<'a> {
    fn of(connection: &Connection, admission: Option<&'a Arc<Admission>>) -> Caller<'a> {
        match admission {
            Some(admission) => Caller::Client(admission.client().id, &admission.client().name),
            None => Caller::Address(counted(connection.met.peer.ip())),
        }
    }

    /// In all of the gate, or in a site or route.
    fn key(self, table: &Table, scope: Option<&Arc<Scope>>) -> Key {
        let scope = scope.map(|scope| (&*scope.site, &*scope.route));
        match self {
            Caller::Client(id, _) => table.key((scope, Some(id), None::<IpAddr>)),
            Caller::Address(address) => table.key((scope, None::<u64>, Some(address))),
        }
    }

    fn who(self) -> Who<'a> {
        match self {
            Caller::Client(id, name) => Who::Client(id, name),
            Caller::Address(address) => Who::Address(address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_is_one_and_a_mapped_address_is_ipv4() {
        let parse = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(
            counted(parse("2001:db8:1:2:3:4:5:6")),
            counted(parse("2001:db8:1:2:ffff::1"))
        );
        assert_ne!(
            counted(parse("2001:db8:1:2::1")),
            counted(parse("2001:db8:1:3::1"))
        );
        assert_eq!(counted(parse("::ffff:192.0.2.1")), parse("192.0.2.1"));
        assert_ne!(counted(parse("192.0.2.1")), counted(parse("192.0.2.2")));
    }

    #[test]
    fn what_to_wait_is_told_in_whole_seconds() {
        assert_eq!(Over::new(Limit::ClientRequests, 1).retry_after, 1);
        assert_eq!(
            Over::new(Limit::ClientRequests, 1_000_000_001).retry_after,
            2
        );
    }
}
