//! One request and its response on one connection: both bodies flow at the same time, each as fast as its reader.

use std::{
    future::{Future, poll_fn},
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use http::{Method, StatusCode};
use tokio::{
    io::AsyncWrite,
    time::{Instant, Sleep},
};

use super::{
    endpoint::UnderWay,
    pool::{INBOX_BYTES, Link, Pools, Preface},
    request_head,
    response::{self, BadResponse, Framing, Head, Piece},
};
use crate::{
    fields::Fields,
    spare::Buffer,
    upload::{Part, Upload, UploadError},
};

/// Most bytes of a body that are read at once.
const READ_BYTES: usize = 64 * 1024;
/// The longest request, its body included, that every server takes: some have room for no more.
pub(super) const SHORT_BYTES: u64 = 8 * 1024;

/// Why there is no response to pass on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection.
    Unreachable(io::ErrorKind),
    /// No connection, since the gate has no descriptor or port left for one.
    Exhausted,
    /// No connection in time.
    ConnectTimeout,
    /// The upstream closed before the first byte of a response.
    Closed,
    /// The upstream closed in the middle of a response, or its connection broke.
    Broken,
    /// The response breaks HTTP.
    Bad(&'static str),
    /// No response in time.
    ResponseTimeout,
    /// The client's body is longer than the route takes.
    BodyTooLarge,
    /// The client's body came too slowly.
    BodyTooSlow,
    /// The client's body ended early.
    ClientGone,
    /// The client's body is framed in a way that is no HTTP.
    BadBody,
    /// No server of the upstream can be used now; in how many seconds to ask again.
    NoServer(u32),
    /// The upstream said that it does not take this request (RFC 9113 8.7).
    Refused,
    /// Its certificate is not that of whom it should be.
    Untrusted,
    /// What it is to be asked cannot be said in its protocol.
    Unsayable,
}

impl Failure {
    /// One word for it, in traces.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Failure::Unreachable(_) | Failure::Exhausted => "connect",
            Failure::ConnectTimeout => "connect_timeout",
            Failure::Closed => "closed",
            Failure::Broken => "incomplete",
            Failure::Bad(_) | Failure::Unsayable => "protocol",
            Failure::ResponseTimeout => "response_timeout",
            Failure::BodyTooLarge => "body_too_large",
            Failure::BodyTooSlow => "body_too_slow",
            Failure::ClientGone => "client_gone",
            Failure::BadBody => "bad_body",
            Failure::NoServer(_) => "no_server",
            Failure::Refused => "refused",
            Failure::Untrusted => "untrusted",
        }
    }

    /// Whether there was not even a connection.
    pub(super) fn is_before_request(self) -> bool {
        matches!(
            self,
            Failure::Unreachable(_)
                | Failure::Exhausted
                | Failure::ConnectTimeout
                | Failure::Untrusted
        )
    }

    /// Whether the server gave no answer that could be passed on, and another one may.
    pub(super) fn is_without_answer(self) -> bool {
        matches!(
            self,
            Failure::Closed | Failure::Broken | Failure::Bad(_) | Failure::Refused
        )
    }

    /// That nothing was sent.
    pub(super) fn before(self, again: Option<Request>) -> Failed {
        Failed {
            why: self,
            again,
            of_server: self.is_of_server(true),
        }
    }

    /// Whether it is the server's own fault, where `is_short` says that the request was sent as a whole and is one that every
    /// server takes. One that is longer, or not yet sent, servers end without an answer because of who sends it.
    pub(super) fn is_of_server(self, is_short: bool) -> bool {
        match self {
            Failure::Unreachable(_)
            | Failure::ConnectTimeout
            | Failure::Untrusted
            | Failure::Refused
            | Failure::Bad(_)
            | Failure::ResponseTimeout => true,
            Failure::Closed | Failure::Broken => is_short,
            Failure::Exhausted
            | Failure::Unsayable
            | Failure::BodyTooLarge
            | Failure::BodyTooSlow
            | Failure::BadBody
            | Failure::ClientGone
            | Failure::NoServer(_) => false,
        }
    }
}

impl From<UploadError> for Failure {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::TooLarge => Failure::BodyTooLarge,
            UploadError::TooSlow => Failure::BodyTooSlow,
            UploadError::Broken => Failure::ClientGone,
            UploadError::Malformed => Failure::BadBody,
        }
    }
}

impl From<BadResponse> for Failure {
    fn from(bad: BadResponse) -> Self {
        Failure::Bad(bad.0)
    }
}

/// A request without an answer.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) why: Failure,
    /// The request, where it may be sent to another server.
    pub(super) again: Option<Request>,
    /// Whether it is the server's own fault.
    pub(super) of_server: bool,
}

