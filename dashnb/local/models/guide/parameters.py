"""Fills a function's arguments from what stands in the message, by the function's JSON Schema.

A parameter is filled by its type and, for text, by what its name and description speak of: a place,
a language, a date. Each value is used once. What cannot be found stays out; a required parameter
without a value is reported, never invented.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from dashnb.local.models.guide import values

Schema = dict[str, Any]

_TYPES = {
    "int": "integer", "long": "integer", "float": "number", "double": "number", "str": "string", "bool": "boolean",
    "list": "array", "tuple": "array", "dict": "object",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Filled:
    """Arguments for one or more calls of a function, and the required parameters without a value."""

    calls: tuple[dict[str, object], ...]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a function: what its schema says, resolved.

    Attributes:
        kind: ``integer``, ``number``, ``string``, ``boolean``, ``array`` or ``object``.
        words: Name and description, for what a text is about.
    """

    name: str
    kind: str
    words: str
    required: bool
    choices: tuple[object, ...]
    items: str


def parameters_of(schema: Schema) -> list[Parameter]:
    """The parameters of a function's JSON Schema, in its order.

    >>> schema = {"type": "object", "properties": {"left": {"type": "integer"}}, "required": ["left"]}
    >>> [(parameter.name, parameter.kind, parameter.required) for parameter in parameters_of(schema)]
    [('left', 'integer', True)]
    """
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return []
    required = schema.get("required") or []
    return [_parameter(name, _resolve(given, schema), name in required) for name, given in properties.items()]


def _parameter(name: str, given: Schema, required: bool) -> Parameter:
    items = given.get("items")
    item_kind = _kind(items) if isinstance(items, dict) else "string"
    words = f"{name.replace('_', ' ')} {given.get('description') or ''}"
    return Parameter(name, _kind(given), words, required, tuple(given.get("enum") or ()), item_kind)


def _resolve(given: object, schema: Schema) -> Schema:
    """The schema behind a reference or behind a choice between a type and null."""
    if not isinstance(given, dict):
        return {}
    if isinstance(reference := given.get("$ref"), str):
        return {**_resolve(schema.get("$defs", {}).get(reference.rsplit("/", 1)[-1]), {}), **given}
    for choice in (*(given.get("anyOf") or ()), *(given.get("allOf") or ())):
        if isinstance(choice, dict) and choice.get("type") != "null":
            return {**_resolve(choice, schema), **given}
    return given


def _kind(given: Schema) -> str:
    kind = given.get("type", "string")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "string")
    return _TYPES.get(str(kind), str(kind))


def fill(parameters: Iterable[Parameter], message: str, *, verbs: str = "") -> Filled:
    """The arguments that the message holds for these parameters.

    >>> city = Parameter("location", "string", "location", True, (), "string")
    >>> fill([city], "What is the weather in Beijing and Xi'an?").calls
    ({'location': 'Beijing'}, {'location': "Xi'an"})
    >>> fill([city], "What is the weather like?").missing
    ('location',)

    Several places for a function that takes one make several calls. `verbs` is what the function is
    called in the message, such as ``translate``; what follows it may be the text to work on.
    """
    parameters = list(parameters)
    filler = _Filler(message, verbs)
    found: dict[str, object] = {}
    # Required parameters choose first; the arguments keep the schema's order all the same.
    for parameter in sorted(parameters, key=lambda one: not one.required):
        value = filler.value(parameter)
        if value is not None:
            found[parameter.name] = value
    arguments = {parameter.name: found[parameter.name] for parameter in parameters if parameter.name in found}
    missing = tuple(one.name for one in parameters if one.required and one.name not in found)
    return Filled(_one_per_place(parameters, arguments, message), missing)


def _one_per_place(
    parameters: list[Parameter], arguments: dict[str, object], message: str
) -> tuple[dict[str, object], ...]:
    placed = [one for one in parameters if one.kind == "string" and not one.choices and _about(one) is values.places]
    if len(placed) != 1 or placed[0].name not in arguments:
        return (arguments,)
    return tuple({**arguments, placed[0].name: place} for place in values.places(message)) or (arguments,)


_PLACE = re.compile(
    r"\b(?:locations?|city|cities|place|town|country|region|address|destination|origin|where)\b|城市|地点|地名|地方|位置|都市|場所",
    re.IGNORECASE,
)
_START = re.compile(r"^(?:from|origin|departure|start|depart)\b|出发|出発", re.IGNORECASE)
_GOAL = re.compile(r"^(?:to|destination|arrival|dest|goal)\b|到达|目的地", re.IGNORECASE)

