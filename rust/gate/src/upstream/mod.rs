//! Forwarding: a permitted request goes to its upstream, and the response comes back as a stream.
//!
//! Knows HTTP/1.1 towards upstreams, connections and their reuse. Does not know who may pass: it wants to see a permit.
//! After any error or doubt a connection is closed and not used again, so that nobody gets another's response.

mod exchange;
mod pool;
mod request_head;
mod response;
mod stream;

use std::{rc::Rc, time::Duration};

use http::{Method, request::Parts};
use judge::Permit;

pub(crate) use self::{
    exchange::{Exchange, Failure},
    pool::{Link, Pools},
    request_head::{Additions, BodyKind, block},
    response::{Head, Piece},
    stream::Stream,
};
use crate::{state::Upstream, upload::Upload, worker::Worker};

/// How long to wait for an upstream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) connect: Duration,
    pub(crate) response: Duration,
}

/// Sends a request and waits for the head of its response. The permit is the proof that somebody decided.
pub(crate) async fn forward(
    _permit: &Permit,
    worker: &Rc<Worker>,
    upstream: &Upstream,
    parts: &Parts,
    additions: &Additions<'_>,
    upload: Option<Upload>,
    patience: Patience,
) -> Result<(Head, Exchange), Failure> {
    let mut head = Vec::with_capacity(2048);
    request_head::write(&mut head, parts, additions);
    let (link, reused) = match worker.pools.take(upstream.id) {
        Some(link) => (link, true),
        None => (connect(upstream, patience).await?, false),
    };
    let mut exchange = Exchange::new(link, head, upload, parts.method.clone());
    match exchange.response(patience.response).await {
        Ok(head) => Ok((head, exchange)),
        // The upstream may close an idle connection in the very moment in which it is used again: nobody's fault.
        Err(Failure::Closed) if reused && may_repeat(&parts.method, &exchange) => {
            let mut exchange = exchange.restart(connect(upstream, patience).await?);
            let head = exchange.response(patience.response).await?;
            Ok((head, exchange))
        }
        Err(failure) => Err(failure),
    }
}

/// Whether a request that got no answer may be sent again: none of its body was sent, and either a body was still to
/// come, so that it was not complete, or it is idempotent (RFC 9110 9.2.2).
fn may_repeat(method: &Method, exchange: &Exchange) -> bool {
    !exchange.has_sent_body() && (exchange.is_uploading() || method.is_idempotent())
}

async fn connect(upstream: &Upstream, patience: Patience) -> Result<Box<Link>, Failure> {
    match tokio::time::timeout(patience.connect, Stream::connect(&upstream.address)).await {
        Ok(Ok(stream)) => Ok(Link::new(stream)),
        Ok(Err(error)) => Err(Failure::Unreachable(error.kind())),
        Err(_) => Err(Failure::ConnectTimeout),
    }
}
