"""How a function that makes a call becomes a method of a client.

Each class here is a descriptor: on a resource it hands out a method with the function's arguments and
docstring that sends the call (`sent`, `awaited`), walks through all pages (`paged`, `apaged`), or opens
a stream (`opened`, `aopened`). The names with an ``a`` are for the awaited client.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from dashnb.client.calls import Call, streamed
from dashnb.client.procedures import following
from dashnb.protocol.objects import Page, Run

if TYPE_CHECKING:
    from dashnb.client.client import AsyncClient, Client
    from dashnb.client.stream import AsyncRunStream, RunStream

P = ParamSpec("P")
T = TypeVar("T")
Method = TypeVar("Method", bound=Callable[..., Any])

_WALK = "All entries, page by page as they are needed. The arguments are those of ``list``."
_STREAM = "The events of a new run as they arrive: iterate over it, inside ``with``; ``.state`` is their sum."


class Resource:
    """A group of operations of a client that waits for each answer."""

    def __init__(self, client: Client) -> None:
        self._client = client


class AsyncResource:
    """A group of operations of a client whose answers are awaited."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client


class _Bound(Generic[P, T]):
    """What all bindings have: the function, and what help shows of the method.

    Attributes:
        returns: What the method returns, with ``{}`` for the answer and ``{entry}`` for the entries of a list.
        summary: The first line of the docstring, if not the function's own.
    """

    returns = "{}"
    summary = ""

    def __init__(self, build: Callable[P, Call[T]]) -> None:
        self._build = build
        signature = inspect.signature(build)
        answer = str(signature.return_annotation).removeprefix("Call[").removesuffix("]")
        entry = answer.removeprefix("Page[").removesuffix("]")
        self._signature = signature.replace(return_annotation=self.returns.format(answer, entry=entry))
        own_summary, _, details = (build.__doc__ or "").partition("\n")
        self.__doc__ = f"{self.summary or own_summary}\n{details}" if details else self.summary or own_summary

    def _dress(self, method: Method) -> Method:
        functools.update_wrapper(method, self._build)
        method.__doc__ = self.__doc__
        method.__signature__ = self._signature  # type: ignore[attr-defined]  # what help shows
        return method


class sent(_Bound[P, T]):
    """A method that returns the answer."""

    def __get__(self, resource: Resource, owner: type) -> Callable[P, T]:
        def send(*args: P.args, **kwargs: P.kwargs) -> T:
            return resource._client.send(self._build(*args, **kwargs))

        return self._dress(send)


class awaited(_Bound[P, T]):
    """A method that is awaited for the answer."""

    def __get__(self, resource: AsyncResource, owner: type) -> Callable[P, Awaitable[T]]:
        async def send(*args: P.args, **kwargs: P.kwargs) -> T:
            return await resource._client.send(self._build(*args, **kwargs))

        return self._dress(send)


class paged(_Bound[P, Page[T]]):
    """A method that walks through all pages of a list."""

    returns = "Iterator[{entry}]"
    summary = _WALK

    def __get__(self, resource: Resource, owner: type) -> Callable[P, Iterator[T]]:
        def walk(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
            call: Call[Page[T]] | None = self._build(*args, **kwargs)
            while call is not None:
                page = resource._client.send(call)
                yield from page.data
                call = following(call, page)

        return self._dress(walk)


class apaged(_Bound[P, Page[T]]):
    """A method that walks through all pages of a list with ``async for``."""

    returns = "AsyncIterator[{entry}]"
    summary = _WALK

    def __get__(self, resource: AsyncResource, owner: type) -> Callable[P, AsyncIterator[T]]:
        async def walk(*args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
            call: Call[Page[T]] | None = self._build(*args, **kwargs)
            while call is not None:
                page = await resource._client.send(call)
                for entry in page.data:
                    yield entry
                call = following(call, page)

        return self._dress(walk)


class opened(_Bound[P, Run]):
    """A method that makes a run and streams it."""

    returns = "RunStream"
    summary = _STREAM

    def __get__(self, resource: Resource, owner: type) -> Callable[P, RunStream]:
        def open_stream(*args: P.args, **kwargs: P.kwargs) -> RunStream:
            return resource._client.open(streamed(self._build(*args, **kwargs)))

        return self._dress(open_stream)


class aopened(_Bound[P, Run]):
    """A method that makes a run and streams it with ``async for``."""

    returns = "AsyncRunStream"
    summary = _STREAM

    def __get__(self, resource: AsyncResource, owner: type) -> Callable[P, AsyncRunStream]:
        def open_stream(*args: P.args, **kwargs: P.kwargs) -> AsyncRunStream:
            return resource._client.open(streamed(self._build(*args, **kwargs)))

        return self._dress(open_stream)
