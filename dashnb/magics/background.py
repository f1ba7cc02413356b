"""Runs in the background: a thread reads the run and shows it under its cell, while other cells go on."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Generator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from dashnb.errors import AnswerMismatch, RunInterrupted, WaitTimeout
from dashnb.forks import heed
from dashnb.protocol.state import RunState
from dashnb.session.request import cancel
from dashnb.view import Heading, View, jupyter_display, make_view
from dashnb.view.pictures import Gallery

if TYPE_CHECKING:
    from dashnb.client.client import Client


class BackgroundRun:
    """A run that a thread of its own reads.

    Args:
        states: The run's state after each event; closing it cancels the run.
        state: The state that they all are.
        client: What cancels a run whose stream says nothing.
        then: Called when the run has completed; what it raises becomes the exception.
        explain: Called with an exception, to make it speak to its reader.

    Attributes:
        exception: Why the run went wrong, or None.
    """

    def __init__(
        self,
        states: Generator[RunState, None, None],
        state: RunState,
        *,
        client: Client,
        then: Callable[[], object],
        explain: Callable[[BaseException], object] = lambda error: None,
    ) -> None:
        self.exception: BaseException | None = None
        self._states = states
        self._state = state
        self._client = client
        self._then = then
        self._explain = explain
        self._stopped = threading.Event()
        self._over = threading.Event()
        heed(self, child=BackgroundRun._inherit)

    def _inherit(self) -> None:
        if not self.done:
            self.exception = RunInterrupted(
                f"The run {self._state.id} is read by the process that this one was forked from, and goes on there.",
                state=self._state,
            )
        self._over = threading.Event()
        self._over.set()

    @property
    def done(self) -> bool:
        """True if the run is over, and nothing more is shown of it."""
        return self._over.is_set()

    def begin(self, heading: Heading, *, mode: str, keep_pictures: bool = False) -> None:
        """Show the run under the running cell, and go on with it on another thread.

        Args:
            heading: What stands above the answer.
            mode: ``widget``, ``update`` or ``text``; text is written when it is complete.
            keep_pictures: True to fetch the pictures that tools made.
        """
        view = _view(mode, Gallery() if keep_pictures else None, self.cancel)
        view.begin(heading)
        # The context says under which cell something is shown.
        work = contextvars.copy_context()
        threading.Thread(
            target=work.run, args=(self._read, view, mode != "text"), name="dashnb-background", daemon=True
        ).start()

    def wait(self, timeout: float | None) -> None:
        """Return when the run is over.

        Raises:
            WaitTimeout: It goes on after so many seconds.
        """
        if not self._over.wait(timeout):
            raise WaitTimeout(f"The run {self._state.id} goes on after {timeout:g} s; wait again, or cancel it.")

    def cancel(self) -> None:
        """Stop the run; what arrived is kept."""
        if self.done or self._stopped.is_set():
            return
        self._stopped.set()
        if not self._state.is_final:
            # A stream that says nothing ends with its run; else the thread stops reading at the next event.
            cancel(self._client, self._state)

    def _read(self, view: View, watched: bool) -> None:
        try:
            self._follow(view, watched)
            self._then()
        except BaseException as error:
            self.exception = self._stop_error() if self._stopped.is_set() else error
            self._explain(self.exception)
        try:
            view.finish(self._state)
            if isinstance(self.exception, AnswerMismatch):  # no state of the run tells of it
                said = "\n".join(self.exception._render_traceback_())
                jupyter_display({"text/plain": said}, {}, display_id=None, update=False)
        except BaseException as error:
            self.exception = self.exception or error
        finally:
            self._over.set()

    def _follow(self, view: View, watched: bool) -> None:
        with closing(self._states):
            for _ in self._states:
                if self._stopped.is_set():
                    raise KeyboardInterrupt
                if watched:
                    view.show(self._state)

    def _stop_error(self) -> RunInterrupted:
        return RunInterrupted(f"The run {self._state.id} was stopped.\nWhat arrived is kept.", state=self._state)


def _view(mode: str, gallery: Gallery | None, stop: Callable[[], None]) -> View:
    if mode != "widget":
        return make_view(mode, gallery=gallery)
    from dashnb.view.run_view import RunView
    from dashnb.view.widget import WidgetView

    def screen(heading: Heading, **events: Any) -> RunView:
        # Stop is for this run: the kernel's interrupt, and a view's usual one, would hit another cell.
        return RunView(heading, **{**events, "on_stop": stop})

    return WidgetView(jupyter_display, gallery=gallery, screen=screen)
