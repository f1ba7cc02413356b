"""A table in the terms of other libraries; each is imported when it is asked for, none is required."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from dashnb.errors import ConfigurationError
from dashnb.history.schema import Kind

if TYPE_CHECKING:
    import pandas
    import polars

    from dashnb.history.table import Table

PANDAS_TYPES: Mapping[Kind, str] = {
    "id": "string",
    "text": "string",
    "integer": "Int64",
    "number": "float64",
    "milliseconds": "float64",
    "time": "datetime64[ms, UTC]",
}

POLARS_TYPES: Mapping[Kind, str] = {
    "id": "String",
    "text": "String",
    "integer": "Int64",
    "number": "Float64",
    "milliseconds": "Float64",
    "time": "Datetime",
}

# The names are the same in pyarrow and nanoarrow.
ARROW_TYPES: Mapping[Kind, str] = {
    "id": "string",
    "text": "string",
    "integer": "int64",
    "number": "float64",
    "milliseconds": "float64",
    "time": "timestamp",
}


def to_pandas(table: Table) -> pandas.DataFrame:
    """The table as a pandas frame, built column by column: pandas reads Arrow only with pyarrow."""
    library = _library("pandas", needed_by="to_pandas()", command="pip install pandas")
    columns = {}
    for name, kind in table.schema.items():
        cells = table[name]
        if kind == "time":
            # A year that pandas cannot count, which any server or notebook may name, is no time there.
            moments = library.to_datetime(library.Series(cells, dtype="Int64"), unit="ms", utc=True, errors="coerce")
            columns[name] = moments.astype(PANDAS_TYPES[kind])
        else:
            columns[name] = library.Series(cells, dtype=PANDAS_TYPES[kind])
    frame: pandas.DataFrame = library.DataFrame(columns, columns=list(table.columns))
    return frame


def to_polars(table: Table) -> polars.DataFrame:
    """The table as a polars frame, built column by column: works without nanoarrow."""
    library = _library("polars", needed_by="to_polars()", command="pip install polars")
    columns = []
    for name, kind in table.schema.items():
        data_type = getattr(library, POLARS_TYPES[kind])
        columns.append(library.Series(name, table[name], dtype=data_type("ms", "UTC") if kind == "time" else data_type))
    frame: polars.DataFrame = library.DataFrame(columns)
    return frame


def to_arrow(table: Table) -> Any:
    """The table as a ``pyarrow.Table``."""
    library = _library("pyarrow", needed_by="to_arrow()", command="pip install pyarrow")
    names = list(table.columns)
    types = [_arrow_type(library, kind, zone="tz") for kind in table.schema.values()]
    arrays = [library.array(table[name], type=data_type) for name, data_type in zip(names, types, strict=True)]
    return library.Table.from_arrays(arrays, names=names)


def to_arrow_stream(table: Table) -> object:
    """A capsule with an Arrow stream of one batch."""
    library = _library("nanoarrow", needed_by="An Arrow stream", command='pip install "dashnb[arrow]"')
    types = {name: _arrow_type(library, kind, zone="timezone") for name, kind in table.schema.items()}
    columns = [library.c_array(table[name], data_type) for name, data_type in types.items()]
    batch = library.c_array_from_buffers(library.struct(types), len(table), [None], null_count=0, children=columns)
    capsule: object = library.c_array_stream(batch).__arrow_c_stream__()
    return capsule


def _arrow_type(library: ModuleType, kind: Kind, *, zone: str) -> Any:
    make = getattr(library, ARROW_TYPES[kind])
    return make("ms", **{zone: "UTC"}) if kind == "time" else make()


def _library(name: str, *, needed_by: str, command: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        raise ConfigurationError(f"{needed_by} needs {name}, which is not installed: {command}") from error
