"""The resources of a client: ``assistants``, ``threads``, ``messages``, ``runs``, ``steps``.

Each method is a function of `calls`, bound twice: `sent` makes it a method that returns the answer,
`awaited` one that returns an awaitable. Both keep the function's signature and docstring.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Generic, ParamSpec, TypeVar

from dashnb.client import calls
from dashnb.client.procedures import following
from dashnb.protocol.objects import Page

if TYPE_CHECKING:
    from dashnb.client.client import AsyncClient, Client

P = ParamSpec("P")
T = TypeVar("T")


class Resource:
    """A group of operations of a client that waits for each answer."""

    def __init__(self, client: Client) -> None:
        self._client = client


class AsyncResource:
    """A group of operations of a client whose answers are awaited."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client


class sent(Generic[P, T]):
    """Binds a function that makes a call as a method that sends it."""

    def __init__(self, build: Callable[P, calls.Call[T]]) -> None:
        self._build = build
        self.__doc__ = build.__doc__

    def __get__(self, resource: Resource, owner: type) -> Callable[P, T]:
        build = self._build

        @functools.wraps(build)
        def send(*args: P.args, **kwargs: P.kwargs) -> T:
            return resource._client.send(build(*args, **kwargs))

        return send


class awaited(Generic[P, T]):
    """Binds a function that makes a call as a method that sends it and is awaited."""

    def __init__(self, build: Callable[P, calls.Call[T]]) -> None:
        self._build = build
        self.__doc__ = build.__doc__

    def __get__(self, resource: AsyncResource, owner: type) -> Callable[P, Awaitable[T]]:
        build = self._build

        @functools.wraps(build)
        async def send(*args: P.args, **kwargs: P.kwargs) -> T:
            return await resource._client.send(build(*args, **kwargs))

        return send


class paged(Generic[P, T]):
    """Binds a function that lists as a method that walks through all pages."""

    def __init__(self, build: Callable[P, calls.Call[Page[T]]]) -> None:
        self._build = build
        self.__doc__ = "All entries, page by page as they are needed. The arguments are those of ``list``."

    def __get__(self, resource: Resource, owner: type) -> Callable[P, Iterator[T]]:
        build = self._build

        @functools.wraps(build)
        def walk(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
            call: calls.Call[Page[T]] | None = build(*args, **kwargs)
            while call is not None:
                page = resource._client.send(call)
                yield from page.data
                call = following(call, page)

        walk.__doc__ = self.__doc__
        return walk


class apaged(Generic[P, T]):
    """Binds a function that lists as a method that walks through all pages with ``async for``."""

    def __init__(self, build: Callable[P, calls.Call[Page[T]]]) -> None:
        self._build = build
        self.__doc__ = "All entries, page by page as they are needed. The arguments are those of ``list``."

    def __get__(self, resource: AsyncResource, owner: type) -> Callable[P, AsyncIterator[T]]:
        build = self._build

        @functools.wraps(build)
        async def walk(*args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
            call: calls.Call[Page[T]] | None = build(*args, **kwargs)
            while call is not None:
                page = await resource._client.send(call)
                for entry in page.data:
                    yield entry
                call = following(call, page)

        walk.__doc__ = self.__doc__
        return walk


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
