"""What stands between a port and the embedded API: whom it lets in, how much, how long, and how many at once.

A web page can make a browser send requests to this machine, under a name that its owner points here
(DNS rebinding): the Host header then names that page's host, and the request is refused. No header
lets pages of other origins read answers.
"""

from __future__ import annotations

import asyncio
import ipaddress
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashnb.errors import APIError, api_error

# A class of 40, each with several notebooks and streams, and less than what a process may usually open.
REQUESTS = 500
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a server takes on.

    Attributes:
        body_bytes: Size of a request's body; beyond it the answer is 413.
        body_seconds: Time for a body to arrive; beyond it the answer is 408.
        header_bytes: Size of a request's headers; beyond it the answer is 431.
        header_seconds: Time for a request's headers, from their first byte or from the connection's beginning;
            beyond it the connection is closed.
        requests: Requests that are answered at the same time, streams included; beyond them the answer is 503.
        grace_seconds: Time for streams to end by themselves when the server is stopped.
    """

    body_bytes: int = 8 * 2**20
    body_seconds: float = 30.0
    header_bytes: int = 32 * 2**10
    header_seconds: float = 30.0
    requests: int = REQUESTS
    grace_seconds: float = 2.0


def new_request_id() -> str:
    """A request id in the form of the service."""
    return str(uuid.uuid4())


def refusal(error: APIError, request_id: str) -> dict[str, str]:
    """The body of an error answer."""
    return {"code": error.code, "message": error.message, "request_id": request_id}


def host_of(header: str) -> str:
    """The name in a Host header, without its port.

    >>> host_of("LOCALHOST:8765"), host_of("[::1]:8765"), host_of("127.0.0.1")
    ('localhost', '::1', '127.0.0.1')
    """
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].rstrip(".").lower()


class Guard:
    """An ASGI app that lets through what may reach another one.

    Args:
        app: The other one.
        names: The names and addresses that a Host header may have, besides those of the loopback.
        any_address: Whether it may be any IP address, for a server that listens on all of them.
        limits: How much is let through.
        request_ids: Makes a request id for what is refused here.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        names: frozenset[str] = frozenset(),
        any_address: bool = False,
        limits: Limits | None = None,
        request_ids: Callable[[], str] = new_request_id,
    ) -> None:
        self._app = app
        self._names = LOOPBACK_NAMES | {name.lower() for name in names}
        self._any_address = any_address
        self._limits = limits or Limits()
        self._request_ids = request_ids
        self._answering: set[asyncio.Task[object] | None] = set()
        self._is_cutting = False

    @property
    def busy(self) -> bool:
        """True while a request is being answered."""
        return bool(self._answering)

    def cut(self) -> None:
        """Answer nothing any further, for a server that ends and has closed its connections."""
        self._is_cutting = True
        for task in self._answering:
            if task is not None:
                task.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refused = self._refuse(scope)
        if refused is None:
            await self._let_through(scope, receive, send)
            return
        error, more = refused
        answer = JSONResponse(refusal(error, self._request_ids()), error.status_code, headers=more)
        await answer(scope, receive, send)

    def _refuse(self, scope: Scope) -> tuple[APIError, dict[str, str]] | None:
        """Why a request is refused before anything of it is looked at, and the headers of the answer."""
        host = Headers(scope=scope).get("host", "")
        if not self._knows(host_of(host)):
            message = f"The Host header names {host[:80]!r}, which is not this server."
            return api_error(403, code="AccessDenied", message=message), {"connection": "close"}
        # HTTP parsers bound what they wait for, not what has come in one piece.
        if sum(len(name) + len(value) for name, value in scope["headers"]) > self._limits.header_bytes:
            message = f"The headers have more than {self._limits.header_bytes} bytes."
            return api_error(431, code="InvalidParameter", message=message), {"connection": "close"}
        encoding = Headers(scope=scope).get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            message = f"The body is packed as {encoding[:40]!r}, which is not taken; send it as it is."
            return api_error(415, code="InvalidParameter", message=message), {"connection": "close"}
        if len(self._answering) >= self._limits.requests:
            message = (
                f"The server answers {self._limits.requests} requests at the same time, and no more.\n"
                "Close streams that nobody reads, or raise it: dashnb serve --requests N, or DASHNB_REQUESTS."
            )
            return api_error(503, code="Throttling", message=message), {"retry-after": "1"}
        return None

    def _knows(self, host: str) -> bool:
        if host in self._names:
            return True
        # Rebinding takes a name; an address is what the person themselves typed.
        return self._any_address and _is_address(host)

    async def _let_through(self, scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        self._answering.add(task)
        body = _Body(scope, receive, send, self._limits)
        try:
            await self._app(scope, body.receive, body.send)
        except asyncio.CancelledError:
            # Nobody hears of it any more; handed on, it would be logged as a failure.
            if not self._is_cutting:
                raise
        finally:
            self._answering.discard(task)


class _Body:
    """The body of one request, handed on in parts as long as it is within the limits.

    A refusal is raised where the app reads, after it has checked the key, and answered by the app.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, limits: Limits) -> None:
        declared = Headers(scope=scope).get("content-length", "0")
        self._declared = int(declared) if declared.isdecimal() else 0
        self._receive = receive
        self._send = send
        self._limits = limits
        self._until = asyncio.get_running_loop().time() + limits.body_seconds
        self._read = 0
        self._ended = False
        self._late = False

    async def receive(self) -> Message:
        if self._ended:
            # What comes now is the news that the reader has left, however late.
            return await self._receive()
        self._check(self._declared)
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            self._late = True
            words = f"The body did not arrive within {self._limits.body_seconds:g} seconds."
            raise api_error(408, code="RequestTimeOut", message=words) from None
        self._read += len(message.get("body", b""))
        self._check(self._read)
        self._ended = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if self._late and message["type"] == "http.response.start":
            # Else the rest of the body would be waited for as if it were the next request.
            message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
        await self._send(message)

    def _check(self, size: int) -> None:
        if size > self._limits.body_bytes:
            words = f"The body has more than {self._limits.body_bytes} bytes."
            raise api_error(413, code="RequestTooLarge", message=words)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
