"""A model server of the chat-completions format on this machine, which answers what the test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Script = Callable[["Exchange"], None]


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """A chunk with these fields in its delta."""
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def call(index: int | None, arguments: str = "", *, name: str | None = None, id: str | None = None) -> dict[str, Any]:
    """A piece of a tool call, as a delta holds it."""
    part: dict[str, Any] = {"function": {"arguments": arguments}}
    part |= {} if index is None else {"index": index}
    part |= {} if id is None else {"id": id, "type": "function"}
    if name is not None:
        part["function"]["name"] = name
    return part


def calls(*parts: dict[str, Any]) -> dict[str, Any]:
    """A chunk with pieces of tool calls."""
    return delta(tool_calls=list(parts))


def usage(prompt: int, completion: int) -> dict[str, Any]:
    """The last chunk, with the count of tokens."""
    return {"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": completion}}


def stream_of(*chunks: dict[str, Any], done: bool = True) -> bytes:
    """The bytes of a stream."""
    text = "".join(f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n" for chunk in chunks)
    return (text + ("data: [DONE]\n\n" if done else "")).encode()


class Exchange:
    """One request, and the means to answer it."""

    def __init__(self, handler: BaseHTTPRequestHandler, body: Any) -> None:
        self.path = handler.path
        self.headers = handler.headers
        self.body = body
        self._handler = handler

    def start(self, status: int = 200, **headers: str) -> None:
        self._handler.send_response(status)
        for name, value in {"Content_Type": "text/event-stream", **headers}.items():
            self._handler.send_header(name.replace("_", "-"), value)
        self._handler.send_header("Connection", "close")
        self._handler.end_headers()
        self._handler.close_connection = True

    def send(self, content: bytes) -> None:
        self._handler.wfile.write(content)
        self._handler.wfile.flush()


def streams(*chunks: dict[str, Any], done: bool = True) -> Script:
    """Answer with these chunks."""

    def answer(exchange: Exchange) -> None:
        exchange.start()
        exchange.send(stream_of(*chunks, done=done))

    return answer


def says(text: str, *more: dict[str, Any]) -> Script:
    """Answer with a text."""
    return streams(delta(role="assistant", content=text), delta("stop"), *more)


def sends(status: int, body: Any = None, **headers: str) -> Script:
    """Answer with a status and JSON, or a text as it is."""
    content = body if isinstance(body, str) else json.dumps(body)

    def answer(exchange: Exchange) -> None:
        exchange.start(status, **{"Content_Type": "application/json", **headers})
        exchange.send(content.encode())

    return answer


class ChatServer:
    """The server: each request takes the next script; ``GET /models`` has one of its own."""

    def __init__(self) -> None:
        self.scripts: list[Script] = []
        self.requests: list[Exchange] = []
        self.models: Any = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    @property
    def bodies(self) -> list[Any]:
        return [exchange.body for exchange in self.requests]

    @contextmanager
    def running(self) -> Iterator[ChatServer]:
        self._thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                sends(404 if server.models is None else 200, server.models)(Exchange(self, None))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                exchange = Exchange(self, body)
                server.requests.append(exchange)
                server.scripts.pop(0)(exchange)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
