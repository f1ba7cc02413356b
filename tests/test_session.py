"""A session asks, calls functions, records, and ends well however a run ends.

The service is the embedded one, in process; what a model says is a script, and what can go wrong on the
way is done by a transport between the two.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from dashnb.client.client import REGIONS, Client
from dashnb.errors import (
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    ConnectionFailed,
    NotFoundError,
    ProtocolError,
    RunError,
    StoreError,
    StreamError,
    ToolDefinitionError,
)
from dashnb.history.ledger import Ledger
from dashnb.local.models.engine import CallPiece, EngineError, Piece, Spent, TextPiece, Turn
from dashnb.local.service import BASE_URL, LocalService
from dashnb.protocol.objects import Assistant, Thread
from dashnb.protocol.state import RunState
from dashnb.session import runner
from dashnb.session.session import Session
from dashnb.session.tools import FunctionTool, tool

ASKED_AT = 1795156863000
TRANSCRIPTS = Path(__file__).parent / "transcripts"
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

Line = Piece | Exception | Callable[[], object]


# --- the stage -----------------------------------------------------------------------------------


class ScriptedEngine:
    """Says the next part of its script each time it is asked."""

    name = "scripted"

    def __init__(self, *parts: list[Line]) -> None:
        self.turns: list[Turn] = []
        self._parts = iter(parts)

    async def answer(self, turn: Turn) -> AsyncIterator[Piece]:
        self.turns.append(turn)
        for line in next(self._parts):
            if isinstance(line, Exception):
                raise line
            if callable(line):
                await asyncio.to_thread(line)  # the service tells what was said before meanwhile
            elif line is HANG:
                await asyncio.Event().wait()
            else:
                yield line


HANG = TextPiece("(the model never goes on)")


def says(*texts: str) -> list[Line]:
    return [*map(TextPiece, texts), Spent(10, len(texts))]


def calls(*wanted: tuple[str, dict[str, Any] | str]) -> list[Line]:
    """A part that calls functions, with the arguments in two pieces."""
    part: list[Line] = []
    for number, (name, given) in enumerate(wanted):
        text = given if isinstance(given, str) else json.dumps(given)
        half = len(text) // 2
        part += [CallPiece(number, name), CallPiece(number, name, text[:half]), CallPiece(number, name, text[half:])]
    return [*part, Spent(5, 1)]


class Cut(httpx.SyncByteStream):
    """A body of which no more is read once it has shown something."""

    def __init__(self, body: httpx.SyncByteStream, mark: bytes, then: BaseException | bytes) -> None:
        self._body = body
        self._mark = mark
        self._then = then

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._body:
            yield chunk
            if self._mark in chunk:
                if isinstance(self._then, BaseException):
                    raise self._then
                yield self._then
                return

    def close(self) -> None:
        self._body.close()


class Wire(httpx.BaseTransport):
    """The way to the service, which knows what was sent and can be cut.

    Attributes:
        sent: Method and path of each request.
        bodies: The JSON of each request.
        answers: Statuses or errors that requests whose path ends so get in place of an answer.
        cut: What streams end with after which mark: an error that is raised, or bytes.
    """

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self.inner = inner
        self.sent: list[str] = []
        self.bodies: list[Any] = []
        self.answers: dict[str, int | BaseException] = {}
        self.cut: tuple[bytes, BaseException | bytes] | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(f"{request.method} {request.url.path.removeprefix('/api/v1')}")
        self.bodies.append(json.loads(request.content or b"null"))
        for ending, answer in self.answers.items():
            if self.sent[-1].endswith(ending):
                if isinstance(answer, BaseException):
                    raise answer
                return httpx.Response(answer, json={"code": "NotFound", "message": "Not found!\nNothing is here."})
        response = self.inner.handle_request(request)
        if self.cut and "event-stream" in response.headers["content-type"]:
            assert isinstance(response.stream, httpx.SyncByteStream)
            body = Cut(response.stream, *self.cut)
            return httpx.Response(response.status_code, headers=response.headers, stream=body)
        return response

    def close(self) -> None:
        self.inner.close()


class Stage:
    """A service whose model follows a script, a client of it, and a ledger."""

    def __init__(self, *parts: list[Line], key: str | None = None, service_key: str | None = None) -> None:
        self.engine = ScriptedEngine(*parts)
        numbers: Counter[str] = Counter()
        clock, wall = itertools.count(step=10), itertools.count(ASKED_AT)

        def new_id(prefix: str) -> str:
            numbers[prefix] += 1
            return f"{prefix}_{numbers[prefix]}"

        self.service = LocalService(
            ":memory:", self.engine, plugins={}, ids=new_id, clock=lambda: next(wall), api_key=service_key
        )
        self.wire = Wire(self.service.transport(closes=True))
        self.client = Client(BASE_URL, api_key=key, transport=self.wire, clock=lambda: float(next(clock)), sleep=_nap)
        self.ledger = Ledger(":memory:", ids=itertools.count(1).__next__)

    def session(self, *arguments: Any, **more: Any) -> Session:
        return Session(*arguments, **{"client": self.client, "ledger": self.ledger, "clock": lambda: ASKED_AT, **more})

    @property
    def row(self) -> dict[str, Any]:
        """The only run of the ledger."""
        (row,) = self.ledger.runs().rows
        return dict(zip(self.ledger.runs().columns, row, strict=True))

    def status(self, run_id: str = "run_1") -> str:
        """What became of a run at the service."""
        return self.client.runs.wait(run_id, thread_id="thread_1", timeout=10).status


def _nap(seconds: float) -> None:
    time.sleep(0.001)


@pytest.fixture
def stage() -> Iterator[Callable[..., Stage]]:
    with ExitStack() as opened:

        def build(*parts: list[Line], **more: Any) -> Stage:
            made = Stage(*parts, **more)
            opened.callback(made.client.close)
            opened.callback(made.ledger.close)
            return made

        yield build


Build = Callable[..., Stage]


@tool
def add(left: int, right: int) -> int:
    """Add."""
    return left + right


# --- asking --------------------------------------------------------------------------------------


def test_ask_returns_the_finished_run(stage: Build) -> None:
    one = stage(says("997", "002"))
    with one.session() as session:
        state = session.ask("999 × 998?")
    assert (state.text, state.status, state.id, state.thread_id) == ("997002", "completed", "run_1", "thread_1")
    assert [(step.type, step.status) for step in state.steps] == [("message_creation", "completed")]
    assert state.usage is not None
    assert state.usage.total_tokens == 12
    assert state.duration_ms is not None
    assert state.duration_ms > (state.time_to_first_token or 0) > 0
    assert session.runs == [state]
    assert [message.text for message in one.client.messages.list("thread_1", order="asc").data] == [
        "999 × 998?",
        "997002",
    ]


def test_a_stream_yields_one_state_that_grows(stage: Build) -> None:
    one = stage(says("one ", "two ", "three"))
    with one.session() as session:
        seen = [(id(state), state.text, state.event_count) for state in session.stream("Count.")]
    assert {identity for identity, _, _ in seen} == {id(session.runs[0])}
    texts = [text for _, text, _ in seen]
    assert list(dict.fromkeys(texts)) == ["", "one ", "one two ", "one two three"]
    assert [count for _, _, count in seen] == list(range(1, len(seen) + 1))


def test_a_stream_shows_text_before_the_model_has_ended(stage: Build) -> None:
    read = threading.Event()
    one = stage([TextPiece("now"), lambda: read.wait(10), TextPiece(" and then")])
    with one.session() as session:
        for state in session.stream("When?"):
            if state.text == "now":
                read.set()
        assert read.is_set()
        assert state.text == "now and then"


def test_a_run_may_begin_without_a_new_message(stage: Build) -> None:
    one = stage(says("Hello yourself."))
    with one.session() as session:
        one.client.messages.create(session.thread.id, content="Hello.")
        *_, state = session.run()
    assert state.text == "Hello yourself."
    assert [said.text for said in one.engine.turns[0].messages] == ["Hello."]
    assert one.row["prompt"] == ""
    assert one.ledger.messages()["role"] == ["assistant"]


def test_nothing_is_sent_before_the_first_question(stage: Build) -> None:
    one = stage()
    with one.session(model="qwen-plus", tools=[add]) as session:
        session.stream("Hello?")
        repr(session)
    assert one.wire.sent == []


def test_assistant_and_thread_are_made_once(stage: Build) -> None:
    one = stage(says("a"), says("b"))
    with one.session(model="qwen-plus", instructions="Be brief.", tools=["calculator", add]) as session:
        session.ask("1?")
        session.ask("2?")
    assert Counter(one.wire.sent) == {
        "POST /threads": 1,
        "POST /threads/thread_1/messages": 2,
        "POST /assistants": 1,
        "POST /threads/thread_1/runs": 2,
    }
    assert one.wire.bodies[one.wire.sent.index("POST /assistants")] == {
        "model": "qwen-plus",
        "name": "dashnb",
        "instructions": "Be brief.",
        "tools": [{"type": "calculator"}, add.definition],
    }
    assert [state.text for state in session.runs] == ["a", "b"]
    assert [said.text for said in one.engine.turns[1].messages] == ["1?", "a", "2?"]


def test_the_model_of_the_settings_is_the_default(stage: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    one = stage(says("a"))
    monkeypatch.setenv("DASHNB_MODEL", "qwen-turbo")
    with one.session() as session:
        assert session.ask("?").model == "qwen-turbo"


@pytest.mark.parametrize("by_id", [True, False], ids=["id", "object"])
def test_a_given_assistant_is_used_as_it_is(stage: Build, by_id: bool) -> None:
    one = stage(says("a"))
    made = one.client.assistants.create(model="qwen-long", instructions="Rhyme.", tools=[{"type": "calculator"}])
    with one.session(made.id if by_id else made) as session:
        session.ask("?")
        assert session.assistant.id == made.id
    (turn,) = one.engine.turns
    assert (turn.model, turn.instructions, [one["type"] for one in turn.tools]) == (
        "qwen-long",
        "Rhyme.",
        ["calculator"],
    )
    assert one.wire.sent.count("POST /assistants") == 1
    assert one.wire.sent.count("GET /assistants/asst_1") == by_id


def test_what_is_asked_of_a_given_assistant_goes_with_each_run_only(stage: Build) -> None:
    one = stage(says("a"), says("b"))
    made = one.client.assistants.create(model="qwen-long", instructions="Rhyme.", tools=[{"type": "calculator"}])
    with one.session(made, model="qwen-max", instructions="Do not.", tools=[add]) as session:
        session.ask("?")
        session.ask("?")
    for turn in one.engine.turns:
        assert (turn.model, turn.instructions, turn.tools) == ("qwen-max", "Do not.", (add.definition,))
    kept = one.client.assistants.retrieve(made.id)
    assert (kept.model, kept.instructions, [one.type for one in kept.tools]) == ("qwen-long", "Rhyme.", ["calculator"])


@pytest.mark.parametrize("by_id", [True, False], ids=["id", "object"])
def test_a_given_thread_goes_on(stage: Build, by_id: bool) -> None:
    one = stage(says("Ann."))
    thread = one.client.threads.create(messages=[{"role": "user", "content": "I am Ann."}])
    with one.session(thread=thread.id if by_id else thread) as session:
        state = session.ask("Who am I?")
        assert session.thread.id == state.thread_id == thread.id
    assert [said.text for said in one.engine.turns[0].messages] == ["I am Ann.", "Who am I?"]
    assert one.wire.sent.count("POST /threads") == 1


def test_tools_that_cannot_be_tools_are_refused_at_once(stage: Build) -> None:
    one = stage()
    with pytest.raises(ToolDefinitionError):
        one.session(tools=[print])
    assert one.wire.sent == []


# --- functions -----------------------------------------------------------------------------------


def test_a_function_is_called_and_the_run_goes_on_in_the_same_state(stage: Build) -> None:
    one = stage(calls(("add", {"left": 1, "right": 2})), says("It is 3."))
    with one.session(tools=[add]) as session:
        states = list(session.stream("1 + 2?"))
    assert {id(state) for state in states} == {id(session.runs[0])}
    state = session.runs[0]
    assert (state.text, state.status) == ("It is 3.", "completed")
    assert [(call.name, call.arguments, call.output) for call in state.tool_calls] == [
        ("add", '{"left": 1, "right": 2}', "3")
    ]
    assert [step.type for step in state.steps] == ["tool_calls", "message_creation"]
    assert state.usage is not None
    assert state.usage.input_tokens == 15
    assert one.wire.sent[-1] == "POST /threads/thread_1/runs/run_1/submit_tool_outputs"
    assert one.wire.bodies[-1] == {"tool_outputs": [{"tool_call_id": "call_1", "output": "3"}], "stream": True}
    assert one.engine.turns[1].rounds[0][0].output == "3"
    assert one.ledger.tool_calls()["output"] == ["3"]


def test_several_calls_are_made_in_order_and_handed_in_together(stage: Build) -> None:
    order: list[str] = []

    def note(text: str) -> str:
        order.append(text)
        return f"noted {text}"

    wanted = [("note", {"text": "a"}), ("add", {"left": 1, "right": 1}), ("note", {"text": "b"})]
    one = stage(calls(*wanted), says("Done."))
    with one.session(tools=[note, add]) as session:
        session.ask("Note.")
    assert order == ["a", "b"]
    assert [output["output"] for output in one.wire.bodies[-1]["tool_outputs"]] == ["noted a", "2", "noted b"]
    assert len({output["tool_call_id"] for output in one.wire.bodies[-1]["tool_outputs"]}) == 3


def test_a_run_may_ask_for_functions_again(stage: Build) -> None:
    one = stage(
        calls(("add", {"left": 1, "right": 2})), [TextPiece("And now "), *calls(("add", {"left": 3, "right": 4}))],
        says("it is 7."),
    )  # fmt: skip
    with one.session(tools=[add]) as session:
        state = session.ask("1 + 2 + 4?")
    assert [call.output for call in state.tool_calls] == ["3", "7"]
    assert state.text == "And now \n\nit is 7."
    assert sum("submit_tool_outputs" in sent for sent in one.wire.sent) == 2
    assert len(one.ledger.runs()) == 1


def test_what_goes_wrong_in_a_function_is_told_to_the_model(stage: Build) -> None:
    def fail(number: int) -> None:
        raise LookupError("no such number")

    one = stage(calls(("fail", {"number": 1}), ("fail", {"number": "x"}), ("fail", '{"number": ')), says("I see."))
    with one.session(tools=[fail]) as session:
        state = session.ask("?")
    first, second, third = (call.output for call in state.tool_calls)
    assert first == "Error: LookupError: no such number"
    assert str(second).startswith("Error: number: Input should be a valid integer")
    assert str(third).startswith("Error: Invalid JSON")
    assert state.status == "completed"


def test_an_asynchronous_function_may_be_called_from_a_running_loop(stage: Build) -> None:
    async def later(text: str) -> str:
        await asyncio.sleep(0)
        return f"{text}, later"

    one = stage(calls(("later", {"text": "hi"})), says("Fine."))

    async def cell() -> RunState:
        with one.session(tools=[later]) as session:
            return session.ask("?")

    assert asyncio.run(cell()).tool_calls[0].output == "hi, later"


def test_a_function_that_is_not_there_is_an_error_that_keeps_the_run(stage: Build) -> None:
    one = stage([TextPiece("Let me see. "), *calls(("add", {"left": 1, "right": 2}), ("subtract", {}), ("divide", {}))])
    called: list[int] = []

    def count(left: int, right: int) -> None:
        called.append(left)

    with one.session(tools=[tool(name="add")(count)]) as session, pytest.raises(RunError) as caught:
        session.ask("?")
    assert str(caught.value).startswith("The run run_1 asks for divide, subtract, and no such function was given.")
    state = caught.value.state
    assert (state.status, state.text) == ("requires_action", "Let me see. ")
    assert [call.name for call in state.pending_calls] == ["add", "subtract", "divide"]
    assert called == []
    assert (one.row["status"], one.row["text"]) == ("requires_action", "Let me see. ")
    assert one.status() == "requires_action"


def test_a_model_that_only_calls_functions_is_stopped(stage: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "MOST_ROUNDS", 3)
    called: list[int] = []

    def again(number: int) -> int:
        called.append(number)
        return number

    one = stage(*(calls(("again", {"number": number})) for number in range(9)))
    with one.session(tools=[again]) as session, pytest.raises(RunError, match="more than 3 times in a row") as caught:
        session.ask("?")
    assert caught.value.state.status == "requires_action"
    assert called == [0, 1, 2]
    assert [call.output for call in caught.value.state.tool_calls] == ["0", "1", "2", None]
    assert one.row["status"] == "requires_action"


def test_the_service_may_stop_a_model_that_only_calls_functions(stage: Build) -> None:
    one = stage(*(calls(("add", {"left": number, "right": 0})) for number in range(30)))
    with one.session(tools=[add]) as session, pytest.raises(RunError, match="16 times in a row") as caught:
        session.ask("?")
    assert caught.value.state.status == "failed"
    assert len(caught.value.state.tool_calls) == 16


# --- runs that fail ------------------------------------------------------------------------------


def test_a_failed_run_is_an_error_with_its_code_and_its_text(stage: Build) -> None:
    one = stage([TextPiece("I was about"), EngineError("Too much\nat once.", code="rate_limit_exceeded")])
    with one.session() as session, pytest.raises(RunError) as caught:
        session.ask("?")
    error = caught.value
    assert (error.code, error.state.status, error.state.text) == ("rate_limit_exceeded", "failed", "I was about")
    assert str(error).startswith("The run run_1 ended as failed: rate_limit_exceeded: Too much at once.\n")
    assert len(str(error).splitlines()) <= 3
    assert error.state is session.runs[0]
    row = one.row
    assert (row["status"], row["error_code"], row["text"]) == ("failed", "rate_limit_exceeded", "I was about")


def test_a_run_that_somebody_else_cancels_is_an_error(stage: Build) -> None:
    one = stage([TextPiece("Half"), HANG])
    read = threading.Event()

    def cancel() -> None:
        read.wait(10)
        one.client.runs.cancel("run_1", thread_id="thread_1")

    def ask() -> None:
        for state in session.stream("?"):
            if state.text == "Half":
                read.set()

    with one.session() as session, ThreadPoolExecutor() as others:
        cancelled = others.submit(cancel)
        with pytest.raises(RunError, match="run_1 ended as cancelled") as caught:
            ask()
        cancelled.result()
    assert caught.value.state.text == "Half"
    assert one.row["status"] == "cancelled"


BREAKS: dict[str, BaseException | bytes] = {
    "lost": httpx.ReadError("connection reset"),
    "slow": httpx.ReadTimeout("nothing came"),
    "ended": b"",
    "error": b'event: error\ndata: {"code": "InternalError", "message": "Oops."}\n\n',
}


@pytest.mark.parametrize("how", BREAKS)
def test_a_stream_that_breaks_is_an_error_that_keeps_what_arrived(stage: Build, how: str) -> None:
    one = stage(says("Half", " and half"))
    one.wire.cut = (b'"Half"', BREAKS[how])
    one.wire.answers = {"/stream": 404}
    with one.session() as session, pytest.raises(StreamError) as caught:
        session.ask("?")
    state = caught.value.state
    assert state is session.runs[0]
    assert (state.text, state.id) == ("Half", "run_1")
    assert caught.value.code == ("InternalError" if how == "error" else "")
    assert (one.row["id"], one.row["text"], one.row["engine"]) == ("run_1", "Half", "scripted")
    assert "POST /threads/thread_1/runs/run_1/cancel" not in one.wire.sent

    assert one.client.runs.recover(state, timeout=10).text == "Half and half"
    assert state.status == "completed"


def test_a_stream_that_breaks_before_it_names_its_run_is_recorded_as_failed(stage: Build) -> None:
    one = stage(says("a"))
    one.wire.inner = _Answering(one.wire.inner, b": nothing yet\n\n")
    one.wire.cut = (b"nothing", httpx.ReadError("connection reset"))
    with one.session() as session, pytest.raises(ConnectionFailed):
        session.ask("?")
    row = one.row
    assert (row["id"], row["status"], row["prompt"]) == ("request_1", "failed", "?")
    assert row["error_code"] == "ConnectionFailed"
    assert row["error_message"].endswith("connection reset")


@pytest.mark.parametrize(("content", "kind"), [
    (b'event: error\ndata: {"code": "Throttling", "message": "Slow down."}\n\n', StreamError),
    (b"event: thread.run.created\ndata: {cut\n\n", ProtocolError),
    (b"event: done\ndata: [DONE]\n\n", RunError),
], ids=["error", "malformed", "nothing"])  # fmt: skip
def test_a_stream_without_a_run_is_recorded_as_failed(stage: Build, content: bytes, kind: type[Exception]) -> None:
    one = stage(says("a"))
    one.wire.inner = _Answering(one.wire.inner, content)
    with one.session() as session, pytest.raises(kind):
        session.ask("?")
    assert (one.row["status"], one.row["id"], one.row["prompt"]) == ("failed", "request_1", "?")
    assert one.row["error_code"] == ("Throttling" if kind is StreamError else kind.__name__)
    assert session.runs[0].status == "failed"


class _Answering(httpx.BaseTransport):
    """A service that answers each new run with the same bytes."""

    def __init__(self, inner: httpx.BaseTransport, content: bytes) -> None:
        self._inner = inner
        self._content = content

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/runs"):
            return self._inner.handle_request(request)
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=self._content)

    def close(self) -> None:
        self._inner.close()


def test_an_action_without_calls_is_an_error_that_says_so(stage: Build) -> None:
    run = {"id": "run_9", "object": "thread.run", "status": "requires_action", "thread_id": "thread_1"}
    one = stage()
    one.wire.inner = _Answering(
        one.wire.inner, f"event: thread.run.requires_action\ndata: {json.dumps(run)}\n\n".encode()
    )
    with one.session() as session, pytest.raises(RunError) as caught:
        session.ask("?")
    assert "run_9 ended as requires_action" in str(caught.value)
    assert "in a row" not in str(caught.value)


# --- requests that are refused -------------------------------------------------------------------


@pytest.mark.parametrize("key", [None, "sk-wrong"])
def test_a_request_that_is_refused_before_there_is_a_run_is_recorded(stage: Build, key: str | None) -> None:
    one = stage(key=key, service_key="sk-right")
    with one.session() as session, pytest.raises(AuthenticationError):
        session.ask("Anybody?")
    row = one.row
    assert (row["id"], row["status"], row["prompt"]) == ("request_1", "failed", "Anybody?")
    assert (row["error_code"], row["error_message"]) == ("InvalidApiKey", "Invalid API-key provided.")
    assert row["created_at"] == ASKED_AT
    assert "sk-" not in str(row)
    (state,) = session.runs
    assert state.status == "failed"


@pytest.mark.parametrize(("ending", "sent"), [
    ("/assistants", 3), ("/threads", 1), ("/messages", 2), ("/runs", 4),
])  # fmt: skip
def test_every_request_before_the_run_may_fail(stage: Build, ending: str, sent: int) -> None:
    one = stage(says("a"))
    one.wire.answers = {ending: httpx.ConnectError("refused")}
    with one.session() as session:
        with pytest.raises(ConnectionFailed):
            session.ask("?")
        assert len(one.wire.sent) == sent
        assert (one.row["status"], one.row["error_code"]) == ("failed", "ConnectionFailed")
        assert one.row["error_message"].endswith("refused")
        one.wire.answers = {}
        assert session.ask("?").text == "a"
    assert one.ledger.runs()["status"] == ["failed", "completed"]


def test_an_assistant_that_does_not_exist_is_recorded_as_failed(stage: Build) -> None:
    one = stage()
    for assistant in ("asst_none", Assistant(id="asst_none")):
        with one.session(assistant) as session, pytest.raises(NotFoundError, match="asst_none"):
            session.ask("?")
    with one.session(thread="thread_none") as session, pytest.raises(NotFoundError, match="thread_none"):
        session.ask("?")
    assert one.ledger.runs()["error_code"] == ["NotFound"] * 3


def test_an_empty_question_is_refused_by_the_service(stage: Build) -> None:
    one = stage()
    with one.session() as session, pytest.raises(BadRequestError, match="content"):
        session.ask("")
    assert one.row["status"] == "failed"


@pytest.mark.parametrize("answer", [404, httpx.ConnectError("refused")], ids=["refused", "unreachable"])
def test_outputs_that_are_refused_leave_the_run_waiting(stage: Build, answer: int | BaseException) -> None:
    one = stage(calls(("add", {"left": 1, "right": 2})))
    one.wire.answers = {"/submit_tool_outputs": answer}
    with one.session(tools=[add]) as session, pytest.raises((NotFoundError, ConnectionFailed)):
        session.ask("?")
    assert (one.row["id"], one.row["status"], one.row["engine"]) == ("run_1", "requires_action", "scripted")
    assert session.runs[0].pending_calls[0].name == "add"


# --- interrupts ----------------------------------------------------------------------------------


def check_cancelled(one: Stage, session: Session, text: str) -> None:
    """The run was cancelled here, at the service and in the ledger, and what had arrived is kept."""
    (state,) = session.runs
    assert (state.status, state.text) == ("cancelled", text)
    assert state.ended_at is not None
    assert one.wire.sent.count("POST /threads/thread_1/runs/run_1/cancel") == 1
    assert one.status() == "cancelled"
    row = one.row
    assert (row["status"], row["text"], row["engine"]) == ("cancelled", text, "scripted")
    assert one.ledger.steps()["status"] == ["cancelled"]


def test_an_interrupt_in_the_loop_cancels_the_run(stage: Build) -> None:
    def interrupt(session: Session) -> None:
        for state in session.stream("?"):
            if state.text:
                raise KeyboardInterrupt

    one = stage([TextPiece("Half"), HANG])
    with one.session() as session:
        with pytest.raises(KeyboardInterrupt):
            interrupt(session)
        check_cancelled(one, session, "Half")


def test_an_interrupt_while_reading_cancels_the_run(stage: Build) -> None:
    one = stage([TextPiece("Half"), HANG])
    one.wire.cut = (b'"Half"', KeyboardInterrupt())
    with one.session() as session:
        with pytest.raises(KeyboardInterrupt):
            session.ask("?")
        check_cancelled(one, session, "Half")


@posix
def test_a_signal_while_reading_cancels_the_run(stage: Build) -> None:
    """As the stop button does it: the main thread waits for the next event and gets SIGINT."""
    read = threading.Event()
    main = threading.main_thread().ident or 0

    def press() -> None:
        read.wait(10)
        signal.pthread_kill(main, signal.SIGINT)

    def ask(session: Session) -> None:
        for state in session.stream("?"):
            if state.text:
                read.set()

    one = stage([TextPiece("Half"), press, HANG])
    with one.session() as session:
        with pytest.raises(KeyboardInterrupt):
            ask(session)
        check_cancelled(one, session, "Half")


def test_leaving_the_loop_cancels_the_run(stage: Build) -> None:
    one = stage([TextPiece("Half"), HANG])
    with one.session() as session:
        for state in session.stream("?"):
            if state.text:
                break
        check_cancelled(one, session, "Half")


def test_closing_the_stream_cancels_the_run(stage: Build) -> None:
    one = stage([TextPiece("Half"), HANG])
    with one.session() as session:
        stream = session.stream("?")
        while not next(stream).text:
            pass
        stream.close()
        stream.close()
        check_cancelled(one, session, "Half")


def test_an_interrupt_in_a_function_cancels_the_run(stage: Build) -> None:
    def wait() -> None:
        raise KeyboardInterrupt

    one = stage(calls(("wait", {})))
    with one.session(tools=[wait]) as session:
        with pytest.raises(KeyboardInterrupt):
            session.ask("?")
        check_cancelled(one, session, "")
    assert one.ledger.tool_calls()["name"] == ["wait"]
    assert one.client._unfinished == {}


def test_a_function_that_ends_the_program_ends_its_call_only(stage: Build) -> None:
    one = stage(calls(("leave", {})), says("It ended."))

    def leave() -> None:
        sys.exit("usage: leave [-h]")

    with one.session(tools=[leave]) as session:
        state = session.ask("?")
    assert (state.status, state.text) == ("completed", "It ended.")
    assert state.tool_calls[0].output == "Error: SystemExit: usage: leave [-h]"


def test_after_an_interrupt_the_session_goes_on(stage: Build) -> None:
    one = stage([TextPiece("Half"), HANG], says("Whole."))
    with one.session() as session:
        for state in session.stream("1?"):
            if state.text:
                break
        one.status()
        assert session.ask("2?").text == "Whole."
    assert one.ledger.runs()["status"] == ["cancelled", "completed"]


@pytest.mark.parametrize("answer", [404, httpx.ConnectError("refused")], ids=["cannot", "unreachable"])
def test_where_a_run_cannot_be_cancelled_it_is_abandoned(stage: Build, answer: int | BaseException) -> None:
    one = stage([TextPiece("Half"), HANG])
    one.wire.answers = {"/cancel": answer}
    with one.session() as session:
        for state in session.stream("?"):
            if state.text:
                break
    assert (state.status, state.text, state.is_final) == ("abandoned", "Half", True)
    assert (one.row["status"], one.row["text"]) == ("abandoned", "Half")
    assert one.client.runs.retrieve("run_1", thread_id="thread_1").status == "in_progress"


def test_a_run_that_ended_before_it_could_be_cancelled_keeps_its_own_end(stage: Build) -> None:
    one = stage(says("Whole."))
    with one.session() as session:
        for state in session.stream("?"):
            if state.text:
                one.client.runs.wait(state.id, thread_id=state.thread_id)
                break
    assert state.status == "completed"
    assert one.row["status"] == "completed"


def test_a_session_records_in_the_ledger_of_a_file(stage: Build, tmp_path: Path) -> None:
    one = stage(says("Whole."))
    with one.session(ledger=tmp_path / "mine.db") as session:
        session.ask("?")
    with Ledger(tmp_path / "mine.db") as ledger:
        assert ledger.runs()["text"] == ["Whole."]


def test_an_interrupt_before_the_run_is_recorded_as_abandoned(stage: Build) -> None:
    one = stage()
    for ending in ("/threads", "/messages", "/runs"):
        one.wire.answers = {ending: KeyboardInterrupt()}
        with one.session() as session, pytest.raises(KeyboardInterrupt):
            session.ask("?")
        assert session.runs[0].status == "abandoned"
    assert one.ledger.runs()["status"] == ["abandoned"] * 3
    assert not any(sent.endswith("/cancel") for sent in one.wire.sent)


def test_leaving_after_the_end_changes_nothing(stage: Build) -> None:
    one = stage(says("Whole."))
    with one.session() as session:
        for state in session.stream("?"):
            if state.is_final:
                break
    assert state.status == one.row["status"] == "completed"
    assert not any(sent.endswith("/cancel") for sent in one.wire.sent)


# --- the ledger ----------------------------------------------------------------------------------


def test_a_run_is_recorded_with_its_circumstances(stage: Build) -> None:
    one = stage(says("997002"))
    with one.session() as session:
        state = session.ask("999 × 998?")
    row = one.row
    assert row["id"] == state.id
    assert (row["prompt"], row["text"], row["engine"]) == ("999 × 998?", "997002", "scripted")
    assert (row["status"], row["total_tokens"], row["duration_ms"]) == ("completed", 11, state.duration_ms)
    assert list(zip(one.ledger.messages()["role"], one.ledger.messages()["text"], strict=True)) == [
        ("user", "999 × 998?"),
        ("assistant", "997002"),
    ]


@pytest.mark.parametrize(("base_url", "name"), [
    (BASE_URL, "local"), *((url, name) for name, url in REGIONS.items()),
    ("http://127.0.0.1:8000/api/v1", "http://127.0.0.1:8000/api/v1"),
])  # fmt: skip
def test_the_ledger_names_the_connection(stage: Build, base_url: str, name: str) -> None:
    one = stage(says("a"))
    with Client(base_url, api_key="sk-x", transport=one.wire) as client, one.session(client=client) as session:
        session.ask("?")
    assert one.row["connection"] == name


def test_the_ledger_of_the_settings_is_the_default(stage: Build) -> None:
    one = stage(says("a"), says("b"))
    with one.session(ledger="settings") as session:
        session.ask("1?")
        session.ask("2?")
    with Ledger(Path(os.environ["DASHNB_DATA_DIR"]) / "ledger.db") as kept:
        assert kept.runs()["prompt"] == ["1?", "2?"]


def test_no_ledger_keeps_nothing(stage: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    one = stage(says("a"), says("b"))
    with one.session(ledger=None) as session:
        assert session.ask("?").text == "a"
    monkeypatch.setenv("DASHNB_LEDGER", "off")
    with one.session(ledger="settings") as session:
        assert session.ask("?").text == "b"
    assert not Path(os.environ["DASHNB_DATA_DIR"]).exists()
    assert len(one.ledger.runs()) == 0


def test_a_ledger_that_cannot_be_opened_does_not_cost_the_answer(stage: Build) -> None:
    file = Path(os.environ["DASHNB_DATA_DIR"]) / "ledger.db"
    file.parent.mkdir()
    file.write_bytes(b"no database")
    one = stage(says("a"), [TextPiece("b"), EngineError("no more", code="ended")])
    with one.session(ledger="settings") as session:
        with pytest.warns(RuntimeWarning, match=r"The run was not recorded\. The ledger .*ledger\.db cannot be used"):
            assert session.ask("?").text == "a"
        # Said once: warnings are errors here.
        with pytest.raises(RunError, match="no more"):
            session.ask("?")
    assert file.read_bytes() == b"no database"


def test_a_ledger_that_cannot_be_written_does_not_cost_the_answer(stage: Build) -> None:
    one = stage(says("a"))
    one.ledger.close()
    with one.session() as session, pytest.warns(RuntimeWarning, match=r"not recorded\. The ledger :memory: is closed"):
        assert session.ask("?").text == "a"


def test_settings_that_make_no_sense_do_not_cost_the_answer(stage: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    one = stage(says("a"))
    monkeypatch.setenv("DASHNB_LEDGER", "perhaps")
    with (
        one.session(one.client.assistants.create(model="m"), ledger="settings") as session,
        pytest.warns(RuntimeWarning, match=r"not recorded\. ledger is 'perhaps'"),
    ):
        assert session.ask("?").text == "a"


# --- opening and closing -------------------------------------------------------------------------


def local_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded API in memory, which says again what was recorded."""
    monkeypatch.setenv("DASHNB_DATABASE", ":memory:")
    monkeypatch.setenv("DASHNB_ENGINE", f"replay:{TRANSCRIPTS / 'run-plain.sse'}")


