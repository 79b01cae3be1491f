//! What the fuzz targets do with their input; `judge/tests/seeds.rs` does the same with the seeds.
//!
//! Run one: `cargo fuzz run --sanitizer none certificates work/certificates seeds/certificates` in `rust/fuzz`.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::sync::LazyLock;

use judge::{
    Snapshot, Verdict, decide,
    record::{
        Admits, AnchorRecord, AuthorityRecord, Batch, ClientRecord, ForeignRecord, ListRecord,
        MemberRecord, Mode, OnRefusal, PartnerAdmits, PartnerProfile, PartnerRecord, PinKind,
        PinRecord, RevocationPolicy, RouteRecord, RuleKind, RuleRecord, SiteRecord,
    },
    route::check_path,
};

/// A moment within the validity of the seeds.
const AT: i64 = include!("seeds/at.txt");

/// An authority of ours, an adopted one that admits all that it signed, a partner, a pin, clients, a site.
static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(|| {
    let authority = |id, name: &str, certificate: &[u8], admits, estate| AuthorityRecord {
        id,
        name: name.into(),
        certificate: certificate.into(),
        admits,
        estate,
        depth: None,
    };
    let client = |id, name: &str| ClientRecord {
        id,
        name: name.into(),
        roles: vec!["staff".into()],
        suspended: false,
        hosts: vec![],
    };
    let route = |path: &str, client_certificate, roles| RouteRecord {
        path: path.into(),
        client_certificate,
        roles,
        clients: vec![],
        upstream: Some(0),
    };
    let site = SiteRecord {
        name: "site".into(),
        hosts: vec!["site.example".into()],
        client_certificate: Mode::Required,
        on_refusal: OnRefusal::Page,
        environment: String::new(),
        routes: vec![
            route("/", Mode::Required, vec![]),
            route("/admin", Mode::Required, vec!["admin".into()]),
            route("/open", Mode::Off, vec![]),
        ],
    };
    Snapshot::build([Batch {
        epoch: Some(1),
        authorities: vec![
            authority(
                1,
                "ours",
                include_bytes!("seeds/ours.der"),
                Admits::Issued,
                None,
            ),
            authority(
                2,
                "adopted",
                include_bytes!("seeds/adopted.der"),
                Admits::Signed,
                Some(2),
            ),
        ],
        clients: vec![client(1, "alice"), client(2, "estate")],
        pins: vec![PinRecord {
            kind: PinKind::Key,
            digest: vec![7; 32],
            id: 3,
            client: 1,
            not_before: AT - 1,
            not_after: AT + 1,
            retired: false,
            environment: "test".into(),
        }],
        partners: vec![PartnerRecord {
            id: 1,
            name: "acme".into(),
            admits: PartnerAdmits::Rule,
            client: 2,
            suspended: false,
            rules: [
                (RuleKind::Dns, "*.acme.example"),
                (RuleKind::Email, "*@acme.example"),
                (RuleKind::Uri, "spiffe://acme/*"),
                (RuleKind::Ip, "192.0.2.0/24"),
                (RuleKind::Dn, "CN=*"),
            ]
            .map(|(kind, pattern)| RuleRecord {
                kind,
                pattern: pattern.into(),
                anchor: None,
            })
            .into(),
            intermediates: vec![],
            profile: PartnerProfile::Names,
        }],
        anchors: vec![AnchorRecord {
            id: 5,
            partner: 1,
            certificate: include_bytes!("seeds/partner.der").into(),
            not_before: AT - 1,
            not_after: AT + 1,
            shared: false,
            depth: 1,
            sub_cas: vec![],
            environment: String::new(),
            revocation: RevocationPolicy::Fail,
            grace_seconds: 0,
            leaf_limit_seconds: 0,
            lists: vec![ListRecord {
                scope: String::new(),
                this_update: AT - 1,
                next_update: AT + 1,
            }],
            policy: String::new(),
            hold: false,
            retired: false,
        }],
        members: vec![MemberRecord {
            partner: 1,
            name: "dns:a.acme.example".into(),
            client: 1,
        }],
        foreign: vec![ForeignRecord {
            anchor: 5,
            serial: vec![5],
            at: AT,
            reason: 1,
        }],
        sites: Some(vec![site]),
        ..Batch::default()
    }])
    .unwrap()
});

