//! Requests that two readers could take for different ones: refused, or made unambiguous, and never two upstream.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use crate::support::World;

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

/// Heads with more than one reading, or none: refused with 400, and nothing after them is read.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_two_readings_is_refused_and_ends_the_connection() {
    let world = World::new().await;
    let host = "Host: a.test\r\n";
    let post = format!("POST /first HTTP/1.1\r\n{host}");
    for head in [
        // Lengths and chunks.
        format!("{post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n"),
        format!("{post}Content-Length: 5\r\nContent-Length: 5\r\n\r\n"),
        format!("{post}Content-Length: 5, 5\r\n\r\n"),
        format!("{post}Content-Length: 5\r\ncontent-length: 5\r\n\r\n"),
        format!("{post}Content-Length: 5;\r\n\r\n"),
        format!("{post}Content-Length: 5.0\r\n\r\n"),
        format!("{post}Content-Length: \u{661}\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked, chunked\r\n\r\n"),
        format!("{post}Transfer-Encoding: \"chunked\"\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked;q=1\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked,\r\n\r\n"),
        format!("{post}Transfer-Encoding:\r\n chunked\r\n\r\n"),
        format!("{post}Transfer-Encoding: \r\n\r\n"),
        format!("POST /first HTTP/1.0\r\n{host}Transfer-Encoding: chunked\r\n\r\n"),
        // Ends of lines.
        format!("GET /first HTTP/1.1\n{host}\r\n"),
        format!("GET /first HTTP/1.1\r\nX: y\n{host}\r\n"),
        "GET /first HTTP/1.1\r\nHost: a.test\n\r\n".to_owned(),
        "GET /first HTTP/1.1\r\nHost: a.test\r\n\n".to_owned(),
        format!("GET /first HTTP/1.1\r\n{host}X: a\rb\r\n\r\n"),
        format!("GET /first HTTP/1.1\r\n{host}X: a\r\r\n\r\n"),
        format!("GET /first HTTP/1.1\r\r\n{host}\r\n"),
        format!("\nGET /first HTTP/1.1\r\n{host}\r\n"),
        format!("\r\n\r\nGET /first HTTP/1.1\r\n{host}\r\n"),
        // Names and values.
        format!("GET /first HTTP/1.1\r\n{host}X : y\r\n\r\n"),
        format!("GET /first HTTP/1.1\r\n{host}X\t: y\r\n\r\n"),
        format!("GET /first HTTP/1.1\r\n{host}: y\r\n\r\n"),
        format!("GET /first HTTP/1.1\r\n{host}X y: z\r\n\r\n"),
        format!("GET /first HTTP/1.1\r\n{host}X: y\r\n z\r\n\r\n"),
        format!("GET /first HTTP/1.1\r\n{host}X: y\r\n\tz\r\n\r\n"),
        format!("GET /first HTTP/1.1\r\n X: y\r\n{host}\r\n"),
        format!("GET /first HTTP/1.1\r\n{host}X: y\u{0}z\r\n\r\n"),
        format!("GET /first HTTP/1.1\r\n{host}X\u{0}: y\r\n\r\n"),
        format!("GET /first HTTP/1.1\r\n{host}X: y\u{7f}\r\n\r\n"),
        format!("GET /first HTTP/1.1\r\n{host}X\u{e9}: y\r\n\r\n"),
        format!("GET /first HTTP/1.1\r\n{host}no colon\r\n\r\n"),
        // First lines.
        format!("GET  /first HTTP/1.1\r\n{host}\r\n"),
        format!("GET /first  HTTP/1.1\r\n{host}\r\n"),
        format!("GET\t/first HTTP/1.1\r\n{host}\r\n"),
        format!("GET /first HTTP/1.1 \r\n{host}\r\n"),
        format!(" GET /first HTTP/1.1\r\n{host}\r\n"),
        format!("GET /fi rst HTTP/1.1\r\n{host}\r\n"),
        format!("GET first HTTP/1.1\r\n{host}\r\n"),
        format!("G(T /first HTTP/1.1\r\n{host}\r\n"),
        format!("GET /first\r\n{host}\r\n"),
        "GET /first\r\n\r\n".to_owned(),
        format!("GET /first HTTP/1.1\r\n{host}{host}\r\n"),
        "GET /first HTTP/1.1\r\n\r\n".to_owned(),
        format!("GET http://a.test/first HTTP/1.1\r\n{host}\r\n"),
        format!("GET https://b.test/first HTTP/1.1\r\n{host}\r\n"),
    ] {
        let mut alice = world.alice().await;
        let _ = alice.try_send(&format!("{head}0\r\n\r\n{SECOND}")).await;
        let response = alice.response().await;
        assert_eq!(
            response.as_ref().map(|response| response.status),
            Some(400),
            "{head:?}: {response:?}"
        );
        let response = response.unwrap();
        // Where the head itself has one reading, and is wrong, the next one may follow.
        if response.header("connection") == Some("close") {
            assert!(alice.ends().await, "{head:?}");
        } else {
            assert!(
                response.text().contains("bad_host"),
                "{head:?}: {}",
                response.text()
            );
        }
    }
    let seen = world.upstream.requests();
    assert!(
        seen.iter().all(|request| !request.contains("/first")),
        "{seen:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_are_not_ours_are_refused() {
    let world = World::new().await;
    for version in [
        "HTTP/2.0",
        "HTTP/1.2",
        "HTTP/0.9",
        "HTTP/11",
        "http/1.1",
        "HTTP/1.1x",
    ] {
        let mut alice = world.alice().await;
        alice
            .send(&format!("GET / {version}\r\nHost: a.test\r\n\r\n"))
            .await;
        let response = alice.response().await.expect(version);
        assert!([400, 505].contains(&response.status), "{version}");
        assert!(alice.ends().await, "{version}");
    }
    let mut alice = world.alice().await;
    alice.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert_eq!(alice.response().await.unwrap().status, 505);
    assert!(world.upstream.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_are_bounded() {
    let world = World::new().await;
    let host = "Host: a.test\r\n";
    let fields = |count: usize| {
        (0..count)
            .map(|at| format!("X{at}: y\r\n"))
            .collect::<String>()
    };
    for (head, status, code) in [
        (
            format!("GET / HTTP/1.1\r\n{host}{}\r\n", fields(100)),
            431,
            "head_too_large",
        ),
        (
            format!("GET / HTTP/1.1\r\n{host}X: {}", "y".repeat(33 * 1024)),
            431,
            "head_too_large",
        ),
        (
            format!("GET /{} HTTP/1.1\r\n{host}\r\n", "y".repeat(33 * 1024)),
            414,
            "uri_too_long",
        ),
    ] {
        let mut alice = world.alice().await;
        let _ = alice.try_send(&head).await;
        let response = alice.response().await.unwrap();
        assert_eq!(response.status, status);
        assert!(response.text().contains(code), "{}", response.text());
        assert!(alice.ends().await);
    }
    let mut alice = world.alice().await;
    alice
        .send(&format!("GET / HTTP/1.1\r\n{host}{}\r\n", fields(99)))
        .await;
    assert_eq!(alice.response().await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_names_no_more_fields_in_connection_than_it_may_have() {
    let world = World::new().await;
    for (names, status) in [(100, 200), (101, 400)] {
        // In one field and in two.
        for between in [",", "\r\nConnection: "] {
            let names = "x,".repeat(names - 1) + between + "x";
            let mut alice = world.alice().await;
            alice
                .send(&format!(
                    "GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: {names}\r\n\r\n"
                ))
                .await;
            let response = alice.response().await.unwrap();
            assert_eq!(response.status, status, "{}", response.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_that_are_none_are_told_and_end_the_connection() {
    let world = World::new().await;
    let extension = "x".repeat(4000);
    let extensions = format!("1;{extension}\r\na\r\n").repeat(5);
    for body in [
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5;a\nhello\r\n0\r\n\r\n",
        "5\r\r\nhello\r\n0\r\n\r\n",
        "\r\n5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "5_0\r\nhello\r\n0\r\n\r\n",
        "10000000000000000\r\nhello\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
        "0\r\nX\r\n\r\n",
        "0\r\nX : y\r\n\r\n",
        "0\r\nX: y\n\r\n",
        "0\r\n X: y\r\n\r\n",
        &format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(5000)),
        &extensions,
    ] {
        let mut alice = world.alice().await;
        let _ = alice
            .try_send(&format!(
                "POST /first HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n{body}{SECOND}"
            ))
            .await;
        let response = alice.response().await;
        assert_eq!(
            response.as_ref().map(|response| response.status),
            Some(400),
            "{body:?}: {response:?}"
        );
        assert!(alice.ends().await, "{body:?}");
    }
    assert!(
        (world.upstream.requests().iter()).all(|request| !request.starts_with("GET /smuggled")),
        "{:?}",
        world.upstream.requests()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_their_order() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    let mut all = String::new();
    for at in 0..40 {
        if at % 3 == 0 {
            all +=
                &format!("POST /{at} HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nGET\r\n");
        } else if at % 3 == 1 {
            all += &format!(
                "POST /{at} HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nGET\r\n0\r\n\r\n"
            );
        } else {
            all += &format!("GET /{at} HTTP/1.1\r\nHost: a.test\r\n\r\n");
        }
    }
    alice.send(&all).await;
    for at in 0..40 {
        let response = alice.response().await.unwrap();
        assert_eq!(response.status, 200);
        let text = response.text();
        assert!(text.contains(&format!(" /{at} HTTP/1.1\r\n")), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_what_is_not_all_here_ends_the_connection() {
    let world = World::new().await;
    // The upstream answers before it has the body: what comes then is no request.
    let mut alice = world.alice().await;
    alice
        .send("POST /early HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000\r\n\r\nbegin")
        .await;
    assert_eq!(alice.response().await.unwrap().status, 413);
    let _ = alice.try_send(SECOND).await;
    assert!(alice.ends().await);
    // So does the gate.
    let mut alice = world.alice().await;
    alice
        .send("POST /a//b HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000\r\n\r\nbegin")
        .await;
    let response = alice.response().await.unwrap();
    assert_eq!(
        (response.status, response.header("connection")),
        (400, Some("close"))
    );
    let _ = alice.try_send(SECOND).await;
    assert!(alice.ends().await);
    // Where the body is here, the next request is.
    let mut alice = world.alice().await;
    alice
        .send(&format!(
            "POST /a//b HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello{SECOND}"
        ))
        .await;
    assert_eq!(alice.response().await.unwrap().status, 400);
    assert_eq!(alice.response().await.unwrap().status, 200);
    // Who waits to be asked may or may not send a body after a refusal, and what is there already may or may not be it.
    for already in ["", SECOND] {
        let mut alice = world.alice().await;
        let length = SECOND.len();
        alice
            .send(&format!("POST /a//b HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n{already}"))
            .await;
        let response = alice.response().await.unwrap();
        assert_eq!(
            (response.status, response.header("connection")),
            (400, Some("close"))
        );
        assert!(alice.ends().await);
    }
    assert_eq!(
        (world.upstream.requests().iter())
            .filter(|request| request.starts_with("GET /smuggled"))
            .count(),
        1
    );
}
