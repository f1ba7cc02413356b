"""A tool call as parts: one quiet line that opens to its arguments and its output."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dashnb.characters import in_line, visible
from dashnb.protocol.pieces import NO_ASIDE
from dashnb.protocol.state import Aside, RunState, Step, ToolCall
from dashnb.view import style
from dashnb.view.code import painted
from dashnb.view.heading import Heading
from dashnb.view.part import Part
from dashnb.view.toolcalls import (
    ARGUMENTS_SHOWN,
    OUTPUT_SHOWN,
    RESULTS_SHOWN,
    Reading,
    SearchResult,
    arguments_line,
    call_mark,
    one_line,
    program,
    read_arguments,
    read_output,
    shorten,
)
from dashnb.view.tree import Element, Node, element
from dashnb.view.wording import duration

# How far a call is -> the status whose colour it has, and the words that say so.
_MARKS: dict[str, tuple[str, str]] = {
    "done": ("completed", ""),
    "running": ("in_progress", "running …"),
    "waiting": ("requires_action", "waits for its output"),
    "failed": ("failed", "failed"),
    "cancelled": ("cancelled", "cancelled"),
    "expired": ("expired", "expired"),
}
_CLOSED = ("done", "cancelled", "expired")


def step_parts(step: Step, state: RunState, heading: Heading) -> list[Part]:
    """The calls of a step, each as ``<details>``: closed when done, open while it runs.

    Args:
        step: A step that calls tools.
        state: Its run; pictures that its answer shows are not shown twice.
        heading: Tells whether a person looks on.
    """
    waiting = state.status == "requires_action" and step.status == "in_progress"
    taken = duration(step, heading) if len(step.calls) == 1 else ""
    parts: list[Part] = []
    for call in step.calls:
        mark = call_mark(call, step)
        mark = "waiting" if mark == "running" and waiting else mark
        aside = state.asides.get(call.id, NO_ASIDE)
        parts.extend(call_parts(call, step.id, mark, heading, answer=state.text, note=taken, aside=aside))
    if step.error:
        words = ": ".join(visible(part) for part in (step.error.code, step.error.message) if part)
        parts.append(Part(f"{step.id}:error", element("div", style.NOTICES["error"], words)))
    return parts


def call_parts(
    call: ToolCall,
    owner: str,
    mark: str,
    heading: Heading,
    *,
    answer: str = "",
    note: str = "",
    aside: Aside = NO_ASIDE,
) -> Iterator[Part]:
    """One call.

    Args:
        call: The call.
        owner: What its keys begin with: the id of its step.
        mark: ``done``, ``running``, ``waiting``, ``failed``, ``cancelled`` or ``expired``.
        heading: In whose language.
        answer: The run's text.
        note: Text for the end of the line, such as the seconds it took.
        aside: What only a person sees of the call.
    """
    key = f"{owner}:{call.number}"
    reading = read_output(call.output)
    line = element("summary", style.SUMMARY, *_line(call, mark, reading, note, heading))
    yield Part(key, element("details", style.CALL, line, open=None if mark in _CLOSED else ""))
    for part in (*_arguments(call, mark, heading), *_output(reading, heading), *_traceback(aside, heading)):
        yield replace(part, key=f"{key}:{part.key}", inside=key)
    # A picture is there to be seen: it does not wait behind a line that opens, unless the answer shows it.
    addresses = (*aside.pictures, *reading.pictures)[:RESULTS_SHOWN]
    if pictures := [url for url in addresses if url not in answer]:
        yield Part(f"{key}:pictures", element("div", style.PICTURES, *(_picture(url, heading) for url in pictures)))


def _line(call: ToolCall, mark: str, reading: Reading, note: str, heading: Heading) -> Iterator[Node]:
    status, words = _MARKS[mark]
    result = heading.say(words) if words else one_line(reading.line(heading), 60)
    aside = " · ".join(part for part in (result, note) if part)
    yield style.dot(status)
    yield " "
    yield element("code", style.CALL_NAME, in_line(call.name) or heading.say("tool"))
    yield " "
    yield element("code", style.CALL_LINE, arguments_line(call.arguments))
    if aside:
        yield " "
        yield element("span", style.NOTE, f"→ {aside}")


def _arguments(call: ToolCall, mark: str, heading: Heading) -> Iterator[Part]:
    text = read_arguments(call.arguments)
    if mark != "waiting":  # a person who decides about a call sees all of it
        text = shorten(text, ARGUMENTS_SHOWN, heading)
    if not text.strip(" {}"):
        return
    code = program(call.arguments)
    yield _label("arguments:label", heading.say("Code" if code else "Arguments"))
    if code and mark != "running":
        yield Part("code", element("pre", style.DATA, *_coloured(text)))
    else:
        yield Part("arguments", element("pre", style.DATA), grows="text", text=text)


def _coloured(code: str) -> Iterator[Node]:
    for css, text in painted(code, "python"):
        yield element("span", css, text) if css else text


def _output(reading: Reading, heading: Heading) -> Iterator[Part]:
    if not reading.text and not reading.results:
        return
    yield _label("output:label", heading.say("Output"))
    if reading.kind == "search":
        yield Part("results", element("div", "", *_search(reading.results, heading)))
        return
    yield Part("output", element("pre", style.DATA), grows="text", text=shorten(reading.text, OUTPUT_SHOWN, heading))


def _traceback(aside: Aside, heading: Heading) -> Iterator[Part]:
    if aside.text:
        yield _label("traceback:label", heading.say("Traceback, for you only"))
        yield Part("traceback", element("pre", style.DATA, visible(aside.text)))


def _label(key: str, words: str) -> Part:
    return Part(key, element("div", style.LABEL, words))


def _search(results: tuple[SearchResult, ...], heading: Heading) -> Iterator[Element]:
    yield element("ol", style.RESULTS, *map(_result, results[:RESULTS_SHOWN]))
    if (more := len(results) - RESULTS_SHOWN) > 0:
        yield element("div", style.LABEL, heading.say("… {n} more", n=more))


def _result(result: SearchResult) -> Element:
    title: Node = result.title or result.url
    if result.url:
        title = element("a", "", title, href=result.url, target="_blank", rel="noopener noreferrer")
    source = element("span", style.QUIET, f" · {result.source}") if result.source else ""
    words = (element("br"), element("span", style.NOTE, result.words)) if result.words else ()
    return element("li", style.RESULT, title, source, *words)


def _picture(url: str, heading: Heading) -> Element:
    return element("img", style.PICTURE, src=url, alt=heading.say("a picture"))
