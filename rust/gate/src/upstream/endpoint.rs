//! One place where a server of an upstream is reached, and what was counted there. All workers share it.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use rustls::pki_types::ServerName;

use crate::{
    counters::Sharded,
    settings::{
        upstream::{Address, Health, Protocol, SendProxy, Upstream},
        upstream_tls::Tls,
    },
};

/// How often the time for which a server is left out grows.
const MOST_TIMES: u32 = 10;

/// Milliseconds since the first call in this process, and a bit: never 0.
pub(super) fn now_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let since = START.get_or_init(Instant::now).elapsed();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX / 2) + 1
}

/// Where to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Ip(SocketAddr),
    /// Looked up with each new connection.
    Name(String, u16),
    Unix(std::path::PathBuf),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Ip(address) => write!(f, "{address}"),
            Target::Name(host, port) => write!(f, "{host}:{port}"),
            Target::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A place to go.
pub(crate) struct Endpoint {
    /// Never used twice: a pool must not hand out connections to what had this id before.
    pub(super) id: usize,
    /// The server as it is set.
    pub(super) server: Address,
    pub(super) target: Target,
    pub(super) protocol: Protocol,
    pub(super) send_proxy: Option<SendProxy>,
    pub(super) tls: Option<Secured>,
    /// What stands for it where clients are spread by hash: the same in every process.
    pub(super) hash: u64,
    /// Requests under way; counted only where there is a choice.
    active: AtomicUsize,
    requests: Sharded,
    failures: AtomicU64,
    retries: AtomicU64,
    ejections: AtomicU64,
    /// Failures since the last success.
    failing: AtomicU32,
    /// How often in a row it was left out.
    spell: AtomicU32,
    /// Until when it is left out for its failures, and from when on it comes back slowly, by [`now_ms`].
    out_until: AtomicU64,
    back_since: AtomicU64,
    /// What the checks say, and answers in a row that say otherwise.
    well: AtomicBool,
    streak: AtomicU32,
    next_check: AtomicU64,
    /// Whether its connections are closed when they are next free.
    retired: AtomicBool,
}

