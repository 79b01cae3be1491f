//! The head of an upstream's response, and how its body is framed (RFC 9112 4 to 7).
//!
//! Strict where two readers could differ: such a response is an error and its connection is not used again.

use bytes::{Buf, Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{CONTENT_LENGTH, UPGRADE},
};

use crate::fields::{Fields, Places, items};

/// Most header fields of a response, and most names in its Connection fields: each of them is looked for among the fields.
const MAX_FIELDS: usize = 128;
/// Longest head of a response, and longest trailer section.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Longest line with the size of a chunk; extensions are read over.
const MAX_SIZE_LINE_BYTES: usize = 4096;
/// Most bytes of chunk extensions in one body: they are dropped, and cost whoever sends them more than anybody gains.
const MAX_EXTENSION_BYTES: u32 = 16 * 1024;

/// Data of this length or less is copied together with what follows it and is there already.
const SMALL_BYTES: usize = 1024;
/// What is copied together of frames.
const GATHERED_BYTES: usize = 16 * 1024;

/// A response that cannot be passed on: why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadResponse(pub(crate) &'static str);

/// The head of a response.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    /// Without what concerns only the connection between the gate and the upstream (RFC 9110 7.6.1).
    pub(crate) fields: Fields,
    pub(crate) framing: Framing,
    pub(crate) keep_alive: bool,
    /// It has no body, since its request or its status allows none, and a server that does not know that may send one: it
    /// says how long it is, or was asked for the head alone.
    pub(crate) may_trail: bool,
}

impl Head {
    /// Whether the final response is still to come (RFC 9110 15.2).
    pub(crate) fn is_interim(&self) -> bool {
        self.status.is_informational() && self.status != StatusCode::SWITCHING_PROTOCOLS
    }
}

/// Takes a head off `inbox`, which may be that of an interim response; `None` if it is not there as a whole.
pub(crate) fn take_head(
    inbox: &mut BytesMut,
    method: &Method,
) -> Result<Option<Head>, BadResponse> {
    match take_any_head(inbox, method)? {
        None if inbox.len() > MAX_HEAD_BYTES => Err(BadResponse("its head is too long")),
        head => Ok(head),
    }
}

