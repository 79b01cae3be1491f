//! What the control plane should hear of: refusals, credentials seen, connections cut.
//!
//! Knows how to keep them, bounded, until they are fetched. Does not know who fetches them, nor what for: Rust never
//! waits for Python. Each refusal has a class by its reason, and a full store gives up the oldest of the largest class:
//! a flood of one kind pushes out only itself.

use std::{
    collections::VecDeque,
    net::IpAddr,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use judge::{Admission, Reason};
use serde::Serialize;

use crate::{identity::hex, refusal::RefusalId};

mod groups;
mod sightings;

use groups::Groups;
use sightings::Sightings;

/// Longest certificate that an event carries, in bytes; a longer one is left out.
const MAX_CERTIFICATE_BYTES: usize = 16 * 1024;

/// Longest text of an event, in bytes; a longer one is cut, with an ellipsis. Names and paths are a stranger's choice.
const MAX_TEXT_BYTES: usize = 1024;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Somebody was refused.
    Refused,
    /// A credential was admitted that had not been seen for an hour, or ever.
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
    /// The credential, where the store knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<u64>,
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
    sightings: Sightings,
    dropped_refusals: AtomicU64,
    dropped_notices: AtomicU64,
}

#[derive(Debug)]
struct Kept {
    refusals: Groups,
    notices: VecDeque<Event>,
    max_notices: usize,
    closed: bool,
}

impl Kept {
    fn is_empty(&self) -> bool {
        self.notices.is_empty() && self.refusals.is_empty()
    }
}

impl Events {
    /// A store of at most `max_refusals` groups of refusals and `max_notices` other events.
    pub fn new(max_refusals: usize, max_notices: usize) -> Events {
        Events {
            kept: Mutex::new(Kept {
                refusals: Groups::new(max_refusals.max(1)),
                notices: VecDeque::new(),
                max_notices: max_notices.max(1),
                closed: false,
            }),
            arrived: Condvar::new(),
            sightings: Sightings::default(),
            dropped_refusals: AtomicU64::new(0),
            dropped_notices: AtomicU64::new(0),
        }
    }

    /// Keeps a refusal and gives the reference to show to the client. Refusals for the same reason, of the same
    /// certificate (or, where there is none, from the same address), at the same site within a minute share one
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

    /// Notes that a credential was admitted; call it for each connection. It becomes an event when the credential was
    /// not seen in the last hour, with the certificate the first time. Costs a look-up otherwise.
    pub fn admitted(&self, admission: &Admission, certificate: &[u8], scene: &Scene<'_>) {
        let Some(first) = self.sightings.is_news(admission.fingerprint(), scene.at) else {
            return;
        };
        let shown = Shown {
            certificate: if first { certificate } else { &[] },
            ..Shown::of(admission)
        };
        self.notice(Event {
            client: Some(admission.client().id),
            credential: admission.credential(),
            ..Event::of(Kind::Seen, Some(&shown), scene)
        });
    }

    /// Notes that an open connection of a client was cut, for `reason`.
    pub fn cut(&self, admission: &Admission, reason: Reason, scene: &Scene<'_>) {
        self.notice(Event {
            reason: Some(reason.code()),
            client: Some(admission.client().id),
            credential: admission.credential(),
            ..Event::of(Kind::Cut, Some(&Shown::of(admission)), scene)
        });
    }

    fn notice(&self, event: Event) {
        let mut kept = self.lock();
        let was_empty = kept.is_empty();
        if kept.notices.len() >= kept.max_notices {
            kept.notices.pop_front();
            self.dropped_notices.fetch_add(1, Ordering::Relaxed);
        }
        kept.notices.push_back(event);
        drop(kept);
        if was_empty {
            self.arrived.notify_one();
        }
    }

    /// Takes out at most `max` events, notices first, else the oldest first within their class. With nothing there it
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
        let notices = kept.notices.len().min(max);
        let mut out: Vec<Event> = kept.notices.drain(..notices).collect();
        while out.len() < max
            && let Some(event) = kept.refusals.take()
        {
            out.push(event);
        }
        out
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

/// At most [`MAX_TEXT_BYTES`] of `text`, whole characters.
fn clip(text: &str) -> String {
    if text.len() <= MAX_TEXT_BYTES {
        return text.to_owned();
    }
    let end = (0..=MAX_TEXT_BYTES - 3)
        .rev()
        .find(|&end| text.is_char_boundary(end))
        .unwrap_or_default();
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests;