/// What is sent, kept until there is a response: it may have to be sent again.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) head: Buffer,
    pub(super) upload: Option<Upload>,
    /// What a connection begins with that carries it.
    pub(super) preface: Option<Rc<Preface>>,
    outbox: Outbox,
}

impl Request {
    pub(super) fn new(
        method: Method,
        head: Buffer,
        upload: Option<Upload>,
        preface: Option<Rc<Preface>>,
    ) -> Request {
        Request {
            method,
            head,
            upload,
            preface,
            outbox: Outbox::default(),
        }
    }

    /// Whether the request's body is not yet sent.
    pub(super) fn is_uploading(&self) -> bool {
        self.upload.is_some() || !self.outbox.is_empty()
    }
}

/// What is done with an interim response (RFC 9110 15.2): its status and fields.
pub(crate) type OnInterim<'a> = dyn FnMut(StatusCode, Fields) + 'a;

/// A request on its way, and its response.
#[derive(Debug)]
pub(crate) struct Http1 {
    link: Box<Link>,
    request: Request,
    head_sent: usize,
    sent_body: bool,
    /// Bytes that the upstream has taken.
    moved: u64,
    /// Writing failed; a response may be there all the same.
    write_broken: bool,
    heard: bool,
    framing: Framing,
    keep_alive: bool,
    /// The answer has no body, and something may yet come that its server takes for one.
    may_trail: bool,
    /// Where the whole exchange has to end by a certain time.
    limit: Option<Pin<Box<Sleep>>>,
    _under_way: Option<UnderWay>,
}

/// The part of the body that is being written: a chunk's size, the data, what ends it.
#[derive(Debug, Default)]
struct Outbox {
    before: Vec<u8>,
    before_sent: usize,
    data: Bytes,
    after: &'static [u8],
}

impl Outbox {
    fn is_empty(&self) -> bool {
        self.before_sent == self.before.len() && self.data.is_empty() && self.after.is_empty()
    }

    fn advance(&mut self, mut written: usize) {
        let before = written.min(self.before.len() - self.before_sent);
        self.before_sent += before;
        written -= before;
        let data = written.min(self.data.len());
        self.data.advance(data);
        self.after = &self.after[written - data..];
    }
}

impl Http1 {
    pub(super) fn new(link: Box<Link>, request: Request) -> Self {
        Http1 {
            link,
            request,
            head_sent: 0,
            sent_body: false,
            moved: 0,
            write_broken: false,
            heard: false,
            framing: Framing::Length(0),
            keep_alive: false,
            may_trail: false,
            limit: None,
            _under_way: None,
        }
    }

    /// The request, to be sent again.
    pub(super) fn into_request(self) -> Request {
        self.request
    }

    /// Lets the exchange count as under way until it is dropped.
    pub(super) fn counted(&mut self, under_way: Option<UnderWay>) {
        self._under_way = under_way;
    }

    /// Lets the response be broken off at `deadline`.
    pub(super) fn end_by(&mut self, deadline: Instant) {
        self.limit = Some(Box::pin(tokio::time::sleep_until(deadline)));
    }

    /// Whether the request may be sent again although it got no answer: none of its body was sent, and either a body was
    /// still to come, so that it was not complete, or it is idempotent (RFC 9110 9.2.2).
    pub(super) fn may_repeat(&self) -> bool {
        !self.sent_body && (self.request.is_uploading() || self.request.method.is_idempotent())
    }

    /// Whether all of the request was sent, and it is one that every server takes.
    pub(super) fn is_short(&self) -> bool {
        !self.request.is_uploading() && !self.write_broken && self.moved <= SHORT_BYTES
    }

    /// Sends the request and waits for the head of the response: for `patience` after the last byte was sent, and for as
    /// long while the upstream takes none. A client that is slow to send is not the upstream's fault.
    pub(super) async fn response(
        &mut self,
        patience: Duration,
        on_interim: &mut OnInterim<'_>,
    ) -> Result<Head, Failure> {
        let mut deadline = None;
        let mut moved = 0;
        let head = poll_fn(|cx| {
            if let Poll::Ready(result) = self.poll_head(cx, on_interim) {
                return Poll::Ready(result);
            }
            let waits_for_client = self.request.upload.is_some()
                && self.request.outbox.is_empty()
                && self.head_sent == self.request.head.len();
            let deadline = match deadline {
                Some(deadline) if self.moved == moved && !waits_for_client => deadline,
                _ => *deadline.insert(Instant::now() + patience),
            };
            moved = self.moved;
            (self.link.poll_alarm(cx, deadline)).map(|()| Err(Failure::ResponseTimeout))
        })
        .await?;
        self.framing = head.framing;
        self.keep_alive = head.keep_alive;
        self.may_trail = head.may_trail;
        Ok(head)
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        on_interim: &mut OnInterim<'_>,
    ) -> Poll<Result<Head, Failure>> {
        let _ = self.poll_send(cx)?;
        loop {
            if ready!(self.poll_read(cx))? == 0 {
                return Poll::Ready(Err(if self.heard {
                    Failure::Broken
                } else {
                    Failure::Closed
                }));
            }
            let Link { inbox, .. } = &mut *self.link;
            while let Some(head) = response::take_head(inbox, &self.request.method)? {
                if !head.is_interim() {
                    return Poll::Ready(Ok(head));
                }
                on_interim(head.status, head.fields);
            }
        }
    }

