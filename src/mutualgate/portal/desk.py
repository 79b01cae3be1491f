"""A view in, an endpoint out: every request passes the guard, and every error becomes an answer, in one place."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mutualgate.app import control
from mutualgate.clock import Clock
from mutualgate.errors import MutualgateError, Unavailable
from mutualgate.fields import preferred
from mutualgate.model.legible import legible
from mutualgate.portal import answers, guard, remembered
from mutualgate.portal.asked import Asked
from mutualgate.portal.problems import FOR_VISITORS, problem_of
from mutualgate.portal.remembered import Remembered
from mutualgate.portal.sent import Sent
from mutualgate.portal.trying import Trials
from mutualgate.portal.turns import Turns
from mutualgate.portal.visitor import Visitor
from mutualgate.reading.files import UNREADABLE

if TYPE_CHECKING:
    from mutualgate.app import Services

log = logging.getLogger(__name__)

_PATIENCE_SECONDS = 5.0

View = Callable[[Asked], Awaitable[Response]]


class Desk:
    """What views share: the services, the clock, and how a view is put at an address."""

    def __init__(self, services: "Services", clock: Clock) -> None:
        self.services = services
        self.clock = clock
        self._key: bytes | None = None
        self.turns = Turns()
        self.trials = Trials()
        self.sent = Sent()

    def route(self, path: str, **views: View) -> Route:
        """The address `path` with a view for each method: `desk.route("/me", get=show, post=renew)`.

        A view returns a response or raises a MutualgateError, which is answered as `problems` says. HEAD is GET.
        """
        methods = {name.upper(): view for name, view in views.items()}

        async def endpoint(request: Request) -> Response:
            return await self.answer(request, methods)

        # All methods: what is not there gets an answer of ours, with the fields of ours.
        route = Route(path, endpoint)
        route.methods = set()
        return route

    async def answer(self, request: Request, views: dict[str, View]) -> Response:
        """What `views` answer to `request`, or what is said of its error."""
        kind = preferred(request.headers.get("accept", "")[:4096])
        asked = None
        try:
            asked = Asked(self, request)
            view = views.get("GET" if request.method == "HEAD" else request.method)
            if view is None:
                allow = ", ".join([*views, *(["HEAD"] if "GET" in views else [])])
                return answers.problem(asked, FOR_VISITORS["bad_method"], kind, {"Allow": allow})
            guard.check(request.method, asked.fields, asked.origin)
            answer = await view(asked)
            if request.method not in guard.SAFE and answer.status_code < 400:
                await self.turns.tell(self._put_in_force)
            return answer
        except MutualgateError as error:
            what = problem_of(error)
            if what.status >= 500:
                log.error("%s: %s", type(error).__name__, error)
            return answers.problem(asked, what, kind)
        except Exception:
            log.exception("a page of the portal could not be made")
            return answers.problem(asked, FOR_VISITORS["defect"], kind)

    async def remembered(self, asked: Asked) -> Remembered | None:
        """Who this browser was the last time that it was in, if it still has our cookie."""
        cookies = asked.fields.get("cookie", "")
        if remembered.COOKIE not in cookies:
            return None
        return remembered.read(await self._cookie_key(asked), cookies)

    async def remember(self, asked: Asked) -> dict[str, str]:
        """The header fields by which a browser that is in will be known again."""
        visitor = asked.visitor
        if not visitor.admitted or visitor.client_id is None or visitor.shown is None or asked.kind == "text":
            return {}
        try:
            not_after = legible(visitor.shown).says.not_valid_after_utc
        except UNREADABLE:
            return {}
        who = Remembered(visitor.client_id, not_after, sha256(visitor.shown).hexdigest()[:16])
        return {"Set-Cookie": remembered.write(await self._cookie_key(asked), who, asked.to())}

    async def _cookie_key(self, asked: Asked) -> bytes:
        if self._key is not None:
            return self._key
        key = await asked.look(remembered.kept_key, self.services.store)
        if key is None:
            key = await asked.change(remembered.make_key, self.services.store)
        self._key = key
        return key

    def _put_in_force(self) -> None:
        """Has the gate judge by what was changed before the answer goes out: the visitor's next request may need it."""
        try:
            control.ask(self.services.folder, "sync", _PATIENCE_SECONDS)
        except Unavailable as error:
            # The store has the change, and the gate looks there by itself.
            log.warning("what was done on a page is not in force yet: %s", error)

    def operator_roles(self) -> Sequence[str]:
        """Roles whose clients are operators: `[portal] operators`."""
        return self.services.config.portal.operators

    def is_operator(self, visitor: Visitor) -> bool:
        """Whether the operator's pages are for this visitor."""
        return visitor.admitted and bool(set(visitor.roles) & set(self.operator_roles()))
