"""A key on its way out: written into the header of a request last of all, and shown by nothing before."""

from __future__ import annotations

from collections.abc import Generator

import httpx

from dashnb.credentials import MASK
from dashnb.keys import Secret


class Bearer(httpx.Auth):
    """Sends a key as ``Authorization: Bearer …``.

    >>> client = httpx.Client(auth=Bearer(Secret("sk-canary")))
    >>> "authorization" in client.headers
    False

    Args:
        key: The key.
    """

    def __init__(self, key: Secret) -> None:
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """The request with the header."""
        # Bytes are kept as they are, down to where they are written.
        request.headers.update({b"Authorization": _Hidden(b"Bearer " + self._key.reveal().encode("ascii"))})
        yield request

    def __repr__(self) -> str:
        return f"Bearer({MASK!r})"


class _Hidden(bytes):
    """Bytes that are sent as they are and not shown: the frames that send them have lists of headers."""

    def __repr__(self) -> str:
        return repr(MASK.encode())

    __str__ = __repr__
