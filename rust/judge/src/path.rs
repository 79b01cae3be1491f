//! Certification paths (RFC 5280 6.1): from a leaf, over intermediates that came along, to an anchor.
//!
//! The path is built here and judged in `validate`, the signatures are checked by webpki's algorithms. webpki's own path validation is
//! not used: it refuses names under directoryName and mailbox constraints, X.509 v1 and CA leaves, and says neither which
//! certificate is to blame nor what would have been wrong next. Work is bounded by a budget of signatures.

use std::{collections::HashMap, sync::Arc};

use crate::{
    Reason,
    anchor::{Anchor, key_ids_agree},
    certificate::Certificate,
    fault::Fault,
    key::provable,
    rules::Usage,
    shards::Fingerprint,
    signature::{Checks, SignatureFault},
    validate::{signature_fault, weak},
};

/// Issuers tried for one chain, at most: CAs that sign each other make more paths than there are atoms.
const MOST_STEPS: usize = 1_000;

/// What is asked about a chain.
pub(crate) struct Question<'q> {
    /// The leaf, then all that may help, in any order.
    pub certificates: &'q [&'q Certificate<'q>],
    /// Unix seconds.
    pub at: i64,
    pub usage: Usage,
    /// Intermediates that are not self-issued, at most.
    pub longest: usize,
    /// Signature checks, at most: what a stranger can make us do.
    pub signatures: usize,
    pub checks: &'q Checks<'q>,
    /// The anchors with a subject name (DER).
    pub anchors: &'q dyn Fn(&[u8]) -> &'q [Arc<Anchor>],
    /// Whether no path leads over this CA: it is an anchor, or was one.
    pub ends_at: &'q dyn Fn(&Certificate<'_>) -> bool,
    /// A last word on a path that is otherwise good; its fault is path_invalid or later.
    pub further: &'q Further<'q>,
}

/// Judges a path that is otherwise good.
pub(crate) type Further<'q> =
    dyn Fn(&Path<'q>, &'q [&'q Certificate<'q>]) -> Result<(), Fault> + 'q;

/// A path that is good.
#[derive(Debug)]
pub(crate) struct Path<'q> {
    /// Indexes of the certificates, leaf first; without the anchor.
    pub indexes: Vec<usize>,
    pub anchor: &'q Arc<Anchor>,
    /// The SHA-256 of the key that signed the leaf.
    pub signer: Fingerprint,
    /// When its last certificate becomes valid, Unix seconds.
    pub valid_from: i64,
    /// When its first one ceases to be, Unix seconds.
    pub valid_until: i64,
}

/// Why there is no path.
#[derive(Debug)]
pub(crate) struct NoPath {
    /// Of all paths that were tried, the fault of the one that came furthest in the order of judgement.
    pub fault: Fault,
    /// Whether an anchor of ours verified the signatures of that or another path.
    pub issuer_known: bool,
}

/// Finds a good path.
///
/// A leaf whose key is not [`provable`] is refused before anything else: in the handshake its possession was not proved, so
/// nothing may be said about whose it is.
pub(crate) fn build<'q>(question: &'q Question<'q>) -> Result<Path<'q>, NoPath> {
    if let Some(Err(key)) = question
        .certificates
        .first()
        .map(|leaf| provable(leaf.spki))
    {
        return Err(NoPath {
            fault: weak(key, 0),
            issuer_known: false,
        });
    }
    let mut search = Search {
        question,
        edges: HashMap::new(),
        signatures: question.signatures,
        steps: MOST_STEPS,
        worst: None,
        issuer_known: false,
        passed_over: false,
        second: false,
    };
    let mut outcome = search.extend(&mut vec![0], false);
    if matches!(outcome, Outcome::Nothing) && search.passed_over {
        search.second = true;
        outcome = search.extend(&mut vec![0], false);
    }
    match outcome {
        Outcome::Found(path) => Ok(path),
        Outcome::Nothing | Outcome::Exhausted => Err(NoPath {
            fault: search.worst.unwrap_or_else(|| {
                Fault::of(
                    Reason::UnknownIssuer,
                    0,
                    "was issued by an authority that is not known here",
                )
            }),
            issuer_known: search.issuer_known,
        }),
    }
}

