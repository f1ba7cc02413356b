"""Every operation as a function from arguments to a `Call`: what to send and what comes back. Pure.

`Client` and `AsyncClient` both bind these functions, so that the two cannot drift apart. An argument
that is left out (None) is not sent. ``extra_body`` adds fields that this version does not know.

Sources: the reference pages of Assistants, Threads, Messages, Runs and Run Steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar
from urllib.parse import quote

from dashnb.errors import InvalidArgument
from dashnb.protocol.objects import (
    Assistant,
    Deleted,
    File,
    Message,
    Page,
    Run,
    RunStep,
    Thread,
    Tool,
)
from dashnb.protocol.operations import OPERATIONS, Operation

T = TypeVar("T")
Item = TypeVar("Item")
Json = Mapping[str, object]
Tools = Iterable[Json | Tool]


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request: an operation with its ids, query and body, and the class of its answer.

    >>> call = retrieve_run("run_1", thread_id="thread_1")
    >>> call.operation.method, call.path
    ('GET', '/threads/thread_1/runs/run_1')
    """

    operation: Operation
    answer: type[T]
    ids: Json = field(default_factory=dict)
    query: Json = field(default_factory=dict)
    body: Json | None = None

    @property
    def path(self) -> str:
        """The path below the base URL, ids quoted."""
        return self.operation.path.format(**{name: quote(str(value), safe="") for name, value in self.ids.items()})

    def at(self, cursor: str, entry_id: str) -> Call[T]:
        """The same list ``after`` or ``before`` an entry."""
        return replace(self, query={**self.query, cursor: entry_id})


def _call(
    name: str,
    answer: type[T],
    *,
    ids: Json | None = None,
    query: Json | None = None,
    body: Json | None = None,
    extra: Json | None = None,
) -> Call[T]:
    for key, value in (ids or {}).items():
        # "." and ".." would be taken for parts of the path, quoted or not, and name another object.
        if not isinstance(value, str) or value.strip() in ("", ".", ".."):
            raise InvalidArgument(f"{key} must be the id of an object as text, got {value!r}.")
    fields = None if body is None else {**_given(body), **(extra or {})}
    return Call(OPERATIONS[name], answer, ids or {}, _given(query or {}), fields)


def _given(fields: Json) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}


def _tools(tools: Tools | None) -> list[object] | None:
    if tools is None:
        return None
    return _objects("tools", (tool.to_dict() if isinstance(tool, Tool) else tool for tool in tools))


def _objects(name: str, entries: Iterable[Json]) -> list[object]:
    listed = list(entries)
    for entry in listed:
        if not isinstance(entry, Mapping):
            raise InvalidArgument(f"{name} must be a list of dicts, got {type(entry).__name__} in it.")
    return [dict(entry) for entry in listed]


# --- assistants --------------------------------------------------------------------------------


def create_assistant(
    *,
    model: str,
    name: str | None = None,
    description: str | None = None,
    instructions: str | None = None,
    tools: Tools | None = None,
    file_ids: Sequence[str] | None = None,
    metadata: Json | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    top_k: int | None = None,
    max_tokens: int | None = None,
    extra_body: Json | None = None,
) -> Call[Assistant]:
    """Create an assistant: a model with instructions and tools.

    >>> import dashnb
    >>> with dashnb.connect("local", database=":memory:") as client:
    ...     client.assistants.create(model="qwen-max", name="Art Maestro").name
    'Art Maestro'

    Args:
        model: The model that answers, such as ``qwen-max``.
        name: What the assistant is called.
        description: What it is for.
        instructions: The system prompt.
        tools: Tool definitions, such as ``{"type": "text_to_image"}``; own plugins carry ``auth``.
        file_ids: Files to attach.
        metadata: At most 16 pairs; keys up to 64, values up to 512 characters.
        temperature: From 0 up to, not including, 2.
        top_p: Above 0, at most 1.
        top_k: Number of candidate tokens.
        max_tokens: Most tokens of an answer.
        extra_body: Further fields of the body.

    Source: Assistants reference, "Create an assistant".
    """
    body = {
        "model": model,
        "name": name,
        "description": description,
        "instructions": instructions,
        "tools": _tools(tools),
        "file_ids": file_ids,
        "metadata": metadata,
        "temperature": temperature,
        "top_p": top_p,
        "top_k": top_k,
        "max_tokens": max_tokens,
    }
    return _call("assistants.create", Assistant, body=body, extra=extra_body)


