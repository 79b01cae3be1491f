//! A client's certificate as the products print it that people know: names by RFC 2253 as OpenSSL writes them, dates,
//! serial numbers, alternative names, PEM.
//!
//! Everything that comes out is visible ASCII: other bytes are escaped as RFC 2253 2.4 has it. OpenSSL can do the same
//! (`ASN1_STRFLGS_ESC_MSB`), and nginx and Envoy let it.

use std::{fmt::Write, net::IpAddr};

use base64::{Engine, engine::general_purpose::STANDARD};
use x509_parser::{
    asn1_rs::ToDer,
    certificate::X509Certificate,
    extensions::GeneralName,
    prelude::FromDer,
    x509::{AttributeTypeAndValue, X509Name},
};

/// Most alternative names that are told of one kind: each costs a field or a part of one.
pub(crate) const MAX_NAMES: usize = 32;

/// OpenSSL's short names of attribute types; others are written as their numbers.
const SHORT: [(&str, &str); 33] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.13", "description"),
    ("2.5.4.15", "businessCategory"),
    ("2.5.4.16", "postalAddress"),
    ("2.5.4.17", "postalCode"),
    ("2.5.4.18", "postOfficeBox"),
    ("2.5.4.20", "telephoneNumber"),
    ("2.5.4.41", "name"),
    ("2.5.4.42", "GN"),
    ("2.5.4.43", "initials"),
    ("2.5.4.44", "generationQualifier"),
    ("2.5.4.45", "x500UniqueIdentifier"),
    ("2.5.4.46", "dnQualifier"),
    ("2.5.4.65", "pseudonym"),
    ("2.5.4.72", "role"),
    ("2.5.4.97", "organizationIdentifier"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.3", "mail"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
    ("1.2.840.113549.1.9.2", "unstructuredName"),
    ("1.3.6.1.4.1.311.60.2.1.1", "jurisdictionL"),
    ("1.3.6.1.4.1.311.60.2.1.2", "jurisdictionST"),
    ("1.3.6.1.4.1.311.60.2.1.3", "jurisdictionC"),
];

/// A certificate that was read for telling about it.
pub(crate) struct Leaf<'a> {
    certificate: X509Certificate<'a>,
}

impl<'a> Leaf<'a> {
    /// `None` for what is no certificate; what the judge admitted is one.
    pub(crate) fn read(der: &'a [u8]) -> Option<Leaf<'a>> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        Some(Leaf { certificate })
    }

    pub(crate) fn subject(&self) -> &X509Name<'_> {
        self.certificate.subject()
    }

    pub(crate) fn issuer(&self) -> &X509Name<'_> {
        self.certificate.issuer()
    }

    /// 1 to 3.
    pub(crate) fn version(&self) -> u32 {
        self.certificate.version.0.saturating_add(1)
    }

    /// The serial number as OpenSSL prints it: upper-case hex, whole octets.
    pub(crate) fn serial_hex(&self) -> String {
        let octets = self.certificate.raw_serial();
        let zeros = octets.iter().take_while(|octet| **octet == 0).count();
        let octets = &octets[zeros.min(octets.len().saturating_sub(1))..];
        let mut out = String::with_capacity(octets.len() * 2);
        for octet in octets {
            let _ = write!(out, "{octet:02X}");
        }
        out
    }

    /// The serial number in decimal.
    pub(crate) fn serial_decimal(&self) -> String {
        self.certificate.tbs_certificate.serial.to_string()
    }

    /// Unix seconds.
    pub(crate) fn not_before(&self) -> i64 {
        self.certificate.validity().not_before.timestamp()
    }

    /// Unix seconds.
    pub(crate) fn not_after(&self) -> i64 {
        self.certificate.validity().not_after.timestamp()
    }

    /// `Nov 24 23:02:46 2026 GMT`, as `ASN1_TIME_print` has it.
    pub(crate) fn start(&self) -> String {
        moment(&self.certificate.validity().not_before)
    }

    /// As [`Leaf::start`].
    pub(crate) fn end(&self) -> String {
        moment(&self.certificate.validity().not_after)
    }

    /// The names of its subjectAltName, in its order.
    pub(crate) fn alternative_names(&self) -> Vec<Alternative<'_>> {
        let Ok(Some(extension)) = self.certificate.subject_alternative_name() else {
            return Vec::new();
        };
        let names = &extension.value.general_names;
        names.iter().filter_map(Alternative::of).collect()
    }
}

