//! Session tickets of a site that asks for certificates: only an admitted client's session is resumed.
//!
//! A resumed session brings the certificate of the first handshake, or none, and the client is not asked again. A browser
//! that has imported a certificate since, or another one, could not show it until its tickets are too old. So where
//! nobody is admitted, the handshake is a full one.
//!
//! Tickets are sealed with keys that are random, of one site and one way of asking, in memory alone, and changed while they
//! are used.
//!
//! Knows where rustls keeps the client's certificates in a session. Should a new version keep them elsewhere, nothing
//! is resumed, and a test says so.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    rand,
};
use rustls::{crypto::GetRandomFailed, server::ProducesTickets};

use crate::{
    octets::{take, take_counted},
    standing::{judge, unix_now},
    state::State,
};

/// Seals tickets (RFC 5077 4, with authenticated encryption in place of its two steps), and opens those that are younger
/// than their life. A new key is made at half of it; the one before still opens until the next.
#[derive(Debug)]
pub(crate) struct TicketKeys {
    /// In seconds.
    life: u32,
    ring: ArcSwap<Ring>,
}

#[derive(Debug)]
struct Ring {
    current: Arc<Key>,
    previous: Option<Arc<Key>>,
    made: Instant,
}

/// 2^32 tickets may be sealed with one key under random nonces (NIST SP 800-38D 8.3): 99,000 a second for half a day.
struct Key {
    /// Which key it is, in front of the ticket.
    id: [u8; ID_LENGTH],
    sealing: RandomizedNonceKey,
}

const ID_LENGTH: usize = 4;

impl Key {
    fn random() -> Result<Arc<Key>, GetRandomFailed> {
        let mut secret = [0; 32];
        let mut id = [0; ID_LENGTH];
        rand::fill(&mut secret).map_err(|_| GetRandomFailed)?;
        rand::fill(&mut id).map_err(|_| GetRandomFailed)?;
        let sealing =
            RandomizedNonceKey::new(&AES_256_GCM, &secret).map_err(|_| GetRandomFailed)?;
        Ok(Arc::new(Key { id, sealing }))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}

impl TicketKeys {
    /// For tickets with a life of so many seconds.
    pub(crate) fn new(life: u32) -> Result<TicketKeys, GetRandomFailed> {
        let ring = Ring {
            current: Key::random()?,
            previous: None,
            made: Instant::now(),
        };
        Ok(TicketKeys {
            life,
            ring: ArcSwap::from_pointee(ring),
        })
    }

    /// The keys at `now`, anew if it is time.
    fn ring(&self, now: Instant) -> Option<Arc<Ring>> {
        let half = Duration::from_secs(u64::from(self.life)) / 2;
        let ring = self.ring.load_full();
        let halves = now.saturating_duration_since(ring.made).as_nanos() / half.as_nanos().max(1);
        if halves == 0 {
            return Some(ring);
        }
        let next = Arc::new(Ring {
            current: Key::random().ok()?,
            // After a rest, what was sealed last is too old, too.
            previous: (halves == 1).then(|| ring.current.clone()),
            // In step, however late the first use: else what was sealed at the beginning would open for that much longer.
            made: ring.made + half * u32::try_from(halves).ok()?,
        });
        // Another thread may have been faster: then its ring counts.
        let before = self.ring.compare_and_swap(&ring, next);
        if Arc::ptr_eq(&before, &ring) {
            Some(self.ring.load_full())
        } else {
            Some(Arc::clone(&before))
        }
    }

    fn seal(&self, plain: &[u8], now: Instant) -> Option<Vec<u8>> {
        let ring = self.ring(now)?;
        let key = &ring.current;
        let mut sealed = plain.to_vec();
        let nonce = (key.sealing)
            .seal_in_place_append_tag(Aad::from(key.id), &mut sealed)
            .ok()?;
        Some([&key.id[..], nonce.as_ref(), &sealed].concat())
    }

    fn open(&self, ticket: &[u8], now: Instant) -> Option<Vec<u8>> {
        let mut rest = ticket;
        let id = take(&mut rest, ID_LENGTH)?;
        let nonce = Nonce::try_assume_unique_for_key(take(&mut rest, NONCE_LEN)?).ok()?;
        let ring = self.ring(now)?;
        let mut keys = [Some(&ring.current), ring.previous.as_ref()]
            .into_iter()
            .flatten();
        let key = keys.find(|key| key.id == id)?;
        let mut sealed = rest.to_vec();
        let length = (key.sealing)
            .open_in_place(nonce, Aad::from(key.id), &mut sealed)
            .ok()?
            .len();
        sealed.truncate(length);
        Some(sealed)
    }
}

impl ProducesTickets for TicketKeys {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.life
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, Instant::now())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.open(cipher, Instant::now())
    }
}

/// Makes tickets for sessions with a certificate, and opens those whose chain is admitted now.
#[derive(Debug)]
pub(crate) struct ClientTickets {
    inner: Arc<TicketKeys>,
    /// The state holds the configuration that holds this.
    state: Weak<ArcSwap<State>>,
}

impl ClientTickets {
    pub(crate) fn new(inner: Arc<TicketKeys>, state: Weak<ArcSwap<State>>) -> Self {
        ClientTickets { inner, state }
    }
}

