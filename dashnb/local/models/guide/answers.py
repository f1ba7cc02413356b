"""Sentences from what tools gave out: searches, pictures, sums, functions of any kind."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from typing import Any

from dashnb.foreign import read_json
from dashnb.local.arithmetic import CalculationError, Sum, evaluate, format_number, is_exact
from dashnb.local.models.engine import Call
from dashnb.local.models.guide.language import Language
from dashnb.local.models.guide.phrases import SKIES, say
from dashnb.local.models.guide.routing import Tool, has_concept, name_of

MOST_TITLES = 3
MOST_LINES = 20
_SENTENCE = re.compile(r"[.!?。！？]\s*$")
_FAILED = "Error:"


def answer_sum(language: Language, found: Sum) -> str:
    """A sum and its result, in a sentence.

    >>> answer_sum("en", Sum("999 × 998", "multiply", "999", "998"))
    '999 multiplied by 998 equals 997002.'
    >>> answer_sum("en", Sum("10 ÷ 3", "divide", "10", "3"))
    '10 divided by 3 ≈ 3.33333333333.'
    """
    try:
        value = evaluate(found.expression)
    except CalculationError as error:
        return say(language, "sum_failed", formula=found.expression, reason=error)
    return _sum_sentence(language, found, format_number(value), exact=is_exact(value))


def _sum_sentence(language: Language, found: Sum, number: str, *, exact: bool = True) -> str:
    equals = say(language, "equals" if exact else "about", number=number)
    if not found.operation:
        return say(language, "formula", formula=found.expression, equals=equals)
    return say(language, found.operation, left=found.left, right=found.right, equals=equals)


def answer_calls(language: Language, calls: list[Call], tools: list[Tool], found: Sum | None) -> str:
    """What the calls of a run brought, one paragraph or list for each.

    >>> answer_calls("en", [Call("get_weather", '{"city": "Xi\\'an"}', "rain")], [], None)
    "The current weather in Xi'an is rain."
    """
    known = {name_of(tool): tool for tool in tools}
    sections = [_answer_call(language, call, known.get(call.name, {"type": call.name}), found) for call in calls]
    return "\n\n".join(dict.fromkeys(sections))


def _answer_call(language: Language, call: Call, tool: Tool, found: Sum | None) -> str:
    if call.output.startswith(_FAILED):
        reason = call.output.removeprefix(_FAILED).strip()
        return say(language, "failed", name=call.name, reason=reason)
    answer = {
        "quark_search": _search,
        "search": _search,
        "text_to_image": _pictures,
        "wanx": _pictures,
        "generate_qrcode": _qrcode,
        "rag": _search,
    }.get(call.name)
    arguments, output = _read(call.arguments), _read(call.output)
    if answer and isinstance(output, dict) and isinstance(arguments, dict):
        return answer(language, arguments, output)
    if call.name == "calculator" and isinstance(output, dict) and found:
        return _calculated(language, found, output)
    return _function(language, call, tool, found)


def _read(text: str) -> Any:
    try:
        return read_json(text)
    except ValueError:
        return None


def _search(language: Language, arguments: dict[str, Any], output: dict[str, Any]) -> str:
    results = [entry for entry in output.get("data") or () if isinstance(entry, dict) and entry.get("desc")]
    if not results:
        asked = arguments.get("query") or arguments.get("query_word") or ""
        return say(language, "not_found", query=asked)
    weather = [entry for entry in results if "weather" in str(entry.get("type"))]
    if weather and weather[0] is results[0]:
        # A weather record is a sentence already; all of them if the question named several places.
        return "\n\n".join(f"{entry['desc']}{_source(language, entry)}" for entry in weather[:MOST_TITLES])
    best, *others = results
    text = f"{say(language, 'from_search', title=best.get('title', ''))}{best['desc']}{_source(language, best)}"
    titles = [_titled(language, entry) for entry in others[:MOST_TITLES]]
    return f"{text}\n\n{say(language, 'further', titles=_listed(language, titles))}" if titles else text


def _source(language: Language, entry: dict[str, Any]) -> str:
    source = entry.get("source") or entry.get("title") or ""
    url = str(entry.get("url") or "")
    return say(language, "source", source=f"[{source}](<{url}>)" if url.startswith("http") else source)


def _titled(language: Language, entry: dict[str, Any]) -> str:
    return f"{say(language, 'quote_open')}{entry.get('title', '')}{say(language, 'quote_close')}"


def _listed(language: Language, parts: list[str]) -> str:
    return say(language, "comma").join(parts)


def _pictures(language: Language, arguments: dict[str, Any], output: dict[str, Any]) -> str:
    inner = output.get("output") if isinstance(output.get("output"), dict) else output
    results = (inner or {}).get("results") or ()
    urls = [str(entry["url"]) for entry in results if isinstance(entry, dict) and entry.get("url")]
    prompt = str(arguments.get("prompt") or "")
    if not urls:
        return say(language, "no_picture")
    key = "picture" if len(urls) == 1 else "pictures"
    alt = re.sub(r"[\[\]\\\s]+", " ", re.split(r"[,，、]", prompt)[0]).strip()
    images = "\n\n".join(f"![{alt}]({url})" for url in urls)
    return f"{say(language, key, prompt=prompt, count=len(urls))}\n\n{images}"


def _qrcode(language: Language, arguments: dict[str, Any], output: dict[str, Any]) -> str:
    inner = output.get("output")
    results = inner.get("results") or () if isinstance(inner, dict) else ()
    urls = [str(entry["url"]) for entry in results if isinstance(entry, dict) and entry.get("url")]
    text = str(arguments.get("text") or "")
    return "\n\n".join([say(language, "qrcode", text=text), *(f"![QR]({url})" for url in urls)])


def _calculated(language: Language, found: Sum, output: dict[str, Any]) -> str:
    if "result" not in output:
        return say(language, "sum_failed", formula=found.expression, reason=output.get("error", ""))
    return _sum_sentence(language, found, str(output["result"]), exact=output.get("exact", True) is True)


def _function(language: Language, call: Call, tool: Tool, found: Sum | None) -> str:
    output = call.output.strip()
    if not output:
        return say(language, "nothing", name=call.name)
    if found and found.operation and has_concept(tool, found.operation) and (number := _as_number(output)):
        return _sum_sentence(language, found, number)
    place = _place(call) if has_concept(tool or {"type": call.name}, "weather") else None
    if place and "\n" not in output and len(output) <= 60 and not _SENTENCE.search(output) and output[0] not in "[{":
        return say(language, "weather", place=place, output=SKIES[language].get(output.lower(), output))
    return _result(language, call.name, output)


def _result(language: Language, name: str, output: str) -> str:
    value = _read(output)
    if isinstance(value, (dict, list)) and value:
        return f"{say(language, 'returned', name=name)}\n\n{_lines(value)}"
    if isinstance(value, str):
        output = value
    if "\n" in output:
        return f"{say(language, 'returned', name=name)}\n\n{output}"
    end = "" if _SENTENCE.search(output) else say(language, "result_end")
    return say(language, "result", name=name, output=output) + end


def _as_number(output: str) -> str | None:
    """The number that an output is, or holds under a name such as ``result``; None if there is none."""
    value = _read(output)
    if isinstance(value, dict) and len(value) == 1:
        value = next(iter(value.values()))
    text = str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else output
    try:
        return format_number(Fraction(text)) if re.fullmatch(r"-?\d+(?:\.\d+)?", text, re.ASCII) else None
    except ValueError:
        return None


def _place(call: Call) -> str | None:
    arguments = _read(call.arguments)
    texts = [value for value in arguments.values() if isinstance(value, str)] if isinstance(arguments, dict) else []
    return texts[0] if texts else None


def _lines(value: dict[str, Any] | list[Any]) -> str:
    """A JSON object or array as a Markdown list of at most twenty lines."""
    entries = [f"- {key}: {_short(one)}" for key, one in value.items()] if isinstance(value, dict) else []
    entries = entries or [f"- {_short(one)}" for one in value]
    rest = [f"- … ({len(entries) - MOST_LINES})"] if len(entries) > MOST_LINES else []
    return "\n".join(entries[:MOST_LINES] + rest)


def _short(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_short(one)}" for key, one in value.items())
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:200]}…"
