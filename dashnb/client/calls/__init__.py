"""Every operation as a function from arguments to a `Call`: what to send and what comes back. Pure.

`Client` and `AsyncClient` both bind these functions, so that the two cannot drift apart. An argument
that is left out (None) is not sent. ``extra_body`` adds fields that this version does not know.

Sources: the reference pages of Assistants, Threads, Messages, Runs and Run Steps.
"""

from __future__ import annotations

from dashnb.client.calls.assistants import (
    create_assistant,
    create_assistant_file,
    delete_assistant,
    delete_assistant_file,
    list_assistant_files,
    list_assistants,
    retrieve_assistant,
    retrieve_assistant_file,
    update_assistant,
)
from dashnb.client.calls.call import Call, Json, Tools
from dashnb.client.calls.messages import (
    create_message,
    list_message_files,
    list_messages,
    retrieve_message,
    retrieve_message_file,
    update_message,
)
from dashnb.client.calls.runs import (
    cancel_run,
    create_run,
    create_thread_and_run,
    join_run,
    list_runs,
    retrieve_run,
    streamed,
    submit_tool_outputs,
    update_run,
)
from dashnb.client.calls.steps import (
    list_steps,
    retrieve_step,
)
from dashnb.client.calls.threads import (
    create_thread,
    delete_thread,
    retrieve_thread,
    update_thread,
)

__all__ = [
    "Call",
    "Json",
    "Tools",
    "cancel_run",
    "create_assistant",
    "create_assistant_file",
    "create_message",
    "create_run",
    "create_thread",
    "create_thread_and_run",
    "delete_assistant",
    "delete_assistant_file",
    "delete_thread",
    "join_run",
    "list_assistant_files",
    "list_assistants",
    "list_message_files",
    "list_messages",
    "list_runs",
    "list_steps",
    "retrieve_assistant",
    "retrieve_assistant_file",
    "retrieve_message",
    "retrieve_message_file",
    "retrieve_run",
    "retrieve_step",
    "retrieve_thread",
    "streamed",
    "submit_tool_outputs",
    "update_assistant",
    "update_message",
    "update_run",
    "update_thread",
]
