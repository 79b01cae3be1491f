"""Writes src/mutualgate/partners/public_roots.txt: `python scripts/public_roots.py [BUNDLE]`.

The CAs that browsers trust, by hash: a partner that claims one of them as its own would let in everybody who can buy a
certificate. BUNDLE is a PEM file of Mozilla's set, by default this machine's (Debian's ca-certificates); use a machine
on which nobody added private CAs to it.
"""

import hashlib
import sys
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
LIST = Path(__file__).resolve().parents[1] / "src" / "mutualgate" / "partners" / "public_roots.txt"


def main() -> None:
    """Reads the bundle and writes the list, sorted, so that a new one shows in a comparison what changed."""
    bundle = Path(sys.argv[1]) if len(sys.argv) > 1 else BUNDLE
    lines = set()
    for certificate in x509.load_pem_x509_certificates(bundle.read_bytes()):
        spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        name = hashlib.sha256(certificate.subject.public_bytes()).hexdigest()
        lines.add(f"{hashlib.sha256(spki).hexdigest()} {name}\n")
    date = datetime.fromtimestamp(bundle.stat().st_mtime, UTC)
    LIST.write_text(
        f"# Publicly trusted CAs (Mozilla's set), {len(lines)} of {date:%Y-%m-%d}; made by scripts/public_roots.py.\n"
        "# SHA-256 of the SubjectPublicKeyInfo, SHA-256 of the subject's DER.\n" + "".join(sorted(lines)),
        encoding="ascii",
    )


if __name__ == "__main__":
    main()
