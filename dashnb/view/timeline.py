"""The steps of a run in one line: what was called, what was answered, in which order, how it went.

The marks are drawn as inline SVG, so that a kept notebook needs nothing to show them; the names are
text beside them, which stays where a front end drops drawings.
"""

from __future__ import annotations

from dataclasses import dataclass

from dashnb.characters import in_line
from dashnb.protocol.state import RunState, Step
from dashnb.view import style
from dashnb.view.blocks import TextSection, sections
from dashnb.view.heading import Heading
from dashnb.view.tree import Element, Node, element
from dashnb.view.wording import duration

STEPS_SHOWN = 12

# What is drawn in the disc of a step: a tick, a cross, a bar; three points while it goes on.
_SIGNS: dict[str, str] = {
    "completed": "M4.6 8.2l2.3 2.3 4.5-4.6",
    "failed": "M5.4 5.4l5.2 5.2M10.6 5.4l-5.2 5.2",
    "expired": "M5.4 5.4l5.2 5.2M10.6 5.4l-5.2 5.2",
    "cancelled": "M5 8h6",
}
_GOING_ON = "M5 8h.01M8 8h.01M11 8h.01"
_LINE = "M0 8h16"


@dataclass(frozen=True, slots=True)
class Stop:
    """A step on the line: its name, its status, how long it took (``""`` where that is not shown)."""

    name: str
    status: str
    time: str = ""


def timeline(state: RunState, heading: Heading) -> Element | None:
    """The line of the run's steps, or None as long as it has called no tool.

    >>> timeline(RunState(), Heading()) is None
    True
    """
    stops = _stops(state, heading)
    if not any(step.calls for step in state.steps):
        return None
    shown = [part for number, stop in enumerate(stops[:STEPS_SHOWN]) for part in _drawn(stop, heading, number)]
    more = len(stops) - STEPS_SHOWN
    if more > 0:
        shown.append(element("span", style.QUIET, heading.say("… {n} more", n=more)))
    return element("div", style.TIMELINE, *shown)


def _stops(state: RunState, heading: Heading) -> list[Stop]:
    stops: list[Stop] = []
    for section in sections(state):
        if isinstance(section, TextSection):
            status = "completed" if state.status == "completed" else _of_text(section.text, state)
            stops.append(Stop(heading.say("answer"), status))
        else:
            stops.append(_of_step(section.step, heading))
    return stops


def _of_text(text: str, state: RunState) -> str:
    step = next((step for step in state.steps if step.text == text), None)
    return step.status if step else state.status


def _of_step(step: Step, heading: Heading) -> Stop:
    names = ", ".join(dict.fromkeys(in_line(call.name) or heading.say("tool") for call in step.calls))
    time = duration(step, heading)
    return Stop(names, step.status, time)


def _drawn(stop: Stop, heading: Heading, number: int) -> list[Node]:
    line: list[Node] = [_svg(16, None, _path(_LINE, "rgba(128,128,128,0.5)", "1.2")), " "] if number else []
    going_on = stop.status not in _SIGNS
    sign = _path(_SIGNS.get(stop.status, _GOING_ON), "#fff", "2.2" if going_on else "1.7")
    disc = element("circle", "", cx="8", cy="8", r="7", fill=style.colour(stop.status))
    label = heading.say("running …") if going_on else heading.say(stop.status)
    time = element("span", style.QUIET, f" {stop.time}") if stop.time else ""
    return [*line, element("span", style.TIMELINE_STEP, _svg(14, label, disc, sign), f" {stop.name}", time), " "]


def _svg(width: int, label: str | None, *shapes: Element) -> Element:
    named = {"role": "img", "aria_label": label} if label else {"aria_hidden": "true"}
    return element("svg", style.TIMELINE_PICTURE, *shapes, width=str(width), height="14", viewBox="0 0 16 16", **named)


def _path(line: str, colour: str, width: str) -> Element:
    return element(
        "path",
        "",
        d=line,
        fill="none",
        stroke=colour,
        stroke_width=width,
        stroke_linecap="round",
        stroke_linejoin="round",
    )