/// Chains: certificates one after the other, each behind two octets of length.
pub fn certificates(data: &[u8]) {
    let mut chain = Vec::new();
    let mut rest = data;
    while let [high, low, after @ ..] = rest {
        let (der, after) = after.split_at(
            after
                .len()
                .min(usize::from(u16::from_be_bytes([*high, *low]))),
        );
        chain.push(der);
        rest = after;
    }
    let verdict = decide(&chain, AT, &SNAPSHOT);
    assert_eq!(
        format!("{verdict:?}"),
        format!("{:?}", decide(&chain, AT, &SNAPSHOT))
    );
    match verdict {
        Verdict::Admitted(admission) => {
            for text in [admission.subject(), admission.issuer(), admission.serial()] {
                assert!(
                    text.len() < 4096 && !text.chars().any(char::is_control),
                    "{text:?}"
                );
            }
        }
        Verdict::Refused(refusal) => assert!(
            refusal.detail.len() < 4096 && !refusal.detail.chars().any(char::is_control),
            "{refusal:?}"
        ),
    }
}

/// Paths that pass the rule have one reading, whoever reads them.
pub fn paths(data: &[u8]) {
    let Ok(path) = std::str::from_utf8(data) else {
        return;
    };
    let route = SNAPSHOT.default_site().unwrap().route(path);
    assert_eq!(check_path(path).is_ok(), route.is_ok());
    if let Ok(found) = route {
        let read = servlet_reading(path);
        assert_eq!(read, decoded(path.as_bytes()), "{path:?}");
        let is_admin = read == b"/admin" || read.starts_with(b"/admin/");
        let is_open = read == b"/open" || read.starts_with(b"/open/");
        let expected = if is_admin {
            "/admin"
        } else if is_open {
            "/open"
        } else {
            "/"
        };
        assert_eq!(found.unwrap().path(), expected, "{path:?}");
    }
}

/// Changes: MessagePack as the control plane sends it. A wrong one changes nothing and says what is wrong in one sentence.
pub fn deltas(data: &[u8]) {
    let Ok(delta) = rmp_serde::from_slice::<Batch>(data) else {
        return;
    };
    match SNAPSHOT.apply(delta) {
        Ok(next) => {
            assert!(next.epoch() >= SNAPSHOT.epoch());
            assert!(
                next.problems()
                    .iter()
                    .all(|problem| problem.starts_with("Partner "))
            );
        }
        Err(error) => assert!(!error.record.is_empty() && !error.problem.is_empty()),
    }
}

/// Lines of `decide --batch`: each gets an answer of the promised shape.
pub fn questions(data: &[u8]) {
    let answer: serde_json::Value = serde_json::from_slice(&judge::decide_batch(data)).unwrap();
    let verdict = answer["verdict"].as_str().unwrap();
    assert!(
        verdict == "admitted" && answer["reason"].is_null()
            || verdict == "refused" && answer["reason"].is_string()
    );
}

/// The path as a servlet container makes it: parameters cut off, decoded, backslashes turned, empty and dotted segments resolved.
pub fn servlet_reading(path: &str) -> Vec<u8> {
    let without_parameters: Vec<&str> = path
        .split('/')
        .map(|segment| segment.split(';').next().unwrap_or_default())
        .collect();
    let decoded = decoded(without_parameters.join("/").as_bytes());
    // Some decode a second time, and some take a backslash for a slash.
    let again: Vec<u8> = self::decoded(&decoded)
        .into_iter()
        .map(|octet| if octet == b'\\' { b'/' } else { octet })
        .collect();
    let mut segments: Vec<&[u8]> = Vec::new();
    for segment in again.split(|octet| *octet == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    let mut read = b"/".to_vec();
    read.extend(segments.join(&b'/'));
    if again.ends_with(b"/") && read.len() > 1 {
        read.push(b'/');
    }
    read
}

/// `path` with its percent-encodings replaced, lenient ones left as they are.
pub fn decoded(path: &[u8]) -> Vec<u8> {
    let hex = |octet: Option<&u8>| octet.and_then(|octet| char::from(*octet).to_digit(16));
    let mut decoded = Vec::new();
    let mut position = 0;
    while position < path.len() {
        match (
            path[position],
            hex(path.get(position + 1)),
            hex(path.get(position + 2)),
        ) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                position += 3;
            }
            (octet, ..) => {
                decoded.push(octet);
                position += 1;
            }
        }
    }
    decoded
}
