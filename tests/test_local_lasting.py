"""Runs last: each has an end and an owner, a thread has one at a time, and an older database is taken over."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dashnb.errors import APIError, BadRequestError
from dashnb.local.endpoints import Follow
from dashnb.local.keeper import LIFETIME_MS, Keeper
from dashnb.local.leases import FORGET_MS, LEASE_MS, LOOK_MS, Leases, is_running, new_owner
from dashnb.local.log import EventLog
from dashnb.local.migrations import MIGRATIONS
from dashnb.local.models.engine import CallPiece, Piece, TextPiece, Turn
from dashnb.local.runner import Runner
from dashnb.local.schema import SCHEMA_VERSION
from dashnb.local.service import LocalService
from dashnb.local.store import Record, Store
from dashnb.local.writer import RunWriter, ThreadBusy
from scripted import ENDED, Desk, Gate, Script, cut, names, no_plugin, numbered, path_of, serving, written

Ids = dict[str, str]


class Time:
    """A clock that stands still until the test lets time pass, or sets it."""

    def __init__(self) -> None:
        self.now = 1711508433283
        self._set = 0

    def __call__(self) -> int:
        return self.now

    def step(self, seconds: float) -> None:
        """Set the clock, though no time has passed."""
        self.now += round(seconds * 1000)
        self._set += round(seconds * 1000)

    def steady(self) -> float:
        """A clock that nobody sets."""
        return self.now - self._set


class Machine:
    """Two services of one database file, which look like processes of two other machines."""

    def __init__(self, file: Path) -> None:
        self.time = Time()
        self._file = str(file)
        self._desks: list[Desk] = []

    def desk(self, *rounds: Any, owner: str = "", **more: Any) -> Desk:
        place = len(self._desks)
        ids = numbered()
        more.setdefault("ids", lambda prefix: f"{ids(prefix)}_of_{place}")
        engine = more.pop("engine", None) or Script(*rounds)
        owner = owner or f"elsewhere {place} {place} service"
        desk = Desk(engine, database=self._file, clock=self.time, steady=self.time.steady, owner=owner, **more)
        self._desks.append(desk)
        return desk

    def pass_time(self, seconds: float, *awake: Desk) -> None:
        """Let time pass, in which these services look after their runs."""
        end = self.time.now + round(seconds * 1000)
        while self.time.now < end:
            self.time.now = min(end, self.time.now + 3000)
            for desk in awake:
                desk.keeper.look()

    def close(self) -> None:
        for desk in self._desks:
            desk.store.close()


@pytest.fixture
def machine(tmp_path: Path) -> Any:
    with closing(Machine(tmp_path / "a.db")) as opened:
        yield opened


def soon(work: Any) -> Any:
    async def within() -> Any:
        return await asyncio.wait_for(work, 20)

    return asyncio.run(within())


async def turns(count: int = 30) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def record(desk: Desk, ids: Ids) -> Record:
    found = desk.store.get("runs", ids["run_id"])
    assert found is not None
    return found


def texts(desk: Desk, ids: Ids) -> list[str]:
    return [message["text"] for message in desk.store.every("messages", thread_id=ids["thread_id"])]


def again(desk: Desk, ids: Ids) -> Any:
    """Another run on the same thread."""
    assistant = desk.call("assistants.create", {"model": "qwen-max"})
    return desk.call("runs.create", {"assistant_id": assistant["id"]}, thread_id=ids["thread_id"])


async def parked(desk: Desk) -> Ids:
    """A run that waits for a function's output."""
    ids = desk.begin("function:f")
    await desk.until(ids, "requires_action")
    return ids


async def writing(desk: Desk, gate: Gate) -> Ids:
    """A run that has come to a gate."""
    ids = desk.begin()
    await desk.arrival(gate)
    return ids


ASKING = [CallPiece(0, "f", "{}")]

# --- expiry --------------------------------------------------------------------------------------

READS: dict[str, Callable[[Desk, Ids], Any]] = {
    "retrieve": lambda desk, ids: desk.call("runs.retrieve", **ids),
    "list": lambda desk, ids: desk.call("runs.list", thread_id=ids["thread_id"]),
    "submit": lambda desk, ids: desk.submit(ids, "x"),
    "cancel": lambda desk, ids: desk.call("runs.cancel", **ids),
    "join": lambda desk, ids: desk._endpoints.join_run(ids, after=0),
    "steps": lambda desk, ids: desk.call("steps.list", **ids),
    "a new run": again,
    "the keeper": lambda desk, ids: desk.keeper.look(),
}


