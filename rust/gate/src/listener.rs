//! Sockets that clients connect to. Each worker has one of its own for each address; the kernel shares out connections.
//! Those that systemd or the process before this one handed over are used as they are, by as many workers as there are.

use std::{io, net::SocketAddr, rc::Rc, sync::atomic::Ordering, time::Duration};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::{
    counters::Handshake,
    limits, plain,
    proxy_protocol::{self, Ends, Source},
    serve,
    worker::{Open, Worker},
};

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 4096;

/// Which of the gate's two services a socket belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// The gate itself.
    Tls,
    /// What redirects to it.
    Plain,
}

/// A socket that listens, and what it is for.
#[derive(Debug)]
pub struct Listening {
    /// Whose connections come from it.
    pub service: Service,
    /// The address that the settings name; its port may be 0.
    pub wanted: SocketAddr,
    /// The socket.
    pub socket: std::net::TcpListener,
}

impl Listening {
    /// The same socket once more, by a descriptor of its own.
    pub(crate) fn again(&self) -> io::Result<Listening> {
        Ok(Listening {
            service: self.service,
            wanted: self.wanted,
            socket: self.socket.try_clone()?,
        })
    }
}

/// Opens `wanted` for `workers` workers, or takes what is there of it in `given`. Gives the address with its port, and the
/// sockets: more than workers where there were more workers when they were opened.
pub(crate) fn open(
    service: Service,
    wanted: SocketAddr,
    workers: usize,
    given: &mut Vec<Listening>,
) -> io::Result<(SocketAddr, Vec<Listening>)> {
    let is_it = |one: &Listening| {
        one.service == service
            && (one.wanted == wanted || one.socket.local_addr().is_ok_and(|is| is == wanted))
    };
    let address = given.iter().find(|one| is_it(one));
    if let Some(address) = address.map(|one| one.socket.local_addr()).transpose()? {
        // Two listeners at port 0 are asked for alike, and are two.
        let sockets: Vec<Listening> = given
            .extract_if(.., |one| {
                is_it(one) && one.socket.local_addr().is_ok_and(|is| is == address)
            })
            .collect();
        for one in &sockets {
            one.socket.set_nonblocking(true)?;
        }
        return Ok((address, sockets));
    }
    let (address, sockets) = bind(wanted, workers)?;
    let sockets = sockets.into_iter().map(|socket| Listening {
        service,
        wanted,
        socket,
    });
    Ok((address, sockets.collect()))
}

/// Gives each worker a socket of `sockets`, and each socket a worker: what waits in one that nobody accepts from is lost.
pub(crate) fn share_out(
    sockets: &[Listening],
    workers: &mut [Vec<(Service, std::net::TcpListener)>],
) -> io::Result<()> {
    let (many, count) = (sockets.len(), workers.len());
    for index in 0..many.max(count) {
        let one = &sockets[index % many];
        workers[index % count].push((one.service, one.socket.try_clone()?));
    }
    Ok(())
}

