"""Every operation over HTTP: what it does, what it refuses, and in which words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from dashnb.local.models.engine import CallPiece, TextPiece
from dashnb.protocol.operations import OPERATIONS
from scripted import Api, Desk, Gate, Script, names, numbered, parse, path_of, serving, typed

REFUSAL = {"code", "message", "request_id"}


@pytest.fixture
def api() -> Iterator[Api]:
    """An embedded API with two assistants, two threads with two messages each, and a completed run on the first."""
    with serving(Script([TextPiece("Hello!")])) as opened:
        for _ in range(2):
            opened.assistant(file_ids=["file_1"])
            opened.thread("One", "Two")
        opened.post("/threads/thread_1/runs", assistant_id="asst_1")
        opened.wait("/threads/thread_1/runs/run_1", "completed")
        yield opened


def refused(response: httpx.Response, status: int, code: str) -> str:
    """The message of a refusal in the documented shape."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert set(body) == REFUSAL
    assert body["code"] == code
    assert body["request_id"]
    return str(body["message"])


# --- what is not there ---------------------------------------------------------------------------

HERE = {
    "assistant_id": "asst_1",
    "thread_id": "thread_1",
    "message_id": "message_1",
    "run_id": "run_1",
    "step_id": "step_1",
    "file_id": "file_1",
}
BODIES: dict[str, dict[str, Any]] = {
    "assistants.create": {"model": "qwen-max"},
    "assistants.files.create": {"file_id": "file_9"},
    "messages.create": {"content": "Hi"},
    "runs.create": {"assistant_id": "asst_1"},
    "runs.create_thread_and_run": {"assistant_id": "asst_1"},
    "runs.submit_tool_outputs": {"tool_outputs": [{"output": "x"}]},
}
MISSING = [(name, missing) for name, operation in OPERATIONS.items() for missing in operation.ids]


def send(api: Api, name: str, ids: dict[str, str], body: Any = None) -> httpx.Response:
    operation = OPERATIONS[name]
    sent = BODIES.get(name, {}) if body is None else body
    return api.client.request(operation.method, operation.path.format(**ids), json=sent if operation.body else None)


@pytest.mark.parametrize(("name", "missing"), MISSING)
def test_an_id_that_nobody_has_is_not_found(api: Api, name: str, missing: str) -> None:
    message = refused(send(api, name, {**HERE, missing: "nobody_1"}), 404, "NotFound")
    assert message.startswith("Not found!")


@pytest.mark.parametrize(
    "name", [name for name, operation in OPERATIONS.items() if {"message_id", "run_id"} & set(operation.ids)]
)
def test_what_belongs_to_another_thread_is_not_found(api: Api, name: str) -> None:
    refused(send(api, name, {**HERE, "thread_id": "thread_2"}), 404, "NotFound")


def test_a_step_of_another_run_and_a_file_of_another_assistant_are_not_found() -> None:
    with serving(Script([TextPiece("a")], [TextPiece("b")])) as api:
        thread, assistant = api.thread("Hello"), api.assistant(file_ids=["file_1"])
        for _ in range(2):
            with api.stream(f"/threads/{thread}/runs", assistant_id=assistant) as events:
                list(events)
        assert api.get("/threads/thread_1/runs/run_2/steps/step_2")["run_id"] == "run_2"
        refused(api.client.get("/threads/thread_1/runs/run_1/steps/step_2"), 404, "NotFound")
        other = api.assistant()
        refused(api.client.get(f"/assistants/{other}/files/file_1"), 404, "NotFound")


@pytest.mark.parametrize("path", ["/threads/thread_1/runs", "/threads/runs"])
def test_a_run_of_an_unknown_assistant_is_not_made(api: Api, path: str) -> None:
    message = refused(api.client.post(path, json={"assistant_id": "asst_9"}), 404, "NotFound")
    assert message == "Not found! There is no assistant asst_9."
    assert len(api.service.store.every("runs")) == 1
    assert len(api.service.store.every("threads")) == 2