fn take_any_head(inbox: &mut BytesMut, method: &Method) -> Result<Option<Head>, BadResponse> {
    let mut fields = [const { std::mem::MaybeUninit::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let length = match config.parse_response_with_uninit_headers(&mut parsed, inbox, &mut fields) {
        // However much was read at once.
        Ok(httparse::Status::Complete(length)) if length > MAX_HEAD_BYTES => {
            return Err(BadResponse("its head is too long"));
        }
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(BadResponse("its head is no HTTP/1.1")),
    };
    let status = parsed
        .code
        .and_then(|code| StatusCode::from_u16(code).ok())
        .ok_or(BadResponse("its status is no number from 100 to 999"))?;
    let http_11 = parsed.version == Some(1);
    let mut places = Places::of(inbox);
    let mut reading = Reading::default();
    let mut nominated: Vec<HeaderName> = Vec::new();
    for field in parsed.headers.iter() {
        let name = field.name.as_bytes();
        if reading.field(name, field.value, &mut nominated)? {
            places.push(name, field.value);
        }
    }
    if reading.chunked && !http_11 {
        // RFC 9112 6.1: faulty. One who reads it as it was in that version takes the chunks for the body.
        return Err(BadResponse(
            "it has a Transfer-Encoding, which HTTP/1.0 does not know",
        ));
    }
    let framing = reading.framing(method, status)?;
    let mut fields = places.into_fields(inbox.split_to(length).freeze());
    for name in &nominated {
        // The length is ours to keep.
        if *name != CONTENT_LENGTH && *name != UPGRADE {
            fields.remove(name);
        }
    }
    if reading.upgrade && status != StatusCode::SWITCHING_PROTOCOLS {
        fields.remove(&UPGRADE);
    }
    if status == StatusCode::NO_CONTENT || status.is_informational() {
        fields.remove(&CONTENT_LENGTH); // RFC 9110 8.6: must not be there
    }
    let keep_alive = (if http_11 {
        !reading.close
    } else {
        reading.keep_alive
    }) && framing != Framing::UntilClose;
    Ok(Some(Head {
        status,
        fields,
        framing,
        keep_alive,
        may_trail: framing == Framing::Length(0) && reading.may_trail(method),
    }))
}

#[derive(Default)]
struct Reading {
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    upgrade: bool,
}

impl Reading {
    /// Reads a field; whether it is passed on.
    fn field(
        &mut self,
        name: &[u8],
        value: &[u8],
        nominated: &mut Vec<HeaderName>,
    ) -> Result<bool, BadResponse> {
        let is = |text: &str| name.eq_ignore_ascii_case(text.as_bytes());
        match name.len() {
            2 => return Ok(!is("te")),
            7 => self.upgrade |= is("upgrade"),
            10 if is("connection") => {
                for token in items(value) {
                    if token.eq_ignore_ascii_case(b"close") {
                        self.close = true;
                    } else if token.eq_ignore_ascii_case(b"keep-alive") {
                        self.keep_alive = true;
                    } else if nominated.len() == MAX_FIELDS {
                        return Err(BadResponse(
                            "it names more fields in Connection than it may have",
                        ));
                    } else {
                        nominated.extend(HeaderName::from_bytes(token));
                    }
                }
                return Ok(false);
            }
            10 => return Ok(!is("keep-alive")),
            14 if is("content-length") => {
                let length = digits(value).ok_or(BadResponse("its Content-Length is no number"))?;
                match self.length.replace(length) {
                    None => {}
                    Some(before) if before == length => return Ok(false),
                    Some(_) => return Err(BadResponse("it has two lengths")),
                }
            }
            16 => return Ok(!is("proxy-connection")),
            17 if is("transfer-encoding") => {
                // RFC 9112 6.1: nothing but chunked was offered, and twice chunked is a way to hide a body.
                if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(BadResponse("its Transfer-Encoding is not chunked"));
                }
                self.chunked = true;
                return Ok(false);
            }
            _ => {}
        }
        Ok(true)
    }

    /// Whether something is said to follow, or nothing is said about it where it could.
    fn may_trail(&self, method: &Method) -> bool {
        match self.length {
            Some(length) => length > 0,
            None => self.chunked || method == Method::HEAD,
        }
    }

    /// RFC 9112 6.3.
    fn framing(&self, method: &Method, status: StatusCode) -> Result<Framing, BadResponse> {
        if self.chunked && self.length.is_some() {
            return Err(BadResponse(
                "it has a Content-Length beside its Transfer-Encoding",
            ));
        }
        let bodiless = method == Method::HEAD
            || status.is_informational()
            || status == StatusCode::NO_CONTENT
            || status == StatusCode::NOT_MODIFIED;
        Ok(match self.length {
            _ if bodiless => Framing::Length(0),
            Some(length) => Framing::Length(length),
            None if self.chunked => Framing::CHUNKED,
            None => Framing::UntilClose,
        })
    }
}

/// A number in decimal digits and nothing else, within 64 bits.
pub(crate) fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok()
}

/// How the rest of a body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// So many bytes are left.
    Length(u64),
    Chunked {
        next: Chunk,
        /// Bytes of chunk extensions so far.
        extensions: u32,
    },
    UntilClose,
}

/// What comes next in a chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chunk {
    Size,
    /// So many bytes, then CRLF.
    Data(u64),
    DataEnd,
    Trailers,
    Done,
}

/// A piece of a body.
#[derive(Debug)]
pub(crate) enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
    End,
}

impl Framing {
    /// In chunks, of which none has come yet.
    pub(crate) const CHUNKED: Framing = Framing::Chunked {
        next: Chunk::Size,
        extensions: 0,
    };

    /// Whether nothing is left.
    pub(crate) fn is_done(&self) -> bool {
        matches!(
            self,
            Framing::Length(0)
                | Framing::Chunked {
                    next: Chunk::Done,
                    ..
                }
        )
    }

