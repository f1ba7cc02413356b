"""What a function returned, as a model reads it and as a person sees it.

| result | the model gets | the person sees besides |
|---|---|---|
| text | the text | |
| a table of pandas, polars or dashnb | Markdown, 50 rows at most | |
| a picture or figure | its kind and size in words | the picture |
| anything else | JSON | |
| bytes | an error that says what to return instead | |
| without end, or too long to be sent | an error that says how much there may be | |
"""

from __future__ import annotations

import base64
import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from dashnb.protocol.pieces import NO_ASIDE, Aside
from dashnb.session.frames import frame_as_markdown

# Characters of one output, and entries of one iterator, beyond which no model reads and no service takes them.
MOST_CHARACTERS = 1_000_000
MOST_ENTRIES = 100_000
DEEPEST = 300  # lists within lists, more than the encoder takes
_PICTURES = (("_repr_png_", "png"), ("_repr_jpeg_", "jpeg"))


@dataclass(frozen=True, slots=True)
class Outcome:
    """The output of a call, and what only the person sees of it."""

    text: str
    aside: Aside = NO_ASIDE


class UnreadableResult(Exception):
    """A result that no model can read; the message says what to return instead."""


def outcome_of(value: Any) -> Outcome:
    """The output for a function's result.

    >>> outcome_of({"temp": 21.5}).text, outcome_of("rain").text, outcome_of(None).text
    ('{"temp":21.5}', 'rain', 'null')

    Raises:
        UnreadableResult: The result is bytes, has no end, or is too long.
    """
    if isinstance(value, str):
        return Outcome(_sendable(value))
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise UnreadableResult(
            "the function returned bytes, which a model cannot read; return text or a picture object"
        )
    if picture := _picture(value):
        return Outcome(picture.words, Aside(pictures=(picture.address,)))
    if table := frame_as_markdown(value):
        return Outcome(_sendable(table))
    return Outcome(_sendable(_json(value)))


def _sendable(text: str) -> str:
    size = str.__len__(text)
    if size > MOST_CHARACTERS:
        raise UnreadableResult(
            f"the function returned {size:,} characters, and {MOST_CHARACTERS:,} are the most; return less"
        )
    # A name of a file may hold bytes that are no text, which Python keeps as characters that cannot be sent.
    return str.__str__(text).encode("utf-8", "replace").decode()


# --- JSON --------------------------------------------------------------------------------------


def _json(value: Any) -> str:
    raised: list[BaseException] = []

    def text_of(part: Any) -> str:
        try:
            return str(part)
        except BaseException as error:
            raised.append(error)
            raise

    try:
        return to_json(_drawn(value), fallback=text_of).decode()
    except PydanticSerializationError:
        for error in raised:  # interrupts too: the encoder makes everything that is raised an error of its own
            raise error from None
        raise


def _drawn(value: Any, depth: int = 0) -> Any:
    """The value with lists in place of iterators, which the encoder would follow without end."""
    if depth > DEEPEST:  # the encoder says what is wrong with it
        return value
    if isinstance(value, Iterator):
        entries = list(islice(value, MOST_ENTRIES + 1))
        if len(entries) > MOST_ENTRIES:
            raise UnreadableResult(
                f"the function returned something with more than {MOST_ENTRIES:,} entries, or without end; return less"
            )
        return [_drawn(entry, depth + 1) for entry in entries]
    if type(value) in (list, tuple):
        return [_drawn(entry, depth + 1) for entry in value]
    if type(value) is dict:
        return {key: _drawn(entry, depth + 1) for key, entry in value.items()}
    return value


# --- pictures ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Picture:
    kind: str
    content: bytes

    @property
    def address(self) -> str:
        return f"data:image/{self.kind};base64,{base64.b64encode(self.content).decode('ascii')}"

    @property
    def words(self) -> str:
        size = ""
        if self.content.startswith(b"\x89PNG\r\n\x1a\n") and len(self.content) >= 24:
            width, height = struct.unpack(">II", self.content[16:24])
            size = f", {width} × {height} pixels"
        return f"A picture was shown to the person: {self.kind.upper()}{size}."


def _picture(value: Any) -> _Picture | None:
    """The picture that the value is, asked in the ways in which pictures of Python show themselves."""
    module = type(value).__module__
    if module.startswith("matplotlib.") and hasattr(value, "savefig"):
        drawn = io.BytesIO()
        value.savefig(drawn, format="png", bbox_inches="tight")
        return _Picture("png", drawn.getvalue())
    if isinstance(value, type):
        return None
    for method, kind in _PICTURES:
        content = _shown(value, method)
        if content:
            return _Picture(kind, content)
    return None


def _shown(value: Any, method: str) -> bytes | None:
    show = getattr(value, method, None)
    if not callable(show):
        return None
    content = show()
    if isinstance(content, tuple):  # with metadata, as IPython's pictures do
        content = content[0]
    if isinstance(content, str):
        content = base64.b64decode(content)
    return content if isinstance(content, bytes) else None
