"""What may be sent where: the table of operations, the limits, and the requests of the official SDK."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from pydantic import BaseModel, ValidationError

from dashnb.protocol import objects, requests
from dashnb.protocol.operations import OPERATIONS, Operation
from dashnb.protocol.requests import (
    AssistantCreate,
    AssistantUpdate,
    FileAttach,
    ListQuery,
    MessageCreate,
    MetadataUpdate,
    RunCreate,
    ThreadCreate,
    ThreadRunCreate,
    ToolOutputs,
    ToolSpec,
)

RECORDED = [
    json.loads(line)
    for line in (Path(__file__).parent / "recorded" / "sdk-2.0.2-requests.jsonl").read_text("utf-8").splitlines()
]

BODIES: dict[type[BaseModel], dict[str, Any]] = {
    AssistantCreate: {"model": "qwen-max"},
    AssistantUpdate: {},
    ThreadCreate: {},
    MessageCreate: {"content": "hi"},
    MetadataUpdate: {},
    RunCreate: {"assistant_id": "asst_1"},
    ThreadRunCreate: {"assistant_id": "asst_1"},
    ToolOutputs: {"tool_outputs": [{"output": "1"}]},
    FileAttach: {"file_id": "file_1"},
}
WITH_METADATA = [model for model in BODIES if "metadata" in model.model_fields]
WITH_SAMPLING = [model for model in BODIES if issubclass(model, requests.Sampling)]
WITH_TOOLS = [model for model in BODIES if "tools" in model.model_fields]


def make(model: type[BaseModel], /, **fields: Any) -> Any:
    return model.model_validate({**BODIES.get(model, {}), **fields})


def refused(model: type[BaseModel], field: str, /, **fields: Any) -> str:
    """The message of the refusal, which must be about this field."""
    with pytest.raises(ValidationError) as caught:
        make(model, **fields)
    (error,) = caught.value.errors()
    assert field in (*map(str, error["loc"]), "") or field in error["msg"]
    return str(error["msg"])


# --- operations ----------------------------------------------------------------------------------

DOCUMENTED = """
POST   /assistants
GET    /assistants
GET    /assistants/{assistant_id}
POST   /assistants/{assistant_id}
DELETE /assistants/{assistant_id}
POST   /threads
GET    /threads/{thread_id}
POST   /threads/{thread_id}
DELETE /threads/{thread_id}
POST   /threads/{thread_id}/messages
GET    /threads/{thread_id}/messages
GET    /threads/{thread_id}/messages/{message_id}
POST   /threads/{thread_id}/messages/{message_id}
POST   /threads/{thread_id}/runs
POST   /threads/runs
GET    /threads/{thread_id}/runs
GET    /threads/{thread_id}/runs/{run_id}
POST   /threads/{thread_id}/runs/{run_id}
POST   /threads/{thread_id}/runs/{run_id}/submit_tool_outputs
GET    /threads/{thread_id}/runs/{run_id}/steps
GET    /threads/{thread_id}/runs/{run_id}/steps/{step_id}
"""
SDK_ONLY = """
POST   /threads/{thread_id}/runs/{run_id}/cancel
POST   /assistants/{assistant_id}/files
GET    /assistants/{assistant_id}/files
GET    /assistants/{assistant_id}/files/{file_id}
DELETE /assistants/{assistant_id}/files/{file_id}
GET    /threads/{thread_id}/messages/{message_id}/files
GET    /threads/{thread_id}/messages/{message_id}/files/{file_id}
"""


def rows(table: str) -> set[tuple[str, ...]]:
    return {tuple(line.split()) for line in table.strip().splitlines()}


@pytest.mark.parametrize(("table", "documented"), [(DOCUMENTED, True), (SDK_ONLY, False)], ids=["pages", "SDKs only"])
def test_the_table_of_operations_is_the_list_of_endpoints(table: str, documented: bool) -> None:
    known = [(row.method, row.path) for row in OPERATIONS.values() if row.documented is documented]
    assert set(known) == rows(table)
    assert len(known) == len(set(known))


def test_a_path_with_a_word_stands_before_one_with_an_id_in_its_place() -> None:
    order = [row.path for row in OPERATIONS.values()]
    assert order.index("/threads/runs") < order.index("/threads/{thread_id}")


def test_streams_are_the_three_that_run() -> None:
    streams = {name for name, row in OPERATIONS.items() if row.streams}
    assert streams == {"runs.create", "runs.create_thread_and_run", "runs.submit_tool_outputs"}


@pytest.mark.parametrize("row", OPERATIONS.values(), ids=lambda row: row.name)
def test_an_operation_fits_its_name(row: Operation) -> None:
    resource, _, verb = row.name.rpartition(".")
    assert OPERATIONS[row.name] is row
    assert row.is_list == (verb == "list")
    assert row.is_read == (verb in ("list", "retrieve")) == (row.method == "GET")
    assert (row.method == "DELETE") == (verb == "delete") == (row.answer is objects.Deleted)
    assert (row.body is not None) == (row.method == "POST" and verb != "cancel")
    if verb == "update":
        assert row.body is (AssistantUpdate if resource == "assistants" else MetadataUpdate)
    assert row.ids == tuple(re.findall(r"\{(\w+)\}", row.path))


# --- the requests of the official SDK ------------------------------------------------------------


def match(method: str, path: str) -> Operation:
    """The first row of the table that fits, as a server looks it up."""
    for row in OPERATIONS.values():
        if row.method == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", row.path), path):
            return row
    raise AssertionError(f"no operation for {method} {path}")


def expected_name(call: str) -> str:
    """The operation that a call of the SDK is, by the name of its class and method."""
    name = call.partition("(")[0].lower().replace(".files.files.", ".files.").replace("retrieve", "get")
    resource, _, verb = name.rpartition(".")
    verbs = {"get": "retrieve", "wait": "retrieve", "create_and_run": "create_thread_and_run"}
    resource = "runs" if verb == "create_and_run" else resource
    return f"{resource}.{verbs.get(verb, verb)}"


def test_the_recording_is_whole() -> None:
    assert len(RECORDED) == 45
    assert [entry["call"] for entry in RECORDED if entry["method"] is None] == [
        "Steps.list('run_1', thread_id='thread_1', limit='')"
    ]


SENT = [entry for entry in RECORDED if entry["method"]]


@pytest.mark.parametrize("entry", SENT, ids=lambda entry: entry["call"])
def test_a_request_of_the_official_sdk_is_a_valid_operation(entry: dict[str, Any]) -> None:
    url = urlsplit(entry["path"])
    row = match(entry["method"], url.path.removeprefix("/api/v1"))
    assert row.name == expected_name(entry["call"])
    query = dict(parse_qsl(url.query))
    if {"after", "before"} <= set(query):
        # The SDK does not check what the pages exclude.
        with pytest.raises(ValidationError, match="exclude each other"):
            ListQuery.model_validate(query)
    else:
        read = ListQuery.model_validate(query)
        assert row.is_list or not query
        assert {name: str(getattr(read, name)) for name in query} == query
    assert bool(entry["body"]) == (row.body is not None)
    if row.body:
        sent = json.loads(entry["body"])
        body = row.body.model_validate(sent)
        kept = json.loads(body.model_dump_json(exclude_unset=True))
        assert kept == {name: {} if value is None else value for name, value in sent.items()} if sent else kept == {}


def test_the_official_sdk_sends_every_operation() -> None:
    sent = {match(entry["method"], urlsplit(entry["path"]).path.removeprefix("/api/v1")).name for entry in SENT}
    assert set(OPERATIONS) == sent


# --- metadata ------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", WITH_METADATA)
@pytest.mark.parametrize(
    "metadata",
    [{}, {"k": "v"}, {str(n): "v" for n in range(16)}, {"k" * 64: "v" * 512}, {"键" * 64: "值" * 512}, {"n": 1}],
)
def test_metadata_within_the_limits_is_kept(model: type[BaseModel], metadata: dict[str, Any]) -> None:
    assert make(model, metadata=metadata).metadata == metadata


@pytest.mark.parametrize("model", WITH_METADATA)
@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({str(n): "v" for n in range(17)}, "at most 16 pairs"),
        ({"k" * 65: "v"}, "longer than 64"),
        ({"k": "v" * 513}, "longer than 512"),
        ({"k": 10**512}, "longer than 512"),
        ({"k": {}}, "must be a string"),
        ({"k": ["v"]}, "must be a string"),
        ("name", "dictionary"),
        ([], "dictionary"),
    ],
)
def test_metadata_beyond_the_limits_is_refused(model: type[BaseModel], metadata: Any, reason: str) -> None:
    assert reason in refused(model, "metadata", metadata=metadata)


@pytest.mark.parametrize("model", WITH_METADATA)
def test_metadata_of_null_is_empty(model: type[BaseModel]) -> None:
    assert make(model, metadata=None).metadata == {} == make(model).metadata


# --- sampling ------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", WITH_SAMPLING)
@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("temperature", [0, 0.0, 0.5, 1.99, None]),
        ("top_p", [0.001, 0.5, 1, 1.0, None]),
        ("top_k", [0, 1, 100, None]),
        ("max_tokens", [1, 2048, None]),
    ],
)
def test_sampling_within_the_ranges_is_kept(model: type[BaseModel], field: str, values: list[Any]) -> None:
    assert [getattr(make(model, **{field: value}), field) for value in values] == values


@pytest.mark.parametrize("model", WITH_SAMPLING)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("temperature", value) for value in (-0.01, 2, 2.0, 99, float("nan"), float("inf"), "hot", [])],
        *[("top_p", value) for value in (0, -1, 1.01, float("nan"), "all")],
        *[("top_k", value) for value in (-1, 1.5, "many")],
        *[("max_tokens", value) for value in (0, -1, 1.5, "all")],
    ],
)
def test_sampling_beyond_the_ranges_is_refused(model: type[BaseModel], field: str, value: Any) -> None:
    refused(model, field, **{field: value})


@pytest.mark.parametrize("field", ["max_prompt_tokens", "max_completion_tokens"])
def test_the_other_token_limits_of_a_run_are_at_least_one(field: str) -> None:
    assert getattr(make(RunCreate, **{field: 1}), field) == 1
    refused(RunCreate, field, **{field: 0})


# --- tools ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", WITH_TOOLS)
@pytest.mark.parametrize(
    "tool",
    [
        {"type": "code_interpreter"},
        {"type": "search"},
        {"type": "quark_search"},
        {"type": "hhh"},
        {"type": "text_to_image", "description": "draws"},
        {"type": "${plugin_id}", "auth": {"type": "user_http", "user_token": "t"}, "extra": None},
        {"type": "rag", "prompt_ra": {"pipeline_id": ["i"], "parameters": {"type": "object", "properties": {}}}},
        {"type": "function", "function": {"name": "f"}},
        {"type": "function", "function": {"name": "searcher", "description": "d", "parameters": {}, "strict": True}},
    ],
)
def test_a_tool_passes_through_unchanged(model: type[BaseModel], tool: dict[str, Any]) -> None:
    (read,) = make(model, tools=[tool]).tools
    assert read.model_dump(exclude_unset=True) == tool


@pytest.mark.parametrize("model", WITH_TOOLS)
@pytest.mark.parametrize(
    ("tool", "reason"),
    [
        ({"type": "function", "function": {"name": "search"}}, "may not be called 'search'"),
        ({"type": "function"}, "needs the field 'function'"),
        ({"type": "function", "function": None}, "needs the field 'function'"),
        ({"type": "function", "function": {}}, "required"),
        ({"type": "function", "function": {"name": ""}}, "at least 1"),
        ({"type": ""}, "at least 1"),
        ({}, "required"),
        ("code_interpreter", "dictionary"),
    ],
)
def test_a_tool_that_makes_no_sense_is_refused(model: type[BaseModel], tool: Any, reason: str) -> None:
    assert reason in refused(model, "tools", tools=[tool])


def test_no_tools_and_tools_left_out_can_be_told_apart() -> None:
    assert make(AssistantUpdate, tools=[]).tools == []
    assert make(AssistantUpdate).tools is None
    assert make(AssistantUpdate, tools=None).tools is None
    assert ToolSpec(type="rag").type == "rag"


# --- bodies --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "field"),
    [
        *((AssistantCreate, "model"), (MessageCreate, "content"), (RunCreate, "assistant_id")),
        *((ThreadRunCreate, "assistant_id"), (ToolOutputs, "tool_outputs"), (FileAttach, "file_id")),
    ],
)
@pytest.mark.parametrize("value", [None, "", [], {}])
def test_what_is_needed_cannot_be_empty(model: type[BaseModel], field: str, value: Any) -> None:
    refused(model, field, **{field: value})
    with pytest.raises(ValidationError, match="required"):
        model.model_validate({name: value for name, value in BODIES[model].items() if name != field})


@pytest.mark.parametrize("model", BODIES)
def test_unknown_fields_are_ignored(model: type[BaseModel]) -> None:
    body = make(model, enable_search=True, response_format="json_object", seed=1)
    assert body == make(model)
    assert "seed" not in body.model_dump()


@pytest.mark.parametrize("nothing", ["", {}, None, []])
def test_a_thread_may_be_made_of_nothing(nothing: Any) -> None:
    thread = ThreadCreate.model_validate(nothing)
    assert (thread.messages, thread.metadata) == ([], {})
    assert make(ThreadRunCreate, thread=nothing).thread == thread


def test_the_first_messages_of_a_thread_are_checked() -> None:
    assert make(ThreadCreate, messages=[{"role": "user", "content": "hi"}]).messages[0].content == "hi"
    assert make(ThreadCreate, messages=None).messages == []
    refused(ThreadCreate, "content", messages=[{"role": "user"}])


def test_a_message_is_by_the_user_unless_it_says_otherwise() -> None:
    assert [make(MessageCreate, **role).role for role in ({}, {"role": None}, {"role": "assistant"})] == [
        "user",
        "user",
        "assistant",
    ]
    refused(MessageCreate, "role", role="system")
    refused(MessageCreate, "content", content=[{"type": "text"}])


def test_a_run_has_the_documented_defaults() -> None:
    run = make(RunCreate)
    assert (run.stream, run.additional_messages, run.metadata) == (False, [], {})
    assert (run.tools, run.model, run.instructions, run.truncation_strategy) == (None, None, None, None)
    assert make(RunCreate, stream=None).stream is False
    assert make(RunCreate, additional_messages=None).additional_messages == []


@pytest.mark.parametrize(
    ("sent", "last"),
    [({}, 10), ({"type": "last_messages", "last_messages": 3}, 3), ({"last_messages": None}, 10)],
)
def test_a_truncation_keeps_the_last_messages_ten_by_default(sent: dict[str, Any], last: int) -> None:
    assert make(RunCreate, truncation_strategy=sent).truncation_strategy.last_messages == last


@pytest.mark.parametrize("sent", [{"type": "auto"}, {"last_messages": 0}])
def test_another_truncation_is_refused(sent: dict[str, Any]) -> None:
    refused(RunCreate, "truncation_strategy", truncation_strategy=sent)


@pytest.mark.parametrize("call_id", [{}, {"tool_call_id": ""}, {"tool_call_id": None}])
def test_an_output_needs_no_call_id(call_id: dict[str, Any]) -> None:
    outputs = make(ToolOutputs, tool_outputs=[{"output": "1", **call_id}, {"output": "", "tool_call_id": "call_2"}])
    assert [(output.tool_call_id, output.output) for output in outputs.tool_outputs] == [("", "1"), ("call_2", "")]
    assert outputs.stream is False


@pytest.mark.parametrize("output", [{}, {"output": None}, {"output": 1}, {"output": {"a": 1}}])
def test_an_output_is_a_text(output: dict[str, Any]) -> None:
    refused(ToolOutputs, "output", tool_outputs=[output])


# --- lists ---------------------------------------------------------------------------------------


def test_a_list_is_newest_first_and_of_a_fixed_length_unless_it_says_otherwise() -> None:
    query = ListQuery()
    assert (query.limit, query.order, query.after, query.before) == (20, "desc", None, None)
    assert (ListQuery.model_validate({"limit": "7", "order": "asc"}).limit) == 7


@pytest.mark.parametrize("limit", [1, 2, 10, 20, 100])
def test_the_documented_lengths_of_a_list_are_allowed(limit: int) -> None:
    assert make(ListQuery, limit=limit).limit == limit


@pytest.mark.parametrize(
    ("field", "value"),
    [*[("limit", value) for value in (0, -1, 101, "", "many", 1.5)], ("order", "newest"), ("order", "")],
)
def test_other_lengths_and_orders_are_refused(field: str, value: Any) -> None:
    refused(ListQuery, field, **{field: value})


def test_after_and_before_exclude_each_other() -> None:
    assert make(ListQuery, after="a").after == "a"
    assert make(ListQuery, before="b", after="").before == "b"
    assert "exclude" in refused(ListQuery, "after", after="a", before="b")


def test_a_list_by_page_numbers_begins_at_page_one() -> None:
    assert (make(ListQuery).size, make(ListQuery).skipped) == (20, 0)
    assert (make(ListQuery, page_no="2").size, make(ListQuery, page_no="2").skipped) == (20, 20)
    assert (make(ListQuery, page_no=3, page_size=7).size, make(ListQuery, page_no=3, page_size=7).skipped) == (7, 14)
    assert make(ListQuery, page_no=1, after="a").skipped == 0


def test_a_limit_outranks_the_size_of_a_page() -> None:
    assert make(ListQuery, page_size=7, limit=3, page_no=2).size == 3
    assert make(ListQuery, page_size=7, limit=3, page_no=2).skipped == 3


@pytest.mark.parametrize("field", ["page_no", "page_size"])
@pytest.mark.parametrize("value", [0, -1, "", "one", 1.5, 10**30])
def test_numbers_that_no_page_has_are_refused(field: str, value: Any) -> None:
    refused(ListQuery, field, **{field: value})


@pytest.mark.parametrize("anchor", ["after", "before"])
def test_a_page_number_and_an_anchor_exclude_each_other(anchor: str) -> None:
    assert "page_no" in refused(ListQuery, "page_no", **{"page_no": 2, anchor: "a"})
