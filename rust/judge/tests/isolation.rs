//! What one partner brings never changes the verdict on another's certificates: for any CAs, equal names, equal key
//! identifiers, cross-signed intermediates, shared anchors, rules, members and revocations.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::LazyLock;

use judge::{
    Admission, Evidence, Reason, Refusal, Snapshot, Verdict, decide,
    record::{
        AnchorRecord, Batch, ClientRecord, ForeignRecord, ListRecord, MemberRecord, PartnerAdmits,
        PartnerProfile, PartnerRecord, RevocationPolicy, RuleKind, RuleRecord,
    },
};
use proptest::{collection::vec, prelude::*, sample::select};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyIdMethod, KeyPair, SerialNumber, date_time_ymd,
};
use serde_bytes::ByteBuf;

/// 15 January 2027.
const AT: i64 = 1_800_000_000;
const DAY: i64 = 86_400;

/// Keys 0 and 1 are the first partner's, 2 and 3 the second's, 4 and 5 nobody's; 6 is a CA's that both rely on.
static KEYS: LazyLock<Vec<KeyPair>> =
    LazyLock::new(|| (0..8).map(|_| KeyPair::generate().unwrap()).collect());
const SHARED: usize = 6;
const LEAF: usize = 7;
const SUBJECTS: [&str; 2] = ["Issuing CA", "Corporate CA"];
const NAMES: [&str; 4] = [
    "a.acme.example",
    "b.acme.example",
    "a.other.example",
    "x.nobody.example",
];

/// A CA as its certificates and those below it speak of it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Ca {
    key: usize,
    subject: usize,
    key_id: u8,
}

/// A certificate of `ca`, issued by another.
#[derive(Debug, Clone)]
struct Cross {
    ca: Ca,
    by: Ca,
    expired: bool,
}

#[derive(Debug, Clone)]
struct Leaf {
    by: Ca,
    /// Whether it says by which key.
    says: bool,
    names: Vec<usize>,
    expired: bool,
    for_clients: bool,
    serial: u8,
}

#[derive(Debug, Clone)]
struct Chain {
    leaf: Leaf,
    sent: Vec<Cross>,
}

#[derive(Debug, Clone)]
struct Anchored {
    ca: Ca,
    depth: u8,
    revocation: RevocationPolicy,
    /// nextUpdate of a list of all, relative to now.
    list: Option<i64>,
    ended: bool,
    /// Whether it is to follow a policy, which no certificate here says it does.
    policy: bool,
    /// Whether CAs below it wait; none was allowed.
    hold: bool,
}

/// What one partner brings.
#[derive(Debug, Clone)]
struct Side {
    anchors: Vec<Anchored>,
    shares: bool,
    helpers: Vec<Cross>,
    /// Of its own namespace: the pattern, the exact name.
    rules: (bool, bool),
    admits: PartnerAdmits,
    suspended: bool,
    member: bool,
    revoked: Vec<u8>,
    profile: PartnerProfile,
}

fn params(ca: Ca, expired: bool) -> CertificateParams {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, SUBJECTS[ca.subject]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_identifier_method = KeyIdMethod::PreSpecified(vec![ca.key_id; 4]);
    dated(&mut params, expired);
    params
}

fn dated(params: &mut CertificateParams, expired: bool) {
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(if expired { 2026 } else { 2040 }, 1, 1);
}

fn root(ca: Ca) -> Vec<u8> {
    let certificate = params(ca, false).self_signed(&KEYS[ca.key]).unwrap();
    certificate.der().to_vec()
}

fn cross(cross: &Cross) -> Vec<u8> {
    let mut issued = params(cross.ca, cross.expired);
    issued.use_authority_key_identifier_extension = true;
    let by = Issuer::new(params(cross.by, false), &KEYS[cross.by.key]);
    issued
        .signed_by(&KEYS[cross.ca.key], &by)
        .unwrap()
        .der()
        .to_vec()
}

fn leaf(leaf: &Leaf) -> Vec<u8> {
    let names: Vec<String> = leaf
        .names
        .iter()
        .map(|name| NAMES[*name].to_owned())
        .collect();
    let mut params = CertificateParams::new(names).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, "somebody");
    params.serial_number = Some(SerialNumber::from(vec![leaf.serial]));
    params.use_authority_key_identifier_extension = leaf.says;
    params.extended_key_usages = vec![if leaf.for_clients {
        ExtendedKeyUsagePurpose::ClientAuth
    } else {
        ExtendedKeyUsagePurpose::ServerAuth
    }];
    dated(&mut params, leaf.expired);
    let by = Issuer::new(self::params(leaf.by, false), &KEYS[leaf.by.key]);
    params.signed_by(&KEYS[LEAF], &by).unwrap().der().to_vec()
}

