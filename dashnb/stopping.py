"""How a command is stopped, by Ctrl-C or by SIGTERM: in good order once, at once if that takes too long."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NoReturn

INTERRUPTED_STATUS = 130
TERMINATED_STATUS = 143


class Terminated(SystemExit):
    """Somebody wants the process to end."""


@contextmanager
def stoppable(*, by_itself: bool) -> Iterator[None]:
    """End in good order on the first Ctrl-C or SIGTERM, and at once, without a word of Python's, if it takes too long.

    Args:
        by_itself: Whether the command has a way of its own with a second Ctrl-C.
    """
    presses = itertools.count(1)

    def interrupt(_number: int, _frame: object) -> None:
        press = next(presses)
        if press == 1:
            raise KeyboardInterrupt
        # A second one would hit what the first has begun to put away, anywhere.
        if press > 2:
            os._exit(INTERRUPTED_STATUS)
        os.write(2, b"dashnb: stopping; Ctrl-C once more ends at once.\n")

    def terminate(number: int, _frame: object) -> NoReturn:
        signal.signal(number, signal.SIG_DFL)
        raise Terminated(TERMINATED_STATUS)

    with ExitStack() as undo:
        if threading.current_thread() is threading.main_thread():
            for number, handler in ((signal.SIGTERM, terminate), (signal.SIGINT, interrupt)):
                # Whoever started us may have said that Ctrl-C is not for us, as a shell does with &.
                if signal.getsignal(number) is not signal.SIG_IGN and not (by_itself and number == signal.SIGINT):
                    undo.callback(signal.signal, number, signal.signal(number, handler))
        yield
