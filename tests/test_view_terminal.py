"""A run in a terminal that can do more than show text."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from dashnb.protocol.events import RunEvent, event_of
from dashnb.protocol.objects import Usage
from dashnb.protocol.state import RunState
from dashnb.view import Heading, TextView
from dashnb.view.terminal import REST, RichView, cut_blocks, terminal_view
from view_support import HOSTILE, call, created, folded, message, recorded, run

WIDTH = 60
ANSWER = """# Title

Some *words* and `code` &amp; [a link][one].
- not a *list

| a | b |
|---|---|
| 1 | 2 |

1. one

   more of one
2. two

```python
def f():

    return "x"
```
> said
> again

[one]: https://example.org/
#hashtag and [a link][one]
===

北京的天气**「晴」**です
今日 $a_b$ <int> [red]plain[/red] :smile:
"""

_CONTROL = re.compile(r"\x1b\[([\d;?]*)([A-Za-z])|\x1b\](.*?)\x1b\\|(.)", re.DOTALL)


class Screen:
    """A terminal that keeps every line: what stays of an output, and whether the cursor can be seen."""

    def __init__(self, written: str) -> None:
        self.lines: list[str] = [""]
        self.row = self.column = 0
        self.cursor = True
        for arguments, verb, _, char in _CONTROL.findall(written):
            if char:
                self._put(char)
            else:
                self._obey(arguments, verb)

    def _put(self, char: str) -> None:
        if char == "\n":
            self.row, self.column = self.row + 1, 0
            self.lines += [""] * (self.row + 1 - len(self.lines))
        elif char == "\r":
            self.column = 0
        else:
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + char + line[self.column + 1 :]
            self.column += 1

    def _obey(self, arguments: str, verb: str) -> None:
        if verb == "A":
            self.row -= int(arguments or 1)
            assert self.row >= 0
        elif verb == "K":
            self.lines[self.row] = ""
        elif arguments == "?25":
            self.cursor = verb == "h"
        else:
            assert verb in ("m", ""), (arguments, verb)

    @property
    def text(self) -> str:
        """The lines, without blanks at their ends and empty lines at the end."""
        return "\n".join(line.rstrip() for line in self.lines).rstrip("\n")


class Terminal:
    """A view on a console; a second passes between two events, and `slow` seconds while one is shown."""

    def __init__(self, *, slow: float = 0.0, height: int = 25, **options: Any) -> None:
        self.file = io.StringIO()
        options = {"force_terminal": True, "width": WIDTH, "height": height, "_environ": {}, **options}
        self.console = Console(file=self.file, highlight=False, **options)
        self.now, self.slow = 0.0, slow
        self.view = RichView(self.console, clock=self._clock)

    def _clock(self) -> float:
        self.now += self.slow
        return self.now

    def show(self, state: RunState, *, after: float = 1.0) -> str:
        """What is written when an event arrives so many seconds after the last one."""
        before = self.file.tell()
        self.now += after
        self.view.show(state)
        return self.file.getvalue()[before:]

    def watch(self, events: Iterable[RunEvent], *, heading: Heading | None = None) -> Screen:
        """What stays of a run."""
        state = RunState()
        self.view.begin(heading or Heading())
        for event in events:
            state.apply(event)
            self.show(state)
        self.view.finish(state)
        return self.screen

    @property
    def screen(self) -> Screen:
        return Screen(self.file.getvalue())


def said(*pieces: str) -> list[RunEvent]:
    """A whole run that only says something."""
    return [created(), *message(*pieces), run("completed")]


def shown(text: str) -> str:
    """What stays of an answer that came at once."""
    return Terminal().watch(said(text)).text


# --- what stays ------------------------------------------------------------------------------


def test_a_terminal_shows_markdown_as_what_it_means() -> None:
    text = shown("## Head\n\nSome **bold** words.\n\n- one\n- two\n\n```python\nx = 1\n```\n")
    assert text.split("\n")[0].strip() == "Head"
    assert "Some bold words." in text
    assert " • one\n • two" in text
    assert "x = 1" in text
    assert "```" not in text


def test_every_way_to_cut_an_answer_leaves_the_same() -> None:
    expected = shown(ANSWER)
    assert "not a *list" in expected
    for cut in range(0, len(ANSWER), 7):
        assert Terminal().watch(said(ANSWER[:cut], ANSWER[cut:])).text == expected, ANSWER[:cut]
    assert Terminal().watch(said(*ANSWER)).text == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(HOSTILE, min_size=1, max_size=4))
def test_every_way_to_cut_any_answer_leaves_the_same(pieces: list[str]) -> None:
    assert Terminal().watch(said(*pieces)).text == shown("".join(pieces))


@given(HOSTILE, st.booleans())
def test_blocks_join_to_the_text(text: str, over: bool) -> None:
    closed, opened = cut_blocks(text, over=over)
    assert "".join([*closed, opened]) == text
    assert not (over and opened)


def test_what_is_complete_is_printed_once_and_before_the_end() -> None:
    terminal = Terminal()
    state = folded([created(), *message("First paragraph.\n\nSecond one\n\nThi\nrd")])
    terminal.show(state)
    again = terminal.show(state)
    assert "First" not in again
    assert "Second" not in again
    assert "Thi" in again
    terminal.view.finish(state)
    assert terminal.screen.text == "First paragraph.\n\nSecond one\n\nThi rd\n\n[Reading ended before the run did.]"


def test_calls_and_texts_stay_in_the_order_of_the_run() -> None:
    events = [
        created(),
        *message("Let me look.", step="a"),
        *call("weather", '{"city": "Rome"}', "rain", step="b"),
        *call("clock", "{}", "noon", step="c"),
        *message("It *rains*", " at noon.", step="d"),
        run("completed"),
    ]
    assert Terminal().watch(events).text == (
        'Let me look.\n\n⚙ weather {"city": "Rome"} → rain\n⚙ clock {} → noon\n\nIt rains at noon.'
    )


def test_a_call_that_still_runs_is_drawn_and_not_printed() -> None:
    terminal = Terminal()
    state = folded([created(), *call("weather", '{"city": "Rome"}', status="in_progress")])
    terminal.show(state)
    assert terminal.screen.text == '⚙ weather {"city": "Rome"}\nweather is running …'
    state.end("cancelled")
    terminal.view.finish(state)
    assert terminal.screen.text == '⚙ weather {"city": "Rome"} → cancelled\n\n[The run was cancelled.]'


def test_a_call_is_coloured_by_how_it_ended() -> None:
    terminal = Terminal(color_system="standard")
    terminal.watch([created(), *call("a", "{}", "4"), *call("b", "{}", status="failed", step="s"), run("completed")])
    assert "\x1b[32m⚙\x1b[0m\x1b[2m a {} → 4" in terminal.file.getvalue()
    assert "\x1b[31m⚙\x1b[0m\x1b[2m b {} → failed" in terminal.file.getvalue()


def test_the_accounts_stand_at_the_end_and_are_dim() -> None:
    terminal = Terminal(color_system="standard")
    state = folded(said("Hi."))
    state.usage = Usage(input_tokens=1865, output_tokens=139, total_tokens=2004)
    terminal.view.finish(state)
    assert terminal.screen.text == "Hi.\n\n1,865 tokens in · 139 out · 2,004 in total"
    assert "\x1b[2m1,865 tokens in" in terminal.file.getvalue()


def test_thoughts_are_not_shown_but_that_there_are_some() -> None:
    terminal = Terminal()
    state = folded([created()])
    state.reasoning = "secret"
    terminal.view.begin(Heading("Weather"))
    terminal.show(state)
    assert terminal.screen.text == "Weather is thinking …"
    terminal.view.finish(state)
    assert "secret" not in terminal.file.getvalue()


def whole(text: str) -> RunEvent:
    """The message is complete, and it says this."""
    content = [{"type": "text", "text": {"value": text}}]
    return event_of("thread.message.completed", {"id": "message_step_m", "role": "assistant", "content": content})


def test_a_whole_message_with_other_blanks_is_not_written_again() -> None:
    events = [created(), *message("24度\n\nで\n", "す"), whole("24 度\n\nで\nす"), run("completed")]
    assert Terminal().watch(events).text == "24度\n\nです"


def test_a_whole_message_with_other_words_is_written_again() -> None:
    events = [created(), *message("Hello.\n\nWor\n", "ld"), whole("Goodbye."), run("completed")]
    assert Terminal().watch(events).text == "Hello.\n\nGoodbye."


def test_a_recorded_run_ends_with_a_cursor_and_without_what_was_drawn() -> None:
    terminal, state = Terminal(), recorded("run-quark")
    terminal.view.begin(Heading())
    terminal.show(state)
    terminal.view.finish(state)
    assert terminal.screen.cursor
    assert "⚙ quark_search" in terminal.screen.text
    assert " …\n" not in terminal.screen.text


# --- what may not happen ---------------------------------------------------------------------


def test_a_terminal_obeys_nothing_that_an_answer_says() -> None:
    text = "a\x1b[2Jb &#x202e;c `\x9b31m`\n\n```\n\x1b]0;title\x07\n```\n"
    terminal = Terminal()
    terminal.watch(said(text))
    written = terminal.file.getvalue()
    assert not re.search("\x1b\\[2J|\x1b\\]|\x07|\x9b|\u202e", written)
    assert "a[2Jb" in terminal.screen.text


def test_marks_of_rich_and_html_are_words() -> None:
    assert shown("[red]a[/red] [b] List<int> :smile: <b>x</b>") == "[red]a[/red] [b] List<int> :smile: <b>x</b>"


def test_only_links_to_the_web_are_written_out() -> None:
    text = shown("[a](https://example.org/) [b](javascript:alert) <https://example.org/c> ![d](file:///e)")
    assert text == "a (https://example.org/) b https://example.org/c d"


def test_a_picture_that_is_written_out_as_data_is_a_word() -> None:
    assert shown("Here: ![a cat](data:image/png;base64,iVBORw0KGgo=)") == "Here: [picture: a cat]"


def test_full_width_characters_break_where_the_line_ends() -> None:
    terminal = Terminal(width=10)
    assert terminal.watch(said("北京天气晴朗\n無風")).text == "北京天气晴\n朗無風"


def test_emphasis_needs_no_blanks_in_chinese_and_japanese() -> None:
    assert shown("北京**“晴”**天、**「強調」**の例") == "北京“晴”天、「強調」の例"


@pytest.mark.parametrize("width", [5, 12])
def test_a_narrow_terminal_shows_every_letter(width: int) -> None:
    answer = "Some *words* in a narrow place.\n\n- one\n"
    text = Terminal(width=width, height=3).watch(said(*answer)).text
    assert "".join(text.split()) == "Somewordsinanarrowplace.•one"


def test_a_formula_stays_as_it_is() -> None:
    assert shown("so $a_1 * b_1 * c$ and \\(x\\)") == "so $a_1 * b_1 * c$ and \\(x\\)"


def test_an_interrupt_in_the_middle_leaves_a_sane_terminal() -> None:
    terminal, before = Terminal(), sys.stdout
    state = folded([created(), *message("One.\n\nTw")])
    terminal.view.begin(Heading())
    terminal.show(state)
    assert not terminal.screen.cursor
    state.end("cancelled")
    terminal.view.finish(state)
    assert terminal.screen.cursor
    assert sys.stdout is before
    assert terminal.screen.text == "One.\n\nTw\n\n[The run was cancelled.]"


# --- what it costs ---------------------------------------------------------------------------


def test_the_open_block_is_drawn_as_far_as_the_screen_reaches() -> None:
    terminal = Terminal(height=10)
    state = folded([created(), *message("```python\n" + "".join(f"line_{number} = 1\n" for number in range(500)))])
    terminal.view.begin(Heading())
    terminal.show(state)
    lines = terminal.screen.text.splitlines()
    assert len(lines) <= 10
    assert lines[-1] == "writing …"
    assert lines[-2].strip() == "line_499 = 1"
    terminal.view.finish(state)
    assert terminal.screen.text.split()[0] == "line_0"


def test_an_update_waits_until_a_person_may_see_it() -> None:
    terminal, state = Terminal(), folded([created(), *message("a")])
    assert terminal.show(state)
    state.apply(message("b")[1])
    assert not terminal.show(state, after=0.05)
    assert "ab" in terminal.show(state, after=0.05)


def test_a_slow_update_is_followed_by_a_longer_rest() -> None:
    terminal, state = Terminal(slow=1.0), folded([created(), *message("a")])
    assert terminal.show(state)  # takes a second
    assert not terminal.show(state, after=REST - 1.5)
    assert terminal.show(state, after=1.0)


def test_a_tool_call_does_not_wait() -> None:
    terminal = Terminal()
    terminal.show(folded([created(), *message("a")]))
    assert "f {} → 4" in terminal.show(folded([created(), *message("a"), *call("f", "{}", "4")]), after=0.0)


# --- which view ------------------------------------------------------------------------------


class Stream(io.StringIO):
    """A terminal, or something that is none."""

    def __init__(self, *, terminal: bool, encoding: str = "utf-8") -> None:
        super().__init__()
        self._terminal, self._encoding = terminal, encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return self._terminal


def test_a_terminal_gets_markdown_and_a_file_gets_text(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(terminal_view(Stream(terminal=True)), RichView)
    assert isinstance(terminal_view(Stream(terminal=False)), TextView)
    assert isinstance(terminal_view(Stream(terminal=True, encoding="ascii")), TextView)
    monkeypatch.setitem(sys.modules, "rich", None)
    assert isinstance(terminal_view(Stream(terminal=True)), TextView)


def test_a_person_who_wants_no_colours_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Stream(terminal=True)
    terminal_view(stream).finish(folded(said("```python\nx = 1\n```\n")))
    assert "x = 1" in stream.getvalue()
    assert not re.search(r"\x1b\[[\d;]*[34]\d[;m]", stream.getvalue())


# --- a real terminal -------------------------------------------------------------------------

PROGRAM = """
import sys
from dashnb import Session, connect
from dashnb.view import Heading
from dashnb.view.terminal import terminal_view

