"""Tool calls made readable: arguments as a person would write them, outputs by what they hold."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic_core import from_json

from dashnb.characters import exact, exact_json, visible
from dashnb.protocol.state import Step, ToolCall
from dashnb.view.heading import Heading

ARGUMENTS_SHOWN = 2000  # characters
OUTPUT_SHOWN = 4000
RESULTS_SHOWN = 10
_PARSED_AT_MOST = 1_000_000
_LINE = 100


@dataclass(frozen=True, slots=True)
class SearchResult:
    """One result of a search: title, address (``""`` if none), a few words, where it is from."""

    title: str
    url: str
    words: str
    source: str


@dataclass(frozen=True, slots=True)
class Reading:
    """The output of a tool call, understood as far as possible.

    Attributes:
        kind: ``none``, ``search``, ``nothing`` (a search without results), ``pictures``, ``json`` or ``text``.
        text: The output as text: JSON pretty-printed, anything else as it came; with pictures, the text
            beside them.
        results: The results of a search.
        pictures: The addresses of pictures.
        words: JSON or text in a few words.
    """

    kind: str = "none"
    text: str = ""
    results: tuple[SearchResult, ...] = ()
    pictures: tuple[str, ...] = ()
    words: str = ""

    def line(self, heading: Heading) -> str:
        """The output in a few words of the reader's language."""
        if self.kind == "search":
            return heading.count(len(self.results), "{n} result", "{n} results")
        if self.kind == "pictures":
            return heading.count(len(self.pictures), "{n} picture", "{n} pictures")
        return heading.say("no results") if self.kind == "nothing" else self.words


@lru_cache(maxsize=64)
def read_arguments(arguments: str) -> str:
    """The arguments to read: JSON pretty-printed, a program as its lines, half of an object as far as it goes.

    What is read of arguments that still arrive only grows at its end, as a rule, so that it can be
    shown as it comes. It is what the function gets: of a name that stands twice the last value, and nothing that
    cannot be seen.

    >>> print(read_arguments('{"city": "北京"}'))
    {
      "city": "北京"
    }
    >>> read_arguments('{"code": "x = 1\\\\nprint(x)"}')
    'x = 1\\nprint(x)'
    >>> print(read_arguments('{"city": "Bei'))
    {
      "city": "Bei
    """
    value = _parse(arguments)
    if code := _program(value):
        return exact(code)
    if isinstance(value, (dict, list)):
        return _pretty_arguments(value, arguments)
    return _incomplete(arguments)


def editable_arguments(arguments: str) -> str:
    r"""The arguments as a person may change them: JSON in lines, with the same values, what is none as it is.

    >>> editable_arguments('{"city": "Rome\u202e"}')
    '{\n  "city": "Rome\\u202e"\n}'
    """
    value = _parse(arguments)
    return exact_json(arguments) if value is None else _pretty_arguments(value, arguments)


def program(arguments: str) -> str:
    """The code if that is the only argument, as of a code interpreter, else ``""``.

    >>> program('{"code": "print(1)"}'), program('{"city": "Rome"}')
    ('print(1)', '')
    """
    return _program(_parse(arguments))


def arguments_line(arguments: str) -> str:
    r"""The arguments in one short line: JSON as it came, of a program its first line.

    >>> arguments_line('{"code": "x = 1\\nprint(x)"}'), arguments_line('{"city": "Rome"}')
    ('x = 1 …', '{"city": "Rome"}')
    """
    code = exact(_program(_parse(arguments))).strip()
    if not code:
        return one_line(exact(_once(arguments)), 80)
    first, *others = code.split("\n")
    return one_line(first, 80) + (" …" if others else "")


def arguments_beginning(arguments: str) -> str:
    """The beginning of the arguments as they come, in one line; grows at its end only.

    >>> arguments_beginning('{"city": "Ro')
    '{"city": "Ro'
    """
    return one_line(exact(arguments[: 4 * _LINE]))


def arguments_in_line(arguments: str, heading: Heading) -> str:
    """The arguments in one line, of long ones the beginning and how much more there is.

    >>> arguments_in_line('{"city": "Rome", "city": "Paris"}', Heading())
    '{"city": "Paris"}'
    >>> arguments_in_line('{"text": "' + "x" * 120 + '"}', Heading())[-30:]
    'xxxxxxxx… (32 more characters)'
    """
    line = " ".join(exact(_once(arguments)).split())
    if len(line) <= _LINE:
        return line
    left = len(line) - _LINE
    return f"{line[:_LINE].rstrip()}… ({heading.count(left, '{n} more character', '{n} more characters')})"


def read_output(output: str | list[Any] | None) -> Reading:
    """What a tool call returned.

    >>> read_output("rain")
    Reading(kind='text', text='rain', results=(), pictures=(), words='rain')
    >>> read_output('{"data": [{"title": "Weather", "url": "https://example.org/"}]}').line(Heading())
    '1 result'
    """
    if output is None:
        return Reading()
    return _read_text(output) if isinstance(output, str) else _read(output, output)


@lru_cache(maxsize=64)
def _read_text(output: str) -> Reading:
    return _read(_parse(output), output)