impl Endpoint {
    pub(super) fn new(upstream: &Upstream, server: &Address, target: Target) -> Arc<Endpoint> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let hash = super::choose::hash_of(format!("{server} {target:?}").as_bytes());
        Arc::new(Endpoint {
            id: NEXT.fetch_add(1, Relaxed),
            server: server.clone(),
            target,
            protocol: upstream.protocol,
            send_proxy: upstream.send_proxy,
            tls: Secured::of(upstream, server),
            hash,
            active: AtomicUsize::new(0),
            requests: Sharded::default(),
            failures: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            ejections: AtomicU64::new(0),
            failing: AtomicU32::new(0),
            spell: AtomicU32::new(0),
            out_until: AtomicU64::new(0),
            back_since: AtomicU64::new(0),
            well: AtomicBool::new(true),
            streak: AtomicU32::new(0),
            next_check: AtomicU64::new(0),
            retired: AtomicBool::new(false),
        })
    }

    /// The place of a server for which nothing has to be looked up, or for which nothing has been yet.
    pub(super) fn of_server(upstream: &Upstream, server: &Address) -> Arc<Endpoint> {
        let target = match server {
            Address::Tcp { host, port, .. } => match host.parse() {
                Ok(ip) => Target::Ip(SocketAddr::new(ip, *port)),
                Err(_) => Target::Name(host.clone(), *port),
            },
            Address::Unix(path) => Target::Unix(path.clone()),
        };
        Endpoint::new(upstream, server, target)
    }

    /// Whether it is one of `server` as `upstream` is set.
    pub(super) fn is_of(&self, upstream: &Upstream, server: &Address) -> bool {
        !self.is_retired()
            && self.server == *server
            && self.protocol == upstream.protocol
            && self.send_proxy == upstream.send_proxy
            && self.tls.as_ref().map(|mine| &mine.tls)
                == upstream.tls.as_ref().filter(|_| is_tls(server))
    }

    /// Requests under way.
    pub(super) fn active(&self) -> usize {
        self.active.load(Relaxed)
    }

    /// Requests that were sent here.
    pub(super) fn requests(&self) -> u64 {
        self.requests.sum()
    }

    /// Those of them that it did not answer.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    /// Counts a request that is sent here.
    pub(super) fn count_request(&self) {
        self.requests.add(1);
    }

    /// Counts a request that failed here; gives how many have in a row.
    pub(super) fn count_failure(&self) -> u32 {
        self.failures.fetch_add(1, Relaxed);
        self.failing.fetch_add(1, Relaxed).saturating_add(1)
    }

    /// Notes a request that was answered.
    pub(super) fn succeeded(&self) {
        // Written only where something changes: all workers read this line.
        if self.failing.load(Relaxed) != 0 {
            self.failing.store(0, Relaxed);
        }
    }

    /// Counts a request that went elsewhere after it failed here.
    pub(super) fn count_retry(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    pub(super) fn retries(&self) -> u64 {
        self.retries.load(Relaxed)
    }

    pub(super) fn ejections(&self) -> u64 {
        self.ejections.load(Relaxed)
    }

    pub(super) fn is_well(&self) -> bool {
        self.well.load(Relaxed)
    }

    pub(super) fn is_ejected(&self, now: u64) -> bool {
        self.out_until.load(Relaxed) > now
    }

    pub(super) fn is_usable(&self, now: u64) -> bool {
        self.is_well() && !self.is_ejected(now)
    }

    /// When it may be used again, if it is left out for its failures.
    pub(super) fn out_until(&self) -> u64 {
        self.out_until.load(Relaxed)
    }

    /// Leaves it out for `time`, and for longer each time that soon follows another.
    pub(super) fn eject(&self, time: Duration, now: u64) {
        let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 64);
        let was = self.out_until.load(Relaxed);
        let calm = was + time * u64::from(MOST_TIMES) < now;
        let spell = if calm {
            1
        } else {
            self.spell.load(Relaxed) + 1
        }
        .min(MOST_TIMES);
        self.spell.store(spell, Relaxed);
        let until = now + time * u64::from(spell);
        self.back_since.store(until, Relaxed);
        self.out_until.store(until, Relaxed);
        self.failing.store(0, Relaxed);
        self.ejections.fetch_add(1, Relaxed);
    }

    /// Lets it come in slowly from now on.
    pub(super) fn begin_slowly(&self) {
        self.back_since.store(now_ms(), Relaxed);
    }

    /// The share of its share that it gets now, in percent.
    pub(super) fn share(&self, now: u64, slow_start: Duration) -> usize {
        let since = self.back_since.load(Relaxed);
        let whole = u64::try_from(slow_start.as_millis()).unwrap_or(u64::MAX);
        let gone = now.saturating_sub(since);
        if since == 0 || gone >= whole {
            return 100;
        }
        usize::try_from(gone.saturating_mul(90) / whole.max(1)).unwrap_or(90) + 10
    }

    /// Whether it is time to ask how it is; if so, notes when the next time is.
    pub(super) fn is_due(&self, now: u64, interval: Duration) -> bool {
        let due = self.next_check.load(Relaxed);
        if now < due {
            return false;
        }
        self.next_check
            .store(now + super::keep::jittered(interval), Relaxed);
        // The first checks are spread, too, but over a tenth of the time.
        due != 0 || super::choose::draw(10) < 9
    }

    /// Notes what a check found.
    pub(super) fn checked(&self, well: bool, health: &Health, slow_start: Duration) {
        if well == self.is_well() {
            self.streak.store(0, Relaxed);
            return;
        }
        let needed = if well { health.rise } else { health.fall };
        if self.streak.fetch_add(1, Relaxed) + 1 >= needed {
            self.streak.store(0, Relaxed);
            if well && !slow_start.is_zero() {
                self.begin_slowly();
            }
            self.well.store(well, Relaxed);
        }
    }

    /// The server as it is set.
    pub(super) fn label(&self) -> String {
        match (&self.server, self.protocol) {
            (Address::Tcp { .. }, Protocol::Stream) => format!("tcp://{}", self.authority()),
            (server, _) => server.to_string(),
        }
    }

    /// What a check names as its host.
    pub(super) fn authority(&self) -> String {
        match &self.server {
            Address::Tcp { host, port, .. } if host.contains(':') => format!("[{host}]:{port}"),
            Address::Tcp { host, port, .. } => format!("{host}:{port}"),
            Address::Unix(_) => "localhost".to_owned(),
        }
    }

    /// Closes its connections when they are next free: nobody is sent here any more.
    pub(super) fn retire(&self) {
        self.retired.store(true, Relaxed);
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Relaxed)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("id", &self.id)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

/// TLS to a place, and whom it has to be.
#[derive(Debug)]
pub(super) struct Secured {
    pub(super) tls: Tls,
    pub(super) name: ServerName<'static>,
}

impl Secured {
    fn of(upstream: &Upstream, server: &Address) -> Option<Secured> {
        let Address::Tcp {
            host, tls: true, ..
        } = server
        else {
            return None;
        };
        let tls = upstream.tls.clone()?;
        let name = match &tls.server_name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.clone()).ok()?,
        };
        Some(Secured { tls, name })
    }
}

fn is_tls(server: &Address) -> bool {
    matches!(server, Address::Tcp { tls: true, .. })
}

/// A request under way at a place; dropped, it is over.
#[derive(Debug)]
pub(crate) struct UnderWay(Arc<Endpoint>);

impl UnderWay {
    pub(super) fn new(endpoint: &Arc<Endpoint>) -> UnderWay {
        endpoint.active.fetch_add(1, Relaxed);
        UnderWay(endpoint.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Relaxed);
    }
}
