"""Files of SQLite: what several processes write is all there, wherever the file lies, and what is wrong is said."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from file_systems import bound_by_permissions, without_shared_memory

import dashnb
from dashnb.database import DatabaseFile, Usage
from dashnb.errors import ConfigurationError, ServerError, StoreError
from dashnb.history.ledger import Ledger
from dashnb.local.documents.library import Document, Library
from dashnb.local.store import Store
from dashnb.magics.conversations import Entry, Names
from dashnb.protocol.events import event_of
from dashnb.protocol.state import RunState
from dashnb.session.recording import Recording

USAGE = Usage("The database", "name another one with DASHNB_DATABASE")
posix = pytest.mark.skipif(sys.platform == "win32", reason="files of POSIX")


def keep_thread(store: Store, name: str) -> None:
    with store.begin() as change:
        change.insert("threads", {"id": name, "created_at": 1, "metadata": {}})


def record(ledger: Ledger, name: str) -> None:
    state = RunState()
    state.apply(event_of("thread.run.created", {"id": name, "status": "queued", "thread_id": "thread_1"}))
    ledger.record(state, prompt="Hello?", recorded_at=1795156863000)


def put(library: Library, name: str) -> None:
    library.put(Document("default", name, f"/{name}", "markdown"), [("Cats", f"The cat {name} sleeps.")])


def put_one(file: Path | str) -> None:
    with Library(file) as library:
        put(library, "tom")


def python(
    program: str, *arguments: object, environment: dict[str, str] | None = None, begin: Sequence[str] = ()
) -> str:
    """What another process prints."""
    command = [*begin, sys.executable, "-c", program, *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


# --- several processes ---------------------------------------------------------------------------

VISIT_STORE = "import sys\nfrom dashnb.local.store import Store\nStore(sys.argv[1]).close()"
VISIT_LEDGER = "import sys\nfrom dashnb.history.ledger import Ledger\nLedger(sys.argv[1]).close()"
SEE = (
    "import sqlite3, sys\nopened = sqlite3.connect(sys.argv[1])\n"
    "print(*(name for (name,) in opened.execute(f'SELECT id FROM {sys.argv[2]} ORDER BY id')))\n"
    "print(opened.execute('PRAGMA integrity_check').fetchone()[0])"
)


def test_what_two_kernels_write_to_one_database_is_all_there(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    with closing(Store(str(file))) as first:
        keep_thread(first, "thread_1")
        with closing(Store(str(file))) as second:
            python(VISIT_STORE, file)
            for number, store in enumerate((first, second, first), 2):
                keep_thread(store, f"thread_{number}")
            assert python(SEE, file, "threads").splitlines() == ["thread_1 thread_2 thread_3 thread_4", "ok"]


def test_what_two_kernels_record_in_one_ledger_is_all_there(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    with Ledger(file) as first:
        record(first, "run_1")
        with Ledger(file) as second:
            python(VISIT_LEDGER, file)
            for number, ledger in enumerate((first, second, first), 2):
                record(ledger, f"run_{number}")
            assert python(SEE, file, "runs").splitlines() == ["run_1 run_2 run_3 run_4", "ok"]


@posix
@pytest.mark.parametrize("kind", ["database", "ledger", "documents"])
def test_opening_a_file_takes_no_lock_from_who_has_it_open(tmp_path: Path, kind: str) -> None:
    """A process that closes a file loses all of its locks on it: another one could then remove the log."""
    file = tmp_path / "a.db"
    openings: dict[str, Callable[[], None]] = {
        "database": lambda: Store(str(file)).close(),
        "ledger": lambda: Ledger(file).close(),
        "documents": lambda: put_one(file),
    }
    openings[kind]()
    with closing(sqlite3.connect(file, isolation_level=None)) as opened:
        opened.execute("PRAGMA journal_mode=WAL")
        opened.execute("BEGIN")
        opened.execute("SELECT * FROM sqlite_master").fetchall()
        before = locks_of(file)
        openings[kind]()
        assert locks_of(file) == before != []


def locks_of(file: Path) -> list[str]:
    """The locks on a file and on the memory that is shared over it, as the system lists them."""
    if not os.path.exists("/proc/locks"):
        pytest.skip("only Linux lists the locks of a process")
    inodes = {str(path.stat().st_ino) for path in file.parent.glob(f"{file.name}*")}
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return sorted(" ".join(line[1:]) for line in lines if line[5].rpartition(":")[2] in inodes)


# --- file systems without shared memory ----------------------------------------------------------

USE_ALL = """
import sqlite3, sys
from contextlib import closing
from dashnb.history.ledger import Ledger
from dashnb.local.documents.library import Document, Library
from dashnb.local.store import Store
folder, name = sys.argv[1:]
with closing(Store(folder + "/database")) as store:
    with store.begin() as change:
        change.insert("threads", {"id": name, "created_at": 1, "metadata": {}})
    found = [len(store.every("threads"))]
