"""What the running gate logs, on standard error: one line for each thing that happened."""

import logging
import sys
from datetime import UTC, datetime

from mutualgate.cli.output import plain


class OneLine(logging.Formatter):
    """A line in which nothing that came from outside can end the line or speak to the terminal."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - likewise
        """RFC 3339, in UTC."""
        moment = datetime.fromtimestamp(record.created, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - as logging calls it
        """The line itself; a traceback of a defect follows it as it is."""
        record.message = plain(record.message)
        return super().formatMessage(record)


def log_to_stderr() -> None:
    """From now on, for this process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine("%(asctime)s %(levelname)s %(message)s"))
    root = logging.getLogger("mutualgate")
    root.addHandler(handler)
    root.setLevel(logging.INFO)