def list_assistants(
    *, limit: int | None = None, order: str | None = None, after: str | None = None, before: str | None = None
) -> Call[Page[Assistant]]:
    """One page of the assistants, the newest first unless ``order="asc"``."""
    return _call("assistants.list", Page[Assistant], query=_query(limit, order, after, before))


def retrieve_assistant(assistant_id: str) -> Call[Assistant]:
    """The assistant with this id."""
    return _call("assistants.retrieve", Assistant, ids={"assistant_id": assistant_id})


def update_assistant(
    assistant_id: str,
    *,
    model: str | None = None,
    name: str | None = None,
    description: str | None = None,
    instructions: str | None = None,
    tools: Tools | None = None,
    file_ids: Sequence[str] | None = None,
    metadata: Json | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    top_k: int | None = None,
    max_tokens: int | None = None,
    extra_body: Json | None = None,
) -> Call[Assistant]:
    """Change an assistant: what is left out keeps its value, ``tools=[]`` clears the list.

    Args: as for ``create``.

    Source: Assistants reference, "Modify an assistant".
    """
    body = {
        "model": model,
        "name": name,
        "description": description,
        "instructions": instructions,
        "tools": _tools(tools),
        "file_ids": file_ids,
        "metadata": metadata,
        "temperature": temperature,
        "top_p": top_p,
        "top_k": top_k,
        "max_tokens": max_tokens,
    }
    return _call("assistants.update", Assistant, ids={"assistant_id": assistant_id}, body=body, extra=extra_body)


def delete_assistant(assistant_id: str) -> Call[Deleted]:
    """Delete an assistant. Threads and their runs stay."""
    return _call("assistants.delete", Deleted, ids={"assistant_id": assistant_id})


def create_assistant_file(assistant_id: str, *, file_id: str) -> Call[File]:
    """Attach a file to an assistant. Known to the SDKs only."""
    return _call("assistants.files.create", File, ids={"assistant_id": assistant_id}, body={"file_id": file_id})


def list_assistant_files(
    assistant_id: str,
    *,
    limit: int | None = None,
    order: str | None = None,
    after: str | None = None,
    before: str | None = None,
) -> Call[Page[File]]:
    """One page of the files of an assistant. Known to the SDKs only."""
    ids = {"assistant_id": assistant_id}
    return _call("assistants.files.list", Page[File], ids=ids, query=_query(limit, order, after, before))


def retrieve_assistant_file(file_id: str, *, assistant_id: str) -> Call[File]:
    """A file of an assistant. Known to the SDKs only."""
    return _call("assistants.files.retrieve", File, ids={"assistant_id": assistant_id, "file_id": file_id})


def delete_assistant_file(file_id: str, *, assistant_id: str) -> Call[Deleted]:
    """Detach a file from an assistant. Known to the SDKs only."""
    return _call("assistants.files.delete", Deleted, ids={"assistant_id": assistant_id, "file_id": file_id})


# --- threads -----------------------------------------------------------------------------------


def create_thread(
    *, messages: Iterable[Json] | None = None, metadata: Json | None = None, extra_body: Json | None = None
) -> Call[Thread]:
    """Create a thread, perhaps with first messages.

    Args:
        messages: Messages as ``{"role": "user", "content": "…"}``.
        metadata: At most 16 pairs; keys up to 64, values up to 512 characters.
        extra_body: Further fields of the body.

    Source: Threads reference, "Create a thread".
    """
    body = {"messages": None if messages is None else _objects("messages", messages), "metadata": metadata}
    return _call("threads.create", Thread, body=body, extra=extra_body)


def retrieve_thread(thread_id: str) -> Call[Thread]:
    """The thread with this id."""
    return _call("threads.retrieve", Thread, ids={"thread_id": thread_id})


def update_thread(thread_id: str, *, metadata: Json, extra_body: Json | None = None) -> Call[Thread]:
    """Set the metadata of a thread."""
    ids = {"thread_id": thread_id}
    return _call("threads.update", Thread, ids=ids, body={"metadata": metadata}, extra=extra_body)