@pytest.mark.parametrize("how", READS)
def test_a_run_that_waits_expires_when_anybody_looks_at_it_after_its_time(machine: Machine, how: str) -> None:
    async def check() -> None:
        desk = machine.desk(ASKING, [TextPiece("ok")])
        ids = await parked(desk)
        machine.pass_time(LIFETIME_MS / 1000 - 0.001)
        desk.call("runs.retrieve", **ids)
        assert desk.status(ids) == "requires_action"
        machine.pass_time(0.001)
        known = len(desk.told(ids))
        if how in ("submit", "cancel"):
            with pytest.raises(APIError, match="is expired"):
                READS[how](desk, ids)
        else:
            answer = READS[how](desk, ids)
            if how == "list":
                assert [run["status"] for run in answer["data"]] == ["expired"]
        assert desk.status(ids) == "expired"
        assert desk.told(ids)[known:] == ["thread.run.step.expired", "thread.run.expired", "done"]
        (step,) = desk.store.every("steps", run_id=ids["run_id"])
        assert (step["status"], step["expired_at"]) == ("expired", machine.time.now)
        await turns()
        if how != "a new run":
            again(desk, ids)

    soon(check())


def test_a_run_that_writes_expires_with_what_it_has_written_and_its_engine_is_stopped(machine: Machine) -> None:
    async def check() -> None:
        gate = Gate()
        engine = Script([TextPiece("Half "), TextPiece("an answ"), gate])
        desk = machine.desk(engine=engine, lifetime=60_000)
        ids = await writing(desk, gate)
        reader = asyncio.create_task(desk.read(ids))
        await turns()
        machine.pass_time(60)
        assert desk.call("runs.retrieve", **ids)["status"] == "expired"
        assert (await reader)[3:] == cut(2, "expired")
        assert texts(desk, ids) == ["Hello", "Half an answ"]
        await turns()
        assert engine.left == 1
        assert desk.runner.running() == []
        assert desk.told(ids)[3:] == cut(2, "expired")

    soon(check())


@pytest.mark.parametrize("status", ["queued", "in_progress", "cancelling"])
def test_a_run_expires_from_any_status_in_which_it_is_active(machine: Machine, status: str) -> None:
    """A table of transitions that forgets one leaves a run that never ends."""
    desk = machine.desk()
    other = Leases(desk.store, clock=machine.time, owner="elsewhere 9 9 other")
    other.renew()
    with desk.store.begin() as change:
        change.insert("runs", bare_run(status=status, owner=other.owner, expires_at=3 + 20_000))
    desk.keeper.look()
    machine.pass_time(19.999, desk)
    assert desk.told({"run_id": "run_9"}) == []
    machine.pass_time(0.001, desk)
    assert desk.told({"run_id": "run_9"}) == ["thread.run.expired", "done"]


@pytest.mark.parametrize("status", ["queued", "in_progress", "cancelling"])
def test_a_run_of_this_service_that_nobody_works_on_is_ended(machine: Machine, status: str) -> None:
    desk = machine.desk()
    with desk.store.begin() as change:
        change.insert("runs", bare_run(status=status, owner=desk.keeper.leases.owner))
    desk.keeper.look()
    assert desk.told({"run_id": "run_9"}) == []  # it may be about to begin
    desk.keeper.look()
    assert desk.told({"run_id": "run_9"}) == ["thread.run.failed", "done"]
    assert record(desk, {"run_id": "run_9"})["last_error"]["code"] == "server_error"


def test_a_run_that_another_service_works_on_expires_too_and_its_worker_stops(machine: Machine) -> None:
    async def check() -> None:
        gate = Gate()
        engine = Script([TextPiece("a"), gate, TextPiece("b")])
        desk, other = machine.desk(engine=engine, lifetime=20_000), machine.desk()
        ids = await writing(desk, gate)
        other.keeper.look()
        for _ in range(6):
            machine.pass_time(3)
            desk.keeper.leases.renew()
        machine.pass_time(2)
        assert other.call("runs.retrieve", **ids)["status"] == "expired"
        assert texts(other, ids) == ["Hello", "a"]
        desk.keeper.look()
        await turns()
        assert engine.left == 1
        assert desk.told(ids)[-2:] == ["thread.run.expired", "done"]

    soon(check())


def test_when_a_run_expires_is_kept_and_not_sent() -> None:
    with serving(Script(ASKING)) as api:
        events = api.run("function:f")
        assert {
            run["expires_at"] for name, run in events if name.startswith("thread.run.") and ".step" not in name
        } == {None}
        shown = api.get(path_of(events))
        kept = api.service.store.get("runs", shown["id"])
    assert shown["expires_at"] == 0
    assert not {"owner", "expired_at"} & set(shown)
    assert kept is not None
    assert kept["expires_at"] == kept["created_at"] + LIFETIME_MS


def test_the_keeper_looks_again_and_again_and_survives_a_busy_database(caplog: pytest.LogCaptureFixture) -> None:
    async def check() -> None:
        slept: list[float] = []
        wake = asyncio.Queue[None]()

        async def sleep(seconds: float) -> None:
            slept.append(seconds)
            await wake.get()

        with closing(Store(":memory:")) as store:
            looks: list[str] = []

            class Watched(Keeper):
                def look(self) -> None:
                    looks.append("look")
                    if len(looks) == 1:
                        raise sqlite3.OperationalError("database is locked")

            keeper = Watched(store, EventLog(store), Runner(store, Script(), {}), clock=Time(), interval=7, sleep=sleep)
            for _ in range(3):
                keeper.attend()
            for _ in range(2):
                wake.put_nowait(None)
            await turns()
            await keeper.close()
            await turns()
        assert len(looks) == 2
        assert slept == [7, 7, 7]

    soon(check())
    assert [entry.getMessage() for entry in caplog.records] == ["the runs could not be looked after"]


