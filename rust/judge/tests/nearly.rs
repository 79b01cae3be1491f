//! Certificates that are nearly those of clients: what keeps each of them out, and what does not.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use judge::{
    Admission, Reason, Refusal, Snapshot, Verdict, decide,
    record::{
        Admits, AnchorRecord, AuthorityRecord, Batch, ClientRecord, CredentialRecord, ListRecord,
        Mode, OnRefusal, PartnerAdmits, PartnerProfile, PartnerRecord, RevocationPolicy,
        RevocationRecord, RouteRecord, RuleKind, RuleRecord, SiteRecord,
    },
};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType,
    GeneralSubtree, IsCa, Issuer, KeyIdMethod, KeyPair, NameConstraints, SerialNumber, SigningKey,
    date_time_ymd,
};

/// 15 January 2027.
const AT: i64 = 1_800_000_000;
const CRL_DISTRIBUTION_POINTS: &[u64] = &[2, 5, 29, 31];
const LIST: &str = "http://acme.example/list";
const OURS: &str = "Ours";
const ACME: &str = "Acme";

/// The key of a CA, of another of its name, and of clients.
static KEYS: LazyLock<Vec<KeyPair>> =
    LazyLock::new(|| (0..3).map(|_| KeyPair::generate().unwrap()).collect());
const CLIENT: usize = 2;

fn ca(name: &str) -> CertificateParams {
    let mut params = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from(vec![0x0a, 0xbc]));
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2040, 1, 1);
    params
}

fn client() -> CertificateParams {
    called(["a.acme.example".to_owned()])
}

fn called(hosts: impl Into<Vec<String>>) -> CertificateParams {
    let mut params = named("somebody");
    params.subject_alt_names = CertificateParams::new(hosts).unwrap().subject_alt_names;
    params
}

fn with(extensions: Vec<CustomExtension>) -> CertificateParams {
    let mut params = client();
    params.custom_extensions = extensions;
    params
}

fn root(params: &CertificateParams, key: usize) -> Vec<u8> {
    params.self_signed(&KEYS[key]).unwrap().der().to_vec()
}

fn signed(params: &CertificateParams, of: usize, by: CertificateParams, key: usize) -> Vec<u8> {
    let issuer = Issuer::new(by, &KEYS[key]);
    params.signed_by(&KEYS[of], &issuer).unwrap().der().to_vec()
}

/// What Acme's CA signed.
fn acmes(params: &CertificateParams) -> Vec<u8> {
    signed(params, CLIENT, ca(ACME), 0)
}

fn client_record() -> ClientRecord {
    ClientRecord {
        id: 1,
        name: "somebody".into(),
        roles: vec![],
        suspended: false,
        hosts: vec![],
    }
}

/// A partner with one CA and one rule.
fn acme(kind: RuleKind, pattern: &str) -> Batch {
    Batch {
        clients: vec![client_record()],
        partners: vec![PartnerRecord {
            id: 1,
            name: "acme".into(),
            admits: PartnerAdmits::Rule,
            client: 1,
            suspended: false,
            rules: vec![RuleRecord {
                kind,
                pattern: pattern.into(),
                anchor: None,
            }],
            intermediates: vec![],
            profile: PartnerProfile::Names,
        }],
        anchors: vec![AnchorRecord {
            id: 5,
            partner: 1,
            certificate: root(&ca(ACME), 0),
            not_before: AT - 3_600,
            not_after: AT + 3_600,
            shared: false,
            depth: 1,
            sub_cas: vec![],
            environment: String::new(),
            revocation: RevocationPolicy::Ignore,
            grace_seconds: 0,
            leaf_limit_seconds: i64::MAX,
            lists: vec![],
            policy: String::new(),
            hold: false,
            retired: false,
        }],
        ..Batch::default()
    }
}

fn usual() -> Batch {
    acme(RuleKind::Dns, "*.acme.example")
}

/// As [`usual`], where a list or an answer of `scope` is all that is known of revocations.
fn listed(scope: &str) -> Batch {
    let mut batch = usual();
    batch.anchors[0].revocation = RevocationPolicy::Fail;
    batch.anchors[0].lists = vec![ListRecord {
        scope: scope.into(),
        this_update: AT - 60,
        next_update: AT + 60,
    }];
    batch
}

