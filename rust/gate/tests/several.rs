//! Several servers behind a route: which one gets a request, and what happens when one is sick.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use judge::record::Mode;

use crate::support::{
    WireHealth, WireUpstream, World, checked, client::Hello, eventually, route, site,
    upstream::Upstream,
};

/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:1";

async fn servers(count: usize) -> Vec<Upstream> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(Upstream::start().await);
    }
    all
}

fn url(server: &Upstream) -> String {
    format!("http://{}", server.address)
}

fn at(servers: &[Upstream]) -> WireUpstream {
    WireUpstream::at(&servers.iter().map(url).collect::<Vec<_>>())
}

async fn world(upstream: WireUpstream) -> World {
    let sites = vec![site("a.test", vec![route("/", Mode::Optional)])];
    World::with(sites, |settings| settings.upstreams[0] = upstream).await
}

fn counts(servers: &[Upstream]) -> Vec<usize> {
    (servers.iter())
        .map(|server| server.requests().len())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn round_robin_takes_one_after_the_other() {
    let servers = servers(3).await;
    let world = world(at(&servers)).await;
    let mut alice = world.alice().await;
    for _ in 0..30 {
        assert_eq!(alice.get("/x").await.status, 200);
    }
    assert_eq!(counts(&servers), [10, 10, 10]);
    // Each server has one connection, used again.
    assert!(servers.iter().all(|server| server.connections() == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn least_requests_goes_round_a_server_that_is_busy() {
    let servers = servers(2).await;
    let world = world(WireUpstream {
        balance: "least_requests",
        ..at(&servers)
    })
    .await;
    let mut waiting = world.alice().await;
    waiting
        .send("GET /silent HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    eventually("one is busy", || {
        counts(&servers).iter().sum::<usize>() == 1
    })
    .await;
    let busy = counts(&servers).iter().position(|n| *n == 1).unwrap();
    let mut alice = world.alice().await;
    for _ in 0..10 {
        assert_eq!(alice.get("/x").await.status, 200);
    }
    assert_eq!(counts(&servers)[busy], 1);
    drop(waiting);
    // Once the client is gone, the server is free again.
    eventually("both are free", || servers[busy].open() == 0).await;
    for _ in 0..40 {
        assert_eq!(alice.get("/x").await.status, 200);
    }
    assert!(counts(&servers)[busy] > 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_stays_with_its_server_and_nobody_with_that_of_its_address() {
    let servers = servers(4).await;
    let world = world(WireUpstream {
        balance: "client_hash",
        ..at(&servers)
    })
    .await;
    for identity in [Some(&world.alice), Some(&world.bob), None] {
        let before = counts(&servers);
        for _ in 0..5 {
            let mut hello = Hello::new("a.test");
            if let Some(identity) = identity {
                hello = hello.identity(identity);
            }
            let mut client = world.connect(hello).await;
            assert_eq!(client.get("/x").await.status, 200);
        }
        let more: Vec<usize> = (counts(&servers).iter())
            .zip(before)
            .map(|(now, before)| now - before)
            .collect();
        assert_eq!(more.iter().max(), Some(&5), "{more:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_reached_is_passed_over_even_for_a_post() {
    let servers = servers(1).await;
    let world = world(WireUpstream::at(&[
        NOWHERE.into(),
        url(&servers[0]),
        "http://127.0.0.2:1".into(),
    ]))
    .await;
    let mut alice = world.alice().await;
    for _ in 0..6 {
        alice
            .send("POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello")
            .await;
        assert_eq!(alice.response().await.unwrap().status, 200);
    }
    assert_eq!(counts(&servers), [6]);
    assert!((servers[0].requests().iter()).all(|request| request.ends_with("hello")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_drains_gets_nothing_new_and_ends_what_runs() {
    let servers = servers(2).await;
    let mut world = world(at(&servers[..1])).await;
    let mut old = world.alice().await;
    old.send("GET /sse HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    eventually("the stream runs", || counts(&servers)[0] == 1).await;
    world.settings.upstreams[0] = WireUpstream {
        name: world.settings.upstreams[0].name.clone(),
        ..at(&servers)
    };
    world.settings.upstreams[0].servers[0].drain = true;
    world
        .gate
        .configure(checked(&world.settings), world.snapshot.clone())
        .unwrap();
    let mut alice = world.alice().await;
    for _ in 0..4 {
        assert_eq!(alice.get("/x").await.status, 200);
    }
    assert_eq!(counts(&servers), [1, 4]);
    assert_eq!(servers[0].open(), 1);
    // With all of them draining there is nowhere to go.
    world.settings.upstreams[0].servers[1].drain = true;
    world
        .gate
        .configure(checked(&world.settings), world.snapshot.clone())
        .unwrap();
    let response = alice.get("/x").await;
    assert_eq!(response.status, 503);
    assert!(response.text().contains("upstream_unreachable"));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_outlive_a_change_that_keeps_their_server_and_end_with_one_that_does_not() {
    let servers = servers(2).await;
    let mut world = world(at(&servers)).await;
    let mut alice = world.alice().await;
    for _ in 0..2 {
        assert_eq!(alice.get("/x").await.status, 200);
    }
    world.settings.upstreams[0].servers.pop();
    world
        .gate
        .configure(checked(&world.settings), world.snapshot.clone())
        .unwrap();
    let gone = servers[1].clone();
    eventually("the connection is closed", || gone.open() == 0).await;
    for _ in 0..2 {
        assert_eq!(alice.get("/x").await.status, 200);
    }
    assert_eq!(counts(&servers), [3, 1]);
    assert_eq!(servers[0].connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_has_limits_of_time_of_its_own() {
    let servers = servers(1).await;
    let mut upstream = at(&servers);
    upstream.waits.response = Some(0.2);
    let response = world(upstream).await.alice().await.get("/silent").await;
    assert_eq!(response.status, 504);

    let mut upstream = at(&servers);
    upstream.waits.total = Some(0.3);
    let world = world(upstream).await;
    let mut alice = world.alice().await;
    assert_eq!(alice.get("/silent").await.status, 504);
    // An answer that has begun is broken off: a client must not take a part for the whole.
    let mut alice = world.alice().await;
    alice
        .send("GET /sse HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    assert!(alice.response().await.is_none());
    eventually("the connection is given up", || servers[0].open() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_an_answer_goes_to_another_server_if_it_may_be_repeated() {
    let servers = servers(3).await;
    let world = world(at(&servers)).await;
    let mut alice = world.alice().await;
    // Both servers that are asked close without an answer.
    assert_eq!(alice.get("/close").await.status, 502);
    assert_eq!(counts(&servers).iter().sum::<usize>(), 2);
    // A POST that was sent may have had an effect.
    alice
        .send("POST /close HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nhi")
        .await;
    assert_eq!(alice.response().await.unwrap().status, 502);
    alice
        .send("POST /close HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n")
        .await;
    assert_eq!(alice.response().await.unwrap().status, 502);
    assert_eq!(counts(&servers).iter().sum::<usize>(), 4);
    // A PUT may be repeated, but its body is gone.
    alice
        .send("PUT /close HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nhi")
        .await;
    assert_eq!(alice.response().await.unwrap().status, 502);
    assert_eq!(counts(&servers).iter().sum::<usize>(), 5);
    let report = world.gate.counters().servers;
    assert_eq!(report.iter().map(|one| one.retries).sum::<u64>(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_body_is_still_to_come_may_be_repeated_and_one_that_takes_too_long_may_not()
{
    let servers = servers(2).await;
    let mut upstream = at(&servers);
    upstream.waits.response = Some(0.3);
    let world = world(upstream).await;
    let mut alice = world.alice().await;
    // Nobody can have taken it for whole.
    alice
        .send("POST /close-early HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\n")
        .await;
    assert_eq!(alice.response().await.unwrap().status, 502);
    assert_eq!(counts(&servers), [1, 1]);
    // Whoever is still busy with it is not helped by another one that is.
    let mut alice = world.alice().await;
    assert_eq!(alice.get("/silent").await.status, 504);
    assert_eq!(counts(&servers).iter().sum::<usize>(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_slow_to_send_is_not_its_servers_fault() {
    let servers = servers(1).await;
    let mut upstream = at(&servers);
    upstream.waits.response = Some(1.0);
    let world = world(upstream).await;
    let mut alice = world.alice().await;
    alice
        .send("POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\n")
        .await;
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    alice.send("hi").await;
    assert_eq!(alice.response().await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn once_a_client_has_heard_of_an_answer_no_other_server_gives_one() {
    let servers = servers(2).await;
    let world = world(at(&servers)).await;
    let mut alice = world.alice().await;
    alice
        .send("GET /hinted-close HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    let hints = alice.until("\r\n\r\n").await.unwrap();
    assert!(hints.starts_with("HTTP/1.1 103 "), "{hints}");
    let answer = alice.until("\r\n\r\n").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert_eq!(counts(&servers).iter().sum::<usize>(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn sick_servers_are_not_stormed() {
    let servers = servers(2).await;
    let mut upstream = at(&servers);
    upstream.ejection.failures = 0;
    let world = world(upstream).await;
    let mut alice = world.alice().await;
    for _ in 0..50 {
        assert_eq!(alice.get("/close").await.status, 502);
    }
    // 3 to begin with, 20 %, and 3 each second.
    let sent = counts(&servers).iter().sum::<usize>();
    assert!((60..90).contains(&sent), "{sent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_fails_is_left_out_for_a_while() {
    let servers = servers(1).await;
    let mut upstream = WireUpstream::at(&[NOWHERE.into(), url(&servers[0])]);
    upstream.ejection.failures = 2;
    let world = world(upstream).await;
    let mut alice = world.alice().await;
    for _ in 0..20 {
        assert_eq!(alice.get("/x").await.status, 200);
    }
    let nowhere = world.gate.counters().servers[0].clone();
    assert_eq!((nowhere.state, nowhere.ejections), ("ejected", 1));
    assert_eq!(nowhere.requests, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_does_wrong_is_not_its_servers_fault() {
    let long = "x".repeat(9 * 1024);
    let length = long.len();
    let chunked = "Transfer-Encoding: chunked\r\n";
    for (what, request, status, failures) in [
        (
            "a body that is none",
            format!("POST /x HTTP/1.1\r\nHost: a.test\r\n{chunked}\r\n3\r\nabcdef"),
            Some(400),
            0,
        ),
        (
            "a body that is cut off",
            format!("POST /x HTTP/1.1\r\nHost: a.test\r\n{chunked}\r\n3\r\na"),
            None,
            0,
        ),
        (
            "a body in the midst of which a server ends",
            format!("POST /close-early HTTP/1.1\r\nHost: a.test\r\n{chunked}\r\n3\r\na"),
            Some(502),
            0,
        ),
        (
            "a head that is too long for a server",
            format!("GET /close HTTP/1.1\r\nHost: a.test\r\nX: {long}\r\n\r\n"),
            Some(502),
            0,
        ),
        (
            "a body that is too long for a server",
            format!(
                "POST /close HTTP/1.1\r\nHost: a.test\r\nContent-Length: {length}\r\n\r\n{long}"
            ),
            Some(502),
            0,
        ),
        (
            "what every server takes",
            "POST /close HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nhi".into(),
            Some(502),
            1,
        ),
    ] {
        let servers = servers(2).await;
        let mut upstream = at(&servers);
        upstream.ejection.failures = 1;
        let world = world(upstream).await;
        let mut alice = world.alice().await;
        alice.send(&request).await;
        match status {
            Some(status) => assert_eq!(alice.response().await.unwrap().status, status, "{what}"),
            None => {
                eventually("it is sent", || {
                    servers.iter().any(|server| server.open() == 1)
                })
                .await;
                drop(alice);
                eventually("it is over", || {
                    servers.iter().all(|server| server.open() == 0)
                })
                .await;
            }
        }
        let report = world.gate.counters().servers;
        let failed: u64 = report.iter().map(|one| one.failures).sum();
        assert_eq!(failed, failures, "{what}: {report:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_can_count_as_none() {
    for (status, ejections) in [(vec![], 0), (vec![503], 0), (vec![502, 500], 1)] {
        let servers = servers(2).await;
        let mut upstream = at(&servers);
        upstream.ejection.failures = 2;
        upstream.ejection.status = status;
        let world = world(upstream).await;
        let mut alice = world.alice().await;
        for _ in 0..10 {
            assert_eq!(alice.get("/500").await.status, 500);
        }
        let report = world.gate.counters().servers;
        let found: u64 = report.iter().map(|one| one.ejections).sum();
        assert_eq!(found, ejections);
        // What it says is passed on, and not asked of another one.
        assert_eq!(report.iter().map(|one| one.requests).sum::<u64>(), 10);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_server_is_never_left_out() {
    let servers = servers(2).await;
    let mut upstream = at(&servers);
    upstream.ejection.failures = 1;
    upstream.ejection.most_percent = 100;
    let world = world(upstream).await;
    let mut alice = world.alice().await;
    for _ in 0..10 {
        assert_eq!(alice.get("/close").await.status, 502);
    }
    let report = world.gate.counters().servers;
    let mut states: Vec<_> = report.iter().map(|one| one.state).collect();
    states.sort_unstable();
    assert_eq!(states, ["ejected", "up"]);
    // However ill it was, who asks it gets its answer.
    assert_eq!(alice.get("/x").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_are_asked_how_they_are() {
    let servers = servers(2).await;
    let mut upstream = at(&servers);
    upstream.servers[1].address = NOWHERE.into();
    upstream.health = Some(WireHealth {
        path: Some("/health".into()),
        status: vec![200],
        interval: 0.1,
        timeout: 1.0,
        rise: 1,
        fall: 2,
    });
    let mut world = world(upstream).await;
    let state = |world: &World, at: usize| world.gate.counters().servers[at].state;
    eventually("one is down", || state(&world, 1) == "down").await;
    assert_eq!(state(&world, 0), "up");
    // The first check of either may be the later one.
    eventually("the other is asked", || !servers[0].requests().is_empty()).await;
    let asked = servers[0].requests();
    assert!(
        asked[0].starts_with("GET /health HTTP/1.1\r\nhost: 127.0.0.1:"),
        "{}",
        asked[0]
    );
    let mut alice = world.alice().await;
    for _ in 0..4 {
        assert_eq!(alice.get("/x").await.status, 200);
    }
    assert_eq!(world.gate.counters().servers[1].requests, 0);
    // Another answer is none, and then there is nobody left.
    world.settings.upstreams[0].health.as_mut().unwrap().status = vec![204];
    world
        .gate
        .configure(checked(&world.settings), world.snapshot.clone())
        .unwrap();
    eventually("both are down", || state(&world, 0) == "down").await;
    let response = alice.get("/x").await;
    assert_eq!(response.status, 503);
    assert!(
        response
            .head
            .to_ascii_lowercase()
            .contains("retry-after: 1\r\n"),
        "{}",
        response.head
    );
    // A connection is enough.
    world.settings.upstreams[0].health.as_mut().unwrap().path = None;
    world
        .gate
        .configure(checked(&world.settings), world.snapshot.clone())
        .unwrap();
    eventually("one is well again", || state(&world, 0) == "up").await;
    assert_eq!(alice.get("/x").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_looked_up_and_all_its_addresses_are_used() {
    let servers = servers(1).await;
    let mut upstream = at(&servers);
    upstream.servers[0].address = format!("http://localhost:{}", servers[0].address.port());
    let world = world(upstream).await;
    eventually("the name has an address", || {
        let servers = world.gate.counters().servers;
        servers
            .iter()
            .all(|one| !one.address.starts_with("localhost"))
            && servers
                .iter()
                .any(|one| one.address.starts_with("127.0.0.1:"))
    })
    .await;
    assert_eq!(world.alice().await.get("/x").await.status, 200);
}
