"""A streamed run: every cut of the bytes, every way to end, and what is left of the state each time."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from dashnb.client.client import AsyncClient, Client
from dashnb.client.stream import AsyncRunStream, RunStream
from dashnb.errors import APIError, ConnectionFailed, ProtocolError, RateLimitError, StreamError
from dashnb.protocol.events import DONE, RunEvent, encode_event
from dashnb.protocol.recording import parse_recording
from dashnb.protocol.sse import comment, encode
from dashnb.protocol.state import RunState

TRANSCRIPTS = Path(__file__).parent / "transcripts"
PLAIN, QUARK, FUNCTION = "run-plain.sse", "run-quark-search.jsonl", "submit-tool-outputs.sse"
URL = "https://service.test/api/v1"
KEY = "sk-0123456789abcdef"
Piece = bytes | Exception


def wire(name: str) -> bytes:
    """A transcript as it travels."""
    content = (TRANSCRIPTS / name).read_bytes()
    if name.endswith(".sse"):
        return content
    lines = [json.loads(line) for line in content.splitlines()]
    return b"".join(encode_event(line["event"], line["data"]) for line in lines) + encode(DONE)


def single_bytes(content: bytes) -> list[Piece]:
    return [content[place : place + 1] for place in range(len(content))]


def summed(content: bytes) -> RunState:
    state = RunState()
    for event in parse_recording(content):
        state.apply(event)
    return state


def facts(state: RunState) -> dict[str, Any]:
    names = ["id", "thread_id", "status", "text", "usage", "error", "done", "event_count"]
    names += ["tool_calls", "pending_calls", "messages"]
    steps = [(step.id, step.type, step.status, step.calls, step.text) for step in state.steps]
    return {**{name: getattr(state, name) for name in names}, "steps": steps}


def run(verb: str, status: str = "", **fields: Any) -> bytes:
    value = {"id": "run_1", "thread_id": "thread_1", "status": status or verb, **fields}
    return encode_event(f"thread.run.{verb}", value)


def delta(text: str) -> bytes:
    body = {"content": [{"type": "text", "text": {"value": text, "annotations": []}}]}
    return encode_event("thread.message.delta", {"id": "message_1", "delta": body})


def error_event(**fields: Any) -> bytes:
    return encode_event("error", fields)


CALLS = {"tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "add", "arguments": "{}"}}]}
ASKS = run("requires_action", required_action={"type": "submit_tool_outputs", "submit_tool_outputs": CALLS})
BEGUN = run("created", "queued") + run("in_progress") + delta("Hel") + delta("lo")
WHOLE = BEGUN + run("completed") + encode(DONE)


class Pieces(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that comes in the given pieces, and may break."""

    def __init__(self, pieces: Iterable[Piece]) -> None:
        self.closed = False
        self._pieces = iter(pieces)

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            await asyncio.sleep(0)
            yield piece

    def close(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


@dataclass
class Read:
    """What somebody who read a stream got."""

    state: RunState
    stream: RunStream | AsyncRunStream
    events: list[RunEvent] = field(default_factory=list)
    error: Exception | None = None
    body: Pieces | None = None

    @property
    def names(self) -> list[str]:
        return [event.name for event in self.events]


@dataclass
class Reader:
    """Reads streams with either client, in the same words."""

    asynchronous: bool

    def read(
        self,
        *pieces: Piece,
        status: int = 200,
        kind: str = "text/event-stream",
        headers: dict[str, str] | None = None,
        clock: Callable[[], float] | None = None,
        state: RunState | None = None,
        most: int | None = None,
        within: bool = True,
    ) -> Read:
        """Read a body to its end, or ``most`` events of it; ``within`` the stream's ``with``, or without one."""
        body = Pieces(pieces)
        answer = httpx.Response(status, stream=body, headers={"content-type": kind, **(headers or {})})
        transport = httpx.MockTransport(lambda _: answer)
        return self.use(URL, transport, clock=clock, state=state, most=most, within=within, body=body)

    def use(
        self,
        url: str,
        transport: httpx.MockTransport | None = None,
        *,
        clock: Callable[[], float] | None = None,
        state: RunState | None = None,
        most: int | None = None,
        within: bool = True,
        body: Pieces | None = None,
    ) -> Read:
        arguments: dict[str, Any] = {"api_key": KEY, "transport": transport}
        if clock is not None:
            arguments["clock"] = clock
        if self.asynchronous:
            return asyncio.run(self._awaited(url, arguments, state, most, within, body))
        with Client(url, **arguments) as client:
            stream = self._opened(client, state)
            read = Read(stream.state, stream, body=body)
            try:
                if within:
                    with stream:
                        self._take(stream, read, most)
                else:
                    self._take(stream, read, most)
            except Exception as error:
                read.error = error
            return read

    def _opened(self, client: Any, state: RunState | None) -> Any:
        if state is None:
            return client.runs.stream("thread_1", assistant_id="asst_1")
        outputs = [{"tool_call_id": "call_1", "output": "5"}]
        return client.runs.submit_tool_outputs(
            "run_1", thread_id="thread_1", tool_outputs=outputs, stream=True, state=state
        )

    def _take(self, stream: RunStream, read: Read, most: int | None) -> None:
        for event in stream:
            read.events.append(event)
            if len(read.events) == most:
                break

    async def _awaited(
        self,
        url: str,
        arguments: dict[str, Any],
        state: RunState | None,
        most: int | None,
        within: bool,
        body: Pieces | None,
    ) -> Read:
        async with AsyncClient(url, **arguments) as client:
            stream = self._opened(client, state)
            read = Read(stream.state, stream, body=body)
            try:
                if within:
                    async with stream:
                        await self._await_events(stream, read, most)
                else:
                    await self._await_events(stream, read, most)
            except Exception as error:
                read.error = error
            return read

    async def _await_events(self, stream: AsyncRunStream, read: Read, most: int | None) -> None:
        async for event in stream:
            read.events.append(event)
            if len(read.events) == most:
                break


@pytest.fixture(params=[False, True], ids=["RunStream", "AsyncRunStream"])
def reader(request: pytest.FixtureRequest) -> Reader:
    return Reader(request.param)


# --- whole streams -----------------------------------------------------------------------------------


@pytest.mark.parametrize("within", [True, False], ids=["with", "bare"])
@pytest.mark.parametrize("cut", [lambda content: [content], single_bytes], ids=["whole", "bytes"])
@pytest.mark.parametrize("name", [PLAIN, QUARK, FUNCTION])
def test_transcripts_give_the_documented_objects(
    name: str, cut: Callable[[bytes], list[Piece]], within: bool, reader: Reader
) -> None:
    content = wire(name)
    read = reader.read(*cut(content), within=within)
    assert read.error is None
    assert read.events == parse_recording(content)
    assert facts(read.state) == facts(summed(content))
    assert read.body is not None
    assert read.body.closed


def test_a_plain_run_ends_as_documented(reader: Reader) -> None:
    state = reader.read(*single_bytes(wire(PLAIN))).state
    assert (state.id, state.status, state.done) == ("run_04fba6a3-3ac9-42e8-ba2b-9b5c889a8d58", "completed", True)
    assert state.text == "999 に 998 を掛けると 997002 になります。"
    assert [(step.type, step.status) for step in state.steps] == [("message_creation", "completed")]
    assert state.usage is not None
    assert (state.usage.input_tokens, state.usage.output_tokens, state.usage.total_tokens) == (419, 16, 435)
    assert state.messages[0].id == "message_f4f68f6b-6003-4115-8f20-3ea590137502"


def test_a_search_ends_as_documented(reader: Reader) -> None:
    state = reader.read(*single_bytes(wire(QUARK))).state
    assert [(step.type, step.status) for step in state.steps] == [
        ("tool_calls", "completed"),
        ("message_creation", "completed"),
    ]
    (call,) = state.tool_calls
    assert (call.type, call.name) == ("quark_search", "quark_search")
    assert set(json.loads(call.arguments)) == {"query"}
    assert isinstance(call.output, str)
    assert json.loads(call.output)["success"] is True
    assert state.usage is not None
    assert state.usage.total_tokens == 2004


def test_a_function_ends_as_documented(reader: Reader) -> None:
    state = reader.read(*single_bytes(wire(FUNCTION))).state
    (call,) = state.tool_calls
    assert (call.name, call.arguments, call.output) == ("get_current_weather", '{"location": "Xi\'an"}', "rain")
    assert (state.status, state.text) == ("completed", "西安の現在の天気は雨です。")


def test_the_state_holds_every_event_that_was_handed_out() -> None:
    answer = httpx.Response(200, stream=Pieces([WHOLE]), headers={"content-type": "text/event-stream"})
    with Client(URL, transport=httpx.MockTransport(lambda _: answer)) as client:
        stream = client.runs.stream("thread_1", assistant_id="asst_1")
        seen = [(event.name, stream.state.status, stream.state.text) for event in stream]
    assert seen == [
        ("thread.run.created", "queued", ""),
        ("thread.run.in_progress", "in_progress", ""),
        ("thread.message.delta", "in_progress", "Hel"),
        ("thread.message.delta", "in_progress", "Hello"),
        ("thread.run.completed", "completed", "Hello"),
        ("done", "completed", "Hello"),
    ]


def test_heartbeats_are_no_events(reader: Reader) -> None:
    beat = comment("heartbeat")
    read = reader.read(beat, *(part + beat for part in (BEGUN, run("completed"), encode(DONE))), beat)
    assert read.error is None
    assert read.names == [event.name for event in parse_recording(WHOLE)]


@pytest.mark.parametrize(
    "kind", ["text/event-stream", "text/event-stream;charset=UTF-8", "Text/Event-Stream; charset=utf-8"]
)
def test_a_stream_is_known_by_its_content_type(kind: str, reader: Reader) -> None:
    assert reader.read(WHOLE, kind=kind).state.status == "completed"


def test_unknown_events_are_handed_out_and_change_nothing(reader: Reader) -> None:
    news = encode_event("thread.run.dreaming", {"of": "sheep"}) + b"event:note\ndata:no JSON\n\n"
    read = reader.read(BEGUN, news, run("completed"))
    assert read.error is None
    assert [event.data for event in read.events[4:6]] == [{"of": "sheep"}, "no JSON"]
    assert (read.state.text, read.state.status) == ("Hello", "completed")


def test_who_answers_is_known_where_the_server_says_so(reader: Reader) -> None:
    assert reader.read(WHOLE, headers={"x-dashnb-engine": "guide"}).stream.engine == "guide"
    assert reader.read(WHOLE).stream.engine == ""


def test_times_are_taken_from_the_given_clock(reader: Reader) -> None:
    ticks = count(1000, 10)
    state = reader.read(WHOLE, clock=lambda: float(next(ticks))).state
    assert (state.requested_at, state.first_token_at, state.ended_at) == (1000, 1030, 1050)
    assert (state.time_to_first_token, state.duration_ms) == (30, 50)


def test_the_clock_starts_when_the_request_is_sent_and_not_when_the_stream_is_made() -> None:
    ticks = count(1000, 10)
    answer = httpx.Response(200, stream=Pieces([WHOLE]), headers={"content-type": "text/event-stream"})
    with Client(URL, transport=httpx.MockTransport(lambda _: answer), clock=lambda: float(next(ticks))) as client:
        stream = client.runs.stream("thread_1", assistant_id="asst_1")
        assert stream.state.requested_at is None
        next(ticks)
        list(stream)
    assert stream.state.requested_at == 1010


# --- streams that end well without everything --------------------------------------------------------


def test_a_run_that_asks_for_action_ends_its_stream(reader: Reader) -> None:
    for ending in (encode(DONE), b""):
        read = reader.read(BEGUN, ASKS, ending)
        assert read.error is None
        assert (read.state.status, [call.id for call in read.state.pending_calls]) == ("requires_action", ["call_1"])


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "expired", "incomplete"])
def test_a_final_event_is_an_end_without_done(status: str, reader: Reader) -> None:
    read = reader.read(BEGUN, run(status))
    assert (read.error, read.state.status, read.state.done) == (None, status, False)


