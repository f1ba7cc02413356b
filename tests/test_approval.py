"""A person decides about a call, now or later; the run waits meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import dashnb
from dashnb.client.client import Client
from dashnb.errors import InvalidArgument, RunError
from dashnb.session.session import Session
from dashnb.session.tools import tool


@pytest.fixture
def client() -> Iterator[Client]:
    with dashnb.connect("local", database=":memory:") as client:
        yield client


@tool(approval="ask")
def pay(left: int, right: int) -> int:
    """Add two integers.

    Args:
        left: The first one.
        right: The second one.
    """
    return left + right


def test_a_call_that_nobody_can_approve_is_denied_and_the_run_ends(client: Client) -> None:
    with Session(client=client, tools=[pay], ledger=None) as session:
        run = session.ask("Add 87787 to 788988737")
    assert run.status == "completed"
    assert "nobody is there to be asked" in str(run.tool_calls[0].output)


def test_a_run_may_be_left_waiting_and_go_on_in_another_session(client: Client) -> None:
    with Session(client=client, tools=[pay], ledger=None, approve=lambda _call, _tool: None) as session:
        waiting = session.ask("Add 87787 to 788988737")
        assert waiting.status == "requires_action"
        thread = session.thread
    with Session(client=client, tools=[pay], ledger=None, approve="auto", thread=thread) as later:
        *_, done = later.proceed(waiting.id)
    assert done.status == "completed"
    assert "789076524" in done.text


def test_a_parked_run_does_not_block_the_next_question(client: Client) -> None:
    with Session(client=client, tools=[pay], ledger=None, approve=lambda _call, _tool: None) as session:
        assert session.ask("Add 87787 to 788988737").status == "requires_action"
        assert "997002" in session.ask("What is 999 × 998?").text


def test_a_run_that_is_over_cannot_be_continued(client: Client) -> None:
    with Session(client=client, ledger=None) as session:
        done = session.ask("What is 2 + 3?")
        with pytest.raises(RunError, match="does not wait"):
            next(session.proceed(done))


def test_who_approves_is_checked_when_the_session_is_made() -> None:
    with pytest.raises(InvalidArgument, match="approve"):
        Session(approve="perhaps")  # type: ignore[arg-type]
