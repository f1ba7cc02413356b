"""A thread takes one run at a time: what to do when another one is in the way."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Literal

from dashnb.client.client import Client
from dashnb.errors import APIError, BadRequestError, ConflictError, NotFoundError
from dashnb.protocol.lifecycle import is_final
from dashnb.protocol.objects import Run
from dashnb.protocol.state import RunState
from dashnb.session.request import is_of

Busy = Literal["raise", "wait", "cancel"]
Decide = Callable[[Run], Busy]
# How often room is made for one run; somebody else may always be faster.
MOST_TRIES = 3


def make_room(client: Client, refused: BadRequestError | ConflictError, decide: Decide, *, thread_id: str) -> Run:
    """The run that a refusal names, once it does not stand in the way any more.

    Args:
        client: Where the thread is.
        refused: The service's answer to a new message or run.
        decide: What to do with the run that is in the way.
        thread_id: The thread.

    Raises:
        APIError: The refusal itself, with what to do; unchanged if it names no run of the thread.
    """
    run = _named(client, refused, thread_id)
    if run is None:
        raise refused
    how = "wait" if is_final(run.status) else decide(run)
    try:
        if how == "cancel" and run.status != "cancelling":
            run = _cancelled(client, run, thread_id)
        if how != "raise":
            run = client.runs.wait(run.id, thread_id=thread_id)
    except APIError as error:
        raise _busy(refused, run, thread_id) from error
    if not is_final(run.status):
        raise _busy(refused, run, thread_id) from None
    return run


def _cancelled(client: Client, run: Run, thread_id: str) -> Run:
    """The run after it was told to stop, which it may have done by itself just before."""
    try:
        return client.runs.cancel(run.id, thread_id=thread_id)
    except APIError:
        now = client.runs.retrieve(run.id, thread_id=thread_id)
        if not is_final(now.status):
            raise
        return now


def is_left_behind(active: Run, own: Iterable[RunState]) -> bool:
    """True if a run is one of our own that waits for functions, or that nobody reads any more.

    One whose id we never learnt is known by its request's key.
    """
    return any(active.status == "requires_action" or state.is_final for state in own if is_own(active, state))


def is_own(run: Run, state: RunState) -> bool:
    """True if a state is that of a run, by its id or by the key of its request."""
    return state.id == run.id or (not state.id and is_of(run, state.request_key))


def _named(client: Client, refused: APIError, thread_id: str) -> Run | None:
    for run_id in re.findall(r"\brun_[\w-]*\w", refused.message):
        try:
            return client.runs.retrieve(run_id, thread_id=thread_id)
        except NotFoundError:
            continue
    return None


def _busy(refused: BadRequestError | ConflictError, run: Run, thread_id: str) -> APIError:
    return type(refused)(
        refused.message,
        status_code=refused.status_code,
        code=refused.code,
        request_id=refused.request_id,
        remedy=(
            f"The run {run.id} is {run.status}: show it with %run_stream --join {run.id} --thread {thread_id},\n"
            f"or end it with client.runs.cancel({run.id!r}, thread_id={thread_id!r})."
        ),
    )