    /// Whether the body may end where the connection does.
    pub(crate) fn may_end_here(&self) -> bool {
        self.is_done() || *self == Framing::UntilClose
    }

    /// How much can usefully be read at once.
    pub(crate) fn expected(&self) -> usize {
        match self {
            Framing::Length(left)
            | Framing::Chunked {
                next: Chunk::Data(left),
                ..
            } => usize::try_from(*left).unwrap_or(usize::MAX),
            _ => 0,
        }
    }

    /// Takes the next piece off `inbox`; `None` if more has to be read first.
    pub(crate) fn take(&mut self, inbox: &mut BytesMut) -> Result<Option<Piece>, BadResponse> {
        let (next, extensions) = match self {
            Framing::Length(0) => return Ok(Some(Piece::End)),
            Framing::Length(left) => return Ok(take_data(inbox, left)),
            Framing::UntilClose => return Ok(take_data(inbox, &mut { u64::MAX })),
            Framing::Chunked { next, extensions } => (next, extensions),
        };
        // Small chunks that are there already go on as one: each piece is a write, and a place in a queue.
        let mut gathered = BytesMut::new();
        loop {
            match next {
                Chunk::Trailers | Chunk::Done if !gathered.is_empty() => {
                    return Ok(data(gathered));
                }
                Chunk::Done => return Ok(Some(Piece::End)),
                Chunk::Data(left) => {
                    let is_small = *left <= SMALL_BYTES as u64;
                    // The size of the chunk after it, if that has come and is not the last one.
                    let follows = || {
                        let next = inbox.get(*left as usize + 2);
                        next.is_some_and(|digit| *digit != b'0')
                    };
                    if gathered.is_empty() && !(is_small && follows()) {
                        let piece = take_data(inbox, left);
                        if *left == 0 {
                            *next = Chunk::DataEnd;
                        }
                        return Ok(piece);
                    }
                    if !is_small || inbox.len() < *left as usize {
                        return Ok(data(gathered));
                    }
                    gathered.extend_from_slice(&inbox[..*left as usize]);
                    inbox.advance(*left as usize);
                    *next = Chunk::DataEnd;
                }
                Chunk::DataEnd => {
                    if inbox.len() < 2 {
                        return Ok(data(gathered));
                    }
                    if inbox[..2] != *b"\r\n" {
                        // What is wrong is told after what was right.
                        if !gathered.is_empty() {
                            return Ok(data(gathered));
                        }
                        return Err(BadResponse("a chunk is longer than it says"));
                    }
                    inbox.advance(2);
                    *next = Chunk::Size;
                }
                Chunk::Size => match take_size(inbox, extensions) {
                    Err(_) if !gathered.is_empty() => return Ok(data(gathered)),
                    Err(bad) => return Err(bad),
                    Ok(None) => return Ok(data(gathered)),
                    Ok(Some(0)) => *next = Chunk::Trailers,
                    Ok(Some(size)) => *next = Chunk::Data(size),
                },
                Chunk::Trailers => {
                    let Some(trailers) = take_trailers(inbox)? else {
                        return Ok(None);
                    };
                    *next = Chunk::Done;
                    if !trailers.is_empty() {
                        return Ok(Some(Piece::Trailers(trailers)));
                    }
                }
            }
        }
    }
}

/// The data of frames that are there already, as one where they are small: each piece is a write, and a place in a queue.
pub(crate) fn gather(first: Bytes, mut next: impl FnMut() -> Option<Bytes>) -> Bytes {
    if first.len() > SMALL_BYTES {
        return first;
    }
    let Some(second) = next() else {
        return first;
    };
    let mut gathered = BytesMut::from(first);
    gathered.extend_from_slice(&second);
    while gathered.len() < GATHERED_BYTES
        && let Some(data) = next()
    {
        gathered.extend_from_slice(&data);
    }
    gathered.freeze()
}

fn data(bytes: BytesMut) -> Option<Piece> {
    (!bytes.is_empty()).then(|| Piece::Data(bytes.freeze()))
}

