"""Which tools a message asks for, in which order, and with what arguments.

A message and a tool are compared by marks: plain words, pairs of Chinese characters, and concepts
that a table spells in three languages, so that ``get_current_weather`` answers to 天気. A mark in the
tool's name weighs more than one in its description. A tool is called only above a threshold, and a
place in the message speaks for one tool only: a second tool needs words of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dashnb.local.arithmetic import Sum
from dashnb.local.models.guide import purposes
from dashnb.local.models.guide.parameters import fill, parameters_of

Tool = dict[str, Any]

NAME, DESCRIPTION, PARAMETER, LITERAL = 4, 2, 1, 10  # weights of a mark by where the tool has it
ENOUGH = 4  # a mark of the name, or two of the description

_CONCEPTS: dict[str, str] = {
    "weather": r"weather|forecasts?|temperature|天气|天気|气温|気温|气候|天候",
    "add": r"\badd(?:s|ing|ition)?\b|\bplus\b|\bsums?\b|相加|加法|求和|足し|合計",
    "subtract": r"\bsubtract(?:s|ing|ion)?\b|\bminus\b|\bdifference\b|相减|减法|引き",
    "multiply": r"\bmultipl(?:y|ies|ication|ied)\b|\btimes\b|\bproduct\b|相乘|乘法|掛け",
    "divide": r"\bdivi(?:de|des|sion|ded)\b|\bquotient\b|相除|除法|割り",
    "power": r"\bpower\b|\bexponent\w*\b|次方|乗",
    "translate": r"\btranslat\w*|翻译|翻訳|訳し",
    "time": r"\btime\b|o'clock|\bclock\b|时间|几点|時刻|時間|何時",
    "price": r"\bprices?\b|\bcosts?\b|价格|多少钱|値段|価格|いくら",
    "stock": r"\bstocks?\b|\bshares?\b|股票|股价|株価",
    "train": r"\btrains?\b|\brail\w*|火车|高铁|列车|電車|列車|新幹線",
    "flight": r"\bflights?\b|\bfly\b|航班|机票|飞机|飛行機|航空券",
    "hotel": r"\bhotels?\b|酒店|宾馆|ホテル",
    "population": r"\bpopulation\b|\binhabitants\b|人口",
    "mail": r"\be?-?mails?\b|邮件|メール",
    "random": r"\brandom\w*|\bdice\b|\broll\b|随机|骰子|乱数|サイコロ",
    "convert": r"\bconver(?:t|ts|sion|ter)\b|换算|转换|変換|換算",
    "count": r"\bcounts?\b|how many|统计|数え|いくつ",
    "table": r"\btables?\b|\brows?\b|\bcolumns?\b|表格|テーブル",
}
_PATTERNS = {name: re.compile(words, re.IGNORECASE) for name, words in _CONCEPTS.items()}
_WORD = re.compile(r"[a-z][a-z0-9]+", re.IGNORECASE | re.ASCII)
_HAN = re.compile(r"[\u4e00-\u9fff]{2,}|[ァ-ヶー]{2,}")
_IDLE_WORDS = """
a about an and answer any are as ask at be by call can compute could current currently data do does each exact
exactly fetch for from function get gets give given gives go good has have help her his how if in input inputs into
is it its know let like list look make me my name new number numbers of on one or our out output please return
returned returns run say set should show some string tell text than that the their then there these this those to
tool two use used useful user using value values want was we well what when where which who why will with would
you your
"""
_IDLE = frozenset(_IDLE_WORDS.split())
_IDLE_PAIRS = "查询 获取 检索 当前 现在 今天 告诉 请问 怎么 什么 一下 一个 取得 現在 今日 返回 指定 计算 計算"
_IDLE_HAN = frozenset(_IDLE_PAIRS.split())


@dataclass(frozen=True, slots=True)
class Planned:
    """One call to make: the tool's name and its arguments."""

    name: str
    arguments: dict[str, object]


