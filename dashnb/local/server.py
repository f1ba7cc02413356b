"""The embedded API on a port.

    socket → uvicorn, on a thread of its own → guard → app → endpoints …

When it is stopped, it takes no new connections, gives open streams a short grace to end by
themselves, ends the runs that still go on as ``failed`` with the code ``server_stopped``, lets their
readers have these last events, and closes the database.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import socket
import sys
import threading
import weakref
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from dashnb.errors import ConfigurationError, api_error
from dashnb.forks import heed, leave
from dashnb.keys import Secret, reveal
from dashnb.local.app import PREFIX
from dashnb.local.guard import Guard, Limits, new_request_id, refusal
from dashnb.local.models.engine import Engine
from dashnb.local.plugins import Plugin
from dashnb.local.service import LocalService, make_engine
from dashnb.local.token import check_token, new_token
from dashnb.settings import Settings

LOOPBACK = "127.0.0.1"
# For readers to take their last events after the grace; who has not by then is cut off.
LAST_SECONDS = 1
LOOK_SECONDS = 0.02
# Longer than clients keep a connection, so that it is they who end it, between two requests.
KEEP_ALIVE_SECONDS = 30


def serve(
    port: int = 0,
    *,
    host: str = LOOPBACK,
    database: str | None = None,
    engine: str | None = None,
    api_key: str | Secret | None = None,
    limits: Limits | None = None,
    requests: int | None = None,
    verbose: bool = False,
) -> Server:
    """The embedded API on a port of this machine, until it is closed; what is left out, the settings decide.

    >>> with serve(engine="guide", database=":memory:") as server:
    ...     server.base_url  # doctest: +ELLIPSIS
    'http://127.0.0.1:.../api/v1'

    Args:
        port: The port, or 0 for any free one.
        host: The address or name to listen on.
        database: A file, ``:memory:`` or a database URL.
        engine: Who answers, such as ``guide`` or ``replay:FILE``.
        api_key: The key that requests must carry; a random one, `Server.api_key`, if left out.
        limits: How much it takes on.
        requests: How many requests it answers at the same time, streams included, unless ``limits`` says it.
        verbose: Whether every request is logged, to the logger ``uvicorn.access``.

    Raises:
        ConfigurationError: The port is taken, or the host can be reached from elsewhere and has no key of yours.
        StoreError: The database cannot be used.
    """
    at_once = None if requests is None else str(requests)
    settings = Settings.load(engine=engine, database=database, requests=at_once)
    answering = make_engine(settings.engine, pace=settings.pace, settings=settings)
    limits = limits or Limits(requests=settings.requests)
    return Server(settings.database, answering, port=port, host=host, api_key=api_key, limits=limits, verbose=verbose)


class Server:
    """One embedded API on a port. It listens as soon as it is there, and ends with `close`.

    Args:
        database: A file, ``:memory:``, or a database URL.
        engine: Who answers.
        plugins: What the built-in tools do; those that dashnb has if None.
        port, host, api_key, limits, verbose: As in `serve`.

    Attributes:
        base_url: Where clients connect to; it ends in ``/api/v1``.

    Raises:
        ConfigurationError: As in `serve`.
        StoreError: The database cannot be used.
    """

    def __init__(
        self,
        database: str,
        engine: Engine,
        *,
        plugins: Mapping[str, Plugin] | None = None,
        port: int = 0,
        host: str = LOOPBACK,
        api_key: str | Secret | None = None,
        limits: Limits | None = None,
        verbose: bool = False,
    ) -> None:
        limits = limits or Limits()
        has_key = api_key is not None
        self._api_key = Secret(new_token()) if api_key is None else Secret(reveal(api_key) or "")
        api_key = None  # a traceback with local variables shows this one
        check_token(self._api_key, origin="The api_key")
        listener, address = _listen(host, port, has_key=has_key)
        try:
            self._service = LocalService(database, engine, plugins=plugins, api_key=self._api_key)
        except BaseException:
            listener.close()
            raise
        everywhere = address.is_unspecified
        names = {host, str(address), *([socket.gethostname()] if everywhere else [])}
        guard = Guard(self._service.app, names=frozenset(names), any_address=everywhere, limits=limits)
        self._uvicorn = _Uvicorn(_config(guard, limits, verbose), guard, limits, self._service.runner.close)
        self.base_url = f"http://{_reachable(host, address)}:{listener.getsockname()[1]}{PREFIX}"
        # A daemon, so that a server which somebody forgot does not keep the program from ending.
        self._thread = threading.Thread(
            target=_run, args=(self._uvicorn, self._service, listener), name="dashnb-server", daemon=True
        )
        self._thread.start()
        self._listener = listener
        self._end = weakref.finalize(self, _end, self._uvicorn, self._thread)
        self._uvicorn.ready.wait()
        heed(self, child=Server._inherit)

    def _inherit(self) -> None:
        # It is the parent that serves; our copies of its sockets would keep those waiting to whom it closes them.
        self._end.detach()
        leave(self._listener.fileno(), *self._uvicorn.sockets)
        self._uvicorn.ended = threading.Event()
        self._uvicorn.ended.set()

    @property
    def api_key(self) -> str:
        """The key that requests must carry. Never print it."""
        return self._api_key.reveal()

    @property
    def engine(self) -> str:
        """The name of who answers."""
        return self._service.engine.name

    @property
    def database(self) -> str:
        """The database, without a password."""
        return self._service.store.database

    def stop(self) -> None:
        """Ask it to end, without waiting."""
        self._uvicorn.should_exit = True

    def wait(self) -> None:
        """Wait until it has ended."""
        # In pieces, as a wait without end cannot be interrupted everywhere; and not by `Thread.join`, which
        # takes the thread for ended when a person interrupts it (Python 3.11 and 3.12).
        while not self._uvicorn.ended.wait(0.5):
            pass

    def close(self) -> None:
        """End it, and wait until it has ended; an interrupt ends the grace. Runs that go on end as ``failed``."""
        self._end()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Server({self.base_url!r}, engine={self.engine!r})"


class _Uvicorn(uvicorn.Server):
    """Uvicorn, which ends runs before it waits for the streams that tell about them."""

    def __init__(
        self, config: uvicorn.Config, guard: Guard, limits: Limits, end_runs: Callable[[], Awaitable[None]]
    ) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self.ended = threading.Event()
        self._guard = guard
        self._grace = limits.grace_seconds
        self._end_runs = end_runs

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        await self._quiet(self._grace, hurried=True)
        await self._end_runs()
        await self._quiet(LAST_SECONDS)
        if self._is_busy:
            # Who does not take what is sent, or reads a run that another process goes on with.
            for connection in list(self.server_state.connections):
                connection.transport.abort()
            await asyncio.sleep(0)
            self._guard.cut()
        await super().shutdown(sockets=sockets)

    @property
    def sockets(self) -> list[int]:
        """The numbers of its connections' sockets."""
        return [
            connection.transport.get_extra_info("socket").fileno()
            for connection in list(self.server_state.connections)
            if connection.transport is not None
        ]

    @property
    def _is_busy(self) -> bool:
        """True while an answer is being made, or is on its way."""
        unsent = (connection.transport.get_write_buffer_size() for connection in self.server_state.connections)
        return self._guard.busy or any(unsent)

    async def _quiet(self, seconds: float, *, hurried: bool = False) -> None:
        """Wait until all is answered, but not longer than this, nor when somebody is in a hurry."""
        for _ in range(round(seconds / LOOK_SECONDS)):
            if not self._is_busy or (hurried and self.force_exit):
                return
            await asyncio.sleep(LOOK_SECONDS)


