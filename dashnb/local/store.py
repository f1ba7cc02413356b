"""Where the embedded API keeps everything: one database, through SQLAlchemy Core.

Every object is a row with the columns that are searched by and one JSON column with the rest; a
`Record` is both, as one dict. The log of a run's events is a table of its own: an event is committed
before anybody sees it, together with the change it tells about.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from types import NoneType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from dashnb.database import MEMORY
from dashnb.database.diagnosis import STUMBLES
from dashnb.database.engine import Failure, engine_of, gate_of, options, prepared
from dashnb.errors import StoreError
from dashnb.local.migrations import MIGRATIONS
from dashnb.local.place import USAGE, file_of, shown, unusable
from dashnb.local.schema import SCHEMA_VERSION, TABLES, events, metadata, owners, schema_version
from dashnb.protocol.lifecycle import ACTIVE_RUN_STATUSES, is_final
from dashnb.protocol.requests import ListQuery

Record = dict[str, Any]
# The position of what is told to readers and not kept.
NOT_KEPT = 0


_FAILURES: tuple[type[Exception], ...] = (SQLAlchemyError, *STUMBLES)


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """One row of a run's log.

    Attributes:
        run_id: The run.
        seq: Position in the run's log, from 1, without gaps; `NOT_KEPT` if it is told and not kept.
        name: The event's name; ``done`` ends a stream.
        data: The event's data, as it goes over the wire.
    """

    run_id: str
    seq: int
    name: str
    data: str

    @property
    def is_kept(self) -> bool:
        """Whether it is in the log."""
        return self.seq != NOT_KEPT

    @property
    def id(self) -> str:
        """What a reader hands back to go on behind this event; ``""`` if it has no place of its own."""
        return f"{self.run_id}:{self.seq}" if self.is_kept else ""


class RunEnded(LookupError):
    """A run was deleted, or ended by somebody else: nothing can be written to its log any more."""


class RunCancelling(RuntimeError):
    """Somebody, perhaps in another process, wants this run to end: whoever works on it is to stop."""


class Store:
    """The database of one embedded API.

    It may be used by any number of threads. SQLite takes one change at a time, and a database in memory, which has
    one connection, one look at a time: they wait for each other here, in order, and not inside SQLite.

    >>> store = Store(":memory:")
    >>> with store.begin() as change:
    ...     change.insert("threads", {"id": "thread_1", "created_at": 1, "metadata": {}})
    >>> store.get("threads", "thread_1")
    {'id': 'thread_1', 'created_at': 1, 'metadata': {}}
    >>> store.close()

    Args:
        database: A file, ``:memory:``, or a database URL.

    Attributes:
        database: The same, without a password.

    Raises:
        StoreError: The file is no database, cannot be written, or is of a newer version; it is left as it was.
    """

    def __init__(self, database: str) -> None:
        self.database = shown(database)
        try:
            self._file = file_of(database)
            self._engine = (
                engine_of(self._file)
                if self._file
                else prepared(sa.create_engine(database, **options(self._failure)), self._failure)
            )
        except (SQLAlchemyError, ImportError, ValueError, TypeError) as error:
            raise unusable(self.database, error) from error
        in_memory = self._file is not None and self._file.path == MEMORY
        self._gate = gate_of(self._engine, f"The database {self.database}", in_memory=in_memory)
        # Behind the gate, so that nobody has one of them while the process forks.
        one_at_a_time, anything = threading.RLock(), nullcontext()
        self._to_write = one_at_a_time if self._engine.name == "sqlite" else anything
        self._to_read = one_at_a_time if in_memory else anything
        # A change reads before it writes; on SQLite it has to be alone from its first look.
        self._writing = self._engine.execution_options(writes=True)
        try:
            with self._gate:
                while not self._is_current():
                    pass
                if self._file and self._file.log_ahead():
                    self._engine.dispose()  # connections of before sync more than they now have to
        except _FAILURES as error:
            self.close()
            raise self._failure(error) from error
        except BaseException:
            self.close()
            raise

    def _failure(self, error: Exception) -> StoreError:
        return self._file.failure(error) if self._file else unusable(self.database, error)

    def _is_current(self) -> bool:
        """True if the schema is that of today; else it has come one version closer to it."""
        with self._writing.begin() as connection:
            tables = sa.inspect(connection).get_table_names()
            if schema_version.name not in tables:
                if tables and self._file:
                    raise USAGE.unusable(self.database, "it is another program's database, and left as it was")
                metadata.create_all(connection)
                connection.execute(schema_version.insert().values(version=SCHEMA_VERSION))
                return True
            version = connection.scalar(sa.select(schema_version.c.version))
            if not isinstance(version, int):
                raise USAGE.unusable(self.database, "it does not say of which version it is")
            if version > SCHEMA_VERSION:
                raise StoreError(
                    f"The database {self.database} was written by a newer dashnb (version {version}).\n"
                    "Update dashnb, or name another database with DASHNB_DATABASE."
                )
            if version in MIGRATIONS:
                MIGRATIONS[version](connection)
                version += 1
                connection.execute(schema_version.update().values(version=version))
            elif self._file:
                # A write that changes nothing: a database that cannot be written is to be refused now.
                connection.exec_driver_sql("PRAGMA user_version = 0")
            return version not in MIGRATIONS

    @contextmanager
    def begin(self) -> Iterator[Change]:
        """A transaction: all of its changes are kept, or none."""
        with self._gate, self._to_write, self._writing.begin() as connection:
            yield Change(connection, self._failure)

    @contextmanager
    def failures(self) -> Iterator[None]:
        """What damaged records make of those who work with them becomes a `StoreError`."""
        try:
            yield
        except _FAILURES as error:
            raise self._failure(error) from error

    @contextmanager
    def _reading(self) -> Iterator[Change]:
        with self._gate, self._to_read, self._engine.connect() as connection:
            yield Change(connection, self._failure)

    def get(self, table: str, object_id: str, **parents: str) -> Record | None:
        """The record with this id and these parents, or None."""
        with self._reading() as change:
            return change.get(table, object_id, **parents)

    def page(self, table: str, query: ListQuery, **parents: str) -> tuple[list[Record], bool]:
        """One page of records, and whether there are more behind it.

        Raises:
            KeyError: ``after`` or ``before`` names nothing in this list.
        """
        rows = TABLES[table]
        newest_first = query.order == "desc"
        with self._reading() as change:
            select = _select(rows, parents)
            if anchor_id := query.after or query.before:
                anchor = change.scalar(_select(rows, {**parents, "id": anchor_id}).with_only_columns(rows.c.key))
                if anchor is None:
                    raise KeyError(anchor_id)
                behind = bool(query.after) == newest_first
                select = select.where(rows.c.key < anchor if behind else rows.c.key > anchor)
            # A page that ends before an entry is read backwards from that entry.
            descending = newest_first != bool(query.before)
            select = select.order_by(rows.c.key.desc() if descending else rows.c.key)
            found = change.records(select.limit(query.size + 1).offset(query.skipped))
        more = len(found) > query.size
        found = found[: query.size]
        return (found[::-1] if query.before else found), more

    def every(self, table: str, **parents: str) -> list[Record]:
        """All records with these parents, in the order of their creation."""
        with self._reading() as change:
            return change.every(table, **parents)

    def count(self, table: str) -> int:
        """How many records there are."""
        with self._reading() as change:
            return int(change.scalar(sa.select(sa.func.count()).select_from(TABLES[table])))

    def newest(self, table: str, count: int | None, **parents: str) -> list[Record]:
        """The last records with these parents, oldest first; all of them if ``count`` is None."""
        rows = TABLES[table]
        with self._reading() as change:
            return change.records(_select(rows, parents).order_by(rows.c.key.desc()).limit(count))[::-1]

    def events(self, run_id: str, *, after: int = 0) -> list[LoggedEvent]:
        """The events of a run's log behind a position, in order."""
        with self._reading() as change:
            return change.events(run_id, after=after)

    def active_runs(self, **parents: str) -> list[Record]:
        """All runs with these parents that have not ended, in the order of their creation."""
        with self._reading() as change:
            return change.active_runs(**parents)

    def owned_until(self, owner: str) -> int | None:
        """The last sign of life of an owner of runs; None if it has left."""
        with self._reading() as change:
            until = change.scalar(sa.select(owners.c.until).where(owners.c.id == owner))
            return until if isinstance(until, int) else None

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def forget(self) -> None:
        """Let all connections be as they are: in a forked process they are those of its parent."""
        self._engine.dispose(close=False)


