"""What the running gate logs, on standard error: one line for each thing that happened."""

import logging
import sys
import time

from mutualgate.cli.output import plain


class OneLine(logging.Formatter):
    """A line in which nothing that came from outside can end the line or speak to the terminal."""

    converter = time.gmtime
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base class's name
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
