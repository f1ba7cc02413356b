"""What goes wrong, and what the client makes of it: which exception, which words, which requests again."""

from __future__ import annotations

import asyncio
import inspect
import json
import random
import socket
from collections.abc import Callable, Iterator
from email.utils import formatdate
from itertools import chain, cycle, repeat
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashnb.client.client import AsyncClient, Client
from dashnb.client.failures import Backoff, retry_after
from dashnb.errors import (
    AccessDeniedError,
    APIError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    ConnectionFailed,
    DashnbError,
    NotFoundError,
    ProtocolError,
    RateLimitError,
    ServerError,
    StreamError,
)

URL = "https://service.test/api/v1"
REQUEST_ID = "225292ff-9843-95d4-8591-b1377c33e2be"
Use = Callable[[Any], Any]
Outcome = httpx.Response | Exception


class Steady(random.Random):
    """No jitter, so that delays can be compared."""

    def uniform(self, a: float, b: float) -> float:
        return b


STEADY = Steady()


def read(client: Any) -> Any:
    return client.threads.retrieve("thread_1")


CHANGES: dict[str, Use] = {
    "assistants.create": lambda c: c.assistants.create(model="m"),
    "assistants.update": lambda c: c.assistants.update("asst_1", name="n"),
    "assistants.delete": lambda c: c.assistants.delete("asst_1"),
    "threads.create": lambda c: c.threads.create(),
    "threads.delete": lambda c: c.threads.delete("thread_1"),
    "messages.create": lambda c: c.messages.create("thread_1", content="Hi"),
    "runs.create": lambda c: c.runs.create("thread_1", assistant_id="asst_1"),
    "runs.create_thread_and_run": lambda c: c.runs.create_thread_and_run(assistant_id="asst_1"),
    "runs.stream": lambda c: all_of(c.runs.stream("thread_1", assistant_id="asst_1")),
    "runs.submit_tool_outputs": lambda c: c.runs.submit_tool_outputs(
        "r", thread_id="t", tool_outputs=[{"output": "o"}]
    ),
    "runs.submit_tool_outputs, streamed": lambda c: all_of(
        c.runs.submit_tool_outputs("r", thread_id="t", tool_outputs=[{"output": "o"}], stream=True)
    ),
    "runs.cancel": lambda c: c.runs.cancel("run_1", thread_id="thread_1"),
}
READS: dict[str, Use] = {
    "assistants.list": lambda c: c.assistants.list(),
    "assistants.retrieve": lambda c: c.assistants.retrieve("asst_1"),
    "threads.retrieve": read,
    "messages.list": lambda c: c.messages.list("thread_1"),
    "runs.retrieve": lambda c: c.runs.retrieve("run_1", thread_id="thread_1"),
    "steps.list": lambda c: c.steps.list("run_1", thread_id="thread_1"),
}


def all_of(stream: Any) -> Any:
    return list(stream) if isinstance(stream, Iterator) or hasattr(stream, "__iter__") else collected(stream)


async def collected(stream: Any) -> list[Any]:
    return [event async for event in stream]


