"""How runs go on the embedded API: the order of their events, whatever the engine and the tools do."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashnb.errors import APIError
from dashnb.local.endpoints import Follow
from dashnb.local.models.engine import (
    Call,
    CallPiece,
    EngineError,
    OutputPiece,
    Piece,
    Said,
    Spent,
    TextPiece,
    Turn,
)
from dashnb.local.models.pace import PacedEngine
from dashnb.local.plugins import PluginError
from dashnb.local.runner import MOST_ROUNDS
from dashnb.local.service import BASE_URL, LocalService
from dashnb.local.store import LoggedEvent, Record, Store
from scripted import (
    ASKED,
    BEGUN,
    ENDED,
    OPENED,
    RESUMED,
    STEP_DELTA,
    STEP_DONE,
    Desk,
    Gate,
    Script,
    cut,
    names,
    no_plugin,
    numbered,
    of,
    path_of,
    serving,
    ticking,
    typed,
    written,
)

# --- (a) plain answers ---------------------------------------------------------------------------


def test_a_plain_answer_has_the_documented_order() -> None:
    with serving(Script([TextPiece("99"), TextPiece("7002"), Spent(12, 3)])) as api:
        events = api.run()
    assert names(events) == [*BEGUN, *written(2), *ENDED]
    assert [delta["delta"]["content"][0]["text"]["value"] for delta in of(events, "thread.message.delta")] == [
        "99",
        "7002",
        "",
    ]
    (whole,) = of(events, "thread.message.completed")
    assert whole["content"] == [{"type": "text", "text": {"value": "997002", "annotations": []}}]
    (step,) = of(events, "thread.run.step.completed")
    assert step["completed_at"] == whole["completed_at"] is not None
    assert step["step_details"]["message_creation"]["message_id"] == whole["id"]
    assert [run["status"] for name, run in events[:3]] == ["queued", "queued", "in_progress"]
    (run,) = of(events, "thread.run.completed")
    assert run["usage"] == {"input_tokens": 12, "output_tokens": 3, "total_tokens": 15}


def test_creating_the_thread_with_the_run_tells_about_the_thread_first() -> None:
    engine = Script([TextPiece("Hello")])
    with serving(engine) as api:
        thread = {"messages": [{"role": "user", "content": "Hi"}], "metadata": {"a": "b"}}
        with api.stream("/threads/runs", assistant_id=api.assistant(), thread=thread) as stream:
            events = list(stream)
        assert names(events) == ["thread.created", *BEGUN, *written(1), *ENDED]
        (made,) = of(events, "thread.created")
        assert (made["id"], made["metadata"]) == ("thread_1", {"a": "b"})
        assert of(events, "thread.run.created")[0]["thread_id"] == made["id"]
        assert api.get("/threads/thread_1")["metadata"] == {"a": "b"}
    assert engine.turns[0].messages == (Said("user", "Hi"),)


def test_an_engine_that_says_nothing_completes_the_run_without_a_step() -> None:
    with serving(Script([Spent(1, 0)])) as api:
        assert names(api.run()) == [*BEGUN, *ENDED]


def test_a_text_of_any_script_arrives_as_it_is() -> None:
    said = "天气 🌧 \u2028 \x85 \r\n\t\x00 ¼"
    with serving(Script([TextPiece(said)])) as api:
        events = api.run()
        assert of(events, "thread.message.delta")[0]["delta"]["content"][0]["text"]["value"] == said
        path = f"/threads/{of(events, 'thread.run.created')[0]['thread_id']}/messages"
        assert api.get(path)["data"][0]["content"][0]["text"]["value"] == said


# --- (b) built-in tools --------------------------------------------------------------------------


def test_a_built_in_tool_and_the_answer_have_the_documented_order() -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    async def search(arguments: str, definition: dict[str, Any]) -> str:
        asked.append((arguments, definition))
        return "rain"

    calls: list[Any] = [
        CallPiece(0, "quark_search", '{"query": '),
        CallPiece(0, "quark_search", '"天气"}'),
        Spent(5, 1),
    ]
    engine = Script(calls, [TextPiece("It rains."), Spent(7, 2)])
    with serving(engine, plugins={"quark_search": search}) as api:
        events = api.run("quark_search")
    assert names(events) == [*BEGUN, *OPENED, *STEP_DELTA * 8, *STEP_DONE, *written(1), *ENDED]
    assert [delta["delta"]["step_details"]["tool_calls"] for delta in of(events, "thread.run.step.delta")] == [
        [{"type": "quark_search", "quark_search": {"arguments": ""}}],
        [{"type": "quark_search", "quark_search": {"arguments": '{"query": '}}],
        [{"type": "quark_search", "quark_search": {"arguments": '"天气"}'}}],
        [{"type": "quark_search", "quark_search": {"arguments": ""}}],
        [{"type": "quark_search", "quark_search": {"arguments": ""}}],
        [{"type": "quark_search", "plugin_name": {"output": "rain"}}],
        [{"quark_search": {"output": ""}}],
        [{"quark_search": {"output": ""}}],
    ]
    opened = of(events, "thread.run.step.created")[0]
    assert opened["step_details"] == {"type": "tool_calls", "tool_calls": []}
    step = of(events, "thread.run.step.completed")[0]
    payload = {"arguments": '{"query": "天气"}', "output": "rain"}
    assert step["step_details"]["tool_calls"] == [{"type": "quark_search", "plugin_name": payload}]
    assert (step["status"], step["completed_at"]) == ("in_progress", None)
    assert asked == [('{"query": "天气"}', {"type": "quark_search"})]
    assert engine.turns[1].rounds == ((Call("quark_search", '{"query": "天气"}', "rain"),),)
    assert of(events, "thread.run.completed")[0]["usage"]["total_tokens"] == 15


def test_each_built_in_call_of_a_round_has_its_own_step() -> None:
    async def double(arguments: str, definition: dict[str, Any]) -> str:
        return arguments * 2

    engine = Script([CallPiece(0, "calculator", "1"), CallPiece(1, "calculator", "2")], [TextPiece("done")])
    with serving(engine, plugins={"calculator": double}) as api:
        events = api.run("calculator")
    one_call = [*OPENED, *STEP_DELTA * 7, *STEP_DONE]
    assert names(events) == [*BEGUN, *one_call, *one_call, *written(1), *ENDED]
    assert engine.turns[1].rounds == ((Call("calculator", "1", "11"), Call("calculator", "2", "22")),)


def test_an_engine_that_has_the_output_already_is_taken_at_its_word() -> None:
    engine = Script([CallPiece(0, "quark_search", "{}"), OutputPiece(0, "kept")], [TextPiece("done")])
    with serving(engine, plugins={"quark_search": no_plugin}) as api:
        events = api.run("quark_search")
    assert of(events, "thread.run.step.completed")[0]["step_details"]["tool_calls"][0]["plugin_name"] == {
        "arguments": "{}",
        "output": "kept",
    }


def test_text_before_a_tool_is_a_message_of_its_own_that_the_engine_is_not_shown_again() -> None:
    async def plugin(arguments: str, definition: dict[str, Any]) -> str:
        return "42"

    engine = Script([TextPiece("Let me see."), CallPiece(0, "calculator", "{}")], [TextPiece("It is 42.")])
    with serving(engine, plugins={"calculator": plugin}) as api:
        events = api.run("calculator")
        assert names(events) == [
            *BEGUN,
            *written(1),
            *OPENED,
            *STEP_DELTA * 7,
            *STEP_DONE,
            *written(1),
            *ENDED,
        ]
        path = f"/threads/{of(events, 'thread.run.created')[0]['thread_id']}/messages"
        said = [message["content"][0]["text"]["value"] for message in api.get(path)["data"]]
    assert said == ["It is 42.", "Let me see.", "Hello"]
    assert [turn.messages for turn in engine.turns] == [(Said("user", "Hello"),)] * 2


# --- (c), (d) functions --------------------------------------------------------------------------

WEATHER: list[Any] = [
    CallPiece(0, "get_weather", '{"city": '),
    CallPiece(0, "get_weather", '"西安"}'),
    Spent(10, 4),
]


def test_a_streamed_function_call_has_the_documented_order() -> None:
    engine = Script(WEATHER, [TextPiece("Rain."), Spent(20, 2)])
    with serving(engine) as api:
        events = api.run("function:get_weather")
        assert names(events) == [*BEGUN, *OPENED, *STEP_DELTA * 3, *ASKED]
        assert [delta["delta"]["step_details"]["tool_calls"] for delta in of(events, "thread.run.step.delta")] == [
            [
                {
                    "index": 0,
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": "", "output": None},
                }
            ],
            [{"index": 0, "type": "function", "function": {"arguments": '{"city": '}}],
            [{"index": 0, "type": "function", "function": {"arguments": '"西安"}'}}],
        ]
        (asked,) = of(events, "thread.run.requires_action")
        function = {"name": "get_weather", "arguments": '{"city": "西安"}'}
        pending = [{"id": "call_1", "type": "function", "function": function}]
        assert asked["status"] == "requires_action"
        assert asked["required_action"] == {
            "type": "submit_tool_outputs",
            "submit_tool_outputs": {"tool_calls": pending},
        }

        path = path_of(events)
        assert api.get(path + "/steps")["data"][0]["status"] == "in_progress"
        second = api.submit(path, {"output": "rain"})
        assert names(second) == [*RESUMED, *written(1), *ENDED]
        step = second[0][1]
        assert step["step_details"]["tool_calls"] == [
            {"id": "call_1", "type": "function", "function": {**function, "output": "rain"}}
        ]
        assert (step["status"], step["completed_at"]) == ("completed", None)
        assert [run["required_action"] for name, run in second if name.startswith("thread.run.q")] == [None]
        assert of(second, "thread.run.completed")[0]["usage"] == {
            "input_tokens": 30,
            "output_tokens": 6,
            "total_tokens": 36,
        }
        assert api.get(path)["usage"]["total_tokens"] == 36
    assert engine.turns[1].rounds == ((Call("get_weather", '{"city": "西安"}', "rain", "call_1"),),)


def test_the_submit_stream_has_a_request_id_of_its_own() -> None:
    with serving(Script(WEATHER, [TextPiece("Rain.")])) as api:
        first = api.run("function:get_weather")
        second = api.submit(path_of(first), {"output": "rain"})
    ids = [{data["request_id"] for _, data in events if data != "[DONE]"} for events in (first, second)]
    assert [len(found) for found in ids] == [1, 1]
    assert ids[0] != ids[1]


def test_several_calls_share_one_step_and_have_different_ids() -> None:
    engine = Script([CallPiece(0, "f", "1"), CallPiece(1, "g", "2"), CallPiece(2, "f", "3")], [TextPiece("ok")])
    with serving(engine) as api:
        events = api.run("function:f", "function:g")
        assert names(events) == [*BEGUN, *OPENED, *STEP_DELTA * 6, *ASKED]
        (asked,) = of(events, "thread.run.requires_action")
        calls = asked["required_action"]["submit_tool_outputs"]["tool_calls"]
        assert [call["id"] for call in calls] == ["call_1", "call_2", "call_3"]
        begun = [delta["delta"]["step_details"]["tool_calls"][0] for delta in of(events, "thread.run.step.delta")]
        assert [call["index"] for call in begun] == [0, 0, 1, 1, 2, 2]
        outputs = [{"tool_call_id": f"call_{n}", "output": f"out {n}"} for n in (3, 1, 2)]
        second = api.submit(path_of(events), *outputs)
    assert [call["function"]["output"] for call in second[0][1]["step_details"]["tool_calls"]] == [
        "out 1",
        "out 2",
        "out 3",
    ]
    assert [call.output for call in engine.turns[1].rounds[0]] == ["out 1", "out 2", "out 3"]


def test_a_built_in_tool_and_a_function_of_one_round_are_both_answered() -> None:
    async def plugin(arguments: str, definition: dict[str, Any]) -> str:
        return "42"

    engine = Script([CallPiece(0, "f", "1"), CallPiece(1, "calculator", "2")], [TextPiece("ok")])
    with serving(engine, plugins={"calculator": plugin}) as api:
        events = api.run("calculator", "function:f")
        assert names(events) == [*BEGUN, *OPENED, *STEP_DELTA * 2, *OPENED, *STEP_DELTA * 7, *STEP_DONE, *ASKED]
        api.submit(path_of(events), {"output": "out"})
    assert engine.turns[1].rounds == ((Call("f", "1", "out", "call_1"), Call("calculator", "2", "42")),)


def test_a_run_may_ask_for_functions_again() -> None:
    engine = Script([CallPiece(0, "f", "1")], [CallPiece(0, "f", "2")], [TextPiece("ok")])
    with serving(engine) as api:
        first = api.run("function:f")
        second = api.submit(path_of(first), {"output": "one"})
        assert names(second) == [*RESUMED, *OPENED, *STEP_DELTA * 2, *ASKED]
        third = api.submit(path_of(first), {"output": "two"})
        assert names(third) == [*RESUMED, *written(1), *ENDED]
    assert [[call.output for call in calls] for calls in engine.turns[2].rounds] == [["one"], ["two"]]


def test_text_before_a_function_call_is_a_completed_message() -> None:
    engine = Script([TextPiece("One moment."), CallPiece(0, "f", "{}")], [TextPiece("ok")])
    with serving(engine) as api:
        events = api.run("function:f")
        assert names(events) == [*BEGUN, *written(1), *OPENED, *STEP_DELTA * 2, *ASKED]
        assert names(api.submit(path_of(events), {"output": "x"})) == [*RESUMED, *written(1), *ENDED]


@pytest.mark.parametrize("name", ["function", "calculator"])
def test_a_function_may_be_called_like_a_type_of_tool(name: str) -> None:
    with serving(Script([CallPiece(0, name, "{}")]), plugins={"calculator": no_plugin}) as api:
        assert names(api.run(f"function:{name}"))[-2:] == ASKED


def test_without_a_stream_the_caller_polls_submits_and_polls() -> None:
    with serving(Script(WEATHER, [TextPiece("Rain.")])) as api:
        path = api.begin("function:get_weather")
        run = api.wait(path, "requires_action")
        calls = run["required_action"]["submit_tool_outputs"]["tool_calls"]
        answer = api.post(f"{path}/submit_tool_outputs", tool_outputs=[{"output": "rain"}])
        assert answer["status"] == "in_progress"
        assert answer["required_action"]["submit_tool_outputs"]["tool_calls"] == calls
        assert api.wait(path, "completed")["required_action"] == {}
        messages = api.get(path.rpartition("/runs/")[0] + "/messages")["data"]
        assert messages[0]["content"][0]["text"]["value"] == "Rain."
        steps = api.get(path + "/steps")["data"]
    assert [step["type"] for step in steps] == ["message_creation", "tool_calls"]
    assert steps[1]["step_details"]["tool_calls"][0]["function"]["output"] == "rain"


def test_a_streamed_run_may_be_continued_without_a_stream_and_the_other_way_round() -> None:
    with serving(Script(WEATHER, [TextPiece("One.")], WEATHER, [TextPiece("Two.")])) as api:
        path = path_of(api.run("function:get_weather"))
        api.post(f"{path}/submit_tool_outputs", tool_outputs=[{"output": "rain"}])
        assert api.wait(path, "completed")["status"] == "completed"

        path = api.begin("function:get_weather")
        api.wait(path, "requires_action")
        assert names(api.submit(path, {"output": "rain"})) == [*RESUMED, *written(1), *ENDED]


def test_polling_sees_each_status() -> None:
    thinking, writing = Gate(), Gate()
    with serving(Script([thinking, CallPiece(0, "f", "{}")], [writing, TextPiece("ok")])) as api:
        path = api.begin("function:f")
        assert thinking.reached.wait(5)
        assert api.get(path)["status"] == "in_progress"
        thinking.open()
        api.wait(path, "requires_action")
        api.post(f"{path}/submit_tool_outputs", tool_outputs=[{"output": "x"}])
        assert writing.reached.wait(5)
        assert api.get(path)["status"] == "in_progress"
        writing.open()
        api.wait(path, "completed")


OUTPUTS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "too few": ([{"output": "1"}], "waits for 2 tool outputs"),
    "too many": ([{"output": "1"}] * 3, "waits for 2 tool outputs"),
    "unknown id": ([{"tool_call_id": "call_9", "output": "1"}, {"output": "2"}], "no tool call 'call_9'"),
    "one id twice": ([{"tool_call_id": "call_1", "output": "1"}] * 2, "same tool call"),
    "id and position meet": ([{"tool_call_id": "call_2", "output": "1"}, {"output": "2"}], "same tool call"),
    "none": ([], "tool_outputs"),
    "no output": ([{"tool_call_id": "call_1"}, {"tool_call_id": "call_2"}], "output"),
}


@pytest.mark.parametrize("case", OUTPUTS)
def test_outputs_that_do_not_fit_the_calls_are_refused_and_the_run_goes_on_waiting(case: str) -> None:
    outputs, reason = OUTPUTS[case]
    with serving(Script([CallPiece(0, "f", "1"), CallPiece(1, "f", "2")], [TextPiece("ok")])) as api:
        path = path_of(api.run("function:f"))
        response = api.client.post(f"{path}/submit_tool_outputs", json={"tool_outputs": outputs})
        assert response.status_code == 400
        assert response.json()["code"] == "InvalidParameter"
        assert reason in response.json()["message"]
        assert api.get(path)["status"] == "requires_action"
        assert names(api.submit(path, {"output": "1"}, {"output": "2"}))[-2:] == ENDED


@pytest.mark.parametrize("ids", [("", ""), ("call_1", ""), ("", "call_2"), ("call_1", "call_2"), (None, None)])
def test_outputs_without_an_id_belong_to_the_call_at_their_place(ids: tuple[str | None, str | None]) -> None:
    engine = Script([CallPiece(0, "f", "1"), CallPiece(1, "f", "2")], [TextPiece("ok")])
    with serving(engine) as api:
        outputs = [{"tool_call_id": given, "output": f"out {n}"} for n, given in enumerate(ids, 1)]
        api.submit(path_of(api.run("function:f")), *outputs)
    assert [call.output for call in engine.turns[1].rounds[0]] == ["out 1", "out 2"]


def test_outputs_are_taken_only_while_the_run_waits_for_them() -> None:
    gate = Gate()
    with serving(Script([gate, CallPiece(0, "f", "1")], [TextPiece("ok")])) as api:
        path = api.begin("function:f")

        def refused() -> str:
            response = api.client.post(f"{path}/submit_tool_outputs", json={"tool_outputs": [{"output": "x"}]})
            assert (response.status_code, response.json()["code"]) == (400, "InvalidParameter")
            return str(response.json()["message"])

        assert gate.reached.wait(5)
        assert "is in_progress" in refused()
        gate.open()
        api.wait(path, "requires_action")
        api.submit(path, {"output": "x"})
        assert "is completed" in refused()


# --- (e) failures --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (EngineError("Too many.", code="rate_limit_exceeded"), {"code": "rate_limit_exceeded", "message": "Too many."}),
        (EngineError("Broken."), {"code": "server_error", "message": "Broken."}),
        (
            ZeroDivisionError("by zero"),
            {"code": "InternalError", "message": "The embedded API failed: ZeroDivisionError: by zero"},
        ),
    ],
)
def test_an_engine_that_fails_in_a_message_leaves_what_it_had_said(error: Exception, expected: dict[str, str]) -> None:
    with serving(Script([TextPiece("Half "), TextPiece("an answ"), error])) as api:
        events = api.run()
        assert names(events) == [*BEGUN, *cut(2, "failed")]
        (cut_short,) = of(events, "thread.message.incomplete")
        assert cut_short["content"][0]["text"]["value"] == "Half an answ"
        assert cut_short["incomplete_at"]
        assert cut_short["completed_at"] is None
        assert cut_short["incomplete_details"] == {"reason": "failed"}
        assert of(events, "thread.run.step.failed")[0]["last_error"] == expected
        (run,) = of(events, "thread.run.failed")
        assert (run["status"], run["last_error"]) == ("failed", expected)
        assert api.get(path_of(events))["last_error"] == expected
        path = f"/threads/{run['thread_id']}/messages"
        assert api.get(path)["data"][0]["content"][0]["text"]["value"] == "Half an answ"
        (step,) = api.get(path_of(events) + "/steps")["data"]
        assert (step["status"], step["last_error"]) == ("failed", expected)


def test_an_engine_that_fails_before_it_says_anything_fails_the_run() -> None:
    with serving(Script([EngineError("No.")])) as api:
        assert names(api.run()) == [*BEGUN, "thread.run.failed", "done"]


def test_an_engine_that_fails_in_the_arguments_of_a_function_fails_the_step() -> None:
    with serving(Script([CallPiece(0, "f", "{"), EngineError("No.")])) as api:
        events = api.run("function:f")
    assert names(events) == [
        *BEGUN,
        *OPENED,
        *STEP_DELTA * 2,
        "thread.run.step.failed",
        "thread.run.failed",
        "done",
    ]


@pytest.mark.parametrize(
    ("error", "code"), [(PluginError("Offline."), "InvokePluginFailed"), (KeyError("query"), "InternalError")]
)
def test_a_tool_that_fails_fails_its_step_and_the_run(error: Exception, code: str) -> None:
    async def plugin(arguments: str, definition: dict[str, Any]) -> str:
        raise error

    engine = Script([CallPiece(0, "quark_search", "{}")])
    with serving(engine, plugins={"quark_search": plugin}) as api:
        events = api.run("quark_search")
    assert names(events) == [
        *BEGUN,
        *OPENED,
        *STEP_DELTA * 4,
        "thread.run.step.failed",
        "thread.run.failed",
        "done",
    ]
    assert of(events, "thread.run.failed")[0]["last_error"]["code"] == code


def test_a_tool_that_nobody_has_fails_the_run_and_names_those_there_are() -> None:
    with serving(Script([CallPiece(0, "generate_qrcode", "{}")]), plugins={"calculator": no_plugin}) as api:
        events = api.run("generate_qrcode")
    error = of(events, "thread.run.failed")[0]["last_error"]
    assert error["code"] == "InvokePluginFailed"
    assert error["message"] == "The embedded API has no tool 'generate_qrcode'; it has: calculator."


def test_a_model_that_never_stops_asking_for_tools_is_stopped() -> None:
    async def plugin(arguments: str, definition: dict[str, Any]) -> str:
        return "again"

    engine = Script(*[[CallPiece(0, "calculator", "{}")]] * (MOST_ROUNDS + 1))
    with serving(engine, plugins={"calculator": plugin}) as api:
        events = api.run("calculator")
    assert len(engine.turns) == MOST_ROUNDS
    assert names(events)[-2:] == ["thread.run.failed", "done"]
    assert "16 times" in of(events, "thread.run.failed")[0]["last_error"]["message"]


def test_rounds_before_and_after_functions_count_together() -> None:
    engine = Script(*[[CallPiece(0, "f", "{}")]] * (MOST_ROUNDS + 1))
    with serving(engine) as api:
        events = api.run("function:f")
        path = path_of(events)
        while names(events)[-2:] == ASKED:
            events = api.submit(path, {"output": "x"})
    assert len(engine.turns) == MOST_ROUNDS
    assert names(events)[-2:] == ["thread.run.failed", "done"]


def test_an_engine_is_closed_at_once_when_a_tool_fails() -> None:
    async def plugin(arguments: str, definition: dict[str, Any]) -> str:
        raise PluginError("Offline.")

    async def check() -> None:
        engine = Script([CallPiece(0, "calculator", "{}"), TextPiece("more"), TextPiece("and more")])
        kept: list[AsyncIterator[Piece]] = []

        class Keeping(Script):
            # The generator is kept from the garbage collector: only being closed ends it.
            def answer(self, turn: Turn) -> AsyncIterator[Piece]:
                kept.append(engine.answer(turn))
                return kept[-1]

        with Desk(Keeping(), plugins={"calculator": plugin}) as desk:
            ids = desk.begin("calculator")
            assert (await desk.read(ids))[-2:] == ["thread.run.failed", "done"]
            assert engine.left == 1

    asyncio.run(check())


def test_a_paced_engine_closes_the_one_it_slows_down() -> None:
    async def check() -> None:
        inner = Script([TextPiece("a"), TextPiece("b")])
        kept: list[AsyncIterator[Piece]] = []
        pauses: list[float] = []

        class Keeping(Script):
            def answer(self, turn: Turn) -> AsyncIterator[Piece]:
                kept.append(inner.answer(turn))
                return kept[-1]

        async def sleep(seconds: float) -> None:
            pauses.append(seconds)

        pieces = PacedEngine(Keeping(), 0.5, sleep=sleep).answer(Turn("m", "", (), ()))
        assert [await anext(pieces), await anext(pieces)] == [TextPiece("a"), TextPiece("b")]
        assert pauses == [0.5]
        await pieces.aclose()  # type: ignore[attr-defined]
        assert inner.left == 1

    asyncio.run(check())


# --- (f) cancel ----------------------------------------------------------------------------------


def test_a_run_that_is_writing_is_cancelled_with_what_it_had_written() -> None:
    gate = Gate()
    engine = Script([TextPiece("Half"), gate, TextPiece(" more")])
    with serving(engine) as api:
        thread, assistant = api.thread("Hello"), api.assistant()
        with api.stream(f"/threads/{thread}/runs", assistant_id=assistant) as stream:
            events = list(itertools.takewhile(lambda event: event[0] != "thread.message.delta", stream))
            path = path_of(events)
            assert gate.reached.wait(5)
            assert api.post(path + "/cancel")["status"] == "cancelling"
            rest = list(stream)
        assert names(rest) == [
            "thread.run.cancelling",
            "thread.message.incomplete",
            "thread.run.step.cancelled",
            "thread.run.cancelled",
            "done",
        ]
        assert of(rest, "thread.message.incomplete")[0]["content"][0]["text"]["value"] == "Half"
        run = api.get(path)
        assert (run["status"], run["last_error"]) == ("cancelled", {})
        assert api.get(f"/threads/{thread}/messages")["data"][0]["content"][0]["text"]["value"] == "Half"
    assert engine.left == 1


def test_an_engine_that_never_pauses_can_be_cancelled_and_keeps_nobody_waiting() -> None:
    class Chatterbox(Script):
        async def answer(self, turn: Turn) -> AsyncIterator[Piece]:
            for _ in range(100_000):
                yield TextPiece("a")

    with serving(Chatterbox()) as api:
        path = api.begin()
        api.wait(path, "in_progress")
        assert api.post(path + "/cancel")["status"] == "cancelling"
        api.wait(path, "cancelled")


def test_a_run_whose_tool_works_is_cancelled_with_its_step() -> None:
    gate = Gate()

    async def plugin(arguments: str, definition: dict[str, Any]) -> str:
        await gate.pass_through()
        return "never"

    with serving(Script([CallPiece(0, "calculator", "{}")]), plugins={"calculator": plugin}) as api:
        path = api.begin("calculator")
        assert gate.reached.wait(5)
        api.post(path + "/cancel")
        api.wait(path, "cancelled")
        (step,) = api.get(path + "/steps")["data"]
    assert step["status"] == "cancelled"
    assert step["cancelled_at"] > 0


def test_a_waiting_run_is_cancelled_at_once() -> None:
    with serving(Script([CallPiece(0, "f", "{}")])) as api:
        events = api.run("function:f")
        path = path_of(events)
        run = api.post(path + "/cancel")
        assert (run["status"], run["required_action"]) == ("cancelled", {})
        logged = api.service.store.events(run["id"])
        assert [event.name for event in logged[len(events) :]] == [
            "thread.run.step.cancelled",
            "thread.run.cancelled",
            "done",
        ]
        (step,) = api.get(path + "/steps")["data"]
        assert step["status"] == "cancelled"


def test_a_queued_run_that_nobody_works_on_is_cancelled_at_once() -> None:
    with Desk(Script([])) as desk:
        record: Record = {"id": "run_9", "created_at": 1, "thread_id": "thread_9", "assistant_id": "a", "model": "m"}
        record |= {"status": "queued", "instructions": "", "tools": [], "metadata": {}, "request_id": "r"}
        with desk.store.begin() as change:
            change.insert("runs", record)
        run = desk.call("runs.cancel", thread_id="thread_9", run_id="run_9")
        assert run["status"] == "cancelled"
        assert desk.told({"run_id": "run_9"}) == ["thread.run.cancelled", "done"]


def test_a_run_that_has_ended_cannot_be_cancelled() -> None:
    with serving(Script([TextPiece("ok")])) as api:
        path = path_of(api.run())
        response = api.client.post(path + "/cancel")
        assert (response.status_code, response.json()["code"]) == (400, "InvalidParameter")
        assert "is completed and cannot be cancelled" in response.json()["message"]


def test_cancelling_twice_ends_the_run_once() -> None:
    async def check() -> None:
        gate = Gate()
        with Desk(Script([TextPiece("a"), gate])) as desk:
            ids = desk.begin()
            await desk.arrival(gate)
            assert [desk.call("runs.cancel", **ids)["status"] for _ in range(2)] == ["cancelling"] * 2
            assert (await desk.read(ids)).count("done") == 1
            assert desk.told(ids)[-3:] == ["thread.run.step.cancelled", "thread.run.cancelled", "done"]

    asyncio.run(check())


def test_a_run_that_is_cancelled_before_its_first_turn_still_ends() -> None:
    """A task that is cancelled before it has begun never runs a line of its own."""

    async def check() -> None:
        with Desk(Script([TextPiece("never")])) as desk:
            ids = desk.begin()
            desk.call("runs.cancel", **ids)
            assert await asyncio.wait_for(desk.read(ids), 5) == [
                "thread.run.created",
                "thread.run.queued",
                "thread.run.cancelling",
                "thread.run.cancelled",
                "done",
            ]
            assert desk.status(ids) == "cancelled"

    asyncio.run(check())


def test_a_run_that_is_stopped_with_the_server_before_its_first_turn_still_ends() -> None:
    async def check() -> None:
        with Desk(Script([TextPiece("never")])) as desk:
            ids = desk.begin()
            await desk.runner.close()
            assert desk.told(ids)[-2:] == ["thread.run.failed", "done"]
            run = desk.store.get("runs", ids["run_id"])
            assert run is not None
            assert run["last_error"]["code"] == "server_stopped"

    asyncio.run(check())


def test_a_run_that_is_resumed_at_once_can_still_be_cancelled() -> None:
    """The end of the first part of a run must not be taken for the end of the second."""

    async def check() -> None:
        gate = Gate()
        with Desk(Script([CallPiece(0, "f", "{}")], [TextPiece("a"), gate])) as desk:
            ids = desk.begin("function:f")
            await desk.until(ids, "requires_action")
            desk.submit(ids, "x")  # before the loop has told anybody that the first task is done
            await desk.arrival(gate)
            assert desk.call("runs.cancel", **ids)["status"] == "cancelling"
            assert (await desk.read(ids, after=desk.told(ids).index("done") + 1))[-2:] == [
                "thread.run.cancelled",
                "done",
            ]

    asyncio.run(check())


def test_a_submit_in_the_same_turn_as_the_question_is_not_lost() -> None:
    """As above, but in the very turn of the loop in which the first task ends."""

    async def check() -> None:
        gate = Gate()
        with Desk(Script([CallPiece(0, "f", "{}")], [TextPiece("a"), gate])) as desk:
            ids = desk.begin("function:f")
            tell = desk.log.tell

            def submit_on_done(events: list[LoggedEvent]) -> None:
                tell(events)
                if events[-1].name == "done":
                    asyncio.get_running_loop().call_soon(desk.submit, ids, "x")
                    desk.log.tell = tell  # type: ignore[method-assign]

            desk.log.tell = submit_on_done  # type: ignore[method-assign,assignment]
            await desk.arrival(gate)
            assert desk.call("runs.cancel", **ids)["status"] == "cancelling"
            await desk.until(ids, "cancelled")

    asyncio.run(check())


def test_an_engine_that_swallows_the_cancel_and_asks_for_functions_does_not_leave_the_run_open() -> None:
    class Deaf(Script):
        async def answer(self, turn: Turn) -> AsyncIterator[Piece]:
            try:
                await gate.pass_through()
            except asyncio.CancelledError:
                yield CallPiece(0, "f", "{}")

    gate = Gate()

    async def check() -> None:
        with Desk(Deaf()) as desk:
            ids = desk.begin("function:f")
            await desk.arrival(gate)
            desk.call("runs.cancel", **ids)
            told = await asyncio.wait_for(desk.read(ids), 5)
            assert told[-3:] == ["thread.run.step.cancelled", "thread.run.cancelled", "done"]

    asyncio.run(check())


# --- readers -------------------------------------------------------------------------------------


def test_a_run_goes_on_when_its_reader_leaves() -> None:
    gate = Gate()
    with serving(Script([TextPiece("a"), gate, TextPiece("b")])) as api:
        thread = api.thread("Hello")
        with api.stream(f"/threads/{thread}/runs", assistant_id=api.assistant()) as stream:
            path = path_of([next(stream)])
        gate.open()
        assert api.wait(path, "completed")["status"] == "completed"
        assert api.get(f"/threads/{thread}/messages")["data"][0]["content"][0]["text"]["value"] == "ab"


def test_two_readers_see_the_same_and_one_that_leaves_takes_nothing_away() -> None:
    async def check() -> None:
        gate = Gate()
        with Desk(Script([TextPiece("a"), gate, TextPiece("b")])) as desk:
            ids = desk.begin()
            readers = [asyncio.create_task(desk.read(ids)) for _ in range(3)]
            await desk.arrival(gate)
            readers[0].cancel()
            gate.open()
            seen = await asyncio.gather(*readers[1:])
            assert seen == [[*BEGUN, *written(2), *ENDED]] * 2
            assert desk.told(ids) == seen[0]

    asyncio.run(check())


def test_every_event_is_kept_before_it_is_told(tmp_path: Any) -> None:
    async def plugin(arguments: str, definition: dict[str, Any]) -> str:
        return "42"

    async def check() -> None:
        file = str(tmp_path / "a.db")
        engine = Script([CallPiece(0, "calculator", "{}")], [CallPiece(0, "f", "{}")], [TextPiece("ok")])
        other = Store(file)
        told: list[LoggedEvent] = []
        with Desk(engine, plugins={"calculator": plugin}, database=file) as desk:
            tell = desk.log.tell

            def look(events: list[LoggedEvent]) -> None:
                told.extend(events)
                assert other.events(events[0].run_id) == told
                for event in events:
                    found = json.loads(event.data) if event.name != "done" else {}
                    if event.name.startswith("thread.run.") and ".step." not in event.name:
                        kept = other.get("runs", found["id"])
                        assert kept is not None
                        assert event is not events[-1] or kept["status"] == found["status"]
                    if event.name == "thread.message.completed":
                        kept = other.get("messages", found["id"])
                        assert kept is not None
                        assert kept["text"] == found["content"][0]["text"]["value"]
                tell(events)

            desk.log.tell = look  # type: ignore[method-assign,assignment]
            ids = desk.begin("calculator", "function:f")
            await desk.until(ids, "requires_action")
            desk.submit(ids, "x")
            await desk.until(ids, "completed")
        other.close()
        assert [event.seq for event in told] == list(range(1, len(told) + 1))

    asyncio.run(check())


# --- what the engine is told ---------------------------------------------------------------------


def test_the_engine_is_told_what_the_assistant_says() -> None:
    engine = Script([TextPiece("ok")])
    with serving(engine) as api:
        tools = typed("calculator", "function:f")
        sampling = {"temperature": 0, "top_p": 0.5, "top_k": 3, "max_tokens": 7}
        assistant = api.assistant(model="qwen-plus", instructions="Be brief.", tools=tools, **sampling)
        thread = api.thread("One", "Two")
        api.wait(
            f"/threads/{thread}/runs/{api.post(f'/threads/{thread}/runs', assistant_id=assistant)['id']}", "completed"
        )
    said = (Said("user", "One"), Said("user", "Two"))
    assert engine.turns == [Turn("qwen-plus", "Be brief.", tuple(tools), said, (), sampling)]


def test_a_run_outranks_its_assistant() -> None:
    engine = Script([TextPiece("ok")])
    with serving(engine) as api:
        assistant = api.assistant(instructions="Be brief.", tools=typed("calculator"), temperature=1.5, top_p=0.9)
        more = {"model": "qwen-turbo", "instructions": "Be long.", "additional_instructions": "In verse."}
        extra = [{"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "Go on."}]
        with api.stream(
            f"/threads/{api.thread('One')}/runs",
            assistant_id=assistant,
            tools=[],
            temperature=0,
            additional_messages=extra,
            **more,
        ) as stream:
            run = of(list(stream), "thread.run.created")[0]
    assert (run["model"], run["instructions"], run["tools"]) == ("qwen-turbo", "Be long.\nIn verse.", [])
    (turn,) = engine.turns
    assert (turn.model, turn.instructions, turn.tools) == ("qwen-turbo", "Be long.\nIn verse.", ())
    assert turn.sampling == {"temperature": 0, "top_p": 0.9}
    assert turn.messages == (Said("user", "One"), Said("assistant", "Yes?"), Said("user", "Go on."))


def test_additional_instructions_follow_those_of_the_assistant() -> None:
    engine = Script([TextPiece("ok")])
    with serving(engine) as api:
        assistant = api.assistant(instructions="Be brief.")
        with api.stream(
            f"/threads/{api.thread('One')}/runs", assistant_id=assistant, additional_instructions="In verse."
        ) as stream:
            list(stream)
    assert engine.turns[0].instructions == "Be brief.\nIn verse."


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (None, range(2, 12)),
        ({}, range(2, 12)),
        ({"type": "last_messages"}, range(2, 12)),
        ({"type": "last_messages", "last_messages": None}, range(2, 12)),
        ({"type": "last_messages", "last_messages": 1}, range(11, 12)),
        ({"type": "last_messages", "last_messages": 3}, range(9, 12)),
        ({"type": "last_messages", "last_messages": 99}, range(12)),
    ],
)
def test_the_truncation_strategy_decides_how_much_the_engine_sees(
    strategy: dict[str, Any] | None, expected: range
) -> None:
    engine = Script([TextPiece("ok")])
    with serving(engine) as api:
        thread = api.thread(*(f"No. {n}" for n in range(12)))
        with api.stream(
            f"/threads/{thread}/runs", assistant_id=api.assistant(), truncation_strategy=strategy
        ) as stream:
            list(stream)
    assert [said.text for said in engine.turns[0].messages] == [f"No. {n}" for n in expected]


def test_what_a_run_says_itself_takes_no_place_in_what_the_engine_sees() -> None:
    async def plugin(arguments: str, definition: dict[str, Any]) -> str:
        return "42"

    ask: list[Any] = [TextPiece("Let me see."), CallPiece(0, "calculator", "{}")]
    engine = Script(ask, ask, [TextPiece("ok")])
    with serving(engine, plugins={"calculator": plugin}) as api:
        strategy = {"type": "last_messages", "last_messages": 1}
        assert names(api.run("calculator", truncation_strategy=strategy))[-2:] == ENDED
    assert [turn.messages for turn in engine.turns] == [(Said("user", "Hello"),)] * 3


def test_the_next_run_sees_what_the_last_one_said() -> None:
    engine = Script([TextPiece("Hi!")], [TextPiece("Bye!")])
    with serving(engine) as api:
        thread, assistant = api.thread("Hello"), api.assistant()
        for _ in range(2):
            with api.stream(f"/threads/{thread}/runs", assistant_id=assistant) as stream:
                list(stream)
    assert engine.turns[1].messages == (Said("user", "Hello"), Said("assistant", "Hi!"))


# --- runs that lose their ground -----------------------------------------------------------------


def test_deleting_a_thread_ends_its_running_run_for_the_reader() -> None:
    gate = Gate()
    engine = Script([TextPiece("Half"), gate])
    with serving(engine) as api:
        thread = api.thread("Hello")
        with api.stream(f"/threads/{thread}/runs", assistant_id=api.assistant()) as stream:
            events = list(itertools.takewhile(lambda event: event[0] != "thread.message.delta", stream))
            assert gate.reached.wait(5)
            assert api.client.delete(f"/threads/{thread}").status_code == 200
            assert names(list(stream)) == [
                "thread.message.incomplete",
                "thread.run.step.cancelled",
                "thread.run.cancelled",
                "done",
            ]
        assert api.client.get(path_of(events)).status_code == 404
        for table in ("messages", "steps", "runs"):
            assert api.service.store.every(table, thread_id=thread) == []
        assert api.service.store.events("run_1") == []
    assert engine.left == 1


def test_deleting_a_thread_ends_a_waiting_run() -> None:
    with serving(Script([CallPiece(0, "f", "{}")])) as api:
        path = path_of(api.run("function:f"))
        assert api.client.delete(path.rpartition("/runs/")[0]).status_code == 200
        assert api.client.post(path + "/cancel").status_code == 404


def test_a_tool_that_goes_on_after_its_thread_was_deleted_writes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def deaf(arguments: str, definition: dict[str, Any]) -> str:
        try:
            await gate.pass_through()
        except asyncio.CancelledError:
            return "after all"
        return "never"

    gate = Gate()

    async def check() -> None:
        with Desk(Script([CallPiece(0, "calculator", "{}")]), plugins={"calculator": deaf}) as desk:
            ids = desk.begin("calculator")
            await desk.arrival(gate)
            desk.call("threads.delete", thread_id=ids["thread_id"])
            for _ in range(20):
                await asyncio.sleep(0)
            assert desk.store.every("steps") == []
            assert desk.told(ids) == []

    asyncio.run(check())
    assert caplog.records == []


def test_a_run_that_another_process_cancelled_writes_nothing_behind_its_end(tmp_path: Any) -> None:
    async def check() -> None:
        gate, file = Gate(), str(tmp_path / "a.db")
        with (
            Desk(Script([TextPiece("a"), gate, TextPiece("b")]), database=file) as desk,
            Desk(Script(), database=file) as other,
        ):
            ids = desk.begin()
            await desk.arrival(gate)
            assert other.call("runs.cancel", **ids)["status"] == "cancelling"
            gate.open()
            for _ in range(20):
                await asyncio.sleep(0)
            assert desk.told(ids)[-2:] == ["thread.run.cancelled", "done"]
            assert desk.status(ids) == "cancelled"

    asyncio.run(check())


def test_closing_the_service_ends_its_runs_and_readers_see_the_end() -> None:
    gate = Gate()
    with serving(Script([TextPiece("Half"), gate], [CallPiece(0, "f", "{}")])) as api:
        thread = api.thread("Hello")
        with api.stream(f"/threads/{thread}/runs", assistant_id=api.assistant()) as stream:
            list(itertools.takewhile(lambda event: event[0] != "thread.message.delta", stream))
            assert gate.reached.wait(5)
            api.service.close()
            rest = list(stream)
    assert names(rest) == ["thread.message.incomplete", "thread.run.step.failed", "thread.run.failed", "done"]
    error = {"code": "server_stopped", "message": "The server was stopped."}
    assert of(rest, "thread.run.failed")[0]["last_error"] == error


def test_a_server_that_shuts_down_ends_the_runs_that_it_served() -> None:
    """A server has a loop of its own, whose end would otherwise look like a cancel."""

    async def check(service: LocalService, gate: Gate) -> None:
        app = httpx.ASGITransport(service.app)
        async with (
            service.app.router.lifespan_context(service.app),
            httpx.AsyncClient(transport=app, base_url=BASE_URL) as client,
        ):
            assistant = (await client.post("/assistants", json={"model": "m"})).json()["id"]
            await client.post("/threads/runs", json={"assistant_id": assistant})
            while not gate.reached.is_set():  # noqa: ASYNC110 - the gate is for threads
                await asyncio.sleep(0)
        run = service.store.get("runs", "run_1")
        assert run is not None
        assert (run["status"], run["last_error"]["code"]) == ("failed", "server_stopped")

    gate = Gate()
    with LocalService(":memory:", Script([TextPiece("a"), gate]), plugins={}, ids=numbered()) as service:
        asyncio.run(check(service, gate))


def test_closing_the_service_leaves_the_runs_of_a_server_to_the_server(tmp_path: Any) -> None:
    async def check(service: LocalService) -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(service.app), base_url=BASE_URL) as client:
            assistant = (await client.post("/assistants", json={"model": "m"})).json()["id"]
            await client.post("/threads/runs", json={"assistant_id": assistant})
            service.close()

    service = LocalService(str(tmp_path / "a.db"), Script([Gate()]), plugins={}, ids=numbered())
    asyncio.run(check(service))
    service.store.close()  # opened again by the run, when the loop it ran on came to its end


def test_closing_the_service_leaves_waiting_runs_for_the_next_one(tmp_path: Any) -> None:
    file = str(tmp_path / "a.db")
    with serving(Script([CallPiece(0, "f", "{}")]), database=file) as api:
        path = path_of(api.run("function:f"))
    again: dict[str, Any] = {"database": file, "ids": lambda prefix: f"{prefix}_again", "clock": ticking()}
    engine = Script([TextPiece("ok")])
    engine.turns.clear()
    with serving(engine, **again) as api:
        assert names(api.submit(path, {"output": "x"})) == [*RESUMED, *written(1), *ENDED]


def test_a_failing_run_says_why_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with serving(Script([ZeroDivisionError("by zero")])) as api:
        api.run()
    assert [record.getMessage() for record in caplog.records] == ["run run_1 failed"]


def test_a_follow_names_the_run_and_where_its_stream_begins() -> None:
    async def check() -> None:
        with Desk(Script([CallPiece(0, "f", "{}")], [TextPiece("ok")])) as desk:
            ids = desk.begin("function:f")
            await desk.until(ids, "requires_action")
            known = len(desk.told(ids))
            outputs = {"tool_outputs": [{"output": "x"}], "stream": True}
            assert desk.call("runs.submit_tool_outputs", outputs, **ids) == Follow(ids["run_id"], known)
            with pytest.raises(APIError):
                desk.submit(ids, "x")
            assert (await desk.read(ids, after=known))[:1] == STEP_DONE

    asyncio.run(check())


# --- any order of requests -----------------------------------------------------------------------

FINAL = {"completed", "failed", "cancelled"}


class Restless(Script):
    """An engine that says, asks for a function or fails, as the model's name and the round tell it."""

    async def answer(self, turn: Turn) -> AsyncIterator[Piece]:
        for _ in range(len(turn.model)):
            yield TextPiece("a")
            await asyncio.sleep(0)
        if turn.model.startswith("f") and len(turn.rounds) < 2:
            yield CallPiece(0, "f", "{}")
        if turn.model.startswith("x"):
            raise EngineError("No.")
        yield Spent(1, 1)


