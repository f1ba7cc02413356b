"""Engines that follow a script, and the embedded API around them, for tests of what it does."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from dashnb.local.endpoints import Endpoints, Request
from dashnb.local.keeper import LIFETIME_MS, Keeper
from dashnb.local.leases import Leases, steady_ms
from dashnb.local.log import EventLog
from dashnb.local.models.engine import (
    Engine,
    Piece,
    Turn,
)
from dashnb.local.plugins import Plugin
from dashnb.local.runner import Runner
from dashnb.local.service import BASE_URL, LocalService
from dashnb.local.store import Store
from dashnb.protocol.operations import OPERATIONS
from dashnb.protocol.requests import ListQuery

Event = tuple[str, Any]


class Gate:
    """Where an engine or a tool waits until the test lets it go on."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._opened = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def pass_through(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.reached.set()
        await self._opened.wait()

    def open(self) -> None:
        assert self.reached.wait(5), "nobody came to the gate"
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._opened.set)


class Script:
    """An engine that says what it was told to: for each round a list of pieces, gates and failures."""

    name = "script"

    def __init__(self, *rounds: Sequence[Piece | Gate | Exception]) -> None:
        self.turns: list[Turn] = []
        self.left = 0
        self._rounds = rounds

    async def answer(self, turn: Turn) -> AsyncIterator[Piece]:
        self.turns.append(turn)
        try:
            for part in self._rounds[len(self.turns) - 1]:
                if isinstance(part, Exception):
                    raise part
                if isinstance(part, Gate):
                    await part.pass_through()
                else:
                    yield part
        finally:
            self.left += 1


def numbered() -> Callable[[str], str]:
    """Ids that count: ``run_1``, ``run_2``, ``step_1``."""
    counters: defaultdict[str, Iterator[int]] = defaultdict(lambda: itertools.count(1))
    return lambda prefix: f"{prefix}_{next(counters[prefix])}"


def ticking(start: int = 1711508433283) -> Callable[[], int]:
    """A clock that goes on by a millisecond each time it is read."""
    return itertools.count(start).__next__


def parse(chunks: Iterator[bytes]) -> Iterator[Event]:
    """The events of a stream, as soon as each is complete."""
    rest = b""
    for chunk in chunks:
        *blocks, rest = (rest + chunk).split(b"\n\n")
        for block in blocks:
            fields = dict(line.split(":", 1) for line in block.decode().split("\n"))
            if "event" in fields:
                data = fields["data"]
                yield fields["event"], data if data == "[DONE]" else json.loads(data)
    assert rest == b""


class Api:
    """A client of one embedded API, with what most tests do first."""

    def __init__(self, service: LocalService, client: httpx.Client) -> None:
        self.service = service
        self.client = client

    def get(self, path: str, **query: Any) -> Any:
        return self._checked(self.client.get(path, params=query))

    def post(self, path: str, **body: Any) -> Any:
        return self._checked(self.client.post(path, json=body))

    def _checked(self, response: httpx.Response) -> Any:
        assert response.status_code == 200, response.text
        return response.json()

    def assistant(self, **fields: Any) -> str:
        return str(self.post("/assistants", **{"model": "qwen-max", **fields})["id"])

    def thread(self, *texts: str) -> str:
        return str(self.post("/threads", messages=[{"role": "user", "content": text} for text in texts])["id"])

    def begin(self, *tools: str, **fields: Any) -> str:
        """The path of a new run, not streamed."""
        thread = self.thread("Hello")
        run = self.post(f"/threads/{thread}/runs", assistant_id=self.assistant(tools=typed(*tools)), **fields)
        return f"/threads/{thread}/runs/{run['id']}"

    @contextmanager
    def stream(self, path: str, **body: Any) -> Iterator[Iterator[Event]]:
        with self.client.stream("POST", path, json={**body, "stream": True}) as response:
            assert response.status_code == 200, response.read()
            yield parse(response.iter_bytes())

    def run(self, *tools: str, **fields: Any) -> list[Event]:
        """All events of a run on a new thread."""
        path = f"/threads/{self.thread('Hello')}/runs"
        with self.stream(path, assistant_id=self.assistant(tools=typed(*tools)), **fields) as events:
            return list(events)

    def submit(self, path: str, *outputs: Mapping[str, str | None]) -> list[Event]:
        with self.stream(f"{path}/submit_tool_outputs", tool_outputs=list(outputs)) as events:
            return list(events)

    def wait(self, path: str, *statuses: str) -> Any:
        """The run at this path, once it has one of these statuses."""
        until = time.monotonic() + 5
        while (run := self.get(path))["status"] not in statuses:
            assert time.monotonic() < until, run
        return run


def typed(*tools: str) -> list[dict[str, Any]]:
    """Tool definitions: built-in types, and functions as ``function:NAME``."""
    return [
        {"type": "function", "function": {"name": tool.partition(":")[2]}} if ":" in tool else {"type": tool}
        for tool in tools
    ]