class Played:
    """What happened when a client met a list of answers."""

    def __init__(
        self, client_class: type[Client] | type[AsyncClient], use: Use, outcomes: Iterator[Outcome], backoff: Backoff
    ) -> None:
        self.requests: list[httpx.Request] = []
        self.sleeps: list[float] = []
        self.answer: Any = None
        self.error: DashnbError | None = None
        self._outcomes = outcomes
        asyncio.run(self._play(client_class, use, backoff))

    async def _play(self, client_class: type[Client] | type[AsyncClient], use: Use, backoff: Backoff) -> None:
        sleep: Any = self.sleeps.append if client_class is Client else self._sleep
        client = client_class(URL, transport=httpx.MockTransport(self._handle), sleep=sleep, backoff=backoff)
        try:
            answer = use(client)
            self.answer = await answer if inspect.isawaitable(answer) else answer
        except DashnbError as error:
            self.error = error
        finally:
            closing = client.close()
            if inspect.isawaitable(closing):
                await closing

    async def _sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        outcome = next(self._outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        # A response can be read once.
        return httpx.Response(outcome.status_code, content=outcome.content, headers=outcome.headers)


@pytest.fixture(params=[Client, AsyncClient], ids=["Client", "AsyncClient"])
def play(request: pytest.FixtureRequest) -> Callable[..., Played]:
    """Plays a use of either client against answers, the last of which is repeated for ever."""

    def play(use: Use, *outcomes: Outcome, backoff: Backoff | None = None) -> Played:
        for_ever = chain(outcomes[:-1], repeat(outcomes[-1]))
        return Played(request.param, use, for_ever, backoff or Backoff(rng=STEADY))

    return play


Play = Callable[..., Played]


def failed(status: int, code: str = "", message: str = "Something.", **headers: str) -> httpx.Response:
    body = {"code": code, "message": message, "request_id": REQUEST_ID}
    return httpx.Response(status, json=body, headers={name.replace("_", "-"): value for name, value in headers.items()})


def thread() -> httpx.Response:
    return httpx.Response(200, json={"id": "thread_1", "object": "thread"})


# --- statuses and codes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "kind", "remedy"),
    [
        (400, "InvalidParameter", BadRequestError, "Correct the named parameter"),
        (400, "Arrearage", BadRequestError, "Settle the account"),
        (400, "DataInspectionFailed", BadRequestError, "word it differently"),
        (401, "InvalidApiKey", AuthenticationError, "DASHSCOPE_API_KEY"),
        (401, "NOT AUTHORIZED", AuthenticationError, "workspace"),
        (403, "Model.AccessDenied", AccessDeniedError, "Ask for access"),
        (403, "AllocationQuota.FreeTierOnly", AccessDeniedError, "free quota"),
        (404, "NotFound", NotFoundError, "Check the id"),
        (404, "ModelNotFound", NotFoundError, "Choose a model"),
        (404, "WorkSpaceNotFound", NotFoundError, "DASHSCOPE_WORKSPACE"),
        (409, "Conflict", ConflictError, "Wait until the other request"),
        (418, "Teapot", APIError, "Check the request"),
        (302, "", APIError, "Check the request"),
        (429, "Throttling.RateQuota", RateLimitError, "Wait a minute"),
        (500, "InternalError", ServerError, "Try again"),
        (503, "ModelUnavailable", ServerError, "Try again"),
        (599, "New", ServerError, "Try again"),
    ],
)
def test_every_status_has_its_exception_with_the_facts_and_a_remedy(
    status: int, code: str, kind: type[APIError], remedy: str, play: Play
) -> None:
    error = play(CHANGES["runs.create"], failed(status, code)).error
    assert type(error) is kind
    assert (error.status_code, error.code, error.message, error.request_id) == (status, code, "Something.", REQUEST_ID)
    shown = str(error)
    assert len(shown.splitlines()) <= 3
    assert f"HTTP {status}" in shown
    assert all(part in shown for part in (code, "Something.", f"request_id {REQUEST_ID}", remedy))


@pytest.mark.parametrize("use", ["runs.stream", "runs.submit_tool_outputs, streamed"])
def test_a_refusal_before_the_stream_is_the_same_exception(use: str, play: Play) -> None:
    error = play(CHANGES[use], failed(404, "NotFound", "Not found!")).error
    assert type(error) is NotFoundError
    assert (error.code, error.request_id) == ("NotFound", REQUEST_ID)


def test_a_failure_without_a_body_is_told_by_its_status(play: Play) -> None:
    error = play(CHANGES["threads.create"], httpx.Response(404)).error
    assert isinstance(error, NotFoundError)
    assert (error.code, error.message, error.request_id) == ("", "Not Found", "")
    assert str(error).splitlines()[0] == "HTTP 404: Not Found"


def test_a_failure_with_a_page_of_html_shows_its_beginning_on_one_line(play: Play) -> None:
    page = "<html>\n<head><title>502 Bad Gateway</title></head>\n" + "<p>nginx</p>\n" * 100
    answer = httpx.Response(502, html=page, headers={"x-request-id": "req-1"})
    error = play(CHANGES["threads.create"], answer).error
    assert isinstance(error, ServerError)
    assert (error.code, error.request_id) == ("", "req-1")
    assert "502 Bad Gateway" in str(error)
    assert len(str(error).splitlines()) == 2
    assert len(str(error)) < 600


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500, json=["not", "an", "object"]),
        httpx.Response(500, json="words"),
        httpx.Response(500, json=None),
        httpx.Response(500, json={"code": None, "message": None, "request_id": None}),
        httpx.Response(500, json={"code": 7, "message": {"deep": []}, "request_id": 8}),
        httpx.Response(500, json={"error": {"code": "c", "message": "of the OpenAI-compatible mode"}}),
        httpx.Response(500, content=b"\xff\xfe\x00"),
        httpx.Response(500, content=b"{" * 100_000, headers={"content-type": "application/json"}),
        httpx.Response(500, content=b"[" * 100_000, headers={"content-type": "application/json"}),
        httpx.Response(500, content=b"x", headers={"content-type": "text/plain; charset=martian"}),
        httpx.Response(500, content="{'code'".encode("utf-16")),
    ],
)
def test_no_body_of_a_failure_confuses_the_client(answer: httpx.Response, play: Play) -> None:
    error = play(CHANGES["threads.create"], answer).error
    assert isinstance(error, ServerError)
    assert error.status_code == 500
    assert isinstance(error.code, str)
    assert isinstance(error.request_id, str)
    assert len(str(error).splitlines()) == 2
    assert len(str(error)) < 600


