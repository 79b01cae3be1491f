//! What a million clients, credentials and revocations cost: to build, to change, to keep, to ask.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::{fs, hint::black_box, time::Instant};

use judge::{
    Snapshot, decide,
    record::{Admits, AuthorityRecord, Batch, ClientRecord, CredentialRecord, RevocationRecord},
};

const MANY: u64 = 1_000_000;

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

    let start = Instant::now();
    for id in 0..1_000 {
        let suspended = ClientRecord {
            suspended: true,
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
    println!(
        "decide {:?}: {:?}",
        start.elapsed() / 1_000,
        decide(&[leaf], at, &snapshot)
    );
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

fn authority(certificate: &[u8]) -> Batch {
    let record = AuthorityRecord {
        id: 1,
        name: "ours".into(),
        certificate: certificate.into(),
        admits: Admits::Issued,
        estate: None,
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
