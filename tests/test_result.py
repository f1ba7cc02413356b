"""The result of a run: what a variable of the notebook has of it, now and at the end."""

from __future__ import annotations

import base64
import copy
import json
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from IPython.core.error import UsageError
from IPython.core.formatters import DisplayFormatter
from IPython.core.interactiveshell import InteractiveShell
from pydantic import BaseModel
from shells import failed, opened, run, serve
from typing_extensions import TypedDict

from dashnb.errors import AnswerMismatch
from dashnb.local.models.engine import CallPiece, OutputPiece, TextPiece
from dashnb.magics.schemas import MOST_PLACES, AnswerSchema, find_schema
from dashnb.protocol.events import event_of
from dashnb.protocol.state import RunState
from dashnb.session.result import Picture, RunResult
from dashnb.view import Heading, bundle
from scripted import Script
from work import assert_linear

PNG = b"\x89PNG\r\n\x1a\nnot really"
PNG_URI = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[InteractiveShell]:
    with opened(monkeypatch, tmp_path) as shell:
        yield shell


def said(text: str, **run: Any) -> RunState:
    """The state of a run that answered with a text."""
    state = RunState()
    state.apply(event_of("thread.run.created", {"id": "run_1", "status": "queued", "thread_id": "thread_1", **run}))
    delta = {"content": [{"type": "text", "text": {"value": text}}]}
    state.apply(event_of("thread.message.delta", {"id": "message_1", "delta": delta}))
    return state


# --- what it has -----------------------------------------------------------------------------------


def test_everything_that_the_state_has_is_there_and_always_current() -> None:
    state = RunState()
    result = RunResult(state)
    assert (result.text, result.status, result.id, result.steps, result.usage, result.error) == (
        "",
        "",
        "",
        (),
        None,
        None,
    )
    state.apply(event_of("thread.run.created", {"id": "run_1", "status": "queued", "model": "qwen-max"}))
    assert (result.id, result.status, result.model, result.state) == ("run_1", "queued", "qwen-max", state)
    for name in dir(state):
        if not name.startswith("_"):
            assert hasattr(result, name)
            assert name in dir(result)
    with pytest.raises(AttributeError, match="no attribute 'nothing_such'"):
        result.nothing_such  # noqa: B018 # looking it up is the test


def test_a_result_is_shown_in_one_line_and_its_text_is_the_answer() -> None:
    result = RunResult(said("Hello"))
    assert repr(result) == "RunResult(id='run_1', status='queued', steps=0, chars=5)"
    assert str(result) == "Hello"


def test_a_result_can_be_copied() -> None:
    assert copy.copy(RunResult(said("Hello"))).text == "Hello"
    assert pickle.loads(pickle.dumps(RunResult(said("Hello")))).text == "Hello"


def test_a_run_in_the_foreground_is_done_when_it_is_over_and_takes_no_orders() -> None:
    state = said("Hello")
    result = RunResult(state)
    assert (result.done, result.exception) == (False, None)
    state.end("completed", at=1)
    assert result.done
    assert result.wait(0.01) is result
    result.cancel()
    assert result.status == "completed"


def test_the_cost_is_that_of_the_price_list_or_not_known() -> None:
    usage = {"input_tokens": 1865, "output_tokens": 139, "total_tokens": 2004}
    state = said("Hello", model="qwen-max", usage=usage)
    cost = RunResult(state, place="cloud").cost
    assert cost is not None
    assert cost.amount > Decimal(0)
    assert RunResult(state, place="guide").cost is None
    assert RunResult(said("Hello", model="qwen-max"), place="cloud").cost is None


# --- tables and pictures ---------------------------------------------------------------------------


def test_the_markdown_tables_of_the_answer_are_tables() -> None:
    text = (
        "Two:\n\n| city | **n** | n | |\n|---|--:|---|---|\n| `Rome` | 1 |\n\n"
        "and\n\n| a |\n|---|\n\n```\n| b |\n|---|\n```"
    )
    first, second = RunResult(said(text)).tables
    assert first.to_dicts() == [{"city": "Rome", "n": "1", "n (3)": "", "column 4": ""}]
    assert second.to_dicts() == []
    assert second.columns == ("a",)
    assert RunResult(said("No | table")).tables == ()


def test_a_table_of_many_columns_of_one_name_takes_work_that_grows_with_it() -> None:
    def answer(columns: int) -> RunResult:
        return RunResult(said("|n" * columns + "|\n" + "|-" * columns + "|\n"))

    assert answer(3).tables[0].columns == ("n", "n (2)", "n (3)")
    assert_linear(lambda result: result.tables, answer, 8_000)


