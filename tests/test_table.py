"""A table reads as columns, rows and slices, shows itself safely, and fits every frame library."""

from __future__ import annotations

import html.parser
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from dashnb.errors import ConfigurationError
from dashnb.history.rendering import display_width, moment, shortened_id
from dashnb.history.schema import TABLES, Kind
from dashnb.history.table import Table

AT = 1795156863000
SCHEMA: dict[str, Kind] = {
    "id": "id",
    "text": "text",
    "tokens": "integer",
    "cost": "number",
    "took": "milliseconds",
    "at": "time",
}
ROWS = (
    ("run_04fba6a3-3ac9-42e8-ba2b-9b5c889a8d58", "晴れ 😀", 1200, 0.25, 1234.5, AT),
    ("run_2", None, None, None, None, None),
    ("run_3", "<script>alert('x')</script> & \"y\"", 7, 3.0, 0.84, AT + 999),
)


@pytest.fixture
def table() -> Table:
    return Table(SCHEMA, ROWS, name="runs")


# --- reading -----------------------------------------------------------------------------------


def test_a_table_is_read_by_column_row_and_slice(table: Table) -> None:
    assert len(table) == 3
    assert table.columns == tuple(SCHEMA)
    assert table.rows == ROWS
    assert table["tokens"] == [1200, None, 7]
    assert table[1]["id"] == "run_2"
    assert table[-1] == dict(zip(SCHEMA, ROWS[2], strict=True))
    assert table[1:].rows == ROWS[1:]
    assert table[::-1]["id"] == ["run_3", "run_2", ROWS[0][0]]
    assert (table[1:].name, table[5:].columns) == ("runs", tuple(SCHEMA))
    assert [row["id"] for row in table] == table["id"]
    assert table.to_dicts() == list(table)


def test_head_is_the_first_rows() -> None:
    table = Table({"n": "integer"}, [(number,) for number in range(9)])
    assert table.head()["n"] == [0, 1, 2, 3, 4]
    assert table.head(2)["n"] == [0, 1]
    assert table.head(-8)["n"] == [0]


def test_what_is_not_there_is_named(table: Table) -> None:
    with pytest.raises(KeyError, match="no column 'txt'; the columns are: id, text"):
        table["txt"]
    for number in (3, -4):
        with pytest.raises(IndexError, match=f"no row {number}; the table has 3 rows"):
            table[number]


def test_a_row_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="Row 1 has 1 cells, but the table has 2 columns"):
        Table({"a": "text", "b": "text"}, [("x", "y"), ("z",)])


def test_a_table_does_not_change_with_what_it_was_made_of_or_gave_away() -> None:
    schema: dict[str, Kind] = {"n": "integer"}
    row = [1]
    table = Table(schema, [row])
    schema["m"] = "text"
    row[0] = 2
    table["n"].append(3)
    table[0]["n"] = 4
    assert (table.columns, table.rows) == (("n",), ((1,),))
    with pytest.raises(TypeError):
        table.schema["n"] = "text"  # type: ignore[index]
    with pytest.raises(AttributeError):
        table.rows = ()  # type: ignore[misc]


# --- text --------------------------------------------------------------------------------------


def test_text_is_aligned_by_what_characters_take_in_a_terminal(table: Table) -> None:
    assert repr(table).splitlines() == [
        "id             text                               tokens  cost   took  at",
        "run_04fba6a3…  晴れ 😀                             1,200  0.25  1,234  2026-11-20 06:41:03",
        "run_2          –                                       –     –      –  –",
        "run_3          <script>alert('x')</script> & \"y\"       7     3    0.8  2026-11-20 06:41:03",
    ]
    assert str(table) == repr(table)


def test_text_cuts_long_cells_and_shows_line_ends() -> None:
    table = Table({"text": "text"}, [("a\r\nb\tc",), ("天" * 50,), ("y" * 41,), ("z" * 40,)])
    lines = repr(table).splitlines()[1:]
    assert lines == ["a⏎b c", "天" * 19 + "…", "y" * 39 + "…", "z" * 40]
    assert max(map(display_width, lines)) <= 40


def test_text_lets_no_control_character_reach_the_terminal() -> None:
    (line,) = repr(Table({"text": "text"}, [("\x1b[31mred\x07\x9b \u202eabc\x00",)])).splitlines()[1:]
    assert line == "�[31mred�� �abc�"


def test_text_ends_after_twenty_rows() -> None:
    lines = repr(Table({"n": "integer"}, [(number,) for number in range(1025)])).splitlines()
    assert len(lines) == 22
    assert lines[-2:] == ["19", "… 1,005 more"]


