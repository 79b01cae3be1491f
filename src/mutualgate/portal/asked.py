"""One request, as a view sees it."""

import functools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Literal, ParamSpec, TypeVar
from urllib.parse import quote

from starlette.requests import ClientDisconnect, Request

from mutualgate.authorities.keyring import Locked
from mutualgate.errors import BadInput, Unavailable
from mutualgate.fields import by_name, preferred
from mutualgate.portal import guard
from mutualgate.portal.guard import Form
from mutualgate.portal.visitor import Visitor, visitor
from mutualgate.reading.bounded import MAX_FILE_BYTES

if TYPE_CHECKING:
    from mutualgate.portal.desk import Desk

CSR_TYPE: Final = "application/pkcs10"
CSR_TYPES: Final = (CSR_TYPE, "application/x-pem-file", "application/octet-stream")
"""As browsers and curl call a file, too."""

P = ParamSpec("P")
T = TypeVar("T")

HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z.-]{1,253})(?::[0-9]{1,5})?")


# The gate refuses a path that two servers may read in two ways, as with %25 and %3B in it; names may have both.
_AMBIGUOUS = re.compile("[%;~]")
_ESCAPE = re.compile("~(25|3B|7E)")


def _escaped(found: re.Match[str]) -> str:
    return f"~{ord(found[0]):02X}"


class Asked:
    """A request: who asks, what for, how they want it. What it hands out was checked, or is bounded when read."""

    def __init__(self, desk: "Desk", request: Request) -> None:
        """Raises Unavailable for a request that came past the gate, BadInput for one without a host."""
        self.desk = desk
        self.request = request
        self.fields = by_name(request.headers.items())
        self.kind: Literal["html", "json", "text"] = preferred(self.fields.get("accept", ""))  # type: ignore[assignment]  # one of these
        self.mount: str = request.scope.get("root_path", "")
        host = self.fields.get("host", "")
        if not (found := HOST.fullmatch(host)):
            raise BadInput("the request names no host", expected="a Host field", code="bad_host")
        self.host = host
        self.host_name = found["name"]
        """Without the port; an IPv6 address is in its brackets."""
        self.origin = f"{'http' if self.fields.get('x-forwarded-proto') == 'http' else 'https'}://{host}"
        self.visitor: Visitor = visitor(self.fields)
        self.made = ""
        """Where it is shown what a form made, when the answer itself cannot be given twice."""
        self._form: Form | None = None

    @property
    def base(self) -> str:
        """Where the portal is, as others reach it: `https://gate.example:8443/join`."""
        return self.origin + self.mount

    @property
    def method(self) -> str:
        return self.request.method

    @property
    def secret(self) -> str:
        """The token or short code in the address."""
        return str(self.request.path_params.get("secret", ""))

    @property
    def user_agent(self) -> str:
        return self.fields.get("user-agent", "")[:512]

    def to(self, *parts: str) -> str:
        """A path of the portal: `to("me")` is `/join/me`, `to()` is `/join/`."""
        return f"{self.mount}/" + "/".join(quote(_AMBIGUOUS.sub(_escaped, part), safe="") for part in parts)

    def part(self, name: str) -> str:
        """A part of this request's path, as it was given to `to`."""
        return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), str(self.request.path_params[name]))

    def asset(self, name: str) -> str:
        """The path of a static file."""
        from mutualgate.portal.assets import assets, version

        if name not in assets():
            raise KeyError(name)
        return self.to("static", version(), name)

    def integrity(self, name: str) -> str:
        """What a browser checks a static file against (Subresource Integrity)."""
        from mutualgate.portal.assets import integrity

        return integrity(name)

    @property
    def content_type(self) -> str:
        """What was sent, as the request says."""
        return guard.content_type(self.fields)

    async def csr(self, *types: str) -> bytes:
        """The request for a certificate that was sent as one of `types`, which no form of another site can be.

        Raises BadInput (`bad_type`), TooLarge.
        """
        if self.content_type not in types:
            raise BadInput("what was sent has the wrong type", expected=f"Content-Type: {types[0]}", code="bad_type")
        return await self.body(MAX_FILE_BYTES)

    async def body(self, limit: int = guard.MAX_FORM_BYTES) -> bytes:
        """What was sent. Raises TooLarge, and BadInput (`cut_off`) where its sender went before the end."""
        try:
            return await guard.read(self.request.stream(), self.fields, limit)
        except ClientDisconnect:
            raise BadInput("the request ended in the middle", expected="all of it", code="cut_off") from None

    async def form(self, limit: int = guard.MAX_FORM_BYTES) -> Form:
        """The form that was sent; an empty one for a request without a body. Raises BadInput."""
        if self._form is None:
            body = await self.body(limit)
            kind = self.fields.get("content-type")
            self._form = Form({}, {}) if not body and kind is None else guard.parse_form(body, kind or "")
        return self._form

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls a service in a thread: it waits for the disk, and others' requests do not wait for it.

        A request that is to change something waits for its turn. Raises Unavailable as `Turns.write` does.
        """
        called = self.look if self.method in guard.SAFE else self.change
        return await called(function, *args, **kwargs)

    async def look(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls what only reads, whatever the request. Raises Unavailable as `change` does."""
        with self._locked():
            return await self.desk.turns.read(functools.partial(function, *args, **kwargs))

    async def change(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls what may write, whatever the request. Raises Unavailable where the store's keys cannot be opened."""
        with self._locked():
            return await self.desk.turns.write(functools.partial(function, *args, **kwargs))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Why the store's keys cannot be opened is said to operators; a visitor could do nothing about it."""
        try:
            yield
        except Locked as error:
            if self.desk.is_operator(self.visitor):
                raise
            raise Unavailable(str(error)) from error