Find = Callable[[str], list[str]]
# What a text parameter is about, by the words of its name first and of its description second.
_ABOUT: list[tuple[re.Pattern[str], Find]] = [
    (re.compile(words, re.IGNORECASE), find)
    for words, find in (
        (r"\b(?:e-?mail|recipient)\b|邮箱|メール", values.emails),
        (r"\b(?:url|link|website)\b|网址|链接", values.urls),
        (r"\bunits?\b|单位|単位", values.units),
        (r"\b(?:lang|language)\b|语言|言語", values.languages),
        (r"\b(?:date|day|when)\b|日期|日付", values.dates),
        (_PLACE.pattern, values.places),
    )
]
_WHOLE = re.compile(r"^(?:query|question|prompt|keywords?|search|topic|q)\b|问题|関键|質問", re.IGNORECASE)
_TRIED = 20  # numbers of a message, each of which takes looking through all of it
_NEGATED = r"(?:\bno|\bnot|\bwithout|\bdon't|\bdisable|不要|不|なし)\W*+(?:\w{1,30}+\W++)?"


def _about(parameter: Parameter) -> Find | None:
    """What finds the values of a text parameter; None if it may be any text."""
    name = parameter.name.replace("_", " ")
    if _START.search(name) or _GOAL.search(name):
        return values.places
    for text in (name, parameter.words):
        for words, find in _ABOUT:
            if words.search(text):
                return find
    return None


class _Filler:
    """Hands out the values of one message, each at most once."""

    def __init__(self, message: str, verbs: str) -> None:
        self._message = message
        self._verbs = verbs
        self._numbers = values.numbers(message)
        self._used: set[object] = set()

    def value(self, parameter: Parameter) -> object:
        """The value for a parameter, or None."""
        if parameter.choices:
            return self._choice(parameter)
        if parameter.kind in ("integer", "number"):
            return self._number(parameter)
        if parameter.kind == "boolean":
            return self._flag(parameter)
        if parameter.kind == "array":
            return self._array(parameter)
        return self._text(parameter) if parameter.kind == "string" else None

    def _choice(self, parameter: Parameter) -> object:
        lowered = self._message.lower()
        places = [(re.search(_as_word(str(choice).lower()), lowered), choice) for choice in parameter.choices]
        found = [(match.start(), choice) for match, choice in places if match]
        return min(found, key=lambda pair: pair[0])[1] if found else None

    def _number(self, parameter: Parameter) -> int | float | None:
        left = [one for one in self._numbers if parameter.kind == "number" or isinstance(one, int)]
        if not left:
            return None
        chosen = next((one for one in left[:_TRIED] if self._stands_by(one, parameter.name)), left[0])
        self._numbers.remove(chosen)
        return chosen

    def _stands_by(self, number: int | float, name: str) -> bool:
        pattern = _beside(number, re.escape(name.replace("_", " ")))
        return re.search(pattern, self._message, re.IGNORECASE) is not None

    def _flag(self, parameter: Parameter) -> bool | None:
        word = re.escape(parameter.name.replace("_", " "))
        if re.search(_NEGATED + word, self._message, re.IGNORECASE):
            return False
        return True if re.search(rf"\b{word}", self._message, re.IGNORECASE) else None

    def _array(self, parameter: Parameter) -> list[Any] | None:
        if parameter.items in ("integer", "number"):
            found: list[Any] = [one for one in self._numbers if parameter.items == "number" or isinstance(one, int)]
            self._numbers = []
            return found or None
        about = _about(parameter)
        return (about(self._message) if about else values.quotations(self._message)) or None

    def _text(self, parameter: Parameter) -> str | None:
        if given := values.named(self._message, parameter.name):
            return given
        about = _about(parameter)
        if about is None:
            candidates = self._free_text(parameter)
        elif about is values.places:
            candidates = [*self._on_the_way(parameter), *values.places(self._message)]
        else:
            candidates = about(self._message)
        value = next((one for one in candidates if one and one not in self._used), None)
        self._used.add(value)
        return value

    def _on_the_way(self, parameter: Parameter) -> list[str]:
        name = parameter.name.replace("_", " ")
        start, goal = _START.search(name), _GOAL.search(name)
        place = values.place_after(self._message, towards=bool(goal)) if start or goal else None
        return [place] if place else []

    def _free_text(self, parameter: Parameter) -> list[str]:
        """Candidates for a text about anything; an optional one takes only what is quoted."""
        quoted = values.quotations(self._message)
        if not parameter.required:
            return quoted
        if _WHOLE.search(parameter.name.replace("_", " ")):
            return [*quoted, self._message.strip()]
        if quoted:
            return quoted
        spoken = values.object_of(self._message, self._verbs) if self._verbs else None
        numbers = [str(one) for one in self._numbers]
        candidates = [values.after_colon(self._message), spoken, *values.proper_nouns(self._message), *numbers]
        return [one for one in candidates if one]


def _beside(number: int | float, word: str) -> str:
    return rf"\b{number}\s*{word}\b|\b{word}\s*(?:(?:is|=|:|of|to)\s*)?{number}\b"


def _as_word(text: str) -> str:
    return rf"\b{re.escape(text)}\b" if text.isascii() else re.escape(text)
