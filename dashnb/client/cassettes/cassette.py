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
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dashnb.errors import ConfigurationError, ProtocolError

MARK = "dashnb_cassette"
VERSION = 1
# What a client gets for a cassette that does not say where it was recorded.
UNKNOWN_BASE_URL = "http://dashnb.cassette/api/v1"


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
        """Add what a line of the file says."""
        at = float(line["ms"])
        if "response" in line:
            self.status, self.answered_ms = int(line["response"]["status"]), at
            self.headers = {str(name): str(value) for name, value in line["response"].get("headers", {}).items()}
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
        first = json.loads(content.partition(b"\n")[0])
    except (ValueError, RecursionError):
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
    file = Path(path).expanduser()
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"The cassette {file} cannot be read: {error.strerror}.") from error
    header = _header(file, content)
    exchanges: dict[int, Exchange] = {}
    *lines, rest = content.split(b"\n")
    for number, line in enumerate([*lines, rest] if _is_whole(rest) else lines, 1):
        if number > 1 and line.strip():
            try:
                _take(exchanges, json.loads(line), number)
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
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
    header: dict[str, Any] = json.loads(content.partition(b"\n")[0])
    version = header[MARK]
    if version != VERSION:
        raise ProtocolError(
            f"The cassette {file} is of version {version!r}, and this dashnb reads version {VERSION}; update dashnb."
        )
    return header


def _is_whole(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _take(exchanges: dict[int, Exchange], line: dict[str, Any], number: int) -> None:
    if "request" not in line:
        exchanges[line["n"]].take(line, number)
        return
    sent = line["request"]
    body = sent.get("json", sent.get("text"))
    exchanges[line["n"]] = Exchange(int(line["n"]), str(sent["method"]), str(sent["path"]), body, began=number)
