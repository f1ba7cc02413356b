"""What goes from one process to another: every exception arrives whole, and so do results, states and tables."""

from __future__ import annotations

import copy
import importlib
import multiprocessing
import pickle
import pkgutil
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest

import dashnb
from dashnb.errors import (
    APIError,
    AuthenticationError,
    DashnbError,
    NotFoundError,
    RateLimitError,
    RunError,
    StoreError,
    StreamError,
    api_error,
)
from dashnb.history.table import Table
from dashnb.protocol.events import event_of
from dashnb.protocol.state import RunState
from dashnb.session.result import RunResult

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
Copy = Callable[[Any], Any]


def sent_with(protocol: int) -> Copy:
    return lambda value: pickle.loads(pickle.dumps(value, protocol))


WAYS: dict[str, Copy] = {
    **{f"pickle-{protocol}": sent_with(protocol) for protocol in PROTOCOLS},
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "twice": lambda error: sent_with(5)(copy.deepcopy(sent_with(2)(error))),
}


def every_exception() -> list[type[BaseException]]:
    """All exceptions of all modules of dashnb that can be imported here."""
    for module in pkgutil.walk_packages(dashnb.__path__, "dashnb."):
        if not module.name.endswith("__main__"):
            try:
                importlib.import_module(module.name)
            except ImportError:
                continue  # an extra that is not installed

    def below(kind: type[BaseException]) -> Iterator[type[BaseException]]:
        for found in kind.__subclasses__():
            yield found
            yield from below(found)

    ours = {kind for kind in below(BaseException) if kind.__module__.partition(".")[0] == "dashnb"}
    return sorted(ours, key=lambda kind: (kind.__module__, kind.__qualname__))


def a_state() -> RunState:
    state = RunState(requested_at=1.0)
    state.apply(event_of("thread.run.created", {"id": "run_1", "status": "queued", "thread_id": "thread_1"}), at=2.0)
    delta = {"content": [{"type": "text", "text": {"value": "Hel·lo \ud83d"}}]}
    state.apply(event_of("thread.message.delta", {"id": "message_1", "delta": delta}), at=3.0)
    step = {"id": "step_1", "type": "tool_calls", "status": "in_progress", "step_details": {"tool_calls": []}}
    state.apply(event_of("thread.run.step.created", step), at=4.0)
    return state


def made(kind: type[BaseException]) -> BaseException:
    """An exception of a class, with an argument for each parameter that it asks for, and what raising adds."""
    given: dict[str, Any] = {
        "message": "What happened.\nWhat to do.",
        "state": a_state(),
        "status_code": 429,
        "code": "Throttling",
        "request_id": "r-1",
        "remedy": "Wait.",
        "run": {"id": "run_1", "status": "queued"},
        "places": ["age: Input should be an integer"],
    }
    code = getattr(kind.__init__, "__code__", None)
    if code is None:
        error = kind("What happened.\nWhat to do.")
    else:
        names = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
        unknown = set(names) - set(given)
        assert not unknown, f"say in this test what {kind.__name__} takes as {unknown}"
        error = kind(**{name: given[name] for name in names})
    error.add_note("A note.")
    error.foreword = "前言"  # type: ignore[attr-defined]
    return error


def facts(error: BaseException) -> dict[str, Any]:
    """The attributes, and states as what they say, as two of them are never equal."""
    return {
        name: (repr(value), value.text, value.steps, vars(value).keys()) if isinstance(value, RunState) else value
        for name, value in vars(error).items()
    }


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", every_exception(), ids=lambda kind: kind.__name__)
def test_every_exception_arrives_whole(kind: type[BaseException], way: str) -> None:
    error = made(kind)
    again = WAYS[way](error)
    assert type(again) is kind
    assert str(again) == str(error)
    assert again.args == error.args
    assert facts(again) == facts(error)
    assert again.__notes__ == ["A note."]


def test_there_are_exceptions_to_send() -> None:
    found = every_exception()
    assert {DashnbError, RunError, APIError} <= set(found)
    assert len(found) >= 30


def test_an_error_of_the_service_is_not_explained_twice() -> None:
    error = api_error(429, code="C", message="m", request_id="r")
    assert isinstance(error, RateLimitError)
    error.retry_after = 3.0
    for way in WAYS.values():
        again = way(error)
        assert str(again) == str(error)
        assert (again.message, again.code, again.request_id, again.retry_after) == ("m", "C", "r", 3.0)


class HolderError(StreamError):
    """A class of somebody else, with a slot and arguments of its own."""

    __slots__ = ("extra",)

    def __init__(self, one: object, two: object, *, extra: object) -> None:
        super().__init__("held", state=a_state())
        self.args = (one, two)
        self.extra = extra