def test_half_a_character_in_an_address_spoils_neither_tables_nor_pictures() -> None:
    result = RunResult(said("<https://example.org/\ud83d>\n\n| a\ud83d |\n|---|\n\n![b](https://example.org/\ud83d)"))
    assert [table.columns for table in result.tables] == [("a\ufffd",)]
    assert [picture.url for picture in result.images] == ["https://example.org/%EF%BF%BD"]


def test_the_pictures_of_tools_and_of_the_answer_are_there_each_once(shell: InteractiveShell) -> None:
    drawn = json.dumps({"results": [{"url": PNG_URI}, {"url": "https://example.org/a.png?b=1&c=2"}]})
    answer = f"![a]({PNG_URI}) ![b](https://example.org/b.png) ![c](javascript:alert(1)) ![d](http://example.org/d.png)"
    pieces = [CallPiece(0, "text_to_image", "{}"), OutputPiece(0, drawn)]
    serve(shell, Script(pieces, [TextPiece(answer)]))
    run(shell, "%%assistant -t text_to_image -o drawing\nDraw")
    assert shell.user_ns["drawing"].images == (
        Picture("image/png", PNG),
        Picture(url="https://example.org/a.png?b=1&c=2"),
        Picture(url="https://example.org/b.png"),
    )


def test_search_results_are_no_pictures(shell: InteractiveShell) -> None:
    found = json.dumps({"results": [{"title": "Rome", "url": "https://example.org/rome"}]})
    serve(shell, Script([CallPiece(0, "quark_search", "{}"), OutputPiece(0, found)], [TextPiece("Rome")]))
    run(shell, "%%assistant -t quark_search -o answer\nWhere?")
    assert shell.user_ns["answer"].images == ()


def test_a_notebook_shows_a_picture_as_a_picture() -> None:
    data, _ = DisplayFormatter().format(Picture("image/png", PNG))
    assert base64.b64decode(data["image/png"]) == PNG
    assert set(Picture(url='https://example.org/"><script>')._repr_mimebundle_()) == {"text/plain"}
    shown = Picture(url="https://example.org/?a=1&b=2")._repr_mimebundle_()["text/html"]
    assert shown.startswith('<img src="https://example.org/?a=1&amp;b=2" ')


@pytest.mark.parametrize(
    "picture",
    [
        Picture("text/html", b"<script>pwned=1</script>"),
        Picture("image/svg+xml", b"<svg onload='pwned=1'/>"),
        Picture("application/javascript", b"pwned=1"),
        Picture("image/png; x", PNG),
        Picture(url="javascript:pwned=1"),
        Picture(url="http://example.org/a.png"),
        Picture(),
    ],
)
def test_what_is_no_picture_is_named_and_not_shown(picture: Picture) -> None:
    assert picture._repr_mimebundle_() == {"text/plain": repr(picture)}


def test_a_result_is_shown_as_under_its_cell_in_every_form() -> None:
    heading = Heading("Weather", engine="guide")
    state = said("**Hello** <b>")
    state.end("completed")
    data, metadata = DisplayFormatter().format(RunResult(state, heading=heading))
    assert (data, metadata) == (bundle(state, heading)[0], {})
    assert list(data) == ["text/html", "text/markdown", "text/plain"]


def test_a_result_in_the_background_says_what_it_does_until_it_is_over() -> None:
    @dataclass
    class Reading:
        done: bool = False
        exception: BaseException | None = None

        def wait(self, timeout: float | None) -> None: ...

        def cancel(self) -> None: ...

    work = Reading()
    result = RunResult(said("Half an"), work=work, heading=Heading("Weather"))
    going = result._repr_mimebundle_()
    assert going["text/markdown"] == "*Weather*\n\nHalf an\n\n> writing …"
    assert "writing …" in going["text/html"]
    work.done = True
    over = result._repr_mimebundle_()
    assert over["text/markdown"].endswith("> Reading ended before the run did.")
    assert "writing …" not in over["text/html"]


# --- answers as data -------------------------------------------------------------------------------


class Person(BaseModel):
    name: str
    age: int


@dataclass
class Place:
    name: str


class Row(TypedDict):
    n: int


@pytest.mark.parametrize(
    ("kind", "text", "parsed"),
    [
        (Person, '{"name": "Ada", "age": 36}', Person(name="Ada", age=36)),
        (Person, 'Here:\n```json\n{"name": "Ada", "age": 36}\n```\nDone.', Person(name="Ada", age=36)),
        (Place, '{"name": "Rome"}', Place("Rome")),
        (Row, '{"n": 1}', {"n": 1}),
        (list[int], "[1, 2]", [1, 2]),
        ({"type": "array", "items": {"type": "integer"}}, " [1, 2] ", [1, 2]),
        ({}, "null", None),
    ],
)
def test_an_answer_that_fits_is_an_object_of_the_class(kind: Any, text: str, parsed: Any) -> None:
    assert find_schema("kind", {"kind": kind}).parse(said(text)) == parsed


