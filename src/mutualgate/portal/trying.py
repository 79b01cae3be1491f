"""What a change of trust would do, on the page that asks before it is made. `services.trust` finds it out.

What was seen is judged anew with all signatures, so it takes as long as there is much of it: at most MOST_TRIED of it
is looked at, and one such page is made at a time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mutualgate.errors import BadInput
from mutualgate.portal.asked import Asked
from mutualgate.portal.guard import Form

if TYPE_CHECKING:
    from mutualgate.app import Services
    from mutualgate.app.trust import Affected, Tried

Change = Callable[["Services"], object]
"""A change, as it is made by services that keep it or that do not."""

MOST_TRIED: Final = 10_000
"""Certificates, those that came last: a command looks at all of them."""
ROWS: Final = 50
"""Certificates on one page."""
NAMES: Final = 20
"""Clients that are named in a sentence; the table below it has all."""


@dataclass(frozen=True)
class Preview:
    """What a change would do, and which part of the certificates is shown: `rows`, the first of them being number
    `first`. `page` counts from 1."""

    tried: "Tried"
    page: int
    oneself: bool
    """Whether who asks would be locked out by it."""

    @property
    def first(self) -> int:
        return (self.page - 1) * ROWS + 1

    @property
    def rows(self) -> "tuple[Affected, ...]":
        return self.tried.affected[self.first - 1 : self.first - 1 + ROWS]

    @property
    def pages(self) -> int:
        return max(1, -(-len(self.tried.affected) // ROWS))


async def preview(asked: Asked, services: "Services", change: Change, form: Form | None = None) -> Preview:
    """What `change` would do. Which page of it, the address says, or the form. Raises what the change raises."""
    text = asked.request.query_params.get("page", "") if form is None else form.text("page", 8)
    if text and not (text.isascii() and text.isdecimal() and len(text) <= 8):
        raise BadInput("the page has no number")
    async with asked.desk.trying:
        tried = await asked.call(services.trust.try_, change, most=MOST_TRIED)
    found = Preview(tried, 1, asked.visitor.client in tried.locked_out)
    return Preview(tried, min(max(1, int(text or "1")), found.pages), found.oneself)
