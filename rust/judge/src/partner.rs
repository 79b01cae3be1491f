//! Partners: organisations with CAs of their own, what each may vouch for, and who its clients are.
//!
//! Everything a partner brings is kept under its id and is reached through it alone: anchors, intermediates, rules,
//! members, revocations. `vouch` judges each partner on its own.

use std::sync::Arc;

use foldhash::fast::FixedState;

use crate::{
    Reason,
    anchor::{Anchor, Anchors, name_hash},
    certificate::Certificate,
    extensions::list_addresses,
    fault::Fault,
    moment,
    names::Rules,
    policy::Policy,
    record::{AnchorRecord, PartnerAdmits, PartnerProfile, PartnerRecord, RevocationPolicy},
    shards::{AsIs, Fingerprint, Shards, sha256},
    sorted::{Entry, Sorted},
    validate::SKEW_SECONDS,
};

/// Intermediates of one partner that are looked at for one chain, at most.
pub(crate) const MOST_HELPERS: usize = 16;

/// A partner.
#[derive(Debug, PartialEq)]
pub(crate) struct Partner {
    pub id: u32,
    pub name: Arc<str>,
    pub admits: PartnerAdmits,
    /// Who stands for a client without a record of its own.
    pub client: u64,
    pub suspended: bool,
    pub rules: Rules,
    pub profile: PartnerProfile,
    helpers: Vec<Helper>,
    /// What of it cannot be used, in sentences without a beginning.
    pub problems: Vec<String>,
}

/// A CA certificate that helps to build a path. Not trusted itself.
#[derive(Debug, PartialEq)]
struct Helper {
    der: Box<[u8]>,
    subject: Box<[u8]>,
}

impl Partner {
    /// What cannot be read of it permits nothing and helps nobody; it does not keep others' records from taking effect.
    pub fn read(record: PartnerRecord) -> Partner {
        let mut problems = Vec::new();
        let rules = Rules::read(&record.rules, &mut problems);
        let mut helpers = Vec::new();
        for (position, der) in record.intermediates.iter().enumerate() {
            match Certificate::parse(der) {
                Ok(certificate) => helpers.push(Helper {
                    der: der.as_slice().into(),
                    subject: certificate.subject.into(),
                }),
                Err(fault) => problems.push(format!("its intermediate {} {fault}", position + 1)),
            }
        }
        Partner {
            id: record.id,
            name: record.name.into(),
            admits: record.admits,
            client: record.client,
            suspended: record.suspended,
            rules,
            profile: record.profile,
            helpers,
            problems,
        }
    }

    /// Its intermediates that may have issued one of `certificates`, and those above them.
    pub fn helpers_for<'s>(&'s self, certificates: &[Certificate<'_>]) -> Vec<Certificate<'s>> {
        let mut found: Vec<Certificate<'s>> = Vec::new();
        let mut left: Vec<&Helper> = self.helpers.iter().collect();
        loop {
            let wanted = |helper: &&Helper| {
                certificates
                    .iter()
                    .any(|one| *one.issuer == *helper.subject)
                    || found.iter().any(|one| *one.issuer == *helper.subject)
            };
            let Some(position) = left.iter().position(wanted) else {
                return found;
            };
            if found.len() == MOST_HELPERS {
                return found;
            }
            found.extend(Certificate::parse(&left.swap_remove(position).der).ok());
        }
    }
}

/// Under which terms a partner's CA is accepted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Terms {
    pub partner: u32,
    /// The first and the last second at which it is accepted.
    pub window: (i64, i64),
    pub shared: bool,
    /// CAs that may be below it.
    pub depth: usize,
    /// SHA-256 of the keys of those that may be; empty for any, unless new ones wait.
    sub_cas: Box<[Fingerprint]>,
    hold: bool,
    /// What every certificate below it has to be issued under.
    pub policy: Option<Policy>,
    pub environment: Option<Arc<str>>,
    revocation: RevocationPolicy,
    grace_seconds: i64,
    leaf_limit_seconds: i64,
    /// By scope.
    lists: Box<[List]>,
}

#[derive(Debug, Clone, PartialEq)]
struct List {
    scope: Box<str>,
    this_update: i64,
    next_update: i64,
}

const OCSP: &str = "ocsp:";

