//! One client's connection: who it is, at which epoch that was judged, what runs on it, and how it ends.
//!
//! Knows time limits and when to judge again. Does not know what a request is about ([`crate::request`]).

use std::{
    cell::{Cell, OnceCell, RefCell},
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use http::{HeaderValue, uri::PathAndQuery};
use judge::{Admission, Reason, Site, Verdict, record::Mode};

use crate::{
    client_io::{Phase, Progress},
    counters::{Flow, Limit},
    event::Scene,
    identity::{
        Dialects, TlsFacts, forwarded,
        link::{self, Link},
    },
    introduction::Introduction,
    ledger,
    limits::{self, Held, Over, Pace, Slowest},
    standing::{Standing, judge, unix_now},
    state::{State, TimeoutsMs},
    upstream::{Lanes, Preface, Upstream},
    worker::{Worker, age},
};

/// How long a client has to take the last words of a connection, in milliseconds.
const LINGER_MILLISECONDS: u32 = 2_000;

/// How long a client that was refused may take for each thing it does, in milliseconds.
const STRANGER_MILLISECONDS: u32 = 5_000;

/// How long a first request is waited for, to tell the control plane what was shown together with the path, in
/// milliseconds.
const SILENT_MILLISECONDS: u32 = 400;

/// How long a connection keeps the memory of HTTP while it idles, in milliseconds: a busy one does not give it back and ask
/// for it again with each request.
const PARK_MILLISECONDS: u32 = 200;

/// How long an idle connection may bring one more request while another process has taken over, in milliseconds. A client
/// that uses its connection does so within this; one that does not is told the end as after any idle time.
const IN_TURN_MILLISECONDS: u32 = 3_000;

/// What is idle, or stuck, for less is not closed to make room, in milliseconds.
const SPARED_MILLISECONDS: u32 = 500;

/// HTTP/2 streams that a client may abandon in vain before its connection is cut (CVE-2023-44487): a browser that leaves a
/// large page abandons dozens.
const MAX_ABANDONED: u32 = 200;

/// What the handshake told.
pub(crate) struct Met {
    pub(crate) peer: SocketAddr,
    /// What the client has connected to, here or at the balancer that sent it.
    pub(crate) local: SocketAddr,
    pub(crate) port: u16,
    /// The name that the client asked for; empty for none.
    pub(crate) sni: Box<str>,
    pub(crate) is_h2: bool,
    /// The version of TLS.
    pub(crate) version: &'static str,
    /// The IANA name of the cipher suite.
    pub(crate) cipher: &'static str,
    /// The IANA name of the group in which keys were agreed on, or empty.
    pub(crate) group: &'static str,
    pub(crate) resumed: bool,
    /// How long the handshake took, from the first byte that was waited for.
    pub(crate) took: Duration,
    /// The protocol that was agreed on (RFC 7301), or empty.
    pub(crate) alpn: &'static str,
    /// Made when a request asks.
    pub(crate) facts: OnceCell<Box<HeaderValue>>,
}

impl Met {
    /// What routes are told that pass TLS facts on.
    pub(crate) fn facts(&self) -> &HeaderValue {
        self.facts.get_or_init(|| {
            let facts = TlsFacts {
                version: self.version,
                cipher: self.cipher,
                group: self.group,
                resumed: self.resumed,
                sni: &self.sni,
                alpn: self.alpn,
            };
            Box::new(facts.value())
        })
    }
}

/// A connection whose handshake is done.
pub(crate) struct Connection {
    pub(crate) worker: Rc<Worker>,
    pub(crate) slot: Cell<usize>,
    pub(crate) met: Met,
    /// Whether what comes through TLS is passed on unread.
    pub(crate) is_stream: bool,
    pub(crate) progress: Arc<Progress>,
    /// The fields about where a request comes from, for the authority that was asked for last.
    hop: RefCell<Option<KnownHop>>,
    /// What services are told that want to tell connections apart; made when one asks.
    session: OnceCell<Box<str>>,
    /// What it needs where a service wants the PROXY header; made when one asks.
    introduction: OnceCell<Box<Introduction>>,
    /// Where its requests run over HTTP/2, if they do.
    pub(crate) lanes: OnceCell<Rc<Lanes>>,
    standing: RefCell<Rc<Standing>>,
    requests: RefCell<Vec<Option<Running>>>,
    running: Cell<usize>,
    /// The client was refused, and there is nothing here for it but the page that says so.
    pub(crate) stranger: Cell<bool>,
    served: Cell<u32>,
    abandoned: Cell<u32>,
    /// Its turn to leave, when the gate drains.
    pub(crate) turn: Cell<u8>,
    /// Since when it idles while the gate drains, by the worker's clock; 0 for not.
    leaving_since: Cell<u32>,
    /// Whether the worker's clock has asked for it to be parked.
    parking: Cell<bool>,
    ending: Cell<Ending>,
    /// Whether the control plane was told what was shown here, if that is news.
    told: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    /// Its share of what the client and the site may have.
    held: OnceCell<Box<Held>>,
    /// There was no share for it: its first request is told so.
    pub(crate) over: Cell<Option<Over>>,
}

/// An authority, the dialects that its service is told about the connection in, and the fields of requests to it.
type KnownHop = (Box<str>, Dialects, Rc<[u8]>);

/// A request that is not yet answered to the end.
struct Running {
    /// What it was permitted for; `None` until then.
    granted: Option<Granted>,
    /// Whether the client still has something to say: its body is not all here, or it is a WebSocket.
    receiving: bool,
    /// Whether the answer has begun. Then both may take their time: a stream of gRPC can be silent for hours.
    answering: bool,
    /// Since when its body is waited for; 1 is "just now", 0 "not".
    waits_since: u32,
    /// Since when the client does not take what there is of the answer; likewise. A closed HTTP/2 window blocks no socket.
    owed_since: u32,
    /// How fast its body comes.
    upload: Pace,
    /// How fast its answer is taken.
    download: Pace,
    /// The client says things when there is something to say: how fast is its own affair.
    converses: bool,
    /// Its body came too slowly: it is told so instead of waited for.
    is_late: bool,
    /// The task of the request, to be woken where it waits for the client and does not hear from the connection.
    waker: Option<Waker>,
}

/// Has the task of `cx` woken by what is in `slot`.
fn keep(slot: &mut Option<Waker>, cx: &Context<'_>) {
    if !(slot.as_ref()).is_some_and(|waker| waker.will_wake(cx.waker())) {
        *slot = Some(cx.waker().clone());
    }
}

/// A permit is given for a place; when trust changes, it is asked for again.
struct Granted {
    target: PathAndQuery,
    admission: Option<Arc<Admission>>,
}

impl Granted {
    /// Whoever was somebody does not go on as nobody, nor as somebody else. Who was nobody and became a client goes on as
    /// nobody: the request that made it one is to be answered.
    ///
    /// The portal, which hears of everybody, still answers what it has heard to the end: the request that replaced a
    /// certificate is one of those.
    fn is_lost(&self, now: Option<&Arc<Admission>>) -> bool {
        self.admission
            .as_ref()
            .is_some_and(|then| now.map(|now| now.client().id) != Some(then.client().id))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Not asked for.
    No,
    /// After what runs.
    Soon,
    /// At once.
    Now,
}

impl Connection {
    /// Enters the connection at its worker.
    pub(crate) fn new(
        worker: Rc<Worker>,
        met: Met,
        standing: Rc<Standing>,
        is_stream: bool,
    ) -> Rc<Connection> {
        let connection = Rc::new(Connection {
            slot: Cell::new(0),
            met,
            is_stream,
            progress: Arc::default(),
            hop: RefCell::default(),
            session: OnceCell::new(),
            introduction: OnceCell::new(),
            lanes: OnceCell::new(),
            standing: RefCell::new(standing),
            requests: RefCell::default(),
            running: Cell::new(0),
            stranger: Cell::new(false),
            served: Cell::new(0),
            abandoned: Cell::new(0),
            turn: Cell::new(0),
            leaving_since: Cell::new(0),
            parking: Cell::new(false),
            ending: Cell::new(Ending::No),
            told: Cell::new(false),
            waker: RefCell::default(),
            held: OnceCell::new(),
            over: Cell::new(None),
            worker,
        });
        connection.worker.register(&connection);
        connection
    }

    /// The site of the handshake, as it is now: it may have gone since.
    pub(crate) fn site<'a>(&self, state: &'a State) -> Option<&'a Site> {
        match &*self.met.sni {
            "" => state.snapshot.default_site(),
            name => state.snapshot.site_of(name),
        }
    }

    /// What the judge says about the client now. Asked again when the epoch has moved or a certificate's time is up.
    pub(crate) fn standing(&self, state: &State) -> Rc<Standing> {
        let at = unix_now();
        let mut standing = self.standing.borrow_mut();
        if !standing.holds(&state.snapshot, at) {
            let next = judge(&standing.chain, at, &state.snapshot);
            *standing = next;
            self.told.set(false);
        }
        standing.clone()
    }

    /// What the judge last said.
    pub(crate) fn known(&self) -> Rc<Standing> {
        self.standing.borrow().clone()
    }

    /// Keeps what it holds of limits until it ends.
    pub(crate) fn hold(&self, held: Box<Held>) {
        // Called once, after the handshake.
        let _ = self.held.set(held);
    }

    /// Lets it live only to be told that there are too many.
    pub(crate) fn turn_away(&self, over: Over) {
        self.over.set(Some(over));
        self.stranger.set(true);
    }

    /// Whether the judge last said that this is one of our clients.
    fn is_admitted(&self) -> bool {
        self.standing.borrow().is_admitted()
    }

    /// Whether there is nothing here for the client but to be told why.
    pub(crate) fn is_stranger(&self) -> bool {
        let is_closed = || (self.site(&self.worker.state())).is_none_or(Site::requires);
        self.stranger.get() || (!self.is_admitted() && is_closed())
    }

    /// `Host`, `Forwarded` and its elder relatives for a request to `authority`, and what `dialects` say about the
    /// connection: fields, each with its CRLF.
    pub(crate) fn hop(&self, authority: &str, dialects: Dialects) -> Rc<[u8]> {
        let mut hop = self.hop.borrow_mut();
        if let Some((known, told, fields)) = &*hop
            && **known == *authority
            && *told == dialects
        {
            return fields.clone();
        }
        let forwarded = forwarded(self.met.peer.ip(), authority, self.met.port, "https");
        let link = if dialects == Dialects::NONE {
            Vec::new()
        } else {
            let id = self
                .session
                .get_or_init(|| self.worker.request_ids.next().as_str().into());
            let link = Link {
                version: self.met.version,
                cipher: self.met.cipher,
                id,
            };
            link::fields(dialects, link)
        };
        let fields: Rc<[u8]> = [
            b"host: ",
            authority.as_bytes(),
            b"\r\n",
            forwarded.as_bytes(),
            &link,
        ]
        .concat()
        .into();
        *hop = Some((authority.into(), dialects, fields.clone()));
        fields
    }

    /// How a server of `upstream` is told about the client, if it wants to be: as `admission`, or as nobody.
    pub(crate) fn introduce(
        &self,
        upstream: &Upstream,
        standing: &Standing,
        admission: Option<&Arc<Admission>>,
    ) -> Option<Rc<Preface>> {
        let version = upstream.send_proxy?;
        let introduction = (self.introduction)
            .get_or_init(|| Box::new(Introduction::new(self.worker.pools.owner())));
        Some(introduction.of(version, &self.met, &standing.chain, admission))
    }

    /// Starts a request.
    pub(crate) fn begin(self: &Rc<Self>) -> Active {
        self.parking.set(false);
        if self.worker.draining() {
            if self.worker.has_come(self.turn.get()) {
                self.drain();
            }
            self.leaving_since.set(0);
        }
        self.progress.enter(Phase::Active);
        self.running.set(self.running.get() + 1);
        let mut requests = self.requests.borrow_mut();
        let running = Some(Running {
            granted: None,
            receiving: false,
            answering: false,
            waits_since: 0,
            owed_since: 0,
            upload: Pace::default(),
            download: Pace::default(),
            converses: false,
            is_late: false,
            waker: None,
        });
        let slot = match requests.iter().position(Option::is_none) {
            Some(slot) => slot,
            None => {
                requests.push(None);
                requests.len() - 1
            }
        };
        requests[slot] = running;
        Active {
            connection: self.clone(),
            slot,
            complete: false,
        }
    }

    /// Notes whether the body of the request in `slot` is waited for. `false` where it was waited for long enough; the task
    /// of `cx` is woken when it comes to that.
    pub(crate) fn waits_for_body(&self, slot: usize, waits: bool, cx: &Context<'_>) -> bool {
        let mut requests = self.requests.borrow_mut();
        let Some(Some(running)) = requests.get_mut(slot) else {
            return true;
        };
        if !waits || running.answering {
            running.waits_since = 0;
            return true;
        }
        running.waits_since = running.waits_since.max(1);
        keep(&mut running.waker, cx);
        !running.is_late
    }

    /// Notes that the answer to the request in `slot` has begun: its body is no longer owed.
    pub(crate) fn answers(&self, slot: usize) {
        if let Some(Some(running)) = self.requests.borrow_mut().get_mut(slot) {
            running.answering = true;
            running.waits_since = 0;
        }
    }

    /// Notes whether the client still has something to say in the request in `slot`.
    pub(crate) fn receives(&self, slot: usize, receives: bool) {
        if let Some(Some(running)) = self.requests.borrow_mut().get_mut(slot) {
            running.receiving = receives;
        }
    }

    /// Notes whether the client is to take some of the answer to the request in `slot`.
    pub(crate) fn owes(&self, slot: usize, owes: bool) {
        if let Some(Some(running)) = self.requests.borrow_mut().get_mut(slot) {
            running.owed_since = u32::from(owes);
        }
    }

    /// Notes that the request in `slot` is one of a conversation, which has its own pace.
    pub(crate) fn converses(&self, slot: usize) {
        if let Some(Some(running)) = self.requests.borrow_mut().get_mut(slot) {
            running.converses = true;
        }
    }

    /// Notes that `bytes` of the body of the request in `slot` have come.
    pub(crate) fn came(&self, slot: usize, bytes: usize) {
        if let Some(Some(running)) = self.requests.borrow_mut().get_mut(slot) {
            running.upload.moved(bytes);
        }
    }

    /// Notes that the client takes `bytes` of the answer to the request in `slot`.
    pub(crate) fn took(&self, slot: usize, bytes: usize) {
        if let Some(Some(running)) = self.requests.borrow_mut().get_mut(slot) {
            running.download.moved(bytes);
        }
    }

    fn finish(&self, slot: usize, complete: bool) {
        self.requests.borrow_mut()[slot] = None;
        self.running.set(self.running.get() - 1);
        self.served.set(self.served.get() + 1);
        if self.running.get() == 0 {
            self.progress.enter(Phase::Idle);
        }
        if !complete && self.met.is_h2 {
            self.abandoned.set(self.abandoned.get() + 1);
            if self.abandoned.get() > MAX_ABANDONED && self.abandoned.get() > self.served.get() / 2
            {
                self.cut();
            }
        }
    }

    /// Looks for what has taken too long at `now`.
    pub(crate) fn check_clock(&self, now: u32, timeouts: TimeoutsMs) {
        let phase = self.progress.phase();
        if !self.told.get() && self.progress.phase_age(now) > SILENT_MILLISECONDS {
            self.tell("", "");
            self.progress.silence();
            self.wake();
        }
        if self.running.get() > 0 && self.known().is_over(unix_now()) {
            self.check_admission(&self.worker.state());
        }
        let limit = match phase {
            Phase::Fresh | Phase::Idle | Phase::Header if self.stranger.get() => {
                Some(timeouts.header.min(STRANGER_MILLISECONDS))
            }
            Phase::Fresh => Some(timeouts.header),
            Phase::Idle => Some(timeouts.idle),
            // HTTP/2 has bytes without a request: they keep nothing open.
            Phase::Header if self.met.is_h2 => Some(timeouts.idle),
            Phase::Header => Some(timeouts.header),
            Phase::Active => None,
            Phase::Linger => Some(LINGER_MILLISECONDS),
        };
        if self.worker.drains_in_turn() {
            self.drain_in_turn();
        }
        if self.worker.draining() && matches!(phase, Phase::Fresh | Phase::Idle) {
            let since = self.leaving_since.get();
            if since == 0 {
                self.leaving_since.set(now);
            } else if age(since, now) > IN_TURN_MILLISECONDS {
                self.drain();
            }
        }
        if phase == Phase::Idle && self.progress.phase_age(now) > PARK_MILLISECONDS {
            self.park();
        }
        let is_overdue = limit.is_some_and(|limit| self.progress.phase_age(now) > limit);
        let is_at_rest = matches!(phase, Phase::Fresh | Phase::Idle)
            || (phase == Phase::Header && self.met.is_h2);
        // Whoever was told to come again does not get long to read that.
        let stall = match self.ending.get() {
            Ending::Soon if !self.is_admitted() => timeouts.stall.min(STRANGER_MILLISECONDS),
            _ => timeouts.stall,
        };
        if is_overdue && is_at_rest {
            // It is told (GOAWAY, close_notify), so that a client does not take the end for an attack.
            self.progress.enter(Phase::Linger);
            self.drain();
        } else if is_overdue
            || self.progress.blocked_age(now) > stall
            || self.is_slow(now, stall, timeouts.slowest)
        {
            self.cut();
        }
    }

    /// For how long it has been idle at `now`, in milliseconds; `None` if it is not, or only just.
    pub(crate) fn idle_for(&self, now: u32) -> Option<u32> {
        let is_idle = self.running.get() == 0
            && self.progress.phase() == Phase::Idle
            && self.ending.get() == Ending::No;
        Some(self.progress.phase_age(now)).filter(|age| is_idle && *age > SPARED_MILLISECONDS)
    }

    /// For how long the client has neither said nor taken anything of what it owes or is owed, likewise.
    pub(crate) fn stuck_for(&self, now: u32) -> Option<u32> {
        let since = |since: u32| age(if since > 1 { since } else { now }, now);
        let requests = self.requests.borrow();
        let longest = requests.iter().flatten();
        let longest =
            longest.map(|running| since(running.waits_since).max(since(running.owed_since)));
        (longest.chain([self.progress.blocked_age(now)]).max())
            .filter(|age| *age > SPARED_MILLISECONDS)
    }

    /// Whether the client takes nothing of an answer for `stall`, or too little; counted. What waits as long for a body, or
    /// gets too little of it, is told: there is an answer to that (RFC 9110 15.5.9).
    fn is_slow(&self, now: u32, stall: u32, slowest: Slowest) -> bool {
        let is_overdue = |since: &mut u32| {
            if *since == 1 {
                *since = now.max(2);
            }
            *since > 0 && age(*since, now) > stall
        };
        let grace = if self.is_admitted() {
            slowest.grace
        } else {
            slowest.grace.min(STRANGER_MILLISECONDS)
        };
        let mut is_slow = false;
        for running in self.requests.borrow_mut().iter_mut().flatten() {
            let waits = running.waits_since != 0 && !running.converses;
            let drips =
                !running.is_late && (running.upload).is_too_slow(now, waits, slowest.body, grace);
            if !running.is_late && (is_overdue(&mut running.waits_since) || drips) {
                running.is_late = true;
                running.waker.take().into_iter().for_each(Waker::wake);
            }
            let owed = running.owed_since != 0;
            let sips = (running.download).is_too_slow(now, owed, slowest.read, grace);
            is_slow |= is_overdue(&mut running.owed_since) || sips;
            for limit in [(drips, Limit::MinBodyRate), (sips, Limit::MinReadRate)] {
                if limit.0 {
                    limits::slow(self, limit.1);
                }
            }
        }
        is_slow
    }

    /// Asks again for what runs, since trust or routes have changed or time has passed; cuts the connection if any of it would be refused now.
    pub(crate) fn check_admission(&self, state: &State) {
        if self.running.get() == 0 {
            return;
        }
        let standing = self.standing(state);
        let site = self.site(state);
        let lost = self
            .requests
            .borrow()
            .iter()
            .flatten()
            .filter_map(|running| Some((running.granted.as_ref()?, running.receiving)))
            .find_map(|(granted, receiving)| {
                let refusal =
                    match site.and_then(|site| site.route(granted.target.path()).ok().flatten()) {
                        None => Some(Reason::NotGranted),
                        Some(route) => match judge::authorize(&standing.verdict, route) {
                            Ok(permit) => (granted.is_lost(permit.admission())
                                && (receiving || route.mode() != Mode::Shown))
                                .then_some(Reason::NotGranted),
                            Err(refusal) => Some(refusal.reason),
                        },
                    };
                refusal.map(|reason| (reason, granted.admission.clone()))
            });
        if let Some((reason, admission)) = lost {
            if let Some(admission) = admission {
                let reason = match &standing.verdict {
                    Verdict::Refused(refusal) => refusal.reason,
                    Verdict::Admitted(_) => reason,
                };
                let site = site.map_or("", Site::name);
                self.worker
                    .shared
                    .events
                    .cut(&admission, reason, &self.scene(site, "", ""));
            }
            self.worker.shared.counters.add(Flow::Cut, 1);
            self.cut();
        }
    }

    /// Whether [`Connection::tell`] has nothing to do.
    pub(crate) fn is_told(&self) -> bool {
        self.told.get()
    }

    /// Tells the control plane what was shown here and what is said of it, where a request is for `path`; once, and where
    /// the client has proved that it holds the key: who shows another's certificate was not seen with it.
    pub(crate) fn tell(&self, host: &str, path: &str) {
        if self.told.replace(true) {
            return;
        }
        let standing = self.standing.borrow().clone();
        if standing.is_proven() {
            let state = self.worker.state();
            let site = self.site(&state).map_or("", Site::name);
            let path = state.discreet(path);
            let scene = self.scene(site, host, &path);
            let events = &self.worker.shared.events;
            events.seen(&standing.verdict, &standing.chain, &scene);
        }
    }

    /// Where events of this connection happen.
    pub(crate) fn scene<'a>(&'a self, site: &'a str, host: &'a str, path: &'a str) -> Scene<'a> {
        Scene {
            at: ledger::unix_milliseconds(),
            site,
            sni: &self.met.sni,
            host,
            path,
            peer: Some(self.met.peer.ip()),
        }
    }

    /// Asks for the memory of a connection over HTTP/1.1 that has been idle for a while.
    fn park(&self) {
        if !self.met.is_h2 && !self.parking.replace(true) {
            self.wake();
        }
    }

    /// Whether the connection may be parked between two requests: it has been idle for a while, which only saves work and so
    /// no test sees, and nothing of the next one has come.
    pub(crate) fn is_parkable(&self) -> bool {
        self.parking.get() && self.progress.phase() == Phase::Idle
    }

    /// Gives back what memory it can, while there is no request.
    pub(crate) fn rest(&self) {
        self.requests.take();
        self.hop.take();
    }

    /// Wakes the task that drives the connection.
    fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Ends the connection after what runs.
    pub(crate) fn drain(&self) {
        self.end(Ending::Soon);
    }

    /// Ends the connection in its turn where that loses nothing: HTTP/2 tells which requests were seen (RFC 9113 6.8). A
    /// client of HTTP/1.1 that has read a head without `Connection: close` may have sent its next request: that is
    /// answered, and says so. The clock sees to it that this does not take long.
    pub(crate) fn drain_in_turn(&self) {
        if self.met.is_h2 && self.worker.has_come(self.turn.get()) {
            self.drain();
        }
    }

    /// Ends the connection at once, with all that runs on it.
    pub(crate) fn cut(&self) {
        self.end(Ending::Now);
    }

    fn end(&self, how: Ending) {
        if self.ending.get() != Ending::Now {
            self.ending.set(how);
        }
        self.wake();
        if how == Ending::Now {
            (self.requests.borrow_mut().iter_mut().flatten())
                .filter_map(|running| running.waker.take())
                .for_each(Waker::wake);
        }
    }

    /// How the connection is to end, for the one task that drives it; wakes that task when this changes.
    pub(crate) fn ending(&self, cx: &mut Context<'_>) -> Ending {
        keep(&mut self.waker.borrow_mut(), cx);
        self.ending.get()
    }

    /// Ready when the connection is to end at once, for the task of the request in `slot`.
    pub(crate) fn poll_cut(&self, slot: usize, cx: &mut Context<'_>) -> Poll<()> {
        if self.ending.get() == Ending::Now {
            return Poll::Ready(());
        }
        if let Some(Some(running)) = self.requests.borrow_mut().get_mut(slot) {
            keep(&mut running.waker, cx);
        }
        Poll::Pending
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.tell("", "");
        if let Some(introduction) = self.introduction.get() {
            self.worker.pools.forget(introduction.owner());
        }
        self.worker.forget(self.slot.get());
    }
}

/// A request on a connection; dropped, it is over.
pub(crate) struct Active {
    pub(crate) connection: Rc<Connection>,
    slot: usize,
    complete: bool,
}

impl Active {
    /// Its place among the requests of the connection.
    pub(crate) fn slot(&self) -> usize {
        self.slot
    }

    /// Notes what it was permitted for, so that it can be asked for again.
    pub(crate) fn granted(&self, target: PathAndQuery, admission: Option<Arc<Admission>>) {
        if let Some(Some(running)) = self.connection.requests.borrow_mut().get_mut(self.slot) {
            running.granted = Some(Granted { target, admission });
        }
    }

    /// Notes that it was answered to the end.
    pub(crate) fn complete(&mut self) {
        self.complete = true;
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.connection.finish(self.slot, self.complete);
    }
}
