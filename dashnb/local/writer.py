"""How a run's work becomes records and events: steps and messages opened, filled and closed.

Each method is one transaction: the change of the records and the events that tell about it are kept
together, and told to readers afterwards. The order of the events is the documented one.

Source: Runs reference, streamed answers; streaming events reference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from dashnb.local import wire
from dashnb.local.ending import Error, end_run
from dashnb.local.log import DONE, EventLog, entry
from dashnb.local.store import Change, LoggedEvent, Record, Store
from dashnb.protocol.events import REASONING_DELTA
from dashnb.protocol.lifecycle import sources

Ids = Callable[[str], str]
Clock = Callable[[], int]


class ThreadBusy(Exception):
    """A thread has a run that has not ended, and takes no other one."""

    def __init__(self, run: Record) -> None:
        super().__init__(run)
        self.run = run

    def __str__(self) -> str:
        return str(self.run["id"])


class ThreadGone(LookupError):
    """A thread was deleted while a run was made on it."""


@dataclass(slots=True)
class OpenMessage:
    """A message that is being written, with its step."""

    record: Record
    step: Record
    pieces: list[str] = field(default_factory=list)


@dataclass(slots=True)
class OpenCall:
    """A tool call that is being written."""

    number: int
    name: str
    id: str = ""
    arguments: list[str] = field(default_factory=list)
    output: str | None = None


class RunWriter:
    """Writes one run: its status, steps, messages and events.

    Args:
        store: The database.
        log: Where readers follow.
        run: The run's record.
        ids: Makes an id from a prefix such as ``step``.
        clock: Milliseconds since 1970.
    """

    def __init__(self, store: Store, log: EventLog, run: Record, *, ids: Ids, clock: Clock) -> None:
        self.run = run
        self._store = store
        self._log = log
        self._ids = ids
        self._clock = clock
        self._message: OpenMessage | None = None

    # --- the run ---------------------------------------------------------------------------

    def created(self, *, thread: Record | None = None, messages: Sequence[Record] = ()) -> None:
        """Keep the new run, and the thread and messages that were made with it, and tell about it.

        Args:
            thread: The new thread, None for one that is there.
            messages: What is said before the run; they, and those kept before, are the run's until it is made.

        Raises:
            ThreadBusy: The thread has an active run.
            ThreadGone: There is no such thread any more.
        """
        thread_id: str = self.run["thread_id"]
        with self._store.begin() as change:
            if thread is not None:
                change.insert("threads", thread)
            elif change.lock("threads", thread_id) is None:
                raise ThreadGone(thread_id)
            elif active := change.active_runs(thread_id=thread_id):
                raise ThreadBusy(active[0])
            change.insert("messages", *messages)
            if messages:
                change.hand_over("messages", thread_id=(self.run["id"], thread_id))
            change.insert("runs", self.run)
            shown = wire.streamed_run(self.run)
            events = [("thread.created", wire.thread(thread))] if thread is not None else []
            events += [("thread.run.created", shown), ("thread.run.queued", shown)]
            told = self._append(change, *events)
        self._log.tell(told)

    def move(self, status: str, *, end_stream: bool = False, **fields: Any) -> bool:
        """Give the run another status, if the table of transitions allows it from where it is; True if it did."""
        with self._store.begin() as change:
            moved = change.move_run(self.run["id"], status, among=sorted(sources(status)), **fields)
            if moved is None:
                return False
            self.run = moved
            told = self._append(change, (f"thread.run.{status}", wire.streamed_run(moved)))
            if end_stream:
                told += change.append(self.run["id"], [DONE])
        self._log.tell(told)
        return True

    def complete(self, usage: dict[str, int]) -> None:
        """End the run well."""
        self.move("completed", end_stream=True, usage=usage, completed_at=self._clock(), owner=None)

    def stop(self, status: str, *, error: Error | None = None) -> None:
        """End the run otherwise, with its open steps and message, which keep what they hold."""
        with self._store.begin() as change:
            ended = end_run(change, self.run["id"], status, now=self._clock(), error=error)
        self._message = None
        if ended is not None:
            self.run, told = ended
            self._log.tell(told)

    # --- messages --------------------------------------------------------------------------

    def write(self, text: str) -> None:
        """Append text to the open message, opening one if there is none."""
        if self._message is None:
            self._message = self._open_message()
        if text:
            self._message.pieces.append(text)
        self._tell_delta(text)

    def finish_message(self) -> None:
        """Complete the open message, if there is one: an empty delta, the whole text, the step."""
        if self._message is None:
            return
        self._tell_delta("")
        now = self._clock()
        message, step = self._message.record, self._message.step
        text = "".join(self._message.pieces)
        with self._store.begin() as change:
            # Other fields may have changed meanwhile.
            message = change.update("messages", message["id"], text=text, completed_at=now) or message
            step = change.update("steps", step["id"], status="completed", completed_at=now) or step
            told = self._append(
                change,
                ("thread.message.completed", wire.streamed_message(message)),
                ("thread.run.step.completed", wire.step(step)),
            )
        self._message = None
        self._log.tell(told)

    def _open_message(self) -> OpenMessage:
        now = self._clock()
        record = {
            **self._owned("message", now),
            "role": "assistant",
            "text": "",
            "assistant_id": self.run["assistant_id"],
        }
        step = self._new_step(
            "message_creation", {"message_creation": {"message_id": record["id"]}, "type": "message_creation"}, now
        )
        shown, told_step = wire.streamed_message(record), wire.step(step)
        with self._store.begin() as change:
            change.insert("messages", record)
            change.insert("steps", step)
            told = self._append(
                change,
                ("thread.run.step.created", told_step),
                ("thread.run.step.in_progress", told_step),
                ("thread.message.created", shown),
                ("thread.message.in_progress", shown),
            )
        self._log.tell(told)
        return OpenMessage(record, step)

    def _tell_delta(self, text: str) -> None:
        assert self._message is not None
        part = {"type": "text", "text": {"value": text, "annotations": []}}
        delta = {"role": "assistant", "content": [part], "file_ids": []}
        self._tell(
            "thread.message.delta", {"id": self._message.record["id"], "object": "thread.message.delta", "delta": delta}
        )

    def think(self, text: str) -> None:
        """Tell what the model thinks, apart from the answer; it is in the log and in no message."""
        if text:
            self._tell(REASONING_DELTA, {"id": self.run["id"], "object": REASONING_DELTA, "delta": {"text": text}})

    # --- tool calls ------------------------------------------------------------------------

    def new_call_id(self) -> str:
        """An id for a function call."""
        return self._ids("call")

    def open_tool_step(self, round_number: int) -> Record:
        """A new step of tool calls, still without any."""
        step = self._new_step("tool_calls", {"type": "tool_calls", "tool_calls": []}, self._clock())
        step["round"] = round_number
        shown = wire.step(step)
        with self._store.begin() as change:
            change.insert("steps", step)
            told = self._append(change, ("thread.run.step.created", shown), ("thread.run.step.in_progress", shown))
        self._log.tell(told)
        return step

    def tell_function(self, step: Record, call: OpenCall, arguments: str | None) -> None:
        """Tell a piece of a function call's arguments; None begins the call."""
        if arguments is None:
            opening = {"name": call.name, "arguments": "", "output": None}
            self._tell_call(step, {"index": call.number, "id": call.id, "type": "function", "function": opening})
        else:
            self._tell_call(step, {"index": call.number, "type": "function", "function": {"arguments": arguments}})

    def tell_plugin(self, step: Record, call: OpenCall, arguments: str) -> None:
        """Tell a piece of a built-in tool's arguments; the first one and the last two are empty."""
        self._tell_call(step, {"type": call.name, call.name: {"arguments": arguments}})

    def finish_plugin(self, step: Record, call: OpenCall) -> None:
        """Complete a built-in tool's step with its output.

        The event shows the step under ``plugin_name`` and still ``in_progress``, as the service does.
        """
        self._tell_call(step, {"type": call.name, "plugin_name": {"output": call.output}})
        for _ in range(2):
            self._tell_call(step, {call.name: {"output": ""}})
        payload = {"arguments": "".join(call.arguments), "output": call.output}
        shown = wire.step({**step, "step_details": _calls({"type": call.name, "plugin_name": payload})})
        step |= {
            "step_details": _calls({"type": call.name, call.name: payload}),
            "status": "completed",
            "completed_at": self._clock(),
        }
        with self._store.begin() as change:
            change.update("steps", step["id"], **step)
            told = self._append(change, ("thread.run.step.completed", shown))
        self._log.tell(told)

    def require(self, step: Record, calls: list[OpenCall], spent: dict[str, int]) -> None:
        """Stop until the caller has run the functions; a run that was to be cancelled meanwhile ends here."""
        pending = [_function_call(call) for call in calls]
        step["step_details"] = _calls(*pending)
        with self._store.begin() as change:
            change.update("steps", step["id"], **step)
        action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": pending}}
        if not self.move("requires_action", end_stream=True, required_action=action, spent=spent, owner=None):
            self.stop("cancelled")

    def resume(self, step: Record, outputs: list[str], *, request_id: str, owner: str) -> int | None:
        """Take the outputs of the functions and queue the run again, for its owner to go on with.

        Returns:
            The number of the last event before it goes on, or None if the run was not waiting.
        """
        calls = step["step_details"]["tool_calls"]
        for call, output in zip(calls, outputs, strict=True):
            call["function"]["output"] = output
        step |= {"status": "completed", "completed_at": self._clock()}
        fields = {"required_action": None, "request_id": request_id, "owner": owner}
        with self._store.begin() as change:
            moved = change.move_run(self.run["id"], "queued", among=["requires_action"], **fields)
            if moved is None:
                return None
            self.run = moved
            change.update("steps", step["id"], **step)
            told = self._append(
                change,
                ("thread.run.step.completed", wire.step({**step, "completed_at": None})),
                ("thread.run.queued", wire.streamed_run(moved)),
            )
        self._log.tell(told)
        return told[0].seq - 1

    # --- parts -----------------------------------------------------------------------------

    def _owned(self, prefix: str, now: int) -> Record:
        return {
            "id": self._ids(prefix),
            "created_at": now,
            "thread_id": self.run["thread_id"],
            "run_id": self.run["id"],
            "metadata": {},
        }

    def _new_step(self, kind: str, details: dict[str, Any], now: int) -> Record:
        return {
            **self._owned("step", now),
            "assistant_id": self.run["assistant_id"],
            "type": kind,
            "status": "in_progress",
            "step_details": details,
        }

    def _tell_call(self, step: Record, call: dict[str, Any]) -> None:
        delta = {"step_details": _calls(call)}
        self._tell("thread.run.step.delta", {"id": step["id"], "object": "thread.run.step.delta", "delta": delta})

    def _tell(self, name: str, value: dict[str, Any]) -> None:
        with self._store.begin() as change:
            # Whoever cancels, in this process or another, is heeded at the next piece.
            told = self._append(change, (name, value), heed=True)
        self._log.tell(told)

    def _append(self, change: Change, *events: tuple[str, dict[str, Any]], heed: bool = False) -> list[LoggedEvent]:
        request_id = self.run["request_id"]
        entries = [entry(name, {**value, "request_id": request_id}) for name, value in events]
        return change.append(self.run["id"], entries, heed=heed)


def _calls(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"type": "tool_calls", "tool_calls": list(calls)}


def _function_call(call: OpenCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": "".join(call.arguments)}
    return {"id": call.id, "type": "function", "function": function}
