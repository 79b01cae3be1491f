"""iPhone, iPad and Mac: a configuration profile that has the device make its own key and fetch its certificate (SCEP).

The profile is signed as the site itself. It is a property list, written by plistlib: names are text in it and nothing
else. What could not be tried on a device is said in docs/howto/apple.md.
"""

import plistlib
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key, pkcs7
from starlette.responses import Response
from starlette.routing import Route

from mutualgate.app.server_certificates import site_certificates
from mutualgate.enrolment.opening import Opened
from mutualgate.errors import BadInput, Unavailable
from mutualgate.model.invitation import Way
from mutualgate.portal import answers
from mutualgate.portal.asked import Asked
from mutualgate.portal.desk import Desk
from mutualgate.portal.invited import opened_for
from mutualgate.portal.machines import site_of, trusted_root

PROFILE_TYPE: Final = "application/x-apple-aspen-config"


def routes(desk: Desk) -> list[Route]:
    """The addresses of this way."""
    return [
        desk.route("/{secret:secret}/apple", get=page, post=profile_with_code),
        desk.route("/{secret:secret}/apple.mobileconfig", get=profile),
    ]


async def page(asked: Asked) -> Response:
    """What to tap."""
    opened = await opened_for(asked, Way.APPLE)
    root = await asked.call(trusted_root, asked)
    if asked.kind != "html":
        return answers.text(asked, f"A profile for an Apple device:\n  {asked.base}/{asked.secret}/apple.mobileconfig")
    return answers.page(asked, "apple.html.j2", opened=opened, own_root=root is not None)


async def profile(asked: Asked) -> Response:
    """The profile, for an invitation without a second code."""
    opened = await opened_for(asked, Way.APPLE)
    if opened.invitation.has_factor:
        raise BadInput(
            "this invitation has a second code",
            expected="the code that you were told by another channel",
            fix=f"Open {asked.base}/{asked.secret}/apple",
            code="second_factor_needed",
        )
    return await asked.call(_signed, asked, opened, asked.secret)


async def profile_with_code(asked: Asked) -> Response:
    """The profile, with the second code in it. Whether it is right, the device is told when it asks for a "
    "certificate."""
    opened = await opened_for(asked, Way.APPLE)
    factor = "".join((await asked.form()).text("factor", 64).split())
    if not factor.isascii() or not factor.isalnum():
        raise BadInput("this is no second code", expected="the digits that you were told", code="wrong_second_factor")
    return await asked.call(_signed, asked, opened, f"{asked.secret}.{factor}")


def _signed(asked: Asked, opened: Opened, challenge: str) -> Response:
    services = asked.desk.services
    made = make_profile(
        base=asked.base,
        host=asked.host,
        client=str(opened.client.name),
        challenge=challenge,
        issuing=services.authorities.recipient().above[0],
        root=trusted_root(asked),
    )
    site = site_of(asked)
    try:
        certificates = site_certificates(services, services.config)
    except BadInput as error:  # files of the gate's, which are no fault of who asks
        raise Unavailable(str(error)) from error
    settings = next(one.settings for one in certificates if one.name == site.name)
    return answers.file(
        asked, sign(made, settings.certificate_pem, settings.key_pem), PROFILE_TYPE, "mutualgate.mobileconfig"
    )


def make_profile(
    *, base: str, host: str, client: str, challenge: str, issuing: x509.Certificate, root: x509.Certificate | None
) -> bytes:
    """The property list. The same invitation makes the same identifiers, so that a device replaces what it has."""
    name = str(uuid5(NAMESPACE_URL, f"{base}/{challenge}")).upper()
    payloads = [
        _payload(
            name,
            "com.apple.security.scep",
            f"{host}: your key",
            PayloadContent={
                "URL": f"{base}/scep",
                "Name": "mutualgate",
                "Subject": [[["CN", client]]],
                "Challenge": challenge,
                "Keysize": 2048,
                "Key Type": "RSA",
                "Key Usage": 5,  # signing and encryption: the answer is encrypted for it
                "Retries": 3,
                "RetryDelay": 10,
                "KeyIsExtractable": False,
                "AllowAllAppsAccess": False,
            },
        ),
        _payload(
            name,
            "com.apple.security.pkcs1",
            f"{host}: who signs it",
            PayloadContent=issuing.public_bytes(Encoding.DER),
            PayloadCertificateFileName="issuing.cer",
        ),
    ]
    if root is not None:
        payloads.append(
            _payload(
                name,
                "com.apple.security.root",
                f"{host}: the root of this site",
                PayloadContent=root.public_bytes(Encoding.DER),
                PayloadCertificateFileName="root.cer",
            )
        )
    whole = _payload(
        name,
        "Configuration",
        f"{host}: {client}",
        PayloadContent=payloads,
        PayloadDescription=f"Makes a key on this device and a certificate for {client}, with which {host} lets it in.",
        PayloadOrganization=host,
        PayloadRemovalDisallowed=False,
    )
    return plistlib.dumps(whole)


def _payload(name: str, kind: str, title: str, **more: Any) -> dict[str, Any]:
    return {
        "PayloadType": kind,
        "PayloadVersion": 1,
        "PayloadIdentifier": f"mutualgate.{name}.{kind}",
        "PayloadUUID": str(uuid5(NAMESPACE_URL, f"{name}/{kind}")).upper(),
        "PayloadDisplayName": title,
        **more,
    }


def sign(profile: bytes, chain_pem: bytes, key_pem: bytes) -> bytes:
    """The profile in a SignedData (RFC 5652 5), signed as the site that it comes from."""
    key = load_pem_private_key(key_pem, None)
    leaf, *above = x509.load_pem_x509_certificates(chain_pem)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        return profile  # devices take it unsigned, too, and say so
    builder = pkcs7.PKCS7SignatureBuilder().set_data(profile).add_signer(leaf, key, hashes.SHA256())
    for one in above:
        builder = builder.add_certificate(one)
    return builder.sign(Encoding.DER, [pkcs7.PKCS7Options.Binary])
