//! Traefik's `X-Forwarded-Tls-Client-Cert` and `-Info`, as its PassTLSClientCert writes them with all its options.
//!
//! Traefik does not escape what is inside the quotes of `-Info`, so that a name could end them. Here `"`, `,`, `;`, `\`
//! and `%` in a value, and what is not visible ASCII, are `%XX` before all of the field is escaped once more, as there.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderName;
use x509_parser::x509::X509Name;

use super::{
    MAX_CERTIFICATE_BYTES, MAX_TEXT_BYTES, encode,
    fields::Fields,
    leaf::{Alternative, Leaf, MAX_NAMES, values},
};

const CERTIFICATE: HeaderName = HeaderName::from_static("x-forwarded-tls-client-cert");
const INFO: HeaderName = HeaderName::from_static("x-forwarded-tls-client-cert-info");

const ORGANIZATIONAL_UNIT: &str = "2.5.4.11";
const SEVERAL: [(&str, &str); 6] = [
    ("DC", "0.9.2342.19200300.100.1.25"),
    ("C", "2.5.4.6"),
    ("ST", "2.5.4.8"),
    ("L", "2.5.4.7"),
    ("O", "2.5.4.10"),
    ("OU", ORGANIZATIONAL_UNIT),
];
/// Of these Go keeps one value, the last.
const SINGLE: [(&str, &str); 2] = [("SN", "2.5.4.5"), ("CN", "2.5.4.3")];

/// Writes both fields. A chain that makes one too long is left out, and the certificate alone is told about.
pub(super) fn write<C: AsRef<[u8]>>(fields: &mut Fields, chain: &[C]) {
    let certificates = chain.iter().map(|der| STANDARD.encode(der.as_ref()));
    joined(
        fields,
        CERTIFICATE,
        certificates.collect(),
        MAX_CERTIFICATE_BYTES,
        str::to_owned,
    );
    let infos = chain
        .iter()
        .filter_map(|der| Some(info(&Leaf::read(der.as_ref())?)));
    joined(fields, INFO, infos.collect(), MAX_TEXT_BYTES, query_escape);
}

fn joined(
    fields: &mut Fields,
    name: HeaderName,
    mut parts: Vec<String>,
    limit: usize,
    finish: fn(&str) -> String,
) {
    let mut value = finish(&parts.join(","));
    if value.len() > limit {
        parts.truncate(1);
        value = finish(&parts.join(","));
        fields.omit(name.clone());
    }
    if value.len() <= limit && !value.is_empty() {
        fields.push(name, encode::value(value));
    }
}

fn info(leaf: &Leaf<'_>) -> String {
    let mut parts = Vec::new();
    for (key, name, with_units) in [
        ("Subject", leaf.subject(), true),
        ("Issuer", leaf.issuer(), false),
    ] {
        let name = distinguished(name, with_units);
        if !name.is_empty() {
            parts.push(format!("{key}=\"{name}\""));
        }
    }
    parts.push(format!("SerialNumber=\"{}\"", leaf.serial_decimal()));
    parts.push(format!("NB=\"{}\"", leaf.not_before()));
    parts.push(format!("NA=\"{}\"", leaf.not_after()));
    let names = leaf.alternative_names();
    let kind = |wanted: fn(&Alternative<'_>) -> Option<String>| {
        names.iter().filter_map(wanted).take(MAX_NAMES)
    };
    let all: Vec<String> = kind(|name| match name {
        Alternative::Dns(host) => Some(value(host, true)),
        _ => None,
    })
    .chain(kind(|name| match name {
        Alternative::Email(address) => Some(value(address, true)),
        _ => None,
    }))
    .chain(kind(|name| match name {
        Alternative::Ip(address) => Some(address.to_string()),
        _ => None,
    }))
    .chain(kind(|name| match name {
        Alternative::Uri(uri) => Some(value(uri, false)),
        _ => None,
    }))
    .collect();
    if !all.is_empty() {
        parts.push(format!("SAN=\"{}\"", all.join(",")));
    }
    parts.join(";")
}

fn distinguished(name: &X509Name<'_>, with_units: bool) -> String {
    let mut parts = Vec::new();
    for (key, number) in SEVERAL {
        if with_units || number != ORGANIZATIONAL_UNIT {
            parts.extend(values(name, number).into_iter().map(|value| (key, value)));
        }
    }
    for (key, number) in SINGLE {
        parts.extend(values(name, number).pop().map(|value| (key, value)));
    }
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(key, text)| format!("{key}={}", value(&text, true)))
        .collect();
    parts.join(",")
}

/// `percent`: whether `%` is escaped, too; in a URI it has its meaning already.
fn value(text: &str, percent: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'"' | b',' | b';' | b'\\' => out.push_str(&format!("%{byte:02X}")),
            b'%' if percent => out.push_str("%25"),
            0x20..=0x7e => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// As Go's `url.QueryEscape`.
fn query_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{query_escape, value};

    #[test]
    fn no_value_ends_its_quotes_or_its_part() {
        assert_eq!(
            value("a\",CN=b;\\100%\r\n\u{e5}", true),
            "a%22%2CCN=b%3B%5C100%25%0D%0A%C3%A5"
        );
        assert_eq!(value("https://a/%20?b=c", false), "https://a/%20?b=c");
    }

    #[test]
    fn a_query_is_escaped_as_go_does_it() {
        assert_eq!(
            query_escape("Subject=\"CN=a b\";~-_."),
            "Subject%3D%22CN%3Da+b%22%3B~-_."
        );
    }
}
