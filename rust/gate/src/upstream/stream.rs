//! A byte stream to an upstream: TCP, with TLS or without, or a Unix socket.

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::BytesMut;
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
