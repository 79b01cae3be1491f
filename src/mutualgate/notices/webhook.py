"""A letter as a call of a webhook: JSON by POST, signed, so that the receiver knows who says it and that it is new.

    Mutualgate-Signature: t=1780000000,v1=<HMAC-SHA-256 of "1780000000.<body>", in hex>

Redirects are not followed: the signed body goes to the address that was set and to no other.
"""

import hashlib
import hmac
import http.client
import re
import ssl
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from mutualgate import __version__
from mutualgate.config import NoticesConfig
from mutualgate.errors import BadInput
from mutualgate.model import Letter
from mutualgate.notices.failure import Failure, said
from mutualgate.notices.secret_file import read_secret

SIGNATURE = "Mutualgate-Signature"
MIN_SECRET_CHARACTERS = 16
TOLERANCE = timedelta(minutes=5)
_MAX_ANSWER_BYTES = 64 * 1024


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
        secret = read_secret(config.secret_file, MIN_SECRET_CHARACTERS)
        connection, target = _connection(config, config.webhook)
    except BadInput as error:
        raise Failure(str(error), everybody=True) from error
    body = letter.body.encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"mutualgate/{__version__}",
        SIGNATURE: sign(secret, body, int(now.timestamp())),
    }
    where = urlsplit(config.webhook).netloc
    try:
        connection.request("POST", target, body, headers)
        response = connection.getresponse()
        status = response.status
        response.read(_MAX_ANSWER_BYTES)
    except ssl.SSLCertVerificationError as error:
        raise Failure(
            f"{where} has a certificate that is not trusted ({said(error.verify_message)})", everybody=True
        ) from error
    except TimeoutError as error:
        raise Failure(f"{where} did not answer in time", everybody=True) from error
    except (OSError, http.client.HTTPException) as error:
        words = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise Failure(f"{where} cannot be reached ({said(words)})", everybody=True) from error
    finally:
        connection.close()
    if 300 <= status < 400:
        raise Failure(f"{where} answers with a redirect ({status}), which is not followed", everybody=True)
    if not 200 <= status < 300:
        # RFC 9110 15.5.11: gone means for good. Another 4xx may be about this notice alone.
        every = status >= 500 or status in (401, 403, 404, 429)
        raise Failure(f"{where} answers {status}", final=status == 410, everybody=every)


def _connection(config: NoticesConfig, url: str) -> tuple[http.client.HTTPConnection, str]:
    parts = urlsplit(url)
    seconds = config.timeout.total_seconds()
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    host = parts.hostname or ""
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, parts.port or 80, timeout=seconds), target
    try:
        context = ssl.create_default_context(cafile=None if config.ca_file is None else str(config.ca_file))
    except OSError as error:
        raise BadInput("holds no certificate that can be used", where=str(config.ca_file), expected="PEM") from error
    return http.client.HTTPSConnection(host, parts.port or 443, timeout=seconds, context=context), target
