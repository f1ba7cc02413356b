"""What a model wrote as a plugin's arguments: a JSON object, or a clear complaint."""

from __future__ import annotations

from typing import Any

from dashnb.foreign import read_json
from dashnb.local.plugins import PluginError


def read_arguments(text: str, *, plugin: str) -> dict[str, Any]:
    """The arguments as a dictionary; empty text counts as no arguments.

    >>> read_arguments('{"query": "cats"}', plugin="quark_search")
    {'query': 'cats'}
    >>> read_arguments('["cats"]', plugin="quark_search")
    Traceback (most recent call last):
    dashnb.local.plugins.PluginError: The arguments of quark_search are not a JSON object: ["cats"]
    """
    try:
        value = read_json(text or "{}")
    except ValueError as error:
        raise PluginError(f"The arguments of {plugin} are not JSON ({error}): {_cut(text)}") from None
    if not isinstance(value, dict):
        raise PluginError(f"The arguments of {plugin} are not a JSON object: {_cut(text)}")
    return value


def text_argument(arguments: dict[str, Any], *names: str, plugin: str) -> str:
    """The first of these arguments that is a text with something in it.

    >>> text_argument({"prompt": "a cat"}, "prompt", plugin="text_to_image")
    'a cat'

    Raises:
        PluginError: None of them is there.
    """
    for name in names:
        value = arguments.get(name)
        if isinstance(value, str) and value.strip():
            return value.strip()
    raise PluginError(f"{plugin} needs the argument {names[0]!r}, a text that is not empty.")


def _cut(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:80]}…"
