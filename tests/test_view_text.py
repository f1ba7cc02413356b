"""A run as plain text and as Markdown."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashnb.characters import harmless
from dashnb.protocol.events import event_of
from dashnb.protocol.objects import Usage
from dashnb.protocol.state import RunState
from dashnb.view import Heading, TextView, to_markdown, to_text
from dashnb.view.text import without_picture_data
from dashnb.view.toolcalls import read_output
from view_support import HOSTILE, call, created, folded, message, recorded, run, waiting

HEADING = Heading("Weather", engine="guide · rules, no language model")


def test_a_recorded_answer_is_its_words() -> None:
    assert to_text(recorded("run-plain"), HEADING) == "999 に 998 を掛けると 997002 になります。"


def test_a_tool_call_is_one_line_above_the_answer() -> None:
    lines = to_text(recorded("run-quark"), HEADING).splitlines()
    assert lines[0] == '⚙ quark_search {"query": "今日の北京の天気"} → 11 results'
    assert lines[1].startswith("今日の北京の天気は晴れで")
    assert to_text(recorded("submit"), HEADING).splitlines()[0] == '⚙ get_current_weather {"location": "Xi\'an"} → rain'


@pytest.mark.parametrize(
    ("events", "line"),
    [
        ([run("failed", last_error={"code": "E1", "message": "Broken."})], "[The run failed: E1: Broken.]"),
        ([run("expired")], "[The run took too long and expired. What had arrived is shown.]"),
        ([run("incomplete")], "[The answer is incomplete: the run ended before the model had finished.]"),
        ([run("cancelled")], "[The run was cancelled.]"),
        ([waiting()], "[The run waits for the output of get_weather. Go on with %assistant continue.]"),
        ([], "[Reading ended before the run did.]"),
    ],
)
def test_a_run_that_did_not_complete_keeps_its_words_and_says_what_happened(events: list, line: str) -> None:
    state = folded([created(), *message("Half an"), *events])
    assert to_text(state, HEADING) == f"Half an\n{line}"
    assert to_markdown(state, HEADING).splitlines()[2] == "Half an"


def test_an_abandoned_run_says_that_it_may_go_on() -> None:
    state = folded([created(), *message("Half an")])
    state.end("abandoned")
    assert to_text(state, HEADING).endswith("[Reading was stopped; the run may go on at the service.]")


def test_the_text_has_no_ids_and_no_times() -> None:
    state = recorded("run-quark")
    text = to_text(state, Heading(watched=True))
    assert state.id not in text
    assert " s" not in text


def test_tools_and_texts_stand_in_the_order_in_which_they_came() -> None:
    state = folded(
        [
            created(),
            *message("Let me look."),
            *call("f", "{}", "4"),
            *message("It is 4.", step="step_n"),
            run("completed"),
        ]
    )
    assert to_text(state, HEADING) == "Let me look.\n⚙ f {} → 4\nIt is 4."


def test_markdown_quotes_the_tools_and_keeps_the_answer() -> None:
    state = folded([created(), *call("f`x", '{"a": "*b*"}', "a `tick`"), *message("**Answer**"), run("completed")])
    state.usage = Usage(input_tokens=1200, output_tokens=30, total_tokens=1230)
    assert to_markdown(state, HEADING).split("\n\n") == [
        "*Weather · qwen-max · guide · rules, no language model*",
        '> ⚙ `` f`x `` `{"a": "*b*"}` → `` a `tick` ``',
        "**Answer**",
        "*1,200 tokens in · 30 out · 1,230 in total*",
    ]


def test_markdown_closes_a_code_fence_that_the_answer_left_open() -> None:
    state = folded([created(), *message("```py\nx = 1"), run("cancelled")])
    assert to_markdown(state, HEADING).endswith("```py\nx = 1\n```\n\n> The run was cancelled.")


def test_markdown_marks_in_names_and_errors_are_escaped() -> None:
    state = folded([created(), run("failed", last_error={"code": "x", "message": "<b>*no*</b>\n# big"})])
    assert "> The run failed: x: &lt;b>\\*no\\*&lt;/b> # big" in to_markdown(state, Heading("A_B"))
    assert to_markdown(state, Heading("A_B")).startswith("*A\\_B ")


@given(HOSTILE, st.text(max_size=20))
def test_a_terminal_is_never_given_control_characters(text: str, arguments: str) -> None:
    state = folded(
        [
            created(),
            *call(text[:9], arguments, text),
            *message(text),
            run("failed", last_error={"code": "x", "message": text}),
        ]
    )
    shown = to_text(state, HEADING)
    assert harmless(shown) == shown
    assert "\x1b" not in shown
    shown.encode()


def test_an_empty_run_says_so() -> None:
    assert to_text(RunState(), HEADING) == "[No answer arrived.]"


def test_a_picture_written_out_as_data_is_a_word_in_plain_text() -> None:
    text = "Here it is:\n\n![a cat](data:image/png;base64,iVBORw0KGgo=) and ![](data:image/gif;base64,R0lG)"
    assert without_picture_data(text) == "Here it is:\n\n[picture: a cat] and [picture]"
    assert without_picture_data("![a dog](https://example.org/dog.png)") == "![a dog](https://example.org/dog.png)"


@given(st.text(alphabet="ab!['](d: \n", max_size=12), st.text(alphabet="ab!['](d: \n", max_size=12))
def test_text_that_grows_around_a_picture_never_takes_back_what_it_showed(before: str, after: str) -> None:
    whole = f"{before}![a cat](data:image/png;base64,iVBORw0KGgo=){after}"
    shown = ""
    for end in range(len(whole) + 1):
        now = without_picture_data(whole[:end], over=False)
        assert now.startswith(shown)
        assert "base64" not in now
        shown = now
    assert without_picture_data(whole).startswith(shown)


def test_the_terminal_shows_a_word_for_a_picture_however_it_is_cut() -> None:
    whole = "Here:\n\n![a cat](data:image/png;base64,iVBORw0KGgo=)\n\nDone."
    for size in (1, 2, 7, len(whole)):
        written, state = io.StringIO(), RunState()
        view = TextView(written)
        for start in range(0, len(whole), size):
            delta = {"content": [{"type": "text", "text": {"value": whole[start : start + size]}}]}
            state.apply(event_of("thread.message.delta", {"id": "message_1", "delta": delta}))
            view.show(state)
        state.end("completed")
        view.finish(state)
        assert written.getvalue() == "Here:\n\n[picture: a cat]\n\nDone.\n"


def test_a_search_without_results_says_so() -> None:
    assert read_output('{"success": true, "data": [], "failed": null}').line(Heading()) == "no results"
