//! Envoy's `X-Forwarded-Client-Cert`: one element, as Envoy writes it with all its details (`SANITIZE_SET`).
//!
//! Keys: `Hash`, `Cert`, `Chain`, `Subject`, `URI`, `DNS`. A value is quoted where it has one of `,;=` in it. Envoy trusts
//! what is inside; we do not: in a name a backslash is written `\5C`, so that the last one cannot take the closing quote
//! with it, and what is no character of a URI is `%XX` in `URI` and `DNS`.

use http::HeaderName;

use super::{
    MAX_CERTIFICATE_BYTES, encode,
    fields::Fields,
    leaf::{Alternative, Leaf, MAX_NAMES, push_escaped_pem, rfc2253},
};

const XFCC: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// Writes the field. What makes it too long is left out: first the chain, then the certificate, then names.
pub(super) fn write<C: AsRef<[u8]>>(fields: &mut Fields, leaf: &Leaf<'_>, hash: &str, chain: &[C]) {
    let names = leaf.alternative_names();
    let (mut uris, mut hosts) = (Vec::new(), Vec::new());
    for name in &names {
        match name {
            Alternative::Uri(uri) => uris.push(format!("URI={}", value(uri))),
            Alternative::Dns(host) => hosts.push(format!("DNS={}", value(host))),
            _ => {}
        }
    }
    let mut is_whole = uris.len() <= MAX_NAMES && hosts.len() <= MAX_NAMES;
    uris.truncate(MAX_NAMES);
    hosts.truncate(MAX_NAMES);
    if uris.is_empty() {
        uris.push("URI=".to_owned());
    }
    let subject = rfc2253(leaf.subject()).replace("\\\\", "\\5C");
    let mut room = MAX_CERTIFICATE_BYTES.saturating_sub("Hash=".len() + hash.len());
    let mut kept = |parts: Vec<String>| {
        let size: usize = parts.iter().map(|part| part.len() + 1).sum();
        let fits = size <= room;
        is_whole &= fits;
        room -= if fits { size } else { 0 };
        if fits { parts } else { Vec::new() }
    };
    let subject = kept(vec![format!("Subject=\"{subject}\"")]);
    let (uris, hosts) = (kept(uris), kept(hosts));
    let certificate = kept(
        chain
            .first()
            .map(|leaf| pem("Cert", std::slice::from_ref(leaf)))
            .into_iter()
            .collect(),
    );
    let chain = kept(vec![pem("Chain", chain)]);
    let parts = [
        vec![format!("Hash={hash}")],
        certificate,
        chain,
        subject,
        uris,
        hosts,
    ]
    .concat();
    fields.push(XFCC, encode::value(parts.join(";")));
    if !is_whole {
        fields.omit(XFCC);
    }
}

fn pem<C: AsRef<[u8]>>(key: &str, chain: &[C]) -> String {
    let mut out = format!("{key}=\"");
    for der in chain {
        push_escaped_pem(&mut out, der.as_ref());
    }
    out.push('"');
    out
}

fn value(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.push_str(if byte == b'"' { "%22" } else { "%5C" }),
            0x21..=0x7e => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    if out.contains([',', ';', '=']) {
        format!("\"{out}\"")
    } else {
        out
    }
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn what_separates_is_quoted_and_what_ends_a_quote_is_escaped() {
        for (name, written) in [
            ("spiffe://example.com/alice", "spiffe://example.com/alice"),
            ("https://a/?b=c;d,e", "\"https://a/?b=c;d,e\""),
            ("x\";URI=y", "\"x%22;URI=y\""),
            ("x\\", "x%5C"),
            ("a b\r\n\0\u{e5}", "a%20b%0D%0A%00%C3%A5"),
        ] {
            assert_eq!(value(name), written);
        }
    }
}
