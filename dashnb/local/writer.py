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
from dashnb.local.log import DONE, EventLog, entry
from dashnb.local.store import Change, LoggedEvent, Record, Store
from dashnb.protocol.lifecycle import sources

Ids = Callable[[str], str]
Clock = Callable[[], int]
Error = dict[str, str]


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
        self._steps: list[Record] = []  # open steps of tool calls, oldest first

    # --- the run ---------------------------------------------------------------------------

    def created(self, *, thread: Record | None = None, messages: Sequence[Record] = ()) -> None:
        """Keep the new run, and the thread and messages that were made with it, and tell about it."""
        with self._store.begin() as change:
            if thread is not None:
                change.insert("threads", thread)
            for message in messages:
                change.insert("messages", message)
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
        self.move("completed", end_stream=True, usage=usage, completed_at=self._clock())

    def stop(self, status: str, *, error: Error | None = None) -> None:
        """End the run otherwise: open steps and the open message first, keeping what they hold."""
        now = self._clock()
        self._cut_message(status, error, now)
        for step in self._steps:
            self._close_step(step, status, error, now)
        self._steps.clear()
        self.move(status, end_stream=True, last_error=error, required_action=None, **{f"{status}_at": now})

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
        self._close_message("completed", {"completed_at": now}, "completed", {"completed_at": now})

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

    def _cut_message(self, status: str, error: Error | None, now: int) -> None:
        if self._message is None:
            return
        details = {"incomplete_at": now, "incomplete_details": {"reason": status}}
        self._close_message("incomplete", details, status, {f"{status}_at": now, "last_error": error})

    def _close_message(self, event: str, of_message: Record, status: str, of_step: Record) -> None:
        """Keep the text and the end of the open message and its step; other fields may have changed meanwhile."""
        assert self._message is not None
        message, step = self._message.record, self._message.step
        text = "".join(self._message.pieces)
        with self._store.begin() as change:
            message = change.update("messages", message["id"], text=text, **of_message) or message
            step = change.update("steps", step["id"], status=status, **of_step) or step
            told = self._append(
                change,
                (f"thread.message.{event}", wire.streamed_message(message)),
                (f"thread.run.step.{status}", wire.step(step)),
            )
        self._message = None
        self._log.tell(told)

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
        self._steps.append(step)
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
        self._steps.remove(step)
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
        if not self.move("requires_action", end_stream=True, required_action=action, spent=spent):
            self.stop("cancelled")

    def resume(self, step: Record, outputs: list[str], request_id: str) -> int | None:
        """Take the outputs of the functions and queue the run again.

        Returns:
            The number of the last event before it goes on, or None if the run was not waiting.
        """
        calls = step["step_details"]["tool_calls"]
        for call, output in zip(calls, outputs, strict=True):
            call["function"]["output"] = output
        step |= {"status": "completed", "completed_at": self._clock()}
        fields = {"required_action": None, "request_id": request_id}
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

    def adopt(self, step: Record) -> None:
        """Take over a step that an earlier part of the run left open."""
        self._steps.append(step)

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

    def _close_step(self, step: Record, status: str, error: Error | None, now: int) -> None:
        step |= {"status": status, f"{status}_at": now, "last_error": error}
        with self._store.begin() as change:
            change.update("steps", step["id"], **step)
            told = self._append(change, (f"thread.run.step.{status}", wire.step(step)))
        self._log.tell(told)

    def _tell_call(self, step: Record, call: dict[str, Any]) -> None:
        delta = {"step_details": _calls(call)}
        self._tell("thread.run.step.delta", {"id": step["id"], "object": "thread.run.step.delta", "delta": delta})

    def _tell(self, name: str, value: dict[str, Any]) -> None:
        with self._store.begin() as change:
            told = self._append(change, (name, value))
        self._log.tell(told)

    def _append(self, change: Change, *events: tuple[str, dict[str, Any]]) -> list[LoggedEvent]:
        request_id = self.run["request_id"]
        return change.append(
            self.run["id"], [entry(name, {**value, "request_id": request_id}) for name, value in events]
        )


def _calls(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"type": "tool_calls", "tool_calls": list(calls)}


def _function_call(call: OpenCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": "".join(call.arguments)}
    return {"id": call.id, "type": "function", "function": function}
