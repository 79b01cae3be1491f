//! What is forwarded, and how: framing, bodies both ways, reuse of connections, failures of upstreams.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use judge::record::Mode;

use crate::support::{WireUpstream, World, client::Hello, eventually, route, site};

#[tokio::test(flavor = "multi_thread")]
async fn bodies_go_up_with_a_length_and_in_chunks() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    alice
        .send("POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello")
        .await;
    assert_eq!(alice.response().await.unwrap().status, 200);
    assert!(
        world.upstream.last().contains("content-length: 5\r\n")
            && world.upstream.last().ends_with("\r\n\r\nhello")
    );

    alice
        .send("PUT /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Client_Cert\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\nClient_Cert: forged\r\nX-SSL-Client-CN: forged\r\nHost: evil\r\n\r\n")
        .await;
    assert_eq!(alice.response().await.unwrap().status, 200);
    let seen = world.upstream.last();
    assert!(
        seen.contains("transfer-encoding: chunked\r\n") && !seen.contains("content-length"),
        "{seen}"
    );
    assert!(
        seen.ends_with("\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n"),
        "{seen}"
    );

    alice
        .send("POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n")
        .await;
    assert_eq!(alice.response().await.unwrap().status, 200);
    assert!(world.upstream.last().contains("content-length: 0\r\n"));
    assert_eq!(alice.get("/x").await.status, 200);
    assert!(!world.upstream.last().contains("content-length"));
    assert_eq!(world.upstream.connections(), 1, "one connection for all");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_asked_for_only_when_it_is_wanted() {
    let world = World::new().await;
    let expecting =
        "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    let mut alice = world.alice().await;
    alice.send(expecting).await;
    assert!(alice.until("HTTP/1.1 100 Continue\r\n\r\n").await.is_some());
    alice.send("hello").await;
    assert_eq!(alice.response().await.unwrap().status, 200);
    assert!(!world.upstream.last().contains("expect"));

    let mut stranger = world.connect(Hello::new("a.test")).await;
    stranger.send(expecting).await;
    assert_eq!(stranger.response().await.unwrap().status, 403);
    assert!(stranger.ends().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_stream_both_ways() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    let big = alice.get("/big").await;
    assert_eq!(big.body.len(), 10 * 1024 * 1024);
    assert!(big.body.iter().all(|byte| *byte == b'x'));
    let body = "y".repeat(8 * 1024 * 1024);
    alice
        .send(&format!(
            "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n",
            body.len()
        ))
        .await;
    alice.send(&body).await;
    assert_eq!(
        alice.response().await.unwrap().text(),
        body.len().to_string()
    );
    let chunked: String = body
        .as_bytes()
        .chunks(100_000)
        .map(|part| format!("{:x}\r\n{}\r\n", part.len(), "z".repeat(part.len())))
        .collect();
    alice
        .send("POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    alice.send(&chunked).await;
    alice.send("0\r\n\r\n").await;
    assert_eq!(alice.response().await.unwrap().status, 200);
    let seen = world.upstream.last();
    let (_, seen) = seen.split_once("\r\n\r\n").unwrap();
    assert_eq!(seen.matches('z').count(), body.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_pass_unchanged() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    let missing = alice.get("/404").await;
    assert_eq!(
        (
            missing.status,
            missing.text().as_str(),
            missing.header("x-own")
        ),
        (404, "none", Some("yes"))
    );
    assert_eq!(alice.get("/500").await.status, 500);
    assert_eq!(alice.get("/hints").await.text(), "ok");
    let trailers = alice.get("/trailers").await;
    assert_eq!(trailers.text(), "ok");
    alice
        .send("GET /204 HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    assert!(
        alice
            .until("\r\n\r\n")
            .await
            .unwrap()
            .starts_with("HTTP/1.1 204")
    );
    alice.send("HEAD /x HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    let head = alice.until("\r\n\r\n").await.unwrap();
    assert!(
        head.starts_with("HTTP/1.1 200") && head.to_ascii_lowercase().contains("content-length: "),
        "{head}"
    );
    assert_eq!(alice.get("/nolength").await.text(), "until the end");
    assert_eq!(alice.get("/x").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_of_the_upstream_are_told_and_its_connection_is_not_used_again() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    for (path, status, code) in [
        ("/close", 502, "upstream_failed"),
        ("/bad", 502, "upstream_failed"),
        ("/unasked101", 502, "upstream_failed"),
    ] {
        let response = alice.get(path).await;
        assert_eq!(response.status, status, "{path}");
        assert!(
            response.text().contains(code),
            "{path}: {}",
            response.text()
        );
    }
    let before = world.upstream.connections();
    assert_eq!(alice.get("/extra").await.text(), "ok");
    let after = alice.get("/x").await;
    assert!(
        after.text().starts_with("GET /x "),
        "not the poison: {}",
        after.text()
    );
    assert_eq!(world.upstream.connections(), before + 2);

    // An answer that breaks off breaks off for the client, too.
    alice
        .send("GET /broken HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    assert!(alice.response().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_of_which_there_is_doubt_is_not_used_again() {
    let world = World::new().await;
    let upstream = world.upstream.clone();
    let mut alice = world.alice().await;
    assert_eq!(alice.get("/x").await.status, 200);
    // It says that it ends; it said nothing of the kind, in a version where that means the same.
    for path in ["/says-close", "/says-old"] {
        let before = upstream.connections();
        assert_eq!(alice.get(path).await.text(), "ok");
        assert!(alice.get("/x").await.text().starts_with("GET /x "));
        assert_eq!(upstream.connections(), before + 1, "{path}");
    }
    // What nobody asked for comes while it rests: the next one must not get that for an answer.
    assert_eq!(alice.get("/late-extra").await.text(), "ok");
    eventually("the poison is sent", || upstream.late() == 1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let after = alice.get("/x").await;
    assert!(after.text().starts_with("GET /x "), "{}", after.text());
    // It ends while it rests: the next one may be a POST, which nobody sends twice.
    let gone = upstream.gone();
    assert_eq!(alice.get("/then-gone").await.text(), "ok");
    eventually("it is closed", || upstream.gone() > gone).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    alice
        .send("POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nhi")
        .await;
    assert_eq!(alice.response().await.unwrap().status, 200);
    // The answer came before the request was complete: what comes next is still its body.
    alice
        .send("POST /early-and-open HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000\r\n\r\n")
        .await;
    assert_eq!(alice.response().await.unwrap().text(), "now");
    let before = upstream.connections();
    let mut alice = world.alice().await;
    assert!(alice.get("/x").await.text().starts_with("GET /x "));
    assert_eq!(upstream.connections(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_upstream_times_out_and_one_that_is_not_there_is_said_to_be() {
    let world = World::with(
        vec![site("a.test", vec![route("/", Mode::Required)])],
        |settings| settings.timeouts.response = 0.2,
    )
    .await;
    let mut alice = world.alice().await;
    let response = alice.get("/silent").await;
    assert_eq!(response.status, 504);
    assert!(response.text().contains("upstream_timeout"));
    let upstream = world.upstream.clone();
    eventually("the connection is given up", || upstream.open() == 0).await;

    let world = World::with(
        vec![site("a.test", vec![route("/", Mode::Required)])],
        |settings| {
            settings.upstreams[0] = WireUpstream::at(&["http://127.0.0.1:1".into()]);
        },
    )
    .await;
    let response = world.alice().await.get("/").await;
    assert_eq!(response.status, 503);
    assert!(response.text().contains("upstream_unreachable"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_went_stale_is_replaced_once() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    assert_eq!(alice.get("/x").await.status, 200);
    // The upstream closes when the second request comes: nobody's fault, for a request that may be repeated.
    assert_eq!(alice.get("/stale").await.status, 200);
    assert_eq!(world.upstream.connections(), 2);
    // A POST that was complete may have had an effect: it is not repeated.
    alice
        .send("POST /stale HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n")
        .await;
    assert_eq!(alice.response().await.unwrap().status, 502);
    assert_eq!(world.upstream.connections(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_early_answer_reaches_the_client() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    alice
        .send("POST /early HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\nbegin")
        .await;
    let response = alice.response().await.unwrap();
    assert_eq!((response.status, response.text().as_str()), (413, "big"));
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_have_a_limit() {
    let mut limited = route("/", Mode::Required);
    limited.options.max_body_bytes = Some(10);
    let world = World::with(vec![site("a.test", vec![limited])], |_| {}).await;
    let mut alice = world.alice().await;
    alice
        .send("POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 11\r\n\r\n")
        .await;
    assert_eq!(alice.response().await.unwrap().status, 413);
    assert!(world.upstream.requests().is_empty());
    let mut alice = world.alice().await;
    alice
        .send(
            "POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n",
        )
        .await;
    alice.send("5\r\nghijk\r\n").await;
    assert_eq!(alice.response().await.unwrap().status, 413);
    let mut alice = world.alice().await;
    alice
        .send("POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\n0123456789")
        .await;
    assert_eq!(alice.response().await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_takes_its_upstream_connection_along() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    alice
        .send("GET /silent HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    let upstream = world.upstream.clone();
    eventually("the request is there", || upstream.requests().len() == 1).await;
    drop(alice);
    eventually("the connection is closed", || upstream.open() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_is_an_upstream() {
    let folder = std::env::temp_dir().join(format!("gate-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("app.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = vec![0; 8192];
        while tokio::io::AsyncReadExt::read(&mut stream, &mut bytes)
            .await
            .unwrap_or(0)
            > 0
        {
            tokio::io::AsyncWriteExt::write_all(
                &mut stream,
                b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nunix",
            )
            .await
            .unwrap();
        }
    });
    let address = format!("unix:{}", path.display());
    let world = World::with(
        vec![site("a.test", vec![route("/", Mode::Required)])],
        |settings| {
            settings.upstreams[0] = WireUpstream::at(&[address]);
        },
    )
    .await;
    let mut alice = world.alice().await;
    assert_eq!(alice.get("/").await.text(), "unix");
    assert_eq!(alice.get("/").await.text(), "unix");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn spoofed_identities_never_arrive() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    alice
        .send(
            "GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: Client-Cert, Mutualgate-Client-Id, X-Forwarded-For\r\nClient-Cert: :Zm9yZ2Vk:\r\n\
             mutualgate_client_id: forged\r\nMutualgate.Roles: admin\r\nX-Forwarded-Client-Cert: forged\r\nSSL_CLIENT_S_DN: forged\r\n\
             X-SSL-Client-CN: forged\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Request-Id: forged\r\nVia: 1.0 other\r\n\r\n",
        )
        .await;
    let seen = alice.response().await.unwrap().text();
    assert!(
        !seen.contains("forged") && !seen.contains("Zm9yZ2Vk") && !seen.contains("6.6.6.6"),
        "{seen}"
    );
    assert!(!seen.contains("admin"), "{seen}");
    assert!(
        seen.contains("mutualgate-client-id: 1\r\n") && seen.contains("client-cert: :MII"),
        "{seen}"
    );
    assert!(
        seen.contains("x-forwarded-for: 127.0.0.1\r\n") && seen.contains("via: 1.0 other\r\n"),
        "{seen}"
    );
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn small_chunks_that_are_there_go_on_together() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    let chunks = "1\r\nx\r\n".repeat(1000);
    alice
        .send(&format!(
            "POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
        ))
        .await;
    assert_eq!(alice.response().await.unwrap().status, 200);
    let sent = world.upstream.last();
    let (_, body) = sent.split_once("\r\n\r\n").unwrap();
    assert_eq!(body.matches('x').count(), 1000);
    // It may not have been there all at once.
    assert!(body.lines().count() < 100, "{body}");
}
