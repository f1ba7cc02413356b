"""A streamed run: an answer that is read event by event, and the state that the events add up to.

A connection that breaks is no end where the server numbers its events: the run is joined again behind
the last one. So is one that passes over an event; what comes twice, or belongs to another run, is dropped.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Self

import httpx

from dashnb.client.calls import Call, join_run, retrieve_run
from dashnb.client.failures import Backoff, decode, is_passing, short, unreachable, unsent
from dashnb.client.numbering import Hole, Numbering, position_of
from dashnb.client.procedures import Pause, Procedure, goes_on, is_over
from dashnb.credentials import Known
from dashnb.errors import APIError, DashnbError, ProtocolError, StreamError
from dashnb.forks import Origin
from dashnb.keys import known
from dashnb.protocol.events import RunEvent, parse_event
from dashnb.protocol.objects import ErrorInfo, Run
from dashnb.protocol.operations import ENGINE_HEADER, JOIN
from dashnb.protocol.sse import Decoder, ServerSentEvent
from dashnb.protocol.state import RunState

if TYPE_CHECKING:
    from dashnb.client.client import AsyncClient, Client

# How often a run is joined again before one more event has arrived.
REJOINS = 5
Clock = Callable[[], float]


# Why a connection gave no more events; None if it was closed in good order.
Failure = httpx.RequestError | APIError | ProtocolError | Hole | None


class Reader:
    """Chunks of bytes to run events and their sum, over all connections, without any input or output of its own.

    Attributes:
        state: The sum of all events of the run, those of earlier streams included.
        thread_id: Its thread, once known.
        count: How many events this reader has read.
        ended: True if the stream may end here: the run has ended or asks for action, or ``done`` came.
        done: True if ``done`` came, behind which no stream has anything.
    """

    def __init__(
        self, state: RunState, clock: Clock, base_url: str, backoff: Backoff, call: Call[Run], key: Known | None = None
    ) -> None:
        self.state = state
        self.thread_id = str(call.ids.get("thread_id", ""))
        self.count = 0
        self.ended = False
        self.done = False
        self._clock = clock
        self._key = key or known(None)
        self._filter = self._key.filter()
        self._base_url = base_url
        self._backoff = replace(backoff, attempts=REJOINS + 1)
        self._joins = call.operation is JOIN
        # Where to go on: behind what was asked for, or behind the end of the stream that the state came from.
        self._at = Numbering(str(call.ids.get("run_id", "")))
        if self._joins:
            self._at.seq = int(str(call.query.get("after", 0)))
        elif self.run_id and state.done and position_of(state.last_event_id)[0] == self.run_id:
            self._at.seq = position_of(state.last_event_id)[1]
        self._opened = False
        self._tries = 0
        self._break: Failure = None
        self._decoder = Decoder()

    @property
    def run_id(self) -> str:
        """The run, ``""`` before its name is known."""
        return self._at.run_id

    def begin(self) -> None:
        """A connection is open, and its bytes follow."""
        if self._opened:
            self._decoder = Decoder()
            self._filter = self._key.filter()
        self._opened = True

    def clean(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The chunks as they come, without the key: no variable of a frame holds what a server repeats."""
        try:
            yield from map(self._filter.feed, chunks)
        except BaseException as error:  # an interrupt too: the frames below have the bytes as they came
            raise error.with_traceback(None)  # noqa: B904 # it is the same exception

    async def clean_async(self, chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        """The same as `clean`, of an asynchronous iterator."""
        try:
            async for chunk in chunks:
                clean = self._filter.feed(chunk)
                del chunk
                yield clean
        except BaseException as error:
            raise error.with_traceback(None)  # noqa: B904

    def feed(self, chunk: bytes) -> Iterator[RunEvent]:
        """The events that a chunk completes, each already in the state.

        Raises:
            StreamError: The server sent an ``error`` event, or one without an end.
            ProtocolError: An event is malformed.
            Hole: An event is missing.
        """
        try:
            complete = self._decoder.feed(chunk)
        except ProtocolError as error:
            raise self.broken(str(error).rstrip(".")) from error
        for sent in complete:
            if (event := self._take(sent)) is not None:
                yield event

    def rejoin_after(self, failure: Failure) -> float | None:
        """Seconds after which to join the run again, or None if the stream ends here.

        Raises:
            APIError: The server refused the request.
            ProtocolError: The server's answer is no stream.
            StreamError: The server has no way to join a run.
        """
        if not self._opened and isinstance(failure, DashnbError):
            raise failure
        if not self._tries:
            self._break = failure
        is_lasting = isinstance(failure, (ProtocolError, httpx.DecodingError)) or (
            isinstance(failure, APIError) and not is_passing(failure.status_code)
        )
        if self.done or is_lasting or not self._opened or self._at.seq is None or not self.thread_id:
            return None
        self._tries += 1
        return self._backoff.delay(self._tries)

    @property
    def position(self) -> Call[Run]:
        """What joins the run again behind its last event."""
        return join_run(self.run_id, thread_id=self.thread_id, after=str(self._at.seq))

    def go_on(self) -> None:
        """More is to come behind the end of the stream that has just been read."""
        self.ended = self.done = False

    def finish(self) -> Iterator[RunEvent]:
        """The event that the end of the stream left open, if it is whole.

        Raises:
            ConnectionFailed: Nothing arrived at all.
            StreamError: The stream ended before the run had ended or asked for action.
        """
        cause = self._break
        if self._at.hole:
            raise self.broken(f"event {(self._at.seq or 0) + 1} is missing") from None
        if isinstance(cause, httpx.RequestError) and not self.ended:
            failed = unreachable(cause, self._base_url)
            if not self.count:
                raise failed from cause
            raise self.broken(str(failed).partition("\n")[0].rstrip(".")) from cause
        yield from self.feed(self._filter.flush())
        if sent := self._decoder.flush():
            try:
                event = self._take(sent)
            except (ProtocolError, Hole):
                raise self.broken("an event was cut off") from None
            if event is not None:
                yield event
        if not self.ended:
            raise self.broken("it ended too early")

    def broken(self, reason: str) -> StreamError:
        """The exception for a stream that broke off."""
        place = f"run {self.state.id}" if self.state.id else "the run"
        again = f"; joining it again failed {REJOINS} times" if self._tries > REJOINS else ""
        return StreamError(
            f"The stream of {place} broke off: {reason}{again}. What arrived is kept.\n"
            "The run may go on at the server: client.runs.recover(error.state) reads its end.",
            state=self.state,
        )

    def _take(self, sent: ServerSentEvent) -> RunEvent | None:
        """The event, applied; None if it is known already, or another run's.

        Raises:
            StreamError: It is an ``error`` event.
            ProtocolError: It is malformed.
            Hole: One before it is missing.
        """
        if not self._at.is_next(sent, ended=self.ended):
            return None
        try:
            event = parse_event(sent)
        except ProtocolError as error:
            error.state = self.state
            raise
        self._at.take(sent)
        self.count += 1
        self._tries = 0
        self.state.apply(event, at=self._clock())
        if self.state.id and self.run_id != self.state.id and not self._joins:
            # The ids number something else than the events of the run.
            self._at = Numbering(self.state.id)
        self.thread_id = self.thread_id or self.state.thread_id
        self.done = event.name == "done"
        if isinstance(event.data, Run):
            self.ended = self.state.is_final or self.state.status == "requires_action"
        elif self.done:
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

    def __init__(self, call: Call[Run], state: RunState | None) -> None:
        self.state = state or RunState()
        self.engine = ""
        self._call = call
        self._joins = call.operation is JOIN

    def _open(self, client: Client | AsyncClient) -> Reader:
        if self.state.requested_at is None:
            self.state.requested_at = client.clock()
        return Reader(self.state, client.clock, client.base_url, client._backoff, self._call, client._key)

    def _check_kind(self, response: httpx.Response) -> bool:
        """True if the answer is a stream; it has to be read whole otherwise, to say what it is."""
        self.engine = response.headers.get(ENGINE_HEADER, "") or self.engine
        return response.is_success and "text/event-stream" in response.headers.get("content-type", "").lower()

    def _check_process(self, origin: Origin) -> None:
        if not origin.is_here:
            raise StreamError(
                f"The stream of run {self.state.id} belongs to the process that this one was forked from.\n"
                "Go on there; here the run can be joined: client.runs.join(run_id, thread_id=…).",
                state=self.state,
            )

    def _refusal(self, response: httpx.Response) -> APIError | ProtocolError:
        try:
            decode(response)
        except (APIError, ProtocolError) as error:
            return error
        return ProtocolError("The server answered one object where a stream of events was asked for.")

    def _next(self, reader: Reader, failure: Failure) -> Procedure[Call[Run] | None]:
        """What to read next once a connection has ended, waits included; None if this was all.

        Args:
            reader: The reader.
            failure: Why the connection gave no more.

        Raises: as `Reader.rejoin_after`, and NotFoundError if the run to join is not there.
        """
        if self._joins and not reader.count and getattr(failure, "status_code", 0) in (404, 405):
            run: Run = yield retrieve_run(reader.run_id, thread_id=reader.thread_id)
            raise self._cannot_join(run) from failure
        if self._joins and reader.done and self.state.status == "requires_action" and (yield from goes_on(self.state)):
            reader.go_on()
            return reader.position
        if self._joins and failure is None and not reader.count and self._call.query.get("after"):
            # Behind the last event of a run that is over there is nothing, which is no break.
            reader.done = yield from is_over(self.state, reader.run_id, thread_id=reader.thread_id)
            reader.ended = reader.done
        delay = reader.rejoin_after(failure)
        if delay is None:
            return None
        yield Pause(delay)
        return reader.position

    def _cannot_join(self, run: Run) -> StreamError:
        self.state.merge(run)
        return StreamError(
            f"The run {run.id} ({run.status}) cannot be joined: this service has no streams of earlier runs.\n"
            "client.runs.recover(error.state) waits for its end and reads it; client.runs.load reads it as it is.",
            state=self.state,
        )

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

    Iterating without ``with`` works too; the connection closes at the end of the stream. If it breaks before,
    the run is joined again where the server can do that, and no event is missing or comes twice.

    Attributes:
        state: The sum of the events so far; complete after the last one.
        engine: Who answers, where the server says so.

    Raises (while iterating):
        APIError: The server refused the request.
        ConnectionFailed: The server cannot be reached.
        StreamError: The stream broke off, or carried an ``error`` event; its ``state`` is this one.
    """

    def __init__(self, client: Client, call: Call[Run], *, state: RunState | None = None) -> None:
        super().__init__(call, state)
        self._client = client
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
        reader = self._open(self._client)
        origin = Origin()
        call: Call[Run] | None = self._call
        while call is not None:
            failure: Failure = None
            try:
                with self._client._opened(call) as response:
                    if self._check_kind(response):
                        reader.begin()
                        for chunk in reader.clean(response.iter_bytes()):
                            yield from reader.feed(chunk)
                            self._check_process(origin)
                    else:
                        response.read()
                        failure = self._refusal(response)
            except httpx.RequestError as error:
                failure = unsent(error, self._client._key)
            except Hole as error:
                failure = error
            call = self._client.drive(self._next(reader, failure))
        yield from reader.finish()


class AsyncRunStream(_Streamed):
    """The same as `RunStream`, for ``async with`` and ``async for``."""

    def __init__(self, client: AsyncClient, call: Call[Run], *, state: RunState | None = None) -> None:
        super().__init__(call, state)
        self._client = client
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
        reader = self._open(self._client)
        origin = Origin()
        call: Call[Run] | None = self._call
        while call is not None:
            failure: Failure = None
            try:
                async with self._client._opened(call, self._check_kind) as channel:
                    if self._check_kind(channel.response):
                        reader.begin()
                        async for chunk in reader.clean_async(channel):
                            for event in reader.feed(chunk):
                                yield event
                            self._check_process(origin)
                    else:
                        failure = self._refusal(channel.response)
            except httpx.RequestError as error:
                failure = unsent(error, self._client._key)
            except Hole as error:
                failure = error
            call = await self._client.drive(self._next(reader, failure))
        for event in reader.finish():
            yield event
