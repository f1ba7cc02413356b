"""Who works on a run: one owner per service, known by its name and by signs of life in the database.

A run is an orphan when its owner is dead. No clock is compared with another one: clocks are set, and
processes and whole machines stand still for a while.

* Another process of this machine lives as long as the system says so, however long it stands still.
* Of any other owner the signs of life are counted: it is taken for dead when the same one has been
  seen for a while, by the time that this service was itself awake. Until then a late one takes its runs back.
"""

from __future__ import annotations

import os
import platform
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dashnb.local.store import Store
from dashnb.local.writer import Clock

LEASE_MS = 60_000
# What one look adds at most to the time for which a sign of life has been seen: who slept has not watched.
LOOK_MS = 5_000
FORGET_MS = 86_400_000

# Milliseconds of a clock that nobody sets.
SteadyClock = Callable[[], float]


def steady_ms() -> float:
    """Milliseconds since some moment, on a clock that nobody sets and that only goes forward."""
    return time.monotonic() * 1000


@dataclass(slots=True)
class _Sign:
    """The last sign of life seen of an owner: when it was looked at last, and for how long it has been the last."""

    value: int
    looked: float
    unchanged: float = 0.0


class Leases:
    """The signs of life of one service, and those of the others.

    Args:
        store: The database.
        clock: Milliseconds since 1970.
        steady: Milliseconds of a clock that nobody sets.
        owner: The name of this service among the owners of runs.
        length: Milliseconds for which a sign of life is believed.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock,
        steady: SteadyClock = steady_ms,
        owner: str | None = None,
        length: int = LEASE_MS,
    ) -> None:
        self.owner = owner or new_owner()
        self._store = store
        self._clock = clock
        self._steady = steady
        self._length = length
        self._renewed: float | None = None
        self._last = 0
        self._signs: dict[str, _Sign] = {}

    def hold(self) -> None:
        """Give a sign of life, unless the last one is fresh: what comes next makes this service an owner."""
        if self._renewed is None or self._steady() - self._renewed >= LOOK_MS:
            self.renew()

    def renew(self) -> None:
        """Give a sign of life: a number that was not there before."""
        now = self._clock()
        self._last = max(now + self._length, self._last + 1)
        with self._store.begin() as change:
            if change.hold(self.owner, self._last):
                # The names of those that were killed long ago.
                silent = [owner for owner in change.silent_owners(before=now - FORGET_MS) if not _is_here(owner)]
                change.release(*silent)
        self._renewed = self._steady()

    def release(self) -> None:
        """Leave: this service owns no run any more."""
        if self._renewed is not None:
            self._renewed = None
            with self._store.begin() as change:
                change.release(self.owner)

    def is_alive(self, owner: str | None) -> bool:
        """Whether the owner of a run may still be working on it."""
        if owner is None or owner == self.owner:
            return owner is not None
        alive = is_running(owner)
        sign = None if alive is False else self._store.owned_until(owner)
        if sign is None:
            return False  # it is gone, or has left
        # A service of this process may be gone without a word; so only others are known by their process.
        return (alive is True and not _is_ours(owner)) or self._is_believed(owner, sign)

    def _is_believed(self, owner: str, value: int) -> bool:
        now = self._steady()
        sign = self._signs.get(owner)
        if sign is None or sign.value != value:
            self._signs[owner] = _Sign(value, now)
            return True
        sign.unchanged += min(now - sign.looked, LOOK_MS)
        sign.looked = now
        return sign.unchanged <= self._length


def new_owner() -> str:
    """A name that tells the machine, the process and the service.

    >>> is_running(new_owner())
    True
    """
    return f"{_place()} {os.getpid()} {_started(os.getpid())} {uuid.uuid4()}"


def is_running(owner: str) -> bool | None:
    """Whether the owner's process runs; None if that cannot be known, as for one of another machine."""
    if os.name != "posix" or not _is_here(owner):
        return None  # elsewhere than on POSIX, asking would end it
    _, pid, started, _ = _parts(owner)
    if started:
        return _started(int(pid)) == started
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass  # it is somebody else's
    return True


def _parts(owner: str) -> list[str]:
    return (owner.rsplit(" ", 3) + [""] * 3)[:4]


def _is_here(owner: str) -> bool:
    place, pid, *_ = _parts(owner)
    return place == _place() and pid.isascii() and pid.isdigit()


def _is_ours(owner: str) -> bool:
    return _parts(owner)[1] == str(os.getpid())


def _place() -> str:
    """Where the numbers of processes mean the same: a machine since its start, or a container on it."""
    parts = [platform.node().replace(" ", "-")]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return "/".join(parts)[:120]


def _started(pid: int) -> str:
    """When a process began, in the system's own count, as numbers are given again; ``""`` if nobody tells."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return ""
    return "" if state in "XZ" else fields[18]
