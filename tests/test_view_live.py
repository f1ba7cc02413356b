"""Watching a run: what is shown on the way, and what stays whatever the way was."""

from __future__ import annotations

import io
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashnb.errors import ConfigurationError
from dashnb.protocol.events import RunEvent, event_of
from dashnb.protocol.recording import parse_recording
from dashnb.protocol.state import RunState
from dashnb.view import Heading, StaticView, TextView, UpdateView, bundle, make_view, to_text
from dashnb.view.blocks import MAX_BLOCKS, SEAL, blocks, cut
from dashnb.view.live import INTERVAL
from view_support import TRANSCRIPTS, Notebook, call, created, folded, message, recorded, run, text_of, waiting

HEADING = Heading("Weather", engine="guide")
LINES = st.sampled_from(
    [
        "word " * 60 + "\n",
        "\n",
        "- item\n",
        "  more\n",
        "```\n",
        "~~~~\n",
        "1. one\n",
        "|a|b|\n",
        "> q\n",
        "x",
        "# h\n",
        "日本\n",
    ]
)
TEXTS = st.lists(LINES, max_size=150).map("".join)


def watch(events: Iterable[RunEvent], *, seconds: float = 0.03) -> tuple[Notebook, RunState]:
    """The cell after an `UpdateView` saw the events, one in ``seconds`` seconds, and the state."""
    cell, state = Notebook(), RunState(requested_at=0)
    ids = iter(f"id-{number}" for number in range(1000))
    view = UpdateView(cell, clock=cell.clock, new_id=lambda: next(ids))
    view.begin(HEADING)
    for event in events:
        cell.now += seconds
        state.apply(event, at=cell.now * 1000)
        view.show(state)
    view.finish(state)
    return cell, state


def written(text: str, sizes: list[int]) -> list[RunEvent]:
    """A run that writes the text in pieces of these sizes, over and over."""
    pieces, start = [], 0
    while start < len(text):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(text[start : start + size])
        start += size
    return [created(), *message(*pieces), run("completed")]


# --- blocks ------------------------------------------------------------------------------------


@given(TEXTS)
@settings(deadline=None)
def test_pieces_join_to_the_text_and_are_few(text: str) -> None:
    pieces = cut(text)
    assert "".join(pieces) == text
    assert len(pieces) <= MAX_BLOCKS


@given(TEXTS, st.integers(0, 5000))
@settings(deadline=None)
def test_what_is_sealed_stays_sealed_while_text_is_added(text: str, length: int) -> None:
    sealed = cut(text[:length])[:-1]
    assert cut(text)[: len(sealed)] == sealed


def test_a_block_ends_neither_in_code_nor_in_a_list_nor_in_a_table() -> None:
    paragraph = "word " * 100 + "\n\n"
    code = "```py\n" + "x = 1\n\n" * 400 + "```\n\n"
    items = "".join(f"- item {n}\n\n  more of it\n\n" for n in range(80))
    table = "|a|b|\n|-|-|\n" + "|1|2|\n" * 400 + "\n"
    pieces = cut((paragraph * 3 + code + items + table) * 2)
    assert len(pieces) > 4
    for piece in pieces:
        assert piece.count("```") % 2 == 0
        assert not piece.startswith((" ", "|1", "\n"))
        assert piece.startswith("- item 0") or not piece.startswith("- ")


def test_a_list_without_end_is_cut_between_its_items() -> None:
    pieces = cut("".join(f"- item {n} " + "word " * 20 + "\n" for n in range(300)))
    assert len(pieces) > 3
    assert all(piece.startswith("- item") for piece in pieces)


def test_a_very_long_answer_stays_below_the_number_of_outputs_that_jupyterlab_shows() -> None:
    assert len(cut("word " * 50 + "\n\n")) == 1
    assert 20 < len(cut(("word " * 50 + "\n\n") * 800)) < 49
    assert len(cut(("word " * 50 + "\n\n") * 8000)) == MAX_BLOCKS