view = terminal_view(sys.stdout)
with connect("local", database=":memory:") as client, Session(client=client, ledger=None) as session:
    view.begin(Heading())
    for state in session.stream("What is 999 × 998?"):
        view.show(state)
        if "stop" in sys.argv and state.text:
            state.end("cancelled")
            break
    view.finish(state)
print("after")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo terminals")
@pytest.mark.parametrize("arguments", [[], ["stop"]])
def test_a_real_terminal_has_the_answer_and_its_cursor_at_the_end(arguments: list[str], tmp_path: Path) -> None:
    import pty

    keyboard, terminal = pty.openpty()
    places = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    program = [sys.executable, "-c", PROGRAM, *arguments]
    environ = {**os.environ, **places, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "25"}
    with subprocess.Popen(program, stdin=terminal, stdout=terminal, stderr=terminal, env=environ) as process:
        os.close(terminal)
        written = b"".join(iter(lambda: _read(keyboard), b""))
    os.close(keyboard)
    screen = Screen(written.decode().replace("\r\n", "\n"))
    assert process.returncode == 0, screen.text
    assert screen.cursor
    first, *_, last = screen.text.split("\n")
    assert first.startswith("9") if arguments else "997002" in first
    assert last == "after"
    assert "writing …" not in screen.text


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says so when the program has ended
        return b""