fn ca(keys: &'static [usize]) -> impl Strategy<Value = Ca> {
    (select(keys), 0..SUBJECTS.len(), 1u8..3).prop_map(|(key, subject, key_id)| Ca {
        key,
        subject,
        key_id,
    })
}

const ALL: &[usize] = &[0, 1, 2, 3, 4, 5, 6];

/// A certificate that those who hold `keys` can have made, or that anybody can have.
fn crossed(keys: &'static [usize]) -> impl Strategy<Value = Cross> {
    let odds = prop_oneof![4 => Just(false), 1 => Just(true)];
    (ca(ALL), ca(keys), odds).prop_map(|(ca, by, expired)| Cross { ca, by, expired })
}

fn side(own: &'static [usize]) -> impl Strategy<Value = Side> {
    let policy = select(vec![
        RevocationPolicy::Ignore,
        RevocationPolicy::Fail,
        RevocationPolicy::Grace,
    ]);
    let list = select(vec![None, Some(DAY), Some(-DAY)]);
    let anchored = (
        ca(own),
        0u8..2,
        policy,
        list,
        prop_oneof![6 => Just(false), 1 => Just(true)],
        prop_oneof![6 => Just(false), 1 => Just(true)],
        prop_oneof![6 => Just(false), 1 => Just(true)],
    )
        .prop_map(
            |(ca, depth, revocation, list, ended, policy, hold)| Anchored {
                ca,
                depth,
                revocation,
                list,
                ended,
                policy,
                hold,
            },
        );
    let admits = select(vec![
        PartnerAdmits::Rule,
        PartnerAdmits::Rule,
        PartnerAdmits::Listed,
    ]);
    (
        vec(anchored, 0..4),
        any::<bool>(),
        vec(crossed(own), 0..3),
        any::<(bool, bool)>(),
        admits,
        prop_oneof![6 => Just(false), 1 => Just(true)],
        any::<bool>(),
        vec(1u8..6, 0..3),
        prop_oneof![6 => Just(PartnerProfile::Names), 1 => Just(PartnerProfile::Psd2)],
    )
        .prop_map(
            |(anchors, shares, helpers, rules, admits, suspended, member, revoked, profile)| Side {
                anchors,
                shares,
                helpers,
                rules,
                admits,
                suspended,
                member,
                revoked,
                profile,
            },
        )
}

fn chain() -> impl Strategy<Value = Chain> {
    let mostly = || prop_oneof![6 => Just(true), 1 => Just(false)];
    let leaf = (
        ca(ALL),
        any::<bool>(),
        vec(0..NAMES.len(), 1..3),
        mostly(),
        mostly(),
        1u8..6,
    )
        .prop_map(|(by, says, names, valid, for_clients, serial)| Leaf {
            by,
            says,
            names,
            expired: !valid,
            for_clients,
            serial,
        });
    (leaf, vec(crossed(ALL), 0..3)).prop_map(|(leaf, sent)| Chain { leaf, sent })
}

/// The records of one partner: its id, the place of its exact name, the client of its own.
fn batch(side: &Side, id: u32, name: usize, client: u64) -> Batch {
    let host = NAMES[name];
    let first = id * 100;
    let anchor = |number: u32, one: &Anchored, shared| AnchorRecord {
        id: first + number,
        partner: id,
        certificate: root(one.ca),
        not_before: AT - DAY,
        not_after: if one.ended { AT - 1 } else { AT + DAY },
        shared,
        depth: one.depth,
        sub_cas: vec![],
        environment: String::new(),
        revocation: one.revocation,
        grace_seconds: 60,
        leaf_limit_seconds: i64::MAX,
        lists: one
            .list
            .map(|end| ListRecord {
                scope: String::new(),
                this_update: AT - 9 * DAY,
                next_update: AT + end,
            })
            .into_iter()
            .collect(),
        policy: if one.policy { "1.2.3.4" } else { "" }.into(),
        hold: one.hold,
        retired: one.ended && one.hold,
    };
    let mut anchors: Vec<AnchorRecord> = (0..)
        .zip(&side.anchors)
        .map(|(number, one)| anchor(number, one, false))
        .collect();
    let rule = |pattern: String, anchor| RuleRecord {
        kind: RuleKind::Dns,
        pattern,
        anchor,
    };
    let mut rules = Vec::new();
    if side.rules.0 {
        rules.push(rule(format!("*.{}", &host[2..]), None));
    }
    if side.rules.1 {
        rules.push(rule(host.into(), None));
    }
    if side.shares {
        let ca = Ca {
            key: SHARED,
            subject: 0,
            key_id: 1,
        };
        let one = Anchored {
            ca,
            depth: 0,
            revocation: RevocationPolicy::Ignore,
            list: None,
            ended: false,
            policy: false,
            hold: false,
        };
        anchors.push(anchor(99, &one, true));
        rules.push(rule(host.into(), Some(first + 99)));
    }
    let member = MemberRecord {
        partner: id,
        name: format!("dns:{host}"),
        client: client + 1,
    };
    Batch {
        clients: [client, client + 1]
            .map(|id| ClientRecord {
                id,
                name: format!("client {id}"),
                roles: vec![],
                suspended: false,
                hosts: vec![],
            })
            .into(),
        partners: vec![PartnerRecord {
            id,
            name: format!("partner-{name}"),
            admits: side.admits,
            client,
            suspended: side.suspended,
            rules,
            intermediates: side
                .helpers
                .iter()
                .map(|one| ByteBuf::from(cross(one)))
                .collect(),
            profile: side.profile,
        }],
        foreign: anchors
            .iter()
            .flat_map(|anchor| {
                side.revoked.iter().map(|serial| ForeignRecord {
                    anchor: anchor.id,
                    serial: vec![*serial],
                    at: AT - DAY,
                    reason: 1,
                })
            })
            .collect(),
        members: if side.member { vec![member] } else { vec![] },
        anchors,
        ..Batch::default()
    }
}