/// Takes at most `left` bytes of data, and counts them off.
fn take_data(inbox: &mut BytesMut, left: &mut u64) -> Option<Piece> {
    let length = inbox
        .len()
        .min(usize::try_from(*left).unwrap_or(usize::MAX));
    *left -= length as u64;
    (length > 0).then(|| Piece::Data(inbox.split_to(length).freeze()))
}

/// RFC 9112 7.1: hexadecimal digits, perhaps extensions, CRLF.
fn take_size(inbox: &mut BytesMut, extensions: &mut u32) -> Result<Option<u64>, BadResponse> {
    let Some(end) = inbox
        .iter()
        .take(MAX_SIZE_LINE_BYTES)
        .position(|byte| *byte == b'\n')
    else {
        return if inbox.len() >= MAX_SIZE_LINE_BYTES {
            Err(BadResponse("the size of a chunk is too long"))
        } else {
            Ok(None)
        };
    };
    let line = inbox[..end]
        .strip_suffix(b"\r")
        .ok_or(BadResponse("the size of a chunk ends without CR"))?;
    if line.contains(&b'\r') {
        return Err(BadResponse("the size of a chunk has a CR in it"));
    }
    let size = line.split(|byte| *byte == b';').next().unwrap_or_default();
    *extensions += (line.len() - size.len()) as u32;
    if *extensions > MAX_EXTENSION_BYTES {
        return Err(BadResponse("it has too many chunk extensions"));
    }
    let size = size.trim_ascii_end();
    if size.is_empty() || size.len() > 16 || !size.iter().all(u8::is_ascii_hexdigit) {
        return Err(BadResponse("the size of a chunk is no number"));
    }
    let size = str::from_utf8(size)
        .ok()
        .and_then(|text| u64::from_str_radix(text, 16).ok());
    inbox.advance(end + 1);
    size.map(Some)
        .ok_or(BadResponse("the size of a chunk is no number"))
}

