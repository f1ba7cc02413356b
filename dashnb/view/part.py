"""A piece of what is shown, with a key by which the next page's piece is known to be the same one."""

from __future__ import annotations

from dataclasses import dataclass

from dashnb.view.tree import Element


@dataclass(frozen=True, slots=True)
class Part:
    """An element whose children rarely change, and perhaps a text in it that grows at its end.

    Attributes:
        key: Names it among the parts of its page.
        shell: Its element.
        inside: The key of the part that holds it; ``""`` if the page does.
        grows: What grows in it, behind the children of its element: ``text``, ``markdown`` or ``""``.
        text: The text so far.
    """

    key: str
    shell: Element
    inside: str = ""
    grows: str = ""
    text: str = ""


Page = tuple[Part, ...]
