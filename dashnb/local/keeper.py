"""What keeps runs from lasting for ever: those past their time expire, those whose owner is dead fail.

Both are looked for whenever a run is read, and again and again while the service is awake. On the way
the keeper gives the signs of life of its own service, and stops what others have ended.

How long a run has been going on is measured by a clock that nobody sets: by its owner from its
beginning, by anybody else from when it was first seen. Only of a run that waits for its caller, and may do
so beyond the life of a process, the time of day says how much is left when it is first seen.
"""

from __future__ import annotations

import asyncio
import logging
import math
import weakref
from collections.abc import Awaitable, Callable

from dashnb.errors import StoreError
from dashnb.local.ending import Error, end_run
from dashnb.local.leases import Leases, SteadyClock, steady_ms
from dashnb.local.log import EventLog
from dashnb.local.runner import Runner
from dashnb.local.store import Record, Store
from dashnb.local.workers import Do, at_once
from dashnb.local.writer import Clock
from dashnb.protocol.lifecycle import is_final

LIFETIME_MS = 600_000
LOOK_SECONDS = 3.0
# How long readers of a run wait for a database that cannot be written.
PATIENCE_MS = 20_000
RESTARTED: Error = {
    "code": "server_restarted",
    "message": "The server that worked on this run is gone. What it had written is kept; ask again.",
}
LOST: Error = {
    "code": "server_error",
    "message": "The server does not work on this run any more. What it had written is kept; ask again.",
}

_log = logging.getLogger(__name__)