# --- owners --------------------------------------------------------------------------------------


def test_a_run_whose_owner_gives_no_sign_of_life_fails_with_all_that_readers_saw(machine: Machine) -> None:
    async def check() -> None:
        gate = Gate()
        desk, other = machine.desk([TextPiece("Half "), TextPiece("天"), gate]), machine.desk([TextPiece("ok")])
        ids = await writing(desk, gate)
        other.keeper.look()
        machine.pass_time(LEASE_MS / 1000, other)
        assert other.status(ids) == "in_progress"
        assert texts(other, ids) == ["Hello", ""]
        machine.pass_time(0.001, other)
        run = other.call("runs.retrieve", **ids)
        assert (run["status"], run["last_error"]["code"]) == ("failed", "server_restarted")
        assert other.told(ids)[3:] == cut(2, "failed")
        assert texts(other, ids) == ["Hello", "Half 天"]
        (step,) = other.call("steps.list", **ids)["data"]
        assert (step["status"], step["last_error"]["code"]) == ("failed", "server_restarted")
        again(other, ids)
        gate.open()  # the owner was only slow: it writes nothing behind the end
        await turns()
        assert desk.told(ids)[3:] == cut(2, "failed")
        assert texts(desk, ids) == ["Hello", "Half 天", "ok"]

    soon(check())


def test_services_that_give_signs_of_life_leave_each_other_s_runs_alone(machine: Machine) -> None:
    async def check() -> None:
        gates = [Gate(), Gate()]
        desks = [machine.desk([TextPiece("a"), gate, TextPiece("b")], lifetime=10**9) for gate in gates]
        runs = [await writing(desk, gate) for desk, gate in zip(desks, gates, strict=True)]
        machine.pass_time(300, *desks)
        newcomer = machine.desk()
        newcomer.keeper.look()
        assert [newcomer.call("runs.retrieve", **ids)["status"] for ids in runs] == ["in_progress"] * 2
        for gate, desk, ids in zip(gates, desks, runs, strict=True):
            gate.open()
            await desk.until(ids, "completed")

    soon(check())


def test_a_run_that_waits_for_its_caller_needs_no_owner(machine: Machine) -> None:
    async def check() -> None:
        desk, other = machine.desk(ASKING), machine.desk([TextPiece("ok")])
        ids = await parked(desk)
        assert "owner" not in record(desk, ids)
        machine.pass_time(200, other)
        other.submit(ids, "x")
        assert record(other, ids)["owner"] == other.keeper.leases.owner
        await other.until(ids, "completed")
        assert "owner" not in record(other, ids)

    soon(check())


def test_the_run_of_a_process_of_this_machine_that_is_gone_fails_at_once(machine: Machine) -> None:
    desk, gone = machine.desk(), gone_owner()
    with desk.store.begin() as change:
        change.insert("runs", bare_run(owner=gone))
        change.hold(gone, machine.time.now + LEASE_MS)
    desk.keeper.look()
    assert desk.told({"run_id": "run_9"}) == ["thread.run.failed", "done"]


def test_a_service_that_starts_looks_for_what_was_left(tmp_path: Path) -> None:
    file = str(tmp_path / "a.db")
    with closing(Store(file)) as store, store.begin() as change:
        change.insert("runs", bare_run(owner="elsewhere 1 1 x"))
    with LocalService(file, Script(), plugins={}) as service:
        run = service.store.get("runs", "run_9")
    assert run is not None
    assert (run["status"], run["last_error"]["code"]) == ("failed", "server_restarted")


def test_whether_an_owner_runs_is_said_only_if_that_is_known() -> None:
    owner = new_owner()
    place, pid, started, name = owner.rsplit(" ", 3)
    assert pid == str(os.getpid())
    assert is_running(owner)
    for unknown in (
        f"another-machine {pid} 1 {name}",
        "nonsense",
        "",
        f"{place} \u00b2 1 {name}",
        f"{place} -1 1 {name}",
    ):
        assert is_running(unknown) is None
    if started:  # the number has been given to another process
        assert is_running(f"{place} {pid} {int(started) - 1} {name}") is False
    assert is_running(f"{place} {2**70}  {name}") is not None


def test_owners_of_one_process_are_told_apart() -> None:
    assert new_owner() != new_owner()


def test_who_was_suspended_too_does_not_judge_the_others_at_once(machine: Machine) -> None:
    async def check() -> None:
        gate = Gate()
        desk, other = machine.desk([TextPiece("a"), gate], lifetime=10**9), machine.desk(lifetime=10**9)
        ids = await writing(desk, gate)
        machine.pass_time(6, desk, other)
        machine.pass_time(3600)  # the laptop is shut
        assert other.call("runs.retrieve", **ids)["status"] == "in_progress"
        other.keeper.look()
        assert other.status(ids) == "in_progress"
        machine.pass_time(60, desk, other)
        assert other.status(ids) == "in_progress"
        machine.pass_time(LEASE_MS / 1000 + 3, other)  # and now only one of them is awake
        assert other.status(ids) == "failed"

    soon(check())


