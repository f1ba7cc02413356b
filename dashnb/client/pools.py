"""Connections that outlive a request: one pool for a process, one for each event loop, none after the end.

Pool       shared by the threads of a process; a child process makes its own
AsyncPool  one for each loop that asks; it is closed with its loop, or with all others
Channel    one answer, read by a task of its own, so that who stops waiting for it leaves nothing half closed
"""

from __future__ import annotations

import asyncio
import socket
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import Self

import httpx

from dashnb.errors import ConnectionFailed
from dashnb.forks import heed

_AGAIN_SECONDS = 5.0
MakeAsync = Callable[[], httpx.AsyncClient]


class Pool:
    """The connections of a client, made when they are needed.

    Args:
        make: Makes them.
    """

    def __init__(self, make: Callable[[], httpx.Client]) -> None:
        self._make = make
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._http: httpx.Client | None = self._made()
        self._closed = False
        heed(self, child=Pool._inherit)

    def _made(self) -> httpx.Client:
        http = self._make()
        http.event_hooks["response"].append(self._note)
        return http

    def _note(self, response: httpx.Response) -> None:
        stream = response.extensions.get("network_stream")
        connected = stream.get_extra_info("socket") if stream is not None else None
        if isinstance(connected, socket.socket):
            self._sockets.add(connected)

    def _inherit(self) -> None:
        # What two processes read from one connection is neither's answer. The parent still has its own end.
        for connected in list(self._sockets):
            connected.close()
        self._sockets = weakref.WeakSet()
        self._http = None

    @property
    def http(self) -> httpx.Client:
        """The connections of this process.

        Raises:
            ConnectionFailed: They have been closed.
        """
        if self._closed:
            raise closed()
        if self._http is None:
            self._http = self._made()
        return self._http

    def close(self) -> None:
        """Close them all."""
        self._closed = True
        if self._http is not None:
            self._http.close()


class AsyncPool:
    """The connections of a client that is awaited, by the event loop that uses them.

    Args:
        make: Makes those of one loop.
        shared: Whether one for all loops is right, because it is no network that they lead to.
    """

    def __init__(self, make: MakeAsync, *, shared: bool) -> None:
        self._make = make
        self._closed = False
        self._is_shared = shared
        # Made at once, as the environment may be wrong; the first loop takes it.
        self._first = [make()]
        self._kept: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Kept] = weakref.WeakKeyDictionary()
        heed(self, child=AsyncPool._inherit)

    def _inherit(self) -> None:
        self._kept = weakref.WeakKeyDictionary()

    async def http(self) -> httpx.AsyncClient:
        """The connections of the running loop.

        Raises:
            ConnectionFailed: They have been closed.
        """
        if self._closed:
            raise closed()
        if self._is_shared:
            return self._first[0]
        loop = asyncio.get_running_loop()
        if loop not in self._kept:
            try:
                http = self._first.pop()  # of several threads, one gets it
            except IndexError:
                http = self._make()
            self._kept[loop] = kept = _Kept(http)
            await kept.begin()
        return self._kept[loop].http

    async def aclose(self) -> None:
        """Close those of this loop now, and those of others as soon as their loops turn."""
        self._closed = True
        for http in self._first:
            await http.aclose()
        here = asyncio.get_running_loop()
        for loop, kept in list(self._kept.items()):
            if loop is here:
                await kept.end()
            else:
                with suppress(RuntimeError):  # its loop has been closed, and they with it
                    loop.call_soon_threadsafe(kept.end_soon)
        self._kept.clear()


class _Kept:
    """The connections of one loop, closed with it at the latest."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        # Of what else a program may have begun on a loop, its end waits only for generators.
        self._life = self._live(http)

    async def begin(self) -> None:
        await anext(self._life)

    async def end(self) -> None:
        await self._life.aclose()

    def end_soon(self) -> None:
        self._ending = asyncio.get_running_loop().create_task(self.end())

    @staticmethod
    async def _live(http: httpx.AsyncClient) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await http.aclose()


class Channel:
    """One answer, read by a task of its own: whoever waits for it may be stopped at any moment.

    A time-out, or the end of the loop, cancels the task in the middle of its reading, and it gives the connection
    back. Were the answer read by who waits, it would be left half read, and nobody could close it in good order.
    What is read ahead is no more than its reader is about to keep.

    Args:
        send: Sends the request.
        is_wanted: Whether an answer is to be read piece by piece; it is read whole otherwise.

    Attributes:
        response: The answer, once entered.
    """

    response: httpx.Response

    def __init__(
        self, send: Callable[[], Awaitable[httpx.Response]], is_wanted: Callable[[httpx.Response], bool]
    ) -> None:
        self._send = send
        self._is_wanted = is_wanted
        self._parts: asyncio.Queue[httpx.Response | bytes | BaseException | None] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        self._task = asyncio.get_running_loop().create_task(self._read())
        try:
            first = await self._next()
        except BaseException:
            await self._leave()
            raise
        assert isinstance(first, httpx.Response)
        self.response = first
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._leave()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        part = await self._next()
        if not isinstance(part, bytes):
            raise StopAsyncIteration
        return part

    async def _next(self) -> httpx.Response | bytes | None:
        part = await self._parts.get()
        if isinstance(part, BaseException):
            raise part
        return part

    async def _leave(self) -> None:
        while not self._task.done():
            self._task.cancel()
            # Some code loses a cancellation.
            await asyncio.wait({self._task}, timeout=_AGAIN_SECONDS)

    async def _read(self) -> None:
        try:
            response = await self._send()
            try:
                if self._is_wanted(response):
                    self._parts.put_nowait(response)
                    async for chunk in response.aiter_bytes():
                        self._parts.put_nowait(chunk)
                else:
                    await response.aread()
                    self._parts.put_nowait(response)
            finally:
                await response.aclose()
            self._parts.put_nowait(None)
        except asyncio.CancelledError:
            self._parts.put_nowait(httpx.ReadError("reading was stopped"))
            raise
        except BaseException as error:
            self._parts.put_nowait(error)


def closed() -> ConnectionFailed:
    """The exception for a request of a client that has been closed."""
    return ConnectionFailed("This client has been closed.\nMake a new one: dashnb.connect(…) or dashnb.AsyncClient(…).")