def test_done_is_an_end_without_a_final_event(reader: Reader) -> None:
    read = reader.read(BEGUN, encode(DONE))
    assert (read.error, read.state.status, read.state.done) == (None, "in_progress", True)


@pytest.mark.parametrize("ending", [run("completed")[:-1], run("completed").rstrip(b"\n")])
def test_a_last_event_without_its_empty_line_counts_if_it_is_whole(ending: bytes, reader: Reader) -> None:
    read = reader.read(BEGUN, ending)
    assert (read.error, read.state.status, read.names[-1]) == (None, "completed", "thread.run.completed")


def test_an_unterminated_done_counts(reader: Reader) -> None:
    assert reader.read(BEGUN, b"event:done\ndata:[DONE]").error is None


# --- streams that break ------------------------------------------------------------------------------


def check_broken(read: Read, reason: str) -> None:
    """The error has the state as far as it came, says why, and what to do."""
    assert type(read.error) is StreamError
    assert read.error.state is read.state
    assert (read.state.id, read.state.text, read.state.status) == ("run_1", "Hello", "in_progress")
    assert (read.error.code, read.error.request_id) == ("", "")
    assert reason in str(read.error)
    assert "run_1" in str(read.error)
    assert "recover(error.state)" in str(read.error)
    assert len(str(read.error).splitlines()) <= 3
    assert len(read.events) == 4
    assert read.body is None or read.body.closed


