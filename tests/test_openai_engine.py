"""The engine that asks a chat-completions server: requests, streams cut anywhere, failures, and a cancel."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import socket
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from chat_server import ChatServer, Exchange, call, calls, delta, says, sends, stream_of, streams, usage
from dashnb.errors import ConfigurationError, RunError
from dashnb.local.models.engine import (
    Call,
    CallPiece,
    EngineError,
    Piece,
    ReasoningPiece,
    Said,
    Spent,
    TextPiece,
    Turn,
)
from dashnb.local.models.openai import OpenAIEngine
from dashnb.local.models.openai.answer import Answer, Thoughts
from dashnb.local.models.openai.presets import PRESETS
from dashnb.local.models.openai.request import ToolNames, body_of
from dashnb.local.models.openai.tools import BUILT_IN
from dashnb.local.plugins.builtin import builtin_plugins
from dashnb.local.plugins.calculator import calculator
from dashnb.local.service import make_engine
from dashnb.magics.conversation import Conversation
from dashnb.magics.display import ENGINE_LABELS, heading_of
from dashnb.magics.status import status, summary
from dashnb.protocol.sse import Decoder
from dashnb.session.connection import open_client, plan
from dashnb.session.session import Session
from dashnb.settings import Settings
from scripted import names, of, path_of, serving

KEY = "sk-canary-0123456789"
CALCULATOR = {"type": "calculator"}
WEATHER = {"type": "function", "function": {"name": "weather", "description": "The weather", "parameters": None}}


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer().running() as server:
        yield server


class Sleeps(list[float]):
    """A sleep that takes no time and says how long it would have been."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


def turn(*tools: dict[str, Any], rounds: tuple[tuple[Call, ...], ...] = (), **fields: Any) -> Turn:
    values = {"model": "qwen-max", "instructions": "Be brief.", "messages": (Said("user", "Hello"),), **fields}
    return Turn(tools=tools, rounds=rounds, **values)


def answered(engine: OpenAIEngine, asked: Turn | None = None) -> list[Piece]:
    async def collect() -> list[Piece]:
        return [piece async for piece in engine.answer(asked or turn())]

    return asyncio.run(collect())


def failure(engine: OpenAIEngine, asked: Turn | None = None) -> EngineError:
    with pytest.raises(EngineError) as caught:
        answered(engine, asked)
    assert KEY not in str(caught.value)
    assert "\n" in str(caught.value)  # what happened, and what to do
    return caught.value


def read(*chunks: dict[str, Any]) -> list[Piece]:
    """The pieces of a stream of chunks."""
    answer = Answer(lambda name: name)
    return [*itertools.chain.from_iterable(map(answer.feed, chunks)), *answer.end()]


def merged(pieces: list[Piece]) -> list[Any]:
    """Texts and thoughts joined, and each call as its name and whole arguments, in order."""
    found: list[Any] = []
    for piece in pieces:
        if isinstance(piece, CallPiece):
            if piece.arguments:
                assert found[-1][0] == piece.number, "a call was taken up again"
                found[-1] = (*found[-1][:2], found[-1][2] + piece.arguments)
            else:
                found.append((piece.number, piece.name, ""))
        elif isinstance(piece, (TextPiece, ReasoningPiece)) and found and isinstance(found[-1], type(piece)):
            found[-1] = type(piece)(found[-1].text + piece.text)
        else:
            found.append(piece)
    return found


# --- the request ---------------------------------------------------------------------------------


def test_a_turn_becomes_system_message_messages_and_rounds() -> None:
    rounds = ((Call("weather", '{"city": "Oslo"}', "cold", "call_a"), Call("calculator", "", "2")),)
    body = body_of(turn(WEATHER, CALCULATOR, rounds=rounds, sampling={"temperature": 0.5, "top_k": 3}), model="qwen3")
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"id": "call_a", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}},
                {"id": "call_0_1", "type": "function", "function": {"name": "calculator", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "call_a", "content": "cold"},
        {"role": "tool", "tool_call_id": "call_0_1", "content": "2"},
    ]
    assert {name: body[name] for name in ("model", "stream", "stream_options", "temperature", "top_k")} == {
        "model": "qwen3",
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "top_k": 3,
    }


def test_without_instructions_and_tools_none_are_sent_and_empty_answers_are_left_out() -> None:
    said = (Said("user", "Hi"), Said("assistant", ""), Said("user", "Hello?"))
    body = body_of(turn(instructions="", messages=said), model="m")
    assert [message["content"] for message in body["messages"]] == ["Hi", "Hello?"]
    assert "tools" not in body


