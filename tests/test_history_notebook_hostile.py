"""A saved notebook is written by anybody: it costs what its size costs, and ends in tables or a DashnbError."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashnb.errors import DashnbError
from dashnb.history import Kept, from_notebook
from work import assert_linear

TABLES = ("runs", "steps", "messages", "tool_calls", "threads")
ODD = st.sampled_from(
    [
        *(None, True, False, 0, -1, 1, 2**31, 2**62, 2**63 - 1, 2**63, -(2**63), 10**400, 0.5, -0.0, 1e308),
        *(float("nan"), float("inf"), float("-inf"), "", "x", "\ud800", "\0", "9" * 5000, "id", b"x", b""),
        *([], {}, [[]], [{}], {"": None}, [0, 5], [-1, 2], [0, 10**400], [2, 1], [0.0, 1.0], [True, False], [0, 1, 2]),
    ]
)
KEYS = ["version", "run", "id", "text", "steps", "calls", "span", "messages", "output", "number", "usage", "cut"]
ANYTHING = st.recursive(
    ODD,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "version",
                    "run",
                    "id",
                    "text",
                    "steps",
                    "calls",
                    "span",
                    "messages",
                    "output",
                    "number",
                    "usage",
                    "cut",
                    "metadata",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
RUN = st.fixed_dictionaries({}, optional=dict.fromkeys(("id", "thread_id", "status", "created_at", "error"), ANYTHING))
CALL = st.fixed_dictionaries({}, optional=dict.fromkeys(("number", "id", "name", "arguments", "output"), ANYTHING))
STEP = st.fixed_dictionaries(
    {"calls": st.lists(CALL, max_size=2) | ANYTHING},
    optional=dict.fromkeys(("id", "type", "status", "message_id", "span", "duration_ms", "error"), ANYTHING),
)
MESSAGE = st.fixed_dictionaries({}, optional=dict.fromkeys(("id", "role", "created_at", "span"), ANYTHING))
RECORD = st.fixed_dictionaries(
    {"version": st.just(1), "run": RUN},
    optional={
        "text": st.text(max_size=9) | ANYTHING,
        "steps": st.lists(STEP, max_size=3) | ANYTHING,
        "messages": st.lists(MESSAGE, max_size=3) | ANYTHING,
        **dict.fromkeys(("usage", "times", "engine", "assistant", "cut"), ANYTHING),
    },
)


def notebook(*records: Any, source: Any = "%%assistant\nhi") -> dict[str, Any]:
    outputs = [{"output_type": "display_data", "data": {}, "metadata": {"dashnb": record}} for record in records]
    return {"nbformat": 4, "cells": [{"cell_type": "code", "source": source, "outputs": outputs}]}


def read(kept: Kept) -> int:
    """Everything that can be read of it; the size of its tables."""
    size = len(repr(kept))
    for name in TABLES:
        table = getattr(kept, name)()
        size += len(repr(table)) + len(table._repr_html_() or "")
        size += sum(len(cell) for row in table.rows for cell in row if isinstance(cell, str))
        assert table.to_arrow().num_rows == table.to_pandas().shape[0] == len(table)
    return size


@given(
    records=st.lists(RECORD | ANYTHING, max_size=3),
    source=st.sampled_from(["%%assistant\nhi", "%%", "", None, ["%%x\n", 5]]),
)
@settings(deadline=None, max_examples=300)
def test_any_record_gives_tables(records: list[Any], source: Any) -> None:
    read(from_notebook(notebook(*records, source=source)))


@given(value=ANYTHING)
@settings(deadline=None, max_examples=200)
def test_anything_in_the_place_of_a_notebook_gives_tables_or_an_error(value: Any) -> None:
    for given_ in (value, {"cells": value}, {"cells": [value]}, {"cells": [{"outputs": value}]}):
        try:
            kept = from_notebook(given_)
        except DashnbError:
            continue
        read(kept)


def test_what_holds_itself_is_left_out() -> None:
    circle: list[Any] = []
    circle.append(circle)
    call = {"id": "c", "type": "function", "name": "f", "arguments": "{}", "output": circle}
    record = {"version": 1, "run": {"id": "r"}, "text": "x", "steps": [{"id": "s", "calls": [call]}]}
    assert from_notebook(notebook(record)).tool_calls()["output"] == [None]


def test_what_is_nested_beyond_all_calls_is_left_out() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    record = {
        "version": 1,
        "run": {"id": deep, "error": deep},
        "text": deep,
        "steps": [{"span": deep, "calls": [{"output": deep}]}],
    }
    assert from_notebook(notebook(record)).tool_calls()["output"] == [None]
    while deep:  # taken apart by hand, as the interpreter's own way is as deep
        deep = deep.pop()


# --- cost ----------------------------------------------------------------------------------------


def of_steps(text: str, span: list[int], number: int, **run: Any) -> dict[str, Any]:
    steps = [
        {"id": f"s{n}", "type": "message_creation", "status": "completed", "message_id": f"m{n}", "span": span}
        for n in range(number)
    ]
    messages = [{"id": f"n{n}", "role": "assistant", "span": span} for n in range(number)]
    return {"version": 1, "run": {"id": "r", **run}, "text": text, "steps": steps, "messages": messages}


@pytest.mark.parametrize("text", ["x" * 10_000, "é" * 10_000, "\ud800" * 10_000])
def test_many_steps_that_claim_the_whole_text_do_not_multiply_it(text: str) -> None:
    kept = from_notebook(notebook(of_steps(text, [1, len(text)], 3000)))
    for table in (kept.steps(), kept.messages()):
        said = [cell for cell in table["text"] if isinstance(cell, str)]
        assert sum(map(len, said)) <= 5 * len(text)
        assert said[1] == text[1:].replace("\ud800", "\ufffd")


def test_steps_that_share_a_text_as_a_run_does_all_have_their_words() -> None:
    text = "\n\n".join(f"Part {n}." for n in range(500))
    record = of_steps(text, [0, 0], 0)
    at = 0
    for n, part in enumerate(text.split("\n\n")):
        record["steps"].append(
            {"id": f"s{n}", "type": "message_creation", "message_id": f"m{n}", "span": [at, at + len(part)]}
        )
        record["messages"].append({"id": f"m{n}", "role": "assistant", "span": [at, at + len(part)]})
        at += len(part) + 2
    kept = from_notebook(notebook(record))
    assert kept.steps()["text"] == kept.messages()["text"][1:] == text.split("\n\n")


def test_a_long_name_of_a_thread_is_one_text_in_every_row() -> None:
    kept = from_notebook(notebook(of_steps("x", [0, 1], 200, thread_id="é" * 100_000)))
    assert len({id(cell) for cell in kept.steps()["thread_id"]}) == 1


SHAPES: dict[str, Callable[[int], dict[str, Any]]] = {
    "magics above": lambda n: notebook({"version": 1, "run": {"id": "r"}}, source="%%x\n" * n),
    "magics and blanks": lambda n: notebook({"version": 1, "run": {"id": "r"}}, source="%%x\n \t\n" * n),
    "percent signs": lambda n: notebook({"version": 1, "run": {"id": "r"}}, source="%" * n),
    "lines of source": lambda n: notebook({"version": 1, "run": {"id": "r"}}, source=["%%x\n"] * n),
    "steps": lambda n: notebook(of_steps("é" * n, [0, n], n // 50)),
    "runs of one id": lambda n: notebook(*[{"version": 1, "run": {"id": "r"}, "text": "x"}] * (n // 50)),
    "requests": lambda n: notebook(*[{"version": 1, "run": {}, "text": "x"}] * (n // 50)),
    "threads": lambda n: notebook(
        *[{"version": 1, "run": {"id": str(k), "thread_id": str(k)}} for k in range(n // 50)]
    ),
    "calls": lambda n: notebook({"version": 1, "run": {}, "steps": [{"calls": [{"output": ["x"]}] * (n // 10)}]}),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_work_grows_with_the_notebook(shape: str) -> None:
    def tables(content: str) -> None:
        kept = from_notebook(json.loads(content))
        for name in TABLES:
            getattr(kept, name)()

    assert_linear(tables, lambda n: json.dumps(SHAPES[shape](n)), 100_000)
