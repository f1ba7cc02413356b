"""Lines of a log as a terminal and a file may have them: nothing that is obeyed, no key and no password."""

from __future__ import annotations

import logging

from dashnb.characters import visible
from dashnb.credentials import MASK, redacted


class LogLine(logging.Formatter):
    r"""A formatter whose lines repeat nothing unseen and nothing secret of a request.

    >>> record = logging.LogRecord("x", logging.INFO, "", 0, "GET /%s", ("\x1b[2J?api_key=abcd1234",), None)
    >>> LogLine("%(message)s").format(record)
    'GET /⟨U+001B⟩[2J?api_key=********'
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line, a traceback below it included."""
        return redacted(visible(super().format(record)), by=MASK)
