//! What the service behind a route is told about clients, and for how long that can be repeated.
//!
//! A [`Telling`] is made once per configuration. What it says of one client is made when it is first needed and kept with
//! the verdict ([`crate::standing`]); only a token ends before the verdict does.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use judge::Admission;

use super::{
    Written, apache,
    dialect::{Dialect, Dialects},
    encode,
    fields::Fields,
    leaf::Leaf,
    nginx, push_chain,
    token::Signer,
    traefik, xfcc,
};
use crate::upstream::block;

const TOKEN: HeaderName = HeaderName::from_static("mutualgate-jwt");

/// The fields for a request that is forwarded for nobody, to a service that is told as is usual.
pub(crate) const ANONYMOUS: &[u8] = b"mutualgate-verdict: anonymous\r\n";

/// In which dialects a service is told, where it is not the usual one, and what its tokens need.
#[derive(Debug)]
pub(crate) struct Telling {
    dialects: Dialects,
    /// The audience, and who signs.
    token: Option<(Box<str>, Arc<Signer>)>,
    /// For whoever is nobody.
    anonymous: Box<[u8]>,
}

impl Telling {
    /// `token`: the audience and the signer, for [`Dialect::Jwt`].
    pub(crate) fn new(dialects: Dialects, token: Option<(Box<str>, Arc<Signer>)>) -> Telling {
        let mut fields = Fields::default();
        fields.push(super::VERDICT, HeaderValue::from_static("anonymous"));
        if dialects.has(Dialect::Apache) {
            apache::write_anonymous(&mut fields);
        }
        if dialects.has(Dialect::Nginx) {
            nginx::write_anonymous(&mut fields);
        }
        Telling {
            dialects,
            token,
            anonymous: lines(&fields.finish()),
        }
    }

    /// The dialects that have something to say about the connection.
    pub(crate) fn of_connection(&self) -> Dialects {
        self.dialects.of_connection()
    }

    /// Whether `other` says the same, so that one can stand for both.
    pub(crate) fn says_the_same(&self, other: &Telling) -> bool {
        let token = match (&self.token, &other.token) {
            (None, None) => true,
            (Some((audience, signer)), Some((other_audience, other_signer))) => {
                audience == other_audience && Arc::ptr_eq(signer, other_signer)
            }
            _ => false,
        };
        self.dialects == other.dialects && token
    }

    /// The fields for a request that is forwarded for nobody, each with its CRLF.
    pub(crate) fn anonymous(&self) -> &[u8] {
        &self.anonymous
    }

    /// The fields about an admitted client, each with its CRLF, and the Unix second from which on they have to be made
    /// anew. `chain` is DER, leaf first, as the peer sent it.
    pub(crate) fn admitted<C: AsRef<[u8]>>(
        &self,
        admission: &Admission,
        chain: &[C],
        at: i64,
    ) -> (Box<[u8]>, i64) {
        let mut fields = Written::facts(admission);
        let until = self.write(&mut fields, admission, chain, at);
        (lines(&fields.finish()), until)
    }

    fn write<C: AsRef<[u8]>>(
        &self,
        fields: &mut Fields,
        admission: &Admission,
        chain: &[C],
        at: i64,
    ) -> i64 {
        let has = |dialect| self.dialects.has(dialect);
        if has(Dialect::Rfc9440) {
            push_chain(fields, chain);
        }
        let der = chain.first().map(AsRef::as_ref).unwrap_or_default();
        if let Some(leaf) = Leaf::read(der) {
            if has(Dialect::Xfcc) {
                xfcc::write(fields, &leaf, &encode::hex(admission.fingerprint()), chain);
            }
            if has(Dialect::Apache) {
                apache::write(fields, &leaf, chain);
            }
            if has(Dialect::Nginx) {
                nginx::write(fields, &leaf, der);
            }
            if has(Dialect::Traefik) {
                traefik::write(fields, chain);
            }
        }
        if has(Dialect::Tomcat) {
            apache::write_certificate(fields, chain);
        }
        let Some((audience, signer)) = &self.token else {
            return i64::MAX;
        };
        match signer.sign(admission, der, audience, at) {
            Some((token, end)) => {
                fields.certificates(TOKEN, token);
                // A service sees a token with a quarter of its life before it, or more.
                at + ((end - at) * 3 / 4).max(1)
            }
            None => {
                fields.omit(TOKEN);
                at + 1
            }
        }
    }
}

fn lines(fields: &[(HeaderName, HeaderValue)]) -> Box<[u8]> {
    block(fields.iter().map(|(name, value)| (name, value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_words_about_nobody_are_those_of_the_usual_dialect() {
        assert_eq!(Telling::new(Dialects::DEFAULT, None).anonymous(), ANONYMOUS);
        assert_eq!(lines(Written::anonymous().fields()), ANONYMOUS.into());
    }
}
