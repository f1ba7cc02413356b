"""What processes hold of the machine's memory: their own, what they share, and files that are memory.

A file made with ``memfd_create``, or on a tmpfs such as ``/dev/shm``, takes memory although it belongs to no
process's address space. Here it counts as long as one of the processes has it open, and everything on a
``/dev/shm`` that the processes have to themselves. Source: proc(5), tmpfs(5).
"""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

_EXACT_FROM = 128 << 20  # bytes; to count shared pages once takes longer, and is worth it only then
_BLOCK = 512  # bytes of st_blocks
_MOST_FILES = 10_000
_MEMORY_TYPES = ("tmpfs", "ramfs", "hugetlbfs")
_SHM = "dev/shm"


def held(pids: Iterable[int], folder: Path | None = None) -> int:
    """Bytes that processes hold together; 0 for those that have ended or that nobody may look at.

    Args:
        pids: The processes.
        folder: Where they keep files; counted if it is on a file system that is memory.
    """
    alive = list(pids)
    own, shared = _sum(_resident(pid) for pid in alive)
    if own + shared > _EXACT_FROM and len(alive) > 1:
        own, shared = _sum(_proportional(pid) or _resident(pid) for pid in alive)
    # What is mapped and open as a file is one and the same memory.
    return own + max(shared, _in_files(alive, folder))


def _sum(parts: Iterable[tuple[int, int]]) -> tuple[int, int]:
    own = shared = 0
    for mine, ours in parts:
        own += mine
        shared += ours
    return own, shared


def _resident(pid: int) -> tuple[int, int]:
    """Bytes of a process's own memory and of shared memory that it maps; what others map too counts in full."""
    fields = _fields(f"/proc/{pid}/status")
    return fields.get("RssAnon", 0) + fields.get("VmSwap", 0), fields.get("RssShmem", 0)


def _proportional(pid: int) -> tuple[int, int] | None:
    """The same with each page divided by the number of those who have it; None where the system does not say."""
    fields = _fields(f"/proc/{pid}/smaps_rollup")
    if "Pss_Anon" not in fields:
        return None
    return fields["Pss_Anon"] + fields.get("SwapPss", 0), fields.get("Pss_Shmem", 0)


def _fields(file: str) -> dict[str, int]:
    """The lines of a file of /proc that tell kilobytes, in bytes."""
    found = {}
    with suppress(OSError), open(file, "rb") as lines:
        for line in lines:
            name, _, value = line.partition(b":")
            number, _, unit = value.strip().partition(b" ")
            if unit == b"kB" and number.isdigit():
                found[name.decode("ascii", "replace")] = int(number) << 10
    return found


def _in_files(pids: list[int], folder: Path | None) -> int:
    devices = _memory_devices("self") | {_memfd_device()}
    private: dict[int, int] = {}
    for pid in pids:
        private |= _private_shm(pid)
    devices -= private.keys()
    files: dict[tuple[int, int], int] = {}
    for found in _open_files(pids):
        if stat.S_ISREG(found.st_mode) and found.st_dev in devices:
            files[found.st_dev, found.st_ino] = found.st_blocks * _BLOCK
    if folder is not None:
        for found in _kept_files(folder, devices):
            files[found.st_dev, found.st_ino] = found.st_blocks * _BLOCK
    return sum(private.values()) + sum(files.values())


def _private_shm(pid: int) -> dict[int, int]:
    """The device of a process's own ``/dev/shm`` and the bytes in use there; nothing if it has the system's."""
    with suppress(OSError):
        device = os.stat(f"/proc/{pid}/root/{_SHM}").st_dev
        if device != _device(f"/{_SHM}") and device in _memory_devices(str(pid)):
            place = os.statvfs(f"/proc/{pid}/root/{_SHM}")
            return {device: (place.f_blocks - place.f_bfree) * place.f_frsize}
    return {}


def _open_files(pids: list[int]) -> Iterator[os.stat_result]:
    for pid in pids:
        with suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
            for entry in entries:
                with suppress(OSError):
                    yield os.stat(entry.path)


def _kept_files(folder: Path, devices: set[int]) -> Iterator[os.stat_result]:
    if _device(str(folder)) not in devices:
        return
    count = 0
    for place, _, names in os.walk(folder):
        for name in names:
            count += 1
            if count > _MOST_FILES:
                return
            with suppress(OSError):
                yield os.lstat(os.path.join(place, name))


def _memory_devices(process: str) -> set[int]:
    """The devices of the file systems that a process sees, and that are memory."""
    found = set()
    with suppress(OSError), open(f"/proc/{process}/mountinfo", "rb") as lines:
        for line in lines:
            before, _, after = line.partition(b" - ")
            if after.split(b" ", 1)[0].decode("ascii", "replace") in _MEMORY_TYPES:
                major, _, minor = before.split(b" ")[2].partition(b":")
                found.add(os.makedev(int(major), int(minor)))
    return found


@functools.cache
def _memfd_device() -> int:
    """The device of all files that are memory and have no name."""
    try:
        descriptor = os.memfd_create("dashnb")
    except (AttributeError, OSError):
        return -1
    try:
        return os.fstat(descriptor).st_dev
    finally:
        os.close(descriptor)


def _device(path: str) -> int:
    try:
        return os.stat(path).st_dev
    except OSError:
        return -1
