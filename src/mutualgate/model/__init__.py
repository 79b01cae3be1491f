"""The values that services pass around: frozen, checked where they are made, no I/O."""

from typing import TYPE_CHECKING

from mutualgate.later import members

if TYPE_CHECKING:
    from mutualgate.model.audit import AuditEntry, Facts
    from mutualgate.model.authority import Admits, Authority, AuthorityKind
    from mutualgate.model.change import Change, ChangeKind
    from mutualgate.model.client import Client, ClientState
    from mutualgate.model.credential import Credential, CredentialState, Origin
    from mutualgate.model.crl import StoredCrl
    from mutualgate.model.expiring import Expiring, ExpiryKind
    from mutualgate.model.foreign import (
        ForeignList,
        ForeignRevocation,
        OcspAnswer,
        OcspStatus,
        RevocationSource,
        SourceKind,
        SourceState,
    )
    from mutualgate.model.invitation import Invitation, InvitationState, Way
    from mutualgate.model.key_set import KeySet, KeyState, PublishedKey
    from mutualgate.model.letter import Letter, LetterCount, LetterKind, LetterState
    from mutualgate.model.names import AuthorityName, ClientName, Role
    from mutualgate.model.partner import (
        ADMINISTRATOR,
        Anchor,
        AnchorState,
        Intermediate,
        Member,
        MemberState,
        NameRule,
        Partner,
        PartnerAdmits,
        PartnerName,
        PartnerProfile,
        PartnerState,
        RevocationMode,
        RuleKind,
        SeenCa,
    )
    from mutualgate.model.pin import Pin, PinKind, PinState
    from mutualgate.model.refusal import RefusalRecord
    from mutualgate.model.revocation import Revocation, RevocationReason
    from mutualgate.model.sighting import Sighting

__all__ = [
    "ADMINISTRATOR",
    "Admits",
    "Anchor",
    "AnchorState",
    "AuditEntry",
    "Authority",
    "AuthorityKind",
    "AuthorityName",
    "Change",
    "ChangeKind",
    "Client",
    "ClientName",
    "ClientState",
    "Credential",
    "CredentialState",
    "Expiring",
    "ExpiryKind",
    "Facts",
    "ForeignList",
    "ForeignRevocation",
    "Intermediate",
    "Invitation",
    "InvitationState",
    "KeySet",
    "KeyState",
    "Letter",
    "LetterCount",
    "LetterKind",
    "LetterState",
    "Member",
    "MemberState",
    "NameRule",
    "OcspAnswer",
    "OcspStatus",
    "Origin",
    "Partner",
    "PartnerAdmits",
    "PartnerName",
    "PartnerProfile",
    "PartnerState",
    "Pin",
    "PinKind",
    "PinState",
    "PublishedKey",
    "RefusalRecord",
    "Revocation",
    "RevocationMode",
    "RevocationReason",
    "RevocationSource",
    "Role",
    "RuleKind",
    "SeenCa",
    "Sighting",
    "SourceKind",
    "SourceState",
    "StoredCrl",
    "Way",
]

if not TYPE_CHECKING:  # who checks types knows the names from above, and no other
    __getattr__ = members(
        __name__,
        {
            "audit": ("AuditEntry", "Facts"),
            "authority": ("Admits", "Authority", "AuthorityKind"),
            "change": ("Change", "ChangeKind"),
            "client": ("Client", "ClientState"),
            "credential": ("Credential", "CredentialState", "Origin"),
            "crl": ("StoredCrl",),
            "expiring": ("Expiring", "ExpiryKind"),
            "foreign": (
                "ForeignList",
                "ForeignRevocation",
                "OcspAnswer",
                "OcspStatus",
                "RevocationSource",
                "SourceKind",
                "SourceState",
            ),
            "invitation": ("Invitation", "InvitationState", "Way"),
            "key_set": ("KeySet", "KeyState", "PublishedKey"),
            "letter": ("Letter", "LetterCount", "LetterKind", "LetterState"),
            "names": ("AuthorityName", "ClientName", "Role"),
            "partner": (
                "ADMINISTRATOR",
                "Anchor",
                "AnchorState",
                "Intermediate",
                "Member",
                "MemberState",
                "NameRule",
                "Partner",
                "PartnerAdmits",
                "PartnerName",
                "PartnerProfile",
                "PartnerState",
                "RevocationMode",
                "RuleKind",
                "SeenCa",
            ),
            "pin": ("Pin", "PinKind", "PinState"),
            "refusal": ("RefusalRecord",),
            "revocation": ("Revocation", "RevocationReason"),
            "sighting": ("Sighting",),
        },
    )
