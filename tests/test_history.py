"""The functions of ``dashnb.history`` read the ledger that the settings name, and change nothing."""

from __future__ import annotations

import doctest
import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dashnb import history
from dashnb.errors import ConfigurationError, StoreError
from dashnb.history import Ledger, Table
from dashnb.history.schema import TABLES
from dashnb.protocol.events import event_of
from dashnb.protocol.state import RunState

ASKED_AT = 1795156863000
READERS = [history.runs, history.steps, history.messages, history.threads, history.tool_calls]


@pytest.fixture
def file() -> Path:
    """Where the ledger of the settings is; nothing is there yet."""
    return Path(os.environ["DASHNB_DATA_DIR"]) / "ledger.db"


def keep(file: Path, run_id: str, thread_id: str) -> None:
    state = RunState()
    state.apply(event_of("thread.run.created", {"id": run_id, "thread_id": thread_id, "status": "queued"}))
    with Ledger(file) as ledger:
        ledger.record(state, prompt=f"Hello from {run_id}", recorded_at=ASKED_AT)


def test_the_public_names_are_these() -> None:
    names = ["Kept", "Ledger", "Table", "from_notebook", "messages", "runs", "steps", "threads", "tool_calls"]
    assert history.__all__ == names
    assert all(getattr(history, name) for name in history.__all__)
    with pytest.raises(AttributeError, match="ledgers"):
        _ = history.ledgers


@pytest.mark.parametrize("read", READERS)
def test_without_a_ledger_every_table_is_empty_and_nothing_is_made(read: Callable[[], Table], file: Path) -> None:
    table = read()
    assert len(table) == 0
    assert table.columns == tuple(TABLES[table.name])
    assert not file.parent.exists()


@pytest.mark.parametrize("read", READERS)
def test_a_ledger_that_is_off_says_how_to_switch_it_on(
    read: Callable[[], Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASHNB_LEDGER", "off")
    with pytest.raises(ConfigurationError, match=r"off \(environment DASHNB_LEDGER\)[\s\S]*DASHNB_LEDGER=on"):
        read()


def test_what_was_recorded_is_read_with_the_same_filters(file: Path) -> None:
    for number in (1, 2, 3):
        keep(file, f"run_{number}", f"thread_{number % 2}")
    assert history.runs()["id"] == ["run_1", "run_2", "run_3"]
    assert history.runs(thread_id="thread_1", limit=1)["id"] == ["run_3"]
    assert history.messages(run_id="run_2")["text"] == ["Hello from run_2"]
    assert history.threads()["id"] == ["thread_1", "thread_0"]
    assert len(history.steps(run_id="run_1")) == len(history.tool_calls(thread_id="thread_1")) == 0


def test_reading_leaves_the_file_as_it_was(file: Path) -> None:
    keep(file, "run_1", "thread_1")
    before = file.read_bytes()
    for read in READERS:
        read()
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == ["ledger.db"]


def test_a_damaged_ledger_is_a_store_error(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b"?" * 4096)
    with pytest.raises(StoreError, match=r"ledger\.db"):
        history.runs()


def test_importing_the_history_imports_no_database_library() -> None:
    program = (
        "import sys, dashnb.history; "
        "sys.exit(bool({'sqlalchemy', 'pydantic', 'pandas', 'polars', 'nanoarrow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("name", ["", ".exports", ".ledger", ".rendering", ".rows", ".schema", ".table"])
def test_the_examples_in_the_docstrings_are_true(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(f"dashnb.history{name}"))
    assert failed == 0
