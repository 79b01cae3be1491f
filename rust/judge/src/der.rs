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

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
const NULL: u8 = 0x05;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const UNIVERSAL_STRING: u8 = 0x1c;
const BMP_STRING: u8 = 0x1e;
const SET: u8 = 0x31;
// X.690 8.1.2.2 and 8.1.2.5
const CLASS: u8 = 0xc0;
const CONSTRUCTED: u8 = 0x20;

/// More elements within each other than any certificate has.
const DEEPEST: usize = 24;

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

/// Whether `input` is one element that reads the same to everybody: lengths and values as X.690 8 to 11 have them, all
/// the way in. What a reader cannot take can neither be listed nor revoked.
///
/// Two rules are left out, since devices are in use that break them and nobody reads what they made in another way: a
/// default may be spelt out (11.5), and a set may be in any order (11.6).
pub(crate) fn is_canonical(input: &[u8]) -> bool {
    read(input).is_some_and(|(element, rest)| rest.is_empty() && is_sound(element, DEEPEST))
}

fn is_sound(element: Element<'_>, depth: usize) -> bool {
    let content = element.content;
    if element.tag & CONSTRUCTED != 0 {
        // 10.2: strings and moments are in one piece.
        let may_have_parts = element.tag & CLASS != 0 || matches!(element.tag, SEQUENCE | SET);
        return may_have_parts && depth > 0 && are_sound(content, depth - 1);
    }
    match element.tag {
        // 11.1
        BOOLEAN => matches!(content, [0 | 0xff]),
        // 8.3.2
        INTEGER => match content {
            [0, second, ..] => second & 0x80 != 0,
            [0xff, second, ..] => second & 0x80 == 0,
            _ => !content.is_empty(),
        },
        // 8.6.2 and 11.2.1
        BIT_STRING => match content {
            [unused, octets @ ..] => match octets.last() {
                Some(last) => *unused < 8 && u32::from(*unused) <= last.trailing_zeros(),
                None => *unused == 0,
            },
            [] => false,
        },
        NULL => content.is_empty(),
        OBJECT_IDENTIFIER => is_identifier(content),
        UTF8_STRING => std::str::from_utf8(content).is_ok(),
        BMP_STRING => content.len().is_multiple_of(2),
        UNIVERSAL_STRING => content.len().is_multiple_of(4),
        _ => true,
    }
}

fn are_sound(mut content: &[u8], depth: usize) -> bool {
    while !content.is_empty() {
        match read(content) {
            Some((element, rest)) if is_sound(element, depth) => content = rest,
            _ => return false,
        }
    }
    true
}

/// The elements that stand one after the other in `content`, up to what is none.
pub(crate) fn elements(mut content: &[u8]) -> impl Iterator<Item = Element<'_>> {
    std::iter::from_fn(move || {
        let (element, rest) = read(content)?;
        content = rest;
        Some(element)
    })
}

/// 8.19.2: arcs end, and none begins with zeros.
fn is_identifier(content: &[u8]) -> bool {
    let mut begins = true;
    for octet in content {
        if begins && *octet == 0x80 {
            return false;
        }
        begins = octet & 0x80 == 0;
    }
    begins && !content.is_empty()
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
    fn what_reads_the_same_to_everybody() {
        for (good, bad) in [
            (&[0x30, 0][..], &[0x30, 0x81, 0][..]),
            (&[0x30, 2, 5, 0], &[0x30, 0x80, 5, 0, 0, 0]),
            (&[0x30, 2, 5, 0], &[0x30, 1, 5]),
            (&[0x30, 2, 5, 0], &[0x30, 2, 5, 0, 5, 0]),
            (&[0x30, 2, 0x30, 0], &[0x30, 3, 0x30, 0x81, 0]),
            (&[0xa0, 3, 2, 1, 0], &[0xa0, 4, 2, 2, 0, 0]),
            (&[1, 1, 0xff], &[1, 1, 1]),
            (&[1, 1, 0], &[1, 0]),
            (&[2, 1, 0], &[2, 0]),
            (&[2, 2, 0, 0x80], &[2, 2, 0, 0x7f]),
            (&[2, 2, 0xff, 0x7f], &[2, 2, 0xff, 0x80]),
            (&[3, 2, 7, 0x80], &[3, 2, 7, 0xc0]),
            (&[3, 2, 7, 0x80], &[3, 2, 8, 0]),
            (&[3, 1, 0], &[3, 1, 1]),
            (&[3, 1, 0], &[3, 0]),
            (&[5, 0], &[5, 1, 0]),
            (&[6, 2, 0x2a, 3], &[6, 3, 0x2a, 0x80, 3]),
            (&[6, 2, 0x2a, 3], &[6, 2, 0x2a, 0x83]),
            (&[6, 1, 0x2a], &[6, 0]),
            (&[12, 2, 0xc3, 0xab], &[12, 2, 0xc0, 0xaf]),
            (&[12, 1, b'a'], &[0x2c, 3, 12, 1, b'a']),
            (&[0x17, 1, b'0'], &[0x37, 3, 0x17, 1, b'0']),
            (&[30, 2, 0, b'a'], &[30, 3, 0, b'a', 0]),
            (&[28, 4, 0, 0, 0, b'a'], &[28, 2, 0, b'a']),
        ] {
            assert!(is_canonical(good), "{good:?}");
            assert!(!is_canonical(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_tower_of_elements_ends() {
        let tower = |storeys: usize| {
            (0..storeys).fold(vec![5, 0], |inner, _| {
                let length = inner.len() as u8;
                [vec![0x30, length], inner].concat()
            })
        };
        assert!(is_canonical(&tower(DEEPEST)) && !is_canonical(&tower(DEEPEST + 1)));
    }

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
