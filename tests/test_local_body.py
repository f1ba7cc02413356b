"""A request that is merely wrong is told so: depth, size and range are checked before anything is used."""

from __future__ import annotations

import asyncio
import gc
import json
import urllib.parse
from collections.abc import Iterator, MutableMapping
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dashnb.errors import BadRequestError
from dashnb.local.body import MOST_DEPTH, MOST_VALUES, SMALL_BYTES, read_json, undisturbed
from dashnb.local.models.engine import TextPiece
from dashnb.local.service import LocalService
from dashnb.protocol.requests import COUNT_LIMIT
from scripted import Api, Script, serving

ROUNDS = 2000


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with serving(Script(*[[TextPiece("ok")]] * ROUNDS)) as api:
        api.assistant()
        api.thread("Hello")
        yield api


def nested(depth: int, *, lists: bool = False) -> str:
    """A text of JSON with so many levels."""
    return "[" * depth + "1" + "]" * depth if lists else '{"a":' * depth + "1" + "}" * depth


def answered(response: httpx.Response) -> int:
    """The status of an answer that is no failure of ours, in the documented shape if it is a refusal."""
    assert response.status_code < 500, response.text
    if response.status_code >= 400:
        assert sorted(response.json()) == ["code", "message", "request_id"]
        assert len(response.json()["message"]) < 1000
    return response.status_code


