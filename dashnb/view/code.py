r"""Code in colours, and the code fences of a text that grows.

>>> painted("x = 1  # one", "py")[-1]
('opacity:0.68;font-style:italic', '# one')
>>> Fences().closed("So:\n```py\nx = 1\n```\n")
[Fence(number=0, language='py', code='x = 1')]
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from types import MappingProxyType
from typing import Any

PAINTED_AT_MOST = 20_000  # characters; longer code stays plain
_TAIL = 32  # characters that tell a text that grew from another text

# Saved HTML cannot know whether its page is light or dark. These colours have the luminance in the
# middle: 4.3:1 on white and on JupyterLab's dark, 3.9:1 on the grounds of code, where no colour has more.
_VIOLET, _GREEN, _ORANGE, _BLUE = "color:#ad50cc", "color:#238b31", "color:#bc600f", "color:#2777e0"
_TEAL, _PINK, _OCHRE, _RED = "color:#108592", "color:#cf4093", "color:#987408", "color:#dc3f36"

# Pygments' types of tokens; a type that is not here looks like its parent.
PALETTE: Mapping[str, str] = MappingProxyType(
    {
        "Token": "",
        "Token.Comment": "opacity:0.68;font-style:italic",
        "Token.Comment.Preproc": _PINK,
        "Token.Comment.PreprocFile": _GREEN,
        "Token.Keyword": _VIOLET,
        "Token.Keyword.Type": _OCHRE,
        "Token.Operator.Word": _VIOLET,
        "Token.Literal.String": _GREEN,
        "Token.Literal.Number": _ORANGE,
        "Token.Name.Function": _BLUE,
        "Token.Name.Class": _OCHRE,
        "Token.Name.Builtin": _TEAL,
        "Token.Name.Exception": _TEAL,
        "Token.Name.Decorator": _PINK,
        "Token.Name.Tag": _VIOLET,
        "Token.Name.Attribute": _BLUE,
        "Token.Generic.Deleted": _RED,
        "Token.Generic.Inserted": _GREEN,
        "Token.Generic.Heading": _BLUE,
        "Token.Generic.Subheading": _BLUE,
        "Token.Generic.Prompt": "opacity:0.68",
    }
)

# Names that people write and Pygments does not know.
_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("jsonc", "jsonl", "ndjson"), "json"),
        **dict.fromkeys(("node", "nodejs", "mjs", "cjs"), "js"),
        **dict.fromkeys(("h", "hpp", "cc"), "cpp"),
        **dict.fromkeys(("env", "dotenv"), "bash"),
        "cmd": "bat",
        "jupyter": "python",
        "kt": "kotlin",
        "mdx": "markdown",
        "patch": "diff",
        "python-repl": "pycon",
        "sqlite": "sql",
        "svg": "xml",
        "terminal": "console",
        "vb": "vb.net",
    }
)

# Some of Pygments' rules take the square or the cube of the length of a line or of a gap.
_STRANGE = re.compile(r"[^\n]{501}|\s{101}")
# Those that look for a method's name try every chain of words; comments seldom have so many in a row.
_CHAIN = re.compile(r"(?<!\S)(?:[\w.\[\]$<>?@]++\s++){40}")
_CHAIN_LEXERS = frozenset({"JavaLexer", "CSharpLexer", "CSharpAspxLexer", "GroovyLexer", "VbNetLexer"})
_LANGUAGE = re.compile(r"[\w+#-]+")
_NEWLINE = re.compile(r"\r\n?")
_OPENING = re.compile(r"(`{3,}(?=[^`]*$)|~{3,})(.*)")
_ITEM = re.compile(r"([-*+]|\d{1,9}[.)])(?=[ \t]|$)")
_RULE = re.compile(r"([-*_])[ \t]*(?:\1[ \t]*){2,}$")
_HEADING = re.compile(r"#{1,6}(?:[ \t]|$)")
_UNDERLINE = re.compile(r"(?:=+|-+)[ \t]*$")


# --- colours -----------------------------------------------------------------------------------


@lru_cache(maxsize=256)  # an answer is shown many times while it grows
def painted(code: str, language: str) -> tuple[tuple[str, str], ...]:
    """The code as pairs of an inline style (``""`` is plain) and a text; the texts join to the code.

    One plain pair is code in a language that Pygments does not know, of more than 20,000 characters, with
    a line of more than 500, with more than 100 blanks or empty lines in a row, or (Java, C#) with 40 words.

    >>> painted("if x", "python")
    (('color:#ad50cc', 'if'), ('', ' x'))

    Args:
        code: A program, or a piece of one.
        language: Its name as after a fence: ``py``, ``console``; ``""`` if nobody said it.
    """
    plain = (("", code),) if code else ()
    lexer = _lexer(language) if language else None
    if lexer is None or _takes_long(code, lexer.__name__):
        return plain
    try:
        tokens = list(lexer(stripnl=False, stripall=False, ensurenl=False).get_tokens(code + "\n"))
    except Exception:  # a lexer may fail in any way; the code is shown all the same
        return plain
    if "".join(text for _, text in tokens) != code + "\n":  # which many lexers need at the end
        return plain
    return tuple(_joined(_without_last(tokens)))


def _takes_long(code: str, lexer: str) -> bool:
    if len(code) > PAINTED_AT_MOST or _STRANGE.search(code):
        return True
    return lexer in _CHAIN_LEXERS and bool(_CHAIN.search(code))


@lru_cache(maxsize=128)  # looking for a name that is unknown takes long
def _lexer(language: str) -> Any:
    """The class of Pygments that reads the language, None if there is none."""
    from pygments.lexers import find_lexer_class_by_name  # type: ignore[import-untyped]

    name = language.lower()
    try:
        return find_lexer_class_by_name(_ALIASES.get(name, name))
    except Exception:  # unknown, or a plug-in of Pygments that cannot be loaded
        return None


def _without_last(tokens: list[tuple[Any, str]]) -> list[tuple[Any, str]]:
    """The tokens without their last character."""
    while not tokens[-1][1]:
        tokens.pop()
    kind, text = tokens.pop()
    return [*tokens, (kind, text[:-1])]


def _joined(tokens: Iterable[tuple[Any, str]]) -> Iterator[tuple[str, str]]:
    """The tokens with their styles, neighbours of the same style as one."""
    for css, group in groupby(((_css(kind), text) for kind, text in tokens if text), key=lambda pair: pair[0]):
        yield css, "".join(text for _, text in group)


def _css(kind: Any) -> str:
    while str(kind) not in PALETTE:
        kind = kind.parent
    return PALETTE[str(kind)]


# --- fences ------------------------------------------------------------------------------------


def language_of(info: str) -> str:
    """The language that the words after a code fence name, ``""`` if none.

    >>> language_of(" c++ title=x"), language_of("{x}")
    ('c++', '')
    """
    language = _LANGUAGE.match(info.strip())
    return language[0] if language else ""


@dataclass(frozen=True, slots=True)
class Fence:
    """A code fence that is complete.

    Attributes:
        number: Which fenced block of the text it is, from 0.
        language: As it was written, ``""`` if it was not.
        code: Without the fence's own indentation and without line ends at its end.
    """

    number: int
    language: str
    code: str


@dataclass(slots=True)
class _Open:
    """A fence whose end has not come."""

    marks: str
    language: str
    margin: int  # the column where the list item around it begins
    indent: int  # its own column
    lines: list[str] = field(default_factory=list)

    def ends_with(self, indent: int, words: str) -> bool:
        bare = words.rstrip(" \t")
        return indent - self.margin < 4 and bare.startswith(self.marks) and not bare.strip(self.marks[0])


class Fences:
    r"""Finds the code fences that close while a Markdown text grows; the work is linear in the text.

    Fences are seen at the margin and in lists, by the rules of CommonMark. Those in block quotes are not
    seen and not counted: after one the numbers are smaller than the places of the blocks on the page, so
    whoever looks a block up by its number must compare the code before using it.

    >>> fences = Fences()
    >>> fences.closed("1. So:\n   ```js\n   x\n   ``"), fences.closed("1. So:\n   ```js\n   x\n   ```\n")
    ([], [Fence(number=0, language='js', code='x')])
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._seen = self._complete = self._number = 0
        self._tail = ""
        self._items: list[int] = []  # the columns of the list items that are open
        self._in_text = False  # whether the last line may go on as a paragraph
        self._empty_item = False  # whether it began an item and said no more
        self._open: _Open | None = None

    def closed(self, text: str) -> list[Fence]:
        """The fences that closed since the last call; all of them if the text is not the former one, longer.

        A fence is closed once the line that closes it is complete.

        Args:
            text: The whole text so far, Markdown.
        """
        if not text.startswith(self._tail, self._seen - len(self._tail)):
            self._begin()
        end = text.rfind("\n", self._seen) + 1
        self._seen, self._tail = len(text), text[-_TAIL:]
        if not end:
            return []
        lines = _NEWLINE.sub("\n", text[self._complete : end]).replace("\0", "\ufffd").split("\n")
        self._complete = end
        return [fence for line in lines[:-1] if (fence := self._after(line))]

    def _after(self, line: str) -> Fence | None:
        """The fence that the line closes."""
        fence = self._open
        column, words = _indented(line)
        if fence is None:
            self._outside(column, words)
            return None
        left_list = bool(words) and column < fence.margin  # a fence ends with the item that it is in
        if not left_list and not fence.ends_with(column, words):
            fence.lines.append(_without(line, fence.indent))
            return None
        self._open, self._in_text = None, False
        self._number += 1
        if left_list:
            self._outside(column, words)
        return Fence(self._number - 1, fence.language, "\n".join(fence.lines).rstrip("\n"))

    def _outside(self, column: int, words: str) -> None:
        """Take a line that is in no fence."""
        if not words:
            if self._empty_item:
                self._items.pop()  # an item cannot begin with two empty lines
            self._in_text = self._empty_item = False
            return
        if self._in_text and _UNDERLINE.match(words) and 0 <= column - self._margin < 4:
            self._in_text = False  # the paragraph was a heading
            return
        if self._in_text and not self._interrupts(column, words):
            return
        column, words = self._into_items(column, words)
        self._empty_item = not words
        if column - self._margin >= 4:
            return  # indented code, or a paragraph that goes on
        if opening := _OPENING.match(words):
            self._open = _Open(opening[1], language_of(opening[2]), self._margin, column)
        self._in_text = bool(words) and not (_RULE.match(words) or _HEADING.match(words))

    def _into_items(self, column: int, words: str) -> tuple[int, str]:
        """Leave the list items that the line is not in and enter those that it begins: what is left of it."""
        if column < self._margin:
            self._in_text = False
        while column < self._margin:
            self._items.pop()
        while column - self._margin < 4 and (item := _ITEM.match(words)) and not _RULE.match(words):
            after = column + item.end()
            column, rest = _indented(words[item.end() :], after)
            if self._in_text and not (rest and _begins_list(item[1])):
                return after - item.end(), words
            self._in_text = False
            self._items.append(column if rest and column - after <= 4 else after + 1)
            words = rest
        return column, words

    def _interrupts(self, column: int, words: str) -> bool:
        """Whether the line ends the paragraph before it, however little it is indented."""
        if _ITEM.match(words) and not _RULE.match(words):
            outer = self._items[-2] if len(self._items) > 1 else 0
            return not outer + 4 <= column < self._margin
        return words.startswith(">") or any(opens(words) for opens in (_OPENING.match, _RULE.match, _HEADING.match))

    @property
    def _margin(self) -> int:
        return self._items[-1] if self._items else 0


def _begins_list(mark: str) -> bool:
    """Whether a list may begin with the mark in the middle of a paragraph."""
    return not mark[0].isdigit() or int(mark[:-1]) == 1


def _indented(line: str, column: int = 0) -> tuple[int, str]:
    """The column where the words of a line begin, and the words; tabs lead to every fourth column."""
    words = line.lstrip(" \t")
    for char in line[: len(line) - len(words)]:
        column += 4 - column % 4 if char == "\t" else 1
    return column, words


def _without(line: str, indent: int) -> str:
    """The line without so many columns of blanks, as far as it has them."""
    column = start = 0
    while column < indent and line[start : start + 1] in (" ", "\t"):
        column += 4 - column % 4 if line[start] == "\t" else 1
        start += 1
    return " " * (column - indent) + line[start:]
