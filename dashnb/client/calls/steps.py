"""Run steps as calls."""

from __future__ import annotations

from dashnb.client.calls.call import Call, make, page_query
from dashnb.protocol.objects import Page, RunStep


def list_steps(
    run_id: str,
    *,
    thread_id: str,
    limit: int | None = None,
    order: str | None = None,
    after: str | None = None,
    before: str | None = None,
) -> Call[Page[RunStep]]:
    """One page of the steps of a run, also while it goes on; the newest first unless ``order="asc"``.

    Source: Run Steps reference, "List run steps".
    """
    ids = {"thread_id": thread_id, "run_id": run_id}
    return make("steps.list", Page[RunStep], ids=ids, query=page_query(limit, order, after, before))


def retrieve_step(step_id: str, *, thread_id: str, run_id: str) -> Call[RunStep]:
    """The step with this id. Source: Run Steps reference, "Retrieve a run step"."""
    ids = {"thread_id": thread_id, "run_id": run_id, "step_id": step_id}
    return make("steps.retrieve", RunStep, ids=ids)
