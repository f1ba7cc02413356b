"""What is wrong with an SQLite file: by the driver's exception and by a look at the file; and what a person can do.

Nothing here changes a file, and no remedy gives up data: what SQLite's own check finds whole stays where it is,
and what is damaged is to be kept as well, as most of it can still be read.
"""

from __future__ import annotations

import os
import shlex
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from dashnb.errors import StoreError

# What the driver raises, and what happens where a damaged file gives it, or us, what nobody expects.
STUMBLES: tuple[type[Exception], ...] = (
    sqlite3.Error,
    OSError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    OverflowError,
    MemoryError,
    RecursionError,
    SystemError,
)
# Steps of SQLite's machine that a check may take; some seconds.
CHECK_STEPS = 20_000_000
_NO_DATABASE = "the file is not a database"
_SHARED_MEMORY = {
    sqlite3.SQLITE_IOERR_SHMOPEN,
    sqlite3.SQLITE_IOERR_SHMSIZE,
    sqlite3.SQLITE_IOERR_SHMLOCK,
    sqlite3.SQLITE_IOERR_SHMMAP,
    sqlite3.SQLITE_PROTOCOL,
}
_LOCKING = {
    sqlite3.SQLITE_IOERR_LOCK,
    sqlite3.SQLITE_IOERR_RDLOCK,
    sqlite3.SQLITE_IOERR_UNLOCK,
    sqlite3.SQLITE_IOERR_CHECKRESERVEDLOCK,
}


@dataclass(frozen=True, slots=True)
class Usage:
    """What a file is to a person.

    Attributes:
        name: Such as ``The ledger``.
        otherwise: How to go on without this file, such as ``name another one with DASHNB_DATABASE``.
    """

    name: str
    otherwise: str

    def unusable(self, place: str, reason: str, remedy: str = "") -> StoreError:
        """The error about a file: what is wrong, and what to do.

        >>> print(Usage("The ledger", "go on without one: DASHNB_LEDGER=off").unusable("a.db", "it is a folder"))
        The ledger a.db cannot be used: it is a folder.
        Go on without one: DASHNB_LEDGER=off.
        """
        advice = f"{remedy}; or {self.otherwise}" if remedy else self.otherwise
        return StoreError(f"{self.name} {place} cannot be used: {reason}.\n{advice[:1].upper()}{advice[1:]}.")


def failure(path: str | None, usage: Usage, error: BaseException) -> StoreError:
    """What is wrong, by an exception of the driver, of SQLAlchemy or of the system, and by a look at the file.

    Args:
        path: The file, None for a database in memory.
        usage: What it is to a person.
        error: What was raised.
    """
    cause = cause_of(error)
    if path is None:
        return usage.unusable("in memory", _line(cause))
    told = usage.unusable(path, *(_by_exception(path, cause) or _by_check(path, cause)))
    told.passes = _code(cause) & 0xFF in _BUSY
    return told


def cause_of(error: BaseException) -> BaseException:
    """The driver's own exception, out of the one that SQLAlchemy made of it."""
    inner = getattr(error, "orig", None)
    return inner if isinstance(inner, BaseException) else error


def is_without_shared_memory(error: BaseException) -> bool:
    """True if a write-ahead log cannot work where the file lies, as processes can share no memory there.

    >>> is_without_shared_memory(sqlite3.OperationalError("disk I/O error"))
    False
    """
    return _code(error) in _SHARED_MEMORY


def damaged(path: str) -> tuple[str, str] | None:
    """What is damaged in a file and what to do; None if SQLite's own check finds nothing wrong."""
    found = _damage(path, steps=0)
    return _told(path, found) if found else None