def _read(value: Any, output: str | list[Any]) -> Reading:
    if results := _search_results(value):
        return Reading("search", exact_json(_pretty(value)), results=results)
    if isinstance(value, dict) and value.get("data") == [] and "success" in value:
        return Reading("nothing", exact_json(_pretty(value)))
    if pictures := _pictures(value):
        return Reading("pictures", visible(_string(value.get("text"))).strip("\n"), pictures=pictures)
    if isinstance(value, (dict, list)):
        return Reading("json", exact_json(_pretty(value)), words=one_line(exact_json(_compact(value))))
    text = visible(str(output))
    first = next((line for line in text.splitlines() if line.strip()), "")
    return Reading("text", text, words=one_line(first))


def one_line(text: str, length: int = _LINE) -> str:
    """The text in one line, cut after ``length`` characters.

    >>> one_line('{"a":\\n  1}'), one_line("abcdef", 3)
    ('{"a": 1}', 'abc…')
    """
    line = " ".join(text[: 4 * length].split())
    return line if len(line) <= length and len(text) <= 4 * length else line[:length].rstrip() + "…"


def shorten(text: str, length: int, heading: Heading) -> str:
    """The text, cut with a note of how much is missing.

    >>> shorten("abcdef", 4, Heading())
    'abcd\\n… 2 more characters'
    """
    if len(text) <= length:
        return text
    return f"{text[:length]}\n{heading.say('… {n} more characters', n=f'{len(text) - length:,}')}"


def call_mark(call: ToolCall, step: Step) -> str:
    """How far a call is: ``done``, ``running``, ``failed``, ``cancelled`` or ``expired``."""
    if step.status in ("failed", "cancelled", "expired") and call.output is None:
        return step.status
    return "done" if call.output is not None or step.status == "completed" else "running"


def safe_url(url: Any) -> str:
    """The address if it leads to the web, else ``""``.

    >>> safe_url("https://example.org/a"), safe_url("javascript:alert(1)")
    ('https://example.org/a', '')
    """
    if isinstance(url, str) and re.fullmatch(r"(?i)https?://[^\s\x00-\x20\"'<>\\]+", url):
        return url
    return ""


def picture_url(url: Any) -> str:
    """The address if a picture may come from there: https, or the picture itself as data; else ``""``.

    >>> picture_url("data:image/png;base64,iVBO"), picture_url("http://example.org/cat.png")
    ('data:image/png;base64,iVBO', '')
    """
    if isinstance(url, str) and re.fullmatch(r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+", url):
        return url
    address = safe_url(url)
    return address if address.lower().startswith("https:") else ""


def _search_results(value: Any) -> tuple[SearchResult, ...]:
    entries = value.get("data") if isinstance(value, dict) else None
    if not isinstance(entries, list) or not entries:
        return ()
    if not all(isinstance(entry, dict) and isinstance(entry.get("title"), str) for entry in entries):
        return ()
    return tuple(
        SearchResult(
            one_line(visible(entry["title"]), 120),
            safe_url(entry.get("url")),
            one_line(visible(_string(entry.get("desc"))), 240),
            one_line(visible(_string(entry.get("source"))), 60),
        )
        for entry in entries
    )


def _pictures(value: Any) -> tuple[str, ...]:
    """The addresses of the pictures that a drawing tool made, which stand in ``results`` or ``output.results``."""
    inner = value.get("output") if isinstance(value, dict) else None
    holder = inner if isinstance(inner, dict) else value
    entries = holder.get("results") if isinstance(holder, dict) else None
    if not isinstance(entries, list) or not entries:
        return ()
    urls = [picture_url(entry.get("url")) if isinstance(entry, dict) else "" for entry in entries]
    return tuple(urls) if all(urls) else ()


def _incomplete(arguments: str) -> str:
    """JSON that has not ended, without the ends that it does not have yet; anything else as it came."""
    if len(arguments) > _PARSED_AT_MOST or not arguments.lstrip().startswith("{"):
        return exact(arguments)
    try:
        value = from_json(arguments, allow_partial="trailing-strings")
    except (TypeError, ValueError):  # the former for half a character
        return exact(arguments)
    if code := _program(value):
        return exact(code)
    return exact_json(_pretty(value).rstrip(" \n]}").removesuffix('"')) if value else exact(arguments)


def _pretty_arguments(value: Any, arguments: str) -> str:
    try:
        return exact_json(json.dumps(value, ensure_ascii=False, indent=2))
    except (ValueError, RecursionError):  # nested too deeply: as it came, for what runs must be seen
        return exact_json(arguments)


def _once(arguments: str) -> str:
    """The arguments as they came; where a name stands twice, as they count."""
    repeated: list[str] = []

    def counted(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        held = dict(pairs)
        if len(held) < len(pairs):
            repeated.append("")
        return held

    value = _parse(arguments, counted) if arguments.count('"') > 2 else None
    return _compact(value) if repeated else arguments


def _program(arguments: Any) -> str:
    code = arguments.get("code") if isinstance(arguments, dict) and len(arguments) == 1 else None
    return code if isinstance(code, str) else ""


def _parse(text: str, make: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    if len(text) > _PARSED_AT_MOST or not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(text, object_pairs_hook=make)
    except (ValueError, RecursionError):
        return None


def _pretty(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, indent=2, default=str)
    except (ValueError, RecursionError):
        return "(nested too deeply to show)"


def _compact(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        return "(nested too deeply to show)"


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""
