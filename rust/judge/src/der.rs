//! The few octets of DER that have to be seen raw: algorithm identifiers and their neighbours (X.690 8.1, 10.1).

use x509_parser::asn1_rs::{Any, FromDer};

/// One element of DER.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element<'a> {
    /// The identifier octet.
    pub tag: u8,
    /// Tag, length and contents.
    pub whole: &'a [u8],
    /// The contents.
    pub content: &'a [u8],
}

pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;

/// The first element of `input` and what follows it; `None` unless the length is definite, minimal and within `input`.
pub(crate) fn read(input: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (after, any) = Any::from_der(input).ok()?;
    let whole = &input[..input.len() - after.len()];
    // X.690 8.1.2.4: tags above 30 take more octets; nothing that is looked at here has one.
    let tag = *whole.first().filter(|tag| *tag & 0x1f != 0x1f)?;
    // X.690 10.1, which the parser does not ask for: the length in as few octets as it takes.
    let length = any.data.len();
    let octets = if length < 0x80 {
        0
    } else {
        (usize::BITS - length.leading_zeros()).div_ceil(8) as usize
    };
    if whole.len() - length != 2 + octets {
        return None;
    }
    Some((
        Element {
            tag,
            whole,
            content: any.data,
        },
        after,
    ))
}

/// As [`read`], for an element that has to have `tag`.
pub(crate) fn expect(input: &[u8], tag: u8) -> Option<(Element<'_>, &[u8])> {
    read(input).filter(|(element, _)| element.tag == tag)
}

/// Elements that stand one after the other; none unless that is all that `input` is.
pub(crate) fn sequence(mut input: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while !input.is_empty() {
        let Some((element, after)) = read(input) else {
            return Vec::new();
        };
        found.push(element.whole);
        input = after;
    }
    found
}

/// The octets of a BIT STRING without unused bits.
pub(crate) fn whole_octets(bit_string: Element<'_>) -> Option<&[u8]> {
    match bit_string.content.split_first() {
        Some((0, octets)) => Some(octets),
        _ => None,
    }
}

/// The contents of the AlgorithmIdentifier of a SubjectPublicKeyInfo and the key's octets (RFC 5280 4.1.2.7).
pub(crate) fn public_key(spki: &[u8]) -> Option<(&[u8], &[u8])> {
    let (outer, after) = expect(spki, SEQUENCE)?;
    let (algorithm, rest) = expect(outer.content, SEQUENCE)?;
    let (key, end) = expect(rest, BIT_STRING)?;
    if !after.is_empty() || !end.is_empty() {
        return None;
    }
    Some((algorithm.content, whole_octets(key)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_definite_minimal_and_within() {
        assert!(read(&[0x30, 0x01, 0x05]).is_some());
        for wrong in [
            &[0x30, 0x80, 0, 0][..],
            &[0x30, 0x81, 0x01, 0x05],
            &[0x30, 0x02, 0x05],
            &[0x30],
            &[],
            &[0x1f, 0x01, 0],
        ] {
            assert!(read(wrong).is_none(), "{wrong:?}");
        }
    }
}
