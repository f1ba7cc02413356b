"""The conversations of a notebook: what is known of each, and the names that last over a restart of the kernel.

A name stands twice: in the metadata of its thread at the service, which travels with the thread, and in a
small file of the data folder, as threads cannot be listed over the wire. One file for each name means that
two kernels never write over each other's names, and that a damaged file costs one name only.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from IPython.core.error import UsageError

from dashnb.errors import DashnbError, NotFoundError
from dashnb.files import read_file
from dashnb.foreign import read_json
from dashnb.history.schema import Cell, Schema
from dashnb.history.table import Table
from dashnb.protocol.objects import Assistant, Message, Thread
from dashnb.protocol.state import RunState
from dashnb.session.busy import Busy
from dashnb.session.connection import Connection, place_of
from dashnb.settings import Settings

if TYPE_CHECKING:
    from dashnb.magics.conversation import Conversation
    from dashnb.session.session import Session

# Keys of a thread's metadata.
NAME = "dashnb_name"
ORIGIN = "dashnb_forked_from"

NAME_CHARACTERS = 64
MOST_BYTES = 10_000  # of what is kept of a name
# How many runs of the ledger a list of conversations is made of, at most.
RUNS_READ = 1000

COLUMNS: Schema = {
    "current": "text",
    "name": "text",
    "thread_id": "id",
    "runs": "integer",
    "question": "text",
    "last_at": "time",
}


@dataclass(slots=True)
class Talk:
    """One conversation, as far as this kernel knows it.

    Attributes:
        thread: Its thread; None before the first question.
        assistant: Who answers, or the id; None before the first question.
        name: Its name, ``""`` if it has none.
        busy: What to do when another run is in the way; None for the usual.
        left: The runs that were begun here and may be left behind unfinished.
        waiting: The session whose last run waits for a person's decision, or None.
    """

    thread: Thread | None = None
    assistant: Assistant | str | None = None
    name: str = ""
    busy: Busy | None = None
    left: list[RunState] = field(default_factory=list)
    waiting: Session | None = None

    @property
    def title(self) -> str:
        """How a person calls it: its name, else the id of its thread."""
        return repr(self.name) if self.name else self.thread.id if self.thread else "a new thread"

    @property
    def word(self) -> str:
        """What stands behind ``%assistant use`` to come back to it."""
        plain = re.fullmatch(r"[\w~.-]*", self.name)
        return (self.name if plain else shlex.quote(self.name)) or (self.thread.id if self.thread else "")


@dataclass(frozen=True, slots=True)
class Entry:
    """What is kept of a conversation with a name.

    Attributes:
        name: The name.
        thread_id: Its thread.
        assistant_id: Who answers, ``""`` if nobody did yet.
        busy: What to do when another run is in the way, ``""`` for the usual.
    """

    name: str
    thread_id: str
    assistant_id: str = ""
    busy: str = ""


class Names:
    """The conversations with a name at one place.

    >>> names = Names(None, "local")
    >>> names.keep(Entry("trip", "thread_1"))
    >>> names.entries()["trip"].thread_id, names.lasts("trip")
    ('thread_1', False)

    Args:
        folder: Where the files are; None to keep the names for this kernel only.
        place: The service that the threads belong to; only a digest of it is written.
    """

    def __init__(self, folder: Path | None, place: str) -> None:
        self._folder = folder
        self._place = _digest(place)
        self._unwritten: dict[str, Entry] = {}

    def entries(self) -> dict[str, Entry]:
        """The conversations by their names; a file that cannot be read is left out.

        >>> Names(None, "local").entries()
        {}
        """
        files = sorted(self._folder.glob(f"{self._place}-*.json")) if self._folder else []
        kept = (_read(file) for file in files)
        return {**{entry.name: entry for entry in kept if entry}, **self._unwritten}

    def keep(self, entry: Entry) -> None:
        """Keep a conversation under its name, in place of what had it before.

        >>> Names(None, "local").keep(Entry("trip", "thread_1"))
        """
        if self._folder is not None and _write(self._folder / self._file(entry.name), asdict(entry)):
            self._unwritten.pop(entry.name, None)
        else:
            self._unwritten[entry.name] = entry

    def lasts(self, name: str) -> bool:
        """False for a name that ends with this kernel, as its file could not be written.

        >>> Names(None, "local").lasts("trip")
        True
        """
        return name not in self._unwritten

    def _file(self, name: str) -> str:
        return f"{self._place}-{_digest(name)}.json"


def names_of(settings: Settings, connection: Connection) -> Names:
    """The names at the place of a connection; those of a database in memory end with the kernel.

    >>> from dashnb.session.connection import plan
    >>> settings = Settings.load({}, file=None, database=":memory:")
    >>> names_of(settings, plan(settings)).entries()
    {}
    """
    place, folder = connection.base_url, settings.data_dir / "conversations"
    if connection.kind != "local":
        return Names(folder, f"{place} {settings.text('workspace') or ''}")
    if connection.database == ":memory:":
        return Names(None, place)
    database = connection.database
    return Names(folder, f"{place} {database if '://' in database else os.path.abspath(database)}")


def checked_name(name: str, taken: dict[str, Entry]) -> str:
    """The name, if a new conversation may have it.

    >>> checked_name("trip", {})
    'trip'

    Raises:
        UsageError: It could be taken for something else, or is another one's.
    """
    if not name or not name.isprintable() or len(name) > NAME_CHARACTERS or name != name.strip():
        raise UsageError(f"a name has 1 to {NAME_CHARACTERS} characters that can be seen, not {name[:80]!r}.")
    if name.startswith(("thread_", "-")) or name.endswith(".ipynb"):
        raise UsageError(f"{name!r} cannot be a name: it stands for something else.")
    if name in taken:
        raise UsageError(
            f"there is a conversation {name!r} already: go on with it (%assistant use), or choose another name."
        )
    return name


def variant_of(name: str, taken: dict[str, Entry]) -> str:
    """The next free name for an earlier variant of a conversation.

    >>> variant_of("trip", {"trip": Entry("trip", "thread_1"), "trip~1": Entry("trip~1", "thread_2")})
    'trip~2'
    """
    stem, number = name.partition("~")[0], 1
    while f"{stem}~{number}" in taken:
        number += 1
    return f"{stem}~{number}"


# --- questions and answers ---------------------------------------------------------------------


def questions(messages: list[Message]) -> list[str]:
    """What was asked, oldest first.

    >>> asked = {"id": "message_1", "role": "user", "content": "Hello?"}
    >>> questions([Message.model_validate(asked)])
    ['Hello?']
    """
    return [message.text for message in messages if message.role == "user"]


def up_to(messages: list[Message], count: int) -> list[Message]:
    """The messages up to the answer to the question with this number, from 1 on; 0 for none.

    >>> said = [{"id": "message_1", "role": "user"}, {"id": "message_2"}, {"id": "message_3", "role": "user"}]
    >>> [message.id for message in up_to([Message.model_validate(fields) for fields in said], 1)]
    ['message_1', 'message_2']
    """
    places = [place for place, message in enumerate(messages) if message.role == "user"]
    return messages[: places[count]] if count < len(places) else messages


def as_new(messages: list[Message]) -> list[dict[str, Any]]:
    """The messages as a new thread takes them; those without text say nothing.

    >>> as_new([Message.model_validate({"id": "message_1", "role": "user", "content": "Hello?"})])
    [{'role': 'user', 'content': 'Hello?'}]
    """
    return [
        {"role": message.role, "content": message.text, **({"file_ids": message.file_ids} if message.file_ids else {})}
        for message in messages
        if message.text and message.role in ("user", "assistant")
    ]


def shortened(text: str, most: int = 60) -> str:
    """The text in one line, cut to so many characters.

    >>> shortened("What is\\n2 + 3?"), shortened("What is 2 + 3?", most=8)
    ('What is 2 + 3?', 'What is…')
    """
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


# --- the list ----------------------------------------------------------------------------------


def list_conversations(conversation: Conversation, limit: int) -> Table:
    """The conversations of a connection, the one that was used last at the end.

    What the ledger knows, what has a name, and what this kernel began.

    Args:
        conversation: The current one.
        limit: Only the newest so many.
    """
    rows = _rows(conversation)
    current = conversation.thread
    if current:
        rows[current.id]["current"] = "▸"
    shown: list[dict[str, Cell]] = []
    ordered = sorted(rows.values(), key=_last_at)
    for row in ordered[::-1]:  # where two are as new, the one that was known last
        if len(shown) == limit:
            break
        if row["name"] or row["current"] or _is_here(conversation, str(row["thread_id"])):
            shown.append(row)
    return Table(COLUMNS, [list(row.values()) for row in reversed(shown)], name="conversations")


def known_threads(conversation: Conversation) -> list[str]:
    """The threads of a connection that are known without asking the service, those it may have lost too.

    Args:
        conversation: The current one.
    """
    return list(_rows(conversation))


def _rows(conversation: Conversation) -> dict[str, dict[str, Cell]]:
    rows = _from_ledger(conversation)
    for name, entry in conversation.names.entries().items():
        rows.setdefault(entry.thread_id, _row(entry.thread_id))["name"] = name
    for talk in conversation.talks:
        if talk.thread:
            row = rows.setdefault(talk.thread.id, _row(talk.thread.id))
            row["name"], row["last_at"] = talk.name, row["last_at"] or talk.thread.created_at
    return rows


def _row(thread_id: str) -> dict[str, Cell]:
    return {**dict.fromkeys(COLUMNS), "current": "", "name": "", "thread_id": thread_id, "runs": 0}


def _from_ledger(conversation: Conversation) -> dict[str, dict[str, Cell]]:
    rows: dict[str, dict[str, Cell]] = {}
    for run in ledger_runs(conversation, limit=RUNS_READ):
        thread_id = str(run["thread_id"])
        row = rows.setdefault(thread_id, _row(thread_id))
        row["runs"] = int(row["runs"] or 0) + 1
        row["question"] = run["prompt"] or row["question"]
        row["last_at"] = run["created_at"]
    return rows


def ledger_runs(
    conversation: Conversation, *, thread_id: str | None = None, limit: int | None = None
) -> list[dict[str, Cell]]:
    """What the ledger knows of the runs at this connection, oldest first; nothing where there is no ledger.

    Args:
        conversation: The current one.
        thread_id: Only those of one thread.
        limit: Of the newest so many runs of all connections.
    """
    ledger = conversation.ledger
    if ledger is None:
        return []
    place = place_of(conversation.connection.base_url)
    try:
        runs = ledger.runs(thread_id=thread_id, limit=limit)
    except DashnbError:
        return []
    return [run for run in runs if run["connection"] == place and run["thread_id"]]


def _last_at(row: dict[str, Cell]) -> float:
    # A conversation without a question is the newest.
    return float(row["last_at"]) if isinstance(row["last_at"], int) else float("inf")


def _is_here(conversation: Conversation, thread_id: str) -> bool:
    # All databases of the embedded API are one place to the ledger; asking it costs no network.
    if conversation.connection.kind != "local":
        return True
    try:
        conversation.client.threads.retrieve(thread_id)
    except NotFoundError:
        return False
    return True


# --- files -------------------------------------------------------------------------------------


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:20]


def _read(file: Path) -> Entry | None:
    try:
        kept = read_json(read_file(file, MOST_BYTES))
    except (OSError, ValueError):
        return None
    if not isinstance(kept, dict):
        return None
    fields = {name: kept.get(name, "") for name in ("name", "thread_id", "assistant_id", "busy")}
    whole = all(isinstance(value, str) for value in fields.values()) and fields["name"] and fields["thread_id"]
    return Entry(**fields) if whole and fields["busy"] in ("", *get_args(Busy)) else None


def _write(file: Path, content: dict[str, Any]) -> bool:
    """True if the file has the content now; another program sees the old file or the new one, whole."""
    draft = ""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, draft = tempfile.mkstemp(dir=file.parent, suffix=".draft")
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            json.dump(content, opened)
        os.replace(draft, file)
    except OSError:
        if draft:
            with suppress(OSError):
                os.unlink(draft)
        return False
    return True
