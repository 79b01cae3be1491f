//! Forwarding: a permitted request goes to its upstream, and the response comes back as a stream.
//!
//! Knows HTTP/1.1 and HTTP/2 towards upstreams, connections and their reuse. Does not know who may pass: it wants to see a permit.
//! After any error or doubt a connection is closed and not used again, so that nobody gets another's response.

mod choose;
mod endpoint;
mod exchange;
mod group;
mod http2;
mod keep;
mod pool;
mod request_head;
mod response;
mod stream;

use std::{
    cell::{Cell, OnceCell},
    io::{self, ErrorKind},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

use http::uri::Scheme;
use judge::Permit;
use tokio::time::{Instant, timeout, timeout_at};

pub(crate) use self::{
    choose::Asker,
    endpoint::UnderWay,
    exchange::Failure,
    group::Upstream,
    keep::keep,
    pool::{Lanes, Link, Pools, Preface},
    request_head::{
        Additions, BodyKind, block, clean_trailers, decimal, write as write_head, write_trailers,
    },
    response::{Framing, Head, Piece, digits, gather, take_head},
    stream::Stream,
};
use self::{
    endpoint::Endpoint,
    exchange::{Failed, Http1, OnInterim, Request},
    group::Tried,
    http2::Http2,
    pool::Home,
};
use crate::{
    listener::is_exhaustion, message::RequestHead, settings::upstream::Protocol, spare::Buffer,
    trace::Tries, upload::Upload, worker::Worker,
};

/// A request as it leaves the gate.
pub(crate) struct Outgoing<'a> {
    pub(crate) head: &'a RequestHead,
    pub(crate) additions: &'a Additions<'a>,
    pub(crate) upload: Option<Upload>,
    pub(crate) asker: Asker,
    /// Of one client's connection, where the upstream wants it.
    pub(crate) preface: Option<Rc<Preface>>,
    /// Of the same connection.
    pub(crate) lanes: &'a OnceCell<Rc<Lanes>>,
    /// Hears of each interim response, in their order, while the final one is waited for.
    pub(crate) on_interim: &'a mut OnInterim<'a>,
    /// Where each attempt is noted, for the trace of the request.
    pub(crate) tries: Option<&'a Tries>,
}

/// Sends a request and waits for the head of its response. The permit is the proof that somebody decided.
pub(crate) async fn forward(
    _permit: &Permit,
    worker: &Rc<Worker>,
    upstream: &Upstream,
    outgoing: Outgoing<'_>,
) -> Result<(Head, Exchange), Failure> {
    let mut head = Buffer::new();
    request_head::write(&mut head, outgoing.head, outgoing.additions);
    let request = Request::new(
        outgoing.head.method.clone(),
        head,
        outgoing.upload,
        outgoing.preface,
    );
    let answer = send(
        worker,
        upstream,
        request,
        outgoing.asker,
        outgoing.lanes,
        outgoing.on_interim,
        outgoing.tries,
    );
    let Some(total) = upstream.waits.total else {
        return answer.await;
    };
    let deadline = Instant::now() + total;
    let (head, mut exchange) =
        (timeout_at(deadline, answer).await).unwrap_or(Err(Failure::ResponseTimeout))?;
    exchange.end_by(deadline);
    Ok((head, exchange))
}

/// Connects to a server that speaks something which the gate does not read; to one after the other, until one answers.
/// `preface` is of the client's connection, where the upstream wants one. Held on to, the second of what it gives counts the
/// connection.
pub(crate) async fn open(
    _permit: &Permit,
    upstream: &Upstream,
    asker: Asker,
    preface: Option<&Preface>,
) -> Result<(Stream, UnderWay), Failure> {
    let mut tried = Tried::default();
    let mut failure = None;
    loop {
        let Some(endpoint) = (match &upstream.only {
            Some(only) => Some(only.clone()),
            None => upstream.choose(asker, &tried),
        }) else {
            return Err(failure.unwrap_or_else(|| Failure::NoServer(upstream.retry_after())));
        };
        let under_way = UnderWay::new(&endpoint);
        endpoint.count_request();
        match connect(upstream, &endpoint, preface).await {
            Ok(stream) => {
                endpoint.succeeded();
                return Ok((stream, under_way));
            }
            Err(why) => {
                if why.is_of_server(true) {
                    upstream.failed(&endpoint);
                }
                tried.push(&endpoint);
                if upstream.only.is_some() || tried.is_full() {
                    return Err(why);
                }
                failure = Some(why);
            }
        }
    }
}

