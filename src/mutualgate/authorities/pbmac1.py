"""The MAC of PKCS#12 files by RFC 9879: PBMAC1, whose key derivation FIPS 140 knows."""

import hashlib
import hmac
import secrets

from asn1crypto import algos, core, pkcs12

_PBKDF2, _PBMAC1 = "1.2.840.113549.1.5.12", "1.2.840.113549.1.5.14"


class _Pbkdf2Params(core.Sequence):  # type: ignore[misc]  # asn1crypto names no types
    """RFC 8018 A.2. `keyLength` has to be there for a MAC (RFC 9879 4)."""

    _fields = [  # noqa: RUF012 - as asn1crypto wants it
        ("salt", core.OctetString),
        ("iteration_count", core.Integer),
        ("key_length", core.Integer),
        ("prf", algos.HmacAlgorithm),
    ]


class _KeyDerivation(core.Sequence):  # type: ignore[misc]  # asn1crypto names no types
    _fields = [("algorithm", core.ObjectIdentifier), ("parameters", _Pbkdf2Params)]  # noqa: RUF012


class _Pbmac1Params(core.Sequence):  # type: ignore[misc]  # asn1crypto names no types
    """RFC 8018 A.5."""

    _fields = [("key_derivation", _KeyDerivation), ("scheme", algos.HmacAlgorithm)]  # noqa: RUF012


class _Pbmac1(core.Sequence):  # type: ignore[misc]  # asn1crypto names no types
    _fields = [("algorithm", core.ObjectIdentifier), ("parameters", _Pbmac1Params)]  # noqa: RUF012


class _DigestInfo(core.Sequence):  # type: ignore[misc]  # asn1crypto names no types
    _fields = [("algorithm", _Pbmac1), ("digest", core.OctetString)]  # noqa: RUF012


class _MacData(core.Sequence):  # type: ignore[misc]  # asn1crypto names no types
    """RFC 7292 4. With PBMAC1, salt and rounds have their place in its parameters, and these two are not looked at."""

    _fields = [  # noqa: RUF012
        ("mac", _DigestInfo),
        ("mac_salt", core.OctetString),
        ("iterations", core.Integer, {"default": 1}),
    ]


class _Pfx(core.Sequence):  # type: ignore[misc]  # asn1crypto names no types
    _fields = [("version", core.Integer), ("auth_safe", core.Any), ("mac_data", _MacData)]  # noqa: RUF012


def with_pbmac1(data: bytes, password: bytes, rounds: int) -> bytes:
    """The .p12 with such a MAC in place of the one that it has, of so many rounds."""
    pfx = pkcs12.Pfx.load(data)
    salt = secrets.token_bytes(16)
    key = hashlib.pbkdf2_hmac("sha256", password, salt, rounds, 32)
    digest = hmac.digest(key, pfx["auth_safe"]["content"].native, "sha256")
    hmac_sha256 = {"algorithm": "sha256", "parameters": core.Null()}
    derivation = {"salt": salt, "iteration_count": rounds, "key_length": 32, "prf": hmac_sha256}
    parameters = {"key_derivation": {"algorithm": _PBKDF2, "parameters": derivation}, "scheme": hmac_sha256}
    mac = {"algorithm": {"algorithm": _PBMAC1, "parameters": parameters}, "digest": digest}
    made: bytes = _Pfx(
        {"version": 3, "auth_safe": pfx["auth_safe"], "mac_data": {"mac": mac, "mac_salt": b"NOT USED"}}
    ).dump()
    return made
