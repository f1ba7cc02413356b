"""What it takes to redact a text, to record a stream and to replay it: it grows with them, however much is secret."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from dashnb.client.cassettes import RecordingTransport, ReplayTransport
from dashnb.client.cassettes import redaction as redaction_of
from dashnb.client.cassettes import spelling as spelling_of
from dashnb.client.cassettes.keyed import Keys
from dashnb.client.cassettes.redaction import Redactor, Sieve
from dashnb.credentials import redacted, touching
from work import assert_linear

TOKENS = 1_500  # of a small text; the large one has four times as many
REDACTOR = Redactor(["open sesame"], [r"\d{11}"])
URL = "http://x/api/v1"


def token(number: int) -> str:
    return f"sk-proj-{number:06d}aBcDeF9x"


def event(text: str, *, owner: str = "m") -> bytes:
    delta = {"content": [{"type": "text", "text": {"value": text}}]}
    return f"event:thread.message.delta\ndata:{json.dumps({'id': owner, 'delta': delta})}\n\n".encode()


BODIES: dict[str, Callable[[int], str]] = {
    "prose": lambda n: " ".join(map(token, range(n))),
    "lines": lambda n: "\n".join(map(token, range(n))),
    "a list": lambda n: json.dumps([token(k) for k in range(n)]),
    "a map": lambda n: json.dumps({token(k): token(-k) for k in range(n // 2)}),
    "one string": lambda n: json.dumps(" ".join(map(token, range(n)))),
    "one string with escapes": lambda n: json.dumps("\n".join(map(token, range(n)))),
    "numbers": lambda n: json.dumps([13_800_000_000 + k for k in range(n)]),
    "passwords": lambda n: json.dumps([{"password": f"hunter{k}"} for k in range(n)]),
    "addresses": lambda n: json.dumps([f"https://me:secret{k}@host/?key=v{k}" for k in range(n)]),
    "known ones": lambda n: "open sesame, " * n,
    "letters beyond ASCII": lambda n: "中".join(map(token, range(n))),
}
STREAMS: dict[str, Callable[[int], list[bytes]]] = {
    "a token in each event": lambda n: [event(token(k) + " ") for k in range(n // 4)],
    "tokens over two events": lambda n: [
        event(part) for k in range(n // 8) for part in (token(k)[:12], token(k)[12:] + " ")
    ],
    "tokens over the seams of all events": lambda n: [
        event(f"{token(k)[12:] * (k > 0)} {token(k + 1)[:12]}") for k in range(n // 4)
    ],
    "a token that goes on": lambda n: [event(part) for part in ["sk-", *["aB3-"] * (n // 8)]],
    "an open token, and others speak": lambda n: [
        event("so: sk-", owner="open"), *(event("word ", owner="other") for _ in range(n // 4)),
    ],
    "many owners": lambda n: [event(token(k), owner=f"m{k}") for k in range(n // 4)],
    "one event in small chunks": lambda n: [b"data: " + b"x ", *[f"{token(0)} ".encode()] * n, b"\n\n"],
    "small chunks in many lines": lambda n: [
        part for k in range(n // 4) for part in (b"data:", token(k).encode(), b"\n")
    ],
}  # fmt: skip


@pytest.mark.parametrize("shape", BODIES)
def test_the_work_of_taking_secrets_out_grows_with_the_text(shape: str) -> None:
    assert "aBcDeF9x" not in REDACTOR.text(BODIES[shape](20))
    assert_linear(REDACTOR.text, BODIES[shape], TOKENS)
    assert_linear(redacted, BODIES[shape], TOKENS)


def sifted(chunks: list[bytes]) -> bytes:
    sieve = Sieve(REDACTOR, by_line=True)
    clean = [piece for at, chunk in enumerate(chunks) for piece in sieve.feed(at, chunk)]
    return b"".join(piece for _, piece in [*clean, *sieve.flush()])


@pytest.mark.parametrize("shape", STREAMS)
def test_the_work_of_a_stream_grows_with_it(shape: str) -> None:
    assert b"aBcDeF9x" not in sifted(STREAMS[shape](40))
    assert_linear(sifted, STREAMS[shape], TOKENS)


@pytest.mark.parametrize("shape", BODIES)
def test_the_work_of_a_body_in_small_chunks_grows_with_it(shape: str) -> None:
    def chunks(n: int) -> list[bytes]:
        whole = BODIES[shape](n).encode()
        return [whole[at : at + 7] for at in range(0, len(whole), 7)]

    def sift(pieces: list[bytes]) -> bytes:
        sieve = Sieve(REDACTOR, by_line=False)
        for at, piece in enumerate(pieces):
            sieve.feed(at, piece)
        return b"".join(piece for _, piece in sieve.flush())

    assert sift(chunks(30)).decode() == REDACTOR.text(BODIES[shape](30))
    assert_linear(sift, chunks, TOKENS)


def asked(transport: httpx.BaseTransport, path: str, body: str) -> bytes:
    with httpx.Client(transport=transport) as client:
        return client.post(URL + path, content=body.encode()).content


@pytest.mark.parametrize("shape", BODIES)
def test_the_work_of_recording_and_replaying_grows_with_what_is_said(shape: str, tmp_path: Path) -> None:
    file = tmp_path / "cassette.jsonl"

    def record_and_replay(said: str) -> None:
        answers = httpx.MockTransport(lambda request: httpx.Response(200, content=request.content))
        asked(RecordingTransport(answers, file, base_url=URL), "/threads", said)
        assert asked(ReplayTransport(file), "/threads", said)

    assert_linear(record_and_replay, BODIES[shape], TOKENS)
    assert "aBcDeF9x" not in file.read_text("utf-8")


def test_the_work_of_replaying_grows_with_the_number_of_requests(tmp_path: Path) -> None:
    def recorded(n: int) -> Path:
        file = Path(tempfile.mkdtemp(dir=tmp_path), "cassette.jsonl")
        lines = [{"dashnb_cassette": 1, "base_url": URL}]
        for k in range(1, n + 1):
            key = {"metadata": {"dashnb_request": f"{k:016d}"}, "content": token(k)}
            lines += [
                {"n": k, "request": {"method": "POST", "path": "/api/v1/threads", "json": key}},
                {"n": k, "ms": 0, "response": {"status": 200, "headers": {}}},
                {"n": k, "ms": 0, "chunk": "{}"},
                {"n": k, "ms": 0, "end": "whole"},
            ]
        file.write_text("\n".join(map(json.dumps, lines)) + "\n", "utf-8")
        return file

    def replay(file: Path) -> None:
        transport = ReplayTransport(file)
        number = 0
        for line in file.read_text("utf-8").splitlines():
            if '"request"' in line:
                number += 1
                body = {**json.loads(line)["request"]["json"], "metadata": {"dashnb_request": f"{number:032x}"}}
                transport.handle_request(httpx.Request("POST", URL + "/threads", json=body)).read()

    assert_linear(replay, recorded, 500)


def test_the_work_of_putting_keys_grows_with_the_content() -> None:
    def content(n: int) -> tuple[Keys, bytes]:
        keys = Keys()
        for k in range(n):
            keys.number(f"{k:032x}")
        return keys, b",".join(b'"%032x"' % k for k in range(n))

    assert_linear(lambda given: given[0].put(given[1]), content, 2_000)


def test_keys_are_put_between_quotes_only() -> None:
    keys = Keys()
    keys.give("a" * 16, "b" * 16)
    known, other = b"a" * 16, b"b" * 16
    assert keys.put(b'%b"%b"%b, ""%b"' % (known, known, known, known)) == b'%b"%b"%b, ""%b"' % (
        known,
        other,
        known,
        other,
    )
    assert keys.put(known) == known
    assert keys.put(b'"' + known) == b'"' + known


def test_what_touches_a_place_is_what_a_look_at_all_of_it_finds() -> None:
    places = [(0, 0), (0, 3), (3, 3), (3, 7), (7, 7), (7, 7), (7, 12), (12, 20)]
    for found in ([], [(0, 1)], [(2, 4), (5, 6), (6, 13)], [(0, 20)], [(3, 7)], [(1, 2), (2, 3), (11, 12), (19, 20)]):
        wanted = [(place, [one for one in found if one[0] < place[1] and place[0] < one[1]]) for place in places]
        assert list(touching(places, found)) == wanted


def test_a_recut_puts_what_is_new_where_the_secret_began() -> None:
    pieces = [b"ab", b"", b"cdef", b"g", b"", b"hi"]
    changes = [(0, 1, b"X"), (1, 4, b"Y"), (4, 8, b"Z"), (8, 9, b"")]
    assert redaction_of._recut(pieces, b"abcdefghi", changes) == [b"XY", b"", b"Z", b"", b"", b""]


def test_secrets_that_share_a_piece_change_it_together() -> None:
    content = b"".join(map(event, ("k: sk-0aB", "3xYz0qWe7 and sk-1aB", "", "3xYz0qWe7, then sk-2aB3xYz0qWe7.")))
    (pieces,) = spelling_of.texts(content)
    text = "".join(piece.text for piece in pieces)
    spans = [(3, 18), (23, 38), (45, 60)]
    assert [text[begin:end] for begin, end in spans] == [f"sk-{n}aB3xYz0qWe7" for n in range(3)]
    (finding,) = spelling_of.findings(pieces, spans, "#")
    assert [new for _, _, new in finding.changes] == [b"k: #", b" and #", b"", b", then #."]
