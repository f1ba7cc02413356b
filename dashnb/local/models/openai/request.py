"""From a turn to the body of a chat-completions request."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from dashnb.foreign import read_json
from dashnb.local.models.engine import Call, Turn
from dashnb.local.models.openai.tools import as_function

_LONGEST_NAME = 64
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_-]")


class ToolNames:
    """What the tools of a turn are called on the wire, where only letters, digits, _ and - may stand.

    >>> names = ToolNames([{"type": "calculator"}, {"type": "my.plugin"}])
    >>> names.sent("my.plugin"), names.own("my_plugin"), names.own("invented")
    ('my_plugin', 'my.plugin', 'invented')
    """

    def __init__(self, tools: Iterable[dict[str, Any]]) -> None:
        self._sent: dict[str, str] = {}
        for name in map(name_of, tools):
            if name not in self._sent:
                self._sent[name] = _free(_NOT_IN_A_NAME.sub("_", name)[:_LONGEST_NAME], set(self._sent.values()))
        self._own = {sent: own for own, sent in self._sent.items()}

    def sent(self, name: str) -> str:
        """The name that the model sees."""
        return self._sent.get(name) or _NOT_IN_A_NAME.sub("_", name)[:_LONGEST_NAME]

    def own(self, name: str) -> str:
        """The tool of a name that the model wrote; a name that it made up stays as it is."""
        return self._own.get(name, name)


def name_of(tool: dict[str, Any]) -> str:
    """The name of a tool: of a function its own, of a built-in tool its type."""
    if tool.get("type") == "function":
        return str((tool.get("function") or {}).get("name") or "")
    return str(tool.get("type") or "")


def body_of(turn: Turn, *, model: str) -> dict[str, Any]:
    """The body that asks a model to answer a turn.

    >>> from dashnb.local.models.engine import Said
    >>> body_of(Turn("qwen-max", "Be brief.", (), (Said("user", "Hello"),)), model="qwen3")["messages"]
    [{'role': 'system', 'content': 'Be brief.'}, {'role': 'user', 'content': 'Hello'}]
    """
    names = ToolNames(turn.tools)
    body: dict[str, Any] = {
        "model": model,
        "messages": [*_said(turn), *_rounds(turn.rounds, names)],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if tools := list(_tools(turn.tools, names)):
        body["tools"] = tools
    return {**body, **turn.sampling}


def _said(turn: Turn) -> Iterator[dict[str, Any]]:
    if instructions := _instructions(turn):
        yield {"role": "system", "content": instructions}
    for said in turn.messages:
        # Servers refuse an assistant's message that has neither text nor calls.
        if said.text or said.role != "assistant":
            yield {"role": said.role, "content": said.text}


def _instructions(turn: Turn) -> str:
    """The instructions, with what the knowledge base gave where they have a place for it."""
    if not any(tool.get("type") == "rag" for tool in turn.tools):
        return turn.instructions
    from dashnb.local.plugins.rag import fill_placeholder, passages_of

    outputs = [call.output for calls in turn.rounds for call in calls if call.name == "rag"]
    return fill_placeholder(turn.instructions, [passage for output in outputs for passage in passages_of(output)])


def _rounds(rounds: tuple[tuple[Call, ...], ...], names: ToolNames) -> Iterator[dict[str, Any]]:
    used: set[str] = set()
    for number, calls in enumerate(rounds):
        ids = []
        for position, call in enumerate(calls):
            # Built-in calls have no id, and every call needs one of its own.
            ids.append(call.id if call.id and call.id not in used else _free(f"call_{number}_{position}", used))
            used.add(ids[-1])
        yield {
            "role": "assistant",
            "content": "",
            "tool_calls": [_call(call, id_, names) for call, id_ in zip(calls, ids, strict=True)],
        }
        for call, id_ in zip(calls, ids, strict=True):
            yield {"role": "tool", "tool_call_id": id_, "content": call.output or ""}


def _call(call: Call, id_: str, names: ToolNames) -> dict[str, Any]:
    function = {"name": names.sent(call.name), "arguments": _object_text(call.arguments)}
    return {"id": id_, "type": "function", "function": function}


def _object_text(arguments: str) -> str:
    """The arguments as text of a JSON object: servers fail on a past call that is anything else."""
    try:
        if isinstance(read_json(arguments), dict):
            return arguments
    except ValueError:
        pass
    return json.dumps({"arguments": arguments}, ensure_ascii=False) if arguments.strip() else "{}"


def _tools(tools: Sequence[dict[str, Any]], names: ToolNames) -> Iterator[dict[str, Any]]:
    # Of a function and a built-in tool with one name, the run carries out the built-in one.
    ordered = {name_of(tool): tool for tool in tools if tool.get("type") == "function"}
    ordered |= {name_of(tool): tool for tool in reversed(tools) if tool.get("type") != "function"}
    seen: set[str] = set()
    for name in map(name_of, tools):
        if name and name not in seen:
            seen.add(name)
            yield {"type": "function", "function": {"name": names.sent(name), **as_function(ordered[name])}}


def _free(name: str, used: set[str]) -> str:
    """The name, or with a number at its end if it is taken."""
    free, number = name, 2
    while free in used:
        free = f"{name[: _LONGEST_NAME - 4]}_{number}"
        number += 1
    return free