@pytest.mark.parametrize(
    ("kind", "text", "place"),
    [
        (Person, '{"name": "Ada", "age": "old"}', "age: Input should be a valid integer"),
        ({"properties": {"a": {"type": "array", "items": {"minimum": 3}}}}, '{"a": [5, 1]}', "a.1: 1 is less than"),
        ({"type": "object"}, "[]", "the answer: [] is not of type 'object'"),
        (Person, "I am sorry.", "it is no JSON: Expecting value"),
        (Person, "", "it is no JSON"),
        ({}, "[" * 100_000, "nested too deeply"),
        ({"$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"}, "[" * 400 + "]" * 400, "too deeply"),
    ],
)
def test_an_answer_that_does_not_fit_is_an_error_that_says_where(kind: Any, text: str, place: str) -> None:
    with pytest.raises(AnswerMismatch) as caught:
        find_schema("kind", {"kind": kind}).parse(said(text))
    assert place in str(caught.value)
    assert caught.value.state.text == text


def test_an_error_about_many_places_has_at_most_ten_lines() -> None:
    with pytest.raises(AnswerMismatch) as caught:
        find_schema("rows", {"rows": list[int]}).parse(said(json.dumps(["x"] * 40)))
    caught.value.foreword = "回答不符合所要求的格式"
    shown = "".join(caught.value._render_traceback_()).splitlines()
    assert len(shown) <= 10
    assert f"… and {40 - MOST_PLACES} more" in str(caught.value)
    assert "answer is kept" in shown[-1]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"type": "nothing"}, "is no JSON schema"),
        (42, "no type that JSON can carry"),
        ({"$ref": "https://example.org/schema.json"}, "nothing is fetched"),
    ],
)
def test_what_is_no_schema_is_refused(value: Any, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        find_schema("value", {"value": value})


def test_a_schema_may_be_a_file(tmp_path: Path) -> None:
    file = tmp_path / "person.json"
    file.write_text(json.dumps(Person.model_json_schema()))
    assert find_schema(str(file), {}).parse(said('{"name": "Ada", "age": 36}')) == {"name": "Ada", "age": 36}
    for content, reason in (("{", "is no JSON"), ("[]", "no JSON object")):
        file.write_text(content)
        with pytest.raises(UsageError, match=reason):
            find_schema(str(file), {})
    with pytest.raises(UsageError, match="cannot be read"):
        find_schema("nowhere.json", {})
    with pytest.raises(UsageError, match=r"no schema 'Persno'.*Did you mean Person\?"):
        find_schema("Persno", {"Person": Person})


def test_a_run_is_told_of_the_schema_besides_what_it_is_told_already(shell: InteractiveShell) -> None:
    engine = Script(*([TextPiece('{"name": "Ada", "age": 36}')],) * 3)
    serve(shell, engine)
    shell.user_ns["Person"] = Person
    run(shell, "%%assistant --json-schema Person -o answer\nWho?")
    assert shell.user_ns["answer"].parsed == Person(name="Ada", age=36)
    run(shell, '%%assistant --json-schema Person -i "Be brief" -o answer\nWho?')
    run(shell, "%%assistant -o plain\nWho?")
    first, second, third = (turn.instructions for turn in engine.turns)
    assert first.startswith("Answer with JSON only")
    assert '"age"' in first
    assert second == f"Be brief\n\n{first}"
    assert "JSON" not in third
    assert shell.user_ns["plain"].parsed is None


def test_an_answer_that_does_not_fit_fails_the_cell_and_is_kept_and_shown(shell: InteractiveShell) -> None:
    serve(shell, Script([TextPiece("Ada, 36")]))
    shell.user_ns["Person"] = Person
    lines = failed(shell, "%%assistant --json-schema Person -o answer\nWho?")
    answer = shell.user_ns["answer"]
    assert (answer.text, answer.parsed, answer.status) == ("Ada, 36", None, "completed")
    assert lines[0] == "Ada, 36"
    assert lines[1] == "AnswerMismatch: The answer does not fit Person:"
    assert len(lines) < 10


def test_the_instruction_holds_the_schema() -> None:
    made = AnswerSchema("x", {"type": "integer"}, json.loads)
    assert json.loads(made.instruction.partition("\n")[2]) == {"type": "integer"}
