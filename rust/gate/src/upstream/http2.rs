//! HTTP/2 to upstreams (RFC 9113): connections that many requests of a client share, and one request and its response on a
//! stream.
//!
//! The head is the one that HTTP/1.1 would have, read back: what is added to a request and left out of it is decided in one
//! place. Data flows as fast as its reader takes it, both ways.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use h2::{
    Reason, RecvStream, SendStream,
    client::{ResponseFuture, SendRequest},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri,
    header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE},
    uri::Scheme,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc::{UnboundedSender, unbounded_channel},
    time::{Instant, Sleep},
};

use super::{
    endpoint::{Endpoint, UnderWay},
    exchange::{Failure, OnInterim, Request, SHORT_BYTES},
    pool::Home,
    request_head,
    response::{Framing, Head, Piece, digits, gather},
};
use crate::{
    fields::{Fields, is_token},
    upload::Part,
};

/// Most requests at a time on one connection.
const MAX_STREAMS: usize = 100;
/// What a server may send of one response before somebody takes it. Enough for a fast network, and so much of all streams
/// together that clients which take nothing hold up no other.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = STREAM_WINDOW_BYTES * MAX_STREAMS as u32;
/// What small pieces of data may take in memory; the library counts 256 bytes for each, and ends the connection beyond. More
/// than is read at once of the smallest ones: what has come is taken from the library, whether its client takes it or not.
const SMALL_FRAMES_BYTES: usize = 32 * 1024 * 1024;
/// The largest piece of what was held.
const PIECE_BYTES: usize = 16 * 1024;
/// Longest head of a response.
const MAX_HEAD_BYTES: u32 = 64 * 1024;
/// What waits for a server to take it, of each request.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// The largest frame that any server takes (RFC 9113 4.2).
const FRAME_BYTES: usize = 16 * 1024;
/// The smallest frame of a body that is sent before its last one, where there is data for more. Servers take many small
/// ones for an attack, and end the connection: Tomcat after two of some octets each.
const WORTH_BYTES: usize = 2 * 1024;
/// Frames that are smaller, other than the last of a body, a server may hold against a connection when others use it.
const SMALL_BYTES: usize = 128;
/// How long room for a frame that is worth it is waited for, where there is less (as for TCP, RFC 1122 4.2.3.4).
const HELD_BACK: Duration = Duration::from_millis(100);
/// Requests of which a server is told that nobody wants them any more (RST_STREAM), on one connection. Servers end one on
/// which they are told so too often, and with it the client's other requests (CVE-2023-44487): Tomcat after a few already,
/// unless others are answered between.
const MAX_RESETS: u32 = 3;
/// A connection may have one more after so many answers, no sooner than that.
const ANSWERS_PER_RESET: u32 = 16;
const TIME_PER_RESET: Duration = Duration::from_millis(100);
/// How long, and how much of it, a response goes on unheard while others are under way on its connection.
const UNHEARD: Duration = Duration::from_secs(30);
const UNHEARD_BYTES: usize = STREAM_WINDOW_BYTES as usize;

/// A connection on which requests run side by side.
#[derive(Clone)]
pub(super) struct Connection {
    send: SendRequest<Bytes>,
    scheme: Scheme,
    state: Rc<State>,
}

#[derive(Debug)]
struct State {
    /// Requests under way, but for what goes on unheard.
    active: Cell<usize>,
    /// Nothing new is sent on it: it has ended, there was doubt, or it has had its resets.
    closed: Cell<bool>,
    /// Something was sent on it that its server may end it for, whatever else runs there: large fields, little pieces, or
    /// that a request is given up.
    worn: Cell<bool>,
    /// Where it leads.
    endpoint: Arc<Endpoint>,
    resets: RefCell<Resets>,
    /// To the task that runs it: what goes on unheard; `None` when nothing else is under way.
    unheard: UnboundedSender<Option<Unheard>>,
}

