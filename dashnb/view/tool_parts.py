"""A tool call as HTML: one quiet line that opens to its arguments and its output."""

from __future__ import annotations

from html import escape

from dashnb.protocol.state import Step, ToolCall
from dashnb.view import style
from dashnb.view.heading import Heading
from dashnb.view.style import tag, text_html
from dashnb.view.toolcalls import (
    ARGUMENTS_SHOWN,
    OUTPUT_SHOWN,
    RESULTS_SHOWN,
    Reading,
    SearchResult,
    arguments_line,
    call_mark,
    one_line,
    read_arguments,
    read_output,
    shorten,
)
from dashnb.view.wording import seconds

_MARKS: dict[str, tuple[str, str]] = {
    "done": ("completed", ""),
    "running": ("in_progress", "running …"),
    "waiting": ("requires_action", "waits for its output"),
    "failed": ("failed", "failed"),
    "cancelled": ("cancelled", "cancelled"),
    "expired": ("expired", "expired"),
}


def step_html(step: Step, heading: Heading, *, answer: str, waiting: bool) -> str:
    """The calls of a step, each as ``<details>``: closed when done, open while it runs.

    Args:
        step: A step that calls tools.
        heading: Tells whether a person looks on.
        answer: The run's text; pictures that it shows are not shown twice.
        waiting: True if the run waits for the outputs of its last step.
    """
    taken = seconds(step.duration_ms) if heading.watched and step.duration_ms and len(step.calls) == 1 else ""
    calls = "".join(call_html(call, _mark(call, step, waiting), answer=answer, note=taken) for call in step.calls)
    failure = ""
    if step.error:
        words = ": ".join(part for part in (step.error.code, step.error.message) if part)
        failure = tag("div", style.NOTICES["error"], text_html(words))
    return calls + failure


def call_html(call: ToolCall, mark: str, *, answer: str = "", note: str = "") -> str:
    """One call.

    Args:
        call: The call.
        mark: ``done``, ``running``, ``waiting``, ``failed``, ``cancelled`` or ``expired``.
        answer: The run's text.
        note: Text for the end of the line, such as the seconds it took.
    """
    reading = read_output(call.output)
    status, words = _MARKS[mark]
    aside = " · ".join(part for part in (words or one_line(reading.line, 60), note) if part)
    summary = " ".join(
        (
            style.dot(status),
            tag("code", style.CALL_NAME, escape(call.name or "tool")),
            tag("code", style.CALL_LINE, escape(arguments_line(call.arguments))),
        )
    )
    if aside:
        summary += f' <span style="font-size:12px;{style.QUIET}">→ {text_html(aside)}</span>'
    body = _arguments(call) + _output(reading, answer)
    shown = "" if mark in ("done", "cancelled", "expired") else " open"
    return f'<details{shown} style="{style.CALL}">{tag("summary", style.SUMMARY, summary)}{body}</details>'


def _mark(call: ToolCall, step: Step, waiting: bool) -> str:
    mark = call_mark(call, step)
    return "waiting" if mark == "running" and waiting else mark


def _arguments(call: ToolCall) -> str:
    text = read_arguments(call.arguments)
    return _labelled("Arguments", _data(text, ARGUMENTS_SHOWN)) if text.strip(" {}") else ""


def _output(reading: Reading, answer: str) -> str:
    if reading.kind == "none":
        return ""
    if reading.kind == "search":
        return _labelled("Output", _search(reading.results))
    if reading.kind == "pictures":
        return _labelled("Output", _pictures(reading.pictures, answer))
    return _labelled("Output", _data(reading.text, OUTPUT_SHOWN))


def _labelled(label: str, content: str) -> str:
    return tag("div", style.LABEL, label) + content


def _data(text: str, length: int) -> str:
    return tag("pre", style.DATA, escape(shorten(text, length)))


def _search(results: tuple[SearchResult, ...]) -> str:
    items = "".join(tag("li", style.RESULT, _result(result)) for result in results[:RESULTS_SHOWN])
    more = len(results) - RESULTS_SHOWN
    return tag("ol", style.RESULTS, items) + (tag("div", style.LABEL, f"… {more} more") if more > 0 else "")


def _result(result: SearchResult) -> str:
    title = text_html(result.title or result.url)
    if result.url:
        title = f'<a href="{escape(result.url)}" target="_blank" rel="noopener noreferrer">{title}</a>'
    source = f' <span style="{style.QUIET}">· {text_html(result.source)}</span>' if result.source else ""
    words = f'<br><span style="font-size:12px;{style.QUIET}">{text_html(result.words)}</span>' if result.words else ""
    return title + source + words


def _pictures(urls: tuple[str, ...], answer: str) -> str:
    missing = [url for url in urls[:RESULTS_SHOWN] if url not in answer]
    if not missing:
        return tag("div", style.LABEL, "Shown in the answer.")
    return "".join(f'<div><img src="{escape(url)}" alt="" style="{style.PICTURE}"></div>' for url in missing)
