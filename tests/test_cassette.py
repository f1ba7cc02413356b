"""What was recorded is replayed byte for byte, with the server gone; no secret is in the file."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import random
import re
import stat
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dashnb
from dashnb import cli
from dashnb.client.cassettes import (
    AsyncRecordingTransport,
    AsyncReplayTransport,
    RecordingTransport,
    ReplayTransport,
    read_cassette,
)
from dashnb.client.cassettes.player import Pace
from dashnb.client.cassettes.redaction import Redactor, Sieve
from dashnb.client.cassettes.runs import told_runs
from dashnb.client.client import AsyncClient, Client
from dashnb.client.failures import Backoff
from dashnb.credentials import REDACTED
from dashnb.errors import (
    CassetteMismatch,
    ConfigurationError,
    ConnectionFailed,
    DashnbError,
    ProtocolError,
    ServerError,
)
from dashnb.local.models.engine import TextPiece
from dashnb.local.service import BASE_URL, LocalService, make_engine
from dashnb.protocol.state import RunState
from dashnb.view import Heading, to_html, to_text
from scripted import numbered

URL = "http://api.example/api/v1"
KEY = "sk-canary0123456789abcdef"
TRANSCRIPTS = Path(__file__).parent / "transcripts"
ADD = {
    "type": "function",
    "function": {
        "name": "big_add",
        "description": "Add two integers.",
        "parameters": {
            "type": "object",
            "properties": {"left": {"type": "integer"}, "right": {"type": "integer"}},
            "required": ["left", "right"],
        },
    },
}
EVENTS = {"content-type": "text/event-stream"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHNB_PACE", "0")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "demo.jsonl"


def ticking() -> Callable[[], float]:
    return map(float, itertools.count()).__next__


class Chunks(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that comes in these chunks and then, perhaps, breaks."""

    def __init__(self, chunks: Sequence[bytes], failure: BaseException | None = None) -> None:
        self._chunks = chunks
        self._failure = failure

    def __iter__(self) -> Iterator[bytes]:
        yield from self._chunks
        if self._failure is not None:
            raise self._failure

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self:
            await asyncio.sleep(0)
            yield chunk


def answering(
    *answers: Sequence[bytes], headers: dict[str, str] = EVENTS, failure: BaseException | None = None
) -> httpx.MockTransport:
    """A server that answers in these chunks, one list for each request."""
    rest = iter(answers)
    return httpx.MockTransport(lambda request: httpx.Response(200, headers=headers, stream=Chunks(next(rest), failure)))


def chunks_of(http: httpx.Client, path: str = "/threads", **body: Any) -> list[bytes]:
    """The chunks of an answer, as far as they come."""
    found: list[bytes] = []
    with http.stream("POST", URL + path, json=body) as response:
        try:
            for chunk in response.iter_raw():
                found.append(chunk)
        except httpx.ReadError:
            found.append(b"BROKE")
    return found


def record(file: Path, inner: httpx.BaseTransport, *, paths: Sequence[str] = ("/threads",), **options: Any) -> None:
    with httpx.Client(transport=RecordingTransport(inner, file, base_url=URL, **options)) as http:
        for path in paths:
            chunks_of(http, path)


def replaying(file: Path, **options: Any) -> httpx.Client:
    return httpx.Client(transport=ReplayTransport(file, **options))


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").split("\n") if line]


# --- a whole conversation ------------------------------------------------------------------------


def converse(client: Client) -> tuple[RunState, list[Any]]:
    """A streamed run with a tool call and what the thread holds behind it; then a run that is waited for."""
    assistant = client.assistants.create(model="qwen-max", name="Adder", tools=[ADD])
    thread = client.threads.create(metadata={"topic": "Größe"})
    message = client.messages.create(thread.id, content="Add 87787 to 788988737")
    with client.runs.stream(thread.id, assistant_id=assistant.id) as stream:
        events = list(stream)
    state = stream.state
    (call,) = state.pending_calls
    outputs = [{"tool_call_id": call.id, "output": "789076524"}]
    submitted = client.runs.submit_tool_outputs(
        state.id, thread_id=thread.id, tool_outputs=outputs, stream=True, state=state
    )
    events += list(submitted)
    client.messages.create(thread.id, content="What is 2 + 3?")
    plain = client.assistants.create(model="qwen-max", name="Plain", metadata={"für": "请"})
    second = client.runs.create(thread.id, assistant_id=plain.id)
    ended = client.runs.wait(second.id, thread_id=thread.id)
    runs, messages = client.runs.list(thread.id), client.messages.list(thread.id)
    return state, [assistant, thread, message, events, submitted.engine, ended, runs, messages]


def everything(state: RunState) -> dict[str, Any]:
    """Every field of a state, those of its steps included."""
    fields = {
        name: getattr(state, name)
        for name in dir(state)
        if not name.startswith("_") and not callable(getattr(state, name))
    }
    assert {"text", "steps", "messages", "tool_calls", "usage", "requested_at", "duration_ms"} <= set(fields)
    return fields


def same(one: tuple[RunState, list[Any]], other: tuple[RunState, list[Any]]) -> None:
    heading = Heading("Adder", engine="guide", watched=True)
    assert everything(one[0]) == everything(other[0])
    assert to_html(one[0], heading) == to_html(other[0], heading)
    assert to_text(one[0], heading) == to_text(other[0], heading)
    assert one[1] == other[1]
    assert "789076524" in one[0].text


def replay(file: Path) -> tuple[RunState, list[Any]]:
    transport = ReplayTransport(file)
    with Client(transport.base_url, transport=transport, clock=ticking(), sleep=lambda _: None) as client:
        return converse(client)


def test_a_conversation_in_process_is_the_same_without_the_service(file: Path) -> None:
    with LocalService(":memory:", make_engine("guide")) as service:
        recording = RecordingTransport(service.transport(), file, base_url=BASE_URL)
        with Client(BASE_URL, transport=recording, clock=ticking()) as client:
            recorded = converse(client)
    same(recorded, replay(file))


