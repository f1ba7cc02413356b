"""Tools as functions: how a language model is told about built-in tools that it was never trained on."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def _text(description: str) -> Schema:
    return {"type": "string", "description": description}


def _object(required: str, **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": [required]}


_SEARCH = (
    "Search for current or factual information. Returns documents with title and text.",
    _object("query", query=_text("What to search for, in a few words.")),
)
_PICTURE = (
    "Draw a picture from a description. Returns the picture's address.",
    _object(
        "prompt",
        prompt=_text("What the picture shows, with its style and colours."),
        n={"type": "integer", "description": "How many pictures.", "minimum": 1, "maximum": 4},
    ),
)

# By type: what the tool does, and its arguments as the embedded tools read them.
BUILT_IN: dict[str, tuple[str, Schema]] = {
    "quark_search": _SEARCH,
    "search": _SEARCH,
    "text_to_image": _PICTURE,
    "wanx": _PICTURE,
    "calculator": (
        "Calculate a formula exactly. Use it for every calculation.",
        _object("expression", expression=_text("The formula, such as 999 * 998 or sqrt(2) ^ 3.")),
    ),
    "code_interpreter": (
        "Run Python code and return what it prints. It has no network.",
        _object("code", code=_text("The complete program; print what you want to know.")),
    ),
    "rag": (
        "Look something up in the knowledge base of this assistant. Returns passages of its documents.",
        _object("query_word", query_word=_text("What to look up, in a few words.")),
    ),
    "generate_qrcode": (
        "Make a QR code. Returns the picture's address.",
        _object("text", text=_text("The text or address that the code holds.")),
    ),
    "github_search": (
        "Search GitHub for repositories. Returns their names, addresses and descriptions.",
        _object("query", query=_text("What to search for, in a few words.")),
    ),
}
_OWN_PLUGIN = ("A tool of the user's own: {name}.", _object("input", input=_text("What the tool is to work on.")))


def as_function(tool: dict[str, Any]) -> dict[str, Any]:
    """Description and parameters of a tool, as a chat-completions server wants them; without its name.

    >>> as_function({"type": "calculator", "description": "Adds."})["description"]
    'Adds.'
    >>> as_function({"type": "function", "function": {"name": "now"}})
    {'parameters': {'type': 'object', 'properties': {}}}
    """
    if tool.get("type") == "function":
        function = {key: value for key, value in (tool.get("function") or {}).items() if value is not None}
        kept = {key: function[key] for key in ("description", "strict") if key in function}
        return {**kept, "parameters": function.get("parameters") or {"type": "object", "properties": {}}}
    description, parameters = BUILT_IN.get(str(tool.get("type")), _OWN_PLUGIN)
    named = description.replace("{name}", str(tool.get("type")))
    return {"description": tool.get("description") or named, "parameters": tool.get("parameters") or parameters}
