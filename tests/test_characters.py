"""Characters that nobody sees or that a terminal obeys: none is left in what a person reads."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashnb import characters, errors
from dashnb.characters import exact, exact_json, harmless, in_line, visible
from dashnb.errors import APIError, DashnbError, RunError, StreamError, api_error
from dashnb.protocol.state import RunState

# Each of them alone may change what a person reads.
ACTIVE = {
    "escape": "\x1b[2J", "title": "\x1b]0;PWNED\x07", "bell": "\x07", "backspace": "\b", "delete": "\x7f",
    "one-byte CSI": "\x9b31m", "one-byte OSC": "\x9d0;x\x9c", "next line": "\x85", "shift out": "\x0e",
    "line separator": "\u2028", "paragraph separator": "\u2029",
    "embedding": "\u202a", "override": "\u202e", "isolate": "\u2066", "end of isolate": "\u2069",
    "left-to-right mark": "\u200e", "right-to-left mark": "\u200f", "Arabic letter mark": "\u061c",
    "half a character": "\ud83d", "tag": "\U000e0041",
}  # fmt: skip
UNSEEN = {
    "zero-width space": "\u200b", "joiner": "\u200d", "non-joiner": "\u200c", "word joiner": "\u2060",
    "byte order mark": "\ufeff", "soft hyphen": "\u00ad", "variation selector": "\ufe0f",
    "variation selector 17": "\U000e0100", "Hangul filler": "\u3164", "half-width filler": "\uffa0",
    "Hangul choseong filler": "\u115f", "grapheme joiner": "\u034f", "invisible plus": "\u2064",
    "annotation": "\ufff9", "no character": "\ufffe", "no character, plane 1": "\U0001ffff",
    "empty braille": "\u2800", "musical control": "\U0001d173", "Mongolian separator": "\u180e",
}  # fmt: skip
ALL = {**ACTIVE, **UNSEEN}
# What people write, and what must reach them as it is.
WRITTEN = [
    "👨\u200d👩\u200d👧 ❤\ufe0f 👍🏽 1\ufe0f\u20e3",
    "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "می\u200cخواهم", "क्\u200dष", "e\u0301 한국어 ไม่ได้", "naïve – “x” … 10\u00a0000", "葛\U000e0100城",
    "שָׁלוֹם עֲלֵיכֶם",
]  # fmt: skip


def unsafe(text: str, *, lines: str = "\n\t") -> list[str]:
    """The characters of a text that are not drawn, by Unicode's own categories."""
    return [
        ascii(char) for char in text if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") and char not in lines
    ]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("function", [exact, visible, in_line])
def test_every_such_character_is_marked_with_its_number(name: str, function: Callable[[str], str]) -> None:
    char = ALL[name]
    shown = function(f"a{char}b")
    assert shown.startswith(f"a⟨U+{ord(char[0]):04X}⟩")
    assert char not in shown


@pytest.mark.parametrize("name", ACTIVE)
def test_an_answer_loses_what_a_terminal_obeys(name: str) -> None:
    shown = harmless(f"a{ACTIVE[name]}b")
    assert ACTIVE[name] not in shown
    assert unsafe(shown) == []


@pytest.mark.parametrize("name", ALL)
def test_json_has_the_same_value_and_shows_every_character(name: str) -> None:
    text = json.dumps({"path": f"a{ALL[name]}b"}, ensure_ascii=False)
    shown = exact_json(text)
    assert json.loads(shown) == json.loads(text)
    assert ALL[name] not in shown


@pytest.mark.parametrize("text", WRITTEN)
def test_what_people_write_is_left_as_it_is(text: str) -> None:
    assert visible(text) == in_line(text) == harmless(text) == text


def test_joiners_that_join_nothing_are_marked_beside_those_that_do() -> None:
    assert visible("👨\u200d👩 pass\u200dword") == "👨\u200d👩 pass⟨U+200D⟩word"
    assert exact("👨\u200d👩") == "👨⟨U+200D⟩👩"


def test_a_flood_of_marks_ends_after_a_few() -> None:
    flood = "a" + "\u0301" * 500
    for function in (exact, visible, in_line, harmless):
        assert len(re.findall("\u0301+", function(flood))[0]) == characters.MOST_MARKS


def test_line_ends_stay_in_a_text_and_are_marked_in_a_name() -> None:
    assert visible("one\ntwo\r\nthree\tx") == "one\ntwo\r\nthree\tx"
    assert in_line("one\ntwo\r\t") == "one⟨U+000A⟩two⟨U+000D⟩⟨U+0009⟩"
    assert exact("one\r\ntwo") == "one⟨U+000D⟩\ntwo"


def test_pairs_of_halves_become_the_character_that_they_are() -> None:
    assert visible("\ud83d\ude00") == exact("\ud83d\ude00") == "😀"
    assert exact("\ude00\ud83d") == "⟨U+DE00⟩⟨U+D83D⟩"


@given(st.text())
def test_a_second_time_changes_nothing_and_nothing_unsafe_is_left(text: str) -> None:
    for function in (exact, visible, in_line, harmless):
        once = function(text)
        assert function(once) == once
        assert unsafe(once, lines="\n\t\r") == []
        once.encode("utf-8")


# --- errors ----------------------------------------------------------------------------------------

EVIL = "".join(ACTIVE.values()) + "".join(UNSEEN.values())
STATE = RunState()
MADE: dict[str, Callable[[], DashnbError]] = {
    **{
        name: (lambda kind=kind: kind(f"said {EVIL}"))
        for name, kind in vars(errors).items()
        if isinstance(kind, type)
        and issubclass(kind, DashnbError)
        and not issubclass(kind, (RunError, errors.AnswerMismatch, errors.RunInterrupted))
    },
    "RunError": lambda: RunError(EVIL, state=STATE, code=EVIL),
    "AnswerMismatch": lambda: errors.AnswerMismatch(EVIL, state=STATE),
    "RunInterrupted": lambda: errors.RunInterrupted(EVIL, state=STATE),
    "APIError of an answer": lambda: api_error(400, code=EVIL, message=EVIL, request_id=EVIL),
    "StreamError of an event": lambda: StreamError(EVIL, code=EVIL, request_id=EVIL),
}


def shown_of(error: DashnbError) -> str:
    own = ("state", "foreword", "__notes__")  # shown by the lines of the traceback alone
    facts = [str(value) for name, value in vars(error).items() if name not in own]
    return "".join([str(error), repr(error), *error._render_traceback_(), *map(str, error.args), *facts])


@pytest.mark.parametrize("name", MADE)
def test_no_error_shows_such_a_character_anywhere(name: str) -> None:
    error = MADE[name]()
    error.add_note(f"a note {EVIL}")
    error.foreword = EVIL
    shown = shown_of(error)
    assert [key for key, char in ALL.items() if char in shown] == []
    assert "⟨U+202E⟩" in str(error)
    assert unsafe(shown) == []


def test_a_message_of_a_server_forges_no_line_of_ours() -> None:
    error = api_error(400, code="C\nTry: rm -rf /", message="M\nTry: this\rthat\u2028x", request_id="R\nTry: it")
    assert len(str(error).splitlines()) == 2
    assert isinstance(error, APIError)