impl Connection {
    /// Begins HTTP/2 on `stream` to `endpoint`; the connection runs until its last request is over and nobody keeps it.
    pub(super) async fn start<S>(
        stream: S,
        scheme: Scheme,
        endpoint: Arc<Endpoint>,
    ) -> Result<Connection, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let (send, mut connection) = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .data_frame_budget(SMALL_FRAMES_BYTES)
            .max_header_list_size(MAX_HEAD_BYTES)
            .max_send_buffer_size(SEND_BUFFER_BYTES)
            .enable_push(false)
            .handshake(stream)
            .await
            .map_err(|error| failure_of(&error))?;
        let (unheard, mut given_up) = unbounded_channel();
        let state = Rc::new(State {
            active: Cell::new(0),
            closed: Cell::new(false),
            worn: Cell::new(false),
            endpoint,
            resets: RefCell::new(Resets::new(Instant::now())),
            unheard,
        });
        let running = state.clone();
        tokio::task::spawn_local(async move {
            let mut all: Vec<Unheard> = Vec::new();
            let end = poll_fn(|cx| {
                while let Poll::Ready(Some(one)) = given_up.poll_recv(cx) {
                    all.extend(one);
                }
                if running.active.get() == 0 {
                    all.clear(); // which resets them: it harms nobody
                }
                all.retain_mut(|one| one.poll(cx).is_pending());
                Pin::new(&mut connection).poll(cx)
            });
            let _ = end.await;
            running.closed.set(true);
        });
        Ok(Connection {
            send,
            scheme,
            state,
        })
    }

    /// Whether another request may be sent on it.
    pub(super) fn has_room(&self) -> bool {
        !self.state.closed.get()
            && self.state.active.get()
                < MAX_STREAMS.min(self.send.current_max_send_streams().max(1))
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.closed.get()
    }

    /// Whether another client may go on with it, as if it were new.
    pub(super) fn is_clean(&self) -> bool {
        !self.is_closed() && !self.state.worn.get()
    }

    pub(super) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.state.endpoint
    }

    pub(super) fn is(&self, other: &Connection) -> bool {
        Rc::ptr_eq(&self.state, &other.state)
    }

    /// A place for a request, which counts until it is dropped; with the last one the connection goes back to `home`.
    pub(super) fn enter(&self, home: Option<Home>) -> Place {
        self.state.active.set(self.state.active.get() + 1);
        Place {
            connection: self.clone(),
            home,
        }
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// A request's place on a connection.
#[derive(Debug)]
pub(super) struct Place {
    connection: Connection,
    home: Option<Home>,
}

impl Place {
    /// Sends nothing new on this connection: what runs ends.
    pub(super) fn doubt(&self) {
        self.connection.state.closed.set(true);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let state = &self.connection.state;
        state.active.set(state.active.get() - 1);
        if state.active.get() > 0 {
            return;
        }
        if state.closed.get() {
            let _ = state.unheard.send(None);
        }
        if let Some(home) = &self.home {
            home.take_back(&self.connection);
        }
    }
}

/// How many streams may yet be reset on a connection.
#[derive(Debug)]
struct Resets {
    left: u32,
    /// Since the last one came back.
    answers: u32,
    since: Instant,
}

impl Resets {
    fn new(now: Instant) -> Resets {
        Resets {
            left: MAX_RESETS,
            answers: 0,
            since: now,
        }
    }

    /// A request was answered to its end.
    fn earn(&mut self, now: impl FnOnce() -> Instant) {
        if self.left == MAX_RESETS {
            return;
        }
        self.answers += 1;
        if self.answers >= ANSWERS_PER_RESET {
            let now = now();
            if now - self.since >= TIME_PER_RESET {
                (self.left, self.answers, self.since) = (self.left + 1, 0, now);
            }
        }
    }

    /// Takes one, if there is one.
    fn take(&mut self, now: Instant) -> bool {
        if self.left == MAX_RESETS {
            (self.answers, self.since) = (0, now);
        }
        let is_left = self.left > 0;
        self.left -= u32::from(is_left);
        is_left
    }
}

/// A stream: the library resets it (CANCEL) when this is dropped before its end.
#[derive(Debug)]
struct Wire {
    send: SendStream<Bytes>,
    response: ResponseFuture,
    body: Option<RecvStream>,
}

/// A response that nobody wants, and whose server is not told so.
#[derive(Debug)]
struct Unheard {
    wire: Wire,
    /// What of it may still come; the server waits with the rest.
    left: usize,
    limit: Option<Pin<Box<Sleep>>>,
}

impl Unheard {
    fn new(wire: Wire) -> Unheard {
        Unheard {
            wire,
            left: UNHEARD_BYTES,
            limit: None,
        }
    }

    /// Takes what comes; ready at its end, or when it went on for long enough.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(body) = &mut self.wire.body {
                match body.poll_data(cx) {
                    Poll::Ready(Some(Ok(data))) => {
                        let size = data.len().min(self.left);
                        self.left -= size;
                        let _ = body.flow_control().release_capacity(size);
                    }
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => break,
                }
            } else {
                match Pin::new(&mut self.wire.response).poll(cx) {
                    Poll::Ready(Ok(response)) => self.wire.body = Some(response.into_body()),
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => break,
                }
            }
        }
        let limit = (self.limit).get_or_insert_with(|| Box::pin(tokio::time::sleep(UNHEARD)));
        limit.as_mut().poll(cx)
    }
}

