"""Clients in one event loop after another, in several at once, and around time-outs: nothing is left half closed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import dashnb
from dashnb.errors import ConnectionFailed
from dashnb.local.models.guide import GuideEngine
from dashnb.local.models.pace import PacedEngine
from dashnb.local.server import Server
from dashnb.local.service import BASE_URL, LocalService

PROGRAM_SECONDS = 60


@pytest.fixture(params=["port", "process"])
def client(request: pytest.FixtureRequest) -> Iterator[dashnb.AsyncClient]:
    """A client of an API whose answers take their time; it is not closed."""
    engine = PacedEngine(GuideEngine(), 0.005, sleep=asyncio.sleep)
    if request.param == "port":
        with Server(":memory:", engine) as server:
            yield dashnb.AsyncClient(server.base_url, api_key=server.api_key)
    else:
        with LocalService(":memory:", engine) as service:
            yield dashnb.AsyncClient(BASE_URL, transport=service.async_transport())


async def ask(client: dashnb.AsyncClient) -> str:
    return (await client.threads.create()).object


async def stream_of(client: dashnb.AsyncClient) -> Any:
    assistant = await client.assistants.create(model="qwen-max")
    thread = await client.threads.create(messages=[{"role": "user", "content": "Tell me about the sea"}])
    return client.runs.stream(thread.id, assistant_id=assistant.id)


def test_a_client_is_used_in_one_loop_after_another(client: dashnb.AsyncClient) -> None:
    for _ in range(3):
        assert asyncio.run(ask(client)) == "thread"
    asyncio.run(client.close())


def test_a_client_is_used_in_two_loops_at_once(client: dashnb.AsyncClient) -> None:
    told: list[list[str]] = []
    both = threading.Barrier(2)

    async def work() -> list[str]:
        both.wait()
        return [await ask(client) for _ in range(5)]

    threads = [threading.Thread(target=lambda: told.append(asyncio.run(work()))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == [["thread"] * 5] * 2
    asyncio.run(client.close())


def test_a_client_is_closed_twice_and_says_then_that_it_is_closed(client: dashnb.AsyncClient) -> None:
    async def first() -> None:
        assert await ask(client) == "thread"
        await client.close()
        await client.close()
        with pytest.raises(ConnectionFailed, match="has been closed"):
            await ask(client)

    asyncio.run(first())
    asyncio.run(client.close())
    with pytest.raises(ConnectionFailed, match="has been closed"):
        asyncio.run(ask(client))


def test_closing_in_one_loop_closes_what_another_keeps_open() -> None:
    opened: list[Any] = []
    with dashnb.serve(engine="guide", database=":memory:") as server:
        client = dashnb.AsyncClient(server.base_url, api_key=server.api_key)
        with asyncio.Runner() as waiting:
            assert waiting.run(ask(client)) == "thread"
            opened += [kept.http for kept in client._pool._kept.values()]
            asyncio.run(client.close())
            waiting.run(asyncio.sleep(0.05))
            assert [http.is_closed for http in opened] == [True]


def test_a_client_that_waits_is_closed_twice_and_says_then_that_it_is_closed() -> None:
    client = dashnb.connect("local", database=":memory:", engine="guide")
    client.threads.create()
    client.close()
    client.close()
    for use in (client.threads.create, lambda: list(client.assistants.list())):
        with pytest.raises(ConnectionFailed, match="has been closed"):
            use()


def test_a_client_that_waits_is_used_inside_a_running_loop_and_from_several_threads() -> None:
    with dashnb.connect("local", database=":memory:", engine="guide") as client:

        async def cell() -> list[str]:
            here = client.threads.create().object
            return [here, *await asyncio.gather(*(asyncio.to_thread(work) for _ in range(4)))]

        def work() -> str:
            with dashnb.Session(client=client, ledger=None) as session:
                return session.ask("What is 2 + 3?").status

        assert asyncio.run(cell()) == ["thread", *["completed"] * 4]


# --- stopped in the middle -----------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.001, 0.02, 0.1])
def test_a_time_out_around_a_stream_gives_the_connection_back(client: dashnb.AsyncClient, seconds: float) -> None:
    async def work() -> set[str]:
        stream = await stream_of(client)
        before = asyncio.all_tasks()

        async def read() -> None:
            async with asyncio.timeout(seconds):
                async for _ in stream:
                    await asyncio.sleep(seconds / 3)
                await asyncio.sleep(60)

        with pytest.raises(TimeoutError):
            await read()
        await stream.close()
        left = {task.get_coro().__qualname__ for task in asyncio.all_tasks() - before}
        assert await ask(client) == "thread"
        await client.close()
        return left

    assert "Channel._read" not in asyncio.run(work())


def test_who_waits_for_an_event_may_be_cancelled(client: dashnb.AsyncClient) -> None:
    async def work() -> None:
        stream = await stream_of(client)

        async def read() -> None:
            async with stream:
                async for _ in stream:
                    pass

        reading = asyncio.create_task(read())
        await asyncio.sleep(0.05)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert await ask(client) == "thread"
        await client.close()

    asyncio.run(work())


PROGRAM = """
import asyncio, gc, logging, sys, dashnb
from dashnb.local.models.guide import GuideEngine
from dashnb.local.models.pace import PacedEngine
from dashnb.local.server import Server
from dashnb.local.service import BASE_URL, LocalService

