"""Recorded streams, as bytes of the wire and as lines of JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dashnb.errors import ProtocolError
from dashnb.protocol.events import RunEvent, event_of
from dashnb.protocol.objects import Thread
from dashnb.protocol.recording import parse_recording

TRANSCRIPTS = Path(__file__).parent / "transcripts"
BOM = b"\xef\xbb\xbf"
CREATED = RunEvent("thread.created", Thread(id="thread_1"))
LINE = b'{"event": "thread.created", "data": {"id": "thread_1"}}'
STREAM = b'event:thread.created\ndata:{"id":"thread_1"}\n\n'


@pytest.mark.parametrize(
    ("name", "count", "first", "last"),
    [
        ("run-plain.sse", 18, "thread.created", "done"),
        ("submit-tool-outputs.sse", 15, "thread.run.step.completed", "done"),
        ("run-quark-search.jsonl", 38, "thread.run.created", "thread.run.completed"),
    ],
)
def test_the_transcripts_are_recordings(name: str, count: int, first: str, last: str) -> None:
    events = parse_recording((TRANSCRIPTS / name).read_bytes())
    assert (len(events), events[0].name, events[-1].name) == (count, first, last)


def test_bytes_and_lines_of_the_same_events_are_the_same_recording() -> None:
    stream = (TRANSCRIPTS / "run-plain.sse").read_bytes()
    events = parse_recording(stream)
    blocks = [block.split("\n") for block in stream.decode().strip().split("\n\n")]
    entries = [
        {"event": name.removeprefix("event:"), "data": data[5:] if data == "data:[DONE]" else json.loads(data[5:])}
        for name, data in blocks
    ]
    lines = "\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
    assert parse_recording(lines.encode()) == events


@pytest.mark.parametrize("content", [LINE, b"\n \n" + LINE + b"\r\n\r\n", BOM + LINE, LINE + b"\n\n"])
def test_lines_may_be_surrounded_by_nothing(content: bytes) -> None:
    assert parse_recording(content) == [CREATED]


@pytest.mark.parametrize("content", [STREAM, BOM + STREAM, b": recorded today\n\n" + STREAM, STREAM.strip()])
def test_a_stream_may_have_a_mark_and_comments_and_lack_its_last_line(content: bytes) -> None:
    assert parse_recording(content) == [CREATED]


def test_only_line_feeds_and_carriage_returns_end_a_line() -> None:
    line = '{"event": "thread.created", "data": {"id": "thread_1", "metadata": {"k": "a\u2028b\x85c\x0bd"}}}'
    (event,) = parse_recording(line.replace("\x0b", "\\u000b").encode())
    assert event.data.metadata == {"k": "a\u2028b\x85c\x0bd"}


def test_done_and_unknown_events_are_kept() -> None:
    lines = b'{"event": "done", "data": "[DONE]"}\n{"event": "done"}\n{"event": "new.kind", "data": [1]}'
    assert parse_recording(lines) == [RunEvent("done"), RunEvent("done"), event_of("new.kind", [1])]


@pytest.mark.parametrize("content", [b"", b"\n\n", BOM, b"<!doctype html>\n<title>x</title>\n", b"PK\x03\x04", b"[]"])
def test_what_holds_no_events_is_no_recording(content: bytes) -> None:
    with pytest.raises(ProtocolError, match="holds no events"):
        parse_recording(content)


@pytest.mark.parametrize(
    "line",
    [
        *(b"{", b"not JSON", b"[]", b"5", b"{}", b'{"data": {}}', b"\xff", b"[" * 99_999, b'{"event": "done"} x'),
        *(b'{"event": null, "data": {}}', b'{"event": 5}', b'{"event": ["done"]}', b'{"event": {}}'),
        *(b'{"event": "thread.created"}', b'{"event": "thread.created", "data": {"id": 5}}'),
        b'{"event": "thread.created", "data": "text"}',
    ],
    ids=lambda line: ascii(line[:24]),
)
def test_a_line_that_is_no_event_is_named_by_its_number(line: bytes) -> None:
    with pytest.raises(ProtocolError, match="Line 3 of the recording"):
        parse_recording(LINE + b"\n\n" + line + b"\n" + LINE)


def test_an_event_that_is_cut_off_is_named() -> None:
    with pytest.raises(ProtocolError, match=r"The event thread\.created does not carry JSON"):
        parse_recording(STREAM + STREAM[:-5])
