"""The resource ``runs``: besides the plain operations, streams, waiting and recovery."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import Literal, overload

from dashnb.client import calls, procedures
from dashnb.client.binding import AsyncResource, Resource, aopened, apaged, awaited, opened, paged, sent
from dashnb.client.numbering import position_of
from dashnb.client.stream import AsyncRunStream, RunStream
from dashnb.errors import InvalidArgument
from dashnb.protocol.objects import Run
from dashnb.protocol.state import RunState


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
        self,
        run_id: str,
        *,
        thread_id: str,
        tool_outputs: Iterable[calls.Json],
        stream: Literal[False] = False,
        extra_body: calls.Json | None = None,
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
        extra_body: calls.Json | None = None,
    ) -> RunStream: ...
    def submit_tool_outputs(
        self,
        run_id: str,
        *,
        thread_id: str,
        tool_outputs: Iterable[calls.Json],
        stream: bool = False,
        state: RunState | None = None,
        extra_body: calls.Json | None = None,
    ) -> Run | RunStream:
        """The run that goes on once it has the results of its functions, as an object or as a stream.

        Args:
            run_id: The run, whose status is ``requires_action``.
            thread_id: Its thread.
            tool_outputs: ``{"tool_call_id": …, "output": …}`` for every pending call; without ids they
                pair by position.
            stream: True for the events of what follows.
            state: The state of the first stream, to go on adding up.
            extra_body: Further fields of the body.

        Source: Runs reference, "Submit tool outputs".
        """
        call = calls.submit_tool_outputs(run_id, thread_id=thread_id, tool_outputs=tool_outputs, extra_body=extra_body)
        return self._client.open(calls.streamed(call), state=state) if stream else self._client.send(call)

    def join(self, run_id: str, *, thread_id: str, after: str = "", state: RunState | None = None) -> RunStream:
        """The events of a run that is under way, or over, and not of this program perhaps.

        A run that was given tool outputs in between is told to its end. What a service without such an
        endpoint, as the cloud, gets in place of events is a `StreamError` that says how to read the run.

        Args:
            run_id: The run.
            thread_id: Its thread.
            after: The id of the last event that is already known, such as ``state.last_event_id``; that of the
                state if left out, else the run is told from its beginning.
            state: The state of an earlier stream of the run, to go on adding up.

        Raises:
            InvalidArgument: ``after`` is no event of this run.
        """
        return self._client.open(_joined(run_id, thread_id, after, state), state=state)

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
        self,
        run_id: str,
        *,
        thread_id: str,
        tool_outputs: Iterable[calls.Json],
        stream: Literal[False] = False,
        extra_body: calls.Json | None = None,
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
        extra_body: calls.Json | None = None,
    ) -> AsyncRunStream: ...
    def submit_tool_outputs(
        self,
        run_id: str,
        *,
        thread_id: str,
        tool_outputs: Iterable[calls.Json],
        stream: bool = False,
        state: RunState | None = None,
        extra_body: calls.Json | None = None,
    ) -> Awaitable[Run] | AsyncRunStream:
        """As `Runs.submit_tool_outputs`: awaited for the run, iterated over with ``stream=True``."""
        call = calls.submit_tool_outputs(run_id, thread_id=thread_id, tool_outputs=tool_outputs, extra_body=extra_body)
        return self._client.open(calls.streamed(call), state=state) if stream else self._client.send(call)

    def join(self, run_id: str, *, thread_id: str, after: str = "", state: RunState | None = None) -> AsyncRunStream:
        """As `Runs.join`."""
        return self._client.open(_joined(run_id, thread_id, after, state), state=state)

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


def _joined(run_id: str, thread_id: str, after: str, state: RunState | None) -> calls.Call[Run]:
    last = after or (state.last_event_id if state else "")
    named, number = position_of(last)
    if last and named != run_id:
        raise InvalidArgument(f"after must be the id of an event of the run {run_id}, as {run_id}:12; got {last!r}.")
    return calls.join_run(run_id, thread_id=thread_id, after=str(number) if last else None)