@pytest.mark.parametrize("seconds", [60, 3600, 86_400 * 400, -60, -3600, -86_400 * 400])
def test_a_clock_that_is_set_ends_no_run(machine: Machine, seconds: float) -> None:
    async def check() -> None:
        gate = Gate()
        desk, other = machine.desk([TextPiece("Half "), gate, TextPiece("done")]), machine.desk([TextPiece("ok")])
        ids = await writing(desk, gate)
        machine.pass_time(9, desk, other)
        machine.time.step(seconds)
        newcomer = machine.desk([TextPiece("ok")])
        await newcomer.until(newcomer.begin(), "completed")  # an owner that begins clears up
        everybody = (desk, other, newcomer)
        for one in everybody:
            assert one.call("runs.retrieve", **ids)["status"] == "in_progress"
        machine.pass_time(LEASE_MS / 1000 + 30, *everybody)
        machine.time.step(-2 * seconds)
        machine.pass_time(LEASE_MS / 1000 + 30, *everybody)
        gate.open()
        await desk.until(ids, "completed")
        assert texts(desk, ids) == ["Hello", "Half done"]

    soon(check())


@pytest.mark.parametrize("seconds", [3600, 86_400 * 400, -3600, -86_400 * 400])
def test_a_clock_that_is_set_ends_no_run_that_waits_where_it_was_seen_before(machine: Machine, seconds: float) -> None:
    async def check() -> None:
        desk, other = machine.desk(ASKING, [TextPiece("ok")]), machine.desk()
        ids = await parked(desk)
        machine.pass_time(9, desk, other)
        machine.time.step(seconds)
        machine.pass_time(LIFETIME_MS / 1000 - 12, desk, other)
        assert [one.call("runs.retrieve", **ids)["status"] for one in (desk, other)] == ["requires_action"] * 2
        desk.submit(ids, "x")
        await desk.until(ids, "completed")
        # Nor does it wait for longer.
        late = await parked(machine.desk(ASKING))
        machine.pass_time(9, desk, other)
        machine.time.step(seconds)
        machine.pass_time(LIFETIME_MS / 1000, desk, other)
        assert desk.status(late) == "expired"

    soon(check())


def test_signs_of_life_differ_even_on_a_clock_that_stands_still_or_goes_back(machine: Machine) -> None:
    desk = machine.desk()
    leases = Leases(desk.store, clock=machine.time, steady=machine.time.steady, owner="one")
    signs = []
    for step in (0, 0, -3600, 5, 3600):
        machine.time.step(step)
        leases.renew()
        signs.append(desk.store.owned_until("one"))
    assert len(set(signs)) == len(signs)


def test_an_owner_that_stood_still_takes_its_runs_back(machine: Machine) -> None:
    async def check() -> None:
        gate = Gate()
        desk, other = machine.desk([TextPiece("Half "), gate, TextPiece("done")]), machine.desk()
        ids = await writing(desk, gate)
        for _ in range(3):
            machine.pass_time(LEASE_MS / 1000 - LOOK_MS / 1000, other)
            assert other.status(ids) == "in_progress"
            desk.keeper.look()
        gate.open()
        await desk.until(ids, "completed")
        assert texts(other, ids) == ["Hello", "Half done"]

    soon(check())


def test_a_process_of_this_machine_is_alive_however_long_it_stands_still(machine: Machine) -> None:
    owner = f"{new_owner().rsplit(' ', 3)[0]} {os.getppid()} {started(os.getppid())} parent"
    desk = machine.desk()
    with desk.store.begin() as change:
        change.insert("runs", bare_run(owner=owner, expires_at=10**9))
        change.hold(owner, machine.time.now)
    machine.pass_time(600, desk)
    assert desk.told({"run_id": "run_9"}) == []
    with desk.store.begin() as change:
        change.release(owner)  # the service has left, and its process has not
    desk.keeper.look()
    assert desk.told({"run_id": "run_9"}) == ["thread.run.failed", "done"]


