"""The tables of the embedded API's database, as a new one is made; older ones are brought up by migrations."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

SCHEMA_VERSION = 2

metadata = sa.MetaData()
schema_version = sa.Table("schema_version", metadata, sa.Column("version", sa.Integer, nullable=False))


def _objects(name: str, *columns: sa.Column[Any]) -> sa.Table:
    """A table of objects: creation order, id, the given columns, and everything else as JSON."""
    return sa.Table(
        name,
        metadata,
        sa.Column("key", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(80), nullable=False, unique=True),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        *columns,
        sa.Column("data", sa.JSON, nullable=False),
    )


def _parent(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.String(80), nullable=False, index=True)


TABLES: dict[str, sa.Table] = {
    "assistants": _objects("assistants"),
    "assistant_files": _objects("assistant_files", _parent("assistant_id"), _parent("file_id")),
    "threads": _objects("threads"),
    "messages": _objects("messages", _parent("thread_id")),
    "runs": _objects(
        "runs",
        _parent("thread_id"),
        sa.Column("status", sa.String(20), nullable=False, index=True),
        sa.Column("owner", sa.String(200)),  # who works on it, if anybody does
        sa.Column("expires_at", sa.BigInteger),
    ),
    "steps": _objects("steps", _parent("thread_id"), _parent("run_id")),
}
# The measured best for SQLite: the primary key is the table, so that reading a run's log is one range.
events = sa.Table(
    "events",
    metadata,
    sa.Column("run_key", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("name", sa.String(40), nullable=False),
    sa.Column("data", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)
# Who works on runs, and until when to believe that without another sign of life.
owners = sa.Table(
    "owners",
    metadata,
    sa.Column("id", sa.String(200), primary_key=True),
    sa.Column("until", sa.BigInteger, nullable=False),
)
