"""Which language a message is in, how its answer is cut into pieces, and what counts as a token."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Literal

Language = Literal["en", "zh", "ja"]

_KANA = re.compile(r"[\u3041-\u3096\u30a1-\u30fa]")
_HAN = re.compile(r"[\u3400-\u9fff]")
_WIDE = r"\u3000-\u30ff\u3400-\u9fff\uff00-\uffef"
_PIECE = re.compile(rf"\s*(?:[{_WIDE}]{{1,4}}|[^\s{_WIDE}]+)|\s+$")
_PICTURE_DATA = re.compile(r"data:image/[\w+.-]+;base64,[A-Za-z0-9+/=]+")
_FIRST_NUMBER = re.compile(r"\d{1,6}(?=\s)", re.ASCII)


def language_of(text: str) -> Language:
    """The language to answer in: Japanese if there is kana, else Chinese if there are Han characters.

    >>> language_of("北京の天気"), language_of("北京天气"), language_of("Weather in Beijing")
    ('ja', 'zh', 'en')
    """
    if _KANA.search(text):
        return "ja"
    return "zh" if _HAN.search(text) else "en"


def pieces_of(text: str) -> Iterator[str]:
    """The text in pieces of about a word; a number that begins it comes digit by digit.

    >>> list(pieces_of("999 plus 1 equals 1000."))
    ['9', '9', '9', ' plus', ' 1', ' equals', ' 1000.']
    >>> list(pieces_of("西安の現在の天気は雨です。"))
    ['西安の現', '在の天気', 'は雨です', '。']
    """
    if number := _FIRST_NUMBER.match(text):
        yield from number[0]
        text = text[number.end() :]
    yield from (match[0] for match in _PIECE.finditer(text))


def argument_pieces(arguments: dict[str, object]) -> Iterator[str]:
    """The arguments as JSON text in a few pieces: each key apart from its value.

    >>> list(argument_pieces({"location": "Xi'an", "days": 3}))
    ['{"location": "', 'Xi\\'an", "days": ', '3}']
    >>> list(argument_pieces({}))
    ['{}']
    """
    written, opening = "", "{"
    for key, value in arguments.items():
        text = json.dumps(value, ensure_ascii=False)
        quote = '"' if text.startswith('"') else ""
        yield f"{written}{opening}{json.dumps(key, ensure_ascii=False)}: {quote}"
        written, opening = text.removeprefix(quote), ", "
    yield f"{written}}}" if arguments else "{}"


def count_tokens(text: str) -> int:
    """The tokens of a text by dashnb's rule: one for four ASCII characters begun, one for any other.

    >>> count_tokens("What is 999 × 998?"), count_tokens("北京"), count_tokens("")
    (6, 2, 0)

    A rule and not a tokenizer: it is the same everywhere and near enough to show what usage is. A
    picture that is written out as data counts as its first characters: no model reads it as text.
    """
    text = _PICTURE_DATA.sub("data:image", text)
    plain = sum(character.isascii() for character in text)
    return -(-plain // 4) + len(text) - plain