    /// The next piece of the response's body; the request's goes on meanwhile.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, Failure>> {
        if let Some(limit) = &mut self.limit
            && limit.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(Failure::ResponseTimeout));
        }
        if self.request.is_uploading() && !self.write_broken {
            let _ = self.poll_send(cx)?;
        }
        loop {
            if let Some(piece) = self.framing.take(&mut self.link.inbox)? {
                return Poll::Ready(Ok(piece));
            }
            if ready!(self.poll_read(cx))? == 0 {
                return Poll::Ready(if self.framing.may_end_here() {
                    Ok(Piece::End)
                } else {
                    Err(Failure::Broken)
                });
            }
        }
    }

    /// Whether the response has come to its end.
    pub(crate) fn is_done(&self) -> bool {
        self.framing.is_done()
    }

    /// How many bytes the response's body has left, if that is known.
    pub(crate) fn length(&self) -> Option<u64> {
        match self.framing {
            Framing::Length(left) => Some(left),
            _ => None,
        }
    }

    /// Gives the connection back, if the next request may use it.
    pub(crate) fn finish(self, pools: &Pools, now: u32, limit: usize) {
        let clean = self.framing.is_done() && self.link.inbox.is_empty();
        if clean && self.keep_alive && !self.request.is_uploading() && !self.write_broken {
            pools.keep(self.link, now, limit, self.may_trail);
        }
    }

    /// The connection, for what is no HTTP any more.
    pub(crate) fn into_link(self) -> Box<Link> {
        self.link
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Failure>> {
        let Link { stream, inbox, .. } = &mut *self.link;
        let room = self.framing.expected().clamp(INBOX_BYTES / 2, READ_BYTES);
        if inbox.capacity() - inbox.len() < room {
            inbox.reserve(room.max(INBOX_BYTES));
        }
        match ready!(stream.poll_fill(cx, inbox)) {
            Ok(count) => {
                self.heard |= count > 0;
                Poll::Ready(Ok(count))
            }
            Err(_) => Poll::Ready(Err(if self.heard {
                Failure::Broken
            } else {
                Failure::Closed
            })),
        }
    }

    /// Sends what there is of the request; ready when all of it is sent or the upstream takes no more.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        loop {
            if self.write_broken {
                return Poll::Ready(Ok(()));
            }
            if self.request.outbox.is_empty() {
                match self.poll_upload(cx)? {
                    Poll::Ready(true) => {}
                    // What was written goes, whether there is more to come or not.
                    part if self.head_sent == self.request.head.len() => {
                        ready!(self.poll_flush(cx));
                        return part.map(|_| Ok(()));
                    }
                    // The head does not wait for a body that is not there yet.
                    Poll::Ready(false) | Poll::Pending => {}
                }
            }
            if ready!(self.poll_write(cx)).is_err() {
                self.write_broken = true;
            }
        }
    }

    /// TLS may hold back what did not fit at once.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if ready!(Pin::new(&mut self.link.stream).poll_flush(cx)).is_err() {
            self.write_broken = true;
        }
        Poll::Ready(())
    }

    /// Moves the next part of the body to the outbox; `false` if there is none left.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Failure>> {
        let Some(upload) = &mut self.request.upload else {
            return Poll::Ready(Ok(false));
        };
        let part = ready!(upload.poll_part(cx))?;
        let chunked = upload.is_chunked();
        self.request.outbox.before.clear();
        self.request.outbox.before_sent = 0;
        match part {
            Part::Data(data) if chunked => {
                self.request
                    .outbox
                    .before
                    .extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
                self.request.outbox.data = data;
                self.request.outbox.after = b"\r\n";
            }
            Part::Data(data) => self.request.outbox.data = data,
            Part::End(trailers) => {
                self.request.upload = None;
                if !chunked {
                    return Poll::Ready(Ok(false));
                }
                self.request.outbox.before.extend_from_slice(b"0\r\n");
                if let Some(trailers) = trailers {
                    request_head::write_trailers(&mut self.request.outbox.before, &trailers);
                }
                self.request.outbox.after = b"\r\n";
            }
        }
        Poll::Ready(Ok(true))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = Pin::new(&mut self.link.stream);
        let head = &self.request.head[self.head_sent..];
        let written = if self.request.outbox.is_empty() {
            ready!(stream.poll_write(cx, head))?
        } else {
            let slices = [
                IoSlice::new(head),
                IoSlice::new(&self.request.outbox.before[self.request.outbox.before_sent..]),
                IoSlice::new(&self.request.outbox.data),
                IoSlice::new(self.request.outbox.after),
            ];
            ready!(stream.poll_write_vectored(cx, &slices))?
        };
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.moved += written as u64;
        let of_head = written.min(head.len());
        self.head_sent += of_head;
        if written > of_head {
            self.sent_body = true;
            self.request.outbox.advance(written - of_head);
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Shutdown, sync::Arc};

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixStream,
        time::sleep,
    };

    use super::*;
    use crate::upstream::{
        Stream,
        endpoint::Endpoint,
        group::tests::upstream,
        stream::tests::{fill, pair},
    };

    const PATIENCE: Duration = Duration::from_secs(2);

    fn endpoint() -> Arc<Endpoint> {
        upstream().endpoints()[0].clone()
    }

    /// A request on `stream` whose head is `bytes` long.
    fn get(endpoint: &Arc<Endpoint>, stream: Stream, bytes: usize) -> Http1 {
        let mut head = Buffer::new();
        head.resize(bytes, b'x');
        let request = Request::new(Method::GET, head, None, None);
        Http1::new(Link::new(stream, endpoint.clone(), None), request)
    }

    #[tokio::test]
    async fn a_connection_is_kept_after_a_whole_request_and_a_whole_answer() {
        let endpoint = &endpoint();
        for (length, takes_all, is_kept) in [(0, true, true), (2, true, false), (0, false, false)] {
            let pools = Pools::default();
            let (near, mut far) = UnixStream::pair().expect("a pair");
            let mut exchange = get(endpoint, Stream::Unix(near), 100);
            if !takes_all {
                let far = socket2::SockRef::from(&far);
                far.shutdown(Shutdown::Read).expect("an open socket");
            }
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            far.write_all(head.as_bytes()).await.expect("room");
            let answered = exchange.response(PATIENCE, &mut |_, _| {}).await;
            assert_eq!(answered.expect("an answer").status, StatusCode::OK);
            exchange.finish(&pools, 0, 8);
            assert_eq!(pools.take(endpoint, None, 0).is_some(), is_kept);
        }
    }

    #[tokio::test]
    async fn a_server_that_takes_a_request_slowly_is_waited_for() {
        const PARTS: usize = 10;
        const PART_BYTES: usize = 100 * 1024;
        let (near, mut far) = UnixStream::pair().expect("a pair");
        let mut exchange = get(&endpoint(), Stream::Unix(near), PARTS * PART_BYTES);
        let serve = async {
            let mut part = vec![0; PART_BYTES];
            for _ in 0..PARTS {
                sleep(PATIENCE / 8).await;
                far.read_exact(&mut part).await.expect("a part");
            }
            let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
            far.write_all(answer).await.expect("room");
            Ok(())
        };
        let mut hear = |_, _| {};
        let answered = tokio::try_join!(exchange.response(PATIENCE, &mut hear), serve);
        let (head, ()) = answered.expect("an answer");
        assert_eq!(head.status, StatusCode::NO_CONTENT);
    }

    #[tokio::test]
    async fn what_tls_has_taken_of_a_request_goes_to_the_server() {
        // All of it is taken at once, and the socket takes only a part: of what it does not, TLS takes 64 KiB.
        let (mut full, _peer) = pair().await;
        let head_bytes = fill(&mut full).await - 32 * 1024;
        let (near, mut far) = pair().await;
        let mut exchange = get(&endpoint(), near, head_bytes);
        let serve = async {
            far.read_exact(&mut vec![0; head_bytes])
                .await
                .expect("a head");
            let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
            far.write_all(answer).await.expect("room");
            far.flush().await.expect("room");
            Ok(())
        };
        let mut hear = |_, _| {};
        let answered = tokio::try_join!(exchange.response(PATIENCE, &mut hear), serve);
        let (head, ()) = answered.expect("an answer");
        assert_eq!(head.status, StatusCode::NO_CONTENT);
    }
}
