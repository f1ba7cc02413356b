"""Passages of some hundred characters: what is indexed, and what an answer quotes."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from dashnb.local.documents import terms
from dashnb.local.documents.texts import Text, heading_of

LENGTH = 800
SNIPPET = 400
_FENCE = re.compile(r"```|~~~")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？；])|\n+")


def passages(document: Text, *, length: int = LENGTH) -> list[tuple[str, str]]:
    """Title and text of each passage of a document, in their order.

    >>> passages(Text("Phones", "# Phones\\n\\nTwo of them.\\n\\n## X1\\n\\nA large screen.", "markdown"))
    [('Phones', 'Two of them.'), ('Phones: X1', 'A large screen.')]

    A passage ends with a heading, a paragraph or a sentence, and only inside a sentence of more than
    `length` characters somewhere else. Each passage of a CSV file begins with the names of its columns.
    """
    if document.kind == "csv":
        return [(document.title, text) for text in _rows(document.text, length)]
    found = []
    for heading, text in _sections(document.text, headings=document.kind not in ("text", "json")):
        title = document.title if heading in ("", document.title) else f"{document.title}: {heading}"
        blocks = [block.strip("\n") for block in re.split(r"\n[ \t]*\n", text) if block.strip()]
        pieces = [piece for block in blocks for piece in _pieces(block, length)]
        found += [(title, passage) for passage in _joined(pieces, "\n\n", length)]
    return found


def snippet(text: str, query: str, *, length: int = SNIPPET) -> str:
    """The part of a passage that says most about a query, in one line.

    >>> snippet("Cats sleep. Dogs run in the park. Fish swim.", "dogs in the park", length=25)
    '… Dogs run in the park. …'
    """
    line = " ".join(text.split())
    if len(line) <= length:
        return line
    sentences = [piece for piece in _SENTENCE.split(line) if piece]
    asked, best, chosen = terms.words(query), -1.0, (0, "")
    for i in range(len(sentences)):
        window = ""
        for sentence in sentences[i:]:
            if window and len(window) + len(sentence) >= length:
                break
            window = f"{window} {sentence}".strip()
        covered = terms.share(asked, set(terms.terms(window)))
        if covered > best + 1e-9:
            best, chosen = covered, (i, window[:length])
    start, window = chosen
    before = "… " if start else ""
    return f"{before}{window}" + ("" if line.endswith(window) else " …")


def _sections(text: str, *, headings: bool) -> Iterator[tuple[str, str]]:
    """The text below each heading; a heading inside a block of code is none."""
    heading, lines, in_code = "", list[str](), False
    for line in text.split("\n"):
        if _FENCE.match(line.lstrip()):
            in_code = not in_code
        words = heading_of(line) if headings and not in_code else ""
        if not words:
            lines.append(line)
            continue
        yield heading, "\n".join(lines)
        heading, lines = words, []
    yield heading, "\n".join(lines)


def _pieces(block: str, length: int) -> list[str]:
    if len(block) <= length:
        return [block]
    cut = [sentence[i : i + length] for sentence in _SENTENCE.split(block) for i in range(0, len(sentence), length)]
    return _joined([piece for piece in cut if piece.strip()], " ", length)


def _joined(pieces: list[str], between: str, length: int) -> list[str]:
    """Neighbours put together as long as they stay within the length."""
    joined: list[str] = []
    for piece in pieces:
        if joined and len(joined[-1]) + len(between) + len(piece) <= length:
            joined[-1] += between + piece
        else:
            joined.append(piece)
    return joined


def _rows(text: str, length: int) -> list[str]:
    lines = [line for line in text.split("\n") if line.strip()]
    head = lines[0] if len(lines[0]) <= length // 4 else ""
    rows = itertools.chain.from_iterable(_pieces(line, length) for line in (lines[1:] if head else lines))
    blocks = _joined(list(rows), "\n", length - len(head) - 1)
    return [f"{head}\n{block}".strip() for block in blocks] or [head]
