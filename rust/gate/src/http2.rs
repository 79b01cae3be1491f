//! HTTP/2 towards clients (RFC 9113): one connection, its requests side by side.
//!
//! Knows streams, their bodies and how a connection ends. Does not know what a request is about ([`crate::request`]) nor how
//! long anything may take: the worker's clock visits ([`crate::connection`]). Frames are the `h2` crate's.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use h2::{
    Reason, RecvStream, SendStream,
    ext::Protocol,
    server::{self, SendResponse},
};
use http::{
    HeaderMap, Method, Request, Response, StatusCode,
    header::{CONTENT_LENGTH, DATE, EXPECT},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::timeout,
};

use crate::{
    client_io::ClientIo,
    connection::{Connection, Ending},
    download::Download,
    fields::{Fields, is_token},
    message::{Body, Interim, RequestHead, Rest},
    passing::Client,
    request::answer,
    upload::UploadError,
    upstream::{BodyKind, Piece, clean_trailers, gather},
};

/// Most requests of a client at a time on one connection.
const MAX_STREAMS: u32 = 200;
/// What a client may send of one body, and of all, before it is wanted.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// What small pieces of data may take in memory until they are wanted; the library counts 256 bytes for each. It is a
/// stream's window in pieces of 16 bytes: who fills more of them so is ended, for the memory of others.
const SMALL_FRAMES_BYTES: usize = 16 * STREAM_WINDOW_BYTES as usize;
/// What waits for a client to take it, of each answer.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// Streams that a client has reset before they were looked at, and those that the gate has reset for their errors: beyond
/// it the connection ends (CVE-2023-44487).
const MAX_RESET_STREAMS: usize = 20;
const MAX_ERROR_STREAMS: usize = 1024;

/// Interim responses to one request, in bytes; further ones are dropped, since nobody knows whether they are taken.
const MAX_HINT_BYTES: usize = 16 * 1024;

/// A client that has its answer before it has sent its whole body (RFC 9113 8.1): how long, and how much of it, is read
/// and dropped before it is told to stop. Some look at nothing else any more when they are told so.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 256 * 1024;

/// What is said of a WebSocket at once.
const PIECE_BYTES: usize = 16 * 1024;

