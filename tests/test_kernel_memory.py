"""The code interpreter's limit of memory: it counts what is memory, whatever it is called, and each page once."""

from __future__ import annotations

import asyncio
import json
import mmap
import os
import sys
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing import shared_memory
from pathlib import Path

import pytest

from dashnb.local.plugins import PluginError
from dashnb.local.plugins.code_interpreter import CodeInterpreter
from dashnb.local.plugins.memory import held
from dashnb.local.plugins.processes import Limits, usage

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
MB = 1 << 20
ZEROS = bytes(20 * MB)


def grown(before: int) -> int:
    """Megabytes that this process holds more than before."""
    return round((held([os.getpid()]) - before) / MB)


@pytest.fixture
def before() -> int:
    return held([os.getpid()])


def test_a_file_that_is_memory_counts_as_long_as_it_is_open(before: int) -> None:
    first, second = os.memfd_create("one"), os.memfd_create("two")
    again = os.dup(first)
    try:
        os.write(first, ZEROS)
        os.truncate(second, 500 * MB)  # takes nothing before it is written to
        assert 18 <= grown(before) <= 30
        with mmap.mmap(first, 20 * MB) as mapped:
            assert mapped[:: mmap.PAGESIZE].count(0) == 20 * MB // mmap.PAGESIZE
            assert 18 <= grown(before) <= 30
    finally:
        for descriptor in (first, second, again):
            os.close(descriptor)
    assert grown(before) < 10


def test_memory_that_is_mapped_counts_without_its_file(before: int) -> None:
    descriptor = os.memfd_create("one")
    os.truncate(descriptor, 20 * MB)
    with mmap.mmap(descriptor, 20 * MB) as mapped, mmap.mmap(-1, 20 * MB) as anonymous:
        os.close(descriptor)
        mapped[:] = anonymous[:] = ZEROS
        assert 36 <= grown(before) <= 50


def test_a_file_on_a_disk_is_no_memory(before: int, tmp_path: Path) -> None:
    if os.statvfs(tmp_path).f_fsid == os.statvfs("/dev/shm").f_fsid:
        pytest.skip("the temporary folder is memory itself")
    with (tmp_path / "file").open("w+b") as file:
        file.write(ZEROS)
        file.flush()
        assert grown(before) < 10


@pytest.fixture
def shm() -> Iterator[Path]:
    path = Path("/dev/shm") / f"dashnb-test-{os.getpid()}"
    path.mkdir()
    yield path
    for file in path.iterdir():
        file.unlink()
    path.rmdir()


def test_files_in_a_folder_that_is_memory_count_open_or_not(before: int, shm: Path) -> None:
    (shm / "closed").write_bytes(ZEROS)
    (shm / "link").symlink_to("closed")
    assert grown(before) < 10
    with_folder = held([os.getpid()], shm) - before
    assert 18 * MB <= with_folder <= 30 * MB
    with (shm / "closed").open("rb"):
        assert held([os.getpid()], shm) - before <= 30 * MB
        assert 18 <= grown(before) <= 30


def test_pages_that_forks_share_count_once() -> None:
    pages = bytearray(os.urandom(1) * (150 * MB))
    children = []
    out, into = os.pipe()
    try:
        alone = held([os.getpid()])
        for _ in range(4):
            pid = os.fork()
            if pid == 0:
                with suppress(BaseException):
                    os.close(into)
                    os.read(out, 1)
                os._exit(0)
            children.append(pid)
        together = held([os.getpid(), *children])
        assert alone > 150 * MB
        assert together < alone * 1.5
    finally:
        os.close(into)
        os.close(out)
        for pid in children:
            os.waitpid(pid, 0)
        del pages


def test_a_process_that_has_ended_holds_nothing() -> None:
    assert held([2**22 + 1]) == 0
    assert usage(2**22 + 1).memory == 0


def test_shared_memory_of_a_library_counts(before: int) -> None:
    made = shared_memory.SharedMemory(create=True, size=20 * MB)
    try:
        made.buf[:] = ZEROS
        assert 18 <= grown(before) <= 30
    finally:
        made.close()
        made.unlink()


# --- in the code interpreter ---------------------------------------------------------------------


def interpreted(*codes: str, memory: int = 900 * MB) -> list[str]:
    async def main() -> list[str]:
        plugin = CodeInterpreter(lambda: Path("/nowhere"), limits=Limits(memory=memory))
        said = []
        try:
            for code in codes:
                try:
                    said.append(
                        await plugin.call(json.dumps({"code": textwrap.dedent(code)}), {}, thread_id="thread_1")
                    )
                except PluginError as error:
                    said.append(f"{error.code}: {error}")
        finally:
            await plugin.aclose()
        return said

    return asyncio.run(main())


@pytest.mark.slow
@pytest.mark.parametrize(
    "code",
    [
        """
        import os, time
        files = [os.memfd_create("x") for _ in range(20)]
        for file in files:
            os.write(file, bytes(60 << 20))
        time.sleep(20)
        """,
        """
        import os, time
        for number in range(3):
            if os.fork() == 0:
                files = [os.memfd_create("x") for _ in range(6)]
                for file in files:
                    os.write(file, bytes(60 << 20))
                time.sleep(20)
                os._exit(0)
        time.sleep(20)
        """,
        """
        import mmap, os, time
        for number in range(5):
            if os.fork() == 0:
                held = mmap.mmap(-1, 250 << 20)
                for start in range(0, 250 << 20, 4096):
                    held[start] = 1
                time.sleep(20)
                os._exit(0)
        time.sleep(20)
        """,
    ],
    ids=["files", "files of forks", "mappings of forks"],
)
def test_memory_beside_the_address_space_is_limited_too(code: str) -> None:
    (said,) = interpreted(code)
    assert said.startswith("code_interpreter_memory: The code held more than the limit of 900 MB of memory")


@pytest.mark.slow
def test_shared_memory_of_code_is_its_own_counts_and_vanishes() -> None:
    listed = sorted(os.listdir("/dev/shm"))
    own, library, filled = interpreted(
        "import os\nprint(os.readlink('/proc/self/ns/mnt'), os.listdir('/dev/shm'))",
        """
        import multiprocessing
        from multiprocessing import shared_memory
        one = shared_memory.SharedMemory(create=True, size=1000)
        one.buf[:5] = b"hello"
        other = shared_memory.SharedMemory(name=one.name)
        print(bytes(other.buf[:5]))
        open("/dev/shm/left", "w").write("x")
        print(multiprocessing.Lock().acquire())
        """,
        """
        import time
        for number in range(7):
            with open(f"/dev/shm/{number}", "wb") as file:
                file.write(bytes(60 << 20))
        held = bytearray(450 << 20)
        time.sleep(20)
        """,
        memory=800 * MB,
    )
    namespace, _, inside = own.partition(" ")
    if namespace == os.readlink("/proc/self/ns/mnt"):
        pytest.skip("the system allows no user namespaces")
    assert inside == "[]"
    assert library.splitlines()[:2] == ["b'hello'", "True"]
    assert filled.startswith(("code_interpreter_memory", "Traceback"))
    assert sorted(os.listdir("/dev/shm")) == listed
