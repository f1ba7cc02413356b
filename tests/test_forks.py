"""What a process made by `fork` does with clients, servers, databases and runs of its parent."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import dashnb
from dashnb.client.cassettes import RecordingTransport
from dashnb.errors import ConnectionFailed, DashnbError, RunInterrupted, StoreError, StreamError
from dashnb.forks import Gate, Origin, leave
from dashnb.history.ledger import Ledger
from dashnb.local.models.guide import GuideEngine
from dashnb.local.models.smollm.decoder import Decoder
from dashnb.local.service import BASE_URL, LocalService
from dashnb.local.store import Store
from dashnb.magics.background import BackgroundRun
from dashnb.protocol.events import event_of
from dashnb.protocol.state import RunState

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

PATIENCE = 30  # seconds after which a child hangs


@pytest.fixture(autouse=True)
def _no_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHNB_PACE", "0")


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "a.db")


@pytest.fixture
def client(file: str) -> Iterator[dashnb.Client]:
    with dashnb.connect("local", database=file, engine="guide") as client:
        client.threads.create()
        yield client


def in_child(work: Callable[[], Any]) -> Any:
    """What a function returns, or the error that it raises, in a forked child; a child that hangs is a failure."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(PATIENCE)
        try:
            try:
                told = pickle.dumps(("returned", work()))
            except BaseException as error:
                told = pickle.dumps(("raised", error if isinstance(error, DashnbError) else traceback.format_exc()))
            os.write(writing, told)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(pid, 0)
    assert not os.WIFSIGNALED(status), f"the child hung, and was ended by signal {os.WTERMSIG(status)}"
    how, what = pickle.loads(told)
    if how == "raised":
        if isinstance(what, DashnbError):
            raise what
        pytest.fail(what)
    return what


