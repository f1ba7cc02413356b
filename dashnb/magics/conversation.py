"""What a notebook's magics keep between cells: the connection, the assistant, the thread, the ledger."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dashnb.protocol.lifecycle import is_final
from dashnb.protocol.objects import Assistant, Run, Thread
from dashnb.protocol.state import RunState
from dashnb.session.busy import Busy, is_left_behind
from dashnb.session.connection import Connection, open_client, plan
from dashnb.session.session import Session
from dashnb.settings import Settings

if TYPE_CHECKING:
    from dashnb.client.client import Client
    from dashnb.history.ledger import Ledger


class Conversation:
    """The current conversation of a notebook. Nothing is opened before it is needed.

    Attributes:
        settings: The settings it was made with.
        connection: Where it is connected, and why.
    """

    def __init__(self, settings: Settings, target: str | None = None) -> None:
        self.settings = settings
        self.connection: Connection = plan(settings, target)
        self.thread: Thread | None = None
        self.assistant: Assistant | str | None = None
        self._left: list[RunState] = []
        self._client: Client | None = None
        self._ledger: Ledger | None = None

    @property
    def client(self) -> Client:
        """The client, opened when first needed."""
        if self._client is None:
            self._client = open_client(self.connection, self.settings)
        return self._client

    @property
    def ledger(self) -> Ledger | None:
        """The ledger, opened when first needed; None if the settings switch it off."""
        path = self.settings.ledger_file
        if self._ledger is None and path is not None:
            from dashnb.history.ledger import Ledger

            self._ledger = Ledger(path)
        return self._ledger

    def session(
        self,
        *,
        assistant: Assistant | str | None = None,
        model: str | None = None,
        instructions: str | None = None,
        tools: Iterable[Any] = (),
    ) -> Session:
        """A session on the current thread. Its assistant is the one named, else the notebook's own."""
        return Session(
            assistant or self._own_assistant(),
            model=model,
            instructions=instructions,
            tools=tools,
            client=self.client,
            thread=self._own_thread(),
            ledger=self.ledger,
            busy=self._decide,
        )

    def watch(self, state: RunState) -> None:
        """Remember a run that this notebook begins, in case it is left behind unfinished."""
        self._left = [known for known in self._left if not is_final(known.status)]
        self._left.append(state)

    def begin(self) -> None:
        """Begin a new thread; the earlier one stays at the service."""
        self.thread = None

    def close(self) -> None:
        """Close the client and the ledger."""
        for opened in (self._client, self._ledger):
            if opened is not None:
                opened.close()
        self._client = self._ledger = None

    def _decide(self, active: Run) -> Busy:
        """A run of our own that waits for functions, or that nobody reads, makes room; no other one."""
        return "cancel" if is_left_behind(active, self._left) else "raise"

    def _own_assistant(self) -> Assistant | str:
        if self.assistant is None:
            self.assistant = self.client.assistants.create(model=self.settings.model, name="dashnb")
        return self.assistant

    def _own_thread(self) -> Thread:
        if self.thread is None:
            self.thread = self.client.threads.create()
        return self.thread
