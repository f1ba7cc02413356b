"""The sentences about a run that are the same in text, Markdown and HTML."""

from __future__ import annotations

from dataclasses import dataclass

from dashnb.characters import in_line, visible
from dashnb.prices import built_in
from dashnb.protocol.state import ABANDONED, RunState, Step
from dashnb.view.heading import Heading

WORTH_A_WORD = 10  # milliseconds


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


def notice(state: RunState, heading: Heading) -> Notice | None:
    """How the run ended, or None if it completed.

    >>> state = RunState()
    >>> state.end("cancelled")
    >>> notice(state, Heading()).text, notice(state, Heading(language="zh")).text
    ('The run was cancelled.', '运行已取消。')
    """
    if state.status == "completed":
        return None
    if state.status == "requires_action":
        sentence = "The run waits for the output of {names}. Go on with %assistant continue."
        return Notice("wait", heading.say(sentence, names=_names(state, heading)))
    tone, words = _ENDINGS.get(state.status, _UNFINISHED)
    sentence = heading.say(words)
    if state.error:
        tone = "error" if tone == "note" and state.status in ("", "queued", "in_progress") else tone
        return Notice(tone, heading.say("{sentence}: {reason}", sentence=sentence, reason=_reason(state, heading)))
    ended = heading.say("{sentence}.", sentence=sentence)
    if state.text and state.status in ("failed", "expired"):
        return Notice(tone, f"{ended} {heading.say('What had arrived is shown.')}")
    return Notice(tone, ended)


def activity(state: RunState, heading: Heading) -> str:
    """What goes on right now, for the line below an answer that is still being written.

    >>> activity(RunState(), Heading("Weather"))
    'Weather is working …'
    """
    if state.status == "requires_action":
        return heading.say("calling {names} …", names=_names(state, heading))
    if state.status == "cancelling":
        return heading.say("stopping …")
    busy = [step for step in state.steps if step.status == "in_progress"]
    if busy and busy[-1].calls:
        names = ", ".join(dict.fromkeys(in_line(call.name) or heading.say("a tool") for call in busy[-1].calls))
        return heading.say("{names} is running …" if len(busy[-1].calls) == 1 else "{names} are running …", names=names)
    if state.reasoning and not state.text:
        return heading.say("{name} is thinking …", name=heading.name)
    return heading.say("writing …") if state.text else heading.say("{name} is working …", name=heading.name)


def accounts(state: RunState, heading: Heading) -> str:
    """The line below an answer: tokens, cost, and seconds where a person looks on; ``""`` if nothing is known.

    >>> from dashnb.protocol.objects import Usage
    >>> state = RunState()
    >>> state.usage = Usage(input_tokens=1865, output_tokens=139, total_tokens=2004)
    >>> accounts(state, Heading())
    '1,865 tokens in · 139 out · 2,004 in total'
    >>> accounts(state, Heading(model="qwen-max", engine="cloud"))
    '1,865 tokens in · 139 out · 2,004 in total · 0.00581 CNY'
    """
    times = _times(state, heading) if heading.watched else ()
    return " · ".join((*_tokens(state, heading), *_cost(state, heading), *times))


def seconds(milliseconds: float) -> str:
    """A duration as a person reads it.

    >>> seconds(80), seconds(1240), seconds(75000)
    ('0.08 s', '1.2 s', '75.0 s')
    """
    value = milliseconds / 1000
    return f"{value:.2f} s" if value < 1 else f"{value:.1f} s"


def duration(step: Step, heading: Heading) -> str:
    """How long a step took, where a person looks on; ``""`` for what took no time worth a word.

    >>> duration(Step("step_1", started_at=0, ended_at=1240), Heading(watched=True))
    '1.2 s'
    """
    taken = step.duration_ms or 0
    return seconds(taken) if heading.watched and taken >= WORTH_A_WORD else ""


def _tokens(state: RunState, heading: Heading) -> tuple[str, ...]:
    usage = state.usage
    if usage is None:
        return ()
    return (
        heading.say("{n} tokens in", n=f"{usage.input_tokens:,}"),
        heading.say("{n} out", n=f"{usage.output_tokens:,}"),
        heading.say("{n} in total", n=f"{usage.total_tokens:,}"),
    )


def _cost(state: RunState, heading: Heading) -> tuple[str, ...]:
    usage, thought = state.usage, bool(state.reasoning)
    if usage is None:
        return ()
    cost = (heading.prices or built_in()).cost(
        state.model or heading.model, usage.input_tokens, usage.output_tokens, heading.place, thought=thought
    )
    return (str(cost),) if cost else ()


def _times(state: RunState, heading: Heading) -> list[str]:
    facts = []
    if state.duration_ms is not None:
        facts.append(seconds(state.duration_ms))
    if state.time_to_first_token is not None:
        facts.append(heading.say("first text after {time}", time=seconds(state.time_to_first_token)))
    if state.usage and state.ended_at is not None and state.first_token_at is not None:
        writing = (state.ended_at - state.first_token_at) / 1000
        if writing > 0 and state.usage.output_tokens:
            facts.append(heading.say("{n} tokens/s", n=f"{state.usage.output_tokens / writing:,.0f}"))
    return facts


def _names(state: RunState, heading: Heading) -> str:
    names = [in_line(call.name) or heading.say("a function") for call in state.pending_calls]
    return ", ".join(names) if names else heading.say("a function")


def _reason(state: RunState, heading: Heading) -> str:
    words = (state.error.code, state.error.message) if state.error else ()
    return ": ".join(visible(part) for part in words if part) or heading.say("no reason given")
