"""The tables of a saved notebook, from what its outputs keep: no kernel, no ledger, nothing is executed.

    notebook → records in the metadata of outputs → runs, each once → rows → tables

People and programs edit notebooks: what is missing, or of another type than it should be, is None, and a
record that cannot be read at all is left out and counted. The columns are the ledger's.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashnb.characters import whole_characters
from dashnb.errors import InvalidArgument
from dashnb.files import read_file
from dashnb.foreign import read_json
from dashnb.history.schema import TABLES, Cell
from dashnb.history.table import Table

MOST_BYTES = 1_000_000_000  # of a notebook, with its pictures
VERSION = 1  # of a record; keys may be added to it, and are then read as far as they are there
Row = dict[str, Cell]

_QUESTION = re.compile(r"%%(assistant|run_stream)\b")
_BLANKS = re.compile(r"\s*")
# How often the words of a text may stand in the steps and messages that point to them. Once is usual; without
# an end, some bytes per step that points to a long text are as many copies of it.
_AT_MOST_TIMES = 4


def from_notebook(notebook: str | os.PathLike[str] | Mapping[str, Any]) -> Kept:
    """What a notebook keeps of its runs, as tables; it may have been made on another machine.

    >>> import nbformat
    >>> run = {"id": "run_1", "thread_id": "thread_1", "model": "qwen-max", "status": "completed"}
    >>> kept = {"version": 1, "run": run, "text": "5", "usage": {"total_tokens": 9}}
    >>> output = nbformat.v4.new_output("display_data", metadata={"dashnb": kept})
    >>> cell = nbformat.v4.new_code_cell("%%assistant\\nWhat is 2 + 3?", outputs=[output])
    >>> runs = from_notebook(nbformat.v4.new_notebook(cells=[cell])).runs()
    >>> runs["prompt"], runs["text"], runs["total_tokens"]
    (['What is 2 + 3?'], ['5'], [9])

    Args:
        notebook: A file, a notebook that ``nbformat`` read, or the JSON of one, as a dict.

    Raises:
        InvalidArgument: The file cannot be read, or is no notebook in format 4.
    """
    if isinstance(notebook, Mapping):
        named, content = "The argument", _Part(notebook)
    elif isinstance(notebook, (str, os.PathLike)):
        named = os.fsdecode(notebook)
        content = _Part(_read(Path(named)))
    else:
        raise InvalidArgument(f"A notebook is a file or the JSON of one as a dict, not {type(notebook).__name__}.")
    if not content.holds("cells", list):
        raise InvalidArgument(f"{named} is no notebook: it has no cells. Save it in format 4, as Jupyter does.")
    found = list(_records(content))
    return Kept(_runs((prompt, record) for prompt, record in found if record.is_readable), found)


class Kept:
    """The runs of one notebook; every table is read like one of the ledger.

    Runs come oldest first, however the cells are ordered; one without a time stands behind the one before it in
    the notebook. A run that several outputs show is one row, of the last one. A request that never became a run
    is called ``request_1``, ``request_2`` … in the order of the notebook.

    >>> kept = from_notebook({"cells": []})
    >>> kept, kept.runs().name, len(kept.messages())
    (Kept(runs=0), 'runs', 0)

    Attributes:
        skipped: How many outputs have a record that cannot be read, or is of a newer format.
        cut: How many runs have a text, arguments or outputs of which the notebook keeps the beginning only.
    """

    def __init__(self, runs: Sequence[_Run], found: Sequence[tuple[str, _Part]]) -> None:
        self._runs = runs
        self.skipped = sum(not record.is_readable for _, record in found)
        self.cut = sum(_is_cut(run.record) for run in runs)

    def runs(self) -> Table:
        """One row per run; engine is the name above the answer, cost and connection are not kept.

        >>> from_notebook({"cells": []}).runs().columns[:4]
        ('id', 'thread_id', 'assistant_id', 'model')
        """
        return _table("runs", self._runs, _run_rows)

    def steps(self) -> Table:
        """The steps of all runs; of several calls in one step, each is a line of its texts.

        >>> from_notebook({"cells": []}).steps().columns[3:7]
        ('position', 'type', 'status', 'tool')
        """
        return _table("steps", self._runs, _step_rows)

    def messages(self) -> Table:
        """Of each run the prompt, whose id and time are not kept, then what the assistant wrote.

        >>> from_notebook({"cells": []}).messages().columns[4:]
        ('role', 'text', 'created_at')
        """
        return _table("messages", self._runs, _message_rows)

    def tool_calls(self) -> Table:
        """The tool calls of all steps, with their arguments and outputs.

        >>> from_notebook({"cells": []}).tool_calls().columns[5:]
        ('name', 'arguments', 'output', 'status')
        """
        return _table("tool_calls", self._runs, _call_rows)

    def threads(self) -> Table:
        """The threads, with the number of their runs, messages and tokens.

        >>> from_notebook({"cells": []}).threads().columns
        ('id', 'runs', 'messages', 'first_at', 'last_at', 'total_tokens')
        """
        threads: dict[str, list[_Run]] = {}
        for run in self._runs:
            if run.thread_id:
                threads.setdefault(run.thread_id, []).append(run)
        return _table("threads", threads.items(), _thread_rows)

    def __repr__(self) -> str:
        notes = (("skipped", self.skipped), ("cut", self.cut))
        return f"Kept(runs={len(self._runs)}{''.join(f', {name}={n}' for name, n in notes if n)})"


# --- from the notebook to its runs -------------------------------------------------------------


class _Part:
    """A part of a notebook, read with care: a value of another type than asked for is None."""

    def __init__(self, value: object) -> None:
        self._values: Mapping[str, Any] = value if isinstance(value, Mapping) else {}

    @property
    def is_readable(self) -> bool:
        """True for the record of a run in the format that is known here."""
        return self.whole("version") == VERSION and self.holds("run", Mapping)

    def holds(self, name: str, kind: type) -> bool:
        return isinstance(self._values.get(name), kind)

    def raw(self, name: str) -> Any:
        return self._values.get(name)

    def text(self, name: str) -> str | None:
        value = self.raw(name)
        return whole_characters(value) if isinstance(value, str) else None

    def whole(self, name: str) -> int | None:
        value = self.raw(name)
        is_number = isinstance(value, int) and not isinstance(value, bool)
        return value if is_number and value.bit_length() < 64 else None

    def milliseconds(self, name: str) -> float | None:
        value = self.raw(name)
        if isinstance(value, float):
            return round(value, 3) if math.isfinite(value) else None
        number = self.whole(name)
        return None if number is None else float(number)

    def part(self, name: str) -> _Part:
        return _Part(self.raw(name))

    def parts(self, name: str) -> list[_Part]:
        return (
            [_Part(value) for value in self.raw(name) if isinstance(value, Mapping)] if self.holds(name, list) else []
        )


@dataclass(frozen=True, slots=True)
class _Run:
    """One run of the notebook.

    Attributes:
        key: Its id, or one made up for a request that never became a run.
        prompt: What the cell asked; ``""`` if it asked nothing.
        record: What an output keeps of it.
        thread_id: Its thread; one text, however many rows name it.
    """

    key: str
    prompt: str
    record: _Part
    thread_id: str | None

    @property
    def created_at(self) -> int | None:
        return self.record.part("run").whole("created_at") or None

    @property
    def total_tokens(self) -> int | None:
        return self.record.part("usage").whole("total_tokens")


def _read(path: Path) -> object:
    try:
        return read_json(read_file(path, MOST_BYTES))
    except OSError as error:
        raise InvalidArgument(f"The notebook {path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise InvalidArgument(f"{path} is no notebook: it is not JSON. Save it as .ipynb, as Jupyter does.") from error


def _records(notebook: _Part) -> Iterator[tuple[str, _Part]]:
    """The records of all outputs in the order of the notebook, each with what its cell asked."""
    for cell in notebook.parts("cells"):
        kept = [output.part("metadata") for output in cell.parts("outputs")]
        records = [metadata.part("dashnb") for metadata in kept if metadata.raw("dashnb") is not None]
        if records:
            prompt = _prompt(cell)
            yield from ((prompt, record) for record in records)


def _prompt(cell: _Part) -> str:
    lines = cell.raw("source")  # a file has lines, a notebook in memory one text
    if isinstance(lines, list):
        lines = "".join(line for line in lines if isinstance(line, str))
    source = whole_characters(lines).strip() if isinstance(lines, str) else ""
    begin = 0
    # Other cell magics, such as %%time, may stand above. What is left is never copied: they may be many.
    while source.startswith("%%", begin):
        end = source.find("\n", begin) + 1 or len(source)
        if _QUESTION.match(source, begin):
            return source[end:].strip()
        begin = blanks.end() if (blanks := _BLANKS.match(source, end)) else end
    return ""


def _runs(records: Iterable[tuple[str, _Part]]) -> list[_Run]:
    """The runs, oldest first; of a run that is shown several times, what was shown last and any prompt."""
    runs: dict[str, _Run] = {}
    requests = 0
    for prompt, record in records:
        run = record.part("run")
        key = run.text("id")
        if not key:
            requests += 1
            key = f"request_{requests}"
        known = runs.get(key)
        runs[key] = _Run(key, prompt or (known.prompt if known else ""), record, run.text("thread_id"))
    return _oldest_first(runs.values())


def _oldest_first(runs: Iterable[_Run]) -> list[_Run]:
    moment = 0
    dated: list[tuple[int, _Run]] = []
    for run in runs:
        moment = moment if run.created_at is None else run.created_at
        dated.append((moment, run))
    return [run for _, run in sorted(dated, key=lambda entry: entry[0])]


def _is_cut(record: _Part) -> bool:
    calls = (call for step in record.parts("steps") for call in step.parts("calls"))
    return any(part.holds("cut", Mapping) for part in (record, *calls))


# --- from a run to its rows --------------------------------------------------------------------


def _table(name: str, things: Iterable[Any], rows_of: Callable[[Any], Iterable[Row]]) -> Table:
    schema = TABLES[name]
    # A column that no row has is one that a notebook does not keep.
    rows = ([row.get(column) for column in schema] for thing in things for row in rows_of(thing))
    return Table(schema, rows, name=name)


def _run_rows(kept: _Run) -> list[Row]:
    record = kept.record
    run, usage, times = record.part("run"), record.part("usage"), record.part("times")
    error = run.part("error")
    row: Row = {
        "id": kept.key,
        **{name: run.text(name) for name in ("thread_id", "assistant_id", "model", "status")},
        "engine": record.text("engine"),
        "created_at": kept.created_at,
        **{name: times.milliseconds(name) for name in ("duration_ms", "time_to_first_token_ms")},
        **{name: usage.whole(name) for name in ("input_tokens", "output_tokens", "total_tokens")},
        "prompt": kept.prompt,
        "text": record.text("text"),
        "error_code": error.text("code"),
        "error_message": error.text("message"),
    }
    return [row]


def _step_rows(run: _Run) -> Iterator[Row]:
    words = _Words(run.record)
    for position, step in enumerate(run.record.parts("steps")):
        calls = step.parts("calls")
        outputs = [_output(call) for call in calls]
        has_output = any(output is not None for output in outputs)
        yield {
            **{name: step.text(name) for name in ("id", "type", "status")},
            "run_id": run.key,
            "thread_id": run.thread_id,
            "position": position,
            "tool": ", ".join(call.text("name") or "" for call in calls) if calls else None,
            "arguments": "\n".join(call.text("arguments") or "" for call in calls) if calls else None,
            "output": "\n".join(output or "" for output in outputs) if has_output else None,
            "text": None if step.text("type") == "tool_calls" else words.of(step),
            "duration_ms": step.milliseconds("duration_ms"),
            "error_code": step.part("error").text("code"),
        }


def _call_rows(run: _Run) -> Iterator[Row]:
    for step in run.record.parts("steps"):
        for place, call in enumerate(step.parts("calls")):
            number = call.whole("number")
            yield {
                **{name: call.text(name) for name in ("id", "type", "name", "arguments")},
                "run_id": run.key,
                "step_id": step.text("id"),
                "number": place if number is None else number,
                "output": _output(call),
                "status": step.text("status"),
            }


def _message_rows(run: _Run) -> Iterator[Row]:
    said: list[Row] = [{"role": "user", "text": run.prompt}] if run.prompt else []
    for position, message in enumerate([*said, *_answers(run.record)]):
        yield {**message, "run_id": run.key, "thread_id": run.thread_id, "position": position}


def _answers(record: _Part) -> list[Row]:
    """The messages of the assistant, as the ledger has them: in the order of steps, broken off ones included."""
    words = _Words(record)
    whole = {message.text("id"): message for message in record.parts("messages")}
    said: list[Row] = []
    for step in record.parts("steps"):
        message_id = step.text("message_id")
        message = whole.pop(message_id, None)
        piece = words.of(step) if message or message_id else None
        if message or piece:
            at = message.whole("created_at") if message else None
            said.append({"id": message_id, "role": "assistant", "text": piece, "created_at": at or None})
    for message_id, message in whole.items():
        role, at = message.text("role") or "assistant", message.whole("created_at") or None
        said.append({"id": message_id, "role": role, "text": words.of(message), "created_at": at})
    if not said and words.text:
        # Text that no step claims, or a record that does not say which step wrote what.
        said.append({"id": "", "role": "assistant", "text": words.text})
    return said


def _thread_rows(thread: tuple[str, list[_Run]]) -> list[Row]:
    thread_id, runs = thread
    times = [run.created_at for run in runs if run.created_at is not None]
    tokens = [run.total_tokens for run in runs if run.total_tokens is not None]
    row: Row = {
        "id": thread_id,
        "runs": len(runs),
        "messages": sum(1 for run in runs for _ in _message_rows(run)),
        "first_at": min(times, default=None),
        "last_at": max(times, default=None),
        "total_tokens": sum(tokens) if tokens else None,
    }
    return [row]


class _Words:
    """The text of a run, cut into what each step and message says of it."""

    def __init__(self, record: _Part) -> None:
        self.text = record.text("text")
        self._left = _AT_MOST_TIMES * len(self.text or "")

    def of(self, part: _Part) -> str | None:
        """What a step or a message says, as far as the text is kept; None if that is not known."""
        span, text = part.raw("span"), self.text
        if text is None or not isinstance(span, list) or [type(place) for place in span[:3]] != [int, int]:
            return None
        start, end = span
        if not (0 <= start <= end and (start == end or start < len(text))):
            return None
        self._left -= min(end, len(text)) - min(start, len(text))
        return text[start:end] if self._left >= 0 else None


def _output(call: _Part) -> str | None:
    output = call.raw("output")
    if isinstance(output, str):
        return call.text("output")
    if not isinstance(output, list):
        return None
    try:
        return whole_characters(json.dumps(output, ensure_ascii=False, default=str))
    except (TypeError, ValueError, RecursionError):  # made by hand: no JSON
        return None
