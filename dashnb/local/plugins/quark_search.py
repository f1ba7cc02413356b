"""The search tool: a small set of built-in documents in place of the web.

The documents are a handful of entries in English, Chinese and Japanese (``documents.json``). Their
weather records are samples and say so. Ranking is by shared words, for Chinese and Japanese by shared
pairs of characters; a document counts only if it shares more than half of what was asked for, so
that a question about Lisbon does not get the weather of Beijing.
"""

from __future__ import annotations

import json
import math
import re
import uuid
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from dashnb.local.plugins.arguments import read_arguments, text_argument

SOURCE = "dashnb built-in documents"
MOST = 5  # results of one search
_SPACE = uuid.uuid5(uuid.NAMESPACE_URL, "dashnb:quark_search")

_WORD = re.compile(r"[a-z0-9]+(?:['’][a-z0-9]+)*|[\u3041-\u3096\u30a1-\u30fa\u30fc\u3400-\u9fff]+")
_IDLE_WORDS = """
a about all an and any are at be by can could current currently data did do does explain find for forecast from
give go google have how i in information is it its like look me much my news now of on or please s search show tell
than that the their them then there this to today tomorrow up was we were what what's when where which who why will
with would you your
"""
_IDLE = frozenset(_IDLE_WORDS.split())
# Words that ask and name nothing; longer ones first, so that 今日は does not leave は behind.
_IDLE_CJK = re.compile(
    r"について教えてください|を教えてください|教えてください|について|教えて|ください|でしょうか|ですか|何ですか|どうですか"
    r"|とは何|とは|はどう|どんな|どう|今日は|今日|明日|現在|今の|を調べて|調べて|検索して|検索|怎么样|怎麼樣|是什么|什么是"
    r"|什么|请问|请|告诉我|帮我|搜索|查询|查一下|一下|介绍|关于|今天|明天|现在|如何|吗|呢|的|了|是|在|の|は|が|を|に|で|と|も|か"
)

# 北京天气 and 东京天气 share the pair 京天, which means nothing: this word stands alone.
_ALONE_CJK = re.compile("(天气|天気)")


@dataclass(frozen=True, slots=True)
class Document:
    """One document in one language.

    Attributes:
        key: Names the document; its versions in other languages have the same key.
        kind: Becomes the result's ``type``, such as ``sample_weather``.
        title, text: What it says.
    """

    key: str
    kind: str
    title: str
    text: str


class Index:
    """Finds documents by the words of a query.

    >>> index = Index([Document("cat", "text", "Ragdoll cats", "Ragdolls have blue eyes."),
    ...                Document("sea", "text", "Seas", "Salt water.")])
    >>> [document.title for document in index.find("What is a ragdoll cat?")]
    ['Ragdoll cats']
    """

    def __init__(self, documents: list[Document]) -> None:
        self._documents = [(doc, _terms(doc.title), _terms(f"{doc.title} {doc.text}")) for doc in documents]
        spread: dict[str, int] = {}
        for _, _, terms in self._documents:
            for term in terms:
                spread[term] = spread.get(term, 0) + 1
        self._weight = {term: math.log(1 + len(documents) / count) for term, count in spread.items()}

    def find(self, query: str) -> list[Document]:
        """The documents that share more than half of the query's words, best first, one per key."""
        words = _words(query)
        ranked = []
        for place, (document, title, terms) in enumerate(self._documents):
            if _share(words, terms) > 0.5:
                asked = {term for word in words for term in _split(word)}
                score = sum(self._weight[term] * (2 if term in title else 1) for term in asked & terms)
                ranked.append((-score, place, document))
        best: dict[str, Document] = {}
        for _, _, document in sorted(ranked, key=lambda entry: entry[:2]):
            best.setdefault(document.key, document)
        return list(best.values())


async def quark_search(arguments: str, tool: dict[str, Any]) -> str:
    """What the built-in documents say about the query of the arguments, as JSON text.

    >>> import asyncio
    >>> output = json.loads(asyncio.run(quark_search('{"query": "weather in Beijing"}', {})))
    >>> output["data"][0]["title"], output["data"][0]["source"]
    ('Weather in Beijing (sample data)', 'dashnb built-in documents')

    Nothing found is a success with empty ``data``.

    Raises:
        PluginError: The arguments are not JSON, or hold no query.
    """
    query = text_argument(read_arguments(arguments, plugin="quark_search"), "query", plugin="quark_search")
    output = {
        "success": True,
        "errorCode": None,
        "errorMsg": None,
        "data": [_result(document, query) for document in _index().find(query)[:MOST]],
        "requestId": str(uuid.uuid5(_SPACE, query)),
        "failed": False,
    }
    return json.dumps(output, ensure_ascii=False)


def _result(document: Document, query: str) -> dict[str, str | None]:
    return {
        "title": document.title,
        "url": None,
        "desc": document.text,
        "type": document.kind,
        "original": None,
        "query": query,
        "source": SOURCE,
    }


@cache
def _index() -> Index:
    entries = json.loads(files("dashnb.local.plugins").joinpath("documents.json").read_text(encoding="utf-8"))
    return Index(
        [
            Document(entry["key"], entry["type"], entry[language]["title"], entry[language]["text"])
            for entry in entries
            for language in ("en", "zh", "ja")
        ]
    )


def _words(text: str) -> list[str]:
    """The words of a text that name something; runs of Chinese or Japanese stay in one piece."""
    found = _WORD.findall(_ALONE_CJK.sub(r" \1 ", _IDLE_CJK.sub(" ", text.lower())))
    return [_singular(word) for word in found if word not in _IDLE]


def _singular(word: str) -> str:
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss") and word.isascii():
        return word.removesuffix("s").removesuffix("'")
    return word


def _split(word: str) -> list[str]:
    """The terms to compare: a Latin word as it is, anything else by overlapping pairs of characters."""
    if word.isascii() or len(word) == 1:
        return [word]
    return [word[i : i + 2] for i in range(len(word) - 1)]


def _terms(text: str) -> frozenset[str]:
    return frozenset(term for word in _words(text) for term in _split(word))


def _share(words: list[str], terms: frozenset[str]) -> float:
    """The part of the query that the terms cover: by word, for Chinese and Japanese by character."""
    covered = total = 0.0
    for word in words:
        if word.isascii() or len(word) == 1:
            covered, total = covered + (word in terms), total + 1
            continue
        hit = {j for i in range(len(word) - 1) if word[i : i + 2] in terms for j in (i, i + 1)}
        covered, total = covered + len(hit) / 2, total + len(word) / 2
    return covered / total if total else 0.0
