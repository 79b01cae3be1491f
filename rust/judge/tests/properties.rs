//! What holds for any input: no panic, no admission of what was tampered with, one reading of a path, deltas that add up.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{collections::BTreeMap, sync::LazyLock};

use judge::{
    Snapshot, Verdict, decide,
    record::{
        AnchorRecord, AuthorityRecord, Batch, ClientRecord, CredentialRecord, ForeignRecord,
        ListRecord, MemberRecord, PartnerAdmits, PartnerProfile, PartnerRecord, PinKind, PinRecord,
        Removed, RevocationPolicy, RevocationRecord, RuleKind, RuleRecord,
    },
};
use proptest::{collection::vec, prelude::*, sample::Index};
use serde_bytes::ByteBuf;

use crate::{
    bodies,
    common::{Vector, batch, der, good, vectors},
};

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
    Client(u64, Vec<String>, bool, Vec<u32>),
    Credential(u8, u64),
    Revocation(u32, Vec<u8>, u8),
    Pin(bool, u8, u64, bool, String),
    Partner(u32, Vec<String>, Vec<usize>, bool),
    Anchor(u32, u32, usize, String, Vec<u8>),
    Member(u32, u8, u64),
    Foreign(u32, Vec<u8>, u8),
    RemovePin(bool, u8),
    RemovePartner(u32),
    RemoveAnchor(u32),
    RemoveMember(u32, u8),
    RemoveForeign(u32, Vec<u8>),
    RemoveAuthority(u32),
    RemoveClient(u64),
    RemoveCredential(u8),
    RemoveRevocation(u32, Vec<u8>),
}

fn change() -> impl Strategy<Value = Change> {
    let serial = || vec(1u8..4, 1..3);
    let environment = || "(test|live)?";
    let brought = prop_oneof![
        (any::<bool>(), 0u8..5, 1u64..6, any::<bool>(), environment()).prop_map(
            |(key, digest, client, retired, environment)| Change::Pin(
                key,
                digest,
                client,
                retired,
                environment
            )
        ),
        // The wrong ones among rules and certificates permit nothing, and are no error.
        (
            1u32..4,
            vec("[*]?[.]?[ab]", 0..3),
            vec(0usize..4, 0..3),
            any::<bool>()
        )
            .prop_map(|(id, rules, helpers, suspended)| Change::Partner(
                id, rules, helpers, suspended
            )),
        (
            1u32..6,
            1u32..4,
            0usize..4,
            environment(),
            vec(0u8..3, 0..3)
        )
            .prop_map(|(id, partner, which, environment, lists)| Change::Anchor(
                id,
                partner,
                which,
                environment,
                lists
            )),
        (1u32..4, 0u8..3, 1u64..6)
            .prop_map(|(partner, name, client)| Change::Member(partner, name, client)),
        (1u32..6, serial(), 0u8..7)
            .prop_map(|(anchor, serial, reason)| Change::Foreign(anchor, serial, reason)),
        (any::<bool>(), 0u8..5).prop_map(|(key, digest)| Change::RemovePin(key, digest)),
        (1u32..4).prop_map(Change::RemovePartner),
        (1u32..6).prop_map(Change::RemoveAnchor),
        (1u32..4, 0u8..3).prop_map(|(partner, name)| Change::RemoveMember(partner, name)),
        (1u32..6, serial()).prop_map(|(anchor, serial)| Change::RemoveForeign(anchor, serial)),
    ];
    prop_oneof![
        10 => brought,
        10 => of_ours(),
    ]
}

