"""A cassette comes from anybody: it is matched in linear work, and ends in an answer or a DashnbError."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dashnb
from dashnb import cli
from dashnb.client.cassettes import ReplayTransport, read_cassette
from dashnb.client.cassettes.player import Pace
from dashnb.client.cassettes.runs import read_runs
from dashnb.errors import CassetteMismatch, DashnbError, ProtocolError
from dashnb.protocol.state import RunState
from work import assert_linear

URL = "http://dashnb.cassette/api/v1"
HEADER = {"dashnb_cassette": 1, "base_url": URL}


def cassette(file: Path, *exchanges: tuple[str, str, Any], answer: str = "{}") -> Path:
    """A cassette of these requests, each answered."""
    lines: list[Any] = [HEADER]
    for n, (method, path, body) in enumerate(exchanges, 1):
        lines.append({"n": n, "request": {"method": method, "path": path, "json": body}})
        lines.append({"n": n, "ms": 1, "response": {"status": 200, "headers": {"content-type": "application/json"}}})
        lines += [{"n": n, "ms": 1, "chunk": answer}, {"n": n, "ms": 1, "end": "whole"}]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def send(file: Path, body: Any, path: str = "/api/v1/threads") -> bool:
    """Whether a request with that body is the one in the cassette."""
    with httpx.Client(transport=ReplayTransport(file)) as http:
        try:
            return http.post(f"http://dashnb.cassette{path}", content=json.dumps(body)).status_code == 200
        except CassetteMismatch as error:
            assert len(str(error).splitlines()) <= 10  # noqa: PT017 # a match is no error
            return False


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "demo.jsonl"


# --- matching ------------------------------------------------------------------------------------

R = "[redacted]"


@pytest.mark.parametrize(("recorded", "came", "fits"), [
    (R, "anything", True),
    (R, 5, True),
    (f"a{R}", "a", True),
    (f"a{R}", "b", False),
    (f"a{R}a", "a", False),
    (f"a{R}a", "aa", True),
    (f"{R}a{R}", "bab", True),
    (f"{R}ab{R}ab{R}", "abab", True),
    (f"{R}ab{R}ab{R}", "ab", False),
    (f"{R}aba{R}aba{R}", "ababa", False),
    (f"x{R}y{R}z", "x1\n2y34z", True),
    (f"x{R}y{R}z", "x1z", False),
    (f"{R}{R}", "", True),
    (f"{R}b", "ab\n", False),
    (f"a.{R}", "ab", False),
    (f"a{R}", ["a"], False),
    (f"a{R}", None, False),
    ({f"k{R}": 1, "x": R}, {"k5": 1, "x": [2]}, True),
    ({f"k{R}": 1, "x": 1}, {"l5": 1, "x": 1}, False),
    ({f"k{R}": 1}, {"k5": 1, "k6": 1}, False),
    ([1, f"a{R}"], [1, "ab"], True),
    ([True], [1], False),
    ([1.0], [1], True),
    ({}, [], False),
    ("", None, False),
])  # fmt: skip
def test_a_mark_stands_for_any_text_and_nothing_else(file: Path, recorded: Any, came: Any, fits: bool) -> None:
    assert send(cassette(file, ("POST", "/api/v1/threads", {"a": recorded})), {"a": came}) is fits


@given(
    pieces=st.lists(st.sampled_from(["", "a", "b", "ab", "ba", "aab"]), min_size=2, max_size=5),
    came=st.text("ab", max_size=8),
)
@settings(deadline=None, max_examples=200)
def test_marks_match_as_any_text_in_an_expression_would(pieces: list[str], came: str) -> None:
    from dashnb.client.cassettes import player

    slow = fits_slowly(pieces, came)
    assert player._fits(R.join(pieces), came) is slow


def fits_slowly(pieces: list[str], came: str) -> bool:
    """The same by trying everything: short texts only."""
    head, *rest = pieces
    if not came.startswith(head):
        return False
    if not rest:
        return came == head
    return any(fits_slowly(rest, came[at:]) for at in range(len(head), len(came) + 1))


MARKED: dict[str, Callable[[int], tuple[Any, Any]]] = {
    "marks before a letter": lambda n: (f"{R}a" * n + f"{R}b", "a" * n * 4),
    "marks in a row": lambda n: (R * n + "b", "a" * n * 4),
    "marks around text that is not there": lambda n: (f"{R}{'a' * 50}b" * (n // 50), "a" * n),
    "marks around much text": lambda n: (f"{R}{'ab' * n}{R}{'ab' * n}c", "ab" * n * 3),
    "numbers": lambda n: (" ".join([R] * n) + " please", " ".join(map(str, range(n))) + " now"),
    "many names": lambda n: ({f"k{k}": R for k in range(n // 4)}, {f"k{k}": k for k in range(n // 4)}),
    "many other names": lambda n: ({f"{R}{k}": 1 for k in range(n // 4)}, {f"k{k}": k for k in range(n // 4)}),
    "many lines that differ": lambda n: ([str(k % 97) for k in range(n)], [str(k % 89) for k in range(n)]),
    "the end differs": lambda n: ([str(k) for k in range(n)] + ["a"], [str(k) for k in range(n)] + ["b"]),
    "one list is longer": lambda n: (["x"] * n, ["x"] * n * 2),
}


@pytest.mark.parametrize("shape", MARKED)
def test_the_work_of_a_match_grows_with_the_request(file: Path, shape: str) -> None:
    def make(n: int) -> tuple[Path, Any]:
        recorded, came = MARKED[shape](n)
        return cassette(file, ("POST", "/api/v1/threads", {"content": recorded})), {"content": came}

    assert_linear(lambda given: send(*given), make, 10_000)


def test_the_work_of_a_request_grows_with_the_cassette(file: Path) -> None:
    def make(n: int) -> ReplayTransport:
        """A cassette of runs that were looked at many times, half of it played."""
        player = ReplayTransport(cassette(file, *(("GET", f"/api/v1/{k % (n // 2)}", None) for k in range(n))))
        with httpx.Client(transport=player) as http:
            for k in range(20):
                http.get(f"http://dashnb.cassette/api/v1/{k}")
        return player

    def ask(player: ReplayTransport) -> None:
        with httpx.Client(transport=player) as http, pytest.raises(CassetteMismatch):
            http.get("http://dashnb.cassette/other")

    assert_linear(ask, make, 2000)


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("levels", [100, 400, 900])
def test_a_body_of_many_levels_is_matched_or_told_apart(file: Path, levels: int) -> None:
    assert send(cassette(file, ("POST", "/api/v1/threads", deep(levels))), deep(levels))
    assert not send(cassette(file, ("POST", "/api/v1/threads", deep(levels))), deep(levels - 1))


# --- what a file may hold ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ms", ["1" + "0" * 400, "Infinity", "-Infinity", "NaN", "1e300", "-1", '"5"', "true", "null", "[]", "1e999"]
)
def test_a_time_that_is_none_is_named_with_its_line(file: Path, ms: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = cassette(file, ("POST", "/api/v1/threads", {})).read_text()
    file.write_text(text.replace('"ms": 1', f'"ms": {ms}', 1))
    with pytest.raises(ProtocolError, match="is broken in line 3; record it again"):
        read_cassette(file)
    assert cli.main(["replay", str(file), "--speed", "1"]) == 1
    assert "broken in line 3" in capsys.readouterr().err


@pytest.mark.parametrize(("line", "change"), [
    (2, {"n": "1"}), (2, {"n": 1.0}), (2, {"n": True}), (2, {"n": None}), (2, {"n": []}), (2, {"n": math.inf}),
    (2, {"request": {"method": "POST"}}), (2, {"request": []}), (2, {"request": {"method": 1, "path": "/"}}),
    (2, {"request": {"method": "GET", "path": ["/"]}}), (2, {"request": "POST /"}), (2, {"request": None}),
    (3, {"n": 2}), (3, {"response": {}}), (3, {"response": None}), (3, {"response": {"status": "200"}}),
    (3, {"response": {"status": 9999}}), (3, {"response": {"status": True}}), (3, {"response": {"status": 200.5}}),
    (3, {"response": {"status": math.inf}}), (3, {"response": {"status": 0}}), (3, {"response": {"status": -1}}),
    (3, {"response": {"status": 200, "headers": []}}), (3, {"response": {"status": 200, "headers": {"date": 5}}}),
    (4, {"chunk": 1}), (4, {"chunk": None}), (4, {"chunk": ["x"]}), (4, {"chunk": "\ud800"}),
])  # fmt: skip
def test_a_line_that_no_recorder_writes_is_named(file: Path, line: int, change: dict[str, Any]) -> None:
    lines = [json.loads(text) for text in cassette(file, ("POST", "/api/v1/threads", {})).read_text().splitlines()]
    lines[line - 1].update(change)
    file.write_text("".join(json.dumps(entry) + "\n" for entry in lines))
    with pytest.raises(ProtocolError, match=f"is broken in line {line}; record it again"):
        read_cassette(file)


@pytest.mark.parametrize("base64", ["!", "é", 5, "QQ=", "QQ==QQ=="])
def test_a_chunk_that_is_no_base64_is_named(file: Path, base64: Any) -> None:
    text = cassette(file, ("POST", "/api/v1/threads", {})).read_text()
    file.write_text(text.replace('"chunk": "{}"', f'"base64": {json.dumps(base64)}'))
    with pytest.raises(ProtocolError, match="is broken in line 4"):
        read_cassette(file)


def test_a_request_that_comes_twice_under_one_number_is_named(file: Path) -> None:
    lines = cassette(file, ("POST", "/api/v1/threads", {})).read_text().splitlines()
    file.write_text("\n".join([*lines, lines[1], ""]))
    with pytest.raises(ProtocolError, match="is broken in line 6"):
        read_cassette(file)


def test_headers_beyond_ascii_are_replayed_and_packing_and_control_characters_are_not(file: Path) -> None:
    headers = {
        "Content-Type": "text/plain",
        "X-Request-Id": "ré\x1b[31m\r\nq",
        "content-encoding": "gzip",
        "x-other": "1",
    }
    text = cassette(file, ("POST", "/api/v1/threads", {})).read_text()
    file.write_text(text.replace('{"content-type": "application/json"}', json.dumps(headers)))
    with httpx.Client(transport=ReplayTransport(file)) as http:
        response = http.post(f"{URL}/threads", json={})
    assert response.text == "{}"
    assert dict(response.headers) == {"content-type": "text/plain", "x-request-id": "ré[31mq"}


def test_no_speed_and_no_time_make_a_wait_that_no_clock_has() -> None:
    assert Pace(1e-300, lambda: 0.0).left(0.0, 5.0) == 365 * 86_400
    assert Pace(1e300, lambda: 0.0).left(0.0, 5.0) < 1e-300


def test_the_version_of_a_cassette_is_told_in_one_line_however_long_it_is(file: Path) -> None:
    file.write_text(json.dumps({"dashnb_cassette": "x" * 1_000_000}))
    with pytest.raises(ProtocolError) as caught:
        read_cassette(file)
    assert len(str(caught.value)) < 500


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """A real conversation, with a tool."""
    file = tmp_path_factory.mktemp("recorded") / "demo.jsonl"
    with dashnb.connect("local", database=":memory:", record=file) as client:
        dashnb.Session(client=client, tools=["calculator"], ledger=None).ask("What is 2 + 3?")
    return [json.loads(line) for line in file.read_text().splitlines()]


ODD = st.sampled_from([
    *(None, True, 0, -1, 1, 2, 2**63, 10**400, 0.5, -0.5, math.nan, math.inf, 1e300, "", "x", "\ud800", "é\x1b[2J"),
    *("9" * 5000, [], {}, [[]], "2" * 30, "[redacted]", "event-stream", "thread.run.completed", "data:{}\n\n"),
])  # fmt: skip
ANYTHING = st.recursive(
    ODD,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in inner:
        yield (*path, key)
        yield from places(entry, (*path, key))


def written(entry: Any) -> str:
    return json.dumps(entry, default=str)


def try_all(file: Path) -> None:
    """Everything that reads a cassette."""
    for read in (read_cassette, read_runs, lambda file: ask_again(file), lambda file: show_again(file)):
        try:
            read(file)
        except DashnbError as error:
            assert len(str(error).splitlines()) <= 12  # noqa: PT017 # it may be whole


def ask_again(file: Path) -> None:
    with dashnb.connect(f"replay:{file}") as client:
        dashnb.Session(client=client, tools=["calculator"], ledger=None).ask("What is 2 + 3?")


def show_again(file: Path) -> None:
    for run in read_runs(file):
        for _ in run.states(RunState(), Pace(None, lambda: 0.0), lambda seconds: None):
            pass


@given(data=st.data())
@settings(deadline=None, max_examples=250)
def test_no_edit_of_a_cassette_is_anything_but_an_answer_or_an_error(
    lines: list[Any], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    edited = copy.deepcopy(lines)
    for _ in range(data.draw(st.integers(1, 3))):
        where = data.draw(st.sampled_from(list(places(edited))))
        holder: Any = edited
        for key in where[:-1]:
            holder = holder[key]
        match data.draw(st.sampled_from(["replace", "replace", "replace", "remove", "twice"])):
            case "replace":
                holder[where[-1]] = data.draw(ANYTHING)
            case "remove":
                del holder[where[-1]]
            case "twice" if isinstance(holder, list):
                holder.insert(data.draw(st.integers(0, len(holder))), copy.deepcopy(holder[where[-1]]))
    file = tmp_path_factory.mktemp("edited") / "demo.jsonl"
    file.write_text("".join(written(entry) + "\n" for entry in edited))
    try_all(file)


@given(data=st.data())
@settings(deadline=None, max_examples=150)
def test_no_edit_of_what_a_server_said_is_anything_but_an_answer_or_an_error(
    lines: list[Any], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """The same one level below: in the JSON that the chunks hold."""
    edited = copy.deepcopy(lines)
    said = [entry for entry in edited if "{" in entry.get("chunk", "")]
    entry = data.draw(st.sampled_from(said))
    before, _, rest = entry["chunk"].partition("{")
    told, end = json.JSONDecoder().raw_decode("{" + rest)
    holder: Any = told
    where = data.draw(st.sampled_from(list(places(told))))
    for key in where[:-1]:
        holder = holder[key]
    holder[where[-1]] = data.draw(ANYTHING)
    entry["chunk"] = before + written(told) + ("{" + rest)[end:]
    file = tmp_path_factory.mktemp("edited") / "demo.jsonl"
    file.write_text("".join(written(entry) + "\n" for entry in edited))
    try_all(file)


@given(content=st.binary(max_size=200))
@settings(deadline=None)
def test_any_bytes_behind_the_first_line_are_read_or_named(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    file = tmp_path_factory.mktemp("bytes") / "demo.jsonl"
    file.write_bytes(json.dumps(HEADER).encode() + b"\n" + content)
    try_all(file)


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "javascript:x",
        "http://",
        "http://[",
        "x" * 100_000,
        "http://é/api/v1",
        5,
        [],
        "http://a\r\nb/",
        "\ud800",
        "http://\ud800/api/v1",
    ],
)
def test_any_base_url_of_a_cassette_is_taken_or_refused(file: Path, base_url: Any) -> None:
    file.write_text(json.dumps({"dashnb_cassette": 1, "base_url": base_url}) + "\n")
    try_all(file)


SIZES: dict[str, Callable[[int], str]] = {
    "one line": lambda n: json.dumps({"n": 1, "request": {"method": "GET", "path": "/", "json": "x" * n}}),
    "lines": lambda n: "\n" * n,
    "numbers": lambda n: json.dumps({"n": 1, "request": {"method": "GET", "path": "/", "json": list(range(n // 8))}}),
    "chunks": lambda n: "\n".join([
        '{"n": 1, "request": {"method": "POST", "path": "/threads/t/runs"}}',
        '{"n": 1, "ms": 1, "response": {"status": 200, "headers": {"content-type": "text/event-stream"}}}',
        *['{"n": 1, "ms": 1, "chunk": "x"}'] * (n // 40),
    ]),
    "half a line": lambda n: '{"n": 1, "request": "' + "x" * n,
}  # fmt: skip


@pytest.mark.parametrize("shape", SIZES)
def test_the_work_of_reading_grows_with_the_file(file: Path, shape: str) -> None:
    def make(n: int) -> Path:
        file.write_text(json.dumps(HEADER) + "\n" + SIZES[shape](n))
        return file

    assert_linear(try_all, make, 500_000)
