"""JSON that somebody else wrote: a model, a server, a file. Whatever is wrong with it is one kind of error."""

from __future__ import annotations

import json
from typing import Any


def read_json(text: str | bytes, *, strict: bool = True) -> Any:
    """The value of a JSON text.

    >>> read_json('{"a": 1}')
    {'a': 1}
    >>> read_json("[" * 100_000)
    Traceback (most recent call last):
    ValueError: it is nested too deeply

    Args:
        text: The text, or its bytes.
        strict: False to take line ends and other control characters within strings.

    Raises:
        ValueError: It is no JSON, or nested more deeply than can be read.
    """
    try:
        return json.loads(text, strict=strict)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
