//! The head of an answer, as it is sent to a client of HTTP/1.1 or HTTP/1.0.

use std::{cell::Cell, time::SystemTime};

use http::{HeaderValue, StatusCode};

use crate::{fields::Fields, standing::unix_now, upstream::decimal};

/// How the body of an answer is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyFraming {
    /// There is none, whatever the fields say.
    None,
    Length(u64),
    Chunked,
    UntilClose,
}

/// What becomes of the connection, as far as it has to be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Persistence {
    /// It stays, as the client's version has it.
    Usual,
    /// It stays although HTTP/1.0 would not have it so.
    KeepAlive,
    /// It ends with this answer.
    Close,
    /// It becomes a WebSocket.
    Upgrade,
}

/// Writes the head of a final answer, or of one that switches protocols. `fields` has none that concerns a connection.
pub(super) fn head(
    out: &mut Vec<u8>,
    status: StatusCode,
    fields: &Fields,
    framing: BodyFraming,
    persistence: Persistence,
) {
    status_line(out, status);
    let (mut has_length, mut has_date) = (false, false);
    for (name, value) in fields.iter() {
        let is = |text: &str| name.eq_ignore_ascii_case(text.as_bytes());
        match name.len() {
            4 => has_date |= is("date"),
            14 if is("content-length") => match framing {
                BodyFraming::Chunked | BodyFraming::UntilClose => continue,
                BodyFraming::None | BodyFraming::Length(_) => has_length = true,
            },
            _ => {}
        }
        field(out, name, value);
    }
    if !has_date {
        date(out);
    }
    match framing {
        BodyFraming::Length(length) if !has_length => {
            out.extend_from_slice(b"content-length: ");
            decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
        BodyFraming::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        _ => {}
    }
    out.extend_from_slice(match persistence {
        Persistence::Usual => b"",
        Persistence::KeepAlive => b"connection: keep-alive\r\n",
        Persistence::Close => b"connection: close\r\n",
        Persistence::Upgrade => b"connection: upgrade\r\n",
    });
    out.extend_from_slice(b"\r\n");
}

/// Writes an interim response (RFC 9110 15.2).
pub(super) fn interim(out: &mut Vec<u8>, status: StatusCode, fields: &Fields) {
    status_line(out, status);
    for (name, value) in fields.iter() {
        field(out, name, value);
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes what comes before the data of a chunk.
pub(super) fn chunk_size(out: &mut Vec<u8>, length: usize) {
    let digits = (usize::BITS - length.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(length >> (4 * place)) & 15]);
    }
    out.extend_from_slice(b"\r\n");
}

fn status_line(out: &mut Vec<u8>, status: StatusCode) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// How a date is written (RFC 9110 5.6.7).
const FORM: usize = "Sun, 06 Nov 1994 08:49:37 GMT".len();

/// RFC 9110 6.6.1: an answer without a date gets one.
fn date(out: &mut Vec<u8>) {
    out.extend_from_slice(b"date: ");
    out.extend_from_slice(&today());
    out.extend_from_slice(b"\r\n");
}

/// The same, where fields are not written one after the other.
pub(crate) fn date_value() -> HeaderValue {
    HeaderValue::from_bytes(&today()).unwrap_or(HeaderValue::from_static(""))
}

fn today() -> [u8; FORM] {
    thread_local! {
        static LAST: Cell<(i64, [u8; FORM])> = const { Cell::new((0, [0; FORM])) };
    }
    let now = unix_now();
    let (at, mut text) = LAST.get();
    if at != now {
        let date = httpdate::fmt_http_date(SystemTime::now());
        if date.len() == FORM {
            text.copy_from_slice(date.as_bytes());
        }
        LAST.set((now, text));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_chunks() {
        for (length, text) in [
            (0, "0\r\n"),
            (9, "9\r\n"),
            (16, "10\r\n"),
            (0xabcd, "abcd\r\n"),
        ] {
            let mut out = Vec::new();
            chunk_size(&mut out, length);
            assert_eq!(out, text.as_bytes());
        }
    }

    #[test]
    fn a_head_has_one_length_one_date_and_one_connection() {
        let mut fields = Fields::default();
        for (name, value) in [
            ("content-length", "5"),
            ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ] {
            fields.append(
                http::HeaderName::from_static(name),
                http::HeaderValue::from_static(value),
            );
        }
        let mut out = Vec::new();
        head(
            &mut out,
            StatusCode::OK,
            &fields,
            BodyFraming::Length(5),
            Persistence::Close,
        );
        assert_eq!(
            String::from_utf8_lossy(&out),
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\nconnection: close\r\n\r\n"
        );
        let mut out = Vec::new();
        head(
            &mut out,
            StatusCode::OK,
            &Fields::default(),
            BodyFraming::Chunked,
            Persistence::Usual,
        );
        let text = String::from_utf8_lossy(&out);
        assert!(
            text.starts_with("HTTP/1.1 200 OK\r\ndate: ")
                && text.ends_with(" GMT\r\ntransfer-encoding: chunked\r\n\r\n"),
            "{text}"
        );
    }
}
