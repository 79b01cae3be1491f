//! What tests and the fuzzer reach of the parts that read what comes from outside (`rust/fuzz`).

use std::{future::poll_fn, io, sync::Arc};

use rustls::{ServerConfig, server::Acceptor};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub use crate::http1::trial::{Answered, Reading, Told, answered, read};
use crate::{
    hello, postgresql,
    proxy_protocol::{
        Ends,
        write::{Client, Remarks, version_1, version_2},
    },
    tls_stream::TlsStream,
};

/// Meets what may be a client of PostgreSQL; whether TLS follows.
pub async fn postgresql(tcp: &mut TcpStream) -> bool {
    postgresql::start(tcp).await.is_ok()
}

/// The groups of the key shares in a ClientHello, which is read no further than it says; `None` if it is not there as a
/// whole.
pub fn shares(received: &[u8]) -> Option<Vec<u16>> {
    hello::shares(received).map(|groups| groups.into_iter().map(u16::from).collect())
}

/// Whether what is read of a ClientHello here is what rustls reads of it, if both read one.
pub fn is_read_alike(received: &[u8]) -> bool {
    let Some(hello) = hello::Hello::read(received) else {
        return true;
    };
    let mut acceptor = Acceptor::default();
    let mut rest = received;
    while !rest.is_empty() {
        if acceptor.read_tls(&mut rest).is_err() {
            return true;
        }
    }
    match acceptor.accept() {
        Ok(Some(accepted)) => hello == hello::Hello::of(&accepted, received),
        _ => true,
    }
}

/// The PROXY header in both versions, for a client that is named `name` wherever it can be.
pub fn proxy_headers(ends: Ends, name: &str) -> [Box<[u8]>; 2] {
    let remarks = Remarks {
        authority: name,
        version: "TLSv1.3",
        cipher: "TLS_AES_128_GCM_SHA256",
        client: Some(Client {
            name,
            common_name: Some(name),
            resumed: false,
        }),
    };
    [version_1(ends), version_2(ends, remarks)]
}

/// Says back what a client of TLS says, to its end: what that was, and how it ended. It is read `room` bytes at a time, as
/// HTTP/2 does, or all that there is where that is 0, as HTTP/1.1 does.
pub async fn echo(
    tcp: TcpStream,
    config: Arc<ServerConfig>,
    room: usize,
) -> (Vec<u8>, io::Result<()>) {
    let mut heard = Vec::new();
    let ended = async {
        let mut stream = TlsStream::new(tcp, config).map_err(io::Error::other)?;
        stream.shake(Vec::new()).await?;
        let mut said = vec![0; room];
        let ended = loop {
            let before = heard.len();
            let more = if room == 0 {
                poll_fn(|cx| stream.poll_hear(cx, &mut |bytes| heard.extend_from_slice(bytes)))
                    .await
            } else {
                stream.read(&mut said).await.map(|count| {
                    heard.extend_from_slice(&said[..count]);
                    count > 0
                })
            };
            match more {
                Ok(true) => stream.write_all(&heard[before..]).await?,
                ended => break ended.map(|_| ()),
            }
        };
        stream.shutdown().await?;
        ended
    };
    let ended = ended.await;
    (heard, ended)
}
