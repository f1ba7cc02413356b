"""A run as what a notebook keeps: HTML, Markdown and text to see, and metadata to rebuild tables from.

The data is the same for the same run wherever and whenever it ran; ids and times are in the metadata,
which tools that compare notebooks leave alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dashnb.characters import harmless, whole_characters
from dashnb.protocol.objects import LastError, Message
from dashnb.protocol.state import RunState, Step, ToolCall
from dashnb.view.blocks import Block
from dashnb.view.fair_copy import fair_copy, plain_words
from dashnb.view.heading import Heading
from dashnb.view.html import NO_PICTURES, passage_html, to_html
from dashnb.view.run_markdown import to_markdown
from dashnb.view.text import to_text, without_picture_data

VERSION = 1
# Characters of the answer, and of all arguments and outputs together, that the metadata keeps; what
# is longer is cut and its full length noted under ``cut``.
KEPT = 200_000

Data = dict[str, Any]
Metadata = dict[str, Any]


def bundle(
    state: RunState,
    heading: Heading,
    *,
    block: Block | None = None,
    live: bool = False,
    pictures: Mapping[str, str] = NO_PICTURES,
) -> tuple[Data, Metadata]:
    """What a notebook keeps of the run, or of one block of it; the first block carries the metadata.

    Seconds are never in it, as they would differ from run to run: they are in the metadata.

    >>> data, metadata = bundle(RunState(), Heading())
    >>> list(data), metadata["dashnb"]["version"]
    (['text/html', 'text/markdown', 'text/plain'], 1)

    Args:
        state: The run.
        heading: Who answers.
        block: The part to keep; the whole run if None.
        live: True while the run goes on: what it does now stands where accounts and notices will be.
        pictures: Pictures by their address, as ``data:`` addresses, to be kept inside the HTML.
    """
    data = {
        "text/html": to_html(state, heading, block=block, live=live, pictures=pictures),
        "text/markdown": to_markdown(state, heading, block=block, live=live),
        "text/plain": to_text(state, heading, block=block),
    }
    metadata = {"dashnb": record(state, heading)} if block is None or block.first else {}
    return sendable(data), sendable(metadata)


def message_bundle(message: Message) -> Data:
    r"""What a notebook shows of one message, of a person or an assistant.

    >>> said = Message.model_validate({"id": "message_1", "role": "user", "content": "**Hi**"})
    >>> message_bundle(said)["text/markdown"]
    '*user*\n\n**Hi**'
    """
    role = message.role or "message"
    data = {
        "text/html": passage_html(role, message.text),
        "text/markdown": f"*{plain_words(role)}*\n\n{fair_copy(message.text)}",
        "text/plain": harmless(without_picture_data(message.text)),
    }
    checked: Data = sendable(data)
    return checked


def live_data(state: RunState, heading: Heading, *, block: Block) -> Data:
    """The open block while the run goes on: HTML, and text for front ends without HTML."""
    data = {
        "text/html": to_html(state, heading, block=block, live=True),
        "text/plain": to_text(state, heading, block=block),
    }
    checked: Data = sendable(data)
    return checked


def record(state: RunState, heading: Heading) -> Metadata:
    """Everything about the run that a table may want, as JSON values; `dashnb.history.from_notebook` reads it.

    ``run``, ``text``, ``usage``, ``times`` (milliseconds), ``steps`` with their ``calls``, and ``messages``.
    A ``span`` is the text of a step or a message: where it begins and ends in ``text``, in characters.

    >>> sorted(record(RunState(), Heading()))
    ['assistant', 'engine', 'messages', 'run', 'steps', 'text', 'times', 'usage', 'version']
    """
    room = _Room(KEPT)
    # As it will be sent: joined halves of characters would move every place behind them.
    text = whole_characters(state.text)
    written, said = _Places(text), _Places(text)
    kept = {
        "version": VERSION,
        "assistant": heading.assistant,
        "engine": heading.engine,
        "run": _run(state, heading),
        "text": text[:KEPT],
        "usage": _usage(state),
        "times": {"duration_ms": state.duration_ms, "time_to_first_token_ms": state.time_to_first_token},
        "steps": [_step(step, room, written) for step in state.steps],
        "messages": [_message(message, said) for message in state.messages],
    }
    return {**kept, "cut": {"text": len(text)}} if len(text) > KEPT else kept


class _Room:
    """The characters that are left."""

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, text: str) -> str:
        kept = text[: self.left]
        self.left -= len(kept)
        return kept


class _Places:
    """Finds where pieces of the text stand in it, so that the text is kept once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._behind = 0

    def span(self, piece: str) -> list[int]:
        sent = whole_characters(piece)
        start = self._text.find(sent, self._behind)
        if start < 0:  # not in the order of the text; the same words serve wherever they stand
            start = self._text.find(sent)
        self._behind = start + len(sent)
        return [start, self._behind]


def _run(state: RunState, heading: Heading) -> Metadata:
    run = state.run
    return {
        "id": state.id,
        "thread_id": state.thread_id,
        "assistant_id": state.assistant_id,
        "model": state.model or heading.model,
        "status": state.status,
        "created_at": run.created_at if run else None,
        "completed_at": run.completed_at if run else None,
        "error": _error(state.error),
    }


def _usage(state: RunState) -> Metadata | None:
    names = ("input_tokens", "output_tokens", "total_tokens")
    return {name: getattr(state.usage, name) for name in names} if state.usage else None


def _step(step: Step, room: _Room, places: _Places) -> Metadata:
    return {
        "id": step.id,
        "type": step.type,
        "status": step.status,
        "message_id": step.message_id,
        "span": places.span(step.text),
        "duration_ms": step.duration_ms,
        "error": _error(step.error),
        "calls": [_call(call, room) for call in step.calls],
    }


def _message(message: Message, places: _Places) -> Metadata:
    return {
        "id": message.id,
        "role": message.role,
        "created_at": message.created_at,
        "span": places.span(message.text),
    }


def _call(call: ToolCall, room: _Room) -> Metadata:
    kept: Metadata = {
        "number": call.number,
        "id": call.id,
        "type": call.type,
        "name": call.name,
        "arguments": room.take(call.arguments),
    }
    whole = {"arguments": len(call.arguments)}
    if call.output is None or isinstance(call.output, str):
        kept["output"] = None if call.output is None else room.take(call.output)
        whole["output"] = len(call.output or "")
    else:
        text = str(call.output)
        kept["output"] = call.output if room.take(text) == text else None
        whole["output"] = len(text)
    lost = {name: length for name, length in whole.items() if length and _length(kept[name]) < length}
    return {**kept, "cut": lost} if lost else kept


def _length(value: Any) -> int:
    return 0 if value is None else len(value if isinstance(value, str) else str(value))


def _error(error: LastError | None) -> Metadata | None:
    return {"code": error.code, "message": error.message} if error else None


def sendable(value: Any) -> Any:
    r"""The value as every front end's JSON can carry it: no half characters, no NaN.

    >>> sendable(["\ud83d", float("nan")])
    ['�', 'nan']
    """
    if isinstance(value, str):
        return whole_characters(value)
    if isinstance(value, dict):
        return {str(key): sendable(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [sendable(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
