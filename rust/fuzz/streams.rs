//! What the fuzz target `streams` does with its input; `gate/tests/seeds.rs` does the same with the seeds.
//!
//! Run it: `cargo fuzz run --sanitizer none streams work/streams seeds/streams` in `rust/fuzz`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    os::unix::net::{UnixListener, UnixStream},
    panic, process,
    sync::{Arc, LazyLock},
    thread,
    time::Duration,
};

use gate::trial::{self, Told};
use judge::record::Mode;
use rustls::{ClientConfig, ClientConnection, StreamOwned, pki_types::ServerName};
use tokio::runtime::Runtime;

use crate::{
    frames::{
        self, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEAD_BYTES, HEADERS, RST_STREAM,
        SETTINGS, frame,
    },
    support::{WireUpstream, World, client::Hello, route, site},
};

/// The stream of the last request, which no input names.
const LAST: u32 = 1001;

/// Longest input that is looked at: each step takes time.
const MOST_BYTES: usize = 4096;

/// A gate, and alice, a client of it, who resumes her session.
struct Place {
    world: World,
    tls: Arc<ClientConfig>,
    _runtime: Runtime,
}

/// What h2 asserts in development builds where a connection is cut off before what it resets is sent
/// (https://github.com/hyperium/h2/issues/907): by then the connection is over.
const SPURIOUS: &str = "assertion failed: !self.has_streams()";

static PLACE: LazyLock<Place> = LazyLock::new(|| {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if panic.payload().downcast_ref() != Some(&SPURIOUS) {
            hook(panic);
        }
    }));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let path = std::env::temp_dir().join(format!("streams-{}", process::id()));
    let _ = std::fs::remove_file(&path);
    let service = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        for stream in service.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || {
                // Where it says what is wrong, nobody else waits for it.
                if panic::catch_unwind(|| serve(stream)).is_err() {
                    process::abort();
                }
            });
        }
    });
    let sites = vec![site("a.test", vec![route("/", Mode::Required)])];
    let world = runtime.block_on(World::with(sites, |settings| {
        settings.upstreams = vec![WireUpstream::at(&[format!("unix:{}", path.display())])];
    }));
    let hello = Hello::new("a.test").identity(&world.alice).alpn("h2");
    let tls = Arc::new(hello.root(&world.pki).resuming().config());
    Place {
        world,
        tls,
        _runtime: runtime,
    }
});

/// A service that insists: one request at a time, with one way to know its length, of alice and nobody else. By path it
/// answers with interim responses and trailers, or at length.
fn serve(mut stream: UnixStream) {
    let (mut received, mut room) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut room) {
            Ok(0) | Err(_) => return,
            Ok(count) => received.extend_from_slice(&room[..count]),
        }
        let reading = trial::read(&received, usize::MAX);
        assert_eq!(
            reading.refused,
            None,
            "{:?}",
            received.escape_ascii().to_string()
        );
        let [request] = &reading.requests[..] else {
            assert!(
                reading.requests.is_empty(),
                "{:?}",
                received.escape_ascii().to_string()
            );
            continue;
        };
        if !request.is_whole {
            continue;
        }
        check(&received);
        if stream.write_all(&answer(request)).is_err() {
            return;
        }
        received.clear();
    }
}

fn answer(request: &Told) -> Vec<u8> {
    let hint = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nTE: x\r\nKeep-Alive: 5\r\n\r\n";
    let answer: &[u8] = match &*request.target {
        _ if request.method == "HEAD" => b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        "/hints" => return (hint.repeat(50) + "HTTP/1.1 204 No Content\r\n\r\n").into_bytes(),
        "/trailers" => {
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\nContent-Length: 9\r\n\r\n"
        }
        "/long" => {
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
            return (head.to_owned() + &"x".repeat(100_000)).into_bytes();
        }
        _ => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Up: 1\r\n\r\nok",
    };
    answer.to_vec()
}

/// Nobody's word but the gate's about who is who, and what is of one connection is of this one.
fn check(received: &[u8]) {
    let end = received.windows(4).position(|four| four == b"\r\n\r\n");
    let head = received[..end.unwrap()].split(|byte| *byte == b'\n');
    let mut names = Vec::new();
    for line in head.skip(1) {
        let colon = line.iter().position(|byte| *byte == b':').unwrap();
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let name = std::str::from_utf8(name).unwrap().to_ascii_lowercase();
        match &*name {
            "mutualgate-client" => assert_eq!(value, b"alice"),
            "host" => assert_eq!(value, b"a.test"),
            "via" => assert!(value.ends_with(b"2 mutualgate")),
            "keep-alive" | "proxy-connection" | "http2-settings" => panic!("{name}"),
            "te" => assert_eq!(value, b"trailers"),
            "upgrade" => assert_eq!(value, b"websocket"),
            "connection" => assert!(value == b"te" || value == b"upgrade"),
            _ => {}
        }
        assert!(!name.contains('_') || gate::identity::kind(&name).is_none());
        names.push(name);
    }
    for name in ["mutualgate-client", "host", "x-forwarded-for"] {
        assert_eq!(names.iter().filter(|other| *other == name).count(), 1);
    }
}

