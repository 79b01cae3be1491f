//! What the fuzz target `services` does with its input; `gate/tests/seeds.rs` does the same with the seeds.
//!
//! Run it: `cargo fuzz run --sanitizer none services work/services seeds/services` in `rust/fuzz`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    ops::Range,
    pin::Pin,
    process,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use gate::trial::{self, Answered};
use h2::{
    SendStream,
    client::{ResponseFuture, SendRequest},
    ext::Protocol,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version, header::CONTENT_LENGTH};
use judge::record::Mode;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixListener, UnixStream},
    runtime::Runtime,
    sync::RwLock,
    task::{JoinSet, yield_now},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    beginnings::check_heads,
    frames::{
        self, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEAD_BYTES, HEADERS, PADDED, SETTINGS,
        frame,
    },
    support::{WireUpstream, World, client::Hello, route, site, upstream::accept},
};

/// Longest input that is looked at: each step takes time.
const MOST_BYTES: usize = 4096;
/// More than a service takes of a body before it gives room for more.
static LONG_BODY: [u8; 100_000] = [b'x'; 100_000];
/// Nothing takes so long. The gate's own patience is longer, lest it hide what hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// RFC 9113 3.4.
const PREFACE_BYTES: usize = 24;

/// A gate, where its services are, and alice, a client who resumes her session, over HTTP/1.1 and HTTP/2.
struct Place {
    address: SocketAddr,
    alice: [Arc<ClientConfig>; 2],
    service: UnixListener,
    _world: World,
}

/// Gates that speak HTTP/1.1 and HTTP/2 to their services.
static PLACES: LazyLock<(Runtime, [Place; 2])> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let places = ["http/1.1", "h2"].map(|protocol| runtime.block_on(place(protocol)));
    (runtime, places)
});

async fn place(protocol: &'static str) -> Place {
    let name = format!("services-{}-{}", process::id(), protocol.len());
    let path = std::env::temp_dir().join(name);
    let _ = std::fs::remove_file(&path);
    let service = UnixListener::bind(&path).unwrap();
    let sites = vec![site("a.test", vec![route("/", Mode::Required)])];
    let world = World::with(sites, |settings| {
        settings.upstreams = vec![WireUpstream {
            protocol,
            ..WireUpstream::at(&[format!("unix:{}", path.display())])
        }];
        settings.timeouts.response = 600.0;
        settings.timeouts.stall = 600.0;
    })
    .await;
    let alice = ["http/1.1", "h2"].map(|protocol| {
        let hello = Hello::new("a.test").identity(&world.alice).alpn(protocol);
        Arc::new(hello.root(&world.pki).resuming().config())
    });
    Place {
        address: world.address(),
        alice,
        service,
        _world: world,
    }
}

/// A service that says what a script tells it, whatever it was asked: its client hears that, or that the service has failed,
/// or a part that is none but a part; and the next request is answered as if nothing had been.
///
/// The script begins with who speaks what, what is asked and when the service speaks, and the place where what it says is
/// cut in two. Over HTTP/1.1 the rest is what it says. Over HTTP/2 a step is a kind, flags, a stream, a length and so many
/// bytes. Asked for a WebSocket, it may agree to that before it says the rest.
pub fn services(data: &[u8]) {
    let [options, cut, script @ ..] = &data[..data.len().min(MOST_BYTES)] else {
        return;
    };
    let (runtime, places) = &*PLACES;
    let [to_service, to_client] = [0, 1].map(|bit| usize::from(options >> bit & 1));
    let socket = (options >> 5 & 1 == 1).then_some(Socket {
        over_2: to_client == 1,
        agrees: to_service == 0 && options >> 6 & 1 == 1,
        ends_first: options >> 7 & 1 == 1,
    });
    let asked = if socket.is_some() {
        0
    } else {
        options >> 2 & 3
    };
    let method =
        [Method::GET, Method::HEAD, Method::POST, Method::POST][usize::from(asked)].clone();
    let body = match asked {
        2 => &LONG_BODY[..5],
        3 => &LONG_BODY,
        _ => b"",
    };
    let mut said = Said::default();
    if to_service == 0 {
        if socket.is_some_and(|socket| socket.agrees) {
            said.bytes = AGREED.to_vec();
        }
        said.bytes.extend_from_slice(script);
    } else {
        said.steps(script);
    }
    let service = Arc::new(Service {
        said,
        cut: usize::from(*cut),
        is_h2: to_service == 1,
        is_early: options >> 4 & 1 == 1 && socket.is_none(),
        socket,
        // A client of HTTP/1.1 has to wait for its first answer.
        asked: 1 + to_client,
        connections: AtomicUsize::new(0),
        is_well: AtomicBool::new(false),
        speaking: RwLock::new(()),
    });
    let place = &places[to_service];
    let asking = async {
        if to_client == 0 {
            ask_1(place, &service, &method, body).await;
        } else {
            ask_2(place, &service, &method, body).await;
        }
    };
    let mut connections = JoinSet::new();
    let meeting = async {
        tokio::select! {
            () = asking => {}
            never = service.serve(place, &mut connections) => match never {},
        }
        // None is left to the next input. At an idle one of HTTP/1.1 the gate looks when it wants to use it.
        while service.is_h2
            && let Some(ended) = connections.join_next().await
        {
            ended.unwrap();
        }
        connections.shutdown().await;
    };
    let met = runtime.block_on(async { timeout(PATIENCE, meeting).await });
    met.expect("somebody hangs");
}

