"""How often something is sent to the browser, however often it changes.

A Jupyter server drops every message beyond a thousand a second, the one that says that the cell is
done included; and a browser has more to do than to draw each token. So a stream begins with a message
every `FIRST_PAUSE` seconds and comes to one every `PAUSE`, and all streams of a process together send at
most `PER_SECOND` messages a second.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

FIRST_PAUSE = 0.035  # seconds between the first two messages of a stream
PAUSE = 0.16  # and between two of the last: a reader has begun, and each message has a price in the browser
GROWTH = 0.002  # how much longer each pause is than the one before, in between
PER_SECOND = 120  # messages of all streams together

Value = TypeVar("Value")


class Budget:
    """What the streams of a process share.

    >>> budget = Budget(first_pause=0.04, pause=0.08, per_second=50)
    >>> budget.join()
    >>> budget.pause(sent=0), budget.pause(sent=100)
    (0.04, 0.08)

    Args:
        first_pause: Seconds between the first two messages of a stream, at least.
        pause: Seconds between two of its last messages.
        per_second: Messages of all streams in a second, at most.
    """

    def __init__(
        self, *, first_pause: float = FIRST_PAUSE, pause: float = PAUSE, per_second: float = PER_SECOND
    ) -> None:
        self._first_pause = min(first_pause, pause)
        self._pause = pause
        self._per_second = per_second
        self._streams = 0
        self._lock = threading.Lock()

    def pause(self, sent: int) -> float:
        """Seconds that a stream waits that has ``sent`` so many messages, with as many others as there are now."""
        own = min(self._pause, self._first_pause + GROWTH * sent)
        return max(own, self._streams / self._per_second)

    def join(self) -> None:
        """One stream more."""
        with self._lock:
            self._streams += 1

    def leave(self) -> None:
        """One stream less."""
        with self._lock:
            self._streams -= 1


SHARED = Budget()  # the server's limit is for the whole kernel


class Beat(Generic[Value]):
    """Sends the newest value, at most once a pause; a value that no other follows is sent all the same.

    The sending happens on a thread of its own, so that a reader who waits for the next piece of an
    answer does not hold back the last one, and an interrupt never hits the middle of a message.

    Args:
        send: Sends a value.
        budget: Who else sends.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        send: Callable[[Value], None],
        *,
        budget: Budget = SHARED,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._send = send
        self._budget = budget
        self._clock = clock
        self._news = threading.Condition()
        self._waiting: list[Value] = []
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="dashnb-view", daemon=True)
        budget.join()
        self._thread.start()

    def offer(self, value: Value) -> None:
        """The value is to be sent, unless a newer one comes before its time."""
        with self._news:
            self._waiting = [value]
            self._news.notify()

    def close(self) -> None:
        """Stop sending; what was not sent yet is forgotten. Waits for a message on its way."""
        with self._news:
            if self._closed:
                return
            self._closed = True
            self._news.notify()
        self._budget.leave()
        self._thread.join()

    def _run(self) -> None:
        next_time, sent = self._clock(), 0
        while (value := self._next(next_time)) is not None:
            # A front end that went away must not end the run: what stays is displayed at the end.
            with suppress(Exception):
                self._send(value[0])
            sent += 1
            next_time = self._clock() + self._budget.pause(sent)

    def _next(self, not_before: float) -> list[Value] | None:
        with self._news:
            while not self._closed:
                pause = not_before - self._clock()
                if self._waiting and pause <= 0:
                    taken, self._waiting = self._waiting, []
                    return taken
                self._news.wait(pause if self._waiting else None)
        return None
