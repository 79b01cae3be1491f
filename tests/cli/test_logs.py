"""The log of the running gate."""

import logging
import re

from mutualgate.cli.logs import OneLine


def test_a_line_is_one_line_whatever_is_in_it() -> None:
    record = logging.LogRecord("mutualgate", logging.ERROR, "", 0, "no %s", ("\x1b[31m\nFAKE",), None)
    line = OneLine("%(asctime)s %(levelname)s %(message)s").format(record)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ERROR no \\x1b\[31m\\nFAKE", line)
