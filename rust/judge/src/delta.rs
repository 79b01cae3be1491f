//! Records into a snapshot: what they may say, and what happens if they say something else.

use std::sync::Arc;

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

/// Applies `batch` to `snapshot`: first what is removed, then what is there. References are checked by the caller.
pub(crate) fn take(snapshot: &mut Snapshot, batch: Batch) -> Result<(), RecordError> {
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
    let credentials = batch
        .credentials
        .iter()
        .map(credential)
        .collect::<Result<Vec<_>, _>>()?;
    let gone = batch
        .removed
        .credentials
        .iter()
        .map(|fingerprint| fingerprint_of("removed credential", fingerprint))
        .collect::<Result<Vec<_>, _>>()?;
    snapshot.credentials.change(credentials, gone);
    for record in batch.authorities {
        snapshot.authorities.insert(anchor(&record)?);
    }
    let revoked = batch
        .revocations
        .iter()
        .map(revocation)
        .collect::<Result<_, _>>()?;
    let removed: Vec<_> = batch
        .removed
        .revocations
        .iter()
        .map(|(authority, serial)| (*authority, serial.as_slice()))
        .collect();
    snapshot.revocations.change(revoked, &removed);
    take_pins(snapshot, &batch.pins, &batch.removed)?;
    take_partners(snapshot, batch.partners, &batch.anchors, &batch.removed);
    snapshot.members.change(
        batch
            .members
            .iter()
            .map(|record| Member::new(record.partner, &record.name, record.client)),
        batch
            .removed
            .members
            .iter()
            .map(|(partner, name)| MemberKey::new(*partner, name)),
    );
    take_foreign(snapshot, &batch.foreign, &batch.removed)?;
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
    Anchor::read(
        record.id,
        &record.name,
        &record.certificate,
        record.admits,
        record.estate,
    )
    .map_err(|fault| wrong(format!("its certificate {fault}")))
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
    Ok(Known {
        client,
        suspended: record.suspended,
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

fn take_pins(
    snapshot: &mut Snapshot,
    records: &[PinRecord],
    removed: &Removed,
) -> Result<(), RecordError> {
    for kind in [PinKind::Certificate, PinKind::Key] {
        let of_kind = records.iter().filter(|record| record.kind == kind);
        let added = of_kind
            .map(|record| {
                let digest = fingerprint_of(format!("pin {}", record.id), &record.digest)?;
                let dates = (!record.retired).then_some((record.not_before, record.not_after));
                let environment = snapshot.environments.shared(&record.environment);
                Ok(Pin::new(
                    digest,
                    record.id,
                    record.client,
                    dates,
                    environment,
                ))
            })
            .collect::<Result<Vec<_>, RecordError>>()?;
        let of_kind = removed.pins.iter().filter(|(one, _)| *one == kind);
        let removed = of_kind
            .map(|(_, digest)| fingerprint_of("removed pin", digest))
            .collect::<Result<Vec<_>, _>>()?;
        snapshot.pins.change(kind, added, removed);
    }
    Ok(())
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

fn take_foreign(
    snapshot: &mut Snapshot,
    records: &[ForeignRecord],
    removed: &Removed,
) -> Result<(), RecordError> {
    let revoked = records
        .iter()
        .map(|record| {
            let wrong = |problem: &str| {
                error(
                    format!("revocation under anchor {}", record.anchor),
                    problem.to_owned(),
                )
            };
            checked_revocation(record.anchor, &record.serial, record.at, record.reason)
                .map_err(wrong)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let removed: Vec<_> = removed
        .foreign
        .iter()
        .map(|(anchor, serial)| (*anchor, serial.as_slice()))
        .collect();
    snapshot.foreign.change(revoked, &removed);
    Ok(())
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
