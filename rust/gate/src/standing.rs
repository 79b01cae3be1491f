//! What the judge said about a chain, kept as long as it holds: for the connection, and for others that show the same chain.
//!
//! A verdict is good for one epoch and for the time in which the certificates are valid. The cache belongs to one worker.

use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::HashMap,
    hash::BuildHasher,
    ops::Deref,
    rc::Rc,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::digest;
use foldhash::fast::RandomState;
use judge::{Memory, Reason, Refusal, Snapshot, Verdict};

use crate::{
    identity::{self, Telling, Written},
    possession::unproven,
    upstream::block,
};

/// How many verdicts a worker keeps: some 12 MiB at the usual size of a chain and its header fields.
const MAX_KEPT: usize = 4096;

/// A chain, the verdict on it, and what a service is told about its owner.
#[derive(Debug)]
pub(crate) struct Standing {
    /// DER, leaf first, as the peer sent it.
    pub(crate) chain: Rc<[Box<[u8]>]>,
    pub(crate) verdict: Verdict,
    epoch: u64,
    judged_at: i64,
    fields: OnceCell<Box<[u8]>>,
    /// In other dialects than the usual one.
    said: RefCell<Vec<Said>>,
}

/// What one kind of service is told about the client.
#[derive(Debug)]
struct Said {
    how: Arc<Telling>,
    /// From this Unix second on it has to be said anew.
    until: i64,
    fields: Rc<[u8]>,
}

/// Most kinds of services for which it is kept what they are told of one client.
const MAX_SAID: usize = 8;

/// Fields that tell a service who this is, each with its CRLF.
pub(crate) enum Told<'a> {
    /// The usual ones.
    Usual(&'a [u8]),
    /// Those of a route that says in which dialects.
    Own(Rc<[u8]>),
}

impl Deref for Told<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Told::Usual(fields) => fields,
            Told::Own(fields) => fields,
        }
    }
}

impl Standing {
    /// Whether it is that of `chain`.
    fn is_of<C: AsRef<[u8]>>(&self, chain: &[C]) -> bool {
        let these = self.chain.iter().map(|der| &**der);
        these.eq(chain.iter().map(AsRef::as_ref))
    }

    /// Whether the verdict is one of this snapshot and moment.
    pub(crate) fn holds(&self, snapshot: &Snapshot, at: i64) -> bool {
        self.epoch == snapshot.epoch()
            && match &self.verdict {
                Verdict::Admitted(admission) => admission.holds_at(at),
                // What was refused may become good with time alone: a certificate that is not yet valid.
                Verdict::Refused(_) => self.judged_at == at || self.chain.is_empty(),
            }
    }

    /// Whether the time of an admission is up: a certificate, a pin, or a list of revoked ones has come to its end.
    pub(crate) fn is_over(&self, at: i64) -> bool {
        matches!(&self.verdict, Verdict::Admitted(admission) if !admission.holds_at(at))
    }

    pub(crate) fn is_admitted(&self) -> bool {
        matches!(self.verdict, Verdict::Admitted(_))
    }

    /// Whether the handshake has proved that the client holds the key of what it showed.
    pub(crate) fn is_proven(&self) -> bool {
        // Nobody else is admitted ([`verdict`]).
        self.is_admitted() || self.chain.first().is_some_and(|leaf| !unproven(leaf))
    }

    /// The fields that tell a service who this is, each with its CRLF. For a refused client they say what it showed and
    /// why it was refused: only for a route that shows it.
    pub(crate) fn fields(&self) -> &[u8] {
        self.fields.get_or_init(|| match &self.verdict {
            Verdict::Admitted(admission) => {
                let written = Written::new(admission, &self.chain);
                block(written.fields().iter().map(|(name, value)| (name, value)))
            }
            Verdict::Refused(_) if self.chain.is_empty() => anonymous_fields(),
            Verdict::Refused(refusal) => {
                let proven = if self.is_proven() { &*self.chain } else { &[] };
                let written = Written::refused(refusal, proven);
                block(written.fields().iter().map(|(name, value)| (name, value)))
            }
        })
    }
}

impl Standing {
    /// The fields for a service that is told as in `how`; without it, and where nobody was admitted, as
    /// [`Standing::fields`].
    pub(crate) fn told(&self, how: Option<&Arc<Telling>>) -> Told<'_> {
        let (Verdict::Admitted(admission), Some(how)) = (&self.verdict, how) else {
            return Told::Usual(self.fields());
        };
        let at = unix_now();
        let mut said = self.said.borrow_mut();
        let known = said.iter().position(|said| Arc::ptr_eq(&said.how, how));
        if let Some(known) = known {
            if at < said[known].until {
                return Told::Own(said[known].fields.clone());
            }
            said.swap_remove(known);
        } else if said.len() >= MAX_SAID {
            said.swap_remove(0);
        }
        let (fields, until) = how.admitted(admission, &self.chain, at);
        let fields: Rc<[u8]> = fields.into();
        said.push(Said {
            how: how.clone(),
            until,
            fields: fields.clone(),
        });
        Told::Own(fields)
    }

    /// The fields for a route that shows everything, of a client that is admitted for the sites of another environment:
    /// here it is nobody, and is told why.
    pub(crate) fn fields_elsewhere(&self, environment: &str) -> Box<[u8]> {
        let refusal = Refusal {
            reason: Reason::NotGranted,
            certificate: None,
            detail: format!(
                "The certificate is accepted for the environment {environment} only, and this address is not in it."
            ),
            issuer_known: true,
            client: None,
            partner: None,
        };
        let written = Written::refused(&refusal, &self.chain);
        block(written.fields().iter().map(|(name, value)| (name, value)))
    }
}

