"""The operations on assistants and their files."""

from __future__ import annotations

from collections.abc import Callable

from dashnb.local import wire
from dashnb.local.endpoints.records import Records, page_of
from dashnb.local.endpoints.request import Answer, Request, not_found, sent_fields
from dashnb.local.store import Change, Record
from dashnb.protocol import requests


class AssistantEndpoints:
    """What the operations on assistants do."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self.table: dict[str, Callable[[Request], Answer]] = {
            "assistants.create": self.create_assistant,
            "assistants.list": self.list_assistants,
            "assistants.retrieve": self.retrieve_assistant,
            "assistants.update": self.update_assistant,
            "assistants.delete": self.delete_assistant,
            "assistants.files.create": self.attach_file,
            "assistants.files.list": self.list_assistant_files,
            "assistants.files.retrieve": self.retrieve_assistant_file,
            "assistants.files.delete": self.detach_file,
        }

    def create_assistant(self, request: Request) -> wire.Wire:
        """A1."""
        body: requests.AssistantCreate = request.body
        file_ids = _distinct(body.file_ids)
        record = {**self._records.new("asst"), "metadata": body.metadata, **sent_fields(body), "file_ids": file_ids}
        with self._records.store.begin() as change:
            change.insert("assistants", record)
            self._attach(change, record["id"], file_ids)
        return wire.assistant(record)

    def list_assistants(self, request: Request) -> wire.Wire:
        """A2."""
        return self._records.page("assistants", wire.assistant, request.query)

    def retrieve_assistant(self, request: Request) -> wire.Wire:
        """A3."""
        return wire.assistant(self._records.get("assistants", request.ids["assistant_id"]))

    def update_assistant(self, request: Request) -> wire.Wire:
        """A4: what is left out, or null, keeps its value."""
        assistant_id, given = request.ids["assistant_id"], sent_fields(request.body)
        if not given.get("metadata"):
            given.pop("metadata", None)
        if file_ids := _distinct(given.pop("file_ids", [])):
            given["file_ids"] = file_ids
        with self._records.store.begin() as change:
            record = change.update("assistants", assistant_id, **given)
            if record is None:
                raise not_found("assistant", assistant_id)
            if file_ids:
                change.delete_children("assistant_files", assistant_id=assistant_id)
                self._attach(change, assistant_id, file_ids)
        return wire.assistant(record)

    def delete_assistant(self, request: Request) -> wire.Wire:
        """A5: its files go with it, threads and their runs stay."""
        assistant_id = request.ids["assistant_id"]
        with self._records.store.begin() as change:
            if not change.delete("assistants", assistant_id):
                raise not_found("assistant", assistant_id)
            change.delete_children("assistant_files", assistant_id=assistant_id)
        return wire.deleted("assistant", assistant_id)

    def attach_file(self, request: Request) -> wire.Wire:
        """F1."""
        assistant_id, file_id = request.ids["assistant_id"], request.body.file_id
        attached = self._records.get("assistants", assistant_id)["file_ids"]
        if file_id not in attached:
            with self._records.store.begin() as change:
                self._attach(change, assistant_id, [file_id])
                change.update("assistants", assistant_id, file_ids=[*attached, file_id])
        return wire.assistant_file(self._file(assistant_id, file_id))

    def list_assistant_files(self, request: Request) -> wire.Wire:
        """F2."""
        assistant_id = request.ids["assistant_id"]
        self._records.get("assistants", assistant_id)
        attached = self._records.store.every("assistant_files", assistant_id=assistant_id)
        return page_of(wire.assistant_file, attached, "file_id", request.query)

    def retrieve_assistant_file(self, request: Request) -> wire.Wire:
        """F3."""
        return wire.assistant_file(self._file(request.ids["assistant_id"], request.ids["file_id"]))

    def detach_file(self, request: Request) -> wire.Wire:
        """F4."""
        assistant_id, file_id = request.ids["assistant_id"], request.ids["file_id"]
        record = self._file(assistant_id, file_id)
        assistant = self._records.get("assistants", assistant_id)
        with self._records.store.begin() as change:
            change.delete("assistant_files", record["id"])
            left = [name for name in assistant["file_ids"] if name != file_id]
            change.update("assistants", assistant_id, file_ids=left)
        return wire.deleted("assistant.file", file_id)

    def _attach(self, change: Change, assistant_id: str, file_ids: list[str]) -> None:
        attached = [{**self._records.new("attached"), "file_id": file_id} for file_id in file_ids]
        change.insert("assistant_files", *({**record, "assistant_id": assistant_id} for record in attached))

    def _file(self, assistant_id: str, file_id: str) -> Record:
        for record in self._records.store.every("assistant_files", assistant_id=assistant_id, file_id=file_id):
            return record
        raise not_found("file", file_id)


def _distinct(file_ids: list[str]) -> list[str]:
    return list(dict.fromkeys(file_ids))
