"""A table as a person sees it: aligned text for terminals, a static HTML table for notebooks.

Both are functions of the table. Cells may hold whatever a model or a stranger wrote: in text, control
characters and marks that turn the direction of writing are replaced; in HTML, everything is escaped.
The HTML needs no script and no style sheet, and its colours are those of the page around it.
"""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dashnb.characters import blotted
from dashnb.history.schema import Cell, Kind

if TYPE_CHECKING:
    from dashnb.history.table import Table

TEXT_ROWS = 20
TEXT_CELL = 40  # display columns of one cell
TEXT_LINE = 120  # display columns of one line; a wider table goes on below
HTML_ROWS = 200
HTML_CELL = 80  # characters of one cell
HTML_TITLE = 300  # characters that show when the pointer rests on a shortened cell

NOTHING = "–"
MORE = "…"

_RIGHT_ALIGNED = frozenset({"integer", "number", "milliseconds"})
_SPACES = {ord("\r"): None, ord("\t"): " ", **dict.fromkeys(map(ord, "\v\f\x85\u2028\u2029"), " ")}


# --- cells -------------------------------------------------------------------------------------


def moment(milliseconds: float) -> str:
    """A time in UTC, to the second.

    >>> moment(1795156863000)
    '2026-11-20 06:41:03'
    """
    try:
        return datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):  # a year that no calendar has
        return str(milliseconds)


def shortened_id(name: str) -> str:
    """An id up to the eighth character after its prefix: enough to tell two apart.

    >>> shortened_id("run_04fba6a3-3ac9-42e8-ba2b-9b5c889a8d58")
    'run_04fba6a3…'
    """
    end = min(name.find("_") + 9, 20)
    return name[:end] + MORE if len(name) > end + 4 else name


def _milliseconds(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.1f}"


_FORMATS: Mapping[Kind, Callable[..., str]] = {
    "id": shortened_id,
    "text": str,
    "integer": "{:,}".format,
    "number": "{:,.6g}".format,
    "milliseconds": _milliseconds,
    "time": moment,
}


def _shown(value: Cell, kind: Kind) -> str:
    # A column may be declared wrongly by whoever made the table; the cell is shown all the same.
    if value is None:
        return NOTHING
    fits = isinstance(value, str) == (kind in ("id", "text"))
    return _FORMATS[kind](value) if fits else str(value)


# --- text --------------------------------------------------------------------------------------


def table_text(table: Table) -> str:
    """The first rows as aligned text; columns that do not fit beside each other follow below.

    >>> from dashnb.history.table import Table
    >>> print(table_text(Table({"id": "id", "text": "text"}, [("message_1", "晴れ、\\n24 度")])))
    id         text
    message_1  晴れ、⏎24 度
    """
    shown = table[:TEXT_ROWS]
    blocks = ("\n".join(lines) for lines in _blocks([_text_column(shown, name) for name in table.columns]))
    body = "\n\n".join(blocks)
    if left := len(table) - len(shown):
        return f"{body}\n{MORE} {left:,} more"
    return body if len(table) else f"{body}\n(no rows)"


def display_width(text: str) -> int:
    """How many columns of a terminal a text takes: CJK characters and emoji take two, accents none.

    >>> display_width("天気 ok")
    7
    """
    return len(text) if text.isascii() else sum(map(_character_width, text))


def _character_width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def _one_line(text: str) -> str:
    return blotted(text.translate(_SPACES).replace("\n", "⏎"))


def _cut(text: str, width: int) -> str:
    if display_width(text) <= width:
        return text
    kept, used = [], 0
    for character in text:
        used += _character_width(character)
        if used >= width:
            break
        kept.append(character)
    return "".join(kept).rstrip() + MORE


def _text_column(table: Table, name: str) -> list[str]:
    """The lines of one column, the header first, all of the same display width."""
    kind = table.schema[name]
    cells = [name, *(_shown(value, kind) for value in table[name])]
    # No cell shows more than its first characters; the rest of a long answer is not worth a look.
    cells = [_cut(_one_line(cell[: 4 * TEXT_CELL]), TEXT_CELL) for cell in cells]
    width = max(map(display_width, cells))
    gaps = [" " * (width - display_width(cell)) for cell in cells]
    right = kind in _RIGHT_ALIGNED
    return [gap + cell if right else cell + gap for cell, gap in zip(cells, gaps, strict=True)]


