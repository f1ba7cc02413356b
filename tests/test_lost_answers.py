"""Answers that get lost: what had an effect has it once, a function is called once, and the answer is found."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest

from dashnb.client.client import Client
from dashnb.errors import APIError, BadRequestError, ConnectionFailed, DashnbError, RunError
from dashnb.local.models.engine import CallPiece, Spent, TextPiece
from dashnb.local.service import BASE_URL, LocalService
from dashnb.protocol.requests import REQUEST_KEY
from dashnb.protocol.state import RunState
from dashnb.session.request import is_of
from dashnb.session.session import Session
from dashnb.session.tools import tool
from scripted import Script, numbered, ticking

Fault = Callable[[httpx.BaseTransport, httpx.Request], httpx.Response]


# --- what goes wrong ---------------------------------------------------------------------------------


def before(error: Exception) -> Fault:
    """The request does not arrive."""

    def fault(inner: httpx.BaseTransport, request: httpx.Request) -> httpx.Response:
        raise error

    return fault


def after(error: Exception) -> Fault:
    """The service does what it is asked for, and its answer is lost."""

    def fault(inner: httpx.BaseTransport, request: httpx.Request) -> httpx.Response:
        inner.handle_request(request).close()
        raise error

    return fault


def answered(status: int, *, arrived: bool, body: bytes = b"<html>proxy</html>") -> Fault:
    """Somebody on the way answers, whether the service has the request or not."""

    def fault(inner: httpx.BaseTransport, request: httpx.Request) -> httpx.Response:
        if arrived:
            inner.handle_request(request).close()
        return httpx.Response(status, content=body)

    return fault


class _Pieces(httpx.SyncByteStream):
    def __init__(self, body: Any, size: int, error: Exception | None) -> None:
        self._body = body
        self._size = size
        self._error = error

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._body:
            yield chunk[: self._size]
            self._size -= len(chunk)
            if self._size <= 0:
                break
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        self._body.close()


def cut(size: int, error: Exception | None) -> Fault:
    """The answer breaks off after so many bytes."""

    def fault(inner: httpx.BaseTransport, request: httpx.Request) -> httpx.Response:
        response = inner.handle_request(request)
        return httpx.Response(
            response.status_code, headers=response.headers, stream=_Pieces(response.stream, size, error)
        )

    return fault


def twice(inner: httpx.BaseTransport, request: httpx.Request) -> httpx.Response:
    """Something on the way sends the request again, as the first answer was lost."""
    inner.handle_request(request).close()
    return inner.handle_request(request)


RESET, SLOW = httpx.ReadError("connection reset"), httpx.ReadTimeout("nothing came")
FAULTS: dict[str, Fault] = {
    "not sent": before(httpx.ConnectError("refused")),
    "lost on the way": before(httpx.WriteError("broken pipe")),
    "lost before headers": after(RESET),
    "closed before headers": after(httpx.RemoteProtocolError("server disconnected")),
    "timed out": after(SLOW),
    "lost behind headers": cut(0, RESET),
    "ended behind headers": cut(0, None),
    "lost in mid-body": cut(700, RESET),
    "ended in mid-body": cut(700, None),
    "502 before": answered(502, arrived=False),
    "502 after": answered(502, arrived=True),
    "500 after": answered(500, arrived=True),
    "503 before": answered(503, arrived=False),
    "408 after": answered(408, arrived=True),
    "520 after": answered(520, arrived=True),
    "524 before": answered(524, arrived=False),
    "524 after": answered(524, arrived=True),
    "429 before": answered(429, arrived=False),
    "429 after": answered(429, arrived=True),
    "login page before": answered(200, arrived=False),
    "login page after": answered(200, arrived=True),
    "sent twice": twice,
}


class Way(httpx.BaseTransport):
    """The way to the service, on which some requests meet a fault.

    Attributes:
        faults: By the end of a path, what the next requests of this kind meet.
        sent: Method and end of the path of each request.
        patience: How long each of them has for an answer, in seconds.
        has_joins: False for a service that tells no run twice, as the cloud.
    """

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self.inner = inner
        self.faults: dict[str, list[Fault]] = {}
        self.sent: list[str] = []
        self.patience: list[float] = []
        self.has_joins = True

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        end = request.url.path.rpartition("/")[2]
        self.sent.append(f"{request.method} {end}")
        self.patience.append(request.extensions["timeout"]["read"])
        if end == "stream" and not self.has_joins:
            return httpx.Response(404, json={"code": "NotFound", "message": "Not found!"})
        left = self.faults.get(end)
        response = left.pop(0)(self.inner, request) if left and request.method == "POST" else None
        response = response or self.inner.handle_request(request)
        return response if self.has_joins else self._unnumbered(response)

    def _unnumbered(self, response: httpx.Response) -> httpx.Response:
        if "event-stream" not in response.headers.get("content-type", ""):
            return response
        body = response.stream
        assert isinstance(body, httpx.SyncByteStream)

        class Plain(httpx.SyncByteStream):
            def __iter__(self) -> Iterator[bytes]:
                for chunk in body:
                    lines = chunk.split(b"\n")
                    yield b"\n".join(line for line in lines if not line.startswith(b"id:"))

            def close(self) -> None:
                body.close()

        return httpx.Response(response.status_code, headers=response.headers, stream=Plain())

    def close(self) -> None:
        self.inner.close()


class Stage:
    """A service whose model calls two functions and then answers; a session of it on a way with faults."""

    def __init__(self, *rounds: list[Any]) -> None:
        self.called: Counter[str] = Counter()
        two = [TextPiece("Hm. "), CallPiece(0, "pay", '{"who": "Ann"}'), CallPiece(1, "pay", '{"who": "Bob"}')]
        engine = Script(*(rounds or ([*two, Spent(1, 1)], [TextPiece("Paid."), Spent(1, 1)])), [TextPiece("free")])
        ids = numbered()
        self.service = LocalService(":memory:", engine, plugins={}, ids=ids, clock=ticking())
        self.way = Way(self.service.transport(closes=True))
        ticks = itertools.count()
        self.client = Client(
            BASE_URL,
            transport=self.way,
            clock=lambda: float(next(ticks)),
            sleep=_nap,
        )
        self._keys = itertools.count(1)

        @tool
        def pay(who: str) -> str:
            self.called[who] += 1
            return f"{who} has it"

        self.pay = pay

    def session(self, **more: Any) -> Session:
        return Session(
            client=self.client,
            ledger=None,
            tools=[self.pay],
            keys=lambda: f"question {next(self._keys)}",
            **more,
        )

    def check(self, state: RunState) -> None:
        """The answer is whole, and everything happened once."""
        assert (state.status, state.text) == ("completed", "Hm. \n\nPaid.")
        assert [call.output for call in state.tool_calls] == ["Ann has it", "Bob has it"]
        self.check_effects()

    def check_effects(self) -> None:
        assert self.called == {"Ann": 1, "Bob": 1}
        said = [one.text for one in self.client.messages.iter("thread_1") if one.role == "user"]
        assert said == ["Pay them."]
        assert len(list(self.client.runs.iter("thread_1"))) == 1


def _nap(seconds: float) -> None:
    time.sleep(0.001)


@contextmanager
def staged(*rounds: list[Any]) -> Iterator[Stage]:
    stage = Stage(*rounds)
    with ExitStack() as opened:
        opened.callback(stage.client.close)
        yield stage


# --- tool outputs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("joins", [True, False], ids=["numbered", "cloud"])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_outputs_reach_the_run_once_whatever_becomes_of_the_answer(fault: Fault, joins: bool) -> None:
    with staged() as stage, stage.session() as session:
        stage.way.has_joins = joins
        stage.way.faults = {"submit_tool_outputs": [fault]}
        try:
            state = session.ask("Pay them.")
        except DashnbError:
            assert not joins  # an unnumbered stream that breaks in its middle says so, and can be gone on with
            state = session.runs[0]
            *_, _ = session.proceed(state)
        stage.check(state)


@pytest.mark.parametrize("fault", [after(RESET), before(RESET), answered(502, arrived=True)])
def test_outputs_that_cannot_be_handed_in_now_are_handed_in_later_without_calling_again(fault: Fault) -> None:
    with staged() as stage, stage.session() as session:
        stage.way.faults = {"submit_tool_outputs": [before(RESET)] * 5}
        with pytest.raises(ConnectionFailed):
            session.ask("Pay them.")
        (state,) = session.runs
        assert (state.status, state.outputs) == ("requires_action", {"call_1": "Ann has it", "call_2": "Bob has it"})
        stage.way.faults = {"submit_tool_outputs": [fault]}
        *_, done = session.proceed(state)
        stage.check(done)
        assert done.outputs == {}


@pytest.mark.parametrize("by", ["state", "run", "id"])
def test_a_run_that_has_gone_on_meanwhile_is_read_and_no_function_is_called(by: str) -> None:
    with staged() as stage, stage.session() as session:
        stage.way.faults = {"submit_tool_outputs": [before(RESET)] * 5}
        with pytest.raises(ConnectionFailed):
            session.ask("Pay them.")
        (state,) = session.runs
        outputs = [{"tool_call_id": call, "output": text} for call, text in state.outputs.items()]
        stage.way.faults = {}
        stage.client.runs.submit_tool_outputs(state.id, thread_id=state.thread_id, tool_outputs=outputs)
        stage.client.runs.wait(state.id, thread_id=state.thread_id)
        given = {"state": state, "run": state.run, "id": state.id}[by]
        if by == "state":
            *_, done = session.proceed(state)
            stage.check(done)
        else:
            with pytest.raises(RunError, match="completed"):
                list(session.proceed(given))  # type: ignore[arg-type]  # one of the three
            stage.check_effects()


def test_a_run_named_by_its_id_is_gone_on_with_by_the_outputs_that_are_there() -> None:
    with staged() as stage, stage.session() as session:
        stage.way.faults = {"submit_tool_outputs": [before(RESET)] * 5}
        with pytest.raises(ConnectionFailed):
            session.ask("Pay them.")
        *_, done = session.proceed("run_1")
        stage.check(done)


@pytest.mark.parametrize("by", ["state", "id"])
def test_another_session_of_the_client_goes_on_with_the_outputs_that_are_there(by: str) -> None:
    with staged() as stage:
        stage.way.faults = {"submit_tool_outputs": [before(RESET)] * 5}
        with stage.session() as session, pytest.raises(ConnectionFailed):
            session.ask("Pay them.")
        with stage.session(thread="thread_1") as later:
            *_, done = later.proceed(session.runs[0] if by == "state" else "run_1")
        stage.check(done)
        assert stage.client._unfinished == {}


@pytest.mark.parametrize("answer", [400, 401, 403, 404, 409, 413])
def test_a_refusal_of_outputs_by_a_run_that_still_waits_is_what_the_service_says(answer: int) -> None:
    with staged() as stage, stage.session() as session:
        body = json.dumps({"code": "No", "message": "No."}).encode()
        stage.way.faults = {"submit_tool_outputs": [answered(answer, arrived=False, body=body)]}
        with pytest.raises(APIError) as caught:
            session.ask("Pay them.")
        assert caught.value.status_code == answer
        assert stage.way.sent.count("POST submit_tool_outputs") == 1
        *_, done = session.proceed(session.runs[0])
        stage.check(done)


def test_calls_without_ids_are_told_apart_by_their_steps() -> None:
    once = [CallPiece(0, "pay", '{"who": "Ann"}'), Spent(1, 1)]
    again = [CallPiece(0, "pay", '{"who": "Bob"}'), Spent(1, 1)]
    with staged(once, again, [TextPiece("Paid.")]) as stage:
        inner = stage.way.inner
        stage.way.inner = _Nameless(inner)
        stage.way.faults = {"submit_tool_outputs": [after(RESET), after(RESET)]}
        with stage.session() as session:
            state = session.ask("Pay them.")
        assert (state.status, state.text) == ("completed", "Paid.")
        assert [call.output for call in state.tool_calls] == ["Ann has it", "Bob has it"]
        stage.check_effects()


class _Nameless(httpx.BaseTransport):
    """A service whose calls have no ids."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self._inner = inner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._inner.handle_request(request)
        body = response.stream
        assert isinstance(body, httpx.SyncByteStream)

        class Changed(httpx.SyncByteStream):
            def __iter__(self) -> Iterator[bytes]:
                for chunk in body:
                    yield chunk.replace(b'"call_1"', b'""').replace(b'"call_2"', b'""')

            def close(self) -> None:
                body.close()

        return httpx.Response(response.status_code, headers=response.headers, stream=Changed())

    def close(self) -> None:
        self._inner.close()