fn of_ours() -> impl Strategy<Value = Change> {
    let serial = || vec(1u8..4, 1..3);
    prop_oneof![
        (1u32..4, 0usize..2, any::<bool>())
            .prop_map(|(id, which, listed)| Change::Authority(id, which, listed)),
        (
            1u64..6,
            vec("[abc]", 0..3),
            any::<bool>(),
            vec(1u32..4, 0..3)
        )
            .prop_map(|(id, roles, suspended, hosts)| Change::Client(id, roles, suspended, hosts)),
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
    pins: BTreeMap<(bool, u8), PinRecord>,
    partners: BTreeMap<u32, PartnerRecord>,
    anchors: BTreeMap<u32, AnchorRecord>,
    members: BTreeMap<(u32, u8), MemberRecord>,
    foreign: BTreeMap<(u32, Vec<u8>), ForeignRecord>,
}

/// A certificate of an authority, or something that is none.
fn some_ca(which: usize) -> Vec<u8> {
    match batch(&GOOD.0).authorities.get(which) {
        Some(authority) => authority.certificate.clone(),
        None => vec![which as u8; 9],
    }
}

fn kind_of(key: bool) -> PinKind {
    if key {
        PinKind::Key
    } else {
        PinKind::Certificate
    }
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
            Change::Client(id, roles, suspended, hosts) => {
                let record = ClientRecord {
                    id,
                    name: format!("client {id}"),
                    roles,
                    suspended,
                    hosts,
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
            Change::Pin(key, digest, client, retired, environment) => {
                let record = PinRecord {
                    kind: kind_of(key),
                    digest: vec![digest; 32],
                    id: 1,
                    client,
                    not_before: 5,
                    not_after: 50,
                    retired,
                    environment,
                };
                self.pins.insert((key, digest), record.clone());
                delta.pins.push(record);
            }
            Change::Partner(id, rules, helpers, suspended) => {
                let rule = |pattern| RuleRecord {
                    kind: RuleKind::Dns,
                    pattern,
                    anchor: suspended.then_some(id),
                };
                let record = PartnerRecord {
                    id,
                    name: format!("partner {id}"),
                    admits: PartnerAdmits::Rule,
                    client: 1,
                    suspended,
                    rules: rules.into_iter().map(rule).collect(),
                    intermediates: helpers
                        .into_iter()
                        .map(|which| ByteBuf::from(some_ca(which)))
                        .collect(),
                    profile: PartnerProfile::Names,
                };
                self.partners.insert(id, record.clone());
                delta.partners.push(record);
            }
            Change::Anchor(id, partner, which, environment, lists) => {
                let list = |scope: u8| ListRecord {
                    scope: scope.to_string(),
                    this_update: 5,
                    next_update: 50,
                };
                let record = AnchorRecord {
                    retired: environment.is_empty(),
                    id,
                    partner,
                    certificate: some_ca(which),
                    not_before: 5,
                    not_after: 50,
                    shared: which == 0,
                    depth: 1,
                    sub_cas: lists
                        .iter()
                        .map(|scope| ByteBuf::from(vec![*scope; 32]))
                        .collect(),
                    environment,
                    revocation: RevocationPolicy::Fail,
                    grace_seconds: 0,
                    leaf_limit_seconds: 0,
                    lists: lists.into_iter().map(list).collect(),
                    policy: String::new(),
                    hold: which == 1,
                };
                self.anchors.insert(id, record.clone());
                delta.anchors.push(record);
            }
            Change::Member(partner, name, client) => {
                let record = MemberRecord {
                    partner,
                    name: name.to_string(),
                    client,
                };
                self.members.insert((partner, name), record.clone());
                delta.members.push(record);
            }
            Change::Foreign(anchor, serial, reason) => {
                let record = ForeignRecord {
                    anchor,
                    serial: serial.clone(),
                    at: 1_000,
                    reason,
                };
                self.foreign.insert((anchor, serial), record.clone());
                delta.foreign.push(record);
            }
            Change::RemovePin(key, digest) => {
                self.pins.remove(&(key, digest));
                let digest = ByteBuf::from(vec![digest; 32]);
                delta.removed.pins.push((kind_of(key), digest));
            }
            Change::RemovePartner(id) => {
                self.partners.remove(&id);
                delta.removed.partners.push(id);
            }
            Change::RemoveAnchor(id) => {
                self.anchors.remove(&id);
                delta.removed.anchors.push(id);
            }
            Change::RemoveMember(partner, name) => {
                self.members.remove(&(partner, name));
                delta.removed.members.push((partner, name.to_string()));
            }
            Change::RemoveForeign(anchor, serial) => {
                self.foreign.remove(&(anchor, serial.clone()));
                delta.removed.foreign.push((anchor, ByteBuf::from(serial)));
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
        macro_rules! each {
            ($($kind:ident),*) => { $(
                batches.extend(self.$kind.into_values().map(|record| Batch {
                    $kind: vec![record],
                    ..Batch::default()
                }));
            )* };
        }
        each!(
            credentials,
            revocations,
            anchors,
            members,
            foreign,
            pins,
            partners,
            clients,
            authorities
        );
        batches.push(Batch {
            epoch: Some(epoch),
            ..Batch::default()
        });
        batches
    }
}