def test_a_message_of_many_lines_becomes_one(play: Play) -> None:
    error = play(CHANGES["threads.create"], failed(400, "InvalidParameter", "one\n\ntwo\r\n  three")).error
    assert "one two three" in str(error)
    assert len(str(error).splitlines()) == 2


@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7.0), ("2.5", 2.5), ("0", 0.0), ("", None), ("soon", None), ("-3", None), ("²", None)]
)
def test_a_rate_limit_tells_how_long_to_wait(value: str, seconds: float | None, play: Play) -> None:
    answer = httpx.Response(429, headers={b"retry-after": value.encode("latin-1")})
    error = play(CHANGES["threads.create"], answer).error
    assert isinstance(error, RateLimitError)
    assert error.retry_after == seconds


DATE = formatdate(1_700_000_000, usegmt=True)


def test_a_rate_limit_may_name_a_date(play: Play) -> None:
    """It is compared with the answer's own date: our clock may be wrong."""
    headers = {"retry-after": formatdate(1_700_000_042, usegmt=True)}
    for dated, seconds in (({"date": DATE}, 42.0), ({}, None), ({"date": "today"}, None)):
        error = play(CHANGES["threads.create"], httpx.Response(429, headers={**headers, **dated})).error
        assert isinstance(error, RateLimitError)
        assert error.retry_after == seconds


@settings(derandomize=True, deadline=None)
@given(st.text(st.characters(max_codepoint=255)), st.sampled_from(["", DATE]))
def test_no_value_of_retry_after_fails(value: str, date: str) -> None:
    seconds = retry_after({"retry-after": value, "date": date})
    assert seconds is None or seconds >= 0


# --- answers that are none ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, html="<html><title>Log in</title></html>"),
        httpx.Response(200, text="OK"),
        httpx.Response(200, content=b""),
        httpx.Response(204),
        httpx.Response(200, json=None),
        httpx.Response(200, json="thread_1"),
        httpx.Response(200, json=17),
        httpx.Response(200, content=b'{"id": "thread_1"', headers={"content-type": "application/json"}),
        httpx.Response(200, content=b"[" * 100_000, headers={"content-type": "application/json"}),
        httpx.Response(200, content=b"event:done\ndata:[DONE]\n\n", headers={"content-type": "text/event-stream"}),
    ],
)
def test_an_answer_that_is_no_json_is_not_the_api(answer: httpx.Response, play: Play) -> None:
    error = play(read, answer).error
    assert type(error) is ProtocolError
    assert "GET /api/v1/threads/thread_1" in str(error)
    assert "/api/v1" in str(error).splitlines()[1]
    assert len(str(error).splitlines()) <= 3


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"object": "thread"},
        {"id": ""},
        {"id": None},
        {"id": 5},
        {"id": "thread_1", "metadata": "words"},
        {"id": "thread_1", "created_at": "yesterday"},
        [],
        [{"id": "thread_1"}],
        {"code": "InvalidApiKey", "message": "an error with status 200"},
    ],
)
def test_an_answer_of_the_wrong_shape_names_the_operation_and_the_field(value: object, play: Play) -> None:
    error = play(read, httpx.Response(200, json=value)).error
    assert type(error) is ProtocolError
    assert "threads.retrieve" in str(error)
    assert len(str(error).splitlines()) <= 3


def test_an_answer_that_cannot_be_unpacked_is_a_failure_of_the_connection() -> None:
    def broken(_: httpx.Request) -> httpx.Response:
        headers = {"content-encoding": "gzip", "content-type": "text/event-stream"}
        return httpx.Response(200, stream=httpx.ByteStream(b"no gzip"), headers=headers)

    with Client(URL, transport=httpx.MockTransport(broken)) as client:
        with pytest.raises(ConnectionFailed, match=r"service\.test"):
            client.threads.create()
        with pytest.raises(ConnectionFailed, match=r"service\.test"):
            list(client.runs.stream("thread_1", assistant_id="asst_1"))