def _config(guard: Guard, limits: Limits, verbose: bool) -> uvicorn.Config:
    return uvicorn.Config(
        guard,
        loop="asyncio",
        http=_protocol(limits),
        ws="none",
        lifespan="on",
        # The program's own logging stands; only what goes wrong is told unless more is asked for.
        log_config=None,
        log_level="info" if verbose else "warning",
        access_log=verbose,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=LAST_SECONDS,
        h11_max_incomplete_event_size=limits.header_bytes,
    )


def _protocol(limits: Limits) -> type[H11Protocol]:
    class Protocol(H11Protocol):
        """HTTP/1.1 whose refusals have the shape of the API's, and whose connections cannot just be held."""

        _waiting: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as the base has it
            super().connection_made(transport)
            self._waiting = self.loop.call_later(limits.header_seconds, transport.close)

        def connection_lost(self, exc: Exception | None) -> None:
            self._wait(False)
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._look()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._look()

        def _look(self) -> None:
            """Wait for the rest of a request's head, and of a body that its answer did not need, only so long."""
            cycle: RequestResponseCycle | None = self.cycle
            if cycle is None:
                return  # the first head is waited for since the connection was made
            has_part = bool(self.conn.trailing_data[0]) or self.conn.their_state is h11.SEND_BODY
            self._wait(cycle.response_complete and has_part)

        def _wait(self, waits: bool) -> None:
            if self._waiting is not None and not waits:
                self._waiting.cancel()
                self._waiting = None
            elif self._waiting is None and waits:
                self._waiting = self.loop.call_later(limits.header_seconds, self.transport.close)

        def send_400_response(self, msg: str) -> None:
            reason = sys.exc_info()[1]
            status = reason.error_status_hint if isinstance(reason, h11.RemoteProtocolError) else 400
            error = api_error(status, code="InvalidParameter", message=_bad_request(status, msg))
            body = json.dumps(refusal(error, new_request_id())).encode()
            headers = [
                ("content-type", "application/json"),
                ("content-length", str(len(body))),
                ("connection", "close"),
            ]
            with suppress(h11.LocalProtocolError):  # an answer has begun already; it breaks off
                for event in (h11.Response(status_code=status, headers=headers), h11.Data(body), h11.EndOfMessage()):
                    self.transport.write(self.conn.send(event) or b"")
            self.transport.close()

    return Protocol


