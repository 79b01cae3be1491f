"""What is said of a certificate in browsers is what they do: Chromium and Firefox, here both with NSS."""

from pathlib import Path

import pki
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID
from end_to_end import browsers
from end_to_end.browsers import Bundle
from end_to_end.gate import running_gate

from mutualgate.reading.explain import explain
from mutualgate.reading.works import Effect

SITES = """
[[sites]]
name = "main"
hosts = ["localhost"]
routes = [{ path = "/", upstream = "demo" }, { path = "/join", upstream = "portal" }]
"""

CA = (x509.BasicConstraints(True, None), True)
CLIENT = (x509.ExtendedKeyUsage([pki.CLIENT_AUTH]), False)
KINDS: dict[str, list[tuple[x509.ExtensionType, bool]]] = {
    "as openssl req -x509 makes it": [CA],
    "a CA's that signs": [CA, (pki.usage(digital_signature=True, key_cert_sign=True), True)],
    "a CA's that signs certificates alone": [CA, (pki.usage(key_cert_sign=True), True)],
    "a CA's for clients": [CA, CLIENT],
    "for any purpose": [(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), False)],
    "for servers": [(x509.ExtendedKeyUsage([pki.SERVER_AUTH]), False)],
    "for encryption": [CLIENT, (pki.usage(key_encipherment=True), True)],
    "for clients": [CLIENT, (pki.usage(digital_signature=True), True)],
    "of a P-521 key": [CLIENT],
}
KEYS = {"of a P-521 key": pki.ec_key("P-521")}


@pytest.mark.timeout(400)  # browsers start slowly on a busy machine
def test_what_is_said_of_browsers_is_what_they_do(tmp_path: Path) -> None:
    if reason := browsers.chromium_missing() or browsers.firefox_missing():
        pytest.skip(reason)
    said, offered = {}, {}
    with running_gate(tmp_path / "gate", SITES) as gate:
        for number, (kind, extensions) in enumerate(KINDS.items()):
            made = pki.issue(None, "somebody", key=KEYS.get(kind), extensions=extensions, now=pki.real_now())
            path = tmp_path / f"{number}.p12"
            path.write_bytes(
                pkcs12.serialize_key_and_certificates(
                    b"own", made.key, made.certificate, None, BestAvailableEncryption(b"password")
                )
            )
            found = explain(made.pem, "it", now=pki.real_now()).findings
            said[kind] = not any(
                one.effect is Effect.FAILS and ("browsers" in one.whom or "Firefox" in one.whom) for one in found
            )
            # One of the two for each kind, in turn: they choose by the same library.
            browse = browsers.firefox if number % 4 == 3 else browsers.chromium
            page = browse(
                f"https://localhost:{gate.port}/join/me", tmp_path / f"{number}", gate.root, Bundle(path, "password")
            )
            offered[kind] = "showed no certificate" not in page.text
    assert offered == said
    assert set(offered.values()) == {True, False}
