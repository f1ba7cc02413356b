"""What stands literally in a message: numbers, quotations, places, languages, dates, addresses.

Nothing is guessed: a value that is not in the message is not found. Each function returns values in
the order in which they stand there.
"""

from __future__ import annotations

import itertools
import re

from dashnb.local.arithmetic import NUMBER, narrow

_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}|\d{4}年\d{1,2}月\d{1,2}[日号]|\d{1,2}月\d{1,2}[日号]", re.ASCII)
_DAY = re.compile(
    r"\b(?:today|tomorrow|tonight|now|yesterday|(?:next |this )?(?:week|weekend))\b"
    r"|\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b|今天|明天|后天|昨天|现在|今日|明日|明後日|昨日|周末|週末",
    re.IGNORECASE,
)
_QUOTED = re.compile(
    r"“([^“”]+)”|\"([^\"]+)\"|「([^「」]+)」|『([^『』]+)』|‘([^‘’]+)’|`([^`]+)`|(?<!\w)'([^']+)'(?!\w)"
)
_URL = re.compile(r"https?://[^\s<>\"'）」』”、。，]*[^\s<>\"'）」』”、。，.?!,)]")
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]++@[\w-]+(?:\.[\w-]+)+", re.ASCII)

_CITIES = (
    "Beijing Shanghai Hangzhou Shenzhen Guangzhou Chengdu Nanjing Wuhan Suzhou Xi'an Hong~Kong Tokyo Osaka Kyoto "
    "Sapporo Nagoya Fukuoka Singapore Seoul Paris London Berlin Rome Madrid New~York San~Francisco Sydney Boston"
)
_CITIES_CJK = (
    "北京 上海 杭州 深圳 广州 成都 南京 武汉 苏州 西安 香港 台北 东京 東京 大阪 京都 札幌 名古屋 福岡 横浜 神戸 "
    "新加坡 首尔 巴黎 伦敦 柏林 纽约 旧金山 悉尼 "
    "シンガポール ソウル パリ ロンドン ベルリン ローマ ニューヨーク サンフランシスコ シドニー"
)
_KNOWN = re.compile(rf"\b(?:{_CITIES.replace(' ', '|').replace('~', ' ')})\b", re.IGNORECASE)
_KNOWN_CJK = re.compile(_CITIES_CJK.replace(" ", "|"))
# A name has a few words, and a list a few names: without an end, each word would be read for all before it.
_PROPER = r"[A-Z]\w*+(?:['’-](?!s\b)\w++){0,3}"
_NAME = rf"{_PROPER}(?:[ -]{_PROPER}){{0,5}}"
_AND = r"(?:,? and |, ?| or | & )"
_PLACED = re.compile(
    rf"\b(?:in|at|for|near|from|to|of|[Ww]eather|between)\s+({_NAME}(?:{_AND}{_NAME}){{0,9}})|\b({_NAME})['’]s\b"
)
_PLACED_CJK = re.compile(
    r"([\u4e00-\u9fff]{2,5}|[ァ-ヶー]{2,12})(?:市)?(?:的|の)?(?:天气|天気|气温|気温|时间|時間|時刻|人口)"
)
_TIMES_CJK = re.compile(r"今天|明天|后天|现在|今日|明日|現在|当前|的|の|请问|请|查询|查一下|告诉我|は|在|帮我|こと")
_NO_PLACE = re.compile(
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December|I|QR|PNG|JSON|Python"
    r"|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|Celsius|Fahrenheit|English|Chinese|Japanese|French|German|Spanish"
    r"|Korean|Russian|Italian|Please|What|How)"
)
_LANGUAGE = re.compile(
    r"\b(?:English|Chinese|Mandarin|Japanese|French|German|Spanish|Korean|Russian|Italian|Portuguese|Arabic|Latin)\b"
    r"|[英中日法德韩俄]文|[英汉日法德韩俄]语|英語|中国語|日本語|フランス語|ドイツ語|スペイン語|韓国語",
    re.IGNORECASE,
)
_OBJECT = re.compile(r"\S(?:.*?\S)??(?=\s+(?:to|into|in|for|with|from)\s|[.?!]?\s*$)", re.IGNORECASE)
# How many places, numbers or verbs of a message are tried, each of which takes looking through all of it.
_TRIED = 20
_LONGEST_NUMBER = 100  # characters; thousands of digits are no number to Python
_UNIT = re.compile(r"\b(?:celsius|fahrenheit|kelvin|metric|imperial)\b|摄氏度?|华氏度?|摂氏|華氏", re.IGNORECASE)


def numbers(message: str) -> list[int | float]:
    """The numbers, whole ones as int; the parts of a date do not count.

    >>> numbers("add 87787 to 788,988,737 on 2024-05-01, then -2.5")
    [87787, 788988737, -2.5]
    """
    text = _URL.sub(" ", _DATE.sub(" ", narrow(message)))
    found = re.findall(rf"(?<![\w.])-?(?:{NUMBER})|(?<=[^\x00-\x7f])(?:{NUMBER})", text, re.ASCII)
    plain = [number.replace(",", "") for number in found if len(number) <= _LONGEST_NUMBER]
    return [float(number) if "." in number else int(number) for number in plain]


def quotations(message: str) -> list[str]:
    """The quoted spans, whatever the quotation marks.

    >>> quotations("Translate “Hello world” and 'good day', isn't it?")
    ['Hello world', 'good day']
    """
    return [next(group for group in match if group).strip() for match in _QUOTED.findall(message)]