def test_text_of_a_wide_table_goes_on_below() -> None:
    table = Table(TABLES["runs"], [["x" * 30] * len(TABLES["runs"])], name="runs")
    blocks = repr(table).split("\n\n")
    assert len(blocks) > 1
    assert [name for block in blocks for name in block.splitlines()[0].split()] == list(table.columns)
    assert max(display_width(line) for line in repr(table).splitlines()) <= 120


def test_text_of_an_empty_table_shows_its_columns() -> None:
    assert repr(Table({"id": "id", "n": "integer"})) == "id  n\n(no rows)"


def test_widths_times_and_ids() -> None:
    assert [display_width(text) for text in ("ab", "天気", "e\u0301", "ｱ", "Ａ")] == [2, 4, 1, 1, 2]
    assert moment(AT + 999) == "2026-11-20 06:41:03"
    assert moment(10**30) == str(10**30)
    assert shortened_id("thread_5b7824dc-dbf9-4538") == "thread_5b7824dc…"
    assert shortened_id("5b7824dc-dbf9-4538") == "5b7824dc…"
    assert shortened_id("run_1") == "run_1"


def test_a_cell_that_is_not_of_its_kind_is_shown_as_it_is() -> None:
    table = Table({"n": "integer", "at": "time", "text": "text"}, [("many", "soon", 5)])
    assert repr(table).splitlines()[1].split() == ["many", "soon", "5"]


# --- HTML --------------------------------------------------------------------------------------


