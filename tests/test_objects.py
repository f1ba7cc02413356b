"""The objects of the wire: many spellings, one form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from dashnb.protocol.events import parse_event
from dashnb.protocol.objects import (
    Assistant,
    Deleted,
    ErrorInfo,
    File,
    LastError,
    Message,
    MessageDelta,
    Page,
    Run,
    RunStep,
    StepDelta,
    StepToolCall,
    Stored,
    Thread,
    Tool,
    Usage,
    WireObject,
)
from dashnb.protocol.recording import parse_recording
from dashnb.protocol.sse import ServerSentEvent

TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").iterdir())
RECORDED = [event.data for path in TRANSCRIPTS for event in parse_recording(path.read_bytes()) if event.data]

steady = settings(derandomize=True, deadline=None, max_examples=100)


def make(model: type[WireObject], /, **fields: Any) -> Any:
    return model.model_validate({"id": "x_1", **fields})


# --- times ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (1714448101977, 1714448101977),
        (1714448101, 1714448101000),
        ("1714448101977", 1714448101977),
        (1714448101.0, 1714448101000),
        (10**11, 10**11),
        (10**11 - 1, (10**11 - 1) * 1000),
        (1, 1000),
        *[(nothing, None) for nothing in (None, "", 0, -1, -1714448101977, "0", "-1", {}, [])],
    ],
)
@pytest.mark.parametrize("model", [Thread, Message, Run, RunStep, Assistant])
def test_a_time_is_milliseconds_or_none(model: type[Stored], sent: Any, read: int | None) -> None:
    assert make(model, created_at=sent).created_at == read


def test_an_absent_time_is_none() -> None:
    assert make(Run).completed_at is None


@pytest.mark.parametrize("sent", ["yesterday", [1], {"seconds": 1}, float("inf"), float("nan")])
def test_a_time_that_is_no_number_is_refused(sent: Any) -> None:
    with pytest.raises(ValidationError, match="created_at"):
        make(Thread, created_at=sent)


@steady
@given(st.integers(10**11, 4 * 10**12))
def test_reading_a_time_twice_changes_nothing(time: int) -> None:
    assert make(Thread, **make(Thread, created_at=time).to_dict()).created_at == time


# --- empty values --------------------------------------------------------------------------------

EMPTY: dict[str, Any] = {"null": None, "text": "", "map": {}, "list": []}
NEEDED = {"id", "type"}
OBJECTS = [Assistant, Thread, File, Deleted, Message, MessageDelta, Run, RunStep, StepDelta, StepToolCall, ErrorInfo]
FIELDS = [
    pytest.param(model, info.alias or name, name, id=f"{model.__name__}.{name}")
    for model in [*OBJECTS, Page[Thread]]
    for name, info in model.model_fields.items()
    if name not in NEEDED
]


@pytest.mark.parametrize("empty", EMPTY.values(), ids=EMPTY)
@pytest.mark.parametrize(("model", "sent", "read"), FIELDS)
def test_every_spelling_of_nothing_reads_like_absence(
    model: type[WireObject], sent: str, read: str, empty: Any
) -> None:
    given, absent = make(model, **{sent: empty}), make(model)
    if read in ("stop", "tool_choice"):
        assert not getattr(given, read)
    elif read == "object":
        assert getattr(given, read) == ""
    else:
        assert getattr(given, read) == getattr(absent, read)


@pytest.mark.parametrize("empty", EMPTY.values(), ids=EMPTY)
def test_empty_parts_of_a_tool_a_call_and_a_content_part_read_like_absence(empty: Any) -> None:
    tool = Tool.model_validate({"type": "rag", "function": empty, "auth": empty, "prompt_ra": empty})
    assert (tool.name, tool.function, tool.auth, tool.prompt_ra) == ("rag", None, None, None)
    call = StepToolCall.model_validate({"type": "calculator", "function": empty, "calculator": {"output": "4"}})
    assert (call.tool, call.payload[1].output) == ("calculator", "4")
    part = {"type": "image_file", "index": empty, "text": empty, "image_file": {"file_id": "f"}}
    message = make(Message, content=[part, {"type": "text", "text": {"value": empty, "annotations": empty}}])
    assert message.text == ""
    assert message.content[0].index is None
    action = {"type": "submit_tool_outputs", "submit_tool_outputs": empty}
    assert make(Run, status="requires_action", required_action=action).pending_calls == []


@pytest.mark.parametrize("value", ["None", None, "", {}])
def test_a_printed_none_is_no_number(value: Any) -> None:
    assistant = make(Assistant, temperature=value, top_p=value, top_k=value, max_tokens=value)
    assert (assistant.temperature, assistant.top_p, assistant.top_k, assistant.max_tokens) == (None, None, None, None)


def test_zero_is_a_number_where_it_means_something() -> None:
    assistant = make(Assistant, temperature=0, top_k=0)
    assert (assistant.temperature, assistant.top_k) == (0.0, 0)
    assert make(Run, enable_search=False).enable_search is False


# --- usage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "counts"),
    [
        ({"input_tokens": 419, "output_tokens": 16, "total_tokens": 435}, (419, 16, 435)),
        ({"prompt_tokens": 66, "completion_tokens": 9, "total_tokens": 75}, (66, 9, 75)),
        ({"prompt_tokens": 66, "completion_tokens": 9}, (66, 9, 75)),
        ({"prompt_tokens": 66, "output_tokens": 9}, (66, 9, 75)),
        ({"input_tokens": 1, "prompt_tokens": 66, "output_tokens": 0}, (1, 0, 1)),
        ({"input_tokens": None, "prompt_tokens": 66, "total_tokens": None}, (66, 0, 66)),
        ({"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}, (0, 0, 0)),
        ({"total_tokens": 5}, (0, 0, 5)),
    ],
)
@pytest.mark.parametrize("model", [Run, RunStep])
def test_usage_has_one_spelling(model: type[WireObject], sent: Any, counts: tuple[int, int, int]) -> None:
    usage = make(model, usage=sent).usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == counts


@pytest.mark.parametrize("sent", [None, {}, "", []])
def test_usage_that_is_not_there_is_none(sent: Any) -> None:
    assert make(Run, usage=sent).usage is None


def test_usage_keeps_what_it_does_not_know() -> None:
    usage = Usage.model_validate({"prompt_tokens": 1, "plugins": {"search": {"count": 2}}})
    assert usage.to_dict() == {"input_tokens": 1, "total_tokens": 1, "plugins": {"search": {"count": 2}}}


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [None, {}, "", [], {"code": "", "message": ""}, {"code": None}, {"code": "", "message": "no code, no error"}],
)
@pytest.mark.parametrize("model", [Run, RunStep])
def test_without_a_code_there_is_no_error(model: type[WireObject], sent: Any) -> None:
    assert make(model, last_error=sent).last_error is None


@pytest.mark.parametrize(
    ("sent", "code", "message"),
    [
        ({"code": "server_error", "message": "boom"}, "server_error", "boom"),
        ({"code": "server_error"}, "server_error", ""),
        ({"code": "server_error", "message": None}, "server_error", ""),
        ("boom", "boom", "boom"),
        (LastError(code="c", message="m"), "c", "m"),
    ],
)
@pytest.mark.parametrize("model", [Run, RunStep])
def test_an_error_has_a_code_and_a_message(model: type[WireObject], sent: Any, code: str, message: str) -> None:
    error = make(model, last_error=sent).last_error
    assert (error.code, error.message) == (code, message)


@pytest.mark.parametrize("sent", [5, ["boom"], True, {"code": ["c"]}])
def test_an_error_of_another_shape_is_refused(sent: Any) -> None:
    with pytest.raises(ValidationError, match="last_error"):
        make(Run, last_error=sent)


# --- required action -----------------------------------------------------------------------------

CALLS = [
    {"id": "", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}},
    {"id": "", "type": "function", "function": {"name": "now", "arguments": "{}"}},
]
ACTION = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": CALLS}}


def test_pending_calls_are_those_of_the_required_action() -> None:
    run = make(Run, status="requires_action", required_action=ACTION)
    assert [(call.function.name, call.function.arguments) for call in run.pending_calls] == [
        ("add", '{"a": 1}'),
        ("now", "{}"),
    ]


@pytest.mark.parametrize("status", ["queued", "in_progress", "cancelling", "completed", "failed", "expired", ""])
def test_a_left_over_action_asks_for_nothing(status: str) -> None:
    assert make(Run, status=status, required_action=ACTION).pending_calls == []


@pytest.mark.parametrize("sent", [None, {}, "", [], {"type": "submit_tool_outputs", "submit_tool_outputs": None}])
def test_an_empty_action_asks_for_nothing(sent: Any) -> None:
    assert make(Run, status="requires_action", required_action=sent).pending_calls == []


# --- pages ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("edges", [{"first_id": None, "last_id": None}, {"first_id": "", "last_id": ""}, {}])
def test_an_empty_page_has_no_first_and_no_last_id(edges: dict[str, Any]) -> None:
    page = Page[Thread].model_validate({"object": "list", "data": [], **edges})
    assert (page.first_id, page.last_id, page.has_more, len(page), list(page)) == ("", "", False, 0, [])


def test_a_page_is_read_as_its_objects() -> None:
    data = [{"id": "step_1", "status": "completed"}, {"id": "step_2"}]
    page = Page[RunStep].model_validate({"data": data, "first_id": "step_1", "last_id": "step_2", "has_more": True})
    assert [step.id for step in page] == ["step_1", "step_2"] == [page[0].id, page[-1].id]
    assert all(isinstance(step, RunStep) for step in page)
    assert page.has_more is True


def test_a_page_keeps_ids_that_do_not_match_its_data() -> None:
    page = Page[Thread].model_validate({"data": [{"id": "thread_1"}], "first_id": "other"})
    assert (page.first_id, page.data[0].id) == ("other", "thread_1")


def test_a_page_with_a_broken_object_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"data\.0\.id"):
        Page[Thread].model_validate({"data": [{}]})


# --- content -------------------------------------------------------------------------------------

TEXT = {"type": "text", "text": {"value": "hi", "annotations": []}}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("hi", "hi"),
        (TEXT, "hi"),
        ([TEXT], "hi"),
        ([TEXT, TEXT], "hihi"),
        ([{"text": {"value": "hi"}}], "hi"),
        ([{"type": "text", "text": {}}], ""),
        ([{"type": "image_file", "image_file": {"file_id": "f"}}, TEXT], "hi"),
        *[(nothing, "") for nothing in (None, "", {}, [])],
    ],
)
def test_content_is_a_list_of_parts_and_reads_as_text(content: Any, text: str) -> None:
    message = make(Message, content=content)
    assert message.text == text
    assert isinstance(message.content, list)
    delta = make(MessageDelta, delta={"content": content})
    assert delta.delta.content == message.content


def test_a_content_part_of_an_unknown_type_is_kept_as_it_came() -> None:
    part = {"type": "video", "video": {"url": "u", "seconds": 3}}
    assert make(Message, content=[part]).to_dict()["content"] == [part]


# --- tool calls ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "kind", "tool", "arguments", "output"),
    [
        ({"type": "function", "function": {"name": "f", "arguments": "a", "output": "o"}}, "function", "f", "a", "o"),
        ({"function": {"name": "f", "arguments": "a"}}, "function", "f", "a", None),
        ({"type": "function", "function": {"arguments": "a"}}, "function", "", "a", None),
        ({"function": {"arguments": "a"}}, "function", "", "a", None),
        ({"type": "function"}, "function", "", "", None),
        ({"type": "calculator", "calculator": {"arguments": "a", "output": "4"}}, "calculator", "calculator", "a", "4"),
        ({"type": "calculator", "plugin_name": {"arguments": "a"}}, "calculator", "calculator", "a", None),
        (
            {"type": "calculator", "plugin_name": {"output": "p"}, "calculator": {"output": "t"}},
            *("calculator", "calculator", "", "t"),
        ),
        ({"quark_search": {"output": ""}}, "quark_search", "quark_search", "", ""),
        ({"plugin_name": {"output": "p"}}, "", "", "", "p"),
        ({"type": "calculator", "note": "x", "calculator": {"arguments": None}}, "calculator", "calculator", "", None),
        ({"type": "calculator"}, "calculator", "calculator", "", None),
        ({}, "", "", "", None),
        ({"type": "code_interpreter", "code_interpreter": {"output": []}}, *["code_interpreter"] * 2, "", []),
        ({"type": "my-plugin-id", "my-plugin-id": {"output": ["x"]}}, "my-plugin-id", "my-plugin-id", "", ["x"]),
    ],
)
def test_the_payload_of_a_call_is_under_its_type_or_plugin_name_or_the_only_object(
    call: dict[str, Any], kind: str, tool: str, arguments: str, output: Any
) -> None:
    read = StepToolCall.model_validate({"id": "", **call})
    _, payload = read.payload
    assert (read.kind, read.tool, payload.arguments, payload.output) == (kind, tool, arguments, output)


def test_a_payload_of_the_wrong_shape_is_refused_when_it_is_read() -> None:
    with pytest.raises(ValidationError, match="arguments"):
        StepToolCall.model_validate({"type": "calculator", "calculator": {"arguments": ["1"]}})


@pytest.mark.parametrize(
    ("tool", "name"),
    [
        ({"type": "quark_search"}, "quark_search"),
        ({"type": "text_to_image", "description": "draws"}, "text_to_image"),
        ({"type": "function", "function": {"name": "f"}}, "f"),
        ({"type": "hhh"}, "hhh"),
        ({"type": "${plugin_id}", "auth": {"type": "user_http", "user_token": "t"}}, "${plugin_id}"),
        ({"type": "rag", "prompt_ra": {"pipeline_id": ["i"], "rerank_top_n": 5}}, "rag"),
    ],
)
def test_a_tool_passes_through_unchanged_and_has_a_name(tool: dict[str, Any], name: str) -> None:
    read = Tool.model_validate(tool)
    assert (read.name, read.to_dict()) == (name, tool)


# --- all objects ---------------------------------------------------------------------------------


@pytest.mark.parametrize("model", OBJECTS)
def test_unknown_fields_are_kept(model: type[WireObject]) -> None:
    read = make(model, type="t", flavour={"new": [1]}, status_code=200)
    assert read.flavour == {"new": [1]}  # type: ignore[attr-defined]
    assert read.to_dict()["status_code"] == 200


@pytest.mark.parametrize("model", OBJECTS)
def test_an_object_cannot_be_changed(model: type[WireObject]) -> None:
    read = make(model)
    with pytest.raises(ValidationError, match="frozen"):
        read.id = "x_2"
    with pytest.raises(ValidationError, match="frozen"):
        read.flavour = "new"


@pytest.mark.parametrize("data", RECORDED, ids=lambda data: type(data).__name__)
def test_a_recorded_object_prints_short_and_reads_back_the_same(data: WireObject) -> None:
    assert len(repr(data)) < 140
    assert str(data) == repr(data)
    assert repr(data).startswith(f"{type(data).__name__}(")
    assert type(data).model_validate(data.to_dict()) == data
    assert type(data).model_validate(json.loads(json.dumps(data.to_dict()))).to_dict() == data.to_dict()


def test_a_repr_names_the_object_and_its_state_and_nothing_else() -> None:
    assert repr(make(Run, status="queued", instructions="i" * 999)) == "Run(id='x_1', status='queued')"
    assert repr(make(Message, role="user", content="secret")) == "Message(id='x_1', role='user')"
    assert repr(Usage(input_tokens=1)) == "Usage(input_tokens=1, output_tokens=0, total_tokens=1)"
    assert repr(LastError(code="c", message="m")) == "LastError(code='c')"
    assert repr(Page[Thread](data=[Thread(id="t")])).endswith("(data=[Thread(id='t')], has_more=False)")


def test_to_dict_holds_what_was_sent_under_its_wire_name_in_the_one_form() -> None:
    message = make(Message, **{"from": "model", "completed_at": 0, "created_at": 1714448101, "content": "hi"})
    assert message.sender == "model"
    assert message.to_dict() == {
        "id": "x_1",
        "created_at": 1714448101000,
        "content": [{"type": "text", "text": {"value": "hi"}}],
        "from": "model",
        "completed_at": None,
    }
    assert Message.model_validate(message.to_dict()) == message


def test_reading_does_not_change_what_was_sent() -> None:
    sent = {"id": "r", "usage": {"prompt_tokens": 1, "total_tokens": None}, "metadata": {"k": "v"}, "tools": None}
    before = json.dumps(sent)
    run = Run.model_validate(sent)
    assert json.dumps(sent) == before
    assert run.metadata is not sent["metadata"]


def test_an_id_is_any_text_but_not_empty() -> None:
    assert make(Thread, id="225292ff-9843-95d4-8591-b1377c33e2be").id
    with pytest.raises(ValidationError, match="id"):
        make(Thread, id="")


@pytest.mark.parametrize(
    "sent",
    [
        {"id": "asst_1", "object": "assistant.deleted", "deleted": True, "request_id": "r"},
        {"id": "asst_1", "object": "assistant", "deleted": True},
        {"id": "asst_1", "object": None, "deleted": True},
    ],
)
def test_a_delete_is_told_by_deleted_alone(sent: dict[str, Any]) -> None:
    assert Deleted.model_validate(sent).deleted is True


def test_the_same_object_by_rest_and_by_event_differs_only_in_what_was_sent() -> None:
    by_event = parse_event(ServerSentEvent("thread.run.created", '{"id": "r", "usage": null, "expires_at": null}')).data
    by_rest = make(Run, id="r", last_error={}, required_action={}, expires_at=0, completed_at=0)
    assert by_event == by_rest.model_copy()
    assert by_event.to_dict() != by_rest.to_dict()