STOPPED = """
import sys
import httpx
from dashnb.local.models.guide import GuideEngine
from dashnb.local.models.pace import PacedEngine
from dashnb.local.service import BASE_URL, LocalService
import asyncio

engine = PacedEngine(GuideEngine(), 0.02, sleep=asyncio.sleep)
with LocalService(sys.argv[1], engine, plugins={}) as service:
    with httpx.Client(transport=service.transport(), base_url=BASE_URL, timeout=60) as client:
        assistant = client.post("/assistants", json={"model": "m"}).json()["id"]
        body = {"assistant_id": assistant, "stream": True}
        body["thread"] = {"messages": [{"content": "Tell me a story in 100 words"}]}
        with client.stream("POST", "/threads/runs", json=body) as response:
            for line in response.iter_lines():
                print(line, flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="there is no such signal")
def test_a_process_that_was_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    file = str(tmp_path / "a.db")
    with (
        subprocess.Popen([sys.executable, "-c", STOPPED, file], stdout=subprocess.PIPE, text=True) as worker,
        closing(Store(file)) as store,
    ):
        assert worker.stdout is not None
        while "thread.message.delta" not in worker.stdout.readline():
            pass
        worker.send_signal(signal.SIGSTOP)
        time = Time()
        leases = Leases(store, clock=time, steady=time.steady)
        keeper = Keeper(store, EventLog(store), Runner(store, Script(), {}), clock=time, leases=leases)
        for _ in range(100):
            time.now += 3000
            keeper.look()
        assert [run["status"] for run in store.every("runs")] == ["in_progress"]
        worker.send_signal(signal.SIGCONT)
        rest = worker.stdout.read()
        assert worker.wait(30) == 0
        assert "event:thread.run.completed" in rest
        assert [run["status"] for run in store.every("runs")] == ["completed"]


def test_a_service_of_this_process_that_is_gone_without_a_word_is_taken_for_dead_in_time(machine: Machine) -> None:
    desk, owner = machine.desk(), new_owner()
    with desk.store.begin() as change:
        change.insert("runs", bare_run(owner=owner))
        change.hold(owner, machine.time.now)
    desk.keeper.look()
    machine.pass_time(LEASE_MS / 1000, desk)
    assert desk.told({"run_id": "run_9"}) == []
    machine.pass_time(3, desk)
    assert desk.told({"run_id": "run_9"}) == ["thread.run.failed", "done"]


def test_a_service_that_leaves_is_forgotten_and_so_are_those_that_were_killed(machine: Machine) -> None:
    async def check() -> None:
        first, second = machine.desk([TextPiece("ok")]), machine.desk([TextPiece("ok")])
        killed, still, busy = "elsewhere 9 9 killed", new_owner(), "elsewhere 9 9 busy"
        with first.store.begin() as change:
            for silent in (killed, still, busy):
                change.hold(silent, machine.time.now)
            change.insert("runs", bare_run(owner=busy))
        machine.pass_time(FORGET_MS / 1000 + 1)
        await first.until(first.begin(), "completed")
        assert first.store.owned_until(killed) is None
        assert first.store.owned_until(still) is not None
        assert first.store.owned_until(busy) is not None
        owner = first.keeper.leases.owner
        assert second.store.owned_until(owner) is not None
        await first.keeper.close()
        assert second.store.owned_until(owner) is None

    soon(check())


def test_a_sign_of_life_is_kept_once_in_a_while(machine: Machine) -> None:
    desk = machine.desk()
    leases = Leases(desk.store, clock=machine.time, steady=machine.time.steady, owner="one")
    leases.hold()
    first = desk.store.owned_until("one")
    machine.pass_time(4)
    leases.hold()
    assert desk.store.owned_until("one") == first
    machine.pass_time(1)
    leases.hold()
    assert desk.store.owned_until("one") != first


def test_of_many_services_that_find_an_orphan_one_ends_it(machine: Machine) -> None:
    ids = abandoned(machine)
    desks = [machine.desk() for _ in range(6)]
    start = threading.Barrier(len(desks))
    failed: list[Exception] = []

    def look(desk: Desk) -> None:
        start.wait(10)
        try:
            desk.keeper.look()
        except Exception as error:
            failed.append(error)

    in_threads([lambda desk=desk: look(desk) for desk in desks])
    assert failed == []
    assert desks[0].told(ids)[3:] == cut(1, "failed")


def test_a_reader_with_a_last_event_of_before_the_restart_gets_the_rest(machine: Machine) -> None:
    ids = abandoned(machine)

    async def check() -> None:
        desk = machine.desk()
        follow = desk._endpoints.join_run(ids, after=4)
        assert isinstance(follow, Follow)
        assert await desk.read(ids, after=follow.after) == [*cut(1, "failed")[1:]]

    soon(check())


# --- one active run on a thread ------------------------------------------------------------------


def test_a_second_run_on_a_thread_is_refused_and_says_what_to_do() -> None:
    gate = Gate()
    with serving(Script([gate], [TextPiece("ok")])) as api:
        path = api.begin()
        thread = path.rpartition("/runs/")[0]
        assert gate.reached.wait(5)
        more = {"additional_messages": [{"content": "lost?"}]}
        refused = api.client.post(f"{thread}/runs", json={"assistant_id": api.assistant(), **more})
        assert (refused.status_code, refused.json()["code"]) == (400, "InvalidParameter")
        assert refused.json()["message"] == (
            "The thread thread_1 has an active run, run_1 (in_progress).\n"
            "Wait for it, cancel it, or use another thread."
        )
        assert [run["id"] for run in api.get(f"{thread}/runs")["data"]] == ["run_1"]
        api.post(f"{thread}/messages", role="user", content="Still there?")
        assert len(api.get(f"{thread}/messages")["data"]) == 2
        gate.open()
        api.wait(path, "completed")
        api.post(f"{thread}/runs", assistant_id=api.assistant())


def test_a_run_that_waits_keeps_its_thread_until_it_is_cancelled(machine: Machine) -> None:
    async def check() -> None:
        desk = machine.desk(ASKING, [TextPiece("ok")])
        ids = await parked(desk)
        with pytest.raises(BadRequestError, match=r"run_1_of_0 \(requires_action\)"):
            again(desk, ids)
        desk.call("runs.cancel", **ids)
        again(desk, ids)

    soon(check())


def test_after_a_cancel_the_next_question_need_not_wait_for_a_tool_that_does_not_listen(machine: Machine) -> None:
    async def deaf(arguments: str, definition: dict[str, Any]) -> str:
        try:
            await gate.pass_through()
        except asyncio.CancelledError:
            await late.pass_through()
        return "after all"

    gate, late = Gate(), Gate()

    async def check() -> None:
        engine = Script([CallPiece(0, "calculator", "{}")], [TextPiece("ok")])
        desk = machine.desk(engine=engine, plugins={"calculator": deaf})
        ids = desk.begin("calculator")
        await desk.arrival(gate)
        assert desk.call("runs.cancel", **ids)["status"] == "cancelling"
        new = {**ids, "run_id": again(desk, ids)["id"]}
        assert desk.status(ids) == "cancelled"
        await desk.until(new, "completed")
        await desk.arrival(late)
        late.open()
        await turns()
        assert desk.told(ids)[-2:] == ["thread.run.cancelled", "done"]
        assert desk.told(new)[3:] == [*written(1), *ENDED]

    soon(check())


def test_of_many_processes_that_begin_a_run_on_a_thread_one_does(tmp_path: Path) -> None:
    file = str(tmp_path / "a.db")
    stores = [Store(file) for _ in range(6)]
    with stores[0].begin() as change:
        change.insert("threads", {"id": "thread_9", "created_at": 1, "metadata": {}})
    start = threading.Barrier(len(stores))
    made: list[str] = []
    refused: list[str] = []

    def create(number: int, store: Store) -> None:
        run = bare_run(id=f"run_{number}")
        writer = RunWriter(store, EventLog(store), run, ids=numbered(), clock=Time())
        start.wait(10)
        try:
            writer.created()
            made.append(run["id"])
        except ThreadBusy as error:
            refused.append(error.run["id"])

    in_threads([lambda pair=pair: create(*pair) for pair in enumerate(stores)])
    kept = [run["id"] for run in stores[0].every("runs")]
    for store in stores:
        store.close()
    assert made == kept
    assert refused == made * 5
    assert len(made) == 1


def test_a_run_on_a_thread_that_is_deleted_meanwhile_is_not_made(machine: Machine) -> None:
    desk, other = machine.desk(), machine.desk()
    thread = desk.call("threads.create")["id"]
    settle = desk.keeper.settle_thread

    def delete(thread_id: str, **more: Any) -> None:
        settle(thread_id, **more)
        other.call("threads.delete", thread_id=thread_id)

    desk.keeper.settle_thread = delete  # type: ignore[method-assign]
    with pytest.raises(APIError, match=thread):
        again(desk, {"thread_id": thread})
    assert desk.store.every("runs") == []


# --- a cancel in another process -----------------------------------------------------------------


@pytest.mark.parametrize("how", ["at its next piece", "at its next look"])
def test_a_run_that_another_process_cancels_is_ended_by_its_owner(machine: Machine, how: str) -> None:
    async def check() -> None:
        gate = Gate()
        engine = Script([TextPiece("Half"), gate, TextPiece(" more"), TextPiece(" and more")])
        desk, other = machine.desk(engine=engine), machine.desk()
        ids = await writing(desk, gate)
        assert [other.call("runs.cancel", **ids)["status"] for _ in range(2)] == ["cancelling"] * 2
        await turns()
        assert desk.status(ids) == "cancelling"
        if how == "at its next piece":
            gate.open()
        else:
            desk.keeper.look()
        await turns()
        assert desk.told(ids)[3:] == [*cut(1, "cancelled")[:5], "thread.run.cancelling", *cut(1, "cancelled")[5:]]
        assert texts(other, ids) == ["Hello", "Half"]
        assert engine.left == 1

    soon(check())


def test_a_run_of_a_dead_owner_is_cancelled_at_once(machine: Machine) -> None:
    ids = abandoned(machine)
    desk = machine.desk()
    assert desk.call("runs.cancel", **ids)["status"] == "cancelled"
    assert desk.told(ids)[3:] == cut(1, "cancelled")
    assert texts(desk, ids) == ["Hello", "Half"]


def test_a_run_that_another_process_deletes_is_stopped(machine: Machine) -> None:
    async def check() -> None:
        gate = Gate()
        engine = Script([TextPiece("a"), gate])
        desk, other = machine.desk(engine=engine), machine.desk()
        ids = await writing(desk, gate)
        other.call("threads.delete", thread_id=ids["thread_id"])
        desk.keeper.look()
        await turns()
        assert (engine.left, desk.runner.running(), desk.store.every("steps")) == (1, [], [])

    soon(check())


# --- what other servers got wrong ----------------------------------------------------------------


def test_a_run_made_with_its_thread_goes_on_without_a_reader() -> None:
    with serving(Script([TextPiece("ok")])) as api:
        run = api.post("/threads/runs", assistant_id=api.assistant())
        assert api.wait(f"/threads/{run['thread_id']}/runs/{run['id']}", "completed")


def test_an_assistant_may_be_deleted_while_its_run_waits() -> None:
    with serving(Script(ASKING, [TextPiece("ok")])) as api:
        path = path_of(events := api.run("function:f"))
        assistant = events[0][1]["assistant_id"]
        assert api.client.delete(f"/assistants/{assistant}").status_code == 200
        assert names(api.submit(path, {"output": "x"}))[-2:] == ENDED


def test_a_run_that_takes_long_is_still_delivered_whole_to_a_reader_that_comes_after_its_end() -> None:
    with serving(Script([TextPiece("ok")])) as api:
        path = path_of(events := api.run())
        lines = api.client.get(f"{path}/stream").text.splitlines()
    assert [line.removeprefix("event:") for line in lines if line.startswith("event:")] == names(events)


def test_no_plugin_is_called_for_a_run_that_has_expired(machine: Machine) -> None:
    async def check() -> None:
        gate = Gate()
        desk = machine.desk([gate, CallPiece(0, "calculator", "{}")], plugins={"calculator": no_plugin})
        ids = desk.begin("calculator")
        await desk.arrival(gate)
        machine.pass_time(LIFETIME_MS / 1000)
        desk.keeper.look()
        gate.open()
        await turns()
        assert desk.told(ids)[-2:] == ["thread.run.expired", "done"]

    soon(check())


# --- databases of earlier versions ---------------------------------------------------------------

VERSION_1 = """
CREATE TABLE schema_version (version INTEGER NOT NULL);
CREATE TABLE assistants ("key" INTEGER NOT NULL, id VARCHAR(80) NOT NULL, created_at BIGINT NOT NULL,
    data JSON NOT NULL, PRIMARY KEY ("key"), UNIQUE (id));
