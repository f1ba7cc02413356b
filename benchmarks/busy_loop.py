"""How long the event loop stands still while one request within the limits asks for as much as it can.

    python benchmarks/busy_loop.py

A beat on the loop of the embedded API is to come every millisecond; what is printed for each request is the
longest time between two beats, and how long the request took. Streams of others stand still as long as the beat.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from dashnb.local.guard import Limits
from dashnb.local.models.guide import GuideEngine
from dashnb.local.service import BASE_URL, LocalService

MOST = Limits().body_bytes


class Beat:
    """A task on a loop that notes the longest time between two of its turns."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def run(self) -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            self.longest = max(self.longest, now - last)
            last = now


def repeated(item: str, *, most: int, around: str = "@") -> bytes:
    """A body with a list of so many equal items, or as many as fit."""
    count = min(most, (MOST - len(around)) // (len(item) + 1))
    return around.replace("@", f"[{','.join([item] * count)}]").encode()


def requests(client: httpx.Client) -> Iterator[tuple[str, Callable[[], httpx.Response]]]:
    """Requests by name, each as large as it may be."""
    assistant = client.post("/assistants", json={"model": "m"}).json()["id"]
    message = '{"role": "user", "content": "x"}'
    run = f'{{"assistant_id": "{assistant}", "thread": {{"messages": @}}}}'
    tools = '{"model": "m", "tools": [{"type": "x", "y": @}]}'

    def post(path: str, content: bytes) -> Callable[[], httpx.Response]:
        return lambda: client.post(path, content=content)

    yield "30,000 messages", post("/threads", repeated(message, most=30_000, around='{"messages": @}'))
    yield "8 MB of messages", post("/threads", repeated(message, most=MOST, around='{"messages": @}'))
    yield "8 MB of wrong messages", post("/threads", repeated("{}", most=MOST, around='{"messages": @}'))
    yield "a run with 30,000 messages", post("/threads/runs", repeated(message, most=30_000, around=run))
    yield "8 MB of empty lists", post("/threads", repeated("[]", most=MOST))
    yield "8 MB of numbers in a tool", post("/assistants", repeated("1", most=MOST, around=tools))
    yield "8 MB of one text", post("/threads", json.dumps({"messages": [{"content": "x" * (MOST - 100)}]}).encode())

    long = client.post("/threads", content=repeated(message, most=30_000, around='{"messages": @}')).json()["id"]
    everything: dict[str, Any] = {"assistant_id": assistant, "stream": True}
    everything["truncation_strategy"] = {"type": "last_messages", "last_messages": 30_000}
    yield "a run that reads 30,000 messages", lambda: client.post(f"/threads/{long}/runs", json=everything)
    yield "a page of 100 messages", lambda: client.get(f"/threads/{long}/messages", params={"limit": 100})
    yield "deleting a thread of 30,000 messages", lambda: client.delete(f"/threads/{long}")
    large = client.post("/threads").json()["id"]
    for _ in range(20):
        client.post(f"/threads/{large}/messages", json={"content": "天" * 2_000_000})
    yield "a page of 20 messages of 6 MB", lambda: client.get(f"/threads/{large}/messages", params={"limit": 100})


@contextmanager
def beating(service: LocalService) -> Iterator[Beat]:
    """While there is a beat on the loop of a service."""
    beat = Beat()
    running = service._loop.start(beat.run())
    yield beat
    running.cancel()


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        for database in (":memory:", str(Path(folder) / "a.db")):
            print(f"\n{'in memory' if database == ':memory:' else 'in a file':40} {'beat ms':>8} {'request ms':>11}")
            with (
                LocalService(database, GuideEngine(), plugins={}) as service,
                httpx.Client(transport=service.transport(), base_url=BASE_URL, timeout=600) as client,
            ):
                for name, ask in requests(client):
                    with beating(service) as beat:
                        begun = time.perf_counter()
                        status = ask().status_code
                        took = time.perf_counter() - begun
                    print(f"{name:40} {beat.longest * 1000:8.1f} {took * 1000:11.0f}  HTTP {status}", flush=True)


if __name__ == "__main__":
    main()
