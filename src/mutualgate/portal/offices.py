"""What operators and a partner's own administrators do alike: look after one partner's CAs and clients.

An `Office` says whose desk it is: the operator's, where any partner is looked after, or a partner's own, where its name
comes from who is signed in and never from the address alone. What only operators may is refused here for the others.
"""

import contextlib
import functools
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from mutualgate.errors import BadInput, Conflict, NotFound
from mutualgate.model.partner import Anchor, AnchorState, MemberState
from mutualgate.partners.bounds import not_among
from mutualgate.partners.rules import parse_name
from mutualgate.partners.under import let_in_under, refused_under
from mutualgate.portal import answers
from mutualgate.portal.asked import Asked
from mutualgate.portal.desk import View
from mutualgate.portal.operator import PAGE_ROWS, At, acting, is_sure, number_of, part, query
from mutualgate.portal.operator_pins import given_file, pem_of
from mutualgate.portal.trying import Change, Preview, preview

if TYPE_CHECKING:
    from mutualgate.app import Services
    from mutualgate.model.client import Client
    from mutualgate.model.sighting import Sighting
    from mutualgate.partners.service import PartnerView
    from mutualgate.partners.terms import Terms

MEMBERS_SHOWN: Final = 20
"""Clients of a partner on its own page; there is a list of all of them."""
TERMS: Final = ("depth", "revocation", "leaf_limit", "environment", "policy", "shared")
"""Fields on which terms an operator takes a CA."""
LATELY: Final = timedelta(days=30)
"""For so long after its end a certificate is listed among those that end."""


@dataclass(frozen=True)
class Office:
    """Where a partner is looked after: its name, the address of its page, whether by an operator."""

    partner: str
    base: tuple[str, ...]
    operator: bool

    @property
    def frame(self) -> str:
        """The template that the pages stand in."""
        return "operator/frame.html.j2" if self.operator else "partner/frame.html.j2"


OfficeOf = Callable[[Asked], Awaitable[Office]]
"""The office that a request means. Raises NotFound for a partner that is not the visitor's to look after."""


OfficeView = Callable[[Asked, Office], Awaitable[Response]]


def routes(at: At, prefix: str, office_of: OfficeOf) -> list[BaseRoute]:
    """The addresses of both, below `prefix`, which names the partner as `{partner}`."""

    view = with_office(office_of)
    return [
        at(prefix, get=view(show)),
        at(f"{prefix}/clients", get=view(members)),
        at(f"{prefix}/clients/{{step}}", post=view(change_member)),
        at(f"{prefix}/cas", get=view(new_ca), post=view(claim)),
        at(f"{prefix}/cas/{{id}}", get=view(ca)),
        at(f"{prefix}/cas/{{id}}/prove", post=view(prove)),
        at(f"{prefix}/cas/{{id}}/retire", get=view(ask_to_retire), post=view(retire)),
    ]


def with_office(office_of: OfficeOf) -> Callable[[OfficeView], View]:
    """Makes a view of one that wants to know whose desk it is."""

    def view(function: OfficeView) -> View:
        async def at_its_desk(asked: Asked) -> Response:
            return await function(asked, await office_of(asked))

        return at_its_desk

    return view


async def show(asked: Asked, office: Office) -> Response:
    """A partner with all that is its own."""

    def read(services: "Services") -> dict[str, Any]:
        view = services.partners.show(office.partner)
        waiting = services.partners.members.list(office.partner, state=MemberState.PENDING, limit=MEMBERS_SHOWN)
        there = [
            one
            for state in (MemberState.ACTIVE, MemberState.SEEN, MemberState.OUTSIDE)
            for one in services.partners.members.list(office.partner, state=state, limit=MEMBERS_SHOWN)
        ][:MEMBERS_SHOWN]
        with services.store.reading() as tx:
            refused = refused_under(tx, view.partner.id, limit=MEMBERS_SHOWN)
            lately = services.clock() - LATELY
            ending = let_in_under(tx, view.partner, lately, limit=MEMBERS_SHOWN)
        lists = {one.anchor.id: one for one in services.revocation.show(office.partner)}
        held = {one.anchor.id for one in services.partners.between.of(office.partner) if one.state == "waits"}
        found = {
            "held": held,
            "pending": waiting,
            "active": there,
            "refused": refused,
            "ending": ending,
            "lists": lists,
            "providers": _providers(ending),
        }
        return {"view": view, "partner": view.partner, **found, **_ways(view)}

    return await shown(asked, office, "partner/partner.html.j2", read)


async def members(asked: Asked, office: Office) -> Response:
    """All of its clients, searched and paged."""
    search, after = query(asked, "search"), query(asked, "after", 512)

    def read(services: "Services") -> dict[str, Any]:
        partner = services.partners.get(office.partner)
        found = services.partners.members.list(office.partner, search=search, after=after, limit=PAGE_ROWS + 1)
        more = found[PAGE_ROWS - 1].member.name if len(found) > PAGE_ROWS else ""
        return {"partner": partner, "members": found[:PAGE_ROWS], "search": search, "after": after, "more": more}

    return await shown(asked, office, "partner/members.html.j2", read)


