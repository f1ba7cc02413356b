"""A page as HTML that needs nothing else: no style sheet, no script, no id, no network but its pictures.

The outer class is the one that Jupyter's front ends and nbconvert style; everything else is said in
place. No line of it is blank: where a notebook is exported as Markdown, HTML goes on up to a blank line, and
what stood behind one would be Markdown, with pictures and links of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from dashnb.protocol.state import RunState
from dashnb.view import style
from dashnb.view.blocks import Block, cut
from dashnb.view.heading import Heading
from dashnb.view.markdown import MARKDOWN_AT_MOST
from dashnb.view.markdown import to_html as markdown_to_html
from dashnb.view.page import page, passage
from dashnb.view.part import Page, Part
from dashnb.view.tree import Element, Node, element, start_tag
from dashnb.view.tree import to_html as tree_to_html

FRAME = element("div", style.FRAME, class_="jp-RenderedHTMLCommon dashnb")
NO_PICTURES: Mapping[str, str] = {}
_BEFORE_BLANK = re.compile(r"\n(?=[^\S\n]*\n)")


def to_html(
    state: RunState,
    heading: Heading,
    *,
    block: Block | None = None,
    live: bool = False,
    pictures: Mapping[str, str] = NO_PICTURES,
) -> str:
    """The run, or one block of it, as an HTML fragment.

    >>> state = RunState()
    >>> state.end("abandoned")
    >>> "Reading was stopped" in to_html(state, Heading("Weather"))
    True

    Args:
        state: The run.
        heading: Who answers.
        block: The part to show; the whole run if None.
        live: True while the run goes on: what it does now stands where accounts and notices will be.
        pictures: Pictures by their address, as ``data:`` addresses; they are shown from there.
    """
    return _framed(page(state, heading, block=block, live=live), state.text, pictures)


def passage_html(title: str, text: str) -> str:
    """A text under a title, as an HTML fragment that looks like a run.

    >>> "<strong>Hi</strong>" in passage_html("user", "**Hi**")
    True

    Args:
        title: Plain words.
        text: Markdown, not trusted.
    """
    return _framed(passage(title, text), text, NO_PICTURES)


def _framed(parts: Page, answer: str, pictures: Mapping[str, str]) -> str:
    # The same line end, which no renderer of Markdown takes for one.
    written = _BEFORE_BLANK.sub("&#10;", _Writer(parts, answer, pictures).written(""))
    return f"{start_tag(FRAME)}\n{written}\n</div>"


class _Writer:
    """Writes the parts of a page, each with the parts that it holds."""

    def __init__(self, parts: Page, answer: str, pictures: Mapping[str, str]) -> None:
        self._parts = parts
        self._answer = answer
        self._pictures = pictures

    def written(self, holder: str) -> str:
        separator = "" if holder else "\n"
        return separator.join(self._part(part) for part in self._parts if part.inside == holder)

    def _part(self, part: Part) -> str:
        children = "".join(tree_to_html(_with_pictures(child, self._pictures)) for child in part.shell.children)
        return f"{start_tag(part.shell)}{children}{self._text(part)}{self.written(part.key)}</{part.shell.tag}>"

    def _text(self, part: Part) -> str:
        if part.grows != "markdown":
            return tree_to_html(part.text)
        pieces = [part.text] if len(part.text) <= MARKDOWN_AT_MOST else cut(part.text)
        return "".join(markdown_to_html(piece, context=self._answer, pictures=self._pictures) for piece in pieces)


def _with_pictures(node: Node, pictures: Mapping[str, str]) -> Node:
    """The node with the pictures that are at hand in place of their addresses."""
    if isinstance(node, str) or not pictures:
        return node
    kept = {name: pictures.get(value, value) if name == "src" else value for name, value in node.attributes}
    return Element(node.tag, tuple(kept.items()), tuple(_with_pictures(child, pictures) for child in node.children))
