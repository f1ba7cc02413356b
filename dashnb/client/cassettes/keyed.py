"""The keys of requests in a cassette: random where a session makes them, numbers in the file. Pure.

A recording says the same each time, and a replay tells the keys of the session that asks, which so finds its
runs as it found them when they were recorded.
"""

from __future__ import annotations

from typing import Any

from dashnb.protocol.requests import REQUEST_KEY


def key_of(body: Any) -> str:
    """The key in the body of a request, ``""`` if it has none.

    >>> key_of({"content": "Hi", "metadata": {"dashnb_request": "k1"}}), key_of(None)
    ('k1', '')
    """
    metadata = body.get("metadata") if isinstance(body, dict) else None
    key = metadata.get(REQUEST_KEY) if isinstance(metadata, dict) else None
    return key if isinstance(key, str) else ""


def without_key(body: Any) -> Any:
    """The body of a request without its key, which is another one each time.

    >>> without_key({"content": "Hi", "metadata": {"dashnb_request": "k1"}})
    {'content': 'Hi'}
    """
    if not key_of(body):
        return body
    metadata = {name: value for name, value in body["metadata"].items() if name != REQUEST_KEY}
    rest = {name: value for name, value in body.items() if name != "metadata"}
    return {**rest, "metadata": metadata} if metadata else rest


# Shorter ones were not made by chance, and might stand for something else.
SHORTEST = 16


class Keys:
    """What stands in place of which key.

    >>> keys = Keys()
    >>> keys.number("5f0c5f0c5f0c5f0c")
    >>> keys.put(b'{"dashnb_request": "5f0c5f0c5f0c5f0c"}')
    b'{"dashnb_request": "0000000000000001"}'
    """

    def __init__(self) -> None:
        self._instead: dict[bytes, bytes] = {}

    def number(self, key: str) -> None:
        """Let a number of the same length stand in place of a key."""
        if key.encode() not in self._instead:
            self.give(key, str(len(self._instead) + 1).rjust(len(key), "0"))

    def give(self, key: str, other: str) -> None:
        """Let another key stand in place of one."""
        if len(key) >= SHORTEST and other:
            self._instead[key.encode()] = other.encode()

    def put(self, content: bytes) -> bytes:
        """Content with what stands in place of the keys in it."""
        if not self._instead:
            return content
        first, *inside = content.split(b'"')
        if not inside:
            return content
        *inside, last = inside
        return b'"'.join((first, *(self._instead.get(part, part) for part in inside), last))
