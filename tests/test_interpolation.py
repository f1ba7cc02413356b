"""Variables in the text of a cell: what ``--vars`` replaces, and everything that it leaves alone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas
import polars
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from shells import messages_of, opened, run

from dashnb.history import Table
from dashnb.magics.variables import as_text, fill_in
from dashnb.protocol.state import RunState
from dashnb.session.frames import MOST_ROWS
from dashnb.session.result import RunResult

NAMES = {"city": "Rome", "n": 42, "größe": 1.5}
PLAIN_WORD = re.compile(r"\{[^\W\d]\w*\}|\{\{")


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[InteractiveShell]:
    with opened(monkeypatch, tmp_path) as shell:
        yield shell


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("Greet {city}, {n} times", "Greet Rome, 42 times"),
        ("{city}{city}", "RomeRome"),
        ("{größe} m", "1.5 m"),
        ("{{city}}", "{city}"),
        ("{{{city}}}", "{Rome}"),
        ('{{"in": "{city}", "of": {{}}}}', '{"in": "Rome", "of": {}}'),
        ("", ""),
    ],
)
def test_a_plain_name_in_braces_is_the_variable(text: str, sent: str) -> None:
    assert fill_in(text, NAMES) == sent


@pytest.mark.parametrize(
    "text",
    [
        *("{ city }", "{city.name}", "{city!r}", "{city:>10}", "{city()}", "{city[0]}", "{0}", "{}", "{", "}", "}}"),
        *("{city", "city}", "{True}", "{for}", "f(x) { return x; }", "\\frac{1}{2}", "${HOME}"[:1], "{a-b}"),
        '{"a": {"b": {"c": 1}}}',
        "for (;;) { if (x) { y(); }}",
    ],
)
def test_all_other_braces_stay_as_they_are(text: str) -> None:
    assert fill_in(text, NAMES) == text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON, st.sampled_from([None, 2]))
@example({"a": {"b": {}}}, None)
def test_json_is_left_alone(value: Any, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    if not PLAIN_WORD.search(text):  # a string may say {name}, and then means it
        assert fill_in(text, NAMES) == text


@given(st.text(alphabet="{}ab_1 .\n", max_size=40))
def test_whatever_stands_in_braces_only_known_names_are_replaced(text: str) -> None:
    try:
        sent = fill_in(text, {"a": "A"})
    except UsageError:
        assert PLAIN_WORD.search(text)
    else:
        assert sent == text or PLAIN_WORD.search(text)


@given(st.text(), st.text())
def test_a_value_is_sent_as_it_is_whatever_it_holds(before: str, value: str) -> None:
    plain = before.replace("{", "(").replace("}", ")")
    assert fill_in(plain + "{value}", {"value": value}) == plain + value


def test_a_name_that_is_no_variable_is_refused_with_a_suggestion() -> None:
    with pytest.raises(UsageError, match=r"no variable 'ctiy' for {ctiy}.*{{ctiy}}.*Did you mean {city}\?"):
        fill_in("Greet {ctiy}", NAMES)


def test_a_value_that_holds_a_key_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError, match="'config' holds the key") as caught:
        fill_in("See {config}", {"config": {"key": "sk-canary"}}, secrets=["", "sk-canary"])
    assert "sk-canary" not in str(caught.value)


# --- tables ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "table",
    [
        Table({"n": "integer", "word": "text"}, [(1, "a|b"), (2, "c\nd")]),
        pandas.DataFrame({"n": [1, 2], "word": ["a|b", "c\nd"]}),
        polars.DataFrame({"n": [1, 2], "word": ["a|b", "c\nd"]}),
    ],
)
def test_a_table_becomes_markdown(table: Any) -> None:
    assert as_text(table) == "| n | word |\n| --- | --- |\n| 1 | a\\|b |\n| 2 | c d |"


@pytest.mark.parametrize(
    "table",
    [
        Table({"n": "integer"}, [(number,) for number in range(1234)]),
        pandas.DataFrame({"n": range(1234)}),
        polars.DataFrame({"n": range(1234)}),
    ],
)
def test_a_long_table_is_cut_and_says_so(table: Any) -> None:
    lines = as_text(table).splitlines()
    assert len(lines) == 2 + MOST_ROWS + 2
    assert lines[-1] == "(50 of 1,234 rows)"


def test_an_index_with_a_meaning_is_a_column() -> None:
    frame = pandas.DataFrame({"n": [1]}, index=pandas.Index(["Rome"], name="city"))
    assert as_text(frame) == "| city | n |\n| --- | --- |\n| Rome | 1 |"


def test_the_result_of_a_run_is_its_text() -> None:
    assert as_text(RunResult(RunState())) == ""


# --- cells -----------------------------------------------------------------------------------------


def test_variables_are_filled_in_only_where_a_cell_asks_for_it(shell: InteractiveShell) -> None:
    shell.user_ns["city"] = "Rome"
    run(shell, "%%assistant --vars -o one\nGreet {city} {{now}}")
    run(shell, "%%assistant -o two\nGreet {city} {{now}}")
    thread = shell.user_ns["one"].thread_id
    run(shell, f"%%run_stream {thread} --vars\nGo to {{city}}")
    assert messages_of(shell, thread) == ["Greet Rome {now}", "Greet {city} {{now}}", "Go to Rome"]


@given(text=st.text(alphabet=st.sampled_from("{}n ay\"':$%"), min_size=1).filter(str.strip))
def test_without_vars_nothing_is_looked_at(text: str) -> None:
    from types import SimpleNamespace

    from dashnb.magics.magics import AssistantMagics

    assert AssistantMagics._text(None, text, SimpleNamespace(vars=False)) == text.strip()  # type: ignore[arg-type]


def test_nothing_is_sent_if_a_name_is_unknown_or_a_value_holds_the_key(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-canary-long-enough")
    run(shell, "%assistant connect local --database :memory:")
    shell.user_ns["secret"] = "key: sk-canary-long-enough"
    for text, said in (("Greet {nobody}", "no variable 'nobody'"), ("See {secret}", "holds the key")):
        with pytest.raises(UsageError, match=said):
            run(shell, f"%%assistant --vars -o answer\n{text}")
    assert "answer" not in shell.user_ns


def test_vars_without_a_cell_is_a_mistake(shell: InteractiveShell) -> None:
    with pytest.raises(UsageError, match="--vars is for the text of a cell"):
        run(shell, "%run_stream thread_1 --vars")
