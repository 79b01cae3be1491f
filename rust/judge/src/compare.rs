//! What a change of trust would do: chains that were seen, judged by the snapshots before and after it.
//!
//! Most verdicts stay what they were, and nothing is made of those. A certificate is read once, and a signature checked
//! once, for both; that of a leaf not even once where it is known who signed it. That is for previews alone: nobody is let
//! in by what is found out here, and the gate's own verdicts ([`crate::decide`], [`crate::decide_again`]) take no such word.

use std::{collections::HashSet, iter, panic::resume_unwind, sync::Arc, thread};

use crate::{
    Memory, Reason, Snapshot, Verdict,
    authorize::authorize,
    decide::{decide_read, read},
    der,
    signature::Checks,
};

/// Signatures that one comparison keeps in mind: those of intermediates come again and again.
const KEPT: usize = 1_000;

/// A chain, and the place where it was seen.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'s> {
    /// Certificates (DER) one after the other, leaf first.
    pub chain: &'s [u8],
    /// The [`crate::Admission::signer`] of the leaf when it was let in, if it was. What is said here is believed.
    pub signer: Option<[u8; 32]>,
    /// `None` where its site is gone.
    pub host: Option<&'s str>,
    /// As it was asked for.
    pub path: &'s str,
}

/// What came of a comparison.
#[derive(Debug, Default)]
pub struct Compared {
    /// Who is judged otherwise, by its position: let in or not, as another client, or refused for another reason.
    pub otherwise: Vec<(usize, [Verdict; 2])>,
    /// The names of the clients that come in with the rest, before and after.
    pub unchanged: HashSet<Arc<str>>,
}

/// Judges all that was `seen` at `at` (Unix seconds) by the snapshots `before` and `after`, by so many threads.
pub fn compare(
    before: &Snapshot,
    after: &Snapshot,
    seen: &[Seen<'_>],
    at: i64,
    threads: usize,
) -> Compared {
    let each = seen.len().div_ceil(threads.max(1)).max(1);
    let mut parts = seen.chunks(each).enumerate();
    let Some((_, own)) = parts.next() else {
        return Compared::default();
    };
    let judge = |first, part: &[_]| compare_part(before, after, first, part, at);
    thread::scope(|scope| {
        // All are begun before one is waited for.
        let others: Vec<_> = parts
            .map(|(number, part)| scope.spawn(move || judge(number * each, part)))
            .collect();
        let mut compared = judge(0, own);
        for other in others {
            // What a thread dies of, this one does.
            let other = other.join().unwrap_or_else(|death| resume_unwind(death));
            compared.otherwise.extend(other.otherwise);
            compared.unchanged.extend(other.unchanged);
        }
        compared
    })
}

fn compare_part(
    before: &Snapshot,
    after: &Snapshot,
    first: usize,
    seen: &[Seen<'_>],
    at: i64,
) -> Compared {
    let memory = Memory::new(KEPT);
    let mut compared = Compared::default();
    for (position, one) in iter::zip(first.., seen) {
        let chain = read(&der::sequence(one.chain));
        let mut checks = Checks::with(Some(&memory));
        if let (Ok([leaf, ..]), Some(signer)) = (chain.as_deref(), one.signer) {
            checks = checks.after(leaf, signer);
        }
        let verdicts = [before, after].map(|snapshot| {
            let verdict = decide_read(&chain, at, snapshot, &checks);
            where_seen(verdict, *one, snapshot)
        });
        match &verdicts {
            [old, new] if word(old) != word(new) => compared.otherwise.push((position, verdicts)),
            [Verdict::Admitted(admission), _] => {
                compared
                    .unchanged
                    .insert(Arc::clone(&admission.client().name));
            }
            [Verdict::Refused(_), _] => {}
        }
    }
    compared
}

/// What `verdict` comes to at the place where the chain was seen: an environment is a site's. Where no route covers that
/// any more, and where strangers pass, too, the certificate alone counts.
fn where_seen(verdict: Verdict, seen: Seen<'_>, snapshot: &Snapshot) -> Verdict {
    let site = seen.host.and_then(|host| snapshot.site_of(host));
    let route = site.and_then(|site| site.route(seen.path).ok().flatten());
    match route.map(|route| authorize(&verdict, route)) {
        Some(Err(refusal)) => Verdict::Refused(refusal),
        Some(Ok(_)) | None => verdict,
    }
}

fn word(verdict: &Verdict) -> Result<&str, Reason> {
    match verdict {
        Verdict::Admitted(admission) => Ok(&admission.client().name),
        Verdict::Refused(refusal) => Err(refusal.reason),
    }
}
