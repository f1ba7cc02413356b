"""The folder of a kernel: made for it, named after who owns it, and removed for good, at the latest at a next start.

A kernel's keeper removes the folder when the server is gone. Where both were killed at once, the folder's file
``owner`` tells the next server that nobody needs it any more.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from dashnb.local.plugins.processes import end_all, living_in

PREFIX = "dashnb-"
PARTS = ("home", "tmp", "work", "run")
_OWNER = "owner"
_LONGEST = 64  # characters; the address of a socket has room for about a hundred
_SHORT = "/tmp"


def make() -> Path:
    """A new folder with its `PARTS`, which only the user may look into."""
    from dashnb.local.leases import new_owner

    place = None if len(tempfile.gettempdir()) <= _LONGEST else _SHORT
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    (folder / _OWNER).write_text(new_owner(), "utf-8")
    for name in PARTS:
        (folder / name).mkdir(mode=0o700)
    return folder


def remove(folder: Path) -> None:
    """Remove a folder with everything in it, also where code has closed it to its owner."""
    shutil.rmtree(folder, ignore_errors=True)
    if not os.path.lexists(folder):
        return
    for place, names, _ in os.walk(folder):
        for path in (os.path.join(place, name) for name in names):
            if not os.path.islink(path):
                with suppress(OSError):
                    os.chmod(path, 0o700)
    shutil.rmtree(folder, ignore_errors=True)


def sweep() -> list[Path]:
    """Remove the folders whose owners are dead, and end what still lives in them; the folders that were removed.

    What is not ours stays as it is.
    """
    swept = []
    for place in _places():
        with suppress(OSError), os.scandir(place) as entries:
            for entry in entries:
                if entry.name.startswith(PREFIX) and _is_left(Path(entry.path)):
                    if living := living_in(Path(entry.path)):
                        end_all(min(living), living)
                    remove(Path(entry.path))
                    swept.append(Path(entry.path))
    return swept


def _places() -> list[str]:
    """Where folders are made; nowhere but in the usual place while a full disk takes none."""
    try:
        return list(dict.fromkeys((tempfile.gettempdir(), _SHORT)))
    except OSError:
        return [_SHORT]


def _is_left(folder: Path) -> bool:
    from dashnb.files import read_file
    from dashnb.local.leases import is_running

    try:
        found = os.lstat(folder)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            return False
        owner = read_file(folder / _OWNER, 1000, inside=folder).decode("utf-8")
    except (OSError, ValueError, AttributeError):  # none of ours, or just being made, or this is Windows
        return False
    return is_running(owner) is False
