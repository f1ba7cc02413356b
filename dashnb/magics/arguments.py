"""What may stand behind a magic's name: options, read from the line the way a shell would.

Quotes belong to the shell, not to the value: ``--instructions "Be brief"`` gives the two words. What
cannot be read raises `UsageError`, so that the cell fails and says why.
"""

from __future__ import annotations

import argparse
import difflib
import re
import shlex
from collections.abc import Iterable
from typing import Any, NoReturn

from IPython.core.error import UsageError

from dashnb.view.modes import MODES


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message[0].lower()}{message[1:]}.{self._did_you_mean(message)} See {self.prog}?")

    def _did_you_mean(self, message: str) -> str:
        """The options, or the values of one, that are near to what the message finds fault with."""
        if unknown := re.match(r"unrecognized arguments: (.*)", message):
            words = [word.partition("=")[0] for word in unknown[1].split() if word.startswith("-")]
            known = [name for action in self._actions for name in action.option_strings]
        elif wrong := re.match(r"argument ([^:]*): invalid choice: '([^']*)'", message):
            words = [wrong[2]]
            known = [
                str(choice)
                for action in self._actions
                if action.choices is not None and wrong[1] in ("/".join(action.option_strings), action.dest)
                for choice in action.choices
            ]
        else:
            return ""
        return "".join(near(word, known) for word in words)


def cell_parser() -> argparse.ArgumentParser:
    """The options of ``%%assistant``."""
    parser = _Parser("%%assistant", add_help=False, allow_abbrev=False)
    _add_run_options(parser)
    parser.add_argument("--thread", metavar="THREAD", help="a thread's id or variable, to go on with it")
    parser.add_argument("--new", action="store_true", help="begin a new thread")
    parser.add_argument(
        "--background", metavar="NAME", help="go on with other cells while it runs; the variable that gets the run"
    )
    return parser


def run_parser() -> argparse.ArgumentParser:
    """The options of ``%run_stream`` and ``%%run_stream``."""
    parser = _Parser("%run_stream", add_help=False, allow_abbrev=False)
    parser.add_argument("thread", nargs="?", metavar="THREAD", help="a thread's id or variable; else the current one")
    _add_run_options(parser)
    parser.add_argument("--join", metavar="RUN", help="show a run that is under way or over, by its id or variable")
    parser.add_argument("--thread", dest="of_thread", metavar="THREAD", help="the same as THREAD, for --join")
    return parser


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-a", "--assistant", metavar="NAME", help="an assistant's variable, id or name")
    add("-m", "--model", metavar="MODEL", help="another model, for this run")
    add("-i", "--instructions", metavar="TEXT", help="another system prompt, for this run")
    add(
        "-t",
        "--tools",
        metavar="NAMES",
        action="append",
        default=[],
        help="names of built-in tools and of Python functions, with commas between; may be repeated",
    )
    add("-o", "--output", metavar="NAME", help="the variable that gets the run")
    add("--view", choices=MODES, default=None, help="how the run is shown")
    add("--vars", action="store_true", help="put variables in place of their {names} in the text")
    add(
        "--json-schema",
        metavar="SCHEMA",
        help="ask for JSON that fits a variable (a dict, a model, a dataclass) or a .json file",
    )
    add("--record", metavar="FILE", help="keep what is sent and answered for this cell in a file")
    add("--replay", metavar="FILE", help="answer from a recording; nothing is sent")
    add("--speed", metavar="N", type=_speed, help="how many times as fast as recorded; at once if left out")
    add("--debug", action="store_true", help="show the whole traceback of an error")


def connect_parser() -> argparse.ArgumentParser:
    """The options of ``%assistant connect``."""
    parser = _Parser("%assistant connect", add_help=False, allow_abbrev=False)
    parser.add_argument("target", nargs="?", help="local, cloud, cloud-intl or a URL; the settings decide if left out")
    parser.add_argument("--engine", metavar="NAME", help="guide, replay:FILE or a model server: ollama:MODEL, qwen, …")
    parser.add_argument("--database", metavar="FILE", help="the embedded API's database, or :memory:")
    parser.add_argument("--workspace", metavar="ID", help="the workspace id")
    return parser


def history_parser() -> argparse.ArgumentParser:
    """The options of ``%assistant history``."""
    parser = _Parser("%assistant history", add_help=False, allow_abbrev=False)
    parser.add_argument(
        "table", nargs="?", choices=("runs", "steps", "messages", "threads", "tool_calls"), default="runs"
    )
    parser.add_argument("--limit", metavar="N", type=int, default=20, help="the newest N rows")
    return parser


def parse(parser: argparse.ArgumentParser, line: str) -> argparse.Namespace:
    """The options of a line.

    >>> parse(cell_parser(), '-m qwen-plus -i "Be brief"').instructions
    'Be brief'

    Raises:
        UsageError: The line cannot be read; the message says why.
    """
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise UsageError(f"{parser.prog}: the line cannot be read: {str(error).lower()}.") from None
    try:
        return parser.parse_args(words)
    except argparse.ArgumentError as error:  # pragma: no cover # argparse hands these to error() itself
        raise UsageError(str(error)) from None


def near(word: str, names: Iterable[str]) -> str:
    """A question that names what a misspelt word may have meant, ``""`` if nothing is near to it.

    >>> near("qwen-plsu", ["qwen-max", "qwen-plus"])
    ' Did you mean qwen-plus?'
    """
    found = difflib.get_close_matches(word, list(names), n=1)
    return f" Did you mean {found[0]}?" if found else ""


def table_of(parser: argparse.ArgumentParser) -> list[tuple[str, str]]:
    """The options of a parser and what they do, for the help."""
    rows: list[tuple[str, str]] = []
    for action in parser._actions:
        names = ", ".join(action.option_strings) or str(action.metavar or action.dest)
        value: Any = "" if action.nargs == 0 or not action.option_strings else f" {_metavar(action)}"
        rows.append((f"{names}{value}", action.help or ""))
    return rows


def _speed(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError
    return number


_speed.__name__ = "speed"  # what argparse calls it in its message


def _metavar(action: argparse.Action) -> str:
    if action.choices is not None:
        return "|".join(str(choice) for choice in action.choices)
    return str(action.metavar or action.dest.upper())
