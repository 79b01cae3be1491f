//! Which site and route a request is for, and what is refused because it could be for two.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use judge::record::Mode;

use crate::support::{World, client::Hello, route, site};

async fn two_sites() -> World {
    let sites = vec![
        site("a.test", vec![route("/", Mode::Required)]),
        site("b.test", vec![route("/app", Mode::Required)]),
    ];
    World::with(sites, |_| {}).await
}

#[tokio::test(flavor = "multi_thread")]
async fn sni_and_host_have_to_agree() {
    let world = two_sites().await;
    let status = async |hello: Hello, host: &str, path: &str| {
        let mut client = world.connect(hello.identity(&world.alice)).await;
        client
            .send(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .await;
        client.response().await.map(|response| response.status)
    };
    let (a, b, none) = (
        Hello::new("a.test"),
        Hello::new("b.test"),
        Hello::new("a.test").without_sni(),
    );
    for (hello, host, path, expected) in [
        (&a, "a.test", "/", 200),
        (&a, "A.TEST", "/", 200),
        (&a, "a.test.", "/", 200),
        (&a, "a.test:8443", "/", 200),
        (&b, "b.test", "/app/x", 200),
        (&none, "a.test", "/", 200),
        (&a, "b.test", "/app", 421),
        (&b, "a.test", "/", 421),
        (&none, "b.test", "/app", 421),
        (&a, "c.test", "/", 421),
        (&a, "127.0.0.1", "/", 421),
        (&a, "a.test:x", "/", 400),
        (&a, "user@a.test", "/", 400),
        (&a, "", "/", 400),
    ] {
        assert_eq!(
            status(hello.clone(), host, path).await,
            Some(expected),
            "{host} {path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_names_one_host() {
    let world = two_sites().await;
    for (head, expected) in [
        ("GET https://a.test/ HTTP/1.1\r\nHost: a.test\r\n", 200),
        ("GET https://b.test/app HTTP/1.1\r\nHost: a.test\r\n", 400),
        ("GET https://b.test/app HTTP/1.1\r\nHost: b.test\r\n", 421),
        ("GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n", 400),
        ("GET / HTTP/1.1\r\n", 400),
        ("GET / HTTP/1.0\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n", 400),
    ] {
        let mut alice = world.alice().await;
        alice.send(&format!("{head}\r\n")).await;
        assert_eq!(
            alice.response().await.map(|response| response.status),
            Some(expected),
            "{head}"
        );
    }
    assert_eq!(world.upstream.requests().len(), 1);
    assert!(
        world
            .upstream
            .last()
            .starts_with("GET / HTTP/1.1\r\nhost: a.test\r\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_name_gets_an_alert_and_no_page() {
    let world = two_sites().await;
    let error = world
        .try_connect(Hello::new("c.test").identity(&world.alice))
        .await
        .err()
        .unwrap();
    assert!(error.to_string().contains("UnrecognisedName"), "{error}");
    assert!(
        world
            .try_connect(Hello::new("A.Test").identity(&world.alice))
            .await
            .is_ok()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_with_two_readings_are_refused_before_any_rule() {
    let open = vec![route("/", Mode::Required), route("/public", Mode::Off)];
    let world = World::with(vec![site("a.test", open)], |_| {}).await;
    for path in [
        "/public/..;/admin",
        "/public/../admin",
        "/public/%2e%2e/admin",
        "/public/%2E%2E%2Fadmin",
        "//admin",
        "/public//admin",
        "/admin;x/",
        "/public\\admin",
        "/public/%5cadmin",
        "/public/./x",
        "/public/%00",
        "/public/%zz",
        "/public/%61",
        "/public/%252e",
        "*",
    ] {
        let mut nobody = world.connect(Hello::new("a.test")).await;
        let status = nobody.get(path).await.status;
        assert_eq!(status, 400, "{path}");
    }
    let mut nobody = world.connect(Hello::new("a.test")).await;
    assert_eq!(nobody.get("/public/a-b_c~d/%20?x=../;//").await.status, 200);
    assert_eq!(nobody.get("/publicity").await.status, 403);
    assert!(
        world
            .upstream
            .requests()
            .iter()
            .all(|request| request.starts_with("GET /public/a-b_c~d/%20?x=../;//"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_nothing_beside_the_routes_and_no_tunnel() {
    let world = two_sites().await;
    let mut bob = world
        .connect(Hello::new("b.test").identity(&world.bob))
        .await;
    bob.send("GET /other HTTP/1.1\r\nHost: b.test\r\n\r\n")
        .await;
    let response = bob.response().await.unwrap();
    assert_eq!(response.status, 404);
    assert!(response.text().contains("no_route"));
    for request in [
        "TRACE / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n",
    ] {
        let mut alice = world.alice().await;
        alice.send(request).await;
        assert_eq!(
            alice.response().await.map(|response| response.status),
            Some(405),
            "{request}"
        );
    }
    assert!(world.upstream.requests().is_empty());
}
