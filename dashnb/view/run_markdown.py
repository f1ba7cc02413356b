"""A run as Markdown."""

from __future__ import annotations

import re

from dashnb.characters import harmless, in_line
from dashnb.protocol.state import RunState, Step, ToolCall
from dashnb.view.blocks import Block, TextSection, open_fence, whole
from dashnb.view.heading import Heading
from dashnb.view.text import outcome
from dashnb.view.toolcalls import arguments_in_line, read_output
from dashnb.view.wording import accounts, notice

_BACKTICKS = re.compile(r"`+")


def to_markdown(state: RunState, heading: Heading, *, block: Block | None = None) -> str:
    """The run, or one block of it, as Markdown: the answer as it is, everything else as quoted lines.

    >>> state = RunState()
    >>> state.end("cancelled")
    >>> print(to_markdown(state, Heading("Weather", engine="guide")))
    *Weather · guide*
    <BLANKLINE>
    > The run was cancelled.
    """
    shown = block or whole(state)
    parts = [f"*{_plain(heading.line(state.model))}*"] if shown.first else []
    for section in shown.sections:
        if isinstance(section, TextSection):
            parts.append(_closed(section.text.strip("\n")))
        else:
            parts.append("  \n".join(_call_markdown(call, section.step, heading) for call in section.step.calls))
    if shown.last:
        if said := notice(state, heading):
            parts.append(f"> {_plain(said.text)}")
        if line := accounts(state, heading):
            parts.append(f"*{line}*")
    return "\n\n".join(part for part in parts if part)


def _call_markdown(call: ToolCall, step: Step, heading: Heading) -> str:
    result = read_output(call.output).line(heading) or outcome(call, step, heading)
    name, arguments = in_line(call.name) or "tool", arguments_in_line(call.arguments, heading)
    parts = [f"⚙ {_code(name)}", _code(arguments), f"→ {_code(result)}" if result else ""]
    return "> " + " ".join(part for part in parts if part)


def _code(text: str) -> str:
    """The text between as many backticks as it needs."""
    if not text:
        return ""
    mark = "`" * (1 + max((len(run) for run in _BACKTICKS.findall(text)), default=0))
    return f"{mark} {harmless(text)} {mark}" if "`" in text else f"{mark}{harmless(text)}{mark}"


def _closed(text: str) -> str:
    """The answer with a code fence that it leaves open closed, so that what follows is not code."""
    fence = open_fence(text)
    return f"{text}\n{fence}" if fence else text


def _plain(text: str) -> str:
    """The text with the characters escaped that Markdown would read as marks."""
    return re.sub(r"([\\`*_\[\]<>~$])", r"\\\1", " ".join(harmless(text).split()))
