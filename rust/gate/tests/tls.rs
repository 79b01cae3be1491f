//! What is agreed on in a handshake: the group, the version, the protocol; what is asked of the client; what is kept for
//! the next time.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::{Arc, Mutex};

use judge::record::{Admits, AuthorityRecord, Batch, Mode, PinKind, PinRecord, Removed};
use rustls::{
    ClientConfig, HandshakeKind, NamedGroup, SignatureScheme,
    client::{
        ClientSessionStore, ResolvesClientCert, Resumption, Tls12ClientSessionValue,
        Tls13ClientSessionValue,
    },
    crypto::{SupportedKxGroup, aws_lc_rs, aws_lc_rs::kx_group},
    pki_types::ServerName,
    version::{TLS12, TLS13},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::support::{World, checked, client::Hello, pki::Pki, route, site};

/// A client that remembers for which group to send a share, and no session.
#[derive(Debug)]
struct Remembers(NamedGroup);

impl ClientSessionStore for Remembers {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}
    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        Some(self.0)
    }
    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}
    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }
    fn remove_tls12_session(&self, _: &ServerName<'static>) {}
    fn insert_tls13_ticket(&self, _: ServerName<'static>, _: Tls13ClientSessionValue) {}
    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        None
    }
}

/// The group that a client agrees on which lists `named` in this order and sends a share for `shared`, and how.
async fn agreed(
    world: &World,
    named: &[&'static dyn SupportedKxGroup],
    shared: NamedGroup,
    version: &'static rustls::SupportedProtocolVersion,
) -> (NamedGroup, HandshakeKind) {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = named.to_vec();
    let hello = Hello::new("a.test").root(&world.pki);
    let mut config: ClientConfig = hello.version(version).config_with(provider);
    config.resumption = Resumption::store(Arc::new(Remembers(shared)));
    let tcp = TcpStream::connect(world.address()).await.unwrap();
    let name = ServerName::try_from("a.test").unwrap();
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp);
    let tls = tls.await.unwrap();
    let session = tls.get_ref().1;
    (
        session.negotiated_key_exchange_group().unwrap().name(),
        session.handshake_kind().unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hybrid_group_is_taken_where_there_is_a_share_and_costs_nobody_a_round_trip() {
    let world = World::new().await;
    let (hybrid, classic) = (kx_group::X25519MLKEM768, kx_group::X25519);
    for (named, shared, version, expected, kind) in [
        (
            &[hybrid, classic][..],
            NamedGroup::X25519MLKEM768,
            &TLS13,
            NamedGroup::X25519MLKEM768,
            HandshakeKind::Full,
        ),
        // The client prefers the other one, and has brought both shares.
        (
            &[classic, hybrid],
            NamedGroup::X25519MLKEM768,
            &TLS13,
            NamedGroup::X25519MLKEM768,
            HandshakeKind::Full,
        ),
        // It could, but has brought a share for X25519 alone.
        (
            &[hybrid, classic],
            NamedGroup::X25519,
            &TLS13,
            NamedGroup::X25519,
            HandshakeKind::Full,
        ),
        (
            &[classic],
            NamedGroup::X25519,
            &TLS13,
            NamedGroup::X25519,
            HandshakeKind::Full,
        ),
        (
            &[hybrid, classic],
            NamedGroup::X25519,
            &TLS12,
            NamedGroup::X25519,
            HandshakeKind::Full,
        ),
        (
            &[kx_group::SECP256R1, hybrid],
            NamedGroup::secp256r1,
            &TLS13,
            NamedGroup::secp256r1,
            HandshakeKind::Full,
        ),
    ] {
        let found = agreed(&world, named, shared, version).await;
        assert_eq!(found, (expected, kind), "{named:?} {shared:?}");
    }
}

/// The names that came with the request for a certificate.
#[derive(Debug, Default)]
struct Listens(Mutex<Vec<Vec<u8>>>);

impl ResolvesClientCert for Listens {
    fn resolve(
        &self,
        hints: &[&[u8]],
        _: &[SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        *self.0.lock().unwrap() = hints.iter().map(|hint| hint.to_vec()).collect();
        None
    }
    fn has_certs(&self) -> bool {
        true
    }
}

async fn hints(world: &World, version: &'static rustls::SupportedProtocolVersion) -> Vec<Vec<u8>> {
    let heard = Arc::new(Listens::default());
    let hello = Hello::new("a.test").root(&world.pki).version(version);
    let mut config = hello.config();
    config.client_auth_cert_resolver = heard.clone();
    let tcp = TcpStream::connect(world.address()).await.unwrap();
    let name = ServerName::try_from("a.test").unwrap();
    (TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await)
        .unwrap();
    heard.0.lock().unwrap().clone()
}

fn authority(id: u32, certificate: Vec<u8>) -> AuthorityRecord {
    AuthorityRecord {
        id,
        name: format!("ca{id}"),
        certificate,
        admits: Admits::Listed,
        estate: None,
        depth: None,
    }
}

/// `CN=name` as a Name (DER).
fn name(name: &str) -> Vec<u8> {
    let length = u8::try_from(name.len()).unwrap();
    let start = [0x30, length + 11, 0x31, length + 9, 0x30, length + 7];
    [
        &start[..],
        &[6, 3, 0x55, 4, 3, 0x0c, length],
        name.as_bytes(),
    ]
    .concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn authorities_are_named_where_that_is_wanted_and_leaves_nobody_out() {
    let sites = vec![site("a.test", vec![route("/", Mode::Required)])];
    let world = World::with(sites.clone(), |_| {}).await;
    assert_eq!(hints(&world, &TLS13).await, Vec::<Vec<u8>>::new());
    let mut world = World::with(sites, |settings| settings.sites[0].ca_hints = true).await;
    for version in [&TLS12, &TLS13] {
        assert_eq!(hints(&world, version).await, [name("Test Authority")]);
    }
    // A new one is named with the epoch in which it counts.
    world.change(Batch {
        authorities: vec![authority(2, Pki::named("Another").authority_der())],
        ..Batch::default()
    });
    let both = [name("Another"), name("Test Authority")];
    assert_eq!(hints(&world, &TLS13).await, both);
    // A browser would not offer what is pinned: its issuer is not known.
    let pin = [7; 32];
    world.change(Batch {
        pins: vec![PinRecord {
            id: 1,
            kind: PinKind::Certificate,
            digest: pin.to_vec(),
            client: 1,
            not_before: 0,
            not_after: i64::from(u32::MAX),
            environment: String::new(),
            retired: false,
        }],
        ..Batch::default()
    });
    assert_eq!(hints(&world, &TLS13).await, Vec::<Vec<u8>>::new());
    world.change(Batch {
        removed: Removed {
            pins: vec![(PinKind::Certificate, serde_bytes::ByteBuf::from(pin))],
            ..Removed::default()
        },
        ..Batch::default()
    });
    assert_eq!(hints(&world, &TLS13).await, both);
    // Beyond 8 KiB of names there are none; the handshake would wait for a round trip, beyond 64 KiB for ever.
    let many = (0..200).map(|number| {
        let certificate = Pki::named(&format!("Certification authority number {number:04}"));
        authority(10 + number, certificate.authority_der())
    });
    world.change(Batch {
        authorities: many.collect(),
        ..Batch::default()
    });
    assert_eq!(hints(&world, &TLS13).await, Vec::<Vec<u8>>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_on_when_the_named_authorities_change() {
    let sites = vec![site("a.test", vec![route("/", Mode::Required)])];
    let mut world = World::with(sites, |settings| settings.sites[0].ca_hints = true).await;
    let hello = Hello::new("a.test").identity(&world.alice).resuming();
    let mut first = world.connect(hello.clone()).await;
    assert_eq!(first.get("/").await.status, 200);
    world.change(Batch {
        authorities: vec![authority(2, Pki::named("Another").authority_der())],
        ..Batch::default()
    });
    let mut second = world.connect(hello).await;
    assert!(second.resumed());
    assert_eq!(second.get("/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_modern_site_speaks_tls_1_3_alone_and_its_neighbour_what_it_did() {
    let sites = vec![
        site("a.test", vec![route("/", Mode::Required)]),
        site("b.test", vec![route("/", Mode::Required)]),
    ];
    let world = World::with(sites, |settings| settings.sites[1].tls_profile = "modern").await;
    for (host, version, works) in [
        ("a.test", &TLS12, true),
        ("a.test", &TLS13, true),
        ("b.test", &TLS12, false),
        ("b.test", &TLS13, true),
    ] {
        let hello = Hello::new(host).identity(&world.alice).version(version);
        let end = world.try_connect(hello).await.map(|_| ());
        match end {
            Ok(()) => assert!(works, "{host}"),
            Err(error) => {
                assert!(!works, "{host}: {error}");
                assert!(error.to_string().contains("ProtocolVersion"), "{error}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protocol_that_nobody_speaks_here_is_an_alert_and_none_is_http_1_1() {
    let world = World::new().await;
    for (alpn, works) in [
        (Some("smtp"), false),
        (Some("http/1.1"), true),
        (None, true),
    ] {
        let mut hello = Hello::new("a.test").identity(&world.alice);
        if let Some(alpn) = alpn {
            hello = hello.alpn(alpn);
        }
        match world.try_connect(hello).await {
            Ok(mut client) => {
                assert!(works, "{alpn:?}");
                assert_eq!(client.get("/").await.status, 200);
            }
            // RFC 7301 3.2; otherwise one protocol's bytes could be taken for another's (ALPACA).
            Err(error) => {
                assert!(!works, "{alpn:?}: {error}");
                assert!(
                    error.to_string().contains("NoApplicationProtocol"),
                    "{error}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn resumption_ends_when_it_is_turned_off_and_a_new_life_begins_with_new_keys() {
    let mut world = World::new().await;
    for version in [&TLS12, &TLS13] {
        let hello = Hello::new("a.test").identity(&world.alice);
        let hello = hello.version(version).resuming();
        let mut first = world.connect(hello.clone()).await;
        assert_eq!(first.get("/").await.status, 200);
        let mut second = world.connect(hello.clone()).await;
        assert!(second.resumed());
        assert_eq!(second.get("/").await.status, 200);
        for seconds in [0.0, 3600.0] {
            world.settings.resumption = seconds;
            let settings = checked(&world.settings);
            world
                .gate
                .configure(settings, world.snapshot.clone())
                .unwrap();
            let mut after = world.connect(hello.clone()).await;
            assert!(!after.resumed(), "{seconds}");
            assert_eq!(after.get("/").await.status, 200);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_written_only_where_that_is_asked_for() {
    let mut world = World::new().await;
    let file = std::env::temp_dir().join(format!("mutualgate-keys-{}.log", std::process::id()));
    let _ = std::fs::remove_file(&file);
    world.settings.key_log = file.to_str().unwrap().into();
    let configure = |world: &World| {
        let settings = checked(&world.settings);
        world.gate.configure(settings, world.snapshot.clone())
    };
    configure(&world).unwrap();
    assert_eq!(world.alice().await.get("/").await.status, 200);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("CLIENT_TRAFFIC_SECRET_0 "), "{text}");
    let permissions = std::fs::metadata(&file).unwrap().permissions();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&permissions) & 0o777,
        0o600
    );
    world.settings.key_log = String::new();
    configure(&world).unwrap();
    assert_eq!(world.alice().await.get("/").await.status, 200);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    // One that others read is not written to, and all stays as it is.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o640);
    std::fs::set_permissions(&file, open).unwrap();
    world.settings.key_log = file.to_str().unwrap().into();
    let error = configure(&world).unwrap_err().to_string();
    assert!(
        error.contains("key_log") && error.contains("0600"),
        "{error}"
    );
    std::fs::remove_file(&file).unwrap();
}