# --- what may not be sent ------------------------------------------------------------------------

FUNCTION = {"type": "function", "function": {"name": "search"}}
# Where it is sent, and how the message begins: with the field that is wrong.
LIMITS: dict[str, tuple[str, dict[str, Any], str]] = {
    "no model": ("assistants.create", {}, "model:"),
    "empty model": ("assistants.create", {"model": ""}, "model:"),
    "model null": ("assistants.create", {"model": None}, "model:"),
    "17 pairs": ("threads.create", {"metadata": {str(n): "" for n in range(17)}}, "metadata: at most 16 pairs"),
    "long key": ("threads.create", {"metadata": {"k" * 65: ""}}, "metadata: the key"),
    "long value": ("threads.create", {"metadata": {"k": "v" * 513}}, "metadata: the value of 'k'"),
    "nested value": ("threads.create", {"metadata": {"k": {}}}, "metadata: the value of 'k'"),
    "metadata as a text": ("threads.create", {"metadata": "k=v"}, "metadata:"),
    "pairs of an update": ("runs.update", {"metadata": {"k" * 65: ""}}, "metadata:"),
    "pairs of a first message": (
        "threads.create",
        {"messages": [{"content": "Hi", "metadata": {"k" * 65: ""}}]},
        "messages.0.metadata:",
    ),
    "temperature 2": ("assistants.create", {"model": "m", "temperature": 2}, "temperature:"),
    "temperature below 0": ("assistants.create", {"model": "m", "temperature": -0.1}, "temperature:"),
    "top_p 0": ("assistants.create", {"model": "m", "top_p": 0}, "top_p:"),
    "top_p above 1": ("assistants.create", {"model": "m", "top_p": 1.1}, "top_p:"),
    "max_tokens 0": ("assistants.create", {"model": "m", "max_tokens": 0}, "max_tokens:"),
    "temperature of a run": ("runs.create", {"assistant_id": "asst_1", "temperature": 2}, "temperature:"),
    "a function called search": ("assistants.create", {"model": "m", "tools": [FUNCTION]}, "tools.0.function:"),
    "a run's function called search": ("runs.create", {"assistant_id": "asst_1", "tools": [FUNCTION]}, "tools.0."),
    "a function without a name": ("assistants.update", {"tools": [{"type": "function", "function": {}}]}, "tools.0."),
    "a function without itself": ("assistants.update", {"tools": [{"type": "function"}]}, "tools.0:"),
    "a tool without a type": ("assistants.update", {"tools": [{}]}, "tools.0.type:"),
    "no assistant": ("runs.create", {}, "assistant_id:"),
    "no assistant, new thread": ("runs.create_thread_and_run", {"thread": {}}, "assistant_id:"),
    "an unknown strategy": (
        "runs.create",
        {"assistant_id": "asst_1", "truncation_strategy": {"type": "auto"}},
        "truncation_strategy.type:",
    ),
    "no content": ("messages.create", {"role": "user"}, "content:"),
    "empty content": ("messages.create", {"content": ""}, "content:"),
    "content null": ("messages.create", {"content": None}, "content:"),
    "an unknown role": ("messages.create", {"content": "Hi", "role": "system"}, "role:"),
    "no outputs": ("runs.submit_tool_outputs", {}, "tool_outputs:"),
    "no file": ("assistants.files.create", {}, "file_id:"),
}


@pytest.mark.parametrize("case", LIMITS)
def test_a_body_beyond_the_limits_is_refused_with_the_name_of_the_field(api: Api, case: str) -> None:
    name, body, start = LIMITS[case]
    message = refused(send(api, name, HERE, body), 400, "InvalidParameter")
    assert message.startswith(start)
    assert "Value error" not in message
    assert "pydantic" not in message


