"""What each operation of the table does: one function for each row, from ids and body to an answer.

An endpoint returns an object as it travels, or a `Follow`: the run whose events are the answer. What
is wrong with a request is raised as an `APIError` and sent in the documented shape.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from dashnb.errors import APIError, api_error
from dashnb.local import wire
from dashnb.local.log import EventLog
from dashnb.local.runner import Runner
from dashnb.local.store import Change, Record, Store
from dashnb.local.writer import Clock, Ids, RunWriter
from dashnb.protocol import requests
from dashnb.protocol.lifecycle import is_final


@dataclass(frozen=True, slots=True)
class Follow:
    """An answer that is a stream: the events of a run behind a position."""

    run_id: str
    after: int = 0


Answer = wire.Wire | Follow


@dataclass(frozen=True, slots=True)
class Request:
    """A request that has been read and checked.

    Attributes:
        ids: The ids of the path.
        body: The checked body; an instance of the operation's body class, if it has one.
        query: The checked query of a list.
        request_id: What every object of the answer carries.
    """

    ids: dict[str, str]
    body: Any
    query: requests.ListQuery
    request_id: str


class Endpoints:
    """All operations of one embedded API.

    Args:
        store: The database.
        log: Where runs write and readers follow.
        runner: Who lets runs go on.
        ids: Makes an id from a prefix.
        clock: Milliseconds since 1970.
    """

    def __init__(self, store: Store, log: EventLog, runner: Runner, *, ids: Ids, clock: Clock) -> None:
        self._store = store
        self._log = log
        self._runner = runner
        self._ids = ids
        self._clock = clock
        self.table: dict[str, Callable[[Request], Answer]] = {
            "assistants.create": self.create_assistant,
            "assistants.list": self.list_assistants,
            "assistants.retrieve": self.retrieve_assistant,
            "assistants.update": self.update_assistant,
            "assistants.delete": self.delete_assistant,
            "assistants.files.create": self.attach_file,
            "assistants.files.list": self.list_assistant_files,
            "assistants.files.retrieve": self.retrieve_assistant_file,
            "assistants.files.delete": self.detach_file,
            "threads.create": self.create_thread,
            "threads.retrieve": self.retrieve_thread,
            "threads.update": self.update_thread,
            "threads.delete": self.delete_thread,
            "messages.create": self.create_message,
            "messages.list": self.list_messages,
            "messages.retrieve": self.retrieve_message,
            "messages.update": self.update_message,
            "messages.files.list": self.list_message_files,
            "messages.files.retrieve": self.retrieve_message_file,
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

    # --- assistants ------------------------------------------------------------------------

    def create_assistant(self, request: Request) -> wire.Wire:
        """A1."""
        body: requests.AssistantCreate = request.body
        file_ids = _distinct(body.file_ids)
        record = {**self._new("asst"), "metadata": body.metadata, **_given(body), "file_ids": file_ids}
        with self._store.begin() as change:
            change.insert("assistants", record)
            self._attach(change, record["id"], file_ids)
        return wire.assistant(record)

    def list_assistants(self, request: Request) -> wire.Wire:
        """A2."""
        return self._page("assistants", wire.assistant, request)

    def retrieve_assistant(self, request: Request) -> wire.Wire:
        """A3."""
        return wire.assistant(self._get("assistants", request.ids["assistant_id"]))

    def update_assistant(self, request: Request) -> wire.Wire:
        """A4: what is left out, or null, keeps its value."""
        assistant_id, given = request.ids["assistant_id"], _given(request.body)
        if not given.get("metadata"):
            given.pop("metadata", None)
        if file_ids := _distinct(given.pop("file_ids", [])):
            given["file_ids"] = file_ids
        with self._store.begin() as change:
            record = change.update("assistants", assistant_id, **given)
            if record is None:
                raise _not_found("assistant", assistant_id)
            if file_ids:
                change.delete_children("assistant_files", assistant_id=assistant_id)
                self._attach(change, assistant_id, file_ids)
        return wire.assistant(record)

    def delete_assistant(self, request: Request) -> wire.Wire:
        """A5: its files go with it, threads and their runs stay."""
        assistant_id = request.ids["assistant_id"]
        with self._store.begin() as change:
            if not change.delete("assistants", assistant_id):
                raise _not_found("assistant", assistant_id)
            change.delete_children("assistant_files", assistant_id=assistant_id)
        return wire.deleted("assistant", assistant_id)

    def attach_file(self, request: Request) -> wire.Wire:
        """F1."""
        assistant_id, file_id = request.ids["assistant_id"], request.body.file_id
        attached = self._get("assistants", assistant_id)["file_ids"]
        if file_id not in attached:
            with self._store.begin() as change:
                self._attach(change, assistant_id, [file_id])
                change.update("assistants", assistant_id, file_ids=[*attached, file_id])
        return wire.assistant_file(self._file(assistant_id, file_id))

    def list_assistant_files(self, request: Request) -> wire.Wire:
        """F2."""
        assistant_id = request.ids["assistant_id"]
        self._get("assistants", assistant_id)
        return self._page("assistant_files", wire.assistant_file, request, assistant_id=assistant_id)

    def retrieve_assistant_file(self, request: Request) -> wire.Wire:
        """F3."""
        return wire.assistant_file(self._file(request.ids["assistant_id"], request.ids["file_id"]))

    def detach_file(self, request: Request) -> wire.Wire:
        """F4."""
        assistant_id, file_id = request.ids["assistant_id"], request.ids["file_id"]
        record = self._file(assistant_id, file_id)
        assistant = self._get("assistants", assistant_id)
        with self._store.begin() as change:
            change.delete("assistant_files", record["id"])
            left = [name for name in assistant["file_ids"] if name != file_id]
            change.update("assistants", assistant_id, file_ids=left)
        return wire.deleted("assistant.file", file_id)

    def _attach(self, change: Change, assistant_id: str, file_ids: list[str]) -> None:
        for file_id in file_ids:
            record = {**self._new("attached"), "assistant_id": assistant_id, "file_id": file_id}
            change.insert("assistant_files", record)

    def _file(self, assistant_id: str, file_id: str) -> Record:
        for record in self._store.every("assistant_files", assistant_id=assistant_id, file_id=file_id):
            return record
        raise _not_found("file", file_id)

    # --- threads ---------------------------------------------------------------------------

    def create_thread(self, request: Request) -> wire.Wire:
        """T1."""
        record = {**self._new("thread"), "metadata": request.body.metadata}
        messages = self._new_messages(record["id"], request.body.messages)
        with self._store.begin() as change:
            change.insert("threads", record)
            for message in messages:
                change.insert("messages", message)
        return wire.thread(record)

    def retrieve_thread(self, request: Request) -> wire.Wire:
        """T2."""
        return wire.thread(self._get("threads", request.ids["thread_id"]))

    def update_thread(self, request: Request) -> wire.Wire:
        """T3."""
        return wire.thread(self._change("threads", request.ids["thread_id"], _given(request.body)))

    def delete_thread(self, request: Request) -> wire.Wire:
        """T4: messages, runs and steps go with it."""
        thread_id = request.ids["thread_id"]
        for run in self._store.every("runs", thread_id=thread_id):
            self._runner.drop(run["id"])
        with self._store.begin() as change:
            if not change.delete("threads", thread_id):
                raise _not_found("thread", thread_id)
            for table in ("messages", "steps", "runs"):
                change.delete_children(table, thread_id=thread_id)
        return wire.deleted("thread", thread_id)

    # --- messages --------------------------------------------------------------------------

    def create_message(self, request: Request) -> wire.Wire:
        """M1."""
        thread_id = request.ids["thread_id"]
        self._get("threads", thread_id)
        (record,) = self._new_messages(thread_id, [request.body])
        with self._store.begin() as change:
            change.insert("messages", record)
        return wire.message(record)

    def list_messages(self, request: Request) -> wire.Wire:
        """M2."""
        self._get("threads", request.ids["thread_id"])
        return self._page("messages", wire.message, request, **request.ids)

    def retrieve_message(self, request: Request) -> wire.Wire:
        """M3."""
        return wire.message(self._message(request))

    def update_message(self, request: Request) -> wire.Wire:
        """M4."""
        self._message(request)
        return wire.message(self._change("messages", request.ids["message_id"], _given(request.body)))

    def list_message_files(self, request: Request) -> wire.Wire:
        """F5."""
        record = self._message(request)
        return wire.page(lambda name: wire.message_file(record, name["id"]), _named(record), False)

    def retrieve_message_file(self, request: Request) -> wire.Wire:
        """F6."""
        record, file_id = self._message(request), request.ids["file_id"]
        if file_id not in record["file_ids"]:
            raise _not_found("file", file_id)
        return wire.message_file(record, file_id)

    def _message(self, request: Request) -> Record:
        return self._get("messages", request.ids["message_id"], thread_id=request.ids["thread_id"])

    def _new_messages(self, thread_id: str, bodies: list[requests.MessageCreate]) -> list[Record]:
        return [
            {
                **self._new("message"),
                "thread_id": thread_id,
                "role": body.role,
                "text": body.content,
                "file_ids": body.file_ids,
                "metadata": body.metadata,
            }
            for body in bodies
        ]

    # --- runs ------------------------------------------------------------------------------

    def create_run(self, request: Request) -> Answer:
        """R1."""
        thread_id = request.ids["thread_id"]
        self._get("threads", thread_id)
        return self._begin(request, thread_id)

    def create_thread_and_run(self, request: Request) -> Answer:
        """R2."""
        thread = {**self._new("thread"), "metadata": request.body.thread.metadata}
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
        run = self._new_run(body, self._get("assistants", body.assistant_id), thread_id, request.request_id)
        writer = self._writer(run)
        said = self._new_messages(thread_id, [*(messages or []), *body.additional_messages])
        writer.created(thread=thread, messages=said)
        self._runner.start(writer)
        return Follow(run["id"]) if body.stream else wire.created_run(run)

    def _new_run(self, body: requests.RunCreate, assistant: Record, thread_id: str, request_id: str) -> Record:
        given = _given(body)
        instructions = [given.get("instructions", assistant.get("instructions")), given.get("additional_instructions")]
        sampling = ("temperature", "top_p", "top_k", "max_tokens")
        return {
            **self._new("run"),
            "thread_id": thread_id,
            "assistant_id": assistant["id"],
            "status": "queued",
            "model": given.get("model", assistant["model"]),
            "instructions": "\n".join(text for text in instructions if text),
            "tools": given.get("tools", assistant.get("tools") or []),
            "metadata": body.metadata,
            "truncation_strategy": given.get("truncation_strategy"),
            "request_id": request_id,
            **{name: given.get(name, assistant.get(name)) for name in sampling},
        }

    def list_runs(self, request: Request) -> wire.Wire:
        """R3."""
        self._get("threads", request.ids["thread_id"])
        return self._page("runs", wire.run, request, **request.ids)

    def retrieve_run(self, request: Request) -> wire.Wire:
        """R4."""
        return wire.run(self._run(request))

    def update_run(self, request: Request) -> wire.Wire:
        """R5."""
        self._run(request)
        return wire.run(self._change("runs", request.ids["run_id"], _given(request.body)))

    def submit_tool_outputs(self, request: Request) -> Answer:
        """R6."""
        run = self._run(request)
        if run["status"] != "requires_action":
            raise _invalid(f"The run {run['id']} is {run['status']}; it does not wait for tool outputs.")
        action = run["required_action"]
        outputs = _pair(action["submit_tool_outputs"]["tool_calls"], request.body.tool_outputs)
        steps = self._store.every("steps", run_id=run["id"])
        step = next(step for step in reversed(steps) if step["status"] == "in_progress")
        writer = self._writer(run)
        known = writer.resume(step, outputs, request.request_id)
        if known is None:
            raise _invalid(f"The run {run['id']} does not wait for tool outputs any more.")
        self._runner.start(writer)
        return Follow(run["id"], known) if request.body.stream else wire.submitted_run(writer.run, action)

    def cancel_run(self, request: Request) -> wire.Wire:
        """R7: through the task if the run has one, at once if it only waits."""
        run = self._run(request)
        if is_final(run["status"]):
            raise _invalid(f"The run {run['id']} is {run['status']} and cannot be cancelled.")
        writer = self._writer(run)
        if self._runner.cancel(run["id"]):
            writer.move("cancelling")
        else:
            for step in self._store.every("steps", run_id=run["id"]):
                if step["status"] == "in_progress":
                    writer.adopt(step)
            writer.stop("cancelled")
        return wire.run(writer.run)

    def _run(self, request: Request) -> Record:
        return self._get("runs", request.ids["run_id"], thread_id=request.ids["thread_id"])

    # --- steps -----------------------------------------------------------------------------

    def list_steps(self, request: Request) -> wire.Wire:
        """P1."""
        self._run(request)
        return self._page("steps", wire.listed_step, request, **request.ids)

    def retrieve_step(self, request: Request) -> wire.Wire:
        """P2."""
        ids = request.ids
        return wire.step(self._get("steps", ids["step_id"], thread_id=ids["thread_id"], run_id=ids["run_id"]))

    # --- parts -----------------------------------------------------------------------------

    def _new(self, prefix: str) -> Record:
        return {"id": self._ids(prefix), "created_at": self._clock()}

    def _writer(self, run: Record) -> RunWriter:
        return RunWriter(self._store, self._log, run, ids=self._ids, clock=self._clock)

    def _get(self, table: str, object_id: str, **parents: str) -> Record:
        record = self._store.get(table, object_id, **parents)
        if record is None:
            raise _not_found(table[:-1], object_id)
        return record

    def _change(self, table: str, object_id: str, fields: dict[str, Any]) -> Record:
        with self._store.begin() as change:
            record = change.update(table, object_id, **fields)
        if record is None:
            raise _not_found(table[:-1], object_id)
        return record

    def _page(self, table: str, view: wire.View, request: Request, **parents: str) -> wire.Wire:
        try:
            records, has_more = self._store.page(table, request.query, **parents)
        except KeyError as error:
            raise _invalid(f"'after' and 'before' must name an entry of this list; {error} is none.") from None
        return wire.page(view, records, has_more)


def _given(body: BaseModel) -> dict[str, Any]:
    """The fields that were sent, null counting as not sent; what is inside them stays as it is."""
    sent = body.model_dump(mode="json", exclude_unset=True)
    return {name: value for name, value in sent.items() if value is not None}


def _distinct(file_ids: list[str]) -> list[str]:
    return list(dict.fromkeys(file_ids))


def _named(record: Record) -> list[Record]:
    return [{"id": file_id} for file_id in record["file_ids"]]


def _pair(calls: list[dict[str, Any]], outputs: list[requests.ToolOutput]) -> list[str]:
    """The outputs in the order of the calls: by id where one is given, else by position."""
    if len(outputs) != len(calls):
        raise _invalid(f"The run waits for {len(calls)} tool outputs, all in one request; got {len(outputs)}.")
    known = [call["id"] for call in calls]
    paired: dict[int, str] = {}
    for position, output in enumerate(outputs):
        if output.tool_call_id and output.tool_call_id not in known:
            raise _invalid(f"The run has no tool call {output.tool_call_id!r}; it waits for: {', '.join(known)}.")
        place = known.index(output.tool_call_id) if output.tool_call_id else position
        if place in paired:
            raise _invalid("Two tool outputs belong to the same tool call.")
        paired[place] = output.output
    return [paired[place] for place in range(len(calls))]


def _not_found(kind: str, object_id: str) -> APIError:
    return api_error(404, code="NotFound", message=f"Not found! There is no {kind.replace('_', ' ')} {object_id}.")


def _invalid(message: str) -> APIError:
    return api_error(400, code="InvalidParameter", message=message)
