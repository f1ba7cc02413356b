"""Joining a run: from its beginning, from the middle, and by itself wherever a connection breaks."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from dashnb.client.client import AsyncClient, Client
from dashnb.client.failures import Backoff
from dashnb.errors import APIError, ConnectionFailed, InvalidArgument, NotFoundError, ProtocolError, StreamError
from dashnb.local.models.engine import CallPiece, Engine, Spent, TextPiece
from dashnb.local.models.replay import ReplayEngine
from dashnb.local.service import BASE_URL, LocalService
from dashnb.protocol.events import DONE, RunEvent, encode_event
from dashnb.protocol.objects import WireObject
from dashnb.protocol.operations import JOIN, OPERATIONS
from dashnb.protocol.sse import encode
from dashnb.protocol.state import RunState
from scripted import Gate, Script, numbered

TRANSCRIPTS = Path(__file__).parent / "transcripts"
LOST = httpx.ReadError("connection reset")
Cut = tuple[int, Exception | None]


# --- a way to the service that breaks ----------------------------------------------------------------


Edit = Callable[[list[bytes]], list[bytes]]


class Edited(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body whose events are changed on the way: lost, repeated, in another order."""

    def __init__(self, body: Any, edit: Edit) -> None:
        self._body = body
        self._edit = edit

    def _changed(self, content: bytes) -> Iterator[bytes]:
        events = [block + b"\n\n" for block in content.split(b"\n\n")[:-1]]
        return iter(self._edit(events))

    def __iter__(self) -> Iterator[bytes]:
        yield from self._changed(b"".join(self._body))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for event in self._changed(b"".join([chunk async for chunk in self._body])):
            yield event

    def close(self) -> None:
        self._body.close()

    async def aclose(self) -> None:
        await self._body.aclose()


