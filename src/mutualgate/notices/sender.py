"""Takes what is due out of the outbox and sends it, one letter after the other.

A try is noted before it begins and its end after the other side has answered: a letter that was taken is sent again
only if the process died in between, and then with the same Message-ID or notice id.
"""

import logging
from datetime import datetime, timedelta
from threading import Event

from mutualgate.config import MailConfig, NoticesConfig
from mutualgate.model.letter import Letter, LetterKind
from mutualgate.notices import webhook
from mutualgate.notices.failure import Failure
from mutualgate.notices.mail import MailRoom
from mutualgate.store import Store

log = logging.getLogger("mutualgate")

FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)
GIVE_UP_AFTER = timedelta(days=2)
"""Mail servers try for two to five days (RFC 5321 4.5.4.1); an invitation is of no use after its week."""
WIPE_AFTER = timedelta(days=7)
FORGET_AFTER = timedelta(days=800)
"""Longer than two years of notices about one certificate: `once` must hold for as long."""
_PRUNE_EVERY = timedelta(hours=1)


class Sender:
    """What sends, in one process at a time: the one that has claimed the folder."""

    def __init__(self, store: Store, mail: MailConfig, notices: NoticesConfig) -> None:
        self._store = store
        self._mail = mail
        self._notices = notices
        self._rests: dict[LetterKind, tuple[datetime, int]] = {}
        self._pruned: datetime | None = None
        self._said: dict[LetterKind, str] = {}
        self._stopped = Event()

    def stop(self) -> None:
        """`step` ends after the letter that is under way."""
        self._stopped.set()

    def step(self) -> int:
        """Sends all that is due now and returns how many letters were taken. Raises what the store raises."""
        sent = 0
        room = MailRoom(self._mail)
        try:
            while not self._stopped.is_set():
                letter = self._take()
                if letter is None:
                    break
                sent += self._send(letter, room)
        finally:
            room.close()
        self._prune()
        return sent

    def _take(self) -> Letter | None:
        now = self._store.clock()
        resting = [kind for kind, (until, _) in self._rests.items() if now < until <= now + LONGEST_PAUSE]
        with self._store.reading() as tx:
            if tx.outbox.due(now, LONGEST_PAUSE, resting) is None:
                return None
        with self._store.transaction() as tx:
            letter = tx.outbox.due(now, LONGEST_PAUSE, resting)
            if letter is not None:
                tx.outbox.try_(letter.id, now + pause(letter.tries))
            return letter

    def _send(self, letter: Letter, room: MailRoom) -> bool:
        now = self._store.clock()
        try:
            if letter.kind is LetterKind.MAIL:
                room.send(letter, now)
            else:
                webhook.call(self._notices, letter, now)
        except Failure as failure:
            self._failed(letter, failure)
            return False
        with self._store.transaction() as tx:
            tx.outbox.sent(letter.id, self._store.clock())
        self._rests.pop(letter.kind, None)
        if self._said.pop(letter.kind, None):
            log.info("sending by %s works again", letter.kind)
        return True

    def _failed(self, letter: Letter, failure: Failure) -> None:
        now = self._store.clock()
        over = failure.final or now >= letter.created + GIVE_UP_AFTER
        with self._store.transaction() as tx:
            tx.outbox.failed(letter.id, str(failure), None if over else now + pause(letter.tries))
        if over:
            log.error("letter %d (%s) was given up: %s", letter.id, letter.kind, failure)
        if failure.everybody:
            # The others of its kind would fail alike: they wait, instead of being tried one by one.
            times = self._rests.get(letter.kind, (now, 0))[1]
            self._rests[letter.kind] = (now + pause(times), times + 1)
            if self._said.get(letter.kind) != str(failure):
                log.warning("letters wait, and are sent later: %s", failure)
            self._said[letter.kind] = str(failure)

    def _prune(self) -> None:
        now = self._store.clock()
        if self._pruned is None or now - self._pruned >= _PRUNE_EVERY:
            with self._store.transaction() as tx:
                tx.outbox.prune(now - FORGET_AFTER, now - WIPE_AFTER)
            self._pruned = now


def pause(tries: int) -> timedelta:
    """From a try to the next, when `tries` were made before it: twice as long each time, up to an hour."""
    return min(FIRST_PAUSE * (1 << min(tries, 20)), LONGEST_PAUSE)
