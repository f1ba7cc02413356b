"""The command line: ``dashnb ask``, ``dashnb lab``, ``dashnb doctor``.

Exit status: 0 if it worked, 1 if it failed, 2 for bad arguments, 130 if a person stopped it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from dashnb import __version__
from dashnb.errors import DashnbError, RunInterrupted


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit status.

    >>> main(["ask", "What is 2 + 3?", "--connect", "local", "--database", ":memory:"])  # doctest: +ELLIPSIS
    2 plus 3 equals 5...
    0

    Args:
        arguments: The words behind ``dashnb``; those of the process if left out.
    """
    options, rest = _parser().parse_known_args(arguments)
    if rest and options.command != "lab":
        _parser().error(f"unrecognized arguments: {' '.join(rest)}")
    options.rest = rest
    command: Callable[[argparse.Namespace], int] = options.run
    try:
        return command(options)
    except RunInterrupted as error:
        _complain(error)
        return 130
    except KeyboardInterrupt:
        print("dashnb: stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever reads our output has enough of it, as `head` does.
        sys.stderr.close()
        return 0
    except DashnbError as error:
        _complain(error)
        return 1


def _complain(error: DashnbError) -> None:
    sys.stdout.flush()
    print(f"dashnb: {' '.join(str(error).split())}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "dashnb", description="Talk to an assistant of the DashScope Assistant API, or of the one dashnb carries."
    )
    parser.add_argument("--version", action="version", version=f"dashnb {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_ask(commands.add_parser("ask", help="ask a question and watch the answer arrive"))
    _add_lab(commands.add_parser("lab", help="open JupyterLab on the tutorials; no key, no network"))
    _add_doctor(commands.add_parser("doctor", help="say what is installed, connected and writable, and what to do"))
    return parser


def _add_connection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--connect", metavar="WHERE", help="local, cloud, cloud-intl or a URL")
    parser.add_argument("--engine", metavar="NAME", help="who answers on the embedded API: guide or replay:FILE")
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


def _add_lab(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_lab)
    parser.add_argument("--folder", metavar="FOLDER", help="where your copies of the tutorials are kept")
    parser.epilog = "Further options go to JupyterLab, such as --no-browser or --port 8890."


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_doctor)
    _add_connection(parser)


def _ask(options: argparse.Namespace) -> int:
    from dashnb.errors import InvalidArgument
    from dashnb.magics.display import heading_of, show
    from dashnb.session.connection import open_client, plan
    from dashnb.session.session import Session
    from dashnb.settings import Settings

    question = sys.stdin.read() if options.question == "-" else options.question
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


def _lab(options: argparse.Namespace) -> int:
    from dashnb.tutorials import open_lab

    return open_lab(options.folder, options.rest)


def _doctor(options: argparse.Namespace) -> int:
    from dashnb.doctor import examine
    from dashnb.settings import Settings

    settings = Settings.load(engine=options.engine, database=options.database)
    healthy = True
    for finding in examine(settings, options.connect):
        print(finding.line(), flush=True)
        healthy = healthy and finding.good
    return 0 if healthy else 1


if __name__ == "__main__":
    sys.exit(main())
