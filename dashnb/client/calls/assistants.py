"""Assistants and their files as calls."""

from __future__ import annotations

from collections.abc import Sequence

from dashnb.client.calls.call import Call, Json, Tools, make, page_query, tool_list
from dashnb.protocol.objects import Assistant, Deleted, File, Page


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
        "tools": tool_list(tools),
        "file_ids": file_ids,
        "metadata": metadata,
        "temperature": temperature,
        "top_p": top_p,
        "top_k": top_k,
        "max_tokens": max_tokens,
    }
    return make("assistants.create", Assistant, body=body, extra=extra_body)


def list_assistants(
    *, limit: int | None = None, order: str | None = None, after: str | None = None, before: str | None = None
) -> Call[Page[Assistant]]:
    """One page of the assistants, the newest first unless ``order="asc"``."""
    return make("assistants.list", Page[Assistant], query=page_query(limit, order, after, before))


def retrieve_assistant(assistant_id: str) -> Call[Assistant]:
    """The assistant with this id."""
    return make("assistants.retrieve", Assistant, ids={"assistant_id": assistant_id})


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
        "tools": tool_list(tools),
        "file_ids": file_ids,
        "metadata": metadata,
        "temperature": temperature,
        "top_p": top_p,
        "top_k": top_k,
        "max_tokens": max_tokens,
    }
    return make("assistants.update", Assistant, ids={"assistant_id": assistant_id}, body=body, extra=extra_body)


def delete_assistant(assistant_id: str) -> Call[Deleted]:
    """Delete an assistant. Threads and their runs stay."""
    return make("assistants.delete", Deleted, ids={"assistant_id": assistant_id})


def create_assistant_file(assistant_id: str, *, file_id: str) -> Call[File]:
    """Attach a file to an assistant. Known to the SDKs only."""
    return make("assistants.files.create", File, ids={"assistant_id": assistant_id}, body={"file_id": file_id})


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
    return make("assistants.files.list", Page[File], ids=ids, query=page_query(limit, order, after, before))


def retrieve_assistant_file(file_id: str, *, assistant_id: str) -> Call[File]:
    """A file of an assistant. Known to the SDKs only."""
    return make("assistants.files.retrieve", File, ids={"assistant_id": assistant_id, "file_id": file_id})


def delete_assistant_file(file_id: str, *, assistant_id: str) -> Call[Deleted]:
    """Detach a file from an assistant. Known to the SDKs only."""
    return make("assistants.files.delete", Deleted, ids={"assistant_id": assistant_id, "file_id": file_id})