/// The fields for a request that is forwarded for nobody.
fn anonymous_fields() -> Box<[u8]> {
    block(
        identity::Written::anonymous()
            .fields()
            .iter()
            .map(|(name, value)| (name, value)),
    )
}

/// Unix seconds.
pub(crate) fn unix_now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

thread_local! {
    /// Those of this worker: tickets are opened inside a handshake, where rustls knows of no worker.
    static STANDINGS: Standings = Standings::default();
}

/// Judges `chain`, or finds what was said about it on this thread in this epoch.
pub(crate) fn judge<C: AsRef<[u8]>>(chain: &[C], at: i64, snapshot: &Snapshot) -> Rc<Standing> {
    STANDINGS.with(|standings| standings.judge(chain, at, snapshot))
}

/// Signatures that a worker remembers as good, some 4 MiB. With each change of trust every active client is judged anew, and
/// checking them would be most of the work.
const MAX_SIGNATURES: usize = 65_536;

/// The verdicts of one worker.
struct Standings {
    epoch: Cell<u64>,
    /// By a hash of their chains, which are compared.
    kept: RefCell<HashMap<u64, Rc<Standing>, RandomState>>,
    /// The last refusal: a handshake may bring the same refused session many times over.
    refused: RefCell<Option<Rc<Standing>>>,
    signatures: Memory,
}

impl Default for Standings {
    fn default() -> Self {
        Standings {
            epoch: Cell::default(),
            kept: RefCell::default(),
            refused: RefCell::default(),
            signatures: Memory::new(MAX_SIGNATURES),
        }
    }
}

impl Standings {
    /// Judges `chain`, or finds what was said about it in this epoch.
    fn judge<C: AsRef<[u8]>>(&self, chain: &[C], at: i64, snapshot: &Snapshot) -> Rc<Standing> {
        if self.epoch.replace(snapshot.epoch()) != snapshot.epoch() {
            self.kept.borrow_mut().clear();
        }
        let is_known =
            |standing: &&Rc<Standing>| standing.is_of(chain) && standing.holds(snapshot, at);
        let key = self.key(chain);
        if let Some(standing) = self.kept.borrow().get(&key).filter(is_known) {
            return standing.clone();
        }
        if let Some(standing) = self.refused.borrow().as_ref().filter(is_known) {
            return standing.clone();
        }
        let standing = Rc::new(Standing {
            verdict: verdict(chain, at, snapshot, &self.signatures),
            chain: chain.iter().map(|der| der.as_ref().into()).collect(),
            epoch: snapshot.epoch(),
            judged_at: at,
            fields: OnceCell::new(),
            said: RefCell::default(),
        });
        // Refusals are not kept beyond the last: strangers would decide what is.
        if !standing.is_admitted() {
            *self.refused.borrow_mut() = Some(standing.clone());
        }
        if standing.is_admitted() {
            let mut kept = self.kept.borrow_mut();
            if kept.len() >= MAX_KEPT {
                kept.clear();
            }
            kept.insert(key, standing.clone());
        }
        standing
    }

    fn key<C: AsRef<[u8]>>(&self, chain: &[C]) -> u64 {
        let kept = self.kept.borrow();
        (kept.hasher()).hash_one(chain.first().map(AsRef::as_ref))
    }
}

/// The judge's verdict; a certificate whose key nobody proved to hold is never admitted, whatever the judge says.
fn verdict<C: AsRef<[u8]>>(
    chain: &[C],
    at: i64,
    snapshot: &Snapshot,
    signatures: &Memory,
) -> Verdict {
    let chain: Vec<&[u8]> = chain.iter().map(AsRef::as_ref).collect();
    match judge::decide_again(&chain, at, snapshot, signatures) {
        Verdict::Admitted(_) if chain.first().is_none_or(|leaf| unproven(leaf)) => {
            Verdict::Refused(Refusal {
                reason: Reason::WeakKey,
                certificate: Some(0),
                detail: "Possession of the certificate's key cannot be checked.".into(),
                issuer_known: false,
                client: None,
                partner: None,
            })
        }
        verdict => verdict,
    }
}

