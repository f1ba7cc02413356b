"""From records to objects as they travel: which fields an endpoint shows, and how it spells "nothing".

The documented answers differ by endpoint, and clients have come to rely on it: streams say ``null``
where answers of the runs endpoints say ``{}`` and ``0``, and the list of steps says ``-1``.

Sources: the examples of the Assistants, Threads, Messages, Runs and Run Steps references.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dashnb.local.store import Record

Wire = dict[str, Any]
View = Callable[[Record], Wire]


def assistant(record: Record) -> Wire:
    """An assistant, as every endpoint shows it."""
    return {
        "id": record["id"],
        "object": "assistant",
        "created_at": record["created_at"],
        "model": record["model"],
        "name": record.get("name") or "",
        "description": record.get("description") or "",
        "instructions": record.get("instructions") or "",
        "tools": record.get("tools") or [],
        "file_ids": record.get("file_ids") or [],
        "metadata": record["metadata"],
        **{name: record.get(name) for name in ("temperature", "top_p", "top_k", "max_tokens")},
    }


def assistant_file(record: Record) -> Wire:
    """A file attached to an assistant."""
    return {
        "id": record["file_id"],
        "object": "assistant.file",
        "created_at": record["created_at"],
        "assistant_id": record["assistant_id"],
    }


def thread(record: Record) -> Wire:
    """A thread."""
    return {
        "id": record["id"],
        "object": "thread",
        "created_at": record["created_at"],
        "metadata": record["metadata"],
    }


def message(record: Record) -> Wire:
    """A message, as the messages endpoints answer."""
    return {
        **streamed_message(record),
        "incomplete_details": record.get("incomplete_details") or {},
        "name": "",
        "plugin_call": {},
        "tool_calls": [],
        "status": "",
    }


def streamed_message(record: Record) -> Wire:
    """A message, as the events of a stream carry it."""
    return {
        "id": record["id"],
        "object": "thread.message",
        "created_at": record["created_at"],
        "thread_id": record["thread_id"],
        "incomplete_details": record.get("incomplete_details"),
        "completed_at": record.get("completed_at"),
        "incomplete_at": record.get("incomplete_at"),
        "role": record["role"],
        "content": [{"type": "text", "text": {"value": record["text"], "annotations": []}}] if record["text"] else [],
        "assistant_id": record.get("assistant_id") or "",
        "run_id": record.get("run_id") or "",
        "file_ids": record.get("file_ids") or [],
        "metadata": record["metadata"],
    }


def message_file(record: Record, file_id: str) -> Wire:
    """A file of a message."""
    return {
        "id": file_id,
        "object": "thread.message.file",
        "created_at": record["created_at"],
        "message_id": record["id"],
    }


_RUN_TIMES = ("expires_at", "started_at", "cancelled_at", "failed_at", "completed_at")


def created_run(record: Record) -> Wire:
    """A run, as "create a run" answers: fewer fields, and always ``in_progress``."""
    return {
        "id": record["id"],
        "object": "thread.run",
        "created_at": record["created_at"],
        "thread_id": record["thread_id"],
        "assistant_id": record["assistant_id"],
        "status": "in_progress",
        "model": record["model"],
        "instructions": record["instructions"],
        "tools": record["tools"],
        "metadata": record["metadata"],
    }


def run(record: Record) -> Wire:
    """A run, as retrieve, list, update and cancel answer. Times are 0, as one SDK reads 32 bits there."""
    return {
        **created_run(record),
        "status": record["status"],
        "required_action": record.get("required_action") or {},
        "last_error": record.get("last_error") or {},
        **dict.fromkeys(_RUN_TIMES, 0),
        "usage": record.get("usage"),
    }


def submitted_run(record: Record, required_action: Wire) -> Wire:
    """A run, as "submit tool outputs" answers: already going on, the old ``required_action`` still there."""
    return {**run(record), "status": "in_progress", "required_action": required_action, "usage": None}


def streamed_run(record: Record) -> Wire:
    """A run, as the events of a stream carry it, its fields in the documented order: programs print it."""
    return {
        "id": record["id"],
        "object": "thread.run",
        "created_at": record["created_at"],
        "thread_id": record["thread_id"],
        "assistant_id": record["assistant_id"],
        "status": record["status"],
        "required_action": record.get("required_action"),
        "last_error": record.get("last_error"),
        **dict.fromkeys(_RUN_TIMES, None),
        "model": record["model"],
        "instructions": record["instructions"],
        "tools": record["tools"],
        "file_ids": [],
        "metadata": record["metadata"],
        "usage": record.get("usage"),
        **{name: record.get(name) for name in ("temperature", "top_p", "top_k", "max_tokens", "truncation_strategy")},
    }


def step(record: Record) -> Wire:
    """A step, as "retrieve a step" and the events of a stream show it."""
    return {
        "id": record["id"],
        "object": "thread.run.step",
        "created_at": record["created_at"],
        "assistant_id": record["assistant_id"],
        "thread_id": record["thread_id"],
        "run_id": record["run_id"],
        "type": record["type"],
        "status": record["status"],
        "step_details": record["step_details"],
        "last_error": record.get("last_error"),
        **{name: record.get(name) for name in ("expired_at", "cancelled_at", "failed_at", "completed_at")},
        "metadata": record["metadata"],
        "usage": None,
    }


def listed_step(record: Record) -> Wire:
    """A step, as "list run steps" shows it."""
    shown = step(record)
    del shown["expired_at"]
    return {
        **shown,
        "last_error": record.get("last_error") or {"code": "", "message": ""},
        "expires_at": 0,
        "started_at": 0,
        **{name: record.get(name) or -1 for name in ("cancelled_at", "failed_at", "completed_at")},
        "usage": {},
    }


def page(view: View, records: Sequence[Record], has_more: bool) -> Wire:
    """One page of a list; its entries have no ``request_id`` of their own."""
    data = [view(record) for record in records]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else "",
        "last_id": data[-1]["id"] if data else "",
        "has_more": has_more,
    }


def deleted(kind: str, object_id: str) -> Wire:
    """The answer to a delete."""
    return {"id": object_id, "object": f"{kind}.deleted", "deleted": True}
