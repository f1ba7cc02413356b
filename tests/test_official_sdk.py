"""The official Python SDK, unchanged, works against the embedded API on a port.

Runs where `dashscope` is installed; it is no dependency of dashnb.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import pytest
import uvicorn

from dashnb.local.models.engine import CallPiece, Spent, TextPiece
from dashnb.local.service import LocalService
from scripted import BEGUN, OPENED, RESUMED, STEP_DELTA, STEP_DONE, Script, numbered, ticking, typed, written

dashscope = pytest.importorskip("dashscope", reason="the official SDK is not installed")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The Assistants API:DeprecationWarning"),
]
WEATHER: list[Any] = [CallPiece(0, "get_weather", '{"city": '), CallPiece(0, "get_weather", '"西安"}'), Spent(10, 4)]


@contextmanager
def on_a_port(service: LocalService) -> Iterator[str]:
    """The base URL of a service that is reached over TCP."""
    config = uvicorn.Config(service.app, host="127.0.0.1", port=0, log_level="warning", lifespan="auto")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until = time.monotonic() + 10
        while not server.started:
            assert time.monotonic() < until
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/api/v1"
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def engine() -> Script:
    return Script(WEATHER, [TextPiece("It "), TextPiece("rains."), Spent(20, 2)])


@pytest.fixture(autouse=True)
def _served(engine: Script, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    async def search(arguments: str, definition: dict[str, Any]) -> str:
        return '{"success": true}'

    service = LocalService(
        ":memory:", engine, plugins={"quark_search": search}, ids=numbered(), clock=ticking(), api_key="sk-local"
    )
    with service, on_a_port(service) as url:
        monkeypatch.setattr(dashscope, "base_http_api_url", url)
        monkeypatch.setattr(dashscope, "api_key", "sk-local")
        yield


def begun(*tools: str) -> tuple[Any, Any]:
    assistant = dashscope.Assistants.create(model="qwen-max", name="助手", tools=typed(*tools))
    assert assistant.status_code == HTTPStatus.OK
    thread = dashscope.Threads.create()
    dashscope.Messages.create(thread.id, content="西安的天气?")
    return assistant, thread


def said(thread: Any) -> str:
    return str(dashscope.Messages.list(thread.id).data[0].content[0].text.value)


def test_a_function_is_called_and_answered_in_streams() -> None:
    assistant, thread = begun("function:get_weather")
    names, calls = [], []
    for event, data in dashscope.Runs.create(thread.id, assistant_id=assistant.id, stream=True):
        names.append(event)
        if event == "thread.run.step.delta":
            calls.append(data.delta.step_details.tool_calls[0])
        if event == "thread.run.requires_action":
            run = data
    assert names == [*BEGUN, *OPENED, *STEP_DELTA * 3, "thread.run.requires_action"]
    assert (calls[0]["type"], calls[0].function.name, calls[0].id) == ("function", "get_weather", "call_1")
    (call,) = run.required_action.submit_tool_outputs.tool_calls
    assert json.loads(call.function.arguments) == {"city": "西安"}
    names, text = [], ""
    outputs = [{"output": "rain"}]
    for event, data in dashscope.Runs.submit_tool_outputs(
        run.id, thread_id=thread.id, tool_outputs=outputs, stream=True
    ):
        names.append(event)
        if event == "thread.message.delta":
            text += data.delta.content.text.value
    assert names == [*RESUMED, *written(2), "thread.run.completed"]
    assert text == said(thread) == "It rains."
    assert data.usage["total_tokens"] == 36


def test_a_function_is_called_and_answered_by_waiting() -> None:
    assistant, thread = begun("function:get_weather")
    run = dashscope.Runs.create(thread.id, assistant_id=assistant.id)
    assert run.status == "in_progress"
    run = dashscope.Runs.wait(run.id, thread_id=thread.id)
    assert run.required_action.submit_tool_outputs.tool_calls[0].function.name == "get_weather"
    submitted = dashscope.Runs.submit_tool_outputs(run.id, thread_id=thread.id, tool_outputs=[{"output": "rain"}])
    assert (submitted.status_code, submitted.status) == (HTTPStatus.OK, "in_progress")
    run = dashscope.Runs.wait(run.id, thread_id=thread.id)
    assert (run.status, bool(run.required_action), run.usage["total_tokens"]) == ("completed", False, 36)
    assert said(thread) == "It rains."
    steps = dashscope.Steps.list(run.id, thread_id=thread.id, limit=20, order="asc").data
    assert [step.type for step in steps] == ["tool_calls", "message_creation"]
    assert steps[0].step_details.tool_calls[0].function.output == "rain"
    step = dashscope.Steps.retrieve(steps[0].id, thread_id=thread.id, run_id=run.id)
    assert (step.status_code, step.status) == (HTTPStatus.OK, "completed")
    assert "It rains." in json.dumps(
        dashscope.Messages.list(thread.id), default=lambda value: value.__dict__, ensure_ascii=False
    )


def test_a_built_in_tool_is_streamed(engine: Script) -> None:
    engine._rounds = ([CallPiece(0, "quark_search", '{"query": "天气"}')], [TextPiece("Rain.")])
    assistant, thread = begun("quark_search")
    events = list(dashscope.Runs.create(thread.id, assistant_id=assistant.id, stream=True))
    assert [event for event, _ in events] == [
        *BEGUN,
        *OPENED,
        *STEP_DELTA * 7,
        *STEP_DONE,
        *written(1),
        "thread.run.completed",
    ]
    first = next(data for event, data in events if event == "thread.run.step.delta")
    assert first.delta.step_details.tool_calls[0]["type"] == "quark_search"


def test_an_update_with_an_empty_list_clears_the_tools() -> None:
    assistant, thread = begun("quark_search")
    assert dashscope.Assistants.update(assistant.id, name="n").tools == [{"type": "quark_search"}]
    assert dashscope.Assistants.update(assistant.id, tools=[]).tools == []
    assert dashscope.Threads.update(thread.id, metadata={"主题": "天气"}).metadata == {"主题": "天气"}
    assert dashscope.Threads.delete(thread.id).deleted is True


def test_refusals_arrive_as_objects_with_code_and_message() -> None:
    _, thread = begun()
    missing = dashscope.Runs.retrieve("run_9", thread_id=thread.id)
    assert (missing.status_code, missing.code) == (HTTPStatus.NOT_FOUND, "NotFound")
    ((event, refused),) = dashscope.Runs.create(thread.id, assistant_id="asst_9", stream=True)
    assert (event, refused["code"], refused["status_code"]) == (None, "NotFound", 404)
    denied = dashscope.Assistants.list(api_key="sk-other")
    assert (denied.status_code, denied.code) == (HTTPStatus.UNAUTHORIZED, "InvalidApiKey")


def test_a_stream_arrives_in_pieces_over_tcp() -> None:
    """Chunked transfer: with a connection that closes instead, the SDK would hold events back."""
    import httpx

    assistant, thread = begun("function:get_weather")
    body = {"assistant_id": assistant.id, "stream": True}
    headers = {"Authorization": "Bearer sk-local"}
    url = f"{dashscope.base_http_api_url}/threads/{thread.id}/runs"
    with httpx.stream("POST", url, json=body, headers=headers) as response:
        assert response.headers["transfer-encoding"] == "chunked"
        assert response.headers["content-type"].startswith("text/event-stream")
        response.read()