class Bytes(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that breaks off after so many bytes, by an error or in good order."""

    def __init__(self, body: Any, cut: Cut | None, taken: bytearray) -> None:
        self._body = body
        self._cut = cut
        self._taken = taken

    def _pass(self, chunk: bytes) -> bytes:
        """What is left of a chunk."""
        passed = chunk if self._cut is None else chunk[: self._cut[0] - len(self._taken)]
        self._taken += passed
        return passed

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._body:
            yield self._pass(chunk)
            if self._is_over():
                return

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._body:
            yield self._pass(chunk)
            if self._is_over():
                return

    def _is_over(self) -> bool:
        if self._cut is None or len(self._taken) < self._cut[0]:
            return False
        if self._cut[1] is not None:
            raise self._cut[1]
        return True

    def close(self) -> None:
        self._body.close()

    async def aclose(self) -> None:
        await self._body.aclose()


@dataclass
class Way:
    """What happens on the way: which streams are cut, what requests get in place of an answer, what was sent.

    Attributes:
        cuts: After how many bytes each stream breaks off, and how; whole for None and behind the last one.
        edits: What becomes of the events of each stream; behind the last one they pass.
        answers: What requests to join get in place of the service's answer, in order; None for that answer.
        sent: Method and path of each request, with its query.
        streams: The bytes of each stream, as far as they came.
    """

    cuts: list[Cut | None] = field(default_factory=list)
    answers: list[httpx.Response | Exception | None] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    streams: list[bytearray] = field(default_factory=list)

    def intercept(self, request: httpx.Request) -> httpx.Response | None:
        path = request.url.raw_path.decode().removeprefix("/api/v1")
        self.sent.append(f"{request.method} {path}")
        answer = self.answers.pop(0) if self.answers and "/stream" in path else None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def cut(self, response: httpx.Response) -> httpx.Response:
        if "event-stream" not in response.headers.get("content-type", ""):
            return response
        self.streams.append(bytearray())
        edited = Edited(response.stream, self.edits.pop(0)) if self.edits else response.stream
        body = Bytes(edited, self.cuts.pop(0) if self.cuts else None, self.streams[-1])
        return httpx.Response(response.status_code, headers=response.headers, stream=body)

    @property
    def joins(self) -> list[str]:
        return [sent for sent in self.sent if "/stream" in sent]

    @property
    def posts(self) -> list[str]:
        return [sent.rpartition("/")[2] for sent in self.sent if sent.startswith("POST")]


class SyncWay(httpx.BaseTransport):
    def __init__(self, inner: httpx.BaseTransport, way: Way) -> None:
        self._inner = inner
        self._way = way

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._way.intercept(request) or self._way.cut(self._inner.handle_request(request))


class AsyncWay(httpx.AsyncBaseTransport):
    def __init__(self, inner: httpx.AsyncBaseTransport, way: Way) -> None:
        self._inner = inner
        self._way = way

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self._way.intercept(request) or self._way.cut(await self._inner.handle_async_request(request))


@dataclass
class Read:
    """What somebody who read a stream got."""

    state: RunState
    events: list[RunEvent] = field(default_factory=list)
    error: Exception | None = None

    @property
    def told(self) -> list[Any]:
        """What the events say, without the ids of requests, which differ from service to service."""
        return [(event.name, event.id, _without_request(event.data)) for event in self.events]

    @property
    def ids(self) -> list[str]:
        return [event.id for event in self.events]

    @property
    def names(self) -> list[str]:
        return [event.name for event in self.events]


def _without_request(data: Any) -> Any:
    return {**data.to_dict(), "request_id": ""} if isinstance(data, WireObject) else data


def facts(state: RunState) -> dict[str, Any]:
    names = ["id", "thread_id", "status", "text", "usage", "error", "done", "event_count", "last_event_id"]
    names += ["tool_calls", "pending_calls"]
    messages = [_without_request(message) for message in state.messages]
    steps = [(step.id, step.type, step.status, step.calls, step.text) for step in state.steps]
    return {**{name: getattr(state, name) for name in names}, "messages": messages, "steps": steps}


Use = Callable[[Any], Any]


class Stage:
    """A service with a run's thread and assistant, and either client on a way that may break."""

    def __init__(self, service: LocalService, *, asynchronous: bool = False) -> None:
        self.service = service
        self.way = Way()
        self.sleeps: list[float] = []
        self._asynchronous = asynchronous
        ticks = count(1000, 10)
        self._arguments: dict[str, Any] = {
            "clock": lambda: float(next(ticks)),
            "backoff": Backoff(first=1.0, longest=10.0, rng=random.Random(7)),
        }

    def read(self, use: Use, *, most: int | None = None) -> Read:
        """All events, or ``most`` of them, of the stream that ``use`` opens with a client."""
        if self._asynchronous:
            return asyncio.run(self._awaited(use, most))
        transport = SyncWay(self.service.transport(), self.way)
        with Client(BASE_URL, transport=transport, sleep=self.sleeps.append, **self._arguments) as client:
            stream = use(client)
            read = Read(stream.state)
            try:
                with stream:
                    for event in stream:
                        read.events.append(event)
                        if len(read.events) == most:
                            break
            except Exception as error:
                read.error = error
        return read

    async def _awaited(self, use: Use, most: int | None) -> Read:
        async def sleep(seconds: float) -> None:
            self.sleeps.append(seconds)

        transport = AsyncWay(self.service.async_transport(), self.way)
        async with AsyncClient(BASE_URL, transport=transport, sleep=sleep, **self._arguments) as client:
            stream = use(client)
            read = Read(stream.state)
            try:
                async with stream:
                    async for event in stream:
                        read.events.append(event)
                        if len(read.events) == most:
                            break
            except Exception as error:
                read.error = error
        return read


def serve(engine: Engine) -> LocalService:
    return LocalService(":memory:", engine, plugins={}, ids=numbered(), clock=lambda: 1711508433283)


Opened = Callable[..., Stage]


@contextmanager
def staged(engine: Engine, **more: Any) -> Iterator[Stage]:
    with serve(engine) as service:
        with Client(BASE_URL, transport=service.transport()) as client:
            client.assistants.create(model="qwen-max", tools=[{"type": "function", "function": {"name": "add"}}])
            client.threads.create(messages=[{"role": "user", "content": "Hello"}])
        yield Stage(service, **more)


@pytest.fixture(params=[False, True], ids=["Client", "AsyncClient"])
def asynchronous(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def begin(client: Any) -> Any:
    return client.runs.stream("thread_1", assistant_id="asst_1")


def submit(state: RunState | None = None) -> Use:
    def use(client: Any) -> Any:
        outputs = [{"tool_call_id": "", "output": "5"}]
        return client.runs.submit_tool_outputs(
            "run_1", thread_id="thread_1", tool_outputs=outputs, stream=True, state=state
        )

    return use


def join(**more: Any) -> Use:
    return lambda client: client.runs.join("run_1", thread_id="thread_1", **more)


TALK = [TextPiece("Hel"), TextPiece("lo 世界"), Spent(3, 2)]
ASK = [CallPiece(0, "add", '{"a":'), CallPiece(0, "add", " 1}"), Spent(3, 2)]


def talker() -> Script:
    return Script(TALK)


def caller() -> Script:
    return Script(ASK, TALK)


def unbroken(engine: Engine, use: Use = begin) -> tuple[Read, bytes]:
    with staged(engine) as stage:
        read = stage.read(use)
        assert read.error is None
        return read, bytes(stage.way.streams[0])


def every_cut(content: bytes) -> list[int]:
    """Every border between two events, and a few places inside each."""
    borders = [place + 2 for place in range(len(content)) if content[place : place + 2] == b"\n\n"]
    first = borders[0]
    return sorted({place + more for place in borders for more in (-2, -1, 0, 3, 20, 60)} - set(range(first)))


# --- the endpoint ------------------------------------------------------------------------------------


def test_client_and_embedded_api_mean_the_same_endpoint() -> None:
    assert (JOIN.method, JOIN.path) == ("GET", "/threads/{thread_id}/runs/{run_id}/stream")
    assert JOIN.name not in OPERATIONS


def test_a_finished_run_is_told_from_its_log(asynchronous: bool) -> None:
    with staged(talker(), asynchronous=asynchronous) as stage:
        told, joined = stage.read(begin), stage.read(join())
    assert joined.error is None
    assert (joined.events, facts(joined.state)) == (told.events, facts(told.state))


def test_a_run_under_way_is_told_from_its_beginning_to_its_end(asynchronous: bool) -> None:
    gate = Gate()
    with staged(Script([TextPiece("Hel"), gate, TextPiece("lo")]), asynchronous=asynchronous) as stage:
        left = stage.read(begin, most=7)
        gate.open()
        joined = stage.read(join())
    assert left.state.status == "in_progress"
    assert joined.names[0] == "thread.run.created"
    assert joined.events[:7] == left.events
    assert (joined.state.status, joined.state.text) == ("completed", "Hello")


def test_reading_goes_on_in_a_state_behind_its_last_event(asynchronous: bool) -> None:
    with staged(talker(), asynchronous=asynchronous) as stage:
        left = stage.read(begin, most=5)
        joined = stage.read(join(state=left.state))
        whole = stage.read(join())
    assert joined.state is left.state
    assert left.events + joined.events == whole.events
    assert facts(joined.state) == facts(whole.state)


def test_reading_goes_on_behind_the_event_that_is_named(asynchronous: bool) -> None:
    with staged(talker(), asynchronous=asynchronous) as stage:
        whole = stage.read(begin)
        joined = stage.read(join(after=whole.ids[3]))
    assert joined.events == whole.events[4:]


@pytest.mark.parametrize("after", ["run_2:3", "3", "run_1", "run_1:x"])
def test_an_event_of_another_run_is_no_place_to_go_on(after: str) -> None:
    with Client(BASE_URL) as client, pytest.raises(InvalidArgument, match="run_1"):
        client.runs.join("run_1", thread_id="thread_1", after=after)


def test_behind_the_end_of_a_run_there_is_nothing_and_the_state_says_how_it_ended(asynchronous: bool) -> None:
    with staged(talker(), asynchronous=asynchronous) as stage:
        told = stage.read(begin)
        joined = stage.read(join(after=told.ids[-1]))
        again = stage.read(join(state=told.state))
    assert (joined.error, joined.events, joined.state.status) == (None, [], "completed")
    assert (again.error, again.events, again.state.text) == (None, [], "Hello 世界")
    assert stage.sleeps == []


def test_a_run_that_was_given_what_it_asked_for_is_told_to_its_end(asynchronous: bool) -> None:
    with staged(caller(), asynchronous=asynchronous) as stage:
        first = stage.read(begin)
        second = stage.read(submit())
        joined = stage.read(join())
    assert joined.error is None
    assert joined.events == first.events + second.events
    assert (joined.state.status, joined.state.text) == ("completed", "Hello 世界")
    assert joined.state.tool_calls[0].output == "5"
    assert stage.sleeps == []


def test_a_run_that_waits_for_functions_is_told_to_there(asynchronous: bool) -> None:
    with staged(caller(), asynchronous=asynchronous) as stage:
        first = stage.read(begin)
        joined = stage.read(join())
        late = stage.read(join(after=first.ids[-3]))
    assert (joined.events, joined.state.status) == (first.events, "requires_action")
    assert [call.name for call in joined.state.pending_calls] == ["add"]
    assert (late.names, late.state.status) == (["thread.run.requires_action", "done"], "requires_action")


def test_a_run_that_is_not_there_cannot_be_joined(asynchronous: bool) -> None:
    with staged(talker(), asynchronous=asynchronous) as stage:
        read = stage.read(join())
    assert type(read.error) is NotFoundError
    assert "run_1" in str(read.error)


@pytest.mark.parametrize("status", [404, 405])
def test_a_service_that_cannot_join_says_how_to_read_the_run(status: int, asynchronous: bool) -> None:
    with staged(talker(), asynchronous=asynchronous) as stage:
        stage.read(begin)
        stage.way.answers = [httpx.Response(status, json={"code": "NotFound", "message": "Not found!"})]
        read = stage.read(join())
        with Client(BASE_URL, transport=stage.service.transport()) as client:
            assert type(read.error) is StreamError
            assert read.error.state is not None
            recovered = client.runs.recover(read.error.state)
    assert (read.events, recovered.text, recovered.status) == ([], "Hello 世界", "completed")
    assert "recover(error.state)" in str(read.error)
    assert "client.runs.load" in str(read.error)
    assert len(str(read.error).splitlines()) <= 3


def test_any_other_refusal_to_join_is_what_the_service_says(asynchronous: bool) -> None:
    with staged(talker(), asynchronous=asynchronous) as stage:
        stage.way.answers = [httpx.Response(401, json={"code": "InvalidApiKey", "message": "Invalid API-key."})]
        read = stage.read(join())
    assert isinstance(read.error, APIError)
    assert read.error.code == "InvalidApiKey"


# --- connections that break --------------------------------------------------------------------------


@pytest.mark.parametrize("how", [LOST, None, httpx.ReadTimeout("slow")], ids=["lost", "ended", "slow"])
@pytest.mark.parametrize("engine", [talker, caller])
def test_wherever_a_stream_breaks_the_events_and_the_state_are_those_of_a_whole_one(
    engine: Callable[[], Engine], how: Exception | None, asynchronous: bool
) -> None:
    whole, content = unbroken(engine())
    for place in every_cut(content)[::11]:
        with staged(engine(), asynchronous=asynchronous) as stage:
            stage.way.cuts = [(place, how)]
            read = stage.read(begin)
        assert read.error is None, place
        assert (read.told, facts(read.state)) == (whole.told, facts(whole.state)), place
        assert stage.way.posts == ["runs"]
        assert len(stage.way.joins) == len(stage.sleeps) <= 1


@pytest.mark.parametrize("how", [LOST, None], ids=["lost", "ended"])
def test_a_stream_after_tool_outputs_goes_on_even_where_it_breaks_before_its_first_event(
    how: Exception | None, asynchronous: bool
) -> None:
    with staged(caller()) as stage:
        first = stage.read(begin)
        whole = stage.read(submit(first.state))
        content = bytes(stage.way.streams[1])
    for place in [0, 1, 30, *every_cut(content)[::17]]:
        with staged(caller(), asynchronous=asynchronous) as stage:
            first = stage.read(begin)
            stage.way.cuts = [(place, how)]
            read = stage.read(submit(first.state))
        assert read.error is None, place
        assert (read.told, facts(read.state)) == (whole.told, facts(whole.state)), place
        assert stage.way.posts == ["runs", "submit_tool_outputs"]


@pytest.mark.parametrize("transcript", ["run-quark-search.jsonl", "submit-tool-outputs.sse"])
def test_transcripts_survive_breaks_all_along(transcript: str, asynchronous: bool) -> None:
    def engine() -> Engine:
        return ReplayEngine.from_file(TRANSCRIPTS / transcript)

    whole, content = unbroken(engine())
    with staged(engine(), asynchronous=asynchronous) as stage:
        longest = max(len(block) for block in content.split(b"\n\n")) + 2
        stage.way.cuts = [(longest + place % 7, LOST if place % 2 else None) for place in range(len(content))]
        read = stage.read(begin)
    assert read.error is None
    assert (read.told, facts(read.state)) == (whole.told, facts(whole.state))
    assert len(stage.way.joins) > 3
    assert stage.way.posts == ["runs"]


def test_a_thread_that_is_made_with_its_run_is_joined_from_the_first_event_on(asynchronous: bool) -> None:
    def use(client: Any) -> Any:
        return client.runs.stream_thread_and_run(assistant_id="asst_1", thread={})

    whole, content = unbroken(talker(), use)
    for place in every_cut(content)[:4]:
        with staged(talker(), asynchronous=asynchronous) as stage:
            stage.way.cuts = [(place, LOST)]
            read = stage.read(use)
        assert (read.error, read.told, facts(read.state)) == (None, whole.told, facts(whole.state)), place


def test_a_join_that_breaks_is_joined_again_wherever_it_breaks(asynchronous: bool) -> None:
    with staged(caller(), asynchronous=asynchronous) as stage:
        stage.read(begin)
        stage.read(submit())
        whole = stage.read(join())
        content = bytes(stage.way.streams[2])
        for place in [0, 1, *every_cut(content)]:
            stage.way.cuts = [(place, LOST)]
            read = stage.read(join())
            assert (read.error, read.told, facts(read.state)) == (None, whole.told, facts(whole.state)), place


def test_a_break_before_the_end_of_a_part_does_not_run_into_what_somebody_else_began(asynchronous: bool) -> None:
    """The first part of the run ends where it asked for functions, though it has gone on since."""
    whole, content = unbroken(caller())
    with staged(caller(), asynchronous=asynchronous) as stage:
        stage.way.cuts = [(content.index(b"event:done"), LOST)]
        stage.way.answers = [httpx.ConnectError("no route")]

        def sleep_while_others_submit(seconds: float) -> None:
            if not stage.sleeps:
                with Client(BASE_URL, transport=stage.service.transport()) as other:
                    list(submit()(other))
            stage.sleeps.append(seconds)

        if asynchronous:
            stage.way.answers = []
            read = stage.read(begin)
        else:
            transport = SyncWay(stage.service.transport(), stage.way)
            with Client(BASE_URL, transport=transport, sleep=sleep_while_others_submit) as client:
                stream = begin(client)
                read = Read(stream.state, list(stream))
    assert (read.told, facts(read.state)) == (whole.told, facts(whole.state))


def test_waits_grow_and_begin_anew_with_every_event(asynchronous: bool) -> None:
    _, content = unbroken(talker())
    place = every_cut(content)[4]
    refused = httpx.Response(503, json={"code": "ServiceUnavailable", "message": "m"})
    with staged(talker(), asynchronous=asynchronous) as stage:
        stage.way.cuts = [(place, LOST), (1000, LOST)]
        stage.way.answers = [httpx.ConnectError("no"), refused, None, httpx.ConnectError("no"), None]
        read = stage.read(begin)
    assert read.error is None
    highs = [1.0, 2.0, 4.0, 1.0, 2.0]
    assert len(stage.sleeps) == len(highs)
    assert [high for high, slept in zip(highs, stage.sleeps, strict=True) if not high / 2 <= slept <= high] == []


def test_five_joins_in_a_row_without_an_event_are_enough(asynchronous: bool) -> None:
    _, content = unbroken(talker())
    with staged(talker(), asynchronous=asynchronous) as stage:
        stage.way.cuts = [(every_cut(content)[4], LOST)]
        stage.way.answers = [httpx.ConnectError("no route")] * 9
        read = stage.read(begin)
    assert type(read.error) is StreamError
    assert read.error.state is read.state
    assert read.error.__cause__ is LOST
    assert "connection reset; joining it again failed 5 times" in str(read.error)
    assert "recover(error.state)" in str(read.error)
    assert (len(stage.way.joins), len(stage.sleeps), stage.way.posts) == (5, 5, ["runs"])
    assert read.events


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_server_that_does_not_let_us_join_leaves_what_arrived(status: int, asynchronous: bool) -> None:
    _, content = unbroken(talker())
    with staged(talker(), asynchronous=asynchronous) as stage:
        stage.way.cuts = [(every_cut(content)[4], LOST)]
        stage.way.answers = [httpx.Response(status, json={"code": "No", "message": "No."})]
        read = stage.read(begin)
    assert type(read.error) is StreamError
    assert "broke off" in str(read.error)
    assert read.error.__cause__ is LOST
    assert len(stage.way.joins) == 1


def test_an_end_that_was_seen_is_an_end_even_where_nothing_can_be_joined(asynchronous: bool) -> None:
    _, content = unbroken(talker())
    with staged(talker(), asynchronous=asynchronous) as stage:
        stage.way.cuts = [(content.index(b"event:done"), LOST)]
        stage.way.answers = [httpx.Response(404, json={})]
        read = stage.read(begin)
    assert (read.error, read.state.status, read.state.done) == (None, "completed", False)


def test_a_break_before_the_first_event_of_a_new_run_gave_no_answer_and_nothing_is_sent_again(
    asynchronous: bool,
) -> None:
    with staged(talker(), asynchronous=asynchronous) as stage:
        stage.way.cuts = [(20, LOST)]
        read = stage.read(begin)
    assert type(read.error) is ConnectionFailed
    assert (stage.way.posts, stage.way.joins, stage.sleeps) == (["runs"], [], [])


def test_leaving_a_stream_joins_nothing(asynchronous: bool) -> None:
    with staged(talker(), asynchronous=asynchronous) as stage:
        stage.read(begin, most=4)
    assert stage.way.joins == []


# --- events that get lost, repeated or mixed up on the way --------------------------------------------


def without(*places: int) -> Edit:
    return lambda events: [event for place, event in enumerate(events) if place not in places]


def repeated(place: int, *, from_place: int | None = None) -> Edit:
    """An event a second time behind itself, or with all of them since an earlier one."""
    return lambda events: [*events[: place + 1], *events[place if from_place is None else from_place :]]


def swapped(place: int) -> Edit:
    return lambda events: [*events[:place], *events[place : place + 2][::-1], *events[place + 2 :]]


def until(place: int) -> Edit:
    """An end in good order before the rest."""
    return lambda events: events[:place]


def strange(place: int, event_id: str) -> Edit:
    """A text of another run among the events."""
    delta = {"id": "message_9", "delta": {"content": [{"type": "text", "text": {"value": "not ours"}}]}}
    stranger = encode_event("thread.message.delta", delta, event_id)
    return lambda events: [*events[:place], stranger, *events[place:]]


def unnumbered(place: int) -> Edit:
    """An event that lost its number; the last one, which needs none, keeps it."""

    def edit(events: list[bytes]) -> list[bytes]:
        if place == len(events) - 1:
            return events
        named = events[place].partition(b"\n")[2]
        return [*events[:place], named, *events[place + 1 :]]

    return edit


MIXED: dict[str, Callable[[int], Edit]] = {
    "lost": without,
    "two lost": lambda place: without(place, place + 1),
    "repeated": repeated,
    "told again": lambda place: repeated(place, from_place=max(0, place - 3)),
    "swapped": swapped,
    "ended": until,
    "another run's": lambda place: strange(place, "run_7:3"),
    "another run's of the same number": lambda place: strange(place, f"run_7:{place + 1}"),
    "unnumbered": unnumbered,
}


@pytest.mark.parametrize("edit", MIXED.values(), ids=MIXED)
@pytest.mark.parametrize("engine", [talker, caller])
def test_whatever_becomes_of_events_on_the_way_they_and_the_state_are_those_of_a_whole_stream(
    engine: Callable[[], Engine], edit: Callable[[int], Edit], asynchronous: bool
) -> None:
    whole, content = unbroken(engine())
    for place in range(1, content.count(b"\n\n")):
        with staged(engine(), asynchronous=asynchronous) as stage:
            stage.way.edits = [edit(place)]
            read = stage.read(begin)
        assert read.error is None, place
        assert (read.told, facts(read.state)) == (whole.told, facts(whole.state)), place
        assert stage.way.posts == ["runs"]
        assert len(stage.way.joins) == len(stage.sleeps) <= 1


@pytest.mark.parametrize("edit", [without, swapped, lambda place: without(place, place + 1)])
def test_the_first_event_of_a_run_may_get_lost_as_any_other(edit: Callable[[int], Edit], asynchronous: bool) -> None:
    whole, _ = unbroken(talker())
    with staged(talker(), asynchronous=asynchronous) as stage:
        stage.way.edits = [edit(0)]
        read = stage.read(begin)
    assert (read.error, read.told, facts(read.state)) == (None, whole.told, facts(whole.state))
    assert stage.way.joins == ["GET /threads/thread_1/runs/run_1/stream?after=0"]


@pytest.mark.parametrize("edit", [without, repeated, swapped])
def test_events_behind_tool_outputs_are_counted_as_those_before(
    edit: Callable[[int], Edit], asynchronous: bool
) -> None:
    with staged(caller()) as stage:
        whole = stage.read(submit(stage.read(begin).state))
    for place in range(len(whole.events)):
        with staged(caller(), asynchronous=asynchronous) as stage:
            first = stage.read(begin)
            stage.way.edits = [edit(place)]
            read = stage.read(submit(first.state))
        assert (read.error, read.told, facts(read.state)) == (None, whole.told, facts(whole.state)), place
        assert stage.way.posts == ["runs", "submit_tool_outputs"]


def test_a_joined_run_may_lose_events_again_and_again_as_long_as_it_goes_on(asynchronous: bool) -> None:
    with staged(caller(), asynchronous=asynchronous) as stage:
        stage.read(begin)
        stage.read(submit())
        whole = stage.read(join())
        stage.way.edits = [without(1)] * len(whole.events)
        read = stage.read(join())
    assert (read.error, read.told, facts(read.state)) == (None, whole.told, facts(whole.state))
    assert len(stage.sleeps) > len(whole.events) / 2


def test_an_event_that_never_comes_is_an_error_that_keeps_what_came_before_it(asynchronous: bool) -> None:
    whole, _ = unbroken(talker())
    with staged(talker(), asynchronous=asynchronous) as stage:
        stage.way.edits = [without(7), *[without(0)] * 99]
        read = stage.read(begin)
    assert type(read.error) is StreamError
    assert "event 8 is missing; joining it again failed 5 times" in str(read.error)
    assert (read.told, read.error.state) == (whole.told[:7], read.state)
    assert (len(stage.way.joins), len(stage.sleeps)) == (5, 5)


def test_an_end_behind_a_hole_is_no_end_where_nothing_can_be_joined(asynchronous: bool) -> None:
    whole, _ = unbroken(talker())
    with staged(talker(), asynchronous=asynchronous) as stage:
        stage.way.edits = [without(len(whole.events) - 3)]
        stage.way.answers = [httpx.Response(404, json={})]
        read = stage.read(begin)
    assert type(read.error) is StreamError
    assert "is missing" in str(read.error)
    assert read.told == whole.told[:-3]


# --- other servers -----------------------------------------------------------------------------------


def numbered_event(number: int, name: str, **fields: Any) -> bytes:
    return encode_event(name, {"id": "run_1", "thread_id": "thread_1", **fields}, f"run_1:{number}")


def scripted_client(*answers: bytes | httpx.Response) -> tuple[Client, list[str]]:
    """A client of a server that gives these streams one after the other."""
    sent: list[str] = []
    left = iter(answers)

    def handle(request: httpx.Request) -> httpx.Response:
        sent.append(f"{request.method} {request.url.raw_path.decode()}")
        answer = next(left)
        if isinstance(answer, httpx.Response):
            return answer
        return httpx.Response(200, content=answer, headers={"content-type": "text/event-stream"})

    return Client("https://service.test/api/v1", transport=httpx.MockTransport(handle), sleep=lambda _: None), sent


CREATED = numbered_event(1, "thread.run.created", status="queued")
ENDED = numbered_event(2, "thread.run.completed", status="completed") + encode(DONE)


def test_events_that_come_again_are_left_out() -> None:
    client, sent = scripted_client(CREATED, CREATED + ENDED)
    with client:
        stream = client.runs.stream("thread_1", assistant_id="asst_1")
        assert [event.name for event in stream] == ["thread.run.created", "thread.run.completed", "done"]
    assert stream.state.event_count == 3
    assert sent[1] == "GET /api/v1/threads/thread_1/runs/run_1/stream?after=1"


@pytest.mark.parametrize("event_id", ["", "1", "run_1:", "run_1:x", "other"])
def test_a_server_whose_ids_say_no_place_is_not_asked_to_join(event_id: str) -> None:
    created = encode_event("thread.run.created", {"id": "run_1", "thread_id": "thread_1"}, event_id)
    client, sent = scripted_client(created)
    with client, pytest.raises(StreamError, match="ended too early"):
        list(client.runs.stream("thread_1", assistant_id="asst_1"))
    assert len(sent) == 1


def test_an_end_without_a_number_is_none_before_the_run_has_ended() -> None:
    client, sent = scripted_client(CREATED + encode(DONE), ENDED)
    with client:
        names = [event.name for event in client.runs.stream("thread_1", assistant_id="asst_1")]
    assert names == ["thread.run.created", "thread.run.completed", "done"]
    assert sent[1:] == ["GET /api/v1/threads/thread_1/runs/run_1/stream?after=1"]


def test_a_server_that_does_not_number_its_events_is_read_as_it_tells_them() -> None:
    delta = {"id": "message_1", "delta": {"content": [{"type": "text", "text": {"value": "ha"}}]}}
    run = {"id": "run_1", "thread_id": "thread_1"}
    told = [
        encode_event("thread.run.created", run),
        *[encode_event("thread.message.delta", delta)] * 3,
        encode_event("thread.run.completed", {**run, "status": "completed"}),
        encode(DONE),
    ]
    client, sent = scripted_client(b"".join(told))
    with client:
        stream = client.runs.stream("thread_1", assistant_id="asst_1")
        assert len(list(stream)) == 6
    assert (stream.state.text, len(sent)) == ("hahaha", 1)


def test_ids_that_number_something_else_than_the_events_of_the_run_say_no_place() -> None:
    delta = {"id": "message_1", "delta": {"content": [{"type": "text", "text": {"value": "ha"}}]}}
    run = {"id": "run_1", "thread_id": "thread_1"}
    told = [
        encode_event("thread.run.created", run, "stream:1"),
        encode_event("thread.message.delta", delta, "stream:7"),
        encode_event("thread.message.delta", delta, "message_1:1"),
        encode_event("thread.run.completed", {**run, "status": "completed"}, "stream:3"),
    ]
    client, sent = scripted_client(b"".join(told))
    with client:
        stream = client.runs.stream("thread_1", assistant_id="asst_1")
        assert len(list(stream)) == 4
    assert (stream.state.text, len(sent)) == ("haha", 1)


def test_an_error_event_is_the_end_and_not_a_break() -> None:
    client, sent = scripted_client(CREATED + encode_event("error", {"code": "InternalError", "message": "m"}))
    with client, pytest.raises(StreamError) as caught:
        list(client.runs.stream("thread_1", assistant_id="asst_1"))
    assert (caught.value.code, len(sent)) == ("InternalError", 1)


def test_a_malformed_event_is_the_end_and_not_a_break() -> None:
    client, sent = scripted_client(CREATED + b"id:run_1:2\nevent:thread.run.completed\ndata:{no\n\n")
    with client, pytest.raises(ProtocolError):
        list(client.runs.stream("thread_1", assistant_id="asst_1"))
    assert len(sent) == 1


def test_something_else_than_a_stream_does_not_take_away_what_arrived() -> None:
    client, sent = scripted_client(CREATED, httpx.Response(200, json={"id": "run_1"}))
    with client, pytest.raises(StreamError, match="ended too early"):
        list(client.runs.stream("thread_1", assistant_id="asst_1"))
    assert len(sent) == 2
