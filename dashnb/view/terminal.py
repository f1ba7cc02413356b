r"""Watching a run in a terminal: the answer as rendered Markdown, with rich.

A block of the answer that is complete is printed for good and scrolls away like any output. Only the open
block, and the line that says what goes on, are drawn again below it, as far as they fit on the screen.

The rules:

* Where a block ends depends on complete lines only, and every block is rendered by itself; so what
  stays is the same however the answer came in pieces. A link finds its address if it is defined in
  the same block or before it.
* Parts of the run are printed in their order; a tool call that still runs is drawn, not printed, and
  everything behind it waits.
* After an update, the view rests four times as long as the update took; a large open block is drawn
  less often and never takes more than a fifth of the time.

>>> cut_blocks("# Title\nSome *words*\n\n- one\n- tw", over=False)
(['# Title\n', 'Some *words*\n\n'], '- one\n- tw')
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib.util import find_spec
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TextIO
from unicodedata import east_asian_width

from dashnb.characters import harmless
from dashnb.protocol.state import RunState, Step, ToolCall
from dashnb.view.blocks import TextSection, open_fence, sections
from dashnb.view.heading import Heading
from dashnb.view.live import TextView, View
from dashnb.view.markdown import answer_parser
from dashnb.view.text import call_line, call_start, without_picture_data
from dashnb.view.toolcalls import call_mark, safe_url
from dashnb.view.wording import accounts, activity, notice

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.segment import Segment
    from rich.text import Text

    Lines = list[list[Segment]]

INTERVAL = 0.1  # seconds between two updates
REST = 4  # how many times the duration of an update passes before the next one

_CALL_STYLES = {"done": "green", "running": "cyan", "failed": "red", "cancelled": "yellow", "expired": "yellow"}
_NOTICE_STYLES = {"error": "red", "wait": "yellow", "note": "dim"}


def terminal_view(stream: TextIO) -> View:
    """The view for text: a `RichView` if the stream is a terminal and rich is installed, else a `TextView`.

    >>> import io
    >>> type(terminal_view(io.StringIO())).__name__
    'TextView'

    Args:
        stream: Where it is written.
    """
    if not stream.isatty() or not _is_unicode(stream) or find_spec("rich") is None:
        return TextView(stream)
    from rich.console import Console
    from rich.theme import Theme

    plain = Theme({"markdown.code": "bold cyan"})  # rich's own is on black, which is not everybody's background
    return RichView(Console(file=stream, force_jupyter=False, highlight=False, theme=plain))


def _is_unicode(stream: TextIO) -> bool:
    return (stream.encoding or "").lower().startswith("utf")


class RichView:
    """A run in a terminal: a line per tool call, the answer as Markdown, how it ended if not well, the accounts.

    Args:
        console: A rich console on the terminal.
        clock: Seconds that never go back.
    """

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        from rich.live import Live

        self._console = console
        self._clock = clock
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._heading = Heading()
        self._calls: set[tuple[str, int]] = set()  # those that are printed
        self._text = ""  # what is printed of the answer
        self._definitions: dict[str, Any] = {}  # of links, in what is printed
        self._printed = ""  # what kind of part was printed last
        self._shape: object = None
        self._next_update = 0.0

    def begin(self, heading: Heading) -> None:
        """Say that the assistant is at work."""
        self._heading = heading
        self._draw(RunState(), [])

    def show(self, state: RunState) -> None:
        """Print what has become complete, and draw the rest; not more often than a person sees."""
        shape = _shape(state)
        began = self._clock()
        if shape == self._shape and began < self._next_update:
            return
        self._shape = shape
        with self._console:  # so that it is written in one go, and nothing flickers
            self._draw(state, self._advance(state, over=False))
        ended = self._clock()
        self._next_update = ended + max(INTERVAL, REST * (ended - began))

    def finish(self, state: RunState) -> None:
        """Take back what was drawn, and print everything that is not printed yet."""
        self._live.update("")
        self._live.stop()
        self._advance(state, over=True)
        if said := notice(state, self._heading):
            self._print("notice", _words(f"[{said.text}]", _NOTICE_STYLES[said.tone]))
        if line := accounts(state, self._heading):
            self._print("accounts", _words(line, "dim"))

    # --- what is complete ------------------------------------------------------------------

    def _advance(self, state: RunState, *, over: bool) -> list[RenderableType]:
        """Print the parts that will not change any more, and return what to draw of the first that may."""
        answer = state.text
        self._text = _known(answer, self._text)
        parts = sections(state)
        texts = [number for number, part in enumerate(parts) if isinstance(part, TextSection)]
        start = 0  # where the part begins in the answer
        for number, part in enumerate(parts):
            if isinstance(part, TextSection):
                end = start + len(part.text)
                opened = self._advance_text(answer, start, end, over=over or number < len(parts) - 1)
                start = end + len("\n\n")
            else:
                opened = self._advance_calls(part.step, over=over or number < max(texts, default=0))
            if opened:
                return opened
        return []

    def _advance_calls(self, step: Step, *, over: bool) -> list[RenderableType]:
        for number, call in enumerate(step.calls):
            if (step.id, call.number) in self._calls:
                continue
            if not over and call_mark(call, step) == "running":
                return [self._call(other, step) for other in step.calls[number:]]
            self._calls.add((step.id, call.number))
            self._print("call", self._call(call, step, over=True))
        return []

    def _call(self, call: ToolCall, step: Step, *, over: bool = False) -> Text:
        mark = call_mark(call, step)
        line = call_start(call) if mark == "running" and not over else call_line(call, step, self._heading)
        words = _words(line, "dim")
        words.stylize(f"not dim {_CALL_STYLES[mark]}", 0, 1)
        return words

    def _advance_text(self, answer: str, start: int, end: int, *, over: bool) -> list[RenderableType]:
        closed, opened = cut_blocks(answer[max(start, len(self._text)) : end], over=over)
        for block in closed:
            if markdown := _markdown(block, self._definitions):
                self._print("text", markdown)
        if closed:
            self._text = answer[: end - len(opened)]
        shown = _visible(without_picture_data(opened, over=False), self._console.width, self._console.height)
        drawn = _markdown(shown, {"references": dict(self._definitions.get("references", {}))})
        return [drawn] if drawn else []

    # --- what is written -------------------------------------------------------------------

    def _print(self, kind: str, shown: RenderableType) -> None:
        if self._live.is_started:
            self._live.update("", refresh=True)  # else what is drawn would be drawn once more, below
        if self._gap(kind):
            self._console.print()
        self._console.print(shown)
        self._printed = kind

    def _gap(self, kind: str) -> bool:
        """True if an empty line parts what was printed last from what comes."""
        return self._printed not in ("", kind) or self._printed == kind == "text"

    def _draw(self, state: RunState, opened: list[RenderableType]) -> None:
        from rich.console import Group

        now = _words(activity(state, self._heading), "dim italic")
        gap = [_words("", "")] if self._printed else []
        self._live.start()
        self._live.update(_Lines(Group(*gap, *opened, now), _on_screen), refresh=True)


class _Lines:
    """Some of the lines of something that rich can show.

    Args:
        shown: Whose lines they are.
        choose: From all lines and the console to those that are shown.
    """

    def __init__(self, shown: RenderableType, choose: Callable[[Lines, Console], Lines]) -> None:
        self._shown = shown
        self._choose = choose

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.segment import Segment

        for line in self._choose(console.render_lines(self._shown, options, pad=False), console):
            yield from line
            yield Segment.line()


def _on_screen(lines: Lines, console: Console) -> Lines:
    """As many of the last lines as fit, with a line to spare for the cursor."""
    return lines[-max(1, console.height - 1) :]


def _within(lines: Lines, console: Console) -> Lines:
    """The lines between the empty ones at both ends, which rich adds to some blocks and not to others."""
    full = [number for number, line in enumerate(lines) if any(segment.text.strip() for segment in line)]
    return lines[full[0] : full[-1] + 1] if full else []


def _words(text: str, style: str) -> Text:
    """Text in which rich reads no marks and a terminal obeys no character."""
    from rich.text import Text

    return Text(harmless(text), style=style)


def _shape(state: RunState) -> object:
    """What changes when something happens that a person waits for, and not with every piece of text."""
    return state.status, [(step.id, [call_mark(call, step) for call in step.calls]) for step in state.steps]


def _known(text: str, printed: str) -> str:
    """As much of the text as is printed, blanks aside, in which a whole message may differ from its pieces.

    >>> _known("24 度です", "24度"), _known("Another text", "24度")
    ('24 度', '')
    """
    if text.startswith(printed):
        return printed
    letters = "".join(printed.split())
    places = [place for place, char in enumerate(text) if not char.isspace()]
    same = letters and "".join(text.split()).startswith(letters)
    return text[: places[len(letters) - 1] + 1] if same else ""


# --- Markdown --------------------------------------------------------------------------------


def cut_blocks(text: str, *, over: bool) -> tuple[list[str], str]:
    """The complete top-level blocks of Markdown, and the rest; together they are the text.

    Args:
        text: Markdown, from the beginning of a block.
        over: True if nothing follows; then all blocks are complete.
    """
    complete = text if over else text[: text.rfind("\n") + 1]
    tokens = _block_parser().parse(harmless(without_picture_data(complete)))
    starts = [token.map[0] for token in tokens if token.map and token.level == 0]
    lines = [match.end() for match in re.finditer("\n", complete)]
    borders = [lines[start - 1] for start in starts[1:]]
    if over and text:
        borders.append(len(text))
    return [text[start:end] for start, end in pairwise([0, *borders])], text[borders[-1] if borders else 0 :]


@lru_cache(maxsize=1)
def _block_parser() -> MarkdownIt:
    """A parser that finds blocks and leaves what is in them."""
    parser = answer_parser()
    blocks = type(parser)("commonmark", dict(parser.options))
    blocks.enable("table")
    return blocks.disable("inline")


def _visible(text: str, columns: int, rows: int) -> str:
    """The end of an open block that is certain to fill the screen, in its code fence if it has one."""
    shown = "\n".join(text[-columns * rows :].split("\n")[-rows:])
    hidden = text[: len(text) - len(shown)]
    fence = open_fence(hidden) if hidden else ""
    opening = text.lstrip("\n").partition("\n")[0]
    return f"{opening if opening.startswith(fence) else fence}\n{shown}" if fence else shown


def _markdown(text: str, definitions: dict[str, Any]) -> _Lines | None:
    """The Markdown as rich shows it, or None if there is nothing to see.

    Args:
        text: Markdown, not trusted.
        definitions: Where links lead that are defined before the text; those in it are added.
    """
    from rich.markdown import Markdown

    tokens = answer_parser().parse(harmless(without_picture_data(text)), definitions)
    if not tokens:
        return None
    for token in tokens:
        if token.children:
            token.children = list(_harmless(token.children))
    # An address is written out, because not every terminal can follow a link that it does not show.
    markdown = Markdown("", code_theme="ansi_dark", hyperlinks=False)
    markdown.parsed = tokens
    return _Lines(markdown, _within)


def _harmless(tokens: list[Token]) -> Iterator[Token]:
    """The tokens of a line of text without links and pictures that do not lead to the web."""
    from markdown_it.token import Token

    allowed = True  # links do not nest
    for index, token in enumerate(tokens):
        token.content = harmless(token.content)  # an entity may stand for a character that a terminal obeys
        if token.type == "link_open":
            url = str(token.attrGet("href") or "")
            allowed = bool(safe_url(url)) and tokens[index + 1].content != url
        if token.type == "softbreak" and _is_wide(tokens, index):
            continue
        if token.type == "formula" or (token.type == "image" and not safe_url(token.attrGet("src"))):
            yield Token("text", "", 0, content=token.content)
        elif allowed or token.type not in ("link_open", "link_close"):
            yield token


def _is_wide(tokens: list[Token], index: int) -> bool:
    """True if a line break stands between two full-width characters, which no blank parts."""
    before = tokens[index - 1].content[-1:] if index else ""
    after = tokens[index + 1].content[:1] if index + 1 < len(tokens) else ""
    return all(char and east_asian_width(char) in "WF" for char in (before, after))
