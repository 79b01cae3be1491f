"""What the ways for machines share: what a script hands in, what it is answered, and the root that it has to trust."""

from typing import Final

from cryptography import x509
from starlette.responses import Response

from mutualgate.authorities.issuing import certificate_of
from mutualgate.config import SiteConfig
from mutualgate.enrolment.outcome import Outcome
from mutualgate.errors import BadInput
from mutualgate.model.invitation import Way
from mutualgate.portal import answers
from mutualgate.portal.asked import Asked
from mutualgate.portal.invited import FACTOR_FIELD, outcome_values
from mutualgate.reading.bounded import MAX_FILE_BYTES

CSR_TYPE: Final = "application/pkcs10"
CHAIN_TYPE: Final = "application/pem-certificate-chain"


async def hand_in(asked: Asked, way: Way) -> Response:
    """Signs the request that a program sent: JSON for whoever asks for it, else PEM."""
    given = asked.fields.get("content-type", "").partition(";")[0].strip().lower()
    if given != CSR_TYPE:  # no form of another site can send it
        raise BadInput("what was sent has the wrong type", expected=f"Content-Type: {CSR_TYPE}", code="bad_type")
    body = await asked.body(MAX_FILE_BYTES)
    sign = asked.desk.services.invitation_use.sign
    factor = asked.fields.get(FACTOR_FIELD)
    outcome = await asked.call(sign, asked.secret, body, way=way, peer=asked.visitor.peer, factor=factor)
    return answer(asked, outcome)


def answer(asked: Asked, outcome: Outcome) -> Response:
    """What came of it, for a program."""
    if asked.kind == "json":
        return answers.document(asked, outcome_values(outcome), status=202 if outcome.waiting else 200)
    if outcome.signed is None:
        return answers.text(asked, "It is handed in. An operator has to approve it: try it again later.", status=202)
    return answers.send(asked, outcome.signed.chain_pem, CHAIN_TYPE, 200, None)


def site_of(asked: Asked) -> SiteConfig:
    """The site that is asked, by its host; the first one serves hosts that none has."""
    sites = asked.desk.services.config.sites
    name, _, port = asked.host.rpartition(":")
    host = (name if name and port.isdecimal() else asked.host).strip("[]").lower()
    return next((one for one in sites if host in one.hosts), sites[0])


def trusted_root(asked: Asked) -> x509.Certificate | None:
    """Our root, if it is what the certificate of this site hangs on; None for a site with a certificate of its own."""
    return next(iter(trusted_roots(asked)), None)


def trusted_roots(asked: Asked) -> tuple[x509.Certificate, ...]:
    """Our root, and the one that comes after it or was before it: whoever trusts both is in while it changes."""
    hierarchy = asked.desk.services.authorities.hierarchy()
    if site_of(asked).certificate is not None or hierarchy is None:
        return ()
    return tuple(certificate_of(one) for one in (hierarchy.root, *hierarchy.other_roots))