/// A connection of HTTP/2 on which a script says frames: whatever they are, a service is sent whole requests of this client
/// and nothing else, and at the end the connection either is over or answers one more request.
///
/// A step is a kind, flags, a stream, a length and so many bytes: a frame of that kind, a request of those fields, or many
/// frames in one. What is no step is not looked at, so a frame is never cut off.
pub fn streams(data: &[u8]) {
    let mut connection = open();
    // An error: the gate has ended the connection.
    let _ = talk(&mut connection, &data[..data.len().min(MOST_BYTES)]);
}

fn open() -> StreamOwned<ClientConnection, TcpStream> {
    let tcp = TcpStream::connect(PLACE.world.address()).unwrap();
    tcp.set_nodelay(true).unwrap();
    tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // Ports are few, and a closed connection would keep its own for a minute.
    let reset = socket2::SockRef::from(&tcp).set_linger(Some(Duration::ZERO));
    reset.unwrap();
    let name = ServerName::try_from("a.test").unwrap();
    StreamOwned::new(ClientConnection::new(PLACE.tls.clone(), name).unwrap(), tcp)
}

fn talk(connection: &mut (impl Read + Write), script: &[u8]) -> io::Result<()> {
    let mut said = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    said.extend(frame(SETTINGS, 0, 0, b""));
    let mut rest = script;
    while let [kind, flags, stream, length, more @ ..] = rest {
        let (bytes, more) = more.split_at(more.len().min(usize::from(*length)));
        rest = more;
        step(&mut said, *kind, *flags, *stream, bytes);
    }
    let last = fields(b"\n:method: GET\n:scheme: https\n:path: /\n:authority: a.test");
    said.extend(frame(HEADERS, END_STREAM | END_HEADERS, LAST, &last));
    connection.write_all(&said)?;
    loop {
        let mut head = [0; HEAD_BYTES];
        read(connection, &mut head)?;
        let (length, kind, stream) = frames::read_head(&head);
        read(connection, &mut vec![0; length])?;
        match kind {
            GOAWAY => return Ok(()),
            HEADERS | RST_STREAM if stream == LAST => return Ok(()),
            _ => {}
        }
    }
}

fn read(connection: &mut impl Read, bytes: &mut [u8]) -> io::Result<()> {
    connection.read_exact(bytes).inspect_err(|error| {
        assert!(
            !matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
            ),
            "the connection hangs"
        );
    })
}

/// Adds what a step says.
fn step(said: &mut Vec<u8>, kind: u8, flags: u8, stream: u8, bytes: &[u8]) {
    let stream = match u32::from(stream) {
        255 => 0,
        stream => stream * 2 + 1,
    };
    match kind & 0x1f {
        // Any frame; those that belong together are made so below.
        kind @ 0..=10 => said.extend(frame(kind, flags, stream, bytes)),
        11..=20 => said.extend(frame(
            HEADERS,
            flags & END_STREAM | END_HEADERS,
            stream,
            &fields(bytes),
        )),
        21 => {
            let whole = fields(bytes);
            let (first, second) = whole.split_at(whole.len() / 2);
            said.extend(frame(HEADERS, flags & END_STREAM, stream, first));
            said.extend(frame(CONTINUATION, END_HEADERS, stream, second));
        }
        22 => said.extend(frame(DATA, flags & END_STREAM, stream, &bytes.repeat(50))),
        23 => {
            let (kind, payload) = bytes.split_first().unwrap_or((&DATA, &[]));
            for _ in 0..50 {
                said.extend(frame(kind % 11, flags, stream, payload));
            }
        }
        // A few requests of their own streams.
        24 => {
            for more in 0..u32::from(flags % 30) {
                said.extend(frame(
                    HEADERS,
                    flags & END_STREAM | END_HEADERS,
                    stream + 2 * more,
                    &fields(bytes),
                ));
            }
        }
        kind => said.extend(frame(kind, flags, stream, bytes)),
    }
}

/// Header fields, one to a line. Where the first line is not empty, it is a path, and what a request needs comes of itself.
fn fields(text: &[u8]) -> Vec<u8> {
    let end = text.iter().position(|byte| *byte == b'\n');
    let (path, lines) = text.split_at(end.unwrap_or(text.len()));
    let mut out = Vec::new();
    if !path.is_empty() {
        let start = b":method: POST\n:scheme: https\n:authority: a.test\n:path: ";
        out = frames::fields(&[start, path].concat());
    }
    out.extend(frames::fields(
        lines.strip_prefix(b"\n").unwrap_or_default(),
    ));
    out
}
