"""Variables of the notebook in the text of a cell: ``{name}``, where ``--vars`` asks for it.

Only a plain name in braces stands for something; braces of JSON and of code are text. Tables become
Markdown, because that is what a model reads best.
"""

from __future__ import annotations

import difflib
import keyword
import re
from collections.abc import Iterable, Mapping
from typing import Any

from IPython.core.error import UsageError

from dashnb.keys import Secret, hidden
from dashnb.session.frames import frame_as_markdown

_BRACES = re.compile(r"\{\{|\}\}|\{([^\W\d]\w*)\}")


def fill_in(text: str, variables: Mapping[str, Any], *, secrets: Iterable[Secret | str] = ()) -> str:
    """The text with variables in place of their names in braces.

    >>> fill_in('Sum up {city}: {{x}} {"a": 1} {city.name} {}', {"city": "Rome"})
    'Sum up Rome: {x} {"a": 1} {city.name} {}'

    Doubled braces become single ones. JSON is left alone, however its braces nest.

    Args:
        text: The text of a cell.
        variables: The notebook's variables.
        secrets: What must not be sent, such as the key of the service.

    Raises:
        UsageError: A name in braces is no variable, or its value holds a secret.
    """
    known = tuple(secret for secret in map(hidden, secrets) if secret)
    doubled = 0

    def meant(found: re.Match[str]) -> str:
        nonlocal doubled
        if found[0] == "{{":
            doubled += 1
            return "{"
        if found[0] == "}}":
            # Nested JSON ends like this as well; only what was opened doubled is closed doubled.
            doubled -= (closes := doubled > 0)
            return "}" if closes else "}}"
        return found[0] if keyword.iskeyword(found[1]) else _value(found[1], variables, known)

    return _BRACES.sub(meant, text)


def names_in(variables: Mapping[str, Any]) -> list[str]:
    """The variables that a person made, without those of IPython and the hidden ones."""
    theirs = {"In", "Out", "exit", "quit", "get_ipython", "open"}
    return [name for name in variables if not name.startswith("_") and name not in theirs]


def as_text(value: Any) -> str:
    """A value as it is sent: text as it is, a table as Markdown, anything else as ``str`` shows it.

    >>> from dashnb.history import Table
    >>> print(as_text(Table({"n": "integer"}, [(1,), (None,)])))
    | n |
    | --- |
    | 1 |
    |  |
    """
    return frame_as_markdown(value) or str(value)


def _value(name: str, variables: Mapping[str, Any], secrets: tuple[Secret, ...]) -> str:
    if name not in variables:
        near = difflib.get_close_matches(name, names_in(variables), n=1)
        hint = f" Did you mean {{{near[0]}}}?" if near else ""
        raise UsageError(f"there is no variable {name!r} for {{{name}}}; write {{{{{name}}}}} for the braces.{hint}")
    text = as_text(variables[name])
    if any(secret.reveal() in text for secret in secrets):
        raise UsageError(f"the variable {name!r} holds the key of the service; nothing was sent.")
    return text