/// Sends a request to one server after the other, until one answers.
async fn send(
    worker: &Rc<Worker>,
    upstream: &Upstream,
    mut request: Request,
    asker: Asker,
    lanes: &OnceCell<Rc<Lanes>>,
    on_interim: &mut OnInterim<'_>,
    tries: Option<&Tries>,
) -> Result<(Head, Exchange), Failure> {
    let mut tried = Tried::default();
    let mut failure = None;
    let mut retries = 0;
    // Once the client has heard of the answer, nobody else gives another.
    let heard = Cell::new(false);
    let mut hear = |status, headers| {
        heard.set(true);
        on_interim(status, headers);
    };
    loop {
        let chosen;
        let endpoint = match &upstream.only {
            Some(only) => only,
            None => {
                let Some(next) = upstream.choose(asker, &tried) else {
                    return Err(
                        failure.unwrap_or_else(|| Failure::NoServer(upstream.retry_after()))
                    );
                };
                chosen = next;
                &chosen
            }
        };
        if let Some(tries) = tries {
            tries.begin(&endpoint.server, &endpoint.target);
        }
        match attempt(worker, upstream, endpoint, request, lanes, &mut hear).await {
            Ok(answered) => {
                if upstream.ejection.counts(answered.0.status) {
                    upstream.failed(endpoint);
                } else {
                    endpoint.succeeded();
                }
                return Ok(answered);
            }
            Err(Failed {
                why,
                again,
                of_server,
            }) => {
                failure = Some(why);
                if let Some(tries) = tries {
                    tries.failed(why.label());
                }
                if of_server {
                    upstream.failed(endpoint);
                }
                tried.push(endpoint);
                let Some(again) = again.filter(|_| upstream.only.is_none() && !tried.is_full())
                else {
                    return Err(why);
                };
                // What was not even connected to is passed over; all else has a budget.
                if !why.is_before_request() {
                    if heard.get() || retries == upstream.retries.most || !upstream.may_retry() {
                        return Err(why);
                    }
                    retries += 1;
                    endpoint.count_retry();
                }
                request = again;
            }
        }
    }
}

/// Sends a request to one server; gives it back where it may be sent to another.
async fn attempt(
    worker: &Rc<Worker>,
    upstream: &Upstream,
    endpoint: &Arc<Endpoint>,
    request: Request,
    lanes: &OnceCell<Rc<Lanes>>,
    on_interim: &mut OnInterim<'_>,
) -> Result<(Head, Exchange), Failed> {
    let under_way = (upstream.only.is_none()).then(|| UnderWay::new(endpoint));
    endpoint.count_request();
    let answered = match endpoint.protocol {
        Protocol::Http1 => http1(worker, upstream, endpoint, request, on_interim).await,
        // Boxed: HTTP/1.1 does not pay for its size.
        Protocol::Http2 => {
            let lanes = lanes.get_or_init(Rc::default);
            Box::pin(http2(
                worker, upstream, endpoint, request, lanes, on_interim,
            ))
            .await
        }
        // The settings see to it that no request goes there.
        Protocol::Stream => {
            let why = Failure::Unreachable(ErrorKind::Unsupported);
            Err(why.before(None))
        }
    };
    answered.map(|(head, mut exchange)| {
        exchange.counted(under_way);
        (head, exchange)
    })
}

