"""The search tool: a person's own documents and a small built-in set, in place of the web.

The built-in documents are a handful of entries in English, Chinese and Japanese (``documents.json``).
Their weather records are samples and say so. A passage counts only if it has more than half of what was
asked for, so that a question about Lisbon does not get the weather of Beijing.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from dashnb.database import MEMORY
from dashnb.errors import StoreError
from dashnb.local.documents.library import Document, Found, Library
from dashnb.local.documents.passages import snippet
from dashnb.local.plugins import Plugin, PluginError
from dashnb.local.plugins.arguments import read_arguments, text_argument
from dashnb.local.plugins.folder import DOCUMENTS, Folder

SOURCE = "dashnb built-in documents"
MOST = 5  # results of one search
_SPACE = uuid.uuid5(uuid.NAMESPACE_URL, "dashnb:quark_search")


def search_tool(folder: Folder) -> Plugin:
    """The search over the documents in a folder and over the built-in ones.

    >>> tool = search_tool(lambda: Path("/nowhere"))
    >>> output = json.loads(asyncio.run(tool('{"query": "weather in Beijing"}', {})))
    >>> output["data"][0]["title"], output["data"][0]["source"]
    ('Weather in Beijing (sample data)', 'dashnb built-in documents')

    Nothing found is a success with empty ``data``. The plugin raises `PluginError` if the arguments hold
    no query, or the person's documents cannot be read.
    """

    async def quark_search(arguments: str, tool: dict[str, Any]) -> str:
        query = text_argument(read_arguments(arguments, plugin="quark_search"), "query", plugin="quark_search")
        # Reading the disk takes its time: in a thread, so that other streams go on meanwhile.
        found = await asyncio.to_thread(_find, query, folder() / DOCUMENTS)
        return output_of(query, found)

    return quark_search


def output_of(query: str, found: list[Found]) -> str:
    """Passages in the documented shape of a search's output, as JSON text."""
    output = {
        "success": True,
        "errorCode": None,
        "errorMsg": None,
        "data": [_result(one, query) for one in found],
        "requestId": str(uuid.uuid5(_SPACE, query)),
        "failed": False,
    }
    return json.dumps(output, ensure_ascii=False)


def _find(query: str, file: Path) -> list[Found]:
    try:
        with Library(file) as library:
            own = library.find(query, limit=MOST)
    except StoreError as error:
        raise PluginError(str(error)) from error
    with _built_in() as library:
        known = library.find(query, limit=MOST, per_document=1)
    # Scores of two indexes cannot be compared: the one that has more of what was asked for comes first.
    if own and known and max(one.share for one in known) > max(one.share for one in own):
        return (known + own)[:MOST]
    return (own + known)[:MOST]


def _result(found: Found, query: str) -> dict[str, str | None]:
    """One entry of ``data``; ``original`` has the whole passage where ``desc`` is a part of it."""
    desc = snippet(found.text, query)
    return {
        "title": found.title,
        "url": None,
        "desc": desc,
        "type": found.document.kind,
        "original": None if desc == " ".join(found.text.split()) else found.text,
        "query": query,
        "source": found.document.source if found.document.collection else SOURCE,
    }


def _built_in() -> Library:
    library = Library(MEMORY)
    # An entry in three languages is one document with three passages, of which one is shown.
    library.put_all((Document("", key, key, kind), passages) for key, kind, passages in _entries())
    return library


@cache
def _entries() -> list[tuple[str, str, list[tuple[str, str]]]]:
    entries = json.loads(files("dashnb.local.plugins").joinpath("documents.json").read_text(encoding="utf-8"))
    return [
        (entry["key"], entry["type"], [(entry[code]["title"], entry[code]["text"]) for code in ("en", "zh", "ja")])
        for entry in entries
    ]
