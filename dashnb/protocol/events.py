"""The events of a streamed run: one table, read by the client and written by the embedded API.

Source: Runs reference, streamed answers; streaming events reference.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from dashnb.errors import ProtocolError
from dashnb.foreign import read_json
from dashnb.protocol.objects import (
    ErrorInfo,
    Message,
    MessageDelta,
    Run,
    RunStep,
    StepDelta,
    Thread,
    WireObject,
)
from dashnb.protocol.sse import ServerSentEvent, encode

EVENTS: dict[str, tuple[type[WireObject], str]] = {
    "thread.created": (Thread, "A thread was made, by create-thread-and-run."),
    "thread.run.created": (Run, "A run was made."),
    "thread.run.queued": (Run, "The run waits for its turn, at first or after tool outputs."),
    "thread.run.in_progress": (Run, "The model works."),
    "thread.run.requires_action": (Run, "Functions have to be called; the stream ends here."),
    "thread.run.cancelling": (Run, "The run is about to be cancelled."),
    "thread.run.completed": (Run, "The run ended well; usage is set."),
    "thread.run.failed": (Run, "The run ended with last_error."),
    "thread.run.cancelled": (Run, "The run was cancelled."),
    "thread.run.expired": (Run, "The run took too long."),
    "thread.run.incomplete": (Run, "The run ended before the model had finished."),
    "thread.run.step.created": (RunStep, "A step begins: a message or tool calls."),
    "thread.run.step.in_progress": (RunStep, "The step is under way."),
    "thread.run.step.delta": (StepDelta, "A piece of a tool call's arguments or output."),
    "thread.run.step.completed": (RunStep, "The step is done, whatever its object's status says."),
    "thread.run.step.failed": (RunStep, "The step failed with last_error."),
    "thread.run.step.cancelled": (RunStep, "The step was cancelled with its run."),
    "thread.run.step.expired": (RunStep, "The step expired with its run."),
    "thread.message.created": (Message, "A message begins, still empty."),
    "thread.message.in_progress": (Message, "The message is being written."),
    "thread.message.delta": (MessageDelta, "A piece of the message's text; empty pieces are normal."),
    "thread.message.completed": (Message, "The whole message; it outranks the joined pieces."),
    "thread.message.incomplete": (Message, "The message as far as it came."),
    "error": (ErrorInfo, "The server failed; nothing reliable follows."),
}
DONE = ServerSentEvent("done", "[DONE]")
# Beyond the documented events: what a reasoning model thinks, apart from its answer. Whoever does not
# know the name skips it, as the documentation asks of clients.
REASONING_DELTA = "thread.run.reasoning.delta"


@dataclass(frozen=True, slots=True)
class RunEvent:
    """One event of a streamed run.

    Attributes:
        name: The event's name, such as ``thread.message.delta``.
        data: The object of that event; a plain value for a name that `EVENTS` does not know; None for ``done``.
        id: The id that the server gave the event, ``""`` if none. The cloud service gives none.
    """

    name: str
    data: Any = None
    id: str = ""

    @property
    def text(self) -> str:
        """The text that a message delta adds, ``""`` for any other event."""
        if not isinstance(self.data, MessageDelta):
            return ""
        return "".join(part.text.value for part in self.data.delta.content if part.text)

    @property
    def reasoning(self) -> str:
        """The thought that a reasoning delta adds, ``""`` for any other event."""
        delta = self.data.get("delta") if self.name == REASONING_DELTA and isinstance(self.data, dict) else None
        return str(delta.get("text") or "") if isinstance(delta, dict) else ""


def parse_event(sent: ServerSentEvent) -> RunEvent:
    """The run event that a server-sent event carries.

    >>> parse_event(ServerSentEvent("done", "[DONE]"))
    RunEvent(name='done', data=None, id='')
    >>> parse_event(ServerSentEvent("thread.created", '{"id": "thread_1"}')).data
    Thread(id='thread_1')

    Raises:
        ProtocolError: The data of an event is not the JSON object it should be.
    """
    name = sent.event.strip()
    if name == "done" or sent.data.strip() == "[DONE]":
        return RunEvent("done", None, sent.id)
    try:
        value = read_json(sent.data)
    except ValueError as error:
        if name in EVENTS:
            raise ProtocolError(f"The event {name} does not carry JSON: {sent.data[:80]!r}") from error
        value = sent.data
    return event_of(name, value, sent.id)


def event_of(name: str, value: Any, event_id: str = "") -> RunEvent:
    """The run event of a name and its decoded data; an unknown name keeps the data as it is.

    Raises:
        ProtocolError: The data does not fit the event.
    """
    if name not in EVENTS:
        return RunEvent(name, value, event_id)
    model, _ = EVENTS[name]
    try:
        return RunEvent(name, model.model_validate(value), event_id)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the object"
        raise ProtocolError(f"The event {name} is malformed: {where}: {first['msg']}") from error


def encode_event(name: str, value: dict[str, Any], event_id: str = "") -> bytes:
    r"""The bytes of an event: compact JSON on one line, non-ASCII characters as they are.

    >>> encode_event("thread.created", {"id": "thread_1"}).decode()
    'event:thread.created\ndata:{"id":"thread_1"}\n\n'
    """
    return encode(ServerSentEvent(name, json.dumps(value, ensure_ascii=False, separators=(",", ":")), event_id))
