//! What a million clients, credentials, revocations, pins and members cost, and ten thousand partners: to build, to
//! change, to keep, to ask.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::{fs, hint::black_box, time::Instant};

use judge::{
    Memory, Snapshot, decide, decide_again,
    record::{
        Admits, AnchorRecord, AuthorityRecord, Batch, ClientRecord, CredentialRecord, MemberRecord,
        PartnerAdmits, PartnerProfile, PartnerRecord, PinKind, PinRecord, RevocationPolicy,
        RevocationRecord, RuleKind, RuleRecord,
    },
};

const MANY: u64 = 1_000_000;
const PARTNERS: u32 = 10_000;

fn main() {
    let ours = include_bytes!("../../fuzz/seeds/ours.der");
    let seed = include_bytes!("../../fuzz/seeds/certificates/no_certificate");
    let good = include_bytes!("../../fuzz/seeds/certificates/client_suspended");
    let at: i64 = include!("../../fuzz/seeds/at.txt");
    let leaf = if seed.len() > good.len() {
        &seed[2..]
    } else {
        &good[2..]
    };

    let before = resident_kib();
    let start = Instant::now();
    let snapshot = Snapshot::build((0..100).map(batch).chain([authority(ours)])).unwrap();
    println!(
        "build {:?}, {} MiB",
        start.elapsed(),
        (resident_kib() - before) / 1024
    );

    let snapshot = grow("1,000,000 pins", snapshot, (0..100).map(pins));
    let snapshot = grow("1,000,000 members", snapshot, (0..100).map(members));
    let snapshot = grow("10,000 partners with a CA", snapshot, (0..10).map(partners));
    for (what, change) in [
        (
            "add a pin",
            (|id| Batch {
                pins: vec![pin(MANY + id)],
                ..Batch::default()
            }) as fn(u64) -> Batch,
        ),
        ("add a member", |id| Batch {
            members: vec![member(MANY + id)],
            ..Batch::default()
        }),
        ("add a CA", |id| Batch {
            anchors: vec![anchor(PARTNERS + id as u32)],
            ..Batch::default()
        }),
        ("change a partner's rules", |id| Batch {
            partners: vec![partner(id as u32)],
            ..Batch::default()
        }),
    ] {
        let deltas: Vec<Batch> = (0..1_000).map(change).collect();
        let start = Instant::now();
        for delta in deltas {
            black_box(snapshot.apply(delta).unwrap());
        }
        println!("{what} {:?}", start.elapsed() / 1_000);
    }

    let start = Instant::now();
    for id in 0..1_000 {
        let suspended = ClientRecord {
            suspended: true,
            hosts: vec![],
            ..client(id * 7)
        };
        black_box(
            snapshot
                .apply(Batch {
                    clients: vec![suspended],
                    ..Batch::default()
                })
                .unwrap(),
        );
    }
    println!("suspend one client {:?}", start.elapsed() / 1_000);

    let start = Instant::now();
    for id in 0..1_000 {
        black_box(
            snapshot
                .apply(Batch {
                    revocations: vec![revocation(MANY + id)],
                    ..Batch::default()
                })
                .unwrap(),
        );
    }
    println!("revoke one certificate {:?}", start.elapsed() / 1_000);

    let start = Instant::now();
    for _ in 0..1_000 {
        black_box(decide(&[leaf], at, &snapshot));
    }
    let once = start.elapsed() / 1_000;
    let memory = Memory::new(10);
    let again = Instant::now();
    for _ in 0..1_000 {
        black_box(decide_again(&[leaf], at, &snapshot, &memory));
    }
    println!("decide again {:?}", again.elapsed() / 1_000);
    println!("decide {:?}: {:?}", once, decide(&[leaf], at, &snapshot));
}

fn batch(number: u64) -> Batch {
    let ids = || number * MANY / 100..(number + 1) * MANY / 100;
    Batch {
        clients: ids().map(client).collect(),
        credentials: ids().map(credential).collect(),
        revocations: ids().map(revocation).collect(),
        ..Batch::default()
    }
}

fn grow(what: &str, mut snapshot: Snapshot, batches: impl Iterator<Item = Batch>) -> Snapshot {
    let (before, start) = (resident_kib(), Instant::now());
    for batch in batches {
        snapshot = snapshot.apply(batch).unwrap();
    }
    let mib = resident_kib().saturating_sub(before) / 1024;
    println!("{what} {:?}, {mib} MiB", start.elapsed());
    snapshot
}

