"""Embedded APIs on one port of this machine, each under a name of its own, with what they were asked."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn

from dashnb.local.models.engine import Engine
from dashnb.local.plugins import Plugin
from dashnb.local.service import LocalService
from scripted import Api, Gate, numbered, ticking

KEY = "sk-local"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that came over the port: method, path with its query, body as text."""

    method: str
    path: str
    body: str


class Port:
    """A server for many embedded APIs: ``/NAME/api/v1/...`` reaches the one of that name.

    ``/NAME/open`` opens the gate at which that API's engine waits.
    """

    def __init__(self) -> None:
        self.root = ""
        self.asked: defaultdict[str, list[Asked]] = defaultdict(list)
        self._services: dict[str, LocalService] = {}
        self._gates: dict[str, Gate] = {}
        self._left = ExitStack()

    def add(
        self, name: str, engine: Engine, *, plugins: Mapping[str, Plugin] | None = None, gate: Gate | None = None
    ) -> Api:
        """A client of a new embedded API under this name."""
        service = LocalService(":memory:", engine, plugins=plugins, ids=numbered(), clock=ticking(), api_key=KEY)
        self._services[name] = self._left.enter_context(service)
        if gate is not None:
            self._gates[name] = gate
        headers = {"Authorization": f"Bearer {KEY}"}
        client = httpx.Client(base_url=f"{self.root}/{name}/api/v1", headers=headers, trust_env=False, timeout=10)
        return Api(service, self._left.enter_context(client))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        _, name, path = scope["path"].split("/", 2)
        if path == "open":
            self._gates[name].open()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
            return
        first = await receive()
        body = first["body"]
        while first.get("more_body"):
            first = await receive()
            body += first["body"]
        query = scope["query_string"].decode()
        asked = f"/{path}?{query}" if query else f"/{path}"
        self.asked[name].append(Asked(scope["method"], asked, body.decode()))
        read = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def listen() -> Any:
            return next(read, None) or await receive()

        await self._services[name].app({**scope, "path": f"/{path}", "raw_path": asked.encode()}, listen, send)

    async def _stop_runs(self) -> None:
        for service in self._services.values():
            await service.runner.close()

    @contextmanager
    def open(self) -> Iterator[Port]:
        """The port, open as long as the context lasts."""
        config = uvicorn.Config(self, host="127.0.0.1", port=0, log_level="warning", lifespan="off")
        server = uvicorn.Server(config)

        async def serve() -> None:
            await server.serve()
            await self._stop_runs()

        thread = threading.Thread(target=lambda: asyncio.run(serve()))
        thread.start()
        try:
            until = time.monotonic() + 10
            while not server.started:
                assert time.monotonic() < until
                time.sleep(0.01)
            self.root = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
            yield self
        finally:
            server.should_exit = True
            thread.join(10)
            self._left.close()
