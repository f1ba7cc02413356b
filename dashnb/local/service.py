"""The embedded Assistant API, put together: database, engine, tools, runner, app, and the thread it runs on.

transport or server → app → endpoints → runner → engine and plugins
                                ├─ store and log ─┤
                                └───── keeper ────┘
"""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path

from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from dashnb.errors import ConfigurationError, StoreError
from dashnb.forks import Origin, heed
from dashnb.keys import Secret
from dashnb.local.app import create_app
from dashnb.local.endpoints import Endpoints
from dashnb.local.keeper import LIFETIME_MS, Keeper
from dashnb.local.leases import SteadyClock, steady_ms
from dashnb.local.log import EventLog
from dashnb.local.models.engine import Engine
from dashnb.local.models.pace import PacedEngine
from dashnb.local.plugins import Plugin, close_plugins, kernel_folder
from dashnb.local.runner import Runner
from dashnb.local.store import Store
from dashnb.local.transport import AsyncLocalTransport, LocalTransport, LoopThread
from dashnb.local.workers import Workers
from dashnb.local.writer import Clock, Ids
from dashnb.settings import Settings

# Any URL does: it only has to look like the service's, and never leaves the process.
BASE_URL = "http://dashnb.local/api/v1"
DEFAULT_PACE = 0.015
# Requests, and looks of waiting readers, that are worked on at the same time.
ANSWERING = 8

_log = logging.getLogger(__name__)


def make_engine(name: str, *, pace: float = 0.0, settings: Settings | None = None) -> Engine:
    """The engine of a name: ``guide``, ``replay:FILE``, or a model server such as ``ollama:qwen3:0.6b``.

    >>> make_engine("guide").name
    'guide'

    Args:
        name: The name.
        pace: Seconds between two pieces of the guide's answers, so that they can be watched.
        settings: Say where a model server is, and its key; the defaults if None.

    Raises:
        ConfigurationError: There is no such engine, its file cannot be read, its extra is not installed,
            or its server is not known.
    """
    kind, _, detail = name.partition(":")
    if kind == "replay" and detail:
        from dashnb.local.models.replay import ReplayEngine

        return ReplayEngine.from_file(Path(detail))
    if name == "guide":
        from dashnb.local.models.guide import GuideEngine

        guide: Engine = GuideEngine()
        return PacedEngine(guide, pace, sleep=asyncio.sleep) if pace else guide
    if name == "smollm":
        from dashnb.local.models.smollm import SmolLMEngine

        return SmolLMEngine.from_data_dir((settings or Settings.load({}, file=None)).data_dir)
    from dashnb.local.models.openai.presets import PRESETS, open_engine

    server = open_engine(name, settings or Settings.load({}, file=None))
    if server is None:
        raise ConfigurationError(
            f"There is no engine {name!r}; there are guide and replay:FILE, smollm with the extra llm, "
            f"and model servers as PRESET or PRESET:MODEL: {', '.join(PRESETS)}."
        )
    return server