def test_a_call_that_was_interrupted_is_not_made_again_and_the_others_are() -> None:
    with staged() as stage:
        began: list[str] = []

        @tool(parallel=False)
        def pay(who: str) -> str:
            began.append(who)
            if began == ["Ann"]:
                raise KeyboardInterrupt
            stage.called[who] += 1
            return f"{who} has it"

        stage.pay = pay
        stage.way.faults = {"cancel": [answered(404, arrived=False, body=b"{}")]}
        with stage.session() as session:
            with pytest.raises(KeyboardInterrupt):
                session.ask("Pay them.")
            assert session.runs[0].status == "abandoned"
            *_, done = session.proceed(session.runs[0])
        assert done.status == "completed"
        assert began == ["Ann", "Bob"]
        assert [call.output for call in done.tool_calls] == [
            "Error: the person interrupted this call before it had ended",
            "Bob has it",
        ]


# --- messages and runs -------------------------------------------------------------------------------


@pytest.mark.parametrize("joins", [True, False], ids=["numbered", "cloud"])
@pytest.mark.parametrize(
    "name",
    [
        "lost before headers",
        "timed out",
        "lost behind headers",
        "ended behind headers",
        "502 after",
        "429 after",
        "408 after",
        "524 after",
    ],
)
def test_a_run_whose_first_answer_is_lost_is_found_and_read(name: str, joins: bool) -> None:
    with staged() as stage, stage.session() as session:
        stage.way.has_joins = joins
        stage.way.faults = {"runs": [FAULTS[name]]}
        stage.check(session.ask("Pay them."))
        assert stage.way.sent.count("POST runs") == 1


