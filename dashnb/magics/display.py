"""From the states of a run to what a cell shows, however the run ends."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from dashnb.errors import NotFoundError, RunInterrupted
from dashnb.protocol.lifecycle import is_final
from dashnb.protocol.objects import Run
from dashnb.protocol.state import ABANDONED, RunState
from dashnb.session.connection import Connection
from dashnb.session.interrupts import held_back
from dashnb.session.session import Session
from dashnb.view import Heading, View, make_view, surroundings
from dashnb.view.pictures import Gallery

if TYPE_CHECKING:
    from dashnb.view.widget import Decider

ENGINE_LABELS = {
    "guide": "guide · rules, no language model",
    "smollm": "SmolLM2-135M · a very small model, answers are for show",
    "openai": "openai · language model",
    "qwen": "qwen · language model in the cloud, Beijing",
    "qwen-intl": "qwen-intl · language model in the cloud, Singapore",
    "ollama": "ollama · language model",
    "vllm": "vllm · language model",
    "llamacpp": "llamacpp · language model",
}


def heading_of(connection: Connection, session: Session) -> Heading:
    """What stands above an answer: the assistant, the model and who answers."""
    assistant = session.assistant
    name, _, detail = connection.engine.partition(":")
    # A model server may answer with another model than the one the assistant asks for.
    model = detail if detail and name in ENGINE_LABELS else assistant.model
    return Heading(assistant=assistant.name, model=model, engine=ENGINE_LABELS.get(name, name or connection.kind))


def heading_of_run(connection: Connection, session: Session, run: Run) -> Heading:
    """What stands above a run of somebody else, whose assistant may be gone."""
    try:
        heading = heading_of(connection, session)
    except NotFoundError:
        heading = Heading(engine=connection.kind)
    return replace(heading, model=run.model or heading.model)


def show(
    states: Generator[RunState, None, None],
    state: RunState,
    heading: Heading,
    *,
    mode: str,
    keep_pictures: bool = False,
    decider: Decider | None = None,
) -> View:
    """Show a run from its first event to its end, and return what shows it.

    Args:
        states: The run's state after each event; leaving it cancels the run.
        state: The state that they all are.
        heading: What stands above the answer.
        mode: How to show it; ``auto`` decides by where it runs.
        keep_pictures: True to fetch the pictures that tools made, so that they outlast their links.
        decider: Whom a person tells what to do about calls of functions, where a view can ask.

    Raises:
        RunInterrupted: A person stopped the run; what arrived is shown and kept.
        DashnbError: The run failed; what arrived is shown and kept.
    """
    place = surroundings()
    chosen = place.choose(mode)
    # What a notebook keeps must not differ from run to run, so seconds are only for a terminal, and for
    # the live view, which shows them by itself.
    view = make_view(chosen, gallery=Gallery() if keep_pictures else None, decider=decider)
    view.begin(replace(heading, watched=not place.in_kernel))
    try:
        _follow(states, state, view)
    except KeyboardInterrupt:
        raise RunInterrupted(_interrupted(state), state=state) from None
    return view


def _follow(states: Generator[RunState, None, None], state: RunState, view: View) -> None:
    """Show a run to its end; an interrupt, or a second one, does not take away what arrived."""
    try:
        with closing(states):
            for _ in states:
                view.show(state)
    finally:
        try:
            view.finish(state)
        except KeyboardInterrupt:
            with held_back():
                view.finish(state)
            raise


def _interrupted(state: RunState) -> str:
    if state.status == ABANDONED and not state.id:
        return "Stopped before the run had a name.\nIf it turns up all the same, the next question ends it."
    if state.status == ABANDONED:
        return f"Stopped; the run {state.id} was not cancelled, and may go on at the service.\nWhat arrived is kept."
    if state.status == "requires_action":
        return "Stopped; the run still waits for functions.\nGo on with it: %assistant continue."
    by_itself = is_final(state.status) and state.status != "cancelled"
    how = f"{state.status} by then" if by_itself else "cancelled"
    return f"Stopped; the run was {how}.\nWhat arrived is kept, and the thread takes the next question."
