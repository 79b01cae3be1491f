//! Certification paths (RFC 5280 6.1): from a leaf, over intermediates that came along, to an anchor.
//!
//! The path is built and judged here, the signatures are checked by webpki's algorithms. webpki's own path validation is
//! not used: it refuses names under directoryName and mailbox constraints, X.509 v1 and CA leaves, and says neither which
//! certificate is to blame nor what would have been wrong next. Work is bounded by a budget of signatures.

use std::{collections::HashMap, sync::Arc};

use crate::{
    Reason,
    anchor::{Anchor, Profile, key_ids_agree},
    certificate::Certificate,
    constraints,
    fault::Fault,
    key::{KeyFault, provable},
    moment,
    rules::{self, Purposes, Usage},
    signature::SignatureFault,
};

/// What is asked about a chain.
pub(crate) struct Question<'q> {
    /// The leaf, then all that may help, in any order.
    pub certificates: &'q [Certificate<'q>],
    /// Unix seconds.
    pub at: i64,
    pub usage: Usage,
    /// Intermediates that are not self-issued, at most.
    pub longest: usize,
    /// Signature checks, at most: what a stranger can make us do.
    pub signatures: usize,
    /// The anchors with a subject name (DER).
    pub anchors: &'q dyn Fn(&[u8]) -> &'q [Arc<Anchor>],
    /// A last word on a path that is otherwise good; its fault is path_invalid or later.
    pub further: &'q Further<'q>,
}

/// Judges a path that is otherwise good.
pub(crate) type Further<'q> = dyn Fn(&Path<'q>, &'q [Certificate<'q>]) -> Result<(), Fault> + 'q;

/// A path that is good.
#[derive(Debug)]
pub(crate) struct Path<'q> {
    /// Indexes of the certificates, leaf first; without the anchor.
    pub indexes: Vec<usize>,
    pub anchor: &'q Arc<Anchor>,
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
        worst: None,
        issuer_known: false,
    };
    match search.extend(&mut vec![0]) {
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
    worst: Option<Fault>,
    issuer_known: bool,
}

enum Outcome<'q> {
    Found(Path<'q>),
    Nothing,
    /// The budget is spent.
    Exhausted,
}

impl<'q> Search<'q> {
    /// Tries all that can follow `path`, whose signatures are good.
    fn extend(&mut self, path: &mut Vec<usize>) -> Outcome<'q> {
        let certificates = self.question.certificates;
        let Some(head_index) = path.last().copied() else {
            return Outcome::Nothing;
        };
        let head = &certificates[head_index];
        let mut issuers = 0;

