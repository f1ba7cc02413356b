"""What is shown, as a tree of elements: written as HTML to be kept, or as JSON for the live view.

Text is text: it is escaped where HTML is written, and never parsed. A dollar sign in words gets an
element of its own, so that a front end that typesets formulas does not take prices for one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Any

_VERBATIM = {"pre", "code", "style", "title"}  # formulas are not looked for in these
_EMPTY = {"img", "br", "hr"}


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

    def with_children(self, children: Iterable[Node]) -> Element:
        """The element with more children behind its own."""
        return Element(self.tag, self.attributes, (*self.children, *children))


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
    return Element(tag, tuple(named), tuple(shown if tag in _VERBATIM else _words(shown)))


def to_html(node: Node) -> str:
    """The node as HTML.

    >>> to_html(element("details", "", element("summary", "", "more"), open=""))
    '<details open><summary>more</summary></details>'
    """
    if isinstance(node, str):
        return escape(node)
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


def _words(children: Iterable[Node]) -> Iterable[Node]:
    for child in children:
        if isinstance(child, Element) or "$" not in child:
            yield child
            continue
        for number, words in enumerate(child.split("$")):
            if number:
                yield Element("span", (), ("$",))
            if words:
                yield words
