//! Idle connections to upstreams, kept by one worker for itself.

use std::{cell::RefCell, collections::HashMap};

use bytes::BytesMut;

use super::stream::Stream;

/// How long a connection may wait to be used again, in milliseconds: shorter than most servers keep theirs.
const IDLE_MILLISECONDS: u32 = 30_000;

/// Room for a head and a small body, so that most responses take one read.
pub(super) const INBOX_BYTES: usize = 8 * 1024;

/// A connection and what was read from it but not yet looked at.
#[derive(Debug)]
pub(crate) struct Link {
    pub(super) stream: Stream,
    pub(super) inbox: BytesMut,
}

impl Link {
    pub(super) fn new(stream: Stream) -> Box<Link> {
        Box::new(Link {
            stream,
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

/// The idle connections, by the upstream's id; the last one used is the first one used again.
#[derive(Default)]
pub(crate) struct Pools(RefCell<HashMap<usize, Vec<Idle>>>);

impl Pools {
    /// A connection that is still open, as far as we have heard.
    pub(super) fn take(&self, upstream: usize) -> Option<Box<Link>> {
        let mut pools = self.0.borrow_mut();
        let pool = pools.get_mut(&upstream)?;
        while let Some(idle) = pool.pop() {
            if idle.link.stream.is_quiet() {
                return Some(idle.link);
            }
        }
        None
    }

    /// Keeps a connection that is between two requests, unless `limit` others are there already.
    pub(super) fn keep(&self, upstream: usize, mut link: Box<Link>, now: u32, limit: usize) {
        let mut pools = self.0.borrow_mut();
        let pool = pools.entry(upstream).or_default();
        if pool.len() < limit {
            if link.inbox.capacity() > 4 * INBOX_BYTES {
                link.inbox = BytesMut::with_capacity(INBOX_BYTES);
            }
            pool.push(Idle { link, since: now });
        }
    }

    /// Closes those that have waited too long or that the upstream has closed.
    pub(crate) fn expire(&self, now: u32) {
        self.0.borrow_mut().retain(|_, pool| {
            pool.retain(|idle| {
                now.saturating_sub(idle.since) < IDLE_MILLISECONDS && idle.link.stream.is_quiet()
            });
            !pool.is_empty()
        });
    }
}