def path_of(events: list[Event]) -> str:
    """The path of the run that these events tell about."""
    run = next(data for name, data in events if name.startswith("thread.run.") and "step" not in name)
    return f"/threads/{run['thread_id']}/runs/{run['id']}"


def names(events: list[Event]) -> list[str]:
    return [name for name, _ in events]


def of(events: list[Event], name: str) -> list[Any]:
    return [data for found, data in events if found == name]


@contextmanager
def serving(engine: Engine, *, plugins: Mapping[str, Plugin] | None = None, **more: Any) -> Iterator[Api]:
    """A client of a new embedded API with this engine; both are closed in the end."""
    arguments = {"database": ":memory:", "ids": numbered(), "clock": ticking(), **more}
    with (
        LocalService(engine=engine, plugins=plugins or {}, **arguments) as service,
        httpx.Client(transport=service.transport(), base_url=BASE_URL) as client,
    ):
        yield Api(service, client)


class Desk:
    """The embedded API on the test's own loop, where nothing happens between two turns but what the test does."""

    def __init__(
        self,
        engine: Engine,
        *,
        plugins: Mapping[str, Plugin] | None = None,
        database: str = ":memory:",
        ids: Callable[[str], str] | None = None,
        clock: Callable[[], int] | None = None,
        steady: Callable[[], float] = steady_ms,
        owner: str | None = None,
        lifetime: int = LIFETIME_MS,
    ) -> None:
        clock = clock or ticking()
        self.store = Store(database)
        self.log = EventLog(self.store)
        self.runner = Runner(self.store, engine, plugins or {})
        leases = Leases(self.store, clock=clock, steady=steady, owner=owner)
        self.keeper = Keeper(
            self.store, self.log, self.runner, clock=clock, steady=steady, leases=leases, lifetime=lifetime
        )
        self._endpoints = Endpoints(self.store, self.log, self.runner, self.keeper, ids=ids or numbered(), clock=clock)

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()

    def call(self, operation: str, body: dict[str, Any] | None = None, /, **ids: str) -> Any:
        model = OPERATIONS[operation].body
        checked = model.model_validate(body or {}) if model else None
        return self._endpoints.table[operation](Request(ids, checked, ListQuery(), "request_1"))

    def begin(self, *tools: str) -> dict[str, str]:
        """The ids of a new run."""
        assistant = self.call("assistants.create", {"model": "qwen-max", "tools": typed(*tools)})
        thread = self.call("threads.create", {"messages": [{"content": "Hello"}]})
        run = self.call("runs.create", {"assistant_id": assistant["id"]}, thread_id=thread["id"])
        return {"thread_id": thread["id"], "run_id": run["id"]}

    def submit(self, ids: dict[str, str], *outputs: str) -> Any:
        return self.call("runs.submit_tool_outputs", {"tool_outputs": [{"output": text} for text in outputs]}, **ids)

    def status(self, ids: dict[str, str]) -> str:
        run = self.store.get("runs", ids["run_id"])
        return "" if run is None else str(run["status"])

    def told(self, ids: dict[str, str]) -> list[str]:
        return [event.name for event in self.store.events(ids["run_id"])]

    async def until(self, ids: dict[str, str], *statuses: str) -> None:
        for _ in range(200):
            if self.status(ids) in statuses:
                return
            await asyncio.sleep(0)
        pytest.fail(f"the run is {self.status(ids)}")

    async def arrival(self, gate: Gate) -> None:
        for _ in range(200):
            if gate.reached.is_set():
                return
            await asyncio.sleep(0)
        pytest.fail("nobody came to the gate")

    async def read(self, ids: dict[str, str], *, after: int = 0) -> list[str]:
        found: list[str] = []
        async for event in self.log.follow(ids["run_id"], after=after, heartbeat=5):
            assert event is not None, "the stream was silent for 5 s"
            found.append(event.name)
        return found


async def no_plugin(arguments: str, definition: dict[str, Any]) -> str:
    pytest.fail("the tool was not to be called")


BEGUN = ["thread.run.created", "thread.run.queued", "thread.run.in_progress"]
RESUMED = ["thread.run.step.completed", "thread.run.queued", "thread.run.in_progress"]
OPENED = ["thread.run.step.created", "thread.run.step.in_progress"]
STEP_DELTA = ["thread.run.step.delta"]
STEP_DONE = ["thread.run.step.completed"]
ASKED = ["thread.run.requires_action", "done"]
ENDED = ["thread.run.completed", "done"]


def written(pieces: int) -> list[str]:
    """The events of a message of so many pieces; each message ends with an empty delta of its own."""
    return [
        *OPENED,
        "thread.message.created",
        "thread.message.in_progress",
        *["thread.message.delta"] * (pieces + 1),
        "thread.message.completed",
        *STEP_DONE,
    ]


def cut(pieces: int, ending: str) -> list[str]:
    """The events of a message that is cut short after so many pieces, with its run."""
    return [
        *OPENED,
        "thread.message.created",
        "thread.message.in_progress",
        *["thread.message.delta"] * pieces,
        "thread.message.incomplete",
        f"thread.run.step.{ending}",
        f"thread.run.{ending}",
        "done",
    ]