/// A name of the subjectAltName, as it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alternative<'a> {
    Dns(&'a str),
    Email(&'a str),
    Ip(IpAddr),
    Uri(&'a str),
}

impl<'a> Alternative<'a> {
    fn of(name: &'a GeneralName<'a>) -> Option<Alternative<'a>> {
        Some(match name {
            GeneralName::DNSName(name) => Alternative::Dns(name),
            GeneralName::RFC822Name(name) => Alternative::Email(name),
            GeneralName::URI(name) => Alternative::Uri(name),
            GeneralName::IPAddress(octets) => Alternative::Ip(match octets.len() {
                4 => IpAddr::from(<[u8; 4]>::try_from(*octets).ok()?),
                16 => IpAddr::from(<[u8; 16]>::try_from(*octets).ok()?),
                _ => return None,
            }),
            _ => return None,
        })
    }
}

/// The values of an attribute type (its number), in the order in which the name has them.
pub(crate) fn values(name: &X509Name<'_>, number: &str) -> Vec<String> {
    name.iter_attributes()
        .filter(|attribute| attribute.attr_type().to_id_string() == number)
        .filter_map(text_of)
        .collect()
}

/// A name as OpenSSL prints it with `XN_FLAG_RFC2253`: the last element first, visible ASCII only.
pub(crate) fn rfc2253(name: &X509Name<'_>) -> String {
    let mut out = String::new();
    let names: Vec<_> = name.iter_rdn().collect();
    for (position, names) in names.iter().rev().enumerate() {
        if position > 0 {
            out.push(',');
        }
        let attributes: Vec<_> = names.iter().collect();
        for (position, attribute) in attributes.iter().rev().enumerate() {
            if position > 0 {
                out.push('+');
            }
            push_attribute(&mut out, attribute);
        }
    }
    out
}

fn push_attribute(out: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    let number = attribute.attr_type().to_id_string();
    let short = SHORT.iter().find(|(known, _)| *known == number);
    out.push_str(short.map_or(&number, |(_, short)| short));
    out.push('=');
    // A type without a name, or a value that is no text: RFC 2253 2.4 writes the DER.
    match text_of(attribute).filter(|_| short.is_some()) {
        Some(text) => push_escaped(out, &text, true),
        None => {
            out.push('#');
            for octet in attribute.attr_value().to_der_vec_raw().unwrap_or_default() {
                let _ = write!(out, "{octet:02X}");
            }
        }
    }
}

/// A value alone, as OpenSSL prints it when it has only to escape controls.
pub(crate) fn printed(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push_escaped(&mut out, text, false);
    out
}

/// `in_name`: whether what separates the parts of a name is escaped, too (RFC 2253 2.4).
fn push_escaped(out: &mut String, text: &str, in_name: bool) {
    let last = text.len().saturating_sub(1);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b'"' | b'+' | b',' | b';' | b'<' | b'>' if in_name => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b' ' if in_name && (at == 0 || at == last) => out.push_str("\\ "),
            b'#' if in_name && at == 0 => out.push_str("\\#"),
            // A field value has no spaces at its ends (RFC 9110 5.5), so that they would be lost.
            b' ' if at == 0 || at == last => out.push_str("\\20"),
            0x20..=0x7e => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "\\{byte:02X}");
            }
        }
    }
}

/// The value of an attribute as text, by its string type; `None` where it is no string, or not one of its type.
fn text_of(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    let value = attribute.attr_value();
    let data = value.data;
    let characters = |size: usize| {
        data.len().is_multiple_of(size).then(|| {
            data.chunks_exact(size).map(|octets| {
                octets
                    .iter()
                    .fold(0, |all, octet| all << 8 | u32::from(*octet))
            })
        })
    };
    match value.tag().0 {
        12 => str::from_utf8(data).ok().map(str::to_owned),
        // NumericString, PrintableString, TeletexString, IA5String, dates, VisibleString: Latin-1, as OpenSSL reads them
        18 | 19 | 20 | 22 | 23 | 24 | 26 => {
            Some(data.iter().map(|octet| char::from(*octet)).collect())
        }
        // UniversalString
        28 => characters(4)?.map(char::from_u32).collect(),
        // BMPString
        30 => {
            let units = characters(2)?.map(|unit| unit as u16);
            char::decode_utf16(units).collect::<Result<_, _>>().ok()
        }
        _ => None,
    }
}

