//! Session tickets of a site that asks for certificates: only an admitted client's session is resumed.
//!
//! A resumed session brings the certificate of the first handshake, or none, and the client is not asked again. A browser
//! that has imported a certificate since, or another one, could not show it until its tickets are too old. So where
//! nobody is admitted, the handshake is a full one.
//!
//! Knows where rustls keeps the client's certificates in a session. Should a new version keep them elsewhere, nothing
//! is resumed, and a test says so.

use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use rustls::server::ProducesTickets;

use crate::{
    octets::{take, take_counted},
    standing::{judge, unix_now},
    state::State,
};

/// Makes tickets for sessions with a certificate, and opens those whose chain is admitted now.
#[derive(Debug)]
pub(crate) struct ClientTickets {
    inner: Arc<dyn ProducesTickets>,
    /// The state holds the configuration that holds this.
    state: Weak<ArcSwap<State>>,
}

impl ClientTickets {
    pub(crate) fn new(inner: Arc<dyn ProducesTickets>, state: Weak<ArcSwap<State>>) -> Self {
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

    #[test]
    fn half_a_session_is_none() {
        let whole = session(b"a.test", &[b"leaf"]);
        for length in 0..whole.len() - 3 {
            assert_eq!(chain(&whole[..length]), None, "{length}");
        }
    }
}
