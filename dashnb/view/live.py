"""Watching a run: what is shown while its events arrive, and what stays.

A view is told three things: that a run begins, what it adds up to after each event, and, always, that
it is over. What stays is a function of the final state alone, whatever was shown on the way.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TextIO
from uuid import uuid4

from dashnb.characters import harmless
from dashnb.errors import ConfigurationError
from dashnb.protocol.state import RunState
from dashnb.view.blocks import Block, blocks
from dashnb.view.bundle import Data, Metadata, bundle, live_data
from dashnb.view.heading import ENGLISH, Heading
from dashnb.view.pictures import Gallery, tool_pictures
from dashnb.view.text import call_line, call_start, without_picture_data
from dashnb.view.wording import notice

if TYPE_CHECKING:
    from dashnb.view.widget import Decider

PICTURE_SECONDS = 8.0  # to wait for pictures at the end of a run
INTERVAL = 0.1  # seconds between two updates of the open block
BYTES_PER_SECOND = 250_000  # a block that grew large is updated less often


class Display(Protocol):
    """Puts a bundle into the notebook, or replaces the one that has this id."""

    def __call__(self, data: Data, metadata: Metadata, *, display_id: str | None, update: bool) -> None: ...


class View(Protocol):
    """Something that shows a run."""

    def begin(self, heading: Heading) -> None:
        """A run is about to be requested."""

    def show(self, state: RunState) -> None:
        """An event arrived."""

    def finish(self, state: RunState) -> None:
        """The run is over, or nobody reads it any more. Called exactly once, whatever happened."""


def make_view(
    mode: str,
    *,
    display: Display | None = None,
    stream: TextIO | None = None,
    gallery: Gallery | None = None,
    decider: Decider | None = None,
) -> View:
    """The view for a mode that `choose_mode` chose.

    Args:
        mode: ``widget``, ``update``, ``static`` or ``text``.
        display: Shows a bundle; the running cell if None.
        stream: Where text is written; the standard output if None.
        gallery: Fetches the pictures that tools made, to be kept; they stay links if None.
        decider: Whom a person tells what to do about calls of functions, where a view can ask.

    Raises:
        ConfigurationError: There is no such view.
    """
    if mode == "widget":
        from dashnb.view.widget import WidgetView

        return WidgetView(display or jupyter_display, gallery=gallery, decider=decider)
    if mode == "update":
        return UpdateView(display or jupyter_display, gallery=gallery)
    if mode == "static":
        return StaticView(display or jupyter_display, gallery=gallery)
    if mode == "text":
        from dashnb.view.terminal import terminal_view

        return terminal_view(stream or sys.stdout)
    raise ConfigurationError(f"There is no view {mode!r}; choose widget, update, static or text.")


def jupyter_display(data: Data, metadata: Metadata, *, display_id: str | None, update: bool) -> None:
    """Put a bundle into the running notebook cell."""
    from IPython.display import display, update_display

    if update and display_id is not None:
        update_display(data, display_id=display_id, metadata=metadata, raw=True)  # type: ignore[no-untyped-call]
    else:
        display(data, metadata=metadata, raw=True, display_id=display_id)  # type: ignore[no-untyped-call]


class StaticView:
    """Nothing until the end, then exactly one output."""

    def __init__(self, display: Display, *, gallery: Gallery | None = None) -> None:
        self._display = display
        self._gallery = gallery
        self._heading = ENGLISH

    def begin(self, heading: Heading) -> None:
        self._heading = heading

    def show(self, state: RunState) -> None:
        """Wait."""

    def finish(self, state: RunState) -> None:
        data, metadata = bundle(state, self._heading, pictures=gathered(self._gallery, state))
        self._display(data, metadata, display_id=None, update=False)


class UpdateView:
    """Outputs that are replaced as the answer grows; only the last one is open.

    At most one update in `INTERVAL` seconds, besides one for each change that a person waits for: a
    tool call begins or ends, a block is full. At the end every output whose content is not yet final
    is replaced once more.

    Args:
        display: Shows a bundle.
        clock: Seconds that never go back.
        new_id: Makes the ids of outputs; they are not saved.
        gallery: Fetches pictures.
    """

    def __init__(
        self,
        display: Display,
        *,
        gallery: Gallery | None = None,
        clock: Callable[[], float] = time.monotonic,
        new_id: Callable[[], str] = lambda: f"dashnb-{uuid4().hex}",
    ) -> None:
        self._display = display
        self._gallery = gallery
        self._clock = clock
        self._new_id = new_id
        self._heading = ENGLISH
        self._ids: list[str] = []
        self._shown: list[tuple[Data, Metadata]] = []
        self._shape: object = None
        self._next_update = 0.0

    def begin(self, heading: Heading) -> None:
        self._heading = heading
        self._show_open(RunState(), Block(()))

    def show(self, state: RunState) -> None:
        shape = _shape(state)
        if shape == self._shape and self._clock() < self._next_update:
            return
        self._shape = shape
        want_pictures(self._gallery, state)
        self._update(state)

    def finish(self, state: RunState) -> None:
        cut = blocks(state)
        pictures = gathered(self._gallery, state)
        for number, block in enumerate(cut):
            self._put(number, *bundle(state, self._heading, block=block, pictures=pictures))
        for number in range(len(cut), len(self._ids)):  # the service took back a part of its answer
            self._put(number, {"text/plain": ""}, {})

    def _update(self, state: RunState) -> None:
        cut = blocks(state)
        for number in range(max(len(self._ids) - 1, 0), len(cut) - 1):
            self._put(number, *self._sealed(state, cut[number]))
        self._show_open(state, cut[-1], len(cut) - 1)

    def _sealed(self, state: RunState, block: Block) -> tuple[Data, Metadata]:
        if block.first:  # its heading still says that the run goes on
            return live_data(state, self._heading, block=block), {}
        return bundle(state, self._heading, block=block)

    def _show_open(self, state: RunState, block: Block, number: int = 0) -> None:
        data = live_data(state, self._heading, block=block)
        self._put(number, data, {})
        pause = max(INTERVAL, len(data["text/html"]) / BYTES_PER_SECOND)
        self._next_update = self._clock() + pause

    def _put(self, number: int, data: Data, metadata: Metadata) -> None:
        """Show the bundle as output ``number``, unless that is what it shows."""
        if number == len(self._ids):
            self._ids.append(self._new_id())
            self._shown.append((data, metadata))
            self._display(data, metadata, display_id=self._ids[number], update=False)
        elif self._shown[number] != (data, metadata):
            self._shown[number] = (data, metadata)
            self._display(data, metadata, display_id=self._ids[number], update=True)


def want_pictures(gallery: Gallery | None, state: RunState) -> None:
    """Begin to fetch the pictures that the run's tools made so far."""
    if gallery is not None:
        for url in tool_pictures(state):
            gallery.want(url)