def forbidden(path: str) -> tuple[str, str] | None:
    """What is in the way of the file: its folder, or a permission."""
    folder = os.path.dirname(os.path.realpath(path))
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder):
        return f"{folder} is not a folder", ""
    if not os.access(folder, os.X_OK | os.R_OK):
        return f"the folder {folder} may not be read", f"give it back to yourself: chmod u+rwx {shlex.quote(folder)}"
    if not os.path.exists(path) or os.access(path, os.R_OK | os.W_OK):
        if os.access(folder, os.W_OK):
            return None
        return f"the folder {folder} is read-only", f"make it writable: chmod u+w {shlex.quote(folder)}"
    if not os.access(path, os.R_OK):
        return "the file may not be read", f"make it readable and writable: chmod u+rw {shlex.quote(path)}"
    return "the file is read-only", f"make it writable: chmod u+w {shlex.quote(path)}"


def _damage(path: str, *, steps: int = CHECK_STEPS) -> str | None:
    """The first thing that SQLite's own check finds wrong with a file, None if it finds nothing.

    Args:
        path: The file; nothing is written.
        steps: After so many steps of SQLite's machine the check ends, with nothing found; never if 0.
    """
    address = f"{Path(os.path.abspath(path)).as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=0)) as connection:
            # What is damaged may be no UTF-8.
            connection.text_factory = lambda text: text.decode("utf-8", "replace")
            connection.set_progress_handler((lambda: 1) if steps else None, steps)
            (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        # Locked, or not to be opened, or cut short: nothing is known, so nothing is claimed.
        return None if _code(error) & 0xFF not in _DAMAGED else _line(error)
    except sqlite3.DatabaseError as error:
        return _NO_DATABASE if _code(error) == sqlite3.SQLITE_NOTADB else _line(error)
    except Exception as error:  # the driver stumbles over what it reads
        return _line(error)
    text = str(found)
    return None if text == "ok" else text.replace("*** in database main ***", "").strip().partition("\n")[0]


_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}


def _by_exception(path: str, cause: BaseException) -> tuple[str, str] | None:
    """The reason and the remedy, where the exception tells them."""
    if isinstance(cause, OSError):
        return forbidden(path) or (cause.strerror or _line(cause), "")
    code = _code(cause)
    if code in _SHARED_MEMORY:
        return "its file system lets processes share no memory", "close what else uses it, then try again"
    if code in _LOCKING:
        return "its file system cannot lock files", "move it to a local disk"
    if code == sqlite3.SQLITE_READONLY_DBMOVED:
        return "it was moved or deleted while it was in use", "put it back and connect again"
    match code & 0xFF:
        case code if code in _BUSY:
            return "it is locked. Another process has been writing for too long", "try again when that is done"
        case sqlite3.SQLITE_FULL:
            return "the disk is full", "make room on the disk and try again"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return forbidden(path) or (_line(cause), "make the file and its folder readable and writable")
        case sqlite3.SQLITE_IOERR:
            return f"reading or writing the disk failed ({_line(cause)})", "look after the disk and try again"
    return None


def _by_check(path: str, cause: BaseException) -> tuple[str, str]:
    """The reason and the remedy, where only the file itself can tell them."""
    found = _NO_DATABASE if _code(cause) == sqlite3.SQLITE_NOTADB else _damage(path)
    if found is None:
        return f"{_line(cause)}. The file itself is whole, keep it", "close what else uses it and try again"
    return _told(path, found)


def _told(path: str, found: str) -> tuple[str, str]:
    if found == _NO_DATABASE:
        return found, "move the file away"
    command = f"sqlite3 {shlex.quote(path)} .recover"
    return f"it is damaged ({found})", f"move the file away and keep it, as `{command}` gives back what can be read"


def _code(error: BaseException) -> int:
    """SQLite's extended result code; that of an error that has none is 0."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None and isinstance(error, sqlite3.Error) and "not a database" in str(error):
        return sqlite3.SQLITE_NOTADB
    return code or 0


def _line(error: BaseException) -> str:
    """What an exception says, on one line."""
    text = " ".join(str(error).split())
    return (text if isinstance(error, (sqlite3.Error, OSError)) and text else f"{type(error).__name__}: {text}")[:200]