def test_a_session_opens_what_it_needs_and_closes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    local_settings(monkeypatch)
    threads = threading.enumerate()
    with Session() as session:
        assert threading.enumerate() == threads
        assert "997002" in session.ask("999 × 998?").text
        assert len(threading.enumerate()) > len(threads)
    assert threading.enumerate() == threads
    session.close()
    with pytest.raises(StoreError, match="closed"):
        session._recording.opened.runs()  # type: ignore[union-attr]  # it was opened


def test_a_session_leaves_open_what_it_was_given(stage: Build) -> None:
    one = stage(says("a"), says("b"))
    with one.session() as session:
        session.ask("?")
    with one.session(thread=session.thread) as second:
        assert second.ask("?").text == "b"
    assert len(one.ledger.runs()) == 2


def test_a_session_closes_when_its_run_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    local_settings(monkeypatch)
    threads = threading.enumerate()
    with pytest.raises(NotFoundError), Session(thread="thread_none", ledger=None) as session:
        session.ask("?")
    assert threading.enumerate() == threads


def test_a_session_without_a_key_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHNB_CONNECT", "cloud")
    with Session() as session, pytest.raises(ConfigurationError, match="set DASHSCOPE_API_KEY"):
        session.ask("?")
    assert session.runs == []
    assert not Path(os.environ["DASHNB_DATA_DIR"]).exists()


