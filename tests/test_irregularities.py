"""The irregularities of the wire: what the service, its pages and its clients really send, one test for each.

Each number is one irregularity, told in objects, events and request bodies. Those that show between a
client and a service are told again at the end of this file, with the client and the embedded API:

    14  submit without tool_call_id        the embedded API pairs the outputs by position
    24  answers to a delete                the client returns what `deleted` says
    28  update by POST or PUT              the embedded API answers both
    29  body of an empty create            the embedded API reads "", {} and no body at all
    30  metadata null, file_ids []         the embedded API leaves both as they are on an update
    31  response_format is always sent     the embedded API answers in prose
    32  limit is an empty text             the client leaves it out; the embedded API answers 400
    33  a list is looped over              the client's pages are iterable
    34  truncation_strategy gets lost      the client sends it; extra_body reaches the embedded API
    35  Threads.create(assistant_id=…)     the embedded API ignores it
    36  cancel may be unknown              the client lives with 404
    40  Java reads *_at as 32-bit          the embedded API sends null in runs and steps
    41  Node.js lists by page_no           the embedded API ignores page_no and page_size
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from dashnb.client.client import Client
from dashnb.errors import BadRequestError, NotFoundError
from dashnb.local.models.engine import CallPiece, Piece, TextPiece, Turn
from dashnb.local.service import BASE_URL, LocalService
from dashnb.protocol.events import RunEvent, encode_event, event_of, parse_event
from dashnb.protocol.lifecycle import RUN_TRANSITIONS, is_final
from dashnb.protocol.objects import (
    Assistant,
    Deleted,
    Message,
    Page,
    Run,
    RunStep,
    StepToolCall,
    Thread,
    Tool,
)
from dashnb.protocol.operations import OPERATIONS
from dashnb.protocol.recording import parse_recording
from dashnb.protocol.requests import (
    AssistantCreate,
    AssistantUpdate,
    ListQuery,
    MessageCreate,
    RunCreate,
    ThreadCreate,
    ThreadRunCreate,
    ToolOutputs,
)
from dashnb.protocol.sse import Decoder, ServerSentEvent
from dashnb.protocol.state import RunState

TRANSCRIPTS = Path(__file__).parent / "transcripts"
PLAIN, SEARCH, SUBMIT = (
    parse_recording((TRANSCRIPTS / name).read_bytes())
    for name in ("run-plain.sse", "run-quark-search.jsonl", "submit-tool-outputs.sse")
)


def summed(*events: RunEvent) -> RunState:
    state = RunState()
    for event in events:
        state.apply(event)
    return state


def message_delta(content: Any) -> RunEvent:
    return event_of("thread.message.delta", {"id": "message_1", "delta": {"content": content}})


def step_delta(*calls: dict[str, Any]) -> RunEvent:
    return event_of("thread.run.step.delta", {"id": "step_1", "delta": {"step_details": {"tool_calls": list(calls)}}})


def run(**fields: Any) -> Run:
    return Run.model_validate({"id": "run_1", **fields})


def step(**fields: Any) -> RunStep:
    return RunStep.model_validate({"id": "step_1", **fields})


def message(**fields: Any) -> Message:
    return Message.model_validate({"id": "message_1", **fields})


def only(events: list[RunEvent], name: str) -> Any:
    """The data of the last event of that name."""
    return [event.data for event in events if event.name == name][-1]


# --- content, calls, output ----------------------------------------------------------------------


def test_01_the_content_of_a_message_delta_is_a_list_or_one_part() -> None:
    part = {"type": "text", "text": {"value": "a", "annotations": []}}
    assert summed(message_delta([part]), message_delta(part)).text == "aa"
    assert isinstance(only(PLAIN, "thread.message.delta").delta.content, list)
    assert isinstance(only(SEARCH, "thread.message.delta").delta.content, list)


def test_02_parts_and_calls_have_an_index_or_are_counted() -> None:
    indexed = [{"index": 1, "text": {"value": "b"}}, {"index": 0, "text": {"value": "a"}}]
    counted = [{"text": {"value": "a"}}, {"text": {"value": "b"}}]
    assert summed(message_delta(indexed)).text == summed(message_delta(counted)).text == "ab"
    calls = [{"index": 1, "type": "b", "b": {"arguments": "2"}}, {"index": 0, "type": "a", "a": {"arguments": "1"}}]
    more = [{"a": {"arguments": "1"}}, {"b": {"arguments": "2"}}]
    state = summed(step_delta(*calls), step_delta(*more))
    assert [(call.type, call.arguments) for call in state.tool_calls] == [("a", "11"), ("b", "22")]


def test_03_the_payload_of_a_built_in_call_is_under_its_type_or_plugin_name() -> None:
    (call,) = only(SEARCH[:20], "thread.run.step.completed").step_details.tool_calls
    key, payload = call.payload
    assert (call.tool, key) == ("quark_search", "plugin_name")
    assert json.loads(payload.arguments) == {"query": "今日の北京の天気"}
    named = StepToolCall.model_validate({"type": "quark_search", "quark_search": {"arguments": "{}"}})
    assert (named.tool, named.payload[0]) == ("quark_search", "quark_search")


def test_04_a_call_in_a_delta_may_lack_its_type() -> None:
    untyped = [event for event in SEARCH if event.name == "thread.run.step.delta"][-1]
    (call,) = untyped.data.delta.step_details.tool_calls
    assert (call.type, call.tool) == ("", "quark_search")
    state = summed(step_delta({"type": "quark_search", "quark_search": {"arguments": "{}"}}), untyped)
    assert [call.type for call in state.tool_calls] == ["quark_search", "quark_search"]
    merged = summed(step_delta({"type": "f", "f": {"arguments": "{"}}), step_delta({"f": {"arguments": "}"}}))
    assert [(call.type, call.arguments) for call in merged.tool_calls] == [("f", "{}")]


@pytest.mark.parametrize(("output", "read"), [("4", "4"), (["a", "b"], ["a", "b"]), ([], []), (None, None), ("", "")])
def test_05_an_output_is_a_text_a_list_or_null(output: Any, read: Any) -> None:
    state = summed(step_delta({"type": "code_interpreter", "code_interpreter": {"output": output}}))
    assert state.tool_calls[0].output == read


# --- statuses, times, empty values ---------------------------------------------------------------


def test_06_a_step_is_completed_by_its_event_though_its_object_says_in_progress() -> None:
    finished = next(n for n, event in enumerate(SEARCH) if event.name == "thread.run.step.completed")
    assert SEARCH[finished].data.status == "in_progress"
    assert summed(*SEARCH[: finished + 1]).steps[0].status == "completed"


def test_07_completed_steps_and_runs_may_lack_their_time() -> None:
    assert SUBMIT[0].data.status == "completed"
    assert SUBMIT[0].data.completed_at is None
    assert only(PLAIN, "thread.run.completed").completed_at is None
    state = summed(*SUBMIT)
    assert [step.status for step in state.steps] == ["completed", "completed"]
    assert state.is_final


@pytest.mark.parametrize("nothing", [{"completed_at": -1}, {"completed_at": 0}, {"completed_at": None}, {}])
def test_08_no_time_is_minus_one_zero_null_or_absent(nothing: dict[str, Any]) -> None:
    assert (step(**nothing).completed_at, run(**nothing).completed_at) == (None, None)


def test_09_a_time_is_in_seconds_or_milliseconds() -> None:
    assert step(created_at=1711508433).created_at == 1711508433000
    assert step(created_at=1711508433283).created_at == 1711508433283


ACTION = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": [{"function": {"name": "f"}}]}}


@pytest.mark.parametrize("status", ["queued", "in_progress", "completed"])
@pytest.mark.parametrize("left", [{"required_action": ACTION}, {"required_action": {}}, {"required_action": None}, {}])
def test_10_an_action_may_be_empty_or_left_over_and_only_the_status_counts(status: str, left: dict[str, Any]) -> None:
    assert run(status=status, **left).pending_calls == []
    state = RunState()
    state.merge(run(status="requires_action", required_action=ACTION))
    assert len(state.pending_calls) == 1
    state.merge(run(status=status, **left))
    assert (state.required_action, state.pending_calls) == (None, ())


@pytest.mark.parametrize("empty", [None, {}, {"code": "", "message": ""}, ""])
def test_11_an_error_is_one_only_if_it_has_a_code(empty: Any) -> None:
    assert run(status="completed", last_error=empty).last_error is None
    assert step(last_error=empty).last_error is None
    failed = run(status="failed", last_error={"code": "server_error", "message": "m"})
    assert failed.last_error is not None
    assert run(last_error="server_error").last_error is not None


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"input_tokens": 419, "output_tokens": 16, "total_tokens": 435}, (419, 16, 435)),
        ({"prompt_tokens": 66, "completion_tokens": 9, "total_tokens": 75}, (66, 9, 75)),
        (None, None),
        ({}, None),
    ],
)
def test_12_usage_has_two_spellings_and_two_ways_to_be_empty(usage: Any, counts: tuple[int, ...] | None) -> None:
    for read in (run(usage=usage).usage, step(usage=usage).usage):
        assert (read and (read.input_tokens, read.output_tokens, read.total_tokens)) == counts


# --- ids and order -------------------------------------------------------------------------------


def test_13_calls_without_ids_pair_by_position() -> None:
    calls = [{"id": "", "type": "function", "function": {"name": name}} for name in ("a", "b")]
    action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": calls}}
    state = RunState()
    state.merge(run(status="requires_action", required_action=action))
    assert [(call.number, call.id, call.name) for call in state.pending_calls] == [(0, "", "a"), (1, "", "b")]
    assert summed(SUBMIT[0]).tool_calls[0].id == ""


def test_14_an_output_is_handed_in_with_or_without_the_id_of_its_call() -> None:
    sent = [{"output": "1"}, {"tool_call_id": "", "output": "2"}, {"tool_call_id": "call_3", "output": "3"}]
    body = ToolOutputs.model_validate({"tool_outputs": sent})
    assert [output.tool_call_id for output in body.tool_outputs] == ["", "", "call_3"]


def test_15_a_thread_event_may_stray_into_the_stream_of_an_existing_thread() -> None:
    assert PLAIN[0].name == "thread.created"
    with_it, without = summed(*PLAIN), summed(*PLAIN[1:])
    assert (with_it.thread_id, with_it.text, with_it.status) == (without.thread_id, without.text, without.status)
    stray = event_of("thread.created", {"id": "thread_other"})
    assert summed(stray, *PLAIN[1:]).thread_id == without.thread_id


def test_16_a_message_may_be_older_than_its_step_and_order_is_that_of_arrival() -> None:
    written = only(SEARCH, "thread.message.completed")
    writing = only(SEARCH, "thread.run.step.completed")
    assert written.created_at == writing.created_at - 1
    assert [step.type for step in summed(*SEARCH).steps] == ["tool_calls", "message_creation"]
    second = event_of("thread.message.completed", {"id": "m2", "created_at": 1, "content": "second"})
    first = event_of("thread.message.completed", {"id": "m1", "created_at": 2, "content": "first"})
    assert summed(first, second).text == "first\n\nsecond"


def test_17_the_completed_text_wins_over_the_joined_pieces() -> None:
    joined = "".join(event.text for event in SEARCH)
    completed = only(SEARCH, "thread.message.completed")
    assert joined != completed.text
    assert summed(*SEARCH).text == completed.text


def test_18_a_new_run_is_in_progress_or_queued() -> None:
    assert summed(event_of("thread.run.created", {"id": "run_1", "status": "queued"})).status == "queued"
    state = RunState()
    state.merge(run(status="in_progress"))
    assert (state.status, state.is_final) == ("in_progress", False)


@pytest.mark.parametrize("kind", [Assistant, Thread, Message, Run, RunStep])
def test_19_every_field_but_the_id_may_be_missing(kind: Any) -> None:
    assert kind.model_validate({"id": "x_1"}).created_at is None
    assert Page[kind].model_validate({"data": [{"id": "x_1"}]})[0].metadata == {}
    with pytest.raises(ValidationError):
        kind.model_validate({"object": "thread"})


# --- messages and steps --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "read"), [({"status": ""}, ""), ({"status": {}}, ""), ({}, ""), ({"status": "completed"}, "completed")]
)
def test_20_the_status_of_a_message_is_empty_or_a_word(sent: dict[str, Any], read: str) -> None:
    assert message(**sent).status == read


@pytest.mark.parametrize("empty", [{"incomplete_details": {}}, {"incomplete_details": None}, {}])
def test_21_empty_details_are_no_details(empty: dict[str, Any]) -> None:
    assert (message(**empty).incomplete_details, run(**empty).incomplete_details) == (None, None)
    assert message(incomplete_details={"reason": "max_tokens"}).incomplete_details == {"reason": "max_tokens"}


@pytest.mark.parametrize("empty", ["", None])
def test_22_a_message_of_the_user_has_no_assistant_and_no_run(empty: Any) -> None:
    asked = message(role="user", assistant_id=empty, run_id=empty)
    assert (asked.assistant_id, asked.run_id) == ("", "")


def test_23_the_end_of_a_steps_time_has_two_names() -> None:
    older = step(expires_at=0, started_at=0)
    newer = step(expired_at=None)
    assert (older.expires_at, older.started_at, older.expired_at) == (None, None, None)
    assert (newer.expires_at, newer.started_at, newer.expired_at) == (None, None, None)
    assert step(expires_at=1711508433283).expires_at == step(expired_at=1711508433283).expired_at == 1711508433283


@pytest.mark.parametrize("kind", ["assistant.deleted", "thread.deleted", "assistant", "", None])
def test_24_a_delete_is_told_by_deleted_and_not_by_its_object(kind: Any) -> None:
    assert Deleted.model_validate({"id": "x_1", "object": kind, "deleted": True}).deleted is True
    assert Deleted.model_validate({"id": "x_1", "object": kind, "deleted": False}).deleted is False


# --- what is printed and not sent ----------------------------------------------------------------


def test_25_a_status_code_in_an_object_is_only_kept() -> None:
    assert all(event.data.status_code == 200 for event in SEARCH)
    with_it, without = run(status="queued", status_code=200), run(status="queued")
    assert repr(with_it) == repr(without)
    assert "status_code" not in Run.model_fields


def test_26_a_printed_none_in_place_of_a_number_is_no_number() -> None:
    assistant = Assistant.model_validate({"id": "asst_1", "temperature": "None", "top_p": "None", "top_k": "None"})
    assert (assistant.temperature, assistant.top_p, assistant.top_k) == (None, None, None)


def test_27_one_blank_after_the_colon_is_dropped_and_none_is_written() -> None:
    decoder = Decoder()
    assert decoder.feed(b"event: done\ndata: [DONE]\n\n") == decoder.feed(b"event:done\ndata:[DONE]\n\n")
    assert parse_event(ServerSentEvent("done", "[DONE]")).name == "done"
    assert encode_event("error", {"code": "c"}).startswith(b"event:error\ndata:{")


# --- what other clients send ---------------------------------------------------------------------


def test_28_an_update_is_a_post_of_the_same_path_as_the_retrieve() -> None:
    for resource in ("assistants", "threads", "messages", "runs"):
        update, retrieve = OPERATIONS[f"{resource}.update"], OPERATIONS[f"{resource}.retrieve"]
        assert (update.method, update.path) == ("POST", retrieve.path)


@pytest.mark.parametrize("body", ["", {}, None])
def test_29_an_empty_create_has_an_empty_text_an_empty_map_or_no_body(body: Any) -> None:
    assert ThreadCreate.model_validate(body) == ThreadCreate()


def test_30_null_metadata_and_empty_files_are_always_sent_and_mean_nothing() -> None:
    always = {"metadata": None, "file_ids": []}
    for body in (
        AssistantCreate.model_validate({"model": "qwen-max", **always}),
        AssistantUpdate.model_validate(always),
        MessageCreate.model_validate({"content": "hi", **always}),
    ):
        assert (body.metadata, body.file_ids) == ({}, [])


@pytest.mark.parametrize("value", ["json_object", "auto", {"type": "json_object"}, None])
def test_31_a_response_format_is_always_sent_and_ignored(value: Any) -> None:
    for model in (RunCreate, ThreadRunCreate):
        body = model.model_validate({"assistant_id": "asst_1", "response_format": value})
        assert "response_format" not in body.model_dump()
        assert body == model(assistant_id="asst_1")


def test_32_an_empty_limit_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match="limit"):
        ListQuery.model_validate({"limit": ""})
    assert ListQuery().limit == 20


def test_33_a_list_is_looped_over_as_it_is_or_by_its_data() -> None:
    page = Page[RunStep].model_validate({"data": [{"id": "step_2"}, {"id": "step_1"}]})
    assert [step.id for step in page] == [step.id for step in page.data] == ["step_2", "step_1"]
    assert len(page) == 2


def test_34_a_truncation_strategy_is_part_of_a_run() -> None:
    strategy = {"type": "last_messages", "last_messages": 3}
    body = RunCreate.model_validate({"assistant_id": "asst_1", "truncation_strategy": strategy})
    assert body.truncation_strategy is not None
    assert body.truncation_strategy.last_messages == 3
    assert run(truncation_strategy=strategy).truncation_strategy == strategy
    assert run(truncation_strategy=None).truncation_strategy is None


def test_35_an_assistant_named_for_a_thread_is_ignored() -> None:
    body = ThreadCreate.model_validate({"assistant_id": "asst_1", "messages": [{"role": "user", "content": "hi"}]})
    assert "assistant_id" not in body.model_dump()
    assert body.messages[0].content == "hi"


def test_36_cancel_is_known_but_not_documented() -> None:
    cancel = OPERATIONS["runs.cancel"]
    assert (cancel.method, cancel.documented, cancel.body) == ("POST", False, None)
    assert RUN_TRANSITIONS["cancelling"] >= {"cancelled", "completed"}


def test_37_incomplete_is_an_end_and_cancelling_is_none() -> None:
    assert is_final("incomplete")
    assert not is_final("cancelling")
    for name, status, final in (("incomplete", "incomplete", True), ("cancelling", "cancelling", False)):
        state = summed(event_of("thread.run.created", {"id": "run_1"}), event_of(f"thread.run.{name}", {"id": "run_1"}))
        assert (state.status, state.is_final) == (status, final)


def test_38_what_newer_pages_leave_out_is_still_there() -> None:
    body = {"assistant_id": "asst_1", "additional_instructions": "Be brief.", "max_tokens": 9}
    read = RunCreate.model_validate(body)
    assert (read.additional_instructions, read.max_tokens) == ("Be brief.", 9)
    assert ThreadRunCreate.model_validate(body).thread == ThreadCreate()
    assert OPERATIONS["runs.create_thread_and_run"].path == "/threads/runs"


@pytest.mark.parametrize("name", ["search", "quark_search", "wanx", "text_to_image"])
def test_39_old_and_new_names_of_tools_are_kept(name: str) -> None:
    assert Tool.model_validate({"type": name}).name == name
    assert AssistantCreate.model_validate({"model": "qwen-max", "tools": [{"type": name}]}).tools[0].type == name  # type: ignore[index]
    with pytest.raises(ValidationError, match="may not be called 'search'"):
        RunCreate.model_validate({"assistant_id": "a", "tools": [{"type": "function", "function": {"name": "search"}}]})


def test_40_times_of_runs_and_steps_may_all_be_null() -> None:
    times = dict.fromkeys(("expires_at", "started_at", "cancelled_at", "failed_at", "completed_at"))
    for read in (run(status="completed", **times), step(status="completed", **times)):
        assert all(getattr(read, name) is None for name in times)
    later = event_of("thread.message.in_progress", {"id": "message_1", "content": "not yet whole"})
    assert summed(message_delta("a"), later).messages == ()


def test_41_a_list_by_page_numbers_is_an_ordinary_list() -> None:
    query = ListQuery.model_validate({"page_no": "3", "page_size": "10"})
    assert (query.size, query.skipped) == (10, 20)


def test_42_damaged_names_of_the_samples_are_unknown_and_harmless() -> None:
    damaged = run(status="requires_action", required_action={"typesubmit_tool_outputs": {"tool_calls": [{}]}})
    assert damaged.pending_calls == []
    event = parse_event(ServerSentEvent("thread.message.deltaimport os", "{}"))
    assert summed(event).text == ""


# --- between a client and a service --------------------------------------------------------------


class Asking:
    """An engine that asks for two functions and then says what they returned."""

    name = "asking"

    async def answer(self, turn: Turn) -> AsyncIterator[Piece]:
        if turn.rounds:
            yield TextPiece(", ".join(f"{call.name}: {call.output}" for call in turn.rounds[-1]))
        else:
            yield CallPiece(0, "weather", "{}")
            yield CallPiece(1, "time", "{}")


@pytest.fixture
def service() -> Iterator[LocalService]:
    with LocalService(":memory:", Asking(), plugins={}) as service:
        yield service


@pytest.fixture
def client(service: LocalService) -> Iterator[Client]:
    with Client(BASE_URL, transport=service.transport(), sleep=lambda _: None) as client:
        yield client


@pytest.fixture
def wire(service: LocalService) -> Iterator[httpx.Client]:
    """What clients in other languages send: any method, any body."""
    with httpx.Client(transport=service.transport(), base_url=BASE_URL) as wire:
        yield wire


def waiting_run(client: Client) -> Run:
    assistant = client.assistants.create(model="qwen-max")
    begun = client.runs.create_thread_and_run(assistant_id=assistant.id)
    return client.runs.wait(begun.id, thread_id=begun.thread_id)


def ended(client: Client, run: Run) -> tuple[str, str]:
    """The status and the answer of a run whose functions have been called."""
    status = client.runs.wait(run.id, thread_id=run.thread_id).status
    return status, client.messages.list(run.thread_id)[0].text


@pytest.mark.parametrize("ids", [{}, {"tool_call_id": ""}, {"tool_call_id": None}])
def test_13_14_outputs_without_ids_go_to_the_calls_at_their_positions(ids: dict[str, Any], client: Client) -> None:
    run = waiting_run(client)
    outputs = [{**ids, "output": output} for output in ("rain", "noon")]
    client.runs.submit_tool_outputs(run.id, thread_id=run.thread_id, tool_outputs=outputs)
    assert ended(client, run) == ("completed", "weather: rain, time: noon")


def test_14_outputs_with_ids_go_to_their_calls_in_any_order(client: Client) -> None:
    run = waiting_run(client)
    ids = [call.id for call in run.pending_calls]
    assert len(set(ids)) == 2
    outputs = [{"tool_call_id": ids[1], "output": "noon"}, {"tool_call_id": ids[0], "output": "rain"}]
    client.runs.submit_tool_outputs(run.id, thread_id=run.thread_id, tool_outputs=outputs)
    assert ended(client, run) == ("completed", "weather: rain, time: noon")


@pytest.mark.parametrize(
    "outputs",
    [[], [{"output": "rain"}], [{"output": "a"}] * 3, [{"tool_call_id": "call_none", "output": "a"}, {"output": "b"}]],
)
def test_14_outputs_that_fit_no_call_are_refused_and_the_run_still_waits(
    outputs: list[dict[str, Any]], client: Client
) -> None:
    run = waiting_run(client)
    with pytest.raises(BadRequestError):
        client.runs.submit_tool_outputs(run.id, thread_id=run.thread_id, tool_outputs=outputs)
    assert client.runs.retrieve(run.id, thread_id=run.thread_id).status == "requires_action"


@pytest.mark.parametrize("kind", ["thread.deleted", "thread", ""])
def test_24_the_client_returns_what_deleted_says(kind: str) -> None:
    for deleted in (True, False):
        answer = {"id": "thread_1", "object": kind, "deleted": deleted}
        transport = httpx.MockTransport(lambda _, answer=answer: httpx.Response(200, json=answer))
        with Client(BASE_URL, transport=transport) as client:
            assert client.threads.delete("thread_1").deleted is deleted


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_28_an_update_is_answered_by_post_and_by_put(method: str, client: Client, wire: httpx.Client) -> None:
    run = waiting_run(client)
    message = client.messages.create(run.thread_id, content="Hi")
    thread = f"/threads/{run.thread_id}"
    paths = [f"/assistants/{run.assistant_id}", thread, f"{thread}/messages/{message.id}", f"{thread}/runs/{run.id}"]
    for path in paths:
        answer = wire.request(method, path, json={"metadata": {"by": method}})
        assert (answer.status_code, answer.json()["metadata"]) == (200, {"by": method})
        assert wire.get(path).json()["metadata"] == {"by": method}


def test_28_only_updates_are_answered_by_put(wire: httpx.Client) -> None:
    for path in ("/assistants", "/threads", "/threads/thread_1/runs", "/threads/thread_1/runs/run_1/cancel"):
        answer = wire.put(path, json={})
        assert answer.status_code in (404, 405)
        assert set(answer.json()) == {"code", "message", "request_id"}


@pytest.mark.parametrize("body", [b"", b" ", b'""', b"{}", b"null"])
@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", None])
def test_29_every_body_of_an_empty_create_makes_an_empty_thread(
    body: bytes, kind: str | None, client: Client, wire: httpx.Client
) -> None:
    answer = wire.post("/threads", content=body, headers={"content-type": kind} if kind else {})
    assert answer.status_code == 200
    thread = Thread.model_validate(answer.json())
    assert (thread.object, thread.metadata, len(client.messages.list(thread.id))) == ("thread", {}, 0)


def test_30_null_metadata_and_empty_files_change_nothing(client: Client, wire: httpx.Client) -> None:
    made = client.assistants.create(model="qwen-max", metadata={"a": "1"}, file_ids=["file_1"])
    body: dict[str, Any] = {"tools": [], "file_ids": [], "metadata": None}
    answer = wire.post(f"/assistants/{made.id}", json=body)
    assert answer.status_code == 200
    kept = client.assistants.retrieve(made.id)
    assert (kept.model, kept.metadata, kept.file_ids) == ("qwen-max", {"a": "1"}, ["file_1"])
    created = wire.post("/assistants", json={"model": "qwen-max", **body}).json()
    assert (created["metadata"], created["file_ids"]) == ({}, [])


def test_30_null_is_the_same_as_left_out(client: Client, wire: httpx.Client) -> None:
    thread = wire.post("/threads", json={"messages": None, "metadata": None}).json()
    message = wire.post(f"/threads/{thread['id']}/messages", json={"content": "Hi", "metadata": None, "file_ids": None})
    assert (message.status_code, message.json()["metadata"]) == (200, {})
    assistant = client.assistants.create(model="qwen-max", instructions="Be brief.")
    names = ("model", "instructions", "tools", "metadata", "stream", "truncation_strategy", "temperature")
    body: dict[str, Any] = dict.fromkeys(names)
    run = wire.post(f"/threads/{thread['id']}/runs", json={"assistant_id": assistant.id, **body}).json()
    assert (run["model"], run["instructions"]) == ("qwen-max", "Be brief.")


@pytest.mark.parametrize("value", ["json_object", {"type": "json_object"}, "auto", None])
def test_31_a_response_format_changes_no_answer(value: Any, client: Client, wire: httpx.Client) -> None:
    assistant = client.assistants.create(model="qwen-max", extra_body={"response_format": value})
    body = {"assistant_id": assistant.id, "response_format": value}
    run = Run.model_validate(wire.post("/threads/runs", json=body).json())
    client.runs.wait(run.id, thread_id=run.thread_id)
    outputs = [{"output": "rain"}, {"output": "noon"}]
    client.runs.submit_tool_outputs(run.id, thread_id=run.thread_id, tool_outputs=outputs)
    assert ended(client, run) == ("completed", "weather: rain, time: noon")


def test_32_an_empty_limit_is_refused_and_the_client_leaves_it_out(client: Client, wire: httpx.Client) -> None:
    answer = wire.get("/assistants?limit=")
    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidParameter")
    assert "limit" in answer.json()["message"]
    assert len(client.assistants.list(limit=None)) == 0


def test_33_a_page_of_the_client_is_looped_over(client: Client) -> None:
    made = client.assistants.create(model="qwen-max")
    page = client.assistants.list()
    assert [entry.id for entry in page] == [entry.id for entry in page.data] == [made.id]
    assert page[0].id == made.id


def test_34_a_truncation_strategy_reaches_the_service_by_name_and_by_extra_body(client: Client) -> None:
    strategy = {"type": "last_messages", "last_messages": 3}
    assistant = client.assistants.create(model="qwen-max")
    ways: tuple[dict[str, Any], ...] = (
        {"truncation_strategy": strategy},
        {"extra_body": {"truncation_strategy": strategy}},
    )
    for how in ways:
        with client.runs.stream_thread_and_run(assistant_id=assistant.id, **how) as stream:
            list(stream)
        assert stream.state.run is not None
        assert stream.state.run.truncation_strategy == strategy


def test_35_an_assistant_named_for_a_thread_changes_nothing(client: Client) -> None:
    made = client.threads.create(extra_body={"assistant_id": "asst_none"})
    assert "assistant_id" not in client.threads.retrieve(made.id).to_dict()


def test_36_a_service_without_cancel_answers_404_and_the_run_goes_on(client: Client, service: LocalService) -> None:
    class Documented(httpx.BaseTransport):
        """The service as its pages have it: there is no cancel."""

        def __init__(self) -> None:
            self._inner = service.transport()

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/cancel"):
                return httpx.Response(404, json={"code": "NotFound", "message": "Not found!"})
            return self._inner.handle_request(request)

    run = waiting_run(client)
    with Client(BASE_URL, transport=Documented()) as documented:
        with pytest.raises(NotFoundError):
            documented.runs.cancel(run.id, thread_id=run.thread_id)
        assert documented.runs.retrieve(run.id, thread_id=run.thread_id).status == "requires_action"
    assert client.runs.cancel(run.id, thread_id=run.thread_id).status == "cancelled"


def test_36_cancel_is_answered_without_a_body_and_with_any(client: Client, wire: httpx.Client) -> None:
    for body in (b"", b"{}", b'""'):
        run = waiting_run(client)
        answer = wire.post(f"/threads/{run.thread_id}/runs/{run.id}/cancel", content=body)
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")


def test_40_no_time_of_a_run_or_an_event_is_too_long_for_32_bits(client: Client, wire: httpx.Client) -> None:
    assistant = client.assistants.create(model="qwen-max")
    with client.runs.stream_thread_and_run(assistant_id=assistant.id) as stream:
        objects = [event.data.to_dict() for event in stream if isinstance(event.data, (Run, RunStep))]
    assert objects
    state = stream.state
    path = f"/threads/{state.thread_id}/runs"
    objects += [wire.get(f"{path}/{state.id}").json(), *wire.get(path).json()["data"]]
    objects += wire.get(f"{path}/{state.id}/steps").json()["data"]
    for fields in objects:
        times = [fields[name] for name in fields if name.endswith("_at") and name != "created_at"]
        assert times
        assert all(time is None or -1 <= time < 2**31 for time in times)


def test_41_a_page_is_found_by_its_number(client: Client, wire: httpx.Client) -> None:
    made = [client.assistants.create(model="qwen-max").id for _ in range(3)]
    answer = wire.get("/assistants?page_no=3&page_size=1").json()
    assert ([entry["id"] for entry in answer["data"]], answer["has_more"]) == (made[:1], False)
