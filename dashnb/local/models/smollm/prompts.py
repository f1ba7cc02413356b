"""What the model is told: the thread as far as it fits, a tool as one sentence, an output as a fact."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from dashnb.foreign import read_json
from dashnb.local.models.engine import Call, Said, Turn

Message = dict[str, str]

PROMPT_TOKENS = 1024  # more would take the model many seconds to read
OUTPUT_TOKENS = 256
MOST_OUTPUT_TOKENS = 768
MOST_FACT = 600  # characters

_DEFAULTS = {"temperature": 0.2, "top_p": 0.9, "top_k": 40}
_CAPS = {"temperature": (0.0, 2.0), "top_p": (0.01, 1.0), "top_k": (1, 1000)}


def estimate_tokens(text: str) -> int:
    """The tokens of a text, rather too many than too few: three letters each, all else byte by byte.

    >>> estimate_tokens("The sea is wide."), estimate_tokens("1234"), estimate_tokens("海")
    (6, 4, 3)
    """
    letters = sum(one.isascii() and (one.isalpha() or one == " ") for one in text)
    return -(-letters // 3) + len(text.encode("utf-8", "replace")) - letters


def chat(turn: Turn, budget: int = PROMPT_TOKENS) -> list[Message]:
    """The messages of a turn: instructions, then as many of the newest messages as fit.

    >>> chat(Turn("smollm", "Be kind.", (), (Said("user", "Hello there"), Said("user", "Hi"))), budget=15)
    [{'role': 'system', 'content': 'Be kind.'}, {'role': 'user', 'content': 'Hi'}]

    The last message is always there; if it alone is too long, its beginning is cut off.
    """
    instructions = _end_of(turn.instructions, budget // 2)
    left = budget - _cost(instructions)
    kept: list[Said] = []
    for said in reversed(turn.messages):
        if kept and _cost(said.text) > left:
            break
        text = _end_of(said.text, left)
        left -= _cost(text)
        kept.insert(0, Said(said.role, text))
    return [*_system(instructions), *({"role": said.role, "content": said.text} for said in kept)]


def answer_from(question: str, calls: Iterable[Call], budget: int = PROMPT_TOKENS) -> list[Message]:
    """The messages that ask for an answer from what tools gave out.

    >>> print(answer_from("Is it wet?", [Call("get_weather", '{"city": "Rome"}', "rain")])[0]["content"])
    Question: Is it wet?
    Fact: get weather, Rome: rain
    Answer the question in one sentence, from the fact.
    """
    facts = [f"Fact: {_fact(call)}" for call in calls]
    ending = "Answer the question in one sentence, from the fact."
    used = sum(map(_cost, [*facts, ending]))
    asked = f"Question: {_end_of(' '.join(question.split()), max(64, budget - used))}"
    return [{"role": "user", "content": "\n".join([asked, *facts, ending])}]


def _fact(call: Call) -> str:
    try:
        arguments = read_json(call.arguments)
    except ValueError:
        arguments = {}
    values = arguments.values() if isinstance(arguments, dict) else ()
    about = ", ".join([spoken(call.name), *(str(value) for value in values if isinstance(value, str | int | float))])
    output = " ".join(call.output.split()) or "nothing"
    return f"{about}: {output[:MOST_FACT]}"


def spoken(name: str) -> str:
    """A name in words.

    >>> spoken("get_currentWeather")
    'get current weather'
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ").replace("-", " ").lower()


def sampling(given: dict[str, Any]) -> dict[str, Any]:
    """How to choose tokens, inside what the model can do.

    >>> sampling({"temperature": 0, "max_tokens": 100_000})
    {'temperature': 0.0, 'top_p': 0.9, 'top_k': 40, 'max_tokens': 768}
    """
    chosen: dict[str, Any] = {}
    for name, default in _DEFAULTS.items():
        value = given.get(name)
        low, high = _CAPS[name]
        chosen[name] = type(default)(min(max(default if value is None else value, low), high))
    wanted = given.get("max_tokens") or OUTPUT_TOKENS
    return {**chosen, "max_tokens": int(min(max(wanted, 1), MOST_OUTPUT_TOKENS))}


def copying(text: str) -> str:
    """A prompt after which the model writes a text once more, so that its tokens can be seen."""
    return f"Copy:\n{text}\n" * 3 + "Copy:\n"


def exactly(text: str) -> str:
    r"""A grammar that lets the model write this text only.

    >>> exactly('Say "hi"')
    'root ::= "Say \\"hi\\""'
    """
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'root ::= "{escaped}"'


def exactly_tokens(tokens: Sequence[int]) -> str:
    """A grammar that lets the model write these tokens only.

    >>> exactly_tokens([17, 4])
    'root ::= <[17]> <[4]>'
    """
    return "root ::= " + " ".join(f"<[{token}]>" for token in tokens)


def _system(instructions: str) -> list[Message]:
    return [{"role": "system", "content": instructions}] if instructions.strip() else []


def _cost(text: str) -> int:
    return estimate_tokens(text) + 6  # the marks around a message


def _end_of(text: str, budget: int) -> str:
    """The end of a text that fits, as questions stand at the end."""
    while text and _cost(text) > max(budget, 16):
        text = text[max(1, len(text) // 8) :]
    return text