/// A request on its way, and its response.
#[derive(Debug)]
pub(crate) struct Http2 {
    request: Request,
    place: Place,
    /// There until the server breaks it off, or this is dropped.
    wire: Option<Wire>,
    /// Data of the request's body for which there is no room yet.
    data: Bytes,
    throttle: Throttle,
    sent_body: bool,
    moved: u64,
    write_broken: bool,
    /// What has come of the response's body while its client took nothing: no more than the stream's window, which has no
    /// room again before it is taken.
    held: BytesMut,
    /// What is left of the response's body, where it was said how long it is.
    left: Option<u64>,
    data_done: bool,
    done: bool,
    limit: Option<Pin<Box<Sleep>>>,
    /// The server says that it is asked too much (RFC 9113 7).
    overtaxed: bool,
    _under_way: Option<UnderWay>,
}

impl Http2 {
    /// Sends the head of `request`; gives it back where the connection takes no more requests, or none like it.
    pub(super) async fn open(place: Place, request: Request) -> Result<Http2, (Failure, Request)> {
        let Some(head) = head_of(&request.head, &place.connection.scheme) else {
            return Err((Failure::Unsayable, request));
        };
        let mut send = place.connection.send.clone();
        let opened = match poll_fn(|cx| send.poll_ready(cx)).await {
            Ok(()) => send.send_request(head, request.upload.is_none()),
            Err(error) => Err(error),
        };
        if request.head.len() as u64 > SHORT_BYTES {
            place.connection.state.worn.set(true);
        }
        match opened {
            Ok((response, send)) => Ok(Http2 {
                request,
                place,
                wire: Some(Wire {
                    send,
                    response,
                    body: None,
                }),
                data: Bytes::new(),
                throttle: Throttle::default(),
                sent_body: false,
                moved: 0,
                write_broken: false,
                held: BytesMut::new(),
                left: None,
                data_done: false,
                done: false,
                limit: None,
                overtaxed: false,
                _under_way: None,
            }),
            Err(_) => {
                place.doubt();
                Err((Failure::Refused, request))
            }
        }
    }

    pub(super) fn into_request(mut self) -> Request {
        std::mem::take(&mut self.request)
    }

    pub(super) fn counted(&mut self, under_way: Option<UnderWay>) {
        self._under_way = under_way;
    }

    pub(super) fn end_by(&mut self, deadline: Instant) {
        self.limit = Some(Box::pin(tokio::time::sleep_until(deadline)));
    }

    /// As for HTTP/1.1; and whether no other request on its connection can be what the server ended that for.
    pub(super) fn is_short(&self) -> bool {
        let length = self.request.head.len() as u64 + self.moved;
        let is_sent = !self.request.is_uploading() && self.data.is_empty() && !self.write_broken;
        let is_worn = self.place.connection.state.worn.get();
        is_sent && length <= SHORT_BYTES && !self.overtaxed && !is_worn
    }

