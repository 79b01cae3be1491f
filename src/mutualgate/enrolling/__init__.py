"""The other side of an invitation: on the client's machine, makes the key, has it certified, and renews it.

Talks to a gate over HTTPS as anybody could. Has no store and no services: what it keeps is a folder of files.
"""

from mutualgate.enrolling.kept import Kept
from mutualgate.enrolling.steps import Enrolled, Link, Waiting, enrol, parse_link, renew, renewal_due

__all__ = ["Enrolled", "Kept", "Link", "Waiting", "enrol", "parse_link", "renew", "renewal_due"]