/// How a WebSocket is met.
#[derive(Clone, Copy)]
struct Socket {
    /// Its client speaks HTTP/2.
    over_2: bool,
    /// What the service says begins with `AGREED`.
    agrees: bool,
    /// The service has said all before its client ends.
    ends_first: bool,
}

/// The head of a service that becomes a WebSocket, for the script to go on with; and where it answers the client's key.
const AGREED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: ............................\r\n";
const ACCEPT: Range<usize> = AGREED.len() - 30..AGREED.len() - 2;

/// What alice says on a WebSocket, and hears again.
const WORDS: &[u8] = b"GET /well HTTP/1.1\r\n\r\n";

/// What a service says.
#[derive(Default)]
struct Said {
    bytes: Vec<u8>,
    /// Over HTTP/2, what of it is the body of the first answer, and the second.
    bodies: [Body; 2],
}

#[derive(Default)]
struct Body {
    data: Vec<u8>,
    is_whole: bool,
}

impl Said {
    fn steps(&mut self, script: &[u8]) {
        let mut rest = script;
        while let [kind, flags, stream, length, more @ ..] = rest {
            let (bytes, more) = more.split_at(more.len().min(usize::from(*length)));
            rest = more;
            self.step(kind & 0x1f, *flags, *stream, bytes);
        }
    }

    fn step(&mut self, kind: u8, flags: u8, stream: u8, bytes: &[u8]) {
        let stream = match stream & 7 {
            0..=3 => 1,
            4 | 5 => 3,
            6 => 0,
            _ => u32::from(stream >> 3),
        };
        let end = flags & END_STREAM;
        let head = |status: &[u8]| frames::fields(&[b":status: ", status, bytes].concat());
        match kind {
            11..=14 => self.frame(HEADERS, end | END_HEADERS, stream, &head(b"")),
            15 => {
                let whole = head(b"");
                let (first, second) = whole.split_at(whole.len() / 2);
                self.frame(HEADERS, end, stream, first);
                self.frame(CONTINUATION, END_HEADERS, stream, second);
            }
            16 => self.frame(HEADERS, END_HEADERS, stream, &head(b"103\n")),
            17 | 18 => {
                let trailers = frames::fields(bytes);
                self.frame(HEADERS, END_STREAM | END_HEADERS, stream, &trailers);
            }
            19..=21 => self.frame(DATA, end, stream, bytes),
            22 => self.frame(DATA, end, stream, &bytes.repeat(50)),
            23 => {
                let (kind, payload) = bytes.split_first().unwrap_or((&DATA, &[]));
                for _ in 0..50 {
                    self.frame(kind % 11, flags, stream, payload);
                }
            }
            // Any frame.
            kind => self.frame(kind, flags, stream, bytes),
        }
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.bytes.extend(frame(kind, flags, stream, payload));
        let body = match stream {
            1 => &mut self.bodies[0],
            3 => &mut self.bodies[1],
            _ => return,
        };
        if body.is_whole || !matches!(kind, DATA | HEADERS) {
            return;
        }
        if kind == DATA {
            // RFC 9113 6.1: too much of it ends the connection.
            let padding = (flags & PADDED != 0).then(|| payload.first().copied());
            let data = match padding {
                None => Some(payload),
                Some(None) => None,
                Some(Some(padding)) => (payload.len() - 1)
                    .checked_sub(usize::from(padding))
                    .map(|length| &payload[1..=length]),
            };
            body.data.extend_from_slice(data.unwrap_or_default());
        }
        body.is_whole = flags & END_STREAM != 0;
    }
}