def _blocks(columns: list[list[str]]) -> Iterator[list[str]]:
    """The columns side by side, in as many blocks as the width of a line makes necessary."""
    block: list[list[str]] = []
    used = 0
    for column in columns:
        width = display_width(column[0]) + 2
        if block and used + width > TEXT_LINE + 2:
            yield _joined(block)
            block, used = [], 0
        block.append(column)
        used += width
    if block:
        yield _joined(block)


def _joined(block: list[list[str]]) -> list[str]:
    return ["  ".join(cells).rstrip() for cells in zip(*block, strict=True)]


# --- HTML --------------------------------------------------------------------------------------


def table_html(table: Table) -> str:
    """The first rows as a static HTML table, every cell escaped.

    >>> from dashnb.history.table import Table
    >>> "&lt;b&gt;" in table_html(Table({"text": "text"}, [("<b>",)]))
    True
    """
    shown = table[:HTML_ROWS]
    head = "".join(_html_header(name, kind) for name, kind in table.schema.items())
    body = [_html_row(table, row) for row in shown.rows]
    if left := len(table) - len(shown):
        more = f"{MORE} {left:,} more"
        body.append(f'<tr><td colspan="{len(table.columns)}" style="{_cell_style("left")}">{more}</td></tr>')
    # The classes keep MathJax from reading two prices as a formula.
    lines = (
        '<div class="tex2jax_ignore mathjax_ignore" style="overflow-x:auto">',
        '<table style="border-collapse:collapse">',
        f'<caption style="{_cell_style("left")};opacity:0.75">{_caption(table)}</caption>',
        f"<thead><tr>{head}</tr></thead>",
        "<tbody>",
        *body,
        "</tbody>",
        "</table>",
        "</div>",
    )
    return "\n".join(lines)


def _caption(table: Table) -> str:
    count = "1 row" if len(table) == 1 else f"{len(table):,} rows"
    name = f"{_html_words(table.name)}: " if table.name else ""
    return f"{name}{count}{', times in UTC' if 'time' in table.schema.values() else ''}"


def _html_header(name: str, kind: Kind) -> str:
    return f'<th scope="col" style="{_cell_style(_side(kind))};white-space:nowrap">{_html_words(name)}</th>'


def _html_words(text: str) -> str:
    """A name in one line: a blank one would end the table where it is pasted into Markdown."""
    return html.escape(blotted(" ".join(text.split())))


def _html_row(table: Table, row: tuple[Cell, ...]) -> str:
    cells = (_html_cell(value, kind) for value, kind in zip(row, table.schema.values(), strict=True))
    return f"<tr>{''.join(cells)}</tr>"


def _html_cell(value: Cell, kind: Kind) -> str:
    whole = _shown(value, kind)
    text = blotted(" ".join(whole[: 4 * HTML_CELL].split()))
    if len(text) > HTML_CELL or len(whole) > 4 * HTML_CELL:
        text = text[: HTML_CELL - 1].rstrip() + MORE
    style = f"{_cell_style(_side(kind))};vertical-align:top"
    if len(text) > HTML_CELL // 2:
        # Without a least width the browser folds long texts into columns of one word each.
        style += ";min-width:16em"
    elif " " in text or "-" in text:
        style += ";white-space:nowrap"
    title = _title(value, text) if isinstance(value, str) else ""
    return f'<td style="{style}"{title}>{html.escape(text)}</td>'


def _side(kind: Kind) -> str:
    return "right" if kind in _RIGHT_ALIGNED else "left"


def _cell_style(side: str) -> str:
    # Said for every cell: notebooks have a style for cells, and style sheets do not survive there.
    return f"padding:2px 8px;text-align:{side}"


def _title(value: str, shown: str) -> str:
    if value == shown:
        return ""
    cut = value if len(value) <= HTML_TITLE else value[: HTML_TITLE - 1] + MORE
    lines = cut.replace("\r\n", "\n").split("\n")
    return f' title="{"&#10;".join(html.escape(blotted(line)) for line in lines)}"'
