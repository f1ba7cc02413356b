"""How a person at the notebook decides about calls: at the prompt, in the answer, or by a rule."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import dashnb
from dashnb.client.client import Client
from dashnb.magics.approving import AtPrompt, ByRule, InView, approver
from dashnb.protocol.state import RunState, ToolCall
from dashnb.session.approval import APPROVED, NOBODY, Decision, by_policy
from dashnb.session.session import Session
from dashnb.session.tools import tool
from dashnb.view import Heading

CALL = ToolCall(0, id="call_1", name="big_add", arguments='{"left": 1}')


@tool(approval="ask")
def big_add(left: int, right: int) -> int:
    """Add two integers.

    Args:
        left: The first one.
        right: The second one.
    """
    return left + right


def answering(*answers: str) -> Callable[[str], str]:
    """A person who gives these answers, and then has gone."""
    left = iter(answers)

    def prompt(_question: str) -> str:
        answer = next(left, None)
        if answer is None:
            raise EOFError
        return answer

    return prompt


@pytest.mark.parametrize(
    ("answers", "decision"),
    [
        (["y"], APPROVED),
        (["what?", "YES"], APPROVED),
        (["n", "too much"], Decision(approved=False, reason="too much")),
        (["e", '{"left": 2}'], Decision(approved=True, arguments='{"left": 2}')),
        (["e", "{left", "y"], APPROVED),
    ],
)
def test_a_person_is_asked_until_the_answer_is_clear(
    answers: list[str], decision: Decision, capsys: pytest.CaptureFixture[str]
) -> None:
    assert AtPrompt(answering(*answers), NOBODY).ask(CALL, big_add) == decision
    assert "big_add" in capsys.readouterr().out


def test_where_nobody_answers_the_rule_decides() -> None:
    assert AtPrompt(answering(), by_policy("auto")).ask(CALL, big_add) == APPROVED
    assert AtPrompt(answering(), NOBODY).ask(CALL, big_add) == NOBODY(CALL, big_add)


@pytest.mark.parametrize("error", [EOFError(), RuntimeError("input(): lost sys.stdin"), OSError(5, "no terminal")])
def test_where_there_is_no_input_nobody_is_asked(error: Exception) -> None:
    def prompt(_question: str) -> str:
        raise error

    assert AtPrompt(prompt, NOBODY).ask(CALL, big_add) == NOBODY(CALL, big_add)


def test_the_view_chooses_how_a_person_is_asked() -> None:
    kinds = {mode: type(approver(mode, "deny")) for mode in ("widget", "update", "text", "static")}
    assert kinds == {"widget": InView, "update": AtPrompt, "text": AtPrompt, "static": ByRule}


class Shown:
    """A view that tells when it was finished, and with which status."""

    def __init__(self) -> None:
        self.ends: list[str] = []
        self._news = threading.Condition()

    def begin(self, heading: Heading) -> None:
        """Nothing to show."""

    def show(self, state: RunState) -> None:
        """Nothing to show."""

    def finish(self, state: RunState) -> None:
        with self._news:
            self.ends.append(state.status)
            self._news.notify()

    def wait_for(self, status: str) -> None:
        with self._news:
            assert self._news.wait_for(lambda: status in self.ends, 10), self.ends


@pytest.fixture
def client() -> Iterator[Client]:
    with dashnb.connect("local", database=":memory:") as client:
        yield client


def parked(client: Client) -> tuple[InView, Session, RunState]:
    """A run that waits for a decision."""
    asker = InView()
    session = Session(client=client, tools=[big_add], ledger=None, approve=asker.ask)
    return asker, session, session.ask("Add 87787 to 788988737")


@pytest.mark.parametrize(
    ("decision", "words"),
    [
        ((True, None, ""), "789076524"),
        ((False, None, "not today"), "not today"),
        ((True, '{"left": 1, "right": 2}', ""), "changed the arguments"),
    ],
)
def test_a_decision_in_the_view_lets_the_run_go_on_there(client: Client, decision: Any, words: str) -> None:
    asker, session, state = parked(client)
    (waiting,) = asker.waiting(state)
    view = Shown()
    asker.attend(session, state, view)
    asker.decided(waiting.id, *decision)
    view.wait_for("completed")
    assert words in f"{state.text} {state.tool_calls[0].output}"
    assert asker.exception is None


def test_a_decision_that_comes_before_the_cell_has_ended_counts(client: Client) -> None:
    asker, session, state = parked(client)
    asker.decided(asker.waiting(state)[0].id, True, None, "")
    view = Shown()
    asker.attend(session, state, view)
    view.wait_for("completed")


def test_a_decision_about_another_call_changes_nothing(client: Client) -> None:
    asker, session, state = parked(client)
    asker.attend(session, state, Shown())
    asker.decided("call_of_another_run", True, None, "")
    assert state.status == "requires_action"
    assert asker.waiting(state)


def test_what_goes_wrong_behind_a_decision_is_kept_and_the_view_is_finished(client: Client) -> None:
    asker, session, state = parked(client)
    client.runs.cancel(state.id, thread_id=state.thread_id)
    view = Shown()
    asker.attend(session, state, view)
    asker.decided(asker.waiting(state)[0].id, True, None, "")
    with view._news:
        assert view._news.wait_for(lambda: view.ends, 10)
    assert asker.exception is not None