impl Terms {
    /// `environment` is the record's, shared. The error is the rest of a sentence about the anchor.
    pub fn read(record: &AnchorRecord, environment: Option<Arc<str>>) -> Result<Terms, String> {
        let mut sub_cas = record
            .sub_cas
            .iter()
            .map(|hash| hash.as_slice().try_into().map(Fingerprint))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| "lists a CA by something that is no SHA-256".to_owned())?;
        sub_cas.sort();
        let policy = match record.policy.as_str() {
            "" => None,
            text => Some(
                Policy::read(text)
                    .ok_or("requires a policy that is no object identifier".to_owned())?,
            ),
        };
        let mut lists: Vec<List> = record
            .lists
            .iter()
            .map(|list| List {
                scope: match list.scope.strip_prefix(OCSP) {
                    Some(serial) => format!("{OCSP}{}", serial.trim_start_matches('0')).into(),
                    None => list.scope.as_str().into(),
                },
                this_update: list.this_update,
                next_update: list.next_update,
            })
            .collect();
        lists.sort_by(|a, b| a.scope.cmp(&b.scope));
        Ok(Terms {
            partner: record.partner,
            window: (record.not_before, record.not_after),
            shared: record.shared,
            depth: usize::from(record.depth),
            sub_cas: sub_cas.into(),
            hold: record.hold,
            policy,
            environment,
            revocation: record.revocation,
            grace_seconds: match record.revocation {
                RevocationPolicy::Grace => record.grace_seconds.max(0),
                RevocationPolicy::Fail | RevocationPolicy::Ignore => 0,
            },
            leaf_limit_seconds: record.leaf_limit_seconds,
            lists: lists.into(),
        })
    }

    /// Whether the path of `indexes` below the anchor keeps to them.
    pub fn check(&self, indexes: &[usize], certificates: &[&Certificate<'_>]) -> Result<(), Fault> {
        let Some((leaf, cas)) = indexes.split_first() else {
            return Ok(());
        };
        // Self-issued ones count, too: what was registered is this CA, and nothing that it might become.
        if let Some(beyond) = cas.iter().rev().nth(self.depth) {
            return Err(Fault::of(
                Reason::PathInvalid,
                *beyond,
                "is one CA more than may be below the one that its partner registered",
            ));
        }
        let unknown = |index: &&usize| {
            (self.hold || !self.sub_cas.is_empty())
                && self
                    .sub_cas
                    .binary_search(&certificates[**index].key_hash())
                    .is_err()
        };
        if let Some(index) = cas.iter().find(unknown) {
            return Err(Fault::of(
                Reason::PathInvalid,
                *index,
                if self.hold {
                    "is a CA that is new here and waits until the operator allows it"
                } else {
                    "is a CA that its partner did not register"
                },
            ));
        }
        let leaf = certificates[*leaf];
        // Nobody will hear of it when such a certificate is revoked, so it has to end soon.
        let lifetime = leaf.not_after.saturating_sub(leaf.not_before);
        if self.revocation == RevocationPolicy::Ignore && lifetime > self.leaf_limit_seconds {
            return Err(Fault::of(
                Reason::PathInvalid,
                0,
                format!(
                    "is valid for {} days; under this authority, which is not asked for revocations, it may be {} at most",
                    moment::days(lifetime, f64::ceil),
                    moment::days(self.leaf_limit_seconds, f64::floor)
                ),
            ));
        }
        Ok(())
    }

    /// Until when, in Unix seconds, it is known whether `leaf` was revoked; the fault, if it is not. `direct`: whether the
    /// anchor signed it itself.
    pub fn known_until(&self, leaf: &Certificate<'_>, direct: bool, at: i64) -> Result<i64, Fault> {
        if self.revocation == RevocationPolicy::Ignore {
            return Ok(i64::MAX);
        }
        let covering = self.covering(leaf, direct);
        let until = |list: &List| list.next_update.saturating_add(self.grace_seconds);
        let begun = covering
            .iter()
            .filter(|list| list.this_update.saturating_sub(SKEW_SECONDS) <= at);
        // The youngest counts: it has what the older ones have (RFC 5280 5).
        let Some(list) = begun.max_by_key(|list| until(list)) else {
            let detail = match covering.first() {
                None => {
                    "is covered by no revocation list of its authority's that is known here".into()
                }
                Some(list) => format!(
                    "is covered by a revocation list that is not valid before {}",
                    moment::text(list.this_update)
                ),
            };
            return Err(Fault::of(Reason::CrlMissing, 0, detail));
        };
        if at > until(list) {
            let detail = format!(
                "is covered by a revocation list that should have been replaced by {}",
                moment::text(list.next_update)
            );
            return Err(Fault::of(Reason::CrlExpired, 0, detail));
        }
        Ok(until(list))
    }

    /// Lists and answers that speak of `leaf`. They are about what the anchor signed itself: not about what a CA below it did,
    /// whatever address that writes into its certificates (RFC 5280 6.3.3).
    fn covering(&self, leaf: &Certificate<'_>, direct: bool) -> Vec<&List> {
        if !direct {
            return vec![];
        }
        let scoped = |scope: &str| {
            let found = self.lists.binary_search_by(|list| (*list.scope).cmp(scope));
            found.ok().map(|position| &self.lists[position])
        };
        let mut lists: Vec<&List> = list_addresses(leaf.extensions.distribution_points)
            .into_iter()
            .filter(|address| address.contains("://")) // scopes of other kinds are no addresses
            .filter_map(scoped)
            .collect();
        lists.extend(scoped(""));
        lists.extend(scoped(&format!("{OCSP}{}", leaf.serial_hex())));
        lists
    }
}

