"""What a program showed: the messages of a kernel, collected as text and pictures of a bounded size."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

MOST_PICTURES = 8
TRACEBACK_LINES = 12

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_FOLDER = re.compile(r"(?m)^([ \t]*File \"?)[^\s\":]*[/\\](?=[^/\\\s\":]+)")


class Output:
    """Collects the output of one call.

    >>> output = Output(most=10)
    >>> output.take("stream", {"name": "stdout", "text": "1\\n"})
    >>> output.take("execute_result", {"data": {"text/plain": "42"}})
    >>> output.text()
    '1\\n42'

    Args:
        most: Characters of text that are kept.
    """

    def __init__(self, most: int) -> None:
        self.pictures: list[bytes] = []
        self._most = most
        self._parts: list[str] = []
        self._length = 0
        self._notes: list[str] = []
        self.was_interrupted = False

    def take(self, kind: str, content: Mapping[str, Any]) -> None:
        """Add what a message shows; messages of other kinds show nothing."""
        if content.get("replaced"):
            self.note("Characters that are no text were replaced.")
        if kind == "stream":
            self._add(str(content.get("text", "")))
        elif kind in ("execute_result", "display_data"):
            self._show(content.get("data") or {})
        elif kind == "error":
            self.was_interrupted = content.get("ename") == "KeyboardInterrupt"
            self._line(short_traceback(content))

    def note(self, text: str) -> None:
        """Add a line in brackets at the end, such as the limit that was hit."""
        if text not in self._notes:
            self._notes.append(text)

    def text(self) -> str:
        """Everything shown, with the notes."""
        notes = [f"[{note}]" for note in self._notes]
        if self._length > self._most:
            notes.insert(0, f"[The output was cut after {self._most:,} characters.]")
        shown = "".join(self._parts)[: self._most].rstrip()
        return "\n".join([shown, *notes] if shown else notes)

    def _show(self, data: Mapping[str, Any]) -> None:
        if "image/png" not in data:
            self._line(str(data.get("text/plain", "")))
            return
        try:
            picture = base64.b64decode(data["image/png"])
        except (binascii.Error, ValueError, TypeError):
            picture = b""
        if len(self.pictures) >= MOST_PICTURES:
            self.note(f"Only the first {MOST_PICTURES} pictures were kept.")
        elif picture.startswith(b"\x89PNG"):
            self.pictures.append(picture)
        else:
            self.note("A picture was too large, or no PNG, and was not kept.")

    def _line(self, text: str) -> None:
        if not text:
            return
        begins = not self._parts or self._parts[-1].endswith("\n")
        self._add(text if begins else f"\n{text}")
        self._add("\n")

    def _add(self, text: str) -> None:
        text = _ANSI.sub("", text)
        # One character more than is kept shows that there was more; "\n" alone is not worth a note.
        room = self._most + 1 - self._length
        if text.strip() or room > 1:
            self._parts.append(text[:room] if room > 0 else "")
            self._length += len(self._parts[-1])


def short_traceback(content: Mapping[str, Any]) -> str:
    """The last lines of a traceback, without the folders of this machine.

    >>> print(short_traceback({"traceback": ["Traceback:", "  File /usr/lib/json.py:3, in a", "ValueError: b"]}))
    Traceback:
      File json.py:3, in a
    ValueError: b
    """
    text = _ANSI.sub("", "\n".join(map(str, content.get("traceback") or [])))
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return f"{content.get('ename', 'Error')}: {content.get('evalue', '')}"
    kept = lines if len(lines) <= TRACEBACK_LINES + 1 else [lines[0], "  …", *lines[-TRACEBACK_LINES + 1 :]]
    return _FOLDER.sub(r"\1", "\n".join(kept))
