"""Functions called for a run: side by side, within their time, as a person decided."""

from __future__ import annotations

import asyncio
import base64
import itertools
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pandas as pd
import polars as pl
import pytest

from dashnb.errors import ToolDefinitionError
from dashnb.protocol.state import ToolCall
from dashnb.session.approval import APPROVED, NOBODY, Decision, by_policy, decide
from dashnb.session.calling import OutOfTime, call_all, call_one
from dashnb.session.results import UnreadableResult, outcome_of
from dashnb.session.tools import FunctionTool, tool

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAADCAYAAAC56t6BAAAAEklEQVR4nGP8z8Dwn4GBgYEBAA0GAgFvr4kAAAAAAElFTkSuQmCC"
)


def calls(*names: str) -> list[ToolCall]:
    return [ToolCall(number, id=f"call_{number}", name=name, arguments="{}") for number, name in enumerate(names)]


def together(*tools: FunctionTool) -> list[str]:
    """The outputs of one call of each."""
    functions = {one.name: one for one in tools}
    asked = calls(*functions)
    return [outcome.text for outcome in call_all(asked, functions, dict.fromkeys(range(len(asked)), APPROVED))]


# --- side by side ------------------------------------------------------------------------------


def test_several_calls_run_at_the_same_time_and_their_outputs_keep_their_order() -> None:
    met = threading.Barrier(3, timeout=5)

    def meeting(name: str) -> FunctionTool:
        def wait() -> str:
            met.wait()
            return name

        return tool(name=name)(wait)

    assert together(meeting("one"), meeting("two"), meeting("three")) == ["one", "two", "three"]


def test_asynchronous_and_ordinary_functions_run_side_by_side() -> None:
    arrived = threading.Event()

    @tool
    async def first() -> bool:
        return await asyncio.to_thread(arrived.wait, 5)

    @tool
    def second() -> str:
        arrived.set()
        return "done"

    assert together(first, second) == ["true", "done"]


def test_a_function_that_must_be_called_here_is_called_on_this_thread_while_the_others_run() -> None:
    @tool(parallel=False)
    def here() -> bool:
        return threading.current_thread() is threading.main_thread()

    @tool
    def anywhere() -> bool:
        return threading.current_thread() is threading.main_thread()

    assert together(anywhere, here) == ["false", "true"]


def test_a_single_call_is_made_on_this_thread() -> None:
    @tool
    def here() -> bool:
        return threading.current_thread() is threading.main_thread()

    assert together(here) == ["true"]


def test_one_function_that_fails_does_not_hurt_the_others() -> None:
    @tool
    def fails() -> None:
        raise LookupError("no such train")

    @tool
    def works() -> int:
        return 1

    assert together(fails, works) == ["Error: LookupError: no such train", "1"]


# --- time --------------------------------------------------------------------------------------


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Odd(Exception):
    def __str__(self) -> str:
        return 7  # type: ignore[return-value]  # as careless people write it


class Leaving(Exception):
    def __str__(self) -> str:
        sys.exit(3)


class Nameless:
    def __str__(self) -> str:
        raise LookupError("no name")

    __repr__ = __str__


def unpicklable() -> Exception:
    error = ValueError("held")
    error.lock = threading.Lock()  # type: ignore[attr-defined]  # what no other process can have
    return error


WRONG: dict[str, tuple[BaseException, str]] = {
    "left": (SystemExit(2), "SystemExit: 2"),
    "left with a word": (SystemExit("usage: lint FILE"), "SystemExit: usage: lint FILE"),
    "closed": (GeneratorExit(), "GeneratorExit: "),
    "cancelled": (asyncio.CancelledError("enough"), "CancelledError: enough"),
    "group": (ExceptionGroup("two", [ValueError("a"), LookupError("b")]), "ExceptionGroup: two (2 sub-exceptions)"),
    "group that ends": (BaseExceptionGroup("one", [SystemExit(1)]), "BaseExceptionGroup: one (1 sub-exception)"),
    "too deep": (RecursionError("deep"), "RecursionError: deep"),
    "memory": (MemoryError(), "MemoryError: "),
    "mute": (Mute(), "Mute: what it says cannot be read"),
    "odd": (Odd(), "Odd: what it says cannot be read"),
    "leaving": (Leaving(), "Leaving: what it says cannot be read"),
    "unpicklable": (unpicklable(), "ValueError: held"),
    "endless": (ValueError("x" * 2_000_000), "ValueError: what it says cannot be read"),
}


