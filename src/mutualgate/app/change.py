"""A change of the store, and the word of the running gate that it is in force."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from mutualgate.app import control
from mutualgate.app.folder import Folder
from mutualgate.app.services import Services, services
from mutualgate.errors import Unavailable
from mutualgate.model.trust import TrustChange

T = TypeVar("T")
_IS_KEPT = "The store has the change; the gate takes it over as soon as it can. See its log."


@dataclass(frozen=True)
class InForce:
    """What the gate said: the epoch that it judges by from now on, or None where no gate runs, or where one did not
    confirm the change: then why.

    `changed` says of a change of trust whether it was one.
    """

    epoch: int | None
    unconfirmed: str | None = None
    changed: bool | None = None

    @property
    def sentence(self) -> str:
        """For people."""
        if self.changed is False:
            return "nothing changes: it was so already"
        if self.unconfirmed is not None:
            return "the running gate has not confirmed it"
        if self.epoch is None:
            return "no gate is running here, the next one starts with it"
        return f"in force on the running gate (epoch {self.epoch})"

    @property
    def facts(self) -> dict[str, Any]:
        """For programs."""
        why = {} if self.unconfirmed is None else {"unconfirmed": self.unconfirmed}
        changed = {} if self.changed is None else {"changed": self.changed}
        return {"in_force": self.epoch is not None, "epoch": self.epoch, **why, **changed}


class Unconfirmed(Unavailable):
    """The store has a change, and the running gate did not say that it is in force. Who `gave_up` did not wait."""

    gave_up = False


_unconfirmed: list[Unconfirmed] = []
_tried: ContextVar[Services | None] = ContextVar("tried", default=None)


@contextmanager
def trying(services: Services) -> Iterator[None]:
    """Within it, `change` does to `services` what it is asked to do, wherever it is asked, and no gate hears of it."""
    token = _tried.set(services)
    try:
        yield
    finally:
        _tried.reset(token)


def change(folder: Folder, do: Callable[[Services], T], *, create: bool = False) -> tuple[T, InForce]:
    """Does something to the store, and returns once the running gate, if there is one, has it in force.

    `create` makes the folder and the store where there is none. Raises what `do` raises. What `do` made is returned
    even where the gate did not confirm it, since some of it can be shown only now; `unconfirmed` has that then.
    """
    tried = _tried.get()
    if tried is not None:
        return do(tried), InForce(None)
    if create:
        folder.create()
    with services(folder, create=create) as all_of_it:
        result = do(all_of_it)
    try:
        answer = control.ask(folder, "sync")
    except Unavailable as error:
        why = Unconfirmed(error.problem, where=error.where, fix=_IS_KEPT)
    except KeyboardInterrupt:
        why = Unconfirmed("the running gate has not confirmed it: you did not wait", fix=_IS_KEPT)
        why.gave_up = True
    else:
        return result, InForce(None if answer is None else int(answer["epoch"]))
    _unconfirmed.append(why)
    return result, InForce(None, str(why))


def change_trust(folder: Folder, do: Callable[[Services], T]) -> tuple[T, InForce]:
    """As `change`, for what may have been asked for already: it says whether a change of trust was kept."""

    def watched(services: Services) -> tuple[T, bool]:
        before = _newest(services)
        result = do(services)
        return result, _newest(services) != before

    (result, changed), force = change(folder, watched)
    return result, replace(force, changed=changed)


def _newest(services: Services) -> list[TrustChange]:
    with services.store.reading() as tx:
        return tx.trust.recent(1)


def unconfirmed() -> list[Unconfirmed]:
    """What `change` has not had confirmed since this was asked last: to be said once the results are shown."""
    found = _unconfirmed.copy()
    _unconfirmed.clear()
    return found
