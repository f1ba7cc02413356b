"""The standard streams of a command, wherever they lead: to a full disk, to a reader who left, or nowhere.

A command does its work whether or not its output can be written; `Streams.status` tells at the end, by the exit
status and, if anybody can read it, by a line on standard error.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack, redirect_stderr, redirect_stdout, suppress
from typing import Any, Self, TextIO, cast

# As a shell tells of a program that SIGPIPE ended: whoever read its output has enough of it, as `head` does.
LEFT_STATUS = 141
FAILED_STATUS = 1


class Output:
    """A text stream to which writing fails once at most.

    >>> import io
    >>> kept = io.StringIO()
    >>> print("Hello", file=Output(kept))
    >>> kept.getvalue()
    'Hello\\n'

    Args:
        stream: Where the text goes; None if there is nowhere to write to.

    Attributes:
        patient: Whether it does not fail even once, so that what goes on is done to its end.
        failure: Why nothing is written any more, or None.
    """

    def __init__(self, stream: TextIO | None, *, patient: bool = False) -> None:
        self.patient = patient
        self.failure: OSError | None = None
        self._stream = stream
        # A character that the encoding does not have is no reason to say nothing.
        with suppress(AttributeError, OSError, ValueError):
            cast(Any, stream).reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        """Write text, as far as that is possible."""
        self._attempt(lambda stream: stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Write what waits, as far as that is possible."""
        if self._stream is not None:
            self._attempt(lambda stream: stream.flush())

    def isatty(self) -> bool:
        """True if a person sees it at once."""
        return self._stream is not None and self._stream.isatty()

    @property
    def encoding(self) -> str:
        """How characters become bytes."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _attempt(self, act: Callable[[TextIO], object]) -> None:
        try:
            if self._stream is None:
                raise OSError(errno.EBADF, "it is closed")
            act(self._stream)
        except OSError as error:
            is_first, self.failure = self.failure is None, self.failure or error
            self._give_up()
            if is_first and not self.patient:
                raise

    def _give_up(self) -> None:
        """Let what waits go nowhere; Python would fail to write it once more when it ends, with a traceback."""
        with suppress(AttributeError, OSError, ValueError):
            number = cast(TextIO, self._stream).fileno()
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, number)
            os.close(nothing)


class Streams:
    """Standard input, output and error while a command is carried out; a closed one leads nowhere.

    Attributes:
        out: Standard output.
    """

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            # What is opened next would get the number of a closed one, and whatever prints would write into it.
            while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
                undo.callback(os.close, number)
            os.close(number)
            self.out, self._err = Output(sys.stdout), Output(sys.stderr, patient=True)
            undo.enter_context(redirect_stdout(self.out))
            undo.enter_context(redirect_stderr(self._err))
            if sys.stdin is None:
                undo.callback(setattr, sys, "stdin", None)
                sys.stdin = undo.enter_context(open(os.devnull, encoding="utf-8"))
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def status(self, status: int) -> int:
        """The exit status of a command that ended with this one: no success if its output was not written."""
        self.out.patient = True
        self.out.flush()
        failure = self.out.failure
        if failure is not None and failure.errno != errno.EPIPE:
            reason = (failure.strerror or str(failure)).lower()
            self._err.write(f"dashnb: standard output cannot be written: {reason}.\n")
        if failure is not None and status == 0:
            status = LEFT_STATUS if failure.errno == errno.EPIPE else FAILED_STATUS
        self._err.flush()
        return status
