"""Files of SQLite: what several processes write is all there, wherever the file lies, and what is wrong is said."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from dashnb.history.ledger import Ledger
from dashnb.local.documents.library import Document, Library
from dashnb.local.store import Store
from dashnb.protocol.events import event_of
from dashnb.protocol.state import RunState

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


def put_one(file: Path) -> None:
    with Library(file) as library:
        put(library, "tom")


def python(program: str, *arguments: object) -> str:
    """What another process prints."""
    ran = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, timeout=60
    )
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
