//! What the control plane should hear of: refusals, credentials seen, connections cut.
//!
//! Knows how to keep them, bounded, until they are fetched. Does not know who fetches them, nor what for: Rust never
//! waits for Python. Each refusal has a class by its reason, and a full store gives up the oldest of the largest class:
//! a flood of one kind pushes out only itself.

use std::{
    net::IpAddr,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use judge::{Admission, Reason, Verdict};
use serde::Serialize;
use serde_bytes::ByteBuf;

use crate::{identity::hex, refusal::RefusalId, standing::fingerprint};

mod bounded;
mod groups;
mod sightings;

use bounded::Bounded;
use groups::Groups;
use sightings::Sightings;

/// Longest certificate that an event carries, in bytes; a longer one is left out.
const MAX_CERTIFICATE_BYTES: usize = 16 * 1024;

/// Longest chain that an event carries, in bytes: what the judge reads. A longer one is left out.
const MAX_CHAIN_BYTES: usize = 32 * 1024;

/// Certificates of clients and of strangers that are remembered, to tell of each once an hour: 24 MiB and 3 MiB.
const CLIENTS_REMEMBERED: usize = 1 << 20;
const STRANGERS_REMEMBERED: usize = 1 << 17;

/// Longest text of an event, in bytes; a longer one is cut, with an ellipsis. Names and paths are a stranger's choice.
const MAX_TEXT_BYTES: usize = 1024;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Somebody was refused.
    Refused,
    /// A certificate was shown that had not been for an hour, or ever, or its owner has changed since; whatever was said
    /// of it.
    Seen,
    /// An open connection was cut since its client is no longer admitted.
    Cut,
}

/// One of them, as the control plane reads it: a MessagePack map without the fields that are not known.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// What happened.
    pub kind: Kind,
    /// When (the first time, if it is counted), Unix milliseconds.
    pub at: i64,
    /// When the last time.
    pub until: i64,
    /// How often since it was fetched last: add it up by `refusal`.
    pub count: u64,
    /// The reference; the same for all that are counted together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<RefusalId>,
    /// The code of the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The facts, in a sentence.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The leaf, DER.
    #[serde(with = "serde_bytes", skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Vec<u8>>,
    /// All certificates as sent, DER, leaf first: of a certificate that was seen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<ByteBuf>,
    /// SHA-256 of the leaf, lower-case hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// The leaf's subject.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// The leaf's issuer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub issuer: String,
    /// The leaf's serial number, lower-case hex.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub serial: String,
    /// The site.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub site: String,
    /// The name that the TLS client asked for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sni: String,
    /// The host that the request named.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// The path of the request, without query.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// The address of the client, as text.
    #[serde(serialize_with = "as_text", skip_serializing_if = "Option::is_none")]
    pub peer: Option<IpAddr>,
    /// The client, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<u64>,
    /// The credential or, with the evidence `pin`, the pin, where the store knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<u64>,
    /// What an admission rests on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<&'static str>,
    /// The partner whose CA vouched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partner: Option<String>,
    /// SHA-256 of the key that verified the leaf's signature, of a certificate that was seen and admitted by it.
    #[serde(with = "serde_bytes", skip_serializing_if = "Option::is_none")]
    pub signer: Option<[u8; 32]>,
}

/// Where something happened. Borrowed: nothing is copied before it is known that it will be kept.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scene<'a> {
    /// Now, Unix milliseconds.
    pub at: i64,
    /// The site's name.
    pub site: &'a str,
    /// The name that the TLS client asked for, or empty.
    pub sni: &'a str,
    /// The host that the request named, or empty.
    pub host: &'a str,
    /// The path of the request without query, or empty.
    pub path: &'a str,
    /// The address of the client.
    pub peer: Option<IpAddr>,
}

/// The certificate that a client showed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shown<'a> {
    /// DER.
    pub certificate: &'a [u8],
    /// SHA-256 of it.
    pub fingerprint: [u8; 32],
    /// Its subject, or empty where it cannot be read.
    pub subject: &'a str,
    /// Its issuer, likewise.
    pub issuer: &'a str,
    /// Its serial number, likewise.
    pub serial: &'a str,
}

/// How many events were given up since the start, because nobody fetched them in time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// Refusals.
    pub refusals: u64,
    /// Sightings and cuts.
    pub notices: u64,
}

/// The store of events. All calls are safe from any thread; only [`Events::drain`] waits.
#[derive(Debug)]
pub struct Events {
    kept: Mutex<Kept>,
    arrived: Condvar,
    clients: Sightings,
    strangers: Sightings,
    dropped_refusals: AtomicU64,
    dropped_notices: AtomicU64,
}