/// A service.
struct Service {
    said: Said,
    cut: usize,
    is_h2: bool,
    /// It does not wait to be asked.
    is_early: bool,
    /// It is asked for a WebSocket first.
    socket: Option<Socket>,
    /// So many requests come first.
    asked: usize,
    connections: AtomicUsize,
    /// From now on it answers `last` and nothing else.
    is_well: AtomicBool,
    /// Held while something is said.
    speaking: RwLock<()>,
}

impl Service {
    async fn serve(
        self: &Arc<Service>,
        place: &Place,
        connections: &mut JoinSet<()>,
    ) -> Infallible {
        loop {
            tokio::select! {
                accepted = place.service.accept() => {
                    let (stream, _) = accepted.unwrap();
                    let service = self.clone();
                    // An error: the gate has ended the connection.
                    connections.spawn(async move {
                        let _ = match (service.is_h2, service.is_well.load(SeqCst)) {
                            (false, false) => service.meet_1(stream).await,
                            (false, true) => well_1(stream, Vec::new()).await,
                            (true, false) => service.meet_2(stream).await,
                            (true, true) => well_2(stream).await,
                        };
                    });
                }
                Some(ended) = connections.join_next() => ended.expect("what it was sent is right"),
            }
        }
    }

    async fn speak(&self, stream: &mut UnixStream, received: &[u8]) -> io::Result<()> {
        let mut bytes = self.said.bytes.clone();
        if self.agrees() {
            let accept = accept(&String::from_utf8_lossy(received));
            bytes[ACCEPT].copy_from_slice(accept.as_bytes());
        }
        let (first, second) = bytes.split_at(self.cut.min(bytes.len()));
        stream.write_all(first).await?;
        yield_now().await;
        stream.write_all(second).await
    }

    async fn meet_1(&self, mut stream: UnixStream) -> io::Result<()> {
        let speaking = self.speaking.read().await;
        self.connections.fetch_add(1, SeqCst);
        let mut received = Vec::new();
        while !self.is_early && head_end(&received).is_none() {
            if stream.read_buf(&mut received).await? == 0 {
                return Ok(());
            }
        }
        self.speak(&mut stream, &received).await?;
        let mut words = received.split(|byte| *byte == b' ');
        let method = Method::from_bytes(words.next().unwrap_or_default());
        let answered = method.map(|method| trial::answered(&self.said.bytes, &method, usize::MAX));
        let switches = matches!(&answered, Ok(Ok(Some(answer))) if answer.status == 101);
        let is_asked = received.windows(9).any(|nine| nine == b"upgrade: ");
        if switches && is_asked {
            return self.converse(stream, received).await;
        }
        let stays = !switches
            && matches!(&answered, Ok(Ok(Some(answer))) if answer.keep_alive && answer.is_whole);
        if !stays {
            stream.shutdown().await?;
        }
        drop(speaking);
        if !asked_well(&mut stream, &mut received).await? {
            return Ok(());
        }
        let Ok(Ok(Some(answer))) = answered else {
            panic!("a connection is used again that was over");
        };
        assert!(stays, "a connection is used again that was over");
        assert_eq!(answer.length, self.said.bytes.len(), "more had come on it");
        well_1(stream, received).await
    }

