"""Calling functions for a run: several at once, each within its time, whatever they do.

What goes wrong becomes the output of the call, beginning with ``Error:``, so that the model can act on
it and the run goes on; the last lines of the traceback are for the person only. Only an interrupt, which
is the person's and not the function's, comes out.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from types import FrameType
from typing import Any

from dashnb.protocol.state import Aside, ToolCall
from dashnb.session.approval import Decision
from dashnb.session.results import Outcome, UnreadableResult, outcome_of
from dashnb.session.tools import ArgumentsError, FunctionTool

TRACEBACK_LINES = 8
Keep = Callable[[ToolCall, Outcome], None]


# What a call came to of which nobody knows how far it got: it is not made a second time.
INTERRUPTED = Outcome("Error: the person interrupted this call before it had ended")


class OutOfTime(BaseException):
    """A function took too long. No ``except Exception`` of the function itself may hold it."""


def call_all(
    calls: Sequence[ToolCall],
    functions: Mapping[str, FunctionTool],
    decisions: Mapping[int, Decision],
    keep: Keep = lambda _call, _outcome: None,
) -> list[Outcome]:
    """The outcome of each call, in order. Functions that may run side by side do.

    Args:
        calls: The calls.
        functions: The functions by name.
        decisions: What was decided about each call, by its number.
        keep: Takes the outcome of a call when it begins, as one that was interrupted, and when it has ended.
    """

    def work(call: ToolCall) -> Callable[[], Outcome]:
        keep(call, INTERRUPTED)
        return partial(_kept, call, functions[call.name], decisions[call.number], keep)

    if len(calls) == 1:
        return [work(calls[0])()]
    apart = [_Apart(work(call)) if functions[call.name].parallel else None for call in calls]
    # Those that must be called here are called while the others run.
    here = [None if one else work(call)() for one, call in zip(apart, calls, strict=True)]
    return [one.result() if one else outcome for one, outcome in zip(apart, here, strict=True)]  # type: ignore[misc]


def _kept(call: ToolCall, tool: FunctionTool, decision: Decision, keep: Keep) -> Outcome:
    outcome = _outcome(call, tool, decision)
    keep(call, outcome)
    return outcome


def _outcome(call: ToolCall, tool: FunctionTool, decision: Decision) -> Outcome:
    if not decision.approved:
        return Outcome(decision.refusal)
    changed = decision.arguments
    if changed is None or changed == call.arguments:
        return call_one(tool, call.arguments)
    outcome = call_one(tool, changed)
    return replace(outcome, text=f"{outcome.text}\n(The person changed the arguments to {changed}.)")


def call_one(tool: FunctionTool, arguments: str) -> Outcome:
    """The outcome of one call.

    >>> from dashnb.session.tools import tool
    >>> @tool
    ... def double(number: int) -> int:
    ...     return 2 * number
    >>> call_one(double, '{"number": 21}').text
    '42'
    >>> call_one(double, '{"number": "many"}').text
    'Error: number: Input should be a valid integer, unable to parse string as an integer'

    Args:
        tool: The function.
        arguments: JSON text, as a model wrote it.
    """
    try:
        given = tool.read(arguments)
        outcome: Outcome = _within(tool.timeout, lambda: outcome_of(_finished(tool.function(**given))))
        return outcome
    except KeyboardInterrupt:
        raise
    except (ArgumentsError, UnreadableResult) as error:
        return Outcome(f"Error: {error}")
    except OutOfTime:
        return Outcome(f"Error: the function did not answer within {tool.timeout:g} seconds")
    except BaseException as error:  # also what would end a program, as sys.exit() does
        return Outcome(_sentence(error), Aside(text=_last_lines(error)))


def _sentence(error: BaseException) -> str:
    """The kind of an exception and what it says, whatever its own methods do."""
    kind = type(error).__name__
    try:
        return outcome_of(f"Error: {kind}: {error}").text
    except KeyboardInterrupt:
        raise
    except BaseException:
        return f"Error: {kind}: what it says cannot be read"


def _last_lines(error: BaseException) -> str:
    """The end of a traceback, without our own frames and without values of variables; ``""`` if it has none to show."""
    try:
        return _traceback(error)
    except Exception:
        return ""


def _traceback(error: BaseException) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    lines = traceback.format_list(traceback.StackSummary.from_list(frames))
    lines += traceback.format_exception_only(error)
    return "\n".join("".join(lines).splitlines()[-TRACEBACK_LINES:])


# --- time --------------------------------------------------------------------------------------


def _within(seconds: float | None, work: Callable[[], Any]) -> Any:
    """The result of the work, which is stopped when its time is over.

    On the main thread a signal stops it, as an interrupt would; elsewhere, where none can be sent, it is
    left behind on a thread of its own, and its result is dropped.
    """
    if seconds is None:
        return work()
    if threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer"):
        with _alarm(seconds):
            return work()
    apart = _Apart(work)
    if not apart.ends_within(seconds):
        raise OutOfTime
    return apart.result()


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def ring(_number: int, _frame: FrameType | None) -> None:
        raise OutOfTime

    earlier = signal.signal(signal.SIGALRM, ring)
    left, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)
        signal.signal(signal.SIGALRM, earlier)


class _Apart:
    """Work on a thread of its own, under the same cell: what it prints appears there."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self._outcome: Future[Any] = Future()
        run = contextvars.copy_context().run
        threading.Thread(target=run, args=(self._run,), name="dashnb-tool", daemon=True).start()

    def ends_within(self, seconds: float) -> bool:
        return not wait([self._outcome], seconds).not_done

    def result(self) -> Any:
        return self._outcome.result()

    def _run(self) -> None:
        try:
            self._outcome.set_result(self._work())
        except BaseException as error:
            self._outcome.set_exception(error)


# --- asynchronous functions ----------------------------------------------------------------------


def _finished(result: Any) -> Any:
    """A result, or what an asynchronous function comes to.

    A cell runs inside the kernel's own event loop, which cannot wait for a second one on its thread.
    """
    if not inspect.isawaitable(result):
        return result

    async def wait_for_it() -> Any:
        return await result

    loop = asyncio.new_event_loop()

    def run() -> Any:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            return runner.run(wait_for_it())

    work = _Joined(run)
    try:
        work.start()
        return work.result()
    except (KeyboardInterrupt, OutOfTime):
        with suppress(RuntimeError):  # the function has ended just now, and its loop is closed
            loop.call_soon_threadsafe(_cancel_all, loop)
        raise
    finally:
        work.join()


class _Joined:
    """Work on a thread that is waited for to its end."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._outcome: Future[Any] = Future()
        run = contextvars.copy_context().run
        self._thread = threading.Thread(target=run, args=(self._run, work), name="dashnb-tool")

    def start(self) -> None:
        self._thread.start()

    def result(self) -> Any:
        return self._outcome.result()

    def join(self) -> None:
        self._thread.join()

    def _run(self, work: Callable[[], Any]) -> None:
        try:
            self._outcome.set_result(work())
        except BaseException as error:
            self._outcome.set_exception(error)


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()
