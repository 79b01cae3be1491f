//! The life of one client's connection: handshake, judgement, HTTP, end.

use std::rc::Rc;

use judge::{Verdict, record::OnRefusal};
use tokio::net::TcpStream;

use crate::{
    client_io::ClientIo,
    connection::Connection,
    counters::Handshake,
    handshake::shake,
    http1, http2, limits,
    proxy_protocol::Ends,
    standing::{judge, unix_now},
    stream,
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
        // It is large and rarer; boxed, it does not make HTTP/1.1 pay for it.
        Box::pin(http2::serve(io, connection, header_bytes)).await;
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