# --- no answer ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cause",
    [httpx.ConnectTimeout("slow"), httpx.ReadTimeout("slow"), httpx.WriteTimeout(""), httpx.PoolTimeout("slow")],
)
@pytest.mark.parametrize("use", ["threads.create", "runs.stream"])
def test_a_time_out_says_what_to_do(cause: Exception, use: str, play: Play) -> None:
    error = play(CHANGES[use], cause).error
    assert type(error) is ConnectionFailed
    assert "service.test did not answer in time" in str(error)
    assert "timeout=SECONDS" in str(error)
    assert len(str(error).splitlines()) <= 3
    assert error.__cause__ is cause


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (httpx.ConnectError("[Errno 111] Connection refused"), "cannot be reached: [Errno 111] Connection refused"),
        (httpx.ConnectError("[Errno -2] Name or service\nnot known"), "Name or service not known"),
        (httpx.ProxyError("403 Forbidden"), "cannot be reached: 403 Forbidden"),
        (httpx.ReadError(""), "gave no whole answer: ReadError"),
        (httpx.WriteError(""), "gave no whole answer: WriteError"),
        (httpx.RemoteProtocolError("Server disconnected"), "gave no whole answer: Server disconnected"),
    ],
)
@pytest.mark.parametrize("use", ["threads.create", "runs.stream"])
def test_a_broken_connection_says_what_happened_and_what_to_do(
    cause: Exception, words: str, use: str, play: Play
) -> None:
    error = play(CHANGES[use], cause).error
    assert type(error) is ConnectionFailed
    assert words in str(error)
    assert str(error).startswith("service.test ")
    assert "Check the network and the base URL" in str(error)
    assert len(str(error).splitlines()) == 2


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_a_refused_connection_names_the_host() -> None:
    sleeps: list[float] = []
    with Client(f"http://127.0.0.1:{free_port()}/api/v1", sleep=sleeps.append) as client:
        with pytest.raises(ConnectionFailed, match=r"^127\.0\.0\.1 cannot be reached: .*refused"):
            client.threads.create()
        assert sleeps == []
        with pytest.raises(ConnectionFailed):
            client.threads.retrieve("thread_1")
        assert len(sleeps) == 3


def test_an_awaited_refused_connection_names_the_host() -> None:
    async def use() -> None:
        async with AsyncClient(f"http://127.0.0.1:{free_port()}/api/v1") as client:
            await client.threads.create()

    with pytest.raises(ConnectionFailed, match=r"^127\.0\.0\.1 cannot be reached: \S"):
        asyncio.run(use())


def test_a_server_that_says_nothing_is_given_up_after_the_time_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/api/v1"
        with Client(url, timeout=0.05) as client, pytest.raises(ConnectionFailed, match="did not answer in time"):
            client.threads.create()


# --- requests again ----------------------------------------------------------------------------------


@pytest.mark.parametrize("use", READS)
@pytest.mark.parametrize("status", [408, 425, 429, 499, 500, 502, 503, 504, 520, 522, 524, 529, 530, 599])
def test_reads_are_repeated(use: str, status: int, play: Play) -> None:
    answer = httpx.Response(200, json={"id": "any_1", "data": [], "has_more": False})
    played = play(READS[use], failed(status), failed(status), answer)
    assert played.error is None
    assert (len(played.requests), played.sleeps) == (3, [0.5, 1.0])
    assert len({(request.method, request.url) for request in played.requests}) == 1


@pytest.mark.parametrize(
    "cause", [httpx.ConnectError("x"), httpx.ReadError("x"), httpx.ReadTimeout("x"), httpx.RemoteProtocolError("x")]
)
def test_reads_are_repeated_when_the_connection_broke(cause: Exception, play: Play) -> None:
    played = play(read, cause, failed(503), thread())
    assert (played.answer.id, len(played.requests)) == ("thread_1", 3)


def test_reads_are_sent_four_times_at_most(play: Play) -> None:
    played = play(read, failed(429))
    assert (len(played.requests), played.sleeps) == (4, [0.5, 1.0, 2.0])
    assert isinstance(played.error, RateLimitError)
    played = play(read, httpx.ReadError("x"))
    assert (len(played.requests), type(played.error)) == (4, ConnectionFailed)


@pytest.mark.parametrize("attempts", [0, 1, 2, 9])
def test_the_number_of_attempts_can_be_chosen(attempts: int, play: Play) -> None:
    played = play(read, failed(500), backoff=Backoff(attempts=attempts, rng=STEADY))
    assert len(played.requests) == max(1, attempts)


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 409, 418, 501, 505, 507, 511])
def test_reads_that_were_refused_are_not_repeated(status: int, play: Play) -> None:
    played = play(read, failed(status))
    assert (len(played.requests), played.sleeps) == (1, [])
    assert isinstance(played.error, APIError)


