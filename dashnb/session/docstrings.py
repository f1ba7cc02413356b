"""What a docstring says of a function and of its parameters, in the three usual styles. Pure."""

from __future__ import annotations

import inspect
import re
from itertools import takewhile

_GOOGLE_HEADER = re.compile(r"^(Args|Arguments|Parameters):\s*$")
_GOOGLE_ENTRY = re.compile(r"^(\*{0,2}\w+)\s*(?:\([^)]*\)\s*)?:\s*+(.*)$")
_NUMPY_ENTRY = re.compile(r"^(\*{0,2}\w+(?:, *\*{0,2}\w+)*)\s*(?::.*)?$")
_NAME = re.compile(r"\w+")
_REST_ENTRY = re.compile(r"^:param\s++([^:]*+):\s*+(.*)$")
# Only known names: a purpose may well hold a line that ends in a colon.
_SECTION = re.compile(
    r"^((Args|Arguments|Parameters|Keyword Args|Keyword Arguments|Other Parameters|Attributes|Returns?|Yields?|Raises"
    r"|Warns|Warnings?|Examples?|Notes?|See Also|References|Todo):\s*$|:\w[^:]*:|>>>)"
)


def describe(docstring: str | None) -> tuple[str, dict[str, str]]:
    """The purpose of a function (what stands before its sections) and a description per parameter.

    >>> describe('''Add two numbers.
    ...
    ...     Args:
    ...         left: The first
    ...             of them.
    ...         right (int): The second.
    ...     ''')
    ('Add two numbers.', {'left': 'The first of them.', 'right': 'The second.'})
    """
    lines = inspect.cleandoc("\n".join((docstring or "").splitlines())).splitlines()
    return _purpose(lines), _google(lines) | _numpy(lines) | _rest(lines)


def _purpose(lines: list[str]) -> str:
    kept: list[str] = []
    for number, line in enumerate(lines):
        underlined = number + 1 < len(lines) and re.fullmatch(r"-{3,}", lines[number + 1].strip())
        if _SECTION.match(line) or underlined:
            break
        kept.append(line)
    return "\n".join(kept).strip()


def _google(lines: list[str]) -> dict[str, str]:
    start = next((number for number, line in enumerate(lines) if _GOOGLE_HEADER.match(line)), None)
    if start is None:
        return {}
    block = _block(lines[start + 1 :])
    return _entries(block, _GOOGLE_ENTRY, inline=True)


def _numpy(lines: list[str]) -> dict[str, str]:
    for number, line in enumerate(lines[:-1]):
        if line.strip() == "Parameters" and re.fullmatch(r"-{3,}", lines[number + 1].strip()):
            following = lines[number + 2 :]
            ends = (n for n in range(len(following) - 1) if re.fullmatch(r"-{3,}", following[n + 1].strip()))
            return _entries(following[: next(ends, len(following))], _NUMPY_ENTRY, inline=False)
    return {}


def _rest(lines: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, line in enumerate(lines):
        match = _REST_ENTRY.match(line.strip())
        name = match[1].split()[-1:] if match else []  # behind its type
        if match and name and _NAME.fullmatch(name[0]):
            following = takewhile(
                lambda one: one.startswith((" ", "\t")) and one.strip()[:1] != ":", lines[number + 1 :]
            )
            found[name[0]] = " ".join([match[2], *(one.strip() for one in following)]).strip()
    return found


def _block(lines: list[str]) -> list[str]:
    """The indented lines at the start, without their indentation."""
    kept: list[str] = []
    for line in lines:
        if line.strip() and not line.startswith((" ", "\t")):
            break
        kept.append(line)
    return inspect.cleandoc("\n" + "\n".join(kept)).splitlines()


def _entries(lines: list[str], pattern: re.Pattern[str], *, inline: bool) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in lines:
        match = None if line.startswith((" ", "\t")) else pattern.match(line)
        if match:
            current = [match[2]] if inline else []
            found |= {name.strip(" *"): current for name in match[1].split(",")}
        elif current is not None and line.strip():
            current.append(line.strip())
    return {name: " ".join(part for part in parts if part) for name, parts in found.items()}
