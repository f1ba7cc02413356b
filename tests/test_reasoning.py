"""What a reasoning model thinks is shown apart from its answer, and is part of no message."""

from __future__ import annotations

import pytest

from dashnb.client.client import Client
from dashnb.local.models.engine import ReasoningPiece, TextPiece
from dashnb.local.service import BASE_URL, LocalService
from dashnb.protocol.events import REASONING_DELTA, event_of
from dashnb.protocol.state import RunState
from dashnb.view import Heading, to_html, to_markdown, to_text
from scripted import Script


def thought(text: str, **more: object) -> RunState:
    state = RunState()
    state.apply(event_of(REASONING_DELTA, {"id": "run_1", "delta": {"text": text}, **more}))
    return state


def test_thoughts_travel_as_events_of_their_own_and_stay_out_of_the_message() -> None:
    engine = Script([ReasoningPiece("Two and "), ReasoningPiece("three."), TextPiece("Five.")])
    service = LocalService(":memory:", engine, plugins={})
    with Client(BASE_URL, transport=service.transport(closes=True)) as client:
        thread = client.threads.create(messages=[{"role": "user", "content": "2 + 3?"}])
        assistant = client.assistants.create(model="m")
        with client.runs.stream(thread.id, assistant_id=assistant.id) as stream:
            thoughts = [event.reasoning for event in stream if event.name == REASONING_DELTA]
        assert thoughts == ["Two and ", "three."]
        assert (stream.state.reasoning, stream.state.text) == ("Two and three.", "Five.")
        assert client.messages.list(thread.id)[0].text == "Five."
        assert [step.type for step in client.steps.list(stream.state.id, thread_id=thread.id)] == ["message_creation"]


@pytest.mark.parametrize("data", [None, [], "text", {}, {"delta": None}, {"delta": {"text": None}}])
def test_a_malformed_thought_adds_nothing(data: object) -> None:
    state = RunState()
    state.apply(event_of(REASONING_DELTA, data))
    assert state.reasoning == ""


def test_thoughts_are_shown_closed_and_escaped_before_the_answer() -> None:
    state = thought("<script>alert(1)</script> hm")
    delta = {"content": [{"type": "text", "text": {"value": "Five."}}]}
    state.apply(event_of("thread.message.delta", {"id": "message_1", "delta": delta}))
    shown = to_html(state, Heading("Thinker"))
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert shown.index("Reasoning</summary>") < shown.index("Five.")
    assert "<details open" not in shown
    assert "hm" not in to_text(state, Heading()) + to_markdown(state, Heading())


def test_while_it_thinks_the_view_says_so() -> None:
    assert "Thinker is thinking …" in to_html(thought("hm"), Heading("Thinker"), live=True)


def test_long_thoughts_are_cut_with_a_note() -> None:
    assert "2,000 more characters" in to_html(thought("x" * 10_000), Heading())