        for anchor in (self.question.anchors)(head.issuer)
            .iter()
            .filter(|anchor| anchor.may_have_signed(head))
        {
            issuers += 1;
            if !self.spend() {
                return Outcome::Exhausted;
            }
            match self.judge(path, anchor) {
                Ok(path) => return Outcome::Found(path),
                Err(fault) => self.keep(fault),
            }
        }
        for (index, candidate) in certificates.iter().enumerate().skip(1) {
            let repeated = |before: &usize| {
                certificates[*before].subject == candidate.subject
                    && certificates[*before].spki == candidate.spki
            };
            if candidate.subject != head.issuer
                || !key_ids_agree(head, candidate.extensions.subject_key_id)
                || path.iter().any(repeated)
                || self.depth(path) + usize::from(!candidate.self_issued()) > self.question.longest
            {
                continue;
            }
            issuers += 1;
            // A weak key's signatures prove nothing, so they are not checked.
            if let Err(key) = provable(candidate.spki) {
                self.keep(weak(key, index));
                continue;
            }
            let edge = match self.edges.get(&(head_index, index)).copied() {
                Some(known) => known,
                None if !self.spend() => return Outcome::Exhausted,
                None => *self
                    .edges
                    .entry((head_index, index))
                    .or_insert_with(|| head.signed_by(candidate.spki)),
            };
            if let Err(fault) = edge {
                self.keep(signature_fault(fault, head_index));
                continue;
            }
            path.push(index);
            let outcome = self.extend(path);
            path.pop();
            if !matches!(outcome, Outcome::Nothing) {
                return outcome;
            }
        }
        if issuers == 0 {
            self.keep(Fault::of(
                Reason::UnknownIssuer,
                head_index,
                "was issued by an authority that is not known here",
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

    fn spend(&mut self) -> bool {
        if self.signatures == 0 {
            self.keep(Fault::of(
                Reason::PathInvalid,
                0,
                "comes with more possible issuers than are tried",
            ));
            return false;
        }
        self.signatures -= 1;
        true
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

    /// The order of judgement of one path, top to bottom.
    fn judge(&mut self, indexes: &[usize], anchor: &'q Arc<Anchor>) -> Result<Path<'q>, Fault> {
        let question = self.question;
        let certificates = question.certificates;
        let links = || indexes.iter().map(|index| (*index, &certificates[*index]));
        let Some((last, head)) = links().next_back() else {
            return Err(Fault::of(Reason::Malformed, 0, "is missing"));
        };

        // RFC 5280 6.1.3 (a)(1). The other signatures were checked when the path grew.
        if let Some(key) = anchor.key_fault {
            return Err(Fault::of_anchor(
                Reason::WeakKey,
                format!("cannot be relied on: {key}"),
            ));
        }
        head.signed_by(&anchor.spki)
            .map_err(|fault| signature_fault(fault, last))?;
        self.issuer_known = true;

        self.check_structure(indexes, anchor)?;
        self.check_names(indexes, anchor)?;

        self.check_dates(indexes, anchor)?;
        self.check_purposes(indexes, anchor)?;
        // RFC 5280 4.2.1.9 would let a CA's key be a client's; a client that can make clients is more than was asked for.
        if certificates[0].is_ca() {
            return Err(Fault::of(
                Reason::CaAsClient,
                0,
                "is a CA's, not a client's",
            ));
        }
        check_signing(&certificates[0], question.usage)?;
        let valid_from = links()
            .map(|(_, certificate)| certificate.not_before)
            .fold(anchor.not_before, i64::max);
        let valid_until = links()
            .map(|(_, certificate)| certificate.not_after)
            .fold(anchor.not_after, i64::min);
        let path = Path {
            indexes: indexes.to_vec(),
            anchor,
            valid_from,
            valid_until,
        };
        (question.further)(&path, certificates)?;
        Ok(path)
    }

    fn check_structure(&self, indexes: &[usize], anchor: &Anchor) -> Result<(), Fault> {
        let certificates = self.question.certificates;
        let leaf = &certificates[0];
        // The exception: openssl x509 -req made v1 certificates before 3.2. Only an adopted anchor's own signature makes one good.
        if leaf.version == 1 && (anchor.profile != Profile::Adopted || indexes.len() != 1) {
            return Err(Fault::of(
                Reason::PathInvalid,
                0,
                "is X.509 v1, which only an adopted authority may have signed",
            ));
        }
        if let Some(fault) = rules::leaf_fault(leaf, anchor.profile) {
            return Err(fault);
        }
        let mut below = 0;
        for &index in indexes.iter().skip(1) {
            let issuer = &certificates[index];
            if let Some(fault) = rules::issuer_fault(issuer, index, anchor.profile) {
                return Err(fault);
            }
            // RFC 5280 6.1.4 (m): self-issued certificates do not count.
            let length = issuer
                .extensions
                .basic_constraints
                .as_ref()
                .and_then(|basic| basic.path_len_constraint);
            if length.is_some_and(|length| below > length) {
                return Err(Fault::of(
                    Reason::PathInvalid,
                    index,
                    "has more CAs below it than it may (RFC 5280 4.2.1.9)",
                ));
            }
            below += u32::from(!issuer.self_issued());
        }
        if let Some(fault) = &anchor.fault {
            return Err(fault.clone());
        }
        if anchor.path_length.is_some_and(|length| below > length) {
            return Err(Fault::of_anchor(
                Reason::PathInvalid,
                "has more CAs below it than it may (RFC 5280 4.2.1.9)",
            ));
        }
        Ok(())
    }

    fn check_names(&self, indexes: &[usize], anchor: &Anchor) -> Result<(), Fault> {
        let certificates = self.question.certificates;
        let mut comparisons = 0;
        let mut check = |constraints, below: &[usize]| {
            // RFC 5280 6.1.3 (b) and (c): self-issued intermediates are exempt.
            for &index in below
                .iter()
                .filter(|index| **index == 0 || !certificates[**index].self_issued())
            {
                constraints::check(constraints, &certificates[index], &mut comparisons)
                    .map_err(|fault| Fault::of(Reason::PathInvalid, index, fault))?;
            }
            Ok(())
        };
        for (position, &index) in indexes.iter().enumerate().skip(1) {
            if let Some(constraints) = &certificates[index].extensions.name_constraints {
                check(constraints, &indexes[..position])?;
            }
        }
        if anchor.constrained {
            // Read again rather than kept: constrained anchors are few, and a kept one would borrow from itself.
            let certificate = Certificate::parse(&anchor.der)
                .map_err(|fault| Fault::of_anchor(Reason::PathInvalid, fault))?;
            if let Some(constraints) = &certificate.extensions.name_constraints {
                check(constraints, indexes)?;
            }
        }
        Ok(())
    }

    /// RFC 5280 6.1.3 (a)(2), for the anchor too: an expired CA vouches for nobody. No leeway: issuers backdate.
    fn check_dates(&self, indexes: &[usize], anchor: &Anchor) -> Result<(), Fault> {
        let at = self.question.at;
        let certificates = || {
            indexes
                .iter()
                .map(|index| (*index, &self.question.certificates[*index]))
        };
        let early = |from: i64| format!("is not valid before {}", moment::text(from));
        let late = |until: i64| format!("expired on {}", moment::text(until));
        if let Some((index, certificate)) =
            certificates().find(|(_, certificate)| at < certificate.not_before)
        {
            return Err(Fault::of(
                Reason::NotYetValid,
                index,
                early(certificate.not_before),
            ));
        }
        if at < anchor.not_before {
            return Err(Fault::of_anchor(
                Reason::NotYetValid,
                early(anchor.not_before),
            ));
        }
        if let Some((index, certificate)) =
            certificates().find(|(_, certificate)| at > certificate.not_after)
        {
            return Err(Fault::of(
                Reason::Expired,
                index,
                late(certificate.not_after),
            ));
        }
        if at > anchor.not_after {
            return Err(Fault::of_anchor(Reason::Expired, late(anchor.not_after)));
        }
        Ok(())
    }

    fn check_purposes(&self, indexes: &[usize], anchor: &Anchor) -> Result<(), Fault> {
        let usage = self.question.usage;
        let refused =
            |purposes: Option<Purposes>| purposes.is_some_and(|purposes| !purposes.allow(usage));
        for &index in indexes {
            // RFC 5280 4.2.1.12. An issuer's list bounds what it may vouch for, as all who judge TLS read it.
            if refused(Purposes::of(&self.question.certificates[index])) {
                return Err(Fault::of(
                    Reason::NotForClientAuth,
                    index,
                    usage_text(usage),
                ));
            }
        }
        if refused(anchor.purposes) {
            return Err(Fault::of_anchor(
                Reason::NotForClientAuth,
                usage_text(usage),
            ));
        }
        Ok(())
    }
}

/// RFC 5246 7.4.6: the leaf's key signs the handshake. After the question whether it is a CA's, which says more.
fn check_signing(leaf: &Certificate<'_>, usage: Usage) -> Result<(), Fault> {
    let key_usage = leaf.extensions.key_usage.as_ref();
    if usage == Usage::Client && key_usage.is_some_and(|key_usage| !key_usage.digital_signature()) {
        return Err(Fault::of(
            Reason::NotForClientAuth,
            0,
            "has a key usage without digitalSignature, so it cannot prove a client",
        ));
    }
    Ok(())
}

fn weak(key: KeyFault, index: usize) -> Fault {
    Fault::of(
        Reason::WeakKey,
        index,
        format!("cannot be relied on: {key}"),
    )
}

fn signature_fault(fault: SignatureFault, index: usize) -> Fault {
    let detail = match fault {
        SignatureFault::Wrong => "has a signature that does not verify",
        SignatureFault::Algorithm => {
            "is signed in a way that proves nothing (SHA-1, MD5) or is not supported"
        }
    };
    Fault::of(Reason::BadSignature, index, detail)
}

fn usage_text(usage: Usage) -> &'static str {
    match usage {
        Usage::Client => "has an extended key usage that does not include client authentication",
        Usage::Server => "has an extended key usage that does not include server authentication",
    }
}
