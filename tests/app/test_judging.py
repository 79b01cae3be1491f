"""The judge without a gate."""

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from installation import Installation

from mutualgate.app.judging import judge_of


def test_it_judges_as_the_gate_would(installed: Installation) -> None:
    services = installed.services()
    chain = [x509.load_pem_x509_certificate(installed.pem().read_bytes()).public_bytes(Encoding.DER)]
    try:
        now = int(services.clock().timestamp())
        verdict = judge_of(services).authorize(chain, now, "localhost", "/hello")
        assert verdict.admitted
        assert verdict.client_name == "first-client"
        services.clients.suspend("first-client")
        assert judge_of(services).decide(chain, now).reason == "client_suspended"
    finally:
        services.close()