def test_the_limits_themselves_are_allowed(api: Api) -> None:
    metadata = {"k" * 64: "v" * 512, **{str(n): "" for n in range(15)}}
    sampling = {"temperature": 1.99, "top_p": 1, "max_tokens": 1, "top_k": 0}
    made = api.post("/assistants", model="m", metadata=metadata, **sampling)
    assert made["metadata"] == metadata
    assert {name: made[name] for name in sampling} == sampling
    assert api.post("/assistants", model="m", temperature=0)["temperature"] == 0


@pytest.mark.parametrize(
    ("query", "start"),
    [
        ({"limit": 0}, "limit:"),
        ({"limit": 101}, "limit:"),
        ({"limit": -1}, "limit:"),
        ({"limit": "abc"}, "limit:"),
        ({"limit": ""}, "limit:"),
        ({"order": "sideways"}, "order:"),
        ({"after": "message_1", "before": "message_2"}, "the query: 'after' and 'before'"),
        ({"after": "message_9"}, "'after' and 'before' must name"),
        ({"before": "message_3"}, "'after' and 'before' must name"),
    ],
)
def test_a_query_beyond_the_limits_is_refused(api: Api, query: dict[str, Any], start: str) -> None:
    message = refused(api.client.get("/threads/thread_1/messages", params=query), 400, "InvalidParameter")
    assert message.startswith(start)


@pytest.mark.parametrize("name", [name for name, operation in OPERATIONS.items() if operation.is_list])
def test_every_list_checks_its_query(api: Api, name: str) -> None:
    path = OPERATIONS[name].path.format(**HERE)
    refused(api.client.get(path, params={"limit": 101}), 400, "InvalidParameter")
    page = api.get(path, limit=100, order="asc", unknown="x")
    assert page["object"] == "list"


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"{'a': 1}",
        b"\xff\xfe",
        b'{"model": "m"} x',
        b"[" * 100_000,
        b'{"metadata": {"a": NaN}}',
        b'{"a": 1e999}',
        b"9" * 5000,
    ],
    ids=["cut", "quotes", "bytes", "rest", "deep", "NaN", "infinite", "digits"],
)
def test_a_body_that_is_not_json_is_refused(api: Api, content: bytes) -> None:
    message = refused(api.client.post("/assistants", content=content), 400, "InvalidParameter")
    assert message.startswith("The body is not JSON:")
    assert len(message) < 300


@pytest.mark.parametrize("content", [b"[]", b'[{"model": "m"}]', b'"text"', b"3", b"true"])
@pytest.mark.parametrize("path", ["/assistants", "/threads/thread_1", "/threads/thread_1/runs"])
def test_a_body_that_is_no_object_is_refused(api: Api, path: str, content: bytes) -> None:
    refused(api.client.post(path, content=content), 400, "InvalidParameter")


def test_half_a_character_never_costs_the_answer(api: Api) -> None:
    response = api.client.post("/threads", content=b'{"metadata": {"a": "\\ud83d"}}')
    assert response.json()["metadata"] == {"a": "?"}
    body = b'{"assistant_id": "asst_1", "metadata": {"a": "\\ud83d"}, "stream": true}'
    response = api.client.post("/threads/thread_1/runs", content=body)
    assert response.status_code == 200
    assert "event:done" in response.text
    refused(api.client.post("/threads/thread_1/messages", content=b'{"content": "\\ud83d"}'), 400, "InvalidParameter")


# --- what is no operation ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/assistants"),
        ("DELETE", "/threads/thread_1/messages/message_1"),
        ("GET", "/threads"),
        ("PUT", "/assistants"),
        ("PUT", "/threads/thread_1/runs/run_1/cancel"),
        ("GET", "/threads/thread_1/runs/run_1/submit_tool_outputs"),
    ],
)
def test_a_wrong_method_is_refused_in_the_documented_shape(api: Api, method: str, path: str) -> None:
    message = refused(api.client.request(method, path), 405, "UnsupportedOperation")
    assert message == f"/api/v1{path} does not take {method}."


