"""Files and folders put into a library, one after the other; what cannot be read is named, and the rest goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dashnb.characters import in_line
from dashnb.errors import InvalidArgument
from dashnb.local.documents.library import Document, Library
from dashnb.local.documents.passages import passages
from dashnb.local.documents.texts import KINDS, read_text

COLLECTION = "default"
_TOGETHER = 20  # files of one transaction


@dataclass(frozen=True, slots=True)
class Added:
    """What became of one file.

    Attributes:
        number, total: Which one it is, and of how many.
        path: The file.
        passages: How many passages it has; 0 if it was refused.
        refused: Why it was refused, else ``""``.
        asked: True if the person named this very file, false if it was found in a folder.
    """

    number: int
    total: int
    path: Path
    passages: int = 0
    refused: str = ""
    asked: bool = True


def add(library: Library, paths: Sequence[Path], *, collection: str = COLLECTION) -> Iterator[Added]:
    """Put files, and all files below folders, into a collection; one `Added` for each.

    Hidden files and folders are left out. A file's name in the library is its path below the folder.

    Raises:
        StoreError: The library cannot be used.
    """
    files = [entry for path in paths for entry in _files(path.expanduser().absolute())]
    for start in range(0, len(files), _TOGETHER):
        documents, added = [], []
        for number, (path, name, asked) in enumerate(files[start : start + _TOGETHER], start + 1):
            try:
                text = read_text(path)
            except InvalidArgument as error:
                added.append(Added(number, len(files), path, refused=str(error), asked=asked))
                continue
            parts = passages(text)
            documents.append((Document(collection, name, str(path), text.kind), parts))
            added.append(Added(number, len(files), path, len(parts), asked=asked))
        if documents:
            library.put_all(documents)
        yield from added


def summary(added: Sequence[Added], collection: str) -> list[str]:
    """What a person reads in the end: how much was added, and what was left out."""
    good = [one for one in added if not one.refused]
    lines = [
        f"Added {_count(len(good), 'document')} with {_count(sum(one.passages for one in good), 'passage')} "
        f"to the collection {collection}."
    ]
    unknown = [one for one in added if one.refused and not one.asked and one.path.suffix.lower() not in KINDS]
    lines += [f"Not added: {in_line(one.refused)}" for one in added if one.refused and one not in unknown]
    if unknown:
        names = ", ".join(in_line(one.path.name) for one in unknown[:5]) + (", …" if len(unknown) > 5 else "")
        verb = "is" if len(unknown) == 1 else "are"
        lines.append(f"Left out, as {_count(len(unknown), 'file')} {verb} of another type: {names}.")
    return lines


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _files(path: Path) -> Iterator[tuple[Path, str, bool]]:
    if not path.is_dir():
        yield path, path.name, True
        return
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                found = Path(folder) / name
                yield found, found.relative_to(path).as_posix(), False
