"""What each operation of the table does: one function for each row, from ids and body to an answer.

An endpoint returns an object as it travels, or a `Follow`: the run whose events are the answer. What
is wrong with a request is raised as an `APIError` and sent in the documented shape.
"""

from __future__ import annotations

from collections.abc import Callable

from dashnb.local.endpoints.assistants import AssistantEndpoints
from dashnb.local.endpoints.records import Records
from dashnb.local.endpoints.request import Answer, Follow, Request, not_found
from dashnb.local.endpoints.runs import RunEndpoints
from dashnb.local.endpoints.threads import ThreadEndpoints
from dashnb.local.keeper import Keeper
from dashnb.local.log import EventLog
from dashnb.local.runner import Runner
from dashnb.local.store import Store
from dashnb.local.writer import Clock, Ids

__all__ = ["Answer", "Endpoints", "Follow", "Request", "not_found"]


class Endpoints:
    """All operations of one embedded API.

    Args:
        store: The database.
        log: Where runs write and readers follow.
        runner: Who lets runs go on.
        keeper: Who sees to it that they end.
        ids: Makes an id from a prefix.
        clock: Milliseconds since 1970.

    Attributes:
        table: What each operation of `OPERATIONS` does, by its name.
        join_run: How a reader joins a run that is under way; beyond the documented operations.
        attend: Looks after all runs from now on, on the loop that asks.
    """

    def __init__(self, store: Store, log: EventLog, runner: Runner, keeper: Keeper, *, ids: Ids, clock: Clock) -> None:
        records = Records(store, ids=ids, clock=clock)
        runs = RunEndpoints(records, runner, keeper, log)
        self.table: dict[str, Callable[[Request], Answer]] = {
            **AssistantEndpoints(records).table,
            **ThreadEndpoints(records, keeper).table,
            **runs.table,
        }
        self.join_run = runs.join_run
        self.attend = keeper.attend
