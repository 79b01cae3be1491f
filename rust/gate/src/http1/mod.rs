//! HTTP/1.1 towards clients: one connection, its requests one after the other.
//!
//! Knows how messages are framed, what keeps a connection open and how it ends. Does not know what a request is about
//! ([`crate::request`]) nor how long anything may take: the worker's clock visits ([`crate::connection`]).

mod head;
pub mod trial;
mod wire;
mod write;

use std::{
    future::{Future, poll_fn},
    io::IoSlice,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::{Method, StatusCode, Version};

pub(crate) use self::{
    head::{BadRequest, Heads, Request},
    wire::Wire,
    write::date_value as date,
};
use self::{
    wire::write_all,
    write::{BodyFraming, Persistence},
};
use crate::{
    client_io::ClientIo,
    connection::{Connection, Ending},
    download::Download,
    fields::Fields,
    message::{Answer, Body, Interim, Rest},
    request::answer,
    spare::Buffer,
    upstream::{BodyKind, Piece, write_trailers},
};

/// Pieces of an answer up to this size are copied together, so that a small answer is one TLS record and one system call.
const SMALL_BYTES: usize = 4 * 1024;

/// What is gathered of small pieces: a TLS record's worth (RFC 8446 5.1).
const GATHER_BYTES: usize = 16 * 1024;

/// How HTTP on a connection pauses or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// With the connection.
    Over,
    /// It has idled for a while.
    Parked,
}

/// The connection ends without a word: its client takes no answer for whole that is not.
struct Broken;

/// Serves a client until its connection ends. Heads are at most `limit` bytes long.
pub(crate) async fn serve(io: ClientIo, connection: Rc<Connection>, limit: usize) {
    let wire = Rc::new(Wire::new(io));
    // Boxed, and gone while the connection is parked: a request takes some KiB.
    while until_cut(&connection, Box::pin(busy(&wire, &connection, limit))).await
        == Some(End::Parked)
    {
        wire.park();
        connection.rest();
        if until_cut(&connection, poll_fn(|cx| wait(&connection, &wire, cx))).await != Some(true) {
            return;
        }
    }
}