/// Serves a client until its connection ends. The fields of a head are at most `limit` bytes long.
pub(crate) async fn serve(io: ClientIo, connection: Rc<Connection>, limit: usize) {
    let shaking = server::Builder::new()
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(limit).unwrap_or(u32::MAX)) // bounds CONTINUATION, too
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .data_frame_budget(SMALL_FRAMES_BYTES)
        .max_send_buffer_size(SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(MAX_RESET_STREAMS)
        .max_local_error_reset_streams(Some(MAX_ERROR_STREAMS))
        // RFC 8441: WebSockets.
        .enable_connect_protocol()
        .handshake(io);
    let Some(mut serving) = until_cut(&connection, shaking).await else {
        return;
    };
    let mut told = false;
    poll_fn(|cx| {
        loop {
            let ending = connection.ending(cx);
            if ending == Ending::Now {
                return Poll::Ready(());
            }
            if ending == Ending::Soon && !told {
                told = true;
                serving.graceful_shutdown();
            }
            match serving.poll_accept(cx) {
                Poll::Ready(Some(Ok((_, mut respond)))) if told && connection.is_stranger() => {
                    // RFC 9113 8.7: it comes again with another handshake, whether it has read GOAWAY or does as if not.
                    respond.send_reset(Reason::REFUSED_STREAM);
                }
                Poll::Ready(Some(Ok((request, respond)))) => {
                    let stream = stream(connection.clone(), request, respond);
                    tokio::task::spawn_local(stream);
                    continue;
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
    // A WebSocket that waits for its service alone does not see that.
    connection.cut();
}

/// What the settings of both sides come to; `None` if that was all.
async fn until_cut<F, S, E>(connection: &Connection, shaking: F) -> Option<S>
where
    F: Future<Output = Result<S, E>>,
{
    let mut shaking = pin!(shaking);
    poll_fn(|cx| {
        if connection.ending(cx) == Ending::Now {
            return Poll::Ready(None);
        }
        shaking.as_mut().poll(cx).map(Result::ok)
    })
    .await
}

/// Answers one request.
async fn stream(
    connection: Rc<Connection>,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
) {
    let (mut parts, body) = request.into_parts();
    let reply = Rc::new(Reply {
        respond: RefCell::new(respond),
        room: Cell::new(MAX_HINT_BYTES),
        unread: Cell::new(None),
    });
    if !parts.headers.keys().all(is_token) {
        return reply.reset(Reason::PROTOCOL_ERROR);
    }
    let mut conversation = None;
    let body = if parts.method == Method::CONNECT {
        // RFC 9113 8.5: what follows is no body.
        if parts.headers.contains_key(CONTENT_LENGTH) {
            return reply.reset(Reason::PROTOCOL_ERROR);
        }
        conversation = Some(body);
        Body::None
    } else {
        match kind(&parts.headers, &body) {
            BodyKind::None => Body::None,
            kind => {
                let expects = (parts.headers.get(EXPECT))
                    .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
                let incoming = Incoming {
                    stream: Some(body),
                    reply: reply.clone(),
                    asks: expects,
                    data_done: false,
                };
                Body::Http2(incoming, kind)
            }
        }
    };
    let head = RequestHead {
        method: parts.method,
        uri: parts.uri,
        version: parts.version,
        protocol: parts.extensions.remove::<Protocol>(),
        fields: parts.headers.into(),
    };
    let answered = {
        let interim = Some(Interim::Http2(reply.clone()));
        let mut answering = pin!(answer(connection, head, body, interim));
        poll_fn(|cx| match answering.as_mut().poll(cx) {
            Poll::Ready(answered) => Poll::Ready(Some(answered)),
            // It does not want the answer any more.
            Poll::Pending => reply.poll_reset(cx).map(|()| None),
        })
        .await
    };
    let answered = match answered {
        Some(Ok(answered)) => answered,
        Some(Err(_)) => return reply.reset(Reason::INTERNAL_ERROR),
        None => return,
    };
    let mut response = Response::new(());
    *response.status_mut() = answered.status;
    *response.headers_mut() = answered.fields.into_map();
    response
        .headers_mut()
        .entry(DATE)
        .or_insert_with(crate::http1::date);
    match answered.rest {
        Rest::Body(download) => {
            let over = download.is_over();
            if let Some(stream) = reply.send(response, over)
                && !over
            {
                send(stream, download).await;
            }
        }
        Rest::Relay(relay) => {
            // Nothing but an extended CONNECT is switched.
            match conversation {
                Some(receiving) => {
                    if let Some(sending) = reply.send(response, false) {
                        relay.start(Conversation::new(receiving, sending));
                    }
                }
                None => reply.reset(Reason::INTERNAL_ERROR),
            }
        }
    }
    if let Some(body) = reply.unread.take() {
        linger(body).await;
    }
}

/// RFC 9113 8.1.1: how long a body is, as far as that is said. That what comes is as long, the library sees to.
fn kind(fields: &HeaderMap, body: &RecvStream) -> BodyKind {
    let is_told = fields.contains_key(CONTENT_LENGTH);
    if body.is_end_stream() {
        return if is_told {
            BodyKind::Length(0)
        } else {
            BodyKind::None
        };
    }
    match length(fields) {
        Some(length) => BodyKind::Length(length),
        None => BodyKind::Chunked,
    }
}

/// RFC 9110 8.6: a number, perhaps several times.
fn length(fields: &HeaderMap) -> Option<u64> {
    let mut found = None;
    for value in fields.get_all(CONTENT_LENGTH) {
        for text in value.to_str().ok()?.split(',') {
            let text = text.trim_matches([' ', '\t']);
            if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            let length: u64 = text.parse().ok()?;
            if found.is_some_and(|found| found != length) {
                return None;
            }
            found = Some(length);
        }
    }
    found
}

/// Where an answer goes.
pub(crate) struct Reply {
    respond: RefCell<SendResponse<Bytes>>,
    /// How many bytes of interim responses there may still be.
    room: Cell<usize>,
    /// The rest of a body that nobody wants.
    unread: Cell<Option<RecvStream>>,
}

impl Reply {
    /// Passes an interim response on (RFC 9113 8.1).
    pub(crate) fn hint(&self, status: StatusCode, fields: Fields) {
        let size = 32
            + fields
                .iter()
                .map(|(name, value)| name.len() + value.len() + 32)
                .sum::<usize>();
        let Some(left) = self.room.get().checked_sub(size) else {
            return;
        };
        self.room.set(left);
        let mut response = Response::new(());
        *response.status_mut() = status;
        *response.headers_mut() = fields.into_map();
        // An error shows again with the answer.
        let _ = self.respond.borrow_mut().send_informational(response);
    }

    /// Ready when the client does not want the answer any more, or is gone.
    fn poll_reset(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.respond.borrow_mut().poll_reset(cx).map(|_| ())
    }

    fn reset(&self, reason: Reason) {
        self.respond.borrow_mut().send_reset(reason);
    }

    /// Sends the head of the answer; `None` if the client has gone away.
    fn send(&self, response: Response<()>, over: bool) -> Option<SendStream<Bytes>> {
        let sent = self.respond.borrow_mut().send_response(response, over);
        if sent.is_err() {
            self.reset(Reason::INTERNAL_ERROR);
        }
        sent.ok()
    }
}

/// Sends the body of an answer, as fast as the client takes it.
async fn send(mut stream: SendStream<Bytes>, mut download: Download) {
    // What is to be sent next, and whether it is the last.
    let mut next: Option<(Bytes, bool)> = None;
    poll_fn(|cx| {
        loop {
            if stream.poll_reset(cx).is_ready() {
                return Poll::Ready(());
            }
            if next.is_some() {
                match poll_room(&mut stream, cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => {
                        download.hold(cx);
                        return Poll::Pending;
                    }
                }
            }
            if let Some((data, last)) = next.take() {
                if stream.send_data(data, last).is_err() || last {
                    return Poll::Ready(());
                }
                continue;
            }
            // Asked for before there is room: an answer that has nothing to say holds no part of what the client takes of
            // all of them.
            let _ = match ready!(download.poll_piece(cx)) {
                Ok(Piece::Data(data)) => {
                    let last = download.is_over();
                    if !data.is_empty() {
                        stream.reserve_capacity(1);
                        next = Some((data, last));
                        continue;
                    }
                    if !last {
                        continue;
                    }
                    stream.send_data(data, true)
                }
                Ok(Piece::Trailers(trailers)) => stream.send_trailers(clean_trailers(&trailers)),
                Ok(Piece::End) => stream.send_data(Bytes::new(), true),
                Err(_) => {
                    stream.send_reset(Reason::INTERNAL_ERROR);
                    Ok(())
                }
            };
            return Poll::Ready(());
        }
    })
    .await;
}

/// Ready when something can be sent of what room was asked for.
fn poll_room(stream: &mut SendStream<Bytes>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    while stream.capacity() == 0 {
        match ready!(stream.poll_capacity(cx)) {
            Some(Ok(_)) => {}
            Some(Err(error)) => return Poll::Ready(Err(broken(error))),
            None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }
    Poll::Ready(Ok(()))
}

/// A request's body, as it comes.
pub(crate) struct Incoming {
    /// There until it is dropped.
    stream: Option<RecvStream>,
    reply: Rc<Reply>,
    /// Whether the client waits to be asked for it (RFC 9110 10.1.1).
    asks: bool,
    data_done: bool,
}

impl Incoming {
    /// The next piece. The client is asked for it, and gets room for more, by this and by nothing else.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, UploadError>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Err(UploadError::Broken));
        };
        if !self.data_done {
            let data = stream.poll_data(cx);
            if std::mem::take(&mut self.asks) && data.is_pending() {
                self.reply.hint(StatusCode::CONTINUE, Fields::default());
            }
            match ready!(data) {
                Some(Ok(data)) => {
                    let data = gather(data, || match stream.poll_data(cx) {
                        Poll::Ready(Some(Ok(data))) => Some(data),
                        Poll::Ready(None) => {
                            self.data_done = true;
                            None
                        }
                        // An error is there again the next time.
                        Poll::Ready(Some(Err(_))) | Poll::Pending => None,
                    });
                    let _ = stream.flow_control().release_capacity(data.len());
                    return Poll::Ready(Ok(Piece::Data(data)));
                }
                Some(Err(_)) => return Poll::Ready(Err(UploadError::Broken)),
                None => self.data_done = true,
            }
        }
        Poll::Ready(match ready!(stream.poll_trailers(cx)) {
            Ok(Some(trailers)) => Ok(Piece::Trailers(trailers)),
            Ok(None) => Ok(Piece::End),
            Err(_) => Err(UploadError::Broken),
        })
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // A client that was not asked for it does not send it.
        if !self.asks {
            self.reply.unread.set(self.stream.take());
        }
    }
}

/// Reads the rest of a body, for a while.
async fn linger(mut body: RecvStream) {
    let mut left = LINGER_BYTES;
    let reading = async {
        while let Some(Ok(data)) = body.data().await {
            let _ = body.flow_control().release_capacity(data.len());
            if data.len() > left {
                return;
            }
            left -= data.len();
        }
    };
    let _ = timeout(LINGER, reading).await;
}

/// A stream that has become a WebSocket (RFC 8441 5): bytes both ways.
pub(crate) struct Conversation {
    receiving: RecvStream,
    sending: SendStream<Bytes>,
    /// What came and was not yet read.
    left: Bytes,
}

impl Conversation {
    fn new(receiving: RecvStream, sending: SendStream<Bytes>) -> Conversation {
        Conversation {
            receiving,
            sending,
            left: Bytes::new(),
        }
    }
}

impl AsyncRead for Conversation {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.left.is_empty() {
            match ready!(self.receiving.poll_data(cx)) {
                Some(Ok(data)) => self.left = data,
                // RFC 8441 5: what TCP calls a reset. Its client takes nothing more, so the service is not waited for.
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = self.left.len().min(buffer.remaining());
        buffer.put_slice(&self.left[..count]);
        self.left.advance(count);
        let _ = self.receiving.flow_control().release_capacity(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Conversation {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let wanted = bytes.len().min(PIECE_BYTES);
        self.sending.reserve_capacity(wanted);
        ready!(poll_room(&mut self.sending, cx))?;
        let count = self.sending.capacity().min(wanted);
        let data = Bytes::copy_from_slice(&bytes[..count]);
        self.sending.send_data(data, false).map_err(broken)?;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection's task writes what there is.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Asked for once: it is ready at once.
        let end = self.sending.send_data(Bytes::new(), true);
        Poll::Ready(end.map_err(broken))
    }
}

impl Client for Conversation {
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.sending.poll_reset(cx).map(|_| ())
    }
}

fn broken(error: h2::Error) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, error)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_length_is_one_number_however_often() {
        for (values, expected) in [
            (&["5"][..], Some(5)),
            (&["5", "5"], Some(5)),
            (&["5, 5"], Some(5)),
            (&["5", "6"], None),
            (&["5,"], None),
            (&["+5"], None),
            (&["99999999999999999999"], None),
            (&[], None),
        ] {
            let mut fields = HeaderMap::new();
            for value in values {
                fields.append(CONTENT_LENGTH, HeaderValue::from_static(value));
            }
            assert_eq!(length(&fields), expected, "{values:?}");
        }
    }
}