def test_a_stream_that_ends_early_is_broken(reader: Reader) -> None:
    check_broken(reader.read(BEGUN), "it ended too early")


@pytest.mark.parametrize("length", [1, 10, 40, -3])
def test_an_event_that_is_cut_off_breaks_the_stream(length: int, reader: Reader) -> None:
    cut = run("completed").rstrip(b"\n")[:length]
    check_broken(reader.read(BEGUN + cut), "an event was cut off" if length in (40, -3) else "it ended too early")


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (httpx.ReadError("connection reset"), "connection reset"),
        (httpx.ReadError(""), "ReadError"),
        (httpx.RemoteProtocolError("peer closed connection\nin the middle"), "peer closed connection in the middle"),
        (httpx.ReadTimeout("slow"), "did not answer in time (ReadTimeout)"),
    ],
)
def test_a_connection_that_breaks_leaves_what_arrived(cause: Exception, reason: str, reader: Reader) -> None:
    read = reader.read(*single_bytes(BEGUN), cause)
    check_broken(read, reason)
    assert read.error is not None
    assert read.error.__cause__ is cause


@pytest.mark.parametrize("ending", [run("completed"), ASKS, run("completed") + encode(DONE)])
def test_a_connection_that_breaks_after_the_end_takes_nothing_away(ending: bytes, reader: Reader) -> None:
    read = reader.read(BEGUN, ending, httpx.ReadError("reset"))
    assert read.error is None
    assert read.state.status in ("completed", "requires_action")
    assert read.body is not None
    assert read.body.closed