CREATE TABLE assistant_files ("key" INTEGER NOT NULL, id VARCHAR(80) NOT NULL, created_at BIGINT NOT NULL,
    assistant_id VARCHAR(80) NOT NULL, file_id VARCHAR(80) NOT NULL, data JSON NOT NULL,
    PRIMARY KEY ("key"), UNIQUE (id));
CREATE INDEX ix_assistant_files_file_id ON assistant_files (file_id);
CREATE INDEX ix_assistant_files_assistant_id ON assistant_files (assistant_id);
CREATE TABLE threads ("key" INTEGER NOT NULL, id VARCHAR(80) NOT NULL, created_at BIGINT NOT NULL,
    data JSON NOT NULL, PRIMARY KEY ("key"), UNIQUE (id));
CREATE TABLE messages ("key" INTEGER NOT NULL, id VARCHAR(80) NOT NULL, created_at BIGINT NOT NULL,
    thread_id VARCHAR(80) NOT NULL, data JSON NOT NULL, PRIMARY KEY ("key"), UNIQUE (id));
CREATE INDEX ix_messages_thread_id ON messages (thread_id);
CREATE TABLE runs ("key" INTEGER NOT NULL, id VARCHAR(80) NOT NULL, created_at BIGINT NOT NULL,
    thread_id VARCHAR(80) NOT NULL, status VARCHAR(20) NOT NULL, data JSON NOT NULL,
    PRIMARY KEY ("key"), UNIQUE (id));