def test_every_call_of_the_rounds_has_an_id_of_its_own() -> None:
    same = Call("weather", "{}", "", "call_1_0")
    body = body_of(turn(rounds=((same, same), (same, Call("weather", "{}", "")))), model="m")
    ids = [call["id"] for message in body["messages"] for call in message.get("tool_calls", [])]
    answers = [message["tool_call_id"] for message in body["messages"] if message["role"] == "tool"]
    assert len(set(ids)) == 4
    assert ids == answers


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("", {}),
        ("[1]", {"arguments": "[1]"}),
        ("{oops", {"arguments": "{oops"}),
        pytest.param(deep := '{"a":' * 50_000 + "1" + "}" * 50_000, {"arguments": deep}, id="deep"),
    ],
)
def test_arguments_that_are_no_object_go_back_inside_one(written: str, sent: dict[str, Any]) -> None:
    body = body_of(turn(rounds=((Call("weather", written, ""),),)), model="m")
    assert json.loads(body["messages"][2]["tool_calls"][0]["function"]["arguments"]) == sent


def test_arguments_that_are_nested_too_deeply_fail_no_run(server: ChatServer) -> None:
    def weather(city: str) -> str:
        """The weather."""
        return city

    deep = '{"city":' * 50_000 + "1" + "}" * 50_000
    server.scripts += [streams(calls(call(0, deep, name="weather", id="call_1")), delta("tool_calls")), says("Fine.")]
    settings = load(engine="openai", llm_url=server.url, database=":memory:")
    with (
        open_client(plan(settings, "local"), settings) as client,
        Session(client=client, tools=[weather], ledger=None) as session,
    ):
        state = session.ask("Weather?")
    assert state.text == "Fine."
    assert [str(one.output).startswith("Error: Invalid JSON") for one in state.tool_calls] == [True]


def test_functions_are_sent_as_they_are_and_built_in_tools_as_functions() -> None:
    tools = (
        WEATHER,
        CALCULATOR,
        {"type": "rag", "description": "The handbook"},
        {"type": "my.plugin", "auth": {"user_token": KEY}},
    )
    sent = [tool["function"] for tool in body_of(turn(*tools), model="m")["tools"]]
    assert [function["name"] for function in sent] == ["weather", "calculator", "rag", "my_plugin"]
    assert sent[0] == {
        "name": "weather",
        "description": "The weather",
        "parameters": {"type": "object", "properties": {}},
    }
    assert sent[1]["parameters"]["required"] == ["expression"]
    assert sent[2]["description"] == "The handbook"
    assert "my.plugin" in sent[3]["description"]
    assert all(function["parameters"]["type"] == "object" for function in sent)
    assert KEY not in json.dumps(sent)


def test_what_the_knowledge_base_gave_stands_in_the_instructions() -> None:
    output = json.dumps({"data": [{"title": "Cats", "desc": "Cats sleep."}]})
    asked = {"instructions": "Answer from ${document1}.", "rounds": ((Call("rag", '{"query_word": "cats"}', output),),)}
    body = body_of(turn({"type": "rag"}, **asked), model="m")
    assert body["messages"][0]["content"] == "Answer from [1] Cats\nCats sleep.."
    assert body_of(turn({"type": "rag"}, instructions="${documents}"), model="m")["messages"][0]["role"] == "user"


def test_every_built_in_tool_of_the_embedded_api_is_described() -> None:
    assert builtin_plugins().built_in == set(BUILT_IN)


def test_one_name_is_sent_once_and_means_the_built_in_tool() -> None:
    function = {"type": "function", "function": {"name": "calculator", "description": "mine"}}
    tools = body_of(turn(function, CALCULATOR, CALCULATOR), model="m")["tools"]
    assert [tool["function"]["name"] for tool in tools] == ["calculator"]
    assert tools[0]["function"]["description"] == BUILT_IN["calculator"][0]


@examples(deadline=None)  # a busy machine is no defect
@given(st.lists(st.text(min_size=1, max_size=90), unique=True, max_size=6))
def test_names_on_the_wire_are_allowed_different_and_lead_back(own: list[str]) -> None:
    tool_names = ToolNames([{"type": name} for name in own if name != "function"])
    own = [name for name in own if name != "function"]
    sent = [tool_names.sent(name) for name in own]
    assert len(set(sent)) == len(sent)
    assert all(0 < len(name) <= 64 and name.replace("-", "_").replace("_", "a").isalnum() for name in sent)
    assert [tool_names.own(name) for name in sent] == own


# --- the stream ----------------------------------------------------------------------------------

