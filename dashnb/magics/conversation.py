"""What a notebook's magics keep between cells: the connection, the ledger, and the conversation they go on with."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, get_args

from dashnb.errors import APIError, NotFoundError
from dashnb.magics.conversations import (
    NAME,
    ORIGIN,
    Entry,
    Talk,
    as_new,
    checked_name,
    names_of,
    variant_of,
)
from dashnb.protocol.lifecycle import is_final
from dashnb.protocol.objects import Assistant, Message, Run, Thread
from dashnb.protocol.requests import PAGE_LIMIT
from dashnb.protocol.state import RunState
from dashnb.session.approval import Ask, Policy
from dashnb.session.busy import Busy, is_left_behind
from dashnb.session.connection import Connection, open_client, plan
from dashnb.session.recording import Recording
from dashnb.session.session import Session
from dashnb.settings import Settings

if TYPE_CHECKING:
    from dashnb.client.client import Client
    from dashnb.history.ledger import Ledger


class Conversation:
    """The current conversation of a notebook, and the others it may go on with. Nothing is opened before it is needed.

    Attributes:
        settings: The settings it was made with.
        connection: Where it is connected, and why.
        talk: The current conversation.
        talks: Those of this kernel that have a thread or had one, the current one too.
        names: Those with a name, of earlier kernels too.
        recording: What keeps their runs.
    """

    def __init__(self, settings: Settings, target: str | None = None) -> None:
        self.settings = settings
        self.connection: Connection = plan(settings, target)
        self.talk = Talk()
        self.talks: list[Talk] = [self.talk]
        self.names = names_of(settings, self.connection)
        self._client: Client | None = None
        self.recording = Recording(settings.ledger_file, said="Runs are not recorded.")

    @property
    def client(self) -> Client:
        """The client, opened when first needed."""
        if self._client is None:
            self._client = open_client(self.connection, self.settings)
        return self._client

    @property
    def ledger(self) -> Ledger | None:
        """The ledger, opened when first needed; None if the settings switch it off, or it cannot be used."""
        return self.recording.ledger

    @property
    def thread(self) -> Thread | None:
        """The current thread; None before the first question of a new conversation."""
        return self.talk.thread

    @thread.setter
    def thread(self, thread: Thread | None) -> None:
        if thread is None:
            self.begin()
        else:
            self.go_on(self.talk_of(thread))

    @property
    def assistant(self) -> Assistant | str | None:
        """Who answers in the current conversation, or the id; None before the first question."""
        return self.talk.assistant

    def session(
        self,
        *,
        assistant: Assistant | str | None = None,
        model: str | None = None,
        instructions: str | None = None,
        tools: Iterable[Any] = (),
        approve: Policy | Ask = "deny",
    ) -> Session:
        """A session on the current thread. Its assistant is the one named, else the conversation's own."""
        return Session(
            assistant or self._own_assistant(),
            model=model,
            instructions=instructions,
            tools=tools,
            client=self.client,
            thread=self._own_thread(),
            ledger=self.recording,
            busy=self._decide,
            approve=approve,
        )

    def watch(self, state: RunState) -> None:
        """Remember a run that this notebook begins, in case it is left behind unfinished."""
        talk = self.talk
        talk.left = [known for known in talk.left if not is_final(known.status)]
        talk.left.append(state)

    # --- which one -------------------------------------------------------------------------

    def begin(self, name: str = "") -> None:
        """Begin a new conversation; the earlier one stays. One with a name gets its thread at once.

        Raises:
            UsageError: The name is another one's, or cannot be one.
        """
        talk = Talk(assistant=self.talk.assistant)
        if name:
            talk.name = checked_name(name, self.names.entries())
            talk.thread = self.client.threads.create(metadata={NAME: name})
        self.go_on(talk)

    def go_on(self, talk: Talk) -> None:
        """Go on with a conversation."""
        if all(talk is not known for known in self.talks):
            self.talks.append(talk)
        self.talk = talk
        self.remember(talk)

    def talk_of(self, thread: Thread) -> Talk:
        """The conversation on a thread: the known one, else a new one with the current assistant."""
        for talk in self.talks:
            if talk.thread and talk.thread.id == thread.id:
                talk.thread = thread
                return talk
        names = self.names.entries()
        for entry in names.values():
            if entry.thread_id == thread.id:
                busy: Busy | None = next((way for way in get_args(Busy) if way == entry.busy), None)
                return Talk(thread, entry.assistant_id or self.talk.assistant, entry.name, busy)
        # A name from another machine, or whose file is lost, is in the thread's metadata.
        named = thread.metadata.get(NAME)
        is_free = isinstance(named, str) and named not in names
        return Talk(thread, self.talk.assistant, str(named) if is_free else "")

    def remember(self, talk: Talk) -> None:
        """Keep what has a name, so that the next kernel knows it."""
        if talk.name and talk.thread:
            who = talk.assistant
            assistant_id = who if isinstance(who, str) else who.id if who else ""
            self.names.keep(Entry(talk.name, talk.thread.id, assistant_id, talk.busy or ""))

    # --- from one to the next --------------------------------------------------------------

    def messages(self) -> list[Message]:
        """All messages of the current thread, oldest first."""
        thread = self.talk.thread
        return list(self.client.messages.iter(thread.id, order="asc", limit=PAGE_LIMIT)) if thread else []

    def fork(self, messages: list[Message], name: str = "") -> Talk:
        """Go on with a new thread that has these messages; return the conversation before.

        Raises:
            UsageError: The name is another one's, or cannot be one.
        """
        earlier = self.talk
        metadata = {ORIGIN: earlier.thread.id} if earlier.thread else {}
        if name:
            metadata[NAME] = checked_name(name, self.names.entries())
        thread = self.client.threads.create(messages=as_new(messages), metadata=metadata)
        self.go_on(Talk(thread, earlier.assistant, name, earlier.busy))
        return earlier

    def replace(self, earlier: Talk) -> None:
        """Let the current conversation take the name of the earlier one, which becomes a variant of it."""
        if earlier.name:
            name, variant = earlier.name, variant_of(earlier.name, self.names.entries())
            self._rename(earlier, variant)
            self._rename(self.talk, name)

    def close(self) -> None:
        """Close the client and the ledger."""
        self.recording.close()
        if self._client is not None:
            self._client.close()
            self._client = None

    def _rename(self, talk: Talk, name: str) -> None:
        talk.name = name
        self.remember(talk)
        if talk.thread:
            # What finds a name again is kept here; a service that refuses this takes nothing away.
            with suppress(APIError):
                talk.thread = self.client.threads.update(talk.thread.id, metadata={**talk.thread.metadata, NAME: name})

    def _decide(self, active: Run) -> Busy:
        """A run of our own that waits for functions, or that nobody reads, makes room; else as it was said."""
        return "cancel" if is_left_behind(active, self.talk.left) else self.talk.busy or "raise"

    def _own_assistant(self) -> Assistant | str:
        talk = self.talk
        if isinstance(talk.assistant, str):
            with suppress(NotFoundError):
                talk.assistant = self.client.assistants.retrieve(talk.assistant)
        if not isinstance(talk.assistant, Assistant):
            talk.assistant = self.client.assistants.create(model=self.settings.model, name="dashnb")
            self.remember(talk)
        return talk.assistant

    def _own_thread(self) -> Thread:
        if self.talk.thread is None:
            self.talk.thread = self.client.threads.create()
        return self.talk.thread
