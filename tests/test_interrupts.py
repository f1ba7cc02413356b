"""Interrupts at every step of an exchange: nothing is lost, no thread is blocked, no function is called twice.

An interrupt comes at a place on the way to the service (before a request is sent, behind it before its answer,
at each piece of a stream), in a function, or between two lines of the program. A second one may follow.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import httpx
import pytest

from dashnb.client.client import Client
from dashnb.local.models.engine import CallPiece, Piece, Spent, TextPiece, Turn
from dashnb.local.service import BASE_URL, LocalService
from dashnb.protocol.lifecycle import is_final
from dashnb.protocol.state import RunState
from dashnb.session.session import Session
from port_support import KEY, Port
from scripted import numbered, ticking

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
QUESTION, NEXT = "Count, please.", "And now?"


class Counting:
    """Calls two functions, then answers; the next question it answers at once."""

    name = "counting"

    async def answer(self, turn: Turn) -> AsyncIterator[Piece]:
        # A run that was cancelled may have written something behind the question.
        if [said.text for said in turn.messages if said.role == "user"][-1] == NEXT:
            yield TextPiece("free")
        elif turn.rounds:
            for text in ("That ", "makes ", "three."):
                yield TextPiece(text)
        else:
            yield TextPiece("Let me ")
            yield TextPiece("see. ")
            for number in range(2):
                yield CallPiece(number, "count", json.dumps({"number": number}))
        yield Spent(1, 1)


class Steps:
    """Counts the steps of an exchange and interrupts some of them.

    Attributes:
        at: The steps that are interrupted.
        names: What each step was.
        whole: How many steps the question had; the others are those of the next one.
    """

    def __init__(self, *at: int, raised: Callable[[], BaseException] = KeyboardInterrupt) -> None:
        self.names: list[str] = []
        self.whole = 0
        self.at = at
        self._raised = raised

    def step(self, name: str) -> None:
        self.names.append(name)
        if len(self.names) - 1 in self.at:
            raise self._raised()


class Body(httpx.SyncByteStream):
    def __init__(self, body: Any, steps: Steps, name: str) -> None:
        self._body = body
        self._steps = steps
        self._name = name

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._body:
            self._steps.step(f"{self._name} in its answer")
            yield chunk
        self._steps.step(f"{self._name} at its end")

    def close(self) -> None:
        self._body.close()


class Way(httpx.BaseTransport):
    """The way to the service. A request that is interrupted may arrive all the same, at once or with the next one.

    Attributes:
        refused: Ends of paths that get 404.
        late: True to let what was interrupted before it was sent arrive with the request after the next one.
    """

    def __init__(self, inner: httpx.BaseTransport, steps: Steps, *, refused: tuple[str, ...] = ()) -> None:
        self.inner = inner
        self.steps = steps
        self.refused = refused
        self.late = False
        self.sent: list[str] = []
        self._held: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        name = f"{request.method} {request.url.path.rpartition('/')[2]}"
        self.sent.append(name)
        if name == "POST messages" or name == "POST runs":
            self._deliver()
        try:
            self.steps.step(f"{name} before it is sent")
        except BaseException:
            if self.late and request.method == "POST":
                self._held.append(request)
            raise
        if request.url.path.endswith(self.refused or ("nothing at all",)):
            return httpx.Response(404, json={"code": "NotFound", "message": "Not found!"})
        response = self.inner.handle_request(request)
        try:
            self.steps.step(f"{name} before its answer")
        except BaseException:
            response.close()
            raise
        body = Body(response.stream, self.steps, name)
        return httpx.Response(response.status_code, headers=response.headers, stream=body)

    def _deliver(self) -> None:
        for request in self._held:
            self.inner.handle_request(request).close()
        self._held.clear()

    def close(self) -> None:
        self.inner.close()


@dataclass
class Trial:
    """An exchange with interrupts, and what is left of it.

    Attributes:
        state: The state of the run that was interrupted.
        came: What came out of the question, None if it was answered.
        called: How often the function was called, by what it was called with.
        seen: The longest text that the reader saw.
    """

    steps: Steps
    refused: tuple[str, ...] = ()
    late: bool = False
    state: RunState = field(default_factory=RunState)
    came: BaseException | None = None
    called: Counter[int] = field(default_factory=Counter)
    seen: str = ""

    def run(self, ask: Callable[[Callable[[], None]], None] | None = None) -> Trial:
        """Ask, be interrupted, and ask on."""
        service = LocalService(":memory:", Counting(), plugins={}, ids=numbered(), clock=ticking())
        way = Way(service.transport(closes=True), self.steps, refused=self.refused)
        way.late = self.late
        ticks = itertools.count()

        def count(number: int) -> int:
            self.steps.step("the function begins")
            self.called[number] += 1
            self.steps.step("the function ends")
            return number

        with Client(BASE_URL, transport=way, clock=lambda: float(next(ticks)), sleep=_nap) as client:
            session = Session(client=client, ledger=None, tools=[_here(count)])
            try:
                if ask is None:
                    self._read(session)
                else:
                    ask(lambda: self._read(session))
            except BaseException as error:
                self.came = error
            self.state = session.runs[0] if session.runs else self.state
            self.steps.at, self.steps.whole = (), len(self.steps.names)
            way.late = False
            if self.refused:
                self._end(session)
            self._go_on(session)
            way.refused = ()
            assert all(is_final(run.status) for run in client.runs.iter(session.thread.id))
            said = Counter(one.text for one in client.messages.iter(session.thread.id) if one.role == "user")
            assert said[QUESTION] <= 1
            assert said[NEXT] == 1
        return self

    def _read(self, session: Session) -> None:
        for state in session.stream(QUESTION):
            self.seen = max(self.seen, state.text, key=len)
            self.steps.step("the reader has an event")

    def _end(self, session: Session) -> None:
        """Where nothing can be cancelled, a run that was left is taken up again."""
        if self.state.id and not is_final(self.state.status):
            *_, done = session.proceed(self.state)
            assert done.status == "completed"

    def _go_on(self, session: Session) -> None:
        assert session.ask(NEXT).text == "free"

    def check(self) -> None:
        """Nothing is lost, and nothing was done twice."""
        assert isinstance(self.came, (KeyboardInterrupt, type(None)))
        assert self.state.text.startswith(self.seen) or self.seen == ""
        assert max(self.called.values(), default=0) <= 1, self.called
        if self.came is None:
            assert (self.state.status, self.state.text) == ("completed", "Let me see. \n\nThat makes three.")
        elif not self.refused:
            assert self.state.status in ("cancelled", "abandoned", "completed")


def _here(function: Callable[..., Any]) -> Any:
    from dashnb.session.tools import tool

    return tool(parallel=False, timeout=None)(function)


def _nap(seconds: float) -> None:
    time.sleep(0.001)


def every_step() -> list[str]:
    """What an exchange without interrupts consists of."""
    steps = Trial(Steps()).run().steps
    return steps.names[: steps.whole]


def test_an_exchange_has_many_steps_and_all_of_them_can_be_interrupted() -> None:
    names = every_step()
    assert {"POST threads before it is sent", "POST runs before its answer", "the function begins"} < set(names)
    assert len(names) > 60


@pytest.mark.slow
@pytest.mark.parametrize("late", [False, True], ids=["", "late"])
def test_an_interrupt_at_any_step_loses_nothing_and_blocks_nothing(late: bool) -> None:
    names = every_step()
    for place in range(len(names)):
        trial = Trial(Steps(place), late=late).run()
        trial.check()
        assert isinstance(trial.came, KeyboardInterrupt)
        requested = names.index("POST runs before its answer")
        if place >= requested:
            assert (trial.state.status in ("cancelled", "completed"), trial.state.id) == (True, "run_1")
        elif late and place == requested - 1:  # the next question met it, and knew it, unless it was over by then
            assert (trial.state.status, trial.state.id) in (
                ("cancelled", "run_1"),
                ("completed", "run_1"),
                ("abandoned", ""),
            )
        else:
            assert (trial.state.status, trial.state.id) == ("abandoned", "")


@pytest.mark.slow
def test_three_hundred_seeded_interrupts_lose_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    rng, names = random.Random(20240327), every_step()
    ends: Counter[str] = Counter()
    places: Counter[str] = Counter()
    calls = 0
    for number in range(300):
        first = rng.randrange(len(names))
        at = (first, *([first + rng.randint(1, 6)] if number % 2 else []))
        refused = ("/cancel",) if number % 5 == 4 else ()
        trial = Trial(Steps(*at), refused=refused, late=number % 3 == 0).run()
        trial.check()
        ends[f"{'answered' if trial.came is None else 'interrupted'}, {trial.state.status or 'nothing sent'}"] += 1
        places[names[first]] += 1
        calls += sum(trial.called.values())
    with capsys.disabled():
        print(f"\n300 interrupts at {len(places)} kinds of steps: {dict(ends)}; {calls} calls, none twice")
    assert sum(ends.values()) == 300
    assert not any(end.startswith("answered") for end in ends)
    assert len(places) > 12


# --- signals -------------------------------------------------------------------------------------


def interrupt_at_line(place: int, work: Callable[[], None]) -> int:
    """Do the work with SIGINT at a line of dashnb that is executed; returns how many lines there were.

    Args:
        place: The number of the line, among those that the main thread executes of session and client.
        work: What is interrupted.
    """
    lines = 0

    def trace(frame: FrameType, _event: str, _arg: object) -> Any:
        name = frame.f_code.co_filename
        return count if "/dashnb/session/" in name or "/dashnb/client/" in name else None

    def count(_frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal lines
        if event == "line":
            lines += 1
            if lines == place:
                signal.raise_signal(signal.SIGINT)
        return count

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return lines


@posix
@pytest.mark.slow
def test_a_signal_between_any_two_lines_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    lines = 0

    def measure(work: Callable[[], None]) -> None:
        nonlocal lines
        lines = interrupt_at_line(0, work)

    Trial(Steps()).run(measure).check()
    rng = random.Random(20240328)
    ends: Counter[str] = Counter()
    for _ in range(100):
        place = rng.randint(1, lines)
        trial = Trial(Steps()).run(lambda work, place=place: interrupt_at_line(place, work))
        trial.check()
        ends[trial.state.status] += 1
    with capsys.disabled():
        print(f"\n100 signals between {lines} lines: {dict(ends)}")
    assert ends["cancelled"] > 20


class Silent(Port):
    """A server that does what it is asked for, and has the asking process interrupted before it answers."""

    def __init__(self, *ends: str) -> None:
        super().__init__()
        self._ends = list(ends)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        is_meant = scope["method"] == "POST" and self._ends and scope["path"].endswith(self._ends[0])
        if not is_meant:
            await super().__call__(scope, receive, send)
            return
        self._ends.pop(0)

        async def interrupt(message: Any) -> None:
            if message["type"] == "http.response.start":
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                await left.wait()

        body = await receive()
        read = iter([body])

        async def listen() -> Any:
            return next(read, None) or await gone()

        async def gone() -> Any:
            message = await receive()
            left.set()
            return message

        left = asyncio.Event()
        answering = asyncio.ensure_future(super().__call__(scope, listen, interrupt))
        leaving = asyncio.ensure_future(gone())
        await asyncio.wait([leaving])
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)


@posix
@pytest.mark.slow
@pytest.mark.parametrize("ends", [
    ("/assistants",), ("/threads",), ("/messages",), ("/runs",), ("/submit_tool_outputs",),
    ("/runs", "/cancel"), ("/submit_tool_outputs", "/cancel"),
], ids=" ".join)  # fmt: skip
def test_a_signal_while_a_server_on_a_port_is_silent_blocks_nothing(ends: tuple[str, ...]) -> None:
    called: Counter[int] = Counter()

    def count(number: int) -> int:
        called[number] += 1
        return number

    with Silent(*ends).open() as port:
        port.add("one", Counting())
        with Client(f"{port.root}/one/api/v1", api_key=KEY, timeout=20) as client:
            session = Session(client=client, ledger=None, tools=[count])
            with pytest.raises(KeyboardInterrupt):
                session.ask(QUESTION)
            (state,) = session.runs
            stopped = ends[0] in ("/runs", "/submit_tool_outputs")
            ended = ("cancelled", "completed") if stopped and len(ends) == 1 else ("abandoned",)
            assert state.status in ended
            assert bool(state.id) is stopped
            assert session.ask(NEXT).text == "free"
            assert max(called.values(), default=0) <= 1