def delete_thread(thread_id: str) -> Call[Deleted]:
    """Delete a thread with its messages, runs and steps."""
    return _call("threads.delete", Deleted, ids={"thread_id": thread_id})


# --- messages ----------------------------------------------------------------------------------


def create_message(
    thread_id: str,
    *,
    content: str,
    role: str = "user",
    file_ids: Sequence[str] | None = None,
    metadata: Json | None = None,
    extra_body: Json | None = None,
) -> Call[Message]:
    """Append a message to a thread.

    Args:
        thread_id: The thread.
        content: The text.
        role: ``user``; runs write the messages of the assistant.
        file_ids: Files that belong to the message; known to the SDKs only.
        metadata: At most 16 pairs; keys up to 64, values up to 512 characters.
        extra_body: Further fields of the body.

    Source: Messages reference, "Create a message".
    """
    body = {"content": content, "role": role, "file_ids": file_ids, "metadata": metadata}
    return _call("messages.create", Message, ids={"thread_id": thread_id}, body=body, extra=extra_body)


def list_messages(
    thread_id: str,
    *,
    limit: int | None = None,
    order: str | None = None,
    after: str | None = None,
    before: str | None = None,
) -> Call[Page[Message]]:
    """One page of the messages of a thread; the newest first, so ``page[0]`` is the last answer."""
    ids = {"thread_id": thread_id}
    return _call("messages.list", Page[Message], ids=ids, query=_query(limit, order, after, before))


def retrieve_message(message_id: str, *, thread_id: str) -> Call[Message]:
    """The message with this id."""
    return _call("messages.retrieve", Message, ids={"thread_id": thread_id, "message_id": message_id})


def update_message(message_id: str, *, thread_id: str, metadata: Json, extra_body: Json | None = None) -> Call[Message]:
    """Set the metadata of a message."""
    ids = {"thread_id": thread_id, "message_id": message_id}
    return _call("messages.update", Message, ids=ids, body={"metadata": metadata}, extra=extra_body)


def list_message_files(
    message_id: str,
    *,
    thread_id: str,
    limit: int | None = None,
    order: str | None = None,
    after: str | None = None,
    before: str | None = None,
) -> Call[Page[File]]:
    """One page of the files of a message. Known to the SDKs only."""
    ids = {"thread_id": thread_id, "message_id": message_id}
    return _call("messages.files.list", Page[File], ids=ids, query=_query(limit, order, after, before))


def retrieve_message_file(file_id: str, *, thread_id: str, message_id: str) -> Call[File]:
    """A file of a message. Known to the SDKs only."""
    ids = {"thread_id": thread_id, "message_id": message_id, "file_id": file_id}
    return _call("messages.files.retrieve", File, ids=ids)


# --- runs --------------------------------------------------------------------------------------


def create_run(
    thread_id: str,
    *,
    assistant_id: str,
    model: str | None = None,
    instructions: str | None = None,
    additional_instructions: str | None = None,
    tools: Tools | None = None,
    metadata: Json | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    top_k: int | None = None,
    max_tokens: int | None = None,
    truncation_strategy: Json | None = None,
    extra_body: Json | None = None,
) -> Call[Run]:
    """Start an assistant on a thread and return at once; the run goes on by itself.

    Args:
        thread_id: The thread.
        assistant_id: The assistant; its settings hold unless overridden here.
        model: Another model, for this run.
        instructions: Another system prompt, for this run.
        additional_instructions: Text to append to the instructions.
        tools: Other tools, for this run.
        metadata: At most 16 pairs; keys up to 64, values up to 512 characters.
        temperature: From 0 up to, not including, 2.
        top_p: Above 0, at most 1.
        top_k: Number of candidate tokens.
        max_tokens: Most tokens of an answer.
        truncation_strategy: What reaches the model; ``{"type": "last_messages", "last_messages": 10}``
            if left out.
        extra_body: Further fields of the body.

    Source: Runs reference, "Create a run".
    """
    body = {
        "assistant_id": assistant_id,
        "model": model,
        "instructions": instructions,
        "additional_instructions": additional_instructions,
        "tools": _tools(tools),
        "metadata": metadata,
        "temperature": temperature,
        "top_p": top_p,
        "top_k": top_k,
        "max_tokens": max_tokens,
        "truncation_strategy": truncation_strategy,
        "stream": False,
    }
    return _call("runs.create", Run, ids={"thread_id": thread_id}, body=body, extra=extra_body)


