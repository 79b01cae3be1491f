//! TLS over a client's socket: rustls speaks, tokio waits.
//!
//! As tokio-rustls does it, but for the session ticket of TLS 1.3: it waits for the first answer and leaves with it. Alone it
//! costs each connection a system call and a packet. Where no answer comes for a while, [`TlsStream::settle`] sends it.

use std::{
    future::poll_fn,
    io::{self, BufRead, IoSlice, Read, Write},
    pin::Pin,
    task::{Context, Poll, ready},
};

use rustls::{ProtocolVersion, ServerConnection};
use tokio::{
    io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// A session whose handshake is done.
pub(crate) struct TlsStream {
    tcp: TcpStream,
    session: ServerConnection,
    /// What the handshake has left to be sent waits for the first answer.
    held: bool,
    /// No more comes from the client.
    ended: bool,
    /// Our close_notify is said.
    closed: bool,
}

impl TlsStream {
    /// Completes the handshake of `session`, which has read the ClientHello.
    pub(crate) async fn shake(tcp: TcpStream, session: ServerConnection) -> io::Result<TlsStream> {
        let mut stream = TlsStream {
            tcp,
            session,
            held: false,
            ended: false,
            closed: false,
        };
        poll_fn(|cx| stream.poll_shake(cx)).await?;
        Ok(stream)
    }

    fn poll_shake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.is_handshaking() {
            if self.session.wants_write() {
                ready!(self.poll_send(cx))?;
            } else if ready!(self.poll_receive(cx))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        if self.session.protocol_version() == Some(ProtocolVersion::TLSv1_3) {
            self.held = true;
            return Poll::Ready(Ok(()));
        }
        // In TLS 1.2 the server may have the last word, and the client waits for it.
        self.poll_send(cx)
    }

    pub(crate) fn get_ref(&self) -> (&TcpStream, &ServerConnection) {
        (&self.tcp, &self.session)
    }

    pub(crate) fn get_mut(&mut self) -> (&mut TcpStream, &mut ServerConnection) {
        (&mut self.tcp, &mut self.session)
    }

    /// Sends what the handshake has left, without an answer.
    pub(crate) fn settle(&mut self, cx: &mut Context<'_>) {
        // An error is there again when something is read or written.
        if self.held && self.poll_send(cx).is_ready() {
            self.held = false;
        }
    }

    /// Sends all that waits.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            let mut socket = Socket(&mut self.tcp, cx);
            match self.session.write_tls(&mut socket) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads from the socket once; 0 at its end.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut socket = Socket(&mut self.tcp, cx);
        let count = match self.session.read_tls(&mut socket) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            Err(error) => return Poll::Ready(Err(error)),
        };
        if let Err(error) = self.session.process_new_packets() {
            // The alert that says so, if the socket takes it at once.
            let _ = self.poll_send(cx);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
        }
        Poll::Ready(Ok(count))
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.ended && self.session.wants_read() {
            match self.poll_receive(cx) {
                Poll::Ready(Ok(0)) => break,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// `write` gives TLS something to send, and says how much of it; what it says first is sent with what was held.
    fn poll_say(
        &mut self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&mut rustls::Writer<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        self.held = false;
        loop {
            let count = write(&mut self.session.writer())?;
            match self.poll_send(cx) {
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if count == 0 => return Poll::Pending,
                // It was full, and is not any more.
                Poll::Ready(Ok(())) if count == 0 => {}
                Poll::Pending | Poll::Ready(Ok(())) => return Poll::Ready(Ok(count)),
            }
        }
    }
}

impl AsyncBufRead for TlsStream {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(Ok(&[]));
        }
        let more = this.poll_more(cx);
        if let Poll::Ready(Err(error)) = more {
            return Poll::Ready(Err(error));
        }
        match this.session.reader().into_first_chunk() {
            Ok(bytes) => {
                this.ended = bytes.is_empty();
                Poll::Ready(Ok(bytes))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if more.is_ready() {
                    // Nothing to read from the socket, and nothing read: come again rather than wait for nobody.
                    cx.waker().wake_by_ref();
                }
                Poll::Pending
            }
            // The client went without a close_notify.
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        self.session.reader().consume(amount);
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        while buffer.remaining() > 0 {
            match self.as_mut().poll_fill_buf(cx) {
                Poll::Ready(Ok([])) => break,
                Poll::Ready(Ok(bytes)) => {
                    let count = bytes.len().min(buffer.remaining());
                    buffer.put_slice(&bytes[..count]);
                    self.as_mut().consume(count);
                }
                // What was read comes first; both are there again the next time.
                _ if buffer.filled().len() > before => break,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.poll_say(cx, |writer| writer.write(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if slices.iter().all(|slice| slice.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        self.poll_say(cx, |writer| writer.write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session.writer().flush()?;
        // Before the first answer there is nothing that somebody wants to see gone.
        if self.held {
            return Poll::Ready(Ok(()));
        }
        self.poll_send(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closed {
            self.session.send_close_notify();
            self.closed = true;
        }
        ready!(self.poll_send(cx))?;
        match ready!(Pin::new(&mut self.tcp).poll_shutdown(cx)) {
            // The client was faster.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            result => Poll::Ready(result),
        }
    }
}

/// The socket as rustls wants it.
struct Socket<'a, 'b>(&'a mut TcpStream, &'a mut Context<'b>);

impl Socket<'_, '_> {
    fn now<T>(result: Poll<io::Result<T>>) -> io::Result<T> {
        match result {
            Poll::Ready(result) => result,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Read for Socket<'_, '_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(bytes);
        Self::now(Pin::new(&mut *self.0).poll_read(self.1, &mut buffer))?;
        Ok(buffer.filled().len())
    }
}

impl Write for Socket<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::now(Pin::new(&mut *self.0).poll_write(self.1, bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Self::now(Pin::new(&mut *self.0).poll_write_vectored(self.1, slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
