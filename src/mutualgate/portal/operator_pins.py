"""The operator's pages about a client's own certificates: to look at one before it is accepted, to retire, to renew."""

from ssl import DER_cert_to_PEM_cert
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from mutualgate.errors import BadInput
from mutualgate.model.pin import Pin, PinKind
from mutualgate.portal import answers
from mutualgate.portal.asked import Asked
from mutualgate.portal.guard import Form
from mutualgate.portal.operator import At, Step, acting, is_sure, number_of, part, said_yes, shown, step_of, steps, sure
from mutualgate.portal.trying import preview

if TYPE_CHECKING:
    from mutualgate.app import Services

KINDS: Final = {
    PinKind.CERTIFICATE: "this certificate alone",
    PinKind.KEY: "its key: renewed certificates with the same key, too",
}


STEPS: Final = steps(
    Step(
        "retire",
        "Retire the pin {} of {}?",
        "Retire",
        "It is refused from now on, and its holder reads why. A retired pin can be renewed.",
    ),
    Step(
        "renew",
        "Renew the pin {} of {}?",
        "Renew",
        "It counts for another 398 days, or until the certificate ends; a retired one comes in again.",
    ),
)


def routes(at: At) -> list[BaseRoute]:
    """The addresses."""
    return [
        at("/clients/{name}/accept", get=form, post=accept),
        at("/pins/{id}/{step}", get=ask, post=do),
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
    data, kind = given_file(given), kind_of(given.text("kind", 16))
    if is_sure(given):
        await asked.call(acting(asked).pins.add, name, data, "the certificate", kind=kind)
        return answers.see_other(asked, "operator", "clients", name)

    def read(services: "Services") -> dict[str, Any]:
        from mutualgate.reading.explain import explain

        client = services.clients.get(name)
        what = explain(bytearray(data), "the file", now=services.clock())
        return {"client": client, "what": what, "pem": pem_of(what.der), "kinds": KINDS, "kind": kind}

    values = await asked.call(read, acting(asked))
    trial = await preview(asked, acting(asked), lambda tried: tried.pins.add(name, data, "the certificate", kind=kind))
    return await shown(asked, "operator/accept.html.j2", lambda _: {**values, "trial": trial})


async def ask(asked: Asked) -> Response:
    """What retiring a pin does, or giving it a new end."""
    id, step = number_of(asked, "id"), step_of(asked, STEPS)
    pin, name = await asked.call(_pin, asked.desk.services, id)

    def read(services: "Services") -> dict[str, Any]:
        return {
            "heading": step.question.format(id, name),
            "says": step.says,
            "button": step.button,
            "cuts": step.name == "retire",
            "back": ("clients", name),
            "what": f"{pin.subject or 'a key'}, until {answers.day(pin.not_after)}",
        }

    return await sure(asked, "clients", read, lambda tried: getattr(tried.pins, step.name)(id))


async def do(asked: Asked) -> Response:
    """Does it."""
    id, step = number_of(asked, "id"), step_of(asked, STEPS)
    await said_yes(asked)
    services = acting(asked)
    await asked.call(services.pins.retire if step.name == "retire" else services.pins.renew, id)
    _, name = await asked.call(_pin, services, id)
    return answers.see_other(asked, "operator", "clients", name)


def _pin(services: "Services", id: int) -> tuple[Pin, str]:
    """A pin, and whose it is."""
    pin = services.pins.get(id)
    with services.store.reading() as tx:
        client = tx.clients.get(pin.client)
    return pin, "" if client is None else str(client.name)


def given_file(given: Form) -> bytes:
    """The file of a form, or what was pasted. Raises BadInput where there is neither."""
    data = given.file("file") or given.text("text", 65_536).encode()
    if not data:
        raise BadInput("nothing was chosen or pasted", expected="a file, or its text")
    return data


def pem_of(der: bytes) -> str:
    """A certificate to hand on in a form."""
    return DER_cert_to_PEM_cert(der)


def kind_of(text: str) -> PinKind:
    """What of a certificate is to count. Raises BadInput."""
    try:
        return PinKind(text or "certificate")
    except ValueError:
        raise BadInput("there is no such kind of pin", expected=" or ".join(PinKind)) from None