/// All partners and their anchors.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Partners {
    by_id: Shards<u32, Arc<Partner>, FixedState>,
    pub anchors: Anchors,
    /// Those that were retired.
    retired: Anchors,
    /// Anchors whose certificate cannot be used, and why: they vouch for nobody.
    unusable: Shards<u32, Arc<Unusable>, FixedState>,
    /// Partners with an intermediate of that subject, ascending.
    helping: Shards<Fingerprint, Arc<[u32]>, AsIs>,
}

/// An anchor that is not there, and why.
#[derive(Debug, PartialEq)]
struct Unusable {
    partner: u32,
    problem: String,
}

impl Partners {
    pub fn get(&self, id: u32) -> Option<&Arc<Partner>> {
        self.by_id.get(&id)
    }

    /// The subjects (DER) of all intermediates.
    pub fn helper_names(&self) -> impl Iterator<Item = &[u8]> {
        let partners = self.by_id.iter().map(|(_, partner)| partner);
        let helpers = partners.flat_map(|partner| &partner.helpers);
        helpers.map(|helper| &*helper.subject)
    }

    /// Partners that may have a path for a certificate with the issuer `name` (DER).
    pub fn concerned(&self, name: &[u8]) -> impl Iterator<Item = u32> {
        let anchors = self
            .anchors
            .named(name)
            .iter()
            .filter_map(|anchor| anchor.partner());
        let helping = self.helping.get(&name_hash(name));
        anchors.chain(helping.into_iter().flat_map(|ids| ids.iter().copied()))
    }

    /// Whether paths of `partner` end at `candidate`, a CA that it registered: on the way to one above it, its own terms would
    /// not be asked, and whom they keep out would come in by sending one certificate more. Whether they hold at the moment,
    /// or it was retired, does not matter: then that is what keeps out.
    pub fn ends_at(&self, partner: u32, candidate: &Certificate<'_>) -> bool {
        [&self.anchors, &self.retired]
            .iter()
            .flat_map(|anchors| anchors.named_of(partner, candidate.subject))
            .any(|anchor| anchor.is_of(candidate))
    }

    pub fn insert(&mut self, partner: Partner) {
        self.remove(partner.id);
        for helper in &partner.helpers {
            self.change_helping(&helper.subject, |ids| {
                if let Err(position) = ids.binary_search(&partner.id) {
                    ids.insert(position, partner.id);
                }
            });
        }
        self.by_id.insert(partner.id, Arc::new(partner));
    }

    pub fn remove(&mut self, id: u32) {
        let Some(gone) = self.by_id.get(&id).map(Arc::clone) else {
            return;
        };
        self.by_id.remove(&id);
        for helper in &gone.helpers {
            self.change_helping(&helper.subject, |ids| ids.retain(|one| *one != id));
        }
    }

    fn change_helping(&mut self, subject: &[u8], change: impl FnOnce(&mut Vec<u32>)) {
        let name = name_hash(subject);
        let mut ids = self.helping.get(&name).map_or(vec![], |ids| ids.to_vec());
        change(&mut ids);
        if ids.is_empty() {
            self.helping.remove(&name);
        } else {
            self.helping.insert(name, ids.into());
        }
    }

