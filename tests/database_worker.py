"""Processes that work on one database and one ledger, as kernels do; `test_database_stress` tells them what to do.

Run as ``python database_worker.py SOCKET DATABASE LEDGER``, it forks a worker for each line of its standard input, so
that a worker that was killed is replaced at once. A worker does what it is told over the socket, line by line, and
says what it has done: ``kept THREAD RUN`` as soon as an answer is there, and ``done``.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import traceback
import warnings
from typing import Any

import dashnb
from dashnb.client.client import Client
from dashnb.history.ledger import Ledger
from dashnb.session.session import Session


class Worker:
    """Several clients and ledgers of one process, each with connections of its own."""

    def __init__(self, database: str, ledger: str) -> None:
        self._database = database
        self._file = ledger
        self._clients: list[Client] = []
        self._ledgers: list[Ledger] = []

    def open(self, _number: int) -> None:
        self._clients.append(dashnb.connect("local", database=self._database))
        self._ledgers.append(Ledger(self._file))

    def ask(self, number: int) -> str:
        client, ledger = self._clients[number % len(self._clients)], self._ledgers[number % len(self._ledgers)]
        with Session(client=client, ledger=ledger) as session:
            answer = session.ask(f"What is {number} + 1?")
        assert str(number + 1) in answer.text
        return f"kept {answer.thread_id} {answer.id}"

    def close(self, number: int) -> None:
        self._clients.pop(number % len(self._clients)).close()
        self._ledgers.pop(number % len(self._ledgers)).close()

    def read(self, number: int) -> None:
        self._ledgers[number % len(self._ledgers)].runs(limit=3)
        self._clients[number % len(self._clients)].assistants.list(limit=1)

    def do(self, commands: list[list[Any]], tell: Any) -> None:
        """Do one thing after the other, and tell each at once."""
        for name, number in commands:
            if said := getattr(self, name)(number):
                print(said, file=tell, flush=True)


def work(place: str, database: str, ledger: str) -> None:
    warnings.simplefilter("error")
    worker = Worker(database, ledger)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(place)
        with connection.makefile("r") as orders, connection.makefile("w") as tell:
            for line in orders:
                try:
                    worker.do(json.loads(line), tell)
                except BaseException:
                    print("failed", json.dumps(traceback.format_exc()), file=tell, flush=True)
                print("done", file=tell, flush=True)


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for _ in sys.stdin:
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            work(*sys.argv[1:])
            os._exit(0)


if __name__ == "__main__":
    main()
