"""What other servers answer: unpacked in pieces, counted in every layer, ended at the limit, by every reader."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest

from dashnb import AsyncClient, Client
from dashnb.client.cassettes.recorder import RecordingTransport
from dashnb.client.failures import Backoff
from dashnb.errors import ConnectionFailed, StreamError
from dashnb.intake import Limits, Unpacker, async_hooks, bounded, hooks
from dashnb.local.models.engine import EngineError, Turn
from dashnb.local.models.openai.exchange import OpenAIEngine
from dashnb.protocol.sse import Decoder

URL = "http://service.test/api/v1"
SMALL = Limits(answer=1000, stream=1000)


def zeros(megabytes: int, window: int = 31) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, window)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(megabytes)) + packer.flush()


def nothing_packed(megabytes: int) -> bytes:
    """So many bytes of gzip that say nothing: blocks without content, packed well themselves."""
    begun = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"
    return gzip.compress(begun + b"\x00\x00\x00\xff\xff" * (megabytes * (1 << 20) // 5), 9)


BOMB = zeros(64)
BOMBS = {
    "gzip": BOMB,
    "gzip, gzip": gzip.compress(BOMB, 9),
    "deflate": zeros(64, 15),
    "Deflate": zeros(64, -15),
    "x-gzip": BOMB,
    "identity, gzip": BOMB,
}


class Pieces(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body in pieces, which counts how many were taken."""

    def __init__(self, pieces: Callable[[], Iterator[bytes]]) -> None:
        self._pieces = pieces
        self.taken = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces():
            self.taken += 1
            yield piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece


def in_pieces(body: bytes, size: int = 65536) -> Pieces:
    return Pieces(lambda: (body[at : at + size] for at in range(0, len(body), size)))


def endless(piece: bytes) -> Pieces:
    def pieces() -> Iterator[bytes]:
        while True:
            yield piece

    return Pieces(pieces)


def answering(body: httpx.SyncByteStream, status: int = 200, **headers: str) -> httpx.MockTransport:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.MockTransport(lambda request: httpx.Response(status, headers=named, stream=body))