    /// As for HTTP/1.1; what the server has not taken (RFC 9113 8.7) may be sent again whatever it is.
    pub(super) fn may_repeat(&self, failure: Failure) -> bool {
        !self.sent_body
            && self.data.is_empty()
            && (failure == Failure::Refused
                || self.request.is_uploading()
                || self.request.method.is_idempotent())
    }

    /// The head of the response, for which to wait as [`super::exchange::Http1::response`] does.
    pub(super) async fn response(
        &mut self,
        patience: Duration,
        on_interim: &mut OnInterim<'_>,
    ) -> Result<Head, Failure> {
        let mut limit = pin!(tokio::time::sleep(patience));
        let mut moved = 0;
        let response = poll_fn(|cx| {
            if let Poll::Ready(Err(failure)) = self.poll_send(cx) {
                return Poll::Ready(Err(failure));
            }
            let Some(wire) = &mut self.wire else {
                return Poll::Ready(Err(Failure::Broken));
            };
            while let Poll::Ready(Some(interim)) = wire.response.poll_informational(cx) {
                let Ok(interim) = interim else { break };
                let (head, ()) = interim.into_parts();
                if head.status == StatusCode::SWITCHING_PROTOCOLS {
                    let failure = Failure::Bad("its status is 101, which HTTP/2 has not"); // RFC 9113 8.6
                    return Poll::Ready(Err(failure));
                }
                on_interim(head.status, fields_of(head.status, head.headers)?);
            }
            if let Poll::Ready(response) = Pin::new(&mut wire.response).poll(cx) {
                return Poll::Ready(response.map_err(|error| {
                    self.wire = None;
                    self.overtaxed =
                        error.is_remote() && error.reason() == Some(Reason::ENHANCE_YOUR_CALM);
                    failure_of(&error)
                }));
            }
            let waits_for_client = self.request.upload.is_some() && self.data.is_empty();
            if self.moved != moved || waits_for_client {
                moved = self.moved;
                limit.as_mut().reset(Instant::now() + patience);
            }
            ready!(limit.as_mut().poll(cx));
            // The connection may be dead rather than the request slow.
            self.place.doubt();
            Poll::Ready(Err(Failure::ResponseTimeout))
        })
        .await?;
        let (head, body) = response.into_parts();
        let fields = fields_of(head.status, head.headers)?;
        // RFC 9110 6.4.1: these have no body, whatever comes.
        let is_bodiless = self.request.method == Method::HEAD
            || head.status == StatusCode::NO_CONTENT
            || head.status == StatusCode::NOT_MODIFIED;
        self.done = is_bodiless || body.is_end_stream();
        self.left = fields.get(&CONTENT_LENGTH).and_then(digits);
        if let Some(wire) = &mut self.wire {
            wire.body = Some(body);
        }
        Ok(Head {
            status: head.status,
            fields,
            framing: Framing::UntilClose,
            keep_alive: false,
            may_trail: false,
        })
    }

