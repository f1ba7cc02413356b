"""The magics: ``%%assistant``, ``%assistant``, ``%run_stream`` and ``%%run_stream``.

A magic reads its line, finds what the words stand for, and hands over; the work is done elsewhere.
Bad arguments raise `UsageError`, failures raise `DashnbError`: either way the cell fails.
"""

from __future__ import annotations

import argparse
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

if TYPE_CHECKING:
    from dashnb.magics.conversation import Conversation
    from dashnb.protocol.state import RunState
    from dashnb.session.session import Session
    from dashnb.view import Heading

MAGICS = ("assistant", "run_stream")


@magics_class
class AssistantMagics(Magics):
    """The magics of one shell and the conversation that they go on with from cell to cell."""

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self.replaced: dict[str, dict[str, Any]] = {}
        self._conversation: Conversation | None = None

    @no_var_expand
    @line_cell_magic
    def assistant(self, line: str, cell: str | None = None) -> Any:
        """Ask the assistant the text of the cell, and watch the answer arrive.

            %%assistant
            What is 999 × 998?

        The conversation goes on from cell to cell. Options of ``%%assistant``, for one cell:

            -a, --assistant NAME      an assistant's variable, id or name
            -m, --model MODEL         another model, for this run
            -i, --instructions TEXT   another system prompt, for this run
            -t, --tools NAMES         names of built-in tools and of Python functions, with commas
                                      between; may be repeated
            -o, --output NAME         the variable that gets the run
            --view auto|widget|update|static|text
                                      how the run is shown
            --thread THREAD           a thread's id or variable, to go on with it
            --new                     begin a new thread

        Commands of ``%assistant``:

            %assistant connect [local|cloud|cloud-intl|URL] [--engine NAME] [--database FILE] [--workspace ID]
            %assistant status         where we are connected, why, and who answers
            %assistant new            begin a new thread
            %assistant history [runs|steps|messages|threads|tool_calls] [--limit N]
            %assistant help           this text

        The text of the cell is sent as it stands: braces and dollar signs mean nothing in it.
        """
        if cell is not None:
            return self._ask(line, cell)
        from dashnb.magics.commands import run_command

        return run_command(self, line)

    @no_var_expand
    @line_cell_magic
    def run_stream(self, line: str, cell: str | None = None) -> None:
        """Stream a run of an assistant on an existing thread, by its id or variable.

            thread = client.threads.create(messages=[{"role": "user", "content": "What is 999 × 998?"}])
            %run_stream thread

        With two percent signs the text of the cell becomes a message of the thread first. A run that is
        under way already, or over, is shown with ``%run_stream --join RUN --thread THREAD``, from its beginning
        to its end; with ``-t`` it gets the functions that it asks for. To stop watching does not stop it.
        Options:

            THREAD                    a thread's id or variable; else the current one
            -a, --assistant NAME      an assistant's variable, id or name
            -m, --model MODEL         another model, for this run
            -i, --instructions TEXT   another system prompt, for this run
            -t, --tools NAMES         names of built-in tools and of Python functions, with commas
                                      between; may be repeated
            -o, --output NAME         the variable that gets the run
            --view auto|widget|update|static|text
                                      how the run is shown
            --join RUN                show a run that is under way or over, by its id or variable
            --thread THREAD           the same as THREAD, for --join
            --replay FILE             show a recorded stream; nothing is sent
        """
        from dashnb.magics.arguments import parse, run_parser
        from dashnb.magics.names import find_thread

        options = parse(run_parser(), line)
        if options.thread and options.of_thread:
            raise UsageError("%run_stream takes one thread: THREAD, or --thread THREAD.")
        options.thread = options.thread or options.of_thread
        if options.replay and options.join:
            raise UsageError("--replay and --join exclude each other.")
        if options.replay:
            self._replay(options)
            return
        if options.join:
            self._join(options, cell)
            return
        if options.thread:
            self.conversation.thread = find_thread(options.thread, self._variables, self.conversation.client)
        elif self.conversation.thread is None:
            raise UsageError("%run_stream needs a thread: its id, or a variable that holds one. See %run_stream?")
        session = self._session(options)
        self._show(session.run() if cell is None else session.stream(_message(cell)), session, options)

    @property
    def conversation(self) -> Conversation:
        """The current conversation; the settings decide where it is connected."""
        if self._conversation is None:
            from dashnb.magics.conversation import Conversation
            from dashnb.settings import Settings

            self._conversation = Conversation(Settings.load())
        return self._conversation

    def connect(self, conversation: Conversation) -> None:
        """Go on with another conversation, and close the one before."""
        self.close()
        self._conversation = conversation

    def close(self) -> None:
        """Close what the magics opened."""
        if self._conversation is not None:
            self._conversation.close()
            self._conversation = None

    # --- runs ------------------------------------------------------------------------------

    def _ask(self, line: str, cell: str) -> None:
        from dashnb.magics.arguments import cell_parser, parse
        from dashnb.magics.names import find_thread

        options = parse(cell_parser(), line)
        text = _message(cell)
        if options.new and options.thread:
            raise UsageError("--new and --thread exclude each other.")
        if options.new:
            self.conversation.begin()
        if options.thread:
            self.conversation.thread = find_thread(options.thread, self._variables, self.conversation.client)
        session = self._session(options)
        self._show(session.stream(text), session, options)

    def _session(self, options: argparse.Namespace) -> Session:
        from dashnb.magics.names import find_assistant, find_tools

        conversation = self.conversation
        if options.output and not options.output.isidentifier():
            raise UsageError(f"-o needs the name of a variable, not {options.output!r}.")
        tools = find_tools(options.tools, self._variables)
        named = options.assistant
        assistant = find_assistant(named, self._variables, conversation.client) if named else None
        return conversation.session(
            assistant=assistant, model=options.model, instructions=options.instructions, tools=tools
        )

    def _show(self, states: Generator[RunState, None, None], session: Session, options: argparse.Namespace) -> None:
        from dashnb.magics.display import heading_of

        heading = heading_of(self.conversation.connection, session)
        self._keep(session.runs[-1], options)
        self.conversation.watch(session.runs[-1])
        self._watch(states, session.runs[-1], heading, options)

    def _join(self, options: argparse.Namespace, cell: str | None) -> None:
        from dashnb.magics.display import heading_of_run
        from dashnb.magics.names import find_run, find_thread

        if cell is not None or options.assistant or options.model or options.instructions:
            raise UsageError("--join shows a run that has begun: it takes no text, and none of -a, -m and -i.")
        conversation, variables = self.conversation, self._variables
        thread = find_thread(options.thread, variables, conversation.client) if options.thread else None
        run = find_run(options.join, variables, thread, conversation)
        conversation.thread = thread or conversation.client.threads.retrieve(run.thread_id)
        options.assistant = run.assistant_id
        session = self._session(options)
        states = session.join(run.id)
        self._keep(session.runs[-1], options)
        heading = heading_of_run(conversation.connection, session, run)
        self._watch(states, session.runs[-1], heading, options)

    def _replay(self, options: argparse.Namespace) -> None:
        from dashnb.magics.display import replayed
        from dashnb.protocol.state import RunState
        from dashnb.view import Heading

        state = RunState()
        states = replayed(Path(options.replay), state)
        self._keep(state, options)
        self._watch(states, state, Heading(engine="replay"), options)

    def _watch(
        self,
        states: Generator[RunState, None, None],
        state: RunState,
        heading: Heading,
        options: argparse.Namespace,
    ) -> None:
        import os
        from dataclasses import replace

        from dashnb.magics.display import show
        from dashnb.view.languages import choose_language

        settings = self.conversation.settings
        language = choose_language(settings.language, os.environ)
        shown = replace(heading, language=language)
        show(states, state, shown, mode=options.view or settings.view, keep_pictures=settings.keeps_pictures)

    def _keep(self, state: RunState, options: argparse.Namespace) -> None:
        # Before the run, so that the variable holds what arrived if it fails.
        if options.output:
            self._variables[options.output] = state

    @property
    def _variables(self) -> dict[str, Any]:
        assert self.shell is not None
        variables: dict[str, Any] = self.shell.user_ns
        return variables


def register(shell: InteractiveShell) -> None:
    """Add the magics to a shell; what they replace comes back with `unregister`."""
    magics = AssistantMagics(shell)
    for kind, known in shell.magics_manager.magics.items():
        magics.replaced[kind] = {name: known[name] for name in MAGICS if name in known}
    shell.register_magics(magics)


def unregister(shell: InteractiveShell) -> None:
    """Take the magics away from a shell, put back what they replaced, close what they opened."""
    magics = shell.magics_manager.registry.pop(AssistantMagics.__name__, None)
    if not isinstance(magics, AssistantMagics):
        return
    for kind, known in shell.magics_manager.magics.items():
        for name in MAGICS:
            known.pop(name, None)
        known.update(magics.replaced.get(kind, {}))
    magics.close()


def _message(cell: str) -> str:
    text = cell.strip()
    if not text:
        raise UsageError("the cell is empty: write the message below the first line.")
    return text
