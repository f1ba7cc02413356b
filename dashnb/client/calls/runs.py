"""Runs as calls."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from dashnb.client.calls.call import Call, Json, Tools, dict_list, make, page_query, tool_list
from dashnb.protocol.objects import Page, Run
from dashnb.protocol.operations import JOIN


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
        "tools": tool_list(tools),
        "metadata": metadata,
        "temperature": temperature,
        "top_p": top_p,
        "top_k": top_k,
        "max_tokens": max_tokens,
        "truncation_strategy": truncation_strategy,
        "stream": False,
    }
    return make("runs.create", Run, ids={"thread_id": thread_id}, body=body, extra=extra_body)


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
        "tools": tool_list(tools),
        "metadata": metadata,
        "temperature": temperature,
        "top_p": top_p,
        "top_k": top_k,
        "max_tokens": max_tokens,
        "truncation_strategy": truncation_strategy,
        "stream": False,
    }
    return make("runs.create_thread_and_run", Run, body=body, extra=extra_body)


def submit_tool_outputs(
    run_id: str, *, thread_id: str, tool_outputs: Iterable[Json], extra_body: Json | None = None
) -> Call[Run]:
    """Hand in the results of the functions that the run waits for, all in one request.

    Source: Runs reference, "Submit tool outputs".
    """
    ids = {"thread_id": thread_id, "run_id": run_id}
    body = {"tool_outputs": dict_list("tool_outputs", tool_outputs), "stream": False}
    return make("runs.submit_tool_outputs", Run, ids=ids, body=body, extra=extra_body)


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
    return make("runs.list", Page[Run], ids=ids, query=page_query(limit, order, after, before))


def retrieve_run(run_id: str, *, thread_id: str) -> Call[Run]:
    """The run with this id, as it is now."""
    return make("runs.retrieve", Run, ids={"thread_id": thread_id, "run_id": run_id})


def update_run(run_id: str, *, thread_id: str, metadata: Json, extra_body: Json | None = None) -> Call[Run]:
    """Set the metadata of a run."""
    ids = {"thread_id": thread_id, "run_id": run_id}
    return make("runs.update", Run, ids=ids, body={"metadata": metadata}, extra=extra_body)


def cancel_run(run_id: str, *, thread_id: str) -> Call[Run]:
    """Cancel a run. Known to the SDKs only: the cloud service may answer 404."""
    return make("runs.cancel", Run, ids={"thread_id": thread_id, "run_id": run_id})


def join_run(run_id: str, *, thread_id: str, after: str | None = None) -> Call[Run]:
    """The events of a run behind a position. The embedded API has it; the cloud service answers 404."""
    return make(JOIN, Run, ids={"thread_id": thread_id, "run_id": run_id}, query={"after": after or None})
