"""One form for what the wire spells in several ways.

Endpoints write the same state as ``null``, ``{}``, ``[]``, ``""``, ``0``, ``-1`` or not at all, times
in seconds or milliseconds, and content as a text, a part or a list of parts. In an object

* a time is milliseconds since 1970, or None for "not happened",
* a text is a string, never None; a map is a dict; a list is a list,
* a number or a switch is None if it was left empty,
* the output of a tool is a text, a list or None; an error is None unless it has a code.

Source: the examples of the Assistants, Threads, Messages, Runs and Run Steps references, compared.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator

# As seconds it is the year 5138, as milliseconds March 1973: no time of the service is near it.
_SECONDS_BELOW = 10**11


def milliseconds(value: Any) -> Any:
    """A time in milliseconds, or None.

    >>> milliseconds(1714448101), milliseconds(1714448101977), milliseconds(-1)
    (1714448101000, 1714448101977, None)
    """
    if not value:
        return None
    try:
        number = int(value)
    except (TypeError, OverflowError) as error:
        raise ValueError("a time is a number") from error
    if number <= 0:
        return None
    return number * 1000 if number < _SECONDS_BELOW else number


def scalar(value: Any) -> Any:
    """A number or a switch, or None if it was left empty. Printed examples show the word None for null."""
    return None if value in ("", "None", {}, []) else value


def listed(value: Any) -> Any:
    """A list, from a list, a single entry or nothing."""
    if not value:
        return []
    return value if isinstance(value, list) else [value]


def parts(value: Any) -> Any:
    """The parts of a message, from a text, a part or a list of parts."""
    return [{"type": "text", "text": {"value": value}}] if isinstance(value, str) and value else listed(value)


def failure(value: Any) -> Any:
    """An error, or None if it has no code; a bare text is both code and message."""
    if isinstance(value, str):
        return {"code": value, "message": value} if value else None
    if isinstance(value, dict) and not value.get("code"):
        return None
    return value or None


def output(value: Any) -> Any:
    """The output of a tool: a text or a list as it is, None for nothing, JSON text for any other value."""
    if value is None or value == {}:
        return None
    return value if isinstance(value, str | list) else json.dumps(value, ensure_ascii=False)


T = TypeVar("T")
Milliseconds = Annotated[int | None, BeforeValidator(milliseconds)]
Text = Annotated[str, BeforeValidator(lambda value: value or "")]
Real = Annotated[float | None, BeforeValidator(scalar)]
Whole = Annotated[int | None, BeforeValidator(scalar)]
Switch = Annotated[bool | None, BeforeValidator(scalar)]
Flag = Annotated[bool, BeforeValidator(lambda value: value or False)]
Output = Annotated[str | list[Any] | None, BeforeValidator(output)]
Listed = Annotated[list[T], BeforeValidator(listed)]
OrEmpty = Annotated[T, BeforeValidator(lambda value: value or {})]
OrNone = Annotated[T | None, BeforeValidator(lambda value: value or None)]
Map = OrEmpty[dict[str, Any]]
