"""Replaying: transports that answer from a cassette, with no server and no network.

Which exchange answers a request:

* The first one that was not played yet, if method, path with query, and body are the same. JSON is compared
  as values; ``[redacted]`` in the cassette stands for any text, and the keys of requests are not compared.
* Requests that were under way at the same time in the recording may come in any order.
* A GET may come less often than it was recorded, as when a run is looked at until it ends: what repeats an
  earlier GET is passed over.
* A GET may come more often: it is answered as the last time, unless something was written since.
* Anything else is a `CassetteMismatch`.
"""

from __future__ import annotations

import asyncio
import difflib
import json
import math
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import httpx

from dashnb.client.cassettes.cassette import Cassette, Exchange, read_cassette
from dashnb.client.cassettes.keyed import Keys, key_of, without_key
from dashnb.client.cassettes.redaction import Redactor
from dashnb.client.client import monotonic_ms
from dashnb.credentials import REDACTED
from dashnb.errors import CassetteMismatch, ConfigurationError
from dashnb.foreign import read_json
from dashnb.forks import heed

# How many lines of a difference are shown, and how wide.
MOST_LINES = 6
MOST_COLUMNS = 110
# How many lines are compared from the first difference on: the work grows with their square, or faster.
_COMPARED = 200
# Seconds that every clock can wait, whatever the speed: a year.
_LONGEST_WAIT = 365 * 86_400.0


class Player:
    """Finds the exchange that answers a request. Shared by threads.

    Args:
        cassette: What was recorded.
    """

    def __init__(self, cassette: Cassette) -> None:
        self.cassette = cassette
        self.keys = Keys()
        self._waiting = deque(cassette.exchanges)
        self._played: list[Exchange] = []
        self._read: set[str] = set()  # the paths of the GETs among them
        self._count = 0
        self._begin()
        heed(self, child=Player._begin)

    def _begin(self) -> None:
        self._lock = threading.Lock()

    def play(self, request: httpx.Request, content: bytes) -> Exchange:
        """The exchange whose answer the request gets.

        Raises:
            CassetteMismatch: There is none, or it has no answer.
        """
        came = Exchange(0, request.method, request.url.raw_path.decode("ascii"), _body(content))
        with self._lock:
            self._count += 1
            found = self._found(came)
            self.keys.give(key_of(found.body), key_of(came.body))
        if not found.status and found.end != "broke":
            raise CassetteMismatch(
                f"Request {found.number} of the cassette {self.cassette.path} has no answer: "
                f"the recording was stopped there.\n{self._remedy()}"
            )
        return found

    def stopped(self, exchange: Exchange) -> CassetteMismatch:
        """The exception for reading on where the recording did not."""
        return CassetteMismatch(
            f"The answer to request {exchange.number} of the cassette {self.cassette.path} is not whole: "
            f"when it was recorded, reading stopped here.\n{self._remedy()}"
        )

    def _found(self, came: Exchange) -> Exchange:
        for place, exchange in enumerate(self._possible()):
            if _is_same(exchange, came):
                # Repeats that were not asked for are past; what was under way at the same time is not.
                before = [self._waiting.popleft() for _ in range(place + 1)][:-1]
                self._waiting.extendleft(reversed([one for one in before if one.ended > exchange.began]))
                self._played.append(exchange)
                if exchange.method == "GET":
                    self._read.add(exchange.path)
                return exchange
        for exchange in reversed(self._played):
            if came.method != "GET" or exchange.method != "GET":
                break
            if _is_same(exchange, came):
                return exchange
        raise self._mismatch(came)

    def _possible(self) -> Iterator[Exchange]:
        """The exchanges that may be next, in the order of the recording."""
        until = math.inf
        for exchange in self._waiting:
            if exchange.began > until:
                return
            yield exchange
            if not self._is_repeat(exchange):
                until = min(until, exchange.ended)

    def _is_repeat(self, exchange: Exchange) -> bool:
        return exchange.method == "GET" and exchange.path in self._read

    def _mismatch(self, came: Exchange) -> CassetteMismatch:
        what = Redactor().text(f"{came.method} {came.path}")
        if not self._waiting:
            many = len(self.cassette.exchanges)
            return CassetteMismatch(
                f"The cassette {self.cassette.path} is at its end: it holds {many} request{'s' * (many != 1)}.\n"
                f"Request {self._count} came on top: {what}\n{self._remedy()}"
            )
        expected = next((one for one in self._waiting if not self._is_repeat(one)), self._waiting[0])
        return CassetteMismatch(
            "\n".join(
                (
                    f"Request {self._count} is not the one in the cassette {self.cassette.path}.",
                    *_difference(expected, came),
                    self._remedy(),
                )
            )
        )

    def _remedy(self) -> str:
        return f"Send what was recorded, or record again: dashnb.connect(…, record={str(self.cassette.path)!r})."


class Pace:
    """When the parts of an answer are due.

    Args:
        speed: How many times as fast as recorded; None for no waits at all.
        clock: Milliseconds that never go back.

    Raises:
        ConfigurationError: The speed is not above 0.
    """

    def __init__(self, speed: float | None, clock: Callable[[], float]) -> None:
        if speed is not None and not 0 < speed < math.inf:
            raise ConfigurationError(f"The speed must be a number above 0, got {speed!r}; 1 is as recorded.")
        self._speed = speed
        self._clock = clock

    def begin(self) -> float:
        """The time of a request, if it matters."""
        return 0.0 if self._speed is None else self._clock()

    def left(self, began: float, ms: float) -> float:
        """Seconds until something is due that came so many milliseconds behind its request."""
        left = 0.0 if self._speed is None else (ms / self._speed - (self._clock() - began)) / 1000
        return min(max(0.0, left), _LONGEST_WAIT)


class ReplayTransport(httpx.BaseTransport):
    """Answers from a cassette; needs no server, no network and no key.

    >>> import tempfile, dashnb
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = f"{folder}/demo.jsonl"
    ...     with dashnb.connect("local", database=":memory:", record=file) as client:
    ...         thread = client.threads.create()
    ...     replay = ReplayTransport(file)
    ...     with dashnb.Client(replay.base_url, transport=replay) as client:
    ...         client.threads.create() == thread
    True

    Args:
        path: The cassette.
        speed: None for as fast as possible, 1 for the time it took, N for N times as fast.
        sleep: How to let seconds pass.
        clock: Milliseconds that never go back.

    Raises:
        ConfigurationError: The file cannot be read, or the speed is not above 0.
        ProtocolError: The file is no cassette, of a later version, or broken.
        CassetteMismatch: (of requests) The cassette has no such request now.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        speed: float | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = monotonic_ms,
    ) -> None:
        self._pace = Pace(speed, clock)
        self._sleep = sleep
        self._player = Player(read_cassette(path))

    @property
    def base_url(self) -> str:
        """The base URL that the client has to have."""
        return self._player.cassette.base_url

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The recorded response."""
        began = self._pace.begin()
        exchange = self._player.play(request, request.read())
        self._wait(began, exchange.answered_ms if exchange.status else exchange.ended_ms)
        if not exchange.status:
            raise _failure(exchange)
        return httpx.Response(exchange.status, headers=_headers(exchange), stream=_Chunks(self._body(exchange, began)))

    def _body(self, exchange: Exchange, began: float) -> Generator[bytes, None, None]:
        for at, chunk in exchange.chunks:
            self._wait(began, at)
            yield self._player.keys.put(chunk)
        if exchange.end in ("", "left"):
            raise self._player.stopped(exchange)
        self._wait(began, exchange.ended_ms)
        if exchange.end == "broke":
            raise _failure(exchange)

    def _wait(self, began: float, ms: float) -> None:
        if seconds := self._pace.left(began, ms):
            self._sleep(seconds)


