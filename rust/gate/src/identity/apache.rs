//! Apache httpd's `SSL_CLIENT_*` variables, as `RequestHeader set SSL_CLIENT_S_DN "%{SSL_CLIENT_S_DN}s"` and its like send
//! them; and what Tomcat's SSLValve reads of them.
//!
//! httpd writes UTF-8; here all that is not ASCII is `\XX` (RFC 2253 2.4), since readers exist that end a line at the
//! octet 85. A variable without a value is left out, where httpd sends `(null)`.

use http::{HeaderName, HeaderValue};

use super::{
    MAX_CERTIFICATE_BYTES,
    fields::Fields,
    leaf::{Alternative, Leaf, MAX_NAMES, printed, rfc2253, spaced_pem, values},
};

const VERIFY: HeaderName = HeaderName::from_static("ssl_client_verify");
const CERTIFICATE: HeaderName = HeaderName::from_static("ssl_client_cert");
const COMMON_NAME: &str = "2.5.4.3";

/// Writes that no certificate was accepted.
pub(super) fn write_anonymous(fields: &mut Fields) {
    fields.push(VERIFY, HeaderValue::from_static("NONE"));
}

/// Writes the variables.
pub(super) fn write<C: AsRef<[u8]>>(fields: &mut Fields, leaf: &Leaf<'_>, chain: &[C]) {
    let name = HeaderName::from_static;
    fields.push(VERIFY, HeaderValue::from_static("SUCCESS"));
    fields.push(name("ssl_client_m_version"), leaf.version().into());
    fields.text(name("ssl_client_m_serial"), leaf.serial_hex());
    fields.text(name("ssl_client_v_start"), leaf.start());
    fields.text(name("ssl_client_v_end"), leaf.end());
    text(fields, name("ssl_client_s_dn"), rfc2253(leaf.subject()));
    text(fields, name("ssl_client_i_dn"), rfc2253(leaf.issuer()));
    for (field, of) in [
        ("ssl_client_s_dn_cn", leaf.subject()),
        ("ssl_client_i_dn_cn", leaf.issuer()),
    ] {
        // httpd takes the first one.
        if let Some(first) = values(of, COMMON_NAME).first() {
            text(fields, name(field), printed(first));
        }
    }
    let names = leaf.alternative_names();
    numbered(
        fields,
        "ssl_client_san_dns",
        names.iter().filter_map(|name| match name {
            Alternative::Dns(host) => Some(*host),
            _ => None,
        }),
    );
    numbered(
        fields,
        "ssl_client_san_email",
        names.iter().filter_map(|name| match name {
            Alternative::Email(address) => Some(*address),
            _ => None,
        }),
    );
    write_certificate(fields, chain);
    let mut room = MAX_CERTIFICATE_BYTES;
    for (at, der) in chain.iter().skip(1).enumerate() {
        let field = format!("ssl_client_cert_chain_{at}");
        let pem = spaced_pem(der.as_ref());
        let Ok(field) = HeaderName::try_from(field) else {
            continue;
        };
        match room.checked_sub(pem.len()) {
            Some(left) => {
                room = left;
                fields.certificates(field, pem);
            }
            None => fields.omit(field),
        }
    }
}

/// `SSL_CLIENT_CERT`: PEM with spaces for the ends of lines.
pub(super) fn write_certificate<C: AsRef<[u8]>>(fields: &mut Fields, chain: &[C]) {
    if let Some(leaf) = chain.first() {
        fields.certificates(CERTIFICATE, spaced_pem(leaf.as_ref()));
    }
}

fn text(fields: &mut Fields, name: HeaderName, text: String) {
    if !text.is_empty() {
        fields.text(name, text);
    }
}

fn numbered<'a>(fields: &mut Fields, prefix: &str, values: impl Iterator<Item = &'a str>) {
    for (at, value) in values.enumerate() {
        let Ok(field) = HeaderName::try_from(format!("{prefix}_{at}")) else {
            continue;
        };
        if at >= MAX_NAMES {
            fields.omit(field);
            return;
        }
        text(fields, field, printed(value));
    }
}
