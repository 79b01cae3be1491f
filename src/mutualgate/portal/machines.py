"""What the ways for machines share: what a script hands in, what it is answered, and the root that it has to trust."""

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from starlette.responses import Response

from mutualgate.authorities.issuing import certificate_of
from mutualgate.config import SiteConfig
from mutualgate.model.invitation import Way
from mutualgate.portal import answers
from mutualgate.portal.asked import CSR_TYPE, Asked
from mutualgate.portal.invited import outcome_document, sign


async def hand_in(asked: Asked, way: Way) -> Response:
    """Signs the request that a program sent: JSON for whoever asks for it, else PEM."""
    outcome = await sign(asked, await asked.csr(CSR_TYPE), way)
    if asked.kind == "json":
        return outcome_document(asked, outcome)
    if outcome.signed is None:
        return answers.text(asked, "It is handed in. An operator has to approve it: try it again later.", status=202)
    return answers.chain(asked, outcome.signed.chain_pem)


def site_of(asked: Asked) -> SiteConfig:
    """The site that is asked, by its host; the first one serves hosts that none has."""
    sites = asked.desk.services.config.sites
    host = asked.host_name.strip("[]").lower()
    return next((one for one in sites if host in one.hosts), sites[0])


def trusted_root(asked: Asked) -> x509.Certificate | None:
    """Our root, if it is what the certificate of this site hangs on; None for a site with a certificate of its own."""
    return next(iter(trusted_roots(asked)), None)


def enrol_command(asked: Asked) -> str:
    """What makes, certifies and renews a key on a machine, by the invitation in the address."""
    root = trusted_root(asked)
    pinned = "" if root is None else f" --root-sha256 {root.fingerprint(SHA256()).hex()}"
    return f"mutualgate enrol {asked.base}/{asked.secret}{pinned}"


def trusted_roots(asked: Asked) -> tuple[x509.Certificate, ...]:
    """Our root, and the one that comes after it or was before it: whoever trusts both is in while it changes."""
    hierarchy = asked.desk.services.authorities.hierarchy()
    if site_of(asked).certificate is not None or hierarchy is None:
        return ()
    return tuple(certificate_of(one) for one in (hierarchy.root, *hierarchy.other_roots))
