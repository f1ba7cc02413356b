r"""Characters that nobody sees or that a terminal obeys, made visible before a person reads the text.

What comes from outside (a server, a file's name, a model) may hold escape sequences, line ends that forge a
line of ours, marks that turn the direction of writing, and characters of no width at all.

| what is shown | function | what becomes of such a character |
|---|---|---|
| the arguments of a call, which will run | `exact`, `exact_json` | marked, ``⟨U+202E⟩``, or escaped as in JSON |
| errors and lines of ours | `visible` | marked, but for those that an emoji or a script needs |
| names, ids and paths | `in_line` | the same, line ends and tabs too |
| cells of a table | `blotted` | one replacement character each |
| a model's answer | `harmless` | what a terminal obeys and what turns the direction of writing is left out |

Sources: Unicode 15, "Default_Ignorable_Code_Point" and "Bidi_Control"; ECMA-48 for the control codes.
"""

from __future__ import annotations

import re

MOST_MARKS = 6  # combining marks on one character; no script needs more

# What a terminal obeys, what ends a line besides \n, and what turns the direction of writing.
_CONTROLS = r"\x00-\x08\x0b-\x1f\x7f-\x9f"
_LINE_ENDS = r"\u2028\u2029"
_DIRECTIONS = r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_HALVES = r"\ud800-\udfff"
_TAGS = r"\U000e0000-\U000e00ff"
# What no font draws: joiners, fillers, variation selectors, annotations, soft hyphens, code points that are none.
_UNSEEN = (
    r"\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065\u206a-\u206f\u2800\u3164"
    r"\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0100-\U000e0fff"
    + "".join(rf"\U{plane:04x}fffe\U{plane:04x}ffff" for plane in range(1, 17))
)
# Marks that stand over or under the character before them.
_MARKS = (
    r"\u0300-\u034e\u0350-\u036f\u0483-\u0489\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u06d6-\u06dc\u0e34-\u0e3a"
    r"\u0e47-\u0e4e\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
)

# Sequences in which such a character does its work: pictures of several parts, flags, keys, and the joiners of
# scripts whose letters join; with them, forms of Chinese characters.
_PICTURE = r"[\u203c\u2049\u2100-\u27bf\u2900-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff\u00a9\u00ae]"
_JOINING = r"[\u0600-\u061b\u061d-\u109f\u1780-\u17b3\u17b6-\u180a\u1810-\u18af\ua840-\ua877\ua8e0-\ua8ff]"
_HAN = r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]"
_FLAGS = "|".join(
    "\U0001f3f4" + "".join(chr(0xE0000 + ord(char)) for char in country) + "\U000e007f"
    for country in ("gbeng", "gbsct", "gbwls")
)
_AT_WORK = (
    rf"{_FLAGS}|{_PICTURE}[\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]{{0,2}}"
    rf"(?:\u200d{_PICTURE}[\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]{{0,2}})*"
    rf"|[0-9#*]\ufe0f\u20e3|(?<={_JOINING})[\u200c\u200d](?={_JOINING})|(?<={_HAN})[\ufe00-\ufe02\U000e0100-\U000e01ef]"
)

_ACTIVE = rf"[{_CONTROLS}{_LINE_ENDS}{_DIRECTIONS}{_HALVES}{_TAGS}]"
_HIDDEN = rf"[{_CONTROLS}{_LINE_ENDS}{_DIRECTIONS}{_HALVES}{_TAGS}{_UNSEEN}]"
_FLOOD = rf"(?<=[{_MARKS}]{{{MOST_MARKS}}})[{_MARKS}]"

_EXACT = re.compile(f"{_HIDDEN}|{_FLOOD}")
_VISIBLE = re.compile(rf"(?P<kept>\r\n|{_AT_WORK})|{_HIDDEN}|{_FLOOD}")
_HARMLESS = re.compile(f"(?P<kept>{_FLAGS})|{_ACTIVE}|{_FLOOD}")
_ENDS = re.compile(r"[\r\n\t]")


def exact(text: str) -> str:
    r"""The text with a mark in place of every character that is not seen or that a terminal obeys.

    >>> exact("x = 1\rprint('safe')  # \u202e")
    "x = 1⟨U+000D⟩print('safe')  # ⟨U+202E⟩"
    """
    return text if _is_plain(text) else _EXACT.sub(_mark, _joined(text))


def exact_json(text: str) -> str:
    r"""JSON with the same values, every such character escaped: what a person reads and may copy.

    >>> exact_json('{"path": "a\u202eb"}')
    '{"path": "a\\u202eb"}'
    """
    return text if _is_plain(text) else _EXACT.sub(_escape, text)


def visible(text: str) -> str:
    r"""The text with such characters marked, but for those that an emoji or a script needs.

    >>> visible("gone\x1b[2J \U0001f468\u200d\U0001f469")
    'gone⟨U+001B⟩[2J 👨\u200d👩'
    """
    return text if _is_plain(text) else _VISIBLE.sub(_mark, _joined(text))


def in_line(text: str) -> str:
    r"""A name, an id or a path, which is one line: its line ends and tabs are marked too.

    >>> in_line("notes\nok.md")
    'notes⟨U+000A⟩ok.md'
    """
    return text if _is_plain(text) else _ENDS.sub(_mark, _VISIBLE.sub(_mark, _joined(text)))


def blotted(text: str) -> str:
    r"""The same as `visible`, each such character one replacement character: where a column has its width.

    >>> blotted("a\x1b[2J\u202e")
    'a�[2J�'
    """
    return text if _is_plain(text) else _VISIBLE.sub(_blot, _joined(text))


def harmless(text: str) -> str:
    r"""The text without what a terminal obeys and what turns the direction of writing; line ends are ``\n``.

    >>> harmless("a\x1b[31mb\r\n")
    'a[31mb\n'
    """
    return text if _is_plain(text) else _HARMLESS.sub(_left_out, whole_characters(text))


def whole_characters(text: str) -> str:
    r"""The text with halves of characters, which JSON can carry and UTF-8 cannot, joined or replaced.

    >>> whole_characters("\ud83d\ude00 \ud83d")
    '😀 �'
    """
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _joined(text: str) -> str:
    """The text with pairs of halves joined; a single half stays, to be marked."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _mark(match: re.Match[str]) -> str:
    if match.lastgroup == "kept":
        return match[0]
    return f"⟨U+{ord(match[0]):04X}⟩"


def _blot(match: re.Match[str]) -> str:
    return match[0] if match.lastgroup == "kept" else "\ufffd"


def _escape(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def _left_out(match: re.Match[str]) -> str:
    if match.lastgroup == "kept":
        return match[0]
    return " " if match[0] in "\u2028\u2029" else ""
