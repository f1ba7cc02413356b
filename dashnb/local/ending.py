"""How a run that does not complete is ended: from what the database knows, whoever worked on it.

Everything that readers saw of an open message is in the run's log, so the text that is kept is put
together from there: it does not matter whether the worker is at hand, elsewhere or dead.

Source: Runs reference, streamed answers: open parts end before the run does, then comes ``done``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from dashnb.local import wire
from dashnb.local.log import DONE, entry
from dashnb.local.store import Change, LoggedEvent, Record
from dashnb.protocol.lifecycle import sources

Error = dict[str, str]
Event = tuple[str, dict[str, Any]]


def end_run(
    change: Change, run_id: str, status: str, *, now: int, error: Error | None = None
) -> tuple[Record, list[LoggedEvent]] | None:
    """End a run with its open message and steps.

    Args:
        change: The transaction, in which a run that others may be ending too ends once.
        run_id: The run.
        status: The final status.
        now: Milliseconds since 1970.
        error: Why, for a run that failed.

    Returns:
        The ended run and the events that tell about it; None if it had ended already, or is gone.
    """
    run = change.lock("runs", run_id)
    if run is None or run["status"] not in sources(status):
        return None
    ended = {"last_error": error, f"{status}_at": now}
    told: list[Event] = []
    # Open messages end before open tool calls.
    for step in sorted(_open_steps(change, run_id), key=lambda step: step["type"] != "message_creation"):
        if step["type"] == "message_creation":
            told += _cut_message(change, run_id, step["step_details"]["message_creation"]["message_id"], status, now)
        closed = change.update("steps", step["id"], status=status, **ended)
        assert closed is not None
        told.append((f"thread.run.step.{status}", wire.step(closed)))
    fields = {**ended, "required_action": None, "owner": None}
    told.append((f"thread.run.{status}", wire.streamed_run({**run, **fields, "status": status})))
    request_id = run["request_id"]
    entries = [entry(name, {**value, "request_id": request_id}) for name, value in told]
    # A run that waited has a ``done`` as its last event: to the log it is over once its status is final.
    logged = change.append(run_id, [*entries, DONE])
    moved = change.move_run(run_id, status, among=sorted(sources(status)), **fields)
    assert moved is not None, "a locked run does not move"
    return moved, logged


def _open_steps(change: Change, run_id: str) -> list[Record]:
    return [step for step in change.every("steps", run_id=run_id) if step["status"] == "in_progress"]


def _cut_message(change: Change, run_id: str, message_id: str, status: str, now: int) -> Iterator[Event]:
    message = change.update(
        "messages",
        message_id,
        text=_told_text(change, run_id, message_id),
        incomplete_at=now,
        incomplete_details={"reason": status},
    )
    if message is not None:
        yield "thread.message.incomplete", wire.streamed_message(message)


def _told_text(change: Change, run_id: str, message_id: str) -> str:
    """What readers have seen of a message."""
    deltas = (json.loads(data) for data in change.logged(run_id, "thread.message.delta"))
    return "".join(
        part["text"]["value"] for delta in deltas if delta["id"] == message_id for part in delta["delta"]["content"]
    )
