//! Records into a snapshot: what they may say, and what happens if they say something else.

use std::{mem, sync::Arc};

use crate::{
    anchor::Anchor,
    clients::Known,
    partner::{Member, MemberKey, Partner},
    pin::Pin,
    record::{
        Admits, AnchorRecord, AuthorityRecord, Batch, ClientRecord, CredentialRecord,
        ForeignRecord, PartnerRecord, PinKind, PinRecord, Removed, RevocationRecord,
    },
    revocation::Revocation,
    route::Sites,
    shards::Fingerprint,
    snapshot::{Credential, RecordError, Snapshot},
    verdict::Client,
};

/// What records of a fixed size say, as the snapshot keeps it.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    credentials: Vec<Credential>,
    revocations: Vec<Revocation>,
    certificate_pins: Vec<Pin>,
    key_pins: Vec<Pin>,
    members: Vec<Member>,
    foreign: Vec<Revocation>,
}

/// Takes them out of `batch` and adds them to `entries`. The records are a few times as large.
pub(crate) fn read(
    snapshot: &mut Snapshot,
    batch: &mut Batch,
    entries: &mut Entries,
) -> Result<(), RecordError> {
    for record in mem::take(&mut batch.credentials) {
        entries.credentials.push(credential(&record)?);
    }
    for record in mem::take(&mut batch.revocations) {
        entries.revocations.push(revocation(&record)?);
    }
    for record in mem::take(&mut batch.pins) {
        let pin = pin(snapshot, &record)?;
        match record.kind {
            PinKind::Certificate => entries.certificate_pins.push(pin),
            PinKind::Key => entries.key_pins.push(pin),
        }
    }
    for record in mem::take(&mut batch.members) {
        let member = Member::new(record.partner, &record.name, record.client);
        entries.members.push(member);
    }
    for record in mem::take(&mut batch.foreign) {
        entries.foreign.push(foreign(&record)?);
    }
    Ok(())
}

/// Applies `batch` to `snapshot`: first what is removed, then what is there. References are checked by the caller.
pub(crate) fn take(snapshot: &mut Snapshot, mut batch: Batch) -> Result<(), RecordError> {
    let mut entries = Entries::default();
    read(snapshot, &mut batch, &mut entries)?;
    take_rest(snapshot, batch, entries)
}

/// As [`take`], where what can be [`read`] was taken out of `batch` before.
pub(crate) fn take_rest(
    snapshot: &mut Snapshot,
    batch: Batch,
    entries: Entries,
) -> Result<(), RecordError> {
    if let Some(epoch) = batch.epoch {
        if epoch < snapshot.epoch {
            return Err(error(
                "epoch",
                format!("goes back from {} to {epoch}", snapshot.epoch),
            ));
        }
        snapshot.epoch = epoch;
    }
    for id in &batch.removed.authorities {
        snapshot.authorities.remove(*id);
    }
    let clients = batch
        .clients
        .into_iter()
        .map(|record| client(snapshot, record))
        .collect::<Result<_, _>>()?;
    snapshot.clients.change(clients, &batch.removed.clients);
    for record in batch.authorities {
        snapshot.authorities.insert(anchor(&record)?);
    }
    take_partners(snapshot, batch.partners, &batch.anchors, &batch.removed);
    put(snapshot, entries, &batch.removed)?;
    if let Some(sites) = batch.sites {
        snapshot.sites = Arc::new(Sites::of_records(sites)?);
    }
    Ok(())
}

/// What a delta may have left pointing nowhere.
#[derive(Debug)]
pub(crate) struct Touched {
    authorities: Vec<u32>,
    credentials: Vec<Fingerprint>,
}

/// The records of `delta` that refer to others.
pub(crate) fn touched(delta: &Batch) -> Touched {
    Touched {
        authorities: delta.authorities.iter().map(|record| record.id).collect(),
        credentials: delta
            .credentials
            .iter()
            .filter_map(|record| {
                record
                    .fingerprint
                    .as_slice()
                    .try_into()
                    .ok()
                    .map(Fingerprint)
            })
            .collect(),
    }
}

