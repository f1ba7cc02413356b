"""An SQLite file through SQLAlchemy: each connection is opened by us, and so is each transaction."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, ExceptionContext
from sqlalchemy.pool import Pool, QueuePool, StaticPool

from dashnb.database.file import MEMORY, DatabaseFile
from dashnb.errors import DashnbError
from dashnb.forks import Gate

Failure = Callable[[Exception], Exception]


def engine_of(file: DatabaseFile, *, pool: type[Pool] | None = None) -> sa.Engine:
    """An engine on a file, whose connections raise a `StoreError` where SQLite or its driver fails.

    Args:
        file: The file; missing ones are made.
        pool: How many connections there are; several if left out, one for a database in memory.
    """
    chosen = pool or (StaticPool if file.path == MEMORY else QueuePool)
    engine = sa.create_engine("sqlite://", creator=file.connect, poolclass=chosen, **options(file.failure))
    return prepared(engine, file.failure)


def gate_of(engine: sa.Engine, name: str, *, in_memory: bool) -> Gate:
    """What lets through who uses an engine, and closes its connections while the process forks.

    Args:
        engine: The engine.
        name: What a person calls the database.
        in_memory: Whether only this process has it.
    """
    forget = partial(engine.dispose, close=False)
    return Gate(name, close=None if in_memory else engine.dispose, forget=forget)


def options(failure: Failure) -> dict[str, Any]:
    """What `sqlalchemy.create_engine` is given, so that damaged JSON is told like all other failures."""

    def decode(text: str) -> Any:
        try:
            return json.loads(text)
        except (ValueError, TypeError, RecursionError) as error:
            raise failure(error) from error

    return {"json_deserializer": decode}


def prepared(engine: sa.Engine, failure: Failure) -> sa.Engine:
    """The engine, on which all failures are told by `failure`, and whose transactions begin as they should.

    With the execution option ``writes``, a transaction on SQLite waits for its turn before it reads: it has to be
    alone from its first look.
    """

    @sa.event.listens_for(engine, "handle_error")
    def handle(context: ExceptionContext) -> Exception | None:
        error = context.original_exception
        # An interrupt comes by here as well, and so does what was told already.
        return failure(error) if isinstance(error, Exception) and not isinstance(error, DashnbError) else None

    if engine.name == "sqlite":

        @sa.event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            writes = connection.get_execution_options().get("writes")
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