fn authority(id: u32, certificate: Vec<u8>) -> AuthorityRecord {
    AuthorityRecord {
        id,
        name: format!("authority-{id}"),
        certificate,
        admits: Admits::Listed,
        estate: None,
        depth: None,
    }
}

fn judged(chain: &[Vec<u8>], batch: Batch) -> Result<Admission, Refusal> {
    let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    match decide(&chain, AT, &Snapshot::build([batch]).unwrap()) {
        Verdict::Admitted(admission) => Ok((*admission).clone()),
        Verdict::Refused(refusal) => Err(refusal),
    }
}

fn reason(chain: &[Vec<u8>], batch: Batch) -> Option<Reason> {
    judged(chain, batch).err().map(|refusal| refusal.reason)
}

fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len() as u16;
    let head = match content.len() {
        0..0x80 => vec![tag, length as u8],
        0x80..0x100 => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    [head, content].concat()
}

/// The contents of the first element, and what follows it.
fn opened(der: &[u8]) -> (&[u8], &[u8]) {
    element_in(der).expect("an element")
}

/// As `opened`, of what may be none.
fn element_in(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, length) = match *der.get(1)? {
        0x81 => (3, usize::from(*der.get(2)?)),
        0x82 => (
            4,
            usize::from(u16::from_be_bytes([*der.get(2)?, *der.get(3)?])),
        ),
        length => (2, usize::from(length)),
    };
    der.get(head..)?.split_at_checked(length)
}

/// `der`, in which something stands at one place, with something else there.
fn patched(der: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut places = (0..der.len()).filter(|at| der[*at..].starts_with(from));
    let (Some(at), None) = (places.next(), places.next()) else {
        panic!("not once");
    };
    [&der[..at], to, &der[at + from.len()..]].concat()
}

/// A certificate with its key said to be on a curve of 192 bits, which nobody relies on.
fn weakened(der: &[u8]) -> Vec<u8> {
    const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    const P192: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 1];
    patched(der, P256, P192)
}

/// A distribution point with an address, and `more`.
fn point(address: &str, more: &[u8]) -> Vec<u8> {
    let name = element(0x86, &[address.as_bytes()]);
    let full = element(0xa0, &[&element(0xa0, &[&name])]);
    element(0x30, &[&full, more])
}

fn points(points: &[Vec<u8>], critical: bool) -> CustomExtension {
    let parts: Vec<&[u8]> = points.iter().map(Vec::as_slice).collect();
    let content = element(0x30, &parts);
    let mut extension = CustomExtension::from_oid_content(CRL_DISTRIBUTION_POINTS, content);
    extension.set_criticality(critical);
    extension
}

#[test]
fn the_usual_one_comes_in_while_its_ca_is_accepted() {
    let admission = judged(&[acmes(&client())], usual()).unwrap();
    assert!(admission.holds_at(AT) && admission.holds_at(AT - 3_600));
    assert!(!admission.holds_at(AT - 3_600 - 121) && !admission.holds_at(AT + 3_601));
}

#[test]
fn a_revocation_under_another_key_of_the_same_name_is_not_meant() {
    let leaf = signed(&client(), CLIENT, ca(OURS), 0);
    let fingerprint = digest(&SHA256, &leaf).as_ref().to_vec();
    let batch = |revoked_under| Batch {
        clients: vec![client_record()],
        authorities: vec![
            authority(1, root(&ca(OURS), 0)),
            authority(2, root(&ca(OURS), 1)),
        ],
        credentials: vec![CredentialRecord {
            fingerprint: fingerprint.clone(),
            id: 7,
            client: 1,
            authority: 1,
        }],
        revocations: vec![RevocationRecord {
            authority: revoked_under,
            serial: vec![0x0a, 0xbc],
            at: AT - 1,
            reason: 1,
        }],
        ..Batch::default()
    };
    assert_eq!(reason(std::slice::from_ref(&leaf), batch(2)), None);
    assert_eq!(reason(&[leaf], batch(1)), Some(Reason::Revoked));
}