def test_a_connection_that_breaks_before_the_first_event_gave_no_answer(reader: Reader) -> None:
    read = reader.read(comment("heartbeat"), httpx.ReadError("reset"))
    assert type(read.error) is ConnectionFailed
    assert read.events == []


def test_a_stream_without_a_single_event_is_broken(reader: Reader) -> None:
    read = reader.read(b"")
    assert type(read.error) is StreamError
    assert read.error.state is read.state
    assert read.state.id == ""


# --- error events ------------------------------------------------------------------------------------


def test_an_error_event_ends_the_stream_with_what_arrived(reader: Reader) -> None:
    sent = error_event(code="InternalError", message="Model failed.", request_id="r-1")
    read = reader.read(BEGUN, sent, run("completed"))
    assert type(read.error) is StreamError
    assert (read.error.code, read.error.request_id, read.error.state) == ("InternalError", "r-1", read.state)
    assert (read.state.text, read.state.status) == ("Hello", "in_progress")
    assert read.state.error is not None
    assert (read.state.error.code, read.state.error.message) == ("InternalError", "Model failed.")
    assert all(part in str(read.error) for part in ("InternalError", "Model failed.", "r-1", "recover"))
    assert len(str(read.error).splitlines()) <= 3
    assert len(read.events) == 4
    assert read.body is not None
    assert read.body.closed


