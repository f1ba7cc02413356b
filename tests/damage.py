"""Damaged files of SQLite: bytes and pages that a disk, a copy or a hand made wrong, and rows that nobody kept so."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

PAGE = 4096
# What a row may hold when it is damaged: no JSON, no UTF-8, another type, no end.
VALUES: tuple[Any, ...] = (
    *(None, 0, -1, 2**63 - 1, 1e308, float("inf"), "", "null", "[]", "{}", "{", '{"a": NaN}', "[" * 20_000),
    *(b"", b"\xff\xfe\x00", '{"metadata": 5}', "\ud83d".encode("utf-16", "surrogatepass"), "x" * 100_000, "\0"),
)


def damage(file: Path, chance: random.Random) -> str:
    """Damage a file in one of many ways, or a few; what was done."""
    done = []
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        way = chance.choice(WAYS)
        way(file, chance)
        done.append(way.__name__)
    return ", ".join(done)


def _bytes(file: Path, chance: random.Random) -> None:
    content = bytearray(file.read_bytes())
    for _ in range(chance.randint(1, 30)):
        if content:
            content[chance.randrange(len(content))] = chance.randrange(256)
    file.write_bytes(content)


def _header(file: Path, chance: random.Random) -> None:
    content = bytearray(file.read_bytes())
    for _ in range(chance.randint(1, 4)):
        if content:
            content[chance.randrange(min(110, len(content)))] = chance.randrange(256)
    file.write_bytes(content)


def _page(file: Path, chance: random.Random) -> None:
    content = bytearray(file.read_bytes())
    place = chance.randrange(max(1, len(content) // PAGE)) * PAGE
    size = len(content[place : place + PAGE])
    content[place : place + size] = chance.choice([bytes(size), b"\xff" * size, chance.randbytes(size)])
    file.write_bytes(content)


def _two_pages(file: Path, chance: random.Random) -> None:
    content = file.read_bytes()
    pages = [content[place : place + PAGE] for place in range(0, len(content), PAGE)]
    chance.shuffle(pages) if chance.random() < 0.2 else pages.reverse()
    file.write_bytes(b"".join([content[:PAGE], *pages[1:]]) if chance.random() < 0.5 else b"".join(pages))


def _end(file: Path, chance: random.Random) -> None:
    content = file.read_bytes()
    if chance.random() < 0.8:
        file.write_bytes(content[: chance.choice([chance.randrange(len(content) + 1), chance.randrange(600)])])
    else:
        file.write_bytes(content + chance.randbytes(chance.randrange(9000)))


def _schema(file: Path, chance: random.Random) -> None:
    content = file.read_bytes()
    words = [b"CREATE TABLE", b"INTEGER", b"runs", b"messages", b"documents", b"passages", b"data JSON", b"PRIMARY KEY"]
    word = chance.choice(words)
    new = chance.choice(
        [b"\xff" * len(word), chance.randbytes(len(word)), b" " * len(word), b"TEXT, id".ljust(len(word))]
    )
    file.write_bytes(content.replace(word, new[: len(word)], chance.choice([1, 2, -1])))


def _beside(file: Path, chance: random.Random) -> None:
    """A log, a journal or shared memory that belongs to something else."""
    header = bytes.fromhex("377f0682002de218") if chance.random() < 0.5 else b""
    for end in chance.sample(["-wal", "-shm", "-journal"], chance.randint(1, 3)):
        file.with_name(file.name + end).write_bytes(header + chance.randbytes(chance.choice([0, 7, 700, 40_000])))


def _row(file: Path, chance: random.Random) -> None:
    """A value that no dashnb has kept."""

    def change(opened: sqlite3.Connection) -> None:
        tables = [name for (name,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        table = chance.choice(tables)
        columns = [row[1] for row in opened.execute(f'PRAGMA table_info("{table}")')]
        column, value = chance.choice(columns), chance.choice(VALUES)
        as_text = isinstance(value, bytes) and chance.random() < 0.7
        some = "" if chance.random() < 0.6 else "WHERE rowid % 2"
        opened.execute("PRAGMA ignore_check_constraints=ON")
        opened.execute(f'UPDATE "{table}" SET "{column}" = {"CAST(? AS TEXT)" if as_text else "?"} {some}', (value,))

    _by_sql(file, change)


def _tables(file: Path, chance: random.Random) -> None:
    """Another schema than the version says."""

    def change(opened: sqlite3.Connection) -> None:
        tables = [name for (name,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        table = chance.choice(tables)
        columns = [row[1] for row in opened.execute(f'PRAGMA table_info("{table}")')]
        statements = [
            f'DROP TABLE "{table}"',
            f'ALTER TABLE "{table}" RENAME TO other',
            f'ALTER TABLE "{table}" RENAME COLUMN "{chance.choice(columns)}" TO other',
            f'DELETE FROM "{table}"',
            f"PRAGMA user_version = {chance.choice([-1, 0, 1, 2**31 - 1])}",
            "UPDATE schema_version SET version = -5",
            "UPDATE schema_version SET version = 'two'",
            "DELETE FROM schema_version",
        ]
        opened.execute(chance.choice(statements))

    _by_sql(file, change)


def _by_sql(file: Path, change: Callable[[sqlite3.Connection], None]) -> None:
    # A file that is damaged already may refuse.
    with suppress(sqlite3.Error, ValueError, IndexError), closing(sqlite3.connect(file)) as opened:
        change(opened)
        opened.commit()


WAYS = (_bytes, _header, _page, _two_pages, _end, _schema, _beside, _row, _row, _row, _tables)