def test_a_conversation_over_http_is_the_same_with_the_server_gone(file: Path) -> None:
    with dashnb.serve(0, engine="guide", database=":memory:", api_key=KEY) as server:
        recording = RecordingTransport(httpx.HTTPTransport(), file, base_url=server.base_url, secrets=[KEY])
        with Client(server.base_url, api_key=KEY, transport=recording, clock=ticking()) as client:
            recorded = converse(client)
    same(recorded, replay(file))
    assert KEY not in file.read_text("utf-8")


def test_a_cassette_is_recorded_and_replayed_by_connect(file: Path) -> None:
    with dashnb.connect("local", database=":memory:", record=file) as client:
        recorded = converse(client)
    threads = threading.enumerate()
    with dashnb.connect(f"replay:{file}") as client:
        assert client.base_url == BASE_URL
        again = converse(client)
        assert threading.enumerate() == threads
    assert again[0].text == recorded[0].text
    assert again[1] == recorded[1]


def test_a_session_with_a_function_is_replayed(file: Path) -> None:
    def big_add(left: int, right: int) -> int:
        """Add two integers.

        Args:
            left: The first one.
            right: The second one.
        """
        return left + right

    def ask(client: Client) -> tuple[str, str]:
        with dashnb.Session(client=client, tools=[big_add], ledger=None) as session:
            return session.ask("Add 87787 to 788988737").text, session.ask("What is 2 + 3?").text

    with dashnb.connect("local", database=":memory:", record=file) as client:
        recorded = ask(client)
    with dashnb.connect(f"replay:{file}") as client:
        assert ask(client) == recorded
    assert "789076524" in recorded[0]


