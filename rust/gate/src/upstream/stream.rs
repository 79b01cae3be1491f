//! A byte stream to an upstream: TCP, with TLS or without, or a Unix socket.

use std::{
    future::Future,
    io,
    mem::MaybeUninit,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::BytesMut;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpStream, UnixStream},
};

use tokio_rustls::{TlsConnector, client::TlsStream};

use super::endpoint::{Endpoint, Target};
use crate::settings::upstream::Protocol;

/// A connected stream.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Connects, says `header` before all else, and over TLS makes sure who is there.
    pub(super) async fn connect(endpoint: &Endpoint, header: &[u8]) -> io::Result<Stream> {
        let mut tcp = match &endpoint.target {
            Target::Ip(address) => TcpStream::connect(address).await?,
            Target::Name(host, port) => TcpStream::connect((host.as_str(), *port)).await?,
            Target::Unix(path) => {
                let mut unix = UnixStream::connect(path).await?;
                if !header.is_empty() {
                    unix.write_all(header).await?;
                }
                return Ok(Stream::Unix(unix));
            }
        };
        tcp.set_nodelay(true)?;
        if !header.is_empty() {
            tcp.write_all(header).await?;
        }
        let Some(secured) = &endpoint.tls else {
            return Ok(Stream::Tcp(tcp));
        };
        let connector = TlsConnector::from(secured.tls.config.clone());
        let tls = Box::pin(connector.connect(secured.name.clone(), tcp)).await?;
        if endpoint.protocol == Protocol::Http2
            && tls.get_ref().1.alpn_protocol() != Some(b"h2".as_slice())
        {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(Stream::Tls(Box::new(tls)))
    }

    /// Reads what there is into the free part of `buffer`.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        // A future of one read keeps no state, so that it can be made anew each time.
        match self {
            Stream::Tcp(stream) => pin!(stream.read_buf(buffer)).poll(cx),
            Stream::Unix(stream) => pin!(stream.read_buf(buffer)).poll(cx),
            Stream::Tls(stream) => pin!(stream.read_buf(buffer)).poll(cx),
        }
    }

    /// The same, asked of the system: what has come since the worker last waited for events, nobody has told of.
    pub(super) fn is_quiet_now(&mut self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        let is_quiet = self.is_quiet();
        let peeked = match self {
            Stream::Tcp(stream) => SockRef::from(&*stream).peek(&mut byte),
            Stream::Unix(stream) => SockRef::from(&*stream).peek(&mut byte),
            // Tickets, too, end it here: they come with the first answer, and a new connection is always right.
            Stream::Tls(stream) => SockRef::from(stream.get_ref().0).peek(&mut byte),
        };
        is_quiet && matches!(peeked, Err(e) if e.kind() == io::ErrorKind::WouldBlock)
    }

    /// Whether the other side has neither closed nor said anything: what an idle connection must be to be used again.
    /// Costs no system call unless something has happened.
    pub(super) fn is_quiet(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let mut byte = [0; 1];
        let read = match self {
            Stream::Tcp(stream) => match stream.poll_read_ready(&mut cx) {
                Poll::Pending => return true,
                Poll::Ready(_) => stream.try_read(&mut byte),
            },
            Stream::Unix(stream) => match stream.poll_read_ready(&mut cx) {
                Poll::Pending => return true,
                Poll::Ready(_) => stream.try_read(&mut byte),
            },
            // Tickets and key updates may have come: they are no data.
            Stream::Tls(stream) => {
                let mut buffer = ReadBuf::new(&mut byte);
                return Pin::new(stream)
                    .poll_read(&mut cx, &mut buffer)
                    .is_pending();
            }
        };
        matches!(read, Err(e) if e.kind() == io::ErrorKind::WouldBlock)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Stream::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(_) | Stream::Unix(_) => Poll::Ready(Ok(())),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::{future::poll_fn, sync::Arc, time::Duration};

    use rustls::{ClientConfig, RootCertStore, ServerConfig, pki_types::ServerName};
    use tokio::{net::TcpListener, time::timeout};
    use tokio_rustls::{TlsAcceptor, server};

    use super::*;

    /// A stream within TLS whose socket holds little, and its other end.
    pub(in crate::upstream) async fn pair() -> (Stream, server::TlsStream<TcpStream>) {
        let own = rcgen::generate_simple_self_signed(["app".to_owned()]).expect("a certificate");
        let provider = || Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(own.cert.der().clone()).expect("a root");
        let client = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("TLS")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let key = own.signing_key.serialize_der().try_into().expect("a key");
        let server = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("TLS")
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .expect("a server");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let ours = TcpStream::connect(address).await.expect("a connection");
        let (theirs, _) = listener.accept().await.expect("a connection");
        socket2::SockRef::from(&ours)
            .set_send_buffer_size(4096)
            .expect("a small buffer");
        let name = ServerName::try_from("app").expect("a name");
        let (ours, theirs) = tokio::join!(
            TlsConnector::from(Arc::new(client)).connect(name, ours),
            TlsAcceptor::from(Arc::new(server)).accept(theirs)
        );
        let ours = ours.expect("a handshake");
        (Stream::Tls(Box::new(ours)), theirs.expect("a handshake"))
    }

    /// Writes until no more is taken; how much was.
    pub(in crate::upstream) async fn fill(stream: &mut Stream) -> usize {
        let mut taken = 0;
        poll_fn(|cx| {
            while let Poll::Ready(count) = Pin::new(&mut *stream).poll_write(cx, &[7; 16 * 1024]) {
                taken += count.expect("a write");
            }
            Poll::Ready(())
        })
        .await;
        taken
    }

    #[tokio::test]
    async fn what_was_taken_before_a_full_socket_goes_with_the_flush() {
        let (mut stream, mut peer) = pair().await;
        let taken = fill(&mut stream).await;
        let reading = tokio::spawn(async move {
            let mut read = vec![0; taken];
            peer.read_exact(&mut read).await
        });
        stream.flush().await.expect("a flush");
        let read = timeout(Duration::from_secs(20), reading).await;
        let read = read.expect("all that was taken arrives").expect("no panic");
        assert_eq!(read.expect("no end"), taken);
    }
}