/// Whether what a delta brought refers to what is there. What it took away may leave a credential without a client: such a
/// credential admits nobody. Nor do pins, partners, anchors and members whose client or partner is not there, and they are
/// let be: of all these, none may hold up the rest.
pub(crate) fn check_touched(snapshot: &Snapshot, touched: &Touched) -> Result<(), RecordError> {
    touched
        .authorities
        .iter()
        .filter_map(|id| snapshot.authorities.get(*id))
        .try_for_each(|anchor| check_estate(snapshot, anchor))?;
    touched
        .credentials
        .iter()
        .filter_map(|key| Some((key, snapshot.credentials.get(key)?)))
        .try_for_each(|(_, credential)| check_credential(snapshot, credential))
}

/// As [`check_touched`], for everything.
pub(crate) fn check_references(snapshot: &Snapshot) -> Result<(), RecordError> {
    snapshot
        .authorities
        .all()
        .try_for_each(|anchor| check_estate(snapshot, anchor))?;
    snapshot
        .credentials
        .iter()
        .try_for_each(|credential| check_credential(snapshot, credential))
}

fn check_estate(snapshot: &Snapshot, anchor: &Anchor) -> Result<(), RecordError> {
    match anchor.estate {
        Some(client) if !snapshot.clients.has(client) => Err(error(
            format!("authority {}", anchor.id),
            format!("its estate is client {client}, which does not exist"),
        )),
        _ => Ok(()),
    }
}

fn check_credential(snapshot: &Snapshot, credential: &Credential) -> Result<(), RecordError> {
    let name = || format!("credential {}", credential.id());
    if !snapshot.clients.has(credential.client()) {
        return Err(error(
            name(),
            format!(
                "stands for client {}, which does not exist",
                credential.client()
            ),
        ));
    }
    if snapshot.authorities.get(credential.authority).is_none() {
        return Err(error(
            name(),
            format!(
                "was signed by authority {}, which does not exist",
                credential.authority
            ),
        ));
    }
    Ok(())
}

fn anchor(record: &AuthorityRecord) -> Result<Anchor, RecordError> {
    let wrong = |problem: String| error(format!("authority {}", record.id), problem);
    match (record.admits, record.estate) {
        (Admits::Signed, None) => {
            return Err(wrong(
                "admits all that it signed and needs an estate to admit them as".into(),
            ));
        }
        (Admits::Issued | Admits::Listed, Some(_)) => {
            return Err(wrong("has an estate but admits only what is listed".into()));
        }
        _ => {}
    }
    if record.name.is_empty() {
        return Err(wrong("has no name".into()));
    }
    let mut anchor = Anchor::read(
        record.id,
        &record.name,
        &record.certificate,
        record.admits,
        record.estate,
    )
    .map_err(|fault| wrong(format!("its certificate {fault}")))?;
    // RFC 5914 4: who trusts an anchor may allow shorter paths than it allows itself.
    anchor.path_length = anchor.path_length.into_iter().chain(record.depth).min();
    Ok(anchor)
}

fn client(snapshot: &mut Snapshot, record: ClientRecord) -> Result<Known, RecordError> {
    if record.name.is_empty() {
        return Err(error(format!("client {}", record.id), "has no name".into()));
    }
    let mut roles: Vec<Arc<str>> = record
        .roles
        .iter()
        .map(|role| snapshot.roles.shared(role))
        .collect();
    roles.sort();
    roles.dedup();
    let client = Client {
        id: record.id,
        name: record.name.into(),
        roles: roles.into(),
    };
    let mut hosts = record.hosts;
    hosts.sort_unstable();
    hosts.dedup();
    Ok(Known {
        client,
        suspended: record.suspended,
        hosts: hosts.into(),
    })
}

fn credential(record: &CredentialRecord) -> Result<Credential, RecordError> {
    let fingerprint = fingerprint_of(format!("credential {}", record.id), &record.fingerprint)?;
    Ok(Credential::new(
        fingerprint,
        record.id,
        record.client,
        record.authority,
    ))
}

fn pin(snapshot: &mut Snapshot, record: &PinRecord) -> Result<Pin, RecordError> {
    Ok(Pin::new(
        fingerprint_of(format!("pin {}", record.id), &record.digest)?,
        record.id,
        record.client,
        (!record.retired).then_some((record.not_before, record.not_after)),
        snapshot.environments.shared(&record.environment),
    ))
}

