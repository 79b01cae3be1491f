//! HTTP/2 and TLS towards upstreams: what arrives there, what comes back, and who is believed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use h2::{Reason, RecvStream, server};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use judge::record::Mode;
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use crate::support::{
    self, PATIENCE, WireTls, WireUpstream, World, client::Hello, pki::Pki, route, site,
};

/// A server that speaks HTTP/2 alone; answers by path.
#[derive(Clone, Default)]
struct Server {
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    resets: Arc<AtomicUsize>,
    /// How the bodies ended that were sent to `/upload`.
    ends: Arc<Mutex<Vec<Option<Reason>>>>,
    /// How much of a body it takes before it reads any of it, where it says so.
    window: Option<u32>,
    /// How many requests it takes at a time, where it says so.
    most: Option<u32>,
}

impl Server {
    async fn start(&self, tls: Option<TlsAcceptor>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = self.clone();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                server.connections.fetch_add(1, SeqCst);
                let (server, tls) = (server.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => server.serve(tcp).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(tcp).await {
                                server.serve(stream).await;
                            }
                        }
                    }
                });
            }
        });
        address
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut builder = server::Builder::new();
        if let Some(window) = self.window {
            builder.initial_window_size(window);
        }
        if let Some(most) = self.most {
            builder.max_concurrent_streams(most);
        }
        let Ok(mut connection) = builder.handshake(stream).await else {
            return;
        };
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            let nth = self.requests.fetch_add(1, SeqCst);
            let path = request.uri().path().to_owned();
            match path.as_str() {
                "/reset" => respond.send_reset(Reason::INTERNAL_ERROR),
                "/calm" => respond.send_reset(Reason::ENHANCE_YOUR_CALM),
                "/refuse" => respond.send_reset(Reason::REFUSED_STREAM),
                "/refuse-once" if nth == 0 => respond.send_reset(Reason::REFUSED_STREAM),
                "/close" => return,
                "/goaway" => {
                    respond.send_response(Response::new(()), true).unwrap();
                    connection.graceful_shutdown();
                }
                _ => {
                    let server = self.clone();
                    tokio::spawn(async move { server.answer(path, request, respond).await });
                }
            }
        }
    }

    async fn answer(
        self,
        path: String,
        request: http::Request<RecvStream>,
        mut respond: server::SendResponse<Bytes>,
    ) {
        let said = |status: u16| Response::builder().status(status).body(()).unwrap();
        if path == "/hints" {
            let _ = respond.send_informational(said(103));
        }
        if path == "/101" {
            let _ = respond.send_informational(said(101));
        }
        if path == "/mute" {
            let _ = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
            return;
        }
        if path == "/early" {
            // That nothing more is read, the library says by itself (RFC 9113 8.1).
            let mut body = respond.send_response(said(413), false).unwrap();
            return body.send_data(Bytes::from_static(b"big"), true).unwrap();
        }
        if let "/200" | "/204" | "/304" = path.as_str() {
            // None of these has a body, nor an end: the one because of its method.
            let mut response = said(path[1..].parse().unwrap());
            let length = http::HeaderValue::from_static("4");
            response.headers_mut().insert("content-length", length);
            let mut body = respond.send_response(response, false).unwrap();
            if request.method() != http::Method::HEAD {
                let _ = body.send_data(Bytes::from_static(b"some"), false);
            }
            let _ = std::future::poll_fn(|cx| body.poll_reset(cx)).await;
            return;
        }
        if path == "/long" {
            let mut response = said(200);
            let long = http::HeaderValue::from_str(&"x".repeat(100 * 1024)).unwrap();
            response.headers_mut().insert("x-long", long);
            return drop(respond.send_response(response, true));
        }
        if path == "/ticks" {
            // Messages of a few bytes, as many as are taken.
            let mut body = respond.send_response(Response::new(()), false).unwrap();
            loop {
                body.reserve_capacity(8);
                while body.capacity() < 8 {
                    let room = std::future::poll_fn(|cx| body.poll_capacity(cx));
                    if !matches!(room.await, Some(Ok(_))) {
                        return;
                    }
                }
                body.send_data(Bytes::from_static(b"01234567"), false)
                    .unwrap();
            }
        }
        if path == "/silent" {
            let mut body = respond.send_response(Response::new(()), false).unwrap();
            let _ = std::future::poll_fn(|cx| body.poll_reset(cx)).await;
            self.resets.fetch_add(1, SeqCst);
            return;
        }
        let (parts, mut body) = request.into_parts();
        if path == "/upload" {
            let end = loop {
                match body.data().await {
                    Some(Ok(data)) => drop(body.flow_control().release_capacity(data.len())),
                    Some(Err(error)) => break error.reason(),
                    None => break None,
                }
            };
            return self.ends.lock().unwrap().push(end);
        }
        let mut received = Vec::new();
        while let Some(Ok(data)) = body.data().await {
            if path == "/sip" {
                tokio::time::sleep(Duration::from_micros(10 * data.len() as u64)).await;
            }
            let _ = body.flow_control().release_capacity(data.len());
            received.extend_from_slice(&data);
        }
        if path == "/read-reset" {
            return respond.send_reset(Reason::INTERNAL_ERROR);
        }
        let trailers = body.trailers().await.ok().flatten().unwrap_or_default();
        let mut send = respond.send_response(Response::new(()), false).unwrap();
        let text = match path.as_str() {
            "/big" => vec![b'x'; 10 * 1024 * 1024],
            "/half" => {
                let _ = send.send_data(Bytes::from_static(b"half"), false);
                tokio::time::sleep(Duration::from_millis(50)).await;
                return send.send_reset(Reason::INTERNAL_ERROR);
            }
            "/slow" => {
                tokio::time::sleep(Duration::from_millis(300)).await;
                b"slow".to_vec()
            }
            _ => format!(
                "{} {}\n{:?}\n{} bytes\n{trailers:?}",
                parts.method,
                parts.uri,
                parts.headers,
                received.len()
            )
            .into_bytes(),
        };
        send.reserve_capacity(text.len());
        let mut text = Bytes::from(text);
        while !text.is_empty() {
            send.reserve_capacity(text.len());
            while send.capacity() == 0 {
                if std::future::poll_fn(|cx| send.poll_capacity(cx))
                    .await
                    .is_none()
                {
                    return;
                }
            }
            let part = text.split_to(send.capacity().min(text.len()));
            send.send_data(part, false).unwrap();
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let _ = send.send_trailers(trailers);
    }
}

