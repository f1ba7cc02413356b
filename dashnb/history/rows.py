"""The rows that one run leaves in the ledger: a function of the run's state, without input or output.

What is not known, or does not apply, is None: the cost of a model without a price, the tool of a step that
writes a message, the error of a run that did well.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashnb.characters import whole_characters
from dashnb.credentials import redacted
from dashnb.history.schema import Cell
from dashnb.prices import Cost, Prices, built_in, place_of
from dashnb.protocol.state import RunState, Step, ToolCall

Row = dict[str, Cell]


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a run's state does not say about itself.

    Attributes:
        key: The id of the run's row: the run's own id, or one made up for a request that never became a run.
        prompt: What the person asked; ``""`` if the run was only picked up.
        prompt_id: The id of the message with the prompt; ``""`` if not known.
        engine: Who answered on the embedded API; ``""`` for another service.
        connection: Where the run was made: ``local``, ``cloud``, ``cloud-intl`` or a URL.
        recorded_at: When the request was sent, in milliseconds since 1970.
        prices: What models cost; the built-in prices if left out.
    """

    key: str
    prompt: str
    prompt_id: str
    engine: str
    connection: str
    recorded_at: int
    prices: Prices | None = None


def rows_of(state: RunState, about: Circumstances) -> dict[str, list[Row]]:
    """The rows of a run, per table: one of ``runs``, any number of ``steps``, ``tool_calls``, ``messages``."""
    rows = {
        "runs": [_run_row(state, about)],
        "steps": [_step_row(state, about, position, step) for position, step in enumerate(state.steps)],
        "tool_calls": [
            _call_row(about, position, step, call) for position, step in enumerate(state.steps) for call in step.calls
        ],
        "messages": _message_rows(state, about),
    }
    return {table: [_clean(row) for row in content] for table, content in rows.items()}


def _run_row(state: RunState, about: Circumstances) -> Row:
    created_at = state.run.created_at if state.run else None
    cost = _cost(state, about)
    return {
        "id": about.key,
        "thread_id": state.thread_id,
        "assistant_id": state.assistant_id,
        "model": state.model,
        "engine": about.engine,
        "status": state.status,
        "created_at": created_at or about.recorded_at,
        "duration_ms": _duration(state.duration_ms),
        "time_to_first_token_ms": _duration(state.time_to_first_token),
        "input_tokens": state.usage.input_tokens if state.usage else None,
        "output_tokens": state.usage.output_tokens if state.usage else None,
        "total_tokens": state.usage.total_tokens if state.usage else None,
        "cost": float(cost.amount) if cost else None,
        "prompt": about.prompt,
        "text": state.text,
        "error_code": state.error.code if state.error else None,
        "error_message": state.error.message if state.error else None,
        "connection": about.connection,
        "currency": cost.currency if cost else None,
    }


def _cost(state: RunState, about: Circumstances) -> Cost | None:
    if state.usage is None:
        return None
    # A model server may answer with another model than the one that the run names.
    name, _, detail = about.engine.partition(":")
    return (about.prices or built_in()).cost(
        detail if about.connection == "local" and detail else state.model,
        state.usage.input_tokens,
        state.usage.output_tokens,
        place_of(about.connection, name),
        thought=bool(state.reasoning),
    )


def _step_row(state: RunState, about: Circumstances, position: int, step: Step) -> Row:
    calls = step.calls
    outputs = [_output_text(call.output) for call in calls]
    return {
        "id": step.id,
        "run_id": about.key,
        "thread_id": state.thread_id,
        "position": position,
        "type": step.type,
        "status": step.status,
        "tool": ", ".join(call.name for call in calls) if calls else None,
        "arguments": "\n".join(call.arguments for call in calls) if calls else None,
        "output": "\n".join(output or "" for output in outputs) if any(out is not None for out in outputs) else None,
        "text": None if step.type == "tool_calls" else step.text,
        "duration_ms": _duration(step.duration_ms),
        "error_code": step.error.code if step.error else None,
    }


def _call_row(about: Circumstances, position: int, step: Step, call: ToolCall) -> Row:
    return {
        "run_id": about.key,
        "step_id": step.id,
        "position": position,
        "number": call.number,
        "id": call.id,
        "type": call.type,
        "name": call.name,
        "arguments": call.arguments,
        "output": _output_text(call.output),
        "status": step.status,
    }


@dataclass(frozen=True, slots=True)
class _Said:
    """One message: who said what, and when."""

    id: str
    role: str
    text: str
    created_at: int


def _message_rows(state: RunState, about: Circumstances) -> list[Row]:
    said = [_Said(about.prompt_id, "user", about.prompt, about.recorded_at)] if about.prompt else []
    said += _answers(state, about.recorded_at)
    return [
        {
            "id": message.id,
            "run_id": about.key,
            "thread_id": state.thread_id,
            "position": position,
            "role": message.role,
            "text": message.text,
            "created_at": message.created_at,
        }
        for position, message in enumerate(said)
    ]


def _answers(state: RunState, recorded_at: int) -> list[_Said]:
    """The messages of the assistant, those that broke off included; one that never began is no message."""
    whole = {message.id: message for message in state.messages}
    said: list[_Said] = []
    for step in state.steps:
        message = whole.pop(step.message_id, None)
        if message is not None or (step.message_id and step.text):
            created_at = message.created_at if message else None
            at = created_at or _moment(state, step, recorded_at)
            said.append(_Said(step.message_id, "assistant", step.text, at))
    for message in whole.values():
        said.append(_Said(message.id, message.role or "assistant", message.text, message.created_at or recorded_at))
    if not said and state.text:
        # Text that no step claims: the stream broke off, or the server leaves the steps out.
        said.append(_Said("", "assistant", state.text, recorded_at))
    return said


def _moment(state: RunState, step: Step, recorded_at: int) -> int:
    """When a step began, in milliseconds since 1970; the state's own clock may begin anywhere."""
    if state.requested_at is None or step.started_at is None:
        return recorded_at
    return recorded_at + round(step.started_at - state.requested_at)


def _duration(milliseconds: float | None) -> float | None:
    # Below a microsecond there is only the noise of adding floats.
    return None if milliseconds is None else round(float(milliseconds), 3)


def _output_text(output: str | Sequence[Any] | None) -> str | None:
    if output is None or isinstance(output, str):
        return output
    return json.dumps(output, ensure_ascii=False, default=str)


def _clean(row: Mapping[str, Cell]) -> Row:
    return {name: _storable(cell) for name, cell in row.items()}


def _storable(cell: Cell) -> Cell:
    if isinstance(cell, str):
        return redacted(whole_characters(cell))
    # No count of tokens and no time has 64 bits; a database refuses more.
    return None if isinstance(cell, int) and cell.bit_length() > 63 else cell
