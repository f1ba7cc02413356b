"""The operations on threads and messages."""

from __future__ import annotations

from collections.abc import Callable

from dashnb.local import wire
from dashnb.local.endpoints.records import Records, page_of
from dashnb.local.endpoints.request import Answer, Request, not_found, sent_fields
from dashnb.local.keeper import Keeper
from dashnb.local.store import Record


class ThreadEndpoints:
    """What the operations on threads and messages do."""

    def __init__(self, records: Records, keeper: Keeper) -> None:
        self._records = records
        self._keeper = keeper
        self.table: dict[str, Callable[[Request], Answer]] = {
            "threads.create": self.create_thread,
            "threads.retrieve": self.retrieve_thread,
            "threads.update": self.update_thread,
            "threads.delete": self.delete_thread,
            "messages.create": self.create_message,
            "messages.list": self.list_messages,
            "messages.retrieve": self.retrieve_message,
            "messages.update": self.update_message,
            "messages.files.list": self.list_message_files,
            "messages.files.retrieve": self.retrieve_message_file,
        }

    def create_thread(self, request: Request) -> wire.Wire:
        """T1."""
        record = {**self._records.new("thread"), "metadata": request.body.metadata}
        messages = self._records.new_messages(record["id"], request.body.messages)
        with self._records.kept_ahead(messages) as rest, self._records.store.begin() as change:
            change.insert("threads", record)
            change.insert("messages", *rest)
        return wire.thread(record)

    def retrieve_thread(self, request: Request) -> wire.Wire:
        """T2."""
        return wire.thread(self._records.get("threads", request.ids["thread_id"]))

    def update_thread(self, request: Request) -> wire.Wire:
        """T3."""
        return wire.thread(self._records.change("threads", request.ids["thread_id"], sent_fields(request.body)))

    def delete_thread(self, request: Request) -> wire.Wire:
        """T4: messages, runs and steps go with it."""
        thread_id = request.ids["thread_id"]
        for run in self._records.store.active_runs(thread_id=thread_id):
            self._keeper.end(run, "cancelled")  # at once: its task would come too late
        with self._records.store.begin() as change:
            if not change.delete("threads", thread_id):
                raise not_found("thread", thread_id)
            for table in ("messages", "steps", "runs"):
                change.delete_children(table, thread_id=thread_id)
        return wire.deleted("thread", thread_id)

    def create_message(self, request: Request) -> wire.Wire:
        """M1."""
        thread_id = request.ids["thread_id"]
        self._records.get("threads", thread_id)
        (record,) = self._records.new_messages(thread_id, [request.body])
        with self._records.store.begin() as change:
            change.insert("messages", record)
        return wire.message(record)

    def list_messages(self, request: Request) -> wire.Wire:
        """M2."""
        self._records.get("threads", request.ids["thread_id"])
        return self._records.page("messages", wire.message, request.query, **request.ids)

    def retrieve_message(self, request: Request) -> wire.Wire:
        """M3."""
        return wire.message(self._message(request))

    def update_message(self, request: Request) -> wire.Wire:
        """M4."""
        self._message(request)
        return wire.message(self._records.change("messages", request.ids["message_id"], sent_fields(request.body)))

    def list_message_files(self, request: Request) -> wire.Wire:
        """F5."""
        record = self._message(request)
        files = [{"id": file_id} for file_id in record["file_ids"]]
        return page_of(lambda file: wire.message_file(record, file["id"]), files, "id", request.query)

    def retrieve_message_file(self, request: Request) -> wire.Wire:
        """F6."""
        record, file_id = self._message(request), request.ids["file_id"]
        if file_id not in record["file_ids"]:
            raise not_found("file", file_id)
        return wire.message_file(record, file_id)

    def _message(self, request: Request) -> Record:
        return self._records.get("messages", request.ids["message_id"], thread_id=request.ids["thread_id"])