fn moment(time: &x509_parser::time::ASN1Time) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let time = time.to_datetime();
    format!(
        "{} {:2} {:02}:{:02}:{:02} {} GMT",
        MONTHS[usize::from(u8::from(time.month()) - 1)],
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.year()
    )
}

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The certificate in PEM (RFC 7468), without the end of the last line; `escape` says how characters are written.
fn push_pem(out: &mut String, der: &[u8], escape: impl Fn(char) -> Option<&'static str>) {
    let mut push = |text: &str| {
        for character in text.chars() {
            match escape(character) {
                Some(escaped) => out.push_str(escaped),
                None => out.push(character),
            }
        }
    };
    let text = STANDARD.encode(der);
    let mut lines = vec![BEGIN];
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (one, others) = rest.split_at(rest.len().min(64));
        lines.push(one);
        rest = others;
    }
    lines.push(END);
    for (at, text) in lines.iter().enumerate() {
        if at > 0 {
            push("\n");
        }
        push(text);
    }
}

/// PEM in one line: a space for each end of a line but the last, as mod_headers makes it.
pub(crate) fn spaced_pem(der: &[u8]) -> String {
    let mut out = String::new();
    push_pem(&mut out, der, |character| {
        (character == '\n').then_some(" ")
    });
    out
}

/// PEM as a URI component (RFC 3986 2.1), as nginx and Envoy write it; with the end of its last line.
pub(crate) fn push_escaped_pem(out: &mut String, der: &[u8]) {
    push_pem(out, der, |character| match character {
        '\n' => Some("%0A"),
        ' ' => Some("%20"),
        '+' => Some("%2B"),
        '/' => Some("%2F"),
        '=' => Some("%3D"),
        _ => None,
    });
    out.push_str("%0A");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str, in_name: bool) -> String {
        let mut out = String::new();
        push_escaped(&mut out, text, in_name);
        out
    }

    #[test]
    fn values_in_a_name_are_escaped_as_rfc_2253_has_it() {
        for (value, written) in [
            ("alice", "alice"),
            (
                "Example, Inc.; \"x\" <y>=z",
                "Example\\, Inc.\\; \\\"x\\\" \\<y\\>=z",
            ),
            ("a+b\\c#d", "a\\+b\\\\c#d"),
            (" both ", "\\ both\\ "),
            ("#", "\\#"),
            (" ", "\\ "),
            ("", ""),
            ("x\r\n\0\x7f", "x\\0D\\0A\\00\\7F"),
            ("Å", "\\C3\\85"),
        ] {
            assert_eq!(escaped(value, true), written, "{value}");
        }
    }

    #[test]
    fn a_value_alone_keeps_what_separates_names() {
        assert_eq!(escaped("a,b+c=\"d\"", false), "a,b+c=\"d\"");
        assert_eq!(escaped("a\\b\n", false), "a\\\\b\\0A");
        assert_eq!(escaped(" a ", false), "\\20a\\20");
    }

    #[test]
    fn pem_in_the_two_forms_that_fit_into_a_field() {
        let der = [0xfb; 49];
        let spaced = spaced_pem(&der);
        let text = STANDARD.encode(der);
        assert_eq!(
            spaced,
            format!("{BEGIN} {} {} {END}", &text[..64], &text[64..])
        );
        let mut escaped = String::new();
        push_escaped_pem(&mut escaped, &der);
        let expected = spaced
            .replace("+", "%2B")
            .replace("/", "%2F")
            .replace("=", "%3D")
            .replace("BEGIN CERT", "BEGIN%20CERT")
            .replace("END CERT", "END%20CERT")
            .replace(' ', "%0A");
        assert_eq!(escaped, format!("{expected}%0A"));
    }

    #[test]
    fn what_is_no_certificate_is_not_told_about() {
        assert!(Leaf::read(b"nonsense").is_none());
    }
}
