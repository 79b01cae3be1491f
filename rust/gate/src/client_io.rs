//! A client's TLS stream, watched: what has moved, what waits.
//!
//! The watcher ([`Progress`]) is read by the worker's clock. Only one thread touches it, for which
//! relaxed atomics are what cells are.

use std::{
    future::{Future, pending},
    io,
    os::fd::AsFd,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};

use crate::{passing::Client, tls_stream::TlsStream, worker::age};

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No request has come yet.
    Fresh = 0,
    /// Between two requests.
    Idle = 1,
    /// A request's head has begun to come.
    Header = 2,
    /// There is a request.
    Active = 3,
    /// Everything is said; what the client still sends is read and dropped, lest a reset overtake our last words.
    Linger = 4,
}

/// What has happened on a connection. Times are the worker's; 1 stands for "just now", 0 for "not".
#[derive(Debug, Default)]
pub(crate) struct Progress {
    phase: AtomicU8,
    since: AtomicU32,
    /// Since when the client takes nothing of what we have for it.
    blocked: AtomicU32,
    lingers: AtomicBool,
    /// Whether the client has been silent for a while since the handshake.
    silent: AtomicBool,
}

impl Progress {
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
        self.since.store(0, Relaxed);
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Fresh,
            1 => Phase::Idle,
            2 => Phase::Header,
            3 => Phase::Active,
            _ => Phase::Linger,
        }
    }

    /// How long the phase has lasted at `now`, in milliseconds; counts from the first call.
    pub(crate) fn phase_age(&self, now: u32) -> u32 {
        counted(&self.since, now)
    }

    /// For how long the client has taken nothing, in milliseconds.
    pub(crate) fn blocked_age(&self, now: u32) -> u32 {
        if self.blocked.load(Relaxed) == 0 {
            return 0;
        }
        if self.blocked.load(Relaxed) == 1 {
            self.blocked.store(now.max(2), Relaxed);
        }
        age(self.blocked.load(Relaxed), now)
    }

    /// Notes that nothing is asked for, so that nothing of the handshake waits for an answer.
    pub(crate) fn silence(&self) {
        self.silent.store(true, Relaxed);
    }

    /// Asks for the connection's end to be slow enough for the client to read the last response.
    pub(crate) fn linger(&self) {
        self.lingers.store(true, Relaxed);
    }

    pub(crate) fn received(&self) {
        if matches!(self.phase(), Phase::Idle | Phase::Fresh) {
            self.enter(Phase::Header);
        }
    }

    fn wrote(&self, result: &Poll<io::Result<usize>>) {
        match result {
            Poll::Ready(Ok(_)) => self.flows(),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.blocks(),
        }
    }

    fn flows(&self) {
        self.blocked.store(0, Relaxed);
    }

    fn blocks(&self) {
        if self.blocked.load(Relaxed) == 0 {
            self.blocked.store(1, Relaxed);
        }
    }
}

fn counted(since: &AtomicU32, now: u32) -> u32 {
    match since.load(Relaxed) {
        0 => {
            since.store(now, Relaxed);
            0
        }
        since => age(since, now),
    }
}

