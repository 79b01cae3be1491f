"""The operator's pages about a client's own certificates: to look at one before it is accepted, to retire, to renew."""

from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.responses import Response
from starlette.routing import BaseRoute

from mutualgate.errors import BadInput
from mutualgate.model import PinKind
from mutualgate.portal import answers
from mutualgate.portal.asked import Asked
from mutualgate.portal.guard import Form
from mutualgate.portal.operator import At, acting, number_of, part, said_yes, shown, sure

if TYPE_CHECKING:
    from mutualgate.app import Services

KINDS: Final = {
    PinKind.CERTIFICATE: "this certificate alone",
    PinKind.KEY: "its key: renewed certificates with the same key, too",
}


def routes(at: At) -> list[BaseRoute]:
    """The addresses."""
    return [
        at("/clients/{name}/accept", get=form, post=accept),
        at("/pins/{id}/retire", get=ask, post=retire),
        at("/pins/{id}/renew", post=renew),
    ]


async def form(asked: Asked) -> Response:
    """Asks for the certificate."""
    name = part(asked, "name")
    return await shown(
        asked, "operator/accept.html.j2", lambda services: {"client": services.clients.get(name), "what": None}
    )


async def accept(asked: Asked) -> Response:
    """Shows what a file is; once that was seen and the box ticked, pins it."""
    name, given = part(asked, "name"), await asked.form()
    data = given_file(given)
    if given.text("sure", 8) == "yes":
        kind = kind_of(given.text("kind", 16))
        await asked.call(acting(asked).pins.add, name, data, "the certificate", kind=kind)
        return answers.see_other(asked, "operator", "clients", name)

    def read(services: "Services") -> dict[str, Any]:
        from mutualgate.reading.explain import explain

        client = services.clients.get(name)
        what = explain(bytearray(data), "the file", now=services.clock())
        return {"client": client, "what": what, "pem": pem_of(what.der), "kinds": KINDS}

    return await shown(asked, "operator/accept.html.j2", read)


async def ask(asked: Asked) -> Response:
    """What retiring a pin does."""
    id = number_of(asked, "id")

    def read(services: "Services") -> dict[str, Any]:
        pin = services.pins.get(id)
        with services.store.reading() as tx:
            client = tx.clients.get(pin.client)
        name = "" if client is None else str(client.name)
        return {
            "heading": f"Retire the pin {id} of {name}?",
            "says": "It is refused from now on, and its holder reads why. A retired pin can be renewed.",
            "button": "Retire",
            "back": ("clients", name),
            "what": f"{pin.subject or 'a key'}, until {answers.day(pin.not_after)}",
        }

    return await sure(asked, "clients", read)


async def retire(asked: Asked) -> Response:
    """Ends it now."""
    await said_yes(asked)
    return await _done(asked, "retire")


async def renew(asked: Asked) -> Response:
    """Gives it a new end."""
    return await _done(asked, "renew")


async def _done(asked: Asked, step: str) -> Response:
    services, id = acting(asked), number_of(asked, "id")

    def do() -> str:
        pin = services.pins.retire(id) if step == "retire" else services.pins.renew(id)
        with services.store.reading() as tx:
            client = tx.clients.get(pin.client)
        return "" if client is None else str(client.name)

    return answers.see_other(asked, "operator", "clients", await asked.call(do))


def given_file(given: Form) -> bytes:
    """The file of a form, or what was pasted. Raises BadInput where there is neither."""
    data = given.file("file") or given.text("text", 65_536).encode()
    if not data:
        raise BadInput("nothing was chosen or pasted", expected="a file, or its text")
    return data


def pem_of(der: bytes) -> str:
    """A certificate to hand on in a form."""
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode()


def kind_of(text: str) -> PinKind:
    """What of a certificate is to count. Raises BadInput."""
    try:
        return PinKind(text or "certificate")
    except ValueError:
        raise BadInput("there is no such kind of pin", expected=" or ".join(PinKind)) from None