# --- update ------------------------------------------------------------------------------------


def test_something_is_shown_before_the_first_event() -> None:
    cell = Notebook()
    UpdateView(cell, clock=cell.clock).begin(Heading("Weather", model="qwen-max", engine="guide"))
    assert text_of(cell.outputs[0][0]["text/html"]).split("\n")[1:3] == [
        "Weather · qwen-max · guide",
        "Weather is working …",
    ]


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.name)
def test_a_short_answer_ends_as_exactly_what_the_static_view_displays(path) -> None:
    cell, state = watch(parse_recording(path.read_bytes()))
    static = Notebook()
    view = StaticView(static)
    view.begin(HEADING)
    view.finish(state)
    assert cell.outputs == static.outputs
    assert len(cell.outputs) == 1


@given(TEXTS, st.lists(st.integers(1, 700), min_size=1, max_size=5), st.floats(0, 1))
@settings(deadline=None, max_examples=40)
def test_what_stays_is_the_same_for_every_split_and_every_pace(text: str, sizes: list[int], seconds: float) -> None:
    cell, state = watch(written(text, sizes), seconds=seconds)
    expected = [bundle(state, HEADING, block=block) for block in blocks(state)]
    assert [data for data, _ in cell.outputs] == [data for data, _ in expected]
    assert ["dashnb" in metadata for _, metadata in cell.outputs] == [number == 0 for number in range(len(expected))]
    whole, _ = watch(written(text, [len(text) or 1]), seconds=seconds)
    assert [data for data, _ in whole.outputs] == [data for data, _ in cell.outputs]


def test_the_blocks_of_a_long_answer_together_say_everything() -> None:
    text = "".join(f"Paragraph {number} " + "word " * 80 + "\n\n" for number in range(40))
    cell, _ = watch(written(text, [17]))
    assert len(cell.outputs) > 5
    for kind in ("text/html", "text/markdown", "text/plain"):
        together = "".join(data[kind] for data, _ in cell.outputs)
        assert all(f"Paragraph {number} " in together for number in range(40))
    assert "".join(data["text/plain"] for data, _ in cell.outputs) == text


@given(st.floats(0.001, 0.2))
@settings(deadline=None, max_examples=15)
def test_the_open_block_is_updated_at_most_ten_times_a_second(seconds: float) -> None:
    text = ("word " * 40 + "\n\n") * 30
    cell, state = watch(written(text, [20]), seconds=seconds)
    count, number = len(cell.times), len(blocks(state))
    assert count <= cell.now / INTERVAL + 2 * number + 6
    assert count > number


def test_a_sealed_block_is_not_sent_again_until_the_end() -> None:
    text = ("word " * 40 + "\n\n") * 100
    cell, state = watch(written(text, [40]), seconds=0.2)
    sent = len(cell.times) * SEAL
    assert sent < 12 * len(text) * SEAL / 200
    assert len(cell.outputs) == len(blocks(state))


def test_a_tool_that_begins_or_ends_is_shown_at_once() -> None:
    cell, state = Notebook(), RunState()
    view = UpdateView(cell, clock=cell.clock)
    view.begin(HEADING)
    for event in (created(), *call("f", "{}", "4")):
        state.apply(event)
        view.show(state)
    assert "→ 4" in text_of(cell.outputs[0][0]["text/html"])


@pytest.mark.parametrize(
    "end", [run("failed", last_error={"code": "E", "message": "No."}), run("cancelled"), waiting(), None]
)
def test_whatever_happened_the_last_word_is_kept(end: RunEvent | None) -> None:
    events = [created(), *message("Half an ", "answer"), *([end] if end else [])]
    cell, state = watch(events)
    assert cell.outputs == [bundle(state, HEADING)]
    assert "Half an answer" in cell.outputs[0][0]["text/plain"]


def test_a_run_without_any_event_leaves_one_output() -> None:
    cell, state = watch([])
    assert cell.outputs == [bundle(state, HEADING)]
    assert "No answer arrived." in cell.outputs[0][0]["text/plain"]


