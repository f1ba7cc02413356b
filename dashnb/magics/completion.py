"""What Tab offers on the lines of the magics: options, their values, commands; and ``{variables}`` in a cell.

Nothing is sent over a network for it, and nobody waits for it: what is not known in `PATIENCE` seconds is
not offered, and the line stays as it is.
"""

from __future__ import annotations

import re
import shlex
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, get_args

from IPython.core.completer import (
    CompletionContext,
    SimpleCompletion,
    SimpleMatcherResult,
    context_matcher,
)

if TYPE_CHECKING:
    import argparse

    from dashnb.magics.conversation import Conversation
    from dashnb.magics.magics import AssistantMagics

PATIENCE = 0.04  # seconds; a person who types feels more than twice that
MOST_OFFERED = 200
_LINE = re.compile(r"\s*(%%?)(assistant|run_stream)\s(.*)", re.DOTALL)
_OPEN_NAME = re.compile(r"(?<!\{)\{([^\W\d]\w*)?$")

Matcher = Callable[[CompletionContext], SimpleMatcherResult]
# What was typed of a word, and the words that it may become.
Offer = tuple[str, list[str]]


def matcher(magics: AssistantMagics, *, patience: float = PATIENCE) -> Matcher:
    """A matcher for IPython's completer; it never raises.

    Args:
        magics: The magics whose lines are completed.
        patience: Seconds that a person waits at most.
    """
    workers: list[threading.Thread] = []

    def offer(context: CompletionContext) -> Offer:
        """The offer, found on another thread, so that it can be given up."""
        found: list[Offer] = []

        def find() -> None:
            with suppress(Exception):  # a completion that fails is one that is not there
                found.append(offer_for(magics, context.full_text, context.cursor_line, context.text_until_cursor))

        if any(worker.is_alive() for worker in workers):
            return "", []
        workers[:] = [threading.Thread(target=find, name="dashnb-completion", daemon=True)]
        workers[0].start()
        workers[0].join(patience)
        return found[0] if found else ("", [])

    @context_matcher(identifier="dashnb")  # type: ignore[untyped-decorator]
    def complete(context: CompletionContext) -> SimpleMatcherResult:
        # Most lines are not ours, and cost nothing but this look.
        if not context.full_text.lstrip().startswith("%%") and not _LINE.match(context.text_until_cursor):
            return {"completions": []}
        typed, words = offer(context)
        completions = [SimpleCompletion(text=word, type="magic") for word in words[:MOST_OFFERED]]
        return {"completions": completions, "matched_fragment": typed, "suppress": bool(words)}

    made: Matcher = complete
    return made


def offer_for(magics: AssistantMagics, cell: str, row: int, line: str) -> Offer:
    """What may stand at the cursor.

    Args:
        magics: The magics.
        cell: The text of the whole cell.
        row: The line of the cursor, from 0.
        line: That line up to the cursor.
    """
    head = _LINE.match(cell.partition("\n")[0] + " ")
    if row and head and head[1] == "%%":
        is_open = _OPEN_NAME.search(line) if "--vars" in head[3].split() else None
        return _beginning(is_open[1] or "", _Values(magics).names()) if is_open else ("", [])
    found = _LINE.match(line)
    if not found or (row and found[1] == "%%"):
        return "", []
    percent, magic, rest = found.groups()
    with suppress(ValueError):  # in quotes is a text of the person's own
        shlex.split(rest)
        if (percent, magic) == ("%", "assistant"):
            return _command(magics, rest)
        return _options(magics, _parser(magic), rest)
    return "", []


def _parser(magic: str) -> argparse.ArgumentParser:
    from dashnb.magics.arguments import cell_parser, run_parser

    return cell_parser() if magic == "assistant" else run_parser()


def _command(magics: AssistantMagics, rest: str) -> Offer:
    """Completions behind ``%assistant``: a command, then what it takes."""
    from dashnb.magics.arguments import cell_parser, connect_parser, history_parser
    from dashnb.magics.commands import COMMANDS

    name, blank, arguments = rest.lstrip().partition(" ")
    if not blank:
        return _beginning(name, COMMANDS)
    parsers = {"connect": connect_parser, "history": history_parser, "regenerate": cell_parser}
    if name in parsers:
        return _options(magics, parsers[name](), arguments)
    values = _Values(magics)
    words: dict[str, Callable[[], Iterable[str]]] = {
        "use": values.conversation,
        "resume": values.conversation,
        "busy": values.busy,
        "help": COMMANDS.keys,
    }
    if name not in words or " " in arguments.strip():
        return "", []
    typed, offered = _beginning(arguments.lstrip(), words[name]())
    return typed, [shlex.quote(word) for word in offered]


def _options(magics: AssistantMagics, parser: argparse.ArgumentParser, rest: str) -> Offer:
    """Completions of the last word of a line that a parser reads."""
    words = rest.split()
    typed = words.pop() if words and not rest[-1].isspace() else ""
    by_name = {name: action for action in parser._actions for name in action.option_strings}
    values = _Values(magics)
    option, assigned, value = typed.partition("=")
    if assigned and option in by_name:
        return values.offer(by_name[option], value)
    if words and words[-1] in by_name and by_name[words[-1]].nargs != 0:
        return values.offer(by_name[words[-1]], typed)
    if typed.startswith("-"):
        return _beginning(typed, _unused(by_name, words))
    positional = next((action for action in parser._actions if not action.option_strings), None)
    if positional is None or _is_given(by_name, words):
        return _beginning(typed, [name for name in _unused(by_name, words) if name.startswith("--")])
    typed, offered = values.offer(positional, typed)
    return typed, offered or _beginning(typed, [name for name in _unused(by_name, words) if name[1] == "-"])[1]


