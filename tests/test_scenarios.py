"""The documented scenarios, played by the guide on the embedded API: the same events in the same order.

The order of a recorded run is taken from its recording; deltas that follow one another count as one, as
no two models cut their words alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from dashnb import DashnbError
from dashnb.client.client import Client
from dashnb.local.models.guide import GuideEngine
from dashnb.local.service import BASE_URL, LocalService
from dashnb.protocol.events import RunEvent
from dashnb.protocol.recording import parse_recording
from dashnb.session.session import Session

TRANSCRIPTS = Path(__file__).parent / "transcripts"
WEATHER_FUNCTION = {
    "type": "function",
    "function": {
        "name": "get_current_weather",
        "description": "Get the current weather of a place",
        "parameters": {
            "type": "object",
            "properties": {
                "location": {"type": "string", "description": "City and state, such as San Francisco, California"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            },
            "required": ["location"],
        },
    },
}
BIG_ADD = {
    "type": "function",
    "function": {
        "name": "big_add",
        "description": "Add two numbers",
        "parameters": {
            "type": "object",
            "properties": {"left": {"type": "integer"}, "right": {"type": "integer"}},
            "required": ["left", "right"],
        },
    },
}


@pytest.fixture
def client() -> Iterator[Client]:
    service = LocalService(":memory:", GuideEngine())
    with Client(BASE_URL, transport=service.transport(closes=True)) as client:
        yield client


def order(events: list[RunEvent]) -> list[str]:
    """The names of the events, deltas that follow one another as one."""
    return [name for name, _ in groupby(event.name for event in events)]


def recorded(name: str) -> list[str]:
    """The order of a recording, without what is no part of the scenario."""
    names = order(parse_recording((TRANSCRIPTS / name).read_bytes()))
    # A stray event of create-thread-and-run, and the end that one printed recording leaves out.
    return [name for name in names if name not in ("thread.created", "done")]


def stream(client: Client, question: str, *tools: dict[str, Any]) -> tuple[list[RunEvent], Any]:
    """The events and the state of a run that answers a question with these tools."""
    assistant = client.assistants.create(model="qwen-max", name="smart helper", tools=tools)
    thread = client.threads.create(messages=[{"role": "user", "content": question}])
    with client.runs.stream(thread.id, assistant_id=assistant.id) as stream:
        events = list(stream)
    return events, stream.state


def test_a_sum_is_answered_in_the_recorded_order_without_the_tools_at_hand(client: Client) -> None:
    events, state = stream(client, "What is 999 × 998?", {"type": "text_to_image"}, WEATHER_FUNCTION)
    assert order(events)[:-1] == recorded("run-plain.sse")
    assert state.text.startswith("999 multiplied by 998 equals 997002.")
    assert state.tool_calls == ()
    assert state.usage.total_tokens == state.usage.input_tokens + state.usage.output_tokens > 0


@pytest.mark.parametrize(
    ("question", "city"),
    [
        ("What is the weather in Beijing today?", "Beijing"),
        ("今天北京天气怎么样?", "北京"),
        ("今日の北京の天気は?", "北京"),
    ],
)
def test_a_search_is_streamed_in_the_recorded_order(client: Client, question: str, city: str) -> None:
    events, state = stream(client, question, {"type": "quark_search"})
    assert order(events)[:-1] == recorded("run-quark-search.jsonl")
    (call,) = state.tool_calls
    assert (call.name, city in call.arguments) == ("quark_search", True)
    assert "24" in state.text


def test_a_search_spells_its_deltas_as_recorded(client: Client) -> None:
    """The first piece and the last two are empty, the output comes under ``plugin_name``, then two empty ones."""
    events, _ = stream(client, "What is the weather in Beijing today?", {"type": "quark_search"})
    deltas = [event.data.delta.step_details for event in events if event.name == "thread.run.step.delta"]
    calls = [details.tool_calls[0].to_dict() for details in deltas]
    arguments = [call["quark_search"]["arguments"] for call in calls[:-3]]
    assert (arguments[0], arguments[-2:]) == ("", ["", ""])
    assert set(calls[-3]) == {"type", "plugin_name"}
    assert calls[-2:] == [{"quark_search": {"output": ""}}] * 2


def test_a_function_is_called_and_its_output_answered_in_the_recorded_order(client: Client) -> None:
    question = "What is the weather in Xi'an?"
    events, state = stream(client, question, {"type": "text_to_image"}, WEATHER_FUNCTION)
    assert order(events) == [
        "thread.run.created",
        "thread.run.queued",
        "thread.run.in_progress",
        "thread.run.step.created",
        "thread.run.step.in_progress",
        "thread.run.step.delta",
        "thread.run.requires_action",
        "done",
    ]
    (call,) = state.pending_calls
    assert (call.name, call.arguments) == ("get_current_weather", '{"location": "Xi\'an"}')
    ids = {"run_id": state.id, "thread_id": state.thread_id}
    with client.runs.submit_tool_outputs(
        **ids, tool_outputs=[{"tool_call_id": "", "output": "rain"}], stream=True, state=state
    ) as second:
        assert order(list(second))[:-1] == recorded("submit-tool-outputs.sse")
    assert state.text.startswith("The current weather in Xi'an is rain.")


def test_tool_outputs_without_a_stream_are_answered_at_once_with_the_old_action(client: Client) -> None:
    _, state = stream(client, "What is the weather in Xi'an?", WEATHER_FUNCTION)
    outputs = [{"tool_call_id": "", "output": "rain"}]
    run = client.runs.submit_tool_outputs(state.id, thread_id=state.thread_id, tool_outputs=outputs)
    assert (run.status, run.required_action is not None, run.pending_calls) == ("in_progress", True, [])
    assert client.runs.wait(state.id, thread_id=state.thread_id).status == "completed"
    assert client.messages.list(state.thread_id)[0].text.startswith("The current weather in Xi'an is rain.")


def test_a_function_call_from_end_to_end_without_streaming(client: Client) -> None:
    assistant = client.assistants.create(model="qwen-max", name="smart helper", tools=[BIG_ADD])
    thread = client.threads.create()
    client.messages.create(thread.id, content="Add 87787 to 788988737.")
    run = client.runs.create(thread.id, assistant_id=assistant.id)
    assert client.runs.retrieve(run.id, thread_id=thread.id).id == run.id
    run = client.runs.wait(run.id, thread_id=thread.id)
    (call,) = run.pending_calls
    assert call.function is not None
    assert call.function.arguments == '{"left": 87787, "right": 788988737}'
    client.runs.submit_tool_outputs(run.id, thread_id=thread.id, tool_outputs=[{"output": "789076524"}])
    assert client.runs.wait(run.id, thread_id=thread.id).status == "completed"
    steps = client.steps.list(run.id, thread_id=thread.id)
    assert [(step.type, step.status) for step in steps] == [
        ("message_creation", "completed"),
        ("tool_calls", "completed"),
    ]
    assert "789076524" in client.messages.list(thread.id)[0].text


def test_a_picture_is_painted_without_streaming(client: Client) -> None:
    painter = client.assistants.create(
        model="qwen-max",
        name="Art Maestro",
        description="AI assistant for painting and art knowledge",
        tools=[{"type": "text_to_image", "description": "For creating visual examples"}],
    )
    thread = client.threads.create()
    client.messages.create(thread.id, content="Draw a picture of a ragdoll cat.")
    run = client.runs.create(thread.id, assistant_id=painter.id)
    assert run.status == "in_progress"
    run = client.runs.wait(run.id, thread_id=thread.id)
    steps = client.steps.list(run.id, thread_id=thread.id, order="asc")
    assert (run.status, [step.type for step in steps]) == ("completed", ["tool_calls", "message_creation"])
    answer = client.messages.list(thread.id)[0]
    assert answer.role == "assistant"
    assert "![" in answer.text
    assert "data:image/png;base64," in answer.text


def test_a_picture_is_painted_streaming(client: Client) -> None:
    events, state = stream(client, "Draw a picture of a ragdoll cat.", {"type": "text_to_image"})
    assert order(events)[:-1] == recorded("run-quark-search.jsonl")
    assert state.tool_calls[0].name == "text_to_image"
    assert "ragdoll cat" in state.tool_calls[0].arguments


def test_what_goes_wrong_carries_status_code_and_message(client: Client) -> None:
    with pytest.raises(DashnbError) as caught:
        client.assistants.retrieve("asst_nobody")
    error: Any = caught.value
    assert (error.status_code, error.code, bool(error.message), bool(error.request_id)) == (404, "NotFound", True, True)


def test_a_session_plays_the_function_scenario_by_itself(client: Client) -> None:
    def big_add(left: int, right: int) -> int:
        """Add two numbers."""
        return left + right

    with Session(client=client, tools=[big_add], ledger=None) as session:
        assert "789076524" in session.ask("Add 87787 to 788988737.").text