class Keeper:
    """Looks after the runs of one database, on behalf of one service.

    Args:
        store: The database.
        log: Where readers follow.
        runner: Who works on the runs of this service.
        clock: Milliseconds since 1970.
        steady: Milliseconds of a clock that nobody sets.
        leases: Who else works on runs.
        lifetime: Milliseconds after its creation at which a run expires.
        interval: Seconds between two looks.
        sleep: Waits so many seconds.
        do: How functions that read or write the database are called.
    """

    def __init__(
        self,
        store: Store,
        log: EventLog,
        runner: Runner,
        *,
        clock: Clock,
        steady: SteadyClock = steady_ms,
        leases: Leases | None = None,
        lifetime: int = LIFETIME_MS,
        interval: float = LOOK_SECONDS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        do: Do = at_once,
    ) -> None:
        self.leases = leases or Leases(store, clock=clock, steady=steady)
        self.lifetime = lifetime
        self._store = store
        self._log = log
        self._runner = runner
        self._clock = clock
        self._steady = steady
        # When runs that go on will have done so for long enough, by the steady clock.
        self._due: dict[str, float] = {}
        self._lost: set[str] = set()
        # Since when the database has not been written though it had to be.
        self._failing: float | None = None
        self._interval = interval
        self._sleep = sleep
        self._do = do
        self._watches: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[None]]
        self._watches = weakref.WeakKeyDictionary()

    def settle(self, run: Record) -> Record:
        """A run as it is now: failed if it is an orphan, expired if its time is over.

        Where the database cannot be written, it is as it was, and will be ended as soon as that is possible.
        """
        run_id: str = run["id"]
        if is_final(run["status"]) or run_id in self._runner.unended:
            return run
        ending = ("failed", RESTARTED) if self.is_orphan(run) else ("expired", None) if self._is_over(run) else None
        if ending is None:
            return run
        try:
            return self.end(run, ending[0], error=ending[1])
        except StoreError as fault:
            _log.warning("the end of run %s could not be written: %s", run_id, fault)
            self._runner.unended[run_id] = ending
            return run

    def settle_thread(self, thread_id: str, *, make_way: bool = False) -> None:
        """Settle all runs of a thread; with ``make_way``, one of ours that is being cancelled ends now."""
        if make_way:
            self.finish()
        for found in self._store.active_runs(thread_id=thread_id):
            run = self.settle(found)
            if make_way and run["status"] == "cancelling" and run.get("owner") == self.leases.owner:
                self.end(run, "cancelled")

    def finish(self) -> bool:
        """End the runs whose end could not be written before; False if it still cannot be.

        Readers are told at once when it can. Before that they are sent away after some time, to come again: who
        waits for a run that nobody works on would wait for ever.
        """
        begun = self._steady()
        try:
            for run_id, (status, error) in list(self._runner.unended.items()):
                self.end({"id": run_id}, status, error=error)
                self._runner.unended.pop(run_id, None)
        except StoreError as fault:
            self._failing = begun if self._failing is None else self._failing
            if self._steady() - self._failing >= PATIENCE_MS:
                for run_id in {*self._runner.unended, *self._runner.running()}:
                    self._log.break_off(run_id, str(fault))
            return False
        self._failing = None
        return True

    def is_orphan(self, run: Record) -> bool:
        """True if a run should go on, and nobody is there to see to it."""
        waits = run["status"] == "requires_action" or is_final(run["status"])
        return not waits and not self.leases.is_alive(run.get("owner"))

    def watch(self, run: Record) -> None:
        """Note how much time a run has that goes on from now on in this service."""
        left = run["expires_at"] - self._clock()
        self._due.setdefault(run["id"], self._steady() + min(max(left, 0), _lifetime(run)))

    def expire(self, run: Record) -> Record:
        """A run as it is now: expired if its time is over."""
        return self.end(run, "expired") if self._is_over(run) else run

    def _is_over(self, run: Record) -> bool:
        if is_final(run["status"]):
            return False
        now, left = self._steady(), _lifetime(run)
        if run["status"] == "requires_action":
            left = run.get("expires_at", math.inf) - self._clock()
        return now >= self._due.setdefault(run["id"], now + left)

    def end(self, run: Record, status: str, *, error: Error | None = None) -> Record:
        """End a run, whoever works on it; the run as it is then."""
        run_id: str = run["id"]
        with self._store.begin() as change:
            ended = end_run(change, run_id, status, now=self._clock(), error=error)
            left = run if ended else change.get("runs", run_id)
        if ended is None:
            return left or run
        record, told = ended
        self._log.tell(told)
        self._runner.cancel(run_id)
        return record

    def look(self) -> None:
        """Look once: at the runs of this service, then at all others; give a sign of life."""
        if not self.finish():
            return  # each further try would take as long
        if running := self._runner.running():
            self.leases.renew()
        for run_id in running:
            run = self._store.get("runs", run_id)
            if run is None or is_final(run["status"]) or run["status"] == "cancelling":
                self._runner.cancel(run_id)
        self.sweep()

    def sweep(self) -> None:
        """Settle all runs of the database."""
        active = [self.settle(run) for run in self._store.active_runs()]
        self._find(active)
        for run_id in self._due.keys() - {run["id"] for run in active}:
            self._due.pop(run_id, None)

    def _find(self, runs: list[Record]) -> None:
        """End the runs of this service that nobody works on; one that just begins is not lost yet."""
        ours = [run for run in runs if run.get("owner") == self.leases.owner and not is_final(run["status"])]
        lost = {run["id"]: run for run in ours if run["id"] not in self._runner.running()}
        for run_id in self._lost & lost.keys():
            self.end(lost[run_id], "failed", error=LOST)
        self._lost = set(lost)

    def attend(self) -> None:
        """Look again and again from now on, on the loop that asks."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        watch = self._watches.get(loop)
        if watch is None or watch.done():
            self._watches[loop] = loop.create_task(self._watch(), name="dashnb-keeper")

    async def close(self) -> None:
        """Stop looking on this loop, and stop all runs of this loop."""
        watch = self._watches.pop(asyncio.get_running_loop(), None)
        if watch is not None:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
        await self._runner.close()
        if not self._runner.running():
            await self._do(self._leave)

    def _leave(self) -> None:
        try:
            self.finish()
            # Tried even then: runs of an owner that has left are ended by whoever looks next, and at once.
            self.leases.release()
        except StoreError as fault:
            _log.warning("the database could not be written at the end: %s", fault)

    async def _watch(self) -> None:
        while True:
            await self._sleep(self._interval)
            try:
                await self._do(self.look)
            except StoreError as fault:
                _log.warning("the runs could not be looked after: %s", fault)
            except Exception:
                # A database that is busy now may not be in a moment; runs are looked at when they are read, too.
                _log.warning("the runs could not be looked after", exc_info=True)


def _lifetime(run: Record) -> float:
    over: float | None = run.get("expires_at")  # another program may have left it out
    return math.inf if over is None else over - run["created_at"]
