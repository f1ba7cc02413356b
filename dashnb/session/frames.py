"""Frames of pandas, polars and dashnb as Markdown, for a model to read."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

MOST_ROWS = 50


def frame_as_markdown(value: Any) -> str:
    """A frame as a Markdown table, ``""`` for anything else.

    >>> from dashnb.history import Table
    >>> print(frame_as_markdown(Table({"n": "integer"}, [(1,), (None,)])))
    | n |
    | --- |
    | 1 |
    |  |
    """
    frame = _frame(value)
    return markdown_table(*frame) if frame else ""


def markdown_table(columns: Iterable[Any], rows: Iterable[Iterable[Any]], count: int) -> str:
    r"""Rows as a Markdown table, the first `MOST_ROWS` of them and a line that says how many there are.

    >>> print(markdown_table(["a|b"], [["x\ny"]], 1))
    | a\|b |
    | --- |
    | x y |
    """
    names = [_cell(name) for name in columns]
    lines = [_row(names), _row(["---"] * len(names))]
    lines += [_row([_cell(value) for value in row]) for row in islice(rows, MOST_ROWS)]
    if count > MOST_ROWS:
        lines.append(f"\n({MOST_ROWS} of {count:,} rows)")
    return "\n".join(lines)


def _frame(value: Any) -> tuple[Iterable[Any], Iterable[Iterable[Any]], int] | None:
    """Columns, the first rows and the number of rows of a frame, None for anything else.

    A frame is known by its type's name: to import its library would take longer than all the rest.
    """
    library, kind = type(value).__module__.partition(".")[0], type(value).__name__
    if (library, kind) == ("dashnb", "Table"):
        return value.columns, value[:MOST_ROWS].rows, len(value)
    if (library, kind) == ("polars", "DataFrame"):
        return value.columns, value.head(MOST_ROWS).iter_rows(), value.height
    if (library, kind) == ("pandas", "DataFrame"):
        counted = type(value.index).__name__ == "RangeIndex"  # a count from 0 says nothing
        columns = [*([] if counted else [value.index.name or ""]), *value.columns]
        return columns, value.head(MOST_ROWS).itertuples(index=not counted, name=None), len(value)
    return None


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return " ".join(text.replace("|", "\\|").split())
