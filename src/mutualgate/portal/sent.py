"""A form that is sent twice does once what it does: by a reload, a second click, or when an answer got lost.

Each form of operators and partners has a key of its own, made with its page, as has that of who replaces a certificate.
What came of it is remembered by the place that shows it, in memory and never with a secret: who sends the form again is
led there. A key that another process made is told apart, since what came of it is not known here.
"""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from markupsafe import Markup
from starlette.responses import Response

from mutualgate.errors import Conflict
from mutualgate.portal import answers
from mutualgate.portal.asked import Asked
from mutualgate.portal.guard import SAFE

FIELD: Final = "form_key"
FORMS: Final = ("application/x-www-form-urlencoded", "multipart/form-data")
KEPT: Final = 10_000
"""Forms whose outcome is remembered, the newest: about 3 MB."""

_PROCESS: Final = secrets.token_urlsafe(9)

_Key = tuple[int | None, str, str]
"""Who sent it, where to, and the key."""


def form_key() -> Markup:
    """The field with a new key, for a form."""
    return Markup('<input type="hidden" name="{}" value="{}.{}">').format(FIELD, _PROCESS, secrets.token_urlsafe(16))


async def key_of(asked: Asked) -> str:
    """The key of the form that was sent; empty where none was, as by a program."""
    return (await asked.form()).text(FIELD, 64) if asked.content_type in FORMS else ""


async def check_known(asked: Asked, fix: str = "Look in the list; send it again if it is not there") -> None:
    """Raises Conflict for a form of which it is not known here whether it was sent before. For what makes a link: the
    second would end or double the first. All else does no harm when it is done twice."""
    key = await key_of(asked)
    if key and key.partition(".")[0] != _PROCESS:
        raise Conflict(
            "this page was opened before the gate was started anew, so it is not known whether it was sent already",
            fix=fix,
            code="form_too_old",
        )


class Sent:
    """Forms that are being answered, and what came of those that were."""

    def __init__(self) -> None:
        self._at_work: dict[_Key, asyncio.Task[Response]] = {}
        self._came: OrderedDict[_Key, str] = OrderedDict()

    async def once(self, asked: Asked, view: Callable[[Asked], Awaitable[Response]]) -> Response:
        """What `view` answers to this form; or, where it did what the form asks for, on to what came of it."""
        text = "" if asked.method in SAFE else await key_of(asked)
        if not text:
            return await view(asked)
        key = (asked.visitor.client_id, asked.request.url.path, text)
        if place := self._came.get(key):
            return answers.see_other_place(asked, place)
        task = self._at_work.get(key)
        if task is None:
            task = self._at_work[key] = asyncio.ensure_future(self._do(key, asked, view))
        # A second click gives up the request of the first: what that one began goes on, and answers both.
        return await asyncio.shield(task)

    async def _do(self, key: _Key, asked: Asked, view: Callable[[Asked], Awaitable[Response]]) -> Response:
        try:
            answer = await view(asked)
            place = asked.made or (answer.headers.get("location", "") if answer.status_code == 303 else "")
            if place:
                self._came[key] = place
                while len(self._came) > KEPT:
                    self._came.popitem(last=False)
            return answer
        finally:
            del self._at_work[key]
