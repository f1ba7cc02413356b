"""The resource ``runs``: besides the plain operations, streams, waiting and recovery."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, Literal, overload

from dashnb.client import calls, procedures
from dashnb.client.resources import AsyncResource, P, Resource, apaged, awaited, paged, sent
from dashnb.client.stream import AsyncRunStream, RunStream
from dashnb.protocol.objects import Run
from dashnb.protocol.state import RunState


class opened(Generic[P]):
    """Binds a function that makes a run as a method that streams it."""

    def __init__(self, build: Callable[P, calls.Call[Run]]) -> None:
        self._build = build

    def __get__(self, resource: Runs, owner: type) -> Callable[P, RunStream]:
        build = self._build

        @functools.wraps(build)
        def open_stream(*args: P.args, **kwargs: P.kwargs) -> RunStream:
            return resource._client.open(calls.streamed(build(*args, **kwargs)))

        open_stream.__doc__ = _streamed_doc(build.__doc__)
        return open_stream


class aopened(Generic[P]):
    """Binds a function that makes a run as a method that streams it with ``async for``."""

    def __init__(self, build: Callable[P, calls.Call[Run]]) -> None:
        self._build = build

    def __get__(self, resource: AsyncRuns, owner: type) -> Callable[P, AsyncRunStream]:
        build = self._build

        @functools.wraps(build)
        def open_stream(*args: P.args, **kwargs: P.kwargs) -> AsyncRunStream:
            return resource._client.open(calls.streamed(build(*args, **kwargs)))

        open_stream.__doc__ = _streamed_doc(build.__doc__)
        return open_stream


def _streamed_doc(doc: str | None) -> str:
    _, _, rest = (doc or "").partition("\n")
    return f"The events of a new run as they arrive: iterate over it, inside ``with``; ``.state`` is their sum.\n{rest}"


class Runs(Resource):
    """Executions of an assistant on a thread."""

    create = sent(calls.create_run)
    create_thread_and_run = sent(calls.create_thread_and_run)
    stream = opened(calls.create_run)
    stream_thread_and_run = opened(calls.create_thread_and_run)
    retrieve = sent(calls.retrieve_run)
    update = sent(calls.update_run)
    cancel = sent(calls.cancel_run)
    iter = paged(calls.list_runs)
    list = sent(calls.list_runs)

    @overload
    def submit_tool_outputs(
        self, run_id: str, *, thread_id: str, tool_outputs: Iterable[calls.Json], stream: Literal[False] = False
    ) -> Run: ...
    @overload
    def submit_tool_outputs(
        self,
        run_id: str,
        *,
        thread_id: str,
        tool_outputs: Iterable[calls.Json],
        stream: Literal[True],
        state: RunState | None = None,
    ) -> RunStream: ...
    def submit_tool_outputs(
        self,
        run_id: str,
        *,
        thread_id: str,
        tool_outputs: Iterable[calls.Json],
        stream: bool = False,
        state: RunState | None = None,
    ) -> Run | RunStream:
        """The run that goes on once it has the results of its functions, as an object or as a stream.

        Args:
            run_id: The run, whose status is ``requires_action``.
            thread_id: Its thread.
            tool_outputs: ``{"tool_call_id": …, "output": …}`` for every pending call; without ids they
                pair by position.
            stream: True for the events of what follows.
            state: The state of the first stream, to go on adding up.

        Source: Runs reference, "Submit tool outputs".
        """
        call = calls.submit_tool_outputs(run_id, thread_id=thread_id, tool_outputs=tool_outputs)
        return self._client.open(calls.streamed(call), state=state) if stream else self._client.send(call)

    def wait(self, run_id: str, *, thread_id: str, timeout: float | None = None) -> Run:
        """The run once it has stopped: ended in any way (``incomplete`` too) or waiting for tool outputs.

        It looks soon at first and every two seconds in the end.

        Args:
            run_id: The run.
            thread_id: Its thread.
            timeout: Seconds to wait at most; None for as long as it takes.

        Raises:
            WaitTimeout: The run had not stopped in time; it goes on.
        """
        clock = self._client.clock
        return self._client.drive(procedures.wait(run_id, thread_id=thread_id, timeout=timeout, clock=clock))

    def recover(self, state: RunState, *, timeout: float | None = None) -> RunState:
        """The same state, finished from the run, its steps and its messages, after a stream broke.

        Args:
            state: What had arrived, such as ``error.state`` of a `StreamError`.
            timeout: Seconds to wait for the run at most; None for as long as it takes.

        Raises:
            InvalidArgument: The stream broke before it named its run.
            WaitTimeout: The run had not stopped in time; it goes on.
        """
        return self._client.drive(procedures.recover(state, timeout=timeout, clock=self._client.clock))

    def load(self, run_id: str, *, thread_id: str) -> RunState:
        """The state of a run as it is now, read from the run, its steps and its messages."""
        return self._client.drive(procedures.load(run_id, thread_id=thread_id, clock=self._client.clock))


class AsyncRuns(AsyncResource):
    """Executions of an assistant on a thread."""

    create = awaited(calls.create_run)
    create_thread_and_run = awaited(calls.create_thread_and_run)
    stream = aopened(calls.create_run)
    stream_thread_and_run = aopened(calls.create_thread_and_run)
    retrieve = awaited(calls.retrieve_run)
    update = awaited(calls.update_run)
    cancel = awaited(calls.cancel_run)
    iter = apaged(calls.list_runs)
    list = awaited(calls.list_runs)

    @overload
    def submit_tool_outputs(
        self, run_id: str, *, thread_id: str, tool_outputs: Iterable[calls.Json], stream: Literal[False] = False
    ) -> Awaitable[Run]: ...
    @overload
    def submit_tool_outputs(
        self,
        run_id: str,
        *,
        thread_id: str,
        tool_outputs: Iterable[calls.Json],
        stream: Literal[True],
        state: RunState | None = None,
    ) -> AsyncRunStream: ...
    def submit_tool_outputs(
        self,
        run_id: str,
        *,
        thread_id: str,
        tool_outputs: Iterable[calls.Json],
        stream: bool = False,
        state: RunState | None = None,
    ) -> Awaitable[Run] | AsyncRunStream:
        """As `Runs.submit_tool_outputs`: awaited for the run, iterated over with ``stream=True``."""
        call = calls.submit_tool_outputs(run_id, thread_id=thread_id, tool_outputs=tool_outputs)
        return self._client.open(calls.streamed(call), state=state) if stream else self._client.send(call)

    async def wait(self, run_id: str, *, thread_id: str, timeout: float | None = None) -> Run:  # noqa: ASYNC109 # seconds of the run, not of the call
        """As `Runs.wait`."""
        clock = self._client.clock
        return await self._client.drive(procedures.wait(run_id, thread_id=thread_id, timeout=timeout, clock=clock))

    async def recover(self, state: RunState, *, timeout: float | None = None) -> RunState:  # noqa: ASYNC109 # as above
        """As `Runs.recover`."""
        return await self._client.drive(procedures.recover(state, timeout=timeout, clock=self._client.clock))

    async def load(self, run_id: str, *, thread_id: str) -> RunState:
        """As `Runs.load`."""
        return await self._client.drive(procedures.load(run_id, thread_id=thread_id, clock=self._client.clock))