@pytest.mark.parametrize(("error", "said"), WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("timeout", [None, 60.0], ids=["untimed", "timed"])
def test_whatever_a_function_raises_is_told_to_the_model(
    error: BaseException, said: str, timeout: float | None
) -> None:
    def here() -> None:
        raise error

    async def later() -> None:
        await asyncio.sleep(0)
        raise error

    def after_a_while() -> Any:
        yield 1
        raise error

    tools = [tool(timeout=timeout)(function) for function in (here, later)]
    alone = [call_one(one, "{}").text for one in tools]
    elsewhere = ThreadPoolExecutor(1)
    with elsewhere:
        apart = [elsewhere.submit(call_one, one, "{}").result().text for one in tools]
    assert alone == apart == together(*tools) == [f"Error: {said}"] * 2
    assert call_one(tool(timeout=timeout)(after_a_while), "{}").text.startswith("Error: ")


def test_a_function_that_is_too_deep_in_itself_is_told_to_the_model() -> None:
    def deeper(number: int = 0) -> int:
        return deeper(number + 1)

    outcome = call_one(tool(deeper), "{}")
    assert outcome.text.startswith("Error: RecursionError: maximum recursion depth")
    assert "deeper" in outcome.aside.text


def test_an_error_whose_traceback_cannot_be_written_is_told_without_it() -> None:
    class Torn(SyntaxError):
        @property
        def text(self) -> Any:  # type: ignore[override]
            raise ValueError("torn")

    @tool
    def fail() -> None:
        raise Torn("no text", ("file.py", 1, 1, "x", 1, 1))

    assert call_one(fail, "{}").text.startswith("Error: Torn: no text")


ENDLESS: dict[str, Callable[[], Any]] = {
    "counting": itertools.count,
    "inside": lambda: {"numbers": [itertools.count()]},
    "repeated": lambda: itertools.repeat("again"),
    "generator": lambda: (number for number in itertools.count()),
}


@pytest.mark.parametrize("make", ENDLESS.values(), ids=ENDLESS)
def test_a_result_without_end_is_the_functions_error(make: Callable[[], Any]) -> None:
    text = call_one(tool(name="make")(lambda: make()), "{}").text
    assert text == "Error: the function returned something with more than 100,000 entries, or without end; return less"


def test_a_result_that_is_too_long_is_the_functions_error() -> None:
    long = [lambda: "x" * 1_000_001, lambda: ["x" * 999_999], lambda: list(range(300_000))]
    for make in long:
        text = call_one(tool(name="make")(make), "{}").text
        assert text.startswith("Error: the function returned ")
        assert text.endswith(" characters, and 1,000,000 are the most; return less")
    assert call_one(tool(name="make")(lambda: "x" * 1_000_000), "{}").text == "x" * 1_000_000


def returning(value: Any) -> FunctionTool:
    @tool
    def make() -> Any:
        return value

    return make


def test_a_result_that_cannot_be_written_is_the_functions_error() -> None:
    circle: list[Any] = []
    circle.append(circle)
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    for value in (Nameless(), {"inside": Nameless()}, circle, deep):
        assert call_one(returning(value), "{}").text.startswith("Error: ")
    assert call_one(returning(Nameless()), "{}").text == "Error: LookupError: no name"


def test_iterators_are_told_as_lists() -> None:
    assert outcome_of(map(str, [1, 2])).text == '["1","2"]'
    assert outcome_of({"inside": (number * 2 for number in (1, 2))}).text == '{"inside":[2,4]}'


def test_the_time_of_a_function_is_also_that_for_reading_its_result() -> None:
    class Slow:
        def __str__(self) -> str:
            threading.Event().wait(60)
            return ""

    @tool(timeout=0.05)
    def make() -> Slow:
        return Slow()

    assert call_one(make, "{}").text == "Error: the function did not answer within 0.05 seconds"


def test_a_function_that_takes_too_long_is_stopped_and_the_model_is_told() -> None:
    stopped = []

    @tool(timeout=0.05)
    def endless() -> None:
        try:
            while True:
                time.sleep(0.01)
        except OutOfTime:
            stopped.append(True)
            raise

    assert call_one(endless, "{}").text == "Error: the function did not answer within 0.05 seconds"
    assert stopped == [True]


def test_a_function_that_waits_for_ever_on_another_thread_is_left_behind() -> None:
    release = threading.Event()

    @tool(timeout=0.05)
    def stuck() -> None:
        release.wait(10)

    @tool
    def quick() -> int:
        return 1

    assert together(stuck, quick) == ["Error: the function did not answer within 0.05 seconds", "1"]
    release.set()


def test_an_asynchronous_function_that_takes_too_long_is_cancelled() -> None:
    ended = []

    @tool(timeout=0.05)
    async def endless() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            ended.append(True)

    assert call_one(endless, "{}").text == "Error: the function did not answer within 0.05 seconds"
    assert ended == [True]


def test_a_timeout_of_the_function_itself_is_its_own_error() -> None:
    @tool
    def asks_elsewhere() -> None:
        raise TimeoutError("the database")

    @tool
    def other() -> int:
        return 1

    assert together(asks_elsewhere, other)[0] == "Error: TimeoutError: the database"


@pytest.mark.parametrize("wrong", [{"timeout": 0}, {"timeout": -1}, {"approval": "maybe"}])
def test_a_tool_with_senseless_wishes_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ToolDefinitionError):
        tool(**wrong)