class AsyncReplayTransport(httpx.AsyncBaseTransport):
    """The same as `ReplayTransport`, for `AsyncClient`; ``sleep`` is awaited."""

    def __init__(
        self,
        path: Path | str,
        *,
        speed: float | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = monotonic_ms,
    ) -> None:
        self._pace = Pace(speed, clock)
        self._sleep = sleep
        self._player = Player(read_cassette(path))

    @property
    def base_url(self) -> str:
        """The base URL that the client has to have."""
        return self._player.cassette.base_url

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The recorded response."""
        began = self._pace.begin()
        exchange = self._player.play(request, await request.aread())
        await self._wait(began, exchange.answered_ms if exchange.status else exchange.ended_ms)
        if not exchange.status:
            raise _failure(exchange)
        body = _AsyncChunks(self._body(exchange, began))
        return httpx.Response(exchange.status, headers=_headers(exchange), stream=body)

    async def _body(self, exchange: Exchange, began: float) -> AsyncGenerator[bytes, None]:
        for at, chunk in exchange.chunks:
            await self._wait(began, at)
            yield self._player.keys.put(chunk)
        if exchange.end in ("", "left"):
            raise self._player.stopped(exchange)
        await self._wait(began, exchange.ended_ms)
        if exchange.end == "broke":
            raise _failure(exchange)

    async def _wait(self, began: float, ms: float) -> None:
        if seconds := self._pace.left(began, ms):
            await self._sleep(seconds)


class _Chunks(httpx.SyncByteStream):
    def __init__(self, chunks: Generator[bytes, None, None]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        self._chunks.close()


class _AsyncChunks(httpx.AsyncByteStream):
    def __init__(self, chunks: AsyncGenerator[bytes, None]) -> None:
        self._chunks = chunks

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks

    async def aclose(self) -> None:
        await self._chunks.aclose()


def _headers(exchange: Exchange) -> list[tuple[bytes, bytes]]:
    # As bytes: of texts, httpx takes those in ASCII only.
    return [(name.encode(), value.encode()) for name, value in exchange.headers.items()]


def _failure(exchange: Exchange) -> httpx.RequestError:
    """The error that broke the recorded connection; one of the same meaning if httpx has it no more."""
    kind = getattr(httpx, exchange.error, None)
    if not (isinstance(kind, type) and issubclass(kind, httpx.RequestError)):
        kind = httpx.ReadError
    return kind(exchange.message)


def _body(content: bytes) -> Any:
    text = content.decode("utf-8", "replace")
    try:
        return read_json(text) if text else None
    except ValueError:
        return text


def _is_same(recorded: Exchange, came: Exchange) -> bool:
    before, now = without_key(recorded.body), without_key(came.body)
    return recorded.method == came.method and _fits(recorded.path, came.path) and _fits(before, now)


def _fits(recorded: Any, came: Any) -> bool:
    """True if the values are equal, but for what was taken out of the recorded one."""
    pairs = [(recorded, came)]
    while pairs:  # not by recursion: a body may be nested deeper than calls can be
        old, new = pairs.pop()
        if isinstance(old, str) and REDACTED in old:
            if not _fits_text(old, new):
                return False
        elif isinstance(old, list) and isinstance(new, list):
            if len(old) != len(new):
                return False
            pairs += zip(old, new, strict=True)
        elif isinstance(old, dict) and isinstance(new, dict):
            names = {name for name in old if REDACTED not in name}
            others = [name for name in new if name not in names]
            if not names <= new.keys() or len(old) - len(names) != len(others):
                return False
            pairs += [(old[name], new[name]) for name in names]
            if not all(map(_fits_name, (name for name in old if name not in names), others)):
                return False
        # To Python, true is 1.
        elif isinstance(old, bool) is not isinstance(new, bool) or old != new:
            return False
    return True


def _fits_name(recorded: str, came: str) -> bool:
    """True if a name fits; of names that became the same, all but the first have a number behind them."""
    name, _, number = recorded.rpartition(" ")
    return _fits_text(recorded, came) or (number.isdecimal() and REDACTED in name and _fits_text(name, came))


def _fits_text(recorded: str, came: Any) -> bool:
    """True if what stands around the marks stands in the text that came, in the same order.

    The first place that fits will do for each piece, so nothing is tried twice, however many marks there are.
    """
    if recorded == REDACTED:
        return True
    head, *inside, tail = recorded.split(REDACTED)
    if not isinstance(came, str) or not (came.startswith(head) and came.endswith(tail)):
        return False
    at, end = len(head), len(came) - len(tail)
    for piece in inside:
        found = came.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return at <= end


def _difference(expected: Exchange, came: Exchange) -> Iterator[str]:
    old, new = (f"{one.method} {one.path}" for one in (expected, came))
    if not _fits(old, new):
        yield _line(f"Expected, as request {expected.number} of the cassette: {old}")
        yield _line(f"Came: {Redactor().text(new)}")
        return
    yield _line(f"It is {old}, as request {expected.number} of the cassette, with another body:")
    before, after = (_pretty(without_key(one.body)) for one in (expected, came))
    same = next((n for n, (left, right) in enumerate(zip(before, after, strict=False)) if left != right), None)
    same = min(len(before), len(after)) if same is None else same
    here, there = before[same : same + _COMPARED], after[same : same + _COMPARED]
    lines = [line for line in difflib.unified_diff(here, there, n=0, lineterm="") if not line.startswith("@@")][2:]
    more = len(lines) - MOST_LINES + max(len(before) - same - _COMPARED, len(after) - same - _COMPARED, 0)
    yield from map(_line, lines[:MOST_LINES])
    if more > 0:
        yield f"… and {more} more lines"


def _pretty(body: Any) -> list[str]:
    try:
        text = json.dumps(body, ensure_ascii=False, indent=2, sort_keys=True)
    except RecursionError:
        return ["(nested too deeply to be shown)"]
    return Redactor().text(text).splitlines()


def _line(text: str) -> str:
    return text if len(text) <= MOST_COLUMNS else f"{text[:MOST_COLUMNS]}…"
