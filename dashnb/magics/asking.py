"""What a cell asks for, carried out: who answers, what is sent, how it is shown, and which variable gets it."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from IPython.core.error import UsageError

from dashnb.errors import APIError, DashnbError, RunError
from dashnb.magics.approving import AtPrompt, ByRule, InView, approver
from dashnb.magics.background import BackgroundRun
from dashnb.magics.continuing import waiting_run
from dashnb.magics.conversation import Conversation
from dashnb.magics.display import heading_of, heading_of_run, show
from dashnb.magics.explanations import explain, hint_model
from dashnb.magics.names import find_assistant, find_run, find_thread, find_tools
from dashnb.magics.schemas import AnswerSchema, find_schema
from dashnb.prices import load, place_of
from dashnb.protocol.state import RunState
from dashnb.session.approval import Ask, by_policy
from dashnb.session.result import RunResult
from dashnb.session.session import Session
from dashnb.view import Heading, Surroundings, surroundings
from dashnb.view.languages import choose_language

States = Generator[RunState, None, None]


class Asking:
    """One cell that asks.

    Args:
        conversation: The current conversation.
        options: What the cell's line says.
        variables: The notebook's variables; those that the line names get the run.
        going: The runs in the background, to which this one may be added.
    """

    def __init__(
        self,
        conversation: Conversation,
        options: argparse.Namespace,
        variables: dict[str, Any],
        going: list[BackgroundRun],
    ) -> None:
        check(options)
        self._conversation = conversation
        self._options = options
        self._variables = variables
        self._going = going
        self._expected: AnswerSchema | None = (
            find_schema(options.json_schema, variables) if options.json_schema else None
        )

    def ask(self, text: str | None) -> None:
        """Send a message, or nothing new, and show the run that answers."""
        options, conversation = self._options, self._conversation
        if options.replay:
            self._replay(text)
            return
        tools = find_tools(options.tools, self._variables)
        self._choose_thread()
        named = options.assistant
        assistant = find_assistant(named, self._variables, conversation.client) if named else None
        make = partial(conversation.session, model=options.model, tools=tools, approve=self._approver.ask)
        if options.record:
            self._record(text, make(assistant=assistant), tools)
        else:
            self._stream(text, self._session(make, assistant))

    def join(self, text: str | None) -> None:
        """Show a run that is under way, or over."""
        options, conversation, variables = self._options, self._conversation, self._variables
        if text is not None or options.assistant or options.model or options.instructions:
            raise UsageError("--join shows a run that has begun: it takes no text, and none of -a, -m and -i.")
        tools = find_tools(options.tools, variables)
        thread = find_thread(options.thread, variables, conversation.client) if options.thread else None
        run = find_run(options.join, variables, thread, conversation)
        conversation.thread = thread or conversation.client.threads.retrieve(run.thread_id)
        session = conversation.session(assistant=run.assistant_id, tools=tools, approve=self._approver.ask)
        states = session.join(run.id)
        heading = heading_of_run(conversation.connection, session, run)
        self._show(states, session.runs[-1], heading, session)

    def go_on(self, ask: Ask | None) -> None:
        """Show the run of the conversation that waits for functions, as it goes on.

        Args:
            ask: Decides about the calls; None to ask the person.
        """
        conversation = self._conversation
        tools = find_tools(self._options.tools, self._variables)
        session, state = waiting_run(conversation, tools, ask or self._approver.ask)
        states = session.proceed(state)
        conversation.watch(state)
        self._show(states, state, heading_of(conversation.connection, session), session)

    def show_recording(self) -> None:
        """Show the runs of a recording, as fast as they came if the line says so; nothing is sent."""
        from dashnb.client.cassettes.player import Pace
        from dashnb.client.cassettes.runs import read_runs
        from dashnb.client.client import monotonic_ms

        for told in read_runs(Path(self._options.replay)):
            state = RunState()
            states = told.states(state, Pace(self._options.speed, monotonic_ms), time.sleep)
            self._show(states, state, Heading(engine="replay"))

    # --- who answers ---------------------------------------------------------------------------

    def _choose_thread(self) -> None:
        options, conversation = self._options, self._conversation
        if options.new:
            conversation.begin()
        if options.thread:
            conversation.thread = find_thread(options.thread, self._variables, conversation.client)

    def _session(self, make: Callable[..., Session], assistant: Any) -> Session:
        """The session, whose assistant is told of the schema besides what it is told already."""
        session = make(assistant=assistant, instructions=self._options.instructions)
        if self._expected is None:
            return session
        told = self._options.instructions or session.assistant.instructions or ""
        return make(assistant=session.assistant, instructions=f"{told}\n\n{self._expected.instruction}".strip())

    def _record(self, text: str | None, session: Session, tools: Iterable[Any]) -> None:
        from dashnb.magics.recordings import recording

        conversation = self._conversation
        assistant, thread = session.assistant.id, session.thread.id
        with recording(conversation.client, conversation.settings, self._options.record) as client:
            make = partial(
                Session,
                model=self._options.model,
                tools=tools,
                client=client,
                thread=thread,
                ledger=conversation.recording,
                approve=self._approver.ask,
            )
            self._stream(text, self._session(make, assistant))

    def _replay(self, text: str | None) -> None:
        from dashnb.magics.recordings import met, replaying

        options = self._options
        there, tools = met(options.replay), find_tools(options.tools, self._variables)
        with replaying(options.replay, speed=options.speed) as client:
            make = partial(
                Session,
                model=options.model,
                tools=tools,
                client=client,
                thread=there.get("thread"),
                ledger=self._conversation.recording,
                approve=self._approver.ask,
            )
            session = self._session(make, there.get("assistant"))
            states = session.run() if text is None else session.stream(text)
            self._show(states, session.runs[-1], Heading(session.assistant.name, engine="replay"), session)

    # --- the run -------------------------------------------------------------------------------

    def _stream(self, text: str | None, session: Session) -> None:
        states = session.run() if text is None else session.stream(text)
        heading = heading_of(self._conversation.connection, session)
        self._conversation.watch(session.runs[-1])
        self._show(states, session.runs[-1], heading, session)

    def _show(self, states: States, state: RunState, heading: Heading, session: Session | None = None) -> None:
        settings = self._conversation.settings
        shown = replace(heading, language=self._language, prices=self._prices)
        keeps = settings.keeps_pictures
        if self._is_apart and session is not None:
            work = BackgroundRun(
                states,
                state,
                client=session.client,
                then=lambda: self._read_answer(result),
                explain=self._explain,
            )
            result = self._keep(state, shown, work)
            self._going[:] = [*(one for one in self._going if not one.done), work]
            work.begin(replace(shown, watched=not self._place.in_kernel), mode=self._mode, keep_pictures=keeps)
            return
        result = self._keep(state, shown)
        decider = self._approver if isinstance(self._approver, InView) else None
        try:
            view = show(states, state, shown, mode=self._mode, keep_pictures=keeps, decider=decider)
        except DashnbError as error:
            self._explain(error)
            raise
        finally:
            if state.status == "requires_action" and session is not None:
                self._conversation.talk.waiting = session
        if state.status == "requires_action" and session is not None and decider is not None:
            decider.attend(session, state, view)
        self._read_answer(result)

    def _keep(self, state: RunState, heading: Heading, work: BackgroundRun | None = None) -> RunResult:
        """The result, which the variables hold before the run begins, so that they have what arrived if it fails."""
        connection = self._conversation.connection
        place = "" if self._options.replay else place_of(connection.kind, connection.engine)
        result = RunResult(state, place=place, prices=self._prices, work=work, heading=heading)
        for name in (self._options.output, self._options.background):
            if name:
                self._variables[name] = result
        return result

    def _read_answer(self, result: RunResult) -> None:
        if self._expected is not None and result.state.status == "completed":
            result.parsed = self._expected.parse(result.state)

    def _explain(self, error: BaseException) -> None:
        if isinstance(error, (APIError, RunError)):
            hint_model(error, self._options.model)
        if isinstance(error, DashnbError):
            explain(error, self._language)

    @property
    def _language(self) -> str:
        return choose_language(self._conversation.settings.language, os.environ)

    @cached_property
    def _place(self) -> Surroundings:
        return surroundings()

    @cached_property
    def _mode(self) -> str:
        return self._place.choose(self._options.view or self._conversation.settings.view)

    @property
    def _is_apart(self) -> bool:
        """True for a run in the background; where nobody looks on, it simply runs here."""
        return bool(self._options.background) and self._mode != "static"

    @cached_property
    def _approver(self) -> InView | AtPrompt | ByRule:
        """Who decides about calls of functions; nobody asks a person who is busy with another cell."""
        policy = self._conversation.settings.approval
        if self._is_apart:
            return ByRule(by_policy(policy))
        # A kernel has an `input` of its own while a cell runs.
        return approver(self._mode, policy, prompt=lambda question: input(question))

    @cached_property
    def _prices(self) -> Any:
        return load(self._conversation.settings.prices_file)


def check(options: argparse.Namespace) -> None:
    """See to it that options go together and variables can have the names they are to get.

    Raises:
        UsageError: They do not, or cannot.
    """
    for option, name in (("-o", options.output), ("--background", options.background)):
        if name and not name.isidentifier():
            raise UsageError(f"{option} needs the name of a variable, not {name!r}.")
    for left, right in _EXCLUSIVE:
        if getattr(options, left) and getattr(options, right):
            raise UsageError(f"--{left} and --{right} exclude each other.")
    if options.speed and not options.replay:
        raise UsageError("--speed is for --replay.")


_EXCLUSIVE = (
    ("new", "thread"),
    ("replay", "join"),
    ("replay", "record"),
    ("replay", "new"),
    ("replay", "assistant"),
    ("record", "join"),
    ("background", "record"),
    ("background", "replay"),
)