    /// What it said made the connection a WebSocket, unless the gate knows better.
    async fn converse(&self, mut stream: UnixStream, mut received: Vec<u8>) -> io::Result<()> {
        let ends_first = self.ends_first();
        if ends_first {
            stream.shutdown().await?;
        }
        stream.read_to_end(&mut received).await?;
        let heard = &received[head_end(&received).unwrap()..];
        assert!(WORDS.starts_with(heard), "{heard:?}");
        if !ends_first {
            stream.write_all(heard).await?;
        }
        stream.shutdown().await
    }

    async fn meet_2(&self, mut stream: UnixStream) -> io::Result<()> {
        let speaking = self.speaking.read().await;
        let is_first = self.connections.fetch_add(1, SeqCst) == 0;
        if !self.is_early {
            stream.write_all(&frame(SETTINGS, 0, 0, b"")).await?;
            stream.read_exact(&mut [0; PREFACE_BYTES]).await?;
            // Whoever asks again has a connection of his own.
            for _ in 0..if is_first { self.asked } else { 1 } {
                next_request(&mut stream).await?;
            }
        }
        self.speak(&mut stream, b"").await?;
        drop(speaking);
        end(stream).await
    }
}

const WELL: &[u8] = b"well";

/// Whether the last request comes, before the connection ends.
async fn asked_well(stream: &mut UnixStream, received: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        if received.windows(9).any(|nine| nine == b"GET /well") {
            return Ok(true);
        }
        if stream.read_buf(received).await? == 0 {
            return Ok(false);
        }
    }
}

async fn well_1(mut stream: UnixStream, mut received: Vec<u8>) -> io::Result<()> {
    if !asked_well(&mut stream, &mut received).await? {
        return Ok(());
    }
    let head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\n";
    stream.write_all(&[head, WELL].concat()).await?;
    end(stream).await
}

async fn well_2(mut stream: UnixStream) -> io::Result<()> {
    stream.write_all(&frame(SETTINGS, 0, 0, b"")).await?;
    stream.read_exact(&mut [0; PREFACE_BYTES]).await?;
    let asked = next_request(&mut stream).await?;
    let fields = frames::fields(b":status: 200");
    let head = frame(HEADERS, END_HEADERS, asked, &fields);
    let data = frame(DATA, END_STREAM, asked, WELL);
    stream.write_all(&[head, data].concat()).await?;
    end(stream).await
}

/// Says no more, and waits until the gate does not either.
async fn end(mut stream: UnixStream) -> io::Result<()> {
    stream.shutdown().await?;
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    Ok(())
}

/// The stream of the next request.
async fn next_request(stream: &mut UnixStream) -> io::Result<u32> {
    loop {
        let mut head = [0; HEAD_BYTES];
        stream.read_exact(&mut head).await?;
        let (length, kind, id) = frames::read_head(&head);
        stream.read_exact(&mut vec![0; length]).await?;
        if kind == HEADERS {
            return Ok(id);
        }
    }
}

/// What alice heard.
#[derive(Debug, Default)]
struct Heard {
    interim: Vec<u16>,
    /// 0 for none: what breaks off with its first piece may do so without a word.
    status: u16,
    fields: HeaderMap,
    body: Vec<u8>,
    trailers: HeaderMap,
    /// Whether that is all of it.
    is_whole: bool,
}

/// Asks over HTTP/1.1, where one answer comes after the other.
async fn ask_1(place: &Place, service: &Service, method: &Method, body: &[u8]) {
    let mut alice = connect(place, 0).await;
    let (mut heard, goes_on) =
        exchange_1(&mut alice, method, "/a", service.socket.is_some(), body).await;
    if heard.status == 101 {
        converse_1(&mut alice, service, &mut heard).await;
        service.check_socket(&heard);
    } else {
        service.check(&heard, method, 0);
    }
    service.is_over().await;
    let mut heard = Heard::default();
    if goes_on {
        (heard, _) = exchange_1(&mut alice, &Method::GET, "/well", false, b"").await;
    }
    // RFC 9112 9.3.1: it may end between two of them.
    if heard.status == 0 {
        alice = connect(place, 0).await;
        (heard, _) = exchange_1(&mut alice, &Method::GET, "/well", false, b"").await;
    }
    check_well(&heard);
}

