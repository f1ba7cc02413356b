"""A table that does not change: named columns of declared kinds, readable by every frame library."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from dashnb.history.schema import Cell, Kind, Schema

if TYPE_CHECKING:
    import pandas
    import polars


class Table:
    """Rows and columns, read by column, by row or by slice.

    >>> table = Table({"id": "id", "tokens": "integer"}, [("run_1", 75), ("run_2", 1200)], name="runs")
    >>> len(table), table.columns, table["tokens"]
    (2, ('id', 'tokens'), [75, 1200])
    >>> table[-1]
    {'id': 'run_2', 'tokens': 1200}
    >>> print(table[:1])
    id     tokens
    run_1      75

    A text, an id or a number is what it was; a time is whole milliseconds since 1970 here and a
    timestamp in UTC in every export; a cell without a value is None.

    Args:
        schema: The kind of each column: ``id``, ``text``, ``integer``, ``number``, ``milliseconds`` or ``time``.
        rows: The rows, each with one cell per column.
        name: What the table holds, in the plural.

    Raises:
        ValueError: A row has more or fewer cells than there are columns.
    """

    __slots__ = ("_cells", "_length", "_name", "_schema")

    def __init__(self, schema: Schema, rows: Iterable[Sequence[Cell]] = (), *, name: str = "") -> None:
        kept = [tuple(row) for row in rows]
        for number, row in enumerate(kept):
            if len(row) != len(schema):
                raise ValueError(f"Row {number} has {len(row)} cells, but the table has {len(schema)} columns.")
        self._schema = MappingProxyType(dict(schema))
        self._cells: dict[str, tuple[Cell, ...]] = dict(
            zip(self._schema, zip(*kept, strict=True) if kept else ((),) * len(self._schema), strict=True)
        )
        self._length = len(kept)
        self._name = name

    def __reduce__(self) -> tuple[partial[Table], tuple[dict[str, Kind], tuple[tuple[Cell, ...], ...]]]:
        return partial(type(self), name=self._name), (dict(self._schema), self.rows)

    # --- reading ---------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """What the table holds, such as ``runs``; ``""`` if it was not said."""
        return self._name

    @property
    def schema(self) -> Mapping[str, Kind]:
        """The kind of each column, in order."""
        return self._schema

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(self._schema)

    @property
    def rows(self) -> tuple[tuple[Cell, ...], ...]:
        """The rows, each with its cells in the order of the columns."""
        return tuple(self._tuples())

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[dict[str, Cell]]:
        for row in self._tuples():
            yield dict(zip(self._schema, row, strict=True))

    @overload
    def __getitem__(self, key: str) -> list[Cell]: ...
    @overload
    def __getitem__(self, key: slice) -> Table: ...
    @overload
    def __getitem__(self, key: SupportsIndex) -> dict[str, Cell]: ...

    def __getitem__(self, key: str | slice | SupportsIndex) -> list[Cell] | Table | dict[str, Cell]:
        if isinstance(key, str):
            return list(self._column(key))
        if isinstance(key, slice):
            return Table(self._schema, self.rows[key], name=self._name)
        number = key.__index__()
        if not -self._length <= number < self._length:
            raise IndexError(f"There is no row {number}; the table has {_count(self._length)}.")
        return {name: cells[number] for name, cells in self._cells.items()}

    def head(self, n: int = 5) -> Table:
        """The first rows, as a table.

        >>> Table({"n": "integer"}, [(1,), (2,), (3,)]).head(2)["n"]
        [1, 2]

        Args:
            n: How many rows; as a negative number, how many to leave out at the end.
        """
        return self[:n]

    def to_dicts(self) -> list[dict[str, Cell]]:
        """The rows as dicts.

        >>> Table({"n": "integer"}, [(1,), (2,)]).to_dicts()
        [{'n': 1}, {'n': 2}]
        """
        return list(self)

    # --- exports ---------------------------------------------------------------------------

    def to_pandas(self) -> pandas.DataFrame:
        """The table as a pandas frame: ``string``, ``Int64``, ``float64`` and ``datetime64[ms, UTC]``.

        >>> list(Table({"n": "integer"}, [(1,), (None,)]).to_pandas().columns)
        ['n']

        Raises:
            ConfigurationError: pandas is not installed.
        """
        from dashnb.history import exports

        return exports.to_pandas(self)

    def to_polars(self) -> polars.DataFrame:
        """The table as a polars frame: ``String``, ``Int64``, ``Float64`` and ``Datetime("ms", "UTC")``.

        >>> Table({"n": "integer"}, [(1,), (None,)]).to_polars().shape
        (2, 1)

        Raises:
            ConfigurationError: polars is not installed.
        """
        from dashnb.history import exports

        return exports.to_polars(self)

    def to_arrow(self) -> Any:  # a pyarrow.Table; pyarrow carries no types
        """The table as a ``pyarrow.Table``; libraries that read Arrow streams take the table itself.

        Raises:
            ConfigurationError: pyarrow is not installed.
        """
        from dashnb.history import exports

        return exports.to_arrow(self)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The table as an Arrow stream, which is how ``polars.DataFrame(table)`` reads it.

        >>> type(Table({"n": "integer"}, [(1,)]).__arrow_c_stream__()).__name__
        'PyCapsule'

        Args:
            requested_schema: Not heeded, as the protocol allows; the stream's own schema says what it is.

        Raises:
            ConfigurationError: nanoarrow is not installed.
        """
        from dashnb.history import exports

        return exports.to_arrow_stream(self)

    # --- showing ---------------------------------------------------------------------------

    def __repr__(self) -> str:
        from dashnb.history import rendering

        return rendering.table_text(self)

    def _repr_html_(self) -> str:
        from dashnb.history import rendering

        return rendering.table_html(self)

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._schema)

    # --- what it is made of ----------------------------------------------------------------

    def _tuples(self) -> Iterator[tuple[Cell, ...]]:
        # Without columns there is nothing to zip, but there may be rows.
        return zip(*self._cells.values(), strict=True) if self._cells else iter([()] * self._length)

    def _column(self, name: str) -> tuple[Cell, ...]:
        if name not in self._cells:
            raise KeyError(f"There is no column {name!r}; the columns are: {', '.join(self._schema)}.")
        return self._cells[name]


def _count(rows: int) -> str:
    return "1 row" if rows == 1 else f"{rows:,} rows"