async fn world(upstream: WireUpstream) -> World {
    let sites = vec![site("a.test", vec![route("/", Mode::Required)])];
    World::with(sites, |settings| {
        settings.upstreams[0] = upstream;
        // A busy machine takes some time for many messages.
        settings.timeouts.stall = 300.0;
    })
    .await
}

/// A connection of alice over HTTP/2.
async fn open(world: &World) -> h2::client::SendRequest<Bytes> {
    let hello = Hello::new("a.test").identity(&world.alice).alpn("h2");
    let client = world.connect(hello).await;
    let (sender, connection) = h2::client::handshake(client.tls).await.unwrap();
    tokio::spawn(async move { connection.await.ok() });
    sender
}

async fn in_the_clear() -> (Server, World) {
    let server = Server::default();
    let world = world(at(&[server.start(None).await])).await;
    (server, world)
}

fn at(addresses: &[SocketAddr]) -> WireUpstream {
    let urls: Vec<String> = addresses.iter().map(|at| format!("http://{at}")).collect();
    WireUpstream {
        protocol: "h2",
        ..WireUpstream::at(&urls)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_and_trailers_go_both_ways() {
    let (_, world) = in_the_clear().await;
    let mut alice = world.alice().await;
    alice
        .send("PUT /x?y=z HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\nClient-Cert: forged\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\nClient_Cert: forged\r\nCookie: a\r\n\r\n")
        .await;
    let response = alice.response().await.unwrap();
    let text = response.text();
    assert_eq!(response.status, 200);
    assert!(text.starts_with("PUT http://a.test/x?y=z\n"), "{text}");
    assert!(
        text.contains("\"mutualgate-client-id\": \"1\"") && text.contains("\"te\": \"trailers\""),
        "{text}"
    );
    assert!(text.contains("3 bytes\n{\"x-sum\": \"1\"}"), "{text}");
    assert!(
        !text.contains("forged") && !text.contains("connection"),
        "{text}"
    );
    assert_eq!(alice.get("/big").await.body.len(), 10 * 1024 * 1024);
    assert_eq!(alice.get("/hints").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_while_a_connection_is_opened_waits_for_it() {
    let (server, world) = in_the_clear().await;
    let client = many(&world).await;
    let waiting = (0..8).map(|_| {
        let answer = client.clone().send_request(asked("GET", "/slow"));
        tokio::spawn(async move { answer.await.unwrap().into_body().collect().await.unwrap() })
    });
    for one in waiting.collect::<Vec<_>>() {
        assert_eq!(one.await.unwrap().to_bytes(), "slow");
    }
    // Many at a time, on one connection.
    assert_eq!(server.connections.load(SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_two_clients_do_not_run_on_one_connection() {
    let (server, world) = in_the_clear().await;
    let connections = || server.connections.load(SeqCst);
    let mut anna = many(&world).await;
    let silent = anna.send_request(asked("GET", "/silent")).await.unwrap();
    let answered = anna.send_request(asked("GET", "/x")).await.unwrap();
    answered.into_body().collect().await.unwrap();
    let mut bert = world.alice().await;
    assert_eq!(bert.get("/x").await.status, 200);
    assert_eq!(connections(), 2);
    // One after the other they do.
    assert_eq!(world.alice().await.get("/x").await.status, 200);
    assert_eq!(bert.get("/x").await.status, 200);
    assert_eq!(connections(), 2);
    // But not where the server was sent what it may hold against the connection: little pieces,
    bert.send("POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        .await;
    let requests = server.requests.clone();
    support::eventually("the request is there", || requests.load(SeqCst) == 6).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    bert.send("1\r\nb\r\n0\r\n\r\n").await;
    assert!(bert.response().await.unwrap().text().contains("2 bytes"));
    assert_eq!(world.alice().await.get("/x").await.status, 200);
    assert_eq!(connections(), 3);
    // or requests that were given up.
    drop(silent);
    let resets = server.resets.clone();
    support::eventually("the stream is reset", || resets.load(SeqCst) == 1).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut client = world.alice().await;
        client
            .send("GET /silent HTTP/1.1\r\nHost: a.test\r\n\r\n")
            .await;
        assert!(client.until("\r\n\r\n").await.is_some());
        held.push(client);
    }
    assert_eq!(connections(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_does_not_take_is_sent_again_and_what_it_breaks_off_is_not() {
    let (server, world) = in_the_clear().await;
    let mut alice = world.alice().await;
    alice
        .send("POST /refuse-once HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n")
        .await;
    assert_eq!(alice.response().await.unwrap().status, 200);
    assert_eq!(server.requests.load(SeqCst), 2);
    assert_eq!(alice.get("/reset").await.status, 502);
    assert_eq!(server.requests.load(SeqCst), 3);
    // After a GOAWAY the next request opens another connection.
    assert_eq!(alice.get("/goaway").await.status, 200);
    assert_eq!(alice.get("/x").await.status, 200);
    assert_eq!(server.connections.load(SeqCst), 2);
    alice
        .send("GET /half HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    assert!(alice.response().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_broke_off_goes_to_another_only_if_it_may_be_repeated() {
    let servers = [Server::default(), Server::default()];
    let addresses = [servers[0].start(None).await, servers[1].start(None).await];
    let world = world(at(&addresses)).await;
    let mut alice = world.alice().await;
    for (method, length, requests) in [
        ("GET", "", 2),
        ("POST", "Content-Length: 0\r\n", 1),
        ("PUT", "Content-Length: 2\r\n", 1), // its body is gone
    ] {
        let before: usize = servers.iter().map(|one| one.requests.load(SeqCst)).sum();
        let body = if method == "PUT" { "hi" } else { "" };
        alice
            .send(&format!(
                "{method} /read-reset HTTP/1.1\r\nHost: a.test\r\n{length}\r\n{body}"
            ))
            .await;
        assert_eq!(alice.response().await.unwrap().status, 502);
        let after: usize = servers.iter().map(|one| one.requests.load(SeqCst)).sum();
        assert_eq!(after - before, requests, "{method}");
    }
    // Nor was one sent that a server would not take for whole.
    let report = world.gate.counters().servers;
    assert_eq!(report.iter().map(|one| one.retries).sum::<u64>(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_went_away_is_replaced_once_and_so_is_one_that_takes_nothing() {
    let (server, world) = in_the_clear().await;
    let mut alice = world.alice().await;
    for (path, status, requests) in [
        // Nobody else had used it: it is the request that the server does not bear.
        ("/close", 502, 1),
        ("/x", 200, 1),
        ("/close", 502, 2),
        ("/refuse", 503, 2),
    ] {
        let before = server.requests.load(SeqCst);
        assert_eq!(alice.get(path).await.status, status, "{path}");
        assert_eq!(server.requests.load(SeqCst) - before, requests, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_of_a_body_is_not_left_out_of_a_second_attempt() {
    let server = Server {
        window: Some(0),
        ..Server::default()
    };
    let world = world(at(&[server.start(None).await])).await;
    let mut alice = world.alice().await;
    assert_eq!(alice.get("/x").await.status, 200);
    alice
        .send("POST /refuse HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nhi")
        .await;
    assert_eq!(alice.response().await.unwrap().status, 503);
    assert_eq!(server.requests.load(SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_on_which_an_answer_did_not_come_in_time_gets_nothing_more() {
    let servers = [Server::default(), Server::default()];
    let addresses = [servers[0].start(None).await, servers[1].start(None).await];
    for count in [1, 2] {
        let mut upstream = at(&addresses[..count]);
        upstream.waits.response = Some(1.0);
        let sum = |of: fn(&Server) -> &AtomicUsize| -> usize {
            servers.iter().map(|one| of(one).load(SeqCst)).sum()
        };
        let (requests, connections) = (sum(|one| &one.requests), sum(|one| &one.connections));
        let world = world(upstream).await;
        let mut alice = world.alice().await;
        assert_eq!(alice.get("/mute").await.status, 504);
        // Nor does another server get the request.
        assert_eq!(sum(|one| &one.requests) - requests, 1);
        assert_eq!(alice.get("/x").await.status, 200);
        assert_eq!(sum(|one| &one.connections) - connections, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_slow_to_send_or_to_take_is_waited_for_while_something_moves() {
    let server = Server::default();
    let mut upstream = at(&[server.start(None).await]);
    upstream.waits.response = Some(1.5);
    let world = world(upstream).await;
    let mut alice = world.alice().await;
    alice
        .send("POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\n")
        .await;
    tokio::time::sleep(Duration::from_millis(2_000)).await;
    alice.send("hi").await;
    assert_eq!(alice.response().await.unwrap().status, 200);
    let body = "x".repeat(256 * 1024);
    alice
        .send(&format!(
            "POST /sip HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
    assert_eq!(alice.response().await.unwrap().status, 200);
}

/// A client that has many requests on one connection.
async fn many(world: &World) -> SendRequest<Full<Bytes>> {
    let hello = Hello::new("a.test").identity(&world.alice).alpn("h2");
    let tls = TokioIo::new(world.connect(hello).await.tls);
    let (sender, connection) = http2::handshake(TokioExecutor::new(), tls).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn asked(method: &str, path: &str) -> http::Request<Full<Bytes>> {
    let request = http::Request::builder().method(method);
    let request = request.uri(format!("https://a.test{path}"));
    request.body(Full::default()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_has_as_many_requests_as_the_server_takes_and_no_more_than_we_do() {
    for (most, held) in [(Some(1), 1), (None, 100)] {
        let server = Server {
            most,
            ..Server::default()
        };
        let world = world(at(&[server.start(None).await])).await;
        let mut client = many(&world).await;
        let answered = client.send_request(asked("GET", "/x")).await.unwrap();
        answered.into_body().collect().await.unwrap();
        let mut waiting = Vec::new();
        for _ in 0..held {
            waiting.push(client.send_request(asked("GET", "/silent")).await.unwrap());
        }
        assert_eq!(server.connections.load(SeqCst), 1);
        let answered = client.send_request(asked("GET", "/x")).await.unwrap();
        assert_eq!(answered.status(), 200);
        assert_eq!(server.connections.load(SeqCst), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_about_to_end_gets_nothing_more_while_something_runs_on_it() {
    let (server, world) = in_the_clear().await;
    let mut client = many(&world).await;
    let _waiting = client.send_request(asked("GET", "/silent")).await.unwrap();
    for path in ["/goaway", "/x"] {
        let answered = client.send_request(asked("GET", path)).await.unwrap();
        assert_eq!(answered.status(), 200);
    }
    assert_eq!(server.connections.load(SeqCst), 2);
    assert_eq!(server.resets.load(SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_connection_left_out_at_its_end_goes_on_another_one_whatever_it_is() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = at(&[listener.local_addr().unwrap()]);
    let server = Server::default();
    let theirs = server.clone();
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut room = [0; 24];
        tcp.read_exact(&mut room).await.unwrap();
        tcp.write_all(b"\0\0\0\x04\0\0\0\0\0").await.unwrap(); // SETTINGS
        loop {
            tcp.read_exact(&mut room[..9]).await.unwrap();
            let length = u32::from_be_bytes([0, room[0], room[1], room[2]]);
            let is_head = room[3] == 1;
            let mut rest = vec![0; length as usize];
            tcp.read_exact(&mut rest).await.unwrap();
            if is_head {
                break;
            }
        }
        // GOAWAY: none was taken, and nothing is wrong (RFC 9113 6.8).
        let goaway = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0";
        tcp.write_all(goaway).await.unwrap();
        theirs.serve(listener.accept().await.unwrap().0).await;
    });
    let world = world(upstream).await;
    let mut alice = world.alice().await;
    alice
        .send("POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n")
        .await;
    assert_eq!(alice.response().await.unwrap().status, 200);
    assert_eq!(server.requests.load(SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_before_the_end_of_the_request_is_passed_on() {
    let (_, world) = in_the_clear().await;
    let mut alice = world.alice().await;
    let body = "x".repeat(200 * 1024);
    alice
        .send(&format!(
            "POST /early HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
    let response = alice.response().await.unwrap();
    assert_eq!((response.status, response.text().as_str()), (413, "big"));
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_are_none_are_not_passed_on() {
    let (_, world) = in_the_clear().await;
    let mut alice = world.alice().await;
    for path in ["/101", "/long"] {
        alice
            .send(&format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n"))
            .await;
        let head = alice.until("\r\n\r\n").await.unwrap();
        assert!(head.starts_with("HTTP/1.1 502 "), "{path}: {head}");
        alice = world.alice().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_body_has_none_whatever_comes() {
    let (_, world) = in_the_clear().await;
    let mut client = many(&world).await;
    for (method, path) in [("HEAD", "/200"), ("GET", "/204"), ("GET", "/304")] {
        let response = client.send_request(asked(method, path)).await.unwrap();
        assert_eq!(response.status().as_str(), &path[1..]);
        let body = timeout(PATIENCE, response.into_body().collect()).await;
        assert!(body.expect(path).unwrap().to_bytes().is_empty(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_protocol_counts_at_once() {
    let server = Server::default();
    let address = server.start(None).await;
    let mut world = world(WireUpstream::at(&[format!("http://{address}")])).await;
    let mut alice = world.alice().await;
    assert_eq!(alice.get("/x").await.status, 502);
    world.settings.upstreams[0].protocol = "h2";
    world
        .gate
        .configure(support::checked(&world.settings), world.snapshot.clone())
        .unwrap();
    assert_eq!(alice.get("/x").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_a_request_resets_its_stream_and_no_other() {
    let (server, world) = in_the_clear().await;
    let mut client = many(&world).await;
    let silent = client.send_request(asked("GET", "/silent")).await.unwrap();
    let slow = tokio::spawn(client.send_request(asked("GET", "/slow")));
    let requests = server.requests.clone();
    support::eventually("both are there", || requests.load(SeqCst) == 2).await;
    drop(silent);
    let resets = server.resets.clone();
    support::eventually("the stream is reset", || resets.load(SeqCst) == 1).await;
    assert_eq!(slow.await.unwrap().unwrap().status(), 200);
    assert_eq!(server.connections.load(SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_body_is_not_given_to_a_server_for_the_whole() {
    let (server, world) = in_the_clear().await;
    let mut alice = world.alice().await;
    alice
        .send("POST /upload HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        .await;
    let requests = server.requests.clone();
    support::eventually("the request is there", || requests.load(SeqCst) == 1).await;
    drop(alice);
    let ends = || server.ends.lock().unwrap().clone();
    support::eventually("the body has ended", || !ends().is_empty()).await;
    assert_eq!(ends(), [Some(Reason::CANCEL)]);
    // Nor one of which a client says what is no chunk.
    let mut alice = world.alice().await;
    alice
        .send("POST /upload HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        .await;
    support::eventually("the request is there", || requests.load(SeqCst) == 2).await;
    alice.send("3\r\nabcdef").await;
    assert_eq!(alice.response().await.unwrap().status, 400);
    support::eventually("the body has ended", || ends().len() == 2).await;
    assert_eq!(ends()[1], Some(Reason::CANCEL));
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_reach_a_client_over_http_2_as_grpc_wants_it() {
    let (_, world) = in_the_clear().await;
    let mut sender = many(&world).await;
    let request = http::Request::builder()
        .method("POST")
        .uri("https://a.test/svc/Call")
        .header("te", "trailers")
        .body(Full::new(Bytes::from_static(b"\0\0\0\0\x01x")))
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["grpc-status"], "0");
    let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    assert!(
        text.starts_with("POST http://a.test/svc/Call\n") && text.contains("6 bytes"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_that_concern_a_connection_or_the_head_do_not_reach_a_client_over_http_2() {
    let world = World::new().await;
    let mut sender = many(&world).await;
    for (path, names) in [("/trailers", &["x-sum"][..]), ("/bad-trailers", &["x-sum"])] {
        let response = sender.send_request(asked("GET", path)).await.unwrap();
        let body = response.into_body().collect().await.unwrap();
        let trailers = body.trailers().cloned().unwrap_or_default();
        let seen: Vec<&str> = trailers.keys().map(|name| name.as_str()).collect();
        assert_eq!(seen, names, "{path}");
    }
}

/// A TLS server for `localhost` that asks for a certificate of `clients`.
fn acceptor(pki: &Pki, clients: &Pki, alpn: &str) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(clients.root()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .unwrap();
    let (certificate, key) = pki.server(&["localhost"]);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            CertificateDer::pem_slice_iter(&certificate)
                .collect::<Result<_, _>>()
                .unwrap(),
            PrivateKeyDer::from_pem_slice(&key).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![alpn.into()];
    TlsAcceptor::from(Arc::new(config))
}

fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        STANDARD.encode(der)
    )
    .into_bytes()
}

fn tls(ca: &Pki, own: Option<&Pki>) -> WireTls {
    let own = own.map(|pki| pki.client("gate"));
    WireTls {
        ca_pem: pem("CERTIFICATE", &ca.authority_der()),
        server_name: Some("localhost".into()),
        certificate_pem: own.as_ref().map(|own| pem("CERTIFICATE", &own.chain[0])),
        key_pem: own.map(|own| pem("PRIVATE KEY", own.key.secret_der())),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_believed_by_its_certificate_and_sees_ours() {
    let (house, other, gates) = (
        Pki::named("House"),
        Pki::named("Other"),
        Pki::named("Gates"),
    );
    let server = Server::default();
    let address = server.start(Some(acceptor(&house, &gates, "h2"))).await;
    let upstream = |tls| WireUpstream {
        protocol: "h2",
        tls: Some(tls),
        ..WireUpstream::at(&[format!("https://{address}")])
    };
    let mut right = world(upstream(tls(&house, Some(&gates)))).await;
    let mut alice = right.alice().await;
    let text = alice.get("/x").await.text();
    assert!(text.starts_with("GET https://a.test/x\n"), "{text}");
    // Other settings of TLS never use a connection that was opened with these.
    right.settings.upstreams[0].tls = Some(tls(&other, Some(&gates)));
    right
        .gate
        .configure(support::checked(&right.settings), right.snapshot.clone())
        .unwrap();
    let response = alice.get("/x").await;
    assert_eq!(response.status, 502);
    assert!(response.text().contains("certificate does not verify"));
    let wrong_name = WireTls {
        server_name: Some("elsewhere".into()),
        ..tls(&house, Some(&gates))
    };
    for wrong in [wrong_name, tls(&house, None), tls(&house, Some(&other))] {
        let response = world(upstream(wrong)).await.alice().await.get("/x").await;
        assert!(response.status >= 502, "{}", response.status);
    }
    assert_eq!(server.requests.load(SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn http_1_over_tls_keeps_its_connection() {
    let (house, gates) = (Pki::named("House"), Pki::named("Gates"));
    let acceptor = acceptor(&house, &gates, "http/1.1");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(tcp).await.unwrap();
        let mut taken = 0;
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = stream.read(&mut bytes).await {
            taken += count;
            if bytes[..count].ends_with(b"\r\n\r\n") || bytes[..count].ends_with(b"END") {
                let body = format!("{}", taken > 1_000_000);
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                stream.write_all((head + &body).as_bytes()).await.unwrap();
                stream.flush().await.unwrap();
            }
        }
    });
    let world = world(WireUpstream {
        tls: Some(tls(&house, Some(&gates))),
        ..WireUpstream::at(&[format!("https://{address}")])
    })
    .await;
    let mut alice = world.alice().await;
    assert_eq!(alice.get("/x").await.text(), "false");
    let body = "x".repeat(2_000_000) + "END";
    alice
        .send(&format!(
            "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
    assert_eq!(alice.response().await.unwrap().text(), "true");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_many_fields_and_an_odd_port_is_served_and_costs_no_server_its_place() {
    let servers = [Server::default(), Server::default()];
    let addresses = [servers[0].start(None).await, servers[1].start(None).await];
    let mut upstream = at(&addresses);
    upstream.ejection.failures = 1;
    let world = world(upstream).await;
    let mut alice = open(&world).await;
    for host in ["a.test", "a.test:", "a.test:00000", "a.test:99999"] {
        let mut request = Request::get(format!("https://{host}/x"));
        for number in 0..400 {
            request = request.header(format!("x-{number}"), "");
        }
        let response = alice.send_request(request.body(()).unwrap(), true);
        let status = response.unwrap().0.await.unwrap().status();
        assert_eq!(status, 200, "{host}");
    }
    for one in &world.gate.counters().servers {
        assert_eq!((one.state, one.requests, one.failures), ("up", 2, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_do_together_is_not_their_servers_fault() {
    for (method, path, bytes, failures) in [
        // What one server resets is not sent to the other: it may have been acted on.
        ("POST", "/calm", 0, 0),
        ("POST", "/read-reset", 9 * 1024, 0),
        ("POST", "/read-reset", 2, 1),
    ] {
        let servers = [Server::default(), Server::default()];
        let addresses = [servers[0].start(None).await, servers[1].start(None).await];
        let mut upstream = at(&addresses);
        upstream.ejection.failures = 1;
        let world = world(upstream).await;
        let mut alice = many(&world).await;
        let body = Full::new(Bytes::from(vec![b'x'; bytes]));
        let request = Request::builder()
            .method(method)
            .uri(format!("https://a.test{path}"));
        let answer = alice.send_request(request.body(body).unwrap()).await;
        assert_eq!(answer.unwrap().status(), 502, "{path}");
        let report = &world.gate.counters().servers;
        let failed: u64 = report.iter().map(|one| one.failures).sum();
        assert_eq!(failed, failures, "{path} {bytes}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_ends_a_connection_for_is_not_its_fault() {
    for (with, is_counted) in [
        ("", true),
        ("large fields", false),
        ("little pieces", false),
    ] {
        let (server, world) = in_the_clear().await;
        let mut alice = open(&world).await;
        let ask = |path: &str| Request::post(format!("https://a.test{path}"));
        let (waiting, _) = alice
            .send_request(ask("/mute").body(()).unwrap(), true)
            .unwrap();
        let requests = server.requests.clone();
        support::eventually("the request is there", || requests.load(SeqCst) == 1).await;
        if with == "little pieces" {
            let (_, mut body) = alice
                .send_request(ask("/upload").body(()).unwrap(), false)
                .unwrap();
            body.send_data(Bytes::from_static(b"a"), false).unwrap();
            support::eventually("the request is there", || requests.load(SeqCst) == 2).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            std::mem::forget(body);
        }
        let mut last = ask("/close");
        if with == "large fields" {
            last = last.header("x-large", "x".repeat(9 * 1024));
        }
        let (closed, _) = alice.send_request(last.body(()).unwrap(), true).unwrap();
        assert_eq!(waiting.await.unwrap().status(), 502);
        assert_eq!(closed.await.unwrap().status(), 502);
        let failed = world.gate.counters().servers[0].failures;
        assert_eq!(failed > 0, is_counted, "{with}: {failed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_take_none_of_many_small_messages_hold_up_no_other() {
    let (server, world) = in_the_clear().await;
    let mut idle = Vec::new();
    let mut client = open(&world).await;
    for _ in 0..8 {
        let get = Request::get("https://a.test/ticks").body(()).unwrap();
        let (response, _) = client.send_request(get, true).unwrap();
        idle.push(response.await.unwrap());
    }
    assert_eq!(server.connections.load(SeqCst), 1);
    let mut older = Vec::new();
    for _ in 0..8 {
        let mut client = world.alice().await;
        client
            .send("GET /ticks HTTP/1.1\r\nHost: a.test\r\n\r\n")
            .await;
        older.push(client);
    }
    // What they do not take is on its way for as far as it gets.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let get = Request::get("https://a.test/x").body(()).unwrap();
    let (response, _) = client.send_request(get, true).unwrap();
    assert_eq!(response.await.unwrap().status(), 200);
    assert_eq!(world.alice().await.get("/x").await.status, 200);
    for mut ticks in idle {
        let first = ticks.body_mut().data().await;
        assert!(first.is_some_and(|first| first.is_ok()));
    }
    for mut ticks in older {
        ticks.until("01234567").await.expect("a first one");
    }
}

/// A server that notes of each frame of a body how long it is and whether it is the last, and gives room again as it is
/// told: by each frame's length, in which portions.
struct Frames {
    seen: Arc<Mutex<Vec<(usize, bool)>>>,
    address: SocketAddr,
}

impl Frames {
    async fn start(window: u32, portions: fn(usize) -> Vec<usize>) -> Frames {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<(usize, bool)>>>::default();
        let notes = seen.clone();
        tokio::spawn(async move {
            let (mut tcp, _) = listener.accept().await.unwrap();
            tcp.set_nodelay(true).unwrap();
            let mut head = [0; 24];
            tcp.read_exact(&mut head).await.unwrap();
            // SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113 6.5.2)
            let settings = [
                &[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4][..],
                &window.to_be_bytes(),
            ];
            tcp.write_all(&settings.concat()).await.unwrap();
            while tcp.read_exact(&mut head[..9]).await.is_ok() {
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                let (kind, flags) = (head[3], head[4]);
                let stream: [u8; 4] = head[5..9].try_into().unwrap();
                tcp.read_exact(&mut vec![0; length]).await.unwrap();
                if kind == 4 && flags == 0 {
                    tcp.write_all(&[0, 0, 0, 4, 1, 0, 0, 0, 0]).await.unwrap();
                }
                if kind == 0 {
                    let is_last = flags & 1 == 1;
                    notes.lock().unwrap().push((length, is_last));
                    for portion in portions(length).into_iter().filter(|one| *one > 0) {
                        let portion = (portion as u32).to_be_bytes();
                        let update = [0, 0, 4, 8, 0];
                        let update = [&update, &[0; 4][..], &portion, &update, &stream, &portion];
                        tcp.write_all(&update.concat()).await.unwrap();
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
                if kind < 2 && flags & 1 == 1 {
                    let answer = [&[0, 0, 1, 1, 5][..], &stream, &[0x88]]; // :status 200
                    tcp.write_all(&answer.concat()).await.unwrap();
                }
            }
        });
        Frames { seen, address }
    }

    fn seen(&self) -> Vec<(usize, bool)> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

const WINDOW: u32 = 65_535;

fn posted(length: usize) -> String {
    let body = "x".repeat(length);
    format!("POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: {length}\r\n\r\n{body}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_body_goes_with_its_end_in_one_frame() {
    let server = Frames::start(WINDOW, |length| vec![length]).await;
    let world = world(at(&[server.address])).await;
    let mut alice = world.alice().await;
    let chunks = "POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n";
    for (request, length) in [(posted(2).as_str(), 2), (chunks, 3), (&posted(0), 0)] {
        alice.send(request).await;
        assert_eq!(alice.response().await.unwrap().status, 200);
        let frames = if length == 0 {
            vec![]
        } else {
            vec![(length, true)]
        };
        assert_eq!(server.seen(), frames);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_does_not_go_in_small_frames_where_there_is_little_room() {
    let server = Frames::start(WINDOW, |length| {
        vec![length.min(1), length.saturating_sub(1)]
    })
    .await;
    let world = world(at(&[server.address])).await;
    let mut alice = world.alice().await;
    let large = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    let chunks = format!("5\r\nlittl\r\n{large}").repeat(30);
    let chunked = format!(
        "POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
    );
    for (request, length) in [(posted(500_000), 500_000), (chunked, 30 * 0x4005)] {
        alice.send(&request).await;
        assert_eq!(alice.response().await.unwrap().status, 200);
        let frames = server.seen();
        assert_eq!(frames.iter().map(|(size, _)| size).sum::<usize>(), length);
        let small = frames.iter().filter(|(size, last)| !last && *size < 1024);
        // On a busy machine one is held back for so long that it goes; all would be 30.
        assert!(small.count() < 5, "{frames:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_has_much_room_gets_all_of_a_body() {
    let server = Frames::start(100, |length| vec![length]).await;
    let world = world(at(&[server.address])).await;
    let mut alice = world.alice().await;
    // It says so at its first answer at the latest.
    assert_eq!(alice.get("/x").await.status, 200);
    alice.send(&posted(60_000)).await;
    assert_eq!(alice.response().await.unwrap().status, 200);
    assert_eq!(
        server.seen().iter().map(|(size, _)| size).sum::<usize>(),
        60_000
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_back_goes_after_a_while() {
    // No room again before there is none.
    let server = Frames::start(10_000, |length| match length {
        10 => vec![10_000],
        _ => vec![],
    })
    .await;
    let world = world(at(&[server.address])).await;
    let mut alice = world.alice().await;
    alice
        .send(&posted(15_000)[..posted(15_000).len() - 5_010])
        .await;
    let seen = server.seen.clone();
    support::eventually("a first part is there", || !seen.lock().unwrap().is_empty()).await;
    alice.send(&"x".repeat(5_010)).await;
    assert_eq!(alice.response().await.unwrap().status, 200);
    let frames = server.seen();
    assert!(frames.contains(&(10, false)), "{frames:?}");
    assert_eq!(frames.iter().map(|(size, _)| size).sum::<usize>(), 15_000);
}
