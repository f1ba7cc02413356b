"""The pieces of a run's steps and messages, and what they add up to.

Pieces arrive by the thousand and are joined when somebody reads them; what is read does not change.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dashnb.protocol.lifecycle import FINAL_STEP_STATUSES
from dashnb.protocol.objects import ContentPart, LastError, Message, RunStep, StepDelta, StepToolCall


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call as far as it has come.

    Attributes:
        number: Position among the calls of its step, from 0.
        id: The call's id; ``""`` is usual.
        type: ``function``, or the tool's own name.
        name: The function's or the tool's name.
        arguments: JSON text, perhaps still incomplete.
        output: Text, a list, or None as long as there is none.
    """

    number: int
    id: str = ""
    type: str = ""
    name: str = ""
    arguments: str = ""
    output: str | list[Any] | None = None


@dataclass(frozen=True, slots=True)
class Aside:
    """What a person sees of a function call and the model does not.

    Attributes:
        text: The last lines of a traceback, or ``""``.
        pictures: Addresses of pictures that the function returned, as ``data:``.
    """

    text: str = ""
    pictures: tuple[str, ...] = ()


NO_ASIDE = Aside()


@dataclass(frozen=True, slots=True)
class Step:
    """A step as far as it has come.

    Attributes:
        id: The step's id.
        type: ``message_creation`` or ``tool_calls``.
        status: ``in_progress``, ``completed``, ``failed``, ``cancelled`` or ``expired``.
        calls: The tool calls, in order; empty for a message.
        text: The text of the message that the step writes; ``""`` for tool calls.
        message_id: The id of that message.
        error: Why the step failed, or None.
        started_at: When its first event arrived, in milliseconds of the caller's clock, or None.
        ended_at: When its last event arrived, or None.
    """

    id: str
    type: str = ""
    status: str = "in_progress"
    calls: tuple[ToolCall, ...] = ()
    text: str = ""
    message_id: str = ""
    error: LastError | None = None
    started_at: float | None = None
    ended_at: float | None = None

    @property
    def duration_ms(self) -> float | None:
        """Milliseconds from the first to the last event of the step, or None while it goes on."""
        if self.started_at is None or self.ended_at is None:
            return None
        return self.ended_at - self.started_at


def call_of(number: int, call: StepToolCall) -> ToolCall:
    """The call as it stands in an object.

    >>> call = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    >>> call_of(0, StepToolCall.model_validate(call)).name
    'add'
    """
    _, payload = call.payload
    return ToolCall(number, call.id, call.kind, call.tool, payload.arguments, payload.output)


@dataclass
class MessagePieces:
    """The pieces of one message, per part; joined when somebody reads them."""

    parts: dict[int, list[str]] = field(default_factory=dict)
    whole: Message | None = None

    @property
    def text(self) -> str:
        if self.whole is not None:
            return self.whole.text
        for pieces in self.parts.values():
            pieces[:] = ["".join(pieces)]
        return "".join(self.parts[number][0] for number in sorted(self.parts))

    def add(self, content: list[ContentPart]) -> None:
        for position, part in enumerate(content):
            pieces = self.parts.setdefault(position if part.index is None else part.index, [])
            if part.text and part.text.value:
                pieces.append(part.text.value)

    def finish(self, message: Message) -> None:
        self.whole = message


@dataclass
class CallPieces:
    """The pieces of one tool call."""

    id: str = ""
    type: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)
    outputs: list[str | list[Any]] = field(default_factory=list)

    def add(self, call: StepToolCall) -> None:
        _, payload = call.payload
        self.id = call.id or self.id
        self.type = call.type or self.type or call.kind
        self.name = call.tool or self.name
        if payload.arguments:
            self.arguments.append(payload.arguments)
        if payload.output is not None:
            self.outputs.append(payload.output)

    def snapshot(self, number: int) -> ToolCall:
        self.arguments[:] = ["".join(self.arguments)]
        return ToolCall(number, self.id, self.type, self.name, self.arguments[0], _joined(self.outputs))


def _joined(outputs: list[str | list[Any]]) -> str | list[Any] | None:
    pieces = [piece for piece in outputs if piece] or outputs[:1]
    texts = [piece for piece in pieces if isinstance(piece, str)]
    if len(texts) == len(pieces):
        return "".join(texts) if texts else None
    return [entry for piece in pieces for entry in (piece if isinstance(piece, list) else [piece])]


@dataclass
class StepPieces:
    """The pieces of one step."""

    id: str
    type: str = ""
    status: str = "in_progress"
    message_id: str = ""
    error: LastError | None = None
    started_at: float | None = None
    ended_at: float | None = None
    calls: dict[int, CallPieces] = field(default_factory=dict)

    @property
    def is_final(self) -> bool:
        return self.status in FINAL_STEP_STATUSES

    def add(self, delta: StepDelta) -> None:
        details = delta.delta.step_details
        self.type = details.type or self.type
        for position, call in enumerate(details.tool_calls):
            self.calls.setdefault(position if call.index is None else call.index, CallPieces()).add(call)

    def take(self, step: RunStep) -> None:
        self.type = step.type or step.step_details.type or self.type
        self.error = step.last_error or self.error
        if step.step_details.message_creation:
            self.message_id = step.step_details.message_creation.message_id
        if step.step_details.tool_calls:
            known, self.calls = self.calls, {}
            for number, call in enumerate(step.step_details.tool_calls):
                before = known.get(number, CallPieces())
                self.calls[number] = CallPieces(before.id, before.type, before.name)
                self.calls[number].add(call)

    def replace(self, calls: list[ToolCall]) -> None:
        for call in calls:
            known = self.calls.setdefault(call.number, CallPieces())
            known.id, known.type, known.name = call.id or known.id, call.type, call.name
            known.arguments[:] = [call.arguments]

    def end(self, status: str, at: float | None) -> None:
        self.status = status
        self.ended_at = at if self.ended_at is None else self.ended_at

    def snapshot(self, messages: dict[str, MessagePieces]) -> Step:
        message = messages.get(self.message_id)
        return Step(
            id=self.id,
            type=self.type,
            status=self.status,
            calls=tuple(self.calls[number].snapshot(number) for number in sorted(self.calls)),
            text=message.text if message else "",
            message_id=self.message_id,
            error=self.error,
            started_at=self.started_at,
            ended_at=self.ended_at,
        )
