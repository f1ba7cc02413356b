"""A run as Markdown, of which nothing runs, whoever renders it."""

from __future__ import annotations

from dashnb.characters import in_line
from dashnb.protocol.state import RunState, Step, ToolCall
from dashnb.view.blocks import Block, TextSection, whole
from dashnb.view.fair_copy import code_span, fair_copy, plain_words
from dashnb.view.heading import Heading
from dashnb.view.text import outcome
from dashnb.view.toolcalls import arguments_in_line, read_output
from dashnb.view.wording import accounts, activity, notice


def to_markdown(state: RunState, heading: Heading, *, block: Block | None = None, live: bool = False) -> str:
    """The run, or one block of it, as Markdown: the answer, everything else as quoted lines.

    >>> state = RunState()
    >>> state.end("cancelled")
    >>> print(to_markdown(state, Heading("Weather", engine="guide")))
    *Weather · guide*
    <BLANKLINE>
    > The run was cancelled.

    Args:
        state: The run.
        heading: Who answers.
        block: The part to show; the whole run if None.
        live: True while the run goes on: what it does now stands where accounts and notices will be.
    """
    shown = block or whole(state)
    parts = [f"*{plain_words(heading.line(state.model))}*"] if shown.first else []
    for section in shown.sections:
        if isinstance(section, TextSection):
            parts.append(fair_copy(section.text, context=state.text))
        else:
            parts.append("  \n".join(_call_markdown(call, section.step, heading) for call in section.step.calls))
    if shown.last and live:
        parts.append(f"> {plain_words(activity(state, heading))}")
    elif shown.last:
        if said := notice(state, heading):
            parts.append(f"> {plain_words(said.text)}")
        if line := accounts(state, heading):
            parts.append(f"*{plain_words(line)}*")
    return "\n\n".join(part for part in parts if part)


def _call_markdown(call: ToolCall, step: Step, heading: Heading) -> str:
    result = read_output(call.output).line(heading) or outcome(call, step, heading)
    name, arguments = in_line(call.name) or "tool", arguments_in_line(call.arguments, heading)
    called = ["⚙", code_span(name), code_span(arguments)]
    returned = ["→", code_span(result)] if result else []
    return "> " + " ".join(part for part in (*called, *returned) if part)
