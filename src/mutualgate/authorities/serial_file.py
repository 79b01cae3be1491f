"""The serial file of `openssl x509 -req -CAserial`: hexadecimal, the number that was used last.

It is history: our serial numbers are random. But it tells whether certificates are missing from what we were shown.
"""

import re

from mutualgate.authorities.findings import Finding, Severity
from mutualgate.counts import counted

_RUN = 1 << 32
"""openssl starts at a random number of 160 bits and counts: what lies nearer together than this is one count."""


def serial_file_findings(data: bytes, where: str, serials: set[int]) -> list[Finding]:
    """Compares the serial file with the serial numbers of the certificates that were shown."""
    text = data.strip()
    if not re.fullmatch(rb"[0-9A-Fa-f]{1,64}", text):
        return [
            Finding(
                "serial_file_unreadable",
                Severity.WARNING,
                where,
                "It holds no hexadecimal number.",
                "It is not used: new serial numbers are random.",
            )
        ]
    last = int(text, 16)
    run = sorted(serial for serial in serials if abs(serial - last) < _RUN)
    if not serials:
        return []
    # `openssl ca` writes the next number instead of the last one.
    if run and run[-1] > last:
        return [
            Finding(
                "serial_file_behind",
                Severity.WARNING,
                where,
                f"It says {last:X}, but a certificate has the later number {run[-1]:X}.",
                "The file is older than the certificates or was put back: look for two with the same number.",
            )
        ]
    if not run:
        return [
            Finding(
                "serial_file_disagrees",
                Severity.WARNING,
                where,
                f"It says {last:X}, and no certificate that was shown has a number near it.",
                "It belongs to another authority, or certificates are missing from the folder.",
            )
        ]
    missing = last - run[0] + 1 - len(run)
    if missing > 0 and not (missing == 1 and run[-1] == last - 1):
        return [
            Finding(
                "certificates_missing",
                Severity.WARNING,
                where,
                f"By its count, {counted(missing, 'more certificate was', 'more certificates were')} made between"
                f" {run[0]:X} and {last:X}.",
                "They are admitted unless you choose to admit listed certificates only. Find them, or who holds them.",
            )
        ]
    return []
