"""A SCEP server (RFC 8894), as small as devices need: their keys are born in them, and an invitation signs once.

The challenge password in a request is the invitation's token, with its second code behind a dot if it has one. So it
works once, for one client, and for as long as the invitation does.
"""

import base64
import binascii
from collections import OrderedDict
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.responses import Response
from starlette.routing import Route

from mutualgate.authorities.exchange import Recipient
from mutualgate.errors import BadInput, Conflict, MutualgateError, Unavailable
from mutualgate.model.invitation import Way
from mutualgate.portal import answers, scep_messages
from mutualgate.portal.asked import Asked
from mutualgate.portal.desk import Desk
from mutualgate.portal.scep_messages import Fail, Kind, Message, Refused, read_message

CAPABILITIES: Final = "AES\nPOSTPKIOperation\nSCEPStandard\nSHA-256\nSHA-512\n"
MOST_PENDING: Final = 1000
"""Transactions that wait for an operator and are remembered, for devices that ask again without their challenge."""

MESSAGE_TYPE: Final = "application/x-pki-message"


def routes(desk: Desk) -> list[Route]:
    """The one address, and the one that old clients add to it by themselves."""
    pending: OrderedDict[tuple[str, bytes], str] = OrderedDict()

    async def get(asked: Asked) -> Response:
        query = asked.request.query_params
        operation = query.get("operation", "")
        if operation == "GetCACaps":
            return answers.send(asked, CAPABILITIES, "text/plain; charset=utf-8", 200, None)
        if operation == "GetCACert":
            recipient = await asked.change(desk.services.authorities.recipient)
            both = scep_messages.certificates_only([recipient.certificate, *recipient.above])
            return answers.send(asked, both, "application/x-x509-ca-ra-cert", 200, None)
        if operation == "PKIOperation":
            try:
                # base64, URL-encoded or not: a plus sign that was not has become a space (RFC 8894 4.1)
                message = base64.b64decode(query.get("message", "").replace(" ", "+"), validate=True)
            except (binascii.Error, ValueError) as error:
                raise BadInput("the message is not base64", expected="RFC 8894 4.1") from error
            return await _operation(asked, message, pending)
        raise BadInput("there is no such operation", expected="GetCACaps, GetCACert or PKIOperation")

    async def post(asked: Asked) -> Response:
        if asked.request.query_params.get("operation") != "PKIOperation":
            raise BadInput("there is no such operation", expected="PKIOperation")
        return await _operation(asked, await asked.body(scep_messages.MAX_MESSAGE_BYTES), pending)

    return [desk.route(path, get=get, post=post) for path in ("/scep", "/scep/pkiclient.exe")]


async def _operation(asked: Asked, data: bytes, pending: OrderedDict[tuple[str, bytes], str]) -> Response:
    recipient = await asked.change(asked.desk.services.authorities.recipient)
    answer = await asked.change(_answered, asked, data, recipient, pending)
    return answers.send(asked, answer, MESSAGE_TYPE, 200, None)


def _answered(asked: Asked, data: bytes, recipient: Recipient, pending: OrderedDict[tuple[str, bytes], str]) -> bytes:
    own, key = recipient.certificate, recipient.key
    try:
        message = read_message(data, own, key)
    except scep_messages.Unreadable as error:
        raise BadInput(error.problem, expected=error.expected, code=error.code) from error
    except Refused as refused:
        return scep_messages.failure(refused.reply, refused.fail, own, key)
    reply = message.reply
    # A poll names its transaction alone: whoever polls has to hold the key that asked.
    about = (reply.transaction, _key_of(reply.signer))
    challenge = message.challenge if message.kind is Kind.REQUEST else pending.get(about, "")
    try:
        issued = _issued(asked, message, challenge)
    except Unavailable:
        raise
    except MutualgateError:
        pending.pop(about, None)
        return scep_messages.failure(reply, Fail.BAD_REQUEST, own, key)
    if issued is None:
        pending[about] = challenge
        while len(pending) > MOST_PENDING:
            pending.popitem(last=False)
        return scep_messages.pending(reply, own, key)
    if _key_of(issued) != _key_of(reply.signer):
        return scep_messages.failure(reply, Fail.BAD_REQUEST, own, key)  # somebody else used the invitation
    pending.pop(about, None)
    return scep_messages.success(reply, issued, own, key)


def _issued(asked: Asked, message: Message, challenge: str) -> x509.Certificate | None:
    """The certificate; None while an operator has to approve it. Raises as `sign` does."""
    use = asked.desk.services.invitation_use
    secret, _, factor = challenge.partition(".")
    peer = asked.visitor.peer
    if message.kind is Kind.REQUEST:
        try:
            outcome = use.sign(secret, message.csr, way=Way.APPLE, peer=peer, factor=factor or None)
        except Conflict as error:
            if error.code not in ("invitation_used", "invitation_waiting"):
                raise
            outcome = use.collect(secret, peer=peer)  # the device asks again: the answer got lost
    else:
        outcome = use.collect(secret, peer=peer)
    if outcome.waiting:
        return None
    if outcome.signed is None:
        raise BadInput("nothing was signed")
    return outcome.signed.certificate


def _key_of(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
