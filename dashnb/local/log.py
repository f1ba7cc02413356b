"""The log of a run's events: kept first, then told to whoever is reading.

A run writes, readers follow; neither knows of the other. A reader subscribes first, then reads what
is kept, then goes on with what it is told, and drops what it has seen by its number: it misses
nothing and gets nothing twice, wherever it begins.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from dashnb.errors import StoreError
from dashnb.local.store import NOT_KEPT, LoggedEvent, Store
from dashnb.local.workers import Do, at_once
from dashnb.protocol.lifecycle import is_final

DONE = ("done", "[DONE]")
# Another process on the same database does not tell us its events, so a waiting reader looks again.
LOOK_AGAIN_SECONDS = 0.25
# How long a reader waits for a database that cannot be read.
PATIENCE_SECONDS = 20.0
# What is kept of a run behind a position, and whether nothing will follow it.
Found = tuple[Sequence[LoggedEvent], bool]


def entry(name: str, value: dict[str, Any]) -> tuple[str, str]:
    """An event's name and data as they are kept: compact JSON, non-ASCII characters as they are."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # Half a surrogate pair, which a model may write and no database takes, must not end a run.
    return name, text.encode(errors="replace").decode()


class EventLog:
    """The logs of all runs of one store.

    Args:
        store: The database.
        look_again: Seconds after which a waiting reader looks for what another process has written.
        patience: Seconds for which a reader waits for a database that cannot be read.
        do: How functions that read the database are called.
    """

    def __init__(
        self,
        store: Store,
        *,
        look_again: float = LOOK_AGAIN_SECONDS,
        patience: float = PATIENCE_SECONDS,
        do: Do = at_once,
    ) -> None:
        self._store = store
        self._look_again = look_again
        self._patience = patience
        self._do = do
        self._readers: dict[str, set[_Reader]] = defaultdict(set)

    def tell(self, events: Sequence[LoggedEvent]) -> None:
        """Hand events that have been committed to all readers of their run, from any thread."""
        for event in events:
            for reader in list(self._readers.get(event.run_id, ())):
                reader.tell(event)

    def break_off(self, run_id: str, why: str) -> None:
        """Send all readers of a run away, with an event that is not in its log; they may come again."""
        self.tell([_broken_off(run_id, why)])

    async def follow(self, run_id: str, *, after: int = 0, heartbeat: float) -> AsyncGenerator[LoggedEvent | None]:
        """The events of a run behind a position, up to the next ``done``; none if the run has nothing more to say.

        Args:
            run_id: The run.
            after: The number of the last event that is already known.
            heartbeat: Seconds of silence after which None is handed out, as a sign of life.
        """
        reader = _Reader(run_id, lambda seq: self._do(self._look, run_id, seq), self._patience)
        self._readers[run_id].add(reader)
        try:
            silent = 0.0
            fresh, over = await reader.look(after)
            while fresh or not over:
                for event in fresh:
                    if event.is_kept and event.seq <= after:
                        continue
                    after, silent = max(after, event.seq), 0.0
                    yield event
                    if event.name == "done" or not event.is_kept:
                        return
                heard = await reader.hear(self._look_again)
                if heard is not None and heard.seq <= after + 1:
                    fresh = [heard]
                else:
                    # Silence, or a gap: another process may have written.
                    fresh, over = await reader.look(after)
                silent = 0.0 if fresh else silent + self._look_again
                if silent >= heartbeat:
                    silent = 0.0
                    yield None
        finally:
            self._readers[run_id].discard(reader)
            if not self._readers[run_id]:
                del self._readers[run_id]

    def _look(self, run_id: str, after: int) -> Found:
        run = self._store.get("runs", run_id)  # first: a final status is kept together with the last events
        return self._store.events(run_id, after=after), run is None or is_final(run["status"])


class _Reader:
    """One reader of a run, on its loop.

    Args:
        run_id: The run.
        look: Finds what is kept behind a position.
        patience: Seconds for which the database may fail.
    """

    def __init__(self, run_id: str, look: Callable[[int], Awaitable[Found]], patience: float) -> None:
        self._run_id = run_id
        self._look = look
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._heard: asyncio.Queue[LoggedEvent] = asyncio.Queue()
        self._failing: float | None = None

    def tell(self, event: LoggedEvent) -> None:
        """Hand an event over, from any thread; events that come in another order are put right by the reader."""
        if asyncio._get_running_loop() is self._loop:
            self._heard.put_nowait(event)
            return
        with suppress(RuntimeError):  # its loop has been closed
            self._loop.call_soon_threadsafe(self._heard.put_nowait, event)

    async def hear(self, seconds: float) -> LoggedEvent | None:
        """The next event, or None if there is none for so long."""
        try:
            # Not `wait_for`, which up to Python 3.11 loses a cancellation that comes together with an event.
            async with asyncio.timeout(seconds):
                return await self._heard.get()
        except TimeoutError:
            return None

    async def look(self, after: int) -> Found:
        """What is kept behind a position; of a database that fails, nothing for a while, and then that it does."""
        begun = self._loop.time()
        try:
            found = await self._look(after)
        except StoreError as fault:
            self._failing = begun if self._failing is None else self._failing
            if self._loop.time() - self._failing < self._patience:
                return (), False
            return [_broken_off(self._run_id, str(fault))], False
        self._failing = None
        return found


def _broken_off(run_id: str, why: str) -> LoggedEvent:
    message = f"{why}\nThe run may still go on; look at it again later."
    return LoggedEvent(run_id, NOT_KEPT, *entry("error", {"code": "store_failed", "message": message}))
