//! HTTP/1.1 and 1.0 towards clients: what keeps a connection, interim responses, framing.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use judge::record::Mode;

use crate::support::{World, route, site};

#[tokio::test(flavor = "multi_thread")]
async fn interim_responses_pass() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    alice
        .send("GET /hints HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    let hints = alice.until("\r\n\r\n").await.unwrap();
    assert_eq!(hints, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
    assert_eq!(alice.response().await.unwrap().text(), "ok");
    // HTTP/1.0 knows none (RFC 9110 15.2).
    alice
        .send("GET /hints HTTP/1.0\r\nHost: a.test\r\n\r\n")
        .await;
    let head = alice.until("\r\n\r\n").await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_concerns_a_services_connection_goes_no_further() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    alice
        .send("GET /of-one-connection HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    let hints = alice.until("\r\n\r\n").await.unwrap();
    assert_eq!(hints, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
    let head = alice.until("\r\n\r\n").await.unwrap();
    let (before, after) = head.split_once("date: ").unwrap();
    assert_eq!(before, "HTTP/1.1 200 OK\r\nX-End: 1\r\n");
    assert_eq!(&after[29..], "\r\ntransfer-encoding: chunked\r\n\r\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_body_is_not_said_to_have_an_empty_one() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    for (asked, status) in [
        ("GET /204", "204 No Content"),
        ("GET /304", "304 Not Modified"),
        ("HEAD /head", "200 OK"),
    ] {
        alice
            .send(&format!("{asked} HTTP/1.1\r\nHost: a.test\r\n\r\n"))
            .await;
        let head = alice.until("\r\n\r\n").await.unwrap();
        let (before, after) = head.split_once("date: ").unwrap();
        assert_eq!(before, format!("HTTP/1.1 {status}\r\n"));
        assert_eq!(&after[29..], "\r\n\r\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_that_some_readers_cannot_hold_goes_no_further() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    alice
        .send("POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9223372036854775808\r\n\r\n")
        .await;
    assert_eq!(alice.response().await.unwrap().status, 400);
    assert!(world.upstream.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_is_told_that_this_is_the_end() {
    let sites = vec![site("a.test", vec![route("/", Mode::Required)])];
    let world = World::with(sites, |settings| settings.timeouts.header = 0.3).await;
    assert!(world.alice().await.ends_well().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_is_not_waited_for_longer_where_it_began_with_the_one_before() {
    let sites = vec![site("a.test", vec![route("/", Mode::Required)])];
    let world = World::with(sites, |settings| settings.timeouts.header = 2.0).await;
    let mut alice = world.alice().await;
    alice
        .send("GET /1 HTTP/1.1\r\nHost: a.test\r\n\r\nGET /2 HT")
        .await;
    assert_eq!(alice.response().await.unwrap().status, 200);
    assert!(alice.ends().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_before_the_end_of_a_body_can_be_read_by_who_still_sends() {
    // A test that was held up for longer than the gate waits for the rest looks again.
    for _ in 0..5 {
        if is_read_on().await {
            return;
        }
    }
    panic!("a reset could overtake the answer");
}

/// Whether what comes after an early answer is still read.
async fn is_read_on() -> bool {
    let world = World::new().await;
    let mut alice = world.alice().await;
    alice
        .send("POST /early HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\n")
        .await;
    assert_eq!(alice.response().await.unwrap().text(), "big");
    alice.is_heard_out().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_may_answer_while_the_body_comes() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    alice
        .send("POST /duplex HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    let head = alice.until("\r\n\r\n").await.unwrap();
    assert!(!head.contains("connection:"), "{head}");
    assert!(alice.until("ready").await.is_some());
    alice.send("2\r\nab\r\n").await;
    assert!(alice.until("heard").await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_asks_for_no_body() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    alice
        .send("GET /unasked-100 HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    let head = alice.until("\r\n\r\n").await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_comes_unasked_is_not_asked_for() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    alice
        .send("POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello")
        .await;
    let head = alice.until("\r\n\r\n").await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(world.upstream.last().ends_with("hello"));
    // In HTTP/1.0 there is nothing to expect.
    let mut alice = world.alice().await;
    alice
        .send(
            "POST /x HTTP/1.0\r\nHost: a.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
        )
        .await;
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    alice.send("hello").await;
    let head = alice.until("\r\n\r\n").await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_stays_as_its_client_wants() {
    let world = World::new().await;
    for (version, fields, stays, said) in [
        ("HTTP/1.1", "", true, None),
        ("HTTP/1.1", "Connection: keep-alive\r\n", true, None),
        ("HTTP/1.1", "Connection: x, Close\r\n", false, Some("close")),
        ("HTTP/1.0", "", false, Some("close")),
        (
            "HTTP/1.0",
            "Connection: keep-alive\r\n",
            true,
            Some("keep-alive"),
        ),
        (
            "HTTP/1.0",
            "Connection: keep-alive, close\r\n",
            false,
            Some("close"),
        ),
    ] {
        let mut alice = world.alice().await;
        alice
            .send(&format!("GET / {version}\r\nHost: a.test\r\n{fields}\r\n"))
            .await;
        let response = alice.response().await.unwrap();
        assert_eq!(response.status, 200);
        assert_eq!(response.header("connection"), said, "{version} {fields}");
        assert!(response.header("date").is_some());
        if stays {
            assert_eq!(alice.get("/again").await.status, 200, "{version} {fields}");
        } else {
            assert!(alice.ends_well().await, "{version} {fields}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_knows_no_chunks_gets_none() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    alice
        .send("GET /trailers HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n")
        .await;
    let head = alice.until("\r\n\r\n").await.unwrap();
    assert!(
        head.contains("connection: close\r\n") && !head.contains("ransfer-"),
        "{head}"
    );
    assert_eq!(alice.until("ok").await.as_deref(), Some("ok"));
    assert!(alice.ends_well().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_are_for_who_takes_them() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    for (fields, trailer) in [("", None), ("TE: trailers\r\n", Some("7"))] {
        alice
            .send(&format!(
                "GET /trailers HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n"
            ))
            .await;
        let response = alice.response().await.unwrap();
        assert_eq!(response.text(), "ok");
        assert_eq!(response.header("x-sum"), trailer, "{fields}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_line_before_a_request_is_read_over() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    alice
        .send("POST /1 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nok\r\n")
        .await;
    assert_eq!(alice.response().await.unwrap().status, 200);
    assert_eq!(alice.get("/2").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absolute_target_is_the_same_request() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    alice
        .send("GET https://a.test/x?y=z HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    let seen = alice.response().await.unwrap().text();
    assert!(
        seen.starts_with("GET /x?y=z HTTP/1.1\r\nhost: a.test\r\n"),
        "{seen}"
    );
    alice
        .send("GET https://a.test?y=z HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    let seen = alice.response().await.unwrap().text();
    assert!(seen.starts_with("GET /?y=z HTTP/1.1\r\n"), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_answer_is_one_record() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    assert_eq!(alice.get("/").await.status, 200);
    // What the client's TLS gives at once is what came in one record.
    for path in ["/204", "/404", "/trailers"] {
        alice
            .send(&format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n"))
            .await;
        let mut bytes = [0; 4096];
        let count = tokio::io::AsyncReadExt::read(&mut alice.tls, &mut bytes)
            .await
            .unwrap();
        let text = String::from_utf8_lossy(&bytes[..count]);
        let end = match path {
            "/204" => "\r\n\r\n",
            "/404" => "none",
            _ => "2\r\nok\r\n0\r\n\r\n",
        };
        assert!(text.ends_with(end), "{text}");
    }
}