#[test]
fn who_bears_a_cas_name_is_not_that_ca() {
    let batch = || Batch {
        authorities: vec![authority(1, root(&ca(OURS), 0))],
        ..usual()
    };
    for name in [OURS, ACME] {
        let strangers = |key| signed(&named(name), key, ca("Nobody"), 1);
        let found = |key| judged(&[strangers(key)], batch()).unwrap_err();
        let (nobody, itself) = (found(1), found(0));
        assert_eq!(
            (nobody.reason, nobody.issuer_known),
            (Reason::UnknownIssuer, false)
        );
        assert_eq!(
            (itself.reason, itself.issuer_known),
            (Reason::CaAsClient, true)
        );
    }
}

/// RFC 5280 4.2.1.1, RFC 4158 3.5.12: it says where to look first, and keeps nobody out whom the signature lets in.
#[test]
fn a_key_identifier_is_a_hint() {
    let with_id = |name: &str, key_id: u8| {
        let mut params = ca(name);
        params.key_identifier_method = KeyIdMethod::PreSpecified(vec![key_id; 4]);
        params
    };
    let mut leaf = client();
    leaf.use_authority_key_identifier_extension = true;
    let below = |key_id, key| signed(&with_id("Below", key_id), key, ca(ACME), 0);
    let shown = signed(&leaf, CLIENT, with_id("Below", 1), 1);
    for (sent, expected) in [
        (vec![below(1, 1)], None),
        (vec![below(2, 1)], None),
        (vec![below(2, CLIENT), below(2, 1)], None),
        // Another's is not taken for one whose signature is wrong.
        (vec![below(2, CLIENT)], Some(Reason::UnknownIssuer)),
        (vec![below(1, CLIENT)], Some(Reason::BadSignature)),
        (
            vec![below(1, CLIENT), below(2, CLIENT)],
            Some(Reason::BadSignature),
        ),
    ] {
        let chain = [vec![shown.clone()], sent].concat();
        assert_eq!(reason(&chain, usual()), expected);
    }

    // The partner's CA itself, whose certificate was made anew.
    let renewed = |key| {
        let mut batch = usual();
        batch.anchors[0].certificate = root(&with_id(ACME, 2), key);
        batch
    };
    let shown = signed(&leaf, CLIENT, with_id(ACME, 1), 0);
    let same = [shown.clone(), root(&with_id(ACME, 1), 0)];
    for chain in [&same[..1], &same] {
        assert_eq!(reason(chain, renewed(0)), None);
    }
    assert_eq!(reason(&same[..1], renewed(1)), Some(Reason::UnknownIssuer));
    leaf.not_after = date_time_ymd(2021, 1, 1);
    let late = signed(&leaf, CLIENT, with_id(ACME, 1), 0);
    assert_eq!(reason(&[late], renewed(0)), Some(Reason::Expired));
}

#[test]
fn an_answer_is_about_the_serial_number_that_the_anchor_gave() {
    let direct = acmes(&client());
    for (scope, expected) in [
        ("ocsp:0abc", None),
        ("ocsp:abc", None),
        ("ocsp:abcd", Some(Reason::CrlMissing)),
    ] {
        let chain = std::slice::from_ref(&direct);
        assert_eq!(reason(chain, listed(scope)), expected, "{scope}");
    }
    let chain = [
        signed(&client(), CLIENT, ca("Below"), 1),
        signed(&ca("Below"), 1, ca(ACME), 0),
    ];
    assert_eq!(reason(&chain, listed("ocsp:abc")), Some(Reason::CrlMissing));
}

#[test]
fn a_list_counts_where_the_certificate_names_it_for_all_reasons_and_of_its_own_ca() {
    let directory = element(0xa4, &[&element(0x30, &[])]);
    let elsewhere: Vec<Vec<u8>> = (0..8).map(|n| point(&format!("{LIST}/{n}"), b"")).collect();
    let last = |many: usize| [&elsewhere[..many], &[point(LIST, b"")]].concat();
    for (points, expected) in [
        (vec![point(LIST, b"")], None),
        (last(7), None),
        // More addresses than are looked at.
        (last(8), Some(Reason::CrlMissing)),
        // keyCompromise alone; another's list.
        (
            vec![point(LIST, &element(0x81, &[&[6, 0x40]]))],
            Some(Reason::CrlMissing),
        ),
        (
            vec![point(LIST, &element(0xa2, &[&directory]))],
            Some(Reason::CrlMissing),
        ),
    ] {
        let leaf = acmes(&with(vec![self::points(&points, false)]));
        assert_eq!(reason(&[leaf], listed(LIST)), expected);
    }
    let critical = acmes(&with(vec![points(&[point(LIST, b"")], true)]));
    assert_eq!(reason(&[critical], listed(LIST)), Some(Reason::PathInvalid));
}

