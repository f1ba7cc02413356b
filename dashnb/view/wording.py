"""The sentences about a run that are the same in text, Markdown and HTML."""

from __future__ import annotations

from dataclasses import dataclass

from dashnb.protocol.state import ABANDONED, RunState
from dashnb.view.heading import Heading


@dataclass(frozen=True, slots=True)
class Notice:
    """A plain line about how a run ended, if not well.

    Attributes:
        tone: ``error``, ``wait`` or ``note``.
        text: The line.
    """

    tone: str
    text: str


# Status -> tone and sentence. A status that is missing here ended well or has not ended.
_ENDINGS: dict[str, tuple[str, str]] = {
    "failed": ("error", "The run failed"),
    "expired": ("error", "The run took too long and expired"),
    "incomplete": ("note", "The answer is incomplete: the run ended before the model had finished"),
    "cancelled": ("note", "The run was cancelled"),
    "cancelling": ("note", "The run is being cancelled"),
    ABANDONED: ("note", "Reading was stopped; the run may go on at the service"),
    "": ("note", "No answer arrived"),
}
_UNFINISHED = ("note", "Reading ended before the run did")


def notice(state: RunState) -> Notice | None:
    """How the run ended, or None if it completed.

    >>> state = RunState()
    >>> state.end("cancelled")
    >>> notice(state).text
    'The run was cancelled.'
    """
    if state.status == "completed":
        return None
    if state.status == "requires_action":
        return Notice("wait", _waiting(state))
    tone, sentence = _ENDINGS.get(state.status, _UNFINISHED)
    if state.error:
        tone = "error" if tone == "note" and state.status in ("", "queued", "in_progress") else tone
        return Notice(tone, f"{sentence}: {_reason(state)}")
    kept = " What had arrived is shown." if state.text and state.status in ("failed", "expired") else ""
    return Notice(tone, f"{sentence}.{kept}")


def activity(state: RunState, heading: Heading) -> str:
    """What goes on right now, for the line below an answer that is still being written.

    >>> activity(RunState(), Heading("Weather"))
    'Weather is working …'
    """
    if state.status == "requires_action":
        return f"calling {_names(state)} …"
    if state.status == "cancelling":
        return "stopping …"
    busy = [step for step in state.steps if step.status == "in_progress"]
    if busy and busy[-1].calls:
        names = ", ".join(dict.fromkeys(call.name or "a tool" for call in busy[-1].calls))
        return f"{names} is running …" if len(busy[-1].calls) == 1 else f"{names} are running …"
    if state.reasoning and not state.text:
        return f"{heading.name} is thinking …"
    return "writing …" if state.text else f"{heading.name} is working …"


def accounts(state: RunState, heading: Heading) -> str:
    """The line below an answer: tokens, and seconds where a person looks on; ``""`` if nothing is known.

    >>> from dashnb.protocol.objects import Usage
    >>> state = RunState()
    >>> state.usage = Usage(input_tokens=1865, output_tokens=139, total_tokens=2004)
    >>> accounts(state, Heading())
    '1,865 tokens in · 139 out · 2,004 in total'
    """
    return " · ".join((*_tokens(state), *(_times(state) if heading.watched else ())))


def seconds(milliseconds: float) -> str:
    """A duration as a person reads it.

    >>> seconds(80), seconds(1240), seconds(75000)
    ('0.08 s', '1.2 s', '75.0 s')
    """
    value = milliseconds / 1000
    return f"{value:.2f} s" if value < 1 else f"{value:.1f} s"


def _tokens(state: RunState) -> tuple[str, ...]:
    usage = state.usage
    if usage is None:
        return ()
    return (
        f"{usage.input_tokens:,} tokens in",
        f"{usage.output_tokens:,} out",
        f"{usage.total_tokens:,} in total",
    )


def _times(state: RunState) -> list[str]:
    facts = []
    if state.duration_ms is not None:
        facts.append(seconds(state.duration_ms))
    if state.time_to_first_token is not None:
        facts.append(f"first text after {seconds(state.time_to_first_token)}")
    if state.usage and state.ended_at is not None and state.first_token_at is not None:
        writing = (state.ended_at - state.first_token_at) / 1000
        if writing > 0 and state.usage.output_tokens:
            facts.append(f"{state.usage.output_tokens / writing:.0f} tokens/s")
    return facts


def _waiting(state: RunState) -> str:
    return f"The run waits for the output of {_names(state)}."


def _names(state: RunState) -> str:
    names = [call.name or "a function" for call in state.pending_calls]
    return ", ".join(names) if names else "a function"


def _reason(state: RunState) -> str:
    if state.error is None:
        return ""
    return ": ".join(part for part in (state.error.code, state.error.message) if part) or "no reason given"
