//! What is known afterwards: events, counters, access lines.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use gate::event::Kind;
use judge::record::Mode;

use crate::support::{WireTracing, World, client::Hello, eventually, route, site};

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_an_event_under_the_reference_that_the_client_was_shown() {
    let world = World::new().await;
    let expired = world.pki.client_with("dora", |params| {
        params.not_after = rcgen::date_time_ymd(2021, 1, 1)
    });
    let mut dora = world.connect(Hello::new("a.test").identity(&expired)).await;
    let response = dora.get("/x?secret=1").await;
    let shown = response.header("mutualgate-refusal").unwrap().to_owned();
    assert!(
        response
            .text()
            .contains(&format!("\"refusal\":\"{shown}\""))
    );
    let events = world.gate.events(10, Duration::from_secs(1));
    let refused = events
        .iter()
        .find(|event| event.kind == Kind::Refused)
        .unwrap();
    assert_eq!(refused.refusal.unwrap().as_str(), shown);
    assert_eq!(
        (refused.reason, refused.path.as_str(), refused.site.as_str()),
        (Some("expired"), "/x", "a.test")
    );
    assert_eq!(refused.certificate.as_deref(), Some(&expired.chain[0][..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_seen_once() {
    let world = World::new().await;
    for _ in 0..3 {
        assert_eq!(world.alice().await.get("/").await.status, 200);
    }
    let events = world.gate.events(10, Duration::from_secs(1));
    let seen: Vec<_> = events
        .iter()
        .filter(|event| event.kind == Kind::Seen)
        .collect();
    assert_eq!(seen.len(), 1, "{events:?}");
    assert_eq!((seen[0].client, seen[0].credential), (Some(1), Some(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_and_logged() {
    let log = std::env::temp_dir().join(format!("gate-access-{}.log", std::process::id()));
    let text = log.display().to_string();
    let world = World::with(
        vec![site("a.test", vec![route("/", Mode::Required)])],
        |settings| settings.access_log = text,
    )
    .await;
    let mut alice = world.alice().await;
    assert_eq!(alice.get("/404?token=geheim").await.status, 404);
    alice
        .send("POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello")
        .await;
    assert_eq!(alice.response().await.unwrap().status, 200);
    let mut stranger = world.connect(Hello::new("a.test")).await;
    assert_eq!(stranger.get("/").await.status, 403);
    eventually("three lines", || {
        std::fs::read_to_string(&log).is_ok_and(|text| text.lines().count() == 3)
    })
    .await;
    let lines = std::fs::read_to_string(&log).unwrap();
    std::fs::remove_file(&log).unwrap();
    assert!(!lines.contains("geheim"), "{lines}");
    let line = |part: &str| {
        lines
            .lines()
            .find(|line| line.contains(part))
            .unwrap_or_else(|| panic!("{part}: {lines}"))
            .to_owned()
    };
    assert!(
        line("/404").contains("alice") && line("/404").contains("a.test"),
        "{lines}"
    );
    assert!(line("no_certificate").contains("403"), "{lines}");

    let counters = world.gate.counters();
    let count = |numbers: &[gate::counters::Labelled], label: &str| {
        numbers.iter().find(|number| number.0 == label).unwrap().1
    };
    assert_eq!(count(&counters.handshakes, "full"), 2);
    assert_eq!(count(&counters.verdicts, "admitted"), 2);
    assert_eq!(count(&counters.verdicts, "no_certificate"), 1);
    assert_eq!(counters.bytes_in, 5);
    let route = counters
        .requests
        .iter()
        .find(|requests| requests.site == "a.test")
        .unwrap();
    assert_eq!((route.classes[2], route.classes[4]), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_holds_no_more_than_the_beginning_of_what_a_stranger_chose() {
    let sites = vec![site("a.test", vec![route("/", Mode::Required)])];
    let world = World::with(sites, |settings| {
        settings.tracing = Some(WireTracing {
            sample: 1.0,
            accept: false,
        });
    })
    .await;
    let mut stranger = world.connect(Hello::new("a.test")).await;
    let long = "x".repeat(2000);
    stranger
        .send(&format!("{long} /{long} HTTP/1.1\r\nHost: {long}\r\n\r\n"))
        .await;
    assert_eq!(stranger.response().await.unwrap().status, 421);
    let mut traces = Vec::new();
    eventually("its trace", || {
        traces.extend(world.gate.traces(10));
        !traces.is_empty()
    })
    .await;
    for text in [&traces[0].method, &traces[0].path, &traces[0].host] {
        assert!(text.len() == 1024 && text.ends_with("x…"), "{text}");
    }
}
