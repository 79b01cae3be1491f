//! Requests that two readers could take for different ones: refused, or made unambiguous, and never two upstream.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::World;

const SECOND: &str = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn lengths_in_doubt_end_the_connection() {
    let world = World::new().await;
    for fields in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: 18446744073709551619\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length: \r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding : chunked\r\n",
        " Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding:\u{b}chunked\r\n",
        "Transfer-Encoding\u{0}: chunked\r\n",
        "X: a\u{0}b\r\n",
        "X: a\r\n folded\r\n",
        "Content-Length\r\n",
    ] {
        let mut alice = world.alice().await;
        alice
            .send(&format!(
                "POST /first HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n0\r\n\r\n{SECOND}"
            ))
            .await;
        let response = alice.response().await;
        assert!(
            response
                .as_ref()
                .is_none_or(|response| response.status == 400),
            "{fields:?}: {response:?}"
        );
        assert!(alice.ends().await, "{fields:?}");
    }
    assert!(
        world.upstream.requests().is_empty(),
        "{:?}",
        world.upstream.requests()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_beside_chunks_is_not_believed_and_ends_the_connection() {
    let world = World::new().await;
    for fields in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
    ] {
        let mut alice = world.alice().await;
        alice
            .send(&format!(
                "POST /first HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n0\r\n\r\n{SECOND}"
            ))
            .await;
        let response = alice.response().await;
        assert!(response.is_none_or(|response| [200, 400].contains(&response.status)));
        assert!(alice.ends().await, "{fields:?}");
        assert!(
            !world
                .upstream
                .last()
                .to_ascii_lowercase()
                .contains("content-length"),
            "{}",
            world.upstream.last()
        );
    }
    assert!(
        world
            .upstream
            .requests()
            .iter()
            .all(|request| !request.contains("/smuggled"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_in_doubt_never_become_a_second_request() {
    let world = World::new().await;
    for body in [
        "5\r\nhelloX\r\n0\r\n\r\n",
        "g\r\n\r\n0\r\n\r\n",
        "-1\r\n\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5;\n\r\nhello\r\n0\r\n\r\n",
    ] {
        let mut alice = world.alice().await;
        alice.send(&format!("POST /first HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n{body}{SECOND}")).await;
        while alice
            .response()
            .await
            .is_some_and(|response| response.status == 200)
        {}
        assert!(
            world
                .upstream
                .requests()
                .iter()
                .all(|request| !request.starts_with("GET /smuggled") || body.starts_with("5;")),
            "{body:?}: {:?}",
            world.upstream.requests()
        );
    }
    // An upstream connection that had half a request on it was closed, not used again.
    assert_eq!(world.alice().await.get("/after").await.status, 200);
    assert!(world.upstream.last().starts_with("GET /after "));
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_judged_one_by_one() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    alice.send("GET /1 HTTP/1.1\r\nHost: a.test\r\n\r\nGET /2 HTTP/1.1\r\nHost: b.test\r\n\r\nGET /3 HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    let mut statuses = vec![];
    for _ in 0..3 {
        statuses.push(alice.response().await.unwrap().status);
    }
    assert_eq!(statuses, [200, 421, 200]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_websockets_switch_protocols() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    alice.send("GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n").await;
    let response = alice.response().await.unwrap();
    assert_eq!(response.status, 200);
    let seen = response.text().to_ascii_lowercase();
    assert!(
        !seen.contains("upgrade") && !seen.contains("http2-settings"),
        "{seen}"
    );
    assert_eq!(alice.get("/y").await.status, 200);
}
