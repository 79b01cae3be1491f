"""A letter as a call of a webhook: JSON by POST, signed, so that the receiver knows who says it and that it is new.

    Mutualgate-Signature: t=1780000000,v1=<HMAC-SHA-256 of "1780000000.<body>", in hex>

Redirects are not followed: the signed body goes to the address that was set and to no other.
"""

import hashlib
import hmac
import re
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from mutualgate import __version__
from mutualgate.config import NoticesConfig
from mutualgate.errors import BadInput
from mutualgate.model.letter import Letter
from mutualgate.notices.failure import Failure
from mutualgate.notices.http_post import post
from mutualgate.notices.secret_file import MIN_SIGNING_CHARACTERS, read_secret

SIGNATURE = "Mutualgate-Signature"
TOLERANCE = timedelta(minutes=5)


def sign(secret: bytes, body: bytes, at: int) -> str:
    """The value of the header field. `at`: now, in Unix seconds."""
    mac = hmac.new(secret, b"%d.%s" % (at, body), hashlib.sha256).hexdigest()
    return f"t={at},v1={mac}"


def verify(secret: bytes, body: bytes, header: str, now: int, tolerance: timedelta = TOLERANCE) -> bool:
    """Whether `header` signs `body` and is not older (or newer) than `tolerance`: what a receiver should check."""
    match = re.fullmatch(r"t=([0-9]{1,12}),v1=([0-9a-f]{64})", header)
    if match is None:
        return False
    at = int(match[1])
    return abs(now - at) <= tolerance.total_seconds() and hmac.compare_digest(header, sign(secret, body, at))


def call(config: NoticesConfig, letter: Letter, now: datetime) -> None:
    """Returns when the receiver answered with 2xx. Raises `Failure`."""
    if config.webhook is None or config.secret_file is None:
        raise Failure("no webhook is set any more", final=True)
    try:
        secret = read_secret(config.secret_file, MIN_SIGNING_CHARACTERS)
    except BadInput as error:
        raise Failure(str(error), everybody=True) from error
    body = letter.body.encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"mutualgate/{__version__}",
        SIGNATURE: sign(secret, body, int(now.timestamp())),
    }
    where = urlsplit(config.webhook).netloc
    status = post(config.webhook, body, headers, ca_file=config.ca_file, seconds=config.timeout.total_seconds()).status
    if 300 <= status < 400:
        raise Failure(f"{where} answers with a redirect ({status}), which is not followed", everybody=True)
    if not 200 <= status < 300:
        # RFC 9110 15.5.11: gone means for good. Another 4xx may be about this notice alone.
        every = status >= 500 or status in (401, 403, 404, 429)
        raise Failure(f"{where} answers {status}", final=status == 410, everybody=every)
