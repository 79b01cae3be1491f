//! Services that say more than they were asked for: nobody gets that for an answer.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use judge::record::Mode;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    time::sleep,
};

use crate::support::{WireUpstream, World, client::Client, eventually, route, site};

/// What nobody asked for.
const POISON: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";

/// A service that says [`POISON`] behind its answers to `/<status>/<fields>/<milliseconds>`, in the same write or so much
/// later. How often it has is counted.
#[derive(Clone, Default)]
struct Service(Arc<AtomicUsize>);

impl Service {
    async fn start(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let service = service.clone();
                tokio::spawn(async move { service.serve(stream).await.ok() });
            }
        });
        address
    }

    async fn serve(self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if stream.read_line(&mut head).await? == 0 {
                    return Ok(());
                }
            }
            let path = head.split(' ').nth(1).unwrap();
            let parts: Vec<&str> = path.split('/').skip(1).collect();
            let [status, said, wait] = parts[..] else {
                let own = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", path.len());
                stream.write_all((own + path).as_bytes()).await?;
                continue;
            };
            let said = match said {
                "length" => format!("Content-Length: {}\r\n", POISON.len()),
                "chunked" => "Transfer-Encoding: chunked\r\n".to_owned(),
                "two" => "Content-Length: 2\r\n".to_owned(),
                _ => String::new(),
            };
            let body = if said.ends_with(": 2\r\n") { "ok" } else { "" };
            let mut answer = format!("HTTP/1.1 {status} So\r\n{said}\r\n{body}");
            match wait.parse().unwrap() {
                0 => answer += POISON,
                wait => {
                    stream.write_all(answer.as_bytes()).await?;
                    sleep(Duration::from_millis(wait)).await;
                    answer = POISON.to_owned();
                }
            }
            let written = stream.write_all(answer.as_bytes()).await;
            self.0.fetch_add(1, SeqCst);
            written?;
        }
    }
}

async fn world() -> (Service, World) {
    let service = Service::default();
    let upstream = WireUpstream::at(&[format!("http://{}", service.start().await)]);
    let sites = vec![site("a.test", vec![route("/", Mode::Required)])];
    let world = World::with(sites, |settings| settings.upstreams[0] = upstream).await;
    (service, world)
}

/// Asks, and takes the head of the answer, and its body where that is `ok`.
async fn ask(alice: &mut Client, method: &str, path: &str) {
    let fields = match method {
        // Its body does not come: the answer is early.
        "POST" => "Host: a.test\r\nContent-Length: 1000",
        _ => "Host: a.test",
    };
    (alice.send(&format!("{method} {path} HTTP/1.1\r\n{fields}\r\n\r\n"))).await;
    let end = if path.contains("/two/") {
        "\r\n\r\nok"
    } else {
        "\r\n\r\n"
    };
    alice.until(end).await.expect("an answer");
}

const ANSWERS: [(&str, &str); 8] = [
    ("HEAD", "/200/length"),
    ("HEAD", "/200/chunked"),
    ("HEAD", "/200/nothing"),
    ("GET", "/304/length"),
    ("GET", "/304/nothing"),
    ("GET", "/204/nothing"),
    ("GET", "/200/two"),
    ("POST", "/200/two"),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_came_unasked_before_a_request_is_not_its_answer() {
    let (service, world) = world().await;
    for (method, path) in ANSWERS {
        for wait in ["0", "1", "50"] {
            let before = service.0.load(SeqCst);
            let mut alice = world.alice().await;
            ask(&mut alice, method, &format!("{path}/{wait}")).await;
            eventually("it is said", || service.0.load(SeqCst) > before).await;
            let mut alice = world.alice().await;
            let next = alice.get("/next").await;
            assert_eq!(next.text(), "/next", "after {method} {path}/{wait}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_an_answer_that_has_no_body_is_not_anothers() {
    let (_, world) = world().await;
    for (method, path) in ANSWERS {
        // What is no body of that answer cannot be told from the answer to the next request.
        let may_be_known = matches!(path, "/200/length" | "/200/chunked" | "/304/length");
        if !(may_be_known || method == "HEAD") {
            continue;
        }
        for wait in ["1", "50"] {
            let mut alice = world.alice().await;
            let first = format!("{method} {path}/{wait} HTTP/1.1\r\nHost: a.test\r\n\r\n");
            alice
                .send(&(first + "GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n"))
                .await;
            alice.until("\r\n\r\n").await.expect("an answer");
            let next = alice.response().await.expect("an answer");
            assert_eq!(next.text(), "/next", "with {method} {path}/{wait}");
        }
    }
}
