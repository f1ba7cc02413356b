"""The live view in the browser, as the kernel sees it: a widget that is told what changed on the page."""

from __future__ import annotations

import signal
import threading
from collections import deque
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from dashnb.view import formula, style
from dashnb.view.heading import Heading
from dashnb.view.patch import Operation

WIDGET = "application/vnd.jupyter.widget-view+json"
_FRONT = files("dashnb.view").joinpath("front/dist")


class RunView(anywidget.AnyWidget):
    """A page in the browser.

    Custom messages carry what changed, numbered from 1: ``{"seq": 3, "ops": [...]}`` with the operations
    of `dashnb.view.patch`. ``snapshot`` has the page as a whole, for a view that came late or missed a
    message; whenever it is asked for, it is the newest one.

    Args:
        heading: Who answers, and in whose language the controls speak.
        snapshot: Gives the newest page: ``{"seq": …, "ops": […]}``.
        on_stop: Called when a person pressed Stop.
        on_decision: Called with a call's id and what a person decided: ``approved``, other ``arguments`` or None,
            the ``reason``.
        kernel_id: The kernel, for a Stop that interrupts it; ``""`` if not known.
    """

    _esm = _FRONT.joinpath("run_view.js").read_text("utf-8")

    running = traitlets.Bool(True).tag(sync=True)
    kernel_id = traitlets.Unicode().tag(sync=True)
    look = traitlets.Dict().tag(sync=True)
    labels = traitlets.Dict().tag(sync=True)
    # Read from the page when it is sent, never kept: a copy would be old by then.
    snapshot = traitlets.Dict().tag(sync=True, to_json=lambda _, widget: widget.newest())

    def __init__(
        self,
        heading: Heading,
        *,
        snapshot: Callable[[], dict[str, Any]],
        on_stop: Callable[[], None],
        on_decision: Callable[[str, bool, str | None, str], None],
        kernel_id: str = "",
    ) -> None:
        self.newest = snapshot
        self._on_stop = on_stop
        self._on_decision = on_decision
        super().__init__(kernel_id=kernel_id, look=LOOK, labels=_labels(heading))
        self.on_msg(self._hear)

    def get_view_data(self) -> dict[str, Any]:
        """What a cell displays to have the page in it."""
        return {WIDGET: {"version_major": 2, "version_minor": 0, "model_id": self.model_id}}

    def tell(self, seq: int, operations: list[Operation]) -> None:
        """Send what changed."""
        self.send({"seq": seq, "ops": operations})

    def heal(self) -> None:
        """Send the page as a whole."""
        self.send_state("snapshot")

    def retire(self) -> None:
        """The page is final and stands in the notebook.

        A notebook that was saved and loaded again while the cell ran knows only the widget: the newest
        ones stay for it, the others are closed.
        """
        _RETIRED.append(self)
        while len(_RETIRED) > KEPT_OPEN:
            _RETIRED.popleft().close()

    def _hear(self, _widget: Any, content: Any, _buffers: Any) -> None:
        if not isinstance(content, dict):
            return
        if content.get("stop") and self.running:
            self.send({"ack": 1})
            self._on_stop()
        if content.get("want") == "snapshot":
            self.heal()
        if isinstance(call_id := content.get("decide"), str):
            self.send({"ack": 1})
            arguments, reason = content.get("arguments"), str(content.get("reason") or "")
            changed = arguments if isinstance(arguments, str) else None
            self._on_decision(call_id, content.get("approved") is True, changed, reason)


KEPT_OPEN = 2
_RETIRED: deque[RunView] = deque()  # ipywidgets itself keeps every open widget of the process

LOOK: dict[str, Any] = {
    "frame": style.FRAME,
    "tags": style.TAGS,
    "nested_list": style.NESTED_LIST,
    "scroll": style.SCROLL,
    "paragraph_last": "margin:0",
    "formula": {"commands": formula.COMMANDS, "environments": formula.ENVIRONMENTS},
}


def kernel_id() -> str:
    """The running kernel's id as its server knows it, or ``""``."""
    try:
        from ipykernel.connect import get_connection_file

        return Path(get_connection_file()).stem.removeprefix("kernel-")
    except (ImportError, RuntimeError):
        return ""


def interrupt_main_thread() -> None:
    """Interrupt what the main thread does, a read that waits included, as the kernel's own interrupt would."""
    if threading.current_thread() is threading.main_thread():
        return  # nothing runs there that could be interrupted: this is what runs
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        signal.raise_signal(signal.SIGINT)


def _labels(heading: Heading) -> dict[str, str]:
    return {
        "stop": heading.say("Stop"),
        "stopping": heading.say("Stopping …"),
        "unstoppable": heading.say("Stop did not get through: use the stop button of the toolbar."),
        "answer": heading.say("Answer of {name}", name=heading.name),
        "approve": heading.say("Approve"),
        "deny": heading.say("Deny"),
        "reason": heading.say("Why not? The model reads it."),
        "arguments": heading.say("Arguments"),
        "undecided": heading.say("The kernel does not answer: go on with %assistant continue."),
    }