def gathered(gallery: Gallery | None, state: RunState) -> dict[str, str]:
    """The pictures that the run's tools made, by address, as far as they are to be had in time."""
    if gallery is None:
        return {}
    want_pictures(gallery, state)
    with gallery:
        return gallery.collect(PICTURE_SECONDS)


def _shape(state: RunState) -> object:
    """What changes when something happens that a person waits for, and not with every piece of text."""
    calls = tuple((step.id, step.status, sum(call.output is not None for call in step.calls)) for step in state.steps)
    return state.status in ("requires_action", "cancelling"), calls, state.first_token_at is not None


class TextView:
    """Text as it comes: a line per tool call, the answer, how it ended if not well.

    Args:
        stream: Where it is written.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._text = ""
        self._calls: dict[tuple[str, int], str] = {}
        self._open_call: tuple[str, int] | None = None
        self._at_margin = True
        self._begins = True
        self._heading = ENGLISH

    def begin(self, heading: Heading) -> None:
        self._heading = heading

    def show(self, state: RunState) -> None:
        self._show_calls(state, over=False)
        self._show_text(without_picture_data(state.text, over=False))
        self._stream.flush()

    def finish(self, state: RunState) -> None:
        self._show_calls(state, over=True)
        text = without_picture_data(state.text)
        if _continuation(text, self._text) is None:  # the whole message outranks its pieces
            self._end_line()
            self._text = ""
        self._show_text(text, over=True)
        if said := notice(state, self._heading):
            self._end_line()
            self._write(f"[{harmless(said.text)}]")
        self._end_line()
        self._stream.flush()

    def _show_calls(self, state: RunState, *, over: bool) -> None:
        for step in state.steps:
            for call in step.calls:
                key = step.id, call.number
                ended = over or call.output is not None or step.status != "in_progress"
                line = call_line(call, step, self._heading) if ended else call_start(call)
                self._show_call(key, line, ended)

    def _show_call(self, key: tuple[str, int], line: str, ended: bool) -> None:
        written = self._calls.get(key, "")
        if line == written and not ended:
            return
        if written.endswith("\n"):
            return
        if key != self._open_call or not line.startswith(written):
            self._end_line()
            written = ""
        self._write(line[len(written) :])
        self._begins = True
        self._calls[key], self._open_call = line, key
        if ended:
            self._end_line()
            self._calls[key], self._open_call = "\n", None

    def _show_text(self, text: str, *, over: bool = False) -> None:
        start = _continuation(text, self._text)
        if start is None:
            return
        end = len(text) if over or not text or not "\ud800" <= text[-1] <= "\udbff" else len(text) - 1
        piece = text[start:end]
        if not piece:
            return
        if self._open_call is not None:
            self._end_line()
            self._open_call = None
        self._text = text[:end]
        # Empty lines before the answer, and behind the lines of tools, are dropped; those in it are kept.
        shown = harmless(piece).lstrip("\n") if self._begins else harmless(piece)
        self._begins = self._begins and not shown
        self._write(shown)

    def _end_line(self) -> None:
        if not self._at_margin:
            self._write("\n")

    def _write(self, text: str) -> None:
        if text:
            encoding = self._stream.encoding or "utf-8"
            self._stream.write(text.encode(encoding, "replace").decode(encoding, "replace"))
            self._at_margin = text.endswith("\n")


def _continuation(text: str, written: str) -> int | None:
    """Where the text goes on after what was written, blanks aside, or None if it is another text.

    A service's whole message may have other blanks than its pieces: ``24度`` in pieces, ``24 度`` whole.
    """
    if text.startswith(written):
        return len(written)
    place = 0
    for char in "".join(written.split()):
        while text[place : place + 1].isspace():
            place += 1
        if text[place : place + 1] != char:
            return None
        place += 1
    return place
