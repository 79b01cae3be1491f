//! TLS byte by byte: records that come in pieces, keys that change, what is no record, the end.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    sync::Arc,
    time::Duration,
};

use judge::record::Mode;
use rustls::{
    AlertDescription, ClientConnection, ConnectionTrafficSecrets, ContentType, Error,
    ProtocolVersion, SupportedCipherSuite, SupportedProtocolVersion,
    crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage},
    pki_types::{CertificateDer, ServerName},
    version::{TLS12, TLS13},
};

use crate::support::{PATIENCE, World, client::Hello, eventually, route, site, upstream::Upstream};

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
        let hello = Hello::new("a.test").identity(&world.alice).version(version);
        Bare::with(world, hello, None)
    }

    /// With messages of the handshake in records of at most `most` bytes.
    fn with(world: &World, hello: Hello, most: Option<usize>) -> Bare {
        let tcp = TcpStream::connect(world.address()).unwrap();
        tcp.set_nodelay(true).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut config = hello.root(&world.pki).config();
        config.enable_secret_extraction = true;
        config.max_fragment_size = most;
        let name = ServerName::try_from("a.test").unwrap();
        Bare {
            tcp,
            session: ClientConnection::new(Arc::new(config), name).unwrap(),
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

    /// Whether the gate says anything, once it has heard all, or enough of it.
    fn is_answered(&mut self) -> bool {
        while let Ok((1.., _) | (_, 1..)) = self.session.complete_io(&mut self.tcp) {
            if self.session.reader().read(&mut [0]).is_ok() {
                return true;
            }
        }
        false
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

/// Says under a session's keys what its TLS would not say.
struct Forger {
    tcp: TcpStream,
    encrypter: Box<dyn MessageEncrypter>,
    version: ProtocolVersion,
    /// Records so far.
    count: u64,
}

impl Forger {
    fn new(bare: Bare) -> Forger {
        let suite = bare.session.negotiated_cipher_suite().unwrap();
        let (count, secrets) = bare.session.dangerous_extract_secrets().unwrap().tx;
        let (ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }) = secrets
        else {
            panic!("{suite:?}");
        };
        let mut encrypter = match suite {
            SupportedCipherSuite::Tls13(suite) => suite.aead_alg.encrypter(key, iv),
            SupportedCipherSuite::Tls12(suite) => {
                let fixed = suite.aead_alg.key_block_shape().fixed_iv_len;
                let (fixed, explicit) = iv.as_ref().split_at(fixed);
                suite.aead_alg.encrypter(key, fixed, explicit)
            }
        };
        let version = suite.version().version;
        // AWS-LC wants to see them all, in their order.
        for number in 0..count {
            let message = of_handshake(version, &[]);
            encrypter.encrypt(message, number).unwrap();
        }
        Forger {
            tcp: bare.tcp,
            encrypter,
            version,
            count,
        }
    }

    /// Sends a part of a message of the handshake, in a record of its own.
    fn say(&mut self, part: &[u8]) -> std::io::Result<()> {
        let message = of_handshake(self.version, part);
        let record = self.encrypter.encrypt(message, self.count).unwrap();
        self.count += 1;
        self.tcp.write_all(&record.encode())
    }
}

fn of_handshake(version: ProtocolVersion, part: &[u8]) -> OutboundPlainMessage<'_> {
    OutboundPlainMessage {
        typ: ContentType::Handshake,
        version,
        payload: OutboundChunks::Single(part),
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

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_tls_does_not_say_is_not_all_that_the_client_had_to_say() {
    let world = World::new().await;
    for (says_so, answer) in [(true, "goodbye"), (false, "")] {
        let mut bare = Bare::new(&world, &TLS13);
        bare.say("GET /ws-last HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n");
        bare.until("hello", 1000);
        if says_so {
            bare.session.send_close_notify();
            bare.send(1000);
        }
        bare.tcp.shutdown(Shutdown::Write).unwrap();
        while !bare.ended {
            bare.receive().unwrap();
        }
        assert_eq!(String::from_utf8_lossy(&bare.said), answer);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_whose_client_has_said_all_and_goes_does_not_wait_for_its_service() {
    let world = World::new().await;
    // To TLS it has said all; to TCP it may have or not.
    for (count, says_so_twice) in [(1, false), (2, true)] {
        let mut bare = Bare::new(&world, &TLS13);
        bare.say("GET /ws-deaf HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n");
        bare.until("hello", 1000);
        bare.session.send_close_notify();
        bare.send(1000);
        if says_so_twice {
            bare.tcp.shutdown(Shutdown::Write).unwrap();
        }
        let ends = |upstream: &Upstream| {
            let requests = upstream.requests();
            requests.iter().filter(|said| *said == "<EOF>").count()
        };
        eventually("all is said", || ends(&world.upstream) == count).await;
        assert_eq!(world.gate.counters().open_connections, 1);
        let tcp = socket2::SockRef::from(&bare.tcp);
        tcp.set_linger(Some(Duration::ZERO)).unwrap();
        drop(bare);
        let counters = || world.gate.counters();
        eventually("it is over", || counters().open_connections == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_to_renegotiate_is_told_at_once_that_this_is_not_done() {
    let world = World::new().await;
    let mut bare = Bare::new(&world, &TLS12);
    bare.say("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    bare.until("GET / HTTP/1.1\r\n", 1000);
    let mut again = Vec::new();
    let other = &mut Bare::new(&world, &TLS12).session;
    other.write_tls(&mut again).unwrap();
    let mut forger = Forger::new(bare);
    forger.say(&again[5..]).unwrap();
    // An alert (RFC 5246 6.2.1).
    let mut head = [0; 3];
    forger.tcp.read_exact(&mut head).unwrap();
    assert_eq!(head, [21, 3, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_handshake_in_crumbs_not_everything_is_kept() {
    let world = World::new().await;
    let mut alice = world.alice.clone();
    for _ in 0..3 {
        alice.chain.push(CertificateDer::from(vec![0; 15_000]));
    }
    // 27 bytes in a record of 49: they come to 80 KB.
    for (most, is_answered) in [(None, true), (Some(32), false)] {
        let hello = Hello::new("a.test").identity(&alice).version(&TLS13);
        let mut bare = Bare::with(&world, hello, most);
        bare.say("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(bare.is_answered(), is_answered, "{most:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_handshake_no_message_of_it_is_kept_that_is_longer_than_a_record() {
    let world = World::new().await;
    let mut bare = Bare::new(&world, &TLS13);
    bare.say("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    bare.until("GET / HTTP/1.1\r\n", 1000);
    let mut forger = Forger::new(bare);
    // A KeyUpdate of 60,000 bytes (RFC 8446 4): rustls would wait for all of it, and then send an alert.
    let mut message = vec![0; 4 + 60_000];
    message[..4].copy_from_slice(&[24, 0, 0xea, 0x60]);
    for part in message.chunks(1000) {
        // It may have seen enough before the last one.
        if forger.say(part).is_err() {
            break;
        }
    }
    let mut last = Vec::new();
    let _ = forger.tcp.read_to_end(&mut last);
    assert!(last.is_empty(), "{last:?}");
}
