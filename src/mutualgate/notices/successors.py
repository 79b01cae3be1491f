"""What an operator types for something that ends: the command that makes, or takes, what comes in its place."""

import shlex

from mutualgate.model.authority import AuthorityKind
from mutualgate.model.expiring import Expiring, ExpiryKind


def command(one: Expiring, *, portal: bool) -> str:
    """For an operator's shell; capitals stand for a file of theirs. `portal`: whether links to it can be opened.

    The gate's own certificate and the lists of our authorities are made anew in time: where one is this near its end,
    something is in the way, and the command says what.
    """
    name = _word(one.name)
    match one.kind:
        case ExpiryKind.CREDENTIAL if portal:
            return f"mutualgate invite {name}"
        case ExpiryKind.CREDENTIAL:
            return f"mutualgate client p12 {name} --out FILE.p12"
        case ExpiryKind.PIN if portal:
            return f"mutualgate invite {name} --way own"
        case ExpiryKind.PIN:
            return f"mutualgate pin add {name} FILE --replaces {one.key}"
        case ExpiryKind.PARTNER_CERTIFICATE:
            return f"mutualgate client show {name}"
        case ExpiryKind.PARTNER_CA:
            return f"mutualgate partner ca renew {name} {one.key} FILE"
        case ExpiryKind.PARTNER_LIST:
            return f"mutualgate partner crl fetch {name}"
        case ExpiryKind.SITE if one.detail:
            return f"cp FILE {_word(one.detail)}"
        case ExpiryKind.SITE:
            return "mutualgate restart"
        case ExpiryKind.AUTHORITY if one.detail == AuthorityKind.ADOPTED:
            return "mutualgate ca adopt --cert FILE"
        case ExpiryKind.AUTHORITY:
            return f"mutualgate ca rotate {one.detail}"
        case ExpiryKind.LIST:
            return f"mutualgate ca crl {name} --out {name}.crl"
        case ExpiryKind.INVITATION:
            return f"mutualgate invitation resend {one.key}"


def _word(text: str) -> str:
    """Of a command; names are ours or were checked, and still nothing of them moves a cursor."""
    return shlex.quote("".join(character if character.isprintable() else "?" for character in text))
