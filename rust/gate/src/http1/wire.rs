//! A client's stream as HTTP/1.1 sees it: what was read and not yet used, and what is left of the request's body.
//!
//! The loop of the connection and the body on its way to an upstream share it; both are of one task.

use std::{
    cell::RefCell,
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use http::StatusCode;
use tokio::io::AsyncWrite;

use super::{
    head::{BadRequest, Heads, Request},
    write,
};
use crate::{
    client_io::ClientIo,
    fields::Fields,
    upload::UploadError,
    upstream::{Framing, Piece},
};

/// Room for a head; bodies make their own.
const INBOX_BYTES: usize = 4 * 1024;

/// What is read of a body before it is wanted, at most.
const BODY_BYTES: usize = 64 * 1024;

/// What is read of the requests after the one that is being answered, at most: it tells whether the client is still there.
const AHEAD_BYTES: usize = 8 * 1024;

/// Interim responses that wait for a client that takes nothing, in bytes; further ones are dropped.
const MAX_HINT_BYTES: usize = 16 * 1024;

/// The stream and its state.
pub(crate) struct Wire(RefCell<Inner>);

struct Inner {
    /// `None` once it is no HTTP any more.
    io: Option<ClientIo>,
    inbox: BytesMut,
    heads: Heads,
    /// What is left of the request's body.
    body: Framing,
    /// Whether the client waits to be asked for it.
    expects: bool,
    /// Interim responses that are not sent yet.
    hints: Vec<u8>,
}

impl Wire {
    pub(super) fn new(io: ClientIo) -> Wire {
        Wire(RefCell::new(Inner {
            io: Some(io),
            inbox: BytesMut::new(),
            heads: Heads::default(),
            body: Framing::Length(0),
            expects: false,
            hints: Vec::new(),
        }))
    }

    /// The next head, if it is there as a whole.
    pub(super) fn take_head(&self, limit: usize) -> Result<Option<Request>, BadRequest> {
        let inner = &mut *self.0.borrow_mut();
        let request = inner.heads.take(&mut inner.inbox, limit)?;
        if let Some(request) = &request {
            inner.body = request.framing;
            inner.expects = request.expects;
        }
        Ok(request)
    }

    /// Whether nothing of a request has been read.
    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().inbox.is_empty()
    }

    /// Notes that what was read already is the begin of the next head.
    pub(super) fn begins(&self) {
        let inner = &*self.0.borrow();
        if let Some(io) = &inner.io
            && !inner.inbox.is_empty()
        {
            io.received();
        }
    }

    /// Whether all of the request was read.
    pub(super) fn is_body_read(&self) -> bool {
        self.0.borrow().body.is_done()
    }

    /// Drops what is there of a body that nobody wants; whether that was all of it.
    pub(super) fn skip_body(&self) -> bool {
        let inner = &mut *self.0.borrow_mut();
        // Who waits to be asked may send a body or not: what comes next could be either.
        if inner.expects {
            return inner.body.is_done();
        }
        loop {
            match inner.body.take(&mut inner.inbox) {
                Ok(Some(Piece::End)) => return true,
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return false,
            }
        }
    }

    /// Reads more, up to `limit` bytes in the inbox; 0 at the end.
    pub(super) fn poll_more(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_more(cx, INBOX_BYTES)
    }

    /// The next piece of the body. The client is asked for it by this and by nothing else.
    pub(crate) fn poll_piece(&self, cx: &mut Context<'_>) -> Poll<Result<Piece, UploadError>> {
        let inner = &mut *self.0.borrow_mut();
        loop {
            match inner.body.take(&mut inner.inbox) {
                Ok(Some(piece)) => return Poll::Ready(Ok(piece)),
                Ok(None) => {}
                Err(_) => return Poll::Ready(Err(UploadError::Malformed)),
            }
            match inner.poll_more(cx, BODY_BYTES) {
                Poll::Ready(Ok(count)) if count > 0 => inner.expects = false,
                Poll::Ready(_) => return Poll::Ready(Err(UploadError::Broken)),
                Poll::Pending => {
                    if std::mem::take(&mut inner.expects) {
                        inner.hint(StatusCode::CONTINUE, &Fields::default());
                        inner.poll_hints(cx);
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// Passes an interim response on.
    pub(crate) fn hint(&self, status: StatusCode, fields: &Fields) {
        self.0.borrow_mut().hint(status, fields);
    }

    /// Sends interim responses, and looks whether the client has gone away.
    pub(super) fn poll_gone(&self, cx: &mut Context<'_>) -> bool {
        let inner = &mut *self.0.borrow_mut();
        inner.poll_hints(cx);
        // What comes of a body is read when it is wanted.
        while inner.body.is_done() && inner.inbox.len() < AHEAD_BYTES {
            match inner.poll_more(cx, AHEAD_BYTES) {
                Poll::Ready(Ok(count)) if count > 0 => {}
                Poll::Ready(_) => return true,
                Poll::Pending => return false,
            }
        }
        false
    }

    /// What must be sent before anything else.
    pub(super) fn take_hints(&self, out: &mut Vec<u8>) {
        out.append(&mut self.0.borrow_mut().hints);
    }

    /// Writes some of the slices.
    pub(super) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0.borrow_mut().io {
            Some(io) => Pin::new(io).poll_write_vectored(cx, slices),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Gives what was written to the system.
    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0.borrow_mut().io {
            Some(io) => Pin::new(io).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Says goodbye, and lets the client read the last words.
    pub(super) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0.borrow_mut().io {
            Some(io) => Pin::new(io).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    pub(super) async fn shutdown(&self) {
        // Whatever goes wrong now, there is nobody left to tell.
        let _ = poll_fn(|cx| self.poll_shutdown(cx)).await;
    }

    /// Gives back what memory it can: nothing was read that is not used.
    pub(super) fn park(&self) {
        let inner = &mut *self.0.borrow_mut();
        debug_assert!(inner.inbox.is_empty(), "the phase was not Idle");
        inner.inbox = BytesMut::new();
        inner.hints = Vec::new();
    }

    /// Waits for something to read, without room for it.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.0.borrow_mut().io {
            Some(io) => io.poll_readable(cx),
            None => Poll::Ready(()),
        }
    }

    /// The stream, for what is no HTTP any more; what was read already is read again first.
    pub(super) fn take_io(&self) -> Option<ClientIo> {
        let inner = &mut *self.0.borrow_mut();
        let mut io = inner.io.take()?;
        io.put_back(&inner.inbox);
        Some(io)
    }
}

impl Inner {
    fn poll_more(&mut self, cx: &mut Context<'_>, limit: usize) -> Poll<io::Result<usize>> {
        let Some(io) = &mut self.io else {
            return Poll::Ready(Ok(0));
        };
        if self.inbox.capacity() - self.inbox.len() < INBOX_BYTES / 4 {
            self.inbox.reserve(INBOX_BYTES);
        }
        io.poll_fill(cx, &mut self.inbox, limit)
    }

    fn hint(&mut self, status: StatusCode, fields: &Fields) {
        if self.hints.len() < MAX_HINT_BYTES {
            write::interim(&mut self.hints, status, fields);
        }
    }

    /// Sends what it can; an error shows again with the answer.
    fn poll_hints(&mut self, cx: &mut Context<'_>) {
        let Some(io) = &mut self.io else { return };
        while !self.hints.is_empty() {
            match Pin::new(&mut *io).poll_write(cx, &self.hints) {
                Poll::Ready(Ok(count)) if count > 0 => drop(self.hints.drain(..count)),
                _ => return,
            }
        }
    }
}

/// Writes everything, or fails.
pub(super) async fn write_all(wire: &Wire, mut bytes: &[u8]) -> io::Result<()> {
    poll_fn(|cx| {
        while !bytes.is_empty() {
            let count = ready!(wire.poll_write(cx, &[IoSlice::new(bytes)]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            bytes = &bytes[count..];
        }
        wire.poll_flush(cx)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_nothing_has_no_room_for_it() {
        let wire = Wire(RefCell::new(Inner {
            io: None,
            inbox: BytesMut::with_capacity(INBOX_BYTES),
            heads: Heads::default(),
            body: Framing::Length(0),
            expects: false,
            hints: Vec::with_capacity(MAX_HINT_BYTES),
        }));
        wire.park();
        let inner = wire.0.borrow();
        assert_eq!((inner.inbox.capacity(), inner.hints.capacity()), (0, 0));
    }
}
