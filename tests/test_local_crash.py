"""What readers have seen survives a server that is killed, and readers that are many and leave and come back."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from dashnb.local.models.engine import Piece, TextPiece, Turn
from dashnb.local.service import BASE_URL, LocalService
from scripted import Api, Gate, Script, names, numbered, parse

pytestmark = pytest.mark.slow

RUNS = 20
READERS = 200
DROPPED = 10

# A server whose engine says as many words as the model's name tells.
SERVER = """
import asyncio, socket, sys
import uvicorn
from dashnb.local.models.engine import TextPiece
from dashnb.local.service import LocalService

class Counting:
    name = "counting"

    async def answer(self, turn):
        for number in range(int(turn.model)):
            yield TextPiece(f"{number} 天 ")
            await asyncio.sleep(0.002)

service = LocalService(sys.argv[1], Counting(), plugins={})
with socket.create_server(("127.0.0.1", 0)) as listening:
    print(listening.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(service.app, log_level="error")).run(sockets=[listening])
"""


@dataclass
class Seen:
    """What one reader has seen of a run."""

    events: list[tuple[str, str, str]] = field(default_factory=list)  # id, name, data

    @property
    def text(self) -> str:
        deltas = [json.loads(data)["delta"] for _, name, data in self.events if name == "thread.message.delta"]
        return "".join(part["text"]["value"] for delta in deltas for part in delta["content"])

    async def read(self, response: httpx.Response, *, most: int | None = None) -> None:
        """Read events to the end of the stream, or so many of them."""
        fields: dict[str, str] = {}
        async for line in response.aiter_lines():
            name, _, value = line.partition(":")
            fields[name] = value
            if not line and "event" in fields:
                self.events.append((fields["id"], fields["event"], fields["data"]))
                if len(self.events) == most:
                    return
            if not line:
                fields = {}


def test_a_server_that_is_killed_loses_nothing_that_a_reader_saw(tmp_path: Path) -> None:
    file = str(tmp_path / "a.db")
    with subprocess.Popen([sys.executable, "-c", SERVER, file], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}/api/v1"
        try:
            seen = asyncio.run(read_until_killed(url, server))
        finally:
            server.kill()
    assert len(seen) == RUNS
    with (
        LocalService(file, Script(*[[TextPiece("Here again.")]] * RUNS), plugins={}) as service,
        httpx.Client(transport=service.transport(), base_url=BASE_URL) as client,
    ):
        ends = [ended_well(Api(service, client), reader) for reader in seen]
    assert ends.count("completed") >= 4
    assert ends.count("failed") >= 4


async def read_until_killed(url: str, server: subprocess.Popen[str]) -> list[Seen]:
    """Twenty runs, one in four of them short, and the server killed in the middle of the others."""
    seen = [Seen() for _ in range(RUNS)]
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60, trust_env=False) as client:
        assistant = (await client.post("/assistants", json={"model": "1"})).json()["id"]

        async def follow(number: int, reader: Seen) -> None:
            words = "3" if number % 4 == 0 else "100000"
            body = {"assistant_id": assistant, "model": words, "stream": True}
            async with client.stream("POST", "/threads/runs", json=body) as response:
                with suppress(httpx.HTTPError):  # the end of the server
                    await reader.read(response)

        async def kill() -> None:
            # Until the short runs have ended, and the readers of the others are in the middle of them.
            least = [10 if number % 4 else 15 for number in range(RUNS)]
            while any(len(reader.events) < few for reader, few in zip(seen, least, strict=True)):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            server.kill()

        await asyncio.wait_for(asyncio.gather(kill(), *map(follow, range(RUNS), seen)), 60)
    return seen


def ended_well(api: Api, seen: Seen) -> str:
    """How a run ended, after looking at everything that its reader had seen."""
    first = next(json.loads(data) for _, name, data in seen.events if name == "thread.run.created")
    thread, path = f"/threads/{first['thread_id']}", f"/threads/{first['thread_id']}/runs/{first['id']}"
    run = api.get(path)
    kept = api.service.store.events(first["id"])
    assert [(event.id, event.name, event.data) for event in kept[: len(seen.events)]] == seen.events
    assert [event.seq for event in kept] == list(range(1, len(kept) + 1))
    assert [event.name for event in kept][-2:] == [f"thread.run.{run['status']}", "done"]
    joined = list(
        parse(iter([api.client.get(f"{path}/stream", headers={"Last-Event-ID": seen.events[-1][0]}).content]))
    )
    assert names(joined) == [event.name for event in kept[len(seen.events) :]]
    (message,) = api.get(f"{thread}/messages")["data"]
    text = message["content"][0]["text"]["value"]
    assert text.startswith(seen.text)
    whole = Seen([(event.id, event.name, event.data) for event in kept])
    assert text == whole.text
    if run["status"] == "failed":
        assert run["last_error"]["code"] == "server_restarted"
        (step,) = api.get(f"{path}/steps")["data"]
        assert step["status"] == "failed"
        assert message["incomplete_details"] == {"reason": "failed"}
    again = api.post(f"{thread}/runs", assistant_id=first["assistant_id"])
    api.wait(f"{thread}/runs/{again['id']}", "completed")
    return str(run["status"])


class Long(Script):
    """An engine that says much, and waits in the middle for all readers."""

    async def answer(self, turn: Turn) -> AsyncIterator[Piece]:
        for number in range(60):
            if number == 20:
                gate: Any = self._rounds[0][0]
                await gate.pass_through()
            yield TextPiece(f"{number} ")
            await asyncio.sleep(0)


def test_two_hundred_readers_of_a_run_see_the_same_and_those_that_come_back_miss_nothing() -> None:
    gate = Gate()
    with LocalService(":memory:", Long([gate]), plugins={}, ids=numbered()) as service:
        seen, dropped = asyncio.run(many_readers(service, gate))
        kept = [(event.id, event.name, event.data) for event in service.store.events("run_1")]
    assert len(kept) == 4 + 4 + 61 + 2 + 2
    assert [reader.events for reader in seen] == [kept] * READERS
    assert dropped == DROPPED


async def many_readers(service: LocalService, gate: Gate) -> tuple[list[Seen], int]:
    chance = random.Random(20240327)
    leaving = {reader: chance.randrange(1, 70) for reader in chance.sample(range(READERS), DROPPED)}
    seen = [Seen() for _ in range(READERS)]
    dropped = 0
    async with httpx.AsyncClient(transport=service.async_transport(), base_url=BASE_URL, timeout=60) as client:
        assistant = (await client.post("/assistants", json={"model": "m"})).json()["id"]
        run = (await client.post("/threads/runs", json={"assistant_id": assistant})).json()
        path = f"/threads/{run['thread_id']}/runs/{run['id']}/stream"

        async def follow(reader: Seen, most: int | None) -> None:
            nonlocal dropped
            async with client.stream("GET", path) as response:
                await reader.read(response, most=most)
            if most is not None:
                dropped += 1
                async with client.stream("GET", path, headers={"Last-Event-ID": reader.events[-1][0]}) as response:
                    await reader.read(response)

        async def go_on() -> None:
            while not all(reader.events for reader in seen):  # noqa: ASYNC110 - until all have joined
                await asyncio.sleep(0.01)
            gate.open()

        readers = [follow(reader, leaving.get(number)) for number, reader in enumerate(seen)]
        await asyncio.wait_for(asyncio.gather(go_on(), *readers), 60)
    return seen, dropped