    /// Takes an anchor in. One whose certificate or terms cannot be used vouches for nobody and stands in nobody's way.
    pub fn insert_anchor(&mut self, record: &AnchorRecord, environment: Option<Arc<str>>) {
        self.remove_anchor(record.id);
        let anchor = Terms::read(record, environment)
            .and_then(|terms| Anchor::of_partner(record.id, &record.certificate, terms))
            .and_then(|anchor| match anchor.key_fault {
                // What it signs proves nothing, so it is as if it were not there.
                Some(key) => Err(format!("cannot be relied on: {key}")),
                None => Ok(anchor),
            });
        match anchor {
            Ok(anchor) if record.retired => self.retired.insert(anchor),
            // Not even with its key could anything be built on it.
            Err(_) if record.retired => {}
            Ok(anchor) => self.anchors.insert(anchor),
            Err(problem) => {
                let partner = record.partner;
                self.unusable
                    .insert(record.id, Arc::new(Unusable { partner, problem }));
            }
        }
    }

    pub fn remove_anchor(&mut self, id: u32) {
        self.anchors.remove(id);
        self.retired.remove(id);
        self.unusable.remove(&id);
    }

    /// What cannot be used, a sentence each.
    pub fn problems(&self) -> Vec<String> {
        let mut problems: Vec<((u32, u32), String)> = Vec::new();
        for (_, partner) in self.by_id.iter() {
            let sentences = partner.problems.iter();
            problems.extend(sentences.map(|problem| {
                (
                    (partner.id, 0),
                    format!("Partner {}: {problem}.", partner.name),
                )
            }));
        }
        for (id, unusable) in self.unusable.iter() {
            let name = self
                .get(unusable.partner)
                .map_or("?", |partner| &partner.name);
            let sentence = format!("Partner {name}: its CA {id} {}.", unusable.problem);
            problems.push(((unusable.partner, *id), sentence));
        }
        problems.sort();
        problems.into_iter().map(|(_, sentence)| sentence).collect()
    }
}

/// A client of a partner's, 48 octets: its name only as a hash.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Member {
    key: MemberKey,
    client: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MemberKey {
    partner: u32,
    name: Fingerprint,
}

impl MemberKey {
    pub fn new(partner: u32, name: &str) -> MemberKey {
        let name = sha256(name.as_bytes());
        MemberKey { partner, name }
    }
}

impl Member {
    pub fn new(partner: u32, name: &str, client: u64) -> Member {
        let key = MemberKey::new(partner, name);
        Member { key, client }
    }
}

impl Entry for Member {
    type Key = MemberKey;

    fn key(&self) -> MemberKey {
        self.key
    }

    fn spread(key: &MemberKey) -> usize {
        usize::from(u16::from_be_bytes([key.name.0[0], key.name.0[1]]))
    }
}

/// All members of all partners.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Members(Sorted<Member>);

impl Members {
    /// The client that `name` is inside `partner`.
    pub fn client(&self, partner: u32, name: &str) -> Option<u64> {
        let member = self.0.get(&MemberKey::new(partner, name))?;
        Some(member.client)
    }

    /// Takes `removed` away, then adds `added`; one that is there already is replaced.
    pub fn change(&mut self, added: Vec<Member>, removed: impl IntoIterator<Item = MemberKey>) {
        self.0.change(added, removed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_all_intermediates_of_a_name_are_looked_at() {
        let ca = rcgen::KeyPair::generate()
            .and_then(|key| rcgen::CertificateParams::default().self_signed(&key))
            .unwrap_or_else(|error| panic!("{error}"));
        let partner = Partner::read(PartnerRecord {
            id: 1,
            name: "acme".into(),
            admits: PartnerAdmits::Rule,
            client: 1,
            suspended: false,
            rules: vec![],
            intermediates: vec![ca.der().to_vec().into(); MOST_HELPERS + 1],
            profile: PartnerProfile::Names,
        });
        let shown = Certificate::parse(ca.der()).unwrap_or_else(|fault| panic!("{fault}"));
        assert_eq!(partner.helpers_for(&[shown]).len(), MOST_HELPERS);
    }

    #[test]
    fn fits_its_promise() {
        assert_eq!(size_of::<Member>(), 48);
    }
}