LONG = [
    delta(role="assistant", content=""),
    delta(reasoning_content="Hm, 天气…"),
    delta(content="Let me look: "),
    delta(content="天气 🐈"),
    calls(call(0, name="weather", id="a")),
    calls(call(0, '{"city": ')),
    calls(call(0, '"Oslo 🌧"}'), call(1, "", name="weather", id="b")),
    calls(call(1, '{"city": "Rome"}')),
    delta("tool_calls"),
    usage(20, 30),
]
LONG_PIECES = [
    ReasoningPiece("Hm, 天气…"),
    TextPiece("Let me look: 天气 🐈"),
    (0, "weather", '{"city": "Oslo 🌧"}'),
    (1, "weather", '{"city": "Rome"}'),
    Spent(20, 30),
]


def decoded(*parts: bytes) -> list[Piece]:
    decoder, answer = Decoder(), Answer(lambda name: name)
    events = [event for part in parts for event in decoder.feed(part)]
    assert events.pop().data == "[DONE]"
    return [*itertools.chain.from_iterable(answer.feed(json.loads(event.data)) for event in events), *answer.end()]


@pytest.mark.parametrize("cut", range(0, len(stream_of(*LONG)), 7))
def test_a_stream_cut_at_any_byte_says_the_same(cut: int) -> None:
    content = stream_of(*LONG)
    for at in range(cut, min(cut + 7, len(content))):
        assert merged(decoded(content[:at], content[at:])) == LONG_PIECES


def test_a_stream_in_single_bytes_says_the_same(server: ChatServer) -> None:
    content = stream_of(*LONG)
    assert merged(decoded(*(content[at : at + 1] for at in range(len(content))))) == LONG_PIECES

    def drip(exchange: Exchange) -> None:
        exchange.start()
        for at in range(len(content)):
            exchange.send(content[at : at + 1])

    server.scripts.append(drip)
    assert merged(answered(OpenAIEngine(server.url))) == LONG_PIECES


def test_pieces_come_as_they_are_sent(server: ChatServer) -> None:
    told = threading.Event()

    def slow(exchange: Exchange) -> None:
        exchange.start()
        exchange.send(stream_of(delta(content="first"), done=False))
        assert told.wait(5)
        exchange.send(stream_of(delta("stop", content=" second")))

    async def follow() -> list[Piece]:
        found = []
        async for piece in OpenAIEngine(server.url).answer(turn()):
            found.append(piece)
            told.set()
        return found

    server.scripts.append(slow)
    assert asyncio.run(follow()) == [TextPiece("first"), TextPiece(" second")]


def test_arguments_of_the_open_call_come_piece_by_piece() -> None:
    answer = Answer(lambda name: name)
    assert list(answer.feed(calls(call(0, name="f", id="a")))) == []
    assert list(answer.feed(calls(call(0, '{"a"')))) == [CallPiece(0, "f"), CallPiece(0, "f", '{"a"')]
    assert list(answer.feed(calls(call(0, ": 1")))) == [CallPiece(0, "f", ": 1")]


ARGUMENTS = ['{"city": "Oslo"}', '{"deep": {"x": [1, "}"]}}', "{}", '{"say": "天气 🐈 \\" }"}']


@examples(deadline=None)  # a busy machine is no defect
@given(st.data())
def test_calls_that_come_interleaved_are_told_one_after_the_other(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 4))
    waiting = [[call(i, name=f"f{i}", id=f"id{i}")] + [call(i, c) for c in ARGUMENTS[i]] for i in range(count)]
    chunks = [calls(parts.pop(0)) for parts in waiting]  # every call is announced in its order
    while any(waiting):
        chunks.append(calls(data.draw(st.sampled_from([parts for parts in waiting if parts])).pop(0)))
    assert merged(read(*chunks, delta("tool_calls"))) == [(i, f"f{i}", ARGUMENTS[i]) for i in range(count)]


@pytest.mark.parametrize(
    "chunks",
    [
        [calls(call(0, "{}", name="f", id="a"), call(0, '{"x": 1}', name="g", id="b"))],  # every index is 0
        [calls(call(None, "{}", name="f", id="a")), calls(call(None, '{"x": 1}', name="g", id="b"))],  # no index
        [calls(call(None, "{}", name="f")), calls(call(None, '{"x"', name="g")), calls(call(None, ": 1}"))],  # nor id
        [calls(call(0, "", name="f", id="a")), calls(call(1, '{"x": 1}', name="g", id="b"))],  # f has no arguments
        [calls(call(0, "{}", name="f")), calls(call(1, '{"x"', name="g")), calls(call(1, ": 1}", name="g"))],  # again
        [calls(call(3, "{}", name="f")), calls(call(5, '{"x": 1}', name="g"))],  # other numbers
    ],
)
def test_calls_are_told_apart_however_a_server_numbers_them(chunks: list[dict[str, Any]]) -> None:
    assert merged(read(*chunks, delta("tool_calls"))) == [(0, "f", "{}"), (1, "g", '{"x": 1}')]


