"""What is shown, as a tree of elements: written as HTML to be kept, or as JSON for the live view.

Text is text: it is escaped where HTML is written, and never parsed. A dollar sign or a backslash in
words gets an element of its own, so that a front end that typesets formulas does not take prices for
one, nor obeys a command: MathJax looks for its marks within the text of one element.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

_VERBATIM = {"pre", "code", "style", "title"}  # formulas are not looked for in these
_EMPTY = {"img", "br", "hr", "wbr"}
_MARK = re.compile(r"([$\\])")
# Between two of these characters a line may break; Chinese, Japanese and Korean are written without blanks.
_BREAKABLE = (
    "\u2e80-\u2fff\u3005-\u3007\u3041-\u30ff\u3105-\u318e\u31a0-\ua4cf\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff"
)
UNBROKEN_AT_MOST = 200  # characters
_UNBROKEN = re.compile(f"(?:[^ \\t\\n{_BREAKABLE}][{_BREAKABLE}]?){{{UNBROKEN_AT_MOST}}}(?=[^ \\t\\n{_BREAKABLE}])")
_BREAK = re.compile(f"[ \\t\\n]|[{_BREAKABLE}]{{2}}")


@dataclass(frozen=True, slots=True)
class Element:
    """An element.

    Attributes:
        tag: Its name, such as ``div``.
        attributes: Names and values; ``""`` stands alone, as ``open`` does.
        children: Elements and text.
    """

    tag: str
    attributes: tuple[tuple[str, str], ...] = ()
    children: tuple[Node, ...] = ()


Node = Element | str


def element(tag: str, style: str = "", *children: Node, **attributes: str | None) -> Element:
    """An element with an inline style.

    >>> to_html(element("p", "margin:0", "a < b, $5", title="x"))
    '<p title="x" style="margin:0">a &lt; b, <span>$</span>5</p>'

    Args:
        tag: Its name.
        style: Its inline style, ``""`` for none.
        children: Elements and text; ``""`` is left out.
        attributes: Other attributes, those that are None left out; ``_`` in a name is ``-``, and one
            at its end is dropped (``class_``).
    """
    named = [(name.rstrip("_").replace("_", "-"), value) for name, value in attributes.items() if value is not None]
    if style:
        named.append(("style", style))
    shown = [child for child in children if child != ""]
    return Element(tag, tuple(named), tuple(_words(shown, verbatim=tag in _VERBATIM)))


def to_html(node: Node) -> str:
    """The node as HTML.

    >>> to_html(element("details", "", element("summary", "", "more"), open=""))
    '<details open><summary>more</summary></details>'
    """
    if isinstance(node, str):
        return "<wbr>".join(map(escape, pieces(node)))
    return start_tag(node) + ("" if node.tag in _EMPTY else "".join(map(to_html, node.children)) + f"</{node.tag}>")


def start_tag(shown: Element) -> str:
    """The element's beginning.

    >>> start_tag(element("img", "", src='a"b'))
    '<img src="a&quot;b">'
    """
    attributes = "".join(f' {name}="{escape(value)}"' if value else f" {name}" for name, value in shown.attributes)
    return f"<{shown.tag}{attributes}>"


def to_json(node: Node) -> Any:
    """The node as JSON values: text, or a list of tag, attributes and children.

    >>> to_json(element("p", "margin:0", "a"))
    ['p', {'style': 'margin:0'}, 'a']
    """
    if isinstance(node, str):
        return node
    return [node.tag, dict(node.attributes), *map(to_json, node.children)]


def pieces(text: str) -> list[str]:
    """The text in pieces between which a line may break, one piece if it has blanks enough.

    Browsers take the square of its length to set a word that is longer than the line.

    >>> pieces("two words"), [len(piece) for piece in pieces("x" * 500)]
    (['two words'], [200, 200, 100])
    """
    if len(text) <= UNBROKEN_AT_MOST:
        return [text]
    ends = [match.end() for match in _UNBROKEN.finditer(text)]
    return [text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]


def may_break(text: str) -> bool:
    """True if a line may break somewhere within the text.

    >>> may_break("two words"), may_break("word"), may_break("漢字")
    (True, False, True)
    """
    return bool(_BREAK.search(text))


def words(text: str) -> Iterator[Node]:
    """The text as nodes: marks of formulas apart, and room for a break in what has no blanks.

    >>> list(words("a $5"))
    ['a ', Element(tag='span', attributes=(), children=('$',)), '5']
    """
    return _nodes(text, verbatim=False)


def _words(children: Iterable[Node], *, verbatim: bool) -> Iterator[Node]:
    for child in children:
        if isinstance(child, Element):
            yield child
        else:
            yield from _nodes(child, verbatim=verbatim)


def _nodes(text: str, *, verbatim: bool) -> Iterator[Node]:
    for number, piece in enumerate(pieces(text)):
        if number:
            yield Element("wbr")
        for part in [piece] if verbatim else _MARK.split(piece):
            if part:
                yield Element("span", (), (part,)) if not verbatim and part in "$\\" else part
