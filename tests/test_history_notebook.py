"""A saved notebook gives the tables that the ledger has, as far as its outputs keep them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from dashnb.errors import InvalidArgument
from dashnb.history import Kept, Table, from_notebook
from dashnb.history.ledger import Ledger
from dashnb.history.rows import Circumstances, rows_of
from dashnb.history.schema import TABLES, Cell
from dashnb.protocol.events import RunEvent, event_of
from dashnb.protocol.objects import LastError
from dashnb.protocol.state import RunState
from dashnb.view import Heading
from dashnb.view.bundle import KEPT, bundle, record
from dashnb.view.live import UpdateView
from view_support import TRANSCRIPTS, Notebook, call, created, folded, message, recorded, run, waiting

HEADING = Heading("Weather", engine="guide · rules, no language model")
ASKED_AT = 1795156863000
QUESTION = "What is the weather?\n\nIn {Rome}, for $5."
NAMES = ("runs", "steps", "messages", "tool_calls", "threads")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just("\ud83d"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def output_of(state: RunState, heading: Heading = HEADING) -> Any:
    data, metadata = bundle(state, heading)
    return new_output("display_data", data=data, metadata=metadata)


def cell(*outputs: Any, source: str = f"%%assistant -o run\n{QUESTION}\n") -> Any:
    return new_code_cell(source, outputs=list(outputs))


def notebook(*cells: Any) -> Any:
    return new_notebook(cells=[new_markdown_cell("# Weather"), *cells])


def kept(state: RunState, source: str = f"%%assistant -o run\n{QUESTION}\n") -> Kept:
    """What a notebook of one cell keeps of a run."""
    return from_notebook(notebook(cell(output_of(state), source=source)))


def numbered(number: int, *, thread: str = "thread_1", created_at: int | None = None, tokens: int = 3) -> RunState:
    """A run of many, completed."""
    told = {"id": f"run_{number}", "thread_id": thread, "created_at": created_at, "usage": {"total_tokens": tokens}}
    answer = {"id": f"message_{number}", "role": "assistant", "content": f"Answer {number}"}
    return folded(
        [
            event_of("thread.message.completed", answer),
            event_of("thread.run.completed", {**told, "status": "completed"}),
        ]
    )


def with_steps(*texts: str) -> RunState:
    """A run with these messages, each of a step of its own."""
    pieces: list[RunEvent] = []
    for number, text in enumerate(texts):
        pieces += message(text, step=f"step_{number}")
    return folded([created(), *pieces, run("completed")])


def refused() -> RunState:
    """A request that never became a run."""
    state = RunState(requested_at=0)
    state.end("failed", at=20, error=LastError(code="Throttling", message="Too many\nrequests"))
    return state


def without_a_step() -> RunState:
    whole = {"id": "message_1", "role": "assistant", "content": "All of it", "created_at": ASKED_AT + 7}
    return folded([created(), event_of("thread.message.completed", whole), run("completed")])


STATES: dict[str, Callable[[], RunState]] = {
    **{path.stem: lambda path=path: recorded(path.name) for path in TRANSCRIPTS},  # type: ignore[misc]
    "nothing yet": RunState,
    "refused": refused,
    "interrupted": lambda: folded([created(), *message("The wea"), run("cancelled")]),
    "failed tool": lambda: folded(
        [created(), *call("f", '{"a"', None, status="failed"), run("failed", last_error={"code": "c", "message": "m"})]
    ),
    "waiting": lambda: folded([created(), *call("get_weather", "", status="in_progress"), waiting()]),
    "list as output": lambda: folded([created(), *call("f", "{}", [{"価格": 1.5}, "x"]), run("completed")]),
    "messages and tools": lambda: folded(
        [
            created(),
            *message("Let me", " see"),
            *call("f", "{}", "1"),
            *message("It is 1.", step="step_n"),
            run("completed"),
        ]
    ),
    "the same words twice": lambda: with_steps("ab", "a", "b", "", "ab", "ab\n\nab"),
    "halves of characters": lambda: with_steps("\ud83d\ude00 ", "\udc00", "天気", "\ufeffx"),
    "a message without a step": without_a_step,
}


def ledger_rows(state: RunState) -> dict[str, list[dict[str, Cell]]]:
    """What the ledger has of the run, but for what only the service and the session know.

    An output keeps the engine, and the model of a request that never became a run, as its heading names them.
    """
    about = Circumstances(state.id or "request_1", QUESTION, "", HEADING.engine, "local", ASKED_AT)
    rows = rows_of(state, about)
    run = rows["runs"][0]
    run["connection"] = None  # where the run was made
    if not (state.run and state.run.created_at):
        run["created_at"] = None  # the ledger falls back on when the request was sent
    timed = {message.id: message.created_at or None for message in state.messages}
    for row in rows["messages"]:
        row["created_at"] = timed.get(str(row["id"]))  # the same
        if row["role"] == "user":
            row["id"] = None  # nobody told the output
    for row in rows["tool_calls"]:
        del row["position"]  # for the database's order alone
    return rows


@pytest.mark.parametrize("name", STATES)
def test_a_notebook_gives_the_rows_of_the_ledger(name: str) -> None:
    state = STATES[name]()
    expected, found = ledger_rows(state), kept(state)
    for table in ("runs", "steps", "messages", "tool_calls"):
        assert getattr(found, table)().to_dicts() == expected[table], table
    assert (found.skipped, found.cut) == (0, 0)


@pytest.mark.parametrize("table", NAMES)
def test_tables_have_the_names_and_schemas_of_the_ledger(table: str) -> None:
    found = getattr(kept(recorded("run-quark")), table)()
    with Ledger(":memory:") as ledger:
        same = getattr(ledger, table)()
    assert (found.name, dict(found.schema)) == (same.name, dict(same.schema)) == (table, TABLES[table])
    assert found.to_arrow().num_rows == len(found) > 0
    assert found._repr_html_()


def test_threads_are_counted_as_the_ledger_counts() -> None:
    states = [
        numbered(1, thread="thread_b", created_at=ASKED_AT + 2),
        numbered(2, thread="thread_a", created_at=ASKED_AT + 1, tokens=5),
        numbered(3, thread="thread_b", created_at=ASKED_AT + 3, tokens=8),
    ]
    with Ledger(":memory:") as ledger:
        for state in states:
            ledger.record(state, prompt=QUESTION, recorded_at=ASKED_AT)
        expected = {table: getattr(ledger, table)() for table in ("threads", "runs")}
    found = from_notebook(notebook(*(cell(output_of(state)) for state in states)))
    assert found.threads().to_dicts() == expected["threads"].to_dicts()
    assert found.runs()["id"] == expected["runs"]["id"] == ["run_2", "run_1", "run_3"]


def test_a_file_a_node_and_a_dict_give_the_same(tmp_path: Path) -> None:
    node = notebook(cell(output_of(recorded("run-quark"))))
    file = tmp_path / "天気.ipynb"
    nbformat.write(node, file)  # sources become lists of lines
    read = [from_notebook(source) for source in (node, file, str(file), json.loads(file.read_text("utf-8")))]
    for table in NAMES:
        first, *others = (getattr(one, table)().to_dicts() for one in read)
        assert all(other == first for other in others)
    assert read[1].runs()["prompt"] == [QUESTION]


@pytest.mark.parametrize(
    ("source", "prompt"),
    [
        ("%%assistant\nHello?", "Hello?"),
        ("\n\n%%assistant -m qwen-plus\n\n  Hello?\n\n", "Hello?"),
        ("%%run_stream thread\nHello?", "Hello?"),
        ("%%time\n\n%%assistant\n%%assistant is a magic", "%%assistant is a magic"),
        ("%run_stream thread", ""),
        ("for thread in threads:\n    %run_stream thread", ""),
        ("%%assistants\nHello?", ""),
        ("%%time\nask()", ""),
        ("%%assistant", ""),
        ("", ""),
    ],
)
def test_the_prompt_is_the_cell_below_the_magic(source: str, prompt: str) -> None:
    found = kept(recorded("run-plain"), source)
    assert found.runs()["prompt"] == [prompt]
    assert ("user" in found.messages()["role"]) == bool(prompt)


def test_outputs_of_several_runs_in_one_cell_are_several_runs() -> None:
    source = "for thread in threads:\n    %run_stream thread"
    outputs = [output_of(numbered(1)), new_output("stream", text="between"), output_of(numbered(2))]
    found = from_notebook(notebook(cell(*outputs, source=source)))
    assert found.runs()["id"] == ["run_1", "run_2"]
    assert found.messages()["text"] == ["Answer 1", "Answer 2"]


def test_a_run_that_two_cells_show_is_one_row_with_its_prompt_and_its_end() -> None:
    begun = folded([created(), *message("The wea")])
    over = folded([created(), *message("The weather", " is good."), run("completed")])
    joined = cell(output_of(over), source="%run_stream --join run_1")
    found = from_notebook(notebook(cell(output_of(begun)), joined))
    (row,) = found.runs()
    assert (row["status"], row["text"], row["prompt"]) == ("completed", "The weather is good.", QUESTION)
    assert found.threads()["runs"] == [1]


def test_requests_that_never_became_a_run_are_numbered() -> None:
    found = from_notebook(notebook(cell(output_of(refused())), cell(output_of(refused()))))
    assert found.runs()["id"] == found.messages()["run_id"] == ["request_1", "request_2"]
    assert found.runs()["error_message"] == ["Too many\nrequests"] * 2
    assert len(found.threads()) == 0


def test_a_run_without_a_time_stays_behind_the_one_before_it() -> None:
    states = [numbered(1, created_at=9), numbered(2), numbered(3, created_at=5)]
    assert from_notebook(notebook(*(cell(output_of(state)) for state in states))).runs()["id"] == [
        "run_3",
        "run_1",
        "run_2",
    ]


def test_a_run_in_several_outputs_is_one_run() -> None:
    shown = Notebook()
    view = UpdateView(shown, clock=shown.clock, new_id=iter(map(str, range(99))).__next__)
    state = folded([created(), *message("A line of a long answer.\n\n" * 2000), run("completed")])
    view.begin(HEADING)
    view.show(state)
    view.finish(state)
    assert len(shown.outputs) > 1
    outputs = [new_output("display_data", data=data, metadata=metadata) for data, metadata in shown.outputs]
    found = from_notebook(notebook(cell(*outputs)))
    assert found.runs()["text"] == found.steps()["text"] == [state.text]


def test_what_was_cut_is_its_beginning_and_counted() -> None:
    long = "x" * (KEPT - 5)
    state = folded(
        [
            created(),
            *call("f", "{}", "y" * (KEPT + 10)),
            *call("g", "{}", ["z"], step="step_u"),
            *message(long),
            *message("0123456789", step="step_n"),
            *message("gone", step="step_o"),
            run("completed"),
        ]
    )
    output = new_output("display_data", metadata={"dashnb": record(state, HEADING)})
    found = from_notebook(notebook(cell(output)))
    assert found.cut == 1
    assert repr(found) == "Kept(runs=1, cut=1)"
    assert found.tool_calls()["output"] == ["y" * (KEPT - 2), None]
    assert found.runs()["text"] == [f"{long}\n\n012"]
    assert found.steps()["text"] == [None, None, long, "012", None]


def test_a_record_without_places_still_gives_the_answer() -> None:
    output = output_of(folded([created(), *message("The weather is good."), run("completed")]))
    saved = output.metadata["dashnb"]
    del saved["messages"], saved["steps"][0]["span"]
    found = from_notebook(notebook(cell(output)))
    assert found.steps()["text"] == [None]
    assert found.messages()["text"] == [QUESTION, "The weather is good."]


@pytest.mark.parametrize(
    "record", [7, "run", [], {}, {"run": {}}, {"version": 1, "run": []}, {"version": 2, "run": {}}]
)
def test_a_record_that_cannot_be_read_is_skipped_and_counted(record: Any) -> None:
    broken = new_output("display_data", metadata={"dashnb": record})
    plain = new_output("display_data", data={"text/plain": "no record"})
    found = from_notebook(notebook(cell(broken, plain, output_of(numbered(1)))))
    assert repr(found) == "Kept(runs=1, skipped=1)"
    assert found.runs()["id"] == ["run_1"]


def test_a_notebook_without_records_gives_empty_tables() -> None:
    found = from_notebook(notebook(new_code_cell("1", outputs=[new_output("stream", text="1")])))
    assert [len(getattr(found, table)()) for table in NAMES] == [0] * 5
    assert found.runs().schema == TABLES["runs"]


def test_values_of_wrong_types_are_none() -> None:
    output = output_of(recorded("run-quark"))
    saved = output.metadata["dashnb"]
    saved["run"].update(thread_id=5, model=["m"], created_at="today", status=None, error="broken")
    saved["usage"] = {"input_tokens": True, "output_tokens": 2.5, "total_tokens": 1 << 64}
    saved["times"] = {"duration_ms": float("inf"), "time_to_first_token_ms": 7}
    saved["steps"][0]["calls"][0].update(name=None, number="first", output={"a": 1})
    saved["steps"][1]["span"] = [-1, 5]
    found = from_notebook(notebook(cell(output)))
    (row,) = found.runs()
    wrong = {"thread_id", "model", "created_at", "status", "error_code", "duration_ms"}
    assert {row[name] for name in wrong | {"input_tokens", "output_tokens", "total_tokens"}} == {None}
    assert row["time_to_first_token_ms"] == 7
    (called,) = found.tool_calls()
    assert (called["name"], called["number"], called["output"]) == (None, 0, None)
    assert found.steps()["text"] == [None, None]
    assert len(found.threads()) == 0


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to everything in a JSON value."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in inner:
        yield from places(entry, (*path, key))


SAVED = json.loads(json.dumps(notebook(cell(output_of(recorded("run-quark"))), cell(output_of(refused())))))
PLACES = [path for path in places(SAVED) if len(path) > 1]  # `cells` itself makes it a notebook


@given(edits=st.lists(st.tuples(st.sampled_from(PLACES), JSON), min_size=1, max_size=3))
@settings(deadline=None, max_examples=200)
def test_no_edit_of_a_notebook_is_an_error(edits: list[tuple[tuple[Any, ...], Any]]) -> None:
    edited = copy.deepcopy(SAVED)
    for path, value in edits:
        holder = edited
        try:
            for key in path[:-1]:
                holder = holder[key]
            holder[path[-1]] = value
        except (LookupError, TypeError):  # an earlier edit took it away
            continue
    found = from_notebook(edited)
    for table in NAMES:
        shown: Table = getattr(found, table)()
        assert shown.to_arrow().num_rows == len(shown)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read: No such file"),
        (b"", "not JSON"),
        (b"\xff\xfe\xfa", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "no cells"),
        (b'{"nbformat": 3, "worksheets": []}', "no cells"),
        (b'{"cells": {}}', "no cells"),
    ],
    ids=["missing", "empty", "bytes", "deep", "list", "format 3", "cells as a map"],
)
def test_what_is_no_notebook_is_said_with_its_name(tmp_path: Path, content: bytes | None, reason: str) -> None:
    file = tmp_path / "weather.ipynb"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidArgument, match=rf"weather\.ipynb .*{reason}"):
        from_notebook(file)


def test_a_folder_and_a_dict_without_cells_are_no_notebooks(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="cannot be read"):
        from_notebook(tmp_path)
    with pytest.raises(InvalidArgument, match="no cells"):
        from_notebook({"metadata": {}})


def test_nothing_of_the_notebook_is_changed() -> None:
    node = notebook(cell(output_of(recorded("run-quark"))))
    before = copy.deepcopy(node)
    found = from_notebook(node)
    assert [len(getattr(found, table)()) for table in NAMES] == [1, 2, 2, 1, 1]
    assert node == before