@pytest.mark.parametrize(
    "fields",
    [{}, {"code": "", "message": None}, {"code": "X", "message": "a\nb\n\nc\nd"}, {"message": "long " * 500}],
)
def test_every_error_event_is_told_in_a_few_lines(fields: dict[str, Any], reader: Reader) -> None:
    read = reader.read(BEGUN, error_event(**fields))
    assert type(read.error) is StreamError
    assert len(str(read.error).splitlines()) <= 3
    assert len(str(read.error)) < 700


def test_an_error_event_at_the_very_end_counts_without_its_empty_line(reader: Reader) -> None:
    read = reader.read(BEGUN, error_event(code="X", message="m").rstrip())
    assert type(read.error) is StreamError
    assert read.error.code == "X"


# --- answers that are no stream ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        b"event:thread.message.delta\ndata:{not json\n\n",
        b"event:thread.message.delta\ndata:{}\n\n",
        b"event:thread.run.completed\ndata:[]\n\n",
        b"event:thread.run.completed\ndata:" + b"[" * 100_000 + b"\n\n",
        b"event:error\ndata:words\n\n",
    ],
)
def test_a_malformed_event_is_not_the_api(sent: bytes, reader: Reader) -> None:
    read = reader.read(BEGUN, sent, run("completed"))
    assert type(read.error) is ProtocolError
    assert read.error.state is read.state
    assert (read.state.text, len(read.events)) == ("Hello", 4)
    assert len(str(read.error).splitlines()) <= 3
    assert read.body is not None
    assert read.body.closed


def test_a_refusal_is_no_stream(reader: Reader) -> None:
    body = json.dumps({"code": "Throttling", "message": "Requests throttling triggered.", "request_id": "r-1"}).encode()
    read = reader.read(*single_bytes(body), status=429, kind="application/json", headers={"retry-after": "3"})
    assert isinstance(read.error, RateLimitError)
    assert (read.error.code, read.error.request_id, read.error.retry_after) == ("Throttling", "r-1", 3.0)
    assert read.events == []
    assert read.body is not None
    assert read.body.closed


def test_a_refusal_that_claims_to_be_a_stream_is_still_one(reader: Reader) -> None:
    read = reader.read(b'{"code": "InternalError", "message": "m"}', status=500)
    assert isinstance(read.error, APIError)
    assert read.error.code == "InternalError"


def test_one_object_in_place_of_a_stream_is_not_the_api(reader: Reader) -> None:
    read = reader.read(b'{"id": "run_1", "object": "thread.run"}', kind="application/json")
    assert type(read.error) is ProtocolError
    assert "one object" in str(read.error)


def test_a_page_of_html_in_place_of_a_stream_is_not_the_api(reader: Reader) -> None:
    read = reader.read(b"<html>Log in</html>", kind="text/html")
    assert type(read.error) is ProtocolError
    assert "text/html" in str(read.error)


def test_a_refusal_that_breaks_off_gave_no_answer(reader: Reader) -> None:
    read = reader.read(b'{"code"', httpx.ReadError("reset"), status=500, kind="application/json")
    assert type(read.error) is ConnectionFailed


