"""The processes of a kernel: what they may use, what they are given, and how all of them are ended."""

from __future__ import annotations

import os
import signal
import site
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dashnb.local.plugins.memory import held

# What a kernel gets to know of the environment: where programs and packages are, and the language.
_ALLOWED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "PYTHONPATH", "LD_LIBRARY_PATH")
_MB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What the code of a thread may use.

    Attributes:
        seconds: Of one call, by the clock on the wall.
        cpu: Seconds of processor time of a process, over all calls.
        memory: Bytes of address space of a process, and of memory that all of them hold together.
        file: Bytes of one file.
        open_files: Of a process.
        processes: At once.
        output: Characters of text of one call that are kept.
        picture: Bytes of one picture.
    """

    seconds: float = 30.0
    cpu: int = 600
    memory: int = 2048 * _MB
    file: int = 64 * _MB
    open_files: int = 256
    processes: int = 32
    output: int = 64_000
    picture: int = 4 * _MB


@dataclass(frozen=True, slots=True)
class Usage:
    """What a kernel uses.

    Attributes:
        processes: The living ones, that of the keeper included, each with the moment of its start.
        memory: Bytes that all of them hold, shared memory and files in memory included.
    """

    processes: dict[int, int]
    memory: int


def environment(given: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The environment of a kernel that lives in a folder.

    >>> kept = environment({"PATH": "/bin", "SECRET_KEY": "sk-1"}, Path("/tmp/kernel"))
    >>> kept["PATH"], kept["HOME"], "SECRET_KEY" in kept
    ('/bin', '/tmp/kernel/home', False)
    """
    home = str(folder / "home")
    kept = {name: given[name] for name in _ALLOWED if name in given}
    if site.ENABLE_USER_SITE:
        kept["PYTHONUSERBASE"] = site.getuserbase()  # it may be where the kernel's packages are
    return kept | {
        "HOME": home,
        "IPYTHONDIR": home,
        "JUPYTER_CONFIG_DIR": home,
        "JUPYTER_PLATFORM_DIRS": "1",
        "MPLCONFIGDIR": home,
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "TMPDIR": str(folder / "tmp"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        # Each thread of numpy's libraries reserves address space, of which there is a limit.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
    }


def usage(root: int, known: Mapping[int, int] | None = None, *, folder: Path | None = None) -> Usage:
    """The processes below a kernel's keeper and those of their sessions; without ``/proc`` just itself.

    Args:
        root: The keeper's process.
        known: Processes seen before, which are still its own when the keeper's process is gone.
        folder: Where they keep files; what is memory of it counts, see `held`.
    """
    own = living(root, known)
    return Usage(own, held(own, folder) if sys.platform.startswith("linux") else 0)


def living(root: int, known: Mapping[int, int] | None = None) -> dict[int, int]:
    """The processes of a `usage`, each with the moment of its start."""
    if not sys.platform.startswith("linux"):
        return {root: 0}
    known = known or {}
    parents: dict[int, int] = {}
    sessions: dict[int, int] = {}
    starts: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb") as file:
                # The name, in brackets, may hold anything.
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue  # ended meanwhile
        if len(fields) < 22 or fields[0] in (b"Z", b"X"):
            continue
        pid = int(entry)
        parents[pid], sessions[pid], starts[pid] = int(fields[1]), int(fields[3]), int(fields[19])
    # A number may belong to another process by now; that of a session is not given again while it has members.
    own = {root, *(pid for pid, start in known.items() if starts.get(pid, start) == start)}
    found = {pid for pid, session in sessions.items() if pid in own or session in own}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return {pid: starts[pid] for pid in found}


def living_in(folder: Path) -> dict[int, int]:
    """The processes that were given the `environment` of a folder, each with the moment of its start."""
    if not sys.platform.startswith("linux"):
        return {}
    mark = b"\0TMPDIR=" + os.fsencode(folder / "tmp") + b"\0"
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError, ValueError), open(f"/proc/{entry}/environ", "rb") as file:
                if mark in b"\0" + file.read() + b"\0":
                    stat = Path(f"/proc/{entry}/stat").read_bytes()
                    found[int(entry)] = int(stat.rpartition(b")")[2].split()[19])
    return found


def end_all(root: int, known: Mapping[int, int] | None = None, *, seconds: float = 5.0) -> None:
    """Kill a kernel's keeper and all below it, however fast they multiply; but never the process that asks.

    All are stopped first, so that none makes another while one is killed; the keeper goes last, because
    orphans come to it.
    """
    until = time.monotonic() + seconds
    stopped: set[int] = set()
    quiet = 0
    while time.monotonic() < until and quiet < 4:
        new = living(root, known).keys() - stopped - {os.getpid()}
        for pid in new:
            _send(pid, signal.SIGSTOP)
        stopped |= new
        # A process that is just being made comes to be even after its parent was told to stop.
        quiet = 0 if new else quiet + 1
        if quiet and stopped:
            time.sleep(0.02)
    for pid in sorted(stopped, key=lambda pid: pid == root):
        _send(pid, signal.SIGKILL)
    if not sys.platform.startswith("linux"):
        with suppress(OSError):
            os.killpg(root, signal.SIGKILL)


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(OSError):
        os.kill(pid, number)
