"""JSON that somebody else wrote: a model, a server, a file. Whatever is wrong with it is one kind of error."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any


def read_json(
    text: str | bytes, *, strict: bool = True, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None
) -> Any:
    """The value of a JSON text.

    >>> read_json('{"a": 1}')
    {'a': 1}
    >>> read_json("[" * 100_000)
    Traceback (most recent call last):
    ValueError: it is nested too deeply

    Args:
        text: The text, or its bytes.
        strict: False to take line ends and other control characters within strings.
        pairs: What makes an object of its names and values; a dict if left out.

    Raises:
        ValueError: It is no JSON, or nested more deeply than can be read.
    """
    try:
        return json.loads(text, strict=strict, object_pairs_hook=pairs)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
