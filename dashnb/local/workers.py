"""Work that may take a while, done beside the event loop, so that the streams of others go on meanwhile.

Whatever meets the database may have to wait for another process, or move thousands of rows.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Do(Protocol):
    """How a function is called by a coroutine that waits for its result."""

    async def __call__(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...


async def at_once(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """The function's result; it is called right here."""
    return function(*args, **kwargs)


class Workers:
    """Threads that call functions for coroutines.

    >>> workers = Workers("example", 1)
    >>> asyncio.run(workers.do(sum, [1, 2]))
    3
    >>> workers.close()

    Args:
        name: What the threads are called.
        count: How many functions are called at the same time; with one, they are called in order.
    """

    def __init__(self, name: str, count: int) -> None:
        self._threads: set[int] = set()
        self._pool = ThreadPoolExecutor(
            count, thread_name_prefix=name, initializer=lambda: self._threads.add(threading.get_ident())
        )

    @property
    def is_here(self) -> bool:
        """True on one of its own threads."""
        return threading.get_ident() in self._threads

    async def do(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """The function's result. What has begun is not broken off: a cancel comes through when it is over."""
        try:
            work = asyncio.wrap_future(self._pool.submit(partial(function, *args, **kwargs)))
        except RuntimeError:
            # The program is ending and starts no threads any more; runs still have to be told so.
            return function(*args, **kwargs)
        cancelled: asyncio.CancelledError | None = None
        while not work.done():
            try:
                await asyncio.wait([work])
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            work.exception()  # nobody asks for it any more
            raise cancelled
        try:
            return work.result()
        finally:
            del work  # else it and its failure hold each other, and all that the failure is about

    def close(self) -> None:
        """End the threads, once they have done what was asked of them."""
        self._pool.shutdown()
