"""Bytes to events and back: whatever the chunk borders, the line ends and the bytes are."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dashnb.protocol.events import DONE, encode_event
from dashnb.protocol.sse import Decoder, ServerSentEvent, comment, encode

TRANSCRIPTS = Path(__file__).parent / "transcripts"
BOM = b"\xef\xbb\xbf"

steady = settings(derandomize=True, deadline=None, max_examples=300)


def decode(*chunks: bytes) -> list[ServerSentEvent]:
    """What a stream gives before its end is known."""
    decoder = Decoder()
    return [event for chunk in chunks for event in decoder.feed(chunk)]


def decode_to_the_end(*chunks: bytes) -> list[ServerSentEvent]:
    decoder = Decoder()
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    last = decoder.flush()
    return [*events, last] if last else events


def reference(stream: bytes) -> list[ServerSentEvent]:
    """The rules of the WHATWG HTML standard, on the whole stream at once."""
    text = stream.removeprefix(BOM).decode("utf-8", "replace")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]
    events, data, kind, last_id = [], "", "", ""
    for line in lines:
        if line == "":
            if data != "":
                events.append(ServerSentEvent(kind or "message", data[:-1], last_id))
            data, kind = "", ""
            continue
        if line[0] == ":":
            continue
        at = line.find(":")
        field, value = (line, "") if at < 0 else (line[:at], line[at + 1 :])
        if value[:1] == " ":
            value = value[1:]
        if field == "data":
            data += value + "\n"
        elif field == "event":
            kind = value
        elif field == "id" and "\x00" not in value:
            last_id = value
    return events


def cut(stream: bytes, places: Iterable[int]) -> list[bytes]:
    borders = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    return [stream[start:end] for start, end in itertools.pairwise(borders)]


def single_bytes(stream: bytes) -> list[bytes]:
    return [stream[place : place + 1] for place in range(len(stream))]


pieces = st.sampled_from(
    [
        *(b"data", b"data:", b"data: ", b"data:  ", b"event:", b"event: ", b"id:", b"id", b"retry:10", b"other:", b":"),
        *(b"\n", b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n", b" ", b"x", b'{"a": 1}', b"[DONE]", b"\0"),
        *(BOM, BOM[:1], BOM[:2], b"\xff", b"\xe2\x80", b"\xf0\x9f\x98", b"\x80", b"\xc3"),
        *(word.encode() for word in ("é", "天气", "😀", "\u2028", "\u2029", "\x85", "\v", "\f", "\x1c", "\ufeff")),
    ]
)
streams = st.one_of(st.lists(pieces, max_size=40).map(b"".join), st.binary(max_size=80))
places = st.lists(st.integers(0, 10_000), max_size=12)


# --- any bytes, any chunks -----------------------------------------------------------------------


@steady
@given(streams)
def test_a_whole_stream_gives_what_the_standard_says(stream: bytes) -> None:
    assert decode(stream) == reference(stream)


@steady
@given(streams, places)
@example(b"data:a\r\n\r\ndata:b\r\n\r\n", [7, 9])
@example(BOM + b"data:a\n\n", [1, 2])
def test_chunk_borders_change_nothing(stream: bytes, places: list[int]) -> None:
    assert decode(*cut(stream, places)) == reference(stream)


@steady
@given(streams)
def test_single_bytes_give_the_same_as_the_whole(stream: bytes) -> None:
    assert decode(*single_bytes(stream)) == reference(stream)


@steady
@given(streams, places)
def test_flush_gives_the_event_that_an_empty_line_would_have_ended(stream: bytes, places: list[int]) -> None:
    assert decode_to_the_end(*cut(stream, places)) == reference(stream + b"\n\n")


@steady
@given(streams, places)
def test_empty_chunks_are_nothing(stream: bytes, places: list[int]) -> None:
    chunks = [part for chunk in cut(stream, places) for part in (b"", chunk, b"")]
    assert decode(*chunks) == reference(stream)


# --- the transcripts -----------------------------------------------------------------------------


def as_bytes(name: str) -> bytes:
    content = (TRANSCRIPTS / name).read_bytes()
    if name.endswith(".sse"):
        return content
    entries = [json.loads(line) for line in content.splitlines()]
    return b"".join(encode_event(entry["event"], entry["data"]) for entry in entries) + encode(DONE)


TRANSCRIPT_NAMES = sorted(path.name for path in TRANSCRIPTS.iterdir())


def test_the_transcripts_have_the_events_they_were_taken_with() -> None:
    counts = {name: len(decode(as_bytes(name))) for name in TRANSCRIPT_NAMES}
    assert counts == {"run-plain.sse": 18, "run-quark-search.jsonl": 39, "submit-tool-outputs.sse": 15}


@pytest.mark.parametrize("name", TRANSCRIPT_NAMES)
def test_a_transcript_is_the_same_whole_and_by_single_bytes(name: str) -> None:
    stream = as_bytes(name)
    assert decode(*single_bytes(stream)) == decode(stream) == reference(stream)


@pytest.mark.parametrize("name", TRANSCRIPT_NAMES)
def test_a_transcript_is_the_same_split_at_every_byte(name: str) -> None:
    # The first five and the last two events, cut anywhere, hold every kind of border; all events at every byte
    # would take quadratic time, so the whole is cut at every 13th byte.
    stream = as_bytes(name)
    blocks = stream.split(b"\n\n")
    short = b"\n\n".join([*blocks[:2], *blocks[-9:]])
    assert short.endswith(b"\n\n")
    for sample, step in ((short, 1), (stream, 13)):
        expected = reference(sample)
        for place in range(0, len(sample) + 1, step):
            assert decode(sample[:place], sample[place:]) == expected, f"cut at byte {place}"


@pytest.mark.parametrize("name", TRANSCRIPT_NAMES)
@pytest.mark.parametrize("line_end", [b"\r\n", b"\r"], ids=["CRLF", "CR"])
def test_a_transcript_is_the_same_with_other_line_ends(name: str, line_end: bytes) -> None:
    stream = as_bytes(name)
    assert decode(*single_bytes(stream.replace(b"\n", line_end))) == decode(stream)


@pytest.mark.parametrize("name", TRANSCRIPT_NAMES)
def test_a_transcript_encodes_back_to_its_own_bytes(name: str) -> None:
    stream = as_bytes(name)
    assert b"".join(encode(event) for event in decode(stream)) == stream


# --- line ends -----------------------------------------------------------------------------------


@pytest.mark.parametrize("line_end", [b"\n", b"\r", b"\r\n"], ids=["LF", "CR", "CRLF"])
def test_every_line_end_ends_a_line(line_end: bytes) -> None:
    stream = line_end.join([b"event:a", b"data:1", b"data:2", b"", b"data:3", b"", b""])
    assert decode(stream) == [ServerSentEvent("a", "1\n2"), ServerSentEvent("message", "3")]


def test_a_crlf_cut_between_chunks_is_one_line_end() -> None:
    assert decode(b"data:1\r", b"\ndata:2\r", b"\n\r", b"\n") == [ServerSentEvent("message", "1\n2")]


def test_a_cr_dispatches_at_once_without_waiting_for_the_next_chunk() -> None:
    decoder = Decoder()
    assert decoder.feed(b"data:1\r\r") == [ServerSentEvent("message", "1")]
    assert decoder.feed(b"\n") == []
    assert decoder.feed(b"data:2\r\n\r") == [ServerSentEvent("message", "2")]
    assert decoder.feed(b"\ndata:3\n\n") == [ServerSentEvent("message", "3")]


def test_a_cr_at_the_end_of_a_chunk_stays_half_a_crlf_over_a_chunk_without_characters() -> None:
    assert decode(b"data:1\r", b"", b"\n", b"\n") == [ServerSentEvent("message", "1")]


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85", "\v", "\f", "\x1c", "\x1d", "\x1e"])
def test_what_python_takes_for_a_line_end_is_data(character: str) -> None:
    data = f'{{"text": "a{character}b"}}'
    assert decode(f"event:e\ndata:{data}\n\n".encode()) == [ServerSentEvent("e", data)]


# --- marks, blanks, comments, fields -------------------------------------------------------------


def test_a_byte_order_mark_is_dropped_at_the_start_only() -> None:
    assert decode(BOM + b"data:1\n\n") == [ServerSentEvent("message", "1")]
    assert decode(BOM + BOM + b"data:1\n\n") == []
    assert decode(b"data:" + BOM + b"1\n\n" + BOM + b"data:2\n\n") == [ServerSentEvent("message", "\ufeff1")]


@pytest.mark.parametrize("places", [(1,), (2,), (1, 2), (3,)])
def test_a_byte_order_mark_may_be_cut(places: tuple[int, ...]) -> None:
    assert decode(*cut(BOM + b"event:e\ndata:1\n\n", places)) == [ServerSentEvent("e", "1")]


def test_one_blank_after_the_colon_is_dropped_and_no_more() -> None:
    assert decode(b"event: e\ndata:  x \n\n") == [ServerSentEvent("e", " x ")]
    assert decode(b"data:\tx\n\n") == [ServerSentEvent("message", "\tx")]


def test_only_the_first_colon_separates() -> None:
    assert decode(b"data:a:b: c\n\n") == [ServerSentEvent("message", "a:b: c")]


def test_comments_are_skipped_even_inside_an_event() -> None:
    assert decode(b": hello\n\n:data:no\ndata:1\n:\ndata:2\n\n") == [ServerSentEvent("message", "1\n2")]


def test_lines_of_data_are_joined_by_lf() -> None:
    assert decode(b"data:a\ndata\ndata:\ndata:b\n\n") == [ServerSentEvent("message", "a\n\n\nb")]


def test_a_field_without_colon_has_an_empty_value() -> None:
    assert decode(b"event:e\nevent\ndata\n\n") == [ServerSentEvent("message", "")]


def test_an_event_without_data_is_none_and_its_name_is_forgotten() -> None:
    assert decode(b"event:lost\n\ndata:1\n\n\n\n") == [ServerSentEvent("message", "1")]


def test_an_empty_line_of_data_is_data() -> None:
    assert decode(b"event:e\ndata:\n\n") == [ServerSentEvent("e", "")]


def test_unknown_fields_and_names_in_capitals_are_skipped() -> None:
    assert decode(b"retry:10\nstatus:429\nDATA:x\n data:y\ndata :z\ndata:1\n\n") == [ServerSentEvent("message", "1")]


def test_the_last_of_two_names_counts() -> None:
    assert decode(b"event:a\nevent:b\ndata:1\n\n") == [ServerSentEvent("b", "1")]


def test_an_id_stays_until_the_next_one() -> None:
    events = decode(b"id:1\ndata:a\n\ndata:b\n\nid:2\n\ndata:c\n\nid\ndata:d\n\n")
    assert [event.id for event in events] == ["1", "1", "2", ""]


def test_an_id_with_nul_is_ignored() -> None:
    assert decode(b"id:1\ndata:a\n\nid:2\x00\ndata:b\n\n")[1].id == "1"


# --- bytes that are not UTF-8 --------------------------------------------------------------------


def test_a_character_may_be_cut_anywhere() -> None:
    stream = "data:天😀é\n\n".encode()
    assert decode(*single_bytes(stream)) == [ServerSentEvent("message", "天😀é")]


def test_a_character_cut_off_in_the_middle_of_a_stream_becomes_one_mark() -> None:
    assert decode(b"data:a\xe5\xa4", b"\n\ndata:b\n\n") == [
        ServerSentEvent("message", "a\ufffd"),
        ServerSentEvent("message", "b"),
    ]


def test_a_character_cut_off_at_the_end_becomes_one_mark() -> None:
    assert decode_to_the_end(b"data:a\xf0\x9f\x98") == [ServerSentEvent("message", "a\ufffd")]


def test_bytes_that_are_no_characters_become_marks() -> None:
    assert decode(b"data:\xff\xc0\x80\n\n") == [ServerSentEvent("message", "\ufffd\ufffd\ufffd")]


# --- the end of a stream -------------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"", b"\n", b"\r", b"\r\n"])
def test_flush_gives_the_event_that_lacks_its_empty_line(end: bytes) -> None:
    decoder = Decoder()
    assert decoder.feed(b"event:e\ndata:1" + end) == []
    assert decoder.flush() == ServerSentEvent("e", "1")
    assert decoder.flush() is None


@pytest.mark.parametrize("stream", [b"", b"data:1\n\n", b"data:1\r\n\r\n", b"event:e\n", b": no event", BOM, BOM[:2]])
def test_flush_gives_nothing_where_nothing_is_open(stream: bytes) -> None:
    decoder = Decoder()
    decoder.feed(stream)
    assert decoder.flush() is None


def test_decoders_share_nothing() -> None:
    one, other = Decoder(), Decoder()
    one.feed(b"id:1\nevent:e\ndata:1\n")
    assert other.feed(b"\ndata:2\n\n") == [ServerSentEvent("message", "2")]


# --- events to bytes -----------------------------------------------------------------------------

one_line = st.text(max_size=20).map(lambda text: text.replace("\r", "").replace("\n", "").replace("\0", ""))


@steady
@given(name=one_line, data=st.text(), event_id=one_line, places=places)
@example(name=" e", data=" x", event_id=" 1", places=[])
@example(name="e", data="\r\n", event_id="", places=[])
@example(name="e", data="a\n b\n\n", event_id="", places=[])
def test_any_text_comes_back_with_its_line_ends_as_lf(name: str, data: str, event_id: str, places: list[int]) -> None:
    stream = encode(ServerSentEvent(name, data, event_id))
    expected = data.replace("\r\n", "\n").replace("\r", "\n")
    assert decode(*cut(stream, places)) == [ServerSentEvent(name or "message", expected, event_id)]


def test_no_blank_follows_the_colon() -> None:
    assert encode(DONE) == b"event:done\ndata:[DONE]\n\n"
    assert encode(ServerSentEvent("error", '{"code":"x"}')) == b'event:error\ndata:{"code":"x"}\n\n'
    assert encode(ServerSentEvent("e", "天", "7")) == "id:7\nevent:e\ndata:天\n\n".encode()


@pytest.mark.parametrize("event", [ServerSentEvent("a\ndata:b", "1"), ServerSentEvent("a", "1", "7\r")])
def test_a_name_or_id_of_two_lines_is_refused(event: ServerSentEvent) -> None:
    with pytest.raises(ValueError, match="one line"):
        encode(event)


def test_half_a_surrogate_pair_is_written_as_a_question_mark() -> None:
    assert encode(ServerSentEvent("e", '"a\ud83d"')) == b'event:e\ndata:"a?"\n\n'


@pytest.mark.parametrize("text", ["heartbeat", "", "data:x", "two\n\ndata:x\n", "a\rdata:x\r\n\r\ndata:y", "天"])
def test_a_comment_is_no_event(text: str) -> None:
    assert decode_to_the_end(comment(text)) == []
    assert decode(comment(text), b"data:1\n\n") == [ServerSentEvent("message", "1")]


def test_a_comment_ends_with_an_empty_line_so_that_proxies_pass_it_on() -> None:
    assert comment("heartbeat") == b": heartbeat\n\n"