class _Losing(httpx.BaseTransport):
    """A way on which the answer to the first new run is lost."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self._inner = inner
        self._lost = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._inner.handle_request(request)
        if request.url.path.endswith("/runs") and request.method == "POST" and not self._lost:
            self._lost = True
            response.close()
            raise httpx.ReadError("connection reset")
        return response

    def close(self) -> None:
        self._inner.close()


def _ask_with_keys(client: Client, keys: Iterator[str]) -> list[str]:
    with dashnb.Session(client=client, ledger=None, keys=lambda: next(keys)) as session:
        return [session.ask(f"What is {number} + 3?").text for number in (1, 2)]


def _long_keys(start: int) -> Iterator[str]:
    return (f"{number:032x}" for number in itertools.count(start * 7919))


def _record_with_keys(file: Path, keys: Iterator[str], *, loses: bool = False) -> list[str]:
    with LocalService(
        ":memory:", make_engine("guide"), ids=numbered(), clock=itertools.count(1711508433283).__next__
    ) as service:
        inner = service.transport()
        recording = RecordingTransport(_Losing(inner) if loses else inner, file, base_url=BASE_URL, clock=ticking())
        with Client(BASE_URL, transport=recording, clock=ticking(), sleep=lambda _: None) as client:
            return _ask_with_keys(client, keys)


def test_a_recording_does_not_depend_on_the_keys_of_its_requests(tmp_path: Path) -> None:
    contents = []
    for start in (1, 2):
        file = tmp_path / f"{start}.jsonl"
        _record_with_keys(file, _long_keys(start))
        contents.append(re.sub(r'"ms": [0-9.]+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', "", file.read_text("utf-8")))
    assert contents[0] == contents[1]
    assert f"{1:032}" in contents[0]


def test_a_cassette_from_before_there_were_keys_is_replayed(file: Path) -> None:
    recorded = _record_with_keys(file, _long_keys(1))
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    for line in lines:
        if (body := line.get("request", {}).get("json")) is not None:
            body.pop("metadata", None)
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    with dashnb.connect(f"replay:{file}") as client:
        assert _ask_with_keys(client, _long_keys(2)) == recorded


def test_a_run_that_was_found_by_its_key_is_found_again_in_the_replay(file: Path) -> None:
    recorded = _record_with_keys(file, _long_keys(1), loses=True)
    with dashnb.connect(f"replay:{file}") as client:
        assert _ask_with_keys(client, _long_keys(2)) == recorded
    assert "equals 4" in recorded[0]


async def aconverse(client: AsyncClient) -> tuple[RunState, list[Any]]:
    assistant = await client.assistants.create(model="qwen-max", tools=[ADD])
    thread = await client.threads.create(messages=[{"role": "user", "content": "Add 87787 to 788988737"}])
    async with client.runs.stream(thread.id, assistant_id=assistant.id) as stream:
        events = [event async for event in stream]
    (call,) = stream.state.pending_calls
    outputs = [{"tool_call_id": call.id, "output": "789076524"}]
    submitted = client.runs.submit_tool_outputs(
        stream.state.id, thread_id=thread.id, tool_outputs=outputs, stream=True, state=stream.state
    )
    events += [event async for event in submitted]
    return stream.state, [assistant, thread, events, await client.runs.list(thread.id)]


def test_the_awaited_client_records_and_replays_the_same(file: Path) -> None:
    async def recorded() -> tuple[RunState, list[Any]]:
        with LocalService(":memory:", make_engine("guide")) as service:
            recording = AsyncRecordingTransport(service.async_transport(), file, base_url=BASE_URL)
            async with AsyncClient(BASE_URL, transport=recording, clock=ticking()) as client:
                return await aconverse(client)

    async def replayed() -> tuple[RunState, list[Any]]:
        transport = AsyncReplayTransport(file)
        async with AsyncClient(transport.base_url, transport=transport, clock=ticking()) as client:
            return await aconverse(client)

    same(asyncio.run(recorded()), asyncio.run(replayed()))


def test_what_one_kind_of_client_recorded_the_other_replays(file: Path) -> None:
    with LocalService(":memory:", make_engine("guide")) as service:
        recording = RecordingTransport(service.transport(), file, base_url=BASE_URL)
        with Client(BASE_URL, transport=recording) as client:
            thread = client.threads.create()

    async def replayed() -> Any:
        async with AsyncClient(BASE_URL, transport=AsyncReplayTransport(file)) as client:
            return await client.threads.create()

    assert asyncio.run(replayed()) == thread


# --- bytes ---------------------------------------------------------------------------------------


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=8), st.booleans(), st.sampled_from(["event-stream", "x"]))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_come_again_in_the_same_chunks(file: Path, chunks: list[bytes], breaks: bool, kind: str) -> None:
    failure = httpx.ReadError("cut") if breaks else None
    inner = answering(chunks, headers={"content-type": f"text/{kind}"}, failure=failure)
    record(file, inner)
    expected = [*chunks, b"BROKE"] if breaks else chunks
    with replaying(file) as http:
        assert chunks_of(http) == expected


@given(st.text(max_size=60), st.lists(st.integers(0, 200), max_size=6))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_text_cut_anywhere_comes_again_in_the_same_chunks(file: Path, text: str, cuts: list[int]) -> None:
    content = f"data:{text}\n\n".encode()
    places = sorted({0, len(content), *(cut for cut in cuts if cut < len(content))})
    chunks = [content[start:end] for start, end in itertools.pairwise(places)]
    record(file, answering(chunks))
    with replaying(file) as http:
        assert chunks_of(http) == chunks


def test_a_packed_answer_is_kept_and_handed_on_unpacked(file: Path) -> None:
    import gzip

    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers["accept-encoding"])
        packed = gzip.compress(json.dumps({"key": KEY}).encode())
        headers = {"content-type": "application/json", "content-encoding": "gzip"}
        return httpx.Response(200, headers=headers, stream=Chunks([packed]))

    with httpx.Client(transport=RecordingTransport(httpx.MockTransport(answer), file, secrets=[KEY])) as http:
        assert http.get(URL).json() == {"key": KEY}
    assert asked == ["identity"]
    with replaying(file) as http:
        assert http.get(URL).json() == {"key": REDACTED}


def test_a_stream_that_broke_breaks_at_the_same_byte_and_is_joined_again(file: Path) -> None:
    class Breaking(httpx.BaseTransport):
        """Lets a stream break after its sixth chunk."""

        def __init__(self, inner: httpx.BaseTransport) -> None:
            self._inner = inner

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            response = self._inner.handle_request(request)
            if "event-stream" not in response.headers["content-type"] or request.method == "GET":
                return response
            chunks = list(itertools.islice(response.iter_bytes(), 6))
            response.close()
            chunks[-1] = chunks[-1][:-7]
            return httpx.Response(200, headers=response.headers, stream=Chunks(chunks, httpx.ReadError("gone")))

    def ask(client: Client) -> RunState:
        assistant = client.assistants.create(model="qwen-max")
        thread = client.threads.create(messages=[{"role": "user", "content": "What is 2 + 3?"}])
        with client.runs.stream(thread.id, assistant_id=assistant.id) as stream:
            list(stream)
        return stream.state

    quick = Backoff(first=0.0, rng=random.Random(1))
    with LocalService(":memory:", make_engine("guide")) as service:
        recording = RecordingTransport(Breaking(service.transport()), file, base_url=BASE_URL)
        with Client(BASE_URL, transport=recording, clock=ticking(), backoff=quick) as client:
            recorded = ask(client)
    with Client(BASE_URL, transport=ReplayTransport(file), clock=ticking(), backoff=quick) as client:
        assert everything(ask(client)) == everything(recorded)
    assert [line["end"] for line in lines(file) if "end" in line].count("broke") == 1
    (run,) = told_runs(read_cassette(file))
    state = RunState()
    for _ in run.states(state, Pace(None, ticking()), lambda _: None):
        pass
    assert (state.text, state.status, state.event_count) == (recorded.text, "completed", recorded.event_count)


def test_failures_before_any_answer_come_again(file: Path) -> None:
    outcomes = iter([httpx.ConnectError("refused"), httpx.Response(503), httpx.Response(200, json={"id": "thread_1"})])

    def answer(request: httpx.Request) -> httpx.Response:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    slept: list[float] = []
    for transport in (
        lambda: RecordingTransport(httpx.MockTransport(answer), file, base_url=URL),
        lambda: ReplayTransport(file),
    ):
        backoff = Backoff(rng=random.Random(1))
        with Client(URL, transport=transport(), sleep=slept.append, backoff=backoff) as client:
            assert client.threads.retrieve("thread_1").id == "thread_1"
    assert slept[:2] == slept[2:]


def test_errors_come_again_as_what_they_were(file: Path) -> None:
    headers = {"x-request-id": "req-1", "set-cookie": "session=1"}
    inner = httpx.MockTransport(lambda _: httpx.Response(500, json={"code": "Down"}, headers=headers))
    for transport in (lambda: RecordingTransport(inner, file, base_url=URL), lambda: ReplayTransport(file)):
        with Client(URL, transport=transport()) as client, pytest.raises(ServerError) as caught:
            client.threads.create()
        assert (caught.value.code, caught.value.request_id) == ("Down", "req-1")
    assert "session=1" not in file.read_text()


def test_a_time_out_comes_again(file: Path) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("nothing came")

    for transport in (
        lambda: RecordingTransport(httpx.MockTransport(answer), file, base_url=URL),
        lambda: ReplayTransport(file),
    ):
        with Client(URL, transport=transport()) as client, pytest.raises(ConnectionFailed, match="ReadTimeout"):
            client.threads.create()


# --- the file ------------------------------------------------------------------------------------


def test_the_file_says_what_it_is_and_grows_line_by_line(file: Path) -> None:
    seen: list[int] = []

    class Watched(Chunks):
        def __iter__(self) -> Iterator[bytes]:
            for chunk in self._chunks:
                seen.append(len(lines(file)))
                yield chunk

    inner = httpx.MockTransport(lambda _: httpx.Response(200, headers=EVENTS, stream=Watched([b"a:1\n", b"b:2\n"])))
    record(file, inner)
    assert lines(file)[0] == {"dashnb_cassette": 1, "made_by": f"dashnb {dashnb.__version__}", "base_url": URL}
    assert seen == [3, 4]
    assert lines(file)[1]["request"]["path"] == "/api/v1/threads"
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_an_interrupt_in_the_middle_leaves_a_cassette_that_can_be_read(file: Path) -> None:
    chunks = [b"data:1\n\n", b"data:2\n\n", b"data:hal"]
    inner = answering(chunks, failure=KeyboardInterrupt())
    transport = RecordingTransport(inner, file, base_url=URL)
    http = httpx.Client(transport=transport)
    with pytest.raises(KeyboardInterrupt):
        chunks_of(http)
    http.close()
    (exchange,) = read_cassette(file).exchanges
    assert [chunk for _, chunk in exchange.chunks] == chunks
    assert exchange.end == "left"
    with replaying(file) as again, pytest.raises(CassetteMismatch, match=r"request 1 .* is not whole"):
        chunks_of(again)


def test_a_reader_that_leaves_early_leaves_early_again(file: Path) -> None:
    inner = answering([b"1\n", b"2\n", b"3\n"])
    for transport in (RecordingTransport(inner, file, base_url=URL), ReplayTransport):
        way = transport if isinstance(transport, RecordingTransport) else transport(file)
        with httpx.Client(transport=way) as http, http.stream("GET", URL) as response:
            assert next(response.iter_raw()) == b"1\n"
    assert [chunk for _, chunk in read_cassette(file).exchanges[0].chunks] == [b"1\n"]


def test_a_task_that_is_cancelled_leaves_a_cassette_that_can_be_read(file: Path) -> None:
    class Endless(Chunks):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"1\n"
            await asyncio.sleep(60)

    inner = httpx.MockTransport(lambda _: httpx.Response(200, headers=EVENTS, stream=Endless([])))

    async def read() -> None:
        arrived = asyncio.Event()

        async def follow() -> None:
            way = httpx.AsyncClient(transport=AsyncRecordingTransport(inner, file))
            async with way as http, http.stream("GET", URL) as response:
                async for _ in response.aiter_raw():
                    arrived.set()

        task = asyncio.create_task(follow())
        await arrived.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(read())
    (exchange,) = read_cassette(file).exchanges
    assert ([chunk for _, chunk in exchange.chunks], exchange.end) == ([b"1\n"], "left")


def test_a_run_that_a_person_stopped_is_stopped_again(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(client: Client) -> tuple[str, str]:
        with dashnb.Session(client=client, ledger=None) as session:
            states = session.stream("What is 999 × 998?")
            state = next(state for state in states if state.text)
            states.close()
            return state.text, state.status

    monkeypatch.setenv("DASHNB_PACE", "50")
    with dashnb.connect("local", database=":memory:", record=file) as client:
        stopped = stop(client)
    with dashnb.connect(f"replay:{file}") as client:
        assert stop(client) == stopped
    assert stopped[1] == "cancelled"
    assert cli.main(["replay", str(file)]) == 0
    out = capsys.readouterr().out
    assert stopped[0] in out
    assert "cancelled" in out


def test_half_a_line_at_the_end_is_dropped_and_a_broken_one_before_is_named(file: Path) -> None:
    record(file, answering([b"1\n", b"2\n"]))
    content = file.read_bytes()
    for cut in range(len(content.split(b"\n")[0]) + 1, len(content)):
        file.write_bytes(content[:cut])
        read_cassette(file)
    file.write_bytes(content.replace(b'"chunk": "1', b'"chunk": 1', 1))
    with pytest.raises(ProtocolError, match=r"demo.jsonl is broken in line 4"):
        read_cassette(file)


@pytest.mark.parametrize(("content", "kind", "message"), [
    (None, ConfigurationError, "demo.jsonl cannot be read: No such file"),
    (b"", ProtocolError, "demo.jsonl is empty"),
    (b"event:done\ndata:[DONE]\n\n", ProtocolError, "is no cassette"),
    (b'{"event": "done"}\n', ProtocolError, "is no cassette"),
    (b'{"dashnb_cassette": 2}\n', ProtocolError, "is of version 2, .* reads version 1; update dashnb"),
    (b'{"dashnb_cassette": 1}\n{"n": 1, "ms": 1, "end": "whole"}\n', ProtocolError, "broken in line 2"),
    (b'{"dashnb_cassette": 1}\n[]\n\xff\n', ProtocolError, "broken in line 2"),
])  # fmt: skip
def test_a_file_that_cannot_be_replayed_says_why(
    file: Path, content: bytes | None, kind: type[DashnbError], message: str
) -> None:
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(kind, match=message):
        dashnb.connect(f"replay:{file}")


def test_an_earlier_cassette_is_replaced_and_any_other_file_is_left(file: Path) -> None:
    record(file, answering([b"1"]))
    record(file, answering([b"2"]))
    assert [chunk for _, chunk in read_cassette(file).exchanges[0].chunks] == [b"2"]
    file.write_text("my thesis")
    with pytest.raises(ConfigurationError, match="is no cassette; it is left as it is"):
        record(file, answering([b"3"]))
    assert file.read_text() == "my thesis"
    with pytest.raises(ConfigurationError, match="cannot be written"):
        record(file.parent / "missing" / "demo.jsonl", answering([b"3"]))


# --- secrets -------------------------------------------------------------------------------------


def test_a_key_that_the_server_echoes_in_two_halves_is_not_in_the_file(file: Path) -> None:
    event = f'event:x\ndata:{{"you sent": "{KEY}", "more": "x"}}\n\n'.encode()
    place = event.index(KEY.encode())
    for cut in range(1, len(event)):
        record(file, answering([event[:cut], event[cut:]]), secrets=[KEY])
        kept = b"".join(chunk for _, chunk in read_cassette(file).exchanges[0].chunks)
        assert kept == event.replace(KEY.encode(), REDACTED.encode())
        text = file.read_text("utf-8")
        assert KEY[:10] not in text
        assert place


def test_no_header_with_a_key_is_in_the_file(file: Path) -> None:
    inner = httpx.MockTransport(lambda _: httpx.Response(200, json={"id": "thread_1"}))
    with Client(
        URL, api_key="key-of-no-known-form", workspace="ws-canary", transport=RecordingTransport(inner, file)
    ) as c:
        c.threads.create()
    text = file.read_text()
    assert "key-of-no-known-form" not in text
    assert "ws-canary" not in text
    assert set(lines(file)[1]["request"]["headers"]) == {"accept", "content-type"}


ODD = 'pa"ss\\wörd/+? &=7'


@pytest.mark.parametrize("form", [
    pytest.param(ODD, id="as it is"),
    pytest.param(json.dumps(ODD)[1:-1], id="as JSON"),
    pytest.param(json.dumps(ODD, ensure_ascii=False)[1:-1], id="as JSON with its own letters"),
    pytest.param("".join(f"\\u{ord(char):04x}" for char in ODD), id="as JSON with nothing but escapes"),
    pytest.param(httpx.QueryParams({"k": ODD}).__str__()[2:], id="in a URL"),
    *(pytest.param(base64.b64encode((before + ODD + " and more").encode()).decode(), id=f"base64 {before}")
      for before in ("", "x", "xy", "xyz")),
])  # fmt: skip
def test_a_secret_is_found_in_other_spellings(form: str) -> None:
    redactor = Redactor([ODD])
    text = redactor.text(f'{{"a": "{form}", "b": 1}}' if '"' not in form.replace('\\"', "") else form)
    assert REDACTED in text
    assert form not in text
    if text.startswith("{"):
        value = json.loads(text)
        assert ODD not in value["a"]
        assert value["b"] == 1


def test_a_key_in_bodies_paths_and_messages_is_taken_out(file: Path) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError(f"no way with {KEY}")

    with httpx.Client(transport=RecordingTransport(httpx.MockTransport(answer), file, secrets=[KEY])) as http:
        for body in ({"json": {"key": KEY, KEY: 1}}, {"content": f"text {KEY}"}):
            with pytest.raises(httpx.ConnectError):
                http.post(f"{URL}/threads", params={"key": KEY}, **body)
    assert KEY not in file.read_text()
    with replaying(file) as http:
        for body in ({"json": {"key": "another", "name": 1}}, {"content": "text another"}):
            with pytest.raises(httpx.ConnectError, match=re.escape(f"no way with {REDACTED}")):
                http.post(f"{URL}/threads", params={"key": "another"}, **body)


def test_one_text_in_place_of_several_is_one() -> None:
    assert Redactor("canary", r"\d+").text("a canary, 12 years") == f"a {REDACTED}, {REDACTED} years"


def test_keys_and_bearer_tokens_of_any_program_are_taken_out() -> None:
    redactor = Redactor()
    for secret in ("sk-0123456789abcdef0123", "sk-proj-0123456789abcdef0123", "Bearer eyJhbGciOi.J9abcdef-0"):
        assert redactor.text(f"with {secret} in it") == f"with {REDACTED} in it"
        assert redactor.text(json.dumps({"a": f"\n{secret}\n"})) == json.dumps({"a": f"\n{REDACTED}\n"})
    for ordinary in ("task-management-of-everything", "the bearer of good news", "sk-short"):
        assert redactor.text(ordinary) == ordinary


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 10**12) | st.text('ab1"\\\n é7', max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab1"\\é', max_size=6), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, st.sampled_from([r"\d{2,}", r"[ab]+", r'"[^"]*": *"[^"]*"', r"1.*", r"[\[\]{},:]+", "null|true", r"\\."]))
@settings(max_examples=300, deadline=None)
def test_json_stays_json_whatever_a_pattern_finds(value: Any, pattern: str) -> None:
    redactor = Redactor(["ab1é"], [pattern])
    for ascii_only in (True, False):
        text = json.dumps(value, ensure_ascii=ascii_only)
        clean = redactor.text(text)
        json.loads(clean)
        assert redactor.text(f"data: {text}") == f"data: {clean}"


@given(
    st.lists(st.sampled_from(["canary-1", "can", "ary-1", "x", "\n", "é", '{"a":"', '"}', "\\"]), max_size=12),
    st.lists(st.integers(0, 80), max_size=6),
)
@settings(max_examples=300, deadline=None)
def test_where_a_stream_is_cut_does_not_change_what_is_kept(words: list[str], cuts: list[int]) -> None:
    content = "".join(words).encode()
    places = sorted({0, len(content), *(cut for cut in cuts if cut < len(content))})
    kept = []
    for chunks in ([content], [content[start:end] for start, end in itertools.pairwise(places)]):
        sieve = Sieve(Redactor(["canary-1"]), by_line=True)
        parts = [part for number, chunk in enumerate(chunks) for part in sieve.feed(float(number), chunk)]
        parts += sieve.flush()
        assert [at for at, _ in parts] == sorted(at for at, _ in parts)
        kept.append(b"".join(part for _, part in parts))
    assert kept[0] == kept[1]
    assert b"canary-1" not in kept[0]


def deltas(pieces: Sequence[str]) -> bytes:
    """The events of a message that comes in these pieces."""
    return b"".join(
        b"event:thread.message.delta\ndata:"
        + json.dumps({"id": "m", "delta": {"content": [{"text": {"value": piece}}]}}, ensure_ascii=False).encode()
        + b"\n\n"
        for piece in pieces
    )


def said(content: bytes) -> str:
    """What the deltas of a stream say together."""
    events = (json.loads(line[5:]) for line in content.split(b"\n") if line.startswith(b"data:"))
    return "".join(event["delta"]["content"][0]["text"]["value"] for event in events)


def cut(content: Any, cuts: Sequence[int]) -> list[Any]:
    """A text or bytes, cut at these places."""
    places = sorted({0, len(content), *(place for place in cuts if place < len(content))})
    return [content[start:end] for start, end in itertools.pairwise(places)]


@given(
    st.lists(st.sampled_from([KEY, "pass word", "sk-9876543210fedcba98", "s", "sk-", "pa", " ", 'é"\\\n']), max_size=6),
    st.lists(st.integers(0, 90), max_size=30),
    st.lists(st.integers(0, 3000), max_size=20),
)
@settings(max_examples=300, deadline=None)
def test_a_key_that_a_model_spells_out_in_many_events_is_not_kept(
    words: list[str], pieces: list[int], chunks: list[int]
) -> None:
    text = "|".join(words)
    content = deltas(cut(text, pieces))
    sieve = Sieve(Redactor([KEY, "pass word"]), by_line=True)
    kept = [part for at, chunk in enumerate(cut(content, chunks)) for part in sieve.feed(float(at), chunk)]
    kept += sieve.flush()
    secrets = (KEY, "pass word", "sk-9876543210fedcba98")
    expected = "|".join(REDACTED if word in secrets else word for word in words)
    whole = b"".join(chunk for _, chunk in kept)
    assert said(whole) == expected
    if expected == text:
        assert [chunk for _, chunk in kept] == cut(content, chunks)


def test_a_session_in_which_the_answer_repeats_the_key_is_kept_without_it(file: Path) -> None:
    class Parrot:
        name = "parrot"

        async def answer(self, turn: Any) -> AsyncIterator[Any]:
            for piece in ("The key is ", *KEY, ", is it not?"):
                yield TextPiece(piece)

    def ask(client: Client) -> RunState:
        with dashnb.Session(client=client, ledger=None) as session:
            return session.ask("What is the key?")

    with LocalService(":memory:", Parrot()) as service:
        recording = RecordingTransport(service.transport(), file, base_url=BASE_URL, secrets=[KEY])
        with Client(BASE_URL, transport=recording) as client:
            assert KEY in ask(client).text
    with Client(BASE_URL, transport=ReplayTransport(file)) as client:
        assert ask(client).text == f"The key is {REDACTED}, is it not?"
    streams = [exchange for exchange in read_cassette(file).exchanges if exchange.is_stream]
    found = [event.text for run in told_runs(read_cassette(file)) for events in run.streams for _, event in events]
    assert len(streams) == 1
    assert "".join(found) == f"The key is {REDACTED}, is it not?"


def test_the_beginning_of_a_key_that_a_break_cut_off_is_taken_out(file: Path) -> None:
    record(file, answering([f"data: {KEY[:12]}".encode()], failure=httpx.ReadError("cut")), secrets=[KEY])
    assert [chunk for _, chunk in read_cassette(file).exchanges[0].chunks] == [f"data: {REDACTED}".encode()]


def test_connect_takes_the_keys_of_the_settings_and_patterns_out(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHNB_LLM_KEY", "model-server-key")
    options = {"record": file, "api_key": "own-canary", "redact": [r"\b138\d{8}\b"]}
    with dashnb.connect("local", database=":memory:", **options) as client:  # type: ignore[arg-type]  # a table
        thread = client.threads.create(metadata={"a": "own-canary", "b": "model-server-key", "c": "13800000000"})
        assert thread.metadata["a"] == "own-canary"
    text = file.read_text()
    assert all(secret not in text for secret in ("own-canary", "model-server-key", "13800000000"))
    with dashnb.connect(f"replay:{file}") as client:
        again = client.threads.create(metadata={"a": "other", "b": "key", "c": "1"})
        assert again.metadata == {"a": REDACTED, "b": REDACTED, "c": REDACTED}


def test_a_pattern_that_is_none_leaves_nothing_open(file: Path) -> None:
    threads = threading.enumerate()
    with pytest.raises(ConfigurationError, match=r"'\(' is no regular expression"):
        dashnb.connect("local", database=":memory:", record=file, redact=["("])
    assert threading.enumerate() == threads
    assert not file.exists()


# --- which exchange answers ----------------------------------------------------------------------


def counting() -> httpx.MockTransport:
    """A server that says how many requests there were."""
    numbers = itertools.count(1)
    return httpx.MockTransport(lambda _: httpx.Response(200, json={"id": f"x_{next(numbers)}"}))


def recorded(file: Path, *requests: tuple[str, str], body: Any = None) -> None:
    with httpx.Client(transport=RecordingTransport(counting(), file, base_url=URL)) as http:
        for method, path in requests:
            http.request(method, URL + path, json=body if method == "POST" else None)


def replayed(file: Path, *requests: tuple[str, str]) -> list[str]:
    with replaying(file) as http:
        return [http.request(method, URL + path).json()["id"] for method, path in requests]


LOOK, WRITE, OTHER = ("GET", "/threads/t/runs/r"), ("POST", "/threads"), ("GET", "/threads/t")


@pytest.mark.parametrize(("requests", "answers"), [
    pytest.param([WRITE, LOOK, LOOK, LOOK, WRITE, OTHER], "123456", id="as recorded"),
    pytest.param([WRITE, LOOK, WRITE, OTHER], "1256", id="looked at less often"),
    pytest.param([WRITE, LOOK, LOOK, LOOK, LOOK, LOOK, WRITE], "1234445", id="looked at more often"),
])  # fmt: skip
def test_a_run_may_be_looked_at_more_or_less_often(file: Path, requests: list[tuple[str, str]], answers: str) -> None:
    recorded(file, WRITE, LOOK, LOOK, LOOK, WRITE, OTHER)
    assert replayed(file, *requests) == [f"x_{number}" for number in answers]


@pytest.mark.parametrize("requests", [
    pytest.param([LOOK], id="a write left out"),
    pytest.param([WRITE, WRITE], id="a first look left out"),
    pytest.param([WRITE, LOOK, LOOK, LOOK, WRITE, LOOK], id="a look again after a write"),
    pytest.param([WRITE, OTHER], id="another object"),
])  # fmt: skip
def test_any_other_order_is_a_mismatch(file: Path, requests: list[tuple[str, str]]) -> None:
    recorded(file, WRITE, LOOK, LOOK, LOOK, WRITE, OTHER)
    with pytest.raises(CassetteMismatch):
        replayed(file, *requests)


def test_requests_of_the_same_time_may_come_in_any_order_and_others_may_not(file: Path) -> None:
    names = [f"/threads/t{number}" for number in range(8)]
    barrier = threading.Barrier(len(names))

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            barrier.wait(10)
        return httpx.Response(200, json={"id": request.url.path})

    with httpx.Client(transport=RecordingTransport(httpx.MockTransport(answer), file, base_url=URL)) as http:
        threads = [threading.Thread(target=http.post, args=(URL + name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        http.get(f"{URL}/late")
    numbers = [line["n"] for line in lines(file) if "request" in line]
    assert numbers == sorted(numbers)
    order = [*names]
    random.Random(5).shuffle(order)
    with replaying(file) as http:
        assert [http.post(URL + name).json()["id"] for name in order] == [f"/api/v1{name}" for name in order]
    with replaying(file) as http, pytest.raises(CassetteMismatch):
        http.get(f"{URL}/late")


def test_awaited_streams_at_the_same_time_keep_their_chunks(file: Path) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        name = request.url.path[-1]
        return httpx.Response(200, headers=EVENTS, stream=Chunks([f"{name}{n}\n".encode() for n in range(5)]))

    async def read(transport: httpx.AsyncBaseTransport, names: str) -> dict[str, list[bytes]]:
        async with httpx.AsyncClient(transport=transport) as http:

            async def one(name: str) -> list[bytes]:
                async with http.stream("POST", f"{URL}/{name}") as response:
                    return [chunk async for chunk in response.aiter_raw()]

            return dict(zip(names, await asyncio.gather(*map(one, names)), strict=True))

    first = asyncio.run(read(AsyncRecordingTransport(httpx.MockTransport(answer), file), "abc"))
    numbers = [line["n"] for line in lines(file) if "chunk" in line]
    assert numbers != sorted(numbers)
    assert asyncio.run(read(AsyncReplayTransport(file), "cab")) == first
    assert first["b"] == [b"b0\n", b"b1\n", b"b2\n", b"b3\n", b"b4\n"]


def test_an_awaited_reader_that_leaves_or_breaks_is_the_same_again(file: Path) -> None:
    inner = answering([b"1\n", b"2\n"], failure=httpx.ReadError("cut"))

    async def read(transport: httpx.AsyncBaseTransport) -> list[bytes]:
        found: list[bytes] = []

        async def to_the_break(response: httpx.Response) -> None:
            async for chunk in response.aiter_raw():
                found.append(chunk)

        async with httpx.AsyncClient(transport=transport) as http, http.stream("GET", URL) as response:
            with pytest.raises(httpx.ReadError, match="cut"):
                await to_the_break(response)
        return found

    assert asyncio.run(read(AsyncRecordingTransport(inner, file))) == [b"1\n", b"2\n"]
    assert asyncio.run(read(AsyncReplayTransport(file))) == [b"1\n", b"2\n"]


def mismatch(file: Path, method: str, path: str, **more: Any) -> list[str]:
    with replaying(file) as http, pytest.raises(CassetteMismatch) as caught:
        http.request(method, URL + path, **more)
    return str(caught.value).split("\n")


def test_a_mismatch_says_what_was_expected_what_came_and_what_to_do(file: Path) -> None:
    body = {"model": "qwen-max", "metadata": {str(number): number for number in range(20)}}
    recorded(file, ("POST", "/assistants"), body=body)
    assert mismatch(file, "POST", "/threads?a=1") == [
        f"Request 1 is not the one in the cassette {file}.",
        "Expected, as request 1 of the cassette: POST /api/v1/assistants",
        "Came: POST /api/v1/threads?a=1",
        f"Send what was recorded, or record again: dashnb.connect(…, record={str(file)!r}).",
    ]
    other = mismatch(file, "POST", "/assistants", json={**body, "model": "qwen-plus"})
    assert other[1:-1] == [
        "It is POST /api/v1/assistants, as request 1 of the cassette, with another body:",
        '-  "model": "qwen-max"',
        '+  "model": "qwen-plus"',
    ]
    longest = mismatch(file, "POST", "/assistants", json={"name": "x" * 1000, "key": "sk-0123456789abcdef0123"})
    assert len(longest) <= 10
    assert max(map(len, longest)) < 200
    assert "sk-0123" not in "".join(longest)
    assert longest[-2].startswith("… and ")


def test_true_is_not_one_and_one_is_one(file: Path) -> None:
    recorded(file, WRITE, body={"a": 1})
    with replaying(file) as http:
        assert http.post(f"{URL}/threads", json={"a": 1.0}).json() == {"id": "x_1"}
    assert '+  "a": true' in mismatch(file, "POST", "/threads", json={"a": True})


def test_the_end_of_the_cassette_is_named(file: Path) -> None:
    recorded(file, WRITE)
    with replaying(file) as http:
        http.post(f"{URL}/threads")
        with pytest.raises(CassetteMismatch) as caught:
            http.post(f"{URL}/threads")
    message = str(caught.value)
    assert message.startswith(f"The cassette {file} is at its end: it holds 1 request.\nRequest 2 came on top: POST /")


def test_a_request_that_was_never_answered_is_named(file: Path) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    recording = RecordingTransport(httpx.MockTransport(answer), file)
    with httpx.Client(transport=recording) as http, pytest.raises(KeyboardInterrupt):
        http.get(URL)
    assert "Request 1 of the cassette" in mismatch(file, "GET", "")[0]


def test_a_mismatch_passes_through_the_client_as_it_is(file: Path) -> None:
    recorded(file, WRITE)
    with dashnb.connect(f"replay:{file}") as client, pytest.raises(CassetteMismatch):
        client.assistants.create(model="qwen-max")


# --- time ----------------------------------------------------------------------------------------


class Hours:
    """A clock that goes on when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 5000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 3))
        self.now += seconds * 1000

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)


