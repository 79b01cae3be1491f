//! Idle connections to upstreams, kept by one worker for itself, and whose those are that are not idle.

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
use crate::worker::{Worker, age};

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
    /// Those over HTTP/2, and since when they are idle.
    free: RefCell<HashMap<usize, Vec<(http2::Connection, u32)>>>,
}

/// The connections over HTTP/2 on which requests of one client's connection run, and of nobody else's: what one client does
/// there, a server may take for a reason to end the connection, or not to read from it.
#[derive(Default)]
pub(crate) struct Lanes(RefCell<Vec<Lane>>);

/// Those to one place.
struct Lane {
    endpoint: usize,
    connections: Vec<http2::Connection>,
    /// Held while one is opened: whoever comes meanwhile waits for it.
    opening: Rc<Mutex<()>>,
}

/// Most places for which a client's connection keeps a lane that it does not use.
const MAX_EMPTY_LANES: usize = 8;

impl Lanes {
    /// A connection that takes another request: one of these, or one that nobody uses.
    pub(super) fn open(&self, endpoint: &Endpoint, pools: &Pools) -> Option<http2::Connection> {
        self.at(endpoint, |lane| {
            let one = lane.connections.iter().find(|one| one.has_room());
            one.cloned().or_else(|| {
                let one = pools.take_free(endpoint)?;
                lane.connections.push(one.clone());
                Some(one)
            })
        })
    }

    /// Who may open a connection to `endpoint`: one at a time.
    pub(super) fn opening(&self, endpoint: &Endpoint) -> Rc<Mutex<()>> {
        self.at(endpoint, |lane| lane.opening.clone())
    }

    pub(super) fn add(&self, connection: &http2::Connection) {
        self.at(connection.endpoint(), |lane| {
            lane.connections.push(connection.clone());
        });
    }

    fn remove(&self, connection: &http2::Connection) {
        self.at(connection.endpoint(), |lane| {
            lane.connections.retain(|one| !one.is(connection));
        });
    }

    fn at<T>(&self, endpoint: &Endpoint, act: impl FnOnce(&mut Lane) -> T) -> T {
        let mut lanes = self.0.borrow_mut();
        let known = lanes.iter().position(|lane| lane.endpoint == endpoint.id);
        let at = known.unwrap_or_else(|| {
            if lanes.len() >= MAX_EMPTY_LANES {
                lanes.retain(|lane| {
                    !lane.connections.is_empty() || Rc::strong_count(&lane.opening) > 1
                });
            }
            lanes.push(Lane {
                endpoint: endpoint.id,
                connections: Vec::new(),
                opening: Rc::default(),
            });
            lanes.len() - 1
        });
        act(&mut lanes[at])
    }
}

/// Where a connection over HTTP/2 goes when nothing runs on it any more.
pub(super) struct Home {
    pub(super) worker: Rc<Worker>,
    pub(super) lanes: Rc<Lanes>,
}

impl Home {
    pub(super) fn take_back(&self, connection: &http2::Connection) {
        self.lanes.remove(connection);
        let limit = self.worker.state().config.settings.limits.max_idle_upstream;
        let now = self.worker.now();
        self.worker.pools.keep_free(connection, now, limit);
    }
}

