//! Routes of the mode `shown`: the portal hears of everybody, also of whom the judge refuses, and nobody else does.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use gate::event::Kind;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use judge::record::{Batch, CredentialRecord, Mode, PinKind, PinRecord};
use rustls::version::{TLS12, TLS13};

use crate::support::{
    self, World,
    client::{Client, Hello},
    eventually,
    pki::{Identity, Pki},
    route, site,
};

async fn world() -> World {
    let routes = vec![
        route("/", Mode::Required),
        route("/join", Mode::Shown),
        route("/maybe", Mode::Optional),
    ];
    World::with(vec![site("a.test", routes)], |_| {}).await
}

async fn stranger(world: &World) -> Client {
    let other = Pki::named("Another Authority");
    world
        .connect(Hello::new("a.test").identity(&other.client("Zo\u{eb}")))
        .await
}

/// The fields that tell of an identity, without their values where those are certificates.
fn told(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| line.starts_with("mutualgate-") || line.starts_with("client-cert"))
        .map(|line| match line.split_once(": :") {
            Some((name, _)) => name.to_owned(),
            None => line.to_owned(),
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_portal_hears_what_was_refused_and_why() {
    let world = world().await;
    let mut client = stranger(&world).await;
    let response = client.get("/join/x").await;
    assert_eq!(response.status, 200);
    let seen = response.text();
    let fields = told(&seen);
    assert_eq!(
        fields[..3],
        [
            "mutualgate-verdict: refused",
            "mutualgate-reason: unknown_issuer",
            "mutualgate-issuer-known: no"
        ],
        "{seen}"
    );
    assert!(fields[3].starts_with("mutualgate-detail: "), "{seen}");
    assert_eq!(fields[4..], ["client-cert"], "{seen}");
    // The connection goes on, and the route beside it stays shut.
    assert_eq!(client.get("/join").await.status, 200);
    assert_eq!(
        told(&client.get("/maybe").await.text()),
        ["mutualgate-verdict: anonymous"]
    );
    assert_eq!(client.get("/").await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_key_nobody_can_check_is_told_so_and_is_not_shown() {
    let world = world().await;
    let weak = world.pki.weak("weak");
    for version in [&TLS12, &TLS13] {
        // It signs with whatever key it likes.
        let hello = Hello::new("a.test").identity(&weak).version(version);
        let mut client = world.connect(hello).await;
        let fields = told(&client.get("/join/x").await.text());
        assert_eq!(
            fields[..2],
            ["mutualgate-verdict: refused", "mutualgate-reason: weak_key"],
            "{fields:?}"
        );
        assert!(
            (fields.iter()).all(|field| !field.starts_with("client-cert")),
            "{fields:?}"
        );
        assert_eq!(client.get("/").await.status, 403);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_portal_hears_of_clients_and_of_nobody_as_others_do() {
    let world = world().await;
    let mut alice = world.alice().await;
    let (portal, other) = (alice.get("/join").await.text(), alice.get("/").await.text());
    assert_eq!(told(&portal), told(&other));
    assert!(
        portal.contains("mutualgate-verdict: admitted\r\n"),
        "{portal}"
    );
    let mut nobody = world.connect(Hello::new("a.test")).await;
    let text = nobody.get("/join").await.text();
    assert_eq!(told(&text), ["mutualgate-verdict: anonymous"], "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_says_to_the_portal_what_the_gate_says() {
    let world = world().await;
    let forged = "Mutualgate-Verdict: admitted\r\nMutualgate-Client-Id: 1\r\nMutualgate_Reason: x\r\nClient-Cert: :AA==:\r\n\
                  Mutualgate-Detail: x\r\nMutualgate-Issuer-Known: yes\r\nMutualgate-Partner: x\r\nConnection: mutualgate-verdict\r\n";
    for mut client in [
        stranger(&world).await,
        world.connect(Hello::new("a.test")).await,
    ] {
        let honest = told(&client.get("/join/x").await.text());
        client
            .send(&format!(
                "GET /join/x HTTP/1.1\r\nHost: a.test\r\n{forged}\r\n"
            ))
            .await;
        let text = client.response().await.unwrap().text();
        assert_eq!(told(&text), honest, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_is_shown_is_none_for_the_operator() {
    let world = world().await;
    let mut client = stranger(&world).await;
    assert_eq!(client.get("/join").await.status, 200);
    let events = world.gate.events(100, Duration::from_millis(300));
    assert!(
        events.iter().all(|event| event.kind != Kind::Refused),
        "{events:?}"
    );
    assert_eq!(client.get("/").await.status, 403);
    let events = world.gate.events(100, Duration::from_secs(2));
    assert!(
        events.iter().any(|event| event.kind == Kind::Refused),
        "{events:?}"
    );
}

fn pin(identity: &Identity, environment: &str) -> Batch {
    Batch {
        pins: vec![PinRecord {
            kind: PinKind::Certificate,
            digest: identity.fingerprint(),
            id: 5,
            client: 2,
            not_before: 0,
            not_after: support::pki::now() + 1_000_000,
            retired: false,
            environment: environment.into(),
        }],
        ..Batch::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_another_environment_is_nobody_here_and_is_told_so() {
    let mut world = world().await;
    let own = Pki::named("Another Authority").client("own");
    world.change(pin(&own, "test"));
    let mut client = world.connect(Hello::new("a.test").identity(&own)).await;
    let text = client.get("/join").await.text();
    let fields = told(&text);
    assert_eq!(
        fields[..3],
        [
            "mutualgate-verdict: refused",
            "mutualgate-reason: not_granted",
            "mutualgate-issuer-known: yes"
        ],
        "{text}"
    );
    assert!(
        fields[3].contains("environment test only") && fields[4] == "client-cert",
        "{text}"
    );

    world.change(pin(&own, ""));
    let mut client = world.connect(Hello::new("a.test").identity(&own)).await;
    let text = client.get("/join").await.text();
    for expected in [
        "mutualgate-verdict: admitted\r\n",
        "mutualgate-client: bob\r\n",
        "mutualgate-evidence: pin\r\n",
        "mutualgate-authority: pin\r\n",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_shown_is_told_once_and_again_when_it_is_admitted() {
    let mut world = world().await;
    let own = Pki::named("Another Authority").client("own");
    let hello = Hello::new("a.test").identity(&own);
    let mut client = world.connect(hello.clone()).await;
    assert_eq!(client.get("/join/token?x=y").await.status, 200);
    let [event] = &world.gate.events(100, Duration::from_secs(2))[..] else {
        panic!("one event")
    };
    assert_eq!(
        (
            event.kind,
            event.reason,
            event.client,
            event.path.as_str(),
            event.site.as_str()
        ),
        (
            Kind::Seen,
            Some("unknown_issuer"),
            None,
            "/join/token",
            "a.test"
        )
    );
    assert_eq!(
        event.chain,
        own.chain.iter().map(|der| der.to_vec()).collect::<Vec<_>>()
    );
    assert_eq!(client.get("/join/again").await.status, 200);
    let mut client = world.connect(hello).await;
    assert_eq!(client.get("/join").await.status, 200);
    assert!(
        world
            .gate
            .events(100, Duration::from_millis(100))
            .is_empty()
    );

    // The same connection, a moment later: it is a client's now.
    world.change(pin(&own, ""));
    assert_eq!(client.get("/join").await.status, 200);
    let [event] = &world.gate.events(100, Duration::from_secs(2))[..] else {
        panic!("one event")
    };
    assert_eq!(
        (
            event.kind,
            event.reason,
            event.client,
            event.credential,
            event.evidence
        ),
        (Kind::Seen, None, Some(2), Some(5), Some("pin"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_link_to_the_portal_is_written_down() {
    let log = std::env::temp_dir().join(format!("mutualgate-shown-{}.log", std::process::id()));
    let routes = vec![route("/", Mode::Required), route("/join", Mode::Shown)];
    let world = World::with(vec![site("a.test", routes)], |settings| {
        settings.access_log = log.to_str().unwrap().into();
    })
    .await;
    let mut client = stranger(&world).await;
    let secret = "/join/Yk3v0Qz1S7mA9cXeT5uR2wLbN8pFhGdJ4iKoVqZsEyM";
    assert_eq!(client.get(secret).await.status, 200);
    assert!(world.upstream.last().starts_with(&format!("GET {secret} ")));
    // Spoilt, and at a host that is none of ours.
    assert_eq!(client.get(&format!("{secret};x")).await.status, 400);
    let mut client = stranger(&world).await;
    client
        .send(&format!("GET {secret} HTTP/1.1\r\nHost: b.test\r\n\r\n"))
        .await;
    assert_eq!(client.response().await.unwrap().status, 421);
    let events = world.gate.events(100, Duration::from_secs(2));
    assert!(
        events.iter().all(|event| event.path == "/join/\u{2026}"),
        "{events:?}"
    );
    eventually("the lines are there", || {
        std::fs::read_to_string(&log).is_ok_and(|text| text.lines().count() == 3)
    })
    .await;
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::remove_file(&log).unwrap();
    assert!(!text.contains("Yk3v0Qz1"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_alone_is_a_sighting() {
    let world = world().await;
    let waiting = world.alice().await;
    let [event] = &world.gate.events(100, Duration::from_secs(2))[..] else {
        panic!("one event")
    };
    assert_eq!(
        (event.kind, event.client, event.path.as_str()),
        (Kind::Seen, Some(1), "")
    );
    drop(waiting);
    drop(stranger(&world).await);
    let [event] = &world.gate.events(100, Duration::from_secs(2))[..] else {
        panic!("one event")
    };
    assert_eq!(
        (event.kind, event.reason),
        (Kind::Seen, Some("unknown_issuer"))
    );
    drop(world.connect(Hello::new("a.test")).await);
    assert!(
        world
            .gate
            .events(100, Duration::from_millis(600))
            .is_empty(),
        "nothing was shown"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_request_that_makes_somebody_a_client_is_answered() {
    let mut world = world().await;
    let carol = world.pki.client("carol");
    let mut client = world.connect(Hello::new("a.test").identity(&carol)).await;
    client
        .send("GET /join/slow HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    let upstream = world.upstream.clone();
    eventually("the request is there", || upstream.requests().len() == 1).await;
    world.change(Batch {
        credentials: vec![CredentialRecord {
            fingerprint: carol.fingerprint(),
            id: 9,
            client: 2,
            authority: 1,
        }],
        ..Batch::default()
    });
    assert_eq!(
        client.response().await.map(|response| response.status),
        Some(200)
    );
    let text = client.get("/").await.text();
    assert!(text.contains("mutualgate-client: bob\r\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_request_that_replaces_a_certificate_is_answered_and_one_that_goes_on_speaking_is_cut()
{
    let mut world = world().await;
    let mut heard = world.alice().await;
    let mut speaking = world.alice().await;
    heard
        .send("GET /join/slow HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    let upstream = world.upstream.clone();
    eventually("the request is there", || upstream.requests().len() == 1).await;
    speaking
        .send("POST /join/slow HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nab")
        .await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.revoke(&world.alice.clone());
    assert!(
        speaking.ends().await,
        "what a revoked client began to say is not taken"
    );
    assert_eq!(
        heard.response().await.map(|response| response.status),
        Some(200)
    );
    let text = heard.get("/join").await.text();
    assert!(text.contains("mutualgate-reason: revoked\r\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_portal_can_end_a_connection_with_its_answer_and_no_other_service_can() {
    let world = world().await;
    let mut client = stranger(&world).await;
    let response = client.get("/join/again").await;
    assert_eq!(response.status, 200);
    assert_eq!(response.header("connection"), Some("close"));
    assert_eq!(response.header("mutualgate-close"), None);
    assert!(client.ends().await);

    let routes = vec![route("/", Mode::Required)];
    let world = World::with(vec![site("a.test", routes)], |_| {}).await;
    let mut alice = world.alice().await;
    assert_eq!(alice.get("/join/again").await.header("connection"), None);
    assert_eq!(alice.get("/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_2_it_is_a_goaway() {
    let world = world().await;
    let client = world
        .connect(Hello::new("a.test").identity(&world.alice).alpn("h2"))
        .await;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, Empty<bytes::Bytes>>(
            TokioExecutor::new(),
            TokioIo::new(client.tls),
        )
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let get = |path: &str| {
        http::Request::get(format!("https://a.test{path}"))
            .body(Empty::new())
            .unwrap()
    };
    let response = sender.send_request(get("/join/again")).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(!response.headers().contains_key("mutualgate-close"));
    assert!(!response.headers().contains_key("connection"));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(
        body.starts_with(b"GET /join/again "),
        "the answer is there to its end"
    );
    // NO_ERROR: the connection ends well, and no request of it is lost.
    tokio::time::timeout(support::PATIENCE, connection)
        .await
        .expect("the connection ends")
        .unwrap()
        .unwrap();
    assert!(sender.send_request(get("/join")).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_not_admitted_is_asked_for_a_certificate_each_time() {
    let sites = vec![
        site(
            "a.test",
            vec![route("/", Mode::Required), route("/join", Mode::Shown)],
        ),
        site("open.test", vec![route("/", Mode::Off)]),
    ];
    let world = World::with(sites, |_| {}).await;
    let other = Pki::named("Another Authority").client("other");
    for version in [&TLS12, &TLS13] {
        let hello = Hello::new("a.test").version(version);
        for (hello, path, resumed) in [
            (hello.clone(), "/join", false),
            (hello.clone().identity(&other), "/join", false),
            (hello.clone().identity(&world.alice), "/join", true),
            (hello.named("open.test"), "", true),
        ] {
            let hello = hello.resuming();
            for again in [false, true] {
                let mut client = world.connect(hello.clone()).await;
                assert_eq!(
                    client.resumed(),
                    again && resumed,
                    "{version:?} {}",
                    hello.name
                );
                client
                    .send(&format!(
                        "GET {path}/ HTTP/1.1\r\nHost: {}\r\n\r\n",
                        hello.name
                    ))
                    .await;
                assert_eq!(client.response().await.unwrap().status, 200);
            }
        }
    }
}