# Where a value may stand: method, path, body with the value in the place of `@`.
PLACES = {
    "a tool's own field": ("/assistants", '{"model": "m", "tools": [{"type": "x", "y": @}]}'),
    "a function's parameters": (
        "/assistants",
        '{"model": "m", "tools": [{"type": "function", "function": {"name": "f", "parameters": {"a": @}}}]}',
    ),
    "a tool": ("/assistants", '{"model": "m", "tools": [@]}'),
    "tools": ("/assistants", '{"model": "m", "tools": @}'),
    "a type of tool": ("/assistants", '{"model": "m", "tools": [{"type": @}]}'),
    "a function's name": ("/assistants", '{"model": "m", "tools": [{"type": "function", "function": {"name": @}}]}'),
    "an unknown field": ("/assistants", '{"model": "m", "unknown": @}'),
    "the whole": ("/threads", "@"),
    "a model": ("/assistants", '{"model": @}'),
    "instructions": ("/assistants", '{"model": "m", "instructions": @}'),
    "metadata": ("/threads", '{"metadata": {"a": @}}'),
    "all metadata": ("/threads", '{"metadata": @}'),
    "content": ("/threads/thread_1/messages", '{"content": @}'),
    "a role": ("/threads/thread_1/messages", '{"content": "Hi", "role": @}'),
    "first messages": ("/threads", '{"messages": @}'),
    "a first message": ("/threads", '{"messages": [@]}'),
    "a file of a message": ("/threads/thread_1/messages", '{"content": "Hi", "file_ids": [@]}'),
    "a file of an assistant": ("/assistants", '{"model": "m", "file_ids": [@]}'),
    "an attached file": ("/assistants/asst_1/files", '{"file_id": @}'),
    "an assistant's id": ("/threads/runs", '{"assistant_id": @}'),
    "an output": ("/threads/thread_1/runs/run_1/submit_tool_outputs", '{"tool_outputs": [{"output": @}]}'),
    "a call's id": (
        "/threads/thread_1/runs/run_1/submit_tool_outputs",
        '{"tool_outputs": [{"tool_call_id": @, "output": "x"}]}',
    ),
    **{
        f"{field} of an assistant": ("/assistants", f'{{"model": "m", "{field}": @}}')
        for field in ("temperature", "top_p", "top_k", "max_tokens")
    },
}
# Where a value may stand in a run, which then has to end well or not to begin.
OF_A_RUN = {
    field: f'{{"assistant_id": "asst_1", "{field}": @, "stream": true}}'
    for field in (
        *("temperature", "top_p", "top_k", "max_tokens", "max_prompt_tokens", "max_completion_tokens"),
        *("response_format", "tool_choice", "parallel_tool_calls", "metadata", "instructions", "model"),
        *("additional_instructions", "additional_messages", "tools", "truncation_strategy", "thread"),
    )
} | {
    "last_messages": '{"assistant_id": "asst_1", "truncation_strategy": {"last_messages": @}, "stream": true}',
    "stream": '{"assistant_id": "asst_1", "stream": @}',
}
ODD = {
    **{str(depth): nested(depth) for depth in (MOST_DEPTH // 2, MOST_DEPTH, 300, 900, 100_000)},
    **{f"{depth} lists": nested(depth, lists=True) for depth in (MOST_DEPTH // 2, MOST_DEPTH, 300, 900, 100_000)},
    **{
        number[:12]: number
        for number in (
            *("10" * 10, "1" + "0" * 400, "1" + "0" * 5000, "-1" + "0" * 20, str(2**63), str(2**63 - 1), str(2**31)),
            *("1e400", "1e300", "-1e-300", "NaN", "Infinity", "-Infinity", "-0", "-0.0", "0", "1.0", "1.5", "-1"),
        )
    },
    **{f"the word {word}": word for word in ("true", "false", "null", '""', "[]", "{}", '[""]', '{"": ""}', "[null]")},
    "half a character": '"\\ud800"',
    "a name of half a character": '{"\\ud800": "\\ud800"}',
    "no character": '"a\\u0000b"',
    "invisible": '"a\\u202eb\\u200b\\n"',
    "long": json.dumps("x" * 100_000),
    "many": json.dumps({str(n): n for n in range(20_000)}),
    "many lists": json.dumps([[]] * 20_000),
    "a digit as a text": '"7"',
    "twice": '{"a": 1, "a": 2}',
    "a path": '"../../threads"',
}


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_value_anywhere_in_a_body_is_taken_or_refused(api: Api, odd: str) -> None:
    for path, body in PLACES.values():
        answered(api.client.post(path, content=body.replace("@", ODD[odd]).encode()))


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_value_in_a_run_is_refused_or_harmless(api: Api, odd: str) -> None:
    for body in OF_A_RUN.values():
        response = api.client.post("/threads/runs", content=body.replace("@", ODD[odd]).encode())
        if answered(response) == 200 and response.headers["content-type"].startswith("text/event-stream"):
            assert "event:thread.run.completed" in response.text, body[:200]


@pytest.mark.parametrize(
    "odd", ["10" * 10, "0", "-1", "1.5", "", "true", "x" * 300, "a\0b", "a\u202eb", "é", "%00", "\n"]
)
@pytest.mark.parametrize("name", ["limit", "order", "after", "before", "page_no", "page_size"])
def test_an_odd_query_is_taken_or_refused(api: Api, name: str, odd: str) -> None:
    for path in ("/assistants", "/threads/thread_1/messages", "/assistants/asst_1/files"):
        answered(api.client.get(path, params={name: odd}))
    answered(api.client.get("/threads/thread_1/runs/run_1/stream", params={name: odd}))


@pytest.mark.parametrize("odd", ["x" * 81, "x" * 30_000, "a\0b", "a\nb", "\u202e", "é", "%", "a b", "'\"", "\ufffd"])
def test_an_odd_id_is_not_found(api: Api, odd: str) -> None:
    name = urllib.parse.quote(odd, safe="")
    for path in (f"/threads/{name}", f"/assistants/{name}", f"/threads/thread_1/runs/{name}/stream"):
        assert answered(api.client.get(path)) == 404
    assert answered(api.client.delete(f"/threads/{name}")) == 404
    path = f"/assistants/asst_1/files/{name}"
    assert answered(api.client.get(path)) == 404


@pytest.mark.parametrize("odd", ["x" * 20_000 + ":1", "run_1:" + "9" * 400, "run_1:\xb2", "\xff\xfe", ":", "run_1:-1"])
def test_an_odd_header_is_taken_or_refused(api: Api, odd: str) -> None:
    headers = {b"last-event-id": odd.encode("latin-1")}
    assert answered(api.client.get("/threads/thread_1/runs/run_1/stream", headers=headers)) in (400, 404)


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b'\xff\xfe{"a"', {}, 400),
        (b'{"model": "\xff"}', {}, 400),
        (b'{"model": "m"}', {"content-type": "text/plain; charset=utf-16"}, 200),
        (b'{"model": "m"}', {"content-type": "nonsense"}, 200),
        (b"\x1f\x8b\x08", {"content-encoding": "gzip"}, 400),
        (b'\xef\xbb\xbf{"model": "m"}', {}, 200),
        ('{"model": "m"}'.encode("utf-32"), {}, 200),
        ('{"model": "m"}'.encode("utf-16-le"), {}, 200),
        (b'{"model": "a", "model": "b"}', {}, 200),
        (b"\x00", {}, 400),
    ],
)
def test_a_body_in_any_encoding_is_taken_or_refused(
    api: Api, content: bytes, headers: dict[str, str], status: int
) -> None:
    assert answered(api.client.post("/assistants", content=content, headers=headers)) == status


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(value=JSON, place=st.sampled_from(sorted(PLACES)))
def test_any_value_anywhere_in_a_body_is_taken_or_refused(api: Api, value: Any, place: str) -> None:
    path, body = PLACES[place]
    answered(api.client.post(path, content=body.replace("@", json.dumps(value)).encode()))


@given(value=JSON, size=st.sampled_from([0, SMALL_BYTES]))
def test_a_body_is_read_alike_whatever_its_size(value: Any, size: int) -> None:
    content = json.dumps(value).encode()
    assert read_json(content + b" " * size) == json.loads(content)


@pytest.mark.parametrize("size", [0, SMALL_BYTES])
@pytest.mark.parametrize(
    "content",
    [b"{", b"[1,]", b'{"a" 1}', b"NaN", b"[1e400]", b"1" * 5000, b'"', b"[" * 50_000, b'{"a":' * 50_000, b"\xff"],
)
def test_what_is_no_json_is_refused_whatever_its_size(content: bytes, size: int) -> None:
    with pytest.raises(BadRequestError, match="The body is not JSON"):
        read_json(content + b" " * size)


@pytest.mark.parametrize("lists", [False, True])
def test_a_body_has_so_many_levels_and_no_more(*, lists: bool) -> None:
    assert read_json(nested(MOST_DEPTH, lists=lists).encode())
    with pytest.raises(BadRequestError, match=f"nested more than {MOST_DEPTH} levels"):
        read_json(nested(MOST_DEPTH + 1, lists=lists).encode())


def test_a_body_has_so_many_values_and_no_more() -> None:
    assert len(read_json(b"[" + b"0," * (MOST_VALUES - 1) + b"0]")) == MOST_VALUES
    for content in (b"[" + b"[]," * MOST_VALUES + b"0]", b'{"a":[[' + b"0," * MOST_VALUES + b"0]]}"):
        with pytest.raises(BadRequestError, match=f"more than {MOST_VALUES} values"):
            read_json(content)


@pytest.mark.parametrize("was", [True, False])
def test_the_collector_of_garbage_waits_while_something_is_made_of_a_large_body(*, was: bool) -> None:
    try:
        if not was:
            gc.disable()
        with undisturbed(b"{}"):
            assert gc.isenabled() is was
        with undisturbed(b" " * (SMALL_BYTES + 1)):
            assert not gc.isenabled()
        assert gc.isenabled() is was
    finally:
        gc.enable()


@pytest.mark.parametrize("field", ["top_k", "max_tokens", "max_prompt_tokens"])
def test_a_count_has_32_bits(api: Api, field: str) -> None:
    for count, status in ((COUNT_LIMIT, 200), (COUNT_LIMIT + 1, 400)):
        response = api.client.post("/threads/runs", json={"assistant_id": "asst_1", "stream": True, field: count})
        assert answered(response) == status


# --- names of functions ---------------------------------------------------------------------------


def function(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


CLASHES = {
    "built-in first": (
        [{"type": "calculator"}, function("calculator")],
        "'calculator' has the name of a built-in tool",
    ),
    "built-in last": ([function("calculator"), {"type": "calculator"}], "'calculator' has the name of a built-in tool"),
    "a plugin of one's own": ([{"type": "weather"}, function("weather")], "'weather' has the name of a built-in tool"),
    "two functions": ([function("f"), function("g"), function("f")], "there are two functions called 'f'"),
}


@pytest.mark.parametrize("case", CLASHES)
def test_two_tools_of_one_name_are_refused(api: Api, case: str) -> None:
    tools, said = CLASHES[case]
    for path, body in (
        ("/assistants", {"model": "m"}),
        ("/assistants/asst_1", {}),
        ("/threads/runs", {"assistant_id": "asst_1"}),
    ):
        response = api.client.post(path, json={**body, "tools": tools})
        assert answered(response) == 400
        assert response.json()["message"].startswith(
            f"tools: {said}" if said[0] == "t" else f"tools: the function {said}"
        )


def test_a_function_may_be_called_like_a_built_in_tool_that_is_not_there(api: Api) -> None:
    assert api.assistant(tools=[function("calculator"), {"type": "code_interpreter"}, function("function")])
    assert api.assistant(tools=[{"type": "calculator"}, {"type": "calculator"}])


def test_an_assistant_of_before_with_two_tools_of_one_name_says_what_to_do(api: Api) -> None:
    assistant = api.assistant()
    with api.service.store.begin() as change:
        change.update("assistants", assistant, tools=CLASHES["built-in first"][0])
    response = api.client.post("/threads/runs", json={"assistant_id": assistant})
    assert answered(response) == 400
    assert "rename the function" in response.json()["message"]


def test_who_leaves_in_the_middle_of_a_request_is_no_failure_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    parts = [
        {"type": "http.request", "body": b'{"metadata": {', "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return parts.pop(0)

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    path = "/api/v1/threads"
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""}
    with LocalService(":memory:", Script(), plugins={}) as service:
        asyncio.run(service.app({**scope, "headers": [], "app": None, "extensions": {}}, receive, send))
    assert sent[0]["status"] == 408
    assert caplog.records == []
