"""Watching a run in a browser: what is new is appended, and at the end it is output like any other.

    state ── page() ── Beat ── changes() ── RunView ──> browser
                                              finish: the display becomes the static bundle

The main thread makes pages; a thread of its own sends what changed, a few times a second. However many
messages get lost, what stays is a function of the final state: the view is replaced by the bundle.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from dashnb.characters import in_line, whole_characters
from dashnb.protocol.state import RunState, ToolCall
from dashnb.view.beat import Beat
from dashnb.view.bundle import bundle, sendable
from dashnb.view.code import Fences, painted
from dashnb.view.heading import ENGLISH, Heading
from dashnb.view.live import Display, gathered, want_pictures
from dashnb.view.markdown import answer_parser
from dashnb.view.page import page
from dashnb.view.part import Page, Part
from dashnb.view.patch import Operation, changes
from dashnb.view.toolcalls import editable_arguments

if TYPE_CHECKING:
    from dashnb.view.pictures import Gallery

SNAPSHOT_AFTER = 400  # characters sent before the first snapshot
SNAPSHOT_GROWTH = 1.5  # how much longer than the last one a snapshot is; all of them together are linear
PATIENCE = 0.002  # seconds; a page that takes longer to make is not made for every event


class Screen(Protocol):
    """The page in the browser, as `RunView` shows it."""

    running: bool

    def tell(self, seq: int, operations: list[Operation]) -> None:
        """Send what changed."""

    def heal(self) -> None:
        """Send the page as a whole."""

    def get_view_data(self) -> dict[str, Any]:
        """What a cell displays to have the screen in it."""

    def retire(self) -> None:
        """No more messages."""


class Decider(Protocol):
    """Whom a person tells what to do about calls."""

    def waiting(self, state: RunState) -> tuple[ToolCall, ...]:
        """The calls of the run that a person has to decide about."""

    def decided(self, call_id: str, approved: bool, arguments: str | None, reason: str) -> None:
        """A person decided about a call."""


class Transmission:
    """What was sent of the pages of one run, and what is to be sent of the next one.

    >>> from dashnb.view.tree import element
    >>> transmission = Transmission()
    >>> transmission.next((Part("text:0", element("div"), grows="markdown", text="Hi"),))
    [['add', 'text:0', '', None, ['div', {}], 'markdown', 'Hi']]
    """

    def __init__(self) -> None:
        self.seq = 0
        self.written = 0  # characters of text that were sent
        self._page: Page = ()
        self._fences: dict[str, Fences] = {}
        self._colours: list[Operation] = []
        self._said = ""
        self._asked: list[dict[str, str]] = []
        self._over = False
        self._lock = threading.RLock()

    def next(
        self,
        shown: Page,
        *,
        said: str = "",
        asked: Iterable[ToolCall] = (),
        parked: bool = False,
        over: bool = False,
    ) -> list[Operation]:
        """What the next message has to carry; nothing at all if the page is the same.

        Args:
            shown: The page.
            said: Words for readers who hear it.
            asked: Calls that a person has to decide about.
            parked: True if the page goes over into the notebook's output, to go on there.
            over: True if it will not change any more.
        """
        with self._lock:
            operations = [*changes(self._page, shown), *self._new_colours(shown)]
            if said and said != self._said:
                operations.append(["say", said])
                self._said = said
            waiting = [
                {"id": call.id, "name": in_line(call.name), "arguments": editable_arguments(call.arguments)}
                for call in asked
            ]
            if waiting != self._asked:
                operations.append(["ask", waiting])
                self._asked = waiting
            if parked:
                operations.append(["park"])
            if over and not self._over:
                operations.append(["end"])
                self._over = True
            self._page = shown
            self.seq += bool(operations)
            self.written += sum(len(operation[-1]) for operation in operations if operation[0] in ("add", "append"))
            return operations

    def snapshot(self) -> dict[str, Any]:
        """The page as a whole, as it is after the last message."""
        with self._lock:
            asked = [["ask", self._asked]] if self._asked else []
            return {"seq": self.seq, "ops": sendable([*changes((), self._page), *self._colours, *asked])}

    def _new_colours(self, shown: Page) -> list[Operation]:
        colours: list[Operation] = []
        for part in shown:
            if part.grows == "markdown":
                for fence in self._fences.setdefault(part.key, Fences()).closed(part.text):
                    spans = [[css, len16(text)] for css, text in painted(fence.code, fence.language)]
                    if any(css for css, _ in spans):
                        colours.append(["code", part.key, fence.number, spans])
        self._colours.extend(colours)
        return colours


class WidgetView:
    """A live view that becomes static output.

    Args:
        display: Shows a bundle.
        screen: Makes the widget.
        beat: Makes what sends at a measured pace.
        clock: Seconds that never go back.
        new_id: Makes the id of the output; it is not saved.
        gallery: Fetches pictures.
        decider: Whom a person tells in the view what to do about calls; None if nobody may decide there.
    """

    def __init__(
        self,
        display: Display,
        *,
        gallery: Gallery | None = None,
        decider: Decider | None = None,
        screen: Callable[..., Screen] | None = None,
        beat: Callable[[Callable[[Page], None]], Beat[Page]] = Beat,
        clock: Callable[[], float] = time.monotonic,
        new_id: Callable[[], str] = lambda: f"dashnb-{uuid4().hex}",
    ) -> None:
        self._display = display
        self._gallery = gallery
        self._decider = decider
        self._make_screen = screen or _run_view
        self._make_beat = beat
        self._clock = clock
        self._id = new_id()
        self._heading = ENGLISH
        self._transmission = Transmission()
        self._snapshot_at = SNAPSHOT_AFTER
        self._stopped = threading.Event()
        self._reader = threading.current_thread()
        self._next_page = 0.0
        self._screen: Screen | None = None
        self._beat: Beat[Page] | None = None

    def begin(self, heading: Heading) -> None:
        self._heading = replace(heading, watched=True)
        first = self._page(RunState(), live=True)
        self._transmission.next(first)
        self._screen = self._make_screen(
            self._heading,
            snapshot=self._transmission.snapshot,
            on_stop=self._stop,
            on_decision=self._decided,
        )
        words = heading.say("This front end shows no live view: the answer is shown when it is complete.")
        data = {**self._screen.get_view_data(), "text/plain": words}
        self._display(data, {}, display_id=self._id, update=False)
        self._beat = self._make_beat(self._send)
        self._beat.offer(first)

    def show(self, state: RunState) -> None:
        self._reader = threading.current_thread()
        if self._stopped.is_set():
            raise KeyboardInterrupt
        began = self._clock()
        if self._screen is None or began < self._next_page:
            return
        if self._beat is None:  # the run goes on after it was parked
            self._screen.running = True
            self._beat = self._make_beat(self._send)
        want_pictures(self._gallery, state)
        self._beat.offer(self._page(state, live=True))
        taken = self._clock() - began
        if taken > PATIENCE:
            self._next_page = began + 20 * taken

    def finish(self, state: RunState) -> None:
        """The run is over, or waits for a person, who may decide in the view and let it go on."""
        asked = self._decider.waiting(state) if self._decider else ()
        try:
            self._end(state, asked)
        except KeyboardInterrupt:  # a second one; what stays must not be a view without a kernel
            self._end(state, asked)
            raise

    def _end(self, state: RunState, asked: tuple[ToolCall, ...]) -> None:
        pictures = self._gathered(state)
        if self._beat is not None:
            self._beat.close()
            self._beat = None
        if self._screen is not None:
            self._screen.running = False
            self._tell(self._page(state, live=False), asked=asked, parked=bool(asked), over=not asked)
        data, metadata = bundle(state, replace(self._heading, watched=False), pictures=pictures)
        self._display(data, metadata, display_id=self._id, update=True)
        if self._screen is not None and not asked:
            self._screen.retire()
            self._screen = None

    def _gathered(self, state: RunState) -> dict[str, str]:
        want_pictures(self._gallery, state)
        if self._beat is not None and self._gallery is not None and (missing := self._gallery.pending):
            doing = self._heading.count(missing, "fetching {n} picture …", "fetching {n} pictures …")
            self._beat.offer(self._page(state, live=True, doing=doing))
        return gathered(self._gallery, state)

    def _page(self, state: RunState, *, live: bool, doing: str = "") -> Page:
        parts = page(state, self._heading, live=live, doing=doing)
        return tuple(replace(part, text=whole_characters(part.text)) if part.text else part for part in parts)

    def _send(self, shown: Page) -> None:
        self._tell(shown)
        answer_parser()  # takes its time once; the end of the answer need not wait for it
        if self._transmission.written >= self._snapshot_at and self._screen is not None:
            self._snapshot_at = int(SNAPSHOT_GROWTH * self._transmission.written)
            self._screen.heal()

    def _tell(self, shown: Page, **more: Any) -> None:
        said = next((_words(part) for part in shown if part.key in ("activity", "notice")), "")
        operations = self._transmission.next(shown, said=said, **more)
        if operations and self._screen is not None:
            self._screen.tell(self._transmission.seq, sendable(operations))

    def _decided(self, call_id: str, approved: bool, arguments: str | None, reason: str) -> None:
        if self._decider is not None:
            self._decider.decided(call_id, approved, arguments, reason)

    def _stop(self) -> None:
        self._stopped.set()
        if self._reader is threading.main_thread():  # else another cell runs there, if any
            from dashnb.view.run_view import interrupt_main_thread

            interrupt_main_thread()


def len16(text: str) -> int:
    """The text's length as a browser counts it."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _words(part: Part) -> str:
    return "".join(child for child in part.shell.children if isinstance(child, str))


def _run_view(heading: Heading, **events: Any) -> Screen:
    from dashnb.view.run_view import RunView, kernel_id

    return RunView(heading, kernel_id=kernel_id(), **events)
