"""From a client to its credential: an invitation, a signed request, or a key that is made for who cannot make one."""

from typing import TYPE_CHECKING

from mutualgate.later import members

if TYPE_CHECKING:
    from mutualgate.enrolment.invitations import Invitations, Invited, Outcome, Progress
    from mutualgate.enrolment.opening import Opened
    from mutualgate.enrolment.partner_invitations import PartnerInvitations
    from mutualgate.enrolment.renewals import Renewals
    from mutualgate.enrolment.service import Enrolment, MadeP12
    from mutualgate.enrolment.signing import Signed
    from mutualgate.enrolment.tries import WrongTries

__all__ = [
    "Enrolment",
    "Invitations",
    "Invited",
    "MadeP12",
    "Opened",
    "Outcome",
    "PartnerInvitations",
    "Progress",
    "Renewals",
    "Signed",
    "WrongTries",
]

if not TYPE_CHECKING:
    __getattr__ = members(
        __name__,
        {
            "invitations": (
                "Invitations",
                "Invited",
                "Outcome",
                "Progress",
            ),
            "opening": ("Opened",),
            "partner_invitations": ("PartnerInvitations",),
            "renewals": ("Renewals",),
            "service": (
                "Enrolment",
                "MadeP12",
            ),
            "signing": ("Signed",),
            "tries": ("WrongTries",),
        },
    )