def test_the_text_of_a_session_is_short_and_shows_no_key(stage: Build) -> None:
    one = stage(says("a"), key="sk-canary", service_key="sk-canary")
    session = one.session(model="qwen-max", instructions="A long text. " * 100, tools=[add])
    assert repr(session) == "Session(thread=None, runs=0)"
    session.ask("?")
    assert repr(session) == str(session) == "Session(thread='thread_1', runs=1)"
    assert repr(one.session(thread="thread_7")) == "Session(thread='thread_7', runs=0)"
    assert repr(one.session(thread=Thread(id="thread_8"))) == "Session(thread='thread_8', runs=0)"
    session.close()


def test_functions_are_given_by_their_names(stage: Build) -> None:
    one = stage()
    session = one.session(tools=[add, "calculator", {"type": "function", "function": {"name": "other"}}])
    assert session._functions == {"add": add}
    assert isinstance(session._functions["add"], FunctionTool)


# --- a thread that is taken ----------------------------------------------------------------------


def test_a_thread_that_somebody_else_uses_is_said_to_be_so_with_the_run_and_what_to_do(stage: Build) -> None:
    one = stage(calls(("add", {"left": 1, "right": 2})), says("Fine."))
    with one.session() as other, pytest.raises(RunError, match="add"):
        other.ask("1 + 2?")
    with one.session(thread="thread_1") as session:
        with pytest.raises(BadRequestError, match="run_1 is requires_action: show it with") as caught:
            session.ask("And now?")
        assert len(str(caught.value).splitlines()) <= 3
    assert one.status("run_1") == "requires_action"


