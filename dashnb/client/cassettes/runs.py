"""The runs that a cassette tells, whatever requests made them: streamed, joined again, or read one by one.

A recording of a single stream tells one run, and no times.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dashnb.client.cassettes.cassette import MOST_BYTES, Cassette, Exchange, is_cassette, read_cassette
from dashnb.client.cassettes.player import Pace
from dashnb.client.numbering import position_of
from dashnb.errors import ConfigurationError, ProtocolError
from dashnb.files import read_file
from dashnb.foreign import read_json
from dashnb.protocol.events import RunEvent, parse_event
from dashnb.protocol.objects import Message, Run, RunStep
from dashnb.protocol.recording import parse_recording
from dashnb.protocol.sse import Decoder
from dashnb.protocol.state import RunState

TimedEvent = tuple[float, RunEvent]


@dataclass(slots=True)
class ToldRun:
    """What a cassette holds of one run.

    Attributes:
        id: Its id.
        streams: Its events with their milliseconds since the request, a list for each stream, in order.
        run: The run as it was last read, None if it was only streamed.
        steps: Its steps that were read, by id.
        messages: Its messages that were read, by id.
    """

    id: str
    streams: list[list[TimedEvent]] = field(default_factory=list)
    run: Run | None = None
    steps: dict[str, RunStep] = field(default_factory=dict)
    messages: dict[str, Message] = field(default_factory=dict)

    def states(self, state: RunState, pace: Pace, sleep: Callable[[float], None]) -> Generator[RunState, None, None]:
        """The state after each event, and after what was read besides.

        Args:
            state: A new state; it is changed, and yielded again and again.
            pace: When events are due.
            sleep: How to let seconds pass.
        """
        for events in self.streams:
            began = pace.begin()
            for at, event in events:
                if _is_known(event, state):
                    continue
                if seconds := pace.left(began, at):
                    sleep(seconds)
                state.apply(event, at=at)
                yield state
        if self.run is not None and not state.is_final:
            steps = sorted(self.steps.values(), key=lambda step: step.created_at or 0)
            messages = sorted(self.messages.values(), key=lambda message: message.created_at or 0)
            state.merge(self.run, steps=steps, messages=messages)
            yield state


def read_runs(path: Path) -> list[ToldRun]:
    """The runs that a file tells, a cassette or a recording of a single stream; at least one.

    >>> import tempfile, dashnb
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "demo.jsonl")
    ...     with dashnb.connect("local", database=":memory:", record=file) as client:
    ...         answer = dashnb.Session(client=client, ledger=None).ask("What is 2 + 3?")
    ...     [run.id == answer.id for run in read_runs(file)]
    [True]

    Args:
        path: The file.

    Raises:
        ConfigurationError: The file cannot be read.
        ProtocolError: It is neither, is broken, or tells no run.
    """
    try:
        content = read_file(path, MOST_BYTES)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
    if is_cassette(content):
        runs = told_runs(read_cassette(path))
    else:
        events = [(0.0, event) for event in parse_recording(content)]
        runs = [ToldRun("", [events])]
    if not runs:
        raise ProtocolError(f"The cassette {path} tells no run: no run was made or read while it was recorded.")
    return runs


def told_runs(cassette: Cassette) -> list[ToldRun]:
    """The runs of a cassette, in the order in which they appear.

    >>> from pathlib import Path
    >>> body = b'{"id": "run_1", "object": "thread.run", "thread_id": "thread_1", "status": "completed"}'
    >>> made = Exchange(1, "POST", "/api/v1/threads/thread_1/runs", status=200, chunks=[(1.0, body)])
    >>> [run.id for run in told_runs(Cassette(Path("demo.jsonl"), "", "", (made,)))]
    ['run_1']
    """
    runs: dict[str, ToldRun] = {}
    for exchange in cassette.exchanges:
        if not 200 <= exchange.status < 300:
            continue
        if exchange.is_stream:
            events = list(_events(exchange))
            if run_id := _run_of(exchange, events):
                runs.setdefault(run_id, ToldRun(run_id)).streams.append(events)
        else:
            for value, listed in _objects(exchange):
                _take(runs, value, listed)
    return [run for run in runs.values() if run.streams or run.run is not None]


def _events(exchange: Exchange) -> Iterator[TimedEvent]:
    """The events of a stream, as far as they can be read."""
    decoder = Decoder()
    for at, chunk in exchange.chunks:
        for sent in decoder.feed(chunk):
            try:
                yield at, parse_event(sent)
            except ProtocolError:
                return


def _run_of(exchange: Exchange, events: list[TimedEvent]) -> str:
    if named := re.search(r"/threads/[^/?]+/runs/([^/?]+)/", exchange.path):
        return named[1]
    return next((event.data.id for _, event in events if isinstance(event.data, Run)), "")


def _is_known(event: RunEvent, state: RunState) -> bool:
    """True if a stream that was joined again tells it a second time."""
    run_id, number = position_of(event.id)
    last_id, last = position_of(state.last_event_id)
    return bool(run_id) and run_id == last_id and number <= last


def _objects(exchange: Exchange) -> Iterator[tuple[dict[str, Any], bool]]:
    """The objects of an answer, each with whether it stood in a list."""
    try:
        value = read_json(b"".join(chunk for _, chunk in exchange.chunks))
    except ValueError:
        return
    if isinstance(value, dict):
        data = value.get("data") if value.get("object") == "list" else None
        listed = isinstance(data, list)
        yield from ((one, listed) for one in (data if isinstance(data, list) else [value]) if isinstance(one, dict))


def _take(runs: dict[str, ToldRun], value: dict[str, Any], listed: bool) -> None:
    kind, object_id = value.get("object"), str(value.get("id"))
    run_id = object_id if kind == "thread.run" else str(value.get("run_id") or "")
    if not run_id:
        return
    told = runs.setdefault(run_id, ToldRun(run_id))
    try:
        # A list of runs also has those of earlier conversations on the thread.
        if kind == "thread.run" and (not listed or told.run is not None):
            told.run = Run.model_validate(value)
        elif kind == "thread.run.step":
            told.steps[object_id] = RunStep.model_validate(value)
        elif kind == "thread.message":
            told.messages[object_id] = Message.model_validate(value)
    except ValidationError:
        return
