//! The head of a request (RFC 9112 2 to 6), read in one way or not at all.
//!
//! Whatever another reader, before us or behind, could take for another request is refused, and the connection ends
//! with it: a lone LF, a folded line, a length beside chunks, a length that is said twice.

use bytes::BytesMut;
use http::{Method, Uri, Version, uri::PathAndQuery};

use crate::{
    fields::{Fields, Places, items},
    message::RequestHead,
    problem::{self, Problem},
    refusal::Document,
    upstream::{BodyKind, Framing, digits},
};

/// Most header fields of a request, and most names in its Connection fields: each of them is looked for among the fields.
const MAX_FIELDS: usize = 100;

/// A request whose body is still to come.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) head: RequestHead,
    pub(crate) kind: BodyKind,
    pub(crate) framing: Framing,
    /// Whether the client wants to say more on this connection.
    pub(crate) keep_alive: bool,
    /// Whether the client waits to be asked for the body (RFC 9110 10.1.1).
    pub(crate) expects: bool,
}

/// Why there is no request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BadRequest(pub(crate) &'static Problem, pub(crate) &'static str);

impl BadRequest {
    pub(crate) fn document(self) -> Document {
        self.0.document(self.1)
    }
}

/// The sentence is the rest of one that begins with "The request".
const fn bad(why: &'static str) -> BadRequest {
    BadRequest(&problem::BAD_REQUEST, why)
}

/// Reads heads as they come, without looking at the same bytes again and again.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    /// How much of what is there is known to hold no whole head.
    seen: usize,
}

impl Heads {
    /// Takes a head of at most `limit` bytes off `inbox`; `None` if it is not there as a whole.
    pub(crate) fn take(
        &mut self,
        inbox: &mut BytesMut,
        limit: usize,
    ) -> Result<Option<Request>, BadRequest> {
        let is_hopeless =
            self.seen > 0 && inbox.len() < limit && !may_end(&inbox[self.seen.saturating_sub(3)..]);
        let request = if inbox.is_empty() || is_hopeless {
            None
        } else {
            take(inbox, limit)?
        };
        self.seen = if request.is_some() { 0 } else { inbox.len() };
        Ok(request)
    }
}

