//! Distinguished names: for people (RFC 4514), and compared (RFC 5280 7.1).

use std::fmt::Write;

use x509_parser::{
    prelude::FromDer,
    x509::{AttributeTypeAndValue, RelativeDistinguishedName, X509Name},
};

use crate::{der, extensions::oid_text};

/// Longest name shown, in bytes; enough for any honest one and a bound for log lines and headers.
pub(crate) const LONGEST_BYTES: usize = 512;

// RFC 4514 3, and the two that certificates are full of besides.
const SHORT: [(&str, &str); 12] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.97", "organizationIdentifier"),
];

/// The Name in `der` as RFC 4514 writes it, printable ASCII and UTF-8 letters only, cut at 512 bytes.
/// Control characters, line separators and what turns text around are escaped, so that a log line stays a line.
pub(crate) fn text(der: &[u8]) -> String {
    let Ok((_, name)) = X509Name::from_der(der) else {
        return "?".into();
    };
    let mut text = String::new();
    // RFC 4514 2.1: the last RDN comes first.
    let names: Vec<_> = name.iter_rdn().collect();
    for (position, names) in names.iter().rev().enumerate() {
        if position > 0 {
            text.push(',');
        }
        for (position, attribute) in names.iter().enumerate() {
            if position > 0 {
                text.push('+');
            }
            write_attribute(&mut text, attribute);
        }
        if text.len() > LONGEST_BYTES {
            let end = (0..=LONGEST_BYTES)
                .rev()
                .find(|end| text.is_char_boundary(*end))
                .unwrap_or(0);
            text.truncate(end);
            text.push_str("...");
            break;
        }
    }
    text
}

fn write_attribute(text: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    let oid = oid_text(attribute.attr_type());
    let short = SHORT
        .iter()
        .find(|(id, _)| *id == oid)
        .map(|(_, short)| *short);
    text.push_str(short.unwrap_or(&oid));
    text.push('=');
    let Some(value) = decoded(attribute) else {
        text.push('#');
        for octet in attribute.as_slice().iter().take(LONGEST_BYTES) {
            let _ = write!(text, "{octet:02x}");
        }
        return;
    };
    let length = value.chars().count();
    for (position, character) in value.chars().take(LONGEST_BYTES).enumerate() {
        let edge = position == 0 || position + 1 == length;
        match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => text.extend(['\\', character]),
            ' ' if edge => text.push_str("\\ "),
            '#' if position == 0 => text.push_str("\\#"),
            _ if !is_plain(character) => {
                let mut octets = [0; 4];
                for octet in character.encode_utf8(&mut octets).bytes() {
                    let _ = write!(text, "\\{octet:02x}");
                }
            }
            _ => text.push(character),
        }
    }
}