/// Drives a future, unless and until the connection is to end at once.
async fn until_cut<F: Future + Unpin>(connection: &Connection, mut future: F) -> Option<F::Output> {
    poll_fn(|cx| {
        if connection.ending(cx) == Ending::Now {
            return Poll::Ready(None);
        }
        match Pin::new(&mut future).poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            // What was polled may have asked for the end itself.
            Poll::Pending if connection.ending(cx) == Ending::Now => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Waits for the next request of a parked connection; `false` if there is none, and then it is closed.
fn wait(connection: &Connection, wire: &Wire, cx: &mut Context<'_>) -> Poll<bool> {
    if connection.ending(cx) == Ending::Soon {
        return wire.poll_shutdown(cx).map(|_| false);
    }
    wire.poll_readable(cx).map(|()| true)
}

async fn busy(wire: &Rc<Wire>, connection: &Rc<Connection>, limit: usize) -> End {
    loop {
        let request = match poll_fn(|cx| next(wire, connection, limit, cx)).await {
            Next::Request(request) => request,
            Next::Parked => return End::Parked,
            Next::Over => break,
            Next::Bad(bad) => {
                let _ = refuse(wire, bad).await;
                break;
            }
        };
        match exchange(wire, connection, request).await {
            Ok(true) => wire.begins(),
            Ok(false) => break,
            Err(Broken) => return End::Over,
        }
    }
    wire.shutdown().await;
    End::Over
}

#[expect(
    clippy::large_enum_variant,
    reason = "the large one is the usual one: a box would be an allocation for each request"
)]
enum Next {
    Request(Request),
    Bad(BadRequest),
    Parked,
    Over,
}

fn next(wire: &Wire, connection: &Connection, limit: usize, cx: &mut Context<'_>) -> Poll<Next> {
    loop {
        match wire.take_head(limit) {
            Ok(Some(request)) => return Poll::Ready(Next::Request(request)),
            Ok(None) => {}
            Err(bad) => return Poll::Ready(Next::Bad(bad)),
        }
        if wire.is_empty() && connection.ending(cx) == Ending::Soon {
            return Poll::Ready(Next::Over);
        }
        match wire.poll_more(cx) {
            Poll::Ready(Ok(count)) if count > 0 => {}
            Poll::Ready(_) => return Poll::Ready(Next::Over),
            Poll::Pending if connection.is_parkable() => {
                return Poll::Ready(Next::Parked);
            }
            Poll::Pending => return Poll::Pending,
        }
    }
}

/// Answers what is no request; the connection ends with that, since nobody knows where the next one would begin.
async fn refuse(wire: &Wire, bad: BadRequest) -> std::io::Result<()> {
    let mut out = Buffer::new();
    write_last(&mut out, refusal(bad));
    write_all(wire, &out).await
}

/// The answer to what is no request.
pub(crate) fn refusal(bad: BadRequest) -> http::Response<Bytes> {
    bad.document().answer(&Method::GET, &Fields::default())
}

/// Writes an answer after which the connection ends, and which says its length.
pub(crate) fn write_last(out: &mut Vec<u8>, response: http::Response<Bytes>) {
    let (parts, body) = response.into_parts();
    let fields = parts.headers.into();
    // None but the one that the fields say.
    let framing = BodyFraming::None;
    write::head(out, parts.status, &fields, framing, Persistence::Close);
    out.extend_from_slice(&body);
}

/// One request and its answer; whether another request may follow.
async fn exchange(
    wire: &Rc<Wire>,
    connection: &Rc<Connection>,
    request: Request,
) -> Result<bool, Broken> {
    let asked = Asked {
        is_head: request.head.method == Method::HEAD,
        is_11: request.head.version == Version::HTTP_11,
        keep_alive: request.keep_alive,
        trailers: head::takes_trailers(&request.head.fields),
    };
    let body = match request.kind {
        BodyKind::None => Body::None,
        kind => Body::Http1(wire.clone(), kind),
    };
    let interim = asked.is_11.then(|| Interim::Http1(wire.clone()));
    let answered = {
        let mut answering = pin!(answer(connection.clone(), request.head, body, interim));
        poll_fn(|cx| match answering.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(answer.map_err(|_| Broken)),
            Poll::Pending if wire.poll_gone(cx) => Poll::Ready(Err(Broken)),
            Poll::Pending => Poll::Pending,
        })
        .await?
    };
    let Answer {
        status,
        fields,
        rest,
    } = answered;
    let mut out = Buffer::new();
    wire.take_hints(&mut out);
    let download = match rest {
        Rest::Body(download) => download,
        Rest::Relay(relay) => {
            let none = BodyFraming::None;
            write::head(&mut out, status, &fields, none, Persistence::Upgrade);
            write_all(wire, &out).await.map_err(|_| Broken)?;
            if let Some(io) = wire.take_io() {
                relay.run(io).await;
            }
            return Err(Broken);
        }
    };
    let framing = asked.framing(status, download.length());
    // What an answer of our own does not wait for, nobody reads. An upstream that answers early may read on.
    let unread = !wire.is_body_read() && download.is_own() && !wire.skip_body();
    let ends = poll_fn(|cx| Poll::Ready(connection.ending(cx) == Ending::Soon)).await;
    let close = !asked.keep_alive || unread || ends || framing == BodyFraming::UntilClose;
    let persistence = match (close, asked.is_11) {
        (true, _) => Persistence::Close,
        (false, true) => Persistence::Usual,
        (false, false) => Persistence::KeepAlive,
    };
    write::head(&mut out, status, &fields, framing, persistence);
    drop(fields);
    Sending {
        wire,
        download,
        framing,
        trailers: asked.trailers,
        out,
        sent: 0,
        data: Bytes::new(),
        after: b"",
        over: false,
    }
    .run()
    .await?;
    if wire.is_body_read() || (!unread && wire.skip_body()) {
        return Ok(!close);
    }
    connection.progress.linger();
    Ok(false)
}

