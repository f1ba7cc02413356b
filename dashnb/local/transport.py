"""The way to the embedded API without a port: httpx transports that call the app in this process.

The app runs on an event loop of its own thread, so that runs go on while the caller does something
else. The parts of an answer are handed over as they are produced: the first event is there before the
last one is thought of, which `httpx.ASGITransport`, which collects the whole answer, cannot do.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

import httpx
from starlette.types import ASGIApp, Message, Scope

from dashnb.errors import DashnbError
from dashnb.forks import heed

T = TypeVar("T")
# What ends the parts of an answer: the error that ended it, or None if it is complete.
End = tuple[BaseException | None]
Part = Message | End
# How long answers may take to reach their end when the loop is closed.
GRACE_SECONDS = 0.2


class LoopThread:
    """An event loop on a thread of its own; a child process gets another one when it needs it."""

    def __init__(self) -> None:
        self.closed = False
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._left: list[asyncio.AbstractEventLoop] = []
        self._turn()
        heed(self, child=LoopThread._inherit)

    def _turn(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="dashnb-local", daemon=True)
            self._thread.start()
        return self._loop

    def _inherit(self) -> None:
        # Closing the parent's loop would take from it what it waits for, as both have it from the same kernel object.
        if self._loop is not None:
            self._left.append(self._loop)
        self._lock = threading.Lock()
        self._loop = self._thread = None

    @property
    def is_here(self) -> bool:
        """True on the loop's own thread."""
        return threading.current_thread() is self._thread

    @property
    def is_turning(self) -> bool:
        """False in a child that has not needed the loop."""
        return self._loop is not None

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start work on the loop; its result comes as a future.

        Raises:
            RuntimeError: The loop has been closed.
        """
        with self._lock:
            if self.closed:
                work.close()
                raise RuntimeError("the loop has been closed")
            return asyncio.run_coroutine_threadsafe(work, self._turn())

    def call(self, function: Callable[[], object]) -> None:
        """Call a function on the loop, soon; on a closed one, nothing is left to be called."""
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(function)

    def close(self) -> None:
        """Stop the loop and its thread; what does not end by itself is cancelled."""
        with self._lock:
            loop, thread = self._loop, self._thread
            if self.closed or loop is None or thread is None:
                self.closed = True
                return
            self.closed = True
            ending = asyncio.run_coroutine_threadsafe(self._end_all(), loop)
        ending.result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    async def _end_all(self) -> None:
        if tasks := self._others():
            # Readers of runs that have just been stopped still get their last events.
            await asyncio.wait(tasks, timeout=GRACE_SECONDS)
        # A request that was being answered may have begun a run meanwhile.
        while tasks := self._others():
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.get_running_loop().shutdown_asyncgens()

    @staticmethod
    def _others() -> set[asyncio.Task[Any]]:
        return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


class _Exchange:
    """One request to the app and the parts of its answer, handed to ``deliver`` as they come."""

    def __init__(self, app: ASGIApp, request: httpx.Request, body: bytes, deliver: Callable[[Part], None]) -> None:
        self._app = app
        self._scope = _scope(request)
        self._body: bytes | None = body
        self._deliver = deliver
        self._left = asyncio.Event()

    async def run(self) -> None:
        """Let the app answer; the last part is an `End`."""
        try:
            await self._app(self._scope, self._receive, self._send)
        except BaseException as error:
            self._deliver((error,))
            raise
        self._deliver((None,))

    def leave(self) -> None:
        """Tell the app that nobody reads its answer any more."""
        self._left.set()

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self._deliver(message)


class LocalTransport(httpx.BaseTransport):
    """Reaches an app that runs on a `LoopThread`, for `httpx.Client`.

    Args:
        app: The app.
        loop: Where it runs.
        on_close: Called when the client is closed.
    """

    def __init__(self, app: ASGIApp, loop: LoopThread, *, on_close: Callable[[], None] = lambda: None) -> None:
        self._app = app
        self._loop = loop
        self._on_close = on_close

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The response, whose body is read as the app produces it."""
        parts: queue.SimpleQueue[Part] = queue.SimpleQueue()
        exchange = _Exchange(self._app, request, request.read(), parts.put)
        work = _start(self._loop, exchange)
        wait = request.extensions.get("timeout", {}).get("read")
        body = _Body(parts, exchange, work, self._loop, wait)
        try:
            start = body.next()
        except BaseException:
            body.close()
            raise
        if not isinstance(start, dict):
            raise httpx.RemoteProtocolError("the app sent no answer")
        return httpx.Response(start["status"], headers=start["headers"], stream=body)

    def close(self) -> None:
        """Close what the transport was made with."""
        self._on_close()


