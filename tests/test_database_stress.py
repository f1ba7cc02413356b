"""Processes that open, ask, close and are killed at random, on one database and one ledger: nothing is lost."""

from __future__ import annotations

import json
import os
import random
import selectors
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

WORKER = Path(__file__).with_name("database_worker.py")
PROCESSES, ROUNDS, MOST_OPEN, SEED = 4, 300, 3, 20260
KILLED, NEVER = 0.08, 99


class Worker:
    """The other end of a worker: a process, what it has open, and what it has told."""

    def __init__(self, number: int, listener: socket.socket, nursery: subprocess.Popen[str]) -> None:
        assert nursery.stdin is not None
        print(number, file=nursery.stdin, flush=True)
        self.socket, _ = listener.accept()
        self.socket.settimeout(60)
        self.pid, _, _ = struct.unpack("3i", self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        self.open = 0
        self._told = b""

    def begin(self, orders: list[tuple[str, int]]) -> None:
        self.socket.sendall(json.dumps(orders).encode() + b"\n")

    def hear(self) -> list[str] | None:
        """The whole lines that it has told since; None if it has ended."""
        try:
            more = self.socket.recv(65536)
        except ConnectionResetError:
            more = b""
        if not more:
            return None
        *lines, self._told = (self._told + more).split(b"\n")
        return [line.decode() for line in lines]

    def kill(self) -> list[str]:
        """End it where it is; what it had told before."""
        os.kill(self.pid, signal.SIGKILL)
        told = []
        while (lines := self.hear()) is not None:
            told += lines
        self.socket.close()
        return told


class Driver:
    """The workers, and what they have told to be kept.

    Attributes:
        kept: The thread and the run of each answer that somebody got.
        killed: How many workers were killed.
    """

    def __init__(self, listener: socket.socket, nursery: subprocess.Popen[str], chance: random.Random) -> None:
        self.kept: list[tuple[str, str]] = []
        self.killed = 0
        self._listener = listener
        self._nursery = nursery
        self._chance = chance
        self._workers = {number: Worker(number, listener, nursery) for number in range(PROCESSES)}

    def round(self) -> None:
        """Let every worker do something of its own at the same time; some are killed while they do."""
        patience: dict[int, int] = {}
        for number, worker in self._workers.items():
            worker.begin(self._orders(worker))
            # After so many answers, or before the first one; most are left to finish.
            patience[number] = self._chance.choice([0, 0, 1, 1, 2]) if self._chance.random() < KILLED else NEVER
        with selectors.DefaultSelector() as selector:
            for number, worker in self._workers.items():
                selector.register(worker.socket, selectors.EVENT_READ, number)
            busy = set(self._workers)
            while busy:
                for number in [number for number in busy if patience[number] <= 0]:
                    selector.unregister(self._workers[number].socket)
                    busy.discard(number)
                    self._replace(number)
                for key, _ in selector.select(60 if busy else 0):
                    told = self._workers[key.data].hear()
                    assert told is not None, "a worker has ended by itself"
                    patience[key.data] -= self._note(told)
                    if "done" in told:
                        selector.unregister(key.fileobj)
                        busy.discard(key.data)

    def close(self) -> None:
        """End all workers."""
        for worker in self._workers.values():
            self._note(worker.kill())

    def _orders(self, worker: Worker) -> list[tuple[str, int]]:
        orders = []
        for _ in range(self._chance.randint(1, 3)):
            possible = ["ask", "ask", "read"] if worker.open else []
            possible += ["open"] if worker.open < MOST_OPEN else []
            possible += ["close"] if worker.open else []
            name = self._chance.choice(possible)
            worker.open += {"open": 1, "close": -1}.get(name, 0)
            orders.append((name, self._chance.randrange(1000)))
        return orders

    def _replace(self, number: int) -> None:
        self._note(self._workers[number].kill())
        self._workers[number] = Worker(number, self._listener, self._nursery)
        self.killed += 1

    def _note(self, told: list[str]) -> int:
        """Remember the answers among what was told; how many they are."""
        before = len(self.kept)
        for line in told:
            what, _, rest = line.partition(" ")
            assert what != "failed", json.loads(rest)
            if what == "kept":
                thread, run = rest.split()
                self.kept.append((thread, run))
        return len(self.kept) - before


@contextmanager
def driven(folder: Path, database: Path, ledger: Path) -> Iterator[Driver]:
    environment = {**os.environ, "DASHNB_PACE": "0"}
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
        listener.listen(PROCESSES)
        listener.settimeout(60)
        command = [sys.executable, WORKER, folder / "socket", database, ledger]
        with subprocess.Popen(command, stdin=subprocess.PIPE, text=True, env=environment) as nursery:
            driver = Driver(listener, nursery, random.Random(SEED))
            try:
                yield driver
            finally:
                driver.close()
                assert nursery.stdin is not None
                nursery.stdin.close()


def found(file: Path, query: str) -> set[tuple[str, ...]]:
    with closing(sqlite3.connect(file)) as opened:
        assert opened.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return {tuple(row) for row in opened.execute(query)}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the system tells the process at the other end of a socket")
def test_of_processes_that_open_ask_close_and_are_killed_nothing_is_lost(tmp_path: Path) -> None:
    database, ledger = tmp_path / "assistant.db", tmp_path / "ledger.db"
    with driven(tmp_path, database, ledger) as driver:
        for _ in range(ROUNDS):
            driver.round()
    print(f"{len(driver.kept)} answers, {driver.killed} processes killed, seed {SEED}")
    kept = set(driver.kept)
    assert len(kept) == len(driver.kept) > ROUNDS
    assert driver.killed > 50
    assert kept <= found(database, "SELECT thread_id, id FROM runs WHERE status = 'completed'")
    assert {(thread,) for thread, _ in kept} <= found(database, "SELECT id FROM threads")
    said = found(database, "SELECT thread_id, json_extract(data, '$.role') FROM messages")
    assert {(thread, role) for thread, _ in kept for role in ("user", "assistant")} <= said
    assert kept <= found(ledger, "SELECT thread_id, id FROM runs WHERE status = 'completed'")
    assert {(run,) for _, run in kept} <= found(ledger, "SELECT run_id FROM messages WHERE role = 'assistant'")
