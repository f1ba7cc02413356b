"""The library: passages in SQLite with a full-text index (FTS5), ranked by bm25.

What stands in the index are the terms of a passage (`terms`), not its characters, so that Chinese and
Japanese are found as well as English. A library opens its file for each piece of work and keeps
nothing open between; a file that a newer dashnb made, or that is none of ours, is left as it is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dashnb.database import MEMORY, DatabaseFile, Usage
from dashnb.errors import StoreError
from dashnb.forks import Gate
from dashnb.local.documents import terms

SCHEMA_VERSION = 1
USAGE = Usage("The database of documents", "name another folder with DASHNB_DATA_DIR")
MOST_TERMS = 64  # of a query; longer ones are cut
_CANDIDATES = 200
_TITLE, _TEXT = 2.0, 1.0  # what a term weighs

_SCHEMA = (
    "CREATE TABLE documents (id INTEGER PRIMARY KEY, collection TEXT NOT NULL, name TEXT NOT NULL, "
    "source TEXT NOT NULL, kind TEXT NOT NULL, UNIQUE (collection, source))",
    "CREATE TABLE passages (id INTEGER PRIMARY KEY, document_id INTEGER NOT NULL REFERENCES documents (id), "
    "title TEXT NOT NULL, text TEXT NOT NULL)",
    "CREATE INDEX passages_by_document ON passages (document_id)",
    "CREATE VIRTUAL TABLE words USING fts5 (title, text, tokenize = 'unicode61 remove_diacritics 2')",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)


@dataclass(frozen=True, slots=True)
class Document:
    """A document of a library; the source is where it came from, such as a file's path."""

    collection: str
    name: str
    source: str
    kind: str
    passages: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """A passage that a query found.

    Attributes:
        document: Where it stands.
        title, text: What it says.
        share: The part of the query's words that it has, up to 1.
        score: Its rank by bm25, times the share; higher is better.
    """

    document: Document
    title: str
    text: str
    share: float
    score: float


class Library:
    """Documents in collections, and the passages of them that a query is about.

    >>> with Library(":memory:") as library:
    ...     library.put(Document("pets", "cats.md", "/home/ann/cats.md", "markdown"), [("Cats", "Ragdolls are calm.")])
    ...     [found.title for found in library.find("calm ragdoll")]
    ['Cats']

    Args:
        file: The database; made with its folder when the first document is put. Or ``:memory:``.
    """

    def __init__(self, file: Path | str) -> None:
        self.file = file
        self._database = DatabaseFile(str(file), USAGE)
        self._connection: sqlite3.Connection | None = None
        self._gate = Gate(f"The documents in {file}", close=None if str(file) == MEMORY else self.close)

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database, if it is open."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def put(self, document: Document, passages: Iterable[tuple[str, str]]) -> None:
        """Keep a document; one of the same source in the same collection is replaced.

        Raises:
            StoreError: The database cannot be used; it is as it was.
        """
        self.put_all([(document, passages)])

    def put_all(self, documents: Iterable[tuple[Document, Iterable[tuple[str, str]]]]) -> None:
        """Keep several documents in one transaction, which takes hardly longer than one.

        Raises:
            StoreError: The database cannot be used; it is as it was.
        """
        with self._failures():
            connection = self._open(create=True)
            assert connection is not None
            with _transaction(connection):
                for document, passages in documents:
                    _put(connection, document, passages)

    def documents(self) -> list[Document]:
        """All documents, by collection and name.

        Raises:
            StoreError: The database cannot be used.
        """
        with self._failures():
            connection = self._open(create=False)
            if connection is None:
                return []
            rows = connection.execute(
                "SELECT collection, name, source, kind, "
                "(SELECT count(*) FROM passages WHERE document_id = documents.id) "
                "FROM documents ORDER BY collection, name, source"
            )
            return [_document(fields, passages) for *fields, passages in rows]

    def collections(self) -> list[str]:
        """The names of the collections."""
        return list(dict.fromkeys(document.collection for document in self.documents()))

    def remove(self, name: str, *, collection: str | None = None) -> list[Document]:
        """Forget a collection, or the documents of a name or source; what was forgotten.

        Args:
            name: A collection; if there is none of this name, a document's name or source.
            collection: Only documents of this collection.

        Raises:
            StoreError: The database cannot be used; it is as it was.
        """
        known = [one for one in self.documents() if collection in (None, one.collection)]
        chosen = [one for one in known if collection is None and one.collection == name]
        chosen = chosen or [one for one in known if name in (one.name, one.source)]
        with self._failures():
            connection = self._open(create=False)
            if connection is None:
                return []
            with _transaction(connection):
                for one in chosen:
                    _delete(connection, one)
        return chosen

    def find(
        self,
        query: str,
        *,
        collections: Sequence[str] | None = None,
        least: float = 0.5,
        limit: int = 5,
        per_document: int = 2,
    ) -> list[Found]:
        """The passages about a query, best first.

        Args:
            query: Words in any language.
            collections: Only in these; everywhere if None.
            least: The part of the query's words that a passage must have more than.
            limit: At most so many passages.
            per_document: At most so many of one document.

        Raises:
            StoreError: The database cannot be used.
        """
        asked = terms.words(query)[:MOST_TERMS]
        wanted = dict.fromkeys(terms.terms(query))
        match = " OR ".join(f'"{term}"' for term in list(wanted)[:MOST_TERMS])
        if not match:
            return []
        with self._failures():
            connection = self._open(create=False)
            if connection is None:
                return []
            found = []
            for *fields, known, rank in connection.execute(
                _find(len(collections or ())), (match, *(collections or ()))
            ):
                *place, title, text = _texts(fields)
                covered = terms.share(asked, set(known.split()))
                if covered > least:
                    found.append(Found(_document(place), title, text, covered, round(-rank * covered, 6)))
        found.sort(key=lambda one: -one.score)
        return _few(found, limit, per_document)

    def _open(self, *, create: bool) -> sqlite3.Connection | None:
        """The connection; None if there is no file yet, and none is to be made."""
        if self._connection is not None:
            return self._connection
        if not create and self.file != MEMORY and not self._database.exists():
            return None
        connection = self._database.connect(create=create)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        if self._version(connection) == SCHEMA_VERSION:
            return
        with _transaction(connection):
            # Another process may have been faster.
            if self._version(connection) != SCHEMA_VERSION:
                for statement in _SCHEMA:
                    connection.execute(statement)

    def _version(self, connection: sqlite3.Connection) -> int:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"The documents in {self.file} were kept by a newer dashnb (format {version}, this one knows "
                f"{SCHEMA_VERSION}).\nUpdate dashnb; the file is as it was."
            )
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if (version == 0 and names) or (version and not {"documents", "passages", "words"} <= names):
            raise USAGE.unusable(str(self.file), "it is another program's database, and left as it was")
        return int(version)

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            with self._gate, self._database.failures():
                yield
        except StoreError:
            self.close()
            raise


