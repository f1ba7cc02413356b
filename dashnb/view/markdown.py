"""Markdown of a model as HTML that may stand in any notebook.

CommonMark with tables and strikethrough. The text is not trusted: raw HTML stays text, links lead to
``http`` and ``https`` only and say where when pointed at, pictures come over ``https`` or are PNG, JPEG,
GIF or WebP data. A picture over plain ``http`` becomes a link that names its host; of any other link or
picture the words are kept. Formulas between dollar signs or ``\\(…\\)`` and ``\\[…\\]`` pass through
untouched for the front end's own typesetting if they are nothing but mathematics; others are words.
Code in a known language has colours.

Chinese, Japanese and Korean: ``**「強調」**の`` is emphasis although CommonMark's rule, made for
spaced words, says no; a line break between two full-width characters adds no blank.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from html import escape
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast
from unicodedata import category

from dashnb.characters import whole_characters
from dashnb.view.code import language_of, painted
from dashnb.view.formula import is_harmless
from dashnb.view.style import NESTED_LIST, SCROLL, TAGS, tag, text_html
from dashnb.view.tree import UNBROKEN_AT_MOST, may_break
from dashnb.view.tree import to_html as tree_to_html

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_core import StateCore
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

MARKDOWN_AT_MOST = 150_000  # characters; what is longer is shown as it is
_NESTING_AT_MOST = 40
_FORMULA_AT_MOST = 2000
_BRACKETS_AT_MOST = 1000  # in a paragraph; looking for their links takes the square of their number

_LINK = re.compile(r"(?i)https?://[^\s]")
_PICTURE = re.compile(r"(?i)https://[^\s]|data:image/(?:png|jpeg|gif|webp);base64,[a-z0-9+/=]+\Z")
_HTTP = re.compile(r"(?i)http:/{2,}(?:[^/?#]*@)?([^/?#@]+)(?![^/?#])")
_WIDE = "\u2e80-\u312f\u31a0-\ua4cf\uf900-\ufaff\ufe30-\ufe4f\uff01-\uff9f\uffe0-\uffe6\U00020000-\U0003ffff"
_FULL_WIDTH = re.compile(f"[{_WIDE}]")
_EAST_ASIAN = re.compile(f"[{_WIDE}\u1100-\u11ff\u3130-\u318f\uac00-\ud7ff]")
DEFINITION = re.compile(r"^ {0,3}\[[^\]\n]+\]:", re.MULTILINE)
_FORMULAS = (("$$", "$$"), ("\\[", "\\]"), ("\\(", "\\)"), ("$", "$"))
_TASK = re.compile(r"\[([ xX])\] ")
_NO_PICTURES: Mapping[str, str] = MappingProxyType({})


def to_html(text: str, *, context: str = "", pictures: Mapping[str, str] = _NO_PICTURES) -> str:
    """The Markdown as an HTML fragment of literal, theme-safe inline styles.

    >>> to_html("**Hi** <script>")
    '<p style="margin:0 0 0.75em 0"><strong>Hi</strong> &lt;script&gt;</p>\\n'

    Args:
        text: Markdown, not trusted.
        context: The whole answer if ``text`` is a piece of it; link definitions (``[1]: https://…``)
            elsewhere in it hold for the piece too.
        pictures: What to show in place of pictures, such as a ``data:`` URI, by their URLs.
    """
    text = whole_characters(text)
    if len(text) > MARKDOWN_AT_MOST:
        return tag("pre", TAGS["pre"] + ";white-space:pre-wrap", tree_to_html(text))
    parser = answer_parser()
    env: dict[str, Any] = {
        "pictures": {parser.normalizeLink(whole_characters(url)): shown for url, shown in pictures.items()}
    }
    if len(context) <= MARKDOWN_AT_MOST and DEFINITION.search(context):
        parser.parse(whole_characters(context), env)
    tokens = _dressed(parser.parse(text, env))
    return cast(str, parser.renderer.render(tokens, parser.options, env))


@lru_cache(maxsize=1)
def answer_parser() -> MarkdownIt:
    """The parser of answers, with the rules for formulas and East Asian emphasis."""
    from markdown_it import MarkdownIt
    from markdown_it.rules_inline import emphasis, strikethrough

    class Parser(MarkdownIt):
        def validateLink(self, url: str) -> bool:
            return True  # links are judged when they are dressed, so that their words are kept

        def normalizeLinkText(self, link: str) -> str:
            return link  # as it was written: letters that look like others stay what they are

    parser = Parser("commonmark", {"html": False, "maxNesting": _NESTING_AT_MOST})
    parser.enable(["table", "strikethrough"])
    parser.core.ruler.at("inline", _inline)
    parser.inline.ruler.before("escape", "formula", _formula)
    parser.inline.ruler.at("emphasis", _east_asian(emphasis.tokenize))
    parser.inline.ruler.at("strikethrough", _east_asian(strikethrough.tokenize))
    for name, rule in _RULES.items():
        parser.add_render_rule(name, rule)
    return parser


# --- what is allowed ---------------------------------------------------------------------------


def may_be_linked(url: str) -> bool:
    """True for an address that an answer may lead to.

    >>> may_be_linked("https://example.org/"), may_be_linked("javascript:alert(1)")
    (True, False)
    """
    return bool(_LINK.match(url))


def may_be_shown(url: str) -> bool:
    """True for the address of a picture that an answer may show.

    >>> may_be_shown("https://example.org/a.png"), may_be_shown("http://example.org/a.png")
    (True, False)
    """
    return bool(_PICTURE.match(url))


def host_over_http(url: str) -> str:
    """The host of an address over plain ``http``, where a picture is a link; ``""`` for any other address.

    >>> host_over_http("http://example.org/a.png"), host_over_http("https://example.org/")
    ('example.org', '')
    """
    http = _HTTP.match(url)
    return http[1] if http else ""


# --- parsing -----------------------------------------------------------------------------------


def _inline(state: StateCore) -> None:
    """Read what stands within blocks."""
    from markdown_it.token import Token

    for token in state.tokens:
        if token.type == "inline" and token.content.count("[") > _BRACKETS_AT_MOST:
            token.children = [Token("text", "", 0, content=token.content)]
        elif token.type == "inline":
            token.children = []
            state.md.inline.parse(token.content, state.md, state.env, token.children)


def _formula(state: StateInline, silent: bool) -> bool:
    """Take a formula as it is. A dollar sign before a blank or after one, or before a digit, is money."""
    for start, end in _FORMULAS:
        if not state.src.startswith(start, state.pos):
            continue
        inside = state.pos + len(start)
        close = state.src.find(end, inside, min(state.posMax, inside + _FORMULA_AT_MOST))
        if close <= inside or (start == "$" and not _is_formula(state.src, inside, close)):
            continue
        formula = state.src[state.pos : close + len(end)]
        if not silent and is_harmless(formula):
            state.push("formula", "", 0).content = formula
        elif not silent:
            state.pending += formula
        state.pos = close + len(end)
        return True
    return False


def _is_formula(text: str, start: int, end: int) -> bool:
    after = text[end + 1 : end + 2]
    return not (text[start].isspace() or text[end - 1].isspace() or after.isdigit() or "\n\n" in text[start:end])


def _east_asian(rule: Callable[[StateInline, bool], bool]) -> Callable[[StateInline, bool], bool]:
    """The rule for ``*`` or ``~``, but punctuation beside East Asian text counts as a letter does."""

    def tokenize(state: StateInline, silent: bool) -> bool:
        start, known = state.pos, len(state.delimiters)
        found = rule(state, silent)
        for delimiter in state.delimiters[known:]:
            if chr(delimiter.marker) != "_":
                delimiter.open, delimiter.close = _flanks(state.src, start, state.posMax)
        return found

    return tokenize


def _flanks(text: str, start: int, stop: int) -> tuple[bool, bool]:
    """Whether the run of marks at ``start`` may open and may close emphasis."""
    end = start
    while end < stop and text[end] == text[start]:
        end += 1
    before = text[start - 1] if start else " "
    after = text[end] if end < stop else " "
    return _may_open(before, after), _may_open(after, before)


def _may_open(before: str, after: str) -> bool:
    if after.isspace():
        return False
    if not _is_punctuation(after):
        return True
    return before.isspace() or _is_punctuation(before) or bool(_EAST_ASIAN.match(before) or _EAST_ASIAN.match(after))


def _is_punctuation(char: str) -> bool:
    return category(char).startswith(("P", "S"))


# --- dressing ----------------------------------------------------------------------------------


def _dressed(tokens: list[Token]) -> list[Token]:
    """The tokens with styles, without the links and pictures that are not allowed."""
    for position, token in enumerate(tokens):
        if token.nesting >= 0 and token.tag in TAGS:
            ends = position + 3 < len(tokens) and tokens[position + 3].type in ("blockquote_close", "list_item_close")
            token.attrSet("style", _style(token, last=ends))
        if token.type == "inline" and token.children:
            token.children = _dressed_inline(token.children)
            if position > 1 and tokens[position - 2].type == "list_item_open" and token.children:
                _show_task(token.children[0])
    return tokens


def _style(token: Token, *, last: bool) -> str:
    if token.type == "paragraph_open" and last:
        return "margin:0"
    if token.tag in ("ul", "ol") and token.level:
        return NESTED_LIST
    aligned = token.attrGet("style") or ("text-align:left" if token.tag in ("td", "th") else "")
    return ";".join(str(part) for part in (TAGS[token.tag], aligned) if part)


def _dressed_inline(tokens: list[Token]) -> list[Token]:
    """The tokens without the links that are not allowed and the marks that nest too deep."""
    kept: list[Token] = []
    stay: list[bool] = []  # of each mark that is open, whether it is kept
    depth = links = 0
    for token in tokens:
        if token.nesting > 0:
            stay.append(depth < _NESTING_AT_MOST and (token.type != "link_open" or _is_allowed(token)))
        if token.nesting and not (stay[-1] if token.nesting > 0 else stay.pop()):
            continue
        depth += token.nesting
        links += token.nesting if token.tag == "a" else 0
        if token.type == "image":
            token.meta["in_link"] = links > 0  # links do not nest
        kept.append(token)
    return list(_with_breaks(kept))


def _is_allowed(link: Token) -> bool:
    url = str(link.attrGet("href") or "")
    link.attrs = dict(_link_attributes(url))
    return may_be_linked(url)


def _with_breaks(tokens: list[Token]) -> Iterator[Token]:
    """The tokens with room for a break where a word goes on through many of them."""
    from markdown_it.token import Token

    unbroken = 0
    for token in tokens:
        if token.content and token.type != "image":
            if unbroken > UNBROKEN_AT_MOST:
                yield Token("wbr", "wbr", 0)
                unbroken = 0
            unbroken = 0 if may_break(token.content) else unbroken + len(token.content)
        yield token


def _link_attributes(url: str) -> dict[str, str]:
    return {"href": url, "title": url, "target": "_blank", "rel": "noopener noreferrer"}


def _show_task(token: Token) -> None:
    if token.type == "text" and (task := _TASK.match(token.content)):
        token.content = ("☐ " if task[1] == " " else "☑ ") + token.content[task.end() :]


# --- rendering ---------------------------------------------------------------------------------


def _render_text(_self: Any, tokens: Sequence[Token], index: int, _options: Any, _env: Any) -> str:
    return text_html(tokens[index].content)


def _render_formula(_self: Any, tokens: Sequence[Token], index: int, _options: Any, _env: Any) -> str:
    return f"<span>{escape(tokens[index].content)}</span>"


def _render_code(_self: Any, tokens: Sequence[Token], index: int, _options: Any, _env: Any) -> str:
    language = language_of(tokens[index].info)
    content = "".join(_coloured(*pair) for pair in painted(tokens[index].content.rstrip("\n"), language))
    name = f' class="language-{language}"' if language else ""
    return f'<pre style="{TAGS["pre"]}"><code{name} style="{TAGS["pre code"]}">{content}</code></pre>\n'


def _coloured(css: str, text: str) -> str:
    return tag("span", css, tree_to_html(text)) if css else tree_to_html(text)


def _render_code_inline(_self: Any, tokens: Sequence[Token], index: int, _options: Any, _env: Any) -> str:
    return tag("code", TAGS["code"], tree_to_html(tokens[index].content))


def _render_image(self: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    words = self.renderInlineAsText(token.children or [], options, env)
    url = str(token.attrGet("src") or "")
    source = env["pictures"].get(url, url)
    if may_be_shown(source):
        return f'<img src="{escape(source)}" alt="{escape(words)}" style="{TAGS["img"]}">'
    return _picture_link(url, words, in_link=token.meta.get("in_link", False))


def _picture_link(url: str, words: str, *, in_link: bool) -> str:
    """What stands for a picture that is not shown: nobody is told of the reader before a click."""
    host = host_over_http(url)
    if not host:
        return text_html(words)
    label = text_html(f"{words} ({host})" if words.strip() else host)
    attributes = "".join(f' {name}="{escape(value)}"' for name, value in _link_attributes(url).items())
    return label if in_link else f"<a{attributes}>{label}</a>"


def _render_softbreak(_self: Any, tokens: Sequence[Token], index: int, _options: Any, _env: Any) -> str:
    before, after = _words(tokens, index, -1), _words(tokens, index, 1)
    return "" if _FULL_WIDTH.match(before[-1:]) and _FULL_WIDTH.match(after[:1]) else "\n"


def _words(tokens: Sequence[Token], index: int, direction: int) -> str:
    """The text beside a token, past the marks of emphasis and links."""
    index += direction
    while 0 <= index < len(tokens) and not tokens[index].content and tokens[index].tag != "br":
        index += direction
    return tokens[index].content if 0 <= index < len(tokens) else ""


def _render_table_open(_self: Any, tokens: Sequence[Token], index: int, _options: Any, _env: Any) -> str:
    return f'<div style="{SCROLL}"><table style="{TAGS["table"]}">\n'


def _render_table_close(_self: Any, _tokens: Sequence[Token], _index: int, _options: Any, _env: Any) -> str:
    return "</table></div>\n"


_RULES: dict[str, Callable[..., str]] = {
    "text": _render_text,
    "formula": _render_formula,
    "fence": _render_code,
    "code_block": _render_code,
    "code_inline": _render_code_inline,
    "image": _render_image,
    "softbreak": _render_softbreak,
    "table_open": _render_table_open,
    "table_close": _render_table_close,
}
