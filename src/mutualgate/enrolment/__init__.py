"""From a client to its credential: a signed request, or a key that is made for who cannot make one."""

from mutualgate.enrolment.service import Enrolment, MadeP12, Signed

__all__ = ["Enrolment", "MadeP12", "Signed"]