def timed(file: Path) -> list[bytes]:
    """A cassette with an answer after 100 ms, chunks at 200, 200 and 1200 ms, and its end at 1300 ms."""
    hours = Hours()

    class Slow(Chunks):
        def __iter__(self) -> Iterator[bytes]:
            for wait, chunk in ((0.1, b"a\n"), (0, b"b\n"), (1, b"c\n")):
                hours.sleep(wait)
                yield chunk
            hours.sleep(0.1)

    def answer(request: httpx.Request) -> httpx.Response:
        hours.sleep(0.1)
        return httpx.Response(200, headers=EVENTS, stream=Slow([]))

    record(file, httpx.MockTransport(answer), clock=hours.clock)
    return [b"a\n", b"b\n", b"c\n"]


@pytest.mark.parametrize(("speed", "slept"), [
    (None, []), (1, [0.1, 0.1, 1.0, 0.1]), (10, [0.01, 0.01, 0.1, 0.01]), (0.5, [0.2, 0.2, 2.0, 0.2]),
])  # fmt: skip
def test_the_speed_of_a_replay_is_chosen(file: Path, speed: float | None, slept: list[float]) -> None:
    chunks = timed(file)
    hours = Hours()
    with replaying(file, speed=speed, clock=hours.clock, sleep=hours.sleep) as http:
        assert chunks_of(http) == chunks
    assert hours.slept == slept

    async def read() -> list[bytes]:
        transport = AsyncReplayTransport(file, speed=speed, clock=hours.clock, sleep=hours.asleep)
        way = httpx.AsyncClient(transport=transport)
        async with way as http, http.stream("POST", f"{URL}/threads", json={}) as response:
            return [chunk async for chunk in response.aiter_raw()]

    hours.slept.clear()
    assert asyncio.run(read()) == chunks
    assert hours.slept == slept


