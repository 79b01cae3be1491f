"""The portal's addresses, below the path that its route has in mutualgate.toml (`/join`, if nothing else is said)."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Router

from mutualgate.clock import Clock, system_clock
from mutualgate.config import PORTAL
from mutualgate.errors import NotFound
from mutualgate.portal import (
    answers,
    apple,
    arriving,
    assets,
    csr,
    explaining,
    helping,
    joining,
    linux,
    me,
    operator,
    own,
    partner,
    proving,
    renewal,
    scep,
    windows,
)
from mutualgate.portal.asked import Asked
from mutualgate.portal.desk import Desk

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from mutualgate.app import Services

MOUNT: Final = "/join"


class SecretConvertor(Convertor[str]):
    """A token (32 bytes in base64url) or a short code (12 characters in groups of 4): no other page has such a name."""

    regex = "[A-Za-z0-9_-]{43}|[A-Za-z0-9]{4}-[A-Za-z0-9]{4}-[A-Za-z0-9]{4}"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("secret", SecretConvertor())


def application(
    services: "Services", clock: Clock = system_clock, mounts: Callable[[], Sequence[str]] | None = None
) -> "ASGIApp":
    """The portal, as an ASGI application. It believes every header field that says who somebody is: serve it only where
    nobody but the gate can connect (`mutualgate.serving.unix_socket`).

    `mounts` says below which paths it is served; without it, those of the routes in the configuration in force.
    """
    desk = Desk(services, clock)
    where = mounts or (lambda: configured(services))
    router = Router(routes=routes(desk), redirect_slashes=False, default=_nothing(desk))

    async def portal(scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        mount = max((m for m in where() if path == m or path.startswith(f"{m}/")), key=len, default=None)
        if mount is None:
            await Response("There is no portal at this path.\n", 404, media_type="text/plain")(scope, receive, send)
        elif path == mount and mount:
            await Response("", 308, {"Location": f"{mount}/", "Cache-Control": "no-store"})(scope, receive, send)
        else:
            await router({**scope, "root_path": mount}, receive, send)

    return portal


def configured(services: "Services") -> list[str]:
    """The paths of the routes that lead here, without a slash at the end."""
    routes = [route for site in services.config.sites for route in site.routes if route.upstream == PORTAL]
    return sorted({route.path.rstrip("/") for route in routes}) or [MOUNT]


def routes(desk: Desk) -> list[BaseRoute]:
    """All addresses."""
    return [
        desk.route("/static/{version}/{name}", get=static),
        *explaining.routes(desk),
        *helping.routes(desk),
        *me.routes(desk),
        *joining.routes(desk),
        *csr.routes(desk),
        *own.routes(desk),
        *arriving.routes(desk),
        *linux.routes(desk),
        *windows.routes(desk),
        *apple.routes(desk),
        *scep.routes(desk),
        *renewal.routes(desk),
        *operator.routes(desk),
        *partner.routes(desk),
        *proving.routes(desk),
    ]


async def static(asked: Asked) -> Response:
    """A static file. An old page may ask for an older version: it gets none, rather than one that does not fit."""
    name, version = asked.request.path_params["name"], asked.request.path_params["version"]
    found = assets.assets().get(name) if version == assets.version() else None
    if found is None:
        raise NotFound(f"there is no file {name}")
    content, content_type = found
    return answers.send(asked, content, content_type, 200, {"Cache-Control": "public, max-age=31536000, immutable"})


def _nothing(desk: Desk) -> "ASGIApp":
    async def view(asked: Asked) -> Response:
        raise NotFound("there is no such page")

    async def endpoint(scope: "Scope", receive: "Receive", send: "Send") -> None:
        request = Request(scope, receive)
        await (await desk.answer(request, {request.method: view}))(scope, receive, send)

    return endpoint
