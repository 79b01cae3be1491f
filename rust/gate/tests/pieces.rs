//! TLS byte by byte: records that come in pieces, keys that change, what is no record, the end.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
};

use judge::record::Mode;
use rustls::{
    AlertDescription, ClientConnection, Error, SupportedProtocolVersion,
    pki_types::ServerName,
    version::{TLS12, TLS13},
};
use support::{PATIENCE, World, client::Hello, route, site};

/// A client whose bytes are sent as the test says.
struct Bare {
    tcp: TcpStream,
    session: ClientConnection,
    said: Vec<u8>,
    /// Of the bytes.
    ended: bool,
    /// As TLS says it.
    closed: bool,
}

impl Bare {
    fn new(world: &World, version: &'static SupportedProtocolVersion) -> Bare {
        let tcp = TcpStream::connect(world.address()).unwrap();
        tcp.set_nodelay(true).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let hello = Hello::new("a.test").identity(&world.alice).version(version);
        let config = Arc::new(hello.root(&world.pki).config());
        let name = ServerName::try_from("a.test").unwrap();
        Bare {
            tcp,
            session: ClientConnection::new(config, name).unwrap(),
            said: Vec::new(),
            ended: false,
            closed: false,
        }
    }

    fn say(&mut self, text: &str) {
        self.session.writer().write_all(text.as_bytes()).unwrap();
    }

    /// Sends what there is, `size` bytes at a time.
    fn send(&mut self, size: usize) {
        let mut bytes = Vec::new();
        while self.session.wants_write() {
            self.session.write_tls(&mut bytes).unwrap();
        }
        for piece in bytes.chunks(size) {
            self.tcp.write_all(piece).unwrap();
        }
    }

    /// Takes what the gate has sent.
    fn receive(&mut self) -> Result<(), Error> {
        self.ended |= self.session.read_tls(&mut self.tcp).unwrap() == 0;
        let state = self.session.process_new_packets()?;
        self.closed |= state.peer_has_closed();
        let mut plain = vec![0; state.plaintext_bytes_to_read()];
        self.session.reader().read_exact(&mut plain).unwrap();
        self.said.extend(plain);
        Ok(())
    }

    /// Goes on, with pieces of `size` bytes, until the gate has said `text`.
    fn until(&mut self, text: &str, size: usize) {
        loop {
            self.send(size);
            if self
                .said
                .windows(text.len())
                .any(|said| said == text.as_bytes())
            {
                self.said.clear();
                return;
            }
            assert!(!self.ended, "{}", String::from_utf8_lossy(&self.said));
            self.receive().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_may_come_in_pieces_from_the_first_byte_on() {
    let world = World::new().await;
    for version in [&TLS13, &TLS12] {
        for size in [1, 1000] {
            let mut bare = Bare::new(&world, version);
            // Leaves with the last message of the handshake, in records of all lengths.
            let body = "x".repeat(40_000) + "the end";
            let length = body.len();
            bare.say(&format!(
                "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: {length}\r\n\r\n{body}"
            ));
            bare.until(&body, size);
            bare.say("GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n");
            bare.until("GET /next HTTP/1.1\r\n", size);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_may_change_at_any_time() {
    let world = World::new().await;
    let mut bare = Bare::new(&world, &TLS13);
    for number in 0..4 {
        for size in [3, 1000] {
            bare.say(&format!("GET /{number} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
            bare.until(&format!("GET /{number} HTTP/1.1\r\n"), size);
            // The gate changes its own, too, with the next answer.
            bare.session.refresh_traffic_keys().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_record_is_an_alert_and_the_end() {
    let world = World::new().await;
    for (bytes, alert) in [
        (&[23, 3, 3, 0, 32][..], AlertDescription::BadRecordMac),
        (&[23, 3, 3, 0xff, 0xff], AlertDescription::DecodeError),
        (&[99, 3, 3, 0, 32], AlertDescription::DecodeError),
    ] {
        for size in [1, 1000] {
            let mut bare = Bare::new(&world, &TLS13);
            bare.say("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
            bare.until("GET / HTTP/1.1\r\n", 1000);
            for piece in [bytes, &[7; 32]].concat().chunks(size) {
                // It may have seen enough before the last one.
                let _ = bare.tcp.write_all(piece);
            }
            while !bare.ended {
                match bare.receive() {
                    Ok(()) => {}
                    Err(error) => {
                        assert_eq!(error, Error::AlertReceived(alert));
                        break;
                    }
                }
            }
            assert!(!bare.ended, "no alert");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_record_ends_a_request_under_way_and_nothing_is_said_after_the_alert() {
    let sites = vec![site("a.test", vec![route("/", Mode::Required)])];
    let world = World::with(sites, |settings| settings.timeouts.response = 60.0).await;
    // One that waits for its service, and one that the gate would answer at once.
    for path in ["/silent", "/admin;x/"] {
        let mut bare = Bare::new(&world, &TLS13);
        bare.say("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        bare.until("GET / HTTP/1.1\r\n", 1000);
        bare.say(&format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        let mut both = Vec::new();
        bare.session.write_tls(&mut both).unwrap();
        both.extend([&[23, 3, 3, 0, 32][..], &[7; 32]].concat());
        bare.tcp.write_all(&both).unwrap();
        let mut last = Vec::new();
        bare.tcp.read_to_end(&mut last).unwrap();
        // Two bytes, their type and what seals them (RFC 8446 5.2).
        assert_eq!((last.len(), &last[..5]), (24, &[23, 3, 3, 0, 19][..]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_on_to_its_body_unasked_is_not_asked_for_the_rest() {
    let world = World::new().await;
    let mut bare = Bare::new(&world, &TLS13);
    bare.say("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
    bare.until("GET /x HTTP/1.1\r\n", usize::MAX);
    // Two records at once, each of which is more than is read at a time.
    let half = "x".repeat(5000);
    bare.say(&format!("POST /y HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 10005\r\n\r\n{half}"));
    bare.say(&half);
    bare.said.clear();
    bare.send(usize::MAX);
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    bare.say("hello");
    bare.send(usize::MAX);
    while bare.said.len() < 15 {
        bare.receive().unwrap();
    }
    let said = String::from_utf8_lossy(&bare.said);
    assert!(said.starts_with("HTTP/1.1 200 OK"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_is_said() {
    let world = World::new().await;
    for version in [&TLS13, &TLS12] {
        let mut bare = Bare::new(&world, version);
        bare.say("GET /big HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
        while !bare.ended {
            bare.send(1000);
            bare.receive().unwrap();
        }
        assert!(bare.said.ends_with(&[b'x'; 1024]));
        assert!(bare.closed);
    }
}