/// Takes away what was `removed` of these kinds, then adds `entries`.
fn put(snapshot: &mut Snapshot, entries: Entries, removed: &Removed) -> Result<(), RecordError> {
    let credentials = removed
        .credentials
        .iter()
        .map(|fingerprint| fingerprint_of("removed credential", fingerprint))
        .collect::<Result<Vec<_>, _>>()?;
    let pins = |kind: PinKind| {
        let of_kind = removed.pins.iter().filter(move |(one, _)| *one == kind);
        of_kind
            .map(|(_, digest)| fingerprint_of("removed pin", digest))
            .collect::<Result<Vec<_>, _>>()
    };
    let (certificates, keys) = (pins(PinKind::Certificate)?, pins(PinKind::Key)?);
    let members = removed.members.iter();
    let members = members.map(|(partner, name)| MemberKey::new(*partner, name));
    snapshot
        .credentials
        .change(entries.credentials, credentials);
    snapshot
        .revocations
        .change(entries.revocations, &serials(&removed.revocations));
    snapshot
        .pins
        .change(PinKind::Certificate, entries.certificate_pins, certificates);
    snapshot.pins.change(PinKind::Key, entries.key_pins, keys);
    snapshot.members.change(entries.members, members);
    snapshot
        .foreign
        .change(entries.foreign, &serials(&removed.foreign));
    Ok(())
}

fn serials(removed: &[(u32, serde_bytes::ByteBuf)]) -> Vec<(u32, &[u8])> {
    let each = removed.iter();
    each.map(|(issuer, serial)| (*issuer, serial.as_slice()))
        .collect()
}

/// What of a partner cannot be used is noted there, and is no error: it must not keep others' records from taking effect.
fn take_partners(
    snapshot: &mut Snapshot,
    partners: Vec<PartnerRecord>,
    anchors: &[AnchorRecord],
    removed: &Removed,
) {
    for id in &removed.anchors {
        snapshot.partners.remove_anchor(*id);
    }
    for id in &removed.partners {
        snapshot.partners.remove(*id);
    }
    for record in partners {
        snapshot.partners.insert(Partner::read(record));
    }
    for record in anchors {
        let environment = snapshot.environments.shared(&record.environment);
        let environment = environment.as_deref().cloned();
        snapshot.partners.insert_anchor(record, environment);
    }
}

fn foreign(record: &ForeignRecord) -> Result<Revocation, RecordError> {
    let wrong = |problem: &str| {
        error(
            format!("revocation under anchor {}", record.anchor),
            problem.to_owned(),
        )
    };
    checked_revocation(record.anchor, &record.serial, record.at, record.reason).map_err(wrong)
}

fn revocation(record: &RevocationRecord) -> Result<Revocation, RecordError> {
    let wrong = |problem: &str| {
        error(
            format!("revocation under authority {}", record.authority),
            problem.to_owned(),
        )
    };
    checked_revocation(record.authority, &record.serial, record.at, record.reason).map_err(wrong)
}

fn checked_revocation(
    issuer: u32,
    serial: &[u8],
    at: i64,
    reason: u8,
) -> Result<Revocation, &'static str> {
    if serial.first() == Some(&0) {
        return Err("its serial number has leading zeros");
    }
    if reason > 10 || reason == 7 {
        return Err("its reason is no CRLReason (RFC 5280 5.3.1)");
    }
    Revocation::new(issuer, serial, at, reason)
        .ok_or("its serial number has more than 20 octets (RFC 5280 4.1.2.2)")
}

fn fingerprint_of(record: impl Into<String>, octets: &[u8]) -> Result<Fingerprint, RecordError> {
    let problem = || {
        format!(
            "its fingerprint has {} octets; SHA-256 has 32",
            octets.len()
        )
    };
    octets
        .try_into()
        .map(Fingerprint)
        .map_err(|_| error(record, problem()))
}

pub(crate) fn error(record: impl Into<String>, problem: String) -> RecordError {
    RecordError {
        record: record.into(),
        problem,
    }
}
