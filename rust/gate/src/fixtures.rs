//! A certificate for tests that need a real admission, since only the judge makes one.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use judge::{
    Admission, Snapshot, Verdict, decide,
    record::{Admits, AuthorityRecord, Batch, ClientRecord},
};

/// A moment in the validity of both certificates, Unix seconds.
pub(crate) const AT: i64 = 1_800_000_000;

/// `CN=Example Issuing`, made by `openssl req -x509` with a P-256 key that was thrown away.
const AUTHORITY: &str = "\
MIIBnDCCAUGgAwIBAgIUaZDUMYXIFdhIwJe0dAvPn6eZS2kwCgYIKoZIzj0EAwIwGjEYMBYGA1UEAwwPRXhhbXBsZSBJc3N1aW5n\
MCAXDTI2MTEyNDIzMDI0NloYDzIxMjYxMDMxMjMwMjQ2WjAaMRgwFgYDVQQDDA9FeGFtcGxlIElzc3VpbmcwWTATBgcqhkjOPQIB\
BggqhkjOPQMBBwNCAAQJTKrj6Qwq91BczrMUp7zC+9QiMepMhjZki6wwf3nXjeSeCS7PGxYhrN40ezoAGNj7+bnti8KO3P/mkcbO\
QzZ+o2MwYTAdBgNVHQ4EFgQUNpW/lHMLI9PLlssdVGPuF9iNIU4wHwYDVR0jBBgwFoAUNpW/lHMLI9PLlssdVGPuF9iNIU4wDwYD\
VR0TAQH/BAUwAwEB/zAOBgNVHQ8BAf8EBAMCAQYwCgYIKoZIzj0EAwIDSQAwRgIhAMsN9bOI84xgLTsanLBhYk5VaVOEOKPURjPw\
Oj9DslJiAiEA4ifE/6QDoYHu8jNPRviXiYJwhu8/wMaNin4Cqzsao1w=";

/// `O=Example, CN=alice`, serial number 0x4d2, issued by it for client authentication.
const LEAF: &str = "\
MIIBojCCAUmgAwIBAgICBNIwCgYIKoZIzj0EAwIwGjEYMBYGA1UEAwwPRXhhbXBsZSBJc3N1aW5nMCAXDTI2MTEyNDIzMDI0NloY\
DzIxMjUwNjE4MjMwMjQ2WjAiMRAwDgYDVQQKDAdFeGFtcGxlMQ4wDAYDVQQDDAVhbGljZTBZMBMGByqGSM49AgEGCCqGSM49AwEH\
A0IABIyuMVglN2iZOUyTL5Lb7FuRbnxSPOjbgIc6aUMdJx688XR4F9n/j712nE5lW2DBYapg5NRX+SPb7PR7I+S8XyijdTBzMAwG\
A1UdEwEB/wQCMAAwDgYDVR0PAQH/BAQDAgeAMBMGA1UdJQQMMAoGCCsGAQUFBwMCMB0GA1UdDgQWBBTzd5fbwbdaj+mVvApGsaGu\
SCl6fDAfBgNVHSMEGDAWgBQ2lb+Ucwsj08uWyx1UY+4X2I0hTjAKBggqhkjOPQQDAgNHADBEAiBqsnUhLCydz2ppRZk/3OxgFyIa\
UbNOwuJUETHOp5tfOgIgQE/XE4CtiiJZMz50wJOf6twCFMFrQBS88iDUJuaohkU=";

/// Client 7, with the roles admin and ops, and the chain that it sent.
pub(crate) fn admitted() -> (Arc<Admission>, Vec<Vec<u8>>) {
    let chain = chain();
    match decide(&[&chain[0]], AT, &snapshot(1)) {
        Verdict::Admitted(admission) => (admission, chain),
        Verdict::Refused(refusal) => panic!("refused: {refusal:?}"),
    }
}

/// The leaf alone, as clients send it.
pub(crate) fn chain() -> Vec<Vec<u8>> {
    vec![der(LEAF)]
}

/// Trust that admits it.
pub(crate) fn snapshot(epoch: u64) -> Snapshot {
    Snapshot::build([Batch {
        epoch: Some(epoch),
        authorities: vec![AuthorityRecord {
            id: 1,
            name: "house".to_owned(),
            certificate: der(AUTHORITY),
            admits: Admits::Signed,
            estate: Some(7),
            depth: None,
        }],
        clients: vec![ClientRecord {
            id: 7,
            name: "alice".to_owned(),
            roles: vec!["admin".to_owned(), "ops".to_owned()],
            suspended: false,
            hosts: vec![],
        }],
        ..Batch::default()
    }])
    .expect("a snapshot")
}

fn der(text: &str) -> Vec<u8> {
    STANDARD.decode(text).expect("base64")
}
