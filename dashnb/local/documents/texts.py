"""The text of a file: plain text, Markdown, HTML, notebooks, CSV and JSON. Other types are refused."""

from __future__ import annotations

import codecs
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

from dashnb.characters import in_line
from dashnb.errors import InvalidArgument
from dashnb.files import read_file
from dashnb.local.documents.page import title_and_text

MOST_BYTES = 10_000_000
KINDS: dict[str, str] = {
    ".txt": "text",
    ".text": "text",
    ".rst": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".ipynb": "notebook",
    ".csv": "csv",
    ".json": "json",
}
_MARKS = re.compile(r"#{1,6}(?=\s)")


@dataclass(frozen=True, slots=True)
class Text:
    """What a file says.

    Attributes:
        title: Its own title, else the name of the file.
        text: Markdown for the kinds that have headings, otherwise as it stands.
        kind: One of the values of `KINDS`.
    """

    title: str
    text: str
    kind: str


def read_text(path: Path, *, inside: Path | None = None) -> Text:
    """The text of a file.

    Args:
        path: The file, or a link to it.
        inside: The folder that it must be in, links followed; anywhere if None.

    Raises:
        InvalidArgument: The type is not known, it is no regular file, is too large, is not in that folder,
            cannot be read, or holds no text.
    """
    shown = in_line(str(path))
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        raise InvalidArgument(f"{shown} is of no type that can be read; there are: {', '.join(KINDS)}.")
    try:
        data = read_file(path, MOST_BYTES, inside=inside)
    except OSError as error:
        raise InvalidArgument(f"{shown} cannot be read: {error.strerror or error}.") from error
    text = _decode(data, shown)
    title = in_line(path.stem)
    if kind == "notebook":
        text = _notebook(text, shown)
    elif kind == "html":
        named, text = title_and_text(text)
        title = named or title
    if not text.strip():
        raise InvalidArgument(f"{shown} holds no text.")
    if kind in ("markdown", "notebook", "html") and title == in_line(path.stem):
        title = next(filter(None, map(heading_of, text.split("\n"))), title)
    return Text(title, text, kind)


def heading_of(line: str) -> str:
    """The words of a line that is a heading in Markdown, ``""`` for any other.

    >>> heading_of("## Cats ##"), heading_of("#cats"), heading_of("# #")
    ('Cats', '', '#')
    """
    marks = _MARKS.match(line)
    words = line[marks.end() :].strip() if marks else ""
    return words.rstrip("#").rstrip() or words[:1]


def _decode(data: bytes, shown: str) -> str:
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidArgument(f"{shown} is not text in UTF-8; save it as UTF-8.") from None
    if "\0" in text:
        raise InvalidArgument(f"{shown} is not text: it has zero bytes.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _notebook(text: str, shown: str) -> str:
    import nbformat

    try:
        with warnings.catch_warnings():
            # An old notebook without cell ids is read all the same.
            warnings.simplefilter("ignore")
            cells = nbformat.reads(text, as_version=4).cells  # type: ignore[no-untyped-call]
    except Exception as error:
        # nbformat raises what json, jsonschema and its own converters raise.
        raise InvalidArgument(f"{shown} is no notebook: {type(error).__name__}.") from error
    parts = []
    for cell in cells:
        source = str(cell.get("source", "")).strip()
        if source and cell.get("cell_type") == "code":
            parts.append(f"```\n{source}\n```")
        elif source:
            parts.append(source)
    return "\n\n".join(parts)
