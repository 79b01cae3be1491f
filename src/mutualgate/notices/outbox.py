"""The outbox: who has something to tell puts a letter here, in the transaction of what it tells about.

So a letter is there if and only if what it says is true, and survives a crash with it. `Sender` takes it from here.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mutualgate import audit
from mutualgate.errors import BadInput, Conflict, NotFound
from mutualgate.model.letter import Letter, LetterCount, LetterKind, LetterState
from mutualgate.store import Store, Transaction

if TYPE_CHECKING:
    from mutualgate.config import MailConfig, NoticesConfig

MAX_SUBJECT = 200
MAX_BODY_BYTES = 256 * 1024
MAX_ONCE = 160


class Outbox:
    """Letters, before and after they were sent. `mail` and `notices` are asked for when there is something to tell."""

    def __init__(
        self,
        store: Store,
        mail: "Callable[[], MailConfig]",
        notices: "Callable[[], NoticesConfig]",
        by: str = "system",
    ) -> None:
        self._store = store
        self._mail = mail
        self._notices = notices
        self._by = by

    @property
    def sends_mail(self) -> bool:
        """Whether there is a mail server."""
        return self._mail().server is not None

    def check_sends_mail(self) -> None:
        """Raises `BadInput` where no mail server is set."""
        if not self.sends_mail:
            raise BadInput(
                "no mail server is set, so no letter can be sent",
                fix="Give `server` and `sender` under [mail] in mutualgate.toml",
                code="no_mail_server",
            )

    def put(
        self,
        tx: Transaction,
        kind: LetterKind | str,
        recipient: str,
        subject: str,
        body: str,
        once: str | None = None,
    ) -> int | None:
        """Puts a letter into the outbox and returns its id, or None when there was one with this `once` already.

        Raises `BadInput` for a recipient that is no e-mail address, for a subject of more than a line, and where no
        mail server is set.
        """
        from mutualgate.config import is_mailbox

        kind = LetterKind(kind)
        if kind is LetterKind.MAIL:
            self.check_sends_mail()
            if not is_mailbox(recipient):
                raise BadInput(
                    f"{recipient[:80]!r} is no e-mail address that letters can be sent to",
                    expected='one such as "anna@example.com", in ASCII',
                    code="no_mailbox",
                )
        if not subject or len(subject) > MAX_SUBJECT or not subject.isprintable():
            raise BadInput(
                "the subject of a letter is one printable line", expected=f"at most {MAX_SUBJECT} characters"
            )
        if len(body.encode("utf-8", "surrogatepass")) > MAX_BODY_BYTES:
            raise BadInput("the letter is too long", expected=f"at most {MAX_BODY_BYTES} bytes")
        if once is not None and len(once) > MAX_ONCE:
            raise ValueError("`once` is longer than its column")
        return tx.outbox.add(kind, recipient, subject, body, once, self._store.clock())

    def tell(
        self, tx: Transaction, event: str, subject: str, text: str, facts: Mapping[str, Any], once: str | None = None
    ) -> int:
        """Tells the operators, by each way that is set, and returns how many letters that made.

        `event` and `facts` are for programs: the webhook gets them as JSON, with a number of its own for each notice.
        """
        notices = self._notices()
        letters = 0
        for recipient in notices.to if self.sends_mail else ():
            key = None if once is None else f"{once}:{recipient}"[:MAX_ONCE]
            letters += self.put(tx, LetterKind.MAIL, recipient, subject, text, key) is not None
        if notices.webhook is not None:
            notice = {
                "id": secrets.token_hex(16),
                "event": event,
                "at": self._store.clock().isoformat(timespec="seconds"),
                "subject": subject,
                "text": text,
                "facts": dict(facts),
            }
            body = json.dumps(notice, ensure_ascii=False, separators=(",", ":"))
            key = None if once is None else f"{once}:webhook"
            # Where to, the sender reads in the configuration of its time; the path may be a secret and is not kept.
            host = urlsplit(notices.webhook).netloc
            letters += self.put(tx, LetterKind.WEBHOOK, host, subject, body, key) is not None
        return letters

    def list(self, state: LetterState | None = None, limit: int = 100) -> "list[Letter]":
        """The newest letters, newest first."""
        with self._store.reading() as tx:
            return tx.outbox.list(state, limit)

    def count(self) -> LetterCount:
        """How full it is."""
        with self._store.reading() as tx:
            return tx.outbox.count()

    def retry(self, letter: int) -> Letter:
        """Has a letter that was given up sent again. Raises `NotFound`, `Conflict` for one that waits or was sent."""
        now = self._store.clock()
        with self._store.transaction() as tx:
            found = tx.outbox.get(letter)
            if found is None:
                raise NotFound(f"there is no letter {letter}", fix="See: mutualgate notices list")
            if found.state is not LetterState.DEAD:
                raise Conflict(f"letter {letter} is {found.state}", expected="one that was given up")
            if not found.body:
                raise Conflict(f"letter {letter} was given up too long ago, its text is gone", fix="Make it anew")
            tx.outbox.revive(letter, now)
            audit.record(tx, now, self._by, "notice.retry", f"letter {letter}", {"kind": str(found.kind)})
            revived = tx.outbox.get(letter)
        return revived or found
