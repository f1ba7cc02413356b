"""What the events of a run add up to, after each of them."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashnb.protocol.events import EVENTS, RunEvent, event_of
from dashnb.protocol.lifecycle import FINAL_RUN_STATUSES, FINAL_STEP_STATUSES
from dashnb.protocol.objects import Message, Run, RunStep
from dashnb.protocol.recording import parse_recording
from dashnb.protocol.state import ABANDONED, RunState, Step, ToolCall

TRANSCRIPTS = Path(__file__).parent / "transcripts"
NAMES = ["run-plain.sse", "run-quark-search.jsonl", "submit-tool-outputs.sse"]

steady = settings(derandomize=True, deadline=None, max_examples=150)


def recorded(name: str) -> list[RunEvent]:
    return parse_recording((TRANSCRIPTS / name).read_bytes())


def summed(events: Iterable[RunEvent], state: RunState | None = None) -> RunState:
    """The state after these events, which arrive every 10 ms from 1000 on; the request went out at 900."""
    state = state or RunState(requested_at=900)
    for number, event in enumerate(events):
        state.apply(event, at=1000 + 10 * number)
    return state


def run(verb: str, **fields: Any) -> RunEvent:
    return event_of(f"thread.run.{verb}", {"id": "run_1", "status": verb, "thread_id": "thread_1", **fields})


def step(verb: str, calls: list[Any] | None = None, *, id: str = "step_1", **fields: Any) -> RunEvent:
    details = {"type": "tool_calls", "tool_calls": calls or []}
    status = "in_progress" if verb == "created" else verb
    value = {"id": id, "type": "tool_calls", "status": status, "step_details": details}
    return event_of(f"thread.run.step.{verb}", {**value, **fields})


def call_delta(*calls: Any, id: str = "step_1") -> RunEvent:
    details = {"type": "tool_calls", "tool_calls": list(calls)}
    return event_of("thread.run.step.delta", {"id": id, "delta": {"step_details": details}})


def writing_step(verb: str, *, id: str = "step_2", message: str = "message_1", **fields: Any) -> RunEvent:
    details = {"type": "message_creation", "message_creation": {"message_id": message}}
    return step(verb, id=id, type="message_creation", step_details=details, **fields)


def delta(content: Any, *, id: str = "message_1") -> RunEvent:
    return event_of("thread.message.delta", {"id": id, "delta": {"role": "assistant", "content": content}})


def text_part(value: str, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": {"value": value}, **fields}


def message(verb: str, content: Any = None, *, id: str = "message_1", **fields: Any) -> RunEvent:
    return event_of(f"thread.message.{verb}", {"id": id, "role": "assistant", "content": content, **fields})


def action(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": list(calls)}}


def function(name: str = "", arguments: str = "", **fields: Any) -> dict[str, Any]:
    return {"id": "", "type": "function", "function": {"name": name, "arguments": arguments, **fields}}


def only_call(*events: RunEvent) -> ToolCall:
    (call,) = summed(events).tool_calls
    return call


# --- the transcripts -----------------------------------------------------------------------------


def test_a_new_state_is_empty() -> None:
    state = RunState()
    assert (state.id, state.status, state.text, state.thread_id, state.model, state.assistant_id) == ("",) * 6
    assert (state.steps, state.messages, state.tool_calls, state.pending_calls) == ((),) * 4
    assert (state.run, state.usage, state.error, state.required_action) == (None,) * 4
    assert (state.done, state.is_final, state.event_count) == (False, False, 0)
    assert (state.time_to_first_token, state.duration_ms) == (None, None)
    assert repr(state) == "RunState(id='', status='', steps=0, chars=0)"


def test_the_plain_transcript_adds_up_event_by_event() -> None:
    full = "999 に 998 を掛けると 997002 になります。"
    pieces = ["9", "99", "999", "999 に 998 を掛けると", full, full]
    going, ended = ("in_progress",), ("completed",)
    expected: list[tuple[str, str, str, tuple[str, ...], int]] = [
        ("thread.created", "", "", (), 0),
        ("thread.run.created", "queued", "", (), 0),
        ("thread.run.queued", "queued", "", (), 0),
        ("thread.run.in_progress", "in_progress", "", (), 0),
        ("thread.run.step.created", "in_progress", "", going, 0),
        ("thread.run.step.in_progress", "in_progress", "", going, 0),
        ("thread.message.created", "in_progress", "", going, 0),
        ("thread.message.in_progress", "in_progress", "", going, 0),
        *(("thread.message.delta", "in_progress", text, going, 0) for text in pieces),
        ("thread.message.completed", "in_progress", full, going, 1),
        ("thread.run.step.completed", "in_progress", full, ended, 1),
        ("thread.run.completed", "completed", full, ended, 1),
        ("done", "completed", full, ended, 1),
    ]
    state, seen = RunState(), []
    for event in recorded("run-plain.sse"):
        state.apply(event)
        assert state.text == "".join(step.text for step in state.steps)
        assert (state.usage is not None) == state.is_final == (state.status == "completed")
        assert state.done == (event.name == "done")
        steps = tuple(step.status for step in state.steps)
        seen.append((event.name, state.status, state.text, steps, len(state.messages)))
        assert state.event_count == len(seen)
    assert seen == expected


def test_the_plain_transcript_ends_with_its_documented_objects() -> None:
    events = recorded("run-plain.sse")
    state = summed(events)
    assert state.id == "run_04fba6a3-3ac9-42e8-ba2b-9b5c889a8d58"
    assert state.thread_id == "thread_5b7824dc-dbf9-4538-b214-624ee199caa4"
    assert state.assistant_id == "asst_5378d83a-f612-4fc1-9034-915351d67d98"
    assert state.model == "qwen-max"
    assert state.usage is not None
    assert state.usage.to_dict() == {"input_tokens": 419, "output_tokens": 16, "total_tokens": 435}
    assert state.messages == (events[14].data,)
    assert state.text == events[14].data.text == "".join(event.text for event in events)
    assert state.steps == (
        Step(
            id="step_52c42910-4993-496d-a7f3-ecd4cf007839",
            type="message_creation",
            status="completed",
            text=state.text,
            message_id="message_f4f68f6b-6003-4115-8f20-3ea590137502",
            started_at=1040,
            ended_at=1150,
        ),
    )
    assert state.run == events[16].data
    assert repr(state) == f"RunState(id='{state.id}', status='completed', steps=1, chars={len(state.text)})"


def test_the_search_transcript_ends_with_its_documented_objects() -> None:
    events = recorded("run-quark-search.jsonl")
    by_name = {event.name: event.data for event in events}
    finished = [event.data for event in events if event.name == "thread.run.step.completed"]
    state = summed(events)
    assert (state.status, state.done) == ("completed", False)
    assert state.usage is not None
    assert (state.usage.input_tokens, state.usage.output_tokens, state.usage.total_tokens) == (1865, 139, 2004)
    assert [(step.type, step.status) for step in state.steps] == [
        ("tool_calls", "completed"),
        ("message_creation", "completed"),
    ]
    (call,) = state.tool_calls
    assert (call.number, call.id, call.type, call.name) == (0, "", "quark_search", "quark_search")
    assert json.loads(call.arguments) == {"query": "今日の北京の天気"}
    assert call.output == finished[0].step_details.tool_calls[0].payload[1].output
    assert json.loads(str(call.output))["success"] is True
    assert state.messages == (by_name["thread.message.completed"],)
    assert state.text == by_name["thread.message.completed"].text


def test_the_completed_text_outranks_the_joined_pieces_of_the_search_transcript() -> None:
    events = recorded("run-quark-search.jsonl")
    joined = "".join(event.text for event in events)
    state = RunState()
    for event in events:
        before = state.text
        state.apply(event)
        if event.name == "thread.message.completed":
            assert before == joined
            assert state.text == event.data.text != joined
    assert state.text.replace(" ", "") == joined.replace(" ", "")


def test_the_search_call_of_the_search_transcript_is_whole_before_its_step_is() -> None:
    events = recorded("run-quark-search.jsonl")
    until = next(n for n, event in enumerate(events) if event.name == "thread.run.step.completed")
    (call,) = summed(events[:until]).tool_calls
    assert (call.type, call.name, call.arguments) == ("quark_search", "quark_search", '{"query": "今日の北京の天気"}')
    assert isinstance(call.output, str)
    assert call.output.startswith('{"success": true')


def test_the_submit_transcript_ends_with_its_documented_objects() -> None:
    events = recorded("submit-tool-outputs.sse")
    completed = [event.data for event in events if event.name == "thread.message.completed"]
    state = summed(events)
    assert (state.status, state.done, state.text) == ("completed", True, "西安の現在の天気は雨です。")
    assert state.text == "".join(event.text for event in events)
    assert state.messages == tuple(completed)
    assert state.tool_calls == (ToolCall(0, "", "function", "get_current_weather", '{"location": "Xi\'an"}', "rain"),)
    assert [(step.type, step.status) for step in state.steps] == [
        ("tool_calls", "completed"),
        ("message_creation", "completed"),
    ]
    assert state.usage == events[-2].data.usage is not None


# --- text ----------------------------------------------------------------------------------------


def test_a_part_goes_by_its_index_and_else_by_its_position() -> None:
    state = summed(
        [
            delta([text_part("b1", index=1)]),
            delta([text_part("a1", index=0), text_part("b2", index=1)]),
            delta([text_part("a2"), text_part("b3")]),
        ]
    )
    assert state.text == "a1a2b1b2b3"


def test_content_may_be_one_part_or_a_bare_text_or_nothing() -> None:
    pieces: list[Any] = [text_part("a"), "b", None, [], "", {}, [text_part("")], [{"type": "text", "text": None}]]
    assert summed(delta(content) for content in pieces).text == "ab"


def test_a_part_that_is_no_text_adds_no_text() -> None:
    picture = {"type": "image_file", "image_file": {"file_id": "f"}}
    assert summed([delta([picture, text_part("a")]), delta([picture, text_part("b")])]).text == "ab"


def test_the_incomplete_message_outranks_its_pieces_too() -> None:
    state = summed([delta("abc"), message("incomplete", "ab", incomplete_details={"reason": "max_tokens"})])
    assert state.text == "ab"
    assert state.messages[0].incomplete_details == {"reason": "max_tokens"}


def test_pieces_after_the_whole_message_add_nothing() -> None:
    assert summed([message("completed", "abc"), delta("d")]).text == "abc"


def test_two_messages_are_parted_by_an_empty_line_and_belong_to_their_steps() -> None:
    state = summed(
        [
            writing_step("created", id="s1", message="m1"),
            message("created", id="m1"),
            delta("one", id="m1"),
            writing_step("created", id="s2", message="m2"),
            message("created", id="m2"),
            delta("two", id="m2"),
        ]
    )
    assert state.text == "one\n\ntwo"
    assert [step.text for step in state.steps] == ["one", "two"]


def test_a_message_without_text_leaves_no_empty_line() -> None:
    assert summed([message("created", id="m1"), delta("two", id="m2")]).text == "two"


@steady
@given(st.text(max_size=60), st.lists(st.integers(0, 60), max_size=8), st.booleans())
def test_any_split_of_a_text_gives_the_text(text: str, places: list[int], look: bool) -> None:
    borders = sorted({0, len(text), *(min(place, len(text)) for place in places)})
    state = RunState()
    for start, end in zip([0, *borders], borders, strict=False):
        state.apply(delta([text_part(text[start:end])]))
        if look:
            assert state.text == text[:end]
    assert state.text == text


@steady
@given(st.lists(st.tuples(st.integers(0, 3), st.text(max_size=4)), max_size=20))
def test_pieces_of_several_parts_in_any_order_end_up_in_their_parts(pieces: list[tuple[int, str]]) -> None:
    state = summed(delta([text_part(text, index=index)]) for index, text in pieces)
    assert state.text == "".join(text for part in range(4) for index, text in pieces if index == part)


# --- tool calls ----------------------------------------------------------------------------------


def test_plugin_name_and_type_are_one_call() -> None:
    call = only_call(
        call_delta({"type": "quark_search", "quark_search": {"arguments": "{"}}),
        call_delta({"quark_search": {"arguments": "}"}}),
        call_delta({"type": "quark_search", "plugin_name": {"output": "x"}}),
        call_delta({"plugin_name": {"output": "y"}}),
        call_delta({"quark_search": {"output": ""}}),
    )
    assert call == ToolCall(0, "", "quark_search", "quark_search", "{}", "xy")


def test_a_call_whose_first_delta_says_only_plugin_name_gets_its_type_later() -> None:
    first = call_delta({"plugin_name": {"arguments": "{"}})
    assert only_call(first) == ToolCall(0, "", "", "", "{")
    later = call_delta({"type": "calculator", "calculator": {"arguments": "}"}})
    assert only_call(first, later) == ToolCall(0, "", "calculator", "calculator", "{}")


@pytest.mark.parametrize("more", [{}, {"type": "function"}, {"id": ""}, {"id": None, "type": None}])
def test_pieces_of_a_function_call_keep_the_id_and_name_of_the_first(more: dict[str, Any]) -> None:
    first = {"index": 0, "type": "function", "function": {"name": "add", "arguments": "", "output": None}}
    call = only_call(
        call_delta({"id": "call_1", **first}),
        call_delta({"index": 0, "function": {"arguments": '{"a"'}, **more}),
        call_delta({"index": 0, "function": {"name": None, "arguments": ": 1}"}, **more}),
    )
    assert call == ToolCall(0, "call_1", "function", "add", '{"a": 1}', None)


def test_a_function_call_without_type_is_a_function() -> None:
    assert only_call(call_delta({"function": {"name": "add", "arguments": "{}"}})).type == "function"


def test_calls_go_by_index_and_else_by_position() -> None:
    state = summed(
        [
            call_delta({"index": 1, **function("b", "b1")}, {"index": 0, **function("a", "a1")}),
            call_delta({"index": 1, "function": {"arguments": "b2"}}),
            call_delta(function("", "a2"), function("", "b3")),
        ]
    )
    assert [(call.number, call.name, call.arguments) for call in state.tool_calls] == [
        (0, "a", "a1a2"),
        (1, "b", "b1b2b3"),
    ]


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ([], None),
        ([None], None),
        ([""], ""),
        (["a", "b"], "ab"),
        ([None, "a", None, "", "b"], "ab"),
        ([[]], []),
        ([["a"], ["b"]], ["a", "b"]),
        ([["a"], None, "", []], ["a"]),
        ([[], "4"], "4"),
        (["", ["a"]], ["a"]),
        (["a", ["b"]], ["a", "b"]),
        ([[{"url": "u"}], "x"], [{"url": "u"}, "x"]),
        ([{}], None),
    ],
)
def test_output_is_text_or_a_list_and_nothing_adds_nothing(outputs: list[Any], expected: Any) -> None:
    begin = {"type": "code_interpreter", "code_interpreter": {"arguments": "1"}}
    pieces = [{"type": "code_interpreter", "code_interpreter": {"output": output}} for output in outputs]
    assert only_call(*map(call_delta, [begin, *pieces])).output == expected


def test_output_that_is_neither_text_nor_a_list_is_kept_as_json() -> None:
    call = only_call(call_delta({"type": "calculator", "calculator": {"output": {"result": "四", "ok": True}}}))
    assert call.output == '{"result": "四", "ok": true}'


def test_a_finished_step_replaces_what_was_merged() -> None:
    state = summed(
        [
            step("created"),
            call_delta({"type": "quark_search", "quark_search": {"arguments": "old", "output": "old"}}),
            step("completed", [{"type": "quark_search", "plugin_name": {"arguments": "new", "output": "new"}}]),
        ]
    )
    assert state.tool_calls == (ToolCall(0, "", "quark_search", "quark_search", "new", "new"),)


def test_a_finished_step_that_shows_no_calls_keeps_the_merged_ones() -> None:
    state = summed([step("created"), call_delta(function("add", "{}")), step("completed")])
    assert [call.name for call in state.tool_calls] == ["add"]


def test_a_finished_call_without_type_and_id_keeps_those_of_its_pieces() -> None:
    state = summed(
        [
            call_delta({"id": "call_1", "type": "calculator", "calculator": {"arguments": "{}"}}),
            step("completed", [{"plugin_name": {"arguments": "{}", "output": "4"}}]),
        ]
    )
    assert state.tool_calls == (ToolCall(0, "call_1", "calculator", "calculator", "{}", "4"),)


def test_a_delta_of_a_message_step_only_repeats_the_id() -> None:
    details = {"type": "message_creation", "message_creation": {"message_id": "message_1"}}
    repeated = event_of("thread.run.step.delta", {"id": "step_2", "delta": {"step_details": details}})
    state = summed([writing_step("created"), repeated, delta("a")])
    assert (state.steps[0].text, state.steps[0].calls, state.steps[0].message_id) == ("a", (), "message_1")


keys = st.sampled_from(["plugin_name", "search", ""])


@steady
@given(
    st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True),
    st.lists(st.tuples(st.integers(0, 2), st.text(max_size=3), keys), max_size=15),
)
def test_arguments_in_any_pieces_under_any_key_join_in_order(
    order: list[int], pieces: list[tuple[int, str, str]]
) -> None:
    state = summed(call_delta({"index": number, "type": "search", "search": {}}) for number in order)
    for number, text, key in pieces:
        payload = {key: {"arguments": text}} if key else {"type": "search"}
        state.apply(call_delta({"index": number, **payload}))
    expected = dict.fromkeys({*order, *(number for number, _, _ in pieces)}, "")
    for number, text, key in pieces:
        expected[number] += text if key else ""
    assert {call.number: call.arguments for call in state.tool_calls} == expected


# --- functions -----------------------------------------------------------------------------------

ADD, NOW = function("add", '{"a": 1}'), function("now", "{}")


def test_a_run_that_requires_action_shows_its_pending_calls() -> None:
    state = summed([run("created"), run("requires_action", required_action=action(ADD, NOW))])
    assert state.pending_calls == (
        ToolCall(0, "", "function", "add", '{"a": 1}'),
        ToolCall(1, "", "function", "now", "{}"),
    )
    assert state.required_action is not None
    assert (state.status, state.is_final) == ("requires_action", False)


@pytest.mark.parametrize("pieces", [[], [ADD, NOW], [function("add", '{"a"'), function("now")]])
def test_the_open_step_shows_the_pending_calls_with_and_without_deltas(pieces: list[dict[str, Any]]) -> None:
    deltas = [call_delta(*pieces)] if pieces else []
    state = summed([run("created"), step("created"), *deltas, run("requires_action", required_action=action(ADD, NOW))])
    (only,) = state.steps
    assert only.status == "in_progress"
    assert only.calls == state.pending_calls


def test_an_id_from_a_delta_survives_an_action_without_one() -> None:
    state = summed(
        [
            step("created"),
            call_delta({"id": "call_1", **function("add")} | {"id": "call_1"}),
            run("requires_action", required_action=action(ADD)),
        ]
    )
    assert [(call.id, call.arguments) for call in state.tool_calls] == [("call_1", '{"a": 1}')]


def test_a_pending_call_without_type_is_a_function() -> None:
    bare = {"function": {"name": "add", "arguments": "{}"}}
    state = summed([run("requires_action", required_action=action(bare))])
    assert state.pending_calls == (ToolCall(0, "", "function", "add", "{}"),)


@pytest.mark.parametrize("verb", ["queued", "in_progress", "completed"])
def test_an_action_that_is_left_over_asks_for_nothing(verb: str) -> None:
    state = summed([run("requires_action", required_action=action(ADD)), run(verb, required_action=action(ADD))])
    assert (state.required_action, state.pending_calls) == (None, ())


def first_stream(calls: list[dict[str, Any]]) -> list[RunEvent]:
    """The events up to the functions of the submit transcript, whose ids they carry."""
    events = recorded("submit-tool-outputs.sse")
    tool_step, run_object = events[0].data, events[1].data
    weather = function("get_current_weather", '{"location": "Xi\'an"}')
    ids = {"id": run_object.id, "thread_id": run_object.thread_id, "assistant_id": run_object.assistant_id}
    return [
        run("created", **ids),
        run("queued", **ids),
        run("in_progress", **ids),
        step("created", id=tool_step.id),
        step("in_progress", id=tool_step.id),
        *(call_delta(call, id=tool_step.id) for call in calls),
        run("requires_action", **ids, required_action=action(weather)),
        RunEvent("done"),
    ]


@pytest.mark.parametrize(
    "calls", [[], [function("get_current_weather"), {"function": {"arguments": '{"location": "Xi\'an"}'}}]]
)
def test_two_streams_add_up_in_one_state(calls: list[dict[str, Any]]) -> None:
    state = summed(first_stream(calls))
    assert (state.status, state.done, len(state.steps)) == ("requires_action", True, 1)
    assert state.tool_calls == state.pending_calls
    summed(recorded("submit-tool-outputs.sse"), state)
    alone = summed(recorded("submit-tool-outputs.sse"))
    assert state.tool_calls == alone.tool_calls
    assert (state.text, state.usage, state.status, state.done) == (alone.text, alone.usage, "completed", True)
    assert [step.status for step in state.steps] == ["completed", "completed"]


def test_done_belongs_to_the_last_stream() -> None:
    state = summed(first_stream([]))
    assert state.done
    state.apply(recorded("submit-tool-outputs.sse")[0])
    assert not state.done


def test_a_second_action_shows_in_its_own_step() -> None:
    state = summed(
        [
            step("created", id="s1"),
            run("requires_action", required_action=action(ADD)),
            RunEvent("done"),
            step("completed", [function("add", '{"a": 1}', output="2")], id="s1"),
            run("queued"),
            run("in_progress"),
            step("created", id="s2"),
            run("requires_action", required_action=action(NOW)),
        ]
    )
    assert state.tool_calls == (
        ToolCall(0, "", "function", "add", '{"a": 1}', "2"),
        ToolCall(0, "", "function", "now", "{}"),
    )
    assert [step.status for step in state.steps] == ["completed", "in_progress"]
    assert [call.name for call in state.pending_calls] == ["now"]


def test_of_two_open_steps_the_newer_one_shows_the_pending_calls() -> None:
    state = summed(
        [step("created", id="s1"), step("created", id="s2"), run("requires_action", required_action=action(ADD))]
    )
    assert [len(step.calls) for step in state.steps] == [0, 1]


# --- statuses and errors -------------------------------------------------------------------------


def test_a_run_is_created_with_the_status_of_its_object() -> None:
    assert summed([run("created", status="in_progress")]).status == "in_progress"
    assert summed([run("created", status="")]).status == "queued"


@pytest.mark.parametrize("name", [name for name, (model, _) in EVENTS.items() if model is Run])
def test_the_name_of_a_run_event_outranks_the_status_of_its_object(name: str) -> None:
    verb = name.rpartition(".")[2]
    state = summed([event_of(name, {"id": "run_1", "status": "in_progress"})])
    assert state.status == ("in_progress" if verb == "created" else verb)
    assert state.is_final == (verb in FINAL_RUN_STATUSES)


@pytest.mark.parametrize("verb", sorted(FINAL_STEP_STATUSES))
def test_the_name_of_a_step_event_outranks_the_status_of_its_object(verb: str) -> None:
    (ended,) = summed([step("created"), step(verb, status="in_progress")]).steps
    assert (ended.status, ended.duration_ms) == (verb, 10)


@pytest.mark.parametrize("status", sorted(FINAL_STEP_STATUSES))
def test_a_step_that_only_began_goes_on_whatever_its_object_says(status: str) -> None:
    (only,) = summed([step("created", status=status)]).steps
    assert only.status == "in_progress"


def test_a_failed_step_has_its_error() -> None:
    (only,) = summed([step("created"), step("failed", last_error={"code": "c", "message": "m"})]).steps
    assert only.error is not None
    assert (only.status, only.error.code, only.error.message) == ("failed", "c", "m")


def test_a_failed_run_has_its_error_and_ends_its_open_step() -> None:
    state = summed([run("in_progress"), step("created"), run("failed", last_error={"code": "c", "message": "m"})])
    assert state.error is not None
    assert (state.status, state.error.code, state.steps[0].status) == ("failed", "c", "failed")


@pytest.mark.parametrize(
    ("verb", "step_status"),
    [
        *(("completed", "completed"), ("failed", "failed"), ("cancelled", "cancelled"), ("expired", "expired")),
        ("incomplete", "cancelled"),
    ],
)
def test_the_end_of_a_run_ends_its_open_steps_and_no_others(verb: str, step_status: str) -> None:
    state = summed([step("created", id="a"), step("completed", id="a"), step("created", id="b"), run(verb)])
    assert [step.status for step in state.steps] == ["completed", step_status]


def test_an_empty_last_error_is_no_error_and_does_not_undo_one() -> None:
    assert summed([run("completed", last_error={"code": "", "message": ""})]).error is None
    state = summed([run("failed", last_error={"code": "c"}), run("failed", last_error=None)])
    assert state.error is not None


@pytest.mark.parametrize(
    ("value", "code"), [({"code": "Throttling", "message": "m"}, "Throttling"), ({"message": "m"}, "error")]
)
def test_an_error_event_is_the_error_of_the_state_and_ends_nothing(value: dict[str, Any], code: str) -> None:
    state = summed([run("in_progress"), delta("a"), event_of("error", value)])
    assert state.error is not None
    assert (state.error.code, state.error.message) == (code, "m")
    assert (state.status, state.text, state.is_final) == ("in_progress", "a", False)


@pytest.mark.parametrize("data", [None, "text", {"id": "run_9", "status": "failed"}, ["x"], 5])
@pytest.mark.parametrize("name", ["thread.run.thinking", "thread.message.refused", "message", ""])
def test_an_unknown_event_changes_nothing(name: str, data: Any) -> None:
    events = recorded("run-quark-search.jsonl")[:20]
    with_it, without = summed(events), summed(events)
    with_it.apply(event_of(name, data), at=9999)
    assert with_it.event_count == without.event_count + 1
    for state in (with_it, without):
        state.event_count = 0
    assert facts(with_it) == facts(without)


def facts(state: RunState) -> dict[str, Any]:
    """All that a state says."""
    names = [name for name in dir(RunState) if isinstance(getattr(RunState, name), property)]
    return {name: getattr(state, name) for name in [*names, *(key for key in vars(state) if key[0] != "_")]}


def test_a_stray_thread_gives_way_to_the_thread_of_the_run() -> None:
    state = summed([event_of("thread.created", {"id": "stray"})])
    assert state.thread_id == "stray"
    assert summed([run("created")], state).thread_id == "thread_1"


def test_a_stream_that_begins_with_a_step_names_the_thread_by_it() -> None:
    assert summed(recorded("submit-tool-outputs.sse")[:1]).thread_id == "thread_c6ac2eb0-ed95-4834-befb-ea66eba85b9f"


def test_a_step_has_the_type_of_its_details_if_it_names_none_itself() -> None:
    (only,) = summed([step("created", type=None)]).steps
    assert only.type == "tool_calls"


def test_usage_stays_when_a_later_object_has_none() -> None:
    state = summed([run("completed", usage={"input_tokens": 1}), run("completed", usage=None)])
    assert state.usage is not None
    assert state.usage.total_tokens == 1


# --- times ---------------------------------------------------------------------------------------


def test_times_come_from_the_clock_of_the_caller() -> None:
    state = RunState(requested_at=100.0)
    timed = [
        (150.0, run("created")),
        (160.0, writing_step("created")),
        (170.0, message("created")),
        (180.0, delta("")),
        (200.0, delta("a")),
        (210.0, delta("b")),
        (300.0, writing_step("completed")),
        (400.0, run("completed")),
        (450.0, RunEvent("done")),
    ]
    for at, event in timed:
        state.apply(event, at=at)
    assert (state.time_to_first_token, state.duration_ms) == (100.0, 300.0)
    assert (state.first_token_at, state.ended_at) == (200.0, 400.0)
    assert (state.steps[0].started_at, state.steps[0].ended_at, state.steps[0].duration_ms) == (160.0, 300.0, 140.0)


def test_a_message_without_pieces_gives_the_first_token() -> None:
    state = RunState(requested_at=0)
    state.apply(message("completed", "abc"), at=7)
    assert state.time_to_first_token == 7


def test_without_a_clock_there_are_no_times() -> None:
    state = RunState()
    for event in recorded("run-plain.sse"):
        state.apply(event)
    assert (state.time_to_first_token, state.duration_ms, state.steps[0].duration_ms) == (None, None, None)


def test_reading_an_ended_run_again_does_not_move_its_end() -> None:
    state = summed([step("created"), run("completed")])
    state.merge(Run(id="run_1", status="completed"), steps=[RunStep(id="step_1", status="completed")], at=9000)
    assert (state.ended_at, state.steps[0].ended_at) == (1010, 1010)


def test_the_time_for_tools_is_part_of_the_duration() -> None:
    state = RunState(requested_at=0)
    state.apply(run("requires_action", required_action=action(ADD)), at=10)
    assert state.duration_ms is None
    state.apply(run("queued"), at=1000)
    state.apply(run("completed"), at=1100)
    assert state.duration_ms == 1100


# --- objects read one by one ---------------------------------------------------------------------


def objects_of(name: str) -> tuple[Run, list[RunStep], list[Message]]:
    """The last objects of a transcript, as if they had been retrieved."""
    events = recorded(name)
    last = {event.data.id: event.data for event in events if isinstance(event.data, Run | RunStep | Message)}
    (only,) = [data for data in last.values() if isinstance(data, Run)]
    steps = [data for data in last.values() if isinstance(data, RunStep)]
    return only, steps, [data for data in last.values() if isinstance(data, Message)]


def untimed(state: RunState) -> dict[str, Any]:
    said = facts(state)
    times = {"first_token_at", "ended_at", "requested_at", "duration_ms", "time_to_first_token", "event_count", "done"}
    steps = [dataclasses.replace(step, started_at=None, ended_at=None) for step in state.steps]
    return {name: value for name, value in said.items() if name not in times} | {"steps": steps}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seen", [0, 3, 8, 12, 99])
def test_retrieved_objects_give_the_same_sum_as_the_stream(name: str, seen: int) -> None:
    events = recorded(name)
    only, steps, messages = objects_of(name)
    state = summed(events[:seen])
    state.merge(only, steps=steps, messages=messages, at=5000)
    assert untimed(state) == untimed(summed(events))


def test_messages_of_the_user_are_left_out() -> None:
    state = RunState()
    asked = Message.model_validate({"id": "m0", "role": "user", "content": "question"})
    answer = Message.model_validate({"id": "m1", "role": "assistant", "content": "answer"})
    state.merge(Run(id="run_1", status="completed"), messages=[asked, answer])
    assert (state.text, state.messages) == ("answer", (answer,))


def test_a_retrieved_run_may_still_go_on_or_wait() -> None:
    state = RunState(requested_at=0)
    state.merge(Run(id="run_1", status="in_progress"), steps=[RunStep(id="s1", type="tool_calls")], at=5)
    assert (state.status, state.steps[0].status) == ("in_progress", "in_progress")
    assert (state.is_final, state.duration_ms) == (False, None)
    waiting = Run.model_validate({"id": "run_1", "status": "requires_action", "required_action": action(ADD)})
    state.merge(waiting, at=6)
    assert state.steps[0].calls == state.pending_calls != ()


@pytest.mark.parametrize(
    ("run_status", "step_status", "expected"),
    [
        ("failed", "in_progress", "failed"),
        ("failed", "completed", "completed"),
        ("expired", "", "expired"),
        ("incomplete", "in_progress", "cancelled"),
        ("in_progress", "in_progress", "in_progress"),
        ("in_progress", "cancelled", "cancelled"),
        ("completed", "in_progress", "completed"),
    ],
)
def test_a_retrieved_step_that_seems_open_ended_with_its_run(run_status: str, step_status: str, expected: str) -> None:
    state = RunState()
    state.merge(Run(id="run_1", status=run_status), steps=[RunStep(id="s1", type="tool_calls", status=step_status)])
    assert state.steps[0].status == expected


def test_a_step_that_an_event_completed_stays_so_though_its_object_still_says_in_progress() -> None:
    state = summed([step("created"), step("completed", status="in_progress")])
    state.merge(Run(id="run_1", status="failed"), steps=[RunStep(id="step_1", status="in_progress")], at=5000)
    assert (state.status, state.steps[0].status, state.steps[0].ended_at) == ("failed", "completed", 1010)


def test_a_run_left_behind_and_read_later_has_its_true_end() -> None:
    state = summed([run("created"), delta("a")])
    state.end(ABANDONED, at=2000)
    state.merge(Run(id="run_1", status="completed"), messages=[message("completed", "abc").data], at=3000)
    assert (state.status, state.text, state.is_final) == ("completed", "abc", True)


# --- ends that no event tells --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "step_status"), [(ABANDONED, "cancelled"), ("cancelled", "cancelled"), ("failed", "failed")]
)
def test_a_run_may_be_ended_for_us(status: str, step_status: str) -> None:
    state = summed([run("created"), writing_step("created"), delta("a")])
    state.end(status, at=2000)
    assert (state.status, state.is_final, state.text) == (status, True, "a")
    assert (state.duration_ms, state.steps[0].status, state.steps[0].ended_at) == (1100, step_status, 2000)


@pytest.mark.parametrize("status", [ABANDONED, "cancelled"])
def test_a_run_that_ended_by_itself_cannot_be_ended_again(status: str) -> None:
    state = summed(recorded("run-plain.sse"))
    before = facts(state)
    state.end(status, at=9999)
    assert facts(state) == before


# --- nothing is shared ---------------------------------------------------------------------------


def everything() -> list[RunEvent]:
    return [
        *recorded("run-quark-search.jsonl"),
        *first_stream([function("get_current_weather"), {"function": {"arguments": "{}"}}]),
        *recorded("submit-tool-outputs.sse"),
        step("created", id="s9"),
        call_delta({"type": "code_interpreter", "code_interpreter": {"output": [{"a": [1]}]}}, id="s9"),
        call_delta({"type": "code_interpreter", "code_interpreter": {"output": [{"b": [2]}]}}, id="s9"),
    ]


def test_events_are_never_changed() -> None:
    events = everything()
    before = [(event.name, copy.deepcopy(event.data)) for event in events]
    state = RunState()
    for event in events:
        state.apply(event)
        assert state.steps is not None
        assert state.text is not None
    assert [(event.name, event.data) for event in events] == before


def test_what_was_read_between_two_events_does_not_change_afterwards() -> None:
    state, kept = RunState(), []
    for event in everything():
        state.apply(event)
        kept.append((state.steps, state.tool_calls, state.messages, state.text))
    frozen = copy.deepcopy(kept)
    state.merge(Run(id="run_1", status="failed"), steps=[RunStep(id="s9")])
    assert kept == frozen
    assert kept[-1][1][-1].output == [{"a": [1]}, {"b": [2]}]
    assert kept[-2][1][-1].output == [{"a": [1]}]


@steady
@given(st.integers(0, 38), st.integers(0, 38))
def test_looking_at_a_state_does_not_change_what_it_adds_up_to(first: int, second: int) -> None:
    looked, blind = RunState(), RunState()
    for number, event in enumerate(recorded("run-quark-search.jsonl")):
        looked.apply(event)
        blind.apply(event)
        if number in (first, second):
            assert facts(looked)
    assert facts(looked) == facts(blind)


def test_states_share_nothing() -> None:
    one, other = RunState(), RunState()
    one.apply(delta("a"))
    one.apply(step("created"))
    assert (other.text, other.steps) == ("", ())