with Ledger(folder + "/ledger") as ledger:
    from dashnb.protocol.state import RunState
    ledger.record(RunState(), prompt=name, recorded_at=1)
    found.append(len(ledger.runs()))
with Library(folder + "/documents") as library:
    library.put(Document("default", name, "/" + name, "markdown"), [("Cats", "Cats sleep.")])
    found.append(len(library.documents()))
print(*found)
"""


def journals(folder: Path) -> list[str]:
    found = []
    for name in ("database", "ledger", "documents"):
        with closing(sqlite3.connect(folder / name)) as opened:
            found.append(opened.execute("PRAGMA journal_mode").fetchone()[0])
    return found


@pytest.mark.parametrize("refused", ["map", "make"])
def test_without_shared_memory_all_files_work_and_keep_what_they_have(tmp_path: Path, refused: str) -> None:
    environment, folder = without_shared_memory(tmp_path, refused), tmp_path / "data"
    for name in ("one", "two"):
        shown = python(USE_ALL, folder, name, environment=environment)
    assert shown == "2 2 2\n"
    assert journals(folder) == ["delete", "delete", "delete"]


@pytest.mark.parametrize("refused", ["map", "make"])
def test_a_file_that_was_kept_with_a_log_opens_where_processes_share_no_memory(tmp_path: Path, refused: str) -> None:
    environment, folder = without_shared_memory(tmp_path, refused), tmp_path / "data"
    python(USE_ALL, folder, "one")
    for name in ("database", "ledger", "documents"):
        with closing(sqlite3.connect(folder / name)) as opened:
            opened.execute("PRAGMA journal_mode=WAL")
    assert python(USE_ALL, folder, "two", environment=environment) == "2 2 2\n"
    assert journals(folder) == ["delete", "delete", "delete"]


def test_where_memory_is_shared_a_log_is_used_again(tmp_path: Path) -> None:
    environment, folder = without_shared_memory(tmp_path, "map"), tmp_path / "data"
    python(USE_ALL, folder, "one", environment=environment)
    assert python(USE_ALL, folder, "two") == "2 2 2\n"
    assert journals(folder) == ["wal", "wal", "delete"]


@pytest.mark.slow
def test_processes_that_leave_a_log_together_lose_nothing(tmp_path: Path) -> None:
    environment, file = without_shared_memory(tmp_path, "map"), tmp_path / "a.db"
    with closing(Store(str(file))) as store:
        keep_thread(store, "thread_0")
    write = (
        "import sys\nfrom dashnb.local.store import Store\n"
        "for n in range(10):\n"
        "    store = Store(sys.argv[1])\n"
        "    with store.begin() as change:\n"
        "        change.insert('threads', {'id': f'thread_{sys.argv[2]}_{n}', 'created_at': 1, 'metadata': {}})\n"
        "    if n % 3: store.close()\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", write, file, str(n)], env=environment) for n in range(4)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0, 0]
    names, check = python(SEE, file, "threads").splitlines()
    assert (len(names.split()), check) == (41, "ok")


# --- what is wrong with a file -------------------------------------------------------------------

OPENINGS: dict[str, Callable[[Path], object]] = {
    "database": lambda file: Store(str(file)),
    "ledger": Ledger,
    "documents": lambda file: Library(file).documents(),
}
OTHERWISE = {"database": "DASHNB_DATABASE", "ledger": "DASHNB_LEDGER=off", "documents": "DASHNB_DATA_DIR"}
opening = pytest.mark.parametrize("kind", OPENINGS)


def refused(kind: str, file: Path) -> str:
    """What a person reads when a file cannot be opened."""
    with pytest.raises(StoreError) as caught:
        OPENINGS[kind](file)
    message = str(caught.value)
    assert len(message.splitlines()) <= 3
    assert str(file) in message
    return message


def filled(kind: str, file: Path) -> None:
    """A file of a kind with something in it, of at least a few pages."""
    if kind == "database":
        with closing(Store(str(file))) as store:
            for number in range(60):
                keep_thread(store, f"thread_{number}")
    elif kind == "ledger":
        with Ledger(file) as ledger:
            for number in range(60):
                record(ledger, f"run_{number}")
    else:
        with Library(file) as library:
            for number in range(60):
                put(library, f"tom {number}")


@posix
@opening
@pytest.mark.parametrize("beside", ["", "-wal", "-journal"])
def test_a_named_pipe_is_named_and_waited_for_by_nobody(tmp_path: Path, kind: str, beside: str) -> None:
    file = tmp_path / "a.db"
    if beside:
        filled(kind, file)
    os.mkfifo(f"{file}{beside}")
    assert "it is a named pipe" in refused(kind, file)


@posix
@opening
def test_what_is_no_file_is_named(tmp_path: Path, kind: str) -> None:
    assert "it is a folder" in refused(kind, tmp_path)
    assert "it is a device" in refused(kind, Path(os.devnull))
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    refused(kind, tmp_path / "loop")


@posix
@opening
def test_a_link_to_a_file_is_followed_even_before_the_file_is_there(tmp_path: Path, kind: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "a.db")
    filled(kind, tmp_path / "link")
    assert (tmp_path / "folder" / "a.db").stat().st_size > 0


@posix
@pytest.mark.parametrize("kind", ["database", "ledger"])
def test_a_file_in_use_by_another_name_of_it_is_refused_and_nothing_is_lost(tmp_path: Path, kind: str) -> None:
    """SQLite keeps its log beside the name: who came by another one would not see it, and write over it."""
    file, other = tmp_path / "a.db", tmp_path / "b.db"
    filled(kind, file)
    other.hardlink_to(file)
    using = DatabaseFile(str(other), USAGE, timeout=0)
    with closing(DatabaseFile(str(file), USAGE).connect()) as first:
        first.execute("CREATE TABLE new (number)")
        with pytest.raises(StoreError, match="several names"):
            using.connect()
        outside = "import dashnb.database as d, sys; d.DatabaseFile(sys.argv[1], d.Usage('It', 'go'), 0).connect()"
        ran = subprocess.run([sys.executable, "-c", outside, other], capture_output=True, text=True, timeout=60)
        assert "several names" in ran.stderr
        # By the name that is in use, it is open to all.
        with closing(DatabaseFile(str(file), USAGE).connect()) as second:
            assert second.execute("SELECT count(*) FROM new").fetchone() == (0,)
    with closing(using.connect()) as alone:
        assert alone.execute("SELECT count(*) FROM new").fetchone() == (0,)


@pytest.mark.parametrize("name", ["a\0b", "\ud800.db"])
@pytest.mark.parametrize("opened", [Store, Ledger, put_one])
def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path, opened: Callable[[str], Any], name: str) -> None:
    with pytest.raises(StoreError, match="no file can have this name"):
        opened(f"{tmp_path}/{name}")


@pytest.mark.parametrize("query", ["timeout=soon", "cached_statements=x"])
def test_a_url_with_a_value_that_makes_no_sense_is_refused(tmp_path: Path, query: str) -> None:
    with pytest.raises(StoreError, match="cannot be used"):
        Store(f"sqlite:///{tmp_path}/a.db?{query}").close()


@opening
@pytest.mark.parametrize("content", [b"x", b"my note\n", b"SQLite format 3\0", b"n" * 511, b"no database. " * 99])
def test_what_is_no_database_is_left_as_it_is(tmp_path: Path, kind: str, content: bytes) -> None:
    file = tmp_path / "a.db"
    file.write_bytes(content)
    message = refused(kind, file)
    assert "not a database" in message
    assert OTHERWISE[kind] in message
    assert file.read_bytes() == content


@opening
@pytest.mark.parametrize("other", OPENINGS)
def test_the_file_of_another_part_is_left_as_it_is(tmp_path: Path, kind: str, other: str) -> None:
    file = tmp_path / "a.db"
    filled(other, file)
    before = file.read_bytes()
    if kind == other:
        with closing(DatabaseFile(str(file), USAGE).connect()):
            pass
    else:
        message = refused(kind, file)
        assert "another program's database" in message or "newer dashnb" in message
        assert "ove the file away" not in message
    assert file.read_bytes() == before


@opening
def test_a_damaged_file_is_to_be_kept_and_the_command_that_reads_it_is_named(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "a b.db"
    filled(kind, file)
    content = bytearray(file.read_bytes())
    content[100:3000] = b"\xff" * 2900
    file.write_bytes(content)
    message = refused(kind, file)
    assert "it is damaged" in message
    assert f"sqlite3 '{file}' .recover" in message
    assert OTHERWISE[kind] in message


@pytest.mark.parametrize(
    ("code", "reason", "remedy"),
    [
        (sqlite3.SQLITE_BUSY, "locked", "try again"),
        (sqlite3.SQLITE_FULL, "disk is full", "make room"),
        (sqlite3.SQLITE_IOERR_SHMMAP, "share no memory", "close what else uses it"),
        (sqlite3.SQLITE_IOERR_LOCK, "cannot lock files", "local disk"),
        (sqlite3.SQLITE_IOERR_WRITE, "the disk failed", "look after the disk"),
        (sqlite3.SQLITE_READONLY_DBMOVED, "moved or deleted", "put it back"),
        (sqlite3.SQLITE_CORRUPT, "The file itself is whole, keep it", "close what else uses it"),
        (sqlite3.SQLITE_ERROR, "The file itself is whole, keep it", "close what else uses it"),
    ],
)
def test_nobody_is_told_to_give_up_a_file_that_is_whole(tmp_path: Path, code: int, reason: str, remedy: str) -> None:
    file = tmp_path / "a.db"
    filled("database", file)
    error = sqlite3.OperationalError("something failed")
    error.sqlite_errorcode = code
    message = str(DatabaseFile(str(file), USAGE).failure(error))
    assert reason in message
    assert remedy in message.lower()
    assert "away" not in message
    assert len(message.splitlines()) == 2


@pytest.mark.parametrize("error", [UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), OverflowError(), TypeError()])
def test_what_the_driver_stumbles_over_is_told_as_what_the_check_finds(tmp_path: Path, error: Exception) -> None:
    file = tmp_path / "a.db"
    filled("database", file)
    database = DatabaseFile(str(file), USAGE)
    assert "whole" in str(database.failure(error))
    content = file.read_bytes()
    file.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    assert "it is damaged" in str(database.failure(error))


READ_ONLY = """
import sys, warnings
from pathlib import Path
import dashnb
from dashnb.errors import StoreError
from dashnb.history.ledger import Ledger
from dashnb.local.documents.library import Library
folder = Path(sys.argv[1])
try:
    dashnb.connect("local", database=str(folder / "database"))
    print("opened")