fn take_trailers(inbox: &mut BytesMut) -> Result<Option<HeaderMap>, BadResponse> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let (length, fields) = match httparse::parse_headers(inbox, &mut fields) {
        Ok(httparse::Status::Complete(parsed)) if parsed.0 <= MAX_HEAD_BYTES => parsed,
        Ok(httparse::Status::Partial) if inbox.len() <= MAX_HEAD_BYTES => return Ok(None),
        _ => return Err(BadResponse("its trailers are no HTTP/1.1")),
    };
    // RFC 9112 2.2: a lone LF may end a line for some readers, and for others not.
    if inbox[..length]
        .split_inclusive(|byte| *byte == b'\n')
        .any(|line| !line.ends_with(b"\r\n"))
    {
        return Err(BadResponse("its trailers have a line that ends without CR"));
    }
    let mut trailers = HeaderMap::new();
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes())
            .map_err(|_| BadResponse("a trailer's name is none"))?;
        let value = HeaderValue::from_bytes(field.value)
            .map_err(|_| BadResponse("a trailer's value is none"))?;
        trailers.append(name, value);
    }
    inbox.advance(length);
    Ok(Some(trailers))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Result<Option<Head>, BadResponse> {
        take_head(&mut BytesMut::from(text), &Method::GET)
    }

    fn body(text: &str) -> Result<String, BadResponse> {
        let mut inbox = BytesMut::from(text);
        let mut framing = Framing::CHUNKED;
        let mut out = String::new();
        loop {
            match framing.take(&mut inbox)? {
                Some(Piece::Data(bytes)) => out.push_str(&String::from_utf8_lossy(&bytes)),
                Some(Piece::Trailers(trailers)) => out.push_str(&format!("|{}", trailers.len())),
                Some(Piece::End) => return Ok(out),
                None => return Ok(out + "…"),
            }
        }
    }

    #[test]
    fn a_head_is_read_without_what_concerns_the_connection() {
        let head = head(
            "HTTP/1.1 200 OK\r\nConnection: X-Hop, close\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nTE: x\r\nUpgrade: x\r\nX-End: 2\r\nContent-Length: 3\r\n\r\nabc",
        );
        let head = head.unwrap().unwrap();
        assert_eq!((head.keep_alive, head.framing), (false, Framing::Length(3)));
        let names: Vec<&[u8]> = head.fields.iter().map(|(name, _)| name).collect();
        assert_eq!(names, [&b"X-End"[..], b"Content-Length"]);
    }

    #[test]
    fn it_names_no_more_fields_in_connection_than_it_may_have() {
        for (names, is_read) in [(MAX_FIELDS, true), (MAX_FIELDS + 1, false)] {
            // In one field and in two.
            for between in [",", "\r\nConnection: "] {
                let names = "x,".repeat(names - 1) + between + "x";
                let text = format!("HTTP/1.1 204 No Content\r\nConnection: {names}\r\n\r\n");
                assert_eq!(head(&text).is_ok(), is_read);
            }
        }
    }

    #[test]
    fn a_length_is_said_once_and_only_of_a_body() {
        for (start, lengths) in [
            ("200 OK\r\nContent-Length: 3\r\nContent-Length: 3", 1),
            (
                "200 OK\r\nConnection: Content-Length\r\nContent-Length: 3",
                1,
            ),
            ("304 Not Modified\r\nContent-Length: 3", 1),
            ("204 No Content\r\nContent-Length: 0", 0),
            ("103 Early Hints\r\nContent-Length: 0", 0),
        ] {
            let head = head(&format!("HTTP/1.1 {start}\r\n\r\n")).unwrap().unwrap();
            assert_eq!(head.fields.iter().count(), lengths, "{start}");
        }
    }

    #[test]
    fn interim_responses_come_one_by_one() {
        let mut inbox = BytesMut::from(
            "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        );
        let mut next = || {
            let head = take_head(&mut inbox, &Method::GET).ok().flatten();
            head.map(|head| (head.status.as_u16(), head.is_interim()))
        };
        assert_eq!(next(), Some((103, true)));
        assert_eq!(next(), Some((204, false)));
        assert_eq!(next(), None);
    }

    #[test]
    fn responses_in_doubt_are_refused() {
        for fields in [
            "Content-Length: 3\r\nContent-Length: 4",
            "Content-Length: +3",
            "Content-Length: 3, 3",
            "Content-Length: 18446744073709551619",
            "Content-Length: ",
            "Transfer-Encoding: chunked\r\nContent-Length: 3",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: xchunked",
            "Na me: x",
            "X : y",
            " folded: x",
        ] {
            assert!(
                head(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n")).is_err(),
                "{fields}"
            );
        }
    }

    #[test]
    fn heads_and_trailers_whose_end_does_not_come_are_bounded() {
        let of = |before: &str, bytes: usize| before.to_owned() + &"x".repeat(bytes - before.len());
        for (bytes, is_waited_for) in [(MAX_HEAD_BYTES, true), (MAX_HEAD_BYTES + 1, false)] {
            let begun = head(&of("HTTP/1.1 200 OK\r\nX: ", bytes));
            assert_eq!(begun.is_ok_and(|head| head.is_none()), is_waited_for);
            let begun = body(&format!("0\r\n{}", of("X: ", bytes)));
            assert_eq!(begun.is_ok(), is_waited_for);
        }
    }

    #[test]
    fn extensions_of_chunks_are_read_over_and_bounded() {
        assert_eq!(body("2;a=b\r\nhi\r\n0;c\r\n\r\n").unwrap(), "hi");
        let most = MAX_EXTENSION_BYTES as usize;
        for (bytes, is_read) in [(most, true), (most + 1, false)] {
            // Of all chunks together, each of which has few; the last one's count, too.
            let before = "1;234567\r\nx\r\n".repeat(bytes / 7);
            let last = &";234567"[..bytes % 7];
            let read = body(&format!("{before}0{last}\r\n\r\n"));
            assert_eq!(read.is_ok(), is_read, "{bytes}");
        }
    }

    #[test]
    fn a_response_in_the_old_version_has_no_chunks() {
        let chunked = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(head(chunked).is_err());
        assert!(head(&chunked.replace("1.0", "1.1")).is_ok());
    }

    #[test]
    fn what_is_too_long_is_so_at_once_and_in_pieces() {
        let long = |length: usize| format!("X: {}\r\n\r\n", "x".repeat(length));
        let start = "HTTP/1.1 204 No Content\r\n";
        let most = MAX_HEAD_BYTES - start.len() - "X: \r\n\r\n".len();
        assert!(matches!(
            head(&format!("{start}{}", long(most))),
            Ok(Some(_))
        ));
        let longer = format!("{start}{}", long(most + 1));
        assert!(head(&longer).is_err() && head(&longer[..longer.len() - 1]).is_ok());
        let most = MAX_HEAD_BYTES - "X: \r\n\r\n".len();
        assert!(body(&format!("0\r\n{}", long(most))).is_ok());
        assert!(body(&format!("0\r\n{}", long(most + 1))).is_err());
    }

    #[test]
    fn a_body_without_a_length_ends_with_the_connection() {
        let head = head("HTTP/1.1 200 OK\r\n\r\n").ok().flatten();
        assert_eq!(
            head.map(|head| (head.framing, head.keep_alive)),
            Some((Framing::UntilClose, false))
        );
    }

    #[test]
    fn small_chunks_that_are_there_go_on_as_one() {
        let large = SMALL_BYTES + 1;
        let large = format!("{large:x}\r\n{}\r\n", "y".repeat(large));
        for (text, lengths) in [
            ("1\r\na\r\n".repeat(100) + "0\r\n\r\n", vec![100]),
            ("2\r\nab\r\n".repeat(3) + "0\r\nX: 1\r\n\r\n", vec![6]),
            // The last one may be cut anywhere.
            ("1\r\na\r\n".repeat(2) + "3\r\nab", vec![2, 2]),
            ("1\r\na\r\n".repeat(2) + "3", vec![2]),
            ("1\r\na\r\n1\r\nb\r".into(), vec![2]),
            ("1\r\na\r\n1\r\nb".into(), vec![2]),
            // What is large is not copied.
            (
                format!("1\r\na\r\n1\r\nb\r\n{large}1\r\nc\r\n"),
                vec![2, SMALL_BYTES + 1, 1],
            ),
        ] {
            let mut inbox = BytesMut::from(&*text);
            let mut framing = Framing::CHUNKED;
            let mut found = Vec::new();
            while let Ok(Some(Piece::Data(data))) = framing.take(&mut inbox) {
                found.push(data.len());
            }
            assert_eq!(found, lengths, "{text}");
        }
        assert!(body("1\r\na\r\n1\r\nbcd\r\n").is_err());
    }

    #[test]
    fn small_frames_that_are_there_go_on_as_one() {
        let gathered = |first: usize, others: &[usize]| {
            let mut others = others.iter();
            let data = |length: &usize| Bytes::from(vec![b'x'; *length]);
            let length = gather(data(&first), || others.next().map(data)).len();
            (length, others.len())
        };
        assert_eq!(gathered(1, &[]), (1, 0));
        assert_eq!(gathered(1, &[2, 3]), (6, 0));
        assert_eq!(gathered(0, &[2]), (2, 0));
        assert_eq!(gathered(SMALL_BYTES + 1, &[2]), (SMALL_BYTES + 1, 1));
        assert_eq!(gathered(1, &[GATHERED_BYTES, 2]), (GATHERED_BYTES + 1, 1));
    }

    #[test]
    fn chunks() {
        assert_eq!(
            body("3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"),
            Ok("abcde".into())
        );
        assert_eq!(body("0\r\nA: 1\r\nB: 2\r\n\r\n"), Ok("|2".into()));
        assert_eq!(body("A\r\n0123"), Ok("0123…".into()));
        for wrong in [
            "g\r\n",
            "\r\n",
            "3\nabc",
            "3\r\nabcd\r\n",
            "-1\r\n",
            "0x3\r\n",
            "11111111111111111\r\n",
            " 3\r\n",
        ] {
            assert!(body(wrong).is_err(), "{wrong:?}");
        }
    }
}