/// A request and its answer, with nothing behind it; and whether another may follow.
async fn exchange_1(
    alice: &mut TlsStream<TcpStream>,
    method: &Method,
    path: &str,
    is_socket: bool,
    body: &[u8],
) -> (Heard, bool) {
    let more = match body.len() {
        0 if is_socket => {
            "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n".to_owned()
        }
        0 => String::new(),
        length => format!("Content-Length: {length}\r\n"),
    };
    let head = format!("{method} {path} HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\n{more}\r\n");
    let request = [head.as_bytes(), body].concat();
    let (mut from, mut to) = tokio::io::split(alice);
    let mut is_sent = false;
    let sending = async {
        // It may be answered, and ended, before all of it is there.
        is_sent = to.write_all(&request).await.is_ok() && to.flush().await.is_ok();
        std::future::pending::<Infallible>().await
    };
    let mut received = Vec::new();
    let receiving = async {
        loop {
            let is_over = from.read_buf(&mut received).await.unwrap_or(0) == 0;
            let answer = trial::answered(&received, method, usize::MAX).expect("HTTP/1.1");
            if is_over || answer.as_ref().is_some_and(|answer| answer.is_whole) {
                break answer;
            }
        }
    };
    let answer = tokio::select! {
        answer = receiving => answer,
        never = sending => match never {},
    };
    let Some(answer) = answer else {
        return (Heard::default(), false);
    };
    let (_, behind) = received.split_at(answer.length);
    assert!(
        behind.is_empty() || is_socket && answer.status == 101,
        "something comes behind it"
    );
    check_heads(&received, answer.interim.len());
    let goes_on = answer.is_whole && answer.keep_alive && is_sent;
    let heard = Heard {
        fields: fields_of(&received, answer.interim.len()),
        interim: answer.interim,
        status: answer.status,
        body: if behind.is_empty() {
            answer.body
        } else {
            behind.to_vec()
        },
        trailers: answer.trailers,
        is_whole: answer.is_whole,
    };
    (heard, goes_on)
}

/// Says `WORDS` on what has become a WebSocket, and hears all.
async fn converse_1(alice: &mut TlsStream<TcpStream>, service: &Service, heard: &mut Heard) {
    if service.ends_first() {
        alice.read_to_end(&mut heard.body).await.expect("an end");
    }
    let _ = alice.write_all(WORDS).await;
    let _ = alice.shutdown().await;
    if !service.ends_first() {
        alice.read_to_end(&mut heard.body).await.expect("an end");
    }
}

/// The fields of the head that follows so many others.
fn fields_of(received: &[u8], others: usize) -> HeaderMap {
    let mut rest = received;
    for _ in 0..others {
        rest = &rest[head_end(rest).unwrap()..];
    }
    let head = &rest[..head_end(rest).unwrap() - 4];
    let lines = head.split(|byte| *byte == b'\n').skip(1);
    lines
        .map(|line| {
            let colon = line.iter().position(|byte| *byte == b':').unwrap();
            let name = HeaderName::from_bytes(&line[..colon]).unwrap();
            let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).unwrap();
            (name, value)
        })
        .collect()
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    let four = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(four + 4)
}

/// Asks twice at the same time over HTTP/2, and once again on the same connection: no answer ends it.
async fn ask_2(place: &Place, service: &Service, method: &Method, body: &'static [u8]) {
    let (send, connection) = h2::client::handshake(connect(place, 1).await)
        .await
        .unwrap();
    let talking = async {
        let first = request_2(&send, method, "/a", service.socket, body).await;
        let second = request_2(&send, &Method::GET, "/b", None, b"").await;
        let (first, second) = tokio::join!(hear_2(first), hear_2(second));
        if service.socket.is_some() && (200..300).contains(&first.status) {
            service.check_socket(&first);
        } else {
            service.check(&first, method, 0);
        }
        service.check(&second, &Method::GET, 1);
        service.is_over().await;
        let third = request_2(&send, &Method::GET, "/well", None, b"").await;
        check_well(&hear_2(third).await);
    };
    tokio::select! {
        () = talking => {}
        ended = connection => panic!("the connection has ended: {ended:?}"),
    }
}

