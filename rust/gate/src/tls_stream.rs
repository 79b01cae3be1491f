//! TLS over a client's socket: rustls speaks, tokio waits.
//!
//! By rustls' unbuffered interface: its other one keeps 4 KiB per connection for what may be read next. What is read and
//! written passes through buffers of the thread instead; a connection holds only what is cut off in the middle.
//!
//! The session ticket of TLS 1.3 waits for the first answer and leaves with it. Alone it costs each connection a system call
//! and a packet. Where no answer comes for a while, [`TlsStream::settle`] sends it.

use std::{
    cell::RefCell,
    future::poll_fn,
    io::{self, IoSlice},
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rustls::{
    CommonState, ProtocolVersion, ServerConfig,
    server::{ServerConnectionData, UnbufferedServerConnection},
    unbuffered::{
        ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// What is read at once beyond the record that has begun to come.
const READ_BYTES: usize = 4096;

/// RFC 5246 6.2.3: a record at most, with its head.
const WIRE_BYTES: usize = 5 + 16 * 1024 + 2048;

/// What of the messages of a handshake is kept, at most: rustls takes none that is longer.
const HANDSHAKE_BYTES: usize = 64 * 1024;

/// What is sealed at once. No more waits for a client that reads slowly.
const SEALED_BYTES: usize = 64 * 1024;

/// A session whose handshake is done.
pub(crate) struct TlsStream {
    tcp: TcpStream,
    session: UnbufferedServerConnection,
    /// The begin of a record, or of a message of the handshake, the rest of which is still to come.
    incoming: Vec<u8>,
    /// What the client said, from `plain_at` on, before somebody asked.
    plain: Vec<u8>,
    plain_at: usize,
    /// What the socket has not taken yet.
    outgoing: Vec<u8>,
    /// What the handshake has left to be sent waits for the first answer.
    held: bool,
    /// The client has said that no more comes.
    ended: bool,
    /// What came is no TLS, or not for us, and nothing is read or said any more (RFC 8446 6.2).
    failed: bool,
    /// Our close_notify is said.
    closed: bool,
}

/// Room that all connections of a thread use in turn.
#[derive(Default)]
struct Room {
    received: Vec<u8>,
    gathered: Vec<u8>,
    sealed: Vec<u8>,
}

thread_local! {
    static ROOM: RefCell<Room> = RefCell::default();
}

impl TlsStream {
    /// A session that begins over `tcp`. Boxed: each future that it passes through would have room for it.
    pub(crate) fn new(
        tcp: TcpStream,
        config: Arc<ServerConfig>,
    ) -> Result<Box<TlsStream>, rustls::Error> {
        Ok(Box::new(TlsStream {
            tcp,
            session: UnbufferedServerConnection::new(config)?,
            incoming: Vec::new(),
            plain: Vec::new(),
            plain_at: 0,
            outgoing: Vec::new(),
            held: false,
            ended: false,
            failed: false,
            closed: false,
        }))
    }

    /// Completes the handshake; `hello` is all that the client has sent so far.
    pub(crate) async fn shake(&mut self, hello: Vec<u8>) -> io::Result<()> {
        let mut hello = Some(hello);
        poll_fn(|cx| {
            if let Some(mut hello) = hello.take() {
                self.keep(|this, sink| this.take(cx, &mut hello, sink))?;
            }
            self.poll_shake(cx)
        })
        .await
    }

    fn poll_shake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.is_handshaking() {
            ready!(self.poll_send(cx))?;
            if self.ended || ready!(self.keep(|this, sink| this.poll_receive(cx, sink)))? == 0 {
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

    /// Keeps what the client says during `step` for whoever asks later.
    fn keep<T>(&mut self, step: impl FnOnce(&mut Self, &mut dyn FnMut(&[u8])) -> T) -> T {
        let mut plain = mem::take(&mut self.plain);
        let result = step(self, &mut |bytes| plain.extend_from_slice(bytes));
        self.plain = plain;
        result
    }

    /// What the handshake told.
    pub(crate) fn session(&self) -> &CommonState {
        &self.session
    }

    pub(crate) fn tcp(&mut self) -> &mut TcpStream {
        &mut self.tcp
    }

    /// Sends what the handshake has left, without an answer.
    pub(crate) fn settle(&mut self, cx: &mut Context<'_>) {
        // An error is there again when something is read or written.
        if self.held && self.poll_send(cx).is_ready() {
            self.held = false;
        }
    }

    /// Waits until there may be something to read.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.ended || self.failed || !self.plain.is_empty() {
            return Poll::Ready(());
        }
        self.tcp.poll_read_ready(cx).map(|_| ())
    }

    /// Reads from the socket once and gives `sink` what the client said: nothing, if that is only a part of a record.
    /// `false` at the end.
    pub(crate) fn poll_hear(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Poll<io::Result<bool>> {
        if !self.plain.is_empty() {
            sink(&self.plain[self.plain_at..]);
            self.plain = Vec::new();
            self.plain_at = 0;
            return Poll::Ready(Ok(true));
        }
        if self.failed {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        if self.ended {
            return Poll::Ready(Ok(false));
        }
        let received = ready!(self.poll_receive(cx, sink));
        self.failed = received.is_err();
        match received? {
            // The client went without a close_notify.
            0 => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            _ => {
                // What TLS says to that by itself, as that it does not renegotiate, waits for no answer of ours. An error is
                // there again when something is read or written.
                if !self.outgoing.is_empty() && !self.held {
                    let _ = self.poll_send(cx);
                }
                Poll::Ready(Ok(true))
            }
        }
    }

    /// Sends all that waits.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut sent = 0;
        let result = loop {
            if sent == self.outgoing.len() {
                break Poll::Ready(Ok(()));
            }
            match Pin::new(&mut self.tcp).poll_write(cx, &self.outgoing[sent..]) {
                Poll::Ready(Ok(0)) => break Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => sent += count,
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => break Poll::Pending,
            }
        };
        if sent == self.outgoing.len() {
            self.outgoing = Vec::new();
        } else {
            self.outgoing.drain(..sent);
        }
        result
    }

    /// Reads from the socket once; 0 at its end.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Poll<io::Result<usize>> {
        let known = self.incoming.len();
        let most = if self.session.is_handshaking() {
            HANDSHAKE_BYTES
        } else {
            WIRE_BYTES
        };
        if known >= most {
            let error = rustls::Error::General("a message is too long".into());
            return Poll::Ready(Err(invalid(error)));
        }
        // How long the record is that has begun to come; rustls has seen its head, and found nothing wrong with it.
        let record = match *self.incoming.as_slice() {
            [_, _, _, high, low, ..] => 5 + usize::from(u16::from_be_bytes([high, low])),
            _ => 0,
        };
        let room = record.min(WIRE_BYTES).saturating_sub(known) + READ_BYTES;
        ROOM.with_borrow_mut(|Room { received, .. }| {
            if received.len() < known + room {
                received.resize(known + room, 0);
            }
            let mut buffer = ReadBuf::new(&mut received[known..known + room]);
            ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut buffer))?;
            let count = buffer.filled().len();
            if known + count < record {
                self.incoming.extend_from_slice(buffer.filled());
            } else if count > 0 {
                received[..known].copy_from_slice(&self.incoming);
                self.take(cx, &mut received[..known + count], sink)?;
            }
            Poll::Ready(Ok(count))
        })
    }

    /// Lets TLS have all that was received and not used, and keeps what it does not use now.
    fn take(
        &mut self,
        cx: &mut Context<'_>,
        received: &mut [u8],
        sink: &mut dyn FnMut(&[u8]),
    ) -> io::Result<()> {
        match self.process(received, sink) {
            Ok(used) => {
                self.incoming = received[used..].to_vec();
                Ok(())
            }
            Err(error) => {
                self.incoming = Vec::new();
                // The alert that says so, if the socket takes it at once.
                let _ = self.poll_send(cx);
                Err(error)
            }
        }
    }

    /// `sink` gets what the client said, [`Self::outgoing`] what TLS has to say to that. Tells how much is used.
    fn process(&mut self, received: &mut [u8], sink: &mut dyn FnMut(&[u8])) -> io::Result<usize> {
        let mut used = 0;
        loop {
            let UnbufferedStatus { mut discard, state } =
                self.session.process_tls_records(&mut received[used..]);
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(invalid)?;
                        discard += record.discard;
                        sink(record.payload);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.outgoing),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::WriteTraffic(_) | ConnectionState::BlockedHandshake) => {
                    return Ok(used + discard);
                }
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                    self.ended = true;
                    // What comes after a close_notify is nothing (RFC 8446 6.1).
                    return Ok(received.len());
                }
                Ok(_) => return Err(io::ErrorKind::Unsupported.into()),
                Err(error) => {
                    self.take_alert();
                    return Err(invalid(error));
                }
            }
            used += discard;
        }
    }

    /// Takes what TLS has to say after an error.
    fn take_alert(&mut self) {
        while self.session.wants_write() {
            match self.session.process_tls_records(&mut []).state {
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.outgoing),
                _ => return,
            }
        }
    }

    /// Has TLS say something to `sealed`, after what it has to say itself.
    fn seal(
        &mut self,
        sealed: &mut Sealed<'_>,
        mut say: impl FnMut(
            &mut WriteTraffic<'_, ServerConnectionData>,
            &mut [u8],
        ) -> Result<usize, EncryptError>,
    ) -> io::Result<()> {
        if self.failed {
            return Err(io::ErrorKind::InvalidData.into());
        }
        loop {
            // It knows places in what has come of a message in parts, so it must see that.
            let UnbufferedStatus { discard, state } =
                self.session.process_tls_records(&mut self.incoming);
            match state.map_err(invalid)? {
                ConnectionState::WriteTraffic(mut traffic) => loop {
                    match say(&mut traffic, sealed.free()) {
                        Ok(count) => {
                            sealed.length += count;
                            return Ok(());
                        }
                        Err(EncryptError::InsufficientSize(size)) => {
                            sealed.reserve(size.required_size);
                        }
                        Err(error @ EncryptError::EncryptExhausted) => {
                            return Err(io::Error::other(error));
                        }
                    }
                },
                ConnectionState::EncodeTlsData(mut data) => loop {
                    match data.encode(sealed.free()) {
                        Ok(count) => {
                            sealed.length += count;
                            break;
                        }
                        Err(EncodeError::InsufficientSize(size)) => {
                            sealed.reserve(size.required_size);
                        }
                        Err(EncodeError::AlreadyEncoded) => break,
                    }
                },
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => self.ended = true,
                _ => return Err(io::ErrorKind::NotConnected.into()),
            }
            self.incoming.drain(..discard);
        }
    }

    /// Says some of `slices` and tells how much; what is said first is sent with what was held.
    fn poll_say(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !mem::take(&mut self.held) {
            ready!(self.poll_send(cx))?;
        }
        ROOM.with_borrow_mut(|room| {
            let Room {
                gathered, sealed, ..
            } = room;
            let mut full = slices.iter().filter(|slice| !slice.is_empty());
            let said: &[u8] = match (full.next(), full.next()) {
                (Some(only), None) => &only[..only.len().min(SEALED_BYTES)],
                _ => {
                    gathered.clear();
                    for slice in slices {
                        let left = SEALED_BYTES - gathered.len();
                        gathered.extend_from_slice(&slice[..slice.len().min(left)]);
                    }
                    gathered
                }
            };
            let mut sealed = Sealed::new(sealed);
            self.seal(&mut sealed, |traffic, room| traffic.encrypt(said, room))?;
            let sealed = sealed.bytes();
            if self.outgoing.is_empty() {
                let sent = match Pin::new(&mut self.tcp).poll_write(cx, sealed)? {
                    Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(sent) => sent,
                    Poll::Pending => 0,
                };
                self.outgoing.extend_from_slice(&sealed[sent..]);
            } else {
                self.outgoing.extend_from_slice(sealed);
            }
            // What the socket does not take now, it takes when more is said, or with a flush.
            let _ = self.poll_send(cx)?;
            Poll::Ready(Ok(said.len()))
        })
    }

    /// Says that nothing more will be said.
    fn say_goodbye(&mut self) {
        ROOM.with_borrow_mut(|room| {
            let mut sealed = Sealed::new(&mut room.sealed);
            let said = self.seal(&mut sealed, |traffic, room| {
                traffic.queue_close_notify(room)
            });
            // A session that has failed has said so in its own way.
            if said.is_ok() {
                self.outgoing.extend_from_slice(sealed.bytes());
            }
        });
    }
}

