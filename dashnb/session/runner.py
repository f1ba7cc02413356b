"""One run, from the request to its record: the whole path of the data on one screen.

for event in stream: the state grows, and is yielded
requires_action → decide → call the functions, each once → submit → go on with the new stream
an answer that is lost → the run is looked for by its request, and joined
a person has still to decide → the run is left waiting
ended, failed, interrupted, waiting → record, always
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Mapping

from dashnb.client.calls import retrieve_run
from dashnb.client.client import Client
from dashnb.client.failures import may_have_arrived
from dashnb.client.procedures import calls_of, let_pass, still_waits
from dashnb.client.stream import RunStream
from dashnb.errors import (
    APIError,
    BadRequestError,
    CassetteMismatch,
    ConflictError,
    ConnectionFailed,
    DashnbError,
    RunError,
    StreamError,
)
from dashnb.forks import Origin
from dashnb.protocol.lifecycle import is_final
from dashnb.protocol.objects import LastError
from dashnb.protocol.pieces import NO_ASIDE
from dashnb.protocol.state import ABANDONED, RunState, ToolCall
from dashnb.session.approval import NOBODY, Ask, Decision, decide
from dashnb.session.busy import MOST_TRIES
from dashnb.session.calling import call_all
from dashnb.session.request import find, look, stop
from dashnb.session.results import Outcome
from dashnb.session.tools import FunctionTool

MOST_ROUNDS = 16
# Seconds before outputs that did not arrive are handed in again.
HAND_IN_PAUSES = (0.5, 1.0, 2.0, 4.0)
Recorder = Callable[[RunState, str], None]
# The stream after each event; None once for a run that can only be read as a whole.
Streams = Generator[RunStream | None, None, None]
Refusal = BadRequestError | ConflictError


def _no_room(refused: Refusal) -> None:
    raise refused


def run(
    client: Client,
    begin: Callable[[RunState], Streams],
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
        begin: Sends what comes before the run and reads its first stream, which adds up in the state.
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
    engine, told = "", False
    origin = Origin()
    try:
        following = _begin(client, begin, state, make_room)
        for rounds in itertools.count():
            for stream in _read(client, following, state):
                engine, told = stream.engine if stream else engine, True
                yield state
            if not state.pending_calls:
                break
            if rounds == MOST_ROUNDS:
                raise _endless(state)
            decisions = decide(_to_call(functions, state), functions, ask)
            if decisions is None:
                if not told:
                    yield state
                return
            is_mine = True
            client._unfinished[state.id] = state
            call_functions(functions, state, decisions)
            following = _handed_in(client, state)
        if state.status != "completed":
            raise failure(state)
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        if is_mine and origin.is_here:
            stop(client, state)
        elif state.status != "requires_action":
            state.end(ABANDONED, at=client.clock())
        raise
    except DashnbError as error:
        refuse(client, state, error)
        raise
    finally:
        # A child process that leaves the loop neither ends nor records the run that its parent goes on with.
        if origin.is_here:
            if is_final(state.status):
                client._unfinished.pop(state.id, None)
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
    if is_final(state.status) or not state.id:
        raise RunError(
            f"The run {state.id} does not wait for functions: it is {state.status or 'not begun'}.\n"
            "Ask a new question instead.",
            state=state,
        )
    if known := client._unfinished.get(state.id):  # what was called for it, in another session perhaps
        state.outputs, state.asides = known.outputs, known.asides
    yield from run(
        client, lambda state: _taken_up(client, state), functions, state=state, record=record, ask=ask, is_mine=False
    )


# --- streams -----------------------------------------------------------------------------------


def read(stream: RunStream) -> Streams:
    """The stream after each of its events."""
    with stream:
        for _event in stream:
            yield stream


def _begin(
    client: Client, begin: Callable[[RunState], Streams], state: RunState, make_room: Callable[[Refusal], None]
) -> Streams:
    """The stream after each event, begun again if the thread was taken and room could be made.

    If the answer is lost, the run that the request made is read; a second one would be another run.
    """
    for tries in itertools.count(1):
        try:
            yield from begin(state)
            return
        except (BadRequestError, ConflictError) as refused:
            if state.event_count or tries == MOST_TRIES:
                raise
            make_room(refused)
        except DashnbError as error:
            made = None if state.event_count or not may_have_arrived(error) else find(client, state)
            if made is None:
                raise
            yield from read(client.runs.join(made.id, thread_id=state.thread_id, state=state))
            return


def _handed_in(client: Client, state: RunState) -> Streams:
    """The stream with which a run goes on after its functions, whose outputs it gets once.

    If the answer is lost, the run is looked at first: it has gone on, or gets the same outputs again.

    Raises:
        DashnbError: The outputs were refused, or did not arrive after several attempts.
    """
    for pause in (*HAND_IN_PAUSES, None):
        events = state.event_count
        try:
            yield from read(hand_in(client, state))
            return
        except DashnbError as error:
            # A refusal may say that the run does not wait any more: it has the outputs from an earlier attempt.
            is_refusal = isinstance(error, (BadRequestError, ConflictError))
            is_lost = isinstance(error, ConnectionFailed) or may_have_arrived(error)
            if state.event_count > events or not (is_refusal or is_lost):
                raise
            if _has_gone_on(client, state, error):
                yield from _joined(client, state)
                return
            if pause is None or not is_lost:
                raise
            client.drive(let_pass(pause))


def _has_gone_on(client: Client, state: RunState, error: DashnbError) -> bool:
    """True if a run does not wait any more for the calls that a state knows of.

    Raises:
        DashnbError: The given one, if nobody can say.
    """
    try:
        now = client.drive(look(retrieve_run(state.id, thread_id=state.thread_id)))
        waits = client.drive(still_waits(state, now))
    except DashnbError:
        raise error from None
    return bool(now.status) and not waits


def _joined(client: Client, state: RunState) -> Streams:
    """What a run tells behind what is known of it."""
    if state.steps and not state.last_event_id:  # no place to go on from
        yield from _recovered(client, state)
    else:
        yield from read(client.runs.join(state.id, thread_id=state.thread_id, state=state))


def _taken_up(client: Client, state: RunState) -> Streams:
    """The stream with which a run has gone on since; none if it still waits for what the state says."""
    try:
        now = client.runs.retrieve(state.id, thread_id=state.thread_id)
    except CassetteMismatch:  # nobody looked when it was recorded
        return
    waits: bool = client.drive(still_waits(state, now))
    if calls_of(state.run) and waits:
        state.merge(now)
    else:
        yield from _joined(client, state)


def _read(client: Client, following: Streams, state: RunState) -> Streams:
    """The stream after each event, and the run as a whole where no stream tells of it."""
    heard = False
    try:
        for stream in following:
            heard = True
            _forget_outputs(client, state)
            yield stream
    except StreamError as error:
        if heard or not state.id or error.code:
            raise
        yield from _recovered(client, state)


def _recovered(client: Client, state: RunState) -> Streams:
    client.runs.recover(state)
    _forget_outputs(client, state)
    yield None


def _forget_outputs(client: Client, state: RunState) -> None:
    """The run has gone on, so that it has what was handed in. A function that was left behind keeps its own."""
    client._unfinished.pop(state.id, None)
    state.outputs = {}


# --- functions ---------------------------------------------------------------------------------


def _to_call(functions: Mapping[str, FunctionTool], state: RunState) -> list[ToolCall]:
    """The calls that a run waits for, without those that were made already.

    Raises:
        RunError: A call names a function that is not there.
    """
    calls = [call for call in state.pending_calls if _name(call) not in state.outputs]
    missing = sorted({call.name for call in calls} - set(functions))
    if missing:
        raise RunError(
            f"The run {state.id} asks for {', '.join(missing)}, and no such function was given.\n"
            "Pass the function in tools=[…], or hand in the outputs: client.runs.submit_tool_outputs(…).",
            state=state,
        )
    return calls


def call_functions(functions: Mapping[str, FunctionTool], state: RunState, decisions: Mapping[int, Decision]) -> None:
    """Make the calls that a run waits for and that were not made yet.

    The state keeps what comes of each as soon as it is there, so that no interrupt and no lost answer lets it
    be made again, and what only a person sees of it.
    """
    outputs = state.outputs

    def keep(call: ToolCall, outcome: Outcome) -> None:
        outputs[_name(call)] = outcome.text
        if outcome.aside != NO_ASIDE:
            state.asides[call.id] = outcome.aside

    call_all(_to_call(functions, state), functions, decisions, keep)


def hand_in(client: Client, state: RunState) -> RunStream:
    """The stream with which a run goes on after the outputs of its functions."""
    outputs = [{"tool_call_id": call.id, "output": state.outputs[_name(call)]} for call in state.pending_calls]
    return client.runs.submit_tool_outputs(
        state.id, thread_id=state.thread_id, tool_outputs=outputs, stream=True, state=state
    )


def _name(call: ToolCall) -> str:
    return call.id or str(call.number)


# --- ends --------------------------------------------------------------------------------------


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
