//! The life of one client's connection: handshake, judgement, HTTP, end.

use std::{
    future::{Future, poll_fn},
    rc::Rc,
    task::Poll,
};

use http::{Method, header::CONTENT_LENGTH};
use http_body::Body as _;
use hyper::{
    body::Incoming, ext::Protocol, rt::Executor, server::conn::http2, service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use judge::{Verdict, record::OnRefusal};
use tokio::net::TcpStream;

use crate::{
    client_io::ClientIo,
    connection::{Connection, Ending},
    counters::Handshake,
    download::Download,
    handshake::shake,
    http1, limits,
    message::{Body, RequestHead, Rest},
    proxy_protocol::Ends,
    request::{Silence, answer},
    standing::{judge, unix_now},
    stream,
    upstream::BodyKind,
    worker::{Open, Worker},
};

/// Header bytes that a client may send who was refused before it said anything.
const STRANGER_HEADER_BYTES: usize = 8 * 1024;

/// Serves a client from its first byte to its last.
pub(crate) async fn serve(worker: Rc<Worker>, tcp: TcpStream, ends: Ends, port: u16, open: Open) {
    let _open = open;
    // Boxed, so that the memory of a handshake is given back before the connection idles.
    let Some((io, connection, header_bytes)) = Box::pin(meet(worker, tcp, ends, port)).await else {
        return;
    };
    if connection.is_stream {
        stream::serve(io, connection).await;
    } else if connection.met.is_h2 {
        Box::pin(serve_h2(io, connection, header_bytes)).await;
    } else {
        http1::serve(io, connection, header_bytes).await;
    }
}

/// Shakes hands and judges; `None` if that was all.
async fn meet(
    worker: Rc<Worker>,
    tcp: TcpStream,
    ends: Ends,
    port: u16,
) -> Option<(ClientIo, Rc<Connection>, usize)> {
    let counters = worker.shared.counters.clone();
    let (tls, met, is_stream) = match shake(&worker, tcp, ends, port).await {
        Ok(met) => met,
        Err(end) => {
            counters.handshake(end);
            return None;
        }
    };
    counters.handshake(if met.resumed {
        Handshake::Resumed
    } else {
        Handshake::Full
    });
    let state = worker.state();
    let chain = tls.session().peer_certificates().unwrap_or_default();
    // Resumed or not: the session brings the chain, and what it is worth is decided now.
    let standing = judge(chain, unix_now(), &state.snapshot);
    let connection = Connection::new(worker.clone(), met, standing.clone(), is_stream);
    let site = connection.site(&state);
    let mut header_bytes = state.config.settings.limits.max_header_bytes;
    if let (Verdict::Refused(refusal), Some(site)) = (&standing.verdict, site)
        && site.requires()
    {
        if site.on_refusal() != OnRefusal::Page || connection.is_stream {
            counters.refused(refusal.reason);
            let scene = connection.scene(site.name(), "", "");
            worker.shared.events.refused(
                refusal,
                crate::request::shown(&standing).as_ref(),
                &scene,
            );
            return None;
        }
        header_bytes = header_bytes.min(STRANGER_HEADER_BYTES);
        connection.stranger.set(true);
    }
    if !connection.stranger.get() {
        limits::greet(&connection, &state, site);
    }
    if worker.draining() && !worker.drains_in_turn() {
        return None;
    }
    let io = ClientIo::new(tls, connection.progress.clone());
    Some((io, connection, header_bytes))
}

async fn serve_h2(io: ClientIo, connection: Rc<Connection>, header_bytes: usize) {
    let service = {
        let connection = connection.clone();
        service_fn(move |request: http::Request<Incoming>| answer_h2(connection.clone(), request))
    };
    let http = http2::Builder::new(LocalExecutor)
        .timer(TokioTimer::new())
        .max_concurrent_streams(200)
        .max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX)) // bounds CONTINUATION, too
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .max_send_buf_size(64 * 1024)
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(1024)
        // RFC 8441: WebSockets.
        .enable_connect_protocol()
        .serve_connection(TokioIo::new(io), service);
    // HTTP/2 is large and rarer; boxed, it does not make HTTP/1.1 pay for it.
    let mut http = Box::pin(http);
    let mut told = false;
    poll_fn(|cx| {
        loop {
            let ending = connection.ending(cx);
            if ending == Ending::Now {
                return Poll::Ready(());
            }
            if ending == Ending::Soon && !told {
                told = true;
                http.as_mut().graceful_shutdown();
            }
            if http.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            // What was polled may have asked for the end itself.
            match connection.ending(cx) {
                Ending::Soon if !told => {}
                Ending::Now => return Poll::Ready(()),
                _ => return Poll::Pending,
            }
        }
    })
    .await;
}

/// Answers a stream.
async fn answer_h2(
    connection: Rc<Connection>,
    mut request: http::Request<Incoming>,
) -> Result<http::Response<Download>, Silence> {
    let is_connect = request.method() == Method::CONNECT;
    let upgrade = is_connect.then(|| hyper::upgrade::on(&mut request));
    let (mut parts, incoming) = request.into_parts();
    let kind = match incoming.size_hint().exact() {
        _ if is_connect => BodyKind::None,
        _ if incoming.is_end_stream() => {
            if parts.headers.contains_key(CONTENT_LENGTH) {
                BodyKind::Length(0)
            } else {
                BodyKind::None
            }
        }
        Some(length) => BodyKind::Length(length),
        None => BodyKind::Chunked,
    };
    let body = match kind {
        BodyKind::None => Body::None,
        _ => Body::Http2(incoming, kind),
    };
    let head = RequestHead {
        method: parts.method,
        uri: parts.uri,
        version: parts.version,
        protocol: parts.extensions.remove::<Protocol>(),
        fields: parts.headers.into(),
    };
    let answered = answer(connection, head, body, None).await?;
    let download = match (answered.rest, upgrade) {
        (Rest::Body(download), _) => download,
        (Rest::Relay(relay), Some(upgrade)) => {
            relay.start(upgrade);
            Download::nothing()
        }
        // Nothing but an extended CONNECT is switched.
        (Rest::Relay(_), None) => return Err(Silence),
    };
    let mut response = http::Response::new(download);
    *response.status_mut() = answered.status;
    *response.headers_mut() = answered.fields.into_map();
    Ok(response)
}

/// Runs HTTP/2 streams on the thread of their connection.
#[derive(Clone, Copy)]
struct LocalExecutor;

impl<F: Future<Output = ()> + 'static> Executor<F> for LocalExecutor {
    fn execute(&self, stream: F) {
        tokio::task::spawn_local(stream);
    }
}
