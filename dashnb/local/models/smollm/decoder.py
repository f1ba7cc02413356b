"""The thread that owns the model: requests wait in a queue, chunks go back to the loop that asked.

The model is opened with the first request and stays until the decoder is closed or forgotten. While
it is opened the interpreter stands still, about 0.2 s; while it decodes, other threads run on.
"""

from __future__ import annotations

import asyncio
import queue
import secrets
import shutil
import sys
import tempfile
import threading
import weakref
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

from dashnb.errors import ConfigurationError
from dashnb.forks import heed
from dashnb.local.models.engine import EngineError

CONTEXT = 2048
# The model looks up between two pieces of the prompt, to see whether it shall stop: every 0.15 s.
PROMPT_PIECE = 32

Chunk = dict[str, Any]
Model = Callable[[Chunk, Callable[[Chunk], bool]], None]
"""Carries out a request; tells each chunk, and stops when told True."""


class Decoder:
    """Carries out requests one after another on a thread of its own.

    Args:
        open_model: Opens the model; called on the thread, when there is something to do.
    """

    def __init__(self, open_model: Callable[[], Model]) -> None:
        self._open_model = open_model
        self._begin()
        heed(self, child=Decoder._inherit)

    def _inherit(self) -> None:
        self._end.detach()
        is_closed = self._closed.is_set()
        self._begin()
        if is_closed:
            self._closed.set()

    def _begin(self) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = threading.Event()
        arguments = (self._open_model, self._jobs, self._closed)
        self._thread = threading.Thread(target=_work, args=arguments, name="dashnb-smollm", daemon=True)
        self._starting = threading.Lock()
        # The thread must not hold the decoder, or nobody could ever forget it.
        self._end = weakref.finalize(self, _end, self._jobs, self._closed, self._thread)

    async def stream(self, request: Chunk) -> AsyncGenerator[Chunk, None]:
        """The chunks of a request as they come; closing the generator stops the model at its next token.

        Raises:
            EngineError: The model failed, refused the request, or has been closed.
        """
        if self._closed.is_set():
            raise EngineError("The model has been closed.")
        job = _Job(request, asyncio.get_running_loop(), self._closed)
        self._start()
        self._jobs.put(job)
        try:
            while (chunk := await job.chunks.get()) is not None:
                if isinstance(chunk, Exception):
                    raise EngineError(f"The model failed: {chunk}") from chunk
                if error := chunk.get("error"):
                    raise EngineError(f"The model refused: {error.get('message', error)}")
                yield chunk
        finally:
            job.stopped = True

    def close(self) -> None:
        """Stop what is going on, and let the model go."""
        self._end()

    def _start(self) -> None:
        with self._starting:
            if self._thread.ident is None:
                self._thread.start()


class _Job:
    def __init__(self, request: Chunk, loop: asyncio.AbstractEventLoop, closed: threading.Event) -> None:
        self.request = request
        self.chunks: asyncio.Queue[Chunk | Exception | None] = asyncio.Queue()
        self.stopped = False
        self._loop = loop
        self._closed = closed

    def tell(self, chunk: Chunk) -> bool:
        """Hand a chunk over; True if no more are wanted."""
        self.put(chunk)
        return self.stopped or self._closed.is_set()

    def put(self, chunk: Chunk | Exception | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self.chunks.put_nowait, chunk)
        except RuntimeError:
            self.stopped = True  # the loop is closed, so nobody waits any more


def _work(open_model: Callable[[], Model], jobs: queue.SimpleQueue[_Job | None], closed: threading.Event) -> None:
    model: Model | None = None
    while (job := jobs.get()) is not None:
        last: Exception | None = EngineError("the engine was closed.") if closed.is_set() else None
        if last is None and not job.stopped:
            try:
                model = model or open_model()
                model(job.request, job.tell)
            except Exception as error:
                last = error
        job.put(last)
        del job  # it would keep its loop until the next one comes


def _end(jobs: queue.SimpleQueue[_Job | None], closed: threading.Event, thread: threading.Thread) -> None:
    closed.set()
    jobs.put(None)
    if thread.ident is not None and thread is not threading.current_thread():
        thread.join(timeout=2)


def require_extra() -> None:
    """Check that the extra ``llm`` is installed.

    Raises:
        ConfigurationError: It is not.
    """
    try:
        import xllamacpp  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            f'The engine smollm needs an extra: pip install "dashnb[llm]" ({type(error).__name__}: {error}).'
        ) from error


def open_llama(path: Path) -> Model:
    """The model of a GGUF file, decoding on one thread: a second one makes it slower on a busy machine.

    Raises:
        EngineError: The file is no model.
    """
    import xllamacpp

    # The library listens for requests of its own. It does so on a socket in a private folder that is
    # deleted at once, or, where there are no such sockets, on a local port with a key nobody knows.
    private = Path(tempfile.mkdtemp(prefix="dashnb-"))
    parameters = xllamacpp.CommonParams()
    if sys.platform != "win32":
        parameters.hostnames = [str(private / "llm.sock")]
    parameters.api_keys = [secrets.token_hex(16)]
    parameters.ui = False
    parameters.n_threads_http = 1
    parameters.model.path = str(path)
    parameters.n_ctx = CONTEXT
    parameters.n_parallel = 1
    parameters.n_gpu_layers = 0
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    parameters.n_batch = parameters.n_ubatch = PROMPT_PIECE
    parameters.cache_ram_mib = 0
    parameters.warmup = parameters.fit_params = False
    parameters.verbosity = 0
    try:
        server = xllamacpp.Server(parameters)
    except RuntimeError as error:
        raise EngineError(f"{path} cannot be opened as a model: {error}") from error
    finally:
        shutil.rmtree(private, ignore_errors=True)

    def carry_out(request: Chunk, tell: Callable[[Chunk], bool]) -> None:
        handle = server.handle_chat_completions if "messages" in request else server.handle_completions
        handle({**request, "stream": True, "return_progress": True}, tell)

    return carry_out