CREATE INDEX ix_runs_status ON runs (status);
CREATE INDEX ix_runs_thread_id ON runs (thread_id);
CREATE TABLE steps ("key" INTEGER NOT NULL, id VARCHAR(80) NOT NULL, created_at BIGINT NOT NULL,
    thread_id VARCHAR(80) NOT NULL, run_id VARCHAR(80) NOT NULL, data JSON NOT NULL,
    PRIMARY KEY ("key"), UNIQUE (id));
CREATE INDEX ix_steps_thread_id ON steps (thread_id);
CREATE INDEX ix_steps_run_id ON steps (run_id);
CREATE TABLE events (run_key INTEGER NOT NULL, seq INTEGER NOT NULL, name VARCHAR(40) NOT NULL, data TEXT NOT NULL,
    PRIMARY KEY (run_key, seq)) WITHOUT ROWID;
INSERT INTO schema_version VALUES (1);
"""


def version_1(file: Path) -> None:
    """A database as version 1 left it, with a conversation whose second run was cut off."""
    rest = {
        name: value for name, value in bare_run().items() if name not in ("id", "created_at", "thread_id", "status")
    }
    with closing(sqlite3.connect(file)) as opened:
        opened.executescript(VERSION_1)
        opened.execute("INSERT INTO threads VALUES (1, 'thread_9', 1, ?)", [json.dumps({"metadata": {"名": "值"}})])
        opened.execute(
            "INSERT INTO messages VALUES (1, 'message_1', 2, 'thread_9', ?)",
            [json.dumps({"role": "user", "text": "天气?", "file_ids": [], "metadata": {}})],
        )
        for key, status in ((1, "completed"), (2, "in_progress")):
            opened.execute(
                "INSERT INTO runs VALUES (?, ?, 3, 'thread_9', ?, ?)", [key, f"run_{key}", status, json.dumps(rest)]
            )
            opened.execute("INSERT INTO events VALUES (?, 1, 'thread.run.created', '{}')", [key])
        opened.execute("INSERT INTO events VALUES (1, 2, 'done', '[DONE]')")
        opened.commit()


def columns(file: Path) -> dict[str, set[tuple[Any, ...]]]:
    with closing(sqlite3.connect(file)) as opened:
        tables = [name for (name,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            table: {row[1:] for row in opened.execute(f"PRAGMA table_info({table})")}
            | {(row[1],) for row in opened.execute(f"PRAGMA index_list({table})")}
            for table in tables
        }


def test_a_database_of_version_1_is_brought_up_to_date_and_keeps_what_it_holds(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    version_1(file)
    with closing(Store(str(file))) as store:
        assert store.get("threads", "thread_9") == {"id": "thread_9", "created_at": 1, "metadata": {"名": "值"}}
        assert [message["text"] for message in store.every("messages")] == ["天气?"]
        assert [run["status"] for run in store.every("runs")] == ["completed", "in_progress"]
        assert [event.name for event in store.events("run_1")] == ["thread.run.created", "done"]
    with LocalService(str(file), Script([TextPiece("ok")]), plugins={}, clock=lambda: 100) as service:
        assert [run["status"] for run in service.store.every("runs")] == ["completed", "failed"]
        assert [event.name for event in service.store.events("run_2")][1:] == ["thread.run.failed", "done"]
    Store(str(tmp_path / "new.db")).close()
    assert columns(file) == columns(tmp_path / "new.db")
    with closing(sqlite3.connect(file)) as opened:
        assert opened.execute("SELECT version FROM schema_version").fetchall() == [(SCHEMA_VERSION,)]
        assert opened.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_every_version_before_this_one_has_a_migration() -> None:
    assert sorted(MIGRATIONS) == list(range(1, SCHEMA_VERSION))


def test_a_migration_that_fails_leaves_the_database_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.db"
    version_1(file)
    before = columns(file)

    def break_off(connection: Any) -> None:
        MIGRATIONS_1(connection)
        raise ZeroDivisionError

    MIGRATIONS_1 = MIGRATIONS[1]
    with monkeypatch.context() as patch:
        patch.setitem(MIGRATIONS, 1, break_off)
        with pytest.raises(ZeroDivisionError):
            Store(str(file))
    assert columns(file) == before
    with closing(Store(str(file))) as store:
        assert len(store.every("runs")) == 2


def test_services_that_find_an_old_database_together_bring_it_up_to_date_once(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    version_1(file)
    failed: list[Exception] = []
    start = threading.Barrier(6)

    def open_one() -> None:
        start.wait(10)
        try:
            Store(str(file)).close()
        except Exception as error:
            failed.append(error)

    in_threads([open_one] * 6)
    assert failed == []
    with closing(Store(str(file))) as store:
        assert len(store.every("runs")) == 2


# --- parts ---------------------------------------------------------------------------------------


def bare_run(**more: Any) -> Record:
    return {
        "id": "run_9",
        "created_at": 3,
        "expires_at": 3 + LIFETIME_MS,
        "thread_id": "thread_9",
        "assistant_id": "asst_9",
        "status": "queued",
        "model": "m",
        "instructions": "",
        "tools": [],
        "metadata": {},
        "request_id": "r",
        **more,
    }


def abandoned(machine: Machine) -> Ids:
    """A run that has written a piece, and whose owner has died as by a kill: with nothing said about it."""

    class Killed(Script):
        async def answer(self, turn: Turn) -> AsyncIterator[Piece]:
            yield TextPiece("Half")
            raise SystemError

    desk = machine.desk(engine=Killed(), owner=gone_owner())
    desk.runner._stop = lambda *_, **__: None  # type: ignore[method-assign]

    async def check() -> Ids:
        ids = desk.begin()
        await turns()
        assert desk.told(ids)[3:] == cut(1, "failed")[:5]
        return ids

    return dict(soon(check()))


def gone_owner() -> str:
    """The name of an owner whose process has been, on this machine."""
    program = "from dashnb.local.leases import new_owner; print(new_owner())"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


def started(pid: int) -> str:
    """When a process began; ``""`` where nobody tells."""
    place = Path(f"/proc/{pid}/stat")
    return place.read_text().rpartition(")")[2].split()[19] if place.exists() else ""


def in_threads(works: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for worker in threads:
        worker.start()
    for worker in threads:
        worker.join()
