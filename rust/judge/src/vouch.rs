//! Does a partner vouch for a certificate, and for whom?
//!
//! # Isolation
//!
//! What one partner brings never changes the verdict on another's certificates:
//!
//! - Each partner that may be concerned is judged on its own: its anchors, its intermediates, its rules, members and
//!   revocations, and a budget of signatures of its own. No anchor of another is a candidate, however its name or key
//!   identifier reads. (That the budgets do not add up is for registration, which bounds how many anchors share a name.)
//! - Only what was signed by an anchor counts. A partner whose key verified nothing has no say beside one whose key did.
//! - Of those whose key verified, the one whose rules claim the certificate's names is heard: a CA that cross-signs
//!   another's intermediate makes paths for the other's certificates, and still speaks for its own names only.
//! - Nobody is asked about what an authority of ours vouches for.
//! - Where two partners would admit the same certificate (a shared anchor and the same exact rule, which registration
//!   refuses), the one that is longer here keeps it.
//! - What of a partner cannot be read is passed over when the snapshot is made, and holds up nobody else's records.

use std::{cell::OnceCell, collections::BTreeSet};

use crate::{
    Admission, Evidence, Reason, Refusal, Snapshot,
    certificate::Certificate,
    decide::{MOST_CERTIFICATES, SIGNATURES, admission, revoked_fault},
    fault::Fault,
    names::Names,
    partner::{Partner, Terms},
    path::{self, Path, Question},
    record::{PartnerAdmits, PartnerProfile},
    revocation::Revocation,
    rules::Usage,
    signature::Checks,
};

/// A chain, as all partners see it.
pub(crate) struct Shown<'c> {
    /// As sent, leaf first.
    pub certificates: &'c [Certificate<'c>],
    pub at: i64,
    pub checks: &'c Checks<'c>,
}

/// What one partner says.
struct Said {
    result: Result<Admission, Refusal>,
    /// Whether a key of this partner's verified a path.
    verified: bool,
    /// Whether it did, and the names are this partner's to vouch for.
    claimed: bool,
}

/// Asks all partners whose CAs may have issued the chain; `None` if there are none.
pub(crate) fn vouch(shown: &Shown<'_>, snapshot: &Snapshot) -> Option<Result<Admission, Refusal>> {
    let leaf = shown.certificates.first()?;
    let issuers = shown
        .certificates
        .iter()
        .map(|certificate| certificate.issuer);
    // The leaf's own name, too: a CA's certificate shown as a client's.
    let partners: BTreeSet<u32> = issuers
        .chain([leaf.subject])
        .flat_map(|name| snapshot.partners.concerned(name))
        .collect();
    let read: [OnceCell<Result<Names, String>>; 2] = Default::default();
    let names = |profile: PartnerProfile| {
        read[usize::from(profile == PartnerProfile::Psd2)].get_or_init(|| Names::of(leaf, profile))
    };
    let mut best: Option<Said> = None;
    for partner in partners
        .into_iter()
        .filter_map(|id| snapshot.partners.get(id))
    {
        let said = Asked {
            shown,
            snapshot,
            partner,
            names: &names,
        }
        .said();
        if said.result.is_ok() {
            return Some(said.result);
        }
        if best
            .as_ref()
            .is_none_or(|best| said.weight() > best.weight())
        {
            best = Some(said);
        }
    }
    best.map(|said| said.result)
}

impl Said {
    /// The heavier of two refusals is given; of two alike, the one of the partner that is longer here.
    fn weight(&self) -> (bool, bool, Option<(bool, Reason)>) {
        let reason = self.result.as_ref().err().map(telling);
        (self.verified, self.claimed, reason)
    }
}

/// How much a refusal tells: not to know the issuer tells least, and the later in the order of judgement the more.
pub(crate) fn telling(refusal: &Refusal) -> (bool, Reason) {
    (refusal.reason != Reason::UnknownIssuer, refusal.reason)
}

/// One partner, asked about a chain.
struct Asked<'a> {
    shown: &'a Shown<'a>,
    snapshot: &'a Snapshot,
    partner: &'a Partner,
    /// The leaf's names, read once for all partners of a profile.
    names: &'a dyn Fn(PartnerProfile) -> &'a Result<Names, String>,
}

