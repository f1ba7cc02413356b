"""Going on with a run that was left waiting for functions: in a later cell, or after a restart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from IPython.core.error import UsageError

from dashnb.magics.conversation import Conversation
from dashnb.magics.resuming import last_run
from dashnb.protocol.state import RunState
from dashnb.session.approval import APPROVED, Ask, Decision
from dashnb.session.session import Session


def waiting_run(conversation: Conversation, tools: Iterable[Any], ask: Ask) -> tuple[Session, RunState]:
    """The run of the conversation that waits for functions, and a session that goes on with it.

    It is the one that this kernel left, with the functions it was begun with unless others are given; else
    the newest one, as an earlier kernel left it.

    Raises:
        UsageError: None waits, or its functions are not known here.
    """
    functions, session = [*tools], conversation.talk.waiting
    if session is not None and session.runs[-1].status == "requires_action":
        state = session.runs[-1]
        functions = functions or [*session.functions]
    else:
        state = _newest(conversation)
    if not functions:
        names = ",".join(dict.fromkeys(call.name for call in state.pending_calls))
        raise UsageError(f"the functions of the run are not known here: add -t {names}.")
    return conversation.session(assistant=state.assistant_id, tools=functions, approve=ask), state


def _newest(conversation: Conversation) -> RunState:
    run = last_run(conversation, conversation.thread) if conversation.thread else None
    if run is None or run.status != "requires_action":
        raise UsageError("no run of this conversation waits for functions; ask the next question.")
    return conversation.client.runs.load(run.id, thread_id=run.thread_id)


def rule(approve: bool, deny: str | None) -> Ask | None:
    """The decision that a line gives about all calls; None if it gives none."""
    if approve:
        return lambda _call, _tool: APPROVED
    if deny is not None:
        return lambda _call, _tool: Decision(approved=False, reason=deny)
    return None
