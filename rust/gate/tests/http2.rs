//! HTTP/2 towards clients: the same rules, several requests at a time.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::future::poll_fn;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use judge::record::Mode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use crate::support::{PATIENCE, World, client::Hello, eventually, route, site};

type Sender = http2::SendRequest<Full<Bytes>>;

async fn open(world: &World, hello: Hello) -> Sender {
    let client = world.connect(hello.alpn("h2")).await;
    assert_eq!(client.tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(client.tls))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

fn get(uri: &str) -> Request<Full<Bytes>> {
    Request::builder()
        .uri(uri)
        .version(Version::HTTP_2)
        .body(Full::default())
        .unwrap()
}

async fn text(response: Response<Incoming>) -> String {
    String::from_utf8_lossy(&response.into_body().collect().await.unwrap().to_bytes()).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_forwarded_as_http_1() {
    let world = World::new().await;
    let mut alice = open(&world, Hello::new("a.test").identity(&world.alice)).await;
    let mut request = get("https://a.test/x?y=1");
    request
        .headers_mut()
        .append("cookie", "a=1".parse().unwrap());
    request
        .headers_mut()
        .append("cookie", "b=2".parse().unwrap());
    request
        .headers_mut()
        .append("client-cert", "forged".parse().unwrap());
    let response = alice.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let seen = text(response).await;
    assert!(
        seen.starts_with("GET /x?y=1 HTTP/1.1\r\nhost: a.test\r\n"),
        "{seen}"
    );
    assert!(
        seen.contains("cookie: a=1; b=2\r\n")
            && seen.contains("via: 2 mutualgate\r\n")
            && !seen.contains("forged"),
        "{seen}"
    );

    let mut post = get("https://a.test/x");
    *post.method_mut() = http::Method::POST;
    *post.body_mut() = Full::from("hello");
    assert!(
        text(alice.send_request(post).await.unwrap())
            .await
            .ends_with("\r\n\r\nhello")
    );

    let many: Vec<_> = (0..50)
        .map(|_| tokio::spawn(alice.send_request(get("https://a.test/x"))))
        .collect();
    for response in many {
        assert_eq!(response.await.unwrap().unwrap().status(), 200);
    }
}

/// By the library that says what comes before an answer, too.
async fn open_h2(world: &World, hello: Hello) -> h2::client::SendRequest<Bytes> {
    let client = world.connect(hello.alpn("h2")).await;
    let (sender, connection) = h2::client::handshake(client.tls).await.unwrap();
    tokio::spawn(async move { connection.await.ok() });
    sender
}

fn expecting(path: &str) -> Request<()> {
    Request::post(format!("https://a.test{path}"))
        .header("expect", "100-continue")
        .body(())
        .unwrap()
}

async fn interim(response: &mut h2::client::ResponseFuture) -> Option<Response<()>> {
    poll_fn(|cx| response.poll_informational(cx))
        .await
        .map(Result::unwrap)
}

async fn body(response: Response<h2::RecvStream>) -> String {
    let mut stream = response.into_body();
    let mut said = Vec::new();
    while let Some(data) = stream.data().await {
        said.extend_from_slice(&data.unwrap());
    }
    String::from_utf8(said).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn interim_responses_pass() {
    let world = World::new().await;
    let mut alice = open_h2(&world, Hello::new("a.test").identity(&world.alice)).await;
    let asked = Request::get("https://a.test/hints").body(()).unwrap();
    let (mut response, _) = alice.send_request(asked, true).unwrap();
    let hint = interim(&mut response).await.unwrap();
    assert_eq!(
        (hint.status(), &hint.headers()["link"]),
        (StatusCode::EARLY_HINTS, &HeaderValue::from_static("</x>"))
    );
    assert_eq!(hint.headers().len(), 1);
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.headers().contains_key("date"));
    assert_eq!(body(response).await, "ok");
}

fn names(fields: &http::HeaderMap) -> Vec<&str> {
    fields.keys().map(http::HeaderName::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_concerns_a_connection_of_http_1_goes_no_further() {
    let world = World::new().await;
    let mut alice = open_h2(&world, Hello::new("a.test").identity(&world.alice)).await;
    let asked = Request::get("https://a.test/of-one-connection");
    let (mut response, _) = alice.send_request(asked.body(()).unwrap(), true).unwrap();
    let hint = interim(&mut response).await.unwrap();
    assert_eq!(names(hint.headers()), ["link"]);
    let response = response.await.unwrap();
    assert_eq!(names(response.headers()), ["x-end", "date"]);
    assert_eq!(body(response).await, "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_long_is_refused() {
    let world = World::new().await;
    let mut alice = open_h2(&world, Hello::new("a.test").identity(&world.alice)).await;
    // 32 KiB are allowed.
    for (length, status) in [(31 * 1024, 200), (33 * 1024, 431)] {
        let asked = Request::get("https://a.test/x").header("x-long", "x".repeat(length));
        let (response, _) = alice.send_request(asked.body(()).unwrap(), true).unwrap();
        assert_eq!(response.await.unwrap().status(), status, "{length}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_http_1_has_not_is_refused() {
    let world = World::new().await;
    let mut alice = open_h2(&world, Hello::new("a.test").identity(&world.alice)).await;
    let name = http::HeaderName::from_lowercase(b"x\"y").unwrap();
    let asked = Request::get("https://a.test/x").header(name, "1");
    let (response, _) = alice.send_request(asked.body(()).unwrap(), true).unwrap();
    let error = response.await.unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::PROTOCOL_ERROR));
    assert!(world.upstream.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_no_bytes_is_one() {
    let world = World::new().await;
    let mut alice = open_h2(&world, Hello::new("a.test").identity(&world.alice)).await;
    for (asked, is_told) in [
        (Request::post("https://a.test/x"), false),
        (
            Request::post("https://a.test/x").header("content-length", "0"),
            true,
        ),
    ] {
        let (response, _) = alice.send_request(asked.body(()).unwrap(), true).unwrap();
        let seen = body(response.await.unwrap()).await;
        assert_eq!(seen.contains("content-length: 0\r\n"), is_told, "{seen}");
    }
    assert_eq!(alice.current_max_send_streams(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_calls_an_answer_off_lets_its_service_go() {
    let sites = vec![site("a.test", vec![route("/", Mode::Required)])];
    let world = World::with(sites, |settings| settings.timeouts.response = 60.0).await;
    let mut alice = open_h2(&world, Hello::new("a.test").identity(&world.alice)).await;
    let upstream = world.upstream.clone();
    // Before it begins, and while more of it is waited for.
    let asked = Request::get("https://a.test/silent").body(()).unwrap();
    let (response, _) = alice.send_request(asked, true).unwrap();
    eventually("the request", || upstream.requests().len() == 1).await;
    drop(response);
    eventually("the service is let go", || upstream.gone() == 1).await;
    let asked = Request::get("https://a.test/duplex").body(()).unwrap();
    let (response, _) = alice.send_request(asked, true).unwrap();
    let mut response = response.await.unwrap();
    assert_eq!(
        &response.body_mut().data().await.unwrap().unwrap()[..],
        b"ready"
    );
    drop(response);
    eventually("the service is let go", || upstream.gone() == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_body_has_no_length() {
    let world = World::new().await;
    let mut alice = open_h2(&world, Hello::new("a.test").identity(&world.alice)).await;
    let asked = Request::connect("https://a.test/ws")
        .version(Version::HTTP_2)
        .extension(h2::ext::Protocol::from_static("websocket"))
        .header("content-length", "5");
    let (response, _sending) = alice.send_request(asked.body(()).unwrap(), false).unwrap();
    let error = response.await.unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::PROTOCOL_ERROR));
    assert!(world.upstream.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_asked_for_its_body_by_the_gate_alone() {
    let world = World::new().await;
    let mut alice = open_h2(&world, Hello::new("a.test").identity(&world.alice)).await;
    let asked = Request::get("https://a.test/unasked-100").body(()).unwrap();
    let (mut response, _) = alice.send_request(asked, true).unwrap();
    assert!(interim(&mut response).await.is_none());
    assert_eq!(body(response.await.unwrap()).await, "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_cannot_fill_the_memory_with_interim_responses() {
    let world = World::new().await;
    let mut alice = open_h2(&world, Hello::new("a.test").identity(&world.alice)).await;
    let asked = Request::get("https://a.test/many-hints").body(()).unwrap();
    let (mut response, _) = alice.send_request(asked, true).unwrap();
    let mut hints = 0;
    while interim(&mut response).await.is_some() {
        hints += 1;
    }
    assert!((100..500).contains(&hints), "{hints}");
    assert_eq!(body(response.await.unwrap()).await, "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_to_be_asked_for_its_body_is_asked() {
    let world = World::new().await;
    let mut alice = open_h2(&world, Hello::new("a.test").identity(&world.alice)).await;
    let (mut response, mut sending) = alice.send_request(expecting("/x"), false).unwrap();
    let asks = tokio::time::timeout(PATIENCE, interim(&mut response))
        .await
        .unwrap();
    assert_eq!(asks.unwrap().status(), StatusCode::CONTINUE);
    sending.send_data("hello".into(), true).unwrap();
    // Once.
    assert!(interim(&mut response).await.is_none());
    assert!(
        body(response.await.unwrap())
            .await
            .ends_with("5\r\nhello\r\n0\r\n\r\n")
    );
    // One whose body nobody wants is not asked.
    let (mut response, _sending) = alice.send_request(expecting("/admin;x/"), false).unwrap();
    assert!(interim(&mut response).await.is_none());
    assert_eq!(response.await.unwrap().status(), 400);
}

/// On one thread, so that the head and the body leave together.
#[tokio::test]
async fn a_body_that_comes_unasked_is_not_asked_for() {
    let world = World::new().await;
    let mut alice = open_h2(&world, Hello::new("a.test").identity(&world.alice)).await;
    let (mut response, mut sending) = alice.send_request(expecting("/x"), false).unwrap();
    sending.send_data("hello".into(), true).unwrap();
    assert!(interim(&mut response).await.is_none());
    assert!(body(response.await.unwrap()).await.contains("hello"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_an_answer_is_not_given_for_the_whole() {
    let world = World::new().await;
    let mut alice = open_h2(&world, Hello::new("a.test").identity(&world.alice)).await;
    let asked = Request::get("https://a.test/broken-chunks");
    let (response, _) = alice.send_request(asked.body(()).unwrap(), true).unwrap();
    // What has come by then is dropped by the library.
    let error = match response.await {
        Ok(mut response) => loop {
            if let Err(error) = response.body_mut().data().await.expect("more than a part") {
                break error;
            }
        },
        Err(error) => error,
    };
    assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_called_off_is_not_taken_for_a_whole_one() {
    let world = World::new().await;
    let mut alice = open_h2(&world, Hello::new("a.test").identity(&world.alice)).await;
    for reason in [h2::Reason::CANCEL, h2::Reason::NO_ERROR] {
        let before = world.upstream.requests().len();
        let asked = Request::post("https://a.test/x").body(()).unwrap();
        let (_response, mut sending) = alice.send_request(asked, false).unwrap();
        sending.send_data("half".into(), false).unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        sending.send_reset(reason);
        eventually("the end", || world.upstream.requests().len() > before).await;
        let last = world.upstream.last();
        assert!(last.ends_with("4\r\nhalf\r\n<EOF>"), "{last}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authority_has_to_be_of_the_site() {
    let world = World::new().await;
    let mut alice = open(&world, Hello::new("a.test").identity(&world.alice)).await;
    assert_eq!(
        alice
            .send_request(get("https://b.test/"))
            .await
            .unwrap()
            .status(),
        421
    );
    let mut two = get("https://a.test/");
    two.headers_mut().insert("host", "b.test".parse().unwrap());
    assert_eq!(alice.send_request(two).await.unwrap().status(), 400);
    assert_eq!(
        alice
            .send_request(get("https://a.test/admin;x/"))
            .await
            .unwrap()
            .status(),
        400
    );
    assert_eq!(
        alice
            .send_request(get("https://a.test/"))
            .await
            .unwrap()
            .status(),
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_gets_one_answer_and_a_revoked_client_too() {
    let mut world = World::new().await;
    let mut stranger = open(&world, Hello::new("a.test")).await;
    assert_eq!(
        stranger
            .send_request(get("https://a.test/"))
            .await
            .unwrap()
            .status(),
        403
    );
    let again = stranger.send_request(get("https://a.test/")).await;
    assert!(again.is_err() || stranger.is_closed());

    let mut alice = open(&world, Hello::new("a.test").identity(&world.alice)).await;
    assert_eq!(
        alice
            .send_request(get("https://a.test/"))
            .await
            .unwrap()
            .status(),
        200
    );
    let stream = alice.send_request(get("https://a.test/sse")).await.unwrap();
    world.revoke(&world.alice.clone());
    let rest = tokio::time::timeout(PATIENCE, stream.into_body().collect()).await;
    assert!(rest.expect("an end in time").is_err(), "the stream is cut");
    assert!(alice.send_request(get("https://a.test/")).await.is_err());
    let upstream = world.upstream.clone();
    eventually("the stream's connection to the upstream is closed", || {
        upstream.open() <= 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_opened_only_to_be_abandoned_end_the_connection() {
    let world = World::new().await;
    let mut alice = open(&world, Hello::new("a.test").identity(&world.alice)).await;
    assert_eq!(
        alice
            .send_request(get("https://a.test/"))
            .await
            .unwrap()
            .status(),
        200
    );
    for _ in 0..5000 {
        if alice.ready().await.is_err() {
            return;
        }
        // Dropped after it was sent: RST_STREAM (CVE-2023-44487).
        let _ = tokio::time::timeout(
            std::time::Duration::from_micros(300),
            alice.send_request(get("https://a.test/silent")),
        )
        .await;
    }
    panic!("5000 streams were abandoned in vain");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_window_does_not_hold_a_connection() {
    let sites = vec![site("a.test", vec![route("/", Mode::Required)])];
    let world = World::with(sites, |settings| settings.timeouts.stall = 1.5).await;
    let alice = Hello::new("a.test").identity(&world.alice);
    for (hello, path) in [
        (Hello::new("a.test"), "x"),
        (alice.clone(), "x"),
        (alice, "head-first"),
    ] {
        let client = world.connect(hello.alpn("h2")).await;
        let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(0)
            .handshake::<_, Full<Bytes>>(TokioIo::new(client.tls))
            .await
            .unwrap();
        tokio::spawn(connection);
        let asked = get(&format!("https://a.test/{path}"));
        let response = sender.send_request(asked).await.unwrap();
        let end = tokio::time::timeout(PATIENCE, response.into_body().collect()).await;
        assert!(end.expect("an end in time").is_err());
        eventually("the connection is gone", || {
            world.gate.counters().open_connections == 0
        })
        .await;
    }
}

/// A WebSocket of alice's at `path` that was said hello to; aborted, the task is the end of its connection.
async fn websocket(
    world: &World,
    path: &str,
) -> (
    h2::SendStream<Bytes>,
    h2::RecvStream,
    tokio::task::JoinHandle<()>,
) {
    let hello = Hello::new("a.test").identity(&world.alice).alpn("h2");
    let client = world.connect(hello).await;
    let (mut alice, connection) = h2::client::handshake(client.tls).await.unwrap();
    let task = tokio::spawn(async move { drop(connection.await) });
    let asked = Request::connect(format!("https://a.test{path}"))
        .version(Version::HTTP_2)
        .extension(h2::ext::Protocol::from_static("websocket"));
    let (response, sending) = alice.send_request(asked.body(()).unwrap(), false).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    let mut receiving = response.into_body();
    assert_eq!(&receiving.data().await.unwrap().unwrap()[..], b"hello");
    (sending, receiving, task)
}

/// Requests that are over.
fn over(world: &World) -> u64 {
    let requests = world.gate.counters().requests;
    requests.iter().flat_map(|route| route.classes).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_that_waits_for_its_service_alone_ends_with_the_connection() {
    let world = World::new().await;
    let upstream = world.upstream.clone();
    let (mut sending, _receiving, task) = websocket(&world, "/ws-deaf").await;
    sending.send_data(Bytes::from("bye"), true).unwrap();
    eventually("all is said", || upstream.last() == "bye<EOF>").await;
    assert_eq!(over(&world), 0);
    task.abort();
    eventually("the request is over", || over(&world) == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_whose_client_resets_it_does_not_wait_for_its_service() {
    let world = World::new().await;
    for (count, reason) in [
        (1, h2::Reason::CANCEL),
        (2, h2::Reason::NO_ERROR),
        (3, h2::Reason::INTERNAL_ERROR),
    ] {
        let (mut sending, _receiving, _task) = websocket(&world, "/ws-deaf").await;
        sending.send_reset(reason);
        eventually("the request is over", || over(&world) == count).await;
    }
    // Nor does one that had said all.
    let upstream = world.upstream.clone();
    let (mut sending, _receiving, _task) = websocket(&world, "/ws-deaf").await;
    sending.send_data(Bytes::from("bye"), true).unwrap();
    eventually("all is said", || upstream.last() == "bye<EOF>").await;
    sending.send_reset(h2::Reason::CANCEL);
    eventually("the request is over", || over(&world) == 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_whose_service_has_said_all_still_hears_its_client() {
    let world = World::new().await;
    let upstream = world.upstream.clone();
    let (mut sending, mut receiving, _task) = websocket(&world, "/ws-first").await;
    let all = async {
        while let Some(data) = receiving.data().await {
            assert!(data.unwrap().is_empty());
        }
    };
    let end = tokio::time::timeout(PATIENCE, all).await;
    end.expect("an end in time");
    sending.send_data(Bytes::from("still here"), true).unwrap();
    eventually("what is said after it", || {
        upstream.last() == "still here<EOF>"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_that_stays_after_its_answer_gets_no_other() {
    let world = World::new().await;
    let mut stranger = Frames::open(&world, Hello::new("a.test")).await;
    stranger.get(1).await;
    stranger.until(HEADERS, 1).await;
    // It is told to come again and asked by a PING whether it has heard that, and does not say so.
    stranger.until(GOAWAY, 0).await;
    stranger.get(3).await;
    stranger.until(RST_STREAM, 3).await;
    assert!(!stranger.seen.contains(&(HEADERS, 3)));
    while stranger.more().await {}
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_messages_of_a_client_are_no_attack() {
    let world = World::new().await;
    let mut alice = Frames::open(&world, Hello::new("a.test").identity(&world.alice)).await;
    alice.post(1).await;
    let messages = 8000;
    let mut burst = frame(DATA, 0, 1, b"01234567").repeat(messages);
    burst.extend(frame(DATA, END_STREAM, 1, b""));
    alice.send(&burst).await;
    alice.until(HEADERS, 1).await;
    let request = world.upstream.last();
    assert_eq!(request.matches("01234567").count(), messages);
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [0, length[0], length[1], kind, flags, 0, 0, 0, stream];
    [&head[..], payload].concat()
}

/// A client that sends the frames it is told, and answers none.
struct Frames {
    tls: TlsStream<TcpStream>,
    /// Kinds and streams.
    seen: Vec<(u8, u8)>,
}

impl Frames {
    async fn open(world: &World, hello: Hello) -> Frames {
        let tls = world.connect(hello.alpn("h2")).await.tls;
        let mut frames = Frames { tls, seen: vec![] };
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let settings = frame(SETTINGS, 0, 0, b"");
        frames.send(&[preface, &settings[..]].concat()).await;
        frames
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.tls.write_all(bytes).await.unwrap();
        self.tls.flush().await.unwrap();
    }

    /// GET, https, / and a literal :authority (RFC 7541 appendix A).
    async fn get(&mut self, stream: u8) {
        let head = b"\x82\x87\x84\x01\x06a.test";
        let flags = END_HEADERS | END_STREAM;
        self.send(&frame(HEADERS, flags, stream, head)).await;
    }

    async fn post(&mut self, stream: u8) {
        let head = b"\x83\x87\x84\x01\x06a.test";
        self.send(&frame(HEADERS, END_HEADERS, stream, head)).await;
    }

    /// Reads until a frame of this kind has come on this stream, now or before.
    async fn until(&mut self, kind: u8, stream: u8) {
        while !self.seen.contains(&(kind, stream)) {
            assert!(self.more().await, "{:?}", self.seen);
        }
    }

    /// Reads one more frame; `false` at the end.
    async fn more(&mut self) -> bool {
        let read = async {
            let mut head = [0; 9];
            self.tls.read_exact(&mut head).await.ok()?;
            let length = u16::from_be_bytes([head[1], head[2]]);
            let mut payload = vec![0; length.into()];
            self.tls.read_exact(&mut payload).await.ok()?;
            Some((head[3], head[8]))
        };
        let frame = timeout(4 * PATIENCE, read).await.expect("a frame in time");
        self.seen.extend(frame);
        frame.is_some()
    }
}
