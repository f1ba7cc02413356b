"""What is installed, connected and writable, and what to do where something is not."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dashnb import __version__
from dashnb.characters import in_line
from dashnb.errors import DashnbError
from dashnb.settings import Settings

if TYPE_CHECKING:
    from dashnb.database import DatabaseFile

QUESTION = "What is 999 × 998?"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: What it is.
        text: What was found.
        good: False if something has to be done.
        remedy: What to do, ``""`` if nothing.
    """

    subject: str
    text: str
    good: bool = True
    remedy: str = ""

    def line(self) -> str:
        """The finding as a person reads it.

        >>> print(Finding("JupyterLab", "is missing", good=False, remedy='pip install "dashnb[lab]"').line())
        !!  JupyterLab   is missing
                         → pip install "dashnb[lab]"
        """
        mark, text = "ok" if self.good else "!!", in_line(self.text)
        remedy = f"\n{'':17}→ {in_line(self.remedy)}" if self.remedy else ""
        return f"{mark}  {self.subject:<13}{text}{remedy}"


def examine(settings: Settings, target: str | None = None) -> Iterator[Finding]:
    """One finding after the other, each as soon as it is there; the last ones ask the service a question.

    Args:
        settings: The settings.
        target: Where to connect; the settings decide if it is None.
    """
    yield Finding("dashnb", f"{__version__} on Python {platform.python_version()}")
    yield _package("JupyterLab", "jupyterlab", "lab")
    yield _package("kernel", "ipykernel", "lab")
    yield _folder(settings.data_dir)
    yield _database(settings)
    yield _ledger(settings)
    yield _documents(settings)
    yield from _connection(settings, target)


def _package(subject: str, name: str, extra: str) -> Finding:
    if importlib.util.find_spec(name) is None:
        return Finding(subject, "is not installed", good=False, remedy=f'pip install "dashnb[{extra}]"')
    return Finding(subject, importlib.metadata.version(name))


def _folder(folder: Path) -> Finding:
    if existing := _in_the_way(folder):
        remedy = "set DASHNB_DATA_DIR to a folder that you may write to"
        return Finding("data folder", f"{existing} cannot be written to", good=False, remedy=remedy)
    return Finding("data folder", str(folder))


def _in_the_way(folder: Path) -> Path | None:
    """The folder, or the nearest one above it that is there, if no file can be made in it."""
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    return None if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK) else existing


def _database(settings: Settings) -> Finding:
    from dashnb.database import MEMORY
    from dashnb.local.place import file_of
    from dashnb.local.store import Store

    def look() -> str:
        with closing(Store(settings.database)) as store:
            return f"{store.count('threads')} threads"

    if settings.database == MEMORY:
        return Finding("database", f"in memory ({settings.source('database')}), so it ends with its client")
    try:
        return _kept("database", file_of(settings.database), look, begins="conversation")
    except DashnbError as error:
        return _failed("database", error)


def _ledger(settings: Settings) -> Finding:
    path = settings.ledger_file
    if path is None:
        return Finding("ledger", f"off ({settings.source('ledger')})")
    from dashnb.database import DatabaseFile
    from dashnb.history.ledger import USAGE, Ledger

    def look() -> str:
        with Ledger(path) as ledger:
            return f"{len(ledger.runs())} runs"

    return _kept("ledger", DatabaseFile(str(path), USAGE), look, begins="run")


def _documents(settings: Settings) -> Finding:
    from dashnb.database import DatabaseFile
    from dashnb.local.documents.library import USAGE, Library
    from dashnb.local.plugins.folder import DOCUMENTS

    path = settings.data_dir / DOCUMENTS

    def look() -> str:
        with Library(path) as library:
            return f"{len(library.documents())} documents"

    return _kept("documents", DatabaseFile(str(path), USAGE), look, begins="document")


def _kept(subject: str, file: DatabaseFile | None, look: Callable[[], str], *, begins: str) -> Finding:
    """What is kept in a file, opened as it is opened at work; one that is not there yet is not made.

    Args:
        subject: What it is.
        file: The file; None for a database server.
        look: Opens it, and says what is in it.
        begins: What it begins with.
    """
    try:
        if file is None:
            return Finding(subject, f"a server ({look()})")
        if not file.exists():
            if existing := _in_the_way(Path(file.path).absolute().parent):
                raise file.usage.unusable(file.path, f"{existing} is no folder that you may write to")
            return Finding(subject, f"{file.path} (begins with the first {begins})")
        what = look()
        file.check()
        return Finding(subject, f"{file.path} ({what})")
    except DashnbError as error:
        return _failed(subject, error)


def _connection(settings: Settings, target: str | None) -> Iterator[Finding]:
    from dashnb.session.connection import open_client, plan

    try:
        connection = plan(settings, target)
        place = connection.shown("base_url")
        yield Finding("connection", f"{connection.kind} ({connection.reason}): {place}")
        if connection.kind == "local":
            yield _question(settings, connection.engine)
            return
        with open_client(connection, settings) as client:
            if connection.kind == "replay":
                yield Finding("cassette", "can be read; nothing is sent")
                return
            client.assistants.list(limit=1)
        yield Finding("service", "answers, and takes the key")
    except DashnbError as error:
        yield _failed("service", error)


def _question(settings: Settings, engine: str) -> Finding:
    """Ask the embedded API a question, in a database of its own so that nothing is left behind."""
    from dashnb.session.connection import connect
    from dashnb.session.session import Session

    started = time.perf_counter()
    with (
        connect("local", engine=engine, database=":memory:") as client,
        Session(client=client, ledger=None) as session,
    ):
        run = session.ask(QUESTION)
    seconds = time.perf_counter() - started
    first = run.text.strip().partition("\n")[0]
    return Finding("embedded API", f"{engine} answered in {seconds:.2f} s: {QUESTION} {first}")


def _failed(subject: str, error: DashnbError) -> Finding:
    first, _, rest = str(error).partition("\n")
    return Finding(subject, first, good=False, remedy=" ".join(rest.split()))