def test_nothing_that_goes_wrong_shows_the_key(reader: Reader) -> None:
    for pieces in ([BEGUN], [error_event(code="X")], [httpx.ReadError("")], [b"event:error\ndata:x\n\n"]):
        read = reader.read(*pieces)
        assert read.error is not None
        assert KEY not in f"{read.error} {read.error!r} {read.stream!r} {read.state!r}"


# --- reading less, more, and again -------------------------------------------------------------------


def test_leaving_early_closes_the_connection_and_keeps_what_arrived(reader: Reader) -> None:
    read = reader.read(*single_bytes(WHOLE), most=3)
    assert read.error is None
    assert (read.state.text, read.state.status, len(read.events)) == ("Hel", "in_progress", 3)
    assert read.body is not None
    assert read.body.closed


def test_reading_on_after_the_end_gives_nothing() -> None:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=WHOLE, headers={"content-type": "text/event-stream"})

    async def use() -> tuple[int, int]:
        async with AsyncClient(URL, transport=httpx.MockTransport(handle)) as client:
            stream = client.runs.stream("thread_1", assistant_id="asst_1")
            return len([1 async for _ in stream]), len([1 async for _ in stream])

    with Client(URL, transport=httpx.MockTransport(handle)) as client:
        stream = client.runs.stream("thread_1", assistant_id="asst_1")
        assert (len(list(stream)), len(list(stream))) == (6, 0)
    assert asyncio.run(use()) == (6, 0)
    assert len(seen) == 2


def test_reading_can_be_interrupted_and_gone_on_with() -> None:
    answer = httpx.Response(200, stream=Pieces([WHOLE]), headers={"content-type": "text/event-stream"})
    with Client(URL, transport=httpx.MockTransport(lambda _: answer)) as client:
        with client.runs.stream("thread_1", assistant_id="asst_1") as stream:
            for event in stream:
                if event.name == "thread.message.delta":
                    break
            assert [event.name for event in stream][-1] == "done"
        assert stream.state.text == "Hello"


def test_a_stream_may_be_closed_twice_and_before_it_was_read() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise AssertionError(f"nothing may be sent, got {request.url}")

    async def use() -> None:
        client = AsyncClient(URL, transport=httpx.MockTransport(refuse))
        async with client, client.runs.stream("thread_1", assistant_id="asst_1") as stream:
            await stream.close()

    client = Client(URL, transport=httpx.MockTransport(refuse))
    with client, client.runs.stream("thread_1", assistant_id="asst_1") as stream:
        stream.close()
    asyncio.run(use())


def test_a_stream_shows_its_state() -> None:
    with Client(URL) as client:
        stream = client.runs.stream("thread_1", assistant_id="asst_1")
        assert repr(stream) == "RunStream(RunState(id='', status='', steps=0, chars=0))"


# --- several streams, one state ----------------------------------------------------------------------


def waiting() -> RunState:
    """The state of a run that has begun to speak and asks for a function."""
    state = RunState(requested_at=900.0)
    for event in parse_recording(BEGUN + ASKS + encode(DONE)):
        state.apply(event)
    return state


def test_the_stream_after_tool_outputs_goes_on_adding_up(reader: Reader) -> None:
    state = waiting()
    more = encode_event(
        "thread.message.completed",
        {"id": "message_2", "content": [{"type": "text", "text": {"value": "It is 5."}}], "role": "assistant"},
    )
    read = reader.read(run("queued") + run("in_progress") + more + run("completed") + encode(DONE), state=state)
    assert read.error is None
    assert read.state is state
    assert (state.text, state.status, state.requested_at) == ("Hello\n\nIt is 5.", "completed", 900.0)
    assert state.event_count == 6 + 5


def test_a_function_may_be_asked_for_again(reader: Reader) -> None:
    state = waiting()
    read = reader.read(run("queued") + ASKS + encode(DONE), state=state)
    assert (read.error, state.status, len(state.pending_calls)) == (None, "requires_action", 1)