/// As sent. Signed once: signatures differ from call to call.
fn sent(chain: &Chain) -> Vec<Vec<u8>> {
    let companions = chain.sent.iter().map(cross);
    [leaf(&chain.leaf)].into_iter().chain(companions).collect()
}

fn judged(sent: &[Vec<u8>], batches: Vec<Batch>) -> Result<Admission, Refusal> {
    let snapshot = Snapshot::build(batches).unwrap();
    let sent: Vec<&[u8]> = sent.iter().map(Vec::as_slice).collect();
    match decide(&sent, AT, &snapshot) {
        Verdict::Admitted(admission) => Ok((*admission).clone()),
        Verdict::Refused(refusal) => Err(refusal),
    }
}

/// Whether the partner's own rules, whatever they are, are about all names of the leaf. Under PSD2 a name is that of an
/// organization, and no leaf here has one.
fn claims(side: &Side, leaf: &Leaf, own: usize) -> bool {
    let host = NAMES[own];
    let named = side.profile == PartnerProfile::Names;
    named
        && leaf.names.iter().all(|name| {
            let name = NAMES[*name];
            side.rules.0 && name[2..] == host[2..] || (side.rules.1 || side.shares) && name == host
        })
}

/// A chain that leads somewhere: issued by one of the CAs that the sides have, or by one that they signed.
fn case() -> impl Strategy<Value = (Side, Side, Chain)> {
    (
        side(&[0, 1]),
        side(&[2, 3]),
        chain(),
        any::<u8>(),
        any::<bool>(),
    )
        .prop_map(|(first, second, mut chain, pick, sent)| {
            let roots = first
                .anchors
                .iter()
                .chain(&second.anchors)
                .map(|one| one.ca);
            let crossed = first
                .helpers
                .iter()
                .chain(&second.helpers)
                .map(|one| one.ca);
            let shared = [Ca {
                key: SHARED,
                subject: 0,
                key_id: 1,
            }];
            let all: Vec<Ca> = roots.chain(crossed).chain(shared).collect();
            // One in four is left as it is: a stranger's.
            if let Some(by) = all.get(usize::from(pick) % (all.len() * 4 / 3 + 1)) {
                chain.leaf.by = *by;
            }
            if sent {
                chain
                    .sent
                    .extend(first.helpers.iter().chain(&second.helpers).take(3).cloned());
                chain.sent.truncate(3);
            }
            (first, second, chain)
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(600), ..ProptestConfig::default() })]

    #[test]
    fn a_partner_changes_nothing_for_another((first, second, chain) in case(), swapped: bool) {
        let (id, other) = if swapped { (2, 1) } else { (1, 2) };
        let sent = sent(&chain);
        let mine = || batch(&first, id, 0, 10);
        let theirs = || batch(&second, other, 2, 20);
        let (alone, together) = (judged(&sent, vec![mine()]), judged(&sent, vec![theirs(), mine()]));
        let without = judged(&sent, vec![theirs()]);

        let claimed = claims(&first, &chain.leaf, 0);
        let verified = match &alone {
            Ok(_) => true,
            Err(refusal) => refusal.issuer_known,
        };
        if alone.is_ok() || verified && claimed {
            // Mine: the very same verdict, in every word.
            prop_assert_eq!(&alone, &together);
        } else if let Ok(admission) = &together {
            // Not mine. The other may admit it, for a name of its own.
            prop_assert_eq!(admission.partner(), Some("partner-2"));
            prop_assert!(claims(&second, &chain.leaf, 2));
            prop_assert_eq!(&together, &without);
        } else if without.as_ref().is_err_and(|refusal| !refusal.issuer_known) && verified {
            // Nobody's name, and the other's keys have verified nothing.
            prop_assert_eq!(&alone, &together);
        }
        if let Ok(admission) = &together {
            prop_assert_eq!(admission.evidence(), Evidence::Partner);
        }
    }
}