def places(message: str) -> list[str]:
    """Names of places: some known cities, names after "in", "at" or "for", and 〜天气 and 〜の天気.

    >>> places("What is the weather in Beijing and Xi'an today?"), places("rain in Ulm tomorrow?")
    (['Beijing', "Xi'an"], ['Ulm'])
    >>> places("今天北京天气怎么样"), places("奈良の天気は?")
    (['北京'], ['奈良'])
    """
    found = [(match.start(), match[0]) for match in _KNOWN.finditer(message)]
    found += [(match.start(), match[0]) for match in _KNOWN_CJK.finditer(message)]
    if not found:
        found = [(match.start(), match[1] or match[2]) for match in _PLACED.finditer(message)]
        plain = _TIMES_CJK.sub(" ", message)
        found += [(match.start(), match[1]) for match in _PLACED_CJK.finditer(_weather_apart(plain))]
    else:
        found += [(match.start(1), match[1]) for match in _PLACED.finditer(message) if match[1]]
    names = [name for _, run in sorted(found) for name in re.split(_AND, run)]
    return list(dict.fromkeys(_title(name) for name in names if not _NO_PLACE.fullmatch(name)))


def _weather_apart(text: str) -> str:
    # The blank that stood between a place and its weather was の or 的: they belong together.
    return re.sub(r"(?<!\s)\s{1,4}(?=天气|天気|气温|気温|时间|時間|時刻|人口)", "", text)


def _title(name: str) -> str:
    return name if name != name.lower() else re.sub(r"(?:^|(?<= ))\w", lambda match: match[0].upper(), name)


def place_after(message: str, *, towards: bool) -> str | None:
    """The place that a way leads to, or with `towards` false the one it comes from.

    >>> place_after("trains from Beijing to Shanghai", towards=True), place_after("从西安到北京", towards=False)
    ('Shanghai', '西安')
    """
    before, after = (
        (r"(?:\bto|\binto|到|去|至)\s*", r"(?:まで|へ|行き)") if towards else (r"(?:\bfrom|从|自)\s*", "から")
    )
    for place in places(message)[:_TRIED]:
        name = re.escape(place)
        if re.search(rf"{before}{name}|{name}\s*{after}", message, re.IGNORECASE):
            return place
    return None


def languages(message: str) -> list[str]:
    """Names of languages.

    >>> languages("Translate it to Chinese"), languages("翻译成英文")
    (['Chinese'], ['英文'])
    """
    return _LANGUAGE.findall(message)


def dates(message: str) -> list[str]:
    """Dates and days, as written.

    >>> dates("from 2024-05-01 until tomorrow")
    ['2024-05-01', 'tomorrow']
    """
    found = [(match.start(), match[0]) for pattern in (_DATE, _DAY) for match in pattern.finditer(message)]
    return [text for _, text in sorted(found)]


def units(message: str) -> list[str]:
    """Units of temperature and systems of units.

    >>> units("in Celsius, please")
    ['Celsius']
    """
    return _UNIT.findall(message)


def urls(message: str) -> list[str]:
    """Web addresses.

    >>> urls("see https://example.org/a?b=1.")
    ['https://example.org/a?b=1']
    """
    return _URL.findall(message)


def emails(message: str) -> list[str]:
    """Mail addresses.

    >>> emails("write to ann@example.org.")
    ['ann@example.org']
    """
    return [found.rstrip(".") for found in _EMAIL.findall(message)]


def proper_nouns(message: str) -> list[str]:
    """Capitalised names that do not begin the message.

    >>> proper_nouns("Send the book to Ann Lee and Bob")
    ['Ann Lee', 'Bob']
    """
    found = [match for match in re.finditer(_NAME, message) if match.start() > 0]
    return [match[0] for match in found if _before(message, match.start()) not in ".!?" and match[0] != "I"]


def _before(message: str, place: int) -> str:
    """The last character before a place that is no blank."""
    return next((message[at] for at in range(place - 1, -1, -1) if not message[at].isspace()), "")


def named(message: str, parameter: str) -> str | None:
    """The word that the message gives to a parameter by its name.

    >>> named("book a table, size: large", "size"), named("set colour to red", "colour")
    ('large', 'red')
    """
    name = re.escape(parameter.replace("_", " "))
    match = re.search(rf"\b{name}\s*(?:is|are|=|:|：|to|は|是|为)\s*([^\s,.;?!，。、；？！]+)", message, re.IGNORECASE)
    return match[1] if match else None


def object_of(message: str, verbs: str) -> str | None:
    """What a verb is said about: the words between it and the next "to", "into", "in" or the end.

    >>> object_of("Please translate good morning to French", "translate")
    'good morning'
    """
    said = re.finditer(rf"\b(?:{verbs})\b\s*(?:[:：]\s*)?", message, re.IGNORECASE)
    objects = (_OBJECT.match(message, verb.end()) for verb in itertools.islice(said, _TRIED))
    return next((match[0].strip() for match in objects if match), None)


def after_colon(message: str) -> str | None:
    """What follows a colon.

    >>> after_colon("Count the words: one two three")
    'one two three'
    """
    match = re.search(r"[:：]\s+(.+)|：(.+)", message, re.DOTALL)
    return (match[1] or match[2]).strip() if match else None
