"""The JSON of requests, read and measured before anything uses it, and that of answers.

Large ones take a while. They are read and written beside the event loop, and by Python rather than C code,
which would keep the other threads of the process, and with them the loop, waiting until it is done.
"""

from __future__ import annotations

import gc
import json
import json.scanner
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dashnb.errors import APIError, api_error

# Deeper than any tool's schema; what is kept and sent again bears a little more than twice that.
MOST_DEPTH = 100
# More than messages of 8 MB have.
MOST_VALUES = 1_000_000
# What C code reads within a few milliseconds.
SMALL_BYTES = 64 * 2**10


def read_json(content: bytes) -> Any:
    """The value of a body; ``{}`` for an empty one.

    >>> read_json(b'{"model": "qwen-max"}')
    {'model': 'qwen-max'}

    Raises:
        BadRequestError: It is not JSON, is nested more deeply than `MOST_DEPTH`, or has more than `MOST_VALUES`.
    """
    if not content.strip():
        return {}
    decoder = _Patient if len(content) > SMALL_BYTES else json.JSONDecoder
    try:
        value = json.loads(content, cls=decoder, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        raise _refused(f"The body is not JSON: {error}") from None
    _measure(value)
    return value


@contextmanager
def undisturbed(content: bytes) -> Iterator[None]:
    """While something is made of a body; if it is large, without the collector of garbage.

    That would look at the many new objects, and at all others, again and again, and keep every thread waiting.
    """
    if len(content) <= SMALL_BYTES or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def json_pieces(value: Any) -> list[bytes]:
    """The compact JSON of a value, in pieces of some size; there is at least one.

    >>> json_pieces({"id": "thread_1"})
    [b'{"id":"thread_1"}']
    """
    pieces, size, pending = [], 0, []
    for text in _WRITER.iterencode(value):
        pending.append(text)
        size += len(text)
        if size >= SMALL_BYTES:
            pieces.append(_bytes(pending))
            pending, size = [], 0
    return [*pieces, _bytes(pending)] if pending else pieces


_WRITER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def _bytes(texts: list[str]) -> bytes:
    # Half a surrogate pair, which JSON can spell and UTF-8 cannot carry, must not cost the answer.
    return "".join(texts).encode(errors="replace")


class _Patient(json.JSONDecoder):
    """A decoder that lets other threads work while it reads."""

    def __init__(self, **hooks: Callable[[str], Any] | None) -> None:
        # An object of many names is made by Python code as well.
        super().__init__(object_pairs_hook=_object, **hooks)  # type: ignore[arg-type] # each hook takes what it is given
        self.scan_once = json.scanner.py_make_scanner(self)  # type: ignore[attr-defined] # not in the stubs


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in pairs}  # noqa: C416 # `dict` is C code


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is not a number that JSON can carry")
    return value


def _measure(value: Any) -> None:
    """Refuse a value with too many levels or parts, level by level as recursion has a limit of its own."""
    level, count = [value], 0
    for _ in range(MOST_DEPTH):
        parts = [part for whole in level for part in _parts(whole)]
        count += len(parts)
        if count > MOST_VALUES:
            raise _refused(f"The body has more than {MOST_VALUES} values.")
        level = [part for part in parts if isinstance(part, (dict, list))]
        if not level:
            return
    raise _refused(f"The body is nested more than {MOST_DEPTH} levels deep.")


def _parts(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _refused(message: str) -> APIError:
    return api_error(400, code="InvalidParameter", message=message)