/// Binds `address` for `workers` workers; a port of 0 becomes the same free one for all.
fn bind(
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
    let here = listener.local_addr();
    let port = here.as_ref().map_or(0, SocketAddr::port);
    // What is accepted has it from the listener: a system call less for each.
    let _ = socket2::SockRef::from(&listener).set_tcp_nodelay(true);
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Before TLS, which is what costs: whoever is too many is turned away for the price of an accept.
                let Some(mut open) = worker.admit() else {
                    limits::full(&worker);
                    continue;
                };
                let ends = Ends {
                    source: peer,
                    destination: match &here {
                        Ok(here) if !here.ip().is_unspecified() => *here,
                        _ => stream.local_addr().unwrap_or((peer.ip(), port).into()),
                    },
                };
                if expects_header(&worker, peer) {
                    let worker = Rc::clone(&worker);
                    drop(tokio::task::spawn_local(async move {
                        let mut stream = stream;
                        let Some(ends) = behind(&worker, &mut stream, ends).await else {
                            return;
                        };
                        if limits::arrive(&worker, &mut open, ends.source.ip()) {
                            start(&worker, stream, ends, port, open, service);
                        }
                    }));
                    continue;
                }
                if limits::arrive(&worker, &mut open, peer.ip()) {
                    start(&worker, stream, ends, port, open, service);
                }
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

/// Whether connections of `peer` begin with a PROXY header.
fn expects_header(worker: &Worker, peer: SocketAddr) -> bool {
    let state = worker.state();
    let from = &state.config.settings.proxy_protocol_from;
    !from.is_empty() && from.iter().any(|network| network.contains(peer.ip()))
}

/// The client behind the peer, as the PROXY header says; `None` without one, or where it does not come in the time of a
/// handshake.
async fn behind(worker: &Worker, stream: &mut TcpStream, ends: Ends) -> Option<Ends> {
    let limit = worker.state().config.settings.timeouts.handshake;
    let end = match limits::patiently(worker, limit, proxy_protocol::read(stream)).await {
        Some(Ok(Source::Client(client))) => return Some(client),
        Some(Ok(Source::Peer)) => return Some(ends),
        Some(Err(error)) if error.kind() == io::ErrorKind::InvalidData => Handshake::ProxyHeader,
        Some(Err(_)) => Handshake::Closed,
        None => Handshake::Timeout,
    };
    worker.shared.counters.handshake(end);
    None
}

fn start(
    worker: &Rc<Worker>,
    stream: TcpStream,
    ends: Ends,
    port: u16,
    open: Open,
    service: Service,
) {
    match service {
        Service::Tls => drop(tokio::task::spawn_local(serve::serve(
            worker.clone(),
            stream,
            ends,
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

/// Whether the system has no room for another connection, whoever it is with.
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    // EMFILE, ENFILE, ENOBUFS, ENOMEM
    matches!(error.raw_os_error(), Some(24 | 23 | 105 | 12))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open_at(
        port: u16,
        workers: usize,
        given: &mut Vec<Listening>,
    ) -> (SocketAddr, Vec<Listening>) {
        open(Service::Tls, ([127, 0, 0, 1], port).into(), workers, given).expect("a socket")
    }

    /// How many sockets each of `workers` workers gets of `sockets`.
    fn shares(sockets: &[Listening], workers: usize) -> Vec<usize> {
        let mut shares: Vec<_> = (0..workers).map(|_| Vec::new()).collect();
        share_out(sockets, &mut shares).expect("descriptors");
        shares.iter().map(Vec::len).collect()
    }

    #[test]
    fn every_worker_has_a_socket_and_every_socket_a_worker() {
        let (_, three) = open_at(0, 3, &mut Vec::new());
        assert_eq!(three.len(), 3);
        assert_eq!(shares(&three, 3), [1, 1, 1]);
        assert_eq!(shares(&three, 2), [2, 1]);
        assert_eq!(shares(&three, 5), [1, 1, 1, 1, 1]);
    }

    #[test]
    fn what_is_given_is_taken_by_its_address_and_for_its_service() {
        let (first, mut given) = open_at(0, 2, &mut Vec::new());
        let (second, others) = open_at(0, 1, &mut Vec::new());
        given.extend(others);
        // As asked for with port 0: one listener after the other.
        let (address, taken) = open_at(0, 2, &mut given);
        assert_eq!((address, taken.len(), given.len()), (first, 2, 1));
        // By the port that it became.
        let (address, taken) = open_at(second.port(), 2, &mut given);
        assert_eq!((address, taken.len(), given.len()), (second, 1, 0));
        let mut plain = vec![Listening {
            service: Service::Plain,
            ..taken.into_iter().next().expect("one")
        }];
        let (address, _) = open_at(0, 1, &mut plain);
        assert!(address != second && plain.len() == 1);
    }
}
