"""The numbers of the events of a run: what comes next, again, not at all, or from elsewhere. Pure.

A server of the embedded API gives each event the id ``RUN:NUMBER`` and counts from 1; the cloud gives none.
"""

from __future__ import annotations

import re

from dashnb.protocol.events import EVENTS
from dashnb.protocol.sse import ServerSentEvent

_NUMBERED = EVENTS.keys() - {"done", "error"}


class Hole(Exception):
    """A connection passed over an event; what it says behind that is not read."""


def position_of(event_id: str) -> tuple[str, int]:
    """The run and the number that an event's id names; ``("", 0)`` if the server writes them otherwise.

    >>> position_of("run_1:12"), position_of("")
    (('run_1', 12), ('', 0))
    """
    match = re.fullmatch(r"(.+):([0-9]{1,15})", event_id)
    return (match[1], int(match[2])) if match else ("", 0)


class Numbering:
    """Where in the events of a run a reader is.

    >>> at = Numbering("")
    >>> first = ServerSentEvent("thread.run.created", "{}", "run_1:1", has_id=True)
    >>> at.is_next(first, ended=False), at.take(first), at.is_next(first, ended=False)
    (True, None, False)

    Attributes:
        run_id: The run, ``""`` before its name is known.
        seq: The number of the last event, None if it is not known.
        hole: True from where an event was missing to where it came.
    """

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.seq: int | None = None
        self.hole = False
        self._is_numbered = False

    def is_next(self, sent: ServerSentEvent, *, ended: bool) -> bool:
        """True if an event comes next, False if it is to be dropped: it came before, or is another run's.

        Args:
            sent: The event.
            ended: True if the stream may end here.

        Raises:
            Hole: One before it is missing.
        """
        run_id, seq = _position(sent)
        missing = False
        if not run_id:
            # Where events have numbers, one that lost its own would come again; an end is one where it may be.
            missing = self._is_numbered and (sent.event in _NUMBERED or (sent.event == "done" and not ended))
        elif self.seq is None:
            # The first events of a new run are known by their number; those behind tool outputs are not.
            missing = not self.run_id and seq > 1
            if missing:
                self.run_id, self.seq = run_id, 0
        elif run_id != self.run_id or seq <= self.seq:
            return False
        else:
            missing = seq > self.seq + 1
        if missing:
            self.hole = True
            raise Hole
        return True

    def take(self, sent: ServerSentEvent) -> None:
        """Go on behind an event."""
        self.hole = False
        run_id, seq = _position(sent)
        if run_id and run_id == (self.run_id or run_id):
            self.run_id, self.seq, self._is_numbered = run_id, seq, True


def _position(sent: ServerSentEvent) -> tuple[str, int]:
    return position_of(sent.id) if sent.has_id else ("", 0)
