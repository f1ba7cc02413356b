"""The file: JSON lines, and the exchanges that they add up to.

    {"dashnb_cassette": 1, "made_by": "dashnb 0.1.0", "base_url": "http://dashnb.local/api/v1"}
    {"n": 1, "request": {"method": "POST", "path": "/api/v1/threads", "headers": {…}, "json": {…}}}
    {"n": 1, "ms": 4.1, "response": {"status": 200, "headers": {…}}}
    {"n": 1, "ms": 4.2, "chunk": "…"}           or "base64" in place of "chunk", if it is not UTF-8
    {"n": 1, "ms": 4.3, "end": "whole"}         or "left": nobody read on
    {"n": 1, "ms": 4.3, "end": "broke", "error": "ReadError", "message": "…"}

Lines of exchanges under way at the same time are mixed; ``n`` tells them apart. ``ms`` counts from the
request. A program that is killed may leave half a line at the end, which is dropped.
"""

from __future__ import annotations

import base64
import math
import reprlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dashnb.errors import ConfigurationError, ProtocolError
from dashnb.files import read_file
from dashnb.foreign import read_json
from dashnb.protocol.operations import ENGINE_HEADER

MOST_BYTES = 1_000_000_000  # of a cassette
MARK = "dashnb_cassette"
VERSION = 1
# What a client gets for a cassette that does not say where it was recorded.
UNKNOWN_BASE_URL = "http://dashnb.cassette/api/v1"
# The headers of an answer that are kept. None of them says how bytes are packed: chunks are as they are read.
RESPONSE_HEADERS = ("content-type", "retry-after", "date", "x-request-id", ENGINE_HEADER)
# No part of an answer comes later; a replay at the recorded speed would wait for it.
_MOST_MS = 7 * 24 * 3600 * 1000
# What reading a line raises that no recorder wrote.
_BROKEN = (ValueError, KeyError, TypeError, AttributeError)


@dataclass(slots=True)
class Exchange:
    """A request and its answer.

    Attributes:
        number: Its number in the cassette, from 1.
        method: ``GET``, ``POST`` or ``DELETE``.
        path: The path with its query.
        body: The request's body: a JSON value, or text; None if there was none.
        began: The line of the file that it began in.
        ended: The line that it ended in; infinite if it has no end.
        status: The HTTP status; 0 if no answer came.
        headers: Those headers of the answer that matter.
        answered_ms: When the answer began, in milliseconds since the request.
        chunks: The answer as it came, each piece with its milliseconds since the request.
        end: ``whole``, ``broke`` or ``left``; ``""`` if the recording stops before.
        ended_ms: When it ended, in milliseconds since the request.
        error: What broke it: the name of an error of httpx.
        message: What that error said.
    """

    number: int
    method: str
    path: str
    body: Any = None
    began: int = 0
    ended: float = math.inf
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    answered_ms: float = 0.0
    chunks: list[tuple[float, bytes]] = field(default_factory=list)
    end: str = ""
    ended_ms: float = 0.0
    error: str = ""
    message: str = ""

    @property
    def is_stream(self) -> bool:
        """True if the answer is a stream of events."""
        return "text/event-stream" in self.headers.get("content-type", "")

    def take(self, line: dict[str, Any], number: int) -> None:
        """Add what a line of the file says.

        Raises:
            ValueError: It says what no recorder writes; so do KeyError, TypeError and AttributeError.
        """
        at = _milliseconds(line["ms"])
        if "response" in line:
            self.status, self.answered_ms = _status(line["response"]["status"]), at
            self.headers = dict(_headers(line["response"].get("headers", {})))
        elif "chunk" in line:
            self.chunks.append((at, line["chunk"].encode("utf-8")))
        elif "base64" in line:
            self.chunks.append((at, base64.b64decode(line["base64"], validate=True)))
        else:
            self.end, self.ended, self.ended_ms = str(line["end"]), number, at
            self.error, self.message = str(line.get("error", "")), str(line.get("message", ""))