/// Takes a head of at most `limit` bytes off `inbox`; `None` if it is not there as a whole.
fn take(inbox: &mut BytesMut, limit: usize) -> Result<Option<Request>, BadRequest> {
    let mut fields = [const { std::mem::MaybeUninit::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Request::new(&mut []);
    let status = parsed.parse_with_uninit_headers(inbox, &mut fields);
    let length = match status {
        Ok(httparse::Status::Complete(length)) if length <= limit => length,
        Ok(httparse::Status::Partial) if inbox.len() < limit => return Ok(None),
        Ok(_) => return Err(too_long(inbox, limit)),
        Err(error) => return Err(unread(error, inbox)),
    };
    let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version)
    else {
        return Err(bad("The request has no request line."));
    };
    let base = inbox.as_ptr() as usize;
    let at = |part: &str| part.as_ptr() as usize - base;
    // RFC 9112 2.2: one empty line before a request is what old clients send after a body.
    if !matches!(&inbox[..at(method)], b"" | b"\r\n") {
        return Err(bad("The request begins with empty lines."));
    }
    let mut reading = Reading::default();
    let mut places = Places::of(inbox);
    for field in parsed.headers.iter() {
        // RFC 9112 2.2: a lone LF ends a line for some readers, and for others not.
        if !inbox[..at(field.name)].ends_with(b"\r\n") {
            return Err(bad("The request has a line that does not end in CR LF."));
        }
        reading.field(field.name.as_bytes(), field.value)?;
        places.push(field.name.as_bytes(), field.value);
    }
    if !inbox[..length].ends_with(b"\r\n\r\n") {
        return Err(bad("The request has a line that does not end in CR LF."));
    }
    let http_11 = version == 1;
    let (kind, framing) = reading.framing(http_11)?;
    let method = Method::from_bytes(method.as_bytes())
        .map_err(|_| bad("The request has a method that is none."))?;
    let target = at(target)..at(target) + target.len();
    let bytes = inbox.split_to(length).freeze();
    let uri = Uri::from_maybe_shared(bytes.slice(target))
        .map_err(|_| bad("The request has a target that is no address."))
        .and_then(with_path)?;
    Ok(Some(Request {
        head: RequestHead {
            method,
            uri,
            version: if http_11 {
                Version::HTTP_11
            } else {
                Version::HTTP_10
            },
            protocol: None,
            fields: places.into_fields(bytes),
        },
        kind,
        framing,
        keep_alive: if http_11 {
            !reading.close
        } else {
            reading.keep_alive && !reading.close
        },
        expects: reading.expects && http_11,
    }))
}

/// RFC 3986 6.2.3: an address without a path, as in `https://a.test?x`, is one of `/`.
fn with_path(uri: Uri) -> Result<Uri, BadRequest> {
    let query = match uri.path_and_query() {
        Some(target) if target.as_str().starts_with('?') => target.as_str(),
        _ => return Ok(uri),
    };
    let target = PathAndQuery::try_from(format!("/{query}"))
        .map_err(|_| bad("The request has a target that is no address."))?;
    let mut parts = uri.into_parts();
    parts.path_and_query = Some(target);
    Uri::from_parts(parts).map_err(|_| bad("The request has a target that is no address."))
}

/// Whether the end of a head can be in these bytes.
fn may_end(bytes: &[u8]) -> bool {
    bytes
        .windows(2)
        .any(|pair| pair == b"\n\r" || pair == b"\n\n")
}

fn too_long(inbox: &[u8], limit: usize) -> BadRequest {
    if inbox[..limit.min(inbox.len())].contains(&b'\n') {
        BadRequest(
            &problem::HEAD_TOO_LARGE,
            "Its header fields are longer than is allowed here.",
        )
    } else {
        BadRequest(
            &problem::URI_TOO_LONG,
            "Its first line is longer than a whole head may be here.",
        )
    }
}

fn unread(error: httparse::Error, head: &[u8]) -> BadRequest {
    match error {
        httparse::Error::TooManyHeaders => BadRequest(
            &problem::HEAD_TOO_LARGE,
            "It has more header fields than are allowed here.",
        ),
        httparse::Error::Version if names_version(head) => BadRequest(
            &problem::VERSION_NOT_SUPPORTED,
            "Its version is not 1.0 or 1.1.",
        ),
        httparse::Error::HeaderName => bad("The request has a header field whose name is none."),
        httparse::Error::HeaderValue => bad("The request has a header field whose value is none."),
        httparse::Error::NewLine => bad("The request has a CR that ends no line."),
        _ => bad("The request has a first line that is none."),
    }
}

/// Whether the first line ends as one of HTTP does: then it is only the version that is not ours.
fn names_version(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut parts = line.split(|byte| *byte == b' ');
    let (method, target, version) = (parts.next(), parts.next(), parts.next());
    let is_there = |part: Option<&[u8]>| part.is_some_and(|part| !part.is_empty());
    is_there(method)
        && is_there(target)
        && parts.next().is_none()
        && matches!(version, Some([b'H', b'T', b'T', b'P', b'/', a, b'.', b])
            if a.is_ascii_digit() && b.is_ascii_digit())
}

#[derive(Default)]
struct Reading {
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    expects: bool,
    nominated: usize,
}

impl Reading {
    fn field(&mut self, name: &[u8], value: &[u8]) -> Result<(), BadRequest> {
        let is = |text: &str| name.eq_ignore_ascii_case(text.as_bytes());
        match name.len() {
            6 if is("expect") => self.expects |= value.eq_ignore_ascii_case(b"100-continue"),
            10 if is("connection") => {
                for item in items(value) {
                    self.nominated += 1;
                    if self.nominated > MAX_FIELDS {
                        return Err(bad(
                            "The request names more fields in Connection than it may have.",
                        ));
                    }
                    self.close |= item.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= item.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            14 if is("content-length") => {
                // RFC 9110 8.6 lets us accept equal ones; who sends two does not know what it sends.
                if self.length.is_some() {
                    return Err(bad("The request has two lengths."));
                }
                let length = digits(value)
                    .ok_or(bad("The request has a Content-Length that is no number."))?;
                self.length = Some(length);
            }
            17 if is("transfer-encoding") => {
                // RFC 9112 6.1: nothing else is known here, and twice chunked is a way to hide a body.
                if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(bad(
                        "The request has a Transfer-Encoding that is not chunked.",
                    ));
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok(())
    }

    /// RFC 9112 6.3.
    fn framing(&self, http_11: bool) -> Result<(BodyKind, Framing), BadRequest> {
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(bad(
                "The request has a Content-Length beside its Transfer-Encoding.",
            )),
            // RFC 9112 6.1: HTTP/1.0 knows no chunks; whoever relayed this did not read them.
            (true, None) if !http_11 => Err(bad("The request has chunks in HTTP/1.0.")),
            (true, None) => Ok((BodyKind::Chunked, Framing::CHUNKED)),
            (false, Some(length)) => Ok((BodyKind::Length(length), Framing::Length(length))),
            (false, None) => Ok((BodyKind::None, Framing::Length(0))),
        }
    }
}

/// Whether trailers may follow the answer to a request with these fields (RFC 9110 6.5.1).
pub(crate) fn takes_trailers(fields: &Fields) -> bool {
    fields
        .all(&http::header::TE)
        .flat_map(items)
        .any(|item| item.eq_ignore_ascii_case(b"trailers"))
}
