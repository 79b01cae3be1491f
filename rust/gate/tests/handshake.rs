//! What a handshake costs the server: which cipher suite is taken, and when the session ticket is sent.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{io, sync::Arc};

use rustls::{
    CipherSuite, ClientConnection, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::ServerName,
    version::{TLS12, TLS13},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use crate::support::{PATIENCE, World, client::Hello};

/// The suite that is agreed on with a client that names those that are like `first` first.
async fn suite(
    world: &World,
    first: &str,
    version: &'static SupportedProtocolVersion,
) -> CipherSuite {
    let mut provider = aws_lc_rs::default_provider();
    provider
        .cipher_suites
        .sort_by_key(|suite| !suite.suite().as_str().unwrap().contains(first));
    let hello = Hello::new("a.test").root(&world.pki).version(version);
    let config = Arc::new(hello.config_with(provider));
    let tcp = TcpStream::connect(world.address()).await.unwrap();
    let name = ServerName::try_from("a.test").unwrap();
    let tls = TlsConnector::from(config).connect(name, tcp).await.unwrap();
    tls.get_ref().1.negotiated_cipher_suite().unwrap().suite()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cheap_suite_is_taken_but_where_the_client_has_no_instructions_for_aes() {
    let world = World::new().await;
    for (version, name) in [(&TLS13, "TLS13"), (&TLS12, "TLS_ECDHE_ECDSA_WITH")] {
        for (first, expected) in [
            ("AES_128", "AES_128_GCM_SHA256"),
            ("AES_256", "AES_128_GCM_SHA256"),
            ("CHACHA20", "CHACHA20_POLY1305_SHA256"),
        ] {
            let taken = suite(&world, first, version).await;
            let expected = format!("{name}_{expected}");
            assert_eq!(taken.as_str(), Some(&*expected), "{first} first");
        }
    }
}

/// A session over a socket, one read at a time.
struct Slow {
    tcp: TcpStream,
    session: ClientConnection,
}

impl Slow {
    /// Its handshake is done, and nothing was read since.
    async fn connect(world: &World) -> Slow {
        let hello = Hello::new("a.test").root(&world.pki).version(&TLS13);
        let hello = hello.identity(&world.alice); // whoever is nobody gets no ticket
        let config = Arc::new(hello.config_with(aws_lc_rs::default_provider()));
        let name = ServerName::try_from("a.test").unwrap();
        let mut slow = Slow {
            tcp: TcpStream::connect(world.address()).await.unwrap(),
            session: ClientConnection::new(config, name).unwrap(),
        };
        slow.send().await;
        while slow.session.is_handshaking() {
            slow.read().await;
            slow.send().await;
        }
        slow
    }

    async fn send(&mut self) {
        let mut bytes = Vec::new();
        while self.session.wants_write() {
            self.session.write_tls(&mut bytes).unwrap();
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            self.tcp.writable().await.unwrap();
            if let Ok(count) = self.tcp.try_write(rest) {
                rest = &rest[count..];
            }
        }
    }

    async fn read(&mut self) {
        let mut bytes = [0; 16_384];
        let count = loop {
            timeout(PATIENCE, self.tcp.readable())
                .await
                .unwrap()
                .unwrap();
            match self.tcp.try_read(&mut bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => break result.unwrap(),
            }
        };
        let mut rest = &bytes[..count];
        while !rest.is_empty() {
            self.session.read_tls(&mut rest).unwrap();
            self.session.process_new_packets().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_comes_with_the_first_answer() {
    let world = World::new().await;
    let mut slow = Slow::connect(&world).await;
    let request = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
    io::Write::write_all(&mut slow.session.writer(), request).unwrap();
    slow.send().await;
    slow.read().await;
    let mut answer = [0; 9];
    io::Read::read_exact(&mut slow.session.reader(), &mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 ");
    assert_eq!(slow.session.tls13_tickets_received(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_for_nothing_gets_its_ticket_all_the_same() {
    let world = World::new().await;
    let mut slow = Slow::connect(&world).await;
    slow.read().await;
    assert_eq!(slow.session.tls13_tickets_received(), 1);
}