/// A request that was sent.
struct Asked {
    response: ResponseFuture,
    /// What a WebSocket is told on, and how it is met.
    socket: Option<(SendStream<Bytes>, Socket)>,
}

async fn request_2(
    send: &SendRequest<Bytes>,
    method: &Method,
    path: &str,
    socket: Option<Socket>,
    body: &'static [u8],
) -> Asked {
    let uri = format!("https://a.test{path}");
    let request = match socket {
        Some(_) => Request::connect(uri).extension(Protocol::from_static("websocket")),
        None => (Request::builder().method(method).uri(uri)).header("te", "trailers"),
    };
    let request = request.version(Version::HTTP_2).body(()).unwrap();
    let mut send = send.clone().ready().await.expect("the connection goes on");
    let ends = body.is_empty() && socket.is_none();
    let (response, mut stream) = send.send_request(request, ends).unwrap();
    if !body.is_empty() {
        stream.send_data(Bytes::from_static(body), true).unwrap();
    }
    Asked {
        response,
        socket: socket.map(|socket| (stream, socket)),
    }
}

async fn hear_2(asked: Asked) -> Heard {
    let Asked {
        mut response,
        mut socket,
    } = asked;
    let mut heard = Heard::default();
    let whole = poll_fn(|cx| {
        while let Poll::Ready(Some(Ok(interim))) = response.poll_informational(cx) {
            assert!(!interim.headers().contains_key(CONTENT_LENGTH));
            heard.interim.push(interim.status().as_u16());
        }
        Pin::new(&mut response).poll(cx)
    });
    // What is wrong is said by the gate, not done by it.
    let is_said = |error: &h2::Error| assert!(error.is_remote(), "{error}");
    let Ok(response) = whole.await.inspect_err(is_said) else {
        return heard;
    };
    let (head, mut body) = response.into_parts();
    heard.status = head.status.as_u16();
    heard.fields = head.headers;
    assert!(heard.fields.get_all(CONTENT_LENGTH).iter().count() <= 1);
    let is_open = (200..300).contains(&heard.status);
    let mut talk = |first: bool| {
        if let Some((stream, socket)) = &mut socket
            && first == (is_open && socket.ends_first)
        {
            // An error: it was ended before.
            let _ = stream.send_data(Bytes::from_static(if is_open { WORDS } else { b"" }), true);
        }
    };
    talk(false);
    let rest = async {
        while let Some(data) = body.data().await {
            let data = data?;
            heard.body.extend_from_slice(&data);
            body.flow_control().release_capacity(data.len())?;
        }
        heard.trailers = body.trailers().await?.unwrap_or_default();
        Ok(())
    };
    heard.is_whole = rest.await.inspect_err(is_said).is_ok();
    talk(true);
    heard
}

fn check_well(heard: &Heard) {
    assert_eq!(
        (heard.status, &heard.body[..], heard.is_whole),
        (200, WELL, true),
        "{heard:?}"
    );
}

async fn connect(place: &Place, protocol: usize) -> TlsStream<TcpStream> {
    let tcp = TcpStream::connect(place.address).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    // Ports are few, and a closed connection would keep its own for a minute.
    let reset = socket2::SockRef::from(&tcp).set_linger(Some(Duration::ZERO));
    reset.unwrap();
    let name = ServerName::try_from("a.test").unwrap();
    let connector = TlsConnector::from(place.alice[protocol].clone());
    connector.connect(name, tcp).await.expect("a handshake")
}

impl Service {
    /// Ready when it has said all of it, and answers well from now on.
    async fn is_over(&self) {
        self.is_well.store(true, SeqCst);
        drop(self.speaking.write().await);
    }

