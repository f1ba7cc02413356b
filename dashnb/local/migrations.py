"""Databases of earlier versions, brought up to the present one in place.

A migration is history: it says in plain SQL what its version changed, and does not follow the schema
of today. Each is a transaction of its own together with the new version's number, so that a program
that is stopped in between goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.engine import Connection

Migration = Callable[[Connection], None]


def _own_and_expire_runs(connection: Connection) -> None:
    """2: runs know who works on them and when they end; owners give signs of life."""
    for statement in (
        "ALTER TABLE runs ADD COLUMN owner VARCHAR(200)",
        "ALTER TABLE runs ADD COLUMN expires_at BIGINT",
        "UPDATE runs SET expires_at = created_at + 600000",
        "CREATE TABLE owners (id VARCHAR(200) NOT NULL, until BIGINT NOT NULL, PRIMARY KEY (id))",
    ):
        connection.exec_driver_sql(statement)


# What brings a database from this version to the next.
MIGRATIONS: dict[int, Migration] = {
    1: _own_and_expire_runs,
}