@pytest.mark.parametrize(
    "name", ["lost before headers", "timed out", "lost in mid-body", "502 after", "429 after", "408 after", "524 after"]
)
def test_a_message_whose_answer_is_lost_is_not_posted_again(name: str) -> None:
    with staged() as stage, stage.session() as session:
        fault = cut(20, RESET) if name == "lost in mid-body" else FAULTS[name]
        stage.way.faults = {"messages": [fault]}
        stage.check(session.ask("Pay them."))
        assert stage.way.sent.count("POST messages") == 1


@pytest.mark.parametrize("end", ["messages", "runs"])
@pytest.mark.parametrize("name", ["not sent", "lost on the way", "502 before", "429 before"])
def test_what_did_not_arrive_is_an_error_and_the_session_goes_on(end: str, name: str) -> None:
    with staged([TextPiece("Paid.")]) as stage, stage.session() as session:
        stage.way.faults = {end: [FAULTS[name]]}
        with pytest.raises((ConnectionFailed, APIError)):
            session.ask("Pay them.")
        assert session.runs[0].status == "failed"
        assert session.ask("Pay them.").text == "Paid."
        assert stage.way.sent.count(f"POST {end}") == 2


@pytest.mark.parametrize("end", ["threads", "assistants"])
@pytest.mark.parametrize("error", [RESET, KeyboardInterrupt()])
def test_a_session_that_was_half_made_is_made_by_the_next_question(end: str, error: Any) -> None:
    with staged([TextPiece("Paid.")]) as stage, stage.session() as session:
        stage.way.faults = {end: [after(error)]}
        with pytest.raises((ConnectionFailed, KeyboardInterrupt)):
            session.ask("Pay them.")
        assert session.ask("Pay them.").text == "Paid."


