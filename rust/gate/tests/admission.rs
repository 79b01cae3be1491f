//! Who gets through, who is told why not, and what a change of trust does to what is open.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use judge::record::Mode;

use crate::support::{World, client::Hello, pki::Pki, route, site};

#[tokio::test(flavor = "multi_thread")]
async fn an_admitted_client_reaches_the_upstream_and_a_stranger_does_not() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    let response = alice.get("/hello?x=1").await;
    assert_eq!(response.status, 200, "{response:?}");
    let seen = response.text();
    assert!(
        seen.starts_with("GET /hello?x=1 HTTP/1.1\r\nhost: a.test\r\n"),
        "{seen}"
    );
    for expected in [
        "mutualgate-verdict: admitted\r\n",
        "mutualgate-client-id: 1\r\n",
        "mutualgate-client: alice\r\n",
        "mutualgate-roles: ops\r\n",
        "client-cert: :",
        "via: 1.1 mutualgate\r\n",
        "x-forwarded-proto: https\r\n",
        "x-forwarded-for: 127.0.0.1\r\n",
        "x-request-id: ",
    ] {
        assert!(seen.contains(expected), "{expected}: {seen}");
    }

    let mut stranger = world.connect(Hello::new("a.test")).await;
    let response = stranger.get("/hello").await;
    assert_eq!(response.status, 403);
    assert_eq!(
        response.header("content-type"),
        Some("application/problem+json")
    );
    assert!(
        response.text().contains("\"reason\":\"no_certificate\""),
        "{}",
        response.text()
    );
    assert_eq!(world.upstream.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_has_its_reason() {
    let world = World::new().await;
    let other = Pki::named("Test Authority"); // the same name, another key
    let cases = [
        ("unknown_issuer", other.client("alice")),
        ("not_enrolled", world.pki.client("carol")),
        (
            "expired",
            world.pki.client_with("dora", |params| {
                params.not_after = rcgen::date_time_ymd(2021, 1, 1)
            }),
        ),
        (
            "not_yet_valid",
            world.pki.client_with("emil", |params| {
                params.not_before = rcgen::date_time_ymd(2039, 1, 1)
            }),
        ),
        (
            "not_for_client_auth",
            world.pki.client_with("fred", |params| {
                params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
            }),
        ),
    ];
    for (reason, identity) in cases {
        let mut client = world
            .connect(Hello::new("a.test").identity(&identity))
            .await;
        let response = client.get("/").await;
        assert_eq!(response.status, 403, "{reason}");
        assert!(
            response
                .text()
                .contains(&format!("\"reason\":\"{reason}\"")),
            "{reason}: {}",
            response.text()
        );
    }
    assert!(world.upstream.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_decide_about_routes() {
    let mut admin = route("/admin", Mode::Required);
    admin.roles = vec!["ops"];
    let routes = vec![
        route("/", Mode::Required),
        admin,
        route("/open", Mode::Off),
        route("/maybe", Mode::Optional),
    ];
    let world = World::with(vec![site("a.test", routes)], |_| {}).await;
    let mut alice = world.alice().await;
    let mut bob = world
        .connect(Hello::new("a.test").identity(&world.bob))
        .await;
    let mut nobody = world.connect(Hello::new("a.test")).await;
    assert_eq!(alice.get("/admin/x").await.status, 200);
    let refused = bob.get("/admin/x").await;
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("not_granted"));
    assert_eq!(bob.get("/").await.status, 200); // a client of ours keeps its connection
    assert!(
        bob.get("/maybe")
            .await
            .text()
            .contains("mutualgate-client: bob\r\n")
    );
    let open = nobody.get("/open").await.text();
    assert!(
        open.contains("mutualgate-verdict: anonymous\r\n") && !open.contains("mutualgate-client"),
        "{open}"
    );
    assert!(
        alice
            .get("/open")
            .await
            .text()
            .contains("mutualgate-verdict: anonymous\r\n")
    );
    assert_eq!(nobody.get("/maybe").await.status, 200);
    assert_eq!(nobody.get("/").await.status, 403);
    assert!(nobody.ends().await);
}
