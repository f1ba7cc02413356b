"""One request, and how it is put together from what was given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar
from urllib.parse import quote

from dashnb.errors import InvalidArgument
from dashnb.protocol.objects import Tool
from dashnb.protocol.operations import OPERATIONS, Operation

T = TypeVar("T")
Json = Mapping[str, object]
Tools = Iterable[Json | Tool]


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request: an operation with its ids, query and body, and the class of its answer.

    With ``seconds`` it is sent once and has that long for an answer; else it takes the client's own time and tries.

    >>> from dashnb.client.calls import retrieve_run
    >>> call = retrieve_run("run_1", thread_id="thread_1")
    >>> call.operation.method, call.path
    ('GET', '/threads/thread_1/runs/run_1')
    """

    operation: Operation
    answer: type[T]
    ids: Json = field(default_factory=dict)
    query: Json = field(default_factory=dict)
    body: Json | None = None
    seconds: float | None = None

    @property
    def path(self) -> str:
        """The path below the base URL, ids quoted."""
        return self.operation.path.format(**{name: quote(str(value), safe="") for name, value in self.ids.items()})

    def within(self, seconds: float) -> Call[T]:
        """The same call, for somebody who does not wait long."""
        return replace(self, seconds=seconds)

    def at(self, cursor: str, entry_id: str) -> Call[T]:
        """The same list ``after`` or ``before`` an entry."""
        return replace(self, query={**self.query, cursor: entry_id})


def make(
    name: str | Operation,
    answer: type[T],
    *,
    ids: Json | None = None,
    query: Json | None = None,
    body: Json | None = None,
    extra: Json | None = None,
) -> Call[T]:
    for key, value in (ids or {}).items():
        # "." and ".." would be taken for parts of the path, quoted or not, and name another object.
        if not isinstance(value, str) or value.strip() in ("", ".", ".."):
            raise InvalidArgument(f"{key} must be the id of an object as text, got {value!r}.")
    fields = None if body is None else {**given(body), **(extra or {})}
    operation = name if isinstance(name, Operation) else OPERATIONS[name]
    return Call(operation, answer, ids or {}, given(query or {}), fields)


def given(fields: Json) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}


def tool_list(tools: Tools | None) -> list[object] | None:
    if tools is None:
        return None
    return dict_list("tools", (tool.to_dict() if isinstance(tool, Tool) else tool for tool in tools))


def dict_list(name: str, entries: Iterable[Json]) -> list[object]:
    listed = list(entries)
    for entry in listed:
        if not isinstance(entry, Mapping):
            raise InvalidArgument(f"{name} must be a list of dicts, got {type(entry).__name__} in it.")
    return [dict(entry) for entry in listed]


def page_query(limit: int | None, order: str | None, after: str | None, before: str | None) -> Json:
    return {"limit": limit, "order": order, "after": after, "before": before}