/// What is sealed so far, in the room of the thread.
struct Sealed<'a> {
    room: &'a mut Vec<u8>,
    length: usize,
}

impl Sealed<'_> {
    fn new(room: &mut Vec<u8>) -> Sealed<'_> {
        Sealed { room, length: 0 }
    }

    fn free(&mut self) -> &mut [u8] {
        &mut self.room[self.length..]
    }

    fn reserve(&mut self, bytes: usize) {
        self.room.resize(self.length + bytes, 0);
    }

    fn bytes(&self) -> &[u8] {
        &self.room[..self.length]
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Appends what TLS has to say of its own.
fn encode(mut data: EncodeTlsData<'_, ServerConnectionData>, out: &mut Vec<u8>) {
    let before = out.len();
    if let Err(EncodeError::InsufficientSize(size)) = data.encode(&mut []) {
        out.resize(before + size.required_size, 0);
        // It has the room that it asked for.
        let _ = data.encode(&mut out[before..]);
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        while this.plain.is_empty() {
            let mut rest = Vec::new();
            let heard = this.poll_hear(cx, &mut |bytes| {
                let some = bytes.len().min(buffer.remaining());
                buffer.put_slice(&bytes[..some]);
                rest.extend_from_slice(&bytes[some..]);
            });
            this.plain = rest;
            if buffer.filled().len() > before {
                // An error, too, is there again the next time.
                return Poll::Ready(Ok(()));
            }
            if !ready!(heard)? {
                return Poll::Ready(Ok(()));
            }
        }
        let rest = &this.plain[this.plain_at..];
        let some = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..some]);
        this.plain_at += some;
        if this.plain_at == this.plain.len() {
            this.plain = Vec::new();
            this.plain_at = 0;
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
        self.poll_say(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if slices.iter().all(|slice| slice.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        self.poll_say(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Before the first answer there is nothing that somebody wants to see gone.
        if self.held {
            return Poll::Ready(Ok(()));
        }
        self.poll_send(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !mem::replace(&mut self.closed, true) {
            self.say_goodbye();
        }
        ready!(self.poll_send(cx))?;
        match ready!(Pin::new(&mut self.tcp).poll_shutdown(cx)) {
            // The client was faster.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            result => Poll::Ready(result),
        }
    }
}
