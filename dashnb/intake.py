"""What other servers answer, unpacked step by step and counted: nothing is taken that is longer than its limit.

An answer of a few kilobytes may unpack to gigabytes, in one step where a whole piece is unpacked at once, and
a packed answer may be packed again. Here every layer gives out small pieces, and every layer is counted. All
of dashnb's requests ask for answers that are not packed; what comes packed all the same is taken if it is
packed as servers usually do it.

    response → bounded → the same response, its body unpacked and limited, whoever reads it and however
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx

UNPACKED = {"Accept-Encoding": "identity"}  # what a request says of its answer
_PIECE = 1 << 16  # bytes that are unpacked in one step
_MOST_LAYERS = 2  # one by the server, one by a proxy that does not look
_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}  # as zlib wants to have them
_EVENTS = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of an answer is taken.

    Attributes:
        answer: Bytes of a whole answer.
        stream: Bytes of a stream of events.
        seconds: For a whole answer to arrive, from its headers to its last byte; None for the time that the
            request gives each wait. A stream takes as long as it takes.
    """

    answer: int = 64 << 20
    stream: int = 256 << 20
    seconds: float | None = None


def bounded(
    response: httpx.Response, limits: Limits | None = None, *, clock: Callable[[], float] = time.monotonic
) -> httpx.Response:
    """The response itself, whose body is unpacked in pieces and ends with an error at its limit.

    >>> answer = bounded(httpx.Response(200, stream=httpx.ByteStream(b"x" * 9)), Limits(answer=8))
    >>> answer.read()
    Traceback (most recent call last):
    httpx.DecodingError: it is too large: more than 8 bytes

    To be called before anything of the body is read. The body then raises `httpx.DecodingError` if it is too
    large, or packed in a way that is not taken, and `httpx.ReadTimeout` if it takes too long.

    Args:
        response: A response that has just begun.
        limits: How much of it is taken.
        clock: Seconds that only grow.
    """
    limits = limits or Limits()
    is_stream = response.is_success and _EVENTS in response.headers.get("content-type", "").lower()
    most = limits.stream if is_stream else limits.answer
    encodings = response.headers.get_list("content-encoding", split_commas=True)
    until = None if is_stream else _until(response, limits, clock)
    meter = _Meter(encodings, most, response.headers.get("content-length", ""), until, clock)
    response.stream = _Body(response.stream, meter)
    if meter.is_packed:
        # What is read from here on is not packed any more.
        for name in ("content-encoding", "content-length"):
            response.headers.pop(name, None)
    return response


def hooks(limits: Limits | None = None) -> dict[str, list[Callable[[httpx.Response], None]]]:
    """What makes all responses of an `httpx.Client` `bounded`: its argument ``event_hooks``."""

    def begin(response: httpx.Response) -> None:
        bounded(response, limits)

    return {"response": [begin]}


def async_hooks(limits: Limits | None = None) -> dict[str, list[Callable[[httpx.Response], Awaitable[None]]]]:
    """The same as `hooks`, for `httpx.AsyncClient`."""

    async def begin(response: httpx.Response) -> None:
        bounded(response, limits)

    return {"response": [begin]}


class Unpacker:
    """Unpacks a body by its content encodings, as it comes, and counts what each layer gives out.

    >>> unpacker = Unpacker(["deflate"], most=100)
    >>> b"".join(unpacker.feed(zlib.compress(b"cat" * 20))) == b"cat" * 20
    True

    Args:
        encodings: The encodings in the order in which they were applied, as ``Content-Encoding`` has them.
        most: How many bytes a layer may give out.

    Raises:
        httpx.DecodingError: An encoding that is not taken, or too many of them.
    """

    def __init__(self, encodings: list[str], most: int) -> None:
        self._most = most
        self._taken = 0
        names = [name for name in (encoding.strip().lower() for encoding in encodings) if name not in ("", "identity")]
        if unknown := [name for name in names if name not in _WINDOWS]:
            raise httpx.DecodingError(f"it is packed as {unknown[0][:40]!r}, which was not asked for")
        if len(names) > _MOST_LAYERS:
            raise httpx.DecodingError(f"it is packed {len(names)} times")
        self._layers = [_Layer(name, most) for name in reversed(names)]

    @property
    def is_packed(self) -> bool:
        """Whether there is anything to unpack."""
        return bool(self._layers)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What a piece of the body unpacks to, in small pieces. Each must be taken before the next is made.

        Raises:
            httpx.DecodingError: The body is too large, or not packed as it says.
        """
        self._taken += len(data)
        _check(self._taken, self._most)
        pieces: Iterator[bytes] = iter((data,))
        for layer in self._layers:
            pieces = layer.unpack(pieces)
        return pieces

    def end(self) -> None:
        """The body is over.

        Raises:
            httpx.DecodingError: Something is missing at its end.
        """
        if self._taken and not all(layer.is_whole for layer in self._layers):
            raise httpx.DecodingError("its end is missing")


class _Layer:
    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._zlib = zlib.decompressobj(_WINDOWS[name])
        self._begun = False
        self._most = most
        self._given = 0

    @property
    def is_whole(self) -> bool:
        return self._zlib.eof

    def unpack(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for data in pieces:
            is_full = True
            while is_full:
                # Behind its end, a layer says nothing more, as browsers have it.
                piece = b"" if self._zlib.eof else self._step(data)
                data = self._zlib.unconsumed_tail
                self._given += len(piece)
                _check(self._given, self._most)
                # Empty ones too: who takes the pieces can let others work between two of them.
                yield piece
                is_full = len(piece) == _PIECE

    def _step(self, data: bytes) -> bytes:
        try:
            piece = self._zlib.decompress(data, _PIECE)
        except zlib.error as error:
            if self._begun or self._name != "deflate":
                raise httpx.DecodingError(f"it is not packed as it says: {error}") from None
            # Some servers leave out zlib's own header.
            self._zlib = zlib.decompressobj(-15)
            self._begun = True
            return self._step(data)
        self._begun = True
        return piece


def _check(size: int, most: int) -> None:
    if size > most:
        raise httpx.DecodingError(f"it is too large: more than {most:,} bytes")


def _until(response: httpx.Response, limits: Limits, clock: Callable[[], float]) -> float | None:
    seconds = limits.seconds
    if seconds is None:
        try:
            seconds = response.request.extensions.get("timeout", {}).get("read")
        except RuntimeError:  # a response without a request
            return None
    return None if seconds is None else clock() + seconds


class _Meter:
    """The unpacker of one body, made when the body is first read, so that its errors are raised there."""

    def __init__(
        self, encodings: list[str], most: int, length: str, until: float | None, clock: Callable[[], float]
    ) -> None:
        self.is_packed = any(name.strip().lower() not in ("", "identity") for name in encodings)
        self._encodings = encodings
        self._most = most
        self._length = length
        self._until = until
        self._clock = clock

    def begin(self) -> Unpacker:
        if self._length.isdecimal() and len(self._length) < 20:
            _check(int(self._length), self._most)
        return Unpacker(self._encodings, self._most)

    def look(self) -> None:
        if self._until is not None and self._clock() > self._until:
            raise httpx.ReadTimeout("the end of the answer did not come in time")


class _Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that is read in the way in which the one below it can be read."""

    def __init__(self, inner: httpx.SyncByteStream | httpx.AsyncByteStream, meter: _Meter) -> None:
        self._inner: Any = inner
        self._meter = meter

    def __iter__(self) -> Iterator[bytes]:
        unpacker = self._meter.begin()
        for data in self._inner:
            self._meter.look()
            for piece in unpacker.feed(data):
                if piece:
                    yield piece
        unpacker.end()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        unpacker = self._meter.begin()
        async for data in self._inner:
            self._meter.look()
            for piece in unpacker.feed(data):
                if piece:
                    yield piece
                if unpacker.is_packed:
                    await asyncio.sleep(0)  # unpacking a piece takes well below a millisecond; a whole body does not
        unpacker.end()

    def close(self) -> None:
        self._inner.close()

    async def aclose(self) -> None:
        await self._inner.aclose()
