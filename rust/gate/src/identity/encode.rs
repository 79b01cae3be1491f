//! How facts of a certificate, which strangers choose, become the values of header fields.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderValue;

/// Escapes `text` for a header field: bytes of its UTF-8 that are not visible ASCII become `%XX`, and so do `%` itself,
/// a space at either end, and the characters in `reserved` (for values that are lists). What comes out has no CR, LF
/// or NUL in it, and percent-decoding it gives back exactly what went in.
pub(crate) fn escape(text: &str, reserved: &[u8]) -> String {
    let last = text.len().saturating_sub(1);
    let mut out = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        let plain = match byte {
            b' ' => at != 0 && at != last,
            b'%' => false,
            0x21..=0x7e => true,
            _ => false,
        };
        if plain && !reserved.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            push_hex(&mut out, byte, b"0123456789ABCDEF");
        }
    }
    out
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for &byte in bytes {
        push_hex(&mut out, byte, b"0123456789abcdef");
    }
    out
}

fn push_hex(out: &mut String, byte: u8, digits: &[u8; 16]) {
    out.push(char::from(digits[usize::from(byte >> 4)]));
    out.push(char::from(digits[usize::from(byte & 15)]));
}

/// RFC 9440 2.1: DER as a Byte Sequence of RFC 8941.
pub(crate) fn push_byte_sequence(out: &mut String, der: &[u8]) {
    out.push(':');
    STANDARD.encode_string(der, out);
    out.push(':');
}

/// A field value of `text`, which is visible ASCII and inner spaces by construction.
pub(crate) fn value(text: String) -> HeaderValue {
    // An empty value is never a wrong identity, should the promise above ever be broken.
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaping_can_be_undone_and_leaves_visible_ascii() {
        for text in [
            "CN=alice,O=Example \\2C Ltd",
            "CN=a\r\nMutualgate-Client-Id: 1",
            "CN=\0",
            " leading",
            "trailing ",
            " ",
            "100%",
            "%0D%0A",
            "CN=Zoë",
            "\u{202e}gnp.exe",
            "a,b;c=\"d\"+e",
            "\u{7f}\u{80}\u{2028}",
            "",
        ] {
            let out = escape(text, b",");
            assert!(
                out.bytes()
                    .all(|byte| (0x20..=0x7e).contains(&byte) && byte != b','),
                "{out}"
            );
            assert_eq!(out.trim(), out);
            assert_eq!(decode(&out), text.as_bytes(), "{out}");
            assert!(HeaderValue::try_from(out).is_ok());
        }
    }

    fn decode(text: &str) -> Vec<u8> {
        let bytes = text.as_bytes();
        let (mut out, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            if bytes[at] == b'%' {
                out.push(u8::from_str_radix(&text[at + 1..at + 3], 16).unwrap_or_default());
                at += 3;
            } else {
                out.push(bytes[at]);
                at += 1;
            }
        }
        out
    }
}
