"""The statuses of runs and steps, and which may follow which.

Sources: Runs reference, "Run object", ``status``; Run Steps reference, "Run step object", ``status``.

    queued ── in_progress ── completed | failed | expired | incomplete
                   │    └─── cancelling ── cancelled
                   └──────── requires_action ── queued …

A queued or waiting run may also be cancelled, fail or expire.
"""

from __future__ import annotations

FINAL_RUN_STATUSES = frozenset({"completed", "failed", "cancelled", "expired", "incomplete"})
FINAL_STEP_STATUSES = frozenset({"completed", "failed", "cancelled", "expired"})
ACTIVE_RUN_STATUSES = frozenset({"queued", "in_progress", "requires_action", "cancelling"})

RUN_TRANSITIONS: dict[str, frozenset[str]] = {
    "queued": frozenset({"in_progress", "cancelling", "cancelled", "failed", "expired"}),
    "in_progress": frozenset(
        {"requires_action", "cancelling", "cancelled", "completed", "failed", "expired", "incomplete"}
    ),
    "requires_action": frozenset({"queued", "cancelling", "cancelled", "failed", "expired"}),
    "cancelling": frozenset({"cancelled", "completed", "failed", "expired"}),
    **{status: frozenset() for status in FINAL_RUN_STATUSES},
}

STEP_TRANSITIONS: dict[str, frozenset[str]] = {
    "in_progress": FINAL_STEP_STATUSES,
    **{status: frozenset() for status in FINAL_STEP_STATUSES},
}


def is_final(status: str) -> bool:
    """True if a run with this status will not change any more.

    >>> is_final("incomplete"), is_final("requires_action")
    (True, False)
    """
    return status in FINAL_RUN_STATUSES


def sources(status: str) -> frozenset[str]:
    """The statuses from which a run may become ``status``.

    >>> sorted(sources("cancelled"))
    ['cancelling', 'in_progress', 'queued', 'requires_action']
    """
    return frozenset(before for before, after in RUN_TRANSITIONS.items() if status in after)
