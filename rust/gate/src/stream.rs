//! A site whose clients speak something that the gate does not read: their bytes go to the upstream of its only route, and
//! back, until both sides have said all.
//!
//! Who may pass is asked of the judge as for a request, and again whenever trust changes ([`crate::connection`]).

use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{Method, StatusCode, Uri, Version, uri::PathAndQuery};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, sleep_until},
};

use crate::{
    client_io::ClientIo,
    connection::{Connection, Ending},
    fields::Fields,
    ledger::Entry,
    limits,
    message::RequestHead,
    problem,
    request::shown,
    upstream::{Asker, Stream, open},
};

/// What is read at once: a TLS record (RFC 8446 5.1). It lies on the stack, so that who is silent has no buffer.
const PIECE_BYTES: usize = 16 * 1024;

/// Serves a client from the handshake to the end of its connection.
pub(crate) async fn serve(io: ClientIo, connection: Rc<Connection>) {
    // Boxed, and with it all that one connection needs: those that speak HTTP do not pay for it.
    let mut passing = Box::pin(pass(io, connection.clone()));
    poll_fn(|cx| {
        if connection.ending(cx) == Ending::Now {
            return Poll::Ready(());
        }
        match passing.as_mut().poll(cx) {
            Poll::Pending if connection.ending(cx) == Ending::Now => Poll::Ready(()),
            other => other,
        }
    })
    .await;
}

async fn pass(mut io: ClientIo, connection: Rc<Connection>) {
    let worker = connection.worker.clone();
    let mut active = connection.begin();
    let state = worker.state();
    let standing = connection.standing(&state);
    connection.tell("", "");
    let mut entry = Entry::new(&connection, &state, &standing, &head());
    // It may have gone or changed since the handshake.
    let Some((site, route)) = (connection.site(&state))
        .filter(|site| state.site(site).is_stream)
        .and_then(|site| Some((site, site.routes().first()?)))
    else {
        return;
    };
    entry.site(site);
    let settings = state.route(site, route);
    entry.route(route, settings.counted);
    if let Some(over) = connection.over.get() {
        return limited(entry, over);
    }
    if let Err(over) = limits::ask(&connection, &state) {
        return limited(entry, over);
    }
    let permit = match judge::authorize(&standing.verdict, route) {
        Ok(permit) => permit,
        Err(refusal) => {
            worker.shared.counters.refused(refusal.reason);
            let scene = connection.scene(site.name(), "", "");
            let id = (worker.shared.events).refused(&refusal, shown(&standing).as_ref(), &scene);
            entry.refused(refusal.reason.code(), Some(id));
            entry.status(StatusCode::FORBIDDEN);
            return;
        }
    };
    let of_site = state.site(site).limits.as_ref();
    let of_route = settings.limits.as_ref();
    if let Err(over) = limits::permitted(&connection, &state, of_site, of_route, permit.admission())
    {
        return limited(entry, over);
    }
    let Some(upstream) = settings.upstream.clone() else {
        return;
    };
    entry.permitted(permit.admission(), Some(&upstream));
    // From here on it is cut when it would not be permitted any more.
    active.granted(PathAndQuery::from_static("/"), permit.admission().cloned());
    connection.receives(active.slot(), true);
    let asker = match permit.admission() {
        Some(admission) => Asker::Client(admission.client().id),
        None => Asker::Nobody(connection.met.peer.ip()),
    };
    let idle = state.config.settings.timeouts.stream_idle;
    let preface = connection.introduce(&upstream, &standing, permit.admission());
    // What lives long does not keep what was in force when it began.
    drop((standing, state));
    let (mut stream, _under_way) = match open(&permit, &upstream, asker, preface.as_deref()).await {
        Ok(opened) => opened,
        Err(failure) => {
            if let Some((document, counted)) = problem::of_failure(failure) {
                entry.status(document.status);
                if let Some(error) = counted {
                    worker.shared.counters.upstream_error(error);
                }
            }
            return;
        }
    };
    entry.status(StatusCode::OK);
    let mut relay = Relay {
        up: Way::default(),
        down: Way::default(),
        received: entry.received(),
        entry,
    };
    if relay.run(&mut io, &mut stream, idle).await.is_ok() {
        active.complete();
    }
}

/// What stands in the access line, where requests have their own.
fn head() -> RequestHead {
    RequestHead {
        method: Method::CONNECT,
        uri: Uri::from_static("/"),
        version: Version::default(),
        protocol: None,
        fields: Fields::default(),
    }
}

fn limited(mut entry: Entry, over: limits::Over) {
    let document = over.document();
    entry.refused(document.code, None);
    entry.status(document.status);
}

/// Bytes in both directions.
struct Relay {
    up: Way,
    down: Way,
    received: Rc<std::cell::Cell<u64>>,
    entry: Entry,
}

impl Relay {
    /// Passes bytes on until both sides have said all, or one has gone, or neither says anything for `idle`.
    async fn run(
        &mut self,
        client: &mut ClientIo,
        upstream: &mut Stream,
        idle: Duration,
    ) -> io::Result<()> {
        let mut moved_at = Instant::now();
        let mut alarm = pin!(sleep_until(moved_at + idle));
        poll_fn(|cx| {
            let before = self.up.moved + self.down.moved;
            let up = self.up.poll(cx, client, upstream, |upstream, cx| {
                Pin::new(upstream).poll_shutdown(cx)
            })?;
            let down = (self.down).poll(cx, upstream, client, ClientIo::poll_finish)?;
            if up.is_ready() && down.is_ready() {
                return Poll::Ready(Ok(()));
            }
            if self.up.moved + self.down.moved != before {
                moved_at = Instant::now();
            }
            while alarm.as_mut().poll(cx).is_ready() {
                if moved_at.elapsed() >= idle {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                alarm.as_mut().reset(moved_at + idle);
            }
            Poll::Pending
        })
        .await
    }
}

impl Drop for Relay {
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
