"""Secrets that a stream spells out: a model repeats a key in pieces, each in an event of its own. Pure.

The pieces of one text, of one message or one call, are read as one. What may still become a secret is kept
back, with all that follows it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from dashnb.credentials import touching

_PIECE = re.compile(rb'"(value|text|arguments|output)":\s*"((?:[^"\\]|\\.)*+)"')
_OWNER = re.compile(rb'"id":\s*"([^"]*)"')
_INDEX = re.compile(rb'"index":\s*(\d+)')

Span = tuple[int, int]


class Piece(NamedTuple):
    """A part of a text: the line of its event, the string in it, both as places in the bytes, and what it says."""

    line: Span
    begin: int
    end: int
    text: str


class Finding(NamedTuple):
    """A secret over several pieces: the lines it takes, and what these strings become."""

    lines: Span
    changes: list[tuple[int, int, bytes]]


def texts(content: bytes) -> list[list[Piece]]:
    r"""The texts that the events of complete lines spell out, each in its pieces.

    >>> event = '{"id": "m", "delta": {"value": "%s"}}\n'
    >>> [[piece.text for piece in text] for text in texts((event % "Hel" + event % "lo").encode())]
    [['Hel', 'lo']]
    """
    found: dict[object, list[Piece]] = {}
    start = 0
    for line in content.splitlines(keepends=True) if b'"delta"' in content else ():
        span = start, start + len(line)
        if b'"delta"' in line:
            owner, index = _OWNER.search(line), _INDEX.search(line)
            for match in _PIECE.finditer(line):
                key = owner and owner[1], index and index[1], match[1]
                begin, end = match.span(2)
                found.setdefault(key, []).append(Piece(span, start + begin, start + end, _said(match[2])))
        start += len(line)
    return list(found.values())


def findings(pieces: list[Piece], spans: Iterable[Span], new: str) -> Iterator[Finding]:
    """What is found in a text that lies in more than one of its pieces.

    Args:
        pieces: The text.
        spans: What is to be taken out of it.
        new: What stands in its place.
    """
    places, size = [], 0
    for piece in pieces:
        places.append((size, size := size + len(piece.text)))
    touched = [inside for _, inside in touching(places, sorted(spans))]
    # Secrets that share a piece change it together: the first and the last piece, and what is taken out.
    first = 0
    for number, inside in enumerate(touched):
        if not (inside and inside[-1][1] > places[number][1]):  # none goes on in the next one
            if first < number:
                changed = range(first, number + 1)
                changes = [
                    (pieces[n].begin, pieces[n].end, _written(_without(pieces[n].text, places[n][0], touched[n], new)))
                    for n in changed
                ]
                yield Finding((pieces[first].line[0], pieces[number].line[1]), changes)
            first = number + 1


def decided(content: bytes, begins: Callable[[str], int], found: Iterable[Finding]) -> int:
    """How many bytes of complete lines can no longer become part of a secret.

    Args:
        content: The lines.
        begins: Where in a text something begins that may become a secret; its length if nothing does.
        found: The secrets in it, which must not be cut.
    """
    size = len(content)
    for pieces in texts(content):
        place = begins("".join(piece.text for piece in pieces))
        for piece in pieces:
            if place < len(piece.text):
                size = min(size, piece.line[0])
                break
            place -= len(piece.text)
    for finding in sorted(found, key=lambda finding: finding.lines, reverse=True):
        if finding.lines[0] < size < finding.lines[1]:
            size = finding.lines[0]
    return size


def _without(text: str, start: int, spans: Iterable[Span], new: str) -> str:
    """A piece that starts there without these spans; each is replaced where it begins."""
    parts, at = [], start
    for begin, end in spans:
        if begin < start + len(text) and start < end:
            parts += [text[at - start : max(begin - start, 0)], new * (begin >= start)]
            at = min(end, start + len(text))
    return "".join([*parts, text[at - start :]])


def _said(string: bytes) -> str:
    try:
        return str(json.loads(b'"' + string + b'"', strict=False))
    except ValueError:
        return ""


def _written(text: str) -> bytes:
    return json.dumps(text)[1:-1].encode()