class Change:
    """What can be done inside one transaction."""

    def __init__(self, connection: Connection, failure: Failure) -> None:
        self._connection = connection
        self._failure = failure

    def records(self, select: sa.Select[Any]) -> list[Record]:
        """The records that a selection of whole rows finds."""
        rows = self._connection.execute(select).all()
        try:
            return [_Kept(_record(row), self._failure) for row in rows]
        except (TypeError, ValueError) as error:
            raise self._failure(error) from error

    def scalar(self, select: sa.Select[Any]) -> Any:
        """The first value of a selection, None if it is empty."""
        return self._connection.scalar(select)

    def get(self, table: str, object_id: str, **parents: str) -> Record | None:
        """The record with this id and these parents, or None."""
        return next(iter(self.records(_select(TABLES[table], {**parents, "id": object_id}))), None)

    def lock(self, table: str, object_id: str) -> Record | None:
        """The same, and nobody else changes it before this transaction ends."""
        return next(iter(self.records(_select(TABLES[table], {"id": object_id}).with_for_update())), None)

    def every(self, table: str, **parents: str) -> list[Record]:
        """All records with these parents, in the order of their creation."""
        rows = TABLES[table]
        return self.records(_select(rows, parents).order_by(rows.c.key))

    def active_runs(self, **parents: str) -> list[Record]:
        """All runs with these parents that have not ended, in the order of their creation."""
        runs = TABLES["runs"]
        select = _select(runs, parents).where(runs.c.status.in_(sorted(ACTIVE_RUN_STATUSES)))
        return self.records(select.order_by(runs.c.key))

    def events(self, run_id: str, *, after: int = 0) -> list[LoggedEvent]:
        """The events of a run's log behind a position, in order."""
        select = sa.select(events.c.seq, events.c.name, events.c.data)
        select = select.where(events.c.run_key == _run_key(run_id), events.c.seq > after).order_by(events.c.seq)
        rows = self._connection.execute(select).all()
        damaged = [row for row in rows if not (isinstance(row.name, str) and isinstance(row.data, str))]
        if damaged:
            raise self._failure(ValueError(f"an event of {run_id} is no text"))
        return [LoggedEvent(run_id, *row) for row in rows]

    def logged(self, run_id: str, name: str) -> list[str]:
        """The data of all events of this name in a run's log, in order."""
        select = sa.select(events.c.data).where(events.c.run_key == _run_key(run_id), events.c.name == name)
        return list(self._connection.scalars(select.order_by(events.c.seq)))

    def insert(self, table: str, *records: Record) -> None:
        """Keep new records, in this order and with one statement."""
        rows = TABLES[table]
        if records:
            self._connection.execute(rows.insert(), [_columns(rows, record) for record in records])

    def update(self, table: str, object_id: str, **fields: Any) -> Record | None:
        """Change some fields of a record; the changed record, or None if there is none."""
        record = self.get(table, object_id)
        if record is None:
            return None
        rows, changed = TABLES[table], {**record, **fields}
        self._connection.execute(rows.update().where(rows.c.id == object_id).values(_columns(rows, changed)))
        return changed

    def move_run(self, run_id: str, to: str, *, among: Sequence[str], **fields: Any) -> Record | None:
        """Change a run's status if it is one of ``among``; the changed run, or None if it was not."""
        runs = TABLES["runs"]
        moved = self._connection.execute(
            runs.update().where(runs.c.id == run_id, runs.c.status.in_(among)).values(status=to)
        )
        return self.update("runs", run_id, **fields) if moved.rowcount else None

    def delete(self, table: str, object_id: str) -> bool:
        """Delete a record; True if there was one."""
        rows = TABLES[table]
        return bool(self._connection.execute(rows.delete().where(rows.c.id == object_id)).rowcount)

    def delete_children(self, table: str, **parents: str) -> None:
        """Delete all records with these parents; of runs, their logs as well."""
        rows = TABLES[table]
        where = [rows.c[name] == value for name, value in parents.items()]
        if table == "runs":
            keys = sa.select(rows.c.key).where(*where)
            self._connection.execute(events.delete().where(events.c.run_key.in_(keys)))
        self._connection.execute(rows.delete().where(*where))

    def hand_over(self, table: str, **parents: tuple[str, str]) -> None:
        """Give all records with these parents, each the first of two, to the second ones."""
        rows = TABLES[table]
        where = [rows.c[name] == old for name, (old, _) in parents.items()]
        self._connection.execute(rows.update().where(*where).values({name: new for name, (_, new) in parents.items()}))

    def append(self, run_id: str, entries: Sequence[tuple[str, str]], *, heed: bool = False) -> list[LoggedEvent]:
        """Append events, each a name and its data, to a run's log.

        Args:
            run_id: The run.
            entries: The events.
            heed: Whether to append nothing if the run is to be cancelled.

        Raises:
            RunEnded: There is no such run any more, or its log has its last ``done``.
            RunCancelling: With ``heed``, the run is to be cancelled.
        """
        runs = TABLES["runs"]
        run = self._connection.execute(sa.select(runs.c.key, runs.c.status).where(runs.c.id == run_id)).first()
        if run is None:
            raise RunEnded(run_id)
        if heed and run.status == "cancelling":
            raise RunCancelling(run_id)
        log = sa.select(events.c.seq, events.c.name).where(events.c.run_key == run.key)
        last = self._connection.execute(log.order_by(events.c.seq.desc()).limit(1)).first()
        if last is not None and last.name == "done" and is_final(run.status):
            raise RunEnded(run_id)
        known = 0 if last is None else last.seq
        logged = [LoggedEvent(run_id, known + n, name, data) for n, (name, data) in enumerate(entries, 1)]
        rows = [{"run_key": run.key, "seq": event.seq, "name": event.name, "data": event.data} for event in logged]
        if rows:
            self._connection.execute(events.insert(), rows)
        return logged

    def hold(self, owner: str, until: int) -> bool:
        """Keep an owner's sign of life; True if it was not known before."""
        known = self._connection.execute(owners.update().where(owners.c.id == owner).values(until=until))
        if known.rowcount:
            return False
        self._connection.execute(owners.insert().values(id=owner, until=until))
        return True

    def silent_owners(self, *, before: int) -> list[str]:
        """The owners that were to be believed until earlier than ``before``, and that own no active run."""
        runs = TABLES["runs"]
        busy = sa.select(runs.c.id).where(runs.c.owner == owners.c.id, runs.c.status.in_(sorted(ACTIVE_RUN_STATUSES)))
        return list(self._connection.scalars(sa.select(owners.c.id).where(owners.c.until < before, ~busy.exists())))

    def release(self, *names: str) -> None:
        """Forget owners."""
        self._connection.execute(owners.delete().where(owners.c.id.in_(names)))


