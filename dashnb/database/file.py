"""An SQLite file: looked at before it is opened, and opened so that it works where it lies."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from dashnb.database.diagnosis import STUMBLES, Usage, damaged, failure, forbidden, is_without_shared_memory
from dashnb.errors import DashnbError, StoreError
from dashnb.files import opened_here

MEMORY = ":memory:"
TIMEOUT = 10.0  # seconds to wait while another process writes
_BESIDE = ("-journal", "-wal", "-shm")


@dataclass(frozen=True, slots=True)
class DatabaseFile:
    """A file that SQLite keeps, or a database in memory.

    >>> memory = DatabaseFile(MEMORY, Usage("The database", "name another one with DASHNB_DATABASE"))
    >>> with closing(memory.connect()) as connection:
    ...     connection.execute("SELECT 1 + 1").fetchone()
    (2,)

    Attributes:
        path: Where it is, or ``:memory:``.
        usage: What a person calls it, and how to go on without it.
        timeout: Seconds to wait while another process writes.
    """

    path: str
    usage: Usage
    timeout: float = TIMEOUT

    def exists(self) -> bool:
        """True if something is there, whatever it is."""
        return self.path != MEMORY and os.path.lexists(self.path)

    def identity(self) -> tuple[int, int] | None:
        """What tells the file from another one that takes its place; None if there is none."""
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def connect(self, *, create: bool = True) -> sqlite3.Connection:
        """A connection that begins no transaction by itself.

        Where the file system has no shared memory, a file that is kept with a write-ahead log (WAL) goes back to
        a rollback journal.

        Args:
            create: Whether to make a missing file, with its folder, for its owner only.

        Raises:
            StoreError: It cannot be opened; what is wrong was found out, and the file is as it was.
        """
        with self.failures():
            if self.path == MEMORY:
                return sqlite3.connect(MEMORY, check_same_thread=False, isolation_level=None)
            self._look(create=create)
            connection = self._open()
            with _closed_on_failure(connection):
                # Without a log, only a full sync keeps the file whole when the machine loses its power.
                is_logged = _journal_mode(connection) == "wal"
                connection.execute(f"PRAGMA synchronous={'NORMAL' if is_logged else 'FULL'}")
            return connection

    def log_ahead(self) -> bool:
        """Let readers and a writer work at the same time, if they can share memory here; True if that is new.

        Raises:
            StoreError: The file cannot be used.
        """
        if self.path == MEMORY:
            return False
        with closing(self.connect(create=False)) as connection, self.failures():
            if _journal_mode(connection) == "wal" or not self._shares_memory():
                return False
            try:
                connection.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError:
                return False  # somebody else is at work, or does the same; it is asked for again next time
        # What the trial says of the folder may not be all: the file itself is read and written once.
        with closing(self.connect(create=False)) as connection, self.failures():
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
            except sqlite3.OperationalError as error:
                if not is_without_shared_memory(error):
                    return True  # somebody else is writing, so it works
                connection.close()
                self._leave_log().close()
            return True

    def check(self) -> None:
        """Look at everything that could be wrong with a file that is there: it is read whole, and nothing is written.

        Raises:
            StoreError: It is damaged, may not be written, or cannot be used.
        """
        with closing(self.connect(create=False)) as connection, self.failures():
            if (trouble := forbidden(self.path)) or (trouble := damaged(self.path)):
                raise self.usage.unusable(self.path, *trouble)
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")

    @contextmanager
    def failures(self, *more: type[Exception]) -> Iterator[None]:
        """What SQLite and its driver raise becomes a `StoreError`, which tells the cause and what to do.

        Args:
            more: Exceptions that are told in the same way.
        """
        try:
            yield
        except DashnbError:
            raise
        except STUMBLES + more as error:
            raise self.failure(error) from error

    def failure(self, error: BaseException) -> StoreError:
        """What is wrong with the file, by an exception and by looking at it."""
        return failure(None if self.path == MEMORY else self.path, self.usage, error)

    def _look(self, *, create: bool) -> None:
        """Refuse what SQLite would wait for, write over, or keep apart from what another name of it has."""
        if not is_name(self.path):
            raise self.usage.unusable(self.path, "no file can have this name")
        path = os.path.realpath(self.path)
        try:
            found = os.stat(path)
        except FileNotFoundError:
            if not create:
                raise
            try:
                Path(path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                with suppress(FileExistsError):  # another process was faster
                    _make(path)
                found = os.stat(path)
            except OSError as error:
                reason = f"it cannot be created: {error.strerror}"
                raise self.usage.unusable(self.path, reason) from error
        for name in ("", *_BESIDE):
            kind = _kind(path + name)
            if kind:
                raise self.usage.unusable(self.path + name, f"it is {kind}, not a file")
        if 0 < found.st_size < 512:
            # SQLite takes what is shorter than its smallest page for empty.
            raise sqlite3.DatabaseError("file is not a database")
        if found.st_nlink > 1 and not os.path.exists(f"{path}-wal") and self._is_logged_elsewhere():
            reason = "it has several names (hard links), and is in use by another one"
            raise self.usage.unusable(self.path, reason, "use it by that name, or make a copy of your own")

    def _is_logged_elsewhere(self) -> bool:
        """Whether somebody uses the file with a log that is not beside it: beside each of its names is another."""
        with closing(self._opened()) as alone:
            # Whoever has such a log shares the file itself, and does so with nobody who wants it alone.
            alone.execute("PRAGMA locking_mode=EXCLUSIVE")
            try:
                _read(alone)
            except sqlite3.OperationalError as error:
                return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            return False

    def _open(self) -> sqlite3.Connection:
        connection = self._opened()
        try:
            with _closed_on_failure(connection):
                _read(connection)
                return connection
        except sqlite3.OperationalError as error:
            if forbidden(self.path) and not os.path.exists(f"{os.path.realpath(self.path)}-wal"):
                # Beside a file that may only be read, nothing can be shared; and nobody is writing it here.
                return self._opened("mode=ro&immutable=1")
            if not is_without_shared_memory(error) and self._shares_memory():
                raise
        return self._leave_log()

    def _leave_log(self) -> sqlite3.Connection:
        """A connection to the file, which has a rollback journal from now on."""
        connection = self._opened()
        with _closed_on_failure(connection):
            # Alone, SQLite keeps in its own memory what processes would share.
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            connection.execute("PRAGMA journal_mode=DELETE")
            connection.execute("PRAGMA locking_mode=NORMAL")
            _read(connection)  # only this lets others in again
            return connection

    def _opened(self, options: str = "mode=rw") -> sqlite3.Connection:
        address = f"{Path(os.path.abspath(self.path)).as_uri()}?{options}"
        return sqlite3.connect(address, uri=True, timeout=self.timeout, isolation_level=None, check_same_thread=False)

    def _shares_memory(self) -> bool:
        """Whether the write-ahead log works in this folder, tried with another database."""
        try:
            folder = tempfile.mkdtemp(prefix=".dashnb-", dir=os.path.dirname(os.path.realpath(self.path)))
        except OSError:
            return False
        try:
            with closing(sqlite3.connect(os.path.join(folder, "trial.db"), 0, isolation_level=None)) as trial:
                trial.execute("PRAGMA synchronous=OFF")
                trial.execute("PRAGMA journal_mode=WAL")
                trial.execute("CREATE TABLE trial (number)")
                _read(trial)
                return _journal_mode(trial) == "wal"
        except sqlite3.Error:
            return False
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def beginning(path: Path | str, size: int) -> bytes:
    """The first bytes of a file, read so that no lock is lost if this process has it open.

    >>> with tempfile.NamedTemporaryFile() as file:
    ...     _ = file.write(b"Hello"), file.flush()
    ...     beginning(file.name, 2)
    b'He'

    Args:
        path: The file.
        size: How many bytes, at most.

    Raises:
        OSError: It cannot be read.
    """
    descriptor = opened_here(path)
    if descriptor is not None:
        return os.pread(descriptor, size, 0)
    with open(path, "rb") as file:
        return file.read(size)


def is_name(path: str) -> bool:
    """Whether a file can have this name, on any file system.

    >>> is_name("a.db"), is_name("a\\0b"), is_name("\\ud800")
    (True, False, False)
    """
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeError:
        return False


def _make(path: str) -> None:
    """Make an empty file that only its owner may read; it must not be there yet."""
    mode = stat.S_IFREG | 0o600
    try:
        # Made without being opened, so that no close of ours takes the locks of a thread that uses it already.
        os.mknod(path, mode)
    except (AttributeError, PermissionError):  # Windows, macOS
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _kind(path: str) -> str:
    """What is at a path, if it is there and is no regular file."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return ""
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return "" if stat.S_ISREG(mode) else kinds.get(stat.S_IFMT(mode), "something else")


def _read(connection: sqlite3.Connection) -> None:
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()


def _journal_mode(connection: sqlite3.Connection) -> str:
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    return str(mode)


@contextmanager
def _closed_on_failure(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise
