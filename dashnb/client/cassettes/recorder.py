"""Recording: transports that write down what passes through them, and change nothing of it."""

from __future__ import annotations

import base64
import errno
import json
import os
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import httpx

from dashnb import __version__
from dashnb.client.cassettes.cassette import MARK, RESPONSE_HEADERS, VERSION, is_cassette
from dashnb.client.cassettes.keyed import Keys, key_of
from dashnb.client.cassettes.redaction import Redactor, Sieve
from dashnb.client.client import monotonic_ms
from dashnb.credentials import REDACTED
from dashnb.database import beginning
from dashnb.errors import ConfigurationError
from dashnb.foreign import read_json
from dashnb.forks import heed, leave
from dashnb.intake import UNPACKED, bounded
from dashnb.keys import Secret

# No other header is kept: keys and cookies travel in headers.
REQUEST_HEADERS = ("accept", "content-type")
# These say how bytes were packed that are handed on unpacked.
_PACKING = ("content-encoding", "content-length", "transfer-encoding")


class Tape:
    """The file that is written; each line is in it as soon as it is known.

    A file that takes no more lines ends there, which is said once: what passes through is not held up by it.

    Args:
        path: The file; an earlier cassette is replaced, any other file is left as it is.
        base_url: The service.
        redactor: Takes secrets out.
        clock: Milliseconds that never go back.

    Raises:
        ConfigurationError: The file cannot be written, or is something else than a cassette.
    """

    def __init__(self, path: Path | str, *, base_url: str, redactor: Redactor, clock: Callable[[], float]) -> None:
        self.path = Path(path).expanduser()
        self.redactor = redactor
        self.keys = Keys()
        self.clock = clock
        self._lock = threading.Lock()
        self._count = 0
        first = {MARK: VERSION, "made_by": f"dashnb {__version__}", "base_url": redactor.text(base_url)}
        try:
            _check_place(self.path)
            # Conversations are nobody else's business.
            self._file = open(self.path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600))  # noqa: SIM115 # as long as the tape
            try:
                self._file.write(_line(first))
                self._file.flush()
            except BaseException:
                _close(self._file)
                raise
        except OSError as error:
            raise ConfigurationError(f"The cassette {self.path} cannot be written: {error.strerror}.") from error
        heed(self, child=Tape._inherit)

    def _inherit(self) -> None:
        # The parent writes; lines of two processes would be of one exchange.
        self._lock = threading.Lock()
        if not self._file.closed:
            leave(self._file.fileno())

    def begin(self, request: httpx.Request, body: bytes) -> Take:
        """The recording of a request that is about to be sent, and of its answer."""
        path = request.url.raw_path.decode("ascii")
        headers = {name: request.headers[name] for name in REQUEST_HEADERS if name in request.headers}
        sent = {"method": request.method, "path": self.redactor.text(path), "headers": headers, **self._body(body)}
        # A number and its line are one step, so that numbers grow with the lines.
        with self._lock:
            self._count += 1
            self._write({"n": self._count, "request": sent})
            return Take(self, self._count)

    def write(self, line: dict[str, Any]) -> None:
        """Add a line; nothing, once the file is closed."""
        with self._lock:
            self._write(line)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            _close(self._file)

    def _body(self, body: bytes) -> dict[str, Any]:
        if not body:
            return {}
        with suppress(ValueError):
            self.keys.number(key_of(read_json(body)))
        text = self.redactor.text(self.keys.put(body).decode("utf-8", "replace"))
        try:
            return {"json": read_json(text, pairs=_named_apart)}
        except ValueError:
            return {"text": text}

    def _write(self, line: dict[str, Any]) -> None:
        if self._file.closed:
            return
        try:
            self._file.write(_line(line))
            self._file.flush()
        except (OSError, ValueError, RecursionError) as error:
            _close(self._file)
            reason = error.strerror if isinstance(error, OSError) else error
            warnings.warn(
                f"The cassette {self.path} ends here, as it cannot be written: {reason}.\n"
                "What is asked and answered goes on; make room, and record again.",
                RuntimeWarning,
                stacklevel=5,
            )


class Take:
    """One exchange while it is recorded."""

    def __init__(self, tape: Tape, number: int) -> None:
        self._tape = tape
        self._number = number
        self._began = tape.clock()
        self._sieve = Sieve(tape.redactor, by_line=False)
        self._over = False

    def answered(self, response: httpx.Response) -> None:
        """The answer begins."""
        clean = self._tape.redactor.text
        headers = {name: clean(response.headers[name]) for name in RESPONSE_HEADERS if name in response.headers}
        by_line = "text/event-stream" in headers.get("content-type", "").lower()
        self._sieve = Sieve(self._tape.redactor, by_line=by_line)
        self._write(self._ms(), response={"status": response.status_code, "headers": headers})

    def came(self, chunk: bytes) -> None:
        """A piece of the answer is here."""
        self._write_chunks(self._sieve.feed(self._ms(), self._tape.keys.put(chunk)))

    def ended(self) -> None:
        """The answer is complete."""
        self._end(end="whole")

    def broke(self, error: httpx.RequestError) -> None:
        """The connection broke, or was never there."""
        self._end(end="broke", error=type(error).__name__, message=self._tape.redactor.text(str(error)))

    def left(self) -> None:
        """Nobody reads on, if the answer has not ended before."""
        self._end(end="left")

    def _end(self, **how: str) -> None:
        if self._over:
            return
        self._over = True
        self._write_chunks(self._sieve.flush())
        self._write(self._ms(), **how)

    def _write_chunks(self, chunks: Iterable[tuple[float, bytes]]) -> None:
        for at, chunk in chunks:
            try:
                self._write(at, chunk=chunk.decode("utf-8"))
            except UnicodeDecodeError:
                self._write(at, base64=base64.b64encode(chunk).decode("ascii"))

    def _ms(self) -> float:
        return round(self._tape.clock() - self._began, 3)

    def _write(self, at: float, **what: Any) -> None:
        self._tape.write({"n": self._number, "ms": at, **what})


class RecordingTransport(httpx.BaseTransport):
    """Another transport, with everything that passes written to a cassette.

    >>> import tempfile, dashnb
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = f"{folder}/demo.jsonl"
    ...     inner = httpx.MockTransport(lambda request: httpx.Response(200, json={"id": "thread_1"}))
    ...     with dashnb.Client("http://x/api/v1", transport=RecordingTransport(inner, file)) as client:
    ...         thread = client.threads.create()
    ...     print(Path(file).read_text().splitlines()[1])
    {"n": 1, "request": {"method": "POST", "path": "/api/v1/threads", "headers": {"accept": "application/json, \
text/event-stream", "content-type": "application/json"}, "json": {}}}

    Closing it closes the file and the other transport.

    Args:
        inner: The transport that does the work.
        path: The file; an earlier cassette is replaced.
        base_url: The service, which a replay tells its client.
        secrets: Texts that must not be kept, such as the key; None is none.
        redact: Regular expressions of what else must not be kept.
        clock: Milliseconds that never go back.

    Raises:
        ConfigurationError: The file cannot be written, is something else than a cassette, or a regular
            expression is none.
    """

    def __init__(
        self,
        inner: httpx.BaseTransport,
        path: Path | str,
        *,
        base_url: str = "",
        secrets: Iterable[Secret | str | None] = (),
        redact: Iterable[str] = (),
        clock: Callable[[], float] = monotonic_ms,
    ) -> None:
        self._inner = inner
        self._tape = Tape(path, base_url=base_url, redactor=Redactor(secrets, redact), clock=clock)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The other transport's response, written down as it is read."""
        take = self._tape.begin(request, request.read())
        _ask_unpacked(request)
        try:
            response = bounded(self._inner.handle_request(request))
        except httpx.RequestError as error:
            take.broke(error)
            raise
        take.answered(response)
        return _handed_on(response, _Body(response, take))

    def close(self) -> None:
        """Close the other transport and the file."""
        try:
            self._inner.close()
        finally:
            self._tape.close()


class AsyncRecordingTransport(httpx.AsyncBaseTransport):
    """The same as `RecordingTransport`, for `AsyncClient`."""

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport,
        path: Path | str,
        *,
        base_url: str = "",
        secrets: Iterable[Secret | str | None] = (),
        redact: Iterable[str] = (),
        clock: Callable[[], float] = monotonic_ms,
    ) -> None:
        self._inner = inner
        self._tape = Tape(path, base_url=base_url, redactor=Redactor(secrets, redact), clock=clock)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The other transport's response, written down as it is read."""
        take = self._tape.begin(request, await request.aread())
        _ask_unpacked(request)
        try:
            response = bounded(await self._inner.handle_async_request(request))
        except httpx.RequestError as error:
            take.broke(error)
            raise
        take.answered(response)
        return _handed_on(response, _AsyncBody(response, take))

    async def aclose(self) -> None:
        """Close the other transport and the file."""
        try:
            await self._inner.aclose()
        finally:
            self._tape.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, response: httpx.Response, take: Take) -> None:
        self._response = response
        self._take = take

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._response.iter_bytes():
                self._take.came(chunk)
                yield chunk
        except httpx.RequestError as error:
            self._take.broke(error)
            raise
        self._take.ended()

    def close(self) -> None:
        try:
            self._take.left()
        finally:
            self._response.close()


class _AsyncBody(httpx.AsyncByteStream):
    def __init__(self, response: httpx.Response, take: Take) -> None:
        self._response = response
        self._take = take

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._response.aiter_bytes():
                self._take.came(chunk)
                yield chunk
        except httpx.RequestError as error:
            self._take.broke(error)
            raise
        self._take.ended()

    async def aclose(self) -> None:
        try:
            self._take.left()
        finally:
            await self._response.aclose()


def _ask_unpacked(request: httpx.Request) -> None:
    """In packed bytes, no secret would be found."""
    request.headers.update(UNPACKED)


def _handed_on(response: httpx.Response, body: httpx.SyncByteStream | httpx.AsyncByteStream) -> httpx.Response:
    headers = [(name, value) for name, value in response.headers.multi_items() if name.lower() not in _PACKING]
    return httpx.Response(response.status_code, headers=headers, stream=body, extensions=response.extensions)


def _named_apart(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A map in which names that were secret, and now are the same, do not take the place of each other."""
    named: dict[str, Any] = {}
    for name, value in pairs:
        named[f"{name} {len(named) + 1}" if name in named and REDACTED in name else name] = value
    return named


def _line(content: dict[str, Any]) -> bytes:
    # Half a surrogate pair, which UTF-8 cannot say, is written as JSON says it: \ud83d.
    return json.dumps(content, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def _close(file: IO[bytes]) -> None:
    # Closing tries once more to write what could not be written; the file is closed all the same.
    with suppress(OSError):
        file.close()


def _check_place(path: Path) -> None:
    if not path.exists():
        return
    if not path.is_file():
        kind = "a named pipe" if path.is_fifo() else "no file"
        raise ConfigurationError(f"{path} is {kind}; record to a file.")
    first = _first_line(path)
    if first and not is_cassette(first):
        raise ConfigurationError(f"{path} exists and is no cassette; it is left as it is. Record to another file.")


def _first_line(path: Path) -> bytes:
    """The first line of a file; nothing of one that this program is writing itself."""
    try:
        return beginning(path, 65536).partition(b"\n")[0]
    except OSError as error:
        if error.errno == errno.EBADF:
            return b""
        raise
