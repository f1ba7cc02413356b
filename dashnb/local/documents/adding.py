"""Files and folders put into a library, one after the other; what cannot be read is named, and the rest goes on.

From a folder only its regular files are taken: no pipe, device or socket, nothing that a link leads to outside
of the folder, and none of dashnb's own databases, which must not be opened beside SQLite. A link to a file
inside the folder is read like a file of its own; links to folders are not followed. What a person names
themselves may be a link to anywhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dashnb.characters import in_line
from dashnb.database import MEMORY
from dashnb.errors import InvalidArgument
from dashnb.files import NotRegular, OutOfFolder, look
from dashnb.local.documents.library import Document, Library
from dashnb.local.documents.passages import passages
from dashnb.local.documents.texts import KINDS, read_text

COLLECTION = "default"
_TOGETHER = 20  # files of one transaction
_NAMED = 5  # files that are named of those left out for one reason
# Why something found in a folder is left out, of one and of several.
OTHER_TYPE = ("file is of another type", "files are of another type")
NO_FILE = ("thing is no regular file", "things are no regular files")
OUTSIDE = ("link leads out of the folder", "links lead out of the folder")
TO_FOLDER = ("link leads to a folder", "links lead to folders")
OWN = ("file is a database of dashnb", "files are databases of dashnb")
NO_FOLDER = ("folder cannot be read", "folders cannot be read")
REASONS = (OTHER_TYPE, NO_FILE, OUTSIDE, TO_FOLDER, OWN, NO_FOLDER)
Reason = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Found:
    """A file to read, or something in a folder to leave out.

    Attributes:
        path: The file.
        name: Its name in the library.
        root: The folder that it was found in; None if the person named this very file.
        left: Why it is left out; None if it is to be read.
    """

    path: Path
    name: str
    root: Path | None = None
    left: Reason | None = None


@dataclass(frozen=True, slots=True)
class Added:
    """What became of one file.

    Attributes:
        number, total: Which one it is, and of how many.
        path: The file.
        passages: How many passages it has; 0 if it was refused.
        refused: Why it was refused, else ``""``.
        asked: True if the person named this very file, false if it was found in a folder.
        left: Which of the `REASONS` it was left out for, if it was one of them.
    """

    number: int
    total: int
    path: Path
    passages: int = 0
    refused: str = ""
    asked: bool = True
    left: Reason | None = None


def add(library: Library, paths: Sequence[Path], *, collection: str = COLLECTION) -> Iterator[Added]:
    """Put files, and all files below folders, into a collection; one `Added` for each.

    Hidden files and folders are passed over. A file's name in the library is its path below the folder.

    Raises:
        StoreError: The library cannot be used.
    """
    own = _own(library)
    files = [found for path in paths for found in _found(path.expanduser().absolute(), own)]
    for start in range(0, len(files), _TOGETHER):
        documents, added = [], []
        for number, found in enumerate(files[start : start + _TOGETHER], start + 1):
            one = _Numbered(number, len(files), found)
            if found.left is not None:
                added.append(one.refused(f"{in_line(str(found.path))} is left out, as 1 {found.left[0]}.", found.left))
                continue
            try:
                text = read_text(found.path, inside=found.root)
            except InvalidArgument as error:
                added.append(one.refused(str(error)))
                continue
            parts = passages(text)
            name, source = in_line(found.name), in_line(str(found.path))
            documents.append((Document(collection, name, source, text.kind), parts))
            added.append(one.added(len(parts)))
        if documents:
            library.put_all(documents)
        yield from added


def summary(added: Sequence[Added], collection: str) -> list[str]:
    """What a person reads in the end: how much was added, and what was left out and why."""
    good = [one for one in added if not one.refused]
    lines = [
        f"Added {_count(len(good), 'document')} with {_count(sum(one.passages for one in good), 'passage')} "
        f"to the collection {collection}."
    ]
    asked = [one.refused for one in added if one.refused and one.asked]
    others = [one.refused for one in added if one.refused and not one.asked and one.left is None]
    lines += [f"Not added: {reason}" for reason in [*asked, *others[:_NAMED]]]
    if len(others) > _NAMED:
        lines.append(f"Not added, for such reasons: {_count(len(others) - _NAMED, 'more file')}.")
    for reason in REASONS:
        left = [one.path.name for one in added if one.left == reason and not one.asked]
        if left:
            names = ", ".join(map(in_line, left[:_NAMED])) + (", …" if len(left) > _NAMED else "")
            lines.append(f"Left out, as {len(left)} {reason[len(left) > 1]}: {names}.")
    return lines


@dataclass(frozen=True, slots=True)
class _Numbered:
    number: int
    total: int
    found: Found

    def added(self, passages: int) -> Added:
        return Added(self.number, self.total, self.found.path, passages, asked=self.found.root is None)

    def refused(self, reason: str, left: Reason | None = None) -> Added:
        asked = self.found.root is None
        return Added(self.number, self.total, self.found.path, refused=reason, asked=asked, left=left)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _found(path: Path, own: frozenset[tuple[int, int]]) -> Iterator[Found]:
    if not path.is_dir():
        yield Found(path, path.name, left=OWN if _identity(path) in own else None)
        return
    unread: list[Found] = []

    def note(error: OSError) -> None:
        unread.append(Found(Path(error.filename or path), "", path, NO_FOLDER))

    for folder, folders, names in os.walk(path, onerror=note):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        for name in sorted([*names, *links]):
            if not name.startswith("."):
                found = Path(folder) / name
                yield Found(found, found.relative_to(path).as_posix(), path, _left(found, path, own))
    yield from unread


def _left(path: Path, root: Path, own: frozenset[tuple[int, int]]) -> Reason | None:
    """Why something found in a folder is not even opened; None if it may be."""
    try:
        look(path, root)
    except OutOfFolder:
        return OUTSIDE
    except NotRegular:
        return TO_FOLDER if path.is_dir() else NO_FILE
    except (OSError, RuntimeError):  # a circle of links is the one or the other, by the version of Python
        return NO_FILE
    if path.suffix.lower() not in KINDS:
        return OTHER_TYPE
    return OWN if _identity(path) in own else None


def _own(library: Library) -> frozenset[tuple[int, int]]:
    """The databases beside the library, its own included, under whatever names they are found."""
    if library.file == MEMORY:
        return frozenset()
    file = Path(library.file).absolute()
    named = {file, *file.parent.glob("*.db*"), *file.parent.glob(f"{file.name}-*")}
    return frozenset(known for one in named if (known := _identity(one)) is not None)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino
