"""Work that takes several requests: waiting for a run, recovering a broken stream, walking through lists."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path
from typing import Any

import httpx
import pytest

from dashnb.client.client import AsyncClient, Client
from dashnb.client.procedures import poll_delays
from dashnb.errors import DashnbError, InvalidArgument, NotFoundError, StreamError, WaitTimeout
from dashnb.local.models.engine import CallPiece, Engine, OutputPiece, Piece, Spent, TextPiece, Turn
from dashnb.local.models.replay import ReplayEngine
from dashnb.local.service import BASE_URL, LocalService
from dashnb.protocol.events import event_of
from dashnb.protocol.lifecycle import FINAL_RUN_STATUSES
from dashnb.protocol.requests import PAGE_LIMIT
from dashnb.protocol.state import RunState

TRANSCRIPTS = Path(__file__).parent / "transcripts"
URL = "https://service.test/api/v1"


class Time:
    """A clock in milliseconds that only sleeping moves on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sleeps: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert len(self.sleeps) < 1000, "it waits for ever"
        self.sleeps.append(seconds)
        self.now += seconds * 1000

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)


class Polled:
    """What a use of a client came to when the run went through these statuses; the last one stays."""

    def __init__(
        self, client_class: type[Client] | type[AsyncClient], use: Callable[[Any], Any], *statuses: str
    ) -> None:
        self.time = Time()
        self.requests: list[httpx.Request] = []
        self.answer: Any = None
        self.error: DashnbError | None = None
        self._statuses = statuses
        asyncio.run(self._play(client_class, use))

    async def _play(self, client_class: type[Client] | type[AsyncClient], use: Callable[[Any], Any]) -> None:
        sleep: Any = self.time.sleep if client_class is Client else self.time.asleep
        client = client_class(URL, transport=httpx.MockTransport(self._handle), clock=self.time.clock, sleep=sleep)
        try:
            answer = use(client)
            self.answer = await answer if inspect.isawaitable(answer) else answer
        except DashnbError as error:
            self.error = error
        finally:
            closing = client.close()
            if inspect.isawaitable(closing):
                await closing

    def _handle(self, request: httpx.Request) -> httpx.Response:
        status = self._statuses[min(len(self.requests), len(self._statuses) - 1)]
        self.requests.append(request)
        return httpx.Response(200, json={"id": "run_1", "thread_id": "thread_1", "status": status})


Poll = Callable[..., Polled]


@pytest.fixture(params=[Client, AsyncClient], ids=["Client", "AsyncClient"])
def poll(request: pytest.FixtureRequest) -> Poll:
    def poll(use: Callable[[Any], Any], *statuses: str) -> Polled:
        return Polled(request.param, use, *statuses)

    return poll


def wait(client: Any, **arguments: Any) -> Any:
    return client.runs.wait("run_1", thread_id="thread_1", **arguments)


# --- waiting -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", sorted({*FINAL_RUN_STATUSES, "requires_action"}))
def test_waiting_ends_when_the_run_has_stopped(status: str, poll: Poll) -> None:
    polled = poll(wait, "queued", "in_progress", status, "completed")
    assert (polled.answer.status, len(polled.requests)) == (status, 3)
    assert {request.method + request.url.path for request in polled.requests} == {
        "GET/api/v1/threads/thread_1/runs/run_1"
    }


def test_the_documented_final_statuses_end_it() -> None:
    assert {"completed", "failed", "cancelled", "expired", "incomplete"} == FINAL_RUN_STATUSES


@pytest.mark.parametrize("status", ["queued", "in_progress", "cancelling", "", "new_status"])
def test_any_other_status_is_waited_through(status: str, poll: Poll) -> None:
    assert len(poll(wait, status, "completed").requests) == 2


def test_a_run_that_has_stopped_is_looked_at_once(poll: Poll) -> None:
    polled = poll(wait, "completed")
    assert (len(polled.requests), polled.time.sleeps) == (1, [])


def test_it_looks_soon_at_first_and_every_two_seconds_in_the_end(poll: Poll) -> None:
    polled = poll(wait, *["in_progress"] * 15, "completed")
    assert polled.time.sleeps == list(islice(poll_delays(), 15))
    assert polled.time.sleeps[:3] == pytest.approx([0.05, 0.075, 0.1125])
    assert polled.time.sleeps[-3:] == [2.0, 2.0, 2.0]
    pairs = zip(polled.time.sleeps, polled.time.sleeps[1:], strict=False)
    assert all(later == pytest.approx(min(2.0, 1.5 * sooner)) for sooner, later in pairs)


@pytest.mark.parametrize("timeout", [0.04, 0.5, 3, 60])
def test_waiting_uses_the_time_it_was_given_and_no_more(timeout: float, poll: Poll) -> None:
    polled = poll(lambda client: wait(client, timeout=timeout), "in_progress")
    assert type(polled.error) is WaitTimeout
    assert sum(polled.time.sleeps) == pytest.approx(timeout)
    assert polled.time.now == pytest.approx(1000 * timeout)


def test_the_run_is_looked_at_once_more_when_the_time_is_up(poll: Poll) -> None:
    polled = poll(lambda client: wait(client, timeout=0.06), "in_progress", "in_progress", "completed")
    assert polled.error is None
    assert polled.time.sleeps == pytest.approx([0.05, 0.01])


def test_a_wait_of_no_time_is_one_look(poll: Poll) -> None:
    polled = poll(lambda client: wait(client, timeout=0), "in_progress")
    assert type(polled.error) is WaitTimeout
    assert (len(polled.requests), polled.time.sleeps) == (1, [])
    assert poll(lambda client: wait(client, timeout=0), "completed").answer.status == "completed"


def test_the_time_out_says_how_the_run_is_and_how_to_wait_on(poll: Poll) -> None:
    error = poll(lambda client: wait(client, timeout=3), "in_progress").error
    assert str(error).splitlines() == [
        "The run run_1 is still in_progress after 3 s; it goes on.",
        "Wait again: client.runs.wait('run_1', thread_id='thread_1').",
    ]


def test_a_wait_without_a_time_out_does_not_end(poll: Poll) -> None:
    assert poll(wait, *["in_progress"] * 500, "completed").answer.status == "completed"


# --- recovering --------------------------------------------------------------------------------------

CALLS = PAGE_LIMIT + 20


class Busy:
    """An engine that uses its tool more often than fits a page, then speaks."""

    name = "busy"

    async def answer(self, turn: Turn) -> AsyncIterator[Piece]:
        if not turn.rounds:
            for number in range(CALLS):
                yield CallPiece(number, "calculator", f'{{"formula": "{number}"}}')
                yield OutputPiece(number, str(number))
        else:
            yield TextPiece("Do")
            yield TextPiece("ne.")
            yield Spent(3, 2)


@contextmanager
def embedded(engine: Engine) -> Iterator[Client]:
    ids, clock, time = count(1), count(1_700_000_000_000), count()
    service = LocalService(
        ":memory:", engine, plugins={}, ids=lambda prefix: f"{prefix}_{next(ids)}", clock=lambda: next(clock)
    )
    with Client(BASE_URL, transport=service.transport(closes=True), clock=lambda: float(next(time))) as client:
        yield client


def replaying(name: str) -> ReplayEngine:
    return ReplayEngine.from_file(TRANSCRIPTS / name)


def start(client: Client, question: str = "Hi") -> tuple[str, str]:
    """The ids of a thread and an assistant."""
    assistant = client.assistants.create(model="qwen-max", tools=[{"type": "calculator"}])
    thread = client.threads.create(messages=[{"role": "user", "content": question}])
    return thread.id, assistant.id


def broken(client: Client, thread_id: str, assistant_id: str, *, after: str) -> RunState:
    """The state of a run whose stream was left after the first event of a name."""
    with client.runs.stream(thread_id, assistant_id=assistant_id) as stream:
        for event in stream:
            if event.name == after:
                break
    return stream.state


def story(state: RunState) -> dict[str, Any]:
    steps = [(step.type, step.status, [(c.name, c.arguments, c.output) for c in step.calls]) for step in state.steps]
    texts = [message.text for message in state.messages]
    return {"status": state.status, "text": state.text, "usage": state.usage, "steps": steps, "texts": texts}


@pytest.mark.parametrize(
    "after", ["thread.run.created", "thread.run.step.created", "thread.message.created", "thread.message.delta"]
)
def test_a_stream_that_broke_anywhere_can_be_recovered(after: str) -> None:
    with embedded(replaying("run-plain.sse")) as client:
        thread_id, assistant_id = start(client)
        with client.runs.stream(thread_id, assistant_id=assistant_id) as stream:
            list(stream)
        state = broken(client, thread_id, assistant_id, after=after)
        assert not state.is_final
        assert client.runs.recover(state) is state
    assert story(state) == story(stream.state)
    assert state.ended_at is not None


def test_steps_and_tools_are_recovered_too() -> None:
    with embedded(replaying("run-quark-search.jsonl")) as client:
        assistant = client.assistants.create(model="qwen-max", tools=[{"type": "quark_search"}])
        thread = client.threads.create(messages=[{"role": "user", "content": "Hi"}])
        with client.runs.stream(thread.id, assistant_id=assistant.id) as stream:
            list(stream)
        state = client.runs.recover(broken(client, thread.id, assistant.id, after="thread.run.step.delta"))
    assert story(state) == story(stream.state)
    assert state.tool_calls[0].name == "quark_search"


def test_a_run_of_more_steps_than_fit_a_page_is_recovered_whole() -> None:
    with embedded(Busy()) as client:
        thread_id, assistant_id = start(client)
        state = client.runs.recover(broken(client, thread_id, assistant_id, after="thread.run.step.completed"))
        assert len(list(client.steps.iter(state.id, thread_id=thread_id))) == CALLS + 1
    assert [call.output for call in state.tool_calls] == [str(number) for number in range(CALLS)]
    assert [step.type for step in state.steps] == ["tool_calls"] * CALLS + ["message_creation"]
    assert (state.status, state.text) == ("completed", "Done.")


def test_an_answer_that_newer_messages_hide_is_found() -> None:
    with embedded(replaying("run-plain.sse")) as client:
        thread_id, assistant_id = start(client)
        run = client.runs.create(thread_id, assistant_id=assistant_id)
        client.runs.wait(run.id, thread_id=thread_id)
        for number in range(PAGE_LIMIT + 5):
            client.messages.create(thread_id, content=str(number))
        state = client.runs.load(run.id, thread_id=thread_id)
    assert (state.text, len(state.messages)) == ("999 に 998 を掛けると 997002 になります。", 1)


def test_the_messages_of_other_runs_are_left_out() -> None:
    with embedded(replaying("run-plain.sse")) as client:
        thread_id, assistant_id = start(client)
        for _ in range(3):
            run = client.runs.create(thread_id, assistant_id=assistant_id)
            client.runs.wait(run.id, thread_id=thread_id)
        state = client.runs.load(run.id, thread_id=thread_id)
    assert (len(state.messages), len(state.steps)) == (1, 1)


def test_a_run_that_asks_for_action_is_recovered_so_that_it_can_go_on() -> None:
    with embedded(replaying("submit-tool-outputs.sse")) as client:
        thread_id, assistant_id = start(client)
        state = client.runs.recover(broken(client, thread_id, assistant_id, after="thread.run.created"))
        assert (state.status, [call.name for call in state.pending_calls]) == (
            "requires_action",
            ["get_current_weather"],
        )
        outputs = [{"tool_call_id": call.id, "output": "rain"} for call in state.pending_calls]
        with client.runs.submit_tool_outputs(
            state.id, thread_id=thread_id, tool_outputs=outputs, stream=True, state=state
        ) as stream:
            list(stream)
    assert (state.status, state.text, state.tool_calls[0].output) == (
        "completed",
        "西安の現在の天気は雨です。",
        "rain",
    )


def test_the_state_in_an_error_can_be_recovered() -> None:
    """The connection breaks after a few pieces; the run goes on at the server, which cannot join it."""

    class Breaking(httpx.BaseTransport):
        def __init__(self, inner: httpx.BaseTransport) -> None:
            self._inner = inner

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/stream"):
                return httpx.Response(404, json={"code": "NotFound", "message": "Not found!"})
            answer = self._inner.handle_request(request)
            if "event-stream" not in answer.headers["content-type"]:
                return answer
            return httpx.Response(200, headers=answer.headers, stream=Cut(answer))

        def close(self) -> None:
            self._inner.close()

    class Cut(httpx.SyncByteStream):
        def __init__(self, answer: httpx.Response) -> None:
            self._answer = answer

        def __iter__(self) -> Iterator[bytes]:
            yield from islice(self._answer.iter_raw(), 4)
            raise httpx.ReadError("reset")

        def close(self) -> None:
            self._answer.close()

    service = LocalService(":memory:", replaying("run-plain.sse"), plugins={})
    with Client(BASE_URL, transport=Breaking(service.transport(closes=True))) as client:
        thread_id, assistant_id = start(client)
        with pytest.raises(StreamError, match="reset") as caught:
            list(client.runs.stream(thread_id, assistant_id=assistant_id))
        assert caught.value.state is not None
        assert len(caught.value.state.text) < 29
        state = client.runs.recover(caught.value.state)
    assert (state.status, len(state.text)) == ("completed", 29)


def test_recovering_waits_for_the_run_no_longer_than_told(poll: Poll) -> None:
    def use(client: Any) -> Any:
        return client.runs.recover(half_a_state(), timeout=0.5)

    polled = poll(use, "in_progress")
    assert type(polled.error) is WaitTimeout
    assert sum(polled.time.sleeps) == pytest.approx(0.5)


def half_a_state() -> RunState:
    state = RunState()
    state.apply(event_of("thread.run.created", {"id": "run_1", "thread_id": "thread_1", "status": "queued"}))
    return state


def test_a_stream_that_broke_before_it_named_its_run_cannot_be_recovered(poll: Poll) -> None:
    polled = poll(lambda client: client.runs.recover(RunState()), "completed")
    assert type(polled.error) is InvalidArgument
    assert "client.runs.list" in str(polled.error)
    assert polled.requests == []


# --- loading -----------------------------------------------------------------------------------------


def test_a_run_can_be_loaded_from_its_objects() -> None:
    with embedded(replaying("run-quark-search.jsonl")) as client:
        assistant = client.assistants.create(model="qwen-max", tools=[{"type": "quark_search"}])
        thread = client.threads.create(messages=[{"role": "user", "content": "Hi"}])
        with client.runs.stream(thread.id, assistant_id=assistant.id) as stream:
            list(stream)
        state = client.runs.load(stream.state.id, thread_id=thread.id)
    assert story(state) == story(stream.state)
    assert (state.id, state.thread_id, state.model) == (stream.state.id, thread.id, "qwen-max")


def test_a_run_can_be_loaded_while_it_waits() -> None:
    with embedded(replaying("submit-tool-outputs.sse")) as client:
        thread_id, assistant_id = start(client)
        run = client.runs.create(thread_id, assistant_id=assistant_id)
        client.runs.wait(run.id, thread_id=thread_id)
        state = client.runs.load(run.id, thread_id=thread_id)
    assert (state.status, len(state.pending_calls), state.text, state.is_final) == ("requires_action", 1, "", False)


def test_loading_does_not_wait(poll: Poll) -> None:
    """The one answer is read as run, as page of steps and as page of messages."""
    polled = poll(lambda client: client.runs.load("run_1", thread_id="thread_1"), "in_progress")
    assert (polled.answer.status, polled.answer.is_final, polled.time.sleeps) == ("in_progress", False, [])


def test_a_run_that_does_not_exist_cannot_be_loaded() -> None:
    with embedded(replaying("run-plain.sse")) as client:
        thread = client.threads.create()
        with pytest.raises(NotFoundError):
            client.runs.load("run_none", thread_id=thread.id)


# --- walking through lists ---------------------------------------------------------------------------


@pytest.mark.parametrize("order", [None, "desc", "asc"])
@pytest.mark.parametrize("limit", [1, 2, 5, 6, None])
def test_all_entries_come_in_order_whatever_the_length_of_a_page(order: str | None, limit: int | None) -> None:
    with embedded(replaying("run-plain.sse")) as client:
        made = [client.assistants.create(model="qwen-max", name=str(number)).id for number in range(5)]
        walked = [entry.id for entry in client.assistants.iter(limit=limit, order=order)]
    assert walked == (made if order == "asc" else made[::-1])