/// SHA-256 of a certificate.
pub(crate) fn fingerprint(certificate: &[u8]) -> [u8; 32] {
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest::digest(&digest::SHA256, certificate).as_ref());
    fingerprint
}

#[cfg(test)]
mod tests {
    use judge::record::{Batch, ClientRecord};

    use super::*;
    use crate::{
        fixtures::{AT, admitted, chain, snapshot},
        identity::{Dialect, Dialects},
    };

    fn reason(standing: &Standing) -> Option<Reason> {
        match &standing.verdict {
            Verdict::Admitted(_) => None,
            Verdict::Refused(refusal) => Some(refusal.reason),
        }
    }

    #[test]
    fn a_verdict_is_remembered_for_its_time_and_no_longer() {
        let (standings, snapshot) = (Standings::default(), snapshot(1));
        let until = admitted().0.valid_until();
        let first = standings.judge(&chain(), AT, &snapshot);
        assert!(Rc::ptr_eq(
            &first,
            &standings.judge(&chain(), until, &snapshot)
        ));
        assert_eq!(
            reason(&standings.judge(&chain(), until + 1, &snapshot)),
            Some(Reason::Expired)
        );
        assert!(!first.holds(&snapshot, until + 1));
    }

    #[test]
    fn a_verdict_ends_with_its_epoch() {
        let (standings, first) = (Standings::default(), snapshot(1));
        let standing = standings.judge(&chain(), AT, &first);
        let next = first
            .apply(Batch {
                epoch: Some(2),
                clients: vec![ClientRecord {
                    id: 7,
                    name: "alice".to_owned(),
                    roles: vec![],
                    suspended: true,
                    hosts: vec![],
                }],
                ..Batch::default()
            })
            .expect("a delta");
        assert!(!standing.holds(&next, AT));
        assert_eq!(
            reason(&standings.judge(&chain(), AT, &next)),
            Some(Reason::ClientSuspended)
        );
    }

    #[test]
    fn a_refusal_is_not_remembered() {
        let (standings, snapshot) = (Standings::default(), snapshot(1));
        let early = standings.judge(&chain(), 0, &snapshot);
        assert_eq!(reason(&early), Some(Reason::NotYetValid));
        assert!(standings.kept.borrow().is_empty());
        assert!(early.holds(&snapshot, 0) && !early.holds(&snapshot, AT));
    }

    #[test]
    fn a_certificate_is_shown_only_to_whom_its_key_was_proved() {
        let (standings, snapshot) = (Standings::default(), snapshot(1));
        let text = |standing: &Standing| String::from_utf8_lossy(standing.fields()).into_owned();
        let early = text(&standings.judge(&chain(), 0, &snapshot));
        assert!(
            early
                .starts_with("mutualgate-verdict: refused\r\nmutualgate-reason: not_yet_valid\r\n")
                && early.contains("\r\nclient-cert: :"),
            "{early}"
        );
        // No key can be read in it, so none was proved.
        let unproven = text(&standings.judge(&[b"no certificate"], AT, &snapshot));
        assert!(
            unproven.contains("mutualgate-reason: malformed\r\n")
                && !unproven.contains("client-cert"),
            "{unproven}"
        );
    }

    #[test]
    fn what_a_service_is_told_is_made_once_and_a_token_again() {
        let (standings, snapshot) = (Standings::default(), snapshot(1));
        let standing = standings.judge(&chain(), AT, &snapshot);
        let own = |telling: &Arc<Telling>| match standing.told(Some(telling)) {
            Told::Own(fields) => fields,
            Told::Usual(_) => panic!("not in its own way"),
        };
        let nginx = Arc::new(Telling::new(Dialects::NONE.and(Dialect::Nginx), None));
        let first = own(&nginx);
        assert!(Rc::ptr_eq(&first, &own(&nginx)));
        assert!(String::from_utf8_lossy(&first).contains("\r\nssl-client-serial: 04D2\r\n"));
        // A token's time is up: nothing else of the standing is.
        standing.said.borrow_mut()[0].until = 0;
        assert!(!Rc::ptr_eq(&first, &own(&nginx)));
        for _ in 0..2 * MAX_SAID {
            own(&Arc::new(Telling::new(Dialects::NONE, None)));
        }
        assert_eq!(standing.said.borrow().len(), MAX_SAID);
        assert!(matches!(standing.told(None), Told::Usual(fields) if fields == standing.fields()));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (standings, snapshot) = (Standings::default(), snapshot(1));
        let one = standings.judge(&chain(), AT, &snapshot);
        let key = standings.key(&chain());
        for number in 0..MAX_KEPT as u64 {
            standings
                .kept
                .borrow_mut()
                .insert(key ^ number, one.clone());
        }
        standings.kept.borrow_mut().remove(&key);
        standings.judge(&chain(), AT, &snapshot);
        assert!(standings.kept.borrow().len() <= MAX_KEPT);
    }
}
