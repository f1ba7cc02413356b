"""Markdown of a model as Markdown that does nothing, whoever renders it.

Some front ends prefer a notebook's Markdown to its HTML, and not all of them take raw HTML out of it. What
looks like a tag, a character by name, a definition, a command of TeX, a price between two dollar signs or
the like is therefore written anew, from what the HTML view understood: its policy for links and pictures
holds, code stays code, words stay words, formulas stay formulas if they are nothing but mathematics. Other
text, which is most, is left as it is, to the letter.

Renderers differ in what they take for code, and what one of them takes for code is HTML to another. So what
is written anew is written in the plainest way, in which they agree: no backtick is left but those around
code, no dollar sign but those around formulas; and where code stands so deep or has such marks that they
would not agree, a tag in it is broken by a blank of no width.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from dashnb.characters import harmless
from dashnb.view.blocks import open_fence
from dashnb.view.formula import is_harmless
from dashnb.view.markdown import (
    DEFINITION,
    MARKDOWN_AT_MOST,
    answer_parser,
    host_over_http,
    may_be_linked,
    may_be_shown,
)

if TYPE_CHECKING:
    from markdown_it.token import Token

DEEPEST = 4  # quotes and lists within each other, up to which all renderers find the code in them
_NO_WIDTH = "\u200b"
_ADDRESS = r"(?:https?://|data:image/(?:png|jpeg|gif|webp);base64,)[^\s()<>\"'`\\{}$]*\)"
# What a renderer or one of its extensions might take for more than words.
_SUSPECT = re.compile(
    rf"""<[a-z/!?]
    |&(?:\#|[a-z])\w*;
    |\](?::|\((?!{_ADDRESS}))
    |\\[a-z(\[]
    |[)\]`*_~]\{{ | \{{[:.\#=] | \{{[^{{}}\n]{{0,200}}=
    |^[ ]{{0,3}}:::
    |!\[[^\]\["\n]*["\[]
    |^[ \t>*+\-\d.)]*(?:```|~~~)[ \t]*(?:(?:mermaid|math|geojson|topojson|stl)|[^\n]*["'{{&$])
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE | re.ASCII,
)
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_TAG_OR_LINK = re.compile(r"(<)(?=[A-Za-z/!?])|(\])(?=[(\[:])")
# What some renderers take for mathematics even within code.
_MATH_IN_CODE = re.compile(r"\$(?=\$)|\\(?=begin|end|\\[\[(])")
# What opens or reads files where a formula is typeset by TeX itself.
_TEX = re.compile(r"\\(?:include|write|open|close|read|immediate|special|directlua|catcode|verbatim|lst|use|every)")
_LANGUAGE = re.compile(r"[a-z][\w+#.-]{0,39}(?!\S)", re.ASCII | re.IGNORECASE)
_DRAWN = {"mermaid", "math", "geojson", "topojson", "stl"}  # what renderers make more of than code
_BACKTICKS = re.compile(r"`+")
_BLANKS = re.compile(r"([ \n]+)")
_TABS = re.compile(r"[ \t]+")
_ENTITY = re.compile(r"&(?=#|[A-Za-z]\w*;)")
_MARK = re.compile(r"[`*_\[\]<&$~|{}!\\]")
_NOTE = re.compile(r"(?<!!)\[[^\[\]^!`\\]{0,80}\](?![(\[:{])")  # brackets that no renderer makes a link of
_BEGINNING = re.compile(r"(?:#{1,6}|\d{1,9}(?=[.)](?:\s|\Z))|[-+](?=[\s-]|\Z)|[=:>])")


def fair_copy(text: str, *, context: str = "") -> str:
    r"""The Markdown, of which nothing runs, loads or counts as a formula that the HTML view would not show so.

    >>> fair_copy("**Fine**, `<b>` is a tag and <script> is none.\n")
    '**Fine**, `<b>` is a tag and &lt;script> is none.'
    >>> fair_copy("$x^2$ costs $5"), fair_copy("[a](javascript:alert(1)) ![b](http://example.org/b.png)")
    ('$x^2$ costs <span>\\$</span>5', 'a [b (example.org)](http://example.org/b.png)')

    Args:
        text: Markdown, not trusted.
        context: The whole answer if ``text`` is a piece of it.
    """
    lines = harmless(text.replace("\r\n", "\n").replace("\r", "\n")).strip("\n")
    if not _is_suspect(lines, context or lines):
        fence = open_fence(lines)
        return f"{lines}\n{fence}" if fence else lines
    if len(lines) > MARKDOWN_AT_MOST:
        return fenced(_TAG.sub(f"<{_NO_WIDTH}", lines))
    env: dict[str, Any] = {}
    if len(context) <= MARKDOWN_AT_MOST and DEFINITION.search(context):
        answer_parser().parse(harmless(context), env)
    return _Copy(answer_parser().parse(lines, env)).written()


def code_span(text: str) -> str:
    """The text as code within a line: between as many backticks as it needs, ``""`` for no text.

    >>> code_span("a `tick`"), code_span("<b>")
    ('`` a `tick` ``', '`<b>`')
    """
    line = harmless(" ".join(text.splitlines()))
    line = _MATH_IN_CODE.sub(rf"\g<0>{_NO_WIDTH}", line)
    if not line:
        return ""
    mark = _fence("`", line, 1)
    pad = " " if "`" in line or (line[0] == line[-1] == " " and line.strip()) else ""
    return f"{mark}{pad}{line}{pad}{mark}"


def fenced(code: str, language: str = "", mark: str = "`") -> str:
    r"""The code between fences that are longer than any in it.

    >>> print(fenced("```", "py"))
    ````py
    ```
    ````
    """
    fence = _fence(mark, code, 3)
    return f"{fence}{language}\n{code}\n{fence}"


def plain_words(text: str) -> str:
    r"""Words in one line, of which Markdown makes nothing but words.

    >>> plain_words("<b>*no*</b> costs $5 & more"), plain_words(r"C:\new")
    ('&lt;b>\\*no\\*&lt;/b> costs \\$5 & more', '`C:\\new`')
    """
    line = " ".join(harmless(text).split())
    return _escaped(line, dollar=_dollar(line))


def _is_suspect(text: str, context: str) -> bool:
    return bool(
        _SUSPECT.search(text)
        or ("$" in text and context.count("$") > 1)
        or ("![" in text and "](http:" in text.lower())
        or DEFINITION.search(context)
    )


def _fence(mark: str, code: str, least: int) -> str:
    runs = (len(run) for run in re.findall(f"{mark}+", code))
    return mark * max(least, 1 + max(runs, default=0))


# --- blocks ------------------------------------------------------------------------------------


class _Copy:
    """Writes blocks that were read as Markdown again."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._breaks_tags = not _is_plain(tokens)

    def written(self) -> str:
        return self._blocks("", tight=False)

    def _blocks(self, closing: str, *, tight: bool) -> str:
        """The blocks up to the token that closes what holds them."""
        found: list[str] = []
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            self._at += 1
            if token.type == closing:
                break
            if block := self._block(token):
                found.append(block)
        return ("\n" if tight else "\n\n").join(found)

    def _block(self, token: Token) -> str:
        if token.type in ("fence", "code_block"):
            return self._code(token)
        if token.type == "hr":
            return "___"
        if token.type == "blockquote_open":
            return _indented(self._blocks("blockquote_close", tight=False), "> ", "> ")
        if token.type in ("bullet_list_open", "ordered_list_open"):
            return self._list(token)
        if token.type == "table_open":
            return self._table()
        if token.type == "inline":
            return _Line().written(token.children or ())
        if token.type == "heading_open":
            line = self._blocks("heading_close", tight=False).replace("\n", " ")
            return f"{token.markup if token.markup[0] == '#' else '#' * int(token.tag[1])} {line}" if line else ""
        return ""  # what opens or closes a paragraph

    def _code(self, token: Token) -> str:
        named = _LANGUAGE.match(token.info.strip())
        language = named[0] if named and named[0].lower() not in _DRAWN else ""
        code = token.content.rstrip("\n")
        if self._breaks_tags:
            code = _TAG.sub(f"<{_NO_WIDTH}", code)
        return fenced(code, language, token.markup[:1] or "`")

    def _list(self, opening: Token) -> str:
        closing = opening.type.replace("open", "close")
        tight = self._is_tight(opening.level)
        number = int(opening.attrGet("start") or 1) if opening.tag == "ol" else None
        items: list[str] = []
        while self._tokens[self._at].type != closing:
            self._at += 1  # what opens the item
            mark = f"{opening.markup} " if number is None else f"{number}{opening.markup} "
            number = None if number is None else min(number + 1, 999_999_999)
            items.append(_indented(self._blocks("list_item_close", tight=tight), mark, " " * len(mark)))
        self._at += 1
        return ("\n" if tight else "\n\n").join(items)

    def _is_tight(self, level: int) -> bool:
        for at in range(self._at, len(self._tokens)):
            token = self._tokens[at]
            if token.level <= level:
                break
            if token.type == "paragraph_open" and token.level == level + 2:
                return token.hidden
        return True

    def _table(self) -> str:
        rows: list[list[str]] = []
        sides: list[str] = []
        while (token := self._tokens[self._at]).type != "table_close":
            self._at += 1
            if token.type == "tr_open":
                rows.append([])
            elif token.type == "inline":
                rows[-1].append(_Line(in_cell=True).written(token.children or ()))
            elif token.type == "th_open":
                sides.append(_SIDES.get(str(token.attrGet("style") or ""), "---"))
        self._at += 1
        head, *body = rows
        return "\n".join(f"| {' | '.join(row)} |" for row in (head, sides, *body))


# What some renderers do not take back after a backslash, or take for a formula.
_BY_NUMBER = {"`": "&#96;", "[": "&#91;", "]": "&#93;"}
_TEXTS = ("text", "text_special")
_SIDES = {"text-align:left": ":--", "text-align:center": ":-:", "text-align:right": "--:"}


def _is_plain(tokens: Sequence[Token]) -> bool:
    """True if all renderers agree on what of it is code."""
    depth = 0
    for token in tokens:
        depth += token.nesting if token.type.startswith(("blockquote", "list_item")) else 0
        if depth > DEEPEST:
            return False
        if depth and token.type in ("fence", "code_block") and re.search(r"\$|\\begin|\\\\[\[(]", token.content):
            return False
    return True


def _indented(block: str, first: str, others: str) -> str:
    lines = block.split("\n")
    return "\n".join(f"{others if number else first}{line}".rstrip(" ") for number, line in enumerate(lines))


# --- lines -------------------------------------------------------------------------------------


class _Line:
    """Writes what stands within a block."""

    def __init__(self, *, in_cell: bool = False) -> None:
        self._in_cell = in_cell
        self._dollar = _dollar("")
        self._pieces: list[str] = []
        self._open: list[tuple[int, str]] = []  # of each mark, where it stands and what closes it

    def written(self, tokens: Sequence[Token]) -> str:
        self._dollar = _dollar("".join(token.content for token in tokens))
        for token in _joined(tokens):
            if token.nesting > 0:
                self._begin(token)
            elif token.nesting < 0:
                self._end()
            else:
                self._add(self._piece(token))
        return "".join(self._pieces).strip(" \n")

    @property
    def _begins_line(self) -> bool:
        return not self._pieces or self._pieces[-1].endswith("\n")

    def _add(self, piece: str) -> None:
        last = self._pieces[-1][-1:] if self._pieces else ""
        if (last == "$" and piece[:1].isalnum()) or last == piece[:1] == "$" or last == piece[:1] == "`":
            self._pieces.append(" ")  # or a formula, or code, would go on
        if last == "!" and piece[:1] == "[":
            self._pieces[-1] = f"{self._pieces[-1][:-1]}\\!"  # or the link would be a picture
        if piece:
            self._pieces.append(piece)

    def _begin(self, token: Token) -> None:
        mark, closing = token.markup, token.markup
        if token.type == "link_open":
            url = str(token.attrGet("href") or "")
            mark, closing = ("[", f"]({_destination(url)})") if may_be_linked(url) else ("", "")
        self._add(mark)
        self._open.append((len(self._pieces), closing))

    def _end(self) -> None:
        start, closing = self._open.pop()
        if len(self._pieces) > start:
            self._add(closing)
        elif closing:
            del self._pieces[start - 1 :]

    def _piece(self, token: Token) -> str:
        if token.type == "text":
            words = _TABS.sub(" ", token.content)
            return _escaped(words, begins=self._begins_line, dollar=self._dollar)
        if token.type in ("softbreak", "hardbreak"):
            return "  \n" if token.type == "hardbreak" else "\n"
        if token.type == "code_inline":
            return self._celled(code_span(token.content))
        if token.type == "formula":
            return self._celled(_formula(token.content), r"\vert ")
        if token.type == "autolink":
            return f"<{_destination(token.content)}>"
        return self._picture(token) if token.type == "image" else ""

    def _celled(self, piece: str, bar: str = r"\|") -> str:
        return piece.replace("|", bar) if self._in_cell else piece

    def _picture(self, token: Token) -> str:
        url, alt = str(token.attrGet("src") or ""), _alt(token)
        if may_be_shown(url):
            return f"![{_in_brackets(alt)}]({_destination(url)})"
        host = host_over_http(url)
        label = f"{alt} ({host})" if host and alt.strip() else host or alt
        in_link = any(closing.startswith("](") for _, closing in self._open)
        return f"[{_in_brackets(label)}]({_destination(url)})" if host and not in_link else _escaped(label)


def _joined(tokens: Sequence[Token]) -> Iterator[Token]:
    """The tokens, with texts beside each other as one, and addresses that are links by themselves too."""
    at = 0
    while at < len(tokens):
        token = tokens[at]
        at += 1
        if token.type in _TEXTS:
            words = [token.content]
            while at < len(tokens) and tokens[at].type in _TEXTS:
                words.append(tokens[at].content)
                at += 1
            yield token.copy(type="text", content="".join(words))
        elif token.markup == "autolink" and token.nesting > 0 and may_be_linked(url := str(token.attrGet("href"))):
            at += 2  # its words, and its end
            yield token.copy(type="autolink", nesting=0, content=url)
        else:
            yield token


def _alt(token: Token) -> str:
    parser: Any = answer_parser()
    words = parser.renderer.renderInlineAsText(token.children or [], parser.options, {})
    return " ".join(words.replace('"', "'").split())


def _in_brackets(words: str) -> str:
    return re.sub(r"[\[\]]", lambda match: _BY_NUMBER[match[0]], _escaped(words))


def _destination(url: str) -> str:
    """The address as it can stand behind a label."""
    return re.sub(r"[^\w.~:/?#@!&'+,;=%-]", _percent, _ENTITY.sub("%26", url), flags=re.ASCII)


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode())


def _formula(written: str) -> str:
    """The formula between dollar signs, or as code if it could be more than mathematics to some renderer."""
    mark = "$$" if written.startswith(("$$", "\\[")) else "$"
    inside = written[len(mark) : -len(mark)] if written.startswith("$") else written[2:-2]
    body = inside.strip() if mark == "$" else inside
    hazards = "`" in body or "$" in body or body.endswith("\\") or _TEX.search(body) or "\n\n" in body
    if hazards or not body.strip() or not is_harmless(written):
        return code_span(written)
    lines = [line.strip() for line in body.split("\n")]
    if any(_BEGINNING.match(line) or line.startswith(("*", "~")) for line in lines[1:]):
        if "%" in body:
            return code_span(written)
        lines = [" ".join(lines)]
    return mark + _TAG_OR_LINK.sub(r"\g<0> ", "\n".join(lines)) + mark


def _escaped(text: str, *, begins: bool = False, dollar: str = r"\$") -> str:
    """The text with everything escaped that could be a mark; words with a backslash, which TeX obeys, as code.

    Args:
        text: Words.
        begins: True at the beginning of a line, where a number or a dash may begin a list.
        dollar: What stands for a dollar sign.
    """
    escaped = "".join(
        code_span("".join(words)) if is_code else _without_marks("".join(words), dollar)
        for is_code, words in groupby(_BLANKS.split(text), lambda word: "\\" in word)
    )
    return _BEGINNING.sub(_not_begun, escaped, count=1) if begins and _BEGINNING.match(escaped) else escaped


def _without_marks(text: str, dollar: str) -> str:
    notes = {place for note in _NOTE.finditer(text) for place in (note.start(), note.end() - 1)}
    return _MARK.sub(lambda match: match[0] if match.start() in notes else _mark(match, dollar), text)


def _dollar(text: str) -> str:
    """What stands for a dollar sign in a line: MathJax, which comes after Markdown, sees two of them as a formula."""
    return r"<span>\$</span>" if text.count("$") > 1 else r"\$"


def _mark(match: re.Match[str], dollar: str) -> str:
    mark, text = match[0], match.string
    before, after = text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1]
    if mark == "<":
        return mark if after in (" ", "=") or after.isdigit() else "&lt;"
    if mark == "&":
        return "&amp;" if _ENTITY.match(text, match.start()) else mark
    if mark == "$":
        return dollar
    if mark in _BY_NUMBER:
        return _BY_NUMBER[mark]
    if mark == "*" and before == after == " ":
        return mark
    if mark == "!" and after != "[":
        return mark
    return f"\\{mark}"


def _not_begun(match: re.Match[str]) -> str:
    mark = match[0]
    if mark == ">":
        return "&gt;"
    return f"{mark}\\" if mark[0].isdigit() else f"\\{mark}"