@pytest.mark.parametrize("path", ["/nowhere", "/threads/thread_1/nothing", "http://dashnb.local/"])
def test_an_unknown_path_is_refused_in_the_documented_shape(api: Api, path: str) -> None:
    assert "Not found!" in refused(api.client.get(path), 404, "NotFound")


def test_runs_is_not_the_id_of_a_thread(api: Api) -> None:
    made = api.post("/threads/runs", assistant_id="asst_1", thread={"metadata": {"a": "b"}})
    assert made["object"] == "thread.run"
    assert made["thread_id"] == "thread_3"
    assert api.get("/threads/thread_3")["metadata"] == {"a": "b"}
    refused(api.client.get("/threads/runs"), 404, "NotFound")


# --- keys and headers ----------------------------------------------------------------------------


def test_without_the_key_nothing_is_answered() -> None:
    with serving(Script(), api_key="sk-canary-天") as api:
        given: list[dict[str, str | bytes]] = [
            {},
            {"Authorization": "Bearer sk-other"},
            {"Authorization": "sk-canary"},
            {"Authorization": "Basic sk-canary"},
            {"Authorization": "Bearer "},
            {"Authorization": b"Bearer sk-canary-\xff"},
        ]
        for headers in given:
            message = refused(api.client.post("/assistants", json={}, headers=headers), 401, "InvalidApiKey")  # type: ignore[arg-type]
            assert message == "Invalid API-key provided."
        assert api.service.store.every("assistants") == []


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_with_the_key_everything_is_answered(scheme: str) -> None:
    with serving(Script(), api_key="sk-canary") as api:
        headers = {"authorization": f"{scheme} sk-canary"}
        assert api.client.post("/assistants", json={"model": "m"}, headers=headers).status_code == 200


def test_without_a_key_set_any_key_will_do(api: Api) -> None:
    assert api.client.get("/assistants", headers={"Authorization": "Bearer sk-any"}).status_code == 200


def test_every_answer_names_the_engine_and_its_kind_of_content(api: Api) -> None:
    body = {"assistant_id": "asst_1", "stream": True}
    answers = [
        api.client.get("/assistants"),
        api.client.get("/nowhere"),
        api.client.get("/assistants/asst_9"),
        api.client.post("/threads/thread_1/runs", json=body),
    ]
    assert [answer.headers["x-dashnb-engine"] for answer in answers] == ["script"] * 4
    assert [answer.headers["content-type"] for answer in answers] == [
        *["application/json"] * 3,
        "text/event-stream; charset=utf-8",
    ]
    assert answers[3].headers["cache-control"] == "no-cache"
    assert "content-length" not in answers[3].headers


def test_a_stream_is_asked_for_by_the_body_alone(api: Api) -> None:
    headers = {"Accept": "text/event-stream", "X-DashScope-SSE": "enable"}
    response = api.client.post("/threads/thread_1/runs", json={"assistant_id": "asst_1"}, headers=headers)
    assert response.headers["content-type"] == "application/json"
    api.wait(f"/threads/thread_1/runs/{response.json()['id']}", "completed", "failed")
    headers = {"Accept": "application/json; charset=utf-8", "Content-Type": "application/json; charset=utf-8"}
    content = json.dumps({"assistant_id": "asst_1", "stream": True})
    response = api.client.post("/threads/thread_1/runs", content=content, headers=headers)
    assert response.headers["content-type"].startswith("text/event-stream")


# --- assistants ----------------------------------------------------------------------------------


def test_an_assistant_is_created_retrieved_listed_updated_and_deleted(api: Api) -> None:
    made = api.post("/assistants", model="qwen-max", name="助手", metadata={"主题": "天气"})
    path = f"/assistants/{made['id']}"
    assert api.get(path)["metadata"] == {"主题": "天气"}
    assert api.get("/assistants")["data"][0]["id"] == made["id"]
    assert api.post(path, name="Helper")["name"] == "Helper"
    assert api.client.delete(path).json()["deleted"] is True
    refused(api.client.get(path), 404, "NotFound")
    refused(api.client.delete(path), 404, "NotFound")
    refused(api.client.get(f"{path}/files"), 404, "NotFound")


