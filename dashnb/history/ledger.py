"""The ledger: every run, step, tool call and message, kept in one SQLite file.

* Recording a run replaces what was kept of it, in one transaction: a reader sees all of it or nothing.
* A ledger may be used from several threads, and its file from several processes.
* The file and its folder are readable by their owner only.
* A file that a newer dashnb made, or that is damaged, is left exactly as it is.
"""

from __future__ import annotations

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
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool
from sqlalchemy.schema import CreateIndex, CreateTable

from dashnb.database import MEMORY, DatabaseFile, Usage
from dashnb.database.engine import engine_of, gate_of
from dashnb.errors import StoreError
from dashnb.forks import heed
from dashnb.history.rows import Circumstances, Row, rows_of
from dashnb.history.schema import TABLES, Kind
from dashnb.history.table import Table
from dashnb.prices import Prices
from dashnb.protocol.state import RunState

SCHEMA_VERSION = 2

_TYPES: Mapping[Kind, type[sa.types.TypeEngine[Any]]] = {
    "id": sa.Text,
    "text": sa.Text,
    "integer": sa.BigInteger,
    "number": sa.Float,
    "milliseconds": sa.Float,
    "time": sa.BigInteger,
}

USAGE = Usage("The ledger", "go on without a ledger: DASHNB_LEDGER=off")


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
        self._file = DatabaseFile(str(database), USAGE, busy_timeout)
        self._ids = ids
        self._lock = threading.Lock()
        self._closed = False
        # One connection under one lock: also what keeps a database in memory the same for all threads.
        self._engine = engine_of(self._file, pool=StaticPool)
        # A ledger that is simply forgotten leaves no open file behind.
        self._end = weakref.finalize(self, self._engine.dispose)
        self._gate = gate_of(self._engine, f"The ledger {self._file.path}", in_memory=self._file.path == MEMORY)
        heed(self, child=Ledger._inherit)
        try:
            with self._gate, self._file.failures(SQLAlchemyError):
                _prepare(self._engine, self._file)
        except StoreError:
            self._closed = True
            self._end()
            raise
        self._identity = self._file.identity()

    @property
    def is_in_place(self) -> bool:
        """False once the file was moved, replaced or deleted: what is recorded now is lost to its next reader."""
        return self._file.identity() == self._identity

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
        with self._connection(writes=True) as connected:
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
            if not self._closed and not self.is_in_place:
                self._take_along()
            self._closed = True
            self._end()

    def _take_along(self) -> None:
        """Write all into a file that was moved: of one that is not in its place, SQLite leaves the log behind."""
        with (
            suppress(StoreError),
            self._gate,
            self._file.failures(SQLAlchemyError),
            closing(self._engine.raw_connection()) as connection,
        ):
            connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Ledger({self._file.path!r}{', closed' if self._closed else ''})"

    def _inherit(self) -> None:
        self._lock = threading.Lock()  # a thread of the parent may have had it

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
    def _connection(self, *, writes: bool = False) -> Iterator[sa.Connection]:
        with self._lock, self._gate, self._file.failures(SQLAlchemyError):
            if self._closed:
                raise StoreError(f"The ledger {self._file.path} is closed.")
            with self._engine.execution_options(writes=writes).begin() as connected:
                yield connected


def _prepare(engine: sa.Engine, file: DatabaseFile) -> None:
    with engine.begin() as connected:
        known = _version(connected, file)
    if known != SCHEMA_VERSION:
        # One process at a time; the second one finds everything done.
        with engine.execution_options(writes=True).begin() as connected:
            if _version(connected, file) != SCHEMA_VERSION:
                _update(connected)
    if file.log_ahead():
        engine.dispose()  # the connection of before syncs more than it now has to


def _version(connected: sa.Connection, file: DatabaseFile) -> int:
    """The format of the file, 0 if there is nothing in it yet; reading it changes nothing."""
    version = connected.exec_driver_sql("PRAGMA user_version").scalar_one()
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"The ledger {file.path} was made by a newer dashnb (format {version}, this one knows "
            f"{SCHEMA_VERSION}).\nUpdate dashnb, or {USAGE.otherwise}."
        )
    tables = set(sa.inspect(connected).get_table_names())
    if _RUNS.name not in tables if version else tables - set(_METADATA.tables):
        raise USAGE.unusable(file.path, "it is another program's database, and left as it was")
    return int(version)


def _update(connected: sa.Connection) -> None:
    """Make the tables and columns that are missing."""
    for table in _METADATA.sorted_tables:
        connected.execute(CreateTable(table, if_not_exists=True))
        for index in table.indexes:
            connected.execute(CreateIndex(index, if_not_exists=True))
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
