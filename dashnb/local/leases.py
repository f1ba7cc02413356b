"""Who works on a run: one owner per service, known by its name and by signs of life in the database.

A run is an orphan when its owner is dead. On the same machine that is known at once, as the owner's
name tells its process; of an owner elsewhere it is believed once its lease has run out.
"""

from __future__ import annotations

import os
import platform
import uuid
from contextlib import suppress
from pathlib import Path

from dashnb.local.store import Store
from dashnb.local.writer import Clock

LEASE_MS = 15_000


class Leases:
    """The signs of life of one service, and those of the others.

    Args:
        store: The database.
        clock: Milliseconds since 1970.
        owner: The name of this service among the owners of runs.
        length: Milliseconds for which a sign of life is believed.
    """

    def __init__(self, store: Store, *, clock: Clock, owner: str | None = None, length: int = LEASE_MS) -> None:
        self.owner = owner or new_owner()
        self._store = store
        self._clock = clock
        self._length = length
        self._renewed: int | None = None
        self._looked: int | None = None
        self._lenient_until = 0

    def hold(self) -> None:
        """Give a sign of life, unless the last one is fresh: what comes next makes this service an owner."""
        now = self._clock()
        if self._renewed is None or not 0 <= now - self._renewed < self._length // 3:
            self.renew()

    def renew(self) -> None:
        """Give a sign of life."""
        now = self._clock()
        with self._store.begin() as change:
            if change.hold(self.owner, now + self._length):
                # The names of those that were killed.
                change.release(before=now - self._length)
        self._renewed = now

    def release(self) -> None:
        """Leave: this service owns no run any more."""
        if self._renewed is not None:
            self._renewed = None
            with self._store.begin() as change:
                change.release(owner=self.owner)

    def look(self) -> None:
        """Note that this service is awake; called again and again while it is."""
        now = self._clock()
        if self._overslept(now):
            self._lenient_until = now + self._length
        self._looked = now

    def is_alive(self, owner: str | None) -> bool:
        """Whether the owner of a run may still be working on it."""
        if owner is None or owner == self.owner:
            return owner is not None
        if is_dead(owner):
            return False
        now = self._clock()
        until = self._store.owned_until(owner)
        return (until is not None and now <= until) or now < self._lenient_until or self._overslept(now)

    def _overslept(self, now: int) -> bool:
        """A laptop that was shut suspends all owners alike: who slept too does not judge the others at once."""
        return self._looked is not None and now - self._looked > self._length


def new_owner() -> str:
    """A name that tells the machine, the process and the service.

    >>> is_dead(new_owner())
    False
    """
    return f"{_place()} {os.getpid()} {_started(os.getpid())} {uuid.uuid4()}"


def is_dead(owner: str) -> bool:
    """True if the owner's process is known not to run any more; a process of another machine is not known."""
    place, pid, started, _ = (owner.rsplit(" ", 3) + [""] * 3)[:4]
    if place != _place() or not pid.isdigit():
        return False
    if started:
        return _started(int(pid)) != started
    if os.name != "posix":
        return False  # asking would end it
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


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
