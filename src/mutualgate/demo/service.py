"""The demo's addresses: `/hello` says who is asking, `/ticks` is a stream to cut, `/healthz` answers that it lives."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from mutualgate.clock import Clock, system_clock
from mutualgate.fields import by_name, preferred

if TYPE_CHECKING:
    from starlette.applications import Starlette

TICKS: Final = 3600


def application(clock: Clock = system_clock) -> "Starlette":
    """The demo service, as an ASGI application. It believes every header field that says who somebody is: serve it
    only where nobody but the gate can connect (`mutualgate.serving.unix_socket`)."""
    # Imported here: whoever runs another command does not wait for it.
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
    from starlette.routing import Route

    async def root(request: Request) -> Response:
        return RedirectResponse("/hello", status_code=302)

    async def hello(request: Request) -> Response:
        from mutualgate.demo import page
        from mutualgate.demo.handshake import seen

        what = seen(by_name(request.headers.items()), clock())
        body, content_type, policy = page.render(what, preferred(request.headers.get("accept", "")))
        return Response(
            body,
            headers={
                "Content-Type": content_type,
                "Content-Security-Policy": policy,
                "Cache-Control": "no-store",
                "Vary": "Accept",
                "Referrer-Policy": "no-referrer",
                "X-Content-Type-Options": "nosniff",
            },
        )

    async def ticks(request: Request) -> Response:
        """A line a second for an hour: revoke the client and see it end."""

        async def lines() -> AsyncIterator[str]:
            for number in range(1, TICKS + 1):
                yield f"event: tick\ndata: {number} {clock():%H:%M:%S}\n\n"
                await asyncio.sleep(1)

        return StreamingResponse(lines(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    async def healthz(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    return Starlette(
        routes=[
            Route("/", root),
            Route("/hello", hello),
            Route("/ticks", ticks),
            Route("/healthz", healthz),
        ]
    )