def test_a_name_in_pieces_and_arguments_as_an_object_are_read() -> None:
    chunk = calls({"index": 0, "function": {"name": "ther", "arguments": {"city": "Oslo"}}})
    assert merged(read(calls(call(0, name="wea")), chunk)) == [(0, "weather", '{"city": "Oslo"}')]


def test_a_call_that_goes_on_behind_its_end_or_has_no_name_is_an_error() -> None:
    with pytest.raises(EngineError, match="mixed up"):
        read(calls(call(0, "{}", name="f")), calls(call(1, "{", name="g")), calls(call(0, "{}")))
    with pytest.raises(EngineError, match="without a name"):
        read(calls(call(0, "{}")))


def test_blank_lines_around_calls_are_no_message_and_text_waits_for_the_call() -> None:
    one = calls(call(0, '{"a":', name="f"))
    assert merged(read(delta(content="\n\n"), one, calls(call(0, "1}")), delta(content="\n"))) == [(0, "f", '{"a":1}')]
    pieces = read(one, delta(content="Then"), calls(call(0, "1}")))
    assert merged(pieces) == [(0, "f", '{"a":1}'), TextPiece("Then")]


def test_a_whole_completion_in_place_of_a_stream_is_read(server: ChatServer) -> None:
    message = {"role": "assistant", "content": "Hello"}
    whole = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage(1, 2)["usage"]}
    server.scripts.append(sends(200, whole))
    assert answered(OpenAIEngine(server.url)) == [TextPiece("Hello"), Spent(1, 2)]


def test_what_is_no_part_of_the_answer_is_skipped() -> None:
    other = {"choices": [{"index": 1, "delta": {"content": "other"}}]}
    parts = delta(content=[{"type": "text", "text": "Yes"}, {"type": "x"}])
    assert read({"id": "x"}, other, {"choices": None}, parts, delta("stop")) == [TextPiece("Yes")]


def test_tokens_are_counted_once_and_not_guessed() -> None:
    counted = {**delta(content="a"), "usage": usage(5, 1)["usage"]}
    assert read(counted, usage(5, 9)) == [TextPiece("a"), Spent(5, 9)]
    assert read(delta(content="a"), delta("stop")) == [TextPiece("a")]


# --- thoughts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning"])
def test_thoughts_are_told_apart_from_the_answer(key: str) -> None:
    pieces = read(delta(**{key: "Hm."}), delta(content="\n\nYes"), delta("stop"))
    assert pieces == [ReasoningPiece("Hm."), TextPiece("Yes")]


def test_thoughts_that_come_under_both_names_are_told_once() -> None:
    assert read(delta(reasoning="Hm.", reasoning_content="Hm."))[:1] == [ReasoningPiece("Hm.")]


@pytest.mark.parametrize(
    ("text", "thought", "answer"),
    [
        ("<think>Hm, a < b.</think>\n\nYes </think> <think> no", "Hm, a < b.", "Yes </think> <think> no"),
        ("\n<think>\n</think>\n\n<think>b</think>Yes", "\nb", "Yes"),
        ("<think>never closed </thin", "never closed </thin", ""),
        ("  <thin ice> is text", "", "  <thin ice> is text"),
        ("<thi", "", "<thi"),
        ("The tag <think> is text.", "", "The tag <think> is text."),
        (" ", "", " "),
    ],
)
def test_inline_thoughts_are_recognised_at_every_chunk_border(text: str, thought: str, answer: str) -> None:
    for left, right in itertools.combinations_with_replacement(range(len(text) + 1), 2):
        thoughts = Thoughts()
        parts = [text[:left], text[left:right], text[right:]]
        pieces = [*itertools.chain.from_iterable(map(thoughts.feed, parts)), *thoughts.flush()]
        assert "".join(piece.text for piece in pieces if isinstance(piece, ReasoningPiece)) == thought
        assert "".join(piece.text for piece in pieces if isinstance(piece, TextPiece)) == answer


# --- how it ends ---------------------------------------------------------------------------------


def test_text_that_reached_the_limit_of_tokens_is_an_answer() -> None:
    assert read(delta(content="It is"), delta("length")) == [TextPiece("It is")]


@pytest.mark.parametrize(
    ("chunk", "words"),
    [
        (delta("length", reasoning_content="Hm"), "before it answered"),
        ({"choices": [{**calls(call(0, '{"a', name="f"))["choices"][0], "finish_reason": "length"}]}, "tool call"),
    ],
)
def test_a_limit_of_tokens_before_the_answer_or_in_a_call_is_an_error(chunk: dict[str, Any], words: str) -> None:
    with pytest.raises(EngineError, match=words) as caught:
        read(chunk)
    assert caught.value.code == "max_tokens"
    assert "max_tokens" in str(caught.value)