async def change_member(asked: Asked, office: Office) -> Response:
    """Adds one by its name, lets in one that waits, keeps one out, takes one off the list."""
    step, form = part(asked, "step"), await asked.form()
    name = form.text("name", 512)
    service = acting(asked).partners.members
    may = None if office.operator else functools.partial(_theirs, asked)
    # Never with a client or roles of the form: a partner's administrator would choose whose roles its client has.
    steps: dict[str, Callable[[str, str], object]] = {
        "add": service.add,
        "approve": service.approve,
        "suspend": functools.partial(service.suspend, may=may),
        "remove": functools.partial(service.remove, may=may),
    }
    if office.operator:
        # Whether who was kept out comes in again is not for a partner to say (its operator may have had a reason).
        steps["resume"] = service.resume
    if step not in steps:
        raise NotFound("there is no such page")
    if step in ("add", "approve") and not office.operator:
        await asked.call(_check_name, asked.desk.services, office.partner, name)
    await asked.call(steps[step], office.partner, name)
    return answers.see_other(asked, *office.base, *(("clients",) if form.text("list", 8) else ()))


def _check_name(services: "Services", partner: str, name: str) -> None:
    """Raises Conflict for a name that no rule of the partner's permits: it would call clients of ours as it likes."""
    legal = parse_name(name)
    if not services.partners.permitted(partner, legal):
        raise not_among(legal, partner)


def _theirs(asked: Asked, client: "Client") -> None:
    """Raises Conflict for a client that a partner's administrator may not keep out or take off the list."""
    if client.id == asked.visitor.client_id:
        raise Conflict("you would lock yourself out", fix="Let another administrator do it", code="own_access")
    if set(client.roles) & set(asked.desk.operator_roles()):
        raise Conflict("this client is an operator of the gate", fix="Ask the operator", code="not_theirs")
    if client.suspended:
        # Taken off the list and added anew it would come in again: a suspension ends where it was made (R27).
        raise Conflict("this client is suspended", fix="Ask the operator", code="client_suspended")


async def new_ca(asked: Asked, office: Office) -> Response:
    """Asks for the CA's certificate."""

    def read(services: "Services") -> dict[str, Any]:
        return {
            "partner": services.partners.get(office.partner),
            "sentences": (),
            "pem": "",
            "terms": None,
            "trial": None,
        }

    return await shown(asked, office, "partner/claim.html.j2", read)


async def claim(asked: Asked, office: Office) -> Response:
    """Shows what the file is and what trusting it means; once that was seen, takes the claim down."""
    form = await asked.form()
    data = given_file(form)

    terms = _terms(asked, office, form.values)
    if is_sure(form):
        claim_it = functools.partial(acting(asked).partners.anchors.claim, approval=not office.operator)
        made = await asked.call(claim_it, office.partner, data, "the certificate", terms)
        return answers.see_other(asked, *office.base, "cas", str(made.anchor.id))

    def read(services: "Services") -> dict[str, Any]:
        from mutualgate.reading.explain import explain

        partner = services.partners.get(office.partner)
        sentences = services.partners.anchors.look_at(data, "the file")
        pem = pem_of(explain(bytearray(data), "the file", now=services.clock()).der)
        hidden = {"text": pem, **{name: form.text(name, 64) for name in TERMS}}
        return {"partner": partner, "sentences": sentences, "pem": pem, "terms": True, "hidden": hidden}

    values = await asked.call(read, acting(asked))
    values["trial"] = await _tried(
        asked,
        office,
        lambda tried: tried.partners.anchors.claim(office.partner, data, "the certificate", terms),
    )
    return await shown(asked, office, "partner/claim.html.j2", lambda _: values)


async def ca(asked: Asked, office: Office) -> Response:
    """One CA: where it stands, and what has to be done to prove it."""

    def read(services: "Services") -> dict[str, Any]:
        partner, anchor = _anchor(services, asked, office)
        below = [one for one in services.partners.between.of(office.partner) if one.anchor.id == anchor.id]
        state = anchor.state_at(services.clock())
        return {"partner": partner, "anchor": anchor, "state": state, "below": below}

    values, id = await asked.call(read, acting(asked)), number_of(asked, "id")

    def count(tried: "Services") -> None:
        # While the key is another partner's the claim waits, and does nothing.
        with contextlib.suppress(Conflict):
            tried.partners.anchors.approve(office.partner, id, without_proof=True)

    pending = values["state"] is AnchorState.PENDING
    values["trial"] = await _tried(asked, office, count) if pending else None
    return await shown(asked, office, "partner/ca.html.j2", lambda _: values)


