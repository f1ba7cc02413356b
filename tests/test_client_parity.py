"""Client and AsyncClient: the same names, the same words, the same requests, the same answers."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from dashnb.client import calls
from dashnb.client.client import AsyncClient, Client
from dashnb.client.runs import AsyncRuns, Runs
from dashnb.client.stream import AsyncRunStream, RunStream
from dashnb.errors import BadRequestError, NotFoundError
from dashnb.local.models.engine import Engine
from dashnb.local.models.replay import ReplayEngine
from dashnb.local.service import BASE_URL, LocalService
from dashnb.protocol.events import RunEvent
from dashnb.protocol.operations import JOIN, OPERATIONS, Operation

TRANSCRIPTS = Path(__file__).parent / "transcripts"
PLAIN, QUARK, FUNCTION = "run-plain.sse", "run-quark-search.jsonl", "submit-tool-outputs.sse"

# What a client offers beyond the table of operations.
RESOURCES = {"assistants", "assistants.files", "threads", "messages", "messages.files", "runs", "steps"}
CONVENIENCES = {"runs.stream", "runs.stream_thread_and_run", "runs.wait", "runs.recover", "runs.load", "runs.join"}
OF_THE_CLIENT = {"send", "open", "drive", "close", "base_url", "workspace", "clock"}

# A value for every argument that has no default.
REQUIRED: dict[str, Any] = {
    "model": "qwen-max",
    "content": "Hello",
    "metadata": {"topic": "cats"},
    "file_id": "file_1",
    "assistant_id": "assistant_1",
    "thread_id": "thread_1",
    "message_id": "message_1",
    "run_id": "run_1",
    "step_id": "step_1",
    "tool_outputs": [{"tool_call_id": "", "output": "rain"}],
}
# One answer that is an object, a page and a deletion at once.
ANYTHING = {"id": "any_1", "object": "anything", "deleted": True, "data": [], "has_more": False}


@dataclass
class Api:
    """Either client, used in the same words: what has to be awaited is awaited."""

    client: Any
    wait_for: Callable[[Any], Any]

    def __getattr__(self, resource: str) -> Any:
        return getattr(self.client, resource)

    def do(self, answer: Any) -> Any:
        return self.wait_for(answer) if inspect.isawaitable(answer) else answer

    def every(self, entries: Any) -> list[Any]:
        return list(entries) if isinstance(entries, Iterator) else self.wait_for(collected(entries))

    def events(self, stream: RunStream | AsyncRunStream) -> list[RunEvent]:
        if isinstance(stream, RunStream):
            with stream:
                return list(stream)
        return self.wait_for(entered(stream))  # type: ignore[no-any-return]


async def awaited(answer: Any) -> Any:
    return await answer


async def collected(entries: AsyncIterator[Any]) -> list[Any]:
    return [entry async for entry in entries]


async def entered(stream: AsyncRunStream) -> list[RunEvent]:
    async with stream:
        return [event async for event in stream]


def service(engine: Engine) -> LocalService:
    ids, clock = count(1), count(1_700_000_000_000)
    return LocalService(
        ":memory:", engine, plugins={}, ids=lambda prefix: f"{prefix}_{next(ids)}", clock=lambda: next(clock)
    )


def replaying(name: str) -> ReplayEngine:
    return ReplayEngine.from_file(TRANSCRIPTS / name)


@pytest.fixture(params=["Client", "AsyncClient"])
def opened(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Api]]:
    """Opens either client on an embedded API that replays a transcript."""
    with asyncio.Runner() as runner:
        made: list[Api] = []

        def wait_for(answer: Any) -> Any:
            return runner.run(awaited(answer))

        def open_api(transcript: str) -> Api:
            served = service(replaying(transcript))
            client: Client | AsyncClient
            if request.param == "Client":
                client = Client(BASE_URL, transport=served.transport(closes=True), sleep=lambda _: None)
            else:
                client = AsyncClient(BASE_URL, transport=served.async_transport(closes=True))
            made.append(Api(client, wait_for))
            return made[-1]

        yield open_api
        for api in made:
            api.do(api.client.close())


@pytest.fixture
def api(opened: Callable[[str], Api]) -> Api:
    return opened(PLAIN)


METHODS_SHOWN = ("create", "list", "iter", "stream")

# --- names, signatures, docstrings -----------------------------------------------------------------


@pytest.fixture
def pair() -> Iterator[tuple[Client, AsyncClient]]:
    with Client(transport=httpx.MockTransport(refused)) as client:
        other = AsyncClient(transport=httpx.MockTransport(refused))
        yield client, other
        asyncio.run(other.close())


def refused(request: httpx.Request) -> httpx.Response:
    raise AssertionError(f"nothing may be sent, got {request.method} {request.url}")


def named(client: object, name: str) -> Any:
    for part in name.split("."):
        client = getattr(client, part)
    return client


def public(thing: object) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_")}


def methods(client: object) -> set[str]:
    return {f"{resource}.{name}" for resource in RESOURCES for name in public(named(client, resource))} - RESOURCES


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_is_a_method_at_its_name(name: str, pair: tuple[Client, AsyncClient]) -> None:
    one, other = (named(client, name) for client in pair)
    assert callable(one)
    assert callable(other)
    assert one.__doc__, f"{name} says nothing"


@pytest.mark.parametrize("name", sorted({*OPERATIONS, *CONVENIENCES} - {"runs.submit_tool_outputs"}))
def test_both_clients_have_the_same_signatures(name: str, pair: tuple[Client, AsyncClient]) -> None:
    one, other = (inspect.signature(named(client, name)) for client in pair)
    assert one.parameters == other.parameters
    assert one.return_annotation == other.return_annotation.removeprefix("Async")


def test_help_shows_what_a_method_returns(pair: tuple[Client, AsyncClient]) -> None:
    for client, kind in zip(pair, ("", "Async"), strict=True):
        shown = {name: inspect.signature(getattr(client.runs, name)).return_annotation for name in METHODS_SHOWN}
        assert shown == {
            "create": "Run",
            "list": "Page[Run]",
            "iter": f"{kind}Iterator[Run]",
            "stream": f"{kind}RunStream",
        }


def test_tool_outputs_are_submitted_with_the_same_arguments(pair: tuple[Client, AsyncClient]) -> None:
    one, other = (inspect.signature(client.runs.submit_tool_outputs) for client in pair)
    assert one.parameters == other.parameters


@pytest.mark.parametrize("name", sorted({*OPERATIONS, *CONVENIENCES}))
def test_both_clients_have_the_same_docstrings(name: str, pair: tuple[Client, AsyncClient]) -> None:
    """What is written twice refers to the other one in place of repeating it."""
    one, other = (inspect.getdoc(named(client, name)) or "" for client in pair)
    assert one == other or other.startswith(f"As `Runs.{name.rpartition('.')[2]}`")


def test_the_clients_have_exactly_the_operations_and_the_documented_conveniences(
    pair: tuple[Client, AsyncClient],
) -> None:
    walks = {name.removesuffix("list") + "iter" for name, operation in OPERATIONS.items() if operation.is_list}
    expected = {*OPERATIONS, *walks, *CONVENIENCES}
    assert [methods(client) for client in pair] == [expected, expected]
    tops = {resource for resource in RESOURCES if "." not in resource}
    assert [public(client) for client in pair] == [tops | OF_THE_CLIENT] * 2


def test_the_two_kinds_of_streams_have_the_same_names(pair: tuple[Client, AsyncClient]) -> None:
    one, other = (client.runs.stream("thread_1", assistant_id="assistant_1") for client in pair)
    assert public(one) == public(other) == {"close", "engine", "state"}


def test_the_clients_are_made_with_the_same_arguments() -> None:
    one, other = inspect.signature(Client), inspect.signature(AsyncClient)
    kinds = {"transport", "sleep"}
    assert list(one.parameters) == list(other.parameters)
    for name in one.parameters.keys() - kinds:
        assert one.parameters[name] == other.parameters[name]


def test_the_resources_have_the_same_descriptions(pair: tuple[Client, AsyncClient]) -> None:
    for name in RESOURCES:
        one, other = (type(named(client, name)) for client in pair)
        assert one.__doc__ == other.__doc__
        assert other.__name__ == f"Async{one.__name__}"
    assert Runs.__doc__ == AsyncRuns.__doc__


# --- requests ----------------------------------------------------------------------------------------


def required(build: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(build).parameters.values()
    return {p.name: REQUIRED[p.name] for p in parameters if p.default is p.empty}


def path(operation: Operation) -> str:
    return "/api/v1" + operation.path.format(**{name: REQUIRED[name] for name in operation.ids})


def answers(client_class: type[Client] | type[AsyncClient], name: str, **more: Any) -> httpx.Request:
    """The one request that a method sends when it is given what it must be given."""
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=ANYTHING)

    async def use() -> None:
        client = client_class(transport=httpx.MockTransport(handle))
        method = named(client, name)
        answer = method(**required(method), **more)
        if isinstance(answer, Iterator):
            list(answer)
        elif inspect.isasyncgen(answer):
            await collected(answer)
        elif inspect.isawaitable(answer):
            await answer
        closing = client.close()
        if inspect.isawaitable(closing):
            await closing

    asyncio.run(use())
    (request,) = seen
    return request


@pytest.mark.parametrize("client_class", [Client, AsyncClient])
@pytest.mark.parametrize("name", OPERATIONS)
def test_every_method_sends_exactly_its_operation(name: str, client_class: type[Client] | type[AsyncClient]) -> None:
    operation = OPERATIONS[name]
    request = answers(client_class, name)
    assert (request.method, request.url.path) == (operation.method, path(operation))
    assert request.url.query == b""
    assert bool(request.content) == (operation.body is not None)


@pytest.mark.parametrize("name", [name for name, operation in OPERATIONS.items() if operation.is_list])
def test_every_walk_begins_with_its_list(name: str) -> None:
    for client_class in (Client, AsyncClient):
        request = answers(client_class, name.removesuffix("list") + "iter", limit=2)
        assert (request.method, request.url.path, request.url.query) == ("GET", path(OPERATIONS[name]), b"limit=2")


def test_every_row_of_the_table_is_called_by_exactly_one_function() -> None:
    functions = [value for value in vars(calls).values() if inspect.isfunction(value)]
    made = [build(**required(build)).operation.name for build in functions if build is not calls.streamed]
    assert sorted(made) == sorted([*OPERATIONS, JOIN.name])


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_body_is_one_that_the_embedded_api_reads(name: str) -> None:
    operation = OPERATIONS[name]
    if operation.body is not None:
        operation.body.model_validate_json(answers(Client, name).content)


# --- answers: one set of assertions for both clients -------------------------------------------------


def test_assistants_can_be_made_read_changed_listed_and_deleted(api: Api) -> None:
    tools = [{"type": "calculator"}]
    made = api.do(
        api.assistants.create(
            model="qwen-max", name="Ada", instructions="Be kind.", tools=tools, metadata={"a": "1"}, temperature=0.5
        )
    )
    assert (made.object, made.model, made.name, made.tools[0].type) == ("assistant", "qwen-max", "Ada", "calculator")
    changed = api.do(api.assistants.update(made.id, name="Eva", tools=[]))
    assert (changed.name, changed.tools, changed.metadata, changed.temperature) == ("Eva", [], {"a": "1"}, 0.5)
    read = api.do(api.assistants.retrieve(made.id))
    assert read.to_dict() == {**changed.to_dict(), "request_id": read.request_id}
    other = api.do(api.assistants.create(model="qwen-plus"))
    assert [entry.id for entry in api.do(api.assistants.list())] == [other.id, made.id]
    assert [entry.id for entry in api.do(api.assistants.list(order="asc", limit=1))] == [made.id]
    deleted = api.do(api.assistants.delete(made.id))
    assert (deleted.id, deleted.object, deleted.deleted) == (made.id, "assistant.deleted", True)
    with pytest.raises(NotFoundError, match=made.id):
        api.do(api.assistants.retrieve(made.id))


def test_files_of_assistants_can_be_attached_read_listed_and_detached(api: Api) -> None:
    assistant = api.do(api.assistants.create(model="qwen-max", file_ids=["file_a"]))
    attached = api.do(api.assistants.files.create(assistant.id, file_id="file_b"))
    assert (attached.id, attached.object, attached.assistant_id) == ("file_b", "assistant.file", assistant.id)
    assert api.do(api.assistants.files.retrieve("file_b", assistant_id=assistant.id)).id == "file_b"
    assert [file.id for file in api.do(api.assistants.files.list(assistant.id))] == ["file_b", "file_a"]
    assert [file.id for file in api.every(api.assistants.files.iter(assistant.id, order="asc"))] == ["file_a", "file_b"]
    assert api.do(api.assistants.files.delete("file_a", assistant_id=assistant.id)).deleted is True
    assert api.do(api.assistants.retrieve(assistant.id)).file_ids == ["file_b"]


def test_threads_can_be_made_read_changed_and_deleted(api: Api) -> None:
    thread = api.do(api.threads.create(messages=[{"role": "user", "content": "Hi"}], metadata={"topic": "cats"}))
    assert (thread.object, thread.metadata) == ("thread", {"topic": "cats"})
    assert [message.text for message in api.do(api.messages.list(thread.id))] == ["Hi"]
    assert api.do(api.threads.update(thread.id, metadata={"topic": "dogs"})).metadata == {"topic": "dogs"}
    assert api.do(api.threads.retrieve(thread.id)).metadata == {"topic": "dogs"}
    assert api.do(api.threads.delete(thread.id)).object == "thread.deleted"
    with pytest.raises(NotFoundError):
        api.do(api.messages.list(thread.id))


def test_messages_can_be_made_read_changed_and_listed(api: Api) -> None:
    thread = api.do(api.threads.create())
    first = api.do(api.messages.create(thread.id, content="One", metadata={"n": "1"}, file_ids=["file_a"]))
    assert (first.object, first.role, first.text, first.thread_id) == ("thread.message", "user", "One", thread.id)
    second = api.do(api.messages.create(thread.id, content="二"))
    assert [message.text for message in api.do(api.messages.list(thread.id))] == ["二", "One"]
    assert [message.id for message in api.every(api.messages.iter(thread.id, limit=1))] == [second.id, first.id]
    assert api.do(api.messages.update(first.id, thread_id=thread.id, metadata={"n": "2"})).metadata == {"n": "2"}
    assert api.do(api.messages.retrieve(first.id, thread_id=thread.id)).metadata == {"n": "2"}
    assert [file.id for file in api.do(api.messages.files.list(first.id, thread_id=thread.id))] == ["file_a"]
    assert [file.id for file in api.every(api.messages.files.iter(first.id, thread_id=thread.id))] == ["file_a"]
    file = api.do(api.messages.files.retrieve("file_a", thread_id=thread.id, message_id=first.id))
    assert (file.id, file.object, file.message_id) == ("file_a", "thread.message.file", first.id)


def test_runs_can_be_made_awaited_read_changed_and_listed_with_their_steps(api: Api) -> None:
    assistant = api.do(api.assistants.create(model="qwen-max"))
    thread = api.do(api.threads.create(messages=[{"role": "user", "content": "999 × 998?"}]))
    started = api.do(api.runs.create(thread.id, assistant_id=assistant.id, metadata={"a": "1"}))
    assert (started.object, started.status, started.metadata) == ("thread.run", "in_progress", {"a": "1"})
    run = api.do(api.runs.wait(started.id, thread_id=thread.id))
    assert (run.id, run.status, run.usage.total_tokens) == (started.id, "completed", 435)
    assert api.do(api.runs.update(run.id, thread_id=thread.id, metadata={"b": "2"})).metadata == {"b": "2"}
    assert api.do(api.runs.retrieve(run.id, thread_id=thread.id)).metadata == {"b": "2"}
    assert [entry.id for entry in api.do(api.runs.list(thread.id))] == [run.id]
    assert [entry.id for entry in api.every(api.runs.iter(thread.id))] == [run.id]
    (step,) = api.do(api.steps.list(run.id, thread_id=thread.id))
    assert api.every(api.steps.iter(run.id, thread_id=thread.id)) == [step]
    again = api.do(api.steps.retrieve(step.id, thread_id=thread.id, run_id=run.id))
    assert (again.type, again.status, again.step_details) == ("message_creation", "completed", step.step_details)
    assert api.do(api.messages.list(thread.id))[0].text == "999 に 998 を掛けると 997002 になります。"


def test_a_thread_and_a_run_can_be_made_in_one_request(api: Api) -> None:
    assistant = api.do(api.assistants.create(model="qwen-max"))
    body = {"messages": [{"role": "user", "content": "Hi"}], "metadata": {"topic": "cats"}}
    run = api.do(api.runs.create_thread_and_run(assistant_id=assistant.id, thread=body))
    assert api.do(api.runs.wait(run.id, thread_id=run.thread_id)).status == "completed"
    assert api.do(api.threads.retrieve(run.thread_id)).metadata == {"topic": "cats"}
    assert [message.role for message in api.do(api.messages.list(run.thread_id))] == ["assistant", "user"]


def test_runs_can_be_streamed(opened: Callable[[str], Api]) -> None:
    api = opened(QUARK)
    assistant = api.do(api.assistants.create(model="qwen-max", tools=[{"type": "quark_search"}]))
    thread = api.do(api.threads.create(messages=[{"role": "user", "content": "北京の天気は？"}]))
    stream = api.runs.stream(thread.id, assistant_id=assistant.id)
    names = [event.name for event in api.events(stream)]
    assert (names[0], names[-2:]) == ("thread.run.created", ["thread.run.completed", "done"])
    assert (stream.engine, stream.state.status, len(stream.state.text)) == ("replay", "completed", 224)
    assert [step.type for step in stream.state.steps] == ["tool_calls", "message_creation"]
    loaded = api.do(api.runs.load(stream.state.id, thread_id=thread.id))
    assert (loaded.text, loaded.status, loaded.usage) == (
        stream.state.text,
        stream.state.status,
        stream.state.usage,
    )
    stream = api.runs.stream_thread_and_run(assistant_id=assistant.id, thread={"messages": []})
    assert api.events(stream)[0].name == "thread.created"
    assert stream.state.status == "completed"


def test_a_function_can_be_called_over_two_streams(opened: Callable[[str], Api]) -> None:
    api = opened(FUNCTION)
    assistant = api.do(api.assistants.create(model="qwen-max"))
    thread = api.do(api.threads.create(messages=[{"role": "user", "content": "西安の天気は？"}]))
    first = api.runs.stream(thread.id, assistant_id=assistant.id)
    assert [event.name for event in api.events(first)][-2:] == ["thread.run.requires_action", "done"]
    (call,) = first.state.pending_calls
    assert (call.name, json.loads(call.arguments)) == ("get_current_weather", {"location": "Xi'an"})
    outputs = [{"tool_call_id": call.id, "output": "rain"}]
    second = api.runs.submit_tool_outputs(
        first.state.id, thread_id=thread.id, tool_outputs=outputs, stream=True, state=first.state
    )
    assert api.events(second)[0].name == "thread.run.step.completed"
    assert second.state is first.state
    assert (second.state.status, second.state.text) == ("completed", "西安の現在の天気は雨です。")
    assert second.state.tool_calls[0].output == "rain"


def test_a_function_can_be_called_without_streams(opened: Callable[[str], Api]) -> None:
    api = opened(FUNCTION)
    assistant = api.do(api.assistants.create(model="qwen-max"))
    run = api.do(api.runs.create_thread_and_run(assistant_id=assistant.id))
    waiting = api.do(api.runs.wait(run.id, thread_id=run.thread_id))
    assert (waiting.status, len(waiting.pending_calls)) == ("requires_action", 1)
    outputs = [{"tool_call_id": call.id, "output": "rain"} for call in waiting.pending_calls]
    going = api.do(api.runs.submit_tool_outputs(run.id, thread_id=run.thread_id, tool_outputs=outputs))
    assert (going.status, going.required_action is not None, going.pending_calls) == ("in_progress", True, [])
    assert api.do(api.runs.wait(run.id, thread_id=run.thread_id)).status == "completed"


def test_a_waiting_run_can_be_cancelled_once(opened: Callable[[str], Api]) -> None:
    api = opened(FUNCTION)
    assistant = api.do(api.assistants.create(model="qwen-max"))
    run = api.do(api.runs.create_thread_and_run(assistant_id=assistant.id))
    api.do(api.runs.wait(run.id, thread_id=run.thread_id))
    assert api.do(api.runs.cancel(run.id, thread_id=run.thread_id)).status == "cancelled"
    with pytest.raises(BadRequestError, match="cancelled"):
        api.do(api.runs.cancel(run.id, thread_id=run.thread_id))


def test_a_broken_stream_can_be_recovered(opened: Callable[[str], Api]) -> None:
    api = opened(PLAIN)
    assistant = api.do(api.assistants.create(model="qwen-max"))
    started = api.do(api.runs.create_thread_and_run(assistant_id=assistant.id))
    whole = api.do(api.runs.load(started.id, thread_id=started.thread_id))
    state = api.do(api.runs.recover(whole))
    assert state is whole
    assert (state.status, state.text) == ("completed", "999 に 998 を掛けると 997002 になります。")
