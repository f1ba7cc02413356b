"""A run as HTML that needs nothing else: no style sheet, no script, no id, no network but its pictures.

Heading, tool calls and texts in the order in which they came, what went wrong, accounts. The outer
class is the one that Jupyter's front ends and nbconvert style; everything else is said in place.
"""

from __future__ import annotations

from dashnb.protocol.state import RunState, Step
from dashnb.view import style
from dashnb.view.blocks import Block, TextSection, cut, whole
from dashnb.view.heading import Heading
from dashnb.view.markdown import MARKDOWN_AT_MOST
from dashnb.view.markdown import to_html as markdown_to_html
from dashnb.view.style import tag, text_html
from dashnb.view.tool_html import call_html, step_html
from dashnb.view.toolcalls import shorten
from dashnb.view.wording import accounts, activity, notice

REASONING_SHOWN = 8000  # characters

_WORDS: dict[str, str] = {
    "": "no answer",
    "completed": "completed",
    "requires_action": "waits for you",
    "in_progress": "not finished",
    "queued": "not finished",
}


def to_html(state: RunState, heading: Heading, *, block: Block | None = None, live: bool = False) -> str:
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
    """
    shown = block or whole(state)
    parts = [_header(state, heading, live), _reasoning(state)] if shown.first else []
    for section in shown.sections:
        if isinstance(section, TextSection):
            parts.append(_answer(section.text, state.text))
        else:
            parts.append(_step(section.step, state, heading))
    if shown.last:
        parts.extend(_live_end(state, heading) if live else _end(state, heading))
    return f'<div class="jp-RenderedHTMLCommon" style="{style.FRAME}">\n' + "\n".join(filter(None, parts)) + "\n</div>"


def _header(state: RunState, heading: Heading, live: bool) -> str:
    name = tag("span", style.NAME, text_html(heading.name))
    facts = "".join(f" · {text_html(fact)}" for fact in heading.facts(state.model))
    if live:
        return tag("div", style.HEADER, name + tag("span", style.QUIET, facts))
    words = tag("span", style.QUIET, text_html(_WORDS.get(state.status, state.status)))
    return tag("div", style.HEADER, f"{name}{tag('span', style.QUIET, f'{facts} · ')}{style.dot(state.status)} {words}")


def _reasoning(state: RunState) -> str:
    """What a reasoning model thought: closed, as it is no part of the answer."""
    if not state.reasoning.strip():
        return ""
    thought = tag("pre", style.DATA, text_html(shorten(state.reasoning.strip(), REASONING_SHOWN)))
    summary = f'<summary style="{style.SUMMARY}">Reasoning</summary>'
    return f'<details style="{style.CALL}">{summary}{thought}</details>'


def _answer(text: str, whole_text: str) -> str:
    if not text.strip():
        return ""
    pieces = [text] if len(text) <= MARKDOWN_AT_MOST else cut(text)
    return tag("div", style.ANSWER, "".join(markdown_to_html(piece, context=whole_text) for piece in pieces))


def _step(step: Step, state: RunState, heading: Heading) -> str:
    waiting = state.status == "requires_action" and step.status == "in_progress"
    return step_html(step, heading, answer=state.text, waiting=waiting)


def _live_end(state: RunState, heading: Heading) -> list[str]:
    return [tag("div", style.ACTIVITY, text_html(activity(state, heading)))]


def _end(state: RunState, heading: Heading) -> list[str]:
    parts: list[str] = []
    if state.pending_calls and not any(step.status == "in_progress" and step.calls for step in state.steps):
        parts.extend(call_html(call, "waiting") for call in state.pending_calls)
    if said := notice(state):
        parts.append(tag("div", style.NOTICES[said.tone], text_html(said.text)))
    if line := accounts(state, heading):
        parts.append(tag("div", style.FOOTER, text_html(line)))
    return parts
