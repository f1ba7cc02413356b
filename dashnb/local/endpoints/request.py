"""A request that has been read and checked, and what may be answered to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from dashnb.errors import APIError, api_error
from dashnb.local import wire
from dashnb.protocol.requests import ListQuery


@dataclass(frozen=True, slots=True)
class Follow:
    """An answer that is a stream: the events of a run behind a position."""

    run_id: str
    after: int = 0


Answer = wire.Wire | Follow


@dataclass(frozen=True, slots=True)
class Request:
    """A request that has been read and checked.

    Attributes:
        ids: The ids of the path.
        body: The checked body; an instance of the operation's body class, if it has one.
        query: The checked query of a list.
        request_id: What every object of the answer carries.
        on_loop: Has a function called on the event loop that the request came in on.
    """

    ids: dict[str, str]
    body: Any
    query: ListQuery
    request_id: str
    on_loop: Callable[[Callable[[], object]], object] = field(default=lambda function: function())


def sent_fields(body: BaseModel) -> dict[str, Any]:
    """The fields that were sent, null counting as not sent; what is inside them stays as it is."""
    # What came as JSON is JSON; made so once more, half a surrogate pair in a name would end it.
    sent = body.model_dump(exclude_unset=True)
    return {name: value for name, value in sent.items() if value is not None}


def not_found(kind: str, object_id: str) -> APIError:
    """The error for an object that is not there."""
    return api_error(404, code="NotFound", message=f"Not found! There is no {kind.replace('_', ' ')} {object_id}.")


def invalid(message: str) -> APIError:
    """The error for a request that cannot be meant."""
    return api_error(400, code="InvalidParameter", message=message)
