//! Plain HTTP: the way to HTTPS for whoever typed no scheme, and the files that must be had without it (the root, CRLs).
//!
//! Forwards nothing, reads no body, knows no client.

use std::{convert::Infallible, rc::Rc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use crate::{
    authority, problem,
    refusal::Document,
    standing::unix_now,
    state::Publication,
    worker::{Open, Worker},
};

/// The longest a client may take for all it wants here; a CRL of 50 MB at 200 kB/s fits.
const LIFETIME: Duration = Duration::from_secs(300);

/// Serves one connection, one request.
pub(crate) async fn serve(worker: Rc<Worker>, stream: TcpStream, open: Open) {
    let _open = open;
    let header = worker.state().config.settings.timeouts.header;
    let service = service_fn(move |request: Request<Incoming>| {
        let response = answer(&worker, &request);
        async move { Ok::<_, Infallible>(response) }
    });
    let http = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header)
        .max_buf_size(16 * 1024)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // Whatever went wrong, there is nobody left to tell.
    let _ = tokio::time::timeout(LIFETIME, http).await;
}

fn answer<B>(worker: &Worker, request: &Request<B>) -> Response<Full<Bytes>> {
    let publications = worker.shared.publications.load();
    let mut response = match publications.get(request.uri().path()) {
        Some(publication) => published(publication, request),
        None => redirect(worker, request),
    };
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    response
        .headers_mut()
        .insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn published<B>(publication: &Publication, request: &Request<B>) -> Response<Full<Bytes>> {
    let is_head = request.method() == Method::HEAD;
    if !is_head && request.method() != Method::GET {
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
        return say(
            problem::EXPIRED_PUBLICATION
                .document("It is past the time up to which it may be used."),
            request,
        );
    }
    let body = if is_head {
        Bytes::new()
    } else {
        publication.bytes.clone()
    };
    let mut response = Response::new(Full::new(body));
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
fn redirect<B>(worker: &Worker, request: &Request<B>) -> Response<Full<Bytes>> {
    let state = worker.state();
    let host = match request.uri().authority() {
        Some(_) => Err("has a host in its target"),
        None => authority::of(request.uri(), request.headers()),
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
    if let Err(why) = site.route(request.uri().path()) {
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
        .uri()
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let Ok(location) = HeaderValue::try_from(format!("https://{}{port}{target}", authority.host))
    else {
        return say(
            problem::AMBIGUOUS_PATH.document("The path cannot be repeated."),
            request,
        );
    };
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(LOCATION, location);
    response
}

fn say<B>(document: Document, request: &Request<B>) -> Response<Full<Bytes>> {
    document
        .answer(request.method(), request.headers())
        .map(Full::new)
}
