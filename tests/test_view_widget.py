"""The live view in the kernel: what it tells the browser, and what stays."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashnb.protocol.events import event_of
from dashnb.protocol.recording import parse_recording
from dashnb.protocol.state import RunState, ToolCall
from dashnb.view import Heading, bundle
from dashnb.view.part import Page
from dashnb.view.widget import WidgetView
from view_support import TRANSCRIPTS, Notebook, Screen, created, folded, message, run, waiting

HEADING = Heading("Weather", engine="guide")


class FakeView:
    """A widget whose browser is at hand."""

    def __init__(
        self,
        heading: Heading,
        *,
        snapshot: Callable[[], dict[str, Any]],
        on_stop: Callable[[], None],
        on_decision: Callable[..., None],
    ) -> None:
        self.running = True
        self.closed = False
        self.screen = Screen()
        self.seen = 0
        self.sizes: list[int] = []
        self.snapshots: list[int] = []
        self.stop = on_stop
        self.decide = on_decision
        self._snapshot = snapshot
        self._open()

    def _open(self) -> None:
        page = self._snapshot()
        self.screen = Screen()
        self.screen.carry_out(page["ops"])
        self.seen = page["seq"]

    def get_view_data(self) -> dict[str, Any]:
        return {"application/vnd.jupyter.widget-view+json": {"model_id": "m"}}

    def tell(self, seq: int, operations: list[Any]) -> None:
        assert seq == self.seen + 1, "messages are numbered one by one"
        self.screen.carry_out(json.loads(json.dumps(operations)))
        self.seen = seq
        self.sizes.append(len(json.dumps(operations)))

    def heal(self) -> None:
        page = json.loads(json.dumps(self._snapshot()))
        late = Screen()
        late.carry_out(page["ops"])
        assert late.parts == self.screen.parts, "a view that comes late shows the same page"
        assert page["seq"] == self.seen
        self.snapshots.append(len(json.dumps(page)))

    def retire(self) -> None:
        self.closed = True


class Decider:
    """Remembers what a person decided."""

    def __init__(self) -> None:
        self.decisions: list[tuple[Any, ...]] = []

    def waiting(self, state: RunState) -> tuple[ToolCall, ...]:
        return () if self.decisions else state.pending_calls

    def decided(self, *decision: Any) -> None:
        self.decisions.append(decision)


class AtOnce:
    """A beat that sends each value as it is offered."""

    def __init__(self, send: Callable[[Page], None]) -> None:
        self.offer = send

    def close(self) -> None:
        """Nothing is on its way."""


class Watched:
    """A view with its notebook and its browser."""

    def __init__(self, *, every: int = 1, decider: Any = None) -> None:
        self.notebook = Notebook()
        self.screens: list[FakeView] = []
        self._every = every
        self.view = WidgetView(
            self.notebook,
            screen=self._screen,
            beat=self._beat,
            clock=lambda: 0.0,  # a page that takes long on a busy machine is followed by a pause
            new_id=lambda: "one",
            decider=decider,
        )

    def _screen(self, heading: Heading, **events: Any) -> FakeView:
        self.screens.append(FakeView(heading, **events))
        return self.screens[-1]

    def _beat(self, send: Callable[[Page], None]) -> Any:
        beat, count = AtOnce(send), 0

        def sometimes(page: Page) -> None:
            nonlocal count
            count += 1
            if count % self._every == 0:
                send(page)

        beat.offer = sometimes
        return beat

    def run(self, events: list[Any]) -> RunState:
        state = RunState(requested_at=0)
        self.view.begin(HEADING)
        for at, event in enumerate(events):
            state.apply(event, at=at)
            self.view.show(state)
        self.view.finish(state)
        return state


@pytest.mark.parametrize("every", [1, 3, 1000])
@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.name)
def test_a_live_view_ends_as_exactly_what_the_static_view_displays(path: Path, every: int) -> None:
    watched = Watched(every=every)
    state = watched.run(list(parse_recording(path.read_bytes())))
    assert watched.notebook.outputs == [bundle(state, HEADING)]
    assert "widget-view" not in json.dumps(watched.notebook.outputs)
    (view,) = watched.screens
    assert view.closed
    assert not view.running
    assert view.screen.ended


def test_the_view_shows_seconds_and_what_stays_does_not() -> None:
    watched = Watched()
    watched.run([created(), *message("Hello"), run("completed")])
    shown = json.dumps(watched.screens[0].screen.parts)
    assert "first text after" in shown
    assert "first text after" not in json.dumps([data for data, _ in watched.notebook.outputs])


def test_a_front_end_without_widgets_reads_why_it_waits() -> None:
    watched = Watched()
    watched.view.begin(HEADING)
    (data, _) = watched.notebook.outputs[0]
    assert data["text/plain"].startswith("This front end shows no live view")


@pytest.mark.parametrize("events", [[], [created()], [created(), *message("half")]])
def test_whatever_happened_the_view_becomes_output(events: list[Any]) -> None:
    watched = Watched()
    state = watched.run(events)
    assert watched.notebook.outputs == [bundle(state, HEADING)]


def test_a_second_interrupt_leaves_no_dead_view_behind() -> None:
    watched = Watched()
    watched.view.begin(HEADING)
    tell, told = watched.screens[0].tell, []

    def interrupted(seq: int, operations: list[Any]) -> None:
        told.append(seq)
        tell(seq, operations)
        if len(told) == 1:
            raise KeyboardInterrupt

    watched.screens[0].tell = interrupted  # type: ignore[method-assign]
    state = folded([created(), *message("Hi")])
    with pytest.raises(KeyboardInterrupt):
        watched.view.finish(state)
    assert watched.notebook.outputs == [bundle(state, HEADING)]


def test_a_person_who_presses_stop_interrupts_the_reading() -> None:
    watched = Watched()
    watched.view.begin(HEADING)
    watched.screens[0].stop()
    with pytest.raises(KeyboardInterrupt):
        watched.view.show(RunState())


def test_what_is_sent_grows_as_the_answer_does_and_so_do_the_snapshots() -> None:
    def sent(pieces: int) -> tuple[int, int]:
        watched = Watched()
        events = [created(), *(event_of("thread.message.delta", _delta("All work. ")) for _ in range(pieces))]
        watched.run([*events, run("completed")])
        return sum(watched.screens[0].sizes), sum(watched.screens[0].snapshots)

    short, long = sent(500), sent(8000)
    assert long[0] / short[0] <= 18
    assert long[1] / short[1] <= 24
    assert long[1] <= 4 * 8000 * len("All work. ")


def _delta(text: str) -> dict[str, Any]:
    return {"id": "message_1", "delta": {"content": [{"type": "text", "text": {"value": text}}]}}


@settings(max_examples=50)
@given(st.lists(st.text(st.sampled_from("ab\n`*# \ud83d\ude00|-$"), max_size=8), max_size=30))
def test_the_browser_has_the_whole_answer_however_it_was_cut(pieces: list[str]) -> None:
    watched = Watched()
    state = watched.run([created(), *(event_of("thread.message.delta", _delta(piece)) for piece in pieces)])
    grown = [part[4] for part in watched.screens[0].screen.parts if part[3] == "markdown"]
    assert grown == (
        [state.text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")] if state.text.strip() else []
    )


def test_code_is_coloured_once_when_its_block_closes() -> None:
    watched = Watched()
    text = "Look:\n\n```python\nx = 1\n```\n\nand\n\n```python\ny = 2\n```\n"
    watched.run([created(), *(event_of("thread.message.delta", _delta(char)) for char in text), run("completed")])
    assert watched.screens[0].screen.colours == [("text:0", 0), ("text:0", 1)]


def test_readers_who_hear_the_page_are_told_what_goes_on_and_each_thing_once() -> None:
    watched = Watched()
    watched.run([created(), *message("Hi"), run("failed")])
    said = watched.screens[0].screen.said
    assert said[:2] == ["Weather is working …", "writing …"]
    assert said[-1].startswith("The run failed")
    assert len(set(said)) == len(said)


def test_a_run_that_waits_for_a_person_is_kept_as_output_and_goes_on_in_its_view() -> None:
    decider = Decider()
    watched = Watched(decider=decider)
    state = watched.run([created(), waiting("pay", '{"amount": 3}')])
    (view,) = watched.screens
    assert watched.notebook.outputs == [bundle(state, HEADING)]
    assert not view.closed
    assert view.screen.parked
    assert view.screen.asked == [{"id": "call_1", "name": "pay", "arguments": '{\n  "amount": 3\n}'}]
    view.decide("call_1", True, None, "")
    assert decider.decisions == [("call_1", True, None, "")]
    for event in (*message("Paid."), run("completed")):
        state.apply(event, at=5)
        watched.view.show(state)
        assert view.running or state.is_final
    watched.view.finish(state)
    assert watched.notebook.outputs == [bundle(state, HEADING)]
    assert view.closed
    assert view.screen.ended
    assert view.screen.asked == []


def test_a_run_that_waits_where_nobody_may_decide_is_over_for_the_view() -> None:
    watched = Watched()
    watched.run([created(), waiting()])
    assert watched.screens[0].closed
    assert watched.screens[0].screen.asked == []