def _run_key(run_id: str) -> sa.ScalarSelect[Any]:
    runs = TABLES["runs"]
    return sa.select(runs.c.key).where(runs.c.id == run_id).scalar_subquery()


def _select(rows: sa.Table, parents: dict[str, str]) -> sa.Select[Any]:
    return sa.select(rows).where(*(rows.c[name] == value for name, value in parents.items()))


def _columns(rows: sa.Table, record: Record) -> dict[str, Any]:
    own = {column.name: record[column.name] for column in rows.c if column.name in record}
    return {**own, "data": {name: value for name, value in record.items() if name not in own}}


class _Kept(Record):
    """A record as it was read: whoever misses a field of it is told that the database is damaged."""

    def __init__(self, record: Record, failure: Failure) -> None:
        super().__init__(record)
        self._failure = failure

    def __missing__(self, name: str) -> Any:
        raise self._failure(ValueError(f"the record {self['id'][:80]!r} has no {name}"))


def _record(row: sa.Row[Any]) -> Record:
    fields = dict(row._mapping)
    del fields["key"]
    data = fields.pop("data")
    # Only damage makes other types; whoever works with a record is spared it.
    whole = isinstance(data, dict) and isinstance(fields["id"], str) and isinstance(fields["created_at"], int)
    if not whole or not all(isinstance(value, (str, int, NoneType)) for value in fields.values()):
        raise ValueError(f"the record {str(fields['id'])[:80]!r} is not as it was kept")
    return {**{name: value for name, value in fields.items() if value is not None}, **data}
