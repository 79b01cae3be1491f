//! Which public keys are good enough, and of a kind whose possession can be checked.
//!
//! The TLS verifier and the judge ask the same function: what the one cannot prove, the other refuses.

use crate::der;

/// Why a key is not good enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// It cannot be read.
    #[error("its public key cannot be read")]
    Unreadable,
    /// An RSA modulus below 2,048 bits.
    #[error("its RSA key has {0} bits, fewer than 2048")]
    ShortRsa(usize),
    /// An RSA modulus above 8,192 bits: checking one signature would cost a stranger nothing and us milliseconds.
    #[error("its RSA key has {0} bits, more than 8192")]
    LongRsa(usize),
    /// An even RSA modulus or exponent, or an exponent below 3.
    #[error("its RSA key has an exponent or a modulus that no honest key has")]
    RsaNumbers,
    /// A curve other than P-256, P-384 and P-521.
    #[error("its key is on a curve that is not supported")]
    Curve,
    /// An algorithm other than RSA, ECDSA and Ed25519.
    #[error("its key is of a kind that is not supported")]
    Algorithm,
}

// AlgorithmIdentifier contents, RFC 3279 2.3, RFC 5480 2.1.1 and RFC 8410 3.
const RSA: &[u8] = &[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];
const EC: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
const P521: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23];
const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];

/// Says whether possession of the key in `spki` (DER SubjectPublicKeyInfo) can be checked and would prove anything.
///
/// RSA of 2,048 to 8,192 bits with an odd exponent of at least 3, ECDSA on P-256, P-384 and P-521, Ed25519. An exponent of 3
/// is weak only with broken padding checks, which ours are not; keys that have it exist in old estates, so it passes.
/// 1 would make every message its own signature.
pub fn provable(spki: &[u8]) -> Result<(), KeyFault> {
    let (algorithm, key) = der::public_key(spki).ok_or(KeyFault::Unreadable)?;
    match algorithm {
        RSA => rsa(key),
        ED25519 if key.len() == 32 => Ok(()),
        ED25519 => Err(KeyFault::Unreadable),
        _ => match algorithm.strip_prefix(EC) {
            Some(P256) => point(key, 32),
            Some(P384) => point(key, 48),
            Some(P521) => point(key, 66),
            Some(_) => Err(KeyFault::Curve),
            None => Err(KeyFault::Algorithm),
        },
    }
}

/// The SubjectPublicKeyInfo of a certificate of any version (RFC 5280 4.1), DER; `None` where it cannot be read.
pub fn subject_public_key_info(certificate: &[u8]) -> Option<&[u8]> {
    let (certificate, _) = der::expect(certificate, der::SEQUENCE)?;
    let (tbs, _) = der::expect(certificate.content, der::SEQUENCE)?;
    // version [0], which v1 leaves out
    let mut rest = der::expect(tbs.content, 0xa0).map_or(tbs.content, |(_, rest)| rest);
    for _ in 0..5 {
        (_, rest) = der::read(rest)?; // serialNumber, signature, issuer, validity, subject
    }
    Some(der::expect(rest, der::SEQUENCE)?.0.whole)
}

fn rsa(key: &[u8]) -> Result<(), KeyFault> {
    let numbers = der::expect(key, der::SEQUENCE).and_then(|(sequence, after)| {
        let (modulus, rest) = der::expect(sequence.content, der::INTEGER)?;
        let (exponent, end) = der::expect(rest, der::INTEGER)?;
        (after.is_empty() && end.is_empty())
            .then_some((positive(modulus.content)?, positive(exponent.content)?))
    });
    let (modulus, exponent) = numbers.ok_or(KeyFault::Unreadable)?;
    let bits = modulus.len() * 8 - modulus[0].leading_zeros() as usize;
    match bits {
        ..2048 => return Err(KeyFault::ShortRsa(bits)),
        2048..=8192 => {}
        _ => return Err(KeyFault::LongRsa(bits)),
    }
    // 33 bits: the largest exponent that the signature check takes; larger ones only make it slow.
    let odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
    if !odd(modulus) || !odd(exponent) || exponent == [1] || exponent.len() > 5 {
        return Err(KeyFault::RsaNumbers);
    }
    Ok(())
}

/// The magnitude of a minimal, positive INTEGER.
fn positive(content: &[u8]) -> Option<&[u8]> {
    match content {
        [0, rest @ ..] if rest.first().is_some_and(|first| first & 0x80 != 0) => Some(rest),
        [first, ..] if (1..0x80).contains(first) => Some(content),
        _ => None,
    }
}

