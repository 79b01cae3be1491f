//! What holds for any input: no panic, no admission of what was tampered with, one reading of a path, deltas that add up.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../fuzz/bodies.rs"]
mod bodies;
mod common;

use std::{collections::BTreeMap, sync::LazyLock};

use common::{Vector, batch, der, good, vectors};
use judge::{
    Snapshot, Verdict, decide,
    record::{AuthorityRecord, Batch, ClientRecord, CredentialRecord, Removed, RevocationRecord},
};
use proptest::{collection::vec, prelude::*, sample::Index};
use serde_bytes::ByteBuf;

static GOOD: LazyLock<(Vector, Snapshot)> = LazyLock::new(|| {
    let vector = good();
    let snapshot = Snapshot::build([batch(&vector)]).unwrap();
    (vector, snapshot)
});

static ALL: LazyLock<Vec<Vector>> =
    LazyLock::new(|| vectors().into_iter().map(|(_, vector)| vector).collect());

proptest! {
    #[test]
    fn any_bytes_are_judged(data in vec(any::<u8>(), 0..2_000)) {
        bodies::certificates(&data);
        bodies::deltas(&data);
        bodies::questions(&data);
    }

    #[test]
    fn a_changed_leaf_is_never_admitted(at in any::<Index>(), bit in 0u8..8) {
        let (vector, snapshot) = &*GOOD;
        let mut leaf = der(&vector.chain[0]);
        let at = at.index(leaf.len());
        leaf[at] ^= 1 << bit;
        prop_assert!(matches!(decide(&[&leaf], vector.at, snapshot), Verdict::Refused(_)));
    }

    #[test]
    fn any_damage_is_survived(which in any::<Index>(), damage in vec((any::<Index>(), any::<u8>()), 1..6)) {
        let vector = which.get(&ALL);
        let mut chain: Vec<Vec<u8>> = vector.chain.iter().map(|text| der(text)).collect();
        for (at, octet) in damage {
            let link = at.index(chain.len().max(1));
            if let Some(link) = chain.get_mut(link).filter(|link| !link.is_empty()) {
                let at = at.index(link.len());
                link[at] = octet;
            }
        }
        let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        let snapshot = Snapshot::build([batch(vector)]).unwrap();
        decide(&chain, vector.at, &snapshot);
    }

    #[test]
    fn a_path_has_one_reading(path in "/[a-c./;%\\\\2eEfF5A-]{0,12}") {
        bodies::paths(path.as_bytes());
    }

    #[test]
    fn deltas_add_up_to_the_whole(changes in vec(change(), 0..60)) {
        let (mut whole, mut by_deltas) = (Whole::default(), Snapshot::default());
        for (epoch, change) in changes.into_iter().enumerate() {
            by_deltas = by_deltas.apply(whole.take(change, epoch as u64)).unwrap();
            prop_assert_eq!(by_deltas.epoch(), epoch as u64);
        }
        let built = Snapshot::build(whole.batches(by_deltas.epoch())).unwrap();
        prop_assert!(built == by_deltas);
    }
}

#[derive(Debug, Clone)]
enum Change {
    Authority(u32, usize, bool),
    Client(u64, Vec<String>, bool),
    Credential(u8, u64),
    Revocation(u32, Vec<u8>, u8),
    RemoveAuthority(u32),
    RemoveClient(u64),
    RemoveCredential(u8),
    RemoveRevocation(u32, Vec<u8>),
}

fn change() -> impl Strategy<Value = Change> {
    let serial = || vec(1u8..4, 1..3);
    prop_oneof![
        (1u32..4, 0usize..2, any::<bool>())
            .prop_map(|(id, which, listed)| Change::Authority(id, which, listed)),
        (1u64..6, vec("[abc]", 0..3), any::<bool>())
            .prop_map(|(id, roles, suspended)| Change::Client(id, roles, suspended)),
        (1u8..6, 1u64..6).prop_map(|(fingerprint, client)| Change::Credential(fingerprint, client)),
        (1u32..3, serial(), 0u8..7)
            .prop_map(|(authority, serial, reason)| Change::Revocation(authority, serial, reason)),
        (2u32..4).prop_map(Change::RemoveAuthority),
        (1u64..6).prop_map(Change::RemoveClient),
        (1u8..6).prop_map(Change::RemoveCredential),
        (1u32..3, serial())
            .prop_map(|(authority, serial)| Change::RemoveRevocation(authority, serial)),
    ]
}

