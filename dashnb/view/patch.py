"""What changed from one page to the next, as operations that a browser carries out in order.

| operation | meaning |
|---|---|
| ``["add", key, inside, before, shell, grows, text]`` | a new part, before a sibling or (null) as the last one |
| ``["shell", key, shell]`` | the element's attributes and own children are others |
| ``["append", key, text]`` | the text grew at its end |
| ``["text", key, text]`` | the text is another |
| ``["drop", key]`` | the part is gone, with all that it holds |
| ``["code", key, number, spans]`` | colours of a fenced code block: pairs of a style and a length |
| ``["say", text]`` | words for readers who hear the page |
| ``["ask", calls]`` | calls that a person decides about: ``id``, ``name``, ``arguments`` each |
| ``["park"]`` | the page goes over into the notebook's output, and goes on there |
| ``["end"]`` | the page will not change any more |

All of them together are as long as what is shown, however many pages there were: text that is on the
page is not sent again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dashnb.view.part import Page, Part
from dashnb.view.tree import to_json

Operation = list[Any]


def changes(before: Page, after: Page) -> list[Operation]:
    """The operations that make the page ``after`` of the page ``before``.

    >>> from dashnb.view.tree import element
    >>> short, long = (Part("a", element("p"), grows="text", text=text) for text in ("Hel", "Hello"))
    >>> changes((), (short,))
    [['add', 'a', '', None, ['p', {}], 'text', 'Hel']]
    >>> changes((short,), (long,))
    [['append', 'a', 'lo']]
    """
    known = {part.key: part for part in before}
    kept = _kept(before, after)
    dropped = [part for part in before if part.key not in kept and (not part.inside or part.inside in kept)]
    operations: list[Operation] = [["drop", part.key] for part in dropped]
    for number, part in enumerate(after):
        if part.key in kept:
            operations.extend(_grown(known[part.key], part))
        else:
            operations.append(_added(part, after[number + 1 :], kept))
    return operations


def _kept(before: Page, after: Page) -> set[str]:
    """The keys of the parts that stay where they are."""
    known = {part.key: part for part in before}
    kept: set[str] = set()
    for holder, siblings in _siblings(after).items():
        if holder and holder not in kept:
            continue  # what a new part holds is new as well
        stayed = [part.key for part in siblings if part.key in known and _is_same(known[part.key], part)]
        old_order = [part.key for part in before if part.key in set(stayed)]
        # From the first part that changed its place on, everything is put there anew.
        same = next(
            (number for number, pair in enumerate(zip(stayed, old_order, strict=True)) if pair[0] != pair[1]), None
        )
        kept.update(stayed[:same])
    return kept


def _siblings(parts: Page) -> dict[str, list[Part]]:
    """The parts by their holder; holders come before what they hold."""
    siblings: dict[str, list[Part]] = {}
    for part in parts:
        siblings.setdefault(part.inside, []).append(part)
    return siblings


def _is_same(old: Part, new: Part) -> bool:
    return (old.inside, old.grows, old.shell.tag) == (new.inside, new.grows, new.shell.tag)


def _grown(old: Part, new: Part) -> Iterator[Operation]:
    if old.shell != new.shell:
        yield ["shell", new.key, to_json(new.shell)]
    if new.text == old.text:
        return
    if new.text.startswith(old.text):
        yield ["append", new.key, new.text[len(old.text) :]]
    else:
        yield ["text", new.key, new.text]


def _added(part: Part, following: Page, kept: set[str]) -> Operation:
    before = next((next_.key for next_ in following if next_.inside == part.inside and next_.key in kept), None)
    return ["add", part.key, part.inside, before, to_json(part.shell), part.grows, part.text]
