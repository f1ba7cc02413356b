"""Each endpoint answers with exactly the documented fields, and spells "nothing" as documented there.

Sources: the examples of the Assistants, Threads, Messages, Runs and Run Steps references, and the
recorded streams.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dashnb.local import wire
from dashnb.local.models.engine import CallPiece, EngineError, Spent, TextPiece
from scripted import Api, Event, Script, names, of, path_of, serving, typed

TRANSCRIPTS = Path(__file__).parent / "transcripts"


@pytest.fixture
def api() -> Iterator[Api]:
    with serving(Script()) as opened:
        yield opened


def without(value: dict[str, Any], *fields: str) -> dict[str, Any]:
    return {name: field for name, field in value.items() if name not in fields}


def recorded(name: str) -> list[Event]:
    """The events of a recorded stream, as they travelled."""
    text = (TRANSCRIPTS / name).read_text(encoding="utf-8")
    if name.endswith(".jsonl"):
        lines = [json.loads(line) for line in text.splitlines()]
        # What the SDK added when it printed the events is not on the wire.
        return [(line["event"], without(line["data"], "status_code")) for line in lines]
    blocks = [dict(line.split(":", 1) for line in block.split("\n")) for block in text.strip().split("\n\n")]
    return [
        (block["event"], block["data"] if block["event"] == "done" else json.loads(block["data"])) for block in blocks
    ]


def shape(value: Any) -> Any:
    """The fields of an object and the kind of each value, without the values."""
    if isinstance(value, dict):
        return {name: shape(field) for name, field in value.items()}
    if isinstance(value, list):
        return [shape(entry) for entry in value]
    return type(value)


# --- objects -------------------------------------------------------------------------------------


def test_an_assistant_is_answered_whole(api: Api) -> None:
    tools = [{"type": "code_interpreter"}]
    sent = {"model": "qwen-max", "name": "Smart helper", "description": "A helper", "tools": tools}
    made = api.post("/assistants", **sent, instructions="Use tools when needed.", file_ids=[], metadata=None)
    assert without(made, "request_id") == {
        "id": "asst_1",
        "object": "assistant",
        "created_at": 1711508433283,
        **sent,
        "instructions": "Use tools when needed.",
        "file_ids": [],
        "metadata": {},
        "temperature": None,
        "top_p": None,
        "top_k": None,
        "max_tokens": None,
    }
    assert without(api.get("/assistants/asst_1"), "request_id") == without(made, "request_id")
    assert api.get("/assistants")["data"] == [without(made, "request_id")]


def test_an_assistant_that_was_given_little_says_so_with_empty_texts(api: Api) -> None:
    made = api.post("/assistants", model="qwen-max")
    assert [made[name] for name in ("name", "description", "instructions", "tools")] == ["", "", "", []]


def test_a_thread_has_no_messages_in_it(api: Api) -> None:
    made = api.post("/threads", messages=[{"role": "user", "content": "Hi"}])
    assert without(made, "request_id") == {
        "id": "thread_1",
        "object": "thread",
        "created_at": made["created_at"],
        "metadata": {},
    }
    assert without(api.get("/threads/thread_1"), "request_id") == without(made, "request_id")


def test_a_message_is_answered_as_documented(api: Api) -> None:
    api.thread()
    made = api.post("/threads/thread_1/messages", role="user", content="Who are you?")
    assert without(made, "request_id") == {
        "id": "message_1",
        "object": "thread.message",
        "created_at": made["created_at"],
        "thread_id": "thread_1",
        "incomplete_details": {},
        "completed_at": None,
        "incomplete_at": None,
        "assistant_id": "",
        "run_id": "",
        "file_ids": [],
        "role": "user",
        "content": [{"type": "text", "text": {"value": "Who are you?", "annotations": []}}],
        "metadata": {},
        "name": "",
        "plugin_call": {},
        "tool_calls": [],
        "status": "",
    }
    assert without(api.get("/threads/thread_1/messages/message_1"), "request_id") == without(made, "request_id")
    assert api.get("/threads/thread_1/messages")["data"] == [without(made, "request_id")]


def test_a_message_of_a_run_names_it_and_differs_from_its_event_in_the_documented_fields() -> None:
    with serving(Script([TextPiece("Hello!")])) as api:
        events = api.run()
        (event,) = of(events, "thread.message.completed")
        (listed, _) = api.get(f"/threads/{event['thread_id']}/messages")["data"]
    assert (event["assistant_id"], event["run_id"], event["role"]) == ("asst_1", "run_1", "assistant")
    rest = {"name": "", "plugin_call": {}, "tool_calls": [], "status": "", "incomplete_details": {}}
    assert event["incomplete_details"] is None
    assert listed == {**without(event, "request_id"), **rest}


def test_deletes_are_answered_with_the_kind_of_what_is_gone(api: Api) -> None:
    api.assistant(file_ids=["file_1"])
    api.thread()
    answers = [
        without(api.client.delete(path).json(), "request_id")
        for path in ("/assistants/asst_1/files/file_1", "/assistants/asst_1", "/threads/thread_1")
    ]
    assert answers == [
        {"id": "file_1", "object": "assistant.file.deleted", "deleted": True},
        {"id": "asst_1", "object": "assistant.deleted", "deleted": True},
        {"id": "thread_1", "object": "thread.deleted", "deleted": True},
    ]


def test_files_are_answered_with_whom_they_belong_to(api: Api) -> None:
    api.assistant()
    attached = api.post("/assistants/asst_1/files", file_id="file_1")
    assert without(attached, "request_id", "created_at") == {
        "id": "file_1",
        "object": "assistant.file",
        "assistant_id": "asst_1",
    }
    api.thread()
    api.post("/threads/thread_1/messages", content="Hi", file_ids=["file_2"])
    found = api.get("/threads/thread_1/messages/message_1/files/file_2")
    assert without(found, "request_id", "created_at") == {
        "id": "file_2",
        "object": "thread.message.file",
        "message_id": "message_1",
    }


# --- lists and request ids -----------------------------------------------------------------------


def test_a_list_names_its_first_and_last_entry_in_the_order_it_has(api: Api) -> None:
    for _ in range(3):
        api.assistant()
    for order, ids in (("desc", ["asst_3", "asst_2"]), ("asc", ["asst_1", "asst_2"])):
        page = api.get("/assistants", order=order, limit=2)
        assert list(page) == ["object", "data", "first_id", "last_id", "has_more", "request_id"]
        assert [entry["id"] for entry in page["data"]] == ids
        assert [page[name] for name in ("object", "first_id", "last_id", "has_more")] == ["list", *ids, True]
    page = api.get("/assistants", limit=1, after="asst_2")
    assert (page["first_id"], page["last_id"], page["has_more"]) == ("asst_1", "asst_1", False)


def test_an_empty_list_has_empty_ids(api: Api) -> None:
    page = without(api.get("/assistants"), "request_id")
    assert page == {"object": "list", "data": [], "first_id": "", "last_id": "", "has_more": False}


def test_every_answer_has_a_request_id_of_its_own_in_its_body_and_entries_of_lists_have_none(api: Api) -> None:
    answers = [
        api.post("/assistants", model="qwen-max"),
        api.post("/threads"),
        api.post("/threads/thread_1/messages", content="Hi"),
        api.get("/threads/thread_1/messages"),
        api.client.get("/threads/thread_9").json(),
        api.client.get("/nowhere").json(),
        api.client.put("/threads/thread_1/messages").json(),
        api.client.delete("/threads/thread_1").json(),
    ]
    assert len({answer["request_id"] for answer in answers}) == len(answers)
    assert ["request_id" in entry for entry in answers[3]["data"]] == [False]


def test_all_events_of_a_stream_carry_one_request_id() -> None:
    with serving(Script([TextPiece("Hello!")])) as api:
        events = api.run()
    assert len({data["request_id"] for _, data in events[:-1]}) == 1
    assert events[-1] == ("done", "[DONE]")


# --- runs ----------------------------------------------------------------------------------------

TIMES = ("expires_at", "started_at", "cancelled_at", "failed_at", "completed_at")
WEATHER: list[Any] = [CallPiece(0, "get_weather", '{"city": "西安"}'), Spent(10, 4)]


def test_creating_a_run_answers_few_fields_and_in_progress() -> None:
    with serving(Script([TextPiece("Hello!")])) as api:
        tools = typed("quark_search")
        assistant, thread = api.assistant(instructions="Be brief.", tools=tools), api.thread("Hello")
        for path in (f"/threads/{thread}/runs", "/threads/runs"):
            made = api.post(path, assistant_id=assistant, metadata={"a": "b"})
            assert without(made, "id", "thread_id", "created_at", "request_id") == {
                "object": "thread.run",
                "assistant_id": assistant,
                "status": "in_progress",
                "model": "qwen-max",
                "instructions": "Be brief.",
                "tools": tools,
                "metadata": {"a": "b"},
            }
            api.wait(f"/threads/{made['thread_id']}/runs/{made['id']}", "completed", "failed")


def test_a_run_is_retrieved_listed_and_updated_with_zeros_and_empty_objects() -> None:
    with serving(Script([TextPiece("Hello!"), Spent(66, 9)])) as api:
        path = path_of(api.run())
        run = api.get(path)
        assert without(run, "id", "thread_id", "created_at", "request_id") == {
            "object": "thread.run",
            "assistant_id": "asst_1",
            "status": "completed",
            "model": "qwen-max",
            "instructions": "",
            "tools": [],
            "metadata": {},
            "required_action": {},
            "last_error": {},
            **dict.fromkeys(TIMES, 0),
            "usage": {"input_tokens": 66, "output_tokens": 9, "total_tokens": 75},
        }
        assert api.get(path.rpartition("/")[0])["data"] == [without(run, "request_id")]
        updated = api.post(path, metadata={"a": "b"})
        assert without(updated, "request_id") == {**without(run, "request_id"), "metadata": {"a": "b"}}


def test_a_streamed_run_says_null_for_what_has_not_happened() -> None:
    with serving(Script([TextPiece("Hello!"), Spent(66, 9)])) as api:
        events = api.run(metadata={"a": "b"}, temperature=0.5)
    created, completed = of(events, "thread.run.created")[0], of(events, "thread.run.completed")[0]
    assert without(created, "id", "thread_id", "created_at", "request_id") == {
        "object": "thread.run",
        "assistant_id": "asst_1",
        "status": "queued",
        "required_action": None,
        "last_error": None,
        **dict.fromkeys(TIMES, None),
        "model": "qwen-max",
        "instructions": "",
        "tools": [],
        "file_ids": [],
        "metadata": {"a": "b"},
        "usage": None,
        "temperature": 0.5,
        "top_p": None,
        "top_k": None,
        "max_tokens": None,
        "truncation_strategy": None,
    }
    usage = {"input_tokens": 66, "output_tokens": 9, "total_tokens": 75}
    assert completed == {**created, "status": "completed", "usage": usage}


def test_handing_in_outputs_answers_at_once_with_the_old_question_still_there() -> None:
    with serving(Script(WEATHER, [TextPiece("Rain.")])) as api:
        path = path_of(api.run("function:get_weather"))
        waiting = api.get(path)
        answer = api.post(f"{path}/submit_tool_outputs", tool_outputs=[{"output": "rain"}])
        api.wait(path, "completed")
    call = {"id": "call_1", "type": "function"}
    call["function"] = {"name": "get_weather", "arguments": '{"city": "西安"}'}  # type: ignore[assignment]
    action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": [call]}}
    assert waiting["required_action"] == action
    assert waiting["status"] == "requires_action"
    expected = {"status": "in_progress", "required_action": action, "usage": None}
    assert without(answer, "request_id") == {**without(waiting, "request_id"), **expected}
    assert {answer[name] for name in TIMES} == {0}


# --- steps ---------------------------------------------------------------------------------------


def test_a_step_is_retrieved_like_its_events_and_listed_with_minus_one() -> None:
    with serving(Script([TextPiece("Hello!")])) as api:
        events = api.run()
        path = path_of(events)
        message = of(events, "thread.message.completed")[0]
        retrieved = api.get(f"{path}/steps/step_1")
        (listed,) = api.get(f"{path}/steps")["data"]
    details = {"type": "message_creation", "message_creation": {"message_id": message["id"]}}
    common = {
        "id": "step_1",
        "object": "thread.run.step",
        "created_at": retrieved["created_at"],
        "assistant_id": "asst_1",
        "thread_id": "thread_1",
        "run_id": "run_1",
        "type": "message_creation",
        "status": "completed",
        "step_details": details,
        "metadata": {},
        "completed_at": message["completed_at"],
    }
    ends = dict.fromkeys(("expired_at", "cancelled_at", "failed_at"))
    assert without(retrieved, "request_id") == {**common, "last_error": None, **ends, "usage": None}
    assert without(of(events, "thread.run.step.completed")[0], "request_id") == without(retrieved, "request_id")
    assert listed == {
        **common,
        "last_error": {"code": "", "message": ""},
        "expires_at": 0,
        "started_at": 0,
        "cancelled_at": -1,
        "failed_at": -1,
        "usage": {},
    }


def test_a_built_in_call_is_read_back_under_its_own_name() -> None:
    async def plugin(arguments: str, definition: dict[str, Any]) -> str:
        return "42"

    engine = Script([CallPiece(0, "calculator", '{"formula": "6*7"}')], [TextPiece("ok")])
    with serving(engine, plugins={"calculator": plugin}) as api:
        path = path_of(api.run("calculator"))
        step = api.get(f"{path}/steps")["data"][-1]
    payload = {"arguments": '{"formula": "6*7"}', "output": "42"}
    assert step["step_details"]["tool_calls"] == [{"type": "calculator", "calculator": payload}]
    assert step["status"] == "completed"


def test_a_function_call_is_read_back_without_an_output_until_it_has_one() -> None:
    with serving(Script(WEATHER, [TextPiece("Rain.")])) as api:
        path = path_of(api.run("function:get_weather"))
        function = {"name": "get_weather", "arguments": '{"city": "西安"}'}
        for output in ({}, {"output": "rain"}):
            step = api.get(f"{path}/steps")["data"][-1]
            expected = {"id": "call_1", "type": "function", "function": {**function, **output}}
            assert step["step_details"]["tool_calls"] == [expected]
            if not output:
                api.submit(path, {"output": "rain"})


def test_a_failed_step_says_why_wherever_it_is_read() -> None:
    with serving(Script([TextPiece("Ha"), EngineError("No.")])) as api:
        path = path_of(api.run())
        error = {"code": "server_error", "message": "No."}
        (listed,) = api.get(f"{path}/steps")["data"]
        assert (listed["last_error"], listed["completed_at"]) == (error, -1)
        assert listed["failed_at"] == api.get(f"{path}/steps/step_1")["failed_at"] > 0
        assert api.get(path)["last_error"] == error


# --- the recorded streams ------------------------------------------------------------------------


def test_the_events_of_a_plain_answer_have_the_recorded_fields() -> None:
    expected = recorded("run-plain.sse")[1:]  # the thread was made before; see the page's own remark
    said = [TextPiece("a")] * (names(expected).count("thread.message.delta") - 1)
    with serving(Script([*said, Spent(1, 1)])) as api:
        thread, assistant = api.thread("Hello"), api.assistant(tools=of(expected, "thread.run.created")[0]["tools"])
        with api.stream(f"/threads/{thread}/runs", assistant_id=assistant) as stream:
            events = list(stream)
    assert names(events) == names(expected)
    assert [shape(data) for _, data in events] == [shape(data) for _, data in expected]
    # In their order as well: programs print the objects as they come.
    assert [[*data] for _, data in events[:-1]] == [[*data] for _, data in expected[:-1]]


def test_the_events_of_a_submit_have_the_recorded_fields() -> None:
    expected = recorded("submit-tool-outputs.sse")
    said = [TextPiece("a")] * (names(expected).count("thread.message.delta") - 1)
    with serving(Script(WEATHER, [*said, Spent(1, 1)])) as api:
        tools = of(expected, "thread.run.queued")[0]["tools"]
        thread, assistant = api.thread("Hello"), api.assistant(tools=tools)
        with api.stream(f"/threads/{thread}/runs", assistant_id=assistant) as stream:
            path = path_of(list(stream))
        events = api.submit(path, {"output": "rain"})
    assert names(events) == names(expected)
    assert of(events, "thread.run.queued")[0]["tools"] == tools
    assert [shape(data) for _, data in events] == [shape(data) for _, data in expected]


def test_the_events_of_a_web_search_have_the_recorded_fields() -> None:
    expected = recorded("run-quark-search.jsonl")
    arguments = [
        delta["delta"]["step_details"]["tool_calls"][0]["quark_search"]["arguments"]
        for delta in of(expected, "thread.run.step.delta")
        if "arguments" in delta["delta"]["step_details"]["tool_calls"][0].get("quark_search", {})
    ]

    async def search(arguments: str, definition: dict[str, Any]) -> str:
        return "{}"

    calls = [CallPiece(0, "quark_search", piece) for piece in arguments if piece]
    said = [TextPiece("a")] * (names(expected).count("thread.message.delta") - 1)
    with serving(Script(calls, [*said, Spent(1, 1)]), plugins={"quark_search": search}) as api:
        events = api.run("quark_search")
    assert names(events) == [*names(expected), "done"]
    for (name, data), (_, other) in zip(events, expected, strict=False):
        if name == "thread.message.delta":  # the SDK printed one part where the wire has a list
            other["delta"] = {**other["delta"], "content": [other["delta"]["content"]], "file_ids": []}
        assert shape(data) == shape(other), name


def test_the_wire_of_a_stream_has_no_blank_after_the_colon_and_one_line_of_data() -> None:
    with serving(Script([TextPiece("天\n气")])) as api:
        path, body = f"/threads/{api.thread('Hi')}/runs", {"assistant_id": api.assistant(), "stream": True}
        with api.client.stream("POST", path, json=body) as response:
            blocks = b"".join(response.iter_bytes()).decode().split("\n\n")
    assert blocks.pop() == ""
    assert blocks[-1].split("\n")[-2:] == ["event:done", "data:[DONE]"]
    for number, block in enumerate(blocks, 1):
        ident, event, data = block.split("\n")
        assert ident == f"id:run_1:{number}"
        assert event.startswith("event:")
        assert data.startswith("data:{" if number < len(blocks) else "data:[")
    assert "天\\n气" in "".join(blocks)


def test_an_answer_without_any_text_has_no_parts() -> None:
    record = {"id": "m", "created_at": 1, "thread_id": "t", "role": "assistant", "text": "", "metadata": {}}
    assert wire.streamed_message(record)["content"] == []