def test_each_question_has_a_key_that_its_message_and_its_run_carry() -> None:
    with staged() as stage, stage.session() as session:
        state = session.ask("Pay them.")
        assert session.ask("And now?").text == "free"
        newest, first = stage.client.runs.list("thread_1")
        asked = [one for one in stage.client.messages.list("thread_1") if one.role == "user"]
    assert [one.metadata for one in (first, newest)] == [{REQUEST_KEY: "question 1"}, {REQUEST_KEY: "question 2"}]
    assert [one.metadata for one in asked] == [{REQUEST_KEY: "question 2"}, {REQUEST_KEY: "question 1"}]
    assert is_of(first, state.request_key)
    assert not is_of(newest, state.request_key)


def test_a_run_of_somebody_else_is_not_taken_for_our_own() -> None:
    with staged([TextPiece("theirs")]) as stage:
        stage.way.faults = {"runs": [before(RESET)]}
        with stage.session() as session, pytest.raises(ConnectionFailed):
            session.ask("Pay them.")
        theirs = stage.client.runs.create("thread_1", assistant_id="asst_1")
        assert not is_of(theirs, session.runs[0].request_key)


def test_a_run_that_arrives_late_makes_room_for_the_next_question() -> None:
    held: list[httpx.Request] = []

    def hold(inner: httpx.BaseTransport, request: httpx.Request) -> httpx.Response:
        held.append(request)
        raise KeyboardInterrupt

    def late(inner: httpx.BaseTransport, request: httpx.Request) -> httpx.Response:
        inner.handle_request(held.pop()).close()
        return inner.handle_request(request)

    ask = [CallPiece(0, "pay", '{"who": "Ann"}'), Spent(1, 1)]
    with staged(ask, [TextPiece("free")]) as stage, stage.session() as session:
        stage.way.faults = {"runs": [hold]}
        with pytest.raises(KeyboardInterrupt):
            session.ask("Pay them.")
        (left,) = session.runs
        assert (left.status, left.id) == ("abandoned", "")
        stage.way.faults = {"runs": [late]}
        assert session.ask("And now?").text == "free"
        assert (left.status, left.id, stage.called) == ("cancelled", "run_1", {})