def test_a_content_filter_is_an_error() -> None:
    with pytest.raises(EngineError, match="content filter") as caught:
        read(delta(content="It"), delta("content_filter"))
    assert caught.value.code == "DataInspectionFailed"


# --- failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "code", "words"),
    [
        (400, {"error": {"message": "max_tokens is too large"}}, "InvalidParameter", "max_tokens is too large"),
        (401, {"error": {"code": "invalid_api_key", "message": f"Bad: {KEY}"}}, "InvalidApiKey", "DASHNB_LLM_KEY"),
        (402, {"detail": "pay"}, "Arrearage", "pay"),
        (403, {"error": {"message": "no"}}, "AccessDenied", "another model"),
        (404, {"error": "model 'qwen-max' not found"}, "ModelNotFound", "DASHNB_LLM_MODEL"),
        (404, "404 page not found", "ModelNotFound", "DASHNB_LLM_URL"),
        (408, {}, "RequestTimeOut", "DASHNB_TIMEOUT"),
        (422, {"detail": [{"loc": "top_k"}]}, "InvalidParameter", "top_k"),
        (429, {"error": {"message": "slow down"}}, "Throttling.RateQuota", "Wait a minute"),
        (429, {"error": {"code": "insufficient_quota"}}, "Throttling.AllocationQuota", "quota is used up"),
        (500, {"error": {"message": "x" * 900}}, "server_error", "x" * 400 + ""),
        (502, "<html>nginx</html>", "server_error", "Bad Gateway"),
        (504, None, "RequestTimeOut", "HTTP 504"),
        (307, None, "server_error", "HTTP 307"),
        (400, ["odd"], "InvalidParameter", "odd"),
    ],
)
def test_an_error_status_becomes_a_code_and_what_to_do(
    server: ChatServer, status: int, body: Any, code: str, words: str
) -> None:
    server.scripts += [sends(status, body)] * 3
    error = failure(OpenAIEngine(server.url, KEY, sleep=Sleeps()))
    assert error.code == code
    assert words in str(error)
    assert "<html>" not in str(error)
    assert len(str(error)) < 900


def test_an_unknown_model_is_answered_with_those_that_the_server_has(server: ChatServer) -> None:
    server.models = {"data": [{"id": "qwen3:0.6b"}, {"id": "smollm2"}]}
    server.scripts.append(sends(404, {"error": {"code": "model_not_found", "message": "unknown"}}))
    error = failure(OpenAIEngine(server.url))
    assert "asked for was 'qwen-max'" in str(error)
    assert "It has: qwen3:0.6b, smollm2." in str(error)


@pytest.mark.parametrize("models", [None, {}, {"data": [1]}, "oops"])
def test_a_server_that_does_not_say_its_models_is_no_further_failure(server: ChatServer, models: Any) -> None:
    server.models = models
    server.scripts.append(sends(404, {}))
    assert failure(OpenAIEngine(server.url)).code == "ModelNotFound"


def test_nobody_listening_is_told_after_three_attempts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    sleeps = Sleeps()
    error = failure(OpenAIEngine(f"http://user:{KEY}@127.0.0.1:{port}/v1", sleep=sleeps))
    assert (error.code, sleeps) == ("server_error", [0.5, 1.0])
    assert f"http://127.0.0.1:{port}/v1" in str(error)
    assert "Start the server" in str(error)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_is_busy_is_asked_again(server: ChatServer, status: int) -> None:
    server.scripts += [sends(status, {}, Retry_After="7"), sends(status, {}), says("Hello")]
    sleeps = Sleeps()
    assert answered(OpenAIEngine(server.url, sleep=sleeps)) == [TextPiece("Hello")]
    assert sleeps == [7.0, 1.0]


@pytest.mark.parametrize(
    ("headers", "sleeps"),
    [
        ({"Retry_After": "3600"}, []),
        ({"Retry_After": "soon"}, [0.5]),
        ({"Retry_After": "Fri, 20 Nov 2026 08:00:09 GMT", "Date": "Fri, 20 Nov 2026 08:00:00 GMT"}, None),
    ],
)
def test_the_wait_that_a_server_asks_for_is_kept_unless_it_is_long(
    server: ChatServer, headers: dict[str, str], sleeps: list[float] | None
) -> None:
    server.scripts += [sends(503, {}, **headers), says("Hello")]
    slept = Sleeps()
    engine = OpenAIEngine(server.url, sleep=slept)
    if sleeps == []:
        failure(engine)
    else:
        answered(engine)
    assert len(slept) == 1 if sleeps is None else slept == sleeps


@pytest.mark.parametrize("status", [400, 401, 404])
def test_what_no_wait_mends_is_not_asked_again(server: ChatServer, status: int) -> None:
    server.scripts.append(sends(status, {}))
    failure(OpenAIEngine(server.url, sleep=Sleeps()))
    assert len(server.requests) == 1