def test_all_entries_can_be_awaited() -> None:
    async def use(order: str) -> list[str]:
        service = LocalService(":memory:", replaying("run-plain.sse"), plugins={})
        async with AsyncClient(BASE_URL, transport=service.async_transport(closes=True)) as client:
            thread = await client.threads.create()
            for number in range(5):
                await client.messages.create(thread.id, content=str(number))
            return [message.text async for message in client.messages.iter(thread.id, limit=2, order=order)]

    assert asyncio.run(use("asc")) == ["0", "1", "2", "3", "4"]
    assert asyncio.run(use("desc")) == ["4", "3", "2", "1", "0"]


def test_pages_are_asked_for_when_they_are_needed() -> None:
    seen: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.query.decode())
        number = len(seen)
        return httpx.Response(200, json={"data": [{"id": f"asst_{number}"}], "has_more": True})

    with Client(URL, transport=httpx.MockTransport(handle)) as client:
        walk = client.assistants.iter(limit=1, order="asc")
        assert seen == []
        assert [entry.id for entry in islice(walk, 3)] == ["asst_1", "asst_2", "asst_3"]
    assert seen == ["limit=1&order=asc", "limit=1&order=asc&after=asst_1", "limit=1&order=asc&after=asst_2"]


def test_a_walk_can_begin_behind_an_entry() -> None:
    with embedded(replaying("run-plain.sse")) as client:
        made = [client.assistants.create(model="qwen-max").id for _ in range(5)]
        walked = [entry.id for entry in client.assistants.iter(limit=2, order="asc", after=made[1])]
    assert walked == made[2:]


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_a_walk_before_an_entry_goes_back_page_by_page(order: str) -> None:
    """``before`` and ``after`` exclude each other, so the next page is the one before the first entry."""
    with embedded(replaying("run-plain.sse")) as client:
        made = [client.assistants.create(model="qwen-max").id for _ in range(6)]
        made = made if order == "asc" else made[::-1]
        walked = [entry.id for entry in client.assistants.iter(limit=2, order=order, before=made[5])]
    assert walked == [made[3], made[4], made[1], made[2], made[0]]


def test_a_page_without_entries_ends_a_walk() -> None:
    answer = {"data": [], "has_more": True, "last_id": "asst_9"}
    with Client(URL, transport=httpx.MockTransport(lambda _: httpx.Response(200, json=answer))) as client:
        assert list(client.assistants.iter()) == []


def test_a_server_that_ignores_where_to_go_on_does_not_make_a_walk_endless() -> None:
    """``after`` is documented for steps alone."""
    answer = {"data": [{"id": "asst_2"}, {"id": "asst_1"}], "has_more": True}
    with Client(URL, transport=httpx.MockTransport(lambda _: httpx.Response(200, json=answer))) as client:
        walked = [entry.id for entry in islice(client.assistants.iter(), 100)]
    assert walked == ["asst_2", "asst_1"] * 2


def test_the_ids_of_a_page_are_not_trusted_where_they_do_not_match_its_entries() -> None:
    pages = iter(
        [
            {"data": [{"id": "asst_2"}], "first_id": "wrong", "last_id": "wrong", "has_more": True},
            {"data": [{"id": "asst_1"}], "has_more": False},
        ]
    )
    seen: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.query.decode())
        return httpx.Response(200, json=next(pages))

    with Client(URL, transport=httpx.MockTransport(handle)) as client:
        assert len(list(client.assistants.iter())) == 2
    assert seen == ["", "after=asst_2"]


def test_files_of_an_assistant_are_walked_page_by_page() -> None:
    with embedded(replaying("run-plain.sse")) as client:
        files = [f"file_{number}" for number in range(5)]
        assistant = client.assistants.create(model="qwen-max", file_ids=files)
        walked = [file.id for file in client.assistants.files.iter(assistant.id, limit=2, order="asc")]
    assert walked == files