impl std::fmt::Debug for Home {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Home").finish_non_exhaustive()
    }
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

    /// A connection over HTTP/2 that nobody uses.
    fn take_free(&self, endpoint: &Endpoint) -> Option<http2::Connection> {
        let mut free = self.free.borrow_mut();
        let pool = free.get_mut(&endpoint.id)?;
        while let Some((connection, _)) = pool.pop() {
            if connection.has_room() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps one over HTTP/2 on which nothing runs, for whoever is next, unless `limit` others are there already.
    fn keep_free(&self, connection: &http2::Connection, now: u32, limit: usize) {
        let endpoint = connection.endpoint();
        if !connection.is_clean() || endpoint.is_retired() {
            return;
        }
        let mut free = self.free.borrow_mut();
        let pool = free.entry(endpoint.id).or_default();
        if pool.len() < limit {
            pool.push((connection.clone(), now));
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
        self.free.borrow_mut().retain(|_, pool| {
            pool.retain(|(connection, since)| {
                !connection.is_closed()
                    && !connection.endpoint().is_retired()
                    && age(*since, now) < IDLE_MILLISECONDS
            });
            !pool.is_empty()
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
    fn whoever_opens_a_connection_is_not_forgotten_meanwhile() {
        let lanes = Lanes::default();
        let all: Vec<_> = (0..2 * MAX_EMPTY_LANES)
            .map(|_| upstream().endpoints().remove(0))
            .collect();
        let opening = lanes.opening(&all[0]);
        for endpoint in &all {
            lanes.opening(endpoint);
        }
        assert!(Rc::ptr_eq(&opening, &lanes.opening(&all[0])));
        assert!(lanes.0.borrow().len() <= MAX_EMPTY_LANES + 1);
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
    async fn what_nobody_uses_ends_after_a_while_and_with_its_place() {
        let freed = async {
            let pools = Pools::default();
            let endpoint = &upstream().endpoints()[0];
            let mut far = Vec::new();
            let mut open = async || {
                let (near, other) = UnixStream::pair().expect("a pair");
                far.push(other);
                let scheme = http::uri::Scheme::HTTP;
                let started = http2::Connection::start(near, scheme, endpoint.clone()).await;
                started.expect("a connection")
            };
            let kept = || pools.free.borrow().values().map(Vec::len).sum::<usize>();
            let first = open().await;
            pools.keep_free(&first, 0, 1);
            // No more than so many.
            pools.keep_free(&open().await, 0, 1);
            assert_eq!(kept(), 1);
            pools.expire(IDLE_MILLISECONDS - 1);
            // Who has it has it alone.
            assert!((pools.take_free(endpoint)).is_some_and(|one| one.is(&first)));
            assert!(pools.take_free(endpoint).is_none());
            pools.keep_free(&first, 1, 1);
            pools.expire(IDLE_MILLISECONDS);
            assert_eq!(kept(), 1);
            pools.expire(IDLE_MILLISECONDS + 1);
            assert_eq!(kept(), 0);
            // One of which there is doubt nobody gets, neither when it was there already.
            pools.keep_free(&first, 0, 1);
            first.enter(None).doubt();
            assert!(pools.take_free(endpoint).is_none());
            pools.keep_free(&first, 0, 1);
            assert_eq!(kept(), 0);
            pools.keep_free(&open().await, 0, 1);
            endpoint.retire();
            assert_eq!(kept(), 1);
            pools.expire(0);
            assert_eq!(kept(), 0);
            pools.keep_free(&open().await, 0, 1);
            assert_eq!(kept(), 0);
        };
        tokio::task::LocalSet::new().run_until(freed).await;
    }

    #[tokio::test]
    async fn a_client_has_its_connections_alone() {
        let taken = async {
            let pools = Pools::default();
            let endpoint = &upstream().endpoints()[0];
            let (near, _far) = UnixStream::pair().expect("a pair");
            let scheme = http::uri::Scheme::HTTP;
            let started = http2::Connection::start(near, scheme, endpoint.clone()).await;
            let connection = started.expect("a connection");
            let (anna, bert) = (Lanes::default(), Lanes::default());
            let has = |lanes: &Lanes| lanes.open(endpoint, &pools).is_some();
            anna.add(&connection);
            assert!(has(&anna) && has(&anna) && !has(&bert));
            anna.remove(&connection);
            assert!(!has(&anna) && !has(&bert));
            pools.keep_free(&connection, 0, 8);
            assert!(has(&bert) && has(&bert) && !has(&anna));
        };
        tokio::task::LocalSet::new().run_until(taken).await;
    }
}
