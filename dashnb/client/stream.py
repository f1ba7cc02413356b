"""A streamed run: an answer that is read event by event, and the state that the events add up to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType
from typing import Self

import httpx

from dashnb.client.failures import decode, short, unreachable
from dashnb.errors import ProtocolError, StreamError
from dashnb.protocol.events import RunEvent, parse_event
from dashnb.protocol.objects import ErrorInfo, Run
from dashnb.protocol.sse import Decoder, ServerSentEvent
from dashnb.protocol.state import RunState

ENGINE_HEADER = "x-dashnb-engine"
Clock = Callable[[], float]


class Reader:
    """Chunks of bytes to run events and their sum, without any input or output of its own.

    Attributes:
        state: The sum of all events of the run, those of earlier streams included.
        count: How many events this reader has read.
        ended: True if the stream may end here: the run has ended or asks for action, or ``done`` came.
    """

    def __init__(self, state: RunState, clock: Clock) -> None:
        self.state = state
        self.count = 0
        self.ended = False
        self._clock = clock
        self._decoder = Decoder()

    def feed(self, chunk: bytes) -> Iterator[RunEvent]:
        """The events that a chunk completes, each already in the state.

        Raises:
            StreamError: The server sent an ``error`` event.
            ProtocolError: An event is malformed.
        """
        for sent in self._decoder.feed(chunk):
            yield self._take(sent)

    def finish(self) -> Iterator[RunEvent]:
        """The event that the end of the stream left open, if it is whole.

        Raises:
            StreamError: The stream ended before the run had ended or asked for action.
        """
        if sent := self._decoder.flush():
            try:
                yield self._take(sent)
            except ProtocolError:
                raise self.broken("an event was cut off") from None
        if not self.ended:
            raise self.broken("it ended too early")

    def broken(self, reason: str) -> StreamError:
        """The exception for a stream that broke off."""
        place = f"run {self.state.id}" if self.state.id else "the run"
        return StreamError(
            f"The stream of {place} broke off: {reason}. What arrived is kept.\n"
            "The run may go on at the server: client.runs.recover(error.state) reads its end.",
            state=self.state,
        )

    def _take(self, sent: ServerSentEvent) -> RunEvent:
        try:
            event = parse_event(sent)
        except ProtocolError as error:
            error.state = self.state
            raise
        self.count += 1
        self.state.apply(event, at=self._clock())
        if isinstance(event.data, Run):
            self.ended = self.state.is_final or self.state.status == "requires_action"
        elif event.name == "done":
            self.ended = True
        if isinstance(event.data, ErrorInfo):
            reason = f"{event.data.code or 'an error'}: {short(event.data.message, 400)}"
            request = f" (request_id {event.data.request_id})" if event.data.request_id else ""
            raise StreamError(
                f"The server ended the stream with {reason}{request}\n"
                "What arrived is kept; try again, or read the run with client.runs.recover(error.state).",
                state=self.state,
                code=event.data.code,
                request_id=event.data.request_id,
            )
        return event


class _Streamed:
    """What the two kinds of streams share: the state, the reader, and the checks on the answer."""

    def __init__(self, state: RunState | None, clock: Clock, base_url: str) -> None:
        self.state = state or RunState()
        self.engine = ""
        self._clock = clock
        self._base_url = base_url

    def _open(self) -> Reader:
        if self.state.requested_at is None:
            self.state.requested_at = self._clock()
        return Reader(self.state, self._clock)

    def _check_kind(self, response: httpx.Response) -> bool:
        """True if the answer is a stream; it has to be read whole otherwise, to say what it is."""
        self.engine = response.headers.get(ENGINE_HEADER, "")
        return response.is_success and "text/event-stream" in response.headers.get("content-type", "").lower()

    def _refuse(self, response: httpx.Response) -> ProtocolError:
        decode(response)
        return ProtocolError("The server answered one object where a stream of events was asked for.")

    def _lost(self, reader: Reader, error: httpx.RequestError) -> StreamError:
        return reader.broken(str(unreachable(error, self._base_url)).partition("\n")[0].rstrip("."))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.state!r})"


class RunStream(_Streamed):
    """The events of a run as they arrive: a context manager to iterate over.

    >>> import dashnb
    >>> with dashnb.connect("local", database=":memory:") as client:
    ...     assistant = client.assistants.create(model="qwen-max")
    ...     thread = client.threads.create(messages=[{"role": "user", "content": "What is 2 + 3?"}])
    ...     with client.runs.stream(thread.id, assistant_id=assistant.id) as stream:
    ...         names = [event.name for event in stream]
    >>> names[0], names[-1], stream.state.status
    ('thread.run.created', 'done', 'completed')

    Iterating without ``with`` works too; the connection closes at the end of the stream.

    Attributes:
        state: The sum of the events so far; complete after the last one.
        engine: Who answers, where the server says so.

    Raises (while iterating):
        APIError: The server refused the request.
        ConnectionFailed: The server cannot be reached.
        StreamError: The stream broke off, or carried an ``error`` event; its ``state`` is this one.
    """

    def __init__(
        self,
        opener: Callable[[], AbstractContextManager[httpx.Response]],
        *,
        state: RunState | None,
        clock: Clock,
        base_url: str,
    ) -> None:
        super().__init__(state, clock, base_url)
        self._opener = opener
        self._events: Iterator[RunEvent] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[RunEvent]:
        if self._events is None:
            self._events = self._read()
        return self._events

    def close(self) -> None:
        """Stop reading and close the connection. The run itself goes on; cancel it with ``runs.cancel``."""
        if self._events is not None:
            self._events.close()  # type: ignore[attr-defined]  # a generator, made by _read

    def _read(self) -> Iterator[RunEvent]:
        reader = self._open()
        try:
            with self._opener() as response:
                if not self._check_kind(response):
                    response.read()
                    raise self._refuse(response)
                for chunk in response.iter_bytes():
                    yield from reader.feed(chunk)
        except httpx.RequestError as error:
            if not reader.count:
                raise unreachable(error, self._base_url) from error
            if not reader.ended:
                raise self._lost(reader, error) from error
        yield from reader.finish()


class AsyncRunStream(_Streamed):
    """The same as `RunStream`, for ``async with`` and ``async for``."""

    def __init__(
        self,
        opener: Callable[[], AbstractAsyncContextManager[httpx.Response]],
        *,
        state: RunState | None,
        clock: Clock,
        base_url: str,
    ) -> None:
        super().__init__(state, clock, base_url)
        self._opener = opener
        self._events: AsyncIterator[RunEvent] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> AsyncIterator[RunEvent]:
        if self._events is None:
            self._events = self._read()
        return self._events

    async def close(self) -> None:
        """Stop reading and close the connection. The run itself goes on; cancel it with ``runs.cancel``."""
        if self._events is not None:
            await self._events.aclose()  # type: ignore[attr-defined]  # a generator, made by _read

    async def _read(self) -> AsyncIterator[RunEvent]:
        reader = self._open()
        try:
            async with self._opener() as response:
                if not self._check_kind(response):
                    await response.aread()
                    raise self._refuse(response)
                async for chunk in response.aiter_bytes():
                    for event in reader.feed(chunk):
                        yield event
        except httpx.RequestError as error:
            if not reader.count:
                raise unreachable(error, self._base_url) from error
            if not reader.ended:
                raise self._lost(reader, error) from error
        for event in reader.finish():
            yield event