def peak(work: Callable[[], object]) -> int:
    """Bytes that the work holds at most."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# --- unpacking -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 65536])
@pytest.mark.parametrize(
    ("encodings", "pack"),
    [
        ([], bytes),
        (["identity"], bytes),
        (["gzip"], gzip.compress),
        (["X-GZIP "], gzip.compress),
        (["deflate"], zlib.compress),
        (["deflate", "gzip"], lambda body: gzip.compress(zlib.compress(body))),
    ],
)
def test_a_body_is_unpacked_whatever_its_pieces_are(
    encodings: list[str], pack: Callable[[bytes], bytes], size: int
) -> None:
    body = json.dumps({"text": "百炼" * 50_000}).encode() + bytes(200_000)
    packed = pack(body)
    unpacker = Unpacker(encodings, most=len(body))
    pieces = [piece for at in range(0, len(packed), size) for piece in unpacker.feed(packed[at : at + size]) if piece]
    unpacker.end()
    assert b"".join(pieces) == body


def test_a_body_packed_without_a_header_is_unpacked_too() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(b"words " * 1000) + packer.flush()
    unpacker = Unpacker(["deflate"], most=10_000)
    assert b"".join(unpacker.feed(packed)) == b"words " * 1000
    unpacker.end()


@pytest.mark.parametrize("encoding", BOMBS)
def test_a_bomb_ends_at_the_limit_and_takes_little_memory(encoding: str) -> None:
    body = in_pieces(BOMBS[encoding], 1024)
    response = bounded(httpx.Response(200, headers={"content-encoding": encoding}, stream=body), Limits(answer=1 << 20))

    def read() -> None:
        with pytest.raises(httpx.DecodingError, match="too large: more than 1,048,576 bytes"):
            response.read()

    assert peak(read) < 4 << 20


def test_what_an_inner_layer_takes_counts_even_if_nothing_comes_out_of_it() -> None:
    packed = nothing_packed(16)
    assert len(packed) < 100_000
    unpacker = Unpacker(["gzip", "gzip"], most=1 << 20)
    steps: list[bytes] = []
    with pytest.raises(httpx.DecodingError, match="too large"):
        steps.extend(unpacker.feed(packed))
    assert 10 <= len(steps) <= 20  # a step is one piece of the outer layer: others can work between them
    assert not any(steps)


def test_what_follows_the_end_of_a_packed_body_counts_too() -> None:
    unpacker = Unpacker(["gzip"], most=1000)
    assert b"".join(unpacker.feed(gzip.compress(b"whole"))) == b"whole"
    assert b"".join(unpacker.feed(bytes(500))) == b""
    with pytest.raises(httpx.DecodingError, match="too large"):
        unpacker.feed(bytes(500))


@pytest.mark.parametrize(
    ("encoding", "body", "said"),
    [
        ("br", b"x", "packed as 'br', which was not asked for"),
        ("zstd", b"x", "packed as 'zstd'"),
        ("gzip, br", b"x", "packed as 'br'"),
        ("gzip, gzip, gzip", b"x", "packed 3 times"),
        ("gzip", b"no gzip", "not packed as it says"),
        ("deflate", b"\xff\xff", "not packed as it says"),
        ("gzip", gzip.compress(b"cut short")[:-9], "its end is missing"),
    ],
)
def test_what_cannot_be_unpacked_says_why(encoding: str, body: bytes, said: str) -> None:
    response = bounded(httpx.Response(200, headers={"content-encoding": encoding}, stream=in_pieces(body)))
    with pytest.raises(httpx.DecodingError, match=said):
        response.read()


def test_an_answer_that_says_that_it_is_too_long_is_not_read_at_all() -> None:
    body = endless(bytes(100))
    headers = {"content-length": "99999999999"}
    with pytest.raises(httpx.DecodingError, match="too large"):
        bounded(httpx.Response(200, headers=headers, stream=body), SMALL).read()
    assert body.taken == 0


def test_an_empty_answer_that_says_that_it_is_packed_is_empty() -> None:
    response = httpx.Response(204, headers={"content-encoding": "gzip"}, stream=in_pieces(b""))
    assert bounded(response).read() == b""


# --- clients -------------------------------------------------------------------------------------


def test_a_response_of_a_client_is_read_as_if_it_had_not_been_packed() -> None:
    packed = in_pieces(gzip.compress(b'{"a": 1}'))
    transport = answering(packed, content_encoding="gzip", content_length="28")
    with httpx.Client(transport=transport, event_hooks=hooks()) as http:
        assert http.get(URL).json() == {"a": 1}


def test_an_awaited_body_lets_others_work_between_two_pieces() -> None:
    turns = 0

    async def beat() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async def main() -> None:
        beating = asyncio.create_task(beat())
        transport = answering(in_pieces(BOMBS["gzip, gzip"]), content_encoding="gzip, gzip")
        limits = Limits(answer=8 << 20)
        async with httpx.AsyncClient(transport=transport, event_hooks=async_hooks(limits)) as http:
            with pytest.raises(httpx.DecodingError, match="too large"):
                await http.get(URL)
        beating.cancel()

    asyncio.run(main())
    assert turns > 100  # of 128 pieces


def test_a_whole_answer_that_drips_ends_in_time_and_a_stream_goes_on() -> None:
    now = 0.0

    def drip() -> Iterator[bytes]:
        nonlocal now
        for _ in range(10):
            now += 1
            yield b"x"

    whole = httpx.Response(200, stream=Pieces(drip))
    with pytest.raises(httpx.ReadTimeout):
        bounded(whole, Limits(seconds=5), clock=lambda: now).read()
    assert now == 6
    stream = httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Pieces(drip))
    assert bounded(stream, Limits(seconds=5), clock=lambda: now).read() == b"x" * 10


def test_the_time_of_an_answer_is_that_of_its_request_if_nothing_else_is_said() -> None:
    now = 0.0

    def drip() -> Iterator[bytes]:
        nonlocal now
        while True:
            now += 1
            yield b"x"

    transport = answering(Pieces(drip))
    begun: list[httpx.Response] = []
    take = {"response": [lambda response: begun.append(bounded(response, clock=lambda: now))]}
    with httpx.Client(transport=transport, timeout=3, event_hooks=take) as http, pytest.raises(httpx.ReadTimeout):
        http.get(URL)
    assert now == 4


# --- the client of the Assistant API -------------------------------------------------------------


def hostile() -> dict[str, tuple[httpx.SyncByteStream, dict[str, str]]]:
    packed = {"content_encoding": "gzip", "content_type": "application/json"}
    return {
        "bomb": (in_pieces(zeros(80)), packed),
        "bomb in a bomb": (in_pieces(gzip.compress(zeros(80))), {**packed, "content_encoding": "gzip, gzip"}),
        "endless": (endless(b'{"a": "' + b"x" * 65536), {"content_type": "application/json"}),
        "huge by its own word": (in_pieces(b"{}"), {"content_length": str(10**10)}),
    }


@pytest.mark.parametrize("name", hostile())
@pytest.mark.parametrize("status", [200, 500])
def test_a_client_takes_no_answer_without_end_and_asks_once(name: str, status: int) -> None:
    body, headers = hostile()[name]
    asked = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        assert request.headers["accept-encoding"] == "identity"
        return httpx.Response(
            status, headers={key.replace("_", "-"): value for key, value in headers.items()}, stream=body
        )

    said = r"service\.test sent an answer that is not taken: it is too large"
    client = Client(URL, transport=httpx.MockTransport(answer), sleep=lambda _: None)
    with client, pytest.raises(ConnectionFailed, match=said):
        client.threads.retrieve("thread_1")
    assert asked == 1


def test_an_awaited_client_takes_no_answer_without_end_either() -> None:
    async def main() -> None:
        async with AsyncClient(URL, transport=answering(in_pieces(zeros(80)), content_encoding="gzip")) as client:
            with pytest.raises(ConnectionFailed, match="too large"):
                await client.threads.retrieve("thread_1")

    asyncio.run(main())


def event(name: str, **data: Any) -> bytes:
    return f"event:{name}\ndata:{json.dumps(data)}\n\n".encode()


CREATED = event("thread.run.created", id="run_1", object="thread.run", thread_id="thread_1", status="queued")
DELTA = event("thread.message.delta", id="msg_1", delta={"content": [{"type": "text", "text": {"value": "word"}}]})


def streaming(*bodies: bytes, encoding: str = "identity") -> Client:
    transport = answering(Pieces(lambda: iter(bodies)), content_type="text/event-stream", content_encoding=encoding)
    return Client(URL, transport=transport, backoff=Backoff(attempts=1), sleep=lambda _: None)


def test_a_stream_that_turns_into_a_bomb_keeps_what_arrived() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    begun = packer.compress(CREATED + DELTA) + packer.flush(zlib.Z_SYNC_FLUSH)
    blanks = [packer.compress(b":\n" * (1 << 19)) for _ in range(300)]
    client = streaming(begun, *blanks, packer.flush(), encoding="gzip")
    with client, pytest.raises(StreamError, match="is not taken: it is too large") as caught:
        list(client.runs.stream("thread_1", assistant_id="asst_1"))
    assert caught.value.state.text == "word"


@pytest.mark.parametrize("more", [b"x" * 65536, b"data:" + b"x" * 65530 + b"\n"], ids=["one line", "one event"])
def test_a_stream_whose_event_never_ends_keeps_what_arrived(more: bytes) -> None:
    client = streaming(CREATED + DELTA, b"data:", *[more] * 300)
    with client, pytest.raises(StreamError, match="more than 16,777,216 characters") as caught:
        list(client.runs.stream("thread_1", assistant_id="asst_1"))
    assert caught.value.state.text == "word"


def test_a_cassette_of_a_bomb_stays_small(tmp_path: Any) -> None:
    file = tmp_path / "bomb.jsonl"
    way = RecordingTransport(answering(in_pieces(zeros(80)), content_encoding="gzip"), file)
    with Client(URL, transport=way) as client, pytest.raises(ConnectionFailed, match="too large"):
        client.threads.retrieve("thread_1")
    assert '"end": "broke"' in file.read_text().splitlines()[-1]


def test_events_before_one_that_is_too_long_are_given_out() -> None:
    decoder = Decoder(most=100)
    assert [sent.data for sent in decoder.feed(b"data:a\n\ndata:b\n\ndata:" + b"x" * 200)] == ["a", "b"]
    with pytest.raises(Exception, match="more than 100 characters"):
        decoder.feed(b"x")
    small = Decoder(most=100)
    assert len([sent for _ in range(100) for sent in small.feed(b"data:" + b"x" * 90 + b"\n\n")]) == 100


# --- model servers -------------------------------------------------------------------------------


def ask(transport: httpx.MockTransport) -> str:
    async def main() -> str:
        async def sleep(_: float) -> None:
            pass

        async with httpx.AsyncClient(transport=transport) as http:
            engine = OpenAIEngine("http://models.test/v1", client=http, model="m", sleep=sleep)
            with pytest.raises(EngineError) as caught:
                async for _ in engine.answer(Turn("m", "", ({"role": "user", "content": "Hi"},), ())):
                    pass
        return str(caught.value)

    return asyncio.run(main())


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
@pytest.mark.parametrize("status", [200, 404, 400])
@pytest.mark.parametrize("encoding", ["gzip", "gzip, gzip", "identity"])
def test_a_model_server_that_answers_without_end_ends_the_turn(kind: str, status: int, encoding: str) -> None:
    body = in_pieces(BOMBS[encoding]) if encoding in BOMBS else endless(b":" * 65536 + b"\n")
    said = ask(answering(body, status, content_type=kind, content_encoding=encoding))
    assert "models.test" in said
    why = "more than [0-9,]+ (bytes|characters)" if status == 200 else f"HTTP {status}"
    assert re.search(why, said)


def test_a_model_server_whose_json_is_too_deep_ends_the_turn() -> None:
    deep = b"[" * 200_000
    assert "not JSON" in ask(answering(in_pieces(deep), content_type="application/json"))
    assert "not JSON" in ask(answering(in_pieces(b"data: " + deep + b"\n\n"), content_type="text/event-stream"))
    assert "HTTP 400" in ask(answering(in_pieces(deep), 400, content_type="application/json"))
