"""The tool ``rag``: passages from the collections of documents that the definition names.

Source: Assistant API guide, "RAG": the definition has ``prompt_ra`` with ``pipeline_id`` (here: names of
collections), ``rerank_top_n`` and the parameter ``query_word``, whose value is a placeholder in the
instructions. The shape of its output is not published; here it is that of a search.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dashnb.errors import StoreError
from dashnb.foreign import read_json
from dashnb.local.documents.library import Found, Library
from dashnb.local.plugins import Plugin, PluginError
from dashnb.local.plugins.arguments import read_arguments, text_argument
from dashnb.local.plugins.folder import DOCUMENTS, Folder
from dashnb.local.plugins.quark_search import output_of

MOST = 20
PASSAGES, CANDIDATES = 5, 10  # what `rerank_top_n` and `multiknowledge_rerank_top_n` are where they are left out
LEAST = 0.3
_PLACEHOLDER = re.compile(r"\$\{documents?\d*\}")


def rag_tool(folder: Folder) -> Plugin:
    """Searches the documents in a folder.

    The plugin raises `PluginError` if the arguments hold no question, the definition is wrong, a named
    collection does not exist, or the documents cannot be read.
    """

    async def rag(arguments: str, tool: dict[str, Any]) -> str:
        settings = tool.get("prompt_ra")
        settings = settings if isinstance(settings, dict) else {}
        given = read_arguments(arguments, plugin="rag")
        query = text_argument(given, *_names(settings), plugin="rag")
        found = await asyncio.to_thread(_find, query, settings, folder() / DOCUMENTS)
        return output_of(query, found)

    return rag


def passages_of(output: str) -> list[str]:
    """The passages in an output of this tool, or of a search; none if it is something else.

    >>> passages_of('{"data": [{"title": "X1", "desc": "A large screen."}]}')
    ['X1\\nA large screen.']
    """
    try:
        data = read_json(output)["data"]
        return [f"{entry['title']}\n{entry['original'] if entry.get('original') else entry['desc']}" for entry in data]
    except (ValueError, KeyError, TypeError):
        return []


def fill_placeholder(instructions: str, passages: Iterable[str]) -> str:
    """Instructions with the passages where they have ``${document1}`` or ``${documents}``.

    >>> fill_placeholder("Answer from ${document1} only.", ["Cats sleep."])
    'Answer from [1] Cats sleep. only.'

    Instructions without a placeholder stay as they are; without passages, it becomes nothing.
    """
    text = "\n\n".join(f"[{number}] {passage}" for number, passage in enumerate(passages, 1))
    return _PLACEHOLDER.sub(lambda _: text, instructions)


def _names(settings: dict[str, Any]) -> list[str]:
    """What the question may be called: as the definition says, or as usual."""
    parameters = settings.get("parameters")
    properties = parameters.get("properties") if isinstance(parameters, dict) else None
    return list(dict.fromkeys(["query_word", *(properties if isinstance(properties, dict) else ()), "query"]))


def _find(query: str, settings: dict[str, Any], file: Path) -> list[Found]:
    wanted = settings.get("pipeline_id") or []
    wanted = [wanted] if isinstance(wanted, str) else wanted
    if not isinstance(wanted, list) or not all(isinstance(name, str) for name in wanted):
        raise PluginError("pipeline_id of rag is not the name of a collection, nor a list of names.")
    try:
        with Library(file) as library:
            known = library.collections()
            if not known:
                raise PluginError("rag has no documents yet. Add some with: dashnb docs add FOLDER")
            for name in wanted:
                if name not in known:
                    raise PluginError(f"rag knows no collection {name!r}; there are: {', '.join(known)}.")
            candidates = library.find(
                query,
                collections=wanted or None,
                least=LEAST,
                limit=_count(settings, "multiknowledge_rerank_top_n", CANDIDATES),
                per_document=MOST,
            )
    except StoreError as error:
        raise PluginError(str(error)) from error
    return candidates[: _count(settings, "rerank_top_n", PASSAGES)]


def _count(settings: dict[str, Any], name: str, usual: int) -> int:
    value = settings.get(name)
    return min(max(value, 1), MOST) if isinstance(value, int) and not isinstance(value, bool) else usual
