//! Which requests ask for a WebSocket, and how one over HTTP/2 (RFC 8441) becomes one over HTTP/1.1 (RFC 6455).
//!
//! No other protocol is switched to: what is inside another one would be out of sight of the judge.

use aws_lc_rs::{digest, rand};
use base64::{Engine, engine::general_purpose::STANDARD};
use h2::ext::Protocol;
use http::{
    HeaderName, HeaderValue, Method, Version,
    header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE},
};

use crate::{
    fields::{Fields, items},
    message::RequestHead,
};

/// How it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// By `Upgrade`, answered with 101.
    Upgrade,
    /// By an extended CONNECT, answered with 200.
    Connect,
}

/// Whether a request asks for a WebSocket.
pub(crate) fn asked(head: &RequestHead) -> Option<Asked> {
    if head.method == Method::CONNECT {
        return is_websocket(head.protocol.as_ref()?).then_some(Asked::Connect);
    }
    let upgrade = head.fields.get(&UPGRADE)?;
    // RFC 6455 4.2.1
    let asks = head.method == Method::GET
        && head.version == Version::HTTP_11
        && upgrade.eq_ignore_ascii_case(b"websocket")
        && head
            .fields
            .all(&CONNECTION)
            .flat_map(items)
            .any(|item| item.eq_ignore_ascii_case(b"upgrade"));
    asks.then_some(Asked::Upgrade)
}

/// Whether that is the protocol of an extended CONNECT; upgrade tokens have no case of their own (RFC 9110 7.8).
pub(crate) fn is_websocket(protocol: &Protocol) -> bool {
    protocol.as_str().eq_ignore_ascii_case("websocket")
}

/// The `Sec-WebSocket-Key` that the gate sends where the client has none, and what answers it.
pub(crate) struct Key {
    accept: String,
}

impl Key {
    /// Makes an extended CONNECT the GET that asks for an upgrade (RFC 8441 5).
    ///
    /// No more than 16 random bytes could be at fault, and then the upstream's answer is.
    pub(crate) fn translate(head: &mut RequestHead) -> Key {
        let mut nonce = [0; 16];
        let _ = rand::fill(&mut nonce);
        let key = STANDARD.encode(nonce);
        head.method = Method::GET;
        head.fields.remove(&SEC_WEBSOCKET_ACCEPT);
        head.fields.remove(&SEC_WEBSOCKET_KEY);
        if let Ok(value) = HeaderValue::from_str(&key) {
            head.fields.append(SEC_WEBSOCKET_KEY, value);
        }
        // RFC 6455 4.2.2; SHA-1 proves nothing here but that a WebSocket was meant.
        let digest = digest::digest(
            &digest::SHA1_FOR_LEGACY_USE_ONLY,
            format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes(),
        );
        Key {
            accept: STANDARD.encode(digest),
        }
    }

    /// Whether the upstream has answered it (RFC 6455 4.1). Takes what concerns HTTP/1.1 alone out of `fields`.
    pub(crate) fn is_answered(&self, fields: &mut Fields) -> bool {
        const OF_HTTP_1: [HeaderName; 4] =
            [SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE, CONNECTION];
        let accepts = fields
            .get(&SEC_WEBSOCKET_ACCEPT)
            .is_some_and(|value| value == self.accept.as_bytes());
        let is_websocket = fields
            .get(&UPGRADE)
            .is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"));
        for name in &OF_HTTP_1 {
            fields.remove(name);
        }
        accepts && is_websocket
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_websocket_with_the_right_answer_to_the_key_is_one() {
        let answered = |accept, upgrade| {
            let mut fields = Fields::default();
            for (name, value) in [(SEC_WEBSOCKET_ACCEPT, accept), (UPGRADE, upgrade)] {
                fields.append(name, HeaderValue::from_static(value));
            }
            let key = Key {
                accept: "right".to_owned(),
            };
            key.is_answered(&mut fields)
        };
        assert!(answered("right", "WebSocket"));
        assert!(!answered("wrong", "websocket"));
        assert!(!answered("right", "h2c"));
    }
}
