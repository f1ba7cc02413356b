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
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from dashnb.errors import ConfigurationError, StoreError
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
        if plugins is None:
            from dashnb.local.plugins.builtin import builtin_plugins

            plugins = builtin_plugins()
        self.engine = engine
        self.store = Store(database)
        # Runs are written in order, and by no one else: a request that waits does not hold them up.
        writing, answering = Workers("dashnb-runs", 1), Workers("dashnb-requests", ANSWERING)
        self.log = EventLog(self.store, do=answering.do)
        self.runner = Runner(self.store, engine, plugins, do=writing.do)
        self.keeper = Keeper(
            self.store, self.log, self.runner, clock=clock, steady=steady, lifetime=lifetime, do=answering.do
        )
        try:
            with self.store.failures():
                self.keeper.sweep()  # what a service that was killed has left
            kernel_folder.sweep()
        except BaseException:
            self.store.close()
            raise
        stop = functools.partial(_stop, self.keeper, plugins)
        endpoints = Endpoints(self.store, self.log, self.runner, self.keeper, ids=ids, clock=clock)
        self.app = create_app(endpoints, self.log, engine=engine.name, api_key=api_key, stop=stop, do=answering.do)
        self._loop = LoopThread()
        self._closing = threading.Lock()
        # A client that is simply forgotten takes its service with it, and so does the end of the program.
        self._end = weakref.finalize(self, _end, self._loop, stop, (writing, answering), self.store)

    def transport(self, *, closes: bool = False) -> LocalTransport:
        """A transport for `httpx.Client`; with ``closes``, closing the client closes the service."""
        return LocalTransport(self.app, self._loop, on_close=self.close if closes else _nothing)

    def async_transport(self, *, closes: bool = False) -> AsyncLocalTransport:
        """A transport for `httpx.AsyncClient`; with ``closes``, closing the client closes the service."""
        return AsyncLocalTransport(self.app, self._loop, on_close=self.close if closes else _nothing)

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


async def _stop(keeper: Keeper, plugins: Mapping[str, Plugin]) -> None:
    await keeper.close()
    await close_plugins(plugins)


def _end(
    loop: LoopThread, stop: Callable[[], Coroutine[Any, Any, None]], workers: tuple[Workers, ...], store: Store
) -> None:
    if loop.is_here or any(threads.is_here for threads in workers):
        # The garbage collector may call from one of these threads, which cannot wait for itself.
        threading.Thread(target=_end, args=(loop, stop, workers, store), name="dashnb-local-end").start()
        return
    try:
        loop.start(stop()).result()
    except StoreError as error:
        # What could not be said at the end is found out by the next service that looks.
        _log.warning("the embedded API could not take its leave: %s", error)
    finally:
        loop.close()
        for threads in workers:
            threads.close()
        store.close()


def _nothing() -> None:
    pass