@pytest.mark.parametrize(
    "arrived",
    [
        b"",
        comment("heartbeat"),
        encode_event("thread.run.step.completed", {"id": "step_1", "type": "tool_calls", "status": "completed"}),
        run("queued"),
    ],
)
def test_a_stream_after_tool_outputs_that_ends_early_is_broken(arrived: bytes, reader: Reader) -> None:
    """The state asked for action before the stream began; that is no end of this stream."""
    state = waiting()
    read = reader.read(arrived, state=state)
    assert type(read.error) is StreamError
    assert read.error.state is state
    assert state.text == "Hello"


def test_a_refusal_of_tool_outputs_leaves_the_state(reader: Reader) -> None:
    state = waiting()
    before = facts(state)
    read = reader.read(b'{"code": "InvalidParameter", "message": "m"}', status=400, state=state)
    assert isinstance(read.error, APIError)
    assert facts(state) == before


# --- real connections --------------------------------------------------------------------------------


class Server:
    """An HTTP/1.1 server that sends chunks, then waits for the client to go away, if it is told to."""

    def __init__(self, chunks: Iterable[bytes], *, ends: str = "whole") -> None:
        self.left = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(200)
                self.send_header("content-type", "text/event-stream;charset=UTF-8")
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                for chunk in chunks:
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
                if ends == "whole":
                    self.wfile.write(b"0\r\n\r\n")
                    return
                self.close_connection = True
                if ends == "waiting":
                    try:
                        gone = self.connection.recv(1) == b""
                    except ConnectionError:
                        gone = True
                    if gone:
                        server.left.set()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.url = f"http://127.0.0.1:{self._server.server_port}/api/v1"

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def pieces_of(content: bytes, length: int) -> list[bytes]:
    return [content[place : place + length] for place in range(0, len(content), length)]


@pytest.mark.parametrize("length", [1, 7, 1000])
def test_a_chunked_stream_of_a_real_server_gives_the_same_objects(length: int, reader: Reader) -> None:
    content = wire(FUNCTION)
    with Server(pieces_of(content, length)) as server:
        read = reader.use(server.url)
    assert read.error is None
    assert facts(read.state) == facts(summed(content))


def test_a_real_connection_that_breaks_leaves_what_arrived(reader: Reader) -> None:
    with Server([BEGUN], ends="broken") as server:
        read = reader.use(server.url)
    check_broken(read, "gave no whole answer")


@pytest.mark.parametrize("within", [True, False], ids=["with", "bare"])
def test_a_server_sees_that_the_reader_left(within: bool, reader: Reader) -> None:
    with Server([BEGUN], ends="waiting") as server:
        read = reader.use(server.url, most=2, within=within)
        assert server.left.wait(5)
    assert (read.error, read.state.status) == (None, "in_progress")


def test_a_server_that_falls_silent_breaks_the_stream() -> None:
    with Server([BEGUN], ends="waiting") as server:
        with Client(server.url, timeout=0.1) as client:
            stream = client.runs.stream("thread_1", assistant_id="asst_1")
            with pytest.raises(StreamError, match="did not answer in time") as caught:
                list(stream)
        assert server.left.wait(5)
    assert caught.value.state is stream.state
    assert stream.state.text == "Hello"


def test_the_first_event_is_there_before_the_last_one_is_sent() -> None:
    with Server([BEGUN], ends="waiting") as server:
        client = Client(server.url)
        with client, client.runs.stream("thread_1", assistant_id="asst_1") as stream:
            assert next(iter(stream)).name == "thread.run.created"
            assert not server.left.is_set()


def test_signs_of_life_keep_the_time_out_from_firing() -> None:
    """Each pause is short, all of them together are longer than the time-out."""

    def slowly() -> Iterator[bytes]:
        yield BEGUN
        for _ in range(8):
            time.sleep(0.1)
            yield comment("heartbeat")
        yield run("completed") + encode(DONE)

    with Server(slowly()) as server, Client(server.url, timeout=0.5) as client:
        stream = client.runs.stream("thread_1", assistant_id="asst_1")
        assert [event.name for event in stream][-1] == "done"
    assert stream.state.text == "Hello"
