"""The commands of ``%assistant``: what each of them does with the current conversation.

The docstring of a command is what ``%assistant help COMMAND`` shows.
"""

from __future__ import annotations

import argparse
import inspect
import shlex
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from IPython.core.error import UsageError

from dashnb.characters import visible
from dashnb.errors import DashnbError, RunError, StoreError
from dashnb.keys import PLACES, ask_and_keep
from dashnb.magics import resuming
from dashnb.magics.arguments import _Parser, cell_parser, connect_parser, history_parser, near, parse
from dashnb.magics.continuing import rule
from dashnb.magics.conversation import Conversation
from dashnb.magics.conversations import (
    Talk,
    ledger_runs,
    list_conversations,
    questions,
    shortened,
    up_to,
)
from dashnb.magics.names import find_tools
from dashnb.magics.status import status, summary
from dashnb.protocol.objects import Run
from dashnb.session.busy import Busy
from dashnb.settings import Settings, config_file
from dashnb.view.modes import MODES

if TYPE_CHECKING:
    from dashnb.history.table import Table
    from dashnb.magics.magics import AssistantMagics

Command = Callable[["AssistantMagics", str], Any]

# How a run that was left behind is brought to its end: the words for people.
_WAYS = {
    "wait": "is waited for",
    "cancel": "is cancelled",
    "raise": "is left alone, and the question is refused",
}


def run_command(magics: AssistantMagics, line: str) -> Any:
    """Carry out the command that a line begins with, ``help`` if it is empty.

    Raises:
        UsageError: There is no such command, or it does not understand the rest of the line.
    """
    name, _, rest = line.strip().partition(" ")
    command = _command(name or "help")
    if rest.strip() in ("?", "-h", "--help"):
        return _help(magics, name)
    return command(magics, rest)


# --- where we are ------------------------------------------------------------------------------


def _connect(magics: AssistantMagics, line: str) -> None:
    """%assistant connect [local|cloud|cloud-intl|URL] [--engine NAME] [--database FILE] [--workspace ID]

    Choose where to connect; the settings decide what is left out.
    """
    options = parse(connect_parser(), line)
    given: dict[str, Any] = {name: getattr(options, name) for name in ("engine", "database", "workspace")}
    before = magics.opened
    if before is not None and before.settings.source("api_key") == "argument":  # for this session, from %assistant key
        given["api_key"] = before.settings.secret("api_key")
    conversation = Conversation(Settings.load(**given), options.target)
    _ = conversation.client  # what cannot be opened is said now, and the old connection stays
    magics.connect(conversation)
    _say(summary(conversation))


def _status(magics: AssistantMagics, line: str) -> None:
    """%assistant status

    Say where we are connected and why, who answers, and which conversation goes on.
    """
    _no_arguments("status", line)
    _say(status(magics.conversation))


def _history(_magics: AssistantMagics, line: str) -> Table:
    """%assistant history [runs|steps|messages|threads|tool_calls] [--limit N]

    Show what was kept, as a table.
    """
    from dashnb import history

    options = parse(history_parser(), line)
    _at_least_one("--limit", options.limit)
    table: Table = getattr(history, options.table)(limit=options.limit)
    return table


def _help(magics: AssistantMagics, line: str) -> None:
    """%assistant help [COMMAND]

    Show what all commands do, or one of them.
    """
    asked = line.strip()
    _say(inspect.getdoc(_command(asked)) or "" if asked else inspect.cleandoc(type(magics).assistant.__doc__ or ""))


def _key(magics: AssistantMagics, line: str) -> None:
    """%assistant key [session|keyring|file]

    Ask for the cloud's key, unseen, and connect with it; it is in no cell, output or history. It is kept for
    this session only, in the system's keyring, or in the config file.
    """
    parser = _parser("key")
    parser.add_argument("where", nargs="?", choices=PLACES, default="session", help="where it is kept")
    found = ask_and_keep(parse(parser, line).where, file=config_file())
    conversation = Conversation(Settings.load(api_key=found.secret))
    magics.connect(conversation)
    _say(f"The key is kept: {found.source}. {summary(conversation)}")


# --- several conversations ---------------------------------------------------------------------


