//! Bytes between a client and a service that the gate does not read, both ways, until both sides have said all or one has
//! gone. For how long neither may say anything is its callers' affair.

use std::{
    cell::Cell,
    io,
    mem::MaybeUninit,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{ledger::Entry, upstream::Stream};

/// What is read at once: a TLS record (RFC 8446 5.1). It lies on the stack, so that who is silent has no buffer.
const PIECE_BYTES: usize = 16 * 1024;

/// The client's side.
pub(crate) trait Client: AsyncRead + AsyncWrite + Unpin {
    /// Ready when a client from which nobody reads, who would hear of it, takes nothing more.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// Both directions. When it is dropped, the request that has become this is over, and its entry is written.
pub(crate) struct Passing {
    up: Way,
    down: Way,
    received: Rc<Cell<u64>>,
    entry: Entry,
}

impl Passing {
    /// The service has said `early` already.
    pub(crate) fn new(mut entry: Entry, early: Vec<u8>) -> Passing {
        Passing {
            up: Way::default(),
            down: Way {
                left: early,
                ..Way::default()
            },
            received: entry.received(),
            entry,
        }
    }

    /// Passes on what there is. `finish` tells the client that no more comes.
    pub(crate) fn poll<C: Client>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut C,
        service: &mut Stream,
        finish: impl FnOnce(&mut C, &mut Context<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        let up = self.up.poll(cx, client, service, |service, cx| {
            Pin::new(service).poll_shutdown(cx)
        })?;
        let down = self.down.poll(cx, service, client, finish)?;
        if up.is_ready() && down.is_ready() {
            return Poll::Ready(Ok(()));
        }
        if !self.up.reads() {
            ready!(client.poll_gone(cx));
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Poll::Pending
    }

    /// How many bytes have gone through so far.
    pub(crate) fn moved(&self) -> u64 {
        self.up.moved + self.down.moved
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        self.received.set(self.up.moved);
        self.entry.sent(self.down.moved);
    }
}

/// One direction.
#[derive(Default)]
struct Way {
    /// What was read and is not yet taken, from `at` on.
    left: Vec<u8>,
    at: usize,
    /// No more comes.
    ended: bool,
    /// The other side knows that.
    finished: bool,
    /// Bytes that the other side has taken.
    moved: u64,
}

impl Way {
    /// Passes on what there is. Ready when all is said.
    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        to: &mut W,
        finish: impl FnOnce(&mut W, &mut Context<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        while !self.finished {
            while self.at < self.left.len() {
                let count = ready!(Pin::new(&mut *to).poll_write(cx, &self.left[self.at..]))?;
                self.took(count)?;
                self.at += count;
            }
            (self.left, self.at) = (Vec::new(), 0);
            if self.ended {
                ready!(finish(to, cx))?;
                self.finished = true;
                break;
            }
            let mut room = [MaybeUninit::uninit(); PIECE_BYTES];
            let mut piece = ReadBuf::uninit(&mut room);
            if Pin::new(&mut *from).poll_read(cx, &mut piece)?.is_pending() {
                // Nothing more for now: what was written goes.
                ready!(Pin::new(&mut *to).poll_flush(cx))?;
                return Poll::Pending;
            }
            let piece = piece.filled();
            self.ended = piece.is_empty();
            if self.ended {
                continue;
            }
            match Pin::new(&mut *to).poll_write(cx, piece)? {
                Poll::Ready(count) => {
                    self.took(count)?;
                    self.left.extend_from_slice(&piece[count..]);
                }
                Poll::Pending => self.left.extend_from_slice(piece),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether it waits for more, rather than for the other side to take what there is.
    fn reads(&self) -> bool {
        !self.ended && self.at == self.left.len()
    }

    fn took(&mut self, count: usize) -> io::Result<()> {
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.moved += u64::try_from(count).unwrap_or(u64::MAX);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncWriteExt, BufWriter, duplex};

    use super::*;

    /// Polls once.
    async fn once<T>(poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        let mut poll = Some(poll);
        poll_fn(|cx| Poll::Ready(poll.take().expect("one call")(cx))).await
    }

    #[tokio::test]
    async fn what_was_said_goes_before_more_is_waited_for() {
        let ((mut client, mut from), (to, mut service)) = (duplex(64), duplex(64));
        let mut to = BufWriter::new(to); // TLS may keep something back as well
        let mut way = Way::default();
        client.write_all(b"hello").await.expect("room");
        let finish = |to: &mut BufWriter<_>, cx: &mut Context<'_>| Pin::new(to).poll_shutdown(cx);
        let passed = once(|cx| way.poll(cx, &mut from, &mut to, finish)).await;
        assert!(passed.is_pending());
        let mut room = [0; 64];
        let mut heard = ReadBuf::new(&mut room);
        let read = once(|cx| Pin::new(&mut service).poll_read(cx, &mut heard)).await;
        assert!(read.is_ready());
        assert_eq!(heard.filled(), b"hello");
    }
}