def test_a_stream_that_has_begun_is_not_asked_for_again(server: ChatServer) -> None:
    server.scripts.append(streams(delta(content="It"), done=False))
    sleeps = Sleeps()
    error = failure(OpenAIEngine(server.url, sleep=sleeps))
    assert (error.code, sleeps, len(server.requests)) == ("server_error", [], 1)
    assert "broke off" in str(error)


def test_an_answer_whose_end_was_announced_is_whole_without_done(server: ChatServer) -> None:
    server.scripts.append(streams(delta(content="It"), delta("stop"), usage(1, 2), done=False))
    assert answered(OpenAIEngine(server.url)) == [TextPiece("It"), Spent(1, 2)]


def test_a_silent_server_is_a_time_out_before_and_in_the_stream(server: ChatServer) -> None:
    leave = threading.Event()

    def silent(exchange: Exchange) -> None:
        leave.wait(5)

    def stuck(exchange: Exchange) -> None:
        exchange.start()
        exchange.send(stream_of(delta(content="It"), done=False))
        leave.wait(5)

    server.scripts += [silent, stuck]
    for _ in range(2):
        error = failure(OpenAIEngine(server.url, timeout=0.1))
        assert (error.code, "0.1 s" in str(error)) == ("RequestTimeOut", True)
    leave.set()


@pytest.mark.parametrize(
    ("chunk", "code", "words"),
    [
        ({"error": {"message": "out of memory", "type": "server_error"}}, "server_error", "out of memory"),
        ({"error": {"message": f"key {KEY}", "code": 429}}, "Throttling.RateQuota", "********"),
        ({"object": "error", "message": "too long", "code": 400}, "InvalidParameter", "too long"),
        ({"code": "data_inspection_failed", "message": "no"}, "DataInspectionFailed", "other words"),
        ({"error": "gone"}, "server_error", "gone"),
        (["a"], "server_error", "no chunk"),
        ({"choices": [1]}, "server_error", "chat-completions format"),
        ({"choices": [{"delta": {"tool_calls": [{"function": 1}]}}]}, "server_error", "chat-completions format"),
    ],
)
def test_an_error_in_the_stream_ends_it(server: ChatServer, chunk: Any, code: str, words: str) -> None:
    server.scripts.append(streams(delta(content="It"), chunk))
    error = failure(OpenAIEngine(server.url, KEY))
    assert (error.code, words in str(error)) == (code, True), str(error)


def test_what_is_no_json_and_what_is_no_model_server_is_told(server: ChatServer) -> None:
    def garbled(exchange: Exchange) -> None:
        exchange.start()
        exchange.send(b"data: {oops\n\n")

    server.scripts += [garbled, sends(200, "<html>Welcome</html>", Content_Type="text/html")]
    assert "not JSON: {oops" in str(failure(OpenAIEngine(server.url)))
    assert "no chat-completions server" in str(failure(OpenAIEngine(server.url)))


def test_a_connection_that_breaks_in_the_stream_is_told(server: ChatServer) -> None:
    def breaks(exchange: Exchange) -> None:
        exchange.start(Content_Length="1000")
        exchange.send(stream_of(delta(content="It"), done=False))

    server.scripts.append(breaks)
    assert "broke off" in str(failure(OpenAIEngine(server.url)))


def test_the_key_is_sent_and_shown_nowhere(server: ChatServer) -> None:
    server.scripts += [says("Hello"), says("Hello")]
    engine = OpenAIEngine(server.url, f" {KEY}\n")
    answered(engine)
    assert server.requests[0].headers["Authorization"] == f"Bearer {KEY}"
    assert KEY not in repr(engine)
    answered(OpenAIEngine(server.url))
    assert server.requests[1].headers["Authorization"] is None
    with pytest.raises(ConfigurationError) as caught:
        OpenAIEngine(server.url, f"{KEY}\nx")
    assert KEY not in str(caught.value)


def test_the_address_may_be_the_whole_one_and_must_be_one(server: ChatServer) -> None:
    server.scripts.append(says("Hello"))
    answered(OpenAIEngine(f"{server.url}/chat/completions/"))
    assert server.requests[0].path == "/v1/chat/completions"
    for address in ("http://x:port/v1", "http://", "ftp://x/v1", ""):
        with pytest.raises(ConfigurationError, match="DASHNB_LLM_URL"):
            OpenAIEngine(address)


def test_a_message_of_half_a_surrogate_pair_is_sent(server: ChatServer) -> None:
    server.scripts.append(says("Hello"))
    answered(OpenAIEngine(server.url), turn(messages=(Said("user", "\ud83d"),)))
    assert server.bodies[0]["messages"][1]["content"] == "\ud83d"


