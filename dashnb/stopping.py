"""How a command is stopped, by Ctrl-C or by SIGTERM: in good order once, at once if that takes too long."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import NoReturn

INTERRUPTED_STATUS = 130
TERMINATED_STATUS = 143
AGAIN_SECONDS = 0.01
Handler = Callable[[int, FrameType | None], object] | signal.Handlers


class Terminated(SystemExit):
    """Somebody wants the process to end."""


@contextmanager
def stoppable(*, at_last: Handler | None = None) -> Iterator[Stop]:
    """End in good order on the first Ctrl-C or SIGTERM, and at once, without a word of Python's, if it takes too long.

    Args:
        at_last: What another Ctrl-C does afterwards; what it did before if left out.
    """
    stop = Stop()
    with ExitStack() as undo:
        if threading.current_thread() is threading.main_thread():
            for number, handler in ((signal.SIGTERM, stop.terminate), (signal.SIGINT, stop.interrupt)):
                # Whoever started us may have said that Ctrl-C is not for us, as a shell does with &.
                if signal.getsignal(number) is not signal.SIG_IGN:
                    earlier = signal.signal(number, handler)
                    undo.callback(signal.signal, number, at_last or earlier if number == signal.SIGINT else earlier)
            undo.callback(setattr, sys, "unraisablehook", sys.unraisablehook)
            sys.unraisablehook = stop.lost
        yield stop


class Stop:
    """What the signals do: the first ends the command in good order, a later one the process."""

    def __init__(self) -> None:
        self._presses = 0
        self._usual = sys.unraisablehook

    @contextmanager
    def by_itself(self) -> Iterator[None]:
        """Let Ctrl-C be as it is in Python, for a command that has a way of its own with a second one."""
        is_ours = signal.getsignal(signal.SIGINT) == self.interrupt
        if is_ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            yield
        finally:
            self._presses = 1
            if is_ours:
                signal.signal(signal.SIGINT, self.interrupt)

    def interrupt(self, _number: int, _frame: object) -> None:
        self._presses += 1
        if self._presses == 1:
            raise KeyboardInterrupt
        # A second one would hit what the first has begun to put away, anywhere.
        if self._presses > 2:
            os._exit(INTERRUPTED_STATUS)
        os.write(2, b"dashnb: stopping; Ctrl-C once more ends at once.\n")

    def terminate(self, number: int, _frame: object) -> NoReturn:
        signal.signal(number, signal.SIG_DFL)
        raise Terminated(TERMINATED_STATUS)

    def lost(self, told: sys.UnraisableHookArgs) -> None:
        """Let a signal come again that came where Python drops exceptions, as in the callback of a weak reference."""
        if isinstance(told.exc_value, Terminated):
            signal.signal(signal.SIGTERM, self.terminate)
            self._send_soon(signal.SIGTERM)
        elif isinstance(told.exc_value, KeyboardInterrupt):
            self._presses = 0
            self._send_soon(signal.SIGINT)
        else:
            self._usual(told)

    def _send_soon(self, number: int) -> None:
        timer = threading.Timer(AGAIN_SECONDS, os.kill, (os.getpid(), number))
        timer.daemon = True
        timer.start()