    /// The next piece of the response's body; the request's goes on meanwhile.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, Failure>> {
        if let Some(limit) = &mut self.limit
            && limit.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(Failure::ResponseTimeout));
        }
        if let Poll::Ready(Err(failure)) = self.poll_send(cx) {
            return Poll::Ready(Err(failure));
        }
        if self.done {
            return Poll::Ready(Ok(Piece::End));
        }
        let piece = self.poll_rest(cx);
        if matches!(piece, Poll::Ready(Err(_))) {
            self.wire = None;
        }
        piece
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, Failure>> {
        let Some(body) = self.wire.as_mut().and_then(|wire| wire.body.as_mut()) else {
            return Poll::Ready(Err(Failure::Broken));
        };
        while !self.held.is_empty() || !self.data_done {
            let data = if self.held.is_empty() {
                match ready!(poll_data(body, &mut self.data_done, cx)) {
                    Some(Ok(first)) => gather(first, || {
                        match poll_data(body, &mut self.data_done, cx) {
                            Poll::Ready(Some(Ok(data))) => Some(data),
                            // An error is there again the next time.
                            _ => None,
                        }
                    }),
                    Some(Err(_)) => return Poll::Ready(Err(Failure::Broken)),
                    None => break,
                }
            } else {
                let length = self.held.len().min(PIECE_BYTES);
                self.held.split_to(length).freeze()
            };
            // Whoever asks for a piece takes it: there is room for as much again.
            let _ = body.flow_control().release_capacity(data.len());
            if let Some(left) = &mut self.left {
                *left = left.saturating_sub(data.len() as u64);
            }
            if !data.is_empty() {
                return Poll::Ready(Ok(Piece::Data(data)));
            }
        }
        let trailers = ready!(body.poll_trailers(cx)).map_err(|_| Failure::Broken)?;
        self.done = true;
        Poll::Ready(Ok(trailers.map_or(Piece::End, Piece::Trailers)))
    }

    /// Takes what has come of the body from the library, which keeps a place for each frame, however small.
    pub(super) fn hold(&mut self, cx: &mut Context<'_>) {
        if self.done {
            return;
        }
        let Some(body) = self.wire.as_mut().and_then(|wire| wire.body.as_mut()) else {
            return;
        };
        while !self.data_done
            // An error is there again the next time.
            && let Poll::Ready(Some(Ok(data))) = poll_data(body, &mut self.data_done, cx)
        {
            self.held.extend_from_slice(&data);
        }
    }

    /// Whether the response has come to its end.
    pub(super) fn is_done(&self) -> bool {
        self.has_come() && self.held.is_empty()
    }

    /// Whether its end is here, though perhaps not taken.
    fn has_come(&self) -> bool {
        let body = self.wire.as_ref().and_then(|wire| wire.body.as_ref());
        self.done || body.is_some_and(RecvStream::is_end_stream)
    }

    /// How many bytes the response's body has left, if that is known.
    pub(super) fn length(&self) -> Option<u64> {
        if self.is_done() { Some(0) } else { self.left }
    }

    /// Sends what there is of the body; ready when all of it is sent or the server takes no more.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        while let Some(upload) = self.request.upload.as_mut().filter(|_| !self.write_broken) {
            let Some(wire) = &mut self.wire else { break };
            let room = self.throttle.poll_room(&mut wire.send, self.data.len(), cx);
            let Some(room) = ready!(room) else {
                self.write_broken = true; // A response may be there all the same.
                break;
            };
            let mut end = None;
            if room == self.data.len() && room < WORTH_BYTES {
                // With little data goes what else is there, and the end.
                match upload.poll_part(cx) {
                    Poll::Ready(Ok(Part::Data(more))) => {
                        self.data = joined(std::mem::take(&mut self.data), more);
                        continue;
                    }
                    Poll::Ready(Ok(Part::End(trailers))) => end = Some(trailers),
                    // Whoever hears of it drops this.
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                    Poll::Pending if room == 0 => return Poll::Pending,
                    Poll::Pending => {}
                }
            }
            self.sent_body = true;
            self.moved += room.max(1) as u64;
            if end.is_some() {
                self.request.upload = None;
            }
            let is_last = end == Some(None);
            let mut sent = Ok(());
            if room > 0 || is_last {
                if room < SMALL_BYTES && !is_last {
                    self.place.connection.state.worn.set(true);
                }
                sent = wire.send.send_data(self.data.split_to(room), is_last);
            }
            if let Some(Some(trailers)) = end {
                let trailers = request_head::clean_trailers(&trailers);
                sent = sent.and_then(|()| wire.send.send_trailers(trailers));
            }
            self.write_broken = sent.is_err();
        }
        Poll::Ready(Ok(()))
    }
}

/// Holds back what is not worth a frame.
#[derive(Debug, Default)]
struct Throttle {
    /// The most room that there was.
    most: usize,
    limit: Option<Pin<Box<Sleep>>>,
}

