"""Threads as calls."""

from __future__ import annotations

from collections.abc import Iterable

from dashnb.client.calls.call import Call, Json, dict_list, make
from dashnb.protocol.objects import Deleted, Thread


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
    body = {"messages": None if messages is None else dict_list("messages", messages), "metadata": metadata}
    return make("threads.create", Thread, body=body, extra=extra_body)


def retrieve_thread(thread_id: str) -> Call[Thread]:
    """The thread with this id."""
    return make("threads.retrieve", Thread, ids={"thread_id": thread_id})


def update_thread(thread_id: str, *, metadata: Json, extra_body: Json | None = None) -> Call[Thread]:
    """Set the metadata of a thread."""
    ids = {"thread_id": thread_id}
    return make("threads.update", Thread, ids=ids, body={"metadata": metadata}, extra=extra_body)


def delete_thread(thread_id: str) -> Call[Deleted]:
    """Delete a thread with its messages, runs and steps."""
    return make("threads.delete", Deleted, ids={"thread_id": thread_id})