def _new(magics: AssistantMagics, line: str) -> None:
    """%assistant new [NAME]

    Begin a new thread; the earlier one stays. With a name it is found again, by any kernel.
    """
    parser = _parser("new")
    parser.add_argument("name", nargs="?", default="", metavar="NAME", help="what it is called")
    conversation = magics.conversation
    conversation.begin(parse(parser, line).name)
    name = f" It is called {conversation.talk.title}.{_how_long(conversation)}" if conversation.talk.name else ""
    _say(f"The next question begins a new thread.{name}")


def _use(magics: AssistantMagics, line: str) -> None:
    """%assistant use NAME|THREAD

    Go on with another conversation: by its name, or its thread's id, variable or the beginning of the id.
    """
    parser = _parser("use")
    parser.add_argument("what", metavar="NAME|THREAD", help="a name, or a thread's id or variable")
    conversation = magics.conversation
    resuming.find(conversation, _variables(magics), parse(parser, line).what)
    asked = [run["prompt"] for run in ledger_runs(conversation, thread_id=_thread_id(conversation)) if run["prompt"]]
    last = f" The last question was: {shortened(str(asked[-1]))}" if asked else ""
    _say(f"Going on with {conversation.talk.title}.{last}")


def _list(magics: AssistantMagics, line: str) -> Table:
    """%assistant list [--limit N]

    Show the conversations of this connection, the one that was used last at the end.
    """
    parser = _parser("list")
    parser.add_argument("--limit", metavar="N", type=int, default=20, help="the newest N conversations")
    options = parse(parser, line)
    _at_least_one("--limit", options.limit)
    return list_conversations(magics.conversation, options.limit)


def _fork(magics: AssistantMagics, line: str) -> None:
    """%assistant fork [NAME] [--at N]

    Go on with a new thread that has the messages up to the N-th question and its answer; all of them if N is
    left out. The earlier conversation stays as it is.
    """
    parser = _parser("fork")
    parser.add_argument("name", nargs="?", default="", metavar="NAME", help="what the new one is called")
    parser.add_argument("--at", metavar="N", type=int, help="the last question to take along, from 1 on")
    options = parse(parser, line)
    conversation = magics.conversation
    messages = resuming.messages_of(conversation, _variables(magics))
    count = _count(questions(messages))
    at = count if options.at is None else options.at
    if not 1 <= at <= count:
        raise UsageError(f"--at must be from 1 to {count}, as many questions as there are, got {at}.")
    earlier = conversation.fork(up_to(messages, at), options.name)
    _say(
        f"Going on with {conversation.talk.title}, which has {_questions(at)} of {earlier.title}."
        f"{_how_long(conversation)}\nBack to the earlier one: %assistant use {earlier.word}"
    )


def _rewind(magics: AssistantMagics, line: str) -> None:
    """%assistant rewind [N]

    Forget the last N questions and their answers, the last one if N is left out. They stay in the earlier
    thread, as messages cannot be deleted; a name goes on with the new one.
    """
    parser = _parser("rewind")
    parser.add_argument("count", nargs="?", type=int, default=1, metavar="N", help="how many questions")
    forget = parse(parser, line).count
    _at_least_one("N", forget)
    conversation = magics.conversation
    messages = resuming.messages_of(conversation, _variables(magics))
    count = _count(questions(messages))
    if forget > count:
        raise UsageError(f"there are {_questions(count)}, not {forget}; %assistant new begins without any.")
    left = up_to(messages, count - forget)
    earlier = conversation.fork(left)
    conversation.replace(earlier)
    after = f" The last question is now: {shortened(questions(left)[-1])}" if left and questions(left) else ""
    _say(f"Forgot {_questions(forget)}; {count - forget} left.{after}\nThe earlier one stays: {_back(earlier)}")


