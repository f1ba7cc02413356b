"""The commands of ``%assistant``: what each of them does with the current conversation."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from dashnb.magics.arguments import connect_parser, history_parser, parse
from dashnb.magics.conversation import Conversation
from dashnb.magics.status import status, summary
from dashnb.settings import Settings

if TYPE_CHECKING:
    from dashnb.history.table import Table
    from dashnb.magics.magics import AssistantMagics

Command = Callable[["AssistantMagics", str], Any]


def run_command(magics: AssistantMagics, line: str) -> Any:
    """Carry out the command that a line begins with, ``help`` if it is empty.

    Raises:
        UsageError: There is no such command, or it does not understand the rest of the line.
    """
    name, _, rest = line.strip().partition(" ")
    command = COMMANDS.get(name or "help")
    if command is None:
        raise UsageError(f"%assistant has no command {name!r}.{_did_you_mean(name)}")
    return command(magics, rest)


def _connect(magics: AssistantMagics, line: str) -> None:
    options = parse(connect_parser(), line)
    given = {"engine": options.engine, "database": options.database, "workspace": options.workspace}
    conversation = Conversation(Settings.load(**given), options.target)
    _ = conversation.client  # what cannot be opened is said now, and the old connection stays
    magics.connect(conversation)
    print(summary(conversation))  # noqa: T201 # what a line magic says


def _status(magics: AssistantMagics, line: str) -> None:
    _no_arguments("status", line)
    print(status(magics.conversation))  # noqa: T201 # what a line magic says


def _new(magics: AssistantMagics, line: str) -> None:
    _no_arguments("new", line)
    magics.conversation.begin()
    print("The next question begins a new thread.")  # noqa: T201 # what a line magic says


def _history(_magics: AssistantMagics, line: str) -> Table:
    from dashnb import history

    options = parse(history_parser(), line)
    if options.limit < 1:
        raise UsageError(f"--limit must be at least 1, got {options.limit}.")
    table: Table = getattr(history, options.table)(limit=options.limit)
    return table


def _help(magics: AssistantMagics, line: str) -> None:
    _no_arguments("help", line)
    print(inspect.cleandoc(type(magics).assistant.__doc__ or ""))  # noqa: T201 # what a line magic says


COMMANDS: dict[str, Command] = {
    "connect": _connect,
    "status": _status,
    "new": _new,
    "history": _history,
    "help": _help,
}


def _no_arguments(command: str, line: str) -> None:
    if line.strip():
        raise UsageError(f"%assistant {command} takes no arguments, got {line.strip()!r}.")


def _did_you_mean(word: str) -> str:
    near = difflib.get_close_matches(word, COMMANDS, n=1)
    return f" Did you mean {near[0]}?" if near else f" It has: {', '.join(COMMANDS)}."
