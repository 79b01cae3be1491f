//! One place where a server of an upstream is reached, and what was counted there. All workers share it.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use rustls::pki_types::ServerName;

use crate::{
    counters::Sharded,
    settings::{
        upstream::{Address, Protocol, Upstream},
        upstream_tls::Tls,
    },
};

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
    pub(super) tls: Option<Secured>,
    /// What stands for it where clients are spread by hash: the same in every process.
    pub(super) hash: u64,
    /// Requests under way; counted only where there is a choice.
    active: AtomicUsize,
    requests: Sharded,
    failures: AtomicU64,
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
            tls: Secured::of(upstream, server),
            hash,
            active: AtomicUsize::new(0),
            requests: Sharded::default(),
            failures: AtomicU64::new(0),
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

    /// Counts a request that failed here.
    pub(super) fn count_failure(&self) {
        self.failures.fetch_add(1, Relaxed);
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