def test_an_update_keeps_the_rest(api: Api) -> None:
    given = {
        "model": "qwen-max",
        "name": "n",
        "description": "d",
        "instructions": "i",
        "tools": typed("calculator", "function:f"),
        "file_ids": ["file_1"],
        "metadata": {"a": "b"},
        "temperature": 0,
        "top_p": 0.5,
        "top_k": 3,
        "max_tokens": 9,
    }
    made = api.post("/assistants", **given)
    path = f"/assistants/{made['id']}"
    # What the official SDK sends when only the model is named.
    updated = api.post(path, model="qwen-plus", file_ids=[], metadata=None)
    assert updated == {**made, "model": "qwen-plus", "request_id": updated["request_id"]}
    nothing = api.post(path, name=None, tools=None, temperature=None)
    assert nothing == {**updated, "request_id": nothing["request_id"]}


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_an_empty_list_of_tools_clears_it(api: Api, method: str) -> None:
    made = api.post("/assistants", model="qwen-max", tools=typed("calculator"))
    response = api.client.request(method, f"/assistants/{made['id']}", json={"tools": []})
    assert response.json()["tools"] == []
    assert api.get(f"/assistants/{made['id']}")["tools"] == []


def test_tools_come_back_as_they_were_given(api: Api) -> None:
    tools: list[dict[str, Any]] = [
        {
            "type": "function",
            "function": {
                "name": "f",
                "description": None,
                "parameters": {
                    "type": "object",
                    "properties": {"a": {"default": None, "enum": ["x", None], "anyOf": [{"type": "null"}]}},
                    "required": [],
                },
                "strict": None,
            },
        },
        {
            "type": "rag",
            "prompt_ra": {"pipeline_id": ["<id>"], "parameters": {"query_word": {"value": "${document1}"}}},
        },
        {"type": "my_plugin", "auth": None},
        {"type": "hhh", "description": "unknown"},
        {"type": "search"},
    ]
    made = api.post("/assistants", model="qwen-max", tools=tools)
    assert made["tools"] == tools
    assert api.post(f"/assistants/{made['id']}", name="n")["tools"] == tools
    run = api.post("/threads/thread_1/runs", assistant_id=made["id"])
    api.wait(f"/threads/thread_1/runs/{run['id']}", "completed", "failed")
    assert run["tools"] == tools
    assert api.post("/threads/thread_1/runs", assistant_id="asst_1", tools=tools)["tools"] == tools


def test_files_are_attached_listed_and_detached(api: Api) -> None:
    made = api.assistant()
    for file_id in ("file_2", "file_3", "file_2"):
        assert api.post(f"/assistants/{made}/files", file_id=file_id)["id"] == file_id
    assert [entry["id"] for entry in api.get(f"/assistants/{made}/files")["data"]] == ["file_3", "file_2"]
    assert api.get(f"/assistants/{made}")["file_ids"] == ["file_2", "file_3"]
    assert api.client.delete(f"/assistants/{made}/files/file_2").status_code == 200
    assert api.get(f"/assistants/{made}")["file_ids"] == ["file_3"]
    refused(api.client.get(f"/assistants/{made}/files/file_2"), 404, "NotFound")


def test_the_files_of_a_create_and_of_an_update_are_attached(api: Api) -> None:
    made = api.post("/assistants", model="m", file_ids=["file_1", "file_2", "file_1"])["id"]
    assert api.get(f"/assistants/{made}/files/file_2")["id"] == "file_2"
    assert api.post(f"/assistants/{made}", file_ids=["file_2", "file_3"])["file_ids"] == ["file_2", "file_3"]
    assert [entry["id"] for entry in api.get(f"/assistants/{made}/files", order="asc")["data"]] == ["file_2", "file_3"]
    api.post(f"/assistants/{made}", name="n", file_ids=[])
    assert len(api.get(f"/assistants/{made}/files")["data"]) == 2