def _bad_request(status: int, message: str) -> str:
    return "The headers of the request are too large." if status == 431 else message


def _run(server: _Uvicorn, service: LocalService, listener: socket.socket) -> None:
    try:
        asyncio.run(server.serve(sockets=[listener]))
    finally:
        server.ready.set()
        listener.close()
        service.close()
        server.ended.set()


def _end(server: _Uvicorn, thread: threading.Thread) -> None:
    try:
        server.should_exit = True
        # The garbage collector may call from the server's own thread, which cannot wait for itself.
        if threading.current_thread() is not thread:
            server.ended.wait()
    except KeyboardInterrupt:
        server.force_exit = True
        server.ended.wait()
        raise


Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def check_host(host: str, *, has_key: bool) -> tuple[socket.AddressFamily, Address]:
    """The address of a host to listen on.

    >>> check_host("127.0.0.1", has_key=False)[1].is_loopback
    True

    Args:
        host: A name or an address of this machine.
        has_key: Whether a person named the key, which others must know to come in.

    Raises:
        ConfigurationError: There is no such host, or it can be reached from elsewhere and nobody named a key.
    """
    try:
        family, _, _, _, place = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise ConfigurationError(f"There is no host {host!r} to listen on; {LOOPBACK} is this machine alone.") from None
    address = ipaddress.ip_address(str(place[0]).partition("%")[0])
    if not (address.is_loopback or has_key):
        raise ConfigurationError(
            f"{host} can be reached from other machines, so name the token that they must know: "
            f"--token-file FILE, or api_key=….\nWithout one, only {LOOPBACK} can be listened on."
        )
    return family, address


def _listen(host: str, port: int, *, has_key: bool) -> tuple[socket.socket, Address]:
    if not 0 <= port <= 65535:
        raise ConfigurationError(f"There is no port {port}; name one from 1 to 65535, or 0 for any free one.")
    family, address = check_host(host, has_key=has_key)
    try:
        return socket.create_server((str(address), port), family=family, backlog=2048), address
    except OSError as error:
        raise ConfigurationError(
            f"Cannot listen on {host}, port {port}: {(os.strerror(error.errno or 0)).lower()}.\n"
            "Name another port with --port (port=…), or 0 for any free one."
        ) from None


def _reachable(host: str, address: Address) -> str:
    """The host as a URL names it; of a server that listens on all addresses, that of this machine."""
    if address.is_unspecified:
        return LOOPBACK if address.version == 4 else "[::1]"
    return f"[{host}]" if ":" in host else host