/// An uncompressed point (RFC 5480 2.2): the compressed form is optional there and not understood by the signature check.
fn point(key: &[u8], coordinate_bytes: usize) -> Result<(), KeyFault> {
    if key.len() == 1 + 2 * coordinate_bytes && key[0] == 4 {
        Ok(())
    } else {
        Err(KeyFault::Unreadable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_found_with_and_without_a_version() {
        let spki = [0x30, 0x02, 0x05, 0x00];
        let five = [
            0x02, 0x01, 0x07, 0x30, 0x00, 0x30, 0x00, 0x30, 0x00, 0x30, 0x00,
        ];
        let sequence = |parts: &[&[u8]]| wrap(der::SEQUENCE, parts);
        let v1 = sequence(&[&sequence(&[&five, &spki]), &[0x30, 0x00]]);
        let version = [0xa0, 0x03, 0x02, 0x01, 0x02];
        let v3 = sequence(&[
            &sequence(&[&version, &five, &spki, &[0xa3, 0x00]]),
            &[0x30, 0x00],
        ]);
        assert_eq!(subject_public_key_info(&v1), Some(&spki[..]));
        assert_eq!(subject_public_key_info(&v3), Some(&spki[..]));
    }

    #[test]
    fn what_is_no_certificate_has_no_key() {
        for bytes in [
            &b""[..],
            b"\x30",
            b"\x30\x80",
            b"\x30\x84\xff\xff\xff\xff",
            b"\x30\x02\x30\x00",
            b"-----BEGIN",
        ] {
            assert_eq!(subject_public_key_info(bytes), None, "{bytes:?}");
        }
    }

    fn wrap(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
        let contents = contents.concat();
        let length = (contents.len() as u16).to_be_bytes();
        let mut element = vec![tag];
        match contents.len() {
            0..0x80 => element.push(length[1]),
            0x80..0x100 => element.extend([0x81, length[1]]),
            _ => element.extend([0x82, length[0], length[1]]),
        }
        element.extend(contents);
        element
    }

    fn rsa_key(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
        let key = wrap(
            der::SEQUENCE,
            &[
                &wrap(der::INTEGER, &[modulus]),
                &wrap(der::INTEGER, &[exponent]),
            ],
        );
        wrap(
            der::SEQUENCE,
            &[
                &wrap(der::SEQUENCE, &[RSA]),
                &wrap(der::BIT_STRING, &[&[0], &key]),
            ],
        )
    }

    /// A positive odd number of so many bits.
    fn odd(bits: usize) -> Vec<u8> {
        let mut octets = vec![0xff; bits.div_ceil(8)];
        octets[0] = 0xff >> (octets.len() * 8 - bits);
        if octets[0] & 0x80 != 0 {
            octets.insert(0, 0);
        }
        octets
    }

    fn curve(parameters: &[u8], key: &[u8]) -> Vec<u8> {
        wrap(
            der::SEQUENCE,
            &[
                &wrap(der::SEQUENCE, &[EC, parameters]),
                &wrap(der::BIT_STRING, &[&[0], key]),
            ],
        )
    }

    #[test]
    fn rsa_by_length() {
        let f4 = [1, 0, 1];
        assert_eq!(
            provable(&rsa_key(&odd(2047), &f4)),
            Err(KeyFault::ShortRsa(2047))
        );
        assert_eq!(provable(&rsa_key(&odd(2048), &f4)), Ok(()));
        assert_eq!(provable(&rsa_key(&odd(8192), &f4)), Ok(()));
        assert_eq!(
            provable(&rsa_key(&odd(8193), &f4)),
            Err(KeyFault::LongRsa(8193))
        );
        let negative = vec![0xff; 256];
        assert_eq!(
            provable(&rsa_key(&negative, &f4)),
            Err(KeyFault::Unreadable)
        );
    }

    #[test]
    fn rsa_by_numbers() {
        let modulus = odd(2048);
        for honest in [&[3][..], &[17], &[1, 0, 1], &[1, 0, 0, 0, 1]] {
            assert_eq!(provable(&rsa_key(&modulus, honest)), Ok(()), "{honest:?}");
        }
        // 1 makes every message its own signature, an even one has no inverse, a long one costs time.
        for wrong in [&[1][..], &[2], &[1, 0, 0], &[1, 0, 0, 0, 0, 1]] {
            assert_eq!(
                provable(&rsa_key(&modulus, wrong)),
                Err(KeyFault::RsaNumbers),
                "{wrong:?}"
            );
        }
        let mut even = modulus.clone();
        even[256] = 0xfe;
        assert_eq!(
            provable(&rsa_key(&even, &[1, 0, 1])),
            Err(KeyFault::RsaNumbers)
        );
    }

    #[test]
    fn curves() {
        let uncompressed = |bytes: usize| [vec![4], vec![1; 2 * bytes]].concat();
        for (parameters, bytes) in [(P256, 32), (P384, 48), (P521, 66)] {
            assert_eq!(provable(&curve(parameters, &uncompressed(bytes))), Ok(()));
            assert_eq!(
                provable(&curve(parameters, &uncompressed(bytes - 1))),
                Err(KeyFault::Unreadable)
            );
            assert_eq!(
                provable(&curve(parameters, &[vec![2], vec![1; bytes]].concat())),
                Err(KeyFault::Unreadable)
            );
        }
        // secp256k1, and parameters spelt out.
        assert_eq!(
            provable(&curve(
                &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a],
                &uncompressed(32)
            )),
            Err(KeyFault::Curve)
        );
        assert_eq!(
            provable(&curve(&[0x30, 0x03, 0x02, 0x01, 0x01], &uncompressed(32))),
            Err(KeyFault::Curve)
        );
    }

    #[test]
    fn others() {
        let edwards = |length| {
            wrap(
                der::SEQUENCE,
                &[
                    &wrap(der::SEQUENCE, &[ED25519]),
                    &wrap(der::BIT_STRING, &[&[0], &vec![1; length]]),
                ],
            )
        };
        assert_eq!(provable(&edwards(32)), Ok(()));
        assert_eq!(provable(&edwards(31)), Err(KeyFault::Unreadable));
        let ed448 = wrap(
            der::SEQUENCE,
            &[
                &wrap(der::SEQUENCE, &[&[0x06, 0x03, 0x2b, 0x65, 0x71]]),
                &wrap(der::BIT_STRING, &[&[0], &[1; 57]]),
            ],
        );
        assert_eq!(provable(&ed448), Err(KeyFault::Algorithm));
        for wrong in [&[][..], &[0x30, 0x00], &[0x30, 0x80, 0, 0]] {
            assert_eq!(provable(wrong), Err(KeyFault::Unreadable));
        }
    }
}
