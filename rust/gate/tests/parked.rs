//! Connections that idle for a while: they give their memory back, and nobody notices.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use judge::record::Mode;

use crate::support::{
    self, World,
    client::{Client, Hello},
    route, site,
};

/// Longer than a connection waits before it is parked.
const A_WHILE: Duration = Duration::from_millis(1_800);

async fn idle(world: &World) -> Client {
    let mut alice = world.alice().await;
    assert_eq!(alice.get("/").await.status, 200);
    tokio::time::sleep(A_WHILE).await;
    alice
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_request_is_served_whatever_its_size() {
    let world = World::new().await;
    let mut alice = idle(&world).await;
    for round in 0..2 {
        let long = "x".repeat(20_000);
        alice
            .send(&format!(
                "GET /a{round} HTTP/1.1\r\nHost: a.test\r\nX-Long: {long}\r\n\r\n"
            ))
            .await;
        let response = alice.response().await.unwrap();
        assert_eq!(response.status, 200);
        assert!(response.text().contains(&format!("x-long: {long}\r\n")));
        tokio::time::sleep(A_WHILE).await;
    }
    let body = "y".repeat(100_000);
    alice
        .send(&format!(
            "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
    assert_eq!(alice.response().await.unwrap().status, 200);
    assert!(world.upstream.last().ends_with(&body));
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_come_one_by_one_and_several_requests_at_once() {
    let world = World::new().await;
    let mut alice = idle(&world).await;
    for byte in "GET /one HTTP/1.1\r\nHost: a.test\r\n\r\n".chars() {
        alice.send(&byte.to_string()).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(
        alice
            .response()
            .await
            .unwrap()
            .text()
            .starts_with("GET /one ")
    );
    tokio::time::sleep(A_WHILE).await;
    // Two and a half: the rest comes when the others are long answered.
    alice
        .send("GET /two HTTP/1.1\r\nHost: a.test\r\n\r\nGET /three HTTP/1.1\r\nHost: a.test\r\n\r\nGET /fo")
        .await;
    for expected in ["GET /two ", "GET /three "] {
        assert!(alice.response().await.unwrap().text().starts_with(expected));
    }
    tokio::time::sleep(A_WHILE).await;
    alice.send("ur HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert!(
        alice
            .response()
            .await
            .unwrap()
            .text()
            .starts_with("GET /four ")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_meanwhile_holds() {
    let mut world = World::new().await;
    let mut alice = idle(&world).await;
    world.revoke(&world.alice.clone());
    let response = alice.get("/").await;
    assert_eq!(response.status, 403);
    assert!(response.text().contains("\"reason\":\"revoked\""));
    assert!(alice.ends().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_in_time_and_with_the_gate() {
    let routes = || vec![site("a.test", vec![route("/", Mode::Required)])];
    let world = World::with(routes(), |settings| settings.timeouts.idle = 2.5).await;
    let mut alice = idle(&world).await;
    // With close_notify: rustls takes an end without it for an error, and the test's client for no end.
    assert!(alice.ends_well().await);

    let world = World::with(routes(), |_| {}).await;
    let mut alice = idle(&world).await;
    let gate = world.gate;
    let stop = tokio::task::spawn_blocking(move || {
        gate.stop(Duration::from_secs(5), gate::Farewell::AtOnce)
    });
    assert!(alice.ends_well().await);
    assert_eq!(stop.await.unwrap().open_connections, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_is_let_go() {
    let world = World::new().await;
    let alice = idle(&world).await;
    drop(alice);
    support::eventually("nobody is connected", || {
        world.gate.counters().open_connections == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_that_is_silent_for_a_while_goes_on() {
    let world = World::new().await;
    let mut alice = idle(&world).await;
    alice
        .send("GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n")
        .await;
    assert!(alice.until("hello").await.is_some());
    tokio::time::sleep(A_WHILE).await;
    alice.send("ping").await;
    assert_eq!(alice.until("ping").await.as_deref(), Some("ping"));
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_that_may_stay_are_parked_too() {
    let routes = vec![route("/", Mode::Required), route("/maybe", Mode::Optional)];
    let world = World::with(vec![site("a.test", routes)], |_| {}).await;
    let mut nobody = world.connect(Hello::new("a.test")).await;
    for _ in 0..2 {
        assert_eq!(nobody.get("/maybe").await.status, 200);
        tokio::time::sleep(A_WHILE).await;
    }
}
