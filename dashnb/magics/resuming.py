"""After a restart of the kernel: which conversation a notebook had, and what became of it.

    FILE · THREAD · the notebook itself · the ledger → thread → its last run → shown again, recorded, gone on with

A thread that the service no longer has can be made again from what the notebook kept.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from dashnb.errors import APIError, InvalidArgument, NotFoundError, StoreError
from dashnb.history.notebook import Kept, from_notebook
from dashnb.magics.arguments import near
from dashnb.magics.conversations import NAME, ORIGIN, RUNS_READ, Talk, as_new, known_threads, ledger_runs
from dashnb.magics.names import find_thread
from dashnb.protocol.lifecycle import is_final
from dashnb.protocol.objects import Message, Run, Thread
from dashnb.protocol.requests import PAGE_LIMIT
from dashnb.protocol.state import ABANDONED, RunState
from dashnb.session.connection import place_of

if TYPE_CHECKING:
    from dashnb.magics.conversation import Conversation

SUFFIX = ".ipynb"
# How many threads are looked at for a name that no file knows.
THREADS_ASKED = 20


@dataclass(frozen=True, slots=True)
class Found:
    """The thread that a notebook had last, and where that is written.

    Attributes:
        thread_id: The thread.
        source: Where it is written, for a person.
        file: The notebook's file, if it was found there.
    """

    thread_id: str
    source: str
    file: Path | None = None


def notebook_file(variables: Mapping[str, Any], environ: Mapping[str, str]) -> Path | None:
    """The file of the notebook that a kernel works for, as its front end says; None if it does not.

    >>> notebook_file({}, {}) is None
    True

    Args:
        variables: The notebook's variables; VS Code sets one.
        environ: The environment; Jupyter servers set a variable of it.
    """
    for said in (variables.get("__vsc_ipynb_file__"), environ.get("JPY_SESSION_NAME")):
        if isinstance(said, str) and said.endswith(SUFFIX) and os.path.isfile(said):
            return Path(said)
    return None


def last_of_file(file: Path) -> Found:
    """The thread of the newest run that a notebook keeps.

    Raises:
        UsageError: It keeps none.
        InvalidArgument: The file cannot be read, or is no notebook.
    """
    threads = [str(run["thread_id"]) for run in from_notebook(file).runs() if run["thread_id"]]
    if not threads:
        raise UsageError(f"{file} keeps no run of an assistant; save the notebook after its first answer.")
    return Found(threads[-1], f"the notebook {file.name}", file)


def last_conversation(
    conversation: Conversation, variables: Mapping[str, Any], environ: Mapping[str, str] = os.environ
) -> Found:
    """The thread that this notebook had last, by its file, else the ledger's last one of this connection.

    Raises:
        UsageError: Neither knows one.
    """
    file = notebook_file(variables, environ)
    if file is not None:
        try:
            return last_of_file(file)
        except (UsageError, InvalidArgument):  # not saved yet, or saved by halves: the ledger knows as well
            pass
    runs = ledger_runs(conversation, limit=PAGE_LIMIT)
    if not runs:
        raise UsageError(
            "there is no earlier conversation: neither this notebook's file nor the ledger knows one here. "
            "Name it: %assistant resume FILE.ipynb, or a thread."
        )
    return Found(str(runs[-1]["thread_id"]), "the ledger's last run", file)


def take_up(conversation: Conversation, found: Found) -> Talk:
    """Make the conversation on a thread the current one, with the assistant that answered there last.

    Raises:
        NotFoundError: The service has no such thread; the message says what to do.
    """
    try:
        thread = conversation.client.threads.retrieve(found.thread_id)
    except NotFoundError as error:
        raise gone(conversation, found, error) from None
    talk = conversation.talk_of(thread)
    run = last_run(conversation, thread)
    # Another conversation's assistant is only what a new one begins with.
    if run and run.assistant_id and all(talk is not known for known in conversation.talks):
        talk.assistant = run.assistant_id
    conversation.go_on(talk)
    if run:
        # A run is recorded when reading it ends, so one that is there unfinished was left behind.
        kept = {row["id"]: row["status"] for row in ledger_runs(conversation, thread_id=thread.id)}
        if kept.get(run.id) in ("requires_action", ABANDONED):
            take_over(conversation, run, str(kept[run.id]))
    return talk


def take_over(conversation: Conversation, run: Run, status: str) -> None:
    """Treat a run as one that this notebook began, so that it makes room for the next question if nobody reads it.

    Args:
        conversation: The current one, on the thread of the run.
        run: The run.
        status: What it is to us: ``abandoned``, or its own status.
    """
    state = RunState()
    state.merge(run)
    if status == ABANDONED:
        state.end(ABANDONED)
    conversation.watch(state)


def last_run(conversation: Conversation, thread: Thread) -> Run | None:
    """The newest run of a thread, None if it has none."""
    page = conversation.client.runs.list(thread.id, limit=1, order="desc")
    return page[0] if len(page) else None


def gone(conversation: Conversation, found: Found, error: APIError) -> NotFoundError:
    """The error for a thread that the service does not have, with the next step."""
    place = place_of(conversation.connection.base_url)
    made = _made_at(conversation, found.thread_id)
    if made and made != place:
        remedy = f"It was made at {made}: %assistant connect {made}, then resume again."
    else:
        file = f'"{found.file}"' if found.file else "FILE.ipynb"
        remedy = f"Go on from what the notebook kept of it: %assistant resume --from-notebook {file}"
    return NotFoundError(
        f"The thread {found.thread_id} ({found.source}) is not at {place} any more.",
        status_code=error.status_code,
        code=error.code,
        request_id=error.request_id,
        remedy=remedy,
    )


def _made_at(conversation: Conversation, thread_id: str) -> str:
    ledger = conversation.ledger
    places: Sequence[object] = []
    with suppress(StoreError):  # it only tells more about another error
        places = ledger.runs(thread_id=thread_id, limit=1)["connection"] if ledger else []
    return str(places[-1] or "") if places else ""


# --- which one a word means ---------------------------------------------------------------------


def find(conversation: Conversation, variables: Mapping[str, Any], word: str) -> Talk:
    """Make the conversation that a word names the current one: a name, a thread's id, its beginning, or a variable.

    Raises:
        UsageError: There is none, or several.
        NotFoundError: The service has lost its thread; the message says what to do.
    """
    known, file = conversation.names.entries(), notebook_file(variables, os.environ)
    if word in known:
        return take_up(conversation, Found(known[word].thread_id, f"called {word!r}", file))
    if word.startswith("thread_") and variables.get(word) is None:
        return take_up(conversation, Found(_by_beginning(conversation, word) or word, "asked for", file))
    try:
        thread_id = find_thread(word, variables, conversation.client).id
    except NotFoundError as error:
        raise gone(conversation, Found(word, "asked for", file), error) from None
    except UsageError:
        thread_id = _by_metadata(conversation, word)
        if not thread_id:
            raise UsageError(f"there is no conversation {word!r}.{near(word, known)} See %assistant list.") from None
    return take_up(conversation, Found(thread_id, "asked for", file))


def _by_beginning(conversation: Conversation, word: str) -> str:
    """The one thread whose id begins with a word, as a list shortens it; ``""`` if none does."""
    start = word.rstrip("…")
    found = [thread_id for thread_id in known_threads(conversation) if thread_id.startswith(start)]
    if word in found:
        return word
    if len(found) > 1:
        raise UsageError(f"{len(found)} threads begin with {start}: give more of the id.")
    return found[0] if found else ""


def _by_metadata(conversation: Conversation, word: str) -> str:
    """The thread that has this name at the service, among the newest of the ledger; ``""`` if there is none."""
    runs = reversed(ledger_runs(conversation, limit=RUNS_READ))
    for thread_id in islice(dict.fromkeys(str(run["thread_id"]) for run in runs), THREADS_ASKED):
        with suppress(NotFoundError):
            if conversation.client.threads.retrieve(thread_id).metadata.get(NAME) == word:
                return thread_id
    return ""


# --- what is missing ---------------------------------------------------------------------------


def messages_of(conversation: Conversation, variables: Mapping[str, Any]) -> list[Message]:
    """All messages of the current thread, oldest first.

    Raises:
        NotFoundError: The service has lost the thread; the message says what to do.
    """
    try:
        return conversation.messages()
    except NotFoundError as error:
        thread_id = conversation.thread.id if conversation.thread else ""
        found = Found(thread_id, "the current one", notebook_file(variables, os.environ))
        raise gone(conversation, found, error) from None


def fetch_missing(conversation: Conversation, thread: Thread) -> int:
    """Record the finished runs of a thread that the ledger does not have whole; returns how many.

    The newest hundred are looked at. A run that is under way is recorded by whoever reads it.

    Raises:
        StoreError: The ledger cannot be read or written.
    """
    ledger, client = conversation.ledger, conversation.client
    if ledger is None:
        return 0
    known = {run["id"] for run in ledger.runs(thread_id=thread.id) if is_final(str(run["status"]))}
    runs = client.runs.list(thread.id, limit=PAGE_LIMIT, order="desc")
    missing = [run for run in runs if run.id not in known and is_final(run.status)]
    if not missing:
        return 0
    messages = list(client.messages.iter(thread.id, order="asc", limit=PAGE_LIMIT))
    place = place_of(client.base_url)
    for run in reversed(missing):
        state = client.runs.load(run.id, thread_id=thread.id)
        ledger.record(state, prompt=_question(run, messages), connection=place, recorded_at=run.created_at or 0)
    return len(missing)


def _question(run: Run, messages: list[Message]) -> str:
    asked = [
        message.text
        for message in messages
        if message.role == "user" and (message.created_at or 0) <= (run.created_at or 0)
    ]
    return asked[-1] if asked else ""


# --- from a notebook ---------------------------------------------------------------------------


def restore(conversation: Conversation, file: Path, thread_id: str = "") -> tuple[int, str]:
    """Go on with a new thread that has the messages which a notebook kept of one of its threads.

    Returns how many messages there are, and what else a person should know.

    Args:
        conversation: The current one.
        file: The notebook.
        thread_id: The thread; that of the newest run if left out.

    Raises:
        UsageError: The notebook keeps nothing of it.
        InvalidArgument: The file cannot be read, or is no notebook.
    """
    kept = from_notebook(file)
    thread_id = thread_id or last_of_file(file).thread_id
    messages = _messages(kept, thread_id)
    if not messages:
        raise UsageError(f"{file} keeps no message of the thread {thread_id}.")
    thread = conversation.client.threads.create(messages=as_new(messages), metadata={ORIGIN: thread_id})
    conversation.go_on(Talk(thread, conversation.assistant, _lost_name(conversation, thread_id)))
    return len(messages), _what_is_missing(kept, thread_id)


def _what_is_missing(kept: Kept, thread_id: str) -> str:
    # %run_stream answers what a program wrote into the thread, which no output shows.
    unasked = sum(not run["prompt"] for run in kept.runs() if run["thread_id"] == thread_id)
    notes = [
        f" The notebook does not keep the questions of {unasked} of its runs." if unasked else "",
        " Of long answers it keeps the beginning." if kept.cut else "",
    ]
    return "".join(notes)


def _lost_name(conversation: Conversation, thread_id: str) -> str:
    """The name of a conversation whose thread is gone, for the one that takes its place; else ``""``."""
    try:
        conversation.client.threads.retrieve(thread_id)
    except NotFoundError:
        entries = conversation.names.entries().values()
        return next((entry.name for entry in entries if entry.thread_id == thread_id), "")
    return ""


def _messages(kept: Kept, thread_id: str) -> list[Message]:
    rows = [row for row in kept.messages() if row["thread_id"] == thread_id and row["text"]]
    return [
        Message.model_validate({"id": f"message_{number}", "role": row["role"], "content": row["text"]})
        for number, row in enumerate(rows, 1)
    ]


def this_notebook(variables: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Path:
    """The file of the notebook that a kernel works for.

    Raises:
        UsageError: Its front end does not say.
    """
    file = notebook_file(variables, environ)
    if file is None:
        raise UsageError("which notebook this is cannot be seen from here: name its file.")
    return file


def is_notebook(word: str) -> bool:
    """True if a word names a notebook's file.

    >>> is_notebook("trip.ipynb"), is_notebook("thread_1")
    (True, False)
    """
    return word.endswith(SUFFIX)