fn pins(number: u64) -> Batch {
    Batch {
        pins: (number * MANY / 100..(number + 1) * MANY / 100)
            .map(pin)
            .collect(),
        ..Batch::default()
    }
}

fn pin(id: u64) -> PinRecord {
    PinRecord {
        kind: if id.is_multiple_of(2) {
            PinKind::Key
        } else {
            PinKind::Certificate
        },
        digest: scattered(id),
        id,
        client: id % MANY,
        not_before: 1_700_000_000,
        not_after: 1_900_000_000,
        retired: false,
        environment: if id.is_multiple_of(3) {
            "test".into()
        } else {
            String::new()
        },
    }
}

fn members(number: u64) -> Batch {
    Batch {
        members: (number * MANY / 100..(number + 1) * MANY / 100)
            .map(member)
            .collect(),
        ..Batch::default()
    }
}

fn member(id: u64) -> MemberRecord {
    MemberRecord {
        partner: id as u32 % PARTNERS,
        name: format!("dns:client-{id}.partner.example"),
        client: id % MANY,
    }
}

fn partners(number: u32) -> Batch {
    let ids = || number * PARTNERS / 10..(number + 1) * PARTNERS / 10;
    Batch {
        partners: ids().map(partner).collect(),
        anchors: ids().map(anchor).collect(),
        ..Batch::default()
    }
}

fn partner(id: u32) -> PartnerRecord {
    let rule = |pattern: String| RuleRecord {
        kind: RuleKind::Dns,
        pattern,
        anchor: None,
    };
    PartnerRecord {
        id,
        name: format!("partner-{id}"),
        admits: PartnerAdmits::Rule,
        client: 1,
        suspended: false,
        rules: vec![
            rule(format!("*.partner-{id}.example")),
            rule(format!("partner-{id}.example")),
        ],
        intermediates: vec![],
        profile: PartnerProfile::Names,
    }
}

/// A CA with a name of its own, and everybody's key.
fn anchor(id: u32) -> AnchorRecord {
    let template = include_bytes!("../../fuzz/seeds/partner.der");
    let name = b"Acme Issuing CA";
    let at = template
        .windows(name.len())
        .rposition(|window| window == name)
        .unwrap();
    let mut certificate = template.to_vec();
    certificate[at..at + name.len()].copy_from_slice(format!("CA {id:012}").as_bytes());
    AnchorRecord {
        id,
        partner: id % PARTNERS,
        certificate,
        not_before: 1_700_000_000,
        not_after: 1_900_000_000,
        shared: false,
        depth: 0,
        sub_cas: vec![],
        environment: String::new(),
        revocation: RevocationPolicy::Fail,
        grace_seconds: 0,
        leaf_limit_seconds: 0,
        lists: vec![],
        policy: String::new(),
        hold: false,
        retired: false,
    }
}

fn authority(certificate: &[u8]) -> Batch {
    let record = AuthorityRecord {
        id: 1,
        name: "ours".into(),
        certificate: certificate.into(),
        admits: Admits::Issued,
        estate: None,
        depth: None,
    };
    Batch {
        authorities: vec![record],
        ..Batch::default()
    }
}

fn client(id: u64) -> ClientRecord {
    ClientRecord {
        id,
        name: format!("client-{id}"),
        roles: vec!["staff".into()],
        suspended: false,
        hosts: vec![],
    }
}

fn credential(id: u64) -> CredentialRecord {
    CredentialRecord {
        fingerprint: scattered(id),
        id,
        client: id,
        authority: 1,
    }
}

fn revocation(id: u64) -> RevocationRecord {
    let mut serial = scattered(id);
    serial.truncate(20);
    serial[0] |= 1;
    RevocationRecord {
        authority: 1,
        serial,
        at: 1_700_000_000,
        reason: 1,
    }
}

/// Octets that look like a hash.
fn scattered(id: u64) -> Vec<u8> {
    (1..5u64)
        .flat_map(|part| {
            (id + 1)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15 ^ part << 7)
                .rotate_left(31)
                .wrapping_mul(part | 1)
                .to_le_bytes()
        })
        .collect()
}

fn resident_kib() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap_or_default();
    line.split_whitespace()
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}
