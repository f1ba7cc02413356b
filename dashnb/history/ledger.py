"""The ledger: every run, step, tool call and message, kept in one SQLite file.

* Recording a run replaces what was kept of it, in one transaction: a reader sees all of it or nothing.
* A ledger may be used from several threads, and its file from several processes.
* The file and its folder are readable by their owner only.
* A file that a newer dashnb made, or that is damaged, is left exactly as it is.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.pool import StaticPool
from sqlalchemy.schema import CreateIndex, CreateTable

from dashnb.errors import StoreError
from dashnb.history.rows import Circumstances, Row, rows_of
from dashnb.history.schema import TABLES, Kind
from dashnb.history.table import Table
from dashnb.prices import Prices
from dashnb.protocol.state import RunState

SCHEMA_VERSION = 2
MEMORY = ":memory:"

_TYPES: Mapping[Kind, type[sa.types.TypeEngine[Any]]] = {
    "id": sa.Text,
    "text": sa.Text,
    "integer": sa.BigInteger,
    "number": sa.Float,
    "milliseconds": sa.Float,
    "time": sa.BigInteger,
}

_SWITCH_OFF = "or go on without a ledger: DASHNB_LEDGER=off"

# What a person can do, by SQLite's primary result code.
_REMEDIES: Mapping[int, str] = {
    sqlite3.SQLITE_BUSY: "Another process has been writing for too long; try again.",
    sqlite3.SQLITE_LOCKED: "Another process has been writing for too long; try again.",
    sqlite3.SQLITE_FULL: f"Make room on the disk, {_SWITCH_OFF}.",
    sqlite3.SQLITE_READONLY: f"Make the file and its folder writable, {_SWITCH_OFF}.",
    sqlite3.SQLITE_CANTOPEN: f"Make the file and its folder readable and writable, {_SWITCH_OFF}.",
}
_REMEDY = f"Move the file away, and a new one is made; {_SWITCH_OFF}."


def _columns(table: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, _TYPES[kind]) for name, kind in TABLES[table].items()]


_METADATA = sa.MetaData()
# `number` keeps the order of recording, where two runs were made in the same millisecond.
_RUNS = sa.Table(
    "runs",
    _METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    *_columns("runs"),
    sa.UniqueConstraint("id"),
    sa.Index("runs_by_thread", "thread_id"),
)
_STEPS = sa.Table("steps", _METADATA, *_columns("steps"), sa.PrimaryKeyConstraint("run_id", "position"))
_MESSAGES = sa.Table(
    "messages",
    _METADATA,
    *_columns("messages"),
    sa.PrimaryKeyConstraint("run_id", "position"),
    sa.Index("messages_by_thread", "thread_id"),
)
_TOOL_CALLS = sa.Table(
    "tool_calls",
    _METADATA,
    sa.Column("position", sa.Integer),  # of the step in its run
    *_columns("tool_calls"),
    sa.PrimaryKeyConstraint("run_id", "position", "number"),
)
_OF_A_RUN = {"steps": _STEPS, "messages": _MESSAGES, "tool_calls": _TOOL_CALLS}


class Ledger:
    """What happened, kept: runs, steps, tool calls and messages.

    >>> from dashnb.protocol.events import event_of
    >>> state = RunState()
    >>> state.apply(event_of("thread.run.created", {"id": "run_1", "status": "queued", "thread_id": "thread_1"}))
    >>> with Ledger(":memory:") as ledger:
    ...     ledger.record(state, prompt="Hello?", recorded_at=1795156863000)
    ...     ledger.runs()["prompt"], ledger.messages()["role"]
    'run_1'
    (['Hello?'], ['user'])

    Args:
        database: A file, made with its folder if it is missing, or ``:memory:``.
        ids: Makes the ids of requests that never became a run.
        busy_timeout: Seconds to wait while another process writes.

    Raises:
        StoreError: The file is damaged, cannot be opened, or was made by a newer dashnb.
    """

    def __init__(self, database: str | Path, *, ids: Callable[[], object] = uuid4, busy_timeout: float = 10.0) -> None:
        self._database = str(database)
        self._ids = ids
        self._lock = threading.Lock()
        self._closed = False
        with self._failures():
            known = _version(self._database)
        if known > SCHEMA_VERSION:
            raise StoreError(
                f"The ledger {self._database} was made by a newer dashnb (format {known}, this one knows "
                f"{SCHEMA_VERSION}).\nUpdate dashnb, {_SWITCH_OFF}."
            )
        self._engine = _engine(self._database, busy_timeout)
        # A ledger that is simply forgotten leaves no open file behind.
        self._end = weakref.finalize(self, self._engine.dispose)
        try:
            with self._failures():
                _prepare(self._engine, self._database, known)
        except StoreError:
            self.close()
            raise

    # --- writing ---------------------------------------------------------------------------

    def record(
        self,
        state: RunState,
        *,
        prompt: str,
        recorded_at: int,
        prompt_id: str = "",
        engine: str = "",
        connection: str = "",
        prices: Prices | None = None,
    ) -> str:
        """Keep everything of one run, and return the id of its row; recording it again replaces it.

        A request that failed before there was a run gets a new id that begins with ``request_``.

        Args:
            state: The run as far as it came.
            prompt: What the person asked; ``""`` adds no message of the user.
            recorded_at: When the request was sent, in milliseconds since 1970.
            prompt_id: The id of the message with the prompt, if known.
            engine: Who answered on the embedded API.
            connection: Where the run was made: ``local``, ``cloud``, ``cloud-intl`` or a URL.
            prices: What models cost; the built-in prices if left out.

        Raises:
            StoreError: The rows cannot be written; nothing of the run was changed.
        """
        key = state.id or f"request_{self._ids()}"
        about = Circumstances(key, prompt, prompt_id, engine, connection, recorded_at, prices)
        rows = rows_of(state, about)
        with self._connection() as connected:
            return _replace(connected, rows)

    # --- reading ---------------------------------------------------------------------------

    def runs(self, *, thread_id: str | None = None, limit: int | None = None) -> Table:
        """The runs, oldest first.

        Args:
            thread_id: Only those of one thread.
            limit: Only the newest so many.
        """
        return self._table("runs", sa.select(*_visible(_RUNS)), [], thread_id=thread_id, limit=limit)

    def steps(self, *, run_id: str | None = None, thread_id: str | None = None, limit: int | None = None) -> Table:
        """The steps of all runs, oldest first; of several calls in one step, each is a line of its texts.

        Args:
            run_id: Only those of one run.
            thread_id: Only those of one thread.
            limit: Only the newest so many.
        """
        return self._rows_of_runs("steps", [_STEPS.c.position], run_id, thread_id, limit)

    def messages(self, *, thread_id: str | None = None, run_id: str | None = None, limit: int | None = None) -> Table:
        """The messages, oldest first: of each run the prompt, then what the assistant wrote.

        Args:
            thread_id: Only those of one thread.
            run_id: Only those of one run.
            limit: Only the newest so many.
        """
        return self._rows_of_runs("messages", [_MESSAGES.c.position], run_id, thread_id, limit)

    def tool_calls(self, *, run_id: str | None = None, thread_id: str | None = None, limit: int | None = None) -> Table:
        """The tool calls of all steps, oldest first.

        Args:
            run_id: Only those of one run.
            thread_id: Only those of one thread.
            limit: Only the newest so many.
        """
        order = [_TOOL_CALLS.c.position, _TOOL_CALLS.c.number]
        return self._rows_of_runs("tool_calls", order, run_id, thread_id, limit)

    def threads(self, *, limit: int | None = None) -> Table:
        """The threads, the one that began first first, with the number of their runs and messages.

        Args:
            limit: Only those that began last, so many.
        """
        messages = sa.select(sa.func.count()).where(_MESSAGES.c.thread_id == _RUNS.c.thread_id).scalar_subquery()
        first_at, began = sa.func.min(_RUNS.c.created_at), sa.func.min(_RUNS.c.number)
        query = (
            sa.select(
                _RUNS.c.thread_id,
                sa.func.count(),
                messages,
                first_at,
                sa.func.max(_RUNS.c.created_at),
                sa.func.sum(_RUNS.c.total_tokens),
            )
            .where(_RUNS.c.thread_id != "")
            .group_by(_RUNS.c.thread_id)
            .order_by(first_at.desc(), began.desc())
            .limit(limit)
        )
        return Table(TABLES["threads"], self._read(query)[::-1], name="threads")

    # --- opening and closing ---------------------------------------------------------------

    def close(self) -> None:
        """Close the file. Closing twice does nothing."""
        with self._lock:
            self._closed = True
            self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Ledger({self._database!r}{', closed' if self._closed else ''})"

    # --- what it is made of ----------------------------------------------------------------

    def _rows_of_runs(
        self,
        name: str,
        order: Sequence[sa.ColumnElement[Any]],
        run_id: str | None,
        thread_id: str | None,
        limit: int | None,
    ) -> Table:
        rows = _OF_A_RUN[name]
        query = sa.select(*_visible(rows)).join_from(rows, _RUNS, rows.c.run_id == _RUNS.c.id)
        if run_id is not None:
            query = query.where(rows.c.run_id == run_id)
        return self._table(name, query, order, thread_id=thread_id, limit=limit)

    def _table(
        self,
        name: str,
        query: sa.Select[Any],
        order: Sequence[sa.ColumnElement[Any]],
        *,
        thread_id: str | None,
        limit: int | None,
    ) -> Table:
        if thread_id is not None:
            query = query.where(_RUNS.c.thread_id == thread_id)
        # The newest are read first, so that a limit keeps them, and then turned round.
        newest = (_RUNS.c.created_at.desc(), _RUNS.c.number.desc(), *(column.desc() for column in order))
        rows = self._read(query.order_by(*newest).limit(limit))
        return Table(TABLES[name], rows[::-1], name=name)

    def _read(self, query: sa.Select[Any]) -> list[tuple[Any, ...]]:
        with self._connection() as connected:
            return [tuple(row) for row in connected.execute(query)]

    @contextmanager
    def _connection(self) -> Iterator[sa.Connection]:
        with self._lock, self._failures():
            if self._closed:
                raise StoreError(f"The ledger {self._database} is closed.")
            with self._engine.begin() as connected:
                yield connected

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except (sa.exc.SQLAlchemyError, sqlite3.Error, OSError) as error:
            cause = getattr(error, "orig", None) or error
            remedy = _REMEDIES.get(getattr(cause, "sqlite_errorcode", 0) & 0xFF, _REMEDY)
            raise StoreError(f"The ledger {self._database} cannot be used: {cause}.\n{remedy}") from error


def _version(database: str) -> int:
    """The format of the file, 0 if there is none yet; reading it changes nothing."""
    if database == MEMORY or not os.path.exists(database):
        return 0
    with closing(sqlite3.connect(f"{Path(database).absolute().as_uri()}?mode=ro", uri=True)) as connected:
        version: int = connected.execute("PRAGMA user_version").fetchone()[0]
        return version


def _engine(database: str, busy_timeout: float) -> sa.Engine:
    # One connection under one lock: also what keeps a database in memory the same for all threads.
    return sa.create_engine(
        sa.URL.create("sqlite", database=database),
        poolclass=StaticPool,
        connect_args={"check_same_thread": False, "timeout": busy_timeout},
    )


def _prepare(engine: sa.Engine, database: str, known: int) -> None:
    if known == SCHEMA_VERSION:
        return
    if database != MEMORY:
        Path(database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite gives the files beside this one the same permissions.
        os.close(os.open(database, os.O_CREAT | os.O_RDWR, 0o600))
    with engine.begin() as connected:
        # SQLite does not wait for its turn here; who is refused finds the file switched by the other.
        with suppress(sa.exc.OperationalError):
            connected.exec_driver_sql("PRAGMA journal_mode = WAL")
        # Two processes may do this at the same time: each statement is right the second time as well.
        for table in _METADATA.sorted_tables:
            connected.execute(CreateTable(table, if_not_exists=True))
            for index in table.indexes:
                connected.execute(CreateIndex(index, if_not_exists=True))
        # From here on one process at a time: a column is added once.
        connected.exec_driver_sql("BEGIN IMMEDIATE")
        for table in _METADATA.sorted_tables:
            _add_columns(connected, table)
        connected.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _add_columns(connected: sa.Connection, table: sa.Table) -> None:
    """Give a table of an older file the columns that are new since; its rows have None there."""
    present = {row[1] for row in connected.exec_driver_sql(f"PRAGMA table_info({table.name})")}
    for column in table.columns:
        if column.name not in present:
            kind = column.type.compile(connected.dialect)
            connected.exec_driver_sql(f'ALTER TABLE {table.name} ADD COLUMN "{column.name}" {kind}')


def _replace(connected: sa.Connection, rows: Mapping[str, list[Row]]) -> str:
    run = rows["runs"][0]
    connected.execute(insert(_RUNS).values(run).on_conflict_do_update(index_elements=["id"], set_=run))
    for name, table in _OF_A_RUN.items():
        connected.execute(table.delete().where(table.c.run_id == run["id"]))
        if rows[name]:
            connected.execute(table.insert(), rows[name])
    return str(run["id"])


def _visible(table: sa.Table) -> list[sa.Column[Any]]:
    return [table.c[name] for name in TABLES[table.name]]
