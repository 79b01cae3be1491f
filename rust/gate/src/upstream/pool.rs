//! Idle connections to upstreams, kept by one worker for itself.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::BytesMut;
use tokio::{
    sync::Mutex,
    time::{Instant, Sleep, sleep_until},
};

use super::{endpoint::Endpoint, http2, stream::Stream};
use crate::worker::age;

/// How long a connection may wait to be used again, in milliseconds: shorter than most servers keep theirs.
const IDLE_MILLISECONDS: u32 = 30_000;

/// How long a connection is left alone after an answer that has no body, and behind which one may come all the same. Whoever
/// is next would take it for an answer.
const TRAIL_MILLISECONDS: u32 = 1_000;

/// Room for a head and a small body, so that most responses take one read.
pub(super) const INBOX_BYTES: usize = 8 * 1024;

/// What a connection begins with that belongs to one client's connection: a PROXY header.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Preface {
    /// The client's connection, by [`Pools::owner`].
    pub(crate) owner: u64,
    pub(crate) header: Box<[u8]>,
}

/// A connection and what was read from it but not yet looked at.
#[derive(Debug)]
pub(crate) struct Link {
    pub(super) stream: Stream,
    pub(super) inbox: BytesMut,
    /// Where it leads.
    pub(super) endpoint: Arc<Endpoint>,
    /// What it began with.
    preface: Option<Rc<Preface>>,
    /// Wakes whoever waits for an answer; see [`Link::poll_alarm`].
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Link {
    pub(super) fn new(
        stream: Stream,
        endpoint: Arc<Endpoint>,
        preface: Option<Rc<Preface>>,
    ) -> Box<Link> {
        Box::new(Link {
            stream,
            endpoint,
            preface,
            inbox: BytesMut::with_capacity(INBOX_BYTES),
            alarm: None,
        })
    }

    /// Ready when `deadline` has passed.
    ///
    /// The alarm stays set when an answer has come in time, and goes off in the midst of another exchange, which then sets it
    /// anew: once for many requests, none of which sets one only to take it back.
    pub(super) fn poll_alarm(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let alarm = (self.alarm).get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if alarm.deadline() > deadline {
            alarm.as_mut().reset(deadline);
        }
        while alarm.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    /// The stream, and what it sent after the head of a response that switched protocols.
    pub(crate) fn into_parts(self) -> (Stream, BytesMut) {
        (self.stream, self.inbox)
    }
}

struct Idle {
    link: Box<Link>,
    since: u32,
    may_trail: bool,
}

impl Idle {
    fn is_rested(&self, now: u32) -> bool {
        !self.may_trail || age(self.since, now) >= TRAIL_MILLISECONDS
    }
}

/// The idle connections, by the id of the place they lead to; the last one used is the first one used again.
#[derive(Default)]
pub(crate) struct Pools {
    idle: RefCell<HashMap<usize, Vec<Idle>>>,
    /// Those that belong to one client's connection, by its number.
    owned: RefCell<HashMap<u64, Vec<Idle>>>,
    last_owner: Cell<u64>,
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
    /// A number for a client's connection: what it begins with [`Preface`] is kept for it alone.
    pub(crate) fn owner(&self) -> u64 {
        self.last_owner.set(self.last_owner.get() + 1);
        self.last_owner.get()
    }

    /// Closes what was kept for a client's connection that has ended.
    pub(crate) fn forget(&self, owner: u64) {
        self.owned.borrow_mut().remove(&owner);
    }

    /// A connection that is still open, on which nothing has come since, and that began with `preface`.
    pub(super) fn take(
        &self,
        endpoint: &Endpoint,
        preface: Option<&Preface>,
        now: u32,
    ) -> Option<Box<Link>> {
        let Some(preface) = preface else {
            let mut pools = self.idle.borrow_mut();
            return last(pools.get_mut(&endpoint.id)?, |idle| idle.is_rested(now));
        };
        // A server takes what comes on a connection for what the client of its header says: the same one goes on, and
        // nobody else. The header is looked at whole, since a client can become another one.
        let mut owned = self.owned.borrow_mut();
        last(owned.get_mut(&preface.owner)?, |idle| {
            idle.link.endpoint.id == endpoint.id
                && (idle.link.preface.as_deref()).is_some_and(|began| began == preface)
                && idle.is_rested(now)
        })
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

    /// Keeps a connection that is between two requests, unless `limit` others are there already. Whether its last answer
    /// `may_trail` says its head.
    pub(super) fn keep(&self, mut link: Box<Link>, now: u32, limit: usize, may_trail: bool) {
        if link.endpoint.is_retired() {
            return;
        }
        let (mut idle, mut owned);
        let pool = match &link.preface {
            None => {
                idle = self.idle.borrow_mut();
                idle.entry(link.endpoint.id).or_default()
            }
            Some(preface) => {
                owned = self.owned.borrow_mut();
                owned.entry(preface.owner).or_default()
            }
        };
        // Those that nobody may use yet leave room for those that somebody can.
        let resting = pool.iter().filter(|idle| !idle.is_rested(now));
        if pool.len() < limit && !(may_trail && resting.count() >= limit / 4) {
            if link.inbox.capacity() > 4 * INBOX_BYTES {
                link.inbox = BytesMut::with_capacity(INBOX_BYTES);
            }
            pool.push(Idle {
                link,
                since: now,
                may_trail,
            });
        }
    }

    /// Closes those that have waited too long, that the upstream has closed, or whose place is gone.
    pub(crate) fn expire(&self, now: u32) {
        let stays = |pool: &mut Vec<Idle>| {
            pool.retain_mut(|idle| {
                age(idle.since, now) < IDLE_MILLISECONDS
                    && !idle.link.endpoint.is_retired()
                    && idle.link.stream.is_quiet()
            });
            !pool.is_empty()
        };
        self.idle.borrow_mut().retain(|_, pool| stays(pool));
        self.owned.borrow_mut().retain(|_, pool| stays(pool));
        self.shared.borrow_mut().retain(|_, pool| {
            pool.connections.retain_mut(|one| {
                if !one.connection.is_idle() {
                    one.idle_since = now;
                }
                !one.connection.is_closed()
                    && !pool.endpoint.is_retired()
                    && age(one.idle_since, now) < IDLE_MILLISECONDS
            });
            // Whoever opens one shares it, and others wait for that.
            !pool.connections.is_empty() || Rc::strong_count(&pool.opening) > 1
        });
    }
}

/// Takes the last one that fits and is quiet; closes those that are not.
fn last(pool: &mut Vec<Idle>, fits: impl Fn(&Idle) -> bool) -> Option<Box<Link>> {
    while let Some(at) = pool.iter().rposition(&fits) {
        let mut idle = pool.swap_remove(at);
        if idle.link.stream.is_quiet_now() {
            return Some(idle.link);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixStream;

    use super::*;
    use crate::upstream::group::tests::upstream;

    fn preface(owner: u64, header: &[u8]) -> Rc<Preface> {
        Rc::new(Preface {
            owner,
            header: header.into(),
        })
    }

    /// Which of connections that began so are given to whom.
    #[tokio::test]
    async fn what_began_with_a_clients_header_is_that_clients_alone() {
        let pools = Pools::default();
        let endpoints = upstream().endpoints();
        let mut far = Vec::new();
        let mut keep = |preface: Option<&Rc<Preface>>| {
            let (near, other) = UnixStream::pair().expect("a pair");
            far.push(other);
            let link = Link::new(Stream::Unix(near), endpoints[0].clone(), preface.cloned());
            pools.keep(link, 0, 8, false);
        };
        let takes = |preface: Option<&Rc<Preface>>| {
            let preface = preface.map(Rc::as_ref);
            pools.take(&endpoints[0], preface, 0).is_some()
        };
        let (first, second) = (pools.owner(), pools.owner());
        assert_ne!(first, second);
        let anna = preface(first, b"anna");
        keep(Some(&anna));
        keep(Some(&preface(second, b"bert")));
        // Another client, though its header were the same; the same one, admitted as another; and who names nobody.
        assert!(!takes(Some(&preface(pools.owner(), b"anna"))));
        assert!(!takes(Some(&preface(first, b"bert"))));
        assert!(!takes(None));
        assert!(pools.take(&endpoints[1], Some(&anna), 0).is_none());
        assert!(takes(Some(&preface(first, b"anna"))));
        assert!(!takes(Some(&anna)));
        // Nobody names somebody on a connection of all.
        keep(None);
        assert!(!takes(Some(&anna)));
        assert!(takes(None));
    }

    #[test]
    fn whoever_opens_a_connection_for_all_is_not_forgotten_meanwhile() {
        let pools = Pools::default();
        let endpoints = upstream().endpoints();
        let opening = pools.opening(&endpoints[0]);
        pools.expire(0);
        assert!(Rc::ptr_eq(&opening, &pools.opening(&endpoints[0])));
        drop(opening);
        pools.expire(0);
        assert!(pools.shared.borrow().is_empty());
    }

    #[tokio::test]
    async fn it_ends_with_the_clients_connection() {
        let pools = Pools::default();
        let endpoints = upstream().endpoints();
        let preface = preface(pools.owner(), b"anna");
        let (near, mut far) = UnixStream::pair().expect("a pair");
        let link = Link::new(
            Stream::Unix(near),
            endpoints[0].clone(),
            Some(preface.clone()),
        );
        pools.keep(link, 0, 8, false);
        pools.forget(preface.owner);
        let mut byte = [0];
        let read = tokio::io::AsyncReadExt::read(&mut far, &mut byte);
        assert_eq!(read.await.expect("its end"), 0);
        assert!(pools.take(&endpoints[0], Some(&preface), 0).is_none());
    }

    /// A connection to `endpoint`, and its other end.
    fn link(endpoint: &Arc<Endpoint>) -> (Box<Link>, UnixStream) {
        let (near, far) = UnixStream::pair().expect("a pair");
        (Link::new(Stream::Unix(near), endpoint.clone(), None), far)
    }

    #[tokio::test]
    async fn what_has_come_is_seen_though_nobody_has_told_of_it() {
        let pools = Pools::default();
        let endpoint = &upstream().endpoints()[0];
        for says_something in [false, true] {
            let (near, mut far) = std::os::unix::net::UnixStream::pair().expect("a pair");
            near.set_nonblocking(true).expect("an open socket");
            let near = UnixStream::from_std(near).expect("a socket");
            let link = Link::new(Stream::Unix(near), endpoint.clone(), None);
            pools.keep(link, 0, 8, false);
            if says_something {
                std::io::Write::write_all(&mut far, b"x").expect("room");
            }
            // Nothing was waited for meanwhile.
            let taken = pools.take(endpoint, None, 0);
            assert_eq!(taken.is_some(), !says_something);
        }
    }

    #[tokio::test]
    async fn what_may_yet_say_a_body_is_left_alone_for_a_while() {
        let pools = Pools::default();
        let endpoint = &upstream().endpoints()[0];
        let (first, _far) = link(endpoint);
        pools.keep(first, 10, 8, true);
        let takes = |now| pools.take(endpoint, None, now).is_some();
        assert!(!takes(10 + TRAIL_MILLISECONDS - 1));
        // Others are used meanwhile.
        let (second, _far) = link(endpoint);
        pools.keep(second, 10, 8, false);
        assert!(takes(10) && !takes(10));
        assert!(takes(10 + TRAIL_MILLISECONDS));
        // They take no others' place.
        let (many, _far): (Vec<_>, Vec<_>) = (0..8).map(|_| link(endpoint)).unzip();
        for link in many {
            pools.keep(link, 10, 8, true);
        }
        let takes = |_: &i32| {
            pools
                .take(endpoint, None, 10 + TRAIL_MILLISECONDS)
                .is_some()
        };
        assert_eq!((0..8).take_while(takes).count(), 2);
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded() {
        let pools = Pools::default();
        let endpoint = &upstream().endpoints()[0];
        let (all, _far): (Vec<_>, Vec<_>) = (0..3).map(|_| link(endpoint)).unzip();
        for mut link in all {
            link.inbox.reserve(5 * INBOX_BYTES);
            pools.keep(link, 0, 2, false);
        }
        for _ in 0..2 {
            let link = pools.take(endpoint, None, 0).expect("a connection");
            assert_eq!(link.inbox.capacity(), INBOX_BYTES);
        }
        assert!(pools.take(endpoint, None, 0).is_none());
    }

    #[tokio::test]
    async fn what_is_kept_ends_after_a_while_and_with_its_place() {
        let pools = Pools::default();
        let endpoint = &upstream().endpoints()[0];
        let keep = || {
            let (link, far) = link(endpoint);
            pools.keep(link, 0, 8, false);
            far
        };
        let is_kept = || !pools.idle.borrow().values().all(Vec::is_empty);
        let _far = keep();
        // When the clock began anew, that was just now.
        let (newer, _newer) = self::link(endpoint);
        pools.keep(newer, u32::MAX - 1, 8, false);
        pools.expire(8);
        assert!(is_kept());
        pools.expire(IDLE_MILLISECONDS - 2);
        pools.expire(IDLE_MILLISECONDS - 1);
        assert!(is_kept());
        pools.expire(IDLE_MILLISECONDS);
        assert!(!is_kept());
        let _far = keep();
        endpoint.retire();
        assert!(is_kept());
        pools.expire(0);
        assert!(!is_kept());
        let _far = keep();
        assert!(!is_kept());
    }

    #[tokio::test]
    async fn what_is_shared_ends_after_a_while_without_a_request_and_with_its_place() {
        let shared = async {
            let pools = Pools::default();
            let endpoint = &upstream().endpoints()[0];
            let mut far = Vec::new();
            let mut share = async |now| {
                let (near, other) = UnixStream::pair().expect("a pair");
                far.push(other);
                let started = http2::Connection::start(near, http::uri::Scheme::HTTP).await;
                let connection = started.expect("a connection");
                drop(pools.opening(endpoint));
                pools.share(endpoint, connection.clone(), now);
                connection
            };
            let is_kept = || {
                !pools
                    .shared
                    .borrow()
                    .values()
                    .all(|one| one.connections.is_empty())
            };
            let place = share(0).await.enter();
            pools.expire(IDLE_MILLISECONDS);
            assert!(pools.shared(endpoint).is_some());
            drop(place);
            pools.expire(2 * IDLE_MILLISECONDS - 1);
            assert!(pools.shared(endpoint).is_some());
            pools.expire(2 * IDLE_MILLISECONDS);
            assert!(!is_kept());
            // One of which there is doubt takes nothing more.
            share(0).await.enter().doubt();
            assert!(is_kept() && pools.shared(endpoint).is_none());
            pools.expire(0);
            assert!(!is_kept());
            share(0).await;
            endpoint.retire();
            assert!(is_kept());
            pools.expire(0);
            assert!(!is_kept());
            share(0).await;
            assert!(!is_kept());
        };
        tokio::task::LocalSet::new().run_until(shared).await;
    }
}
