"""What may stand in a page that shows a hostile text, and real renderers of Markdown to make one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from html.parser import HTMLParser

import mistune
from markdown_it import MarkdownIt
from nbconvert.filters.ansi import ansi2html
from nbconvert.filters.markdown_mistune import markdown2html_mistune

_WORDS = ["p", "ul", "blockquote", "hr", "br", "wbr", "pre", "span", "summary", "table", "thead", "tbody", "tr"]
_WORDS += ["caption", "strong", "em", "del", "s"]
ALLOWED: dict[str, set[str]] = {
    **{name: {"style"} for name in _WORDS},
    **{f"h{level}": {"style", "id"} for level in range(1, 7)},
    "ol": {"style", "start"},
    "li": {"style", "class"},
    "div": {"style", "class"},
    "code": {"style", "class"},
    "span": {"style", "class"},
    "details": {"style", "open"},
    "th": {"style", "scope"},
    "td": {"style", "title", "colspan"},
    "a": {"href", "title", "target", "rel", "class"},
    "img": {"src", "alt", "style", "referrerpolicy"},
    "input": {"type", "class", "disabled", "checked"},
    "svg": {"width", "height", "viewbox", "role", "aria-label", "aria-hidden", "style"},
    "circle": {"cx", "cy", "r", "fill"},
    "path": {"d", "fill", "stroke", "stroke-width", "stroke-linecap", "stroke-linejoin"},
}
_FITS: Mapping[str, re.Pattern[str]] = {
    "href": re.compile(r"(?i)(?:https?|mailto):.|#"),  # a heading of nbconvert links to itself
    "src": re.compile(r"(?i)https://[^\s]|data:image/(?:png|jpeg|gif|webp);base64,[a-z0-9+/=]+\Z"),
    "style": re.compile(r"(?i)(?!.*(?:url|expression|import|behavior|position|var\()).*\Z", re.DOTALL),
    "type": re.compile("checkbox"),
    "class": re.compile(
        r"(?:jp-RenderedHTMLCommon dashnb|dashnb-activity|language-\S+|tex2jax_ignore mathjax_ignore"
        r"|highlight|anchor-link|task-list-item(?:-checkbox)?|ansi-[\w-]+|[a-z]{1,3}\d?)?\Z"
    ),
    "id": re.compile(r"(?!document\Z|jp-)"),
}


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ALLOWED:
            self.wrong.append(f"<{tag}>")
        for name, value in attrs:
            fits = name not in _FITS or _FITS[name].match(value or "")
            if name not in ALLOWED.get(tag, ()) or not fits:
                self.wrong.append(f"<{tag} {name}={(value or '')[:80]!r}>")

    def handle_comment(self, data: str) -> None:
        self.wrong.append(f"<!{data[:80]}>")

    handle_decl = handle_pi = unknown_decl = handle_comment


def wrong_in(html: str) -> list[str]:
    """What stands in the HTML and may not: elements, attributes, addresses, comments.

    >>> wrong_in('<p>a</p>'), wrong_in('<img src="https://a.example/b.png" onerror=x>')
    ([], ["<img onerror='x'>"])
    """
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.wrong


def _with_raw_html() -> Callable[[str], str]:
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    parser.validateLink = lambda url: True  # type: ignore[method-assign] # a renderer that asks nothing
    return lambda text: str(parser.render(text))


def _mistune() -> Callable[[str], str]:
    plain = mistune.create_markdown(escape=False, plugins=["table", "strikethrough", "url", "task_lists", "math"])
    return lambda text: _without_math(str(plain(text)))


def _without_math(html: str) -> str:
    return re.sub(r'(?s)<(span|div) class="math">(.*?)</\1>', r"\2", html)


# None of them takes raw HTML out; the first is what VS Code has, the second makes nbconvert's HTML.
RENDERERS: dict[str, Callable[[str], str]] = {
    "markdown-it": _with_raw_html(),
    "nbconvert": markdown2html_mistune,
    "mistune": _mistune(),
}


def pages_of(data: Mapping[str, str]) -> dict[str, str]:
    """Every part of a bundle as the HTML that some front end makes of it, by the part and who made it."""
    pages: dict[str, str] = {}
    for mime, part in data.items():
        if mime == "text/markdown":
            pages |= {f"{mime} by {name}": render(part) for name, render in RENDERERS.items()}
        elif mime == "text/html":
            pages[mime] = part
            # Exported as Markdown, a notebook has its HTML within it.
            pages[f"{mime} within Markdown"] = RENDERERS["markdown-it"](part)
        elif mime == "text/plain":
            pages[mime] = ansi2html(part)
        else:
            assert re.fullmatch(r"image/(?:png|jpeg|gif|webp)", mime), mime
            assert re.fullmatch(r"[A-Za-z0-9+/=\s]*", part), mime
    return pages