/// All records that there are, kept in the plainest way.
#[derive(Default)]
struct Whole {
    authorities: BTreeMap<u32, AuthorityRecord>,
    clients: BTreeMap<u64, ClientRecord>,
    credentials: BTreeMap<u8, CredentialRecord>,
    revocations: BTreeMap<(u32, Vec<u8>), RevocationRecord>,
}

impl Whole {
    /// Takes the change and says it as a delta.
    fn take(&mut self, change: Change, epoch: u64) -> Batch {
        let mut delta = Batch {
            epoch: Some(epoch),
            ..Batch::default()
        };
        match change {
            Change::Authority(id, which, listed) => {
                let mut record = batch(&GOOD.0).authorities.swap_remove(which);
                record.id = id;
                record.estate = None;
                record.admits = if listed {
                    judge::record::Admits::Listed
                } else {
                    judge::record::Admits::Issued
                };
                self.authorities.insert(id, record.clone());
                delta.authorities.push(record);
            }
            Change::Client(id, roles, suspended) => {
                let record = ClientRecord {
                    id,
                    name: format!("client {id}"),
                    roles,
                    suspended,
                };
                self.clients.insert(id, record.clone());
                delta.clients.push(record);
            }
            Change::Credential(fingerprint, client) => {
                if self.clients.contains_key(&client) && self.authorities.contains_key(&1) {
                    let record = CredentialRecord {
                        fingerprint: vec![fingerprint; 32],
                        id: 1,
                        client,
                        authority: 1,
                    };
                    self.credentials.insert(fingerprint, record.clone());
                    delta.credentials.push(record);
                }
            }
            Change::Revocation(authority, serial, reason) => {
                let record = RevocationRecord {
                    authority,
                    serial: serial.clone(),
                    at: 1_000,
                    reason,
                };
                self.revocations.insert((authority, serial), record.clone());
                delta.revocations.push(record);
            }
            Change::RemoveAuthority(id) => {
                self.authorities.remove(&id);
                delta.removed.authorities.push(id);
            }
            Change::RemoveClient(id) => {
                let gone: Vec<u8> = self
                    .credentials
                    .iter()
                    .filter(|(_, record)| record.client == id)
                    .map(|(key, _)| *key)
                    .collect();
                self.clients.remove(&id);
                delta.removed.clients.push(id);
                gone.into_iter().for_each(|fingerprint| {
                    self.remove_credential(fingerprint, &mut delta.removed)
                });
            }
            Change::RemoveCredential(fingerprint) => {
                self.remove_credential(fingerprint, &mut delta.removed)
            }
            Change::RemoveRevocation(authority, serial) => {
                self.revocations.remove(&(authority, serial.clone()));
                delta
                    .removed
                    .revocations
                    .push((authority, ByteBuf::from(serial)));
            }
        }
        delta
    }

    fn remove_credential(&mut self, fingerprint: u8, removed: &mut Removed) {
        self.credentials.remove(&fingerprint);
        removed
            .credentials
            .push(ByteBuf::from(vec![fingerprint; 32]));
    }

    /// Everything, in batches of one record, credentials first: the order does not matter.
    fn batches(self, epoch: u64) -> Vec<Batch> {
        let mut batches: Vec<Batch> = Vec::new();
        batches.extend(self.credentials.into_values().map(|record| Batch {
            credentials: vec![record],
            ..Batch::default()
        }));
        batches.extend(self.revocations.into_values().map(|record| Batch {
            revocations: vec![record],
            ..Batch::default()
        }));
        batches.extend(self.clients.into_values().map(|record| Batch {
            clients: vec![record],
            ..Batch::default()
        }));
        batches.extend(self.authorities.into_values().map(|record| Batch {
            authorities: vec![record],
            ..Batch::default()
        }));
        batches.push(Batch {
            epoch: Some(epoch),
            ..Batch::default()
        });
        batches
    }
}