class _Page(html.parser.HTMLParser):
    """The elements, the attributes and the text of a fragment; fails on an element that is not closed."""

    def __init__(self, fragment: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(fragment)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_html_is_a_table_with_a_caption_and_headers(table: Table) -> None:
    page = _Page(table._repr_html_())
    assert page.text[0] == "runs: 3 rows, times in UTC"
    assert [header["scope"] for header in page.all("th")] == ["col"] * 6
    assert page.text[1:7] == list(SCHEMA)
    assert page.text[7:13] == ["run_04fba6a3…", "晴れ 😀", "1,200", "0.25", "1,234", "2026-11-20 06:41:03"]
    assert page.text[13:19] == ["run_2", "–", "–", "–", "–", "–"]
    sides = [str(cell["style"]).split(";")[1] for cell in page.all("td")[:6]]
    assert sides == [f"text-align:{side}" for side in ("left", "left", "right", "right", "right", "left")]
    assert page.all("td")[0]["title"] == ROWS[0][0]


def test_html_escapes_every_text() -> None:
    evil = "<script>alert(1)</script>\"'&<img src=x onerror=alert(1)>" * 5
    schema: dict[str, Kind] = {evil: "text", "id": "id", "n": "integer"}
    fragment = Table(schema, [(evil, evil, evil)], name=evil)._repr_html_()
    page = _Page(fragment)
    assert {tag for tag, _ in page.elements} == {"div", "table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert {name for _, attributes in page.elements for name in attributes} == {"class", "style", "scope", "title"}
    assert page.all("td")[0]["title"] == evil
    assert evil in page.text


def test_html_shortens_long_texts_and_keeps_more_in_the_title() -> None:
    text = "line one\n\nline\ttwo " + "x" * 1000
    page = _Page(Table({"text": "text"}, [(text,)])._repr_html_())
    (cell,) = page.all("td")
    assert page.text[-1].startswith("line one line two xxx")
    assert len(page.text[-1]) == 80
    assert str(cell["title"]).startswith("line one\n\nline")
    assert len(str(cell["title"])) == 300


def test_html_has_no_blank_line_that_would_end_it_in_markdown() -> None:
    fragment = Table({"text": "text"}, [("a\n\n\nb\r\n\r\nc",)])._repr_html_()
    assert all(line.strip() for line in fragment.split("\n"))
    assert "\r" not in fragment


def test_html_has_only_literal_inline_styles_and_no_colours(table: Table) -> None:
    fragment = table._repr_html_()
    for absent in ("<style", "var(", "color", "background", "#", "url(", " on"):
        assert absent not in fragment.replace("&#x27;", "").replace("&#10;", "")


def test_html_ends_after_two_hundred_rows() -> None:
    page = _Page(Table({"n": "integer", "m": "integer"}, [(number, 0) for number in range(1300)])._repr_html_())
    assert page.text[0] == "1,300 rows"
    assert page.text[-1] == "… 1,100 more"
    assert page.all("td")[-1]["colspan"] == "2"
    assert len(page.all("tr")) == 1 + 200 + 1


def test_html_of_an_empty_table_is_its_header() -> None:
    page = _Page(Table(TABLES["steps"], name="steps")._repr_html_())
    assert page.text == ["steps: 0 rows", *TABLES["steps"]]


# --- exports -----------------------------------------------------------------------------------

TABLE_NAMES = sorted(TABLES)


def test_pandas_has_the_declared_types(table: Table) -> None:
    pandas = pytest.importorskip("pandas")
    frame = table.to_pandas()
    assert list(frame.columns) == list(SCHEMA)
    assert [str(frame[name].dtype) for name in SCHEMA] == [
        "string",
        "string",
        "Int64",
        "float64",
        "float64",
        "datetime64[ms, UTC]",
    ]
    assert frame["tokens"].tolist()[::2] == [1200, 7]
    assert frame["at"][0] == pandas.Timestamp("2026-11-20 06:41:03", tz="UTC")
    assert frame.iloc[1, 1:].isna().all()
    assert frame["text"][0] == "晴れ 😀"


def test_polars_has_the_declared_types(table: Table) -> None:
    polars = pytest.importorskip("polars")
    frame = table.to_polars()
    assert dict(frame.schema) == {
        "id": polars.String,
        "text": polars.String,
        "tokens": polars.Int64,
        "cost": polars.Float64,
        "took": polars.Float64,
        "at": polars.Datetime("ms", "UTC"),
    }
    assert frame["at"][0] == datetime(2026, 11, 20, 6, 41, 3, tzinfo=UTC)
    assert frame["tokens"].to_list() == [1200, None, 7]


def test_an_arrow_stream_is_read_by_polars_as_the_same_frame(table: Table) -> None:
    polars = pytest.importorskip("polars")
    pytest.importorskip("nanoarrow")
    assert polars.DataFrame(table).equals(table.to_polars())
    assert polars.DataFrame(table).schema == table.to_polars().schema


def test_an_arrow_stream_is_read_by_pyarrow_as_the_same_table(table: Table) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("nanoarrow")
    assert pyarrow.table(table).equals(table.to_arrow())
    assert [str(field.type) for field in pyarrow.table(table).schema] == [
        "string",
        "string",
        "int64",
        "double",
        "double",
        "timestamp[ms, tz=UTC]",
    ]
    assert table.to_arrow().column("text").to_pylist() == table["text"]


@pytest.mark.parametrize("name", TABLE_NAMES)
def test_an_empty_table_has_the_types_of_a_full_one(name: str) -> None:
    polars = pytest.importorskip("polars")
    pytest.importorskip("pandas")
    pytest.importorskip("nanoarrow")
    cells: dict[Kind, Any] = {"id": "x", "text": "x", "integer": 1, "number": 1.5, "milliseconds": 2.5, "time": AT}
    empty = Table(TABLES[name], name=name)
    full = Table(TABLES[name], [[cells[kind] for kind in TABLES[name].values()]], name=name)
    assert list(empty.to_pandas().dtypes) == list(full.to_pandas().dtypes)
    assert empty.to_polars().schema == full.to_polars().schema
    assert polars.DataFrame(empty).schema == full.to_polars().schema
    assert (len(empty.to_pandas()), empty.to_polars().height, empty.to_dicts(), empty.rows) == (0, 0, [], ())


@pytest.mark.parametrize("name", TABLE_NAMES)
def test_an_empty_table_is_an_empty_arrow_table(name: str) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("nanoarrow")
    empty = Table(TABLES[name], name=name)
    assert pyarrow.table(empty).schema == empty.to_arrow().schema
    assert (pyarrow.table(empty).num_rows, empty.to_arrow().num_rows) == (0, 0)


@pytest.mark.parametrize(
    ("method", "library", "command"),
    [
        ("to_pandas", "pandas", "pip install pandas"),
        ("to_polars", "polars", "pip install polars"),
        ("to_arrow", "pyarrow", "pip install pyarrow"),
        ("__arrow_c_stream__", "nanoarrow", 'pip install "dashnb[arrow]"'),
    ],
)
def test_a_missing_library_is_named_with_the_command_that_installs_it(
    table: Table, monkeypatch: pytest.MonkeyPatch, method: str, library: str, command: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigurationError) as caught:
        getattr(table, method)()
    assert library in str(caught.value)
    assert str(caught.value).endswith(command)


def test_a_table_needs_no_frame_library() -> None:
    program = """
import sys

for name in ("pandas", "polars", "pyarrow", "nanoarrow", "numpy", "sqlalchemy", "pydantic"):
    sys.modules[name] = None
from dashnb.history import Table

table = Table({"id": "id", "at": "time"}, [("run_1", 0)])
print(table, table._repr_html_(), table.to_dicts(), table["at"], table[0], table.head())
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