/// The stream.
pub(crate) struct ClientIo {
    tls: Box<TlsStream>,
    progress: Arc<Progress>,
    closed: bool,
    linger_left: usize,
    /// Read already, and to be read again before anything else.
    early: Bytes,
    /// Waits for a reset, once that is asked for.
    reset: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl ClientIo {
    pub(crate) fn new(tls: Box<TlsStream>, progress: Arc<Progress>) -> Self {
        // 256 KiB: what a client has typically sent before it reads that it should not have.
        ClientIo {
            tls,
            progress,
            closed: false,
            linger_left: 256 * 1024,
            early: Bytes::new(),
            reset: None,
        }
    }

    /// Says that we have nothing more to say; the client may go on.
    pub(crate) fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.tls).poll_shutdown(cx)
    }

    /// Puts back what was read and not used.
    pub(crate) fn put_back(&mut self, bytes: &[u8]) {
        // Copied: even an empty part keeps the buffer that it is a part of.
        self.early = Bytes::copy_from_slice(bytes);
    }

    /// Notes that a request has begun to come.
    pub(crate) fn received(&self) {
        self.progress.received();
    }

    /// Waits until there may be something to read, without room for it.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.tls.poll_readable(cx)
    }

    /// Reads what there is to the end of `inbox`, until it holds `limit` bytes; 0 at the end.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        inbox: &mut BytesMut,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        let before = inbox.len();
        let end = loop {
            // Asking TLS costs more than asking the socket.
            if self.poll_readable(cx).is_pending() {
                break Poll::Pending;
            }
            match (self.tls).poll_hear(cx, &mut |bytes| inbox.extend_from_slice(bytes)) {
                Poll::Ready(Ok(true)) => {
                    // Part of a record is nothing yet.
                    if inbox.len() >= limit.max(before + 1) {
                        break Poll::Pending;
                    }
                }
                Poll::Ready(result) => break Poll::Ready(result.map(|_| 0)),
                Poll::Pending => break Poll::Pending,
            }
        };
        let count = inbox.len() - before;
        if count > 0 {
            self.progress.received();
            // An error, too, is there again when it is asked for.
            return Poll::Ready(Ok(count));
        }
        if self.progress.silent.load(Relaxed) {
            self.tls.settle(cx);
        }
        end
    }
}

impl Client for ClientIo {
    /// A reset (RFC 9293 3.10.7.4) is an error of the socket. Tokio has it waited for only by who holds the socket, as those do
    /// who read and write: so this has a handle of its own.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let tcp = self.tls.tcp();
        let reset = self.reset.get_or_insert_with(|| {
            let own =
                (tcp.as_fd().try_clone_to_owned()).and_then(|own| TcpStream::from_std(own.into()));
            Box::pin(async move {
                match own {
                    Ok(own) => drop(own.ready(Interest::ERROR).await),
                    // It shows with the next word of the service.
                    Err(_) => pending().await,
                }
            })
        });
        reset.as_mut().poll(cx)
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.early.is_empty() {
            let length = self.early.len().min(buffer.remaining());
            let early = self.early.split_to(length);
            buffer.put_slice(&early);
            self.progress.received();
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let result = Pin::new(&mut *self.tls).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.progress.received();
        } else if self.progress.silent.load(Relaxed) {
            self.tls.settle(cx);
        }
        result
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut *self.tls).poll_write(cx, bytes);
        self.progress.wrote(&result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut *self.tls).poll_write_vectored(cx, slices);
        self.progress.wrote(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut *self.tls).poll_flush(cx);
        match result {
            Poll::Pending => self.progress.blocks(),
            Poll::Ready(Ok(())) => self.progress.flows(),
            Poll::Ready(Err(_)) => {}
        }
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closed {
            ready!(Pin::new(&mut *self.tls).poll_shutdown(cx))?;
            self.closed = true;
            // Cut short in a head, as by one that is too long: there is more to come that nobody will read.
            if self.progress.phase() == Phase::Header {
                self.progress.linger();
            }
            self.progress.enter(Phase::Linger);
        }
        let mut waste = [0; 4096];
        while self.progress.lingers.load(Relaxed) && self.linger_left > 0 {
            let mut buffer = ReadBuf::new(&mut waste);
            ready!(Pin::new(self.tls.tcp()).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                break;
            }
            self.linger_left = self.linger_left.saturating_sub(buffer.filled().len());
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_older_whatever_the_clock_says() {
        let progress = Progress::default();
        progress.blocks();
        for (now, age) in [(u32::MAX - 1, 0), (u32::MAX, 1), (8, 10)] {
            assert_eq!(progress.phase_age(now), age);
            assert_eq!(progress.blocked_age(now), age);
        }
    }
}