def test_a_stream_that_ends_anywhere_is_whole_or_an_error() -> None:
    content = stream_of(*LONG)
    told = content.index(b"tool_calls", content.index(b"Rome"))  # the chunk that announces the end
    whole = content.index(b"\n\n", told)

    cuts = list(range(len(content) + 1))
    served = iter(cuts)
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=content[: next(served)]))

    async def everywhere() -> None:
        async with httpx.AsyncClient(transport=transport) as client:
            engine = OpenAIEngine("http://models.test/v1", client=client)
            for cut in cuts:
                try:
                    pieces = [piece async for piece in engine.answer(turn())]
                    assert cut >= whole
                    assert merged(pieces)[:4] == LONG_PIECES[:4]
                except EngineError as error:
                    assert cut < whole  # which of the two happens is the test
                    assert "broke off before its end" in str(error)  # noqa: PT017

    asyncio.run(everywhere())


def test_a_client_that_was_given_is_used_and_left_open() -> None:
    async def use() -> None:
        transport = httpx.MockTransport(
            lambda request: httpx.Response(200, content=stream_of(delta("stop", content="Hi")))
        )
        async with httpx.AsyncClient(transport=transport) as client:
            engine = OpenAIEngine("http://models.test/v1", client=client)
            assert [piece async for piece in engine.answer(turn())] == [TextPiece("Hi")]
            assert not client.is_closed

    asyncio.run(use())


# --- a cancel ------------------------------------------------------------------------------------


def endless(left: threading.Event) -> Any:
    """Answer for ever, until the reader has left."""

    def answer(exchange: Exchange) -> None:
        exchange.start()
        try:
            for _ in range(2000):
                exchange.send(stream_of(delta(content="word "), done=False))
                time.sleep(0.005)
        except OSError:
            left.set()

    return answer


def test_closing_the_pieces_closes_the_connection(server: ChatServer) -> None:
    left = threading.Event()
    server.scripts.append(endless(left))

    async def leave() -> bool:
        pieces = OpenAIEngine(server.url).answer(turn())
        assert isinstance(pieces, AsyncGenerator)
        assert await anext(pieces) == TextPiece("word ")
        await pieces.aclose()
        return await asyncio.to_thread(left.wait, 5)

    assert asyncio.run(leave())


def test_a_cancelled_run_closes_the_connection(server: ChatServer) -> None:
    left = threading.Event()
    server.scripts.append(endless(left))
    with serving(OpenAIEngine(server.url)) as api:
        path = api.begin()
        while not server.requests:
            time.sleep(0.005)
        api.post(f"{path}/cancel")
        assert left.wait(5)
        assert api.wait(path, "cancelled")["status"] == "cancelled"


def test_a_cancel_between_attempts_ends_them(server: ChatServer) -> None:
    server.scripts.append(sends(503, {}, Retry_After="20"))
    with serving(OpenAIEngine(server.url)) as api:
        path = api.begin()
        while not server.requests:
            time.sleep(0.005)
        api.post(f"{path}/cancel")
        assert api.wait(path, "cancelled")["status"] == "cancelled"


# --- through the embedded API --------------------------------------------------------------------


def test_a_function_goes_to_the_caller_and_its_output_to_the_model(server: ChatServer) -> None:
    server.scripts += [
        streams(delta(reasoning_content="Hm."), *LONG[2:]),
        says("<think>Cold.</think>Cold in Oslo.", usage(40, 5)),
    ]
    with serving(OpenAIEngine(server.url, model="qwen3")) as api:
        events = api.run("function:weather")
        assert names(events)[-2:] == ["thread.run.requires_action", "done"]
        asked = of(events, "thread.run.requires_action")[0]["required_action"]["submit_tool_outputs"]["tool_calls"]
        assert [json.loads(one["function"]["arguments"]) for one in asked] == [{"city": "Oslo 🌧"}, {"city": "Rome"}]
        outputs = [
            {"tool_call_id": one["id"], "output": text} for one, text in zip(asked, ["cold", "warm"], strict=True)
        ]
        rest = api.submit(path_of(events), *outputs)
    assert of(rest, "thread.message.completed")[0]["content"][0]["text"]["value"] == "Cold in Oslo."
    usage_ = of(rest, "thread.run.completed")[0]["usage"]
    assert (usage_["input_tokens"], usage_["output_tokens"]) == (60, 35)
    *_, first, second, third = server.bodies[1]["messages"]
    assert [one["id"] for one in first["tool_calls"]] == [one["id"] for one in asked]
    assert [(one["tool_call_id"], one["content"]) for one in (second, third)] == [
        (asked[0]["id"], "cold"),
        (asked[1]["id"], "warm"),
    ]
    assert server.bodies[0]["model"] == "qwen3"