def _regenerate(magics: AssistantMagics, line: str) -> Any:
    """%assistant regenerate [OPTIONS of %%assistant]

    Ask the last question again, without its answer, as it was asked or with other options: -m MODEL,
    -i TEXT, -t NAMES … Both answers stay: the earlier one in the earlier thread.
    """
    options = parse(cell_parser(), line)
    if options.new or options.thread:
        raise UsageError("%assistant regenerate asks in a fork of this thread: it takes neither --new nor --thread.")
    conversation = magics.conversation
    messages = resuming.messages_of(conversation, _variables(magics))
    asked = questions(messages)
    count = _count(asked)
    again = shlex.join(_as_before(magics, options))
    earlier = conversation.fork(up_to(messages, count - 1))
    try:
        result = _untyped(magics).assistant(f"{line} {again}", asked[-1])
    except UsageError:
        # Nothing was asked, so nothing changes.
        fork = _thread_id(conversation)
        conversation.go_on(earlier)
        with suppress(DashnbError):
            conversation.client.threads.delete(fork)
        raise
    finally:
        if conversation.talk is not earlier:
            conversation.replace(earlier)
    _say(f"The earlier answer stays: {_back(earlier)}")
    return result


def _busy(magics: AssistantMagics, line: str) -> None:
    """%assistant busy [wait|cancel|raise]

    What the next question does when another run is under way on this conversation: wait for its end, cancel
    it, or fail and leave it alone, which is the usual. A run of our own that waits for functions, or that
    nobody reads any more, always makes room.
    """
    parser = _parser("busy")
    parser.add_argument("way", nargs="?", choices=get_args(Busy), help="what to do")
    way: Busy | None = parse(parser, line).way
    conversation = magics.conversation
    if way is not None:
        conversation.talk.busy = way
        conversation.remember(conversation.talk)
    _say(f"A run that is in the way of the next question {_WAYS[conversation.talk.busy or 'raise']}.")


def _continue(magics: AssistantMagics, line: str) -> None:
    """%assistant continue [--approve | --deny [REASON]] [-t NAMES] [-o NAME] [--view VIEW]

    Go on with the run that waits for functions. A person is asked about calls of tools that ask first, unless
    --approve or --deny says it for all of them. After a restart of the kernel the functions are given by -t.
    """
    parser = _parser("continue")
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--approve", action="store_true", help="approve every call")
    either.add_argument("--deny", nargs="?", const="", metavar="REASON", help="deny every call")
    parser.add_argument("-t", "--tools", metavar="NAMES", action="append", default=[], help="the functions")
    parser.add_argument("-o", "--output", metavar="NAME", help="the variable that gets the run")
    parser.add_argument("--view", choices=MODES, help="how the run is shown")
    options = parse(parser, line)
    magics.go_on(options, rule(options.approve, options.deny))


# --- after a restart ---------------------------------------------------------------------------


def _resume(magics: AssistantMagics, line: str) -> Any:
    """%assistant resume [FILE.ipynb|NAME|THREAD] [-t NAMES] [-o NAME] [--view VIEW] [--from-notebook [FILE.ipynb]]

    Go on where this notebook was before the kernel restarted: with the thread of the newest run that a
    notebook keeps, or one that is named, or the last one of the ledger. Its last answer is shown again. A run
    that is still under way is joined; one that waits for functions gets them by -t, or makes room for the
    next question.

    --from-notebook begins a new thread with the questions and answers that the notebook kept, where the
    service has lost them; THREAD says of which of its threads, if not of the newest run's.
    """
    options = parse(_resume_parser(), line)
    conversation, variables = magics.conversation, _variables(magics)
    if options.from_notebook is not None:
        return _restore(magics, options)
    if options.what is None:
        resuming.take_up(conversation, resuming.last_conversation(conversation, variables))
    elif resuming.is_notebook(options.what):
        resuming.take_up(conversation, resuming.last_of_file(Path(options.what).expanduser()))
    else:
        resuming.find(conversation, variables, options.what)
    talk, thread = conversation.talk, conversation.thread
    assert thread is not None
    fetched = 0
    with suppress(StoreError):  # what cannot be recorded can be gone on with
        fetched = resuming.fetch_missing(conversation, thread)
    note = f" {fetched} of its runs were missing in the ledger, and are there now." if fetched > 1 else ""
    _say(f"Going on with {talk.title}.{note}")
    run = resuming.last_run(conversation, thread)
    return _show_again(magics, run, options) if run else None


def _resume_parser() -> argparse.ArgumentParser:
    parser = _parser("resume")
    add = parser.add_argument
    add("what", nargs="?", metavar="FILE.ipynb|NAME|THREAD", help="a notebook, or a conversation")
    add("--from-notebook", nargs="?", const="", metavar="FILE.ipynb", help="make a new thread from a notebook")
    add("-t", "--tools", metavar="NAMES", action="append", default=[], help="functions that its run waits for")
    add("-o", "--output", metavar="NAME", help="the variable that gets the run")
    add("--view", choices=MODES, help="how the run is shown")
    return parser