@dataclass(frozen=True, slots=True)
class Missing:
    """A tool that fits the message, but not enough of its parameters stand there."""

    name: str
    parameters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to call, one tuple per round, and which tools could not be called."""

    rounds: tuple[tuple[Planned, ...], ...] = ()
    missing: tuple[Missing, ...] = ()


def name_of(tool: Tool) -> str:
    """What a tool is called by: a function's name, otherwise the type.

    >>> name_of({"type": "function", "function": {"name": "big_add"}}), name_of({"type": "wanx"})
    ('big_add', 'wanx')
    """
    return str(_function(tool).get("name") or tool.get("type") or "")


def plan(message: str, tools: Iterable[Tool], found: Sum | None = None) -> Plan:
    """The calls that a message asks for.

    >>> tool = {"type": "function", "function": {"name": "get_current_weather", "parameters": {
    ...     "properties": {"location": {"type": "string"}}, "required": ["location"]}}}
    >>> plan("What is the weather in Xi'an?", [tool]).rounds
    ((Planned(name='get_current_weather', arguments={'location': "Xi'an"}),),)
    >>> plan("What is the weather like?", [tool]).missing
    (Missing(name='get_current_weather', parameters=('location',)),)
    >>> plan("Draw a cat.", [tool])
    Plan(rounds=(), missing=())

    A sum goes to a function or calculator that does it, and to no other tool.
    """
    tools = list(tools)
    if found is not None:
        return _plan_sum(message, tools, found)
    chosen = sorted(_choose(message, tools), key=lambda tool: purposes.order_of(str(tool.get("type"))))
    if not chosen:
        chosen = purposes.for_questions(message, tools)
    return _call_all(message, chosen)


def marks(text: str) -> dict[str, int]:
    """The marks of a text, and where each stands first.

    >>> marks("Draw the weather of 北京")
    {'~weather': 9, 'draw': 0, '北京': 20}
    """
    found: dict[str, int] = {}
    for name, pattern in _PATTERNS.items():
        if match := pattern.search(text):
            found[f"~{name}"] = match.start()
            text = pattern.sub(lambda one: " " * len(one[0]), text)
    for word in _WORD.finditer(text):
        plain = word[0].lower()
        if plain not in _IDLE:
            found.setdefault(plain.removesuffix("s") if len(plain) > 3 else plain, word.start())
    for run in _HAN.finditer(text):
        for i in range(len(run[0]) - 1):
            pair = run[0][i : i + 2]
            if pair not in _IDLE_HAN:
                found.setdefault(pair, run.start() + i)
    return found


def has_concept(tool: Tool, concept: str) -> bool:
    """Whether a tool's name or description speaks of a concept, such as ``weather``.

    >>> has_concept({"type": "function", "function": {"name": "big_add"}}, "add")
    True
    """
    return bool(_PATTERNS[concept].search(_spoken(name_of(tool))) or _PATTERNS[concept].search(_description(tool)))


def _choose(message: str, tools: list[Tool]) -> list[Tool]:
    """The tools that the message speaks of, the best first; each with words of its own."""
    said = marks(message)
    hits = [(tool, _hits(tool, said, message)) for tool in tools]
    chosen: list[Tool] = []
    taken: set[int] = set()
    while True:
        open_hits = [(_weight(found, taken), tool, found) for tool, found in hits if tool not in chosen]
        best = max(open_hits, key=lambda entry: entry[0], default=None)
        if best is None or best[0] < ENOUGH:
            return chosen
        chosen.append(best[1])
        taken |= set(best[2])


def _weight(found: dict[int, int], taken: set[int]) -> int:
    return sum(weight for place, weight in found.items() if place not in taken)


def _hits(tool: Tool, said: dict[str, int], message: str) -> dict[int, int]:
    """Where the message speaks of a tool, and how much each place weighs."""
    found: dict[int, int] = {}
    name = name_of(tool)
    if match := re.search(rf"(?<![\w]){re.escape(name)}(?![A-Za-z0-9_])", message):
        found[match.start()] = LITERAL
    for place in purposes.places_of(str(tool.get("type")), message):
        found[place] = NAME
    parameters = parameters_of(_schema(tool))
    about = (
        (NAME, _spoken(name)),
        (DESCRIPTION, _description(tool)),
        (PARAMETER, " ".join(p.words for p in parameters)),
    )
    for weight, text in about:
        for mark in marks(text):
            if mark in said:
                found.setdefault(said[mark], weight)
    return found


def _spoken(name: str) -> str:
    """A name in words: ``getWeather`` and ``get_weather`` are "get weather"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ").replace("-", " ")


def _function(tool: Tool) -> dict[str, Any]:
    function = tool.get("function")
    return function if isinstance(function, dict) else {}


def _schema(tool: Tool) -> dict[str, Any]:
    """The schema of the arguments: of a function, or of a plugin whose definition has one."""
    schema = _function(tool).get("parameters") or tool.get("parameters")
    return schema if isinstance(schema, dict) else {}


def _description(tool: Tool) -> str:
    return str(_function(tool).get("description") or tool.get("description") or "")


def _call_all(message: str, chosen: list[Tool]) -> Plan:
    rounds, missing = [], []
    for tool in chosen:
        if tool.get("type") == "function" or _schema(tool):
            filled = fill(parameters_of(_schema(tool)), message, verbs=_verbs(tool))
            calls, lacking = filled.calls, filled.missing
        else:
            calls, lacking = purposes.arguments_for(str(tool.get("type")), message)
        if lacking:
            missing.append(Missing(name_of(tool), lacking))
        else:
            rounds.append(tuple(Planned(name_of(tool), arguments) for arguments in calls))
    return Plan(tuple(rounds), tuple(missing))


def _verbs(tool: Tool) -> str:
    """The words of a function's name as alternatives of a pattern, for what is said after them."""
    words = [word for word in _spoken(name_of(tool)).lower().split() if word not in _IDLE and word.isalpha()]
    return "|".join(map(re.escape, words))


def _plan_sum(message: str, tools: list[Tool], found: Sum) -> Plan:
    for tool in tools:
        if tool.get("type") == "function" and found.operation and has_concept(tool, found.operation):
            arguments = _operands(tool, found)
            if arguments is not None:
                return Plan(((Planned(name_of(tool), arguments),),))
    if any(tool.get("type") == "calculator" for tool in tools):
        return Plan(((Planned("calculator", {"expression": found.expression}),),))
    return Plan()


def _operands(tool: Tool, found: Sum) -> dict[str, object] | None:
    """The two numbers under the names of a function's parameters; None if it does not take two."""
    parameters = parameters_of(_function(tool).get("parameters") or {})
    wanted = [one for one in parameters if one.kind in ("integer", "number", "string") and not one.choices]
    lists = [one for one in parameters if one.kind == "array"]
    others = [one for one in parameters if one.required and one not in wanted[:2]]
    texts = [found.left.replace(",", ""), found.right.replace(",", "")]
    numbers: list[object] = [float(text) if "." in text else int(text) for text in texts]
    if len(wanted) >= 2 and not others:
        pairs = zip(wanted[:2], texts, numbers, strict=True)
        return {one.name: text if one.kind == "string" else number for one, text, number in pairs}
    return {lists[0].name: numbers} if len(lists) == 1 and len(parameters) == 1 else None
