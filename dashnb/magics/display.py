"""From the states of a run to what a cell shows, however the run ends."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from dashnb.errors import RunInterrupted
from dashnb.local.models.replay import read_recording
from dashnb.protocol.events import RunEvent
from dashnb.protocol.state import ABANDONED, RunState
from dashnb.session.connection import Connection
from dashnb.session.session import Session
from dashnb.view import Heading, choose_mode, make_view, surroundings

ENGINE_LABELS = {"guide": "guide · rules, no language model"}


def heading_of(connection: Connection, session: Session) -> Heading:
    """What stands above an answer: the assistant, the model and who answers."""
    assistant = session.assistant
    name = connection.engine.partition(":")[0]
    return Heading(
        assistant=assistant.name, model=assistant.model, engine=ENGINE_LABELS.get(name, name or connection.kind)
    )


def show(states: Generator[RunState, None, None], state: RunState, heading: Heading, *, mode: str) -> None:
    """Show a run from its first event to its end.

    Args:
        states: The run's state after each event; leaving it cancels the run.
        state: The state that they all are.
        heading: What stands above the answer.
        mode: How to show it; ``auto`` decides by where it runs.

    Raises:
        RunInterrupted: A person stopped the run; what arrived is shown and kept.
        DashnbError: The run failed; what arrived is shown and kept.
    """
    place = surroundings()
    chosen = choose_mode(mode, in_kernel=place.in_kernel, allow_stdin=place.allow_stdin)
    # What a notebook keeps must not differ from run to run, so seconds are only for a terminal.
    view = make_view(chosen)
    view.begin(replace(heading, watched=not place.in_kernel))
    try:
        with closing(states):
            for _ in states:
                view.show(state)
    except KeyboardInterrupt:
        raise RunInterrupted(_interrupted(state), state=state) from None
    finally:
        view.finish(state)


def _interrupted(state: RunState) -> str:
    if state.status == ABANDONED:
        return "Stopped; the service cannot cancel the run, so it may go on there.\nWhat arrived is kept."
    return "Stopped; the run was cancelled.\nWhat arrived is kept, and the thread takes the next question."


def replayed(path: Path, state: RunState) -> Generator[RunState, None, None]:
    """The state of a recorded run after each of its events.

    Raises:
        ConfigurationError: The file cannot be read.
        ProtocolError: It is no recording.
    """
    return _applied(read_recording(path), state)


def _applied(events: list[RunEvent], state: RunState) -> Generator[RunState, None, None]:
    for event in events:
        state.apply(event)
        yield state