async def prove(asked: Asked, office: Office) -> Response:
    """Takes a certificate under it that says the code."""
    form, services = await asked.form(), acting(asked)
    data, id = given_file(form), number_of(asked, "id")
    # Only an operator's hand-in is an operator's yes as well.
    prove_it = functools.partial(services.partners.anchors.prove, anchor=id, approved=office.operator)
    await asked.call(prove_it, office.partner, data, "the certificate")
    return answers.see_other(asked, *office.base, "cas", str(id))


async def ask_to_retire(asked: Asked, office: Office) -> Response:
    """What retiring a CA does."""

    def read(services: "Services") -> dict[str, Any]:
        partner, anchor = _anchor(services, asked, office)
        return {"partner": partner, "anchor": anchor, "state": anchor.state_at(services.clock())}

    values, id = await asked.call(read, acting(asked)), number_of(asked, "id")
    counts = values["state"] not in (AnchorState.PENDING, AnchorState.RETIRED)
    retire_it: Change = lambda tried: tried.partners.anchors.retire(office.partner, id)  # noqa: E731
    values["trial"] = await _tried(asked, office, retire_it) if counts else None
    return await shown(asked, office, "partner/retire.html.j2", lambda _: values)


async def retire(asked: Asked, office: Office) -> Response:
    """Ends it now, or on a day."""
    from datetime import UTC, datetime

    form = await asked.form()
    if form.text("sure", 8) != "yes":
        raise BadInput("nothing was done: the box was not ticked", expected="the box that says that you are sure")
    text = form.text("on", 10)
    try:
        on = datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None
    except ValueError:
        raise BadInput(f"{text!r} is no day", expected="a day such as 2027-01-31") from None
    id = number_of(asked, "id")
    await asked.call(acting(asked).partners.anchors.retire, office.partner, id, on=on)
    return answers.see_other(asked, *office.base, "cas", str(id))


# For both faces.


async def _tried(asked: Asked, office: Office, change: Change) -> Preview | None:
    """What a change would do, for operators: others' clients are among those whom it may concern."""
    return await preview(asked, acting(asked), change) if office.operator else None


async def shown(
    asked: Asked, office: Office, template: str, read: "Callable[[Services], dict[str, Any]]", *, status: int = 200
) -> Response:
    from mutualgate.portal.operator import TABS, waiting

    def all_of_it(services: "Services") -> dict[str, Any]:
        usual = {"waiting": waiting(services), "tabs": TABS, "here": "partners"} if office.operator else {}
        return {**usual, **read(services)}

    def home(*parts: str) -> str:
        return asked.to(*office.base, *parts)

    values = await asked.call(all_of_it, acting(asked))
    usual: dict[str, Any] = {"office": office, "frame": office.frame, "home": home, "rows": PAGE_ROWS}
    return answers.page(asked, template, status=status, wide=True, **usual, **values)


def _anchor(services: "Services", asked: Asked, office: Office) -> tuple[Any, Anchor]:
    """The CA of the address, if it is this partner's: another's number is as good as none."""
    view = services.partners.show(office.partner)
    id = number_of(asked, "id")
    found = next((one for one in view.anchors if one.id == id), None)
    if found is None:
        raise NotFound("there is no such CA", code="not_found")
    return view.partner, found


def _providers(shown: "Sequence[Sighting]") -> dict[bytes, str]:
    """What certificates say of payment service providers (PSD2), by their fingerprints."""
    from cryptography import x509

    from mutualgate.reading import psd2
    from mutualgate.reading.files import UNREADABLE, odd_serials_allowed

    found = {}
    with odd_serials_allowed():
        for one in shown:
            try:
                provider = psd2.read(x509.load_der_x509_certificate(one.chain[0]))
            except UNREADABLE:
                continue
            if provider is not None:
                found[one.fingerprint] = " ".join([provider.sentence, *(f"Odd: {odd}." for odd in provider.odd)])
    return found


def _ways(view: "PartnerView") -> dict[str, Any]:
    order = {AnchorState.ACTIVE: 0, AnchorState.RETIRING: 1, AnchorState.PENDING: 2, AnchorState.RETIRED: 3}
    return {"anchors": sorted(view.anchors, key=lambda one: (order[one.state], one.id))}


def _terms(asked: Asked, office: Office, values: Any) -> "Terms | None":
    """On which terms: an operator says, a partner does not."""
    from mutualgate.model.partner import RevocationMode
    from mutualgate.partners.terms import Terms

    if not office.operator:
        return None

    def text(name: str) -> str:
        given = values.get(name, ())
        return given[0].strip() if given else ""

    try:
        mode = RevocationMode(text("revocation") or "ignore")
    except ValueError:
        raise BadInput("there is no such way to treat revocation", expected=", ".join(RevocationMode)) from None
    days = text("leaf_limit") or "90"
    if not re.fullmatch(r"[0-9]{1,4}", days):
        raise BadInput("how long a certificate may live is no number of days", expected="a number, such as 90")
    return Terms(
        depth=1 if text("depth") == "1" else 0,
        shared=text("shared") == "yes",
        environment=text("environment"),
        policy=text("policy"),
        revocation=mode,
        leaf_limit=timedelta(days=int(days)),
    )