# --- threads and messages ------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b'""', b"{}", b" \n", b"null", b'{"metadata": null, "messages": null}'])
def test_an_empty_thread_is_asked_for_in_many_ways(api: Api, content: bytes) -> None:
    response = api.client.post("/threads", content=content)
    assert response.status_code == 200
    assert response.json()["metadata"] == {}
    assert api.get(f"/threads/{response.json()['id']}/messages")["data"] == []


def test_the_first_messages_of_a_thread_are_kept_in_order(api: Api) -> None:
    messages = [
        {"role": "user", "content": "你好", "metadata": {"名": "值"}},
        {"role": "assistant", "content": "Hi", "file_ids": ["file_1"]},
    ]
    made = api.post("/threads", messages=messages, metadata={"主题": "天气"})
    kept = api.get(f"/threads/{made['id']}/messages", order="asc")["data"]
    assert [(one["role"], one["content"][0]["text"]["value"], one["metadata"], one["file_ids"]) for one in kept] == [
        ("user", "你好", {"名": "值"}, []),
        ("assistant", "Hi", {}, ["file_1"]),
    ]


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize(
    "path",
    ["/threads/thread_1", "/threads/thread_1/messages/message_1", "/threads/thread_1/runs/run_1"],
)
def test_metadata_is_updated_by_post_and_by_put(api: Api, method: str, path: str) -> None:
    before = api.get(path)
    response = api.client.request(method, path, json={"metadata": {"主题": "天气"}, "unknown": [1]})
    assert response.status_code == 200
    after = api.get(path)
    assert response.json()["metadata"] == after["metadata"] == {"主题": "天气"}
    assert {**after, "request_id": ""} == {**before, "metadata": {"主题": "天气"}, "request_id": ""}
    assert api.client.request(method, path, json={}).json()["metadata"] == {"主题": "天气"}


def test_deleting_a_thread_takes_all_that_is_in_it(api: Api) -> None:
    assert api.client.delete("/threads/thread_1").json()["deleted"] is True
    for path in ("", "/messages", "/messages/message_1", "/runs", "/runs/run_1", "/runs/run_1/steps"):
        refused(api.client.get(f"/threads/thread_1{path}"), 404, "NotFound")
    refused(api.client.post("/threads/thread_1/messages", json={"content": "Hi"}), 404, "NotFound")
    assert len(api.get("/threads/thread_2/messages")["data"]) == 2


def test_messages_are_listed_newest_first_and_page_by_page(api: Api) -> None:
    for number in range(25):
        api.post("/threads/thread_2/messages", content=f"No. {number}")
    page = api.get("/threads/thread_2/messages")
    assert [entry["content"][0]["text"]["value"] for entry in page["data"]] == [f"No. {n}" for n in range(24, 4, -1)]
    assert page["has_more"] is True
    rest = api.get("/threads/thread_2/messages", after=page["last_id"])
    assert len(rest["data"]) == 7
    assert rest["has_more"] is False
    back = api.get("/threads/thread_2/messages", before=rest["first_id"], limit=3)
    assert [entry["content"][0]["text"]["value"] for entry in back["data"]] == ["No. 7", "No. 6", "No. 5"]


def test_the_files_of_a_message_are_listed(api: Api) -> None:
    made = api.post("/threads/thread_1/messages", content="Hi", file_ids=["file_1", "file_2"])
    path = f"/threads/thread_1/messages/{made['id']}/files"
    assert [entry["id"] for entry in api.get(path, order="asc")["data"]] == ["file_1", "file_2"]
    assert api.get(f"{path}/file_2")["message_id"] == made["id"]


