"""Who says whether a function is called: nobody, a person, or a rule for when nobody can be asked.

A tool is made with ``approval="auto"`` (called without a question, the usual one), ``"ask"`` or
``"deny"``. A call that is denied is answered with the reason, so that the model can act on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from dashnb.protocol.state import ToolCall
from dashnb.session.tools import FunctionTool

Policy = Literal["auto", "deny"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided about a call.

    >>> Decision(approved=False, reason="too expensive").refusal
    'Error: the person denied this call: too expensive'

    Attributes:
        approved: True if the function is to be called.
        arguments: Other arguments than the model's, as JSON text; None for the model's.
        reason: Why it was denied, for the model.
    """

    approved: bool
    arguments: str | None = None
    reason: str = ""

    @property
    def refusal(self) -> str:
        """The output of a call that was denied."""
        return "Error: the person denied this call" + (f": {self.reason}" if self.reason else ".")


APPROVED = Decision(approved=True)
# Decides about one call; None means not now: the run is left waiting.
Ask = Callable[[ToolCall, FunctionTool], Decision | None]


def by_policy(policy: Policy) -> Ask:
    """Decides without asking anybody, for runs that nobody watches.

    >>> from dashnb.session.tools import tool
    >>> def pay(amount: int) -> None: ...
    >>> by_policy("deny")(ToolCall(0), tool(pay)).refusal
    'Error: the person denied this call: nobody is there to be asked'
    """
    if policy == "auto":
        return lambda _call, _tool: APPROVED
    return lambda _call, _tool: Decision(approved=False, reason="nobody is there to be asked")


NOBODY = by_policy("deny")


def decide(calls: Iterable[ToolCall], functions: Mapping[str, FunctionTool], ask: Ask) -> dict[int, Decision] | None:
    """What is decided about each call, by its number; None if somebody has still to be asked.

    Everybody is asked about every call, in order, before the first function is called.
    """
    decisions: dict[int, Decision] = {}
    waits = False
    for call in calls:
        decision = _decide(call, functions[call.name], ask)
        if decision is None:
            waits = True
        else:
            decisions[call.number] = decision
    return None if waits else decisions


def _decide(call: ToolCall, tool: FunctionTool, ask: Ask) -> Decision | None:
    if tool.approval == "auto":
        return APPROVED
    if tool.approval == "deny":
        return Decision(approved=False, reason="this tool is switched off")
    return ask(call, tool)
