r"""An answer cut into blocks, each of which is one output of a notebook cell.

A notebook can replace an output but not append to one. Replacing a whole answer for every piece that
arrives is quadratic; so a long answer is a row of blocks of which only the last one is open.

The rules:

* A block may end only at a border: before a line that begins at the margin, outside a code fence,
  after an empty line. Between the items of a list it may end only if there is no such place.
* What is a border depends on complete lines only, so a border never moves while text is added:
  what was sealed stays sealed, and however the text came in pieces, the blocks are the same.
* Blocks grow: eight of 1,800 characters, eight of twice that, and so on, 40 at most, because
  JupyterLab hides the outputs of a cell beyond 50. A short answer is one block.

>>> text = "\n\n".join(f"Paragraph {n}. " + "word " * 60 for n in range(30)) + "\n"
>>> pieces = cut(text)
>>> len(pieces), "".join(pieces) == text, max(len(piece) for piece in pieces) <= SEAL
(6, True, True)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from dashnb.protocol.state import RunState, Step

SEAL = 1800  # characters of the first blocks
BLOCKS_PER_SIZE = 8
MAX_BLOCKS = 40
CALL_WEIGHT = 200  # what a tool call counts as, in characters
_PATIENCE = 3  # how many times its size a block may reach before a list is cut between items

_LINES = re.compile(r"^[^\n]*\n", re.MULTILINE)  # tried at beginnings only: a line without an end is long
_ITEM = re.compile(r"(?:[-*+]|\d{1,9}[.)])[ \t]")
# Each mark is read in one way only and never given back: two ways double the work with every mark.
_FENCE = re.compile(r"(?:[ \t>]|[-*+][ \t]|\d{1,9}[.)][ \t])*+(`{3,}+(?=[^`\n]*$)|~{3,})")


@dataclass(frozen=True, slots=True)
class TextSection:
    """A piece of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolSection:
    """A step that calls tools."""

    step: Step


Section = TextSection | ToolSection


@dataclass(frozen=True, slots=True)
class Block:
    """What one output shows: sections, under the heading if first, over the accounts if last."""

    sections: tuple[Section, ...]
    first: bool = True
    last: bool = True


def sections(state: RunState) -> tuple[Section, ...]:
    """The run in reading order: tool steps and texts as they came."""
    steps = state.steps
    whole = state.text
    if "\n\n".join(step.text for step in steps if step.text) == whole:
        ordered = (TextSection(step.text) if step.text else ToolSection(step) for step in steps)
        return tuple(section for section in ordered if isinstance(section, TextSection) or section.step.calls)
    # A message that no step points to: tools first, then everything that was said.
    tools = tuple(ToolSection(step) for step in steps if step.calls)
    return (*tools, TextSection(whole)) if whole else tools


def whole(state: RunState) -> Block:
    """The run as a single block."""
    return Block(sections(state))


def blocks(state: RunState) -> tuple[Block, ...]:
    """The run as the outputs of a cell, at least one."""
    cutter = _Cutter()
    for section in sections(state):
        if isinstance(section, ToolSection):
            cutter.add_tool(section)
        else:
            cutter.add_text(section.text)
    parts = cutter.parts
    last = len(parts) - 1
    return tuple(Block(tuple(part), first=number == 0, last=number == last) for number, part in enumerate(parts))


def cut(text: str) -> list[str]:
    """The text in pieces that join to the text; at least one."""
    cutter = _Cutter()
    cutter.add_text(text)
    return [section.text for part in cutter.parts for section in part if isinstance(section, TextSection)] or [""]


def open_fence(text: str) -> str:
    r"""What closes the code fence that the text leaves open, or ``""``.

    >>> open_fence("```py\nx = 1"), open_fence("~~~~\nx\n~~~~\n")
    ('```', '')
    """
    fence = ""
    for line in text.split("\n"):
        fence = _fence_after(line, fence)
    return fence


@dataclass(slots=True)
class _Cutter:
    parts: list[list[Section]] = field(default_factory=lambda: [[]])
    used: int = 0

    @property
    def size(self) -> int:
        """How many characters the open block should have; 0 for the last one, which is never sealed."""
        number = len(self.parts) - 1
        return 0 if number >= MAX_BLOCKS - 1 else SEAL << (number // BLOCKS_PER_SIZE)

    def add_tool(self, section: ToolSection) -> None:
        if self.size and self.used >= self.size:
            self._seal()
        self.parts[-1].append(section)
        self.used += CALL_WEIGHT * len(section.step.calls)

    def add_text(self, text: str) -> None:
        borders = list(_borders(text)) if len(text) > SEAL // 2 else []
        complete = text.rfind("\n") + 1
        start = 0
        while self.size and (end := _end(borders, start, complete, max(self.size - self.used, self.size // 2))):
            self.parts[-1].append(TextSection(text[start:end]))
            self._seal()
            start = end
        if rest := text[start:]:
            self.parts[-1].append(TextSection(rest))
            self.used += len(rest)

    def _seal(self) -> None:
        self.parts.append([])
        self.used = 0


def _end(borders: list[tuple[int, bool]], start: int, complete: int, size: int) -> int:
    """Where the piece from ``start`` ends, or 0 if it is still open."""
    if complete - start <= size:
        return 0
    ahead = [(border, strong) for border, strong in borders if border > start]
    inside = [border for border, strong in ahead if strong and size // 2 <= border - start <= size]
    if inside:
        return inside[-1]
    limit = _PATIENCE * size
    beyond = [border for border, strong in ahead if strong and size < border - start <= limit]
    if beyond:
        return beyond[0]
    anywhere = [border for border, _ in ahead if border - start > size]
    return anywhere[0] if anywhere and complete - start > limit else 0


def _borders(text: str) -> Iterator[tuple[int, bool]]:
    """The places where a block may end, each with True if it is a good one, False if inside a list."""
    fence, after_blank, in_list = "", True, False
    for match in _LINES.finditer(text):
        line = match[0][:-1].rstrip("\r")
        if not fence and line.strip() and not line[0].isspace():
            is_item = bool(_ITEM.match(line))
            good = after_blank and not (is_item and in_list)
            if match.start() and (good or (is_item and in_list)):
                yield match.start(), good
            in_list = is_item or (in_list and not after_blank)
        fence = _fence_after(line, fence)
        after_blank = not line.strip()


def _fence_after(line: str, fence: str) -> str:
    """The fence that is open after the line, ``""`` if none."""
    if fence:
        bare = line.strip(" \t\r>")
        return "" if bare.startswith(fence) and not bare.strip(fence[0]) else fence
    opened = _FENCE.match(line)
    return opened[1] if opened else ""