def run_program(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A program of its own, with warnings shown, as its children end as programs do."""
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE * 2,
        env={**os.environ, "DASHNB_LEDGER": "off"},
        check=False,
    )


# --- the embedded API in process ---------------------------------------------------------------------


def test_a_child_works_on_the_same_file_and_so_does_its_parent(client: dashnb.Client) -> None:
    mine = client.threads.create(metadata={"by": "parent"})

    def work() -> tuple[str, Any]:
        assert client.threads.retrieve(mine.id).metadata == {"by": "parent"}
        with dashnb.Session(client=client, ledger=None) as session:
            answer = session.ask("What is 2 + 3?")
        return client.threads.create(metadata={"by": "child"}).id, (answer.status, "5" in answer.text)

    for _ in range(3):
        made, answered = in_child(work)
        assert answered == ("completed", True)
        assert client.threads.retrieve(made).metadata == {"by": "child"}
    assert client.threads.create().id


def test_what_a_child_writes_after_its_parent_has_closed_is_kept(file: str) -> None:
    first = dashnb.connect("local", database=file, engine="guide")
    first.threads.create()
    waiting, going = os.pipe()

    def work() -> str:
        before = first.threads.create()
        assert os.read(waiting, 1) == b"x"
        return before.id + " " + first.threads.create().id

    told: list[str] = []
    thread = threading.Thread(target=lambda: told.append(in_child(work)))
    thread.start()
    time.sleep(0.5)
    first.close()
    os.write(going, b"x")
    thread.join()
    os.close(waiting)
    os.close(going)
    with dashnb.connect("local", database=file, engine="guide") as again:
        for thread_id in told[0].split():
            assert again.threads.retrieve(thread_id).id == thread_id
    with sqlite3.connect(file) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_no_file_of_sqlite_is_open_while_the_process_forks(client: dashnb.Client, file: str, tmp_path: Path) -> None:
    def open_files() -> list[str]:
        links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
        targets = [os.readlink(link) for link in links if os.path.lexists(link)]
        return [target for target in targets if target.startswith(str(tmp_path))]

    if not os.path.exists("/proc/self/fd"):
        pytest.skip("open files cannot be listed here")
    with Ledger(tmp_path / "ledger.db") as ledger:
        ledger.runs()
        assert len(open_files()) >= 2
        assert in_child(open_files) == []
        assert client.threads.create().id
        assert len(ledger.runs()) == 0


def test_a_database_in_memory_is_the_parents_and_a_child_is_told_so() -> None:
    with dashnb.connect("local", database=":memory:", engine="guide") as client:
        client.threads.create()
        for work in (client.threads.create, lambda: list(client.assistants.list())):
            with pytest.raises(StoreError, match="is in memory, and belongs to the process"):
                in_child(work)

        def again() -> str:
            with dashnb.connect("local", database=":memory:", engine="guide") as own:
                return own.threads.create().object

        assert in_child(again) == "thread"
        assert client.threads.create().id


def test_a_child_ends_while_a_run_of_its_parent_goes_on_and_the_run_is_not_ended(client: dashnb.Client) -> None:
    with dashnb.Session(client=client, ledger=None) as session:
        states = session.stream("Tell me about the sea.")
        state = next(states)

        def leave_loop() -> str:
            states.close()
            client.close()
            return state.status

        assert in_child(leave_loop) != "cancelled"
        *_, last = states
    assert last.status == "completed"


def test_a_stream_of_the_parent_is_not_read_in_a_child(client: dashnb.Client) -> None:
    assistant = client.assistants.create(model="qwen-max")
    thread = client.threads.create(messages=[{"role": "user", "content": "What is 2 + 3?"}])
    with client.runs.stream(thread.id, assistant_id=assistant.id) as stream:
        next(iter(stream))
        with pytest.raises(StreamError, match="belongs to the process that this one was forked from") as caught:
            in_child(lambda: [event.name for event in stream])
        assert caught.value.state is not None

        def join() -> str:
            with client.runs.join(stream.state.id, thread_id=thread.id) as joined:
                *_, last = joined
            return last.name

        assert in_child(join) == "done"
        assert [event.name for event in stream][-1] == "done"
    assert stream.state.status == "completed"


def test_a_child_of_a_thread_that_forks_while_others_ask_does_not_hang(client: dashnb.Client) -> None:
    over = threading.Event()
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            while not over.is_set():
                client.threads.retrieve(client.threads.create().id)
        except BaseException as error:
            failures.append(error)

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    try:
        for _ in range(15):
            assert in_child(lambda: client.threads.create().object) == "thread"
    finally:
        over.set()
        for asker in askers:
            asker.join()
    assert failures == []


def test_a_closed_client_is_closed_in_a_child_too(file: str) -> None:
    client = dashnb.connect("local", database=file, engine="guide")
    client.threads.create()
    client.close()
    with pytest.raises(ConnectionFailed, match="has been closed"):
        in_child(client.threads.create)
    in_child(client.close)


ENDS = {
    "sys.exit": "sys.exit(0)",
    "the end of the program": "pass",
    "os._exit": "os._exit(0)",
    "an exception": "raise ValueError('mine')",
}
ENDING = """
import os, signal, sys, dashnb
what, database = sys.argv[1:]
client = dashnb.connect("local", database=database, engine="guide")
session = dashnb.Session(client=client, ledger=None)
session.ask("What is 2 + 3?")
states = session.stream("What is 999 × 998?")
next(states)
with dashnb.serve(engine="guide", database=":memory:") as server:
    with dashnb.Client(server.base_url, api_key=server.api_key) as other:
        other.threads.create()
        pid = os.fork()
        if pid == 0:
            signal.alarm(30)
            exec(what)
        else:
            _, status = os.waitpid(pid, 0)
            assert other.threads.create().object == "thread"
            *_, last = states
            print(os.waitstatus_to_exitcode(status), last.status)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("database", ["file", "memory"])
def test_a_child_that_does_nothing_ends_and_its_parent_goes_on(how: str, database: str, file: str) -> None:
    ran = run_program(ENDING, ENDS[how], file if database == "file" else ":memory:")
    code = 1 if how == "an exception" else 0
    assert ran.stdout.splitlines()[-1:] == [f"{code} completed"], ran.stderr
    assert ("ValueError: mine" in ran.stderr) is (how == "an exception")
    assert "never" not in ran.stderr
    assert "destroyed" not in ran.stderr
    assert how == "an exception" or ran.stderr == ""


# --- on a port ---------------------------------------------------------------------------------------


def test_parent_and_child_do_not_share_connections_to_a_port(file: str) -> None:
    with (
        dashnb.serve(engine="guide", database=file) as server,
        dashnb.Client(server.base_url, api_key=server.api_key) as client,
    ):
        first = client.threads.create(metadata={"of": "parent"})
        waiting, going = os.pipe()

        def work() -> list[str]:
            assert os.read(waiting, 1) == b"x"
            return [client.threads.create(metadata={"n": str(number)}).metadata["n"] for number in range(20)]

        told: list[list[str]] = []
        thread = threading.Thread(target=lambda: told.append(in_child(work)))
        thread.start()
        os.write(going, b"x")
        seen = [client.threads.retrieve(first.id).metadata["of"] for _ in range(40)]
        thread.join()
        os.close(waiting)
        os.close(going)
    assert (set(seen), told) == ({"parent"}, [[str(number) for number in range(20)]])


def test_a_child_closes_its_copies_of_connections_without_a_word_and_its_parent_goes_on(file: str) -> None:
    program = """
import dashnb, os, sys
with dashnb.Client(sys.argv[1], api_key=sys.argv[2]) as client:
    first = client.threads.create()
    held = {name for name in os.listdir("/proc/self/fd")}
    for number in range(3):
        pid = os.fork()
        if pid == 0:
            kinds = [os.readlink(f"/proc/self/fd/{name}") for name in held if os.path.exists(f"/proc/self/fd/{name}")]
            print("held", sum("socket" in kind for kind in kinds), flush=True)
            print("asked", client.threads.retrieve(first.id).id == first.id, flush=True)
            client.close()
            sys.exit(0)
        os.waitpid(pid, 0)
        print("parent", client.threads.retrieve(first.id).id == first.id, flush=True)
"""
    with dashnb.serve(engine="guide", database=file) as server:
        done = subprocess.run(
            [sys.executable, "-X", "dev", "-W", "error", "-c", program, server.base_url, server.api_key],
            capture_output=True,
            text=True,
            timeout=PATIENCE * 2,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split("\n")[:3] == ["held 0", "asked True", "parent True"]
    assert done.stdout.count("parent True") == 3


def test_a_child_leaves_the_port_and_the_server_to_its_parent() -> None:
    with dashnb.serve(engine="guide", database=":memory:") as server:
        port = int(server.base_url.split(":")[2].partition("/")[0])
        waiting, going = os.pipe()

        def work() -> str:
            server.close()
            server.wait()
            os.read(waiting, 1)
            return "ended"

        told: list[str] = []
        thread = threading.Thread(target=lambda: told.append(in_child(work)))
        thread.start()
        with dashnb.Client(server.base_url, api_key=server.api_key) as client:
            assert client.threads.create().object == "thread"
        server.close()
        # The child lives on, and has no hold on the port.
        with dashnb.serve(port, engine="guide", database=":memory:") as again:
            assert again.base_url == server.base_url
        os.write(going, b"x")
        thread.join()
        os.close(waiting)
        os.close(going)
    assert told == ["ended"]


def test_a_child_uses_an_awaited_client_of_its_parent(file: str) -> None:
    async def ask(client: dashnb.AsyncClient) -> str:
        return (await client.threads.create()).object

    with LocalService(file, GuideEngine()) as service:
        client = dashnb.AsyncClient(BASE_URL, transport=service.async_transport())
        assert asyncio.run(ask(client)) == "thread"
        assert in_child(lambda: asyncio.run(ask(client))) == "thread"
        assert asyncio.run(ask(client)) == "thread"
        asyncio.run(client.close())
    with dashnb.serve(engine="guide", database=":memory:") as server:
        client = dashnb.AsyncClient(server.base_url, api_key=server.api_key)
        assert asyncio.run(ask(client)) == "thread"
        assert in_child(lambda: asyncio.run(ask(client))) == "thread"
        asyncio.run(client.close())


# --- ledgers, stores, cassettes, models, runs in the background ----------------------------------------


def a_state(run_id: str) -> RunState:
    state = RunState()
    state.apply(event_of("thread.run.created", {"id": run_id, "status": "queued", "thread_id": "thread_1"}))
    return state


def test_a_ledger_is_kept_by_parent_and_child(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.db") as ledger:
        ledger.record(a_state("run_1"), prompt="one", recorded_at=1)
        assert in_child(lambda: ledger.record(a_state("run_2"), prompt="two", recorded_at=2)) == "run_2"
        ledger.record(a_state("run_3"), prompt="three", recorded_at=3)
        assert ledger.runs()["id"] == ["run_1", "run_2", "run_3"]
    with Ledger(":memory:") as ledger:
        ledger.record(a_state("run_1"), prompt="one", recorded_at=1)
        with pytest.raises(StoreError, match="is in memory"):
            in_child(ledger.runs)
        in_child(ledger.close)
        assert ledger.runs()["id"] == ["run_1"]


def test_a_fork_waits_for_a_change_and_a_change_for_the_fork(file: str) -> None:
    store = Store(file)
    begun, go_on = threading.Event(), threading.Event()

    def change() -> None:
        with store.begin() as writing:
            writing.insert("threads", {"id": "thread_1", "created_at": 1, "metadata": {}})
            begun.set()
            go_on.wait()

    writer = threading.Thread(target=change)
    writer.start()
    begun.wait()
    timer = threading.Timer(0.3, go_on.set)
    timer.start()
    assert in_child(lambda: store.get("threads", "thread_1") is not None)
    writer.join()
    timer.join()
    assert store.get("threads", "thread_1") is not None
    store.close()


def test_of_a_database_that_is_in_the_middle_of_a_change_a_child_has_nothing(file: str) -> None:
    store = Store(file)
    with store.begin() as change:
        change.insert("threads", {"id": "thread_1", "created_at": 1, "metadata": {}})
        with pytest.raises(StoreError, match="was in use when this process was forked"):
            in_child(lambda: store.get("threads", "thread_1"))
    assert store.get("threads", "thread_1") is not None
    assert in_child(lambda: store.get("threads", "thread_1") is not None)
    store.close()


def test_a_gate_lets_in_again_who_is_inside_and_gives_up_on_who_stays() -> None:
    closed: list[str] = []
    gate = Gate("The database", close=lambda: closed.append("closed"), patience=0.01)
    with gate, gate:
        pass
    stay, inside = threading.Event(), threading.Event()

    def work() -> None:
        with gate:
            inside.set()
            stay.wait()

    worker = threading.Thread(target=work)
    worker.start()
    inside.wait()

    def enter() -> None:
        with gate:
            pass

    with pytest.raises(StoreError, match="was in use"):
        in_child(enter)
    assert closed == []
    stay.set()
    worker.join()
    assert in_child(enter) is None
    assert closed == ["closed"]


def test_a_child_adds_nothing_to_the_cassette_of_its_parent(file: str, tmp_path: Path) -> None:
    cassette = tmp_path / "c.jsonl"
    with LocalService(file, GuideEngine()) as service:
        way = RecordingTransport(service.transport(), cassette, base_url=BASE_URL)
        with dashnb.Client(BASE_URL, transport=way) as client:
            client.threads.create(metadata={"by": "parent"})
            assert in_child(lambda: client.threads.create(metadata={"by": "child"}).object) == "thread"
            client.threads.create(metadata={"by": "parent again"})
    lines = cassette.read_text("utf-8")
    assert "parent again" in lines
    assert "child" not in lines


def test_a_model_in_the_process_is_opened_again_in_a_child() -> None:
    def model(request: dict[str, Any], tell: Callable[[dict[str, Any]], bool]) -> None:
        tell({"pid": os.getpid()})

    async def ask() -> int:
        (chunk,) = [chunk async for chunk in decoder.stream({})]
        return int(chunk["pid"])

    decoder = Decoder(lambda: model)
    assert asyncio.run(ask()) == os.getpid()
    told, child = in_child(lambda: (asyncio.run(ask()), os.getpid()))
    assert (told == child, child != os.getpid()) == (True, True)
    assert asyncio.run(ask()) == os.getpid()
    in_child(decoder.close)
    decoder.close()


def test_a_run_in_the_background_is_over_for_a_child_and_goes_on_in_the_parent(client: dashnb.Client) -> None:
    state = a_state("run_1")
    gate = threading.Event()

    def states() -> Any:
        gate.wait()
        yield state

    run = BackgroundRun(states(), state, client=client, then=lambda: None)

    def look() -> tuple[bool, BaseException | None]:
        run.wait(None)
        run.cancel()
        return run.done, run.exception

    done, error = in_child(look)
    assert done
    assert isinstance(error, RunInterrupted)
    assert (run.done, run.exception) == (False, None)
    gate.set()


# --- the pieces --------------------------------------------------------------------------------------


def test_an_origin_is_elsewhere_for_a_child() -> None:
    origin = Origin()
    assert (origin.is_here, in_child(lambda: origin.is_here)) == (True, False)


def test_what_a_child_leaves_is_its_parents_still() -> None:
    reading, writing = os.pipe()

    def work() -> int:
        leave(writing, -1)
        return os.write(writing, b"lost")

    assert in_child(work) == 4
    os.write(writing, b"kept")
    os.close(writing)
    assert os.read(reading, 99) == b"kept"
    os.close(reading)


# --- as people use it ----------------------------------------------------------------------------------

CLIENTS: list[dashnb.Client] = []


def work_in_pool(number: int) -> str:
    return CLIENTS[0].threads.create(metadata={"n": str(number)}).metadata["n"]


@pytest.mark.slow
def test_pools_of_forked_workers_use_a_client(client: dashnb.Client) -> None:
    CLIENTS[:] = [client]
    context: Any = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(3, mp_context=context) as executor:
        assert list(executor.map(work_in_pool, range(12), timeout=60)) == [str(number) for number in range(12)]
    pool = context.Pool(2)
    try:
        assert pool.map_async(work_in_pool, range(6)).get(60) == [str(number) for number in range(6)]
        pool.close()
    finally:
        pool.join()
    assert client.threads.create().object == "thread"
    CLIENTS.clear()


def test_programs_that_are_started_find_all_as_it_was(client: dashnb.Client) -> None:
    # With a function to call before the program, fork is used, and those who heed it are told.
    done = subprocess.run([sys.executable, "-c", "print(1)"], preexec_fn=os.getpid, capture_output=True, check=True)
    assert done.stdout == b"1\n"
    assert client.threads.create().object == "thread"