def _restore(magics: AssistantMagics, options: argparse.Namespace) -> None:
    named = options.from_notebook
    file = Path(named).expanduser() if named else resuming.this_notebook(_variables(magics))
    count, note = resuming.restore(magics.conversation, file, options.what or "")
    _say(f"Going on with a new thread that has {count} messages of {file.name}.{note}")


def _show_again(magics: AssistantMagics, run: Run, options: argparse.Namespace) -> Any:
    conversation = magics.conversation
    if run.status == "requires_action":
        # The kernel may have been killed while it called them; the next question need not wait for that.
        resuming.take_over(conversation, run, run.status)
    words = ["--join", run.id, "--thread", run.thread_id]
    words += [word for names in options.tools for word in ("-t", names)]
    words += [word for name in ("output", "view") if (value := getattr(options, name)) for word in (f"--{name}", value)]
    try:
        return _untyped(magics).run_stream(shlex.join(words))
    except RunError as error:
        # The run is shown; that it did not end well is no reason not to go on.
        return _say(str(error).partition("\n")[0])


# --- what the commands have in common ----------------------------------------------------------


def _as_before(magics: AssistantMagics, options: argparse.Namespace) -> list[str]:
    """The options that the last run had, as far as no other ones are given: assistant, model, instructions, tools."""
    conversation = magics.conversation
    run = resuming.last_run(conversation, conversation.thread) if conversation.thread else None
    if run is None or options.assistant:
        return []
    before = [("-a", options.assistant, run.assistant_id), ("-m", options.model, run.model)]
    before.append(("-i", options.instructions, run.instructions))
    names = ",".join(tool.name for tool in run.tools)
    with suppress(UsageError):
        # Functions of a kernel that is gone cannot be called; then the assistant's own tools hold.
        find_tools([names], _variables(magics))
        before.append(("-t", options.tools, names))
    return [word for option, given, value in before if value and not given for word in (option, value)]


def _count(asked: list[str]) -> int:
    if not asked:
        raise UsageError("this conversation has no question yet.")
    return len(asked)


def _questions(count: int) -> str:
    return f"{count} question" if count == 1 else f"{count} questions"


def _back(earlier: Talk) -> str:
    return f"%assistant use {earlier.word}"


def _how_long(conversation: Conversation) -> str:
    talk = conversation.talk
    return "" if conversation.names.lasts(talk.name) else " Its name lasts as long as this kernel."


def _thread_id(conversation: Conversation) -> str:
    return conversation.thread.id if conversation.thread else ""


def _variables(magics: AssistantMagics) -> dict[str, Any]:
    assert magics.shell is not None
    variables: dict[str, Any] = magics.shell.user_ns
    return variables


def _untyped(magics: AssistantMagics) -> Any:
    # IPython's decorators hide from type checkers that a magic is a method.
    return magics


def _parser(command: str) -> argparse.ArgumentParser:
    return _Parser(f"%assistant {command}", add_help=False, allow_abbrev=False)


def _at_least_one(what: str, number: int) -> None:
    if number < 1:
        raise UsageError(f"{what} must be at least 1, got {number}.")


def _no_arguments(command: str, line: str) -> None:
    if line.strip():
        raise UsageError(f"%assistant {command} takes no arguments, got {line.strip()!r}.")


def _say(text: str) -> None:
    print(visible(text))  # noqa: T201 # what a line magic says


def _command(name: str) -> Command:
    command = COMMANDS.get(name)
    if command is None:
        hint = near(name, COMMANDS) or f" It has: {', '.join(COMMANDS)}."
        raise UsageError(f"%assistant has no command {name!r}.{hint}")
    return command


COMMANDS: dict[str, Command] = {
    "connect": _connect,
    "status": _status,
    "key": _key,
    "new": _new,
    "use": _use,
    "list": _list,
    "fork": _fork,
    "rewind": _rewind,
    "regenerate": _regenerate,
    "resume": _resume,
    "continue": _continue,
    "busy": _busy,
    "history": _history,
    "help": _help,
}