def test_the_metadata_of_a_message_may_change_while_it_is_written() -> None:
    gate = Gate()
    with serving(Script([TextPiece("Half"), gate, TextPiece(" and half")])) as api:
        path = api.begin()
        assert gate.reached.wait(5)
        (message, _) = api.get("/threads/thread_1/messages")["data"]
        api.post(f"/threads/thread_1/messages/{message['id']}", metadata={"a": "b"})
        api.post(path, metadata={"c": "d"})
        gate.open()
        assert api.wait(path, "completed")["metadata"] == {"c": "d"}
        message = api.get(f"/threads/thread_1/messages/{message['id']}")
    assert message["metadata"] == {"a": "b"}
    assert message["content"][0]["text"]["value"] == "Half and half"


# --- runs and steps ------------------------------------------------------------------------------


def test_runs_and_their_steps_are_listed_and_retrieved(api: Api) -> None:
    assert [run["id"] for run in api.get("/threads/thread_1/runs")["data"]] == ["run_1"]
    (step,) = api.get("/threads/thread_1/runs/run_1/steps")["data"]
    assert api.get(f"/threads/thread_1/runs/run_1/steps/{step['id']}")["run_id"] == "run_1"
    assert api.get("/threads/thread_2/runs")["data"] == []


def test_the_newest_step_comes_first() -> None:
    with serving(Script([CallPiece(0, "f", "{}")], [TextPiece("ok")])) as api:
        path = path_of(api.run("function:f"))
        api.submit(path, {"output": "x"})
        assert [step["type"] for step in api.get(f"{path}/steps")["data"]] == ["message_creation", "tool_calls"]
        assert [step["type"] for step in api.get(f"{path}/steps", order="asc")["data"]] == [
            "tool_calls",
            "message_creation",
        ]


@pytest.mark.parametrize("path", ["/threads/thread_1/runs", "/threads/runs"])
def test_what_other_clients_send_with_a_run_is_accepted(api: Api, path: str) -> None:
    more = {
        "response_format": "json_object",
        "tool_choice": {"type": "auto"},
        "parallel_tool_calls": True,
        "max_prompt_tokens": 10,
        "max_completion_tokens": 10,
        "additional_messages": None,
        "stream": None,
        "metadata": None,
        "tools": None,
        "unknown": {"a": [1]},
    }
    made = api.post(path, assistant_id="asst_1", **more)
    assert made["object"] == "thread.run"


def test_a_run_is_made_whole_or_not_at_all() -> None:
    """If the messages that come with a run cannot be kept, no run may stay behind that nobody works on."""
    again: list[bool] = []
    ids = numbered()
    with Desk(Script(), ids=lambda prefix: f"{prefix}_same" if again else ids(prefix)) as desk:
        assistant = desk.call("assistants.create", {"model": "m"})
        thread = desk.call("threads.create")
        again.append(True)
        messages = [{"content": "a"}, {"content": "b"}]
        body = {"assistant_id": assistant["id"], "additional_messages": messages}
        with pytest.raises(Exception, match="UNIQUE"):
            desk.call("runs.create", body, thread_id=thread["id"])
        assert desk.store.every("runs") == []
        assert desk.store.every("messages") == []


def test_a_cancelled_run_is_answered_as_a_run() -> None:
    with serving(Script([CallPiece(0, "f", "{}")])) as api:
        events = api.run("function:f")
        answer = api.client.post(path_of(events) + "/cancel", content=b"")
    assert names(events)[-1] == "done"
    assert (answer.json()["object"], answer.json()["status"]) == ("thread.run", "cancelled")


# --- joining a run -------------------------------------------------------------------------------


def joined(api: Api, path: str, **more: Any) -> list[tuple[str, str]]:
    """The ids and names of the events that a joining reader gets."""
    text = api.client.get(f"{path}/stream", **more).text
    blocks = [dict(line.split(":", 1) for line in block.split("\n")) for block in text.split("\n\n") if block]
    return [(block["id"], block["event"]) for block in blocks]


