"""The store keeps what it was given, page by page, and leaves alone what is not its own."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashnb.errors import StoreError
from dashnb.local.schema import SCHEMA_VERSION
from dashnb.local.store import Record, RunEnded, Store
from dashnb.protocol.requests import ListQuery

posix = pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")


@pytest.fixture
def store() -> Iterator[Store]:
    with closing(Store(":memory:")) as opened:
        yield opened


def thread(name: str = "thread_1", **more: Any) -> Record:
    return {"id": name, "created_at": 1, "metadata": {}, **more}


def message(name: str, thread_id: str = "thread_1", **more: Any) -> Record:
    return {"id": name, "created_at": 2, "thread_id": thread_id, "text": "Hello", **more}


def run(name: str = "run_1", thread_id: str = "thread_1", status: str = "queued", **more: Any) -> Record:
    return {"id": name, "created_at": 3, "thread_id": thread_id, "status": status, **more}


def keep(store: Store, table: str, *records: Record) -> None:
    with store.begin() as change:
        for record in records:
            change.insert(table, record)


def log(store: Store, run_id: str, *names: str) -> list[int]:
    with store.begin() as change:
        return [event.seq for event in change.append(run_id, [(name, "{}") for name in names])]


# --- records -------------------------------------------------------------------------------------


def test_a_record_comes_back_as_it_was_kept_and_with_nothing_added(store: Store) -> None:
    kept = thread(metadata={"topic": "天气", "n": None}, nested={"a": [1, {"b": None}]}, zero=0, text="")
    keep(store, "threads", kept)
    assert store.get("threads", "thread_1") == kept


def test_an_update_changes_the_named_fields_only_and_answers_the_whole_record(store: Store) -> None:
    keep(store, "runs", run(model="qwen-max", usage=None))
    with store.begin() as change:
        changed = change.update("runs", "run_1", usage={"total_tokens": 3})
    assert changed == run(model="qwen-max", usage={"total_tokens": 3})
    assert store.get("runs", "run_1") == changed


def test_updating_what_is_not_there_changes_nothing(store: Store) -> None:
    with store.begin() as change:
        assert change.update("threads", "thread_9", metadata={"a": "b"}) is None
    assert store.every("threads") == []


def test_a_record_is_found_under_its_own_parents_only(store: Store) -> None:
    keep(store, "messages", message("message_1"))
    assert store.get("messages", "message_1", thread_id="thread_1") == message("message_1")
    assert store.get("messages", "message_1", thread_id="thread_2") is None
    assert store.get("messages", "message_2") is None


def test_an_id_is_kept_once(store: Store) -> None:
    keep(store, "threads", thread())
    with pytest.raises(Exception, match="UNIQUE"):
        keep(store, "threads", thread())
    assert store.every("threads") == [thread()]


def test_a_transaction_that_fails_keeps_nothing(store: Store) -> None:
    keep(store, "threads", thread())

    def fail() -> None:
        with store.begin() as change:
            change.insert("messages", message("message_1"))
            change.update("threads", "thread_1", metadata={"a": "b"})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert store.every("messages") == []
    assert store.get("threads", "thread_1") == thread()


def test_delete_says_whether_there_was_something(store: Store) -> None:
    keep(store, "threads", thread())
    with store.begin() as change:
        assert change.delete("threads", "thread_1")
        assert not change.delete("threads", "thread_1")


def test_deleting_children_takes_those_of_this_parent_and_the_logs_of_its_runs(store: Store) -> None:
    for thread_id in ("thread_1", "thread_2"):
        keep(store, "threads", thread(thread_id))
        keep(store, "messages", message(f"message_{thread_id}", thread_id))
        keep(store, "runs", run(f"run_{thread_id}", thread_id))
        log(store, f"run_{thread_id}", "thread.run.created", "done")
    with store.begin() as change:
        for table in ("messages", "runs"):
            change.delete_children(table, thread_id="thread_1")
    assert [record["id"] for record in store.every("messages")] == ["message_thread_2"]
    assert [record["id"] for record in store.every("runs")] == ["run_thread_2"]
    assert store.events("run_thread_1") == []
    assert len(store.events("run_thread_2")) == 2


def test_a_new_run_does_not_inherit_the_log_of_a_deleted_one(store: Store) -> None:
    keep(store, "runs", run("run_1"))
    log(store, "run_1", "thread.run.created")
    with store.begin() as change:
        change.delete_children("runs", thread_id="thread_1")
    keep(store, "runs", run("run_2"))
    assert store.events("run_2") == []


@pytest.mark.parametrize(
    ("count", "expected"), [(0, []), (1, [4]), (3, [2, 3, 4]), (9, [0, 1, 2, 3, 4]), (None, [0, 1, 2, 3, 4])]
)
def test_the_newest_records_come_oldest_first(store: Store, count: int | None, expected: list[int]) -> None:
    keep(store, "messages", *(message(f"message_{n}") for n in range(5)), message("message_x", "thread_2"))
    found = store.newest("messages", count, thread_id="thread_1")
    assert [record["id"] for record in found] == [f"message_{n}" for n in expected]


# --- pages ---------------------------------------------------------------------------------------


@given(
    size=st.integers(0, 12),
    limit=st.integers(1, 14),
    order=st.sampled_from(["asc", "desc"]),
    side=st.sampled_from(["after", "before", None]),
    data=st.data(),
)
def test_a_page_is_the_slice_of_the_whole_list(
    size: int, limit: int, order: Literal["asc", "desc"], side: str | None, data: st.DataObject
) -> None:
    names = [f"message_{n}" for n in range(size)]
    whole = names if order == "asc" else names[::-1]
    anchor = data.draw(st.sampled_from(names)) if side and names else None
    if anchor is None:
        rest, expected = whole, whole[:limit]
    elif side == "after":
        rest = whole[whole.index(anchor) + 1 :]
        expected = rest[:limit]
    else:
        rest = whole[: whole.index(anchor)]
        expected = rest[-limit:]
    query = ListQuery.model_validate({"limit": limit, "order": order} | ({side: anchor} if anchor and side else {}))
    with closing(Store(":memory:")) as store:
        for name in names:  # between two entries of this list, one of another
            keep(store, "messages", message(name), message(f"other_{name}", "thread_2"))
        found, more = store.page("messages", query, thread_id="thread_1")
    assert [record["id"] for record in found] == expected
    assert more == (len(rest) > limit)


@given(
    size=st.integers(0, 12), length=st.integers(1, 5), number=st.integers(1, 5), order=st.sampled_from(["asc", "desc"])
)
def test_a_numbered_page_is_the_slice_of_the_whole_list(
    size: int, length: int, number: int, order: Literal["asc", "desc"]
) -> None:
    names = [f"message_{n}" for n in range(size)]
    whole = names if order == "asc" else names[::-1]
    with closing(Store(":memory:")) as store:
        keep(store, "messages", *map(message, names))
        query = ListQuery(page_no=number, page_size=length, order=order)
        found, more = store.page("messages", query, thread_id="thread_1")
    assert [record["id"] for record in found] == whole[(number - 1) * length :][:length]
    assert more == (size > number * length)


@given(size=st.integers(0, 12), limit=st.integers(1, 5), order=st.sampled_from(["asc", "desc"]))
def test_walking_the_pages_by_after_meets_every_entry_once(
    size: int, limit: int, order: Literal["asc", "desc"]
) -> None:
    names = [f"message_{n}" for n in range(size)]
    with closing(Store(":memory:")) as store:
        keep(store, "messages", *map(message, names))
        met: list[str] = []
        more = True
        while more:
            query = ListQuery(limit=limit, order=order, after=met[-1] if met else None)
            found, more = store.page("messages", query, thread_id="thread_1")
            met += [record["id"] for record in found]
    assert met == (names if order == "asc" else names[::-1])


@pytest.mark.parametrize("side", ["after", "before"])
def test_a_page_cannot_begin_at_an_entry_of_another_list(store: Store, side: str) -> None:
    keep(store, "messages", message("message_1"), message("message_2", "thread_2"))
    with pytest.raises(KeyError):
        store.page("messages", ListQuery.model_validate({side: "message_2"}), thread_id="thread_1")


def test_entries_of_the_same_millisecond_keep_the_order_of_their_creation(store: Store) -> None:
    names = ["message_b", "message_a", "message_c"]
    keep(store, "messages", *map(message, names))
    assert [record["id"] for record in store.page("messages", ListQuery(order="asc"))[0]] == names


# --- runs and their logs -------------------------------------------------------------------------


def test_a_run_moves_only_from_the_named_statuses(store: Store) -> None:
    keep(store, "runs", run(status="in_progress"))
    with store.begin() as change:
        assert change.move_run("run_1", "queued", among=["requires_action"], spent=1) is None
        moved = change.move_run("run_1", "completed", among=["in_progress", "cancelling"], usage={})
        assert change.move_run("run_1", "failed", among=["in_progress", "cancelling"]) is None
        assert change.move_run("run_9", "failed", among=["queued"]) is None
    assert moved == run(status="completed", usage={})
    assert store.get("runs", "run_1") == moved


def test_of_many_movers_one_moves_the_run(tmp_path: Path) -> None:
    with closing(Store(str(tmp_path / "a.db"))) as store:
        keep(store, "runs", run(status="requires_action"))
        start = threading.Barrier(8)
        moved: list[Record | None] = []

        def move() -> None:
            start.wait(10)
            with store.begin() as change:
                moved.append(change.move_run("run_1", "queued", among=["requires_action"]))

        threads = [threading.Thread(target=move) for _ in range(8)]
        for mover in threads:
            mover.start()
        for mover in threads:
            mover.join()
    assert len([record for record in moved if record is not None]) == 1
    assert len(moved) == 8


def test_the_numbers_of_a_log_begin_at_one_and_have_no_gaps(store: Store) -> None:
    keep(store, "runs", run("run_1"), run("run_2"))
    assert log(store, "run_1", "a", "b") == [1, 2]
    assert log(store, "run_2", "a") == [1]
    assert log(store, "run_1", "c") == [3]
    assert [(event.seq, event.name, event.data, event.id) for event in store.events("run_1", after=1)] == [
        (2, "b", "{}", "run_1:2"),
        (3, "c", "{}", "run_1:3"),
    ]
    assert store.events("run_1", after=3) == []
    assert store.events("run_9") == []


def test_appending_nothing_changes_nothing(store: Store) -> None:
    keep(store, "runs", run())
    assert log(store, "run_1") == []
    assert store.events("run_1") == []


def test_an_append_that_fails_leaves_no_gap(store: Store) -> None:
    keep(store, "runs", run())

    def fail() -> None:
        with store.begin() as change:
            change.append("run_1", [("a", "{}")])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert log(store, "run_1", "b") == [1]


def test_nothing_is_appended_to_a_run_that_is_gone(store: Store) -> None:
    with pytest.raises(RunEnded):
        log(store, "run_1", "a")


def test_nothing_is_appended_behind_the_end_of_a_run(store: Store) -> None:
    keep(store, "runs", run(status="cancelled"))
    log(store, "run_1", "thread.run.cancelled", "done")
    with pytest.raises(RunEnded):
        log(store, "run_1", "thread.message.delta")
    assert [event.name for event in store.events("run_1")] == ["thread.run.cancelled", "done"]


def test_a_run_that_waited_for_outputs_goes_on_behind_its_done(store: Store) -> None:
    keep(store, "runs", run(status="queued"))
    log(store, "run_1", "thread.run.requires_action", "done")
    assert log(store, "run_1", "thread.run.queued") == [3]


def test_writers_of_one_log_on_one_file_do_not_meet_in_a_number(tmp_path: Path) -> None:
    stores = [Store(str(tmp_path / "a.db")) for _ in range(4)]
    keep(stores[0], "runs", run())
    failed: list[Exception] = []

    def write(store: Store) -> None:
        try:
            for _ in range(25):
                log(store, "run_1", "a")
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(store,)) for store in stores]
    for writer in threads:
        writer.start()
    for writer in threads:
        writer.join()
    numbers = [event.seq for event in stores[0].events("run_1")]
    for store in stores:
        store.close()
    assert failed == []
    assert numbers == list(range(1, 101))


def test_two_writers_of_one_record_do_not_undo_each_other(tmp_path: Path) -> None:
    """Notebooks share one database: a metadata update must not bring a finished run back to life."""
    stores = [Store(str(tmp_path / "a.db")) for _ in range(2)]
    keep(stores[0], "runs", run(counts={}))

    def count(name: str, store: Store) -> None:
        for _ in range(40):
            with store.begin() as change:
                record = change.get("runs", "run_1")
                assert record is not None
                change.update("runs", "run_1", counts={**record["counts"], name: record["counts"].get(name, 0) + 1})

    threads = [threading.Thread(target=count, args=pair) for pair in zip("ab", stores, strict=True)]
    for writer in threads:
        writer.start()
    for writer in threads:
        writer.join()
    record = stores[0].get("runs", "run_1")
    for store in stores:
        store.close()
    assert record is not None
    assert record["counts"] == {"a": 40, "b": 40}


# --- files ---------------------------------------------------------------------------------------


def test_what_was_kept_survives_reopening(tmp_path: Path) -> None:
    file = str(tmp_path / "deep" / "er" / "assistant.db")
    with closing(Store(file)) as store:
        keep(store, "runs", run(metadata={"名": "值"}))
        log(store, "run_1", "a", "b")
    with closing(Store(file)) as store:
        assert store.get("runs", "run_1") == run(metadata={"名": "值"})
        assert log(store, "run_1", "c") == [3]


@pytest.mark.parametrize("name", ["a b.db", "weird?mode=ro.db", "100%.db", "a#b.db", "天.db"])
def test_any_file_name_is_taken_as_it_is(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    with closing(Store(str(file))) as store:
        keep(store, "threads", thread())
    with closing(sqlite3.connect(file)) as opened:
        assert opened.execute("SELECT id FROM threads").fetchall() == [("thread_1",)]


def test_memory_is_empty_each_time_and_makes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        with closing(Store(":memory:")) as store:
            keep(store, "threads", thread())
    assert list(tmp_path.iterdir()) == []


def test_memory_is_shared_by_threads(store: Store) -> None:
    worker = threading.Thread(target=keep, args=(store, "threads", thread()))
    worker.start()
    worker.join()
    assert store.get("threads", "thread_1") == thread()


@posix
def test_only_the_owner_reads_the_file(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with closing(Store(str(tmp_path / "new" / "a.db"))) as store:
            keep(store, "threads", thread())
            files = list((tmp_path / "new").iterdir())
            assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    finally:
        os.umask(before)


def newer(file: Path, *, wal: bool) -> None:
    with closing(Store(str(file))) as store:
        keep(store, "threads", thread())
    with closing(sqlite3.connect(file)) as opened:
        opened.execute("UPDATE schema_version SET version = ?", (SCHEMA_VERSION + 1,))
        opened.commit()
        opened.execute(f"PRAGMA journal_mode={'WAL' if wal else 'DELETE'}")


@pytest.mark.parametrize("wal", [True, False])
def test_a_database_of_a_newer_version_is_refused_and_left_as_it_was(tmp_path: Path, wal: bool) -> None:
    file = tmp_path / "a.db"
    newer(file, wal=wal)
    before = file.read_bytes()
    with pytest.raises(StoreError, match=r"newer dashnb \(version 3\)") as caught:
        Store(str(file))
    assert len(str(caught.value).splitlines()) <= 3
    assert "DASHNB_DATABASE" in str(caught.value)
    assert file.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["a.db"]


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\x00" + b"\xff" * 5000, b"x"])
def test_a_damaged_file_is_named_and_left_as_it_was(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.db"
    file.write_bytes(content)
    with pytest.raises(StoreError, match="cannot be used") as caught:
        Store(str(file))
    assert str(file) in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 3
    assert file.read_bytes() == content


@pytest.mark.parametrize("inside", [False, True])
def test_a_place_that_takes_no_file_is_named(tmp_path: Path, inside: bool) -> None:
    (tmp_path / "file").write_text("not a folder")
    place = tmp_path / "file" / "a.db" if inside else tmp_path
    with pytest.raises(StoreError, match="cannot be") as caught:
        Store(str(place))
    assert len(str(caught.value).splitlines()) <= 3


@posix
@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StoreError, match="cannot be created: Permission denied") as caught:
            Store(str(tmp_path / "a.db"))
    finally:
        tmp_path.chmod(0o700)
    assert len(str(caught.value).splitlines()) <= 3


@pytest.mark.parametrize("url", ["nonsense://user:canary@host/db", "://", "mysql+nothing://user:canary@host/db"])
def test_a_database_url_that_nobody_serves_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(StoreError) as caught:
        Store(url)
    assert "canary" not in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 3


def test_a_database_url_is_shown_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        Store(f"sqlite://user:canary@/{tmp_path}")
    assert "canary" not in str(caught.value)


def test_a_database_may_be_given_as_url(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    with closing(Store(f"sqlite:///{file}")) as store:
        keep(store, "threads", thread())
    with closing(Store(str(file))) as store:
        assert store.get("threads", "thread_1") == thread()


def _open(file: str) -> None:
    Store(file).close()


@pytest.mark.slow
def test_notebooks_that_start_together_make_one_database(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    for attempt in range(3):
        processes = [context.Process(target=_open, args=(str(tmp_path / f"{attempt}.db"),)) for _ in range(4)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0, 0, 0, 0]


def test_stores_opened_at_the_same_moment_make_one_database(tmp_path: Path) -> None:
    start = threading.Barrier(6)
    failed: list[Exception] = []

    def open_one() -> None:
        start.wait(10)
        try:
            Store(str(tmp_path / "a.db")).close()
        except StoreError as error:
            failed.append(error)

    threads = [threading.Thread(target=open_one) for _ in range(6)]
    for opener in threads:
        opener.start()
    for opener in threads:
        opener.join()
    assert failed == []
    with closing(sqlite3.connect(tmp_path / "a.db")) as opened:
        assert opened.execute("SELECT version FROM schema_version").fetchall() == [(SCHEMA_VERSION,)]