#[test]
fn extensions_are_few_each_there_once_and_say_something() {
    let unknown = |number: u64| CustomExtension::from_oid_content(&[1, 2, 3, number], vec![5, 0]);
    let no_purpose = CustomExtension::from_oid_content(&[2, 5, 29, 37], element(0x30, &[]));
    for (extensions, expected) in [
        ((0..60).map(unknown).collect::<Vec<_>>(), None),
        ((0..65).map(unknown).collect(), Some(Reason::Malformed)),
        (vec![unknown(1), unknown(1)], Some(Reason::Malformed)),
        (vec![no_purpose], Some(Reason::Malformed)),
    ] {
        let leaf = acmes(&with(extensions));
        assert_eq!(reason(&[leaf], usual()), expected);
    }
}

#[test]
fn names_are_not_more_than_anybody_has() {
    for (many, expected) in [(1_024, None), (1_025, Some(Reason::PathInvalid))] {
        let hosts: Vec<String> = (0..many).map(|n| format!("{n}.acme.example")).collect();
        assert_eq!(
            reason(&[acmes(&called(hosts))], usual()),
            expected,
            "{many}"
        );
    }
}

#[test]
fn a_subject_that_is_too_long_to_be_told_from_others_names_nobody() {
    for (length, expected) in [(500, None), (600, Some(Reason::NameNotPermitted))] {
        let leaf = acmes(&named(&"x".repeat(length)));
        assert_eq!(
            reason(&[leaf], acme(RuleKind::Dn, "CN=*")),
            expected,
            "{length}"
        );
    }
}

#[test]
fn a_certificate_is_what_its_version_says_and_no_more() {
    let der = acmes(&client());
    let (outer, _) = opened(&der);
    let (tbs, after) = opened(outer);
    assert_eq!(tbs[..5], [0xa0, 3, 2, 1, 2]);
    let same = element(0x30, &[&element(0x30, &[tbs]), after]);
    assert_eq!(reason(&[same], usual()), None);
    for wrong in [
        // X.509 v1 has no extensions.
        element(0x30, &[&element(0x30, &[&tbs[5..]]), after]),
        element(0x30, &[&element(0x30, &[tbs]), after, &[5, 0]]),
        [&der[..], &[5, 0]].concat(),
    ] {
        assert_eq!(reason(&[wrong], usual()), Some(Reason::Malformed));
    }
}

#[test]
fn a_serial_number_is_kept_in_one_form() {
    let batch = Batch {
        revocations: vec![RevocationRecord {
            authority: 1,
            serial: vec![0, 1],
            at: AT,
            reason: 1,
        }],
        ..Batch::default()
    };
    assert!(Snapshot::build([batch]).is_err());
}

#[test]
fn an_authority_of_a_weak_key_vouches_for_nobody_and_that_is_said() {
    let leaf = signed(&client(), CLIENT, ca(OURS), 0);
    let batch = Batch {
        authorities: vec![authority(1, weakened(&root(&ca(OURS), 0)))],
        ..Batch::default()
    };
    assert_eq!(reason(&[leaf], batch), Some(Reason::WeakKey));
}

#[test]
fn a_partner_whose_key_verified_nothing_has_no_say_beside_one_whose_key_did() {
    let mut expired = client();
    expired.not_after = date_time_ymd(2025, 1, 1);
    // For names that nobody here vouches for; another has an intermediate that could be the issuer, of a weak key.
    let mut batch = acme(RuleKind::Dns, "*.other.example");
    let other = weakened(&signed(&ca(ACME), 1, ca("Other"), 1));
    batch.partners.push(PartnerRecord {
        id: 2,
        name: "other".into(),
        rules: vec![],
        intermediates: vec![other.into()],
        admits: PartnerAdmits::Rule,
        client: 1,
        suspended: false,
        profile: PartnerProfile::Names,
    });
    let refusal = judged(&[acmes(&expired)], batch).unwrap_err();
    assert_eq!(
        (refusal.reason, refusal.issuer_known),
        (Reason::Expired, true)
    );
}

