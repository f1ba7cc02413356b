"""A request for a run, named by a key of ours: what became of it when no answer told.

The key goes with the message and with the run, as a pair of their metadata. Whatever happens between a
request and the first event (an interrupt, a time-out, a broken connection), the run is found by it on its
thread: it is read on, or cancelled, or known as our own when it turns up later.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from contextlib import suppress
from typing import TypeVar

from dashnb.client.calls import Call, cancel_run, list_messages, list_runs, retrieve_run
from dashnb.client.client import Client
from dashnb.client.failures import may_have_arrived
from dashnb.client.procedures import Pause, Procedure
from dashnb.errors import ConnectionFailed, DashnbError
from dashnb.protocol.lifecycle import is_final
from dashnb.protocol.objects import Message, Page, Run
from dashnb.protocol.requests import REQUEST_KEY
from dashnb.protocol.state import ABANDONED, RunState

# A person who stops a run does not wait long: seconds for each request, and until a late run is looked for again.
HURRY_SECONDS = 5.0
LATE_SECONDS = 0.25
# Where an answer was lost, others may be: seconds for each look, and between two of them.
LOOK_SECONDS = 10.0
LOOK_PAUSES = (0.5, 1.0)
T = TypeVar("T")


def new_key() -> str:
    """A key that no other request has."""
    return uuid.uuid4().hex


def is_of(made: Run | Message, key: str) -> bool:
    """True if a run or message was made by the request with this key.

    >>> is_of(Run(id="run_1", metadata={"dashnb_request": "k1"}), "k1"), is_of(Run(id="run_1"), "")
    (True, False)
    """
    return bool(key) and made.metadata.get(REQUEST_KEY) == key


def say(client: Client, text: str, *, thread_id: str, key: str) -> None:
    """Post a message, once: if the answer is lost, it is looked for.

    Raises:
        DashnbError: The message was refused, or is not there.
    """
    try:
        client.messages.create(thread_id, content=text, metadata={REQUEST_KEY: key})
    except DashnbError as error:
        if not may_have_arrived(error) or not _is_said(client, thread_id, key):
            raise


def _is_said(client: Client, thread_id: str, key: str) -> bool:
    try:
        return any(is_of(message, key) for message in client.drive(look(list_messages(thread_id))))
    except DashnbError:
        return False


def find(client: Client, state: RunState) -> Run | None:
    """The run that the state's request made, as it is now; None if there is none, or nobody can be asked."""
    try:
        runs = client.drive(look(list_runs(state.thread_id))) if state.request_key else ()
    except DashnbError:
        return None
    return _own(runs, state)


def look(call: Call[T]) -> Procedure[T]:
    """The answer to a read after another answer was lost: asked for several times, none of which takes long.

    Raises:
        DashnbError: None of them was answered.
    """
    for pause in LOOK_PAUSES:
        try:
            answer: T = yield call.within(LOOK_SECONDS)
            return answer
        except DashnbError as error:
            if not (isinstance(error, ConnectionFailed) or may_have_arrived(error)):
                raise
        yield Pause(pause)
    last: T = yield call.within(LOOK_SECONDS)
    return last


def _own(runs: Iterable[Run], state: RunState) -> Run | None:
    return next((run for run in runs if is_of(run, state.request_key)), None)


def cancel(client: Client, state: RunState) -> None:
    """Tell the service to end a run that is still being read, if it can."""
    with suppress(DashnbError):
        client.drive(_cancelled(state))


def _cancelled(state: RunState) -> Procedure[None]:
    run_id = state.id
    if not run_id and state.request_key:
        runs: Page[Run] = yield list_runs(state.thread_id).within(HURRY_SECONDS)
        run = _own(runs, state)
        run_id = run.id if run else ""
    if run_id:
        yield cancel_run(run_id, thread_id=state.thread_id).within(HURRY_SECONDS)


def stop(client: Client, state: RunState) -> None:
    """Cancel a run that nobody reads any more, or mark it as abandoned where the service does not cancel it.

    A second interrupt ends the waiting for the service, and nothing else.
    """
    at = client.clock()
    try:
        how = "" if state.is_final else client.drive(_stopped(state))
    except KeyboardInterrupt:
        how = ""
    state.end(how or ABANDONED, at=at)


def _stopped(state: RunState) -> Procedure[str]:
    """How a run ended because nobody reads it any more; ``""`` if it may go on."""
    try:
        if not state.id:
            yield from identify(state)
        if not state.id or state.is_final:
            return state.status
        yield cancel_run(state.id, thread_id=state.thread_id).within(HURRY_SECONDS)
        return "cancelled"
    except DashnbError:
        return (yield from _late_end(state))


def _late_end(state: RunState) -> Procedure[str]:
    """How a run ended just before it could be cancelled, or ``""`` if it goes on or cannot be asked."""
    try:
        run: Run = yield retrieve_run(state.id, thread_id=state.thread_id).within(HURRY_SECONDS)
    except DashnbError:
        return ""
    return run.status if is_final(run.status) else ""


def identify(state: RunState) -> Procedure[None]:
    """Find out which run the state's request made, if it has arrived by now; the state then says so."""
    if not state.request_key:
        return
    for pause in (LATE_SECONDS, None):
        runs: Page[Run] = yield list_runs(state.thread_id).within(HURRY_SECONDS)
        run = _own(runs, state)
        if run is not None:
            state.merge(run)
            return
        if pause is not None:
            yield Pause(pause)
