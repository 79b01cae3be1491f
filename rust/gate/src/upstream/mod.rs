//! Forwarding: a permitted request goes to its upstream, and the response comes back as a stream.
//!
//! Knows HTTP/1.1 towards upstreams, connections and their reuse. Does not know who may pass: it wants to see a permit.
//! After any error or doubt a connection is closed and not used again, so that nobody gets another's response.

mod choose;
mod endpoint;
mod exchange;
mod group;
mod pool;
mod request_head;
mod response;
mod stream;

use std::{rc::Rc, sync::Arc};

use http::request::Parts;
use judge::Permit;
use tokio::time::{Instant, timeout, timeout_at};

pub(crate) use self::{
    choose::Asker,
    exchange::{Exchange, Failure},
    group::Upstream,
    pool::{Link, Pools},
    request_head::{Additions, BodyKind, block},
    response::{Head, Piece},
    stream::Stream,
};
use self::{
    endpoint::{Endpoint, UnderWay},
    exchange::{OnInterim, Request},
    group::Tried,
};
use crate::{upload::Upload, worker::Worker};

/// A request as it leaves the gate.
pub(crate) struct Outgoing<'a> {
    pub(crate) parts: &'a Parts,
    pub(crate) additions: &'a Additions<'a>,
    pub(crate) upload: Option<Upload>,
    pub(crate) asker: Asker,
    /// Hears of each interim response, in their order, while the final one is waited for.
    pub(crate) on_interim: &'a mut OnInterim<'a>,
}

/// Sends a request and waits for the head of its response. The permit is the proof that somebody decided.
pub(crate) async fn forward(
    _permit: &Permit,
    worker: &Rc<Worker>,
    upstream: &Upstream,
    outgoing: Outgoing<'_>,
) -> Result<(Head, Exchange), Failure> {
    let mut head = Vec::with_capacity(2048);
    request_head::write(&mut head, outgoing.parts, outgoing.additions);
    let request = Request::new(outgoing.parts.method.clone(), head, outgoing.upload);
    let answer = send(
        worker,
        upstream,
        request,
        outgoing.asker,
        outgoing.on_interim,
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

/// Sends a request to one server after the other, until one answers.
async fn send(
    worker: &Rc<Worker>,
    upstream: &Upstream,
    mut request: Request,
    asker: Asker,
    on_interim: &mut OnInterim<'_>,
) -> Result<(Head, Exchange), Failure> {
    let mut tried = Tried::default();
    let mut failure = Failure::NoServer;
    loop {
        let chosen;
        let endpoint = match &upstream.only {
            Some(only) => only,
            None => {
                let Some(next) = upstream.choose(asker, &tried) else {
                    return Err(failure);
                };
                chosen = next;
                &chosen
            }
        };
        match attempt(worker, upstream, endpoint, request, on_interim).await {
            Ok(answered) => return Ok(answered),
            Err((why, again)) => {
                endpoint.count_failure();
                failure = why;
                tried.push(endpoint);
                request = match again {
                    Some(request) if upstream.only.is_none() && !tried.is_full() => request,
                    _ => return Err(failure),
                };
            }
        }
    }
}

/// Sends a request to one server; gives it back where it may be sent to another.
async fn attempt(
    worker: &Rc<Worker>,
    upstream: &Upstream,
    endpoint: &Arc<Endpoint>,
    mut request: Request,
    on_interim: &mut OnInterim<'_>,
) -> Result<(Head, Exchange), (Failure, Option<Request>)> {
    let mut under_way = (upstream.only.is_none()).then(|| UnderWay::new(endpoint));
    endpoint.count_request();
    let mut kept = worker.pools.take(endpoint);
    loop {
        let (link, reused) = match kept.take() {
            Some(link) => (link, true),
            None => match connect(upstream, endpoint).await {
                Ok(link) => (link, false),
                // Nothing was sent.
                Err(failure) => return Err((failure, Some(request))),
            },
        };
        let mut exchange = Exchange::new(link, request);
        match (exchange.response(upstream.waits.response, on_interim)).await {
            Ok(head) => {
                exchange.counted(under_way.take());
                return Ok((head, exchange));
            }
            // The upstream may close an idle connection in the very moment in which it is used again: nobody's fault.
            Err(Failure::Closed) if reused && exchange.may_repeat() => {
                request = exchange.into_request();
            }
            Err(failure) => return Err((failure, None)),
        }
    }
}

async fn connect(upstream: &Upstream, endpoint: &Arc<Endpoint>) -> Result<Box<Link>, Failure> {
    match timeout(upstream.waits.connect, Stream::connect(&endpoint.target)).await {
        Ok(Ok(stream)) => Ok(Link::new(stream, endpoint.clone())),
        Ok(Err(error)) => Err(Failure::Unreachable(error.kind())),
        Err(_) => Err(Failure::ConnectTimeout),
    }
}
