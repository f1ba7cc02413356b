"""A database that cannot be written for a while: what was written is kept, every run ends, every reader is told."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from dashnb.errors import StoreError
from dashnb.local.keeper import LIFETIME_MS, PATIENCE_MS
from dashnb.local.log import EventLog
from dashnb.local.models.engine import CallPiece, Piece, TextPiece
from dashnb.local.runner import Runner
from dashnb.local.service import BASE_URL, LocalService
from dashnb.local.store import Record, Store
from dashnb.local.workers import P, T
from dashnb.protocol.lifecycle import is_final
from scripted import ENDED, Desk, Gate, Script, cut, names, numbered, parse, path_of, serving

Ids = dict[str, str]


class Disk:
    """The disk below a store: full from a moment on, or from one of its changes on."""

    def __init__(self, store: Store) -> None:
        self.full = False
        self.unreadable = False
        self.left: int | None = None
        self.changes = 0
        self._failure = store._failure
        sa.event.listen(store._engine, "begin", self._begin)

    def _begin(self, connection: sa.Connection) -> None:
        writes = bool(connection.get_execution_options().get("writes"))
        self.changes += writes
        if self.unreadable or (writes and (self.full or (self.left is not None and self.changes > self.left))):
            raise self._failure(sqlite3.OperationalError("database or disk is full"))

    def mend(self) -> None:
        self.full, self.unreadable, self.left = False, False, None


class Time:
    """A clock that stands still until the test lets time pass."""

    def __init__(self) -> None:
        self.now = 1711508433283

    def __call__(self) -> int:
        return self.now


def soon(work: Any) -> Any:
    async def within() -> Any:
        return await asyncio.wait_for(work, 20)

    return asyncio.run(within())


async def turns(count: int = 50) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def record(desk: Desk, ids: Ids) -> Record:
    found = desk.store.get("runs", ids["run_id"])
    assert found is not None
    return found


def texts(desk: Desk, ids: Ids) -> list[str]:
    return [message["text"] for message in desk.store.every("messages", thread_id=ids["thread_id"])]


async def double(arguments: str, definition: dict[str, Any]) -> str:
    return arguments * 2


def test_a_run_whose_write_fails_ends_as_failed_as_soon_as_the_database_is_mended() -> None:
    async def check() -> None:
        gate = Gate()
        with Desk(Script([TextPiece("One "), gate, TextPiece("two")], [TextPiece("ok")])) as desk:
            disk = Disk(desk.store)
            ids = desk.begin()
            await desk.arrival(gate)
            reader = asyncio.create_task(desk.read(ids))
            disk.full = True
            gate.open()
            await turns()
            assert desk.runner.running() == []
            desk.keeper.look()  # it still cannot be written
            assert desk.status(ids) == "in_progress"
            assert not reader.done()
            disk.mend()
            desk.keeper.look()
            assert (await reader)[3:] == cut(1, "failed")
            error = record(desk, ids)["last_error"]
            assert error["code"] == "store_failed"
            assert "full" in error["message"]
            assert texts(desk, ids) == ["Hello", "One "]
            again = desk.call("runs.create", {"assistant_id": "asst_1"}, thread_id=ids["thread_id"])
            await desk.until({**ids, "run_id": again["id"]}, "completed")

    soon(check())


ROUNDS: list[list[Piece]] = [
    [TextPiece("One "), TextPiece("two "), CallPiece(0, "calculator", "1+1")],
    [TextPiece("Then "), CallPiece(0, "f", "{}"), CallPiece(1, "f", "{}")],
    [TextPiece("Done.")],
]


def whole_run(desk: Desk, disk: Disk, left: int | None) -> Any:
    """A run with all there is, on a disk that is full after so many changes; the number of changes."""

    async def run() -> int:
        ids = desk.begin("calculator", "function:f")
        disk.changes, disk.left = 0, left
        for status in ("requires_action", "completed"):
            await turns(200)
            if desk.status(ids) != status:
                break
            if status == "requires_action":
                desk.submit(ids, "x", "y")
        return disk.changes

    return run()


def test_whichever_write_fails_the_run_ends_and_its_thread_is_free() -> None:
    with Desk(Script(*ROUNDS), plugins={"calculator": double}) as desk:
        changes = soon(whole_run(desk, Disk(desk.store), None))
        assert desk.status({"run_id": "run_1"}) == "completed"
    assert changes > 20
    for left in range(changes):
        soon(ends_well(left))


async def ends_well(left: int) -> None:
    with Desk(Script(*ROUNDS, [TextPiece("ok")]), plugins={"calculator": double}) as desk:
        disk = Disk(desk.store)
        try:
            await whole_run(desk, disk, left)
        except StoreError:
            assert desk.status({"run_id": "run_1"}) == "requires_action"  # the outputs were not taken
            disk.mend()
            desk.submit({"run_id": "run_1", "thread_id": "thread_1"}, "x", "y")
            await turns(200)
            assert desk.status({"run_id": "run_1"}) == "completed"
        ids = {"run_id": "run_1", "thread_id": "thread_1"}
        before = desk.store.events("run_1")
        disk.mend()
        desk.keeper.look()
        run = record(desk, ids)
        kept = desk.store.events("run_1")
        assert is_final(run["status"]), left
        assert kept[: len(before)] == before
        assert [event.seq for event in kept] == list(range(1, len(kept) + 1))
        assert [event.name for event in kept[-2:]] == [f"thread.run.{run['status']}", "done"]
        assert {step["status"] for step in desk.store.every("steps")} <= {"completed", run["status"]}
        assert desk.runner.unended == {}
        desk.call("runs.create", {"assistant_id": "asst_1"}, thread_id="thread_1")
        await turns()


def test_readers_are_sent_away_when_it_takes_long_and_get_the_rest_when_they_come_again() -> None:
    async def check() -> None:
        time, gate = Time(), Gate()
        engine = Script([TextPiece("One "), gate, TextPiece("two")])
        with Desk(engine, clock=time, steady=lambda: time.now) as desk:
            disk = Disk(desk.store)
            ids = desk.begin()
            await desk.arrival(gate)
            reader = asyncio.create_task(desk.read(ids))
            disk.full = True
            gate.open()
            await turns()
            desk.keeper.look()
            time.now += PATIENCE_MS - 1
            desk.keeper.look()
            await turns()
            assert not reader.done()
            time.now += 1
            desk.keeper.look()
            seen = await reader
            assert seen[3:] == [*cut(1, "failed")[:5], "error"]
            assert desk.told(ids) == seen[:-1]
            again = asyncio.create_task(desk.read(ids, after=len(seen) - 1))
            await turns()
            disk.mend()
            desk.keeper.look()
            assert await again == cut(1, "failed")[5:]

    soon(check())


def test_many_runs_whose_writes_fail_all_end() -> None:
    async def check() -> None:
        gates = [Gate() for _ in range(5)]
        with Desk(Script(*[[TextPiece("a"), gate, TextPiece("b")] for gate in gates])) as desk:
            disk = Disk(desk.store)
            runs = []
            for gate in gates:
                runs.append(desk.begin())
                await desk.arrival(gate)
            disk.full = True
            for gate in gates:
                gate.open()
            await turns()
            disk.mend()
            desk.keeper.look()
            assert {desk.status(ids) for ids in runs} == {"failed"}
            assert desk.runner.unended == {}

    soon(check())


class Locked(Disk):
    """A database that another process locks: each try to write takes as long as SQLite waits."""

    def __init__(self, store: Store, time: Time) -> None:
        super().__init__(store)
        self._time = time
        self.tries = 0

    def _begin(self, connection: sa.Connection) -> None:
        if self.full and connection.get_execution_options().get("writes"):
            self.tries += 1
            self._time.now += 10_000
            fault = StoreError("it is locked")
            fault.passes = True
            raise fault


def test_runs_that_wait_for_a_locked_database_wait_together() -> None:
    """SQLite waits ten seconds for the lock; ten runs are not to wait ten times as long."""
    queue: list[asyncio.Future[None]] = []

    async def do(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        await turn
        return function(*args, **kwargs)

    async def work_off(count: int) -> None:
        for _ in range(count):
            queue.pop(0).set_result(None)
            await turns(5)

    async def check() -> None:
        time = Time()
        with Desk(Script()) as desk:
            locked = Locked(desk.store, time)
            runner = Runner(desk.store, Script(), {}, do=do, steady=time)
            writes = [asyncio.create_task(runner._do(change, desk.store)) for _ in range(10)]
            await turns()
            locked.full = True
            await work_off(3)
            late = asyncio.create_task(runner._do(change, desk.store))
            await turns()
            await work_off(7)
            # The first one waits for the lock, the others have waited as long by then.
            assert locked.tries == 1
            assert all(isinstance(write.exception(), StoreError) for write in writes)
            # Who comes later waits as long as anybody, and so does nobody once it can be written again.
            await work_off(1)
            assert locked.tries == 2
            assert isinstance(late.exception(), StoreError)
            locked.mend()
            again = asyncio.create_task(runner._do(change, desk.store))
            await turns()
            await work_off(1)
            assert again.result() is None

    soon(check())


def change(store: Store) -> None:
    with store.begin():
        pass


def test_a_run_that_is_over_is_read_as_it_was_until_its_end_can_be_written() -> None:
    async def check() -> None:
        time = Time()
        with Desk(Script([CallPiece(0, "f", "{}")]), clock=time, steady=lambda: time.now) as desk:
            disk = Disk(desk.store)
            ids = desk.begin("function:f")
            await desk.until(ids, "requires_action")
            time.now += LIFETIME_MS
            disk.full = True
            assert desk.call("runs.retrieve", **ids)["status"] == "requires_action"
            assert desk.call("runs.list", thread_id=ids["thread_id"])["data"][0]["status"] == "requires_action"
            disk.mend()
            desk.keeper.look()
            assert desk.status(ids) == "expired"

    soon(check())


def test_a_run_that_is_ended_elsewhere_meanwhile_is_left_as_it_is() -> None:
    async def check() -> None:
        gate = Gate()
        with Desk(Script([TextPiece("a"), gate, TextPiece("b")])) as desk:
            disk = Disk(desk.store)
            ids = desk.begin()
            await desk.arrival(gate)
            disk.full = True
            gate.open()
            await turns()
            disk.mend()
            desk.keeper.end(record(desk, ids), "expired")
            desk.keeper.look()
            assert desk.status(ids) == "expired"
            assert desk.told(ids)[-2:] == ["thread.run.expired", "done"]
            assert desk.runner.unended == {}

    soon(check())


def test_a_new_question_ends_the_old_run_first() -> None:
    async def check() -> None:
        gate = Gate()
        with Desk(Script([TextPiece("a"), gate, TextPiece("b")], [TextPiece("ok")])) as desk:
            disk = Disk(desk.store)
            ids = desk.begin()
            await desk.arrival(gate)
            disk.full = True
            gate.open()
            await turns()
            disk.mend()
            desk.call("runs.create", {"assistant_id": "asst_1"}, thread_id=ids["thread_id"])
            assert desk.status(ids) == "failed"

    soon(check())


def test_a_reader_of_a_database_that_cannot_be_read_is_told_in_time() -> None:
    async def check() -> None:
        with Desk(Script([TextPiece("a"), Gate()])) as desk:
            disk = Disk(desk.store)
            log = EventLog(desk.store, look_again=0.001, patience=0.05)
            ids = desk.begin()
            await turns()
            seen: list[Any] = []
            async for event in log.follow(ids["run_id"], heartbeat=60):
                assert event is not None
                seen.append(event)
                disk.unreadable = len(seen) == len(cut(1, "")[:5]) + 3
            assert seen[-1].name == "error"
            assert seen[-1].id == ""
            assert json.loads(seen[-1].data)["code"] == "store_failed"
            disk.mend()

    soon(check())


def test_a_reader_does_not_notice_a_database_that_cannot_be_read_for_a_moment() -> None:
    async def check() -> None:
        gate = Gate()
        with Desk(Script([TextPiece("a"), gate])) as desk:
            disk = Disk(desk.store)
            log = EventLog(desk.store, look_again=0.001)
            ids = desk.begin()
            await desk.arrival(gate)
            names_seen: list[str] = []
            async for event in log.follow(ids["run_id"], heartbeat=60):
                assert event is not None
                names_seen.append(event.name)
                if len(names_seen) == 8:
                    disk.unreadable = True
                    asyncio.get_running_loop().call_later(0.05, disk.mend)
                    asyncio.get_running_loop().call_later(0.06, gate.open)
            assert names_seen == desk.told(ids)
            assert names_seen[-2:] == ENDED

    soon(check())


# --- over the wire -------------------------------------------------------------------------------


@contextmanager
def full(service: LocalService) -> Iterator[Disk]:
    disk = Disk(service.store)
    disk.full = True
    yield disk
    disk.mend()


def refused(response: httpx.Response) -> None:
    assert response.status_code == 507  # it does not pass by itself, so that no client tries again
    assert sorted(response.json()) == ["code", "message", "request_id"]
    assert response.json()["code"] == "DatabaseUnavailable"
    assert "full" in response.json()["message"]


def test_a_request_that_cannot_be_kept_says_so_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with serving(Script([CallPiece(0, "f", "{}")], [TextPiece("ok")])) as api:
        path = path_of(api.run("function:f"))
        thread = path.rpartition("/runs/")[0]
        outputs = {"tool_outputs": [{"output": "x"}], "stream": True}
        with full(api.service):
            for method, where, body in (
                ("POST", "/assistants", {"model": "m"}),
                ("POST", "/threads", {"messages": [{"content": "x"}] * 2500}),
                ("POST", f"{thread}/messages", {"content": "x"}),
                ("POST", "/threads/runs", {"assistant_id": "asst_1"}),
                ("POST", "/threads/runs", {"assistant_id": "asst_1", "stream": True}),
                ("POST", f"{path}/submit_tool_outputs", outputs),
                ("POST", f"{path}/cancel", {}),
                ("DELETE", thread, None),
            ):
                refused(api.client.request(method, where, json=body))
            assert api.get(path)["status"] == "requires_action"
        assert len(api.get("/assistants")["data"]) == 1
        assert len(api.service.store.every("messages")) == 1
        with api.client.stream("POST", f"{path}/submit_tool_outputs", json=outputs) as response:
            assert names(list(parse(response.iter_bytes())))[-2:] == ENDED
    assert not [entry for entry in caplog.records if entry.exc_info]


def test_a_run_that_a_service_could_not_end_is_ended_by_the_next_one(tmp_path: Path) -> None:
    file, gate = str(tmp_path / "a.db"), Gate()
    with serving(Script([TextPiece("One "), gate, TextPiece("two")]), database=file) as api:
        path = api.begin()
        assert gate.reached.wait(5)
        Disk(api.service.store).full = True
        gate.open()
    with serving(Script([TextPiece("ok")]), database=file, ids=lambda prefix: f"{prefix}_again") as again:
        run_id = path.rpartition("/")[2]
        owner = again.service.keeper.leases
        assert again.get(path)["status"] == "in_progress"  # of this process: it may be another service
        with again.service.store.begin() as change:
            kept = change.get("runs", run_id)
            assert kept is not None
            change.release(kept["owner"])
        assert owner.is_alive(owner.owner)
        assert again.get(path)["last_error"]["code"] == "server_restarted"
        thread = path.rpartition("/runs/")[0]
        assert [m["content"][0]["text"]["value"] for m in again.get(f"{thread}/messages")["data"]] == ["One ", "Hello"]
        again.wait(f"{thread}/runs/{again.post(f'{thread}/runs', assistant_id='asst_1')['id']}", "completed")


def test_a_service_starts_on_a_database_that_cannot_be_written_now(tmp_path: Path) -> None:
    file = str(tmp_path / "a.db")
    with serving(Script(), database=file) as api:
        with api.service.store.begin() as change:
            change.insert("runs", bare_run())
        disk = Disk(api.service.store)
        disk.full = True
        api.service.keeper.sweep()
        assert api.get("/threads/thread_9/runs/run_9")["status"] == "in_progress"
        disk.mend()
        api.service.keeper.look()
        assert api.get("/threads/thread_9/runs/run_9")["status"] == "failed"


def bare_run() -> Record:
    fields: dict[str, Any] = {"assistant_id": "asst_9", "model": "m", "instructions": "", "tools": [], "metadata": {}}
    times = {"created_at": 3, "expires_at": 3 + LIFETIME_MS}
    return {"id": "run_9", "thread_id": "thread_9", "status": "in_progress", "request_id": "r", **times, **fields}


@pytest.mark.slow
def test_a_database_that_another_program_locks_ends_the_run_and_keeps_its_words(tmp_path: Path) -> None:
    """With the real time-out of SQLite, and readers on both sides of it."""
    file, gate = str(tmp_path / "a.db"), Gate()
    engine = Script([TextPiece("One "), gate, TextPiece("two")], [TextPiece("ok")])
    with (
        LocalService(file, engine, plugins={}, ids=numbered()) as service,
        httpx.Client(transport=service.transport(), base_url=BASE_URL, timeout=60) as client,
    ):
        assistant = client.post("/assistants", json={"model": "m"}).json()["id"]
        body = {"assistant_id": assistant, "stream": True, "thread": {"messages": [{"content": "Hello"}]}}
        other = sqlite3.connect(file, isolation_level=None)
        with client.stream("POST", "/threads/runs", json=body) as response:
            events = parse(response.iter_bytes())
            seen = [next(events) for _ in range(9)]
            other.execute("BEGIN IMMEDIATE")
            gate.open()
            timer = asyncio.run_coroutine_threadsafe(asyncio.sleep(12), service._loop._loop)
            timer.result()
            other.execute("ROLLBACK")
            seen += events
        other.close()
        assert names(seen)[-4:] == cut(1, "failed")[-4:]
        kept = service.store.get("runs", "run_1")
        assert kept is not None
        assert kept["last_error"]["code"] == "store_failed"
