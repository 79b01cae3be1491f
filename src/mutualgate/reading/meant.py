"""Which certificate of an upload is meant: files hold them in any order."""

from collections.abc import Sequence

from mutualgate.errors import BadInput
from mutualgate.model.legible import Legible
from mutualgate.reading.about import self_issued
from mutualgate.reading.containers import open_upload


def read_all(data: bytes | bytearray, where: str) -> tuple[Legible, ...]:
    """The certificates in an upload of any form. Raises what `open_upload` raises, and `BadInput` for a CSR."""
    contents = open_upload(data, where)
    if contents.request is not None:
        raise BadInput("is a request for a certificate (CSR)", where=where, expected="a certificate", code="csr_given")
    return contents.certificates


def read_meant(data: bytes | bytearray, where: str) -> Legible:
    """The one that is meant in an upload of any form. Raises as `read_all` does."""
    return meant(read_all(data, where))[0]


def meant(found: Sequence[Legible]) -> tuple[Legible, list[Legible], int]:
    """The certificate that is meant, its chain, and how many are neither: files hold them in any order.

    It is the first that issued none of the others; a file with nothing but CAs means the lowest of them.
    """
    unique = list({one.der: one for one in found}.values())
    issuers = {one.issuer for one in unique if not self_issued(one)}  # by name: signatures cost
    leaf = next((one for one in unique if one.subject not in issuers), unique[0])
    chain = chain_of(leaf, [one for one in unique if one is not leaf])
    return leaf, chain, len(unique) - 1 - len(chain)


def chain_of(leaf: Legible, others: list[Legible]) -> list[Legible]:
    """What of `others` is above `leaf`, nearest issuer first."""
    chain: list[Legible] = []
    link, rest = leaf, list(others)
    while not self_issued(link) and (above := next((one for one in rest if link.signed_by(one)), None)) is not None:
        rest.remove(above)
        chain.append(above)
        link = above
    return chain