impl<'a> Asked<'a> {
    fn names(&self) -> &'a Result<Names, String> {
        (self.names)(self.partner.profile)
    }

    fn said(&self) -> Said {
        let sent = self.shown.certificates;
        let helpers = self.partner.helpers_for(sent);
        let certificates: Vec<&Certificate<'_>> = sent.iter().chain(&helpers).collect();
        let question = Question {
            certificates: &certificates,
            at: self.shown.at,
            usage: Usage::Client,
            longest: MOST_CERTIFICATES,
            signatures: SIGNATURES,
            checks: self.shown.checks,
            anchors: &|name| {
                self.snapshot
                    .partners
                    .anchors
                    .named_of(self.partner.id, name)
            },
            ends_at: &|candidate| self.snapshot.partners.ends_at(self.partner.id, candidate),
            further: &|path, certificates| self.further(path, certificates),
        };
        match path::build(&question) {
            Ok(path) => Said {
                result: self.identify(&path, &certificates),
                verified: true,
                claimed: true,
            },
            Err(none) => {
                let shown_ca = none.fault.reason == Reason::UnknownIssuer && self.is_anchor();
                let fault = if shown_ca {
                    Fault::of(Reason::CaAsClient, 0, "is a CA's, not a client's")
                } else {
                    none.fault.among(sent.len())
                };
                let verified = none.issuer_known || shown_ca;
                let client = (fault.reason > Reason::PinRetired)
                    .then(|| self.client())
                    .flatten();
                Said {
                    result: Err(fault.refusal(verified, client)),
                    verified,
                    claimed: verified
                        && self
                            .names()
                            .as_ref()
                            .is_ok_and(|names| self.partner.rules.claim(names)),
                }
            }
        }
    }

    /// The last word on a path that is otherwise good: may this anchor speak for these names, and was anything revoked?
    fn further(&self, path: &Path<'_>, certificates: &[&Certificate<'_>]) -> Result<(), Fault> {
        let Some(terms) = &path.anchor.terms else {
            return Err(Fault::of(
                Reason::UnknownIssuer,
                0,
                "is under no CA of a partner's",
            ));
        };
        self.names()
            .as_ref()
            .map_err(Clone::clone)
            .and_then(|names| {
                self.partner
                    .rules
                    .permit(names, path.anchor.id, terms.shared)
            })
            .map_err(|fault| Fault::of(Reason::NameNotPermitted, 0, fault))?;
        if let Some((index, revocation)) = self.revoked(path, certificates) {
            return Err(revoked_fault(index, &revocation));
        }
        self.known_until(path, terms, certificates).map(|_| ())
    }

    /// RFC 5280 6.3 by look-up, from the anchor down. A serial number is one of its issuer's, who is known by name
    /// (6.3.3 (b)(1)): those of a CA between are its own, unless that is the anchor itself with another key.
    fn revoked(
        &self,
        path: &Path<'_>,
        certificates: &[&Certificate<'_>],
    ) -> Option<(usize, Revocation)> {
        path.indexes
            .iter()
            .rev()
            .map(|index| (*index, certificates[*index]))
            .filter(|(_, one)| *one.issuer == *path.anchor.subject)
            .find_map(|(index, one)| {
                let serial = one.serial_digits();
                let revocation = self.snapshot.foreign.get(path.anchor.id, serial)?;
                Some((index, *revocation))
            })
    }

    fn known_until(
        &self,
        path: &Path<'_>,
        terms: &Terms,
        certificates: &[&Certificate<'_>],
    ) -> Result<i64, Fault> {
        terms.known_until(certificates[0], path.indexes.len() == 1, self.shown.at)
    }

    /// Who the holder of a leaf with a good path is.
    fn identify(
        &self,
        path: &Path<'_>,
        certificates: &[&Certificate<'_>],
    ) -> Result<Admission, Refusal> {
        let partner = self.partner;
        let client = self.client();
        let known = client.and_then(|id| self.snapshot.client(id));
        let Some((client, comes_in)) = known else {
            let name = self
                .names()
                .as_ref()
                .map_or("its name".into(), Names::shown);
            let detail = format!("is genuine, but {name} is not a client of its partner's here");
            return Err(Refusal {
                partner: Some(partner.name.clone()),
                ..Fault::of(Reason::NotEnrolled, 0, detail).refusal(true, None)
            });
        };
        if partner.suspended || !comes_in {
            let whose = if partner.suspended {
                "partner"
            } else {
                "client"
            };
            let detail = format!("belongs to a {whose} that is suspended");
            return Err(Refusal {
                partner: Some(partner.name.clone()),
                ..Fault::of(Reason::ClientSuspended, 0, detail).refusal(true, Some(client.id))
            });
        }
        let terms = path.anchor.terms.as_ref();
        let until = terms.map_or(Ok(i64::MAX), |terms| {
            self.known_until(path, terms, certificates)
        });
        Ok(Admission {
            evidence: Evidence::Partner,
            partner: Some(partner.name.clone()),
            environment: terms.and_then(|terms| terms.environment.clone()),
            authority: format!("partner {}", partner.name).into(),
            signer: Some(path.signer.0),
            valid_from: path.valid_from,
            // A verdict that rests on a list ends with it.
            valid_until: until.map_or(path.valid_until, |until| until.min(path.valid_until)),
            ..admission(client, certificates[0])
        })
    }

    /// The client that the leaf's name is inside this partner.
    fn client(&self) -> Option<u64> {
        let names = self.names().as_ref().ok()?;
        let member = self
            .snapshot
            .members
            .client(self.partner.id, names.identity());
        match self.partner.admits {
            PartnerAdmits::Rule => member.or(Some(self.partner.client)),
            PartnerAdmits::Listed | PartnerAdmits::Approval => member,
        }
    }

    /// Whether the leaf is a CA of this partner's.
    fn is_anchor(&self) -> bool {
        let leaf = &self.shown.certificates[0];
        let named = self
            .snapshot
            .partners
            .anchors
            .named_of(self.partner.id, leaf.subject);
        named.iter().any(|anchor| anchor.is_of(leaf))
    }
}
