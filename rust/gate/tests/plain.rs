//! The plain listener: to HTTPS, or the few files that must be had without it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use gate::Publication;
use judge::record::Mode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};

use crate::support::{PATIENCE, World, client::Hello, pki::now, route, site};

async fn ask(world: &World, request: &str) -> String {
    let mut stream = TcpStream::connect(world.gate.plain_addresses()[0])
        .await
        .unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = vec![];
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn known_hosts_are_sent_to_https_and_nothing_is_forwarded() {
    let world = World::new().await;
    let port = world.address().port();
    let answer = ask(
        &world,
        "GET /x?y=1 HTTP/1.1\r\nHost: A.test:80\r\nClient-Cert: x\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 308 "), "{answer}");
    assert!(
        answer.contains(&format!("location: https://A.test:{port}/x?y=1\r\n")),
        "{answer}"
    );
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n", "421"),
        (
            "GET http://evil.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
            "400",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a.test\r\nHost: evil.test\r\n\r\n",
            "400",
        ),
        ("GET //evil.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\n\r\n", "400"),
    ] {
        let answer = ask(&world, request).await;
        assert_eq!(
            answer.split(' ').nth(1),
            Some(status),
            "{request}: {answer}"
        );
        assert!(!answer.contains("location: "), "{answer}");
    }
    assert!(world.upstream.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_served_until_they_expire() {
    let world = World::new().await;
    let file = |expires_at| Publication {
        content_type: "application/pkix-crl".into(),
        bytes: "list".into(),
        expires_at,
    };
    world.gate.publish("/crl/house.crl", file(Some(now() + 60)));
    world.gate.publish("/crl/old.crl", file(Some(now() - 1)));
    world.gate.publish("/root.crt", file(None));
    let answer = ask(
        &world,
        "GET /crl/house.crl HTTP/1.1\r\nHost: anything\r\n\r\n",
    )
    .await;
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nlist"),
        "{answer}"
    );
    assert!(answer.contains("content-type: application/pkix-crl\r\n"));
    let head = ask(&world, "HEAD /root.crt HTTP/1.0\r\n\r\n").await;
    assert!(
        head.contains("content-length: 4\r\n") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    assert!(
        ask(&world, "GET /crl/old.crl HTTP/1.1\r\nHost: a.test\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 503 ")
    );
    assert!(
        ask(
            &world,
            "POST /root.crt HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n"
        )
        .await
        .starts_with("HTTP/1.1 405 ")
    );
    world.gate.withdraw("/root.crt");
    assert!(
        ask(&world, "GET /root.crt HTTP/1.1\r\nHost: a.test\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 308 ")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_a_file_slowly_makes_room_for_clients() {
    let sites = vec![site("a.test", vec![route("/", Mode::Required)])];
    let world = World::with(sites, |settings| settings.limits.max_connections = 8).await;
    let large = Publication {
        content_type: "application/pkix-crl".into(),
        bytes: vec![0; 64 << 20].into(),
        expires_at: None,
    };
    world.gate.publish("/crl/large.crl", large);
    let mut slow = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(world.gate.plain_addresses()[0])
            .await
            .unwrap();
        let get = b"GET /crl/large.crl HTTP/1.1\r\nHost: a.test\r\n\r\n";
        stream.write_all(get).await.unwrap();
        stream.read_u8().await.expect("the beginning of an answer");
        slow.push(stream);
    }
    comes_in(&world).await;
}

/// Alice gets a place.
async fn comes_in(world: &World) {
    let hello = Hello::new("a.test").identity(&world.alice);
    let coming = async {
        while world.try_connect(hello.clone()).await.is_err() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(12 * PATIENCE, coming).await.expect("a place");
}

#[tokio::test(flavor = "multi_thread")]
async fn balancers_that_do_not_say_who_comes_make_room_for_clients() {
    let sites = vec![site("a.test", vec![route("/", Mode::Required)])];
    let world = World::with(sites, |settings| {
        settings.limits.max_connections = 8;
        settings.proxy_protocol_from = vec!["127.0.0.2".into()];
        settings.timeouts.handshake = 3600.0;
    })
    .await;
    let mut silent = Vec::new();
    for _ in 0..8 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 2], 0).into()).unwrap();
        silent.push(socket.connect(world.address()).await.unwrap());
    }
    comes_in(&world).await;
}
