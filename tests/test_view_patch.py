"""What is sent of a page that changes: enough to rebuild it, and nothing twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashnb.protocol.recording import parse_recording
from dashnb.protocol.state import RunState
from dashnb.view import Heading
from dashnb.view.page import page
from dashnb.view.part import Page, Part
from dashnb.view.patch import changes
from dashnb.view.tree import element, to_json
from view_support import TRANSCRIPTS, Screen, call, created, folded, message, run

HEADING = Heading("Weather", watched=True)


def parts_of(shown: Page) -> list[tuple[Any, ...]]:
    """The parts as the screen has them: in the order in which they stand."""

    def below(holder: str) -> list[tuple[Any, ...]]:
        rows = []
        for part in shown:
            if part.inside == holder:
                shell = json.loads(json.dumps(to_json(part.shell)))
                rows.append((part.key, holder, shell, part.grows, part.text))
                rows.extend(below(part.key))
        return rows

    return below("")


@st.composite
def pages(draw: st.DrawFn) -> Page:
    """Pages whose parts have few keys, so that two of them share some."""
    keys = draw(st.lists(st.sampled_from("abcdef"), unique=True))
    parts: list[Part] = []
    for key in keys:
        holders = ["", *(part.key for part in parts)]
        shell = element(draw(st.sampled_from(["div", "pre"])), draw(st.sampled_from(["", "margin:0"])))
        grows = draw(st.sampled_from(["", "text"]))
        text = draw(st.sampled_from(["", "x", "xy", "xyz", "other"])) if grows else ""
        parts.append(Part(key, shell, draw(st.sampled_from(holders)), grows, text))
    return tuple(parts)


@given(st.lists(pages(), max_size=5))
def test_the_operations_make_each_page_of_the_one_before(row: list[Page]) -> None:
    screen, before = Screen(), ()
    for after in row:
        screen.carry_out(json.loads(json.dumps(changes(before, after))))
        assert screen.parts == parts_of(after)
        before = after


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.name)
def test_a_recorded_run_is_rebuilt_event_by_event_and_nothing_is_sent_twice(path: Path) -> None:
    state, screen, before, sent = RunState(requested_at=0), Screen(), (), 0
    for at, event in enumerate(parse_recording(path.read_bytes())):
        state.apply(event, at=at)
        after = page(state, HEADING, live=True)
        operations = changes(before, after)
        screen.carry_out(operations)
        assert screen.parts == parts_of(after)
        sent += sum(len(operation[2]) for operation in operations if operation[0] == "append")
        before = after
    assert sent <= len(state.text) + sum(len(call.arguments) + 200 for call in state.tool_calls)


def test_text_that_grew_is_appended_and_text_that_is_another_is_replaced() -> None:
    def shown(text: str) -> Page:
        return (Part("a", element("div"), grows="markdown", text=text),)

    assert changes(shown("Hel"), shown("Hello")) == [["append", "a", "lo"]]
    assert changes(shown("Hello"), shown("Help")) == [["text", "a", "Help"]]
    assert changes(shown("Hello"), shown("Hello")) == []


def test_a_step_that_comes_late_stands_before_what_follows_it() -> None:
    first, last, late = (Part(key, element("div")) for key in ("first", "last", "late"))
    assert changes((first, last), (first, late, last)) == [["add", "late", "", "last", ["div", {}], "", ""]]


def test_a_call_that_streams_its_arguments_sends_each_character_once() -> None:
    arguments = json.dumps({"query": "the weather in Beijing " * 40})
    before, sent = (), 0
    for length in range(0, len(arguments), 7):
        state = folded([created(), *call("quark_search", arguments[:length], status="in_progress")])
        after = page(state, HEADING, live=True)
        sent += sum(len(op[2]) for op in changes(before, after) if op[0] in ("append", "text"))
        before = after
    assert sent <= len(arguments) + 50


def test_the_end_of_a_run_changes_what_stands_around_the_answer_only() -> None:
    events = [created(), *call("f", "{}", "4"), *message("It is four.")]
    before = page(folded(events), HEADING, live=True)
    after = page(folded([*events, run("completed")]), HEADING)
    kinds = {operation[0] for operation in changes(before, after)}
    assert kinds <= {"shell", "drop", "add"}
    assert not any(operation[1].startswith("text") for operation in changes(before, after))