impl Throttle {
    /// How much of `wanted` bytes may be sent now; `None` if the server takes no more.
    fn poll_room(
        &mut self,
        send: &mut SendStream<Bytes>,
        wanted: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Option<usize>> {
        if wanted == 0 {
            return Poll::Ready(Some(0));
        }
        // The library would cut more into a large frame and perhaps a small one.
        let wanted = wanted.min(FRAME_BYTES);
        send.reserve_capacity(wanted);
        loop {
            let room = send.capacity().min(wanted);
            self.most = self.most.max(room);
            // There are servers that never have room for more.
            let worth = wanted.min(WORTH_BYTES).min(self.most.div_ceil(2));
            if room > 0 && room >= worth {
                self.limit = None;
                return Poll::Ready(Some(room));
            }
            match send.poll_capacity(cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(_) => return Poll::Ready(None),
                Poll::Pending if room == 0 => return Poll::Pending,
                Poll::Pending => {
                    let limit =
                        (self.limit).get_or_insert_with(|| Box::pin(tokio::time::sleep(HELD_BACK)));
                    ready!(limit.as_mut().poll(cx));
                    self.limit = None;
                    return Poll::Ready(Some(room));
                }
            }
        }
    }
}

fn joined(data: Bytes, more: Bytes) -> Bytes {
    if data.is_empty() {
        return more;
    }
    let mut joined = BytesMut::with_capacity(data.len() + more.len());
    joined.extend_from_slice(&data);
    joined.extend_from_slice(&more);
    joined.freeze()
}

impl Drop for Http2 {
    /// What is not over is given up.
    fn drop(&mut self) {
        let is_said = self.write_broken || (self.request.upload.is_none() && self.data.is_empty());
        let is_over = is_said && self.has_come();
        let Some(wire) = self.wire.take() else {
            return;
        };
        let state = &self.place.connection.state;
        let mut resets = state.resets.borrow_mut();
        if is_over {
            resets.earn(Instant::now);
        } else if !resets.take(Instant::now()) {
            let _ = state.unheard.send(Some(Unheard::new(wire)));
        } else {
            state.worn.set(true);
            if resets.left == 0 {
                state.closed.set(true);
            }
        }
    }
}

/// The data of the next frame; `done` once there is none any more.
fn poll_data(
    body: &mut RecvStream,
    done: &mut bool,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Bytes, h2::Error>>> {
    let data = ready!(body.poll_data(cx));
    *done = data.is_none();
    Poll::Ready(data)
}

/// Reads back the head that HTTP/1.1 would have.
fn head_of(head: &[u8], scheme: &Scheme) -> Option<http::Request<()>> {
    let head = Bytes::copy_from_slice(head);
    // As many as there are: a client's fields are bounded by their bytes alone.
    let lines = head.iter().filter(|byte| **byte == b'\n').count();
    let mut fields = vec![httparse::EMPTY_HEADER; lines];
    let mut parsed = httparse::Request::new(&mut fields);
    parsed
        .parse(&head)
        .ok()
        .filter(httparse::Status::is_complete)?;
    let mut request = http::Request::new(());
    *request.version_mut() = http::Version::HTTP_2;
    *request.method_mut() = parsed.method?.parse().ok()?;
    let mut authority = "";
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        match name {
            HOST => authority = str::from_utf8(field.value).ok()?,
            // RFC 9113 8.2.2.
            CONNECTION | TRANSFER_ENCODING | UPGRADE => {}
            name => {
                let value = HeaderValue::from_maybe_shared(head.slice_ref(field.value)).ok()?;
                request.headers_mut().append(name, value);
            }
        }
    }
    *request.uri_mut() = Uri::builder()
        .scheme(scheme.clone())
        .authority(authority)
        .path_and_query(parsed.path?)
        .build()
        .ok()?;
    Some(request)
}

/// The fields of a response's head as they may be said in HTTP/1.1.
fn fields_of(status: StatusCode, mut headers: HeaderMap) -> Result<Fields, Failure> {
    if !headers.keys().all(is_token) {
        return Err(Failure::Bad("the name of a field is none"));
    }
    // RFC 9113 8.2.2: all else that concerns a connection of HTTP/1.1 the library refuses.
    headers.remove(TE);
    // The same one may have come several times.
    if let Some(length) = headers.remove(CONTENT_LENGTH) {
        if digits(length.as_bytes()).is_none() {
            return Err(Failure::Bad("its Content-Length is no number"));
        }
        // RFC 9110 8.6: must not be there.
        if !(status.is_informational() || status == StatusCode::NO_CONTENT) {
            headers.insert(CONTENT_LENGTH, length);
        }
    }
    Ok(headers.into())
}

/// Why there is no response.
fn failure_of(error: &h2::Error) -> Failure {
    let refused = error.reason() == Some(Reason::REFUSED_STREAM);
    // A GOAWAY without an error reaches only the requests that it names as not taken (RFC 9113 6.8).
    let left_out = error.is_go_away() && error.reason() == Some(Reason::NO_ERROR);
    if error.is_remote() && (refused || left_out) {
        Failure::Refused
    } else if error.is_io() {
        Failure::Closed
    } else if error.is_remote() {
        Failure::Broken
    } else {
        Failure::Bad("it breaks HTTP/2")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spare::Buffer;
    use tokio::sync::Notify;

    #[test]
    fn a_head_is_read_back_without_what_concerns_a_connection() {
        let head = b"GET /x?y=z HTTP/1.1\r\nhost: a.test\r\naccept: */*\r\ntransfer-encoding: chunked\r\nconnection: te\r\nte: trailers\r\nclient-cert: :b3Vycw==:\r\n\r\n";
        let head = head_of(head, &Scheme::HTTPS).unwrap();
        assert_eq!(head.uri(), "https://a.test/x?y=z");
        let names: Vec<&str> = head.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["accept", "te", "client-cert"]);
    }

    /// What a server, which answers `/kept` in the end, notes: streams of which it is told that they are given up, and
    /// bytes that it may send as the answer to `/large`, which has no end.
    #[derive(Default)]
    struct Noted {
        end: Notify,
        told: Cell<usize>,
        sent: Cell<usize>,
    }

    async fn serve(far: tokio::io::DuplexStream, noted: Rc<Noted>) {
        let mut serving = h2::server::handshake(far).await.expect("a connection");
        while let Some(Ok((request, mut respond))) = serving.accept().await {
            let noted = noted.clone();
            tokio::task::spawn_local(async move {
                if request.uri().path() == "/kept" {
                    noted.end.notified().await;
                    let _ = respond.send_response(http::Response::new(()), true);
                    return;
                }
                if request.uri().path() == "/large" {
                    let sending = respond.send_response(http::Response::new(()), false);
                    let mut sending = sending.expect("a stream");
                    sending.reserve_capacity(1 << 24);
                    while let Some(Ok(room)) = poll_fn(|cx| sending.poll_capacity(cx)).await {
                        let _ = sending.send_data(vec![0; room].into(), false);
                        noted.sent.set(noted.sent.get() + room);
                    }
                } else if poll_fn(|cx| respond.poll_reset(cx)).await.is_err() {
                    return;
                }
                noted.told.set(noted.told.get() + 1);
            });
        }
    }

    fn place_to_go() -> Arc<Endpoint> {
        crate::upstream::group::tests::upstream()
            .endpoints()
            .remove(0)
    }

    async fn started() -> (Connection, Rc<Noted>) {
        let (near, far) = tokio::io::duplex(1 << 16);
        let noted = Rc::<Noted>::default();
        tokio::task::spawn_local(serve(far, noted.clone()));
        let connection = Connection::start(near, Scheme::HTTP, place_to_go()).await;
        (connection.expect("a connection"), noted)
    }

    async fn opened(connection: &Connection, path: &str) -> Http2 {
        let mut head = Buffer::new();
        head.extend_from_slice(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes());
        let request = Request::new(Method::GET, head, None, None);
        let opened = Http2::open(connection.enter(None), request).await;
        opened.map_err(|(failure, _)| failure).expect("a stream")
    }

    /// Lets all others do what they can.
    async fn settle() {
        for _ in 0..2000 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_many_give_up_does_not_end_the_connection_of_others() {
        let run = async {
            let (connection, noted) = started().await;
            let mut kept = opened(&connection, "/kept").await;
            let (most, mut others) = (MAX_RESETS as usize, Vec::new());
            for _ in 0..most + 3 {
                others.push(opened(&connection, "/other").await);
            }
            for given_up in 1..=others.len() {
                settle().await;
                assert_eq!(connection.has_room(), given_up <= most);
                others.pop();
                settle().await;
                assert_eq!(noted.told.get(), given_up.min(most));
            }
            noted.end.notify_one();
            let head = kept.response(Duration::from_secs(5), &mut |_, _| {}).await;
            assert_eq!(head.expect("an answer").status, StatusCode::OK);
            drop(kept);
            settle().await;
            // Nobody else is there whom it could harm.
            assert_eq!(noted.told.get(), most + 3);
        };
        tokio::task::LocalSet::new().run_until(run).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_goes_on_unheard_does_so_for_a_while_and_for_some_bytes() {
        let run = async {
            let (connection, noted) = started().await;
            let _kept = opened(&connection, "/kept").await;
            let mut others = vec![opened(&connection, "/large").await];
            for _ in 0..MAX_RESETS {
                others.push(opened(&connection, "/other").await);
            }
            while others.pop().is_some() {
                settle().await;
            }
            assert_eq!(
                noted.sent.get(),
                STREAM_WINDOW_BYTES as usize + UNHEARD_BYTES
            );
            tokio::time::advance(UNHEARD - Duration::from_secs(1)).await;
            settle().await;
            assert_eq!(noted.told.get(), MAX_RESETS as usize);
            tokio::time::advance(Duration::from_secs(2)).await;
            settle().await;
            assert_eq!(noted.told.get(), MAX_RESETS as usize + 1);
        };
        tokio::task::LocalSet::new().run_until(run).await;
    }

    #[test]
    fn a_reset_comes_back_with_many_answers_and_not_at_once() {
        let begun = Instant::now();
        let mut resets = Resets::new(begun);
        let answered = |resets: &mut Resets, count: u32, later: Duration| {
            (0..count).for_each(|_| resets.earn(|| begun + later));
            resets.left
        };
        assert_eq!(answered(&mut resets, 100, TIME_PER_RESET * 9), MAX_RESETS);
        let taken = (0..9).filter(|_| resets.take(begun)).count();
        assert_eq!(taken, MAX_RESETS as usize);
        assert_eq!(answered(&mut resets, 15, TIME_PER_RESET), 0);
        assert_eq!(answered(&mut resets, 1, TIME_PER_RESET), 1);
        assert_eq!(
            answered(
                &mut resets,
                99,
                TIME_PER_RESET * 2 - Duration::from_millis(1)
            ),
            1
        );
        assert_eq!(answered(&mut resets, 1, TIME_PER_RESET * 2), 2);
        assert_eq!(answered(&mut resets, 999, TIME_PER_RESET * 3), 3);
    }

    #[test]
    fn what_cannot_be_said_in_http_1_1_is_not_passed_on() {
        let fields = |status: StatusCode, said: &[(&str, &'static str)]| {
            let headers = (said.iter()).map(|(name, value)| {
                let name = HeaderName::from_lowercase(name.as_bytes()).unwrap();
                (name, HeaderValue::from_static(value))
            });
            let fields = fields_of(status, headers.collect()).ok()?;
            let names = fields.iter().map(|(name, _)| name.to_vec());
            Some(String::from_utf8(names.collect::<Vec<_>>().join(&b' ')).unwrap())
        };
        let length = ("content-length", "2");
        for (status, said, passed) in [
            (
                200,
                &[("te", "trailers"), ("x-end", "1")][..],
                Some("x-end"),
            ),
            (200, &[length, length], Some("content-length")),
            (204, &[length], Some("")),
            (103, &[length], Some("")),
            (200, &[("content-length", "+2")], None),
            (200, &[("x\"y", "1")], None),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(fields(status, said).as_deref(), passed, "{said:?}");
        }
    }
}
