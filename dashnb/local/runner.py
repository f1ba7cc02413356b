"""How a run goes: ask the engine, write what it says, have its tools called, ask again, end.

A run is a task of its own. It writes to the run's log and knows nothing of readers: it goes on when
they leave. Whatever happens, it ends with a final event and ``done``.

    queued → in_progress → rounds of (engine's pieces → messages, tool steps) → completed
                           a round that calls functions → requires_action, and the task ends
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

from dashnb.errors import StoreError
from dashnb.local.ending import Error
from dashnb.local.models.engine import (
    Call,
    CallPiece,
    Engine,
    EngineError,
    OutputPiece,
    Piece,
    ReasoningPiece,
    Said,
    Spent,
    TextPiece,
    Turn,
)
from dashnb.local.plugins import Plugin, PluginError, ThreadPlugin
from dashnb.local.store import Record, RunCancelling, RunEnded, Store
from dashnb.local.workers import Do, P, T, at_once
from dashnb.local.writer import OpenCall, RunWriter
from dashnb.protocol.requests import LAST_MESSAGES

MOST_ROUNDS = 16

_log = logging.getLogger(__name__)


class Runner:
    """Runs the runs of one embedded API.

    Args:
        store: The database.
        engine: Who answers.
        plugins: What the built-in tools do, by their types.
        do: How functions that read or write the database are called, one after another.
        steady: Seconds of a clock that nobody sets.

    Attributes:
        unended: The runs that nobody works on any more and whose end could not be written, with the status and
            the error that they are to end with: for the keeper.
    """

    def __init__(
        self,
        store: Store,
        engine: Engine,
        plugins: Mapping[str, Plugin],
        *,
        do: Do = at_once,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._engine = engine
        self._plugins = plugins
        self._queue = do
        self._steady = steady
        # The last try to write that found the database locked until it gave up: when it began, and why it failed.
        self._waited: tuple[float, StoreError] | None = None
        self.unended: dict[str, tuple[str, Error | None]] = {}
        self._tasks: dict[str, tuple[asyncio.Task[None], RunWriter]] = {}
        self._stopping = False

    def start(self, writer: RunWriter) -> None:
        """Let a queued run go on by itself."""
        self._begin(writer, self._run(writer))

    def _begin(self, writer: RunWriter, work: Coroutine[Any, Any, None]) -> None:
        run_id: str = writer.run["id"]
        task = asyncio.get_running_loop().create_task(work, name=run_id)
        self._tasks[run_id] = task, writer
        task.add_done_callback(lambda ended: self._forget(ended, writer))

    def running(self) -> list[str]:
        """The ids of the runs that have a task here."""
        return list(self._tasks)

    def cancel(self, run_id: str) -> bool:
        """Stop the run's task; False if it has none here."""
        task, _ = self._tasks.get(run_id, (None, None))
        if task is None or task.done():
            return False
        loop = task.get_loop()
        if loop is _loop_here():
            return task.cancel()
        with suppress(RuntimeError):  # its loop has been closed, and the task with it
            loop.call_soon_threadsafe(task.cancel)
        return True

    async def close(self) -> None:
        """Stop all runs of this loop; each ends as ``failed`` with the code ``server_stopped``."""
        self._stopping = True
        for task in self._tasks_here():
            task.cancel()
        # One that was cancelled before its first step is ended by another task.
        while tasks := self._tasks_here():
            await asyncio.gather(*tasks, return_exceptions=True)
        self._stopping = False

    def _tasks_here(self) -> list[asyncio.Task[None]]:
        here = asyncio.get_running_loop()
        return [task for task, _ in list(self._tasks.values()) if task.get_loop() is here]

    async def _run(self, writer: RunWriter) -> None:
        try:
            await self._work(writer)
        except RunEnded:
            pass  # somebody else has told its readers
        except RunCancelling:
            await self._stop(writer, "cancelled")
        except asyncio.CancelledError:
            if writer.run["status"] != "requires_action":  # else it has just let go of the run
                await self._stop_cancelled(writer)
        except (EngineError, PluginError) as error:
            await self._stop(writer, "failed", {"code": error.code, "message": str(error)})
        except StoreError as fault:
            _log.warning("run %s could not be written: %s", writer.run["id"], fault)
            self.unended[writer.run["id"]] = "failed", _unwritten(fault)
        except Exception as error:
            _log.exception("run %s failed", writer.run["id"])
            message = f"The embedded API failed: {type(error).__name__}: {error}"
            await self._stop(writer, "failed", {"code": "InternalError", "message": message})

    def _forget(self, task: asyncio.Task[None], writer: RunWriter) -> None:
        run_id = writer.run["id"]
        # A run that has been resumed has another task by now.
        is_last = self._tasks.get(run_id, (None, None))[0] is task
        if is_last:
            del self._tasks[run_id]
        if is_last and task.cancelled():
            # Before its first step, so that `_run` could not see it.
            self._begin(writer, self._stop_cancelled(writer))

    async def _stop_cancelled(self, writer: RunWriter) -> None:
        if self._stopping:
            await self._stop(writer, "failed", {"code": "server_stopped", "message": "The server was stopped."})
        else:
            await self._stop(writer, "cancelled")

    async def _stop(self, writer: RunWriter, status: str, error: Error | None = None) -> None:
        if not self.unended:
            try:
                await self._do(writer.stop, status, error=error)
                return
            except StoreError as fault:
                _log.warning("the end of run %s could not be written: %s", writer.run["id"], fault)
        # A database that cannot be written is tried by one alone, as each try may take long.
        self.unended[writer.run["id"]] = status, error

    async def _do(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """The function's result, once its turn has come.

        Where the database stays locked, each try takes as long as SQLite waits. Those that were in the queue for
        all of that time fail with it, else the last of many runs would wait many times as long as the first.
        """
        return await self._queue(self._in_turn, self._steady(), partial(function, *args, **kwargs))

    def _in_turn(self, asked: float, work: Callable[[], T]) -> T:
        begun = self._steady()
        if self._waited is not None and (self._stopping or asked <= self._waited[0]):
            fault = StoreError(str(self._waited[1]))
            fault.passes = True
            raise fault
        try:
            done = work()
        except StoreError as fault:
            self._waited = (begun, fault) if fault.passes else None
            raise
        self._waited = None
        return done

    async def _work(self, writer: RunWriter) -> None:
        do = self._do
        if not await do(writer.move, "in_progress"):
            raise RunCancelling(writer.run["id"])
        built_in = {tool["type"] for tool in writer.run["tools"]} - {"function"}
        spent = _Sum(writer.run.get("spent"))
        for number in range(len(await do(self._rounds, writer.run)), MOST_ROUNDS):
            round_ = _Round(writer, number, built_in, self._plugins, do)
            async with _closing(self._engine.answer(await do(self._turn, writer.run))) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Spent):
                        spent.add(piece)
                    else:
                        await round_.take(piece)
                    # Readers get each event as it comes, and a cancel is seen between two pieces.
                    await asyncio.sleep(0)
            await round_.finish()
            if round_.functions:
                await do(writer.require, round_.function_step, round_.functions, spent.values)
                return
            if not round_.called:
                await do(writer.complete, spent.values)
                return
        raise EngineError(f"The model asked for tools {MOST_ROUNDS} times in a row; the run was stopped.")

    def _turn(self, run: Record) -> Turn:
        settings = {name: run.get(name) for name in ("temperature", "top_p", "top_k", "max_tokens")}
        sampling = {name: value for name, value in settings.items() if value is not None}
        rounds = self._rounds(run)
        tools = tuple(self._described(tool) for tool in run["tools"])
        return Turn(run["model"], run["instructions"], tools, self._said(run), rounds, sampling)

    def _described(self, tool: dict[str, Any]) -> dict[str, Any]:
        """A tool with what its plugin says of itself, such as its schema; the run's own words outrank that.

        The token of a plugin is for its call alone: no model sees it.
        """
        try:
            known: dict[str, Any] = getattr(self._plugins.get(tool["type"]), "definition", {})
        except PluginError:
            # A plugin that cannot be had is told about when it is used.
            known = {}
        return {**known, **{name: value for name, value in tool.items() if name != "auth"}}

    def _said(self, run: Record) -> tuple[Said, ...]:
        """The thread as far as the run's strategy lets it through, without what the run says itself."""
        count: int = (run.get("truncation_strategy") or {}).get("last_messages") or LAST_MESSAGES
        steps = self._store.every("steps", run_id=run["id"])
        own = sum(step["type"] == "message_creation" for step in steps)
        kept = self._store.newest("messages", count + own, thread_id=run["thread_id"])
        others = [message for message in kept if message.get("run_id") != run["id"]]
        return tuple(Said(message["role"], message["text"]) for message in others[-count:])

    def _rounds(self, run: Record) -> tuple[tuple[Call, ...], ...]:
        """The finished tool calls of the run, as the engine sees them."""
        rounds: dict[int, list[Call]] = {}
        for step in self._store.every("steps", run_id=run["id"]):
            if step["type"] != "tool_calls" or step["status"] != "completed":
                continue
            for call in step["step_details"]["tool_calls"]:
                payload = call[call["type"]]
                name = payload.get("name", call["type"])
                done = Call(name, payload["arguments"], payload["output"], call.get("id", ""))
                rounds.setdefault(step["round"], []).append(done)
        return tuple(tuple(rounds[number]) for number in sorted(rounds))


