//! Idle connections to upstreams, kept by one worker for itself.

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use bytes::BytesMut;

use super::{endpoint::Endpoint, stream::Stream};

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
pub(crate) struct Pools(RefCell<HashMap<usize, Vec<Idle>>>);

impl Pools {
    /// A connection that is still open, as far as we have heard.
    pub(super) fn take(&self, endpoint: &Endpoint) -> Option<Box<Link>> {
        let mut pools = self.0.borrow_mut();
        let pool = pools.get_mut(&endpoint.id)?;
        while let Some(idle) = pool.pop() {
            if idle.link.stream.is_quiet() {
                return Some(idle.link);
            }
        }
        None
    }

    /// Keeps a connection that is between two requests, unless `limit` others are there already.
    pub(super) fn keep(&self, mut link: Box<Link>, now: u32, limit: usize) {
        if link.endpoint.is_retired() {
            return;
        }
        let mut pools = self.0.borrow_mut();
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
        self.0.borrow_mut().retain(|_, pool| {
            pool.retain(|idle| {
                now.saturating_sub(idle.since) < IDLE_MILLISECONDS
                    && !idle.link.endpoint.is_retired()
                    && idle.link.stream.is_quiet()
            });
            !pool.is_empty()
        });
    }
}
