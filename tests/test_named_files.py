"""Whatever lies where a file is expected is read, or refused in a few lines: it never hangs, and is no traceback."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from dashnb import prices
from dashnb.client.cassettes import RecordingTransport, read_cassette
from dashnb.client.cassettes.runs import read_runs
from dashnb.errors import DashnbError
from dashnb.files import read_file
from dashnb.history import from_notebook
from dashnb.local.models.replay import read_recording
from dashnb.local.plugins.registry import read_registry, read_schema
from dashnb.settings import Settings

READERS: dict[str, Callable[[Path], object]] = {
    "a notebook": from_notebook,
    "a cassette": read_cassette,
    "the runs of a cassette": read_runs,
    "a recording": read_recording,
    "prices": prices.load,
    "settings": lambda path: Settings.load({}, file=path, find_key=None),
    "plugins": read_registry,
    "a schema": read_schema,
    "an old cassette": lambda path: RecordingTransport(httpx.MockTransport(str), path).close(),  # type: ignore[arg-type] # never asked
}
CONTENTS = {
    "nothing": b"",
    "zeros": b"\0" * 5000,
    "no text": b"\xff\xfe\xfa\x80" * 1000,
    "deep lists": b"[" * 200_000,
    "deep maps": b'{"a":' * 200_000,
    "deep TOML": b"a = " + b"[" * 100_000,
    "dotted TOML": b"a" + b".a" * 3000 + b" = 1",
    "a long number": b"9" * 100_000,
    "a long number in TOML": b"a = " + b"9" * 100_000,
    "a long number in hexadecimal": b"a = 0x" + b"f" * 100_000,
    "a list": b"[1, 2]",
    "a number": b"1e999",
    "half a character": b'"\\ud800"',
    "one long line": b"x" * 3_000_000,
    "packed": b"\x1f\x8b\x08\0\0\0\0\0\0\3\xed\xc1",
    "lines": b"\n" * 1_000_000,
}


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("reader", READERS)
def test_a_file_of_any_content_is_read_or_refused_in_a_few_lines(reader: str, content: str, tmp_path: Path) -> None:
    file = tmp_path / "given"
    file.write_bytes(CONTENTS[content])
    try:
        READERS[reader](file)
    except DashnbError as error:
        assert len(str(error).splitlines()) <= 3  # noqa: PT017 # what cannot be refused may be read
        assert len(str(error)) < 1000  # noqa: PT017


@pytest.mark.parametrize("reader", READERS)
def test_a_pipe_a_device_and_a_folder_are_refused_at_once(reader: str, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero"), tmp_path):
        with pytest.raises(DashnbError, match=r"pipe|device|folder|no file"):
            READERS[reader](path)


def test_a_name_that_none_can_have_is_an_error_of_the_file() -> None:
    for name in ("a\0b", "~nobody-of-this-name/x", "x" * 5000):
        with pytest.raises(OSError, match=r"no name of a file|too long|No such file|directory"):
            read_file(Path(name), 100)
