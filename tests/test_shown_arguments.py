"""What a person sees of a call's arguments is what runs: in every view, and where the person decides."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from html import unescape

import pytest
from rich.console import Console
from test_characters import ALL

from dashnb.magics.approving import AtPrompt
from dashnb.protocol.state import RunState
from dashnb.session.approval import APPROVED, NOBODY
from dashnb.session.tools import tool
from dashnb.view import Heading, TextView, to_html
from dashnb.view.run_markdown import to_markdown
from dashnb.view.terminal import RichView
from dashnb.view.text import to_text
from dashnb.view.toolcalls import editable_arguments, read_arguments
from dashnb.view.widget import Transmission
from view_support import call, created, folded, run, waiting


def in_terminal(state: RunState) -> str:
    file = io.StringIO()
    view = RichView(Console(file=file, width=2000, force_terminal=False))
    view.begin(Heading())
    view.finish(state)
    return file.getvalue()


def in_text(state: RunState) -> str:
    file = io.StringIO()
    view = TextView(file)
    view.begin(Heading())
    view.show(state)
    view.finish(state)
    return file.getvalue()


def in_widget(state: RunState) -> str:
    operations = Transmission().next((), asked=state.pending_calls)
    return "".join(one["arguments"] for name, *calls in operations if name == "ask" for one in calls[0])


def at_prompt(state: RunState) -> str:
    """What stands above the question."""
    import contextlib

    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        decision = AtPrompt(lambda _question: "y", NOBODY).ask(state.pending_calls[0], pay)
    assert decision == APPROVED
    return shown.getvalue()


VIEWS: dict[str, Callable[[RunState], str]] = {
    "terminal": in_terminal,
    "text": in_text,
    "plain text": lambda state: to_text(state, Heading()),
    "Markdown": lambda state: to_markdown(state, Heading()),
    "HTML": lambda state: unescape(to_html(state, Heading())),
    "widget": in_widget,
    "prompt": at_prompt,
}


@tool(approval="ask")
def pay(amount: int = 0, code: str = "") -> str:
    """Pay.

    Args:
        amount: How much.
        code: A program.
    """
    return f"{amount} {code}"


def asking(arguments: str) -> RunState:
    """A run that has made the call as a step, and waits for the output of another of the same kind."""
    return folded([created(), *call("pay", arguments, "done"), waiting("pay", arguments)])


def named(char: str, shown: str) -> bool:
    """Whether a text shows the character by its number, or as JSON escapes it."""
    number, escaped = f"{ord(char):04x}", json.dumps(char)[1:-1]
    return number in shown.lower() or escaped in shown


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("kind", ["code", "name"])
def test_nothing_in_arguments_is_unseen_in_any_view(view: str, kind: str) -> None:
    """Before, inside and behind every such character there are words, and all of them are shown."""
    for name, char in ALL.items():
        if name == "half a character":
            continue  # JSON of the wire has it as an escape, see below
        value = f"start{char}end"
        state = asking(json.dumps({kind: value}, ensure_ascii=False))
        shown = VIEWS[view](state)
        assert char not in shown, name
        assert "start" in shown, name
        assert "end" in shown, name
        assert named(char[0], shown), f"{name}: {shown!r}"


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    ("code", "words", "chars"),
    [
        ("import os; os.remove('x')\rprint('hello')          ", ["os.remove", "print('hello')"], "\r"),
        ("rm\x1b[2K\x1b[1Gls", ["rm", "ls"], "\x1b"),
        ("delete()" + "\b" * 8 + "listing()", ["delete()", "listing()"], "\b"),
        ("if level != 'user\u202e \u2066# only admins\u2069 \u2066':", ["only admins"], "\u202e\u2066\u2069"),
        ("print(1)\u2028evil()", ["print(1)", "evil()"], "\u2028"),
        ("x = 'a\ud800b'", ["x = 'a", "b'"], "\ud800"),
    ],
)
def test_a_program_that_draws_over_itself_is_shown_as_it_runs(
    view: str, code: str, words: list[str], chars: str
) -> None:
    shown = VIEWS[view](asking(json.dumps({"code": code}, ensure_ascii=False)))
    assert [word for word in words if word not in shown] == []
    assert [char for char in chars if char in shown or not named(char, shown)] == []


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("arguments", ['{"amount": 1, "amount": 1000000}', '{"amount":1,"\\u0061mount":1000000}'])
def test_of_a_name_that_stands_twice_the_value_that_counts_is_shown(view: str, arguments: str) -> None:
    shown = VIEWS[view](asking(arguments))
    assert "1000000" in shown
    assert '"amount": 1,' not in shown
    assert pay.read(arguments) == {"amount": 1_000_000}


@pytest.mark.parametrize("view", ["HTML", "widget", "prompt"])
def test_all_of_long_arguments_is_there_where_a_person_decides(view: str) -> None:
    code = "\n".join([*(f"line_{number} = 1" for number in range(3000)), "the_end()"])
    shown = VIEWS[view](asking(json.dumps({"code": code})))
    assert "line_0 " in shown
    assert "line_2999 " in shown
    assert "the_end()" in shown


def test_a_long_question_says_how_long_it_is() -> None:
    shown = at_prompt(asking(json.dumps({"code": "x()\n" * 99 + "y()"})))
    assert shown.endswith("(100 lines, 399 characters)\n")
    assert "characters)" not in at_prompt(asking('{"amount": 1}'))


@pytest.mark.parametrize("view", ["text", "plain text", "Markdown", "terminal"])
def test_a_line_of_long_arguments_says_how_much_more_there_is(view: str) -> None:
    state = folded([created(), *call("pay", json.dumps({"code": "x" * 5000}), "done"), run("completed")])
    assert "… (4,912 more characters)" in VIEWS[view](state)


@pytest.mark.parametrize("depth", [500, 100_000])
def test_arguments_that_are_nested_too_deeply_are_shown_as_they_came(depth: int) -> None:
    arguments = '{"amount": ' + "[" * depth + "]" * depth + ', "code": "evil()"}'
    assert "evil()" in read_arguments(arguments)
    assert "evil()" in editable_arguments(arguments)


def test_what_a_person_edits_has_the_values_that_came() -> None:
    for name, char in ALL.items():
        arguments = json.dumps({"code": f"a{char}b", "amount": 10**30}, ensure_ascii=False)
        assert json.loads(editable_arguments(arguments)) == json.loads(arguments), name


def test_a_name_of_a_function_forges_no_line() -> None:
    events = [created(), *call("pay\n\x1b[2JCall it? \u202e", "{}", "x"), run("completed")]
    for view in ("text", "plain text", "Markdown", "terminal", "HTML"):
        shown = VIEWS[view](folded(events))
        assert "pay⟨U+000A⟩⟨U+001B⟩[2JCall it? ⟨U+202E⟩" in shown, view
        assert not {"\x1b", "\u202e"} & set(shown), view
