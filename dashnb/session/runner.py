"""One run, from the request to its record: the whole path of the data on one screen.

for event in stream: the state grows, and is yielded
requires_action → decide → call the functions → submit → go on with the new stream
a person has still to decide → the run is left waiting
ended, failed, interrupted, waiting → record, always
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Mapping
from typing import Any

from dashnb.client.client import Client
from dashnb.client.stream import RunStream
from dashnb.errors import APIError, BadRequestError, ConflictError, DashnbError, RunError, StreamError
from dashnb.protocol.lifecycle import is_final
from dashnb.protocol.objects import LastError
from dashnb.protocol.pieces import NO_ASIDE
from dashnb.protocol.state import ABANDONED, RunState
from dashnb.session.approval import NOBODY, Ask, decide
from dashnb.session.busy import MOST_TRIES
from dashnb.session.calling import call_all
from dashnb.session.tools import FunctionTool

MOST_ROUNDS = 16
Recorder = Callable[[RunState, str], None]
Refusal = BadRequestError | ConflictError


def _no_room(refused: Refusal) -> None:
    raise refused


def run(
    client: Client,
    begin: Callable[[RunState], RunStream],
    functions: Mapping[str, FunctionTool],
    *,
    state: RunState,
    record: Recorder,
    ask: Ask = NOBODY,
    make_room: Callable[[Refusal], None] = _no_room,
    is_mine: bool = True,
) -> Generator[RunState, None, None]:
    """The state of a run after each of its events, functions called as it asks for them.

    Args:
        client: Where the run goes on after its functions were called.
        begin: Sends what comes before the run and opens its first stream, which adds up in the state.
        functions: The functions it may ask for, by name.
        state: The state, still empty.
        record: Called once at the end, however the run ended, with the state and the engine's name.
        ask: Decides about calls of tools that ask first; None as its answer leaves the run waiting.
        make_room: Called when the thread does not take the run, to let it begin once more, or raise.
        is_mine: False for a run that is only watched, and goes on when nobody watches any more; it becomes
            ours once we answer what it asks for.

    Raises:
        RunError: The run ended, but not with ``completed``, or asked for a function that is not there.
        StreamError: The stream broke.
        APIError: The service refused a request.
    """
    engine = ""
    try:
        following = _begin(begin, state, make_room)
        for rounds in itertools.count():
            for stream in _read(client, following, state):
                engine = stream.engine if stream else engine
                yield state
            if not state.pending_calls:
                break
            if rounds == MOST_ROUNDS:
                raise _endless(state)
            outputs = call_functions(functions, state, ask)
            if outputs is None:
                return
            is_mine = True
            following = _events(hand_in(client, outputs, state))
        if state.status != "completed":
            raise failure(state)
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        if is_mine:
            stop(client, state)
        else:
            state.end(ABANDONED, at=client.clock())
        raise
    except DashnbError as error:
        refuse(client, state, error)
        raise
    finally:
        record(state, engine)


def go_on(
    client: Client,
    functions: Mapping[str, FunctionTool],
    *,
    state: RunState,
    record: Recorder,
    ask: Ask = NOBODY,
) -> Generator[RunState, None, None]:
    """The state of a run that waits for functions, after each event with which it goes on.

    Args: as `run`.

    Raises: as `run`; RunError also if the run does not wait for functions.
    """
    if not state.pending_calls:
        raise RunError(
            f"The run {state.id} does not wait for functions: it is {state.status or 'not begun'}.\n"
            "Ask a new question instead.",
            state=state,
        )
    outputs = call_functions(functions, state, ask)
    if outputs is None:
        yield state
        return
    yield from run(client, lambda _: hand_in(client, outputs, state), functions, state=state, record=record, ask=ask)


def _events(stream: RunStream) -> Generator[RunStream, None, None]:
    with stream:
        for _event in stream:
            yield stream


def _begin(
    begin: Callable[[RunState], RunStream], state: RunState, make_room: Callable[[Refusal], None]
) -> Generator[RunStream, None, None]:
    """The stream after each event, begun again if the thread was taken and room could be made."""
    for tries in itertools.count(1):
        try:
            yield from _events(begin(state))
            return
        except (BadRequestError, ConflictError) as refused:
            if state.event_count or tries == MOST_TRIES:
                raise
            make_room(refused)


def _read(
    client: Client, following: Generator[RunStream, None, None], state: RunState
) -> Generator[RunStream | None, None, None]:
    """The stream after each event; None once for a run that can only be read as a whole."""
    try:
        yield from following
    except StreamError:
        if state.event_count or not state.id:
            raise
        client.runs.recover(state)
        yield None


def call_functions(functions: Mapping[str, FunctionTool], state: RunState, ask: Ask) -> list[dict[str, Any]] | None:
    """The outputs of the calls that a run waits for, in order; None if a person has still to decide.

    What only a person sees of the calls is kept in the state.

    Raises:
        RunError: A call names a function that is not there.
    """
    calls = state.pending_calls
    missing = sorted({call.name for call in calls} - set(functions))
    if missing:
        raise RunError(
            f"The run {state.id} asks for {', '.join(missing)}, and no such function was given.\n"
            "Pass the function in tools=[…], or hand in the outputs: client.runs.submit_tool_outputs(…).",
            state=state,
        )
    decisions = decide(calls, functions, ask)
    if decisions is None:
        return None
    outcomes = call_all(calls, functions, decisions)
    told = list(zip(calls, outcomes, strict=True))
    state.asides.update({call.id: outcome.aside for call, outcome in told if outcome.aside != NO_ASIDE})
    return [{"tool_call_id": call.id, "output": outcome.text} for call, outcome in told]


def hand_in(client: Client, outputs: list[dict[str, Any]], state: RunState) -> RunStream:
    """The stream with which a run goes on after the outputs of its functions."""
    return client.runs.submit_tool_outputs(
        state.id, thread_id=state.thread_id, tool_outputs=outputs, stream=True, state=state
    )


def stop(client: Client, state: RunState) -> None:
    """Cancel a run that nobody reads any more, or mark it as abandoned where the service cannot cancel."""
    if state.is_final:
        return
    at = client.clock()
    try:
        client.runs.cancel(state.id, thread_id=state.thread_id)
    except DashnbError:
        state.end(_late_end(client, state) or ABANDONED, at=at)
    else:
        state.end("cancelled", at=at)


def _late_end(client: Client, state: RunState) -> str:
    """How a run ended just before it could be cancelled, or ``""`` if it goes on or cannot be asked."""
    try:
        run = client.runs.retrieve(state.id, thread_id=state.thread_id)
    except DashnbError:
        return ""
    return run.status if is_final(run.status) else ""


def refuse(client: Client, state: RunState, error: DashnbError) -> None:
    """Mark a run that never began as failed, with the reason."""
    if state.id:
        return
    code, message = type(error).__name__, str(error).partition("\n")[0]
    if isinstance(error, APIError):
        code, message = error.code or code, error.message
    state.end("failed", at=client.clock(), error=state.error or LastError(code=code, message=message))


def failure(state: RunState) -> RunError:
    """The exception for a run that ended in another way than it should."""
    code = state.error.code if state.error else ""
    reason = f": {code}: {' '.join(state.error.message.split())}" if state.error else ""
    if state.status == "requires_action":
        reason = ": it waits for functions, and names none"
    return RunError(
        f"The run {state.id} ended as {state.status or 'unknown'}{reason}\n"
        "What arrived is kept; ask again, or look at its steps with client.steps.list.",
        state=state,
        code=code,
    )


def _endless(state: RunState) -> RunError:
    return RunError(
        f"The run {state.id} asked for functions more than {MOST_ROUNDS} times in a row, and still waits.\n"
        "Ask for less at a time, or go on by hand: client.runs.submit_tool_outputs(…).",
        state=state,
    )
