"""Functions called for a run: side by side, within their time, as a person decided."""

from __future__ import annotations

import asyncio
import base64
import threading
import time
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