def test_answers_that_are_no_json_are_not_asked_for_again(play: Play) -> None:
    assert len(play(read, httpx.Response(200, text="OK")).requests) == 1


@pytest.mark.parametrize("use", CHANGES)
@pytest.mark.parametrize(
    "outcome",
    [failed(429, retry_after="0"), failed(500), failed(503), httpx.ReadError("x"), httpx.ConnectError("x")],
    ids=["429", "500", "503", "broken", "refused"],
)
def test_changes_are_never_repeated(use: str, outcome: Outcome, play: Play) -> None:
    """A second "create a run" would make a second run."""
    played = play(CHANGES[use], outcome)
    assert (len(played.requests), played.sleeps) == (1, [])
    assert isinstance(played.error, (APIError, ConnectionFailed))
    assert not isinstance(played.error, StreamError)


# --- how long to wait --------------------------------------------------------------------------------


def test_waits_double_up_to_the_longest() -> None:
    backoff = Backoff(attempts=9, first=0.5, longest=10.0, rng=STEADY)
    assert [backoff.delay(attempt) for attempt in range(1, 10)] == [0.5, 1, 2, 4, 8, 10, 10, 10, None]


@settings(derandomize=True, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 20))
def test_waits_are_spread_over_the_upper_half(seed: int, attempt: int) -> None:
    backoff = Backoff(attempts=100, first=0.5, longest=30.0, rng=random.Random(seed))
    whole = min(30.0, 0.5 * 2 ** (attempt - 1))
    delay = backoff.delay(attempt)
    assert delay is not None
    assert whole / 2 <= delay <= whole


def test_the_spread_comes_from_the_given_source(play: Play) -> None:
    one = play(read, failed(500), backoff=Backoff(rng=random.Random(7))).sleeps
    two = play(read, failed(500), backoff=Backoff(rng=random.Random(7))).sleeps
    other = play(read, failed(500), backoff=Backoff(rng=random.Random(8))).sleeps
    assert one == two != other
    assert all(low <= wait <= 2 * low for wait, low in zip(one, [0.25, 0.5, 1.0], strict=True))


def test_the_server_may_say_how_long_to_wait(play: Play) -> None:
    played = play(read, failed(429, retry_after="7"), failed(503, retry_after="0"), thread())
    assert (played.answer.id, played.sleeps) == ("thread_1", [7.0, 0.0])


def test_the_server_may_say_until_when_to_wait(play: Play) -> None:
    dates = [formatdate(1_700_000_005, usegmt=True), formatdate(1_699_999_999, usegmt=True)]
    played = play(read, *(failed(429, retry_after=date, date=DATE) for date in dates), thread())
    assert (played.answer.id, played.sleeps) == ("thread_1", [5.0, 0.0])


@pytest.mark.parametrize("value", ["31", "86400", "Fri, 31 Dec 2199 23:59:59 GMT"])
def test_a_server_that_wants_a_longer_wait_is_not_asked_again(value: str, play: Play) -> None:
    played = play(read, failed(429, "Throttling", retry_after=value, date=DATE))
    assert (len(played.requests), played.sleeps) == (1, [])
    assert isinstance(played.error, RateLimitError)
    assert played.error.retry_after is not None
    assert played.error.retry_after > 30


@pytest.mark.parametrize("value", ["soon", "-1", "1e3", "Fri"])
def test_a_wait_that_makes_no_sense_is_not_followed(value: str, play: Play) -> None:
    played = play(read, failed(429, retry_after=value), thread())
    assert played.sleeps == [0.5]


def test_a_page_in_the_middle_of_a_walk_is_repeated_alone(play: Play) -> None:
    pages = {
        "": {"data": [{"id": "asst_3"}, {"id": "asst_2"}], "has_more": True},
        "asst_2": {"data": [{"id": "asst_1"}], "has_more": False},
    }
    seen: list[str] = []
    failing = cycle([True, False])

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.params.get("after", ""))
        return failed(503) if next(failing) else httpx.Response(200, content=json.dumps(pages[seen[-1]]))

    with Client(URL, transport=httpx.MockTransport(handle), sleep=lambda _: None) as client:
        assert [entry.id for entry in client.assistants.iter()] == ["asst_3", "asst_2", "asst_1"]
    assert seen == ["", "", "asst_2", "asst_2"]