def test_classes_of_others_below_ours_arrive_whole_too() -> None:
    for way in WAYS.values():
        again = way(HolderError(1, "two", extra={"three": 3}))
        assert (type(again), again.args, again.extra, again.state.text) == (
            HolderError,
            (1, "two"),
            {"three": 3},
            "Hel·lo \ud83d",
        )


class Deaf(Exception):
    """An exception that can be pickled and not be had back, as some libraries' can."""

    def __init__(self, *, response: object) -> None:
        super().__init__("deaf")


UNSENDABLE = {"lock": threading.Lock(), "frame": sys._getframe(), "lambda": lambda: None, "deaf": Deaf(response=1)}


@pytest.mark.parametrize("thing", UNSENDABLE.values(), ids=UNSENDABLE)
def test_what_cannot_be_sent_stays_behind_and_the_error_is_an_error(thing: object) -> None:
    error = RunError("The run failed.", state=a_state(), code="c")
    error.response = thing  # type: ignore[attr-defined]
    assert copy.copy(error).response is thing  # type: ignore[attr-defined]
    for protocol in PROTOCOLS:
        again = sent_with(protocol)(error)
        assert (type(again), str(again), again.code, again.response) == (RunError, "The run failed.", "c", None)
        assert again.state.text == error.state.text
        again = sent_with(protocol)(StoreError("kept", thing))
        assert (type(again), str(again)) == (StoreError, str(StoreError("kept", thing)))


def test_errors_that_hold_each_other_arrive() -> None:
    first, second = StoreError("first"), StoreError("second")
    first.other, second.other = second, first  # type: ignore[attr-defined]
    chain: DashnbError = first
    for number in range(60):
        longer = StoreError(f"{number}")
        longer.inner = chain  # type: ignore[attr-defined]
        chain = longer
    again = sent_with(5)(chain)
    for _ in range(60):
        again = again.inner
    assert (str(again), again.other.other is again) == ("first", True)


def test_the_key_of_a_request_does_not_go_along_with_its_error() -> None:
    error = AuthenticationError("no", status_code=401)
    error.__cause__ = error.__context__ = ValueError("Bearer sk-canary-0123456789")
    assert b"sk-canary" not in pickle.dumps(error)


# --- results, states and tables --------------------------------------------------------------------


def test_a_state_arrives_whole_and_takes_more_events() -> None:
    for way in (*map(sent_with, range(2, 6)), copy.deepcopy):
        state = way(a_state())
        state.apply(event_of("thread.run.completed", {"id": "run_1", "status": "completed"}), at=9.0)
        assert (state.text, state.status, state.duration_ms, len(state.steps)) == ("Hel·lo \ud83d", "completed", 8.0, 1)


class Reading:
    """A run in the background, with what no process can send."""

    done = False
    exception: BaseException | None = None

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def wait(self, timeout: float | None) -> None: ...
    def cancel(self) -> None: ...


def test_a_result_of_the_background_arrives_as_it_was_then() -> None:
    work = Reading()
    result = RunResult(a_state(), work=work)
    result.parsed = {"n": 1}
    again = sent_with(5)(result)
    assert (again.text, again.parsed, again.done, again.exception) == (result.text, {"n": 1}, False, None)
    assert again.wait(0.01) is again
    again.cancel()
    work.done, work.exception = True, RunError("it failed", state=result.state)
    again = sent_with(5)(result)
    assert (again.done, type(again.exception), str(again.exception)) == (True, RunError, "it failed")


def test_a_table_arrives_whole() -> None:
    table = Table({"id": "id", "tokens": "integer"}, [("run_1", 75), ("run_2", None)], name="runs")
    for way in WAYS.values():
        again = way(table)
        assert (again.name, again.schema, again.rows) == (table.name, table.schema, table.rows)
        assert str(again) == str(table)


# --- workers -----------------------------------------------------------------------------------------


def fail(number: int) -> None:
    raise RunError(f"the run {number} failed", state=a_state(), code="c")


def refuse(number: int) -> None:
    raise api_error(404, code="ThreadNotFound", message=f"There is no thread {number}.", request_id="r")


METHODS = [name for name in ("fork", "forkserver", "spawn") if name in multiprocessing.get_all_start_methods()]


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_workers_hand_back_their_errors_whole(method: str) -> None:
    context: Any = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        with pytest.raises(RunError, match="the run 1 failed") as caught:
            executor.submit(fail, 1).result(60)
        assert caught.value.state.text == "Hel·lo \ud83d"
        with pytest.raises(NotFoundError, match="There is no thread 2") as refused:
            executor.submit(refuse, 2).result(60)
        assert str(refused.value).count("Check the id") == 1
    pool = context.Pool(1)
    try:
        with pytest.raises(RunError, match="the run 3 failed"):
            pool.apply_async(fail, (3,)).get(60)
    finally:
        pool.terminate()
        pool.join()
