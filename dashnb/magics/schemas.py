"""Answers as data: asked for as JSON of a schema, read, and checked against it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from IPython.core.error import UsageError

from dashnb.errors import AnswerMismatch
from dashnb.files import read_file
from dashnb.foreign import read_json
from dashnb.magics.arguments import near
from dashnb.magics.variables import names_in
from dashnb.protocol.state import RunState

MOST_BYTES = 10_000_000  # of a schema in a file
MOST_PLACES = 5  # where an answer does not fit
_WIDTH = 160  # characters of one such place
_FENCE = re.compile(r"^ {0,3}```[^\n`]*\n(.*?)^ {0,3}```", re.DOTALL | re.MULTILINE)


class _NoFit(Exception):
    """The places where a value does not fit, a line each."""

    def __init__(self, places: Iterable[str]) -> None:
        self.places = list(places)
        super().__init__(self.places)


@dataclass(frozen=True, slots=True)
class AnswerSchema:
    """What an answer has to be like.

    Attributes:
        name: What a person calls it.
        schema: The JSON schema.
        read: From JSON text to the object that it stands for.
    """

    name: str
    schema: Mapping[str, Any]
    read: Callable[[str], Any]

    @property
    def instruction(self) -> str:
        """What the model is told."""
        written = json.dumps(self.schema, ensure_ascii=False)
        return f"Answer with JSON only, no words around it. It has to fit this JSON schema:\n{written}"

    def parse(self, state: RunState) -> Any:
        """What the answer of a run holds: an object of the class, or plain lists and dicts.

        Raises:
            AnswerMismatch: The answer is no JSON, or does not fit; the message says where.
        """
        fenced = _FENCE.search(state.text)
        text = (fenced[1] if fenced else state.text).strip()
        try:
            read_json(text)
            return self.read(text)
        except ValueError as error:
            places = [f"it is no JSON: {error}"]
        except RecursionError:  # it was read, but is nested more deeply than it can be compared
            places = ["it is nested too deeply"]
        except _NoFit as error:
            places = error.places
        more = [f"… and {len(places) - MOST_PLACES} more"] if len(places) > MOST_PLACES else []
        shown = [f"  {_shortened(place)}" for place in places[:MOST_PLACES]]
        raise AnswerMismatch(
            "\n".join(
                (
                    f"The answer does not fit {self.name}:",
                    *shown,
                    *more,
                    "The answer is kept as .text; ask again, or change the schema.",
                )
            ),
            state=state,
        ) from None


def find_schema(word: str, variables: Mapping[str, Any]) -> AnswerSchema:
    """The schema that a word names: a variable with a JSON schema or a type, or a file with a JSON schema.

    >>> age = find_schema("age", {"age": {"type": "integer", "minimum": 0}})
    >>> age.read("7")
    7

    Raises:
        UsageError: There is none, or it cannot be used.
    """
    if word in variables:
        value = variables[word]
        return _of_schema(word, value) if isinstance(value, dict) else _of_type(word, value)
    path = Path(word).expanduser()
    if path.suffix == ".json" or path.is_file():
        return _of_schema(path.name, _read_file(path))
    raise UsageError(
        f"there is no schema {word!r}: give a variable (a dict, a model, a dataclass) or a .json file."
        f"{near(word, names_in(variables))}"
    )


def _of_type(name: str, kind: Any) -> AnswerSchema:
    from pydantic import TypeAdapter, ValidationError

    try:
        adapter = TypeAdapter(kind)
        schema = adapter.json_schema()
    except Exception as error:  # what is no type fails in many ways
        reason = str(error).partition("\n")[0]
        raise UsageError(f"{name!r} is no JSON schema and no type that JSON can carry: {reason}") from None

    def read(text: str) -> Any:
        try:
            return adapter.validate_json(text)
        except ValidationError as error:
            raise _NoFit(f"{_place(one['loc'])}: {one['msg']}" for one in error.errors()) from None

    return AnswerSchema(getattr(kind, "__name__", name), schema, read)


def _of_schema(name: str, schema: Any) -> AnswerSchema:
    from jsonschema import SchemaError, ValidationError  # type: ignore[import-untyped]
    from jsonschema.validators import validator_for  # type: ignore[import-untyped]
    from referencing import Registry

    from dashnb.magics.checking import patient

    try:
        kind = validator_for(schema)
        kind.check_schema(schema)
    except SchemaError as error:
        raise UsageError(f"{name!r} is no JSON schema: {error.json_path}: {_shortened(error.message)}.") from None
    if outside := next(_outside(schema), ""):
        raise UsageError(f"{name!r} refers to {outside!r}; a schema has to be whole, nothing is fetched.")
    validator = patient(kind)(schema, registry=Registry())

    def read(text: str) -> Any:
        value = read_json(text)
        try:
            found = sorted(validator.iter_errors(value), key=lambda error: error.json_path)
        except ValidationError as error:
            raise _NoFit([error.message]) from None
        if found:
            raise _NoFit(f"{_place(error.absolute_path)}: {error.message}" for error in found)
        return value

    return AnswerSchema(name, schema, read)


def _outside(schema: Any) -> Iterator[str]:
    """What a schema refers to outside of itself."""
    if isinstance(schema, dict):
        reference = schema.get("$ref")
        if isinstance(reference, str) and not reference.startswith("#"):
            yield reference
    parts = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    for part in parts:
        yield from _outside(part)


def _read_file(path: Path) -> Any:
    try:
        schema = read_json(read_file(path, MOST_BYTES))
    except OSError as error:
        raise UsageError(f"the schema {path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise UsageError(f"the schema {path} is no JSON: {error}.") from None
    if not isinstance(schema, dict):
        raise UsageError(f"the schema {path} is no JSON object.")
    return schema


def _place(path: Iterable[Any]) -> str:
    return ".".join(map(str, path)) or "the answer"


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDTH else f"{line[:_WIDTH]}…"