def _unused(by_name: dict[str, argparse.Action], words: list[str]) -> list[str]:
    """The options that the line does not have yet; those that may be repeated are always there."""
    given = {by_name[name].dest for word in words if (name := word.partition("=")[0]) in by_name}
    return [name for name, action in by_name.items() if action.dest not in given or action.default == []]


def _is_given(by_name: dict[str, argparse.Action], words: list[str]) -> bool:
    """True if one of the words is neither an option nor the value of one."""
    before = [by_name.get(word) for word in ["", *words]]
    pairs = zip(words, before, strict=False)
    return any(not word.startswith("-") and (last is None or last.nargs == 0) for word, last in pairs)


def _beginning(typed: str, words: Iterable[str]) -> Offer:
    return typed, [word for word in dict.fromkeys(words) if word.startswith(typed)]


class _Values:
    """What the options of the magics may be given."""

    def __init__(self, magics: AssistantMagics) -> None:
        self._magics = magics
        self._variables: dict[str, Any] = magics.shell.user_ns if magics.shell is not None else {}

    def offer(self, action: argparse.Action, typed: str) -> Offer:
        """The values of an option, as far as typed."""
        if action.choices is not None:
            return _beginning(typed, map(str, action.choices))
        find = getattr(self, action.dest, None)
        if find is None:
            return typed, []
        if action.dest == "tools":
            *given, typed = typed.split(",")
            return _beginning(typed, [name for name in find() if name not in given])
        if action.dest in ("record", "replay", "database", "json_schema"):
            return typed, list(find(typed))
        known, offered = _beginning(typed, find())
        return known, [shlex.quote(word) for word in offered]

    def names(self) -> list[str]:
        from dashnb.magics.variables import names_in

        return names_in(self._variables)

    output = background = names

    def model(self) -> Iterator[str]:
        from dashnb.magics.names import KNOWN_MODELS
        from dashnb.prices import built_in

        yield from KNOWN_MODELS
        yield from sorted({model for _, model in built_in().table})

    def tools(self) -> Iterator[str]:
        from dashnb.magics.names import BUILT_IN_TOOLS
        from dashnb.session.tools import FunctionTool

        yield from (name for name in self.names() if _is_function(self._variables[name], FunctionTool))
        yield from BUILT_IN_TOOLS

    def assistant(self) -> Iterator[str]:
        from dashnb.protocol.objects import Assistant
        from dashnb.session.session import Session

        yield from self._holding((Assistant, Session))
        conversation = self._magics.opened
        if conversation is None:
            return
        known = conversation.assistant
        if isinstance(known, Assistant):
            yield from (known.name, known.id)
        # The embedded API answers in this process; to ask the cloud would be a request.
        if conversation.connection.kind == "local" and conversation._client is not None:
            for assistant in conversation.client.assistants.list(limit=50):
                yield from (assistant.name, assistant.id)

    def thread(self) -> Iterator[str]:
        from dashnb.protocol.objects import Thread
        from dashnb.session.result import RunResult
        from dashnb.session.session import Session

        yield from self._holding((Thread, Session, RunResult))
        yield from (self._variables[name].thread_id for name in self._holding((RunResult,)))
        if conversation := self._magics.opened:
            yield from _threads(conversation)

    of_thread = thread

    def join(self) -> Iterator[str]:
        from dashnb.protocol.objects import Run
        from dashnb.protocol.state import RunState
        from dashnb.session.result import RunResult

        kinds = (Run, RunState, RunResult)
        yield from self._holding(kinds)
        yield from (self._variables[name].id for name in self._holding(kinds))

    def conversation(self) -> Iterator[str]:
        if opened := self._magics.opened:
            yield from opened.names.entries()
            yield from _threads(opened)

    def busy(self) -> Iterator[str]:
        from dashnb.session.busy import Busy

        yield from get_args(Busy)

    def target(self) -> Iterator[str]:
        yield from ("local", "cloud", "cloud-intl", "replay:")

    def engine(self) -> Iterator[str]:
        from dashnb.magics.display import ENGINE_LABELS

        yield from ENGINE_LABELS

    def replay(self, typed: str) -> list[str]:
        return _files(typed)

    record = database = replay

    def json_schema(self, typed: str) -> list[str]:
        held = self._holding((dict, type))
        files = [name for name in _files(typed) if name.rstrip("'").endswith((".json", "/"))]
        return _beginning(typed, [*held, *files])[1]

    def _holding(self, kinds: tuple[type, ...]) -> list[str]:
        return [name for name in self.names() if isinstance(self._variables[name], kinds)]


def _is_function(value: Any, tool: type) -> bool:
    return isinstance(value, tool) or type(value).__name__ in ("function", "builtin_function_or_method")


def _threads(conversation: Conversation) -> Iterator[str]:
    """The ids of the threads that are known here, the newest first."""
    if conversation.thread is not None:
        yield conversation.thread.id
    if (ledger := conversation.recording.opened) is not None:
        yield from (str(row["id"]) for row in reversed(ledger.threads(limit=50).to_dicts()))


def _files(typed: str) -> list[str]:
    """The files and folders that a path may become."""
    import glob
    import os

    found = sorted(glob.glob(glob.escape(os.path.expanduser(typed)) + "*"))[:MOST_OFFERED]
    home, cut = os.path.expanduser("~"), typed.startswith("~")
    shown = ["~" + path.removeprefix(home) if cut else path for path in found]
    return [shlex.quote(name) + ("/" if os.path.isdir(path) else "") for name, path in zip(shown, found, strict=True)]
