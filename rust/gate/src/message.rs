//! A request and an answer, whichever version of HTTP they have towards the client.

use std::rc::Rc;

use h2::ext::Protocol;
use http::{Method, StatusCode, Uri, Version};

use crate::{
    download::Download,
    fields::Fields,
    http1::Wire,
    http2::{Incoming, Reply},
    relay::Relay,
    upstream::BodyKind,
};

/// The head of a request.
#[derive(Debug)]
pub(crate) struct RequestHead {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) version: Version,
    /// Of an extended CONNECT (RFC 8441).
    pub(crate) protocol: Option<Protocol>,
    pub(crate) fields: Fields,
}

/// The body of a request, not yet read.
pub(crate) enum Body {
    /// There is none.
    None,
    /// On a connection of HTTP/1.1, framed as it says.
    Http1(Rc<Wire>, BodyKind),
    /// In a stream of HTTP/2.
    Http2(Incoming, BodyKind),
}

impl Body {
    pub(crate) fn kind(&self) -> BodyKind {
        match self {
            Body::None => BodyKind::None,
            Body::Http1(_, kind) | Body::Http2(_, kind) => *kind,
        }
    }
}

/// Where interim responses go (RFC 9110 15.2).
pub(crate) enum Interim {
    Http1(Rc<Wire>),
    Http2(Rc<Reply>),
}

impl Interim {
    /// Passes one on. One of 100 is nothing that the upstream was asked for: the gate itself asks the client for its body.
    pub(crate) fn hint(&self, status: StatusCode, fields: Fields) {
        if status == StatusCode::CONTINUE {
            return;
        }
        match self {
            Interim::Http1(wire) => wire.hint(status, &fields),
            Interim::Http2(reply) => reply.hint(status, fields),
        }
    }
}

/// What a request is answered with.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) fields: Fields,
    pub(crate) rest: Rest,
}

/// What follows the head of an answer.
#[expect(
    clippy::large_enum_variant,
    reason = "the large one is the usual one: a box would be an allocation for each request"
)]
pub(crate) enum Rest {
    /// A body.
    Body(Download),
    /// The other protocol that was switched to.
    Relay(Relay),
}
