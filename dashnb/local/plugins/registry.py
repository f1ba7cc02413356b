"""A person's own plugins: an id, the URL that is called, and a JSON schema of the arguments.

They are kept in one JSON file in the data folder, readable by its owner only: the address of a plugin
may be nobody else's business. A file that is damaged, or was made by a newer dashnb, is left as it is.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dashnb.credentials import Address
from dashnb.errors import InvalidArgument, StoreError
from dashnb.files import read_file
from dashnb.foreign import read_json

VERSION = 1
MOST_BYTES = 10_000_000  # of the registry, or of a schema
_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class OwnPlugin:
    """One plugin of a person.

    Attributes:
        id: The type that a tool definition names.
        url: What is called, by POST with the arguments as JSON.
        schema: A JSON schema of the arguments.
        description: What it is for.
    """

    id: str
    url: str
    schema: dict[str, Any]
    description: str = ""

    def __post_init__(self) -> None:
        # Behind its question mark there may be a key.
        object.__setattr__(self, "url", Address(self.url))

    @property
    def definition(self) -> dict[str, Any]:
        """The tool as an assistant is given it: with its schema, so that a model knows the arguments."""
        about = {"description": self.description} if self.description else {}
        return {"type": self.id, **about, "parameters": self.schema}


def read_registry(file: Path) -> dict[str, OwnPlugin]:
    """The plugins of a file by their ids; none if there is no file.

    Raises:
        StoreError: The file is damaged, or was made by a newer dashnb.
    """
    try:
        content = read_json(read_file(file, MOST_BYTES))
        version, entries = content["version"], content["plugins"]
        if version > VERSION:
            raise StoreError(
                f"The plugins in {file} were kept by a newer dashnb (format {version}, this one knows {VERSION})."
                "\nUpdate dashnb; the file is as it was."
            )
        known = [_plugin(entry) for entry in entries]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is damaged"
        remedy = "Move the file away; it is as it was."
        raise StoreError(f"The plugins in {file} cannot be read: {reason}.\n{remedy}") from None
    return {plugin.id: plugin for plugin in known}


def register(file: Path, plugin: OwnPlugin, *, taken: Collection[str] = ()) -> bool:
    """Keep a plugin; true if it replaced one of the same id.

    Args:
        file: The registry.
        plugin: The plugin.
        taken: Types that are no plugins of a person.

    Raises:
        InvalidArgument: The id, the URL or the schema is not allowed.
        StoreError: The file cannot be used.
    """
    if not _ID.fullmatch(plugin.id):
        raise InvalidArgument(f"{plugin.id!r} is no plugin id: letters, digits, '_', '-' and '.', at most 64.")
    if plugin.id in {*taken, "function"}:
        raise InvalidArgument(f"{plugin.id!r} is a built-in tool; choose another id.")
    check_url(plugin.url)
    if plugin.schema.get("type", "object") != "object":
        raise InvalidArgument(f"The schema of {plugin.id} is not one of a JSON object ('type': 'object').")
    known = read_registry(file)
    _write(file, {**known, plugin.id: plugin})
    return plugin.id in known


def unregister(file: Path, plugin_id: str) -> None:
    """Forget a plugin.

    Raises:
        InvalidArgument: There is no such plugin.
        StoreError: The file cannot be used.
    """
    known = read_registry(file)
    if plugin_id not in known:
        raise InvalidArgument(f"There is no plugin {plugin_id!r}; there are: {', '.join(known) or 'none'}.")
    del known[plugin_id]
    _write(file, known)


def read_schema(file: Path) -> dict[str, Any]:
    """A JSON schema from a file.

    Raises:
        InvalidArgument: It cannot be read, or is no JSON object.
    """
    try:
        schema = read_json(read_file(file, MOST_BYTES))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InvalidArgument(f"The schema {file} cannot be read: {reason}.") from error
    if not isinstance(schema, dict):
        raise InvalidArgument(f"The schema {file} is no JSON object.")
    return schema


def check_url(url: str) -> None:
    """Refuse what is no address of a plugin.

    Raises:
        InvalidArgument: The URL is not one of http or https, has no host, or carries a password.
    """
    import httpx

    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise InvalidArgument(f"That is no URL: {error}.") from None
    if parts.userinfo:
        raise InvalidArgument("The URL of a plugin may hold no password; put a token into the tool's 'auth'.")
    if parts.scheme not in ("http", "https") or not parts.host:
        raise InvalidArgument(f"A plugin is called over http or https, not at {url!r}.")


def _plugin(entry: dict[str, Any]) -> OwnPlugin:
    plugin = OwnPlugin(**entry)
    texts = (plugin.id, plugin.url, plugin.description)
    if not (all(isinstance(text, str) for text in texts) and isinstance(plugin.schema, dict)):
        raise TypeError
    return plugin


def _write(file: Path, plugins: dict[str, OwnPlugin]) -> None:
    content = {"version": VERSION, "plugins": [asdict(plugin) for plugin in plugins.values()]}
    text = json.dumps(content, ensure_ascii=False, indent=1)
    # Written beside and moved, so that nobody ever sees half of it.
    beside = file.with_name(f"{file.name}.{uuid.uuid4().hex}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            with open(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as target:
                target.write(text)
            os.replace(beside, file)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"The plugins in {file} cannot be kept: {error.strerror or error}.") from error