/// Whether a character is what it looks like: no control, no separator of lines, no mark that turns text around or hides in it.
pub(crate) fn is_plain(character: char) -> bool {
    !character.is_control()
        && !matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The type of an attribute, dotted, from its short name in any case or from its number.
pub(crate) fn attribute_type(text: &str) -> Option<String> {
    let named = SHORT
        .iter()
        .find(|(_, short)| short.eq_ignore_ascii_case(text));
    let is_number = || {
        text.contains('.')
            && text.split('.').all(|arc| {
                !arc.is_empty()
                    && arc.len() <= 20
                    && arc.bytes().all(|octet| octet.is_ascii_digit())
            })
    };
    match named {
        Some((number, _)) => Some((*number).to_owned()),
        None => is_number().then(|| text.to_owned()),
    }
}

/// The value of a string type as text.
pub(crate) fn decoded(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    let value = attribute.attr_value();
    match value.tag().0 {
        // UTF8String, NumericString, PrintableString, IA5String, VisibleString
        12 | 18 | 19 | 22 | 26 => std::str::from_utf8(value.data).ok().map(str::to_owned),
        // TeletexString: in practice UTF-8 or, where it is none, Latin-1
        20 => Some(std::str::from_utf8(value.data).map_or_else(
            |_| value.data.iter().map(|octet| char::from(*octet)).collect(),
            str::to_owned,
        )),
        // UniversalString
        28 if value.data.len() % 4 == 0 => {
            let points = value
                .data
                .chunks_exact(4)
                .map(|four| u32::from_be_bytes([four[0], four[1], four[2], four[3]]));
            points.map(char::from_u32).collect()
        }
        // BMPString
        30 if value.data.len() % 2 == 0 => {
            let units = value
                .data
                .chunks_exact(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units)
                .collect::<Result<String, _>>()
                .ok()
        }
        _ => None,
    }
}

/// Whether the parser gave back all of a Name: it is lenient inside and cuts short what it could not read.
pub(crate) fn is_whole(name: &X509Name<'_>) -> bool {
    der::expect(name.as_raw(), der::SEQUENCE).is_some_and(|(_, rest)| rest.is_empty())
}

/// A Name in a form that is equal for names that RFC 5280 7.1 calls equal: case and runs of spaces do not count.
pub(crate) fn normal(name: &X509Name<'_>) -> Vec<Vec<(String, Vec<u8>)>> {
    name.iter_rdn().map(normal_rdn).collect()
}

fn normal_rdn(rdn: &RelativeDistinguishedName<'_>) -> Vec<(String, Vec<u8>)> {
    let mut attributes: Vec<_> = rdn
        .iter()
        .map(|attribute| {
            let value = match decoded(attribute) {
                Some(text) => text
                    .split_whitespace()
                    .collect::<Vec<_>>()
                    .join(" ")
                    .to_lowercase()
                    .into_bytes(),
                None => attribute.as_slice().to_vec(),
            };
            (oid_text(attribute.attr_type()), value)
        })
        .collect();
    attributes.sort();
    attributes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Name of common names of the given ASN.1 string types.
    fn named(values: &[(u8, &[u8])]) -> Vec<u8> {
        let element = |tag: u8, contents: Vec<u8>| {
            let length = contents.len() as u16;
            let head = if length < 0x80 {
                vec![tag, length as u8]
            } else {
                vec![tag, 0x82, (length >> 8) as u8, length as u8]
            };
            [head, contents].concat()
        };
        let names = values.iter().map(|(tag, value)| {
            let attribute = [
                vec![0x06, 0x03, 0x55, 0x04, 0x03],
                element(*tag, value.to_vec()),
            ]
            .concat();
            element(0x31, element(0x30, attribute))
        });
        element(0x30, names.collect::<Vec<_>>().concat())
    }

    fn shown(tag: u8, value: &[u8]) -> String {
        text(&named(&[(tag, value)]))
    }

    #[test]
    fn as_rfc_4514_writes_it() {
        assert_eq!(
            text(&named(&[(12, b"first"), (19, b"second")])),
            "CN=second,CN=first"
        );
        assert_eq!(shown(12, b"a,b+c\\\"<>;"), "CN=a\\,b\\+c\\\\\\\"\\<\\>\\;");
        assert_eq!(shown(12, b" a "), "CN=\\ a\\ ");
        assert_eq!(shown(12, b"#a#"), "CN=\\#a#");
        assert_eq!(shown(12, "Zoë".as_bytes()), "CN=Zoë");
        assert_eq!(shown(20, b"Zo\xeb"), "CN=Zoë");
        assert_eq!(shown(20, "Zoë".as_bytes()), "CN=Zoë");
        assert_eq!(shown(26, b"Zoe"), "CN=Zoe");
        assert_eq!(shown(28, &[0, 0, 0, b'Z', 0, 0, 0, 0xeb]), "CN=Zë");
        assert_eq!(shown(28, &[0, 0x11, 0, 0]), "CN=#00110000");
        assert_eq!(shown(30, &[0, b'Z', 0, 0xeb]), "CN=Zë");
        assert_eq!(shown(2, &[5]), "CN=#05");
        assert_eq!(text(b"\x30\x00"), "");
        assert_eq!(text(b"junk"), "?");
    }

    #[test]
    fn a_log_line_stays_a_line() {
        assert_eq!(shown(12, b"a\r\nb\0"), "CN=a\\0d\\0ab\\00");
        assert_eq!(
            shown(12, "\u{202e}x\u{2028}".as_bytes()),
            "CN=\\e2\\80\\aex\\e2\\80\\a8"
        );
        assert_eq!(shown(12, &[0xff]), "CN=#ff");
    }

    #[test]
    fn never_long() {
        assert!(shown(12, &[b'a'; 30_000]).len() < 2_000);
        assert!(shown(12, &[0; 30_000]).len() < 2_000);
        assert!(shown(2, &[7; 30_000]).len() < 2_000);
    }

    #[test]
    fn equal_whatever_the_case_and_the_spaces() {
        let form = |tag, value: &[u8]| {
            normal(
                &X509Name::from_der(&named(&[(tag, value)]))
                    .unwrap_or_else(|_| panic!("a name"))
                    .1,
            )
        };
        assert_eq!(form(12, b"Old  Team "), form(19, b"old team"));
        assert_eq!(form(12, b"Z"), form(28, &[0, 0, 0, b'z']));
        assert_ne!(form(12, b"old team"), form(12, b"oldteam"));
    }
}
