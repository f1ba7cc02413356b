"""The embedded Assistant API as an ASGI app: the table of operations, answered over HTTP.

A request's way: key → operation → ids, query and body checked → endpoint → JSON or a stream of events.
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from dashnb.characters import in_line
from dashnb.errors import APIError, StoreError, api_error
from dashnb.keys import Secret, hidden
from dashnb.local.body import json_pieces, read_json, undisturbed
from dashnb.local.endpoints import Endpoints, Follow, Request, not_found
from dashnb.local.log import EventLog
from dashnb.local.workers import Do, at_once
from dashnb.protocol.operations import ENGINE_HEADER, JOIN, OPERATIONS, Operation
from dashnb.protocol.requests import ListQuery, is_id
from dashnb.protocol.sse import ServerSentEvent, comment, encode

PREFIX = "/api/v1"
HEARTBEAT_SECONDS = 12.0
OnLoop = Callable[[Callable[[], object]], object]

_log = logging.getLogger(__name__)


def create_app(
    endpoints: Endpoints,
    log: EventLog,
    *,
    engine: str,
    api_key: str | Secret | None = None,
    request_ids: Callable[[], str] = lambda: str(uuid.uuid4()),
    heartbeat: float = HEARTBEAT_SECONDS,
    stop: Callable[[], Awaitable[None]] | None = None,
    do: Do = at_once,
) -> Starlette:
    """The app.

    Args:
        endpoints: What each operation does.
        log: Where streams follow their runs.
        engine: The name of who answers, sent with every answer.
        api_key: The key that requests must carry, or None to ask for none.
        request_ids: Makes a request id.
        heartbeat: Seconds of silence after which a stream carries a comment.
        stop: Called when a server that serves the app is shut down, on that server's loop.
        do: How requests are read and answered: what they ask for may take long.
    """
    answerer = _Answerer(endpoints, log, engine, hidden(api_key), request_ids, heartbeat, do)
    routes = [
        Route(PREFIX + operation.path, answerer.endpoint(operation), methods=_methods(operation))
        for operation in OPERATIONS.values()
    ]
    routes.append(Route(PREFIX + JOIN.path, answerer.join, methods=[JOIN.method]))
    routes.append(Route("/openapi.json", _describe, methods=["GET"]))
    handlers: dict[Any, Any] = {
        HTTPException: answerer.refuse,
        ClientDisconnect: answerer.part,
        Exception: answerer.fail,
    }

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        if stop is not None:
            await stop()

    return Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan)


async def _describe(_http: HttpRequest) -> Response:
    from dashnb.local.openapi import describe

    return JSONResponse(describe(PREFIX))


def _methods(operation: Operation) -> list[str]:
    # One SDK updates by PUT where the documentation says POST.
    is_update = operation.name.endswith(".update")
    return [operation.method, "PUT"] if is_update else [operation.method]


class _Answerer:
    """Turns HTTP requests into checked requests, and answers into HTTP responses."""

    def __init__(
        self,
        endpoints: Endpoints,
        log: EventLog,
        engine: str,
        api_key: Secret | None,
        request_ids: Callable[[], str],
        heartbeat: float,
        do: Do,
    ) -> None:
        self._endpoints = endpoints
        self._log = log
        self._headers = {ENGINE_HEADER: engine}
        self._api_key = api_key
        self._request_ids = request_ids
        self._heartbeat = heartbeat
        self._do = do

    def endpoint(self, operation: Operation) -> Callable[[HttpRequest], Any]:
        """The handler of one operation."""
        handle = self._endpoints.table[operation.name]

        def work(http: HttpRequest, content: bytes, on_loop: OnLoop, request_id: str) -> Follow | list[bytes]:
            with undisturbed(content):
                answer = handle(_read(operation, http, content, on_loop, request_id))
            return answer if isinstance(answer, Follow) else json_pieces({**answer, "request_id": request_id})

        return self._answering(work, reads=operation.body is not None)

    @property
    def join(self) -> Callable[[HttpRequest], Any]:
        """The handler of a request for the events of a run behind ``after``, or the one ``Last-Event-ID`` names."""

        def work(http: HttpRequest, _content: bytes, _on_loop: OnLoop, _request_id: str) -> Follow:
            return self._endpoints.join_run(_ids(http), after=_position(http))

        return self._answering(work, reads=False)

    def _answering(self, work: Callable[..., Follow | list[bytes]], *, reads: bool) -> Callable[[HttpRequest], Any]:
        """A handler that checks the key and reads the body, and has the work done beside the loop."""

        async def answer(http: HttpRequest) -> Response:
            request_id = self._request_ids()
            on_loop = asyncio.get_running_loop().call_soon_threadsafe
            try:
                self._check_key(http)
                content = await http.body() if reads else b""
                self._endpoints.attend()
                result = await self._do(work, http, content, on_loop, request_id)
            except APIError as error:
                return self._error(error, request_id)
            except StoreError as error:
                return self._error(_unavailable(error), request_id)
            return self._follow(result) if isinstance(result, Follow) else self._send(result, 200)

        return answer

    async def refuse(self, http: HttpRequest, error: HTTPException) -> Response:
        """The answer to a path or method that is no operation."""
        code, message = ("NotFound", f"Not found! There is no {http.method} {http.url.path}.")
        if error.status_code == 405:
            code, message = "UnsupportedOperation", f"{http.url.path} does not take {http.method}."
        return self._error(api_error(error.status_code, code=code, message=message), self._request_ids())

    async def part(self, _http: HttpRequest, _error: Exception) -> Response:
        """The answer to who has left in the middle of a request; nobody reads it, and nothing is wrong."""
        return self._error(api_error(408, code="RequestTimeOut", message="The request broke off."), self._request_ids())

    async def fail(self, http: HttpRequest, error: Exception) -> Response:
        """The answer when the embedded API itself is at fault."""
        _log.error("%s %s failed", http.method, in_line(http.url.path), exc_info=error)
        message = f"The embedded API failed: {type(error).__name__}."
        return self._error(api_error(500, code="InternalError", message=message), self._request_ids())

    def _check_key(self, http: HttpRequest) -> None:
        if self._api_key is None:
            return
        kind, _, key = http.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not _same(key.strip(), self._api_key.reveal()):
            raise api_error(401, code="InvalidApiKey", message="Invalid API-key provided.")

    def _follow(self, answer: Follow) -> Response:
        headers = {**self._headers, "cache-control": "no-cache", "x-accel-buffering": "no"}
        return StreamingResponse(self._stream(answer), media_type="text/event-stream", headers=headers)

    def _error(self, error: APIError, request_id: str) -> Response:
        fields = {"code": error.code, "message": error.message, "request_id": request_id}
        return self._send(json_pieces(fields), error.status_code)

    def _send(self, pieces: list[bytes], status: int) -> Response:
        if len(pieces) == 1:
            return Response(pieces[0], status, headers=self._headers, media_type="application/json")
        headers = {**self._headers, "content-length": str(sum(map(len, pieces)))}
        return StreamingResponse(_each(pieces), status, headers=headers, media_type="application/json")

    async def _stream(self, answer: Follow) -> AsyncIterator[bytes]:
        following = self._log.follow(answer.run_id, after=answer.after, heartbeat=self._heartbeat)
        try:
            async with aclosing(following) as events:
                async for event in events:
                    if event is None:
                        yield comment("heartbeat")
                    else:
                        yield encode(ServerSentEvent(event.name, event.data, event.id))
        except StoreError as error:
            told = _unavailable(error)
            yield encode(ServerSentEvent("error", json.dumps({"code": told.code, "message": told.message})))


def _unavailable(error: StoreError) -> APIError:
    # Only what passes by itself has a status with which clients try again.
    return api_error(503 if error.passes else 507, code="DatabaseUnavailable", message=str(error))


async def _each(pieces: list[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def _same(given: str, expected: str) -> bool:
    import hmac

    return hmac.compare_digest(given.encode(), expected.encode())


def _position(http: HttpRequest) -> int:
    """The number of the last event that a joining reader has, 0 if it has none."""
    run_id, _, number = http.headers.get("last-event-id", "").rpartition(":")
    if run_id and run_id != http.path_params["run_id"]:
        raise api_error(400, code="InvalidParameter", message=f"Last-Event-ID belongs to another run, {run_id[:80]}.")
    given = http.query_params.get("after") or number or "0"
    if not (given.isascii() and given.isdigit() and len(given) < 16):
        message = f"'after' must be the number of an event, got {given[:40]!r}."
        raise api_error(400, code="InvalidParameter", message=message)
    return int(given)


def _read(operation: Operation, http: HttpRequest, content: bytes, on_loop: OnLoop, request_id: str) -> Request:
    body = _check(operation.body, read_json(content)) if operation.body else None
    query = _check(ListQuery, dict(http.query_params), whole="the query") if operation.is_list else ListQuery()
    return Request(_ids(http), body, query, request_id, on_loop)


def _ids(http: HttpRequest) -> dict[str, str]:
    """The ids of the path, which somebody may have."""
    for name, value in http.path_params.items():
        if not is_id(value):
            raise not_found(name.removesuffix("_id"), f"{value[:80]!r}")
    return dict(http.path_params)


def _check(model: type[BaseModel], value: Any, *, whole: str = "the body") -> Any:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part)[:80] for part in first["loc"]) or whole
        message = first["msg"].removeprefix("Value error, ")
        raise api_error(400, code="InvalidParameter", message=f"{where}: {message}") from None