/// The chain of a leaf under `Ca { key: 0, .. }`, and the partner whose CA that is.
fn plain(says: bool) -> (Chain, Side) {
    let ca = Ca {
        key: 0,
        subject: 0,
        key_id: 1,
    };
    let anchored = Anchored {
        ca,
        depth: 0,
        revocation: RevocationPolicy::Ignore,
        list: None,
        ended: false,
        policy: false,
        hold: false,
    };
    let side = Side {
        anchors: vec![anchored],
        shares: false,
        helpers: vec![],
        rules: (true, false),
        admits: PartnerAdmits::Rule,
        suspended: false,
        member: false,
        revoked: vec![],
        profile: PartnerProfile::Names,
    };
    let leaf = Leaf {
        by: ca,
        says,
        names: vec![0],
        expired: false,
        for_clients: true,
        serial: 7,
    };
    (Chain { leaf, sent: vec![] }, side)
}

#[test]
fn nobody_spends_the_signatures_of_another() {
    for says in [false, true] {
        let (chain, mine) = plain(says);
        let sent = sent(&chain);
        // More CAs with the very name and key identifier than one search may try.
        let theirs = Side {
            anchors: (0..40)
                .map(|number| {
                    let mut anchored = mine.anchors[0].clone();
                    anchored.ca.key = 2 + number % 4;
                    anchored
                })
                .collect(),
            ..mine.clone()
        };
        for (id, other) in [(1, 2), (2, 1)] {
            let alone = judged(&sent, vec![batch(&mine, id, 0, 10)]);
            let together = judged(
                &sent,
                vec![batch(&mine, id, 0, 10), batch(&theirs, other, 2, 20)],
            );
            assert!(alone.is_ok());
            assert_eq!(alone, together);
        }
        let refused = judged(&sent, vec![batch(&theirs, 1, 2, 20)]).unwrap_err();
        assert_eq!(refused.reason, Reason::PathInvalid, "{}", refused.detail);
    }
}

#[test]
fn what_cannot_be_read_of_one_holds_up_nobody() {
    let (chain, mine) = plain(true);
    let sent = sent(&chain);
    let alone = judged(&sent, vec![batch(&mine, 1, 0, 10)]);
    let mut broken = batch(&mine, 2, 2, 20);
    broken.anchors[0].certificate = b"nothing".to_vec();
    broken.partners[0].intermediates = vec![ByteBuf::from(vec![0x30, 0])];
    broken.partners[0].rules[0].pattern = "*".into();
    let snapshot = Snapshot::build([batch(&mine, 1, 0, 10), broken]).unwrap();
    let problems = snapshot.problems();
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(
        problems
            .iter()
            .all(|problem| problem.starts_with("Partner partner-2: its "))
    );
    let Verdict::Admitted(admission) = decide(&[&sent[0]], AT, &snapshot) else {
        panic!("not admitted")
    };
    assert_eq!(alone.as_ref(), Ok(&*admission));
    // Repaired, there is nothing left to say.
    let repaired = snapshot.apply(batch(&mine, 2, 2, 20)).unwrap();
    assert!(repaired.problems().is_empty());
}

#[test]
fn a_verdict_ends_with_the_list_that_it_rests_on() {
    let (chain, mut mine) = plain(true);
    let sent = sent(&chain);
    let until = |side: &Side| {
        judged(&sent, vec![batch(side, 1, 0, 10)])
            .unwrap()
            .valid_until()
    };
    // The anchor's own end is a day away.
    assert_eq!(until(&mine), AT + DAY);
    mine.anchors[0].list = Some(100);
    for (policy, end) in [
        (RevocationPolicy::Ignore, AT + DAY),
        (RevocationPolicy::Fail, AT + 100),
        (RevocationPolicy::Grace, AT + 160),
    ] {
        mine.anchors[0].revocation = policy;
        assert_eq!(until(&mine), end);
    }
}