impl ProducesTickets for ClientTickets {
    fn enabled(&self) -> bool {
        self.inner.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.inner.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        chain(plain)?;
        self.inner.encrypt(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let plain = self.inner.decrypt(cipher)?;
        let snapshot = self.state.upgrade()?.load_full().snapshot.clone();
        judge(&chain(&plain)?, unix_now(), &snapshot)
            .is_admitted()
            .then_some(plain)
    }
}

/// The client's certificates in a session as rustls 0.23 writes it; `None` without any. Before them stand the name that
/// was asked for (if any), the version, the suite, the secret, and whether it is an extended one.
fn chain(plain: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = plain;
    if take(&mut rest, 1)? == [1] {
        take_counted(&mut rest, 1)?;
    }
    take(&mut rest, 4)?;
    take_counted(&mut rest, 1)?;
    take(&mut rest, 1)?;
    if take(&mut rest, 1)? != [1] {
        return None;
    }
    let mut list = take_counted(&mut rest, 3)?;
    let mut chain = Vec::new();
    while !list.is_empty() {
        chain.push(take_counted(&mut list, 3)?);
    }
    (!chain.is_empty()).then_some(chain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(name: &[u8], chain: &[&[u8]]) -> Vec<u8> {
        let mut plain = if name.is_empty() {
            vec![0]
        } else {
            [&[1, name.len() as u8], name].concat()
        };
        plain.extend([3, 4, 0x13, 1, 2, 7, 7, 1]);
        plain.push(u8::from(!chain.is_empty()));
        if !chain.is_empty() {
            let list: Vec<u8> = chain
                .iter()
                .flat_map(|der| [&[0, 0, der.len() as u8], *der].concat())
                .collect();
            plain.extend([0, 0, list.len() as u8]);
            plain.extend(list);
        }
        plain.extend([0, 0, 0]);
        plain
    }

    #[test]
    fn the_certificates_of_a_session_are_found() {
        for name in [&b"a.test"[..], b""] {
            assert_eq!(
                chain(&session(name, &[b"leaf", b"issuing"])),
                Some(vec![&b"leaf"[..], b"issuing"])
            );
            assert_eq!(chain(&session(name, &[])), None);
        }
    }

    const LIFE: u32 = 100;

    /// Keys, and the moment of so many seconds after they were made.
    fn keys() -> (TicketKeys, impl Fn(u64) -> Instant) {
        let keys = TicketKeys::new(LIFE).expect("random numbers");
        let made = keys.ring.load().made;
        (keys, move |seconds| made + Duration::from_secs(seconds))
    }

    #[test]
    fn a_ticket_opens_for_its_life_and_no_longer() {
        let (keys, at) = keys();
        let first = keys.seal(b"first", at(49)).expect("sealed");
        assert_eq!(keys.open(&first, at(49)).as_deref(), Some(&b"first"[..]));
        // A new key is in use, and the old one still opens.
        let second = keys.seal(b"second", at(50)).expect("sealed");
        assert_ne!(first[..ID_LENGTH], second[..ID_LENGTH]);
        assert_eq!(keys.open(&first, at(99)).as_deref(), Some(&b"first"[..]));
        assert_eq!(keys.open(&first, at(100)), None);
        assert_eq!(keys.open(&second, at(100)).as_deref(), Some(&b"second"[..]));
        assert_eq!(keys.open(&second, at(150)), None);
    }

    #[test]
    fn a_key_changed_late_makes_no_ticket_older() {
        let (keys, at) = keys();
        let first = keys.seal(b"first", at(0)).expect("sealed");
        assert_eq!(keys.open(&first, at(99)).as_deref(), Some(&b"first"[..]));
        assert_eq!(keys.open(&first, at(100)), None);
    }

    #[test]
    fn after_a_rest_an_old_ticket_is_too_old() {
        let (keys, at) = keys();
        let old = keys.seal(b"old", at(0)).expect("sealed");
        assert_eq!(keys.open(&old, at(100_000)), None);
    }

    #[test]
    fn keys_of_one_place_open_no_ticket_of_another() {
        let ((one, at), (other, _)) = (keys(), keys());
        let ticket = one.seal(b"session", at(0)).expect("sealed");
        assert_eq!(other.open(&ticket, at(0)), None);
        // Nor does one that says it is of the other.
        let mut forged = ticket.clone();
        forged[..ID_LENGTH].copy_from_slice(&other.ring.load().current.id);
        assert_eq!(other.open(&forged, at(0)), None);
    }

    #[test]
    fn no_bit_of_a_ticket_can_be_changed_and_none_left_out() {
        let (keys, at) = keys();
        let ticket = keys.seal(b"session", at(0)).expect("sealed");
        for position in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[position] ^= 1;
            assert_eq!(keys.open(&changed, at(0)), None, "{position}");
            assert_eq!(keys.open(&ticket[..position], at(0)), None, "{position}");
        }
    }

    #[test]
    fn keys_are_random_and_tickets_differ() {
        let (keys, at) = keys();
        let tickets: std::collections::HashSet<_> =
            (0..100).map(|_| keys.seal(b"same", at(0))).collect();
        assert_eq!(tickets.len(), 100);
        // The zero key of CVE-2020-13777 and of those who followed it.
        let zero = RandomizedNonceKey::new(&AES_256_GCM, &[0; 32]).expect("a key");
        let ticket = keys.seal(b"session", at(0)).expect("sealed");
        let nonce = Nonce::try_assume_unique_for_key(&ticket[ID_LENGTH..][..NONCE_LEN]);
        let id: [u8; ID_LENGTH] = ticket[..ID_LENGTH].try_into().expect("an id");
        let mut sealed = ticket[ID_LENGTH + NONCE_LEN..].to_vec();
        let opened = zero.open_in_place(nonce.expect("a nonce"), Aad::from(id), &mut sealed);
        assert!(opened.is_err());
    }

    #[test]
    fn half_a_session_is_none() {
        let whole = session(b"a.test", &[b"leaf"]);
        for length in 0..whole.len() - 3 {
            assert_eq!(chain(&whole[..length]), None, "{length}");
        }
    }
}
