"""Files that a person or a folder names, read as far as they are files: no pipes, no devices, no end in sight.

A name may stand for anything. A named pipe makes its reader wait for ever, ``/dev/zero`` has no end, a file may
grow while it is read, and a link may lead out of the folder that it was found in.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
}
# Not to wait for the other end of a pipe, should one have come since it was looked at; nor to become its terminal.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)


class OutOfFolder(OSError):
    """A link that was found in a folder leads out of it."""


class NotRegular(OSError):
    """Something that has a name like a file, but is none: a pipe, a device, a socket, a folder."""


def read_file(path: Path, most: int, *, inside: Path | None = None) -> bytes:
    """What a regular file holds; no more than ``most`` bytes of it are ever read.

    >>> read_file(Path("/dev/zero"), 100)
    Traceback (most recent call last):
    dashnb.files.NotRegular: [Errno 22] it is a device and no regular file: '/dev/zero'

    The reason why it cannot be read is the ``strerror`` of the error, in words.

    Args:
        path: The file, or a link to it.
        most: Bytes that it may have.
        inside: The folder that it must be in, links followed; anywhere if None.

    Raises:
        OSError: It cannot be opened, is no regular file (`NotRegular`), is not in that folder
            (`OutOfFolder`), or is too large (``EFBIG``).
    """
    path = _named(path)
    real = look(path, inside)
    if (opened := opened_here(real)) is not None:
        data = os.pread(opened, most + 1, 0)
        if len(data) > most:
            raise _too_large(path, len(data), most)
        return data
    descriptor = os.open(real, _FLAGS | (getattr(os, "O_NOFOLLOW", 0) if inside is not None else 0))
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        _check_kind(found, path)
        if inside is not None and not os.path.samestat(found, os.stat(look(path, inside))):
            raise OutOfFolder(errno.EXDEV, "it was put in the place of another file just now", str(path))
        if found.st_size > most:
            raise _too_large(path, found.st_size, most)
        # A file may grow, and those of /proc say that they are empty.
        data = file.read(most + 1) or b""
    if len(data) > most:
        raise _too_large(path, len(data), most)
    return data


def look(path: Path, inside: Path | None = None) -> Path:
    """Where a regular file really is, found without opening it.

    Args:
        path: The file, or a link to it.
        inside: The folder that it must be in, links followed; anywhere if None.

    Raises:
        OSError: As `read_file` has it.
    """
    if inside is None:
        _check_kind(os.stat(path), path)
        return path
    real = path.resolve(strict=True)
    if not real.is_relative_to(inside.resolve(strict=True)):
        raise OutOfFolder(errno.EXDEV, "it leads out of the folder", str(path))
    _check_kind(os.stat(real), path)
    return real


def opened_here(path: Path | str) -> int | None:
    """A descriptor that this process has of a file and can read from, None if it has none.

    To open and close a file a second time takes this process's locks on it away, those of SQLite too.

    Raises:
        OSError: There is no such file.
    """
    sought = os.stat(path)
    try:
        opened = os.listdir("/dev/fd")
    except OSError:  # Windows, where a lock belongs to whoever asked for it
        return None
    return next((int(number) for number in opened if number.isdigit() and _is(int(number), sought)), None)


def _named(path: Path) -> Path:
    """The path with one's home in place of ``~``."""
    try:
        os.stat(found := path.expanduser())
    except (RuntimeError, ValueError) as error:  # the home of nobody; a NUL in a name
        raise OSError(errno.EINVAL, f"that is no name of a file ({error})", str(path)) from None
    return found


def _is(descriptor: int, sought: os.stat_result) -> bool:
    with suppress(OSError):
        return os.path.samestat(os.fstat(descriptor), sought) and _is_readable(descriptor)
    return False


def _is_readable(descriptor: int) -> bool:
    """False for the file that the output goes to; databases are opened for both."""
    import fcntl

    return fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_WRONLY


def _check_kind(found: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise NotRegular(errno.EINVAL, f"it is {kind} and no regular file", str(path))


def _too_large(path: Path, size: int, most: int) -> OSError:
    reason = f"it is too large: {size / 1e6:.1f} MB, at most {most / 1e6:g} MB"
    return OSError(errno.EFBIG, reason, str(path))