class _Body(httpx.SyncByteStream):
    def __init__(
        self,
        parts: queue.SimpleQueue[Part],
        exchange: _Exchange,
        work: Future[None],
        loop: LoopThread,
        wait: float | None,
    ) -> None:
        self._parts = parts
        self._exchange = exchange
        self._work = work
        self._loop = loop
        self._wait = wait

    def next(self) -> Part:
        try:
            part = self._parts.get(timeout=self._wait)
        except queue.Empty:
            raise httpx.ReadTimeout(f"nothing came for {self._wait:g} s") from None
        _raise_failure(part)
        return part

    def __iter__(self) -> Iterator[bytes]:
        while isinstance(part := self.next(), dict):
            if content := part.get("body"):
                yield content
            if not part.get("more_body", False):
                return

    def close(self) -> None:
        if not self._work.done():
            self._loop.call(self._exchange.leave)


class AsyncLocalTransport(httpx.AsyncBaseTransport):
    """Reaches an app that runs on a `LoopThread`, for `httpx.AsyncClient` on any other loop."""

    def __init__(self, app: ASGIApp, loop: LoopThread, *, on_close: Callable[[], None] = lambda: None) -> None:
        self._app = app
        self._loop = loop
        self._on_close = on_close

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The response, whose body is read as the app produces it."""
        parts: asyncio.Queue[Part] = asyncio.Queue()
        here = asyncio.get_running_loop()

        def deliver(part: Part) -> None:
            # The reader's loop may be closed by now; its run goes on.
            with suppress(RuntimeError):
                here.call_soon_threadsafe(parts.put_nowait, part)

        exchange = _Exchange(self._app, request, await request.aread(), deliver)
        work = _start(self._loop, exchange)
        wait = request.extensions.get("timeout", {}).get("read")
        body = _AsyncBody(parts, exchange, work, self._loop, wait)
        try:
            start = await body.next()
        except BaseException:
            await body.aclose()
            raise
        if not isinstance(start, dict):
            raise httpx.RemoteProtocolError("the app sent no answer")
        return httpx.Response(start["status"], headers=start["headers"], stream=body)

    async def aclose(self) -> None:
        """Close what the transport was made with."""
        self._on_close()


class _AsyncBody(httpx.AsyncByteStream):
    def __init__(
        self,
        parts: asyncio.Queue[Part],
        exchange: _Exchange,
        work: Future[None],
        loop: LoopThread,
        wait: float | None,
    ) -> None:
        self._parts = parts
        self._exchange = exchange
        self._work = work
        self._loop = loop
        self._wait = wait

    async def next(self) -> Part:
        try:
            # Not `wait_for`, which up to Python 3.11 loses a cancellation that comes together with a part.
            async with asyncio.timeout(self._wait):
                part = await self._parts.get()
        except TimeoutError:
            raise httpx.ReadTimeout(f"nothing came for {self._wait:g} s") from None
        _raise_failure(part)
        return part

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while isinstance(part := await self.next(), dict):
            if content := part.get("body"):
                yield content
            if not part.get("more_body", False):
                return

    async def aclose(self) -> None:
        if not self._work.done():
            self._loop.call(self._exchange.leave)


def _start(loop: LoopThread, exchange: _Exchange) -> Future[None]:
    try:
        return loop.start(exchange.run())
    except RuntimeError:
        raise httpx.ConnectError("the embedded API has been closed") from None


def _raise_failure(part: Part) -> None:
    if isinstance(part, tuple) and isinstance(part[0], DashnbError):
        raise part[0]
    if isinstance(part, tuple) and part[0] is not None:
        raise httpx.ReadError(f"the app failed: {type(part[0]).__name__}: {part[0]}") from part[0]


def _scope(request: httpx.Request) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.url.scheme,
        "path": request.url.path,
        "raw_path": request.url.raw_path.partition(b"?")[0],
        "query_string": request.url.query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "client": ("in-process", 0),
        "server": (request.url.host, request.url.port or 80),
    }
