"""The table of events, and what an event's bytes become."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashnb.errors import ProtocolError
from dashnb.protocol.events import DONE, EVENTS, RunEvent, encode_event, event_of, parse_event
from dashnb.protocol.objects import ErrorInfo, Message, MessageDelta, Run, RunStep, StepDelta, Thread
from dashnb.protocol.sse import ServerSentEvent, encode
from dashnb.protocol.state import RunState

RUN = {"created", "queued", "in_progress", "requires_action", "cancelling"}
RUN |= {"completed", "failed", "cancelled", "expired", "incomplete"}
STEP = {"created", "in_progress", "completed", "failed", "cancelled", "expired"}
MESSAGE = {"created", "in_progress", "completed", "incomplete"}
EXPECTED = {
    "thread.created": Thread,
    **{f"thread.run.{verb}": Run for verb in RUN},
    **{f"thread.run.step.{verb}": RunStep for verb in STEP},
    "thread.run.step.delta": StepDelta,
    **{f"thread.message.{verb}": Message for verb in MESSAGE},
    "thread.message.delta": MessageDelta,
    "error": ErrorInfo,
}


def test_the_table_holds_the_documented_names_and_their_classes() -> None:
    assert {name: model for name, (model, _) in EVENTS.items()} == EXPECTED


def test_every_row_says_in_a_sentence_what_the_event_means() -> None:
    assert [name for name, (_, help) in EVENTS.items() if not help.endswith(".") or not help[0].isupper()] == []


# --- reading -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_parses_the_smallest_object(name: str) -> None:
    value = {"code": "ServerError"} if name == "error" else {"id": "x_1"}
    event = parse_event(ServerSentEvent(name, json.dumps(value), "7"))
    assert (event.name, event.id) == (name, "7")
    assert type(event.data) is EXPECTED[name]
    assert event.data.to_dict() == value


def test_a_blank_around_the_name_makes_no_difference() -> None:
    assert parse_event(ServerSentEvent(" thread.created ", '{"id": "t"}')).name == "thread.created"


@pytest.mark.parametrize(
    "sent",
    [
        ServerSentEvent("done", "[DONE]"),
        ServerSentEvent(" done", " [DONE]"),
        ServerSentEvent("done", ""),
        ServerSentEvent("message", "[DONE]"),
    ],
)
def test_done_is_known_by_its_name_or_its_data(sent: ServerSentEvent) -> None:
    assert parse_event(sent) == RunEvent("done")


@pytest.mark.parametrize(
    ("data", "value"),
    [('{"a": [1]}', {"a": [1]}), ("3", 3), ("null", None), ("", ""), ("not JSON", "not JSON"), ("[" * 99_999,) * 2],
    ids=["object", "number", "null", "nothing", "text", "too deep"],
)
def test_an_unknown_name_keeps_its_data(data: str, value: Any) -> None:
    assert parse_event(ServerSentEvent("thread.run.thinking", data, "3")) == RunEvent("thread.run.thinking", value, "3")


def test_a_name_that_only_looks_like_a_known_one_is_unknown() -> None:
    assert parse_event(ServerSentEvent("Thread.Created", '{"id": 1}')).data == {"id": 1}


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize(
    "data",
    ["", "{", '{"id": "x"', "<html>", "[" * 99_999, "[]", "null", '"text"', "5"],
    ids=["empty", "open", "cut", "HTML", "too deep", "list", "null", "text", "number"],
)
def test_data_that_is_not_the_object_raises_with_the_name_of_the_event(name: str, data: str) -> None:
    with pytest.raises(ProtocolError, match=rf"The event {name} ") as caught:
        parse_event(ServerSentEvent(name, data))
    assert len(str(caught.value)) < 300
    assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize("name", [name for name in EVENTS if name != "error"])
@pytest.mark.parametrize("value", [{}, {"id": ""}, {"id": None}, {"id": 7}, {"id": []}])
def test_an_object_without_an_id_is_refused(name: str, value: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match=f"{name} is malformed: id: "):
        event_of(name, value)


def test_the_message_says_where_the_object_is_wrong() -> None:
    value = {"id": "s", "delta": {"step_details": {"tool_calls": [{"type": ["x"]}]}}}
    with pytest.raises(ProtocolError, match=r"delta\.step_details\.tool_calls\.0\.type"):
        event_of("thread.run.step.delta", value)


def test_the_text_of_an_event_is_what_a_message_delta_adds() -> None:
    picture = {"type": "image_file", "image_file": {"file_id": "f"}}
    content = [{"text": {"value": "a"}}, picture, {"text": {"value": "b"}}]
    assert event_of("thread.message.delta", {"id": "m", "delta": {"content": content}}).text == "ab"
    assert event_of("thread.message.completed", {"id": "m", "content": content}).text == ""
    assert event_of("done", None).text == ""
    assert RunEvent("unknown", {"delta": {"content": "a"}}).text == ""


def test_an_event_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        RunEvent("done").name = "error"  # type: ignore[misc]


# --- any JSON in any place -----------------------------------------------------------------------

CALL = {
    "id": "call_1",
    "index": 0,
    "type": "quark_search",
    "quark_search": {"arguments": "{}", "output": "x"},
    "plugin_name": {"arguments": "{}", "output": ["x"]},
    "function": {"name": "f", "arguments": "{}", "output": None},
}
PART = {"type": "text", "index": 0, "text": {"value": "x", "annotations": [{}]}, "image_file": {"file_id": "f"}}
DETAILS = {"type": "tool_calls", "message_creation": {"message_id": "m"}, "tool_calls": [CALL]}
KEPT = {"id": "x_1", "object": "o", "created_at": 1714448101977, "metadata": {"k": "v"}, "request_id": "r"}
TIMES = dict.fromkeys(
    ("expires_at", "expired_at", "started_at", "cancelled_at", "failed_at", "completed_at", "incomplete_at"), 1714448101
)
ENDED = {"last_error": {"code": "c", "message": "m"}, "usage": {"prompt_tokens": 1, "output_tokens": 2}}
SAMPLES: dict[type, dict[str, Any]] = {
    Thread: KEPT,
    Message: {**KEPT, **TIMES, "role": "assistant", "content": [PART], "tool_calls": [{}], "status": "completed"},
    MessageDelta: {"id": "m", "delta": {"role": "assistant", "content": [PART], "file_ids": ["f"]}},
    RunStep: {**KEPT, **TIMES, **ENDED, "type": "tool_calls", "status": "completed", "step_details": DETAILS},
    StepDelta: {"id": "s", "delta": {"step_details": DETAILS}},
    ErrorInfo: {"code": "c", "message": "m", "request_id": "r"},
    Run: {
        **KEPT,
        **TIMES,
        **ENDED,
        "status": "requires_action",
        "required_action": {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": [CALL]}},
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
        "temperature": 0.5,
        "top_k": 3,
        "truncation_strategy": {"type": "last_messages"},
        "incomplete_details": {"reason": "max_tokens"},
    },
}


def places_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in children for place in places_in(child, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    changed = copy.deepcopy(value)
    target = changed
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = new
    return changed


empty_values = st.sampled_from([None, "", 0, -1, [], {}])
json_values = st.recursive(
    empty_values | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
# One event of each class: the others of a class are read the same way.
SAMPLE_NAMES = {model: name for name, model in EXPECTED.items()}
PLACES = [(SAMPLE_NAMES[model], path) for model, sample in SAMPLES.items() for path in places_in(sample)]
AWKWARD = [None, "", {}, [], 0, -1, 10**400, float("inf"), float("nan"), True, "x", [None], {"a": 1}, ["\ud800"]]


def check_read_or_refused(name: str, path: tuple[Any, ...], new: Any) -> None:
    value = replaced(SAMPLES[EXPECTED[name]], path, new)
    try:
        event = event_of(name, value)
    except ProtocolError as error:
        if name not in str(error):
            raise AssertionError(f"the message does not name the event: {error}") from error
        return
    state = RunState()
    state.apply(event)
    assert repr(event)
    assert repr(state)
    assert state.pending_calls is not None
    assert state.steps is not None


@settings(derandomize=True, deadline=None, max_examples=500)
@given(st.sampled_from(PLACES), json_values)
def test_any_value_in_any_place_is_read_or_refused_by_name(place: tuple[str, tuple[Any, ...]], new: Any) -> None:
    check_read_or_refused(*place, new)


@pytest.mark.parametrize("new", AWKWARD, ids=lambda value: ascii(value)[:12])
def test_an_awkward_value_in_any_place_is_read_or_refused_by_name(new: Any) -> None:
    failed = []
    for name, path in PLACES:
        try:
            check_read_or_refused(name, path, new)
        except Exception as error:
            failed.append(f"{name} {path}: {error!r}")
    assert failed == []


# --- writing -------------------------------------------------------------------------------------


def test_an_event_is_written_compact_on_one_line_with_its_characters_as_they_are() -> None:
    value = {"id": "thread_1", "metadata": {"名": "a b\n\u2028"}, "n": [1, None, True]}
    expected = 'event:thread.created\ndata:{"id":"thread_1","metadata":{"名":"a b\\n\u2028"},"n":[1,null,true]}\n\n'
    assert encode_event("thread.created", value) == expected.encode()


def test_an_event_may_carry_an_id() -> None:
    assert encode_event("thread.created", {"id": "t"}, "12") == b'id:12\nevent:thread.created\ndata:{"id":"t"}\n\n'


def test_done_is_written_without_a_blank() -> None:
    assert encode(DONE) == b"event:done\ndata:[DONE]\n\n"


def test_an_error_is_written_without_a_blank_after_its_name() -> None:
    assert encode_event("error", {"code": "c", "message": "m"}).startswith(b'event:error\ndata:{"code":"c"')
