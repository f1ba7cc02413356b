"""The text of a file: plain text, Markdown, HTML, notebooks, CSV and JSON. Other types are refused."""

from __future__ import annotations

import codecs
import re
import warnings
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from dashnb.characters import in_line
from dashnb.errors import InvalidArgument
from dashnb.files import read_file

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
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
_BLOCK_TAGS = """
address article aside blockquote dd div dl dt figcaption figure footer form header hr li main nav ol p pre section
table tr ul
"""
_BLOCKS = frozenset(_BLOCK_TAGS.split())
_SILENT = frozenset(("script", "style", "template", "noscript"))


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
        named, text = _html(text)
        title = named or title
    if not text.strip():
        raise InvalidArgument(f"{shown} holds no text.")
    if kind in ("markdown", "notebook", "html") and title == in_line(path.stem) and (first := _HEADING.search(text)):
        title = first[1]
    return Text(title, text, kind)


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


def _html(text: str) -> tuple[str, str]:
    reader = _Reader()
    reader.feed(text)
    reader.close()
    lines = [" ".join(line.split()) for line in "".join(reader.parts).split("\n")]
    return " ".join(reader.title.split()), re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


class _Reader(HTMLParser):
    """Collects the visible text; headings become those of Markdown."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.title = ""
        self._silent: list[str] = []
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT:
            self._silent.append(tag)
        elif tag == "title":
            self._in_title = True
        elif re.fullmatch(r"h[1-6]", tag):
            self.parts.append(f"\n\n{'#' * int(tag[1])} ")
        elif tag in _BLOCKS:
            self.parts.append("\n\n")
        elif tag == "br":
            self.parts.append("\n")
        elif tag in ("td", "th"):
            self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if self._silent and tag == self._silent[-1]:
            self._silent.pop()
        elif tag == "title":
            self._in_title = False
        elif tag in _BLOCKS or re.fullmatch(r"h[1-6]", tag):
            self.parts.append("\n\n")

    def handle_data(self, data: str) -> None:
        if self._silent:
            return
        if self._in_title:
            self.title += data
        else:
            # Line breaks of the source mean nothing; those of the page are written above.
            self.parts.append(data.replace("\n", " "))