def new_id(prefix: str) -> str:
    """An id in the form of the service: prefix, underscore, UUID."""
    return f"{prefix}_{uuid.uuid4()}"


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class LocalService:
    """One embedded API in this process.

    >>> from dashnb.local.models.guide import GuideEngine
    >>> with LocalService(":memory:", GuideEngine()) as service:
    ...     service.engine.name
    'guide'

    Args:
        database: A file, ``:memory:``, or a database URL.
        engine: Who answers.
        plugins: What the built-in tools do; those that dashnb has if None.
        ids: Makes an id from a prefix.
        clock: Milliseconds since 1970.
        steady: Milliseconds of a clock that nobody sets.
        api_key: The key that requests must carry, or None to ask for none.
        lifetime: Milliseconds after its creation at which a run expires.

    Raises:
        StoreError: The database cannot be used.
    """

    def __init__(
        self,
        database: str,
        engine: Engine,
        *,
        plugins: Mapping[str, Plugin] | None = None,
        ids: Ids = new_id,
        clock: Clock = now_ms,
        steady: SteadyClock = steady_ms,
        api_key: str | Secret | None = None,
        lifetime: int = LIFETIME_MS,
    ) -> None:
        self.engine = engine
        self.store = Store(database)
        make = functools.partial(
            _Working,
            self.store,
            engine,
            plugins,
            ids=ids,
            clock=clock,
            steady=steady,
            api_key=api_key,
            lifetime=lifetime,
        )
        try:
            with self.store.failures():
                self._answering = _Answering(make)
            kernel_folder.sweep()
        except BaseException:
            self.store.close()
            raise
        self._loop = LoopThread()
        self._begin()
        heed(self, child=LocalService._inherit)

    def _begin(self) -> None:
        self._closing = threading.Lock()
        # A client that is simply forgotten takes its service with it, and so does the end of the program.
        self._end = weakref.finalize(self, _end, self._loop, self._answering, self.store)

    def _inherit(self) -> None:
        self._end.detach()  # it would wait for a thread of the parent
        self._begin()

    @property
    def app(self) -> Starlette:
        """The app of this process, with its `log`, `runner` and `keeper`."""
        return self._answering.working.app

    @property
    def log(self) -> EventLog:
        """Where readers of runs follow."""
        return self._answering.working.log

    @property
    def runner(self) -> Runner:
        """Who works on the runs."""
        return self._answering.working.runner

    @property
    def keeper(self) -> Keeper:
        """Who looks after them."""
        return self._answering.working.keeper

    def transport(self, *, closes: bool = False) -> LocalTransport:
        """A transport for `httpx.Client`; with ``closes``, closing the client closes the service."""
        return LocalTransport(self._answering, self._loop, on_close=self.close if closes else _nothing)

    def async_transport(self, *, closes: bool = False) -> AsyncLocalTransport:
        """A transport for `httpx.AsyncClient`; with ``closes``, closing the client closes the service."""
        return AsyncLocalTransport(self._answering, self._loop, on_close=self.close if closes else _nothing)

    def close(self) -> None:
        """Stop all runs, the thread and the database. Runs that were going on end as ``failed``."""
        with self._closing:
            self._end()

    def __enter__(self) -> LocalService:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        store = getattr(self, "store", None)  # of one that could not be made, a traceback shows variables too
        return f"LocalService({store.database if store else ''!r}, engine={self.engine.name!r})"


class _Working:
    """What works on a database in one process: the runner with the names of its runs, the keeper, the app."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        plugins: Mapping[str, Plugin] | None,
        *,
        ids: Ids,
        clock: Clock,
        steady: SteadyClock,
        api_key: str | Secret | None,
        lifetime: int,
    ) -> None:
        if plugins is None:
            from dashnb.local.plugins.builtin import builtin_plugins

            plugins = builtin_plugins()
        self._plugins = plugins
        # Runs are written in order, and by no one else: a request that waits does not hold them up.
        self.workers = writing, answering = Workers("dashnb-runs", 1), Workers("dashnb-requests", ANSWERING)
        self.log = EventLog(store, do=answering.do)
        self.runner = Runner(store, engine, plugins, do=writing.do)
        self.keeper = Keeper(
            store, self.log, self.runner, clock=clock, steady=steady, lifetime=lifetime, do=answering.do
        )
        self.keeper.sweep()  # what a service that was killed has left
        endpoints = Endpoints(store, self.log, self.runner, self.keeper, ids=ids, clock=clock)
        self.app = create_app(endpoints, self.log, engine=engine.name, api_key=api_key, stop=self.stop, do=answering.do)

    async def stop(self) -> None:
        await self.keeper.close()
        await close_plugins(self._plugins)


class _Answering:
    """The app of whatever process it is: a child begins its own, and leaves the parent's runs to the parent."""

    def __init__(self, make: Callable[[], _Working]) -> None:
        self._make = make
        self._begin()

    def _begin(self) -> None:
        self.working = self._make()
        self._origin = Origin()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._origin.is_here:
            self._begin()
        await self.working.app(scope, receive, send)

    @property
    def workers(self) -> tuple[Workers, ...]:
        """The threads that work on its requests and runs; none in a child that has not been asked."""
        return self.working.workers if self._origin.is_here else ()

    async def stop(self) -> None:
        if self._origin.is_here:
            await self.working.stop()


def _end(loop: LoopThread, answering: _Answering, store: Store) -> None:
    if loop.is_here or any(threads.is_here for threads in answering.workers):
        # The garbage collector may call from one of these threads, which cannot wait for itself.
        threading.Thread(target=_end, args=(loop, answering, store), name="dashnb-local-end").start()
        return
    try:
        if loop.is_turning:
            loop.start(answering.stop()).result()
    except StoreError as error:
        # What could not be said at the end is found out by the next service that looks.
        _log.warning("the embedded API could not take its leave: %s", error)
    finally:
        loop.close()
        for threads in answering.workers:
            threads.close()
        store.close()


def _nothing() -> None:
    pass
