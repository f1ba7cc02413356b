"""Asking the person at the notebook about calls of functions.

| view | how a person is asked |
|---|---|
| ``widget`` | the cell ends, the run waits, and the answer has buttons; with the last decision it goes on there |
| ``update``, ``text`` | a question at the prompt, while the cell runs |
| ``static`` | not at all: the setting ``approval`` decides |
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing, suppress

from dashnb.characters import in_line, visible
from dashnb.errors import DashnbError
from dashnb.foreign import read_json
from dashnb.protocol.state import RunState, ToolCall
from dashnb.session.approval import APPROVED, Ask, Decision, Policy, by_policy
from dashnb.session.session import Session
from dashnb.session.tools import FunctionTool
from dashnb.view import View
from dashnb.view.toolcalls import read_arguments

SCREEN = 20  # lines that are surely seen at once
QUESTION = "Call it? [y]es, [n]o, [e]dit the arguments: "


def approver(mode: str, policy: Policy, *, prompt: Callable[[str], str] = input) -> InView | AtPrompt | ByRule:
    """Who asks in a mode.

    Args:
        mode: ``widget``, ``update``, ``static`` or ``text``.
        policy: What is decided where nobody can be asked.
        prompt: Asks a question and returns the answer.
    """
    if mode == "widget":
        return InView()
    return ByRule(by_policy(policy)) if mode == "static" else AtPrompt(prompt, by_policy(policy))


class ByRule:
    """Decides without asking."""

    def __init__(self, rule: Ask) -> None:
        self.ask = rule


class AtPrompt:
    """Asks at the prompt: yes, no with a reason, or other arguments.

    Args:
        prompt: Asks a question and returns the answer.
        otherwise: Decides where there is no prompt.
    """

    def __init__(self, prompt: Callable[[str], str], otherwise: Ask) -> None:
        self._prompt = prompt
        self._otherwise = otherwise

    def ask(self, call: ToolCall, tool: FunctionTool) -> Decision | None:
        """Ask until the answer is clear."""
        try:
            print(_question_about(call))  # noqa: T201 # what the question is about
            while True:
                answer = self._prompt(QUESTION).strip().lower()
                if answer in ("y", "yes"):
                    return APPROVED
                if answer in ("n", "no"):
                    return Decision(approved=False, reason=self._prompt("Why not? The model reads it: ").strip())
                if answer in ("e", "edit") and (changed := self._edited()):
                    return Decision(approved=True, arguments=changed)
        except (EOFError, NotImplementedError, OSError, RuntimeError):  # a program runs this, and nobody answers
            return self._otherwise(call, tool)

    def _edited(self) -> str:
        text = self._prompt("Arguments as JSON: ").strip()
        try:
            read_json(text)
        except ValueError as error:
            print(visible(f"That is no JSON: {error}."))  # noqa: T201 # what the person has to know
            return ""
        return text


def _question_about(call: ToolCall) -> str:
    """The call as it will be made; of a long one also its size, so that nobody takes the end of a screen for all."""
    arguments = read_arguments(call.arguments)
    lines = arguments.count("\n") + 1
    is_long = lines > SCREEN or len(arguments) > 80 * SCREEN
    size = f"\n({lines:,} lines, {len(arguments):,} characters)" if is_long else ""
    return f"{in_line(call.name)} {arguments}{size}"


class InView:
    """Waits for decisions that a person makes in the view, and lets the run go on with the last of them.

    Attributes:
        exception: What went wrong when the run went on, or None.
    """

    def __init__(self) -> None:
        self.exception: DashnbError | None = None
        self._decisions: dict[str, Decision] = {}
        self._tools: dict[str, FunctionTool] = {}
        self._lock = threading.Lock()
        self._run: tuple[Session, RunState, View] | None = None

    def ask(self, call: ToolCall, tool: FunctionTool) -> Decision | None:
        """What was decided so far."""
        with self._lock:
            self._tools[call.id] = tool
            return self._decisions.get(call.id)

    def waiting(self, state: RunState) -> tuple[ToolCall, ...]:
        """The calls of the run that a person has to decide about."""
        with self._lock:
            return tuple(call for call in state.pending_calls if self._is_open(call))

    def decided(self, call_id: str, approved: bool, arguments: str | None, reason: str) -> None:
        """Take what a person decided in the view."""
        with self._lock:
            self._decisions[call_id] = Decision(approved=approved, arguments=arguments, reason=reason)
        self._go_on_if_decided()

    def attend(self, session: Session, state: RunState, view: View) -> None:
        """Go on with this run when everything about it is decided."""
        with self._lock:
            self._run = session, state, view
        self._go_on_if_decided()

    def _is_open(self, call: ToolCall) -> bool:
        tool = self._tools.get(call.id)
        return tool is not None and tool.approval == "ask" and call.id not in self._decisions

    def _go_on_if_decided(self) -> None:
        with self._lock:
            if self._run is None or any(self._is_open(call) for call in self._run[1].pending_calls):
                return
            run, self._run = self._run, None
        threading.Thread(target=self._go_on, args=run, name="dashnb-run", daemon=True).start()

    def _go_on(self, session: Session, state: RunState, view: View) -> None:
        try:
            with suppress(KeyboardInterrupt), closing(session.proceed(state)) as states:
                for _ in states:
                    view.show(state)
        except DashnbError as error:  # the view says how the run ended
            self.exception = error
        finally:
            view.finish(state)
        if state.status == "requires_action" and self.exception is None:
            self.attend(session, state, view)
