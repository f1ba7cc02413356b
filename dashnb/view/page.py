"""What a run looks like, as a row of parts: the same parts are written as HTML and shown live.

RunState ── page() ──> parts ─┬─ html.py    one string of HTML, which a notebook keeps
                              └─ patch.py   what changed since the last page, for the live view
"""

from __future__ import annotations

from dashnb.protocol.state import RunState
from dashnb.view import style
from dashnb.view.blocks import Block, TextSection, whole
from dashnb.view.heading import Heading
from dashnb.view.part import Page, Part
from dashnb.view.timeline import timeline
from dashnb.view.tool_parts import call_parts, step_parts
from dashnb.view.toolcalls import shorten
from dashnb.view.tree import element
from dashnb.view.wording import accounts, activity, notice

REASONING_SHOWN = 8000  # characters

_WORDS: dict[str, str] = {
    "": "no answer",
    "requires_action": "waits for you",
    "in_progress": "not finished",
    "queued": "not finished",
}


def page(state: RunState, heading: Heading, *, block: Block | None = None, live: bool = False, doing: str = "") -> Page:
    """The run, or one block of it, as parts in reading order; a part stands behind the one that holds it.

    >>> [part.key for part in page(RunState(), Heading("Weather"), live=True)]
    ['header', 'activity']

    Args:
        state: The run.
        heading: Who answers.
        block: The part to show; the whole run if None.
        live: True while the run goes on: what it does now stands where accounts and notices will be.
        doing: What goes on; ``""`` for what the state says.
    """
    shown = block or whole(state)
    parts = [*_header(state, heading, live), *_reasoning(state, heading)] if shown.first else []
    texts = 0
    for section in shown.sections:
        if isinstance(section, TextSection):
            parts.extend(_answer(section.text, texts))
            texts += 1
        else:
            parts.extend(step_parts(section.step, state, heading))
    if shown.last:
        parts.extend(_activity(doing or activity(state, heading)) if live else _end(state, heading))
    return tuple(parts)


def passage(title: str, text: str) -> Page:
    """A text under a title, as parts.

    >>> [part.key for part in passage("user", "Hello?")]
    ['header', 'text:0']
    """
    return (Part("header", element("div", style.HEADER, element("span", style.NAME, title))), *_answer(text, 0))


def _header(state: RunState, heading: Heading, live: bool) -> list[Part]:
    name = element("span", style.NAME, heading.name)
    facts = "".join(f" · {fact}" for fact in heading.facts(state.model))
    if live:
        row = element("div", style.HEADER, name, element("span", style.QUIET, facts))
    else:
        words = element("span", style.QUIET, heading.say(_WORDS.get(state.status, state.status)))
        row = element(
            "div", style.HEADER, name, element("span", style.QUIET, f"{facts} · "), style.dot(state.status), " ", words
        )
    steps = timeline(state, heading)
    return [Part("header", row), *([Part("timeline", steps)] if steps else [])]


def _reasoning(state: RunState, heading: Heading) -> list[Part]:
    """What a reasoning model thought: closed, as it is no part of the answer."""
    if not state.reasoning.strip():
        return []
    summary = element("summary", style.SUMMARY, heading.say("Reasoning"))
    thought = shorten(state.reasoning.strip(), REASONING_SHOWN, heading)
    return [
        Part("reasoning", element("details", style.CALL, summary)),
        Part("reasoning:text", element("pre", style.DATA), "reasoning", "text", thought),
    ]


def _answer(text: str, number: int) -> list[Part]:
    return [Part(f"text:{number}", element("div", style.ANSWER), "", "markdown", text)] if text.strip() else []


def _activity(doing: str) -> list[Part]:
    return [Part("activity", element("div", style.ACTIVITY, doing, class_="dashnb-activity"))]


def _end(state: RunState, heading: Heading) -> list[Part]:
    parts: list[Part] = []
    if state.pending_calls and not any(step.status == "in_progress" and step.calls for step in state.steps):
        parts.extend(part for call in state.pending_calls for part in call_parts(call, "pending", "waiting", heading))
    if said := notice(state, heading):
        parts.append(Part("notice", element("div", style.NOTICES[said.tone], said.text)))
    if line := accounts(state, heading):
        parts.append(Part("accounts", element("div", style.FOOTER, line)))
    return parts
