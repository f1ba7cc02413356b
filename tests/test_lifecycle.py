"""Which status may follow which."""

from __future__ import annotations

import pytest

from dashnb.protocol.lifecycle import (
    ACTIVE_RUN_STATUSES,
    FINAL_RUN_STATUSES,
    FINAL_STEP_STATUSES,
    RUN_TRANSITIONS,
    STEP_TRANSITIONS,
    is_final,
    sources,
)

DOCUMENTED = {
    ("queued", "in_progress"),
    ("in_progress", "completed"),
    ("in_progress", "requires_action"),
    ("requires_action", "queued"),
    *(("in_progress", end) for end in ("failed", "expired", "incomplete", "cancelling")),
    ("cancelling", "cancelled"),
    *((waiting, end) for waiting in ("queued", "requires_action") for end in ("cancelled", "expired", "failed")),
}
# Cancelling is a request: it may be made of any run that has not ended, may be answered at once, and may come too late.
CANCELLING = {
    ("queued", "cancelling"),
    ("requires_action", "cancelling"),
    ("in_progress", "cancelled"),
    *(("cancelling", end) for end in ("completed", "failed", "expired")),
}
FINAL = {"completed", "failed", "cancelled", "expired", "incomplete"}


def pairs(transitions: dict[str, frozenset[str]]) -> set[tuple[str, str]]:
    return {(before, after) for before, followers in transitions.items() for after in followers}


def test_the_table_holds_the_documented_transitions_and_those_of_cancelling() -> None:
    assert pairs(RUN_TRANSITIONS) == DOCUMENTED | CANCELLING


def test_every_status_is_either_final_or_active() -> None:
    assert FINAL_RUN_STATUSES == FINAL
    assert {"queued", "in_progress", "requires_action", "cancelling"} == ACTIVE_RUN_STATUSES
    assert set(RUN_TRANSITIONS) == FINAL_RUN_STATUSES | ACTIVE_RUN_STATUSES


@pytest.mark.parametrize("status", sorted(FINAL))
def test_nothing_follows_a_final_status(status: str) -> None:
    assert is_final(status)
    assert RUN_TRANSITIONS[status] == frozenset()


@pytest.mark.parametrize("status", ["queued", "in_progress", "requires_action", "cancelling", "", "abandoned", "new"])
def test_active_and_unknown_statuses_are_not_final(status: str) -> None:
    assert not is_final(status)


def test_no_status_follows_itself() -> None:
    assert [status for status, followers in RUN_TRANSITIONS.items() if status in followers] == []


@pytest.mark.parametrize("status", sorted(RUN_TRANSITIONS))
def test_sources_are_the_transitions_read_backwards(status: str) -> None:
    assert sources(status) == {before for before, after in DOCUMENTED | CANCELLING if after == status}


def test_sources_of_an_unknown_status_are_none() -> None:
    assert sources("paused") == frozenset()


@pytest.mark.parametrize("status", sorted(RUN_TRANSITIONS))
def test_every_status_is_reached_from_queued_and_every_active_one_can_end(status: str) -> None:
    def reached(start: str) -> set[str]:
        seen, todo = {start}, [start]
        while todo:
            new = RUN_TRANSITIONS[todo.pop()] - seen
            seen |= new
            todo += new
        return seen

    assert status in reached("queued")
    assert reached(status) & FINAL_RUN_STATUSES


def test_a_step_goes_on_until_it_ends() -> None:
    assert {"completed", "failed", "cancelled", "expired"} == FINAL_STEP_STATUSES
    assert pairs(STEP_TRANSITIONS) == {("in_progress", end) for end in FINAL_STEP_STATUSES}
    assert set(STEP_TRANSITIONS) == {"in_progress"} | FINAL_STEP_STATUSES