/// What a request says about how it is to be answered.
#[derive(Debug, Clone, Copy)]
struct Asked {
    is_head: bool,
    is_11: bool,
    keep_alive: bool,
    trailers: bool,
}

impl Asked {
    /// RFC 9112 6.3.
    fn framing(self, status: StatusCode, length: Option<u64>) -> BodyFraming {
        if self.is_head || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
            return BodyFraming::None;
        }
        match length {
            Some(length) => BodyFraming::Length(length),
            None if self.is_11 => BodyFraming::Chunked,
            None => BodyFraming::UntilClose,
        }
    }
}

/// An answer on its way to the client: the head, then the body piece by piece.
struct Sending<'a> {
    wire: &'a Wire,
    download: Download,
    framing: BodyFraming,
    trailers: bool,
    /// What comes before the data: heads, small pieces, sizes of chunks.
    out: Buffer,
    sent: usize,
    data: Bytes,
    /// What comes after the data.
    after: &'static [u8],
    over: bool,
}

impl Sending<'_> {
    async fn run(mut self) -> Result<(), Broken> {
        self.over = self.framing == BodyFraming::None || self.download.is_over();
        if self.over && self.framing == BodyFraming::Chunked {
            self.out.extend_from_slice(b"0\r\n\r\n");
        }
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        loop {
            let waits = self.poll_gather(cx)?.is_pending();
            if self.is_written() {
                if self.over {
                    return self.wire.poll_flush(cx).map_err(|_| Broken);
                }
                if waits {
                    if self.wire.poll_flush(cx).map_err(|_| Broken)?.is_ready()
                        && self.wire.poll_gone(cx)
                    {
                        return Poll::Ready(Err(Broken));
                    }
                    return Poll::Pending;
                }
                continue;
            }
            let slices = [
                IoSlice::new(&self.out[self.sent..]),
                IoSlice::new(&self.data),
                IoSlice::new(self.after),
            ];
            // One slice is not copied together first.
            let some = if self.data.is_empty() && self.after.is_empty() {
                &slices[..1]
            } else {
                &slices[..]
            };
            match self.wire.poll_write(cx, some) {
                Poll::Ready(Ok(count)) if count > 0 => self.advance(count),
                Poll::Ready(_) => return Poll::Ready(Err(Broken)),
                Poll::Pending => {
                    self.download.hold(cx);
                    return Poll::Pending;
                }
            }
        }
    }

    fn is_written(&self) -> bool {
        self.sent == self.out.len() && self.data.is_empty() && self.after.is_empty()
    }

    fn advance(&mut self, mut count: usize) {
        let before = count.min(self.out.len() - self.sent);
        self.sent += before;
        count -= before;
        if self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
        }
        let data = count.min(self.data.len());
        self.data.advance(data);
        self.after = &self.after[count - data..];
    }

    /// Gets pieces of the body, until there is enough to write or nothing more for now.
    fn poll_gather(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        while !self.over
            && self.data.is_empty()
            && self.after.is_empty()
            && self.out.len() - self.sent < GATHER_BYTES - SMALL_BYTES
        {
            let chunked = self.framing == BodyFraming::Chunked;
            match ready!(self.download.poll_piece(cx)).map_err(|_| Broken)? {
                Piece::Data(data) => {
                    if chunked {
                        write::chunk_size(&mut self.out, data.len());
                    }
                    if data.len() <= SMALL_BYTES {
                        self.out.extend_from_slice(&data);
                        if chunked {
                            self.out.extend_from_slice(b"\r\n");
                        }
                    } else {
                        self.data = data;
                        if chunked {
                            self.after = b"\r\n";
                        }
                    }
                    // The end of chunks has to be said.
                    self.over = !chunked && self.download.is_over();
                }
                Piece::Trailers(trailers) => {
                    self.over = true;
                    if chunked {
                        self.out.extend_from_slice(b"0\r\n");
                        if self.trailers {
                            write_trailers(&mut self.out, &trailers);
                        }
                        self.out.extend_from_slice(b"\r\n");
                    }
                }
                Piece::End => {
                    self.over = true;
                    if chunked {
                        self.out.extend_from_slice(b"0\r\n\r\n");
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}
