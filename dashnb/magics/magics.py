"""The magics: ``%%assistant``, ``%assistant``, ``%run_stream`` and ``%%run_stream``.

A magic reads its line, finds what the words stand for, and hands over; the work is done elsewhere.
Bad arguments raise `UsageError`, failures raise `DashnbError`: either way the cell fails.
"""

from __future__ import annotations

import argparse
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

from dashnb import showing
from dashnb.errors import DashnbError

if TYPE_CHECKING:
    from dashnb.magics.asking import Asking
    from dashnb.magics.background import BackgroundRun
    from dashnb.magics.conversation import Conversation
    from dashnb.session.approval import Ask

MAGICS = ("assistant", "run_stream")
CLOSING_SECONDS = 5.0  # to wait for a run in the background that was told to stop


@magics_class
class AssistantMagics(Magics):
    """The magics of one shell and the conversation that they go on with from cell to cell."""

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self.replaced: dict[str, dict[str, Any]] = {}
        self.completes: Any = None
        self._conversation: Conversation | None = None
        self._going: list[BackgroundRun] = []

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
            --vars                    put variables in place of their {names} in the text
            --json-schema SCHEMA      ask for JSON that fits a variable (a dict, a model, a dataclass)
                                      or a .json file; the variable of -o has it as .parsed
            --record FILE             keep what is sent and answered for this cell in a file
            --replay FILE             answer from a recording; nothing is sent
            --speed N                 how many times as fast as recorded; at once if left out
            --debug                   show the whole traceback of an error
            --thread THREAD           a thread's id or variable, to go on with it
            --new                     begin a new thread
            --background NAME         go on with other cells while it runs; the variable that gets the
                                      run, with .done, .wait(seconds) and .cancel()

        Commands of ``%assistant``:

            %assistant connect [local|cloud|cloud-intl|URL] [--engine NAME] [--database FILE] [--workspace ID]
            %assistant key [session|keyring|file]
                                      ask for the cloud's key, unseen, and connect with it
            %assistant status         where we are connected, why, and who answers
            %assistant new [NAME]     begin a new thread, as a named conversation if there is a name
            %assistant use NAME|THREAD
                                      go on with another conversation
            %assistant list [--limit N]
                                      the conversations
            %assistant fork [NAME] [--at N]
                                      go on with a copy of the conversation up to its N-th question
            %assistant rewind [N]     forget the last N questions; the earlier thread stays
            %assistant regenerate [OPTIONS of %%assistant]
                                      ask the last question again
            %assistant resume [FILE.ipynb|NAME|THREAD]
                                      go on where the notebook was before the kernel restarted
            %assistant continue [--approve | --deny [REASON]]
                                      go on with the run that waits for functions
            %assistant busy [wait|cancel|raise]
                                      what the next question does about another run that is under way
            %assistant history [runs|steps|messages|threads|tool_calls] [--limit N]
                                      what was kept, as a table
            %assistant help [COMMAND] this text, or that of a command

        The text of the cell is sent as it stands: braces and dollar signs mean nothing in it. With ``--vars``,
        ``{name}`` is the variable of that name, a table as Markdown; ``{{name}}`` is the name in braces,
        and all other braces stay.
        """
        with self._explained(line):
            if cell is not None:
                self._ask(line, cell)
                return None
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
            --vars                    put variables in place of their {names} in the text
            --json-schema SCHEMA      ask for JSON that fits a variable (a dict, a model, a dataclass)
                                      or a .json file; the variable of -o has it as .parsed
            --record FILE             keep what is sent and answered for this cell in a file
            --replay FILE             answer from a recording; nothing is sent
            --speed N                 how many times as fast as recorded; at once if left out
            --debug                   show the whole traceback of an error
            --join RUN                show a run that is under way or over, by its id or variable
            --thread THREAD           the same as THREAD, for --join
        """
        with self._explained(line):
            self._run_stream(line, cell)

    @property
    def conversation(self) -> Conversation:
        """The current conversation; the settings decide where it is connected."""
        if self._conversation is None:
            from dashnb.magics.conversation import Conversation
            from dashnb.settings import Settings

            self._conversation = Conversation(Settings.load())
        return self._conversation

    @property
    def opened(self) -> Conversation | None:
        """The current conversation if there is one; asking for it opens nothing."""
        return self._conversation

    def connect(self, conversation: Conversation) -> None:
        """Go on with another conversation, and close the one before."""
        self.close()
        self._conversation = conversation

    def close(self) -> None:
        """Close what the magics opened, and stop what still runs in the background."""
        for work in self._going:
            work.cancel()
        for work in self._going:
            with suppress(DashnbError):
                work.wait(CLOSING_SECONDS)
        self._going.clear()
        if self._conversation is not None:
            self._conversation.close()
            self._conversation = None

    def go_on(self, options: argparse.Namespace, ask: Ask | None) -> None:
        """Go on with the run that waits for functions.

        Args:
            options: What the line says: ``tools``, ``output`` and ``view``.
            ask: Decides about the calls; None to ask the person.
        """
        from dashnb.magics.arguments import cell_parser, parse

        usual = parse(cell_parser(), "")
        usual.join = None
        self._asking(argparse.Namespace(**{**vars(usual), **vars(options)})).go_on(ask)

    # --- cells -----------------------------------------------------------------------------

    def _ask(self, line: str, cell: str) -> None:
        from dashnb.magics.arguments import cell_parser, parse

        options = parse(cell_parser(), line)
        options.join = None
        text = self._text(cell, options)
        self._asking(options).ask(text)

    def _run_stream(self, line: str, cell: str | None) -> None:
        from dashnb.magics.arguments import parse, run_parser

        options = parse(run_parser(), line)
        options.new = options.background = None
        if options.thread and options.of_thread:
            raise UsageError("%run_stream takes one thread: THREAD, or --thread THREAD.")
        options.thread = options.thread or options.of_thread
        if options.vars and cell is None:
            raise UsageError("--vars is for the text of a cell: %%run_stream.")
        asking = self._asking(options)
        if options.replay and cell is None:
            asking.show_recording()
        elif options.join:
            asking.join(cell)
        elif not (options.thread or options.replay or self.conversation.thread):
            raise UsageError("%run_stream needs a thread: its id, or a variable that holds one. See %run_stream?")
        else:
            asking.ask(None if cell is None else self._text(cell, options))

    def _asking(self, options: argparse.Namespace) -> Asking:
        from dashnb.magics.asking import Asking

        return Asking(self.conversation, options, self._variables, self._going)

    def _text(self, cell: str, options: argparse.Namespace) -> str:
        """The message that a cell holds."""
        text = cell.strip()
        if options.vars:
            from dashnb.magics.recordings import secrets_of
            from dashnb.magics.variables import fill_in

            secrets = secrets_of(self.conversation.settings)
            text = fill_in(text, self._variables, secrets=secrets).strip()
        if not text:
            raise UsageError("the cell is empty: write the message below the first line.")
        return text

    def _explained(self, line: str) -> AbstractContextManager[None]:
        from dashnb.magics.explanations import explained

        assert self.shell is not None
        return explained(self.shell, self._language, debug="--debug" in line.split())

    def _language(self) -> str:
        import os

        from dashnb.settings import Settings
        from dashnb.view.languages import choose_language

        try:
            settings = Settings.load() if self._conversation is None else self._conversation.settings
            requested = settings.language
        except DashnbError:  # the settings themselves are what is wrong
            requested = "auto"
        return choose_language(requested, os.environ)

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
    showing.add_to(shell)
    if shell.Completer is not None:
        from dashnb.magics.completion import matcher

        magics.completes = matcher(magics)
        shell.Completer.custom_matchers.append(magics.completes)


def unregister(shell: InteractiveShell) -> None:
    """Take the magics away from a shell, put back what they replaced, close what they opened."""
    magics = shell.magics_manager.registry.pop(AssistantMagics.__name__, None)
    if not isinstance(magics, AssistantMagics):
        return
    for kind, known in shell.magics_manager.magics.items():
        for name in MAGICS:
            known.pop(name, None)
        known.update(magics.replaced.get(kind, {}))
    if shell.Completer is not None and magics.completes in shell.Completer.custom_matchers:
        shell.Completer.custom_matchers.remove(magics.completes)
    showing.take_from(shell)
    magics.close()
