//! Idle connections to upstreams, kept by one worker for itself.

use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::Arc};

use bytes::BytesMut;
use tokio::sync::Mutex;

use super::{endpoint::Endpoint, http2, stream::Stream};

/// How long a connection may wait to be used again, in milliseconds: shorter than most servers keep theirs.
const IDLE_MILLISECONDS: u32 = 30_000;

/// Room for a head and a small body, so that most responses take one read.
pub(super) const INBOX_BYTES: usize = 8 * 1024;

/// A connection and what was read from it but not yet looked at.
#[derive(Debug)]
pub(crate) struct Link {
    pub(super) stream: Stream,
    pub(super) inbox: BytesMut,
    /// Where it leads.
    pub(super) endpoint: Arc<Endpoint>,
}

impl Link {
    pub(super) fn new(stream: Stream, endpoint: Arc<Endpoint>) -> Box<Link> {
        Box::new(Link {
            stream,
            endpoint,
            inbox: BytesMut::with_capacity(INBOX_BYTES),
        })
    }

    /// The stream, and what it sent after the head of a response that switched protocols.
    pub(crate) fn into_parts(self) -> (Stream, BytesMut) {
        (self.stream, self.inbox)
    }
}

struct Idle {
    link: Box<Link>,
    since: u32,
}

/// The idle connections, by the id of the place they lead to; the last one used is the first one used again.
#[derive(Default)]
pub(crate) struct Pools {
    idle: RefCell<HashMap<usize, Vec<Idle>>>,
    shared: RefCell<HashMap<usize, Shared>>,
}

/// Connections over HTTP/2 to one place, in use or not.
struct Shared {
    endpoint: Arc<Endpoint>,
    connections: Vec<One>,
    /// Held while one is opened: whoever comes meanwhile waits for it.
    opening: Rc<Mutex<()>>,
}

struct One {
    connection: http2::Connection,
    idle_since: u32,
}

impl Pools {
    /// A connection that is still open, as far as we have heard.
    pub(super) fn take(&self, endpoint: &Endpoint) -> Option<Box<Link>> {
        let mut pools = self.idle.borrow_mut();
        let pool = pools.get_mut(&endpoint.id)?;
        while let Some(mut idle) = pool.pop() {
            if idle.link.stream.is_quiet() {
                return Some(idle.link);
            }
        }
        None
    }

    /// A connection over HTTP/2 that takes another request.
    pub(super) fn shared(&self, endpoint: &Endpoint) -> Option<http2::Connection> {
        let shared = self.shared.borrow();
        let mut all = shared.get(&endpoint.id)?.connections.iter();
        let one = all.find(|one| one.connection.has_room())?;
        Some(one.connection.clone())
    }

    /// Who may open a connection to `endpoint` over HTTP/2: one at a time.
    pub(super) fn opening(&self, endpoint: &Arc<Endpoint>) -> Rc<Mutex<()>> {
        let mut shared = self.shared.borrow_mut();
        let pool = shared.entry(endpoint.id).or_insert_with(|| Shared {
            endpoint: endpoint.clone(),
            connections: Vec::new(),
            opening: Rc::default(),
        });
        pool.opening.clone()
    }

    /// Lets others use a connection, too.
    pub(super) fn share(&self, endpoint: &Endpoint, connection: http2::Connection, now: u32) {
        if let Some(pool) = self.shared.borrow_mut().get_mut(&endpoint.id)
            && !endpoint.is_retired()
        {
            pool.connections.push(One {
                connection,
                idle_since: now,
            });
        }
    }

    /// Keeps a connection that is between two requests, unless `limit` others are there already.
    pub(super) fn keep(&self, mut link: Box<Link>, now: u32, limit: usize) {
        if link.endpoint.is_retired() {
            return;
        }
        let mut pools = self.idle.borrow_mut();
        let pool = pools.entry(link.endpoint.id).or_default();
        if pool.len() < limit {
            if link.inbox.capacity() > 4 * INBOX_BYTES {
                link.inbox = BytesMut::with_capacity(INBOX_BYTES);
            }
            pool.push(Idle { link, since: now });
        }
    }

    /// Closes those that have waited too long, that the upstream has closed, or whose place is gone.
    pub(crate) fn expire(&self, now: u32) {
        self.idle.borrow_mut().retain(|_, pool| {
            pool.retain_mut(|idle| {
                now.saturating_sub(idle.since) < IDLE_MILLISECONDS
                    && !idle.link.endpoint.is_retired()
                    && idle.link.stream.is_quiet()
            });
            !pool.is_empty()
        });
        self.shared.borrow_mut().retain(|_, pool| {
            pool.connections.retain_mut(|one| {
                if !one.connection.is_idle() {
                    one.idle_since = now;
                }
                !one.connection.is_closed()
                    && !pool.endpoint.is_retired()
                    && now.saturating_sub(one.idle_since) < IDLE_MILLISECONDS
            });
            !pool.connections.is_empty()
        });
    }
}