async fn http1(
    worker: &Rc<Worker>,
    upstream: &Upstream,
    endpoint: &Arc<Endpoint>,
    mut request: Request,
    on_interim: &mut OnInterim<'_>,
) -> Result<(Head, Exchange), Failed> {
    let preface = request.preface.as_deref();
    let mut kept = worker.pools.take(endpoint, preface, worker.now());
    loop {
        let (link, reused) = match kept.take() {
            Some(link) => (link, true),
            None => match connect(upstream, endpoint, request.preface.as_deref()).await {
                Ok(stream) => {
                    let preface = request.preface.clone();
                    (Link::new(stream, endpoint.clone(), preface), false)
                }
                // Nothing was sent.
                Err(failure) => return Err(failure.before(Some(request))),
            },
        };
        let mut exchange = Http1::new(link, request);
        match (exchange.response(upstream.waits.response, on_interim)).await {
            Ok(head) => return Ok((head, Exchange::Http1(exchange))),
            // The upstream may close an idle connection in the very moment in which it is used again: nobody's fault.
            Err(Failure::Closed) if reused && exchange.may_repeat() => {
                request = exchange.into_request();
            }
            Err(why) => {
                let again = why.is_without_answer() && exchange.may_repeat();
                return Err(Failed {
                    why,
                    of_server: why.is_of_server(exchange.is_short()),
                    again: again.then(|| exchange.into_request()),
                });
            }
        }
    }
}

async fn http2(
    worker: &Rc<Worker>,
    upstream: &Upstream,
    endpoint: &Arc<Endpoint>,
    mut request: Request,
    lanes: &Rc<Lanes>,
    on_interim: &mut OnInterim<'_>,
) -> Result<(Head, Exchange), Failed> {
    // What a connection does not take, since it is about to end, another one may.
    let mut again = true;
    loop {
        // Whoever waits for another's attempt does not wait longer than for its own.
        let place = place(worker, upstream, endpoint, lanes);
        let place = timeout(upstream.waits.connect, place).await;
        let (place, reused) = match place.unwrap_or(Err(Failure::ConnectTimeout)) {
            Ok(place) => place,
            Err(failure) => return Err(failure.before(Some(request))),
        };
        let opened = timeout(upstream.waits.connect, Http2::open(place, request)).await;
        let mut exchange = match opened {
            Ok(Ok(exchange)) => exchange,
            Ok(Err((Failure::Refused, back))) if again => {
                again = false;
                request = back;
                continue;
            }
            Ok(Err((failure, back))) => return Err(failure.before(Some(back))),
            Err(_) => return Err(Failure::ConnectTimeout.before(None)),
        };
        let why = match (exchange.response(upstream.waits.response, on_interim)).await {
            Ok(head) => return Ok((head, Exchange::Http2(Box::new(exchange)))),
            Err(failure) => failure,
        };
        let of_server = why.is_of_server(exchange.is_short());
        let may_repeat = why.is_without_answer() && exchange.may_repeat(why);
        let same_server = why == Failure::Refused || (why == Failure::Closed && reused);
        if !(may_repeat && again && same_server) {
            return Err(Failed {
                why,
                of_server,
                again: may_repeat.then(|| exchange.into_request()),
            });
        }
        request = exchange.into_request();
        again = false;
    }
}

/// A place for a request on a connection over HTTP/2, and whether that was open before.
async fn place(
    worker: &Rc<Worker>,
    upstream: &Upstream,
    endpoint: &Arc<Endpoint>,
    lanes: &Rc<Lanes>,
) -> Result<(http2::Place, bool), Failure> {
    let home = || {
        Some(Home {
            worker: worker.clone(),
            lanes: lanes.clone(),
        })
    };
    if let Some(open) = lanes.open(endpoint, &worker.pools) {
        return Ok((open.enter(home()), true));
    }
    let opening = lanes.opening(endpoint);
    let _one = opening.lock().await;
    if let Some(open) = lanes.open(endpoint, &worker.pools) {
        return Ok((open.enter(home()), true));
    }
    // The settings see to it that none of its connections belongs to one client.
    let stream = connect(upstream, endpoint, None).await?;
    let scheme = match stream {
        Stream::Tls(_) => Scheme::HTTPS,
        Stream::Tcp(_) | Stream::Unix(_) => Scheme::HTTP,
    };
    let connection = http2::Connection::start(stream, scheme, endpoint.clone()).await?;
    lanes.add(&connection);
    Ok((connection.enter(home()), false))
}