def create_thread_and_run(
    *,
    assistant_id: str,
    thread: Json | None = None,
    model: str | None = None,
    instructions: str | None = None,
    additional_instructions: str | None = None,
    tools: Tools | None = None,
    metadata: Json | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    top_k: int | None = None,
    max_tokens: int | None = None,
    truncation_strategy: Json | None = None,
    extra_body: Json | None = None,
) -> Call[Run]:
    """Make a thread and start an assistant on it, in one request.

    Args:
        assistant_id: The assistant.
        thread: The new thread, as ``{"messages": […], "metadata": {…}}``; empty if left out.
        extra_body: Further fields of the body.

    The other arguments are those of ``create``.

    Source: call examples, "Create thread and run".
    """
    body = {
        "assistant_id": assistant_id,
        "thread": thread,
        "model": model,
        "instructions": instructions,
        "additional_instructions": additional_instructions,
        "tools": _tools(tools),
        "metadata": metadata,
        "temperature": temperature,
        "top_p": top_p,
        "top_k": top_k,
        "max_tokens": max_tokens,
        "truncation_strategy": truncation_strategy,
        "stream": False,
    }
    return _call("runs.create_thread_and_run", Run, body=body, extra=extra_body)


def submit_tool_outputs(
    run_id: str, *, thread_id: str, tool_outputs: Iterable[Json], extra_body: Json | None = None
) -> Call[Run]:
    """Hand in the results of the functions that the run waits for, all in one request.

    Source: Runs reference, "Submit tool outputs".
    """
    ids = {"thread_id": thread_id, "run_id": run_id}
    body = {"tool_outputs": _objects("tool_outputs", tool_outputs), "stream": False}
    return _call("runs.submit_tool_outputs", Run, ids=ids, body=body, extra=extra_body)


def streamed(call: Call[Run]) -> Call[Run]:
    """The same call, answered with events in place of one object."""
    return replace(call, body={**(call.body or {}), "stream": True})


def list_runs(
    thread_id: str,
    *,
    limit: int | None = None,
    order: str | None = None,
    after: str | None = None,
    before: str | None = None,
) -> Call[Page[Run]]:
    """One page of the runs of a thread, the newest first unless ``order="asc"``."""
    ids = {"thread_id": thread_id}
    return _call("runs.list", Page[Run], ids=ids, query=_query(limit, order, after, before))


def retrieve_run(run_id: str, *, thread_id: str) -> Call[Run]:
    """The run with this id, as it is now."""
    return _call("runs.retrieve", Run, ids={"thread_id": thread_id, "run_id": run_id})


def update_run(run_id: str, *, thread_id: str, metadata: Json, extra_body: Json | None = None) -> Call[Run]:
    """Set the metadata of a run."""
    ids = {"thread_id": thread_id, "run_id": run_id}
    return _call("runs.update", Run, ids=ids, body={"metadata": metadata}, extra=extra_body)


def cancel_run(run_id: str, *, thread_id: str) -> Call[Run]:
    """Cancel a run. Known to the SDKs only: the cloud service may answer 404."""
    return _call("runs.cancel", Run, ids={"thread_id": thread_id, "run_id": run_id})


# --- steps -------------------------------------------------------------------------------------


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
    return _call("steps.list", Page[RunStep], ids=ids, query=_query(limit, order, after, before))


def retrieve_step(step_id: str, *, thread_id: str, run_id: str) -> Call[RunStep]:
    """The step with this id. Source: Run Steps reference, "Retrieve a run step"."""
    ids = {"thread_id": thread_id, "run_id": run_id, "step_id": step_id}
    return _call("steps.retrieve", RunStep, ids=ids)


def _query(limit: int | None, order: str | None, after: str | None, before: str | None) -> Json:
    return {"limit": limit, "order": order, "after": after, "before": before}
