//! What the fuzz target `sessions` does with its input; `gate/tests/seeds.rs` does the same with the seeds.
//!
//! Run it: `cargo fuzz run --sanitizer none sessions work/sessions seeds/sessions` in `rust/fuzz`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    io::{self, Read, Write},
    net,
    os::fd::OwnedFd,
    sync::{Arc, LazyLock},
};

use gate::trial;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, ServerName},
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncWriteExt, Interest},
    net::{TcpStream, UnixStream},
    runtime::Runtime,
    task::yield_now,
};

/// What is said at most: some records.
const MOST_BYTES: usize = 64 * 1024;

/// New keys at most: whoever wants more of them than rustls allows in a connection (32) is cut off.
const MOST_KEYS: usize = 32;

/// Both ends of TLS, and where they run.
struct World {
    server: Arc<ServerConfig>,
    client_12: Arc<ClientConfig>,
    client_13: Arc<ClientConfig>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let client = |version| {
        let builder = ClientConfig::builder_with_provider(provider.clone());
        let config = builder.with_protocol_versions(&[version]).unwrap();
        let config = config.with_root_certificates(roots.clone());
        Arc::new(config.with_no_client_auth())
    };
    let builder = ServerConfig::builder_with_provider(provider.clone());
    let server = builder.with_protocol_versions(&[&TLS12, &TLS13]).unwrap();
    let server = server.with_no_client_auth();
    World {
        server: Arc::new(server.with_single_cert(vec![certificate], key).unwrap()),
        client_12: client(&TLS12),
        client_13: client(&TLS13),
    }
});

thread_local! {
    static RUNTIME: Runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
}

/// A client of TLS that says what a script tells it, cut into pieces anywhere: however it comes, what it said is heard, and
/// said back to it. Where somebody in between has changed a byte, no more is heard than what came before.
///
/// The script begins with how long the pieces are, the version, how the other side reads, and the place and the change
/// of a byte, if any; each step is a kind, a length and so many bytes.
pub fn sessions(data: &[u8]) {
    let [piece, kind, high, low, change, script @ ..] = data else {
        return;
    };
    let room = match kind >> 2 & 3 {
        0 => 0,
        1 => 1,
        2 => 100,
        _ => 20_000,
    };
    let config = if kind & 1 == 0 {
        &WORLD.client_13
    } else {
        &WORLD.client_12
    };
    let name = ServerName::try_from("a.test").unwrap();
    let mut client = Client {
        tls: ClientConnection::new(config.clone(), name).unwrap(),
        piece: usize::from(*piece) + 1,
        change: (*change != 0).then_some((usize::from(u16::from_be_bytes([*high, *low])), *change)),
        changed: false,
        most: if room == 1 {
            MOST_BYTES / 16
        } else {
            MOST_BYTES
        },
        keys: 0,
        sent: 0,
        said: Vec::new(),
        heard: Vec::new(),
    };
    let goodbye = kind & 2 == 0;
    let ((heard, ended), talked) = RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let (near, far) = UnixStream::pair().unwrap();
            // A socket is a socket: nothing in here asks for its address.
            let far = net::TcpStream::from(OwnedFd::from(far.into_std().unwrap()));
            let far = TcpStream::from_std(far).unwrap();
            tokio::join!(
                trial::echo(far, WORLD.server.clone(), room),
                client.talk(near, script, goodbye)
            )
        })
    });
    assert!(client.said.starts_with(&heard));
    assert!(heard.starts_with(&client.heard));
    if client.changed {
        return;
    }
    talked.unwrap();
    assert_eq!(heard, client.said);
    assert_eq!(client.heard, client.said);
    match ended {
        Ok(()) => assert!(goodbye),
        Err(error) => {
            assert!(!goodbye, "{error}");
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}

/// The client's end.
struct Client {
    tls: ClientConnection,
    piece: usize,
    /// The byte of all that is sent that is changed, and how.
    change: Option<(usize, u8)>,
    changed: bool,
    /// So much may be said.
    most: usize,
    /// How often it has changed its keys.
    keys: usize,
    sent: usize,
    said: Vec<u8>,
    heard: Vec<u8>,
}

impl Client {
    async fn talk(&mut self, mut near: UnixStream, script: &[u8], goodbye: bool) -> io::Result<()> {
        let done = async {
            while self.tls.is_handshaking() {
                self.send(&near).await?;
                if self.changed {
                    // The other end may wait for more of a record than there is.
                    return Ok(());
                }
                if self.tls.is_handshaking() && self.receive(&near).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            let mut rest = script;
            while let [kind, length, more @ ..] = rest {
                let (bytes, more) = more.split_at(more.len().min(usize::from(*length)));
                rest = more;
                self.step(kind % 8, bytes);
                if kind % 8 >= 6 {
                    self.send(&near).await?;
                }
            }
            if goodbye {
                self.tls.send_close_notify();
            }
            self.send(&near).await
        };
        let done = done.await;
        // Both, whatever happened: the other end waits for it.
        near.shutdown().await.ok();
        while self.receive(&near).await.is_ok_and(|count| count > 0) {}
        done
    }

    fn step(&mut self, kind: u8, bytes: &[u8]) {
        let say = |client: &mut Client, bytes: &[u8]| {
            if client.said.len() + bytes.len() <= client.most {
                // So much as its buffer takes.
                let count = client.tls.writer().write(bytes).unwrap();
                client.said.extend_from_slice(&bytes[..count]);
            }
        };
        match kind {
            // Records longer than one step can tell.
            0 => say(self, &bytes.repeat(100)),
            // RFC 8446 4.6.3; TLS 1.2 has none.
            1 => {
                if self.keys < MOST_KEYS && self.tls.refresh_traffic_keys().is_ok() {
                    self.keys += 1;
                }
            }
            2 => self.tls.set_buffer_limit(None),
            _ => say(self, bytes),
        }
    }

    /// Sends what there is, in pieces.
    async fn send(&mut self, near: &UnixStream) -> io::Result<()> {
        let mut out = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut out)?;
        }
        if let Some((at, change)) = self.change
            && let Some(byte) = at.checked_sub(self.sent).and_then(|at| out.get_mut(at))
        {
            *byte ^= change;
            self.changed = true;
        }
        self.sent += out.len();
        // A byte at a time takes long where there are many.
        for piece in out.chunks(self.piece.max(out.len() / 256)) {
            let mut left = piece;
            while !left.is_empty() {
                // The other end says what it has heard before it hears more.
                let ready = near.ready(Interest::READABLE | Interest::WRITABLE).await?;
                if ready.is_writable() {
                    match near.try_write(left) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        written => left = &left[written?..],
                    }
                } else if self.try_receive(near)? == Some(0) {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            yield_now().await;
        }
        Ok(())
    }

    /// Reads once; 0 at the end.
    async fn receive(&mut self, near: &UnixStream) -> io::Result<usize> {
        loop {
            near.readable().await?;
            if let Some(count) = self.try_receive(near)? {
                return Ok(count);
            }
        }
    }

    fn try_receive(&mut self, near: &UnixStream) -> io::Result<Option<usize>> {
        let mut room = [0; 4096];
        let count = match near.try_read(&mut room) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            read => read?,
        };
        let mut received = &room[..count];
        while !received.is_empty() {
            self.tls.read_tls(&mut received)?;
            let state = self.tls.process_new_packets().map_err(io::Error::other)?;
            let mut plain = vec![0; state.plaintext_bytes_to_read()];
            self.tls.reader().read_exact(&mut plain)?;
            self.heard.extend_from_slice(&plain);
        }
        Ok(Some(count))
    }
}
