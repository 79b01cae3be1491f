//! nginx's `$ssl_client_*` variables under the names by which ingress-nginx and its users pass them on.

use aws_lc_rs::digest;
use http::{HeaderName, HeaderValue};

use super::{
    encode::hex,
    fields::Fields,
    leaf::{Leaf, push_escaped_pem, rfc2253},
};

const VERIFY: HeaderName = HeaderName::from_static("ssl-client-verify");

/// Writes that no certificate was accepted.
pub(super) fn write_anonymous(fields: &mut Fields) {
    fields.push(VERIFY, HeaderValue::from_static("NONE"));
}

/// Writes `$ssl_client_verify`, `_s_dn`, `_i_dn`, `_serial`, `_fingerprint` (SHA-1) and `_escaped_cert`.
pub(super) fn write(fields: &mut Fields, leaf: &Leaf<'_>, der: &[u8]) {
    let name = HeaderName::from_static;
    fields.push(VERIFY, HeaderValue::from_static("SUCCESS"));
    for (field, of) in [
        ("ssl-client-subject-dn", leaf.subject()),
        ("ssl-client-issuer-dn", leaf.issuer()),
    ] {
        let text = rfc2253(of);
        if !text.is_empty() {
            fields.text(name(field), text);
        }
    }
    fields.text(name("ssl-client-serial"), leaf.serial_hex());
    let fingerprint = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, der);
    fields.text(name("ssl-client-fingerprint"), hex(fingerprint.as_ref()));
    let mut pem = String::new();
    push_escaped_pem(&mut pem, der);
    fields.certificates(name("ssl-client-cert"), pem);
}