@dataclass(frozen=True, slots=True)
class Cassette:
    """A cassette that was read.

    Attributes:
        path: The file.
        base_url: The service that it was recorded with.
        made_by: The program that recorded it, such as ``dashnb 0.1.0``.
        exchanges: What went over the wire, in the order of the requests.
    """

    path: Path
    base_url: str
    made_by: str
    exchanges: tuple[Exchange, ...]


def is_cassette(content: bytes) -> bool:
    """True if these are the bytes of a cassette, of any version.

    >>> is_cassette(b'{"dashnb_cassette": 1}'), is_cassette(b"event:done")
    (True, False)
    """
    try:
        first = read_json(content.partition(b"\n")[0])
    except ValueError:
        return False
    return isinstance(first, dict) and MARK in first


def read_cassette(path: Path | str) -> Cassette:
    r"""The cassette in a file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "demo.jsonl")
    ...     _ = file.write_text('{"dashnb_cassette": 1}\n{"n": 1, "request": {"method": "GET", "path": "/x"}}\n')
    ...     read_cassette(file).exchanges[0].path
    '/x'

    Args:
        path: The file.

    Raises:
        ConfigurationError: The file cannot be read.
        ProtocolError: It is no cassette, of a later version, or broken; the message names the line.
    """
    file = Path(path)
    try:
        content = read_file(file, MOST_BYTES)
    except OSError as error:
        raise ConfigurationError(f"The cassette {file} cannot be read: {error.strerror}.") from error
    header = _header(file, content)
    exchanges: dict[int, Exchange] = {}
    *lines, rest = content.split(b"\n")
    for number, line in enumerate([*lines, rest] if _is_whole(rest) else lines, 1):
        if number > 1 and line.strip():
            try:
                _take(exchanges, read_json(line), number)
            except _BROKEN as error:
                raise ProtocolError(f"The cassette {file} is broken in line {number}; record it again.") from error
    base_url, made_by = str(header.get("base_url") or UNKNOWN_BASE_URL), str(header.get("made_by", ""))
    return Cassette(file, base_url, made_by, tuple(exchanges.values()))


def _header(file: Path, content: bytes) -> dict[str, Any]:
    if not content.strip():
        raise ProtocolError(f"The cassette {file} is empty; record it again.")
    if not is_cassette(content):
        raise ProtocolError(
            f'{file} is no cassette: it does not begin with {{"{MARK}": {VERSION}, …}}.\n'
            "A recording of a single stream is shown by %run_stream --replay FILE or dashnb replay FILE."
        )
    header: dict[str, Any] = read_json(content.partition(b"\n")[0])
    version = header[MARK]
    if version != VERSION:
        raise ProtocolError(
            f"The cassette {file} is of version {reprlib.repr(version)}, and this dashnb reads version {VERSION}; "
            "update dashnb."
        )
    return header


def _is_whole(line: bytes) -> bool:
    try:
        read_json(line)
    except ValueError:
        return False
    return True


def _take(exchanges: dict[int, Exchange], line: dict[str, Any], number: int) -> None:
    n = line["n"]
    if type(n) is not int:
        raise ValueError
    if "request" not in line:
        exchanges[n].take(line, number)
        return
    sent = line["request"]
    method, path, body = sent["method"], sent["path"], sent.get("json", sent.get("text"))
    if n in exchanges or not isinstance(method, str) or not isinstance(path, str):
        raise ValueError
    exchanges[n] = Exchange(n, method, path, body, began=number)


def _milliseconds(value: Any) -> float:
    # In this order a number of hundreds of digits is compared, never converted.
    if type(value) not in (int, float) or not 0 <= value <= _MOST_MS:
        raise ValueError
    return float(value)


def _status(value: Any) -> int:
    if type(value) is not int or not 100 <= value <= 599:
        raise ValueError
    return value


def _headers(values: Any) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if not isinstance(value, str):
            raise ValueError
        if name.lower() in RESPONSE_HEADERS:
            yield name.lower(), "".join(char for char in value if char.isprintable())
