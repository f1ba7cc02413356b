"""The operations of the Assistant API: one table, called by the client and answered by the embedded API.

An operation's name is also its place on a client: ``runs.create`` is ``client.runs.create``.

Sources: the reference pages of Assistants, Threads, Messages, Runs and Run Steps. The operations on
files and ``runs.cancel`` are in the SDKs only. `JOIN` is the embedded API's own, and so not in the table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from dashnb.protocol import objects, requests


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the table.

    Attributes:
        name: Resource and verb, such as ``runs.create``.
        method: ``GET``, ``POST`` or ``DELETE``.
        path: Path below the base URL, with ``{name}`` for each id.
        answer: The class of the answer; for a list, of its entries.
        body: The class of the body, or None.
        is_list: True if the answer is a page of ``answer`` objects, reached with a `requests.ListQuery`.
        streams: True if ``stream: true`` in the body turns the answer into events.
        documented: False for what only the SDKs know; a service may answer 404.
    """

    name: str
    method: str
    path: str
    answer: type[objects.WireObject]
    body: type[BaseModel] | None = None
    is_list: bool = False
    streams: bool = False
    documented: bool = True

    @property
    def ids(self) -> tuple[str, ...]:
        """The names of the ids in the path, in order.

        >>> OPERATIONS["steps.retrieve"].ids
        ('thread_id', 'run_id', 'step_id')
        """
        return tuple(re.findall(r"{(\w+)}", self.path))

    @property
    def is_read(self) -> bool:
        """True if the operation changes nothing, so that it may be sent again."""
        return self.method == "GET"


_ASSISTANT = "/assistants/{assistant_id}"
_THREAD = "/threads/{thread_id}"
_MESSAGE = "/threads/{thread_id}/messages/{message_id}"
_RUN = "/threads/{thread_id}/runs/{run_id}"


def _rows() -> list[Operation]:
    def row(name: str, method: str, path: str, answer: type[objects.WireObject], **more: Any) -> Operation:
        return Operation(name, method, path, answer, **more)

    return [
        row("assistants.create", "POST", "/assistants", objects.Assistant, body=requests.AssistantCreate),
        row("assistants.list", "GET", "/assistants", objects.Assistant, is_list=True),
        row("assistants.retrieve", "GET", _ASSISTANT, objects.Assistant),
        row("assistants.update", "POST", _ASSISTANT, objects.Assistant, body=requests.AssistantUpdate),
        row("assistants.delete", "DELETE", _ASSISTANT, objects.Deleted),
        row("threads.create", "POST", "/threads", objects.Thread, body=requests.ThreadCreate),
        # Before any path with {thread_id}: "runs" is not the id of a thread.
        row(
            "runs.create_thread_and_run",
            "POST",
            "/threads/runs",
            objects.Run,
            body=requests.ThreadRunCreate,
            streams=True,
        ),
        row("threads.retrieve", "GET", _THREAD, objects.Thread),
        row("threads.update", "POST", _THREAD, objects.Thread, body=requests.MetadataUpdate),
        row("threads.delete", "DELETE", _THREAD, objects.Deleted),
        row("messages.create", "POST", f"{_THREAD}/messages", objects.Message, body=requests.MessageCreate),
        row("messages.list", "GET", f"{_THREAD}/messages", objects.Message, is_list=True),
        row("messages.retrieve", "GET", _MESSAGE, objects.Message),
        row("messages.update", "POST", _MESSAGE, objects.Message, body=requests.MetadataUpdate),
        row("runs.create", "POST", f"{_THREAD}/runs", objects.Run, body=requests.RunCreate, streams=True),
        row("runs.list", "GET", f"{_THREAD}/runs", objects.Run, is_list=True),
        row("runs.retrieve", "GET", _RUN, objects.Run),
        row("runs.update", "POST", _RUN, objects.Run, body=requests.MetadataUpdate),
        row(
            "runs.submit_tool_outputs",
            "POST",
            f"{_RUN}/submit_tool_outputs",
            objects.Run,
            body=requests.ToolOutputs,
            streams=True,
        ),
        row("runs.cancel", "POST", f"{_RUN}/cancel", objects.Run, documented=False),
        row("steps.list", "GET", f"{_RUN}/steps", objects.RunStep, is_list=True),
        row("steps.retrieve", "GET", f"{_RUN}/steps/{{step_id}}", objects.RunStep),
        row(
            "assistants.files.create",
            "POST",
            f"{_ASSISTANT}/files",
            objects.File,
            body=requests.FileAttach,
            documented=False,
        ),
        row("assistants.files.list", "GET", f"{_ASSISTANT}/files", objects.File, is_list=True, documented=False),
        row("assistants.files.retrieve", "GET", f"{_ASSISTANT}/files/{{file_id}}", objects.File, documented=False),
        row("assistants.files.delete", "DELETE", f"{_ASSISTANT}/files/{{file_id}}", objects.Deleted, documented=False),
        row("messages.files.list", "GET", f"{_MESSAGE}/files", objects.File, is_list=True, documented=False),
        row("messages.files.retrieve", "GET", f"{_MESSAGE}/files/{{file_id}}", objects.File, documented=False),
    ]


OPERATIONS: dict[str, Operation] = {operation.name: operation for operation in _rows()}

# The events of a run that is under way, or over. The cloud service has nothing of the kind, and answers 404.
JOIN = Operation("runs.join", "GET", f"{_RUN}/stream", objects.Run, documented=False)
# Says in every answer of the embedded API who answers; the cloud service does not send it.
ENGINE_HEADER = "x-dashnb-engine"