#[test]
fn what_is_signed_and_the_signature_name_one_algorithm() {
    let der = acmes(&client());
    let (outer, _) = opened(&der);
    let (tbs, after) = opened(outer);
    let (algorithm, _) = opened(after);
    let algorithm = element(0x30, &[algorithm]);
    // Signed again, by the CA itself: with SHA-256, which is said once.
    let signed = |tbs: &[u8]| {
        let tbs = element(0x30, &[tbs]);
        let signature = KEYS[0].sign(&tbs).unwrap();
        element(0x30, &[&tbs, &algorithm, &element(3, &[&[0], &signature])])
    };
    const SHA_256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
    const SHA_384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
    let two = signed(&patched(tbs, SHA_256, SHA_384));
    assert_eq!(reason(&[signed(tbs)], usual()), None);
    assert_eq!(reason(&[two], usual()), Some(Reason::PathInvalid));
}

#[test]
fn who_has_no_name_issues_nothing() {
    let nameless = || {
        let mut params = ca("");
        params.distinguished_name = DistinguishedName::new();
        params
    };
    // X.509 v1 with no name at all, which openssl makes, and which an operator adopted.
    let root = root(&nameless(), 0);
    let (outer, _) = opened(&root);
    let (tbs, after) = opened(outer);
    let extensions = (0..tbs.len()).rfind(|at| {
        let rest = &tbs[*at..]; // the octet may be one of the key's, too
        rest[0] == 0xa3 && element_in(rest).is_some_and(|(_, after)| after.is_empty())
    });
    let bare = element(0x30, &[&tbs[5..extensions.unwrap()]]);
    let v1 = element(0x30, &[&bare, after]);
    let leaf = signed(&client(), CLIENT, nameless(), 0);
    let named = signed(&client(), CLIENT, ca(OURS), 0);
    let batch = |root: Vec<u8>| Batch {
        authorities: vec![authority(1, root)],
        ..Batch::default()
    };
    assert_eq!(reason(&[leaf], batch(v1)), Some(Reason::PathInvalid));
    let ours = self::root(&ca(OURS), 0);
    assert_eq!(reason(&[named], batch(ours)), Some(Reason::NotEnrolled));
    // Nor does one of a partner's.
    let chain = [
        signed(&client(), CLIENT, nameless(), 1),
        signed(&nameless(), 1, ca(ACME), 0),
    ];
    assert_eq!(reason(&chain, usual()), Some(Reason::PathInvalid));
}

#[test]
fn a_client_of_its_cas_name_keeps_to_the_names_that_the_ca_may_vouch_for() {
    let mut leaf = client();
    leaf.distinguished_name = ca(ACME).distinguished_name;
    for (host, expected) in [
        ("acme.example", None),
        ("other.example", Some(Reason::PathInvalid)),
    ] {
        let mut bounded = ca(ACME);
        bounded.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName(host.into())],
            excluded_subtrees: vec![],
        });
        let mut batch = usual();
        batch.anchors[0].certificate = root(&bounded, 0);
        assert_eq!(reason(&[acmes(&leaf)], batch), expected, "{host}");
    }
}

#[test]
fn only_cas_whose_clients_may_come_in_are_named_to_browsers() {
    let route = |mode| RouteRecord {
        path: "/".into(),
        client_certificate: mode,
        roles: vec![],
        clients: vec![],
        upstream: Some(0),
    };
    let named = |mode, environment: &str, at| {
        let mut batch = usual();
        batch.anchors[0].environment = environment.into();
        batch.sites = Some(vec![SiteRecord {
            name: "main".into(),
            hosts: vec!["localhost".into()],
            client_certificate: Mode::Required,
            on_refusal: OnRefusal::Page,
            environment: "test".into(),
            routes: vec![route(mode)],
        }]);
        let snapshot = Snapshot::build([batch]).unwrap();
        let site = snapshot.default_site().unwrap();
        let names = snapshot.issuer_names(site, at, 8_192);
        names.map(|names| names.len())
    };
    assert_eq!(named(Mode::Required, "", AT), Some(1));
    assert_eq!(named(Mode::Required, "test", AT - 7_200), Some(1));
    // Its time is over; it is for other sites; to this one people come to show what they have.
    assert_eq!(named(Mode::Required, "", AT + 3_601), Some(0));
    assert_eq!(named(Mode::Required, "live", AT), Some(0));
    assert_eq!(named(Mode::Shown, "", AT), None);
}
