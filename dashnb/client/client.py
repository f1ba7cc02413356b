"""The two clients: one that waits for each answer, one to be awaited. Both speak to any base URL."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import ValidationError

from dashnb import __version__
from dashnb.bearer import Bearer
from dashnb.client.calls import Call
from dashnb.client.failures import Backoff, decode, is_passing, retry_after, unreachable, unsent
from dashnb.client.pools import AsyncPool, Channel, Pool
from dashnb.client.procedures import Pause, Procedure
from dashnb.client.resources import (
    Assistants,
    AsyncAssistants,
    AsyncMessages,
    AsyncSteps,
    AsyncThreads,
    Messages,
    Steps,
    Threads,
)
from dashnb.client.runs import AsyncRuns, Runs
from dashnb.client.stream import AsyncRunStream, Clock, RunStream
from dashnb.credentials import MASK, Address, redacted
from dashnb.errors import ConfigurationError, DashnbError, InvalidArgument, ProtocolError, bare
from dashnb.forks import Origin
from dashnb.intake import UNPACKED, async_hooks, hooks
from dashnb.keys import Secret, hidden, known, reveal
from dashnb.protocol.objects import Run
from dashnb.protocol.state import RunState

T = TypeVar("T")
H = TypeVar("H", httpx.Client, httpx.AsyncClient)

REGIONS = {
    "cloud": "https://dashscope.aliyuncs.com/api/v1",
    "cloud-intl": "https://dashscope-intl.aliyuncs.com/api/v1",
}
DEFAULT_TIMEOUT = 300.0
CONNECT_TIMEOUT = 10.0
MOST_CHARACTERS = 4096  # of a key; no server takes a header that is much longer
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def monotonic_ms() -> float:
    """Milliseconds on a clock that never goes back."""
    return time.monotonic() * 1000


class _Endpoint:
    """What both clients know: where to send, with which headers, and how long to wait."""

    def __init__(
        self,
        base_url: str,
        api_key: Secret | None,
        workspace: str | None,
        timeout: float,
        backoff: Backoff | None,
        clock: Clock,
    ) -> None:
        self.base_url: str = Address(base_url)
        self.workspace = workspace
        self.base_url = url = _checked_url(base_url)
        for what, value in (("API key", api_key), ("workspace", workspace or None)):
            # In no variable: a traceback would show it.
            if len(reveal(value) or "") > MOST_CHARACTERS:
                raise ConfigurationError(f"The {what} is longer than {MOST_CHARACTERS} characters; no {what} is.")
            if value is not None and not re.fullmatch(r"[!-~]+", reveal(value) or ""):
                raise ConfigurationError(f"The {what} is empty or has blanks or other characters that no {what} has.")
        if not timeout > 0:
            raise ConfigurationError(f"timeout must be seconds above 0, got {timeout!r}.")
        self.clock = clock
        self._backoff = backoff or Backoff()
        self._headers = _headers(workspace)
        self._auth = None if api_key is None else Bearer(api_key)
        self._key = known(api_key)  # a server may repeat it; it reaches no state and no message
        self._timeout = httpx.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT))
        # A proxy of the environment cannot reach this machine's own addresses.
        self._trust_env = httpx.URL(url).host not in _LOOPBACK

    def _request(self, http: httpx.Client | httpx.AsyncClient, call: Call[T]) -> httpx.Request:
        params = {name: str(value) for name, value in call.query.items()}
        timeout = self._timeout if call.seconds is None else httpx.Timeout(call.seconds)
        try:
            return http.build_request(
                call.operation.method, self.base_url + call.path, params=params, json=call.body, timeout=timeout
            )
        except (TypeError, ValueError, httpx.InvalidURL) as error:
            raise InvalidArgument(f"The arguments of {call.operation.name} cannot be sent: {error}.") from error

    def _next_delay(self, call: Call[T], attempt: int, outcome: httpx.Response | httpx.RequestError) -> float | None:
        """Seconds before the same call is sent again, or None if it must not be."""
        is_once = not call.operation.is_read or call.seconds is not None
        if is_once or isinstance(outcome, httpx.DecodingError):
            return None
        if isinstance(outcome, httpx.RequestError):
            return self._backoff.delay(attempt)
        if not is_passing(outcome.status_code):
            return None
        return self._backoff.delay(attempt, retry_after=retry_after(outcome.headers))

    def __repr__(self) -> str:
        workspace = f", workspace={self.workspace!r}" if self.workspace else ""
        return f"{type(self).__name__}({self.base_url!r}{workspace})"


def _made(kind: Callable[..., H], **options: Any) -> H:
    try:
        return kind(**options)
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        reason = redacted(str(bare(error)), by=MASK).partition(". Make sure")[0]
        raise ConfigurationError(
            f"A proxy of the environment cannot be used: {reason}.\nCorrect HTTP_PROXY, HTTPS_PROXY or ALL_PROXY."
        ) from None


def _checked_url(base_url: str) -> str:
    url = Address(base_url.strip().rstrip("/"))
    if "@" in url:
        raise ConfigurationError("The base URL may hold no user name and no password; give the key as api_key=….")
    if not _is_whole(url) or re.search(r"[\s?#]", url):
        raise ConfigurationError(
            f"The base URL {base_url!r} must begin with http:// or https://, name a host, and end with its path."
        )
    return url


def _is_whole(url: str) -> bool:
    try:
        parts = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError):  # the latter for half a character
        return False
    return parts.scheme in ("http", "https") and bool(parts.host) and (parts.port or 0) < 2**16


def _headers(workspace: str | None) -> dict[str, str]:
    headers = {"Accept": "application/json, text/event-stream", "User-Agent": f"dashnb/{__version__}"}
    headers.update(UNPACKED)
    if workspace:
        headers["X-DashScope-WorkSpace"] = workspace
    return headers


def _answer(call: Call[T], response: httpx.Response) -> T:
    try:
        return call.answer.model_validate(decode(response))  # type: ignore[attr-defined,no-any-return]  # T is a model
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the object"
        raise ProtocolError(f"The answer to {call.operation.name} is malformed: {where}: {first['msg']}") from error


class Client(_Endpoint):
    """A client that waits for each answer.

    >>> import dashnb
    >>> with dashnb.connect("local", database=":memory:") as client:
    ...     thread = client.threads.create(metadata={"topic": "cats"})
    ...     client.threads.retrieve(thread.id).metadata
    {'topic': 'cats'}

    Connections are pooled and kept open; close the client, or use ``with``.

    Args:
        base_url: The service, ending in ``/api/v1``.
        api_key: The key, or a `dashnb.keys.Secret` with it; shown nowhere.
        workspace: The workspace id, needed only for keys of a sub-workspace.
        timeout: Seconds to wait between two pieces of data.
        transport: Another way to the server than the network, such as the embedded API in process.
        backoff: How reads are repeated after 429 and 5xx, and how long to wait before a stream that broke
            is joined again; nothing else is ever repeated.
        clock: Milliseconds that never go back; times of states are taken from it.
        sleep: How to let seconds pass.

    Raises:
        ConfigurationError: A base URL, key or time-out that cannot be meant.
    """

    def __init__(
        self,
        base_url: str = REGIONS["cloud"],
        *,
        api_key: str | Secret | None = None,
        workspace: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        transport: httpx.BaseTransport | None = None,
        backoff: Backoff | None = None,
        clock: Clock = monotonic_ms,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        api_key = hidden(api_key)  # a traceback with local variables shows this one
        super().__init__(base_url, api_key, workspace, timeout, backoff, clock)
        self._sleep = sleep
        # For sessions: the states of runs for which functions were called, by id, until they have the outputs.
        self._unfinished: dict[str, RunState] = {}
        self._pool = Pool(
            partial(
                _made,
                httpx.Client,
                headers=self._headers,
                auth=self._auth,
                timeout=self._timeout,
                transport=transport,
                trust_env=self._trust_env,
                event_hooks=hooks(),
            )
        )
        self.assistants = Assistants(self)
        self.threads = Threads(self)
        self.messages = Messages(self)
        self.runs = Runs(self)
        self.steps = Steps(self)

    def send(self, call: Call[T]) -> T:
        """The answer to a call. The methods of the resources build calls and send them here."""
        attempt = 1
        while True:
            http = self._pool.http
            try:
                outcome: httpx.Response | httpx.RequestError = http.send(self._request(http, call))
            except httpx.RequestError as error:
                outcome = unsent(error, self._key)
            delay = self._next_delay(call, attempt, outcome)
            if delay is None:
                break
            self._sleep(delay)
            attempt += 1
        if isinstance(outcome, httpx.RequestError):
            raise unreachable(outcome, self.base_url) from outcome
        return _answer(call, outcome)

    def open(self, call: Call[Run], *, state: RunState | None = None) -> RunStream:
        """The stream that a call is answered with; nothing is sent before it is iterated over."""
        return RunStream(self, call, state=state)

    @contextmanager
    def _opened(self, call: Call[Run]) -> Iterator[httpx.Response]:
        origin = Origin()
        http = self._pool.http
        response = http.send(self._request(http, call), stream=True)
        try:
            yield response
        finally:
            if origin.is_here:  # a child's copy of the connection is for nobody
                response.close()

    def drive(self, procedure: Procedure[T]) -> T:
        """The result of a procedure, its calls sent, their errors raised in it, and its pauses slept through."""
        answer: object = None
        failure: DashnbError | None = None
        while True:
            try:
                step = procedure.throw(failure) if failure else procedure.send(answer)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # the procedure's own result
            answer = failure = None
            try:
                answer = self._sleep(step.seconds) if isinstance(step, Pause) else self.send(step)
            except DashnbError as error:
                failure = error

    def close(self) -> None:
        """Close all connections. Closing twice does nothing."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient(_Endpoint):
    """The same client, for ``await``, ``async with`` and ``async for``.

    >>> import asyncio, dashnb
    >>> async def main():
    ...     async with dashnb.AsyncClient("https://dashscope.aliyuncs.com/api/v1", api_key="sk-x") as client:
    ...         return client
    >>> asyncio.run(main())
    AsyncClient('https://dashscope.aliyuncs.com/api/v1')

    It may be used in one event loop after another, and in several threads with a loop each: every loop has
    connections of its own, which are closed with it.

    Args: those of `Client`; ``transport`` and ``sleep`` are asynchronous ones.
    """

    def __init__(
        self,
        base_url: str = REGIONS["cloud"],
        *,
        api_key: str | Secret | None = None,
        workspace: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        transport: httpx.AsyncBaseTransport | None = None,
        backoff: Backoff | None = None,
        clock: Clock = monotonic_ms,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        api_key = hidden(api_key)  # a traceback with local variables shows this one
        super().__init__(base_url, api_key, workspace, timeout, backoff, clock)
        self._sleep = sleep
        self._pool = AsyncPool(
            partial(
                _made,
                httpx.AsyncClient,
                headers=self._headers,
                auth=self._auth,
                timeout=self._timeout,
                transport=transport,
                trust_env=self._trust_env,
                event_hooks=async_hooks(),
            ),
            shared=transport is not None,
        )
        self.assistants = AsyncAssistants(self)
        self.threads = AsyncThreads(self)
        self.messages = AsyncMessages(self)
        self.runs = AsyncRuns(self)
        self.steps = AsyncSteps(self)

    async def send(self, call: Call[T]) -> T:
        """The answer to a call. The methods of the resources build calls and send them here."""
        attempt = 1
        while True:
            http = await self._pool.http()
            try:
                outcome: httpx.Response | httpx.RequestError = await http.send(self._request(http, call))
            except httpx.RequestError as error:
                outcome = unsent(error, self._key)
            delay = self._next_delay(call, attempt, outcome)
            if delay is None:
                break
            await self._sleep(delay)
            attempt += 1
        if isinstance(outcome, httpx.RequestError):
            raise unreachable(outcome, self.base_url) from outcome
        return _answer(call, outcome)

    def open(self, call: Call[Run], *, state: RunState | None = None) -> AsyncRunStream:
        """The stream that a call is answered with; nothing is sent before it is iterated over."""
        return AsyncRunStream(self, call, state=state)

    def _opened(self, call: Call[Run], is_wanted: Callable[[httpx.Response], bool]) -> Channel:
        async def send() -> httpx.Response:
            http = await self._pool.http()
            return await http.send(self._request(http, call), stream=True)

        return Channel(send, is_wanted)

    async def drive(self, procedure: Procedure[T]) -> T:
        """The result of a procedure, its calls sent, their errors raised in it, and its pauses slept through."""
        answer: object = None
        failure: DashnbError | None = None
        while True:
            try:
                step = procedure.throw(failure) if failure else procedure.send(answer)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # the procedure's own result
            answer = failure = None
            try:
                answer = await (self._sleep(step.seconds) if isinstance(step, Pause) else self.send(step))
            except DashnbError as error:
                failure = error

    async def close(self) -> None:
        """Close all connections. Closing twice does nothing."""
        await self._pool.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