def _find(collections: int) -> str:
    named = f"AND documents.collection IN ({', '.join('?' * collections)}) " if collections else ""
    return (
        "SELECT collection, name, source, kind, passages.title, passages.text, words.title || ' ' || words.text, "
        f"bm25(words, {_TITLE}, {_TEXT}) AS place FROM words JOIN passages ON passages.id = words.rowid "
        f"JOIN documents ON documents.id = passages.document_id WHERE words MATCH ? {named}"
        f"ORDER BY place, passages.id LIMIT {_CANDIDATES}"
    )


def _document(fields: Sequence[object], passages: int = 0) -> Document:
    collection, name, source, kind = _texts(fields)
    return Document(collection, name, source, kind, passages)


def _texts(fields: Sequence[object]) -> list[str]:
    """The fields of a row, which are texts unless the file is damaged."""
    if wrong := [field for field in fields if not isinstance(field, str)]:
        raise ValueError(f"{str(wrong[0])[:80]!r} is no text")
    return [str(field) for field in fields]


def _few(found: list[Found], limit: int, per_document: int) -> list[Found]:
    counts: dict[tuple[str, str], int] = {}
    kept = []
    for one in found:
        key = (one.document.collection, one.document.source)
        counts[key] = counts.get(key, 0) + 1
        if counts[key] <= per_document:
            kept.append(one)
    return kept[:limit]


def _put(connection: sqlite3.Connection, document: Document, passages: Iterable[tuple[str, str]]) -> None:
    _delete(connection, document)
    row = (document.collection, document.name, document.source, document.kind)
    key = connection.execute(
        "INSERT INTO documents (collection, name, source, kind) VALUES (?, ?, ?, ?)", row
    ).lastrowid
    for title, text in passages:
        passage = (key, title, text)
        number = connection.execute(
            "INSERT INTO passages (document_id, title, text) VALUES (?, ?, ?)", passage
        ).lastrowid
        indexed = (number, " ".join(terms.terms(title)), " ".join(terms.terms(text)))
        connection.execute("INSERT INTO words (rowid, title, text) VALUES (?, ?, ?)", indexed)


def _delete(connection: sqlite3.Connection, document: Document) -> None:
    where = (document.collection, document.source)
    found = connection.execute("SELECT id FROM documents WHERE collection = ? AND source = ?", where).fetchall()
    for key in found:
        connection.execute("DELETE FROM words WHERE rowid IN (SELECT id FROM passages WHERE document_id = ?)", key)
        connection.execute("DELETE FROM passages WHERE document_id = ?", key)
        connection.execute("DELETE FROM documents WHERE id = ?", key)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
