//! A service behind the gate that keeps every byte it was sent and answers by path.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

#[derive(Clone)]
pub struct Upstream {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    late: Arc<AtomicUsize>,
}

impl Upstream {
    pub async fn start() -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = Upstream {
            address: listener.local_addr().unwrap(),
            requests: Arc::default(),
            connections: Arc::default(),
            open: Arc::default(),
            late: Arc::default(),
        };
        let theirs = upstream.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                theirs.connections.fetch_add(1, Ordering::SeqCst);
                theirs.open.fetch_add(1, Ordering::SeqCst);
                let theirs = theirs.clone();
                tokio::spawn(async move {
                    let _ = theirs.serve(stream).await;
                    theirs.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        upstream
    }

    /// All that it was sent, one text for each request: head, body, trailers as they came.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    pub fn last(&self) -> String {
        self.requests().last().cloned().unwrap_or_default()
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Connections that have ended.
    pub fn gone(&self) -> usize {
        self.connections() - self.open()
    }

    /// How often it said what nobody had asked for.
    pub fn late(&self) -> usize {
        self.late.load(Ordering::SeqCst)
    }

    /// Connections now.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut buffer = Vec::new();
        let mut served = 0;
        loop {
            let end = loop {
                if let Some(at) = find(&buffer, b"\r\n\r\n") {
                    break at + 4;
                }
                if stream.read_buf(&mut buffer).await? == 0 {
                    return Ok(());
                }
            };
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let lower = head.to_ascii_lowercase();
            served += 1;
            if path == "/stale" && served > 1 {
                return Ok(());
            }
            if path == "/close-early" {
                self.requests.lock().unwrap().push(head);
                return Ok(());
            }
            if path == "/early" {
                self.requests.lock().unwrap().push(head);
                stream.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig").await?;
                return Ok(());
            }
            if path == "/early-and-open" {
                self.requests.lock().unwrap().push(head);
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnow")
                    .await?;
                let mut bytes = [0; 1024];
                while stream.read(&mut bytes).await? > 0 {}
                return Ok(());
            }
            if path == "/duplex" {
                // As a stream of gRPC: it answers before the request has come to its end, and each part of it.
                self.requests.lock().unwrap().push(head);
                stream
                    .write_all(
                        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nready\r\n",
                    )
                    .await?;
                let mut bytes = [0; 1024];
                while stream.read(&mut bytes).await? > 0 {
                    stream.write_all(b"5\r\nheard\r\n").await?;
                }
                return Ok(());
            }
            let body_end = if let Some(at) = lower.find("content-length: ") {
                let digits: String = lower[at + 16..]
                    .chars()
                    .take_while(char::is_ascii_digit)
                    .collect();
                end + digits.parse::<usize>().unwrap()
            } else if lower.contains("transfer-encoding: chunked") {
                loop {
                    if let Some(at) = chunked_end(&buffer[end..]) {
                        break end + at;
                    }
                    if stream.read_buf(&mut buffer).await? == 0 {
                        self.requests
                            .lock()
                            .unwrap()
                            .push(String::from_utf8_lossy(&buffer).into_owned() + "<EOF>");
                        return Ok(());
                    }
                }
            } else {
                end
            };
            while buffer.len() < body_end {
                if stream.read_buf(&mut buffer).await? == 0 {
                    self.requests
                        .lock()
                        .unwrap()
                        .push(String::from_utf8_lossy(&buffer).into_owned() + "<EOF>");
                    return Ok(());
                }
            }
            let rest = buffer.split_off(body_end);
            let request = String::from_utf8_lossy(&buffer).into_owned();
            buffer = rest;
            let body_bytes = request.len() - head.len();
            let echo = if request.len() < 64 * 1024 {
                request.clone()
            } else {
                body_bytes.to_string()
            };
            self.requests.lock().unwrap().push(request);
            match path.split('?').next().unwrap_or_default() {
                "/sse" => {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
                    loop {
                        stream.write_all(b"9\r\ndata: x\n\n\r\n").await?;
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
                "/ws" => {
                    stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello").await?;
                    loop {
                        let mut bytes = [0; 1024];
                        let count = stream.read(&mut bytes).await?;
                        if count == 0 {
                            return Ok(());
                        }
                        stream.write_all(&bytes[..count]).await?;
                    }
                }
                "/ws-deaf" | "/ws-first" | "/ws-last" => {
                    let answer = switched(&head);
                    stream.write_all(answer.as_bytes()).await?;
                    if path == "/ws-first" {
                        stream.shutdown().await?;
                    }
                    let mut heard = buffer;
                    while stream.read_buf(&mut heard).await? > 0 {}
                    let heard = String::from_utf8_lossy(&heard).into_owned() + "<EOF>";
                    self.requests.lock().unwrap().push(heard);
                    if path == "/ws-last" {
                        stream.write_all(b"goodbye").await?;
                    }
                    if path == "/ws-deaf" {
                        std::future::pending::<()>().await;
                    }
                    return Ok(());
                }
                "/unasked101" => {
                    stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n").await?;
                    tokio::time::sleep(Duration::from_secs(3)).await;
                    return Ok(());
                }
                "/silent" => {
                    let mut bytes = [0; 1024];
                    while stream.read(&mut bytes).await? > 0 {}
                    return Ok(());
                }
                "/hints" => {
                    stream.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await?;
                }
                "/of-one-connection" => {
                    const OF_IT: &str = "Connection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: gzip\r\nUpgrade: h2c\r\n";
                    stream.write_all(format!("HTTP/1.1 103 Early Hints\r\n{OF_IT}Link: </x>\r\n\r\nHTTP/1.1 200 OK\r\n{OF_IT}Transfer-Encoding: chunked\r\nX-End: 1\r\n\r\n2\r\nok\r\n0\r\n\r\n").as_bytes()).await?;
                }
                "/unasked-100" => {
                    stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await?;
                }
                "/many-hints" => {
                    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".repeat(2000);
                    stream.write_all(hints.as_bytes()).await?;
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await?;
                }
                "/hinted-close" => {
                    stream.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n").await?;
                    return Ok(());
                }
                "/trailers" => {
                    stream
                        .write_all(b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n")
                        .await?;
                }
                "/bad-trailers" => {
                    stream
                        .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nConnection: close\r\nContent-Length: 7\r\nSet-Cookie: a=b\r\nX-Sum: 7\r\n\r\n")
                        .await?;
                }
                "/says-close" => {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok").await?;
                }
                "/says-old" => {
                    stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok").await?;
                }
                "/late-extra" => {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await?;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison").await?;
                    self.late.fetch_add(1, Ordering::SeqCst);
                }
                "/then-gone" => {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await?;
                    return Ok(());
                }
                "/nolength" => {
                    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nuntil the end").await?;
                    return Ok(());
                }
                "/head-first" => {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n").await?;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    stream.write_all(b"ok").await?;
                }
                "/broken" => {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await?;
                    return Ok(());
                }
                "/broken-chunks" => {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n").await?;
                    return Ok(());
                }
                "/bad" => {
                    stream
                        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
                        .await?;
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                "/close" => return Ok(()),
                "/big" => {
                    let body = vec![b'x'; 10 * 1024 * 1024];
                    stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes()).await?;
                    stream.write_all(&body).await?;
                }
                "/huge" => {
                    let part = vec![b'x'; 1024 * 1024];
                    stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 64 * part.len()).as_bytes()).await?;
                    for _ in 0..64 {
                        stream.write_all(&part).await?;
                    }
                }
                "/join/again" => {
                    // What a service of somebody's own says like this goes nowhere, and through untouched.
                    let head = format!("HTTP/1.1 200 OK\r\nMutualgate-Close: yes\r\nContent-Length: {}\r\n\r\n", echo.len());
                    stream.write_all((head + &echo).as_bytes()).await?;
                }
                "/304" => stream.write_all(b"HTTP/1.1 304 Not Modified\r\n\r\n").await?,
                "/head" => stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?,
                "/204" => stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?,
                "/404" => stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nX-Own: yes\r\n\r\nnone").await?,
                "/500" => stream.write_all(b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno").await?,
                "/extra" => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison").await?,
                _ => {
                    let is_head = head.starts_with("HEAD ");
                    stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nX-Up: 1\r\n\r\n", echo.len()).as_bytes()).await?;
                    if !is_head {
                        stream.write_all(echo.as_bytes()).await?;
                    }
                }
            }
        }
    }
}

/// The answer to the key of who asks for a WebSocket (RFC 6455 4.2.2).
pub fn accept(head: &str) -> String {
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("sec-websocket-key")
            .then_some(value)
    });
    let text = key.unwrap_or_default().to_owned() + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let accept = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    STANDARD.encode(accept)
}

/// Becomes a WebSocket, and says hello.
fn switched(head: &str) -> String {
    let accept = accept(head);
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\nhello"
    )
}

fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text)
}

/// Where a chunked body ends, its trailers included.
fn chunked_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = find(&bytes[at..], b"\r\n")?;
        let size =
            usize::from_str_radix(std::str::from_utf8(&bytes[at..at + line]).ok()?.trim(), 16)
                .ok()?;
        at += line + 2;
        if size == 0 {
            loop {
                let line = find(&bytes[at..], b"\r\n")?;
                at += line + 2;
                if line == 0 {
                    return Some(at);
                }
            }
        }
        at += size + 2;
        if at > bytes.len() {
            return None;
        }
    }
}
