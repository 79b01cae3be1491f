//! Plain HTTP: the way to HTTPS for whoever typed no scheme, and the files that must be had without it (the root, CRLs).
//!
//! Forwards nothing, reads no body, knows no client.

use std::{io, rc::Rc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{
        ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, X_CONTENT_TYPE_OPTIONS,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    authority,
    http1::{BadRequest, Heads, refusal, write_last},
    limits,
    message::RequestHead,
    problem,
    refusal::Document,
    standing::unix_now,
    state::Publication,
    worker::{Open, Worker},
};

/// The longest a client may take for all it wants here, unless others want its place; a CRL of 50 MB at 200 kB/s fits.
const LIFETIME: Duration = Duration::from_secs(300);

/// Longest head of a request here, in bytes.
const HEAD_BYTES: usize = 16 * 1024;

/// How long the client has to read the last words.
const LINGER: Duration = Duration::from_secs(2);

/// What of a body that nobody reads is taken meanwhile, in bytes.
const WASTE_BYTES: usize = 256 * 1024;

/// Serves one connection, one request.
pub(crate) async fn serve(worker: Rc<Worker>, mut stream: TcpStream, open: Open) {
    let _open = open;
    // Whatever went wrong, there is nobody left to tell.
    let _ = limits::patiently(&worker, LIFETIME, talk(&worker, &mut stream)).await;
    let _ = timeout(LINGER, linger(&mut stream)).await;
}

async fn talk(worker: &Worker, stream: &mut TcpStream) -> io::Result<()> {
    let limit = worker.state().config.settings.timeouts.header;
    let response = match timeout(limit, read(stream)).await?? {
        Ok(Some(head)) => answer(worker, &head),
        Ok(None) => return Ok(()),
        Err(bad) => refusal(bad),
    };
    let body = response.body().clone();
    let mut head = Vec::with_capacity(1024);
    write_last(&mut head, response.map(|_| Bytes::new()));
    stream.write_all(&head).await?;
    stream.write_all(&body).await
}

/// Reads a head; `None` if there is none.
async fn read(stream: &mut TcpStream) -> io::Result<Result<Option<RequestHead>, BadRequest>> {
    let mut inbox = BytesMut::with_capacity(2048);
    let mut heads = Heads::default();
    loop {
        match heads.take(&mut inbox, HEAD_BYTES) {
            Ok(Some(request)) => return Ok(Ok(Some(request.head))),
            Ok(None) => {}
            Err(bad) => return Ok(Err(bad)),
        }
        if stream.read_buf(&mut inbox).await? == 0 {
            return Ok(Ok(None));
        }
    }
}

/// Ends the connection without a reset that would overtake the last words.
async fn linger(stream: &mut TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut waste = [0; 2048];
    let mut left = WASTE_BYTES;
    while left > 0 {
        let count = stream.read(&mut waste).await?;
        if count == 0 {
            break;
        }
        left = left.saturating_sub(count);
    }
    Ok(())
}

fn answer(worker: &Worker, request: &RequestHead) -> Response<Bytes> {
    let publications = worker.shared.publications.load();
    let mut response = match publications.get(request.uri.path()) {
        Some(publication) => published(publication, request),
        None => redirect(worker, request),
    };
    response
        .headers_mut()
        .insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn published(publication: &Publication, request: &RequestHead) -> Response<Bytes> {
    let is_head = request.method == Method::HEAD;
    if !is_head && request.method != Method::GET {
        let mut response = say(
            problem::METHOD_NOT_ALLOWED.document("This file can be read with GET and HEAD."),
            request,
        );
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let left = publication
        .expires_at
        .map(|at| at.saturating_sub(unix_now()));
    if left.is_some_and(|left| left <= 0) {
        // An outdated CRL would tell a relying party that what was revoked since is good.
        let detail = if publication.bytes.is_empty() {
            "It is being made."
        } else {
            "The last one is past the time up to which it may be used."
        };
        return say(problem::EXPIRED_PUBLICATION.document(detail), request);
    }
    let body = if is_head {
        Bytes::new()
    } else {
        publication.bytes.clone()
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(publication.bytes.len()));
    if let Ok(media) = HeaderValue::from_str(&publication.content_type) {
        headers.insert(CONTENT_TYPE, media);
    }
    // Short: a revocation should not wait in a cache.
    let age = left.unwrap_or(60).clamp(0, 60);
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::try_from(format!("max-age={age}"))
            .unwrap_or(HeaderValue::from_static("no-store")),
    );
    response
}

/// RFC 9110 15.4.9: to the same address over HTTPS, for hosts that we serve and no other, lest we be a way to anywhere.
fn redirect(worker: &Worker, request: &RequestHead) -> Response<Bytes> {
    let state = worker.state();
    let host = match request.uri.authority() {
        Some(_) => Err("has a host in its target"),
        None => authority::of(&request.uri, &request.fields),
    };
    let authority = match host {
        Ok(authority) => authority,
        Err(why) => {
            return say(
                problem::BAD_HOST.document(format!("The request {why}.")),
                request,
            );
        }
    };
    let Some(site) = state.snapshot.site_of(authority.host) else {
        return say(
            problem::UNKNOWN_HOST
                .document("There is no site of the name that the request asks for."),
            request,
        );
    };
    if let Err(why) = site.route(request.uri.path()) {
        return say(
            problem::AMBIGUOUS_PATH.document(format!("The path {why}.")),
            request,
        );
    }
    let port = match worker.shared.public_port(&state) {
        443 => String::new(),
        port => format!(":{port}"),
    };
    let target = request
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let Ok(location) = HeaderValue::try_from(format!("https://{}{port}{target}", authority.host))
    else {
        return say(
            problem::AMBIGUOUS_PATH.document("The path cannot be repeated."),
            request,
        );
    };
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(LOCATION, location);
    response
        .headers_mut()
        .insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
}

fn say(document: Document, request: &RequestHead) -> Response<Bytes> {
    document.answer(&request.method, &request.fields)
}
