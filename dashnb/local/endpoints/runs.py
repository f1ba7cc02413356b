"""The operations on runs and steps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from dashnb.errors import APIError
from dashnb.local import wire
from dashnb.local.endpoints.records import Records
from dashnb.local.endpoints.request import Answer, Follow, Request, invalid, not_found, sent_fields
from dashnb.local.keeper import Keeper
from dashnb.local.log import EventLog
from dashnb.local.runner import Runner
from dashnb.local.store import Record
from dashnb.local.writer import RunWriter, ThreadBusy, ThreadGone
from dashnb.protocol import requests
from dashnb.protocol.lifecycle import is_final


class RunEndpoints:
    """What the operations on runs and steps do."""

    def __init__(self, records: Records, runner: Runner, keeper: Keeper, log: EventLog) -> None:
        self._records = records
        self._runner = runner
        self._keeper = keeper
        self._log = log
        self.table: dict[str, Callable[[Request], Answer]] = {
            "runs.create": self.create_run,
            "runs.create_thread_and_run": self.create_thread_and_run,
            "runs.list": self.list_runs,
            "runs.retrieve": self.retrieve_run,
            "runs.update": self.update_run,
            "runs.submit_tool_outputs": self.submit_tool_outputs,
            "runs.cancel": self.cancel_run,
            "steps.list": self.list_steps,
            "steps.retrieve": self.retrieve_step,
        }

    def create_run(self, request: Request) -> Answer:
        """R1: refused while another run of the thread is active."""
        thread_id = request.ids["thread_id"]
        self._records.get("threads", thread_id)
        self._keeper.settle_thread(thread_id, make_way=True)
        return self._begin(request, thread_id)

    def create_thread_and_run(self, request: Request) -> Answer:
        """R2."""
        thread = {**self._records.new("thread"), "metadata": request.body.thread.metadata}
        return self._begin(request, thread["id"], thread=thread, messages=request.body.thread.messages)

    def _begin(
        self,
        request: Request,
        thread_id: str,
        *,
        thread: Record | None = None,
        messages: list[requests.MessageCreate] | None = None,
    ) -> Answer:
        body: requests.RunCreate = request.body
        run = self._new_run(body, self._records.get("assistants", body.assistant_id), thread_id, request.request_id)
        writer = self._writer(run)
        # Under the name of their thread, if it is there already, they would be seen without their run.
        said = self._records.new_messages(run["id"], [*(messages or []), *body.additional_messages])
        self._keeper.leases.hold()
        try:
            with self._records.kept_ahead(said) as rest:
                writer.created(thread=thread, messages=rest)
        except ThreadBusy as error:
            raise _busy(error.run) from None
        except ThreadGone:
            raise not_found("thread", thread_id) from None
        self._keeper.watch(run)
        request.on_loop(partial(self._runner.start, writer))
        return Follow(run["id"]) if body.stream else wire.created_run(run)

    def _new_run(self, body: requests.RunCreate, assistant: Record, thread_id: str, request_id: str) -> Record:
        given = sent_fields(body)
        instructions = [given.get("instructions", assistant.get("instructions")), given.get("additional_instructions")]
        sampling = ("temperature", "top_p", "top_k", "max_tokens")
        new = self._records.new("run")
        return {
            **new,
            "expires_at": new["created_at"] + self._keeper.lifetime,
            "owner": self._keeper.leases.owner,
            "thread_id": thread_id,
            "assistant_id": assistant["id"],
            "status": "queued",
            "model": given.get("model", assistant["model"]),
            "instructions": "\n".join(text for text in instructions if text),
            "tools": given["tools"] if "tools" in given else _checked_tools(assistant),
            "metadata": body.metadata,
            "truncation_strategy": given.get("truncation_strategy"),
            "request_id": request_id,
            **{name: given.get(name, assistant.get(name)) for name in sampling},
        }

    def list_runs(self, request: Request) -> wire.Wire:
        """R3."""
        self._records.get("threads", request.ids["thread_id"])
        self._keeper.settle_thread(request.ids["thread_id"])
        return self._records.page("runs", wire.run, request.query, **request.ids)

    def retrieve_run(self, request: Request) -> wire.Wire:
        """R4."""
        return wire.run(self._run(request))

    def update_run(self, request: Request) -> wire.Wire:
        """R5."""
        self._run(request)
        return wire.run(self._records.change("runs", request.ids["run_id"], sent_fields(request.body)))

    def submit_tool_outputs(self, request: Request) -> Answer:
        """R6."""
        run = self._run(request)
        if run["status"] != "requires_action":
            raise invalid(f"The run {run['id']} is {run['status']}; it does not wait for tool outputs.")
        action = run["required_action"]
        outputs = _pair(action["submit_tool_outputs"]["tool_calls"], request.body.tool_outputs)
        steps = self._records.store.every("steps", run_id=run["id"])
        step = next(step for step in reversed(steps) if step["status"] == "in_progress")
        writer = self._writer(run)
        self._keeper.leases.hold()
        known = writer.resume(step, outputs, request_id=request.request_id, owner=self._keeper.leases.owner)
        if known is None:
            raise invalid(f"The run {run['id']} does not wait for tool outputs any more.")
        self._keeper.watch(run)
        request.on_loop(partial(self._runner.start, writer))
        return Follow(run["id"], known) if request.body.stream else wire.submitted_run(writer.run, action)

    def cancel_run(self, request: Request) -> wire.Wire:
        """R7: through whoever works on the run, here or elsewhere; at once if nobody does."""
        run = self._keeper.expire(self._found(request.ids))
        if is_final(run["status"]):
            raise invalid(f"The run {run['id']} is {run['status']} and cannot be cancelled.")
        waits = run["status"] == "requires_action" or self._keeper.is_orphan(run)
        if not waits:
            writer = self._writer(run)
            moved = writer.move("cancelling")
            self._runner.cancel(run["id"])
            if not moved:
                return wire.run(self._found(request.ids))
            # It may have begun to wait in between, and then nobody works on it.
            if writer.run.get("owner") is not None:
                return wire.run(writer.run)
        return wire.run(self._keeper.end(run, "cancelled"))

    def join_run(self, ids: dict[str, str], *, after: int) -> Follow:
        """The events of a run behind a position, from its log and then as they come.

        Args:
            ids: The ids of the thread and of the run.
            after: The number of the last event that the reader has.
        """
        run = self._keeper.settle(self._found(ids))
        return Follow(run["id"], after)

    def _run(self, request: Request) -> Record:
        return self._keeper.settle(self._found(request.ids))

    def _found(self, ids: dict[str, str]) -> Record:
        return self._records.get("runs", ids["run_id"], thread_id=ids["thread_id"])

    def list_steps(self, request: Request) -> wire.Wire:
        """P1."""
        self._run(request)
        return self._records.page("steps", wire.listed_step, request.query, **request.ids)

    def retrieve_step(self, request: Request) -> wire.Wire:
        """P2."""
        ids = request.ids
        return wire.step(self._records.get("steps", ids["step_id"], thread_id=ids["thread_id"], run_id=ids["run_id"]))

    def _writer(self, run: Record) -> RunWriter:
        return RunWriter(self._records.store, self._log, run, ids=self._records.ids, clock=self._records.clock)


def _busy(run: Record) -> APIError:
    """The error for a second run on a thread."""
    return invalid(
        f"The thread {run['thread_id']} has an active run, {run['id']} ({run['status']}).\n"
        "Wait for it, cancel it, or use another thread."
    )


def _checked_tools(assistant: Record) -> list[dict[str, Any]]:
    """The tools of an assistant, which may be older than a rule for them."""
    tools: list[dict[str, Any]] = assistant.get("tools") or []
    try:
        requests.check_names(map(requests.ToolSpec.model_validate, tools))
    except ValueError as error:
        raise invalid(f"The assistant {assistant['id']} cannot be used: {error}.") from None
    return tools


def _pair(calls: list[dict[str, Any]], outputs: list[requests.ToolOutput]) -> list[str]:
    """The outputs in the order of the calls: by id where one is given, else by position."""
    if len(outputs) != len(calls):
        raise invalid(f"The run waits for {len(calls)} tool outputs, all in one request; got {len(outputs)}.")
    known = [call["id"] for call in calls]
    paired: dict[int, str] = {}
    for position, output in enumerate(outputs):
        if output.tool_call_id and output.tool_call_id not in known:
            raise invalid(f"The run has no tool call {output.tool_call_id!r}; it waits for: {', '.join(known)}.")
        place = known.index(output.tool_call_id) if output.tool_call_id else position
        if place in paired:
            raise invalid("Two tool outputs belong to the same tool call.")
        paired[place] = output.output
    return [paired[place] for place in range(len(calls))]
