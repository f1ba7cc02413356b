"""The code interpreter: Python in a separate process, whose variables live as long as the conversation.

Each thread has a kernel of its own. The output is text: what was printed, the value of the last
expression, a short traceback. With pictures it is JSON instead: ``text``, ``results`` with each small
picture as a ``data:`` address, and ``files``, where all of them are kept below the data folder.

What this keeps apart and what not: the process sees neither the server's environment nor its folder,
and its time, memory, output and processes are limited. It is still a process of the same user, who can
read that user's files and reach the network: run code here that you would run in a notebook.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import importlib.util
import json
import re
import sys
from typing import Any
from weakref import WeakKeyDictionary

from dashnb.foreign import read_json
from dashnb.local.plugins import PluginError
from dashnb.local.plugins.folder import PICTURES, Folder
from dashnb.local.plugins.kernel import Kernel
from dashnb.local.plugins.kernel_folder import sweep
from dashnb.local.plugins.kernel_output import Output
from dashnb.local.plugins.processes import Limits

KERNELS = 4
IDLE_SECONDS = 600.0
_SHOWN_BYTES = 400_000  # of all pictures together, as data: addresses; readers stop at a million characters
_REMEMBERED = 1000
_LANGUAGES = ("python", "python3", "py", "ipython", "")
_FENCE = re.compile(r"\A\s*```[\w+-]*\n(.*?)\n?```\s*\Z", re.DOTALL)


class CodeInterpreter:
    """The plugin ``code_interpreter``.

    Args:
        folder: Below it pictures are kept, in a folder for each thread.
        limits: What the code of one thread may use.
        kernels: How many threads may have a kernel at once; the one used longest ago ends for another.
        idle: Seconds after which a kernel that nobody uses ends.
    """

    def __init__(
        self,
        folder: Folder,
        *,
        limits: Limits | None = None,
        kernels: int = KERNELS,
        idle: float = IDLE_SECONDS,
    ) -> None:
        self._folder = folder
        self._limits = limits or Limits()
        self._kernels = kernels
        self._idle = idle
        # Kernels belong to a loop: an API on a port has another one than the same API in process.
        self._pools: WeakKeyDictionary[asyncio.AbstractEventLoop, KernelPool] = WeakKeyDictionary()

    async def call(self, arguments: str, definition: dict[str, Any], *, thread_id: str) -> str:
        """What the code of the arguments showed.

        Raises:
            PluginError: There is no code, no kernel, or the kernel's process was killed.
        """
        code = read_code(arguments)
        _check_installation()
        loop = asyncio.get_running_loop()
        if loop not in self._pools:
            await asyncio.to_thread(sweep)  # what a server that was killed has left
        if loop not in self._pools:
            self._pools[loop] = KernelPool(self._limits, self._kernels, self._idle)
        output = await self._pools[loop].run(thread_id, code)
        if not output.pictures:
            return output.text()
        return await asyncio.to_thread(self._with_pictures, output, thread_id)

    async def aclose(self) -> None:
        """End the kernels of this loop, and those of loops that have been closed."""
        here = asyncio.get_running_loop()
        for loop, pool in list(self._pools.items()):
            if loop is here:
                await pool.aclose()
            elif loop.is_closed():
                await asyncio.to_thread(pool.end_now)

    def _with_pictures(self, output: Output, thread_id: str) -> str:
        answer: dict[str, Any] = {"text": "", "results": []}
        left = _SHOWN_BYTES
        for picture in output.pictures:
            if len(picture) <= left:
                left -= len(picture)
                answer["results"].append({"url": f"data:image/png;base64,{base64.b64encode(picture).decode()}"})
            else:
                output.note("A picture is too large to be shown here; it is among the files.")
        folder = self._folder() / PICTURES / re.sub(r"[^\w-]", "_", thread_id)
        names = [f"{hashlib.sha256(picture).hexdigest()[:16]}.png" for picture in output.pictures]
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for name, picture in zip(names, output.pictures, strict=True):
                (folder / name).write_bytes(picture)
            answer["files"] = [f"{PICTURES}/{folder.name}/{name}" for name in names]
        except OSError as error:
            output.note(f"The pictures could not be kept as files: {error.strerror}.")
        answer["text"] = output.text()
        return json.dumps(answer, ensure_ascii=False)


class KernelPool:
    """The kernels of one loop, by thread."""

    def __init__(self, limits: Limits, most: int, idle: float) -> None:
        self._limits = limits
        self._most = most
        self._idle = idle
        self._places = asyncio.Semaphore(most)
        self._kernels: dict[str, Kernel] = {}  # the one used longest ago comes first
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._ended: dict[str, None] = {}  # threads whose variables are gone
        self._ending: set[asyncio.Task[None]] = set()

    async def run(self, thread_id: str, code: str) -> Output:
        """Run code in the kernel of a thread; if as many as may run at once are running, wait for one."""
        async with self._places:
            kernel, is_anew = await self._kernel(thread_id)
            try:
                output = await kernel.run(code)
            finally:
                if self._kernels.get(thread_id) is kernel:
                    loop = asyncio.get_running_loop()
                    self._timers[thread_id] = loop.call_later(self._idle, self._retire, thread_id)
            if is_anew:
                output.note("The kernel was started anew: the variables of earlier calls are gone.")
            return output

    async def aclose(self) -> None:
        """End all kernels."""
        for timer in self._timers.values():
            timer.cancel()
        kernels = list(self._kernels.values())
        self._kernels.clear()
        await asyncio.gather(*(kernel.end() for kernel in kernels), *self._ending)

    def end_now(self) -> None:
        """End all kernels although their loop is gone."""
        for kernel in self._kernels.values():
            kernel.end_now()
        self._kernels.clear()

    async def _kernel(self, thread_id: str) -> tuple[Kernel, bool]:
        if thread_id in self._timers:
            self._timers.pop(thread_id).cancel()
        kernel = self._kernels.pop(thread_id, None)
        if kernel is not None and kernel.has_ended:
            self._remember(thread_id)
            kernel = None
        if kernel is not None:
            self._kernels[thread_id] = kernel
            return kernel, False
        is_anew = thread_id in self._ended
        self._ended.pop(thread_id, None)
        self._kernels[thread_id] = kernel = Kernel(self._limits)
        others = [name for name in self._kernels if name != thread_id]
        if len(others) >= self._most:
            # One that still comes to its end after a cancel is busy too, and may have to go at last.
            oldest = next((name for name in others if not self._kernels[name].busy), others[0])
            await self._give_up(oldest)
        return kernel, is_anew

    async def _give_up(self, thread_id: str) -> None:
        if thread_id in self._timers:
            self._timers.pop(thread_id).cancel()
        self._remember(thread_id)
        await self._kernels.pop(thread_id).end()

    def _retire(self, thread_id: str) -> None:
        kernel = self._kernels.get(thread_id)
        if kernel is not None and not kernel.busy:
            task = asyncio.get_running_loop().create_task(self._give_up(thread_id))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    def _remember(self, thread_id: str) -> None:
        self._ended[thread_id] = None
        if len(self._ended) > _REMEMBERED:
            del self._ended[next(iter(self._ended))]


def read_code(arguments: str) -> str:
    r"""The code of a call: under ``code`` in a JSON object, or the arguments themselves if they are no object.

    >>> read_code('{"language": "python", "code": "print(1)"}'), read_code("```python\nprint(1)\n```")
    ('print(1)', 'print(1)')

    Raises:
        PluginError: There is none, or it is not Python.
    """
    try:
        value = read_json(arguments or "{}", strict=False)
    except ValueError:
        if arguments.lstrip().startswith('{"'):
            message = f"The arguments of code_interpreter are not JSON: {arguments[:80]}"
            raise PluginError(message) from None
        value = {"code": arguments}
    if isinstance(value, str):
        value = {"code": value}
    given = value if isinstance(value, dict) else {"code": arguments}
    language = str(given.get("language") or "").lower()
    if language not in _LANGUAGES:
        raise PluginError(f"The code interpreter runs Python, not {language[:40]}.")
    code = given.get("code")
    if not isinstance(code, str) or not code.strip():
        raise PluginError("code_interpreter needs the argument 'code', a text that is not empty.")
    fenced = _FENCE.match(code)
    return fenced[1] if fenced else code


def _check_installation() -> None:
    if sys.platform == "win32":
        raise PluginError("The code interpreter needs Linux or macOS.", code="code_interpreter_unavailable")
    if any(importlib.util.find_spec(name) is None for name in ("jupyter_client", "ipykernel")):
        message = 'The code interpreter needs a Jupyter kernel.\nInstall it with: pip install "dashnb[lab]"'
        raise PluginError(message, code="code_interpreter_unavailable")
