"""What becomes of databases, sockets, threads and locks when a process forks, as `multiprocessing` does on Linux.

The child has a copy of everything but the threads: a lock that one of them held stays locked, a loop does not
turn, and a connection is the parent's as well. Whoever has such things says so with `heed`, and is told:

    before a fork   databases are closed, as soon as nobody is in the middle of using one
    in the parent   all goes on, and they are opened again when they are needed
    in the child    what belongs to the parent is left behind untouched; a fresh start is made when it is needed

Why databases are closed: of an SQLite file that is open while its process forks, the child believes that it
has the locks which only the parent has, and the parent deletes the log into which the child writes.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from dashnb.errors import StoreError

T = TypeVar("T")
# How long a fork waits for those who are using a database.
PATIENCE_SECONDS = 3.0


Do = Callable[[T], object]


@dataclass(frozen=True, slots=True)
class _Heir(Generic[T]):
    before: Do[T]
    parent: Do[T]
    child: Do[T]


_living: weakref.WeakKeyDictionary[Any, _Heir[Any]] = weakref.WeakKeyDictionary()


def _nothing(_one: object) -> None: ...


def heed(one: T, *, child: Do[T], before: Do[T] = _nothing, parent: Do[T] = _nothing) -> None:
    """Have somebody told of every fork, as long as the object lives.

    Args:
        one: Who is told.
        child: Called with it in the new process, where no other thread is.
        before: Called with it just before the fork.
        parent: Called with it just after, in the process that has forked.
    """
    _living[one] = _Heir(before, parent, child)


def _tell(when: str) -> None:
    for one, heir in list(_living.items()):
        getattr(heir, when)(one)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=partial(_tell, "before"),
        after_in_parent=partial(_tell, "parent"),
        after_in_child=partial(_tell, "child"),
    )


class Origin:
    """The process in which something was begun.

    >>> Origin().is_here
    True
    """

    __slots__ = ("_pid",)

    def __init__(self) -> None:
        self._pid = os.getpid()

    @property
    def is_here(self) -> bool:
        """False in a child of that process."""
        return os.getpid() == self._pid


def leave(*descriptors: int) -> None:
    """Put nothing in the place of sockets that belong to the parent, whose own are as they were.

    Their numbers stay taken: an object that still has one can close nothing else by mistake.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        if descriptor >= 0:  # it may have been closed
            os.dup2(nothing, descriptor, inheritable=False)
    os.close(nothing)


class Gate:
    """Through it goes who uses a database; nobody is inside while the process forks.

    >>> with Gate("The database a.db", close=lambda: None):
    ...     pass

    Args:
        name: What a person calls the database.
        close: Closes it, to be opened again by who comes next; None for one in memory, which only the process
            that made it has.
        forget: In a child, makes sure that it is opened anew.
        patience: Seconds to wait for those inside; if it takes longer, the child cannot use the database.

    Raises (on entering):
        StoreError: This process is a child, and the database cannot be had here.
    """

    def __init__(
        self,
        name: str,
        *,
        close: Callable[[], object] | None,
        forget: Callable[[], object] = lambda: None,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._name = name
        self._close = close
        self._forget = forget
        self._patience = patience
        self._refusal = ""
        self._begin()
        heed(self, before=Gate._prepare, parent=Gate._resume, child=Gate._inherit)

    def _begin(self) -> None:
        self._changed = threading.Condition()
        self._inside: dict[int, int] = {}  # how deep each thread is
        self._forking = False

    def __enter__(self) -> None:
        if self._refusal:
            raise StoreError(self._refusal)
        me = threading.get_ident()
        with self._changed:
            # Who is inside comes in once more: the fork waits for it.
            while self._forking and me not in self._inside:
                self._changed.wait()
            self._inside[me] = self._inside.get(me, 0) + 1

    def __exit__(self, *_: object) -> None:
        me = threading.get_ident()
        with self._changed:
            self._inside[me] = self._inside.get(me, 1) - 1
            if not self._inside[me]:
                del self._inside[me]
                self._changed.notify_all()

    def _prepare(self) -> None:
        """Wait until nobody is inside, let nobody in, and close the database."""
        until = time.monotonic() + self._patience
        with self._changed:
            self._forking = True
            # For the thread that forks nobody can wait: it is inside until after the fork.
            while self._inside and threading.get_ident() not in self._inside and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            is_free = not self._inside
        if self._close is not None and is_free:
            self._close()

    def _resume(self) -> None:
        """Let everybody in."""
        with self._changed:
            self._forking = False
            self._changed.notify_all()

    def _inherit(self) -> None:
        """Let the child in, to open the database anew, if there is one for it."""
        if self._close is None:
            self._refusal = (
                f"{self._name} is in memory, and belongs to the process that this one was forked from.\n"
                "Connect again here, or use a file: database=FILE or DASHNB_DATABASE."
            )
        elif self._inside:
            self._refusal = (
                f"{self._name} was in use when this process was forked, and belongs to the parent.\n"
                'Connect again here, or start processes with the method "spawn".'
            )
        else:
            self._forget()
        self._begin()