#[derive(Debug)]
struct Kept {
    refusals: Groups,
    /// Of clients.
    notices: Bounded,
    /// Of strangers: what they do pushes out nothing of a client's.
    strangers: Bounded,
    closed: bool,
}

impl Kept {
    fn is_empty(&self) -> bool {
        self.notices.is_empty() && self.strangers.is_empty() && self.refusals.is_empty()
    }
}

impl Events {
    /// A store of at most `max_refusals` groups of refusals and, of clients and of strangers each, `max_notices` other
    /// events.
    pub fn new(max_refusals: usize, max_notices: usize) -> Events {
        Events {
            kept: Mutex::new(Kept {
                refusals: Groups::new(max_refusals.max(1)),
                notices: Bounded::new(max_notices),
                strangers: Bounded::new(max_notices),
                closed: false,
            }),
            arrived: Condvar::new(),
            clients: Sightings::new(CLIENTS_REMEMBERED),
            strangers: Sightings::new(STRANGERS_REMEMBERED),
            dropped_refusals: AtomicU64::new(0),
            dropped_notices: AtomicU64::new(0),
        }
    }

    /// Keeps a refusal and gives the reference to show to the client. Refusals for the same reason, in the same words, of
    /// the same certificate (or, where there is none, from the same address), at the same site within a minute share one
    /// reference.
    pub fn refused(
        &self,
        refusal: &judge::Refusal,
        shown: Option<&Shown<'_>>,
        scene: &Scene<'_>,
    ) -> RefusalId {
        let key = groups::Key {
            class: class(refusal.reason),
            fingerprint: shown.map(|shown| shown.fingerprint),
            peer: if shown.is_some() { None } else { scene.peer },
            site: clip(scene.site),
            detail: clip(&refusal.detail),
        };
        let mut kept = self.lock();
        let was_empty = kept.is_empty();
        let (id, lost) = kept.refusals.add(key, scene.at, |id| Event {
            refusal: Some(id),
            reason: Some(refusal.reason.code()),
            detail: clip(&refusal.detail),
            client: refusal.client,
            ..Event::of(Kind::Refused, shown, scene)
        });
        drop(kept);
        if lost > 0 {
            self.dropped_refusals.fetch_add(lost, Ordering::Relaxed);
        }
        if was_empty {
            self.arrived.notify_one();
        }
        id
    }

    /// Notes that a certificate was shown whose key the client has proved to hold, and what was said of it; call it for
    /// each connection. It becomes an event when the certificate was not seen in the last hour, or not with this client,
    /// or not as admitted, or refused for another reason. Costs a look-up otherwise.
    pub fn seen<C: AsRef<[u8]>>(&self, verdict: &Verdict, chain: &[C], scene: &Scene<'_>) {
        let Some(leaf) = chain.first().map(AsRef::as_ref) else {
            return;
        };
        let event = match verdict {
            Verdict::Admitted(admission) => {
                let client = admission.client().id;
                let news = self
                    .clients
                    .is_news(admission.fingerprint(), (client, None), scene.at);
                if !news {
                    return;
                }
                let shown = Shown {
                    certificate: leaf,
                    ..Shown::of(admission)
                };
                Event {
                    client: Some(client),
                    credential: admission.credential(),
                    evidence: Some(admission.evidence().code()),
                    partner: admission.partner().map(clip),
                    signer: admission.signer().copied(),
                    ..Event::of(Kind::Seen, Some(&shown), scene)
                }
            }
            Verdict::Refused(refusal) => {
                let fingerprint = fingerprint(leaf);
                let client = refusal.client.unwrap_or_default();
                let verdict = (client, Some(refusal.reason));
                if !self.strangers.is_news(&fingerprint, verdict, scene.at) {
                    return;
                }
                let shown = Shown {
                    certificate: leaf,
                    fingerprint,
                    ..Shown::default()
                };
                Event {
                    reason: Some(refusal.reason.code()),
                    client: refusal.client,
                    partner: refusal.partner.as_deref().map(clip),
                    ..Event::of(Kind::Seen, Some(&shown), scene)
                }
            }
        };
        let bytes: usize = chain.iter().map(|der| der.as_ref().len()).sum();
        let chain = chain.iter().filter(|_| bytes <= MAX_CHAIN_BYTES);
        self.notice(
            Event {
                // It is the first of the chain.
                certificate: None,
                chain: chain.map(|der| ByteBuf::from(der.as_ref())).collect(),
                ..event
            },
            matches!(verdict, Verdict::Refused(_)),
        );
    }