    /// Whether that may be heard of what was said to the first or second request.
    fn check(&self, heard: &Heard, method: &Method, number: usize) {
        let socket = self.socket.filter(|_| number == 0);
        for name in heard.fields.keys().chain(heard.trailers.keys()) {
            assert!(!name.as_str().contains('"'), "{name}");
        }
        for name in [
            "set-cookie",
            "content-length",
            "transfer-encoding",
            "connection",
        ] {
            assert!(!heard.trailers.contains_key(name), "{name}");
        }
        let problem = heard.fields.get("content-type");
        let is_own =
            heard.status >= 500 && problem.is_some_and(|kind| kind == "application/problem+json");
        // An answer that is right is not replaced.
        if (heard.status == 0 || is_own && heard.is_whole) && !self.is_right(method, socket) {
            return;
        }
        assert_ne!(heard.status, 101, "nobody has asked for it");
        if self.is_h2 {
            self.check_2(heard, method, number);
        } else {
            self.check_1(heard, method);
        }
    }

    /// Whether its answer over HTTP/1.1 is a whole one, to what was asked.
    fn is_right(&self, method: &Method, socket: Option<Socket>) -> bool {
        let Ok(Some(answer)) = trial::answered(&self.said.bytes, method, usize::MAX) else {
            return false;
        };
        let over_2 = socket.is_some_and(|socket| socket.over_2);
        let is_right = match answer.status {
            101 if over_2 => answer.length == AGREED.len() + 2 && self.agrees(),
            101 => socket.is_some(),
            200..300 => !over_2,
            _ => true,
        };
        !self.is_h2 && answer.is_whole && is_right
    }

    fn agrees(&self) -> bool {
        self.socket.is_some_and(|socket| socket.agrees)
    }

    fn ends_first(&self) -> bool {
        self.socket.is_some_and(|socket| socket.ends_first)
    }

    /// Whether that may be heard of a WebSocket.
    fn check_socket(&self, heard: &Heard) {
        let answered = trial::answered(&self.said.bytes, &Method::GET, usize::MAX);
        let Ok(Some(Answered {
            status: 101,
            length,
            ..
        })) = answered
        else {
            panic!("it has not switched: {heard:?}");
        };
        let mut expected = self.said.bytes[length..].to_vec();
        if !self.ends_first() {
            expected.extend_from_slice(WORDS);
        }
        assert!(heard.is_whole && heard.body == expected, "{heard:?}");
        let mut unheard = vec!["content-length", "transfer-encoding"];
        if heard.status != 101 {
            assert!(self.agrees(), "nobody knew the key");
            unheard.extend(["connection", "upgrade", "sec-websocket-accept"]);
        }
        for name in unheard {
            assert!(!heard.fields.contains_key(name), "{name}");
        }
    }

    fn check_1(&self, heard: &Heard, method: &Method) {
        let said = match trial::answered(&self.said.bytes, method, usize::MAX) {
            Ok(said) => said.expect("a head, where one was heard"),
            Err(_) => {
                assert!(!heard.is_whole, "{heard:?}");
                return;
            }
        };
        assert_eq!(heard.status, said.status);
        assert_eq!(heard.is_whole, said.is_whole);
        if said.is_whole {
            assert_eq!(heard.body, said.body);
        } else {
            assert!(said.body.starts_with(&heard.body));
        }
        // The gate asks for bodies itself; and of very many, not all are passed on.
        let mut interim = said.interim.iter().filter(|status| **status != 100);
        let is_said = |heard: &u16| interim.any(|said| said == heard);
        assert!(heard.interim.iter().all(is_said), "{heard:?}");
        for (name, value) in &heard.trailers {
            let mut all = said.trailers.get_all(name).iter();
            assert!(all.any(|said| said == value), "{name}");
        }
    }

    fn check_2(&self, heard: &Heard, method: &Method, number: usize) {
        let is_bodiless = *method == Method::HEAD || matches!(heard.status, 204 | 304);
        let has_length = heard.fields.contains_key(CONTENT_LENGTH);
        // Asked again, a request is the only one of its connection.
        let may_be = match self.connections.load(SeqCst) {
            0 | 1 => &self.said.bodies[number..=number],
            _ => &self.said.bodies[..],
        };
        let fits = |body: &Body| {
            if heard.is_whole && is_bodiless {
                heard.body.is_empty()
            } else if heard.is_whole && !has_length {
                body.is_whole && body.data == heard.body
            } else {
                body.data.starts_with(&heard.body)
            }
        };
        assert!(may_be.iter().any(fits), "{heard:?}");
    }
}
