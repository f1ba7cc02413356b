"""The terms that texts and queries are compared by, in languages with and without blanks between words.

A word in letters is cut to a rough stem; a run of Chinese or Japanese becomes its overlapping pairs of
characters. Words that only ask, such as "what is" or 怎么样, are no terms.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Set

_CJK = "\u3041-\u3096\u30a1-\u30fa\u30fc\u3400-\u9fff"
_WORD = re.compile(rf"(?:(?![{_CJK}])[^\W_])+(?:['’](?:(?![{_CJK}])[^\W_])+)*|[{_CJK}]+")
_IS_CJK = re.compile(f"[{_CJK}]")
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
_ENDINGS = ("ings", "ing", "ed", "es", "s")


def words(text: str) -> list[str]:
    """The words of a text that name something; runs of Chinese or Japanese stay in one piece.

    >>> words("What is the price of the phones?"), words("今天北京天气怎么样")
    (['pric', 'phon'], ['北京', '天气'])
    """
    plain = unicodedata.normalize("NFKC", text).lower()
    found = _WORD.findall(_ALONE_CJK.sub(r" \1 ", _IDLE_CJK.sub(" ", plain)))
    return [_stem(word) for word in found if word not in _IDLE]


def terms(text: str) -> list[str]:
    """The terms of a text in their order, as an index takes them.

    >>> terms("ラグドール cats")
    ['ラグ', 'グド', 'ドー', 'ール', 'cat']
    """
    return [term for word in words(text) for term in _split(word)]


def share(asked: list[str], known: Set[str]) -> float:
    """The part of a query's words that the terms of a text cover: by word, in Chinese and Japanese by character.

    >>> share(words("weather in Lisbon"), set(terms("The weather in Beijing")))
    0.5
    """
    covered = total = 0.0
    for word in asked:
        if not _is_cjk(word) or len(word) == 1:
            covered, total = covered + (word in known), total + 1
            continue
        hit = {j for i in range(len(word) - 1) if word[i : i + 2] in known for j in (i, i + 1)}
        covered, total = covered + len(hit) / 2, total + len(word) / 2
    return covered / total if total else 0.0


def _stem(word: str) -> str:
    """A rough stem: ``resetting`` and ``resets`` become ``reset``, ``prices`` and ``price`` become ``pric``."""
    if not word.isascii() or len(word) < 4:
        return word
    stem = word.removesuffix("'s")
    for ending in _ENDINGS:
        if stem.endswith(ending) and not stem.endswith("ss") and len(stem) - len(ending) >= 3:
            stem = stem.removesuffix(ending)
            break
    if len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] in "bdgmnprt":
        stem = stem[:-1]
    return stem.removesuffix("e") if len(stem) > 3 else stem


def _is_cjk(word: str) -> bool:
    return bool(_IS_CJK.match(word))


def _split(word: str) -> list[str]:
    if not _is_cjk(word) or len(word) == 1:
        return [word]
    return [word[i : i + 2] for i in range(len(word) - 1)]