    /// Notes that an open connection of a client was cut, for `reason`.
    pub fn cut(&self, admission: &Admission, reason: Reason, scene: &Scene<'_>) {
        self.notice(
            Event {
                reason: Some(reason.code()),
                client: Some(admission.client().id),
                credential: admission.credential(),
                ..Event::of(Kind::Cut, Some(&Shown::of(admission)), scene)
            },
            false,
        );
    }

    fn notice(&self, event: Event, of_stranger: bool) {
        let mut kept = self.lock();
        let was_empty = kept.is_empty();
        let lost = if of_stranger {
            kept.strangers.push(event)
        } else {
            kept.notices.push(event)
        };
        drop(kept);
        if lost > 0 {
            self.dropped_notices.fetch_add(lost, Ordering::Relaxed);
        }
        if was_empty {
            self.arrived.notify_one();
        }
    }

    /// Takes out at most `max` events, those of clients first, else the oldest first within their class. With nothing there it
    /// waits up to `wait` for the first; [`Events::close`] ends the wait.
    pub fn drain(&self, max: usize, wait: Duration) -> Vec<Event> {
        let deadline = Instant::now().checked_add(wait);
        let mut kept = self.lock();
        while kept.is_empty() && !kept.closed {
            let left = match deadline {
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
                None => Duration::from_secs(3600),
            };
            if left.is_zero() {
                break;
            }
            kept = self
                .arrived
                .wait_timeout(kept, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        let mut out = Vec::new();
        while out.len() < max
            && let Some(event) = kept.notices.take()
        {
            out.push(event);
        }
        // Refusals and sightings of strangers take turns, so that neither starves the other.
        loop {
            let before = out.len();
            if out.len() < max {
                out.extend(kept.refusals.take());
            }
            if out.len() < max {
                out.extend(kept.strangers.take());
            }
            if out.len() == before {
                return out;
            }
        }
    }

    /// Ends all waiting, now and later; what is there can still be drained.
    pub fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }

    /// How many were given up.
    pub fn dropped(&self) -> Dropped {
        Dropped {
            refusals: self.dropped_refusals.load(Ordering::Relaxed),
            notices: self.dropped_notices.load(Ordering::Relaxed),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // A panic of another thread while it held the lock leaves at worst a wrong count.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Event {
    fn of(kind: Kind, shown: Option<&Shown<'_>>, scene: &Scene<'_>) -> Event {
        let certificate = shown.map(|shown| shown.certificate).unwrap_or_default();
        Event {
            kind,
            at: scene.at,
            until: scene.at,
            count: 1,
            refusal: None,
            reason: None,
            detail: String::new(),
            chain: Vec::new(),
            certificate: (1..=MAX_CERTIFICATE_BYTES)
                .contains(&certificate.len())
                .then(|| certificate.to_vec()),
            fingerprint: shown.map(|shown| hex(&shown.fingerprint)),
            subject: shown.map(|shown| clip(shown.subject)).unwrap_or_default(),
            issuer: shown.map(|shown| clip(shown.issuer)).unwrap_or_default(),
            serial: shown.map(|shown| clip(shown.serial)).unwrap_or_default(),
            site: clip(scene.site),
            sni: clip(scene.sni),
            host: clip(scene.host),
            path: clip(scene.path),
            peer: scene.peer,
            client: None,
            credential: None,
            evidence: None,
            partner: None,
            signer: None,
        }
    }
}

impl<'a> Shown<'a> {
    /// What an admission says of its certificate; without the DER.
    pub fn of(admission: &'a Admission) -> Shown<'a> {
        Shown {
            certificate: &[],
            fingerprint: *admission.fingerprint(),
            subject: admission.subject(),
            issuer: admission.issuer(),
            serial: admission.serial(),
        }
    }
}

/// Events as MessagePack: an array of maps.
pub fn encode(events: &[Event]) -> Vec<u8> {
    // Writing numbers and text into memory cannot fail.
    rmp_serde::to_vec_named(events).unwrap_or_default()
}

/// MessagePack counts as unreadable for people, so that serde would write the bytes of an enum.
fn as_text<S: serde::Serializer>(peer: &Option<IpAddr>, serializer: S) -> Result<S::Ok, S::Error> {
    match peer {
        Some(peer) => serializer.collect_str(peer),
        None => serializer.serialize_none(),
    }
}

/// The class of a reason: its place in the order of judgement.
fn class(reason: Reason) -> usize {
    Reason::ALL
        .iter()
        .position(|other| *other == reason)
        .unwrap_or_default()
}

fn clip(text: &str) -> String {
    crate::clip::clip(text, MAX_TEXT_BYTES)
}

#[cfg(test)]
mod tests;