def test_a_reader_joins_a_run_from_its_beginning_and_from_any_event(api: Api) -> None:
    path = "/threads/thread_1/runs/run_1"
    everything = joined(api, path)
    assert everything[0] == ("run_1:1", "thread.run.created")
    assert everything[-1][1] == "done"
    for known in (1, 5, len(everything) - 1):
        assert joined(api, path, params={"after": known}) == everything[known:]
        assert joined(api, path, headers={"Last-Event-ID": everything[known - 1][0]}) == everything[known:]


def test_a_reader_joins_a_run_that_is_under_way() -> None:
    gate = Gate()
    with serving(Script([TextPiece("a"), gate, TextPiece("b")])) as api:
        path = api.begin()
        with api.client.stream("GET", f"{path}/stream") as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            events = parse(response.iter_bytes())
            first = next(event for event in events if event[0] == "thread.message.delta")
            gate.open()
            rest = [name for name, _ in events]
    assert first[1]["delta"]["content"][0]["text"]["value"] == "a"
    assert rest[-2:] == ["thread.run.completed", "done"]


@pytest.mark.parametrize("after", ["-1", "x", "²", "1" * 30])
def test_a_position_that_is_no_number_is_refused(api: Api, after: str) -> None:
    response = api.client.get("/threads/thread_1/runs/run_1/stream", params={"after": after})
    assert "'after' must be the number of an event" in refused(response, 400, "InvalidParameter")


def test_the_last_event_of_another_run_is_refused(api: Api) -> None:
    response = api.client.get("/threads/thread_1/runs/run_1/stream", headers={"Last-Event-ID": "run_2:3"})
    assert "another run" in refused(response, 400, "InvalidParameter")


def test_joining_needs_a_run_of_that_thread(api: Api) -> None:
    refused(api.client.get("/threads/thread_2/runs/run_1/stream"), 404, "NotFound")
    refused(api.client.get("/threads/thread_1/runs/run_9/stream"), 404, "NotFound")


def test_the_files_of_assistants_and_messages_are_paged_by_their_ids(api: Api) -> None:
    files = [f"file_{number}" for number in range(5)]
    assistant = api.assistant(file_ids=files)
    message = api.post("/threads/thread_1/messages", content="Look", file_ids=files)["id"]
    for path in (f"/assistants/{assistant}/files", f"/threads/thread_1/messages/{message}/files"):
        assert listed(api, path, limit=2, order="asc") == (files[:2], True)
        assert listed(api, path, limit=2, order="asc", after="file_1") == (files[2:4], True)
        assert listed(api, path, limit=2, order="asc", after="file_3") == (files[4:], False)
        assert listed(api, path, limit=2, order="asc", before="file_4") == (files[2:4], True)
        assert listed(api, path, limit=3) == (files[:1:-1], True)
        refused(api.client.get(path, params={"after": "file_9"}), 400, "InvalidParameter")


def test_lists_are_also_paged_by_number(api: Api) -> None:
    files = [f"file_{number}" for number in range(5)]
    assistant = api.assistant(file_ids=files)
    path = f"/assistants/{assistant}/files"
    assert listed(api, path, page_no=2, page_size=2, order="asc") == (files[2:4], True)
    assert listed(api, path, page_no=3, page_size=2, order="asc") == (files[4:], False)
    assert listed(api, path, page_no=4, page_size=2) == ([], False)
    thread = api.thread(*[f"No. {number}" for number in range(5)])
    messages, _ = listed(api, f"/threads/{thread}/messages")
    assert listed(api, f"/threads/{thread}/messages", page_no=2, page_size=2) == (messages[2:4], True)
    assert listed(api, f"/threads/{thread}/messages", page_no=3, page_size=2) == (messages[4:], False)
    refused(api.client.get(f"/threads/{thread}/messages", params={"page_no": 0}), 400, "InvalidParameter")


def listed(api: Api, path: str, **query: Any) -> tuple[list[str], bool]:
    """The ids of a page and whether there are more."""
    answer = api.get(path, **query)
    return [entry["id"] for entry in answer["data"]], answer["has_more"]