async fn connect(
    upstream: &Upstream,
    endpoint: &Endpoint,
    preface: Option<&Preface>,
) -> Result<Stream, Failure> {
    let header = preface.map_or(&[][..], |preface| &preface.header);
    match timeout(upstream.waits.connect, Stream::connect(endpoint, header)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(unconnected(&error)),
        Err(_) => Err(Failure::ConnectTimeout),
    }
}

/// Why there is no connection.
fn unconnected(error: &io::Error) -> Failure {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::InvalidCertificate(_)) => Failure::Untrusted,
        None if is_exhaustion(error) || error.kind() == ErrorKind::AddrNotAvailable => {
            Failure::Exhausted
        }
        _ => Failure::Unreachable(error.kind()),
    }
}

/// A request on its way, and its response.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "the large one is the usual one: a box would be an allocation for each request"
)]
pub(crate) enum Exchange {
    Http1(Http1),
    Http2(Box<Http2>),
}

impl Exchange {
    /// Lets it count as under way until it is dropped.
    fn counted(&mut self, under_way: Option<UnderWay>) {
        match self {
            Exchange::Http1(exchange) => exchange.counted(under_way),
            Exchange::Http2(exchange) => exchange.counted(under_way),
        }
    }

    /// Lets the response be broken off at `deadline`.
    fn end_by(&mut self, deadline: Instant) {
        match self {
            Exchange::Http1(exchange) => exchange.end_by(deadline),
            Exchange::Http2(exchange) => exchange.end_by(deadline),
        }
    }

    /// The next piece of the response's body; the request's goes on meanwhile.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, Failure>> {
        match self {
            Exchange::Http1(exchange) => exchange.poll_piece(cx),
            Exchange::Http2(exchange) => exchange.poll_piece(cx),
        }
    }

    /// Takes over what has come of the body, for whoever asks for pieces later. Of HTTP/2 alone: of HTTP/1.1 nothing is
    /// read before somebody asks.
    pub(crate) fn hold(&mut self, cx: &mut Context<'_>) {
        if let Exchange::Http2(exchange) = self {
            exchange.hold(cx);
        }
    }

    /// Whether the response has come to its end.
    pub(crate) fn is_done(&self) -> bool {
        match self {
            Exchange::Http1(exchange) => exchange.is_done(),
            Exchange::Http2(exchange) => exchange.is_done(),
        }
    }

    /// How many bytes the response's body has left, if that is known.
    pub(crate) fn length(&self) -> Option<u64> {
        match self {
            Exchange::Http1(exchange) => exchange.length(),
            Exchange::Http2(exchange) => exchange.length(),
        }
    }

    /// Gives the connection back, if the next request may use it.
    pub(crate) fn finish(self, pools: &Pools, now: u32, limit: usize) {
        if let Exchange::Http1(exchange) = self {
            exchange.finish(pools, now, limit);
        }
    }

    /// The connection, for what is no HTTP any more; HTTP/2 has none to give.
    pub(crate) fn into_link(self) -> Option<Box<Link>> {
        match self {
            Exchange::Http1(exchange) => Some(exchange.into_link()),
            Exchange::Http2(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_the_gate_has_nothing_left_for_a_connection_is_no_servers_fault() {
        // EMFILE, ENFILE, EADDRNOTAVAIL, ENOBUFS; ECONNREFUSED, EHOSTUNREACH
        for (code, of_server) in [
            (24, false),
            (23, false),
            (99, false),
            (105, false),
            (111, true),
            (113, true),
        ] {
            let failure = unconnected(&io::Error::from_raw_os_error(code));
            assert_eq!(failure.is_of_server(true), of_server, "{code}");
        }
        // Nor what it could not be asked.
        assert!(!Failure::Unsayable.is_of_server(true));
    }
}