# --- what the model is told, and what the person sees ----------------------------------------------


def test_a_traceback_is_for_the_person_only_and_short() -> None:
    def inner() -> None:
        secret = "not shown"
        raise ValueError(f"wrong {len(secret)}")

    @tool
    def fails() -> None:
        inner()

    outcome = call_one(fails, "{}")
    assert outcome.text == "Error: ValueError: wrong 9"
    assert outcome.aside.text.splitlines()[-1] == "ValueError: wrong 9"
    assert "in inner" in outcome.aside.text
    assert "session/calling.py" not in outcome.aside.text
    assert len(outcome.aside.text.splitlines()) <= 8


def test_a_frame_is_told_as_a_table_of_its_first_rows() -> None:
    data = {"city": ["Rome", "a|b"], "t": [21, 3]}
    for frame in (pd.DataFrame(data), pl.DataFrame(data)):
        assert outcome_of(frame).text == "| city | t |\n| --- | --- |\n| Rome | 21 |\n| a\\|b | 3 |"
    assert outcome_of(pd.DataFrame({"n": range(60)})).text.endswith("| 49 |\n\n(50 of 60 rows)")


def test_a_picture_is_shown_to_the_person_and_described_to_the_model() -> None:
    class Drawing:
        def _repr_png_(self) -> bytes:
            return PNG

    outcome = outcome_of(Drawing())
    assert outcome.text == "A picture was shown to the person: PNG, 2 × 3 pixels."
    (address,) = outcome.aside.pictures
    assert address.startswith("data:image/png;base64,iVBOR")


def test_a_picture_of_ipython_is_a_picture() -> None:
    from IPython.display import Image

    assert outcome_of(Image(data=PNG, format="png")).aside.pictures


def test_bytes_are_refused_with_what_to_return_instead() -> None:
    with pytest.raises(UnreadableResult, match="return text"):
        outcome_of(b"\x00")

    @tool
    def raw() -> bytes:
        return b"\x00"

    assert call_one(raw, "{}").text.startswith("Error: the function returned bytes")


# --- approval ----------------------------------------------------------------------------------


@tool(approval="ask")
def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


@tool(approval="deny")
def erase() -> str:
    """Erase everything."""
    return "erased"


@tool
def look() -> str:
    """Look."""
    return "seen"


TOOLS = {one.name: one for one in (pay, erase, look)}


def decided(*asked: ToolCall, ask: Any = NOBODY) -> list[str]:
    decisions = decide(asked, TOOLS, ask)
    assert decisions is not None
    return [outcome.text for outcome in call_all(list(asked), TOOLS, decisions)]


def test_tools_are_called_as_they_ask_for_it() -> None:
    one, two, three = (ToolCall(0, name="pay", arguments='{"amount": 3}'), *calls("", "erase", "look")[1:])
    assert decided(one, two, three) == [
        "Error: the person denied this call: nobody is there to be asked",
        "Error: the person denied this call: this tool is switched off",
        "seen",
    ]
    assert decided(one, ask=by_policy("auto")) == ["paid 3"]


def test_a_person_may_change_the_arguments_and_the_model_is_told() -> None:
    def cheaper(_call: ToolCall, _tool: FunctionTool) -> Decision:
        return Decision(approved=True, arguments='{"amount": 1}')

    asked = ToolCall(0, name="pay", arguments='{"amount": 3}')
    assert decided(asked, ask=cheaper) == ['paid 1\n(The person changed the arguments to {"amount": 1}.)']


def test_no_function_is_called_before_every_call_is_decided() -> None:
    asked = (ToolCall(0, name="pay", arguments='{"amount": 3}'), ToolCall(1, name="look", arguments="{}"))
    assert decide(asked, TOOLS, lambda _call, _tool: None) is None
