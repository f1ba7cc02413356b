"""Which tool the model is made to call, and with what.

Left alone a model of this size calls no tool. It can say, though, how likely a message is to come
from a person who wants what a tool does. The tool under which the message is likeliest is called, if
that helps enough over knowing of no tool. The arguments are copied from the message by the rules of
the guide, as the model would invent them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dashnb.local.models.guide import purposes
from dashnb.local.models.guide.parameters import fill, parameters_of
from dashnb.local.models.guide.routing import name_of
from dashnb.local.models.smollm.prompts import spoken

Tool = dict[str, Any]

# What a tool must add to the log-probability of a message. Measured on twenty messages for ten tools,
# where the right one added 2.1 and more, and on six that ask for none, where the best added at most 1.9.
ENOUGH = 2.0
NO_TOOL = "The user says:\n"
MOST_MESSAGE = 200  # characters that are weighed

_BUILT_IN = {
    "quark_search": "search the web for facts and news",
    "search": "search the web for facts and news",
    "text_to_image": "draw a picture from a description",
    "wanx": "draw a picture from a description",
    "calculator": "calculate with numbers",
    "code_interpreter": "write and run Python code",
    "generate_qrcode": "make a QR code of a text",
    "rag": "look something up in the documents",
}


def purpose_of(tool: Tool) -> str:
    """What a tool is for, as the end of "The user asks to".

    >>> purpose_of({"type": "function", "function": {"name": "big_add", "description": "Add two integers.\\n\\nSlow."}})
    'add two integers'
    >>> purpose_of({"type": "function", "function": {"name": "get_weather"}}), purpose_of({"type": "wanx"})
    ('get weather', 'draw a picture from a description')
    """
    given = str((tool.get("function") or {}).get("description") or tool.get("description") or "").strip()
    first = re.split(r"(?<=[.!?])\s|\n", given)[0].rstrip(".!? ")
    if not first:
        return _BUILT_IN.get(str(tool.get("type")), spoken(name_of(tool)))
    return first[:1].lower() + first[1:MOST_MESSAGE]


def before_message(tool: Tool) -> str:
    """The prompt after which a message is weighed."""
    return f"The user asks to {purpose_of(tool)}. The user says:\n"


def weighed(message: str) -> str:
    """The part of a message that is weighed: its end, in one line and in ASCII, as the model knows English only.

    >>> weighed("Is it wet in Xi'an?\\n☔ 天气"), weighed("天气怎么样")
    ("Is it wet in Xi'an?", '')
    """
    return " ".join(message.encode("ascii", "ignore").decode().split())[-MOST_MESSAGE:].strip()


def best(scores: Mapping[str, float], without: float) -> str | None:
    """The name of the tool to call; None if no tool makes the message much likelier.

    >>> best({"add": -31.0, "weather": -20.5}, without=-28.0), best({"add": -27.5}, without=-28.0)
    ('weather', None)
    """
    name = max(scores, key=lambda name: scores[name], default=None)
    return name if name is not None and scores[name] - without >= ENOUGH else None


def calls_of(tool: Tool, message: str) -> tuple[dict[str, object], ...]:
    """The arguments of each call, copied from the message; none if a required one does not stand there.

    >>> calls_of({"type": "quark_search"}, "What is new on Mars?")
    ({'query': 'new on Mars'},)
    >>> needs = {"properties": {"city": {"type": "string"}}, "required": ["city"]}
    >>> calls_of({"type": "function", "function": {"name": "get_weather", "parameters": needs}}, "Is it wet?")
    ()
    """
    if tool.get("type") == "function":
        function = tool.get("function") or {}
        verbs = "|".join(map(re.escape, spoken(name_of(tool)).split()))
        filled = fill(parameters_of(function.get("parameters") or {}), message, verbs=verbs)
        return () if filled.missing else filled.calls
    calls, missing = purposes.arguments_for(str(tool.get("type")), message)
    return () if missing else calls
