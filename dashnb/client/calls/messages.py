"""Messages and their files as calls."""

from __future__ import annotations

from collections.abc import Sequence

from dashnb.client.calls.call import Call, Json, make, page_query
from dashnb.protocol.objects import File, Message, Page


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
    return make("messages.create", Message, ids={"thread_id": thread_id}, body=body, extra=extra_body)


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
    return make("messages.list", Page[Message], ids=ids, query=page_query(limit, order, after, before))


def retrieve_message(message_id: str, *, thread_id: str) -> Call[Message]:
    """The message with this id."""
    return make("messages.retrieve", Message, ids={"thread_id": thread_id, "message_id": message_id})


def update_message(message_id: str, *, thread_id: str, metadata: Json, extra_body: Json | None = None) -> Call[Message]:
    """Set the metadata of a message."""
    ids = {"thread_id": thread_id, "message_id": message_id}
    return make("messages.update", Message, ids=ids, body={"metadata": metadata}, extra=extra_body)


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
    return make("messages.files.list", Page[File], ids=ids, query=page_query(limit, order, after, before))


def retrieve_message_file(file_id: str, *, thread_id: str, message_id: str) -> Call[File]:
    """A file of a message. Known to the SDKs only."""
    ids = {"thread_id": thread_id, "message_id": message_id, "file_id": file_id}
    return make("messages.files.retrieve", File, ids=ids)
