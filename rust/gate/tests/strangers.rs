//! What a client may use that was refused, or that does not keep up: little.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, Instant};

use judge::record::{Mode, OnRefusal};
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{self, SiteSpec, World, client::Hello, eventually, route, site};

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_gets_one_answer() {
    let world = World::new().await;
    let mut stranger = world.connect(Hello::new("a.test")).await;
    stranger
        .send("GET /1 HTTP/1.1\r\nHost: a.test\r\n\r\nGET /2 HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    let response = stranger.response().await.unwrap();
    assert_eq!(
        (response.status, response.header("connection")),
        (403, Some("close"))
    );
    assert!(stranger.ends().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_body_is_not_read() {
    let world = World::new().await;
    let mut stranger = world.connect(Hello::new("a.test")).await;
    stranger
        .send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000000\r\n\r\n")
        .await;
    let chunk = "x".repeat(64 * 1024);
    let mut sent = 0;
    while sent < 64 * 1024 * 1024 && stranger.try_send(&chunk).await.is_ok() {
        sent += chunk.len();
    }
    assert!(sent < 32 * 1024 * 1024, "{sent} bytes were taken");
    assert!(world.upstream.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_arrives_although_a_body_is_under_way() {
    let world = World::new().await;
    let mut stranger = world.connect(Hello::new("a.test")).await;
    stranger
        .send(&format!(
            "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000\r\n\r\n{}",
            "x".repeat(100_000)
        ))
        .await;
    assert_eq!(
        stranger.response().await.map(|response| response.status),
        Some(403)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_can_be_read_by_a_stranger_that_says_more_than_it_was_asked_for() {
    let world = World::new().await;
    // A test that was held up for longer than the gate waits for the rest looks again.
    for _ in 0..5 {
        let mut stranger = world.connect(Hello::new("a.test")).await;
        assert_eq!(stranger.get("/").await.status, 403);
        if stranger.is_heard_out().await {
            return;
        }
    }
    panic!("a reset could overtake the answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_head_is_short() {
    let world = World::new().await;
    let head = |bytes: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a.test\r\nX: {}\r\n\r\n",
            "x".repeat(bytes)
        )
    };
    let mut stranger = world.connect(Hello::new("a.test")).await;
    let _ = stranger.try_send(&head(9 * 1024)).await;
    assert_eq!(
        stranger.response().await.map(|response| response.status),
        Some(431)
    );
    let mut alice = world.alice().await;
    alice.send(&head(9 * 1024)).await;
    assert_eq!(
        alice.response().await.map(|response| response.status),
        Some(200)
    );
    let _ = alice.try_send(&head(40 * 1024)).await;
    assert_eq!(
        alice.response().await.map(|response| response.status),
        Some(431)
    );
}

fn impatient() -> impl FnOnce(&mut support::WireSettings) {
    |settings| {
        settings.timeouts.handshake = 0.3;
        settings.timeouts.header = 0.3;
        settings.timeouts.idle = 0.3;
        settings.timeouts.stall = 0.3;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_are_cut() {
    let world = World::with(
        vec![site("a.test", vec![route("/", Mode::Required)])],
        impatient(),
    )
    .await;
    let begun = Instant::now();
    // No handshake.
    let mut silent = tokio::net::TcpStream::connect(world.address())
        .await
        .unwrap();
    assert_eq!(silent.read(&mut [0; 16]).await.unwrap_or(0), 0);
    // No request.
    assert!(world.alice().await.ends().await);
    // Half a head, kept alive by single bytes.
    let mut slow = world.alice().await;
    slow.send("GET / HTTP/1.1\r\nHost: a.test\r\n").await;
    let mut dripped = 0;
    while slow.try_send("X").await.is_ok() && dripped < 100 {
        dripped += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(dripped < 100, "the head took forever");
    // Idle after a request.
    let mut idle = world.alice().await;
    assert_eq!(idle.get("/").await.status, 200);
    assert!(idle.ends().await);
    // A body that does not come.
    let mut stalled = world.alice().await;
    stalled
        .send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhalf")
        .await;
    let response = stalled.response().await.unwrap();
    assert_eq!(
        (response.status, response.header("connection")),
        (408, Some("close"))
    );
    assert!(response.text().contains("\"reason\":\"body_too_slow\""));
    assert!(stalled.ends().await);
    let upstream = world.upstream.clone();
    eventually("only pooled connections are left", || upstream.open() <= 1).await;
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_has_less_time_than_a_client() {
    let sites = vec![site("a.test", vec![route("/", Mode::Required)])];
    let world = World::with(sites, |settings| settings.timeouts.header = 600.0).await;
    let wait = async |hello: Hello, begin: &str| {
        let mut client = world.connect(hello).await;
        client.send(begin).await;
        let mut byte = [0];
        let end = tokio::time::timeout(2 * support::PATIENCE, client.tls.read(&mut byte)).await;
        // An end in whichever way, and not a byte.
        end.map(|end| end.unwrap_or(0))
    };
    let (silent, slow, alice) = tokio::join!(
        wait(Hello::new("a.test"), ""),
        wait(Hello::new("a.test"), "GET / HTTP/1.1\r\nHo"),
        wait(
            Hello::new("a.test").identity(&world.alice),
            "GET / HTTP/1.1\r\nHo"
        ),
    );
    assert_eq!((silent, slow), (Ok(0), Ok(0)));
    assert!(alice.is_err(), "the client was cut as well");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_whose_client_takes_nothing_is_cut() {
    let world = World::with(
        vec![site("a.test", vec![route("/", Mode::Required)])],
        impatient(),
    )
    .await;
    let mut alice = world.alice().await;
    alice
        .send("GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n")
        .await;
    assert!(alice.until("hello").await.is_some());
    // Each byte comes back, until nothing goes any more.
    let said = "x".repeat(64 * 1024);
    while let Ok(Ok(())) = tokio::time::timeout(Duration::from_secs(1), alice.try_send(&said)).await
    {
    }
    let upstream = world.upstream.clone();
    eventually("the upstream's connection is closed", || {
        upstream.open() == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_may_be_silent_once_its_answer_has_begun() {
    let world = World::with(
        vec![site("a.test", vec![route("/", Mode::Required)])],
        impatient(),
    )
    .await;
    let mut alice = world.alice().await;
    alice
        .send("POST /duplex HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    assert!(alice.until("ready\r\n").await.is_some());
    alice.send("3\r\none\r\n").await;
    assert!(alice.until("heard\r\n").await.is_some());
    // Many times longer than a body that is owed is waited for.
    tokio::time::sleep(Duration::from_secs(2)).await;
    alice.send("3\r\ntwo\r\n").await;
    assert!(alice.until("heard\r\n").await.is_some());
    let upstream = world.upstream.clone();
    drop(alice);
    eventually("the upstream hears of the end", || upstream.open() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_nothing_is_cut() {
    let world = World::with(
        vec![site("a.test", vec![route("/", Mode::Required)])],
        impatient(),
    )
    .await;
    let mut greedy = world.alice().await;
    greedy
        .send("GET /huge HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    let upstream = world.upstream.clone();
    eventually("the download has begun", || upstream.open() == 1).await;
    eventually("the upstream's connection is closed", || {
        upstream.open() == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_connections_are_turned_away_before_tls() {
    let world = World::with(
        vec![site("a.test", vec![route("/", Mode::Required)])],
        |settings| {
            settings.limits.max_connections = 2;
        },
    )
    .await;
    let mut first = world.alice().await;
    let second = world.alice().await;
    assert!(
        world
            .try_connect(Hello::new("a.test").identity(&world.alice))
            .await
            .is_err()
    );
    assert_eq!(first.get("/").await.status, 200);
    drop(second);
    let gate = &world.gate;
    eventually("the place is free", || gate.counters().open_connections < 2).await;
    assert_eq!(world.alice().await.get("/").await.status, 200);
}

fn wordless(on_refusal: OnRefusal, mode: Mode) -> Vec<SiteSpec> {
    vec![SiteSpec {
        on_refusal,
        ..site("a.test", vec![route("/", mode)])
    }]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_can_refuse_by_alert() {
    for version in [&TLS12, &TLS13] {
        let mut world = World::with(wordless(OnRefusal::Alert, Mode::Required), |_| {}).await;
        let refused = async |world: &World, hello: Hello| match world
            .try_connect(hello.version(version))
            .await
        {
            Err(error) => error.to_string(),
            // In TLS 1.3 the client is done before the server has looked.
            Ok(mut client) => match client.tls.read(&mut [0; 1]).await {
                Err(error) => error.to_string(),
                Ok(count) => panic!("{count} bytes instead of an alert"),
            },
        };
        assert!(
            refused(&world, Hello::new("a.test"))
                .await
                .contains("CertificateRequired")
                || version.version == TLS12.version
        );
        let expired = world.pki.client_with("dora", |params| {
            params.not_after = rcgen::date_time_ymd(2021, 1, 1)
        });
        assert!(
            refused(&world, Hello::new("a.test").identity(&expired))
                .await
                .contains("CertificateExpired")
        );

        let hello = Hello::new("a.test")
            .identity(&world.alice)
            .version(version)
            .resuming();
        assert_eq!(
            world.connect(hello.clone()).await.get("/").await.status,
            200
        );
        world.revoke(&world.alice.clone());
        assert!(
            refused(&world, Hello::new("a.test").identity(&world.alice))
                .await
                .contains("CertificateRevoked")
        );
        // A resumed session would have no verifier to object.
        assert!(refused(&world, hello).await.contains("CertificateRevoked"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_can_close_without_a_word() {
    let world = World::with(wordless(OnRefusal::Close, Mode::Required), |_| {}).await;
    let mut stranger = world.connect(Hello::new("a.test")).await;
    let _ = stranger
        .try_send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    assert!(stranger.ends().await);
    assert_eq!(world.alice().await.get("/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_without_its_key_is_no_proof() {
    let world = World::new().await;
    // Alice's certificate, bob's key.
    let mut thief = world.alice.clone();
    thief.key = world.bob.key.clone_key();
    for version in [&TLS12, &TLS13] {
        let hello = Hello::new("a.test").identity(&thief).version(version);
        let refused = match world.try_connect(hello).await {
            Err(_) => true,
            Ok(mut client) => client.ends().await,
        };
        assert!(refused, "{version:?}");
    }
    assert!(world.upstream.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_speaks_http_where_tls_is_spoken_is_told() {
    let world = World::new().await;
    let mut plain = tokio::net::TcpStream::connect(world.address())
        .await
        .unwrap();
    plain
        .write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await
        .unwrap();
    let mut bytes = vec![];
    let _ = plain.read_to_end(&mut bytes).await;
    assert!(bytes.starts_with(b"HTTP/1.1 400 "));
    assert!(world.upstream.requests().is_empty());
}