def _unwritten(fault: StoreError) -> Error:
    return {"code": "store_failed", "message": f"{fault}\nWhat the run had written is kept; ask again."}


def _loop_here() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


@asynccontextmanager
async def _closing(pieces: AsyncIterator[Piece]) -> AsyncIterator[AsyncIterator[Piece]]:
    """A cancel or a failing tool has to reach the model's own stream now, not when garbage is collected."""
    try:
        yield pieces
    finally:
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()


class _Sum:
    """Tokens of all model calls of a run, before and after its functions were called."""

    def __init__(self, before: dict[str, int] | None) -> None:
        self.values = dict(before or {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0})

    def add(self, spent: Spent) -> None:
        self.values["input_tokens"] += spent.input_tokens
        self.values["output_tokens"] += spent.output_tokens
        self.values["total_tokens"] += spent.input_tokens + spent.output_tokens


class _Round:
    """One answer of the engine, written as it comes.

    Text goes to a message. Each built-in call has a step of its own and is carried out as soon as its
    arguments are complete; all function calls share one step that stays open.
    """

    def __init__(
        self, writer: RunWriter, number: int, built_in: set[str], plugins: Mapping[str, Plugin], do: Do
    ) -> None:
        self.functions: list[OpenCall] = []
        self.function_step: Record = {}
        self.called = False
        self._writer = writer
        self._number = number
        self._built_in = built_in
        self._plugins = plugins
        self._do = do
        self._call: OpenCall | None = None
        self._step: Record = {}

    async def take(self, piece: Piece) -> None:
        """Write a piece."""
        if isinstance(piece, TextPiece):
            await self._finish_call()
            await self._do(self._writer.write, piece.text)
        elif isinstance(piece, CallPiece):
            if self._call is None or piece.number != self._call.number:
                await self._begin_call(piece)
            if piece.arguments:
                await self._tell(piece.arguments)
        elif isinstance(piece, ReasoningPiece):
            await self._do(self._writer.think, piece.text)
        elif isinstance(piece, OutputPiece) and self._call is not None:
            self._call.output = piece.output

    async def finish(self) -> None:
        """Close what is still open, but for the step of the functions."""
        await self._finish_call()
        await self._do(self._writer.finish_message)

    async def _begin_call(self, piece: CallPiece) -> None:
        await self._finish_call()
        await self._do(self._writer.finish_message)
        self.called = True
        self._call = OpenCall(piece.number, piece.name)
        if self._is_function:
            self._call.id = self._writer.new_call_id()
            self._call.number = len(self.functions)
            self.functions.append(self._call)
            self.function_step = self.function_step or await self._do(self._writer.open_tool_step, self._number)
            await self._do(self._writer.tell_function, self.function_step, self._call, None)
        else:
            self._step = await self._do(self._writer.open_tool_step, self._number)
            await self._do(self._writer.tell_plugin, self._step, self._call, "")

    @property
    def _is_function(self) -> bool:
        """A name that is no built-in tool of the run is a function: only the caller can run it."""
        return self._call is not None and self._call.name not in self._built_in

    async def _tell(self, arguments: str) -> None:
        assert self._call is not None
        self._call.arguments.append(arguments)
        if self._is_function:
            await self._do(self._writer.tell_function, self.function_step, self._call, arguments)
        else:
            await self._do(self._writer.tell_plugin, self._step, self._call, arguments)

    async def _finish_call(self) -> None:
        call, is_function = self._call, self._is_function
        self._call = None
        if call is None or is_function:
            return
        for _ in range(2):
            await self._do(self._writer.tell_plugin, self._step, call, "")
        if call.output is None:
            call.output = await self._use_plugin(call)
        await self._do(self._writer.finish_plugin, self._step, call)

    async def _use_plugin(self, call: OpenCall) -> str:
        plugin = self._plugins.get(call.name)
        if plugin is None:
            known = ", ".join(sorted(self._plugins)) or "none"
            raise PluginError(f"The embedded API has no tool {call.name!r}; it has: {known}.")
        definition = next(tool for tool in self._writer.run["tools"] if tool["type"] == call.name)
        if isinstance(plugin, ThreadPlugin):
            thread_id: str = self._writer.run["thread_id"]
            return await plugin.call("".join(call.arguments), definition, thread_id=thread_id)
        return await plugin("".join(call.arguments), definition)
