//! A signed JWT (RFC 7519, RFC 7515) that says who the client is: what a service can believe that others reach, too.
//!
//! Knows how claims are signed. Does not know when a new one is due ([`super::telling`]), nor where the key is kept.

use std::fmt;

use aws_lc_rs::{
    digest,
    rand::{SecureRandom, SystemRandom},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use judge::Admission;
use serde::Serialize;

use super::encode::hex;

/// Signs with one key.
pub(crate) struct Signer {
    issuer: Box<str>,
    /// In seconds.
    lifetime: i64,
    /// The JOSE header and the dot after it.
    header: Box<str>,
    key: EcdsaKeyPair,
}

// No derive: nothing of a key must reach a log by way of `{:?}`.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

/// RFC 7519 4.1, RFC 8705 3.1, and ours.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: String,
    aud: &'a str,
    iat: i64,
    exp: i64,
    jti: String,
    client: &'a str,
    roles: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partner: Option<&'a str>,
    cnf: Confirmation,
}

#[derive(Serialize)]
struct Confirmation {
    #[serde(rename = "x5t#S256")]
    thumbprint: String,
}

impl Signer {
    /// `key`: PKCS #8, DER, a P-256 key; `name` is its `kid`. `None` for any other key.
    pub(crate) fn new(issuer: &str, lifetime: i64, name: &str, key: &[u8]) -> Option<Signer> {
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key).ok()?;
        let header = serde_json::json!({"alg": "ES256", "kid": name, "typ": "JWT"}).to_string();
        Some(Signer {
            issuer: issuer.into(),
            lifetime,
            header: format!("{}.", URL_SAFE_NO_PAD.encode(header)).into(),
            key,
        })
    }

    /// A token for `audience` and its end; `certificate` is the leaf, DER. It ends no later than the admission.
    pub(crate) fn sign(
        &self,
        admission: &Admission,
        certificate: &[u8],
        audience: &str,
        at: i64,
    ) -> Option<(String, i64)> {
        let client = admission.client();
        let exp = at
            .saturating_add(self.lifetime)
            .min(admission.valid_until());
        let thumbprint = digest::digest(&digest::SHA256, certificate);
        let random = SystemRandom::new();
        let mut id = [0; 16];
        random.fill(&mut id).ok()?;
        let claims = Claims {
            iss: &self.issuer,
            sub: client.id.to_string(),
            aud: audience,
            iat: at,
            exp,
            jti: hex(&id),
            client: &client.name,
            roles: client.roles.iter().map(|role| &**role).collect(),
            partner: admission.partner(),
            cnf: Confirmation {
                thumbprint: URL_SAFE_NO_PAD.encode(thumbprint),
            },
        };
        let mut token = self.header.to_string();
        URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(&claims).ok()?, &mut token);
        let signature = self.key.sign(&random, token.as_bytes()).ok()?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Some((token, exp))
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, KeyPair, UnparsedPublicKey};

    use super::*;
    use crate::fixtures::{AT, admitted};

    fn key() -> EcdsaKeyPair {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key")
    }

    fn part(text: &str) -> serde_json::Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).expect("base64url")).expect("JSON")
    }

    #[test]
    fn a_token_says_who_it_is_and_is_signed() {
        let (admission, chain) = admitted();
        let key = key();
        let der = key.to_pkcs8v1().expect("PKCS #8");
        let signer = Signer::new("https://gate.test", 300, "k1", der.as_ref()).expect("a signer");
        let (token, end) = signer
            .sign(&admission, &chain[0], "shop", AT)
            .expect("a token");
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, signature] = parts[..] else {
            panic!("{token}");
        };
        assert_eq!(
            part(header),
            serde_json::json!({"alg": "ES256", "kid": "k1", "typ": "JWT"})
        );
        let mut claims = part(claims);
        let id = claims["jti"].take();
        assert_eq!(id.as_str().map(str::len), Some(32));
        let thumbprint = URL_SAFE_NO_PAD.encode(admission.fingerprint());
        assert_eq!(
            claims,
            serde_json::json!({
                "iss": "https://gate.test",
                "sub": "7",
                "aud": "shop",
                "iat": AT,
                "exp": AT + 300,
                "jti": null,
                "client": "alice",
                "roles": ["admin", "ops"],
                "cnf": {"x5t#S256": thumbprint},
            })
        );
        assert_eq!(end, AT + 300);
        let signed = &token[..token.len() - signature.len() - 1];
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.public_key().as_ref())
            .verify(signed.as_bytes(), &signature)
            .expect("signed");
    }

    #[test]
    fn a_token_ends_with_the_admission() {
        let (admission, chain) = admitted();
        let der = key().to_pkcs8v1().expect("PKCS #8");
        let signer = Signer::new("i", 300, "k", der.as_ref()).expect("a signer");
        let until = admission.valid_until();
        let (_, end) = signer
            .sign(&admission, &chain[0], "shop", until - 10)
            .expect("a token");
        assert_eq!(end, until);
    }

    #[test]
    fn no_other_key_signs_and_none_is_shown() {
        assert!(Signer::new("i", 300, "k", b"nonsense").is_none());
        let der = key().to_pkcs8v1().expect("PKCS #8");
        let signer = Signer::new("i", 300, "k", der.as_ref()).expect("a signer");
        assert_eq!(format!("{signer:?}"), "Signer { issuer: \"i\", .. }");
    }
}
