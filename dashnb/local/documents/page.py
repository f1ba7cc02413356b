"""What a page of HTML says, in work that grows with the page.

`html.parser` looks for the end of every comment and tag anew, which takes the square of a page that closes none
of them: minutes for a megabyte. Here what has no end is the rest of the page, as it is to a browser.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

_BLOCK_TAGS = """
address article aside blockquote dd div dl dt figcaption figure footer form header hr li main nav ol p pre section
table tr ul
"""
_BLOCKS = frozenset(_BLOCK_TAGS.split())
_SILENT = frozenset(("script", "style", "template", "noscript"))
_HEADINGS = {f"h{level}": f"\n\n{'#' * level} " for level in range(1, 7)}
# Their content is no HTML: it ends at their end tag and nowhere else.
_RAW = {tag: re.compile(f"</{tag}", re.IGNORECASE) for tag in ("script", "style")}

_NAME = re.compile(r"</?([A-Za-z][^\s/>]*)")
_REST_OF_TAG = re.compile(r"""(?:[^"'>]|"[^"]*"|'[^']*')*+>""")
# No character has such a number, and more digits are no number to Python.
_NO_CHARACTER = re.compile(r"&#(?:\d{8,}+|[xX][0-9a-fA-F]{8,}+);?")


def title_and_text(page: str) -> tuple[str, str]:
    """The title and the visible text of a page, with the headings of Markdown.

    >>> title_and_text("<title>Cats</title><h1>Cats &amp; dogs</h1>sleep<br>all <b>day</b><!-- x -->")
    ('Cats', '# Cats & dogs\\n\\nsleep\\nall day')
    """
    reader = _Reader()
    for tag, words in _pieces(page):
        reader.take(tag, words)
    lines = [" ".join(line.split()) for line in "".join(reader.parts).split("\n")]
    return " ".join("".join(reader.title).split()), re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _pieces(page: str) -> Iterator[tuple[str, str]]:
    """The page as texts, ``("", text)``, and tags, ``("/p", "")``; comments and declarations are left out."""
    at = 0
    are_quoted = True  # until a quotation mark is left open: it would be looked for again in every tag
    while (begin := page.find("<", at)) >= 0:
        yield "", page[at:begin]
        named = _NAME.match(page, begin)
        if named is None:
            end = _after_no_tag(page, begin)
        else:
            rest = _REST_OF_TAG.match(page, named.end()) if are_quoted else None
            are_quoted = rest is not None
            end = rest.end() if rest else page.find(">", named.end()) + 1
        if not end:
            return
        if named is None:
            at = end
            if end == begin + 1:
                yield "", "<"
            continue
        tag = named[1].lower()
        closes, is_whole = page.startswith("</", begin), page.startswith("/>", end - 2)
        yield f"/{tag}" if closes else tag, ""
        if is_whole and not closes:
            yield f"/{tag}", ""
        elif not closes and tag in _RAW:
            over = _RAW[tag].search(page, end)
            if over is None:
                return
            end = over.start()
        at = end
    yield "", page[at:]


def _after_no_tag(page: str, begin: int) -> int:
    """Where a comment or a declaration ends, or a ``<`` that is neither; 0 if there is no end."""
    if page.startswith("<!--", begin):
        if page.startswith((">", "->"), begin + 4):
            return page.find(">", begin) + 1
        end = page.find("-->", begin + 4)
        return end + 3 if end >= 0 else 0
    if page.startswith(("<!", "<?", "</"), begin):
        return page.find(">", begin) + 1
    return begin + 1


class _Reader:
    """Collects what is visible."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.title: list[str] = []
        self._silent: list[str] = []
        self._in_title = False

    def take(self, tag: str, words: str) -> None:
        """Add a piece of the page."""
        if not tag:
            self._say(words)
        elif tag in _SILENT:
            self._silent.append(tag)
        elif self._silent and tag == f"/{self._silent[-1]}":
            self._silent.pop()
        elif tag.removeprefix("/") == "title":
            self._in_title = tag == "title"
        elif tag in _HEADINGS:
            self.parts.append(_HEADINGS[tag])
        elif tag.removeprefix("/") in _BLOCKS or tag.removeprefix("/") in _HEADINGS:
            self.parts.append("\n\n")
        elif tag == "br":
            self.parts.append("\n")
        elif tag in ("td", "th"):
            self.parts.append(" ")

    def _say(self, words: str) -> None:
        if self._silent or not words:
            return
        said = unescape(_NO_CHARACTER.sub("\ufffd", words))
        # Line breaks of the source mean nothing; those of the page are written above.
        (self.title if self._in_title else self.parts).append(said.replace("\n", " "))