def test_a_run_that_arrives_after_its_time_is_over_makes_room_too() -> None:
    held: list[httpx.Request] = []

    def hold(inner: httpx.BaseTransport, request: httpx.Request) -> httpx.Response:
        held.append(request)
        raise SLOW

    def late(inner: httpx.BaseTransport, request: httpx.Request) -> httpx.Response:
        inner.handle_request(held.pop()).close()
        return inner.handle_request(request)

    ask = [CallPiece(0, "pay", '{"who": "Ann"}'), Spent(1, 1)]
    with staged(ask, [TextPiece("free")]) as stage, stage.session() as session:
        stage.way.faults = {"runs": [hold, late]}
        with pytest.raises(ConnectionFailed):
            session.ask("Pay them.")
        assert session.ask("And now?").text == "free"
        assert stage.client.runs.retrieve("run_1", thread_id="thread_1").status == "cancelled"
        assert stage.called == {}


def test_a_stranger_in_the_way_is_still_refused() -> None:
    ask = [CallPiece(0, "pay", '{"who": "Ann"}'), Spent(1, 1)]
    with staged(ask) as stage:
        with stage.session() as session:
            session.thread, session.assistant  # noqa: B018 # made now
            stage.client.messages.create("thread_1", content="Pay Ann.")
            stage.client.runs.create("thread_1", assistant_id="asst_1")
            stage.client.runs.wait("run_1", thread_id="thread_1")
            with pytest.raises(BadRequestError, match="run_1 is requires_action"):
                session.ask("Pay them.")
        assert stage.client.runs.retrieve("run_1", thread_id="thread_1").status == "requires_action"


# --- time --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["messages", "runs", "submit_tool_outputs"])
def test_where_nothing_is_answered_any_more_looking_takes_seconds_and_the_first_failure_is_told(end: str) -> None:
    class Dead(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectTimeout("nobody there")

    def die(inner: httpx.BaseTransport, request: httpx.Request) -> httpx.Response:
        stage.way.inner = Dead()
        raise SLOW

    with staged() as stage, stage.session() as session:
        inner = stage.way.inner
        stage.way.faults = {end: [die]}
        with pytest.raises(ConnectionFailed, match="did not answer in time \\(ReadTimeout\\)"):
            session.ask("Pay them.")
        last = stage.way.sent.index(f"POST {end}")
        looks = stage.way.patience[last + 1 :]
        assert len(looks) == 3
        assert sum(looks) <= 30
        stage.way.inner = inner
