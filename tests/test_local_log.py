"""A reader of a run's log misses nothing and gets nothing twice, wherever it begins and whoever writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashnb.local.log import EventLog, entry
from dashnb.local.store import LoggedEvent, Store

LOOK_AGAIN = 0.001


@pytest.fixture
def store() -> Iterator[Store]:
    with closing(Store(":memory:")) as opened:
        add_run(opened)
        yield opened


def add_run(store: Store, status: str = "in_progress") -> None:
    with store.begin() as change:
        change.insert("runs", {"id": "run_1", "created_at": 1, "thread_id": "thread_1", "status": status})


def write(log: EventLog, *names: str, told: bool = True, status: str | None = None) -> None:
    """Append events as a run does; with ``told=False`` as another process does."""
    store: Store = log._store
    with store.begin() as change:
        if status is not None:
            change.update("runs", "run_1", status=status)
        events = change.append("run_1", [(name, "{}") for name in names])
    if told:
        log.tell(events)


async def collect(following: AsyncIterator[LoggedEvent | None]) -> list[int]:
    """The numbers of the events, with 0 for each sign of life."""
    return [0 if event is None else event.seq async for event in following]


def soon(work: Coroutine[Any, Any, Any]) -> Any:
    async def within() -> Any:
        return await asyncio.wait_for(work, 10)

    return asyncio.run(within())


def test_an_entry_is_compact_json_that_keeps_other_scripts() -> None:
    assert entry("thread.created", {"id": "thread_1", "metadata": {"名": "值"}}) == (
        "thread.created",
        '{"id":"thread_1","metadata":{"名":"值"}}',
    )


def test_half_a_character_is_kept_as_a_question_mark(store: Store) -> None:
    with store.begin() as change:
        change.append("run_1", [entry("thread.message.delta", {"text": "a\ud83db"})])
    assert store.events("run_1")[0].data == '{"text":"a?b"}'


@pytest.mark.parametrize("after", range(5))
def test_a_reader_begins_anywhere_and_stops_at_done(store: Store, after: int) -> None:
    log = EventLog(store)
    write(log, "a", "b", "c", "d", "done", "after outputs")
    assert soon(collect(log.follow("run_1", after=after, heartbeat=60))) == list(range(after + 1, 6))


def test_the_part_behind_the_outputs_is_a_stream_of_its_own(store: Store) -> None:
    log = EventLog(store, look_again=LOOK_AGAIN)
    write(log, "a", "done", "b", "done", status="completed")
    assert soon(collect(log.follow("run_1", heartbeat=5))) == [1, 2]
    assert soon(collect(log.follow("run_1", after=2, heartbeat=5))) == [3, 4]


@pytest.mark.parametrize("after", [2, 3, 99])
def test_a_reader_behind_the_end_of_a_run_gets_nothing_and_is_not_kept_waiting(store: Store, after: int) -> None:
    log = EventLog(store)
    write(log, "a", "done", status="completed")
    assert soon(collect(log.follow("run_1", after=after, heartbeat=60))) == []


def test_a_reader_of_a_run_that_does_not_exist_gets_nothing(store: Store) -> None:
    assert soon(collect(EventLog(store).follow("run_9", heartbeat=60))) == []


def test_a_reader_of_a_run_that_is_deleted_elsewhere_is_let_go(store: Store) -> None:
    log = EventLog(store, look_again=LOOK_AGAIN)
    write(log, "a")

    async def check() -> list[int]:
        reader = asyncio.create_task(collect(log.follow("run_1", heartbeat=5)))
        await asyncio.sleep(0)
        with store.begin() as change:
            change.delete_children("runs", thread_id="thread_1")
        return await reader

    assert soon(check()) == [1]


@settings(deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("write"), st.integers(1, 3), st.booleans()),  # how many at once, and told or not
            st.tuples(st.just("join"), st.integers(0, 6), st.none()),  # behind which number
            st.tuples(st.just("turns"), st.integers(1, 4), st.none()),  # how long the writer lets readers read
        ),
        max_size=14,
    )
)
def test_readers_that_join_at_any_moment_see_each_event_once(steps: list[tuple[str, int, bool | None]]) -> None:
    async def check() -> None:
        with closing(Store(":memory:")) as store:
            add_run(store)
            log = EventLog(store, look_again=LOOK_AGAIN)
            readers: list[tuple[int, asyncio.Task[list[int]]]] = []
            last = 0
            for what, number, told in [("join", 0, None), *steps, ("join", 1, None)]:
                if what == "write":
                    write(log, *["a"] * number, told=bool(told))
                    last += number
                elif what == "join":
                    after = min(number, last)
                    reader = collect(log.follow("run_1", after=after, heartbeat=60))
                    readers.append((after, asyncio.create_task(reader)))
                else:
                    for _ in range(number):
                        await asyncio.sleep(0)
            write(log, "done", status="completed")
            last += 1
            for after, task in readers:
                assert await task == list(range(after + 1, last + 1))
            assert log._readers == {}

    soon(check())


def test_an_event_of_ours_behind_one_of_another_process_is_not_told_before_it(store: Store) -> None:
    log = EventLog(store, look_again=60)  # a reader that only listened would skip the second event

    async def check() -> list[int]:
        reader = asyncio.create_task(collect(log.follow("run_1", heartbeat=60)))
        write(log, "a")
        for _ in range(3):
            await asyncio.sleep(0)
        write(log, "b", told=False)
        write(log, "done", status="completed")
        return await reader

    assert soon(check()) == [1, 2, 3]


def test_a_run_that_another_process_writes_is_followed_by_looking_again(tmp_path: Path) -> None:
    async def check(ours: EventLog, theirs: EventLog) -> None:
        following = ours.follow("run_1", heartbeat=60)
        async with aclosing(following) as events:
            for seq in range(1, 4):
                write(theirs, "a")
                event = await anext(events)
                assert event is not None
                assert event.seq == seq
            write(theirs, "done", status="completed")
            assert await collect(events) == [4]

    file = str(tmp_path / "a.db")
    with closing(Store(file)) as one, closing(Store(file)) as other:
        add_run(other)
        soon(check(EventLog(one, look_again=LOOK_AGAIN), EventLog(other)))


def test_silence_is_broken_by_signs_of_life_and_events_begin_it_anew(store: Store) -> None:
    log = EventLog(store, look_again=LOOK_AGAIN)

    async def check() -> None:
        following = log.follow("run_1", heartbeat=3 * LOOK_AGAIN)
        async with aclosing(following) as events:
            write(log, "a")
            assert [event and event.seq for event in [await anext(events) for _ in range(3)]] == [1, None, None]
            write(log, "b")
            assert [event and event.seq for event in [await anext(events) for _ in range(2)]] == [2, None]
            write(log, "done", status="completed")
            assert await collect(events) == [3]

    soon(check())


def test_a_talkative_run_needs_no_signs_of_life(store: Store) -> None:
    log = EventLog(store)

    async def check() -> list[int]:
        reader = asyncio.create_task(collect(log.follow("run_1", heartbeat=0.25)))
        for _ in range(20):
            await asyncio.sleep(0)
            write(log, "a")
        write(log, "done", status="completed")
        return await reader

    assert soon(check()) == list(range(1, 22))


def test_a_reader_that_leaves_is_forgotten(store: Store) -> None:
    log = EventLog(store)

    async def check() -> None:
        write(log, "a")
        following = log.follow("run_1", heartbeat=60)
        await anext(following)
        other = asyncio.create_task(collect(log.follow("run_1", heartbeat=60)))
        await asyncio.sleep(0)
        await following.aclose()
        assert len(log._readers["run_1"]) == 1
        other.cancel()
        await asyncio.wait([other])
        assert log._readers == {}

    soon(check())


def test_telling_a_run_that_nobody_reads_keeps_nothing(store: Store) -> None:
    log = EventLog(store)
    write(log, "a")
    assert log._readers == {}


def test_a_slow_reader_holds_up_nobody(store: Store) -> None:
    log = EventLog(store, look_again=LOOK_AGAIN)

    async def check() -> None:
        slow = log.follow("run_1", heartbeat=60)
        write(log, "a")
        assert await anext(slow) is not None
        quick = asyncio.create_task(collect(log.follow("run_1", heartbeat=60)))
        for _ in range(50):
            write(log, "a")
        write(log, "done", status="completed")
        assert await quick == list(range(1, 53))
        assert await collect(slow) == list(range(2, 53))

    soon(check())
