//! One path, judged (RFC 5280 6.1): what is wrong first is what is said.

use std::sync::Arc;

use crate::{
    Reason,
    anchor::{Anchor, Profile},
    certificate::Certificate,
    constraints,
    fault::Fault,
    key::KeyFault,
    moment,
    path::{Path, Question},
    rules::{self, Purposes, Usage},
    signature::SignatureFault,
};

/// How far clocks may be apart where others issue: what they made a moment ago is not yet valid here. Our own authorities
/// backdate what they issue instead, and nobody's end is put off.
pub(crate) const SKEW_SECONDS: i64 = 120;

impl<'q> Question<'q> {
    /// Judges the path of `indexes` under `anchor`, first failure first. `issuer_known` becomes true once the anchor's key has
    /// verified the signature: until then the anchor's name is only a claim.
    pub fn judge(
        &'q self,
        indexes: &[usize],
        anchor: &'q Arc<Anchor>,
        issuer_known: &mut bool,
    ) -> Result<Path<'q>, Fault> {
        let question = self;
        let certificates = question.certificates;
        let links = || indexes.iter().map(|index| (*index, certificates[*index]));
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
        question
            .checks
            .signed_by(head, &anchor.spki, anchor.key_hash)
            .map_err(|fault| signature_fault(fault, last))?;
        *issuer_known = true;

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
        check_signing(certificates[0], question.usage)?;
        let valid_from = links()
            .map(|(_, certificate)| certificate.not_before.saturating_sub(skew(anchor)))
            .fold(anchor.not_before, i64::max);
        let valid_until = links()
            .map(|(_, certificate)| certificate.not_after)
            .fold(anchor.not_after, i64::min);
        let issuer = indexes.get(1).map(|index| certificates[*index].key_hash());
        let path = Path {
            indexes: indexes.to_vec(),
            anchor,
            signer: issuer.unwrap_or(anchor.key_hash),
            valid_from,
            valid_until,
        };
        (question.further)(&path, certificates)?;
        Ok(path)
    }

    fn check_structure(&self, indexes: &[usize], anchor: &Anchor) -> Result<(), Fault> {
        let certificates = self.certificates;
        let leaf = certificates[0];
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
            let issuer = certificates[index];
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
        if let Some(terms) = &anchor.terms {
            terms.check(indexes, certificates)?;
        }
        self.check_policy(indexes, anchor)?;
        if anchor.path_length.is_some_and(|length| below > length) {
            return Err(Fault::of_anchor(
                Reason::PathInvalid,
                "has more CAs below it than it may (RFC 5280 4.2.1.9)",
            ));
        }
        Ok(())
    }

    fn check_names(&self, indexes: &[usize], anchor: &Anchor) -> Result<(), Fault> {
        let certificates = self.certificates;
        let mut comparisons = 0;
        let mut check = |constraints, below: &[usize]| {
            // RFC 5280 6.1.3 (b) and (c): self-issued intermediates are exempt.
            for &index in below
                .iter()
                .filter(|index| **index == 0 || !certificates[**index].self_issued())
            {
                constraints::check(constraints, certificates[index], &mut comparisons)
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

    /// RFC 5280 6.1.5 (g): the policy that was agreed with a partner, or none, which is not enough for who requires one.
    fn check_policy(&self, indexes: &[usize], anchor: &Anchor) -> Result<(), Fault> {
        let required = anchor
            .terms
            .as_ref()
            .and_then(|terms| terms.policy.as_ref());
        if let Some(policy) = required {
            return policy.check(indexes, self.certificates, anchor.any_policy_below);
        }
        let missing = "requires a certificate policy, and none is configured (RFC 5280 4.2.1.11)";
        for &index in indexes {
            if rules::needs_policy(self.certificates[index]) {
                return Err(Fault::of(Reason::PathInvalid, index, missing));
            }
        }
        if anchor.needs_policy {
            return Err(Fault::of_anchor(Reason::PathInvalid, missing));
        }
        Ok(())
    }

    /// RFC 5280 6.1.3 (a)(2), for the anchor too: an expired CA vouches for nobody. No leeway at the end.
    fn check_dates(&self, indexes: &[usize], anchor: &Anchor) -> Result<(), Fault> {
        let at = self.at;
        let certificates = || {
            indexes
                .iter()
                .map(|index| (*index, self.certificates[*index]))
        };
        // The two moments name the cause: one of the clocks, here or where it was made, is wrong.
        let early = |from: i64| {
            let (from, now) = (moment::text(from), moment::text(at));
            format!("is not valid before {from}, and here it is {now}")
        };
        let late = |until: i64| format!("expired on {}", moment::text(until));
        if let Some((index, certificate)) =
            certificates().find(|(_, one)| at < one.not_before.saturating_sub(skew(anchor)))
        {
            return Err(Fault::of(
                Reason::NotYetValid,
                index,
                early(certificate.not_before),
            ));
        }
        if at < anchor.not_before && anchor.terms.is_some() {
            return Err(window_fault(
                Reason::NotYetValid,
                "not before",
                anchor.not_before,
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
        if at > anchor.not_after && anchor.terms.is_some() {
            return Err(window_fault(Reason::Expired, "until", anchor.not_after));
        }
        if at > anchor.not_after {
            return Err(Fault::of_anchor(Reason::Expired, late(anchor.not_after)));
        }
        Ok(())
    }

    fn check_purposes(&self, indexes: &[usize], anchor: &Anchor) -> Result<(), Fault> {
        let usage = self.usage;
        let refused =
            |purposes: Option<Purposes>| purposes.is_some_and(|purposes| !purposes.allow(usage));
        for &index in indexes {
            // RFC 5280 4.2.1.12. An issuer's list bounds what it may vouch for, as all who judge TLS read it.
            if refused(Purposes::of(self.certificates[index])) {
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

fn skew(anchor: &Anchor) -> i64 {
    match anchor.terms {
        Some(_) => SKEW_SECONDS,
        None => 0,
    }
}

/// A partner's CA counts for as long as was agreed, which need not be what its certificate says.
fn window_fault(reason: Reason, when: &str, at: i64) -> Fault {
    Fault {
        reason,
        certificate: None,
        detail: format!(
            "The authority that issued the certificate is accepted here {when} {}.",
            moment::text(at)
        ),
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

pub(crate) fn weak(key: KeyFault, index: usize) -> Fault {
    let reason = match key {
        KeyFault::Unreadable => Reason::Malformed,
        _ => Reason::WeakKey,
    };
    Fault::of(reason, index, format!("cannot be relied on: {key}"))
}

pub(crate) fn signature_fault(fault: SignatureFault, index: usize) -> Fault {
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
