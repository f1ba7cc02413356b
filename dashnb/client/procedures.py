"""Work that takes several requests, written once for both clients.

A procedure is a generator: it yields a `Call` to have it sent and gets the answer back, or a `Pause`
to have time pass. `Client` and `AsyncClient` each drive it in their own way.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from dashnb.client.calls import Call, list_messages, list_steps, retrieve_run
from dashnb.errors import InvalidArgument, WaitTimeout
from dashnb.protocol.lifecycle import is_final
from dashnb.protocol.objects import Message, Page, Run, RunStep, StepToolCall
from dashnb.protocol.requests import PAGE_LIMIT
from dashnb.protocol.state import RunState

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pause:
    """Let this many seconds pass."""

    seconds: float


Procedure = Generator[Call[Any] | Pause, Any, T]


def let_pass(seconds: float) -> Procedure[None]:
    """Nothing, after so many seconds."""
    yield Pause(seconds)


def poll_delays() -> Iterator[float]:
    """Seconds between two looks at a run: short at first, never longer than two seconds.

    >>> from itertools import islice
    >>> [round(delay, 2) for delay in islice(poll_delays(), 5)]
    [0.05, 0.08, 0.11, 0.17, 0.25]
    """
    delay = 0.05
    while True:
        yield min(delay, 2.0)
        delay = min(delay * 1.5, 2.0)


def wait(run_id: str, *, thread_id: str, timeout: float | None, clock: Callable[[], float]) -> Procedure[Run]:
    """Look at a run until it stops: ended in any way, or waiting for tool outputs.

    Args:
        run_id: The run.
        thread_id: Its thread.
        timeout: Seconds to wait at most, or None for as long as it takes.
        clock: Milliseconds that never go back.

    Raises:
        WaitTimeout: The run had not stopped in time.
    """
    started = clock()
    call = retrieve_run(run_id, thread_id=thread_id)
    for delay in poll_delays():
        run: Run = yield call
        if is_final(run.status) or run.status == "requires_action":
            return run
        waited = (clock() - started) / 1000
        left = delay if timeout is None else timeout - waited
        if left <= 0:
            raise WaitTimeout(
                f"The run {run_id} is still {run.status} after {waited:.0f} s; it goes on.\n"
                f"Wait again: client.runs.wait({run_id!r}, thread_id={thread_id!r})."
            )
        yield Pause(min(delay, left))
    raise AssertionError("poll_delays never ends")  # pragma: no cover


def every(first: Call[Page[T]]) -> Procedure[list[T]]:
    """All entries of a list, page by page."""
    entries: list[T] = []
    call: Call[Page[T]] | None = first
    while call is not None:
        page: Page[T] = yield call
        entries += page.data
        call = following(call, page)
    return entries


def following(call: Call[Page[T]], page: Page[T]) -> Call[Page[T]] | None:
    """The call for the page behind this one, or before it where ``before`` was asked for; None if it was the last.

    A server that ignores where to go on is not asked for ever: it is known by an entry that comes again.
    """
    cursor, edge = ("before", 0) if call.query.get("before") else ("after", -1)
    entry_id = getattr(page.data[edge], "id", "") if page.data else ""
    is_new = bool(entry_id) and entry_id != call.query.get(cursor)
    return call.at(cursor, entry_id) if page.has_more and is_new else None


def recover(state: RunState, *, timeout: float | None, clock: Callable[[], float]) -> Procedure[RunState]:
    """Finish a state whose stream broke: wait for the run, then read its steps and messages.

    Raises:
        InvalidArgument: The stream broke before it named its run.
        WaitTimeout: The run had not stopped in time.
    """
    if not state.id or not state.thread_id:
        raise InvalidArgument("The stream broke before the run had an id; look for it with client.runs.list.")
    run = yield from wait(state.id, thread_id=state.thread_id, timeout=timeout, clock=clock)
    return (yield from _merge(state, run, clock))


def load(run_id: str, *, thread_id: str, clock: Callable[[], float]) -> Procedure[RunState]:
    """The state of a run as it is now, read from its objects."""
    run: Run = yield retrieve_run(run_id, thread_id=thread_id)
    return (yield from _merge(RunState(), run, clock))


def goes_on(state: RunState) -> Procedure[bool]:
    """True if a run that asked for action, and so ended its stream, has gone on since.

    Then the step that waited is over, or is not the newest one any more.
    """
    newest: Page[RunStep] = yield list_steps(state.id, thread_id=state.thread_id, limit=1, order="desc")
    known = [step.id for step in state.steps if step.status == "in_progress"]
    return any(step.status != "in_progress" or (known and step.id not in known) for step in newest.data)


def still_waits(state: RunState, run: Run) -> Procedure[bool]:
    """True if a run, as it is now, waits for the calls that a state knows of, and not for later ones."""
    if run.status != "requires_action":
        return False
    known, asked = ([call.id for call in calls_of(one)] for one in (state.run, run))
    if all(known) and all(asked):
        return bool(known) and known == asked
    return len(known) == len(asked) and not (yield from goes_on(state))


def calls_of(run: Run | None) -> Sequence[StepToolCall]:
    """The calls that a run waits for, or waited for when it was last seen."""
    return run.required_action.submit_tool_outputs.tool_calls if run and run.required_action else ()


def is_over(state: RunState, run_id: str, *, thread_id: str) -> Procedure[bool]:
    """True if a run has ended; the state then says how."""
    run: Run = yield retrieve_run(run_id, thread_id=thread_id)
    if is_final(run.status):
        state.merge(run)
    return is_final(run.status)


def _merge(state: RunState, run: Run, clock: Callable[[], float]) -> Procedure[RunState]:
    steps: list[RunStep] = yield from every(
        list_steps(run.id, thread_id=run.thread_id or state.thread_id, limit=PAGE_LIMIT, order="asc")
    )
    written = {step.step_details.message_creation.message_id for step in steps if step.step_details.message_creation}
    messages = yield from _messages(run, state, written)
    state.merge(run, steps=steps, messages=messages, at=clock())
    return state


def _messages(run: Run, state: RunState, written: set[str]) -> Procedure[list[Message]]:
    """The messages that the run's steps name, oldest first; the newest pages of the thread come first."""
    found: list[Message] = []
    call: Call[Page[Message]] | None = list_messages(run.thread_id or state.thread_id, limit=PAGE_LIMIT)
    while call is not None and len(found) < len(written):
        page: Page[Message] = yield call
        found += [message for message in page.data if message.id in written]
        call = following(call, page)
    return found[::-1]