async def stream_of(client):
    assistant = await client.assistants.create(model="qwen-max")
    thread = await client.threads.create(messages=[{"role": "user", "content": "Tell me about the sea"}])
    return client.runs.stream(thread.id, assistant_id=assistant.id)

async def time_out_and_close(client):
    async with client:
        try:
            async with asyncio.timeout(0.05):
                async for _ in await stream_of(client):
                    await asyncio.sleep(0.01)
        except TimeoutError:
            pass

async def time_out_and_go(client):
    stream = await stream_of(client)
    try:
        async with asyncio.timeout(0.05):
            async for _ in stream:
                await asyncio.sleep(0.01)
    except TimeoutError:
        pass

async def break_and_go(client):
    stream = await stream_of(client)
    async for _ in stream:
        break

async def break_and_collect(client):
    async for _ in await stream_of(client):
        break
    gc.collect()
    await asyncio.sleep(0.05)
    await client.close()

async def wait_for(client):
    async def read():
        async with await stream_of(client) as stream:
            async for _ in stream:
                pass
    try:
        await asyncio.wait_for(read(), 0.05)
    except TimeoutError:
        pass
    await client.close()

async def leave_tasks(client):
    async def read():
        async for _ in await stream_of(client):
            pass
    client.tasks = [asyncio.create_task(read()) for _ in range(3)]
    await asyncio.sleep(0.05)

async def fail_in_the_middle(client):
    try:
        async for _ in await stream_of(client):
            raise ValueError("mine")
    except ValueError:
        pass

# The server, here in the same process, may write to who has left; asyncio warns of that. Errors are told.
logging.getLogger("asyncio").setLevel(logging.ERROR)
engine = PacedEngine(GuideEngine(), 0.005, sleep=asyncio.sleep)
what, where = sys.argv[1:]
if where == "port":
    with Server(":memory:", engine) as server:
        client = dashnb.AsyncClient(server.base_url, api_key=server.api_key)
        asyncio.run(globals()[what](client))
        asyncio.run(client.close())
else:
    with LocalService(":memory:", engine) as service:
        client = dashnb.AsyncClient(BASE_URL, transport=service.async_transport())
        asyncio.run(globals()[what](client))
        asyncio.run(client.close())
del client
gc.collect()
print("ended")
"""
WAYS = [line.split()[2].partition("(")[0] for line in PROGRAM.splitlines() if line.startswith("async def ")][1:]


@pytest.mark.slow
@pytest.mark.parametrize("where", ["port", "process"])
@pytest.mark.parametrize("way", WAYS)
def test_a_program_that_leaves_a_stream_ends_without_a_word(way: str, where: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, way, where],
        capture_output=True,
        text=True,
        timeout=PROGRAM_SECONDS,
        check=False,
    )
    assert (ran.stdout, ran.stderr, ran.returncode) == ("ended\n", "", 0)
