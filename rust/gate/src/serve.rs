//! The life of one client's connection: handshake, judgement, HTTP, end.

use std::{
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use http::{HeaderValue, StatusCode, header};
use hyper::{
    body::Incoming,
    rt::Executor,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use judge::{Verdict, record::OnRefusal};
use tokio::{io::AsyncWrite, net::TcpStream};

use crate::{
    client_io::ClientIo,
    connection::{Connection, Ending},
    counters::Handshake,
    handshake::shake,
    limits,
    request::{Silence, answer},
    standing::{judge, unix_now},
    worker::{Open, Worker},
};

/// Header bytes that a client may send who was refused before it said anything.
const STRANGER_HEADER_BYTES: usize = 8 * 1024;

/// Most header fields of a request.
const MAX_FIELDS: usize = 100;

/// Serves a client from its first byte to its last.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    tcp: TcpStream,
    peer: SocketAddr,
    port: u16,
    open: Open,
) {
    let _open = open;
    // Boxed, so that the memory of a handshake is given back before the connection idles.
    let Some((io, connection, header_bytes)) = Box::pin(meet(worker, tcp, peer, port)).await else {
        return;
    };
    if connection.met.is_h2 {
        Box::pin(serve_h2(io, connection, header_bytes)).await;
    } else {
        serve_h1(io, connection, header_bytes).await;
    }
}

/// Shakes hands and judges; `None` if that was all.
async fn meet(
    worker: Rc<Worker>,
    tcp: TcpStream,
    peer: SocketAddr,
    port: u16,
) -> Option<(ClientIo, Rc<Connection>, usize)> {
    let counters = worker.shared.counters.clone();
    let (tls, met) = match shake(&worker, tcp, peer, port).await {
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
    let chain = tls.get_ref().1.peer_certificates().unwrap_or_default();
    // Resumed or not: the session brings the chain, and what it is worth is decided now.
    let standing = judge(chain, unix_now(), &state.snapshot);
    let connection = Connection::new(worker.clone(), met, standing.clone());
    let site = connection.site(&state);
    let mut header_bytes = state.config.settings.limits.max_header_bytes;
    if let (Verdict::Refused(refusal), Some(site)) = (&standing.verdict, site)
        && site.requires()
    {
        if site.on_refusal() != OnRefusal::Page {
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

async fn serve_h1(mut io: ClientIo, connection: Rc<Connection>, header_bytes: usize) {
    // Boxed, and gone while the connection is parked: HTTP takes 20 KiB, most of them buffers.
    while let Some(idle) = Box::pin(serve_until_idle(io, &connection, header_bytes)).await {
        io = idle;
        if !wait(&connection, &mut io).await {
            return;
        }
    }
}

/// Serves requests until the connection ends, or idles for a while: then it is given back.
async fn serve_until_idle(
    io: ClientIo,
    connection: &Rc<Connection>,
    header_bytes: usize,
) -> Option<ClientIo> {
    let service = {
        let connection = connection.clone();
        // Boxed for each request: hyper keeps room for a future as long as the connection.
        service_fn(move |request: http::Request<Incoming>| {
            let connection = connection.clone();
            Box::pin(async move {
                let mut response = answer(connection.clone(), request).await?;
                if connection.worker.draining()
                    && response.status() != StatusCode::SWITCHING_PROTOCOLS
                {
                    response
                        .headers_mut()
                        .insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Silence>(response)
            })
        })
    };
    let mut http = http1::Builder::new()
        .max_headers(MAX_FIELDS)
        .max_header_size(header_bytes)
        // Bounds what is read ahead of a slow upstream and what waits for a slow client.
        .max_buf_size(64 * 1024)
        // The worker's clock watches; a timer per request would cost more.
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    let end = drive(connection, |cx, end| {
        if end {
            Pin::new(&mut http).graceful_shutdown();
        }
        Pin::new(&mut http).poll(cx).map(|_| ())
    })
    .await;
    if end == End::Over {
        return None;
    }
    let parts = http.into_parts()?;
    let mut io = parts.io.into_inner();
    io.put_back(&parts.read_buf);
    Some(io)
}

/// Waits for the next request of a parked connection; `false` if there is none, and then the connection is closed.
async fn wait(connection: &Connection, io: &mut ClientIo) -> bool {
    let mut closing = false;
    poll_fn(|cx| {
        let ending = connection.ending(cx);
        if ending == Ending::Now {
            return Poll::Ready(false);
        }
        closing |= ending == Ending::Soon;
        if !closing {
            match io.poll_more(cx) {
                Poll::Ready(true) => return Poll::Ready(true),
                Poll::Ready(false) => closing = true,
                Poll::Pending => return Poll::Pending,
            }
        }
        Pin::new(&mut *io).poll_shutdown(cx).map(|_| false)
    })
    .await
}

async fn serve_h2(io: ClientIo, connection: Rc<Connection>, header_bytes: usize) {
    let service = {
        let connection = connection.clone();
        service_fn(move |request: http::Request<Incoming>| answer(connection.clone(), request))
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
    drive(&connection, |cx, end| {
        if end {
            http.as_mut().graceful_shutdown();
        }
        http.as_mut().poll(cx).map(|_| ())
    })
    .await;
}

/// How HTTP on a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// With the connection.
    Over,
    /// It may be parked.
    Parked,
}

/// Polls a connection until it is over, or is to be, or may be parked; `poll` is told once to let it end.
async fn drive(
    connection: &Connection,
    mut poll: impl FnMut(&mut Context<'_>, bool) -> Poll<()>,
) -> End {
    let mut told = false;
    poll_fn(|cx| {
        loop {
            match connection.ending(cx) {
                Ending::Now => return Poll::Ready(End::Over),
                Ending::Soon if !told => {
                    told = true;
                    if poll(cx, true).is_ready() {
                        return Poll::Ready(End::Over);
                    }
                }
                Ending::Soon | Ending::No => {
                    if poll(cx, false).is_ready() {
                        return Poll::Ready(End::Over);
                    }
                }
            }
            // What was polled may have asked for the end itself.
            match connection.ending(cx) {
                Ending::Soon if !told => {}
                Ending::Now => return Poll::Ready(End::Over),
                Ending::No if connection.is_parkable() => return Poll::Ready(End::Parked),
                _ => return Poll::Pending,
            }
        }
    })
    .await
}

/// Runs HTTP/2 streams on the thread of their connection.
#[derive(Clone, Copy)]
struct LocalExecutor;

impl<F: Future<Output = ()> + 'static> Executor<F> for LocalExecutor {
    fn execute(&self, stream: F) {
        tokio::task::spawn_local(stream);
    }
}
