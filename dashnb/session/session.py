"""A conversation from Python: an assistant, a thread, a client, and functions that it may call."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from dashnb.client.calls import Call, create_run, list_messages, streamed
from dashnb.client.client import Client
from dashnb.errors import BadRequestError, ConflictError, DashnbError, InvalidArgument
from dashnb.protocol.objects import Assistant, Run, Thread
from dashnb.protocol.requests import PAGE_LIMIT, REQUEST_KEY
from dashnb.protocol.state import RunState
from dashnb.session.approval import Ask, Policy, by_policy
from dashnb.session.busy import Busy, Decide, is_left_behind, is_own, make_room
from dashnb.session.connection import connect, place_of
from dashnb.session.interrupts import held_back
from dashnb.session.recording import Recording
from dashnb.session.request import HURRY_SECONDS, new_key, say
from dashnb.session.runner import Streams, go_on, read, run
from dashnb.session.tools import FunctionTool, ToolLike, as_tools
from dashnb.settings import Settings

if TYPE_CHECKING:
    from dashnb.history.ledger import Ledger

DEFAULT_NAME = "dashnb"


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Session:
    """One conversation with one assistant.

    >>> import dashnb
    >>> with dashnb.Session(client=dashnb.connect("local", database=":memory:"), ledger=None) as session:
    ...     answer = session.ask("What is 999 × 998?")
    >>> "997002" in answer.text, answer.status
    (True, 'completed')

    Nothing is sent before the first question; assistant and thread are made then, unless given.

    Args:
        assistant: An assistant or its id; a new one is made from the next three if left out.
        model: The model; ``DASHNB_MODEL`` or ``qwen-max`` if left out. Overrides a given assistant's.
        instructions: The system prompt. Overrides a given assistant's.
        tools: Names of built-in tools, definitions, and Python functions.
        client: The client; one for `dashnb.connect` if left out, closed with the session.
        thread: A thread or its id, to go on with an earlier conversation.
        ledger: Where runs are recorded: a ledger, its file, or what several sessions share; the one of the
            settings if left out, None for none.
        clock: Milliseconds since 1970.
        busy: What to do when the thread's last run is still active: ``raise`` the service's refusal, ``wait``
            for the end of that run, or ``cancel`` it; or a function from that run to one of the three. A
            run of this session that was left waiting for functions is cancelled in any case.
        approve: Who decides about calls of tools that were made with ``approval="ask"``: ``auto`` approves and
            ``deny`` denies each, without asking; or a function from the call and its tool to a
            `dashnb.session.approval.Decision`, or to None, which leaves the run waiting for `proceed`.
        keys: Makes the key of each question, by which its run is found if no answer tells its id.

    Attributes:
        runs: The states of the runs of this session, in order.
    """

    def __init__(
        self,
        assistant: Assistant | str | None = None,
        *,
        model: str | None = None,
        instructions: str | None = None,
        tools: Iterable[ToolLike | FunctionTool] = (),
        client: Client | None = None,
        thread: Thread | str | None = None,
        ledger: Ledger | Path | str | Recording | Literal["settings"] | None = "settings",
        clock: Callable[[], int] = now_ms,
        busy: Busy | Decide = "raise",
        approve: Policy | Ask = "deny",
        keys: Callable[[], str] = new_key,
    ) -> None:
        if not callable(busy) and busy not in get_args(Busy):
            raise InvalidArgument(f"busy must be one of {', '.join(get_args(Busy))}, got {busy!r}.")
        if not callable(approve) and approve not in get_args(Policy):
            raise InvalidArgument(f"approve must be one of {', '.join(get_args(Policy))}, got {approve!r}.")
        self.runs: list[RunState] = []
        self._definitions, self._functions = as_tools(tools)
        self._assistant = assistant
        self._given = assistant is not None
        self._model = model
        self._instructions = instructions
        self._thread = thread
        self._client = client
        self._opened: Client | None = None
        self._records = not isinstance(ledger, Recording)
        self._recording = ledger if isinstance(ledger, Recording) else Recording(ledger)
        self._clock = clock
        self._busy = busy
        self._keys = keys
        self._ask = approve if callable(approve) else by_policy(approve)

    @property
    def client(self) -> Client:
        """The client, opened when first needed."""
        if self._client is None:
            self._client = self._opened = connect()
        return self._client

    @property
    def assistant(self) -> Assistant:
        """The assistant, made or retrieved when first needed."""
        if self._assistant is None:
            self._assistant = self.client.assistants.create(
                model=self._model or Settings.load().model,
                name=DEFAULT_NAME,
                instructions=self._instructions,
                tools=self._definitions,
            )
        elif isinstance(self._assistant, str):
            self._assistant = self.client.assistants.retrieve(self._assistant)
        return self._assistant

    @property
    def thread(self) -> Thread:
        """The thread, made or retrieved when first needed."""
        if self._thread is None:
            self._thread = self.client.threads.create()
        elif isinstance(self._thread, str):
            self._thread = self.client.threads.retrieve(self._thread)
        return self._thread

    @property
    def functions(self) -> tuple[FunctionTool, ...]:
        """The Python functions that the assistant may call."""
        return tuple(self._functions.values())

    def ask(self, text: str) -> RunState:
        """The finished run that answers a message: its text, steps, usage and times.

        Raises:
            RunError: The run ended, but not with ``completed``; ``error.state`` holds what arrived.
            StreamError: The stream broke; ``client.runs.recover(error.state)`` finishes the state.
            APIError: The service refused a request.
        """
        for _state in self.stream(text):
            pass
        return self.runs[-1]

    def stream(self, text: str) -> Generator[RunState, None, None]:
        """The state of the run that answers a message, after each of its events.

        It is the same object each time, so ``state.text`` grows. Leaving the loop cancels the run.

        >>> import dashnb
        >>> with dashnb.Session(client=dashnb.connect("local", database=":memory:"), ledger=None) as session:
        ...     lengths = [len(state.text) for state in session.stream("What is 2 + 3?")]
        >>> lengths == sorted(lengths) and lengths[-1] > 0
        True

        Raises: as `ask`.
        """
        return self._run(text)

    def run(self) -> Generator[RunState, None, None]:
        """The state of a new run on the thread as it stands, after each of its events; no message is added.

        Raises: as `ask`.
        """
        return self._run(None)

    def join(self, run_id: str) -> Generator[RunState, None, None]:
        """The state of a run of this thread that is under way, or over, from its first event on.

        Functions that it asks for are called. Leaving the loop lets it go on, unless functions were called.
        A service that cannot tell the events of earlier runs, as the cloud, tells the end only.

        >>> import dashnb
        >>> with dashnb.Session(client=dashnb.connect("local", database=":memory:"), ledger=None) as session:
        ...     answer = session.ask("What is 2 + 3?")
        ...     *_, again = session.join(answer.id)
        >>> again.text == answer.text
        True

        Raises: as `ask`; InvalidArgument if the session has no thread yet.
        """
        if self._thread is None:
            raise InvalidArgument("A session joins runs of its own thread: give it with Session(thread=…).")
        client, started, thread_id = self.client, self._clock(), self.thread.id
        state = RunState()
        self.runs.append(state)

        def record(state: RunState, engine: str) -> None:
            if state.id:
                self._record(state, self._question(state), engine, started)

        def begin(state: RunState) -> Streams:
            return read(client.runs.join(run_id, thread_id=thread_id, state=state))

        return run(client, begin, self._functions, state=state, record=record, ask=self._ask, is_mine=False)

    def proceed(self, waiting: RunState | Run | str) -> Generator[RunState, None, None]:
        """The state of a run that waits for functions, after each event with which it goes on.

        >>> import dashnb
        >>> from dashnb.session.approval import APPROVED
        >>> @dashnb.tool(approval="ask")
        ... def big_add(left: int, right: int) -> int:
        ...     return left + right
        >>> answers = iter([None, APPROVED])
        >>> client = dashnb.connect("local", database=":memory:")
        >>> ask = lambda call, tool: next(answers)
        >>> with dashnb.Session(client=client, tools=[big_add], ledger=None, approve=ask) as session:
        ...     waiting = session.ask("Add 87787 to 788988737")
        ...     left = waiting.status
        ...     *_, done = session.proceed(waiting)
        >>> left, done.status, done is waiting
        ('requires_action', 'completed', True)

        Args:
            waiting: The run, its state, or its id on the thread of this session.

        Raises: as `ask`; RunError if the run does not wait for functions.
        """
        client, started = self.client, self._clock()
        if isinstance(waiting, RunState):
            state = waiting
        else:
            run_id = waiting if isinstance(waiting, str) else waiting.id
            state = client.runs.load(run_id, thread_id=self.thread.id)
        if not any(state is known for known in self.runs):
            self.runs.append(state)

        def record(state: RunState, engine: str) -> None:
            self._record(state, self._question(state), engine, started)

        return go_on(client, self._functions, state=state, record=record, ask=self._ask)

    def _run(self, text: str | None) -> Generator[RunState, None, None]:
        client, started = self.client, self._clock()
        state, key = RunState(), self._keys()
        self.runs.append(state)
        said = text is None

        def record(state: RunState, engine: str) -> None:
            self._record(state, text or "", engine, started)

        def begin(state: RunState) -> Streams:
            nonlocal said
            if not said:
                say(client, text or "", thread_id=self.thread.id, key=key)
                said = True
            call = self._call(key)
            state.thread_id, state.request_key = self.thread.id, key
            yield from read(client.open(streamed(call), state=state))

        def free(refused: BadRequestError | ConflictError) -> None:
            freed = make_room(client, refused, self._decide, thread_id=self.thread.id)
            for left in self.runs:
                if left is not state and is_own(freed, left):
                    left.merge(freed)

        return run(client, begin, self._functions, state=state, record=record, ask=self._ask, make_room=free)

    def _decide(self, active: Run) -> Busy:
        if callable(self._busy):
            return self._busy(active)
        return "cancel" if is_left_behind(active, self.runs) else self._busy

    def _question(self, state: RunState) -> str:
        """What a run that somebody else began was asked: the newest message of the user before it."""
        began = (state.run.created_at if state.run else None) or 0
        try:
            messages = self.client.send(list_messages(state.thread_id, limit=PAGE_LIMIT).within(HURRY_SECONDS))
        except (DashnbError, KeyboardInterrupt):  # the run is over, or being left; its record does not wait
            return ""
        asked = (message for message in messages if message.role == "user" and (message.created_at or 0) <= began)
        return next((message.text for message in asked), "")

    def _call(self, key: str) -> Call[Run]:
        metadata = {REQUEST_KEY: key}
        if not self._given:
            return create_run(self.thread.id, assistant_id=self.assistant.id, metadata=metadata)
        # What this session asks of an assistant that it did not make goes with each run.
        return create_run(
            self.thread.id,
            assistant_id=self.assistant.id,
            model=self._model,
            instructions=self._instructions,
            tools=self._definitions or None,
            metadata=metadata,
        )

    def _record(self, state: RunState, prompt: str, engine: str, started: int) -> None:
        place = place_of(self.client.base_url)
        with held_back():
            self._recording.record(state, prompt=prompt, engine=engine, connection=place, recorded_at=started)

    def close(self) -> None:
        """Close what the session opened itself: its client and its ledger."""
        if self._records:
            self._recording.close()
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        thread = self._thread if isinstance(self._thread, str) else self._thread.id if self._thread else None
        return f"Session(thread={thread!r}, runs={len(self.runs)})"