struct Search<'q> {
    question: &'q Question<'q>,
    /// Whether the second signed the first, for those tried.
    edges: HashMap<(usize, usize), Result<(), SignatureFault>>,
    signatures: usize,
    steps: usize,
    worst: Option<Fault>,
    issuer_known: bool,
    /// Whether a key identifier alone spoke against an issuer. It is a hint, and no part of a path's validity (RFC 5280 6.1,
    /// RFC 4158 3.5.12): a CA whose certificate was made anew may name its key otherwise.
    passed_over: bool,
    /// Whether those are tried now, within what is left of the budget. Of them only a signature that is good says anything.
    second: bool,
}

enum Outcome<'q> {
    Found(Path<'q>),
    Nothing,
    /// The budget is spent.
    Exhausted,
}

impl<'q> Search<'q> {
    /// Tries all that can follow `path`, whose signatures are good. `aside`: whether a key identifier in it did not agree.
    fn extend(&mut self, path: &mut Vec<usize>, aside: bool) -> Outcome<'q> {
        let certificates = self.question.certificates;
        let Some(head_index) = path.last().copied() else {
            return Outcome::Nothing;
        };
        let head = certificates[head_index];
        let mut issuers = 0;

        for anchor in (self.question.anchors)(head.issuer) {
            let agrees = anchor.may_have_signed(head);
            // What agrees all the way was judged in the first round.
            if self.second && agrees && !aside || !self.is_tried(agrees) {
                continue;
            }
            issuers += 1;
            if !self.spend() {
                return Outcome::Exhausted;
            }
            match self.question.judge(path, anchor, &mut self.issuer_known) {
                Ok(path) => return Outcome::Found(path),
                Err(fault) if !agrees && fault.reason == Reason::BadSignature => {}
                Err(fault) => self.keep(fault),
            }
        }
        for (index, candidate) in certificates.iter().enumerate().skip(1) {
            let repeated = |before: &usize| {
                certificates[*before].subject == candidate.subject
                    && certificates[*before].spki == candidate.spki
            };
            let agrees = key_ids_agree(head, candidate.extensions.subject_key_id);
            if candidate.subject != head.issuer
                || path.iter().any(repeated)
                || self.depth(path) + usize::from(!candidate.self_issued()) > self.question.longest
                || (self.question.ends_at)(candidate)
                || !self.is_tried(agrees)
            {
                continue;
            }
            issuers += 1;
            // A weak key's signatures prove nothing, so they are not checked.
            if let Err(key) = provable(candidate.spki) {
                if agrees {
                    self.keep(weak(key, index));
                }
                continue;
            }
            let edge = match self.edges.get(&(head_index, index)).copied() {
                Some(known) => known,
                None if !self.spend() => return Outcome::Exhausted,
                None => *self.edges.entry((head_index, index)).or_insert_with(|| {
                    let checks = self.question.checks;
                    checks.signed_by(head, candidate.spki, candidate.key_hash())
                }),
            };
            if let Err(fault) = edge {
                if agrees {
                    self.keep(signature_fault(fault, head_index));
                }
                continue;
            }
            if self.steps == 0 {
                self.exhaust();
                return Outcome::Exhausted;
            }
            self.steps -= 1;
            path.push(index);
            let outcome = self.extend(path, aside || !agrees);
            path.pop();
            if !matches!(outcome, Outcome::Nothing) {
                return outcome;
            }
        }
        if issuers == 0 && (aside || !self.second) {
            self.keep(Fault::of(
                Reason::UnknownIssuer,
                head_index,
                if head.self_issued() {
                    "is self-signed, and is not known here"
                } else {
                    "was issued by an authority that is not known here"
                },
            ));
        }
        Outcome::Nothing
    }

    /// Intermediates of `path` that count for its length.
    fn depth(&self, path: &[usize]) -> usize {
        path.iter()
            .skip(1)
            .filter(|index| !self.question.certificates[**index].self_issued())
            .count()
    }

    /// Whether an issuer whose key identifier `agrees` has its turn; notes that one has to have it later.
    fn is_tried(&mut self, agrees: bool) -> bool {
        self.passed_over |= !agrees;
        agrees || self.second
    }

    fn spend(&mut self) -> bool {
        if self.signatures == 0 {
            self.exhaust();
            return false;
        }
        self.signatures -= 1;
        true
    }

    /// The budget is spent. In the second round nothing is known by that which was not before.
    fn exhaust(&mut self) {
        if !self.second {
            self.keep(Fault::of(
                Reason::PathInvalid,
                0,
                "comes with more possible issuers than are tried",
            ));
        }
    }

    fn keep(&mut self, fault: Fault) {
        if self
            .worst
            .as_ref()
            .is_none_or(|worst| worst.reason < fault.reason)
        {
            self.worst = Some(fault);
        }
    }
}
