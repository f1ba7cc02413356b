"""A run as plain text.

It is for terminals and for ``text/plain``: no ids, no times, and no control characters, which a
terminal would obey.
"""

from __future__ import annotations

import re

from dashnb.characters import harmless, in_line
from dashnb.protocol.state import RunState, Step, ToolCall
from dashnb.view.blocks import Block, TextSection, whole
from dashnb.view.heading import ENGLISH, Heading
from dashnb.view.toolcalls import arguments_beginning, arguments_in_line, call_mark, read_output
from dashnb.view.wording import notice

# No name and no data hold what begins another picture, so nothing is looked through for each beginning.
_NAME, _DATA = r"(?:[^\]\n!]|!(?!\[))*+", r"[^()\s!]*+"
_PICTURE_DATA = re.compile(rf"!\[({_NAME})\]\(data:image/{_DATA}\)")
_UNFINISHED_PICTURE = re.compile(rf"!\[{_NAME}(\](\((d(a(t(a(:{_DATA})?)?)?)?)?)?)?\Z")

# Where the beginning of a picture is looked for at the end of a text that still grows, in characters.
_LONGEST_OPENING = 400


def to_text(state: RunState, heading: Heading, *, block: Block | None = None) -> str:
    r"""The run, or one block of it, as plain text: a line per tool call, the answer, how it ended.

    >>> state = RunState()
    >>> state.end("cancelled")
    >>> to_text(state, Heading())
    '[The run was cancelled.]'
    """
    shown = block or whole(state)
    parts = [
        harmless(without_picture_data(section.text))
        if isinstance(section, TextSection)
        else "\n".join(step_lines(section.step, heading))
        for section in shown.sections
    ]
    said = notice(state, heading) if shown.last else None
    if said:
        parts.append(f"[{harmless(said.text)}]")
    return "\n".join(parts)


def step_lines(step: Step, heading: Heading) -> list[str]:
    """One line per call of the step, such as ``⚙ weather {"city": "Rome"} → rain``."""
    return [call_line(call, step, heading) for call in step.calls]


def call_line(call: ToolCall, step: Step, heading: Heading = ENGLISH) -> str:
    """The call in one line: name, arguments, the output in a few words."""
    result = read_output(call.output).line(heading) or outcome(call, step, heading)
    parts = (_named(call), arguments_in_line(call.arguments, heading), f"→ {result}" if result else "")
    return harmless(" ".join(part for part in parts if part))


def call_start(call: ToolCall) -> str:
    """Name and arguments of the call; grows at its end only while arguments arrive."""
    return harmless(" ".join(part for part in (_named(call), arguments_beginning(call.arguments)) if part))


def _named(call: ToolCall) -> str:
    return f"⚙ {in_line(call.name) or 'tool'}"


def without_picture_data(text: str, *, over: bool = True) -> str:
    """The text with a word in place of each picture that is written out as data.

    >>> without_picture_data("Here: ![a cat](data:image/png;base64,iVBORw0KGgo=)")
    'Here: [picture: a cat]'
    >>> without_picture_data("Here: ![a cat](data:image/png;base64,iVB", over=False)
    'Here: '

    Args:
        text: Markdown.
        over: False if more text may follow; a picture that is not complete is then left out for now.
    """
    if not over and ("!" in text[-_LONGEST_OPENING:] or "](data:" in text):
        text = _without_unfinished(text)
    if "](data:" not in text:
        return text
    return _PICTURE_DATA.sub(lambda match: f"[picture: {match[1]}]" if match[1] else "[picture]", text)


def _without_unfinished(text: str) -> str:
    last = text.rfind("![")
    if last >= 0 and _UNFINISHED_PICTURE.match(text, last):
        return text[:last]
    return text.removesuffix("!")


def outcome(call: ToolCall, step: Step, heading: Heading) -> str:
    """How the call ended, if not well; else ``""``."""
    mark = call_mark(call, step)
    return heading.say(mark) if mark in ("failed", "cancelled", "expired") else ""
