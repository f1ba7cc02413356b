"""The resources of a client but for ``runs``: ``assistants``, ``threads``, ``messages``, ``steps``.

Each method is a function of `calls`, bound once for each client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashnb.client import calls
from dashnb.client.binding import AsyncResource, Resource, apaged, awaited, paged, sent

if TYPE_CHECKING:
    from dashnb.client.client import AsyncClient, Client


class AssistantFiles(Resource):
    """Files attached to assistants. Known to the SDKs only."""

    create = sent(calls.create_assistant_file)
    retrieve = sent(calls.retrieve_assistant_file)
    delete = sent(calls.delete_assistant_file)
    iter = paged(calls.list_assistant_files)
    list = sent(calls.list_assistant_files)


class AsyncAssistantFiles(AsyncResource):
    """Files attached to assistants. Known to the SDKs only."""

    create = awaited(calls.create_assistant_file)
    retrieve = awaited(calls.retrieve_assistant_file)
    delete = awaited(calls.delete_assistant_file)
    iter = apaged(calls.list_assistant_files)
    list = awaited(calls.list_assistant_files)


class Assistants(Resource):
    """Models with instructions and tools."""

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self.files = AssistantFiles(client)

    create = sent(calls.create_assistant)
    retrieve = sent(calls.retrieve_assistant)
    update = sent(calls.update_assistant)
    delete = sent(calls.delete_assistant)
    iter = paged(calls.list_assistants)
    list = sent(calls.list_assistants)


class AsyncAssistants(AsyncResource):
    """Models with instructions and tools."""

    def __init__(self, client: AsyncClient) -> None:
        super().__init__(client)
        self.files = AsyncAssistantFiles(client)

    create = awaited(calls.create_assistant)
    retrieve = awaited(calls.retrieve_assistant)
    update = awaited(calls.update_assistant)
    delete = awaited(calls.delete_assistant)
    iter = apaged(calls.list_assistants)
    list = awaited(calls.list_assistants)


class Threads(Resource):
    """Conversations."""

    create = sent(calls.create_thread)
    retrieve = sent(calls.retrieve_thread)
    update = sent(calls.update_thread)
    delete = sent(calls.delete_thread)


class AsyncThreads(AsyncResource):
    """Conversations."""

    create = awaited(calls.create_thread)
    retrieve = awaited(calls.retrieve_thread)
    update = awaited(calls.update_thread)
    delete = awaited(calls.delete_thread)


class MessageFiles(Resource):
    """Files of messages. Known to the SDKs only."""

    retrieve = sent(calls.retrieve_message_file)
    iter = paged(calls.list_message_files)
    list = sent(calls.list_message_files)


class AsyncMessageFiles(AsyncResource):
    """Files of messages. Known to the SDKs only."""

    retrieve = awaited(calls.retrieve_message_file)
    iter = apaged(calls.list_message_files)
    list = awaited(calls.list_message_files)


class Messages(Resource):
    """The entries of threads."""

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self.files = MessageFiles(client)

    create = sent(calls.create_message)
    retrieve = sent(calls.retrieve_message)
    update = sent(calls.update_message)
    iter = paged(calls.list_messages)
    list = sent(calls.list_messages)


class AsyncMessages(AsyncResource):
    """The entries of threads."""

    def __init__(self, client: AsyncClient) -> None:
        super().__init__(client)
        self.files = AsyncMessageFiles(client)

    create = awaited(calls.create_message)
    retrieve = awaited(calls.retrieve_message)
    update = awaited(calls.update_message)
    iter = apaged(calls.list_messages)
    list = awaited(calls.list_messages)


class Steps(Resource):
    """What runs did, step by step."""

    retrieve = sent(calls.retrieve_step)
    iter = paged(calls.list_steps)
    list = sent(calls.list_steps)


class AsyncSteps(AsyncResource):
    """What runs did, step by step."""

    retrieve = awaited(calls.retrieve_step)
    iter = apaged(calls.list_steps)
    list = awaited(calls.list_steps)