@settings(deadline=None, max_examples=150)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("create"), st.sampled_from(["m", "mmm", "f", "fff", "x"])),
            st.tuples(st.sampled_from(["cancel", "submit", "delete"]), st.integers(0, 3)),
            st.tuples(st.just("turns"), st.integers(1, 9)),
        ),
        max_size=20,
    )
)
def test_whatever_is_asked_in_whatever_order_every_run_ends_once(steps: list[tuple[str, Any]]) -> None:
    async def check() -> None:
        with Desk(Restless()) as desk:
            runs: list[dict[str, str]] = []
            assistant = desk.call("assistants.create", {"model": "m"})["id"]
            for what, detail in steps:
                if what == "turns":
                    for _ in range(detail):
                        await asyncio.sleep(0)
                elif what == "create":
                    thread = desk.call("threads.create")["id"]
                    body = {"assistant_id": assistant, "model": detail}
                    run = desk.call("runs.create", body, thread_id=thread)["id"]
                    runs.append({"thread_id": thread, "run_id": run})
                elif detail < len(runs):
                    ids = runs[detail]
                    with suppress(APIError):
                        if what == "cancel":
                            desk.call("runs.cancel", **ids)
                        elif what == "submit":
                            desk.submit(ids, "x")
                        else:
                            desk.call("threads.delete", thread_id=ids["thread_id"])
            for _ in range(100):
                await asyncio.sleep(0)
            assert desk.runner._tasks == {}
            for ids in runs:
                status, told = desk.status(ids), desk.told(ids)
                if not status:
                    assert told == []
                    continue
                assert status in FINAL | {"requires_action"}
                assert told[-2:] == [f"thread.run.{status}", "done"]
                assert len([name for name in told if name in {f"thread.run.{one}" for one in FINAL}]) == (
                    status in FINAL
                )
                assert [event.seq for event in desk.store.events(ids["run_id"])] == list(range(1, len(told) + 1))
                open_steps = [step for step in desk.store.every("steps", **ids) if step["status"] == "in_progress"]
                assert len(open_steps) == (status == "requires_action")
                assert told.count("thread.message.created") == told.count("thread.message.completed") + told.count(
                    "thread.message.incomplete"
                )

    asyncio.run(check())
