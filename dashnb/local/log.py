"""The log of a run's events: kept first, then told to whoever is reading.

A run writes, readers follow; neither knows of the other. A reader subscribes first, then reads what
is kept, then goes on with what it is told, and drops what it has seen by its number: it misses
nothing and gets nothing twice, wherever it begins.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import Any

from dashnb.local.store import LoggedEvent, Store

DONE = ("done", "[DONE]")
# Another process on the same database does not tell us its events, so a waiting reader looks again.
LOOK_AGAIN_SECONDS = 0.25


def entry(name: str, value: dict[str, Any]) -> tuple[str, str]:
    """An event's name and data as they are kept: compact JSON, non-ASCII characters as they are."""
    return name, json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class EventLog:
    """The logs of all runs of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._readers: dict[str, set[asyncio.Queue[LoggedEvent]]] = defaultdict(set)

    def tell(self, events: Sequence[LoggedEvent]) -> None:
        """Hand events that have been committed to all readers of their run."""
        for event in events:
            for queue in self._readers.get(event.run_id, ()):
                queue.put_nowait(event)

    async def follow(self, run_id: str, *, after: int = 0, heartbeat: float) -> AsyncIterator[LoggedEvent | None]:
        """The events of a run behind a position, up to the next ``done``.

        Args:
            run_id: The run.
            after: The number of the last event that is already known.
            heartbeat: Seconds of silence after which None is handed out, as a sign of life.
        """
        queue: asyncio.Queue[LoggedEvent] = asyncio.Queue()
        self._readers[run_id].add(queue)
        try:
            silent = 0.0
            fresh: Sequence[LoggedEvent] = self._store.events(run_id, after=after)
            while True:
                for event in fresh:
                    if event.seq <= after:
                        continue
                    after, silent = event.seq, 0.0
                    yield event
                    if event.name == "done":
                        return
                fresh = await self._next(queue, run_id, after)
                silent = 0.0 if fresh else silent + LOOK_AGAIN_SECONDS
                if silent >= heartbeat:
                    silent = 0.0
                    yield None
        finally:
            self._readers[run_id].discard(queue)
            if not self._readers[run_id]:
                del self._readers[run_id]

    async def _next(self, queue: asyncio.Queue[LoggedEvent], run_id: str, after: int) -> Sequence[LoggedEvent]:
        try:
            return [await asyncio.wait_for(queue.get(), LOOK_AGAIN_SECONDS)]
        except TimeoutError:
            return self._store.events(run_id, after=after)
