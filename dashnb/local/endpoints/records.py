"""What all endpoints do with the store: make a record, find one, change one, list them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dashnb.local import wire
from dashnb.local.endpoints.request import invalid, not_found
from dashnb.local.store import Record, Store
from dashnb.local.writer import Clock, Ids
from dashnb.protocol import requests

# How many messages are written in one transaction, and how long others may write after it.
AT_ONCE = 1000
PAUSE_SECONDS = 0.01


class Records:
    """The records of one embedded API, as its endpoints need them.

    Args:
        store: The database.
        ids: Makes an id from a prefix.
        clock: Milliseconds since 1970.
        pause: Waits so many seconds.
    """

    def __init__(self, store: Store, *, ids: Ids, clock: Clock, pause: Callable[[float], object] = time.sleep) -> None:
        self.store = store
        self.ids = ids
        self.clock = clock
        self._pause = pause

    def new(self, prefix: str) -> Record:
        """The beginning of a new record."""
        return {"id": self.ids(prefix), "created_at": self.clock()}

    def new_messages(self, thread_id: str, bodies: list[requests.MessageCreate]) -> list[Record]:
        """New records of messages."""
        return [
            {
                **self.new("message"),
                "thread_id": thread_id,
                "role": body.role,
                "text": body.content,
                "file_ids": body.file_ids,
                "metadata": body.metadata,
            }
            for body in bodies
        ]

    @contextmanager
    def kept_ahead(self, messages: list[Record]) -> Iterator[list[Record]]:
        """The last messages of a thread that is about to be made, for the transaction that makes it.

        A long list would keep all others from writing until it is done. Nobody sees the messages of a thread that
        is not there, so the others are kept before, some at a time; they are gone again if the thread is not made.
        What a thread that is there gets is kept under another name until then, see `Change.hand_over`.
        """
        parts = [messages[start : start + AT_ONCE] for start in range(0, len(messages), AT_ONCE)] or [[]]
        try:
            for part in parts[:-1]:
                with self.store.begin() as change:
                    change.insert("messages", *part)
                self._pause(PAUSE_SECONDS)  # others wait for the database, and may not be in a queue
            yield parts[-1]
        except BaseException:
            if parts[1:]:
                with self.store.begin() as change:
                    change.delete_children("messages", thread_id=messages[0]["thread_id"])
            raise

    def get(self, table: str, object_id: str, **parents: str) -> Record:
        """The record with this id and these parents.

        Raises:
            NotFoundError: There is none.
        """
        record = self.store.get(table, object_id, **parents)
        if record is None:
            raise not_found(table[:-1], object_id)
        return record

    def change(self, table: str, object_id: str, fields: dict[str, Any]) -> Record:
        """The record with some fields changed.

        Raises:
            NotFoundError: There is none.
        """
        with self.store.begin() as change:
            record = change.update(table, object_id, **fields)
        if record is None:
            raise not_found(table[:-1], object_id)
        return record

    def page(self, table: str, view: wire.View, query: requests.ListQuery, **parents: str) -> wire.Wire:
        """One page of the records with these parents.

        Raises:
            BadRequestError: ``after`` or ``before`` names nothing in this list.
        """
        try:
            records, has_more = self.store.page(table, query, **parents)
        except KeyError as error:
            raise invalid(f"'after' and 'before' must name an entry of this list; {error} is none.") from None
        return wire.page(view, records, has_more)


def page_of(view: wire.View, records: list[Record], key: str, query: requests.ListQuery) -> wire.Wire:
    """One page of a short list that is there whole, oldest first, whose entries are known by ``key``.

    Raises:
        BadRequestError: ``after`` or ``before`` names nothing in this list.
    """
    left = records if query.order == "asc" else records[::-1]
    if anchor := query.after or query.before:
        places = [place for place, record in enumerate(left) if record[key] == anchor]
        if not places:
            raise invalid(f"'after' and 'before' must name an entry of this list; {anchor!r} is none.")
        left = left[places[0] + 1 :] if query.after else left[: places[0]]
    left = left[query.skipped :]
    shown = left[-query.size :] if query.before else left[: query.size]
    return wire.page(view, shown, len(left) > query.size)
