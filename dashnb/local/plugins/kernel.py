"""One Jupyter kernel in a process of its own: started when it is first needed, limited, and ended for good.

Its sockets are files in a folder that only the user can open; no port is used. A task watches what its
processes use, and a keeper (kernel_keeper.py) ends them if this process is killed. All of it belongs to the event
loop that made it, and none of it makes that loop wait.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import json
import logging
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import TYPE_CHECKING, Any, TypeVar

from dashnb.characters import visible
from dashnb.local.plugins import PluginError, kernel_folder
from dashnb.local.plugins.kernel_keeper import INTERRUPT
from dashnb.local.plugins.kernel_output import Output
from dashnb.local.plugins.processes import Limits, end_all, environment, living_in, usage

if TYPE_CHECKING:
    from jupyter_client.asynchronous.client import AsyncKernelClient
    from jupyter_client.connect import KernelConnectionInfo

START_SECONDS = 30.0
GRACE_SECONDS = 2.0  # for code to end after it was interrupted
WATCH_SECONDS = 0.1
WATCH_IDLE_SECONDS = 1.0
_MOST_COMPLAINTS = 8192  # bytes, of which the last line is shown
_MOST_MESSAGE = 16 << 20  # bytes; the kernel's own cut is far below it
T = TypeVar("T")
_CHILD = Path(__file__).with_name("kernel_child.py")
_KEEPER = Path(__file__).with_name("kernel_keeper.py")

_log = logging.getLogger(__name__)


class Kernel:
    """Runs Python, one piece of code after another, with variables that live on.

    Args:
        limits: What the code may use.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = asyncio.Lock()
        self._ended: asyncio.Future[PluginError] = asyncio.get_running_loop().create_future()
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._client: AsyncKernelClient | None = None
        self._watching: asyncio.Task[None] | None = None
        self._seen: dict[int, int] = {}
        self._awake = asyncio.Event()  # the watch looks more often while code is running

    @property
    def busy(self) -> bool:
        """Whether code is running, or coming to its end after it was stopped."""
        return self._lock.locked()

    @property
    def has_ended(self) -> bool:
        """Whether its process is gone, or about to be."""
        return self._ended.done()

    async def run(self, code: str) -> Output:
        """What the code showed. If the caller is cancelled, the code is stopped.

        Raises:
            PluginError: The process had to be killed, or ended by itself; the code of the error says why.
        """
        stop = asyncio.Event()
        work = asyncio.get_running_loop().create_task(self._run(code, stop))
        work.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            stop.set()
            raise

    async def end(self, reason: PluginError | None = None) -> None:
        """Kill all processes of the kernel and remove its folder; a call in progress fails with the reason."""
        if not self._ended.done():
            self._ended.set_result(reason or PluginError("The kernel was ended.", code="code_interpreter_killed"))
        watching, self._watching = self._watching, None
        if watching is not None and watching is not asyncio.current_task():
            watching.cancel()
        try:
            self._disconnect()
        except Exception:
            _log.exception("the sockets of a kernel could not be closed")
        await _aside(self.end_now)

    def end_now(self) -> None:
        """Kill all processes of the kernel and remove its folder, from any thread."""
        process, folder = self._process, self._folder
        if process is not None:
            if process.stdin is not None:
                process.stdin.close()
            if not sys.platform.startswith("linux"):
                with suppress(subprocess.TimeoutExpired):
                    process.wait(GRACE_SECONDS)  # only the keeper knows what belongs to it
            # Code may have killed the keeper; what it left has the folder in its environment.
            end_all(process.pid, {**self._seen, **(living_in(folder) if folder is not None else {})})
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_SECONDS)
        if folder is not None:
            kernel_folder.remove(folder)

    async def _run(self, code: str, stop: asyncio.Event) -> Output:
        async with self._lock:
            if self._client is None and not self.has_ended:
                await self._start()
            output = Output(self._limits.output)
            if self._client is None or stop.is_set():
                return self._checked(output)
            client = self._client
            with suppress(Empty):
                while True:  # replies of earlier calls
                    await client.get_shell_msg(timeout=0)
            self._awake.set()
            message_id = client.execute(code, allow_stdin=False)
            reading = asyncio.ensure_future(self._read(client, message_id, output))
            stopping = asyncio.ensure_future(stop.wait())
            try:
                await self._first(reading, stopping, seconds=self._limits.seconds)
                if not reading.done() and not self.has_ended:
                    await self._interrupt(reading, output)
                # Its socket is closed when the kernel is ended, and then it is cancelled.
                failure = reading.exception() if reading.done() and not reading.cancelled() else None
                if failure is not None:
                    await self.end(_killed(f"the kernel sent what is no message ({failure})"))
                is_whole = reading.done() and not reading.cancelled() and failure is None
                return output if is_whole else self._checked(output)
            finally:
                reading.cancel()
                stopping.cancel()
                await asyncio.gather(reading, stopping, return_exceptions=True)

    def _checked(self, output: Output) -> Output:
        if self.has_ended:
            # A new one each time: a raised exception keeps its traceback, and with it all that was in sight.
            reason = self._ended.result()
            shown = output.text()
            raise PluginError(f"{reason}\nIt had shown: {shown[-500:]}" if shown else str(reason), code=reason.code)
        return output

    async def _first(self, *tasks: asyncio.Future[Any], seconds: float) -> None:
        futures: set[asyncio.Future[Any]] = {*tasks, self._ended}
        await asyncio.wait(futures, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)

    async def _interrupt(self, reading: asyncio.Future[None], output: Output) -> None:
        assert self._process is not None
        limit = f"{self._limits.seconds:g} s"
        if self._process.stdin is not None:
            with suppress(OSError, ValueError):
                self._process.stdin.write(INTERRUPT)
        await self._first(reading, seconds=GRACE_SECONDS)
        if reading.done() and not self.has_ended:
            output.note(f"Stopped after {limit}, the limit of one call. The variables are kept.")
        elif not self.has_ended:
            message = f"The code ran for more than {limit} and could not be interrupted; its process was killed."
            await self.end(PluginError(message, code="code_interpreter_timeout"))

    async def _read(self, client: AsyncKernelClient, message_id: str, output: Output) -> None:
        while True:
            message = await client.get_iopub_msg(timeout=None)
            if message["parent_header"].get("msg_id") != message_id:
                continue  # of a thread that an earlier call left behind
            kind, content = message["header"]["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                return
            output.take(kind, content)
            if kind == "error" and content.get("ename") == "MemoryError":
                output.note(f"The limit of memory is {self._limits.memory >> 20:,} MB.")

    async def _start(self) -> None:
        began = time.monotonic()
        try:
            # Takes a good part of a second, once.
            await asyncio.to_thread(importlib.import_module, "jupyter_client.asynchronous.client")
            if self.has_ended:
                return
            connection = self._prepare()
            self._launch()
            self._client = self._connect(connection)
            self._watching = asyncio.get_running_loop().create_task(self._watch())
            await self._ready(self._client, began + START_SECONDS)
        except (OSError, subprocess.SubprocessError) as error:
            await self.end(PluginError(f"The code interpreter could not start: {error}"))
        except BaseException:
            await self.end()
            raise

    def _prepare(self) -> KernelConnectionInfo:
        self._folder = kernel_folder.make()
        info: KernelConnectionInfo = {
            "transport": "ipc",
            "ip": str(self._folder / "run" / "k"),
            "key": secrets.token_hex(32),
            "signature_scheme": "hmac-sha256",
            "shell_port": 1,
            "iopub_port": 2,
            "stdin_port": 3,
            "control_port": 4,
            "hb_port": 5,
        }
        (self._folder / "run" / "connection.json").write_text(json.dumps(info), "utf-8")
        return info

    def _launch(self) -> None:
        assert self._folder is not None
        limits = {
            name: getattr(self._limits, name)
            for name in ("cpu", "memory", "file", "open_files", "processes", "output", "picture")
        }
        connection_file = self._folder / "run" / "connection.json"
        kernel = [sys.executable, "-P", str(_CHILD), str(connection_file), json.dumps(limits)]
        with (self._folder / "run" / "complaints.txt").open("wb") as complaints:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_KEEPER), str(self._folder), str(os.getpid()), json.dumps(kernel)],
                cwd="/",
                env=environment(os.environ, self._folder),
                stdin=subprocess.PIPE,  # ours alone, so that it closes when this process ends, however that happens
                bufsize=0,
                stdout=subprocess.DEVNULL,
                stderr=complaints,
                start_new_session=True,
            )

    def _connect(self, connection: KernelConnectionInfo) -> AsyncKernelClient:
        import zmq
        import zmq.asyncio
        from jupyter_client.asynchronous.client import AsyncKernelClient

        context = zmq.asyncio.Context()
        context.setsockopt(zmq.LINGER, 0)
        context.setsockopt(zmq.MAXMSGSIZE, _MOST_MESSAGE)
        client = AsyncKernelClient(context=context)
        client.load_connection_info(connection)
        client.start_channels(stdin=False, hb=False, control=False)
        return client

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.stop_channels()
            client.context.destroy(linger=0)

    async def _ready(self, client: AsyncKernelClient, until: float) -> None:
        while not self.has_ended:
            if time.monotonic() > until:
                raise PluginError(f"The kernel did not answer for {START_SECONDS:g} s.{self._complaints()}")
            client.kernel_info()
            with suppress(Empty):
                await client.get_shell_msg(timeout=1)
                # Output goes to those who listen: only now is it certain that this is heard.
                await client.get_iopub_msg(timeout=0.2)
                return

    async def _watch(self) -> None:
        assert self._process is not None
        process, limits = self._process, self._limits
        while process.poll() is None:
            used = await _aside(functools.partial(usage, process.pid, folder=self._folder))
            self._seen = used.processes
            count = len(used.processes.keys() - {process.pid})
            if count > limits.processes:
                message = f"The code had {count} processes, more than the limit of {limits.processes}"
                await self.end(PluginError(f"{message}; all were killed.", code="code_interpreter_killed"))
                return
            if used.memory > limits.memory:
                message = f"The code held more than the limit of {limits.memory >> 20:,} MB of memory and was killed."
                await self.end(PluginError(message, code="code_interpreter_memory"))
                return
            self._awake.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._pause(), WATCH_IDLE_SECONDS)
        await self.end(_killed(self._cause(process.returncode)))

    async def _pause(self) -> None:
        if not self.busy:
            await self._awake.wait()
        await asyncio.sleep(WATCH_SECONDS)

    def _cause(self, code: int) -> str:
        if code == -signal.SIGXCPU:
            return f"it used more than {self._limits.cpu} s of processor time"
        if code < 0:
            return f"signal {-code}"
        return f"exit code {code}{self._complaints()}"

    def _complaints(self) -> str:
        if self._folder is None:
            return ""
        with suppress(OSError):
            with (self._folder / "run" / "complaints.txt").open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _MOST_COMPLAINTS))
                text = file.read(_MOST_COMPLAINTS).decode("utf-8", "replace").strip()
            _log.warning("a kernel ended: %s", visible(text[-4000:]))
            return f" ({text.splitlines()[-1][-200:]})" if text else ""
        return ""


async def _aside(function: Callable[..., T], *arguments: object) -> T:
    try:
        return await asyncio.to_thread(function, *arguments)
    except RuntimeError:
        # The program ends, and starts no thread any more.
        return function(*arguments)


def _killed(cause: str) -> PluginError:
    return PluginError(f"The process of the code ended: {cause}.", code="code_interpreter_killed")