except StoreError as error:
    print(error)
with Ledger(folder / "ledger") as ledger:
    print(len(ledger.runs()), "runs")
with Library(folder / "documents") as library:
    print(len(library.documents()), "documents")
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    client = dashnb.connect("local", database=":memory:")
    with client, dashnb.Session(client=client, ledger=folder / "ledger") as session:
        print(session.ask("What is 2 + 3?").status, session.ask("What is 2 + 4?").status)
print(len(said), *(warning.message for warning in said))
"""


@posix
@pytest.mark.parametrize("journal", ["wal", "delete"])
@pytest.mark.parametrize("place", ["file", "folder"])
def test_what_may_only_be_read_is_read_and_a_database_that_must_be_written_is_refused(
    tmp_path: Path, journal: str, place: str
) -> None:
    begin, folder = bound_by_permissions(), tmp_path / "data"
    folder.mkdir()
    for name in OPENINGS:
        filled(name, folder / name)
        with closing(sqlite3.connect(folder / name)) as opened:
            opened.execute(f"PRAGMA journal_mode={journal}")
    spots = [folder] if place == "folder" else [folder / name for name in OPENINGS]
    for spot in spots:
        spot.chmod(0o555 if place == "folder" else 0o444)
    try:
        shown = python(READ_ONLY, folder, begin=begin)
    finally:
        folder.chmod(0o755)
    assert "The database" in shown
    assert f"the {place}" in shown.splitlines()[0]
    assert "read-only" in shown.splitlines()[0]
    assert "chmod u+w" in shown.splitlines()[1]
    assert shown.splitlines()[2:5] == ["60 runs", "60 documents", "completed completed"]
    assert re.search(r"^1 The run was not recorded\. The ledger .* read-only", shown, re.M)


# --- whoever needs a file ------------------------------------------------------------------------


def test_a_request_that_meets_a_failing_database_is_answered_with_the_cause(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    with dashnb.connect("local", database=str(file)) as client:
        thread = client.threads.create()
        with closing(sqlite3.connect(file)) as opened:
            opened.execute("UPDATE threads SET data = '{'")
            opened.commit()
        with pytest.raises(ServerError) as caught:
            client.threads.retrieve(thread.id)
    assert (caught.value.status_code, caught.value.code) == (507, "DatabaseUnavailable")
    assert str(file) in caught.value.message
    assert "dashnb doctor" in str(caught.value)


@pytest.mark.parametrize(
    "leave", [Path.unlink, lambda file: file.rename(file.with_name("kept.db"))], ids=["deleted", "moved"]
)
def test_a_ledger_whose_file_is_gone_is_begun_anew(leave: Callable[[Path], object], tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    with dashnb.connect("local", database=":memory:") as client, dashnb.Session(client=client, ledger=file) as session:
        session.ask("What is 2 + 3?")
        leave(file)
        session.ask("What is 4 + 4?")
    with Ledger(file) as ledger:
        assert list(ledger.runs()["prompt"]) == ["What is 4 + 4?"]
    for kept in tmp_path.glob("kept.db"):
        with Ledger(kept) as ledger:
            assert list(ledger.runs()["prompt"]) == ["What is 2 + 3?"]


def test_a_ledger_may_be_named_by_a_text(tmp_path: Path) -> None:
    file = str(tmp_path / "ledger.db")
    with dashnb.connect("local", database=":memory:") as client, dashnb.Session(client=client, ledger=file) as session:
        session.ask("What is 2 + 3?")
    with Ledger(file) as ledger:
        assert len(ledger.runs()) == 1


def test_a_ledger_that_is_locked_is_said_once_and_tried_again(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    state = RunState()
    state.apply(event_of("thread.run.created", {"id": "run_1", "status": "queued", "thread_id": "thread_1"}))
    with Ledger(file, busy_timeout=0.0) as ledger, closing(sqlite3.connect(file, isolation_level=None)) as other:
        recording = Recording(ledger)
        for _ in range(2):
            other.execute("BEGIN IMMEDIATE")
            with pytest.warns(RuntimeWarning, match="it is locked"):
                recording.record(state, prompt="?", recorded_at=1)
            recording.record(state, prompt="?", recorded_at=1)  # warnings are errors here
            other.execute("ROLLBACK")
            recording.record(state, prompt="?", recorded_at=1)
            assert ledger.runs()["id"] == ["run_1"]


def test_cells_that_share_a_recording_are_told_once(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    file.write_bytes(b"a letter")
    recording = Recording(file)
    with dashnb.connect("local", database=":memory:") as client:
        cells = [dashnb.Session(client=client, ledger=recording) for _ in range(4)]
        with pytest.warns(RuntimeWarning, match="not a database"):
            cells[0].ask("What is 2 + 3?")
        for cell in cells[1:3]:  # warnings are errors here
            assert cell.ask("What is 2 + 3?").status == "completed"
        file.unlink()
        cells[3].ask("What is 2 + 3?")
    recording.close()
    with Ledger(file) as ledger:
        assert ledger.runs()["prompt"] == ["What is 2 + 3?"]


@posix
def test_a_cassette_that_cannot_be_written_any_more_costs_no_answer(tmp_path: Path) -> None:
    file = tmp_path / "demo.jsonl"
    with dashnb.connect("local", database=":memory:", record=file) as client:
        client.threads.create()
        tape = client._pool.http._transport._tape  # type: ignore[attr-defined]
        tape.close()
        tape._file = open("/dev/full", "wb")  # noqa: SIM115 # the tape closes it
        with dashnb.Session(client=client, ledger=None) as session:
            with pytest.warns(RuntimeWarning, match="demo.jsonl ends here") as said:
                assert session.ask("What is 2 + 3?").status == "completed"
            assert len(said) == 1
            assert session.ask("What is 2 + 4?").status == "completed"
    assert file.read_text().count('"request"') == 1


@posix
def test_a_cassette_is_not_recorded_to_a_database_and_takes_no_lock_from_it(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    with dashnb.connect("local", database=str(file)) as client, closing(Store(str(file))) as store:
        client.threads.create()
        before = locks_of(file)
        with pytest.raises(ConfigurationError, match="is no cassette"):
            dashnb.connect("local", database=":memory:", record=file)
        assert locks_of(file) == before != []
        assert store.count("threads") == 1
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigurationError, match="named pipe"):
        dashnb.connect("local", database=":memory:", record=tmp_path / "pipe")


@posix
def test_a_pipe_among_the_names_of_conversations_is_passed_over(tmp_path: Path) -> None:
    names = Names(tmp_path, "local")
    names.keep(Entry("trip", "thread_1"))
    (kept,) = tmp_path.iterdir()
    os.mkfifo(kept.with_name(kept.name.replace(".json", "0.json")))
    assert list(names.entries()) == ["trip"]
