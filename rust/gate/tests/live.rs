//! What a change of trust does to what is already open: connections, sessions, WebSockets, streams.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, Instant, SystemTime};

use judge::record::{Batch, ClientRecord, CredentialRecord, Mode};
use rustls::version::{TLS12, TLS13};
use tokio::time::timeout;

use crate::support::{WireUpstream, World, checked, client::Hello, eventually, route, site};

#[tokio::test(flavor = "multi_thread")]
async fn revoked_between_two_requests_of_one_connection() {
    let mut world = World::new().await;
    let mut alice = world.alice().await;
    assert_eq!(alice.get("/").await.status, 200);
    world.revoke(&world.alice.clone());
    let response = alice.get("/").await;
    assert_eq!(response.status, 403);
    assert!(
        response.text().contains("\"reason\":\"revoked\""),
        "{}",
        response.text()
    );
    assert!(alice.ends().await, "a stranger gets one answer");
    world.reinstate(&world.alice.clone());
    assert_eq!(world.alice().await.get("/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn suspended_and_resumed_by_the_operator() {
    let mut world = World::new().await;
    let mut bob = world
        .connect(Hello::new("a.test").identity(&world.bob))
        .await;
    assert_eq!(bob.get("/").await.status, 200);
    let client = |suspended| ClientRecord {
        id: 2,
        name: "bob".into(),
        roles: vec![],
        suspended,
        hosts: vec![],
    };
    world.change(Batch {
        clients: vec![client(true)],
        ..Batch::default()
    });
    assert!(bob.get("/").await.text().contains("client_suspended"));
    world.change(Batch {
        clients: vec![client(false)],
        ..Batch::default()
    });
    let mut bob = world
        .connect(Hello::new("a.test").identity(&world.bob))
        .await;
    assert_eq!(bob.get("/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_session_is_judged_again() {
    for version in [&TLS12, &TLS13] {
        let mut world = World::new().await;
        let hello = Hello::new("a.test")
            .identity(&world.alice)
            .version(version)
            .resuming();
        let mut first = world.connect(hello.clone()).await;
        let full = first.get("/").await;
        assert_eq!(full.status, 200);
        let mut second = world.connect(hello.clone()).await;
        assert!(second.resumed(), "{version:?}");
        let resumed = second.get("/").await;
        assert_eq!(resumed.status, 200);
        let identity = |text: String| {
            text.lines()
                .filter(|line| line.starts_with("mutualgate-") || line.starts_with("client-cert"))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            identity(full.text()),
            identity(resumed.text()),
            "the same identity on both kinds of handshake"
        );
        world.revoke(&world.alice.clone());
        // Who is refused now is asked for a certificate again: it may have another one by now.
        let mut third = world.connect(hello).await;
        assert!(!third.resumed(), "{version:?}");
        assert!(
            third
                .get("/")
                .await
                .text()
                .contains("\"reason\":\"revoked\"")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_one_site_is_not_resumed_at_another() {
    for version in [&TLS12, &TLS13] {
        let sites = vec![
            site("a.test", vec![route("/", Mode::Required)]),
            site("b.test", vec![route("/", Mode::Required)]),
        ];
        let world = World::with(sites, |_| {}).await;
        let hello = Hello::new("a.test")
            .identity(&world.alice)
            .version(version)
            .resuming();
        let mut first = world.connect(hello.clone()).await;
        assert_eq!(first.get("/").await.status, 200);
        let mut again = world.connect(hello.clone()).await;
        assert!(again.resumed(), "{version:?}: the control");
        assert_eq!(again.get("/").await.status, 200);
        for elsewhere in [hello.clone().named("b.test"), hello.clone().without_sni()] {
            let mut elsewhere = world.connect(elsewhere).await;
            assert!(!elsewhere.resumed(), "{version:?}");
            let _ = elsewhere
                .try_send("GET / HTTP/1.1\r\nHost: b.test\r\n\r\n")
                .await;
            let _ = elsewhere.response().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_is_relayed_and_cut_when_its_client_is_revoked() {
    let mut world = World::new().await;
    let mut alice = world.alice().await;
    alice
        .send("GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n")
        .await;
    let head = alice.until("\r\n\r\n").await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.to_ascii_lowercase().contains("upgrade: websocket"));
    assert_eq!(alice.until("hello").await.as_deref(), Some("hello"));
    alice.send("ping pong").await;
    assert_eq!(alice.until("pong").await.as_deref(), Some("ping pong"));
    assert!(
        world
            .upstream
            .last()
            .contains("connection: upgrade\r\nupgrade: websocket\r\n")
    );

    // Somebody else's revocation leaves it alone.
    world.revoke(&world.bob.clone());
    alice.send("still").await;
    assert_eq!(alice.until("still").await.as_deref(), Some("still"));

    let revoked = Instant::now();
    world.revoke(&world.alice.clone());
    assert!(alice.ends().await);
    assert!(revoked.elapsed() < Duration::from_secs(2));
    let upstream = world.upstream.clone();
    eventually("the upstream's side is closed", || upstream.open() == 0).await;
    let events = world.gate.events(100, Duration::from_secs(1));
    assert!(
        events
            .iter()
            .any(|event| event.kind == gate::event::Kind::Cut && event.client == Some(1)),
        "{events:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_says_with_its_request_for_a_websocket_is_not_lost() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    alice
        .send("GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\nearly")
        .await;
    assert!(alice.until("hello").await.is_some());
    alice.send(" late").await;
    assert_eq!(alice.until("late").await.as_deref(), Some("early late"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_events_flows_and_is_cut() {
    let mut world = World::new().await;
    let mut alice = world.alice().await;
    alice
        .send("GET /sse HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    for _ in 0..3 {
        assert!(alice.until("data: x\n\n").await.is_some());
    }
    world.revoke(&world.alice.clone());
    assert!(alice.until("never sent").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_ends_with_the_certificate() {
    // Once more where it had ended before anything ran.
    for seconds in [2, 8, 32] {
        let mut world = World::new().await;
        let end = SystemTime::now() + Duration::from_secs(seconds);
        let brief = (world.pki).client_with("brief", |params| params.not_after = end.into());
        world.change(Batch {
            credentials: vec![CredentialRecord {
                fingerprint: brief.fingerprint(),
                id: 3,
                client: 1,
                authority: 1,
            }],
            ..Batch::default()
        });
        let mut client = world.connect(Hello::new("a.test").identity(&brief)).await;
        client
            .send("GET /sse HTTP/1.1\r\nHost: a.test\r\n\r\n")
            .await;
        if client.until("data: x\n\n").await.is_none() {
            continue;
        }
        let ended = timeout(Duration::from_secs(60), client.until("never sent"));
        assert!(ended.await.expect("an end in time").is_none());
        let events = world.gate.events(100, Duration::from_secs(1));
        let cut = (events.iter()).find(|event| event.kind == gate::event::Kind::Cut);
        assert_eq!(cut.and_then(|cut| cut.reason), Some("expired"));
        return;
    }
    panic!("nothing ran");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_settings_leave_connections_open() {
    let mut world = World::new().await;
    let mut alice = world.alice().await;
    assert_eq!(alice.get("/").await.status, 200);
    let mut settings = world.settings.clone();
    settings.routes[0][0].tls_facts = true;
    let next = world
        .snapshot
        .apply(Batch {
            epoch: Some(2),
            ..Batch::default()
        })
        .unwrap();
    world
        .gate
        .configure(checked(&settings), next.into())
        .unwrap();
    let text = alice.get("/").await.text();
    assert!(
        text.contains("mutualgate-tls: version=TLSv1.3; cipher=TLS_"),
        "{text}"
    );
    assert!(text.contains("; resumed=no; sni=a.test"), "{text}");
    settings.workers = 2;
    let error = world
        .gate
        .configure(checked(&settings), world.snapshot.clone())
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "workers cannot change while the gate runs: restart it"
    );
    let error = world
        .gate
        .swap(world.snapshot.clone())
        .unwrap_err()
        .to_string();
    assert_eq!(error, "the snapshot has epoch 1, and 2 is in force");
    assert_eq!(alice.get("/").await.status, 200);
    world.snapshot = std::sync::Arc::new(judge::Snapshot::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_requests_end() {
    let world = World::new().await;
    let mut idle = world.alice().await;
    assert_eq!(idle.get("/").await.status, 200);
    let mut busy = world.alice().await;
    busy.send("POST /slow HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nab")
        .await;
    let mut begun = world.alice().await;
    begun
        .send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\nGET /begun HTTP/1.1\r\nHo")
        .await;
    assert_eq!(begun.response().await.unwrap().status, 200);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let address = world.address();
    let gate = world.gate;
    let stop = tokio::task::spawn_blocking(move || {
        gate.stop(Duration::from_secs(5), gate::Farewell::AtOnce)
    });
    assert!(idle.ends().await);
    busy.send("cd").await;
    let response = busy.response().await.unwrap();
    assert_eq!(response.status, 200);
    assert!(busy.ends().await);
    begun.send("st: a.test\r\n\r\n").await;
    let response = begun.response().await.unwrap();
    assert_eq!(
        (response.status, response.header("connection")),
        (200, Some("close"))
    );
    assert!(begun.ends().await);
    let counters = stop.await.unwrap();
    assert_eq!(counters.open_connections, 0);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

/// Whoever comes again at another process needs a handshake there: not all in the same moment, and nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn connections_leave_in_turn_for_another_process() {
    // A test that was held up for seconds would see all of them leave at once: then it looks again.
    for _ in 0..5 {
        if leave_in_turn().await <= 8 {
            return;
        }
    }
    panic!("connections left at once");
}

/// How many of 16 connections were told with the first answer that it was the last one.
async fn leave_in_turn() -> usize {
    let world = World::new().await;
    let mut clients = Vec::new();
    for _ in 0..16 {
        clients.push(world.alice().await);
    }
    for client in &mut clients {
        assert_eq!(client.get("/").await.status, 200);
    }
    let gate = world.gate;
    let stop = tokio::task::spawn_blocking(move || {
        gate.stop(Duration::from_secs(60), gate::Farewell::InTurn)
    });
    let (mut left, mut gone) = (Vec::new(), Vec::new());
    while !clients.is_empty() {
        let mut staying = Vec::new();
        for mut client in clients {
            let response = client.get("/").await;
            assert_eq!(response.status, 200);
            if response.header("connection") == Some("close") {
                gone.push(client);
            } else {
                staying.push(client);
            }
        }
        left.push(16 - staying.len());
        clients = staying;
    }
    for client in &mut gone {
        assert!(client.ends().await);
    }
    assert_eq!(stop.await.unwrap().open_connections, 0);
    left.into_iter().find(|left| *left > 0).unwrap_or(16)
}

/// What is sent to an upstream is what it speaks, whatever the control plane says.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_and_its_upstream_speak_the_same() {
    let mut world = World::with(
        vec![site(
            "a.test",
            vec![route("/", Mode::Required), route("/more", Mode::Required)],
        )],
        |_| {},
    )
    .await;
    let refused = |world: &World| {
        let settings = checked(&world.settings);
        let result = world.gate.configure(settings, world.snapshot.clone());
        result.expect_err("a mismatch").to_string()
    };
    let address = format!("tcp://{}", world.upstream.address);
    world.settings.upstreams[0] = WireUpstream {
        protocol: "stream",
        ..WireUpstream::at(&[address])
    };
    let error = refused(&world);
    assert!(error.contains("speaks something else"), "{error}");
    // One route: nothing in the bytes would say which.
    world.settings.sites[0].speaks = "tcp";
    let error = refused(&world);
    assert!(error.contains("needs one route"), "{error}");
    // What was in force still is.
    assert_eq!(world.alice().await.get("/").await.status, 200);

    let mut world = World::new().await;
    world.settings.sites[0].speaks = "tcp";
    let error = refused(&world);
    assert!(error.contains("speaks something else"), "{error}");
    assert_eq!(world.alice().await.get("/").await.status, 200);
}