def test_a_run_in_the_way_is_cancelled_if_the_session_is_told_to(stage: Build) -> None:
    one = stage(calls(("add", {"left": 1, "right": 2})), says("Fine."))
    with one.session() as other, pytest.raises(RunError, match="add"):
        other.ask("1 + 2?")
    with one.session(thread="thread_1", busy="cancel") as session:
        assert session.ask("And now?").text == "Fine."
    assert one.status("run_1") == "cancelled"
    asked = [message.text for message in one.client.messages.list("thread_1") if message.role == "user"]
    assert asked == ["And now?", "1 + 2?"]


def test_a_run_of_somebody_else_is_joined_and_goes_on_with_the_functions_of_the_session(stage: Build) -> None:
    one = stage(calls(("add", {"left": 1, "right": 2})), says("It is 3."))
    with one.session() as other, pytest.raises(RunError, match="add"):
        other.ask("1 + 2?")
    with one.session(thread="thread_1", tools=[add]) as session:
        *_, state = session.join("run_1")
    assert (state.status, state.text, state.tool_calls[0].output) == ("completed", "It is 3.", "3")
    assert (one.row["id"], one.row["prompt"]) == ("run_1", "1 + 2?")


def test_a_service_that_cannot_join_shows_the_run_as_a_whole(stage: Build) -> None:
    one = stage(says("997", "002"))
    with one.session() as session:
        told = session.ask("999 × 998?")
        one.wire.answers = {"/stream": 404}
        (state,) = session.join(told.id)
    assert (state.text, state.status) == ("997002", "completed")


def test_a_run_left_waiting_for_a_function_that_is_not_there_gives_way_to_the_next_question(stage: Build) -> None:
    one = stage([CallPiece(0, "get_weather", "{}")], says("Whole."))
    with one.session(tools=[{"type": "function", "function": {"name": "get_weather"}}]) as session:
        with pytest.raises(RunError, match="get_weather"):
            session.ask("1?")
        assert session.ask("2?").text == "Whole."
    left, answered = one.client.runs.iter("thread_1", order="asc")
    assert (left.status, answered.status) == ("cancelled", "completed")