# --- static, text, factory ---------------------------------------------------------------------


def test_the_static_view_is_silent_until_the_end() -> None:
    cell, state = Notebook(), recorded("run-plain")
    view = make_view("static", display=cell)
    view.begin(HEADING)
    view.show(state)
    assert not cell.outputs
    view.finish(state)
    assert cell.outputs == [bundle(state, HEADING)]
    assert not cell.places


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.name)
def test_in_a_terminal_the_text_comes_as_it_is_written(path) -> None:
    stream, state = io.StringIO(), RunState()
    view = make_view("text", stream=stream)
    view.begin(HEADING)
    for event in parse_recording(path.read_bytes()):
        state.apply(event)
        view.show(state)
        assert squeezed(stream.getvalue()).endswith(squeezed(state.text))
    view.finish(state)
    assert squeezed(stream.getvalue()) == squeezed(to_text(state, HEADING))
    assert stream.getvalue().endswith("\n")


def squeezed(text: str) -> str:
    """The text without blanks: a service's whole message may differ from its pieces in these."""
    return "".join(text.split())


def test_in_a_terminal_a_whole_message_with_other_words_is_written_again() -> None:
    pieces = [created(), *message("Hello wor")]
    stream, state = io.StringIO(), folded(pieces)
    view = TextView(stream)
    view.show(state)
    whole = {"id": "message_step_m", "role": "assistant", "content": [{"type": "text", "text": {"value": "Goodbye."}}]}
    state.apply(event_of("thread.message.completed", whole))
    state.apply(run("completed"))
    view.show(state)
    view.finish(state)
    assert stream.getvalue() == "Hello wor\nGoodbye.\n"


def test_in_a_terminal_a_call_grows_and_gets_its_output_on_the_same_line() -> None:
    stream, state, seen = io.StringIO(), RunState(), []
    view = TextView(stream)
    for event in (created(), *call("f", '{"a": 1}', "4"), *message("So ", "4."), run("cancelled")):
        state.apply(event)
        view.show(state)
        seen.append(stream.getvalue())
    view.finish(state)
    assert stream.getvalue() == '⚙ f {"a": 1} → 4\nSo 4.\n[The run was cancelled.]\n'
    assert '⚙ f {"a": 1} → 4\nSo ' in seen


def test_in_a_terminal_tools_interrupt_the_text_in_lines_of_their_own() -> None:
    stream = io.StringIO()
    view, state = TextView(stream), RunState()
    for event in (
        created(),
        *message("Let me look."),
        *call("f", "{}", "4"),
        *message("It is 4.", step="n"),
        run("completed"),
    ):
        state.apply(event)
        view.show(state)
    view.finish(state)
    assert (
        stream.getvalue()
        == to_text(
            folded(
                [
                    created(),
                    *message("Let me look."),
                    *call("f", "{}", "4"),
                    *message("It is 4.", step="n"),
                    run("completed"),
                ]
            ),
            HEADING,
        )
        + "\n"
    )


def test_a_terminal_that_knows_only_ascii_is_written_to_all_the_same() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    view = TextView(stream)
    view.finish(recorded("run-quark"))
    assert raw.getvalue().startswith(b"? quark_search")


def test_halves_of_a_character_in_two_pieces_become_one() -> None:
    stream, state = io.StringIO(), RunState()
    view = TextView(stream)
    for event in (created(), *message("a\ud83d", "\ude00b"), run("completed")):
        state.apply(event)
        view.show(state)
    view.finish(state)
    assert stream.getvalue() == "a😀b\n"


def test_there_is_a_view_for_each_mode_and_no_other() -> None:
    cell = Notebook()
    assert isinstance(make_view("update", display=cell), UpdateView)
    assert isinstance(make_view("text", stream=io.StringIO()), TextView)
    with pytest.raises(ConfigurationError, match="update, static or text"):
        make_view("auto", display=cell)