def test_time_that_the_reader_takes_is_not_waited_for_again(file: Path) -> None:
    timed(file)
    hours = Hours()
    way = replaying(file, speed=1, clock=hours.clock, sleep=hours.sleep)
    with way as http, http.stream("POST", f"{URL}/threads", json={}) as response:
        for _ in response.iter_raw():
            hours.now += 5000
    assert hours.slept == [0.1, 0.1]


@pytest.mark.parametrize("speed", [0, -1, float("nan"), float("inf")])
def test_a_speed_that_cannot_be_meant_is_refused(file: Path, speed: float) -> None:
    timed(file)
    with pytest.raises(ConfigurationError, match="speed must be a number above 0"):
        dashnb.connect(f"replay:{file}", speed=speed)


# --- dashnb replay -------------------------------------------------------------------------------


def test_the_command_shows_all_answers_in_order(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with dashnb.connect("local", database=":memory:", record=file) as client:
        converse(client)
    assert cli.main(["replay", str(file)]) == 0
    out = capsys.readouterr().out
    assert out.index("789076524") < out.index("2 plus 3 equals 5")
    assert out.count("2 plus 3 equals 5") == 1
    assert cli.main(["replay", str(file), "--speed", "1000"]) == 0
    assert capsys.readouterr().out == out


def test_the_command_shows_the_same_as_asking_did(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ask", "What is 2 + 3?", "--connect", "local", "--database", ":memory:"]) == 0
    asked = capsys.readouterr().out
    connected = dashnb.connect("local", database=":memory:", record=file)
    with connected as client, dashnb.Session(client=client, ledger=None) as session:
        session.ask("What is 2 + 3?")
    assert cli.main(["replay", str(file)]) == 0
    assert re.sub(r"[\d.]+ s|[\d.,]+ tokens/s", "", capsys.readouterr().out) == re.sub(r"[\d.]+ s", "", asked)


def test_the_command_shows_a_recording_of_a_stream(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["replay", str(TRANSCRIPTS / "run-plain.sse")]) == 0
    assert "997002" in capsys.readouterr().out


def test_the_command_shows_what_an_interrupted_recording_kept(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chunks = (TRANSCRIPTS / "run-plain.sse").read_bytes().splitlines(keepends=True)
    record(file, answering([b"".join(chunks[: len(chunks) * 2 // 3])], failure=httpx.ReadError("cut")))
    assert cli.main(["replay", str(file)]) == 0
    assert "99" in capsys.readouterr().out


@pytest.mark.parametrize(("content", "said"), [
    (None, "demo.jsonl cannot be read: No such file"),
    (b"", "The recording holds no events"),
    (b'{"dashnb_cassette": 9}\n', "is of version 9"),
    (b'{"dashnb_cassette": 1}\n', "tells no run"),
])  # fmt: skip
def test_the_command_fails_with_one_line(
    file: Path, content: bytes | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        file.write_bytes(content)
    assert cli.main(["replay", str(file)]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_names_that_are_secret_stay_apart(tmp_path: Path) -> None:
    file = tmp_path / "c.jsonl"
    body = {f"call 1380000000{k}": k for k in range(4)}
    answers = httpx.MockTransport(lambda request: httpx.Response(200, json={}))
    recording = RecordingTransport(answers, file, base_url="http://x/api/v1", redact=[r"\d{11}"])
    with httpx.Client(transport=recording) as client:
        client.post("http://x/api/v1/threads", json=body)
    assert "1380000000" not in file.read_text()
    with httpx.Client(transport=ReplayTransport(file)) as client, pytest.raises(CassetteMismatch):
        client.post("http://x/api/v1/threads", json={**body, "call 13800000009": 9})
    with httpx.Client(transport=ReplayTransport(file)) as client:
        assert client.post("http://x/api/v1/threads", json=body).status_code == 200


@pytest.mark.parametrize(
    "pattern",
    [
        *(r"(a+)+$", r"(?:\w+\s?)*!", r"(a|a)*b", r"(\d+)*x", r"(x+x+)+y", r"(.*a){25}", r"(?:[a-z]+\.?)+@"),
        *(r"sk-(?:[a-z]+)+!", r"(?:(?:word)+)+!", r"^(([a-z])+.)+[A-Z]([a-z])+$"),
    ],
)
def test_a_pattern_that_takes_years_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigurationError, match="would take years") as caught:
        Redactor([], [pattern])
    assert repr(pattern) in str(caught.value)


@pytest.mark.parametrize(
    "pattern",
    [
        *(r"\d{11}", r"[\w.+-]+@[\w-]+\.[\w.]+", r"(?:\d+[- ])+\d+", r"(?:a++)+b", r"\s+$", r"(?i)customer \w+"),
        *(r"-----BEGIN[\s\S]+?-----END", r"(?:\d{1,3}\.){3}\d{1,3}", r".*secret.*", r"(?<=id=)\w+", ""),
    ],
)
def test_a_pattern_that_ends_is_taken(pattern: str) -> None:
    assert Redactor([], [pattern])
