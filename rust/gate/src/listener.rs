//! Sockets that clients connect to. Each worker has one of its own for each address; the kernel shares out connections.

use std::{io, net::SocketAddr, rc::Rc, sync::atomic::Ordering, time::Duration};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::{
    limits, plain, serve,
    worker::{Open, Worker},
};

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 4096;

/// Which of the gate's two services a socket belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Tls,
    Plain,
}

/// Binds `address` for `workers` workers; a port of 0 becomes the same free one for all.
pub(crate) fn bind(
    address: SocketAddr,
    workers: usize,
) -> io::Result<(SocketAddr, Vec<std::net::TcpListener>)> {
    let error = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    };
    if workers > 1 && address.port() != 0 {
        // With SO_REUSEPORT a second gate of the same user would silently take half of the connections.
        drop(
            bound(address, false)
                .and_then(|socket| listen(&socket).map(|()| socket))
                .map_err(error)?,
        );
    }
    let first = bound(address, workers > 1).map_err(error)?;
    let actual = first.local_addr()?.as_socket().ok_or_else(|| {
        io::Error::other(format!("cannot listen on {address}: it is no TCP address"))
    })?;
    let mut sockets = vec![first];
    for _ in 1..workers {
        sockets.push(bound(actual, true).map_err(error)?);
    }
    for socket in &sockets {
        listen(socket).map_err(error)?;
    }
    Ok((actual, sockets.into_iter().map(Into::into).collect()))
}

fn bound(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(true)?; // [::] and 0.0.0.0 are two addresses, on every system
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn listen(socket: &Socket) -> io::Result<()> {
    socket.listen(BACKLOG)
}

/// Accepts until the gate drains.
pub(crate) async fn accept(worker: Rc<Worker>, listener: TcpListener, service: Service) {
    let port = listener.local_addr().map_or(0, |address| address.port());
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Before TLS, which is what costs: whoever is too many is turned away for the price of an accept.
                let Some(mut open) = worker.admit() else {
                    limits::full(&worker);
                    continue;
                };
                if !limits::arrive(&worker, &mut open, peer.ip()) {
                    continue;
                }
                let _ = stream.set_nodelay(true);
                start(&worker, stream, peer, port, open, service);
            }
            // Out of descriptors or memory: waiting helps, spinning does not. All other errors concern one connection.
            Err(error) if is_exhaustion(&error) => {
                tokio::time::sleep(Duration::from_millis(50)).await
            }
            Err(_) => {}
        }
        if worker.shared.draining.load(Ordering::Relaxed) {
            return;
        }
    }
}

fn start(
    worker: &Rc<Worker>,
    stream: TcpStream,
    peer: SocketAddr,
    port: u16,
    open: Open,
    service: Service,
) {
    match service {
        Service::Tls => drop(tokio::task::spawn_local(serve::serve(
            worker.clone(),
            stream,
            peer,
            port,
            open,
        ))),
        Service::Plain => drop(tokio::task::spawn_local(plain::serve(
            worker.clone(),
            stream,
            open,
        ))),
    }
}

fn is_exhaustion(error: &io::Error) -> bool {
    // EMFILE, ENFILE, ENOBUFS, ENOMEM
    matches!(error.raw_os_error(), Some(24 | 23 | 105 | 12))
}
