"""The way to the embedded API without a port hands over each part of an answer as it is produced."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from dashnb.local.models.engine import TextPiece
from dashnb.local.service import BASE_URL, LocalService
from dashnb.local.store import Store
from dashnb.local.transport import AsyncLocalTransport, LocalTransport, LoopThread
from scripted import BEGUN, ENDED, Gate, Script, names, parse, serving, ticking, written

App = Callable[[Scope, Receive, Send], Awaitable[None]]


@contextmanager
def reaching(app: App, **options: Any) -> Iterator[httpx.Client]:
    """A client of an app on a loop of its own."""
    loop = LoopThread()
    try:
        with httpx.Client(transport=LocalTransport(app, loop), base_url="http://app", **options) as client:
            yield client
    finally:
        loop.close()


async def answer(send: Send, *bodies: bytes, status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
    for body in bodies:
        await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def aparse(chunks: AsyncIterator[bytes]) -> AsyncIterator[tuple[str, Any]]:
    rest = b""
    async for chunk in chunks:
        *blocks, rest = (rest + chunk).split(b"\n\n")
        for block in blocks:
            for event in parse(iter([block + b"\n\n"])):
                yield event


# --- streams arrive as they are produced ---------------------------------------------------------


def test_the_first_piece_is_read_before_the_second_is_thought_of() -> None:
    gates = [Gate(), Gate()]
    with serving(Script([TextPiece("a"), gates[0], TextPiece("b"), gates[1], TextPiece("c")])) as api:
        path = f"/threads/{api.thread('Hello')}/runs"
        with api.stream(path, assistant_id=api.assistant()) as events:
            for text, gate in zip("ab", gates, strict=True):
                delta = next(data for name, data in events if name == "thread.message.delta")
                assert delta["delta"]["content"][0]["text"]["value"] == text
                gate.open()
            assert names(list(events))[-2:] == ENDED


def test_the_first_piece_is_awaited_before_the_second_is_thought_of() -> None:
    async def check(service: LocalService, gate: Gate) -> None:
        async with httpx.AsyncClient(transport=service.async_transport(), base_url=BASE_URL) as client:
            assistant = (await client.post("/assistants", json={"model": "m"})).json()["id"]
            thread = (await client.post("/threads", json={})).json()["id"]
            body = {"assistant_id": assistant, "stream": True}
            async with client.stream("POST", f"/threads/{thread}/runs", json=body) as response:
                events = aparse(response.aiter_bytes())
                seen = []
                async for name, _ in events:
                    seen.append(name)
                    if seen.count("thread.message.delta") == 1 and name == "thread.message.delta":
                        gate.open()
                assert seen == [*BEGUN, *written(2), *ENDED]

    gate = Gate()
    with LocalService(":memory:", Script([TextPiece("a"), gate, TextPiece("b")]), plugins={}) as service:
        asyncio.run(check(service, gate))


def test_one_service_answers_clients_on_several_loops_one_after_the_other() -> None:
    async def create(service: LocalService) -> int:
        async with httpx.AsyncClient(transport=service.async_transport(), base_url=BASE_URL) as client:
            await client.post("/assistants", json={"model": "m"})
            return len((await client.get("/assistants")).json()["data"])

    with LocalService(":memory:", Script(), plugins={}) as service:
        assert [asyncio.run(create(service)) for _ in range(3)] == [1, 2, 3]


def test_requests_of_several_threads_are_answered_each_with_its_own() -> None:
    with serving(Script()) as api, ThreadPoolExecutor(8) as pool:

        def create(number: int) -> tuple[int, int]:
            made = api.post("/threads", metadata={"number": number})
            return number, api.get(f"/threads/{made['id']}")["metadata"]["number"]

        assert all(sent == kept for sent, kept in pool.map(create, range(64)))


def test_streams_of_several_threads_do_not_mix() -> None:
    texts = [f"text {n}" for n in range(8)]

    class Echo(Script):
        async def answer(self, turn: Any) -> AsyncIterator[Any]:
            for letter in turn.messages[-1].text:
                yield TextPiece(letter)

    with serving(Echo()) as api, ThreadPoolExecutor(8) as pool:
        assistant = api.assistant()

        def ask(text: str) -> str:
            with api.stream(f"/threads/{api.thread(text)}/runs", assistant_id=assistant) as events:
                deltas = [data["delta"] for name, data in events if name == "thread.message.delta"]
            return "".join(delta["content"][0]["text"]["value"] for delta in deltas)

        assert list(pool.map(ask, texts)) == texts


# --- what is sent --------------------------------------------------------------------------------


def test_the_app_sees_the_request_as_a_server_would_show_it() -> None:
    seen: list[tuple[Scope, Message]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope, await receive()))
        await answer(send, b"ok")

    with reaching(app) as client:
        response = client.post("/a%20b/天?x=1&y=%E5%A4%A9", content=b"body", headers={"X-Key": "Value"})
    assert (response.status_code, response.text, response.headers["content-type"]) == (200, "ok", "text/plain")
    ((scope, message),) = seen
    assert (scope["type"], scope["method"], scope["path"]) == ("http", "POST", "/a b/天")
    assert scope["raw_path"] == b"/a%20b/%E5%A4%A9"
    assert scope["query_string"] == b"x=1&y=%E5%A4%A9"
    assert (b"x-key", b"Value") in scope["headers"]
    assert message == {"type": "http.request", "body": b"body", "more_body": False}


# --- failures ------------------------------------------------------------------------------------


def test_silence_before_the_answer_is_a_read_timeout_and_ends_the_app_s_work() -> None:
    left = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        assert (await receive())["type"] == "http.disconnect"
        left.set()

    with reaching(app, timeout=0.01) as client:
        with pytest.raises(httpx.ReadTimeout, match=r"nothing came for 0\.01 s"):
            client.get("/")
        assert left.wait(5)


def test_silence_between_two_events_is_a_read_timeout() -> None:
    with serving(Script([TextPiece("a"), Gate()])) as api:
        path, body = f"/threads/{api.thread()}/runs", {"assistant_id": api.assistant(), "stream": True}
        with (
            pytest.raises(httpx.ReadTimeout),
            api.client.stream("POST", path, json=body, timeout=0.1) as response,
        ):
            list(response.iter_bytes())


def test_silence_is_a_read_timeout_when_awaited_too() -> None:
    left = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await receive()
        left.set()

    async def check(loop: LoopThread) -> None:
        async with httpx.AsyncClient(transport=AsyncLocalTransport(app, loop), timeout=0.01) as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.get("http://app/")

    loop = LoopThread()
    asyncio.run(check(loop))
    assert left.wait(5)
    loop.close()


def test_work_that_begins_while_the_loop_is_closed_ends_with_it() -> None:
    ended: list[str] = []
    begun: set[asyncio.Task[None]] = set()

    async def work(name: str, then: str = "") -> None:
        try:
            await asyncio.Event().wait()
        finally:
            if then:
                begun.add(asyncio.create_task(work(then)))
            ended.append(name)

    async def begin() -> None:
        begun.add(asyncio.create_task(work("first", "second")))
        await asyncio.sleep(0)

    loop = LoopThread()
    loop.start(begin()).result()
    loop.close()
    assert ended == ["first", "second"]
    assert all(task.done() for task in begun)


def test_an_app_that_fails_before_its_answer_is_a_read_error() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError("by zero")

    with reaching(app) as client, pytest.raises(httpx.ReadError, match="ZeroDivisionError: by zero"):
        client.get("/")


def test_an_app_that_fails_in_its_answer_is_a_read_error_behind_what_came() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ZeroDivisionError("by zero")

    with reaching(app) as client, client.stream("GET", "/") as response:
        parts = response.iter_raw()
        assert next(parts) == b"half"
        with pytest.raises(httpx.ReadError, match="ZeroDivisionError"):
            next(parts)


def test_an_app_that_ends_without_an_answer_is_a_protocol_error() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        return

    with reaching(app) as client, pytest.raises(httpx.RemoteProtocolError):
        client.get("/")


def test_a_fault_of_the_embedded_api_is_answered_in_the_documented_shape(caplog: pytest.LogCaptureFixture) -> None:
    def broken(prefix: str) -> str:
        raise ZeroDivisionError("canary")

    with serving(Script(), ids=broken) as api:
        response = api.client.post("/threads", json={})
    assert response.status_code == 500
    assert response.json()["code"] == "InternalError"
    assert "canary" not in response.text
    assert set(response.json()) == {"code", "message", "request_id"}
    assert "POST /api/v1/threads failed" in caplog.text


# --- leaving and closing -------------------------------------------------------------------------


def test_leaving_a_stream_ends_the_work_on_the_answer_and_not_the_run() -> None:
    gate = Gate()
    with serving(Script([TextPiece("a"), gate, TextPiece("b")])) as api:
        readers = api.service.log._readers
        with api.stream(f"/threads/{api.thread()}/runs", assistant_id=api.assistant()) as events:
            next(events)
            assert list(readers) == ["run_1"]
        run = "/threads/thread_1/runs/run_1"
        assert gate.reached.wait(5)
        while readers:
            assert api.get(run)["status"] == "in_progress"
        gate.open()
        api.wait(run, "completed")


def test_leaving_an_answer_that_is_complete_does_nothing() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"a", b"b")

    with reaching(app) as client, client.stream("GET", "/") as response:
        assert next(response.iter_raw()) == b"a"


def test_closing_a_client_closes_the_service_if_it_was_asked_to() -> None:
    service = LocalService(":memory:", Script(), plugins={})
    with httpx.Client(transport=service.transport(), base_url=BASE_URL) as client:
        client.get("/assistants")
    with httpx.Client(transport=service.transport(closes=True), base_url=BASE_URL) as client:
        assert client.get("/assistants").status_code == 200
    assert service._loop.closed


def test_closing_an_async_client_closes_the_service_if_it_was_asked_to() -> None:
    async def check(service: LocalService) -> None:
        async with httpx.AsyncClient(transport=service.async_transport(closes=True), base_url=BASE_URL) as client:
            assert (await client.get("/assistants")).status_code == 200

    service = LocalService(":memory:", Script(), plugins={})
    asyncio.run(check(service))
    assert service._loop.closed


def test_a_service_may_be_closed_again_and_by_several_at_once() -> None:
    for _ in range(10):
        service = LocalService(":memory:", Script(), plugins={})
        with ThreadPoolExecutor(4) as pool:
            for closing in [pool.submit(service.close) for _ in range(4)]:
                closing.result()
        service.close()


def test_a_closed_service_refuses_the_connection() -> None:
    service = LocalService(":memory:", Script(), plugins={})
    client = httpx.Client(transport=service.transport(), base_url=BASE_URL)
    service.close()
    with pytest.raises(httpx.ConnectError, match="closed"):
        client.get("/assistants")
    client.close()

    async def check() -> None:
        async with httpx.AsyncClient(transport=service.async_transport(), base_url=BASE_URL) as client:
            with pytest.raises(httpx.ConnectError, match="closed"):
                await client.get("/assistants")

    asyncio.run(check())


def test_a_client_that_is_forgotten_leaves_neither_thread_nor_database_open(tmp_path: Path) -> None:
    before = threading.active_count()
    service = LocalService(str(tmp_path / "a.db"), Script([TextPiece("a"), Gate()]), plugins={})
    store, loop = service.store, service._loop
    client = httpx.Client(transport=service.transport(closes=True), base_url=BASE_URL)
    thread = client.post("/threads", json={"messages": [{"role": "user", "content": "Hello"}]}).json()["id"]
    assistant = client.post("/assistants", json={"model": "m"}).json()["id"]
    client.post(f"/threads/{thread}/runs", json={"assistant_id": assistant})
    del service, client
    gc.collect()
    assert (threading.active_count(), loop.closed) == (before, True)
    with closing(Store(store.database)) as kept:
        (run,) = kept.every("runs")
        assert (run["status"], run["last_error"]["code"]) == ("failed", "server_stopped")


def test_closing_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    with serving(Script([TextPiece("a"), Gate()]), clock=ticking()) as api:
        api.begin()
    assert threading.active_count() == before


def test_an_answer_that_is_near_its_end_reaches_it_when_the_loop_is_closed() -> None:
    started = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        started.set()
        while len(asyncio.all_tasks()) == 1:  # noqa: ASYNC110 - until the close is under way
            await asyncio.sleep(0)
        for _ in range(5):
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"the end", "more_body": False})

    loop = LoopThread()
    response = LocalTransport(app, loop).handle_request(httpx.Request("GET", "http://app/"))
    assert started.wait(5)
    loop.close()
    assert response.read() == b"the end"


def test_a_stream_that_nobody_reads_does_not_hold_up_the_close() -> None:
    """The run belongs to nobody here, so its stream would go on for ever."""
    service = LocalService(":memory:", Script(), plugins={})
    with httpx.Client(transport=service.transport(), base_url=BASE_URL) as client:
        record = {"id": "run_9", "created_at": 1, "thread_id": "thread_9", "status": "in_progress"}
        with service.store.begin() as change:
            change.insert("runs", record)
        following = service.log.follow("run_9", heartbeat=60)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
            async for _ in following:
                pass

        transport = LocalTransport(app, service._loop)
        response = transport.handle_request(client.build_request("GET", "/"))
        service.close()
        response.close()


def test_a_repr_says_what_is_served() -> None:
    with serving(Script()) as api:
        assert repr(api.service) == "LocalService(':memory:', engine='script')"