def test_a_model_uses_the_built_in_tools(server: ChatServer) -> None:
    server.scripts += [
        streams(calls(call(0, '{"expression": "999 * 998"}', name="calculator", id="x")), delta("tool_calls")),
        says("It is 997002."),
    ]
    with serving(OpenAIEngine(server.url), plugins={"calculator": calculator}) as api:
        events = api.run("calculator")
    assert names(events)[-2:] == ["thread.run.completed", "done"]
    assert server.bodies[0]["tools"][0]["function"]["name"] == "calculator"
    assert json.loads(server.bodies[1]["messages"][-1]["content"])["result"] == "997002"
    assert server.bodies[0]["model"] == "qwen-max"


def test_a_failure_ends_the_run_as_failed_with_its_code_and_keeps_the_text(server: ChatServer) -> None:
    server.scripts.append(streams(delta(content="It is"), {"error": {"message": "out of memory"}}))
    with serving(OpenAIEngine(server.url)) as api:
        events = api.run()
    error = of(events, "thread.run.failed")[0]["last_error"]
    assert error["code"] == "server_error"
    assert "out of memory" in error["message"]
    assert of(events, "thread.message.incomplete")[0]["content"][0]["text"]["value"] == "It is"


# --- settings ------------------------------------------------------------------------------------


def load(environ: dict[str, str] | None = None, **arguments: str) -> Settings:
    return Settings.load(environ or {}, file=None, **arguments)


@pytest.mark.parametrize("name", sorted(set(PRESETS) - {"openai"}))
def test_a_preset_knows_its_address_and_takes_a_model(name: str) -> None:
    settings = load({"DASHSCOPE_API_KEY": KEY})
    engine = make_engine(f"{name}:qwen3:0.6b", settings=settings)
    assert repr(engine) == f"OpenAIEngine({PRESETS[name].url!r}, model='qwen3:0.6b')"
    assert engine.name == name
    assert repr(make_engine(name, settings=load({"DASHSCOPE_API_KEY": KEY, "DASHNB_LLM_MODEL": "m"}))).endswith("'m')")
    assert repr(make_engine(name, settings=settings)).endswith("model=None)")


def test_every_preset_has_a_label() -> None:
    assert set(ENGINE_LABELS) >= {"guide", *PRESETS}


def test_the_key_of_the_cloud_goes_to_the_cloud_only(server: ChatServer) -> None:
    server.scripts += [says("Hello")] * 3
    cloud = {"DASHSCOPE_API_KEY": KEY, "DASHNB_LLM_URL": server.url}
    for name in ("qwen", "ollama", "openai"):
        engine = make_engine(name, settings=load(cloud))
        assert isinstance(engine, OpenAIEngine)
        answered(engine)
    assert [exchange.headers["Authorization"] for exchange in server.requests] == [None] * 3


@pytest.mark.parametrize(
    ("name", "words"),
    [("openai", "DASHNB_LLM_URL"), ("qwen", "DASHSCOPE_API_KEY"), ("ollama:", "there are guide"), ("gpt:x", "ollama")],
)
def test_an_engine_that_misses_something_says_what(name: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        make_engine(name)


def test_an_address_that_is_no_url_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="llm_url is 'localhost:8000'"):
        make_engine("vllm", settings=load({"DASHNB_LLM_URL": "localhost:8000"}))


def test_a_session_talks_to_the_model_that_the_settings_name(server: ChatServer) -> None:
    server.scripts += [says("Hello there."), sends(401, {"error": {"message": f"wrong key {KEY}"}})]
    settings = load(engine="openai", llm_url=server.url, llm_key=KEY, llm_model="qwen3", database=":memory:")
    connection = plan(settings, "local")
    with open_client(connection, settings) as client, Session(client=client, ledger=None) as session:
        assert session.ask("Hello").text == "Hello there."
        heading = heading_of(connection, session)
        assert (heading.model, heading.engine) == ("qwen3", "openai · language model")
        with pytest.raises(RunError, match="DASHNB_LLM_KEY") as caught:
            session.ask("Hello")
    assert caught.value.code == "InvalidApiKey"
    assert KEY not in str(caught.value)


def test_the_status_says_which_engine_and_model_answer() -> None:
    conversation = Conversation(load(engine="qwen", llm_key=KEY, connect="local"))
    assert "qwen · language model in the cloud, Beijing answers." in summary(conversation)
    conversation = Conversation(load(engine="ollama:qwen3:0.6b", llm_key=KEY))
    assert "ollama · language model (qwen3:0.6b)" in status(conversation)
    assert re.search(r"^model +qwen3:0.6b \(engine ollama:qwen3:0.6b\)$", status(conversation), re.MULTILINE)
    assert KEY not in status(conversation)
